--! Previous: sha1:9e1e7738c5a9848291e62c9d93aa2eb427b6ebbe
--! Hash: sha1:f340ba91d8a61b99134a477829aed824aebb803b
--! Message: Figures by month, and how they are refreshed

-- REFRESH MATERIALIZED VIEW CONCURRENTLY makes a temporary table: db/database.sql says so to new databases.
do $$
begin
  execute format('grant temporary on database %I to callboard_rollup', current_database());
end
$$;
-- As in their own files, without the locks that those would take.
do $$
declare
  raw regclass;
begin
  foreach raw in array array['app.event_log', 'app.organizations', 'app.shows', 'app.finance_categories', 'app.finance_records']::regclass[] loop
    execute format('drop policy if exists select_rollup on %s', raw);
    execute format('create policy select_rollup on %s for select to callboard_rollup using (true)', raw);
    execute format('grant select on %s to callboard_rollup', raw);
  end loop;
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
  -- Whether it knows what day it is where an organization is, so that tomorrow it is another one.
  has_today boolean not null default false,
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

create or replace function analytics_private.register_rollup(name text, sources text[], resources text[], has_today boolean default false) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  execute format('alter materialized view analytics_private.%I owner to callboard_rollup', register_rollup.name);
  execute format('alter view analytics.%I owner to callboard_rollup', register_rollup.name);
  execute format('grant select on analytics.%I to callboard_api, callboard_bi', register_rollup.name);
  insert into analytics_private.rollups as r (name, sources, resources, has_today)
  values (register_rollup.name, register_rollup.sources, register_rollup.resources, register_rollup.has_today)
  on conflict on constraint rollups_pkey do update
  set sources = excluded.sources, resources = excluded.resources, has_today = excluded.has_today,
    -- What is defined anew is computed anew.
    state = null;
end
$$;
comment on function analytics_private.register_rollup(text, text[], text[], boolean) is
  'Hands the materialized view analytics_private.<name> and the view analytics.<name> over to callboard_rollup, grants the latter to those who read figures, and has the former refreshed when the tables `sources` change or an event about one of `resources` happens, or with has_today when the day turns somewhere.';
revoke execute on function analytics_private.register_rollup(text, text[], text[], boolean) from public;

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
      and not (r.has_today and exists (select from app.organizations o
        where o.id = organization and (r.refreshed_at at time zone o.time_zone)::date <> (now() at time zone o.time_zone)::date))
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
      and not (r.has_today and exists (select from app.organizations o
        where (r.refreshed_at at time zone o.time_zone)::date <> (now() at time zone o.time_zone)::date))
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
    set as_of = greatest(v.as_of, horizon), refreshed_at = now(), took = clock_timestamp() - began, row_count = n, state = now_state
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
--! Included finance_by_category.sql
-- Money by category and month. What is void or deleted does not count.

create materialized view if not exists analytics_private.finance_by_category as
  select r.organization_id, date_trunc('month', r.booked_on::timestamp)::date as month, r.category_id, c.name as category, r.kind, r.status,
    r.currency::text as currency, r.base_currency::text as base_currency,
    sum(r.amount_minor) as amount_minor, sum(r.base_amount_minor) as base_amount_minor, count(*) as records
  from app.finance_records r
  join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
  where r.deleted_at is null and r.status <> 'void'
  group by 1, 2, 3, 4, 5, 6, 7, 8;
create unique index if not exists finance_by_category_key
  on analytics_private.finance_by_category (organization_id, month, category_id, status, currency, base_currency);
comment on materialized view analytics_private.finance_by_category is 'Money of all organizations by category and month: see analytics.finance_by_category.';

create or replace view analytics.finance_by_category with (security_barrier = true) as
  select m.month, m.category_id, m.category, m.kind, m.status, m.currency, m.amount_minor, m.base_currency, m.base_amount_minor,
    m.records, (select r.as_of from analytics_private.rollups r where r.name = 'finance_by_category') as as_of
  from analytics_private.finance_by_category m
  where m.organization_id = (select app.visible_org('finance.read'));
