-- How fresh the figures of an organization are, for its members and BI tools, and for those who run the server.

-- A plan is made once in a session. It knows all months of the log and opens only those that are asked for: planning
-- anew for these costs five times as much. Settings are those of the callers, because each costs as much as a row.
create or replace function app_private.freshness(
  organization uuid, rollups text[], out as_of timestamptz, out is_current boolean, out recent text[]
)
language plpgsql stable
set search_path = ''
as $$
declare
  since timestamptz;
  until timestamptz := clock_timestamp();
  seen text[];
begin
  select case when count(a.as_of) = cardinality(rollups) then min(a.as_of) end, min(l.looked_until), array_agg(s.rollup) filter (where s.is_recent),
    bool_and(s.changed_at is null and coalesce(s.valid_until > now(), true))
  into as_of, since, recent, is_current
  from analytics_private.looking l, analytics_private.rollup_states s,
    lateral (select case when s.changed_at is null then l.looked_until else s.as_of end as as_of) a
  where s.organization_id = organization and s.rollup = any (rollups);
  -- The worker looks every few seconds: if it has not for a day, only reading all events since could tell.
  is_current := coalesce(is_current, false) and as_of is not null and since > now() - interval '1 day' and app.data_age() = 0;
  if not is_current then
    return;
  end if;
  -- However much there is, only so many events are read: after that many, they count as changed.
  seen := array(select l.resource_type from app.event_log l
    where l.organization_id = organization and l.occurred_at >= since and l.occurred_at <= until limit 20);
  -- The only one of these.
  if 'client_events_by_day' = any (rollups)
      and exists (select from app.client_events c where c.organization_id = organization and c.received_at >= since) then
    seen := array_append(seen, 'client_event');
  end if;
  if seen <> '{}' then
    is_current := cardinality(seen) < 20 and not exists (
      select from analytics_private.rollups r
      where r.name = any (rollups) and (r.resources && seen or '*' = any (r.resources) and seen <> '{client_event}'));
  end if;
end
$$;
comment on function app_private.freshness(uuid, text[]) is
  'What app.freshness says about these figures of an organization, and which of them are in <rollup>_recent (null: none) instead of the materialized view. For functions that set plan_cache_mode = force_generic_plan, enable_seqscan = off and enable_bitmapscan = off.';
alter function app_private.freshness(uuid, text[]) owner to callboard_definer;

create or replace function app.freshness(variadic rollups text[], out as_of timestamptz, out is_current boolean)
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
-- A scan that is off has a cost for which PostgreSQL, where it has LLVM, would compile the statement for seconds.
set jit = off
as $$
declare
  organization uuid := app.visible_org();
  fresh record;
begin
  if organization is not null then
    fresh := app_private.freshness(organization, rollups);
    as_of := fresh.as_of;
    is_current := fresh.is_current;
  end if;
end
$$;
comment on function app.freshness(text[]) is
  'Up to when these figures of the organization are complete, the oldest of them (null: never computed), and whether it has changed nothing since that would affect them. It costs the same however much has changed: of more than 20 events since the worker last looked, it does not read all, and says that something has. Nulls for callers who may see none (app.visible_org).';
alter function app.freshness(text[]) owner to callboard_definer;
grant execute on function app.freshness(text[]) to callboard_api;

-- For BI tools; API responses include it.
create or replace view analytics.freshness with (security_barrier = true) as
  select r.name as view_name, f.as_of, f.is_current
  -- The dashboard shows two figures.
  from analytics_private.rollups r,
    lateral app.freshness(variadic case r.name when 'dashboard' then '{dashboard,activity_totals}' else array[r.name] end) f
  where r.is_published and (select app.visible_org()) is not null;
comment on view analytics.freshness is 'How old the figures of each view are.';
comment on column analytics.freshness.view_name is 'The view in this schema.';
comment on column analytics.freshness.as_of is 'Its figures are complete up to this moment; null if there are none yet.';
comment on column analytics.freshness.is_current is 'Whether your organization has changed nothing since that would affect them.';
alter view analytics.freshness owner to callboard_rollup;
grant select on analytics.freshness to callboard_api, callboard_bi;
grant execute on function app.freshness(text[]) to callboard_rollup, callboard_bi;

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
grant execute on function app.read_freshness() to callboard_api, callboard_definer;

create or replace function app.ask_for_refresh() returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('analytics.refresh');
  -- However many requests there are, a waiting job is not duplicated.
  perform app_private.add_job('refresh_figures', '{}', 'refresh_figures', 4);
  return (202, json_build_object('status_url', '/api/analytics/refresh'), null, null)::app.answer;
end
$$;
comment on function app.ask_for_refresh() is 'Has a worker compute changed figures now, if none has done so within seconds anyway. PT403 without analytics.refresh.';
alter function app.ask_for_refresh() owner to callboard_definer;
grant execute on function app.ask_for_refresh() to callboard_api;

create or replace function app.figure_states(of_organization uuid default null)
returns table (organization_id uuid, figure text, as_of timestamptz, changed_at timestamptz, computed_at timestamptz, took interval, row_count bigint,
  is_recent boolean, failed_at timestamptz, failed_with text, differed_at timestamptz, differing_rows bigint)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return query
    select s.organization_id, s.rollup, a.as_of, s.changed_at, s.computed_at, s.took, s.row_count, s.is_recent, s.failed_at, s.failed_with,
      s.differed_at, s.differing_rows
    from analytics_private.rollup_states s
    join analytics_private.rollup_ages a on a.organization_id = s.organization_id and a.rollup = s.rollup
    where of_organization is null or s.organization_id = of_organization;
end
$$;
comment on function app.figure_states(uuid) is
  'For each organization (or one) and figure: up to when it is complete, since when a change waits to be computed, when it was last computed, how long that took and how many rows there are, why it failed last (null: it did not), and when a check last found rows that the definition does not have. No figures.';
alter function app.figure_states(uuid) owner to callboard_definer;
grant execute on function app.figure_states(uuid) to callboard_auditor, callboard_worker;

create or replace function app.figure_health()
returns table (figures_lag_seconds float8, figures_oldest_change_seconds float8, figures_failed bigint, figures_differing bigint)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return query
    select (select extract(epoch from now() - l.looked_until)::float8 from analytics_private.looking l),
      coalesce(extract(epoch from now() - min(s.changed_at)), 0)::float8,
      count(s.failed_at) + (select count(r.failed_at) from analytics_private.rollups r),
      count(*) filter (where s.differed_at >= r.checked_at)
    from analytics_private.rollup_states s join analytics_private.rollups r on r.name = s.rollup;
end
$$;
comment on function app.figure_health() is
  'How many seconds ago the worker last knew of all changes (null: never), how long the oldest has been waiting to be computed, how many figures could not be computed, and how many differed from their definition at the last check.';
alter function app.figure_health() owner to callboard_definer;
grant execute on function app.figure_health() to callboard_worker;
