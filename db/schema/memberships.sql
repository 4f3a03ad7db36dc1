-- Who belongs to which organization, and as what. A person leaves by being marked deleted,
-- so that an organization restored after its deletion finds its people again.

create table if not exists app.memberships (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  user_id uuid not null references app.users (id),
  role text not null constraint memberships_role_exists references app.roles (name),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, user_id)
);
create index if not exists memberships_user_id_idx on app.memberships (user_id) where deleted_at is null;

alter table app.memberships enable row level security;
alter table app.memberships force row level security;

drop policy if exists select_member on app.memberships;
create policy select_member on app.memberships for select to callboard_api
  using (organization_id = (select app.org_if('members.read')));

drop policy if exists update_member on app.memberships;
create policy update_member on app.memberships for update to callboard_api
  using (organization_id = (select app.org_if('members.manage')));

drop policy if exists select_definer on app.memberships;
create policy select_definer on app.memberships for select to callboard_definer using (true);
drop policy if exists insert_definer on app.memberships;
create policy insert_definer on app.memberships for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.memberships;
create policy update_definer on app.memberships for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.memberships to callboard_api, callboard_definer;
grant update (role) on app.memberships to callboard_api;
grant insert (organization_id, user_id, role), update (role, created_at, deleted_at, deleted_by, deletion_id) on app.memberships to callboard_definer;

drop policy if exists select_colleague on app.users;
create policy select_colleague on app.users for select to callboard_api
  using (id = any (array(
    select m.user_id from app.memberships m
    where m.organization_id = (select app.org_if('members.read')) and m.deleted_at is null)));

comment on table app.memberships is 'Who belongs to which organization and in which role; deleted_at marks those who left.';

drop trigger if exists _100_timestamps on app.memberships;
create trigger _100_timestamps before update on app.memberships
  for each row execute function app_private.tg__100_timestamps();

select app_private.log_changes('app.memberships', 'member',
  '{"create": "add", "restore": "add", "delete": "remove", "role": "change_role"}', 'user_id');

-- Without an owner nobody could manage an organization any more. Locking its row makes
-- parallel departures queue up, so the second to last one is counted before the last.
create or replace function app_private.tg_memberships__300_last_owner() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform from app.organizations o where o.id = new.organization_id and o.deleted_at is null for no key update;
  if found and not exists (
    select from app.memberships m
    where m.organization_id = new.organization_id and m.role = 'owner' and m.deleted_at is null
  ) then
    perform app.refuse(409, 'last_owner', 'An organization needs an owner: make somebody else owner first.');
  end if;
  return null;
end
$$;
comment on function app_private.tg_memberships__300_last_owner() is 'PT409 last_owner when a change would leave a living organization without an owner.';
alter function app_private.tg_memberships__300_last_owner() owner to callboard_definer;
revoke execute on function app_private.tg_memberships__300_last_owner() from public;

drop trigger if exists _300_last_owner on app.memberships;
create trigger _300_last_owner after update on app.memberships
  for each row when (old.role = 'owner' and old.deleted_at is null and (new.role <> 'owner' or new.deleted_at is not null))
  execute function app_private.tg_memberships__300_last_owner();

create or replace view app.member_list with (security_invoker = true) as
  select m.organization_id, u.id, u.email, u.display_name, m.role, m.created_at as joined_at, m.version,
    json_build_object('id', u.id, 'email', u.email, 'display_name', u.display_name, 'role', m.role,
      'joined_at', m.created_at, 'updated_at', m.updated_at) as body
  from app.memberships m
  join app.users u on u.id = m.user_id
  where m.deleted_at is null;
comment on view app.member_list is 'The present members of the organization, with their name and address.';
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
revoke execute on function app.read_member(uuid) from public;
grant execute on function app.read_member(uuid) to callboard_api, callboard_definer;

