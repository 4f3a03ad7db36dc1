-- Commands on invitations, by those who manage members and by those who are invited; the table is in invitations.sql.

create or replace function app_private.send_invitation(invitation uuid) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  mail uuid := app.uuid_v7();
  i app.invitations;
begin
  -- It is theirs who sent it last.
  update app.invitations x
  set mail_id = mail, expires_at = now() + interval '7 days', invited_by = app.current_user_id(), invited_at = now(), void_because = null
  where x.organization_id = app.current_org() and x.id = invitation and x.accepted_at is null and x.deleted_at is null
  returning * into i;
  if i.id is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app_private.queue_mail('invitation', i.email,
    jsonb_build_object('organization', o.name, 'role', i.role, 'invited_by', u.display_name), mail)
  from app.organizations o, app.users u where o.id = i.organization_id and u.id = i.invited_by;
  return (200, l.body, app.etag(l.version), '/api/invitations/' || l.id)::app.answer
    from app.invitation_list l where l.organization_id = i.organization_id and l.id = i.id;
end
$$;
comment on function app_private.send_invitation(uuid) is 'Mails a link for an invitation, which ends the earlier ones, and gives it another seven days. PT404 unless it is open.';
alter function app_private.send_invitation(uuid) owner to callboard_definer;

create or replace function app_private.withdraw_invitations(of_organization uuid, address text, expiring_until timestamptz) returns void
language sql volatile
set search_path = ''
begin atomic
  update app.invitations i
  set deleted_at = statement_timestamp(), deleted_by = app.current_user_id(), deletion_id = app.uuid_v7()
  where i.organization_id = of_organization and i.email = lower(address) and i.expires_at <= expiring_until
    and i.accepted_at is null and i.deleted_at is null;
end;
comment on function app_private.withdraw_invitations(uuid, text, timestamptz) is 'Revokes an address''s pending invitations that expire by a given time.';
alter function app_private.withdraw_invitations(uuid, text, timestamptz) owner to callboard_definer;

