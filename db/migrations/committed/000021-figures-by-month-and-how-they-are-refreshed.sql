--! Previous: sha1:9e1e7738c5a9848291e62c9d93aa2eb427b6ebbe
--! Hash: sha1:c2cb0bf350f55e5e10d42e79de89537c9df3df84
--! Message: Figures by month, and how they are refreshed

-- REFRESH MATERIALIZED VIEW CONCURRENTLY makes a temporary table: db/database.sql says so to new databases.
do $$
begin
  execute format('grant temporary on database %I to callboard_rollup', current_database());
end
$$;
--! Included schemas.sql
-- Two pairs of schemas. `app` is what the API works with, always under row-level security.
-- `app_private` holds keys, secrets and the helpers that need them; the API has no way in.
-- `analytics` are views for the API and for BI tools, of the one organization that who asks belongs to,
-- over the materialized views of `analytics_private`, which know no row-level security.

create schema if not exists app;
create schema if not exists app_private;
create schema if not exists analytics;
create schema if not exists analytics_private;

comment on schema app is 'What the API works with; every table is under row-level security.';
comment on schema app_private is 'Keys, secrets and helpers; never granted to a login.';
comment on schema analytics is 'Sums and counts of your organization, for the API and for BI tools.';
comment on schema analytics_private is 'Materialized views with the rows of all organizations; never granted to a login.';

-- PostgreSQL lets everybody execute a new function. Here nobody may until it is granted.
alter default privileges for role callboard_owner revoke execute on functions from public;
alter default privileges for role callboard_definer revoke execute on functions from public;
alter default privileges for role callboard_rollup revoke execute on functions from public;

-- A definer function that a login may call is silent (client_min_messages = 'error'): with
-- debug_print_plan the caller would be sent the plans of its statements, with the values in them,
-- and so the secret that it is about to mail. Those that only read the caller's own context are not.

grant usage on schema app to callboard_api, callboard_worker, callboard_auditor;
-- CREATE is what lets the owner hand a function over to the definer; the definer never logs in.
grant usage, create on schema app, app_private to callboard_definer;
grant usage on schema analytics to callboard_api, callboard_bi;
-- It owns the materialized views, which it makes and refreshes, and the views over them.
grant usage, create on schema analytics, analytics_private to callboard_rollup;
grant usage, create on schema app to callboard_rollup;
grant usage on schema app_private to callboard_rollup;
-- It says to members how old the figures are.
grant usage on schema analytics_private to callboard_definer;

-- Trigram search for show titles, with the organization in the same index.
create extension if not exists pg_trgm with schema app_private;
create extension if not exists btree_gin with schema app_private;
--! EndIncluded schemas.sql
--! Included permissions.sql
-- Who may do what: permissions, the roles that every organization has, and which role holds which
-- permission. A member's role is in app.memberships; what an organization adds to it is in
-- custom_roles.sql and member_permissions.sql, where what a member holds is put together.

create table if not exists app.permissions (
  name text primary key constraint permissions_name_format check (name ~ '^[a-z_]+\.[a-z_]+$'),
  description text not null
);
create table if not exists app.roles (
  name text primary key,
  description text not null
);
create table if not exists app.role_permissions (
  role text not null references app.roles (name),
  permission text not null references app.permissions (name),
  primary key (role, permission)
);
comment on table app.permissions is 'Reference: everything that can be permitted, as <resource>.<verb>.';
comment on table app.roles is 'Reference: the built-in roles. An organization''s own are in app.custom_roles.';
comment on table app.role_permissions is 'Reference: the permissions that a built-in role holds.';

do $$
declare
  reference regclass;
