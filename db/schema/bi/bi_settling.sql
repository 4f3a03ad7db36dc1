-- Making the role of a BI login follow its credential, against the will of whoever has its password. A login may change
-- its own password and settings, and by that keep its role locked, or undo what is done to it. So a command only says
-- what is to be, which the login sees nothing after, and commits; then the steps here follow, each in a transaction of its
-- own: shut the role out, end its connections, give it the new password, see that it has it.

create or replace function app_private.bi_settings(the_login text) returns text[]
language sql stable
set search_path = ''
return coalesce((
  select array_agg(concat_ws(' ', nullif(s.setdatabase, 0), v) order by s.setdatabase, v)
  from pg_catalog.pg_db_role_setting s join pg_catalog.pg_roles r on r.oid = s.setrole cross join unnest(s.setconfig) v
  where r.rolname = the_login), '{}');
comment on function app_private.bi_settings(text) is 'The settings with which a BI login starts, in every database.';
alter function app_private.bi_settings(text) owner to callboard_definer;

-- What the roles may have locked is waited for only briefly: a connection that has been ended is gone within milliseconds.
create or replace function app_private.shut_bi_role(credential uuid, tries integer) returns boolean
language plpgsql volatile
set search_path = ''
set lock_timeout = '100ms'
as $$
begin
  for n in 1 .. tries loop
    begin
      perform app_private.end_bi_sessions(credential);
      perform app_private.let_bi_role(credential, false);
      return true;
    -- It has locked its role, or changed it at the same moment (tuple concurrently updated).
    exception when lock_not_available or internal_error then null;
    end;
  end loop;
  return false;
end
$$;
comment on function app_private.shut_bi_role(uuid, integer) is 'Ends the connections of a credential''s login and forbids new ones. False if the login has prevented it each time.';
alter function app_private.shut_bi_role(uuid, integer) owner to callboard_definer;

create or replace function app_private.has_bi_verifier(l app_private.bi_logins) returns boolean
language plpgsql volatile
set search_path = ''
as $$
begin
  if l.verifier is null or to_regprocedure('app_private.bi_role_has(uuid,text)') is null then
    return null;
  end if;
  return app_private.bi_role_has(l.credential_id, l.verifier);
end
$$;
comment on function app_private.has_bi_verifier(app_private.bi_logins) is
  'Whether the role of a login has the password that it was given; null where nobody can look: only a superuser can allow it.';
alter function app_private.has_bi_verifier(app_private.bi_logins) owner to callboard_definer;

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
    update app_private.bi_logins x set must_end = false, set_at = clock_timestamp(), is_set = app_private.has_bi_verifier(l) is not false
    where x.login = the_login;
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
  -- Now, while nobody can sign in: later they might be what the login has made of them.
  update app_private.bi_logins x set is_set = true, settings = app_private.bi_settings(the_login) where x.login = the_login;
  return false;
end
$$;
comment on function app_private.settle_bi_login(text, integer) is
  'Takes the next step of making a BI login''s role follow its credential: see above. True if none is left.';
alter function app_private.settle_bi_login(text, integer) owner to callboard_definer;

create or replace function app.settle_bi_login(credential uuid) returns boolean
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return coalesce((select app_private.settle_bi_login(l.login, tries => 10) from app_private.bi_logins l where l.credential_id = credential), true);
end
$$;
comment on function app.settle_bi_login(uuid) is
  'Takes a step of making the role of a BI credential follow it, each in a transaction of its own: true if none is left. It only ends and allows what the credential says, so anybody may call it.';
alter function app.settle_bi_login(uuid) owner to callboard_definer;
grant execute on function app.settle_bi_login(uuid) to callboard_api, callboard_worker;

create or replace function app.end_bi_connections() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  one record;
  unsettled bigint := 0;
begin
  for one in select s.login from app_private.bi_states s where s.must_end or not s.is_live order by s.login loop
    unsettled := unsettled + (not app_private.settle_bi_login(one.login, tries => 1))::integer;
  end loop;
  return unsettled;
end
$$;
comment on function app.end_bi_connections() is
  'Takes a step with each BI login that is revoked, has expired, belongs to nobody, is to get another password or belongs to a deleted organization: ends its connections first. Returns with how many there is more to do.';
alter function app.end_bi_connections() owner to callboard_definer;
grant execute on function app.end_bi_connections() to callboard_api, callboard_worker;
