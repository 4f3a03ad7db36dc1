--! Previous: sha1:9e1e7738c5a9848291e62c9d93aa2eb427b6ebbe
--! Hash: sha1:7222943af59a8a7af7dbd165ab503edee835453d
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
-- The purge has no context, and sees only what is too old for anybody.
drop policy if exists purge_definer on app.client_events;
create policy purge_definer on app.client_events for all to callboard_definer
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
-- imports and exports, calendar feeds, BI tools. Numbers by UTC day and nothing of single calls.
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
comment on table app.integration_use is 'Imports, exports, calendar feeds and BI tools, by UTC day.';
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