begin
  foreach reference in array array['app.permissions', 'app.roles', 'app.role_permissions']::regclass[] loop
    execute format('alter table %s enable row level security', reference);
    execute format('alter table %s force row level security', reference);
    execute format('drop policy if exists select_all on %s', reference);
    execute format('create policy select_all on %s for select to callboard_api, callboard_definer using (true)', reference);
    execute format('drop policy if exists all_owner on %s', reference);
    execute format('create policy all_owner on %s for all to callboard_owner using (true)', reference);
    execute format('grant select on %s to callboard_api, callboard_definer', reference);
  end loop;
end
$$;

insert into app.permissions (name, description) values
  ('shows.read',          'See shows and venues'),
  ('shows.write',         'Enter and change shows and venues'),
  ('shows.delete',        'Delete and restore shows and venues'),
  ('finance.read',        'See income, expenses and settlements'),
  ('finance.write',       'Enter and change income, expenses and settlements'),
  ('finance.delete',      'Delete and restore income, expenses and settlements'),
  ('finance.close',       'Close the books of a month, and open them again'),
  ('imports.run',         'Import shows and finance records that one may write from files'),
  ('itineraries.read',    'See itineraries, as far as they are for everybody or for oneself'),
  ('itineraries.write',   'Enter, change and publish itineraries'),
  ('itineraries.delete',  'Delete and restore itineraries'),
  ('analytics.read',      'See reports and statistics, and with finance.read those of money, too'),
  ('analytics.refresh',   'Have reports and statistics brought up to date'),
  ('exports.run',         'Take out as files what one may see'),
  ('bi.manage',           'Create and revoke database logins of BI tools'),
  ('members.read',        'See who belongs to the organization'),
  ('members.manage',      'Invite, add and remove people and change their roles'),
  ('organization.read',   'See the organization'),
  ('organization.update', 'Change the organization''s name and settings'),
  ('organization.delete', 'Delete and restore the organization, hand it over'),
  ('audit.read',          'Read the event log and verify it'),
  ('audit.manage',        'Decide how long events are kept'),
  ('retention.manage',    'Decide how long deleted rows are kept, place and release legal holds')
on conflict (name) do update set description = excluded.description;

insert into app.roles (name, description) values
  ('owner',   'Everything, including people and the organization itself'),
  ('admin',   'All daily work, including deleting'),
  ('manager', 'Enters and changes, does not delete'),
  ('viewer',  'Reads')
on conflict (name) do update set description = excluded.description;

insert into app.role_permissions (role, permission)
select r.role, p.permission
from (values
  ('owner',   array['organization.read', 'organization.update', 'organization.delete', 'members.read', 'members.manage', 'shows.read', 'shows.write', 'shows.delete', 'finance.read', 'finance.write', 'finance.delete', 'finance.close', 'imports.run', 'itineraries.read', 'itineraries.write', 'itineraries.delete', 'analytics.read', 'analytics.refresh', 'exports.run', 'bi.manage', 'audit.read', 'audit.manage', 'retention.manage']),
  ('admin',   array['organization.read', 'organization.update', 'members.read', 'shows.read', 'shows.write', 'shows.delete', 'finance.read', 'finance.write', 'finance.delete', 'finance.close', 'imports.run', 'itineraries.read', 'itineraries.write', 'itineraries.delete', 'analytics.read', 'analytics.refresh', 'exports.run', 'audit.read']),
  ('manager', array['organization.read', 'members.read', 'shows.read', 'shows.write', 'finance.read', 'finance.write', 'imports.run', 'itineraries.read', 'itineraries.write', 'analytics.read', 'analytics.refresh', 'exports.run']),
  ('viewer',  array['organization.read', 'members.read', 'shows.read', 'finance.read', 'itineraries.read', 'analytics.read'])
) as r (role, held), unnest(r.held) as p (permission)
on conflict do nothing;
--! EndIncluded permissions.sql
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
--! Included rollup_refreshing.sql
-- Refreshing the materialized views: those of which something has changed, one in a transaction.
--
-- That something has changed is seen in two ways, neither of which writes anything on the tenants'
-- path. An event says it at once, exactly, and says whose it is; but not everything makes events: a
-- TRUNCATE, a DBA's statement without triggers. PostgreSQL's statistics count every row that was
-- written, whoever did it; but late, by seconds, and they begin anew after a crash. So they are
-- compared for being equal, with the time of the last reset, and they are read BEFORE the snapshot
-- that the view is computed from: what was counted by then, had been committed, and is in it; what
-- was not counted yet, makes a difference the next time.