comment on view analytics.finance_by_category is 'Income and expenses by category and month in which they are booked, by status and by currency. What is void or deleted does not count. Needs finance.read.';
comment on column analytics.finance_by_category.month is 'The first day of the month.';
comment on column analytics.finance_by_category.category_id is 'The id of the category.';
comment on column analytics.finance_by_category.category is 'The name of the category.';
comment on column analytics.finance_by_category.kind is 'income or expense.';
comment on column analytics.finance_by_category.status is 'planned, committed or actual.';
comment on column analytics.finance_by_category.currency is 'In which the records were entered, ISO 4217.';
comment on column analytics.finance_by_category.amount_minor is 'The amount with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_category.base_currency is 'The currency in which the books were kept when the records were entered, ISO 4217.';
comment on column analytics.finance_by_category.base_amount_minor is 'The amount in the base currency, by the exchange rate of each record.';
comment on column analytics.finance_by_category.records is 'How many records these are.';
comment on column analytics.finance_by_category.as_of is 'The figures are complete up to this moment.';

select analytics_private.register_rollup('finance_by_category', '{app.finance_records,app.finance_categories}', '{finance_record,finance_category}');
--! EndIncluded finance_by_category.sql
--! Included finance_by_show.sql
-- What shows bring in and cost. What is void or deleted does not count, nor what is booked for a show that is deleted.

create materialized view if not exists analytics_private.finance_by_show as
  select r.organization_id, s.show_on, r.show_id, s.title, s.artist, s.status as show_status, r.status,
    r.currency::text as currency, r.base_currency::text as base_currency,
    coalesce(sum(r.amount_minor) filter (where r.kind = 'income'), 0) as income_minor,
    coalesce(sum(r.amount_minor) filter (where r.kind = 'expense'), 0) as expense_minor,
    coalesce(sum(r.base_amount_minor) filter (where r.kind = 'income'), 0) as base_income_minor,
    coalesce(sum(r.base_amount_minor) filter (where r.kind = 'expense'), 0) as base_expense_minor,
    count(*) as records
  from app.finance_records r
  join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id
  where r.deleted_at is null and r.status <> 'void' and s.deleted_at is null
  group by 1, 2, 3, 4, 5, 6, 7, 8, 9;
create unique index if not exists finance_by_show_key
  on analytics_private.finance_by_show (organization_id, show_on, show_id, status, currency, base_currency);
comment on materialized view analytics_private.finance_by_show is 'Money of all organizations by show: see analytics.finance_by_show.';

create or replace view analytics.finance_by_show with (security_barrier = true) as
  select m.show_id, m.show_on, m.title, m.artist, m.show_status, m.status,
    m.currency, m.income_minor, m.expense_minor, m.income_minor - m.expense_minor as profit_minor,
    m.base_currency, m.base_income_minor, m.base_expense_minor, m.base_income_minor - m.base_expense_minor as base_profit_minor,
    m.records, (select r.as_of from analytics_private.rollups r where r.name = 'finance_by_show') as as_of
  from analytics_private.finance_by_show m
  where m.organization_id = (select app.visible_org('finance.read'));
comment on view analytics.finance_by_show is 'Profit and loss by show, by status and by currency. What is void or deleted does not count, nor what is booked for a show that is deleted. Needs finance.read.';
comment on column analytics.finance_by_show.show_id is 'The id of the show.';
comment on column analytics.finance_by_show.show_on is 'The day of the show, whenever the money is booked.';
comment on column analytics.finance_by_show.title is 'The title of the show.';
comment on column analytics.finance_by_show.artist is 'The artist of the show.';
comment on column analytics.finance_by_show.show_status is 'The status of the show.';
comment on column analytics.finance_by_show.status is 'Of the records: planned, committed or actual.';
comment on column analytics.finance_by_show.currency is 'In which the records were entered, ISO 4217.';
comment on column analytics.finance_by_show.income_minor is 'Income with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_show.expense_minor is 'Expenses with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_show.profit_minor is 'Income less expenses.';
comment on column analytics.finance_by_show.base_currency is 'The currency in which the books were kept when the records were entered, ISO 4217.';
comment on column analytics.finance_by_show.base_income_minor is 'The income in the base currency, by the exchange rate of each record.';
comment on column analytics.finance_by_show.base_expense_minor is 'The expenses in the base currency, by the exchange rate of each record.';
comment on column analytics.finance_by_show.base_profit_minor is 'Income less expenses in the base currency.';
comment on column analytics.finance_by_show.records is 'How many records these are.';
comment on column analytics.finance_by_show.as_of is 'The figures are complete up to this moment.';

