--! Previous: sha1:9e1e7738c5a9848291e62c9d93aa2eb427b6ebbe
--! Hash: sha1:d140da1cf91436a6c966cb1c993b0005fa7e1133
--! Message: Figures, exports, logins of BI tools and reading on a standby

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
-- The exporter reads what can be exported under the same policies as the API.
alter policy select_member on app.shows to callboard_api, callboard_exporter;
alter policy select_member on app.venues to callboard_api, callboard_exporter;
alter policy select_member on app.finance_records to callboard_api, callboard_exporter;
alter policy select_member on app.finance_categories to callboard_api, callboard_exporter;
alter policy select_member on app.event_log to callboard_api, callboard_exporter;
alter policy select_member on app.memberships to callboard_api, callboard_exporter;
alter policy select_colleague on app.users to callboard_api, callboard_exporter;
grant select on app.shows, app.venues, app.finance_records, app.finance_categories to callboard_exporter;
grant select (organization_id, id, occurred_at, actor_id, session_id, resource_id, erased_at, actor_kind, action, resource_type, request_id, ip, changes)
  on app.event_log to callboard_exporter;
grant select (organization_id, user_id, deleted_at) on app.memberships to callboard_exporter;
grant select (id, display_name) on app.users to callboard_exporter;

-- It takes a queue now.
drop function if exists app_private.add_job(text, jsonb, text, integer);
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
--! Included event_seals.sql
-- Proof that the event log is what it was. A worker seals the events of each organization in a
-- chain: every seal's hash covers the event's and that of the seal before. Whoever changes, takes
-- out or cuts off an event breaks the chain, or ends with another head than one that was noted
-- elsewhere. Of the personal details the chain holds only a salted hash, so they can be erased.

create table if not exists app.event_seals (
  organization_id uuid not null,
  seq bigint not null,
  event_id uuid not null,
  occurred_at timestamptz not null,
  core_hash bytea not null,
  details_hash bytea not null,
  prev_hash bytea not null,
  hash bytea not null,
  sealed_at timestamptz not null default now(),
  primary key (organization_id, seq),
  constraint event_seals_event_once unique (organization_id, event_id)
);
alter table app.event_seals enable row level security;
alter table app.event_seals force row level security;
drop policy if exists select_auditor on app.event_seals;
create policy select_auditor on app.event_seals for select to callboard_auditor using (true);
-- The definer adds to it, and nobody ever changes or deletes: seals outlive their events.
drop policy if exists select_definer on app.event_seals;
create policy select_definer on app.event_seals for select to callboard_definer using (true);
drop policy if exists insert_definer on app.event_seals;
create policy insert_definer on app.event_seals for insert to callboard_definer with check (true);
grant select on app.event_seals to callboard_auditor, callboard_definer;
grant insert on app.event_seals to callboard_definer;
alter table app.event_seals alter column seq set statistics 0, alter column core_hash set statistics 0,
  alter column details_hash set statistics 0, alter column prev_hash set statistics 0, alter column hash set statistics 0;
comment on table app.event_seals is 'The chain of each organization''s events.';
comment on column app.event_seals.core_hash is 'Of what stays of an event for ever: app.event_core_hash.';
comment on column app.event_seals.details_hash is 'Of what may be erased, with a salt that is erased too: app.event_details_hash.';
comment on column app.event_seals.hash is 'Of prev_hash and all before it: app.event_seal_hash. With seq it is the head of the chain up to here.';

-- How far the sealer is; whoever holds the row is the only one.
create table if not exists app_private.sealing (
  id boolean primary key default true constraint sealing_one_row check (id),
  sealed_until timestamptz not null default '-infinity'
);
alter table app_private.sealing enable row level security;
alter table app_private.sealing force row level security;
drop policy if exists all_definer on app_private.sealing;
create policy all_definer on app_private.sealing for all to callboard_definer using (true);
grant select, update on app_private.sealing to callboard_definer;
drop policy if exists insert_owner on app_private.sealing;
create policy insert_owner on app_private.sealing for insert to callboard_owner with check (true);
insert into app_private.sealing default values on conflict do nothing;
comment on table app_private.sealing is 'Until when all events are sealed; locked by the sealer, so that there is one at a time.';

-- Times as microseconds and everything as the text of an array, which quotes its elements: neither
-- depends on a setting, and no value can pose as two.
create or replace function app.event_core_hash(e app.event_log) returns bytea
language sql stable parallel safe
return sha256(convert_to(array[(e).organization_id::text, (e).id::text, (extract(epoch from (e).occurred_at) * 1000000)::bigint::text,
  (e).actor_id::text, (e).actor_kind, (e).session_id::text, (e).action, (e).resource_type, (e).resource_id::text]::text, 'UTF8'));
comment on function app.event_core_hash(app.event_log) is 'SHA-256 of an event without its details.';
revoke execute on function app.event_core_hash(app.event_log) from public;
grant execute on function app.event_core_hash(app.event_log) to callboard_auditor, callboard_definer;

create or replace function app.event_details_hash(e app.event_log) returns bytea
language sql stable parallel safe
return sha256(convert_to(array[(e).salt::text, (e).changes::text, (e).request_id, host((e).ip)]::text, 'UTF8'));
comment on function app.event_details_hash(app.event_log) is 'Salted SHA-256 of the details of an event: changes, request_id, ip.';
revoke execute on function app.event_details_hash(app.event_log) from public;
grant execute on function app.event_details_hash(app.event_log) to callboard_auditor, callboard_definer;

create or replace function app.event_seal_hash(prev_hash bytea, organization_id uuid, seq bigint, event_id uuid, occurred_at timestamptz, core_hash bytea, details_hash bytea) returns bytea
language sql immutable parallel safe
return sha256(prev_hash || uuid_send(organization_id) || int8send(seq) || uuid_send(event_id) || timestamptz_send(occurred_at) || core_hash || details_hash);
comment on function app.event_seal_hash(bytea, uuid, bigint, uuid, timestamptz, bytea, bytea) is 'SHA-256 of a seal and the one before it; before the first there is the empty one.';
revoke execute on function app.event_seal_hash(bytea, uuid, bigint, uuid, timestamptz, bytea, bytea) from public;
grant execute on function app.event_seal_hash(bytea, uuid, bigint, uuid, timestamptz, bytea, bytea) to callboard_auditor, callboard_definer;

create or replace function app_private.seal_horizon() returns timestamptz
language plpgsql volatile
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
begin
  if not pg_has_role(current_user, 'pg_read_all_stats', 'usage') then
    raise exception 'callboard_definer cannot see the transactions of others: run db/roles.sql again, as a superuser';
  end if;
  -- An earlier look in this transaction would be repeated otherwise.
  perform pg_stat_clear_snapshot();
  return least(at,
    -- BI tools write no events, and may keep a transaction open for long.
    (select min(a.xact_start) from pg_catalog.pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type <> 'autovacuum worker'
      and not exists (select from app_private.bi_logins l where l.login = a.usename)),
    -- When a prepared transaction began is not known, only that it was before.
    (select min(p.prepared) - interval '1 hour' from pg_catalog.pg_prepared_xacts p where p.database = current_database()));
end
$$;
comment on function app_private.seal_horizon() is 'The moment before which every transaction that has begun has also ended.';
alter function app_private.seal_horizon() owner to callboard_definer;
revoke execute on function app_private.seal_horizon() from public;

create or replace function app_private.next_logged(behind uuid, since timestamptz, until timestamptz) returns uuid
language plpgsql stable
set search_path = ''
as $$
begin
  -- Along the primary key from one organization to the next. Whole months, so that it needs no look at the events.
  if behind is null then
    return (select l.organization_id from app.event_log l
      where l.occurred_at >= date_trunc('month', since, 'UTC') and l.occurred_at < until order by l.organization_id limit 1);
  end if;
  return (select l.organization_id from app.event_log l
    where l.organization_id > behind and l.occurred_at >= date_trunc('month', since, 'UTC') and l.occurred_at < until
    order by l.organization_id limit 1);
end
$$;
comment on function app_private.next_logged(uuid, timestamptz, timestamptz) is
  'The organization behind another one (null: the first) that has events between two moments, and perhaps some that has them only nearby.';
alter function app_private.next_logged(uuid, timestamptz, timestamptz) owner to callboard_definer;
revoke execute on function app_private.next_logged(uuid, timestamptz, timestamptz) from public;

create or replace function app_private.seal_some(of_organization uuid, since timestamptz, until timestamptz, at_most integer) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  head app.event_seals;
  batch record;
  chain bytea[] := '{}';
  last_hash bytea;
begin
  -- Hashed after the limit, not before.
  select array_agg((e.l).id) as ids, array_agg((e.l).occurred_at) as times,
    array_agg(app.event_core_hash(e.l)) as cores, array_agg(app.event_details_hash(e.l)) as details into batch
  from (
    select l from app.event_log l
    where l.organization_id = of_organization and l.occurred_at >= since and l.occurred_at < until
      and not exists (select from app.event_seals s where s.organization_id = of_organization and s.event_id = l.id)
    order by l.occurred_at, l.id limit at_most) e;
  if batch.ids is null then
    return 0;
  end if;
  select * into head from app.event_seals s where s.organization_id = of_organization order by s.seq desc limit 1;
  head.seq := coalesce(head.seq, 0);
  head.hash := coalesce(head.hash, '');
  last_hash := head.hash;
  for n in 1 .. cardinality(batch.ids) loop
    last_hash := app.event_seal_hash(last_hash, of_organization, head.seq + n, batch.ids[n], batch.times[n], batch.cores[n], batch.details[n]);
    chain[n] := last_hash;
  end loop;
  insert into app.event_seals (organization_id, seq, event_id, occurred_at, core_hash, details_hash, prev_hash, hash)
  select of_organization, head.seq + e.n, e.id, e.occurred_at, e.core, e.details, lag(e.hash, 1, head.hash) over (order by e.n), e.hash
  from unnest(batch.ids, batch.times, batch.cores, batch.details, chain) with ordinality e (id, occurred_at, core, details, hash, n);
  return cardinality(batch.ids);
end
$$;
comment on function app_private.seal_some(uuid, timestamptz, timestamptz, integer) is 'Adds the unsealed events of an organization between two moments to its chain, in the order of time; says how many.';
alter function app_private.seal_some(uuid, timestamptz, timestamptz, integer) owner to callboard_definer;
revoke execute on function app_private.seal_some(uuid, timestamptz, timestamptz, integer) from public;

create or replace function app.seal_events(look_back interval default '1 hour') returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set jit = off
as $$
declare
  state app_private.sealing;
  horizon timestamptz;
  since timestamptz;
  behind timestamptz;
  organization uuid;
  done bigint;
  sealed bigint := 0;
begin
  select * into state from app_private.sealing for update skip locked;
  if not found then
    return 0;
  end if;
  horizon := app_private.seal_horizon();
  -- A clock that was set back, or a backend that stopped between taking the time and showing it,
  -- leaves an event behind the others: it is found within look_back, and sealed behind them.
  since := greatest(state.sealed_until - look_back, '0001-01-01 00:00:00+00');
  loop
    organization := app_private.next_logged(organization, since, horizon);
    exit when organization is null;
    -- Nearly all of them, when it is asked every few seconds.
    continue when not exists (select from app.event_log l
      where l.organization_id = organization and l.occurred_at >= since and l.occurred_at < horizon);
    behind := since;
    loop
      -- As many as fit into the memory at a time.
      done := app_private.seal_some(organization, behind, horizon, 20000);
      sealed := sealed + done;
      exit when done < 20000;
      select s.occurred_at into behind from app.event_seals s where s.organization_id = organization order by s.seq desc limit 1;
    end loop;
  end loop;
  update app_private.sealing set sealed_until = greatest(sealed_until, horizon);
  return sealed;
end
$$;
comment on function app.seal_events(interval) is
  'Seals the events of all transactions that can have no earlier ones any more, and those of the last look_back that were missed; says how many. Another call at the same time does nothing. Every 2 seconds with ''10 seconds'', once a minute, and once a day with ''10 years''.';
alter function app.seal_events(interval) owner to callboard_definer;
revoke execute on function app.seal_events(interval) from public;
grant execute on function app.seal_events(interval) to callboard_worker;
--! EndIncluded event_seals.sql
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
--! Included jobs.sql
-- Jobs: what is done after the answer, by the worker. graphile-worker keeps them in a schema of its
-- own (see queue.sql); these functions are all that the rest of the database knows of it. They are
-- in plpgsql because that schema is not there when they are made.

