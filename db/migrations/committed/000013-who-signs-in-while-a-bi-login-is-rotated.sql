--! Previous: sha1:ddf66216ae70def9a6b6d6d8e289d09626faafb5
--! Hash: sha1:af4c78c86b9b66e1116de93a3f63fde1b0b0d38a
--! Message: who signs in while a BI login is rotated

alter table app_private.bi_logins add column if not exists set_at timestamptz;
-- Included bi/bi_credentials.sql
-- Without grants: the functions of bi_commands.sql write and check the permission.
select app_private.tenant_policies('app.bi_credentials', reads => 'bi.manage', inserts => 'bi.manage', updates => 'bi.manage',
  definer => 'insert, update');
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
  is_set boolean not null default true,
  set_at timestamptz
);
select app_private.definer_table('app_private.bi_logins');
comment on table app_private.bi_logins is 'The organization that each BI login belongs to; a row is deleted when its role is dropped.';
comment on column app_private.bi_logins.must_end is 'Its role has been given a password, and it has yet to be seen that nobody has another.';
comment on column app_private.bi_logins.verifier is 'The SCRAM-SHA-256 verifier of its password, with which nobody can log in.';
comment on column app_private.bi_logins.settings is 'The settings that its role was given.';
comment on column app_private.bi_logins.set_at is 'When its role had its present password for certain: who had begun to sign in before may have done so with another.';
comment on column app_private.bi_logins.is_set is 'Whether its role has been given the verifier. Until then the login sees nothing.';
comment on column app_private.bi_logins.last_seen_at is 'When it was last connected, to within five minutes.';
-- EndIncluded bi/bi_credentials.sql
-- Included bi/bi_settling.sql
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
    -- Nor does anybody see who is just signing in: app.reconcile_bi_logins ends them once they have.
    update app_private.bi_logins x set must_end = false, set_at = clock_timestamp(), is_set = app_private.has_bi_verifier(l) is not false,
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
-- EndIncluded bi/bi_settling.sql
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
      -- Within an hour: a clock that was set back would end everybody.
      done := done + coalesce((
        select app_private.end_bi_before(l.credential_id, l.set_at) from app_private.bi_logins l
        where l.login = (found_one.s).login and l.set_at between clock_timestamp() - interval '1 hour' and clock_timestamp()), 0);
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
-- EndIncluded bi/bi_keeping.sql
-- Lock: access exclusive on app_private.bi_logins: alter table app_private.bi_logins add column if not exists set_at timestamptz
