--! Previous: sha1:650a5dc1c11b5aecf65c5ae8c91925e79e588c9f
--! Hash: sha1:e52bf74e63827a60e5b03033ddbc58ca88c0021f
--! Message: authority that ends, fair work, keys and codes

alter table app_private.refresh_tokens add column if not exists parent_hash bytea;
-- The index of the migration before keeps keys unique, also without an organization.
alter table app.idempotency_keys drop constraint if exists idempotency_keys_pkey;
-- Programs never read the column.
-- squawk-ignore ban-drop-not-null
alter table app.idempotency_keys alter column organization_id drop not null;
alter table app.idempotency_keys add column if not exists about_organization_id uuid;
alter table app.idempotency_keys add column if not exists canonical_hash bytea;
-- Programs that give two arguments find the one with three.
drop function if exists app.claim_key(text, bytea);
drop function if exists app.register(text, text, text, bytea, text, text);
alter table app.bi_credentials
  add column if not exists held_by uuid,
  add column if not exists held_since timestamptz,
  add column if not exists held_by_operator boolean not null default false;
alter table app.bi_credentials add constraint bi_credentials_held_by_fkey foreign key (held_by) references app.users (id) not valid;
alter table app_private.bi_logins
  add column if not exists verifier text,
  add column if not exists settings text[],
  add column if not exists is_set boolean not null default true;
alter table app.invitations
  add column if not exists invited_at timestamptz,
  add column if not exists void_because text;
alter table app.invitations alter column invited_at set default now();
alter table app.invitations add constraint invitations_void_because_known
  check (void_because in ('inviter_removed', 'inviter_lost_permission')) not valid;
-- Its successor has a third parameter with a default, so the programs of the release before call that.
drop function if exists app.remove_member(uuid, text);
-- Its successor takes the states in which it may open; only other functions call it.
drop function if exists app_private.enter_import(uuid);
drop function if exists app_private.add_job(text, jsonb, text, integer, text);
alter table app_private.sealing add column if not exists reached timestamptz not null default '-infinity';
update app_private.sealing set reached = sealed_until;
alter table analytics_private.refreshing add column if not exists since timestamptz;
drop function if exists app_private.seal_batch(uuid, timestamptz, timestamptz, integer);
drop function if exists app_private.may_import(app.imports);
-- Included foundation/helpers.sql
-- What a function behind a route returns; the API sends `body` unchanged.
do $$
begin
  if to_regtype('app.answer') is null then
    create type app.answer as (status integer, body json, etag text, location text);
  end if;
end
$$;
create or replace function app.matches(version integer, if_match text) returns boolean
language sql immutable parallel safe
-- The version is a row's, not a representation's: proxies that compress make "4" into W/"4" or "4-gzip", and mean the same.
return if_match is null or if_match = '*'
  or if_match ~ ('(^|,)[[:blank:]]*(W/)?"' || version::text || '(-[a-z]+)?"[[:blank:]]*(,|$)');
comment on function app.matches(integer, text) is 'Whether an If-Match header (a list of ETags, also as proxies change them, * or null) allows this version.';
grant execute on function app.matches(integer, text) to callboard_api, callboard_definer;
-- EndIncluded foundation/helpers.sql
-- Included foundation/rules.sql
-- Rules that several tables share, for their CHECK constraints. NULL passes, as in any constraint. Each is a single expression
-- without settings, so that PostgreSQL can inline it. A role that inserts or updates rows needs EXECUTE.
-- PostgreSQL inlines again for each statement, which costs 5 microseconds per constraint: app.shows and app.finance_records,
-- which are written most often, spell out the conditions.

-- Spaces, and what Unicode lets programs ignore: joiners, marks of direction, variation selectors, fillers, tags.
create or replace function app.is_visible(value text) returns boolean
language sql immutable parallel safe
return value ~ '[^\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]';
comment on function app.is_visible(text) is 'Whether a text shows anything: one of spaces, or of characters of no width, does not.';
grant execute on function app.is_visible(text) to callboard_api, callboard_definer;
-- Not BETWEEN: a dump prints it otherwise than it was parsed, which would look like a change.
create or replace function app.is_line(value text, longest integer) returns boolean
language sql immutable parallel safe
return length(value) >= 1 and length(value) <= longest and value !~ '[\u0001-\u001f\u007f-\u009f]' and app.is_visible(value);
comment on function app.is_line(text, integer) is 'Whether a text is a single line: visible, not too long, and without control characters.';
grant execute on function app.is_line(text, integer) to callboard_api, callboard_definer;
-- EndIncluded foundation/rules.sql
-- Included foundation/context.sql
-- Rules that count rows under a lock, such as the places of an allotment, would count those of before the lock.
create or replace function app_private.may_write_by_old_snapshot() returns boolean
language sql volatile
return case when current_setting('transaction_isolation') = 'repeatable read'
  -- What this fails in is a savepoint, whose end may take READ ONLY back: see app_private.require_read_only.
  then current_setting('transaction_read_only') = 'off' or pg_export_snapshot() is null else false end;
comment on function app_private.may_write_by_old_snapshot() is
  'Whether this transaction may write what it decides on a snapshot of its first statement. READ COMMITTED sees what was committed meanwhile, SERIALIZABLE notices.';
alter function app_private.may_write_by_old_snapshot() owner to callboard_definer;
-- READ ONLY can be taken back: a savepoint may set it, and its end restores the mode of the transaction around it.
create or replace function app_private.require_read_only(what text) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if not current_setting('transaction_read_only')::boolean then
    raise exception '% must be read in a read-only transaction', what;
  end if;
  -- Nothing else says whether there is a savepoint: this fails (25001) after one, and is cheap.
  perform pg_export_snapshot();
end
$$;
comment on function app_private.require_read_only(text) is
  'An error unless this transaction is READ ONLY, and stays so: not within a savepoint. For contexts of somebody other than the caller.';