select analytics_private.register_rollup('finance_by_show', '{app.finance_records,app.shows}', '{finance_record,show}');
--! EndIncluded finance_by_show.sql
--! Included shows_by_month.sql
-- Shows by the month in which they are, and by the month in which they were entered. What is deleted does not count.
--
-- Whether a show was ever on hold, only its events tell, as long as they are kept; without them a
-- show that is not on hold now counts as one that never was.

create materialized view if not exists analytics_private.shows_by_month as
  with steps as (
    select l.organization_id, l.resource_id,
      min(l.occurred_at) filter (where l.changes -> 'new' ->> 'status' = 'hold') as held_at,
      max(l.occurred_at) filter (where l.changes -> 'new' ->> 'status' = 'confirmed') as confirmed_at
    from app.event_log l
    where l.resource_type = 'show' and l.changes -> 'new' ->> 'status' in ('hold', 'confirmed')
    group by 1, 2
  )
  select s.organization_id, date_trunc('month', s.show_on::timestamp)::date as month, s.status, count(*) as shows,
    count(*) filter (where e.held_at is not null or s.status = 'hold') as held,
    count(*) filter (where e.confirmed_at > e.held_at) as confirmed_from_hold,
    coalesce(sum(s.capacity), 0)::bigint as capacity,
    coalesce(sum(s.tickets_sold) filter (where s.capacity is not null), 0)::bigint as tickets_sold
  from app.shows s
  left join steps e on e.organization_id = s.organization_id and e.resource_id = s.id
  where s.deleted_at is null
  group by 1, 2, 3;
create unique index if not exists shows_by_month_key on analytics_private.shows_by_month (organization_id, month, status);
comment on materialized view analytics_private.shows_by_month is 'Shows of all organizations by month: see analytics.shows_by_month.';

create or replace view analytics.shows_by_month with (security_barrier = true) as
  select m.month, m.status, m.shows, m.held, m.confirmed_from_hold, m.capacity, m.tickets_sold,
    (select r.as_of from analytics_private.rollups r where r.name = 'shows_by_month') as as_of
  from analytics_private.shows_by_month m
  where m.organization_id = (select app.visible_org());
comment on view analytics.shows_by_month is 'Shows by the month in which they are, and by status. What is deleted does not count.';
comment on column analytics.shows_by_month.month is 'The first day of the month.';
comment on column analytics.shows_by_month.status is 'The status of the shows now.';
comment on column analytics.shows_by_month.shows is 'How many shows these are.';
comment on column analytics.shows_by_month.held is 'How many of them are or were on hold, as far back as events are kept.';
comment on column analytics.shows_by_month.confirmed_from_hold is 'How many of those were confirmed afterwards.';
comment on column analytics.shows_by_month.capacity is 'Of all of them whose capacity is known.';
comment on column analytics.shows_by_month.tickets_sold is 'Of those whose capacity is known.';
comment on column analytics.shows_by_month.as_of is 'The figures are complete up to this moment.';

-- Details of events can be erased, and old events are purged; both are events themselves.
select analytics_private.register_rollup('shows_by_month', '{app.shows}', '{show,details,organization}');

create materialized view if not exists analytics_private.shows_created_by_month as
  select s.organization_id, date_trunc('month', s.created_at at time zone o.time_zone)::date as month, count(*) as created
  from app.shows s
  join app.organizations o on o.id = s.organization_id
  where s.deleted_at is null
  group by 1, 2;
create unique index if not exists shows_created_by_month_key on analytics_private.shows_created_by_month (organization_id, month);
comment on materialized view analytics_private.shows_created_by_month is 'New shows of all organizations by month: see analytics.shows_created_by_month.';

create or replace view analytics.shows_created_by_month with (security_barrier = true) as
  select m.month, m.created, (select r.as_of from analytics_private.rollups r where r.name = 'shows_created_by_month') as as_of
  from analytics_private.shows_created_by_month m
  where m.organization_id = (select app.visible_org());
