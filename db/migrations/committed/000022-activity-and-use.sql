--! Previous: sha1:5a347f890cd2235a73efce4c433c562b0b632b41
--! Hash: sha1:5a93ecfa30335d1a0a81fa4ee677ebb4c1600068
--! Message: activity and use

--! Included client_events.sql
-- What people do in a program that uses the API: pages they look at and things they click, as the
-- program tells (POST /api/events). What they change is in the event log, and not here a second time.
--
-- One table instead of one a month: it keeps 90 days, and an id that a program sends again is found
-- wherever it is.

create table if not exists app.client_events (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  user_id uuid not null references app.users (id) on delete cascade,
  -- Made by the program. In the key behind its member, so that it tells nobody else what exists.
  id uuid not null,
  kind text not null constraint client_events_kind_known check (kind in ('page_view', 'action')),
  name text not null constraint client_events_name_format check (name ~ '^[a-z0-9_]+([./-][a-z0-9_]+)*$' and length(name) <= 100),
  occurred_at timestamptz not null,
  received_at timestamptz not null default now(),
  properties jsonb not null default '{}',
  primary key (organization_id, user_id, id),
  constraint client_events_properties_flat check (
    jsonb_typeof(properties) = 'object' and not properties @? 'strict $.* ? (@.type() == "object" || @.type() == "array")'
    and length(properties::text) <= 10000)
);
create index if not exists client_events_organization_id_received_at_idx on app.client_events (organization_id, received_at);
alter table app.client_events alter column kind set statistics 0, alter column name set statistics 0, alter column properties set statistics 0;

alter table app.client_events enable row level security;
alter table app.client_events force row level security;

