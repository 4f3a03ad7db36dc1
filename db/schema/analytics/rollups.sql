-- How fresh the materialized views of `analytics_private` are, one row for each. Refreshing is in
-- rollup_refreshing.sql; each view has its own file, which registers it here.

create table if not exists analytics_private.rollups (
  name text primary key,
  -- The tables that it is computed from, and the events of an organization (by resource_type) that may
  -- change its figures: '*' is any. client_event stands for client events, which are not in the log.
  sources text[] not null,
  resources text[] not null,
  -- Whether it depends on the current day in an organization's time zone and so changes tomorrow.
  has_today boolean not null default false,
  -- Null until it has been filled for the first time.
  as_of timestamptz,
  refreshed_at timestamptz,
  took interval,
  row_count bigint,
  -- The state of the sources before the refresh: analytics_private.state_of.
  state jsonb
);
select app_private.force_rls('analytics_private.rollups');
select app_private.set_policy('analytics_private.rollups', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('analytics_private.rollups', 'all_rollup', 'callboard_rollup', 'true');
select app_private.set_policy('analytics_private.rollups', 'all_owner', 'callboard_owner', 'true');
grant select on analytics_private.rollups to callboard_definer;
grant select, update on analytics_private.rollups to callboard_rollup;
comment on table analytics_private.rollups is 'The materialized views of this schema: what they are computed from, and when they were last computed.';
comment on column analytics_private.rollups.as_of is 'Everything that began before this moment is included in the figures, or does not affect them.';
comment on column analytics_private.rollups.refreshed_at is 'When it was last computed. as_of advances without that as long as nothing has happened.';

-- Only the holder of a lock on this row may refresh anything.
create table if not exists analytics_private.refreshing (
  id boolean primary key default true constraint refreshing_one_row check (id)
);
select app_private.force_rls('analytics_private.refreshing');
select app_private.set_policy('analytics_private.refreshing', 'all_rollup', 'callboard_rollup', 'true');
-- Locking a row requires the privilege to update it.
grant select, update on analytics_private.refreshing to callboard_rollup;
select app_private.set_policy('analytics_private.refreshing', 'insert_owner', 'callboard_owner', 'true');
insert into analytics_private.refreshing default values on conflict do nothing;
comment on table analytics_private.refreshing is 'Locked while a materialized view is refreshed, so that only one is refreshed at a time.';

create or replace function analytics_private.register_rollup(name text, sources text[], resources text[], has_today boolean default false) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  known_to_one name;
begin
  -- EXPLAIN shows estimates from statistics, which cover all organizations.
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
    -- A redefined view is recomputed.
    state = null;
end
$$;
comment on function analytics_private.register_rollup(text, text[], text[], boolean) is
  'Gives the materialized view analytics_private.<name> and the view analytics.<name> to callboard_rollup, grants the latter to the readers of figures, and has the former refreshed when the tables `sources` change, an event about one of `resources` occurs or, with has_today, a new day begins in some organization''s time zone.';

create or replace function app.freshness(variadic rollups text[], out as_of timestamptz, out is_current boolean)
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
-- Reads only the events since as_of, which are few, but the planner cannot know that: it does not know as_of.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  organization uuid := app.visible_org();
  day_has_changed boolean;
  has_client_events boolean;
begin
  if organization is null then
    return;
  end if;
  select case when bool_and(r.as_of is not null) then min(r.as_of) end,
    bool_or(r.has_today and (r.refreshed_at at time zone o.time_zone)::date <> (now() at time zone o.time_zone)::date),
    bool_or('client_event' = any (r.resources))
  into as_of, day_has_changed, has_client_events
  from analytics_private.rollups r, app.organizations o where r.name = any (rollups) and o.id = organization;
  -- Events are kept for at least 90 days. Now that as_of is known, only the months since are scanned.
  -- And a standby that is behind does not know what has changed in the meantime.
  is_current := as_of > now() - interval '90 days' and not day_has_changed
    and not exists (select from app.event_log l
      where l.organization_id = organization and l.occurred_at >= as_of
        and exists (select from analytics_private.rollups r
          where r.name = any (rollups) and l.occurred_at >= r.as_of and (l.resource_type = any (r.resources) or '*' = any (r.resources))))
    and not (has_client_events and exists (select from app.client_events c
      where c.organization_id = organization and c.received_at >= as_of
        and exists (select from analytics_private.rollups r
          where r.name = any (rollups) and c.received_at >= r.as_of and 'client_event' = any (r.resources))))
    and app.data_age() = 0;
  is_current := coalesce(is_current, false);
end
$$;
comment on function app.freshness(text[]) is
  'When the figures of these materialized views date from, the oldest of them (null: never computed), and whether the organization has changed nothing since that would affect them. Nulls for callers who may see none (app.visible_org).';
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
  perform app_private.add_job('refresh_rollups', '{}', 'refresh_rollups', 4);
  return (202, json_build_object('status_url', '/api/analytics/refresh'), null, null)::app.answer;
end
$$;
comment on function app.ask_for_refresh() is 'Has the worker refresh changed figures immediately instead of within a minute. PT403 without analytics.refresh.';
alter function app.ask_for_refresh() owner to callboard_definer;
grant execute on function app.ask_for_refresh() to callboard_api;
