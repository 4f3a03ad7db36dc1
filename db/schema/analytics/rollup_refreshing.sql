-- Computing the figures that rollup_looking.sql has marked, for one organization at a time and in one transaction, so
-- that all of them change together.
--
-- None waits for another for long: there are two lanes, and organizations whose figures take more than a second have
-- one to themselves. And none gets more than its share: after they were computed, its figures rest for twenty times as
-- long as that took, at most ten minutes, however much happens.

create or replace function analytics_private.compute_figure(rollup text, organization uuid, was_recent boolean, out is_recent boolean, out row_count bigint)
language plpgsql volatile
set search_path = ''
-- The planner cannot know how many rows differ: comparing each with each takes minutes in a large organization.
set enable_nestloop = off
as $$
declare
  recent text := rollup || '_recent';
  keys text;
  of_fresh text;
  others text;
  of_others text;
  changed text;
begin
  select string_agg(quote_ident(a.attname), ', ' order by a.attnum) filter (where i.is_key),
    string_agg('f.' || quote_ident(a.attname), ', ' order by a.attnum) filter (where i.is_key),
    string_agg('t.' || quote_ident(a.attname), ', ' order by a.attnum) filter (where not i.is_key),
    string_agg('f.' || quote_ident(a.attname), ', ' order by a.attnum) filter (where not i.is_key),
    string_agg(format('%I = f.%1$I', a.attname), ', ' order by a.attnum) filter (where not i.is_key)
  into keys, of_fresh, others, of_others, changed
  from pg_catalog.pg_attribute a
  cross join lateral (select exists (select from pg_catalog.pg_index x
    where x.indrelid = a.attrelid and x.indisprimary and a.attnum = any (x.indkey)) as is_key) i
  where a.attrelid = format('analytics_private.%I', recent)::regclass and a.attnum > 0 and not a.attisdropped;
  -- Only what differs is written, and nothing at all while the materialized view is still right.
  execute format('
    with f as materialized (select * from analytics_private.%1$I d where d.organization_id = $1),
    present as materialized (
      select $2 or exists ((table f except all select * from analytics_private.%2$I m where m.organization_id = $1)
        union all (select * from analytics_private.%2$I m where m.organization_id = $1 except all table f)) as is_recent),
    gone as (
      delete from analytics_private.%3$I t using present where present.is_recent and t.organization_id = $1
        and not exists (select from f where (%4$s) = (%5$s))),
    differing as (
      update analytics_private.%3$I t set %8$s from f where t.organization_id = $1 and (%4$s) = (%5$s) and (%6$s) is distinct from (%7$s)),
    added as (
      insert into analytics_private.%3$I select f.* from f, present where present.is_recent
        and not exists (select from analytics_private.%3$I t where t.organization_id = $1 and (%4$s) = (%5$s)))
    select present.is_recent, (select count(*) from f) from present',
    rollup || '_definition', rollup, recent,
    (select string_agg('t.' || k, ', ') from regexp_split_to_table(keys, ', ') k), of_fresh, others, of_others, changed)
  into is_recent, row_count using organization, was_recent;
end
$$;
comment on function analytics_private.compute_figure(text, uuid, boolean) is
  'Computes a figure for one organization and writes what differs into <rollup>_recent, unless its rows are in the materialized view and still right there. Returns where they are now, and how many.';
alter function analytics_private.compute_figure(text, uuid, boolean) owner to callboard_rollup;

create or replace function analytics_private.compute_figures(organization uuid) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  due record;
  began timestamptz;
  is_recent boolean;
  n bigint;
  because text;
  figures jsonb := '[]';
