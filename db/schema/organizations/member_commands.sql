-- Commands on members; the table is in memberships.sql. You can only change permissions that you hold
-- yourself, before and after the change: see app_private.require_to_hold.

create or replace view app.member_list with (security_invoker = true) as
  select m.organization_id, u.id, u.email, u.display_name, m.role, m.created_at as joined_at, m.version,
    json_build_object('id', u.id, 'email', u.email, 'display_name', u.display_name, 'role', m.role,
      'custom_roles', (
        select coalesce(json_agg(json_build_object('id', r.id, 'name', r.name) order by r.name, r.id), '[]')
        from app.member_roles x join app.custom_roles r on r.organization_id = x.organization_id and r.id = x.role_id
        where x.organization_id = m.organization_id and x.user_id = m.user_id and r.deleted_at is null),
      'joined_at', m.created_at, 'updated_at', m.updated_at) as body
  from app.memberships m
  join app.users u on u.id = m.user_id
  where m.deleted_at is null;
comment on view app.member_list is 'The current members of the organization, with their name, address and roles.';
grant select on app.member_list to callboard_api, callboard_definer;

create or replace function app.read_member(member uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select null, m.body, app.etag(m.version), '/api/users/' || m.id into answer
  from app.member_list m where m.id = member and m.organization_id = app.org_if('members.read');
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_member(uuid) is 'A member by user id; PT404.';
grant execute on function app.read_member(uuid) to callboard_api, callboard_definer;

create or replace function app_private.lock_member(member uuid, if_match text) returns app.memberships
language plpgsql volatile
set search_path = ''
as $$
declare
  m app.memberships;
begin
  -- If the caller may not see the member, 404 takes precedence over any permission check.
  select * into m from app.memberships x
  where x.organization_id = app.org_if('members.read') and x.user_id = member and x.deleted_at is null;
  perform app.check_version(m.version, if_match);
  perform app_private.administer();
  -- Check again under the lock.
  select * into m from app.memberships x
  where x.organization_id = app.current_org() and x.user_id = member and x.deleted_at is null for no key update;
  perform app.check_version(m.version, if_match);
  if member is distinct from app.current_user_id() then
    perform app_private.require_to_hold(app.permissions_of(m.organization_id, member));
  end if;
  return m;
end
$$;
comment on function app_private.lock_member(uuid, text) is
  'Locks and returns a member whom the caller may change. PT403 permission_denied, permission_not_held, PT404, PT412.';
alter function app_private.lock_member(uuid, text) owner to callboard_definer;

create or replace function app_private.set_role(member uuid, new_role text) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  update app.memberships m set role = new_role where m.organization_id = app.current_org() and m.user_id = member;
  if new_role = 'owner' then
    -- Nobody could give back a permission that is denied to an owner.
    delete from app.member_permissions p where p.organization_id = app.current_org() and p.user_id = member and p.effect = 'deny';
  end if;
  perform app_private.note_left_behind(member);
end
$$;
comment on function app_private.set_role(uuid, text) is 'Gives a member a built-in role or, with null, none. PT409 last_owner.';
alter function app_private.set_role(uuid, text) owner to callboard_definer;

create or replace function app.change_member_role(member uuid, new_role text, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.lock_member(member, if_match);
  perform app_private.require_to_hold(app_private.permissions_of_role(new_role));
  perform app_private.set_role(member, new_role);
  return (a.status, (a.body::jsonb || jsonb_build_object('left_behind', app_private.left_behind(member)))::json, a.etag, a.location)::app.answer
    from app.read_member(member) a;
end
$$;
comment on function app.change_member_role(uuid, text, text) is
  'Gives a member another built-in role. PT403 permission_denied, permission_not_held, PT404, PT409 last_owner, PT412.';
alter function app.change_member_role(uuid, text, text) owner to callboard_definer;
grant execute on function app.change_member_role(uuid, text, text) to callboard_api;

create or replace function app.remove_member(member uuid, if_match text default null, revokes_bi boolean default false) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
  organization uuid := app.current_org();
  present integer;
  what jsonb;
begin
  if revokes_bi then
    perform app.require('bi.manage');
  end if;
  -- Leaving needs no permission; removing somebody does.
  if member is distinct from me then
    perform app_private.lock_member(member, if_match);
  else
    perform from app.organizations o where o.id = organization for no key update;
    select m.version into present from app.memberships m
    where m.organization_id = organization and m.user_id = me and m.deleted_at is null for no key update;
    perform app.check_version(present, if_match);
  end if;
  if revokes_bi then
    perform app_private.end_bi_credential(c.id) from app.bi_credentials c
    where c.organization_id = organization and app_private.bi_holder(c) = member and c.revoked_at is null;
  end if;
  update app.memberships m set deleted_at = statement_timestamp(), deleted_by = me, deletion_id = app.uuid_v7()
  where m.organization_id = organization and m.user_id = member;
  -- If they come back, they start with only what they are given then.
  delete from app.member_roles x where x.organization_id = organization and x.user_id = member;
  delete from app.member_permissions x where x.organization_id = organization and x.user_id = member;
  perform app_private.end_own(member);
  perform app_private.note_left_behind(member);
  what := app_private.left_behind(member);
  return (case when what is null then 204 else 200 end, what::json, null, null)::app.answer;
end
$$;
comment on function app.remove_member(uuid, text, boolean) is
  'Removes a member, or lets the caller leave; with revokes_bi, the BI logins for which they answer are revoked. Answers 200 with what they leave behind, 204 if that is nothing. PT403 permission_denied, permission_not_held, PT404, PT409 last_owner, PT412.';
alter function app.remove_member(uuid, text, boolean) owner to callboard_definer;
grant execute on function app.remove_member(uuid, text, boolean) to callboard_api;

create or replace function app.add_member(address text, person_name text, new_role text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app_private.administer();
  who uuid;
begin
  perform app_private.require_to_hold(app_private.permissions_of_role(new_role));
  insert into app.users (email, display_name) values (lower(address), person_name) on conflict (lower(email)) do nothing returning id into who;
  if who is not null then
    perform app_private.mail_token(who, 'reset_password', interval '7 days');
  else
    select u.id into who from app.users u where lower(u.email) = lower(address);
    -- Anybody can sign up with any address. Until its owner has confirmed it by mail, the account's
    -- password may be a stranger's, and this would let the stranger in.
    if exists (select from app.users u join app_private.credentials c on c.user_id = u.id where u.id = who and u.email_verified_at is null) then
      perform app.refuse(409, 'address_unverified');
    end if;
  end if;
  perform app_private.join_organization(who, organization, new_role);
  -- A pending invitation would let them in again after being removed.
  perform app_private.withdraw_invitations(organization, address, 'infinity');
  perform app_private.queue_mail('added', lower(address), jsonb_build_object('organization', o.name, 'role', new_role))
  from app.organizations o where o.id = organization;
  return (201, r.body, r.etag, r.location)::app.answer from app.read_member(who) r;
end
$$;
comment on function app.add_member(text, text, text) is
  'Adds a member immediately; an address without an account gets one, and a mailed link to choose a password. PT403 permission_denied, permission_not_held, PT409 already_member, address_unverified.';
alter function app.add_member(text, text, text) owner to callboard_definer;
grant execute on function app.add_member(text, text, text) to callboard_api;

create or replace function app_private.join_organization(who uuid, organization uuid, new_role text) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- A returning member gets their old row back.
  insert into app.memberships as m (organization_id, user_id, role) values (organization, who, new_role)
  on conflict (organization_id, user_id) do update
    -- Not now(), which may be earlier than what they made before they were removed.
    set role = excluded.role, created_at = clock_timestamp(), deleted_at = null, deleted_by = null, deletion_id = null
    where m.deleted_at is not null;
  if not found then
    perform app.refuse(409, 'already_member');
  end if;
end
$$;
comment on function app_private.join_organization(uuid, uuid, text) is 'Writes a membership in the current organization. PT409 already_member.';
alter function app_private.join_organization(uuid, uuid, text) owner to callboard_definer;

create or replace function app.transfer_ownership(organization uuid, new_owner uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
begin
  if organization is distinct from app.org_if('organization.read') then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require('organization.delete');
  perform from app.organizations o where o.id = organization for no key update;
  -- Only an owner can transfer ownership, whatever permissions others hold.
  if not exists (select from app.memberships m where m.organization_id = organization and m.user_id = me and m.role = 'owner' and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Only an owner can transfer ownership.');
  elsif new_owner = me then
    perform app.refuse(409, 'already_owner', 'You are already the owner.');
  elsif not exists (select from app.memberships m where m.organization_id = organization and m.user_id = new_owner and m.deleted_at is null) then
    perform app.refuse(404, 'not_found');
  end if;
  perform app_private.set_role(new_owner, 'owner');
  -- It is the organization that is handed over, with what it could not do without.
  update app.bi_credentials c set held_by = new_owner, held_since = statement_timestamp()
  where c.organization_id = organization and app_private.bi_holder(c) = me and app_private.is_bi_held(c) and c.revoked_at is null;
  perform app_private.set_role(me, 'admin');
  return app.read_member(new_owner);
end
$$;
comment on function app.transfer_ownership(uuid, uuid) is 'Makes another member owner and the caller admin. PT403, PT404, PT409 already_owner.';
alter function app.transfer_ownership(uuid, uuid) owner to callboard_definer;
grant execute on function app.transfer_ownership(uuid, uuid) to callboard_api;