comment on view analytics.shows_created_by_month is 'Shows by the month in which they were entered, in the time zone of the organization. What is deleted does not count.';
comment on column analytics.shows_created_by_month.month is 'The first day of the month.';
comment on column analytics.shows_created_by_month.created is 'How many shows were entered.';
comment on column analytics.shows_created_by_month.as_of is 'The figures are complete up to this moment.';

select analytics_private.register_rollup('shows_created_by_month', '{app.shows,app.organizations}', '{show,organization}');
--! EndIncluded shows_by_month.sql
--! Included dashboard.sql
-- What somebody sees first in the morning: one row for each organization.
--
-- Money is in the organization's base currency, as it is now; what was entered while the books were
-- kept in another one is only counted. What is void or deleted does not count.

create materialized view if not exists analytics_private.dashboard as
  with days as (
    select o.id as organization_id, o.currency, d.today, date_trunc('month', d.today::timestamp)::date as month_on, date_trunc('year', d.today::timestamp)::date as year_on
    from app.organizations o, lateral (select (now() at time zone o.time_zone)::date as today) d
    where o.deleted_at is null
  ), money as (
    select r.organization_id,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status = 'actual' and r.booked_on >= d.month_on and r.booked_on < d.month_on + interval '1 month') as month_income_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status = 'actual' and r.booked_on >= d.month_on and r.booked_on < d.month_on + interval '1 month') as month_expense_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status = 'actual' and r.booked_on >= d.year_on and r.booked_on < d.year_on + interval '1 year') as year_income_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status = 'actual' and r.booked_on >= d.year_on and r.booked_on < d.year_on + interval '1 year') as year_expense_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status <> 'actual' and r.booked_on >= d.year_on and r.booked_on < d.year_on + interval '1 year') as year_open_income_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status <> 'actual' and r.booked_on >= d.year_on and r.booked_on < d.year_on + interval '1 year') as year_open_expense_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status <> 'planned' and r.payment_status in ('unpaid', 'partly_paid')) as receivable_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status <> 'planned' and r.payment_status in ('unpaid', 'partly_paid') and r.due_on < d.today) as receivable_overdue_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status <> 'planned' and r.payment_status in ('unpaid', 'partly_paid')) as payable_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status <> 'planned' and r.payment_status in ('unpaid', 'partly_paid') and r.due_on < d.today) as payable_overdue_minor
    from app.finance_records r
    join days d on d.organization_id = r.organization_id and d.currency = r.base_currency
    where r.deleted_at is null and r.status <> 'void'
    group by 1
  ), others as (
    select r.organization_id, count(*) as records from app.finance_records r
    join days d on d.organization_id = r.organization_id and d.currency <> r.base_currency
    where r.deleted_at is null and r.status <> 'void'
    group by 1
  ), played as (
    select s.organization_id,
      count(*) filter (where s.show_on >= d.today and s.status not in ('cancelled', 'postponed')) as coming_shows,
      count(*) filter (where s.show_on >= d.today and s.status = 'confirmed') as coming_confirmed_shows,
      count(*) filter (where s.show_on >= d.today and s.status = 'hold') as coming_held_shows,
      count(*) filter (where s.show_on >= d.today and s.show_on < d.today + 30 and s.status not in ('cancelled', 'postponed')) as shows_in_30_days,
      min(s.show_on) filter (where s.show_on >= d.today and s.status = 'confirmed') as next_show_on,
      count(*) filter (where s.status = 'played') as shows_to_settle,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status in ('played', 'settled')) as month_played_shows,
      count(*) filter (where s.show_on >= d.year_on and s.show_on < d.year_on + interval '1 year' and s.status in ('played', 'settled')) as year_played_shows
    from app.shows s
    join days d on d.organization_id = s.organization_id
    where s.deleted_at is null
    group by 1
  )
  select d.organization_id, d.today, d.currency::text as currency,
    coalesce(m.month_income_minor, 0) as month_income_minor, coalesce(m.month_expense_minor, 0) as month_expense_minor,
    coalesce(m.year_income_minor, 0) as year_income_minor, coalesce(m.year_expense_minor, 0) as year_expense_minor,
    coalesce(m.year_open_income_minor, 0) as year_open_income_minor, coalesce(m.year_open_expense_minor, 0) as year_open_expense_minor,
    coalesce(m.receivable_minor, 0) as receivable_minor, coalesce(m.receivable_overdue_minor, 0) as receivable_overdue_minor,
    coalesce(m.payable_minor, 0) as payable_minor, coalesce(m.payable_overdue_minor, 0) as payable_overdue_minor,
    coalesce(x.records, 0) as records_in_other_base_currencies,
    coalesce(p.coming_shows, 0) as coming_shows, coalesce(p.coming_confirmed_shows, 0) as coming_confirmed_shows, coalesce(p.coming_held_shows, 0) as coming_held_shows,
    coalesce(p.shows_in_30_days, 0) as shows_in_30_days, p.next_show_on, coalesce(p.shows_to_settle, 0) as shows_to_settle,
    coalesce(p.month_played_shows, 0) as month_played_shows, coalesce(p.year_played_shows, 0) as year_played_shows
  from days d
  left join money m using (organization_id)
  left join others x using (organization_id)
  left join played p using (organization_id);
