--! Previous: sha1:9e1e7738c5a9848291e62c9d93aa2eb427b6ebbe
--! Hash: sha1:949eabcb160fedda5e48217a7d83e70e64f79c3b
--! Message: exports

-- The exporter reads what can be exported under the same policies as the API.
alter policy select_member on app.shows to callboard_api, callboard_exporter;
alter policy select_member on app.venues to callboard_api, callboard_exporter;
alter policy select_member on app.finance_records to callboard_api, callboard_exporter;
alter policy select_member on app.finance_categories to callboard_api, callboard_exporter;
alter policy select_member on app.event_log to callboard_api, callboard_exporter;
alter policy select_member on app.memberships to callboard_api, callboard_exporter;
alter policy select_colleague on app.users to callboard_api, callboard_exporter;
grant select on app.shows, app.venues, app.finance_records, app.finance_categories to callboard_exporter;
grant select (organization_id, id, occurred_at, actor_id, session_id, resource_id, erased_at, actor_kind, action, resource_type, request_id, ip, changes)
  on app.event_log to callboard_exporter;
grant select (organization_id, user_id, deleted_at) on app.memberships to callboard_exporter;
grant select (id, display_name) on app.users to callboard_exporter;

-- It takes a queue now.
drop function if exists app_private.add_job(text, jsonb, text, integer);
--! Included jobs.sql
-- Jobs: what is done after the answer, by the worker. graphile-worker keeps them in a schema of its
-- own (see queue.sql); these functions are all that the rest of the database knows of it. They are
-- in plpgsql because that schema is not there when they are made.

