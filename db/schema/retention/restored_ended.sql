-- After a restore, with the file of what has ended since (ended.sql; `npm run restored -- --ended`): the same ends in the
-- copy. Each function takes all entries of the file, the newest of each, and does its part; what has ended already stays
-- as it is, so that repeating it changes nothing.
--
-- The file can only take away: whoever changes it cannot give anybody anything. The one exception is the owner of an
-- organization whose other owners have gone.
--
-- These run with the rights of the migrator, as restored.sql does.

create or replace function app_private.end_recorded(ended jsonb) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  done jsonb;
begin
  with e as materialized (
    select * from jsonb_to_recordset(ended) x (what text, id uuid, at timestamptz)),
  sessions as (
    update app.sessions s set revoked_at = now(), revoked_because = 'revoked'
    from e where e.what = 'session' and s.id = e.id and s.revoked_at is null and s.expires_at > now() returning 1),
  -- Its owner has the next token, which the copy does not know. Whoever sends this one has copied it, however recently.
  tokens as (
    update app_private.refresh_tokens t set used_at = least(e.at, now() - interval '1 minute') from e, app.sessions s
    where e.what = 'refresh' and s.id = e.id and s.refreshed_at < e.at and t.session_id = s.id and t.used_at is null returning 1),
  invitations as (
    update app.invitations i set deleted_at = now(), deletion_id = app.uuid_v7()
    from e where e.what = 'invitation' and i.id = e.id and i.accepted_at is null and i.deleted_at is null and i.expires_at > now() returning 1),
  feeds as (
    update app.calendar_feeds f set revoked_at = now() from e where e.what = 'calendar_feed' and f.id = e.id and f.revoked_at is null returning 1),
  logins as (
    update app.bi_credentials c set revoked_at = now() from e where e.what = 'bi_login' and c.id = e.id and c.revoked_at is null returning c.id),
  -- The copy has the old password, which somebody may know. Its owner may rotate it again.
  rotations as (
    update app.bi_credentials c set expires_at = now() from e
    where e.what = 'bi_password' and c.id = e.id and c.revoked_at is null and c.expires_at > now() and coalesce(c.rotated_at < e.at, true)
      and not exists (select from e r where r.what = 'bi_login' and r.id = e.id) returning 1),
  grants as (
    select app_private.revoke_support(g.id) from app_private.support_grants g, e
    where e.what = 'support_grant' and g.id = e.id and g.revoked_at is null),
  -- Of a random proof, which nobody has: a new password is chosen with a mailed link.
  passwords as (
    update app_private.credentials c set verifier = sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), changed_at = e.at
    from e where e.what = 'password' and c.user_id = e.id and c.changed_at < e.at returning 1)
  select jsonb_build_object('sessions', (select count(*) from sessions), 'refresh_tokens', (select count(*) from tokens),
    'passwords', (select count(*) from passwords), 'invitations', (select count(*) from invitations),
    'calendar_feeds', (select count(*) from feeds), 'bi_logins', (select count(*) from logins) + (select count(*) from rotations),
    'superadmin_grants', (select count(*) from grants))
  into done;
  return done;
end
$$;
comment on function app_private.end_recorded(jsonb) is
  'Ends the recorded sessions, spent refresh tokens, changed passwords, invitations, calendar feeds, BI logins and superadmins'' grants. Returns how many of each.';

create or replace function app_private.limit_member(the_organization uuid, member uuid, permissions jsonb, roles uuid[]) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  delete from app.member_roles r where r.organization_id = the_organization and r.user_id = member and r.role_id <> all (roles);
  delete from app.member_permissions p
  where p.organization_id = the_organization and p.user_id = member and p.effect = 'grant' and not exists (
    select from jsonb_to_recordset(permissions) g (permission text, effect text, expires_at timestamptz)
    where g.permission = p.permission and g.effect = 'grant' and coalesce(g.expires_at > now(), true));
  update app.member_permissions p set expires_at = g.expires_at
  from jsonb_to_recordset(permissions) g (permission text, effect text, expires_at timestamptz)
  where p.organization_id = the_organization and p.user_id = member and p.effect = 'grant' and p.permission = g.permission
    and g.expires_at < coalesce(p.expires_at, 'infinity');
  insert into app.member_permissions as p (user_id, permission, effect, expires_at)
  select member, g.permission, 'deny', g.expires_at
  from jsonb_to_recordset(permissions) g (permission text, effect text, expires_at timestamptz)
  join app.permissions k on k.name = g.permission
  where g.effect = 'deny' and coalesce(g.expires_at > now(), true) and not exists (
    select from app.memberships m where m.organization_id = the_organization and m.user_id = member and m.role = 'owner')
  on conflict (organization_id, user_id, permission) do update set effect = 'deny', expires_at = excluded.expires_at
    where p.effect = 'grant' or p.expires_at < coalesce(excluded.expires_at, 'infinity');
