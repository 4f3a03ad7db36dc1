-- Tables with the rows of organizations. An ordinary one needs a single call; the rest of its file covers only
-- what is special about it:
--
--   select app_private.tenant_table('venues', noun => 'venue', permission => 'shows', path => '/api/venues');

create table if not exists app_private.table_permissions (
  on_table regclass not null,
  command text not null constraint table_permissions_command_known check (command in ('select', 'insert', 'update', 'delete')),
  permission text not null references app.permissions (name),
  primary key (on_table, command)
);
select app_private.force_rls('app_private.table_permissions');
select app_private.set_policy('app_private.table_permissions', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.table_permissions', 'all_owner', 'callboard_owner', 'true');
grant select on app_private.table_permissions to callboard_definer;
comment on table app_private.table_permissions is
  'Reference: the permission that a member needs for a command on a table, as in its policy; also where there is no grant because the command goes through functions.';

create table if not exists app_private.resources (
  name text primary key,
  noun text not null,
  fields text not null,
  path text not null,
  guard regprocedure,
  remade text
);
select app_private.force_rls('app_private.resources');
select app_private.set_policy('app_private.resources', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.resources', 'all_owner', 'callboard_owner', 'true');
select app_private.set_policy('app_private.resources', 'update_definer', 'callboard_definer', 'true');
grant select, update (remade) on app_private.resources to callboard_definer;
comment on table app_private.resources is
  'Reference: the tables of app that the generic row commands accept. Never one whose own commands check more than its policies and triggers do.';
comment on column app_private.resources.noun is 'What a row is called in the event log.';
comment on column app_private.resources.fields is 'The view with the fields of a response.';
comment on column app_private.resources.path is 'The path of its routes.';
comment on column app_private.resources.remade is 'Which form of the JSON all rows have, as a digest of the trigger that keeps it: see app_private.remake_json.';
comment on column app_private.resources.guard is 'Called with the table and the id when a row itself, not its parent, has been deleted or restored; it refuses changes to rows that must stay as they are.';

create or replace function app_private.policy_permission(target regclass, command text) returns text
language sql stable
set search_path = ''
begin atomic
  select p.permission from app_private.table_permissions p where p.on_table = target and p.command = policy_permission.command;
end;
comment on function app_private.policy_permission(regclass, text) is
  'The permission that a member needs for select, insert, update or delete on a table; NULL where no member may.';
alter function app_private.policy_permission(regclass, text) owner to callboard_definer;

create or replace function app_private.row_key(target regclass) returns text
language sql stable
set search_path = ''
begin atomic
  -- The only primary key column besides the organization.
  select case when count(*) = 1 then min(a.attname)::text end
  from pg_catalog.pg_constraint c, unnest(c.conkey) as k (attnum)
  join pg_catalog.pg_attribute a on a.attnum = k.attnum
  where c.conrelid = target and c.contype = 'p' and a.attrelid = target and a.attname <> 'organization_id';
end;
comment on function app_private.row_key(regclass) is 'The column that identifies a row of a table within its organization; NULL if that takes more than one.';
alter function app_private.row_key(regclass) owner to callboard_definer;

-- The definer sees all rows, so it asks the members' own policies. It also sees all of the tables that these name: a
-- condition on another table has to say which permission that takes.
create or replace function app_private.member_sees(target regclass, id uuid) returns boolean
language plpgsql stable
set search_path = ''
as $$
declare
  policies constant text := (
    select string_agg(format('(%s)', pg_get_expr(p.polqual, p.polrelid)), ' or ') from pg_catalog.pg_policy p
    where p.polrelid = target and p.polcmd = 'r' and 'callboard_api'::regrole = any (p.polroles));
  is_seen boolean;
begin
  execute format('select exists (select from %s where %I = app.current_org() and %I = $1 and (%s))', target,
    case when target = 'app.organizations'::regclass then 'id' else 'organization_id' end, app_private.row_key(target), coalesce(policies, 'false'))
  into is_seen using id;
  return is_seen;
end
$$;
comment on function app_private.member_sees(regclass, uuid) is
  'Whether the policies let the member of this transaction see a row of their organization, deleted or not; for the definer, to whom policies show all.';
alter function app_private.member_sees(regclass, uuid) owner to callboard_definer;

create or replace function app_private.member_policy(
  target regclass, command text, permission text, who text default 'callboard_api', besides text default null, organization_column text default 'organization_id'
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app_private.set_policy(target, command || '_member', who,
    format(case when besides is null then '%I = (select app.%I(%L))' else '(%I = (select app.%I(%L))) and (%s)' end,
      organization_column, case when command = 'select' and permission not like '%.read' then 'org_if_reading' else 'org_if' end,
      permission, besides));
  insert into app_private.table_permissions as p (on_table, command, permission) values (target, member_policy.command, member_policy.permission)
  on conflict on constraint table_permissions_pkey do update set permission = excluded.permission where p.permission <> excluded.permission;
end
$$;
comment on function app_private.member_policy(regclass, text, text, text, text, text) is
  'Lets members who hold the permission run the command on their organization''s rows, where the besides condition is true, and records the permission.';

create or replace function app_private.tenant_policies(
  target regclass, reads text, inserts text default null, updates text default null, deletes text default null, definer text default 'update',
  is_exported boolean default false, is_counted boolean default false, known text[] default '{}', besides text default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  command text;
  name text := (select c.relname from pg_catalog.pg_class c where c.oid = target);
begin
  perform app_private.force_rls(target);
  if reads is not null then
    perform app_private.member_policy(target, 'select', reads, case when is_exported then 'callboard_api, callboard_exporter' else 'callboard_api' end, besides);
  end if;
  if inserts is not null then
    perform app_private.member_policy(target, 'insert', inserts);
  end if;
  if updates is not null then
    perform app_private.member_policy(target, 'update', updates);
  end if;
  -- Without a grant, because deletes are soft: app_private.delete_row checks the permission.
  if deletes is not null then
    perform app_private.member_policy(target, 'delete', deletes);
  end if;
  -- The definer reads rows before there is a context, or through an index that a policy would rule out; it writes only in the current organization.
  perform app_private.set_policy(target, 'select_definer', 'callboard_definer', 'true');
  foreach command in array string_to_array(definer, ', ') loop
    perform app_private.set_policy(target, command || '_definer', 'callboard_definer', 'organization_id = (select app.current_org())');
  end loop;
  -- Figures are computed for all organizations at once: see analytics/rollups.sql.
  if is_counted then
    perform app_private.set_policy(target, 'select_rollup', 'callboard_rollup', 'true');
  end if;
  if exists (select from pg_catalog.pg_attribute a where a.attrelid = target and a.attname = 'version' and a.atthasdef) then
    perform app_private.set_trigger(target, '_100_timestamps', format('before update on %s for each row %sexecute function app_private.tg__100_timestamps()', target,
      -- A row whose JSON is made again has not changed.
      case when exists (select from pg_catalog.pg_attribute a where a.attrelid = target and a.attname = 'as_json')
        then 'when ((new.as_json is distinct from ''''::text)) ' else '' end));
  end if;
  -- Soft delete marks rows and the purge removes them: no retention is shorter than a day.
  if exists (select from pg_catalog.pg_attribute a where a.attrelid = target and a.attname = 'deletion_id') then
    perform app_private.set_policy(target, 'purge_definer', 'callboard_definer',
      '(organization_id = (select app.current_org())) and (deleted_at < (now() - ''1 day''::interval))', 'delete');
    execute format('grant update (deleted_at, deleted_by, deletion_id), delete on %s to callboard_definer', target);
    if to_regclass(format('app.%I', name || '_deletion_id_idx')) is null then
      execute format('create index %I on %s (organization_id, deletion_id) where deletion_id is not null', name || '_deletion_id_idx', target);
    end if;
  end if;
  perform app_private.hide_statistics(target, known);
end
$$;
comment on function app_private.tenant_policies(regclass, text, text, text, text, text, boolean, boolean, text[], text) is
  'The policies part of app_private.tenant_table, for a table with grants or events of its own: the permissions of members, the commands that the definer''s functions run, and a further condition on the rows that members see (besides).';

create or replace function app_private.publish_rows(target regclass) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  fields regclass := (select format('app.%I', r.fields) from app_private.resources r where to_regclass(format('app.%I', r.name)) = target);
begin
  execute format('comment on view %s is %L', fields, format('The rows of %s with the fields of a response, including those in the bin, which have deleted_at.', target));
  execute format('grant select on %s to callboard_api, callboard_definer%s', fields,
    case when has_table_privilege('callboard_exporter', target, 'select') then ', callboard_exporter' end);
  perform app_private.keep_json(target, fields);
end
$$;
comment on function app_private.publish_rows(regclass) is
  'Lets members read the view of a tenant table, and has the table keep their JSON. app_private.tenant_table calls it for a view that exists by then; a view that joins later tables calls it itself.';

create or replace function app_private.check_parents(target regclass) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  columns text;
  arguments text;
begin
  select string_agg(format('%I', k.name), ', ' order by k.name),
    string_agg(format('%L, %L, %L, %L', k.name, c.confrelid::regclass, p.attname, c.conname), ', ' order by c.confdeltype, k.name)
  into columns, arguments
  from pg_catalog.pg_constraint c
  join lateral (select a.attname as name from pg_catalog.pg_attribute a where a.attrelid = c.conrelid and a.attnum = c.conkey[2]) k on true
  join pg_catalog.pg_attribute p on p.attrelid = c.confrelid and p.attnum = c.confkey[2]
  where c.conrelid = target and c.contype = 'f' and cardinality(c.conkey) = 2
    and exists (select from pg_catalog.pg_attribute d where d.attrelid = c.confrelid and d.attname = 'deleted_at' and not d.attisdropped);
  if columns is not null then
    perform app_private.set_trigger(target, '_300_parents', format('before insert or update of %s on %s
      for each row execute function app_private.tg__300_parents(%s)', columns, target, arguments));
  end if;
end
$$;
comment on function app_private.check_parents(regclass) is
  'Lets no row refer to a deleted one: a foreign key to (organization_id, x) is also checked for deletion, under a lock, so that a concurrent deletion waits and then takes the row along.';

create or replace function app_private.tenant_table(
  name text, noun text, permission text default null, path text default null, reads text default null, writes text default null, deletes text default null,
  definer text default 'update', is_exported boolean default false, is_counted boolean default false, known text[] default '{}', verbs jsonb default '{}',
  guard regprocedure default null, checks_parents boolean default true, besides text default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  target regclass := format('app.%I', name);
begin
  perform app_private.tenant_policies(target, coalesce(reads, permission || '.read'), coalesce(writes, permission || '.write'),
    coalesce(writes, permission || '.write'), coalesce(deletes, permission || '.delete'), definer, is_exported, is_counted, known, besides);
  execute format('grant select on %s to callboard_api, callboard_definer%s%s', target,
    case when is_exported then ', callboard_exporter' end, case when is_counted then ', callboard_rollup' end);
  perform app_private.log_changes(target, noun, verbs);
  if checks_parents then
    perform app_private.check_parents(target);
  end if;
  if path is null then
    delete from app_private.resources r where r.name = tenant_table.name;
  else
    insert into app_private.resources as r (name, noun, fields, path, guard)
    values (tenant_table.name, tenant_table.noun, tenant_table.noun || '_rows', tenant_table.path, tenant_table.guard)
    on conflict on constraint resources_pkey do update set noun = excluded.noun, fields = excluded.fields, path = excluded.path, guard = excluded.guard;
    if to_regclass(format('app.%I', tenant_table.noun || '_rows')) is not null then
      perform app_private.publish_rows(target);
    end if;
  end if;
end
$$;
comment on function app_private.tenant_table(text, text, text, text, text, text, text, text, boolean, boolean, text[], jsonb, regprocedure, boolean, text) is
  'Makes a table a tenant table: forced row-level security with policies for <permission>.read, .write and .delete (or for the permissions given) and a further condition on the rows that members see (besides), ETags, soft delete, the purge, no row under a deleted one (unless the table checks its parents in another way), events named <noun>.create and so on, and, with a path, the generic row commands. The table''s own file grants which columns can be written.';