alter function app_private.require_read_only(text) owner to callboard_definer;
-- EndIncluded foundation/context.sql
-- Included audit/event_seals.sql
select app_private.force_rls('app.event_seals');
select app_private.set_policy('app.event_seals', 'select_auditor', 'callboard_auditor', 'true');
-- The definer appends; nobody ever changes or deletes seals, which outlive their events.
select app_private.set_policy('app.event_seals', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.event_seals', 'insert_definer', 'callboard_definer', 'true');
create table if not exists app_private.sealing (
  id boolean primary key default true constraint sealing_one_row check (id),
  sealed_until timestamptz not null default '-infinity',
  reached timestamptz not null default '-infinity'
);
select app_private.definer_table('app_private.sealing', 'select, update');
select app_private.set_policy('app_private.sealing', 'insert_owner', 'callboard_owner', 'true');
insert into app_private.sealing default values on conflict do nothing;
comment on table app_private.sealing is 'How far the events are sealed; locked by the sealer, so that only one runs at a time.';
comment on column app_private.sealing.sealed_until is 'All events up to then are sealed, and no transaction that began before is still in progress.';
comment on column app_private.sealing.reached is 'What was visible up to then has been sealed: later than sealed_until while a transaction stays open.';
select app_private.definer_table('app_private.horizon_looks');
create or replace function app_private.seal_horizon() returns timestamptz
language plpgsql volatile
set search_path = ''
as $$
declare
  called constant timestamptz := clock_timestamp();
  running text[];
  writing text[];
  horizon timestamptz;
  hundredth timestamptz;
begin
  -- Otherwise this transaction would reuse an earlier snapshot of the statistics.
  perform pg_stat_clear_snapshot();
  -- Everybody may see that a transaction is open, but only pg_read_all_stats, which a hosted server may not grant, since
  -- when. So each call notes which are open; once all of them have ended, so have all that had begun before that call.
  -- Those of our programs that have written nothing (have no id) for a minute only read, such as exports: they will write
  -- no event. A DBA's might.
  select coalesce(array_agg(x.id), '{}'), coalesce(array_agg(x.id) filter (where x.is_writing), '{}') into running, writing
  from (
    select l.virtualtransaction as id, a.usename not in ('callboard_api', 'callboard_support', 'callboard_worker') or exists (
      select from pg_catalog.pg_locks t
      where t.virtualtransaction = l.virtualtransaction and t.locktype = 'transactionid' and t.mode = 'ExclusiveLock') as is_writing
    from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and l.pid <> pg_backend_pid()
      -- Autovacuum has no user. BI tools and auditors write no events and may keep transactions open for a long time.
      and a.datname = current_database() and a.usename is not null and a.usename <> 'callboard_auditor'
      and not exists (select from app_private.bi_logins b where b.login = a.usename)) x;
  if running = '{}' then
    horizon := called;
  else
    horizon := (select max(k.at) from app_private.horizon_looks k
      where not k.open && writing and (not k.open && running or k.at < called - interval '1 minute'));
  end if;
  insert into app_private.horizon_looks values (called, running) on conflict do nothing;
  -- What is older than the horizon tells nothing more. Of the rest, the last hundred and then one a minute for a day:
  -- transactions that take turns for hours would otherwise hide each other's ends.
  hundredth := (select k.at from app_private.horizon_looks k order by k.at desc offset 100 limit 1);
  delete from app_private.horizon_looks k
  where k.at in (
    select o.at from app_private.horizon_looks o
    where o.at < horizon or o.at < called - interval '1 day'
      or o.at <= hundredth and exists (select from app_private.horizon_looks e where e.at < o.at and e.at >= date_trunc('minute', o.at))
    for update skip locked);
  if horizon is null then
    return null;
  end if;
  -- The start of a prepared transaction is unknown; it is earlier than this.
  return least(horizon, (select min(p.prepared) - interval '1 hour' from pg_catalog.pg_prepared_xacts p where p.database = current_database()));
end
$$;
comment on function app_private.seal_horizon() is 'A moment before which all transactions have ended that might still write; null until that can be said of any.';
alter function app_private.seal_horizon() owner to callboard_definer;
create or replace function app_private.seal_batch(
  of_organization uuid, since timestamptz, behind uuid, until timestamptz, future timestamptz, at_most integer,
  out sealed integer, out last_at timestamptz, out last_id uuid
)
language plpgsql volatile
set search_path = ''
as $$
declare
  head app.event_seals;
  batch record;
  chain bytea[] := '{}';
  last_hash bytea;
begin
  -- The limit is of what is looked at, so that a batch takes as long where everything is sealed; the last one is null
  -- where there are no more.
  with looked_at as materialized (
    select l from app.event_log l
    where l.organization_id = of_organization and l.occurred_at >= since and (l.occurred_at, l.id) > (since, coalesce(behind, app_private.nobody()))
      and (l.occurred_at < until or l.occurred_at > future)
    order by l.occurred_at, l.id limit at_most
  ), unsealed as (
    select e.l from looked_at e
    where not exists (select from app.event_seals s where s.organization_id = of_organization and s.event_id = (e.l).id)
    order by (e.l).occurred_at, (e.l).id
  )
  select (select count(*) from looked_at) as n, u.*, z.at, z.id into batch
  from (select array_agg((e.l).id) as ids, array_agg((e.l).occurred_at) as times,
      array_agg(app.event_core_hash(e.l)) as cores, array_agg(app.event_details_hash(e.l)) as details from unsealed e) u
  left join (select (e.l).occurred_at as at, (e.l).id as id from looked_at e order by 1 desc, 2 desc limit 1) z on true;
  sealed := coalesce(cardinality(batch.ids), 0);
  if batch.n = at_most then
    last_at := batch.at;
    last_id := batch.id;
  end if;
  if sealed = 0 then
    return;
  end if;
  select * into head from app.event_seals s where s.organization_id = of_organization order by s.seq desc limit 1;
  head.seq := coalesce(head.seq, 0);
  head.hash := coalesce(head.hash, '');
  last_hash := head.hash;
  for n in 1 .. sealed loop
    last_hash := app.event_seal_hash(last_hash, of_organization, head.seq + n, batch.ids[n], batch.times[n], batch.cores[n], batch.details[n]);
    chain[n] := last_hash;
  end loop;
  insert into app.event_seals (organization_id, seq, event_id, occurred_at, core_hash, details_hash, prev_hash, hash)
  select of_organization, head.seq + e.n, e.id, e.occurred_at, e.core, e.details, lag(e.hash, 1, head.hash) over (order by e.n), e.hash
  from unnest(batch.ids, batch.times, batch.cores, batch.details, chain) with ordinality e (id, occurred_at, core, details, hash, n);
end
$$;
comment on function app_private.seal_batch(uuid, timestamptz, uuid, timestamptz, timestamptz, integer) is
  'Looks at so many events of an organization after one (its time and id), up to a time and beyond another, and adds the unsealed ones to its chain, in chronological order. Returns how many, and the last one looked at if there may be more.';
alter function app_private.seal_batch(uuid, timestamptz, uuid, timestamptz, timestamptz, integer) owner to callboard_definer;
create or replace function app.seal_part(look_back interval, behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set jit = off
as $$
declare
  began constant timestamptz := clock_timestamp();
  is_thorough constant boolean := look_back >= interval '1 hour';
  state app_private.sealing;
  horizon timestamptz := behind ->> 'horizon';
  until timestamptz := behind ->> 'until';
  since timestamptz := behind ->> 'since';
  future timestamptz := case when is_thorough then began + interval '5 minutes' else 'infinity' end;
  organization uuid := behind ->> 'organization';
  last_at timestamptz := behind ->> 'last_at';
  last_id uuid := behind ->> 'last_id';
  head_at timestamptz;
  has_more boolean := coalesce((behind ->> 'has_more')::boolean, false);
  done integer;
  sealed integer := 0;
begin
  -- Parts of others take about a second.
  select * into state from app_private.sealing for update;
  if behind ->> 'until' is null then
    -- Nobody's open transaction delays this for more than three seconds. What it writes is dated by its beginning: an event
    -- that is older than those already sealed, also because the clock was set back, is found within look_back and sealed after them.
    horizon := app_private.seal_horizon();
    until := greatest(horizon, began - interval '3 seconds');
    since := case
      when is_thorough then greatest(state.sealed_until, began - interval '1 day')
      else greatest(state.sealed_until, least(state.reached, began - interval '1 minute')) end;
    since := greatest(least(since, state.reached) - look_back, '0001-01-01 00:00:00+00');
  end if;
  loop
    if last_at is null then
      organization := app_private.next_logged(organization, since, case when is_thorough then 'infinity' else until end);
      exit when organization is null;
      -- Skips nearly all organizations, because this runs every few seconds.
      continue when not is_thorough and not exists (select from app.event_log l
        where l.organization_id = organization and l.occurred_at >= since and l.occurred_at < until);
    end if;
    if last_at is null and not is_thorough then
      head_at := (select s.occurred_at from app.event_seals s where s.organization_id = organization order by s.seq desc limit 1);
    end if;
    select b.sealed, b.last_at, b.last_id into done, last_at, last_id
    from app_private.seal_batch(organization, coalesce(last_at, greatest(since, least(coalesce(head_at, since), until) - look_back)), last_id, until, future, 5000) b;
    sealed := sealed + done;
    -- Nobody's events wait for the backlog of another: each gets a batch, then it begins anew.
    if last_at is not null and done > 0 and not is_thorough then
      has_more := true;
      last_at := null;
      last_id := null;
    end if;
    -- In parts, so that no transaction is long.
    if sealed >= 10000 or clock_timestamp() > began + interval '1 second' then
      return jsonb_build_object('sealed', sealed, 'failed', 0, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer, 'next',
        jsonb_build_object('horizon', horizon, 'until', until, 'since', since, 'organization', organization, 'last_at', last_at, 'last_id', last_id,
        'has_more', has_more));
    end if;
  end loop;
  if has_more then
    return jsonb_build_object('sealed', sealed, 'failed', 0, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer, 'next', jsonb '{}');
  end if;
  update app_private.sealing x set sealed_until = greatest(x.sealed_until, horizon), reached = greatest(x.reached, until);
  return jsonb_build_object('sealed', sealed, 'failed', 0, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer, 'next', null)
    || case when sealed = 0 then jsonb '{"is_idle": true}' else '{}' end;
end
$$;
comment on function app.seal_part(interval, jsonb) is
  'Seals at most 15,000 events: new ones, and any within the last look_back that were missed. To continue, call it again with next, until that is null; a concurrent call waits for its turn. Runs every 2 seconds with ''10 seconds'', once a minute with ''1 hour'', and once a day with ''1000 years''.';
alter function app.seal_part(interval, jsonb) owner to callboard_definer;
grant execute on function app.seal_part(interval, jsonb) to callboard_worker;
create or replace function app.seal_events(look_back interval default '1 hour') returns bigint
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select (app.seal_part(look_back) ->> 'sealed')::bigint;
end;
comment on function app.seal_events(interval) is 'Seals as app.seal_part does, the first part of it; returns how many events.';
alter function app.seal_events(interval) owner to callboard_definer;
grant execute on function app.seal_events(interval) to callboard_worker;
-- EndIncluded audit/event_seals.sql
-- Included organizations/organizations.sql
-- Companies: the tenants. The row's own id is the organization_id of everything else.

create table if not exists app.organizations (
  id uuid primary key default app.uuid_v7(),
  name text collate app.people not null constraint organizations_name_length check (app.is_line(name, 200)),
  slug text not null,
  currency char(3) not null default 'USD' constraint organizations_currency_format check (currency ~ '^[A-Z]{3}$')
    constraint organizations_currency_exists references app.currencies (code),
  time_zone text not null default 'UTC' constraint organizations_time_zone_exists check (app.is_time_zone(time_zone)),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid
);
-- EXPLAIN shows everybody estimates from statistics over all organizations, so none are collected for
-- columns whose values only one organization should know. The other tables do the same.
select app_private.hide_statistics('app.organizations');
select app_private.force_rls('app.organizations');
select app_private.member_policy('app.organizations', 'select', 'organization.read', organization_column => 'id');
select app_private.member_policy('app.organizations', 'update', 'organization.update', organization_column => 'id');
-- Without a grant, because deletes are soft: app.delete_organization.
select app_private.member_policy('app.organizations', 'delete', 'organization.delete', organization_column => 'id');
-- app.enter and sign-in read organizations before there is a context.
select app_private.set_policy('app.organizations', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.organizations', 'insert_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.organizations', 'update_definer', 'callboard_definer', 'id = (select app.current_org())');
select app_private.set_policy('app.organizations', 'purge_definer', 'callboard_definer',
  $$(id = (select app.current_org())) and (deleted_at < (now() - '1 day'::interval))$$, 'delete');
-- Figures are computed for all organizations at once: see analytics/rollups.sql.
select app_private.set_policy('app.organizations', 'select_rollup', 'callboard_rollup', 'true');
grant select on app.organizations to callboard_api, callboard_definer, callboard_rollup;
grant update (name, currency, time_zone) on app.organizations to callboard_api;
grant insert (id, name, currency, time_zone), update (deleted_at, deleted_by, deletion_id), delete on app.organizations to callboard_definer;
comment on table app.organizations is 'Companies that put on shows; each is a tenant.';
comment on column app.organizations.slug is 'Derived from the name by the database; app_private.slugs keeps it and all earlier ones unique.';
comment on column app.organizations.currency is 'ISO 4217 code of the currency in which the organization keeps its books.';
select app_private.definer_table('app_private.slugs', 'select, insert');
select app_private.log_changes('app.organizations', 'organization');
-- EndIncluded organizations/organizations.sql
-- Included organizations/member_permissions.sql
-- Without grants, because the definer's functions write: a policy cannot ensure that nobody grants what they do not hold.
select app_private.tenant_policies('app.member_permissions', reads => 'members.read', inserts => 'members.manage', updates => 'members.manage',
  deletes => 'members.manage', definer => 'insert, update, delete');
select app_private.log_changes('app.member_permissions', 'member',
  '{"create": "set_permission", "update": "set_permission", "delete": "clear_permission"}', 'user_id');
-- What outlives a request is worth what its maker could still do now. Removing them ends it for good, also if they come
-- back: their membership then began later than it.
create or replace function app_private.still_held(organization uuid, member uuid, since timestamptz, lasting boolean default false) returns text[]
language sql stable
set search_path = ''
begin atomic
  select coalesce((
    select app.permissions_of(organization, member, lasting)
    from app.memberships m where m.organization_id = organization and m.user_id = member and m.created_at <= since), '{}');
end;
comment on function app_private.still_held(uuid, uuid, timestamptz, boolean) is
  'The permissions that a member holds now who made something then; none if their membership has ended in between, even if they have another.';
alter function app_private.still_held(uuid, uuid, timestamptz, boolean) owner to callboard_definer;
-- EndIncluded organizations/member_permissions.sql
-- Included accounts/sessions.sql
select app_private.hide_statistics('app.sessions');
select app_private.force_rls('app.sessions');
select app_private.set_policy('app.sessions', 'all_definer', 'callboard_definer', 'true');
-- Every refresh token of a session, spent or not: one that comes back after its successor was used was stolen.
create table if not exists app_private.refresh_tokens (
  token_hash bytea primary key,
  session_id uuid not null references app.sessions (id) on delete cascade,
  created_at timestamptz not null default now(),
  used_at timestamptz,
  -- Null for the first of a session.
  parent_hash bytea
);
select app_private.definer_table('app_private.refresh_tokens');
comment on table app_private.refresh_tokens is 'Hashes of refresh tokens; a token is spent when its successor is used.';
comment on column app_private.refresh_tokens.parent_hash is 'The token that this one replaced.';
-- Whoever lost an answer, or has two windows, sends the same token again; so does a thief, some time. They cannot be told
-- apart before one of them goes on: then the other holds a token whose successor was used.
create or replace function app_private.is_reused(t app_private.refresh_tokens) returns boolean
language sql stable
set search_path = ''
begin atomic
  select t.used_at is not null
    and abs(extract(epoch from statement_timestamp() - t.used_at)) > 10
    and not exists (
      select from app_private.refresh_tokens x
      where x.session_id = t.session_id and x.parent_hash = t.token_hash
        and (x.used_at is null or abs(extract(epoch from statement_timestamp() - x.used_at)) <= 10));
end;
comment on function app_private.is_reused(app_private.refresh_tokens) is
  'Whether a refresh token comes back although its successor has been used, more than 10 seconds ago. Requests that were under way together are no theft.';
alter function app_private.is_reused(app_private.refresh_tokens) owner to callboard_definer;
create or replace function app.refresh_session(
  session_secret text, refresh_secret text, new_refresh_hash bytea, preferred uuid default null
) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  t app_private.refresh_tokens;
  s app.sessions;
  next_secret text;
begin
  select * into s from app.sessions x where x.secret_hash = app_private.digest(session_secret) for update;
  select * into t from app_private.refresh_tokens x
  where x.session_id = s.id and x.token_hash = app_private.digest(refresh_secret);
  if t.token_hash is null then
    perform app.refuse(401, 'invalid_refresh_token', 'This refresh token is not valid: sign in again.');
  elsif s.revoked_at is not null then
    perform app.refuse(401, 'session_revoked');
  elsif s.expires_at <= now() then
    perform app.refuse(401, 'session_expired');
  elsif app_private.is_reused(t) then
    -- Two parties hold it and nobody can tell which is the thief, so both lose the session. The
    -- refusal is returned, not raised, because raising would undo the revocation.
    update app.sessions x set revoked_at = statement_timestamp(), revoked_because = 'refresh_token_reused' where x.id = s.id;
    return app.refusal(401, 'refresh_token_reused', 'This refresh token was used before; the session has been ended: sign in again.');
  end if;
  if preferred is not null and preferred is distinct from app_private.usual_organization(s.user_id, preferred) then
    perform app.refuse(403, 'membership_revoked');
  end if;
  update app_private.refresh_tokens x set used_at = coalesce(x.used_at, statement_timestamp()) where x.token_hash = t.token_hash;
  -- Tokens spent more than a lifetime ago could no longer renew anything.
  delete from app_private.refresh_tokens x where x.session_id = s.id and x.used_at < now() - app_private.session_lifetime();
  -- The same token always has the same successor, so all who send it go on together, without its being stored.
  if new_refresh_hash is null then
    next_secret := encode(app_private.keyed_hash(convert_to(concat_ws(' ', 'refresh', session_secret, refresh_secret), 'UTF8')), 'hex');
  end if;
  insert into app_private.refresh_tokens (token_hash, session_id, parent_hash)
  values (coalesce(new_refresh_hash, app_private.digest(next_secret)), s.id, t.token_hash) on conflict (token_hash) do nothing;
  update app.sessions x
  set refreshed_at = statement_timestamp(), expires_at = now() + app_private.session_lifetime(),
      organization_id = app_private.usual_organization(s.user_id, coalesce(preferred, s.organization_id))
  where x.id = s.id returning * into s;
  return (200, (app_private.grant_of(s.user_id, s.organization_id)::jsonb
    || jsonb_strip_nulls(jsonb_build_object('refresh_secret', next_secret)))::json, null, null)::app.answer;
end
$$;
comment on function app.refresh_session(text, text, bytea, uuid) is
  'Renews a session by its refresh token: the claims of the next access token and, unless the caller gave its SHA-256 as programs up to 0.2.0 do, the secret of the next refresh token, which is the same each time that this one comes. PT401 invalid_refresh_token, session_revoked, session_expired; a token whose successor was used more than 10 seconds ago ends the session (answer 401 refresh_token_reused).';
alter function app.refresh_session(text, text, bytea, uuid) owner to callboard_definer;
grant execute on function app.refresh_session(text, text, bytea, uuid) to callboard_api;
-- EndIncluded accounts/sessions.sql
-- Included foundation/jobs.sql
-- Jobs: work that the worker does after the response. graphile-worker keeps them in a schema of its own
-- (see queue.sql), which the rest of the database uses only through these functions. They are in plpgsql
-- because that schema may not exist yet when they are created.

create or replace function app_private.add_job(
  task text, payload jsonb, job_key text default null, max_attempts integer default null, kind text default null, causer text default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform graphile_worker.add_job(task, payload::json, job_key => add_job.job_key, max_attempts => add_job.max_attempts,
    flags => array_remove(array[kind, kind || ':' || causer], null));
end
$$;
comment on function app_private.add_job(text, jsonb, text, integer, text, text) is
  'Queues a task for the worker, to run once this transaction has committed. The payload must not contain secrets, because it is stored with the job. A waiting job with the same key is replaced; a failed job is retried with increasing delays, up to max_attempts times (default 25). A worker runs so many jobs of a kind at a time (src/jobs/shares.ts), and of those one for each causer, such as an organization; jobs without a kind are the upkeep of the database.';
alter function app_private.add_job(text, jsonb, text, integer, text, text) owner to callboard_definer;
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
      (select extract(epoch from now() - s.reached)::float8 from app_private.sealing s where isfinite(s.reached))
    from graphile_worker._private_jobs j;
end
$$;
comment on function app.job_health() is
  'How many jobs are waiting (including those delayed until a retry) and how many have failed for good, how long the oldest has been due, and how far behind the sealing of events is (null: none sealed yet).';
alter function app.job_health() owner to callboard_definer;
grant execute on function app.job_health() to callboard_worker;
-- EndIncluded foundation/jobs.sql
-- Included foundation/idempotency.sql
-- Responses to POST requests with an Idempotency-Key, kept for a day, so that a client
-- that lost the response can retry without repeating the action.

create table if not exists app.idempotency_keys (
  -- Null for requests outside any organization, such as the one that creates it.
  organization_id uuid default app.current_org() references app.organizations (id) on delete cascade,
  user_id uuid not null default app.current_user_id() references app.users (id) on delete cascade,
  key text not null constraint idempotency_keys_length check (length(key) between 1 and 200),
  request_hash bytea not null,
  answer app.answer,
  seen_with text[],
  created_at timestamptz not null default now(),
  about_organization_id uuid,
  canonical_hash bytea
);
select app_private.force_rls('app.idempotency_keys');
-- The API has no grant: it goes through the two functions, which see one user's keys, in one organization or in none.
drop policy if exists all_definer on app.idempotency_keys;
create policy all_definer on app.idempotency_keys for all to callboard_definer
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
-- Also from the organization that the request has created or joined.
drop policy if exists account_definer on app.idempotency_keys;
create policy account_definer on app.idempotency_keys for all to callboard_definer
  using (organization_id is null and user_id = (select app.current_user_id()));
-- The purge has no context and sees only rows that are too old to be returned.
drop policy if exists purge_definer on app.idempotency_keys;
create policy purge_definer on app.idempotency_keys for all to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '24 hours');
grant select, insert, update, delete on app.idempotency_keys to callboard_definer;
comment on table app.idempotency_keys is 'Responses to POST requests with an Idempotency-Key.';
comment on column app.idempotency_keys.request_hash is 'SHA-256 of the request as it came, which programs up to 0.2.0 compare.';
comment on column app.idempotency_keys.canonical_hash is 'SHA-256 of the request with its fields in alphabetical order.';
comment on column app.idempotency_keys.seen_with is 'The permissions that its user held afterwards: without one of them, the response is not repeated.';
comment on column app.idempotency_keys.about_organization_id is 'Of a request outside any organization, the one that it created, restored or joined: the response is repeated to its members.';
create or replace function app.claim_key(the_key text, hash bytea, canonical bytea default null) returns setof app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.current_org();
  me uuid := app.current_user_id();
  held text[] := string_to_array(coalesce((app_private.context()).permissions, ''), ' ');
  known app.idempotency_keys;
begin
  -- An expired key is free, even before it is purged. A running request with the same key holds a lock on the row:
  -- this waits for it to end.
  insert into app.idempotency_keys as k (key, request_hash, canonical_hash) values (the_key, hash, canonical)
  on conflict (organization_id, user_id, key) do update
  set request_hash = hash, canonical_hash = canonical, answer = null, seen_with = null, about_organization_id = null, created_at = now()
  where k.created_at < now() - interval '24 hours';
  if found then
    return;
  end if;
  -- Two statements, because IS NOT DISTINCT FROM uses no index.
  if organization is null then
    select * into known from app.idempotency_keys k where k.organization_id is null and k.user_id = me and k.key = the_key;
  else
    select * into known from app.idempotency_keys k where k.organization_id = organization and k.user_id = me and k.key = the_key;
  end if;
  if known.request_hash is distinct from hash and (known.canonical_hash = canonical) is not true then
    perform app.refuse(409, 'idempotency_key_reused', 'This Idempotency-Key was used for another request.');
  end if;
  if not known.seen_with <@ held then
    perform app.refuse(403, 'permission_denied', 'It has been done. You have lost a permission since then, so the response is not repeated.');
  end if;
  if known.about_organization_id is not null
    and known.about_organization_id is distinct from app_private.usual_organization(me, known.about_organization_id) then
    perform app.refuse(403, 'membership_revoked', 'It has been done. You no longer belong to the organization, so the response is not repeated.');
  end if;
  return next known.answer;
end
$$;
comment on function app.claim_key(text, bytea, bytea) is
  'Claims an Idempotency-Key for this transaction, or returns the stored response. The hashes are of the request as it came, and of the request with its fields in alphabetical order. PT409 idempotency_key_reused when both differ, PT403 when the user has lost a permission that they held then, or the membership that it gave them.';
alter function app.claim_key(text, bytea, bytea) owner to callboard_definer;
grant execute on function app.claim_key(text, bytea, bytea) to callboard_api;
create or replace function app.keep_answer(the_key text, status integer, body json, etag text, location text) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.current_org();
  me uuid := app.current_user_id();
  the_answer app.answer := (status, body, etag, location);
begin
  -- Only the claim of this transaction has no response yet. The request may have changed what its user holds.
  update app.idempotency_keys k set answer = the_answer, seen_with = app.permissions_of(organization, me)
  where k.organization_id = organization and k.user_id = me and k.key = the_key and k.answer is null;
  if not found then
    -- It may have led into an organization.
    update app.idempotency_keys k set answer = the_answer, seen_with = '{}', about_organization_id = organization
    where k.organization_id is null and k.user_id = me and k.key = the_key and k.answer is null;
  end if;
end
$$;
comment on function app.keep_answer(text, integer, json, text, text) is 'Stores the response to the request that claimed the key, in the same transaction.';
alter function app.keep_answer(text, integer, json, text, text) owner to callboard_definer;
grant execute on function app.keep_answer(text, integer, json, text, text) to callboard_api;
-- EndIncluded foundation/idempotency.sql
-- Included accounts/mails.sql
select app_private.definer_table('app_private.mails');
select app_private.definer_table('app_private.mailed_secrets', 'select, insert');
create or replace function app_private.send_mail(mail uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c constant app_private.context := app_private.context();
begin
  -- Before signing in, its causer is a network address, as for the limits of requests: only a hash of it is stored.
  perform app_private.add_job('send_mail', jsonb_build_object('mail', mail), job_key => 'send_mail:' || mail, max_attempts => 12,
    kind => 'mail', causer => coalesce(c.organization_id::text,
      left(encode(app_private.digest(network(set_masklen(c.ip, case family(c.ip) when 6 then 64 else 32 end))::text), 'hex'), 32)));
end
$$;
comment on function app_private.send_mail(uuid) is
  'Has the worker send a mail from the outbox: 12 attempts within about 16 hours, and one at a time of those that an organization or, without one, a network address has caused.';
alter function app_private.send_mail(uuid) owner to callboard_definer;
create or replace function app_private.address_reset(mail uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  asked app_private.mails;
  who app.users;
begin
  select * into asked from app_private.mails m
  where m.id = mail and m.kind = 'reset_password' and m.sent_at is null and m.failed_at is null
    and not exists (select from app_private.email_tokens t where t.mail_id = m.id)
  for update;
  if asked.id is null then
    return;
  end if;
  select * into who from app.users u where lower(u.email) = lower(asked.to_address);
  -- A link requested before a password was chosen must not undo that.
  if who.id is null or exists (select from app_private.credentials c where c.user_id = who.id and c.changed_at > asked.created_at) then
    delete from app_private.mails m where m.id = mail;
    return;
  end if;
  perform app_private.open_link(mail, who.id, 'reset_password', interval '1 hour');
  update app_private.mails m set data = jsonb_build_object('display_name', who.display_name) where m.id = mail;
end
$$;
comment on function app_private.address_reset(uuid) is
  'Looks up who has forgotten their password: app.forget_password queues a mail to every address. One that nobody has is dropped.';
alter function app_private.address_reset(uuid) owner to callboard_definer;
create or replace function app.take_mail(mail uuid) returns table (kind text, to_address text, data jsonb)
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  secret text := app_private.random_token();
begin
  perform app_private.address_reset(mail);
  -- Committed before the worker has the secret, so no mail carries one that is not known here.
  insert into app_private.mailed_secrets (secret_hash, mail_id)
  select app_private.digest(secret), m.id from app_private.mails m
  where m.id = mail and m.has_link and m.sent_at is null and m.failed_at is null;
  return query
    select m.kind, m.to_address, case when m.has_link then m.data || jsonb_build_object('token', secret) else m.data end
    from app_private.mails m
    where m.id = mail and m.sent_at is null and m.failed_at is null;
end
$$;
comment on function app.take_mail(uuid) is
  'A mail to send, with a new secret for its link; nothing if it has been sent, abandoned or deleted. The links of earlier attempts still work.';
alter function app.take_mail(uuid) owner to callboard_definer;
grant execute on function app.take_mail(uuid) to callboard_worker;
-- EndIncluded accounts/mails.sql
-- Included accounts/accounts.sql
select app_private.definer_table('app_private.credentials', 'select, insert, update');
select app_private.definer_table('app_private.email_tokens');
create or replace function app.password_recipe(address text default null) returns text
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  who uuid := (select u.id from app.users u where lower(u.email) = lower(address));
  -- An unknown address gets a salt too, always the same one, so that it looks like a known one. It is made for every
  -- address, and all 128 bits come from the hash: the time, or the fixed bits of a UUID, would give the fake away.
  fake text := app_private.password_cost() || encode(substring(app_private.keyed_hash(
    convert_to('salt:' || coalesce(lower(address), gen_random_uuid()::text), 'UTF8')) from 1 for 16), 'base64');
begin
  return coalesce((select c.recipe from app_private.credentials c where c.user_id = coalesce(who, app_private.nobody())), fake);
end
$$;
comment on function app.password_recipe(text) is
  'How to derive the proof of a password: argon2id$m=<KiB>,t=<passes>,p=<lanes>$<salt, base64>. With null, a fresh recipe for a new password. The cost is that of app_private.password_cost.';
alter function app.password_recipe(text) owner to callboard_definer;
grant execute on function app.password_recipe(text) to callboard_api;
create or replace function app_private.open_link(mail uuid, of_user uuid, for_purpose text, lifetime interval) returns void
language sql volatile
set search_path = ''
begin atomic
  -- Only the links of the newest mail work.
  update app_private.email_tokens t set used_at = now()
  where t.user_id = of_user and t.purpose = for_purpose and t.used_at is null;
  insert into app_private.email_tokens (mail_id, user_id, purpose, expires_at) values (mail, of_user, for_purpose, now() + lifetime);
end;
comment on function app_private.open_link(uuid, uuid, text, interval) is 'What the link in a mail to a user is for; links of earlier mails for the same end.';
alter function app_private.open_link(uuid, uuid, text, interval) owner to callboard_definer;
create or replace function app_private.mail_token(of_user uuid, for_purpose text, lifetime interval) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  mail uuid := app.uuid_v7();
begin
  perform app_private.open_link(mail, of_user, for_purpose, lifetime);
  perform app_private.queue_mail(for_purpose, u.email, jsonb_build_object('display_name', u.display_name), mail)
  from app.users u where u.id = of_user;
end
$$;
comment on function app_private.mail_token(uuid, text, interval) is 'Mails a link that proves the address belongs to the user.';
alter function app_private.mail_token(uuid, text, interval) owner to callboard_definer;
create or replace function app_private.stand_in() returns uuid
language sql stable
set search_path = ''
begin atomic
  select u.id from app.users u order by u.id limit 1;
end;
comment on function app_private.stand_in() is 'The user about whom everything is looked up where an address is unknown, so that it takes as long.';
alter function app_private.stand_in() owner to callboard_definer;
create or replace function app.sign_in(
  address text, proof bytea, session_hash bytea, refresh_hash bytea, client jsonb, organization uuid default null
) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  stand_in uuid := app_private.stand_in();
  who uuid := (select u.id from app.users u where lower(u.email) = lower(address));
  is_proved boolean := app_private.is_password(coalesce(who, stand_in), proof) and who is not null;
begin
  -- Refusals are returned, not raised, because raising would roll back their event.
  if not is_proved then
    perform app_private.log_failed_sign_in(address, who, 'invalid_credentials', organization);
    return app.refusal(401, 'invalid_credentials', 'The address or the password is wrong.');
  end if;
  if organization is not null and organization is distinct from app_private.usual_organization(who, organization) then
    perform app_private.log_failed_sign_in(address, who, 'membership_revoked', organization);
    return app.refusal(403, 'membership_revoked');
  end if;
  return (200, app_private.start_session(who, session_hash, refresh_hash, organization, client), null, null)::app.answer;
end
$$;
comment on function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) is
  'Starts a session for a user who proves the password. Answers 401 invalid_credentials (also for an unknown address) and 403 membership_revoked.';
alter function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) owner to callboard_definer;
grant execute on function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) to callboard_api;
create or replace function app.forget_password(address text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- Whether somebody has this address is looked up when the mail is taken, not here: the time would tell.
  perform app_private.queue_mail('reset_password', lower(address), '{}', app.uuid_v7());
  return (202, null, null, null)::app.answer;
end
$$;
comment on function app.forget_password(text) is 'Mails a link for a new password if the address is known; neither the response nor the time that it takes reveals whether it is.';
alter function app.forget_password(text) owner to callboard_definer;
grant execute on function app.forget_password(text) to callboard_api;
-- EndIncluded accounts/accounts.sql
-- Included accounts/signing_up.sql
-- Signing up: an account with an organization of its own, or with a membership by invitation.

create or replace function app.sign_up(
  address text, display_name text, recipe text, proof bytea, organization_name text default null, invitation_token text default null,
  settings jsonb default '{}'
) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  new_user uuid := app.uuid_v7();
  refusal app.answer := app_private.refuse_void_invitation(invitation_token);
begin
  if refusal.status is not null then
    return refusal;
  end if;
  insert into app.users (id, email, display_name) values (new_user, lower(address), display_name);
  perform app_private.set_password(new_user, recipe, proof);
  if invitation_token is not null then
    perform app_private.accept_invitation(new_user, invitation_token);
  else
    perform app_private.found_organization(new_user, settings || jsonb_build_object('name', organization_name));
    perform app_private.mail_token(new_user, 'verify_email', interval '3 days');
  end if;
  perform app_private.log_event(app.current_org(), 'auth.register', 'user', new_user,
    jsonb_build_object('new', jsonb_build_object('email', lower(address), 'display_name', display_name)));
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.sign_up(text, text, text, bytea, text, text, jsonb) is
  'Creates a user with a first organization, whose settings are its currency and time_zone, or as a member by invitation. Answers 403 invitation_void; email_taken, PT409 slug_reserved, PT400 invalid_token, PT403 invitation_for_another_address.';
alter function app.sign_up(text, text, text, bytea, text, text, jsonb) owner to callboard_definer;
grant execute on function app.sign_up(text, text, text, bytea, text, text, jsonb) to callboard_api;
-- For programs of the release before.
create or replace function app.register(
  address text, display_name text, recipe text, proof bytea, organization_name text default null, invitation_token text default null,
  settings jsonb default '{}'
) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  done app.answer := app.sign_up(address, display_name, recipe, proof, organization_name, invitation_token, settings);
begin
  if done.status >= 400 then
    perform app.refuse(403, 'permission_denied', done.body ->> 'detail');
  end if;
end
$$;
comment on function app.register(text, text, text, bytea, text, text, jsonb) is 'As app.sign_up, but raises PT403 permission_denied for a void invitation.';
alter function app.register(text, text, text, bytea, text, text, jsonb) owner to callboard_definer;
grant execute on function app.register(text, text, text, bytea, text, text, jsonb) to callboard_api;
-- EndIncluded accounts/signing_up.sql
-- Included accounts/account_events.sql
-- Account events. An account belongs to no organization, so its events go to the log of the
-- organization that its user currently works in: the session's, or the one that the next
-- sign-in would enter.

-- Who people are, and where they sign in, is seen by those who may see members.
insert into app_private.event_nouns (on_table, noun, permission) values ('app.users', 'user', 'members.read'), ('app.sessions', 'session', 'members.read')
on conflict on constraint event_nouns_pkey do update set noun = excluded.noun, permission = excluded.permission
  where (event_nouns.noun, event_nouns.permission) is distinct from (excluded.noun, excluded.permission);
create or replace function app_private.log_failed_sign_in(address text, who uuid, problem text, organization uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  -- All are computed for every address, so that timing does not reveal whether it is known.
  stand_in uuid := app_private.stand_in();
  landing uuid := app_private.usual_organization(coalesce(who, stand_in), organization);
  -- Only a keyed hash of an unknown address, which could be a password typed into the wrong field.
  hash text := encode(app_private.keyed_hash(convert_to('address:' || lower(address), 'UTF8')), 'hex');
begin
  perform app_private.log_event(case when who is not null then landing end, 'auth.sign_in_failed', 'user', who,
    jsonb_build_object('new', jsonb_build_object('problem', problem)
      || case when who is null then jsonb_build_object('address_hash', hash) else '{}' end));
end
$$;
comment on function app_private.log_failed_sign_in(text, uuid, text, uuid) is
  'Logs a refused sign-in in the organization that it would have entered; with an unknown address, in none.';
alter function app_private.log_failed_sign_in(text, uuid, text, uuid) owner to callboard_definer;
-- EndIncluded accounts/account_events.sql
-- Included organizations/organization_commands.sql
-- Organizations are free to found, and what is counted for each of them would otherwise be free to multiply.
create table if not exists app_private.foundings (
  user_id uuid not null references app.users (id) on delete cascade,
  founded_at timestamptz not null default now()
);
create index if not exists foundings_user_id_idx on app_private.foundings (user_id);
select app_private.definer_table('app_private.foundings', 'select, insert, delete');
comment on table app_private.foundings is 'Who founded an organization within the last day, and when; older ones go with the next.';
create or replace function app_private.count_founding(founder uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- One at a time: many at once must not all find that there is room.
  perform from app.users u where u.id = founder for no key update;
  delete from app_private.foundings f where f.user_id = founder and f.founded_at < now() - interval '1 day';
  if (select count(*) from app_private.foundings f where f.user_id = founder) >= 5 then
    perform app.refuse(409, 'too_many_foundings');
  end if;
  insert into app_private.foundings (user_id) values (founder);
end
$$;
comment on function app_private.count_founding(uuid) is 'Notes that a user founds an organization: 5 within a day. PT409 too_many_foundings.';
alter function app_private.count_founding(uuid) owner to callboard_definer;
create or replace function app_private.found_organization(founder uuid, body jsonb) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  organization uuid := app.uuid_v7();
begin
  perform app_private.count_founding(founder);
  -- Nobody can add the first member, so these two rows are written in the founder's own context.
  perform app_private.change_context(founder, coalesce(app.current_session_id(), app.uuid_v7()), organization);
  insert into app.organizations (id, name, currency, time_zone)
  values (organization, body ->> 'name', coalesce(body ->> 'currency', 'USD'), coalesce(body ->> 'time_zone', 'UTC'));
  perform app_private.join_organization(founder, organization, 'owner');
  return organization;
end
$$;
comment on function app_private.found_organization(uuid, jsonb) is 'Creates an organization with its owner and leaves the transaction in its context, without permissions. PT409 too_many_foundings.';
alter function app_private.found_organization(uuid, jsonb) owner to callboard_definer;
create or replace function app.create_organization(body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid;
begin
  if app.current_user_id() is null then
    perform app.refuse(401, 'session_unknown');
  end if;
  organization := app_private.found_organization(app.current_user_id(), body);
  return (201, o.body, app.etag(o.version), '/api/organizations/' || o.id)::app.answer
    from app.organization_list o where o.id = organization;
end
$$;
comment on function app.create_organization(jsonb) is 'Creates an organization owned by the signed-in user: name, currency, time_zone. PT409 slug_reserved, too_many_foundings.';
alter function app.create_organization(jsonb) owner to callboard_definer;
grant execute on function app.create_organization(jsonb) to callboard_api;
create or replace function app.replace_organization(organization uuid, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  select o.version into present from app.organization_list o where o.id = organization;
  perform app.check_version(present, if_match);
  perform app.require('organization.update');
  select o.version into present from app.organizations o where o.id = organization for no key update;
  perform app.check_version(present, if_match);
  update app.organizations o
  set name = coalesce(body ->> 'name', o.name), currency = coalesce(body ->> 'currency', o.currency), time_zone = coalesce(body ->> 'time_zone', o.time_zone)
  where o.id = organization;
  return app.read_organization(organization::text);
end
$$;
comment on function app.replace_organization(uuid, jsonb, text) is 'Sets name, currency and time_zone as far as they are given; the slug follows the name. PT403, PT404, PT409 slug_reserved, organization_has_books, PT412.';
grant execute on function app.replace_organization(uuid, jsonb, text) to callboard_api;
-- EndIncluded organizations/organization_commands.sql
-- Included organizations/invitations.sql
-- Invitations by mail. The secret of the link is made when the mail is sent (accounts/mails.sql), so presenting
-- it proves access to the mailbox. It works once, unless it has expired, been revoked or been sent again, and as long as
-- who sent it could still give the role: nobody who was removed can come back through a friend.

create table if not exists app.invitations (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  email text not null constraint invitations_email_format check (
    email = lower(email) and length(email) <= 254 and email ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+\.[^@[:space:][:cntrl:].]+$'),
  role text not null constraint invitations_role_exists references app.roles (name),
  mail_id uuid not null,
  invited_by uuid not null references app.users (id),
  -- When invited_by sent it: at the beginning, or again; null for one of an earlier release.
  invited_at timestamptz default now(),
  void_because text constraint invitations_void_because_known check (void_because in ('inviter_removed', 'inviter_lost_permission')),
  expires_at timestamptz not null,
  accepted_at timestamptz,
  accepted_by uuid references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id)
);
-- Without grants: the definer's functions write. Invitations are accepted before membership begins, so they read all organizations.
select app_private.tenant_policies('app.invitations', reads => 'members.manage', inserts => 'members.manage', updates => 'members.manage',
  deletes => 'members.manage', definer => 'insert, update', known => '{role}');
grant select (organization_id, id, email, role, invited_by, expires_at, accepted_at, accepted_by, created_at, updated_at, version, deleted_at, deleted_by, deletion_id)
  on app.invitations to callboard_api;
grant select, insert, update on app.invitations to callboard_definer;
comment on table app.invitations is 'Invitations to join an organization; deleted_at marks revoked ones.';
comment on column app.invitations.invited_by is 'Who sent it last. Without them, or when they may not give the role any more, it is void.';
comment on column app.invitations.void_because is 'Why it was refused to somebody who tried to accept it, which ended it; sending it again revives it.';
comment on column app.invitations.mail_id is 'The newest mail with its link: those of earlier mails no longer work.';
select app_private.log_changes('app.invitations', 'invitation',
  '{"delete": "revoke", "accepted_at": "accept", "expires_at": "resend", "void_because": "void"}', leave_out => '{mail_id}');
create or replace function app_private.invitation_fault(i app.invitations) returns text
language sql stable
set search_path = ''
return case
  when i.void_because is not null then i.void_because
  when not exists (
    select from app.memberships m
    where m.organization_id = i.organization_id and m.user_id = i.invited_by and m.created_at <= coalesce(i.invited_at, i.created_at)
      and m.deleted_at is null) then 'inviter_removed'
  -- As app_private.require_to_hold asks of whoever gives a role.
  when not (app.permissions_of(i.organization_id, i.invited_by, lasting => true) @> app_private.permissions_of_role(i.role)
    and 'members.manage' = any (app.permissions_of(i.organization_id, i.invited_by))) then 'inviter_lost_permission'
end;
comment on function app_private.invitation_fault(app.invitations) is
  'Why an invitation is worth nothing: inviter_removed (even if they are a member again) or inviter_lost_permission; null if who sent it could give the role now.';
alter function app_private.invitation_fault(app.invitations) owner to callboard_definer;
create or replace function app.invitation_fault(invitation uuid) returns text
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select app_private.invitation_fault(i) from app.invitations i
  where i.organization_id = app.org_if_reading('members.manage') and i.id = invitation and i.accepted_at is null and i.expires_at > now();
end;
comment on function app.invitation_fault(uuid) is 'Why an open invitation of the organization is void, or null; for members with members.manage.';
alter function app.invitation_fault(uuid) owner to callboard_definer;
grant execute on function app.invitation_fault(uuid) to callboard_api, callboard_definer;
create or replace view app.invitation_list with (security_invoker = true) as
  select i.organization_id, i.id, i.email, i.version, i.created_at,
    json_build_object('id', i.id, 'email', i.email, 'role', i.role, 'invited_by', i.invited_by,
      'status', case when i.accepted_at is not null then 'accepted' when i.expires_at <= now() then 'expired'
        when f.fault is not null then 'void' else 'pending' end,
      'void_because', f.fault, 'expires_at', i.expires_at, 'accepted_at', i.accepted_at, 'created_at', i.created_at, 'updated_at', i.updated_at) as body
  from app.invitations i, lateral (select app.invitation_fault(i.id) as fault) f
  where i.deleted_at is null;
comment on view app.invitation_list is 'The organization''s invitations that have not been revoked.';
grant select on app.invitation_list to callboard_api, callboard_definer;
-- EndIncluded organizations/invitations.sql
-- Included organizations/invitation_commands.sql
-- Commands on invitations, by those who manage members and by those who are invited; the table is in invitations.sql.

create or replace function app_private.send_invitation(invitation uuid) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  mail uuid := app.uuid_v7();
  i app.invitations;
begin
  -- It is theirs who sent it last.
  update app.invitations x
  set mail_id = mail, expires_at = now() + interval '7 days', invited_by = app.current_user_id(), invited_at = now(), void_because = null
  where x.organization_id = app.current_org() and x.id = invitation and x.accepted_at is null and x.deleted_at is null
  returning * into i;
  if i.id is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app_private.queue_mail('invitation', i.email,
    jsonb_build_object('organization', o.name, 'role', i.role, 'invited_by', u.display_name), mail)
  from app.organizations o, app.users u where o.id = i.organization_id and u.id = i.invited_by;
  return (200, l.body, app.etag(l.version), '/api/invitations/' || l.id)::app.answer
    from app.invitation_list l where l.organization_id = i.organization_id and l.id = i.id;
end
$$;
comment on function app_private.send_invitation(uuid) is 'Mails a link for an invitation, which ends the earlier ones, and gives it another seven days. PT404 unless it is open.';
alter function app_private.send_invitation(uuid) owner to callboard_definer;
create or replace function app_private.withdraw_invitations(of_organization uuid, address text, expiring_until timestamptz) returns void
language sql volatile
set search_path = ''
begin atomic
  update app.invitations i
  set deleted_at = statement_timestamp(), deleted_by = app.current_user_id(), deletion_id = app.uuid_v7()
  where i.organization_id = of_organization and i.email = lower(address) and i.expires_at <= expiring_until
    and i.accepted_at is null and i.deleted_at is null;
end;
comment on function app_private.withdraw_invitations(uuid, text, timestamptz) is 'Revokes an address''s pending invitations that expire by a given time.';
alter function app_private.withdraw_invitations(uuid, text, timestamptz) owner to callboard_definer;
create or replace function app.read_invitation(invitation uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require_reading('members.manage');
  select 200, l.body, app.etag(l.version), '/api/invitations/' || l.id into answer
  from app.invitation_list l where l.organization_id = app.current_org() and l.id = invitation;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_invitation(uuid) is 'An invitation that has not been revoked. PT403, PT404.';
grant execute on function app.read_invitation(uuid) to callboard_api;
create or replace function app.create_invitation(address text, new_role text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app_private.administer();
  invitation uuid := app.uuid_v7();
  answer app.answer;
begin
  perform app_private.require_to_hold(app_private.permissions_of_role(new_role));
  if exists (select from app.memberships m join app.users u on u.id = m.user_id
             where m.organization_id = organization and lower(u.email) = lower(address) and m.deleted_at is null) then
    perform app.refuse(409, 'already_member');
  end if;
  -- One that nobody can accept is in nobody's way.
  perform app_private.withdraw_invitations(organization, address, coalesce((
    select 'infinity'::timestamptz from app.invitations i
    where i.organization_id = organization and i.email = lower(address) and i.accepted_at is null and i.deleted_at is null
      and app_private.invitation_fault(i) is not null), now()));
  insert into app.invitations (organization_id, id, email, role, mail_id, invited_by, expires_at)
  values (organization, invitation, lower(address), new_role, app.uuid_v7(), app.current_user_id(), now() + interval '7 days');
  answer := app_private.send_invitation(invitation);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_invitation(text, text) is 'Invites an address. PT403 permission_denied, permission_not_held, PT409 already_member, invitation_pending.';
alter function app.create_invitation(text, text) owner to callboard_definer;
grant execute on function app.create_invitation(text, text) to callboard_api;
create or replace function app.resend_invitation(invitation uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app_private.administer();
begin
  -- It is theirs from then on, so they must be able to give the role, too.
  perform app_private.require_to_hold(app_private.permissions_of_role(i.role)) from app.invitations i
  where i.organization_id = organization and i.id = invitation;
  return app_private.send_invitation(invitation);
end
$$;
comment on function app.resend_invitation(uuid) is 'Mails a new link; the old one stops working. It is the caller''s from then on. PT403 permission_denied, permission_not_held, PT404.';
alter function app.resend_invitation(uuid) owner to callboard_definer;
grant execute on function app.resend_invitation(uuid) to callboard_api;
create or replace function app.revoke_invitation(invitation uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('members.manage');
  present integer;
begin
  select i.version into present from app.invitations i
  where i.organization_id = organization and i.id = invitation and i.accepted_at is null and i.deleted_at is null for no key update;
  perform app.check_version(present, if_match);
  update app.invitations i
  set deleted_at = statement_timestamp(), deleted_by = app.current_user_id(), deletion_id = app.uuid_v7()
  where i.organization_id = organization and i.id = invitation;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.revoke_invitation(uuid, text) is 'Revokes a pending invitation. PT403, PT404, PT412.';
alter function app.revoke_invitation(uuid, text) owner to callboard_definer;
grant execute on function app.revoke_invitation(uuid, text) to callboard_api;
create or replace function app_private.refuse_void_invitation(token text) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  c app_private.context := app_private.context();
  i app.invitations;
  fault text;
begin
  select * into i from app.invitations x
  where x.mail_id = app_private.mail_with(token) and x.accepted_at is null and x.deleted_at is null and x.expires_at > now();
  if i.id is null then
    return null;
  end if;
  -- Whoever changes what members hold has this lock: nobody loses the right to invite while it is being used.
  perform app_private.change_context(coalesce(c.user_id, app_private.nobody()), coalesce(c.session_id, app.uuid_v7()), i.organization_id);
  perform from app.organizations o where o.id = i.organization_id for no key update;
  fault := app_private.invitation_fault(i);
  if fault is not null then
    update app.invitations x set void_because = fault where x.organization_id = i.organization_id and x.id = i.id and x.void_because is null;
  end if;
  perform app_private.change_context(c.user_id, c.session_id, null);
  return case when fault is not null then app.refusal(403, 'invitation_void', case fault
    when 'inviter_removed' then 'Whoever invited you is no longer a member of the organization: ask somebody else there to invite you.'
    else 'Whoever invited you may no longer give this role: ask somebody else in the organization to invite you.' end) end;
end
$$;
comment on function app_private.refuse_void_invitation(text) is
  'Ends an open invitation that who sent it could not give any more, and returns the refusal, to be committed; null for any other. Locks the organization.';
alter function app_private.refuse_void_invitation(text) owner to callboard_definer;
create or replace function app_private.accept_invitation(who uuid, token text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  i app.invitations;
begin
  select * into i from app.invitations x
  where x.mail_id = app_private.mail_with(token) and x.accepted_at is null and x.deleted_at is null and x.expires_at > now();
  if i.id is null then
    perform app.refuse(400, 'invalid_token');
  elsif i.email is distinct from (select u.email from app.users u where u.id = who) then
    perform app.refuse(403, 'invitation_for_another_address', 'This invitation was sent to an address other than your account''s.');
  end if;
  -- In the context of the inviting organization, without permissions.
  perform app_private.change_context(who, coalesce(app.current_session_id(), app.uuid_v7()), i.organization_id);
  -- It may have been used, revoked or sent again since it was read.
  update app.invitations x set accepted_at = now(), accepted_by = who
  where x.organization_id = i.organization_id and x.id = i.id and x.mail_id = i.mail_id
    and x.accepted_at is null and x.deleted_at is null;
  if not found then
    perform app.refuse(400, 'invalid_token');
  end if;
  perform app_private.join_organization(who, i.organization_id, i.role);
  update app.users u set email_verified_at = now() where u.id = who and u.email_verified_at is null;
  return i.organization_id;
end
$$;
comment on function app_private.accept_invitation(uuid, text) is 'Makes a user a member by invitation. PT400 invalid_token, PT403 invitation_for_another_address, PT409 already_member.';
alter function app_private.accept_invitation(uuid, text) owner to callboard_definer;
create or replace function app.accept_invitation(token text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
  refusal app.answer := app_private.refuse_void_invitation(token);
  organization uuid;
begin
  if refusal.status is not null then
    return refusal;
  end if;
  organization := app_private.accept_invitation(me, token);
  return (200, json_build_object('id', o.id, 'name', o.name, 'slug', o.slug, 'role', m.role, 'deleted_at', o.deleted_at),
    null, '/api/organizations/' || o.id)::app.answer
    from app.organizations o join app.memberships m on m.organization_id = o.id
    where o.id = organization and m.user_id = me;
end
$$;
comment on function app.accept_invitation(text) is 'Accepts an invitation as the signed-in user and returns the organization. Answers 403 invitation_void when who sent it could not give the role any more; PT400, PT403, PT409.';
alter function app.accept_invitation(text) owner to callboard_definer;
grant execute on function app.accept_invitation(text) to callboard_api;
-- EndIncluded organizations/invitation_commands.sql
-- Included organizations/member_commands.sql
create or replace function app_private.set_role(member uuid, new_role text) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  update app.memberships m set role = new_role where m.organization_id = app.current_org() and m.user_id = member;
  if new_role = 'owner' then
    -- Nobody could give back a permission that is denied to an owner.
    delete from app.member_permissions p where p.organization_id = app.current_org() and p.user_id = member and p.effect = 'deny';
  end if;
  perform app_private.note_left_behind(member);
end
$$;
comment on function app_private.set_role(uuid, text) is 'Gives a member a built-in role or, with null, none. PT409 last_owner.';
alter function app_private.set_role(uuid, text) owner to callboard_definer;
create or replace function app.change_member_role(member uuid, new_role text, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.lock_member(member, if_match);
  perform app_private.require_to_hold(app_private.permissions_of_role(new_role));
  perform app_private.set_role(member, new_role);
  return (a.status, (a.body::jsonb || jsonb_build_object('left_behind', app_private.left_behind(member)))::json, a.etag, a.location)::app.answer
    from app.read_member(member) a;
end
$$;
comment on function app.change_member_role(uuid, text, text) is
  'Gives a member another built-in role. PT403 permission_denied, permission_not_held, PT404, PT409 last_owner, PT412.';
alter function app.change_member_role(uuid, text, text) owner to callboard_definer;
grant execute on function app.change_member_role(uuid, text, text) to callboard_api;
create or replace function app.remove_member(member uuid, if_match text default null, revokes_bi boolean default false) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
  organization uuid := app.current_org();
  present integer;
  what jsonb;
begin
  if revokes_bi then
    perform app.require('bi.manage');
  end if;
  -- Leaving needs no permission; removing somebody does.
  if member is distinct from me then
    perform app_private.lock_member(member, if_match);
  else
    perform from app.organizations o where o.id = organization for no key update;
    select m.version into present from app.memberships m
    where m.organization_id = organization and m.user_id = me and m.deleted_at is null for no key update;
    perform app.check_version(present, if_match);
  end if;
  if revokes_bi then
    perform app_private.end_bi_credential(c.id) from app.bi_credentials c
    where c.organization_id = organization and app_private.bi_holder(c) = member and c.revoked_at is null;
  end if;
  update app.memberships m set deleted_at = statement_timestamp(), deleted_by = me, deletion_id = app.uuid_v7()
  where m.organization_id = organization and m.user_id = member;
  -- If they come back, they start with only what they are given then.
  delete from app.member_roles x where x.organization_id = organization and x.user_id = member;
  delete from app.member_permissions x where x.organization_id = organization and x.user_id = member;
  perform app_private.end_own(member);
  perform app_private.note_left_behind(member);
  what := app_private.left_behind(member);
  return (case when what is null then 204 else 200 end, what::json, null, null)::app.answer;
end
$$;
comment on function app.remove_member(uuid, text, boolean) is
  'Removes a member, or lets the caller leave; with revokes_bi, the BI logins for which they answer are revoked. Answers 200 with what they leave behind, 204 if that is nothing. PT403 permission_denied, permission_not_held, PT404, PT409 last_owner, PT412.';
alter function app.remove_member(uuid, text, boolean) owner to callboard_definer;
grant execute on function app.remove_member(uuid, text, boolean) to callboard_api;
create or replace function app_private.join_organization(who uuid, organization uuid, new_role text) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- A returning member gets their old row back.
  insert into app.memberships as m (organization_id, user_id, role) values (organization, who, new_role)
  on conflict (organization_id, user_id) do update
    -- Not now(), which may be earlier than what they made before they were removed.
    set role = excluded.role, created_at = clock_timestamp(), deleted_at = null, deleted_by = null, deletion_id = null
    where m.deleted_at is not null;
  if not found then
    perform app.refuse(409, 'already_member');
  end if;
end
$$;
comment on function app_private.join_organization(uuid, uuid, text) is 'Writes a membership in the current organization. PT409 already_member.';
alter function app_private.join_organization(uuid, uuid, text) owner to callboard_definer;
create or replace function app.transfer_ownership(organization uuid, new_owner uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
begin
  if organization is distinct from app.org_if('organization.read') then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require('organization.delete');
  perform from app.organizations o where o.id = organization for no key update;
  -- Only an owner can transfer ownership, whatever permissions others hold.
  if not exists (select from app.memberships m where m.organization_id = organization and m.user_id = me and m.role = 'owner' and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Only an owner can transfer ownership.');
  elsif new_owner = me then
    perform app.refuse(409, 'already_owner', 'You are already the owner.');
  elsif not exists (select from app.memberships m where m.organization_id = organization and m.user_id = new_owner and m.deleted_at is null) then
    perform app.refuse(404, 'not_found');
  end if;
  perform app_private.set_role(new_owner, 'owner');
  -- It is the organization that is handed over, with what it could not do without.
  update app.bi_credentials c set held_by = new_owner, held_since = statement_timestamp()
  where c.organization_id = organization and app_private.bi_holder(c) = me and app_private.is_bi_held(c) and c.revoked_at is null;
  perform app_private.set_role(me, 'admin');
  return app.read_member(new_owner);
end
$$;
comment on function app.transfer_ownership(uuid, uuid) is 'Makes another member owner and the caller admin. PT403, PT404, PT409 already_owner.';
alter function app.transfer_ownership(uuid, uuid) owner to callboard_definer;
grant execute on function app.transfer_ownership(uuid, uuid) to callboard_api;
-- EndIncluded organizations/member_commands.sql
-- Included support/support.sql
select app_private.definer_table('app_private.support_grants', 'select, insert, update');
create or replace function app_private.organization_named(name text) returns uuid
language sql stable
set search_path = ''
return coalesce(app_private.slug_organization(name),
  case when name ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then (select o.id from app.organizations o where o.id = organization_named.name::uuid) end);
comment on function app_private.organization_named(text) is 'The organization with this slug or id; null if there is none.';
alter function app_private.organization_named(text) owner to callboard_definer;
create or replace function app_private.grant_support(
  address text, why text, until timestamptz, slug text default null, may_write boolean default false
) returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  who uuid := (select u.id from app.users u where lower(u.email) = lower(address));
  organization uuid := app_private.organization_named(slug);
  id uuid;
begin
  if who is null then
    perform app.refuse(404, 'not_found', format('There is no account %s.', address));
  elsif slug is not null and organization is null then
    perform app.refuse(404, 'not_found', format('There is no organization %s.', slug));
  end if;
  insert into app_private.support_grants as g (user_id, organization_id, reason, may_write, granted_by, expires_at)
  values (who, organization, why, grant_support.may_write, session_user, until) returning g.id into id;
  perform app_private.log_event(organization, 'auth.superadmin.granted', 'support_grant', id,
    jsonb_build_object('new', jsonb_build_object('user_id', who, 'reason', why, 'may_write', grant_support.may_write, 'expires_at', until)));
  return id;
end
$$;
comment on function app_private.grant_support(text, text, timestamptz, text, boolean) is
  'Grants a user (by address) superadmin access to an organization (by slug or id; null for all), with a reason, until a given time. Returns the grant''s id. PT404, support_grants_reason_given, support_grants_expires_later.';
alter function app_private.grant_support(text, text, timestamptz, text, boolean) owner to callboard_definer;
create or replace function app_private.is_support_used(s app.sessions, organization uuid) returns boolean
language plpgsql volatile
set search_path = ''
as $$
begin
  -- One that has written might have logged the use itself, and roll it back.
  return pg_current_xact_id_if_assigned() is null and exists (
    select from app.event_log l
    where l.organization_id = coalesce(organization, app_private.nobody()) and l.occurred_at > clock_timestamp() - interval '15 seconds'
      and l.action = 'auth.superadmin.used' and l.actor_id = s.user_id and l.session_id = s.id);
end
$$;
comment on function app_private.is_support_used(app.sessions, uuid) is
  'Whether app.use_support has committed, within the last 15 seconds, that this session is about to do something in an organization (with null, in none).';
alter function app_private.is_support_used(app.sessions, uuid) owner to callboard_definer;
create or replace function app.enter_support(session_secret text, organization uuid, request_id text, ip inet) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  g app_private.support_grants := app_private.live_support_grant(s.user_id, organization);
  is_used boolean := app_private.is_support_used(s, organization);
  everything text[] := array(select p.name from app.permissions p order by p.name);
begin
  if app_private.may_write_by_old_snapshot() then
    perform app_private.refuse_old_snapshot();
  elsif not is_used then
    perform app.refuse(403, 'support_grant_needed', 'Each use of a grant has to be logged, and committed, before anything is read.');
  end if;
  perform app_private.set_context(s.user_id, s.id, organization, 'superadmin',
    case when g.may_write then array_to_string(everything, ' ') else app_private.for_reading(everything) end, request_id, ip);
end
$$;
comment on function app.enter_support(text, uuid, text, inet) is
  'Opens this transaction for a superadmin: in an organization, with every permission or, if the grant does not allow writing, with what their holders see. Only as the first thing in a transaction, within 15 seconds of app.use_support. PT401 session_unknown, session_revoked, session_expired, PT403 support_grant_needed.';
alter function app.enter_support(text, uuid, text, inet) owner to callboard_definer;
grant execute on function app.enter_support(text, uuid, text, inet) to callboard_support;
create or replace function app.support_token(session_secret text, organization uuid) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  g app_private.support_grants := app_private.live_support_grant(s.user_id, organization);
begin
  return (200, json_build_object('user_id', s.user_id, 'organization_id', organization, 'role', 'superadmin', 'permissions', array(
    select p.name from app.permissions p where g.may_write or p.name like '%.read' order by p.name)), null, null)::app.answer;
end
$$;
comment on function app.support_token(text, uuid) is 'The claims of a superadmin''s access token. PT401, PT403 support_grant_needed.';
alter function app.support_token(text, uuid) owner to callboard_definer;
grant execute on function app.support_token(text, uuid) to callboard_support;
create or replace function app.support_organization(session_secret text, slug text) returns uuid
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  organization uuid := app_private.organization_named(slug);
begin
  -- Without a grant the caller does not learn whether the organization exists.
  perform app_private.live_support_grant(s.user_id, coalesce(organization, app_private.nobody()));
  return organization;
end
$$;
comment on function app.support_organization(text, text) is 'The organization with a slug or id, for a superadmin with a grant for it. PT401, PT403 support_grant_needed.';
alter function app.support_organization(text, text) owner to callboard_definer;
grant execute on function app.support_organization(text, text) to callboard_support;
-- EndIncluded support/support.sql
-- Included shows/countries.sql
-- Countries (ISO 3166-1 alpha-2), and Kosovo under the code that is in use for it.

create table if not exists app.countries (
  code char(2) primary key,
  name text collate app.people not null
);
select app_private.reference_table('app.countries');
comment on table app.countries is 'Reference: the ISO 3166-1 countries in which venues are.';
insert into app.countries (code, name) values
  ('AD', 'Andorra'), ('AE', 'United Arab Emirates'), ('AF', 'Afghanistan'), ('AG', 'Antigua & Barbuda'), ('AI', 'Anguilla'), ('AL', 'Albania'),
  ('AM', 'Armenia'), ('AO', 'Angola'), ('AQ', 'Antarctica'), ('AR', 'Argentina'), ('AS', 'American Samoa'), ('AT', 'Austria'), ('AU', 'Australia'),
  ('AW', 'Aruba'), ('AX', 'Åland Islands'), ('AZ', 'Azerbaijan'), ('BA', 'Bosnia & Herzegovina'), ('BB', 'Barbados'), ('BD', 'Bangladesh'),
  ('BE', 'Belgium'), ('BF', 'Burkina Faso'), ('BG', 'Bulgaria'), ('BH', 'Bahrain'), ('BI', 'Burundi'), ('BJ', 'Benin'), ('BL', 'St. Barthélemy'),
  ('BM', 'Bermuda'), ('BN', 'Brunei'), ('BO', 'Bolivia'), ('BQ', 'Caribbean Netherlands'), ('BR', 'Brazil'), ('BS', 'Bahamas'), ('BT', 'Bhutan'),
  ('BV', 'Bouvet Island'), ('BW', 'Botswana'), ('BY', 'Belarus'), ('BZ', 'Belize'), ('CA', 'Canada'), ('CC', 'Cocos (Keeling) Islands'),
  ('CD', 'Congo - Kinshasa'), ('CF', 'Central African Republic'), ('CG', 'Congo - Brazzaville'), ('CH', 'Switzerland'), ('CI', 'Côte d''Ivoire'),
  ('CK', 'Cook Islands'), ('CL', 'Chile'), ('CM', 'Cameroon'), ('CN', 'China'), ('CO', 'Colombia'), ('CR', 'Costa Rica'), ('CU', 'Cuba'),
  ('CV', 'Cape Verde'), ('CW', 'Curaçao'), ('CX', 'Christmas Island'), ('CY', 'Cyprus'), ('CZ', 'Czechia'), ('DE', 'Germany'), ('DJ', 'Djibouti'),
  ('DK', 'Denmark'), ('DM', 'Dominica'), ('DO', 'Dominican Republic'), ('DZ', 'Algeria'), ('EC', 'Ecuador'), ('EE', 'Estonia'), ('EG', 'Egypt'),
  ('EH', 'Western Sahara'), ('ER', 'Eritrea'), ('ES', 'Spain'), ('ET', 'Ethiopia'), ('FI', 'Finland'), ('FJ', 'Fiji'), ('FK', 'Falkland Islands'),
  ('FM', 'Micronesia'), ('FO', 'Faroe Islands'), ('FR', 'France'), ('GA', 'Gabon'), ('GB', 'United Kingdom'), ('GD', 'Grenada'), ('GE', 'Georgia'),
  ('GF', 'French Guiana'), ('GG', 'Guernsey'), ('GH', 'Ghana'), ('GI', 'Gibraltar'), ('GL', 'Greenland'), ('GM', 'Gambia'), ('GN', 'Guinea'),
  ('GP', 'Guadeloupe'), ('GQ', 'Equatorial Guinea'), ('GR', 'Greece'), ('GS', 'South Georgia & South Sandwich Islands'), ('GT', 'Guatemala'),
  ('GU', 'Guam'), ('GW', 'Guinea-Bissau'), ('GY', 'Guyana'), ('HK', 'Hong Kong SAR China'), ('HM', 'Heard & McDonald Islands'), ('HN', 'Honduras'),
  ('HR', 'Croatia'), ('HT', 'Haiti'), ('HU', 'Hungary'), ('ID', 'Indonesia'), ('IE', 'Ireland'), ('IL', 'Israel'), ('IM', 'Isle of Man'),
  ('IN', 'India'), ('IO', 'British Indian Ocean Territory'), ('IQ', 'Iraq'), ('IR', 'Iran'), ('IS', 'Iceland'), ('IT', 'Italy'), ('JE', 'Jersey'),
  ('JM', 'Jamaica'), ('JO', 'Jordan'), ('JP', 'Japan'), ('KE', 'Kenya'), ('KG', 'Kyrgyzstan'), ('KH', 'Cambodia'), ('KI', 'Kiribati'),
  ('KM', 'Comoros'), ('KN', 'St. Kitts & Nevis'), ('KP', 'North Korea'), ('KR', 'South Korea'), ('KW', 'Kuwait'), ('KY', 'Cayman Islands'),
  ('KZ', 'Kazakhstan'), ('LA', 'Laos'), ('LB', 'Lebanon'), ('LC', 'St. Lucia'), ('LI', 'Liechtenstein'), ('LK', 'Sri Lanka'), ('LR', 'Liberia'),
  ('LS', 'Lesotho'), ('LT', 'Lithuania'), ('LU', 'Luxembourg'), ('LV', 'Latvia'), ('LY', 'Libya'), ('MA', 'Morocco'), ('MC', 'Monaco'),
  ('MD', 'Moldova'), ('ME', 'Montenegro'), ('MF', 'St. Martin'), ('MG', 'Madagascar'), ('MH', 'Marshall Islands'), ('MK', 'North Macedonia'),
  ('ML', 'Mali'), ('MM', 'Myanmar (Burma)'), ('MN', 'Mongolia'), ('MO', 'Macao SAR China'), ('MP', 'Northern Mariana Islands'), ('MQ', 'Martinique'),
  ('MR', 'Mauritania'), ('MS', 'Montserrat'), ('MT', 'Malta'), ('MU', 'Mauritius'), ('MV', 'Maldives'), ('MW', 'Malawi'), ('MX', 'Mexico'),
  ('MY', 'Malaysia'), ('MZ', 'Mozambique'), ('NA', 'Namibia'), ('NC', 'New Caledonia'), ('NE', 'Niger'), ('NF', 'Norfolk Island'), ('NG', 'Nigeria'),
  ('NI', 'Nicaragua'), ('NL', 'Netherlands'), ('NO', 'Norway'), ('NP', 'Nepal'), ('NR', 'Nauru'), ('NU', 'Niue'), ('NZ', 'New Zealand'),
  ('OM', 'Oman'), ('PA', 'Panama'), ('PE', 'Peru'), ('PF', 'French Polynesia'), ('PG', 'Papua New Guinea'), ('PH', 'Philippines'),
  ('PK', 'Pakistan'), ('PL', 'Poland'), ('PM', 'St. Pierre & Miquelon'), ('PN', 'Pitcairn Islands'), ('PR', 'Puerto Rico'),
  ('PS', 'Palestinian Territories'), ('PT', 'Portugal'), ('PW', 'Palau'), ('PY', 'Paraguay'), ('QA', 'Qatar'), ('RE', 'Réunion'), ('RO', 'Romania'),
  ('RS', 'Serbia'), ('RU', 'Russia'), ('RW', 'Rwanda'), ('SA', 'Saudi Arabia'), ('SB', 'Solomon Islands'), ('SC', 'Seychelles'), ('SD', 'Sudan'),
  ('SE', 'Sweden'), ('SG', 'Singapore'), ('SH', 'St. Helena'), ('SI', 'Slovenia'), ('SJ', 'Svalbard & Jan Mayen'), ('SK', 'Slovakia'),
  ('SL', 'Sierra Leone'), ('SM', 'San Marino'), ('SN', 'Senegal'), ('SO', 'Somalia'), ('SR', 'Suriname'), ('SS', 'South Sudan'),
  ('ST', 'São Tomé & Príncipe'), ('SV', 'El Salvador'), ('SX', 'Sint Maarten'), ('SY', 'Syria'), ('SZ', 'Eswatini'),
  ('TC', 'Turks & Caicos Islands'), ('TD', 'Chad'), ('TF', 'French Southern Territories'), ('TG', 'Togo'), ('TH', 'Thailand'), ('TJ', 'Tajikistan'),
  ('TK', 'Tokelau'), ('TL', 'Timor-Leste'), ('TM', 'Turkmenistan'), ('TN', 'Tunisia'), ('TO', 'Tonga'), ('TR', 'Türkiye'),
  ('TT', 'Trinidad & Tobago'), ('TV', 'Tuvalu'), ('TW', 'Taiwan'), ('TZ', 'Tanzania'), ('UA', 'Ukraine'), ('UG', 'Uganda'),
  ('UM', 'U.S. Outlying Islands'), ('US', 'United States'), ('UY', 'Uruguay'), ('UZ', 'Uzbekistan'), ('VA', 'Vatican City'),
  ('VC', 'St. Vincent & Grenadines'), ('VE', 'Venezuela'), ('VG', 'British Virgin Islands'), ('VI', 'U.S. Virgin Islands'), ('VN', 'Vietnam'),
  ('VU', 'Vanuatu'), ('WF', 'Wallis & Futuna'), ('WS', 'Samoa'), ('XK', 'Kosovo'), ('YE', 'Yemen'), ('YT', 'Mayotte'), ('ZA', 'South Africa'),
  ('ZM', 'Zambia'), ('ZW', 'Zimbabwe')
on conflict (code) do update set name = excluded.name where countries.name <> excluded.name;
-- EndIncluded shows/countries.sql
-- Included shows/venues.sql
-- Where shows take place. A venue gives its shows their time zone.

create table if not exists app.venues (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text collate app.people not null constraint venues_name_length check (app.is_line(name, 200)),
  city text collate app.people not null constraint venues_city_length check (app.is_line(city, 200)),
  country char(2) not null constraint venues_country_format check (country ~ '^[A-Z]{2}$')
    constraint venues_country_exists references app.countries (code),
  time_zone text not null constraint venues_time_zone_exists check (app.is_time_zone(time_zone)),
  capacity integer constraint venues_capacity_positive check (capacity > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  show_json text not null generated always as (
    ',"venue_name":' || app.json_string(name) || ',"venue_city":' || app.json_string(city) || ',"time_zone":' || app.json_string(time_zone)) stored,
  primary key (organization_id, id)
);
select app_private.tenant_table('venues', noun => 'venue', permission => 'shows', path => '/api/venues', is_exported => true);
grant insert (name, city, country, time_zone, capacity), update (name, city, country, time_zone, capacity) on app.venues to callboard_api;
comment on table app.venues is 'Where shows take place, with the time zone of their local times.';
comment on column app.venues.show_json is 'The fields of a show that come from its venue, as app.show_rows adds them.';
comment on column app.venues.country is 'ISO 3166-1 alpha-2 code.';
-- EndIncluded shows/venues.sql
-- Included shows/shows.sql
select app_private.reference_table('app.show_status_transitions');
insert into app.show_status_transitions (from_status, to_status) values
  ('inquiry', 'hold'), ('inquiry', 'offer'), ('inquiry', 'cancelled'),
  ('hold', 'inquiry'), ('hold', 'offer'), ('hold', 'confirmed'), ('hold', 'cancelled'),
  ('offer', 'hold'), ('offer', 'confirmed'), ('offer', 'cancelled'),
  ('confirmed', 'played'), ('confirmed', 'cancelled'), ('confirmed', 'postponed'),
  ('postponed', 'hold'), ('postponed', 'confirmed'), ('postponed', 'cancelled'),
  ('cancelled', 'inquiry'),
  ('played', 'settled')
on conflict do nothing;
create table if not exists app.shows (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  title text collate app.people not null constraint shows_title_length check (length(title) between 1 and 200 and title !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(title) <> ''),
  artist text collate app.people not null constraint shows_artist_length check (length(artist) between 1 and 200 and artist !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(artist) <> ''),
  venue_id uuid,
  show_on date not null constraint shows_show_on_range check (show_on between date '1900-01-01' and date '2199-12-31'),
  doors_time time(0),
  start_time time(0),
  curfew_time time(0),
  status text not null default 'inquiry' constraint shows_status_known check (
    status in ('inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed')),
  capacity integer constraint shows_capacity_positive check (capacity > 0),
  tickets_sold integer not null default 0 constraint shows_tickets_sold_positive check (tickets_sold >= 0),
  notes text constraint shows_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  source text collate app.people constraint shows_source_length check (length(source) between 1 and 100 and source !~ '[\u0001-\u001f\u007f-\u009f]'),
  external_ref text constraint shows_external_ref_length check (length(external_ref) between 1 and 200 and external_ref !~ '[\u0001-\u001f\u007f-\u009f]'),
  as_json text not null,
  primary key (organization_id, id),
  constraint shows_external_ref_with_source check ((external_ref is null) = (source is null)),
  constraint shows_venue_exists foreign key (organization_id, venue_id) references app.venues (organization_id, id),
  constraint shows_text_visible check (app.is_visible(title) and app.is_visible(artist)),
  constraint shows_doors_before_start check (doors_time <= start_time),
  constraint shows_tickets_within_capacity check (tickets_sold <= capacity)
);
-- The definer's functions search, because a text match under a filtering policy cannot use an index (it is not leakproof),
-- and import on behalf of the member who started the import.
select app_private.tenant_table('shows', noun => 'show', permission => 'shows', path => '/api/shows', definer => 'insert, update', is_exported => true, is_counted => true,
  checks_parents => false);
grant insert (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref),
  update (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref)
  on app.shows to callboard_api;
grant insert (organization_id, id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes,
    source, external_ref, created_by),
  update (status, deleted_at, deleted_by, deletion_id) on app.shows to callboard_definer;
comment on table app.shows is 'Performances, from first inquiry to settlement.';
comment on column app.shows.start_time is 'Local time at the venue; a curfew at or before the start is on the next day.';
comment on column app.shows.external_ref is 'The show''s id in the system it comes from (source); unique there.';
-- EndIncluded shows/shows.sql
-- Included shows/show_fees.sql
-- Fees: what the artist of a show is paid. Apart from app.shows, because more members may see shows than money: here
-- the row-level security of fees is that of finance, and whoever may not read it has no row to join.

create table if not exists app.show_fees (
  organization_id uuid not null default app.current_org(),
  show_id uuid not null,
  -- In the smallest unit of the currency; JSON numbers are exact up to 2^53 - 1.
  fee_minor bigint constraint shows_fee_range check (fee_minor between 0 and 9007199254740991),
  currency char(3) constraint shows_currency_format check (currency ~ '^[A-Z]{3}$')
    constraint shows_currency_exists references app.currencies (code),
  show_json text not null generated always as (
    ',"fee_minor":' || coalesce(fee_minor::text, 'null') || ',"currency":' || coalesce('"' || currency || '"', 'null')) stored,
  -- With the JSON, so that a list of shows reads only this index.
  primary key (organization_id, show_id) include (show_json),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint shows_fee_with_currency check ((fee_minor is null) = (currency is null))
);
-- A fee has neither marks of deletion nor a version: a deleted show keeps it, a purged one takes it along, and the
-- version is the show's. The definer, as which shows are restored and imported, sees no more than the member.
select app_private.force_rls('app.show_fees');
select app_private.member_policy('app.show_fees', 'select', 'finance.read', 'callboard_api, callboard_definer, callboard_exporter');
select app_private.member_policy('app.show_fees', 'insert', 'finance.write', 'callboard_api, callboard_definer');
-- Nobody overwrites what they do not see.
select app_private.member_policy('app.show_fees', 'update', 'finance.write', besides => 'organization_id = (select app.org_if(''finance.read''))');
select app_private.hide_statistics('app.show_fees');
grant select on app.show_fees to callboard_api, callboard_definer, callboard_exporter;
grant insert (show_id, fee_minor, currency), update (fee_minor, currency) on app.show_fees to callboard_api;
grant insert (organization_id, show_id, fee_minor, currency) on app.show_fees to callboard_definer;
select app_private.log_changes('app.show_fees', 'show_fee', id_column => 'show_id');
comment on table app.show_fees is 'The artist''s fee of each show that has, or had, one.';
comment on column app.show_fees.show_json is 'The fields of a show that are its fee, as app.show_rows adds them.';
comment on column app.show_fees.fee_minor is 'The artist''s fee, in the smallest unit of the currency; NULL once it has been removed.';
-- EndIncluded shows/show_fees.sql
-- Included finance/finance_records.sql
select app_private.reference_table('app.finance_record_status_transitions');
insert into app.finance_record_status_transitions (from_status, to_status) values
  ('planned', 'committed'), ('planned', 'actual'), ('planned', 'void'),
  ('committed', 'planned'), ('committed', 'actual'), ('committed', 'void'),
  ('actual', 'committed'), ('actual', 'void')
on conflict do nothing;
create table if not exists app.finance_records (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  kind text not null constraint finance_records_kind_known check (kind in ('income', 'expense')),
  category_id uuid not null,
  show_id uuid,
  booked_on date not null constraint finance_records_booked_on_range check (booked_on between date '1900-01-01' and date '2199-12-31'),
  due_on date constraint finance_records_due_on_range check (due_on between date '1900-01-01' and date '2199-12-31'),
  -- In the smallest unit of the currency; JSON numbers are exact up to 2^53 - 1.
  amount_minor bigint not null constraint finance_records_amount_range check (amount_minor between 0 and 9007199254740991),
  tax_minor bigint not null default 0,
  currency char(3) not null,
  exchange_rate numeric(20, 10) constraint finance_records_exchange_rate_needed check (exchange_rate is not null)
    constraint finance_records_exchange_rate_range check (exchange_rate > 0 and exchange_rate <= 1000000000),
  -- As of entry: if the organization later changes its currency, old records keep theirs.
  base_currency char(3) not null default app.base_currency(),
  -- Null only without a rate, which a constraint then reports.
  base_amount_minor bigint generated always as
      (app.convert_minor(amount_minor, exchange_rate, currency::text, base_currency::text)) stored
    constraint finance_records_base_amount_range check (base_amount_minor between 0 and 9007199254740991),
  status text not null default 'planned' constraint finance_records_status_known check (status in ('planned', 'committed', 'actual', 'void')),
  payment_status text not null default 'unpaid' constraint finance_records_payment_status_known check (
    payment_status in ('unpaid', 'partly_paid', 'paid', 'refunded')),
  counterparty text collate app.people constraint finance_records_counterparty_length check (length(counterparty) between 1 and 200 and counterparty !~ '[\u0001-\u001f\u007f-\u009f]'),
  note text constraint finance_records_note_length check (length(note) <= 10000),
  source text collate app.people constraint finance_records_source_length check (length(source) between 1 and 100 and source !~ '[\u0001-\u001f\u007f-\u009f]'),
  external_ref text constraint finance_records_external_ref_length check (length(external_ref) between 1 and 200 and external_ref !~ '[\u0001-\u001f\u007f-\u009f]'),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint finance_records_category_exists foreign key (organization_id, category_id, kind)
    references app.finance_categories (organization_id, id, kind),
  -- A record outlives its show: see the trigger on app.shows below.
  constraint finance_records_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id),
  constraint finance_records_currency_exists foreign key (currency) references app.currencies (code),
  constraint finance_records_text_visible check (app.is_visible(counterparty)),
  constraint finance_records_exchange_rate_of_base check (currency <> base_currency or exchange_rate = 1),
  constraint finance_records_tax_within_amount check (tax_minor between 0 and amount_minor),
  constraint finance_records_external_ref_with_source check ((external_ref is null) = (source is null))
);
-- The definer's functions insert imported records.
select app_private.tenant_table('finance_records', noun => 'finance_record', permission => 'finance', path => '/api/finance-records', definer => 'insert, update',
  is_exported => true, is_counted => true, known => '{kind}', checks_parents => false);
grant insert (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref),
  update (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref)
  on app.finance_records to callboard_api;
grant insert (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, base_currency, status,
    payment_status, counterparty, note, source, external_ref, created_by),
  update (deleted_at, deleted_by, deletion_id) on app.finance_records to callboard_definer;
comment on table app.finance_records is 'Income and expenses of the organization, planned and actual.';
comment on column app.finance_records.amount_minor is 'With tax, in the smallest unit of the currency; kind gives the direction.';
comment on column app.finance_records.tax_minor is 'Tax included in the amount.';
comment on column app.finance_records.exchange_rate is 'Units of the base currency for one unit of the currency, on the day of booking.';
comment on column app.finance_records.base_amount_minor is 'The amount in the base currency, at the exchange rate.';
comment on column app.finance_records.external_ref is 'The record''s id in the system it comes from (source); unique there.';
-- The figures of all that is booked are in it. Whoever is entering a record holds a lock on the organization's row.
create or replace function app_private.tg_organizations__400_books() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  if exists (select from app.finance_records r where r.organization_id = new.id) then
    perform app.refuse(409, 'organization_has_books', format('The books are kept in %s: finance records have been entered.', old.currency));
  end if;
  return new;
end
$$;
comment on function app_private.tg_organizations__400_books() is 'PT409 organization_has_books for another currency of an organization that has finance records, also deleted ones.';
alter function app_private.tg_organizations__400_books() owner to callboard_definer;
create or replace trigger _400_books before update on app.organizations
  for each row when (new.currency is distinct from old.currency) execute function app_private.tg_organizations__400_books();
-- EndIncluded finance/finance_records.sql
-- Included settlements/settlement_commands.sql
create or replace function app.record_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  why constant text := case when app.is_visible(body ->> 'reason') then btrim(body ->> 'reason') end;
  present jsonb;
  settlement uuid;
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  perform app.require('finance.write');
  if app_private.lock_show(show) = 'settled' then
    perform app.refuse(409, 'settlement_final');
  end if;
  if why is null and exists (
    select from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show and x.status = 'final' and x.deleted_at is null)
  then
    perform app.refuse(422, 'settlement_reason_needed');
  end if;
  present := app.settlement_inputs(show);
  insert into app.settlements (show_id, number, reason, inputs, result)
  select show, coalesce(max(x.number), 0) + 1, why, present, app.settle(present)
  from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show
  returning id into settlement;
  answer := app.read_settlement(settlement);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.record_settlement(uuid, jsonb) is
  'Records the current settlement of a show as its next revision. PT403, PT404, PT409 settlement_needs_deal, settlement_final, PT422 settlement_reason_needed, settlement_out_of_range.';
alter function app.record_settlement(uuid, jsonb) owner to callboard_definer;
grant execute on function app.record_settlement(uuid, jsonb) to callboard_api;
-- EndIncluded settlements/settlement_commands.sql
-- Included imports/imports.sql
-- Without write grants, because writes go through functions; nobody reads the file itself. The definer sees everything: the worker
-- must find out whose import it is about to enter.
select app_private.tenant_policies('app.imports', reads => 'imports.run', inserts => 'imports.run', updates => 'imports.run',
  definer => 'insert, update, delete');
select app_private.tenant_policies('app.import_progress', reads => 'imports.run', definer => 'insert, update, delete');
select app_private.tenant_policies('app.import_lines', reads => 'imports.run', definer => 'insert, update, delete');
select app_private.tenant_policies('app.import_chunks', reads => null, definer => 'insert, update, delete');
select app_private.log_changes('app.imports', 'import', '{"status": "change_status"}', leave_out => '{sha256}');
create or replace function app.create_import(the_resource text, name text, file_bytes bigint, file_sha256 text, given jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  import uuid;
  answer app.answer;
  unfinished bigint;
  stored bigint;
begin
  perform app.require('imports.run');
  perform app.require(case the_resource when 'shows' then 'shows.write' else 'finance.write' end);
  if file_bytes = 0 then
    perform app.refuse(400, 'bad_request', 'The body contains no file.');
  end if;
  select count(*) filter (where i.status not in ('done', 'failed', 'cancelled')),
    -- Of one that has ended, its bad lines are left: about 300 bytes each.
    coalesce(sum(case when i.status in ('done', 'failed', 'cancelled') then i.bad_lines * 300::bigint else i.bytes end), 0) into unfinished, stored
  from app.imports i where i.organization_id = app.current_org();
  if unfinished >= 20 then
    perform app.refuse(409, 'too_many_imports');
  elsif unfinished > 0 and stored + file_bytes > 524288000 or stored > 524288000 then
    perform app.refuse(409, 'import_storage_full');
  end if;
  insert into app.imports (resource, file_name, bytes, sha256, options)
  values (the_resource, name, file_bytes, file_sha256, jsonb_strip_nulls(given)) returning id into import;
  insert into app.import_progress (organization_id, import_id) values (app.current_org(), import);
  perform app_private.add_job('check_import', jsonb_build_object('import', import), 'import:' || import, 5, 'import', app.current_org()::text);
  answer := app.read_import(import);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_import(text, text, bigint, text, jsonb) is
  'Creates an import, to be checked once the transaction has committed; its file follows with app.add_import_chunk. PT400 bad_request without a file, PT403 without imports.run or the permission to write the imported resource, PT409 too_many_imports, import_storage_full.';
alter function app.create_import(text, text, bigint, text, jsonb) owner to callboard_definer;
grant execute on function app.create_import(text, text, bigint, text, jsonb) to callboard_api;
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
    perform app.refuse(409, 'import_not_checked', format('The import is %s: only a checked import can be run.', i.status));
  elsif when_bad = 'abort' and i.bad_lines > 0 then
    perform app.refuse(409, 'import_has_bad_lines', format('%s of its %s lines are bad: run it with on_error skip, or import a corrected file.', i.bad_lines, i.lines));
  end if;
  perform app.require(case i.resource when 'shows' then 'shows.write' else 'finance.write' end);
  -- It runs as the member who starts it, with their permissions.
  update app.imports x set status = 'queued', on_error = when_bad, created_by = app.current_user_id(), session_id = app.current_session_id()
  where x.organization_id = i.organization_id and x.id = i.id;
  perform app_private.add_job('run_import', jsonb_build_object('import', i.id), 'import:' || i.id, 5, 'import', i.organization_id::text);
  return app.read_import(i.id);
end
$$;
comment on function app.run_import(uuid, text) is
  'Has the lines of a checked import entered: all of them (abort) or only the good ones (skip). PT403, PT404, PT409 import_not_checked, import_has_bad_lines.';
alter function app.run_import(uuid, text) owner to callboard_definer;
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
  -- First, because an import that is just ending lets this wait for its end. Others check this flag after every few lines.
  update app.import_progress p set is_cancelled = true where p.organization_id = app.current_org() and p.import_id = import;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  select x.status into present from app.imports x where x.organization_id = app.current_org() and x.id = import;
  if present in ('done', 'failed', 'cancelled') then
    perform app.refuse(409, 'import_ended', format('It is already %s.', present));
  elsif present <> 'running' then
    -- The worker has it locked while it checks: then it ends it.
    perform from app.imports x where x.organization_id = app.current_org() and x.id = import for update skip locked;
    if found then
      perform app_private.end_import(import, 'cancelled');
    end if;
  end if;
  return app.read_import(import);
end
$$;
comment on function app.cancel_import(uuid) is 'Cancels an import; a running one stops soon, and none of it is entered. PT403, PT404, PT409 import_ended.';
alter function app.cancel_import(uuid) owner to callboard_definer;
grant execute on function app.cancel_import(uuid) to callboard_api;
-- EndIncluded imports/imports.sql
-- Included imports/import_checking.sql
create or replace function app_private.bad_line(in_column text, value text, longest integer) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, not app.is_line(value, longest), 'Shows nothing, is longer than ' || longest || ' characters, or contains control characters.');
comment on function app_private.bad_line(text, text, integer) is 'The problem of a text that is not a valid single line (app.is_line), or NULL.';
alter function app_private.bad_line(text, text, integer) owner to callboard_definer;
create or replace function app_private.check_show_lines(i app.imports, lines jsonb) returns table (line integer, record jsonb, problems jsonb)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  -- In plpgsql, which plans this once for all batches of a connection.
  return query
  with given as materialized (
    select (x.value ->> 0)::integer as line, x.value -> 1 as v,
      jsonb_build_array(x.value #> '{1,venue_id}', x.value #> '{1,venue}', x.value #> '{1,city}') as venue_key
    from jsonb_array_elements(lines) as x
  ),
  -- A file names few venues, many times. Each way to name one has its own index, and two of a name are as many as a thousand.
  named as materialized (
    select d.venue_key, n.id, n.found
    from (select distinct g.venue_key from given g) d
    cross join lateral (
      select (array_agg(w.id))[1] as id, count(*) as found from (
        (select w.id from app.venues w
          where w.organization_id = i.organization_id and w.id = app_private.csv_uuid(d.venue_key ->> 0) and w.deleted_at is null)
        union all
        (select w.id from app.venues w
          where d.venue_key ->> 0 is null and d.venue_key ->> 2 is null
            and w.organization_id = i.organization_id and lower(w.name) = lower((d.venue_key ->> 1) collate app.people) and w.deleted_at is null limit 2)
        union all
        (select w.id from app.venues w
          where d.venue_key ->> 0 is null and w.organization_id = i.organization_id and lower(w.name) = lower((d.venue_key ->> 1) collate app.people)
            and lower(w.city) = lower((d.venue_key ->> 2) collate app.people) and w.deleted_at is null limit 2)) as w) n
  ),
  read as materialized (
    select g.line, g.v,
      case when coalesce(g.v ->> 'fee', g.v ->> 'fee_minor') is not null then coalesce(upper(g.v ->> 'currency'), o.currency) end as currency,
      coalesce(app_private.csv_number(g.v ->> 'fee', i.options ->> 'decimal') * 10::numeric ^ app.minor_digits(coalesce(upper(g.v ->> 'currency'), o.currency)),
        app_private.csv_number(g.v ->> 'fee_minor', i.options ->> 'decimal')) as fee,
      app_private.csv_date(g.v ->> 'show_on', i.options ->> 'dates') as show_on,
      app_private.csv_time(g.v ->> 'doors_time') as doors_time, app_private.csv_time(g.v ->> 'start_time') as start_time,
      app_private.csv_time(g.v ->> 'curfew_time') as curfew_time,
      app_private.csv_number(g.v ->> 'capacity', i.options ->> 'decimal') as capacity,
      app_private.csv_number(g.v ->> 'tickets_sold', i.options ->> 'decimal') as tickets_sold,
      coalesce(g.v ->> 'source', i.options ->> 'source', 'import') as source,
      n.id as venue_id, n.found, w.may_write_fees
    from given g
    cross join (select app.has_permission('finance.write') as may_write_fees offset 0) w
    cross join app.organizations o
    join named n on n.venue_key = g.venue_key
    where o.id = i.organization_id
  ),
  -- Once for each line, and not for every mention of it.
  judged as materialized (
    select m.*, to_jsonb(nullif(array_remove(array[
      app_private.bad('', m.v ? '', 'The line has more cells than the header has columns.'),
      -- What.
      app_private.missing('title', m.v ->> 'title', 'A title is required.'),
      app_private.bad_line('title', m.v ->> 'title', 200),
      app_private.missing('artist', m.v ->> 'artist', 'An artist is required.'),
      app_private.bad_line('artist', m.v ->> 'artist', 200),
      app_private.bad_choice('status', lower(m.v ->> 'status'), '{inquiry,hold,offer,confirmed,played,settled,cancelled,postponed}',
        'Must be inquiry, hold, offer, confirmed, played, settled, cancelled or postponed.'),
      app_private.bad_text('notes', m.v ->> 'notes', 10000),
      -- Where.
      app_private.bad('venue', coalesce(m.v ->> 'venue_id', m.v ->> 'venue') is not null and m.found = 0, 'There is no such venue.'),
      app_private.bad('venue', m.found > 1, 'Several venues have this name: add the column city.'),
      -- When.
      app_private.missing('show_on', m.v ->> 'show_on', 'A date is required.'),
      app_private.bad_day('show_on', m.v ->> 'show_on', m.show_on),
      app_private.bad_time('doors_time', m.v ->> 'doors_time', m.doors_time),
      app_private.bad_time('start_time', m.v ->> 'start_time', m.start_time),
      app_private.bad_time('curfew_time', m.v ->> 'curfew_time', m.curfew_time),
      app_private.bad('doors_time', m.doors_time > m.start_time, 'Doors cannot open after the start.'),
      -- Capacity.
      app_private.bad_count('capacity', m.v ->> 'capacity', m.capacity, 1, 'Not a positive whole number.'),
      app_private.bad_count('tickets_sold', m.v ->> 'tickets_sold', m.tickets_sold, 0, 'Not a whole number.'),
      app_private.bad('tickets_sold', m.tickets_sold > m.capacity, 'More tickets are sold than there are places.'),
      -- Fee.
      app_private.bad('fee', coalesce(m.v ->> 'fee', m.v ->> 'fee_minor') is not null and not m.may_write_fees,
        'Entering a fee needs the permission finance.write: leave the column out, or have somebody import it who holds them.'),
      app_private.bad('fee', coalesce(m.v ->> 'fee', m.v ->> 'fee_minor') is not null and coalesce(m.fee not between 0 and 9007199254740991, true),
        format('Not a number of at least 0 (decimal %s expected).', i.options ->> 'decimal')),
      app_private.bad('fee', m.fee <> trunc(m.fee), format('%s has %s decimal places.', m.currency, app.minor_digits(m.currency))),
      app_private.bad('currency', m.currency is not null and not exists (select from app.currencies c where c.code = m.currency), 'There is no such currency.'),
      -- Source.
      app_private.bad_line('source', m.source, 100),
      app_private.bad_line('external_ref', m.v ->> 'external_ref', 200)
    ], null), '{}')) as problems
    from read m
  )
  select m.line,
    case when m.problems is null then jsonb_build_object('title', m.v ->> 'title', 'artist', m.v ->> 'artist', 'venue_id', m.venue_id, 'show_on', m.show_on,
      'doors_time', m.doors_time, 'start_time', m.start_time, 'curfew_time', m.curfew_time, 'status', coalesce(lower(m.v ->> 'status'), 'inquiry'),
      'capacity', m.capacity::integer, 'tickets_sold', coalesce(m.tickets_sold, 0)::integer, 'fee_minor', m.fee::bigint, 'currency', m.currency, 'notes', m.v ->> 'notes',
      'source', case when m.v ->> 'external_ref' is not null then m.source end, 'external_ref', m.v ->> 'external_ref') end,
    m.problems
  from judged m;
end
$$;
comment on function app_private.check_show_lines(app.imports, jsonb) is 'The data of lines [[line, {column: text}]] of shows, or what is wrong with them.';
alter function app_private.check_show_lines(app.imports, jsonb) owner to callboard_definer;
-- EndIncluded imports/import_checking.sql
-- Included imports/import_running.sql
-- What the worker does with an import (src/imports/task.ts): it stages the lines of the file and, once the
-- member says so, enters them in one transaction. Each function first assumes the context of the member
-- who requested it, with their current permissions.

create or replace function app_private.enter_import(import uuid, statuses text[]) returns app.imports
language plpgsql volatile
set search_path = ''
as $$
declare
  i app.imports;
begin
  select * into i from app.imports x where x.id = import;
  -- Asks before it opens: no context unless there is something to do with this import.
  if not found or i.status <> all (statuses) then
    return null;
  end if;
  perform app_private.set_context(i.created_by, i.session_id, i.organization_id, null, array_to_string(array(
    select p from unnest(app.permissions_of(i.organization_id, i.created_by)) p
    where p in ('imports.run', 'finance.write', case i.resource when 'shows' then 'shows.write' else 'finance.write' end)), ' '));
  -- Waits for another worker on the same import, and then sees what it has done.
  select * into i from app.imports x where x.organization_id = i.organization_id and x.id = import for update;
  if i.status <> all (statuses) then
    perform app_private.set_context(null, null);
    return null;
  end if;
  return i;
end
$$;
comment on function app_private.enter_import(uuid, text[]) is
  'Opens this transaction for the member whose import it is, with what entering its lines needs, and locks the import; null, without a context, if it does not exist or is in none of these states. Whoever calls it closes the transaction again.';
alter function app_private.enter_import(uuid, text[]) owner to callboard_definer;
create or replace function app_private.may_import(i app.imports, after_line integer default 0, last_line integer default 2147483647) returns boolean
language sql stable
set search_path = ''
begin atomic
  select app.has_permission('imports.run') and app.has_permission(case i.resource when 'shows' then 'shows.write' else 'finance.write' end)
    and case when i.resource = 'shows' and not app.has_permission('finance.write') then
      not exists (select from app.import_lines l where l.organization_id = i.organization_id and l.import_id = i.id and l.line > after_line and l.line <= last_line
        and l.record ->> 'fee_minor' is not null)
      else true end;
end;
comment on function app_private.may_import(app.imports, integer, integer) is 'Whether the member whose import it is may still run it: shows with fees, in these lines, only if they may write fees.';
alter function app_private.may_import(app.imports, integer, integer) owner to callboard_definer;
create or replace function app.begin_import(import uuid, step text) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import, case step when 'check' then array['uploaded', 'checking'] else array['queued', 'running'] end);
begin
  if i.id is null then
    return null;
  elsif not app_private.may_import(i) then
    perform app_private.end_import(i.id, 'failed', 'The member who requested it no longer has permission.');
    perform app_private.set_context(null, null);
    return null;
  end if;
  if step = 'check' then
    -- Lines staged by a worker that died.
    delete from app.import_lines l where l.organization_id = i.organization_id and l.import_id = i.id;
  end if;
  update app.import_progress p set lines_done = 0 where p.organization_id = i.organization_id and p.import_id = i.id;
  update app.imports x set status = case step when 'check' then 'checking' else 'running' end where x.organization_id = i.organization_id and x.id = i.id;
  perform app_private.set_context(null, null);
  return jsonb_build_object('resource', i.resource, 'options', i.options, 'lines', i.lines, 'chunks', (
    select count(*) from app.import_chunks c where c.organization_id = i.organization_id and c.import_id = i.id));
end
$$;
comment on function app.begin_import(uuid, text) is
  'Starts or restarts checking or running an import: returns its resource, options, lines and number of chunks. NULL if there is nothing (left) to do.';
alter function app.begin_import(uuid, text) owner to callboard_definer;
grant execute on function app.begin_import(uuid, text) to callboard_worker;
create or replace function app.stage_import(import uuid, found_options jsonb, lines jsonb) returns boolean
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import, '{checking}');
  staged integer;
  all_lines integer;
begin
  if i.id is null then
    return false;
  elsif (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id) then
    perform app_private.end_import(i.id, 'cancelled');
    perform app_private.set_context(null, null);
    return false;
  end if;
  i.options := found_options;
  if i.resource = 'shows' then
    insert into app.import_lines (organization_id, import_id, line, record, problems)
    select i.organization_id, i.id, c.* from app_private.check_show_lines(i, lines) c;
  else
    insert into app.import_lines (organization_id, import_id, line, record, problems)
    select i.organization_id, i.id, c.* from app_private.check_finance_lines(i, lines) c;
  end if;
  get diagnostics staged = row_count;
  update app.import_progress p set lines_done = p.lines_done + staged where p.organization_id = i.organization_id and p.import_id = i.id
  returning p.lines_done into all_lines;
  if all_lines > 1000000 then
    update app.imports x set lines = all_lines where x.organization_id = i.organization_id and x.id = i.id;
    perform app_private.end_import(i.id, 'failed', 'The file has more than 1,000,000 lines: split it.');
    perform app_private.set_context(null, null);
    return false;
  end if;
  perform app_private.set_context(null, null);
  return true;
end
$$;
comment on function app.stage_import(uuid, jsonb, jsonb) is
  'Checks lines [[line, {column: text}]] of an import and stores the result. False if it was cancelled, or has too many lines.';
alter function app.stage_import(uuid, jsonb, jsonb) owner to callboard_definer;
grant execute on function app.stage_import(uuid, jsonb, jsonb) to callboard_worker;
-- The planner does not know lines that were just staged and expects one of them, so it would compare each with all the
-- others. Without nested loops it reads every table once, whatever it expects; and it plans now, not when there were few.
create or replace function app.finish_check(import uuid, found_options jsonb, because text default null) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set enable_nestloop = off
set plan_cache_mode = 'force_custom_plan'
set jit = off
as $$
declare
  i app.imports := app_private.enter_import(import, '{checking}');
  present bigint;
begin
  if i.id is null then
    return;
  end if;
  if because is not null then
    update app.imports x set options = found_options where x.organization_id = i.organization_id and x.id = i.id;
    perform app_private.end_import(i.id, 'failed', because);
    perform app_private.set_context(null, null);
    return;
  end if;
  -- If a reference occurs more than once in the file, the first line keeps it.
  update app.import_lines l
  set record = null, problems = jsonb_build_array(jsonb_build_object('column', 'external_ref', 'reason', format('Line %s has the same one.', d.first_line)))
  from (
    select x.line, first_value(x.line) over (partition by x.record ->> 'source', x.record ->> 'external_ref' order by x.line) as first_line
    from app.import_lines x
    where x.organization_id = i.organization_id and x.import_id = i.id and x.record ->> 'external_ref' is not null) d
  where l.organization_id = i.organization_id and l.import_id = i.id and l.line = d.line and d.line <> d.first_line;
  -- Most files have no references: then nothing of the organization is read.
  if not exists (select from app.import_lines l
      where l.organization_id = i.organization_id and l.import_id = i.id and l.record ->> 'external_ref' is not null) then
    present := 0;
  elsif i.resource = 'shows' then
    select count(*) into present from app.import_lines l
    join app.shows s on s.organization_id = l.organization_id and s.deleted_at is null
      and s.source = l.record ->> 'source' and s.external_ref = l.record ->> 'external_ref'
    where l.organization_id = i.organization_id and l.import_id = i.id;
  else
    select count(*) into present from app.import_lines l
    join app.finance_records r on r.organization_id = l.organization_id and r.deleted_at is null
      and r.source = l.record ->> 'source' and r.external_ref = l.record ->> 'external_ref'
    where l.organization_id = i.organization_id and l.import_id = i.id;
  end if;
  -- Whoever cancels it now waits for its end.
  if (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id for update) then
    perform app_private.end_import(i.id, 'cancelled');
    perform app_private.set_context(null, null);
    return;
  end if;
  update app.imports x
  set status = 'checked', options = found_options, existing = present,
    (lines, bad_lines) = (select count(*), count(l.problems) from app.import_lines l where l.organization_id = i.organization_id and l.import_id = i.id)
  where x.organization_id = i.organization_id and x.id = i.id;
  -- The staged lines contain everything needed from the file.
  delete from app.import_chunks c where c.organization_id = i.organization_id and c.import_id = i.id;
  perform app_private.set_context(null, null);
end
$$;
comment on function app.finish_check(uuid, jsonb, text) is 'Ends the check of an import: all its lines are staged or, with a reason, the file cannot be read.';
alter function app.finish_check(uuid, jsonb, text) owner to callboard_definer;
grant execute on function app.finish_check(uuid, jsonb, text) to callboard_worker;
create or replace function app.enter_lines(import uuid, after_line integer, how_many integer, out last_line integer, out entered integer, out there integer)
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import, '{running}');
  good integer;
begin
  if i.id is null then
    perform app.refuse(409, 'import_ended', 'It is not running.');
  end if;
  select max(x.line), count(*) into last_line, good from (
    select l.line from app.import_lines l
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line
    order by l.line limit how_many) x;
  if not app_private.may_import(i, after_line, last_line) then
    perform app.refuse(403, 'permission_denied', 'The member who requested it no longer has permission.');
  elsif (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id) then
    perform app.refuse(409, 'import_ended', 'It was cancelled.');
  end if;
  if i.resource = 'shows' then
    -- The ids are made here, because an INSERT does not say which line became which show.
    with good_lines as materialized (
      select app.uuid_v7() as id, r.*
      from app.import_lines l
      cross join lateral jsonb_to_record(l.record) as r (title text, artist text, venue_id uuid, show_on date, doors_time time, start_time time,
        curfew_time time, status text, capacity integer, tickets_sold integer, fee_minor bigint, currency text, notes text, source text, external_ref text)
      where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line and l.line <= last_line
      order by l.line
    ), new_shows as (
      insert into app.shows (organization_id, id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold,
        notes, source, external_ref, created_by)
      select i.organization_id, g.id, g.title, g.artist, g.venue_id, g.show_on, g.doors_time, g.start_time, g.curfew_time, g.status, g.capacity, g.tickets_sold,
        g.notes, g.source, g.external_ref, i.created_by
      from good_lines g
      on conflict (organization_id, source, external_ref) where deleted_at is null and external_ref is not null do nothing
      returning id
    ), new_fees as (
      insert into app.show_fees (organization_id, show_id, fee_minor, currency)
      select i.organization_id, n.id, g.fee_minor, g.currency from new_shows n join good_lines g on g.id = n.id where g.fee_minor is not null
    )
    select count(*) into entered from new_shows;
  else
    insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate,
      base_currency, status, payment_status, counterparty, note, source, external_ref, created_by)
    select i.organization_id, r.*, i.created_by
    from app.import_lines l
    cross join lateral jsonb_to_record(l.record) as r (kind text, category_id uuid, show_id uuid, booked_on date, due_on date, amount_minor bigint,
      tax_minor bigint, currency text, exchange_rate numeric, base_currency text, status text, payment_status text, counterparty text, note text,
      source text, external_ref text)
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line and l.line <= last_line
    order by l.line
    on conflict (organization_id, source, external_ref) where deleted_at is null and external_ref is not null do nothing;
    get diagnostics entered = row_count;
  end if;
  there := good - entered;
  perform app_private.set_context(null, null);
end
$$;
comment on function app.enter_lines(uuid, integer, integer) is
  'Enters the next good lines of an import: returns the last of them (null: there were none), how many were entered, and how many existed already. PT403 and PT409 when it must stop, and any refusal of the table itself.';
alter function app.enter_lines(uuid, integer, integer) owner to callboard_definer;
grant execute on function app.enter_lines(uuid, integer, integer) to callboard_worker;
create or replace function app.note_import_progress(import uuid, lines integer) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports;
begin
  -- Runs in parallel with the transaction that holds the lock on the import, so it takes none.
  select * into i from app.imports x where x.id = import;
  perform app_private.set_context(i.created_by, i.session_id, i.organization_id);
  update app.import_progress p set lines_done = lines where p.organization_id = i.organization_id and p.import_id = i.id;
  perform app_private.set_context(null, null);
end
$$;
comment on function app.note_import_progress(uuid, integer) is 'Records how many lines of an import the worker has processed.';
alter function app.note_import_progress(uuid, integer) owner to callboard_definer;
grant execute on function app.note_import_progress(uuid, integer) to callboard_worker;
create or replace function app.finish_import(import uuid, entered integer, there integer, because text default null) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import, '{running}');
  -- Whoever cancels it now waits for its end.
  is_cancelled boolean := (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id for update);
begin
  if i.id is null then
    return;
  elsif because is null and is_cancelled then
    perform app.refuse(409, 'import_ended', 'It was cancelled.');
  end if;
  perform app_private.end_import(i.id, case when because is null then 'done' when is_cancelled then 'cancelled' else 'failed' end,
    because, entered, there);
  perform app_private.set_context(null, null);
end
$$;
comment on function app.finish_import(uuid, integer, integer, text) is 'Ends a run of an import: how many lines were entered and how many existed already or, with a reason, that it failed.';
alter function app.finish_import(uuid, integer, integer, text) owner to callboard_definer;
grant execute on function app.finish_import(uuid, integer, integer, text) to callboard_worker;
-- EndIncluded imports/import_running.sql
-- Included calendar/calendar_feeds.sql
select app_private.hide_statistics('app.calendar_feeds');
select app_private.force_rls('app.calendar_feeds');
select app_private.set_policy('app.calendar_feeds', 'select_definer', 'callboard_definer', 'true');
-- Also those of a member who is removed.
select app_private.set_policy('app.calendar_feeds', 'update_definer', 'callboard_definer', 'organization_id = (select app.current_org())');
select app_private.log_changes('app.calendar_feeds', 'calendar_feed', '{"revoked_at": "revoke"}');
-- A second entry point besides app.enter, and a narrower one.
create or replace function app.enter_calendar_feed(secret text) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  f record;
begin
  perform app_private.require_read_only('a calendar feed');
  select x.id, x.user_id, x.organization_id, m.role into f
  from app.calendar_feeds x
  -- Not one that began after the feed was made: removing a member ends it for good.
  join app.memberships m on m.organization_id = x.organization_id and m.user_id = x.user_id and m.deleted_at is null and m.created_at <= x.created_at
  join app.organizations o on o.id = x.organization_id and o.deleted_at is null
  where x.secret_hash = app_private.digest(secret) and x.revoked_at is null;
  if f.id is null then
    perform app.refuse(404, 'not_found', 'There is no such calendar feed, or it has been revoked.');
  end if;
  perform app_private.set_context(f.user_id, f.id, f.organization_id, f.role, app_private.for_reading(array(
    select p from unnest(app_private.effective_permissions(f.organization_id, f.user_id, f.role)) p
    where p in ('organization.read', 'shows.read', 'itineraries.read', 'itineraries.write'))));
end
$$;
comment on function app.enter_calendar_feed(text) is
  'Opens this read-only transaction for the member who created the feed with this secret, with only the permissions that the calendar and its name depend on. PT404 if the feed, the membership or the organization is gone.';
alter function app.enter_calendar_feed(text) owner to callboard_definer;
grant execute on function app.enter_calendar_feed(text) to callboard_api;
-- EndIncluded calendar/calendar_feeds.sql
-- Included exports/export_running.sql
-- How the worker runs an export (src/exports/task.ts): it reads as the member who created it, under the
-- same policies as the member's requests, and writes the rows to a file.
--
-- It reads as callboard_exporter. That role is named, next to callboard_api, in the SELECT policies of
-- everything that can be exported, and can do nothing else. The worker can become this role, but sees
-- nothing without app.enter_export, which creates the context of a running export.

create or replace function app_private.export_permissions(e app.exports) returns text[]
language sql stable
set search_path = ''
begin atomic
  select coalesce(array_agg(p.held order by p.held), '{}')
  from app_private.permissions_for_export(e.resource) x, unnest(app_private.still_held(e.organization_id, e.created_by, e.created_at)) p (held)
  where (p.held = any ('{exports.run}' || x.required || x.used)
      -- Changes are shown to those who may read what the event is about: see app.readable_events.
      or e.resource = 'events' and p.held in (select t.permission from app_private.table_permissions t where t.command = 'select'))
    -- permissions_of also counts members of deleted organizations.
    and exists (select from app.organizations o where o.id = e.organization_id and o.deleted_at is null);
end;
comment on function app_private.export_permissions(app.exports) is 'Which of the permissions that an export uses its member currently holds.';
alter function app_private.export_permissions(app.exports) owner to callboard_definer;
create or replace function app.enter_export(organization uuid, export uuid, of_attempt uuid) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports;
begin
  perform app_private.require_read_only('an export');
  select * into e from app.exports x where x.organization_id = organization and x.id = export and x.attempt = of_attempt and x.status = 'running';
  if not found or not app_private.may_export(e) then
    perform app.refuse(403, 'permission_denied', 'The member who requested it no longer has permission.');
  end if;
  perform app_private.set_context(e.created_by, e.session_id, e.organization_id, null, app_private.for_reading(array(
    select unnest(app_private.export_permissions(e)) intersect select unnest(e.held))));
end
$$;
comment on function app.enter_export(uuid, uuid, uuid) is
  'Opens this read-only transaction for the member whose export is running, with only those of their permissions that reading it needs. PT403.';
alter function app.enter_export(uuid, uuid, uuid) owner to callboard_definer;
grant execute on function app.enter_export(uuid, uuid, uuid) to callboard_worker;
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
      -- Its job failed permanently or was lost without reporting.
      or x.status in ('queued', 'running') and not exists (
        select from graphile_worker._private_jobs j where j.key = 'export:' || x.id and (j.is_available or j.locked_at is not null))
  loop
    e := app_private.lock_export(e.organization_id, e.id);
    if e.status = 'ready' and e.expires_at <= now() then
      update app.exports x set status = 'expired' where x.organization_id = e.organization_id and x.id = e.id;
    elsif e.status in ('queued', 'running') then
      perform app_private.end_export(e, 'It was attempted several times, and the worker died each time.');
    end if;
    ended := ended + 1;
  end loop;
  perform app_private.set_context(null, null);
  perform app_private.add_job('sweep_exports', '{}', 'sweep_exports', 3, 'export');
  return ended;
end
$$;
comment on function app.expire_exports() is
  'Ends exports that have expired or lost their job, and has files deleted that nobody may download any longer. Returns how many ended.';
alter function app.expire_exports() owner to callboard_definer;
grant execute on function app.expire_exports() to callboard_worker;
-- EndIncluded exports/export_running.sql
-- Included exports/export_commands.sql
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
  perform app.require('exports.run');
  -- The worker acts as the member, and a superadmin is not one.
  if not exists (select from app.memberships m where m.organization_id = organization and m.user_id = app.current_user_id() and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Only members can create exports.');
  elsif (select count(*) from app.exports e where e.organization_id = organization and e.created_by = app.current_user_id()
      and e.status in ('queued', 'running')) >= 5 then
    perform app.refuse(409, 'too_many_exports');
  elsif (select count(*) from app.exports e where e.organization_id = organization and e.status in ('queued', 'running')) >= 20 then
    perform app.refuse(409, 'too_many_exports_of_all');
  elsif (select sum(e.bytes) from app.exports e where e.organization_id = organization and e.status = 'ready') > 21474836480 then
    perform app.refuse(409, 'export_storage_full');
  end if;
  insert into app.exports (resource, format, bom, filters) values (of_resource, in_format, with_bom, jsonb_strip_nulls(by_filters)) returning id into export;
  insert into app.export_progress (organization_id, export_id) values (organization, export);
  perform app_private.add_job('run_export', jsonb_build_object('organization', organization, 'export', export), 'export:' || export, 5,
    'export', organization::text);
  answer := app.read_export(export);
  answer.status := 202;
  return answer;
end
$$;
comment on function app.create_export(text, text, boolean, jsonb) is
  'Has the worker export what the member may see to a file, once this transaction has committed. PT403 without exports.run or the permission to read it, PT409 too_many_exports, too_many_exports_of_all, export_storage_full.';
alter function app.create_export(text, text, boolean, jsonb) owner to callboard_definer;
grant execute on function app.create_export(text, text, boolean, jsonb) to callboard_api;
-- EndIncluded exports/export_commands.sql
-- Included bi/bi_credentials.sql
-- BI tools connect directly to PostgreSQL, each with its own login that belongs to one organization.
-- What it sees depends on the login (session_user), never on a setting. Members manage the credential;
-- the role itself is created and dropped in bi_commands.sql and db/database.sql. Credentials are never
-- deleted, so that the list shows who could once read what.

create table if not exists app.bi_credentials (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text collate app.people not null constraint bi_credentials_name_length check (app.is_line(name, 200)),
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
  -- Who answers for it, and since when, if that is not who created it; the operator for one that a DBA rotated.
  held_by uuid references app.users (id),
  held_since timestamptz,
  held_by_operator boolean not null default false,
  primary key (organization_id, id),
  constraint bi_credentials_expiry_range check (expires_at - coalesce(rotated_at, created_at) between interval '0' and interval '731 days')
);
-- Without grants: the functions of bi_commands.sql write and check the permission.
select app_private.tenant_policies('app.bi_credentials', reads => 'bi.manage', inserts => 'bi.manage', updates => 'bi.manage',
  definer => 'insert, update');
grant select on app.bi_credentials to callboard_api, callboard_definer;
grant insert (id, name, login, connection_limit, statement_timeout_seconds, expires_at),
  update (expires_at, rotated_at, revoked_at, revoked_by, held_by, held_since, held_by_operator) on app.bi_credentials to callboard_definer;
comment on table app.bi_credentials is 'Database logins of BI tools: each reads the views of `analytics` for its organization until it is revoked or expires.';
comment on column app.bi_credentials.login is 'The PostgreSQL role. Its password is stored nowhere; PostgreSQL stores only its verifier.';
comment on column app.bi_credentials.created_by is 'The member who created it; null for a DBA.';
comment on column app.bi_credentials.held_by is 'The member who gave it its password last, or to whom it was handed over; null for who created it. It is worth nothing without them.';
select app_private.log_changes('app.bi_credentials', 'bi', '{"rotated_at": "rotate", "revoked_at": "revoke"}');
-- Which organization a login belongs to, looked up before there is a context. Without foreign keys, because
-- the role outlives a purged organization until it is dropped.
create table if not exists app_private.bi_logins (
  login text primary key,
  organization_id uuid not null,
  credential_id uuid not null,
  must_end boolean not null default false,
  last_seen_at timestamptz,
  -- What the role has to be like; null for one of an earlier release. It can change both itself.
  verifier text,
  settings text[],
  is_set boolean not null default true
);
select app_private.definer_table('app_private.bi_logins');
comment on table app_private.bi_logins is 'The organization that each BI login belongs to; a row is deleted when its role is dropped.';
comment on column app_private.bi_logins.must_end is 'Its role has been given a password, and it has yet to be seen that nobody has another.';
comment on column app_private.bi_logins.verifier is 'The SCRAM-SHA-256 verifier of its password, with which nobody can log in.';
comment on column app_private.bi_logins.settings is 'The settings that its role was given.';
comment on column app_private.bi_logins.is_set is 'Whether its role has been given the verifier. Until then the login sees nothing.';
comment on column app_private.bi_logins.last_seen_at is 'When it was last connected, to within five minutes.';
-- A login is worth what the member who answers for it could still do: make one. It shows nothing without them, until
-- another member takes it over by giving it a new password, which those who have left do not know.
create or replace function app_private.bi_holder(c app.bi_credentials) returns uuid
language sql immutable
return case when not c.held_by_operator then coalesce(c.held_by, c.created_by) end;
comment on function app_private.bi_holder(app.bi_credentials) is 'The member without whom a credential is worth nothing; null for the operator''s.';
alter function app_private.bi_holder(app.bi_credentials) owner to callboard_definer;
create or replace function app_private.is_bi_held(c app.bi_credentials) returns boolean
language sql stable
set search_path = ''
return app_private.bi_holder(c) is null
  or 'bi.manage' = any (app_private.still_held(c.organization_id, app_private.bi_holder(c), coalesce(c.held_since, c.created_at)));
comment on function app_private.is_bi_held(app.bi_credentials) is 'Whether somebody still answers for a credential: the operator, or a member who may manage BI logins and has been one since.';
alter function app_private.is_bi_held(app.bi_credentials) owner to callboard_definer;
create or replace view app_private.bi_states with (security_invoker = true) as
  select l.organization_id, l.credential_id, l.login, l.must_end, l.last_seen_at, c.statement_timeout_seconds,
    c.id is null or c.revoked_at is not null as is_gone,
    c.revoked_at is null and c.expires_at <= statement_timestamp() as has_expired,
    coalesce(c.revoked_at is null and c.expires_at > statement_timestamp() and o.deleted_at is null and l.is_set and app_private.is_bi_held(c), false) as is_live,
    coalesce(c.revoked_at is null and c.expires_at > statement_timestamp() and o.deleted_at is null and not app_private.is_bi_held(c), false) as is_suspended,
    coalesce(c.revoked_at is null and c.expires_at > statement_timestamp() and o.deleted_at is null and not l.is_set and app_private.is_bi_held(c), false) as is_to_be_set
  from app_private.bi_logins l
  left join app.bi_credentials c on c.organization_id = l.organization_id and c.id = l.credential_id
  left join app.organizations o on o.id = l.organization_id;
comment on view app_private.bi_states is 'The desired state of each BI login.';
grant select on app_private.bi_states to callboard_definer;
create or replace function app.is_bi_suspended(credential uuid) returns boolean
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return exists (select from app.bi_credentials c
    where c.organization_id = app.org_if_reading('bi.manage') and c.id = credential and not app_private.is_bi_held(c));
end
$$;
comment on function app.is_bi_suspended(uuid) is 'Whether nobody answers for a credential of the organization any longer; for members with bi.manage.';
alter function app.is_bi_suspended(uuid) owner to callboard_definer;
grant execute on function app.is_bi_suspended(uuid) to callboard_api, callboard_definer;
create or replace view app.bi_credential_list with (security_invoker = true) as
  select c.organization_id, c.id, c.created_at,
    json_build_object('id', c.id, 'name', c.name, 'login', c.login,
      'status', case when c.revoked_at is not null then 'revoked' when c.expires_at <= statement_timestamp() then 'expired'
        when app.is_bi_suspended(c.id) then 'suspended' else 'active' end,
      'connection_limit', c.connection_limit, 'statement_timeout_seconds', c.statement_timeout_seconds,
      'created_by', c.created_by, 'held_by', case when not c.held_by_operator then coalesce(c.held_by, c.created_by) end, 'created_at', c.created_at, 'expires_at', c.expires_at, 'rotated_at', c.rotated_at,
      'last_seen_at', app.bi_last_seen(c.id), 'revoked_by', c.revoked_by, 'revoked_at', c.revoked_at) as body
  from app.bi_credentials c;
comment on view app.bi_credential_list is 'The organization''s BI credentials, including ended ones, with their JSON.';
grant select on app.bi_credential_list to callboard_api, callboard_definer;
-- EndIncluded bi/bi_credentials.sql
-- Included bi/bi_commands.sql
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
  -- Nobody can have locked or changed a role that is not there yet.
  role_name := app_private.make_bi_role(credential, verifier, connections, seconds, until);
  insert into app.bi_credentials (id, name, login, connection_limit, statement_timeout_seconds, expires_at)
  values (credential, body ->> 'name', role_name, connections, seconds, until);
  insert into app_private.bi_logins (login, organization_id, credential_id, verifier, settings)
  values (role_name, app.current_org(), credential, verifier, app_private.bi_settings(role_name));
  return credential;
end
$$;
comment on function app_private.add_bi_credential(jsonb, text) is
  'Creates a credential of the current organization and its role: name, expires_in_days (90), connection_limit (5), statement_timeout_seconds (300). PT409 bi_credential_limit.';
alter function app_private.add_bi_credential(jsonb, text) owner to callboard_definer;
create or replace function app_private.renew_bi_credential(credential uuid, body jsonb, verifier text) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app.bi_credentials;
  until timestamptz;
begin
  select * into c from app.bi_credentials x where x.organization_id = app.current_org() and x.id = credential for no key update;
  if c.id is null then
    perform app.refuse(404, 'not_found');
  elsif c.revoked_at is not null then
    perform app.refuse(409, 'bi_credential_revoked');
  end if;
  perform app_private.make_room_for_bi(credential);
  until := case when body ->> 'expires_in_days' is null and c.expires_at > now() then c.expires_at
    else now() + make_interval(days => coalesce((body ->> 'expires_in_days')::integer, 90)) end;
  update app.bi_credentials x
  set rotated_at = now(), expires_at = until, held_by = app.current_user_id(), held_since = now(), held_by_operator = app.current_user_id() is null
  where x.organization_id = c.organization_id and x.id = credential;
  -- The role itself is left to app_private.settle_bi_login: it may be locked or changed by whoever has the old password.
  insert into app_private.bi_logins as l (login, organization_id, credential_id, verifier, must_end, is_set)
  values (c.login, c.organization_id, credential, renew_bi_credential.verifier, true, false)
  on conflict (login) do update set verifier = excluded.verifier, must_end = true, is_set = false;
end
$$;
comment on function app_private.renew_bi_credential(uuid, jsonb, text) is
  'Shuts a credential of the current organization out until app.settle_bi_login has given it a new password; it belongs to the caller from then on, and gets a new expiry if expires_in_days is given or it has expired (then 90 by default). PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app_private.renew_bi_credential(uuid, jsonb, text) owner to callboard_definer;
create or replace function app_private.end_bi_credential(credential uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app.bi_credentials;
begin
  select * into c from app.bi_credentials x where x.organization_id = app.current_org() and x.id = credential for no key update;
  if c.id is null then
    perform app.refuse(404, 'not_found');
  elsif c.revoked_at is not null then
    perform app.refuse(409, 'bi_credential_revoked');
  end if;
  -- Nothing of the role's, which whoever has its password may have locked.
  update app.bi_credentials x set revoked_at = now(), revoked_by = app.current_user_id()
  where x.organization_id = c.organization_id and x.id = credential;
end
$$;
comment on function app_private.end_bi_credential(uuid) is 'Revokes a credential of the current organization. PT404, PT409 bi_credential_revoked.';
alter function app_private.end_bi_credential(uuid) owner to callboard_definer;
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
  'Takes a credential over: shuts it out until app.settle_bi_login, called until it returns true, has given it the new password; a new expiry as expires_in_days says, or in 90 days if it has expired. PT403, PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app.rotate_bi_credential(uuid, jsonb, text) owner to callboard_definer;
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
  'Revokes a credential permanently: it sees nothing from the next statement on. Afterwards app.settle_bi_login, called until it returns true, ends its connections. PT403, PT404, PT409 bi_credential_revoked.';
alter function app.revoke_bi_credential(uuid) owner to callboard_definer;
grant execute on function app.revoke_bi_credential(uuid) to callboard_api;
-- EndIncluded bi/bi_commands.sql
-- Included bi/bi_settling.sql
-- Making the role of a BI login follow its credential, against the will of whoever has its password. A login may change
-- its own password and settings, and by that keep its role locked, or undo what is done to it. So a command only says
-- what is to be, which the login sees nothing after, and commits; then the steps here follow, each in a transaction of its
-- own: shut the role out, end its connections, give it the new password, see that it has it.

create or replace function app_private.bi_settings(the_login text) returns text[]
language sql stable
set search_path = ''
return coalesce((
  select array_agg(concat_ws(' ', nullif(s.setdatabase, 0), v) order by s.setdatabase, v)
  from pg_catalog.pg_db_role_setting s join pg_catalog.pg_roles r on r.oid = s.setrole cross join unnest(s.setconfig) v
  where r.rolname = the_login), '{}');
comment on function app_private.bi_settings(text) is 'The settings with which a BI login starts, in every database.';
alter function app_private.bi_settings(text) owner to callboard_definer;
-- What the roles may have locked is waited for only briefly: a connection that has been ended is gone within milliseconds.
create or replace function app_private.shut_bi_role(credential uuid, tries integer) returns boolean
language plpgsql volatile
set search_path = ''
set lock_timeout = '100ms'
as $$
begin
  for n in 1 .. tries loop
    begin
      perform app_private.end_bi_sessions(credential);
      perform app_private.let_bi_role(credential, false);
      return true;
    -- It has locked its role, or changed it at the same moment (tuple concurrently updated).
    exception when lock_not_available or internal_error then null;
    end;
  end loop;
  return false;
end
$$;
comment on function app_private.shut_bi_role(uuid, integer) is 'Ends the connections of a credential''s login and forbids new ones. False if the login has prevented it each time.';
alter function app_private.shut_bi_role(uuid, integer) owner to callboard_definer;
create or replace function app_private.has_bi_verifier(l app_private.bi_logins) returns boolean
language plpgsql volatile
set search_path = ''
as $$
begin
  if l.verifier is null or to_regprocedure('app_private.bi_role_has(uuid,text)') is null then
    return null;
  end if;
  return app_private.bi_role_has(l.credential_id, l.verifier);
end
$$;
comment on function app_private.has_bi_verifier(app_private.bi_logins) is
  'Whether the role of a login has the password that it was given; null where nobody can look: only a superuser can allow it.';
alter function app_private.has_bi_verifier(app_private.bi_logins) owner to callboard_definer;
create or replace function app_private.settle_bi_login(the_login text, tries integer) returns boolean
language plpgsql volatile
set search_path = ''
as $$
declare
  l app_private.bi_logins;
  s app_private.bi_states;
  c app.bi_credentials;
  can_log_in boolean := (select r.rolcanlogin from pg_catalog.pg_roles r where r.rolname = the_login);
begin
  -- Once at a time.
  select * into l from app_private.bi_logins x where x.login = the_login for update;
  select * into s from app_private.bi_states x where x.login = the_login;
  if s.login is null or s.is_live and not s.must_end then
    return true;
  elsif s.is_live then
    -- It has its new password, which nobody was told yet: who is connected came in before.
    if app_private.end_bi_sessions(s.credential_id) > 0 then
      return false;
    end if;
    update app_private.bi_logins x set must_end = false, is_set = app_private.has_bi_verifier(l) is not false,
      settings = app_private.bi_settings(the_login) where x.login = the_login;
    return false;
  elsif can_log_in then
    if app_private.shut_bi_role(s.credential_id, tries) and (s.has_expired or s.is_suspended) then
      perform app_private.log_event(s.organization_id, case when s.has_expired then 'bi.expire' else 'bi.suspend' end, 'bi', s.credential_id);
    end if;
    -- Who connects before this commits is ended by the next call.
    return false;
  elsif app_private.end_bi_sessions(s.credential_id) > 0 then
    return false;
  elsif not s.is_to_be_set then
    return true;
  end if;
  select * into c from app.bi_credentials x where x.organization_id = l.organization_id and x.id = l.credential_id;
  perform app_private.make_bi_role(l.credential_id, l.verifier, c.connection_limit, c.statement_timeout_seconds, c.expires_at);
  update app_private.bi_logins x set is_set = true where x.login = the_login;
  return false;
end
$$;
comment on function app_private.settle_bi_login(text, integer) is
  'Takes the next step of making a BI login''s role follow its credential: see above. True if none is left.';
alter function app_private.settle_bi_login(text, integer) owner to callboard_definer;
create or replace function app.settle_bi_login(credential uuid) returns boolean
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return coalesce((select app_private.settle_bi_login(l.login, tries => 10) from app_private.bi_logins l where l.credential_id = credential), true);
end
$$;
comment on function app.settle_bi_login(uuid) is
  'Takes a step of making the role of a BI credential follow it, each in a transaction of its own: true if none is left. It only ends and allows what the credential says, so anybody may call it.';
alter function app.settle_bi_login(uuid) owner to callboard_definer;
grant execute on function app.settle_bi_login(uuid) to callboard_api, callboard_worker;
create or replace function app.end_bi_connections() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  one record;
  unsettled bigint := 0;
begin
  for one in select s.login from app_private.bi_states s where s.must_end or not s.is_live order by s.login loop
    unsettled := unsettled + (not app_private.settle_bi_login(one.login, tries => 1))::integer;
  end loop;
  return unsettled;
end
$$;
comment on function app.end_bi_connections() is
  'Takes a step with each BI login that is revoked, has expired, belongs to nobody, is to get another password or belongs to a deleted organization: ends its connections first. Returns with how many there is more to do.';
alter function app.end_bi_connections() owner to callboard_definer;
grant execute on function app.end_bi_connections() to callboard_api, callboard_worker;
-- EndIncluded bi/bi_settling.sql
-- Included organizations/left_behind.sql
-- What a member has made that would outlive them. It is worth what they could still do (app_private.still_held), and what
-- is theirs alone ends for good with their membership. What the organization may miss is named when it ends with them.

create or replace function app_private.end_own(member uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  organization constant uuid := app.current_org();
begin
  update app.calendar_feeds f set revoked_at = statement_timestamp()
  where f.organization_id = organization and f.user_id = member and f.revoked_at is null;
  update app.exports e
  set status = case when e.status = 'ready' then 'expired' else 'cancelled' end, finished_at = coalesce(e.finished_at, statement_timestamp())
  where e.organization_id = organization and e.created_by = member and e.status in ('queued', 'running', 'ready');
  if found then
    -- Deletes their files.
    perform app_private.add_job('sweep_exports', '{}', 'sweep_exports', 3);
  end if;
end
$$;
comment on function app_private.end_own(uuid) is 'Ends a member''s own calendar feeds and exports in the current organization for good.';
alter function app_private.end_own(uuid) owner to callboard_definer;
create or replace function app_private.left_behind(member uuid) returns jsonb
language sql stable
set search_path = ''
begin atomic
  with bi as (
    select jsonb_agg(jsonb_build_object('id', c.id, 'name', c.name, 'login', c.login,
      'status', case when c.revoked_at is null then 'suspended' else 'revoked' end) order by c.id) as list
    from app.bi_credentials c
    where c.organization_id = app.current_org() and app_private.bi_holder(c) = member and c.expires_at > statement_timestamp()
      and not app_private.is_bi_held(c)
      -- Those that this request has revoked.
      and (c.revoked_at is null or c.revoked_at = now())
  ), open as (
    select jsonb_agg(jsonb_build_object('id', i.id, 'email', i.email, 'role', i.role) order by i.id) as list
    from app.invitations i
    where i.organization_id = app.current_org() and i.invited_by = member and i.accepted_at is null and i.deleted_at is null and i.expires_at > now()
      and app_private.invitation_fault(i) is not null
  )
  select jsonb_build_object('bi_credentials', coalesce(bi.list, '[]'), 'invitations', coalesce(open.list, '[]'))
  from bi, open
  where bi.list is not null or open.list is not null;
end;
comment on function app_private.left_behind(uuid) is
  'What a member of the current organization has made and can no longer answer for: suspended BI logins and void invitations. NULL if there is nothing.';
alter function app_private.left_behind(uuid) owner to callboard_definer;
create or replace function app_private.note_left_behind(member uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  what jsonb := app_private.left_behind(member);
begin
  if what is not null then
    perform app_private.log_event(app.current_org(), 'member.leave_behind', 'member', member, jsonb_build_object('new', what));
  end if;
end
$$;
comment on function app_private.note_left_behind(uuid) is 'Logs member.leave_behind, with what app_private.left_behind returns, if there is anything.';
alter function app_private.note_left_behind(uuid) owner to callboard_definer;
-- EndIncluded organizations/left_behind.sql
-- Included bi/bi_keeping.sql
-- Maintenance of BI logins: roles follow the state of their credentials and stay as they were made, and no login can
-- hold up others, neither with an endless transaction nor by what it does to its own role.

create or replace function app_private.reconcile_bi_login(s app_private.bi_states, can_log_in boolean, is_connected boolean) returns bigint
language plpgsql volatile
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  l app_private.bi_logins;
begin
  if s.is_gone and not is_connected and not coalesce(can_log_in, false) then
    perform app_private.drop_bi_role(s.credential_id);
    delete from app_private.bi_logins x where x.login = s.login;
    return 1;
  elsif s.is_live and not can_log_in then
    perform app_private.let_bi_role(s.credential_id, true);
    return 1;
  elsif s.is_live and not s.must_end then
    select * into l from app_private.bi_logins x where x.login = s.login;
    if l.settings <> app_private.bi_settings(s.login) or not app_private.has_bi_verifier(l) then
      -- Shut out until it has its password and its settings again: app_private.settle_bi_login.
      update app_private.bi_logins x set is_set = false, must_end = true where x.login = s.login;
      perform app_private.log_event(s.organization_id, 'bi.reset', 'bi', s.credential_id);
      return 1;
    end if;
  end if;
  return 0;
exception
  -- A DBA has granted it something. It cannot log in, and is dropped once the grant is revoked.
  when dependent_objects_still_exist then return 0;
  -- Something else is changing its role: next time.
  when lock_not_available or internal_error then return 0;
end
$$;
comment on function app_private.reconcile_bi_login(app_private.bi_states, boolean, boolean) is
  'Drops or enables a role, depending on its credential, or notes that it has changed its own password or settings and has to be set again (bi.reset). Returns 1 if anything was necessary.';
alter function app_private.reconcile_bi_login(app_private.bi_states, boolean, boolean) owner to callboard_definer;
create or replace function app.reconcile_bi_logins() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  found_one record;
  done bigint;
begin
  -- One worker at a time; usually there is nothing to do.
  perform from app_private.bi_logins l for update skip locked;
  if not found then
    return 0;
  end if;
  done := app.end_bi_connections();
  for found_one in
    select s, r.rolcanlogin,
      exists (select from pg_catalog.pg_stat_activity x where x.usename = s.login) as is_connected
    from app_private.bi_states s
    left join pg_catalog.pg_roles r on r.rolname = s.login
  loop
    done := done + app_private.reconcile_bi_login(found_one.s, found_one.rolcanlogin, found_one.is_connected);
    if found_one.is_connected then
      -- Twice the statement timeout: a login can change its own timeouts, and old transactions hold back VACUUM.
      done := done + app_private.end_bi_sessions((found_one.s).credential_id, make_interval(secs => 2 * (found_one.s).statement_timeout_seconds));
      update app_private.bi_logins l set last_seen_at = now()
      where l.login = (found_one.s).login and coalesce(l.last_seen_at < now() - interval '5 minutes', true);
    end if;
  end loop;
  return done;
end
$$;
comment on function app.reconcile_bi_logins() is
  'Takes the steps of app.end_bi_connections, and ends transactions that last more than twice the statement timeout; enables or disables roles depending on their credentials, drops revoked ones, resets those that changed themselves, and records which were connected. Runs every few seconds. Returns the number of changes.';
alter function app.reconcile_bi_logins() owner to callboard_definer;
grant execute on function app.reconcile_bi_logins() to callboard_worker;
-- EndIncluded bi/bi_keeping.sql
-- Included audit/access_review.sql
create or replace function app_private.reviewed_doors(organization uuid) returns json
language sql stable
set search_path = ''
begin atomic
  select json_build_object(
    'invitations', (
      select coalesce(json_agg(json_build_object('email', i.email, 'role', i.role, 'invited_by', u.email, 'expires_at', i.expires_at) order by i.email), '[]')
      from app.invitations i join app.users u on u.id = i.invited_by
      where i.organization_id = organization and i.accepted_at is null and i.deleted_at is null and i.expires_at > now()
        and app_private.invitation_fault(i) is null),
    'bi_logins', (
      select coalesce(json_agg(json_build_object('name', c.name, 'login', c.login, 'created_by', u.email, 'held_by', (select h.email from app.users h where h.id = app_private.bi_holder(c)), 'created_at', c.created_at,
        'rotated_at', c.rotated_at, 'expires_at', c.expires_at, 'last_seen_at', l.last_seen_at) order by c.name, c.id), '[]')
      from app.bi_credentials c
      left join app_private.bi_logins l on l.organization_id = c.organization_id and l.credential_id = c.id
      left join app.users u on u.id = c.created_by
      where c.organization_id = organization and c.revoked_at is null and c.expires_at > now() and app_private.is_bi_held(c)),
    'calendar_feeds', (
      select coalesce(json_agg(json_build_object('name', f.name, 'of', u.email, 'created_at', f.created_at) order by u.email, f.id), '[]')
      from app.calendar_feeds f join app.users u on u.id = f.user_id
      where f.organization_id = organization and f.revoked_at is null),
    'superadmins', (
      select coalesce(json_agg(json_build_object('email', u.email, 'everywhere', g.organization_id is null, 'may_write', g.may_write,
        'reason', g.reason, 'granted_by', g.granted_by, 'created_at', g.created_at, 'expires_at', g.expires_at) order by g.created_at, g.id), '[]')
      from app_private.support_grants g join app.users u on u.id = g.user_id
      where (g.organization_id = organization or g.organization_id is null) and g.revoked_at is null and g.expires_at > now()));
end;
comment on function app_private.reviewed_doors(uuid) is
  'What opens an organization besides a membership, as JSON: open invitations, BI logins, calendar feeds, and superadmins with a grant for it or for all. Only what still works.';
alter function app_private.reviewed_doors(uuid) owner to callboard_definer;
-- EndIncluded audit/access_review.sql
-- Included retention/ended.sql
create or replace function app.read_ended(behind jsonb default null) returns jsonb
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
set timezone = 'UTC'
set jit = off
as $$
declare
  reach constant jsonb := app_private.log_reach();
  present constant timestamptz := reach ->> 'until';
  previous constant timestamptz := coalesce(
    case when behind -> 'origin' = reach -> 'origin' and (behind ->> 'until')::timestamptz < now() + interval '5 minutes' then (behind ->> 'until')::timestamptz end,
    greatest((reach #>> '{origin,since}')::timestamptz, now() - interval '1 day'));
  -- An event can become visible late, if a clock was set back or a backend stalled.
  since constant timestamptz := previous - interval '1 minute';
  organization uuid;
  ended jsonb[] := '{}';
begin
  -- Until the sealer has run here.
  if present < previous then
    return null;
  end if;
  loop
    -- Also what is newer than it vouches for: the next line has it again.
    organization := app_private.next_logged(organization, since, 'infinity');
    exit when organization is null;
    ended := ended || array(select app_private.ended_in(organization, since));
  end loop;
  -- A refresh is no event. It spends a token, and a spent one that comes back was stolen.
  ended := ended || array(
    select jsonb_build_object('what', 'refresh', 'id', s.id, 'at', s.refreshed_at)
    from app.sessions s where s.refreshed_at >= since and s.refreshed_at > s.created_at and s.revoked_at is null);
  return jsonb_build_object('origin', reach -> 'origin', 'from', previous, 'until', present, 'ended', to_jsonb(ended));
end
$$;
comment on function app.read_ended(jsonb) is
  'A line for the file of what ends: which database, the times from and until which nothing that ended is missing, and what ended (sessions, members, grants, feeds, logins, passwords, what was purged and erased). behind is the line before; without one of this database, it begins a day ago. NULL if there is nothing to say yet.';
alter function app.read_ended(jsonb) owner to callboard_definer;
grant execute on function app.read_ended(jsonb) to callboard_worker;
-- EndIncluded retention/ended.sql
-- Included analytics/rollups.sql
select app_private.force_rls('analytics_private.rollups');
select app_private.set_policy('analytics_private.rollups', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('analytics_private.rollups', 'all_rollup', 'callboard_rollup', 'true');
select app_private.set_policy('analytics_private.rollups', 'all_owner', 'callboard_owner', 'true');
select app_private.force_rls('analytics_private.rollup_states'), app_private.hide_statistics('analytics_private.rollup_states');
select app_private.set_policy('analytics_private.rollup_states', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('analytics_private.rollup_states', 'all_rollup', 'callboard_rollup', 'true');
select app_private.force_rls('analytics_private.looking');
select app_private.set_policy('analytics_private.looking', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('analytics_private.looking', 'all_rollup', 'callboard_rollup', 'true');
select app_private.set_policy('analytics_private.looking', 'insert_owner', 'callboard_owner', 'true');
insert into analytics_private.looking default values on conflict do nothing;
-- Only the holder of a lock on its row does the work.
create table if not exists analytics_private.refreshing (
  lane text primary key,
  began_at timestamptz,
  counted jsonb,
  since timestamptz
);
select app_private.force_rls('analytics_private.refreshing');
select app_private.set_policy('analytics_private.refreshing', 'all_rollup', 'callboard_rollup', 'true');
-- Locking a row requires the privilege to update it.
grant select, update on analytics_private.refreshing to callboard_rollup;
select app_private.set_policy('analytics_private.refreshing', 'all_owner', 'callboard_owner', 'true');
insert into analytics_private.refreshing (lane) values ('look'), ('small'), ('large'), ('whole') on conflict do nothing;
comment on table analytics_private.refreshing is
  'Locked while somebody looks for changes, computes the figures of an organization (small: in less than a second; large: in more), or of all of them (whole), so that there is one of each at a time.';
comment on column analytics_private.refreshing.began_at is 'When somebody last looked.';
comment on column analytics_private.refreshing.counted is 'The events after `since` that the last look has seen: {organization: {resource: number}}.';
comment on column analytics_private.refreshing.since is 'The horizon of the last look: events dated before it have all appeared.';
-- EndIncluded analytics/rollups.sql
-- Included analytics/rollup_looking.sql
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
-- EndIncluded analytics/rollup_looking.sql
-- Included analytics/rollup_checking.sql
-- Once a night, or when a DBA asks, all figures are compared with what their definition says, and computed in full.
--
-- A difference is a defect: somebody has changed rows without triggers, or a figure depends on something that
-- is missing from its `resources`. It is reported, and mended by computing.

create or replace function analytics_private.check_figure(name text) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  began timestamptz := clock_timestamp();
  since timestamptz := (select coalesce(r.since, l.looked_until) from analytics_private.looking l, analytics_private.refreshing r where r.lane = 'look');
  looked timestamptz := (select l.looked_until from analytics_private.looking l);
  columns text := (
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_catalog.pg_attribute a
    where a.attrelid = format('analytics_private.%I', name || '_definition')::regclass and a.attnum > 0);
  compared text := format('
    select coalesce(jsonb_object_agg(x.organization_id, x.rows), ''{}'')
    from (
      select d.organization_id, count(*) as rows
      from ((select %1$s from analytics_private.%2$I where $1 is null or organization_id = $1
          except all select %1$s from analytics_private.%3$I where $1 is null or organization_id = $1)
        union all (select %1$s from analytics_private.%3$I where $1 is null or organization_id = $1
          except all select %1$s from analytics_private.%2$I where $1 is null or organization_id = $1)) d
      group by 1) x', columns, name || '_definition', name || '_now');
  organization uuid;
  own jsonb;
  differing jsonb := '{}';
begin
  begin
    execute compared into differing using null::uuid;
  exception when query_canceled or others then
    -- A row that cannot be computed keeps only its own organization from being checked.
    for organization in select o.id from app.organizations o loop
      begin
        execute compared into own using organization;
        differing := differing || own;
      exception when query_canceled or others then
        continue;
      end;
    end loop;
  end;
  -- Not those that have changed something that is still to be computed, or have been computed meanwhile.
  with odd as (
    select s.organization_id, s.rollup, (differing ->> s.organization_id::text)::bigint as rows
    from analytics_private.rollup_states s
    join analytics_private.rollups r on r.name = s.rollup
    where s.rollup = check_figure.name and differing ? s.organization_id::text and s.changed_at is null and s.computed_at < began
      and coalesce(s.valid_until > now(), true)
      and not exists (select from app.event_log l where l.organization_id = s.organization_id and l.occurred_at >= since
        and (l.resource_type = any (r.resources) or '*' = any (r.resources)))
      and not ('client_event' = any (r.resources)
        and exists (select from app.client_events c where c.organization_id = s.organization_id and c.received_at >= since))
    order by s.organization_id for update of s
  )
  update analytics_private.rollup_states s
  set differed_at = clock_timestamp(), differing_rows = odd.rows, changed_at = clock_timestamp(), marked_at = clock_timestamp(), as_of = looked
  from odd where odd.organization_id = s.organization_id and odd.rollup = s.rollup;
  update analytics_private.rollups r set checked_at = began where r.name = check_figure.name;
  return (
    select coalesce(jsonb_agg(jsonb_build_object('rollup', s.rollup, 'organization', s.organization_id, 'differing_rows', s.differing_rows)), '[]')
    from analytics_private.rollup_states s where s.rollup = check_figure.name and s.differed_at >= began);
end
$$;
comment on function analytics_private.check_figure(text) is
  'Compares what all organizations see of a figure with its definition, and has those computed that differ although nothing has changed; returns them.';
alter function analytics_private.check_figure(text) owner to callboard_rollup;
-- EndIncluded analytics/rollup_checking.sql
-- Included retention/clock.sql
-- Times that were stored while the clock of the server was wrong. Much of what recurs goes on from the time that it has
-- reached. If the clock was ahead and is set right, that time lies in the future, and nothing would happen until then.

create or replace function analytics_private.take_back_times() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  latest constant timestamptz := now() + interval '5 minutes';
  back bigint;
  n bigint;
begin
  update analytics_private.looking set looked_until = now() - interval '1 hour' where looked_until > latest;
  get diagnostics back = row_count;
  -- All events of the last hour count as new.
  update analytics_private.refreshing r set began_at = now(), since = now() - interval '1 hour', counted = null where r.began_at > latest or r.since > latest;
  get diagnostics n = row_count;
  back := back + n;
  update analytics_private.rollups r
  set refreshed_at = least(r.refreshed_at, now()), checked_at = least(r.checked_at, now()), failed_at = least(r.failed_at, now())
  where r.refreshed_at > latest or r.checked_at > latest or r.failed_at > latest;
  get diagnostics n = row_count;
  back := back + n;
  -- Figures that were computed for a day in the future are computed again.
  update analytics_private.rollup_states s
  set changed_at = now(), marked_at = now(), as_of = least(s.as_of, now() - interval '1 hour'), computed_at = null, failed_at = null,
    valid_until = least(s.valid_until, now()), differed_at = least(s.differed_at, now())
  where greatest(s.changed_at, s.marked_at, s.as_of, s.computed_at, s.failed_at, s.differed_at) > latest or s.valid_until > now() + interval '2 days';
  get diagnostics n = row_count;
  return back + n;
end
$$;
comment on function analytics_private.take_back_times() is 'What app.take_back_times does for figures.';
alter function analytics_private.take_back_times() owner to callboard_rollup;
grant execute on function analytics_private.take_back_times() to callboard_definer;
create or replace function app.take_back_times(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  latest constant timestamptz := now() + interval '5 minutes';
  taken_back jsonb := '{}';
  n bigint;
begin
  -- Whatever else was stored, one of these is ahead: workers write them every few seconds, and jobs are due when they are queued.
  if not exists (select from app_private.sealing s where greatest(s.sealed_until, s.reached) > latest)
      and not exists (select from app_private.horizon_looks k where k.at > latest)
      and not exists (select from analytics_private.looking l where l.looked_until > latest)
      and not exists (select from graphile_worker._private_known_crontabs c where c.last_execution > latest)
      and not exists (select from graphile_worker._private_jobs j where j.is_available and j.attempts = 0 and j.run_at > latest) then
    return jsonb_build_object('failed', 0, 'is_idle', true, 'next', null);
  end if;

  delete from app_private.horizon_looks k where k.at > latest;
  get diagnostics n = row_count;
  taken_back := taken_back || jsonb_build_object('horizon_looks', n);
  update app_private.sealing s
  set sealed_until = least(s.sealed_until, now() - interval '1 hour'), reached = least(s.reached, now() - interval '1 hour')
  where greatest(s.sealed_until, s.reached) > latest;
  get diagnostics n = row_count;
  taken_back := taken_back || jsonb_build_object('sealing', n, 'figures', analytics_private.take_back_times());

  update graphile_worker._private_known_crontabs c
  set known_since = least(c.known_since, now()), last_execution = least(c.last_execution, now())
  where c.last_execution > latest or c.known_since > latest;
  get diagnostics n = row_count;
  taken_back := taken_back || jsonb_build_object('crontabs', n);
  -- The longest pause before a retry is 6.2 hours.
  update graphile_worker._private_jobs j set run_at = now() where j.is_available and j.run_at > case j.attempts when 0 then latest else now() + interval '7 hours' end;
  get diagnostics n = row_count;
  taken_back := taken_back || jsonb_build_object('jobs', n);
  update graphile_worker._private_jobs j set locked_at = now() where j.locked_at > latest;
  update graphile_worker._private_job_queues q set locked_at = now() where q.locked_at > latest;

  -- What is valid for a while would be for longer.
  update app.sessions s
  set created_at = least(s.created_at, now()), refreshed_at = least(s.refreshed_at, now()), expires_at = least(s.expires_at, now() + app_private.session_lifetime())
  where s.refreshed_at > latest or s.created_at > latest;
  get diagnostics n = row_count;
  taken_back := taken_back || jsonb_build_object('sessions', n);
  update app_private.refresh_tokens t set created_at = least(t.created_at, now()), used_at = least(t.used_at, now() - interval '1 minute')
  where t.created_at > latest or t.used_at > latest;
  get diagnostics n = row_count;
  taken_back := taken_back || jsonb_build_object('refresh_tokens', n);
  update app_private.email_tokens t set expires_at = now() + interval '3 days' where t.expires_at > now() + interval '7 days';
  get diagnostics n = row_count;
  taken_back := taken_back || jsonb_build_object('email_tokens', n);

  return taken_back || jsonb_build_object('failed', (select coalesce(sum(x.value::bigint), 0) from jsonb_each_text(taken_back) x), 'next', null);
end
$$;
comment on function app.take_back_times(jsonb) is
  'If the clock was ahead: takes back all stored times that are later than now and from which something goes on, such as sealing, figures, the schedule, waiting jobs, sessions. Returns how many of each, and in `failed` how many in all. Runs every 10 seconds.';
alter function app.take_back_times(jsonb) owner to callboard_definer;
grant execute on function app.take_back_times(jsonb) to callboard_worker;
-- EndIncluded retention/clock.sql
-- Lock: access exclusive on app_private.refresh_tokens: alter table app_private.refresh_tokens add column if not exists parent_hash bytea
-- Lock: access exclusive on app.idempotency_keys: alter table app.idempotency_keys drop constraint if exists idempotency_keys_pkey
-- Lock: access exclusive on app.bi_credentials: alter table app.bi_credentials add column if not exists held_by uuid, add column if not exists held_
-- Lock: share row exclusive on app.bi_credentials: alter table app.bi_credentials add constraint bi_credentials_held_by_fkey foreign key (held_by) refe
-- Lock: share row exclusive on app.users: alter table app.bi_credentials add constraint bi_credentials_held_by_fkey foreign key (held_by) refe
-- Lock: access exclusive on app_private.bi_logins: alter table app_private.bi_logins add column if not exists verifier text, add column if not exists s
-- Lock: access exclusive on app.invitations: alter table app.invitations add column if not exists invited_at timestamptz, add column if not exist
-- Lock: access exclusive on app_private.sealing: alter table app_private.sealing add column if not exists reached timestamptz not null default '-infi
-- Lock: access exclusive on analytics_private.refreshing: alter table analytics_private.refreshing add column if not exists since timestamptz
-- Lock: share row exclusive on app.invitations: select app_private.log_changes('app.invitations', 'invitation', '{"delete": "revoke", "accepted_at":
-- Lock: access exclusive on app.invitation_list: create or replace view app.invitation_list with (security_invoker = true) as select i.organization_i
-- Lock: share row exclusive on app.organizations: create or replace trigger _400_books before update on app.organizations for each row when (new.curre
-- Lock: access exclusive on app.calendar_feeds: select app_private.set_policy('app.calendar_feeds', 'update_definer', 'callboard_definer', 'organiza
-- Lock: access exclusive on app_private.bi_states: create or replace view app_private.bi_states with (security_invoker = true) as select l.organization
-- Lock: access exclusive on app.bi_credential_list: create or replace view app.bi_credential_list with (security_invoker = true) as select c.organizatio
