-- How the worker runs an export (src/exports/task.ts): it reads as the member who created it, under the
-- same policies as the member's requests, and writes the rows to a file.
--
-- It reads as callboard_exporter. That role is named, next to callboard_api, in the SELECT policies of
-- everything that can be exported, and can do nothing else. The worker can become this role, but sees
-- nothing without app.enter_export, which creates the context of a running export.

create or replace function app_private.export_permissions(e app.exports) returns text[]
language sql stable
set search_path = ''
begin atomic
  select coalesce(array_agg(p.held order by p.held), '{}')
  from app_private.permissions_for_export(e.resource) x, unnest(app_private.still_held(e.organization_id, e.created_by, e.created_at)) p (held)
  where (p.held = any ('{exports.run}' || x.required || x.used)
      -- Changes are shown to those who may read what the event is about: see app.readable_events.
      or e.resource = 'events' and p.held in (select t.permission from app_private.table_permissions t where t.command = 'select'))
    -- permissions_of also counts members of deleted organizations.
    and exists (select from app.organizations o where o.id = e.organization_id and o.deleted_at is null);
end;
comment on function app_private.export_permissions(app.exports) is 'Which of the permissions that an export uses its member currently holds.';
alter function app_private.export_permissions(app.exports) owner to callboard_definer;

create or replace function app_private.may_export(e app.exports) returns boolean
language sql stable
set search_path = ''
return (
  select p.held @> ('{exports.run}' || x.required)
    -- The bin is only for members who may restore.
    and (e.filters ->> 'deleted' is distinct from 'only' or p.held && array['shows.delete', 'finance.delete', 'itineraries.delete'])
    -- A file shows what its member might see when it was made: fees, drafts, names.
    and (e.status <> 'ready' or p.held @> e.held)
  from (select app_private.export_permissions(e)) p (held), app_private.permissions_for_export(e.resource) x);
comment on function app_private.may_export(app.exports) is 'Whether the member who created an export may still have it.';
alter function app_private.may_export(app.exports) owner to callboard_definer;

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
  'Locks an export on behalf of its member; null if it does not exist or the given attempt is not the current one.';
alter function app_private.lock_export(uuid, uuid, uuid) owner to callboard_definer;

create or replace function app_private.end_export(e app.exports, because text) returns void
language sql volatile
set search_path = ''
begin atomic
  update app.exports x set status = 'failed', failure = because, finished_at = statement_timestamp()
  where x.organization_id = e.organization_id and x.id = e.id;
  select app_private.count_integration(e.organization_id, 'export', e.resource, more_errors => 1);
end;
comment on function app_private.end_export(app.exports, text) is 'Marks an export as failed, with the reason.';
alter function app_private.end_export(app.exports, text) owner to callboard_definer;

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
    perform app_private.end_export(e, 'The member who requested it no longer has permission.');
    return null;
  end if;
  update app.export_progress p set rows_done = 0 where p.organization_id = organization and p.export_id = export;
  update app.exports x set status = 'running', attempt = gen_random_uuid(), held = app_private.export_permissions(e) where x.organization_id = organization and x.id = export returning * into e;
  return jsonb_build_object('resource', e.resource, 'format', e.format, 'bom', e.bom, 'filters', e.filters, 'attempt', e.attempt,
    'key', concat_ws('/', e.organization_id, e.id, e.attempt));
end
$$;
comment on function app.begin_export(uuid, uuid) is
  'Starts or restarts an export: returns what to export and the name of the file, or NULL if there is nothing (left) to do.';
alter function app.begin_export(uuid, uuid) owner to callboard_definer;
grant execute on function app.begin_export(uuid, uuid) to callboard_worker;

create or replace function app.enter_export(organization uuid, export uuid, of_attempt uuid) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports;
begin
  perform app_private.require_read_only('an export');
  select * into e from app.exports x where x.organization_id = organization and x.id = export and x.attempt = of_attempt and x.status = 'running';
  if not found or not app_private.may_export(e) then
    perform app.refuse(403, 'permission_denied', 'The member who requested it no longer has permission.');
  end if;
  perform app_private.set_context(e.created_by, e.session_id, e.organization_id, null, app_private.for_reading(array(
    select unnest(app_private.export_permissions(e)) intersect select unnest(e.held))));
end
$$;
comment on function app.enter_export(uuid, uuid, uuid) is
  'Opens this read-only transaction for the member whose export is running, with only those of their permissions that reading it needs. PT403.';
