--! Previous: sha1:0e267ba6aded485f8b59cafdbe8cfc3983c6a094
--! Hash: sha1:ddf66216ae70def9a6b6d6d8e289d09626faafb5
--! Message: watched passwords, purges in parts, BI transactions

-- These have parameters now, with defaults: the worker of the release before calls the same names.
drop function if exists app.purge_expired();
drop function if exists app.expire_exports();
-- The whole table is granted.
revoke select (organization_id, received_at) on app.client_events from callboard_definer;
-- Included audit/login_passwords.sql
-- The logins of the programs may change their own password, as every role of PostgreSQL may: whoever has one of them, or
-- injects SQL, keeps everybody else out and comes back. The database cannot forbid it, so the worker looks whether each
-- login still has the password that was accepted last. docs/operate/rotate.md says how a change is accepted.

create table if not exists app_private.login_passwords (
  login text primary key,
  salt bytea not null,
  -- Of the verifier that was accepted, and of another one that was found since.
  digest bytea not null,
  found bytea,
  told_at timestamptz
);
select app_private.definer_table('app_private.login_passwords', 'select, insert, update, delete');
comment on table app_private.login_passwords is 'The logins of the programs, each with a salted SHA-256 of the verifier of its password, with which nobody can log in.';
comment on column app_private.login_passwords.digest is 'Of the verifier that the first look found, or that app_private.accept_passwords accepted since.';
comment on column app_private.login_passwords.found is 'Of another verifier that nobody has accepted.';
comment on column app_private.login_passwords.told_at is 'When the worker was told of it last.';
create or replace function app_private.login_digests(salt bytea) returns table (login text, digest bytea)
language plpgsql volatile
set search_path = ''
as $$
begin
  -- db/database.sql has not run since an earlier release.
  if to_regprocedure('app_private.login_verifiers(bytea)') is not null then
    return query select v.login, v.digest from app_private.login_verifiers(login_digests.salt) v;
  end if;