create or replace function app_private.add_job(
  task text, payload jsonb, job_key text default null, max_attempts integer default null, queue text default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform graphile_worker.add_job(task, payload::json, queue, job_key => add_job.job_key, max_attempts => add_job.max_attempts);
end
$$;
comment on function app_private.add_job(text, jsonb, text, integer, text) is
  'Has the worker do a task once this transaction has committed. No secret goes into the payload, which is kept as long as the job. A waiting job with the same key is replaced; a job that fails is tried again after growing pauses, max_attempts times (default 25). Of the jobs in one queue only one is done at a time.';
alter function app_private.add_job(text, jsonb, text, integer, text) owner to callboard_definer;
revoke execute on function app_private.add_job(text, jsonb, text, integer, text) from public;

create or replace function app.keep_jobs(workers text[], may_free boolean default true) returns integer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  released integer;
begin
  update graphile_worker._private_jobs j set locked_at = now() where j.locked_by = any (workers);
  update graphile_worker._private_job_queues q set locked_at = now() where q.locked_by = any (workers);
  if not may_free then
    return 0;
  end if;

  update graphile_worker._private_jobs j
  set locked_at = null, locked_by = null, last_error = coalesce(j.last_error, 'its worker was gone')
  where j.locked_at < now() - interval '20 seconds';
  get diagnostics released = row_count;
  update graphile_worker._private_job_queues q set locked_at = null, locked_by = null
  where q.locked_at < now() - interval '20 seconds';
  return released;
end
$$;
comment on function app.keep_jobs(text[], boolean) is
  'A worker''s sign of life, given every 5 seconds: its jobs stay its own, and those of a worker that has been silent for 20 are free again. Whoever has not been heard for that long itself must not free any: it may have been the database that was away. Returns how many are free.';
alter function app.keep_jobs(text[], boolean) owner to callboard_definer;
revoke execute on function app.keep_jobs(text[], boolean) from public;
grant execute on function app.keep_jobs(text[], boolean) to callboard_worker;

create or replace function app.job_health()
returns table (waiting bigint, failed bigint, oldest_waiting_seconds float8, sealer_lag_seconds float8)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return query
    select count(*) filter (where j.is_available), count(*) filter (where j.locked_at is null and not j.is_available),
      coalesce(extract(epoch from now() - min(j.run_at) filter (where j.is_available and j.run_at <= now())), 0)::float8,
      (select extract(epoch from now() - s.sealed_until)::float8 from app_private.sealing s where isfinite(s.sealed_until))
    from graphile_worker._private_jobs j;
end
$$;
comment on function app.job_health() is
  'How many jobs wait (some until a pause is over) and were given up, for how long the oldest has been due, and up to how long ago events are sealed (null: none ever).';
alter function app.job_health() owner to callboard_definer;
revoke execute on function app.job_health() from public;
grant execute on function app.job_health() to callboard_worker;
--! EndIncluded jobs.sql
--! Included exports.sql
-- Exports: files of what a member may see. The small ones are streamed as answers and are nothing
-- but events; the large ones are rows here, made by the worker as that member: see export_running.sql.
-- An export is its maker's own, because another member may not see all that is in the file.

create or replace function app_private.export_sees(resource text) returns text[]
language sql immutable parallel safe
set search_path = ''
return case resource
  when 'shows' then '{shows.read,shows.delete}'
  when 'venues' then '{shows.read,shows.delete}'
  when 'finance_records' then '{finance.read,finance.delete,shows.read}'
  when 'events' then '{audit.read,members.read}'
end::text[];
comment on function app_private.export_sees(text) is
  'Which permissions an export of something makes use of, if they are held; the first of them it needs, and exports.run. NULL for what cannot be exported.';
alter function app_private.export_sees(text) owner to callboard_definer;
revoke execute on function app_private.export_sees(text) from public;

create table if not exists app.exports (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  resource text not null constraint exports_resource_known check (resource in ('shows', 'venues', 'finance_records', 'events')),
  format text not null constraint exports_format_known check (format in ('csv', 'ndjson', 'json')),
  bom boolean not null default false,
  filters jsonb not null default '{}' constraint exports_filters_size check (length(filters::text) <= 4000),
  status text not null default 'queued' constraint exports_status_known check (
    status in ('queued', 'running', 'ready', 'failed', 'cancelled', 'expired')),
  -- Each try writes a file of its own, so that of two workers only one can make it ready.
  attempt uuid,
  bytes bigint,
  sha256 text constraint exports_sha256_format check (sha256 ~ '^[0-9a-f]{64}$'),
  failure text,
  session_id uuid not null default app.current_session_id(),
  created_by uuid not null default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  expires_at timestamptz,
  primary key (organization_id, id),
  constraint exports_ready_with_file check (status <> 'ready' or (attempt is not null and bytes is not null and sha256 is not null and expires_at is not null))
);
create index if not exists exports_created_by_idx on app.exports (organization_id, created_by, created_at, id);
alter table app.exports alter column resource set statistics 0, alter column format set statistics 0, alter column filters set statistics 0,
  alter column bytes set statistics 0, alter column sha256 set statistics 0, alter column failure set statistics 0;

-- Apart, because it moves all the time and is no event.
create table if not exists app.export_progress (
  organization_id uuid not null,
  export_id uuid not null,
  created_by uuid not null default app.current_user_id() references app.users (id),
  rows_done bigint not null default 0,
  primary key (organization_id, export_id),
  constraint export_progress_export_exists foreign key (organization_id, export_id) references app.exports (organization_id, id) on delete cascade
);
alter table app.export_progress alter column rows_done set statistics 0;

comment on table app.exports is 'Files that members have had made of what they may see, and what became of them.';
comment on column app.exports.filters is 'As in the list, with its sort.';
comment on column app.exports.attempt is 'The last part of the name of its file, after the organization and the export.';
comment on column app.exports.expires_at is 'When the file goes.';
comment on table app.export_progress is 'How many rows of an export are written.';

do $$
declare
  t regclass;
begin
  foreach t in array array['app.exports', 'app.export_progress']::regclass[] loop
    execute format('alter table %s enable row level security', t);
    execute format('alter table %s force row level security', t);
    -- Also for the worker, who finds out by this whose export it is about to make.
    execute format('drop policy if exists select_definer on %s', t);
    execute format('create policy select_definer on %s for select to callboard_definer using (true)', t);
    execute format('drop policy if exists insert_definer on %s', t);
    execute format('create policy insert_definer on %s for insert to callboard_definer with check (organization_id = (select app.current_org()))', t);
    execute format('drop policy if exists update_definer on %s', t);
    execute format('create policy update_definer on %s for update to callboard_definer using (organization_id = (select app.current_org()))', t);
  end loop;
end
$$;
drop policy if exists select_member on app.exports;
create policy select_member on app.exports for select to callboard_api
  using (organization_id = (select app.org_if('exports.run')) and created_by = (select app.current_user_id()));
drop policy if exists select_member on app.export_progress;
create policy select_member on app.export_progress for select to callboard_api
  using (organization_id = (select app.org_if('exports.run')) and created_by = (select app.current_user_id()));
-- Without grants, because these go through functions.
drop policy if exists insert_member on app.exports;
create policy insert_member on app.exports for insert to callboard_api with check (organization_id = (select app.org_if('exports.run')));
drop policy if exists update_member on app.exports;
create policy update_member on app.exports for update to callboard_api using (organization_id = (select app.org_if('exports.run')));
drop policy if exists purge_definer on app.exports;
create policy purge_definer on app.exports for delete to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '30 days');

