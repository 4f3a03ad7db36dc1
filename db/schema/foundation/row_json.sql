-- A row keeps the JSON of its own fields, because making it costs more than everything else about reading it. A trigger
-- of the row itself writes as_json, so it cannot go stale; what comes from other rows, or changes with time, is added when
-- the row is read. The view of the resource names the fields, once:
--
--   create or replace view app.guest_rows with (security_invoker = true) as
--     select g.organization_id, g.version, g.deleted_at, g.deleted_by, app.body(g.as_json, row_to_json(j)) as body,
--       g.id, g.name, …, j.*
--     from app.guests g
--     left join app.guest_allotments a on …
--     cross join lateral (select a.name as allotment_name) j;
--
-- A column that is added to a table with very many rows is better read like a field of another row: whatever changes what
-- rows keep makes all of them again (app_private.remake_json). The view takes it from a lateral that is named `later`, as
-- app.finance_record_rows does.

create or replace function app.body(as_json text) returns text
language sql immutable parallel safe
return as_json || '}';
comment on function app.body(text) is 'The JSON of a row whose table keeps it: see app_private.keep_json.';

create or replace function app.body(as_json text, joined json) returns text
language sql immutable parallel safe
return as_json || ',' || substr(joined::text, 2);
comment on function app.body(text, json) is 'The same with fields that are not kept: those of other rows, or that change with time.';

create or replace function app.body(as_json text, joined text) returns text
language sql immutable parallel safe
return as_json || joined || '}';
comment on function app.body(text, text) is 'The same with fields as text, each with a comma before it: those that another row keeps for its peers, such as app.venues.show_json.';
grant execute on function app.body(text), app.body(text, json), app.body(text, text) to callboard_api, callboard_definer, callboard_exporter;

-- For generated columns: to_json itself is only stable, because it depends on settings for other types than text.
create or replace function app.json_string(value text) returns text
language sql immutable parallel safe
return coalesce(to_json(value)::text, 'null');
comment on function app.json_string(text) is 'A text as JSON: in quotes, or null.';
grant execute on function app.json_string(text) to callboard_api, callboard_definer;

create or replace function app_private.keep_json(target regclass, fields regclass) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  trigger_function text := format('app_private.tg_%s__990_json', (select c.relname from pg_catalog.pg_class c where c.oid = target));
begin
  -- An expression of one call, which PL/pgSQL evaluates without running a query: a third cheaper than row_to_json of a subquery.
  execute format('create or replace function %s() returns trigger language plpgsql set search_path = '''' set timezone = ''UTC'' as %L',
    trigger_function, (
      select format(E'begin\n  new.as_json := left(json_build_object(%s)::text, -1);\n  return new;\nend',
        string_agg(format('%L, %s', v.attname, format(case t.atttypid
          when 'time'::regtype then 'to_char(new.%I, ''HH24:MI'')'
          when 'numeric'::regtype then 'trim_scale(new.%I)'
          else 'new.%I' end, t.attname)), ', ' order by v.attnum))
      from pg_catalog.pg_attribute v
      -- Generated columns have no value yet when the trigger runs.
      join pg_catalog.pg_attribute t on t.attrelid = target and t.attname = v.attname and t.attnum > 0 and t.attgenerated = ''
      where v.attrelid = fields and v.attnum >= (select i.attnum from pg_catalog.pg_attribute i where i.attrelid = fields and i.attname = 'id')
        and position(format(E'    later.%I', v.attname) in pg_catalog.pg_get_viewdef(fields)) = 0));
  execute format('comment on function %s() is %L', trigger_function, format('Keeps as_json: the fields of %s that are columns of the row itself.', fields));
  -- The last of the triggers before a row is written: none may change it afterwards.
  perform app_private.set_trigger(target, '_990_json', format('before insert or update on %s for each row execute function %s()', target, trigger_function),
    is_always => true);
  execute format('grant update (as_json) on %s to callboard_definer', target);
end
$$;
comment on function app_private.keep_json(regclass, regclass) is
  'Has a table keep as_json: the fields of its view (from id on) that are columns of its own and not of a lateral named later, as a JSON object without its closing brace, to be completed by app.body. A time is HH:MM, a number has no trailing zeros.';

create or replace function app_private.remake_json(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  r record;
  batch record;
  last jsonb;
begin
  select x.name, format('app.%I', x.name)::regclass as target, md5(p.prosrc) as wanted into r
  from app_private.resources x
  join pg_catalog.pg_proc p on p.pronamespace = 'app_private'::regnamespace and p.proname = 'tg_' || x.name || '__990_json'
  where x.remade is distinct from md5(p.prosrc)
  order by x.name limit 1;
  if not found then
    return null;
  end if;
  for batch in
    execute format('select x.organization_id, array_agg(x.id order by x.id) as ids from (
        select t.organization_id, t.id from %s t
        where (t.organization_id, t.id) > ($1, $2) order by 1, 2 limit 1000) x
      group by 1 order by 1', r.target)
    using coalesce((behind ->> 'organization')::uuid, '00000000-0000-0000-0000-000000000000'),
      coalesce((behind ->> 'id')::uuid, '00000000-0000-0000-0000-000000000000')
  loop
    perform app_private.set_context(null, null, batch.organization_id);
    execute format('update %s t set as_json = '''' where t.organization_id = $1 and t.id = any ($2)', r.target) using batch.organization_id, batch.ids;
    last := jsonb_build_object('table', r.name, 'organization', batch.organization_id, 'id', batch.ids[cardinality(batch.ids)]);
  end loop;
  if last is null then
    update app_private.resources x set remade = r.wanted where x.name = r.name;
    last := jsonb_build_object('done', r.name);
  end if;
  return last;
end
$$;
comment on function app_private.remake_json(jsonb) is
  'Makes the JSON of up to 1,000 rows again, of the first table whose JSON has another form since its rows were written: a migration has changed its fields. To continue, call it again in another transaction with what it returned, until that is null. Rows keep their version, and there are no events.';
alter function app_private.remake_json(jsonb) owner to callboard_definer;

create or replace function app.check_rows() returns table (resource text, row_count bigint, differing bigint)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
set timezone = 'UTC'
as $$
begin
  for resource in select r.name from app_private.resources r order by r.name loop
    execute (
      select format('select count(*), count(*) filter (where v.body::jsonb is distinct from to_jsonb(f)) from %s v, lateral (select %s) f',
        r.view, string_agg(format('v.%I', a.attname), ', '))
      from (select format('app.%I', r.fields)::regclass as view from app_private.resources r where r.name = resource) r
      join pg_catalog.pg_attribute a on a.attrelid = r.view
        and a.attnum >= (select i.attnum from pg_catalog.pg_attribute i where i.attrelid = r.view and i.attname = 'id')
      group by r.view) into row_count, differing;
    return next;
  end loop;
end
$$;
comment on function app.check_rows() is
  'For each resource: how many rows all organizations have, and of how many the JSON is not what their columns say, which only happens if somebody has disabled a trigger. `update app.<table> set version = version` mends them.';
alter function app.check_rows() owner to callboard_definer;
grant execute on function app.check_rows() to callboard_auditor;
