-- Imports: a file of shows or finance records that a member uploads, has checked, and then has
-- imported. The worker does the work as that member: see import_checking.sql and import_running.sql.

create table if not exists app.imports (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  resource text not null constraint imports_resource_known check (resource in ('shows', 'finance_records')),
  file_name text collate app.people constraint imports_file_name_length check (length(file_name) between 1 and 200 and file_name !~ '[\u0001-\u001f\u007f-\u009f]'),
  bytes bigint not null,
  sha256 text not null,
  -- What the member said about the file and, once it is checked, what was found in it.
  options jsonb not null default '{}',
  status text not null default 'uploaded' constraint imports_status_known check (
    status in ('uploaded', 'checking', 'checked', 'queued', 'running', 'done', 'failed', 'cancelled')),
  on_error text constraint imports_on_error_known check (on_error in ('abort', 'skip')),
  lines integer not null default 0,
  bad_lines integer not null default 0,
  existing integer not null default 0,
  created integer not null default 0,
  failure text,
  session_id uuid not null default app.current_session_id(),
  created_by uuid not null default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (organization_id, id)
);
create index if not exists imports_organization_id_created_at_idx on app.imports (organization_id, created_at, id);
-- A job knows only the id of its import: see app_private.enter_import.
create index if not exists imports_id_idx on app.imports (id);

-- A separate table, because it changes while the import's row is locked by the transaction that enters its lines.
create table if not exists app.import_progress (
  organization_id uuid not null,
  import_id uuid not null,
  lines_done integer not null default 0,
  is_cancelled boolean not null default false,
  primary key (organization_id, import_id),
  constraint import_progress_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);

-- The file, in chunks, until the import has ended.
create table if not exists app.import_chunks (
  organization_id uuid not null,
  import_id uuid not null,
  n integer not null,
  content bytea not null,
  primary key (organization_id, import_id, n),
  constraint import_chunks_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);

create table if not exists app.import_lines (
  organization_id uuid not null,
  import_id uuid not null,
  line integer not null,
  -- For a good line: the columns of its table.
  record jsonb,
  -- For a bad one: [{"column", "reason"}].
  problems jsonb,
  primary key (organization_id, import_id, line),
  constraint import_lines_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);
create index if not exists import_lines_problems_idx on app.import_lines (organization_id, import_id, line) where problems is not null;

comment on table app.imports is 'Files of shows or finance records, and what became of them.';
comment on column app.imports.lines is 'Number of lines with data, counted when the file is checked.';
comment on column app.imports.existing is 'Number of lines whose reference (source and external_ref) already exists; they are skipped.';
comment on table app.import_progress is 'The progress of a running import, and whether it should stop.';
comment on table app.import_chunks is 'The uploaded files of imports.';
comment on table app.import_lines is 'The lines of imports: their data, or what is wrong with them.';

-- Without write grants, because writes go through functions; nobody reads the file itself. The definer sees everything: the worker
-- must find out whose import it is about to enter.
select app_private.tenant_policies('app.imports', reads => 'imports.run', inserts => 'imports.run', updates => 'imports.run',
  definer => 'insert, update, delete');
select app_private.tenant_policies('app.import_progress', reads => 'imports.run', definer => 'insert, update, delete');
select app_private.tenant_policies('app.import_lines', reads => 'imports.run', definer => 'insert, update, delete');
select app_private.tenant_policies('app.import_chunks', reads => null, definer => 'insert, update, delete');
grant select, insert, update, delete on app.imports, app.import_progress, app.import_chunks, app.import_lines to callboard_definer;
-- The purge has no context and sees only old rows: see app.purge_expired.
drop policy if exists purge_definer on app.imports;
create policy purge_definer on app.imports for delete to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '30 days');
-- Not the digest of the file: see app.import_digest.
grant select (organization_id, id, resource, file_name, bytes, options, status, on_error, lines, bad_lines, existing, created, failure, session_id, created_by, created_at, finished_at) on app.imports to callboard_api;
grant select on app.import_progress to callboard_api;
-- Not the data: it may be that of fees and records which a member who may import shows must not read.
grant select (organization_id, import_id, line, problems) on app.import_lines to callboard_api;