grant select (organization_id, id, resource, format, bom, filters, status, bytes, sha256, failure, created_by, created_at, finished_at, expires_at)
  on app.exports to callboard_api;
grant select on app.export_progress to callboard_api;
grant select, insert (resource, format, bom, filters), update (status, attempt, bytes, sha256, failure, finished_at, expires_at), delete
  on app.exports to callboard_definer;
grant select, insert, update (rows_done) on app.export_progress to callboard_definer;

select app_private.log_changes('app.exports', 'export', '{"status": "change_status"}');

create or replace function app.require_export(of_resource text) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('exports.run');
  return app.require((app_private.export_sees(of_resource))[1]);
end
$$;
comment on function app.require_export(text) is
  'The organization of this transaction, if its member may export this. PT403 without exports.run or the permission to read it.';
alter function app.require_export(text) owner to callboard_definer;
revoke execute on function app.require_export(text) from public;
grant execute on function app.require_export(text) to callboard_api;

create or replace function app.log_export(stream uuid, of_resource text, details jsonb, is_done boolean default false) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- Its end is told also by who may not begin any more.
  if not is_done then
    perform app.require_export(of_resource);
  end if;
  if app.current_org() is null or app.current_user_id() is null then
    perform app.refuse(403, 'permission_denied');
  elsif length(details::text) > 4000 then
    perform app.refuse(400, 'invalid_value', 'These filters are too long.');
  end if;
  perform app_private.log_event(app.current_org(), case when is_done then 'export.stream_end' else 'export.stream' end, 'export', stream,
    jsonb_build_object('new', jsonb_build_object('resource', of_resource) || jsonb_strip_nulls(details)));
end
$$;
comment on function app.log_export(uuid, text, jsonb, boolean) is
  'Logs that an export is streamed (export.stream, with format and filters), or has ended (export.stream_end, with its rows and whether it is complete). PT403 for who may not export this.';
alter function app.log_export(uuid, text, jsonb, boolean) owner to callboard_definer;
revoke execute on function app.log_export(uuid, text, jsonb, boolean) from public;
grant execute on function app.log_export(uuid, text, jsonb, boolean) to callboard_api;
--! EndIncluded exports.sql
--! Included export_running.sql
-- What the worker does with an export (src/exports/job.ts): it reads, as the member whose it is and
-- under the same policies as a request of theirs, and writes what it has read into a file.
--
-- callboard_exporter is the role that it reads as. It is named in the SELECT policies of what can be
-- exported, beside callboard_api, and can nothing else. The worker may become it, and without
-- app.enter_export, which makes the context of a running export, sees nothing as that either.

create or replace function app_private.export_permissions(e app.exports) returns text[]
language sql stable
set search_path = ''
begin atomic
  select coalesce(array_agg(p.held order by p.held), '{}')
  from unnest(app.permissions_of(e.organization_id, e.created_by)) p (held)
  where p.held = any (array['exports.run'] || app_private.export_sees(e.resource))
    -- permissions_of also counts for who may restore what was deleted.
    and exists (select from app.organizations o where o.id = e.organization_id and o.deleted_at is null);
end;
comment on function app_private.export_permissions(app.exports) is 'What the member whose export it is holds at this moment of what it makes use of.';
alter function app_private.export_permissions(app.exports) owner to callboard_definer;
revoke execute on function app_private.export_permissions(app.exports) from public;

create or replace function app_private.may_export(e app.exports) returns boolean
language sql stable
set search_path = ''
return app_private.export_permissions(e) @> array['exports.run', (app_private.export_sees(e.resource))[1]];
comment on function app_private.may_export(app.exports) is 'Whether the member whose export it is may still have it.';
alter function app_private.may_export(app.exports) owner to callboard_definer;
revoke execute on function app_private.may_export(app.exports) from public;