create or replace function analytics_private.state_of(sources text[]) returns jsonb
language sql volatile
set search_path = ''
begin atomic
  -- A dropped partition is missing, a truncated table has another file, and a crash has reset all counters at a new time.
  select jsonb_build_object(
    'counted_since', jsonb_build_array(pg_catalog.pg_stat_get_db_stat_reset_time(d.oid), (select a.stats_reset from pg_catalog.pg_stat_archiver a)),
    'tables', (
      select jsonb_object_agg(t.relid::oid::text, jsonb_build_array(pg_catalog.pg_relation_filenode(t.relid),
        pg_catalog.pg_stat_get_tuples_inserted(t.relid), pg_catalog.pg_stat_get_tuples_updated(t.relid), pg_catalog.pg_stat_get_tuples_deleted(t.relid)))
      from unnest(sources) s (name), lateral (select s.name::regclass union select p.relid from pg_catalog.pg_partition_tree(s.name::regclass) p) t (relid)))
  from pg_catalog.pg_database d where d.datname = current_database();
end;
comment on function analytics_private.state_of(text[]) is
  'What PostgreSQL has counted of the rows written to these tables and their partitions: as long as it is the same, nothing was changed that it knows of.';
alter function analytics_private.state_of(text[]) owner to callboard_rollup;
revoke execute on function analytics_private.state_of(text[]) from public;

create or replace function app_private.logged_since(since timestamptz, until timestamptz) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set jit = off
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
  return seen;
end
$$;
comment on function app_private.logged_since(timestamptz, timestamptz) is
  'What the events of all organizations between two moments are about, each with the time of the latest.';
alter function app_private.logged_since(timestamptz, timestamptz) owner to callboard_definer;
revoke execute on function app_private.logged_since(timestamptz, timestamptz) from public;
grant execute on function app_private.logged_since(timestamptz, timestamptz) to callboard_rollup;

create or replace function app_private.horizon() returns timestamptz
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select app_private.seal_horizon();
end;
comment on function app_private.horizon() is 'app_private.seal_horizon for callboard_rollup, which may not see the transactions of others itself.';
alter function app_private.horizon() owner to callboard_definer;
revoke execute on function app_private.horizon() from public;
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
    raise exception 'every statement needs a snapshot of its own';
  end if;
  perform from analytics_private.refreshing for update skip locked;
  if not found then
    return jsonb_build_object('busy', true, 'failed', 0, 'next', null);
  end if;
  -- In this order: whose transaction was over before the horizon, its events are seen, and it is in the snapshot of the refresh.
  horizon := app_private.horizon();
  seen := app_private.logged_since((select coalesce(min(v.as_of), horizon) from analytics_private.rollups v), horizon);
  for r in select * from analytics_private.rollups v where behind is null or v.name > behind #>> '{}' order by v.name loop
    now_state := analytics_private.state_of(r.sources);
    if r.state = now_state and current_setting('track_counts')::boolean
      and (r.turns is null or date_bin(r.turns, clock_timestamp(), 'epoch') = date_bin(r.turns, r.refreshed_at, 'epoch'))
      and not exists (select from jsonb_each_text(seen) s where s.key = any (r.resources) and s.value::timestamptz >= r.as_of)
    then
      update analytics_private.rollups v set as_of = greatest(v.as_of, horizon) where v.name = r.name;
      continue;
    end if;
    -- However much happens, and however often somebody asks: one part in so many of the time.
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
    set as_of = greatest(v.as_of, horizon), refreshed_at = began, took = clock_timestamp() - began, row_count = n, state = now_state
    where v.name = r.name;
    -- The sealer of events waits for the end of this transaction.
    return jsonb_build_object('refreshed', r.name, 'rows', n, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer,
      'waiting', waiting, 'failed', failed, 'because', because, 'next', r.name);
  end loop;
  return jsonb_build_object('waiting', waiting, 'failed', failed, 'because', because, 'next', null);
