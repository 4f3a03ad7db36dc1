--! Previous: sha1:e715ae1533737e725cd83c58027342c15dd9a6cd
--! Hash: sha1:27547ef2133c00a5a591d822bb92a7527b82b703
--! Message: Keep a BI login from becoming the measure of its own settings

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
-- EndIncluded bi/bi_settling.sql