create or replace function app_private.lock_export(organization uuid, export uuid, of_attempt uuid default null) returns app.exports
language plpgsql volatile
set search_path = ''
as $$
declare
  e app.exports;
begin
  select * into e from app.exports x where x.organization_id = organization and x.id = export;
  if not found then
    return null;
  end if;
  perform app_private.set_context(e.created_by, e.session_id, organization);
  select * into e from app.exports x where x.organization_id = organization and x.id = export for update;
  if of_attempt is not null and (e.status <> 'running' or e.attempt is distinct from of_attempt) then
    return null;
  end if;
  return e;
end
$$;
comment on function app_private.lock_export(uuid, uuid, uuid) is
  'Locks an export, in the name of its member; null if there is none, or with an attempt if that is not the one under way.';
alter function app_private.lock_export(uuid, uuid, uuid) owner to callboard_definer;
revoke execute on function app_private.lock_export(uuid, uuid, uuid) from public;

create or replace function app_private.end_export(e app.exports, because text) returns void
language sql volatile
set search_path = ''
begin atomic
  update app.exports x set status = 'failed', failure = because, finished_at = statement_timestamp()
  where x.organization_id = e.organization_id and x.id = e.id;
end;
comment on function app_private.end_export(app.exports, text) is 'An export has failed because of something.';
alter function app_private.end_export(app.exports, text) owner to callboard_definer;
revoke execute on function app_private.end_export(app.exports, text) from public;

create or replace function app.begin_export(organization uuid, export uuid) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports := app_private.lock_export(organization, export);
begin
  if e.id is null or e.status not in ('queued', 'running') then
    return null;
  elsif not app_private.may_export(e) then
    perform app_private.end_export(e, 'Who wanted it may not do it any more.');
    return null;
  end if;
  update app.export_progress p set rows_done = 0 where p.organization_id = organization and p.export_id = export;
  update app.exports x set status = 'running', attempt = gen_random_uuid() where x.organization_id = organization and x.id = export returning * into e;
  return jsonb_build_object('resource', e.resource, 'format', e.format, 'bom', e.bom, 'filters', e.filters, 'attempt', e.attempt,
    'key', concat_ws('/', e.organization_id, e.id, e.attempt));
end
$$;
comment on function app.begin_export(uuid, uuid) is
  'Begins to make an export, also again, and then anew: what of, and the name of the file. NULL if there is nothing to do (any more).';
alter function app.begin_export(uuid, uuid) owner to callboard_definer;
revoke execute on function app.begin_export(uuid, uuid) from public;
grant execute on function app.begin_export(uuid, uuid) to callboard_worker;

create or replace function app.enter_export(organization uuid, export uuid, of_attempt uuid) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports;
begin
  -- PostgreSQL lets no transaction out of being read-only, so whatever runs in this one changes nothing.
  if not current_setting('transaction_read_only')::boolean then
    raise exception 'an export is read in a transaction that can only read';
  end if;
  select * into e from app.exports x where x.organization_id = organization and x.id = export and x.attempt = of_attempt and x.status = 'running';
  if not found or not app_private.may_export(e) then
    perform app.refuse(403, 'permission_denied', 'Who wanted it may not do it any more.');
  end if;
  perform app_private.set_context(e.created_by, e.session_id, e.organization_id, null, app_private.export_permissions(e));
end
$$;
comment on function app.enter_export(uuid, uuid, uuid) is
  'Opens this transaction, which can only read, for the member whose export is running, with what they hold of the permissions to read it and no other. PT403.';
alter function app.enter_export(uuid, uuid, uuid) owner to callboard_definer;
revoke execute on function app.enter_export(uuid, uuid, uuid) from public;
grant execute on function app.enter_export(uuid, uuid, uuid) to callboard_worker;

create or replace function app.note_export_progress(organization uuid, export uuid, of_attempt uuid, rows_written bigint) returns boolean
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports := app_private.lock_export(organization, export, of_attempt);
begin
  if e.id is null then
    return false;
  elsif not app_private.may_export(e) then
    perform app_private.end_export(e, 'Who wanted it may not do it any more.');
    return false;
  end if;
  update app.export_progress p set rows_done = rows_written where p.organization_id = organization and p.export_id = export;
  return true;
end
$$;
comment on function app.note_export_progress(uuid, uuid, uuid, bigint) is
  'How many rows of an export are written. False if it is to stop: it was cancelled, another worker has it, or its member may not have it any more.';
