-- Maintenance of BI logins: roles follow the state of their credentials, and no login can hold up others
-- with an endless transaction.

create or replace function app_private.reconcile_bi_login(s app_private.bi_states, can_log_in boolean, is_connected boolean) returns bigint
language plpgsql volatile
set search_path = ''
as $$
begin
  if s.is_gone and not is_connected then
    perform app_private.drop_bi_role(s.credential_id);
    delete from app_private.bi_logins l where l.login = s.login;
    return 1;
  elsif can_log_in is distinct from s.is_live and can_log_in is not null then
    perform app_private.let_bi_role(s.credential_id, s.is_live);
    if s.has_expired then
      perform app_private.log_event(s.organization_id, 'bi.expire', 'bi', s.credential_id);
    end if;
    return 1;
  end if;
  return 0;
exception when dependent_objects_still_exist then
  -- A DBA has granted it something. It cannot log in, and is dropped once the grant is revoked.
  return 0;
end
$$;
comment on function app_private.reconcile_bi_login(app_private.bi_states, boolean, boolean) is
  'Enables, disables or drops a role, depending on its credential. Returns 1 if that was necessary.';
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
      exists (select from pg_catalog.pg_stat_activity x where x.usename = s.login and x.datname = current_database()) as is_connected
    from app_private.bi_states s
    left join pg_catalog.pg_roles r on r.rolname = s.login
  loop
    done := done + app_private.reconcile_bi_login(found_one.s, found_one.rolcanlogin, found_one.is_connected);
    if found_one.is_connected then
      -- Twice the statement timeout: a login can change its own timeouts, and old transactions hold back VACUUM.
      done := done + app_private.end_bi_sessions((found_one.s).credential_id, make_interval(secs => 2 * (found_one.s).statement_timeout_seconds));
      update app_private.bi_logins l set last_seen_at = now()
      where l.login = (found_one.s).login and coalesce(l.last_seen_at < now() - interval '5 minutes', true);
    end if;
  end loop;
  return done;
end
$$;
comment on function app.reconcile_bi_logins() is
  'Ends connections as app.end_bi_connections does, and transactions that last more than twice the statement timeout; enables or disables roles depending on their credentials, drops revoked ones, and records which were connected. Runs every few seconds. Returns the number of changes.';
alter function app.reconcile_bi_logins() owner to callboard_definer;
grant execute on function app.reconcile_bi_logins() to callboard_worker;

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
