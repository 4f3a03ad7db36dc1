-- The generic row commands, for every table that needs no more than this: each is one function that takes the table's
-- name. The table defines the rest: its policies who may run a command, its column grants what can be written, its
-- defaults what may be omitted, its triggers any special rules, and its view the response.
--
-- The view, <noun>_rows, has organization_id, version, deleted_at, deleted_by, the response (body) and the sort columns
-- of lists; then, from `id` on, the fields of the response.

create or replace function app.resource(
  table_name text, command text default 'select', out target regclass, out fields regclass, out path text, out permission text
)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  select to_regclass(format('app.%I', r.name)), to_regclass(format('app.%I', r.fields)), r.path into target, fields, path
  from app_private.resources r where r.name = table_name;
  if not found then
    perform app.refuse(404, 'not_found', 'There is no such resource.');
  end if;
  permission := app_private.policy_permission(target, command);
end
$$;
comment on function app.resource(text, text) is
  'A table that the generic row commands accept, the view with its fields, the path of its routes, and the permission for a command. PT404 for every other table.';
alter function app.resource(text, text) owner to callboard_definer;
grant execute on function app.resource(text, text) to callboard_api, callboard_definer;

create or replace function app.require_parent(table_name text, parent text, id uuid) returns uuid
language plpgsql stable
set search_path = ''
as $$
declare
  r record := app.resource(table_name);
  parent_exists boolean;
begin
  execute (
    select format('select true from %s p where p.organization_id = (select app.current_org()) and p.id = $1 and p.deleted_at is null', c.confrelid::regclass)
    from pg_catalog.pg_constraint c
    where c.conrelid = r.target and c.contype = 'f'
      and c.conkey[2] = (select a.attnum from pg_catalog.pg_attribute a where a.attrelid = r.target and a.attname = parent))
  into parent_exists using id;
  -- Of an itinerary, those who do not plan it see what is published: that is in its view and not in its table.
  if parent_exists is null and parent = 'itinerary_id' then
    perform app.read_row('itineraries', id);
    parent_exists := true;
  end if;
  if parent_exists is null then
    perform app.refuse(404, 'not_found');
  end if;
  return id;
end
$$;
comment on function app.require_parent(text, text, uuid) is 'The id of a row''s parent, by the column that references it. PT404 if the member may not see it.';
grant execute on function app.require_parent(text, text, uuid) to callboard_api, callboard_definer;

