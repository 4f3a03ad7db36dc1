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
  sealed_until timestamptz not null default '-infinity'
);
select app_private.definer_table('app_private.sealing', 'select, update');
select app_private.set_policy('app_private.sealing', 'insert_owner', 'callboard_owner', 'true');
insert into app_private.sealing default values on conflict do nothing;
comment on table app_private.sealing is 'The time up to which all events are sealed; locked by the sealer, so that only one runs at a time.';

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
  horizon timestamptz;
  hundredth timestamptz;
begin
  -- Otherwise this transaction would reuse an earlier snapshot of the statistics.
  perform pg_stat_clear_snapshot();
  -- Everybody may see that a transaction is open, but only pg_read_all_stats, which a hosted server may not grant, since
  -- when. So each call notes which are open; once all of them have ended, so have all that had begun before that call.
  running := array(
    select l.virtualtransaction from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and l.pid <> pg_backend_pid()
      -- Autovacuum has no user. BI tools write no events and may keep transactions open for a long time.
      and a.datname = current_database() and a.usename is not null
      and not exists (select from app_private.bi_logins b where b.login = a.usename));
  if running = '{}' then
    horizon := called;
  else
    horizon := (select max(k.at) from app_private.horizon_looks k where not k.open && running);
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
comment on function app_private.seal_horizon() is 'A moment before which all transactions have ended; null until that can be said of any.';
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

create or replace function app_private.seal_batch(of_organization uuid, since timestamptz, until timestamptz, at_most integer) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  head app.event_seals;
  batch record;
  chain bytea[] := '{}';
  last_hash bytea;
begin
  -- The subquery applies the limit before anything is hashed.
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
comment on function app_private.seal_batch(uuid, timestamptz, timestamptz, integer) is 'Adds the unsealed events of an organization between two times to its chain in chronological order; returns how many.';
alter function app_private.seal_batch(uuid, timestamptz, timestamptz, integer) owner to callboard_definer;

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
  batch_since timestamptz;
  organization uuid;
  done bigint;
  sealed bigint := 0;
begin
  select * into state from app_private.sealing for update skip locked;
  if not found then
    return 0;
  end if;
  horizon := app_private.seal_horizon();
  -- If the clock was set back, or a backend stalled between taking its timestamp and becoming visible, an
  -- event can be older than those already sealed: it is found within look_back and sealed after them.
  since := greatest(state.sealed_until - look_back, '0001-01-01 00:00:00+00');
  loop
    organization := app_private.next_logged(organization, since, horizon);
    exit when organization is null;
    -- Skips nearly all organizations, because this runs every few seconds.
    continue when not exists (select from app.event_log l
      where l.organization_id = organization and l.occurred_at >= since and l.occurred_at < horizon);
    batch_since := since;
    loop
      -- In batches that fit into memory.
      done := app_private.seal_batch(organization, batch_since, horizon, 20000);
      sealed := sealed + done;
      exit when done < 20000;
      select s.occurred_at into batch_since from app.event_seals s where s.organization_id = organization order by s.seq desc limit 1;
    end loop;
  end loop;
  update app_private.sealing set sealed_until = greatest(sealed_until, horizon);
  return sealed;
end
$$;
comment on function app.seal_events(interval) is
  'Seals all events that no earlier one can still precede, and any within the last look_back that were missed; returns how many. A concurrent call does nothing. Runs every 2 seconds with ''10 seconds'', once a minute, and once a day with ''10 years''.';
alter function app.seal_events(interval) owner to callboard_definer;
grant execute on function app.seal_events(interval) to callboard_worker;
