-- Maintenance of BI logins: roles follow the state of their credentials and stay as they were made, and no login can
-- hold up others, neither with an endless transaction nor by what it does to its own role.

create or replace function app_private.reconcile_bi_login(s app_private.bi_states, can_log_in boolean, is_connected boolean) returns bigint
language plpgsql volatile
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  l app_private.bi_logins;
begin
  if s.is_gone and not is_connected and not coalesce(can_log_in, false) then
    perform app_private.drop_bi_role(s.credential_id);
    delete from app_private.bi_logins x where x.login = s.login;
    return 1;
  elsif s.is_live and not can_log_in then
    perform app_private.let_bi_role(s.credential_id, true);
    return 1;
  elsif s.is_live and not s.must_end then
    select * into l from app_private.bi_logins x where x.login = s.login;
    if l.settings <> app_private.bi_settings(s.login) or not app_private.has_bi_verifier(l) then
      -- Shut out until it has its password and its settings again: app_private.settle_bi_login.
      update app_private.bi_logins x set is_set = false, must_end = true where x.login = s.login;
      perform app_private.log_event(s.organization_id, 'bi.reset', 'bi', s.credential_id);
      return 1;
    end if;
  end if;
  return 0;
exception
  -- A DBA has granted it something. It cannot log in, and is dropped once the grant is revoked.
  when dependent_objects_still_exist then return 0;
  -- Something else is changing its role: next time.
  when lock_not_available or internal_error then return 0;
end
$$;
comment on function app_private.reconcile_bi_login(app_private.bi_states, boolean, boolean) is
  'Drops or enables a role, depending on its credential, or notes that it has changed its own password or settings and has to be set again (bi.reset). Returns 1 if anything was necessary.';
alter function app_private.reconcile_bi_login(app_private.bi_states, boolean, boolean) owner to callboard_definer;

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

-- The same as in bi_commands.sql for a DBA (npm run bi), in the context of the organization, which is reset afterwards.
create or replace function app_private.create_bi_credential(of_slug text, body jsonb, verifier text) returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := app_private.slug_organization(of_slug);
  credential uuid;
begin
  if organization is null then
    perform app.refuse(404, 'not_found', format('There is no organization %s.', of_slug));
  end if;
  perform app_private.set_context(null, null, organization);
  credential := app_private.add_bi_credential(body, verifier);
  perform app_private.set_context(null, null);
  return credential;
end
$$;
comment on function app_private.create_bi_credential(text, jsonb, text) is 'Creates a login for a BI tool of an organization (by slug). Returns the credential''s id. PT404, PT409 bi_credential_limit.';
alter function app_private.create_bi_credential(text, jsonb, text) owner to callboard_definer;

create or replace function app_private.rotate_bi_credential(credential uuid, body jsonb, verifier text) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.set_context(null, null, (select c.organization_id from app.bi_credentials c where c.id = credential));
  perform app_private.renew_bi_credential(credential, body, verifier);
  perform app_private.set_context(null, null);
end
$$;
comment on function app_private.rotate_bi_credential(uuid, jsonb, text) is 'Gives a BI credential a new password, as app.rotate_bi_credential does, regardless of who created it. PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app_private.rotate_bi_credential(uuid, jsonb, text) owner to callboard_definer;

create or replace function app_private.revoke_bi_credential(credential uuid) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.set_context(null, null, (select c.organization_id from app.bi_credentials c where c.id = credential));
  perform app_private.end_bi_credential(credential);
  perform app_private.set_context(null, null);
end
$$;
comment on function app_private.revoke_bi_credential(uuid) is 'Revokes a BI credential, regardless of who created it. PT404, PT409 bi_credential_revoked.';
alter function app_private.revoke_bi_credential(uuid) owner to callboard_definer;
