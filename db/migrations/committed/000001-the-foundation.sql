--! Previous: -
--! Hash: sha1:5eb83f8b5a64fe0c50c4ea55129ec00977da1f36
--! Message: the foundation

--! Included schemas.sql
-- Two schemas. `app` is what the API works with, always under row-level security.
-- `app_private` holds keys, secrets and the helpers that need them; the API has no way in.

create schema if not exists app;
create schema if not exists app_private;

comment on schema app is 'What the API works with; every table is under row-level security.';
comment on schema app_private is 'Keys, secrets and helpers; never granted to a login.';

-- PostgreSQL lets everybody execute a new function. Here nobody may until it is granted.
alter default privileges for role callboard_owner revoke execute on functions from public;
alter default privileges for role callboard_definer revoke execute on functions from public;
alter default privileges for role callboard_rollup revoke execute on functions from public;

-- A definer function that a login may call is silent (client_min_messages = 'error'): with
-- debug_print_plan the caller would be sent the plans of its statements, with the values in them,
-- and so the secret that it is about to mail. Those that only read the caller's own context are not.

grant usage on schema app to callboard_api, callboard_worker;
-- CREATE is what lets the owner hand a function over to the definer; the definer never logs in.
grant usage, create on schema app, app_private to callboard_definer;

-- Trigram search for show titles, with the organization in the same index.
create extension if not exists pg_trgm with schema app_private;
create extension if not exists btree_gin with schema app_private;
--! EndIncluded schemas.sql
--! Included helpers.sql
-- Small functions that know nothing of tenants.

