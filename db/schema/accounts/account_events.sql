-- Account events. An account belongs to no organization, so its events go to the log of the
-- organization that its user currently works in: the session's, or the one that the next
-- sign-in would enter.

-- Who people are, and where they sign in, is seen by those who may see members.
insert into app_private.event_nouns (on_table, noun, permission) values ('app.users', 'user', 'members.read'), ('app.sessions', 'session', 'members.read')
on conflict on constraint event_nouns_pkey do update set noun = excluded.noun, permission = excluded.permission
  where (event_nouns.noun, event_nouns.permission) is distinct from (excluded.noun, excluded.permission);

create or replace function app_private.account_holder(whose uuid) returns uuid
language plpgsql stable
set search_path = ''
as $$
begin
  return case when app.current_user_id() is not null or not app_private.is_trusted() then whose end;
end
$$;
comment on function app_private.account_holder(uuid) is
  'The user who acts on their account with a password, a token or a mailed link; NULL when a DBA or a job does.';
alter function app_private.account_holder(uuid) owner to callboard_definer;

create or replace function app_private.tg_sessions__900_event() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := coalesce(new.organization_id, app_private.usual_organization(new.user_id));
begin
  if tg_op = 'INSERT' then
    perform app_private.log_event(organization, 'auth.sign_in', 'session', new.id,
      jsonb_build_object('new', jsonb_build_object('user_agent', new.user_agent)), app_private.account_holder(new.user_id));
  elsif old.revoked_at is null and new.revoked_at is not null then
    -- Either the user or a thief sent the spent token; nobody can tell which.
    perform app_private.log_event(organization,
      case new.revoked_because when 'signed_out' then 'auth.sign_out' when 'refresh_token_reused' then 'auth.refresh_token_reused'
        else 'auth.session_revoked' end, 'session', new.id,
      jsonb_build_object('new', jsonb_build_object('revoked_because', new.revoked_because)),
      case when new.revoked_because <> 'refresh_token_reused' then app_private.account_holder(new.user_id) end);
  elsif new.organization_id is distinct from old.organization_id and new.organization_id is not null then
    -- Without the previous organization, which this one has no right to know.
    perform app_private.log_event(organization, 'auth.switch_organization', 'session', new.id, null, app_private.account_holder(new.user_id));
  end if;
  return null;
end
$$;
comment on function app_private.tg_sessions__900_event() is
  'Logs the start and the end of a session, and a switch to another organization in the log of the new one.';
alter function app_private.tg_sessions__900_event() owner to callboard_definer;

create or replace trigger _900_event after insert or update on app.sessions
  for each row execute function app_private.tg_sessions__900_event();

create or replace function app_private.tg_users__900_event() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := coalesce(app.current_org(), app_private.usual_organization(new.id));
  changes jsonb;
begin
  if tg_op = 'INSERT' then
    -- A user who registers has no organization yet: see app.register.
    if organization is not null then
      perform app_private.log_event(organization, 'user.create', 'user', new.id,
        jsonb_build_object('new', jsonb_build_object('email', new.email, 'display_name', new.display_name)));
    end if;
    return null;
  end if;
  changes := app_private.diff(
    jsonb_build_object('email', old.email, 'display_name', old.display_name, 'email_verified_at', old.email_verified_at),
    jsonb_build_object('email', new.email, 'display_name', new.display_name, 'email_verified_at', new.email_verified_at));
  if changes is not null then
    perform app_private.log_event(organization,
      case when changes -> 'new' ? 'email_verified_at' then 'auth.email_verified' else 'user.update' end, 'user', new.id, changes);
  end if;
  return null;
end
$$;
comment on function app_private.tg_users__900_event() is 'Logs accounts created for others, and changes to a profile.';
alter function app_private.tg_users__900_event() owner to callboard_definer;

create or replace trigger _900_event after insert or update on app.users
  for each row execute function app_private.tg_users__900_event();

create or replace function app_private.tg_credentials__900_event() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := app_private.usual_organization(new.user_id);
begin
  -- The first password is part of registration.
  if tg_op = 'UPDATE' or organization is not null then
    perform app_private.log_event(organization,
      case when app.current_user_id() is not null then 'auth.password_changed' else 'auth.password_reset' end,
      'user', new.user_id, null, app_private.account_holder(new.user_id));
  end if;
  return null;
end
$$;
comment on function app_private.tg_credentials__900_event() is
  'Logs that a password was changed by a signed-in user or set with a mailed link, but nothing about the password itself.';
alter function app_private.tg_credentials__900_event() owner to callboard_definer;

create or replace trigger _900_event after insert or update on app_private.credentials
  for each row execute function app_private.tg_credentials__900_event();

create or replace function app_private.log_failed_sign_in(address text, who uuid, problem text, organization uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  -- All are computed for every address, so that timing does not reveal whether it is known.
  stand_in uuid := app_private.stand_in();
  landing uuid := app_private.usual_organization(coalesce(who, stand_in), organization);
  -- Only a keyed hash of an unknown address, which could be a password typed into the wrong field.
  hash text := encode(app_private.keyed_hash(convert_to('address:' || lower(address), 'UTF8')), 'hex');
begin
  perform app_private.log_event(case when who is not null then landing end, 'auth.sign_in_failed', 'user', who,
    jsonb_build_object('new', jsonb_build_object('problem', problem)
      || case when who is null then jsonb_build_object('address_hash', hash) else '{}' end));
end
$$;
comment on function app_private.log_failed_sign_in(text, uuid, text, uuid) is
  'Logs a refused sign-in in the organization that it would have entered; with an unknown address, in none.';
alter function app_private.log_failed_sign_in(text, uuid, text, uuid) owner to callboard_definer;