begin
  -- looked_until is read with the marks, before anything is computed: what is computed includes all changes that a look
  -- up to then has marked.
  for due in
    select s.rollup, s.is_recent, s.marked_at, l.looked_until from analytics_private.rollup_states s, analytics_private.looking l
    where s.organization_id = organization and s.changed_at is not null
      and coalesce(s.failed_at < clock_timestamp() - interval '1 minute', true)
    order by s.rollup
  loop
    began := clock_timestamp();
    begin
      because := null;
      select c.is_recent, c.row_count into is_recent, n from analytics_private.compute_figure(due.rollup, organization, due.is_recent) c;
    -- A statement that takes too long, too: it must not be repeated at once.
    exception when query_canceled or others then
      because := sqlerrm;
    end;
    figures := figures || jsonb_build_object('rollup', due.rollup, 'began', began, 'ms', round(extract(epoch from clock_timestamp() - began) * 1000, 1),
      'failed_with', because, 'is_recent', is_recent, 'rows', case when because is null then n end, 'marked_at', due.marked_at, 'until', due.looked_until);
  end loop;
  -- At the end, because a look waits for the locks.
  perform from analytics_private.rollup_states x where x.organization_id = organization order by x.rollup for update;
  update analytics_private.rollup_states x
  set failed_at = clock_timestamp(), failed_with = f.failed_with
  from jsonb_to_recordset(figures) as f (rollup text, failed_with text)
  where x.organization_id = organization and x.rollup = f.rollup and f.failed_with is not null;
  update analytics_private.rollup_states x
  set is_recent = f.is_recent, row_count = f.rows, took = f.ms * interval '1 millisecond', computed_at = f.began, as_of = f.until,
    failed_at = null, failed_with = null, valid_until = (
      select analytics_private.day_end(o.time_zone) from app.organizations o, analytics_private.rollups r
      where o.id = x.organization_id and r.name = x.rollup and r.has_today),
    -- A later mark means that there is a change that may not be included.
    changed_at = case when x.marked_at <> f.marked_at then x.changed_at end
  from jsonb_to_recordset(figures) as f (rollup text, is_recent boolean, rows bigint, ms float8, began timestamptz, until timestamptz, marked_at timestamptz, failed_with text)
  where x.organization_id = organization and x.rollup = f.rollup and f.failed_with is null;
  return (select jsonb_agg(f.value - '{is_recent,marked_at,began,until}'::text[]) from jsonb_array_elements(figures) f);
end
$$;
comment on function analytics_private.compute_figures(uuid) is
  'Computes the figures of an organization that are marked as changed. One that fails keeps neither the others nor those of other organizations from being computed, and is tried again after a minute.';
alter function analytics_private.compute_figures(uuid) owner to callboard_rollup;

create or replace view analytics_private.unpopulated as
  select c.relname::text as rollup from pg_catalog.pg_class c
  where c.relnamespace = 'analytics_private'::regnamespace and c.relkind = 'm' and not c.relispopulated;
comment on view analytics_private.unpopulated is
  'Materialized views that nobody can read, because pg_restore could not fill them: without --enable-row-security it may not.';
alter view analytics_private.unpopulated owner to callboard_rollup;

create or replace function analytics_private.compute_whole(name text) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  looked timestamptz := (select l.looked_until from analytics_private.looking l);
  began timestamptz := clock_timestamp();
  n bigint;
