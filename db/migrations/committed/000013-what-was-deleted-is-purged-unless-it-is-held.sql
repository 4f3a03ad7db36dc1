--! Previous: sha1:74a35eede1b88ee57a1a24113b9ab0d25bedae3e
--! Hash: sha1:68b48b6b6d5387f89b9b8499888751c8e0238081
--! Message: what was deleted is purged, unless it is held

-- What outlives an organization that is deleted for good, and what does not.
alter table app_private.slugs drop constraint if exists slugs_organization_id_fkey;
alter table app.event_retentions drop constraint if exists event_retentions_organization_id_fkey;
alter table app_private.support_grants drop constraint if exists support_grants_organization_id_fkey,
  add constraint support_grants_organization_id_fkey foreign key (organization_id) references app.organizations (id) on delete cascade;
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
  ('owner',   array['organization.read', 'organization.update', 'organization.delete', 'members.read', 'members.manage', 'shows.read', 'shows.write', 'shows.delete', 'finance.read', 'finance.write', 'finance.delete', 'finance.close', 'imports.run', 'itineraries.read', 'itineraries.write', 'itineraries.delete', 'audit.read', 'audit.manage', 'retention.manage']),
  ('admin',   array['organization.read', 'organization.update', 'members.read', 'shows.read', 'shows.write', 'shows.delete', 'finance.read', 'finance.write', 'finance.delete', 'finance.close', 'imports.run', 'itineraries.read', 'itineraries.write', 'itineraries.delete', 'audit.read']),
  ('manager', array['organization.read', 'members.read', 'shows.read', 'shows.write', 'finance.read', 'finance.write', 'imports.run', 'itineraries.read', 'itineraries.write']),
  ('viewer',  array['organization.read', 'members.read', 'shows.read', 'finance.read', 'itineraries.read'])
) as r (role, held), unnest(r.held) as p (permission)
on conflict do nothing;
--! EndIncluded permissions.sql
--! Included event_triggers.sql
-- How changes of tables become events. A table takes part with one line,
--
--   select app_private.log_changes('app.shows', 'show');
--
-- and one that does not is named, with the reason, in test/events/not-logged.ts.

create or replace function app_private.loggable(of_row jsonb, hidden text) returns jsonb
language sql immutable parallel safe
return case hidden when '{}' then of_row - '{organization_id,id,created_at,created_by,updated_at,version,deleted_by}'::text[]
  else of_row - '{organization_id,id,created_at,created_by,updated_at,version,deleted_by}'::text[] - hidden::text[] end;
comment on function app_private.loggable(jsonb, text) is 'A row without what its event says anyway, and without the columns of a list.';
alter function app_private.loggable(jsonb, text) owner to callboard_definer;
revoke execute on function app_private.loggable(jsonb, text) from public;

create or replace function app_private.diff(before jsonb, after jsonb) returns jsonb
language plpgsql immutable parallel safe
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('old', jsonb_object_agg(a.key, before -> a.key), 'new', jsonb_object_agg(a.key, a.value))
    from jsonb_each(after) a where a.value is distinct from before -> a.key
    having count(*) > 0);
end
$$;
comment on function app_private.diff(jsonb, jsonb) is 'The columns in which two versions of a row differ, old and new; NULL if there is none.';
alter function app_private.diff(jsonb, jsonb) owner to callboard_definer;
revoke execute on function app_private.diff(jsonb, jsonb) from public;

-- Runs with every change, so it has few and small expressions: PostgreSQL prepares each anew in every transaction.
create or replace function app_private.tg__900_event() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  -- The arguments are those that app_private.log_changes gives: resource, column of its id, column of
  -- its organization, verbs, columns to leave out.
  present jsonb := to_jsonb(coalesce(new, old));
  changes jsonb;
  verb text := 'create';
begin
  if tg_op = 'INSERT' then
    changes := jsonb_build_object('new', jsonb_strip_nulls(app_private.loggable(present, tg_argv[4])));
  elsif tg_op = 'UPDATE' then
    changes := app_private.diff(app_private.loggable(to_jsonb(old), tg_argv[4]), app_private.loggable(present, tg_argv[4]));
    if changes is null then
      return null;
    elsif changes -> 'new' ? 'deleted_at' then
      verb := case when present ->> 'deleted_at' is null then 'restore' else 'delete' end;
    else
      verb := coalesce((select v.key from jsonb_each(tg_argv[3]::jsonb) v where changes -> 'new' ? v.key limit 1), 'update');
    end if;
  else
    -- What was marked before is purged now, with what goes along, and its values are to be gone. What is never marked is taken back.
    if present ->> 'deleted_at' is not null or current_setting('app.role', true) = 'purge' and app_private.is_genuine() then
      verb := 'purge';
    else
      verb := 'delete';
      if not present ? 'deleted_at' then
        changes := jsonb_build_object('old', jsonb_strip_nulls(app_private.loggable(present, tg_argv[4])));
      end if;
    end if;
  end if;
  if tg_argv[3] <> '{}' then
    verb := coalesce(tg_argv[3]::jsonb ->> verb, verb);
  end if;
  -- A statement may change the context while it is at work: what has lost its own by the end is not done.
  if app_private.is_genuine() and current_setting('app.current_org') = present ->> tg_argv[2] and current_setting('app.user_id') <> '' then
    insert into app.event_log (organization_id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes)
    values ((present ->> tg_argv[2])::uuid, current_setting('app.user_id')::uuid, current_setting('app.session_id')::uuid,
      (present ->> tg_argv[1])::uuid, case session_user when 'callboard_support' then 'support' else 'user' end,
      tg_argv[0] || '.' || verb, tg_argv[0],
      nullif(current_setting('app.request_id'), ''), nullif(current_setting('app.ip'), '')::inet, changes);
  elsif app_private.is_trusted() then
    perform app_private.log_event((present ->> tg_argv[2])::uuid, tg_argv[0] || '.' || verb, tg_argv[0], (present ->> tg_argv[1])::uuid, changes);
  else
    perform app.refuse(403, 'permission_denied', 'The context was lost on the way.');
  end if;
  return null;
