--! Previous: sha1:bc6b758a939829e3c62475582354fe6fed8e5c47
--! Hash: sha1:9e1e7738c5a9848291e62c9d93aa2eb427b6ebbe
--! Message: Permissions and schemas of analytics, exports and BI

--! Included schemas.sql
-- Two pairs of schemas. `app` is what the API works with, always under row-level security.
-- `app_private` holds keys, secrets and the helpers that need them; the API has no way in.
-- `analytics` are views for the API and for BI tools, of the one organization that who asks belongs to,
-- over the materialized views of `analytics_private`, which know no row-level security.

create schema if not exists app;
create schema if not exists app_private;
create schema if not exists analytics;
create schema if not exists analytics_private;

comment on schema app is 'What the API works with; every table is under row-level security.';
comment on schema app_private is 'Keys, secrets and helpers; never granted to a login.';
comment on schema analytics is 'Sums and counts of your organization, for the API and for BI tools.';
comment on schema analytics_private is 'Materialized views with the rows of all organizations; never granted to a login.';

-- PostgreSQL lets everybody execute a new function. Here nobody may until it is granted.
alter default privileges for role callboard_owner revoke execute on functions from public;
alter default privileges for role callboard_definer revoke execute on functions from public;
alter default privileges for role callboard_rollup revoke execute on functions from public;

-- A definer function that a login may call is silent (client_min_messages = 'error'): with
-- debug_print_plan the caller would be sent the plans of its statements, with the values in them,
-- and so the secret that it is about to mail. Those that only read the caller's own context are not.

grant usage on schema app to callboard_api, callboard_worker, callboard_auditor;
-- CREATE is what lets the owner hand a function over to the definer; the definer never logs in.
grant usage, create on schema app, app_private to callboard_definer;
grant usage on schema analytics to callboard_api, callboard_bi;
-- It owns the materialized views, which it makes and refreshes, and the views over them.
grant usage, create on schema analytics, analytics_private to callboard_rollup;
grant usage on schema app to callboard_rollup;

-- Trigram search for show titles, with the organization in the same index.
create extension if not exists pg_trgm with schema app_private;
create extension if not exists btree_gin with schema app_private;
--! EndIncluded schemas.sql
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
  ('finance.read',        'See income, expenses and settlements'),
  ('finance.write',       'Enter and change income, expenses and settlements'),
  ('finance.delete',      'Delete and restore income, expenses and settlements'),
  ('finance.close',       'Close the books of a month, and open them again'),
  ('imports.run',         'Import shows and finance records that one may write from files'),
  ('itineraries.read',    'See itineraries, as far as they are for everybody or for oneself'),
  ('itineraries.write',   'Enter, change and publish itineraries'),
  ('itineraries.delete',  'Delete and restore itineraries'),
  ('analytics.read',      'See reports and statistics, and with finance.read those of money, too'),
  ('exports.run',         'Take out as files what one may see'),
  ('bi.manage',           'Create and revoke database logins of BI tools'),
  ('members.read',        'See who belongs to the organization'),
  ('members.manage',      'Invite, add and remove people and change their roles'),
  ('organization.read',   'See the organization'),
  ('organization.update', 'Change the organization''s name and settings'),
  ('organization.delete', 'Delete and restore the organization, hand it over'),
  ('audit.read',          'Read the event log and verify it'),
  ('audit.manage',        'Decide how long events are kept'),
  ('retention.manage',    'Decide how long deleted rows are kept, place and release legal holds')
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
  ('owner',   array['organization.read', 'organization.update', 'organization.delete', 'members.read', 'members.manage', 'shows.read', 'shows.write', 'shows.delete', 'finance.read', 'finance.write', 'finance.delete', 'finance.close', 'imports.run', 'itineraries.read', 'itineraries.write', 'itineraries.delete', 'analytics.read', 'exports.run', 'bi.manage', 'audit.read', 'audit.manage', 'retention.manage']),
  ('admin',   array['organization.read', 'organization.update', 'members.read', 'shows.read', 'shows.write', 'shows.delete', 'finance.read', 'finance.write', 'finance.delete', 'finance.close', 'imports.run', 'itineraries.read', 'itineraries.write', 'itineraries.delete', 'analytics.read', 'exports.run', 'audit.read']),
  ('manager', array['organization.read', 'members.read', 'shows.read', 'shows.write', 'finance.read', 'finance.write', 'imports.run', 'itineraries.read', 'itineraries.write', 'analytics.read', 'exports.run']),
  ('viewer',  array['organization.read', 'members.read', 'shows.read', 'finance.read', 'itineraries.read', 'analytics.read'])
) as r (role, held), unnest(r.held) as p (permission)
on conflict do nothing;
--! EndIncluded permissions.sql
--! Included visible_org.sql
-- Whose rows somebody sees in `analytics`. The materialized views behind it hold those of all
-- organizations and know no policies, so every view there compares organization_id with this.

create or replace function app.visible_org(permission text default null) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  if permission is not null and app.org_if(permission) is null then
    return null;
  end if;
  return app.org_if('analytics.read');
end
$$;
comment on function app.visible_org(text) is
  'The organization whose figures this transaction may read: its member''s, if they hold analytics.read and the permission that is asked for besides. NULL if there is none.';
alter function app.visible_org(text) owner to callboard_definer;
revoke execute on function app.visible_org(text) from public;
grant execute on function app.visible_org(text) to callboard_api, callboard_rollup;
--! EndIncluded visible_org.sql