end
$$;
comment on function app_private.login_digests(bytea) is 'The salted digests of what the logins have now; none where nobody can look: only a superuser can allow it.';
alter function app_private.login_digests(bytea) owner to callboard_definer;
create or replace function app.check_passwords(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  one record;
  changed text[] := '{}';
  told text[] := '{}';
begin
  -- What is there at first is accepted: a new database, a new login, a server on which nobody could look before.
  insert into app_private.login_passwords (login, salt, digest)
  select d.login, s.salt, d.digest from (select uuid_send(gen_random_uuid())) s (salt), app_private.login_digests(s.salt) d
  where not exists (select from app_private.login_passwords p where p.login = d.login)
  on conflict do nothing;
  -- Of workers that look at the same time, one. The lock also keeps a change that is accepted from committing between the two looks.
  for one in select p.* from app_private.login_passwords p order by p.login for update skip locked loop
    declare
      is_now bytea := (select d.digest from app_private.login_digests(one.salt) d where d.login = one.login);
    begin
      if is_now is null then
        delete from app_private.login_passwords p where p.login = one.login and not exists (select from pg_catalog.pg_roles r where r.rolname = one.login and r.rolcanlogin);
      elsif is_now = one.digest then
        update app_private.login_passwords p set found = null, told_at = null where p.login = one.login and p.found is not null;
      elsif is_now is distinct from one.found or one.told_at < now() - interval '1 hour' then
        update app_private.login_passwords p set found = is_now, told_at = now() where p.login = one.login;
        told := told || one.login;
        changed := case when is_now is distinct from one.found then changed || one.login else changed end;
      end if;
    end;
  end loop;
  if changed <> '{}' then
    perform app_private.log_event(null, 'login.change', 'database', null, jsonb_build_object('new', jsonb_build_object('logins', changed)));
  end if;
  return jsonb_build_object('failed', cardinality(told), 'logins', told, 'next', null);
end
$$;
comment on function app.check_passwords(jsonb) is
  'Compares the passwords of the programs'' logins with those that were accepted. Logs login.change once for each change, as an event of no organization, and returns in `failed` how many logins have another, at once and then each hour. Runs every 20 seconds.';
alter function app.check_passwords(jsonb) owner to callboard_definer;
grant execute on function app.check_passwords(jsonb) to callboard_worker;
create or replace function app_private.accept_passwords() returns text[]
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  accepted text[];
begin
  with changed as (
    update app_private.login_passwords p set digest = d.digest, found = null, told_at = null
    from app_private.login_passwords o, app_private.login_digests(o.salt) d
    where o.login = p.login and d.login = p.login and d.digest <> p.digest
    returning p.login)
  select coalesce(array_agg(c.login order by c.login), '{}') into accepted from changed c;
  if accepted <> '{}' then
    perform app_private.log_event(null, 'login.accept', 'database', null, jsonb_build_object('new', jsonb_build_object('logins', accepted)));
  end if;
  return accepted;
end
$$;
comment on function app_private.accept_passwords() is
  'Accepts the passwords that the programs'' logins have now, for the DBA who has changed them, in the same transaction or later. Logs login.accept, as an event of no organization, and returns whose password is another than before.';
alter function app_private.accept_passwords() owner to callboard_definer;
-- EndIncluded audit/login_passwords.sql
-- Included retention/purge.sql
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
  'Deletes ended sessions, old links, client events, sent mails and failed jobs after 90 days, usage counts after 800, spent refresh tokens after 30, idempotency keys after one, in batches of about two seconds: to continue, call it again with next, until that is null. Returns how many of each, and how many rows were busy or failed, and why.';
alter function app.purge_expired(jsonb, integer) owner to callboard_definer;
grant execute on function app.purge_expired(jsonb, integer) to callboard_worker;
-- EndIncluded retention/purge.sql
-- Included analytics/client_events.sql
-- What people do in a client of the API: pages they view and things they click, as reported by the
-- client (POST /api/events). What they change is in the event log and not repeated here.
--
-- One table instead of monthly partitions: it keeps 90 days, and an id that a client sends again is
-- found whatever its month.

create table if not exists app.client_events (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  user_id uuid not null references app.users (id) on delete cascade,
  -- Generated by the client. In the key after its member, so that it reveals to nobody else what exists.
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
select app_private.hide_statistics('app.client_events');
select app_private.force_rls('app.client_events');
-- Nobody reads individual events: analytics has the counts.
select app_private.set_policy('app.client_events', 'select_rollup', 'callboard_rollup', 'true');
drop policy if exists insert_definer on app.client_events;
create policy insert_definer on app.client_events for insert to callboard_definer
  with check (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
-- The definer tells how fresh the counts are, and purges, which happens without a context and removes only old rows.
select app_private.set_policy('app.client_events', 'select_definer', 'callboard_definer', 'true');
drop policy if exists purge_definer on app.client_events;
create policy purge_definer on app.client_events for delete to callboard_definer
  using ((select app.current_org()) is null and received_at < now() - interval '90 days');
grant select on app.client_events to callboard_rollup;
-- All columns, because the purge names rows by their place.
grant select, insert (organization_id, user_id, id, kind, name, occurred_at, properties), delete
  on app.client_events to callboard_definer;
comment on table app.client_events is 'Page views and actions that clients report about their users.';
comment on column app.client_events.name is 'The page or action, such as shows/detail or calendar.print.';
comment on column app.client_events.occurred_at is 'By the client''s clock, but never later than it was received.';
-- EndIncluded analytics/client_events.sql
-- Included exports/export_running.sql
create or replace function app.expire_exports(behind jsonb default null, at_most integer default 1000) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set lock_timeout = '1s'
as $$
declare
  began timestamptz := clock_timestamp();
  due record;
  e app.exports;
  seen integer := 0;
  ended bigint := 0;
  busy bigint := 0;
  failed bigint := 0;
  because jsonb := '[]';
  next jsonb;
begin
  for due in
    select x.organization_id, x.id from app.exports x
    where (x.status = 'ready' and x.expires_at <= now()
        -- Its job failed permanently or was lost without reporting.
        or x.status in ('queued', 'running') and not exists (
          select from graphile_worker._private_jobs j where j.key = 'export:' || x.id and (j.is_available or j.locked_at is not null)))
      and (behind is null or (x.organization_id, x.id) > ((behind ->> 0)::uuid, (behind ->> 1)::uuid))
    order by x.organization_id, x.id limit at_most
  loop
    seen := seen + 1;
    begin
      e := app_private.lock_export(due.organization_id, due.id);
      if e.status = 'ready' and e.expires_at <= now() then
        update app.exports x set status = 'expired' where x.organization_id = e.organization_id and x.id = e.id;
        ended := ended + 1;
      elsif e.status in ('queued', 'running') then
        perform app_private.end_export(e, 'It was attempted several times, and the worker died each time.');
        ended := ended + 1;
      end if;
    exception
      when lock_not_available or deadlock_detected then
        busy := busy + 1;
      when others then
        failed := failed + 1;
        because := because || jsonb_build_object('organization_id', due.organization_id, 'export_id', due.id, 'failed_with', sqlerrm);
    end;
    -- Those who wait for old transactions wait for this one, too.
    if seen = at_most or clock_timestamp() > began + interval '2 seconds' then
      next := jsonb_build_array(due.organization_id, due.id);
      exit;
    end if;
  end loop;
  perform app_private.set_context(null, null);
  if next is null then
    perform app_private.add_job('sweep_exports', '{}', 'sweep_exports', 3, 'export');
  end if;
  return jsonb_build_object('ended', ended, 'busy', busy, 'failed', failed, 'because', because, 'is_idle', seen = 0, 'next', next);
end
$$;
comment on function app.expire_exports(jsonb, integer) is
  'Ends exports that have expired or lost their job, in batches of about two seconds: to continue, call it again with next, until that is null; then has files deleted that nobody may download any longer. Returns how many ended, were busy, or failed, and why.';
alter function app.expire_exports(jsonb, integer) owner to callboard_definer;
grant execute on function app.expire_exports(jsonb, integer) to callboard_worker;
-- EndIncluded exports/export_running.sql
-- Included bi/bi_keeping.sql
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
      -- No longer than one statement may last, and a moment, in which statement_timeout says so first: a login can change
      -- its own timeouts, or send short statements for ever, and old transactions hold back VACUUM. transaction_timeout,
      -- since PostgreSQL 17, it could change as well.
      done := done + app_private.end_bi_sessions((found_one.s).credential_id, make_interval(secs => (found_one.s).statement_timeout_seconds + 5));
      update app_private.bi_logins l set last_seen_at = now()
      where l.login = (found_one.s).login and coalesce(l.last_seen_at < now() - interval '5 minutes', true);
    end if;
  end loop;
  return done;
end
$$;
comment on function app.reconcile_bi_logins() is
  'Takes the steps of app.end_bi_connections, and ends transactions that last longer than a statement may; enables or disables roles depending on their credentials, drops revoked ones, resets those that changed themselves, and records which were connected. Runs every few seconds. Returns the number of changes.';
alter function app.reconcile_bi_logins() owner to callboard_definer;
grant execute on function app.reconcile_bi_logins() to callboard_worker;
create or replace function app_private.end_bi_in_way() returns bigint
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  one record;
  ended bigint := 0;
begin
  for one in
    select distinct l.credential_id
    from pg_catalog.pg_stat_activity a
    cross join unnest(pg_blocking_pids(a.pid)) b (pid)
    join pg_catalog.pg_stat_activity x on x.pid = b.pid
    join app_private.bi_logins l on l.login = x.usename
    where a.usename = session_user and a.pid <> pg_backend_pid()
  loop
    ended := ended + app_private.end_bi_sessions(one.credential_id, interval '0');
  end loop;
  return ended;
end
$$;
comment on function app_private.end_bi_in_way() is
  'For migrations: ends the transactions of BI logins for whose locks or snapshots the caller''s login waits on another connection. Returns how many.';
alter function app_private.end_bi_in_way() owner to callboard_definer;
-- EndIncluded bi/bi_keeping.sql
-- Included retention/restored.sql
-- After a restore (`npm run restored`, as the migrator): without a file that says what has ended since the copy was made
-- (restored_ended.sql), everything ends that is valid without a password: what docs/explain/isolation.md lists as
-- outliving a request.
--
-- These run with the rights of the migrator. The definer's policies change feeds, invitations and BI credentials only in
-- the context of their member, who would then be the one who did it in the event log.

select app_private.set_policy('app.calendar_feeds', 'update_owner', 'callboard_owner', 'true');
select app_private.set_policy('app.invitations', 'update_owner', 'callboard_owner', 'true');
select app_private.set_policy('app.bi_credentials', 'update_owner', 'callboard_owner', 'true');
create or replace function app_private.settle_restore(has_lost boolean, recorded jsonb) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  until timestamptz;
  ended jsonb := '{}';
begin
  -- Where the copy is old, the log has no partition for today.
  perform app.maintain_event_partitions();
  until := (select max(e.occurred_at) from app.event_log e);
  if has_lost then
    -- Before anything else is logged: the last event before the gap is the one that precedes it.
    perform app_private.log_event(o.id, 'database.restore', 'database', null, jsonb_build_object('new', jsonb_build_object('restored_until', until)))
    from app.organizations o where o.deleted_at is null;
    if recorded is null then
      ended := app_private.end_access();
    else
      -- Members before their organization, which takes its members along and brings them back.
      ended := app_private.end_recorded(recorded) || app_private.end_mailed() || app_private.lower_members(recorded)
        || app_private.lower_roles(recorded) || app_private.purge_recorded(recorded) || app_private.erase_recorded(recorded);
    end if;
  end if;
  perform app_private.accept_origin();
  -- Roles are not in a dump: these are those of this server.
  perform app_private.accept_passwords();
  return ended || jsonb_build_object('until', until);
end
$$;
comment on function app_private.settle_restore(boolean, jsonb) is
  'Makes a copy of the past fit to be served. If it has lost anything, notes the gap in every organization''s event log and ends what is recorded as ended since or, without a record (NULL), all access. Returns what ended, and the time of the last event before.';
-- EndIncluded retention/restored.sql
-- Lock: access exclusive on app.client_events: drop policy if exists insert_definer on app.client_events
