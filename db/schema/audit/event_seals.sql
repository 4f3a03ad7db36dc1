-- Proof that the event log is unaltered. A worker seals the events of each organization in a
-- chain: a seal's hash covers the event's hash and that of the previous seal. Changing, removing
-- or truncating events breaks the chain, or leads to a head that differs from one recorded elsewhere.
-- The chain holds only a salted hash of personal details, so they can be erased.

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
select app_private.force_rls('app.event_seals');
select app_private.set_policy('app.event_seals', 'select_auditor', 'callboard_auditor', 'true');
-- The definer appends; nobody ever changes or deletes seals, which outlive their events.
select app_private.set_policy('app.event_seals', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.event_seals', 'insert_definer', 'callboard_definer', 'true');
grant select on app.event_seals to callboard_auditor, callboard_definer;
grant insert on app.event_seals to callboard_definer;
alter table app.event_seals alter column seq set statistics 0, alter column core_hash set statistics 0,
  alter column details_hash set statistics 0, alter column prev_hash set statistics 0, alter column hash set statistics 0;
comment on table app.event_seals is 'The chain of each organization''s events.';
comment on column app.event_seals.core_hash is 'Hash of the permanent part of an event: app.event_core_hash.';
comment on column app.event_seals.details_hash is 'Hash of the details that may be erased, with a salt that is erased too: app.event_details_hash.';
comment on column app.event_seals.hash is 'Hash of prev_hash and the preceding columns: app.event_seal_hash. Together with seq it is the head of the chain so far.';

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

-- Times as microseconds, and everything as the text form of an array, which quotes its elements: the
-- result depends on no setting, and no value can pass for two.
create or replace function app.event_core_hash(e app.event_log) returns bytea
language sql stable parallel safe
return sha256(convert_to(array[(e).organization_id::text, (e).id::text, (extract(epoch from (e).occurred_at) * 1000000)::bigint::text,
  (e).actor_id::text, (e).actor_kind, (e).session_id::text, (e).action, (e).resource_type, (e).resource_id::text]::text, 'UTF8'));
comment on function app.event_core_hash(app.event_log) is 'SHA-256 of an event without its details.';
grant execute on function app.event_core_hash(app.event_log) to callboard_auditor, callboard_definer;

create or replace function app.event_details_hash(e app.event_log) returns bytea
language sql stable parallel safe
return sha256(convert_to(array[(e).salt::text, (e).changes::text, (e).request_id, host((e).ip)]::text, 'UTF8'));
comment on function app.event_details_hash(app.event_log) is 'Salted SHA-256 of the details of an event: changes, request_id, ip.';
grant execute on function app.event_details_hash(app.event_log) to callboard_auditor, callboard_definer;

create or replace function app.event_seal_hash(prev_hash bytea, organization_id uuid, seq bigint, event_id uuid, occurred_at timestamptz, core_hash bytea, details_hash bytea) returns bytea
language sql immutable parallel safe
return sha256(prev_hash || uuid_send(organization_id) || int8send(seq) || uuid_send(event_id) || timestamptz_send(occurred_at) || core_hash || details_hash);
comment on function app.event_seal_hash(bytea, uuid, bigint, uuid, timestamptz, bytea, bytea) is 'SHA-256 of a seal and the one before it; the first one follows the empty string.';
grant execute on function app.event_seal_hash(bytea, uuid, bigint, uuid, timestamptz, bytea, bytea) to callboard_auditor, callboard_definer;

create table if not exists app_private.horizon_looks (
  at timestamptz primary key,
  open text[] not null
);
select app_private.definer_table('app_private.horizon_looks');
comment on table app_private.horizon_looks is 'Recent calls of app_private.seal_horizon.';
comment on column app_private.horizon_looks.open is 'The transactions that were open then, as pg_locks names them.';

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

create or replace function app_private.next_logged(behind uuid, since timestamptz, until timestamptz) returns uuid
language plpgsql stable
set search_path = ''
as $$
begin
  -- Skips from one organization to the next along the primary key. Whole months, so that no events are read.
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
  'The next organization after another (null: the first) with events between two times; it may also return one with events only near them.';
alter function app_private.next_logged(uuid, timestamptz, timestamptz) owner to callboard_definer;

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
  began timestamptz;
  is_thorough constant boolean := look_back >= interval '1 hour';
  state app_private.sealing;
  horizon timestamptz := behind ->> 'horizon';
  until timestamptz := behind ->> 'until';
  since timestamptz := behind ->> 'since';
  future timestamptz;
  organization uuid := behind ->> 'organization';
  last_at timestamptz := behind ->> 'last_at';
  last_id uuid := behind ->> 'last_id';
  -- Who has more than a batch, and how far each has come, the one whose turn is next first.
  backlog jsonb := coalesce(behind -> 'backlog', '[]');
  -- Whether this pass began with nobody half done.
  is_whole constant boolean := coalesce((behind ->> 'is_whole')::boolean, behind is null);
  head_at timestamptz;
  batch record;
  sealed integer := 0;
  next jsonb;
begin
  -- Parts of others take their turns. What a part waits for them is not of its own time.
  select * into state from app_private.sealing for update;
  began := clock_timestamp();
  future := case when is_thorough then began + interval '5 minutes' else 'infinity' end;
  if until is null then
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
      -- Skips nearly all organizations, because this runs every second.
      continue when not is_thorough and (backlog @> jsonb_build_array(jsonb_build_object('organization', organization)) or not exists (select from app.event_log l
        where l.organization_id = organization and l.occurred_at >= since and l.occurred_at < until));
      if not is_thorough then
        head_at := (select s.occurred_at from app.event_seals s where s.organization_id = organization order by s.seq desc limit 1);
      end if;
    end if;
    select * into batch
    from app_private.seal_batch(organization, coalesce(last_at, greatest(since, least(coalesce(head_at, since), until) - look_back)), last_id, until, future, 1000) b;
    sealed := sealed + batch.sealed;
    if is_thorough then
      last_at := batch.last_at;
      last_id := batch.last_id;
    elsif batch.last_at is not null then
      -- Nobody's events wait for the backlog of another: first each gets a batch.
      backlog := backlog || jsonb_build_object('organization', organization, 'last_at', batch.last_at, 'last_id', batch.last_id);
    end if;
    -- In parts, so that no transaction is long; a thorough one, which has often nothing to do, gives way to the quick ones.
    if sealed >= 10000 or clock_timestamp() > began + (case when is_thorough then interval '0.25 seconds' else interval '1 second' end) then
      next := jsonb_build_object('horizon', horizon, 'until', until, 'since', since, 'organization', organization, 'last_at', last_at, 'last_id', last_id,
        'backlog', backlog, 'is_whole', is_whole);
      exit;
    end if;
  end loop;
  while next is null and backlog <> '[]' loop
    organization := backlog #>> '{0,organization}';
    select * into batch
    from app_private.seal_batch(organization, (backlog #>> '{0,last_at}')::timestamptz, (backlog #>> '{0,last_id}')::uuid, until, future, 1000) b;
    backlog := backlog - 0;
    sealed := sealed + batch.sealed;
    if batch.last_at is not null then
      backlog := backlog || jsonb_build_object('organization', organization, 'last_at', batch.last_at, 'last_id', batch.last_id);
    end if;
    -- Then the others again.
    if sealed >= 10000 or clock_timestamp() > began + interval '1 second' then
      next := jsonb_build_object('backlog', backlog);
    end if;
  end loop;
  -- Behind where a backlog had come, events may have become visible: the next pass finds them.
  if next is null and is_whole then
    update app_private.sealing x set sealed_until = greatest(x.sealed_until, horizon), reached = greatest(x.reached, until);
  end if;
  return jsonb_build_object('sealed', sealed, 'failed', 0, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer, 'next', next)
    || case when sealed = 0 and next is null then jsonb '{"is_idle": true}' else '{}' end;
end
$$;
comment on function app.seal_part(interval, jsonb) is
  'Seals at most 11,000 events: new ones, and any within the last look_back that were missed. To continue, call it again with next, until that is null; a concurrent call waits for its turn. Runs every second with ''10 seconds'', once a minute with ''1 hour'', and once a day with ''1000 years''.';
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