create unique index if not exists dashboard_key on analytics_private.dashboard (organization_id);
comment on materialized view analytics_private.dashboard is 'The dashboards of all organizations: see analytics.dashboard.';

create or replace view analytics.dashboard with (security_barrier = true) as
  select d.today, f.may_see_money,
    case when f.may_see_money then d.currency end as currency,
    case when f.may_see_money then d.month_income_minor end as month_income_minor,
    case when f.may_see_money then d.month_expense_minor end as month_expense_minor,
    case when f.may_see_money then d.year_income_minor end as year_income_minor,
    case when f.may_see_money then d.year_expense_minor end as year_expense_minor,
    case when f.may_see_money then d.year_open_income_minor end as year_open_income_minor,
    case when f.may_see_money then d.year_open_expense_minor end as year_open_expense_minor,
    case when f.may_see_money then d.receivable_minor end as receivable_minor,
    case when f.may_see_money then d.receivable_overdue_minor end as receivable_overdue_minor,
    case when f.may_see_money then d.payable_minor end as payable_minor,
    case when f.may_see_money then d.payable_overdue_minor end as payable_overdue_minor,
    case when f.may_see_money then d.records_in_other_base_currencies end as records_in_other_base_currencies,
    d.coming_shows, d.coming_confirmed_shows, d.coming_held_shows, d.shows_in_30_days, d.next_show_on, d.shows_to_settle, d.month_played_shows, d.year_played_shows,
    (select r.as_of from analytics_private.rollups r where r.name = 'dashboard') as as_of
  from analytics_private.dashboard d, lateral (select (select app.visible_org('finance.read')) is not null as may_see_money) f
  where d.organization_id = (select app.visible_org());
comment on view analytics.dashboard is 'The most important figures in one row. Money is in the base currency of the organization, and null without finance.read.';
comment on column analytics.dashboard.today is 'The day on which it was computed, in the time zone of the organization.';
comment on column analytics.dashboard.may_see_money is 'Whether you hold finance.read, without which the amounts are null.';
comment on column analytics.dashboard.currency is 'The base currency, ISO 4217.';
comment on column analytics.dashboard.month_income_minor is 'Actual income booked in this month, in the smallest unit of the currency.';
comment on column analytics.dashboard.month_expense_minor is 'Actual expenses booked in this month.';
comment on column analytics.dashboard.year_income_minor is 'Actual income booked in this year.';
comment on column analytics.dashboard.year_expense_minor is 'Actual expenses booked in this year.';
comment on column analytics.dashboard.year_open_income_minor is 'Planned and committed income of this year.';
comment on column analytics.dashboard.year_open_expense_minor is 'Planned and committed expenses of this year.';
comment on column analytics.dashboard.receivable_minor is 'Committed and actual income that is unpaid or partly paid, in full.';
comment on column analytics.dashboard.receivable_overdue_minor is 'That of it which was due before today.';
comment on column analytics.dashboard.payable_minor is 'Committed and actual expenses that are unpaid or partly paid, in full.';
comment on column analytics.dashboard.payable_overdue_minor is 'That of it which was due before today.';
comment on column analytics.dashboard.records_in_other_base_currencies is 'Records that were entered while the books were kept in another currency; they are in none of these amounts.';
comment on column analytics.dashboard.coming_shows is 'Shows from today on that are not cancelled or postponed.';
comment on column analytics.dashboard.coming_confirmed_shows is 'Those that are confirmed.';
comment on column analytics.dashboard.coming_held_shows is 'Those that are on hold.';
comment on column analytics.dashboard.shows_in_30_days is 'Those of the next 30 days, with today.';
comment on column analytics.dashboard.next_show_on is 'The day of the next confirmed show.';
comment on column analytics.dashboard.shows_to_settle is 'Shows that were played and are not settled.';
comment on column analytics.dashboard.month_played_shows is 'Shows of this month that were played.';
comment on column analytics.dashboard.year_played_shows is 'Shows of this year that were played.';
comment on column analytics.dashboard.as_of is 'The figures are complete up to this moment.';