create or replace function app.read_row(table_name text, id uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  r record := app.resource(table_name);
  answer app.answer;
begin
  execute format(
    'select 200, f.body::json, app.etag(f.version), %L || f.id
     from %s f where f.organization_id = (select app.current_org()) and f.id = $1 and f.deleted_at is null', r.path || '/', r.fields)
  into answer using id;
  if answer.status is null then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_row(text, uuid) is 'A row that is not deleted. PT404.';
grant execute on function app.read_row(text, uuid) to callboard_api, callboard_definer;

create or replace function app.create_row(table_name text, body jsonb, parent text default null, parent_id uuid default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  r record := app.resource(table_name, 'insert');
  complete jsonb := case when parent is null then body else body || jsonb_build_object(parent, app.require_parent(table_name, parent, parent_id)) end;
  columns text := (select string_agg(quote_ident(k), ', ') from jsonb_object_keys(complete) k);
  id uuid;
  answer app.answer;
begin
  perform app.require(r.permission);
  -- The answer shows the row, and refusals may tell of others: who does not see them learns nothing first.
  perform app.require((app.resource(table_name)).permission);
  if columns is null then
    perform app.refuse(400, 'invalid_value', 'The body is empty.');
  end if;
  -- Columns missing from the body get their defaults; PostgreSQL refuses those that are not granted.
  execute format('insert into %1$s (%2$s) select %2$s from jsonb_populate_record(null::%1$s, $1) returning id', r.target, columns) into id using complete;
  answer := app.read_row(table_name, id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_row(text, jsonb, text, uuid) is
  'Creates a row, under a parent if its column and id are given; columns missing from the body get their defaults. PT403, PT404, PT409, PT422.';
grant execute on function app.create_row(text, jsonb, text, uuid) to callboard_api;

create or replace function app.check_row(table_name text, id uuid, command text, if_match text) returns regclass
language plpgsql stable
set search_path = ''
as $$
declare
  r record := app.resource(table_name, command);
  present integer;
begin
  execute format('select f.version from %s f where f.organization_id = (select app.current_org()) and f.id = $1 and f.deleted_at is null', r.fields)
  into present using id;
  perform app.check_version(present, if_match);
  perform app.require(r.permission);
  return r.target;
end
$$;
comment on function app.check_row(text, uuid, text, text) is
  'Checks whether a member may run a command on a row: PT404 if they cannot see it, PT412 if its version differs, PT403 without the permission. Returns its table.';
grant execute on function app.check_row(text, uuid, text, text) to callboard_api;

create or replace function app.keep_denomination(target regclass, present jsonb, currency text, body jsonb) returns void
language plpgsql stable
set search_path = ''
as $$
declare
  unsaid text;
begin
  if coalesce(currency = present ->> 'currency', true) then
    return;
  end if;
  select string_agg(a.attname, ', ' order by a.attnum) into unsaid
  from pg_catalog.pg_attribute a
  where a.attrelid = target and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and not body ? a.attname
    and (a.attname ~ '_minor$' and (present -> a.attname) not in ('0', 'null')
      -- The parts of a template.
      or jsonb_path_exists(present -> a.attname, '$.** ? (@.type() == "object").keyvalue() ? (@.key like_regex "_minor$" && @.value != 0)'));
  if unsaid is not null then
    perform app.refuse(422, 'currency_needs_amounts', format('Say what %s is in %s; it is in %s now.', unsaid, currency, present ->> 'currency'));
  end if;
end
$$;
comment on function app.keep_denomination(regclass, jsonb, text, jsonb) is
  'PT422 currency_needs_amounts if a row of the table, as it is, would be given another currency by a body that leaves out amounts (columns that end in _minor, other than zero): the same number would be another amount.';
grant execute on function app.keep_denomination(regclass, jsonb, text, jsonb) to callboard_api, callboard_definer;

create or replace function app.write_row(table_name text, id uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  target regclass := app.check_row(table_name, id, 'update', if_match);
  present integer;
  before jsonb;
  changes text := (
    select string_agg(format(case when body ? c.name then '%1$I = b.%1$I' else '%1$I = default' end, c.name), ', ')
    from (
      select jsonb_object_keys(body) as name
      union
      select a.attname from pg_catalog.pg_attribute a
      where replaces and a.attrelid = target and a.attnum > 0 and not a.attisdropped and has_column_privilege(a.attrelid, a.attnum, 'update')) c);
begin
  if changes is null then
    perform app.refuse(400, 'invalid_value', 'The body is empty.');
  end if;
  -- Check again under a lock, now that the caller may take one.
  execute format('select t.version from %s t where t.organization_id = (select app.current_org()) and t.id = $1 and t.deleted_at is null for no key update', target)
  into present using id;
  perform app.check_version(present, if_match);
  if body ? 'currency' and not replaces then
    execute format('select to_jsonb(t) from %s t where t.organization_id = (select app.current_org()) and t.id = $1', target) into before using id;
  end if;
  execute format('update %1$s t set %2$s from jsonb_populate_record(null::%1$s, $1) b where t.organization_id = (select app.current_org()) and t.id = $2', target, changes)
  using body, id;
  -- Afterwards, since a currency that cannot be changed at all is refused for that.
  perform app.keep_denomination(target, before, body ->> 'currency', body);
  return app.read_row(table_name, id);
end
$$;
comment on function app.write_row(text, uuid, jsonb, boolean, text) is
  'Changes a row: the columns in the body or, with replaces, every writable column (those absent get their defaults). PT403, PT404, PT409, PT412, PT422, such as currency_needs_amounts.';
grant execute on function app.write_row(text, uuid, jsonb, boolean, text) to callboard_api;

create or replace function app_private.guard_row(table_name text, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  guard regproc := (select r.guard::regproc from app_private.resources r where r.name = table_name);
begin
  if guard is not null then
    execute format('select %s($1, $2)', guard) using (app.resource(table_name)).target, id;
  end if;
end
$$;
comment on function app_private.guard_row(text, uuid) is 'Lets a table''s guard refuse what was done to a row: see app_private.resources.';
alter function app_private.guard_row(text, uuid) owner to callboard_definer;

create or replace function app_private.require_seen(target regclass, id uuid) returns regclass
language plpgsql stable
set search_path = ''
as $$
begin
  if not app_private.member_sees(target, id) then
    perform app.refuse(404, 'not_found');
  end if;
  return target;
end
$$;
comment on function app_private.require_seen(regclass, uuid) is
  'The table, for the definer''s parts of commands, which anybody may call who can run SQL. PT404 for a row that the member does not see.';
alter function app_private.require_seen(regclass, uuid) owner to callboard_definer;

create or replace function app.mark_row(table_name text, id uuid, if_match text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  target constant regclass := app_private.require_seen((app.resource(table_name)).target, id);
  answer app.answer := app_private.delete_row(target, id, if_match);
begin
  perform app_private.guard_row(table_name, id);
  return answer;
end
$$;
comment on function app.mark_row(text, uuid, text) is 'The definer''s part of app.delete_row: marks the row as deleted, with everything that belongs to it. PT403, PT404, PT409, PT412.';
alter function app.mark_row(text, uuid, text) owner to callboard_definer;
grant execute on function app.mark_row(text, uuid, text) to callboard_api;

create or replace function app.delete_row(table_name text, id uuid, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app.check_row(table_name, id, 'delete', if_match);
  return app.mark_row(table_name, id, if_match);
end
$$;
comment on function app.delete_row(text, uuid, text) is 'Soft-deletes a row with everything that belongs to it. PT403, PT404, PT409, PT412.';
grant execute on function app.delete_row(text, uuid, text) to callboard_api;

create or replace function app.unmark_row(table_name text, id uuid) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row(app_private.require_seen((app.resource(table_name)).target, id), id);
  perform app_private.guard_row(table_name, id);
end
$$;
comment on function app.unmark_row(text, uuid) is 'The definer''s part of app.restore_row: restores the row and everything that was deleted with it. PT403, PT404, PT409.';
alter function app.unmark_row(text, uuid) owner to callboard_definer;
grant execute on function app.unmark_row(text, uuid) to callboard_api;

create or replace function app.restore_row(table_name text, id uuid) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  r record := app.resource(table_name);
  is_seen boolean;
begin
  -- The definer sees more than the member does.
  execute format('select true from %s f where f.organization_id = (select app.current_org()) and f.id = $1 and f.deleted_at is not null', r.fields)
  into is_seen using id;
  if is_seen is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.unmark_row(table_name, id);
  return app.read_row(table_name, id);
end
$$;
comment on function app.restore_row(text, uuid) is 'Restores a deleted row and everything that was deleted with it. PT403, PT404, PT409.';
grant execute on function app.restore_row(text, uuid) to callboard_api;

create or replace function app.cursor(list text, value text, id text) returns text
language sql stable parallel safe
return translate(encode(convert_to(json_build_array(list, value, id)::text, 'UTF8'), 'base64'), E'+/=\n', '-_');
comment on function app.cursor(text, text, text) is
  'Where the next page of a list starts: after the row with this value in the sort column and this id. In base64url, read by src/tenant/list.ts.';
grant execute on function app.cursor(text, text, text) to callboard_api, callboard_definer;
