--! Previous: sha1:5eb83f8b5a64fe0c50c4ea55129ec00977da1f36
--! Hash: sha1:a92ba073185ca5a219a4e89223dcdb6867fa4c80
--! Message: roles of one's own, grants and denials

alter table app.memberships alter column role drop not null;
revoke update (role) on app.memberships from callboard_api;
drop function app_private.delete_row(regclass, uuid, text, text, text);
drop function app_private.restore_row(regclass, uuid, text, text);
--! Included permissions.sql
-- Who may do what: permissions, the roles that every organization has, and which role holds which
-- permission. A member's role is in app.memberships; what an organization adds to it is in
-- custom_roles.sql and member_permissions.sql, where what a member holds is put together.

create table if not exists app.permissions (
  name text primary key constraint permissions_name_format check (name ~ '^[a-z_]+\.[a-z_]+$'),
  description text not null
);
create table if not exists app.roles (
  name text primary key,
  description text not null
);
create table if not exists app.role_permissions (
  role text not null references app.roles (name),
  permission text not null references app.permissions (name),
  primary key (role, permission)
);
comment on table app.permissions is 'Reference: everything that can be permitted, as <resource>.<verb>.';
comment on table app.roles is 'Reference: the built-in roles. An organization''s own are in app.custom_roles.';
comment on table app.role_permissions is 'Reference: the permissions that a built-in role holds.';

do $$
declare
  reference regclass;
begin
  foreach reference in array array['app.permissions', 'app.roles', 'app.role_permissions']::regclass[] loop
    execute format('alter table %s enable row level security', reference);
    execute format('alter table %s force row level security', reference);
    execute format('drop policy if exists select_all on %s', reference);
    execute format('create policy select_all on %s for select to callboard_api, callboard_definer using (true)', reference);
    execute format('drop policy if exists all_owner on %s', reference);
    execute format('create policy all_owner on %s for all to callboard_owner using (true)', reference);
    execute format('grant select on %s to callboard_api, callboard_definer', reference);
  end loop;
end
$$;

insert into app.permissions (name, description) values
  ('shows.read',          'See shows and venues'),
  ('shows.write',         'Enter and change shows and venues'),
  ('shows.delete',        'Delete and restore shows and venues'),
  ('members.read',        'See who belongs to the organization'),
  ('members.manage',      'Invite, add and remove people and change their roles'),
  ('organization.read',   'See the organization'),
  ('organization.update', 'Change the organization''s name and settings'),
  ('organization.delete', 'Delete and restore the organization, hand it over')
on conflict (name) do update set description = excluded.description;

insert into app.roles (name, description) values
  ('owner',   'Everything, including people and the organization itself'),
  ('admin',   'All daily work, including deleting'),
  ('manager', 'Enters and changes, does not delete'),
  ('viewer',  'Reads')
on conflict (name) do update set description = excluded.description;

insert into app.role_permissions (role, permission)
select r.role, p.permission
from (values
  ('owner',   array['organization.read', 'organization.update', 'organization.delete', 'members.read', 'members.manage', 'shows.read', 'shows.write', 'shows.delete']),
  ('admin',   array['organization.read', 'organization.update', 'members.read', 'shows.read', 'shows.write', 'shows.delete']),
  ('manager', array['organization.read', 'members.read', 'shows.read', 'shows.write']),
  ('viewer',  array['organization.read', 'members.read', 'shows.read'])
) as r (role, held), unnest(r.held) as p (permission)
on conflict do nothing;
--! EndIncluded permissions.sql
--! Included organizations.sql
-- Companies: the tenants. The row's own id is the organization_id of everything else.

create table if not exists app.organizations (
  id uuid primary key default app.uuid_v7(),
  name text not null constraint organizations_name_length check (
    length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  slug text not null,
  currency char(3) not null default 'USD' constraint organizations_currency_format check (currency ~ '^[A-Z]{3}$'),
  time_zone text not null default 'UTC' constraint organizations_time_zone_exists check (app.is_time_zone(time_zone)),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid
);

-- EXPLAIN estimates from what ANALYZE saw in all organizations, whoever asks: of what only one
-- of them should know, nothing is kept. The other tables do the same.
alter table app.organizations alter column name set statistics 0, alter column slug set statistics 0;

alter table app.organizations enable row level security;
alter table app.organizations force row level security;

drop policy if exists select_member on app.organizations;
create policy select_member on app.organizations for select to callboard_api
  using (id = (select app.org_if('organization.read')));

drop policy if exists update_member on app.organizations;
create policy update_member on app.organizations for update to callboard_api
  using (id = (select app.org_if('organization.update')));

-- Without a grant, because deleting is marking: app.delete_organization.
drop policy if exists delete_member on app.organizations;
create policy delete_member on app.organizations for delete to callboard_api
  using (id = (select app.org_if('organization.delete')));

-- app.enter and sign-in ask for organizations before there is a context.
drop policy if exists select_definer on app.organizations;
create policy select_definer on app.organizations for select to callboard_definer using (true);
drop policy if exists insert_definer on app.organizations;
create policy insert_definer on app.organizations for insert to callboard_definer with check (true);
drop policy if exists update_definer on app.organizations;
create policy update_definer on app.organizations for update to callboard_definer
  using (id = (select app.current_org()));

grant select on app.organizations to callboard_api, callboard_definer;
grant update (name, currency, time_zone) on app.organizations to callboard_api;
grant insert (id, name, currency, time_zone), update (deleted_at, deleted_by, deletion_id) on app.organizations to callboard_definer;

comment on table app.organizations is 'Companies that put on shows; each is a tenant.';
comment on column app.organizations.slug is 'Derived from the name by the database; app_private.slugs keeps it unique, and the earlier ones.';
comment on column app.organizations.currency is 'ISO 4217 code of the currency that the organization keeps its books in.';

-- Every slug that was ever given, so that an old link still leads to its organization
-- and never to somebody else's.
create table if not exists app_private.slugs (
  slug text primary key constraint slugs_format check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and length(slug) <= 80),
  organization_id uuid not null references app.organizations (id) on delete cascade deferrable initially deferred,
  created_at timestamptz not null default now()
);
create index if not exists slugs_organization_id_idx on app_private.slugs (organization_id);
alter table app_private.slugs enable row level security;
alter table app_private.slugs force row level security;
drop policy if exists all_definer on app_private.slugs;
create policy all_definer on app_private.slugs for all to callboard_definer using (true);
grant select, insert on app_private.slugs to callboard_definer;
comment on table app_private.slugs is 'Every slug ever given and the organization it leads to.';