select analytics_private.register_rollup('dashboard', '{app.finance_records,app.shows,app.organizations}', '{finance_record,show,organization}', true);
--! EndIncluded dashboard.sql
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

create or replace function app.profit(income numeric, expense numeric) returns json
language sql immutable parallel safe
return json_build_object('income_minor', income, 'expense_minor', expense, 'profit_minor', income - expense);
comment on function app.profit(numeric, numeric) is 'Income, expenses and what is left, as JSON.';
revoke execute on function app.profit(numeric, numeric) from public;
grant execute on function app.profit(numeric, numeric) to callboard_api;

create or replace function app.figure_months(from_on date, to_on date, out since date, out until date)
language plpgsql stable
set search_path = ''
as $$
begin
  -- This year's if nothing is said.
  since := date_trunc('month', coalesce(from_on, date_trunc('year', coalesce(to_on, app.today())::timestamp)::date)::timestamp);
  until := date_trunc('month', coalesce(to_on, (date_trunc('year', since::timestamp) + interval '11 months')::date)::timestamp);
  if until < since or until >= since + interval '10 years' then
    perform app.refuse(422, 'analytics_range', 'The last month is not before the first, and less than ten years behind it.');
  end if;
end
$$;
comment on function app.figure_months(date, date) is
  'The first days of the months from that of one day (January) to that of another (December of the same year). PT422 analytics_range.';
revoke execute on function app.figure_months(date, date) from public;
grant execute on function app.figure_months(date, date) to callboard_api;

create or replace function app.figures(rollups text[], since date, until date, more jsonb, items json) returns app.answer
language sql stable
set search_path = ''
return (
  select (null, (jsonb_build_object('as_of', f.as_of, 'is_current', f.is_current, 'from', since, 'to', (until + interval '1 month' - interval '1 day')::date)
    || more || jsonb_build_object('items', coalesce(items, '[]')))::json, null, null)::app.answer
  from app.freshness(variadic rollups) f);
comment on function app.figures(text[], date, date, jsonb, json) is 'The answer with figures of these materialized views: of when they are, of which months, and the figures.';
revoke execute on function app.figures(text[], date, date, jsonb, json) from public;
grant execute on function app.figures(text[], date, date, jsonb, json) to callboard_api;

create or replace function app.finance_figures(period text, from_on date default null, to_on date default null, in_currency text default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  items json;
begin
  perform app.require('analytics.read'), app.require('finance.read');
  months := app.figure_months(from_on, to_on);
  select json_agg(json_build_object('period_on', p.period_on, 'currency', p.currency,
    'planned', p.planned, 'committed', p.committed, 'actual', p.actual) order by p.period_on, p.currency) into items
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
      where f.month between months.since and months.until and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2) p;
  return app.figures('{finance_by_month}', months.since, months.until, jsonb_build_object('period', period), items);
end
$$;
comment on function app.finance_figures(text, date, date, text) is
  'Income, expenses and profit by month, quarter or year, in one currency or, without it, all in the base currency; of whole months. PT403 without analytics.read and finance.read, PT422 analytics_range.';
revoke execute on function app.finance_figures(text, date, date, text) from public;
grant execute on function app.finance_figures(text, date, date, text) to callboard_api;

