--! Previous: sha1:d140da1cf91436a6c966cb1c993b0005fa7e1133
--! Hash: sha1:d71e975b9d10e35c8f76c35a681f3085f63fcdaf
--! Message: A shorter way through the database

-- The signature and the entrance in fewer statements, and small functions that PostgreSQL can put in the place of
-- the call; and what a text and a key find, without reading everything that the organization, or the user, has.
drop index app.shows_organization_id_venue_id_idx;

--! Included helpers.sql
-- Small functions that know nothing of tenants.

create or replace function app.uuid_v7() returns uuid
language sql volatile parallel safe
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
return '"' || version || '"';
comment on function app.etag(integer) is 'The ETag of a row version (RFC 9110, strong).';
revoke execute on function app.etag(integer) from public;
grant execute on function app.etag(integer) to callboard_api, callboard_definer;

create or replace function app.matches(version integer, if_match text) returns boolean
language sql immutable parallel safe
return if_match is null or if_match = '*'
  or app.etag(version) = any (string_to_array(replace(if_match, ' ', ''), ','));
comment on function app.matches(integer, text) is 'Whether an If-Match header (a list of ETags, * or null) allows this version.';
revoke execute on function app.matches(integer, text) from public;
grant execute on function app.matches(integer, text) to callboard_api, callboard_definer;

create or replace function app.in_bin(body json, deleted_at timestamptz, deleted_by uuid) returns json
language sql immutable parallel safe
return case when deleted_at is null then body
  else (body::jsonb || jsonb_build_object('deleted_at', deleted_at, 'deleted_by', deleted_by))::json end;
comment on function app.in_bin(json, timestamptz, uuid) is 'The JSON of a row, and if it is in the bin also since when and who put it there.';
revoke execute on function app.in_bin(json, timestamptz, uuid) from public;
grant execute on function app.in_bin(json, timestamptz, uuid) to callboard_api, callboard_definer;

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

-- Nested hashing with two keys, as in NMAC: a plain sha256(key || text) could be extended. One expression
-- without settings, so that PostgreSQL puts it in the place of the call.
create or replace function app_private.hash_with(key app_private.context_keys, message bytea) returns bytea
language sql immutable parallel safe
return sha256(key.outer_key || sha256(key.inner_key || message));
comment on function app_private.hash_with(app_private.context_keys, bytea) is 'A message authentication code under this pair of keys (32 bytes).';
alter function app_private.hash_with(app_private.context_keys, bytea) owner to callboard_definer;
revoke execute on function app_private.hash_with(app_private.context_keys, bytea) from public;

create or replace function app_private.keyed_hash(message bytea) returns bytea
language plpgsql stable parallel safe security definer
set search_path = ''
as $$
begin
  return (select app_private.hash_with(k, message) from app_private.context_keys k);
end
$$;
comment on function app_private.keyed_hash(bytea) is 'A message authentication code under the database''s own key (32 bytes).';
alter function app_private.keyed_hash(bytea) owner to callboard_definer;
revoke execute on function app_private.keyed_hash(bytea) from public;

-- A parallel worker is another backend, where no signature is right. So what asks for the context is
-- PARALLEL RESTRICTED: the leader finds it once, and (select …) hands the value to the workers.
-- Several times in every transaction, so it is one function and one statement: each more of either
-- costs as much as the hashes do.
create or replace function app_private.context_signature() returns text
language plpgsql stable parallel restricted
set search_path = ''
as $$
begin
  -- An array's text form quotes its elements, so no value can pose as two.
  return (select encode(app_private.hash_with(k,
    int4send(pg_backend_pid()) || timestamptz_send(transaction_timestamp()) || convert_to(array[
      current_setting('app.current_org', true),
      current_setting('app.user_id', true),
      current_setting('app.session_id', true),
      current_setting('app.role', true),
      current_setting('app.permissions', true),
      current_setting('app.request_id', true),
      current_setting('app.ip', true)
    ]::text, 'UTF8')), 'hex') from app_private.context_keys k);
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
declare
  -- Assigned rather than performed: an expression costs a fraction of a statement.
  done text[] := array[
    set_config('app.current_org', coalesce(organization_id::text, ''), true),
    set_config('app.user_id', coalesce(user_id::text, ''), true),
    set_config('app.session_id', coalesce(session_id::text, ''), true),
    set_config('app.role', coalesce(role, ''), true),
    -- A blank on both sides of every name: one search finds a whole word.
    set_config('app.permissions', ' ' || array_to_string(permissions, ' ') || ' ', true),
    set_config('app.request_id', coalesce(request_id, ''), true),
    set_config('app.ip', coalesce(host(ip), ''), true)];