select app_private.log_changes('app.imports', 'import', '{"status": "change_status"}', leave_out => '{sha256}');

create or replace function app.import_digest(import uuid) returns text
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select i.sha256 from app.imports i
  where i.organization_id = app.org_if_reading('imports.run') and i.id = import and i.created_by = app.current_user_id();
end;
comment on function app.import_digest(uuid) is
  'The SHA-256 of an import''s file, for the member who uploaded it: from it, others could find the fees in a file of which they may read all else.';
alter function app.import_digest(uuid) owner to callboard_definer;
grant execute on function app.import_digest(uuid) to callboard_api, callboard_definer;

create or replace view app.import_list with (security_invoker = true) as
  select i.organization_id, i.id, i.status, i.resource, i.created_at,
    json_build_object('id', i.id, 'resource', i.resource, 'file_name', i.file_name, 'bytes', i.bytes, 'sha256', app.import_digest(i.id),
      'delimiter', i.options ->> 'delimiter', 'decimal', i.options ->> 'decimal', 'encoding', i.options ->> 'encoding',
      'dates', i.options ->> 'dates', 'source', i.options ->> 'source',
      'ignored_columns', coalesce(i.options -> 'ignored_columns', '[]'),
      'status', i.status, 'on_error', i.on_error, 'lines', i.lines, 'bad_lines', i.bad_lines, 'existing', i.existing, 'created', i.created,
      'lines_done', coalesce(p.lines_done, 0), 'failure', i.failure,
      'created_by', i.created_by, 'created_at', i.created_at, 'finished_at', i.finished_at) as body
  from app.imports i
  left join app.import_progress p on p.organization_id = i.organization_id and p.import_id = i.id;
comment on view app.import_list is 'The organization''s imports, with their JSON.';
grant select on app.import_list to callboard_api, callboard_definer;

