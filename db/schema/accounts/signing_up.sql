-- Signing up: an account with an organization of its own, or with a membership by invitation.

create or replace function app.sign_up(
  address text, display_name text, recipe text, proof bytea, organization_name text default null, invitation_token text default null,
  settings jsonb default '{}'
) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  new_user uuid := app.uuid_v7();
  refusal app.answer := app_private.refuse_void_invitation(invitation_token);
begin
  if refusal.status is not null then
    return refusal;
  end if;
  insert into app.users (id, email, display_name) values (new_user, lower(address), display_name);
  perform app_private.set_password(new_user, recipe, proof);
  if invitation_token is not null then
    perform app_private.accept_invitation(new_user, invitation_token);
  else
    perform app_private.found_organization(new_user, settings || jsonb_build_object('name', organization_name));
    perform app_private.mail_token(new_user, 'verify_email', interval '3 days');
  end if;
  perform app_private.log_event(app.current_org(), 'auth.register', 'user', new_user,
    jsonb_build_object('new', jsonb_build_object('email', lower(address), 'display_name', display_name)));
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.sign_up(text, text, text, bytea, text, text, jsonb) is
  'Creates a user with a first organization, whose settings are its currency and time_zone, or as a member by invitation. Answers 403 invitation_void; email_taken, PT409 slug_reserved, PT400 invalid_token, PT403 invitation_for_another_address.';
alter function app.sign_up(text, text, text, bytea, text, text, jsonb) owner to callboard_definer;
grant execute on function app.sign_up(text, text, text, bytea, text, text, jsonb) to callboard_api;

-- For programs of the release before.
create or replace function app.register(
  address text, display_name text, recipe text, proof bytea, organization_name text default null, invitation_token text default null,
  settings jsonb default '{}'
) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  done app.answer := app.sign_up(address, display_name, recipe, proof, organization_name, invitation_token, settings);
begin
  if done.status >= 400 then
    perform app.refuse(403, 'permission_denied', done.body ->> 'detail');
  end if;
end
$$;
comment on function app.register(text, text, text, bytea, text, text, jsonb) is 'As app.sign_up, but raises PT403 permission_denied for a void invitation.';
alter function app.register(text, text, text, bytea, text, text, jsonb) owner to callboard_definer;
grant execute on function app.register(text, text, text, bytea, text, text, jsonb) to callboard_api;
