--! Previous: sha1:a92ba073185ca5a219a4e89223dcdb6867fa4c80
--! Hash: sha1:5e64efad78ae8c9ac62604f2576e361e502508c5
--! Message: what happens is logged

-- The two that sign a request have more to sign.
drop function if exists app_private.set_context(uuid, uuid, uuid, text, text[]);
drop function if exists app.enter(text, uuid);
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

grant usage on schema app to callboard_api, callboard_worker, callboard_auditor;
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

create or replace function app.refusal(status integer, problem text, detail text default null) returns app.answer
language sql immutable
set search_path = ''
return (status, json_build_object('problem', problem, 'detail', coalesce(detail, '')), null, null)::app.answer;
comment on function app.refusal(integer, text, text) is
  'A refusal as an answer, for one that must be committed: raising it with app.refuse would undo what was written.';
revoke execute on function app.refusal(integer, text, text) from public;
grant execute on function app.refusal(integer, text, text) to callboard_definer;

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
      current_setting('app.permissions', true),
      current_setting('app.request_id', true),
      current_setting('app.ip', true)
    ]::text, 'UTF8')), 'hex');
end
$$;
comment on function app_private.context_signature() is 'The signature that the present settings would have in this transaction.';
alter function app_private.context_signature() owner to callboard_definer;
revoke execute on function app_private.context_signature() from public;

