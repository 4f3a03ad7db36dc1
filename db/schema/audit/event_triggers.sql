-- How changes to tables become events. A table takes part with one line,
--
--   select app_private.log_changes('app.shows', 'show');
--
-- and tables that do not are listed, with the reason, in test/audit/not-logged.ts.

create table if not exists app_private.event_nouns (
  on_table regclass primary key,
  noun text not null,
  permission text not null references app.permissions (name),
  besides text
);
select app_private.force_rls('app_private.event_nouns');
select app_private.set_policy('app_private.event_nouns', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.event_nouns', 'all_owner', 'callboard_owner', 'true');
grant select on app_private.event_nouns to callboard_definer;
comment on table app_private.event_nouns is
  'Reference: the resource_type of the events of each table, and the permission to read it, without which nobody sees their changes: see app.readable_events.';
comment on column app_private.event_nouns.besides is 'A further permission without which nobody sees them, because some rows, such as those of a draft, need it, and an event does not say which.';

create or replace function app_private.loggable(of_row jsonb, hidden text) returns jsonb
language sql stable parallel safe
return case hidden when '{}' then of_row - '{organization_id,id,created_at,created_by,updated_at,version,deleted_by,as_json,show_json}'::text[]
  else of_row - '{organization_id,id,created_at,created_by,updated_at,version,deleted_by,as_json,show_json}'::text[] - hidden::text[] end;
comment on function app_private.loggable(jsonb, text) is 'A row without what its event states anyway and without the hidden columns.';
alter function app_private.loggable(jsonb, text) owner to callboard_definer;

create or replace function app_private.diff(before jsonb, after jsonb) returns jsonb
language plpgsql immutable parallel safe
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('old', jsonb_object_agg(a.key, before -> a.key), 'new', jsonb_object_agg(a.key, a.value))
    from jsonb_each(after) a where a.value is distinct from before -> a.key
    having count(*) > 0);
end
$$;
comment on function app_private.diff(jsonb, jsonb) is 'The columns in which two versions of a row differ, old and new; NULL if there are none.';
alter function app_private.diff(jsonb, jsonb) owner to callboard_definer;