alter function app.note_export_progress(uuid, uuid, uuid, bigint) owner to callboard_definer;
revoke execute on function app.note_export_progress(uuid, uuid, uuid, bigint) from public;
grant execute on function app.note_export_progress(uuid, uuid, uuid, bigint) to callboard_worker;

create or replace function app.finish_export(organization uuid, export uuid, of_attempt uuid, rows_written bigint, file_bytes bigint, file_sha256 text)
returns boolean
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  if not app.note_export_progress(organization, export, of_attempt, rows_written) then
    return false;
  end if;
  update app.exports x
  set status = 'ready', bytes = file_bytes, sha256 = file_sha256, finished_at = statement_timestamp(), expires_at = statement_timestamp() + interval '7 days'
  where x.organization_id = organization and x.id = export;
  return true;
end
$$;
comment on function app.finish_export(uuid, uuid, uuid, bigint, bigint, text) is
  'The file of an export is whole, and kept for seven days. False if nobody wants or may have it any more, or another worker makes it.';
alter function app.finish_export(uuid, uuid, uuid, bigint, bigint, text) owner to callboard_definer;
revoke execute on function app.finish_export(uuid, uuid, uuid, bigint, bigint, text) from public;
grant execute on function app.finish_export(uuid, uuid, uuid, bigint, bigint, text) to callboard_worker;

create or replace function app.fail_export(organization uuid, export uuid, of_attempt uuid, because text) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports := app_private.lock_export(organization, export, of_attempt);
begin
  if e.status in ('queued', 'running') then
    perform app_private.end_export(e, because);
  end if;
end
$$;
comment on function app.fail_export(uuid, uuid, uuid, text) is 'An export, or this attempt at it, has failed because of something.';
alter function app.fail_export(uuid, uuid, uuid, text) owner to callboard_definer;
revoke execute on function app.fail_export(uuid, uuid, uuid, text) from public;
grant execute on function app.fail_export(uuid, uuid, uuid, text) to callboard_worker;

create or replace function app.expire_exports() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports;
  ended bigint := 0;
begin
  for e in
    select * from app.exports x
    where x.status = 'ready' and x.expires_at <= now()
      -- Its job was given up without a word of it, or is lost.
      or x.status in ('queued', 'running') and not exists (
        select from graphile_worker._private_jobs j where j.key = 'export:' || x.id and (j.is_available or j.locked_at is not null))
  loop
    e := app_private.lock_export(e.organization_id, e.id);
    if e.status = 'ready' and e.expires_at <= now() then
      update app.exports x set status = 'expired' where x.organization_id = e.organization_id and x.id = e.id;
    elsif e.status in ('queued', 'running') then
      perform app_private.end_export(e, 'It was tried several times, and the worker died each time.');
    end if;
    ended := ended + 1;
  end loop;
  perform app_private.set_context(null, null);
  perform app_private.add_job('sweep_exports', '{}', 'sweep_exports', 3);
  return ended;
end
$$;
comment on function app.expire_exports() is
  'Ends exports whose time is over or whose job is gone, and has the files swept that nobody may fetch any more. Returns how many ended.';
alter function app.expire_exports() owner to callboard_definer;
revoke execute on function app.expire_exports() from public;
grant execute on function app.expire_exports() to callboard_worker;

create or replace function app.wanted_export_files(keys text[]) returns text[]
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select coalesce(array_agg(k.key), '{}')
  from unnest(keys) k (key)
  join app.exports e on e.organization_id = split_part(k.key, '/', 1)::uuid and e.id = split_part(k.key, '/', 2)::uuid
    and e.attempt = split_part(k.key, '/', 3)::uuid and e.status in ('running', 'ready');
end;
comment on function app.wanted_export_files(text[]) is 'Those of these files that belong to an export that is ready, or is being made.';
alter function app.wanted_export_files(text[]) owner to callboard_definer;
revoke execute on function app.wanted_export_files(text[]) from public;
grant execute on function app.wanted_export_files(text[]) to callboard_worker;

grant usage on schema app to callboard_exporter;
grant execute on function app.require(text), app.org_if(text), app.current_org(), app.current_user_id(), app.search_shows(text),
  app.in_bin(json, timestamptz, uuid) to callboard_exporter;