create or replace function app.change_member_role(member uuid, new_role text, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  -- The row lock keeps the version that is checked; a reader without the right gets 403, not a lock.
  select m.version into present from app.member_list m where m.id = member and m.organization_id = app.current_org();
  perform app.check_version(present, if_match);
  perform app.require('members.manage');
  update app.memberships m set role = new_role
  where m.organization_id = app.current_org() and m.user_id = member and m.deleted_at is null
    and app.matches(m.version, if_match);
  if not found then
    -- Changed since it was read above; or gone, which is the 404 of read_member.
    perform app.check_version(m.version, if_match) from app.member_list m
    where m.id = member and m.organization_id = app.current_org();
  end if;
  return app.read_member(member);
end
$$;
comment on function app.change_member_role(uuid, text, text) is
  'Gives a member another role. PT403 without members.manage, PT404, PT409 last_owner, PT412.';
revoke execute on function app.change_member_role(uuid, text, text) from public;
grant execute on function app.change_member_role(uuid, text, text) to callboard_api;

create or replace function app.remove_member(member uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
  organization uuid := app.current_org();
  present integer;
begin
  select m.version into present from app.memberships m
  where m.organization_id = organization and m.user_id = member and m.deleted_at is null;
  perform app.check_version(present, if_match);
  -- Leaving needs no permission; making somebody leave does.
  if member is distinct from me then
    perform app.require('members.manage');
  end if;
  update app.memberships m
  set deleted_at = statement_timestamp(), deleted_by = me, deletion_id = app.uuid_v7()
  where m.organization_id = organization and m.user_id = member and m.deleted_at is null and app.matches(m.version, if_match);
  if not found then
    -- Somebody else was faster: it has changed or is gone.
    select m.version into present from app.memberships m
    where m.organization_id = organization and m.user_id = member and m.deleted_at is null;
    perform app.check_version(present, if_match);
  end if;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.remove_member(uuid, text) is
  'Removes a member, or lets oneself leave. PT403 without members.manage, PT404, PT409 last_owner, PT412.';
alter function app.remove_member(uuid, text) owner to callboard_definer;
revoke execute on function app.remove_member(uuid, text) from public;
grant execute on function app.remove_member(uuid, text) to callboard_api;

create or replace function app.add_member(address text, person_name text, new_role text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('members.manage');
  who uuid;
begin
  insert into app.users (email, display_name) values (lower(address), person_name) on conflict (lower(email)) do nothing returning id into who;
  if who is not null then
    perform app_private.mail_token(who, 'reset_password', interval '7 days');
  else
    select u.id into who from app.users u where lower(u.email) = lower(address);
    -- Anybody can sign up with anybody's address. Until its owner has answered a mail, a password
    -- of that account may be a stranger's, whom this would let in.
    if exists (select from app.users u join app_private.credentials c on c.user_id = u.id where u.id = who and u.email_verified_at is null) then
      perform app.refuse(409, 'address_unverified');
    end if;
  end if;
  perform app_private.join_organization(who, organization, new_role);
  -- An invitation that is still open would let them in again after they were removed.
  perform app_private.withdraw_invitations(organization, address, 'infinity');
  perform app_private.queue_mail('added', lower(address), jsonb_build_object('organization', o.name, 'role', new_role))
  from app.organizations o where o.id = organization;
  return (201, r.body, r.etag, r.location)::app.answer from app.read_member(who) r;
end
$$;
comment on function app.add_member(text, text, text) is
  'Makes somebody a member at once; an address without an account gets one, and a mailed link to choose a password. PT403, PT409 already_member, address_unverified.';
alter function app.add_member(text, text, text) owner to callboard_definer;
revoke execute on function app.add_member(text, text, text) from public;
grant execute on function app.add_member(text, text, text) to callboard_api;

create or replace function app_private.join_organization(who uuid, organization uuid, new_role text) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- Somebody who comes back gets their old row.
  insert into app.memberships as m (organization_id, user_id, role) values (organization, who, new_role)
  on conflict (organization_id, user_id) do update
    set role = excluded.role, created_at = now(), deleted_at = null, deleted_by = null, deletion_id = null
    where m.deleted_at is not null;
  if not found then
    perform app.refuse(409, 'already_member');
  end if;
end
$$;
comment on function app_private.join_organization(uuid, uuid, text) is 'Writes a membership in the current organization. PT409 already_member.';
alter function app_private.join_organization(uuid, uuid, text) owner to callboard_definer;
revoke execute on function app_private.join_organization(uuid, uuid, text) from public;

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
  if new_owner = me then
    perform app.refuse(409, 'already_owner', 'You are the owner already.');
  end if;
  update app.memberships m set role = 'owner'
  where m.organization_id = organization and m.user_id = new_owner and m.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  update app.memberships m set role = 'admin' where m.organization_id = organization and m.user_id = me;
  return app.read_member(new_owner);
end
$$;
comment on function app.transfer_ownership(uuid, uuid) is 'Makes another member owner and oneself admin. PT403, PT404, PT409 already_owner.';
alter function app.transfer_ownership(uuid, uuid) owner to callboard_definer;
revoke execute on function app.transfer_ownership(uuid, uuid) from public;
grant execute on function app.transfer_ownership(uuid, uuid) to callboard_api;
