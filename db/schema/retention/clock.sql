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
