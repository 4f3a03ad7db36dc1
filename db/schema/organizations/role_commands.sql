-- Commands on an organization's custom roles; the table is in custom_roles.sql.

create or replace view app.role_list with (security_invoker = true) as
  select null::uuid as organization_id, r.name as id, r.name, 0 as version,
    json_build_object('id', r.name, 'name', r.name, 'description', r.description, 'is_built_in', true,
      'permissions', (select coalesce(json_agg(rp.permission order by rp.permission), '[]') from app.role_permissions rp where rp.role = r.name),
      'created_at', null, 'updated_at', null) as body,
    null::timestamptz as deleted_at, null::uuid as deleted_by
  from app.roles r
  union all
  select r.organization_id, r.id::text, r.name, r.version,
    json_build_object('id', r.id, 'name', r.name, 'description', r.description, 'is_built_in', false,
      'permissions', to_json(r.permissions), 'created_at', r.created_at, 'updated_at', r.updated_at),
    r.deleted_at, r.deleted_by
  from app.custom_roles r;
comment on view app.role_list is 'The built-in roles and the organization''s own, with their JSON, including those in the bin, which have deleted_at.';
grant select on app.role_list to callboard_api, callboard_definer;

create or replace function app.list_roles(in_bin boolean) returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', coalesce(json_agg(app.in_bin(r.body::text, r.deleted_at, r.deleted_by)::json order by r.organization_id nulls first, r.name, r.id), '[]'), 'next_cursor', null),
    null::text, null::text
  from app.role_list r
  -- Called only because it may refuse.
  where (select app.require('members.read')) is not null
    and (r.organization_id is null or r.organization_id = app.current_org())
    -- In this order, so that the permission is checked even if the bin is empty.
    and case when in_bin then (select app.require_reading('members.manage')) is not null and r.deleted_at is not null else r.deleted_at is null end;
end;
comment on function app.list_roles(boolean) is 'All roles that a member can have, or those that were deleted. PT403.';
grant execute on function app.list_roles(boolean) to callboard_api;

create or replace function app.list_permissions() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', json_agg(json_build_object('name', p.name, 'description', p.description) order by p.name), 'next_cursor', null),
    null::text, null::text
  from app.permissions p
  where (select app.require('members.read')) is not null;
end;
comment on function app.list_permissions() is 'All permissions. PT403.';
grant execute on function app.list_permissions() to callboard_api;

create or replace function app.read_role(the_role text) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, r.body, app.etag(r.version), '/api/roles/' || r.id into answer from app.role_list r
  where app.has_permission('members.read') and r.deleted_at is null and r.id = lower(the_role) and (r.organization_id is null or r.organization_id = app.current_org());
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_role(text) is 'A built-in role by name, or a custom one by id. PT404.';
grant execute on function app.read_role(text) to callboard_api, callboard_definer;

create or replace function app_private.lock_role(the_role text, if_match text) returns app.custom_roles
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
  r app.custom_roles;
begin
  select x.version into present from app.role_list x
  where app.has_permission('members.read') and x.deleted_at is null and x.id = lower(the_role) and (x.organization_id is null or x.organization_id = app.current_org());
  perform app.check_version(present, if_match);
  perform app_private.administer();
  if exists (select from app.roles b where b.name = the_role) then
    perform app.refuse(409, 'role_built_in', 'The built-in roles are the same in every organization: create a custom one.');
  end if;
  select * into r from app.custom_roles x
  where x.organization_id = app.current_org() and x.id = the_role::uuid and x.deleted_at is null for no key update;
  perform app.check_version(r.version, if_match);
  perform app_private.require_to_hold(r.permissions);
  return r;
end
$$;
comment on function app_private.lock_role(text, text) is
  'Locks and returns a custom role that the caller may change. PT403 permission_denied, permission_not_held, PT404, PT409 role_built_in, PT412.';
alter function app_private.lock_role(text, text) owner to callboard_definer;

create or replace function app.create_role(body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  wanted app.custom_roles := jsonb_populate_record(null::app.custom_roles, body);
  answer app.answer;
begin
  perform app_private.administer();
  insert into app.custom_roles as r (name, description, permissions)
  values (wanted.name, coalesce(wanted.description, ''), wanted.permissions) returning r.* into wanted;
  -- After the insert, which refuses unknown permissions.
  perform app_private.require_to_hold(wanted.permissions);
  answer := app.read_role(wanted.id::text);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_role(jsonb) is
  'Creates a custom role: name, description, permissions. PT403 permission_denied, permission_not_held, PT409 custom_role_name_taken, PT422 permission_unknown.';
alter function app.create_role(jsonb) owner to callboard_definer;
grant execute on function app.create_role(jsonb) to callboard_api;

create or replace function app.update_role(the_role text, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  r app.custom_roles := app_private.lock_role(the_role, if_match);
begin
  r := jsonb_populate_record(r, body);
  -- Checked before the change, because the caller may have this role.
  perform app_private.require_to_hold(r.permissions);
  update app.custom_roles x set name = r.name, description = r.description, permissions = r.permissions
  where x.organization_id = app.current_org() and x.id = r.id;
  return app.read_role(the_role);
end
$$;
comment on function app.update_role(text, jsonb, text) is
  'Changes a custom role; this takes effect with the next request of each member who has it. PT403 permission_denied, permission_not_held, PT404, PT409 role_built_in, custom_role_name_taken, PT412, PT422 permission_unknown.';
alter function app.update_role(text, jsonb, text) owner to callboard_definer;
grant execute on function app.update_role(text, jsonb, text) to callboard_api;

create or replace function app.delete_role(the_role text, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  r app.custom_roles := app_private.lock_role(the_role, if_match);
begin
  return app_private.delete_row('app.custom_roles', r.id, if_match);
end
$$;
comment on function app.delete_role(text, text) is
  'Soft-deletes a custom role; its members lose its permissions. PT403 permission_denied, permission_not_held, PT404, PT409 role_built_in, PT412.';
alter function app.delete_role(text, text) owner to callboard_definer;
grant execute on function app.delete_role(text, text) to callboard_api;

create or replace function app.restore_role(the_role uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.administer();
  -- Checked before restoring, because the caller may have this role.
  perform app_private.require_to_hold(r.permissions) from app.custom_roles r
  where r.organization_id = app.current_org() and r.id = the_role and r.deleted_at is not null;
  perform app_private.restore_row('app.custom_roles', the_role);
  return app.read_role(the_role::text);
end
$$;
comment on function app.restore_role(uuid) is
  'Restores a deleted role for those who had it. PT403 permission_denied, permission_not_held, PT404, PT409 custom_role_name_taken.';
alter function app.restore_role(uuid) owner to callboard_definer;
grant execute on function app.restore_role(uuid) to callboard_api;
