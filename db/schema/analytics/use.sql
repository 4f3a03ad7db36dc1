-- Usage of the API, and an organization's exchange with other systems through it, such as imports and
-- calendar feeds. Totals by UTC day, nothing about individual calls.
-- The API counts in memory and adds its counts every few seconds (src/analytics/use/use.ts); rare
-- operations are counted in their own transaction.
--
-- These are already sums, so analytics reads them directly: nothing has to be refreshed.

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
  name text collate app.people not null constraint integration_use_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]'),
  calls bigint not null,
  errors bigint not null,
  rows bigint not null,
  bytes bigint not null,
  last_at timestamptz not null,
  primary key (organization_id, day, kind, name)
);
select app_private.hide_statistics('app.api_use'), app_private.hide_statistics('app.integration_use');

-- Which batches were added: a process that does not know whether its COMMIT succeeded sends the batch again.
create table if not exists app_private.use_batches (
  id uuid primary key,
  added_at timestamptz not null default now()
);

comment on table app.api_use is 'API calls by UTC day and operation; by organization, not by user.';
comment on column app.api_use.operation is 'operationId in the OpenAPI document.';
comment on column app.api_use.errors is 'Responses with status 400 or higher, including those with 500 or higher.';
comment on column app.api_use.total_us is 'Microseconds from the arrival of a request to the end of its response, summed over all calls.';
comment on column app.api_use.within_10_ms is 'Calls that took no longer than 10 ms.';
comment on column app.api_use.bytes_in is 'Size of requests on the wire, with their headers.';
comment on column app.api_use.bytes_out is 'Size of responses, with their headers.';
comment on table app.integration_use is 'Integrations, such as imports and calendar feeds, by UTC day.';
comment on column app.integration_use.name is 'Which one: the source of an import, or the imported resource; the exported resource.';
comment on column app.integration_use.rows is 'Rows imported or exported.';
comment on table app_private.use_batches is 'Batches of counts added in the last 7 days.';

-- Counts are added without a context, for many organizations at once.
select app_private.definer_table('app.api_use'), app_private.definer_table('app.integration_use'), app_private.definer_table('app_private.use_batches');
select app_private.set_policy('app.api_use', 'select_rollup', 'callboard_rollup', 'true');
select app_private.set_policy('app.integration_use', 'select_rollup', 'callboard_rollup', 'true');
grant select on app.api_use, app.integration_use to callboard_rollup;

-- The most that can be added at a time, so that a sum never overflows, however often something is added.
create or replace function app_private.countable(n numeric) returns bigint
language sql immutable parallel safe
return least(greatest(coalesce(n, 0), 0), 1000000000000)::bigint;
comment on function app_private.countable(numeric) is 'A number clamped to what may be added to a count: 0 to 10^12.';
alter function app_private.countable(numeric) owner to callboard_definer;

create or replace function app_private.countable_day(day date) returns date
language sql stable parallel safe
return least(greatest(day, (now() at time zone 'UTC')::date - 7), (now() at time zone 'UTC')::date + 1);
comment on function app_private.countable_day(date) is 'A day clamped to those for which counts may be added: 7 days ago to tomorrow.';
alter function app_private.countable_day(date) owner to callboard_definer;

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
  'Counts the use of an integration: its organization, kind (import, export, calendar_feed, bi, webhook) and name; calls, errors, rows and bytes, today by default. For functions that do so in their own transaction.';
alter function app_private.count_integration(uuid, text, text, bigint, bigint, bigint, bigint, date) owner to callboard_definer;

create or replace function app.add_use(batch uuid, api jsonb, integrations jsonb) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- A repeated batch waits here for the first to end, and is then not added if the first was.
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
  -- Skips organizations purged in the meantime.
  join app.organizations o on o.id = c.organization_id
  group by 1, 2, 3
  -- Concurrent processes add in the same order, which avoids deadlocks.
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
  'Adds a batch of counts for many organizations, unless already added. It only adds and returns nothing: SQL run as the API''s login can inflate the usage of any organization, by at most 10^12 per call and on days from 7 days ago to tomorrow, but can neither read nor lower anything.';
alter function app.add_use(uuid, jsonb, jsonb) owner to callboard_definer;
grant execute on function app.add_use(uuid, jsonb, jsonb) to callboard_api;