create or replace function app.read_import(import uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require_reading('imports.run');
  select 200, i.body, null::text, '/api/imports/' || i.id into answer from app.import_list i
  where i.organization_id = app.current_org() and i.id = import;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_import(uuid) is 'An import. PT403, PT404.';
grant execute on function app.read_import(uuid) to callboard_api, callboard_definer;

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

create or replace function app.add_import_chunk(import uuid, number integer, piece bytea) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- Only in the transaction that created it: nothing can be added to an uploaded file.
  if not exists (select from app.imports i where i.organization_id = app.current_org() and i.id = import
      and i.created_by = app.current_user_id() and i.created_at = now()) then
    perform app.refuse(404, 'not_found');
  end if;
  insert into app.import_chunks (organization_id, import_id, n, content) values (app.current_org(), import, number, piece);
end
$$;
comment on function app.add_import_chunk(uuid, integer, bytea) is 'Stores a chunk of the file of an import that this transaction created. PT404.';
alter function app.add_import_chunk(uuid, integer, bytea) owner to callboard_definer;
grant execute on function app.add_import_chunk(uuid, integer, bytea) to callboard_api;

create or replace function app.run_import(import uuid, when_bad text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports;
begin
  perform app.require('imports.run');
  select * into i from app.imports x where x.organization_id = app.current_org() and x.id = import for update;
  if not found then
    perform app.refuse(404, 'not_found');
  elsif i.status <> 'checked' then
    perform app.refuse(409, 'import_not_checked', format('The import is %s: only a checked import can be run.', i.status));
  elsif when_bad = 'abort' and i.bad_lines > 0 then
    perform app.refuse(409, 'import_has_bad_lines', format('%s of its %s lines are bad: run it with on_error skip, or import a corrected file.', i.bad_lines, i.lines));
  end if;
  perform app.require(case i.resource when 'shows' then 'shows.write' else 'finance.write' end);
  -- It runs as the member who starts it, with their permissions.
  update app.imports x set status = 'queued', on_error = when_bad, created_by = app.current_user_id(), session_id = app.current_session_id()
  where x.organization_id = i.organization_id and x.id = i.id;
  perform app_private.add_job('run_import', jsonb_build_object('import', i.id), 'import:' || i.id, 5, 'import', i.organization_id::text);
  return app.read_import(i.id);
end
$$;
comment on function app.run_import(uuid, text) is
  'Has the lines of a checked import entered: all of them (abort) or only the good ones (skip). PT403, PT404, PT409 import_not_checked, import_has_bad_lines.';
alter function app.run_import(uuid, text) owner to callboard_definer;
grant execute on function app.run_import(uuid, text) to callboard_api;

create or replace function app.cancel_import(import uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present text;
begin
  perform app.require('imports.run');
  -- First, because an import that is just ending lets this wait for its end. Others check this flag after every few lines.
  update app.import_progress p set is_cancelled = true where p.organization_id = app.current_org() and p.import_id = import;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  select x.status into present from app.imports x where x.organization_id = app.current_org() and x.id = import;
  if present in ('done', 'failed', 'cancelled') then
    perform app.refuse(409, 'import_ended', format('It is already %s.', present));
  elsif present <> 'running' then
    -- The worker has it locked while it checks: then it ends it.
    perform from app.imports x where x.organization_id = app.current_org() and x.id = import for update skip locked;
    if found then
      perform app_private.end_import(import, 'cancelled');
    end if;
  end if;
  return app.read_import(import);
end
$$;
comment on function app.cancel_import(uuid) is 'Cancels an import; a running one stops soon, and none of it is entered. PT403, PT404, PT409 import_ended.';
alter function app.cancel_import(uuid) owner to callboard_definer;
grant execute on function app.cancel_import(uuid) to callboard_api;

create or replace function app_private.end_import(import uuid, with_status text, because text default null, entered integer default 0, there integer default null)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  i app.imports;
begin
  update app.imports x
  set status = with_status, failure = because, finished_at = statement_timestamp(), created = entered, existing = coalesce(there, x.existing)
  where x.organization_id = app.current_org() and x.id = import and x.status not in ('done', 'failed', 'cancelled')
  returning x.* into i;
  if found then
    perform app_private.count_integration(i.organization_id, 'import', coalesce(i.options ->> 'source', i.resource), 1, (with_status = 'failed')::integer,
      entered, i.bytes);
  end if;
  -- Good lines have become records or are no longer wanted; problems of bad ones may still be read.
  delete from app.import_chunks c where c.organization_id = app.current_org() and c.import_id = import;
  delete from app.import_lines l where l.organization_id = app.current_org() and l.import_id = import and l.problems is null;
end
$$;
comment on function app_private.end_import(uuid, text, text, integer, integer) is 'Ends an import, counts it, and deletes its file and its good lines.';
alter function app_private.end_import(uuid, text, text, integer, integer) owner to callboard_definer;

create or replace function app.list_import_problems(import uuid, after_line integer, how_many integer) returns app.answer
language plpgsql stable
set search_path = ''
as $$
begin
  perform app.read_import(import);
  return (
    select (200, json_build_object('items', coalesce(json_agg(json_build_object('line', x.line, 'problems', x.problems) order by x.line)
        filter (where x.n <= how_many), '[]'),
      'next_cursor', (max(x.line) filter (where x.n = how_many and x.total > how_many))::text), null, null)::app.answer
    from (
      select l.line, l.problems, row_number() over (order by l.line) as n, count(*) over () as total
      from app.import_lines l
      where l.organization_id = app.current_org() and l.import_id = import and l.problems is not null and l.line > after_line
      order by l.line limit how_many + 1) as x);
end
$$;
comment on function app.list_import_problems(uuid, integer, integer) is
  'The bad lines of an import after a given line, and the last of them if there are more. PT404.';
grant execute on function app.list_import_problems(uuid, integer, integer) to callboard_api;
