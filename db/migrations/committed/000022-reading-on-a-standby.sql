--! Previous: sha1:c2cb0bf350f55e5e10d42e79de89537c9df3df84
--! Hash: sha1:04283189b9cd0ebadec8aa4e22fee8d6224aa927
--! Message: reading on a standby

-- Reading on a standby, by a pass of the primary.
--! Included replicas.sql
-- Reading on a standby. What it has is as old as its replay is behind, and a session, a membership or a
-- permission that has ended a moment ago may live on there. So the standby does not decide who somebody is:
-- a request enters on the primary (app.enter, as always) and takes a pass along, which says what it may do,
-- signed with a key that both have. The standby opens the transaction by the pass and by nothing else.

create or replace function app.issue_pass() returns text
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  pass text;
begin
  if app.current_org() is null then
    return null;
  end if;
  -- What has been flushed is what a standby can have: it holds every transaction whose commit was waited for.
  pass := array[current_setting('app.current_org'), current_setting('app.user_id'), current_setting('app.session_id'),
    current_setting('app.role'), current_setting('app.permissions'), current_setting('app.request_id'), current_setting('app.ip'),
    extract(epoch from clock_timestamp())::text, pg_current_wal_flush_lsn()::text]::text;
  -- The beginning of a context's message is the number of a process, and none is as large as these four letters.
  return encode(app_private.keyed_hash(convert_to('pass' || pass, 'UTF8')), 'hex') || pass;
end
$$;
comment on function app.issue_pass() is
  'The context of this transaction as app.enter_by_pass takes it on a standby, with how far the primary has come. NULL without a genuine context.';
alter function app.issue_pass() owner to callboard_definer;
revoke execute on function app.issue_pass() from public;
grant execute on function app.issue_pass() to callboard_api;

create or replace function app_private.read_pass(pass text) returns text[]
language plpgsql stable parallel restricted
set search_path = ''
as $$
declare
  found text[];
begin
  if pass is null or left(pass, 64) is distinct from encode(app_private.keyed_hash(convert_to('pass' || substr(pass, 65), 'UTF8')), 'hex') then
    raise exception using message = 'replica_unusable', detail = 'pass_unknown';
  end if;
  found := substr(pass, 65)::text[];
  -- Each request takes a new one; this is for whoever keeps one.
  if abs(extract(epoch from clock_timestamp()) - found[8]::numeric) > 60 then
    raise exception using message = 'replica_unusable', detail = 'pass_expired';
  end if;
  return found;
end
$$;
comment on function app_private.read_pass(text) is
  'What a pass says, if it is one of this database and of the last minute; else the error replica_unusable.';
alter function app_private.read_pass(text) owner to callboard_definer;
revoke execute on function app_private.read_pass(text) from public;

create or replace function app_private.replay_age(primary_at numeric, primary_lsn pg_lsn, patience interval) returns double precision
language plpgsql volatile
set search_path = ''
as $$
declare
  given_up_at timestamptz := clock_timestamp() + patience;
  age numeric;
begin
  -- Mostly it is some milliseconds behind: then it is worth to wait, and the answer is the primary's own.
  loop
    if pg_last_wal_replay_lsn() >= primary_lsn then
      return 0;
    end if;
    exit when clock_timestamp() >= given_up_at;
    perform pg_sleep(0.002);
  end loop;
  -- Both are times of the primary's clock. Where nobody had committed for a while it is more than the true
  -- age, never less.
  age := primary_at - extract(epoch from pg_last_xact_replay_timestamp());
  return case when age < 0.001 then 0.001 else age end;
end
$$;
comment on function app_private.replay_age(numeric, pg_lsn, interval) is
  'How many seconds at most this standby is behind what the primary had at that time (in seconds since 1970): 0 if it has all of it, NULL if it cannot tell. Waits so long for 0.';
alter function app_private.replay_age(numeric, pg_lsn, interval) owner to callboard_definer;
revoke execute on function app_private.replay_age(numeric, pg_lsn, interval) from public;

