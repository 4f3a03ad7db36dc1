-- Commands on a member's own exports: create one, follow its progress, cancel it, and download the file.

create or replace function app_private.export_link(organization uuid, export uuid, member uuid, session uuid, until bigint) returns text
language sql stable parallel restricted
set search_path = ''
return concat_ws('.', replace(organization::text, '-', ''), replace(session::text, '-', ''), until,
  encode(app_private.keyed_hash(convert_to(concat_ws(' ', 'export', organization, export, member, session, until), 'UTF8')), 'hex'));
comment on function app_private.export_link(uuid, uuid, uuid, uuid, bigint) is
  'The token of a link to the file of an export: member, session, expiry (in seconds since 1970), and signature.';
alter function app_private.export_link(uuid, uuid, uuid, uuid, bigint) owner to callboard_definer;

create or replace function app.export_link(export uuid) returns text
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select format('/api/analytics/export/%s/file?token=%s', e.id,
    app_private.export_link(e.organization_id, e.id, e.created_by, app.current_session_id(), extract(epoch from now() + interval '1 hour')::bigint))
  from app.exports e
  where e.organization_id = app.org_if_reading('exports.run') and e.id = export and e.created_by = app.current_user_id() and e.status = 'ready'
    and e.expires_at > now();
end;
comment on function app.export_link(uuid) is
  'A new link to the file of one of the caller''s own exports, valid for at most an hour and only while the session lasts; NULL if there is no file.';
alter function app.export_link(uuid) owner to callboard_definer;
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
  perform app.require_reading('exports.run');
  select 200, e.body, null::text, '/api/analytics/export/' || e.id into answer from app.export_list e
  -- Only the caller's own, even if a policy shows more.
  where e.organization_id = app.current_org() and e.id = export and e.created_by = app.current_user_id();
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_export(uuid) is 'One of the caller''s own exports, with a new link if it is ready. PT403, PT404.';
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
    perform app.refuse(409, 'export_ended', format('It is already %s.', present));
  end if;
  -- The worker checks every few rows whether to continue.
  update app.exports e set status = 'cancelled', finished_at = statement_timestamp() where e.organization_id = app.current_org() and e.id = export;
  return app.read_export(export);
end
$$;
comment on function app.cancel_export(uuid) is 'Cancels one of the caller''s own exports. PT403, PT404, PT409 export_ended.';
alter function app.cancel_export(uuid) owner to callboard_definer;
grant execute on function app.cancel_export(uuid) to callboard_api;

-- Access with a link instead of a token. It opens a single file, and only while its creator may still see what is in it.
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
    perform app.refuse(403, 'permission_denied', 'The member this link belongs to no longer has permission, or has signed out.');
  elsif e.status <> 'ready' or e.expires_at <= now() then
    perform app.refuse(404, 'not_found', 'The file has expired.');
  end if;
  if is_event then
    perform app_private.set_context(e.created_by, session, e.organization_id, null, '', request_id, ip);
    perform app_private.log_event(e.organization_id, 'export.download', 'export', e.id);
    perform app_private.set_context(null, null);
  end if;
  return (200, json_build_object('key', concat_ws('/', e.organization_id, e.id, e.attempt), 'resource', e.resource, 'format', e.format,
    'bytes', e.bytes, 'sha256', e.sha256, 'day', e.created_at::date), null, null)::app.answer;
end
$$;
comment on function app.open_export_link(uuid, text, boolean, text, inet) is
  'The location of an export''s file, for the holder of a link; logged as an event on request. PT400 invalid_token, PT403 when its creator has lost membership, permission or session, PT404 when it has expired.';
alter function app.open_export_link(uuid, text, boolean, text, inet) owner to callboard_definer;
grant execute on function app.open_export_link(uuid, text, boolean, text, inet) to callboard_api;