end
$$;
comment on function app_private.tg__900_event() is 'Writes what was done to a row into the event log. PT403 if a login has no context of the row''s organization any more.';
alter function app_private.tg__900_event() owner to callboard_definer;
revoke execute on function app_private.tg__900_event() from public;

create or replace function app_private.log_changes(on_table regclass, resource text, verbs jsonb default '{}', id_column text default 'id') returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  organization_column text := case when on_table = to_regclass('app.organizations') then 'id' else 'organization_id' end;
  -- What is bytes is a hash or a key.
  hidden text[] := array(
    select a.attname::text from pg_catalog.pg_attribute a
    where a.attrelid = on_table and (a.atttypid = 'bytea'::regtype or a.attname = id_column and id_column <> 'id') and not a.attisdropped
    order by a.attname);
begin
  execute format('create or replace trigger _900_event after insert or update or delete on %s
    for each row execute function app_private.tg__900_event(%L, %L, %L, %L, %L)',
    on_table, resource, id_column, organization_column, verbs, hidden);
end
$$;
comment on function app_private.log_changes(regclass, text, jsonb, text) is
  'Has every change of the table''s rows logged as <resource>.create, update, delete, restore or purge. verbs gives others, by these names or by the column whose change it is: {"role": "change_role"}. To be called again when the table gets a column of bytes.';
revoke execute on function app_private.log_changes(regclass, text, jsonb, text) from public;
--! EndIncluded event_triggers.sql
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
-- and never to somebody else's, even when that is gone.
create table if not exists app_private.slugs (
  slug text primary key constraint slugs_format check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and length(slug) <= 80),
  -- No foreign key: it outlives the organization.
  organization_id uuid not null,
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

select app_private.log_changes('app.organizations', 'organization');

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
create index if not exists memberships_deletion_id_idx on app.memberships (organization_id, deletion_id) where deletion_id is not null;

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
  for each row when (old.role = 'owner' and old.deleted_at is null and (new.role is distinct from 'owner' or new.deleted_at is not null))
  execute function app_private.tg_memberships__300_last_owner();
--! EndIncluded memberships.sql
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
  -- What is set to null does without its parent: it neither follows a deletion nor forbids one.
  where c.contype = 'f' and c.confdeltype <> 'n'
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.conrelid and a.attname = 'deletion_id' and not a.attisdropped)
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.confrelid and a.attname = 'deletion_id' and not a.attisdropped);
comment on view app_private.deletion_edges is 'Foreign keys between tables with soft delete: what a deletion follows, and what forbids it.';
grant select on app_private.deletion_edges to callboard_definer;

create or replace view app_private.deletion_tables as
  select c.oid::regclass as marked, case when c.oid = 'app.organizations'::regclass then 'id' else 'organization_id' end as organization_column
  from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
  where a.attname = 'deletion_id' and not a.attisdropped and c.relkind in ('r', 'p') and not c.relispartition
  order by c.relname;
comment on view app_private.deletion_tables is 'The tables with soft delete, and their columns with the organization.';
grant select on app_private.deletion_tables to callboard_definer;

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
  t record;
begin
  for t in select * from app_private.deletion_tables loop
    execute format('update %s set deleted_at = null, deleted_by = null, deletion_id = null where deletion_id = $1 and %I = app.current_org()',
      t.marked, t.organization_column)
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
  -- The first member cannot be let in by anybody: for these two rows the context is the founder's own.
  perform app_private.change_context(founder, coalesce(app.current_session_id(), app.uuid_v7()), organization);
  insert into app.organizations (id, name, currency, time_zone)
  values (organization, body ->> 'name', coalesce(body ->> 'currency', 'USD'), coalesce(body ->> 'time_zone', 'UTC'));
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
  select o.id from app_private.slugs s join app.organizations o on o.id = s.organization_id where s.slug = of_slug;
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
  perform app_private.change_context(me, app.current_session_id(), organization, bin.role, held);
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
create index if not exists invitations_deletion_id_idx on app.invitations (organization_id, deletion_id) where deletion_id is not null;
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

select app_private.log_changes('app.invitations', 'invitation',
  '{"delete": "revoke", "accepted_at": "accept", "expires_at": "resend"}');

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
  values (organization, invitation, lower(address), new_role, app_private.digest(app_private.random_token()), app.current_user_id(), now() + interval '7 days');
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
  perform app_private.change_context(who, coalesce(app.current_session_id(), app.uuid_v7()), i.organization_id);
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
--! Included legal_holds.sql
-- Legal holds: while an organization has one that is not released, nothing of it is deleted for good:
-- no deleted rows, no old events, no details of events, and not the organization itself. Deleting
-- goes on as always, because it only marks. A hold is never deleted, so the table is its history.

create table if not exists app.legal_holds (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  reason text not null constraint legal_holds_reason_given check (length(btrim(reason)) between 1 and 500 and reason !~ '[\u0001-\u001f\u007f-\u009f]'),
  -- NULL for a DBA.
  placed_by uuid default app.current_user_id() references app.users (id),
  placed_at timestamptz not null default now(),
  released_by uuid references app.users (id),
  released_at timestamptz,
  primary key (organization_id, id)
);
alter table app.legal_holds alter column reason set statistics 0;

alter table app.legal_holds enable row level security;
alter table app.legal_holds force row level security;
drop policy if exists select_member on app.legal_holds;
create policy select_member on app.legal_holds for select to callboard_api
  using (organization_id = (select app.org_if('audit.read')));
-- Without grants: app.place_legal_hold and app.release_legal_hold write, and these say which permission they need.
drop policy if exists insert_member on app.legal_holds;
create policy insert_member on app.legal_holds for insert to callboard_api
  with check (organization_id = (select app.org_if('retention.manage')));
drop policy if exists update_member on app.legal_holds;
create policy update_member on app.legal_holds for update to callboard_api
  using (organization_id = (select app.org_if('retention.manage')));
