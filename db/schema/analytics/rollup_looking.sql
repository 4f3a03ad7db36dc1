-- Noticing which figures of which organizations have changed, without writing anything on the tenants' path: every
-- change has an event, in its own transaction. A look counts the events since the last one, by organization.
--
-- Events are dated by the beginning of their transaction and appear at its end. So those after the horizon, the
-- beginning of the oldest transaction in progress, are counted again by the next look, which thereby notices those that
-- have appeared in between; what the last look had already counted is no change. A transaction that stays open makes
-- looks count more, and nothing else: figures are complete up to a few seconds ago, with all that was committed by then.

create or replace function app_private.horizon() returns timestamptz
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select app_private.seal_horizon();
end;
comment on function app_private.horizon() is 'app_private.seal_horizon for callboard_rollup, which itself may not see other sessions.';
alter function app_private.horizon() owner to callboard_definer;
grant execute on function app_private.horizon() to callboard_rollup;

create or replace function analytics_private.mark_changed(organization uuid, changed text[], complete_until timestamptz) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  insert into analytics_private.rollup_states as s (organization_id, rollup, changed_at, marked_at)
  select o.id, r.name, clock_timestamp(), clock_timestamp()
  from app.organizations o, analytics_private.rollups r
  where o.id = organization
    and (r.resources && changed or '*' = any (r.resources) and changed <> '{client_event}'
      -- A new organization has none yet.
      or not exists (select from analytics_private.rollup_states p where p.organization_id = o.id and p.rollup = r.name))
  -- Everybody who changes states does so in this order, which avoids deadlocks.
  order by 1, 2
  on conflict on constraint rollup_states_pkey do update
  set marked_at = excluded.marked_at, changed_at = coalesce(s.changed_at, excluded.changed_at),
    as_of = case when s.changed_at is null then complete_until else s.as_of end;
end
$$;
comment on function analytics_private.mark_changed(uuid, text[], timestamptz) is
  'Has the figures of an organization computed that events about the given resources may have changed; until then they are complete up to the given time.';
alter function analytics_private.mark_changed(uuid, text[], timestamptz) owner to callboard_rollup;
grant execute on function analytics_private.mark_changed(uuid, text[], timestamptz) to callboard_definer;

create or replace function analytics_private.look() returns integer
language plpgsql volatile
set search_path = ''
-- As app.freshness.
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  before jsonb;
  since timestamptz;
  looked timestamptz;
  horizon timestamptz;
  until timestamptz;
  seen jsonb;
  found_in record;
  organizations integer := 0;
  outdated integer;
begin
  select coalesce(r.counted, '{}'), r.since into before, since from analytics_private.refreshing r where r.lane = 'look' for update skip locked;
  if not found then
    return 0;
  end if;
  select l.looked_until into looked from analytics_private.looking l;
  since := coalesce(since, looked);
  -- In this order: all events of a transaction that ended before the horizon are in the snapshot of the next statement.
  horizon := greatest(app_private.horizon(), since);
  since := coalesce(since, horizon);
  until := clock_timestamp();
  select coalesce(jsonb_object_agg(e.organization_id, e.resources), '{}') into seen
  from (
    select o.id as organization_id, jsonb_object_agg(x.resource_type, jsonb_build_array(x.events, x.later)) as resources
    from app.organizations o, lateral (
      select l.resource_type, count(*) as events, count(*) filter (where l.occurred_at >= horizon) as later
      from app.event_log l where l.organization_id = o.id and l.occurred_at >= since and l.occurred_at <= until group by 1
      union all
      select 'client_event', count(*), count(*) filter (where c.received_at >= horizon)
      from app.client_events c where c.organization_id = o.id and c.received_at >= since and c.received_at <= until having count(*) > 0) x
    group by 1) e;
  for found_in in
    select x.organization_id, array_agg(x.resource) as resources
    from (
      select e.key::uuid as organization_id, r.key as resource from jsonb_each(seen) e, jsonb_each(e.value) r
      where (r.value ->> 0)::bigint <> coalesce((before #>> array[e.key, r.key])::bigint, 0)) x
    group by 1 order by 1
  loop
    perform analytics_private.mark_changed(found_in.organization_id, found_in.resources, coalesce(looked, since));
    organizations := organizations + 1;
  end loop;
  -- What counts days is different tomorrow.
  with due as (
    select s.organization_id, s.rollup
    from analytics_private.rollup_states s
    join app.organizations o on o.id = s.organization_id
    where s.valid_until <= now() and s.changed_at is null and o.deleted_at is null
    order by 1, 2 for update of s
  )
  update analytics_private.rollup_states s
  set changed_at = clock_timestamp(), marked_at = clock_timestamp(), as_of = coalesce(looked, since)
  from due where due.organization_id = s.organization_id and due.rollup = s.rollup;
  get diagnostics outdated = row_count;
  update analytics_private.refreshing r
  set began_at = until, since = horizon, counted = (
    select coalesce(jsonb_object_agg(x.organization, x.resources), '{}')
    from (
      select e.key as organization, jsonb_object_agg(r.key, r.value -> 1) as resources
      from jsonb_each(seen) e, jsonb_each(e.value) r where (r.value ->> 1)::bigint > 0 group by 1) x)
  where r.lane = 'look';
  -- This look has seen all that was committed until it began.
  horizon := case when horizon is not null then greatest(horizon, until - interval '3 seconds') end;
  update analytics_private.looking set looked_until = horizon where looked_until is distinct from horizon;
  return organizations + outdated;
end
$$;
comment on function analytics_private.look() is
  'Looks for events since the last look, marks the figures that they may have changed, and advances looking.looked_until; returns how many organizations have any. A concurrent call does nothing.';
alter function analytics_private.look() owner to callboard_rollup;