--! EndIncluded export_running.sql
--! Included export_commands.sql
-- What a member does with their exports: have one made, see how far it is, give it up, and fetch the file.

create or replace function app_private.export_link(organization uuid, export uuid, member uuid, session uuid, until bigint) returns text
language sql stable parallel restricted
set search_path = ''
return concat_ws('.', replace(organization::text, '-', ''), replace(session::text, '-', ''), until,
  encode(app_private.keyed_hash(convert_to(concat_ws(' ', 'export', organization, export, member, session, until), 'UTF8')), 'hex'));
comment on function app_private.export_link(uuid, uuid, uuid, uuid, bigint) is
  'The token of a link to the file of an export: for whom, from which session, until when (in seconds since 1970), and the proof.';
alter function app_private.export_link(uuid, uuid, uuid, uuid, bigint) owner to callboard_definer;
revoke execute on function app_private.export_link(uuid, uuid, uuid, uuid, bigint) from public;

create or replace function app.export_link(export uuid) returns text
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select format('/api/analytics/export/%s/file?token=%s', e.id,
    app_private.export_link(e.organization_id, e.id, e.created_by, app.current_session_id(), extract(epoch from now() + interval '1 hour')::bigint))
  from app.exports e
  where e.organization_id = app.org_if('exports.run') and e.id = export and e.created_by = app.current_user_id() and e.status = 'ready'
    and e.expires_at > now();
end;
comment on function app.export_link(uuid) is
  'A fresh link to the file of one of one''s own exports, for an hour and as long as one''s session; NULL if there is no file.';
alter function app.export_link(uuid) owner to callboard_definer;
revoke execute on function app.export_link(uuid) from public;
grant execute on function app.export_link(uuid) to callboard_api;

create or replace view app.export_list with (security_invoker = true) as
  select e.organization_id, e.id, e.created_by, e.resource, e.created_at,
    json_build_object('id', e.id, 'resource', e.resource, 'format', e.format, 'bom', e.bom, 'filters', e.filters,
      'status', e.status, 'rows_done', coalesce(p.rows_done, 0), 'bytes', e.bytes, 'sha256', e.sha256, 'failure', e.failure,
      'link', app.export_link(e.id), 'created_by', e.created_by, 'created_at', e.created_at, 'finished_at', e.finished_at,
      'expires_at', e.expires_at) as body
  from app.exports e
  left join app.export_progress p on p.organization_id = e.organization_id and p.export_id = e.id;
comment on view app.export_list is 'The member''s own exports, with their JSON.';
grant select on app.export_list to callboard_api;
grant select on app.export_list to callboard_definer;

