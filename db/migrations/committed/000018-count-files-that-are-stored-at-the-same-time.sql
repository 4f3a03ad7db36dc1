--! Previous: sha1:fd1406200fa47211d79d6e89d50d47bb852263c2
--! Hash: sha1:7cc78fa0e6af9cb625440d3b38fe166d8d615e3b
--! Message: Count files that are stored at the same time

-- Included imports/imports.sql
-- Without write grants, because writes go through functions; nobody reads the file itself. The definer sees everything: the worker
-- must find out whose import it is about to enter.
select app_private.tenant_policies('app.imports', reads => 'imports.run', inserts => 'imports.run', updates => 'imports.run',
  definer => 'insert, update, delete');
select app_private.tenant_policies('app.import_progress', reads => 'imports.run', definer => 'insert, update, delete');
select app_private.tenant_policies('app.import_lines', reads => 'imports.run', definer => 'insert, update, delete');
select app_private.tenant_policies('app.import_chunks', reads => null, definer => 'insert, update, delete');
select app_private.log_changes('app.imports', 'import', '{"status": "change_status"}', leave_out => '{sha256}');
create or replace function app.create_import(the_resource text, name text, file_bytes bigint, file_sha256 text, given jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  import uuid;
  answer app.answer;
begin
  perform app.require('imports.run');
  perform app.require(case the_resource when 'shows' then 'shows.write' else 'finance.write' end);
  if file_bytes = 0 then
    perform app.refuse(400, 'bad_request', 'The body contains no file.');
  end if;
  -- Before the file is sent to the database, and once more after it.
  perform app_private.require_room(app.current_org(), app_private.nobody(), file_bytes);
  insert into app.imports (resource, file_name, bytes, sha256, options)
  values (the_resource, name, file_bytes, file_sha256, jsonb_strip_nulls(given)) returning id into import;
  insert into app.import_progress (organization_id, import_id) values (app.current_org(), import);
  perform app_private.add_job('check_import', jsonb_build_object('import', import), 'import:' || import, 5, 'import', app.current_org()::text);
  answer := app.read_import(import);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_import(text, text, bigint, text, jsonb) is
  'Creates an import, to be checked once the transaction has committed; its file follows with app.add_import_chunk. PT400 bad_request without a file, PT403 without imports.run or the permission to write the imported resource, PT409 too_many_imports, import_storage_full.';
alter function app.create_import(text, text, bigint, text, jsonb) owner to callboard_definer;
grant execute on function app.create_import(text, text, bigint, text, jsonb) to callboard_api;
-- EndIncluded imports/imports.sql
-- Included imports/import_room.sql
-- How much an organization may have of files to import. The limits are in docs/reference/limits.md.

create table if not exists app_private.storing (
  organization_id uuid primary key references app.organizations (id) on delete cascade
);
select app_private.definer_table('app_private.storing', 'select, insert, update, delete');
comment on table app_private.storing is 'Each row is what those wait for who store files of an organization, so that they count each other''s.';
create or replace function app_private.lock_storing(organization uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  insert into app_private.storing (organization_id) values (organization) on conflict do nothing;
  perform from app_private.storing x where x.organization_id = organization for update;
end
$$;
comment on function app_private.lock_storing(uuid) is 'Waits for others who are about to store a file of the organization, until they have committed: nobody holds it for longer than that takes.';
alter function app_private.lock_storing(uuid) owner to callboard_definer;
create or replace function app_private.require_room(organization uuid, import uuid, file_bytes bigint) returns void
language plpgsql stable
set search_path = ''
as $$
declare
  unfinished bigint;
  stored bigint;
begin
  select count(*) filter (where i.status not in ('done', 'failed', 'cancelled')),
    -- Of one that has ended, its bad lines are left: about 300 bytes each.
    coalesce(sum(case when i.status in ('done', 'failed', 'cancelled') then i.bad_lines * 300::bigint else i.bytes end), 0) into unfinished, stored
  from app.imports i where i.organization_id = organization and i.id <> import;
  if unfinished >= 20 then
    perform app.refuse(409, 'too_many_imports');
  elsif unfinished > 0 and stored + file_bytes > 524288000 or stored > 524288000 then
    perform app.refuse(409, 'import_storage_full');
  end if;
end
$$;
comment on function app_private.require_room(uuid, uuid, bigint) is 'PT409 too_many_imports, import_storage_full, if the other imports of the organization leave no room for this one.';
alter function app_private.require_room(uuid, uuid, bigint) owner to callboard_definer;
create or replace function app_private.tg_imports__900_room() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.lock_storing(new.organization_id);
  perform app_private.require_room(new.organization_id, new.id, new.bytes);
  return null;
end
$$;
comment on function app_private.tg_imports__900_room() is
  'Asks again for room when the transaction ends, one at a time: while files are stored, imports do not see each other. PT409 too_many_imports, import_storage_full.';
alter function app_private.tg_imports__900_room() owner to callboard_definer;
do $$
begin
  if not exists (select from pg_trigger t where t.tgrelid = 'app.imports'::regclass and t.tgname = '_900_room') then
    create constraint trigger _900_room after insert on app.imports deferrable initially deferred
      for each row execute function app_private.tg_imports__900_room();
  end if;
end
$$;
-- EndIncluded imports/import_room.sql
-- Included exports/export_commands.sql
create or replace function app.create_export(of_resource text, in_format text, with_bom boolean, by_filters jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require_export(of_resource);
  export uuid;
  answer app.answer;
begin
  perform app.require('exports.run');
  perform app_private.lock_storing(organization);
  -- The worker acts as the member, and a superadmin is not one.
  if not exists (select from app.memberships m where m.organization_id = organization and m.user_id = app.current_user_id() and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Only members can create exports.');
  elsif (select count(*) from app.exports e where e.organization_id = organization and e.created_by = app.current_user_id()
      and e.status in ('queued', 'running')) >= 5 then
    perform app.refuse(409, 'too_many_exports');
  elsif (select count(*) from app.exports e where e.organization_id = organization and e.status in ('queued', 'running')) >= 20 then
    perform app.refuse(409, 'too_many_exports_of_all');
  elsif (select sum(e.bytes) from app.exports e where e.organization_id = organization and e.status = 'ready') > 21474836480 then
    perform app.refuse(409, 'export_storage_full');
  end if;
  insert into app.exports (resource, format, bom, filters) values (of_resource, in_format, with_bom, jsonb_strip_nulls(by_filters)) returning id into export;
  insert into app.export_progress (organization_id, export_id) values (organization, export);
  perform app_private.add_job('run_export', jsonb_build_object('organization', organization, 'export', export), 'export:' || export, 5,
    'export', organization::text);
  answer := app.read_export(export);
  answer.status := 202;
  return answer;
end
$$;
comment on function app.create_export(text, text, boolean, jsonb) is
  'Has the worker export what the member may see to a file, once this transaction has committed. PT403 without exports.run or the permission to read it, PT409 too_many_exports, too_many_exports_of_all, export_storage_full.';
alter function app.create_export(text, text, boolean, jsonb) owner to callboard_definer;
grant execute on function app.create_export(text, text, boolean, jsonb) to callboard_api;
-- EndIncluded exports/export_commands.sql
-- Lock: share row exclusive on app.organizations: create table if not exists app_private.storing ( organization_id uuid primary key references app.org
-- Lock: share row exclusive on app.imports: do $$ begin if not exists (select from pg_trigger t where t.tgrelid = 'app.imports'::regclass and t.
