-- Exports: files of what a member may see. Small ones are streamed in the response and leave only an
-- event; large ones are rows here, produced by the worker acting as that member: see export_running.sql.
-- An export belongs to its creator, because other members may not be allowed to see everything in it.

create or replace function app_private.permissions_for_export(resource text, out required text[], out used text[])
language sql immutable parallel safe
set search_path = ''
begin atomic
  select r.required, r.used
  from (values
    ('shows', '{shows.read}'::text[], '{shows.delete,finance.read}'::text[]),
    ('guests', '{shows.read}', '{shows.delete}'),
    ('venues', '{shows.read}', '{shows.delete}'),
    ('finance_records', '{finance.read}', '{finance.delete,shows.read}'),
    -- Planners get the drafts.
    ('itineraries', '{itineraries.read}', '{itineraries.write,itineraries.delete}'),
    ('events', '{audit.read}', '{members.read}'),
    ('finance_figures', '{analytics.read,finance.read}', '{}'),
    ('category_figures', '{analytics.read,finance.read}', '{}'),
    ('show_profits', '{analytics.read,finance.read,shows.read}', '{}'),
    ('show_figures', '{analytics.read}', '{}'),
    ('activity', '{analytics.read}', '{members.read}'),
    ('integrations', '{analytics.read}', '{}'),
    ('dashboard', '{analytics.read}', '{finance.read}')) r (name, required, used)
  where r.name = resource;
end;
comment on function app_private.permissions_for_export(text) is
  'The permissions that an export of a resource requires besides exports.run, and those that it uses if held. NULLs if the resource cannot be exported.';
alter function app_private.permissions_for_export(text) owner to callboard_definer;

create table if not exists app.exports (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  resource text not null constraint exports_resource_known check (resource in ('shows', 'venues', 'guests', 'finance_records', 'itineraries', 'events',
    'finance_figures', 'category_figures', 'show_profits', 'show_figures', 'activity', 'integrations', 'dashboard')),
  format text not null constraint exports_format_known check (format in ('csv', 'ndjson', 'json')),
  bom boolean not null default false,
  filters jsonb not null default '{}' constraint exports_filters_size check (length(filters::text) <= 4000),
  status text not null default 'queued' constraint exports_status_known check (
    status in ('queued', 'running', 'ready', 'failed', 'cancelled', 'expired')),
  -- Each attempt writes its own file, so that only one of two workers can complete the export.
  attempt uuid,
  held text[] not null default '{}',
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

-- A separate table, because it changes constantly and is not logged.
create table if not exists app.export_progress (
  organization_id uuid not null,
  export_id uuid not null,
  created_by uuid not null default app.current_user_id() references app.users (id),
  rows_done bigint not null default 0,
  primary key (organization_id, export_id),
  constraint export_progress_export_exists foreign key (organization_id, export_id) references app.exports (organization_id, id) on delete cascade
);

comment on table app.exports is 'Export files that members have requested, and their state.';
comment on column app.exports.filters is 'The filters and sort order, as in the list.';
comment on column app.exports.attempt is 'The last part of its file''s name, after the organization and the export.';
comment on column app.exports.held is 'The permissions that it uses, as its member held them when it began: nobody who has lost one gets the file.';
comment on column app.exports.expires_at is 'When the file is deleted.';
comment on table app.export_progress is 'How many rows of an export have been written.';

-- Without write grants, because writes go through functions. The definer sees everything: the worker must find out whose export it is about to run.
select app_private.tenant_policies('app.exports', reads => 'exports.run', inserts => 'exports.run', updates => 'exports.run',
  definer => 'insert, update', besides => 'created_by = (select app.current_user_id())');
select app_private.tenant_policies('app.export_progress', reads => 'exports.run', definer => 'insert, update',
  besides => 'created_by = (select app.current_user_id())');
drop policy if exists purge_definer on app.exports;
create policy purge_definer on app.exports for delete to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '30 days');

grant select (organization_id, id, resource, format, bom, filters, status, bytes, sha256, failure, created_by, created_at, finished_at, expires_at)
  on app.exports to callboard_api;
grant select on app.export_progress to callboard_api;
grant select, insert (resource, format, bom, filters), update (status, attempt, held, bytes, sha256, failure, finished_at, expires_at), delete
  on app.exports to callboard_definer;
grant select, insert, update (rows_done) on app.export_progress to callboard_definer;

-- Whoever may read all of a file but its amounts could find these from its digest.
select app_private.log_changes('app.exports', 'export', '{"status": "change_status"}', leave_out => '{sha256,held}');

create or replace function app.require_export(of_resource text) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  permission text;
  required text[] := (app_private.permissions_for_export(of_resource)).required;
begin
  if required is null then
    perform app.refuse(403, 'permission_denied');
  end if;
  foreach permission in array '{exports.run}' || required loop
    perform app.require_reading(permission);
  end loop;
  return app.current_org();
end
$$;
comment on function app.require_export(text) is
  'The organization of this transaction, if its member may export the resource. PT403 without exports.run or the permission to read it.';
alter function app.require_export(text) owner to callboard_definer;
grant execute on function app.require_export(text) to callboard_api;

create or replace function app.log_export(stream uuid, of_resource text, details jsonb, is_done boolean default false) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- A member who may no longer start one can still report its end.
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
  if is_done then
    perform app_private.count_integration(app.current_org(), 'export', of_resource,
      more_errors => (not coalesce((details ->> 'is_whole')::boolean, false))::integer, more_rows => coalesce((details ->> 'rows')::bigint, 0));
  end if;
end
$$;
comment on function app.log_export(uuid, text, jsonb, boolean) is
  'Logs that an export is streamed (export.stream, with format and filters), or has ended (export.stream_end, with its rows and whether it is complete). PT403 if the member may not export this.';
alter function app.log_export(uuid, text, jsonb, boolean) owner to callboard_definer;
grant execute on function app.log_export(uuid, text, jsonb, boolean) to callboard_api;

-- The cells of a CSV file, which COPY writes: null for an empty one, because COPY quotes an empty text. Without
-- settings of their own, so that PostgreSQL inlines them; called for every cell.

create or replace function app.csv_text(value text) returns text
language sql immutable parallel safe
return case
  -- Line feed, tab and carriage return, = + - @ and their full-width forms, which East Asian spreadsheets accept.
  when ascii(value) in (9, 10, 13, 43, 45, 61, 64, 65291, 65293, 65309, 65312) then '''' || value
  when value = '' then null
  else value
end;
comment on function app.csv_text(text) is
  'A text as a cell of CSV: with an apostrophe in front if a spreadsheet would otherwise evaluate it.';
grant execute on function app.csv_text(text) to callboard_api, callboard_exporter;

create or replace function app.csv_instant(value timestamptz) returns text
language sql stable parallel safe
return replace(value::text, ' ', 'T') || ':00';
comment on function app.csv_instant(timestamptz) is 'An instant as in JSON, on a connection that uses UTC.';
grant execute on function app.csv_instant(timestamptz) to callboard_api, callboard_exporter;