begin
  done[1] := set_config('app.signature', app_private.context_signature(), true);
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
  -- As current_org, which would be one more function in every statement.
  if strpos(current_setting('app.permissions', true), ' ' || permission || ' ') > 0
    and app_private.context_signature() = current_setting('app.signature', true) then
    return nullif(current_setting('app.current_org', true), '');
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

-- In every transaction, so it costs as little as can be: the settings are compared as they are. Without
-- their signature nobody would have seen a row by them; that they were changed is to be noticed anyway.
create or replace function app.confirm_organization(organization text) returns void
language plpgsql stable parallel restricted
set search_path = ''
as $$
begin
  if current_setting('app.current_org', true) is distinct from organization then
    raise exception using message = 'isolation_breach',
      detail = case when coalesce(current_setting('app.current_org', true), '') = '' then 'no_context' else 'other_organization' end;
  end if;
end
$$;
comment on function app.confirm_organization(text) is
  'Refuses to end a transaction in another organization than it should have been in, with the error isolation_breach, which no request should ever see. The API asks before each COMMIT.';
revoke execute on function app.confirm_organization(text) from public;
grant execute on function app.confirm_organization(text) to callboard_api;
--! EndIncluded context.sql
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
create policy select_member on app.event_log for select to callboard_api, callboard_exporter
  using (organization_id = (select app.org_if('audit.read')));
drop policy if exists select_auditor on app.event_log;
create policy select_auditor on app.event_log for select to callboard_auditor using (true);

-- Figures are computed of all organizations at once: see rollups.sql.
drop policy if exists select_rollup on app.event_log;
create policy select_rollup on app.event_log for select to callboard_rollup using (true);

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
  on app.event_log to callboard_api, callboard_exporter;
grant select on app.event_log to callboard_auditor, callboard_definer, callboard_rollup;
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
return to_timestamp(('x' || translate(left(event::text, 13), '-', ''))::bit(48)::bigint::numeric / 1000);
comment on function app.event_time(uuid) is 'The millisecond in which the event with this id occurred.';
revoke execute on function app.event_time(uuid) from public;
grant execute on function app.event_time(uuid) to callboard_api, callboard_auditor, callboard_definer;

create or replace function app_private.nobody() returns uuid
language sql immutable parallel safe
return uuid '00000000-0000-0000-0000-000000000000';
comment on function app_private.nobody() is 'The organization of events that belong to none.';
alter function app_private.nobody() owner to callboard_definer;
revoke execute on function app_private.nobody() from public;

create or replace function app_private.is_trusted() returns boolean
language sql stable
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
grant select, insert, update, delete on app.sessions to callboard_definer;

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
return interval '30 days';
comment on function app_private.session_lifetime() is 'How long a session lives after its last refresh.';
revoke execute on function app_private.session_lifetime() from public;
grant execute on function app_private.session_lifetime() to callboard_definer;

create or replace function app_private.live_session(session_secret text) returns app.sessions
language plpgsql stable
set search_path = ''
as $$
declare
  s app.sessions;
begin
  select * into s from app.sessions x where x.secret_hash = app_private.digest(session_secret);
  if s.id is null then
    perform app.refuse(401, 'session_unknown');
  elsif s.revoked_because is not null then
    perform app.refuse(401, 'session_revoked');
  elsif s.expires_at <= now() then
    perform app.refuse(401, 'session_expired');
  end if;
  return s;