drop policy if exists select_definer on app.legal_holds;
create policy select_definer on app.legal_holds for select to callboard_definer using (true);
drop policy if exists insert_definer on app.legal_holds;
create policy insert_definer on app.legal_holds for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.legal_holds;
create policy update_definer on app.legal_holds for update to callboard_definer
  using (organization_id = (select app.current_org()));
grant select on app.legal_holds to callboard_api, callboard_definer;
grant insert (reason), update (released_at, released_by) on app.legal_holds to callboard_definer;
comment on table app.legal_holds is 'Why nothing of an organization may be deleted for good, and until when that was so.';
comment on column app.legal_holds.placed_by is 'The member who placed it; null for a DBA, whose holds only a DBA releases.';

select app_private.log_changes('app.legal_holds', 'legal_hold', '{"create": "place", "released_at": "release"}');

create or replace function app_private.is_held(organization uuid) returns boolean
language plpgsql stable
set search_path = ''
as $$
begin
  return exists (select from app.legal_holds h where h.organization_id = organization and h.released_at is null);
end
$$;
comment on function app_private.is_held(uuid) is 'Whether a legal hold keeps all that an organization has.';
alter function app_private.is_held(uuid) owner to callboard_definer;
revoke execute on function app_private.is_held(uuid) from public;

create or replace view app.legal_hold_list with (security_invoker = true) as
  select h.organization_id, h.id, h.placed_at,
    json_build_object('id', h.id, 'reason', h.reason, 'placed_by', h.placed_by, 'placed_at', h.placed_at,
      'released_by', h.released_by, 'released_at', h.released_at) as body
  from app.legal_holds h;
comment on view app.legal_hold_list is 'The organization''s legal holds, released ones too, with their JSON.';
grant select on app.legal_hold_list to callboard_api, callboard_definer;

