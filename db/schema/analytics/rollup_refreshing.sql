-- Refreshing the materialized views whose sources have changed, one per transaction.
--
-- Changes are detected in two ways, neither of which writes anything on the tenants' path. Events are
-- immediate and exact and name the organization, but not everything causes events: not a TRUNCATE, nor
-- a DBA's statement without triggers. PostgreSQL's statistics count every row written by anybody, but
-- lag by seconds and start over after a crash. So they are compared for equality, together with the
-- time of the last reset, and read BEFORE the snapshot that the view is computed from: whatever was
-- counted by then had been committed and is in it; whatever was not yet counted makes a difference
-- the next time.

create or replace function analytics_private.state_of(sources text[]) returns jsonb
language sql volatile
set search_path = ''
begin atomic
  -- A dropped partition is missing, a truncated table has a new file, and a crash resets all counters and the reset time.
  select jsonb_build_object(
    'counted_since', jsonb_build_array(pg_catalog.pg_stat_get_db_stat_reset_time(d.oid), (select a.stats_reset from pg_catalog.pg_stat_archiver a)),
    'tables', (
      select jsonb_object_agg(t.relid::oid::text, jsonb_build_array(pg_catalog.pg_relation_filenode(t.relid),
        pg_catalog.pg_stat_get_tuples_inserted(t.relid), pg_catalog.pg_stat_get_tuples_updated(t.relid), pg_catalog.pg_stat_get_tuples_deleted(t.relid)))
      from unnest(sources) s (name), lateral (select s.name::regclass union select p.relid from pg_catalog.pg_partition_tree(s.name::regclass) p) t (relid)))
  from pg_catalog.pg_database d where d.datname = current_database();
end;
comment on function analytics_private.state_of(text[]) is
  'PostgreSQL''s counts of the rows written to these tables and their partitions: as long as they are the same, it knows of no change.';
alter function analytics_private.state_of(text[]) owner to callboard_rollup;

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
  -- By organization, as in the index.
  return seen || coalesce((
    select jsonb_build_object('client_event', max(c.received_at)) from app.client_events c
    where c.organization_id = any (array(select o.id from app.organizations o)) and c.received_at >= since and c.received_at < until
    having count(*) > 0), '{}');
end
$$;
comment on function app_private.logged_since(timestamptz, timestamptz) is
  'The resource types of the events of all organizations between two times, each with the time of the latest; client_event for client events.';
alter function app_private.logged_since(timestamptz, timestamptz) owner to callboard_definer;
grant execute on function app_private.logged_since(timestamptz, timestamptz) to callboard_rollup;

create or replace function app_private.horizon() returns timestamptz
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select app_private.seal_horizon();
end;
comment on function app_private.horizon() is 'app_private.seal_horizon for callboard_rollup, which itself may not see other sessions'' transactions.';
alter function app_private.horizon() owner to callboard_definer;
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
    raise exception 'every statement needs its own snapshot';
  end if;
  perform from analytics_private.refreshing for update skip locked;
  if not found then
    return jsonb_build_object('busy', true, 'failed', 0, 'next', null);
  end if;
  -- In this order: the events of a transaction that ended before the horizon are seen, and the refresh's snapshot includes it.
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
    -- However much happens and however often a refresh is requested, refreshing takes only a small share of the time.
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
    -- The event sealer waits for this transaction to end.
    return jsonb_build_object('refreshed', r.name, 'rows', n, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer,
      'waiting', waiting, 'failed', failed, 'because', because, 'until', horizon, 'next', r.name);
  end loop;
  return jsonb_build_object('waiting', waiting, 'failed', failed, 'because', because, 'until', horizon, 'next', null);
end
$$;
comment on function app.refresh_rollups(jsonb) is
  'Refreshes the first materialized view after another (null: of all) whose sources have changed, without blocking readers, and advances as_of of those whose sources have not. To continue, call it again with next, until that is null; a concurrent call does nothing. Returns up to when it knows of changes, how many views must wait because they were refreshed recently, and which could not be refreshed, and why.';
alter function app.refresh_rollups(jsonb) owner to callboard_rollup;
grant execute on function app.refresh_rollups(jsonb) to callboard_worker;