-- Nobody reads single ones: analytics has their numbers.
drop policy if exists select_rollup on app.client_events;
create policy select_rollup on app.client_events for select to callboard_rollup using (true);
drop policy if exists insert_definer on app.client_events;
create policy insert_definer on app.client_events for insert to callboard_definer
  with check (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
-- It says how fresh the numbers are, and purges, which has no context and takes only what is old.
drop policy if exists select_definer on app.client_events;
create policy select_definer on app.client_events for select to callboard_definer using (true);
drop policy if exists purge_definer on app.client_events;
create policy purge_definer on app.client_events for delete to callboard_definer
  using ((select app.current_org()) is null and received_at < now() - interval '90 days');

grant select on app.client_events to callboard_rollup;
grant select (organization_id, received_at), insert (organization_id, user_id, id, kind, name, occurred_at, properties), delete
  on app.client_events to callboard_definer;

comment on table app.client_events is 'Page views and actions that programs tell of their users.';
comment on column app.client_events.name is 'Of the page or action, such as shows/detail or calendar.print.';
comment on column app.client_events.occurred_at is 'By the program''s clock, but never later than it was received.';

create or replace function app.record_client_events(events jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.current_org();
  me uuid := app.current_user_id();
  -- Given, of these in time, of these new.
  n bigint[];
begin
  if organization is null then
    perform app.refuse(401, 'session_unknown');
  elsif current_setting('app.role') = 'superadmin' then
    perform app.refuse(403, 'permission_denied', 'Client events are of members.');
  elsif jsonb_array_length(events) > 100 then
    perform app.refuse(400, 'invalid_value', 'There are more than 100 events.');
  end if;
  with e as (
    select x.id, x.kind, x.name, coalesce(x.occurred_at, now()) as occurred_at, coalesce(x.properties, '{}') as properties
    from jsonb_to_recordset(events) as x (id uuid, kind text, name text, occurred_at timestamptz, properties jsonb)
  ), t as (
    -- A clock may be a little fast.
    select * from e where e.occurred_at between now() - interval '7 days' and now() + interval '5 minutes'
  ), i as (
    insert into app.client_events (organization_id, user_id, id, kind, name, occurred_at, properties)
    select organization, me, t.id, t.kind, t.name, least(t.occurred_at, now()), t.properties from t
    on conflict do nothing
    returning 1
  )
  select array[(select count(*) from e), (select count(*) from t), (select count(*) from i)] into n;
  return (202, json_build_object('accepted', n[3], 'repeated', n[2] - n[3], 'out_of_time', n[1] - n[2]), null, null)::app.answer;
end
$$;
comment on function app.record_client_events(jsonb) is
  'Keeps up to 100 client events of the member: [{id, kind, name, occurred_at, properties}]. Says how many it has accepted, how many ids the member had sent before, and how many were older than 7 days or more than 5 minutes ahead, which are not kept. PT403 for superadmins.';
alter function app.record_client_events(jsonb) owner to callboard_definer;
revoke execute on function app.record_client_events(jsonb) from public;
grant execute on function app.record_client_events(jsonb) to callboard_api;
--! EndIncluded client_events.sql
--! Included use.sql
-- How much the API is used, and what else an organization has to do with other systems by it: its
-- imports and calendar feeds, for example. Numbers by UTC day and nothing of single calls.
-- The API counts in memory and adds what it has counted every few seconds (src/tally.ts); what is rare
-- is counted in the transaction that does it.
--
-- These are sums already, so analytics reads them as they are: nothing has to be refreshed.

create table if not exists app.api_use (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  day date not null,
  operation text not null constraint api_use_operation_format check (operation ~ '^[A-Za-z][A-Za-z0-9]{0,99}$'),
  calls bigint not null,
  errors bigint not null,
  server_errors bigint not null,
  total_us bigint not null,
  slowest_us bigint not null,
  within_10_ms bigint not null,
  within_100_ms bigint not null,
  within_1_s bigint not null,
  bytes_in bigint not null,
  bytes_out bigint not null,
  primary key (organization_id, day, operation)
);
create table if not exists app.integration_use (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  day date not null,
  kind text not null constraint integration_use_kind_known check (kind in ('import', 'export', 'calendar_feed', 'bi', 'webhook')),
  name text not null constraint integration_use_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]'),
  calls bigint not null,
  errors bigint not null,
  rows bigint not null,
  bytes bigint not null,
  last_at timestamptz not null,
  primary key (organization_id, day, kind, name)
);
alter table app.api_use alter column operation set statistics 0, alter column calls set statistics 0, alter column errors set statistics 0,
  alter column server_errors set statistics 0, alter column total_us set statistics 0, alter column slowest_us set statistics 0,
  alter column within_10_ms set statistics 0, alter column within_100_ms set statistics 0, alter column within_1_s set statistics 0,
  alter column bytes_in set statistics 0, alter column bytes_out set statistics 0;
alter table app.integration_use alter column kind set statistics 0, alter column name set statistics 0, alter column calls set statistics 0,
  alter column errors set statistics 0, alter column rows set statistics 0, alter column bytes set statistics 0;

-- Which batches were added: whoever does not know whether a COMMIT came through sends it again.
create table if not exists app_private.use_batches (
  id uuid primary key,
  added_at timestamptz not null default now()
);

comment on table app.api_use is 'Calls of the API, by UTC day and operation; nobody''s but the organization''s.';
comment on column app.api_use.operation is 'operationId in the OpenAPI document.';
comment on column app.api_use.errors is 'Answers from 400 on, those from 500 on among them.';
comment on column app.api_use.total_us is 'Microseconds from the arrival of a request to the end of its answer, of all calls together.';
comment on column app.api_use.within_10_ms is 'Calls that took no longer than 10 ms.';
comment on column app.api_use.bytes_in is 'Of requests as they came over the wire, with their headers.';
comment on column app.api_use.bytes_out is 'Of answers, with their headers.';
comment on table app.integration_use is 'Integrations, such as imports and calendar feeds, by UTC day.';
comment on column app.integration_use.name is 'Which one: the source of an import, or what is imported; what is exported.';
comment on column app.integration_use.rows is 'Rows that were entered or taken out.';
comment on table app_private.use_batches is 'Batches of counts that were added in the last 7 days.';

do $$
declare
  t regclass;
begin
  foreach t in array array['app.api_use', 'app.integration_use', 'app_private.use_batches']::regclass[] loop
    execute format('alter table %s enable row level security', t);
    execute format('alter table %s force row level security', t);
    -- Whoever counts has no context: calls of many organizations are added at once.
    execute format('drop policy if exists all_definer on %s', t);
    execute format('create policy all_definer on %s for all to callboard_definer using (true)', t);
    execute format('grant select, insert, update, delete on %s to callboard_definer', t);
  end loop;
  foreach t in array array['app.api_use', 'app.integration_use']::regclass[] loop
    execute format('drop policy if exists select_rollup on %s', t);
    execute format('create policy select_rollup on %s for select to callboard_rollup using (true)', t);
    execute format('grant select on %s to callboard_rollup', t);
  end loop;
end
$$;

-- What can be added at a time: a sum then never overflows, whoever adds to it how often.
create or replace function app_private.countable(n numeric) returns bigint
language sql immutable parallel safe
return least(greatest(coalesce(n, 0), 0), 1000000000000)::bigint;
comment on function app_private.countable(numeric) is 'A number as it may be added to a count: from 0 to 10^12.';
alter function app_private.countable(numeric) owner to callboard_definer;
revoke execute on function app_private.countable(numeric) from public;

create or replace function app_private.countable_day(day date) returns date
language sql stable parallel safe
return least(greatest(day, (now() at time zone 'UTC')::date - 7), (now() at time zone 'UTC')::date + 1);
comment on function app_private.countable_day(date) is 'The day nearest to this one that something may be counted on: from 7 days ago to tomorrow.';
alter function app_private.countable_day(date) owner to callboard_definer;
revoke execute on function app_private.countable_day(date) from public;

create or replace function app_private.count_integration(
  organization uuid, of_kind text, of_name text, more_calls bigint default 1, more_errors bigint default 0, more_rows bigint default 0,
  more_bytes bigint default 0, on_day date default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  insert into app.integration_use as u (organization_id, day, kind, name, calls, errors, rows, bytes, last_at)
  values (organization, app_private.countable_day(coalesce(on_day, (now() at time zone 'UTC')::date)), of_kind, of_name,
    app_private.countable(more_calls), app_private.countable(more_errors), app_private.countable(more_rows), app_private.countable(more_bytes), now())
  on conflict (organization_id, day, kind, name) do update
  set calls = u.calls + excluded.calls, errors = u.errors + excluded.errors, rows = u.rows + excluded.rows, bytes = u.bytes + excluded.bytes,
    last_at = greatest(u.last_at, excluded.last_at);
end
$$;
comment on function app_private.count_integration(uuid, text, text, bigint, bigint, bigint, bigint, date) is
  'Counts the use of an integration: its organization, kind (import, export, calendar_feed, bi, webhook) and name; calls, errors, rows and bytes, today if no day is given. For functions that do it in their own transaction.';
alter function app_private.count_integration(uuid, text, text, bigint, bigint, bigint, bigint, date) owner to callboard_definer;
revoke execute on function app_private.count_integration(uuid, text, text, bigint, bigint, bigint, bigint, date) from public;

create or replace function app.add_use(batch uuid, api jsonb, integrations jsonb) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- The same batch again waits here for the end of the first, and then is not added if that was.
  insert into app_private.use_batches (id) values (batch) on conflict do nothing;
  if not found then
    return;
  end if;
  insert into app.api_use as u (organization_id, day, operation, calls, errors, server_errors, total_us, slowest_us, within_10_ms, within_100_ms,
    within_1_s, bytes_in, bytes_out)
  select o.id, app_private.countable_day(c.day), c.operation, app_private.countable(sum(c.calls)), app_private.countable(sum(c.errors)),
    app_private.countable(sum(c.server_errors)), app_private.countable(sum(c.total_us)), app_private.countable(max(c.slowest_us)),
    app_private.countable(sum(c.within_10_ms)), app_private.countable(sum(c.within_100_ms)), app_private.countable(sum(c.within_1_s)),
    app_private.countable(sum(c.bytes_in)), app_private.countable(sum(c.bytes_out))
  from jsonb_to_recordset(api) as c (organization_id uuid, day date, operation text, calls bigint, errors bigint, server_errors bigint, total_us bigint,
    slowest_us bigint, within_10_ms bigint, within_100_ms bigint, within_1_s bigint, bytes_in bigint, bytes_out bigint)
  -- One that has been purged meanwhile has no use for numbers.
  join app.organizations o on o.id = c.organization_id
  group by 1, 2, 3
  -- Two processes that add at the same time do so in the same order.
  order by 1, 2, 3
  on conflict (organization_id, day, operation) do update
  set calls = u.calls + excluded.calls, errors = u.errors + excluded.errors, server_errors = u.server_errors + excluded.server_errors,
    total_us = u.total_us + excluded.total_us, slowest_us = greatest(u.slowest_us, excluded.slowest_us),
    within_10_ms = u.within_10_ms + excluded.within_10_ms, within_100_ms = u.within_100_ms + excluded.within_100_ms,
    within_1_s = u.within_1_s + excluded.within_1_s, bytes_in = u.bytes_in + excluded.bytes_in, bytes_out = u.bytes_out + excluded.bytes_out;
  perform app_private.count_integration(c.organization_id, c.kind, c.name, c.calls, c.errors, c.rows, c.bytes, c.day)
  from (
    select x.* from jsonb_to_recordset(integrations) as x (organization_id uuid, day date, kind text, name text, calls bigint, errors bigint,
      rows bigint, bytes bigint)
    join app.organizations o on o.id = x.organization_id
    order by x.organization_id, x.day, x.kind, x.name) c;
end
$$;
comment on function app.add_use(uuid, jsonb, jsonb) is
  'Adds a batch of counts, of many organizations, unless that batch has been added. It only adds, and says nothing: whoever runs SQL as the API''s login can make the use of any organization look higher, by at most 10^12 a call and on days from 7 ago to tomorrow, and can neither read nor lower anything.';
alter function app.add_use(uuid, jsonb, jsonb) owner to callboard_definer;
revoke execute on function app.add_use(uuid, jsonb, jsonb) from public;
grant execute on function app.add_use(uuid, jsonb, jsonb) to callboard_api;
--! EndIncluded use.sql
--! Included imports.sql
-- Imports: a file of shows or finance records that a member uploads, is told about, and then has
-- entered. The worker does the work as that member: see import_checking.sql and import_running.sql.

create table if not exists app.imports (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  resource text not null constraint imports_resource_known check (resource in ('shows', 'finance_records')),
  file_name text constraint imports_file_name_length check (length(file_name) between 1 and 200 and file_name !~ '[\u0001-\u001f\u007f-\u009f]'),
  bytes bigint not null,
  sha256 text not null,
  -- What the member says of the file, and once it is checked what was found in it.
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
alter table app.imports alter column resource set statistics 0, alter column file_name set statistics 0, alter column bytes set statistics 0,
  alter column sha256 set statistics 0, alter column options set statistics 0, alter column on_error set statistics 0,
  alter column lines set statistics 0, alter column bad_lines set statistics 0, alter column existing set statistics 0,
  alter column created set statistics 0, alter column failure set statistics 0;

-- Apart, because it moves while the import itself is locked by the transaction that enters its lines.
create table if not exists app.import_progress (
  organization_id uuid not null,
  import_id uuid not null,
  lines_done integer not null default 0,
  is_cancelled boolean not null default false,
  primary key (organization_id, import_id),
  constraint import_progress_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);
alter table app.import_progress alter column lines_done set statistics 0;

-- The file, in pieces, until it has been entered or given up.
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
  -- As the columns of its table, of a line that is good.
  record jsonb,
  -- [{"column", "reason"}] of one that is not.
  problems jsonb,
  primary key (organization_id, import_id, line),
  constraint import_lines_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);
create index if not exists import_lines_problems_idx on app.import_lines (organization_id, import_id, line) where problems is not null;
alter table app.import_lines alter column line set statistics 0, alter column record set statistics 0, alter column problems set statistics 0;
alter table app.import_chunks alter column n set statistics 0;

comment on table app.imports is 'Files of shows or finance records, and what became of them.';
comment on column app.imports.lines is 'Lines with data, counted when the file is checked.';
comment on column app.imports.existing is 'Lines whose reference (source and external_ref) is there already; they are left alone.';
comment on table app.import_progress is 'How far an import that is running has come, and whether it is to stop.';
comment on table app.import_chunks is 'The uploaded files of imports.';
comment on table app.import_lines is 'The lines of imports: what they say, or what is wrong with them.';

do $$
declare
  t regclass;
begin
  foreach t in array array['app.imports', 'app.import_progress', 'app.import_chunks', 'app.import_lines']::regclass[] loop
    execute format('alter table %s enable row level security', t);
    execute format('alter table %s force row level security', t);
    -- Nobody reads the file itself.
    if t <> 'app.import_chunks'::regclass then
      execute format('drop policy if exists select_member on %s', t);
      execute format('create policy select_member on %s for select to callboard_api using (organization_id = (select app.org_if(''imports.run'')))', t);
    end if;
    -- Also for the worker, who finds out by this whose import it is about to enter.
    execute format('drop policy if exists select_definer on %s', t);
    execute format('create policy select_definer on %s for select to callboard_definer using (true)', t);
    execute format('drop policy if exists insert_definer on %s', t);
    execute format('create policy insert_definer on %s for insert to callboard_definer with check (organization_id = (select app.current_org()))', t);
    execute format('drop policy if exists update_definer on %s', t);
    execute format('create policy update_definer on %s for update to callboard_definer using (organization_id = (select app.current_org()))', t);
    -- Those of the organization, or of nobody in particular when the worker clears away: see app.purge_expired.
    execute format('drop policy if exists delete_definer on %s', t);
    execute format('create policy delete_definer on %s for delete to callboard_definer using (organization_id = (select app.current_org()))', t);
    execute format('grant select, insert, update, delete on %s to callboard_definer', t);
  end loop;
end
$$;
-- Without grants, because these go through functions.
drop policy if exists insert_member on app.imports;
create policy insert_member on app.imports for insert to callboard_api with check (organization_id = (select app.org_if('imports.run')));
drop policy if exists update_member on app.imports;
create policy update_member on app.imports for update to callboard_api using (organization_id = (select app.org_if('imports.run')));
drop policy if exists purge_definer on app.imports;
create policy purge_definer on app.imports for delete to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '30 days');
grant select on app.imports, app.import_progress, app.import_lines to callboard_api;

select app_private.log_changes('app.imports', 'import', '{"status": "change_status"}');

create or replace view app.import_list with (security_invoker = true) as
  select i.organization_id, i.id, i.status, i.resource, i.created_at,
    json_build_object('id', i.id, 'resource', i.resource, 'file_name', i.file_name, 'bytes', i.bytes, 'sha256', i.sha256,
      'delimiter', i.options ->> 'delimiter', 'decimal', i.options ->> 'decimal', 'encoding', i.options ->> 'encoding',
      'dates', i.options ->> 'dates', 'source', i.options ->> 'source',
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
  perform app.require('imports.run');
  select 200, i.body, null::text, '/api/imports/' || i.id into answer from app.import_list i
  where i.organization_id = app.current_org() and i.id = import;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_import(uuid) is 'An import. PT403, PT404.';
revoke execute on function app.read_import(uuid) from public;
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
    perform app.refuse(400, 'bad_request', 'There is no file in the body.');
  end if;
  insert into app.imports (resource, file_name, bytes, sha256, options)
  values (the_resource, name, file_bytes, file_sha256, jsonb_strip_nulls(given)) returning id into import;
  insert into app.import_progress (organization_id, import_id) values (app.current_org(), import);
  perform app_private.add_job('check_import', jsonb_build_object('import', import), 'import:' || import, 5);
  answer := app.read_import(import);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_import(text, text, bigint, text, jsonb) is
  'A new import, to be checked once the transaction has committed; its file follows with app.add_import_chunk. PT400 bad_request without a file, PT403 without imports.run, or without the permission to write what is imported.';
alter function app.create_import(text, text, bigint, text, jsonb) owner to callboard_definer;
revoke execute on function app.create_import(text, text, bigint, text, jsonb) from public;
grant execute on function app.create_import(text, text, bigint, text, jsonb) to callboard_api;

create or replace function app.add_import_chunk(import uuid, number integer, piece bytea) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- Only in the transaction that has created it: nobody adds to a file that has been uploaded.
  if not exists (select from app.imports i where i.organization_id = app.current_org() and i.id = import
      and i.created_by = app.current_user_id() and i.created_at = now()) then
    perform app.refuse(404, 'not_found');
  end if;
  insert into app.import_chunks (organization_id, import_id, n, content) values (app.current_org(), import, number, piece);
end
$$;
comment on function app.add_import_chunk(uuid, integer, bytea) is 'A piece of the file of an import that this transaction has created. PT404.';
alter function app.add_import_chunk(uuid, integer, bytea) owner to callboard_definer;
revoke execute on function app.add_import_chunk(uuid, integer, bytea) from public;
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
    perform app.refuse(409, 'import_not_checked', format('It is %s: only an import that is checked can be run.', i.status));
  elsif when_bad = 'abort' and i.bad_lines > 0 then
    perform app.refuse(409, 'import_has_bad_lines', format('%s of its %s lines are bad: run it with on_error skip, or import a mended file.', i.bad_lines, i.lines));
  end if;
  perform app.require(case i.resource when 'shows' then 'shows.write' else 'finance.write' end);
  -- As whoever runs it, with what they may do.
  update app.imports x set status = 'queued', on_error = when_bad, created_by = app.current_user_id(), session_id = app.current_session_id()
  where x.organization_id = i.organization_id and x.id = i.id;
  perform app_private.add_job('run_import', jsonb_build_object('import', i.id), 'import:' || i.id, 5);
  return app.read_import(i.id);
end
$$;
comment on function app.run_import(uuid, text) is
  'Has the lines of a checked import entered: all of them (abort) or the good ones (skip). PT403, PT404, PT409 import_not_checked, import_has_bad_lines.';
alter function app.run_import(uuid, text) owner to callboard_definer;
revoke execute on function app.run_import(uuid, text) from public;
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
  select x.status into present from app.imports x where x.organization_id = app.current_org() and x.id = import;
  if not found then
    perform app.refuse(404, 'not_found');
  elsif present in ('done', 'failed', 'cancelled') then
    perform app.refuse(409, 'import_ended', format('It is %s already.', present));
  end if;
  -- One that is running is locked, and looks here after every few lines.
  update app.import_progress p set is_cancelled = true where p.organization_id = app.current_org() and p.import_id = import;
  if present <> 'running' then
    perform from app.imports x where x.organization_id = app.current_org() and x.id = import for update;
    perform app_private.end_import(import, 'cancelled');
  end if;
  return app.read_import(import);
end
$$;
comment on function app.cancel_import(uuid) is 'Gives an import up; one that is running stops soon, and nothing of it is entered. PT403, PT404, PT409 import_ended.';
alter function app.cancel_import(uuid) owner to callboard_definer;
revoke execute on function app.cancel_import(uuid) from public;
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
  -- What the lines said is in the records, or nobody wants it; what was wrong with them may still be read.
  delete from app.import_chunks c where c.organization_id = app.current_org() and c.import_id = import;
  delete from app.import_lines l where l.organization_id = app.current_org() and l.import_id = import and l.problems is null;
end
$$;
comment on function app_private.end_import(uuid, text, text, integer, integer) is 'Ends an import, counts it, and clears away its file and its good lines.';
alter function app_private.end_import(uuid, text, text, integer, integer) owner to callboard_definer;
revoke execute on function app_private.end_import(uuid, text, text, integer, integer) from public;

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
  'The bad lines of an import behind a line, and the last of them if there are more. PT404.';
revoke execute on function app.list_import_problems(uuid, integer, integer) from public;
grant execute on function app.list_import_problems(uuid, integer, integer) to callboard_api;
--! EndIncluded imports.sql
--! Included calendar_feeds.sql
-- Calendars that calendar programs subscribe to. Who has the secret of a feed reads the calendar of
-- the member who made it, as that member sees it now, and nothing else.

create table if not exists app.calendar_feeds (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  user_id uuid not null default app.current_user_id() references app.users (id) on delete cascade,
  name text not null constraint calendar_feeds_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  secret_hash bytea not null,
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  primary key (organization_id, id)
);
-- Not unique: a hash of 256 random bits needs no guard, and a unique one would tell who has it.
create index if not exists calendar_feeds_secret_hash_idx on app.calendar_feeds (secret_hash) where revoked_at is null;
create index if not exists calendar_feeds_user_id_idx on app.calendar_feeds (organization_id, user_id, id) where revoked_at is null;
alter table app.calendar_feeds alter column name set statistics 0;

alter table app.calendar_feeds enable row level security;
alter table app.calendar_feeds force row level security;

drop policy if exists select_self on app.calendar_feeds;
create policy select_self on app.calendar_feeds for select to callboard_api
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
drop policy if exists select_definer on app.calendar_feeds;
create policy select_definer on app.calendar_feeds for select to callboard_definer using (true);
drop policy if exists insert_definer on app.calendar_feeds;
create policy insert_definer on app.calendar_feeds for insert to callboard_definer
  with check (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
drop policy if exists update_definer on app.calendar_feeds;
create policy update_definer on app.calendar_feeds for update to callboard_definer
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));

grant select (organization_id, id, user_id, name, created_at, revoked_at) on app.calendar_feeds to callboard_api;
grant select, insert (name, secret_hash), update (revoked_at) on app.calendar_feeds to callboard_definer;

comment on table app.calendar_feeds is 'Subscriptions of calendar programs; each member sees their own.';
comment on column app.calendar_feeds.secret_hash is 'SHA-256 of the secret in the feed''s address; granted to no login.';

select app_private.log_changes('app.calendar_feeds', 'calendar_feed', '{"revoked_at": "revoke"}');

create or replace view app.calendar_feed_list with (security_invoker = true) as
  select f.organization_id, f.id, f.user_id, f.created_at,
    json_build_object('id', f.id, 'name', f.name, 'created_at', f.created_at) as body
  from app.calendar_feeds f
  where f.revoked_at is null;
comment on view app.calendar_feed_list is 'The live feeds of the signed-in user in the organization.';
grant select on app.calendar_feed_list to callboard_api;

create or replace function app.list_calendar_feeds() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', coalesce(json_agg(f.body order by f.id), '[]'), 'next_cursor', null), null::text, null::text
  from app.calendar_feed_list f
  where f.organization_id = app.current_org() and f.user_id = app.current_user_id();
end;
comment on function app.list_calendar_feeds() is 'One''s own feeds in the organization.';
revoke execute on function app.list_calendar_feeds() from public;
grant execute on function app.list_calendar_feeds() to callboard_api;

create or replace function app.create_calendar_feed(feed_name text, hash bytea) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  f app.calendar_feeds;
begin
  if app.current_org() is null then
    perform app.refuse(401, 'session_unknown');
  elsif app.org_if('itineraries.read') is null then
    perform app.require('shows.read');
  end if;
  -- A superadmin is no member, and a feed is one's own.
  if not exists (select from app.memberships m where m.organization_id = app.current_org() and m.user_id = app.current_user_id() and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Feeds are for members.');
  end if;
  insert into app.calendar_feeds as x (name, secret_hash) values (feed_name, hash) returning x.* into f;
  -- made_with tells the server whether the secret that it has made is the one that counts, or the request was repeated.
  return (201, json_build_object('id', f.id, 'name', f.name, 'created_at', f.created_at, 'made_with', encode(sha256(f.secret_hash), 'hex')),
    null, '/api/calendar-feeds/' || f.id)::app.answer;
end
$$;
comment on function app.create_calendar_feed(text, bytea) is
  'A feed of the member''s own calendar, for whoever has the secret of which this is the SHA-256. PT403 for who sees no calendar.';
alter function app.create_calendar_feed(text, bytea) owner to callboard_definer;
revoke execute on function app.create_calendar_feed(text, bytea) from public;
grant execute on function app.create_calendar_feed(text, bytea) to callboard_api;

create or replace function app.revoke_calendar_feed(feed uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  update app.calendar_feeds f set revoked_at = statement_timestamp()
  where f.organization_id = app.current_org() and f.user_id = app.current_user_id() and f.id = feed and f.revoked_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.revoke_calendar_feed(uuid) is 'Ends one of one''s own feeds, for good. PT404.';
alter function app.revoke_calendar_feed(uuid) owner to callboard_definer;
revoke execute on function app.revoke_calendar_feed(uuid) from public;
grant execute on function app.revoke_calendar_feed(uuid) to callboard_api;

-- The second door besides app.enter, and a narrower one.
create or replace function app.enter_calendar_feed(secret text) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  f record;
begin
  -- PostgreSQL lets no transaction out of being read-only, so whatever runs in this one changes nothing.
  if not current_setting('transaction_read_only')::boolean then
    raise exception 'a calendar feed is read in a transaction that can only read';
  end if;
  select x.id, x.user_id, x.organization_id, m.role into f
  from app.calendar_feeds x
  join app.memberships m on m.organization_id = x.organization_id and m.user_id = x.user_id and m.deleted_at is null
  join app.organizations o on o.id = x.organization_id and o.deleted_at is null
  where x.secret_hash = app_private.digest(secret) and x.revoked_at is null;
  if f.id is null then
    perform app.refuse(404, 'not_found', 'There is no such calendar, or not any more.');
  end if;
  perform app_private.set_context(f.user_id, f.id, f.organization_id, f.role, array(
    select p from unnest(app_private.effective_permissions(f.organization_id, f.user_id, f.role)) p
    where p in ('organization.read', 'shows.read', 'itineraries.read', 'itineraries.write')));
end
$$;
comment on function app.enter_calendar_feed(text) is
  'Opens this transaction, which must be read-only, for the member who made the feed with this secret, with no permission but those that decide about the calendar and its name. PT404 if the feed, the membership or the organization is gone.';
alter function app.enter_calendar_feed(text) owner to callboard_definer;
revoke execute on function app.enter_calendar_feed(text) from public;
grant execute on function app.enter_calendar_feed(text) to callboard_api;

create or replace function app.read_calendar_feed(secret text) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  most constant integer := 5000;
  today date := (now() at time zone 'UTC')::date;
  organization uuid;
  body json;
begin
  perform app.enter_calendar_feed(secret);
  organization := coalesce(app.org_if('itineraries.read'), app.require('shows.read'));
  select json_build_object(
    'name', (select o.name from app.organizations o where o.id = organization),
    'entries', coalesce(json_agg(json_build_object(
      'kind', c.kind, 'id', c.id, 'title', c.title, 'location', c.location, 'detail', c.detail, 'status', c.status,
      'first_on', c.first_on, 'last_on', c.last_on, 'local_start', c.local_start, 'local_end', c.local_end,
      'start_zone', c.start_zone, 'end_zone', c.end_zone, 'starts_at', c.starts_at, 'ends_at', c.ends_at,
      'version', c.version, 'updated_at', c.updated_at)
      order by c.first_on, c.starts_at nulls first, c.id), '[]')) into body
  from (
    select * from app.calendar_entries x
    where x.organization_id = organization and x.first_on <= today + 400 and x.last_on >= today - 100
    order by x.first_on, x.id
    limit most) c;
  -- Whose it is goes along for the API, which counts what it serves.
  return (200, json_build_object('organization_id', organization, 'calendar', body),
    '"' || ('x' || left(md5(body::text), 15))::bit(60)::bigint || '"', null)::app.answer;
end
$$;
comment on function app.read_calendar_feed(text) is
  'The calendar of the member who made the feed with this secret, from 100 days ago to 400 days from now and at most 5000 entries, the organization whose it is, and an ETag of its content. PT404, PT403 if the member sees no calendar any more.';
revoke execute on function app.read_calendar_feed(text) from public;
grant execute on function app.read_calendar_feed(text) to callboard_api;
--! EndIncluded calendar_feeds.sql
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

  -- What programs told of their users: the policy purge_definer shows no newer ones. By organization, because so is the index.
  delete from app.client_events e
  where e.organization_id = any (array(select o.id from app.organizations o where not app_private.is_held(o.id)))
    and e.received_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('client_events', n);

  -- Counts, so that a year can be compared with the one before.
  delete from app.api_use u
  where u.organization_id = any (array(select o.id from app.organizations o)) and u.day < (now() at time zone 'UTC')::date - 800;
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('api_use', n);
  delete from app.integration_use u
  where u.organization_id = any (array(select o.id from app.organizations o)) and u.day < (now() at time zone 'UTC')::date - 800;
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('integration_use', n);
  delete from app_private.use_batches b where b.added_at < now() - interval '7 days';

  -- Jobs that were given up.
  delete from graphile_worker._private_jobs j
  where not j.is_available and j.locked_at is null and j.run_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('jobs', n);

  return gone;
end
$$;
comment on function app.purge_expired() is
  'Deletes ended sessions, old links, client events, sent mails and failed jobs after 90 days, counts of use after 800, spent refresh tokens after 30, idempotency keys after one. Returns how many of each.';
alter function app.purge_expired() owner to callboard_definer;
revoke execute on function app.purge_expired() from public;
grant execute on function app.purge_expired() to callboard_worker;
--! EndIncluded purge.sql
--! Included rollups.sql
-- How fresh the materialized views of `analytics_private` are: a row for each. How they are
-- refreshed is in rollup_refreshing.sql; each has a file of its own, which registers it here.

create table if not exists analytics_private.rollups (
  name text primary key,
  -- The tables that it is computed from, and the events of an organization (by resource_type) after
  -- which its figures may be others: '*' is any. client_event is what comes without events of the log.
  sources text[] not null,
  resources text[] not null,
  -- Whether it knows what day it is where an organization is, so that tomorrow it is another one.
  has_today boolean not null default false,
  -- Null until it has been filled for the first time.
  as_of timestamptz,
  refreshed_at timestamptz,
  took interval,
  row_count bigint,
  -- Of the sources, before it was refreshed: analytics_private.state_of.
  state jsonb
);
alter table analytics_private.rollups enable row level security;
alter table analytics_private.rollups force row level security;
drop policy if exists select_definer on analytics_private.rollups;
create policy select_definer on analytics_private.rollups for select to callboard_definer using (true);
drop policy if exists all_rollup on analytics_private.rollups;
create policy all_rollup on analytics_private.rollups for all to callboard_rollup using (true);
drop policy if exists all_owner on analytics_private.rollups;
create policy all_owner on analytics_private.rollups for all to callboard_owner using (true);
grant select on analytics_private.rollups to callboard_definer;
grant select, update on analytics_private.rollups to callboard_rollup;
comment on table analytics_private.rollups is 'The materialized views of this schema: what they are computed from, and when they were.';
comment on column analytics_private.rollups.as_of is 'Everything that began before this moment is in the figures, or has changed nothing.';
comment on column analytics_private.rollups.refreshed_at is 'When it was computed last. as_of moves on without that as long as nothing has happened.';

-- Whoever holds the row is the only one who refreshes anything.
create table if not exists analytics_private.refreshing (
  id boolean primary key default true constraint refreshing_one_row check (id)
);
alter table analytics_private.refreshing enable row level security;
alter table analytics_private.refreshing force row level security;
drop policy if exists all_rollup on analytics_private.refreshing;
create policy all_rollup on analytics_private.refreshing for all to callboard_rollup using (true);
-- Locking a row takes the right to change it.
grant select, update on analytics_private.refreshing to callboard_rollup;
drop policy if exists insert_owner on analytics_private.refreshing;
create policy insert_owner on analytics_private.refreshing for insert to callboard_owner with check (true);
insert into analytics_private.refreshing default values on conflict do nothing;
comment on table analytics_private.refreshing is 'Locked by whoever refreshes a materialized view, so that there is one at a time.';

create or replace function analytics_private.register_rollup(name text, sources text[], resources text[], has_today boolean default false) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  known_to_one name;
begin
  -- EXPLAIN shows what the planner makes of statistics, and they are of all organizations.
  for known_to_one in
    select a.attname from pg_catalog.pg_attribute a
    where a.attrelid = format('analytics_private.%I', register_rollup.name)::regclass and a.attnum > 0
      and a.atttypid not in ('uuid'::regtype, 'date'::regtype) and a.attname not in ('status', 'currency', 'base_currency')
  loop
    execute format('alter materialized view analytics_private.%I alter column %I set statistics 0', register_rollup.name, known_to_one);
  end loop;
  execute format('alter materialized view analytics_private.%I owner to callboard_rollup', register_rollup.name);
  execute format('alter view analytics.%I owner to callboard_rollup', register_rollup.name);
  execute format('grant select on analytics.%I to callboard_api, callboard_bi', register_rollup.name);
  insert into analytics_private.rollups as r (name, sources, resources, has_today)
  values (register_rollup.name, register_rollup.sources, register_rollup.resources, register_rollup.has_today)
  on conflict on constraint rollups_pkey do update
  set sources = excluded.sources, resources = excluded.resources, has_today = excluded.has_today,
    -- What is defined anew is computed anew.
    state = null;
end
$$;
comment on function analytics_private.register_rollup(text, text[], text[], boolean) is
  'Hands the materialized view analytics_private.<name> and the view analytics.<name> over to callboard_rollup, grants the latter to those who read figures, and has the former refreshed when the tables `sources` change or an event about one of `resources` happens, or with has_today when the day turns somewhere.';
revoke execute on function analytics_private.register_rollup(text, text[], text[], boolean) from public;

create or replace function app.freshness(variadic rollups text[], out as_of timestamptz, out is_current boolean)
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
-- Only the events since as_of, which are few, whatever the planner thinks: it does not know as_of.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  organization uuid := app.org_if('analytics.read');
begin
  if organization is null then
    return;
  end if;
  -- Events are kept for 90 days at least.
  select case when bool_and(r.as_of is not null) then min(r.as_of) end,
    bool_and(coalesce(r.as_of > now() - interval '90 days', false)
      and not (r.has_today and exists (select from app.organizations o
        where o.id = organization and (r.refreshed_at at time zone o.time_zone)::date <> (now() at time zone o.time_zone)::date))
      and not exists (select from app.event_log l
        where l.organization_id = organization and l.occurred_at >= r.as_of and (l.resource_type = any (r.resources) or '*' = any (r.resources)))
      and not ('client_event' = any (r.resources) and exists (select from app.client_events c
        where c.organization_id = organization and c.received_at >= r.as_of)))
  into as_of, is_current
  from analytics_private.rollups r where r.name = any (rollups);
end
$$;
comment on function app.freshness(text[]) is
  'Of what moment the figures of these materialized views are, the oldest of them (null: never computed), and whether the organization has changed nothing since that they would show. Nulls without analytics.read.';
alter function app.freshness(text[]) owner to callboard_definer;
revoke execute on function app.freshness(text[]) from public;
grant execute on function app.freshness(text[]) to callboard_api;

-- Of BI tools, too: each answer of the API has it besides.
create or replace view analytics.freshness with (security_barrier = true) as
  select r.name as view_name, f.as_of, f.is_current
  from analytics_private.rollups r, lateral app.freshness(r.name) f
  where (select app.visible_org()) is not null;
comment on view analytics.freshness is 'How old the figures of each view are.';
comment on column analytics.freshness.view_name is 'The view in this schema.';
comment on column analytics.freshness.as_of is 'Its figures are complete up to this moment; null if there are none yet.';
comment on column analytics.freshness.is_current is 'Whether your organization has changed nothing since that they would show.';
alter view analytics.freshness owner to callboard_rollup;
grant select on analytics.freshness to callboard_api, callboard_bi;
grant execute on function app.freshness(text[]) to callboard_rollup;

create or replace function app.read_freshness() returns app.answer
language plpgsql stable
set search_path = ''
as $$
begin
  perform app.require('analytics.read');
  return (null, (select json_build_object('items', coalesce(json_agg(json_build_object(
      'name', f.view_name, 'as_of', f.as_of, 'is_current', f.is_current) order by f.view_name), '[]'), 'next_cursor', null)
    from analytics.freshness f), null, null)::app.answer;
end
$$;
comment on function app.read_freshness() is 'How old the figures are, by view. PT403 without analytics.read.';
revoke execute on function app.read_freshness() from public;
grant execute on function app.read_freshness() to callboard_api, callboard_definer;

create or replace function app.ask_for_refresh() returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('analytics.refresh');
  -- However many ask: as long as it waits, it is one job.
  perform app_private.add_job('refresh_rollups', '{}', 'refresh_rollups', 4);
  return (202, json_build_object('look_at', '/api/analytics/refresh'), null, null)::app.answer;
end
$$;
comment on function app.ask_for_refresh() is 'Has the worker refresh what has changed, now instead of within a minute. PT403 without analytics.refresh.';
alter function app.ask_for_refresh() owner to callboard_definer;
revoke execute on function app.ask_for_refresh() from public;
grant execute on function app.ask_for_refresh() to callboard_api;
--! EndIncluded rollups.sql
--! Included rollup_refreshing.sql
-- Refreshing the materialized views: those of which something has changed, one in a transaction.
--
-- That something has changed is seen in two ways, neither of which writes anything on the tenants'
-- path. An event says it at once, exactly, and says whose it is; but not everything makes events: a
-- TRUNCATE, a DBA's statement without triggers. PostgreSQL's statistics count every row that was
-- written, whoever did it; but late, by seconds, and they begin anew after a crash. So they are
-- compared for being equal, with the time of the last reset, and they are read BEFORE the snapshot
-- that the view is computed from: what was counted by then, had been committed, and is in it; what
-- was not counted yet, makes a difference the next time.

create or replace function analytics_private.state_of(sources text[]) returns jsonb
language sql volatile
set search_path = ''
begin atomic
  -- A dropped partition is missing, a truncated table has another file, and a crash has reset all counters at a new time.
  select jsonb_build_object(
    'counted_since', jsonb_build_array(pg_catalog.pg_stat_get_db_stat_reset_time(d.oid), (select a.stats_reset from pg_catalog.pg_stat_archiver a)),
    'tables', (
      select jsonb_object_agg(t.relid::oid::text, jsonb_build_array(pg_catalog.pg_relation_filenode(t.relid),
        pg_catalog.pg_stat_get_tuples_inserted(t.relid), pg_catalog.pg_stat_get_tuples_updated(t.relid), pg_catalog.pg_stat_get_tuples_deleted(t.relid)))
      from unnest(sources) s (name), lateral (select s.name::regclass union select p.relid from pg_catalog.pg_partition_tree(s.name::regclass) p) t (relid)))
  from pg_catalog.pg_database d where d.datname = current_database();
end;
comment on function analytics_private.state_of(text[]) is
  'What PostgreSQL has counted of the rows written to these tables and their partitions: as long as it is the same, nothing was changed that it knows of.';
alter function analytics_private.state_of(text[]) owner to callboard_rollup;
revoke execute on function analytics_private.state_of(text[]) from public;

create or replace function app_private.logged_since(since timestamptz, until timestamptz) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  organization uuid;
  seen jsonb := '{}';
begin
  loop
    organization := app_private.next_logged(organization, since, until);
    exit when organization is null;
    seen := seen || coalesce((
      select jsonb_object_agg(e.resource_type, greatest(e.latest, (seen ->> e.resource_type)::timestamptz))
      from (select l.resource_type, max(l.occurred_at) as latest from app.event_log l
        where l.organization_id = organization and l.occurred_at >= since and l.occurred_at < until group by 1) e), '{}');
  end loop;
  -- By organization, because so is the index.
  return seen || coalesce((
    select jsonb_build_object('client_event', max(c.received_at)) from app.client_events c
    where c.organization_id = any (array(select o.id from app.organizations o)) and c.received_at >= since and c.received_at < until
    having count(*) > 0), '{}');
end
$$;
comment on function app_private.logged_since(timestamptz, timestamptz) is
  'What the events of all organizations between two moments are about, each with the time of the latest; client_event of those that clients have told.';
alter function app_private.logged_since(timestamptz, timestamptz) owner to callboard_definer;
revoke execute on function app_private.logged_since(timestamptz, timestamptz) from public;
grant execute on function app_private.logged_since(timestamptz, timestamptz) to callboard_rollup;

create or replace function app_private.horizon() returns timestamptz
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select app_private.seal_horizon();
end;
comment on function app_private.horizon() is 'app_private.seal_horizon for callboard_rollup, which may not see the transactions of others itself.';
alter function app_private.horizon() owner to callboard_definer;
revoke execute on function app_private.horizon() from public;
grant execute on function app_private.horizon() to callboard_rollup;

create or replace function app.refresh_rollups(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set jit = off
set work_mem = '64MB'
as $$
declare
  r analytics_private.rollups;
  horizon timestamptz;
  seen jsonb;
  now_state jsonb;
  began timestamptz;
  n bigint;
  failed integer := 0;
  waiting integer := 0;
  because jsonb := '[]';
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'every statement needs a snapshot of its own';
  end if;
  perform from analytics_private.refreshing for update skip locked;
  if not found then
    return jsonb_build_object('busy', true, 'failed', 0, 'next', null);
  end if;
  -- In this order: whose transaction was over before the horizon, its events are seen, and it is in the snapshot of the refresh.
  horizon := app_private.horizon();
  seen := app_private.logged_since((select coalesce(min(v.as_of), horizon) from analytics_private.rollups v), horizon);
  for r in select * from analytics_private.rollups v where behind is null or v.name > behind #>> '{}' order by v.name loop
    now_state := analytics_private.state_of(r.sources);
    if r.state = now_state and current_setting('track_counts')::boolean
      and not (r.has_today and exists (select from app.organizations o
        where (r.refreshed_at at time zone o.time_zone)::date <> (now() at time zone o.time_zone)::date))
      and not exists (select from jsonb_each_text(seen) s
        where (s.key = any (r.resources) or '*' = any (r.resources) and s.key <> 'client_event') and s.value::timestamptz >= r.as_of)
    then
      update analytics_private.rollups v set as_of = greatest(v.as_of, horizon) where v.name = r.name;
      continue;
    end if;
    -- However much happens, and however often somebody asks: one part in so many of the time.
    if r.state is not null and r.refreshed_at + least(r.took * 20, interval '10 minutes') > clock_timestamp() then
      waiting := waiting + 1;
      continue;
    end if;
    began := clock_timestamp();
    begin
      execute format('refresh materialized view concurrently analytics_private.%I', r.name);
      execute format('select count(*) from analytics_private.%I', r.name) into n;
    exception when others then
      failed := failed + 1;
      because := because || jsonb_build_object('rollup', r.name, 'failed_with', sqlerrm);
      continue;
    end;
    update analytics_private.rollups v
    set as_of = greatest(v.as_of, horizon), refreshed_at = now(), took = clock_timestamp() - began, row_count = n, state = now_state
    where v.name = r.name;
    -- The sealer of events waits for the end of this transaction.
    return jsonb_build_object('refreshed', r.name, 'rows', n, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer,
      'waiting', waiting, 'failed', failed, 'because', because, 'until', horizon, 'next', r.name);
  end loop;
  return jsonb_build_object('waiting', waiting, 'failed', failed, 'because', because, 'until', horizon, 'next', null);
end
$$;
comment on function app.refresh_rollups(jsonb) is
  'Refreshes the first materialized view behind another one (null: of all) whose sources have changed, without keeping anybody from reading it, and moves on as_of of those of which nothing has. To go on, call it with next, until that is null; one at a time: another call at the same time does nothing. Says until when it knows what has happened, how many wait because they were refreshed just now, and which could not be, and why.';
alter function app.refresh_rollups(jsonb) owner to callboard_rollup;
revoke execute on function app.refresh_rollups(jsonb) from public;
grant execute on function app.refresh_rollups(jsonb) to callboard_worker;
--! EndIncluded rollup_refreshing.sql
--! Included activity.sql
-- What people do, by day where their organization is: from the event log, as long as that is kept, and
-- from what programs tell. Both have a row for each member, so that people can be counted over any time.

create materialized view if not exists analytics_private.activity_by_day as
  select e.organization_id, (e.occurred_at at time zone o.time_zone)::date as day,
    -- A key has no nulls.
    coalesce(e.actor_id, uuid '00000000-0000-0000-0000-000000000000') as user_id, e.actor_kind, e.action, count(*) as events
  from app.event_log e
  join app.organizations o on o.id = e.organization_id
  group by 1, 2, 3, 4, 5;
create unique index if not exists activity_by_day_key on analytics_private.activity_by_day (organization_id, day, user_id, actor_kind, action);
comment on materialized view analytics_private.activity_by_day is 'Events of all organizations by day: see analytics.activity_by_day.';

create or replace view analytics.activity_by_day with (security_barrier = true) as
  select m.day, nullif(m.user_id, uuid '00000000-0000-0000-0000-000000000000') as user_id, m.actor_kind, m.action, m.events,
    (select r.as_of from analytics_private.rollups r where r.name = 'activity_by_day') as as_of
  from analytics_private.activity_by_day m
  where m.organization_id = (select app.visible_org());
comment on view analytics.activity_by_day is 'What was done by day, as often as the event log has it: creating, changing, deleting, restoring, signing in and so on.';
comment on column analytics.activity_by_day.day is 'In the time zone of the organization.';
comment on column analytics.activity_by_day.user_id is 'Who did it; null where that is not known.';
comment on column analytics.activity_by_day.actor_kind is 'user, anonymous, system or support.';
comment on column analytics.activity_by_day.action is '<resource>.<verb>, such as show.create; auth.sign_in is a sign-in.';
comment on column analytics.activity_by_day.events is 'How often.';
comment on column analytics.activity_by_day.as_of is 'The figures are complete up to this moment.';

create materialized view if not exists analytics_private.client_events_by_day as
  select c.organization_id, (c.occurred_at at time zone o.time_zone)::date as day, c.user_id, c.kind, c.name, count(*) as events
  from app.client_events c
  join app.organizations o on o.id = c.organization_id
  group by 1, 2, 3, 4, 5;
create unique index if not exists client_events_by_day_key on analytics_private.client_events_by_day (organization_id, day, user_id, kind, name);
comment on materialized view analytics_private.client_events_by_day is 'Client events of all organizations by day: see analytics.client_events_by_day.';

create or replace view analytics.client_events_by_day with (security_barrier = true) as
  select m.day, m.user_id, m.kind, m.name, m.events,
    (select r.as_of from analytics_private.rollups r where r.name = 'client_events_by_day') as as_of
  from analytics_private.client_events_by_day m
  where m.organization_id = (select app.visible_org());
comment on view analytics.client_events_by_day is 'What programs told of their users by day, for 90 days.';
comment on column analytics.client_events_by_day.day is 'In the time zone of the organization.';
comment on column analytics.client_events_by_day.user_id is 'Whose program told it.';
comment on column analytics.client_events_by_day.kind is 'page_view or action.';
comment on column analytics.client_events_by_day.name is 'Of the page or action.';
comment on column analytics.client_events_by_day.events is 'How often.';
comment on column analytics.client_events_by_day.as_of is 'The figures are complete up to this moment.';

select analytics_private.register_rollup('activity_by_day', '{app.event_log,app.organizations}', '{*}'),
  analytics_private.register_rollup('client_events_by_day', '{app.client_events,app.organizations}', '{client_event,organization}');

create or replace function app.activity_figures(from_on date default null, to_on date default null, of_user uuid default null, of_action text default null)
returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  until date := least(coalesce(to_on, from_on + 29, app.today()), '9999-12-31');
  since date := coalesce(from_on, greatest(until - 29, '0001-01-01'));
  fresh record;
  body jsonb;
begin
  perform app.require('analytics.read');
  if until < since or until > since + 366 then
    perform app.refuse(422, 'analytics_range', 'It ends at least when it begins, and no more than 367 days later.');
  end if;
  select * into fresh from app.freshness('activity_by_day', 'client_events_by_day');
  with e as materialized (
    select a.day, case a.actor_kind when 'user' then a.user_id end as user_id, a.action, a.events, a.events * (a.action = 'auth.sign_in')::integer as sign_ins
    from analytics.activity_by_day a
    where a.day between since and until and (of_user is null or a.user_id = of_user) and (of_action is null or a.action = of_action)
  ), c as materialized (
    select x.day, x.user_id, x.kind, x.name, x.events from analytics.client_events_by_day x
    where x.day between since and until and (of_user is null or x.user_id = of_user)
  )
  select jsonb_build_object(
    'totals', (
      select jsonb_build_object('events', coalesce(sum(e.events), 0), 'sign_ins', coalesce(sum(e.sign_ins), 0), 'active_users', count(distinct e.user_id))
      from e),
    'by_day', (
      select coalesce(jsonb_agg(jsonb_build_object('day', d.day, 'events', d.events, 'sign_ins', d.sign_ins, 'active_users', d.users) order by d.day), '[]')
      from (select e.day, sum(e.events) as events, sum(e.sign_ins) as sign_ins, count(distinct e.user_id) as users from e group by 1) d),
    'by_week', (
      select coalesce(jsonb_agg(jsonb_build_object('week_on', w.week, 'events', w.events, 'sign_ins', w.sign_ins, 'active_users', w.users,
        'signed_in_users', w.signed_in) order by w.week), '[]')
      from (
        select date_trunc('week', e.day::timestamp)::date as week, sum(e.events) as events, sum(e.sign_ins) as sign_ins,
          count(distinct e.user_id) as users, count(distinct e.user_id) filter (where e.sign_ins > 0) as signed_in
        from e group by 1) w),
    'by_action', (
      select coalesce(jsonb_agg(jsonb_build_object('action', a.action, 'events', a.events) order by a.events desc, a.action), '[]')
      from (select e.action, sum(e.events) as events from e group by 1) a),
    'by_user', (
      select coalesce(jsonb_agg(jsonb_build_object('user_id', p.user_id, 'display_name', u.display_name, 'events', p.events, 'sign_ins', p.sign_ins,
        'active_days', p.days, 'last_on', p.last_on) order by p.events desc, p.user_id), '[]')
      from (
        select e.user_id, sum(e.events) as events, sum(e.sign_ins) as sign_ins, count(distinct e.day) as days, max(e.day) as last_on
        from e where e.user_id is not null group by 1) p
      -- The name as long as they are a colleague.
      left join app.users u on u.id = p.user_id),
    'client_events', jsonb_build_object(
      'by_day', (
        select coalesce(jsonb_agg(jsonb_build_object('day', d.day, 'page_views', d.page_views, 'actions', d.actions, 'users', d.users) order by d.day), '[]')
        from (
          select c.day, coalesce(sum(c.events) filter (where c.kind = 'page_view'), 0) as page_views,
            coalesce(sum(c.events) filter (where c.kind = 'action'), 0) as actions, count(distinct c.user_id) as users
          from c group by 1) d),
      'by_name', (
        select coalesce(jsonb_agg(jsonb_build_object('kind', n.kind, 'name', n.name, 'events', n.events, 'users', n.users)
          order by n.events desc, n.kind, n.name), '[]')
        from (
          select c.kind, c.name, sum(c.events) as events, count(distinct c.user_id) as users from c group by 1, 2
          order by 3 desc, 1, 2 limit 100) n))) into body;
  return (null, jsonb_build_object('as_of', fresh.as_of, 'is_current', fresh.is_current, 'from', since, 'to', until) || body, null, null)::app.answer;
end
$$;
comment on function app.activity_figures(date, date, uuid, text) is
  'What was done from one day to another (30 days up to today, if nothing is said; at most 367), by day, week, action and user, with sign-ins; and what programs told, by day and the 100 most frequent names. Of one user and one action, if given. PT403 without analytics.read, PT422 analytics_range.';
revoke execute on function app.activity_figures(date, date, uuid, text) from public;
grant execute on function app.activity_figures(date, date, uuid, text) to callboard_api;
--! EndIncluded activity.sql
--! Included use_figures.sql
-- How the use of the API and of integrations is shown: from the sums themselves (use.sql), which need
-- no refreshing.

create or replace view analytics.api_use_by_day with (security_barrier = true) as
  select u.day, u.operation, u.calls, u.errors, u.server_errors, u.total_us, u.slowest_us, u.within_10_ms, u.within_100_ms, u.within_1_s,
    u.bytes_in, u.bytes_out, now() - interval '1 minute' as as_of
  from app.api_use u
  where u.organization_id = (select app.visible_org());
comment on view analytics.api_use_by_day is 'Calls of the API by day and operation, of members with a token; also those that were refused, but not those of superadmins.';
comment on column analytics.api_use_by_day.day is 'UTC.';
comment on column analytics.api_use_by_day.operation is 'operationId in the OpenAPI document.';
comment on column analytics.api_use_by_day.calls is 'How many calls.';
comment on column analytics.api_use_by_day.errors is 'How many were answered with a status from 400 on.';
comment on column analytics.api_use_by_day.server_errors is 'How many of them from 500 on.';
comment on column analytics.api_use_by_day.total_us is 'Microseconds that all of them took together.';
comment on column analytics.api_use_by_day.slowest_us is 'Microseconds that the slowest took.';
comment on column analytics.api_use_by_day.within_10_ms is 'How many took no longer than 10 ms.';
comment on column analytics.api_use_by_day.within_100_ms is 'How many took no longer than 100 ms.';
comment on column analytics.api_use_by_day.within_1_s is 'How many took no longer than a second.';
comment on column analytics.api_use_by_day.bytes_in is 'Bytes of the requests, with their headers.';
comment on column analytics.api_use_by_day.bytes_out is 'Bytes of the answers, with their headers.';
comment on column analytics.api_use_by_day.as_of is 'Calls after this moment may still be missing.';

create or replace view analytics.integration_use_by_day with (security_barrier = true) as
  select u.day, u.kind, u.name, u.calls, u.errors, u.rows, u.bytes, u.last_at, now() - interval '1 minute' as as_of
  from app.integration_use u
  where u.organization_id = (select app.visible_org());
comment on view analytics.integration_use_by_day is 'Integrations, such as imports and calendar feeds, by day.';
comment on column analytics.integration_use_by_day.day is 'UTC.';
comment on column analytics.integration_use_by_day.kind is 'import, export, calendar_feed, bi or webhook.';
comment on column analytics.integration_use_by_day.name is 'Which one, such as the source of an import.';
comment on column analytics.integration_use_by_day.calls is 'How often it was used.';
comment on column analytics.integration_use_by_day.errors is 'How often in vain.';
comment on column analytics.integration_use_by_day.rows is 'Rows that were entered or taken out.';
comment on column analytics.integration_use_by_day.bytes is 'Bytes of what was entered or taken out.';
comment on column analytics.integration_use_by_day.last_at is 'When it was used last on that day.';
comment on column analytics.integration_use_by_day.as_of is 'What happened after this moment may still be missing.';

do $$
declare
  shown text;
begin
  foreach shown in array array['api_use_by_day', 'integration_use_by_day'] loop
    execute format('alter view analytics.%I owner to callboard_rollup', shown);
    execute format('grant select on analytics.%I to callboard_api, callboard_bi', shown);
  end loop;
end
$$;

create or replace function app.calls_json(calls numeric, errors numeric, server_errors numeric, total_us numeric, slowest_us bigint, within_10_ms numeric,
  within_100_ms numeric, within_1_s numeric, bytes_in numeric, bytes_out numeric) returns jsonb
language sql immutable parallel safe
return jsonb_build_object('calls', coalesce(calls, 0), 'errors', coalesce(errors, 0), 'server_errors', coalesce(server_errors, 0),
  'mean_us', round(total_us / nullif(calls, 0)), 'slowest_us', slowest_us, 'within_10_ms', coalesce(within_10_ms, 0),
  'within_100_ms', coalesce(within_100_ms, 0), 'within_1_s', coalesce(within_1_s, 0), 'bytes_in', coalesce(bytes_in, 0), 'bytes_out', coalesce(bytes_out, 0));
comment on function app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric) is
  'Sums of calls as JSON, with the mean of how long they took; null counts as nothing.';
revoke execute on function app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric) from public;
grant execute on function app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric) to callboard_api;

create or replace function app.use_figures(from_on date, to_on date, delay_seconds double precision) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  -- What is counted is written down a little later.
  as_of timestamptz := now() - make_interval(secs => 2 * delay_seconds);
  until date := least(coalesce(to_on, from_on + 29, (now() at time zone 'UTC')::date), '9999-12-31');
  since date := coalesce(from_on, greatest(until - 29, '0001-01-01'));
  body jsonb;
begin
  perform app.require('analytics.read');
  if until < since or until > since + 366 then
    perform app.refuse(422, 'analytics_range', 'It ends at least when it begins, and no more than 367 days later.');
  end if;
  with a as materialized (
    select * from analytics.api_use_by_day u where u.day between since and until
  ), i as materialized (
    select * from analytics.integration_use_by_day u where u.day between since and until
  )
  select jsonb_build_object(
    'integrations', (
      select coalesce(jsonb_agg(jsonb_build_object('kind', x.kind, 'name', x.name, 'calls', x.calls, 'errors', x.errors, 'rows', x.rows,
        'bytes', x.bytes, 'last_at', x.last_at) order by x.kind, x.name), '[]')
      from (
        select i.kind, i.name, sum(i.calls) as calls, sum(i.errors) as errors, sum(i.rows) as rows, sum(i.bytes) as bytes, max(i.last_at) as last_at
        from i group by 1, 2) x),
    'integrations_by_day', (
      select coalesce(jsonb_agg(jsonb_build_object('day', x.day, 'kind', x.kind, 'calls', x.calls, 'errors', x.errors, 'rows', x.rows,
        'bytes', x.bytes) order by x.day, x.kind), '[]')
      from (
        select i.day, i.kind, sum(i.calls) as calls, sum(i.errors) as errors, sum(i.rows) as rows, sum(i.bytes) as bytes
        from i group by 1, 2) x),
    'api', jsonb_build_object(
      'totals', (
        select app.calls_json(sum(a.calls), sum(a.errors), sum(a.server_errors), sum(a.total_us), max(a.slowest_us), sum(a.within_10_ms),
          sum(a.within_100_ms), sum(a.within_1_s), sum(a.bytes_in), sum(a.bytes_out)) from a),
      'by_day', (
        select coalesce(jsonb_agg(jsonb_build_object('day', x.day) || x.use order by x.day), '[]')
        from (
          select a.day, app.calls_json(sum(a.calls), sum(a.errors), sum(a.server_errors), sum(a.total_us), max(a.slowest_us), sum(a.within_10_ms),
            sum(a.within_100_ms), sum(a.within_1_s), sum(a.bytes_in), sum(a.bytes_out)) as use
          from a group by 1) x),
      'by_operation', (
        select coalesce(jsonb_agg(jsonb_build_object('operation', x.operation) || x.use order by x.calls desc, x.operation), '[]')
        from (
          select a.operation, sum(a.calls) as calls, app.calls_json(sum(a.calls), sum(a.errors), sum(a.server_errors), sum(a.total_us),
            max(a.slowest_us), sum(a.within_10_ms), sum(a.within_100_ms), sum(a.within_1_s), sum(a.bytes_in), sum(a.bytes_out)) as use
          from a group by 1) x))) into body;
  -- Days that are over are complete.
  return (null, jsonb_build_object('as_of', as_of, 'is_current', until < (as_of at time zone 'UTC')::date, 'from', since, 'to', until) || body,
    null, null)::app.answer;
end
$$;
comment on function app.use_figures(date, date, double precision) is
  'Integrations and calls of the API from one UTC day to another (30 days up to today, if nothing is said; at most 367), where counts are written so many seconds late. PT403 without analytics.read, PT422 analytics_range.';
revoke execute on function app.use_figures(date, date, double precision) from public;
grant execute on function app.use_figures(date, date, double precision) to callboard_api;
--! EndIncluded use_figures.sql
