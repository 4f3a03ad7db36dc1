-- Commands on what individual members have besides their built-in role: custom roles, grants and denials.
-- The tables are in custom_roles.sql and member_permissions.sql.

create or replace function app.assign_role(member uuid, the_role text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.lock_member(member, null);
  perform app_private.require_to_hold(app_private.permissions_of_role(the_role));
  if exists (select from app.roles r where r.name = the_role) then
    perform app_private.set_role(member, the_role);
  else
    insert into app.member_roles (user_id, role_id) values (member, the_role::uuid) on conflict do nothing;
    if found then
      -- A member's version also counts changes to their roles.
      update app.memberships m set role = m.role where m.organization_id = app.current_org() and m.user_id = member;
    end if;
  end if;
  return app.read_member(member);
end
$$;
comment on function app.assign_role(uuid, text) is
  'Gives a member a role: a built-in one by name, replacing the current one, or a custom one by id, in addition to the others. PT403 permission_denied, permission_not_held, PT404, PT409 last_owner, PT422 role_unknown.';
alter function app.assign_role(uuid, text) owner to callboard_definer;
grant execute on function app.assign_role(uuid, text) to callboard_api;

create or replace function app.unassign_role(member uuid, the_role text, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  m app.memberships := app_private.lock_member(member, if_match);
begin
  if m.role = the_role then
    perform app_private.set_role(member, null);
  else
    delete from app.member_roles x
    where x.organization_id = m.organization_id and x.user_id = member and x.role_id::text = lower(the_role);
    if not found then
      perform app.refuse(404, 'not_found');
    end if;
    update app.memberships x set role = x.role where x.organization_id = m.organization_id and x.user_id = member;
  end if;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.unassign_role(uuid, text, text) is
  'Removes a role from a member: a built-in one by name or a custom one by id. PT403 permission_denied, permission_not_held, PT404, PT409 last_owner, PT412.';
alter function app.unassign_role(uuid, text, text) owner to callboard_definer;
grant execute on function app.unassign_role(uuid, text, text) to callboard_api;

create or replace function app.member_permissions_of(member uuid) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  m app.memberships;
begin
  select * into m from app.memberships x
  where x.organization_id = app.org_if('members.read') and x.user_id = member and x.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return (
    with sources as materialized (
      select * from app_private.permission_sources(m.organization_id, m.user_id, m.role)
    ), held as materialized (
      select unnest(app.permissions_of(m.organization_id, m.user_id)) as permission
    )
    select (200, json_build_object('user_id', m.user_id, 'items', json_agg(json_build_object(
        'permission', p.name, 'description', p.description, 'is_held', p.name in (select h.permission from held h),
        'sources', (
          select coalesce(json_agg(json_build_object('source', s.source, 'role_id', s.role_id, 'role_name', s.role_name,
            'expires_at', s.expires_at, 'granted_by', s.granted_by) order by s.source, s.role_name collate app.people), '[]')
          from sources s where s.permission = p.name)
        ) order by p.name), 'next_cursor', null), app.etag(m.version), null)::app.answer
    from app.permissions p);
end
$$;
comment on function app.member_permissions_of(uuid) is
  'Every permission, whether a member holds it, and everything that grants or denies it. PT404.';
alter function app.member_permissions_of(uuid) owner to callboard_definer;
grant execute on function app.member_permissions_of(uuid) to callboard_api;

create or replace function app.set_member_permission(member uuid, the_permission text, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  m app.memberships := app_private.lock_member(member, if_match);
  wanted app.member_permissions := jsonb_populate_record(null::app.member_permissions, body);
begin
  if not exists (select from app.permissions p where p.name = the_permission) then
    perform app.refuse(404, 'not_found');
  end if;
  perform app_private.require_to_hold(array[the_permission]);
  if wanted.effect = 'deny' and m.role = 'owner' then
    perform app.refuse(409, 'owner_keeps_permissions', 'An owner cannot be denied a permission: give them another role first.');
  end if;
  insert into app.member_permissions as p (user_id, permission, effect, expires_at)
  values (member, the_permission, wanted.effect, wanted.expires_at)
  on conflict (organization_id, user_id, permission) do update
    set effect = excluded.effect, expires_at = excluded.expires_at, granted_by = excluded.granted_by;
  update app.memberships x set role = x.role where x.organization_id = m.organization_id and x.user_id = member;
  return app.member_permissions_of(member);
end
$$;
comment on function app.set_member_permission(uuid, text, jsonb, text) is
  'Grants or denies a member a permission on top of their roles: effect (grant or deny), expires_at. PT403 permission_denied, permission_not_held, PT404, PT409 owner_keeps_permissions, PT412.';
alter function app.set_member_permission(uuid, text, jsonb, text) owner to callboard_definer;
grant execute on function app.set_member_permission(uuid, text, jsonb, text) to callboard_api;

create or replace function app.clear_member_permission(member uuid, the_permission text, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  m app.memberships := app_private.lock_member(member, if_match);
  was text;
begin
  select p.effect into was from app.member_permissions p
  where p.organization_id = m.organization_id and p.user_id = member and p.permission = the_permission;
  if was is null then
    perform app.refuse(404, 'not_found');
  elsif was = 'deny' then
    -- Removing a denial restores the permission. Checked before the removal, because the denial may be the caller's own.
    perform app_private.require_to_hold(array[the_permission]);
  end if;
  delete from app.member_permissions p
  where p.organization_id = m.organization_id and p.user_id = member and p.permission = the_permission;
  update app.memberships x set role = x.role where x.organization_id = m.organization_id and x.user_id = member;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.clear_member_permission(uuid, text, text) is
  'Removes a member''s grant or denial, so that only their roles decide. PT403 permission_denied, permission_not_held, PT404, PT412.';
alter function app.clear_member_permission(uuid, text, text) owner to callboard_definer;
grant execute on function app.clear_member_permission(uuid, text, text) to callboard_api;
