-- Retention of technical data. The worker calls this every hour (src/jobs/schedule.ts). What
-- organizations have deleted is purged by deletion_purge.sql.

create or replace function app_private.expiries()
returns table (kind text, target regclass, condition text, change text, organization text, most integer)
language sql stable
set search_path = ''
begin atomic
  select x.kind, x.target::regclass, x.condition, coalesce(x.change, 'delete from'), coalesce(x.organization, 'null::uuid'), coalesce(x.most, 1000)
  from (values
    -- Refresh tokens that can no longer renew anything.
    ('refresh_tokens', 'app_private.refresh_tokens', $$t.used_at < now() - app_private.session_lifetime()$$, null, null, null::integer),
    -- Ended sessions with their remaining refresh tokens.
    ('sessions', 'app.sessions', $$coalesce(t.revoked_at, t.expires_at) < now() - interval '90 days'$$, null, null, null),
    -- Links, used or not.
    ('email_tokens', 'app_private.email_tokens', $$t.expires_at < now() - interval '90 days'$$, null, null, null),
    -- Stored responses: the policy purge_definer shows only expired ones.
    ('idempotency_keys', 'app.idempotency_keys', $$t.created_at < now() - interval '24 hours'$$, null, null, null),
    -- Mails whose job ended or was lost without settling them: nothing will send them.
    ('mails_given_up', 'app_private.mails',
      $$t.sent_at is null and t.failed_at is null and not exists (
        select from graphile_worker._private_jobs j where j.key = 'send_mail:' || t.id and (j.is_available or j.locked_at is not null))$$,
      $$set failed_at = now(), last_error = coalesce(t.last_error, 'its job has ended')$$, null, null),
    ('mails', 'app_private.mails', $$coalesce(t.sent_at, t.failed_at) < now() - interval '90 days'$$, null, null, null),
    -- Uploads with their errors: a million lines each, at most.
    ('imports', 'app.imports', $$t.created_at < now() - interval '30 days'$$, null, null, 5),
    -- Client events: the policy purge_definer shows only old ones. By organization, to use the index.
    ('client_events', 'app.client_events',
      $$t.organization_id = any (array(select o.id from app.organizations o where not app_private.is_held(o.id))) and t.received_at < now() - interval '90 days'$$,
      null, 't.organization_id', null),
    -- Usage counts are kept long enough to compare a year with the previous one.
    ('api_use', 'app.api_use',
      $$t.organization_id = any (array(select o.id from app.organizations o)) and t.day < (now() at time zone 'UTC')::date - 800$$, null, null, null),
    ('integration_use', 'app.integration_use',
      $$t.organization_id = any (array(select o.id from app.organizations o)) and t.day < (now() at time zone 'UTC')::date - 800$$, null, null, null),
    -- What was expected: each day long enough to compare a year with the previous one, then the first of each month.
    ('pipeline_snapshots', 'app.pipeline_snapshots',
      $$t.organization_id = any (array(select o.id from app.organizations o)) and t.taken_on < (now() at time zone 'UTC')::date - 800
        and extract(day from t.taken_on) <> 1$$, null, null, null),
    ('use_batches', 'app_private.use_batches', $$t.added_at < now() - interval '7 days'$$, null, null, null),
    -- Their files were removed long before.
    ('exports', 'app.exports', $$t.created_at < now() - interval '30 days'$$, null, null, null),
    -- Failed jobs.
    ('jobs', 'graphile_worker._private_jobs', $$not t.is_available and t.locked_at is null and t.run_at < now() - interval '90 days'$$, null, null, null)
  ) as x (kind, target, condition, change, organization, most);
end;
comment on function app_private.expiries() is
  'What expires, in this order: the rows t of a table that meet a condition, what is done with them, unless they are deleted, whose figures that changes, and how many at a time at most.';
alter function app_private.expiries() owner to callboard_definer;

create or replace function app_private.expire_rows(target regclass, change text, organization text, rows tid[]) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  gone bigint;
  organizations uuid[];