create or replace function app_private.set_context(
  user_id uuid, session_id uuid, organization_id uuid default null, role text default null, permissions text[] default '{}',
  request_id text default null, ip inet default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform set_config('app.current_org', coalesce(organization_id::text, ''), true),
          set_config('app.user_id', coalesce(user_id::text, ''), true),
          set_config('app.session_id', coalesce(session_id::text, ''), true),
          set_config('app.role', coalesce(role, ''), true),
          -- A blank on both sides of every name: one search finds a whole word.
          set_config('app.permissions', ' ' || array_to_string(permissions, ' ') || ' ', true),
          set_config('app.request_id', coalesce(request_id, ''), true),
          set_config('app.ip', coalesce(host(ip), ''), true);
  perform set_config('app.signature', app_private.context_signature(), true);
end
$$;
comment on function app_private.set_context(uuid, uuid, uuid, text, text[], text, inet) is
  'Sets and signs the context of this transaction. Only for definer functions that have checked who asks.';
alter function app_private.set_context(uuid, uuid, uuid, text, text[], text, inet) owner to callboard_definer;
revoke execute on function app_private.set_context(uuid, uuid, uuid, text, text[], text, inet) from public;

create or replace function app_private.is_genuine() returns boolean
language sql stable parallel restricted
return current_setting('app.signature', true) is not distinct from app_private.context_signature();
comment on function app_private.is_genuine() is 'Whether the settings of this transaction are those that were signed.';
alter function app_private.is_genuine() owner to callboard_definer;
revoke execute on function app_private.is_genuine() from public;

create or replace function app_private.change_context(
  user_id uuid, session_id uuid, organization_id uuid, role text default null, permissions text[] default '{}'
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- The request stays the same one, if it was a genuine one.
  if app_private.is_genuine() then
    perform app_private.set_context(user_id, session_id, organization_id, role, permissions,
      current_setting('app.request_id'), nullif(current_setting('app.ip'), '')::inet);
  else
    perform app_private.set_context(user_id, session_id, organization_id, role, permissions);
  end if;
end
$$;
comment on function app_private.change_context(uuid, uuid, uuid, text, text[]) is
  'As set_context, in the middle of a request: its id and address stay. Only for definer functions that have checked who asks.';
alter function app_private.change_context(uuid, uuid, uuid, text, text[]) owner to callboard_definer;
revoke execute on function app_private.change_context(uuid, uuid, uuid, text, text[]) from public;

create or replace function app.introduce(request_id text, ip inet) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.set_context(null, null, null, null, '{}', request_id, ip);
end
$$;
comment on function app.introduce(text, inet) is
  'Opens this transaction for somebody who has not signed in: says only which request it is and where it came from.';
alter function app.introduce(text, inet) owner to callboard_definer;
revoke execute on function app.introduce(text, inet) from public;
grant execute on function app.introduce(text, inet) to callboard_api;

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
  ('organization.delete', 'Delete and restore the organization, hand it over'),
  ('audit.read',          'Read the event log and verify it'),
  ('audit.manage',        'Decide how long events are kept')
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
  ('owner',   array['organization.read', 'organization.update', 'organization.delete', 'members.read', 'members.manage', 'shows.read', 'shows.write', 'shows.delete', 'audit.read', 'audit.manage']),
  ('admin',   array['organization.read', 'organization.update', 'members.read', 'shows.read', 'shows.write', 'shows.delete', 'audit.read']),
  ('manager', array['organization.read', 'members.read', 'shows.read', 'shows.write']),
  ('viewer',  array['organization.read', 'members.read', 'shows.read'])
) as r (role, held), unnest(r.held) as p (permission)
on conflict do nothing;
--! EndIncluded permissions.sql
--! Included event_log.sql
-- What happened: one row for every create, update, delete, restore, sign-in and so on, written in
-- the transaction of the change. Only triggers and definer functions write here. No login may, not
-- even the API's, so injected SQL cannot make an event up, and cannot do anything without one.
--
-- No foreign keys: the log outlives the people and organizations that it is about. And no CHECK:
-- PostgreSQL reads one anew for each statement, which costs more than an index does, and the one
-- function that writes here knows what it writes.

-- One expression without settings, so that PostgreSQL puts it in the place of the call: the time of
-- the transaction to the microsecond, the backend, and the microseconds since then. No two events
-- have the same, and those of a transaction stay in their order.
create or replace function app_private.event_id() returns uuid
language sql volatile parallel restricted
return encode(
  int8send((date_part('epoch', now()) * 1000000)::bigint / 1000 << 16 | 28672 | (date_part('epoch', now()) * 1000000)::bigint % 1000)
  || int8send(x'8000000000000000'::bigint | (pg_backend_pid()::bigint << 40) | (date_part('epoch', clock_timestamp() - now()) * 1000000)::bigint),
  'hex')::uuid;
comment on function app_private.event_id() is
  'A UUID version 7 whose time is that of the event, so that the id alone says where to look: see app.event_time.';
alter function app_private.event_id() owner to callboard_definer;
revoke execute on function app_private.event_id() from public;

create table if not exists app.event_log (
  organization_id uuid not null,
  id uuid not null default app_private.event_id(),
  occurred_at timestamptz not null default now(),
  actor_id uuid,
  session_id uuid,
  resource_id uuid,
  salt uuid default gen_random_uuid(),
  erased_at timestamptz,
  actor_kind text not null,
  action text not null,
  resource_type text not null,
  request_id text,
  ip inet,
  changes jsonb,
  primary key (organization_id, occurred_at, id)
) partition by range (occurred_at);
-- No other index: every filter follows this one back in time, and each more costs every change.

alter table app.event_log enable row level security;
alter table app.event_log force row level security;

drop policy if exists select_member on app.event_log;
create policy select_member on app.event_log for select to callboard_api
  using (organization_id = (select app.org_if('audit.read')));
drop policy if exists select_auditor on app.event_log;
create policy select_auditor on app.event_log for select to callboard_auditor using (true);

-- The definer appends. Afterwards it can only take personal details out, and only what is older
-- than the shortest retention can go.
drop policy if exists select_definer on app.event_log;
create policy select_definer on app.event_log for select to callboard_definer using (true);
drop policy if exists insert_definer on app.event_log;
create policy insert_definer on app.event_log for insert to callboard_definer with check (true);
drop policy if exists update_definer on app.event_log;
create policy update_definer on app.event_log for update to callboard_definer
  using (erased_at is null)
  with check (erased_at is not null and changes is null and request_id is null and ip is null and salt is null);
drop policy if exists delete_definer on app.event_log;
create policy delete_definer on app.event_log for delete to callboard_definer
  using (occurred_at < now() - interval '90 days');

grant select (organization_id, id, occurred_at, actor_id, session_id, resource_id, erased_at, actor_kind, action, resource_type, request_id, ip, changes)
  on app.event_log to callboard_api;
grant select on app.event_log to callboard_auditor, callboard_definer;
grant insert (organization_id, id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes),
  update (erased_at, changes, request_id, ip, salt), delete on app.event_log to callboard_definer;

comment on table app.event_log is 'What happened, who did it, and what it changed; by month. Nobody changes it: see event_seals.sql for the proof.';
comment on column app.event_log.organization_id is 'The nil UUID for what belongs to no organization, such as a sign-in with an unknown address.';
comment on column app.event_log.occurred_at is 'When the transaction began; it is the time in the id, too.';
comment on column app.event_log.actor_id is 'The user who did it, where that is proved.';
comment on column app.event_log.actor_kind is 'user, anonymous (before or without signing in), support, or system: jobs, migrations, and SQL of a DBA.';
comment on column app.event_log.changes is '{"old": {column: value}, "new": {column: value}} of the columns that changed; on create "new" with those that are set. Never a secret.';
comment on column app.event_log.salt is 'Goes into the sealed hash of the details, so that details that were erased cannot be guessed from it.';
comment on column app.event_log.erased_at is 'When changes, request_id, ip and salt were erased: see app_private.erase_events.';

create or replace function app.event_time(event uuid) returns timestamptz
language sql immutable strict parallel safe
set search_path = ''
return to_timestamp(('x' || translate(left(event::text, 13), '-', ''))::bit(48)::bigint::numeric / 1000);
comment on function app.event_time(uuid) is 'The millisecond in which the event with this id occurred.';
revoke execute on function app.event_time(uuid) from public;
grant execute on function app.event_time(uuid) to callboard_api, callboard_auditor, callboard_definer;

create or replace function app_private.nobody() returns uuid
language sql immutable parallel safe
set search_path = ''
return uuid '00000000-0000-0000-0000-000000000000';
comment on function app_private.nobody() is 'The organization of events that belong to none.';
alter function app_private.nobody() owner to callboard_definer;
revoke execute on function app_private.nobody() from public;

create or replace function app_private.is_trusted() returns boolean
language sql stable
set search_path = ''
return session_user = 'callboard_worker' or pg_has_role(session_user, 'callboard_owner', 'member');
comment on function app_private.is_trusted() is 'Whether the login is the worker, the migrator or a superuser, who may change rows in nobody''s name.';
alter function app_private.is_trusted() owner to callboard_definer;
revoke execute on function app_private.is_trusted() from public;

create or replace function app_private.log_event(
  of_organization uuid, what text, of_type text, of_id uuid, changes jsonb default null, by_user uuid default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  is_genuine boolean := app_private.is_genuine();
  who uuid := coalesce(by_user, case when is_genuine then nullif(current_setting('app.user_id'), '')::uuid end);
  kind text := 'user';
begin
  if session_user = 'callboard_support' then
    kind := 'support';
  elsif who is null then
    kind := case when app_private.is_trusted() then 'system' else 'anonymous' end;
  end if;
  insert into app.event_log (organization_id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes)
  values (coalesce(of_organization, app_private.nobody()), who,
    case when is_genuine then nullif(current_setting('app.session_id'), '')::uuid end, of_id, kind, what, of_type,
    case when is_genuine then nullif(current_setting('app.request_id'), '') end,
    case when is_genuine then nullif(current_setting('app.ip'), '')::inet end, changes);
end
$$;
comment on function app_private.log_event(uuid, text, text, uuid, jsonb, uuid) is
  'Appends an event: organization (null for none), action, type and id of what it is about, changes, and who did it where that is not who has signed in.';
alter function app_private.log_event(uuid, text, text, uuid, jsonb, uuid) owner to callboard_definer;
revoke execute on function app_private.log_event(uuid, text, text, uuid, jsonb, uuid) from public;
--! EndIncluded event_log.sql
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
    -- What was marked before is purged now, and its values are to be gone. What is never marked is taken back.
    if not present ? 'deleted_at' then
      changes := jsonb_build_object('old', jsonb_strip_nulls(app_private.loggable(present, tg_argv[4])));
    end if;
    verb := case when present ->> 'deleted_at' is null then 'delete' else 'purge' end;
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
--! Included event_partitions.sql
-- The months of the event log. The worker makes them ahead; what comes without one goes to
-- app.event_log_default, so that no change is ever refused for want of a table.

create table if not exists app.event_log_default partition of app.event_log default;
alter table app.event_log_default enable row level security;
alter table app.event_log_default force row level security;

create or replace function app_private.hide_statistics(of_table regclass) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  name text;
begin
  foreach name in array array['actor_kind', 'action', 'resource_type', 'request_id', 'ip', 'changes'] loop
    execute format('alter table %s alter column %I set statistics 0', of_table, name);
  end loop;
end
$$;
comment on function app_private.hide_statistics(regclass) is 'Keeps the planner from learning what only one organization knows of its events.';
revoke execute on function app_private.hide_statistics(regclass) from public;

select app_private.hide_statistics('app.event_log'), app_private.hide_statistics('app.event_log_default');

-- Making and dropping tables is the owner's, so this one function runs as the owner. It takes no
-- text from whoever calls it.
create or replace function app.maintain_event_partitions() returns table (partition text, done text)
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set timezone = 'UTC'
-- Requests wait behind whoever waits for a lock.
set lock_timeout = '3s'
as $$
declare
  month timestamptz;
  has_rows boolean;
  name text;
begin
  -- Its policies are those of app.event_log, which hold for what goes through that.
  alter table app.event_log_default no force row level security;
  for month in
    select date_trunc('month', now()) + make_interval(months => n) from generate_series(0, 3) n
    union
    select date_trunc('month', e.occurred_at) from app.event_log_default e
    order by 1
  loop
    partition := 'event_log_' || to_char(month, 'YYYY_MM');
    continue when to_regclass('app.' || partition) is not null;
    execute format('create table app.%I (like app.event_log including defaults including constraints)', partition);
    perform app_private.hide_statistics(to_regclass('app.' || partition));
    execute format('with moved as (delete from app.event_log_default e where e.occurred_at >= %L and e.occurred_at < %L returning *)
      insert into app.%I select * from moved', month, month + interval '1 month', partition);
    execute format('alter table app.%I enable row level security', partition);
    execute format('alter table app.%I force row level security', partition);
    execute format('alter table app.event_log attach partition app.%I for values from (%L) to (%L)',
      partition, month, month + interval '1 month');
    done := 'made';
    return next;
  end loop;
  alter table app.event_log_default force row level security;

  for name in
    select c.relname from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'app.event_log'::regclass and c.relname ~ '^event_log_\d{4}_\d\d$'
      -- No organization may keep its events for less than 90 days.
      and to_timestamp(right(c.relname, 7), 'YYYY_MM') + interval '1 month' < now() - interval '90 days'
    order by 1
  loop
    execute format('alter table app.%I no force row level security', name);
    execute format('select exists (select from app.%I)', name) into has_rows;
    if has_rows then
      execute format('alter table app.%I force row level security', name);
    else
      execute format('drop table app.%I', name);
      partition := name;
      done := 'dropped';
      return next;
    end if;
  end loop;
end
$$;
comment on function app.maintain_event_partitions() is
  'Makes the months of the event log up to three ahead, takes rows out of app.event_log_default into theirs, and drops months that are empty and over for 90 days. Says what it did.';
revoke execute on function app.maintain_event_partitions() from public;
grant execute on function app.maintain_event_partitions() to callboard_worker;

select app.maintain_event_partitions();
--! EndIncluded event_partitions.sql
--! Included event_seals.sql
-- Proof that the event log is what it was. A worker seals the events of each organization in a
-- chain: every seal's hash covers the event's and that of the seal before. Whoever changes, takes
-- out or cuts off an event breaks the chain, or ends with another head than one that was noted
-- elsewhere. Of the personal details the chain holds only a salted hash, so they can be erased.

create table if not exists app.event_seals (
  organization_id uuid not null,
  seq bigint not null,
  event_id uuid not null,
  occurred_at timestamptz not null,
  core_hash bytea not null,
  details_hash bytea not null,
  prev_hash bytea not null,
  hash bytea not null,
  sealed_at timestamptz not null default now(),
  primary key (organization_id, seq),
  constraint event_seals_event_once unique (organization_id, event_id)
);
alter table app.event_seals enable row level security;
alter table app.event_seals force row level security;
drop policy if exists select_auditor on app.event_seals;
create policy select_auditor on app.event_seals for select to callboard_auditor using (true);
-- The definer adds to it, and nobody ever changes or deletes: seals outlive their events.
drop policy if exists select_definer on app.event_seals;
create policy select_definer on app.event_seals for select to callboard_definer using (true);
drop policy if exists insert_definer on app.event_seals;
create policy insert_definer on app.event_seals for insert to callboard_definer with check (true);
grant select on app.event_seals to callboard_auditor, callboard_definer;
grant insert on app.event_seals to callboard_definer;
alter table app.event_seals alter column seq set statistics 0, alter column core_hash set statistics 0,
  alter column details_hash set statistics 0, alter column prev_hash set statistics 0, alter column hash set statistics 0;
comment on table app.event_seals is 'The chain of each organization''s events.';
comment on column app.event_seals.core_hash is 'Of what stays of an event for ever: app.event_core_hash.';
comment on column app.event_seals.details_hash is 'Of what may be erased, with a salt that is erased too: app.event_details_hash.';
comment on column app.event_seals.hash is 'Of prev_hash and all before it: app.event_seal_hash. With seq it is the head of the chain up to here.';

-- How far the sealer is; whoever holds the row is the only one.
create table if not exists app_private.sealing (
  id boolean primary key default true constraint sealing_one_row check (id),
  sealed_until timestamptz not null default '-infinity'
);
alter table app_private.sealing enable row level security;
alter table app_private.sealing force row level security;
drop policy if exists all_definer on app_private.sealing;
create policy all_definer on app_private.sealing for all to callboard_definer using (true);
grant select, update on app_private.sealing to callboard_definer;
drop policy if exists insert_owner on app_private.sealing;
create policy insert_owner on app_private.sealing for insert to callboard_owner with check (true);
insert into app_private.sealing default values on conflict do nothing;
comment on table app_private.sealing is 'Until when all events are sealed; locked by the sealer, so that there is one at a time.';

-- Times as microseconds and everything as the text of an array, which quotes its elements: neither
-- depends on a setting, and no value can pose as two.
create or replace function app.event_core_hash(e app.event_log) returns bytea
language sql stable parallel safe
return sha256(convert_to(array[(e).organization_id::text, (e).id::text, (extract(epoch from (e).occurred_at) * 1000000)::bigint::text,
  (e).actor_id::text, (e).actor_kind, (e).session_id::text, (e).action, (e).resource_type, (e).resource_id::text]::text, 'UTF8'));
comment on function app.event_core_hash(app.event_log) is 'SHA-256 of an event without its details.';
revoke execute on function app.event_core_hash(app.event_log) from public;
grant execute on function app.event_core_hash(app.event_log) to callboard_auditor, callboard_definer;

create or replace function app.event_details_hash(e app.event_log) returns bytea
language sql stable parallel safe
return sha256(convert_to(array[(e).salt::text, (e).changes::text, (e).request_id, host((e).ip)]::text, 'UTF8'));
comment on function app.event_details_hash(app.event_log) is 'Salted SHA-256 of the details of an event: changes, request_id, ip.';
revoke execute on function app.event_details_hash(app.event_log) from public;
grant execute on function app.event_details_hash(app.event_log) to callboard_auditor, callboard_definer;

create or replace function app.event_seal_hash(prev_hash bytea, organization_id uuid, seq bigint, event_id uuid, occurred_at timestamptz, core_hash bytea, details_hash bytea) returns bytea
language sql immutable parallel safe
return sha256(prev_hash || uuid_send(organization_id) || int8send(seq) || uuid_send(event_id) || timestamptz_send(occurred_at) || core_hash || details_hash);
comment on function app.event_seal_hash(bytea, uuid, bigint, uuid, timestamptz, bytea, bytea) is 'SHA-256 of a seal and the one before it; before the first there is the empty one.';
revoke execute on function app.event_seal_hash(bytea, uuid, bigint, uuid, timestamptz, bytea, bytea) from public;
grant execute on function app.event_seal_hash(bytea, uuid, bigint, uuid, timestamptz, bytea, bytea) to callboard_auditor, callboard_definer;

create or replace function app_private.seal_horizon() returns timestamptz
language plpgsql volatile
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
begin
  if not pg_has_role(current_user, 'pg_read_all_stats', 'usage') then
    raise exception 'callboard_definer cannot see the transactions of others: run db/roles.sql again, as a superuser';
  end if;
  -- An earlier look in this transaction would be repeated otherwise.
  perform pg_stat_clear_snapshot();
  return least(at,
    (select min(a.xact_start) from pg_catalog.pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type <> 'autovacuum worker'),
    -- When a prepared transaction began is not known, only that it was before.
    (select min(p.prepared) - interval '1 hour' from pg_catalog.pg_prepared_xacts p where p.database = current_database()));
end
$$;
comment on function app_private.seal_horizon() is 'The moment before which every transaction that has begun has also ended.';
alter function app_private.seal_horizon() owner to callboard_definer;
revoke execute on function app_private.seal_horizon() from public;

create or replace function app_private.next_logged(behind uuid, since timestamptz, until timestamptz) returns uuid
language plpgsql stable
set search_path = ''
as $$
begin
  -- Along the primary key from one organization to the next. Whole months, so that it needs no look at the events.
  if behind is null then
    return (select l.organization_id from app.event_log l
      where l.occurred_at >= date_trunc('month', since, 'UTC') and l.occurred_at < until order by l.organization_id limit 1);
  end if;
  return (select l.organization_id from app.event_log l
    where l.organization_id > behind and l.occurred_at >= date_trunc('month', since, 'UTC') and l.occurred_at < until
    order by l.organization_id limit 1);
end
$$;
comment on function app_private.next_logged(uuid, timestamptz, timestamptz) is
  'The organization behind another one (null: the first) that has events between two moments, and perhaps some that has them only nearby.';
alter function app_private.next_logged(uuid, timestamptz, timestamptz) owner to callboard_definer;
revoke execute on function app_private.next_logged(uuid, timestamptz, timestamptz) from public;

create or replace function app_private.seal_some(of_organization uuid, since timestamptz, until timestamptz, at_most integer) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  head app.event_seals;
  batch record;
  chain bytea[] := '{}';
  last_hash bytea;
begin
  -- Hashed after the limit, not before.
  select array_agg((e.l).id) as ids, array_agg((e.l).occurred_at) as times,
    array_agg(app.event_core_hash(e.l)) as cores, array_agg(app.event_details_hash(e.l)) as details into batch
  from (
    select l from app.event_log l
    where l.organization_id = of_organization and l.occurred_at >= since and l.occurred_at < until
      and not exists (select from app.event_seals s where s.organization_id = of_organization and s.event_id = l.id)
    order by l.occurred_at, l.id limit at_most) e;
  if batch.ids is null then
    return 0;
  end if;
  select * into head from app.event_seals s where s.organization_id = of_organization order by s.seq desc limit 1;
  head.seq := coalesce(head.seq, 0);
  head.hash := coalesce(head.hash, '');
  last_hash := head.hash;
  for n in 1 .. cardinality(batch.ids) loop
    last_hash := app.event_seal_hash(last_hash, of_organization, head.seq + n, batch.ids[n], batch.times[n], batch.cores[n], batch.details[n]);
    chain[n] := last_hash;
  end loop;
  insert into app.event_seals (organization_id, seq, event_id, occurred_at, core_hash, details_hash, prev_hash, hash)
  select of_organization, head.seq + e.n, e.id, e.occurred_at, e.core, e.details, lag(e.hash, 1, head.hash) over (order by e.n), e.hash
  from unnest(batch.ids, batch.times, batch.cores, batch.details, chain) with ordinality e (id, occurred_at, core, details, hash, n);
  return cardinality(batch.ids);
end
$$;
comment on function app_private.seal_some(uuid, timestamptz, timestamptz, integer) is 'Adds the unsealed events of an organization between two moments to its chain, in the order of time; says how many.';
alter function app_private.seal_some(uuid, timestamptz, timestamptz, integer) owner to callboard_definer;
revoke execute on function app_private.seal_some(uuid, timestamptz, timestamptz, integer) from public;

create or replace function app.seal_events(look_back interval default '1 hour') returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set jit = off
as $$
declare
  state app_private.sealing;
  horizon timestamptz;
  since timestamptz;
  behind timestamptz;
  organization uuid;
  done bigint;
  sealed bigint := 0;
begin
  select * into state from app_private.sealing for update skip locked;
  if not found then
    return 0;
  end if;
  horizon := app_private.seal_horizon();
  -- A clock that was set back, or a backend that stopped between taking the time and showing it,
  -- leaves an event behind the others: it is found within look_back, and sealed behind them.
  since := greatest(state.sealed_until - look_back, '0001-01-01 00:00:00+00');
  loop
    organization := app_private.next_logged(organization, since, horizon);
    exit when organization is null;
    behind := since;
    loop
      -- As many as fit into the memory at a time.
      done := app_private.seal_some(organization, behind, horizon, 20000);
      sealed := sealed + done;
      exit when done < 20000;
      select s.occurred_at into behind from app.event_seals s where s.organization_id = organization order by s.seq desc limit 1;
    end loop;
  end loop;
  update app_private.sealing set sealed_until = greatest(sealed_until, horizon);
  return sealed;
end
$$;
comment on function app.seal_events(interval) is
  'Seals the events of all transactions that can have no earlier ones any more, and those of the last look_back that were missed; says how many. Another call at the same time does nothing. Once a minute; once a day with ''10 years''.';
alter function app.seal_events(interval) owner to callboard_definer;
revoke execute on function app.seal_events(interval) from public;
grant execute on function app.seal_events(interval) to callboard_worker;
--! EndIncluded event_seals.sql
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

select app_private.log_changes('app.custom_roles', 'role');

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

select app_private.log_changes('app.member_permissions', 'member',
  '{"create": "set_permission", "update": "set_permission", "delete": "clear_permission"}', 'user_id');

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
create or replace function app.enter(
  session_secret text, organization uuid default null, request_id text default null, ip inet default null
) returns void
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
    perform app_private.set_context(s.user_id, s.id, null, null, '{}', request_id, ip);
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
    app_private.effective_permissions(organization, s.user_id, o.role), request_id, ip);
end
$$;
comment on function app.enter(text, uuid, text, inet) is
  'Opens this transaction for the session with this secret, in one of its user''s organizations or, with null, in none; request and address are for the event log. PT401 session_unknown, session_revoked, session_expired; PT403 membership_revoked, organization_deleted.';
alter function app.enter(text, uuid, text, inet) owner to callboard_definer;
revoke execute on function app.enter(text, uuid, text, inet) from public;
grant execute on function app.enter(text, uuid, text, inet) to callboard_api;

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
    return app.refusal(401, 'refresh_token_reused', 'This refresh token was used before; the session has been ended: sign in again.');
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
  perform app_private.log_event(app.current_org(), 'auth.register', 'user', new_user,
    jsonb_build_object('new', jsonb_build_object('email', lower(address), 'display_name', display_name)));
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
  -- Refusals are returned, not raised, because raising would take their event back.
  if not app_private.is_password(who, proof) then
    perform app_private.log_failed_sign_in(address, who, 'invalid_credentials', organization);
    return app.refusal(401, 'invalid_credentials', 'The address or the password is wrong.');
  end if;
  if organization is not null and organization is distinct from app_private.usual_organization(who, organization) then
    perform app_private.log_failed_sign_in(address, who, 'membership_revoked', organization);
    return app.refusal(403, 'membership_revoked');
  end if;
  return (200, app_private.start_session(who, session_hash, refresh_hash, organization, client), null, null)::app.answer;
end
$$;
comment on function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) is
  'Starts a session for whoever proves the password. Answers 401 invalid_credentials (also for an unknown address) and 403 membership_revoked.';
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
--! Included account_events.sql
-- What people do with their account, as events. An account belongs to no organization; its events
-- are in the log of the one where its user works at the time: where the session is, or where the
-- next sign-in would lead.

create or replace function app_private.account_holder(whose uuid) returns uuid
language plpgsql stable
set search_path = ''
as $$
begin
  return case when app.current_user_id() is not null or not app_private.is_trusted() then whose end;
end
$$;
comment on function app_private.account_holder(uuid) is
  'The user whose account is used, by a password, a token or a mailed link; NULL where a DBA or a job works on it.';
alter function app_private.account_holder(uuid) owner to callboard_definer;
revoke execute on function app_private.account_holder(uuid) from public;

create or replace function app_private.tg_sessions__900_event() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := coalesce(new.organization_id, app_private.usual_organization(new.user_id));
begin
  if tg_op = 'INSERT' then
    perform app_private.log_event(organization, 'auth.sign_in', 'session', new.id,
      jsonb_build_object('new', jsonb_build_object('user_agent', new.user_agent)), app_private.account_holder(new.user_id));
  elsif old.revoked_at is null and new.revoked_at is not null then
    -- Who sent a spent token is not known: the user or a thief.
    perform app_private.log_event(organization,
      case new.revoked_because when 'signed_out' then 'auth.sign_out' when 'refresh_token_reused' then 'auth.refresh_token_reused'
        else 'auth.session_revoked' end, 'session', new.id,
      jsonb_build_object('new', jsonb_build_object('revoked_because', new.revoked_because)),
      case when new.revoked_because <> 'refresh_token_reused' then app_private.account_holder(new.user_id) end);
  elsif new.organization_id is distinct from old.organization_id and new.organization_id is not null then
    -- Without saying from where: that is another organization's to know.
    perform app_private.log_event(organization, 'auth.switch_organization', 'session', new.id, null, app_private.account_holder(new.user_id));
  end if;
  return null;
end
$$;
comment on function app_private.tg_sessions__900_event() is
  'Logs the beginning and the end of a session, and its move to another organization, where it moves to.';
alter function app_private.tg_sessions__900_event() owner to callboard_definer;
revoke execute on function app_private.tg_sessions__900_event() from public;

create or replace trigger _900_event after insert or update on app.sessions
  for each row execute function app_private.tg_sessions__900_event();

create or replace function app_private.tg_users__900_event() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := coalesce(app.current_org(), app_private.usual_organization(new.id));
  changes jsonb;
begin
  if tg_op = 'INSERT' then
    -- Somebody who registers has no organization yet: see app.register.
    if organization is not null then
      perform app_private.log_event(organization, 'user.create', 'user', new.id,
        jsonb_build_object('new', jsonb_build_object('email', new.email, 'display_name', new.display_name)));
    end if;
    return null;
  end if;
  changes := app_private.diff(
    jsonb_build_object('email', old.email, 'display_name', old.display_name, 'email_verified_at', old.email_verified_at),
    jsonb_build_object('email', new.email, 'display_name', new.display_name, 'email_verified_at', new.email_verified_at));
  if changes is not null then
    perform app_private.log_event(organization,
      case when changes -> 'new' ? 'email_verified_at' then 'auth.email_verified' else 'user.update' end, 'user', new.id, changes);
  end if;
  return null;
end
$$;
comment on function app_private.tg_users__900_event() is 'Logs accounts made for others, and changes of a profile.';
alter function app_private.tg_users__900_event() owner to callboard_definer;
revoke execute on function app_private.tg_users__900_event() from public;

create or replace trigger _900_event after insert or update on app.users
  for each row execute function app_private.tg_users__900_event();

create or replace function app_private.tg_credentials__900_event() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := app_private.usual_organization(new.user_id);
begin
  -- The first password of somebody who registers is part of registering.
  if tg_op = 'UPDATE' or organization is not null then
    perform app_private.log_event(organization,
      case when app.current_user_id() is not null then 'auth.password_changed' else 'auth.password_reset' end,
      'user', new.user_id, null, app_private.account_holder(new.user_id));
  end if;
  return null;
end
$$;
comment on function app_private.tg_credentials__900_event() is
  'Logs that a password was changed by somebody signed in, or set by a mailed link; nothing of the password.';
alter function app_private.tg_credentials__900_event() owner to callboard_definer;
revoke execute on function app_private.tg_credentials__900_event() from public;

create or replace trigger _900_event after insert or update on app_private.credentials
  for each row execute function app_private.tg_credentials__900_event();

create or replace function app_private.log_failed_sign_in(address text, who uuid, problem text, organization uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  -- Both are worked out for every address, so that the time taken does not tell whether it is known.
  landing uuid := app_private.usual_organization(who, organization);
  -- Of an unknown address only a keyed hash: it may be a password in the wrong field.
  hash text := encode(app_private.keyed_hash(convert_to('address:' || lower(address), 'UTF8')), 'hex');
begin
  perform app_private.log_event(landing, 'auth.sign_in_failed', 'user', who,
    jsonb_build_object('new', jsonb_build_object('problem', problem)
      || case when who is null then jsonb_build_object('address_hash', hash) else '{}' end));
end
$$;
comment on function app_private.log_failed_sign_in(text, uuid, text, uuid) is
  'Logs a refused sign-in where it would have led; with an unknown address in no organization.';
alter function app_private.log_failed_sign_in(text, uuid, text, uuid) owner to callboard_definer;
revoke execute on function app_private.log_failed_sign_in(text, uuid, text, uuid) from public;
--! EndIncluded account_events.sql
--! Included event_verify.sql
-- Whether the log is what was sealed. Anybody who may read both tables can ask; a head that was
-- noted earlier, and elsewhere, also shows whether the end was cut off or all of it made anew.

create or replace function app.verify_events(
  organization uuid, head_seq bigint default null, head_hash text default null, after_seq bigint default 0, at_most bigint default null
) returns json
language plpgsql stable
set search_path = ''
set jit = off
as $$
declare
  anchor bytea := coalesce((select s.hash from app.event_seals s where s.organization_id = organization and s.seq = after_seq), '');
  -- Said by the purge itself; no retention is shorter than 90 days.
  purged_before timestamptz := (
    select max((p.changes #>> '{new,before}')::timestamptz) from app.event_log p
    where p.organization_id = organization and p.resource_id = organization and p.action = 'audit.purge'
      and (p.changes #>> '{new,before}')::timestamptz <= p.occurred_at - interval '90 days');
  head app.event_seals;
  seen record;
  problem json;
  unsealed bigint;
begin
  select * into head from app.event_seals s where s.organization_id = organization order by s.seq desc limit 1;
  with checked as (
    select s.seq, s.event_id, s.occurred_at, lag(s.seq, 1, after_seq) over chain as previous,
      case
        when s.seq <> lag(s.seq, 1, after_seq) over chain + 1 then 'seal_missing'
        when s.prev_hash <> lag(s.hash, 1, anchor) over chain
          or s.hash <> app.event_seal_hash(s.prev_hash, s.organization_id, s.seq, s.event_id, s.occurred_at, s.core_hash, s.details_hash)
          then 'seal_changed'
        when e.id is null then case when s.occurred_at < purged_before then null else 'missing' end
        when app.event_core_hash(e) <> s.core_hash then 'changed'
        when e.erased_at is null then case when app.event_details_hash(e) <> s.details_hash then 'changed' end
        -- Erased, and an event of that very moment says so.
        when not exists (select from app.event_log x
          where x.organization_id = organization and x.occurred_at = e.erased_at and x.action = 'audit.erase'
            and x.resource_id in (e.actor_id, e.resource_id)) then 'erased'
      end as kind
    from app.event_seals s
    left join app.event_log e on e.organization_id = organization and e.occurred_at = s.occurred_at and e.id = s.event_id
    where s.organization_id = organization and s.seq > after_seq and (at_most is null or s.seq <= after_seq + at_most)
    window chain as (order by s.seq)
  )
  select count(*) as checked, max(c.seq) as last, (array_agg(to_jsonb(c) order by c.seq) filter (where c.kind is not null))[1] as bad
  into seen from checked c;

  if seen.bad is not null then
    problem := json_build_object(
      -- With another time it is not found under its seal's.
      'kind', case when seen.bad ->> 'kind' = 'missing' and exists (select from app.event_log e
        where e.organization_id = organization and e.id = (seen.bad ->> 'event_id')::uuid) then 'changed' else seen.bad ->> 'kind' end,
      'seq', case when seen.bad ->> 'kind' = 'seal_missing' then (seen.bad ->> 'previous')::bigint + 1 else (seen.bad ->> 'seq')::bigint end,
      'event_id', case when seen.bad ->> 'kind' <> 'seal_missing' then seen.bad ->> 'event_id' end,
      'occurred_at', case when seen.bad ->> 'kind' <> 'seal_missing' then (seen.bad ->> 'occurred_at')::timestamptz end);
  elsif head_seq is not null and not exists (select from app.event_seals s
    where s.organization_id = organization and s.seq = head_seq and encode(s.hash, 'hex') = lower(head_hash)) then
    problem := json_build_object(
      'kind', case when head.seq is null or head_seq > head.seq then 'cut_off' else 'rewritten' end,
      'seq', case when head.seq is null or head_seq > head.seq then coalesce(head.seq, 0) + 1 else head_seq end,
      'event_id', null, 'occurred_at', null);
  end if;
  select count(*) into unsealed from app.event_log e
  where e.organization_id = organization
    and not exists (select from app.event_seals s where s.organization_id = organization and s.event_id = e.id);
  return json_build_object('ok', problem is null, 'checked', seen.checked, 'unsealed', unsealed,
    'head', case when head.seq is not null then json_build_object('seq', head.seq, 'hash', encode(head.hash, 'hex'), 'sealed_at', head.sealed_at) end,
    'purged_before', purged_before,
    'next_after', case when seen.last < head.seq then seen.last end,
    'problem', problem);
end
$$;
comment on function app.verify_events(uuid, bigint, text, bigint, bigint) is
  'Checks an organization''s events against their seals, all of them or at_most so many behind after_seq, and a head that was noted. problem is the first: changed, missing, erased (without a trace), seal_changed, seal_missing, cut_off or rewritten (the head is not the one that was noted).';
revoke execute on function app.verify_events(uuid, bigint, text, bigint, bigint) from public;
grant execute on function app.verify_events(uuid, bigint, text, bigint, bigint) to callboard_auditor, callboard_definer;

create or replace function app.audited_organizations(of_slug text default null) returns table (id uuid, slug text)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  if of_slug is not null then
    return query select s.organization_id, s.slug from app_private.slugs s where s.slug = of_slug;
    return;
  end if;
  -- Along the key of the seals from one to the next; also those that are not there any more.
  return query
    with recursive sealed as (
      (select s.organization_id from app.event_seals s order by s.organization_id limit 1)
      union all
      select (select s.organization_id from app.event_seals s where s.organization_id > f.organization_id order by s.organization_id limit 1)
      from sealed f where f.organization_id is not null
    )
    select coalesce(f.organization_id, o.id), o.slug
    from (select * from sealed where sealed.organization_id is not null) f full join app.organizations o on o.id = f.organization_id
    order by o.slug nulls last, 1;
end
$$;
comment on function app.audited_organizations(text) is 'For an auditor: the organization with a slug, or all that have a chain of events, even if they themselves are gone.';
alter function app.audited_organizations(text) owner to callboard_definer;
revoke execute on function app.audited_organizations(text) from public;
grant execute on function app.audited_organizations(text) to callboard_auditor;
--! EndIncluded event_verify.sql
--! Included event_retention.sql
-- How long events are kept, and how personal details leave them before that.

create table if not exists app.event_retentions (
  organization_id uuid primary key default app.current_org() references app.organizations (id) on delete cascade,
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
  'Deletes the sealed events that are older than their organization keeps them, and logs until when (audit.purge); says how many. Once a day, before app.maintain_event_partitions.';
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
    -- app.verify_events finds it by the moment and by what it is about.
    perform app_private.log_event(found_in.organization_id, 'audit.erase', 'details', about,
      jsonb_build_object('new', jsonb_build_object('events', found_in.events)));
    erased := erased + found_in.events;
  end loop;
  return erased;
end
$$;
comment on function app_private.erase_events(uuid) is
  'Erases changes, request id and address of all events that a user did, or that are about the user or thing with this id; what is left stays verifiable. Logs audit.erase in each organization; says how many.';
alter function app_private.erase_events(uuid) owner to callboard_definer;
revoke execute on function app_private.erase_events(uuid) from public;
--! EndIncluded event_retention.sql
--! Included event_reading.sql
-- How members read their organization's events; that is an event, too.

create or replace view app.event_list with (security_invoker = true) as
  select e.organization_id, e.id, e.occurred_at, e.actor_id, e.action, e.resource_type, e.resource_id,
    json_build_object('id', e.id, 'occurred_at', e.occurred_at, 'actor_kind', e.actor_kind, 'actor_id', e.actor_id, 'actor_name', u.display_name,
      'action', e.action, 'resource_type', e.resource_type, 'resource_id', e.resource_id, 'changes', e.changes,
      'request_id', e.request_id, 'ip', host(e.ip), 'session_id', e.session_id, 'erased_at', e.erased_at) as body
  from app.event_log e
  left join app.users u on u.id = e.actor_id;
comment on view app.event_list is 'The organization''s events, with their JSON; the actor''s name as long as they are a colleague.';
grant select on app.event_list to callboard_api;

create or replace function app.read_event(event uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := app.require('audit.read');
  answer app.answer;
begin
  select null, l.body, null, null into answer from app.event_list l
  where l.organization_id = organization and l.id = event
    -- The id says when; rounded, so a little around it.
    and l.occurred_at between app.event_time(event) - interval '2 milliseconds' and app.event_time(event) + interval '2 milliseconds';
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_event(uuid) is 'An event. PT403 without audit.read, PT404.';
revoke execute on function app.read_event(uuid) from public;
grant execute on function app.read_event(uuid) to callboard_api;

create or replace function app.verify_own_events(after_seq bigint, at_most bigint) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (null, app.verify_events(app.require('audit.read'), null, null, after_seq, at_most), null, null)::app.answer;
end
$$;
comment on function app.verify_own_events(bigint, bigint) is 'app.verify_events for the organization of the token. PT403 without audit.read.';
alter function app.verify_own_events(bigint, bigint) owner to callboard_definer;
revoke execute on function app.verify_own_events(bigint, bigint) from public;
grant execute on function app.verify_own_events(bigint, bigint) to callboard_api;

create or replace function app.log_reading(what text, of_event uuid default null, filters jsonb default null) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('audit.read');
  given jsonb := nullif(jsonb_strip_nulls(filters), '{}');
begin
  if what not in ('audit.read', 'audit.verify') or length(given::text) > 2000 then
    perform app.refuse(400, 'invalid_value', 'This is no reading of the event log.');
  end if;
  perform app_private.log_event(organization, what, 'event', of_event,
    case when given is not null then jsonb_build_object('new', given) end);
end
$$;
comment on function app.log_reading(text, uuid, jsonb) is
  'Logs that the event log is read (audit.read, with the filters) or verified (audit.verify). PT403 without audit.read.';
alter function app.log_reading(text, uuid, jsonb) owner to callboard_definer;
revoke execute on function app.log_reading(text, uuid, jsonb) from public;
grant execute on function app.log_reading(text, uuid, jsonb) to callboard_api;
--! EndIncluded event_reading.sql
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

select app_private.log_changes('app.venues', 'venue');

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

select app_private.log_changes('app.shows', 'show');

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