end
$$;
comment on function app.refresh_rollups(jsonb) is
  'Refreshes the first materialized view behind another one (null: of all) whose sources have changed, without keeping anybody from reading it, and moves on as_of of those of which nothing has. To go on, call it with next, until that is null; one at a time: another call at the same time does nothing. Says how many wait because they were refreshed just now, and which could not be, and why.';
alter function app.refresh_rollups(jsonb) owner to callboard_rollup;
revoke execute on function app.refresh_rollups(jsonb) from public;
grant execute on function app.refresh_rollups(jsonb) to callboard_worker;
--! EndIncluded rollup_refreshing.sql
--! Included finance_by_month.sql
-- Money by month. What is void or deleted does not count.
--
-- Sums are numeric: a bigint could overflow, and then one organization's invented amounts would keep
-- the figures of all others from being computed.

drop policy if exists select_rollup on app.finance_records;
create policy select_rollup on app.finance_records for select to callboard_rollup using (true);
grant select on app.finance_records to callboard_rollup;

create materialized view if not exists analytics_private.finance_by_month as
  select r.organization_id, date_trunc('month', r.booked_on::timestamp)::date as month, r.status, r.currency::text as currency, r.base_currency::text as base_currency,
    coalesce(sum(r.amount_minor) filter (where r.kind = 'income'), 0) as income_minor,
    coalesce(sum(r.amount_minor) filter (where r.kind = 'expense'), 0) as expense_minor,
    coalesce(sum(r.base_amount_minor) filter (where r.kind = 'income'), 0) as base_income_minor,
    coalesce(sum(r.base_amount_minor) filter (where r.kind = 'expense'), 0) as base_expense_minor,
    count(*) as records
  from app.finance_records r
  where r.deleted_at is null and r.status <> 'void'
  group by 1, 2, 3, 4, 5;
create unique index if not exists finance_by_month_key on analytics_private.finance_by_month (organization_id, month, status, currency, base_currency);
comment on materialized view analytics_private.finance_by_month is 'Money of all organizations by month: see analytics.finance_by_month.';

create or replace view analytics.finance_by_month with (security_barrier = true) as
  select m.month, m.status, m.currency, m.income_minor, m.expense_minor, m.income_minor - m.expense_minor as profit_minor,
    m.base_currency, m.base_income_minor, m.base_expense_minor, m.base_income_minor - m.base_expense_minor as base_profit_minor,
    m.records, (select r.as_of from analytics_private.rollups r where r.name = 'finance_by_month') as as_of
  from analytics_private.finance_by_month m
  where m.organization_id = (select app.visible_org('finance.read'));
comment on view analytics.finance_by_month is 'Income and expenses by month in which they are booked, by status and by currency. What is void or deleted does not count. Needs finance.read.';
comment on column analytics.finance_by_month.month is 'The first day of the month.';
comment on column analytics.finance_by_month.status is 'planned, committed or actual.';
comment on column analytics.finance_by_month.currency is 'In which the records were entered, ISO 4217.';
comment on column analytics.finance_by_month.income_minor is 'Income with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_month.expense_minor is 'Expenses with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_month.profit_minor is 'Income less expenses.';
comment on column analytics.finance_by_month.base_currency is 'The currency in which the books were kept when the records were entered, ISO 4217.';
comment on column analytics.finance_by_month.base_income_minor is 'The income in the base currency, by the exchange rate of each record.';
comment on column analytics.finance_by_month.base_expense_minor is 'The expenses in the base currency, by the exchange rate of each record.';
comment on column analytics.finance_by_month.base_profit_minor is 'Income less expenses in the base currency.';
comment on column analytics.finance_by_month.records is 'How many records these are.';
comment on column analytics.finance_by_month.as_of is 'The figures are complete up to this moment.';