begin
  -- What has been changed meanwhile is at another place, and left for the next time.
  execute format('with gone as (%s t %s where t.ctid = any ($1) returning %s as organization) select count(*), array_agg(distinct organization) from gone',
    case when change = 'delete from' then format('delete from %s', target) else format('update %s', target) end,
    case when change <> 'delete from' then change end, organization)
  using rows into gone, organizations;
  -- No event tells that their figures have changed.
  perform analytics_private.mark_changed(o.id, '{client_event}', (select l.looked_until from analytics_private.looking l))
  from unnest(organizations) o (id) where o.id is not null;
  return gone;
end
$$;
comment on function app_private.expire_rows(regclass, text, text, tid[]) is 'Deletes or changes rows of a table, as app_private.expiries says. Returns how many.';
alter function app_private.expire_rows(regclass, text, text, tid[]) owner to callboard_definer;

create or replace function app.purge_expired(behind jsonb default null, at_most integer default 5000) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set lock_timeout = '1s'
as $$
declare
  -- So many rows that cannot be deleted are reported of a kind: then the next one's turn has come.
  hopeless constant integer := 100;
  began timestamptz := clock_timestamp();
  seen integer := 0;
  e record;
  due tid[];
  one tid;
  -- Of this kind, those that could not be deleted: they come again otherwise.
  failing tid[];
  gone jsonb := (select jsonb_object_agg(x.kind, 0) from app_private.expiries() x);
  n bigint;
  failed bigint := 0;
  busy bigint := 0;
  because jsonb := '[]';
  next jsonb;
begin
  <<kinds>>
  for e in select x.* from app_private.expiries() with ordinality x (kind, target, condition, change, organization, most, place)
    where behind is null or x.place >= (select y.place from app_private.expiries() with ordinality y (kind, t, c, ch, o, m, place) where y.kind = behind ->> 'kind')
    order by x.place
  loop
    failing := case when e.kind = behind ->> 'kind' then array(select x::tid from jsonb_array_elements_text(behind -> 'failing') x) else '{}' end;
    while cardinality(failing) < hopeless loop
      -- Those who wait for old transactions wait for this one, too.
      if seen >= at_most or clock_timestamp() > began + interval '2 seconds' then
        next := jsonb_build_object('kind', e.kind, 'failing', failing);
        exit kinds;
      end if;
      execute format('select array(select t.ctid from %s t where %s and t.ctid <> all ($1) limit $2)', e.target, e.condition)
      into due using failing, least(e.most, at_most - seen);
      exit when due = '{}';
      seen := seen + cardinality(due);
      begin
        n := app_private.expire_rows(e.target, e.change, e.organization, due);
      exception when others then
        -- One of them cannot be deleted, or not now: the others are.
        n := 0;
        foreach one in array due loop
          begin
            n := n + app_private.expire_rows(e.target, e.change, e.organization, array[one]);
          exception
            when lock_not_available or deadlock_detected then
              busy := busy + 1;
              failing := failing || one;
            when others then
              failed := failed + 1;
              failing := failing || one;
              because := because || jsonb_build_object('kind', e.kind, 'failed_with', sqlerrm);
          end;
          exit when cardinality(failing) >= hopeless or clock_timestamp() > began + interval '2 seconds';
        end loop;
      end;
      gone := gone || jsonb_build_object(e.kind, (gone ->> e.kind)::bigint + n);
    end loop;
  end loop;
  return gone || jsonb_build_object('busy', busy, 'failed', failed, 'because', because, 'next', next);
end
$$;
comment on function app.purge_expired(jsonb, integer) is
  'Deletes ended sessions, old links, client events, sent mails and failed jobs after 90 days, usage counts and snapshots of the pipeline after 800, spent refresh tokens after 30, idempotency keys after one, in batches of about two seconds: to continue, call it again with next, until that is null. Returns how many of each, and how many rows were busy or failed, and why.';
alter function app.purge_expired(jsonb, integer) owner to callboard_definer;
grant execute on function app.purge_expired(jsonb, integer) to callboard_worker;