alter function app.enter_export(uuid, uuid, uuid) owner to callboard_definer;
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
    perform app_private.end_export(e, 'The member who requested it no longer has permission.');
    return false;
  end if;
  update app.export_progress p set rows_done = rows_written where p.organization_id = organization and p.export_id = export;
  return true;
end
$$;
comment on function app.note_export_progress(uuid, uuid, uuid, bigint) is
  'Records how many rows of an export have been written. False if it must stop: it was cancelled, another worker has it, or its member may no longer have it.';
alter function app.note_export_progress(uuid, uuid, uuid, bigint) owner to callboard_definer;
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
  perform app_private.count_integration(organization, 'export', (select x.resource from app.exports x where x.organization_id = finish_export.organization and x.id = export),
    more_rows => rows_written, more_bytes => file_bytes);
  return true;
end
$$;
comment on function app.finish_export(uuid, uuid, uuid, bigint, bigint, text) is
  'Marks an export as ready; its file is kept for seven days. False if it was cancelled, its member may no longer have it, or another worker has taken over.';
alter function app.finish_export(uuid, uuid, uuid, bigint, bigint, text) owner to callboard_definer;
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
comment on function app.fail_export(uuid, uuid, uuid, text) is 'Marks an export, or this attempt, as failed, with the reason.';
alter function app.fail_export(uuid, uuid, uuid, text) owner to callboard_definer;
grant execute on function app.fail_export(uuid, uuid, uuid, text) to callboard_worker;

create or replace function app.expire_exports(behind jsonb default null, at_most integer default 1000) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set lock_timeout = '1s'
as $$
declare
  began timestamptz := clock_timestamp();
  due record;
  e app.exports;
  seen integer := 0;
  ended bigint := 0;
  busy bigint := 0;
  failed bigint := 0;
  because jsonb := '[]';
  next jsonb;
begin
  for due in
    select x.organization_id, x.id from app.exports x
    where (x.status = 'ready' and x.expires_at <= now()
        -- Its job failed permanently or was lost without reporting.
        or x.status in ('queued', 'running') and not exists (
          select from graphile_worker._private_jobs j where j.key = 'export:' || x.id and (j.is_available or j.locked_at is not null)))
      and (behind is null or (x.organization_id, x.id) > ((behind ->> 0)::uuid, (behind ->> 1)::uuid))
    order by x.organization_id, x.id limit at_most
  loop
    seen := seen + 1;
    begin
      e := app_private.lock_export(due.organization_id, due.id);
      if e.status = 'ready' and e.expires_at <= now() then
        update app.exports x set status = 'expired' where x.organization_id = e.organization_id and x.id = e.id;
        ended := ended + 1;
      elsif e.status in ('queued', 'running') then
        perform app_private.end_export(e, 'It was attempted several times, and the worker died each time.');
        ended := ended + 1;
      end if;
    exception
      when lock_not_available or deadlock_detected then
        busy := busy + 1;
      when others then
        failed := failed + 1;
        because := because || jsonb_build_object('organization_id', due.organization_id, 'export_id', due.id, 'failed_with', sqlerrm);
    end;
    -- Those who wait for old transactions wait for this one, too.
    if seen = at_most or clock_timestamp() > began + interval '2 seconds' then
      next := jsonb_build_array(due.organization_id, due.id);
      exit;
    end if;
  end loop;
  perform app_private.set_context(null, null);
  if next is null then
    perform app_private.add_job('sweep_exports', '{}', 'sweep_exports', 3, 'export');
  end if;
  return jsonb_build_object('ended', ended, 'busy', busy, 'failed', failed, 'because', because, 'is_idle', seen = 0, 'next', next);
end
$$;
comment on function app.expire_exports(jsonb, integer) is
  'Ends exports that have expired or lost their job, in batches of about two seconds: to continue, call it again with next, until that is null; then has files deleted that nobody may download any longer. Returns how many ended, were busy, or failed, and why.';
alter function app.expire_exports(jsonb, integer) owner to callboard_definer;
grant execute on function app.expire_exports(jsonb, integer) to callboard_worker;

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
comment on function app.wanted_export_files(text[]) is 'Those of the given files that belong to a ready or running export.';
alter function app.wanted_export_files(text[]) owner to callboard_definer;
grant execute on function app.wanted_export_files(text[]) to callboard_worker;

grant usage on schema app to callboard_exporter;
grant execute on function app.require(text), app.require_reading(text), app.org_if(text), app.org_if_reading(text), app.has_permission(text),
  app.current_org(), app.current_user_id(), app.search_shows(text),
  app.in_bin(text, timestamptz, uuid) to callboard_exporter;