create or replace function app_private.add_job(
  task text, payload jsonb, job_key text default null, max_attempts integer default null, queue text default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform graphile_worker.add_job(task, payload::json, queue, job_key => add_job.job_key, max_attempts => add_job.max_attempts);
end
$$;
comment on function app_private.add_job(text, jsonb, text, integer, text) is
  'Has the worker do a task once this transaction has committed. No secret goes into the payload, which is kept as long as the job. A waiting job with the same key is replaced; a job that fails is tried again after growing pauses, max_attempts times (default 25). Of the jobs in one queue only one is done at a time.';
alter function app_private.add_job(text, jsonb, text, integer, text) owner to callboard_definer;
revoke execute on function app_private.add_job(text, jsonb, text, integer, text) from public;

create or replace function app.keep_jobs(workers text[], may_free boolean default true) returns integer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  released integer;
begin
  update graphile_worker._private_jobs j set locked_at = now() where j.locked_by = any (workers);
  update graphile_worker._private_job_queues q set locked_at = now() where q.locked_by = any (workers);
  if not may_free then
    return 0;
  end if;

  update graphile_worker._private_jobs j
  set locked_at = null, locked_by = null, last_error = coalesce(j.last_error, 'its worker was gone')
  where j.locked_at < now() - interval '20 seconds';
  get diagnostics released = row_count;
  update graphile_worker._private_job_queues q set locked_at = null, locked_by = null
  where q.locked_at < now() - interval '20 seconds';
  return released;
end
$$;
comment on function app.keep_jobs(text[], boolean) is
  'A worker''s sign of life, given every 5 seconds: its jobs stay its own, and those of a worker that has been silent for 20 are free again. Whoever has not been heard for that long itself must not free any: it may have been the database that was away. Returns how many are free.';
alter function app.keep_jobs(text[], boolean) owner to callboard_definer;
revoke execute on function app.keep_jobs(text[], boolean) from public;
grant execute on function app.keep_jobs(text[], boolean) to callboard_worker;

create or replace function app.job_health()
returns table (waiting bigint, failed bigint, oldest_waiting_seconds float8, sealer_lag_seconds float8)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return query
    select count(*) filter (where j.is_available), count(*) filter (where j.locked_at is null and not j.is_available),
      coalesce(extract(epoch from now() - min(j.run_at) filter (where j.is_available and j.run_at <= now())), 0)::float8,
      (select extract(epoch from now() - s.sealed_until)::float8 from app_private.sealing s where isfinite(s.sealed_until))
    from graphile_worker._private_jobs j;
end
$$;
comment on function app.job_health() is
  'How many jobs wait (some until a pause is over) and were given up, for how long the oldest has been due, and up to how long ago events are sealed (null: none ever).';
alter function app.job_health() owner to callboard_definer;
revoke execute on function app.job_health() from public;
grant execute on function app.job_health() to callboard_worker;
--! EndIncluded jobs.sql
--! Included purge.sql
-- What goes, and when: the retention of what belongs to no organization's work. The worker calls
-- this every hour (src/jobs/schedule.ts). What organizations have deleted: deletion_purge.sql.

create or replace function app.purge_expired() returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  gone jsonb := '{}';
  n bigint;
begin
  -- Refresh tokens that could renew nothing any more.
  delete from app_private.refresh_tokens t where t.used_at < now() - app_private.session_lifetime();
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('refresh_tokens', n);

  -- Ended sessions, with the refresh tokens that they still have.
  delete from app.sessions s where coalesce(s.revoked_at, s.expires_at) < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('sessions', n);

  -- Links, used or not.
  delete from app_private.email_tokens t where t.expires_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('email_tokens', n);

  -- Answers to repeated requests: the policy purge_definer shows no others.
  delete from app.idempotency_keys k where k.created_at < now() - interval '24 hours';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('idempotency_keys', n);

  -- A mail whose job has ended, or is lost, without a word of the mail: nobody will send it.
  update app_private.mails m
  set failed_at = now(), data = m.data - 'token', last_error = coalesce(m.last_error, 'its job has ended')
  where m.sent_at is null and m.failed_at is null and not exists (
    select from graphile_worker._private_jobs j
    where j.key = 'send_mail:' || m.id and (j.is_available or j.locked_at is not null));
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('mails_given_up', n);

  delete from app_private.mails m where coalesce(m.sent_at, m.failed_at) < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('mails', n);

  -- What was uploaded, with what was wrong with it.
  delete from app.imports i where i.created_at < now() - interval '30 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('imports', n);

  -- What programs told of their users: the policy purge_definer shows no newer ones. By organization, because so is the index.
  delete from app.client_events e
  where e.organization_id = any (array(select o.id from app.organizations o where not app_private.is_held(o.id)))
    and e.received_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('client_events', n);

  -- Counts, so that a year can be compared with the one before.
  delete from app.api_use u
  where u.organization_id = any (array(select o.id from app.organizations o)) and u.day < (now() at time zone 'UTC')::date - 800;
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('api_use', n);
  delete from app.integration_use u
  where u.organization_id = any (array(select o.id from app.organizations o)) and u.day < (now() at time zone 'UTC')::date - 800;
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('integration_use', n);
  delete from app_private.use_batches b where b.added_at < now() - interval '7 days';

  -- Whose files have gone long before.
  delete from app.exports e where e.created_at < now() - interval '30 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('exports', n);

  -- Jobs that were given up.
  delete from graphile_worker._private_jobs j
  where not j.is_available and j.locked_at is null and j.run_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('jobs', n);

  return gone;
end
$$;
comment on function app.purge_expired() is
  'Deletes ended sessions, old links, client events, sent mails and failed jobs after 90 days, counts of use after 800, spent refresh tokens after 30, idempotency keys after one. Returns how many of each.';
alter function app.purge_expired() owner to callboard_definer;
revoke execute on function app.purge_expired() from public;
grant execute on function app.purge_expired() to callboard_worker;
--! EndIncluded purge.sql
--! Included imports.sql
-- Imports: a file of shows or finance records that a member uploads, is told about, and then has
-- entered. The worker does the work as that member: see import_checking.sql and import_running.sql.

create table if not exists app.imports (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  resource text not null constraint imports_resource_known check (resource in ('shows', 'finance_records')),
  file_name text constraint imports_file_name_length check (length(file_name) between 1 and 200 and file_name !~ '[\u0001-\u001f\u007f-\u009f]'),
  bytes bigint not null,
  sha256 text not null,
  -- What the member says of the file, and once it is checked what was found in it.
  options jsonb not null default '{}',
  status text not null default 'uploaded' constraint imports_status_known check (
    status in ('uploaded', 'checking', 'checked', 'queued', 'running', 'done', 'failed', 'cancelled')),
  on_error text constraint imports_on_error_known check (on_error in ('abort', 'skip')),
  lines integer not null default 0,
  bad_lines integer not null default 0,
  existing integer not null default 0,
  created integer not null default 0,
  failure text,
  session_id uuid not null default app.current_session_id(),
  created_by uuid not null default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (organization_id, id)
);
create index if not exists imports_organization_id_created_at_idx on app.imports (organization_id, created_at, id);
alter table app.imports alter column resource set statistics 0, alter column file_name set statistics 0, alter column bytes set statistics 0,
  alter column sha256 set statistics 0, alter column options set statistics 0, alter column on_error set statistics 0,
  alter column lines set statistics 0, alter column bad_lines set statistics 0, alter column existing set statistics 0,
  alter column created set statistics 0, alter column failure set statistics 0;

-- Apart, because it moves while the import itself is locked by the transaction that enters its lines.
create table if not exists app.import_progress (
  organization_id uuid not null,
  import_id uuid not null,
  lines_done integer not null default 0,
  is_cancelled boolean not null default false,
  primary key (organization_id, import_id),
  constraint import_progress_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);
alter table app.import_progress alter column lines_done set statistics 0;

-- The file, in pieces, until it has been entered or given up.
create table if not exists app.import_chunks (
  organization_id uuid not null,
  import_id uuid not null,
  n integer not null,
  content bytea not null,
  primary key (organization_id, import_id, n),
  constraint import_chunks_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);

create table if not exists app.import_lines (
  organization_id uuid not null,
  import_id uuid not null,
  line integer not null,
  -- As the columns of its table, of a line that is good.
  record jsonb,
  -- [{"column", "reason"}] of one that is not.
  problems jsonb,
  primary key (organization_id, import_id, line),
  constraint import_lines_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);
create index if not exists import_lines_problems_idx on app.import_lines (organization_id, import_id, line) where problems is not null;
alter table app.import_lines alter column line set statistics 0, alter column record set statistics 0, alter column problems set statistics 0;
alter table app.import_chunks alter column n set statistics 0;

comment on table app.imports is 'Files of shows or finance records, and what became of them.';
comment on column app.imports.lines is 'Lines with data, counted when the file is checked.';
comment on column app.imports.existing is 'Lines whose reference (source and external_ref) is there already; they are left alone.';
comment on table app.import_progress is 'How far an import that is running has come, and whether it is to stop.';
comment on table app.import_chunks is 'The uploaded files of imports.';
comment on table app.import_lines is 'The lines of imports: what they say, or what is wrong with them.';

do $$
declare
  t regclass;
begin
  foreach t in array array['app.imports', 'app.import_progress', 'app.import_chunks', 'app.import_lines']::regclass[] loop
    execute format('alter table %s enable row level security', t);
    execute format('alter table %s force row level security', t);
    -- Nobody reads the file itself.
    if t <> 'app.import_chunks'::regclass then
      execute format('drop policy if exists select_member on %s', t);
      execute format('create policy select_member on %s for select to callboard_api using (organization_id = (select app.org_if(''imports.run'')))', t);
    end if;
    -- Also for the worker, who finds out by this whose import it is about to enter.
    execute format('drop policy if exists select_definer on %s', t);
    execute format('create policy select_definer on %s for select to callboard_definer using (true)', t);
    execute format('drop policy if exists insert_definer on %s', t);
    execute format('create policy insert_definer on %s for insert to callboard_definer with check (organization_id = (select app.current_org()))', t);
    execute format('drop policy if exists update_definer on %s', t);
    execute format('create policy update_definer on %s for update to callboard_definer using (organization_id = (select app.current_org()))', t);
    -- Those of the organization, or of nobody in particular when the worker clears away: see app.purge_expired.
    execute format('drop policy if exists delete_definer on %s', t);
    execute format('create policy delete_definer on %s for delete to callboard_definer using (organization_id = (select app.current_org()))', t);
    execute format('grant select, insert, update, delete on %s to callboard_definer', t);
  end loop;
end
$$;
-- Without grants, because these go through functions.
drop policy if exists insert_member on app.imports;
create policy insert_member on app.imports for insert to callboard_api with check (organization_id = (select app.org_if('imports.run')));
drop policy if exists update_member on app.imports;
create policy update_member on app.imports for update to callboard_api using (organization_id = (select app.org_if('imports.run')));
drop policy if exists purge_definer on app.imports;
create policy purge_definer on app.imports for delete to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '30 days');
grant select on app.imports, app.import_progress, app.import_lines to callboard_api;

select app_private.log_changes('app.imports', 'import', '{"status": "change_status"}');

create or replace view app.import_list with (security_invoker = true) as
  select i.organization_id, i.id, i.status, i.resource, i.created_at,
    json_build_object('id', i.id, 'resource', i.resource, 'file_name', i.file_name, 'bytes', i.bytes, 'sha256', i.sha256,
      'delimiter', i.options ->> 'delimiter', 'decimal', i.options ->> 'decimal', 'encoding', i.options ->> 'encoding',
      'dates', i.options ->> 'dates', 'source', i.options ->> 'source',
      'status', i.status, 'on_error', i.on_error, 'lines', i.lines, 'bad_lines', i.bad_lines, 'existing', i.existing, 'created', i.created,
      'lines_done', coalesce(p.lines_done, 0), 'failure', i.failure,
      'created_by', i.created_by, 'created_at', i.created_at, 'finished_at', i.finished_at) as body
  from app.imports i
  left join app.import_progress p on p.organization_id = i.organization_id and p.import_id = i.id;
comment on view app.import_list is 'The organization''s imports, with their JSON.';
grant select on app.import_list to callboard_api, callboard_definer;