end
$$;
comment on function app_private.live_session(text) is 'The session with this secret. PT401 session_unknown, session_revoked, session_expired.';
alter function app_private.live_session(text) owner to callboard_definer;
revoke execute on function app_private.live_session(text) from public;

-- The door. Every transaction for a signed-in user starts here, so it is one statement: each costs
-- more than the rows that it reads.
create or replace function app.enter(
  session_secret text, organization uuid default null, request_id text default null, ip inet default null
) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  f record;
begin
  select s.id, s.user_id, s.revoked_because is not null or s.expires_at <= now() as is_over, m.role, o.deleted_at,
    m.user_id is null or m.deleted_at is not null and m.deletion_id is distinct from o.deletion_id as is_stranger,
    -- Who has nothing but a built-in role holds what that has, which is found much faster.
    case when exists (select from app.member_roles x where x.organization_id = organization and x.user_id = s.user_id)
        or exists (select from app.member_permissions x where x.organization_id = organization and x.user_id = s.user_id)
      then app_private.effective_permissions(organization, s.user_id, m.role)
      else array(select x.permission from app.role_permissions x where x.role = m.role) end as permissions
  into f
  from app.sessions s
  left join app.memberships m on m.organization_id = organization and m.user_id = s.user_id
  left join app.organizations o on o.id = m.organization_id
  where s.secret_hash = app_private.digest(session_secret);
  if f.is_over is distinct from false then
    -- Says why; if the session has come back to life since, it is unknown to this statement all the same.
    perform app_private.live_session(session_secret);
    perform app.refuse(401, 'session_unknown');
  elsif organization is null then
    perform app_private.set_context(f.user_id, f.id, null, null, '{}', request_id, ip);
    return;
  -- Somebody who did not belong to the end learns nothing about an organization, not even that it is gone.
  elsif f.is_stranger then
    perform app.refuse(403, 'membership_revoked');
  elsif f.deleted_at is not null then
    perform app.refuse(403, 'organization_deleted');
  end if;
  perform app_private.set_context(f.user_id, f.id, organization, f.role, f.permissions, request_id, ip);
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
-- The purge has no context, and sees only what is too old to be anybody's answer.
drop policy if exists purge_definer on app.idempotency_keys;
create policy purge_definer on app.idempotency_keys for all to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '24 hours');
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
  -- The policy shows this user's own; a key that is old is free, purged or not.
  delete from app.idempotency_keys k where k.key = the_key and k.created_at < now() - interval '24 hours';
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
  source text constraint shows_source_length check (length(source) between 1 and 100 and source !~ '[\u0001-\u001f\u007f-\u009f]'),
  external_ref text constraint shows_external_ref_length check (length(external_ref) between 1 and 200 and external_ref !~ '[\u0001-\u001f\u007f-\u009f]'),
  primary key (organization_id, id),
  constraint shows_external_ref_with_source check ((external_ref is null) = (source is null)),
  constraint shows_venue_exists foreign key (organization_id, venue_id) references app.venues (organization_id, id),
  constraint shows_doors_before_start check (doors_time <= start_time),
  constraint shows_tickets_within_capacity check (tickets_sold <= capacity),
  constraint shows_fee_with_currency check ((fee_minor is null) = (currency is null))
);
create index if not exists shows_organization_id_show_on_idx on app.shows (organization_id, show_on, id) where deleted_at is null;
create index if not exists shows_organization_id_created_at_idx on app.shows (organization_id, created_at, id) where deleted_at is null;
create index if not exists shows_organization_id_title_idx on app.shows (organization_id, title, id) where deleted_at is null;
-- Also of those in the bin: app.search_shows looks there, too, and the foreign key does.
create index if not exists shows_organization_id_venue_id_idx on app.shows (organization_id, venue_id, show_on);
create index if not exists shows_search_idx on app.shows using gin (organization_id, (title || ' ' || artist) app_private.gin_trgm_ops);
alter index app.shows_search_idx alter column 2 set statistics 0;
alter table app.shows alter column title set statistics 0, alter column artist set statistics 0, alter column notes set statistics 0,
  alter column capacity set statistics 0, alter column tickets_sold set statistics 0, alter column fee_minor set statistics 0;
