--! Previous: sha1:af4c78c86b9b66e1116de93a3f63fde1b0b0d38a
--! Hash: sha1:25031db5f3e3173dd1cda4a54c887135b031c0b4
--! Message: smaller batches of seals

-- Included audit/event_seals.sql
select app_private.force_rls('app.event_seals');
select app_private.set_policy('app.event_seals', 'select_auditor', 'callboard_auditor', 'true');
-- The definer appends; nobody ever changes or deletes seals, which outlive their events.
select app_private.set_policy('app.event_seals', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.event_seals', 'insert_definer', 'callboard_definer', 'true');
select app_private.definer_table('app_private.sealing', 'select, update');
select app_private.set_policy('app_private.sealing', 'insert_owner', 'callboard_owner', 'true');
insert into app_private.sealing default values on conflict do nothing;
select app_private.definer_table('app_private.horizon_looks');
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
    from app_private.seal_batch(organization, coalesce(last_at, greatest(since, least(coalesce(head_at, since), until) - look_back)), last_id, until, future, 2000) b;
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
  'Seals at most 12,000 events: new ones, and any within the last look_back that were missed. To continue, call it again with next, until that is null; a concurrent call waits for its turn. Runs every second with ''10 seconds'', once a minute with ''1 hour'', and once a day with ''1000 years''.';
alter function app.seal_part(interval, jsonb) owner to callboard_definer;
grant execute on function app.seal_part(interval, jsonb) to callboard_worker;
-- EndIncluded audit/event_seals.sql