create or replace function app.read_export(export uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('exports.run');
  select 200, e.body, null::text, '/api/analytics/export/' || e.id into answer from app.export_list e
  -- Its maker's own, also for who sees more.
  where e.organization_id = app.current_org() and e.id = export and e.created_by = app.current_user_id();
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_export(uuid) is 'One of one''s own exports, with a fresh link if it is ready. PT403, PT404.';
revoke execute on function app.read_export(uuid) from public;
grant execute on function app.read_export(uuid) to callboard_api, callboard_definer;

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
  -- The worker enters as the member, and a superadmin is none.
  if not exists (select from app.memberships m where m.organization_id = organization and m.user_id = app.current_user_id() and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Exports are for members.');
  elsif (select count(*) from app.exports e where e.organization_id = organization and e.created_by = app.current_user_id()
      and e.status in ('queued', 'running')) >= 5 then
    perform app.refuse(409, 'too_many_exports');
  end if;
  insert into app.exports (resource, format, bom, filters) values (of_resource, in_format, with_bom, jsonb_strip_nulls(by_filters)) returning id into export;
  insert into app.export_progress (organization_id, export_id) values (organization, export);
  -- Two queues: exports of one organization follow each other, and never take all that a worker can do at a time.
  perform app_private.add_job('run_export', jsonb_build_object('organization', organization, 'export', export), 'export:' || export, 5,
    'exports ' || abs(hashtext(organization::text) % 2));
  answer := app.read_export(export);
  answer.status := 202;
  return answer;
end
$$;
comment on function app.create_export(text, text, boolean, jsonb) is
  'Has the worker make a file of what the member may see once this transaction has committed. PT403 without exports.run or the permission to read it, PT409 too_many_exports.';
alter function app.create_export(text, text, boolean, jsonb) owner to callboard_definer;
revoke execute on function app.create_export(text, text, boolean, jsonb) from public;
grant execute on function app.create_export(text, text, boolean, jsonb) to callboard_api;

create or replace function app.cancel_export(export uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present text;
begin
  perform app.require('exports.run');
  select e.status into present from app.exports e
  where e.organization_id = app.current_org() and e.id = export and e.created_by = app.current_user_id() for update;
  if not found then
    perform app.refuse(404, 'not_found');
  elsif present not in ('queued', 'running') then
    perform app.refuse(409, 'export_ended', format('It is %s already.', present));
  end if;
  -- The worker asks after every few rows whether it is to go on.
  update app.exports e set status = 'cancelled', finished_at = statement_timestamp() where e.organization_id = app.current_org() and e.id = export;
  return app.read_export(export);
end
$$;
comment on function app.cancel_export(uuid) is 'Gives one of one''s own exports up, so that there will be no file. PT403, PT404, PT409 export_ended.';
alter function app.cancel_export(uuid) owner to callboard_definer;
revoke execute on function app.cancel_export(uuid) from public;
grant execute on function app.cancel_export(uuid) to callboard_api;

-- The door for who has a link and no token. What it opens is one file, and only as long as its maker may still see what is in it.
create or replace function app.open_export_link(export uuid, token text, is_event boolean, request_id text, ip inet) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  parts text[] := string_to_array(token, '.');
  e app.exports;
  session uuid;
begin
  if not token ~ '^[0-9a-f]{32}\.[0-9a-f]{32}\.[0-9]{1,12}\.[0-9a-f]{64}$' then
    perform app.refuse(400, 'invalid_token');
  end if;
  session := parts[2];
  select * into e from app.exports x where x.organization_id = parts[1]::uuid and x.id = export;
  if not found or token <> app_private.export_link(e.organization_id, e.id, e.created_by, session, parts[3]::bigint)
      or parts[3]::bigint <= extract(epoch from now()) then
    perform app.refuse(400, 'invalid_token');
  elsif not app_private.may_export(e) or not exists (
      select from app.sessions s where s.id = session and s.user_id = e.created_by and s.revoked_at is null and s.expires_at > now()) then
    perform app.refuse(403, 'permission_denied', 'Whose link this is may not see this any more, or has signed out.');
  elsif e.status <> 'ready' or e.expires_at <= now() then
    perform app.refuse(404, 'not_found', 'The file has expired.');
  end if;
  if is_event then
    perform app_private.set_context(e.created_by, session, e.organization_id, null, '{}', request_id, ip);
    perform app_private.log_event(e.organization_id, 'export.download', 'export', e.id);
    perform app_private.set_context(null, null);
  end if;
  return (200, json_build_object('key', concat_ws('/', e.organization_id, e.id, e.attempt), 'resource', e.resource, 'format', e.format,
    'bytes', e.bytes, 'sha256', e.sha256, 'day', e.created_at::date), null, null)::app.answer;
end
$$;
comment on function app.open_export_link(uuid, text, boolean, text, inet) is
  'Where the file of an export is, for who has a link to it; an event if that is said. PT400 invalid_token, PT403 when its maker has lost membership, permission or session, PT404 when it has expired.';
alter function app.open_export_link(uuid, text, boolean, text, inet) owner to callboard_definer;
revoke execute on function app.open_export_link(uuid, text, boolean, text, inet) from public;
grant execute on function app.open_export_link(uuid, text, boolean, text, inet) to callboard_api;
--! EndIncluded export_commands.sql
--! Included export_views.sql
-- What is exported as columns instead of as JSON: the same rows as the lists, with the same words, but
-- four times as fast for PostgreSQL to write. test/exports.test.ts compares each cell with the JSON.

create or replace view app.show_rows with (security_invoker = true) as
  select s.organization_id, s.id, s.title, s.artist, s.show_on, s.status, s.venue_id,
    to_char(s.doors_time, 'HH24:MI') as doors_time, to_char(s.start_time, 'HH24:MI') as start_time, to_char(s.curfew_time, 'HH24:MI') as curfew_time,
    s.capacity, s.tickets_sold, s.fee_minor, s.currency, s.notes, s.source, s.external_ref, v.name as venue_name, v.city as venue_city, v.time_zone,
    (s.show_on + s.start_time) at time zone v.time_zone as starts_at, s.created_by, s.created_at, s.updated_at, s.deleted_at, s.deleted_by
  from app.shows s
  left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id;
comment on view app.show_rows is 'The organization''s shows as columns, also those in the bin, which have deleted_at.';

create or replace view app.venue_rows with (security_invoker = true) as
  select v.organization_id, v.id, v.name, v.city, v.country, v.time_zone, v.capacity, v.created_at, v.updated_at, v.deleted_at, v.deleted_by
  from app.venues v;
comment on view app.venue_rows is 'The organization''s venues as columns, also those in the bin, which have deleted_at.';

create or replace view app.finance_record_rows with (security_invoker = true) as
  select r.organization_id, r.id, r.kind, r.category_id, r.booked_on, r.amount_minor, r.status, r.show_id, r.due_on, r.tax_minor, r.currency,
    trim_scale(r.exchange_rate) as exchange_rate, r.payment_status, r.counterparty, r.note, r.source, r.external_ref, c.name as category_name,
    s.title as show_title, r.base_amount_minor, r.base_currency, r.created_by, r.created_at, r.updated_at, r.deleted_at, r.deleted_by
  from app.finance_records r
  left join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
  left join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id;
comment on view app.finance_record_rows is 'The organization''s finance records as columns, also those in the bin, which have deleted_at.';

create or replace view app.event_rows with (security_invoker = true) as
  select e.organization_id, e.id, e.occurred_at, e.actor_kind, e.actor_id, u.display_name as actor_name, e.action, e.resource_type, e.resource_id, e.changes,
    e.request_id, host(e.ip) as ip, e.session_id, e.erased_at
  from app.event_log e
  left join app.users u on u.id = e.actor_id;
comment on view app.event_rows is 'The organization''s events as columns; the actor''s name as long as they are a colleague.';

grant select on app.show_rows, app.venue_rows, app.finance_record_rows, app.event_rows to callboard_api, callboard_exporter;
grant select on app.show_list, app.venue_list, app.finance_record_list, app.event_list to callboard_exporter;
--! EndIncluded export_views.sql
--! Included purge.sql
-- What goes, and when: the retention of what belongs to no organization's work. The worker calls
-- this every hour (src/jobs/schedule.ts). What organizations have deleted: deletion_purge.sql.

create or replace function app.purge_expired() returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  gone jsonb := '{}';
  n bigint;
begin
  -- Refresh tokens that could renew nothing any more.
  delete from app_private.refresh_tokens t where t.used_at < now() - app_private.session_lifetime();
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('refresh_tokens', n);

  -- Ended sessions, with the refresh tokens that they still have.
  delete from app.sessions s where coalesce(s.revoked_at, s.expires_at) < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('sessions', n);

  -- Links, used or not.
  delete from app_private.email_tokens t where t.expires_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('email_tokens', n);

  -- Answers to repeated requests: the policy purge_definer shows no others.
  delete from app.idempotency_keys k where k.created_at < now() - interval '24 hours';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('idempotency_keys', n);

  -- A mail whose job has ended, or is lost, without a word of the mail: nobody will send it.
  update app_private.mails m
  set failed_at = now(), data = m.data - 'token', last_error = coalesce(m.last_error, 'its job has ended')
  where m.sent_at is null and m.failed_at is null and not exists (
    select from graphile_worker._private_jobs j
    where j.key = 'send_mail:' || m.id and (j.is_available or j.locked_at is not null));
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('mails_given_up', n);

  delete from app_private.mails m where coalesce(m.sent_at, m.failed_at) < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('mails', n);

  -- What was uploaded, with what was wrong with it.
  delete from app.imports i where i.created_at < now() - interval '30 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('imports', n);

  -- Whose files have gone long before.
  delete from app.exports e where e.created_at < now() - interval '30 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('exports', n);

  -- Jobs that were given up.
  delete from graphile_worker._private_jobs j
  where not j.is_available and j.locked_at is null and j.run_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('jobs', n);

  return gone;
end
$$;
comment on function app.purge_expired() is
  'Deletes ended sessions, old links, sent mails and failed jobs after 90 days, spent refresh tokens after 30, idempotency keys after one. Returns how many of each.';
alter function app.purge_expired() owner to callboard_definer;
revoke execute on function app.purge_expired() from public;
grant execute on function app.purge_expired() to callboard_worker;
--! EndIncluded purge.sql