create or replace function app.read_import(import uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('imports.run');
  select 200, i.body, null::text, '/api/imports/' || i.id into answer from app.import_list i
  where i.organization_id = app.current_org() and i.id = import;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_import(uuid) is 'An import. PT403, PT404.';
revoke execute on function app.read_import(uuid) from public;
grant execute on function app.read_import(uuid) to callboard_api, callboard_definer;

create or replace function app.create_import(the_resource text, name text, file_bytes bigint, file_sha256 text, given jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  import uuid;
  answer app.answer;
begin
  perform app.require('imports.run');
  perform app.require(case the_resource when 'shows' then 'shows.write' else 'finance.write' end);
  if file_bytes = 0 then
    perform app.refuse(400, 'bad_request', 'There is no file in the body.');
  end if;
  insert into app.imports (resource, file_name, bytes, sha256, options)
  values (the_resource, name, file_bytes, file_sha256, jsonb_strip_nulls(given)) returning id into import;
  insert into app.import_progress (organization_id, import_id) values (app.current_org(), import);
  perform app_private.add_job('check_import', jsonb_build_object('import', import), 'import:' || import, 5);
  answer := app.read_import(import);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_import(text, text, bigint, text, jsonb) is
  'A new import, to be checked once the transaction has committed; its file follows with app.add_import_chunk. PT400 bad_request without a file, PT403 without imports.run, or without the permission to write what is imported.';
alter function app.create_import(text, text, bigint, text, jsonb) owner to callboard_definer;
revoke execute on function app.create_import(text, text, bigint, text, jsonb) from public;
grant execute on function app.create_import(text, text, bigint, text, jsonb) to callboard_api;

create or replace function app.add_import_chunk(import uuid, number integer, piece bytea) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- Only in the transaction that has created it: nobody adds to a file that has been uploaded.
  if not exists (select from app.imports i where i.organization_id = app.current_org() and i.id = import
      and i.created_by = app.current_user_id() and i.created_at = now()) then
    perform app.refuse(404, 'not_found');
  end if;
  insert into app.import_chunks (organization_id, import_id, n, content) values (app.current_org(), import, number, piece);
end
$$;
comment on function app.add_import_chunk(uuid, integer, bytea) is 'A piece of the file of an import that this transaction has created. PT404.';
alter function app.add_import_chunk(uuid, integer, bytea) owner to callboard_definer;
revoke execute on function app.add_import_chunk(uuid, integer, bytea) from public;
grant execute on function app.add_import_chunk(uuid, integer, bytea) to callboard_api;

create or replace function app.run_import(import uuid, when_bad text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports;
begin
  perform app.require('imports.run');
  select * into i from app.imports x where x.organization_id = app.current_org() and x.id = import for update;
  if not found then
    perform app.refuse(404, 'not_found');
  elsif i.status <> 'checked' then
    perform app.refuse(409, 'import_not_checked', format('It is %s: only an import that is checked can be run.', i.status));
  elsif when_bad = 'abort' and i.bad_lines > 0 then
    perform app.refuse(409, 'import_has_bad_lines', format('%s of its %s lines are bad: run it with on_error skip, or import a mended file.', i.bad_lines, i.lines));
  end if;
  perform app.require(case i.resource when 'shows' then 'shows.write' else 'finance.write' end);
  -- As whoever runs it, with what they may do.
  update app.imports x set status = 'queued', on_error = when_bad, created_by = app.current_user_id(), session_id = app.current_session_id()
  where x.organization_id = i.organization_id and x.id = i.id;
  perform app_private.add_job('run_import', jsonb_build_object('import', i.id), 'import:' || i.id, 5);
  return app.read_import(i.id);
end
$$;
comment on function app.run_import(uuid, text) is
  'Has the lines of a checked import entered: all of them (abort) or the good ones (skip). PT403, PT404, PT409 import_not_checked, import_has_bad_lines.';
alter function app.run_import(uuid, text) owner to callboard_definer;
revoke execute on function app.run_import(uuid, text) from public;
grant execute on function app.run_import(uuid, text) to callboard_api;

create or replace function app.cancel_import(import uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present text;
begin
  perform app.require('imports.run');
  select x.status into present from app.imports x where x.organization_id = app.current_org() and x.id = import;
  if not found then
    perform app.refuse(404, 'not_found');
  elsif present in ('done', 'failed', 'cancelled') then
    perform app.refuse(409, 'import_ended', format('It is %s already.', present));
  end if;
  -- One that is running is locked, and looks here after every few lines.
  update app.import_progress p set is_cancelled = true where p.organization_id = app.current_org() and p.import_id = import;
  if present <> 'running' then
    perform from app.imports x where x.organization_id = app.current_org() and x.id = import for update;
    perform app_private.end_import(import, 'cancelled');
  end if;
  return app.read_import(import);
end
$$;
comment on function app.cancel_import(uuid) is 'Gives an import up; one that is running stops soon, and nothing of it is entered. PT403, PT404, PT409 import_ended.';
alter function app.cancel_import(uuid) owner to callboard_definer;
revoke execute on function app.cancel_import(uuid) from public;
grant execute on function app.cancel_import(uuid) to callboard_api;

create or replace function app_private.end_import(import uuid, with_status text, because text default null, entered integer default 0, there integer default null)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  i app.imports;
begin
  update app.imports x
  set status = with_status, failure = because, finished_at = statement_timestamp(), created = entered, existing = coalesce(there, x.existing)
  where x.organization_id = app.current_org() and x.id = import and x.status not in ('done', 'failed', 'cancelled')
  returning x.* into i;
  if found then
    perform app_private.count_integration(i.organization_id, 'import', coalesce(i.options ->> 'source', i.resource), 1, (with_status = 'failed')::integer,
      entered, i.bytes);
  end if;
  -- What the lines said is in the records, or nobody wants it; what was wrong with them may still be read.
  delete from app.import_chunks c where c.organization_id = app.current_org() and c.import_id = import;
  delete from app.import_lines l where l.organization_id = app.current_org() and l.import_id = import and l.problems is null;
end
$$;
comment on function app_private.end_import(uuid, text, text, integer, integer) is 'Ends an import, counts it, and clears away its file and its good lines.';
alter function app_private.end_import(uuid, text, text, integer, integer) owner to callboard_definer;
revoke execute on function app_private.end_import(uuid, text, text, integer, integer) from public;

create or replace function app.list_import_problems(import uuid, after_line integer, how_many integer) returns app.answer
language plpgsql stable
set search_path = ''
as $$
begin
  perform app.read_import(import);
  return (
    select (200, json_build_object('items', coalesce(json_agg(json_build_object('line', x.line, 'problems', x.problems) order by x.line)
        filter (where x.n <= how_many), '[]'),
      'next_cursor', (max(x.line) filter (where x.n = how_many and x.total > how_many))::text), null, null)::app.answer
    from (
      select l.line, l.problems, row_number() over (order by l.line) as n, count(*) over () as total
      from app.import_lines l
      where l.organization_id = app.current_org() and l.import_id = import and l.problems is not null and l.line > after_line
      order by l.line limit how_many + 1) as x);
end
$$;
comment on function app.list_import_problems(uuid, integer, integer) is
  'The bad lines of an import behind a line, and the last of them if there are more. PT404.';
revoke execute on function app.list_import_problems(uuid, integer, integer) from public;
grant execute on function app.list_import_problems(uuid, integer, integer) to callboard_api;
--! EndIncluded imports.sql
--! Included calendar_feeds.sql
-- Calendars that calendar programs subscribe to. Who has the secret of a feed reads the calendar of
-- the member who made it, as that member sees it now, and nothing else.

create table if not exists app.calendar_feeds (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  user_id uuid not null default app.current_user_id() references app.users (id) on delete cascade,
  name text not null constraint calendar_feeds_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  secret_hash bytea not null,
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  primary key (organization_id, id)
);
-- Not unique: a hash of 256 random bits needs no guard, and a unique one would tell who has it.
create index if not exists calendar_feeds_secret_hash_idx on app.calendar_feeds (secret_hash) where revoked_at is null;
create index if not exists calendar_feeds_user_id_idx on app.calendar_feeds (organization_id, user_id, id) where revoked_at is null;
alter table app.calendar_feeds alter column name set statistics 0;

alter table app.calendar_feeds enable row level security;
alter table app.calendar_feeds force row level security;

drop policy if exists select_self on app.calendar_feeds;
create policy select_self on app.calendar_feeds for select to callboard_api
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
drop policy if exists select_definer on app.calendar_feeds;
create policy select_definer on app.calendar_feeds for select to callboard_definer using (true);
drop policy if exists insert_definer on app.calendar_feeds;
create policy insert_definer on app.calendar_feeds for insert to callboard_definer
  with check (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
drop policy if exists update_definer on app.calendar_feeds;
create policy update_definer on app.calendar_feeds for update to callboard_definer
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));

grant select (organization_id, id, user_id, name, created_at, revoked_at) on app.calendar_feeds to callboard_api;
grant select, insert (name, secret_hash), update (revoked_at) on app.calendar_feeds to callboard_definer;

comment on table app.calendar_feeds is 'Subscriptions of calendar programs; each member sees their own.';
comment on column app.calendar_feeds.secret_hash is 'SHA-256 of the secret in the feed''s address; granted to no login.';

select app_private.log_changes('app.calendar_feeds', 'calendar_feed', '{"revoked_at": "revoke"}');

create or replace view app.calendar_feed_list with (security_invoker = true) as
  select f.organization_id, f.id, f.user_id, f.created_at,
    json_build_object('id', f.id, 'name', f.name, 'created_at', f.created_at) as body
  from app.calendar_feeds f
  where f.revoked_at is null;
comment on view app.calendar_feed_list is 'The live feeds of the signed-in user in the organization.';
grant select on app.calendar_feed_list to callboard_api;

create or replace function app.list_calendar_feeds() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', coalesce(json_agg(f.body order by f.id), '[]'), 'next_cursor', null), null::text, null::text
  from app.calendar_feed_list f
  where f.organization_id = app.current_org() and f.user_id = app.current_user_id();
end;
comment on function app.list_calendar_feeds() is 'One''s own feeds in the organization.';
revoke execute on function app.list_calendar_feeds() from public;
grant execute on function app.list_calendar_feeds() to callboard_api;

create or replace function app.create_calendar_feed(feed_name text, hash bytea) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  f app.calendar_feeds;
begin
  if app.current_org() is null then
    perform app.refuse(401, 'session_unknown');
  elsif app.org_if('itineraries.read') is null then
    perform app.require('shows.read');
  end if;
  -- A superadmin is no member, and a feed is one's own.
  if not exists (select from app.memberships m where m.organization_id = app.current_org() and m.user_id = app.current_user_id() and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Feeds are for members.');
  end if;
  insert into app.calendar_feeds as x (name, secret_hash) values (feed_name, hash) returning x.* into f;
  -- made_with tells the server whether the secret that it has made is the one that counts, or the request was repeated.
  return (201, json_build_object('id', f.id, 'name', f.name, 'created_at', f.created_at, 'made_with', encode(sha256(f.secret_hash), 'hex')),
    null, '/api/calendar-feeds/' || f.id)::app.answer;
end
$$;
comment on function app.create_calendar_feed(text, bytea) is
  'A feed of the member''s own calendar, for whoever has the secret of which this is the SHA-256. PT403 for who sees no calendar.';
alter function app.create_calendar_feed(text, bytea) owner to callboard_definer;
revoke execute on function app.create_calendar_feed(text, bytea) from public;
grant execute on function app.create_calendar_feed(text, bytea) to callboard_api;

create or replace function app.revoke_calendar_feed(feed uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  update app.calendar_feeds f set revoked_at = statement_timestamp()
  where f.organization_id = app.current_org() and f.user_id = app.current_user_id() and f.id = feed and f.revoked_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.revoke_calendar_feed(uuid) is 'Ends one of one''s own feeds, for good. PT404.';
alter function app.revoke_calendar_feed(uuid) owner to callboard_definer;
revoke execute on function app.revoke_calendar_feed(uuid) from public;
grant execute on function app.revoke_calendar_feed(uuid) to callboard_api;

-- The second door besides app.enter, and a narrower one.
create or replace function app.enter_calendar_feed(secret text) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  f record;
begin
  -- PostgreSQL lets no transaction out of being read-only, so whatever runs in this one changes nothing.
  if not current_setting('transaction_read_only')::boolean then
    raise exception 'a calendar feed is read in a transaction that can only read';
  end if;
  select x.id, x.user_id, x.organization_id, m.role into f
  from app.calendar_feeds x
  join app.memberships m on m.organization_id = x.organization_id and m.user_id = x.user_id and m.deleted_at is null
  join app.organizations o on o.id = x.organization_id and o.deleted_at is null
  where x.secret_hash = app_private.digest(secret) and x.revoked_at is null;
  if f.id is null then
    perform app.refuse(404, 'not_found', 'There is no such calendar, or not any more.');
  end if;
  perform app_private.set_context(f.user_id, f.id, f.organization_id, f.role, array(
    select p from unnest(app_private.effective_permissions(f.organization_id, f.user_id, f.role)) p
    where p in ('organization.read', 'shows.read', 'itineraries.read', 'itineraries.write')));
end
$$;
comment on function app.enter_calendar_feed(text) is
  'Opens this transaction, which must be read-only, for the member who made the feed with this secret, with no permission but those that decide about the calendar and its name. PT404 if the feed, the membership or the organization is gone.';
alter function app.enter_calendar_feed(text) owner to callboard_definer;
revoke execute on function app.enter_calendar_feed(text) from public;
grant execute on function app.enter_calendar_feed(text) to callboard_api;

create or replace function app.read_calendar_feed(secret text) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  most constant integer := 5000;
  today date := (now() at time zone 'UTC')::date;
  organization uuid;
  body json;
begin
  perform app.enter_calendar_feed(secret);
  organization := coalesce(app.org_if('itineraries.read'), app.require('shows.read'));
  select json_build_object(
    'name', (select o.name from app.organizations o where o.id = organization),
    'entries', coalesce(json_agg(json_build_object(
      'kind', c.kind, 'id', c.id, 'title', c.title, 'location', c.location, 'detail', c.detail, 'status', c.status,
      'first_on', c.first_on, 'last_on', c.last_on, 'local_start', c.local_start, 'local_end', c.local_end,
      'start_zone', c.start_zone, 'end_zone', c.end_zone, 'starts_at', c.starts_at, 'ends_at', c.ends_at,
      'version', c.version, 'updated_at', c.updated_at)
      order by c.first_on, c.starts_at nulls first, c.id), '[]')) into body
  from (
    select * from app.calendar_entries x
    where x.organization_id = organization and x.first_on <= today + 400 and x.last_on >= today - 100
    order by x.first_on, x.id
    limit most) c;
  -- Whose it is goes along for the API, which counts what it serves.
  return (200, json_build_object('organization_id', organization, 'calendar', body),
    '"' || ('x' || left(md5(body::text), 15))::bit(60)::bigint || '"', null)::app.answer;
end
$$;
comment on function app.read_calendar_feed(text) is
  'The calendar of the member who made the feed with this secret, from 100 days ago to 400 days from now and at most 5000 entries, the organization whose it is, and an ETag of its content. PT404, PT403 if the member sees no calendar any more.';
revoke execute on function app.read_calendar_feed(text) from public;
grant execute on function app.read_calendar_feed(text) to callboard_api;
--! EndIncluded calendar_feeds.sql
--! Included bi_credentials.sql
-- BI tools connect to PostgreSQL itself, each with a login of its own that belongs to one organization:
-- what it sees follows from who has logged in (session_user), never from a setting. The credential is
-- what members see of it; making and dropping the role itself is in bi_commands.sql and db/database.sql.
-- A credential is never deleted, so that the list says who once could read what.

create table if not exists app.bi_credentials (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text not null constraint bi_credentials_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  login text not null,
  connection_limit integer not null constraint bi_credentials_connection_limit_range check (connection_limit between 1 and 10),
  statement_timeout_seconds integer not null constraint bi_credentials_statement_timeout_range check (statement_timeout_seconds between 1 and 3600),
  expires_at timestamptz not null,
  -- NULL for a DBA.
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  rotated_at timestamptz,
  revoked_by uuid references app.users (id),
  revoked_at timestamptz,
  primary key (organization_id, id),
  constraint bi_credentials_expiry_range check (expires_at - coalesce(rotated_at, created_at) between interval '0' and interval '731 days')
);
alter table app.bi_credentials alter column name set statistics 0, alter column login set statistics 0,
  alter column connection_limit set statistics 0, alter column statement_timeout_seconds set statistics 0;

alter table app.bi_credentials enable row level security;
alter table app.bi_credentials force row level security;
drop policy if exists select_member on app.bi_credentials;
create policy select_member on app.bi_credentials for select to callboard_api
  using (organization_id = (select app.org_if('bi.manage')));
-- Without grants: the functions of bi_commands.sql write, and these say which permission they need.
drop policy if exists insert_member on app.bi_credentials;
create policy insert_member on app.bi_credentials for insert to callboard_api
  with check (organization_id = (select app.org_if('bi.manage')));
drop policy if exists update_member on app.bi_credentials;
create policy update_member on app.bi_credentials for update to callboard_api
  using (organization_id = (select app.org_if('bi.manage')));
drop policy if exists select_definer on app.bi_credentials;
create policy select_definer on app.bi_credentials for select to callboard_definer using (true);
drop policy if exists insert_definer on app.bi_credentials;
create policy insert_definer on app.bi_credentials for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.bi_credentials;
create policy update_definer on app.bi_credentials for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.bi_credentials to callboard_api, callboard_definer;
grant insert (id, name, login, connection_limit, statement_timeout_seconds, expires_at),
  update (expires_at, rotated_at, revoked_at, revoked_by) on app.bi_credentials to callboard_definer;

comment on table app.bi_credentials is 'Logins of BI tools to the database: each reads what `analytics` has of its organization until it is revoked or expires.';
comment on column app.bi_credentials.login is 'The role of PostgreSQL; its password is kept nowhere, only its verifier, by PostgreSQL.';
comment on column app.bi_credentials.created_by is 'The member who made it; null for a DBA. It stays when they leave.';

select app_private.log_changes('app.bi_credentials', 'bi', '{"rotated_at": "rotate", "revoked_at": "revoke"}');

-- What is asked before there is an organization: whose a login is. Without foreign keys, because the role
-- outlives a purged organization until it is dropped.
create table if not exists app_private.bi_logins (
  login text primary key,
  organization_id uuid not null,
  credential_id uuid not null,
  must_end boolean not null default false,
  last_seen_at timestamptz
);
alter table app_private.bi_logins enable row level security;
alter table app_private.bi_logins force row level security;
drop policy if exists all_definer on app_private.bi_logins;
create policy all_definer on app_private.bi_logins for all to callboard_definer using (true);
grant select, insert, update, delete on app_private.bi_logins to callboard_definer;
comment on table app_private.bi_logins is 'Whose the roles are that BI tools log in as; a row goes when its role is dropped.';
comment on column app_private.bi_logins.must_end is 'It has got a new password: the connections that were made with the old one are yet to be ended.';
comment on column app_private.bi_logins.last_seen_at is 'When it was connected, to within five minutes.';

create or replace view app_private.bi_states with (security_invoker = true) as
  select l.organization_id, l.credential_id, l.login, l.must_end, l.last_seen_at, c.statement_timeout_seconds,
    c.id is null or c.revoked_at is not null as is_gone,
    c.revoked_at is null and c.expires_at <= statement_timestamp() as has_expired,
    coalesce(c.revoked_at is null and c.expires_at > statement_timestamp() and o.deleted_at is null, false) as is_live
  from app_private.bi_logins l
  left join app.bi_credentials c on c.organization_id = l.organization_id and c.id = l.credential_id
  left join app.organizations o on o.id = l.organization_id;
comment on view app_private.bi_states is 'What is to become of each login of a BI tool.';
grant select on app_private.bi_states to callboard_definer;

create or replace function app.bi_last_seen(credential uuid) returns timestamptz
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (select max(l.last_seen_at) from app_private.bi_logins l
    where l.organization_id = app.org_if('bi.manage') and l.credential_id = credential);
end
$$;
comment on function app.bi_last_seen(uuid) is 'When the login of a credential of the organization was last connected, for who holds bi.manage; to within five minutes.';
alter function app.bi_last_seen(uuid) owner to callboard_definer;
revoke execute on function app.bi_last_seen(uuid) from public;
grant execute on function app.bi_last_seen(uuid) to callboard_api, callboard_definer;

create or replace view app.bi_credential_list with (security_invoker = true) as
  select c.organization_id, c.id, c.created_at,
    json_build_object('id', c.id, 'name', c.name, 'login', c.login,
      'status', case when c.revoked_at is not null then 'revoked' when c.expires_at <= statement_timestamp() then 'expired' else 'active' end,
      'connection_limit', c.connection_limit, 'statement_timeout_seconds', c.statement_timeout_seconds,
      'created_by', c.created_by, 'created_at', c.created_at, 'expires_at', c.expires_at, 'rotated_at', c.rotated_at,
      'last_seen_at', app.bi_last_seen(c.id), 'revoked_by', c.revoked_by, 'revoked_at', c.revoked_at) as body
  from app.bi_credentials c;
comment on view app.bi_credential_list is 'The organization''s BI credentials, those that have ended too, with their JSON.';
grant select on app.bi_credential_list to callboard_api, callboard_definer;

create or replace function app.read_bi_credential(credential uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := app.require('bi.manage');
  answer app.answer;
begin
  select 200, c.body into answer.status, answer.body
  from app.bi_credential_list c where c.organization_id = organization and c.id = credential;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_bi_credential(uuid) is 'A BI credential, whatever has become of it. PT403 without bi.manage, PT404.';
revoke execute on function app.read_bi_credential(uuid) from public;
grant execute on function app.read_bi_credential(uuid) to callboard_api;
--! EndIncluded bi_credentials.sql
--! Included bi_commands.sql
-- What can be done with BI credentials; the tables are in bi_credentials.sql, and the functions that make
-- and drop roles in db/database.sql. A password is made by whoever calls, and never comes here: only its
-- SCRAM-SHA-256 verifier, from which nobody can log in.

create or replace function app_private.make_room_for_bi(besides uuid default null) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  most constant integer := 10;
begin
  -- Two at the same moment count one after the other.
  perform from app.organizations o where o.id = app.current_org() for no key update;
  if (select count(*) from app.bi_credentials c
      where c.organization_id = app.current_org() and c.revoked_at is null and c.expires_at > now() and c.id is distinct from besides) >= most then
    perform app.refuse(409, 'bi_credential_limit', format('There are %s BI credentials already: revoke one first.', most));
  end if;
end
$$;
comment on function app_private.make_room_for_bi(uuid) is 'PT409 bi_credential_limit if the organization has as many live credentials, besides this one, as it may.';
alter function app_private.make_room_for_bi(uuid) owner to callboard_definer;
revoke execute on function app_private.make_room_for_bi(uuid) from public;

create or replace function app_private.add_bi_credential(body jsonb, verifier text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  credential uuid := app.uuid_v7();
  connections integer := coalesce((body ->> 'connection_limit')::integer, 5);
  seconds integer := coalesce((body ->> 'statement_timeout_seconds')::integer, 300);
  until timestamptz := now() + make_interval(days => coalesce((body ->> 'expires_in_days')::integer, 90));
  role_name text;
begin
  perform app_private.make_room_for_bi();
  role_name := app_private.make_bi_role(credential, verifier, connections, seconds, until);
  insert into app.bi_credentials (id, name, login, connection_limit, statement_timeout_seconds, expires_at)
  values (credential, body ->> 'name', role_name, connections, seconds, until);
  insert into app_private.bi_logins (login, organization_id, credential_id) values (role_name, app.current_org(), credential);
  return credential;
end
$$;
comment on function app_private.add_bi_credential(jsonb, text) is
  'A credential of the organization of this transaction with its role: name, expires_in_days (90), connection_limit (5), statement_timeout_seconds (300). PT409 bi_credential_limit.';
alter function app_private.add_bi_credential(jsonb, text) owner to callboard_definer;
revoke execute on function app_private.add_bi_credential(jsonb, text) from public;

create or replace function app_private.renew_bi_credential(credential uuid, body jsonb, verifier text) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app.bi_credentials;
  until timestamptz := now() + make_interval(days => coalesce((body ->> 'expires_in_days')::integer, 90));
begin
  -- The worker's hands off the role until this is done.
  perform from app_private.bi_logins l where l.organization_id = app.current_org() and l.credential_id = credential for update;
  select * into c from app.bi_credentials x where x.organization_id = app.current_org() and x.id = credential for no key update;
  if c.id is null then
    perform app.refuse(404, 'not_found');
  elsif c.revoked_at is not null then
    perform app.refuse(409, 'bi_credential_revoked');
  end if;
  perform app_private.make_room_for_bi(credential);
  perform app_private.make_bi_role(credential, verifier, c.connection_limit, c.statement_timeout_seconds, until);
  update app.bi_credentials x set rotated_at = now(), expires_at = until
  where x.organization_id = c.organization_id and x.id = credential;
  update app_private.bi_logins l set must_end = true where l.login = c.login;
end
$$;
comment on function app_private.renew_bi_credential(uuid, jsonb, text) is
  'Gives a credential of the organization of this transaction another password and another end; makes its role again if that is gone, as after a restore. PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app_private.renew_bi_credential(uuid, jsonb, text) owner to callboard_definer;
revoke execute on function app_private.renew_bi_credential(uuid, jsonb, text) from public;

create or replace function app_private.end_bi_credential(credential uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app.bi_credentials;
begin
  -- The worker's hands off the role until this is done.
  perform from app_private.bi_logins l where l.organization_id = app.current_org() and l.credential_id = credential for update;
  select * into c from app.bi_credentials x where x.organization_id = app.current_org() and x.id = credential for no key update;
  if c.id is null then
    perform app.refuse(404, 'not_found');
  elsif c.revoked_at is not null then
    perform app.refuse(409, 'bi_credential_revoked');
  end if;
  update app.bi_credentials x set revoked_at = now(), revoked_by = app.current_user_id()
  where x.organization_id = c.organization_id and x.id = credential;
  perform app_private.let_bi_role(credential, false);
end
$$;
comment on function app_private.end_bi_credential(uuid) is 'Revokes a credential of the organization of this transaction. PT404, PT409 bi_credential_revoked.';
alter function app_private.end_bi_credential(uuid) owner to callboard_definer;
revoke execute on function app_private.end_bi_credential(uuid) from public;

create or replace function app_private.bi_answer(status integer, credential uuid, verifier text) returns app.answer
language sql volatile
set search_path = ''
begin atomic
  -- Volatile, so that it sees what the same statement has made. made_with tells the server whether the password that it has made is the one that counts, or the request was repeated.
  select status, (c.body::jsonb || jsonb_build_object('made_with', encode(app_private.digest(verifier), 'hex')))::json,
    null::text, '/api/bi-credentials/' || c.id
  from app.bi_credential_list c where c.organization_id = app.current_org() and c.id = credential;
end;
comment on function app_private.bi_answer(integer, uuid, text) is 'A credential that has just got a password.';
alter function app_private.bi_answer(integer, uuid, text) owner to callboard_definer;
revoke execute on function app_private.bi_answer(integer, uuid, text) from public;

create or replace function app_private.require_member(permission text) returns void
language plpgsql stable parallel restricted
set search_path = ''
as $$
begin
  perform app.require(permission);
  if current_setting('app.role', true) = 'superadmin' then
    perform app.refuse(403, 'permission_denied', 'A login would outlive the grant of a superadmin: it is for members to make.');
  end if;
end
$$;
comment on function app_private.require_member(text) is 'As app.require, and PT403 permission_denied for a superadmin whatever their grant.';
alter function app_private.require_member(text) owner to callboard_definer;
revoke execute on function app_private.require_member(text) from public;

create or replace function app.create_bi_credential(body jsonb, verifier text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.require_member('bi.manage');
  return app_private.bi_answer(201, app_private.add_bi_credential(body, verifier), verifier);
end
$$;
comment on function app.create_bi_credential(jsonb, text) is
  'A new login for a BI tool, whose password has this SCRAM-SHA-256 verifier. PT403 without bi.manage, PT409 bi_credential_limit.';
alter function app.create_bi_credential(jsonb, text) owner to callboard_definer;
revoke execute on function app.create_bi_credential(jsonb, text) from public;
grant execute on function app.create_bi_credential(jsonb, text) to callboard_api;

create or replace function app.rotate_bi_credential(credential uuid, body jsonb, verifier text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.require_member('bi.manage');
  perform app_private.renew_bi_credential(credential, body, verifier);
  return app_private.bi_answer(200, credential, verifier);
end
$$;
comment on function app.rotate_bi_credential(uuid, jsonb, text) is
  'Another password, and another end (expires_in_days). Then app.end_bi_connections ends what the old one has opened. PT403, PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app.rotate_bi_credential(uuid, jsonb, text) owner to callboard_definer;
revoke execute on function app.rotate_bi_credential(uuid, jsonb, text) from public;
grant execute on function app.rotate_bi_credential(uuid, jsonb, text) to callboard_api;

create or replace function app.revoke_bi_credential(credential uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('bi.manage');
  perform app_private.end_bi_credential(credential);
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.revoke_bi_credential(uuid) is
  'Ends a credential for good: it sees nothing from the next statement on. Then app.end_bi_connections ends what it has open. PT403, PT404, PT409 bi_credential_revoked.';
alter function app.revoke_bi_credential(uuid) owner to callboard_definer;
revoke execute on function app.revoke_bi_credential(uuid) from public;
grant execute on function app.revoke_bi_credential(uuid) to callboard_api;

-- In a transaction of its own, after the one that ended them has committed: before, a tool that connects
-- again at once would get in once more. It ends only what has no right to be there, so anybody may call it.
create or replace function app.end_bi_connections() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  login record;
  ended bigint := 0;
begin
  for login in select * from app_private.bi_states s where s.must_end or not s.is_live loop
    ended := ended + app_private.end_bi_sessions(login.credential_id);
    update app_private.bi_logins l set must_end = false where l.login = login.login and l.must_end;
  end loop;
  return ended;
end
$$;
comment on function app.end_bi_connections() is
  'Ends the connections of BI logins that are revoked or have expired, whose organization is deleted, or that were made with an earlier password. Returns how many.';
alter function app.end_bi_connections() owner to callboard_definer;
revoke execute on function app.end_bi_connections() from public;
grant execute on function app.end_bi_connections() to callboard_api, callboard_worker;
--! EndIncluded bi_commands.sql
--! Included bi_keeping.sql
-- What is done about BI logins without being asked: roles follow what has become of their credentials, and
-- nobody holds up others with a transaction without end, which every login could ask for.

create or replace function app_private.keep_bi_login(s app_private.bi_states, can_log_in boolean, is_connected boolean) returns bigint
language plpgsql volatile
set search_path = ''
as $$
begin
  if s.is_gone and not is_connected then
    perform app_private.drop_bi_role(s.credential_id);
    delete from app_private.bi_logins l where l.login = s.login;
    return 1;
  elsif can_log_in is distinct from s.is_live and can_log_in is not null then
    perform app_private.let_bi_role(s.credential_id, s.is_live);
    if s.has_expired then
      perform app_private.log_event(s.organization_id, 'bi.expire', 'bi', s.credential_id);
    end if;
    return 1;
  end if;
  return 0;
exception when dependent_objects_still_exist then
  -- A DBA has granted it something. It cannot log in, and is dropped when that is gone.
  return 0;
end
$$;
comment on function app_private.keep_bi_login(app_private.bi_states, boolean, boolean) is
  'Lets a role log in or not, or drops it, as its credential says. Returns 1 if that was something to do.';
alter function app_private.keep_bi_login(app_private.bi_states, boolean, boolean) owner to callboard_definer;
revoke execute on function app_private.keep_bi_login(app_private.bi_states, boolean, boolean) from public;

create or replace function app.keep_bi_logins() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  found_one record;
  done bigint;
begin
  -- One worker at a time, and most of the time there is nothing to do.
  perform from app_private.bi_logins l for update skip locked;
  if not found then
    return 0;
  end if;
  done := app.end_bi_connections();
  for found_one in
    select s, r.rolcanlogin, a.backends > 0 as is_connected, a.late
    from app_private.bi_states s
    left join pg_catalog.pg_roles r on r.rolname = s.login,
      lateral (
        select count(*) as backends,
          -- Twice what a statement may take: it can change its own timeouts, and old transactions keep VACUUM waiting.
          array_agg(x.pid) filter (where x.xact_start < clock_timestamp() - make_interval(secs => 2 * s.statement_timeout_seconds)) as late
        from pg_catalog.pg_stat_activity x where x.usename = s.login and x.datname = current_database()) a
  loop
    done := done + app_private.keep_bi_login(found_one.s, found_one.rolcanlogin, found_one.is_connected);
    if found_one.is_connected then
      done := done + coalesce((select sum(app_private.end_bi_sessions((found_one.s).credential_id, p)) from unnest(found_one.late) p), 0);
      update app_private.bi_logins l set last_seen_at = now()
      where l.login = (found_one.s).login and coalesce(l.last_seen_at < now() - interval '5 minutes', true);
    end if;
  end loop;
  return done;
end
$$;
comment on function app.keep_bi_logins() is
  'Ends connections as app.end_bi_connections does, and transactions that last twice as long as a statement may; lets roles log in or not as their credentials say, drops those that are revoked, and notes who was connected. Every few seconds. Returns how much there was to do.';
alter function app.keep_bi_logins() owner to callboard_definer;
revoke execute on function app.keep_bi_logins() from public;
grant execute on function app.keep_bi_logins() to callboard_worker;

-- The same as in bi_commands.sql for a DBA (npm run bi), in the context of the organization and without it afterwards.
create or replace function app_private.create_bi_credential(of_slug text, body jsonb, verifier text) returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := app_private.slug_organization(of_slug);
  credential uuid;
begin
  if organization is null then
    perform app.refuse(404, 'not_found', format('There is no organization %s.', of_slug));
  end if;
  perform app_private.set_context(null, null, organization);
  credential := app_private.add_bi_credential(body, verifier);
  perform app_private.set_context(null, null);
  return credential;
end
$$;
comment on function app_private.create_bi_credential(text, jsonb, text) is 'A new login for a BI tool of an organization (by slug). Returns the credential''s id. PT404, PT409 bi_credential_limit.';
alter function app_private.create_bi_credential(text, jsonb, text) owner to callboard_definer;
revoke execute on function app_private.create_bi_credential(text, jsonb, text) from public;

create or replace function app_private.rotate_bi_credential(credential uuid, body jsonb, verifier text) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.set_context(null, null, (select c.organization_id from app.bi_credentials c where c.id = credential));
  perform app_private.renew_bi_credential(credential, body, verifier);
  perform app_private.set_context(null, null);
end
$$;
comment on function app_private.rotate_bi_credential(uuid, jsonb, text) is 'Another password and another end for a BI credential, whoever has made it. PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app_private.rotate_bi_credential(uuid, jsonb, text) owner to callboard_definer;
revoke execute on function app_private.rotate_bi_credential(uuid, jsonb, text) from public;

create or replace function app_private.revoke_bi_credential(credential uuid) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.set_context(null, null, (select c.organization_id from app.bi_credentials c where c.id = credential));
  perform app_private.end_bi_credential(credential);
  perform app_private.set_context(null, null);
end
$$;
comment on function app_private.revoke_bi_credential(uuid) is 'Ends a BI credential, whoever has made it. PT404, PT409 bi_credential_revoked.';
alter function app_private.revoke_bi_credential(uuid) owner to callboard_definer;
revoke execute on function app_private.revoke_bi_credential(uuid) from public;
--! EndIncluded bi_keeping.sql
--! Included client_events.sql
-- What people do in a program that uses the API: pages they look at and things they click, as the
-- program tells (POST /api/events). What they change is in the event log, and not here a second time.
--
-- One table instead of one a month: it keeps 90 days, and an id that a program sends again is found
-- wherever it is.

create table if not exists app.client_events (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  user_id uuid not null references app.users (id) on delete cascade,
  -- Made by the program. In the key behind its member, so that it tells nobody else what exists.
  id uuid not null,
  kind text not null constraint client_events_kind_known check (kind in ('page_view', 'action')),
  name text not null constraint client_events_name_format check (name ~ '^[a-z0-9_]+([./-][a-z0-9_]+)*$' and length(name) <= 100),
  occurred_at timestamptz not null,
  received_at timestamptz not null default now(),
  properties jsonb not null default '{}',
  primary key (organization_id, user_id, id),
  constraint client_events_properties_flat check (
    jsonb_typeof(properties) = 'object' and not properties @? 'strict $.* ? (@.type() == "object" || @.type() == "array")'
    and length(properties::text) <= 10000)
);
create index if not exists client_events_organization_id_received_at_idx on app.client_events (organization_id, received_at);
alter table app.client_events alter column kind set statistics 0, alter column name set statistics 0, alter column properties set statistics 0;

alter table app.client_events enable row level security;
alter table app.client_events force row level security;

-- Nobody reads single ones: analytics has their numbers.
drop policy if exists select_rollup on app.client_events;
create policy select_rollup on app.client_events for select to callboard_rollup using (true);
drop policy if exists insert_definer on app.client_events;
create policy insert_definer on app.client_events for insert to callboard_definer
  with check (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
-- It says how fresh the numbers are, and purges, which has no context and takes only what is old.
drop policy if exists select_definer on app.client_events;
create policy select_definer on app.client_events for select to callboard_definer using (true);
drop policy if exists purge_definer on app.client_events;
create policy purge_definer on app.client_events for delete to callboard_definer
  using ((select app.current_org()) is null and received_at < now() - interval '90 days');

grant select on app.client_events to callboard_rollup;
grant select (organization_id, received_at), insert (organization_id, user_id, id, kind, name, occurred_at, properties), delete
  on app.client_events to callboard_definer;

comment on table app.client_events is 'Page views and actions that programs tell of their users.';
comment on column app.client_events.name is 'Of the page or action, such as shows/detail or calendar.print.';
comment on column app.client_events.occurred_at is 'By the program''s clock, but never later than it was received.';

create or replace function app.record_client_events(events jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.current_org();
  me uuid := app.current_user_id();
  -- Given, of these in time, of these new.
  n bigint[];
begin
  if organization is null then
    perform app.refuse(401, 'session_unknown');
  elsif current_setting('app.role') = 'superadmin' then
    perform app.refuse(403, 'permission_denied', 'Client events are of members.');
  elsif jsonb_array_length(events) > 100 then
    perform app.refuse(400, 'invalid_value', 'There are more than 100 events.');
  end if;
  with e as (
    select x.id, x.kind, x.name, coalesce(x.occurred_at, now()) as occurred_at, coalesce(x.properties, '{}') as properties
    from jsonb_to_recordset(events) as x (id uuid, kind text, name text, occurred_at timestamptz, properties jsonb)
  ), t as (
    -- A clock may be a little fast.
    select * from e where e.occurred_at between now() - interval '7 days' and now() + interval '5 minutes'
  ), i as (
    insert into app.client_events (organization_id, user_id, id, kind, name, occurred_at, properties)
    select organization, me, t.id, t.kind, t.name, least(t.occurred_at, now()), t.properties from t
    on conflict do nothing
    returning 1
  )
  select array[(select count(*) from e), (select count(*) from t), (select count(*) from i)] into n;
  return (202, json_build_object('accepted', n[3], 'repeated', n[2] - n[3], 'out_of_time', n[1] - n[2]), null, null)::app.answer;
end
$$;
comment on function app.record_client_events(jsonb) is
  'Keeps up to 100 client events of the member: [{id, kind, name, occurred_at, properties}]. Says how many it has accepted, how many ids the member had sent before, and how many were older than 7 days or more than 5 minutes ahead, which are not kept. PT403 for superadmins.';
alter function app.record_client_events(jsonb) owner to callboard_definer;
revoke execute on function app.record_client_events(jsonb) from public;
grant execute on function app.record_client_events(jsonb) to callboard_api;
--! EndIncluded client_events.sql
--! Included use.sql
-- How much the API is used, and what else an organization has to do with other systems by it: its
-- imports and calendar feeds, for example. Numbers by UTC day and nothing of single calls.
-- The API counts in memory and adds what it has counted every few seconds (src/tally.ts); what is rare
-- is counted in the transaction that does it.
--
-- These are sums already, so analytics reads them as they are: nothing has to be refreshed.

create table if not exists app.api_use (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  day date not null,
  operation text not null constraint api_use_operation_format check (operation ~ '^[A-Za-z][A-Za-z0-9]{0,99}$'),
  calls bigint not null,
  errors bigint not null,
  server_errors bigint not null,
  total_us bigint not null,
  slowest_us bigint not null,
  within_10_ms bigint not null,
  within_100_ms bigint not null,
  within_1_s bigint not null,
  bytes_in bigint not null,
  bytes_out bigint not null,
  primary key (organization_id, day, operation)
);
create table if not exists app.integration_use (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  day date not null,
  kind text not null constraint integration_use_kind_known check (kind in ('import', 'export', 'calendar_feed', 'bi', 'webhook')),
  name text not null constraint integration_use_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]'),
  calls bigint not null,
  errors bigint not null,
  rows bigint not null,
  bytes bigint not null,
  last_at timestamptz not null,
  primary key (organization_id, day, kind, name)
);
alter table app.api_use alter column operation set statistics 0, alter column calls set statistics 0, alter column errors set statistics 0,
  alter column server_errors set statistics 0, alter column total_us set statistics 0, alter column slowest_us set statistics 0,
  alter column within_10_ms set statistics 0, alter column within_100_ms set statistics 0, alter column within_1_s set statistics 0,
  alter column bytes_in set statistics 0, alter column bytes_out set statistics 0;
alter table app.integration_use alter column kind set statistics 0, alter column name set statistics 0, alter column calls set statistics 0,
  alter column errors set statistics 0, alter column rows set statistics 0, alter column bytes set statistics 0;

-- Which batches were added: whoever does not know whether a COMMIT came through sends it again.
create table if not exists app_private.use_batches (
  id uuid primary key,
  added_at timestamptz not null default now()
);

comment on table app.api_use is 'Calls of the API, by UTC day and operation; nobody''s but the organization''s.';
comment on column app.api_use.operation is 'operationId in the OpenAPI document.';
comment on column app.api_use.errors is 'Answers from 400 on, those from 500 on among them.';
comment on column app.api_use.total_us is 'Microseconds from the arrival of a request to the end of its answer, of all calls together.';
comment on column app.api_use.within_10_ms is 'Calls that took no longer than 10 ms.';
comment on column app.api_use.bytes_in is 'Of requests as they came over the wire, with their headers.';
comment on column app.api_use.bytes_out is 'Of answers, with their headers.';
comment on table app.integration_use is 'Integrations, such as imports and calendar feeds, by UTC day.';
comment on column app.integration_use.name is 'Which one: the source of an import, or what is imported; what is exported.';
comment on column app.integration_use.rows is 'Rows that were entered or taken out.';
comment on table app_private.use_batches is 'Batches of counts that were added in the last 7 days.';

do $$
declare
  t regclass;
begin
  foreach t in array array['app.api_use', 'app.integration_use', 'app_private.use_batches']::regclass[] loop
    execute format('alter table %s enable row level security', t);
    execute format('alter table %s force row level security', t);
    -- Whoever counts has no context: calls of many organizations are added at once.
    execute format('drop policy if exists all_definer on %s', t);
    execute format('create policy all_definer on %s for all to callboard_definer using (true)', t);
    execute format('grant select, insert, update, delete on %s to callboard_definer', t);
  end loop;
  foreach t in array array['app.api_use', 'app.integration_use']::regclass[] loop
    execute format('drop policy if exists select_rollup on %s', t);
    execute format('create policy select_rollup on %s for select to callboard_rollup using (true)', t);
    execute format('grant select on %s to callboard_rollup', t);
  end loop;
end
$$;

-- What can be added at a time: a sum then never overflows, whoever adds to it how often.
create or replace function app_private.countable(n numeric) returns bigint
language sql immutable parallel safe
return least(greatest(coalesce(n, 0), 0), 1000000000000)::bigint;
comment on function app_private.countable(numeric) is 'A number as it may be added to a count: from 0 to 10^12.';
alter function app_private.countable(numeric) owner to callboard_definer;
revoke execute on function app_private.countable(numeric) from public;

create or replace function app_private.countable_day(day date) returns date
language sql stable parallel safe
return least(greatest(day, (now() at time zone 'UTC')::date - 7), (now() at time zone 'UTC')::date + 1);
comment on function app_private.countable_day(date) is 'The day nearest to this one that something may be counted on: from 7 days ago to tomorrow.';
alter function app_private.countable_day(date) owner to callboard_definer;
revoke execute on function app_private.countable_day(date) from public;

create or replace function app_private.count_integration(
  organization uuid, of_kind text, of_name text, more_calls bigint default 1, more_errors bigint default 0, more_rows bigint default 0,
  more_bytes bigint default 0, on_day date default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  insert into app.integration_use as u (organization_id, day, kind, name, calls, errors, rows, bytes, last_at)
  values (organization, app_private.countable_day(coalesce(on_day, (now() at time zone 'UTC')::date)), of_kind, of_name,
    app_private.countable(more_calls), app_private.countable(more_errors), app_private.countable(more_rows), app_private.countable(more_bytes), now())
  on conflict (organization_id, day, kind, name) do update
  set calls = u.calls + excluded.calls, errors = u.errors + excluded.errors, rows = u.rows + excluded.rows, bytes = u.bytes + excluded.bytes,
    last_at = greatest(u.last_at, excluded.last_at);
end
$$;
comment on function app_private.count_integration(uuid, text, text, bigint, bigint, bigint, bigint, date) is
  'Counts the use of an integration: its organization, kind (import, export, calendar_feed, bi, webhook) and name; calls, errors, rows and bytes, today if no day is given. For functions that do it in their own transaction.';
alter function app_private.count_integration(uuid, text, text, bigint, bigint, bigint, bigint, date) owner to callboard_definer;
revoke execute on function app_private.count_integration(uuid, text, text, bigint, bigint, bigint, bigint, date) from public;

create or replace function app.add_use(batch uuid, api jsonb, integrations jsonb) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- The same batch again waits here for the end of the first, and then is not added if that was.
  insert into app_private.use_batches (id) values (batch) on conflict do nothing;
  if not found then
    return;
  end if;
  insert into app.api_use as u (organization_id, day, operation, calls, errors, server_errors, total_us, slowest_us, within_10_ms, within_100_ms,
    within_1_s, bytes_in, bytes_out)
  select o.id, app_private.countable_day(c.day), c.operation, app_private.countable(sum(c.calls)), app_private.countable(sum(c.errors)),
    app_private.countable(sum(c.server_errors)), app_private.countable(sum(c.total_us)), app_private.countable(max(c.slowest_us)),
    app_private.countable(sum(c.within_10_ms)), app_private.countable(sum(c.within_100_ms)), app_private.countable(sum(c.within_1_s)),
    app_private.countable(sum(c.bytes_in)), app_private.countable(sum(c.bytes_out))
  from jsonb_to_recordset(api) as c (organization_id uuid, day date, operation text, calls bigint, errors bigint, server_errors bigint, total_us bigint,
    slowest_us bigint, within_10_ms bigint, within_100_ms bigint, within_1_s bigint, bytes_in bigint, bytes_out bigint)
  -- One that has been purged meanwhile has no use for numbers.
  join app.organizations o on o.id = c.organization_id
  group by 1, 2, 3
  -- Two processes that add at the same time do so in the same order.
  order by 1, 2, 3
  on conflict (organization_id, day, operation) do update
  set calls = u.calls + excluded.calls, errors = u.errors + excluded.errors, server_errors = u.server_errors + excluded.server_errors,
    total_us = u.total_us + excluded.total_us, slowest_us = greatest(u.slowest_us, excluded.slowest_us),
    within_10_ms = u.within_10_ms + excluded.within_10_ms, within_100_ms = u.within_100_ms + excluded.within_100_ms,
    within_1_s = u.within_1_s + excluded.within_1_s, bytes_in = u.bytes_in + excluded.bytes_in, bytes_out = u.bytes_out + excluded.bytes_out;
  perform app_private.count_integration(c.organization_id, c.kind, c.name, c.calls, c.errors, c.rows, c.bytes, c.day)
  from (
    select x.* from jsonb_to_recordset(integrations) as x (organization_id uuid, day date, kind text, name text, calls bigint, errors bigint,
      rows bigint, bytes bigint)
    join app.organizations o on o.id = x.organization_id
    order by x.organization_id, x.day, x.kind, x.name) c;
end
$$;
comment on function app.add_use(uuid, jsonb, jsonb) is
  'Adds a batch of counts, of many organizations, unless that batch has been added. It only adds, and says nothing: whoever runs SQL as the API''s login can make the use of any organization look higher, by at most 10^12 a call and on days from 7 ago to tomorrow, and can neither read nor lower anything.';
alter function app.add_use(uuid, jsonb, jsonb) owner to callboard_definer;
revoke execute on function app.add_use(uuid, jsonb, jsonb) from public;
grant execute on function app.add_use(uuid, jsonb, jsonb) to callboard_api;
--! EndIncluded use.sql
--! Included exports.sql
-- Exports: files of what a member may see. The small ones are streamed as answers and are nothing
-- but events; the large ones are rows here, made by the worker as that member: see export_running.sql.
-- An export is its maker's own, because another member may not see all that is in the file.

create or replace function app_private.export_sees(resource text) returns text[]
language sql immutable parallel safe
set search_path = ''
return case resource
  when 'shows' then '{shows.read,shows.delete}'
  when 'venues' then '{shows.read,shows.delete}'
  when 'finance_records' then '{finance.read,finance.delete,shows.read}'
  when 'events' then '{audit.read,members.read}'
end::text[];
comment on function app_private.export_sees(text) is
  'Which permissions an export of something makes use of, if they are held; the first of them it needs, and exports.run. NULL for what cannot be exported.';
alter function app_private.export_sees(text) owner to callboard_definer;
revoke execute on function app_private.export_sees(text) from public;

create table if not exists app.exports (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  resource text not null constraint exports_resource_known check (resource in ('shows', 'venues', 'finance_records', 'events')),
  format text not null constraint exports_format_known check (format in ('csv', 'ndjson', 'json')),
  bom boolean not null default false,
  filters jsonb not null default '{}' constraint exports_filters_size check (length(filters::text) <= 4000),
  status text not null default 'queued' constraint exports_status_known check (
    status in ('queued', 'running', 'ready', 'failed', 'cancelled', 'expired')),
  -- Each try writes a file of its own, so that of two workers only one can make it ready.
  attempt uuid,
  bytes bigint,
  sha256 text constraint exports_sha256_format check (sha256 ~ '^[0-9a-f]{64}$'),
  failure text,
  session_id uuid not null default app.current_session_id(),
  created_by uuid not null default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  expires_at timestamptz,
  primary key (organization_id, id),
  constraint exports_ready_with_file check (status <> 'ready' or (attempt is not null and bytes is not null and sha256 is not null and expires_at is not null))
);
create index if not exists exports_created_by_idx on app.exports (organization_id, created_by, created_at, id);
alter table app.exports alter column resource set statistics 0, alter column format set statistics 0, alter column filters set statistics 0,
  alter column bytes set statistics 0, alter column sha256 set statistics 0, alter column failure set statistics 0;

-- Apart, because it moves all the time and is no event.
create table if not exists app.export_progress (
  organization_id uuid not null,
  export_id uuid not null,
  created_by uuid not null default app.current_user_id() references app.users (id),
  rows_done bigint not null default 0,
  primary key (organization_id, export_id),
  constraint export_progress_export_exists foreign key (organization_id, export_id) references app.exports (organization_id, id) on delete cascade
);
alter table app.export_progress alter column rows_done set statistics 0;

comment on table app.exports is 'Files that members have had made of what they may see, and what became of them.';
comment on column app.exports.filters is 'As in the list, with its sort.';
comment on column app.exports.attempt is 'The last part of the name of its file, after the organization and the export.';
comment on column app.exports.expires_at is 'When the file goes.';
comment on table app.export_progress is 'How many rows of an export are written.';

do $$
declare
  t regclass;
begin
  foreach t in array array['app.exports', 'app.export_progress']::regclass[] loop
    execute format('alter table %s enable row level security', t);
    execute format('alter table %s force row level security', t);
    -- Also for the worker, who finds out by this whose export it is about to make.
    execute format('drop policy if exists select_definer on %s', t);
    execute format('create policy select_definer on %s for select to callboard_definer using (true)', t);
    execute format('drop policy if exists insert_definer on %s', t);
    execute format('create policy insert_definer on %s for insert to callboard_definer with check (organization_id = (select app.current_org()))', t);
    execute format('drop policy if exists update_definer on %s', t);
    execute format('create policy update_definer on %s for update to callboard_definer using (organization_id = (select app.current_org()))', t);
  end loop;
end
$$;
drop policy if exists select_member on app.exports;
create policy select_member on app.exports for select to callboard_api
  using (organization_id = (select app.org_if('exports.run')) and created_by = (select app.current_user_id()));
drop policy if exists select_member on app.export_progress;
create policy select_member on app.export_progress for select to callboard_api
  using (organization_id = (select app.org_if('exports.run')) and created_by = (select app.current_user_id()));
-- Without grants, because these go through functions.
drop policy if exists insert_member on app.exports;
create policy insert_member on app.exports for insert to callboard_api with check (organization_id = (select app.org_if('exports.run')));
drop policy if exists update_member on app.exports;
create policy update_member on app.exports for update to callboard_api using (organization_id = (select app.org_if('exports.run')));
drop policy if exists purge_definer on app.exports;
create policy purge_definer on app.exports for delete to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '30 days');

grant select (organization_id, id, resource, format, bom, filters, status, bytes, sha256, failure, created_by, created_at, finished_at, expires_at)
  on app.exports to callboard_api;
grant select on app.export_progress to callboard_api;
grant select, insert (resource, format, bom, filters), update (status, attempt, bytes, sha256, failure, finished_at, expires_at), delete
  on app.exports to callboard_definer;
grant select, insert, update (rows_done) on app.export_progress to callboard_definer;

select app_private.log_changes('app.exports', 'export', '{"status": "change_status"}');

create or replace function app.require_export(of_resource text) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('exports.run');
  return app.require((app_private.export_sees(of_resource))[1]);
end
$$;
comment on function app.require_export(text) is
  'The organization of this transaction, if its member may export this. PT403 without exports.run or the permission to read it.';
alter function app.require_export(text) owner to callboard_definer;
revoke execute on function app.require_export(text) from public;
grant execute on function app.require_export(text) to callboard_api;

create or replace function app.log_export(stream uuid, of_resource text, details jsonb, is_done boolean default false) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- Its end is told also by a member who may not begin any more.
  if not is_done then
    perform app.require_export(of_resource);
  end if;
  if app.current_org() is null or app.current_user_id() is null then
    perform app.refuse(403, 'permission_denied');
  elsif length(details::text) > 4000 then
    perform app.refuse(400, 'invalid_value', 'These filters are too long.');
  end if;
  perform app_private.log_event(app.current_org(), case when is_done then 'export.stream_end' else 'export.stream' end, 'export', stream,
    jsonb_build_object('new', jsonb_build_object('resource', of_resource) || jsonb_strip_nulls(details)));
  if is_done then
    perform app_private.count_integration(app.current_org(), 'export', of_resource,
      more_errors => (not coalesce((details ->> 'is_whole')::boolean, false))::integer, more_rows => coalesce((details ->> 'rows')::bigint, 0));
  end if;
end
$$;
comment on function app.log_export(uuid, text, jsonb, boolean) is
  'Logs that an export is streamed (export.stream, with format and filters), or has ended (export.stream_end, with its rows and whether it is complete). PT403 for who may not export this.';
alter function app.log_export(uuid, text, jsonb, boolean) owner to callboard_definer;
revoke execute on function app.log_export(uuid, text, jsonb, boolean) from public;
grant execute on function app.log_export(uuid, text, jsonb, boolean) to callboard_api;
--! EndIncluded exports.sql
--! Included export_running.sql
-- What the worker does with an export (src/exports/job.ts): it reads, as the member whose it is and
-- under the same policies as a request of theirs, and writes what it has read into a file.
--
-- callboard_exporter is the role that it reads as. It is named in the SELECT policies of what can be
-- exported, beside callboard_api, and can nothing else. The worker may become it, and without
-- app.enter_export, which makes the context of a running export, sees nothing as that either.

create or replace function app_private.export_permissions(e app.exports) returns text[]
language sql stable
set search_path = ''
begin atomic
  select coalesce(array_agg(p.held order by p.held), '{}')
  from unnest(app.permissions_of(e.organization_id, e.created_by)) p (held)
  where p.held = any (array['exports.run'] || app_private.export_sees(e.resource))
    -- permissions_of also counts for who may restore what was deleted.
    and exists (select from app.organizations o where o.id = e.organization_id and o.deleted_at is null);
end;
comment on function app_private.export_permissions(app.exports) is 'What the member whose export it is holds at this moment of what it makes use of.';
alter function app_private.export_permissions(app.exports) owner to callboard_definer;
revoke execute on function app_private.export_permissions(app.exports) from public;

create or replace function app_private.may_export(e app.exports) returns boolean
language sql stable
set search_path = ''
return (
  select p.held @> array['exports.run', (app_private.export_sees(e.resource))[1]]
    -- What is in the bin is for those who may bring it back.
    and (e.filters ->> 'deleted' is distinct from 'only' or p.held && array['shows.delete', 'finance.delete'])
  from (select app_private.export_permissions(e)) p (held));
comment on function app_private.may_export(app.exports) is 'Whether the member whose export it is may still have it.';
alter function app_private.may_export(app.exports) owner to callboard_definer;
revoke execute on function app_private.may_export(app.exports) from public;

create or replace function app_private.lock_export(organization uuid, export uuid, of_attempt uuid default null) returns app.exports
language plpgsql volatile
set search_path = ''
as $$
declare
  e app.exports;
begin
  select * into e from app.exports x where x.organization_id = organization and x.id = export;
  if not found then
    return null;
  end if;
  perform app_private.set_context(e.created_by, e.session_id, organization);
  select * into e from app.exports x where x.organization_id = organization and x.id = export for update;
  if of_attempt is not null and (e.status <> 'running' or e.attempt is distinct from of_attempt) then
    return null;
  end if;
  return e;
end
$$;
comment on function app_private.lock_export(uuid, uuid, uuid) is
  'Locks an export, in the name of its member; null if there is none, or with an attempt if that is not the one under way.';
alter function app_private.lock_export(uuid, uuid, uuid) owner to callboard_definer;
revoke execute on function app_private.lock_export(uuid, uuid, uuid) from public;

create or replace function app_private.end_export(e app.exports, because text) returns void
language sql volatile
set search_path = ''
begin atomic
  update app.exports x set status = 'failed', failure = because, finished_at = statement_timestamp()
  where x.organization_id = e.organization_id and x.id = e.id;
  select app_private.count_integration(e.organization_id, 'export', e.resource, more_errors => 1);
end;
comment on function app_private.end_export(app.exports, text) is 'An export has failed because of something.';
alter function app_private.end_export(app.exports, text) owner to callboard_definer;
revoke execute on function app_private.end_export(app.exports, text) from public;

create or replace function app.begin_export(organization uuid, export uuid) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports := app_private.lock_export(organization, export);
begin
  if e.id is null or e.status not in ('queued', 'running') then
    return null;
  elsif not app_private.may_export(e) then
    perform app_private.end_export(e, 'Who wanted it may not do it any more.');
    return null;
  end if;
  update app.export_progress p set rows_done = 0 where p.organization_id = organization and p.export_id = export;
  update app.exports x set status = 'running', attempt = gen_random_uuid() where x.organization_id = organization and x.id = export returning * into e;
  return jsonb_build_object('resource', e.resource, 'format', e.format, 'bom', e.bom, 'filters', e.filters, 'attempt', e.attempt,
    'key', concat_ws('/', e.organization_id, e.id, e.attempt));
end
$$;
comment on function app.begin_export(uuid, uuid) is
  'Begins to make an export, also again, and then anew: what of, and the name of the file. NULL if there is nothing to do (any more).';
alter function app.begin_export(uuid, uuid) owner to callboard_definer;
revoke execute on function app.begin_export(uuid, uuid) from public;
grant execute on function app.begin_export(uuid, uuid) to callboard_worker;

create or replace function app.enter_export(organization uuid, export uuid, of_attempt uuid) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports;
begin
  -- PostgreSQL lets no transaction out of being read-only, so whatever runs in this one changes nothing.
  if not current_setting('transaction_read_only')::boolean then
    raise exception 'an export is read in a transaction that can only read';
  end if;
  select * into e from app.exports x where x.organization_id = organization and x.id = export and x.attempt = of_attempt and x.status = 'running';
  if not found or not app_private.may_export(e) then
    perform app.refuse(403, 'permission_denied', 'Who wanted it may not do it any more.');
  end if;
  perform app_private.set_context(e.created_by, e.session_id, e.organization_id, null, app_private.export_permissions(e));
end
$$;
comment on function app.enter_export(uuid, uuid, uuid) is
  'Opens this transaction, which can only read, for the member whose export is running, with what they hold of the permissions to read it and no other. PT403.';
alter function app.enter_export(uuid, uuid, uuid) owner to callboard_definer;
revoke execute on function app.enter_export(uuid, uuid, uuid) from public;
grant execute on function app.enter_export(uuid, uuid, uuid) to callboard_worker;

create or replace function app.note_export_progress(organization uuid, export uuid, of_attempt uuid, rows_written bigint) returns boolean
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports := app_private.lock_export(organization, export, of_attempt);
begin
  if e.id is null then
    return false;
  elsif not app_private.may_export(e) then
    perform app_private.end_export(e, 'Who wanted it may not do it any more.');
    return false;
  end if;
  update app.export_progress p set rows_done = rows_written where p.organization_id = organization and p.export_id = export;
  return true;
end
$$;
comment on function app.note_export_progress(uuid, uuid, uuid, bigint) is
  'How many rows of an export are written. False if it is to stop: it was cancelled, another worker has it, or its member may not have it any more.';
alter function app.note_export_progress(uuid, uuid, uuid, bigint) owner to callboard_definer;
revoke execute on function app.note_export_progress(uuid, uuid, uuid, bigint) from public;
grant execute on function app.note_export_progress(uuid, uuid, uuid, bigint) to callboard_worker;

create or replace function app.finish_export(organization uuid, export uuid, of_attempt uuid, rows_written bigint, file_bytes bigint, file_sha256 text)
returns boolean
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  if not app.note_export_progress(organization, export, of_attempt, rows_written) then
    return false;
  end if;
  update app.exports x
  set status = 'ready', bytes = file_bytes, sha256 = file_sha256, finished_at = statement_timestamp(), expires_at = statement_timestamp() + interval '7 days'
  where x.organization_id = organization and x.id = export;
  perform app_private.count_integration(organization, 'export', (select x.resource from app.exports x where x.organization_id = finish_export.organization and x.id = export),
    more_rows => rows_written, more_bytes => file_bytes);
  return true;
end
$$;
comment on function app.finish_export(uuid, uuid, uuid, bigint, bigint, text) is
  'The file of an export is whole, and kept for seven days. False if nobody wants or may have it any more, or another worker makes it.';
alter function app.finish_export(uuid, uuid, uuid, bigint, bigint, text) owner to callboard_definer;
revoke execute on function app.finish_export(uuid, uuid, uuid, bigint, bigint, text) from public;
grant execute on function app.finish_export(uuid, uuid, uuid, bigint, bigint, text) to callboard_worker;

create or replace function app.fail_export(organization uuid, export uuid, of_attempt uuid, because text) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports := app_private.lock_export(organization, export, of_attempt);
begin
  if e.status in ('queued', 'running') then
    perform app_private.end_export(e, because);
  end if;
end
$$;
comment on function app.fail_export(uuid, uuid, uuid, text) is 'An export, or this attempt at it, has failed because of something.';
alter function app.fail_export(uuid, uuid, uuid, text) owner to callboard_definer;
revoke execute on function app.fail_export(uuid, uuid, uuid, text) from public;
grant execute on function app.fail_export(uuid, uuid, uuid, text) to callboard_worker;

create or replace function app.expire_exports() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports;
  ended bigint := 0;
begin
  for e in
    select * from app.exports x
    where x.status = 'ready' and x.expires_at <= now()
      -- Its job was given up without a word of it, or is lost.
      or x.status in ('queued', 'running') and not exists (
        select from graphile_worker._private_jobs j where j.key = 'export:' || x.id and (j.is_available or j.locked_at is not null))
  loop
    e := app_private.lock_export(e.organization_id, e.id);
    if e.status = 'ready' and e.expires_at <= now() then
      update app.exports x set status = 'expired' where x.organization_id = e.organization_id and x.id = e.id;
    elsif e.status in ('queued', 'running') then
      perform app_private.end_export(e, 'It was tried several times, and the worker died each time.');
    end if;
    ended := ended + 1;
  end loop;
  perform app_private.set_context(null, null);
  perform app_private.add_job('sweep_exports', '{}', 'sweep_exports', 3);
  return ended;
end
$$;
comment on function app.expire_exports() is
  'Ends exports whose time is over or whose job is gone, and has the files swept that nobody may fetch any more. Returns how many ended.';
alter function app.expire_exports() owner to callboard_definer;
revoke execute on function app.expire_exports() from public;
grant execute on function app.expire_exports() to callboard_worker;

create or replace function app.wanted_export_files(keys text[]) returns text[]
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select coalesce(array_agg(k.key), '{}')
  from unnest(keys) k (key)
  join app.exports e on e.organization_id = split_part(k.key, '/', 1)::uuid and e.id = split_part(k.key, '/', 2)::uuid
    and e.attempt = split_part(k.key, '/', 3)::uuid and e.status in ('running', 'ready');
end;
comment on function app.wanted_export_files(text[]) is 'Those of these files that belong to an export that is ready, or is being made.';
alter function app.wanted_export_files(text[]) owner to callboard_definer;
revoke execute on function app.wanted_export_files(text[]) from public;
grant execute on function app.wanted_export_files(text[]) to callboard_worker;

grant usage on schema app to callboard_exporter;
grant execute on function app.require(text), app.org_if(text), app.current_org(), app.current_user_id(), app.search_shows(text),
  app.in_bin(json, timestamptz, uuid) to callboard_exporter;
--! EndIncluded export_running.sql
--! Included export_commands.sql
-- What a member does with their exports: have one made, see how far it is, give it up, and fetch the file.

create or replace function app_private.export_link(organization uuid, export uuid, member uuid, session uuid, until bigint) returns text
language sql stable parallel restricted
set search_path = ''
return concat_ws('.', replace(organization::text, '-', ''), replace(session::text, '-', ''), until,
  encode(app_private.keyed_hash(convert_to(concat_ws(' ', 'export', organization, export, member, session, until), 'UTF8')), 'hex'));
comment on function app_private.export_link(uuid, uuid, uuid, uuid, bigint) is
  'The token of a link to the file of an export: for whom, from which session, until when (in seconds since 1970), and the proof.';
alter function app_private.export_link(uuid, uuid, uuid, uuid, bigint) owner to callboard_definer;
revoke execute on function app_private.export_link(uuid, uuid, uuid, uuid, bigint) from public;

create or replace function app.export_link(export uuid) returns text
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select format('/api/analytics/export/%s/file?token=%s', e.id,
    app_private.export_link(e.organization_id, e.id, e.created_by, app.current_session_id(), extract(epoch from now() + interval '1 hour')::bigint))
  from app.exports e
  where e.organization_id = app.org_if('exports.run') and e.id = export and e.created_by = app.current_user_id() and e.status = 'ready'
    and e.expires_at > now();
end;
comment on function app.export_link(uuid) is
  'A fresh link to the file of one of one''s own exports, for an hour and as long as one''s session; NULL if there is no file.';
alter function app.export_link(uuid) owner to callboard_definer;
revoke execute on function app.export_link(uuid) from public;
grant execute on function app.export_link(uuid) to callboard_api;

create or replace view app.export_list with (security_invoker = true) as
  select e.organization_id, e.id, e.created_by, e.resource, e.created_at,
    json_build_object('id', e.id, 'resource', e.resource, 'format', e.format, 'bom', e.bom, 'filters', e.filters,
      'status', e.status, 'rows_done', coalesce(p.rows_done, 0), 'bytes', e.bytes, 'sha256', e.sha256, 'failure', e.failure,
      'link', app.export_link(e.id), 'created_by', e.created_by, 'created_at', e.created_at, 'finished_at', e.finished_at,
      'expires_at', e.expires_at) as body
  from app.exports e
  left join app.export_progress p on p.organization_id = e.organization_id and p.export_id = e.id;
comment on view app.export_list is 'The member''s own exports, with their JSON.';
grant select on app.export_list to callboard_api;
grant select on app.export_list to callboard_definer;

create or replace function app.read_export(export uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('exports.run');
  select 200, e.body, null::text, '/api/analytics/export/' || e.id into answer from app.export_list e
  -- Its maker's own, also for who sees more.
  where e.organization_id = app.current_org() and e.id = export and e.created_by = app.current_user_id();
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_export(uuid) is 'One of one''s own exports, with a fresh link if it is ready. PT403, PT404.';
revoke execute on function app.read_export(uuid) from public;
grant execute on function app.read_export(uuid) to callboard_api, callboard_definer;

create or replace function app.create_export(of_resource text, in_format text, with_bom boolean, by_filters jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require_export(of_resource);
  export uuid;
  answer app.answer;
begin
  -- The worker enters as the member, and a superadmin is none.
  if not exists (select from app.memberships m where m.organization_id = organization and m.user_id = app.current_user_id() and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Exports are for members.');
  elsif (select count(*) from app.exports e where e.organization_id = organization and e.created_by = app.current_user_id()
      and e.status in ('queued', 'running')) >= 5 then
    perform app.refuse(409, 'too_many_exports');
  end if;
  insert into app.exports (resource, format, bom, filters) values (of_resource, in_format, with_bom, jsonb_strip_nulls(by_filters)) returning id into export;
  insert into app.export_progress (organization_id, export_id) values (organization, export);
  -- Two queues: exports of one organization follow each other, and never take all that a worker can do at a time.
  perform app_private.add_job('run_export', jsonb_build_object('organization', organization, 'export', export), 'export:' || export, 5,
    'exports ' || abs(hashtext(organization::text) % 2));
  answer := app.read_export(export);
  answer.status := 202;
  return answer;
end
$$;
comment on function app.create_export(text, text, boolean, jsonb) is
  'Has the worker make a file of what the member may see once this transaction has committed. PT403 without exports.run or the permission to read it, PT409 too_many_exports.';
alter function app.create_export(text, text, boolean, jsonb) owner to callboard_definer;
revoke execute on function app.create_export(text, text, boolean, jsonb) from public;
grant execute on function app.create_export(text, text, boolean, jsonb) to callboard_api;

create or replace function app.cancel_export(export uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present text;
begin
  perform app.require('exports.run');
  select e.status into present from app.exports e
  where e.organization_id = app.current_org() and e.id = export and e.created_by = app.current_user_id() for update;
  if not found then
    perform app.refuse(404, 'not_found');
  elsif present not in ('queued', 'running') then
    perform app.refuse(409, 'export_ended', format('It is %s already.', present));
  end if;
  -- The worker asks after every few rows whether it is to go on.
  update app.exports e set status = 'cancelled', finished_at = statement_timestamp() where e.organization_id = app.current_org() and e.id = export;
  return app.read_export(export);
end
$$;
comment on function app.cancel_export(uuid) is 'Gives one of one''s own exports up, so that there will be no file. PT403, PT404, PT409 export_ended.';
alter function app.cancel_export(uuid) owner to callboard_definer;
revoke execute on function app.cancel_export(uuid) from public;
grant execute on function app.cancel_export(uuid) to callboard_api;

-- The door for who has a link and no token. What it opens is one file, and only as long as its maker may still see what is in it.
create or replace function app.open_export_link(export uuid, token text, is_event boolean, request_id text, ip inet) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  parts text[] := string_to_array(token, '.');
  e app.exports;
  session uuid;
begin
  if not token ~ '^[0-9a-f]{32}\.[0-9a-f]{32}\.[0-9]{1,12}\.[0-9a-f]{64}$' then
    perform app.refuse(400, 'invalid_token');
  end if;
  session := parts[2];
  select * into e from app.exports x where x.organization_id = parts[1]::uuid and x.id = export;
  if not found or token <> app_private.export_link(e.organization_id, e.id, e.created_by, session, parts[3]::bigint)
      or parts[3]::bigint <= extract(epoch from now()) then
    perform app.refuse(400, 'invalid_token');
  elsif not app_private.may_export(e) or not exists (
      select from app.sessions s where s.id = session and s.user_id = e.created_by and s.revoked_at is null and s.expires_at > now()) then
    perform app.refuse(403, 'permission_denied', 'Whose link this is may not see this any more, or has signed out.');
  elsif e.status <> 'ready' or e.expires_at <= now() then
    perform app.refuse(404, 'not_found', 'The file has expired.');
  end if;
  if is_event then
    perform app_private.set_context(e.created_by, session, e.organization_id, null, '{}', request_id, ip);
    perform app_private.log_event(e.organization_id, 'export.download', 'export', e.id);
    perform app_private.set_context(null, null);
  end if;
  return (200, json_build_object('key', concat_ws('/', e.organization_id, e.id, e.attempt), 'resource', e.resource, 'format', e.format,
    'bytes', e.bytes, 'sha256', e.sha256, 'day', e.created_at::date), null, null)::app.answer;
end
$$;
comment on function app.open_export_link(uuid, text, boolean, text, inet) is
  'Where the file of an export is, for who has a link to it; an event if that is said. PT400 invalid_token, PT403 when its maker has lost membership, permission or session, PT404 when it has expired.';
alter function app.open_export_link(uuid, text, boolean, text, inet) owner to callboard_definer;
revoke execute on function app.open_export_link(uuid, text, boolean, text, inet) from public;
grant execute on function app.open_export_link(uuid, text, boolean, text, inet) to callboard_api;
--! EndIncluded export_commands.sql
--! Included export_views.sql
-- What is exported as columns instead of as JSON: the same rows as the lists, with the same words, but
-- four times as fast for PostgreSQL to write. test/exports.test.ts compares each cell with the JSON.

create or replace view app.show_rows with (security_invoker = true) as
  select s.organization_id, s.id, s.title, s.artist, s.show_on, s.status, s.venue_id,
    to_char(s.doors_time, 'HH24:MI') as doors_time, to_char(s.start_time, 'HH24:MI') as start_time, to_char(s.curfew_time, 'HH24:MI') as curfew_time,
    s.capacity, s.tickets_sold, s.fee_minor, s.currency, s.notes, s.source, s.external_ref, v.name as venue_name, v.city as venue_city, v.time_zone,
    (s.show_on + s.start_time) at time zone v.time_zone as starts_at, s.created_by, s.created_at, s.updated_at, s.deleted_at, s.deleted_by
  from app.shows s
  left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id;
comment on view app.show_rows is 'The organization''s shows as columns, also those in the bin, which have deleted_at.';

create or replace view app.venue_rows with (security_invoker = true) as
  select v.organization_id, v.id, v.name, v.city, v.country, v.time_zone, v.capacity, v.created_at, v.updated_at, v.deleted_at, v.deleted_by
  from app.venues v;
comment on view app.venue_rows is 'The organization''s venues as columns, also those in the bin, which have deleted_at.';

create or replace view app.finance_record_rows with (security_invoker = true) as
  select r.organization_id, r.id, r.kind, r.category_id, r.booked_on, r.amount_minor, r.status, r.show_id, r.due_on, r.tax_minor, r.currency,
    trim_scale(r.exchange_rate) as exchange_rate, r.payment_status, r.counterparty, r.note, r.source, r.external_ref, c.name as category_name,
    s.title as show_title, r.base_amount_minor, r.base_currency, r.created_by, r.created_at, r.updated_at, r.deleted_at, r.deleted_by
  from app.finance_records r
  left join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
  left join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id;
comment on view app.finance_record_rows is 'The organization''s finance records as columns, also those in the bin, which have deleted_at.';

create or replace view app.event_rows with (security_invoker = true) as
  select e.organization_id, e.id, e.occurred_at, e.actor_kind, e.actor_id, u.display_name as actor_name, e.action, e.resource_type, e.resource_id, e.changes,
    e.request_id, host(e.ip) as ip, e.session_id, e.erased_at
  from app.event_log e
  left join app.users u on u.id = e.actor_id;
comment on view app.event_rows is 'The organization''s events as columns; the actor''s name as long as they are a colleague.';

grant select on app.show_rows, app.venue_rows, app.finance_record_rows, app.event_rows to callboard_api, callboard_exporter;
grant select on app.show_list, app.venue_list, app.finance_record_list, app.event_list to callboard_exporter;
--! EndIncluded export_views.sql
--! Included visible_org.sql
-- Whose rows somebody sees in `analytics`. The materialized views behind it hold those of all
-- organizations and know no policies, so every view there compares organization_id with this.

create or replace function app.visible_org(permission text default null) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- A BI tool is who has logged in, whatever its settings say, and has no permissions of its own: who
  -- made it decided that it sees all of `analytics`. Any other login needs the context of a member.
  if session_user like 'bi\_%' then
    return (select s.organization_id from app_private.bi_states s where s.login = session_user and s.is_live);
  elsif permission is not null and app.org_if(permission) is null then
    return null;
  end if;
  return app.org_if('analytics.read');
end
$$;
comment on function app.visible_org(text) is
  'The organization whose figures may be read: of a BI login its own, while the credential is neither revoked nor expired and the organization not deleted; else that of the transaction''s member, if they hold analytics.read and the permission that is asked for besides. NULL if there is none.';
alter function app.visible_org(text) owner to callboard_definer;
revoke execute on function app.visible_org(text) from public;
-- callboard_bi may not use the schema `app`, so it calls this through the views only.
grant execute on function app.visible_org(text) to callboard_api, callboard_rollup, callboard_bi;
--! EndIncluded visible_org.sql
--! Included rollups.sql
-- How fresh the materialized views of `analytics_private` are: a row for each. How they are
-- refreshed is in rollup_refreshing.sql; each has a file of its own, which registers it here.

create table if not exists analytics_private.rollups (
  name text primary key,
  -- The tables that it is computed from, and the events of an organization (by resource_type) after
  -- which its figures may be others: '*' is any. client_event is what comes without events of the log.
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
declare
  known_to_one name;
begin
  -- EXPLAIN shows what the planner makes of statistics, and they are of all organizations.
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
-- Only the events since as_of, which are few, whatever the planner thinks: it does not know as_of.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  organization uuid := app.visible_org();
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
        where l.organization_id = organization and l.occurred_at >= r.as_of and (l.resource_type = any (r.resources) or '*' = any (r.resources)))
      and not ('client_event' = any (r.resources) and exists (select from app.client_events c
        where c.organization_id = organization and c.received_at >= r.as_of)))
  into as_of, is_current
  from analytics_private.rollups r where r.name = any (rollups);
  -- A standby that is behind does not know what has been changed meanwhile.
  is_current := is_current and app.data_age() = 0;
end
$$;
comment on function app.freshness(text[]) is
  'Of what moment the figures of these materialized views are, the oldest of them (null: never computed), and whether the organization has changed nothing since that they would show. Nulls for who sees none (app.visible_org).';
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
  -- By organization, because so is the index.
  return seen || coalesce((
    select jsonb_build_object('client_event', max(c.received_at)) from app.client_events c
    where c.organization_id = any (array(select o.id from app.organizations o)) and c.received_at >= since and c.received_at < until
    having count(*) > 0), '{}');
end
$$;
comment on function app_private.logged_since(timestamptz, timestamptz) is
  'What the events of all organizations between two moments are about, each with the time of the latest; client_event of those that clients have told.';
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
      and not exists (select from jsonb_each_text(seen) s
        where (s.key = any (r.resources) or '*' = any (r.resources) and s.key <> 'client_event') and s.value::timestamptz >= r.as_of)
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
      'waiting', waiting, 'failed', failed, 'because', because, 'until', horizon, 'next', r.name);
  end loop;
  return jsonb_build_object('waiting', waiting, 'failed', failed, 'because', because, 'until', horizon, 'next', null);
end
$$;
comment on function app.refresh_rollups(jsonb) is
  'Refreshes the first materialized view behind another one (null: of all) whose sources have changed, without keeping anybody from reading it, and moves on as_of of those of which nothing has. To go on, call it with next, until that is null; one at a time: another call at the same time does nothing. Says until when it knows what has happened, how many wait because they were refreshed just now, and which could not be, and why.';
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
-- Money by category and month. What is void or deleted does not count. Names are looked up when it is
-- read: the fewer and shorter the columns, the sooner it is compared with what it was before.

create materialized view if not exists analytics_private.finance_by_category as
  select r.organization_id, date_trunc('month', r.booked_on::timestamp)::date as month, r.category_id, r.status,
    r.currency::text as currency, r.base_currency::text as base_currency,
    sum(r.amount_minor) as amount_minor, sum(r.base_amount_minor) as base_amount_minor, count(*) as records
  from app.finance_records r
  where r.deleted_at is null and r.status <> 'void'
  group by 1, 2, 3, 4, 5, 6;
create unique index if not exists finance_by_category_key
  on analytics_private.finance_by_category (organization_id, month, category_id, status, currency, base_currency);
comment on materialized view analytics_private.finance_by_category is 'Money of all organizations by category and month: see analytics.finance_by_category.';

create or replace view analytics.finance_by_category with (security_barrier = true) as
  select m.month, m.category_id, c.name as category, c.kind, m.status, m.currency, m.amount_minor, m.base_currency, m.base_amount_minor,
    m.records, (select r.as_of from analytics_private.rollups r where r.name = 'finance_by_category') as as_of
  from analytics_private.finance_by_category m
  join app.finance_categories c on c.organization_id = m.organization_id and c.id = m.category_id
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

select analytics_private.register_rollup('finance_by_category', '{app.finance_records}', '{finance_record}');
--! EndIncluded finance_by_category.sql
--! Included finance_by_show.sql
-- What shows bring in and cost. What is void or deleted does not count, nor what is booked for a show that is deleted.
--
-- The statuses of the money are columns, and names are looked up when it is read: the fewer and shorter
-- the rows, the sooner they are compared with what they were before.

create materialized view if not exists analytics_private.finance_by_show as
  select r.organization_id, s.show_on, r.show_id, r.currency::text as currency, r.base_currency::text as base_currency,
    sum(r.amount_minor) filter (where r.status = 'planned' and r.kind = 'income') as planned_income_minor,
    sum(r.base_amount_minor) filter (where r.status = 'planned' and r.kind = 'income') as planned_base_income_minor,
    sum(r.amount_minor) filter (where r.status = 'planned' and r.kind = 'expense') as planned_expense_minor,
    sum(r.base_amount_minor) filter (where r.status = 'planned' and r.kind = 'expense') as planned_base_expense_minor,
    sum(r.amount_minor) filter (where r.status = 'committed' and r.kind = 'income') as committed_income_minor,
    sum(r.base_amount_minor) filter (where r.status = 'committed' and r.kind = 'income') as committed_base_income_minor,
    sum(r.amount_minor) filter (where r.status = 'committed' and r.kind = 'expense') as committed_expense_minor,
    sum(r.base_amount_minor) filter (where r.status = 'committed' and r.kind = 'expense') as committed_base_expense_minor,
    sum(r.amount_minor) filter (where r.status = 'actual' and r.kind = 'income') as actual_income_minor,
    sum(r.base_amount_minor) filter (where r.status = 'actual' and r.kind = 'income') as actual_base_income_minor,
    sum(r.amount_minor) filter (where r.status = 'actual' and r.kind = 'expense') as actual_expense_minor,
    sum(r.base_amount_minor) filter (where r.status = 'actual' and r.kind = 'expense') as actual_base_expense_minor,
    count(*) filter (where r.status = 'planned') as planned_records,
    count(*) filter (where r.status = 'committed') as committed_records,
    count(*) filter (where r.status = 'actual') as actual_records
  from app.finance_records r
  join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id
  where r.deleted_at is null and r.status <> 'void' and s.deleted_at is null
  group by 1, 2, 3, 4, 5;
create unique index if not exists finance_by_show_key
  on analytics_private.finance_by_show (organization_id, show_on, show_id, currency, base_currency);
comment on materialized view analytics_private.finance_by_show is 'Money of all organizations by show: see analytics.finance_by_show.';

create or replace view analytics.finance_by_show with (security_barrier = true) as
  select m.show_id, m.show_on, s.title, s.artist, s.status as show_status, b.status,
    m.currency, coalesce(b.income, 0) as income_minor, coalesce(b.expense, 0) as expense_minor, coalesce(b.income, 0) - coalesce(b.expense, 0) as profit_minor,
    m.base_currency, coalesce(b.base_income, 0) as base_income_minor, coalesce(b.base_expense, 0) as base_expense_minor,
    coalesce(b.base_income, 0) - coalesce(b.base_expense, 0) as base_profit_minor,
    b.records, (select r.as_of from analytics_private.rollups r where r.name = 'finance_by_show') as as_of
  from analytics_private.finance_by_show m
  join app.shows s on s.organization_id = m.organization_id and s.id = m.show_id,
  lateral (values
    ('planned', m.planned_records, m.planned_income_minor, m.planned_expense_minor, m.planned_base_income_minor, m.planned_base_expense_minor),
    ('committed', m.committed_records, m.committed_income_minor, m.committed_expense_minor, m.committed_base_income_minor, m.committed_base_expense_minor),
    ('actual', m.actual_records, m.actual_income_minor, m.actual_expense_minor, m.actual_base_income_minor, m.actual_base_expense_minor)) b (status, records, income, expense, base_income, base_expense)
  where m.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null and b.records > 0;
comment on view analytics.finance_by_show is 'Profit and loss by show, by status and by currency. What is void or deleted does not count, nor what is booked for a show that is deleted. Needs finance.read and shows.read.';
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
      min(l.occurred_at) filter (where l.status = 'hold') as held_at, max(l.occurred_at) filter (where l.status = 'confirmed') as confirmed_at
    -- offset 0: what the JSON says is looked up once.
    from (select organization_id, resource_id, occurred_at, changes #>> '{new,status}' as status from app.event_log where resource_type = 'show' offset 0) l
    where l.status in ('hold', 'confirmed')
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

create or replace function app.figures(rollups text[], since date, until date, period text, items json) returns app.answer
language sql stable
set search_path = ''
return (
  select (null, case when period is null
      then json_build_object('as_of', f.as_of, 'is_current', f.is_current, 'from', since, 'to', m.last_on, 'items', coalesce(items, '[]'))
      else json_build_object('as_of', f.as_of, 'is_current', f.is_current, 'period', period, 'from', since, 'to', m.last_on, 'items', coalesce(items, '[]')) end,
    null, null)::app.answer
  from app.freshness(variadic rollups) f, lateral (select (until + interval '1 month' - interval '1 day')::date as last_on) m);
comment on function app.figures(text[], date, date, text, json) is
  'The answer with figures of these materialized views: of when they are, of which months (with period: by what), and the figures.';
revoke execute on function app.figures(text[], date, date, text, json) from public;
grant execute on function app.figures(text[], date, date, text, json) to callboard_api;

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
  return app.figures('{finance_by_month}', months.since, months.until, period, items);
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
  return app.figures('{finance_by_category}', months.since, months.until, null, items);
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
  perform app.require('analytics.read'), app.require('finance.read'), app.require('shows.read');
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
  return app.figures('{finance_by_show}', months.since, months.until, null, items);
end
$$;
comment on function app.show_profits(date, date, text, integer) is
  'Profit and loss of shows, the latest first, in one currency or, without it, all in the base currency; of shows in whole months. PT403 without analytics.read, finance.read and shows.read, PT422 analytics_range.';
revoke execute on function app.show_profits(date, date, text, integer) from public;
grant execute on function app.show_profits(date, date, text, integer) to callboard_api;
--! EndIncluded finance_figures.sql
--! Included activity.sql
-- What people do, by day where their organization is: from the event log, as long as that is kept, and
-- from what programs tell. Both have a row for each member, so that people can be counted over any time.

create materialized view if not exists analytics_private.activity_by_day as
  select e.organization_id, (e.occurred_at at time zone o.time_zone)::date as day,
    -- A key has no nulls.
    coalesce(e.actor_id, uuid '00000000-0000-0000-0000-000000000000') as user_id, e.actor_kind, e.action, count(*) as events
  from app.event_log e
  join app.organizations o on o.id = e.organization_id
  group by 1, 2, 3, 4, 5;
create unique index if not exists activity_by_day_key on analytics_private.activity_by_day (organization_id, day, user_id, actor_kind, action);
comment on materialized view analytics_private.activity_by_day is 'Events of all organizations by day: see analytics.activity_by_day.';

create or replace view analytics.activity_by_day with (security_barrier = true) as
  select m.day, nullif(m.user_id, uuid '00000000-0000-0000-0000-000000000000') as user_id, m.actor_kind, m.action, m.events,
    (select r.as_of from analytics_private.rollups r where r.name = 'activity_by_day') as as_of
  from analytics_private.activity_by_day m
  where m.organization_id = (select app.visible_org());
comment on view analytics.activity_by_day is 'What was done by day, as often as the event log has it: creating, changing, deleting, restoring, signing in and so on.';
comment on column analytics.activity_by_day.day is 'In the time zone of the organization.';
comment on column analytics.activity_by_day.user_id is 'Who did it; null where that is not known.';
comment on column analytics.activity_by_day.actor_kind is 'user, anonymous, system or support.';
comment on column analytics.activity_by_day.action is '<resource>.<verb>, such as show.create; auth.sign_in is a sign-in.';
comment on column analytics.activity_by_day.events is 'How often.';
comment on column analytics.activity_by_day.as_of is 'The figures are complete up to this moment.';

create materialized view if not exists analytics_private.client_events_by_day as
  select c.organization_id, (c.occurred_at at time zone o.time_zone)::date as day, c.user_id, c.kind, c.name, count(*) as events
  from app.client_events c
  join app.organizations o on o.id = c.organization_id
  group by 1, 2, 3, 4, 5;
create unique index if not exists client_events_by_day_key on analytics_private.client_events_by_day (organization_id, day, user_id, kind, name);
comment on materialized view analytics_private.client_events_by_day is 'Client events of all organizations by day: see analytics.client_events_by_day.';

create or replace view analytics.client_events_by_day with (security_barrier = true) as
  select m.day, m.user_id, m.kind, m.name, m.events,
    (select r.as_of from analytics_private.rollups r where r.name = 'client_events_by_day') as as_of
  from analytics_private.client_events_by_day m
  where m.organization_id = (select app.visible_org());
comment on view analytics.client_events_by_day is 'What programs told of their users by day, for 90 days.';
comment on column analytics.client_events_by_day.day is 'In the time zone of the organization.';
comment on column analytics.client_events_by_day.user_id is 'Whose program told it.';
comment on column analytics.client_events_by_day.kind is 'page_view or action.';
comment on column analytics.client_events_by_day.name is 'Of the page or action.';
comment on column analytics.client_events_by_day.events is 'How often.';
comment on column analytics.client_events_by_day.as_of is 'The figures are complete up to this moment.';

select analytics_private.register_rollup('activity_by_day', '{app.event_log,app.organizations}', '{*}'),
  analytics_private.register_rollup('client_events_by_day', '{app.client_events,app.organizations}', '{client_event,organization}');

create or replace function app.activity_figures(from_on date default null, to_on date default null, of_user uuid default null, of_action text default null)
returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  until date := least(coalesce(to_on, from_on + 29, app.today()), '9999-12-31');
  since date := coalesce(from_on, greatest(until - 29, '0001-01-01'));
  fresh record;
  body jsonb;
begin
  perform app.require('analytics.read');
  if until < since or until > since + 366 then
    perform app.refuse(422, 'analytics_range', 'It ends at least when it begins, and no more than 367 days later.');
  end if;
  select * into fresh from app.freshness('activity_by_day', 'client_events_by_day');
  with e as materialized (
    select a.day, case a.actor_kind when 'user' then a.user_id end as user_id, a.action, a.events, a.events * (a.action = 'auth.sign_in')::integer as sign_ins
    from analytics.activity_by_day a
    where a.day between since and until and (of_user is null or a.user_id = of_user) and (of_action is null or a.action = of_action)
  ), c as materialized (
    select x.day, x.user_id, x.kind, x.name, x.events from analytics.client_events_by_day x
    where x.day between since and until and (of_user is null or x.user_id = of_user)
  )
  select jsonb_build_object(
    'totals', (
      select jsonb_build_object('events', coalesce(sum(e.events), 0), 'sign_ins', coalesce(sum(e.sign_ins), 0), 'active_users', count(distinct e.user_id))
      from e),
    'by_day', (
      select coalesce(jsonb_agg(jsonb_build_object('day', d.day, 'events', d.events, 'sign_ins', d.sign_ins, 'active_users', d.users) order by d.day), '[]')
      from (select e.day, sum(e.events) as events, sum(e.sign_ins) as sign_ins, count(distinct e.user_id) as users from e group by 1) d),
    'by_week', (
      select coalesce(jsonb_agg(jsonb_build_object('week_on', w.week, 'events', w.events, 'sign_ins', w.sign_ins, 'active_users', w.users,
        'signed_in_users', w.signed_in) order by w.week), '[]')
      from (
        select date_trunc('week', e.day::timestamp)::date as week, sum(e.events) as events, sum(e.sign_ins) as sign_ins,
          count(distinct e.user_id) as users, count(distinct e.user_id) filter (where e.sign_ins > 0) as signed_in
        from e group by 1) w),
    'by_action', (
      select coalesce(jsonb_agg(jsonb_build_object('action', a.action, 'events', a.events) order by a.events desc, a.action), '[]')
      from (select e.action, sum(e.events) as events from e group by 1) a),
    'by_user', (
      select coalesce(jsonb_agg(jsonb_build_object('user_id', p.user_id, 'display_name', u.display_name, 'events', p.events, 'sign_ins', p.sign_ins,
        'active_days', p.days, 'last_on', p.last_on) order by p.events desc, p.user_id), '[]')
      from (
        select e.user_id, sum(e.events) as events, sum(e.sign_ins) as sign_ins, count(distinct e.day) as days, max(e.day) as last_on
        from e where e.user_id is not null group by 1) p
      -- The name as long as they are a colleague.
      left join app.users u on u.id = p.user_id),
    'client_events', jsonb_build_object(
      'by_day', (
        select coalesce(jsonb_agg(jsonb_build_object('day', d.day, 'page_views', d.page_views, 'actions', d.actions, 'users', d.users) order by d.day), '[]')
        from (
          select c.day, coalesce(sum(c.events) filter (where c.kind = 'page_view'), 0) as page_views,
            coalesce(sum(c.events) filter (where c.kind = 'action'), 0) as actions, count(distinct c.user_id) as users
          from c group by 1) d),
      'by_name', (
        select coalesce(jsonb_agg(jsonb_build_object('kind', n.kind, 'name', n.name, 'events', n.events, 'users', n.users)
          order by n.events desc, n.kind, n.name), '[]')
        from (
          select c.kind, c.name, sum(c.events) as events, count(distinct c.user_id) as users from c group by 1, 2
          order by 3 desc, 1, 2 limit 100) n))) into body;
  return (null, jsonb_build_object('as_of', fresh.as_of, 'is_current', fresh.is_current, 'from', since, 'to', until) || body, null, null)::app.answer;
end
$$;
comment on function app.activity_figures(date, date, uuid, text) is
  'What was done from one day to another (30 days up to today, if nothing is said; at most 367), by day, week, action and user, with sign-ins; and what programs told, by day and the 100 most frequent names. Of one user and one action, if given. PT403 without analytics.read, PT422 analytics_range.';
revoke execute on function app.activity_figures(date, date, uuid, text) from public;
grant execute on function app.activity_figures(date, date, uuid, text) to callboard_api;
--! EndIncluded activity.sql
--! Included use_figures.sql
-- How the use of the API and of integrations is shown: from the sums themselves (use.sql), which need
-- no refreshing.

create or replace view analytics.api_use_by_day with (security_barrier = true) as
  select u.day, u.operation, u.calls, u.errors, u.server_errors, u.total_us, u.slowest_us, u.within_10_ms, u.within_100_ms, u.within_1_s,
    u.bytes_in, u.bytes_out, now() - interval '1 minute' as as_of
  from app.api_use u
  where u.organization_id = (select app.visible_org());
comment on view analytics.api_use_by_day is 'Calls of the API by day and operation, of members with a token; also those that were refused, but not those of superadmins.';
comment on column analytics.api_use_by_day.day is 'UTC.';
comment on column analytics.api_use_by_day.operation is 'operationId in the OpenAPI document.';
comment on column analytics.api_use_by_day.calls is 'How many calls.';
comment on column analytics.api_use_by_day.errors is 'How many were answered with a status from 400 on.';
comment on column analytics.api_use_by_day.server_errors is 'How many of them from 500 on.';
comment on column analytics.api_use_by_day.total_us is 'Microseconds that all of them took together.';
comment on column analytics.api_use_by_day.slowest_us is 'Microseconds that the slowest took.';
comment on column analytics.api_use_by_day.within_10_ms is 'How many took no longer than 10 ms.';
comment on column analytics.api_use_by_day.within_100_ms is 'How many took no longer than 100 ms.';
comment on column analytics.api_use_by_day.within_1_s is 'How many took no longer than a second.';
comment on column analytics.api_use_by_day.bytes_in is 'Bytes of the requests, with their headers.';
comment on column analytics.api_use_by_day.bytes_out is 'Bytes of the answers, with their headers.';
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
comment on column analytics.integration_use_by_day.errors is 'How often in vain.';
comment on column analytics.integration_use_by_day.rows is 'Rows that were entered or taken out.';
comment on column analytics.integration_use_by_day.bytes is 'Bytes of what was entered or taken out.';
comment on column analytics.integration_use_by_day.last_at is 'When it was used last on that day.';
comment on column analytics.integration_use_by_day.as_of is 'What happened after this moment may still be missing.';

do $$
declare
  shown text;
begin
  foreach shown in array array['api_use_by_day', 'integration_use_by_day'] loop
    execute format('alter view analytics.%I owner to callboard_rollup', shown);
    execute format('grant select on analytics.%I to callboard_api, callboard_bi', shown);
  end loop;
end
$$;

create or replace function app.calls_json(calls numeric, errors numeric, server_errors numeric, total_us numeric, slowest_us bigint, within_10_ms numeric,
  within_100_ms numeric, within_1_s numeric, bytes_in numeric, bytes_out numeric) returns jsonb
language sql immutable parallel safe
return jsonb_build_object('calls', coalesce(calls, 0), 'errors', coalesce(errors, 0), 'server_errors', coalesce(server_errors, 0),
  'mean_us', round(total_us / nullif(calls, 0)), 'slowest_us', slowest_us, 'within_10_ms', coalesce(within_10_ms, 0),
  'within_100_ms', coalesce(within_100_ms, 0), 'within_1_s', coalesce(within_1_s, 0), 'bytes_in', coalesce(bytes_in, 0), 'bytes_out', coalesce(bytes_out, 0));
comment on function app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric) is
  'Sums of calls as JSON, with the mean of how long they took; null counts as nothing.';
revoke execute on function app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric) from public;
grant execute on function app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric) to callboard_api;

create or replace function app.use_figures(from_on date, to_on date, delay_seconds double precision) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  -- What is counted is written down a little later.
  as_of timestamptz := now() - make_interval(secs => 2 * delay_seconds + app.data_age());
  until date := least(coalesce(to_on, from_on + 29, (now() at time zone 'UTC')::date), '9999-12-31');
  since date := coalesce(from_on, greatest(until - 29, '0001-01-01'));
  body jsonb;
begin
  perform app.require('analytics.read');
  if until < since or until > since + 366 then
    perform app.refuse(422, 'analytics_range', 'It ends at least when it begins, and no more than 367 days later.');
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
  -- Days that are over are complete.
  return (null, jsonb_build_object('as_of', as_of, 'is_current', until < (as_of at time zone 'UTC')::date, 'from', since, 'to', until) || body,
    null, null)::app.answer;
end
$$;
comment on function app.use_figures(date, date, double precision) is
  'Integrations and calls of the API from one UTC day to another (30 days up to today, if nothing is said; at most 367), where counts are written so many seconds late. PT403 without analytics.read, PT422 analytics_range.';
revoke execute on function app.use_figures(date, date, double precision) from public;
grant execute on function app.use_figures(date, date, double precision) to callboard_api;
--! EndIncluded use_figures.sql
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
  return app.figures(array['shows_by_month', 'shows_created_by_month'], months.since, months.until, period, items);
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
--! Included report.sql
-- What the report prints: the answers of the endpoints of figures, put together.

create or replace function app.report_amounts(items json) returns json
language sql immutable
set search_path = ''
return (
  select coalesce(json_agg(json_build_object('period_on', i ->> 'period_on', 'currency', i ->> 'currency',
    'minor_digits', app.minor_digits(i ->> 'currency'), 'income_minor', i #>> '{actual,income_minor}',
    'expense_minor', i #>> '{actual,expense_minor}', 'profit_minor', i #>> '{actual,profit_minor}',
    'committed_profit_minor', i #>> '{committed,profit_minor}', 'planned_profit_minor', i #>> '{planned,profit_minor}')), '[]')
  from json_array_elements(items) i);
comment on function app.report_amounts(json) is
  'Items of app.finance_figures with their amounts as texts, since a sum may have more digits than a number in JavaScript, and with how many digits of them are decimals.';
revoke execute on function app.report_amounts(json) from public;
grant execute on function app.report_amounts(json) to callboard_api;

create or replace function app.report(from_on date default null, to_on date default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  last_day date;
  money json;
  money_by_year json;
  shows json;
  activity json;
begin
  perform app.require('analytics.read');
  months := app.figure_months(from_on, to_on);
  last_day := months.until + interval '1 month' - interval '1 day';
  if app.has_permission('finance.read') then
    select a.body into money from app.finance_figures('month', months.since, months.until) a;
    select a.body into money_by_year from app.finance_figures('year', months.since, months.until) a;
  end if;
  select a.body into shows from app.show_figures('year', months.since, months.until) a;
  -- At most the last year of it, which is as long as these figures go, and nothing is done in the future.
  last_day := greatest(months.since, least(last_day, app.today()));
  select a.body into activity from app.activity_figures(greatest(months.since, last_day - 366), last_day) a;
  return (null, json_build_object('data_age', app.data_age(), 'from', months.since, 'to', shows -> 'to',
    'organization', (select o.name from app.organizations o where o.id = app.current_org()),
    'money', case when money is not null then json_build_object('as_of', money -> 'as_of', 'is_current', money -> 'is_current',
      'by_month', app.report_amounts(money -> 'items'), 'by_year', app.report_amounts(money_by_year -> 'items')) end,
    'shows', json_build_object('as_of', shows -> 'as_of', 'is_current', shows -> 'is_current', 'by_year', shows -> 'items',
      'by_status', (select coalesce(json_object_agg(s.status, s.shows), '{}') from (
        select b.key as status, sum(b.value::numeric) as shows
        from json_array_elements(shows -> 'items') i, json_each_text(i -> 'by_status') b group by 1) s)),
    'activity', json_build_object('as_of', activity -> 'as_of', 'is_current', activity -> 'is_current', 'from', activity -> 'from',
      'to', activity -> 'to', 'totals', activity -> 'totals', 'by_day', activity -> 'by_day')), null, null)::app.answer;
end
$$;
comment on function app.report(date, date) is
  'Money by month and year, shows by status and activity by day, of whole months, as app.finance_figures, app.show_figures and app.activity_figures answer them; without finance.read there is no money in it. PT403 without analytics.read, PT422 analytics_range.';
revoke execute on function app.report(date, date) from public;
grant execute on function app.report(date, date) to callboard_api;
--! EndIncluded report.sql
