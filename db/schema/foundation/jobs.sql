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
  set locked_at = null, locked_by = null, last_error = coalesce(j.last_error, 'its worker stopped responding')
  where j.locked_at < now() - interval '20 seconds';
  get diagnostics released = row_count;
  update graphile_worker._private_job_queues q set locked_at = null, locked_by = null
  where q.locked_at < now() - interval '20 seconds';
  return released;
end
$$;
comment on function app.keep_jobs(text[], boolean) is
  'A worker''s heartbeat, sent every 5 seconds: it keeps its own jobs and releases those of workers that have been silent for 20. A worker that has itself been silent that long must not release any: the database may have been unavailable. Returns how many were released.';
alter function app.keep_jobs(text[], boolean) owner to callboard_definer;
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
      (select extract(epoch from now() - s.reached)::float8 from app_private.sealing s where isfinite(s.reached))
    from graphile_worker._private_jobs j;
end
$$;
comment on function app.job_health() is
  'How many jobs are waiting (including those delayed until a retry) and how many have failed for good, how long the oldest has been due, and how far behind the sealing of events is (null: none sealed yet).';
alter function app.job_health() owner to callboard_definer;
grant execute on function app.job_health() to callboard_worker;