create or replace function app.category_figures(from_on date default null, to_on date default null, in_currency text default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  items json;
begin
  perform app.require('analytics.read'), app.require('finance.read');
  months := app.figure_months(from_on, to_on);
  select json_agg(json_build_object('category_id', c.category_id, 'category', c.category, 'kind', c.kind, 'currency', c.currency,
    'planned_minor', coalesce(c.planned, 0), 'committed_minor', coalesce(c.committed, 0), 'actual_minor', coalesce(c.actual, 0), 'records', c.records)
    order by c.kind, c.category, c.category_id, c.currency) into items
  from (
    select m.category_id, m.category, m.kind, m.currency, sum(m.records) as records, sum(m.amount) filter (where m.status = 'planned') as planned,
      sum(m.amount) filter (where m.status = 'committed') as committed, sum(m.amount) filter (where m.status = 'actual') as actual
    from (
      select f.category_id, f.category, f.kind, f.status, f.records,
        case when in_currency is null then f.base_currency else f.currency end as currency,
        case when in_currency is null then f.base_amount_minor else f.amount_minor end as amount
      from analytics.finance_by_category f
      where f.month between months.since and months.until and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2, 3, 4) c;
  return app.figures('{finance_by_category}', months.since, months.until, '{}', items);
end
$$;
comment on function app.category_figures(date, date, text) is
  'What was booked by category, in one currency or, without it, all in the base currency; of whole months. PT403 without analytics.read and finance.read, PT422 analytics_range.';
revoke execute on function app.category_figures(date, date, text) from public;
grant execute on function app.category_figures(date, date, text) to callboard_api;

create or replace function app.show_profits(from_on date default null, to_on date default null, in_currency text default null, at_most integer default 50) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  items json;
begin
  perform app.require('analytics.read'), app.require('finance.read');
  months := app.figure_months(from_on, to_on);
  select json_agg(json_build_object('show_id', p.show_id, 'show_on', p.show_on, 'title', p.title, 'artist', p.artist, 'status', p.show_status,
    'currency', p.currency, 'planned', p.planned, 'committed', p.committed, 'actual', p.actual) order by p.show_on desc, p.show_id, p.currency) into items
  from (
    select m.show_on, m.show_id, m.title, m.artist, m.show_status, m.currency,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'planned'), sum(m.expense) filter (where m.status = 'planned'), sum(m.records) filter (where m.status = 'planned')) as planned,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'committed'), sum(m.expense) filter (where m.status = 'committed'), sum(m.records) filter (where m.status = 'committed')) as committed,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'actual'), sum(m.expense) filter (where m.status = 'actual'), sum(m.records) filter (where m.status = 'actual')) as actual
    from (
      select f.show_on, f.show_id, f.title, f.artist, f.show_status, f.status, f.records,
        case when in_currency is null then f.base_currency else f.currency end as currency,
        case when in_currency is null then f.base_income_minor else f.income_minor end as income,
        case when in_currency is null then f.base_expense_minor else f.expense_minor end as expense
      from analytics.finance_by_show f
      where f.show_on between months.since and (months.until + interval '1 month' - interval '1 day')::date
        and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2, 3, 4, 5, 6
    order by 1 desc, 2, 6 limit at_most) p;
  return app.figures('{finance_by_show}', months.since, months.until, '{}', items);
end
$$;
comment on function app.show_profits(date, date, text, integer) is
  'Profit and loss of shows, the latest first, in one currency or, without it, all in the base currency; of shows in whole months. PT403 without analytics.read and finance.read, PT422 analytics_range.';
revoke execute on function app.show_profits(date, date, text, integer) from public;
grant execute on function app.show_profits(date, date, text, integer) to callboard_api;
--! EndIncluded finance_figures.sql
--! Included show_figures.sql
-- Shows by period, and the dashboard, as the API answers them.

create or replace function app.share(part numeric, of_all numeric) returns numeric
language sql immutable parallel safe
return round(part / nullif(of_all, 0), 4);
comment on function app.share(numeric, numeric) is 'A part of all, from 0 to 1; null of nothing.';
revoke execute on function app.share(numeric, numeric) from public;
grant execute on function app.share(numeric, numeric) to callboard_api;