create or replace function app_private.refuse_lost_context(of_organization text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
begin
  if not app_private.is_trusted() then
    perform app.refuse(403, 'permission_denied', 'The context was lost during the transaction.');
  end if;
  return of_organization;
end
$$;
comment on function app_private.refuse_lost_context(text) is
  'PT403 unless the login may change rows without a context in their organization, which is then returned.';
alter function app_private.refuse_lost_context(text) owner to callboard_definer;

-- New rows are logged by one INSERT for the whole statement, in the order of the rows. A trigger for each row would cost
-- an import twice as much.
create or replace function app_private.tg__900_events() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  c app_private.context := app_private.context();
begin
  -- app_private.log_changes passes the arguments: resource, id column, organization column, action, columns to leave out and,
  -- if there are any, the bytea columns as JSON of nulls. Bytes are not made JSON, which takes seconds for a file.
  -- A statement can change the context while it runs: a change that ends without its context is refused.
  -- OFFSET keeps PostgreSQL from making the JSON of a row again wherever it is mentioned.
  if c.user_id is not null then
    insert into app.event_log (organization_id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes)
    select case when (i.present ->> tg_argv[2])::uuid = c.organization_id then c.organization_id else app_private.refuse_lost_context(i.present ->> tg_argv[2]) end,
      c.user_id, c.session_id, (i.present ->> tg_argv[1])::uuid, case session_user when 'callboard_support' then 'support' else 'user' end,
      tg_argv[3], tg_argv[0], c.request_id, c.ip, jsonb_build_object('new', jsonb_strip_nulls(app_private.loggable(i.present, tg_argv[4])))
    from (select case when tg_nargs > 5 then to_jsonb(jsonb_populate_record(a, tg_argv[5]::jsonb)) else to_jsonb(a) end as present from added a offset 0) i;
  else
    perform app_private.log_event(app_private.refuse_lost_context(i.present ->> tg_argv[2]), tg_argv[3], tg_argv[0], (i.present ->> tg_argv[1])::uuid,
      jsonb_build_object('new', jsonb_strip_nulls(app_private.loggable(i.present, tg_argv[4]))))
    from (select case when tg_nargs > 5 then to_jsonb(jsonb_populate_record(a, tg_argv[5]::jsonb)) else to_jsonb(a) end as present from added a offset 0) i;
  end if;
  return null;
end
$$;
comment on function app_private.tg__900_events() is
  'Logs the rows that a statement has inserted. PT403 if the login no longer has a context in their organization.';
alter function app_private.tg__900_events() owner to callboard_definer;

-- Runs on every change, so it has few, small expressions: PostgreSQL prepares each one again in every transaction.
create or replace function app_private.tg__900_event() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  -- app_private.log_changes passes the arguments: resource, id column, organization column,
  -- verbs, columns to leave out and, if there are any, the bytea columns as JSON of nulls.
  present jsonb := case when tg_nargs > 5 then to_jsonb(jsonb_populate_record(coalesce(new, old), tg_argv[5]::jsonb)) else to_jsonb(coalesce(new, old)) end;
  before jsonb;
  changes jsonb;
  verb text;
  c app_private.context;
begin
  if tg_op = 'UPDATE' then
    before := case when tg_nargs > 5 then to_jsonb(jsonb_populate_record(old, tg_argv[5]::jsonb)) else to_jsonb(old) end;
    changes := app_private.diff(app_private.loggable(before, tg_argv[4]), app_private.loggable(present, tg_argv[4]));
    -- A row whose JSON is made again keeps its version: what else its triggers fill in is no change by anybody. Tables
    -- without that JSON may have a version that is another thing.
    if changes is null or present ? 'as_json' and before -> 'version' = present -> 'version' then
      return null;
    elsif changes -> 'new' ? 'deleted_at' then
      verb := case when present ->> 'deleted_at' is null then 'restore' else 'delete' end;
    else
      verb := coalesce((select v.key from jsonb_each(tg_argv[3]::jsonb) v where changes -> 'new' ? v.key limit 1), 'update');
    end if;
  else
    -- A row marked as deleted is being purged, and its values must not be logged. Others are deleted without a mark.
    if present ->> 'deleted_at' is not null or (app_private.context()).role = 'purge' then
      verb := 'purge';
    else
      verb := 'delete';
      if not present ? 'deleted_at' then
        changes := jsonb_build_object('old', jsonb_strip_nulls(app_private.loggable(present, tg_argv[4])));
      end if;
    end if;
  end if;
  if tg_argv[3] <> '{}' then
    verb := coalesce(tg_argv[3]::jsonb ->> verb, verb);
  end if;
  -- A statement can change the context while it runs: a change that ends without its context is refused.
  c := app_private.context();
  if c.organization_id = (present ->> tg_argv[2])::uuid and c.user_id is not null then
    insert into app.event_log (organization_id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes)
    values (c.organization_id, c.user_id, c.session_id,
      (present ->> tg_argv[1])::uuid, case session_user when 'callboard_support' then 'support' else 'user' end,
      tg_argv[0] || '.' || verb, tg_argv[0],
      c.request_id, c.ip, changes);
  elsif app_private.is_trusted() then
    perform app_private.log_event((present ->> tg_argv[2])::uuid, tg_argv[0] || '.' || verb, tg_argv[0], (present ->> tg_argv[1])::uuid, changes);
  else
    perform app.refuse(403, 'permission_denied', 'The context was lost during the transaction.');
  end if;
  return null;
end
$$;
comment on function app_private.tg__900_event() is 'Logs the change or the deletion of a row. PT403 if the login no longer has a context in the row''s organization.';
alter function app_private.tg__900_event() owner to callboard_definer;

create or replace function app_private.hide_changes(on_table regclass, besides text) returns void
language sql volatile
set search_path = ''
begin atomic
  update app_private.event_nouns n set besides = hide_changes.besides where n.on_table = hide_changes.on_table and n.besides is distinct from hide_changes.besides;
end;
comment on function app_private.hide_changes(regclass, text) is 'Shows the changes in the events of a table only to those who hold this permission, too. After app_private.log_changes.';

create or replace function app_private.log_changes(
  on_table regclass, resource text, verbs jsonb default '{}', id_column text default 'id', leave_out name[] default '{}'
) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  organization_column text := case when on_table = to_regclass('app.organizations') then 'id' else 'organization_id' end;
  -- bytea columns are hashes or keys.
  hidden text[] := array(
    select a.attname::text from pg_catalog.pg_attribute a
    where a.attrelid = on_table and (a.atttypid = 'bytea'::regtype or a.attname = any (leave_out) or a.attname = id_column and id_column <> 'id') and not a.attisdropped
    order by a.attname);
  bytes jsonb := (
    select jsonb_object_agg(a.attname, null) from pg_catalog.pg_attribute a
    where a.attrelid = on_table and a.atttypid = 'bytea'::regtype and not a.attisdropped);
begin
  -- What is inserted into a partition by its own name fires no statement trigger of the partitioned table.
  if exists (select from pg_catalog.pg_class c where c.oid = on_table and (c.relkind <> 'r' or c.relispartition)) then
    raise exception '% is not an ordinary table: its new rows would not be logged', on_table;
  end if;
  insert into app_private.event_nouns as n (on_table, noun, permission)
  -- What each member sees only their own of is seen by those who manage all members.
  values (on_table, resource, coalesce(app_private.policy_permission(on_table, 'select'), 'members.manage'))
  on conflict on constraint event_nouns_pkey do update set noun = excluded.noun, permission = excluded.permission
    where (n.noun, n.permission) is distinct from (excluded.noun, excluded.permission);
  perform app_private.set_trigger(on_table, '_900_events', format('after insert on %s
    referencing new table as added for each statement execute function app_private.tg__900_events(%L, %L, %L, %L, %L%s)',
    on_table, resource, id_column, organization_column, resource || '.' || coalesce(verbs ->> 'create', 'create'), hidden, ', ' || quote_literal(bytes)));
  perform app_private.set_trigger(on_table, '_900_event', format('after delete or update on %s
    for each row execute function app_private.tg__900_event(%L, %L, %L, %L, %L%s)',
    on_table, resource, id_column, organization_column, verbs, hidden, ', ' || quote_literal(bytes)));
end
$$;
comment on function app_private.log_changes(regclass, text, jsonb, text, name[]) is
  'Logs every change of the table''s rows as <resource>.create, update, delete, restore or purge. After its policies, which say who sees the changes. verbs replaces these names, or names the change of a column: {"role": "change_role"}. leave_out names columns that events do not show, such as digests of what not everybody may read. Call it again when the table gets a bytea column.';
