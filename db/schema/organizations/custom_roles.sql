-- Custom roles, which an organization composes from the existing permissions. A member has at most
-- one built-in role (app.memberships.role) and any number of custom ones.

create table if not exists app.custom_roles (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text collate app.people not null constraint custom_roles_name_length check (app.is_line(name, 100)),
  description text not null default '' constraint custom_roles_description_length check (length(description) <= 1000),
  permissions text[] not null,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  -- "Who is admin here?" must have one answer.
  constraint custom_roles_name_is_free check (lower(name) not in ('owner', 'admin', 'manager', 'viewer'))
);
create unique index if not exists custom_role_name_taken on app.custom_roles (organization_id, lower(name)) where deleted_at is null;
alter index app.custom_role_name_taken alter column 2 set statistics 0;

-- Without grants, because the definer's functions write: a policy cannot ensure that nobody grants what they do not hold.
select app_private.tenant_table('custom_roles', noun => 'role', reads => 'members.read', writes => 'members.manage', deletes => 'members.manage',
  definer => 'insert, update');
grant insert (id, name, description, permissions), update (name, description, permissions, deleted_at, deleted_by, deletion_id)
  on app.custom_roles to callboard_definer;

comment on table app.custom_roles is 'Custom roles of organizations.';
comment on column app.custom_roles.permissions is 'Names from app.permissions, sorted, each once.';

create or replace function app_private.tg_custom_roles__200_permissions() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  unknown text[];
begin
  select array_agg(distinct g) into unknown from unnest(new.permissions) as g where not exists (select from app.permissions p where p.name = g);
  if unknown is not null then
    perform app.refuse(422, 'permission_unknown', format('There is no such permission: %s.', array_to_string(unknown, ', ')));
  end if;
  new.permissions := array(select distinct g from unnest(new.permissions) as g order by g);
  return new;
end
$$;
comment on function app_private.tg_custom_roles__200_permissions() is 'Keeps the permissions of a role sorted, each once. PT422 permission_unknown.';

create or replace trigger _200_permissions before insert or update of permissions on app.custom_roles
  for each row execute function app_private.tg_custom_roles__200_permissions();

-- Which member has which of them. Rows here are deleted, not marked: when a deleted role or member is
-- restored, its rows are still there, because soft delete leaves them alone.
create table if not exists app.member_roles (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  user_id uuid not null,
  role_id uuid not null,
  granted_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  primary key (organization_id, user_id, role_id),
  constraint member_roles_member_exists foreign key (organization_id, user_id) references app.memberships (organization_id, user_id) on delete cascade,
  constraint member_roles_role_exists foreign key (organization_id, role_id) references app.custom_roles (organization_id, id) on delete cascade
);
create index if not exists member_roles_role_id_idx on app.member_roles (organization_id, role_id);

select app_private.tenant_policies('app.member_roles', reads => 'members.read', inserts => 'members.manage', deletes => 'members.manage',
  definer => 'insert, delete');
grant select on app.member_roles to callboard_api, callboard_definer;
grant insert (user_id, role_id), delete on app.member_roles to callboard_definer;

comment on table app.member_roles is 'Which member has which of the organization''s own roles.';

select app_private.log_changes('app.member_roles', 'member', '{"create": "assign_role", "delete": "unassign_role"}', 'user_id');

create or replace function app_private.permissions_of_role(of_role text) returns text[]
language plpgsql stable
set search_path = ''
as $$
begin
  if exists (select from app.roles r where r.name = of_role) then
    return array(select rp.permission from app.role_permissions rp where rp.role = of_role order by 1);
  elsif exists (select from app.custom_roles r where r.organization_id = app.current_org() and r.id::text = lower(of_role) and r.deleted_at is null) then
    return (select r.permissions from app.custom_roles r where r.organization_id = app.current_org() and r.id = of_role::uuid);
  end if;
  perform app.refuse(422, 'role_unknown', 'There is no such role.');
end
$$;
comment on function app_private.permissions_of_role(text) is
  'The permissions of a role: a built-in one by name, or a custom one of the current organization by id. PT422 role_unknown.';
alter function app_private.permissions_of_role(text) owner to callboard_definer;