select analytics_private.register_rollup('finance_by_month', '{app.finance_records}', '{finance_record}');
--! EndIncluded finance_by_month.sql
--! Included finance_figures.sql
-- Money by period, as the API answers it.

create or replace function app.today() returns date
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (select (now() at time zone o.time_zone)::date from app.organizations o where o.id = app.current_org());
end
$$;
comment on function app.today() is 'What day it is where the organization of this transaction is.';
alter function app.today() owner to callboard_definer;
revoke execute on function app.today() from public;
grant execute on function app.today() to callboard_api;

create or replace function app.profit_and_loss(income numeric, expense numeric, records numeric) returns json
language sql immutable parallel safe
return json_build_object('income_minor', coalesce(income, 0), 'expense_minor', coalesce(expense, 0),
  'profit_minor', coalesce(income, 0) - coalesce(expense, 0), 'records', coalesce(records, 0));
comment on function app.profit_and_loss(numeric, numeric, numeric) is 'Income, expenses and what is left, as JSON; null counts as nothing.';
revoke execute on function app.profit_and_loss(numeric, numeric, numeric) from public;
grant execute on function app.profit_and_loss(numeric, numeric, numeric) to callboard_api;

create or replace function app.finance_figures(period text, from_on date default null, to_on date default null, in_currency text default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  -- Whole months: this year's if nothing is said.
  since date := date_trunc('month', coalesce(from_on, date_trunc('year', coalesce(to_on, app.today())::timestamp)::date)::timestamp);
  until date := date_trunc('month', coalesce(to_on, date_trunc('year', since::timestamp) + interval '11 months')::timestamp);
  items json;
  fresh record;
begin
  perform app.require('analytics.read'), app.require('finance.read');
  if until < since or until >= since + interval '10 years' then
    perform app.refuse(422, 'analytics_range', 'It ends at least when it begins, and less than ten years later.');
  end if;
  select coalesce(json_agg(json_build_object('period_on', p.period_on, 'currency', p.currency,
    'planned', p.planned, 'committed', p.committed, 'actual', p.actual) order by p.period_on, p.currency), '[]') into items
  from (
    select m.period_on, m.currency,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'planned'), sum(m.expense) filter (where m.status = 'planned'), sum(m.records) filter (where m.status = 'planned')) as planned,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'committed'), sum(m.expense) filter (where m.status = 'committed'), sum(m.records) filter (where m.status = 'committed')) as committed,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'actual'), sum(m.expense) filter (where m.status = 'actual'), sum(m.records) filter (where m.status = 'actual')) as actual
    from (
      select date_trunc(period, f.month::timestamp)::date as period_on, f.status, f.records,
        case when in_currency is null then f.base_currency else f.currency end as currency,
        case when in_currency is null then f.base_income_minor else f.income_minor end as income,
        case when in_currency is null then f.base_expense_minor else f.expense_minor end as expense
      from analytics.finance_by_month f
      where f.month between since and until and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2) p;
  select * into fresh from app.freshness('finance_by_month');
  return (null, json_build_object('as_of', fresh.as_of, 'is_current', fresh.is_current, 'period', period, 'from', since,
    'to', (until + interval '1 month' - interval '1 day')::date, 'items', items), null, null)::app.answer;
end
$$;
comment on function app.finance_figures(text, date, date, text) is
  'Income, expenses and profit by month, quarter or year, in one currency or, without it, all in the base currency; of whole months from that of from_on to that of to_on. PT403 without analytics.read and finance.read, PT422 analytics_range.';
revoke execute on function app.finance_figures(text, date, date, text) from public;
grant execute on function app.finance_figures(text, date, date, text) to callboard_api;
--! EndIncluded finance_figures.sql
