-- Permissions, the roles that every organization has, and which role holds which permission.
-- A member's role is in app.memberships; what an organization adds to it is in custom_roles.sql
-- and member_permissions.sql, which also computes what a member holds.

create table if not exists app.permissions (
  name text primary key constraint permissions_name_format check (name ~ '^[a-z_]+\.[a-z_]+$'),
  description text not null
);
create table if not exists app.roles (
  name text primary key,
  description text not null,
  held text not null default ''
);
create table if not exists app.role_permissions (
  role text not null references app.roles (name),
  permission text not null references app.permissions (name),
  primary key (role, permission)
);
comment on table app.permissions is 'Reference: all permissions, as <resource>.<verb>.';
comment on table app.roles is 'Reference: the built-in roles. Custom roles are in app.custom_roles.';
comment on column app.roles.held is 'The permissions of the role in app.role_permissions, with a blank between them: every request needs them.';
comment on table app.role_permissions is 'Reference: the permissions that a built-in role holds.';

select app_private.reference_table(reference)
from unnest(array['app.permissions', 'app.roles', 'app.role_permissions']::regclass[]) reference;

create or replace function app_private.tg__hold() returns trigger
language plpgsql volatile
set search_path = ''
as $$
begin
  update app.roles r set held = x.held
  from (
    select n.name, coalesce(string_agg(p.permission, ' ' order by p.permission), '') as held
    from app.roles n left join app.role_permissions p on p.role = n.name group by n.name) x
  where x.name = r.name and x.held <> r.held;
  return null;
end
$$;
comment on function app_private.tg__hold() is 'Keeps app.roles.held equal to app.role_permissions.';
create or replace trigger _500_hold after insert or update or delete or truncate on app.role_permissions
  for each statement execute function app_private.tg__hold();

insert into app.permissions (name, description) values
  ('shows.read',          'See shows and venues'),
  ('shows.write',         'Enter and change shows and venues'),
  ('shows.delete',        'Delete and restore shows and venues'),
  ('guests.lock',         'Close guest lists, and change them once they are closed'),
  ('finance.read',        'See fees, income, expenses and settlements'),
  ('finance.write',       'Enter and change fees, income, expenses and settlements'),
  ('finance.delete',      'Delete and restore income, expenses and settlements'),
  ('finance.close',       'Close the books of a month, and reopen them'),
  ('imports.run',         'Import from files the shows and finance records you may write'),
  ('itineraries.read',    'See itineraries: the items for everybody and those for you'),
  ('itineraries.write',   'Enter, change and publish itineraries'),
  ('itineraries.delete',  'Delete and restore itineraries'),
  ('analytics.read',      'See reports and statistics; those about money also need finance.read'),
  ('analytics.refresh',   'Refresh reports and statistics'),
  ('exports.run',         'Export to files what you may see'),
  ('bi.manage',           'Create and revoke database logins for BI tools'),
  ('members.read',        'See who belongs to the organization'),
  ('members.manage',      'Invite, add and remove people and change their roles'),
  ('organization.read',   'See the organization'),
  ('organization.update', 'Change the organization''s name and settings'),
  ('organization.delete', 'Delete and restore the organization, transfer its ownership'),
  ('audit.read',          'Read the event log, with the changes of what you may see, and verify it'),
  ('audit.manage',        'Decide how long events are kept'),
  ('retention.manage',    'Decide how long deleted rows are kept; place and release legal holds')
on conflict (name) do update set description = excluded.description;

insert into app.roles (name, description) values
  ('owner',   'Everything, including people and the organization itself'),
  ('admin',   'All day-to-day work, including deletion'),
  ('manager', 'Enters and changes, but does not delete'),
  ('viewer',  'Reads only')
on conflict (name) do update set description = excluded.description;

insert into app.role_permissions (role, permission)
select r.role, p.permission
from (values
  ('owner',   array['organization.read', 'organization.update', 'organization.delete', 'members.read', 'members.manage', 'shows.read', 'shows.write', 'shows.delete', 'guests.lock', 'finance.read', 'finance.write', 'finance.delete', 'finance.close', 'imports.run', 'itineraries.read', 'itineraries.write', 'itineraries.delete', 'analytics.read', 'analytics.refresh', 'exports.run', 'bi.manage', 'audit.read', 'audit.manage', 'retention.manage']),
  ('admin',   array['organization.read', 'organization.update', 'members.read', 'shows.read', 'shows.write', 'shows.delete', 'guests.lock', 'finance.read', 'finance.write', 'finance.delete', 'finance.close', 'imports.run', 'itineraries.read', 'itineraries.write', 'itineraries.delete', 'analytics.read', 'analytics.refresh', 'exports.run', 'audit.read']),
  ('manager', array['organization.read', 'members.read', 'shows.read', 'shows.write', 'finance.read', 'finance.write', 'imports.run', 'itineraries.read', 'itineraries.write', 'analytics.read', 'analytics.refresh', 'exports.run']),
  ('viewer',  array['organization.read', 'members.read', 'shows.read', 'finance.read', 'itineraries.read', 'analytics.read'])
) as r (role, held), unnest(r.held) as p (permission)
on conflict do nothing;
