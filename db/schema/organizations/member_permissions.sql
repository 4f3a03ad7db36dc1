-- Permissions granted or denied to a single member on top of their roles, temporarily or permanently,
-- and the computation of everything a member holds, which exists only here.

create table if not exists app.member_permissions (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  user_id uuid not null,
  permission text not null constraint member_permissions_permission_exists references app.permissions (name),
  effect text not null constraint member_permissions_effect_known check (effect in ('grant', 'deny')),
  expires_at timestamptz,
  granted_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  primary key (organization_id, user_id, permission),
  constraint member_permissions_member_exists foreign key (organization_id, user_id) references app.memberships (organization_id, user_id) on delete cascade,
  constraint member_permissions_expires_later check (expires_at > updated_at)
);

-- Without grants, because the definer's functions write: a policy cannot ensure that nobody grants what they do not hold.
select app_private.tenant_policies('app.member_permissions', reads => 'members.read', inserts => 'members.manage', updates => 'members.manage',
  deletes => 'members.manage', definer => 'insert, update, delete');
grant select on app.member_permissions to callboard_api, callboard_definer;
grant insert (user_id, permission, effect, expires_at), update (effect, expires_at, granted_by), delete on app.member_permissions to callboard_definer;

comment on table app.member_permissions is 'Permissions granted or denied to a member on top of their roles.';
comment on column app.member_permissions.effect is 'grant adds to the permissions of the roles; deny removes a permission whatever its source.';

select app_private.log_changes('app.member_permissions', 'member',
  '{"create": "set_permission", "update": "set_permission", "delete": "clear_permission"}', 'user_id');

create or replace function app_private.permission_sources(organization uuid, member uuid, member_role text)
returns table (permission text, source text, role_id text, role_name text, expires_at timestamptz, granted_by uuid)
language sql stable
begin atomic
  select rp.permission, 'role', rp.role, rp.role, null::timestamptz, null::uuid
  from app.role_permissions rp where rp.role = member_role
  union all
  select unnest(r.permissions), 'role', r.id::text, r.name, null, m.granted_by
  from app.member_roles m join app.custom_roles r on r.organization_id = m.organization_id and r.id = m.role_id
  where m.organization_id = organization and m.user_id = member and r.organization_id = organization and r.deleted_at is null
  union all
  select p.permission, p.effect, null, null, p.expires_at, p.granted_by
  from app.member_permissions p
  where p.organization_id = organization and p.user_id = member and (p.expires_at is null or p.expires_at > now());
end;
comment on function app_private.permission_sources(uuid, uuid, text) is
  'Everything unexpired that gives a member with this built-in role a permission or removes one: source is role, grant or deny.';
alter function app_private.permission_sources(uuid, uuid, text) owner to callboard_definer;

-- In plpgsql, whose plans live as long as the session: app.enter calls this on every request.
create or replace function app_private.effective_permissions(organization uuid, member uuid, member_role text, lasting boolean default false)
returns text[]
language plpgsql stable
set search_path = ''
as $$
begin
  return coalesce((
    select array_agg(held.permission order by held.permission) from (
      select s.permission from app_private.permission_sources(organization, member, member_role) s
      group by s.permission
      having bool_or(s.source <> 'deny' and (s.expires_at is null or not lasting)) and not bool_or(s.source = 'deny')) as held), '{}');
end
$$;
comment on function app_private.effective_permissions(uuid, uuid, text, boolean) is
  'What a member with this built-in role holds, sorted; with lasting, only what does not expire.';
alter function app_private.effective_permissions(uuid, uuid, text, boolean) owner to callboard_definer;

create or replace function app.permissions_of(organization uuid, member uuid, lasting boolean default false) returns text[]
language sql stable
set search_path = ''
begin atomic
  select coalesce((
    select app_private.effective_permissions(m.organization_id, m.user_id, m.role, lasting)
    from app.memberships m join app.organizations o on o.id = m.organization_id
    -- Members deleted together with their organization still hold the permission to restore it.
    where m.organization_id = organization and m.user_id = member and (m.deleted_at is null or m.deletion_id = o.deletion_id)), '{}');
end;
comment on function app.permissions_of(uuid, uuid, boolean) is
  'The permissions that a member holds in an organization, sorted: those of their roles and grants, minus denials; with lasting, only what does not expire. Empty for non-members.';
alter function app.permissions_of(uuid, uuid, boolean) owner to callboard_definer;

-- What outlives a request is worth what its maker could still do now. Removing them ends it for good, also if they come
-- back: their membership then began later than it.
create or replace function app_private.still_held(organization uuid, member uuid, since timestamptz, lasting boolean default false) returns text[]
language sql stable
set search_path = ''
begin atomic
  select coalesce((
    select app.permissions_of(organization, member, lasting)
    from app.memberships m where m.organization_id = organization and m.user_id = member and m.created_at <= since), '{}');
end;
comment on function app_private.still_held(uuid, uuid, timestamptz, boolean) is
  'The permissions that a member holds now who made something then; none if their membership has ended in between, even if they have another.';
alter function app_private.still_held(uuid, uuid, timestamptz, boolean) owner to callboard_definer;

-- Two checks for every change to what members hold. The lock serializes such changes within an
-- organization, so that each is checked against what the caller holds at that moment, not
-- when the request started.
create or replace function app_private.administer() returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  organization uuid := app.require('members.manage');
begin
  perform from app.organizations o where o.id = organization and o.deleted_at is null for no key update;
  if not found or not 'members.manage' = any (app.permissions_of(organization, app.current_user_id())) then
    perform app.refuse(403, 'permission_denied', 'This needs the permission members.manage.');
  end if;
  return organization;
end
$$;
comment on function app_private.administer() is
  'Locks the current organization against other changes of its members and returns it, if the caller may manage them. PT403 permission_denied.';
alter function app_private.administer() owner to callboard_definer;

create or replace function app_private.require_to_hold(wanted text[]) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  missing text[];
begin
  -- Unknown permissions are refused elsewhere.
  select array_agg(p.name order by p.name) into missing from app.permissions p
  where p.name = any (wanted) and p.name <> all (app.permissions_of(app.current_org(), app.current_user_id(), lasting => true));
  if missing is not null then
    perform app.refuse(403, 'permission_not_held',
      format('You cannot grant or revoke a permission that you do not hold permanently: %s.', array_to_string(missing, ', ')));
  end if;
end
$$;
comment on function app_private.require_to_hold(text[]) is
  'PT403 permission_not_held unless the caller holds all of these permanently.';
alter function app_private.require_to_hold(text[]) owner to callboard_definer;
