-- How fresh the figures of an organization are, for its members and BI tools, and for those who run the server.

create or replace function app.freshness(variadic rollups text[], out as_of timestamptz, out is_current boolean)
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  organization uuid := app.visible_org();
  wanted text[];
  since timestamptz;
  events bigint;
  has_changed boolean;
begin
  if organization is null then
    return;
  end if;
  select case when count(s.as_of) = count(*) then min(s.as_of) end, min(l.looked_until), array_agg(distinct x.resource),
    bool_and(s.changed_at is null and not (r.has_today and (s.computed_at at time zone o.time_zone)::date <> (now() at time zone o.time_zone)::date))
  into as_of, since, wanted, is_current
  from analytics_private.rollups r
  cross join lateral (select unnest(r.resources) as resource) x
  join analytics_private.looking l on l.id
  join app.organizations o on o.id = organization
  left join analytics_private.rollup_ages s on s.organization_id = o.id and s.rollup = r.name
  where r.name = any (rollups);
  -- The worker looks every few seconds: if it has not for a day, only reading all events since could tell.
  is_current := coalesce(is_current, false) and as_of is not null and since > now() - interval '1 day' and app.data_age() = 0;
  if not is_current then
    return;
  end if;
  -- However much there is, only so many events are read: after that many, they count as changed. Dynamic, and with an upper
  -- bound, because a plan that does not know the months would open all partitions, and one more each month.
  execute 'select count(*), coalesce(bool_or(e.resource_type = any ($4)), false)
    from (select l.resource_type from app.event_log l
      where l.organization_id = $1 and l.occurred_at >= $2 and l.occurred_at <= $3 limit 20) e'
  into events, has_changed using organization, since, clock_timestamp(), wanted;
  is_current := events < 20 and not has_changed and not (events > 0 and '*' = any (wanted))
    and not ('client_event' = any (wanted) and exists (select from app.client_events c where c.organization_id = organization and c.received_at >= since));
end
$$;
comment on function app.freshness(text[]) is
  'Up to when these figures of the organization are complete, the oldest of them (null: never computed), and whether it has changed nothing since that would affect them. It costs the same however much has changed: of more than 20 events since the worker last looked, it does not read all, and says that something has. Nulls for callers who may see none (app.visible_org).';
alter function app.freshness(text[]) owner to callboard_definer;
grant execute on function app.freshness(text[]) to callboard_api;

-- For BI tools; API responses include it.
create or replace view analytics.freshness with (security_barrier = true) as
  select r.name as view_name, f.as_of, f.is_current
  from analytics_private.rollups r, lateral app.freshness(r.name) f
  where (select app.visible_org()) is not null;
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