create or replace function app.enter_by_pass(pass text, max_age interval, patience interval default '50 milliseconds')
returns double precision
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  p text[] := app_private.read_pass(pass);
  age double precision;
begin
  -- On the primary a pass would outlive what it says.
  if not pg_is_in_recovery() then
    raise exception using message = 'replica_unusable', detail = 'not_a_standby';
  end if;
  age := app_private.replay_age(p[8]::numeric, p[9]::pg_lsn, least(patience, max_age));
  if age is null or age > extract(epoch from max_age) then
    raise exception using message = 'replica_unusable', detail = 'too_old';
  end if;
  perform app_private.set_context(p[2]::uuid, p[3]::uuid, p[1]::uuid, p[4], string_to_array(btrim(p[5]), ' '), p[6], nullif(p[7], '')::inet);
  perform set_config('app.data_age', age::text, true);
  return age;
end
$$;
comment on function app.enter_by_pass(text, interval, interval) is
  'Opens this transaction on a standby for the one that took this pass from the primary; returns how many seconds its data is behind at most. Error replica_unusable: pass_unknown, pass_expired, not_a_standby, too_old.';
alter function app.enter_by_pass(text, interval, interval) owner to callboard_definer;
revoke execute on function app.enter_by_pass(text, interval, interval) from public;
grant execute on function app.enter_by_pass(text, interval, interval) to callboard_api;

create or replace function app.data_age() returns double precision
language sql stable parallel safe
set search_path = ''
return coalesce(nullif(current_setting('app.data_age', true), '')::double precision, 0);
comment on function app.data_age() is
  'How many seconds what this transaction reads may be behind the primary: 0 there, and on a standby that has caught up. What says that it is current has to ask.';
revoke execute on function app.data_age() from public;
grant execute on function app.data_age() to callboard_api, callboard_definer;
--! EndIncluded replicas.sql
--! Included rollups.sql
-- How fresh the materialized views of `analytics_private` are: a row for each. How they are
-- refreshed is in rollup_refreshing.sql; each has a file of its own, which registers it here.

create table if not exists analytics_private.rollups (
  name text primary key,
  -- The tables that it is computed from, and the events of an organization (by resource_type) after
  -- which its figures may be others.
  sources text[] not null,
  resources text[] not null,
  -- Of one that knows what day it is: how often that may be another day somewhere.
  turns interval,
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

create or replace function analytics_private.register_rollup(name text, sources text[], resources text[], turns interval default null) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  execute format('alter materialized view analytics_private.%I owner to callboard_rollup', register_rollup.name);
  execute format('alter view analytics.%I owner to callboard_rollup', register_rollup.name);
  execute format('grant select on analytics.%I to callboard_api, callboard_bi', register_rollup.name);
  insert into analytics_private.rollups as r (name, sources, resources, turns)
  values (register_rollup.name, register_rollup.sources, register_rollup.resources, register_rollup.turns)
  on conflict on constraint rollups_pkey do update
  set sources = excluded.sources, resources = excluded.resources, turns = excluded.turns,
    -- What is defined anew is computed anew.
    state = null;
end
$$;
comment on function analytics_private.register_rollup(text, text[], text[], interval) is
  'Hands the materialized view analytics_private.<name> and the view analytics.<name> over to callboard_rollup, grants the latter to those who read figures, and has the former refreshed when the tables `sources` change or an event about one of `resources` happens (turns: see the table).';
revoke execute on function analytics_private.register_rollup(text, text[], text[], interval) from public;

create or replace function app.freshness(variadic rollups text[], out as_of timestamptz, out is_current boolean)
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
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
      and (r.turns is null or date_bin(r.turns, now(), 'epoch') = date_bin(r.turns, r.refreshed_at, 'epoch'))
      and not exists (select from app.event_log l
        where l.organization_id = organization and l.occurred_at >= r.as_of and l.resource_type = any (r.resources)))
  into as_of, is_current
  from analytics_private.rollups r where r.name = any (rollups);
  -- A standby that is behind does not know what has been changed meanwhile.
  is_current := is_current and app.data_age() = 0;
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