begin
  execute format('refresh materialized view %s analytics_private.%I',
    case when exists (select from analytics_private.unpopulated u where u.rollup = compute_whole.name) then '' else 'concurrently' end, name);
  execute format('select count(*) from analytics_private.%I', name) into n;
  -- Nobody computes an organization's figures while it is decided where they are.
  perform from analytics_private.refreshing r where r.lane in ('small', 'large') order by r.lane for update;
  insert into analytics_private.rollup_states (organization_id, rollup)
  select o.id, compute_whole.name from app.organizations o order by 1 on conflict on constraint rollup_states_pkey do nothing;
  perform from analytics_private.rollup_states s where s.rollup = compute_whole.name order by s.organization_id for update;
  -- What was computed before is included. What has changed since has been or will be computed for its organization.
  execute format('delete from analytics_private.%I t using analytics_private.rollup_states s
    where s.organization_id = t.organization_id and s.rollup = $1 and s.computed_at < $2', name || '_recent') using name, began;
  update analytics_private.rollup_states s
  set is_recent = false, as_of = coalesce(s.as_of, looked), computed_at = began, valid_until = (
    select analytics_private.day_end(o.time_zone) from app.organizations o, analytics_private.rollups r
    where o.id = s.organization_id and r.name = compute_whole.name and r.has_today)
  where s.rollup = compute_whole.name and coalesce(s.computed_at < began, true);
  update analytics_private.rollups r
  set refreshed_at = began, took = clock_timestamp() - began, row_count = n, failed_at = null, failed_with = null
  where r.name = compute_whole.name;
  return n;
exception when query_canceled or others then
  -- Where it has never been computed, each organization's is, alone.
  update analytics_private.rollups r
  set refreshed_at = coalesce(r.refreshed_at, began), failed_at = clock_timestamp(), failed_with = sqlerrm
  where r.name = compute_whole.name;
  insert into analytics_private.rollup_states (organization_id, rollup, changed_at, marked_at)
  select o.id, compute_whole.name, clock_timestamp(), clock_timestamp() from app.organizations o order by 1
  on conflict on constraint rollup_states_pkey do nothing;
  return null;
end
$$;
comment on function analytics_private.compute_whole(text) is
  'Computes a figure for all organizations at once, without blocking readers (there are none of an unpopulated view); returns the number of rows, or null if it failed: then everything stays as it was, and rollups.failed_with says why.';
alter function analytics_private.compute_whole(text) owner to callboard_rollup;

create or replace function app.refresh_figures(lane text, behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set jit = off
set work_mem = '64MB'
as $$
declare
  next text := (
    select r.name from analytics_private.rollups r
    where r.refreshed_at is null or exists (select from analytics_private.unpopulated u where u.rollup = r.name)
      and coalesce(r.failed_at < clock_timestamp() - interval '1 minute', true)
    order by r.name limit 1);
  organization uuid;
  organizations integer;
  waiting bigint;
  done jsonb;
  began timestamptz := clock_timestamp();
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'every statement needs its own snapshot';
  end if;
  perform from analytics_private.refreshing r where r.lane = refresh_figures.lane for update skip locked;
  if not found then
    return jsonb_build_object('busy', true, 'failed', 0, 'next', null);
  end if;
  -- In a transaction of its own, which is short: it holds back the next horizon.
  if lane = 'small' and (behind is null or (select r.began_at < began - interval '1 second' from analytics_private.refreshing r where r.lane = 'look')) then
    organizations := analytics_private.look();
    return jsonb_build_object('changed', organizations, 'until', (select l.looked_until from analytics_private.looking l), 'failed', 0, 'next', 'looked');
  end if;
  if lane = 'small' and next is not null then
    perform from analytics_private.refreshing r where r.lane = 'whole' for update skip locked;
    if found then
      done := to_jsonb(analytics_private.compute_whole(next));
      return jsonb_build_object('refreshed', next, 'rows', done, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer,
        'failed', (done is null)::integer, 'next', 'refreshed');
    end if;
  end if;
  -- The one that has waited longest.
  select s.organization_id into organization
  from (
    select x.organization_id, min(x.changed_at) filter (where x.failed_at is null or x.failed_at < began - interval '1 minute') as changed_at,
      max(greatest(x.computed_at, x.failed_at)) + least(coalesce(sum(x.took), interval '0') * 20, interval '10 minutes') > began is true as is_resting,
      coalesce(sum(x.took), interval '0') >= interval '1 second' as is_large
    from analytics_private.rollup_states x group by 1) s
  where s.changed_at is not null and not s.is_resting and s.is_large = (refresh_figures.lane = 'large')
  order by s.changed_at limit 1;
  waiting := (select count(distinct x.organization_id) from analytics_private.rollup_states x where x.changed_at is not null);
  if organization is null then
    return jsonb_build_object('waiting', waiting, 'failed', 0, 'next', null);
  end if;
  done := analytics_private.compute_figures(organization);
  return jsonb_build_object('organization', organization, 'figures', done, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer,
    'waiting', waiting - 1, 'failed', (select count(f ->> 'failed_with') from jsonb_array_elements(done) f), 'next', 'computed');
end
$$;
comment on function app.refresh_figures(text, jsonb) is
  'Looks for changes (small lane), or computes the figures of the organization that has waited longest, among those of its lane: small or large. To continue, call it again with next, until that is null; a concurrent call of the same lane does nothing. Returns how many organizations still wait, and which figures failed, and why.';
alter function app.refresh_figures(text, jsonb) owner to callboard_rollup;
grant execute on function app.refresh_figures(text, jsonb) to callboard_worker;