end
$$;
comment on function app_private.limit_member(uuid, uuid, jsonb, uuid[]) is
  'Takes from a member the custom roles and grants that are not among these, and denies what these deny, in the context of the organization.';

create or replace function app_private.lower_members(ended jsonb) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  x record;
  held text[];
  removed bigint := 0;
  lowered bigint := 0;
  owners jsonb := '[]';
begin
  for x in
    with e as materialized (
      select * from jsonb_to_recordset(ended) r (what text, organization uuid, id uuid, at timestamptz, removed boolean, role text, roles uuid[], permissions jsonb)
      where r.what = 'member')
    select e.*, m.role as present,
      -- Without another owner, the one who has gone could not go again.
      not e.removed and e.role = 'owner' and m.role is distinct from 'owner' and exists (
        select from e o join app.memberships p on p.organization_id = o.organization and p.user_id = o.id
        where o.organization = e.organization and p.role = 'owner' and p.deleted_at is null and (o.removed or o.role is distinct from 'owner')) as succeeds
    from e join app.memberships m on m.organization_id = e.organization and m.user_id = e.id
    where m.deleted_at is null and m.updated_at < e.at
    order by e.organization, (not e.removed and e.role = 'owner') desc nulls last, e.id
  loop
    perform app_private.set_context(null, null, x.organization);
    begin
      if x.removed then
        update app.memberships m set deleted_at = now(), deletion_id = app.uuid_v7() where m.organization_id = x.organization and m.user_id = x.id;
        delete from app.member_roles r where r.organization_id = x.organization and r.user_id = x.id;
        delete from app.member_permissions p where p.organization_id = x.organization and p.user_id = x.id;
        removed := removed + 1;
      else
        held := app.permissions_of(x.organization, x.id);
        if x.succeeds then
          perform app_private.set_role(x.id, 'owner');
        elsif x.role is distinct from x.present and not exists (
            select from app.role_permissions n where n.role = x.role and not exists (
              select from app.role_permissions w where w.role = x.present and w.permission = n.permission)) then
          perform app_private.set_role(x.id, x.role);
        end if;
        perform app_private.limit_member(x.organization, x.id, x.permissions, x.roles);
        if not app.permissions_of(x.organization, x.id) @> held then
          lowered := lowered + 1;
        end if;
      end if;
    exception when sqlstate 'PT409' then
      owners := owners || jsonb_build_object('organization', x.organization, 'id', x.id);
    end;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('members', removed, 'lowered_members', lowered, 'owners', owners);
end
$$;
comment on function app_private.lower_members(jsonb) is
  'Removes the members who have been removed, and takes from the others what they no longer hold. Returns how many, and the owners who stay because nobody else in the copy can own their organization.';

create or replace function app_private.lower_roles(ended jsonb) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  x record;
  roles bigint := 0;
  organizations bigint := 0;
begin
  for x in
    select e.*, coalesce(o.deleted_at, r.deleted_at) as gone, r.permissions as present
    from jsonb_to_recordset(ended) e (what text, organization uuid, id uuid, removed boolean, permissions text[])
    left join app.organizations o on e.what = 'organization' and o.id = e.id
    left join app.custom_roles r on e.what = 'role' and r.organization_id = e.organization and r.id = e.id
    where o.id is not null or r.id is not null
  loop
    perform app_private.set_context(null, null, x.organization);
    if x.what = 'organization' and x.removed and x.gone is null then
      perform app_private.soft_delete('app.organizations', 'id = $1', x.id);
      organizations := organizations + 1;
    elsif x.what = 'role' and (x.removed and x.gone is null or not x.permissions @> x.present) then
      update app.custom_roles r set permissions = array(select p from unnest(r.permissions) p where p = any (x.permissions))
      where r.organization_id = x.organization and r.id = x.id and not x.permissions @> r.permissions;
      if x.removed and x.gone is null then
        perform app_private.soft_delete('app.custom_roles', 'organization_id = app.current_org() and id = $1', x.id);
      end if;
      roles := roles + 1;
    end if;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('roles', roles, 'organizations', organizations);
end
$$;
comment on function app_private.lower_roles(jsonb) is
  'Takes from custom roles the permissions that they have lost, and deletes the roles and organizations that have been deleted. Returns how many.';
