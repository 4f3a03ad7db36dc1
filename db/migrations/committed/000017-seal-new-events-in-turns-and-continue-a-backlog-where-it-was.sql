--! Previous: sha1:f42a5a23a75f1e567b22b930cfab714bf9653e5b
--! Hash: sha1:fd1406200fa47211d79d6e89d50d47bb852263c2
--! Message: Seal new events in turns, and continue a backlog where it was left

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
      return jsonb_build_object('sealed', sealed, 'failed', 0, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer, 'next',
        jsonb_build_object('horizon', horizon, 'until', until, 'since', since, 'organization', organization, 'last_at', last_at, 'last_id', last_id,
        'backlog', backlog, 'is_whole', is_whole));
    end if;
  end loop;
  while backlog <> '[]' loop
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
      return jsonb_build_object('sealed', sealed, 'failed', 0, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer,
        'next', jsonb_build_object('backlog', backlog));
    end if;
  end loop;
  -- Behind where a backlog had come, events may have become visible: the next pass finds them.
  if is_whole then
    update app_private.sealing x set sealed_until = greatest(x.sealed_until, horizon), reached = greatest(x.reached, until);
  end if;
  return jsonb_build_object('sealed', sealed, 'failed', 0, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer, 'next', null)
    || case when sealed = 0 then jsonb '{"is_idle": true}' else '{}' end;
end
$$;
comment on function app.seal_part(interval, jsonb) is
  'Seals at most 11,000 events: new ones, and any within the last look_back that were missed. To continue, call it again with next, until that is null; a concurrent call waits for its turn. Runs every second with ''10 seconds'', once a minute with ''1 hour'', and once a day with ''1000 years''.';
alter function app.seal_part(interval, jsonb) owner to callboard_definer;
grant execute on function app.seal_part(interval, jsonb) to callboard_worker;
-- EndIncluded audit/event_seals.sql