create or replace function app.uuid_v7() returns uuid
language sql volatile parallel safe
set search_path = ''
return encode(
  set_bit(set_bit(
    overlay(uuid_send(gen_random_uuid())
      placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
    52, 1), 53, 1),
  'hex')::uuid;
comment on function app.uuid_v7() is
  'A new UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits. Keys made together lie together in the index.';
revoke execute on function app.uuid_v7() from public;
grant execute on function app.uuid_v7() to callboard_api, callboard_definer;

create or replace function app_private.random_token() returns text
language sql volatile parallel safe
set search_path = ''
return replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
comment on function app_private.random_token() is
  'A secret of 64 hexadecimal digits (244 random bits) for a link in a mail.';
revoke execute on function app_private.random_token() from public;
grant execute on function app_private.random_token() to callboard_definer;

create or replace function app_private.digest(secret text) returns bytea
language sql immutable strict parallel safe
set search_path = ''
return sha256(convert_to(secret, 'UTF8'));
comment on function app_private.digest(text) is
  'What is stored of a random secret: its SHA-256. Enough for 200 random bits; never used for passwords.';
revoke execute on function app_private.digest(text) from public;
grant execute on function app_private.digest(text) to callboard_definer;

create or replace function app.is_time_zone(name text) returns boolean
language plpgsql stable strict parallel safe
set search_path = ''
as $$
begin
  -- Only names of the time zone database: PostgreSQL itself would also take 'XYZ+3' and 'Any/Thing+3'.
  return name ~ '^(UTC|[A-Z][A-Za-z_]+(/[A-Za-z_-]+)+|Etc/GMT([+-]?0|\+([1-9]|1[0-2])|-([1-9]|1[0-4])))$'
    and (now() at time zone name) is not null;
exception when invalid_parameter_value then
  return false;
end
$$;
comment on function app.is_time_zone(text) is 'True for a name of the IANA time zone database, such as Europe/Berlin.';
revoke execute on function app.is_time_zone(text) from public;
grant execute on function app.is_time_zone(text) to callboard_api, callboard_definer;

create or replace function app_private.tg__100_timestamps() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := statement_timestamp();
  new.version := old.version + 1;
  return new;
end
$$;
comment on function app_private.tg__100_timestamps() is
  'Before update: moves updated_at and counts version, which is the ETag.';
revoke execute on function app_private.tg__100_timestamps() from public;

create or replace function app.refuse(status integer, problem text, detail text default null) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  raise exception using errcode = 'PT' || status, message = problem, detail = coalesce(detail, '');
end
$$;
comment on function app.refuse(integer, text, text) is
  'Raises a problem: HTTP status, its name (see src/problems.ts, which has a sentence for each) and what more there is to say in this case.';
revoke execute on function app.refuse(integer, text, text) from public;
grant execute on function app.refuse(integer, text, text) to callboard_api, callboard_definer;

-- What a function for a route returns; the API sends `body` as it is.
do $$
begin
  if to_regtype('app.answer') is null then
    create type app.answer as (status integer, body json, etag text, location text);
  end if;
end
$$;
comment on type app.answer is
  'An HTTP answer: status (null = 200), body, the row''s version as ETag, the path of what was created.';

create or replace function app.etag(version integer) returns text
language sql immutable parallel safe
set search_path = ''
return '"' || version || '"';
comment on function app.etag(integer) is 'The ETag of a row version (RFC 9110, strong).';
revoke execute on function app.etag(integer) from public;
grant execute on function app.etag(integer) to callboard_api, callboard_definer;

create or replace function app.matches(version integer, if_match text) returns boolean
language sql immutable parallel safe
set search_path = ''
return if_match is null or if_match = '*'
  or app.etag(version) = any (string_to_array(replace(if_match, ' ', ''), ','));
comment on function app.matches(integer, text) is 'Whether an If-Match header (a list of ETags, * or null) allows this version.';
revoke execute on function app.matches(integer, text) from public;
grant execute on function app.matches(integer, text) to callboard_api, callboard_definer;

create or replace function app.check_version(version integer, if_match text) returns void
language plpgsql stable
set search_path = ''
as $$
begin
  if version is null then
    perform app.refuse(404, 'not_found');
  elsif not app.matches(version, if_match) then
    perform app.refuse(412, 'version_mismatch');
  end if;
end
$$;
comment on function app.check_version(integer, text) is
  'PT404 not_found if there is no version (the row is not visible), PT412 version_mismatch if If-Match does not allow it.';
revoke execute on function app.check_version(integer, text) from public;
grant execute on function app.check_version(integer, text) to callboard_api, callboard_definer;
--! EndIncluded helpers.sql
--! Included context.sql
-- Who is asking. This is the only file that knows how a request's context is kept.
--
-- The context is a handful of transaction-local settings. Anyone who can run SQL can set a
-- setting, so a setting alone proves nothing: `app.enter` signs them all with a key that no
-- login can read, bound to this backend and this transaction. Policies ask the functions
-- below; they check the signature and answer NULL, which matches no row, when it is missing,
-- wrong, or copied from another transaction.

create table if not exists app_private.context_keys (
  id boolean primary key default true constraint context_keys_one_row check (id),
  inner_key bytea not null,
  outer_key bytea not null
);
alter table app_private.context_keys enable row level security;
alter table app_private.context_keys force row level security;
drop policy if exists select_definer on app_private.context_keys;
create policy select_definer on app_private.context_keys for select to callboard_definer using (true);
drop policy if exists insert_owner on app_private.context_keys;
create policy insert_owner on app_private.context_keys for insert to callboard_owner with check (true);
grant select on app_private.context_keys to callboard_definer;
comment on table app_private.context_keys is 'The two random keys that sign a request''s context. Replace the row to invalidate nothing but transactions in flight.';

insert into app_private.context_keys (inner_key, outer_key)
select uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
       uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
on conflict do nothing;

-- Nested hashing with two keys, as in NMAC: a plain sha256(key || text) could be extended.
create or replace function app_private.keyed_hash(message bytea) returns bytea
language plpgsql stable parallel safe security definer
set search_path = ''
as $$
declare
  k app_private.context_keys;
begin
  select * into strict k from app_private.context_keys;
  return sha256(k.outer_key || sha256(k.inner_key || message));
end
$$;
comment on function app_private.keyed_hash(bytea) is 'A message authentication code under the database''s own key (32 bytes).';
alter function app_private.keyed_hash(bytea) owner to callboard_definer;
revoke execute on function app_private.keyed_hash(bytea) from public;

-- A parallel worker is another backend, where no signature is right. So what asks for the context is
-- PARALLEL RESTRICTED: the leader finds it once, and (select …) hands the value to the workers.
create or replace function app_private.context_signature() returns text
language plpgsql stable parallel restricted
set search_path = ''
as $$
begin
  -- An array's text form quotes its elements, so no value can pose as two.
  return encode(app_private.keyed_hash(
    int4send(pg_backend_pid()) || timestamptz_send(transaction_timestamp()) || convert_to(array[
      current_setting('app.current_org', true),
      current_setting('app.user_id', true),
      current_setting('app.session_id', true),
      current_setting('app.role', true),
      current_setting('app.permissions', true)
    ]::text, 'UTF8')), 'hex');
end
$$;
comment on function app_private.context_signature() is 'The signature that the present settings would have in this transaction.';
alter function app_private.context_signature() owner to callboard_definer;
revoke execute on function app_private.context_signature() from public;

create or replace function app_private.set_context(
  user_id uuid, session_id uuid, organization_id uuid default null, role text default null, permissions text[] default '{}'
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform set_config('app.current_org', coalesce(organization_id::text, ''), true),
          set_config('app.user_id', user_id::text, true),
          set_config('app.session_id', session_id::text, true),
          set_config('app.role', coalesce(role, ''), true),
          -- A blank on both sides of every name: one search finds a whole word.
          set_config('app.permissions', ' ' || array_to_string(permissions, ' ') || ' ', true);
  perform set_config('app.signature', app_private.context_signature(), true);
end
$$;
comment on function app_private.set_context(uuid, uuid, uuid, text, text[]) is
  'Sets and signs the context of this transaction. Only for definer functions that have checked who asks.';
alter function app_private.set_context(uuid, uuid, uuid, text, text[]) owner to callboard_definer;
revoke execute on function app_private.set_context(uuid, uuid, uuid, text, text[]) from public;

-- After a transaction that set it, a setting is '' and not NULL, hence nullif everywhere.
create or replace function app.current_org() returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
as $$
declare
  organization text := nullif(current_setting('app.current_org', true), '');
begin
  if organization is null or app_private.context_signature() is distinct from current_setting('app.signature', true) then
    return null;
  end if;
  return organization;
end
$$;
comment on function app.current_org() is 'The organization of this transaction, or NULL without a genuine context.';
alter function app.current_org() owner to callboard_definer;
revoke execute on function app.current_org() from public;
grant execute on function app.current_org() to callboard_api;

create or replace function app.current_user_id() returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
as $$
declare
  who text := nullif(current_setting('app.user_id', true), '');
begin
  if who is null or app_private.context_signature() is distinct from current_setting('app.signature', true) then
    return null;
  end if;
  return who;
end
$$;
comment on function app.current_user_id() is 'The user of this transaction, or NULL without a genuine context.';
alter function app.current_user_id() owner to callboard_definer;
revoke execute on function app.current_user_id() from public;
grant execute on function app.current_user_id() to callboard_api;

create or replace function app.current_session_id() returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
as $$
begin
  return case when app.current_user_id() is not null then current_setting('app.session_id')::uuid end;
end
$$;
comment on function app.current_session_id() is 'The session of this transaction, or NULL without a genuine context.';
alter function app.current_session_id() owner to callboard_definer;
revoke execute on function app.current_session_id() from public;
grant execute on function app.current_session_id() to callboard_api;

create or replace function app.org_if(permission text) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
as $$
begin
  if strpos(current_setting('app.permissions', true), ' ' || permission || ' ') > 0 then
    return app.current_org();
  end if;
  return null;
end
$$;
comment on function app.org_if(text) is
  'The organization of this transaction if its member holds the permission, else NULL. A policy compares organization_id with it: permission and tenant are one condition.';
alter function app.org_if(text) owner to callboard_definer;
revoke execute on function app.org_if(text) from public;
grant execute on function app.org_if(text) to callboard_api;

create or replace function app.has_permission(permission text) returns boolean
language sql stable parallel restricted
set search_path = ''
return app.org_if(permission) is not null;
comment on function app.has_permission(text) is 'Whether the member of this transaction holds the permission.';
revoke execute on function app.has_permission(text) from public;
grant execute on function app.has_permission(text) to callboard_api, callboard_definer;

create or replace function app.require(permission text) returns uuid
language plpgsql stable parallel restricted
set search_path = ''
as $$
declare
  organization uuid := app.org_if(permission);
begin
  if organization is null then
    raise exception using errcode = 'PT403', message = 'permission_denied',
      detail = format('This needs the permission %s.', permission);
  end if;
  return organization;
end
$$;
comment on function app.require(text) is 'The organization of this transaction; PT403 permission_denied unless its member holds the permission.';
revoke execute on function app.require(text) from public;
grant execute on function app.require(text) to callboard_api, callboard_definer;
--! EndIncluded context.sql
--! Included permissions.sql
-- Who may do what: permissions, roles, and which role holds which permission. These are
-- rows, the same for every organization; a member's role is in app.memberships.

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
comment on table app.roles is 'Reference: what a member of an organization can be.';
comment on table app.role_permissions is 'Reference: the permissions that a role holds.';

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

create or replace function app_private.permissions_of_role(of_role text) returns text[]
language plpgsql stable
set search_path = ''
as $$
begin
  return coalesce((select array_agg(rp.permission order by rp.permission) from app.role_permissions rp where rp.role = of_role), '{}');
end
$$;
comment on function app_private.permissions_of_role(text) is 'The permissions that a role holds, sorted.';
alter function app_private.permissions_of_role(text) owner to callboard_definer;
revoke execute on function app_private.permissions_of_role(text) from public;
--! EndIncluded permissions.sql
--! Included users.sql
-- People. A user exists once, whatever number of organizations they work for, so this table
-- has no organization_id: a member sees themselves and their present colleagues.

create table if not exists app.users (
  id uuid primary key default app.uuid_v7(),
  email text not null constraint users_email_format check (
    email = lower(email) and length(email) <= 254 and email ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+\.[^@[:space:][:cntrl:].]+$'),
  display_name text not null constraint users_display_name_length check (
    length(display_name) between 1 and 200 and display_name !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(display_name) <> ''),
  email_verified_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1
);
-- Of the expression, because comparing a plain column is leakproof: PostgreSQL would look anybody's
-- address up in the index first and ask the policy afterwards, and EXPLAIN ANALYZE would tell.
create unique index if not exists email_taken on app.users (lower(email));
alter index app.email_taken alter column 1 set statistics 0;
alter table app.users alter column email set statistics 0, alter column display_name set statistics 0;

alter table app.users enable row level security;
alter table app.users force row level security;

drop policy if exists select_self on app.users;
create policy select_self on app.users for select to callboard_api
  using (id = (select app.current_user_id()));

-- Colleagues see each other too: that policy needs app.memberships and stands in memberships.sql.

drop policy if exists update_self on app.users;
create policy update_self on app.users for update to callboard_api
  using (id = (select app.current_user_id()));

-- Sign-in and invitations look people up before there is a context.
drop policy if exists select_definer on app.users;
create policy select_definer on app.users for select to callboard_definer using (true);
drop policy if exists insert_definer on app.users;
create policy insert_definer on app.users for insert to callboard_definer with check (true);
drop policy if exists update_definer on app.users;
create policy update_definer on app.users for update to callboard_definer using (true);

grant select on app.users to callboard_api, callboard_definer;
grant update (display_name) on app.users to callboard_api;
grant insert (id, email, display_name, email_verified_at), update (email_verified_at, display_name) on app.users to callboard_definer;

drop trigger if exists _100_timestamps on app.users;
create trigger _100_timestamps before update on app.users
  for each row execute function app_private.tg__100_timestamps();

comment on table app.users is 'People who can sign in; shared by all organizations, seen by themselves and by colleagues.';
comment on column app.users.email is 'Lower-cased address, unique; it is the sign-in name.';

create or replace function app.read_me() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select null::integer, json_build_object(
      'id', u.id, 'email', u.email, 'display_name', u.display_name, 'email_verified_at', u.email_verified_at,
      'created_at', u.created_at, 'updated_at', u.updated_at),
    app.etag(u.version), null::text
  from app.users u
  where u.id = app.current_user_id();
end;
comment on function app.read_me() is 'The signed-in user''s own profile.';
revoke execute on function app.read_me() from public;
grant execute on function app.read_me() to callboard_api;

create or replace function app.update_me(body jsonb, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  me uuid := app.current_user_id();
  present integer;
begin
  select u.version into present from app.users u where u.id = me for update;
  perform app.check_version(present, if_match);
  update app.users u set display_name = coalesce(body ->> 'display_name', u.display_name) where u.id = me;
  return app.read_me();
end
$$;
comment on function app.update_me(jsonb, text) is 'Changes the signed-in user''s own profile (display_name).';
revoke execute on function app.update_me(jsonb, text) from public;
grant execute on function app.update_me(jsonb, text) to callboard_api;
--! EndIncluded users.sql
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
  role text not null constraint memberships_role_exists references app.roles (name),
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

drop policy if exists update_member on app.memberships;
create policy update_member on app.memberships for update to callboard_api
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
grant update (role) on app.memberships to callboard_api;
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
  for each row when (old.role = 'owner' and old.deleted_at is null and (new.role <> 'owner' or new.deleted_at is not null))
  execute function app_private.tg_memberships__300_last_owner();

create or replace view app.member_list with (security_invoker = true) as
  select m.organization_id, u.id, u.email, u.display_name, m.role, m.created_at as joined_at, m.version,
    json_build_object('id', u.id, 'email', u.email, 'display_name', u.display_name, 'role', m.role,
      'joined_at', m.created_at, 'updated_at', m.updated_at) as body
  from app.memberships m
  join app.users u on u.id = m.user_id
  where m.deleted_at is null;
comment on view app.member_list is 'The present members of the organization, with their name and address.';
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

create or replace function app.change_member_role(member uuid, new_role text, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  -- The row lock keeps the version that is checked; a reader without the right gets 403, not a lock.
  select m.version into present from app.member_list m where m.id = member and m.organization_id = app.current_org();
  perform app.check_version(present, if_match);
  perform app.require('members.manage');
  update app.memberships m set role = new_role
  where m.organization_id = app.current_org() and m.user_id = member and m.deleted_at is null
    and app.matches(m.version, if_match);
  if not found then
    -- Changed since it was read above; or gone, which is the 404 of read_member.
    perform app.check_version(m.version, if_match) from app.member_list m
    where m.id = member and m.organization_id = app.current_org();
  end if;
  return app.read_member(member);
end
$$;
comment on function app.change_member_role(uuid, text, text) is
  'Gives a member another role. PT403 without members.manage, PT404, PT409 last_owner, PT412.';
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
  select m.version into present from app.memberships m
  where m.organization_id = organization and m.user_id = member and m.deleted_at is null;
  perform app.check_version(present, if_match);
  -- Leaving needs no permission; making somebody leave does.
  if member is distinct from me then
    perform app.require('members.manage');
  end if;
  update app.memberships m
  set deleted_at = statement_timestamp(), deleted_by = me, deletion_id = app.uuid_v7()
  where m.organization_id = organization and m.user_id = member and m.deleted_at is null and app.matches(m.version, if_match);
  if not found then
    -- Somebody else was faster: it has changed or is gone.
    select m.version into present from app.memberships m
    where m.organization_id = organization and m.user_id = member and m.deleted_at is null;
    perform app.check_version(present, if_match);
  end if;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.remove_member(uuid, text) is
  'Removes a member, or lets oneself leave. PT403 without members.manage, PT404, PT409 last_owner, PT412.';
alter function app.remove_member(uuid, text) owner to callboard_definer;
revoke execute on function app.remove_member(uuid, text) from public;
grant execute on function app.remove_member(uuid, text) to callboard_api;

create or replace function app.add_member(address text, person_name text, new_role text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('members.manage');
  who uuid;
begin
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
  'Makes somebody a member at once; an address without an account gets one, and a mailed link to choose a password. PT403, PT409 already_member, address_unverified.';
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
  if new_owner = me then
    perform app.refuse(409, 'already_owner', 'You are the owner already.');
  end if;
  update app.memberships m set role = 'owner'
  where m.organization_id = organization and m.user_id = new_owner and m.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  update app.memberships m set role = 'admin' where m.organization_id = organization and m.user_id = me;
  return app.read_member(new_owner);
end
$$;
comment on function app.transfer_ownership(uuid, uuid) is 'Makes another member owner and oneself admin. PT403, PT404, PT409 already_owner.';
alter function app.transfer_ownership(uuid, uuid) owner to callboard_definer;
revoke execute on function app.transfer_ownership(uuid, uuid) from public;
grant execute on function app.transfer_ownership(uuid, uuid) to callboard_api;
--! EndIncluded memberships.sql
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

  select x.deleted_at, m.role, m.deleted_at is not null and m.deletion_id is distinct from x.deletion_id as has_left into o
  from app.organizations x left join app.memberships m on m.organization_id = x.id and m.user_id = s.user_id
  where x.id = organization;
  -- Somebody who did not belong to the end learns nothing about an organization, not even that it is gone.
  if o.role is null or o.has_left then
    perform app.refuse(403, 'membership_revoked');
  elsif o.deleted_at is not null then
    perform app.refuse(403, 'organization_deleted');
  end if;
  perform app_private.set_context(s.user_id, s.id, organization, o.role, app_private.permissions_of_role(o.role));
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
    'permissions', coalesce(to_json(app_private.permissions_of_role(m.role)), '[]'))
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
--! Included mails.sql
-- The outbox. What must be mailed is written in the transaction that causes it and sent by the
-- worker afterwards, so a mail is neither lost nor sent for something that was rolled back; and
-- the secret in its link is made here, so that the API's login never holds it.

create table if not exists app_private.mails (
  id uuid primary key default app.uuid_v7(),
  kind text not null,
  to_address text not null,
  data jsonb not null,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  sent_at timestamptz,
  failed_at timestamptz,
  last_error text
);
create index if not exists mails_next_attempt_at_idx on app_private.mails (next_attempt_at)
  where sent_at is null and failed_at is null;
alter table app_private.mails enable row level security;
alter table app_private.mails force row level security;
drop policy if exists all_definer on app_private.mails;
create policy all_definer on app_private.mails for all to callboard_definer using (true);
grant select, insert, update on app_private.mails to callboard_definer;
comment on table app_private.mails is 'Mails to send and sent; the secret leaves the row when the mail has left.';

create or replace function app_private.queue_mail(kind text, to_address text, data jsonb) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  insert into app_private.mails (kind, to_address, data) values (kind, to_address, data);
  notify callboard_mails;
end
$$;
comment on function app_private.queue_mail(text, text, jsonb) is 'Puts a mail into the outbox; it leaves after commit.';
alter function app_private.queue_mail(text, text, jsonb) owner to callboard_definer;
revoke execute on function app_private.queue_mail(text, text, jsonb) from public;

create or replace function app.take_mail() returns table (id uuid, kind text, to_address text, data jsonb, attempts integer)
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  update app_private.mails m
  -- Until then it is this worker's alone; of a worker that dies another one takes it over.
  set attempts = m.attempts + 1, next_attempt_at = now() + interval '3 minutes'
  where m.id = (
    select x.id from app_private.mails x
    where x.sent_at is null and x.failed_at is null and x.next_attempt_at <= now()
    order by x.next_attempt_at limit 1 for update skip locked)
  returning m.id, m.kind, m.to_address, m.data, m.attempts;
end;
comment on function app.take_mail() is 'The next mail that is due, if any. It must be settled within three minutes, or it is offered again.';
alter function app.take_mail() owner to callboard_definer;
revoke execute on function app.take_mail() from public;
grant execute on function app.take_mail() to callboard_worker;

create or replace function app.settle_mail(mail uuid, error text default null) returns timestamptz
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  update app_private.mails m
  set sent_at = case when error is null then now() end,
      failed_at = case when error is not null and m.attempts >= 12 then now() end,
      next_attempt_at = now() + interval '15 seconds' * power(2, least(m.attempts - 1, 9)),
      data = case when error is null or m.attempts >= 12 then m.data - 'token' else m.data end,
      last_error = left(error, 1000)
  where m.id = mail
  returning m.failed_at;
end;
comment on function app.settle_mail(uuid, text) is 'Marks a mail as sent or, with an error, as to be tried again after a growing pause; after 12 attempts (about six hours) it has failed, and the time is returned.';
alter function app.settle_mail(uuid, text) owner to callboard_definer;
revoke execute on function app.settle_mail(uuid, text) from public;
grant execute on function app.settle_mail(uuid, text) to callboard_worker;
--! EndIncluded mails.sql
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

create or replace function app_private.delete_row(
  target regclass, id uuid, permission_to_see text, permission_to_delete text, if_match text default null
) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  present integer;
begin
  execute format('select version from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is null for no key update', target)
  into present using id, permission_to_see;
  perform app.check_version(present, if_match);
  perform app.require(permission_to_delete);
  perform app_private.soft_delete(target, 'organization_id = app.current_org() and id = $1', id);
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app_private.delete_row(regclass, uuid, text, text, text) is
  'The command behind every DELETE of one row of the current organization. PT404, PT403, PT412, PT409.';
alter function app_private.delete_row(regclass, uuid, text, text, text) owner to callboard_definer;
revoke execute on function app_private.delete_row(regclass, uuid, text, text, text) from public;

create or replace function app_private.restore_row(target regclass, id uuid, permission_to_see text, permission_to_delete text) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  deletion uuid;
  edge record;
  missing boolean;
begin
  execute format('select deletion_id from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is not null for no key update', target)
  into deletion using id, permission_to_see;
  if deletion is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require(permission_to_delete);
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
comment on function app_private.restore_row(regclass, uuid, text, text) is
  'The command behind every restore: brings back all that was deleted together with this row. PT404, PT403, PT409 parent_deleted.';
alter function app_private.restore_row(regclass, uuid, text, text) owner to callboard_definer;
revoke execute on function app_private.restore_row(regclass, uuid, text, text) from public;
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
        and 'organization.delete' = any (app_private.permissions_of_role(m.role))
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
begin
  -- A deleted organization cannot be entered, so its rule is checked here: whoever belonged to
  -- it when it was deleted, and could have deleted it, may restore it.
  select o.deletion_id, m.role into bin
  from app.organizations o join app.memberships m on m.organization_id = o.id
  where o.id = organization and m.user_id = me and m.deletion_id = o.deletion_id;
  if not found then
    perform app.refuse(404, 'not_found');
  elsif not 'organization.delete' = any (app_private.permissions_of_role(bin.role)) then
    perform app.refuse(403, 'permission_denied', 'This needs the permission organization.delete.');
  end if;
  perform app_private.set_context(me, app.current_session_id(), organization, bin.role, app_private.permissions_of_role(bin.role));
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
  organization uuid := app.require('members.manage');
  invitation uuid := app.uuid_v7();
  answer app.answer;
begin
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
comment on function app.create_invitation(text, text) is 'Invites an address. PT403, PT409 already_member, invitation_pending.';
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
--! Included accounts.sql
-- Passwords and proofs. The API computes argon2id, the database compares, and a password's hash
-- never leaves it: `app.password_recipe` gives salt and cost, the API answers with the raw
-- argon2id output (the proof), and only its SHA-256 is stored. So even SQL injected as the
-- API's login can neither read something to crack nor sign in as somebody.

create table if not exists app_private.credentials (
  user_id uuid primary key references app.users (id) on delete cascade,
  recipe text not null,
  verifier bytea not null,
  changed_at timestamptz not null default now()
);
alter table app_private.credentials enable row level security;
alter table app_private.credentials force row level security;
drop policy if exists all_definer on app_private.credentials;
create policy all_definer on app_private.credentials for all to callboard_definer using (true);
grant select, insert, update on app_private.credentials to callboard_definer;
comment on table app_private.credentials is 'Of each password: how to derive its proof, and the SHA-256 of the proof.';

create table if not exists app_private.email_tokens (
  token_hash bytea primary key,
  user_id uuid not null references app.users (id) on delete cascade,
  purpose text not null constraint email_tokens_purpose_known check (purpose in ('verify_email', 'reset_password')),
  expires_at timestamptz not null,
  used_at timestamptz
);
create index if not exists email_tokens_user_id_idx on app_private.email_tokens (user_id);
alter table app_private.email_tokens enable row level security;
alter table app_private.email_tokens force row level security;
drop policy if exists all_definer on app_private.email_tokens;
create policy all_definer on app_private.email_tokens for all to callboard_definer using (true);
grant select, insert, update on app_private.email_tokens to callboard_definer;
comment on table app_private.email_tokens is 'Hashes of the secrets in mailed links.';

create or replace function app_private.password_cost() returns text
language sql immutable parallel safe
set search_path = ''
return 'argon2id$m=19456,t=2,p=1$';
comment on function app_private.password_cost() is 'What a new password costs to derive: OWASP''s minimum for argon2id.';
alter function app_private.password_cost() owner to callboard_definer;
revoke execute on function app_private.password_cost() from public;

create or replace function app.password_recipe(address text default null) returns text
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- An unknown address gets a salt too, always the same one, so that it looks like a known one.
  return coalesce(
    (select c.recipe from app_private.credentials c join app.users u on u.id = c.user_id where lower(u.email) = lower(address)),
    -- All 128 bits from the same hash: the fixed bits of a UUID would tell the one from the other.
    app_private.password_cost() || encode(substring(app_private.keyed_hash(
      convert_to('salt:' || coalesce(lower(address), gen_random_uuid()::text), 'UTF8')) from 1 for 16), 'base64'));
end
$$;
comment on function app.password_recipe(text) is
  'How to derive the proof of a password: argon2id$m=<KiB>,t=<passes>,p=<lanes>$<salt, base64>. With null, a fresh recipe for a new password. The cost is that of app_private.password_cost.';
alter function app.password_recipe(text) owner to callboard_definer;
revoke execute on function app.password_recipe(text) from public;
grant execute on function app.password_recipe(text) to callboard_api;

create or replace function app_private.set_password(of_user uuid, recipe text, proof bytea) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if length(proof) is distinct from 32 or not starts_with(recipe, app_private.password_cost())
    or substr(recipe, length(app_private.password_cost()) + 1) !~ '^[A-Za-z0-9+/]{22}==$' then
    perform app.refuse(400, 'invalid_value', 'The proof of the password is malformed.');
  end if;
  insert into app_private.credentials as c (user_id, recipe, verifier) values (of_user, recipe, sha256(proof))
  on conflict (user_id) do update set recipe = excluded.recipe, verifier = excluded.verifier, changed_at = now();
  -- A link that was asked for before must not undo this.
  update app_private.email_tokens t set used_at = now()
  where t.user_id = of_user and t.purpose = 'reset_password' and t.used_at is null;
end
$$;
comment on function app_private.set_password(uuid, text, bytea) is 'Stores what is kept of a password; open links for a new one end.';
alter function app_private.set_password(uuid, text, bytea) owner to callboard_definer;
revoke execute on function app_private.set_password(uuid, text, bytea) from public;

create or replace function app_private.is_password(of_user uuid, proof bytea) returns boolean
language sql stable
set search_path = ''
begin atomic
  select exists (select from app_private.credentials c where c.user_id = of_user and c.verifier = sha256(proof));
end;
comment on function app_private.is_password(uuid, bytea) is 'Whether this proves the user''s password. Comparing hashes of a secret leaks nothing by its timing.';
alter function app_private.is_password(uuid, bytea) owner to callboard_definer;
revoke execute on function app_private.is_password(uuid, bytea) from public;

create or replace function app_private.mail_token(of_user uuid, for_purpose text, lifetime interval) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  token text := app_private.random_token();
begin
  -- Only the newest link works.
  update app_private.email_tokens t set used_at = now()
  where t.user_id = of_user and t.purpose = for_purpose and t.used_at is null;
  insert into app_private.email_tokens (token_hash, user_id, purpose, expires_at)
  values (app_private.digest(token), of_user, for_purpose, now() + lifetime);
  perform app_private.queue_mail(for_purpose, u.email, jsonb_build_object('token', token, 'display_name', u.display_name))
  from app.users u where u.id = of_user;
end
$$;
comment on function app_private.mail_token(uuid, text, interval) is 'Mails a link that proves the address belongs to the user.';
alter function app_private.mail_token(uuid, text, interval) owner to callboard_definer;
revoke execute on function app_private.mail_token(uuid, text, interval) from public;

create or replace function app_private.spend_token(token text, for_purpose text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  whose uuid;
begin
  update app_private.email_tokens t set used_at = now()
  where t.token_hash = app_private.digest(token) and t.purpose = for_purpose and t.used_at is null and t.expires_at > now()
  returning t.user_id into whose;
  if whose is null then
    perform app.refuse(400, 'invalid_token');
  end if;
  -- Whoever holds the link reads the mailbox.
  update app.users u set email_verified_at = now() where u.id = whose and u.email_verified_at is null;
  return whose;
end
$$;
comment on function app_private.spend_token(text, text) is 'The user of a mailed link, which works once. PT400 invalid_token.';
alter function app_private.spend_token(text, text) owner to callboard_definer;
revoke execute on function app_private.spend_token(text, text) from public;

create or replace function app.register(
  address text, display_name text, recipe text, proof bytea, organization_name text default null, invitation_token text default null
) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  new_user uuid := app.uuid_v7();
begin
  insert into app.users (id, email, display_name) values (new_user, lower(address), display_name);
  perform app_private.set_password(new_user, recipe, proof);
  if invitation_token is not null then
    perform app_private.accept_invitation(new_user, invitation_token);
  else
    perform app_private.found_organization(new_user, jsonb_build_object('name', organization_name));
    perform app_private.mail_token(new_user, 'verify_email', interval '3 days');
  end if;
end
$$;
comment on function app.register(text, text, text, bytea, text, text) is
  'Creates a user with a first organization, or as the member that an invitation says. email_taken, PT409 slug_reserved, PT400 invalid_token, PT403 invitation_for_another_address.';
alter function app.register(text, text, text, bytea, text, text) owner to callboard_definer;
revoke execute on function app.register(text, text, text, bytea, text, text) from public;
grant execute on function app.register(text, text, text, bytea, text, text) to callboard_api;

create or replace function app.sign_in(
  address text, proof bytea, session_hash bytea, refresh_hash bytea, client jsonb, organization uuid default null
) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  who uuid;
begin
  select u.id into who from app.users u where lower(u.email) = lower(address);
  if not app_private.is_password(who, proof) then
    perform app.refuse(401, 'invalid_credentials', 'The address or the password is wrong.');
  end if;
  if organization is not null and organization is distinct from app_private.usual_organization(who, organization) then
    perform app.refuse(403, 'membership_revoked');
  end if;
  return (200, app_private.start_session(who, session_hash, refresh_hash, organization, client), null, null)::app.answer;
end
$$;
comment on function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) is
  'Starts a session for whoever proves the password. PT401 invalid_credentials (also for an unknown address), PT403 membership_revoked.';
alter function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) owner to callboard_definer;
revoke execute on function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) from public;
grant execute on function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) to callboard_api;

create or replace function app.change_password(proof bytea, new_recipe text, new_proof bytea) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  me uuid := app.current_user_id();
begin
  if not app_private.is_password(me, proof) then
    perform app.refuse(403, 'wrong_password', 'The current password is wrong.');
  end if;
  perform app_private.set_password(me, new_recipe, new_proof);
  perform app_private.end_sessions(me, 'password_changed', app.current_session_id());
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.change_password(bytea, text, bytea) is
  'Changes the signed-in user''s password and ends their other sessions. PT403 wrong_password.';
alter function app.change_password(bytea, text, bytea) owner to callboard_definer;
revoke execute on function app.change_password(bytea, text, bytea) from public;
grant execute on function app.change_password(bytea, text, bytea) to callboard_api;

create or replace function app.forget_password(address text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.mail_token(u.id, 'reset_password', interval '1 hour') from app.users u where lower(u.email) = lower(address);
  return (202, null, null, null)::app.answer;
end
$$;
comment on function app.forget_password(text) is 'Mails a link for a new password if the address is known; the answer does not say whether it is.';
alter function app.forget_password(text) owner to callboard_definer;
revoke execute on function app.forget_password(text) from public;
grant execute on function app.forget_password(text) to callboard_api;

create or replace function app.reset_password(token text, recipe text, proof bytea) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  who uuid := app_private.spend_token(token, 'reset_password');
begin
  perform app_private.set_password(who, recipe, proof);
  perform app_private.end_sessions(who, 'password_reset');
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.reset_password(text, text, bytea) is 'Sets a new password by a mailed link and ends all sessions. PT400 invalid_token.';
alter function app.reset_password(text, text, bytea) owner to callboard_definer;
revoke execute on function app.reset_password(text, text, bytea) from public;
grant execute on function app.reset_password(text, text, bytea) to callboard_api;

create or replace function app.verify_email(token text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.spend_token(token, 'verify_email');
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.verify_email(text) is 'Marks an address as verified by a mailed link. PT400 invalid_token.';
alter function app.verify_email(text) owner to callboard_definer;
revoke execute on function app.verify_email(text) from public;
grant execute on function app.verify_email(text) to callboard_api;

create or replace function app.request_verification() returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.mail_token(u.id, 'verify_email', interval '3 days')
  from app.users u where u.id = app.current_user_id() and u.email_verified_at is null;
  return (202, null, null, null)::app.answer;
end
$$;
comment on function app.request_verification() is 'Mails the link that verifies the signed-in user''s address again, unless it is verified.';
alter function app.request_verification() owner to callboard_definer;
revoke execute on function app.request_verification() from public;
grant execute on function app.request_verification() to callboard_api;
--! EndIncluded accounts.sql
--! Included idempotency.sql
-- Answers to POST requests that carried an Idempotency-Key, kept for a day, so that a client
-- that lost the answer can ask again without doing the thing twice.

create table if not exists app.idempotency_keys (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  user_id uuid not null default app.current_user_id() references app.users (id) on delete cascade,
  key text not null constraint idempotency_keys_length check (length(key) between 1 and 200),
  request_hash bytea not null,
  answer app.answer,
  created_at timestamptz not null default now(),
  primary key (organization_id, user_id, key)
);
create index if not exists idempotency_keys_created_at_idx on app.idempotency_keys (created_at);

alter table app.idempotency_keys enable row level security;
alter table app.idempotency_keys force row level security;

-- The API has no grant: it goes through the two functions, which see one user's keys in one organization.
drop policy if exists all_definer on app.idempotency_keys;
create policy all_definer on app.idempotency_keys for all to callboard_definer
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
grant select, insert, update, delete on app.idempotency_keys to callboard_definer;
comment on table app.idempotency_keys is 'What was answered to a POST with an Idempotency-Key.';

create or replace function app.claim_key(the_key text, hash bytea) returns setof app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  known app.idempotency_keys;
begin
  -- The policy shows this user's own: nobody else has to tidy up after them.
  delete from app.idempotency_keys k where k.created_at < now() - interval '24 hours';
  -- A request with the same key that is under way holds the row: this waits for its end.
  insert into app.idempotency_keys (key, request_hash) values (the_key, hash) on conflict do nothing;
  if found then
    return;
  end if;
  select * into known from app.idempotency_keys k where k.key = the_key;
  if known.request_hash is distinct from hash then
    perform app.refuse(409, 'idempotency_key_reused', 'This Idempotency-Key was used for another request.');
  end if;
  return next known.answer;
end
$$;
comment on function app.claim_key(text, bytea) is
  'Takes an Idempotency-Key for this transaction, or returns the answer it was used for. PT409 idempotency_key_reused when the request differs.';
alter function app.claim_key(text, bytea) owner to callboard_definer;
revoke execute on function app.claim_key(text, bytea) from public;
grant execute on function app.claim_key(text, bytea) to callboard_api;

create or replace function app.keep_answer(the_key text, status integer, body json, etag text, location text) returns void
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  update app.idempotency_keys k set answer = (status, body, etag, location)::app.answer where k.key = the_key and k.answer is null;
end;
comment on function app.keep_answer(text, integer, json, text, text) is 'Keeps the answer to the request that claimed the key, in the same transaction.';
alter function app.keep_answer(text, integer, json, text, text) owner to callboard_definer;
revoke execute on function app.keep_answer(text, integer, json, text, text) from public;
grant execute on function app.keep_answer(text, integer, json, text, text) to callboard_api;
--! EndIncluded idempotency.sql
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
  return app_private.delete_row('app.venues', venue, 'shows.read', 'shows.delete', if_match);
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
  perform app_private.restore_row('app.venues', venue, 'shows.read', 'shows.delete');
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
  return app_private.delete_row('app.shows', show, 'shows.read', 'shows.delete', if_match);
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
  perform app_private.restore_row('app.shows', show, 'shows.read', 'shows.delete');
  return app.read_show(show);
end
$$;
comment on function app.restore_show(uuid) is 'Brings a deleted show back. PT403, PT404, PT409 parent_deleted.';
alter function app.restore_show(uuid) owner to callboard_definer;
revoke execute on function app.restore_show(uuid) from public;
grant execute on function app.restore_show(uuid) to callboard_api;
--! EndIncluded show_commands.sql