create or replace function app.read_legal_hold(hold uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := app.require('audit.read');
  answer app.answer;
begin
  select 200, h.body into answer.status, answer.body from app.legal_hold_list h where h.organization_id = organization and h.id = hold;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_legal_hold(uuid) is 'A legal hold, released or not. PT403 without audit.read, PT404.';
revoke execute on function app.read_legal_hold(uuid) from public;
grant execute on function app.read_legal_hold(uuid) to callboard_api;

create or replace function app_private.hold_organization(organization uuid, why text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  hold uuid;
begin
  -- A purge that is under way holds this row: it ends before the hold begins, and the next one sees it.
  perform from app.organizations o where o.id = organization for no key update;
  insert into app.legal_holds (reason) values (why) returning id into hold;
  return hold;
end
$$;
comment on function app_private.hold_organization(uuid, text) is 'Places a hold on the organization of this transaction.';
alter function app_private.hold_organization(uuid, text) owner to callboard_definer;
revoke execute on function app_private.hold_organization(uuid, text) from public;

create or replace function app.place_legal_hold(why text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('retention.manage');
  hold uuid := app_private.hold_organization(organization, why);
begin
  return (201, h.body, null, '/api/legal-holds/' || h.id)::app.answer
    from app.legal_hold_list h where h.organization_id = organization and h.id = hold;
end
$$;
comment on function app.place_legal_hold(text) is
  'Keeps all that the organization has from being deleted for good, for a reason. PT403 without retention.manage, legal_holds_reason_given.';
alter function app.place_legal_hold(text) owner to callboard_definer;
revoke execute on function app.place_legal_hold(text) from public;
grant execute on function app.place_legal_hold(text) to callboard_api;

create or replace function app.release_legal_hold(hold uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('retention.manage');
  h app.legal_holds;
begin
  select * into h from app.legal_holds x where x.organization_id = organization and x.id = hold for no key update;
  if h.id is null then
    perform app.refuse(404, 'not_found');
  elsif h.released_at is not null then
    perform app.refuse(409, 'legal_hold_released');
  elsif h.placed_by is null then
    perform app.refuse(409, 'legal_hold_not_yours');
  end if;
  update app.legal_holds x set released_at = statement_timestamp(), released_by = app.current_user_id()
  where x.organization_id = organization and x.id = hold;
  return (200, l.body, null, null)::app.answer
    from app.legal_hold_list l where l.organization_id = organization and l.id = hold;
end
$$;
comment on function app.release_legal_hold(uuid) is
  'Ends a hold that a member has placed. PT403 without retention.manage, PT404, PT409 legal_hold_released, legal_hold_not_yours.';
alter function app.release_legal_hold(uuid) owner to callboard_definer;
revoke execute on function app.release_legal_hold(uuid) from public;
grant execute on function app.release_legal_hold(uuid) to callboard_api;

-- The same for a DBA, also of an organization that has been deleted. In the organization's context,
-- as all writing is, and without it afterwards.
create or replace function app_private.place_legal_hold(of_slug text, why text) returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := app_private.slug_organization(of_slug);
  hold uuid;
begin
  if organization is null then
    perform app.refuse(404, 'not_found', format('There is no organization %s.', of_slug));
  end if;
  perform app_private.set_context(null, null, organization);
  hold := app_private.hold_organization(organization, why);
  perform app_private.set_context(null, null);
  return hold;
end
$$;
comment on function app_private.place_legal_hold(text, text) is
  'Keeps all that an organization (by slug) has from being deleted for good, until a DBA releases it; for a reason, which its members read. Returns the hold''s id. PT404, legal_holds_reason_given.';
alter function app_private.place_legal_hold(text, text) owner to callboard_definer;
revoke execute on function app_private.place_legal_hold(text, text) from public;

create or replace function app_private.release_legal_hold(hold uuid) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := (select h.organization_id from app.legal_holds h where h.id = hold and h.released_at is null);
begin
  if organization is null then
    perform app.refuse(404, 'not_found', 'There is no such hold, or it has been released.');
  end if;
  perform app_private.set_context(null, null, organization);
  update app.legal_holds h set released_at = statement_timestamp() where h.organization_id = organization and h.id = hold;
  perform app_private.set_context(null, null);
end
$$;
comment on function app_private.release_legal_hold(uuid) is 'Ends a hold, whoever has placed it. PT404.';
alter function app_private.release_legal_hold(uuid) owner to callboard_definer;
revoke execute on function app_private.release_legal_hold(uuid) from public;
--! EndIncluded legal_holds.sql
--! Included event_retention.sql
-- How long events are kept, and how personal details leave them before that.

create table if not exists app.event_retentions (
  -- No foreign key: like the log, it outlives the organization.
  organization_id uuid primary key default app.current_org(),
  days integer not null constraint event_retentions_days_range check (days between 90 and 3650)
);
alter table app.event_retentions alter column days set statistics 0;
alter table app.event_retentions enable row level security;
alter table app.event_retentions force row level security;
drop policy if exists select_member on app.event_retentions;
create policy select_member on app.event_retentions for select to callboard_api
  using (organization_id = (select app.org_if('audit.read')));
-- Without grants: app.set_event_retention writes, and they say which permission it needs.
drop policy if exists insert_member on app.event_retentions;
create policy insert_member on app.event_retentions for insert to callboard_api
  with check (organization_id = (select app.org_if('audit.manage')));
drop policy if exists update_member on app.event_retentions;
create policy update_member on app.event_retentions for update to callboard_api
  using (organization_id = (select app.org_if('audit.manage')));
drop policy if exists select_definer on app.event_retentions;
create policy select_definer on app.event_retentions for select to callboard_definer using (true);
drop policy if exists insert_definer on app.event_retentions;
create policy insert_definer on app.event_retentions for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.event_retentions;
create policy update_definer on app.event_retentions for update to callboard_definer
  using (organization_id = (select app.current_org()));
grant select on app.event_retentions to callboard_api, callboard_definer;
grant insert (days), update (days) on app.event_retentions to callboard_definer;
comment on table app.event_retentions is 'For how many days an organization''s events are kept, where that is not 365.';

select app_private.log_changes('app.event_retentions', 'audit', '{"create": "set_retention", "update": "set_retention"}', 'organization_id');

create or replace function app.read_event_retention() returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := app.require('audit.read');
begin
  return (null, json_build_object('days', coalesce((select r.days from app.event_retentions r where r.organization_id = organization), 365)),
    null, null)::app.answer;
end
$$;
comment on function app.read_event_retention() is 'For how many days the organization''s events are kept. PT403 without audit.read.';
revoke execute on function app.read_event_retention() from public;
grant execute on function app.read_event_retention() to callboard_api, callboard_definer;

create or replace function app.set_event_retention(new_days integer) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('audit.manage');
  insert into app.event_retentions as r (days) values (new_days)
  on conflict (organization_id) do update set days = excluded.days;
  return app.read_event_retention();
end
$$;
comment on function app.set_event_retention(integer) is 'Keeps the organization''s events for so many days from now on. PT403 without audit.manage.';
alter function app.set_event_retention(integer) owner to callboard_definer;
revoke execute on function app.set_event_retention(integer) from public;
grant execute on function app.set_event_retention(integer) to callboard_api;

create or replace function app.purge_events() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid;
  before timestamptz;
  gone bigint;
  purged bigint := 0;
begin
  loop
    organization := app_private.next_logged(organization, '0001-01-01 00:00:00+00', now() - interval '90 days');
    exit when organization is null;
    continue when app_private.is_held(organization);
    before := now() - make_interval(days => coalesce((select r.days from app.event_retentions r where r.organization_id = organization), 365));
    -- What is not sealed yet stays: it would leave no trace.
    delete from app.event_log l
    where l.organization_id = organization and l.occurred_at < before
      and exists (select from app.event_seals s where s.organization_id = organization and s.event_id = l.id);
    get diagnostics gone = row_count;
    if gone > 0 then
      perform app_private.log_event(organization, 'audit.purge', 'organization', organization,
        jsonb_build_object('new', jsonb_build_object('before', before, 'events', gone)));
      purged := purged + gone;
    end if;
  end loop;
  return purged;
end
$$;
comment on function app.purge_events() is
  'Deletes the sealed events that are older than their organization keeps them, unless a legal hold does, and logs until when (audit.purge); says how many. Once a day, before app.maintain_event_partitions.';
alter function app.purge_events() owner to callboard_definer;
revoke execute on function app.purge_events() from public;
grant execute on function app.purge_events() to callboard_worker;

create or replace function app_private.erase_events(about uuid) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  erased bigint := 0;
  found_in record;
begin
  for found_in in
    with gone as (
      update app.event_log l set erased_at = now(), changes = null, request_id = null, ip = null, salt = null
      where (l.actor_id = about or l.resource_id = about) and l.erased_at is null and l.action not in ('audit.purge', 'audit.erase')
      returning l.organization_id
    )
    select g.organization_id, count(*) as events from gone g group by 1
  loop
    if app_private.is_held(found_in.organization_id) then
      perform app.refuse(409, 'legal_hold', format('The organization %s has a legal hold: nothing of its events may be erased.', found_in.organization_id));
    end if;
    -- app.verify_events finds it by the moment and by what it is about.
    perform app_private.log_event(found_in.organization_id, 'audit.erase', 'details', about,
      jsonb_build_object('new', jsonb_build_object('events', found_in.events)));
    erased := erased + found_in.events;
  end loop;
  return erased;
end
$$;
comment on function app_private.erase_events(uuid) is
  'Erases changes, request id and address of all events that a user did, or that are about the user or thing with this id; what is left stays verifiable. Logs audit.erase in each organization; says how many. PT409 legal_hold if one of them has one: then nothing is erased.';
alter function app_private.erase_events(uuid) owner to callboard_definer;
revoke execute on function app_private.erase_events(uuid) from public;
--! EndIncluded event_retention.sql
--! Included support.sql
-- Superadmins: people who run the service and look into organizations that they do not belong to. That
-- is no flag and no permission but another login of the database, callboard_support, which has what the
-- API's login has and this door beside it. A grant, made by a DBA, says who, why, where and until when;
-- each use is an event of the organization's own log, committed before anything is read.

create table if not exists app_private.support_grants (
  id uuid primary key default app.uuid_v7(),
  user_id uuid not null references app.users (id),
  -- NULL for all organizations.
  organization_id uuid references app.organizations (id) on delete cascade,
  reason text not null constraint support_grants_reason_given check (length(btrim(reason)) between 1 and 500 and reason !~ '[\u0001-\u001f\u007f-\u009f]'),
  may_write boolean not null default false,
  granted_by text not null default session_user,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  constraint support_grants_expires_later check (expires_at > created_at)
);
create index if not exists support_grants_user_id_idx on app_private.support_grants (user_id);
create index if not exists support_grants_organization_id_idx on app_private.support_grants (organization_id);
alter table app_private.support_grants enable row level security;
alter table app_private.support_grants force row level security;
drop policy if exists all_definer on app_private.support_grants;
create policy all_definer on app_private.support_grants for all to callboard_definer using (true);
grant select, insert, update on app_private.support_grants to callboard_definer;
comment on table app_private.support_grants is 'Who may look into an organization, or all, as a superadmin: why, until when, and whether they may write. Made by a DBA.';

create or replace function app_private.grant_support(
  address text, why text, until timestamptz, slug text default null, may_write boolean default false
) returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  who uuid := (select u.id from app.users u where lower(u.email) = lower(address));
  organization uuid := app_private.slug_organization(slug);
  id uuid;
begin
  if who is null then
    perform app.refuse(404, 'not_found', format('There is no account %s.', address));
  elsif slug is not null and organization is null then
    perform app.refuse(404, 'not_found', format('There is no organization %s.', slug));
  end if;
  insert into app_private.support_grants as g (user_id, organization_id, reason, may_write, granted_by, expires_at)
  values (who, organization, why, grant_support.may_write, session_user, until) returning g.id into id;
  perform app_private.log_event(organization, 'auth.superadmin.granted', 'support_grant', id,
    jsonb_build_object('new', jsonb_build_object('user_id', who, 'reason', why, 'may_write', grant_support.may_write, 'expires_at', until)));
  return id;
end
$$;
comment on function app_private.grant_support(text, text, timestamptz, text, boolean) is
  'Lets somebody (by address) into an organization (by slug; all without one) as a superadmin, for a reason, until then. Returns the grant''s id. PT404, support_grants_reason_given, support_grants_expires_later.';
alter function app_private.grant_support(text, text, timestamptz, text, boolean) owner to callboard_definer;
revoke execute on function app_private.grant_support(text, text, timestamptz, text, boolean) from public;

create or replace function app_private.revoke_support(the_grant uuid) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  g app_private.support_grants;
begin
  update app_private.support_grants x set revoked_at = now() where x.id = the_grant and x.revoked_at is null returning x.* into g;
  if g.id is null then
    perform app.refuse(404, 'not_found', 'There is no such grant, or it has been revoked.');
  end if;
  perform app_private.log_event(g.organization_id, 'auth.superadmin.revoked', 'support_grant', g.id);
end
$$;
comment on function app_private.revoke_support(uuid) is 'Ends a grant: the next request with it is refused. PT404.';
alter function app_private.revoke_support(uuid) owner to callboard_definer;
revoke execute on function app_private.revoke_support(uuid) from public;

create or replace function app_private.live_support_grant(of_user uuid, of_organization uuid) returns app_private.support_grants
language plpgsql stable
set search_path = ''
as $$
declare
  g app_private.support_grants;
begin
  select * into g from app_private.support_grants x
  where x.user_id = of_user and x.revoked_at is null and x.expires_at > now()
    and (x.organization_id is null or x.organization_id = of_organization)
  order by x.may_write desc, x.expires_at desc limit 1;
  if g.id is null or of_organization is not null and not exists (select from app.organizations o where o.id = of_organization) then
    -- The same, whether there is such an organization or not.
    perform app.refuse(403, 'support_grant_needed');
  end if;
  return g;
end
$$;
comment on function app_private.live_support_grant(uuid, uuid) is
  'The grant by which a user may look into an organization, or with null, into all. PT403 support_grant_needed.';
alter function app_private.live_support_grant(uuid, uuid) owner to callboard_definer;
revoke execute on function app_private.live_support_grant(uuid, uuid) from public;

create or replace function app.use_support(session_secret text, organization uuid, what text, request_id text, ip inet) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  g app_private.support_grants := app_private.live_support_grant(s.user_id, organization);
begin
  perform app_private.set_context(s.user_id, s.id, null, null, '{}', request_id, ip);
  perform app_private.log_event(organization, 'auth.superadmin.used', 'support_grant', g.id,
    jsonb_build_object('new', jsonb_build_object('request', left(what, 200), 'reason', g.reason, 'may_write', g.may_write)));
end
$$;
comment on function app.use_support(text, uuid, text, text, inet) is
  'Says in the log of an organization (or with null, in nobody''s) that a superadmin is about to do something. In a transaction of its own, committed before. PT401 session_unknown, session_revoked, session_expired, PT403 support_grant_needed.';
alter function app.use_support(text, uuid, text, text, inet) owner to callboard_definer;
revoke execute on function app.use_support(text, uuid, text, text, inet) from public;
grant execute on function app.use_support(text, uuid, text, text, inet) to callboard_support;

create or replace function app.enter_support(session_secret text, organization uuid, request_id text, ip inet) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  g app_private.support_grants := app_private.live_support_grant(s.user_id, organization);
begin
  -- A transaction that only reads cannot be made to write any more, so in it they may all.
  perform app_private.set_context(s.user_id, s.id, organization, 'superadmin', array(
    select p.name from app.permissions p
    where g.may_write or p.name like '%.read' or current_setting('transaction_read_only')::boolean order by p.name), request_id, ip);
end
$$;
comment on function app.enter_support(text, uuid, text, inet) is
  'Opens this transaction for a superadmin: in an organization with all that there is to read, and to write if the grant says so. PT401 session_unknown, session_revoked, session_expired, PT403 support_grant_needed.';
alter function app.enter_support(text, uuid, text, inet) owner to callboard_definer;
revoke execute on function app.enter_support(text, uuid, text, inet) from public;
grant execute on function app.enter_support(text, uuid, text, inet) to callboard_support;

create or replace function app.support_token(session_secret text, organization uuid) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  g app_private.support_grants := app_private.live_support_grant(s.user_id, organization);
begin
  return (200, json_build_object('user_id', s.user_id, 'organization_id', organization, 'role', null, 'permissions', array(
    select p.name from app.permissions p where g.may_write or p.name like '%.read' order by p.name)), null, null)::app.answer;
end
$$;
comment on function app.support_token(text, uuid) is 'What the access token of a superadmin says. PT401, PT403 support_grant_needed.';
alter function app.support_token(text, uuid) owner to callboard_definer;
revoke execute on function app.support_token(text, uuid) from public;
grant execute on function app.support_token(text, uuid) to callboard_support;

create or replace function app.support_organization(session_secret text, slug text) returns uuid
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  organization uuid := app_private.slug_organization(slug);
begin
  -- Without a grant one is not told whether there is such an organization.
  perform app_private.live_support_grant(s.user_id, coalesce(organization, app_private.nobody()));
  return organization;
end
$$;
comment on function app.support_organization(text, text) is 'The organization with a slug, for a superadmin who may look into it. PT401, PT403 support_grant_needed.';
alter function app.support_organization(text, text) owner to callboard_definer;
revoke execute on function app.support_organization(text, text) from public;
grant execute on function app.support_organization(text, text) to callboard_support;

create or replace function app.list_all_organizations(matching text, after text, how_many integer) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  last json := convert_from(decode(rpad(translate(after, '-_', '+/'), (length(after) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::json;
begin
  -- Only app.enter_support gives this role, and without an organization only for a grant for all.
  if app.current_user_id() is null or app.current_org() is not null or current_setting('app.role') <> 'superadmin' then
    perform app.refuse(403, 'support_grant_needed');
  elsif last ->> 1 is null and after is not null then
    perform app.refuse(400, 'invalid_cursor', 'Take the cursor from next_cursor of the page before.');
  end if;
  return (
    with found as (
      select o.id, o.name, row_number() over (order by o.name, o.id) as n, json_build_object('id', o.id, 'name', o.name, 'slug', o.slug,
        'members', (select count(*) from app.memberships m where m.organization_id = o.id and m.deleted_at is null),
        'created_at', o.created_at, 'deleted_at', o.deleted_at) as body
      from app.organizations o
      where (matching is null or o.name ilike '%' || regexp_replace(matching, '([\\%_])', '\\\1', 'g') || '%')
        and (last is null or (o.name, o.id) > (last ->> 0, (last ->> 1)::uuid))
      order by o.name, o.id limit how_many + 1)
    select (200, json_build_object('items', coalesce(json_agg(f.body order by f.n) filter (where f.n <= how_many), '[]'),
      'next_cursor', case when count(*) > how_many then translate(encode(convert_to(
        (json_agg(json_build_array(f.name, f.id)) filter (where f.n = how_many) -> 0)::text, 'UTF8'), 'base64'), E'+/=\n', '-_') end), null, null)::app.answer
    from found f);
exception when data_exception then
  perform app.refuse(400, 'invalid_cursor', 'Take the cursor from next_cursor of the page before.');
end
$$;
comment on function app.list_all_organizations(text, text, integer) is
  'For a superadmin with a grant for all organizations: a page of them by name, deleted ones too. PT400 invalid_cursor, PT403 support_grant_needed.';
alter function app.list_all_organizations(text, text, integer) owner to callboard_definer;
revoke execute on function app.list_all_organizations(text, text, integer) from public;
grant execute on function app.list_all_organizations(text, text, integer) to callboard_support;
--! EndIncluded support.sql
--! Included purge.sql
-- What goes, and when: the retention of what belongs to no organization's work. The worker calls
-- this every hour (src/jobs/schedule.ts). What organizations have deleted: deletion_purge.sql.

create or replace function app.purge_expired() returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  gone jsonb := '{}';
  n bigint;
begin
  -- Refresh tokens that could renew nothing any more.
  delete from app_private.refresh_tokens t where t.used_at < now() - app_private.session_lifetime();
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('refresh_tokens', n);

  -- Ended sessions, with the refresh tokens that they still have.
  delete from app.sessions s where coalesce(s.revoked_at, s.expires_at) < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('sessions', n);

  -- Links, used or not.
  delete from app_private.email_tokens t where t.expires_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('email_tokens', n);

  -- Answers to repeated requests: the policy purge_definer shows no others.
  delete from app.idempotency_keys k where k.created_at < now() - interval '24 hours';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('idempotency_keys', n);

  -- A mail whose job has ended, or is lost, without a word of the mail: nobody will send it.
  update app_private.mails m
  set failed_at = now(), data = m.data - 'token', last_error = coalesce(m.last_error, 'its job has ended')
  where m.sent_at is null and m.failed_at is null and not exists (
    select from graphile_worker._private_jobs j
    where j.key = 'send_mail:' || m.id and (j.is_available or j.locked_at is not null));
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('mails_given_up', n);

  delete from app_private.mails m where coalesce(m.sent_at, m.failed_at) < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('mails', n);

  -- What was uploaded, with what was wrong with it.
  delete from app.imports i where i.created_at < now() - interval '30 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('imports', n);

  -- Jobs that were given up.
  delete from graphile_worker._private_jobs j
  where not j.is_available and j.locked_at is null and j.run_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('jobs', n);

  return gone;
end
$$;
comment on function app.purge_expired() is
  'Deletes ended sessions, old links, sent mails and failed jobs after 90 days, spent refresh tokens after 30, idempotency keys after one. Returns how many of each.';
alter function app.purge_expired() owner to callboard_definer;
revoke execute on function app.purge_expired() from public;
grant execute on function app.purge_expired() to callboard_worker;
--! EndIncluded purge.sql
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
create index if not exists venues_deletion_id_idx on app.venues (organization_id, deletion_id) where deletion_id is not null;
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

select app_private.log_changes('app.venues', 'venue');

create or replace view app.venue_list with (security_invoker = true) as
  select v.organization_id, v.id, v.name, v.city, v.country, v.created_at, v.version,
    json_build_object('id', v.id, 'name', v.name, 'city', v.city, 'country', v.country, 'time_zone', v.time_zone,
      'capacity', v.capacity, 'created_at', v.created_at, 'updated_at', v.updated_at) as body,
    v.deleted_at, v.deleted_by
  from app.venues v;
comment on view app.venue_list is 'The organization''s venues with their JSON, also those in the bin, which have deleted_at.';
grant select on app.venue_list to callboard_api, callboard_definer;

create or replace function app.read_venue(venue uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, v.body, app.etag(v.version), '/api/venues/' || v.id into answer from app.venue_list v
  where v.organization_id = app.current_org() and v.id = venue and v.deleted_at is null;
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
--! Included deletion_retention.sql
-- How long deleted rows can be restored, before they are deleted for good (deletion_purge.sql).

create table if not exists app.deletion_retentions (
  organization_id uuid primary key default app.current_org() references app.organizations (id) on delete cascade,
  deleted_days integer not null constraint deletion_retentions_days_range check (deleted_days between 1 and 3650)
);
alter table app.deletion_retentions alter column deleted_days set statistics 0;
alter table app.deletion_retentions enable row level security;
alter table app.deletion_retentions force row level security;
drop policy if exists select_member on app.deletion_retentions;
create policy select_member on app.deletion_retentions for select to callboard_api
  using (organization_id = (select app.org_if('audit.read')));
-- Without grants: app.set_retention writes, and they say which permission it needs.
drop policy if exists insert_member on app.deletion_retentions;
create policy insert_member on app.deletion_retentions for insert to callboard_api
  with check (organization_id = (select app.org_if('retention.manage')));
drop policy if exists update_member on app.deletion_retentions;
create policy update_member on app.deletion_retentions for update to callboard_api
  using (organization_id = (select app.org_if('retention.manage')));
drop policy if exists select_definer on app.deletion_retentions;
create policy select_definer on app.deletion_retentions for select to callboard_definer using (true);
drop policy if exists insert_definer on app.deletion_retentions;
create policy insert_definer on app.deletion_retentions for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.deletion_retentions;
create policy update_definer on app.deletion_retentions for update to callboard_definer
  using (organization_id = (select app.current_org()));
grant select on app.deletion_retentions to callboard_api, callboard_definer;
grant insert (deleted_days), update (deleted_days) on app.deletion_retentions to callboard_definer;
comment on table app.deletion_retentions is 'For how many days an organization''s deleted rows are kept, where that is not 30.';

select app_private.log_changes('app.deletion_retentions', 'retention', '{"create": "set", "update": "set"}', 'organization_id');

create or replace function app_private.retention_of(organization uuid) returns json
language plpgsql stable
set search_path = ''
as $$
begin
  return json_build_object(
    'deleted_days', coalesce((select r.deleted_days from app.deletion_retentions r where r.organization_id = organization), 30),
    'is_held', app_private.is_held(organization));
end
$$;
comment on function app_private.retention_of(uuid) is 'What the API says of an organization''s retention.';
alter function app_private.retention_of(uuid) owner to callboard_definer;
revoke execute on function app_private.retention_of(uuid) from public;

create or replace function app.read_retention() returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (null, app_private.retention_of(app.require('audit.read')), null, null)::app.answer;
end
$$;
comment on function app.read_retention() is
  'For how many days the organization''s deleted rows are kept, and whether a legal hold keeps them longer. PT403 without audit.read.';
alter function app.read_retention() owner to callboard_definer;
revoke execute on function app.read_retention() from public;
grant execute on function app.read_retention() to callboard_api;

create or replace function app.set_retention(days integer) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('retention.manage');
begin
  insert into app.deletion_retentions as r (deleted_days) values (days)
  on conflict (organization_id) do update set deleted_days = excluded.deleted_days;
  return (null, app_private.retention_of(organization), null, null)::app.answer;
end
$$;
comment on function app.set_retention(integer) is
  'Keeps the organization''s deleted rows for so many days, those in the bin too. PT403 without retention.manage, deletion_retentions_days_range.';
alter function app.set_retention(integer) owner to callboard_definer;
revoke execute on function app.set_retention(integer) from public;
grant execute on function app.set_retention(integer) to callboard_api;
--! EndIncluded deletion_retention.sql
--! Included deletion_purge.sql
-- The end of what was deleted: a deletion that is older than its organization's retention is deleted
-- for good, all its rows at once or none. A deleted organization goes with everything that it has.
-- What stays of it is its event log with its seals and its retention, and its slugs, which must never
-- lead to another one.
--
-- The purge works in the context of one organization at a time, so the policies hold it there. Like
-- deletions.sql it takes every table that has `deletion_id`; this is the last file, so that what the
-- tables before it need for that is given to all of them.

do $$
declare
  t record;
begin
  for t in select d.marked, d.organization_column from app_private.deletion_tables d loop
    execute format('drop policy if exists purge_definer on %s', t.marked);
    -- No retention is shorter than a day.
    execute format(
      'create policy purge_definer on %s for delete to callboard_definer
       using (%I = (select app.current_org()) and deleted_at < now() - interval ''1 day'')', t.marked, t.organization_column);
    execute format('grant delete on %s to callboard_definer', t.marked);
  end loop;
end
$$;

create or replace function app_private.due_deletions(behind jsonb, at_most integer)
returns table (organization_id uuid, deletion_id uuid, deleted_at timestamptz, marked regclass[])
language plpgsql stable
set search_path = ''
as $$
begin
  return query execute (
    select format(
      'select m.organization_id, m.deletion_id, max(m.deleted_at), array_agg(distinct m.marked)
       from (%s) m left join app.deletion_retentions r on r.organization_id = m.organization_id
       where ($1 is null or m.organization_id >= ($1 ->> 0)::uuid)
         and m.organization_id not in (select h.organization_id from app.legal_holds h where h.released_at is null)
       group by m.organization_id, m.deletion_id, r.deleted_days
       having max(m.deleted_at) < now() - make_interval(days => coalesce(r.deleted_days, 30))
         and ($1 is null or (m.organization_id, max(m.deleted_at), m.deletion_id) > (($1 ->> 0)::uuid, ($1 ->> 1)::timestamptz, ($1 ->> 2)::uuid))
       order by 1, 3, 2 limit $2',
      string_agg(format('select t.%I as organization_id, t.deletion_id, t.deleted_at, %L::regclass as marked from %s t where t.deletion_id is not null',
        d.organization_column, d.marked, d.marked), ' union all '))
    from app_private.deletion_tables d)
  using behind, at_most;
end
$$;
comment on function app_private.due_deletions(jsonb, integer) is
  'The deletions whose time is over, by organization and age, behind [organization, time, deletion]; and which tables have rows of each. Not of an organization that is held.';
alter function app_private.due_deletions(jsonb, integer) owner to callboard_definer;
revoke execute on function app_private.due_deletions(jsonb, integer) from public;

create or replace function app_private.purge_deletion(organization uuid, deletion uuid, marked regclass[]) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  edge record;
  part regclass;
  is_needed boolean;
  gone bigint;
begin
  -- Until the end of the transaction nobody can place a hold: who does waits, and then finds it done.
  perform from app.organizations o where o.id = organization for share;
  if app_private.is_held(organization) then
    return 0;
  end if;
  if 'app.organizations'::regclass = any (marked) then
    perform from app.organizations o where o.id = organization and o.deletion_id = deletion for update nowait;
    -- Everything else goes along the foreign keys.
    delete from app.organizations o where o.id = organization and o.deletion_id = deletion;
    get diagnostics gone = row_count;
    return gone;
  end if;
  -- Who restores it at this moment has locked a row of it. Waiting with the others in hand could block both.
  foreach part in array marked loop
    execute format('select from %s t where t.organization_id = $1 and t.deletion_id = $2 for update nowait', part)
    using organization, deletion;
  end loop;
  -- Their parent would take them along. What refers to it otherwise, PostgreSQL itself protects.
  for edge in select * from app_private.deletion_edges e where e.parent = any (marked) and e.cascades loop
    execute format('select exists (select from %s c, %s p where %s and p.organization_id = $1 and p.deletion_id = $2 and c.deletion_id is distinct from $2)',
      edge.child, edge.parent, edge.condition) into is_needed using organization, deletion;
    if is_needed then
      raise foreign_key_violation using message = 'Something that is not deleted with it belongs to it.', constraint = edge.name;
    end if;
  end loop;
  -- One statement, at whose end the foreign keys are checked: no order is needed, whatever refers to what.
  execute (
    select format('with %s select %s',
      string_agg(format('d%s as (delete from %s t where t.organization_id = $1 and t.deletion_id = $2 returning 1)', m.n, m.t), ', '),
      string_agg(format('(select count(*) from d%s)', m.n), ' + '))
    from unnest(marked) with ordinality m (t, n))
  into gone using organization, deletion;
  return gone;
end
$$;
comment on function app_private.purge_deletion(uuid, uuid, regclass[]) is
  'Deletes the rows of a deletion in these tables for good, in the organization''s context; says how many, for a whole organization one. Fails with foreign_key_violation if something else refers to them, and with lock_not_available if somebody is at work on them.';
alter function app_private.purge_deletion(uuid, uuid, regclass[]) owner to callboard_definer;
revoke execute on function app_private.purge_deletion(uuid, uuid, regclass[]) from public;

create or replace function app.purge_deleted(behind jsonb default null, at_most integer default 1000) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set timezone = 'UTC'
set lock_timeout = '1s'
as $$
declare
  began timestamptz := clock_timestamp();
  due record;
  seen integer := 0;
  gone bigint;
  -- deletions, rows, organizations, busy, kept, failed
  n bigint[] := '{0,0,0,0,0,0}';
  violated text;
  because jsonb := '[]';
  next jsonb;
begin
  for due in select * from app_private.due_deletions(behind, at_most) loop
    seen := seen + 1;
    perform app_private.set_context(null, null, due.organization_id, 'purge');
    begin
      gone := app_private.purge_deletion(due.organization_id, due.deletion_id, due.marked);
      if 'app.organizations'::regclass = any (due.marked) then
        n[3] := n[3] + gone;
      elsif gone > 0 then
        n[1] := n[1] + 1;
        n[2] := n[2] + gone;
      end if;
    exception
      when lock_not_available or deadlock_detected then
        n[4] := n[4] + 1;
      when foreign_key_violation then
        n[5] := n[5] + 1;
        get stacked diagnostics violated = constraint_name;
        because := because || jsonb_build_object('organization_id', due.organization_id, 'deletion_id', due.deletion_id, 'kept_by', violated);
      when others then
        n[6] := n[6] + 1;
        because := because || jsonb_build_object('organization_id', due.organization_id, 'deletion_id', due.deletion_id, 'failed_with', sqlerrm);
    end;
    -- The sealer of events waits for the end of this transaction.
    if seen = at_most or clock_timestamp() > began + interval '2 seconds' then
      next := jsonb_build_array(due.organization_id, due.deleted_at, due.deletion_id);
      exit;
    end if;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('deletions', n[1], 'rows', n[2], 'organizations', n[3], 'busy', n[4], 'kept', n[5], 'failed', n[6],
    'because', because, 'next', next);
end
$$;
comment on function app.purge_deleted(jsonb, integer) is
  'Deletes for good what was deleted longer ago than its organization keeps it; a part of it, about two seconds long: to go on, call it with next, until that is null. Says how many deletions with how many rows and how many organizations are gone, how many were busy, were kept because something refers to them, or failed, and why.';
alter function app.purge_deleted(jsonb, integer) owner to callboard_definer;
revoke execute on function app.purge_deleted(jsonb, integer) from public;
grant execute on function app.purge_deleted(jsonb, integer) to callboard_worker;
--! EndIncluded deletion_purge.sql
