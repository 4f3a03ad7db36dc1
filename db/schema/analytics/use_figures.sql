-- Usage of the API and of integrations, read directly from the sums (use.sql), which need no
-- refreshing.

create or replace view analytics.api_use_by_day with (security_barrier = true) as
  select u.day, u.operation, u.calls, u.errors, u.server_errors, u.total_us, u.slowest_us, u.within_10_ms, u.within_100_ms, u.within_1_s,
    u.bytes_in, u.bytes_out, now() - interval '1 minute' as as_of
  from app.api_use u
  where u.organization_id = (select app.visible_org());
comment on view analytics.api_use_by_day is 'API calls by day and operation, by members with a token; including refused calls, but not those of superadmins.';
comment on column analytics.api_use_by_day.day is 'UTC.';
comment on column analytics.api_use_by_day.operation is 'operationId in the OpenAPI document.';
comment on column analytics.api_use_by_day.calls is 'Number of calls.';
comment on column analytics.api_use_by_day.errors is 'How many had a response status of 400 or higher.';
comment on column analytics.api_use_by_day.server_errors is 'How many had a response status of 500 or higher.';
comment on column analytics.api_use_by_day.total_us is 'Microseconds that all calls took in total.';
comment on column analytics.api_use_by_day.slowest_us is 'Microseconds that the slowest call took.';
comment on column analytics.api_use_by_day.within_10_ms is 'How many took no longer than 10 ms.';
comment on column analytics.api_use_by_day.within_100_ms is 'How many took no longer than 100 ms.';
comment on column analytics.api_use_by_day.within_1_s is 'How many took no longer than a second.';
comment on column analytics.api_use_by_day.bytes_in is 'Bytes of the requests, with their headers.';
comment on column analytics.api_use_by_day.bytes_out is 'Bytes of the responses, with their headers.';
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
comment on column analytics.integration_use_by_day.errors is 'How often that failed.';
comment on column analytics.integration_use_by_day.rows is 'Rows imported or exported.';
comment on column analytics.integration_use_by_day.bytes is 'Bytes imported or exported.';
comment on column analytics.integration_use_by_day.last_at is 'When it was last used on that day.';
comment on column analytics.integration_use_by_day.as_of is 'What happened after this moment may still be missing.';

do $$
declare
  shown text;
begin
  foreach shown in array array['api_use_by_day', 'integration_use_by_day'] loop
    perform app_private.set_owner(format('analytics.%I', shown), 'callboard_rollup');
    execute format('grant select on analytics.%I to callboard_api, callboard_bi', shown);
  end loop;
end
$$;

create or replace function app.calls_json(calls numeric, errors numeric, server_errors numeric, total_us numeric, slowest_us bigint, within_10_ms numeric,
  within_100_ms numeric, within_1_s numeric, bytes_in numeric, bytes_out numeric) returns jsonb
language sql stable parallel safe
return jsonb_build_object('calls', coalesce(calls, 0), 'errors', coalesce(errors, 0), 'server_errors', coalesce(server_errors, 0),
  'mean_us', round(total_us / nullif(calls, 0)), 'slowest_us', slowest_us, 'within_10_ms', coalesce(within_10_ms, 0),
  'within_100_ms', coalesce(within_100_ms, 0), 'within_1_s', coalesce(within_1_s, 0), 'bytes_in', coalesce(bytes_in, 0), 'bytes_out', coalesce(bytes_out, 0));
comment on function app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric) is
  'Sums of calls as JSON, with their mean duration; null counts as 0.';
grant execute on function app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric) to callboard_api;

create or replace function app.use_figures(from_on date, to_on date, delay_seconds double precision) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  -- Counts are written with a delay.
  as_of timestamptz := now() - make_interval(secs => 2 * delay_seconds + app.data_age());
  until date := least(coalesce(to_on, from_on + 29, (now() at time zone 'UTC')::date), '9999-12-31');
  since date := coalesce(from_on, greatest(until - 29, '0001-01-01'));
  body jsonb;
begin
  perform app.require('analytics.read');
  if until < since or until > since + 366 then
    perform app.refuse(422, 'analytics_range', 'The range must have 1 to 367 days.');
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
  -- Past days are complete.
  return (null, jsonb_build_object('as_of', as_of, 'is_current', until < (as_of at time zone 'UTC')::date, 'from', since, 'to', until) || body,
    null, null)::app.answer;
end
$$;
comment on function app.use_figures(date, date, double precision) is
  'Integrations and API calls from one UTC day to another (default: 30 days up to today; at most 367), given how many seconds late counts are written. PT403 without analytics.read, PT422 analytics_range.';
grant execute on function app.use_figures(date, date, double precision) to callboard_api;
