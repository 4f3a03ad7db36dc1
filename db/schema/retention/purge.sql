-- Retention of technical data. The worker calls this every hour (src/jobs/schedule.ts). What
-- organizations have deleted is purged by deletion_purge.sql.

create or replace function app.purge_expired() returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  gone jsonb := '{}';
  n bigint;
  organizations uuid[];
begin
  -- Refresh tokens that can no longer renew anything.
  delete from app_private.refresh_tokens t where t.used_at < now() - app_private.session_lifetime();
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('refresh_tokens', n);

  -- Ended sessions with their remaining refresh tokens.
  delete from app.sessions s where coalesce(s.revoked_at, s.expires_at) < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('sessions', n);

  -- Links, used or not.
  delete from app_private.email_tokens t where t.expires_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('email_tokens', n);

  -- Stored responses: the policy purge_definer shows only expired ones.
  delete from app.idempotency_keys k where k.created_at < now() - interval '24 hours';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('idempotency_keys', n);

  -- Mails whose job ended or was lost without settling them: nothing will send them.
  update app_private.mails m
  set failed_at = now(), last_error = coalesce(m.last_error, 'its job has ended')
  where m.sent_at is null and m.failed_at is null and not exists (
    select from graphile_worker._private_jobs j
    where j.key = 'send_mail:' || m.id and (j.is_available or j.locked_at is not null));
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('mails_given_up', n);

  delete from app_private.mails m where coalesce(m.sent_at, m.failed_at) < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('mails', n);

  -- Uploads with their errors.
  delete from app.imports i where i.created_at < now() - interval '30 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('imports', n);

  -- Client events: the policy purge_definer shows only old ones. By organization, to use the index.
  with old as (
    delete from app.client_events e
    where e.organization_id = any (array(select o.id from app.organizations o where not app_private.is_held(o.id)))
      and e.received_at < now() - interval '90 days'
    returning e.organization_id
  )
  select coalesce(sum(o.events), 0), array_agg(o.organization_id order by o.organization_id) into n, organizations
  from (select old.organization_id, count(*) as events from old group by 1) o;
  -- No event tells that their figures have changed.
  perform analytics_private.mark_changed(o.id, '{client_event}', (select l.looked_until from analytics_private.looking l))
  from unnest(organizations) o (id);
  gone := gone || jsonb_build_object('client_events', n);

  -- Usage counts are kept long enough to compare a year with the previous one.
  delete from app.api_use u
  where u.organization_id = any (array(select o.id from app.organizations o)) and u.day < (now() at time zone 'UTC')::date - 800;
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('api_use', n);
  delete from app.integration_use u
  where u.organization_id = any (array(select o.id from app.organizations o)) and u.day < (now() at time zone 'UTC')::date - 800;
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('integration_use', n);
  delete from app_private.use_batches b where b.added_at < now() - interval '7 days';

  -- Their files were removed long before.
  delete from app.exports e where e.created_at < now() - interval '30 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('exports', n);

  -- Failed jobs.
  delete from graphile_worker._private_jobs j
  where not j.is_available and j.locked_at is null and j.run_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('jobs', n);

  return gone;
end
$$;
comment on function app.purge_expired() is
  'Deletes ended sessions, old links, client events, sent mails and failed jobs after 90 days, usage counts after 800, spent refresh tokens after 30, idempotency keys after one. Returns how many of each.';
alter function app.purge_expired() owner to callboard_definer;
grant execute on function app.purge_expired() to callboard_worker;