create or replace function app.show_figures(period text, from_on date default null, to_on date default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  items json;
begin
  perform app.require('analytics.read');
  months := app.figure_months(from_on, to_on);
  select json_agg(json_build_object('period_on', p.period_on, 'created', p.created, 'shows', p.shows, 'by_status', p.by_status,
    'completed', p.completed, 'completion_rate', app.share(p.completed, p.completed + p.cancelled),
    'held', p.held, 'confirmed_from_hold', p.confirmed_from_hold, 'hold_conversion_rate', app.share(p.confirmed_from_hold, p.held),
    'capacity', p.capacity, 'tickets_sold', p.tickets_sold, 'sell_through', app.share(p.tickets_sold, p.capacity)) order by p.period_on) into items
  from (
    select m.period_on, sum(m.created) as created, sum(m.shows) as shows, sum(m.held) as held, sum(m.confirmed_from_hold) as confirmed_from_hold,
      coalesce(sum(m.shows) filter (where m.status in ('played', 'settled')), 0) as completed,
      coalesce(sum(m.shows) filter (where m.status = 'cancelled'), 0) as cancelled,
      coalesce(sum(m.capacity) filter (where m.status in ('confirmed', 'played', 'settled')), 0) as capacity,
      coalesce(sum(m.tickets_sold) filter (where m.status in ('confirmed', 'played', 'settled')), 0) as tickets_sold,
      (select json_object_agg(n.status, coalesce(n.shows, 0)) from (values
        ('inquiry', sum(m.shows) filter (where m.status = 'inquiry')), ('hold', sum(m.shows) filter (where m.status = 'hold')),
        ('offer', sum(m.shows) filter (where m.status = 'offer')), ('confirmed', sum(m.shows) filter (where m.status = 'confirmed')),
        ('played', sum(m.shows) filter (where m.status = 'played')), ('settled', sum(m.shows) filter (where m.status = 'settled')),
        ('cancelled', sum(m.shows) filter (where m.status = 'cancelled')), ('postponed', sum(m.shows) filter (where m.status = 'postponed'))) n (status, shows)) as by_status
    from (
      select date_trunc(period, f.month::timestamp)::date as period_on, f.status, 0 as created, f.shows, f.held, f.confirmed_from_hold, f.capacity, f.tickets_sold
      from analytics.shows_by_month f where f.month between months.since and months.until
      union all
      select date_trunc(period, f.month::timestamp)::date, null, f.created, 0, 0, 0, 0, 0
      from analytics.shows_created_by_month f where f.month between months.since and months.until) m
    group by 1) p;
  return app.figures(array['shows_by_month', 'shows_created_by_month'], months.since, months.until, jsonb_build_object('period', period), items);
end
$$;
comment on function app.show_figures(text, date, date) is
  'Shows by month, quarter or year: entered, by status, completed, confirmed from hold, sold; of whole months. PT403 without analytics.read, PT422 analytics_range.';
revoke execute on function app.show_figures(text, date, date) from public;
grant execute on function app.show_figures(text, date, date) to callboard_api;

create or replace function app.read_dashboard() returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  d record;
  fresh record;
begin
  perform app.require('analytics.read');
  select * into fresh from app.freshness('dashboard');
  select * into d from analytics.dashboard;
  return (null, json_build_object('as_of', fresh.as_of, 'is_current', fresh.is_current, 'today', d.today,
    'shows', case when d.today is not null then json_build_object('coming', d.coming_shows, 'coming_confirmed', d.coming_confirmed_shows, 'coming_held', d.coming_held_shows,
      'in_30_days', d.shows_in_30_days, 'next_on', d.next_show_on, 'to_settle', d.shows_to_settle,
      'played_this_month', d.month_played_shows, 'played_this_year', d.year_played_shows) end,
    'money', case when d.may_see_money then json_build_object('currency', d.currency,
      'this_month', app.profit(d.month_income_minor, d.month_expense_minor), 'this_year', app.profit(d.year_income_minor, d.year_expense_minor),
      'open_this_year', app.profit(d.year_open_income_minor, d.year_open_expense_minor),
      'receivable_minor', d.receivable_minor, 'receivable_overdue_minor', d.receivable_overdue_minor,
      'payable_minor', d.payable_minor, 'payable_overdue_minor', d.payable_overdue_minor,
      'records_in_other_base_currencies', d.records_in_other_base_currencies) end), null, null)::app.answer;
end
$$;
comment on function app.read_dashboard() is 'The dashboard; without finance.read there is no money in it. PT403 without analytics.read.';
revoke execute on function app.read_dashboard() from public;
grant execute on function app.read_dashboard() to callboard_api;
--! EndIncluded show_figures.sql