create unique index if not exists show_external_ref_taken on app.shows (organization_id, source, external_ref)
  where deleted_at is null and external_ref is not null;
alter table app.shows alter column source set statistics 0, alter column external_ref set statistics 0;
create index if not exists shows_deletion_id_idx on app.shows (organization_id, deletion_id) where deletion_id is not null;

alter table app.shows enable row level security;
alter table app.shows force row level security;

drop policy if exists select_member on app.shows;
create policy select_member on app.shows for select to callboard_api, callboard_exporter
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
-- It imports, too, as the member that an import runs as.
drop policy if exists insert_definer on app.shows;
create policy insert_definer on app.shows for insert to callboard_definer
  with check (organization_id = (select app.current_org()));
drop policy if exists update_definer on app.shows;
create policy update_definer on app.shows for update to callboard_definer
  using (organization_id = (select app.current_org()));
-- Figures are computed of all organizations at once: see rollups.sql.
drop policy if exists select_rollup on app.shows;
create policy select_rollup on app.shows for select to callboard_rollup using (true);

grant select on app.shows to callboard_api, callboard_definer, callboard_exporter, callboard_rollup;
grant insert (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes, source, external_ref),
  update (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes, source, external_ref)
  on app.shows to callboard_api;
grant insert (organization_id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes,
    source, external_ref, created_by),
  update (status, deleted_at, deleted_by, deletion_id) on app.shows to callboard_definer;

comment on table app.shows is 'Performances, from the first inquiry to the settlement.';
comment on column app.shows.start_time is 'Local time at the venue; a curfew at or before the start is on the next day.';
comment on column app.shows.external_ref is 'What the show is called where it comes from (source); unique there.';
comment on column app.shows.fee_minor is 'What the artist is paid, in the smallest unit of the currency.';

select app_private.log_changes('app.shows', 'show');

create or replace function app_private.tg_shows__200_status() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- There is no way out of settled but app.reopen_settlement, which asks for another permission and a reason.
  if current_user = 'callboard_definer' and old.status = 'settled' and new.status = 'played' then
    return new;
  end if;
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
      'fee_minor', s.fee_minor, 'currency', s.currency, 'notes', s.notes, 'source', s.source, 'external_ref', s.external_ref,
      'created_by', s.created_by, 'created_at', s.created_at, 'updated_at', s.updated_at) as body,
    s.deleted_at, s.deleted_by, s.source, s.external_ref
  from app.shows s
  left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id;
comment on view app.show_list is 'The organization''s shows with their JSON, also those in the bin, which have deleted_at.';
grant select on app.show_list to callboard_api, callboard_definer;

-- Few rows are expected, so that a list looks these up instead of looking for them among all shows.
create or replace function app.search_shows(q text) returns setof uuid
language plpgsql stable rows 20 security definer
set search_path = ''
set client_min_messages = 'error'
-- How many rows a text finds is known only when the text is.
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  -- The organization is compared as a value, not through a policy: under one the index is no use.
  organization uuid := app.org_if('shows.read');
  pattern text := '%' || regexp_replace(q, '([\\%_])', '\\\1', 'g') || '%';
begin
  return query
    select s.id from app.shows s where s.organization_id = organization and (s.title || ' ' || s.artist) ilike pattern
    union
    -- The venues first, as an array: joined, PostgreSQL would read all shows.
    select s.id from app.shows s
    where s.organization_id = organization and s.venue_id = any (array(
      select v.id from app.venues v where v.organization_id = organization and (v.name || ' ' || v.city) ilike pattern));
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
  where s.organization_id = app.current_org() and s.id = show and s.deleted_at is null;
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
  insert into app.shows (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes, source, external_ref)
  values (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
    n.capacity, coalesce(n.tickets_sold, 0), n.fee_minor, n.currency, n.notes, n.source, n.external_ref)
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
  set (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, fee_minor, currency, notes, source, external_ref)
    = row (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
      n.capacity, coalesce(n.tickets_sold, 0), n.fee_minor, n.currency, n.notes, n.source, n.external_ref)
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