create or replace function app.read_invitation(invitation uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require_reading('members.manage');
  select 200, l.body, app.etag(l.version), '/api/invitations/' || l.id into answer
  from app.invitation_list l where l.organization_id = app.current_org() and l.id = invitation;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_invitation(uuid) is 'An invitation that has not been revoked. PT403, PT404.';
grant execute on function app.read_invitation(uuid) to callboard_api;

create or replace function app.create_invitation(address text, new_role text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app_private.administer();
  invitation uuid := app.uuid_v7();
  answer app.answer;
begin
  perform app_private.require_to_hold(app_private.permissions_of_role(new_role));
  if exists (select from app.memberships m join app.users u on u.id = m.user_id
             where m.organization_id = organization and lower(u.email) = lower(address) and m.deleted_at is null) then
    perform app.refuse(409, 'already_member');
  end if;
  -- One that nobody can accept is in nobody's way.
  perform app_private.withdraw_invitations(organization, address, coalesce((
    select 'infinity'::timestamptz from app.invitations i
    where i.organization_id = organization and i.email = lower(address) and i.accepted_at is null and i.deleted_at is null
      and app_private.invitation_fault(i) is not null), now()));
  insert into app.invitations (organization_id, id, email, role, mail_id, invited_by, expires_at)
  values (organization, invitation, lower(address), new_role, app.uuid_v7(), app.current_user_id(), now() + interval '7 days');
  answer := app_private.send_invitation(invitation);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_invitation(text, text) is 'Invites an address. PT403 permission_denied, permission_not_held, PT409 already_member, invitation_pending.';
alter function app.create_invitation(text, text) owner to callboard_definer;
grant execute on function app.create_invitation(text, text) to callboard_api;

create or replace function app.resend_invitation(invitation uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app_private.administer();
begin
  -- It is theirs from then on, so they must be able to give the role, too.
  perform app_private.require_to_hold(app_private.permissions_of_role(i.role)) from app.invitations i
  where i.organization_id = organization and i.id = invitation;
  return app_private.send_invitation(invitation);
end
$$;
comment on function app.resend_invitation(uuid) is 'Mails a new link; the old one stops working. It is the caller''s from then on. PT403 permission_denied, permission_not_held, PT404.';
alter function app.resend_invitation(uuid) owner to callboard_definer;
grant execute on function app.resend_invitation(uuid) to callboard_api;

create or replace function app.revoke_invitation(invitation uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('members.manage');
  present integer;
begin
  select i.version into present from app.invitations i
  where i.organization_id = organization and i.id = invitation and i.accepted_at is null and i.deleted_at is null for no key update;
  perform app.check_version(present, if_match);
  update app.invitations i
  set deleted_at = statement_timestamp(), deleted_by = app.current_user_id(), deletion_id = app.uuid_v7()
  where i.organization_id = organization and i.id = invitation;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.revoke_invitation(uuid, text) is 'Revokes a pending invitation. PT403, PT404, PT412.';
alter function app.revoke_invitation(uuid, text) owner to callboard_definer;
grant execute on function app.revoke_invitation(uuid, text) to callboard_api;

create or replace function app_private.refuse_void_invitation(token text) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  c app_private.context := app_private.context();
  i app.invitations;
  fault text;
begin
  select * into i from app.invitations x
  where x.mail_id = app_private.mail_with(token) and x.accepted_at is null and x.deleted_at is null and x.expires_at > now();
  if i.id is null then
    return null;
  end if;
  -- Whoever changes what members hold has this lock: nobody loses the right to invite while it is being used.
  perform app_private.change_context(coalesce(c.user_id, app_private.nobody()), coalesce(c.session_id, app.uuid_v7()), i.organization_id);
  perform from app.organizations o where o.id = i.organization_id for no key update;
  fault := app_private.invitation_fault(i);
  if fault is not null then
    update app.invitations x set void_because = fault where x.organization_id = i.organization_id and x.id = i.id and x.void_because is null;
  end if;
  perform app_private.change_context(c.user_id, c.session_id, null);
  return case when fault is not null then app.refusal(403, 'invitation_void', case fault
    when 'inviter_removed' then 'Whoever invited you is no longer a member of the organization: ask somebody else there to invite you.'
    else 'Whoever invited you may no longer give this role: ask somebody else in the organization to invite you.' end) end;
end
$$;
comment on function app_private.refuse_void_invitation(text) is
  'Ends an open invitation that who sent it could not give any more, and returns the refusal, to be committed; null for any other. Locks the organization.';
alter function app_private.refuse_void_invitation(text) owner to callboard_definer;

create or replace function app_private.accept_invitation(who uuid, token text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  i app.invitations;
begin
  select * into i from app.invitations x
  where x.mail_id = app_private.mail_with(token) and x.accepted_at is null and x.deleted_at is null and x.expires_at > now();
  if i.id is null then
    perform app.refuse(400, 'invalid_token');
  elsif i.email is distinct from (select u.email from app.users u where u.id = who) then
    perform app.refuse(403, 'invitation_for_another_address', 'This invitation was sent to an address other than your account''s.');
  end if;
  -- In the context of the inviting organization, without permissions.
  perform app_private.change_context(who, coalesce(app.current_session_id(), app.uuid_v7()), i.organization_id);
  -- It may have been used, revoked or sent again since it was read.
  update app.invitations x set accepted_at = now(), accepted_by = who
  where x.organization_id = i.organization_id and x.id = i.id and x.mail_id = i.mail_id
    and x.accepted_at is null and x.deleted_at is null;
  if not found then
    perform app.refuse(400, 'invalid_token');
  end if;
  perform app_private.join_organization(who, i.organization_id, i.role);
  update app.users u set email_verified_at = now() where u.id = who and u.email_verified_at is null;
  return i.organization_id;
end
$$;
comment on function app_private.accept_invitation(uuid, text) is 'Makes a user a member by invitation. PT400 invalid_token, PT403 invitation_for_another_address, PT409 already_member.';
alter function app_private.accept_invitation(uuid, text) owner to callboard_definer;

create or replace function app.accept_invitation(token text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
  refusal app.answer := app_private.refuse_void_invitation(token);
  organization uuid;
begin
  if refusal.status is not null then
    return refusal;
  end if;
  organization := app_private.accept_invitation(me, token);
  return (200, json_build_object('id', o.id, 'name', o.name, 'slug', o.slug, 'role', m.role, 'deleted_at', o.deleted_at),
    null, '/api/organizations/' || o.id)::app.answer
    from app.organizations o join app.memberships m on m.organization_id = o.id
    where o.id = organization and m.user_id = me;
end
$$;
comment on function app.accept_invitation(text) is 'Accepts an invitation as the signed-in user and returns the organization. Answers 403 invitation_void when who sent it could not give the role any more; PT400, PT403, PT409.';
alter function app.accept_invitation(text) owner to callboard_definer;
grant execute on function app.accept_invitation(text) to callboard_api;
