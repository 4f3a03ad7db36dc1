-- Who belongs to which organization, and in which role. Leaving marks the row as deleted, so that an
-- organization restored after its deletion gets its members back.

create table if not exists app.memberships (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  user_id uuid not null references app.users (id),
  -- One of the built-in roles; null for members who have only custom ones (custom_roles.sql).
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

-- Without grants, because the definer's functions write: a policy cannot ensure that nobody grants what they do not hold.
select app_private.tenant_policies('app.memberships', reads => 'members.read', inserts => 'members.manage', updates => 'members.manage',
  deletes => 'members.manage', definer => 'insert, update', is_exported => true, known => '{role}');
grant select on app.memberships to callboard_api, callboard_definer;
-- Exported events name their actor.
grant select (organization_id, user_id, deleted_at) on app.memberships to callboard_exporter;
grant select (id, display_name) on app.users to callboard_exporter;
grant insert (organization_id, user_id, role), update (role, created_at, deleted_at, deleted_by, deletion_id) on app.memberships to callboard_definer;

drop policy if exists select_colleague on app.users;
create policy select_colleague on app.users for select to callboard_api, callboard_exporter
  using (id = any (array(
    select m.user_id from app.memberships m
    where m.organization_id = (select app.org_if('members.read')) and m.deleted_at is null)));

comment on table app.memberships is 'Who belongs to which organization and in which role; deleted_at marks those who have left.';

select app_private.log_changes('app.memberships', 'member',
  '{"create": "add", "restore": "add", "delete": "remove", "role": "change_role"}', 'user_id');

-- Nobody could manage an organization without an owner. Locking its row serializes concurrent
-- departures, so that two owners cannot leave at the same time.
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

create or replace trigger _300_last_owner after update on app.memberships
  for each row when (old.role = 'owner' and old.deleted_at is null and (new.role is distinct from 'owner' or new.deleted_at is not null))
  execute function app_private.tg_memberships__300_last_owner();