create or replace function app_private.slug_base(name text) returns text
language sql immutable strict parallel safe
set search_path = ''
-- NFKD takes letters and their accents apart; the accents then fall out with all that is not a-z, 0-9.
-- It leaves whole the letters that are no accented ones, so these are spelled out, in both cases
-- because lower() knows beyond ASCII only what the database's locale knows.
return coalesce(nullif(btrim(left(regexp_replace(regexp_replace(
    replace(replace(replace(replace(translate(lower(normalize(name, NFKD)),
      'ẞØøŁłĐđÐðıÆŒÞ', 'ßoollddddiæœþ'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'),
    U&'[\0300-\036F''\2019]', '', 'g'), '[^a-z0-9]+', '-', 'g'), 60), '-'), ''), 'organization');
comment on function app_private.slug_base(text) is 'The slug that a name gives: ''Broadway Co.'' is broadway-co.';
alter function app_private.slug_base(text) owner to callboard_definer;
revoke execute on function app_private.slug_base(text) from public;

create or replace function app_private.tg_organizations__200_slug() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  base text := app_private.slug_base(new.name);
  candidate text := base;
  n integer := 1;
begin
  if base = any ('{admin,api,app,auth,billing,callboard,docs,help,livez,login,logout,me,metrics,new,openapi,problems,readyz,register,root,settings,sign-in,sign-out,status,support,system,www}') then
    perform app.refuse(409, 'slug_reserved', format('The name gives the address "%s", which is reserved.', base));
  end if;
  loop
    -- An organization gets a slug back that it once had.
    exit when exists (select from app_private.slugs s where s.slug = candidate and s.organization_id = new.id);
    insert into app_private.slugs (slug, organization_id) values (candidate, new.id) on conflict (slug) do nothing;
    exit when found;
    n := n + 1;
    candidate := base || '-' || n;
  end loop;
  new.slug := candidate;
  return new;
end
$$;
comment on function app_private.tg_organizations__200_slug() is 'Gives an organization the slug of its name, with a number where that is taken.';
alter function app_private.tg_organizations__200_slug() owner to callboard_definer;
revoke execute on function app_private.tg_organizations__200_slug() from public;

drop trigger if exists _100_timestamps on app.organizations;
create trigger _100_timestamps before update on app.organizations
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_slug_insert on app.organizations;
create trigger _200_slug_insert before insert on app.organizations
  for each row execute function app_private.tg_organizations__200_slug();
drop trigger if exists _200_slug_rename on app.organizations;
create trigger _200_slug_rename before update on app.organizations
  for each row when (new.name is distinct from old.name) execute function app_private.tg_organizations__200_slug();
--! EndIncluded organizations.sql
--! Included memberships.sql
-- Who belongs to which organization, and as what. A person leaves by being marked deleted,
-- so that an organization restored after its deletion finds its people again.

create table if not exists app.memberships (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  user_id uuid not null references app.users (id),
  -- One of the built-in roles; null for who has none, and only the organization's own (custom_roles.sql).
  role text constraint memberships_role_exists references app.roles (name),
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

-- Without grants, because all writing is the definer's: a policy cannot say that nobody gives what
-- they do not hold. They say which permission it needs.
drop policy if exists insert_member on app.memberships;
create policy insert_member on app.memberships for insert to callboard_api
  with check (organization_id = (select app.org_if('members.manage')));
drop policy if exists update_member on app.memberships;
create policy update_member on app.memberships for update to callboard_api
  using (organization_id = (select app.org_if('members.manage')));
drop policy if exists delete_member on app.memberships;
create policy delete_member on app.memberships for delete to callboard_api
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
  for each row when (old.role = 'owner' and old.deleted_at is null and (new.role is distinct from 'owner' or new.deleted_at is not null))
  execute function app_private.tg_memberships__300_last_owner();
--! EndIncluded memberships.sql
--! Included custom_roles.sql
-- Roles that an organization makes for itself, from the permissions that there are. A member has
-- one built-in role or none (app.memberships.role) and any number of these.

create table if not exists app.custom_roles (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text not null constraint custom_roles_name_length check (
    length(name) between 1 and 100 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
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
create index if not exists custom_roles_deletion_id_idx on app.custom_roles (organization_id, deletion_id) where deletion_id is not null;
alter table app.custom_roles alter column name set statistics 0, alter column description set statistics 0,
  alter column permissions set statistics 0;

alter table app.custom_roles enable row level security;
alter table app.custom_roles force row level security;

drop policy if exists select_member on app.custom_roles;
create policy select_member on app.custom_roles for select to callboard_api
  using (organization_id = (select app.org_if('members.read')));

-- Without grants, because all writing is the definer's: a policy cannot say that nobody gives what
-- they do not hold. They say which permission it needs.
drop policy if exists insert_member on app.custom_roles;
create policy insert_member on app.custom_roles for insert to callboard_api
  with check (organization_id = (select app.org_if('members.manage')));
drop policy if exists update_member on app.custom_roles;
create policy update_member on app.custom_roles for update to callboard_api
  using (organization_id = (select app.org_if('members.manage')));
drop policy if exists delete_member on app.custom_roles;
create policy delete_member on app.custom_roles for delete to callboard_api
  using (organization_id = (select app.org_if('members.manage')));

drop policy if exists select_definer on app.custom_roles;
create policy select_definer on app.custom_roles for select to callboard_definer using (true);
drop policy if exists insert_definer on app.custom_roles;
create policy insert_definer on app.custom_roles for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.custom_roles;
create policy update_definer on app.custom_roles for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.custom_roles to callboard_api, callboard_definer;
grant insert (id, name, description, permissions), update (name, description, permissions, deleted_at, deleted_by, deletion_id)
  on app.custom_roles to callboard_definer;

comment on table app.custom_roles is 'Roles that an organization has made for itself.';
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
revoke execute on function app_private.tg_custom_roles__200_permissions() from public;

drop trigger if exists _100_timestamps on app.custom_roles;
create trigger _100_timestamps before update on app.custom_roles
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_permissions on app.custom_roles;
create trigger _200_permissions before insert or update of permissions on app.custom_roles
  for each row execute function app_private.tg_custom_roles__200_permissions();

-- Who has which of them. A row here is removed and not marked: what a role or a member had when
-- they were deleted comes back with them, because nobody has touched it.
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

alter table app.member_roles enable row level security;
alter table app.member_roles force row level security;

drop policy if exists select_member on app.member_roles;
create policy select_member on app.member_roles for select to callboard_api
  using (organization_id = (select app.org_if('members.read')));
drop policy if exists insert_member on app.member_roles;
create policy insert_member on app.member_roles for insert to callboard_api
  with check (organization_id = (select app.org_if('members.manage')));
drop policy if exists delete_member on app.member_roles;
create policy delete_member on app.member_roles for delete to callboard_api
  using (organization_id = (select app.org_if('members.manage')));

drop policy if exists select_definer on app.member_roles;
create policy select_definer on app.member_roles for select to callboard_definer using (true);
drop policy if exists insert_definer on app.member_roles;
create policy insert_definer on app.member_roles for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists delete_definer on app.member_roles;
create policy delete_definer on app.member_roles for delete to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.member_roles to callboard_api, callboard_definer;
grant insert (user_id, role_id), delete on app.member_roles to callboard_definer;

comment on table app.member_roles is 'Which member has which of the organization''s own roles.';

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
  'What a role gives: a built-in one by its name, or one of the current organization''s own by its id. PT422 role_unknown.';
alter function app_private.permissions_of_role(text) owner to callboard_definer;
revoke execute on function app_private.permissions_of_role(text) from public;
--! EndIncluded custom_roles.sql
--! Included member_permissions.sql
-- What a single member is granted or denied beside their roles, for a while or for good; and what a
-- member holds in all, which nothing else in the database decides.

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
alter table app.member_permissions alter column permission set statistics 0, alter column effect set statistics 0;

alter table app.member_permissions enable row level security;
alter table app.member_permissions force row level security;

drop policy if exists select_member on app.member_permissions;
create policy select_member on app.member_permissions for select to callboard_api
  using (organization_id = (select app.org_if('members.read')));
-- Without grants, because all writing is the definer's: a policy cannot say that nobody gives what
-- they do not hold. They say which permission it needs.
drop policy if exists insert_member on app.member_permissions;
create policy insert_member on app.member_permissions for insert to callboard_api
  with check (organization_id = (select app.org_if('members.manage')));
drop policy if exists update_member on app.member_permissions;
create policy update_member on app.member_permissions for update to callboard_api
  using (organization_id = (select app.org_if('members.manage')));
drop policy if exists delete_member on app.member_permissions;
create policy delete_member on app.member_permissions for delete to callboard_api
  using (organization_id = (select app.org_if('members.manage')));

drop policy if exists select_definer on app.member_permissions;
create policy select_definer on app.member_permissions for select to callboard_definer using (true);
drop policy if exists insert_definer on app.member_permissions;
create policy insert_definer on app.member_permissions for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.member_permissions;
create policy update_definer on app.member_permissions for update to callboard_definer
  using (organization_id = (select app.current_org()));
drop policy if exists delete_definer on app.member_permissions;
create policy delete_definer on app.member_permissions for delete to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.member_permissions to callboard_api, callboard_definer;
grant insert (user_id, permission, effect, expires_at), update (effect, expires_at, granted_by), delete on app.member_permissions to callboard_definer;

comment on table app.member_permissions is 'Permissions that a member is granted or denied beside their roles.';
comment on column app.member_permissions.effect is 'grant adds to what the roles hold, deny takes from it and from grants.';

drop trigger if exists _100_timestamps on app.member_permissions;
create trigger _100_timestamps before update on app.member_permissions
  for each row execute function app_private.tg__100_timestamps();

-- In plpgsql, whose plans live as long as the session: app.enter asks this at every request.
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
  'Everything that gives a member with this built-in role a permission or takes it: source is role, grant or deny. What has expired is not in it.';
alter function app_private.permission_sources(uuid, uuid, text) owner to callboard_definer;
revoke execute on function app_private.permission_sources(uuid, uuid, text) from public;

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
revoke execute on function app_private.effective_permissions(uuid, uuid, text, boolean) from public;

create or replace function app.permissions_of(organization uuid, member uuid, lasting boolean default false) returns text[]
language sql stable
set search_path = ''
begin atomic
  select coalesce((
    select app_private.effective_permissions(m.organization_id, m.user_id, m.role, lasting)
    from app.memberships m join app.organizations o on o.id = m.organization_id
    -- Whoever went with their organization still holds what restores it.
    where m.organization_id = organization and m.user_id = member and (m.deleted_at is null or m.deletion_id = o.deletion_id)), '{}');
end;
comment on function app.permissions_of(uuid, uuid, boolean) is
  'The permissions that a member holds in an organization, sorted: those of their roles and grants, minus denials; with lasting, only what does not expire. Empty for who is no member.';
alter function app.permissions_of(uuid, uuid, boolean) owner to callboard_definer;
revoke execute on function app.permissions_of(uuid, uuid, boolean) from public;

-- Two checks of everything that changes what members hold. The lock makes such changes of one
-- organization queue up, so that each is judged by what its author holds at that moment, not by
-- what they held when their request began.
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
  'The current organization, locked against other changes of its people, for a member who may manage them. PT403 permission_denied.';
alter function app_private.administer() owner to callboard_definer;
revoke execute on function app_private.administer() from public;

create or replace function app_private.require_to_hold(wanted text[]) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  missing text[];
begin
  -- What is no permission is another refusal's business.
  select array_agg(p.name order by p.name) into missing from app.permissions p
  where p.name = any (wanted) and p.name <> all (app.permissions_of(app.current_org(), app.current_user_id(), lasting => true));
  if missing is not null then
    perform app.refuse(403, 'permission_not_held',
      format('Nobody gives or takes what they do not hold themselves, for good: %s.', array_to_string(missing, ', ')));
  end if;
end
$$;
comment on function app_private.require_to_hold(text[]) is
  'PT403 permission_not_held unless the member of this transaction holds all of these, none of them only for a while.';
alter function app_private.require_to_hold(text[]) owner to callboard_definer;
revoke execute on function app_private.require_to_hold(text[]) from public;
--! EndIncluded member_permissions.sql
--! Included sessions.sql
-- Sign-ins. A session is a pair of random secrets that only the client holds: one travels in
-- every access token, the other renews it and is spent by that. Of both only a hash is kept.

create table if not exists app.sessions (
  id uuid primary key default app.uuid_v7(),
  user_id uuid not null references app.users (id) on delete cascade,
  secret_hash bytea not null constraint sessions_secret_hash_unique unique,
  -- Where the user last worked; the next token is for there.
  organization_id uuid references app.organizations (id) on delete set null,
  ip inet,
  user_agent text constraint sessions_user_agent_length check (length(user_agent) <= 400),
  created_at timestamptz not null default now(),
  refreshed_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  revoked_because text constraint sessions_revoked_because_known check (
    revoked_because in ('signed_out', 'revoked', 'password_changed', 'password_reset', 'refresh_token_reused')),
  constraint sessions_revoked_with_reason check ((revoked_at is null) = (revoked_because is null))
);
create index if not exists sessions_user_id_idx on app.sessions (user_id, id);
create index if not exists sessions_organization_id_idx on app.sessions (organization_id);
alter table app.sessions alter column ip set statistics 0, alter column user_agent set statistics 0;

alter table app.sessions enable row level security;
alter table app.sessions force row level security;

drop policy if exists select_self on app.sessions;
create policy select_self on app.sessions for select to callboard_api
  using (user_id = (select app.current_user_id()));
drop policy if exists all_definer on app.sessions;
create policy all_definer on app.sessions for all to callboard_definer using (true);

grant select (id, user_id, organization_id, ip, user_agent, created_at, refreshed_at, expires_at, revoked_at, revoked_because)
  on app.sessions to callboard_api;
grant select, insert, update on app.sessions to callboard_definer;

comment on table app.sessions is 'Sign-ins, live and ended; each user sees their own.';
comment on column app.sessions.secret_hash is 'SHA-256 of the secret in the access token; granted to no login.';

-- Every refresh token of a session, spent or not: a spent one that comes back was stolen.
create table if not exists app_private.refresh_tokens (
  token_hash bytea primary key,
  session_id uuid not null references app.sessions (id) on delete cascade,
  created_at timestamptz not null default now(),
  used_at timestamptz
);
create index if not exists refresh_tokens_session_id_idx on app_private.refresh_tokens (session_id);
alter table app_private.refresh_tokens enable row level security;
alter table app_private.refresh_tokens force row level security;
drop policy if exists all_definer on app_private.refresh_tokens;
create policy all_definer on app_private.refresh_tokens for all to callboard_definer using (true);
grant select, insert, update, delete on app_private.refresh_tokens to callboard_definer;
comment on table app_private.refresh_tokens is 'Hashes of refresh tokens; a token is spent by its first use.';

create or replace function app_private.session_lifetime() returns interval
language sql immutable parallel safe
set search_path = ''
return interval '30 days';
comment on function app_private.session_lifetime() is 'How long a session lives after its last refresh.';
revoke execute on function app_private.session_lifetime() from public;
grant execute on function app_private.session_lifetime() to callboard_definer;

-- The door. Every transaction for a signed-in user starts here.
create or replace function app.enter(session_secret text, organization uuid default null) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  s record;
  o record;
  member_role text;
begin
  select x.id, x.user_id, x.revoked_because, x.expires_at <= now() as expired into s
  from app.sessions x where x.secret_hash = app_private.digest(session_secret);
  if not found then
    perform app.refuse(401, 'session_unknown');
  elsif s.revoked_because is not null then
    perform app.refuse(401, 'session_revoked');
  elsif s.expired then
    perform app.refuse(401, 'session_expired');
  end if;
  if organization is null then
    perform app_private.set_context(s.user_id, s.id);
    return;
  end if;

  select x.deleted_at, m.role, m.user_id, m.deleted_at is not null and m.deletion_id is distinct from x.deletion_id as has_left into o
  from app.organizations x left join app.memberships m on m.organization_id = x.id and m.user_id = s.user_id
  where x.id = organization;
  -- Somebody who did not belong to the end learns nothing about an organization, not even that it is gone.
  if o.user_id is null or o.has_left then
    perform app.refuse(403, 'membership_revoked');
  elsif o.deleted_at is not null then
    perform app.refuse(403, 'organization_deleted');
  end if;
  perform app_private.set_context(s.user_id, s.id, organization, o.role,
    app_private.effective_permissions(organization, s.user_id, o.role));
end
$$;
comment on function app.enter(text, uuid) is
  'Opens this transaction for the session with this secret, in one of its user''s organizations or, with null, in none. PT401 session_unknown, session_revoked, session_expired; PT403 membership_revoked, organization_deleted.';
alter function app.enter(text, uuid) owner to callboard_definer;
revoke execute on function app.enter(text, uuid) from public;
grant execute on function app.enter(text, uuid) to callboard_api;

create or replace function app_private.grant_of(of_user uuid, of_organization uuid) returns json
language sql stable
set search_path = ''
begin atomic
  select json_build_object('user_id', of_user, 'organization_id', m.organization_id, 'role', m.role,
    'permissions', to_json(app.permissions_of(m.organization_id, of_user)))
  from (select of_user as id) u
  left join app.memberships m on m.user_id = u.id and m.organization_id = of_organization and m.deleted_at is null;
end;
comment on function app_private.grant_of(uuid, uuid) is 'What an access token says of its user; the database never reads it back.';
alter function app_private.grant_of(uuid, uuid) owner to callboard_definer;
revoke execute on function app_private.grant_of(uuid, uuid) from public;

create or replace function app_private.usual_organization(of_user uuid, preferred uuid default null) returns uuid
language sql stable
set search_path = ''
begin atomic
  select m.organization_id from app.memberships m join app.organizations o on o.id = m.organization_id
  where m.user_id = of_user and m.deleted_at is null and o.deleted_at is null
  order by m.organization_id = preferred desc nulls last,
    (select max(s.refreshed_at) from app.sessions s where s.user_id = of_user and s.organization_id = m.organization_id) desc nulls last,
    m.created_at, m.organization_id
  limit 1;
end;
comment on function app_private.usual_organization(uuid, uuid) is 'The organization a user''s next token is for: the preferred one, else where they last worked, else their first.';
alter function app_private.usual_organization(uuid, uuid) owner to callboard_definer;
revoke execute on function app_private.usual_organization(uuid, uuid) from public;

create or replace function app_private.start_session(
  of_user uuid, session_hash bytea, refresh_hash bytea, preferred uuid, client jsonb
) returns json
language plpgsql volatile
set search_path = ''
as $$
declare
  session app.sessions;
begin
  insert into app.sessions (user_id, secret_hash, organization_id, ip, user_agent, expires_at)
  values (of_user, session_hash, app_private.usual_organization(of_user, preferred), (client ->> 'ip')::inet,
    left(client ->> 'user_agent', 400), now() + app_private.session_lifetime())
  returning * into session;
  insert into app_private.refresh_tokens (token_hash, session_id) values (refresh_hash, session.id);
  return app_private.grant_of(of_user, session.organization_id);
end
$$;
comment on function app_private.start_session(uuid, bytea, bytea, uuid, jsonb) is 'A new session for a user whose identity has been proved.';
alter function app_private.start_session(uuid, bytea, bytea, uuid, jsonb) owner to callboard_definer;
revoke execute on function app_private.start_session(uuid, bytea, bytea, uuid, jsonb) from public;

create or replace function app.refresh_session(
  session_secret text, refresh_secret text, new_refresh_hash bytea, preferred uuid default null
) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  t app_private.refresh_tokens;
  s app.sessions;
begin
  select * into s from app.sessions x where x.secret_hash = app_private.digest(session_secret) for update;
  select * into t from app_private.refresh_tokens x
  where x.session_id = s.id and x.token_hash = app_private.digest(refresh_secret);
  if t.token_hash is null then
    perform app.refuse(401, 'invalid_refresh_token', 'This refresh token is not valid: sign in again.');
  elsif s.revoked_at is not null then
    perform app.refuse(401, 'session_revoked');
  elsif s.expires_at <= now() then
    perform app.refuse(401, 'session_expired');
  elsif t.used_at < statement_timestamp() - interval '10 seconds' then
    -- Two parties hold it, and nobody can tell which is the thief: both are out. The refusal is
    -- returned, not raised, because raising would undo the revocation.
    update app.sessions x set revoked_at = statement_timestamp(), revoked_because = 'refresh_token_reused' where x.id = s.id;
    return (401, json_build_object('problem', 'refresh_token_reused',
      'detail', 'This refresh token was used before; the session has been ended: sign in again.'), null, null)::app.answer;
  end if;
  if preferred is not null and preferred is distinct from app_private.usual_organization(s.user_id, preferred) then
    perform app.refuse(403, 'membership_revoked');
  end if;
  update app_private.refresh_tokens x set used_at = coalesce(x.used_at, statement_timestamp()) where x.token_hash = t.token_hash;
  -- Those spent more than a lifetime ago could not renew anything any more.
  delete from app_private.refresh_tokens x where x.session_id = s.id and x.used_at < now() - app_private.session_lifetime();
  insert into app_private.refresh_tokens (token_hash, session_id) values (new_refresh_hash, s.id);
  update app.sessions x
  set refreshed_at = statement_timestamp(), expires_at = now() + app_private.session_lifetime(),
      organization_id = app_private.usual_organization(s.user_id, coalesce(preferred, s.organization_id))
  where x.id = s.id returning * into s;
  return (200, app_private.grant_of(s.user_id, s.organization_id), null, null)::app.answer;
end
$$;
comment on function app.refresh_session(text, text, bytea, uuid) is
  'Spends a refresh token and stores the next one. PT401 invalid_refresh_token, session_revoked, session_expired; a token spent more than 10 seconds ago ends the session (answer 401 refresh_token_reused).';
alter function app.refresh_session(text, text, bytea, uuid) owner to callboard_definer;
revoke execute on function app.refresh_session(text, text, bytea, uuid) from public;
grant execute on function app.refresh_session(text, text, bytea, uuid) to callboard_api;

create or replace function app.switch_organization(organization uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
begin
  if organization is distinct from app_private.usual_organization(me, organization) then
    perform app.refuse(404, 'not_found');
  end if;
  update app.sessions s set organization_id = organization where s.id = app.current_session_id();
  return (200, app_private.grant_of(me, organization), null, null)::app.answer;
end
$$;
comment on function app.switch_organization(uuid) is 'What the token for another of the user''s organizations says. PT404.';
alter function app.switch_organization(uuid) owner to callboard_definer;
revoke execute on function app.switch_organization(uuid) from public;
grant execute on function app.switch_organization(uuid) to callboard_api;

create or replace function app_private.end_sessions(of_user uuid, because text, except_session uuid default null) returns void
language sql volatile
set search_path = ''
begin atomic
  update app.sessions s set revoked_at = statement_timestamp(), revoked_because = because
  where s.user_id = of_user and s.revoked_at is null and s.id is distinct from except_session;
end;
comment on function app_private.end_sessions(uuid, text, uuid) is 'Revokes all of a user''s sessions, or all but one.';
alter function app_private.end_sessions(uuid, text, uuid) owner to callboard_definer;
revoke execute on function app_private.end_sessions(uuid, text, uuid) from public;

create or replace function app.end_session(session uuid, because text default 'revoked') returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  update app.sessions s set revoked_at = statement_timestamp(), revoked_because = because
  where s.id = session and s.user_id = app.current_user_id() and s.revoked_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.end_session(uuid, text) is 'Revokes one of the signed-in user''s own sessions. PT404.';
alter function app.end_session(uuid, text) owner to callboard_definer;
revoke execute on function app.end_session(uuid, text) from public;
grant execute on function app.end_session(uuid, text) to callboard_api;

create or replace view app.session_list with (security_invoker = true) as
  select s.user_id, s.id, json_build_object('id', s.id, 'is_current', s.id = app.current_session_id(), 'ip', host(s.ip),
      'user_agent', s.user_agent, 'created_at', s.created_at, 'refreshed_at', s.refreshed_at, 'expires_at', s.expires_at) as body
  from app.sessions s
  where s.revoked_at is null and s.expires_at > now();
comment on view app.session_list is 'The live sessions of the signed-in user.';
grant select on app.session_list to callboard_api;
--! EndIncluded sessions.sql
--! Included deletions.sql
-- Deleting is marking. A deletion has an id; it marks a row and, through the foreign keys that
-- say ON DELETE CASCADE, everything that belongs to it. Restoring clears exactly the marks with
-- that id. A foreign key that does not cascade protects its parent, as it would in PostgreSQL.
--
-- Both work on every table that has `deletion_id`, found in the catalogue: a new table takes
-- part by having the columns, its definer policies, and grants for the three columns.

create or replace view app_private.deletion_edges as
  select c.confrelid::regclass as parent, c.conrelid::regclass as child, c.conname as name, c.confdeltype = 'c' as cascades,
    (select string_agg(format('c.%I = p.%I', a.attname, b.attname), ' and ')
     from unnest(c.conkey, c.confkey) as k (child_column, parent_column)
     join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.child_column
     join pg_catalog.pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.parent_column) as condition
  from pg_catalog.pg_constraint c
  where c.contype = 'f'
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.conrelid and a.attname = 'deletion_id' and not a.attisdropped)
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.confrelid and a.attname = 'deletion_id' and not a.attisdropped);
comment on view app_private.deletion_edges is 'Foreign keys between tables with soft delete: what a deletion follows, and what forbids it.';
grant select on app_private.deletion_edges to callboard_definer;

create or replace function app_private.spread_deletion(from_table regclass, deletion uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  edge record;
  marked bigint;
begin
  for edge in select * from app_private.deletion_edges e where e.parent = from_table order by e.child::text, e.name loop
    if edge.cascades then
      execute format(
        'update %s c set deleted_at = p.deleted_at, deleted_by = p.deleted_by, deletion_id = p.deletion_id
         from %s p where %s and p.deletion_id = $1 and c.deleted_at is null', edge.child, from_table, edge.condition)
      using deletion;
      get diagnostics marked = row_count;
      -- Only a table that got new marks is followed, so a cycle comes to an end.
      if marked > 0 then
        perform app_private.spread_deletion(edge.child, deletion);
      end if;
    end if;
  end loop;
end
$$;
comment on function app_private.spread_deletion(regclass, uuid) is 'Marks what belongs to the rows of a table that a deletion has marked.';
alter function app_private.spread_deletion(regclass, uuid) owner to callboard_definer;
revoke execute on function app_private.spread_deletion(regclass, uuid) from public;

create or replace function app_private.soft_delete(target regclass, condition text, id uuid) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  deletion uuid := app.uuid_v7();
  edge record;
  in_use boolean;
begin
  execute format('update %s set deleted_at = statement_timestamp(), deleted_by = app.current_user_id(), deletion_id = $2
                  where %s and deleted_at is null', target, condition) using id, deletion;
  for edge in select * from app_private.deletion_edges e where e.parent = target and not e.cascades loop
    execute format('select exists (select from %s c, %s p where %s and p.deletion_id = $1 and c.deleted_at is null)',
      edge.child, target, edge.condition) into in_use using deletion;
    if in_use then
      perform app.refuse(409, edge.name, 'Something else still refers to it.');
    end if;
  end loop;
  perform app_private.spread_deletion(target, deletion);
  return deletion;
end
$$;
comment on function app_private.soft_delete(regclass, text, uuid) is
  'Marks the row of a table for which the condition on $1 (the id) holds, and what belongs to it. Returns the deletion''s id. PT409 with the name of a foreign key that protects the row.';
alter function app_private.soft_delete(regclass, text, uuid) owner to callboard_definer;
revoke execute on function app_private.soft_delete(regclass, text, uuid) from public;

create or replace function app_private.restore_deletion(deletion uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  marked regclass;
begin
  for marked in
    select a.attrelid::regclass from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
    where a.attname = 'deletion_id' and not a.attisdropped and c.relkind in ('r', 'p') and not c.relispartition
    order by c.relname
  loop
    execute format('update %s set deleted_at = null, deleted_by = null, deletion_id = null where deletion_id = $1 and %s',
      marked, case when marked = 'app.organizations'::regclass then 'id' else 'organization_id' end || ' = app.current_org()')
    using deletion;
  end loop;
end
$$;
comment on function app_private.restore_deletion(uuid) is 'Clears every mark of a deletion in the current organization.';
alter function app_private.restore_deletion(uuid) owner to callboard_definer;
revoke execute on function app_private.restore_deletion(uuid) from public;

create or replace function app_private.policy_permission(target regclass, command text) returns text
language sql stable
set search_path = ''
begin atomic
  select substring(pg_get_expr(coalesce(p.polqual, p.polwithcheck), p.polrelid) from 'org_if\(''([a-z_.]+)''')
  from pg_catalog.pg_policy p where p.polrelid = target and p.polname = command || '_member';
end;
comment on function app_private.policy_permission(regclass, text) is
  'The permission that a member needs for select, insert, update or delete on a table, as its policy says; NULL where no member may. A policy says so too where there is no grant, because the command goes through functions.';
alter function app_private.policy_permission(regclass, text) owner to callboard_definer;
revoke execute on function app_private.policy_permission(regclass, text) from public;

create or replace function app_private.delete_row(target regclass, id uuid, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  execute format('select version from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is null for no key update', target)
  into present using id, app_private.policy_permission(target, 'select');
  perform app.check_version(present, if_match);
  perform app.require(app_private.policy_permission(target, 'delete'));
  perform app_private.soft_delete(target, 'organization_id = app.current_org() and id = $1', id);
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app_private.delete_row(regclass, uuid, text) is
  'The command behind every DELETE of one row of the current organization. PT404, PT403, PT412, PT409.';
alter function app_private.delete_row(regclass, uuid, text) owner to callboard_definer;
revoke execute on function app_private.delete_row(regclass, uuid, text) from public;

create or replace function app_private.restore_row(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  deletion uuid;
  edge record;
  missing boolean;
begin
  execute format('select deletion_id from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is not null for no key update', target)
  into deletion using id, app_private.policy_permission(target, 'select');
  if deletion is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require(app_private.policy_permission(target, 'delete'));
  perform app_private.restore_deletion(deletion);
  -- A row whose parent went in another deletion would come back to nowhere; locking the parent
  -- makes its deletion at the same moment wait and then see the row.
  for edge in select * from app_private.deletion_edges e where e.child = target loop
    execute format('select p.deleted_at is not null from %s c, %s p where %s and c.organization_id = app.current_org() and c.id = $1 for share of p',
      target, edge.parent, edge.condition) into missing using id;
    if missing then
      perform app.refuse(409, 'parent_deleted', 'What it belongs to is deleted: restore that first.');
    end if;
  end loop;
end
$$;
comment on function app_private.restore_row(regclass, uuid) is
  'The command behind every restore: brings back all that was deleted together with this row. PT404, PT403, PT409 parent_deleted.';
alter function app_private.restore_row(regclass, uuid) owner to callboard_definer;
revoke execute on function app_private.restore_row(regclass, uuid) from public;
--! EndIncluded deletions.sql
--! Included organization_commands.sql
-- What can be done with an organization; the table is in organizations.sql.

create or replace view app.organization_list with (security_invoker = true) as
  select o.id, o.slug, o.version,
    json_build_object('id', o.id, 'name', o.name, 'slug', o.slug, 'currency', o.currency, 'time_zone', o.time_zone,
      'created_at', o.created_at, 'updated_at', o.updated_at) as body
  from app.organizations o
  where o.deleted_at is null;
comment on view app.organization_list is 'The organization of this transaction.';
grant select on app.organization_list to callboard_api, callboard_definer;

create or replace function app_private.found_organization(founder uuid, body jsonb) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  organization uuid := app.uuid_v7();
begin
  insert into app.organizations (id, name, currency, time_zone)
  values (organization, body ->> 'name', coalesce(body ->> 'currency', 'USD'), coalesce(body ->> 'time_zone', 'UTC'));
  -- The first member cannot be let in by anybody: for this one row the context is the founder's own.
  perform app_private.set_context(founder, coalesce(app.current_session_id(), app.uuid_v7()), organization);
  perform app_private.join_organization(founder, organization, 'owner');
  return organization;
end
$$;
comment on function app_private.found_organization(uuid, jsonb) is 'Creates an organization with its owner and leaves the transaction in its context, without permissions.';
alter function app_private.found_organization(uuid, jsonb) owner to callboard_definer;
revoke execute on function app_private.found_organization(uuid, jsonb) from public;

create or replace function app.create_organization(body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid;
begin
  if app.current_user_id() is null then
    perform app.refuse(401, 'session_unknown');
  end if;
  organization := app_private.found_organization(app.current_user_id(), body);
  return (201, o.body, app.etag(o.version), '/api/organizations/' || o.id)::app.answer
    from app.organization_list o where o.id = organization;
end
$$;
comment on function app.create_organization(jsonb) is 'A new organization whose owner is the signed-in user: name, currency, time_zone. PT409 slug_reserved.';
alter function app.create_organization(jsonb) owner to callboard_definer;
revoke execute on function app.create_organization(jsonb) from public;
grant execute on function app.create_organization(jsonb) to callboard_api;

create or replace function app.list_my_organizations(only_deleted boolean default false) returns app.answer
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select 200, json_build_object('items', coalesce(json_agg(json_build_object(
      'id', o.id, 'name', o.name, 'slug', o.slug, 'role', m.role, 'deleted_at', o.deleted_at) order by o.name, o.id), '[]'),
    'next_cursor', null), null::text, null::text
  from app.memberships m join app.organizations o on o.id = m.organization_id
  where m.user_id = app.current_user_id()
    and case when only_deleted
      -- The bin is for those who may restore.
      then o.deleted_at is not null and m.deletion_id = o.deletion_id
        and 'organization.delete' = any (app.permissions_of(o.id, m.user_id))
      else o.deleted_at is null and m.deleted_at is null end;
end;
comment on function app.list_my_organizations(boolean) is 'The organizations that the signed-in user belongs to, or the deleted ones they may restore.';
alter function app.list_my_organizations(boolean) owner to callboard_definer;
revoke execute on function app.list_my_organizations(boolean) from public;
grant execute on function app.list_my_organizations(boolean) to callboard_api;

create or replace function app_private.slug_organization(of_slug text) returns uuid
language sql stable security definer
set search_path = ''
begin atomic
  select s.organization_id from app_private.slugs s where s.slug = of_slug;
end;
alter function app_private.slug_organization(text) owner to callboard_definer;
comment on function app_private.slug_organization(text) is 'The organization that a slug, also a former one, leads to.';
revoke execute on function app_private.slug_organization(text) from public;

create or replace function app.read_organization(id_or_slug text) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('organization.read');
  answer app.answer;
begin
  select 200, o.body, app.etag(o.version), '/api/organizations/' || o.id into answer
  from app.organization_list o
  where o.id = organization and (id_or_slug = o.id::text or app_private.slug_organization(id_or_slug) = o.id);
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_organization(text) is 'The organization of the token, by its id or any slug it ever had. PT404 for every other.';
alter function app.read_organization(text) owner to callboard_definer;
revoke execute on function app.read_organization(text) from public;
grant execute on function app.read_organization(text) to callboard_api;

create or replace function app.replace_organization(organization uuid, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  select o.version into present from app.organization_list o where o.id = organization;
  perform app.check_version(present, if_match);
  perform app.require('organization.update');
  select o.version into present from app.organizations o where o.id = organization for no key update;
  perform app.check_version(present, if_match);
  update app.organizations o
  set name = body ->> 'name', currency = coalesce(body ->> 'currency', 'USD'), time_zone = coalesce(body ->> 'time_zone', 'UTC')
  where o.id = organization;
  return app.read_organization(organization::text);
end
$$;
comment on function app.replace_organization(uuid, jsonb, text) is 'Replaces name, currency and time_zone; the slug follows the name. PT403, PT404, PT409 slug_reserved, PT412.';
revoke execute on function app.replace_organization(uuid, jsonb, text) from public;
grant execute on function app.replace_organization(uuid, jsonb, text) to callboard_api;

create or replace function app.delete_organization(organization uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present integer;
begin
  select o.version into present from app.organizations o
  where o.id = organization and o.id = app.org_if('organization.read') for no key update;
  perform app.check_version(present, if_match);
  perform app.require('organization.delete');
  perform app_private.soft_delete('app.organizations', 'id = $1', organization);
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.delete_organization(uuid, text) is 'Deletes the organization of the token and all it has, until it is restored. PT403, PT404, PT412.';
alter function app.delete_organization(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_organization(uuid, text) from public;
grant execute on function app.delete_organization(uuid, text) to callboard_api;

create or replace function app.restore_organization(organization uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
  bin record;
  held text[];
begin
  -- A deleted organization cannot be entered, so its rule is checked here: whoever belonged to
  -- it when it was deleted, and could have deleted it, may restore it.
  select o.deletion_id, m.role into bin
  from app.organizations o join app.memberships m on m.organization_id = o.id
  where o.id = organization and m.user_id = me and m.deletion_id = o.deletion_id;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  held := app.permissions_of(organization, me);
  if not 'organization.delete' = any (held) then
    perform app.refuse(403, 'permission_denied', 'This needs the permission organization.delete.');
  end if;
  perform app_private.set_context(me, app.current_session_id(), organization, bin.role, held);
  -- Now that it may be locked, look again: somebody else may have restored it.
  perform from app.organizations o where o.id = organization and o.deletion_id = bin.deletion_id for no key update;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  perform app_private.restore_deletion(bin.deletion_id);
  return app.read_organization(organization::text);
end
$$;
comment on function app.restore_organization(uuid) is 'Brings back a deleted organization with exactly what was deleted with it. PT403, PT404.';
alter function app.restore_organization(uuid) owner to callboard_definer;
revoke execute on function app.restore_organization(uuid) from public;
grant execute on function app.restore_organization(uuid) to callboard_api;
--! EndIncluded organization_commands.sql
--! Included invitations.sql
-- Invitations by mail. The link's secret is made and mailed by the database; whoever presents
-- it has read that mailbox. It works once, until it expires, is revoked or is sent anew.

create table if not exists app.invitations (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  email text not null constraint invitations_email_format check (
    email = lower(email) and length(email) <= 254 and email ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+\.[^@[:space:][:cntrl:].]+$'),
  role text not null constraint invitations_role_exists references app.roles (name),
  token_hash bytea not null,
  invited_by uuid not null references app.users (id),
  expires_at timestamptz not null,
  accepted_at timestamptz,
  accepted_by uuid references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id)
);
-- The secret is 244 random bits, so a key without the organization tells nobody anything.
create unique index if not exists invitations_token_hash_idx on app.invitations (token_hash);
create unique index if not exists invitation_pending on app.invitations (organization_id, email)
  where accepted_at is null and deleted_at is null;
alter table app.invitations alter column email set statistics 0;

alter table app.invitations enable row level security;
alter table app.invitations force row level security;

drop policy if exists select_member on app.invitations;
create policy select_member on app.invitations for select to callboard_api
  using (organization_id = (select app.org_if('members.manage')));

-- Without grants: the definer writes, and they say which permission it needs.
drop policy if exists insert_member on app.invitations;
create policy insert_member on app.invitations for insert to callboard_api
  with check (organization_id = (select app.org_if('members.manage')));
drop policy if exists update_member on app.invitations;
create policy update_member on app.invitations for update to callboard_api
  using (organization_id = (select app.org_if('members.manage')));
drop policy if exists delete_member on app.invitations;
create policy delete_member on app.invitations for delete to callboard_api
  using (organization_id = (select app.org_if('members.manage')));

-- Accepting happens before one belongs, so the definer looks in all organizations, and writes in one.
drop policy if exists select_definer on app.invitations;
create policy select_definer on app.invitations for select to callboard_definer using (true);
drop policy if exists insert_definer on app.invitations;
create policy insert_definer on app.invitations for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.invitations;
create policy update_definer on app.invitations for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select (organization_id, id, email, role, invited_by, expires_at, accepted_at, accepted_by, created_at, updated_at, version, deleted_at, deleted_by, deletion_id)
  on app.invitations to callboard_api;
grant select, insert, update on app.invitations to callboard_definer;

comment on table app.invitations is 'Invitations to join an organization; deleted_at marks revoked ones.';

drop trigger if exists _100_timestamps on app.invitations;
create trigger _100_timestamps before update on app.invitations
  for each row execute function app_private.tg__100_timestamps();

create or replace view app.invitation_list with (security_invoker = true) as
  select i.organization_id, i.id, i.email, i.version, i.created_at,
    json_build_object('id', i.id, 'email', i.email, 'role', i.role, 'invited_by', i.invited_by,
      'status', case when i.accepted_at is not null then 'accepted' when i.expires_at <= now() then 'expired' else 'pending' end,
      'expires_at', i.expires_at, 'accepted_at', i.accepted_at, 'created_at', i.created_at, 'updated_at', i.updated_at) as body
  from app.invitations i
  where i.deleted_at is null;
comment on view app.invitation_list is 'The organization''s invitations that were not revoked.';
grant select on app.invitation_list to callboard_api, callboard_definer;

create or replace function app_private.send_invitation(invitation uuid) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  token text := app_private.random_token();
  i app.invitations;
begin
  update app.invitations x set token_hash = app_private.digest(token), expires_at = now() + interval '7 days'
  where x.organization_id = app.current_org() and x.id = invitation and x.accepted_at is null and x.deleted_at is null
  returning * into i;
  if i.id is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app_private.queue_mail('invitation', i.email,
    jsonb_build_object('token', token, 'organization', o.name, 'role', i.role, 'invited_by', u.display_name))
  from app.organizations o, app.users u where o.id = i.organization_id and u.id = i.invited_by;
  return (200, l.body, app.etag(l.version), '/api/invitations/' || l.id)::app.answer
    from app.invitation_list l where l.organization_id = i.organization_id and l.id = i.id;
end
$$;
comment on function app_private.send_invitation(uuid) is 'Gives an invitation a new secret and seven days, and mails it. PT404 unless it is open.';
alter function app_private.send_invitation(uuid) owner to callboard_definer;
revoke execute on function app_private.send_invitation(uuid) from public;

create or replace function app_private.withdraw_invitations(of_organization uuid, address text, expiring_until timestamptz) returns void
language sql volatile
set search_path = ''
begin atomic
  update app.invitations i
  set deleted_at = statement_timestamp(), deleted_by = app.current_user_id(), deletion_id = app.uuid_v7()
  where i.organization_id = of_organization and i.email = lower(address) and i.expires_at <= expiring_until
    and i.accepted_at is null and i.deleted_at is null;
end;
comment on function app_private.withdraw_invitations(uuid, text, timestamptz) is 'Revokes the open invitations of an address that expire until then.';
alter function app_private.withdraw_invitations(uuid, text, timestamptz) owner to callboard_definer;
revoke execute on function app_private.withdraw_invitations(uuid, text, timestamptz) from public;

create or replace function app.read_invitation(invitation uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('members.manage');
  select 200, l.body, app.etag(l.version), '/api/invitations/' || l.id into answer
  from app.invitation_list l where l.organization_id = app.current_org() and l.id = invitation;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_invitation(uuid) is 'An invitation that was not revoked. PT403, PT404.';
revoke execute on function app.read_invitation(uuid) from public;
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
  perform app_private.withdraw_invitations(organization, address, now());
  insert into app.invitations (organization_id, id, email, role, token_hash, invited_by, expires_at)
  values (organization, invitation, lower(address), new_role, app_private.digest(app_private.random_token()), app.current_user_id(), now());
  answer := app_private.send_invitation(invitation);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_invitation(text, text) is 'Invites an address. PT403 permission_denied, permission_not_held, PT409 already_member, invitation_pending.';
alter function app.create_invitation(text, text) owner to callboard_definer;
revoke execute on function app.create_invitation(text, text) from public;
grant execute on function app.create_invitation(text, text) to callboard_api;

create or replace function app.resend_invitation(invitation uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('members.manage');
  return app_private.send_invitation(invitation);
end
$$;
comment on function app.resend_invitation(uuid) is 'Mails a new link; the old one stops working. PT403, PT404.';
alter function app.resend_invitation(uuid) owner to callboard_definer;
revoke execute on function app.resend_invitation(uuid) from public;
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
comment on function app.revoke_invitation(uuid, text) is 'Makes an open invitation worthless. PT403, PT404, PT412.';
alter function app.revoke_invitation(uuid, text) owner to callboard_definer;
revoke execute on function app.revoke_invitation(uuid, text) from public;
grant execute on function app.revoke_invitation(uuid, text) to callboard_api;

create or replace function app_private.accept_invitation(who uuid, token text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  i app.invitations;
begin
  select * into i from app.invitations x
  where x.token_hash = app_private.digest(token) and x.accepted_at is null and x.deleted_at is null and x.expires_at > now();
  if i.id is null then
    perform app.refuse(400, 'invalid_token');
  elsif i.email is distinct from (select u.email from app.users u where u.id = who) then
    perform app.refuse(403, 'invitation_for_another_address', 'This invitation was sent to another address than that of your account.');
  end if;
  -- In the context of the organization that invited; it holds no permission.
  perform app_private.set_context(who, coalesce(app.current_session_id(), app.uuid_v7()), i.organization_id);
  -- It may have been used, revoked or sent anew since it was read.
  update app.invitations x set accepted_at = now(), accepted_by = who
  where x.organization_id = i.organization_id and x.id = i.id and x.token_hash = i.token_hash
    and x.accepted_at is null and x.deleted_at is null;
  if not found then
    perform app.refuse(400, 'invalid_token');
  end if;
  perform app_private.join_organization(who, i.organization_id, i.role);
  update app.users u set email_verified_at = now() where u.id = who and u.email_verified_at is null;
  return i.organization_id;
end
$$;
comment on function app_private.accept_invitation(uuid, text) is 'Makes a user the member that an invitation says. PT400 invalid_token, PT403 invitation_for_another_address, PT409 already_member.';
alter function app_private.accept_invitation(uuid, text) owner to callboard_definer;
revoke execute on function app_private.accept_invitation(uuid, text) from public;

create or replace function app.accept_invitation(token text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
  organization uuid := app_private.accept_invitation(me, token);
begin
  return (200, json_build_object('id', o.id, 'name', o.name, 'slug', o.slug, 'role', m.role, 'deleted_at', o.deleted_at),
    null, '/api/organizations/' || o.id)::app.answer
    from app.organizations o join app.memberships m on m.organization_id = o.id
    where o.id = organization and m.user_id = me;
end
$$;
comment on function app.accept_invitation(text) is 'Accepts an invitation as the signed-in user and returns the organization. PT400, PT403, PT409.';
alter function app.accept_invitation(text) owner to callboard_definer;
revoke execute on function app.accept_invitation(text) from public;
grant execute on function app.accept_invitation(text) to callboard_api;
--! EndIncluded invitations.sql
--! Included member_commands.sql
-- What can be done with members; the table is in memberships.sql. Whoever changes what somebody
-- holds must hold it themselves, before and after: see app_private.require_to_hold.

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
comment on view app.member_list is 'The present members of the organization, with their name, address and roles.';
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

create or replace function app_private.lock_member(member uuid, if_match text) returns app.memberships
language plpgsql volatile
set search_path = ''
as $$
declare
  m app.memberships;
begin
  -- Who may not see a member is told that there is none, before anything about rights.
  select * into m from app.memberships x
  where x.organization_id = app.org_if('members.read') and x.user_id = member and x.deleted_at is null;
  perform app.check_version(m.version, if_match);
  perform app_private.administer();
  -- Now that nobody else can change it, look again.
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
  'A member whom the one of this transaction may change, as locked. PT403 permission_denied, permission_not_held, PT404, PT412.';
alter function app_private.lock_member(uuid, text) owner to callboard_definer;
revoke execute on function app_private.lock_member(uuid, text) from public;

create or replace function app_private.set_role(member uuid, new_role text) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  update app.memberships m set role = new_role where m.organization_id = app.current_org() and m.user_id = member;
  if new_role = 'owner' then
    -- An owner to whom something is denied could not be helped by anybody.
    delete from app.member_permissions p where p.organization_id = app.current_org() and p.user_id = member and p.effect = 'deny';
  end if;
end
$$;
comment on function app_private.set_role(uuid, text) is 'Gives a member a built-in role, or with null none. PT409 last_owner.';
alter function app_private.set_role(uuid, text) owner to callboard_definer;
revoke execute on function app_private.set_role(uuid, text) from public;

create or replace function app.change_member_role(member uuid, new_role text, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.lock_member(member, if_match);
  perform app_private.require_to_hold(app_private.permissions_of_role(new_role));
  perform app_private.set_role(member, new_role);
  return app.read_member(member);
end
$$;
comment on function app.change_member_role(uuid, text, text) is
  'Gives a member another built-in role. PT403 permission_denied, permission_not_held, PT404, PT409 last_owner, PT412.';
alter function app.change_member_role(uuid, text, text) owner to callboard_definer;
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
  -- Leaving needs no permission; making somebody leave does.
  if member is distinct from me then
    perform app_private.lock_member(member, if_match);
  else
    perform from app.organizations o where o.id = organization for no key update;
    select m.version into present from app.memberships m
    where m.organization_id = organization and m.user_id = me and m.deleted_at is null for no key update;
    perform app.check_version(present, if_match);
  end if;
  update app.memberships m set deleted_at = statement_timestamp(), deleted_by = me, deletion_id = app.uuid_v7()
  where m.organization_id = organization and m.user_id = member;
  -- Should they come back, they begin with what they are given then.
  delete from app.member_roles x where x.organization_id = organization and x.user_id = member;
  delete from app.member_permissions x where x.organization_id = organization and x.user_id = member;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.remove_member(uuid, text) is
  'Removes a member, or lets oneself leave. PT403 permission_denied, permission_not_held, PT404, PT409 last_owner, PT412.';
alter function app.remove_member(uuid, text) owner to callboard_definer;
revoke execute on function app.remove_member(uuid, text) from public;
grant execute on function app.remove_member(uuid, text) to callboard_api;

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
  'Makes somebody a member at once; an address without an account gets one, and a mailed link to choose a password. PT403 permission_denied, permission_not_held, PT409 already_member, address_unverified.';
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
  perform from app.organizations o where o.id = organization for no key update;
  -- Ownership is handed over by who has it, not by whoever holds one of its permissions.
  if not exists (select from app.memberships m where m.organization_id = organization and m.user_id = me and m.role = 'owner' and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Only an owner hands the organization over.');
  elsif new_owner = me then
    perform app.refuse(409, 'already_owner', 'You are the owner already.');
  elsif not exists (select from app.memberships m where m.organization_id = organization and m.user_id = new_owner and m.deleted_at is null) then
    perform app.refuse(404, 'not_found');
  end if;
  perform app_private.set_role(new_owner, 'owner');
  perform app_private.set_role(me, 'admin');
  return app.read_member(new_owner);
end
$$;
comment on function app.transfer_ownership(uuid, uuid) is 'Makes another member owner and oneself admin. PT403, PT404, PT409 already_owner.';
alter function app.transfer_ownership(uuid, uuid) owner to callboard_definer;
revoke execute on function app.transfer_ownership(uuid, uuid) from public;
grant execute on function app.transfer_ownership(uuid, uuid) to callboard_api;
--! EndIncluded member_commands.sql
--! Included role_commands.sql
-- What can be done with the roles of an organization; the table is in custom_roles.sql.

create or replace view app.role_list with (security_invoker = true) as
  select null::uuid as organization_id, r.name as id, r.name, 0 as version,
    json_build_object('id', r.name, 'name', r.name, 'description', r.description, 'is_built_in', true,
      'permissions', (select coalesce(json_agg(rp.permission order by rp.permission), '[]') from app.role_permissions rp where rp.role = r.name),
      'created_at', null, 'updated_at', null) as body
  from app.roles r
  union all
  select r.organization_id, r.id::text, r.name, r.version,
    json_build_object('id', r.id, 'name', r.name, 'description', r.description, 'is_built_in', false,
      'permissions', to_json(r.permissions), 'created_at', r.created_at, 'updated_at', r.updated_at)
  from app.custom_roles r
  where r.deleted_at is null;
comment on view app.role_list is 'The built-in roles, and the organization''s own that are not deleted, with their JSON.';
grant select on app.role_list to callboard_api, callboard_definer;

create or replace function app.list_roles() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', coalesce(json_agg(r.body order by r.organization_id nulls first, r.name, r.id), '[]'), 'next_cursor', null),
    null::text, null::text
  from app.role_list r
  -- Evaluated for its refusal.
  where (select app.require('members.read')) is not null and (r.organization_id is null or r.organization_id = app.current_org());
end;
comment on function app.list_roles() is 'All roles that a member can have. PT403.';
revoke execute on function app.list_roles() from public;
grant execute on function app.list_roles() to callboard_api;

create or replace function app.list_permissions() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', json_agg(json_build_object('name', p.name, 'description', p.description) order by p.name), 'next_cursor', null),
    null::text, null::text
  from app.permissions p
  where (select app.require('members.read')) is not null;
end;
comment on function app.list_permissions() is 'All that can be permitted. PT403.';
revoke execute on function app.list_permissions() from public;
grant execute on function app.list_permissions() to callboard_api;

create or replace function app.read_role(the_role text) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, r.body, app.etag(r.version), '/api/roles/' || r.id into answer from app.role_list r
  where app.has_permission('members.read') and r.id = lower(the_role) and (r.organization_id is null or r.organization_id = app.current_org());
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_role(text) is 'A built-in role by its name, or one of the organization''s own by its id. PT404.';
revoke execute on function app.read_role(text) from public;
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
  where app.has_permission('members.read') and x.id = lower(the_role) and (x.organization_id is null or x.organization_id = app.current_org());
  perform app.check_version(present, if_match);
  perform app_private.administer();
  if exists (select from app.roles b where b.name = the_role) then
    perform app.refuse(409, 'role_built_in', 'The built-in roles are the same in every organization: make one of your own.');
  end if;
  select * into r from app.custom_roles x
  where x.organization_id = app.current_org() and x.id = the_role::uuid and x.deleted_at is null for no key update;
  perform app.check_version(r.version, if_match);
  perform app_private.require_to_hold(r.permissions);
  return r;
end
$$;
comment on function app_private.lock_role(text, text) is
  'One of the organization''s own roles that the member of this transaction may change, as locked. PT403 permission_denied, permission_not_held, PT404, PT409 role_built_in, PT412.';
alter function app_private.lock_role(text, text) owner to callboard_definer;
revoke execute on function app_private.lock_role(text, text) from public;

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
  -- Behind the insert, where an unknown permission has been found out.
  perform app_private.require_to_hold(wanted.permissions);
  answer := app.read_role(wanted.id::text);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_role(jsonb) is
  'A new role of the organization''s own: name, description, permissions. PT403 permission_denied, permission_not_held, PT409 custom_role_name_taken, PT422 permission_unknown.';
alter function app.create_role(jsonb) owner to callboard_definer;
revoke execute on function app.create_role(jsonb) from public;
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
  -- Asked before it is changed: it may be a role of one's own.
  perform app_private.require_to_hold(r.permissions);
  update app.custom_roles x set name = r.name, description = r.description, permissions = r.permissions
  where x.organization_id = app.current_org() and x.id = r.id;
  return app.read_role(the_role);
end
$$;
comment on function app.update_role(text, jsonb, text) is
  'Changes one of the organization''s own roles; its members have it so from their next request on. PT403 permission_denied, permission_not_held, PT404, PT409 role_built_in, custom_role_name_taken, PT412, PT422 permission_unknown.';
alter function app.update_role(text, jsonb, text) owner to callboard_definer;
revoke execute on function app.update_role(text, jsonb, text) from public;
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
  'Deletes one of the organization''s own roles until it is restored; nobody holds what it gave. PT403 permission_denied, permission_not_held, PT404, PT409 role_built_in, PT412.';
alter function app.delete_role(text, text) owner to callboard_definer;
revoke execute on function app.delete_role(text, text) from public;
grant execute on function app.delete_role(text, text) to callboard_api;

create or replace function app.restore_role(the_role uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.administer();
  -- Asked before it is restored: it may be a role of one's own.
  perform app_private.require_to_hold(r.permissions) from app.custom_roles r
  where r.organization_id = app.current_org() and r.id = the_role and r.deleted_at is not null;
  perform app_private.restore_row('app.custom_roles', the_role);
  return app.read_role(the_role::text);
end
$$;
comment on function app.restore_role(uuid) is
  'Brings back a deleted role for those who had it. PT403 permission_denied, permission_not_held, PT404, PT409 custom_role_name_taken.';
alter function app.restore_role(uuid) owner to callboard_definer;
revoke execute on function app.restore_role(uuid) from public;
grant execute on function app.restore_role(uuid) to callboard_api;
--! EndIncluded role_commands.sql
--! Included member_permission_commands.sql
-- What single members are given beside their built-in role: the organization's own roles, grants
-- and denials. The tables are in custom_roles.sql and member_permissions.sql.

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
      -- Their version counts what they are, too.
      update app.memberships m set role = m.role where m.organization_id = app.current_org() and m.user_id = member;
    end if;
  end if;
  return app.read_member(member);
end
$$;
comment on function app.assign_role(uuid, text) is
  'Gives a member a role: a built-in one by its name, in place of the one they have, or one of the organization''s own by its id, beside the others. PT403 permission_denied, permission_not_held, PT404, PT409 last_owner, PT422 role_unknown.';
alter function app.assign_role(uuid, text) owner to callboard_definer;
revoke execute on function app.assign_role(uuid, text) from public;
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
  'Takes a role from a member, a built-in one by its name or one of the organization''s own by its id. PT403 permission_denied, permission_not_held, PT404, PT409 last_owner, PT412.';
alter function app.unassign_role(uuid, text, text) owner to callboard_definer;
revoke execute on function app.unassign_role(uuid, text, text) from public;
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
            'expires_at', s.expires_at, 'granted_by', s.granted_by) order by s.source, s.role_name), '[]')
          from sources s where s.permission = p.name)
        ) order by p.name), 'next_cursor', null), app.etag(m.version), null)::app.answer
    from app.permissions p);
end
$$;
comment on function app.member_permissions_of(uuid) is
  'Every permission with whether a member holds it, and all that gives it or takes it. PT404.';
alter function app.member_permissions_of(uuid) owner to callboard_definer;
revoke execute on function app.member_permissions_of(uuid) from public;
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
    perform app.refuse(409, 'owner_keeps_permissions', 'Nothing is denied to an owner: give them another role first.');
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
  'Grants or denies a member a permission beside their roles: effect (grant or deny), expires_at. PT403 permission_denied, permission_not_held, PT404, PT409 owner_keeps_permissions, PT412.';
alter function app.set_member_permission(uuid, text, jsonb, text) owner to callboard_definer;
revoke execute on function app.set_member_permission(uuid, text, jsonb, text) from public;
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
    -- Lifting it gives the permission back. Asked before it is lifted: it may be one's own.
    perform app_private.require_to_hold(array[the_permission]);
  end if;
  delete from app.member_permissions p
  where p.organization_id = m.organization_id and p.user_id = member and p.permission = the_permission;
  update app.memberships x set role = x.role where x.organization_id = m.organization_id and x.user_id = member;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.clear_member_permission(uuid, text, text) is
  'Takes back a member''s grant or denial, so that their roles alone decide. PT403 permission_denied, permission_not_held, PT404, PT412.';
alter function app.clear_member_permission(uuid, text, text) owner to callboard_definer;
revoke execute on function app.clear_member_permission(uuid, text, text) from public;
grant execute on function app.clear_member_permission(uuid, text, text) to callboard_api;
--! EndIncluded member_permission_commands.sql
--! Included explain.sql
-- Why can somebody see or change a row, or why not? Every step that a request goes through, in its
-- order, in words. It asks what decides: the session, the membership, app.permissions_of, the policy.

create or replace function app_private.explain_permission(organization uuid, who uuid, wanted text) returns text
language sql stable
set search_path = ''
begin atomic
  select case
    when wanted = any (app.permissions_of(organization, who)) then
      format('They hold %s, by %s.', wanted, string_agg(
        case s.source when 'grant' then 'a grant' else 'the role ' || s.role_name end || coalesce(' until ' || s.expires_at, ''), ' and '))
    when bool_or(s.source = 'deny') then
      format('%s is denied to them%s.', wanted, max(' until ' || s.expires_at) filter (where s.source = 'deny'))
    else format('They do not hold %s. %s', wanted, (
      select coalesce('These roles do: ' || string_agg(r.name, ', ' order by r.is_own, r.name) || '.', 'No role does.') from (
        select rp.role, false from app.role_permissions rp where rp.permission = wanted
        union all
        select c.name, true from app.custom_roles c
        where c.organization_id = organization and c.deleted_at is null and wanted = any (c.permissions)) as r (name, is_own)))
    end
  from (select) as once
  left join app.memberships m on m.organization_id = organization and m.user_id = who
  left join lateral app_private.permission_sources(organization, who, m.role) s on s.permission = wanted;
end;
comment on function app_private.explain_permission(uuid, uuid, text) is 'Where a member has a permission from, or who has it instead, in words.';
alter function app_private.explain_permission(uuid, uuid, text) owner to callboard_definer;
revoke execute on function app_private.explain_permission(uuid, uuid, text) from public;

create or replace function app_private.explain_row(target regclass, id uuid, command text, changes jsonb)
returns table (step text, passes boolean, detail text)
language plpgsql stable
set search_path = ''
as $$
declare
  found jsonb;
  status_table regclass := to_regclass(format('app.%s_status_transitions', regexp_replace(target::text, '^app\.|s$', '', 'g')));
  is_allowed boolean;
  others text;
  edge record;
  in_use boolean;
begin
  execute format('select to_jsonb(t) from %s t where %I = $1', target, app_private.row_key(target)) into found using id;
  if found ->> 'deleted_at' is not null then
    return query select 'row', false, format('It was deleted at %s by %s: it is only in the bin.', found ->> 'deleted_at',
      coalesce((select u.email from app.users u where u.id::text = found ->> 'deleted_by'), 'somebody'));
    return;
  end if;
  return query select 'row', true, 'It is there.';
  if command = 'update' and changes ? 'status' and status_table is not null and changes ->> 'status' <> found ->> 'status' then
    execute format('select coalesce(bool_or(to_status = $2), false), string_agg(to_status, '', '' order by to_status) from %s where from_status = $1', status_table)
    into is_allowed, others using found ->> 'status', changes ->> 'status';
    return query select 'status', is_allowed, format('From %s it can go to %s.', found ->> 'status', coalesce(others, 'no other status'));
  elsif command = 'delete' then
    for edge in select * from app_private.deletion_edges e where e.parent = target and not e.cascades loop
      execute format('select exists (select from %s c, %s p where %s and p.%I = $1 and c.deleted_at is null)',
        edge.child, target, edge.condition, app_private.row_key(target)) into in_use using id;
      return query select 'references', not in_use,
        format(case when in_use then 'Something in %s still refers to it.' else 'Nothing in %s refers to it.' end, edge.child);
    end loop;
  end if;
end
$$;
comment on function app_private.explain_row(regclass, uuid, text, jsonb) is 'What the row itself has to say to a command on it; the row must be there.';
alter function app_private.explain_row(regclass, uuid, text, jsonb) owner to callboard_definer;
revoke execute on function app_private.explain_row(regclass, uuid, text, jsonb) from public;

create or replace function app_private.row_key(target regclass) returns text
language sql stable
set search_path = ''
begin atomic
  -- The one column of the primary key beside the organization.
  select case when count(*) = 1 then min(a.attname)::text end
  from pg_catalog.pg_constraint c, unnest(c.conkey) as k (attnum)
  join pg_catalog.pg_attribute a on a.attnum = k.attnum
  where c.conrelid = target and c.contype = 'p' and a.attrelid = target and a.attname <> 'organization_id';
end;
comment on function app_private.row_key(regclass) is 'The column that names a row of a table within its organization; NULL where it takes more than one.';
alter function app_private.row_key(regclass) owner to callboard_definer;
revoke execute on function app_private.row_key(regclass) from public;

create or replace function app.explain_access(
  who uuid, target regclass, row_id uuid, command text, organization uuid default null, changes jsonb default '{}'
) returns table (step text, passes boolean, detail text)
language plpgsql stable
set search_path = ''
as $$
declare
  is_organization boolean := target = 'app.organizations'::regclass;
  permission text := app_private.policy_permission(target, command);
  whose uuid;
  m record;
begin
  if command not in ('select', 'insert', 'update', 'delete') then
    perform app.refuse(422, 'explain_command_unknown', 'A command is select, insert, update or delete.');
  elsif app_private.policy_permission(target, 'select') is null then
    perform app.refuse(422, 'explain_table_unknown', 'There is no table of this name whose rows belong to an organization.');
  elsif row_id is not null and app_private.row_key(target) is null then
    perform app.refuse(422, 'explain_row_unnamed', 'A row of this table has no id of its own: ask without one.');
  elsif row_id is null and organization is null then
    perform app.refuse(422, 'explain_row_needed', 'Name a row, or the organization.');
  end if;
  if row_id is not null then
    execute format('select %I from %s where %I = $1 and ($2 is null or %1$I = $2)',
      case when is_organization then 'id' else 'organization_id' end, target, app_private.row_key(target))
    into whose using row_id, case when app_private.row_key(target) = 'user_id' then organization end;
  end if;
  organization := coalesce(organization, whose);

  return query select 'account', exists (select from app.users u where u.id = who),
    coalesce((select 'They are ' || u.email || '.' from app.users u where u.id = who), 'There is no such account.');
  return query
    select 'session', count(*) filter (where s.revoked_at is null and s.expires_at > now()) > 0,
      case
        when count(*) filter (where s.revoked_at is null and s.expires_at > now()) > 0 then 'They are signed in.'
        when count(*) = 0 then 'They have never signed in.'
        else 'All their sessions have ended; the last because: ' || (array_agg(coalesce(s.revoked_because, 'expired') order by coalesce(s.revoked_at, s.expires_at) desc))[1] || '.'
      end
    from app.sessions s where s.user_id = who;
  select o.name, o.deleted_at is not null as is_deleted, x.user_id is not null as was_member, x.role,
    x.user_id is not null and (x.deleted_at is null or x.deletion_id = o.deletion_id) as is_member, x.deleted_at as left_at
  into m
  from app.organizations o left join app.memberships x on x.organization_id = o.id and x.user_id = who where o.id = explain_access.organization;
  return query select 'organization', m.name is not null and not m.is_deleted,
    case when m.name is null then 'There is no such organization, or the row is of none.'
      when m.is_deleted then m.name || ' has been deleted.' else 'It is ' || m.name || '.' end;
  return query select 'membership', coalesce(m.is_member, false),
    case when m.is_member then 'They belong to it' || coalesce(' as ' || m.role, ', without a built-in role') || '.'
      when m.was_member then 'They have not belonged to it since ' || m.left_at || '.'
      else 'They do not belong to it.' end;
  if permission is null then
    return query select 'permission', false, format('No member may %s rows of %s, whatever they hold.', command, target);
  else
    return query select 'permission', permission = any (app.permissions_of(organization, who)),
      app_private.explain_permission(organization, who, permission);
  end if;
  if row_id is null or command = 'insert' then
    return;
  elsif whose is null then
    return query select 'row', false, 'There is no such row.';
  elsif whose <> organization then
    return query select 'row', false, format('It belongs to another organization, %s.', (select o.name from app.organizations o where o.id = whose));
  else
    return query select * from app_private.explain_row(target, row_id, command, changes);
  end if;
end
$$;
comment on function app.explain_access(uuid, regclass, uuid, text, uuid, jsonb) is
  'Why a user may or may not select, insert, update or delete a row: every step of the way with whether it is passed and why. Without an organization it is the row''s; changes are what an update would set. For DBAs: it looks into all organizations. PT422 explain_command_unknown, explain_table_unknown, explain_row_unnamed, explain_row_needed.';
alter function app.explain_access(uuid, regclass, uuid, text, uuid, jsonb) owner to callboard_definer;
revoke execute on function app.explain_access(uuid, regclass, uuid, text, uuid, jsonb) from public;

create or replace function app.explain_access(body jsonb) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
  organization uuid := app.current_org();
  who uuid := coalesce((body ->> 'user_id')::uuid, me);
  target regclass := to_regclass('app.' || quote_ident(body ->> 'table'));
  row_id uuid := (body ->> 'id')::uuid;
  to_see text := app_private.policy_permission(target, 'select');
  is_known boolean;
begin
  if organization is null then
    perform app.refuse(401, 'session_unknown');
  elsif who is distinct from me then
    perform app.require('members.manage');
    if not exists (select from app.memberships m where m.organization_id = organization and m.user_id = who) then
      perform app.refuse(404, 'not_found');
    end if;
  end if;
  if to_see is null then
    perform app.refuse(422, 'explain_table_unknown');
  end if;
  if row_id is not null and app_private.row_key(target) is not null then
    -- What a row of another organization is to them: nothing. Nor does one's own tell those more who may not read it.
    execute format('select exists (select from %s t where %I = $1 and %I = $2)', target,
      case when target = 'app.organizations'::regclass then 'id' else 'organization_id' end, app_private.row_key(target))
    into is_known using organization, row_id;
    is_known := is_known and app.has_permission(to_see);
  end if;
  return (
    select (200, json_build_object(
        'is_allowed', bool_and(e.passes),
        'reason', coalesce((array_agg(e.detail order by e.n) filter (where not e.passes))[1], 'Nothing stands in the way.'),
        'steps', json_agg(json_build_object('step', e.step, 'passes', e.passes, 'detail', e.detail) order by e.n)), null, null)::app.answer
    from (
      select x.step, x.passes, x.detail, x.ordinality as n
      from app.explain_access(who, target, case when is_known or app_private.row_key(target) is null then row_id end, body ->> 'command', organization, coalesce(body -> 'changes', '{}'))
        with ordinality as x
      union all
      select 'row', false, 'There is no such row.', 100 where not is_known and body ->> 'command' <> 'insert') as e);
end
$$;
comment on function app.explain_access(jsonb) is
  'The same for members, within their organization: table, command, id, changes, user_id. About oneself, or with members.manage about others. A row of another organization is no row. PT403, PT404, PT422.';
alter function app.explain_access(jsonb) owner to callboard_definer;
revoke execute on function app.explain_access(jsonb) from public;
grant execute on function app.explain_access(jsonb) to callboard_api;
--! EndIncluded explain.sql
--! Included venues.sql
-- Where shows happen. A venue gives its shows their time zone.

create table if not exists app.venues (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text not null constraint venues_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(name) <> ''),
  city text not null constraint venues_city_length check (length(city) between 1 and 200 and city !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(city) <> ''),
  country char(2) not null constraint venues_country_format check (country ~ '^[A-Z]{2}$'),
  time_zone text not null constraint venues_time_zone_exists check (app.is_time_zone(time_zone)),
  capacity integer constraint venues_capacity_positive check (capacity > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id)
);
create index if not exists venues_organization_id_name_idx on app.venues (organization_id, name, id) where deleted_at is null;
alter table app.venues alter column name set statistics 0, alter column city set statistics 0, alter column capacity set statistics 0;

alter table app.venues enable row level security;
alter table app.venues force row level security;

drop policy if exists select_member on app.venues;
create policy select_member on app.venues for select to callboard_api
  using (organization_id = (select app.org_if('shows.read')));
drop policy if exists insert_member on app.venues;
create policy insert_member on app.venues for insert to callboard_api
  with check (organization_id = (select app.org_if('shows.write')));
drop policy if exists update_member on app.venues;
create policy update_member on app.venues for update to callboard_api
  using (organization_id = (select app.org_if('shows.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.venues;
create policy delete_member on app.venues for delete to callboard_api
  using (organization_id = (select app.org_if('shows.delete')));

-- Deleting and restoring are the definer's, within the current organization.
drop policy if exists select_definer on app.venues;
create policy select_definer on app.venues for select to callboard_definer using (true);
drop policy if exists update_definer on app.venues;
create policy update_definer on app.venues for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.venues to callboard_api, callboard_definer;
grant insert (name, city, country, time_zone, capacity), update (name, city, country, time_zone, capacity) on app.venues to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.venues to callboard_definer;

comment on table app.venues is 'Places where shows happen, with the time zone that a show''s local times are in.';
comment on column app.venues.country is 'ISO 3166-1 alpha-2 code.';

drop trigger if exists _100_timestamps on app.venues;
create trigger _100_timestamps before update on app.venues
  for each row execute function app_private.tg__100_timestamps();

create or replace view app.venue_list with (security_invoker = true) as
  select v.organization_id, v.id, v.name, v.city, v.country, v.created_at, v.version,
    json_build_object('id', v.id, 'name', v.name, 'city', v.city, 'country', v.country, 'time_zone', v.time_zone,
      'capacity', v.capacity, 'created_at', v.created_at, 'updated_at', v.updated_at) as body
  from app.venues v
  where v.deleted_at is null;
comment on view app.venue_list is 'The organization''s venues that are not deleted, with their JSON.';
grant select on app.venue_list to callboard_api, callboard_definer;

create or replace function app.read_venue(venue uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, v.body, app.etag(v.version), '/api/venues/' || v.id into answer from app.venue_list v
  where v.organization_id = app.current_org() and v.id = venue;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_venue(uuid) is 'A venue. PT404.';
revoke execute on function app.read_venue(uuid) from public;
grant execute on function app.read_venue(uuid) to callboard_api, callboard_definer;

create or replace function app.create_venue(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  given app.venues := jsonb_populate_record(null::app.venues, body);
  answer app.answer;
begin
  insert into app.venues (name, city, country, time_zone, capacity)
  values (given.name, given.city, given.country, given.time_zone, given.capacity) returning id into given.id;
  answer := app.read_venue(given.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_venue(jsonb) is 'A new venue. PT403 without shows.write.';
revoke execute on function app.create_venue(jsonb) from public;
grant execute on function app.create_venue(jsonb) to callboard_api;

create or replace function app.write_venue(venue uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present app.venues;
begin
  select * into present from app.venues v
  where v.organization_id = app.current_org() and v.id = venue and v.deleted_at is null;
  perform app.check_version(present.version, if_match);
  perform app.require('shows.write');
  -- Now that it may be locked, look again.
  select * into present from app.venues v
  where v.organization_id = app.current_org() and v.id = venue and v.deleted_at is null for no key update;
  perform app.check_version(present.version, if_match);
  present := jsonb_populate_record(case when replaces then null::app.venues else present end, body);
  update app.venues v
  set (name, city, country, time_zone, capacity) = row (present.name, present.city, present.country, present.time_zone, present.capacity)
  where v.organization_id = app.current_org() and v.id = venue;
  return app.read_venue(venue);
end
$$;
comment on function app.write_venue(uuid, jsonb, boolean, text) is
  'Changes a venue: the columns in the body or, with replaces, all of them (absent ones become null). PT403, PT404, PT412.';
revoke execute on function app.write_venue(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_venue(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_venue(venue uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_row('app.venues', venue, if_match);
end
$$;
comment on function app.delete_venue(uuid, text) is 'Deletes a venue that no show uses. PT403, PT404, PT409 shows_venue_exists, PT412.';
alter function app.delete_venue(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_venue(uuid, text) from public;
grant execute on function app.delete_venue(uuid, text) to callboard_api;

create or replace function app.restore_venue(venue uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row('app.venues', venue);
  return app.read_venue(venue);
end
$$;
comment on function app.restore_venue(uuid) is 'Brings a deleted venue back. PT403, PT404.';
alter function app.restore_venue(uuid) owner to callboard_definer;
revoke execute on function app.restore_venue(uuid) from public;
grant execute on function app.restore_venue(uuid) to callboard_api;
--! EndIncluded venues.sql
--! Included shows.sql
-- Shows: one performance of one bill on one day at one venue.

create table if not exists app.show_status_transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
alter table app.show_status_transitions enable row level security;
alter table app.show_status_transitions force row level security;
drop policy if exists select_all on app.show_status_transitions;
create policy select_all on app.show_status_transitions for select to callboard_api, callboard_definer using (true);
drop policy if exists all_owner on app.show_status_transitions;
create policy all_owner on app.show_status_transitions for all to callboard_owner using (true);
grant select on app.show_status_transitions to callboard_api, callboard_definer;
comment on table app.show_status_transitions is 'Reference: from which status a show may go to which.';

insert into app.show_status_transitions (from_status, to_status) values
  ('inquiry', 'hold'), ('inquiry', 'offer'), ('inquiry', 'cancelled'),
  ('hold', 'inquiry'), ('hold', 'offer'), ('hold', 'confirmed'), ('hold', 'cancelled'),
  ('offer', 'hold'), ('offer', 'confirmed'), ('offer', 'cancelled'),
  ('confirmed', 'played'), ('confirmed', 'cancelled'), ('confirmed', 'postponed'),
  ('postponed', 'hold'), ('postponed', 'confirmed'), ('postponed', 'cancelled'),
  ('cancelled', 'inquiry'),
  ('played', 'settled')
on conflict do nothing;

create table if not exists app.shows (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  title text not null constraint shows_title_length check (length(title) between 1 and 200 and title !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(title) <> ''),
  artist text not null constraint shows_artist_length check (length(artist) between 1 and 200 and artist !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(artist) <> ''),
  venue_id uuid,
  show_on date not null constraint shows_show_on_range check (show_on between date '1900-01-01' and date '2199-12-31'),
  doors_time time(0),
  start_time time(0),
  curfew_time time(0),
  status text not null default 'inquiry' constraint shows_status_known check (
    status in ('inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed')),
  capacity integer constraint shows_capacity_positive check (capacity > 0),
  tickets_sold integer not null default 0 constraint shows_tickets_sold_positive check (tickets_sold >= 0),
  -- In the smallest unit of the currency; JSON numbers are exact up to 2^53 - 1.
  fee_minor bigint constraint shows_fee_range check (fee_minor between 0 and 9007199254740991),
  currency char(3) constraint shows_currency_format check (currency ~ '^[A-Z]{3}$'),
  notes text constraint shows_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint shows_venue_exists foreign key (organization_id, venue_id) references app.venues (organization_id, id),
  constraint shows_doors_before_start check (doors_time <= start_time),
  constraint shows_tickets_within_capacity check (tickets_sold <= capacity),
  constraint shows_fee_with_currency check ((fee_minor is null) = (currency is null))
);
create index if not exists shows_organization_id_show_on_idx on app.shows (organization_id, show_on, id) where deleted_at is null;
create index if not exists shows_organization_id_created_at_idx on app.shows (organization_id, created_at, id) where deleted_at is null;
create index if not exists shows_organization_id_title_idx on app.shows (organization_id, title, id) where deleted_at is null;
create index if not exists shows_organization_id_venue_id_idx on app.shows (organization_id, venue_id, show_on) where deleted_at is null;
create index if not exists shows_search_idx on app.shows using gin (organization_id, (title || ' ' || artist) app_private.gin_trgm_ops);
alter index app.shows_search_idx alter column 2 set statistics 0;
alter table app.shows alter column title set statistics 0, alter column artist set statistics 0, alter column notes set statistics 0,
  alter column capacity set statistics 0, alter column tickets_sold set statistics 0, alter column fee_minor set statistics 0;
create index if not exists shows_deletion_id_idx on app.shows (organization_id, deletion_id) where deletion_id is not null;

alter table app.shows enable row level security;
alter table app.shows force row level security;

drop policy if exists select_member on app.shows;
create policy select_member on app.shows for select to callboard_api
  using (organization_id = (select app.org_if('shows.read')));
drop policy if exists insert_member on app.shows;
create policy insert_member on app.shows for insert to callboard_api
  with check (organization_id = (select app.org_if('shows.write')));
drop policy if exists update_member on app.shows;
create policy update_member on app.shows for update to callboard_api
  using (organization_id = (select app.org_if('shows.write')));
-- Without a grant, because deleting is marking: app_private.delete_row asks this policy.
drop policy if exists delete_member on app.shows;
create policy delete_member on app.shows for delete to callboard_api
  using (organization_id = (select app.org_if('shows.delete')));

-- Deleting and restoring are the definer's, within the current organization; and it searches,
-- because a text match under a filtering policy cannot use an index (it is not leakproof).
drop policy if exists select_definer on app.shows;
create policy select_definer on app.shows for select to callboard_definer using (true);
drop policy if exists update_definer on app.shows;
create policy update_definer on app.shows for update to callboard_definer
  using (organization_id = (select app.current_org()));

grant select on app.shows to callboard_api, callboard_definer;
grant insert (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes),
  update (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes)
  on app.shows to callboard_api;
grant update (deleted_at, deleted_by, deletion_id) on app.shows to callboard_definer;

comment on table app.shows is 'Performances, from the first inquiry to the settlement.';
comment on column app.shows.start_time is 'Local time at the venue; a curfew at or before the start is on the next day.';
comment on column app.shows.fee_minor is 'What the artist is paid, in the smallest unit of the currency.';

create or replace function app_private.tg_shows__200_status() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if not exists (select from app.show_status_transitions t where t.from_status = old.status and t.to_status = new.status) then
    perform app.refuse(409, 'show_status_transition', format('A show cannot go from %s to %s.', old.status, new.status));
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__200_status() is 'PT409 show_status_transition for a change that app.show_status_transitions does not list.';
revoke execute on function app_private.tg_shows__200_status() from public;

drop trigger if exists _100_timestamps on app.shows;
create trigger _100_timestamps before update on app.shows
  for each row execute function app_private.tg__100_timestamps();
drop trigger if exists _200_status on app.shows;
create trigger _200_status before update on app.shows
  for each row when (new.status is distinct from old.status) execute function app_private.tg_shows__200_status();

-- A show may not be booked into a venue that is deleted; locking the venue's row makes a
-- deletion at the same moment wait and then see the show.
create or replace function app_private.tg_shows__300_venue() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform from app.venues v
  where v.organization_id = new.organization_id and v.id = new.venue_id and v.deleted_at is null for share;
  if not found then
    perform app.refuse(409, 'shows_venue_exists', 'There is no such venue.');
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__300_venue() is 'PT409 shows_venue_exists for a venue that is not there, is deleted or is another organization''s.';
alter function app_private.tg_shows__300_venue() owner to callboard_definer;
revoke execute on function app_private.tg_shows__300_venue() from public;

drop trigger if exists _300_venue_insert on app.shows;
create trigger _300_venue_insert before insert on app.shows
  for each row when (new.venue_id is not null) execute function app_private.tg_shows__300_venue();
drop trigger if exists _300_venue_change on app.shows;
create trigger _300_venue_change before update on app.shows
  for each row when (new.venue_id is not null and new.venue_id is distinct from old.venue_id)
  execute function app_private.tg_shows__300_venue();
--! EndIncluded shows.sql
--! Included show_commands.sql
-- What can be done with a show; the table is in shows.sql.

create or replace view app.show_list with (security_invoker = true) as
  select s.organization_id, s.id, s.title, s.artist, s.venue_id, s.show_on, s.status, s.created_at, s.version,
    json_build_object(
      'id', s.id, 'title', s.title, 'artist', s.artist,
      'venue_id', s.venue_id, 'venue_name', v.name, 'venue_city', v.city, 'time_zone', v.time_zone,
      'show_on', s.show_on,
      'doors_time', to_char(s.doors_time, 'HH24:MI'), 'start_time', to_char(s.start_time, 'HH24:MI'),
      'curfew_time', to_char(s.curfew_time, 'HH24:MI'),
      'starts_at', (s.show_on + s.start_time) at time zone v.time_zone,
      'status', s.status, 'capacity', s.capacity, 'tickets_sold', s.tickets_sold,
      'fee_minor', s.fee_minor, 'currency', s.currency, 'notes', s.notes,
      'created_by', s.created_by, 'created_at', s.created_at, 'updated_at', s.updated_at) as body
  from app.shows s
  left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
  where s.deleted_at is null;
comment on view app.show_list is 'The organization''s shows that are not deleted, with their JSON.';
grant select on app.show_list to callboard_api, callboard_definer;

create or replace function app.search_shows(q text) returns setof uuid
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  -- The organization is compared as a value, not through a policy: under one the index is no use.
  organization uuid := app.org_if('shows.read');
  pattern text := '%' || regexp_replace(q, '([\\%_])', '\\\1', 'g') || '%';
begin
  return query
    select s.id from app.shows s where s.organization_id = organization and (s.title || ' ' || s.artist) ilike pattern
    union
    select s.id from app.shows s join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
    where s.organization_id = organization and v.organization_id = organization and (v.name || ' ' || v.city) ilike pattern;
end
$$;
comment on function app.search_shows(text) is 'Ids of the organization''s shows whose title and artist, or venue and city, contain the text in any case.';
alter function app.search_shows(text) owner to callboard_definer;
revoke execute on function app.search_shows(text) from public;
grant execute on function app.search_shows(text) to callboard_api;

create or replace function app.read_show(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, s.body, app.etag(s.version), '/api/shows/' || s.id into answer from app.show_list s
  where s.organization_id = app.current_org() and s.id = show;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_show(uuid) is 'A show. PT404.';
revoke execute on function app.read_show(uuid) from public;
grant execute on function app.read_show(uuid) to callboard_api, callboard_definer;

create or replace function app.create_show(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.shows := jsonb_populate_record(null::app.shows, body);
  answer app.answer;
begin
  insert into app.shows (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes)
  values (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
    n.capacity, coalesce(n.tickets_sold, 0), n.fee_minor, n.currency, n.notes)
  returning id into n.id;
  answer := app.read_show(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_show(jsonb) is 'A new show. PT403 without shows.write, PT409 shows_venue_exists.';
revoke execute on function app.create_show(jsonb) from public;
grant execute on function app.create_show(jsonb) to callboard_api;

create or replace function app.write_show(show uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.shows;
begin
  select * into n from app.shows s where s.organization_id = app.current_org() and s.id = show and s.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('shows.write');
  -- Now that it may be locked, look again.
  select * into n from app.shows s
  where s.organization_id = app.current_org() and s.id = show and s.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.shows else n end, body);
  update app.shows s
  set (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes)
    = row (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
      n.capacity, coalesce(n.tickets_sold, 0), n.fee_minor, n.currency, n.notes)
  where s.organization_id = app.current_org() and s.id = show;
  return app.read_show(show);
end
$$;
comment on function app.write_show(uuid, jsonb, boolean, text) is
  'Changes a show: the columns in the body or, with replaces, all of them (absent ones get their default). PT403, PT404, PT409, PT412.';
revoke execute on function app.write_show(uuid, jsonb, boolean, text) from public;
grant execute on function app.write_show(uuid, jsonb, boolean, text) to callboard_api;

create or replace function app.delete_show(show uuid, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return app_private.delete_row('app.shows', show, if_match);
end
$$;
comment on function app.delete_show(uuid, text) is 'Deletes a show until it is restored. PT403, PT404, PT412.';
alter function app.delete_show(uuid, text) owner to callboard_definer;
revoke execute on function app.delete_show(uuid, text) from public;
grant execute on function app.delete_show(uuid, text) to callboard_api;

create or replace function app.restore_show(show uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row('app.shows', show);
  return app.read_show(show);
end
$$;
comment on function app.restore_show(uuid) is 'Brings a deleted show back. PT403, PT404, PT409 parent_deleted.';
alter function app.restore_show(uuid) owner to callboard_definer;
revoke execute on function app.restore_show(uuid) from public;
grant execute on function app.restore_show(uuid) to callboard_api;
--! EndIncluded show_commands.sql
