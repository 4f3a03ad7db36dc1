--! Previous: -
--! Hash: sha1:d5f183d9d2d2c82ce25768cbb52abaac3abb8865
--! Message: callboard

-- Foundation: schemas, what tables have in common, the caller's context
--! Included foundation/schemas.sql
-- Two pairs of schemas. `app` is what the API works with, always under row-level security.
-- `app_private` holds keys, secrets and the helpers that need them; the API has no access to it.
-- `analytics` has views for the API and for BI tools, restricted to the caller's organization,
-- over the materialized views of `analytics_private`, which cannot have row-level security.

create schema if not exists app;
create schema if not exists app_private;
create schema if not exists analytics;
create schema if not exists analytics_private;

comment on schema app is 'What the API works with; every table is under row-level security.';
comment on schema app_private is 'Keys, secrets and helpers; never granted to a login.';
comment on schema analytics is 'Sums and counts of your organization, for the API and for BI tools.';
comment on schema analytics_private is 'Materialized views with the rows of all organizations; never granted to a login.';

-- By default everybody may execute a new function. Here nobody may until it is granted.
alter default privileges for role callboard_owner revoke execute on functions from public;
alter default privileges for role callboard_definer revoke execute on functions from public;
alter default privileges for role callboard_rollup revoke execute on functions from public;

-- A definer function that a login may call is silent (client_min_messages = 'error'): with
-- debug_print_plan the caller would receive the plans of its statements including their values,
-- such as the secret that it is about to mail. Those that only read the caller's own context are not.

grant usage on schema app to callboard_api, callboard_worker, callboard_auditor;
-- CREATE is what lets the owner hand a function over to the definer; the definer never logs in.
grant usage, create on schema app, app_private to callboard_definer;
grant usage on schema analytics to callboard_api, callboard_bi;
-- It owns the materialized views, which it creates and refreshes, and the views over them.
grant usage, create on schema analytics, analytics_private to callboard_rollup;
grant usage, create on schema app to callboard_rollup;
grant usage on schema app_private to callboard_rollup;
grant usage, create on schema app to callboard_reader;
-- It tells members how old the figures are.
grant usage on schema analytics_private to callboard_definer;

-- Sorts names, titles and places as people expect: apple, Äther, Banana, Zebra, and Hall 2 before Hall 10. It is
-- part of the column, so lists and their cursors, CSV, views and BI agree on every server, whatever its locale.
-- Deterministic: equality still compares bytes, so unique constraints keep their meaning, and any two different
-- texts have an order, which keyset pagination needs.
create collation if not exists app.people (provider = icu, locale = 'und-u-kn-true', deterministic = true);
comment on collation app.people is 'Sorts as people do: by letter before accent and case, and numbers by their value.';

-- Trigram search for show titles, with the organization in the same index.
create extension if not exists pg_trgm with schema app_private;
create extension if not exists btree_gin with schema app_private;
--! EndIncluded foundation/schemas.sql
--! Included foundation/policies.sql
-- What tables have in common, each in a single idempotent call. A call changes only what differs from what it states:
-- CREATE POLICY, DROP POLICY and ENABLE ROW LEVEL SECURITY take an exclusive lock even if nothing changes.

create or replace function app_private.force_rls(target regclass) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if not (select c.relrowsecurity and c.relforcerowsecurity from pg_catalog.pg_class c where c.oid = target) then
    execute format('alter table %s enable row level security, force row level security', target);
  end if;
end
$$;
comment on function app_private.force_rls(regclass) is 'Row-level security for everybody, including the table''s owner.';

-- Normalizes a condition: PostgreSQL adds to the text of a policy when it prints it.
create or replace function app_private.plain_condition(condition text) returns text
language sql immutable parallel safe
set search_path = ''
return lower(regexp_replace(condition, ' AS \w+|::text|\s', '', 'g'));
comment on function app_private.plain_condition(text) is 'A condition in lower case without blanks, casts to text and column aliases, to tell whether two are the same.';

create or replace function app_private.set_policy(target regclass, policy text, who text, condition text, command text default null) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  -- The name of a policy begins with its command.
  for_command text := coalesce(command, split_part(policy, '_', 1));
  present pg_catalog.pg_policy;
begin
  select * into present from pg_catalog.pg_policy p where p.polrelid = target and p.polname = policy;
  if present.polcmd = (case for_command when 'select' then 'r' when 'insert' then 'a' when 'update' then 'w' when 'delete' then 'd' else '*' end)::"char"
    and present.polpermissive
    and array(select unnest(present.polroles) order by 1) = array(select r::regrole::oid from regexp_split_to_table(who, ', *') r order by 1)
    and app_private.plain_condition(concat_ws(' and ', pg_get_expr(present.polqual, target), pg_get_expr(present.polwithcheck, target)))
      in (app_private.plain_condition(condition), app_private.plain_condition('(' || condition || ')')) then
    return;
  end if;
  if present.oid is not null then
    execute format('drop policy %I on %s', policy, target);
  end if;
  execute format('create policy %I on %s for %s to %s %s (%s)', policy, target, for_command, who,
    case for_command when 'insert' then 'with check' else 'using' end, condition);
end
$$;
comment on function app_private.set_policy(regclass, text, text, text, text) is
  'Creates a policy, named <command>_<who>, or changes it to match. A condition not written as PostgreSQL prints it merely causes the policy to be recreated.';

create or replace function app_private.set_trigger(target regclass, trigger_name text, definition text, is_always boolean default false) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  wanted text := format('create trigger %I %s', trigger_name, regexp_replace(definition, '\s+', ' ', 'g'));
  present pg_catalog.pg_trigger;
begin
  select * into present from pg_catalog.pg_trigger t where t.tgrelid = target and t.tgname = trigger_name;
  if present.oid is null or lower(pg_get_triggerdef(present.oid)) <> lower(wanted) then
    execute regexp_replace(wanted, '^create', 'create or replace');
  end if;
  if is_always and present.tgenabled is distinct from 'A' then
    execute format('alter table %s enable always trigger %I', target, trigger_name);
  end if;
end
$$;
comment on function app_private.set_trigger(regclass, text, text, boolean) is
  'Creates a trigger, or changes it to match its definition: what CREATE TRIGGER says after the name, as PostgreSQL prints it (`insert or delete or update`). is_always: also where other triggers rest, such as in a session that replays rows.';

create or replace function app_private.set_owner(relation regclass, owner regrole) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if (select c.relowner from pg_catalog.pg_class c where c.oid = relation) <> owner then
    execute format('alter table %s owner to %s', relation, owner);
  end if;
end
$$;
comment on function app_private.set_owner(regclass, regrole) is 'The owner of a table or view: changing it takes an exclusive lock even if nothing changes.';

create or replace function app_private.set_view(name text, query text) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  is_same boolean;
begin
  if to_regclass(name) is not null then
    execute format('create temporary view compared as %s', query);
    is_same := pg_get_viewdef('pg_temp.compared'::regclass) = pg_get_viewdef(name::regclass);
    drop view pg_temp.compared;
  end if;
  if is_same is not true then
    execute format('create or replace view %s as %s', name, query);
  end if;
end
$$;
comment on function app_private.set_view(text, text) is
  'Creates a view, for which CREATE OR REPLACE is a call, or changes it to match: replacing it takes an exclusive lock even if nothing changes.';

create or replace function app_private.reference_table(target regclass) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app_private.force_rls(target);
  perform app_private.set_policy(target, 'select_all', 'callboard_api, callboard_definer', 'true');
  perform app_private.set_policy(target, 'all_owner', 'callboard_owner', 'true');
  execute format('grant select on %s to callboard_api, callboard_definer', target);
end
$$;
comment on function app_private.reference_table(regclass) is 'A table whose rows belong to the schema and are the same for every organization: everybody reads it, and only a migration writes it.';

create or replace function app_private.definer_table(target regclass, commands text default 'select, insert, update, delete') returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app_private.force_rls(target);
  perform app_private.set_policy(target, 'all_definer', 'callboard_definer', 'true');
  execute format('grant %s on %s to callboard_definer', commands, target);
end
$$;
comment on function app_private.definer_table(regclass, text) is 'A table for the definer''s functions, which see all of its rows and may run the given commands.';

create or replace function app_private.hide_statistics(target regclass, known text[] default '{}') returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  secret_column text;
begin
  for secret_column in
    select a.attname from pg_catalog.pg_attribute a
    where a.attrelid = target and a.attnum > 0 and not a.attisdropped and a.attstattarget is distinct from 0
      and a.atttypid not in ('uuid'::regtype, 'boolean'::regtype, 'date'::regtype, 'time'::regtype, 'timestamptz'::regtype, 'bytea'::regtype)
      -- These have a few values that everybody knows.
      and a.attname not in ('status', 'country', 'currency', 'base_currency', 'payment_status', 'time_zone', 'version', 'revoked_because')
      and a.attname <> all (known)
  loop
    execute format('alter table %s alter column %I set statistics 0', target, secret_column);
  end loop;
end
$$;
comment on function app_private.hide_statistics(regclass, text[]) is
  'Keeps the planner from collecting statistics on texts and numbers that only one organization knows: EXPLAIN would reveal them to anybody. known: columns with a few values that everybody knows.';
--! EndIncluded foundation/policies.sql
--! Included foundation/helpers.sql
-- Small helper functions that do not depend on a tenant.

create or replace function app.uuid_v7() returns uuid
language sql volatile parallel safe
return encode(
  set_bit(set_bit(
    overlay(uuid_send(gen_random_uuid())
      placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
    52, 1), 53, 1),
  'hex')::uuid;
comment on function app.uuid_v7() is
  'A new UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits. Keys created together are close together in the index.';
grant execute on function app.uuid_v7() to callboard_api, callboard_definer;

create or replace function app_private.random_token() returns text
language sql volatile parallel safe
set search_path = ''
return replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
comment on function app_private.random_token() is
  'A secret of 64 hexadecimal digits (244 random bits) for a link in a mail.';
grant execute on function app_private.random_token() to callboard_definer;

create or replace function app_private.digest(secret text) returns bytea
language sql stable strict parallel safe
return sha256(convert_to(secret, 'UTF8'));
comment on function app_private.digest(text) is
  'The SHA-256 of a random secret, which is stored instead of it. Sufficient for 200 random bits; never used for passwords.';
grant execute on function app_private.digest(text) to callboard_definer;

create or replace function app.is_time_zone(name text) returns boolean
language plpgsql stable strict parallel safe
set search_path = ''
as $$
begin
  -- Only names from the time zone database: PostgreSQL itself would also accept 'XYZ+3' and 'Any/Thing+3'.
  return name ~ '^(UTC|[A-Z][A-Za-z_]+(/[A-Za-z_-]+)+|Etc/GMT([+-]?0|\+([1-9]|1[0-2])|-([1-9]|1[0-4])))$'
    and (now() at time zone name) is not null;
exception when invalid_parameter_value then
  return false;
end
$$;
comment on function app.is_time_zone(text) is 'True for a name from the IANA time zone database, such as Europe/Berlin.';
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
  'Before update: sets updated_at and increments version, which is the ETag.';

create or replace function app.refuse(status integer, problem text, detail text default null) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  raise exception using errcode = 'PT' || status, message = problem, detail = coalesce(detail, '');
end
$$;
comment on function app.refuse(integer, text, text) is
  'Raises a problem: HTTP status, name (src/http/problems.ts has a title for each) and details of this case.';
grant execute on function app.refuse(integer, text, text) to callboard_api, callboard_definer;

-- What a function behind a route returns; the API sends `body` unchanged.
do $$
begin
  if to_regtype('app.answer') is null then
    create type app.answer as (status integer, body json, etag text, location text);
  end if;
end
$$;
comment on type app.answer is
  'An HTTP response: status (null = 200), body, the row''s version as ETag, the path of what was created.';

create or replace function app.refusal(status integer, problem text, detail text default null) returns app.answer
language sql immutable
set search_path = ''
return (status, json_build_object('problem', problem, 'detail', coalesce(detail, '')), null, null)::app.answer;
comment on function app.refusal(integer, text, text) is
  'A refusal as a response, for one that must be committed: raising it with app.refuse would roll back what was written.';
grant execute on function app.refusal(integer, text, text) to callboard_definer;

create or replace function app.etag(version integer) returns text
language sql immutable parallel safe
return '"' || version::text || '"';
comment on function app.etag(integer) is 'The ETag of a row version (RFC 9110, strong).';
grant execute on function app.etag(integer) to callboard_api, callboard_definer;

create or replace function app.matches(version integer, if_match text) returns boolean
language sql immutable parallel safe
return if_match is null or if_match = '*'
  or app.etag(version) = any (string_to_array(replace(if_match, ' ', ''), ','));
comment on function app.matches(integer, text) is 'Whether an If-Match header (a list of ETags, * or null) allows this version.';
grant execute on function app.matches(integer, text) to callboard_api, callboard_definer;

create or replace function app.in_bin(body text, deleted_at timestamptz, deleted_by uuid) returns text
language sql stable parallel safe
return case when deleted_at is null then body
  else concat(left(body, -1), ',"deleted_at":', to_json(deleted_at), ',"deleted_by":', coalesce(to_json(deleted_by)::text, 'null'), '}') end;
comment on function app.in_bin(text, timestamptz, uuid) is 'The JSON of a row; if it is in the bin, also when and by whom it was deleted.';
grant execute on function app.in_bin(text, timestamptz, uuid) to callboard_api, callboard_definer;

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
  'PT404 not_found if the version is null (the row is not visible), PT412 version_mismatch if If-Match does not allow it.';
grant execute on function app.check_version(integer, text) to callboard_api, callboard_definer;
--! EndIncluded foundation/helpers.sql
--! Included foundation/rules.sql
-- Rules that several tables share, for their CHECK constraints. NULL passes, as in any constraint. Each is a single expression
-- without settings, so that PostgreSQL can inline it. A role that inserts or updates rows needs EXECUTE.
-- PostgreSQL inlines again for each statement, which costs 5 microseconds per constraint: app.shows and app.finance_records,
-- which are written most often, spell out the conditions.

create or replace function app.is_line(value text, longest integer) returns boolean
language sql immutable parallel safe
return length(value) between 1 and longest and value !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(value) <> '';
comment on function app.is_line(text, integer) is 'Whether a text is a single line: not blank, not too long, and without control characters.';
grant execute on function app.is_line(text, integer) to callboard_api, callboard_definer;

create or replace function app.is_money(minor bigint) returns boolean
language sql immutable parallel safe
return minor between 0 and 9007199254740991;
comment on function app.is_money(bigint) is 'Whether an amount, in the smallest unit of its currency, is 0 to 2^53 - 1, the range in which JSON numbers are exact.';
grant execute on function app.is_money(bigint) to callboard_api, callboard_definer;

create or replace function app.is_day(day date) returns boolean
language sql immutable parallel safe
return day between date '1900-01-01' and date '2199-12-31';
comment on function app.is_day(date) is 'Whether a day lies in the years 1900 to 2199.';
grant execute on function app.is_day(date) to callboard_api, callboard_definer;

create or replace function app.is_rate(basis_points integer) returns boolean
language sql immutable parallel safe
return basis_points between 0 and 10000;
comment on function app.is_rate(integer) is 'Whether a rate in basis points is 0 to 100 %.';
grant execute on function app.is_rate(integer) to callboard_api, callboard_definer;
--! EndIncluded foundation/rules.sql
--! Included foundation/context/common.sql
-- What both ways to carry a context need: its fields, and the database's own key, which signs contexts (signed.sql),
-- the passes of a standby and the links to files.

do $$
begin
  if to_regtype('app_private.context') is null then
    create type app_private.context as (
      organization_id uuid, user_id uuid, session_id uuid, role text, permissions text, request_id text, ip inet);
  end if;
end
$$;
comment on type app_private.context is
  'Who is calling: permissions are names with a blank between them; a name after ~ is only worth what its holder sees.';

create table if not exists app_private.context_keys (
  id boolean primary key default true constraint context_keys_one_row check (id),
  inner_key bytea not null,
  outer_key bytea not null
);
select app_private.force_rls('app_private.context_keys');
select app_private.set_policy('app_private.context_keys', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.context_keys', 'insert_owner', 'callboard_owner', 'true');
grant select on app_private.context_keys to callboard_definer;
comment on table app_private.context_keys is 'The two random keys that sign a standby''s passes, links to files and, where they are signed, contexts. Replacing the row makes all of these void at once.';

insert into app_private.context_keys (inner_key, outer_key)
select uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
       uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
on conflict do nothing;

-- Nested hashing with two keys, as in NMAC: a plain sha256(key || text) is open to length extension. A single
-- expression without settings, so that PostgreSQL can inline it.
create or replace function app_private.hash_with(key app_private.context_keys, message bytea) returns bytea
language sql immutable parallel safe
return sha256(key.outer_key || sha256(key.inner_key || message));
comment on function app_private.hash_with(app_private.context_keys, bytea) is 'A message authentication code under this pair of keys (32 bytes).';
alter function app_private.hash_with(app_private.context_keys, bytea) owner to callboard_definer;

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
--! EndIncluded foundation/context/common.sql
--! Included foundation/context/signed.sql
-- The caller's context, carried by settings that anybody can set, under a signature.
--
-- For servers where the setting that guarded.sql uses cannot be granted: both files define the same functions, and
-- `npm run migrate` chooses one. Anyone who can run SQL can set these settings, so a setting alone proves nothing:
-- set_context signs them all with a key that no login can read, bound to this backend, this transaction and whether
-- it may write. The functions below check the signature and return NULL, which matches no row, when it is missing,
-- wrong, or copied from another transaction.

-- A parallel worker is another backend, where no signature is valid. So functions that read the context are
-- PARALLEL RESTRICTED: the leader evaluates them once, and (select …) passes the value to the workers.
-- This runs several times in every transaction, so it is one function and one statement: each additional
-- one of either costs as much as the hashes do.
create or replace function app_private.context_signature() returns text
language plpgsql stable parallel restricted
set search_path = ''
as $$
begin
  -- An array's text form quotes its elements, so no value can pass for two. Two transactions of one message have
  -- the same time: one that may write has no use for the signature of one that may not.
  return (select encode(app_private.hash_with(k,
    int4send(pg_backend_pid()) || timestamptz_send(transaction_timestamp()) || convert_to(array[
      current_setting('transaction_read_only'),
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
comment on function app_private.context_signature() is 'The signature that the current settings would have in this transaction.';
alter function app_private.context_signature() owner to callboard_definer;

create or replace function app_private.set_context(
  user_id uuid, session_id uuid, organization_id uuid default null, role text default null, permissions text default '',
  request_id text default null, ip inet default null
) returns boolean
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
    -- A blank on both sides of every name, so that one search matches a whole name.
    set_config('app.permissions', ' ' || permissions || ' ', true),
    set_config('app.request_id', coalesce(request_id, ''), true),
    set_config('app.ip', coalesce(host(ip), ''), true)];
begin
  done[1] := set_config('app.signature', app_private.context_signature(), true);
  return true;
end
$$;
comment on function app_private.set_context(uuid, uuid, uuid, text, text, text, inet) is
  'Sets the context of this transaction: permissions are names with a blank between them. Returns true. Only for definer functions that have authenticated the caller.';
alter function app_private.set_context(uuid, uuid, uuid, text, text, text, inet) owner to callboard_definer;

-- After a transaction that set it, a setting is '' rather than NULL, hence nullif everywhere.
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

create or replace function app.org_if(permission text) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
as $$
begin
  -- Same check as current_org, whose call would add a function to every statement.
  if strpos(current_setting('app.permissions', true), ' ' || permission || ' ') > 0
    and app_private.context_signature() = current_setting('app.signature', true) then
    return nullif(current_setting('app.current_org', true), '');
  end if;
  return null;
end
$$;
comment on function app.org_if(text) is
  'The organization of this transaction if its member holds the permission, else NULL. Policies compare organization_id with it: permission and tenant in a single condition.';
alter function app.org_if(text) owner to callboard_definer;

create or replace function app.org_if_reading(permission text) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
as $$
begin
  if strpos(translate(current_setting('app.permissions', true), '~', ' '), ' ' || permission || ' ') > 0
    and app_private.context_signature() = current_setting('app.signature', true) then
    return nullif(current_setting('app.current_org', true), '');
  end if;
  return null;
end
$$;
comment on function app.org_if_reading(text) is
  'Like app.org_if, also in a context that only reads: for what those see who hold a permission to write. See app_private.for_reading.';
alter function app.org_if_reading(text) owner to callboard_definer;

create or replace function app_private.context() returns app_private.context
language plpgsql stable parallel restricted
set search_path = ''
as $$
declare
  c app_private.context;
begin
  if app_private.context_signature() = current_setting('app.signature', true) then
    c.organization_id := nullif(current_setting('app.current_org'), '');
    c.user_id := nullif(current_setting('app.user_id'), '');
    c.session_id := nullif(current_setting('app.session_id'), '');
    c.role := nullif(current_setting('app.role'), '');
    c.permissions := btrim(current_setting('app.permissions'));
    c.request_id := nullif(current_setting('app.request_id'), '');
    c.ip := nullif(current_setting('app.ip'), '');
  end if;
  return c;
end
$$;
comment on function app_private.context() is 'The whole context of this transaction; all fields are NULL without a genuine one.';
alter function app_private.context() owner to callboard_definer;

create or replace function app.context_carrier() returns text
language sql immutable parallel safe
return 'signed';
comment on function app.context_carrier() is 'How a context is carried: guarded (in a setting that only the database''s own functions may set) or signed.';
alter function app.context_carrier() owner to callboard_definer;
--! EndIncluded foundation/context/signed.sql
--! Included foundation/context.sql
-- The caller's context: who is calling, in which organization, and with which permissions. app.enter and its like set
-- it, for the transaction, and policies ask app.current_org and app.org_if about it. Only the files in context/ know
-- how it is carried; this one has what is the same for both.

grant execute on function app.current_org(), app.current_user_id(), app.current_session_id(), app.org_if(text), app.org_if_reading(text),
  app.context_carrier() to callboard_api, callboard_definer;

-- A context that only reads, such as a calendar feed's, must not be able to write whatever else happens. But those who
-- may write see more: drafts, the bin. So it has their permissions under another name, which only
-- app.org_if_reading takes.
create or replace function app_private.for_reading(permissions text[]) returns text
language sql immutable parallel safe
set search_path = ''
return (select coalesce(string_agg(case when p like '%.read' then p else '~' || p end, ' ' order by p), '') from unnest(permissions) p);
comment on function app_private.for_reading(text[]) is
  'Permissions for app_private.set_context, of which those to write are only worth what their holders see.';
alter function app_private.for_reading(text[]) owner to callboard_definer;

-- Rules that count rows under a lock, such as the places of an allotment, would count those of before the lock.
create or replace function app_private.may_write_by_old_snapshot() returns boolean
language sql stable parallel safe
return current_setting('transaction_isolation') = 'repeatable read' and current_setting('transaction_read_only') = 'off';
comment on function app_private.may_write_by_old_snapshot() is
  'Whether this transaction may write what it decides on a snapshot of its first statement. READ COMMITTED sees what was committed meanwhile, SERIALIZABLE notices.';
alter function app_private.may_write_by_old_snapshot() owner to callboard_definer;

create or replace function app_private.refuse_old_snapshot() returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  raise exception using errcode = 'invalid_transaction_state', message = 'a transaction that may write cannot be REPEATABLE READ';
end
$$;
comment on function app_private.refuse_old_snapshot() is 'Error 25000, for those who open a transaction of which app_private.may_write_by_old_snapshot is true.';
alter function app_private.refuse_old_snapshot() owner to callboard_definer;

create or replace function app_private.change_context(
  user_id uuid, session_id uuid, organization_id uuid, role text default null, permissions text default ''
) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app_private.context := app_private.context();
begin
  perform app_private.set_context(user_id, session_id, organization_id, role, permissions, c.request_id, c.ip);
end
$$;
comment on function app_private.change_context(uuid, uuid, uuid, text, text) is
  'Like set_context, but in the middle of a request: its id and address stay. Only for definer functions that have authenticated the caller.';
alter function app_private.change_context(uuid, uuid, uuid, text, text) owner to callboard_definer;

create or replace function app.introduce(request_id text, ip inet) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.set_context(null, null, null, null, '', request_id, ip);
end
$$;
comment on function app.introduce(text, inet) is
  'Opens this transaction for an anonymous request: records only its id and its address.';
alter function app.introduce(text, inet) owner to callboard_definer;
grant execute on function app.introduce(text, inet) to callboard_api;

create or replace function app.has_permission(permission text) returns boolean
language sql stable parallel restricted
return app.org_if(permission) is not null;
comment on function app.has_permission(text) is 'Whether the member of this transaction holds the permission.';
grant execute on function app.has_permission(text) to callboard_api, callboard_definer;

create or replace function app.deny(permission text) returns uuid
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  raise exception using errcode = 'PT403', message = 'permission_denied',
    detail = format('This needs the permission %s.', permission);
end
$$;
comment on function app.deny(text) is 'Raises PT403 permission_denied with the name of the permission.';
grant execute on function app.deny(text) to callboard_api, callboard_definer, callboard_exporter;

create or replace function app.require(permission text) returns uuid
language sql stable parallel restricted
return coalesce(app.org_if(permission), app.deny(permission));
comment on function app.require(text) is 'The organization of this transaction; PT403 permission_denied unless its member holds the permission.';
grant execute on function app.require(text) to callboard_api, callboard_definer;

create or replace function app.require_reading(permission text) returns uuid
language sql stable parallel restricted
return coalesce(app.org_if_reading(permission), app.deny(permission));
comment on function app.require_reading(text) is
  'Like app.require, also in a context that only reads. For what those see who hold a permission to write. PT403 permission_denied.';
grant execute on function app.require_reading(text) to callboard_api, callboard_definer;

create or replace function app.confirm_organization(organization text) returns void
language plpgsql stable parallel restricted
set search_path = ''
as $$
declare
  present uuid := app.current_org();
begin
  if present::text is distinct from organization then
    raise exception using message = 'isolation_breach',
      detail = case when present is null then 'no_context' else 'other_organization' end;
  end if;
end
$$;
comment on function app.confirm_organization(text) is
  'Raises isolation_breach if the transaction ends in a different organization than expected, which should never happen. The API calls it before each COMMIT.';
grant execute on function app.confirm_organization(text) to callboard_api;
--! EndIncluded foundation/context.sql
--! Included foundation/origin.sql
-- Whether this database is the one that it was, or a copy of the past: restored from a dump, recovered to a point in
-- time, cloned. A copy obeys the past: sessions, feeds and BI logins that have ended since then are back. Therefore
-- neither the API nor the worker serves one before `npm run restored` (../retention/restored.sql) has ended them.
--
-- The origin is what no copy takes along: the identifier of the server, its timeline, which every recovery changes, and
-- the oids of the database and of this table. Only a copy of the data folder that starts without a recovery, such as an
-- old snapshot of a disk, has the same.

create table if not exists app_private.origin (
  id boolean primary key default true constraint origin_one_row check (id),
  facts jsonb not null,
  since timestamptz not null default now()
);
select app_private.definer_table('app_private.origin', 'select, update');
select app_private.set_policy('app_private.origin', 'insert_owner', 'callboard_owner', 'true');
comment on table app_private.origin is 'Where this database was when it was created, or when npm run restored last ran. If it is somewhere else now, it is a copy.';
comment on column app_private.origin.facts is 'What app_private.present_origin() returned.';

create or replace function app_private.present_origin() returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  server text;
  timeline text;
begin
  -- Open to PUBLIC, but a hosted PostgreSQL may close it. The rest still tells a dump from its source.
  begin
    server := (select s.system_identifier::text from pg_catalog.pg_control_system() s);
  exception when insufficient_privilege or feature_not_supported then
    server := null;
  end;
  -- Not that of the control file, which changes only with the first checkpoint after a recovery. A standby is on the
  -- timeline of its primary.
  if not pg_is_in_recovery() then
    timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
  end if;
  return jsonb_strip_nulls(jsonb_build_object('server', server, 'timeline', timeline, 'table', 'app_private.origin'::regclass::oid::text,
    'database', (select d.oid::text from pg_catalog.pg_database d where d.datname = current_database())));
end
$$;
comment on function app_private.present_origin() is 'Where this database is now, as far as the server says: see app_private.origin.';
alter function app_private.present_origin() owner to callboard_definer;

insert into app_private.origin (facts) select app_private.present_origin() on conflict do nothing;

create or replace function app.is_restored() returns boolean
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select not exists (
    select from app_private.origin o
    where not exists (
      select from jsonb_each_text(o.facts) was join jsonb_each_text(app_private.present_origin()) is_now using (key)
      where was.value <> is_now.value));
end;
comment on function app.is_restored() is
  'Whether this database is a copy of the past that npm run restored has not dealt with. The API and the worker ask on each new connection, and do not serve it.';
alter function app.is_restored() owner to callboard_definer;
grant execute on function app.is_restored() to callboard_api, callboard_worker;

create or replace function app_private.accept_origin() returns void
language sql volatile security definer
set search_path = ''
begin atomic
  update app_private.origin set facts = app_private.present_origin(), since = now();
end;
comment on function app_private.accept_origin() is 'Declares that this database may be served where it is now.';
alter function app_private.accept_origin() owner to callboard_definer;
--! EndIncluded foundation/origin.sql
--! Included organizations/permissions.sql
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
--! EndIncluded organizations/permissions.sql
--! Included foundation/row_json.sql
-- A row keeps the JSON of its own fields, because making it costs more than everything else about reading it. A trigger
-- of the row itself writes as_json, so it cannot go stale; what comes from other rows, or changes with time, is added when
-- the row is read. The view of the resource names the fields, once:
--
--   create or replace view app.guest_rows with (security_invoker = true) as
--     select g.organization_id, g.version, g.deleted_at, g.deleted_by, app.body(g.as_json, row_to_json(j)) as body,
--       g.id, g.name, …, j.*
--     from app.guests g
--     left join app.guest_allotments a on …
--     cross join lateral (select a.name as allotment_name) j;

create or replace function app.body(as_json text) returns text
language sql immutable parallel safe
return as_json || '}';
comment on function app.body(text) is 'The JSON of a row whose table keeps it: see app_private.keep_json.';

create or replace function app.body(as_json text, joined json) returns text
language sql immutable parallel safe
return as_json || ',' || substr(joined::text, 2);
comment on function app.body(text, json) is 'The same with fields that are not kept: those of other rows, or that change with time.';

create or replace function app.body(as_json text, joined text) returns text
language sql immutable parallel safe
return as_json || joined || '}';
comment on function app.body(text, text) is 'The same with fields as text, each with a comma before it: those that another row keeps for its peers, such as app.venues.show_json.';
grant execute on function app.body(text), app.body(text, json), app.body(text, text) to callboard_api, callboard_definer, callboard_exporter;

-- For generated columns: to_json itself is only stable, because it depends on settings for other types than text.
create or replace function app.json_string(value text) returns text
language sql immutable parallel safe
return coalesce(to_json(value)::text, 'null');
comment on function app.json_string(text) is 'A text as JSON: in quotes, or null.';
grant execute on function app.json_string(text) to callboard_api, callboard_definer;

create or replace function app_private.keep_json(target regclass, fields regclass) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  trigger_function text := format('app_private.tg_%s__990_json', (select c.relname from pg_catalog.pg_class c where c.oid = target));
begin
  -- An expression of one call, which PL/pgSQL evaluates without running a query: a third cheaper than row_to_json of a subquery.
  execute format('create or replace function %s() returns trigger language plpgsql set search_path = '''' set timezone = ''UTC'' as %L',
    trigger_function, (
      select format(E'begin\n  new.as_json := left(json_build_object(%s)::text, -1);\n  return new;\nend',
        string_agg(format('%L, %s', v.attname, format(case t.atttypid
          when 'time'::regtype then 'to_char(new.%I, ''HH24:MI'')'
          when 'numeric'::regtype then 'trim_scale(new.%I)'
          else 'new.%I' end, t.attname)), ', ' order by v.attnum))
      from pg_catalog.pg_attribute v
      -- Generated columns have no value yet when the trigger runs.
      join pg_catalog.pg_attribute t on t.attrelid = target and t.attname = v.attname and t.attnum > 0 and t.attgenerated = ''
      where v.attrelid = fields and v.attnum >= (select i.attnum from pg_catalog.pg_attribute i where i.attrelid = fields and i.attname = 'id')));
  execute format('comment on function %s() is %L', trigger_function, format('Keeps as_json: the fields of %s that are columns of the row itself.', fields));
  -- The last of the triggers before a row is written: none may change it afterwards.
  perform app_private.set_trigger(target, '_990_json', format('before insert or update on %s for each row execute function %s()', target, trigger_function),
    is_always => true);
  execute format('grant update (as_json) on %s to callboard_definer', target);
end
$$;
comment on function app_private.keep_json(regclass, regclass) is
  'Has a table keep as_json: the fields of its view (from id on) that are columns of its own, as a JSON object without its closing brace, to be completed by app.body. A time is HH:MM, a number has no trailing zeros.';

create or replace function app_private.remake_json(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  r record;
  batch record;
  last jsonb;
begin
  select x.name, format('app.%I', x.name)::regclass as target, md5(p.prosrc) as wanted into r
  from app_private.resources x
  join pg_catalog.pg_proc p on p.pronamespace = 'app_private'::regnamespace and p.proname = 'tg_' || x.name || '__990_json'
  where x.remade is distinct from md5(p.prosrc)
  order by x.name limit 1;
  if not found then
    return null;
  end if;
  for batch in
    execute format('select x.organization_id, array_agg(x.id order by x.id) as ids from (
        select t.organization_id, t.id from %s t
        where (t.organization_id, t.id) > ($1, $2) order by 1, 2 limit 1000) x
      group by 1 order by 1', r.target)
    using coalesce((behind ->> 'organization')::uuid, '00000000-0000-0000-0000-000000000000'),
      coalesce((behind ->> 'id')::uuid, '00000000-0000-0000-0000-000000000000')
  loop
    perform app_private.set_context(null, null, batch.organization_id);
    execute format('update %s t set as_json = '''' where t.organization_id = $1 and t.id = any ($2)', r.target) using batch.organization_id, batch.ids;
    last := jsonb_build_object('table', r.name, 'organization', batch.organization_id, 'id', batch.ids[cardinality(batch.ids)]);
  end loop;
  if last is null then
    update app_private.resources x set remade = r.wanted where x.name = r.name;
    last := jsonb_build_object('done', r.name);
  end if;
  return last;
end
$$;
comment on function app_private.remake_json(jsonb) is
  'Makes the JSON of up to 1,000 rows again, of the first table whose JSON has another form since its rows were written: a migration has changed its fields. To continue, call it again in another transaction with what it returned, until that is null. Rows keep their version, and there are no events.';
alter function app_private.remake_json(jsonb) owner to callboard_definer;

create or replace function app.check_rows() returns table (resource text, row_count bigint, differing bigint)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
set timezone = 'UTC'
as $$
begin
  for resource in select r.name from app_private.resources r order by r.name loop
    execute (
      select format('select count(*), count(*) filter (where v.body::jsonb is distinct from to_jsonb(f)) from %s v, lateral (select %s) f',
        r.view, string_agg(format('v.%I', a.attname), ', '))
      from (select format('app.%I', r.fields)::regclass as view from app_private.resources r where r.name = resource) r
      join pg_catalog.pg_attribute a on a.attrelid = r.view
        and a.attnum >= (select i.attnum from pg_catalog.pg_attribute i where i.attrelid = r.view and i.attname = 'id')
      group by r.view) into row_count, differing;
    return next;
  end loop;
end
$$;
comment on function app.check_rows() is
  'For each resource: how many rows all organizations have, and of how many the JSON is not what their columns say, which only happens if somebody has disabled a trigger. `update app.<table> set version = version` mends them.';
alter function app.check_rows() owner to callboard_definer;
grant execute on function app.check_rows() to callboard_auditor;
--! EndIncluded foundation/row_json.sql
--! Included foundation/tables.sql
-- Tables with the rows of organizations. An ordinary one needs a single call; the rest of its file covers only
-- what is special about it:
--
--   select app_private.tenant_table('venues', noun => 'venue', permission => 'shows', path => '/api/venues');

create table if not exists app_private.table_permissions (
  on_table regclass not null,
  command text not null constraint table_permissions_command_known check (command in ('select', 'insert', 'update', 'delete')),
  permission text not null references app.permissions (name),
  primary key (on_table, command)
);
select app_private.force_rls('app_private.table_permissions');
select app_private.set_policy('app_private.table_permissions', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.table_permissions', 'all_owner', 'callboard_owner', 'true');
grant select on app_private.table_permissions to callboard_definer;
comment on table app_private.table_permissions is
  'Reference: the permission that a member needs for a command on a table, as in its policy; also where there is no grant because the command goes through functions.';

create table if not exists app_private.resources (
  name text primary key,
  noun text not null,
  fields text not null,
  path text not null,
  guard regprocedure,
  remade text
);
select app_private.force_rls('app_private.resources');
select app_private.set_policy('app_private.resources', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.resources', 'all_owner', 'callboard_owner', 'true');
select app_private.set_policy('app_private.resources', 'update_definer', 'callboard_definer', 'true');
grant select, update (remade) on app_private.resources to callboard_definer;
comment on table app_private.resources is
  'Reference: the tables of app that the generic row commands accept. Never one whose own commands check more than its policies and triggers do.';
comment on column app_private.resources.noun is 'What a row is called in the event log.';
comment on column app_private.resources.fields is 'The view with the fields of a response.';
comment on column app_private.resources.path is 'The path of its routes.';
comment on column app_private.resources.remade is 'Which form of the JSON all rows have, as a digest of the trigger that keeps it: see app_private.remake_json.';
comment on column app_private.resources.guard is 'Called with the table and the id when a row itself, not its parent, has been deleted or restored; it refuses changes to rows that must stay as they are.';

create or replace function app_private.policy_permission(target regclass, command text) returns text
language sql stable
set search_path = ''
begin atomic
  select p.permission from app_private.table_permissions p where p.on_table = target and p.command = policy_permission.command;
end;
comment on function app_private.policy_permission(regclass, text) is
  'The permission that a member needs for select, insert, update or delete on a table; NULL where no member may.';
alter function app_private.policy_permission(regclass, text) owner to callboard_definer;

create or replace function app_private.member_policy(
  target regclass, command text, permission text, who text default 'callboard_api', besides text default null, organization_column text default 'organization_id'
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app_private.set_policy(target, command || '_member', who,
    format(case when besides is null then '%I = (select app.%I(%L))' else '(%I = (select app.%I(%L))) and (%s)' end,
      organization_column, case when command = 'select' and permission not like '%.read' then 'org_if_reading' else 'org_if' end,
      permission, besides));
  insert into app_private.table_permissions as p (on_table, command, permission) values (target, member_policy.command, member_policy.permission)
  on conflict on constraint table_permissions_pkey do update set permission = excluded.permission where p.permission <> excluded.permission;
end
$$;
comment on function app_private.member_policy(regclass, text, text, text, text, text) is
  'Lets members who hold the permission run the command on their organization''s rows, where the besides condition is true, and records the permission.';

create or replace function app_private.tenant_policies(
  target regclass, reads text, inserts text default null, updates text default null, deletes text default null, definer text default 'update',
  is_exported boolean default false, is_counted boolean default false, known text[] default '{}', besides text default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  command text;
  name text := (select c.relname from pg_catalog.pg_class c where c.oid = target);
begin
  perform app_private.force_rls(target);
  if reads is not null then
    perform app_private.member_policy(target, 'select', reads, case when is_exported then 'callboard_api, callboard_exporter' else 'callboard_api' end, besides);
  end if;
  if inserts is not null then
    perform app_private.member_policy(target, 'insert', inserts);
  end if;
  if updates is not null then
    perform app_private.member_policy(target, 'update', updates);
  end if;
  -- Without a grant, because deletes are soft: app_private.delete_row checks the permission.
  if deletes is not null then
    perform app_private.member_policy(target, 'delete', deletes);
  end if;
  -- The definer reads rows before there is a context, or through an index that a policy would rule out; it writes only in the current organization.
  perform app_private.set_policy(target, 'select_definer', 'callboard_definer', 'true');
  foreach command in array string_to_array(definer, ', ') loop
    perform app_private.set_policy(target, command || '_definer', 'callboard_definer', 'organization_id = (select app.current_org())');
  end loop;
  -- Figures are computed for all organizations at once: see analytics/rollups.sql.
  if is_counted then
    perform app_private.set_policy(target, 'select_rollup', 'callboard_rollup', 'true');
  end if;
  if exists (select from pg_catalog.pg_attribute a where a.attrelid = target and a.attname = 'version' and a.atthasdef) then
    perform app_private.set_trigger(target, '_100_timestamps', format('before update on %s for each row %sexecute function app_private.tg__100_timestamps()', target,
      -- A row whose JSON is made again has not changed.
      case when exists (select from pg_catalog.pg_attribute a where a.attrelid = target and a.attname = 'as_json')
        then 'when ((new.as_json is distinct from ''''::text)) ' else '' end));
  end if;
  -- Soft delete marks rows and the purge removes them: no retention is shorter than a day.
  if exists (select from pg_catalog.pg_attribute a where a.attrelid = target and a.attname = 'deletion_id') then
    perform app_private.set_policy(target, 'purge_definer', 'callboard_definer',
      '(organization_id = (select app.current_org())) and (deleted_at < (now() - ''1 day''::interval))', 'delete');
    execute format('grant update (deleted_at, deleted_by, deletion_id), delete on %s to callboard_definer', target);
    if to_regclass(format('app.%I', name || '_deletion_id_idx')) is null then
      execute format('create index %I on %s (organization_id, deletion_id) where deletion_id is not null', name || '_deletion_id_idx', target);
    end if;
  end if;
  perform app_private.hide_statistics(target, known);
end
$$;
comment on function app_private.tenant_policies(regclass, text, text, text, text, text, boolean, boolean, text[], text) is
  'The policies part of app_private.tenant_table, for a table with grants or events of its own: the permissions of members, the commands that the definer''s functions run, and a further condition on the rows that members see (besides).';

create or replace function app_private.publish_rows(target regclass) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  fields regclass := (select format('app.%I', r.fields) from app_private.resources r where to_regclass(format('app.%I', r.name)) = target);
begin
  execute format('comment on view %s is %L', fields, format('The rows of %s with the fields of a response, including those in the bin, which have deleted_at.', target));
  execute format('grant select on %s to callboard_api, callboard_definer%s', fields,
    case when has_table_privilege('callboard_exporter', target, 'select') then ', callboard_exporter' end);
  perform app_private.keep_json(target, fields);
end
$$;
comment on function app_private.publish_rows(regclass) is
  'Lets members read the view of a tenant table, and has the table keep their JSON. app_private.tenant_table calls it for a view that exists by then; a view that joins later tables calls it itself.';

create or replace function app_private.check_parents(target regclass) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  columns text;
  arguments text;
begin
  select string_agg(format('%I', k.name), ', ' order by k.name),
    string_agg(format('%L, %L, %L, %L', k.name, c.confrelid::regclass, p.attname, c.conname), ', ' order by c.confdeltype, k.name)
  into columns, arguments
  from pg_catalog.pg_constraint c
  join lateral (select a.attname as name from pg_catalog.pg_attribute a where a.attrelid = c.conrelid and a.attnum = c.conkey[2]) k on true
  join pg_catalog.pg_attribute p on p.attrelid = c.confrelid and p.attnum = c.confkey[2]
  where c.conrelid = target and c.contype = 'f' and cardinality(c.conkey) = 2
    and exists (select from pg_catalog.pg_attribute d where d.attrelid = c.confrelid and d.attname = 'deleted_at' and not d.attisdropped);
  if columns is not null then
    perform app_private.set_trigger(target, '_300_parents', format('before insert or update of %s on %s
      for each row execute function app_private.tg__300_parents(%s)', columns, target, arguments));
  end if;
end
$$;
comment on function app_private.check_parents(regclass) is
  'Lets no row refer to a deleted one: a foreign key to (organization_id, x) is also checked for deletion, under a lock, so that a concurrent deletion waits and then takes the row along.';

create or replace function app_private.tenant_table(
  name text, noun text, permission text default null, path text default null, reads text default null, writes text default null, deletes text default null,
  definer text default 'update', is_exported boolean default false, is_counted boolean default false, known text[] default '{}', verbs jsonb default '{}',
  guard regprocedure default null, checks_parents boolean default true
) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  target regclass := format('app.%I', name);
begin
  perform app_private.tenant_policies(target, coalesce(reads, permission || '.read'), coalesce(writes, permission || '.write'),
    coalesce(writes, permission || '.write'), coalesce(deletes, permission || '.delete'), definer, is_exported, is_counted, known);
  execute format('grant select on %s to callboard_api, callboard_definer%s%s', target,
    case when is_exported then ', callboard_exporter' end, case when is_counted then ', callboard_rollup' end);
  perform app_private.log_changes(target, noun, verbs);
  if checks_parents then
    perform app_private.check_parents(target);
  end if;
  if path is null then
    delete from app_private.resources r where r.name = tenant_table.name;
  else
    insert into app_private.resources as r (name, noun, fields, path, guard)
    values (tenant_table.name, tenant_table.noun, tenant_table.noun || '_rows', tenant_table.path, tenant_table.guard)
    on conflict on constraint resources_pkey do update set noun = excluded.noun, fields = excluded.fields, path = excluded.path, guard = excluded.guard;
    if to_regclass(format('app.%I', tenant_table.noun || '_rows')) is not null then
      perform app_private.publish_rows(target);
    end if;
  end if;
end
$$;
comment on function app_private.tenant_table(text, text, text, text, text, text, text, text, boolean, boolean, text[], jsonb, regprocedure, boolean) is
  'Makes a table a tenant table: forced row-level security with policies for <permission>.read, .write and .delete (or for the permissions given), ETags, soft delete, the purge, no row under a deleted one (unless the table checks its parents in another way), events named <noun>.create and so on, and, with a path, the generic row commands. The table''s own file grants which columns can be written.';
--! EndIncluded foundation/tables.sql
-- Audit: the event log and its proof
--! Included audit/event_log.sql
-- The event log: one row for every create, update, delete, restore, sign-in and so on, written in
-- the transaction of the change. Only triggers and definer functions write here. No login can, not
-- even the API's, so injected SQL can neither forge an event nor change anything without one.
--
-- No foreign keys: the log outlives the people and organizations that it is about. And no CHECK:
-- PostgreSQL parses those again for each statement, which costs more than an index, and only one
-- function writes here, with known values.

-- A single expression without settings, so that PostgreSQL inlines it: the transaction's time to the
-- microsecond, the backend, and the microseconds since then. It is unique, and the events of a
-- transaction stay in order.
create or replace function app_private.event_id() returns uuid
language sql volatile parallel restricted
return encode(
  int8send((date_part('epoch', now()) * 1000000)::bigint / 1000 << 16 | 28672 | (date_part('epoch', now()) * 1000000)::bigint % 1000)
  || int8send(x'8000000000000000'::bigint | (pg_backend_pid()::bigint << 40) | (date_part('epoch', clock_timestamp() - now()) * 1000000)::bigint),
  'hex')::uuid;
comment on function app_private.event_id() is
  'A UUID version 7 with the event''s time, so that the id alone tells where to look: see app.event_time.';
alter function app_private.event_id() owner to callboard_definer;

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
-- The only index: every filter scans it backwards in time, and another one would slow down every change.

select app_private.force_rls('app.event_log');

-- The reader owns app.readable_events, which alone shows members the changes.
select app_private.member_policy('app.event_log', 'select', 'audit.read', 'callboard_api, callboard_exporter, callboard_reader');
select app_private.set_policy('app.event_log', 'select_auditor', 'callboard_auditor', 'true');

-- Figures are computed for all organizations at once: see analytics/rollups.sql.
select app_private.set_policy('app.event_log', 'select_rollup', 'callboard_rollup', 'true');

-- The definer appends. Afterwards it can only erase personal details, and delete only what is older
-- than the shortest retention.
select app_private.set_policy('app.event_log', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.event_log', 'insert_definer', 'callboard_definer', 'true');
drop policy if exists update_definer on app.event_log;
create policy update_definer on app.event_log for update to callboard_definer
  using (erased_at is null)
  with check (erased_at is not null and changes is null and request_id is null and ip is null and salt is null);
drop policy if exists delete_definer on app.event_log;
create policy delete_definer on app.event_log for delete to callboard_definer
  using (occurred_at < now() - interval '90 days');

grant select (organization_id, id, occurred_at, actor_id, session_id, resource_id, erased_at, actor_kind, action, resource_type, request_id, ip)
  on app.event_log to callboard_api, callboard_exporter;
grant select on app.event_log to callboard_auditor, callboard_definer, callboard_rollup, callboard_reader;
grant insert (organization_id, id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes),
  update (erased_at, changes, request_id, ip, salt), delete on app.event_log to callboard_definer;

comment on table app.event_log is 'What happened, who did it, and what it changed; partitioned by month. Never changed: see event_seals.sql for the proof.';
comment on column app.event_log.organization_id is 'The nil UUID for events of no organization, such as a sign-in with an unknown address.';
comment on column app.event_log.occurred_at is 'When the transaction began; the id contains the same time.';
comment on column app.event_log.actor_id is 'The user who did it, if authenticated.';
comment on column app.event_log.actor_kind is 'user, anonymous (before or without signing in), support, or system (jobs, migrations, and a DBA''s SQL).';
comment on column app.event_log.changes is '{"old": {column: value}, "new": {column: value}} with the columns that changed; on create, only "new" with the columns that are set. Never a secret.';
comment on column app.event_log.salt is 'Part of the sealed hash of the details, so that erased details cannot be guessed from it.';
comment on column app.event_log.erased_at is 'When changes, request_id, ip and salt were erased: see app_private.erase_events.';

create or replace function app.event_time(event uuid) returns timestamptz
language sql immutable strict parallel safe
return to_timestamp(('x' || translate(left(event::text, 13), '-', ''))::bit(48)::bigint::numeric / 1000);
comment on function app.event_time(uuid) is 'The millisecond in which the event with this id occurred.';
grant execute on function app.event_time(uuid) to callboard_api, callboard_auditor, callboard_definer;

create or replace function app_private.nobody() returns uuid
language sql immutable parallel safe
return uuid '00000000-0000-0000-0000-000000000000';
comment on function app_private.nobody() is 'The nil UUID, which stands for no organization.';
alter function app_private.nobody() owner to callboard_definer;

create or replace function app_private.is_trusted() returns boolean
language sql stable
return session_user = 'callboard_worker' or pg_has_role(session_user, 'callboard_owner', 'member');
comment on function app_private.is_trusted() is 'Whether the login is the worker, the migrator or a superuser, who may change rows without a user.';
alter function app_private.is_trusted() owner to callboard_definer;

create or replace function app_private.log_event(
  of_organization uuid, what text, of_type text, of_id uuid, changes jsonb default null, by_user uuid default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app_private.context := app_private.context();
  who uuid := coalesce(by_user, c.user_id);
  kind text := 'user';
begin
  if session_user = 'callboard_support' then
    kind := 'support';
  elsif who is null then
    kind := case when app_private.is_trusted() then 'system' else 'anonymous' end;
  end if;
  insert into app.event_log (organization_id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes)
  values (coalesce(of_organization, app_private.nobody()), who,
    c.session_id, of_id, kind, what, of_type, c.request_id, c.ip, changes);
end
$$;
comment on function app_private.log_event(uuid, text, text, uuid, jsonb, uuid) is
  'Appends an event: organization (null for none), action, type and id of its subject, changes, and who did it, if not the signed-in user.';
alter function app_private.log_event(uuid, text, text, uuid, jsonb, uuid) owner to callboard_definer;
--! EndIncluded audit/event_log.sql
--! Included audit/event_triggers.sql
-- How changes to tables become events. A table takes part with one line,
--
--   select app_private.log_changes('app.shows', 'show');
--
-- and tables that do not are listed, with the reason, in test/audit/not-logged.ts.

create table if not exists app_private.event_nouns (
  on_table regclass primary key,
  noun text not null,
  permission text not null references app.permissions (name)
);
select app_private.force_rls('app_private.event_nouns');
select app_private.set_policy('app_private.event_nouns', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.event_nouns', 'all_owner', 'callboard_owner', 'true');
grant select on app_private.event_nouns to callboard_definer;
comment on table app_private.event_nouns is
  'Reference: the resource_type of the events of each table, and the permission to read it, without which nobody sees their changes: see app.readable_events.';

create or replace function app_private.loggable(of_row jsonb, hidden text) returns jsonb
language sql stable parallel safe
return case hidden when '{}' then of_row - '{organization_id,id,created_at,created_by,updated_at,version,deleted_by,as_json,show_json}'::text[]
  else of_row - '{organization_id,id,created_at,created_by,updated_at,version,deleted_by,as_json,show_json}'::text[] - hidden::text[] end;
comment on function app_private.loggable(jsonb, text) is 'A row without what its event states anyway and without the hidden columns.';
alter function app_private.loggable(jsonb, text) owner to callboard_definer;

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
comment on function app_private.diff(jsonb, jsonb) is 'The columns in which two versions of a row differ, old and new; NULL if there are none.';
alter function app_private.diff(jsonb, jsonb) owner to callboard_definer;

create or replace function app_private.refuse_lost_context(of_organization text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
begin
  if not app_private.is_trusted() then
    perform app.refuse(403, 'permission_denied', 'The context was lost during the transaction.');
  end if;
  return of_organization;
end
$$;
comment on function app_private.refuse_lost_context(text) is
  'PT403 unless the login may change rows without a context in their organization, which is then returned.';
alter function app_private.refuse_lost_context(text) owner to callboard_definer;

-- New rows are logged by one INSERT for the whole statement, in the order of the rows. A trigger for each row would cost
-- an import twice as much.
create or replace function app_private.tg__900_events() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  c app_private.context := app_private.context();
begin
  -- app_private.log_changes passes the arguments: resource, id column, organization column, action, columns to leave out.
  -- A statement can change the context while it runs: a change that ends without its context is refused.
  -- OFFSET keeps PostgreSQL from making the JSON of a row again wherever it is mentioned.
  if c.user_id is not null then
    insert into app.event_log (organization_id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes)
    select case when (i.present ->> tg_argv[2])::uuid = c.organization_id then c.organization_id else app_private.refuse_lost_context(i.present ->> tg_argv[2]) end,
      c.user_id, c.session_id, (i.present ->> tg_argv[1])::uuid, case session_user when 'callboard_support' then 'support' else 'user' end,
      tg_argv[3], tg_argv[0], c.request_id, c.ip, jsonb_build_object('new', jsonb_strip_nulls(app_private.loggable(i.present, tg_argv[4])))
    from (select to_jsonb(a) as present from added a offset 0) i;
  else
    perform app_private.log_event(app_private.refuse_lost_context(i.present ->> tg_argv[2]), tg_argv[3], tg_argv[0], (i.present ->> tg_argv[1])::uuid,
      jsonb_build_object('new', jsonb_strip_nulls(app_private.loggable(i.present, tg_argv[4]))))
    from (select to_jsonb(a) as present from added a offset 0) i;
  end if;
  return null;
end
$$;
comment on function app_private.tg__900_events() is
  'Logs the rows that a statement has inserted. PT403 if the login no longer has a context in their organization.';
alter function app_private.tg__900_events() owner to callboard_definer;

-- Runs on every change, so it has few, small expressions: PostgreSQL prepares each one again in every transaction.
create or replace function app_private.tg__900_event() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  -- app_private.log_changes passes the arguments: resource, id column, organization column,
  -- verbs, columns to leave out.
  present jsonb := to_jsonb(coalesce(new, old));
  changes jsonb;
  verb text;
  c app_private.context;
begin
  if tg_op = 'UPDATE' then
    changes := app_private.diff(app_private.loggable(to_jsonb(old), tg_argv[4]), app_private.loggable(present, tg_argv[4]));
    if changes is null then
      return null;
    elsif changes -> 'new' ? 'deleted_at' then
      verb := case when present ->> 'deleted_at' is null then 'restore' else 'delete' end;
    else
      verb := coalesce((select v.key from jsonb_each(tg_argv[3]::jsonb) v where changes -> 'new' ? v.key limit 1), 'update');
    end if;
  else
    -- A row marked as deleted is being purged, and its values must not be logged. Others are deleted without a mark.
    if present ->> 'deleted_at' is not null or (app_private.context()).role = 'purge' then
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
  -- A statement can change the context while it runs: a change that ends without its context is refused.
  c := app_private.context();
  if c.organization_id = (present ->> tg_argv[2])::uuid and c.user_id is not null then
    insert into app.event_log (organization_id, actor_id, session_id, resource_id, actor_kind, action, resource_type, request_id, ip, changes)
    values (c.organization_id, c.user_id, c.session_id,
      (present ->> tg_argv[1])::uuid, case session_user when 'callboard_support' then 'support' else 'user' end,
      tg_argv[0] || '.' || verb, tg_argv[0],
      c.request_id, c.ip, changes);
  elsif app_private.is_trusted() then
    perform app_private.log_event((present ->> tg_argv[2])::uuid, tg_argv[0] || '.' || verb, tg_argv[0], (present ->> tg_argv[1])::uuid, changes);
  else
    perform app.refuse(403, 'permission_denied', 'The context was lost during the transaction.');
  end if;
  return null;
end
$$;
comment on function app_private.tg__900_event() is 'Logs the change or the deletion of a row. PT403 if the login no longer has a context in the row''s organization.';
alter function app_private.tg__900_event() owner to callboard_definer;

create or replace function app_private.log_changes(
  on_table regclass, resource text, verbs jsonb default '{}', id_column text default 'id', leave_out name[] default '{}'
) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  organization_column text := case when on_table = to_regclass('app.organizations') then 'id' else 'organization_id' end;
  -- bytea columns are hashes or keys.
  hidden text[] := array(
    select a.attname::text from pg_catalog.pg_attribute a
    where a.attrelid = on_table and (a.atttypid = 'bytea'::regtype or a.attname = any (leave_out) or a.attname = id_column and id_column <> 'id') and not a.attisdropped
    order by a.attname);
begin
  -- What is inserted into a partition by its own name fires no statement trigger of the partitioned table.
  if exists (select from pg_catalog.pg_class c where c.oid = on_table and (c.relkind <> 'r' or c.relispartition)) then
    raise exception '% is not an ordinary table: its new rows would not be logged', on_table;
  end if;
  insert into app_private.event_nouns as n (on_table, noun, permission)
  -- What each member sees only their own of is seen by those who manage all members.
  values (on_table, resource, coalesce(app_private.policy_permission(on_table, 'select'), 'members.manage'))
  on conflict on constraint event_nouns_pkey do update set noun = excluded.noun, permission = excluded.permission
    where (n.noun, n.permission) is distinct from (excluded.noun, excluded.permission);
  perform app_private.set_trigger(on_table, '_900_events', format('after insert on %s
    referencing new table as added for each statement execute function app_private.tg__900_events(%L, %L, %L, %L, %L)',
    on_table, resource, id_column, organization_column, resource || '.' || coalesce(verbs ->> 'create', 'create'), hidden));
  perform app_private.set_trigger(on_table, '_900_event', format('after delete or update on %s
    for each row execute function app_private.tg__900_event(%L, %L, %L, %L, %L)',
    on_table, resource, id_column, organization_column, verbs, hidden));
end
$$;
comment on function app_private.log_changes(regclass, text, jsonb, text, name[]) is
  'Logs every change of the table''s rows as <resource>.create, update, delete, restore or purge. After its policies, which say who sees the changes. verbs replaces these names, or names the change of a column: {"role": "change_role"}. leave_out names columns that events do not show, such as digests of what not everybody may read. Call it again when the table gets a bytea column.';
--! EndIncluded audit/event_triggers.sql
--! Included audit/event_partitions.sql
-- The monthly partitions of the event log. The worker creates them in advance; events without one go
-- to app.event_log_default, so that a missing partition never causes a change to be refused.

create table if not exists app.event_log_default partition of app.event_log default;
select app_private.force_rls('app.event_log_default');

select app_private.hide_statistics('app.event_log'), app_private.hide_statistics('app.event_log_default');

-- Only the owner can create and drop tables, so this one function runs as the owner. It takes no
-- arguments.
create or replace function app.maintain_event_partitions() returns table (partition text, done text)
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set timezone = 'UTC'
-- Requests queue behind a statement that waits for a lock.
set lock_timeout = '3s'
as $$
declare
  month timestamptz;
  has_rows boolean;
  name text;
begin
  -- Access through app.event_log is governed by the policies of that table.
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
  'Creates the event log''s partitions for the next three months, moves rows from app.event_log_default into them, and drops empty ones that ended 90 days ago. Returns what it did.';
grant execute on function app.maintain_event_partitions() to callboard_worker;

do $$
begin
  if to_regclass('app.event_log_' || to_char(now() at time zone 'UTC', 'YYYY_MM')) is null then
    perform app.maintain_event_partitions();
  end if;
end
$$;
--! EndIncluded audit/event_partitions.sql
--! Included audit/event_seals.sql
-- Proof that the event log is unaltered. A worker seals the events of each organization in a
-- chain: a seal's hash covers the event's hash and that of the previous seal. Changing, removing
-- or truncating events breaks the chain, or leads to a head that differs from one recorded elsewhere.
-- The chain holds only a salted hash of personal details, so they can be erased.

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
select app_private.force_rls('app.event_seals');
select app_private.set_policy('app.event_seals', 'select_auditor', 'callboard_auditor', 'true');
-- The definer appends; nobody ever changes or deletes seals, which outlive their events.
select app_private.set_policy('app.event_seals', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.event_seals', 'insert_definer', 'callboard_definer', 'true');
grant select on app.event_seals to callboard_auditor, callboard_definer;
grant insert on app.event_seals to callboard_definer;
alter table app.event_seals alter column seq set statistics 0, alter column core_hash set statistics 0,
  alter column details_hash set statistics 0, alter column prev_hash set statistics 0, alter column hash set statistics 0;
comment on table app.event_seals is 'The chain of each organization''s events.';
comment on column app.event_seals.core_hash is 'Hash of the permanent part of an event: app.event_core_hash.';
comment on column app.event_seals.details_hash is 'Hash of the details that may be erased, with a salt that is erased too: app.event_details_hash.';
comment on column app.event_seals.hash is 'Hash of prev_hash and the preceding columns: app.event_seal_hash. Together with seq it is the head of the chain so far.';

create table if not exists app_private.sealing (
  id boolean primary key default true constraint sealing_one_row check (id),
  sealed_until timestamptz not null default '-infinity'
);
select app_private.definer_table('app_private.sealing', 'select, update');
select app_private.set_policy('app_private.sealing', 'insert_owner', 'callboard_owner', 'true');
insert into app_private.sealing default values on conflict do nothing;
comment on table app_private.sealing is 'The time up to which all events are sealed; locked by the sealer, so that only one runs at a time.';

-- Times as microseconds, and everything as the text form of an array, which quotes its elements: the
-- result depends on no setting, and no value can pass for two.
create or replace function app.event_core_hash(e app.event_log) returns bytea
language sql stable parallel safe
return sha256(convert_to(array[(e).organization_id::text, (e).id::text, (extract(epoch from (e).occurred_at) * 1000000)::bigint::text,
  (e).actor_id::text, (e).actor_kind, (e).session_id::text, (e).action, (e).resource_type, (e).resource_id::text]::text, 'UTF8'));
comment on function app.event_core_hash(app.event_log) is 'SHA-256 of an event without its details.';
grant execute on function app.event_core_hash(app.event_log) to callboard_auditor, callboard_definer;

create or replace function app.event_details_hash(e app.event_log) returns bytea
language sql stable parallel safe
return sha256(convert_to(array[(e).salt::text, (e).changes::text, (e).request_id, host((e).ip)]::text, 'UTF8'));
comment on function app.event_details_hash(app.event_log) is 'Salted SHA-256 of the details of an event: changes, request_id, ip.';
grant execute on function app.event_details_hash(app.event_log) to callboard_auditor, callboard_definer;

create or replace function app.event_seal_hash(prev_hash bytea, organization_id uuid, seq bigint, event_id uuid, occurred_at timestamptz, core_hash bytea, details_hash bytea) returns bytea
language sql immutable parallel safe
return sha256(prev_hash || uuid_send(organization_id) || int8send(seq) || uuid_send(event_id) || timestamptz_send(occurred_at) || core_hash || details_hash);
comment on function app.event_seal_hash(bytea, uuid, bigint, uuid, timestamptz, bytea, bytea) is 'SHA-256 of a seal and the one before it; the first one follows the empty string.';
grant execute on function app.event_seal_hash(bytea, uuid, bigint, uuid, timestamptz, bytea, bytea) to callboard_auditor, callboard_definer;

create table if not exists app_private.horizon_looks (
  at timestamptz primary key,
  open text[] not null
);
select app_private.definer_table('app_private.horizon_looks');
comment on table app_private.horizon_looks is 'Recent calls of app_private.seal_horizon.';
comment on column app_private.horizon_looks.open is 'The transactions that were open then, as pg_locks names them.';

create or replace function app_private.seal_horizon() returns timestamptz
language plpgsql volatile
set search_path = ''
as $$
declare
  called constant timestamptz := clock_timestamp();
  running text[];
  horizon timestamptz;
  hundredth timestamptz;
begin
  -- Otherwise this transaction would reuse an earlier snapshot of the statistics.
  perform pg_stat_clear_snapshot();
  -- Everybody may see that a transaction is open, but only pg_read_all_stats, which a hosted server may not grant, since
  -- when. So each call notes which are open; once all of them have ended, so have all that had begun before that call.
  running := array(
    select l.virtualtransaction from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and l.pid <> pg_backend_pid()
      -- Autovacuum has no user. BI tools write no events and may keep transactions open for a long time.
      and a.datname = current_database() and a.usename is not null
      and not exists (select from app_private.bi_logins b where b.login = a.usename));
  if running = '{}' then
    horizon := called;
  else
    horizon := (select max(k.at) from app_private.horizon_looks k where not k.open && running);
  end if;
  insert into app_private.horizon_looks values (called, running) on conflict do nothing;
  -- What is older than the horizon tells nothing more. Of the rest, the last hundred and then one a minute for a day:
  -- transactions that take turns for hours would otherwise hide each other's ends.
  hundredth := (select k.at from app_private.horizon_looks k order by k.at desc offset 100 limit 1);
  delete from app_private.horizon_looks k
  where k.at in (
    select o.at from app_private.horizon_looks o
    where o.at < horizon or o.at < called - interval '1 day'
      or o.at <= hundredth and exists (select from app_private.horizon_looks e where e.at < o.at and e.at >= date_trunc('minute', o.at))
    for update skip locked);
  if horizon is null then
    return null;
  end if;
  -- The start of a prepared transaction is unknown; it is earlier than this.
  return least(horizon, (select min(p.prepared) - interval '1 hour' from pg_catalog.pg_prepared_xacts p where p.database = current_database()));
end
$$;
comment on function app_private.seal_horizon() is 'A moment before which all transactions have ended; null until that can be said of any.';
alter function app_private.seal_horizon() owner to callboard_definer;

create or replace function app_private.next_logged(behind uuid, since timestamptz, until timestamptz) returns uuid
language plpgsql stable
set search_path = ''
as $$
begin
  -- Skips from one organization to the next along the primary key. Whole months, so that no events are read.
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
  'The next organization after another (null: the first) with events between two times; it may also return one with events only near them.';
alter function app_private.next_logged(uuid, timestamptz, timestamptz) owner to callboard_definer;

create or replace function app_private.seal_batch(of_organization uuid, since timestamptz, until timestamptz, at_most integer) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  head app.event_seals;
  batch record;
  chain bytea[] := '{}';
  last_hash bytea;
begin
  -- The subquery applies the limit before anything is hashed.
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
comment on function app_private.seal_batch(uuid, timestamptz, timestamptz, integer) is 'Adds the unsealed events of an organization between two times to its chain in chronological order; returns how many.';
alter function app_private.seal_batch(uuid, timestamptz, timestamptz, integer) owner to callboard_definer;

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
  batch_since timestamptz;
  organization uuid;
  done bigint;
  sealed bigint := 0;
begin
  select * into state from app_private.sealing for update skip locked;
  if not found then
    return 0;
  end if;
  horizon := app_private.seal_horizon();
  -- If the clock was set back, or a backend stalled between taking its timestamp and becoming visible, an
  -- event can be older than those already sealed: it is found within look_back and sealed after them.
  since := greatest(state.sealed_until - look_back, '0001-01-01 00:00:00+00');
  loop
    organization := app_private.next_logged(organization, since, horizon);
    exit when organization is null;
    -- Skips nearly all organizations, because this runs every few seconds.
    continue when not exists (select from app.event_log l
      where l.organization_id = organization and l.occurred_at >= since and l.occurred_at < horizon);
    batch_since := since;
    loop
      -- In batches that fit into memory.
      done := app_private.seal_batch(organization, batch_since, horizon, 20000);
      sealed := sealed + done;
      exit when done < 20000;
      select s.occurred_at into batch_since from app.event_seals s where s.organization_id = organization order by s.seq desc limit 1;
    end loop;
  end loop;
  update app_private.sealing set sealed_until = greatest(sealed_until, horizon);
  return sealed;
end
$$;
comment on function app.seal_events(interval) is
  'Seals all events that no earlier one can still precede, and any within the last look_back that were missed; returns how many. A concurrent call does nothing. Runs every 2 seconds with ''10 seconds'', once a minute, and once a day with ''10 years''.';
alter function app.seal_events(interval) owner to callboard_definer;
grant execute on function app.seal_events(interval) to callboard_worker;
--! EndIncluded audit/event_seals.sql
--! Included audit/event_verify.sql
-- Verifies the log against its seals. Anybody who may read both tables can run it; a head recorded
-- earlier and elsewhere also reveals whether the end was truncated or the whole log rewritten.

create or replace function app.verify_events(
  organization uuid, head_seq bigint default null, head_hash text default null, after_seq bigint default 0, at_most bigint default null
) returns json
language plpgsql stable
set search_path = ''
set jit = off
as $$
declare
  anchor bytea := coalesce((select s.hash from app.event_seals s where s.organization_id = organization and s.seq = after_seq), '');
  -- The purge logs this itself; no retention is shorter than 90 days.
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
        -- Details erased: an event with the same timestamp must record that.
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
      -- An event whose time was changed is not found at the time in its seal.
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
  'Checks an organization''s events against their seals, all of them or at_most that many after after_seq, and against a recorded head. problem is the first one found: changed, missing, erased (without a trace), seal_changed, seal_missing, cut_off or rewritten (the head differs from the recorded one).';
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
  -- Skips from one organization to the next along the seals' key, including deleted organizations.
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
comment on function app.audited_organizations(text) is 'For auditors: the organization with a slug, or all with a chain of events, even if purged.';
alter function app.audited_organizations(text) owner to callboard_definer;
grant execute on function app.audited_organizations(text) to callboard_auditor;
--! EndIncluded audit/event_verify.sql
--! Included audit/noted_drift.sql
-- Differences of the live database from what the migrations make (docs/operate/audit.md) are events: the log then shows
-- since when somebody could see more than they should, and until when. The worker looks each hour and tells what it
-- finds; the table remembers it, so that the same difference is not an event each hour.

create table if not exists app_private.noted_drift (
  subject text not null,
  digest text not null,
  class text not null,
  noted_at timestamptz not null default now(),
  primary key (subject, digest)
);
select app_private.definer_table('app_private.noted_drift', 'select, insert, delete');
comment on table app_private.noted_drift is 'The differences that are there, as app.note_drift was told last.';
comment on column app_private.noted_drift.subject is 'The fact that differs, such as `policy select_member on app.shows`.';
comment on column app_private.noted_drift.digest is 'Of its value: another one is another difference. Not the value, which may be a secret, such as a setting.';

create or replace function app.note_drift(present jsonb) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  -- An event names no more than so many.
  most constant integer := 100;
  found jsonb;
  gone jsonb;
begin
  -- Workers that look at the same time: the second waits here for the first to end, and then has nothing to tell.
  with new as (
    insert into app_private.noted_drift (subject, digest, class)
    select left(d.subject, 200), left(d.digest, 64), left(d.class, 20)
    from jsonb_to_recordset(present) as d (subject text, digest text, class text)
    order by 1, 2
    on conflict do nothing
    returning noted_drift.subject)
  select jsonb_build_object('facts', to_jsonb((array_agg(distinct n.subject order by n.subject))[:most]), 'count', count(distinct n.subject))
  into found from new n having count(*) > 0;

  with old as (
    delete from app_private.noted_drift n
    where not exists (
      select from jsonb_to_recordset(present) as d (subject text, digest text)
      where left(d.subject, 200) = n.subject and left(d.digest, 64) = n.digest)
    returning n.subject)
  select jsonb_build_object('facts', to_jsonb((array_agg(distinct o.subject order by o.subject))[:most]), 'count', count(distinct o.subject))
  into gone from old o
  -- What differs otherwise than before has not gone.
  where not exists (select from jsonb_to_recordset(present) as d (subject text) where left(d.subject, 200) = o.subject)
  having count(*) > 0;

  if found is not null then
    perform app_private.log_event(null, 'drift.found', 'database', null, jsonb_build_object('new', found));
  end if;
  if gone is not null then
    perform app_private.log_event(null, 'drift.gone', 'database', null, jsonb_build_object('old', gone));
  end if;
end
$$;
comment on function app.note_drift(jsonb) is
  'Told by the worker what differs now ([{subject, digest, class}]), logs what is new as drift.found and what is gone as drift.gone, with the names of the facts, as events of no organization.';
alter function app.note_drift(jsonb) owner to callboard_definer;
grant execute on function app.note_drift(jsonb) to callboard_worker;

create or replace function app_private.log_migrations(release text, migrations text[]) returns void
language sql volatile
set search_path = ''
begin atomic
  select app_private.log_event(null, 'database.migrate', 'database', null,
    jsonb_build_object('new', jsonb_build_object('release', release, 'migrations', to_jsonb(migrations))));
end;
comment on function app_private.log_migrations(text, text[]) is 'Logs database.migrate, an event of no organization: the release and the migrations that it has run.';
alter function app_private.log_migrations(text, text[]) owner to callboard_definer;
--! EndIncluded audit/noted_drift.sql
-- People and companies: the tables that nearly all others reference
--! Included accounts/users.sql
-- People. A user exists once, however many organizations they work for, so this table has no
-- organization_id: members see themselves and their current colleagues.

create table if not exists app.users (
  id uuid primary key default app.uuid_v7(),
  email text not null constraint users_email_format check (
    email = lower(email) and length(email) <= 254 and email ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+\.[^@[:space:][:cntrl:].]+$'),
  display_name text collate app.people not null constraint users_display_name_length check (app.is_line(display_name, 200)),
  email_verified_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1
);
-- On an expression, because comparing a plain column is leakproof: PostgreSQL would look up an
-- address in the index before applying the policy, and EXPLAIN ANALYZE would reveal the result.
create unique index if not exists email_taken on app.users (lower(email));
alter index app.email_taken alter column 1 set statistics 0;
select app_private.hide_statistics('app.users');

select app_private.force_rls('app.users');

drop policy if exists select_self on app.users;
create policy select_self on app.users for select to callboard_api
  using (id = (select app.current_user_id()));

-- Colleagues see each other too; that policy needs app.memberships and is in memberships.sql.

drop policy if exists update_self on app.users;
create policy update_self on app.users for update to callboard_api
  using (id = (select app.current_user_id()));

-- Sign-in and invitations look people up before there is a context.
select app_private.set_policy('app.users', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.users', 'insert_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.users', 'update_definer', 'callboard_definer', 'true');

grant select on app.users to callboard_api, callboard_definer;
grant update (display_name) on app.users to callboard_api;
grant insert (id, email, display_name, email_verified_at), update (email_verified_at, display_name) on app.users to callboard_definer;

create or replace trigger _100_timestamps before update on app.users
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
grant execute on function app.update_me(jsonb, text) to callboard_api;
--! EndIncluded accounts/users.sql
--! Included finance/currencies.sql
-- Currencies (ISO 4217). The number of decimals depends on the currency; amounts are stored in the
-- smallest unit.

create or replace function app.minor_digits(currency text) returns integer
language sql immutable strict parallel safe
return case
  when currency in ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF') then 0
  when currency in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 3
  when currency in ('CLF', 'UYW') then 4
  else 2 end;
comment on function app.minor_digits(text) is 'Decimals of a currency by its ISO 4217 code: EUR 2, JPY 0, KWD 3. 2 for an unknown code.';
grant execute on function app.minor_digits(text) to callboard_api, callboard_definer;

create table if not exists app.currencies (
  code char(3) primary key,
  name text collate app.people not null,
  minor_digits integer not null
);
select app_private.reference_table('app.currencies');
comment on table app.currencies is 'Reference: the ISO 4217 currencies in which money is recorded.';

insert into app.currencies (code, name, minor_digits)
select c.code, c.name, app.minor_digits(c.code) from (values
  ('AED', 'UAE dirham'), ('AFN', 'Afghani'), ('ALL', 'Lek'), ('AMD', 'Armenian dram'), ('AOA', 'Kwanza'), ('ARS', 'Argentine peso'),
  ('AUD', 'Australian dollar'), ('AWG', 'Aruban florin'), ('AZN', 'Azerbaijan manat'), ('BAM', 'Convertible mark'), ('BBD', 'Barbados dollar'),
  ('BDT', 'Taka'), ('BGN', 'Bulgarian lev'), ('BHD', 'Bahraini dinar'), ('BIF', 'Burundi franc'), ('BMD', 'Bermudian dollar'),
  ('BND', 'Brunei dollar'), ('BOB', 'Boliviano'), ('BRL', 'Brazilian real'), ('BSD', 'Bahamian dollar'), ('BTN', 'Ngultrum'), ('BWP', 'Pula'),
  ('BYN', 'Belarusian ruble'), ('BZD', 'Belize dollar'), ('CAD', 'Canadian dollar'), ('CDF', 'Congolese franc'), ('CHF', 'Swiss franc'),
  ('CLF', 'Unidad de fomento'), ('CLP', 'Chilean peso'), ('CNY', 'Yuan renminbi'), ('COP', 'Colombian peso'), ('CRC', 'Costa Rican colon'),
  ('CUP', 'Cuban peso'), ('CVE', 'Cabo Verde escudo'), ('CZK', 'Czech koruna'), ('DJF', 'Djibouti franc'), ('DKK', 'Danish krone'),
  ('DOP', 'Dominican peso'), ('DZD', 'Algerian dinar'), ('EGP', 'Egyptian pound'), ('ERN', 'Nakfa'), ('ETB', 'Ethiopian birr'), ('EUR', 'Euro'),
  ('FJD', 'Fiji dollar'), ('FKP', 'Falkland Islands pound'), ('GBP', 'Pound sterling'), ('GEL', 'Lari'), ('GHS', 'Ghana cedi'),
  ('GIP', 'Gibraltar pound'), ('GMD', 'Dalasi'), ('GNF', 'Guinean franc'), ('GTQ', 'Quetzal'), ('GYD', 'Guyana dollar'), ('HKD', 'Hong Kong dollar'),
  ('HNL', 'Lempira'), ('HTG', 'Gourde'), ('HUF', 'Forint'), ('IDR', 'Rupiah'), ('ILS', 'New Israeli sheqel'), ('INR', 'Indian rupee'),
  ('IQD', 'Iraqi dinar'), ('IRR', 'Iranian rial'), ('ISK', 'Iceland krona'), ('JMD', 'Jamaican dollar'), ('JOD', 'Jordanian dinar'), ('JPY', 'Yen'),
  ('KES', 'Kenyan shilling'), ('KGS', 'Som'), ('KHR', 'Riel'), ('KMF', 'Comorian franc'), ('KPW', 'North Korean won'), ('KRW', 'Won'),
  ('KWD', 'Kuwaiti dinar'), ('KYD', 'Cayman Islands dollar'), ('KZT', 'Tenge'), ('LAK', 'Lao kip'), ('LBP', 'Lebanese pound'),
  ('LKR', 'Sri Lanka rupee'), ('LRD', 'Liberian dollar'), ('LSL', 'Loti'), ('LYD', 'Libyan dinar'), ('MAD', 'Moroccan dirham'),
  ('MDL', 'Moldovan leu'), ('MGA', 'Malagasy ariary'), ('MKD', 'Denar'), ('MMK', 'Kyat'), ('MNT', 'Tugrik'), ('MOP', 'Pataca'), ('MRU', 'Ouguiya'),
  ('MUR', 'Mauritius rupee'), ('MVR', 'Rufiyaa'), ('MWK', 'Malawi kwacha'), ('MXN', 'Mexican peso'), ('MYR', 'Malaysian ringgit'),
  ('MZN', 'Mozambique metical'), ('NAD', 'Namibia dollar'), ('NGN', 'Naira'), ('NIO', 'Cordoba oro'), ('NOK', 'Norwegian krone'),
  ('NPR', 'Nepalese rupee'), ('NZD', 'New Zealand dollar'), ('OMR', 'Rial omani'), ('PAB', 'Balboa'), ('PEN', 'Sol'), ('PGK', 'Kina'),
  ('PHP', 'Philippine peso'), ('PKR', 'Pakistan rupee'), ('PLN', 'Zloty'), ('PYG', 'Guarani'), ('QAR', 'Qatari rial'), ('RON', 'Romanian leu'),
  ('RSD', 'Serbian dinar'), ('RUB', 'Russian ruble'), ('RWF', 'Rwanda franc'), ('SAR', 'Saudi riyal'), ('SBD', 'Solomon Islands dollar'),
  ('SCR', 'Seychelles rupee'), ('SDG', 'Sudanese pound'), ('SEK', 'Swedish krona'), ('SGD', 'Singapore dollar'), ('SHP', 'Saint Helena pound'),
  ('SLE', 'Leone'), ('SOS', 'Somali shilling'), ('SRD', 'Surinam dollar'), ('SSP', 'South Sudanese pound'), ('STN', 'Dobra'), ('SVC', 'El Salvador colon'),
  ('SYP', 'Syrian pound'), ('SZL', 'Lilangeni'), ('THB', 'Baht'), ('TJS', 'Somoni'), ('TMT', 'Turkmenistan new manat'), ('TND', 'Tunisian dinar'),
  ('TOP', 'Pa''anga'), ('TRY', 'Turkish lira'), ('TTD', 'Trinidad and Tobago dollar'), ('TWD', 'New Taiwan dollar'), ('TZS', 'Tanzanian shilling'),
  ('UAH', 'Hryvnia'), ('UGX', 'Uganda shilling'), ('USD', 'US dollar'), ('UYI', 'Uruguay peso in indexed units'), ('UYU', 'Peso uruguayo'),
  ('UYW', 'Unidad previsional'), ('UZS', 'Uzbekistan sum'), ('VED', 'Bolivar digital'), ('VES', 'Bolivar soberano'), ('VND', 'Dong'), ('VUV', 'Vatu'),
  ('WST', 'Tala'), ('XAF', 'CFA franc BEAC'), ('XCD', 'East Caribbean dollar'), ('XCG', 'Caribbean guilder'), ('XOF', 'CFA franc BCEAO'),
  ('XPF', 'CFP franc'), ('YER', 'Yemeni rial'), ('ZAR', 'Rand'), ('ZMW', 'Zambian kwacha'), ('ZWG', 'Zimbabwe gold')) as c (code, name)
on conflict (code) do update set name = excluded.name, minor_digits = excluded.minor_digits;

create or replace function app.convert_minor(amount_minor bigint, exchange_rate numeric, currency text, base_currency text) returns bigint
language sql immutable parallel safe
return case when exchange_rate is null then null when currency = base_currency then amount_minor
  -- Clamped to the bigint range, where a constraint then names the problem.
  else least(round(amount_minor::numeric * exchange_rate
    * (10::numeric ^ (app.minor_digits(base_currency) - app.minor_digits(currency)))), 9223372036854775807)::bigint end;
comment on function app.convert_minor(bigint, numeric, text, text) is
  'An amount in another currency, both in minor units; the rate is units of the base currency for one unit of the currency. Half a unit is rounded away from zero.';
grant execute on function app.convert_minor(bigint, numeric, text, text) to callboard_api, callboard_definer;

create or replace function app.list_currencies() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', json_agg(json_build_object('code', c.code, 'name', c.name, 'minor_digits', c.minor_digits) order by c.code),
    'next_cursor', null), null::text, null::text
  from app.currencies c where app.require('finance.read') is not null;
end;
comment on function app.list_currencies() is 'The currencies that finance records can have. PT403.';
grant execute on function app.list_currencies() to callboard_api;
--! EndIncluded finance/currencies.sql
--! Included organizations/organizations.sql
-- Companies: the tenants. The row's own id is the organization_id of everything else.

create table if not exists app.organizations (
  id uuid primary key default app.uuid_v7(),
  name text collate app.people not null constraint organizations_name_length check (app.is_line(name, 200)),
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

-- EXPLAIN shows everybody estimates from statistics over all organizations, so none are collected for
-- columns whose values only one organization should know. The other tables do the same.
select app_private.hide_statistics('app.organizations');

select app_private.force_rls('app.organizations');
select app_private.member_policy('app.organizations', 'select', 'organization.read', organization_column => 'id');
select app_private.member_policy('app.organizations', 'update', 'organization.update', organization_column => 'id');
-- Without a grant, because deletes are soft: app.delete_organization.
select app_private.member_policy('app.organizations', 'delete', 'organization.delete', organization_column => 'id');
-- app.enter and sign-in read organizations before there is a context.
select app_private.set_policy('app.organizations', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.organizations', 'insert_definer', 'callboard_definer', 'true');
select app_private.set_policy('app.organizations', 'update_definer', 'callboard_definer', 'id = (select app.current_org())');
select app_private.set_policy('app.organizations', 'purge_definer', 'callboard_definer',
  $$(id = (select app.current_org())) and (deleted_at < (now() - '1 day'::interval))$$, 'delete');
-- Figures are computed for all organizations at once: see analytics/rollups.sql.
select app_private.set_policy('app.organizations', 'select_rollup', 'callboard_rollup', 'true');

grant select on app.organizations to callboard_api, callboard_definer, callboard_rollup;
grant update (name, currency, time_zone) on app.organizations to callboard_api;
grant insert (id, name, currency, time_zone), update (deleted_at, deleted_by, deletion_id), delete on app.organizations to callboard_definer;

comment on table app.organizations is 'Companies that put on shows; each is a tenant.';
comment on column app.organizations.slug is 'Derived from the name by the database; app_private.slugs keeps it and all earlier ones unique.';
comment on column app.organizations.currency is 'ISO 4217 code of the currency in which the organization keeps its books.';

-- Every slug that was ever assigned, so that an old link keeps leading to its organization and never
-- to another one, even after a purge.
create table if not exists app_private.slugs (
  slug text primary key constraint slugs_format check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and length(slug) <= 80),
  -- No foreign key: it outlives the organization.
  organization_id uuid not null,
  created_at timestamptz not null default now()
);
create index if not exists slugs_organization_id_idx on app_private.slugs (organization_id);
select app_private.definer_table('app_private.slugs', 'select, insert');
comment on table app_private.slugs is 'Every slug ever assigned and the organization it leads to.';

create or replace function app_private.slug_base(name text) returns text
language sql immutable strict parallel safe
set search_path = ''
-- NFKD separates letters from their accents, which are then removed with everything else that is not
-- a-z or 0-9. Letters that do not decompose are listed explicitly, in both cases, because what lower()
-- does beyond ASCII depends on the database's locale.
return coalesce(nullif(btrim(left(regexp_replace(regexp_replace(
    replace(replace(replace(replace(translate(lower(normalize(name, NFKD)),
      'ẞØøŁłĐđÐðıÆŒÞ', 'ßoollddddiæœþ'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'),
    U&'[\0300-\036F''\2019]', '', 'g'), '[^a-z0-9]+', '-', 'g'), 60), '-'), ''), 'organization');
comment on function app_private.slug_base(text) is 'The slug of a name: ''Broadway Co.'' becomes broadway-co.';
alter function app_private.slug_base(text) owner to callboard_definer;

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
    perform app.refuse(409, 'slug_reserved', format('The name would give the address "%s", which is reserved.', base));
  end if;
  loop
    -- An organization can reuse a slug that it once had.
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
comment on function app_private.tg_organizations__200_slug() is 'Gives an organization the slug of its name, with a number appended if it is taken.';
alter function app_private.tg_organizations__200_slug() owner to callboard_definer;

select app_private.log_changes('app.organizations', 'organization');

create or replace trigger _100_timestamps before update on app.organizations
  for each row execute function app_private.tg__100_timestamps();
create or replace trigger _200_slug_insert before insert on app.organizations
  for each row execute function app_private.tg_organizations__200_slug();
create or replace trigger _200_slug_rename before update on app.organizations
  for each row when (new.name is distinct from old.name) execute function app_private.tg_organizations__200_slug();
--! EndIncluded organizations/organizations.sql
--! Included organizations/memberships.sql
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
--! EndIncluded organizations/memberships.sql
--! Included organizations/custom_roles.sql
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
--! EndIncluded organizations/custom_roles.sql
--! Included organizations/member_permissions.sql
-- Permissions granted or denied to a single member on top of their roles, temporarily or permanently,
-- and the computation of everything a member holds, which exists only here.

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

-- Without grants, because the definer's functions write: a policy cannot ensure that nobody grants what they do not hold.
select app_private.tenant_policies('app.member_permissions', reads => 'members.read', inserts => 'members.manage', updates => 'members.manage',
  deletes => 'members.manage', definer => 'insert, update, delete');
grant select on app.member_permissions to callboard_api, callboard_definer;
grant insert (user_id, permission, effect, expires_at), update (effect, expires_at, granted_by), delete on app.member_permissions to callboard_definer;

comment on table app.member_permissions is 'Permissions granted or denied to a member on top of their roles.';
comment on column app.member_permissions.effect is 'grant adds to the permissions of the roles; deny removes a permission whatever its source.';

select app_private.log_changes('app.member_permissions', 'member',
  '{"create": "set_permission", "update": "set_permission", "delete": "clear_permission"}', 'user_id');

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
  'Everything unexpired that gives a member with this built-in role a permission or removes one: source is role, grant or deny.';
alter function app_private.permission_sources(uuid, uuid, text) owner to callboard_definer;

-- In plpgsql, whose plans live as long as the session: app.enter calls this on every request.
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

create or replace function app.permissions_of(organization uuid, member uuid, lasting boolean default false) returns text[]
language sql stable
set search_path = ''
begin atomic
  select coalesce((
    select app_private.effective_permissions(m.organization_id, m.user_id, m.role, lasting)
    from app.memberships m join app.organizations o on o.id = m.organization_id
    -- Members deleted together with their organization still hold the permission to restore it.
    where m.organization_id = organization and m.user_id = member and (m.deleted_at is null or m.deletion_id = o.deletion_id)), '{}');
end;
comment on function app.permissions_of(uuid, uuid, boolean) is
  'The permissions that a member holds in an organization, sorted: those of their roles and grants, minus denials; with lasting, only what does not expire. Empty for non-members.';
alter function app.permissions_of(uuid, uuid, boolean) owner to callboard_definer;

-- Two checks for every change to what members hold. The lock serializes such changes within an
-- organization, so that each is checked against what the caller holds at that moment, not
-- when the request started.
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
  'Locks the current organization against other changes of its members and returns it, if the caller may manage them. PT403 permission_denied.';
alter function app_private.administer() owner to callboard_definer;

create or replace function app_private.require_to_hold(wanted text[]) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  missing text[];
begin
  -- Unknown permissions are refused elsewhere.
  select array_agg(p.name order by p.name) into missing from app.permissions p
  where p.name = any (wanted) and p.name <> all (app.permissions_of(app.current_org(), app.current_user_id(), lasting => true));
  if missing is not null then
    perform app.refuse(403, 'permission_not_held',
      format('You cannot grant or revoke a permission that you do not hold permanently: %s.', array_to_string(missing, ', ')));
  end if;
end
$$;
comment on function app_private.require_to_hold(text[]) is
  'PT403 permission_not_held unless the caller holds all of these permanently.';
alter function app_private.require_to_hold(text[]) owner to callboard_definer;
--! EndIncluded organizations/member_permissions.sql
-- Foundation: rate limits, standbys, the queue, soft delete, idempotency
--! Included foundation/rate_limits.sql
-- Rate limits of organizations that differ from the API's settings (RATE_LIMIT, RATE_LIMIT_WINDOW,
-- RATE_LIMIT_BLOCK). They are agreed with the operator, so a superadmin writes them and members cannot;
-- the API applies a change within a few seconds.

create table if not exists app.rate_limits (
  organization_id uuid primary key default app.current_org() references app.organizations (id) on delete cascade,
  -- Null means the setting's value.
  requests integer constraint rate_limits_requests_range check (requests between 1 and 1000000000),
  window_seconds integer constraint rate_limits_window_range check (window_seconds between 1 and 86400),
  block_seconds integer constraint rate_limits_block_range check (block_seconds between 0 and 86400)
);
alter table app.rate_limits
  alter column requests set statistics 0, alter column window_seconds set statistics 0, alter column block_seconds set statistics 0;

select app_private.force_rls('app.rate_limits');

-- Not org_if('organization.read'): the limit also applies to members who may not read it.
select app_private.set_policy('app.rate_limits', 'select_member', 'callboard_api', 'organization_id = (select app.current_org())');

-- A superadmin writes them, in the organization, with app.set_rate_limit.
select app_private.set_policy('app.rate_limits', 'all_definer', 'callboard_definer', 'organization_id = (select app.current_org())');

grant select on app.rate_limits to callboard_api, callboard_definer;
grant insert (requests, window_seconds, block_seconds), update (requests, window_seconds, block_seconds) on app.rate_limits to callboard_definer;

comment on table app.rate_limits is 'Rate limits of organizations that differ from the API''s settings.';
comment on column app.rate_limits.requests is 'Requests per window.';
comment on column app.rate_limits.window_seconds is 'Length of a window, which starts with its first request.';
comment on column app.rate_limits.block_seconds is 'How long all requests are refused after the limit is exceeded; 0 means until the window ends.';

select app_private.log_changes('app.rate_limits', 'rate_limit', '{}', 'organization_id');

create or replace function app.set_rate_limit(body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  wanted app.rate_limits := jsonb_populate_record(null::app.rate_limits, body);
begin
  if app.require('organization.update') is null or (app_private.context()).role is distinct from 'superadmin' then
    perform app.refuse(403, 'permission_denied', 'Only superadmins set rate limits.');
  end if;
  insert into app.rate_limits (requests, window_seconds, block_seconds)
  values (wanted.requests, wanted.window_seconds, wanted.block_seconds)
  on conflict (organization_id) do update
    set requests = excluded.requests, window_seconds = excluded.window_seconds, block_seconds = excluded.block_seconds;
  return (200, json_build_object('requests', wanted.requests, 'window_seconds', wanted.window_seconds, 'block_seconds', wanted.block_seconds),
    null, null)::app.answer;
end
$$;
comment on function app.set_rate_limit(jsonb) is
  'Sets the rate limit of the organization that a superadmin has entered with a grant that allows writing: requests, window_seconds, block_seconds; null means the API''s setting. PT403 permission_denied.';
alter function app.set_rate_limit(jsonb) owner to callboard_definer;
grant execute on function app.set_rate_limit(jsonb) to callboard_support;
--! EndIncluded foundation/rate_limits.sql
--! Included accounts/sessions.sql
-- Sign-ins. A session is a pair of random secrets that only the client holds: one is part of
-- every access token, the other renews it and is thereby spent. Only their hashes are stored.

create table if not exists app.sessions (
  id uuid primary key default app.uuid_v7(),
  user_id uuid not null references app.users (id) on delete cascade,
  secret_hash bytea not null constraint sessions_secret_hash_unique unique,
  -- Where the user last worked; the next token is for that organization.
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
select app_private.hide_statistics('app.sessions');

select app_private.force_rls('app.sessions');

drop policy if exists select_self on app.sessions;
create policy select_self on app.sessions for select to callboard_api
  using (user_id = (select app.current_user_id()));
select app_private.set_policy('app.sessions', 'all_definer', 'callboard_definer', 'true');

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
select app_private.definer_table('app_private.refresh_tokens');
comment on table app_private.refresh_tokens is 'Hashes of refresh tokens; a token is spent by its first use.';

create or replace function app_private.session_lifetime() returns interval
language sql immutable parallel safe
return interval '30 days';
comment on function app_private.session_lifetime() is 'How long a session lives after its last refresh.';
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

-- The entrance. Every transaction of a signed-in user starts here, so it is a single statement: the
-- overhead of a statement exceeds the cost of the rows that it reads.
create or replace function app.enter(
  session_secret text, organization uuid default null, request_id text default null, ip inet default null
) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  f record;
  is_entered boolean;
begin
  select s.id, s.user_id, s.revoked_because is not null or s.expires_at <= now() as is_over, m.role, o.deleted_at,
    m.user_id is null or m.deleted_at is not null and m.deletion_id is distinct from o.deletion_id as is_not_member,
    -- A member with only a built-in role holds exactly its permissions, which are ready.
    case when exists (select from app.member_roles x where x.organization_id = organization and x.user_id = s.user_id)
        or exists (select from app.member_permissions x where x.organization_id = organization and x.user_id = s.user_id)
      then array_to_string(app_private.effective_permissions(organization, s.user_id, m.role), ' ')
      else r.held end as permissions
  into f
  from app.sessions s
  left join app.memberships m on m.organization_id = organization and m.user_id = s.user_id
  left join app.organizations o on o.id = m.organization_id
  left join app.roles r on r.name = m.role
  where s.secret_hash = app_private.digest(session_secret);
  if app_private.may_write_by_old_snapshot() then
    perform app_private.refuse_old_snapshot();
  end if;
  if f.is_over is distinct from false then
    -- Raises the reason. If the session has become valid in the meantime, live_session raises nothing: refuse anyway.
    perform app_private.live_session(session_secret);
    perform app.refuse(401, 'session_unknown');
  elsif organization is null then
    is_entered := app_private.set_context(f.user_id, f.id, null, null, '', request_id, ip);
    return;
  -- Only those who were members until the end learn that an organization has been deleted.
  elsif f.is_not_member then
    perform app.refuse(403, 'membership_revoked');
  elsif f.deleted_at is not null then
    perform app.refuse(403, 'organization_deleted');
  end if;
  -- Assigned rather than performed: an expression costs a fraction of a statement.
  is_entered := app_private.set_context(f.user_id, f.id, organization, f.role, f.permissions, request_id, ip);
end
$$;
comment on function app.enter(text, uuid, text, inet) is
  'Opens this transaction for the session with this secret, in one of its user''s organizations or, with null, in none; request and address are for the event log. PT401 session_unknown, session_revoked, session_expired; PT403 membership_revoked, organization_deleted.';
alter function app.enter(text, uuid, text, inet) owner to callboard_definer;
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
comment on function app_private.grant_of(uuid, uuid) is 'The claims of an access token about its user; the database never reads them.';
alter function app_private.grant_of(uuid, uuid) owner to callboard_definer;

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
    -- Two parties hold it and nobody can tell which is the thief, so both lose the session. The
    -- refusal is returned, not raised, because raising would undo the revocation.
    update app.sessions x set revoked_at = statement_timestamp(), revoked_because = 'refresh_token_reused' where x.id = s.id;
    return app.refusal(401, 'refresh_token_reused', 'This refresh token was used before; the session has been ended: sign in again.');
  end if;
  if preferred is not null and preferred is distinct from app_private.usual_organization(s.user_id, preferred) then
    perform app.refuse(403, 'membership_revoked');
  end if;
  update app_private.refresh_tokens x set used_at = coalesce(x.used_at, statement_timestamp()) where x.token_hash = t.token_hash;
  -- Tokens spent more than a lifetime ago could no longer renew anything.
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
comment on function app.switch_organization(uuid) is 'The token claims for another of the user''s organizations. PT404.';
alter function app.switch_organization(uuid) owner to callboard_definer;
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
grant execute on function app.end_session(uuid, text) to callboard_api;

create or replace view app.session_list with (security_invoker = true) as
  select s.user_id, s.id, json_build_object('id', s.id, 'is_current', s.id = app.current_session_id(), 'ip', host(s.ip),
      'user_agent', s.user_agent, 'created_at', s.created_at, 'refreshed_at', s.refreshed_at, 'expires_at', s.expires_at) as body
  from app.sessions s
  where s.revoked_at is null and s.expires_at > now();
comment on view app.session_list is 'The live sessions of the signed-in user.';
grant select on app.session_list to callboard_api;
--! EndIncluded accounts/sessions.sql
--! Included foundation/replicas.sql
-- Reading on a standby. Its data lags behind, so a session, membership or permission that has just ended
-- may still exist there. The standby therefore does not authenticate: a request enters on the primary
-- (app.enter, as always) and receives a pass that states its permissions, signed with a key that both
-- servers have. The standby opens a transaction only with such a pass.

create or replace function app.issue_pass() returns text
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  c app_private.context := app_private.context();
  pass text;
begin
  if c.organization_id is null then
    return null;
  end if;
  -- A standby can have only what has been flushed, which includes every transaction whose commit was awaited.
  pass := array[c.organization_id::text, c.user_id::text, c.session_id::text, c.role, c.permissions, c.request_id, host(c.ip),
    extract(epoch from clock_timestamp())::text, pg_current_wal_flush_lsn()::text]::text;
  -- A context's message starts with a process id, and none is as large as these four letters.
  return encode(app_private.keyed_hash(convert_to('pass' || pass, 'UTF8')), 'hex') || pass;
end
$$;
comment on function app.issue_pass() is
  'The context of this transaction in the form that app.enter_by_pass takes on a standby, with the primary''s WAL position. NULL without a genuine context.';
alter function app.issue_pass() owner to callboard_definer;
grant execute on function app.issue_pass() to callboard_api;

create or replace function app_private.read_pass(pass text) returns text[]
language plpgsql stable parallel restricted
set search_path = ''
as $$
declare
  found text[];
begin
  if pass is null or left(pass, 64) is distinct from encode(app_private.keyed_hash(convert_to('pass' || substr(pass, 65), 'UTF8')), 'hex') then
    raise exception using message = 'replica_unusable', detail = 'pass_unknown';
  end if;
  found := substr(pass, 65)::text[];
  -- Each request gets a new pass; this stops the reuse of an old one.
  if abs(extract(epoch from clock_timestamp()) - found[8]::numeric) > 60 then
    raise exception using message = 'replica_unusable', detail = 'pass_expired';
  end if;
  return found;
end
$$;
comment on function app_private.read_pass(text) is
  'The contents of a pass, if this database issued it within the last minute; else the error replica_unusable.';
alter function app_private.read_pass(text) owner to callboard_definer;

create or replace function app_private.replay_age(primary_at numeric, primary_lsn pg_lsn, timeout interval) returns double precision
language plpgsql volatile
set search_path = ''
as $$
declare
  deadline timestamptz := clock_timestamp() + timeout;
  age numeric;
begin
  -- A standby is usually only milliseconds behind, so a short wait gives the same answer as the primary.
  loop
    if pg_last_wal_replay_lsn() >= primary_lsn then
      return 0;
    end if;
    exit when clock_timestamp() >= deadline;
    perform pg_sleep(0.002);
  end loop;
  -- Both times are from the primary's clock. After a period without commits the result exceeds the true
  -- age; it is never below it.
  age := primary_at - extract(epoch from pg_last_xact_replay_timestamp());
  return case when age < 0.001 then 0.001 else age end;
end
$$;
comment on function app_private.replay_age(numeric, pg_lsn, interval) is
  'The maximum number of seconds that this standby is behind what the primary had at primary_at (in seconds since 1970): 0 if it has all of it, NULL if unknown. Waits up to the timeout for 0.';
alter function app_private.replay_age(numeric, pg_lsn, interval) owner to callboard_definer;

create or replace function app.enter_by_pass(pass text, max_age interval, timeout interval default '50 milliseconds')
returns double precision
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  p text[] := app_private.read_pass(pass);
  age double precision;
begin
  -- On the primary a pass would outlive the permissions it states.
  if not pg_is_in_recovery() then
    raise exception using message = 'replica_unusable', detail = 'not_a_standby';
  end if;
  age := app_private.replay_age(p[8]::numeric, p[9]::pg_lsn, least(timeout, max_age));
  if age is null or age > extract(epoch from max_age) then
    raise exception using message = 'replica_unusable', detail = 'too_old';
  end if;
  perform app_private.set_context(p[2]::uuid, p[3]::uuid, p[1]::uuid, p[4], coalesce(p[5], ''), p[6], p[7]::inet);
  perform set_config('app.data_age', age::text, true);
  return age;
end
$$;
comment on function app.enter_by_pass(text, interval, interval) is
  'Opens this transaction on a standby for the holder of a pass from the primary; returns the maximum age of its data in seconds. Error replica_unusable: pass_unknown, pass_expired, not_a_standby, too_old.';
alter function app.enter_by_pass(text, interval, interval) owner to callboard_definer;
grant execute on function app.enter_by_pass(text, interval, interval) to callboard_api;

create or replace function app.data_age() returns double precision
language sql stable parallel safe
return coalesce(nullif(current_setting('app.data_age', true), '')::double precision, 0);
comment on function app.data_age() is
  'How many seconds this transaction''s data may be behind the primary: 0 there, and on a standby that has caught up. Anything that claims its data is current must check this.';
grant execute on function app.data_age() to callboard_api, callboard_definer;
--! EndIncluded foundation/replicas.sql
--! Included foundation/jobs.sql
-- Jobs: work that the worker does after the response. graphile-worker keeps them in a schema of its own
-- (see queue.sql), which the rest of the database uses only through these functions. They are in plpgsql
-- because that schema may not exist yet when they are created.

create or replace function app_private.add_job(
  task text, payload jsonb, job_key text default null, max_attempts integer default null, queue text default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform graphile_worker.add_job(task, payload::json, queue, job_key => add_job.job_key, max_attempts => add_job.max_attempts);
end
$$;
comment on function app_private.add_job(text, jsonb, text, integer, text) is
  'Queues a task for the worker, to run once this transaction has committed. The payload must not contain secrets, because it is stored with the job. A waiting job with the same key is replaced; a failed job is retried with increasing delays, up to max_attempts times (default 25). The jobs of one queue run one at a time.';
alter function app_private.add_job(text, jsonb, text, integer, text) owner to callboard_definer;

create or replace function app.keep_jobs(workers text[], may_free boolean default true) returns integer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  released integer;
begin
  update graphile_worker._private_jobs j set locked_at = now() where j.locked_by = any (workers);
  update graphile_worker._private_job_queues q set locked_at = now() where q.locked_by = any (workers);
  if not may_free then
    return 0;
  end if;

  update graphile_worker._private_jobs j
  set locked_at = null, locked_by = null, last_error = coalesce(j.last_error, 'its worker stopped responding')
  where j.locked_at < now() - interval '20 seconds';
  get diagnostics released = row_count;
  update graphile_worker._private_job_queues q set locked_at = null, locked_by = null
  where q.locked_at < now() - interval '20 seconds';
  return released;
end
$$;
comment on function app.keep_jobs(text[], boolean) is
  'A worker''s heartbeat, sent every 5 seconds: it keeps its own jobs and releases those of workers that have been silent for 20. A worker that has itself been silent that long must not release any: the database may have been unavailable. Returns how many were released.';
alter function app.keep_jobs(text[], boolean) owner to callboard_definer;
grant execute on function app.keep_jobs(text[], boolean) to callboard_worker;

create or replace function app.job_health()
returns table (waiting bigint, failed bigint, oldest_waiting_seconds float8, sealer_lag_seconds float8)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return query
    select count(*) filter (where j.is_available), count(*) filter (where j.locked_at is null and not j.is_available),
      coalesce(extract(epoch from now() - min(j.run_at) filter (where j.is_available and j.run_at <= now())), 0)::float8,
      (select extract(epoch from now() - s.sealed_until)::float8 from app_private.sealing s where isfinite(s.sealed_until))
    from graphile_worker._private_jobs j;
end
$$;
comment on function app.job_health() is
  'How many jobs are waiting (including those delayed until a retry) and how many have failed for good, how long the oldest has been due, and how far behind the sealing of events is (null: none sealed yet).';
alter function app.job_health() owner to callboard_definer;
grant execute on function app.job_health() to callboard_worker;
--! EndIncluded foundation/jobs.sql
--! Included foundation/server_health.sql
-- What an operator wants to know before it hurts, for /metrics: what holds the database back, what fills its disk,
-- what has to be there in time. About the server, never about what an organization has.

create or replace function app.server_health()
returns table (
  oldest_transaction_seconds float8, event_partitions_ahead bigint, size_bytes float8, slots_kept_bytes float8,
  standbys bigint, replication_lag_bytes float8, replication_lag_seconds float8, bi_next_end_days float8
)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  -- Not every server lets db/roles.sql grant this. Without it there would seem to be no transactions and no standbys.
  sees constant boolean := pg_has_role(current_user, 'pg_read_all_stats', 'usage');
begin
  return query
    select
      (select coalesce(extract(epoch from max(clock_timestamp() - a.xact_start)), 0)::float8 from pg_catalog.pg_stat_activity a
        where a.datname = current_database() and a.backend_type = 'client backend' and a.pid <> pg_backend_pid() having sees),
      (select count(*) from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'app.event_log'::regclass and c.relname ~ '^event_log_\d{4}_\d\d$'
          and c.relname > 'event_log_' || to_char(now() at time zone 'UTC', 'YYYY_MM')),
      case when sees then pg_database_size(current_database())::float8 end,
      (select coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)), 0)::float8 from pg_catalog.pg_replication_slots s),
      case when sees then r.standbys end, r.bytes, r.seconds,
      -- Of those that can still log in: what has ended is no longer news.
      (select extract(epoch from min(c.expires_at) - now())::float8 / 86400
        from app_private.bi_states s join app.bi_credentials c on c.organization_id = s.organization_id and c.id = s.credential_id
        where s.is_live)
    from (
      select count(*) as standbys, max(pg_wal_lsn_diff(pg_current_wal_lsn(), w.replay_lsn))::float8 as bytes,
        -- Null for one that has replayed all there was to replay.
        extract(epoch from max(coalesce(w.replay_lag, interval '0')))::float8 as seconds
      from pg_catalog.pg_stat_replication w
      -- Not a base backup and not an archiver: these replay nothing.
      where w.replay_lsn is not null) r;
end
$$;
comment on function app.server_health() is
  'How long the oldest transaction of this database has been open, how many monthly partitions the event log has beyond this month, how large the database is and how much write-ahead log a replication slot keeps, how many standbys are connected and how far the slowest is behind (null: none), and in how many days the next BI login ends (null: there is none). Null is also what callboard_definer may not see: without pg_read_all_stats the oldest transaction, the size and the standbys.';
alter function app.server_health() owner to callboard_definer;
grant execute on function app.server_health() to callboard_worker;
--! EndIncluded foundation/server_health.sql
--! Included foundation/deletions.sql
-- Soft delete. A deletion has an id; it marks a row and, through foreign keys with
-- ON DELETE CASCADE, everything that belongs to it. Restoring clears exactly the marks with
-- that id. A foreign key that does not cascade protects its parent, as it would in PostgreSQL:
--
--   delete cost A of show 1      cost A has the mark x
--   delete show 1                the show, its deal and cost B have the mark y; cost A keeps x
--   restore cost A               409 parent_deleted: restore the show first
--   restore show 1               the marks y are cleared; cost A is still deleted
--   delete the venue of show 1   409 shows_venue_exists: that foreign key does not cascade
--
-- Both work on every table that has `deletion_id`, found in the catalogue: a new table takes
-- part by having the three columns and calling app_private.tenant_table.

create or replace view app_private.deletion_edges as
  select c.confrelid::regclass as parent, c.conrelid::regclass as child, c.conname as name, c.confdeltype = 'c' as cascades,
    (select string_agg(format('c.%I = p.%I', a.attname, b.attname), ' and ')
     from unnest(c.conkey, c.confkey) as k (child_column, parent_column)
     join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.child_column
     join pg_catalog.pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.parent_column) as condition
  from pg_catalog.pg_constraint c
  -- A row whose reference is set to null can exist without its parent: it neither follows a deletion nor prevents one.
  where c.contype = 'f' and c.confdeltype <> 'n'
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.conrelid and a.attname = 'deletion_id' and not a.attisdropped)
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.confrelid and a.attname = 'deletion_id' and not a.attisdropped);
comment on view app_private.deletion_edges is 'Foreign keys between tables with soft delete: those that a deletion follows, and those that prevent it.';
grant select on app_private.deletion_edges to callboard_definer;

create or replace view app_private.deletion_tables as
  select c.oid::regclass as marked, case when c.oid = 'app.organizations'::regclass then 'id' else 'organization_id' end as organization_column
  from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
  where a.attname = 'deletion_id' and not a.attisdropped and c.relkind in ('r', 'p') and not c.relispartition
  order by c.relname;
comment on view app_private.deletion_tables is 'The tables with soft delete, and the column of each that holds the organization.';
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
      -- Only tables with new marks are followed, so a cycle terminates.
      if marked > 0 then
        perform app_private.spread_deletion(edge.child, deletion);
      end if;
    end if;
  end loop;
end
$$;
comment on function app_private.spread_deletion(regclass, uuid) is 'Marks everything that belongs to the rows of a table that a deletion has marked.';
alter function app_private.spread_deletion(regclass, uuid) owner to callboard_definer;

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
      perform app.refuse(409, edge.name, 'Something else still references it.');
    end if;
  end loop;
  perform app_private.spread_deletion(target, deletion);
  return deletion;
end
$$;
comment on function app_private.soft_delete(regclass, text, uuid) is
  'Marks the row of a table for which the condition on $1 (the id) holds, and what belongs to it. Returns the deletion''s id. PT409 with the name of a foreign key that protects the row.';
alter function app_private.soft_delete(regclass, text, uuid) owner to callboard_definer;

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
  'The command behind every DELETE of a row in the current organization. PT404, PT403, PT412, PT409.';
alter function app_private.delete_row(regclass, uuid, text) owner to callboard_definer;

create or replace function app_private.restore_row(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  deletion uuid;
  edge record;
  parent_deleted boolean;
begin
  execute format('select deletion_id from %s where organization_id = app.org_if($2) and id = $1 and deleted_at is not null for no key update', target)
  into deletion using id, app_private.policy_permission(target, 'select');
  if deletion is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require(app_private.policy_permission(target, 'delete'));
  -- A row cannot be restored while its parent is deleted, and restoring the parent needs its own
  -- permission. Locking the parent makes a concurrent deletion of it wait and then see this row.
  for edge in select * from app_private.deletion_edges e where e.child = target loop
    execute format('select p.deleted_at is not null from %s c, %s p where %s and c.organization_id = app.current_org() and c.id = $1 for share of p',
      target, edge.parent, edge.condition) into parent_deleted using id;
    if parent_deleted then
      perform app.refuse(409, 'parent_deleted', 'What it belongs to is deleted: restore that first.');
    end if;
  end loop;
  perform app_private.restore_deletion(deletion);
end
$$;
comment on function app_private.restore_row(regclass, uuid) is
  'The command behind every restore: restores everything that was deleted with this row. PT404, PT403, PT409 parent_deleted.';
alter function app_private.restore_row(regclass, uuid) owner to callboard_definer;

-- What a row references must exist and not be deleted. Locking it makes a concurrent deletion wait and then see the row.
-- Four arguments per reference: column, referenced table, column there, and the name of the foreign key.
create or replace function app_private.tg__300_parents() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  present jsonb := to_jsonb(new);
  edge record;
  parent_exists boolean;
begin
  for edge in
    select present ->> tg_argv[4 * n] as id, tg_argv[4 * n + 1]::regclass as parent, tg_argv[4 * n + 2] as key, tg_argv[4 * n + 3] as name
    from generate_series(0, tg_nargs / 4 - 1) as n
    where tg_op = 'INSERT' or to_jsonb(old) -> tg_argv[4 * n] is distinct from present -> tg_argv[4 * n]
  loop
    if edge.id is not null then
      execute format('select true from %s p where p.organization_id = $1 and p.%I = $2 and p.deleted_at is null for share', edge.parent, edge.key)
      into parent_exists using new.organization_id, edge.id::uuid;
      if parent_exists is null then
        -- A DBA has no context, and the definer locks nothing without.
        execute format('select true from %s p where p.organization_id = $1 and p.%I = $2 and p.deleted_at is null', edge.parent, edge.key)
        into parent_exists using new.organization_id, edge.id::uuid;
      end if;
      if parent_exists is null then
        perform app.refuse(409, edge.name, 'It does not exist, or has been deleted.');
      end if;
    end if;
  end loop;
  return new;
end
$$;
comment on function app_private.tg__300_parents() is 'PT409 with the name of a foreign key whose row does not exist, is deleted or belongs to another organization.';
alter function app_private.tg__300_parents() owner to callboard_definer;
--! EndIncluded foundation/deletions.sql
--! Included foundation/rows.sql
-- The generic row commands, for every table that needs no more than this: each is one function that takes the table's
-- name. The table defines the rest: its policies who may run a command, its column grants what can be written, its
-- defaults what may be omitted, its triggers any special rules, and its view the response.
--
-- The view, <noun>_rows, has organization_id, version, deleted_at, deleted_by, the response (body) and the sort columns
-- of lists; then, from `id` on, the fields of the response.

create or replace function app.resource(
  table_name text, command text default 'select', out target regclass, out fields regclass, out path text, out permission text
)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  select to_regclass(format('app.%I', r.name)), to_regclass(format('app.%I', r.fields)), r.path into target, fields, path
  from app_private.resources r where r.name = table_name;
  if not found then
    perform app.refuse(404, 'not_found', 'There is no such resource.');
  end if;
  permission := app_private.policy_permission(target, command);
end
$$;
comment on function app.resource(text, text) is
  'A table that the generic row commands accept, the view with its fields, the path of its routes, and the permission for a command. PT404 for every other table.';
alter function app.resource(text, text) owner to callboard_definer;
grant execute on function app.resource(text, text) to callboard_api, callboard_definer;

create or replace function app.require_parent(table_name text, parent text, id uuid) returns uuid
language plpgsql stable
set search_path = ''
as $$
declare
  r record := app.resource(table_name);
  parent_exists boolean;
begin
  execute (
    select format('select true from %s p where p.organization_id = (select app.current_org()) and p.id = $1 and p.deleted_at is null', c.confrelid::regclass)
    from pg_catalog.pg_constraint c
    where c.conrelid = r.target and c.contype = 'f'
      and c.conkey[2] = (select a.attnum from pg_catalog.pg_attribute a where a.attrelid = r.target and a.attname = parent))
  into parent_exists using id;
  if parent_exists is null then
    perform app.refuse(404, 'not_found');
  end if;
  return id;
end
$$;
comment on function app.require_parent(text, text, uuid) is 'The id of a row''s parent, by the column that references it. PT404 if the member may not see it.';
grant execute on function app.require_parent(text, text, uuid) to callboard_api, callboard_definer;

create or replace function app.read_row(table_name text, id uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  r record := app.resource(table_name);
  answer app.answer;
begin
  execute format(
    'select 200, f.body::json, app.etag(f.version), %L || f.id
     from %s f where f.organization_id = (select app.current_org()) and f.id = $1 and f.deleted_at is null', r.path || '/', r.fields)
  into answer using id;
  if answer.status is null then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_row(text, uuid) is 'A row that is not deleted. PT404.';
grant execute on function app.read_row(text, uuid) to callboard_api, callboard_definer;

create or replace function app.create_row(table_name text, body jsonb, parent text default null, parent_id uuid default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  r record := app.resource(table_name, 'insert');
  complete jsonb := case when parent is null then body else body || jsonb_build_object(parent, app.require_parent(table_name, parent, parent_id)) end;
  columns text := (select string_agg(quote_ident(k), ', ') from jsonb_object_keys(complete) k);
  id uuid;
  answer app.answer;
begin
  perform app.require(r.permission);
  if columns is null then
    perform app.refuse(400, 'invalid_value', 'The body is empty.');
  end if;
  -- Columns missing from the body get their defaults; PostgreSQL refuses those that are not granted.
  execute format('insert into %1$s (%2$s) select %2$s from jsonb_populate_record(null::%1$s, $1) returning id', r.target, columns) into id using complete;
  answer := app.read_row(table_name, id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_row(text, jsonb, text, uuid) is
  'Creates a row, under a parent if its column and id are given; columns missing from the body get their defaults. PT403, PT404, PT409, PT422.';
grant execute on function app.create_row(text, jsonb, text, uuid) to callboard_api;

create or replace function app.check_row(table_name text, id uuid, command text, if_match text) returns regclass
language plpgsql stable
set search_path = ''
as $$
declare
  r record := app.resource(table_name, command);
  present integer;
begin
  execute format('select f.version from %s f where f.organization_id = (select app.current_org()) and f.id = $1 and f.deleted_at is null', r.fields)
  into present using id;
  perform app.check_version(present, if_match);
  perform app.require(r.permission);
  return r.target;
end
$$;
comment on function app.check_row(text, uuid, text, text) is
  'Checks whether a member may run a command on a row: PT404 if they cannot see it, PT412 if its version differs, PT403 without the permission. Returns its table.';
grant execute on function app.check_row(text, uuid, text, text) to callboard_api;

create or replace function app.write_row(table_name text, id uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  target regclass := app.check_row(table_name, id, 'update', if_match);
  present integer;
  changes text := (
    select string_agg(format(case when body ? c.name then '%1$I = b.%1$I' else '%1$I = default' end, c.name), ', ')
    from (
      select jsonb_object_keys(body) as name
      union
      select a.attname from pg_catalog.pg_attribute a
      where replaces and a.attrelid = target and a.attnum > 0 and not a.attisdropped and has_column_privilege(a.attrelid, a.attnum, 'update')) c);
begin
  if changes is null then
    perform app.refuse(400, 'invalid_value', 'The body is empty.');
  end if;
  -- Check again under a lock, now that the caller may take one.
  execute format('select t.version from %s t where t.organization_id = (select app.current_org()) and t.id = $1 and t.deleted_at is null for no key update', target)
  into present using id;
  perform app.check_version(present, if_match);
  execute format('update %1$s t set %2$s from jsonb_populate_record(null::%1$s, $1) b where t.organization_id = (select app.current_org()) and t.id = $2', target, changes)
  using body, id;
  return app.read_row(table_name, id);
end
$$;
comment on function app.write_row(text, uuid, jsonb, boolean, text) is
  'Changes a row: the columns in the body or, with replaces, every writable column (those absent get their defaults). PT403, PT404, PT409, PT412, PT422.';
grant execute on function app.write_row(text, uuid, jsonb, boolean, text) to callboard_api;

create or replace function app_private.guard_row(table_name text, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  guard regproc := (select r.guard::regproc from app_private.resources r where r.name = table_name);
begin
  if guard is not null then
    execute format('select %s($1, $2)', guard) using (app.resource(table_name)).target, id;
  end if;
end
$$;
comment on function app_private.guard_row(text, uuid) is 'Lets a table''s guard refuse what was done to a row: see app_private.resources.';
alter function app_private.guard_row(text, uuid) owner to callboard_definer;

create or replace function app.mark_row(table_name text, id uuid, if_match text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  answer app.answer := app_private.delete_row((app.resource(table_name)).target, id, if_match);
begin
  perform app_private.guard_row(table_name, id);
  return answer;
end
$$;
comment on function app.mark_row(text, uuid, text) is 'The definer''s part of app.delete_row: marks the row as deleted, with everything that belongs to it. PT403, PT404, PT409, PT412.';
alter function app.mark_row(text, uuid, text) owner to callboard_definer;
grant execute on function app.mark_row(text, uuid, text) to callboard_api;

create or replace function app.delete_row(table_name text, id uuid, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app.check_row(table_name, id, 'delete', if_match);
  return app.mark_row(table_name, id, if_match);
end
$$;
comment on function app.delete_row(text, uuid, text) is 'Soft-deletes a row with everything that belongs to it. PT403, PT404, PT409, PT412.';
grant execute on function app.delete_row(text, uuid, text) to callboard_api;

create or replace function app.restore_row(table_name text, id uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.restore_row((app.resource(table_name)).target, id);
  perform app_private.guard_row(table_name, id);
  return app.read_row(table_name, id);
end
$$;
comment on function app.restore_row(text, uuid) is 'Restores a deleted row and everything that was deleted with it. PT403, PT404, PT409.';
alter function app.restore_row(text, uuid) owner to callboard_definer;
grant execute on function app.restore_row(text, uuid) to callboard_api;

create or replace function app.cursor(list text, value text, id text) returns text
language sql stable parallel safe
return translate(encode(convert_to(json_build_array(list, value, id)::text, 'UTF8'), 'base64'), E'+/=\n', '-_');
comment on function app.cursor(text, text, text) is
  'Where the next page of a list starts: after the row with this value in the sort column and this id. In base64url, read by src/tenant/list.ts.';
grant execute on function app.cursor(text, text, text) to callboard_api, callboard_definer;
--! EndIncluded foundation/rows.sql
--! Included foundation/idempotency.sql
-- Responses to POST requests with an Idempotency-Key, kept for a day, so that a client
-- that lost the response can retry without repeating the action.

create table if not exists app.idempotency_keys (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  user_id uuid not null default app.current_user_id() references app.users (id) on delete cascade,
  key text not null constraint idempotency_keys_length check (length(key) between 1 and 200),
  request_hash bytea not null,
  answer app.answer,
  seen_with text[],
  created_at timestamptz not null default now(),
  primary key (organization_id, user_id, key)
);
create index if not exists idempotency_keys_created_at_idx on app.idempotency_keys (created_at);

select app_private.force_rls('app.idempotency_keys');

-- The API has no grant: it goes through the two functions, which see one user's keys in one organization.
drop policy if exists all_definer on app.idempotency_keys;
create policy all_definer on app.idempotency_keys for all to callboard_definer
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
-- The purge has no context and sees only rows that are too old to be returned.
drop policy if exists purge_definer on app.idempotency_keys;
create policy purge_definer on app.idempotency_keys for all to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '24 hours');
grant select, insert, update, delete on app.idempotency_keys to callboard_definer;
comment on table app.idempotency_keys is 'Responses to POST requests with an Idempotency-Key.';
comment on column app.idempotency_keys.seen_with is 'The permissions to read that its user held: without one of them, the response is not repeated.';

-- What an answer shows depends on what its user could read: the tables that requests answer with, and names.
create or replace function app_private.reading_permissions() returns text[]
language sql stable
set search_path = ''
return array(
  select p from string_to_table(coalesce((app_private.context()).permissions, ''), ' ') p
  where p like '%.read' or p in (
    select t.permission from app_private.resources r
    join app_private.table_permissions t on t.on_table = to_regclass(format('app.%I', r.name)) and t.command = 'select'));
comment on function app_private.reading_permissions() is 'The permissions of the member of this transaction on which depends what a response shows them.';
alter function app_private.reading_permissions() owner to callboard_definer;

create or replace function app.claim_key(the_key text, hash bytea) returns setof app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  known app.idempotency_keys;
begin
  -- The policy shows only this user's keys; an expired key is free, even before it is purged.
  delete from app.idempotency_keys k where k.key = the_key and k.created_at < now() - interval '24 hours';
  -- A running request with the same key holds a lock on the row: this waits for it to end.
  insert into app.idempotency_keys (key, request_hash) values (the_key, hash) on conflict do nothing;
  if found then
    return;
  end if;
  select * into known from app.idempotency_keys k where k.key = the_key;
  if known.request_hash is distinct from hash then
    perform app.refuse(409, 'idempotency_key_reused', 'This Idempotency-Key was used for another request.');
  end if;
  if not known.seen_with <@ app_private.reading_permissions() then
    perform app.refuse(403, 'permission_denied', 'It has been done. You have lost a permission to read since then, so the response is not repeated.');
  end if;
  return next known.answer;
end
$$;
comment on function app.claim_key(text, bytea) is
  'Claims an Idempotency-Key for this transaction, or returns the stored response. PT409 idempotency_key_reused when the request differs, PT403 when the user has lost a permission to read with which the response was made.';
alter function app.claim_key(text, bytea) owner to callboard_definer;
grant execute on function app.claim_key(text, bytea) to callboard_api;

create or replace function app.keep_answer(the_key text, status integer, body json, etag text, location text) returns void
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  update app.idempotency_keys k set answer = (status, body, etag, location)::app.answer, seen_with = app_private.reading_permissions() where k.key = the_key and k.answer is null;
end;
comment on function app.keep_answer(text, integer, json, text, text) is 'Stores the response to the request that claimed the key, in the same transaction.';
alter function app.keep_answer(text, integer, json, text, text) owner to callboard_definer;
grant execute on function app.keep_answer(text, integer, json, text, text) to callboard_api;
--! EndIncluded foundation/idempotency.sql
-- Accounts: mails, sign-in, and their events
--! Included accounts/mails.sql
-- The outbox. A mail and the job that sends it are written in the transaction that causes them, so
-- no mail is lost or sent for something that was rolled back. The secret of its link is made only when
-- the worker takes it, and only its hash is stored: neither the outbox nor a dump of it can open anything.

create table if not exists app_private.mails (
  id uuid primary key default app.uuid_v7(),
  kind text not null,
  to_address text not null,
  data jsonb not null,
  has_link boolean not null default false,
  created_at timestamptz not null default now(),
  sent_at timestamptz,
  failed_at timestamptz,
  last_error text
);
select app_private.definer_table('app_private.mails');
comment on table app_private.mails is 'Mails to send and mails sent, without the secrets of their links.';
comment on column app_private.mails.has_link is 'Whether it needs a secret for a link, which app.take_mail makes.';

-- An attempt that seems to have failed may have delivered its mail, and a program that shows only the first of several
-- mails with the same Message-ID then shows that one. So each attempt has a secret, and all of a mail's secrets work.
create table if not exists app_private.mailed_secrets (
  secret_hash bytea primary key,
  mail_id uuid not null references app_private.mails (id) on delete cascade
);
create index if not exists mailed_secrets_mail_id_idx on app_private.mailed_secrets (mail_id);
select app_private.definer_table('app_private.mailed_secrets', 'select, insert');
comment on table app_private.mailed_secrets is 'SHA-256 of the secrets in mailed links, one for each attempt to send a mail.';

create or replace function app_private.mail_with(secret text) returns uuid
language sql stable
set search_path = ''
begin atomic
  select s.mail_id from app_private.mailed_secrets s where s.secret_hash = app_private.digest(secret);
end;
comment on function app_private.mail_with(text) is 'The mail whose link has this secret; null if there is none.';
alter function app_private.mail_with(text) owner to callboard_definer;

create or replace function app_private.send_mail(mail uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app_private.add_job('send_mail', jsonb_build_object('mail', mail), job_key => 'send_mail:' || mail, max_attempts => 12);
end
$$;
comment on function app_private.send_mail(uuid) is 'Has the worker send a mail from the outbox: 12 attempts within about 16 hours.';
alter function app_private.send_mail(uuid) owner to callboard_definer;

create or replace function app_private.queue_mail(kind text, to_address text, data jsonb, with_link uuid default null) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  mail uuid := coalesce(with_link, app.uuid_v7());
begin
  insert into app_private.mails (id, kind, to_address, data, has_link) values (mail, kind, to_address, data, with_link is not null);
  perform app_private.send_mail(mail);
end
$$;
comment on function app_private.queue_mail(text, text, jsonb, uuid) is
  'Puts a mail into the outbox; it is sent after commit. One with a link gets the id by which app_private.mail_with finds it.';
alter function app_private.queue_mail(text, text, jsonb, uuid) owner to callboard_definer;

create or replace function app.take_mail(mail uuid) returns table (kind text, to_address text, data jsonb)
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  secret text := app_private.random_token();
begin
  -- Committed before the worker has the secret, so no mail carries one that is not known here.
  insert into app_private.mailed_secrets (secret_hash, mail_id)
  select app_private.digest(secret), m.id from app_private.mails m
  where m.id = mail and m.has_link and m.sent_at is null and m.failed_at is null;
  return query
    select m.kind, m.to_address, case when m.has_link then m.data || jsonb_build_object('token', secret) else m.data end
    from app_private.mails m
    where m.id = mail and m.sent_at is null and m.failed_at is null;
end
$$;
comment on function app.take_mail(uuid) is
  'A mail to send, with a new secret for its link; nothing if it has been sent, abandoned or deleted. The links of earlier attempts still work.';
alter function app.take_mail(uuid) owner to callboard_definer;
grant execute on function app.take_mail(uuid) to callboard_worker;

create or replace function app.settle_mail(mail uuid, error text default null, is_last boolean default false) returns void
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  update app_private.mails m
  set sent_at = case when error is null then now() end,
      failed_at = case when error is not null and is_last then now() end,
      last_error = left(error, 1000)
  where m.id = mail and m.sent_at is null;
end;
comment on function app.settle_mail(uuid, text, boolean) is 'Marks a mail as sent or, with an error, as failed; after the last attempt it is abandoned.';
alter function app.settle_mail(uuid, text, boolean) owner to callboard_definer;
grant execute on function app.settle_mail(uuid, text, boolean) to callboard_worker;
--! EndIncluded accounts/mails.sql
--! Included accounts/accounts.sql
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
select app_private.definer_table('app_private.credentials', 'select, insert, update');
comment on table app_private.credentials is 'For each password: how to derive its proof, and the SHA-256 of the proof.';

create table if not exists app_private.email_tokens (
  mail_id uuid primary key,
  user_id uuid not null references app.users (id) on delete cascade,
  purpose text not null constraint email_tokens_purpose_known check (purpose in ('verify_email', 'reset_password')),
  expires_at timestamptz not null,
  used_at timestamptz
);
create index if not exists email_tokens_user_id_idx on app_private.email_tokens (user_id);
select app_private.definer_table('app_private.email_tokens');
comment on table app_private.email_tokens is 'What the links in mails to users are for, and until when they work.';

create or replace function app_private.password_cost() returns text
language sql immutable parallel safe
set search_path = ''
return 'argon2id$m=19456,t=2,p=1$';
comment on function app_private.password_cost() is 'What a new password costs to derive: OWASP''s minimum for argon2id.';
alter function app_private.password_cost() owner to callboard_definer;

create or replace function app.password_recipe(address text default null) returns text
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- An unknown address gets a salt too, always the same one, so that it looks like a known one.
  return coalesce(
    (select c.recipe from app_private.credentials c join app.users u on u.id = c.user_id where lower(u.email) = lower(address)),
    -- All 128 bits come from the hash: the fixed bits of a UUID would give the fake away.
    app_private.password_cost() || encode(substring(app_private.keyed_hash(
      convert_to('salt:' || coalesce(lower(address), gen_random_uuid()::text), 'UTF8')) from 1 for 16), 'base64'));
end
$$;
comment on function app.password_recipe(text) is
  'How to derive the proof of a password: argon2id$m=<KiB>,t=<passes>,p=<lanes>$<salt, base64>. With null, a fresh recipe for a new password. The cost is that of app_private.password_cost.';
alter function app.password_recipe(text) owner to callboard_definer;
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
  -- A link requested earlier must not undo this.
  update app_private.email_tokens t set used_at = now()
  where t.user_id = of_user and t.purpose = 'reset_password' and t.used_at is null;
end
$$;
comment on function app_private.set_password(uuid, text, bytea) is 'Stores the parameters and the hash of a password; open reset links expire.';
alter function app_private.set_password(uuid, text, bytea) owner to callboard_definer;

create or replace function app_private.is_password(of_user uuid, proof bytea) returns boolean
language sql stable
set search_path = ''
begin atomic
  select exists (select from app_private.credentials c where c.user_id = of_user and c.verifier = sha256(proof));
end;
comment on function app_private.is_password(uuid, bytea) is 'Whether this proves the user''s password. Comparing hashes of a secret leaks nothing through timing.';
alter function app_private.is_password(uuid, bytea) owner to callboard_definer;

create or replace function app_private.mail_token(of_user uuid, for_purpose text, lifetime interval) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  mail uuid := app.uuid_v7();
begin
  -- Only the links of the newest mail work.
  update app_private.email_tokens t set used_at = now()
  where t.user_id = of_user and t.purpose = for_purpose and t.used_at is null;
  insert into app_private.email_tokens (mail_id, user_id, purpose, expires_at) values (mail, of_user, for_purpose, now() + lifetime);
  perform app_private.queue_mail(for_purpose, u.email, jsonb_build_object('display_name', u.display_name), mail)
  from app.users u where u.id = of_user;
end
$$;
comment on function app_private.mail_token(uuid, text, interval) is 'Mails a link that proves the address belongs to the user.';
alter function app_private.mail_token(uuid, text, interval) owner to callboard_definer;

create or replace function app_private.spend_token(token text, for_purpose text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  whose uuid;
begin
  update app_private.email_tokens t set used_at = now()
  where t.mail_id = app_private.mail_with(token) and t.purpose = for_purpose and t.used_at is null and t.expires_at > now()
  returning t.user_id into whose;
  if whose is null then
    perform app.refuse(400, 'invalid_token');
  end if;
  -- Holding the link proves access to the mailbox.
  update app.users u set email_verified_at = now() where u.id = whose and u.email_verified_at is null;
  return whose;
end
$$;
comment on function app_private.spend_token(text, text) is 'The user of a mailed link, which works only once. PT400 invalid_token.';
alter function app_private.spend_token(text, text) owner to callboard_definer;

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
  'Creates a user with a first organization, or as a member by invitation. email_taken, PT409 slug_reserved, PT400 invalid_token, PT403 invitation_for_another_address.';
alter function app.register(text, text, text, bytea, text, text) owner to callboard_definer;
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
  -- Refusals are returned, not raised, because raising would roll back their event.
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
  'Starts a session for a user who proves the password. Answers 401 invalid_credentials (also for an unknown address) and 403 membership_revoked.';
alter function app.sign_in(text, bytea, bytea, bytea, jsonb, uuid) owner to callboard_definer;
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
comment on function app.forget_password(text) is 'Mails a link for a new password if the address is known; the response does not reveal whether it is.';
alter function app.forget_password(text) owner to callboard_definer;
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
comment on function app.reset_password(text, text, bytea) is 'Sets a new password with the token of a mailed link and ends all sessions. PT400 invalid_token.';
alter function app.reset_password(text, text, bytea) owner to callboard_definer;
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
comment on function app.verify_email(text) is 'Marks an address as verified, with the token of a mailed link. PT400 invalid_token.';
alter function app.verify_email(text) owner to callboard_definer;
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
comment on function app.request_verification() is 'Mails the verification link again, unless the signed-in user''s address is already verified.';
alter function app.request_verification() owner to callboard_definer;
grant execute on function app.request_verification() to callboard_api;
--! EndIncluded accounts/accounts.sql
--! Included accounts/account_events.sql
-- Account events. An account belongs to no organization, so its events go to the log of the
-- organization that its user currently works in: the session's, or the one that the next
-- sign-in would enter.

-- Who people are, and where they sign in, is seen by those who may see members.
insert into app_private.event_nouns (on_table, noun, permission) values ('app.users', 'user', 'members.read'), ('app.sessions', 'session', 'members.read')
on conflict on constraint event_nouns_pkey do update set noun = excluded.noun, permission = excluded.permission
  where (event_nouns.noun, event_nouns.permission) is distinct from (excluded.noun, excluded.permission);

create or replace function app_private.account_holder(whose uuid) returns uuid
language plpgsql stable
set search_path = ''
as $$
begin
  return case when app.current_user_id() is not null or not app_private.is_trusted() then whose end;
end
$$;
comment on function app_private.account_holder(uuid) is
  'The user who acts on their account with a password, a token or a mailed link; NULL when a DBA or a job does.';
alter function app_private.account_holder(uuid) owner to callboard_definer;

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
    -- Either the user or a thief sent the spent token; nobody can tell which.
    perform app_private.log_event(organization,
      case new.revoked_because when 'signed_out' then 'auth.sign_out' when 'refresh_token_reused' then 'auth.refresh_token_reused'
        else 'auth.session_revoked' end, 'session', new.id,
      jsonb_build_object('new', jsonb_build_object('revoked_because', new.revoked_because)),
      case when new.revoked_because <> 'refresh_token_reused' then app_private.account_holder(new.user_id) end);
  elsif new.organization_id is distinct from old.organization_id and new.organization_id is not null then
    -- Without the previous organization, which this one has no right to know.
    perform app_private.log_event(organization, 'auth.switch_organization', 'session', new.id, null, app_private.account_holder(new.user_id));
  end if;
  return null;
end
$$;
comment on function app_private.tg_sessions__900_event() is
  'Logs the start and the end of a session, and a switch to another organization in the log of the new one.';
alter function app_private.tg_sessions__900_event() owner to callboard_definer;

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
    -- A user who registers has no organization yet: see app.register.
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
comment on function app_private.tg_users__900_event() is 'Logs accounts created for others, and changes to a profile.';
alter function app_private.tg_users__900_event() owner to callboard_definer;

create or replace trigger _900_event after insert or update on app.users
  for each row execute function app_private.tg_users__900_event();

create or replace function app_private.tg_credentials__900_event() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := app_private.usual_organization(new.user_id);
begin
  -- The first password is part of registration.
  if tg_op = 'UPDATE' or organization is not null then
    perform app_private.log_event(organization,
      case when app.current_user_id() is not null then 'auth.password_changed' else 'auth.password_reset' end,
      'user', new.user_id, null, app_private.account_holder(new.user_id));
  end if;
  return null;
end
$$;
comment on function app_private.tg_credentials__900_event() is
  'Logs that a password was changed by a signed-in user or set with a mailed link, but nothing about the password itself.';
alter function app_private.tg_credentials__900_event() owner to callboard_definer;

create or replace trigger _900_event after insert or update on app_private.credentials
  for each row execute function app_private.tg_credentials__900_event();

create or replace function app_private.log_failed_sign_in(address text, who uuid, problem text, organization uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  -- Both are computed for every address, so that timing does not reveal whether it is known.
  landing uuid := app_private.usual_organization(who, organization);
  -- Only a keyed hash of an unknown address, which could be a password typed into the wrong field.
  hash text := encode(app_private.keyed_hash(convert_to('address:' || lower(address), 'UTF8')), 'hex');
begin
  perform app_private.log_event(landing, 'auth.sign_in_failed', 'user', who,
    jsonb_build_object('new', jsonb_build_object('problem', problem)
      || case when who is null then jsonb_build_object('address_hash', hash) else '{}' end));
end
$$;
comment on function app_private.log_failed_sign_in(text, uuid, text, uuid) is
  'Logs a refused sign-in in the organization that it would have entered; with an unknown address, in none.';
alter function app_private.log_failed_sign_in(text, uuid, text, uuid) owner to callboard_definer;
--! EndIncluded accounts/account_events.sql
-- Organizations, their members and roles
--! Included organizations/organization_commands.sql
-- Commands on organizations; the table is in organizations.sql.

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
  -- Nobody can add the first member, so these two rows are written in the founder's own context.
  perform app_private.change_context(founder, coalesce(app.current_session_id(), app.uuid_v7()), organization);
  insert into app.organizations (id, name, currency, time_zone)
  values (organization, body ->> 'name', coalesce(body ->> 'currency', 'USD'), coalesce(body ->> 'time_zone', 'UTC'));
  perform app_private.join_organization(founder, organization, 'owner');
  return organization;
end
$$;
comment on function app_private.found_organization(uuid, jsonb) is 'Creates an organization with its owner and leaves the transaction in its context, without permissions.';
alter function app_private.found_organization(uuid, jsonb) owner to callboard_definer;

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
comment on function app.create_organization(jsonb) is 'Creates an organization owned by the signed-in user: name, currency, time_zone. PT409 slug_reserved.';
alter function app.create_organization(jsonb) owner to callboard_definer;
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
      -- The bin is only for members who may restore.
      then o.deleted_at is not null and m.deletion_id = o.deletion_id
        and 'organization.delete' = any (app.permissions_of(o.id, m.user_id))
      else o.deleted_at is null and m.deleted_at is null end;
end;
comment on function app.list_my_organizations(boolean) is 'The organizations that the signed-in user belongs to, or the deleted ones they may restore.';
alter function app.list_my_organizations(boolean) owner to callboard_definer;
grant execute on function app.list_my_organizations(boolean) to callboard_api;

create or replace function app_private.slug_organization(of_slug text) returns uuid
language sql stable security definer
set search_path = ''
begin atomic
  select o.id from app_private.slugs s join app.organizations o on o.id = s.organization_id where s.slug = of_slug;
end;
alter function app_private.slug_organization(text) owner to callboard_definer;
comment on function app_private.slug_organization(text) is 'The organization that a current or former slug leads to.';

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
comment on function app.read_organization(text) is 'The organization of the token, by its id or any slug it ever had. PT404 for any other.';
alter function app.read_organization(text) owner to callboard_definer;
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
comment on function app.delete_organization(uuid, text) is 'Soft-deletes the organization of the token with everything it has. PT403, PT404, PT412.';
alter function app.delete_organization(uuid, text) owner to callboard_definer;
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
  -- A deleted organization cannot be entered, so the rule is checked here: anybody who was a member
  -- when it was deleted, and could have deleted it, may restore it.
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
  perform app_private.change_context(me, app.current_session_id(), organization, bin.role, array_to_string(held, ' '));
  -- Check again under a lock: somebody else may have restored it.
  perform from app.organizations o where o.id = organization and o.deletion_id = bin.deletion_id for no key update;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  perform app_private.restore_deletion(bin.deletion_id);
  return app.read_organization(organization::text);
end
$$;
comment on function app.restore_organization(uuid) is 'Restores a deleted organization with exactly what was deleted with it. PT403, PT404.';
alter function app.restore_organization(uuid) owner to callboard_definer;
grant execute on function app.restore_organization(uuid) to callboard_api;
--! EndIncluded organizations/organization_commands.sql
--! Included organizations/invitations.sql
-- Invitations by mail. The secret of the link is made when the mail is sent (accounts/mails.sql), so presenting
-- it proves access to the mailbox. It works once, unless it has expired, been revoked or been sent again.

create table if not exists app.invitations (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  email text not null constraint invitations_email_format check (
    email = lower(email) and length(email) <= 254 and email ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+\.[^@[:space:][:cntrl:].]+$'),
  role text not null constraint invitations_role_exists references app.roles (name),
  mail_id uuid not null,
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
create index if not exists invitations_mail_id_idx on app.invitations (mail_id);
create unique index if not exists invitation_pending on app.invitations (organization_id, email)
  where accepted_at is null and deleted_at is null;

-- Without grants: the definer's functions write. Invitations are accepted before membership begins, so they read all organizations.
select app_private.tenant_policies('app.invitations', reads => 'members.manage', inserts => 'members.manage', updates => 'members.manage',
  deletes => 'members.manage', definer => 'insert, update', known => '{role}');
grant select (organization_id, id, email, role, invited_by, expires_at, accepted_at, accepted_by, created_at, updated_at, version, deleted_at, deleted_by, deletion_id)
  on app.invitations to callboard_api;
grant select, insert, update on app.invitations to callboard_definer;

comment on table app.invitations is 'Invitations to join an organization; deleted_at marks revoked ones.';
comment on column app.invitations.mail_id is 'The newest mail with its link: those of earlier mails no longer work.';

select app_private.log_changes('app.invitations', 'invitation',
  '{"delete": "revoke", "accepted_at": "accept", "expires_at": "resend"}', leave_out => '{mail_id}');

create or replace view app.invitation_list with (security_invoker = true) as
  select i.organization_id, i.id, i.email, i.version, i.created_at,
    json_build_object('id', i.id, 'email', i.email, 'role', i.role, 'invited_by', i.invited_by,
      'status', case when i.accepted_at is not null then 'accepted' when i.expires_at <= now() then 'expired' else 'pending' end,
      'expires_at', i.expires_at, 'accepted_at', i.accepted_at, 'created_at', i.created_at, 'updated_at', i.updated_at) as body
  from app.invitations i
  where i.deleted_at is null;
comment on view app.invitation_list is 'The organization''s invitations that have not been revoked.';
grant select on app.invitation_list to callboard_api, callboard_definer;

create or replace function app_private.send_invitation(invitation uuid) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  mail uuid := app.uuid_v7();
  i app.invitations;
begin
  update app.invitations x set mail_id = mail, expires_at = now() + interval '7 days'
  where x.organization_id = app.current_org() and x.id = invitation and x.accepted_at is null and x.deleted_at is null
  returning * into i;
  if i.id is null then
    perform app.refuse(404, 'not_found');
  end if;
  perform app_private.queue_mail('invitation', i.email,
    jsonb_build_object('organization', o.name, 'role', i.role, 'invited_by', u.display_name), mail)
  from app.organizations o, app.users u where o.id = i.organization_id and u.id = i.invited_by;
  return (200, l.body, app.etag(l.version), '/api/invitations/' || l.id)::app.answer
    from app.invitation_list l where l.organization_id = i.organization_id and l.id = i.id;
end
$$;
comment on function app_private.send_invitation(uuid) is 'Mails a link for an invitation, which ends the earlier ones, and gives it another seven days. PT404 unless it is open.';
alter function app_private.send_invitation(uuid) owner to callboard_definer;

create or replace function app_private.withdraw_invitations(of_organization uuid, address text, expiring_until timestamptz) returns void
language sql volatile
set search_path = ''
begin atomic
  update app.invitations i
  set deleted_at = statement_timestamp(), deleted_by = app.current_user_id(), deletion_id = app.uuid_v7()
  where i.organization_id = of_organization and i.email = lower(address) and i.expires_at <= expiring_until
    and i.accepted_at is null and i.deleted_at is null;
end;
comment on function app_private.withdraw_invitations(uuid, text, timestamptz) is 'Revokes an address''s pending invitations that expire by a given time.';
alter function app_private.withdraw_invitations(uuid, text, timestamptz) owner to callboard_definer;

create or replace function app.read_invitation(invitation uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require_reading('members.manage');
  select 200, l.body, app.etag(l.version), '/api/invitations/' || l.id into answer
  from app.invitation_list l where l.organization_id = app.current_org() and l.id = invitation;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_invitation(uuid) is 'An invitation that has not been revoked. PT403, PT404.';
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
  insert into app.invitations (organization_id, id, email, role, mail_id, invited_by, expires_at)
  values (organization, invitation, lower(address), new_role, app.uuid_v7(), app.current_user_id(), now() + interval '7 days');
  answer := app_private.send_invitation(invitation);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_invitation(text, text) is 'Invites an address. PT403 permission_denied, permission_not_held, PT409 already_member, invitation_pending.';
alter function app.create_invitation(text, text) owner to callboard_definer;
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
comment on function app.revoke_invitation(uuid, text) is 'Revokes a pending invitation. PT403, PT404, PT412.';
alter function app.revoke_invitation(uuid, text) owner to callboard_definer;
grant execute on function app.revoke_invitation(uuid, text) to callboard_api;

create or replace function app_private.accept_invitation(who uuid, token text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  i app.invitations;
begin
  select * into i from app.invitations x
  where x.mail_id = app_private.mail_with(token) and x.accepted_at is null and x.deleted_at is null and x.expires_at > now();
  if i.id is null then
    perform app.refuse(400, 'invalid_token');
  elsif i.email is distinct from (select u.email from app.users u where u.id = who) then
    perform app.refuse(403, 'invitation_for_another_address', 'This invitation was sent to an address other than your account''s.');
  end if;
  -- In the context of the inviting organization, without permissions.
  perform app_private.change_context(who, coalesce(app.current_session_id(), app.uuid_v7()), i.organization_id);
  -- It may have been used, revoked or sent again since it was read.
  update app.invitations x set accepted_at = now(), accepted_by = who
  where x.organization_id = i.organization_id and x.id = i.id and x.mail_id = i.mail_id
    and x.accepted_at is null and x.deleted_at is null;
  if not found then
    perform app.refuse(400, 'invalid_token');
  end if;
  perform app_private.join_organization(who, i.organization_id, i.role);
  update app.users u set email_verified_at = now() where u.id = who and u.email_verified_at is null;
  return i.organization_id;
end
$$;
comment on function app_private.accept_invitation(uuid, text) is 'Makes a user a member by invitation. PT400 invalid_token, PT403 invitation_for_another_address, PT409 already_member.';
alter function app_private.accept_invitation(uuid, text) owner to callboard_definer;

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
grant execute on function app.accept_invitation(text) to callboard_api;
--! EndIncluded organizations/invitations.sql
--! Included organizations/member_commands.sql
-- Commands on members; the table is in memberships.sql. You can only change permissions that you hold
-- yourself, before and after the change: see app_private.require_to_hold.

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
comment on view app.member_list is 'The current members of the organization, with their name, address and roles.';
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
grant execute on function app.read_member(uuid) to callboard_api, callboard_definer;

create or replace function app_private.lock_member(member uuid, if_match text) returns app.memberships
language plpgsql volatile
set search_path = ''
as $$
declare
  m app.memberships;
begin
  -- If the caller may not see the member, 404 takes precedence over any permission check.
  select * into m from app.memberships x
  where x.organization_id = app.org_if('members.read') and x.user_id = member and x.deleted_at is null;
  perform app.check_version(m.version, if_match);
  perform app_private.administer();
  -- Check again under the lock.
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
  'Locks and returns a member whom the caller may change. PT403 permission_denied, permission_not_held, PT404, PT412.';
alter function app_private.lock_member(uuid, text) owner to callboard_definer;

create or replace function app_private.set_role(member uuid, new_role text) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  update app.memberships m set role = new_role where m.organization_id = app.current_org() and m.user_id = member;
  if new_role = 'owner' then
    -- Nobody could give back a permission that is denied to an owner.
    delete from app.member_permissions p where p.organization_id = app.current_org() and p.user_id = member and p.effect = 'deny';
  end if;
end
$$;
comment on function app_private.set_role(uuid, text) is 'Gives a member a built-in role or, with null, none. PT409 last_owner.';
alter function app_private.set_role(uuid, text) owner to callboard_definer;

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
  -- Leaving needs no permission; removing somebody does.
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
  -- If they come back, they start with only what they are given then.
  delete from app.member_roles x where x.organization_id = organization and x.user_id = member;
  delete from app.member_permissions x where x.organization_id = organization and x.user_id = member;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.remove_member(uuid, text) is
  'Removes a member, or lets the caller leave. PT403 permission_denied, permission_not_held, PT404, PT409 last_owner, PT412.';
alter function app.remove_member(uuid, text) owner to callboard_definer;
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
    -- Anybody can sign up with any address. Until its owner has confirmed it by mail, the account's
    -- password may be a stranger's, and this would let the stranger in.
    if exists (select from app.users u join app_private.credentials c on c.user_id = u.id where u.id = who and u.email_verified_at is null) then
      perform app.refuse(409, 'address_unverified');
    end if;
  end if;
  perform app_private.join_organization(who, organization, new_role);
  -- A pending invitation would let them in again after being removed.
  perform app_private.withdraw_invitations(organization, address, 'infinity');
  perform app_private.queue_mail('added', lower(address), jsonb_build_object('organization', o.name, 'role', new_role))
  from app.organizations o where o.id = organization;
  return (201, r.body, r.etag, r.location)::app.answer from app.read_member(who) r;
end
$$;
comment on function app.add_member(text, text, text) is
  'Adds a member immediately; an address without an account gets one, and a mailed link to choose a password. PT403 permission_denied, permission_not_held, PT409 already_member, address_unverified.';
alter function app.add_member(text, text, text) owner to callboard_definer;
grant execute on function app.add_member(text, text, text) to callboard_api;

create or replace function app_private.join_organization(who uuid, organization uuid, new_role text) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- A returning member gets their old row back.
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
  -- Only an owner can transfer ownership, whatever permissions others hold.
  if not exists (select from app.memberships m where m.organization_id = organization and m.user_id = me and m.role = 'owner' and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Only an owner can transfer ownership.');
  elsif new_owner = me then
    perform app.refuse(409, 'already_owner', 'You are already the owner.');
  elsif not exists (select from app.memberships m where m.organization_id = organization and m.user_id = new_owner and m.deleted_at is null) then
    perform app.refuse(404, 'not_found');
  end if;
  perform app_private.set_role(new_owner, 'owner');
  perform app_private.set_role(me, 'admin');
  return app.read_member(new_owner);
end
$$;
comment on function app.transfer_ownership(uuid, uuid) is 'Makes another member owner and the caller admin. PT403, PT404, PT409 already_owner.';
alter function app.transfer_ownership(uuid, uuid) owner to callboard_definer;
grant execute on function app.transfer_ownership(uuid, uuid) to callboard_api;
--! EndIncluded organizations/member_commands.sql
--! Included organizations/role_commands.sql
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
--! EndIncluded organizations/role_commands.sql
--! Included organizations/member_permission_commands.sql
-- Commands on what individual members have besides their built-in role: custom roles, grants and denials.
-- The tables are in custom_roles.sql and member_permissions.sql.

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
      -- A member's version also counts changes to their roles.
      update app.memberships m set role = m.role where m.organization_id = app.current_org() and m.user_id = member;
    end if;
  end if;
  return app.read_member(member);
end
$$;
comment on function app.assign_role(uuid, text) is
  'Gives a member a role: a built-in one by name, replacing the current one, or a custom one by id, in addition to the others. PT403 permission_denied, permission_not_held, PT404, PT409 last_owner, PT422 role_unknown.';
alter function app.assign_role(uuid, text) owner to callboard_definer;
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
  'Removes a role from a member: a built-in one by name or a custom one by id. PT403 permission_denied, permission_not_held, PT404, PT409 last_owner, PT412.';
alter function app.unassign_role(uuid, text, text) owner to callboard_definer;
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
            'expires_at', s.expires_at, 'granted_by', s.granted_by) order by s.source, s.role_name collate app.people), '[]')
          from sources s where s.permission = p.name)
        ) order by p.name), 'next_cursor', null), app.etag(m.version), null)::app.answer
    from app.permissions p);
end
$$;
comment on function app.member_permissions_of(uuid) is
  'Every permission, whether a member holds it, and everything that grants or denies it. PT404.';
alter function app.member_permissions_of(uuid) owner to callboard_definer;
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
    perform app.refuse(409, 'owner_keeps_permissions', 'An owner cannot be denied a permission: give them another role first.');
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
  'Grants or denies a member a permission on top of their roles: effect (grant or deny), expires_at. PT403 permission_denied, permission_not_held, PT404, PT409 owner_keeps_permissions, PT412.';
alter function app.set_member_permission(uuid, text, jsonb, text) owner to callboard_definer;
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
    -- Removing a denial restores the permission. Checked before the removal, because the denial may be the caller's own.
    perform app_private.require_to_hold(array[the_permission]);
  end if;
  delete from app.member_permissions p
  where p.organization_id = m.organization_id and p.user_id = member and p.permission = the_permission;
  update app.memberships x set role = x.role where x.organization_id = m.organization_id and x.user_id = member;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.clear_member_permission(uuid, text, text) is
  'Removes a member''s grant or denial, so that only their roles decide. PT403 permission_denied, permission_not_held, PT404, PT412.';
alter function app.clear_member_permission(uuid, text, text) owner to callboard_definer;
grant execute on function app.clear_member_permission(uuid, text, text) to callboard_api;
--! EndIncluded organizations/member_permission_commands.sql
--! Included organizations/explain.sql
-- Explains why a user can or cannot see or change a row: every step of a request, in order and in
-- words. It consults what really decides: the session, the membership, app.permissions_of, the policy.

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
comment on function app_private.explain_permission(uuid, uuid, text) is 'Where a member''s permission comes from, or which roles hold it instead, in words.';
alter function app_private.explain_permission(uuid, uuid, text) owner to callboard_definer;

create or replace function app_private.explain_lock(target regclass, of_row jsonb)
returns table (step text, passes boolean, detail text)
language plpgsql stable
set search_path = ''
as $$
begin
  if target = 'app.finance_records'::regclass then
    return query
      select 'period', p.month is null, case when p.month is null then 'The books of its month are open.'
        else format('The books of %s are closed.', to_char(p.month, 'YYYY-MM')) end
      from (select) as once
      left join app.finance_periods p on p.organization_id = (of_row ->> 'organization_id')::uuid
        and p.month = date_trunc('month', (of_row ->> 'booked_on')::date)::date;
  elsif exists (select from pg_catalog.pg_trigger t where t.tgrelid = target and t.tgname = '_200_unsettled') then
    return query
      select 'settlement', s.status <> 'settled',
        case s.status when 'settled' then 'The show is settled: the inputs of its settlement cannot change.' else 'Its show is not settled.' end
      from app.shows s where s.organization_id = (of_row ->> 'organization_id')::uuid and s.id = (of_row ->> 'show_id')::uuid;
  end if;
end
$$;
comment on function app_private.explain_lock(regclass, jsonb) is 'Whether something else locks a row: a closed month or a final settlement.';
alter function app_private.explain_lock(regclass, jsonb) owner to callboard_definer;

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
    return query select 'row', false, format('It was deleted at %s by %s: it is in the bin.', found ->> 'deleted_at',
      coalesce((select u.email from app.users u where u.id::text = found ->> 'deleted_by'), 'somebody'));
    return;
  end if;
  return query select 'row', true, 'It exists.';
  if command in ('update', 'delete') then
    return query select * from app_private.explain_lock(target, found);
  end if;
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
comment on function app_private.explain_row(regclass, uuid, text, jsonb) is 'Whether the row itself permits a command on it; the row must exist.';
alter function app_private.explain_row(regclass, uuid, text, jsonb) owner to callboard_definer;

create or replace function app_private.row_key(target regclass) returns text
language sql stable
set search_path = ''
begin atomic
  -- The only primary key column besides the organization.
  select case when count(*) = 1 then min(a.attname)::text end
  from pg_catalog.pg_constraint c, unnest(c.conkey) as k (attnum)
  join pg_catalog.pg_attribute a on a.attnum = k.attnum
  where c.conrelid = target and c.contype = 'p' and a.attrelid = target and a.attname <> 'organization_id';
end;
comment on function app_private.row_key(regclass) is 'The column that identifies a row of a table within its organization; NULL if that takes more than one.';
alter function app_private.row_key(regclass) owner to callboard_definer;

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
    perform app.refuse(422, 'explain_command_unknown', 'The command must be select, insert, update or delete.');
  elsif app_private.policy_permission(target, 'select') is null then
    perform app.refuse(422, 'explain_table_unknown', 'There is no table of this name with rows of an organization.');
  elsif row_id is not null and app_private.row_key(target) is null then
    perform app.refuse(422, 'explain_row_unnamed', 'A row of this table has no id of its own: leave it out.');
  elsif row_id is null and organization is null then
    perform app.refuse(422, 'explain_row_needed', 'Specify a row or the organization.');
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
        else 'All their sessions have ended; reason for the last one: ' || (array_agg(coalesce(s.revoked_because, 'expired') order by coalesce(s.revoked_at, s.expires_at) desc))[1] || '.'
      end
    from app.sessions s where s.user_id = who;
  select o.name, o.deleted_at is not null as is_deleted, x.user_id is not null as was_member, x.role,
    x.user_id is not null and (x.deleted_at is null or x.deletion_id = o.deletion_id) as is_member, x.deleted_at as left_at
  into m
  from app.organizations o left join app.memberships x on x.organization_id = o.id and x.user_id = who where o.id = explain_access.organization;
  return query select 'organization', m.name is not null and not m.is_deleted,
    case when m.name is null then 'There is no such organization, or the row belongs to none.'
      when m.is_deleted then m.name || ' has been deleted.' else 'It is ' || m.name || '.' end;
  return query select 'membership', coalesce(m.is_member, false),
    case when m.is_member then 'They belong to it' || coalesce(' as ' || m.role, ', without a built-in role') || '.'
      when m.was_member then 'They have not been a member since ' || m.left_at || '.'
      else 'They do not belong to it.' end;
  if permission is null then
    return query select 'permission', false, format('No member may %s rows of %s, whatever their permissions.', command, target);
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
  'Why a user may or may not select, insert, update or delete a row: every step, whether it passes, and why. The organization defaults to the row''s; changes are what an update would set. For DBAs: it reads all organizations. PT422 explain_command_unknown, explain_table_unknown, explain_row_unnamed, explain_row_needed.';
alter function app.explain_access(uuid, regclass, uuid, text, uuid, jsonb) owner to callboard_definer;

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
    perform app.require_reading('members.manage');
    if not exists (select from app.memberships m where m.organization_id = organization and m.user_id = who) then
      perform app.refuse(404, 'not_found');
    end if;
  end if;
  if to_see is null then
    perform app.refuse(422, 'explain_table_unknown');
  end if;
  if row_id is not null and app_private.row_key(target) is not null then
    -- To them, a row of another organization does not exist, nor does one of their own that they may not read.
    execute format('select exists (select from %s t where %I = $1 and %I = $2)', target,
      case when target = 'app.organizations'::regclass then 'id' else 'organization_id' end, app_private.row_key(target))
    into is_known using organization, row_id;
    is_known := is_known and app.org_if_reading(to_see) is not null;
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
  'The same for members, within their organization: table, command, id, changes, user_id. About the caller or, with members.manage, about others. Another organization''s row does not exist. PT403, PT404, PT422.';
alter function app.explain_access(jsonb) owner to callboard_definer;
grant execute on function app.explain_access(jsonb) to callboard_api;
--! EndIncluded organizations/explain.sql
-- Retention: legal holds, purges, and how long events are kept
--! Included retention/legal_holds.sql
-- Legal holds: while an organization has an active one, nothing of it is purged: no deleted rows, no old
-- events, no event details, and not the organization itself. Deletion still works, because it only
-- marks rows. Holds are never deleted, so the table is their history.

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

-- Without grants: app.place_legal_hold and app.release_legal_hold write and check the permission.
select app_private.tenant_policies('app.legal_holds', reads => 'audit.read', inserts => 'retention.manage', updates => 'retention.manage',
  definer => 'insert, update');
grant select on app.legal_holds to callboard_api, callboard_definer;
grant insert (reason), update (released_at, released_by) on app.legal_holds to callboard_definer;
comment on table app.legal_holds is 'Reasons why nothing of an organization may be purged, and when each was released.';
comment on column app.legal_holds.placed_by is 'The member who placed it; null for a DBA, whose holds only a DBA can release.';

select app_private.log_changes('app.legal_holds', 'legal_hold', '{"create": "place", "released_at": "release"}');

create or replace function app_private.is_held(organization uuid) returns boolean
language plpgsql stable
set search_path = ''
as $$
begin
  return exists (select from app.legal_holds h where h.organization_id = organization and h.released_at is null);
end
$$;
comment on function app_private.is_held(uuid) is 'Whether an organization has an active legal hold.';
alter function app_private.is_held(uuid) owner to callboard_definer;

create or replace view app.legal_hold_list with (security_invoker = true) as
  select h.organization_id, h.id, h.placed_at,
    json_build_object('id', h.id, 'reason', h.reason, 'placed_by', h.placed_by, 'placed_at', h.placed_at,
      'released_by', h.released_by, 'released_at', h.released_at) as body
  from app.legal_holds h;
comment on view app.legal_hold_list is 'The organization''s legal holds, including released ones, with their JSON.';
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
grant execute on function app.read_legal_hold(uuid) to callboard_api;

create or replace function app_private.hold_organization(organization uuid, why text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  hold uuid;
begin
  -- A running purge holds a lock on this row: it finishes before the hold starts, and the next one sees the hold.
  perform from app.organizations o where o.id = organization for no key update;
  insert into app.legal_holds (reason) values (why) returning id into hold;
  return hold;
end
$$;
comment on function app_private.hold_organization(uuid, text) is 'Places a hold on the organization of this transaction.';
alter function app_private.hold_organization(uuid, text) owner to callboard_definer;

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
  'Prevents anything of the organization from being purged, with a reason. PT403 without retention.manage, legal_holds_reason_given.';
alter function app.place_legal_hold(text) owner to callboard_definer;
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
  'Releases a hold placed by a member. PT403 without retention.manage, PT404, PT409 legal_hold_released, legal_hold_not_yours.';
alter function app.release_legal_hold(uuid) owner to callboard_definer;
grant execute on function app.release_legal_hold(uuid) to callboard_api;

-- The same for DBAs, including for deleted organizations. It writes in the organization's context, like
-- everything else, and resets the context afterwards.
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
  'Prevents anything of an organization (by slug) from being purged until a DBA releases the hold, with a reason that its members can read. Returns the hold''s id. PT404, legal_holds_reason_given.';
alter function app_private.place_legal_hold(text, text) owner to callboard_definer;

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
comment on function app_private.release_legal_hold(uuid) is 'Releases a hold, regardless of who placed it. PT404.';
alter function app_private.release_legal_hold(uuid) owner to callboard_definer;
--! EndIncluded retention/legal_holds.sql
--! Included retention/purge.sql
-- Retention of technical data. The worker calls this every hour (src/jobs/schedule.ts). What
-- organizations have deleted is purged by deletion_purge.sql.

create or replace function app.purge_expired() returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  gone jsonb := '{}';
  n bigint;
  organizations uuid[];
begin
  -- Refresh tokens that can no longer renew anything.
  delete from app_private.refresh_tokens t where t.used_at < now() - app_private.session_lifetime();
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('refresh_tokens', n);

  -- Ended sessions with their remaining refresh tokens.
  delete from app.sessions s where coalesce(s.revoked_at, s.expires_at) < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('sessions', n);

  -- Links, used or not.
  delete from app_private.email_tokens t where t.expires_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('email_tokens', n);

  -- Stored responses: the policy purge_definer shows only expired ones.
  delete from app.idempotency_keys k where k.created_at < now() - interval '24 hours';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('idempotency_keys', n);

  -- Mails whose job ended or was lost without settling them: nothing will send them.
  update app_private.mails m
  set failed_at = now(), last_error = coalesce(m.last_error, 'its job has ended')
  where m.sent_at is null and m.failed_at is null and not exists (
    select from graphile_worker._private_jobs j
    where j.key = 'send_mail:' || m.id and (j.is_available or j.locked_at is not null));
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('mails_given_up', n);

  delete from app_private.mails m where coalesce(m.sent_at, m.failed_at) < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('mails', n);

  -- Uploads with their errors.
  delete from app.imports i where i.created_at < now() - interval '30 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('imports', n);

  -- Client events: the policy purge_definer shows only old ones. By organization, to use the index.
  with old as (
    delete from app.client_events e
    where e.organization_id = any (array(select o.id from app.organizations o where not app_private.is_held(o.id)))
      and e.received_at < now() - interval '90 days'
    returning e.organization_id
  )
  select coalesce(sum(o.events), 0), array_agg(o.organization_id order by o.organization_id) into n, organizations
  from (select old.organization_id, count(*) as events from old group by 1) o;
  -- No event tells that their figures have changed.
  perform analytics_private.mark_changed(o.id, '{client_event}', (select l.looked_until from analytics_private.looking l))
  from unnest(organizations) o (id);
  gone := gone || jsonb_build_object('client_events', n);

  -- Usage counts are kept long enough to compare a year with the previous one.
  delete from app.api_use u
  where u.organization_id = any (array(select o.id from app.organizations o)) and u.day < (now() at time zone 'UTC')::date - 800;
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('api_use', n);
  delete from app.integration_use u
  where u.organization_id = any (array(select o.id from app.organizations o)) and u.day < (now() at time zone 'UTC')::date - 800;
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('integration_use', n);
  delete from app_private.use_batches b where b.added_at < now() - interval '7 days';

  -- Their files were removed long before.
  delete from app.exports e where e.created_at < now() - interval '30 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('exports', n);

  -- Failed jobs.
  delete from graphile_worker._private_jobs j
  where not j.is_available and j.locked_at is null and j.run_at < now() - interval '90 days';
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('jobs', n);

  return gone;
end
$$;
comment on function app.purge_expired() is
  'Deletes ended sessions, old links, client events, sent mails and failed jobs after 90 days, usage counts after 800, spent refresh tokens after 30, idempotency keys after one. Returns how many of each.';
alter function app.purge_expired() owner to callboard_definer;
grant execute on function app.purge_expired() to callboard_worker;
--! EndIncluded retention/purge.sql
--! Included retention/deletion_retention.sql
-- How long deleted rows can be restored before they are purged (deletion_purge.sql).

create table if not exists app.deletion_retentions (
  organization_id uuid primary key default app.current_org() references app.organizations (id) on delete cascade,
  deleted_days integer not null constraint deletion_retentions_days_range check (deleted_days between 1 and 3650)
);
-- Without grants: app.set_retention writes and checks the permission.
select app_private.tenant_policies('app.deletion_retentions', reads => 'audit.read', inserts => 'retention.manage', updates => 'retention.manage',
  definer => 'insert, update');
grant select on app.deletion_retentions to callboard_api, callboard_definer;
grant insert (deleted_days), update (deleted_days) on app.deletion_retentions to callboard_definer;
comment on table app.deletion_retentions is 'The number of days an organization''s deleted rows are kept, if not 30.';

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
comment on function app_private.retention_of(uuid) is 'An organization''s retention as the API returns it.';
alter function app_private.retention_of(uuid) owner to callboard_definer;

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
  'The number of days the organization''s deleted rows are kept, and whether a legal hold keeps them longer. PT403 without audit.read.';
alter function app.read_retention() owner to callboard_definer;
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
  'Sets the number of days the organization''s deleted rows are kept, including those in the bin now. PT403 without retention.manage, deletion_retentions_days_range.';
alter function app.set_retention(integer) owner to callboard_definer;
grant execute on function app.set_retention(integer) to callboard_api;
--! EndIncluded retention/deletion_retention.sql
--! Included retention/deletion_purge.sql
-- Purging: a deletion older than its organization's retention is removed permanently, all of its rows or
-- none. A deleted organization is purged with everything it has, except its event log with its seals and
-- retention, and its slugs, which must never lead to another organization.
--
-- The purge works in the context of one organization at a time, and its policies (purge_definer: see foundation/tables.sql) keep it there.

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
  'Deletions past their retention, by organization and age, after [organization, time, deletion], each with the tables that have rows of it. Skips organizations under a legal hold.';
alter function app_private.due_deletions(jsonb, integer) owner to callboard_definer;

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
  -- Nobody can place a hold until this transaction ends: an attempt waits for the purge.
  perform from app.organizations o where o.id = organization for share;
  if app_private.is_held(organization) then
    return 0;
  end if;
  if 'app.organizations'::regclass = any (marked) then
    perform from app.organizations o where o.id = organization and o.deletion_id = deletion for update nowait;
    -- Everything else follows through the foreign keys.
    delete from app.organizations o where o.id = organization and o.deletion_id = deletion;
    get diagnostics gone = row_count;
    return gone;
  end if;
  -- A concurrent restore may have locked one of the rows. Waiting while holding the others could deadlock.
  foreach part in array marked loop
    execute format('select from %s t where t.organization_id = $1 and t.deletion_id = $2 for update nowait', part)
    using organization, deletion;
  end loop;
  -- Rows that would be deleted by cascade. PostgreSQL itself protects against other references.
  for edge in select * from app_private.deletion_edges e where e.parent = any (marked) and e.cascades loop
    execute format('select exists (select from %s c, %s p where %s and p.organization_id = $1 and p.deletion_id = $2 and c.deletion_id is distinct from $2)',
      edge.child, edge.parent, edge.condition) into is_needed using organization, deletion;
    if is_needed then
      raise foreign_key_violation using message = 'Something that belongs to it was not deleted with it.', constraint = edge.name;
    end if;
  end loop;
  -- A single statement: foreign keys are checked at its end, so the order of the tables does not matter.
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
  'Permanently deletes the rows of a deletion in these tables, in the organization''s context; returns how many, or one for a whole organization. Fails with foreign_key_violation if something else references them, and with lock_not_available if they are locked.';
alter function app_private.purge_deletion(uuid, uuid, regclass[]) owner to callboard_definer;

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
    -- The event sealer waits for this transaction to end.
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
  'Permanently deletes what was deleted longer ago than its organization''s retention, in batches of about two seconds: to continue, call it again with next, until that is null. Returns how many deletions, rows and organizations are gone, and how many deletions were busy, were kept because something references them, or failed, and why.';
alter function app.purge_deleted(jsonb, integer) owner to callboard_definer;
grant execute on function app.purge_deleted(jsonb, integer) to callboard_worker;
--! EndIncluded retention/deletion_purge.sql
--! Included audit/event_retention.sql
-- How long events are kept, and how personal details are erased before that.

create table if not exists app.event_retentions (
  -- No foreign key: like the log, it outlives the organization.
  organization_id uuid primary key default app.current_org(),
  days integer not null constraint event_retentions_days_range check (days between 90 and 3650)
);
-- Without grants: app.set_event_retention writes and checks the permission.
select app_private.tenant_policies('app.event_retentions', reads => 'audit.read', inserts => 'audit.manage', updates => 'audit.manage',
  definer => 'insert, update');
grant select on app.event_retentions to callboard_api, callboard_definer;
grant insert (days), update (days) on app.event_retentions to callboard_definer;
comment on table app.event_retentions is 'The number of days an organization''s events are kept, if not 365.';

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
comment on function app.read_event_retention() is 'The number of days the organization''s events are kept. PT403 without audit.read.';
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
comment on function app.set_event_retention(integer) is 'Sets the number of days the organization''s events are kept. PT403 without audit.manage.';
alter function app.set_event_retention(integer) owner to callboard_definer;
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
    -- Unsealed events stay: deleting them would leave no trace.
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
  'Deletes sealed events past their organization''s retention, unless a legal hold keeps them, and logs the cutoff (audit.purge); returns how many. Runs once a day, before app.maintain_event_partitions.';
alter function app.purge_events() owner to callboard_definer;
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
      perform app.refuse(409, 'legal_hold', format('Organization %s has a legal hold: none of its event details may be erased.', found_in.organization_id));
    end if;
    -- app.verify_events finds this event by its time and its subject.
    perform app_private.log_event(found_in.organization_id, 'audit.erase', 'details', about,
      jsonb_build_object('new', jsonb_build_object('events', found_in.events)));
    erased := erased + found_in.events;
  end loop;
  return erased;
end
$$;
comment on function app_private.erase_events(uuid) is
  'Erases the changes, request id and address of all events that a user caused, or that are about the user or object with this id; the rest stays verifiable. Logs audit.erase in each organization; returns how many. PT409 legal_hold if one of the organizations has one: then nothing is erased.';
alter function app_private.erase_events(uuid) owner to callboard_definer;
--! EndIncluded audit/event_retention.sql
--! Included audit/event_reading.sql
-- How members read their organization's events; reading is itself an event.

-- Each permission is asked for once. A context that only reads counts permissions to write for what their holders see.
create or replace view app_private.hidden_nouns as
  select n.noun from app_private.event_nouns n
  where n.permission in (
    select d.permission from (select distinct x.permission from app_private.event_nouns x offset 0) d
    where app.org_if_reading(d.permission) is null);
comment on view app_private.hidden_nouns is
  'The resource_types of events whose changes the member may not see, because they may not read the tables that these are about.';
grant select on app_private.hidden_nouns to callboard_reader;

-- Members have no grant on changes: a reader of the event log need not be one of everything that is logged. This view
-- reads them with the grant of callboard_reader, under the same policy as the members' own. The owner of the tables would
-- not do: it is a member of the definer, whose policies show all organizations. It is no security barrier, which would
-- sort all events for a page; nothing precedes the policy, and the changes are nowhere but in the CASE. OFFSET has
-- what is hidden asked once for a page, not once for each column.
create or replace view app.readable_events as
  select e.organization_id, e.id, e.occurred_at, e.actor_kind, e.actor_id, e.action, e.resource_type, e.resource_id,
    case when not h.is_hidden then e.changes end as changes, h.is_hidden and e.changes is not null as changes_hidden,
    e.request_id, e.ip, e.session_id, e.erased_at
  from app.event_log e
  cross join lateral (select e.resource_type = any (array(select n.noun from app_private.hidden_nouns n)) as is_hidden offset 0) h;
comment on view app.readable_events is
  'The organization''s events, each with its changes if the member may read what it is about. Reads as callboard_reader, for which event_log has the policy of members.';
alter view app.readable_events owner to callboard_reader;
grant select on app.readable_events to callboard_api, callboard_exporter;

create or replace view app.event_rows with (security_invoker = true) as
  select e.organization_id, row_to_json(j)::text as body, j.*
  from app.readable_events e
  left join app.users u on u.id = e.actor_id
  cross join lateral (
    select e.id, e.occurred_at, e.actor_kind, e.actor_id, u.display_name as actor_name, e.action, e.resource_type, e.resource_id, e.changes, e.changes_hidden,
      e.request_id, host(e.ip) as ip, e.session_id, e.erased_at) j;
comment on view app.event_rows is 'The organization''s events; the actor''s name only while they are a colleague.';
grant select on app.event_rows to callboard_api, callboard_exporter;

create or replace function app.read_event(event uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := app.require('audit.read');
  answer app.answer;
begin
  select null, l.body::json, null, null into answer from app.event_rows l
  where l.organization_id = organization and l.id = event
    -- The id contains the rounded time, so search a small range around it.
    and l.occurred_at between app.event_time(event) - interval '2 milliseconds' and app.event_time(event) + interval '2 milliseconds';
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_event(uuid) is 'An event. PT403 without audit.read, PT404.';
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
    perform app.refuse(400, 'invalid_value', 'Not an action on the event log.');
  end if;
  perform app_private.log_event(organization, what, 'event', of_event,
    case when given is not null then jsonb_build_object('new', given) end);
end
$$;
comment on function app.log_reading(text, uuid, jsonb) is
  'Logs that somebody reads the event log (audit.read, with the filters) or verifies it (audit.verify). PT403 without audit.read.';
alter function app.log_reading(text, uuid, jsonb) owner to callboard_definer;
grant execute on function app.log_reading(text, uuid, jsonb) to callboard_api;
--! EndIncluded audit/event_reading.sql
-- Support: superadmins
--! Included support/support.sql
-- Superadmins: operators who access organizations that they do not belong to. This is neither a flag nor a
-- permission but a separate database login, callboard_support, which can do what the API's login can and
-- also call these functions. A DBA grants access: to whom, why, where and until when. Each use is an event
-- in the organization's own log, committed before anything is read.

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
select app_private.definer_table('app_private.support_grants', 'select, insert, update');
comment on table app_private.support_grants is 'Superadmin access to one organization or all: who, why, until when, and whether with write access. Granted by a DBA.';

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
  'Grants a user (by address) superadmin access to an organization (by slug; null for all), with a reason, until a given time. Returns the grant''s id. PT404, support_grants_reason_given, support_grants_expires_later.';
alter function app_private.grant_support(text, text, timestamptz, text, boolean) owner to callboard_definer;

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
comment on function app_private.revoke_support(uuid) is 'Revokes a grant: the next request that uses it is refused. PT404.';
alter function app_private.revoke_support(uuid) owner to callboard_definer;

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
    -- The same error whether or not the organization exists.
    perform app.refuse(403, 'support_grant_needed');
  end if;
  return g;
end
$$;
comment on function app_private.live_support_grant(uuid, uuid) is
  'The active grant of a user for an organization or, with null, for all. PT403 support_grant_needed.';
alter function app_private.live_support_grant(uuid, uuid) owner to callboard_definer;

create or replace function app.use_support(session_secret text, organization uuid, what text, request_id text, ip inet) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  g app_private.support_grants := app_private.live_support_grant(s.user_id, organization);
begin
  perform app_private.set_context(s.user_id, s.id, null, null, '', request_id, ip);
  perform app_private.log_event(organization, 'auth.superadmin.used', 'support_grant', g.id,
    jsonb_build_object('new', jsonb_build_object('request', left(what, 200), 'reason', g.reason, 'may_write', g.may_write)));
end
$$;
comment on function app.use_support(text, uuid, text, text, inet) is
  'Logs in an organization (with null, in none) that a superadmin is about to do something. Called in a transaction of its own that commits first. PT401 session_unknown, session_revoked, session_expired, PT403 support_grant_needed.';
alter function app.use_support(text, uuid, text, text, inet) owner to callboard_definer;
grant execute on function app.use_support(text, uuid, text, text, inet) to callboard_support;

create or replace function app.enter_support(session_secret text, organization uuid, request_id text, ip inet) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  s app.sessions := app_private.live_session(session_secret);
  g app_private.support_grants := app_private.live_support_grant(s.user_id, organization);
  everything text[] := array(select p.name from app.permissions p order by p.name);
begin
  if app_private.may_write_by_old_snapshot() then
    perform app_private.refuse_old_snapshot();
  end if;
  perform app_private.set_context(s.user_id, s.id, organization, 'superadmin',
    case when g.may_write then array_to_string(everything, ' ') else app_private.for_reading(everything) end, request_id, ip);
end
$$;
comment on function app.enter_support(text, uuid, text, inet) is
  'Opens this transaction for a superadmin: in an organization, with every permission or, if the grant does not allow writing, with what their holders see. PT401 session_unknown, session_revoked, session_expired, PT403 support_grant_needed.';
alter function app.enter_support(text, uuid, text, inet) owner to callboard_definer;
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
comment on function app.support_token(text, uuid) is 'The claims of a superadmin''s access token. PT401, PT403 support_grant_needed.';
alter function app.support_token(text, uuid) owner to callboard_definer;
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
  -- Without a grant the caller does not learn whether the organization exists.
  perform app_private.live_support_grant(s.user_id, coalesce(organization, app_private.nobody()));
  return organization;
end
$$;
comment on function app.support_organization(text, text) is 'The organization with a slug, for a superadmin with a grant for it. PT401, PT403 support_grant_needed.';
alter function app.support_organization(text, text) owner to callboard_definer;
grant execute on function app.support_organization(text, text) to callboard_support;

create or replace function app.list_all_organizations(matching text, after text, how_many integer) returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  last json := convert_from(decode(rpad(translate(after, '-_', '+/'), (length(after) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::json;
begin
  -- Only app.enter_support sets this role; without an organization it needs a grant for all.
  if app.current_user_id() is null or app.current_org() is not null or (app_private.context()).role is distinct from 'superadmin' then
    perform app.refuse(403, 'support_grant_needed');
  elsif last ->> 1 is null and after is not null then
    perform app.refuse(400, 'invalid_cursor', 'Use next_cursor from the previous page.');
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
  perform app.refuse(400, 'invalid_cursor', 'Use next_cursor from the previous page.');
end
$$;
comment on function app.list_all_organizations(text, text, integer) is
  'For a superadmin with a grant for all organizations: a page of them by name, including deleted ones. PT400 invalid_cursor, PT403 support_grant_needed.';
alter function app.list_all_organizations(text, text, integer) owner to callboard_definer;
grant execute on function app.list_all_organizations(text, text, integer) to callboard_support;
--! EndIncluded support/support.sql
-- Shows and venues
--! Included shows/venues.sql
-- Where shows take place. A venue gives its shows their time zone.

create table if not exists app.venues (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text collate app.people not null constraint venues_name_length check (app.is_line(name, 200)),
  city text collate app.people not null constraint venues_city_length check (app.is_line(city, 200)),
  country char(2) not null constraint venues_country_format check (country ~ '^[A-Z]{2}$'),
  time_zone text not null constraint venues_time_zone_exists check (app.is_time_zone(time_zone)),
  capacity integer constraint venues_capacity_positive check (capacity > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  show_json text not null generated always as (
    ',"venue_name":' || app.json_string(name) || ',"venue_city":' || app.json_string(city) || ',"time_zone":' || app.json_string(time_zone)) stored,
  primary key (organization_id, id)
);
create index if not exists venues_organization_id_name_idx on app.venues (organization_id, name, id) where deleted_at is null;
-- Imports find venues by name and city: see app_private.check_show_lines.
create index if not exists venues_organization_id_lower_name_idx on app.venues (organization_id, lower(name), lower(city)) where deleted_at is null;
alter index app.venues_organization_id_lower_name_idx alter column 2 set statistics 0, alter column 3 set statistics 0;

create or replace view app.venue_rows with (security_invoker = true) as
  select v.organization_id, v.version, v.deleted_at, v.deleted_by, app.body(v.as_json) as body,
    v.id, v.name, v.city, v.country, v.time_zone, v.capacity,
    v.created_at, v.updated_at
  from app.venues v;

select app_private.tenant_table('venues', noun => 'venue', permission => 'shows', path => '/api/venues', is_exported => true);
grant insert (name, city, country, time_zone, capacity), update (name, city, country, time_zone, capacity) on app.venues to callboard_api;

comment on table app.venues is 'Where shows take place, with the time zone of their local times.';
comment on column app.venues.show_json is 'The fields of a show that come from its venue, as app.show_rows adds them.';
comment on column app.venues.country is 'ISO 3166-1 alpha-2 code.';
--! EndIncluded shows/venues.sql
--! Included shows/shows.sql
-- Shows: a performance of one bill on one day at one venue. The fee is in show_fees.sql.

create table if not exists app.show_status_transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
select app_private.reference_table('app.show_status_transitions');
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
  title text collate app.people not null constraint shows_title_length check (length(title) between 1 and 200 and title !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(title) <> ''),
  artist text collate app.people not null constraint shows_artist_length check (length(artist) between 1 and 200 and artist !~ '[\u0001-\u001f\u007f-\u009f]' and btrim(artist) <> ''),
  venue_id uuid,
  show_on date not null constraint shows_show_on_range check (show_on between date '1900-01-01' and date '2199-12-31'),
  doors_time time(0),
  start_time time(0),
  curfew_time time(0),
  status text not null default 'inquiry' constraint shows_status_known check (
    status in ('inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed')),
  capacity integer constraint shows_capacity_positive check (capacity > 0),
  tickets_sold integer not null default 0 constraint shows_tickets_sold_positive check (tickets_sold >= 0),
  notes text constraint shows_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  source text collate app.people constraint shows_source_length check (length(source) between 1 and 100 and source !~ '[\u0001-\u001f\u007f-\u009f]'),
  external_ref text constraint shows_external_ref_length check (length(external_ref) between 1 and 200 and external_ref !~ '[\u0001-\u001f\u007f-\u009f]'),
  as_json text not null,
  primary key (organization_id, id),
  constraint shows_external_ref_with_source check ((external_ref is null) = (source is null)),
  constraint shows_venue_exists foreign key (organization_id, venue_id) references app.venues (organization_id, id),
  constraint shows_doors_before_start check (doors_time <= start_time),
  constraint shows_tickets_within_capacity check (tickets_sold <= capacity)
);
create index if not exists shows_organization_id_show_on_idx on app.shows (organization_id, show_on, id) where deleted_at is null;
create index if not exists shows_organization_id_created_at_idx on app.shows (organization_id, created_at, id) where deleted_at is null;
create index if not exists shows_organization_id_title_idx on app.shows (organization_id, title, id) where deleted_at is null;
-- Includes shows in the bin, which app.search_shows and the foreign key need as well.
create index if not exists shows_organization_id_venue_id_idx on app.shows (organization_id, venue_id, show_on);
create index if not exists shows_search_idx on app.shows using gin (organization_id, (title || ' ' || artist) app_private.gin_trgm_ops);
alter index app.shows_search_idx alter column 2 set statistics 0;
create unique index if not exists show_external_ref_taken on app.shows (organization_id, source, external_ref)
  where deleted_at is null and external_ref is not null;

-- The definer's functions search, because a text match under a filtering policy cannot use an index (it is not leakproof),
-- and import on behalf of the member who started the import.
select app_private.tenant_table('shows', noun => 'show', permission => 'shows', path => '/api/shows', definer => 'insert, update', is_exported => true, is_counted => true,
  checks_parents => false);
grant insert (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref),
  update (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref)
  on app.shows to callboard_api;
grant insert (organization_id, id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes,
    source, external_ref, created_by),
  update (status, deleted_at, deleted_by, deletion_id) on app.shows to callboard_definer;

comment on table app.shows is 'Performances, from first inquiry to settlement.';
comment on column app.shows.start_time is 'Local time at the venue; a curfew at or before the start is on the next day.';
comment on column app.shows.external_ref is 'The show''s id in the system it comes from (source); unique there.';

create or replace function app_private.tg_shows__200_status() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- The only way out of settled is app.reopen_settlement, which requires another permission and a reason.
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

create or replace trigger _200_status before update on app.shows
  for each row when (new.status is distinct from old.status) execute function app_private.tg_shows__200_status();

-- A show may not be booked into a deleted venue; locking the venue's row makes a concurrent deletion wait and then
-- see the show. New shows are checked once for all rows of a statement. The error is that of the foreign key, so
-- that nothing reveals whether a venue is deleted, another organization's, or does not exist.
create or replace function app_private.refuse_venue() returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  raise exception using errcode = 'foreign_key_violation', constraint = 'shows_venue_exists', message = 'there is no such venue';
end
$$;
comment on function app_private.refuse_venue() is 'The error shows_venue_exists, as the foreign key raises it.';
alter function app_private.refuse_venue() owner to callboard_definer;

create or replace function app_private.tg_shows__300_entered() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  -- Two questions, because the second one alone takes 40 µs to prepare, for a show that has no venue, too.
  if exists (select from added n where n.venue_id is not null) then
    if exists (
      select from (select distinct n.organization_id, n.venue_id from added n where n.venue_id is not null) n
      -- FOR SHARE also keeps this from becoming a join, so each venue is looked up by its key.
      where not exists (select from app.venues v where v.organization_id = n.organization_id and v.id = n.venue_id and v.deleted_at is null for share))
    then
      -- A DBA has no context, and the definer locks nothing without.
      if exists (
        select from (select distinct n.organization_id, n.venue_id from added n where n.venue_id is not null) n
        where not exists (select from app.venues v where v.organization_id = n.organization_id and v.id = n.venue_id and v.deleted_at is null offset 0))
      then
        perform app_private.refuse_venue();
      end if;
    end if;
  end if;
  return null;
end
$$;
comment on function app_private.tg_shows__300_entered() is 'shows_venue_exists for new shows at a deleted venue.';
alter function app_private.tg_shows__300_entered() owner to callboard_definer;

create or replace function app_private.tg_shows__300_venue() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform from app.venues v
  where v.organization_id = new.organization_id and v.id = new.venue_id and v.deleted_at is null for share;
  if not found then
    perform app_private.refuse_venue();
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__300_venue() is 'shows_venue_exists for a change to a venue that does not exist, is deleted or belongs to another organization.';
alter function app_private.tg_shows__300_venue() owner to callboard_definer;

create or replace trigger _300_entered after insert on app.shows
  referencing new table as added for each statement execute function app_private.tg_shows__300_entered();
create or replace trigger _300_venue_change before update on app.shows
  for each row when (new.venue_id is not null and new.venue_id is distinct from old.venue_id)
  execute function app_private.tg_shows__300_venue();
--! EndIncluded shows/shows.sql
--! Included shows/show_fees.sql
-- Fees: what the artist of a show is paid. Apart from app.shows, because more members may see shows than money: here
-- the row-level security of fees is that of finance, and whoever may not read it has no row to join.

create table if not exists app.show_fees (
  organization_id uuid not null default app.current_org(),
  show_id uuid not null,
  -- In the smallest unit of the currency; JSON numbers are exact up to 2^53 - 1.
  fee_minor bigint constraint shows_fee_range check (fee_minor between 0 and 9007199254740991),
  currency char(3) constraint shows_currency_format check (currency ~ '^[A-Z]{3}$'),
  show_json text not null generated always as (
    ',"fee_minor":' || coalesce(fee_minor::text, 'null') || ',"currency":' || coalesce('"' || currency || '"', 'null')) stored,
  -- With the JSON, so that a list of shows reads only this index.
  primary key (organization_id, show_id) include (show_json),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint shows_fee_with_currency check ((fee_minor is null) = (currency is null))
);

-- A fee has neither marks of deletion nor a version: a deleted show keeps it, a purged one takes it along, and the
-- version is the show's. The definer, as which shows are restored and imported, sees no more than the member.
select app_private.force_rls('app.show_fees');
select app_private.member_policy('app.show_fees', 'select', 'finance.read', 'callboard_api, callboard_definer, callboard_exporter');
select app_private.member_policy('app.show_fees', 'insert', 'finance.write', 'callboard_api, callboard_definer');
-- Nobody overwrites what they do not see.
select app_private.member_policy('app.show_fees', 'update', 'finance.write', besides => 'organization_id = (select app.org_if(''finance.read''))');
select app_private.hide_statistics('app.show_fees');
grant select on app.show_fees to callboard_api, callboard_definer, callboard_exporter;
grant insert (show_id, fee_minor, currency), update (fee_minor, currency) on app.show_fees to callboard_api;
grant insert (organization_id, show_id, fee_minor, currency) on app.show_fees to callboard_definer;
select app_private.log_changes('app.show_fees', 'show_fee', id_column => 'show_id');

comment on table app.show_fees is 'The artist''s fee of each show that has, or had, one.';
comment on column app.show_fees.show_json is 'The fields of a show that are its fee, as app.show_rows adds them.';
comment on column app.show_fees.fee_minor is 'The artist''s fee, in the smallest unit of the currency; NULL once it has been removed.';

create or replace function app.write_show_fee(show uuid, body jsonb, replaces boolean) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  f app.show_fees;
  has_fee boolean := coalesce(body ->> 'fee_minor', body ->> 'currency') is not null;
begin
  -- Reading, too: nobody changes what they do not see.
  if not (app.has_permission('finance.read') and app.has_permission('finance.write')) then
    -- They were shown none, and so sent none.
    if replaces and not has_fee then
      return;
    end if;
    perform app.require('finance.write');
    perform app.require('finance.read');
  end if;
  select * into f from app.show_fees x where x.organization_id = (select app.current_org()) and x.show_id = show;
  if f.show_id is null and not has_fee then
    return;
  end if;
  f := jsonb_populate_record(case when replaces then null::app.show_fees else f end, body);
  insert into app.show_fees as x (show_id, fee_minor, currency) values (show, f.fee_minor, f.currency)
  on conflict (organization_id, show_id) do update set fee_minor = excluded.fee_minor, currency = excluded.currency
    where (x.fee_minor, x.currency) is distinct from (excluded.fee_minor, excluded.currency);
end
$$;
comment on function app.write_show_fee(uuid, jsonb, boolean) is
  'The part of app.write_show that is about the fee. PT403 without finance.read and finance.write, unless the show is replaced without naming a fee: then it stays.';
grant execute on function app.write_show_fee(uuid, jsonb, boolean) to callboard_api;
--! EndIncluded shows/show_fees.sql
--! Included shows/show_commands.sql
-- The representation of a show, and its commands, which are called too often to be planned on each call: delete and
-- restore are in foundation/rows.sql. The table is in shows.sql.

create or replace view app.show_rows with (security_invoker = true) as
  select s.organization_id, s.version, s.deleted_at, s.deleted_by,
    -- What other rows add comes as text that these rows keep: app.check_rows compares it with j. Fee and venue are looked up by
    -- their keys, since the planner would rather read all of the organization for a page: OFFSET keeps it from that, and it
    -- remembers the venues that it has looked up.
    app.body(s.as_json,
      coalesce((select x.show_json from app.show_fees x where x.organization_id = s.organization_id and x.show_id = s.id), ',"fee_minor":null,"currency":null')
      || case when (select app.org_if('finance.read')) is null then ',"fee_hidden":true' else ',"fee_hidden":false' end
      || coalesce(v.show_json, ',"venue_name":null,"venue_city":null,"time_zone":null')
      || ',"starts_at":' || coalesce(to_json((s.show_on + s.start_time) at time zone v.time_zone)::text, 'null')) as body,
    s.id, s.title, s.artist, s.show_on, s.status, s.venue_id, to_char(s.doors_time, 'HH24:MI') as doors_time, to_char(s.start_time, 'HH24:MI') as start_time, to_char(s.curfew_time, 'HH24:MI') as curfew_time, s.capacity, s.tickets_sold, s.notes, s.source, s.external_ref,
    s.created_by, s.created_at, s.updated_at, j.*
  from app.shows s
  left join app.show_fees f on f.organization_id = s.organization_id and f.show_id = s.id
  left join lateral (select x.show_json, x.name, x.city, x.time_zone from app.venues x
    where x.organization_id = s.organization_id and x.id = s.venue_id offset 0) v on true
  cross join lateral (
    -- What hides a fee is the policy of its table; fee_hidden only says so.
    select f.fee_minor, f.currency, (select app.org_if('finance.read')) is null as fee_hidden,
      v.name as venue_name, v.city as venue_city, v.time_zone, (s.show_on + s.start_time) at time zone v.time_zone as starts_at) j;
select app_private.publish_rows('app.shows');

-- Declared to return few rows, so that a list looks these up instead of scanning all shows for them.
create or replace function app.search_shows(q text) returns setof uuid
language plpgsql stable rows 20 security definer
set search_path = ''
set client_min_messages = 'error'
-- The planner can estimate how many rows match only if it knows the text.
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  -- The organization is compared as a value, not through a policy, under which the index cannot be used.
  organization uuid := app.org_if('shows.read');
  pattern text := '%' || regexp_replace(q, '([\\%_])', '\\\1', 'g') || '%';
begin
  return query
    select s.id from app.shows s where s.organization_id = organization and (s.title || ' ' || s.artist) ilike pattern
    union
    -- Venues first, as an array: with a join PostgreSQL would read all shows.
    select s.id from app.shows s
    where s.organization_id = organization and s.venue_id = any (array(
      select v.id from app.venues v where v.organization_id = organization and (v.name || ' ' || v.city) ilike pattern));
end
$$;
comment on function app.search_shows(text) is 'Ids of the organization''s shows whose title and artist, or venue and city, contain the text in any case.';
alter function app.search_shows(text) owner to callboard_definer;
grant execute on function app.search_shows(text) to callboard_api;

create or replace function app.read_show(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, r.body::json, app.etag(r.version), '/api/shows/' || r.id into answer
  from app.show_rows r where r.organization_id = (select app.current_org()) and r.id = show and r.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_show(uuid) is 'A show. PT404.';
grant execute on function app.read_show(uuid) to callboard_api, callboard_definer;

create or replace function app.create_show(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.shows := jsonb_populate_record(null::app.shows, body);
  organization uuid;
  answer app.answer;
begin
  insert into app.shows (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref)
  values (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
    n.capacity, coalesce(n.tickets_sold, 0), n.notes, n.source, n.external_ref)
  returning id into n.id;
  if coalesce(body ->> 'fee_minor', body ->> 'currency') is not null then
    organization := app.require('finance.write');
    insert into app.show_fees (show_id, fee_minor, currency) values (n.id, (body ->> 'fee_minor')::bigint, body ->> 'currency');
  end if;
  answer := app.read_show(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_show(jsonb) is 'Creates a show. PT403 without shows.write or, with a fee, finance.write; PT409 shows_venue_exists.';
grant execute on function app.create_show(jsonb) to callboard_api;

create or replace function app.write_show(show uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.shows;
begin
  select * into n from app.shows s where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null;
  perform app.check_version(n.version, if_match);
  perform app.require('shows.write');
  -- Check again under a lock, now that the caller may take one.
  select * into n from app.shows s
  where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null for no key update;
  perform app.check_version(n.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.shows else n end, body);
  update app.shows s
  set (title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold, notes, source, external_ref)
    = row (n.title, n.artist, n.venue_id, n.show_on, n.doors_time, n.start_time, n.curfew_time, coalesce(n.status, 'inquiry'),
      n.capacity, coalesce(n.tickets_sold, 0), n.notes, n.source, n.external_ref)
  where s.organization_id = (select app.current_org()) and s.id = show;
  -- After the show, whose version and lock are the fee's, too.
  if replaces or body ?| '{fee_minor,currency}' then
    perform app.write_show_fee(show, body, replaces);
  end if;
  return app.read_show(show);
end
$$;
comment on function app.write_show(uuid, jsonb, boolean, text) is
  'Changes a show: the columns in the body or, with replaces, all of them (absent ones get their defaults). PT403, PT404, PT409, PT412.';
grant execute on function app.write_show(uuid, jsonb, boolean, text) to callboard_api;
--! EndIncluded shows/show_commands.sql
--! Included shows/guest_allotments.sql
-- How many places on a guest list a party may give away: the band, the promoter, a label. A guest can count against one.

create table if not exists app.guest_allotments (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text collate app.people not null constraint guest_allotments_name_length check (app.is_line(name, 200)),
  tickets integer not null constraint guest_allotments_tickets_range check (tickets between 0 and 10000),
  note text constraint guest_allotments_note_length check (length(note) <= 1000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  -- For app.guests: a guest counts only against an allotment of the same show.
  constraint guest_allotments_of_show unique (organization_id, id, show_id),
  constraint guest_allotments_show_exists foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
create unique index if not exists guest_allotment_name_taken on app.guest_allotments (organization_id, show_id, lower(name)) where deleted_at is null;
alter index app.guest_allotment_name_taken alter column 3 set statistics 0;

create or replace view app.guest_allotment_rows with (security_invoker = true) as
  select a.organization_id, a.version, a.deleted_at, a.deleted_by, app.body(a.as_json) as body,
    a.id, a.show_id, a.name, a.tickets, a.note, a.created_by, a.created_at, a.updated_at
  from app.guest_allotments a;

select app_private.tenant_table('guest_allotments', noun => 'guest_allotment', permission => 'shows', path => '/api/guest-allotments', is_exported => true);
grant insert (show_id, name, tickets, note), update (name, tickets, note) on app.guest_allotments to callboard_api;

comment on table app.guest_allotments is 'How many places on a guest list a party, such as the band, may give away.';
comment on column app.guest_allotments.tickets is 'How many places confirmed guests may take in total.';

create or replace function app_private.require_places(organization uuid, allotment uuid, guest uuid, more integer, allowed integer) returns void
-- Volatile, so that it sees what was committed while its caller waited for the lock.
language plpgsql volatile
set search_path = ''
as $$
declare
  taken bigint := more + (
    select coalesce(sum(g.tickets), 0) from app.guests g
    where g.organization_id = organization and g.allotment_id = allotment and g.status = 'confirmed' and g.deleted_at is null
      and g.id is distinct from guest);
begin
  if taken > allowed then
    perform app.refuse(409, 'guest_allotment_exceeded', format('The allotment has %s places, and this would take %s.', allowed, taken));
  end if;
end
$$;
comment on function app_private.require_places(uuid, uuid, uuid, integer, integer) is
  'PT409 guest_allotment_exceeded if the confirmed guests of an allotment, without the given guest and with the given number of further places, take more than allowed. The caller must have locked the allotment.';
alter function app_private.require_places(uuid, uuid, uuid, integer, integer) owner to callboard_definer;

create or replace function app_private.tg_guest_allotments__500_places() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.require_places(new.organization_id, new.id, null, 0, new.tickets);
  return null;
end
$$;
comment on function app_private.tg_guest_allotments__500_places() is 'After an allotment is reduced, which locks its row: see app_private.require_places.';
alter function app_private.tg_guest_allotments__500_places() owner to callboard_definer;
create or replace trigger _500_places after update of tickets on app.guest_allotments
  for each row when (new.tickets < old.tickets) execute function app_private.tg_guest_allotments__500_places();
--! EndIncluded shows/guest_allotments.sql
--! Included shows/guests.sql
-- The guest list of a show: who gets in without a ticket, with how many companions, and who invited them.

create or replace function app.last_name_first(name text) returns text
language sql immutable parallel safe
return regexp_replace(btrim(name), '^(.*\S)\s+(\S+)$', '\2, \1');
comment on function app.last_name_first(text) is
  'A name with its last word first, as a door list sorts it: Marta Veld is found under V.';
grant execute on function app.last_name_first(text) to callboard_api, callboard_definer;

create table if not exists app.guests (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  allotment_id uuid,
  name text collate app.people not null constraint guests_name_length check (app.is_line(name, 200)),
  tickets integer not null default 1 constraint guests_tickets_range check (tickets between 1 and 100),
  invited_by text collate app.people constraint guests_invited_by_length check (app.is_line(invited_by, 200)),
  note text constraint guests_note_length check (length(note) <= 1000),
  status text not null default 'confirmed' constraint guests_status_known check (status in ('requested', 'confirmed', 'declined')),
  sort_name text collate app.people constraint guests_sort_name_length check (app.is_line(sort_name, 200)),
  door_name text collate app.people generated always as (coalesce(sort_name, app.last_name_first(name))) stored,
  checked_in integer not null default 0 constraint guests_checked_in_within_tickets check (checked_in between 0 and tickets),
  checked_in_at timestamptz,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint guests_allotment_exists foreign key (organization_id, allotment_id, show_id)
    references app.guest_allotments (organization_id, id, show_id),
  constraint guests_show_exists foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint guests_checked_in_confirmed check (checked_in = 0 or status = 'confirmed')
);
create index if not exists guests_organization_id_show_id_idx on app.guests (organization_id, show_id, door_name, id) where deleted_at is null;
create index if not exists guests_organization_id_allotment_id_idx on app.guests (organization_id, allotment_id) where allotment_id is not null;

create or replace view app.guest_rows with (security_invoker = true) as
  select g.organization_id, g.version, g.deleted_at, g.deleted_by, app.body(g.as_json, row_to_json(j)) as body,
    g.id, g.show_id, g.name, g.allotment_id, g.tickets, g.invited_by, g.note, g.status, g.sort_name,
    g.checked_in, g.checked_in_at, g.created_by, g.created_at, g.updated_at, j.*
  from app.guests g
  left join app.guest_allotments a on a.organization_id = g.organization_id and a.id = g.allotment_id
  cross join lateral (select g.door_name, a.name as allotment_name) j;

select app_private.tenant_table('guests', noun => 'guest', permission => 'shows', path => '/api/guests', is_exported => true);
grant insert (show_id, allotment_id, name, tickets, invited_by, note, status, sort_name), update (allotment_id, name, tickets, invited_by, note, status, sort_name)
  on app.guests to callboard_api;
grant update (checked_in, checked_in_at) on app.guests to callboard_definer;

comment on table app.guests is 'Who gets into a show without a ticket.';
comment on column app.guests.tickets is 'How many get in under this name, including the guest.';
comment on column app.guests.allotment_id is 'The allotment whose places the guest takes once confirmed.';
comment on column app.guests.checked_in is 'How many of them are in.';
comment on column app.guests.status is 'requested: asked for, not decided; confirmed: gets in; declined: does not.';
comment on column app.guests.door_name is 'The sort key of door lists: sort_name, or the name with its last word first.';

create or replace function app_private.tg_guests__400_places() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  allotment app.guest_allotments;
begin
  -- Locked, so that guests are entered one after another and each sees the places already taken.
  select * into allotment from app.guest_allotments a
  where a.organization_id = new.organization_id and a.id = new.allotment_id for no key update;
  -- A DBA has no context, and the definer locks nothing without.
  if allotment.id is null then
    select * into allotment from app.guest_allotments a where a.organization_id = new.organization_id and a.id = new.allotment_id;
  end if;
  if allotment.id is null or allotment.deleted_at is not null or allotment.show_id <> new.show_id then
    perform app.refuse(409, 'guests_allotment_exists', 'The show has no such allotment.');
  elsif new.status = 'confirmed' then
    perform app_private.require_places(new.organization_id, new.allotment_id, new.id, new.tickets, allotment.tickets);
  end if;
  return new;
end
$$;
comment on function app_private.tg_guests__400_places() is
  'Before a guest of an allotment is entered, changed or restored: PT409 guests_allotment_exists if the show has no such allotment, PT409 guest_allotment_exceeded if it has too few places.';
alter function app_private.tg_guests__400_places() owner to callboard_definer;
create or replace trigger _400_places before insert or update of tickets, status, allotment_id, deletion_id on app.guests
  for each row when (new.allotment_id is not null and new.deletion_id is null) execute function app_private.tg_guests__400_places();
--! EndIncluded shows/guests.sql
--! Included shows/guest_lists.sql
-- When a guest list closes, what happens at the door, and the printed door list.

create table if not exists app.guest_lists (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  closes_at timestamptz,
  is_locked boolean not null default false,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint guest_lists_one_per_show unique (organization_id, show_id),
  constraint guest_lists_show_exists foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
-- No path: a list is written only by app.write_guest_list and deleted with its show.
select app_private.tenant_table('guest_lists', noun => 'guest_list', reads => 'shows.read', writes => 'guests.lock', definer => 'insert, update');
grant insert (show_id, closes_at, is_locked), update (closes_at, is_locked) on app.guest_lists to callboard_definer;

comment on table app.guest_lists is 'When the guest lists of shows close. A show without a row has a list that stays open.';
comment on column app.guest_lists.closes_at is 'From then on only members with guests.lock may change the list; NULL: it stays open.';
comment on column app.guest_lists.is_locked is 'Closed manually, whatever the time.';

create or replace function app.is_guest_list_closed(organization uuid, show uuid) returns boolean
language sql stable
set search_path = ''
begin atomic
  select exists (
    select from app.guest_lists l
    where l.organization_id = organization and l.show_id = show and (l.is_locked or l.closes_at <= statement_timestamp()));
end;
comment on function app.is_guest_list_closed(uuid, uuid) is 'Whether the guest list of a show has been locked, or its cut-off has passed.';
grant execute on function app.is_guest_list_closed(uuid, uuid) to callboard_api, callboard_definer;

create or replace function app_private.tg__200_open_guest_list() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if app.has_permission('guests.lock') then
    return new;
  end if;
  -- This change and the closing of the list wait for each other.
  perform from app.shows s where s.organization_id = new.organization_id and s.id = new.show_id for share;
  if app.is_guest_list_closed(new.organization_id, new.show_id)
    -- Being deleted or restored together with the show is not a change to the list.
    and not (tg_op = 'UPDATE' and exists (
      select from app.shows s where s.organization_id = new.organization_id and s.id = new.show_id
        and s.deletion_id in (old.deletion_id, new.deletion_id))) then
    perform app.refuse(409, 'guest_list_closed');
  end if;
  return new;
end
$$;
comment on function app_private.tg__200_open_guest_list() is 'PT409 guest_list_closed once the list is closed, except for members with guests.lock.';
alter function app_private.tg__200_open_guest_list() owner to callboard_definer;
create or replace trigger _200_open_guest_list
  before insert or update of name, tickets, invited_by, note, status, sort_name, allotment_id, deletion_id on app.guests
  for each row execute function app_private.tg__200_open_guest_list();
create or replace trigger _200_open_guest_list before insert or update of name, tickets, note, deletion_id on app.guest_allotments
  for each row execute function app_private.tg__200_open_guest_list();

create or replace function app.read_guest_list(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200,
    json_build_object('show_id', s.id, 'closes_at', l.closes_at, 'is_locked', coalesce(l.is_locked, false),
      'is_closed', app.is_guest_list_closed(s.organization_id, s.id),
      'requested', g.requested, 'confirmed', g.confirmed, 'checked_in', g.checked_in,
      'allotments', coalesce((
        select json_agg(json_build_object('id', a.id, 'name', a.name, 'tickets', a.tickets, 'requested', u.requested, 'confirmed', u.confirmed)
          order by a.name, a.id)
        from app.guest_allotments a
        cross join lateral (
          select coalesce(sum(x.tickets) filter (where x.status = 'requested'), 0) as requested,
            coalesce(sum(x.tickets) filter (where x.status = 'confirmed'), 0) as confirmed
          from app.guests x where x.organization_id = a.organization_id and x.allotment_id = a.id and x.deleted_at is null) u
        where a.organization_id = s.organization_id and a.show_id = s.id and a.deleted_at is null), '[]')),
    app.etag(coalesce(l.version, 0)), '/api/shows/' || s.id || '/guest-list' into answer
  from app.shows s
  left join app.guest_lists l on l.organization_id = s.organization_id and l.show_id = s.id
  cross join lateral (
    select coalesce(sum(x.tickets) filter (where x.status = 'requested'), 0) as requested,
      coalesce(sum(x.tickets) filter (where x.status = 'confirmed'), 0) as confirmed, coalesce(sum(x.checked_in), 0) as checked_in
    from app.guests x where x.organization_id = s.organization_id and x.show_id = s.id and x.deleted_at is null) g
  where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null;
  if answer.status is null then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_guest_list(uuid) is
  'Summary of a show''s guest list: when it closes, how many places are requested, confirmed and taken, and the same by allotment. PT404.';
grant execute on function app.read_guest_list(uuid) to callboard_api, callboard_definer;

create or replace function app.write_guest_list(show uuid, body jsonb, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.org_if('shows.read');
begin
  -- This and concurrent changes to the list wait for each other.
  perform from app.shows s where s.organization_id = organization and s.id = show and s.deleted_at is null for no key update;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require('guests.lock');
  perform app.check_version(coalesce((select l.version from app.guest_lists l where l.organization_id = organization and l.show_id = show), 0), if_match);
  insert into app.guest_lists as l (show_id, closes_at, is_locked)
  values (show, (body ->> 'closes_at')::timestamptz, coalesce((body ->> 'is_locked')::boolean, false))
  on conflict on constraint guest_lists_one_per_show do update set closes_at = excluded.closes_at, is_locked = excluded.is_locked;
  return app.read_guest_list(show);
end
$$;
comment on function app.write_guest_list(uuid, jsonb, text) is
  'Sets when the guest list of a show closes (closes_at) and whether it is closed manually (is_locked). PT403 without guests.lock, PT404, PT412.';
alter function app.write_guest_list(uuid, jsonb, text) owner to callboard_definer;
grant execute on function app.write_guest_list(uuid, jsonb, text) to callboard_api;

create or replace function app.check_in_guest(guest uuid, how_many integer, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.guests;
begin
  select * into present from app.guests g
  where g.organization_id = app.org_if('shows.read') and g.id = guest and g.deleted_at is null for no key update;
  perform app.check_version(present.version, if_match);
  perform app.require('shows.write');
  if present.status <> 'confirmed' then
    perform app.refuse(409, 'guest_not_confirmed');
  end if;
  update app.guests g
  set checked_in = coalesce(how_many, present.tickets), checked_in_at = case when how_many = 0 then null else statement_timestamp() end
  where g.organization_id = present.organization_id and g.id = guest;
  return app.read_row('guests', guest);
end
$$;
comment on function app.check_in_guest(uuid, integer, text) is
  'Records how many of a guest''s party are in: all of them if NULL, 0 to undo. Also works after the list is closed. PT403, PT404, PT409 guest_not_confirmed, PT412, PT422.';
alter function app.check_in_guest(uuid, integer, text) owner to callboard_definer;
grant execute on function app.check_in_guest(uuid, integer, text) to callboard_api;

create or replace function app.read_door_list(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200,
    json_build_object(
      'show', json_build_object('id', s.id, 'title', s.title, 'artist', s.artist, 'status', s.status, 'show_on', s.show_on,
        'doors_time', s.doors_time, 'start_time', s.start_time, 'venue_name', s.venue_name, 'venue_city', s.venue_city),
      'is_closed', app.is_guest_list_closed(s.organization_id, s.id),
      'places', (select coalesce(sum(g.tickets), 0) from app.guests g
        where g.organization_id = s.organization_id and g.show_id = s.id and g.status = 'confirmed' and g.deleted_at is null),
      'guests', coalesce((
        select json_agg(json_build_object('id', g.id, 'door_name', g.door_name, 'name', g.name, 'tickets', g.tickets, 'checked_in', g.checked_in,
          'invited_by', g.invited_by, 'allotment_name', g.allotment_name, 'note', g.note) order by g.door_name, g.id)
        from app.guest_rows g
        where g.organization_id = s.organization_id and g.show_id = s.id and g.status = 'confirmed' and g.deleted_at is null), '[]')),
    null, null into answer
  from app.show_rows s
  where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null;
  if answer.status is null then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_door_list(uuid) is 'The confirmed guests of a show for the door, by last name. PT404.';
grant execute on function app.read_door_list(uuid) to callboard_api;
--! EndIncluded shows/guest_lists.sql
-- Finance
--! Included finance/finance_categories.sql
-- Categories of income and expenses: each organization has its own list and starts with a default one.

create table if not exists app.finance_categories (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  kind text not null constraint finance_categories_kind_known check (kind in ('income', 'expense')),
  name text collate app.people not null constraint finance_categories_name_length check (app.is_line(name, 200)),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  -- Ensures that a record and its category are of the same kind.
  constraint finance_categories_id_kind_key unique (organization_id, id, kind)
);
create unique index if not exists finance_category_name_taken on app.finance_categories (organization_id, kind, lower(name)) where deleted_at is null;
alter index app.finance_category_name_taken alter column 3 set statistics 0;

create or replace view app.finance_category_rows with (security_invoker = true) as
  select c.organization_id, c.version, c.deleted_at, c.deleted_by, app.body(c.as_json) as body,
    c.id, c.kind, c.name,
    c.created_at, c.updated_at
  from app.finance_categories c;

-- A definer trigger inserts an organization's default categories.
select app_private.tenant_table('finance_categories', noun => 'finance_category', permission => 'finance', path => '/api/finance-categories',
  definer => 'insert, update', is_exported => true, is_counted => true, known => '{kind}');
grant insert (kind, name), update (name) on app.finance_categories to callboard_api;
grant insert (organization_id, kind, name), update (deleted_at, deleted_by, deletion_id) on app.finance_categories to callboard_definer;

comment on table app.finance_categories is 'Categories of the organization''s income and expenses.';

create or replace function app_private.tg_organizations__500_finance_categories() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  insert into app.finance_categories (organization_id, kind, name)
  select new.id, c.kind, c.name
  from (values
    ('income', 'Ticket sales'), ('income', 'Guarantee'), ('income', 'Merchandise'), ('income', 'Sponsorship'), ('income', 'Other income'),
    ('expense', 'Artist fees'), ('expense', 'Venue hire'), ('expense', 'Production'), ('expense', 'Crew'), ('expense', 'Travel'),
    ('expense', 'Accommodation'), ('expense', 'Catering'), ('expense', 'Marketing'), ('expense', 'Insurance'),
    ('expense', 'Taxes and licences'), ('expense', 'Other expenses')) as c (kind, name);
  return null;
end
$$;
comment on function app_private.tg_organizations__500_finance_categories() is 'Gives a new organization its default categories.';
alter function app_private.tg_organizations__500_finance_categories() owner to callboard_definer;
create or replace trigger _500_finance_categories after insert on app.organizations
  for each row execute function app_private.tg_organizations__500_finance_categories();
--! EndIncluded finance/finance_categories.sql
--! Included finance/finance_periods.sql
-- Months whose books are closed. A row is a closed month; reopening deletes the row, and the
-- event log records who did either.

create table if not exists app.finance_periods (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  month date not null constraint finance_periods_month_first check (
    extract(day from month) = 1 and month between date '1900-01-01' and date '2199-12-01'),
  closed_by uuid default app.current_user_id() references app.users (id),
  closed_at timestamptz not null default now(),
  primary key (organization_id, month)
);
comment on table app.finance_periods is 'Months whose books are closed: their finance records cannot be entered, changed, deleted or restored.';
comment on column app.finance_periods.month is 'Its first day.';

select app_private.force_rls('app.finance_periods');
select app_private.member_policy('app.finance_periods', 'select', 'finance.read');
-- Without grants, because both go through functions, which wait for concurrent writes of records.
select app_private.member_policy('app.finance_periods', 'insert', 'finance.close');
select app_private.member_policy('app.finance_periods', 'delete', 'finance.close');
select app_private.set_policy('app.finance_periods', 'all_definer', 'callboard_definer', 'organization_id = (select app.current_org())');

grant select on app.finance_periods to callboard_api, callboard_definer;
grant insert (month), delete on app.finance_periods to callboard_definer;

select app_private.log_changes('app.finance_periods', 'finance_period', '{"create": "close", "delete": "reopen"}');

create or replace view app.finance_period_list with (security_invoker = true) as
  select p.organization_id, p.id, p.month, json_build_object('month', to_char(p.month, 'YYYY-MM'), 'closed_at', p.closed_at, 'closed_by', p.closed_by) as body
  from app.finance_periods p;
comment on view app.finance_period_list is 'The organization''s closed months, with their JSON.';
grant select on app.finance_period_list to callboard_api, callboard_definer;

create or replace function app.month_of(name text) returns date
language sql immutable strict parallel safe
return make_date(left(name, 4)::integer, right(name, 2)::integer, 1);
comment on function app.month_of(text) is 'The first day of a month given as YYYY-MM.';
grant execute on function app.month_of(text) to callboard_api, callboard_definer;

create or replace function app.close_period(to_close date) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('finance.close');
  -- Transactions that write records hold a shared lock on this row until they end: see finance_records.sql.
  perform from app.organizations o where o.id = app.current_org() for no key update;
  insert into app.finance_periods (month) values (to_close) on conflict (organization_id, month) do nothing;
  return (200, p.body, null, null)::app.answer from app.finance_period_list p
    where p.organization_id = app.current_org() and p.month = to_close;
end
$$;
comment on function app.close_period(date) is 'Closes the books of the month that begins on the given day; no error if already closed. PT403 without finance.close.';
alter function app.close_period(date) owner to callboard_definer;
grant execute on function app.close_period(date) to callboard_api;

create or replace function app.reopen_period(to_open date) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('finance.read');
  if not exists (select from app.finance_periods p where p.organization_id = app.current_org() and p.month = to_open) then
    perform app.refuse(404, 'not_found');
  end if;
  perform app.require('finance.close');
  delete from app.finance_periods p where p.organization_id = app.current_org() and p.month = to_open;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.reopen_period(date) is 'Reopens the books of a month. PT403 without finance.close, PT404 if they are not closed.';
alter function app.reopen_period(date) owner to callboard_definer;
grant execute on function app.reopen_period(date) to callboard_api;
--! EndIncluded finance/finance_periods.sql
--! Included finance/finance_records.sql
-- Finance records: income and expenses, planned or actual.

create table if not exists app.finance_record_status_transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
select app_private.reference_table('app.finance_record_status_transitions');
comment on table app.finance_record_status_transitions is 'Reference: the status transitions that a finance record may make. Void is final.';

insert into app.finance_record_status_transitions (from_status, to_status) values
  ('planned', 'committed'), ('planned', 'actual'), ('planned', 'void'),
  ('committed', 'planned'), ('committed', 'actual'), ('committed', 'void'),
  ('actual', 'committed'), ('actual', 'void')
on conflict do nothing;

create or replace function app.base_currency() returns text
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select o.currency::text from app.organizations o where o.id = app.current_org();
end;
comment on function app.base_currency() is 'The currency in which the organization of this transaction keeps its books.';
alter function app.base_currency() owner to callboard_definer;
grant execute on function app.base_currency() to callboard_api;

create table if not exists app.finance_records (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  kind text not null constraint finance_records_kind_known check (kind in ('income', 'expense')),
  category_id uuid not null,
  show_id uuid,
  booked_on date not null constraint finance_records_booked_on_range check (booked_on between date '1900-01-01' and date '2199-12-31'),
  due_on date constraint finance_records_due_on_range check (due_on between date '1900-01-01' and date '2199-12-31'),
  -- In the smallest unit of the currency; JSON numbers are exact up to 2^53 - 1.
  amount_minor bigint not null constraint finance_records_amount_range check (amount_minor between 0 and 9007199254740991),
  tax_minor bigint not null default 0,
  currency char(3) not null,
  exchange_rate numeric(20, 10) constraint finance_records_exchange_rate_needed check (exchange_rate is not null)
    constraint finance_records_exchange_rate_range check (exchange_rate > 0 and exchange_rate <= 1000000000),
  -- As of entry: if the organization later changes its currency, old records keep theirs.
  base_currency char(3) not null default app.base_currency(),
  -- Null only without a rate, which a constraint then reports.
  base_amount_minor bigint generated always as
      (app.convert_minor(amount_minor, exchange_rate, currency::text, base_currency::text)) stored
    constraint finance_records_base_amount_range check (base_amount_minor between 0 and 9007199254740991),
  status text not null default 'planned' constraint finance_records_status_known check (status in ('planned', 'committed', 'actual', 'void')),
  payment_status text not null default 'unpaid' constraint finance_records_payment_status_known check (
    payment_status in ('unpaid', 'partly_paid', 'paid', 'refunded')),
  counterparty text collate app.people constraint finance_records_counterparty_length check (length(counterparty) between 1 and 200 and counterparty !~ '[\u0001-\u001f\u007f-\u009f]'),
  note text constraint finance_records_note_length check (length(note) <= 10000),
  source text collate app.people constraint finance_records_source_length check (length(source) between 1 and 100 and source !~ '[\u0001-\u001f\u007f-\u009f]'),
  external_ref text constraint finance_records_external_ref_length check (length(external_ref) between 1 and 200 and external_ref !~ '[\u0001-\u001f\u007f-\u009f]'),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint finance_records_category_exists foreign key (organization_id, category_id, kind)
    references app.finance_categories (organization_id, id, kind),
  -- A record outlives its show: see the trigger on app.shows below.
  constraint finance_records_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id),
  constraint finance_records_currency_exists foreign key (currency) references app.currencies (code),
  constraint finance_records_exchange_rate_of_base check (currency <> base_currency or exchange_rate = 1),
  constraint finance_records_tax_within_amount check (tax_minor between 0 and amount_minor),
  constraint finance_records_external_ref_with_source check ((external_ref is null) = (source is null))
);
create index if not exists finance_records_organization_id_booked_on_idx on app.finance_records (organization_id, booked_on, id) where deleted_at is null;
create index if not exists finance_records_organization_id_show_id_idx on app.finance_records (organization_id, show_id, booked_on)
  where show_id is not null;
create index if not exists finance_records_organization_id_category_id_idx on app.finance_records (organization_id, category_id, booked_on);
create unique index if not exists finance_record_external_ref_taken on app.finance_records (organization_id, source, external_ref)
  where deleted_at is null and external_ref is not null;

-- The definer's functions insert imported records.
select app_private.tenant_table('finance_records', noun => 'finance_record', permission => 'finance', path => '/api/finance-records', definer => 'insert, update',
  is_exported => true, is_counted => true, known => '{kind}', checks_parents => false);
grant insert (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref),
  update (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
    counterparty, note, source, external_ref)
  on app.finance_records to callboard_api;
grant insert (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, base_currency, status,
    payment_status, counterparty, note, source, external_ref, created_by),
  update (deleted_at, deleted_by, deletion_id) on app.finance_records to callboard_definer;

comment on table app.finance_records is 'Income and expenses of the organization, planned and actual.';
comment on column app.finance_records.amount_minor is 'With tax, in the smallest unit of the currency; kind gives the direction.';
comment on column app.finance_records.tax_minor is 'Tax included in the amount.';
comment on column app.finance_records.exchange_rate is 'Units of the base currency for one unit of the currency, on the day of booking.';
comment on column app.finance_records.base_amount_minor is 'The amount in the base currency, at the exchange rate.';
comment on column app.finance_records.external_ref is 'The record''s id in the system it comes from (source); unique there.';

create or replace function app_private.tg_finance_records__200_status() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if not exists (select from app.finance_record_status_transitions t where t.from_status = old.status and t.to_status = new.status) then
    perform app.refuse(409, 'finance_record_status_transition', format('A finance record cannot go from %s to %s.', old.status, new.status));
  end if;
  return new;
end
$$;
comment on function app_private.tg_finance_records__200_status() is
  'PT409 finance_record_status_transition for a change that app.finance_record_status_transitions does not list.';
create or replace trigger _200_status before update on app.finance_records
  for each row when (new.status is distinct from old.status) execute function app_private.tg_finance_records__200_status();

-- A record's references, and whether its month is open, are checked once for all rows of a statement. FOR SHARE in EXISTS,
-- and OFFSET, also keep it from becoming a join: each row that is referred to is looked up by its key, however many others
-- there are. What could not be locked is looked up again, because a DBA has no context, and the definer locks nothing without.
create or replace function app_private.tg_finance_records__300_entered() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  closed date;
begin
  -- Closing a month waits for this lock and then sees these records.
  perform from (select distinct n.organization_id from after n) n
  where exists (select from app.organizations o where o.id = n.organization_id for share);
  select p.month into closed from (select distinct n.organization_id, date_trunc('month', n.booked_on)::date as month from after n) n
  cross join lateral (select p.month from app.finance_periods p where p.organization_id = n.organization_id and p.month = n.month limit 1) p limit 1;
  if found then
    perform app.refuse(409, 'period_closed', format('The books of %s are closed.', to_char(closed, 'YYYY-MM')));
  end if;
  -- Locked, so that a concurrent deletion waits and then sees the record.
  if exists (select from (select distinct n.organization_id, n.category_id from after n) n
      where not exists (select from app.finance_categories c
        where c.organization_id = n.organization_id and c.id = n.category_id and c.deleted_at is null for share)) then
    if exists (select from (select distinct n.organization_id, n.category_id from after n) n
        where not exists (select from app.finance_categories c
          where c.organization_id = n.organization_id and c.id = n.category_id and c.deleted_at is null offset 0)) then
      perform app.refuse(409, 'finance_records_category_exists', 'There is no such category.');
    end if;
  end if;
  if exists (select from (select distinct n.organization_id, n.show_id from after n where n.show_id is not null) n
      where not exists (select from app.shows s where s.organization_id = n.organization_id and s.id = n.show_id and s.deleted_at is null for share)) then
    if exists (select from (select distinct n.organization_id, n.show_id from after n where n.show_id is not null) n
        where not exists (select from app.shows s where s.organization_id = n.organization_id and s.id = n.show_id and s.deleted_at is null offset 0)) then
      perform app.refuse(409, 'finance_records_show_exists', 'There is no such show.');
    end if;
  end if;
  return null;
end
$$;
comment on function app_private.tg_finance_records__300_entered() is
  'PT409 period_closed, finance_records_category_exists or finance_records_show_exists for new records in a closed month, or with a deleted category or show.';
alter function app_private.tg_finance_records__300_entered() owner to callboard_definer;
create or replace trigger _300_entered after insert on app.finance_records
  referencing new table as after for each statement execute function app_private.tg_finance_records__300_entered();

create or replace function app_private.tg_finance_records__300_changed() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  closed date;
begin
  perform from (select distinct n.organization_id from after n) n
  where exists (select from app.organizations o where o.id = n.organization_id for share);
  select p.month into closed from after n
  join before b on b.organization_id = n.organization_id and b.id = n.id
  -- An entire organization can be deleted and restored even if months are closed.
  join app.organizations o on o.id = n.organization_id and o.deleted_at is null
  join app.finance_periods p on p.organization_id = n.organization_id
    and p.month in (date_trunc('month', n.booked_on)::date, date_trunc('month', b.booked_on)::date)
  -- So can a show be purged, which clears the reference in its records.
  where not (b.show_id is not null and n.show_id is null
    and not exists (select from app.shows s where s.organization_id = b.organization_id and s.id = b.show_id))
  limit 1;
  if found then
    perform app.refuse(409, 'period_closed', format('The books of %s are closed.', to_char(closed, 'YYYY-MM')));
  end if;
  perform from (select distinct n.organization_id, n.category_id from after n where n.deleted_at is null) n
  where exists (select from app.finance_categories c
    where c.organization_id = n.organization_id and c.id = n.category_id and c.deleted_at is null for share);
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.finance_categories c on c.organization_id = n.organization_id and c.id = n.category_id
      where n.category_id <> b.category_id and c.deleted_at is not null) then
    perform app.refuse(409, 'finance_records_category_exists', 'There is no such category.');
  end if;
  perform from (select distinct n.organization_id, n.show_id from after n where n.show_id is not null and n.deleted_at is null) n
  where exists (select from app.shows s where s.organization_id = n.organization_id and s.id = n.show_id and s.deleted_at is null for share);
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.shows s on s.organization_id = n.organization_id and s.id = n.show_id
      where n.show_id is distinct from b.show_id and s.deleted_at is not null) then
    perform app.refuse(409, 'finance_records_show_exists', 'There is no such show.');
  end if;
  -- A planned record is not restored without its show; if both are being restored, the show is still marked here.
  if exists (select from after n join before b on b.organization_id = n.organization_id and b.id = n.id
      join app.shows s on s.organization_id = n.organization_id and s.id = n.show_id
      where b.deleted_at is not null and n.deleted_at is null and n.status in ('planned', 'committed')
        and s.deleted_at is not null and s.deletion_id <> b.deletion_id) then
    perform app.refuse(409, 'parent_deleted', 'The show it is planned for is deleted: restore that first.');
  end if;
  return null;
end
$$;
comment on function app_private.tg_finance_records__300_changed() is
  'The same for changed records: neither a record''s month nor its previous month may be closed.';
alter function app_private.tg_finance_records__300_changed() owner to callboard_definer;
create or replace trigger _300_changed after update on app.finance_records
  referencing old table as before new table as after for each statement execute function app_private.tg_finance_records__300_changed();

-- Records planned for a show are deleted and restored with it. Actual ones stay.
create or replace function app_private.tg_shows__400_finance_records() returns trigger
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  update app.finance_records r set deleted_at = new.deleted_at, deleted_by = new.deleted_by, deletion_id = new.deletion_id
  where r.organization_id = new.organization_id and r.show_id = new.id and r.status in ('planned', 'committed') and r.deleted_at is null;
  return null;
end
$$;
comment on function app_private.tg_shows__400_finance_records() is 'Deletes the planned and committed records of a deleted show, but no actual ones.';
alter function app_private.tg_shows__400_finance_records() owner to callboard_definer;
create or replace trigger _400_finance_records after update on app.shows
  for each row when (new.deleted_at is not null and old.deleted_at is null) execute function app_private.tg_shows__400_finance_records();
--! EndIncluded finance/finance_records.sql
--! Included finance/finance_record_commands.sql
-- The representation of a finance record, and its commands except for those in foundation/rows.sql. The table is in finance_records.sql.

create or replace view app.finance_record_rows with (security_invoker = true) as
  select r.organization_id, r.version, r.deleted_at, r.deleted_by, app.body(r.as_json, row_to_json(j)) as body,
    r.id, r.kind, r.category_id, r.booked_on, r.amount_minor, r.status, r.show_id, r.due_on, r.tax_minor, r.currency, trim_scale(r.exchange_rate) as exchange_rate, r.payment_status, r.counterparty, r.note, r.source, r.external_ref,
    r.base_currency, r.created_by, r.created_at, r.updated_at, j.*
  from app.finance_records r
  left join app.finance_categories c on c.organization_id = r.organization_id and c.id = r.category_id
  -- Including deleted shows: what was paid for them stays readable.
  left join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id
  cross join lateral (select c.name as category_name, s.title as show_title, r.base_amount_minor) j;
select app_private.publish_rows('app.finance_records');

create or replace function app.read_finance_record(record uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  select 200, r.body::json, app.etag(r.version), '/api/finance-records/' || r.id into answer
  from app.finance_record_rows r where r.organization_id = (select app.current_org()) and r.id = record and r.deleted_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_finance_record(uuid) is 'A finance record. PT404.';
grant execute on function app.read_finance_record(uuid) to callboard_api, callboard_definer;

create or replace function app.create_finance_record(body jsonb) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  n app.finance_records := jsonb_populate_record(null::app.finance_records, body);
  answer app.answer;
begin
  n.currency := coalesce(n.currency, app.base_currency());
  insert into app.finance_records (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status,
    payment_status, counterparty, note, source, external_ref)
  values (n.kind, n.category_id, n.show_id, n.booked_on, n.due_on, n.amount_minor, coalesce(n.tax_minor, 0), n.currency,
    coalesce(n.exchange_rate, case when n.currency = app.base_currency() then 1 end), coalesce(n.status, 'planned'),
    coalesce(n.payment_status, 'unpaid'), n.counterparty, n.note, n.source, n.external_ref)
  returning id into n.id;
  answer := app.read_finance_record(n.id);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_finance_record(jsonb) is
  'Creates a finance record; its currency defaults to the organization''s. PT403 without finance.write, PT409 period_closed, finance_record_external_ref_taken, and for a category or show that does not exist.';
grant execute on function app.create_finance_record(jsonb) to callboard_api;

create or replace function app.write_finance_record(record uuid, body jsonb, replaces boolean, if_match text default null) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  old app.finance_records;
  n app.finance_records;
begin
  select * into old from app.finance_records r where r.organization_id = (select app.current_org()) and r.id = record and r.deleted_at is null;
  perform app.check_version(old.version, if_match);
  perform app.require('finance.write');
  -- Check again under a lock, now that the caller may take one.
  select * into old from app.finance_records r
  where r.organization_id = (select app.current_org()) and r.id = record and r.deleted_at is null for no key update;
  perform app.check_version(old.version, if_match);
  n := jsonb_populate_record(case when replaces then null::app.finance_records else old end, body);
  n.currency := coalesce(n.currency, old.base_currency);
  -- The rate belongs to the currency: another currency needs its own.
  if n.currency = old.base_currency then
    n.exchange_rate := coalesce((body ->> 'exchange_rate')::numeric, 1);
  elsif n.currency <> old.currency then
    n.exchange_rate := (body ->> 'exchange_rate')::numeric;
  end if;
  update app.finance_records r
  set (kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate, status, payment_status,
      counterparty, note, source, external_ref)
    = row (n.kind, n.category_id, n.show_id, n.booked_on, n.due_on, n.amount_minor, coalesce(n.tax_minor, 0), n.currency, n.exchange_rate,
      coalesce(n.status, 'planned'), coalesce(n.payment_status, 'unpaid'), n.counterparty, n.note, n.source, n.external_ref)
  where r.organization_id = (select app.current_org()) and r.id = record;
  return app.read_finance_record(record);
end
$$;
comment on function app.write_finance_record(uuid, jsonb, boolean, text) is
  'Changes a finance record: the columns in the body or, with replaces, all of them (absent ones get their defaults). Its base currency stays. PT403, PT404, PT409, PT412.';
grant execute on function app.write_finance_record(uuid, jsonb, boolean, text) to callboard_api;
--! EndIncluded finance/finance_record_commands.sql
-- Settlements
--! Included settlements/show_parts.sql
-- The parts of a show that its settlement is computed from: its deal, ticket tiers, costs and deposits,
-- each in a file of its own. They are frozen once the settlement is final.

create or replace function app.require_show(show uuid) returns uuid
language plpgsql stable parallel restricted
set search_path = ''
as $$
begin
  if not exists (select from app.shows s where s.organization_id = app.org_if('shows.read') and s.id = show and s.deleted_at is null) then
    perform app.refuse(404, 'not_found');
  end if;
  return show;
end
$$;
comment on function app.require_show(uuid) is 'The id of a show that the member may see. PT404.';
grant execute on function app.require_show(uuid) to callboard_api, callboard_definer;

create or replace function app_private.require_unsettled(organization uuid, show uuid, is_new boolean) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  present app.shows;
begin
  -- Finalizing and deleting change the show's row: they and this wait for each other.
  perform from app.shows s where s.organization_id = organization and s.id = show for share;
  select * into present from app.shows s where s.organization_id = organization and s.id = show;
  if present.id is null then
    perform app.refuse(404, 'not_found');
  elsif is_new and present.deleted_at is not null then
    perform app.refuse(409, 'parent_deleted', 'The show is deleted: restore that first.');
  elsif present.status = 'settled' then
    perform app.refuse(409, 'settlement_final');
  end if;
end
$$;
comment on function app_private.require_unsettled(uuid, uuid, boolean) is
  'PT404 if there is no such show, PT409 settlement_final if it is settled; for a new part, PT409 parent_deleted if it is deleted.';
alter function app_private.require_unsettled(uuid, uuid, boolean) owner to callboard_definer;

create or replace function app_private.tg__200_unsettled() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  perform app_private.require_unsettled(new.organization_id, new.show_id, tg_op = 'INSERT');
  return new;
end
$$;
comment on function app_private.tg__200_unsettled() is
  'Before a part of a show is entered or changed: see app_private.require_unsettled. Not for deletion marks, which come with those of the show.';
alter function app_private.tg__200_unsettled() owner to callboard_definer;

create or replace function app_private.require_part_unsettled(target regclass, id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  show uuid;
begin
  execute format('select show_id from %s where organization_id = app.current_org() and id = $1', target) into show using id;
  perform app_private.require_unsettled(app.current_org(), show, false);
end
$$;
comment on function app_private.require_part_unsettled(regclass, uuid) is 'The guard of the parts of a show: PT409 settlement_final once its settlement is final.';
alter function app_private.require_part_unsettled(regclass, uuid) owner to callboard_definer;
--! EndIncluded settlements/show_parts.sql
--! Included settlements/deals.sql
-- Deals: what the artist of a show is paid, and on what basis. The computation is in settlement_arithmetic.sql.

create table if not exists app.deals (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  kind text not null constraint deals_kind_known check (kind in ('flat', 'door', 'plus', 'versus')),
  currency char(3) not null constraint deals_currency_exists references app.currencies (code),
  guarantee_minor bigint constraint deals_guarantee_range check (app.is_money(guarantee_minor)),
  -- Rates are in basis points: 8500 is 85 %.
  percentage_bp integer constraint deals_percentage_range check (app.is_rate(percentage_bp)),
  base text constraint deals_base_known check (base in ('gross', 'net', 'net_after_promoter_profit')),
  tax_bp integer not null default 0 constraint deals_tax_range check (app.is_rate(tax_bp)),
  promoter_profit_bp integer not null default 0 constraint deals_promoter_profit_range check (app.is_rate(promoter_profit_bp)),
  guarantee_is_cost boolean not null,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint deals_guarantee_by_kind check ((kind = 'door') = (guarantee_minor is null)),
  constraint deals_percentage_by_kind check ((kind = 'flat') = (percentage_bp is null) and (kind = 'flat') = (base is null)),
  constraint deals_promoter_profit_by_base check (promoter_profit_bp = 0 or base is not distinct from 'net_after_promoter_profit'),
  constraint deals_guarantee_is_cost_of_plus check (not guarantee_is_cost or kind = 'plus')
);
create unique index if not exists deals_one_per_show on app.deals (organization_id, show_id) where deleted_at is null;
create index if not exists deals_organization_id_show_id_idx on app.deals (organization_id, show_id, created_at, id) where deleted_at is null;

create or replace view app.deal_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.kind, x.currency, x.guarantee_minor, x.percentage_bp, x.base, x.tax_bp, x.promoter_profit_bp, x.guarantee_is_cost,
    x.created_by, x.created_at, x.updated_at
  from app.deals x;

select app_private.tenant_table('deals', noun => 'deal', permission => 'finance', path => '/api/deals',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost), update (kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost) on app.deals to callboard_api;

comment on table app.deals is 'What the artist of a show is paid: at most one undeleted deal per show.';
comment on column app.deals.kind is 'flat: the guarantee; door: the percentage; plus: both; versus: the larger of both.';
comment on column app.deals.base is 'What the percentage applies to: ticket sales as paid; what is left of them after fees, taxes and costs; or what is left after the promoter''s profit as well.';
comment on column app.deals.tax_bp is 'The rate of the tax included in ticket prices.';
comment on column app.deals.promoter_profit_bp is 'The promoter''s profit before the percentage begins, as a share of the costs.';
comment on column app.deals.guarantee_is_cost is 'For plus: whether the settlement counts the guarantee among the fixed costs, so that the percentage begins only once it has been earned back.';

create or replace trigger _200_unsettled before insert or update of kind, currency, guarantee_minor, percentage_bp, base, tax_bp, promoter_profit_bp, guarantee_is_cost on app.deals
  for each row execute function app_private.tg__200_unsettled();

create or replace function app_private.tg_deals__150_guarantee_is_cost() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.guarantee_is_cost := coalesce(new.guarantee_is_cost, new.kind = 'plus');
  return new;
end
$$;
comment on function app_private.tg_deals__150_guarantee_is_cost() is 'The default of guarantee_is_cost: true for plus deals, false for others.';
create or replace trigger _150_guarantee_is_cost before insert or update of guarantee_is_cost on app.deals
  for each row execute function app_private.tg_deals__150_guarantee_is_cost();
--! EndIncluded settlements/deals.sql
--! Included settlements/ticket_tiers.sql
-- Ticket tiers: a show's kinds of tickets, their price, and how many were sold. In the currency of the show's deal.

create table if not exists app.ticket_tiers (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text collate app.people not null constraint ticket_tiers_name_length check (app.is_line(name, 200)),
  price_minor bigint not null constraint ticket_tiers_price_range check (app.is_money(price_minor)),
  facility_fee_minor bigint not null default 0 constraint ticket_tiers_facility_fee_range check (app.is_money(facility_fee_minor)),
  allotment integer not null constraint ticket_tiers_allotment_positive check (allotment > 0),
  sold integer not null default 0 constraint ticket_tiers_sold_positive check (sold >= 0),
  comps integer not null default 0 constraint ticket_tiers_comps_positive check (comps >= 0),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint ticket_tiers_fee_within_price check (facility_fee_minor <= price_minor),
  constraint ticket_tiers_within_allotment check (sold::bigint + comps <= allotment)
);
create index if not exists ticket_tiers_organization_id_show_id_idx on app.ticket_tiers (organization_id, show_id, created_at, id) where deleted_at is null;

create or replace view app.ticket_tier_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.name, x.price_minor, x.allotment, x.facility_fee_minor, x.sold, x.comps,
    x.created_by, x.created_at, x.updated_at
  from app.ticket_tiers x;

select app_private.tenant_table('ticket_tiers', noun => 'ticket_tier', permission => 'finance', path => '/api/ticket-tiers',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, name, price_minor, facility_fee_minor, allotment, sold, comps), update (name, price_minor, facility_fee_minor, allotment, sold, comps) on app.ticket_tiers to callboard_api;

comment on table app.ticket_tiers is 'A show''s kinds of tickets and how many of each were sold.';
comment on column app.ticket_tiers.facility_fee_minor is 'What the venue keeps of the price of each ticket sold, before the rest is shared.';
comment on column app.ticket_tiers.comps is 'Tickets given away: they take a place but neither earn nor cost anything.';

create or replace trigger _200_unsettled before insert or update of name, price_minor, facility_fee_minor, allotment, sold, comps on app.ticket_tiers
  for each row execute function app_private.tg__200_unsettled();
--! EndIncluded settlements/ticket_tiers.sql
--! Included settlements/show_costs.sql
-- Costs of a show: what the promoter pays for it. In the currency of the show's deal.

create table if not exists app.show_costs (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  name text collate app.people not null constraint show_costs_name_length check (app.is_line(name, 200)),
  kind text not null constraint show_costs_kind_known check (kind in ('fixed', 'per_ticket')),
  amount_minor bigint not null constraint show_costs_amount_range check (app.is_money(amount_minor)),
  is_estimate boolean not null default false,
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
create index if not exists show_costs_organization_id_show_id_idx on app.show_costs (organization_id, show_id, created_at, id) where deleted_at is null;

create or replace view app.show_cost_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.name, x.kind, x.amount_minor, x.is_estimate,
    x.created_by, x.created_at, x.updated_at
  from app.show_costs x;

select app_private.tenant_table('show_costs', noun => 'show_cost', permission => 'finance', path => '/api/costs',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, name, kind, amount_minor, is_estimate), update (name, kind, amount_minor, is_estimate) on app.show_costs to callboard_api;

comment on table app.show_costs is 'What the promoter pays for a show.';
comment on column app.show_costs.kind is 'fixed: the amount, once; per_ticket: the amount for each ticket sold.';
comment on column app.show_costs.is_estimate is 'Whether the invoice has yet to arrive: a settlement with an estimate cannot be final.';

create or replace trigger _200_unsettled before insert or update of name, kind, amount_minor, is_estimate on app.show_costs
  for each row execute function app_private.tg__200_unsettled();
--! EndIncluded settlements/show_costs.sql
--! Included settlements/deposits.sql
-- Deposits: what the artist has been paid before the settlement. In the currency of the show's deal.

create table if not exists app.deposits (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  paid_on date not null constraint deposits_paid_on_range check (app.is_day(paid_on)),
  amount_minor bigint not null constraint deposits_amount_range check (amount_minor > 0 and app.is_money(amount_minor)),
  note text constraint deposits_note_length check (length(note) <= 1000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade
);
create index if not exists deposits_organization_id_show_id_idx on app.deposits (organization_id, show_id, paid_on, id) where deleted_at is null;

create or replace view app.deposit_rows with (security_invoker = true) as
  select x.organization_id, x.version, x.deleted_at, x.deleted_by, app.body(x.as_json) as body,
    x.id, x.show_id, x.paid_on, x.amount_minor, x.note,
    x.created_by, x.created_at, x.updated_at
  from app.deposits x;

select app_private.tenant_table('deposits', noun => 'deposit', permission => 'finance', path => '/api/deposits',
  guard => 'app_private.require_part_unsettled(regclass, uuid)', checks_parents => false);
grant insert (show_id, paid_on, amount_minor, note), update (paid_on, amount_minor, note) on app.deposits to callboard_api;

comment on table app.deposits is 'What artists have been paid before the settlement of a show.';

create or replace trigger _200_unsettled before insert or update of paid_on, amount_minor, note on app.deposits
  for each row execute function app_private.tg__200_unsettled();
--! EndIncluded settlements/deposits.sql
--! Included settlements/settlement_arithmetic.sql
-- How a show is settled. The steps are those by which promoters and tour managers settle a "promoter
-- profit deal" (for example https://makingitwithchrisg.com/blog/deals); rules of our own are marked as ours.
--
--    1. gross           = for each tier price x sold
--    2. facility fees   = for each tier fee x sold: the venue's, before the rest is shared
--    3. tax             = (gross - fees) x rate / (1 + rate): the prices contain it, the fees are not taxed here
--    4. net receipts    = gross - fees - tax
--    5. costs           = fixed costs + costs per ticket x sold + for `plus`, if the deal says so, the guarantee,
--                         which is a promoter's expense like any other
--    6. promoter profit = costs x its rate; on the costs, not the receipts
--    7. split point     = what the net receipts must reach before the percentage begins:
--                         0 for `gross`, costs for `net`, costs + promoter profit for `net_after_promoter_profit`
--    8. share base      = gross for `gross`, otherwise net receipts - split point; never below 0 (ours: an
--                         artist does not pay for a loss)
--    9. share           = share base x percentage
--   10. due             = flat: guarantee; door: share; plus: guarantee + share; versus: the larger of the two
--   11. balance         = due - deposits; below 0 if the artist has to repay
--   12. promoter        = net receipts - fixed and per-ticket costs - due: what the promoter is left with, profit included
--
-- So fees + tax + fixed costs + costs per ticket + due + promoter equals the gross, to the last unit.
--
-- The rounding is also ours: half away from zero, to the minor unit of the currency, once in each of steps
-- 3, 6 and 9, which apply a rate; everything else is sums and products of whole numbers.
-- No step uses floating point, and no amount may exceed the integers that JSON represents exactly.
--
-- 500 tickets at 30.00 with a fee of 2.00, 8 % tax, costs of 4,000 and 0.80 a ticket, 15 % promoter profit:
-- 15,000 gross, 1,000 fees, 1,037.04 tax, 12,962.96 net receipts.
-- Versus, 5,000 or 85 %: costs 4,400, profit 660, split point 5,060, share 85 % of 7,902.96 = 6,717.52: due.
-- Plus, with the 5,000 as a cost: costs 9,400, profit 1,410, split point 10,810, share 85 % of 2,152.96 = 1,830.02;
-- due 6,830.02. test/settlements/settlement.test.ts has both.

create or replace function app.apportion(amount numeric, part numeric, whole numeric) returns numeric
language sql immutable parallel safe
set search_path = ''
return sign(amount) * div(2 * abs(amount) * part + whole, 2 * whole);
comment on function app.apportion(numeric, numeric, numeric) is
  'amount x part / whole as a whole number, rounded half away from zero, for whole numbers of any size and a part that is not negative. Exact: a numeric quotient would first be rounded to a limited number of digits.';
grant execute on function app.apportion(numeric, numeric, numeric) to callboard_api, callboard_definer;

create or replace function app.settle(inputs jsonb) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  deal constant jsonb := inputs -> 'deal';
  kind constant text := deal ->> 'kind';
  base constant text := deal ->> 'base';
  tax_bp constant numeric := (deal ->> 'tax_bp')::numeric;
  sold numeric;
  comps numeric;
  gross numeric;
  fees numeric;
  tax numeric;
  receipts numeric;
  fixed numeric;
  per_ticket numeric;
  guarantee constant numeric := coalesce((deal ->> 'guarantee_minor')::numeric, 0);
  guarantee_cost constant numeric := case when (deal ->> 'guarantee_is_cost')::boolean then guarantee else 0 end;
  costs numeric;
  profit numeric;
  split_point numeric;
  share_base numeric;
  share numeric;
  due numeric;
  deposits numeric;
  result jsonb;
begin
  select coalesce(sum(t.sold), 0), coalesce(sum(t.comps), 0), coalesce(sum(t.price_minor * t.sold), 0), coalesce(sum(t.facility_fee_minor * t.sold), 0)
  into sold, comps, gross, fees
  from jsonb_to_recordset(inputs -> 'ticket_tiers') as t (price_minor numeric, facility_fee_minor numeric, sold numeric, comps numeric);
  tax := app.apportion(gross - fees, tax_bp, 10000 + tax_bp);
  receipts := gross - fees - tax;

  select coalesce(sum(c.amount_minor) filter (where c.kind = 'fixed'), 0), coalesce(sum(c.amount_minor) filter (where c.kind = 'per_ticket'), 0) * sold
  into fixed, per_ticket
  from jsonb_to_recordset(inputs -> 'costs') as c (kind text, amount_minor numeric);
  costs := fixed + per_ticket + guarantee_cost;
  profit := app.apportion(costs, (deal ->> 'promoter_profit_bp')::numeric, 10000);

  split_point := case base when 'net' then costs when 'net_after_promoter_profit' then costs + profit else 0 end;
  share_base := case when base = 'gross' then gross when base is null then 0 else greatest(receipts - split_point, 0) end;
  share := app.apportion(share_base, coalesce((deal ->> 'percentage_bp')::numeric, 0), 10000);
  due := case kind when 'flat' then guarantee when 'door' then share when 'plus' then guarantee + share else greatest(guarantee, share) end;

  select coalesce(sum(p.amount_minor), 0) into deposits
  from jsonb_to_recordset(inputs -> 'deposits') as p (amount_minor numeric);

  result := jsonb_build_object(
    'tickets_sold', sold, 'tickets_comped', comps,
    'gross_minor', gross, 'facility_fees_minor', fees, 'tax_minor', tax, 'net_receipts_minor', receipts,
    'fixed_costs_minor', fixed, 'per_ticket_costs_minor', per_ticket, 'guarantee_cost_minor', guarantee_cost, 'costs_minor', costs,
    'net_minor', receipts - costs, 'promoter_profit_minor', profit, 'split_point_minor', split_point,
    'share_base_minor', share_base, 'share_minor', share, 'guarantee_minor', guarantee, 'due_minor', due,
    'deposits_minor', deposits, 'balance_minor', due - deposits, 'promoter_minor', receipts - fixed - per_ticket - due);
  if exists (select from jsonb_each(result) r where abs(r.value::numeric) > 9007199254740991) then
    perform app.refuse(422, 'settlement_out_of_range', 'An amount of the settlement is larger than 9007199254740991 minor units.');
  end if;
  return result;
end
$$;
comment on function app.settle(jsonb) is
  'The settlement of a deal, ticket tiers, costs and deposits as returned by app.settlement_inputs: every line of it, in minor units. It reads nothing else, so recorded settlements can be recomputed. PT422 settlement_out_of_range.';
grant execute on function app.settle(jsonb) to callboard_api, callboard_definer;

create or replace function app.settlement_inputs(show uuid) returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  organization constant uuid := app.current_org();
  inputs jsonb;
begin
  -- One statement, so one snapshot. Ordered by id, so that equal inputs give equal JSON.
  select jsonb_build_object(
    'currency', d.currency,
    'deal', jsonb_build_object('id', d.id, 'kind', d.kind, 'guarantee_minor', d.guarantee_minor, 'percentage_bp', d.percentage_bp, 'base', d.base,
      'tax_bp', d.tax_bp, 'promoter_profit_bp', d.promoter_profit_bp, 'guarantee_is_cost', d.guarantee_is_cost),
    'ticket_tiers', (
      select coalesce(jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name, 'price_minor', t.price_minor,
        'facility_fee_minor', t.facility_fee_minor, 'allotment', t.allotment, 'sold', t.sold, 'comps', t.comps) order by t.id), '[]')
      from app.ticket_tiers t where t.organization_id = organization and t.show_id = show and t.deleted_at is null),
    'costs', (
      select coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'name', c.name, 'kind', c.kind, 'amount_minor', c.amount_minor,
        'is_estimate', c.is_estimate) order by c.id), '[]')
      from app.show_costs c where c.organization_id = organization and c.show_id = show and c.deleted_at is null),
    'deposits', (
      select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'paid_on', p.paid_on, 'amount_minor', p.amount_minor, 'note', p.note) order by p.id), '[]')
      from app.deposits p where p.organization_id = organization and p.show_id = show and p.deleted_at is null))
  into inputs
  from app.deals d where d.organization_id = organization and d.show_id = show and d.deleted_at is null;
  if inputs is null then
    perform app.refuse(409, 'settlement_needs_deal');
  end if;
  return inputs;
end
$$;
comment on function app.settlement_inputs(uuid) is 'The current inputs of a show''s settlement. PT409 settlement_needs_deal.';
grant execute on function app.settlement_inputs(uuid) to callboard_api, callboard_definer;

create or replace function app.draft_settlement(show uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  inputs jsonb;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  inputs := app.settlement_inputs(show);
  return (200, json_build_object('show_id', show, 'inputs', inputs, 'result', app.settle(inputs)), null, null)::app.answer;
end
$$;
comment on function app.draft_settlement(uuid) is 'What the settlement of the show would be now; records nothing. PT403, PT404, PT409 settlement_needs_deal, PT422 settlement_out_of_range.';
grant execute on function app.draft_settlement(uuid) to callboard_api;
--! EndIncluded settlements/settlement_arithmetic.sql
--! Included settlements/settlements.sql
-- Settlements: what was computed for a show and when, revision by revision. Only the commands below
-- write here, and the figures come from the tables, never from a request.

create table if not exists app.settlements (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  show_id uuid not null,
  number integer not null,
  status text not null default 'draft' constraint settlements_status_known check (status in ('draft', 'final')),
  reason text constraint settlements_reason_length check (length(reason) <= 1000),
  inputs jsonb not null,
  result jsonb not null,
  finalized_at timestamptz,
  finalized_by uuid references app.users (id),
  reopened_at timestamptz,
  reopened_by uuid references app.users (id),
  reopen_reason text constraint settlements_reopen_reason_length check (length(reopen_reason) <= 1000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, id),
  constraint settlements_number_once unique (organization_id, show_id, number),
  foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade,
  constraint settlements_final_with_time check ((status = 'final') = (finalized_at is not null)),
  constraint settlements_reopened_when_final check (reopened_at is null or status = 'final')
);
create unique index if not exists settlements_one_final on app.settlements (organization_id, show_id)
  where status = 'final' and reopened_at is null and deleted_at is null;
create index if not exists settlements_organization_id_show_id_idx on app.settlements (organization_id, show_id, created_at, id) where deleted_at is null;

-- Without grants: the commands below write and check these permissions.
select app_private.tenant_policies('app.settlements', reads => 'finance.read', inserts => 'finance.write', updates => 'finance.close',
  definer => 'insert, update');
grant select on app.settlements to callboard_api, callboard_definer;
grant insert (show_id, number, reason, inputs, result) on app.settlements to callboard_definer;
grant update (status, finalized_at, finalized_by, reopened_at, reopened_by, reopen_reason, deleted_at, deleted_by, deletion_id)
  on app.settlements to callboard_definer;

comment on table app.settlements is 'Revisions of the settlements of shows. The one that is final and was not reopened is in force.';
comment on column app.settlements.inputs is 'Deal, ticket tiers, costs and deposits as they were: see app.settlement_inputs.';
comment on column app.settlements.result is 'What app.settle computed from the inputs.';
comment on column app.settlements.reason is 'Why there is another revision.';

select app_private.log_changes('app.settlements', 'settlement', '{"finalized_at": "finalize", "reopened_at": "reopen"}');

create or replace function app_private.tg_settlements__200_unchanged() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.organization_id, new.id, new.show_id, new.number, new.reason, new.inputs, new.result, new.created_by, new.created_at)
      is distinct from (old.organization_id, old.id, old.show_id, old.number, old.reason, old.inputs, old.result, old.created_by, old.created_at)
    or old.status = 'final' and (new.status, new.finalized_at, new.finalized_by) is distinct from (old.status, old.finalized_at, old.finalized_by)
    or old.reopened_at is not null and (new.reopened_at, new.reopened_by, new.reopen_reason) is distinct from (old.reopened_at, old.reopened_by, old.reopen_reason)
  then
    perform app.refuse(409, 'settlement_final');
  end if;
  return new;
end
$$;
comment on function app_private.tg_settlements__200_unchanged() is
  'PT409 settlement_final for every role: a revision is finalized at most once and reopened at most once, and nothing else in it ever changes.';

create or replace trigger _200_unchanged before update on app.settlements
  for each row execute function app_private.tg_settlements__200_unchanged();

-- A show with a deal becomes settled only through a final settlement, not by setting its status.
create or replace function app_private.tg_shows__400_settlement() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if exists (select from app.deals d where d.organization_id = new.organization_id and d.show_id = new.id and d.deleted_at is null)
    and not exists (select from app.settlements x where x.organization_id = new.organization_id and x.show_id = new.id
      and x.status = 'final' and x.reopened_at is null and x.deleted_at is null)
  then
    perform app.refuse(409, 'settlement_not_final');
  end if;
  return new;
end
$$;
comment on function app_private.tg_shows__400_settlement() is 'PT409 settlement_not_final when a show with a deal would become settled without a final settlement.';
alter function app_private.tg_shows__400_settlement() owner to callboard_definer;

create or replace trigger _400_settlement before update on app.shows
  for each row when (new.status = 'settled' and old.status <> 'settled') execute function app_private.tg_shows__400_settlement();
--! EndIncluded settlements/settlements.sql
--! Included settlements/settlement_commands.sql
-- Commands on settlements; the table is in settlements.sql.

create or replace view app.settlement_list with (security_invoker = true) as
  select x.organization_id, x.id, x.show_id, x.created_at, x.version,
    json_build_object('id', x.id, 'show_id', x.show_id, 'number', x.number, 'status', x.status, 'reason', x.reason,
      'inputs', x.inputs, 'result', x.result,
      'finalized_at', x.finalized_at, 'finalized_by', x.finalized_by,
      'reopened_at', x.reopened_at, 'reopened_by', x.reopened_by, 'reopen_reason', x.reopen_reason,
      'created_by', x.created_by, 'created_at', x.created_at, 'updated_at', x.updated_at) as body
  from app.settlements x
  where x.deleted_at is null;
comment on view app.settlement_list is 'The organization''s undeleted settlements, with their JSON.';
grant select on app.settlement_list to callboard_api, callboard_definer;

create or replace function app.read_settlement(settlement uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require('finance.read');
  select 200, x.body, app.etag(x.version), '/api/settlements/' || x.id into answer from app.settlement_list x
  where x.organization_id = (select app.current_org()) and x.id = settlement;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_settlement(uuid) is 'A revision of a settlement. PT403, PT404.';
grant execute on function app.read_settlement(uuid) to callboard_api, callboard_definer;

create or replace function app_private.lock_show(show uuid) returns text
language plpgsql volatile
set search_path = ''
as $$
declare
  status text;
begin
  select s.status into status from app.shows s
  where s.organization_id = (select app.current_org()) and s.id = show and s.deleted_at is null for no key update;
  if status is null then
    perform app.refuse(404, 'not_found');
  end if;
  return status;
end
$$;
comment on function app_private.lock_show(uuid) is
  'Locks a show''s row and returns its status: the show''s parts are entered and changed before or after this transaction, not during it. PT404.';
alter function app_private.lock_show(uuid) owner to callboard_definer;

create or replace function app.record_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  why constant text := nullif(btrim(body ->> 'reason'), '');
  present jsonb;
  settlement uuid;
  answer app.answer;
begin
  perform app.require_show(show);
  perform app.require('finance.read');
  perform app.require('finance.write');
  if app_private.lock_show(show) = 'settled' then
    perform app.refuse(409, 'settlement_final');
  end if;
  if why is null and exists (
    select from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show and x.status = 'final' and x.deleted_at is null)
  then
    perform app.refuse(422, 'settlement_reason_needed');
  end if;
  present := app.settlement_inputs(show);
  insert into app.settlements (show_id, number, reason, inputs, result)
  select show, coalesce(max(x.number), 0) + 1, why, present, app.settle(present)
  from app.settlements x where x.organization_id = (select app.current_org()) and x.show_id = show
  returning id into settlement;
  answer := app.read_settlement(settlement);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.record_settlement(uuid, jsonb) is
  'Records the current settlement of a show as its next revision. PT403, PT404, PT409 settlement_needs_deal, settlement_final, PT422 settlement_reason_needed, settlement_out_of_range.';
alter function app.record_settlement(uuid, jsonb) owner to callboard_definer;
grant execute on function app.record_settlement(uuid, jsonb) to callboard_api;

create or replace function app.finalize_settlement(settlement uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present app.settlements;
  show_status text;
begin
  perform app.require('finance.read');
  select * into present from app.settlements x
  where x.organization_id = (select app.current_org()) and x.id = settlement and x.deleted_at is null;
  perform app.check_version(present.version, null);
  perform app.require('finance.close');
  show_status := app_private.lock_show(present.show_id);
  -- Check again under the lock: nobody else can finalize it now.
  select * into present from app.settlements x where x.organization_id = (select app.current_org()) and x.id = settlement;
  if present.status = 'final' then
    perform app.refuse(409, 'settlement_final');
  elsif show_status <> 'played' then
    perform app.refuse(409, 'settlement_show_not_played', format('The show is %s.', show_status));
  elsif present.inputs is distinct from app.settlement_inputs(present.show_id) then
    perform app.refuse(409, 'settlement_outdated');
  elsif present.inputs @> '{"costs": [{"is_estimate": true}]}' then
    perform app.refuse(409, 'settlement_estimated');
  end if;
  update app.settlements x set (status, finalized_at, finalized_by) = row ('final', statement_timestamp(), app.current_user_id())
  where x.organization_id = (select app.current_org()) and x.id = settlement;
  update app.shows s set status = 'settled' where s.organization_id = (select app.current_org()) and s.id = present.show_id;
  return app.read_settlement(settlement);
end
$$;
comment on function app.finalize_settlement(uuid) is
  'Makes a revision final and its show settled. PT403 without finance.close, PT404, PT409 settlement_final, settlement_show_not_played, settlement_outdated, settlement_estimated.';
alter function app.finalize_settlement(uuid) owner to callboard_definer;
grant execute on function app.finalize_settlement(uuid) to callboard_api;

create or replace function app.reopen_settlement(show uuid, body jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require_show(show);
  perform app.require('finance.close');
  if app_private.lock_show(show) <> 'settled' then
    perform app.refuse(409, 'show_not_settled');
  end if;
  update app.settlements x set (reopened_at, reopened_by, reopen_reason) = row (statement_timestamp(), app.current_user_id(), body ->> 'reason')
  where x.organization_id = (select app.current_org()) and x.show_id = show and x.status = 'final' and x.reopened_at is null and x.deleted_at is null;
  if not found then
    -- It was set to settled without a deal: then only the log keeps the reason.
    perform app_private.log_event(app.current_org(), 'show.reopen', 'show', show, jsonb_build_object('new', jsonb_build_object('reason', body ->> 'reason')));
  end if;
  update app.shows s set status = 'played' where s.organization_id = (select app.current_org()) and s.id = show;
  return app.read_show(show);
end
$$;
comment on function app.reopen_settlement(uuid, jsonb) is
  'Sets a settled show back to played, with a reason, which is recorded in the settlement that was final. PT403 without finance.close, PT404, PT409 show_not_settled.';
alter function app.reopen_settlement(uuid, jsonb) owner to callboard_definer;
grant execute on function app.reopen_settlement(uuid, jsonb) to callboard_api;
--! EndIncluded settlements/settlement_commands.sql
-- Imports
--! Included imports/imports.sql
-- Imports: a file of shows or finance records that a member uploads, has checked, and then has
-- imported. The worker does the work as that member: see import_checking.sql and import_running.sql.

create table if not exists app.imports (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  resource text not null constraint imports_resource_known check (resource in ('shows', 'finance_records')),
  file_name text collate app.people constraint imports_file_name_length check (length(file_name) between 1 and 200 and file_name !~ '[\u0001-\u001f\u007f-\u009f]'),
  bytes bigint not null,
  sha256 text not null,
  -- What the member said about the file and, once it is checked, what was found in it.
  options jsonb not null default '{}',
  status text not null default 'uploaded' constraint imports_status_known check (
    status in ('uploaded', 'checking', 'checked', 'queued', 'running', 'done', 'failed', 'cancelled')),
  on_error text constraint imports_on_error_known check (on_error in ('abort', 'skip')),
  lines integer not null default 0,
  bad_lines integer not null default 0,
  existing integer not null default 0,
  created integer not null default 0,
  failure text,
  session_id uuid not null default app.current_session_id(),
  created_by uuid not null default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (organization_id, id)
);
create index if not exists imports_organization_id_created_at_idx on app.imports (organization_id, created_at, id);
-- A job knows only the id of its import: see app_private.enter_import.
create index if not exists imports_id_idx on app.imports (id);

-- A separate table, because it changes while the import's row is locked by the transaction that enters its lines.
create table if not exists app.import_progress (
  organization_id uuid not null,
  import_id uuid not null,
  lines_done integer not null default 0,
  is_cancelled boolean not null default false,
  primary key (organization_id, import_id),
  constraint import_progress_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);

-- The file, in chunks, until the import has ended.
create table if not exists app.import_chunks (
  organization_id uuid not null,
  import_id uuid not null,
  n integer not null,
  content bytea not null,
  primary key (organization_id, import_id, n),
  constraint import_chunks_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);

create table if not exists app.import_lines (
  organization_id uuid not null,
  import_id uuid not null,
  line integer not null,
  -- For a good line: the columns of its table.
  record jsonb,
  -- For a bad one: [{"column", "reason"}].
  problems jsonb,
  primary key (organization_id, import_id, line),
  constraint import_lines_import_exists foreign key (organization_id, import_id) references app.imports (organization_id, id) on delete cascade
);
create index if not exists import_lines_problems_idx on app.import_lines (organization_id, import_id, line) where problems is not null;

comment on table app.imports is 'Files of shows or finance records, and what became of them.';
comment on column app.imports.lines is 'Number of lines with data, counted when the file is checked.';
comment on column app.imports.existing is 'Number of lines whose reference (source and external_ref) already exists; they are skipped.';
comment on table app.import_progress is 'The progress of a running import, and whether it should stop.';
comment on table app.import_chunks is 'The uploaded files of imports.';
comment on table app.import_lines is 'The lines of imports: their data, or what is wrong with them.';

-- Without write grants, because writes go through functions; nobody reads the file itself. The definer sees everything: the worker
-- must find out whose import it is about to enter.
select app_private.tenant_policies('app.imports', reads => 'imports.run', inserts => 'imports.run', updates => 'imports.run',
  definer => 'insert, update, delete');
select app_private.tenant_policies('app.import_progress', reads => 'imports.run', definer => 'insert, update, delete');
select app_private.tenant_policies('app.import_lines', reads => 'imports.run', definer => 'insert, update, delete');
select app_private.tenant_policies('app.import_chunks', reads => null, definer => 'insert, update, delete');
grant select, insert, update, delete on app.imports, app.import_progress, app.import_chunks, app.import_lines to callboard_definer;
-- The purge has no context and sees only old rows: see app.purge_expired.
drop policy if exists purge_definer on app.imports;
create policy purge_definer on app.imports for delete to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '30 days');
-- Not the digest of the file: see app.import_digest.
grant select (organization_id, id, resource, file_name, bytes, options, status, on_error, lines, bad_lines, existing, created, failure, session_id, created_by, created_at, finished_at) on app.imports to callboard_api;
grant select on app.import_progress to callboard_api;
-- Not the data: it may be that of fees and records which a member who may import shows must not read.
grant select (organization_id, import_id, line, problems) on app.import_lines to callboard_api;

select app_private.log_changes('app.imports', 'import', '{"status": "change_status"}', leave_out => '{sha256}');

create or replace function app.import_digest(import uuid) returns text
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select i.sha256 from app.imports i
  where i.organization_id = app.org_if_reading('imports.run') and i.id = import and i.created_by = app.current_user_id();
end;
comment on function app.import_digest(uuid) is
  'The SHA-256 of an import''s file, for the member who uploaded it: from it, others could find the fees in a file of which they may read all else.';
alter function app.import_digest(uuid) owner to callboard_definer;
grant execute on function app.import_digest(uuid) to callboard_api, callboard_definer;

create or replace view app.import_list with (security_invoker = true) as
  select i.organization_id, i.id, i.status, i.resource, i.created_at,
    json_build_object('id', i.id, 'resource', i.resource, 'file_name', i.file_name, 'bytes', i.bytes, 'sha256', app.import_digest(i.id),
      'delimiter', i.options ->> 'delimiter', 'decimal', i.options ->> 'decimal', 'encoding', i.options ->> 'encoding',
      'dates', i.options ->> 'dates', 'source', i.options ->> 'source',
      'status', i.status, 'on_error', i.on_error, 'lines', i.lines, 'bad_lines', i.bad_lines, 'existing', i.existing, 'created', i.created,
      'lines_done', coalesce(p.lines_done, 0), 'failure', i.failure,
      'created_by', i.created_by, 'created_at', i.created_at, 'finished_at', i.finished_at) as body
  from app.imports i
  left join app.import_progress p on p.organization_id = i.organization_id and p.import_id = i.id;
comment on view app.import_list is 'The organization''s imports, with their JSON.';
grant select on app.import_list to callboard_api, callboard_definer;

create or replace function app.read_import(import uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require_reading('imports.run');
  select 200, i.body, null::text, '/api/imports/' || i.id into answer from app.import_list i
  where i.organization_id = app.current_org() and i.id = import;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_import(uuid) is 'An import. PT403, PT404.';
grant execute on function app.read_import(uuid) to callboard_api, callboard_definer;

create or replace function app.create_import(the_resource text, name text, file_bytes bigint, file_sha256 text, given jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  import uuid;
  answer app.answer;
begin
  perform app.require('imports.run');
  perform app.require(case the_resource when 'shows' then 'shows.write' else 'finance.write' end);
  if file_bytes = 0 then
    perform app.refuse(400, 'bad_request', 'The body contains no file.');
  end if;
  insert into app.imports (resource, file_name, bytes, sha256, options)
  values (the_resource, name, file_bytes, file_sha256, jsonb_strip_nulls(given)) returning id into import;
  insert into app.import_progress (organization_id, import_id) values (app.current_org(), import);
  perform app_private.add_job('check_import', jsonb_build_object('import', import), 'import:' || import, 5);
  answer := app.read_import(import);
  answer.status := 201;
  return answer;
end
$$;
comment on function app.create_import(text, text, bigint, text, jsonb) is
  'Creates an import, to be checked once the transaction has committed; its file follows with app.add_import_chunk. PT400 bad_request without a file, PT403 without imports.run or the permission to write the imported resource.';
alter function app.create_import(text, text, bigint, text, jsonb) owner to callboard_definer;
grant execute on function app.create_import(text, text, bigint, text, jsonb) to callboard_api;

create or replace function app.add_import_chunk(import uuid, number integer, piece bytea) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- Only in the transaction that created it: nothing can be added to an uploaded file.
  if not exists (select from app.imports i where i.organization_id = app.current_org() and i.id = import
      and i.created_by = app.current_user_id() and i.created_at = now()) then
    perform app.refuse(404, 'not_found');
  end if;
  insert into app.import_chunks (organization_id, import_id, n, content) values (app.current_org(), import, number, piece);
end
$$;
comment on function app.add_import_chunk(uuid, integer, bytea) is 'Stores a chunk of the file of an import that this transaction created. PT404.';
alter function app.add_import_chunk(uuid, integer, bytea) owner to callboard_definer;
grant execute on function app.add_import_chunk(uuid, integer, bytea) to callboard_api;

create or replace function app.run_import(import uuid, when_bad text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports;
begin
  perform app.require('imports.run');
  select * into i from app.imports x where x.organization_id = app.current_org() and x.id = import for update;
  if not found then
    perform app.refuse(404, 'not_found');
  elsif i.status <> 'checked' then
    perform app.refuse(409, 'import_not_checked', format('The import is %s: only a checked import can be run.', i.status));
  elsif when_bad = 'abort' and i.bad_lines > 0 then
    perform app.refuse(409, 'import_has_bad_lines', format('%s of its %s lines are bad: run it with on_error skip, or import a corrected file.', i.bad_lines, i.lines));
  end if;
  perform app.require(case i.resource when 'shows' then 'shows.write' else 'finance.write' end);
  -- It runs as the member who starts it, with their permissions.
  update app.imports x set status = 'queued', on_error = when_bad, created_by = app.current_user_id(), session_id = app.current_session_id()
  where x.organization_id = i.organization_id and x.id = i.id;
  perform app_private.add_job('run_import', jsonb_build_object('import', i.id), 'import:' || i.id, 5);
  return app.read_import(i.id);
end
$$;
comment on function app.run_import(uuid, text) is
  'Has the lines of a checked import entered: all of them (abort) or only the good ones (skip). PT403, PT404, PT409 import_not_checked, import_has_bad_lines.';
alter function app.run_import(uuid, text) owner to callboard_definer;
grant execute on function app.run_import(uuid, text) to callboard_api;

create or replace function app.cancel_import(import uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present text;
begin
  perform app.require('imports.run');
  select x.status into present from app.imports x where x.organization_id = app.current_org() and x.id = import;
  if not found then
    perform app.refuse(404, 'not_found');
  elsif present in ('done', 'failed', 'cancelled') then
    perform app.refuse(409, 'import_ended', format('It is already %s.', present));
  end if;
  -- A running import holds a lock on its row, and checks this flag after every few lines.
  update app.import_progress p set is_cancelled = true where p.organization_id = app.current_org() and p.import_id = import;
  if present <> 'running' then
    perform from app.imports x where x.organization_id = app.current_org() and x.id = import for update;
    perform app_private.end_import(import, 'cancelled');
  end if;
  return app.read_import(import);
end
$$;
comment on function app.cancel_import(uuid) is 'Cancels an import; a running one stops soon, and none of it is entered. PT403, PT404, PT409 import_ended.';
alter function app.cancel_import(uuid) owner to callboard_definer;
grant execute on function app.cancel_import(uuid) to callboard_api;

create or replace function app_private.end_import(import uuid, with_status text, because text default null, entered integer default 0, there integer default null)
returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  i app.imports;
begin
  update app.imports x
  set status = with_status, failure = because, finished_at = statement_timestamp(), created = entered, existing = coalesce(there, x.existing)
  where x.organization_id = app.current_org() and x.id = import and x.status not in ('done', 'failed', 'cancelled')
  returning x.* into i;
  if found then
    perform app_private.count_integration(i.organization_id, 'import', coalesce(i.options ->> 'source', i.resource), 1, (with_status = 'failed')::integer,
      entered, i.bytes);
  end if;
  -- Good lines have become records or are no longer wanted; problems of bad ones may still be read.
  delete from app.import_chunks c where c.organization_id = app.current_org() and c.import_id = import;
  delete from app.import_lines l where l.organization_id = app.current_org() and l.import_id = import and l.problems is null;
end
$$;
comment on function app_private.end_import(uuid, text, text, integer, integer) is 'Ends an import, counts it, and deletes its file and its good lines.';
alter function app_private.end_import(uuid, text, text, integer, integer) owner to callboard_definer;

create or replace function app.list_import_problems(import uuid, after_line integer, how_many integer) returns app.answer
language plpgsql stable
set search_path = ''
as $$
begin
  perform app.read_import(import);
  return (
    select (200, json_build_object('items', coalesce(json_agg(json_build_object('line', x.line, 'problems', x.problems) order by x.line)
        filter (where x.n <= how_many), '[]'),
      'next_cursor', (max(x.line) filter (where x.n = how_many and x.total > how_many))::text), null, null)::app.answer
    from (
      select l.line, l.problems, row_number() over (order by l.line) as n, count(*) over () as total
      from app.import_lines l
      where l.organization_id = app.current_org() and l.import_id = import and l.problems is not null and l.line > after_line
      order by l.line limit how_many + 1) as x);
end
$$;
comment on function app.list_import_problems(uuid, integer, integer) is
  'The bad lines of an import after a given line, and the last of them if there are more. PT404.';
grant execute on function app.list_import_problems(uuid, integer, integer) to callboard_api;
--! EndIncluded imports/imports.sql
--! Included imports/import_checking.sql
-- Checking the lines of an import: the data of each, or what is wrong with it, in terms of the file.
-- The small functions have a standard SQL body and no settings of their own, so that they are inlined: they
-- are called dozens of times per line.

create or replace function app_private.csv_number(value text, decimal_is text) returns numeric
language sql immutable parallel safe
return case
  -- A group has exactly three digits: 1,5 is not fifteen.
  when decimal_is = 'comma' and value ~ '^[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]{1,18})(,[0-9]{1,10})?$' then replace(replace(value, '.', ''), ',', '.')::numeric
  when decimal_is = 'point' and value ~ '^[+-]?([0-9]{1,3}(,[0-9]{3})+|[0-9]{1,18})(\.[0-9]{1,10})?$' then replace(value, ',', '')::numeric
end;
comment on function app_private.csv_number(text, text) is 'Parses a number with comma or point as the decimal separator and the other one between thousands; NULL if it is not a number.';
alter function app_private.csv_number(text, text) owner to callboard_definer;

create or replace function app_private.csv_date(value text, order_is text) returns date
language plpgsql immutable parallel safe
set search_path = ''
as $$
declare
  part text[];
  y integer;
  m integer;
  d integer;
  found date;
begin
  if value ~ '^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}$' then
    part := string_to_array(value, '-');
    y := part[1]; m := part[2]; d := part[3];
  elsif value ~ '^[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}$' then
    part := string_to_array(value, '.');
    y := part[3]; m := part[2]; d := part[1];
  elsif value ~ '^[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}$' and order_is in ('dmy', 'mdy') then
    part := string_to_array(value, '/');
    y := part[3];
    m := part[case order_is when 'dmy' then 2 else 1 end]; d := part[case order_is when 'dmy' then 1 else 2 end];
  end if;
  if y is null or y not between 1 and 9999 or m not between 1 and 12 or d not between 1 and 31 then
    return null;
  end if;
  found := make_date(y, m, 1) + (d - 1);
  return case when extract(month from found) = m then found end;
end
$$;
comment on function app_private.csv_date(text, text) is
  'Parses a date: 2027-03-14, 14.3.2027, or with slashes in the order dmy or mdy; NULL if it is not a date.';
alter function app_private.csv_date(text, text) owner to callboard_definer;

create or replace function app_private.csv_time(value text) returns time
language sql stable parallel safe
return case when value ~ '^([01]?[0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$' then value::time(0) end;
comment on function app_private.csv_time(text) is 'Parses a time of day such as 19:30; NULL if it is not one.';
alter function app_private.csv_time(text) owner to callboard_definer;

create or replace function app_private.csv_uuid(value text) returns uuid
language sql immutable parallel safe
return case when value ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then value::uuid end;
comment on function app_private.csv_uuid(text) is 'Parses a UUID; NULL if it is not one.';
alter function app_private.csv_uuid(text) owner to callboard_definer;

-- The rules. Each is a row: the column, whether its value is bad, and the reason; NULL where nothing is wrong.

create or replace function app_private.bad(in_column text, is_bad boolean, reason text) returns jsonb
language sql stable parallel safe
return case when is_bad then jsonb_build_object('column', in_column, 'reason', reason) end;
comment on function app_private.bad(text, boolean, text) is 'A problem {column, reason} of a line, or NULL if is_bad is not true.';
alter function app_private.bad(text, boolean, text) owner to callboard_definer;

create or replace function app_private.missing(in_column text, value text, reason text) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, value is null, reason);
comment on function app_private.missing(text, text, text) is 'The problem of an empty required cell, or NULL.';
alter function app_private.missing(text, text, text) owner to callboard_definer;

create or replace function app_private.bad_line(in_column text, value text, longest integer) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, not app.is_line(value, longest), 'Longer than ' || longest || ' characters, or contains control characters.');
comment on function app_private.bad_line(text, text, integer) is 'The problem of a text that is not a valid single line (app.is_line), or NULL.';
alter function app_private.bad_line(text, text, integer) owner to callboard_definer;

create or replace function app_private.bad_text(in_column text, value text, longest integer) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, length(value) > longest, 'Longer than ' || longest || ' characters.');
comment on function app_private.bad_text(text, text, integer) is 'The problem of a text that is too long, or NULL.';
alter function app_private.bad_text(text, text, integer) owner to callboard_definer;

create or replace function app_private.bad_day(in_column text, value text, day date) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, value is not null and not coalesce(app.is_day(day), false), 'Not a date between 1900 and 2199: write 2027-03-14.');
comment on function app_private.bad_day(text, text, date) is 'The problem of a text that is not a valid day (app.is_day), or NULL; `day` is its parsed value.';
alter function app_private.bad_day(text, text, date) owner to callboard_definer;

create or replace function app_private.bad_time(in_column text, value text, time_of_day time) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, value is not null and time_of_day is null, 'Not a time: write 19:30.');
comment on function app_private.bad_time(text, text, time) is 'The problem of a text that is not a time of day, or NULL; the last argument is its parsed value.';
alter function app_private.bad_time(text, text, time) owner to callboard_definer;

create or replace function app_private.bad_count(in_column text, value text, count numeric, smallest integer, reason text) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, value is not null and coalesce(count not between smallest and 2147483647 or count <> trunc(count), true), reason);
comment on function app_private.bad_count(text, text, numeric, integer, text) is 'The problem of a text that is not a whole number of at least `smallest`, or NULL; `count` is its parsed value.';
alter function app_private.bad_count(text, text, numeric, integer, text) owner to callboard_definer;

create or replace function app_private.bad_choice(in_column text, value text, choices text[], reason text) returns jsonb
language sql stable parallel safe
return app_private.bad(in_column, value <> all (choices), reason);
comment on function app_private.bad_choice(text, text, text[], text) is 'The problem of a text that is not one of the choices, or NULL.';
alter function app_private.bad_choice(text, text, text[], text) owner to callboard_definer;

create or replace function app_private.check_finance_lines(i app.imports, lines jsonb) returns table (line integer, record jsonb, problems jsonb)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  -- In plpgsql, which plans this once for all batches of a connection.
  return query
  with given as materialized (
    select (x.value ->> 0)::integer as line, x.value -> 1 as v from jsonb_array_elements(lines) as x
  ),
  read as materialized (
    select g.line, g.v, o.currency as base,
      coalesce(upper(g.v ->> 'currency'), o.currency) as currency,
      coalesce(app_private.csv_number(g.v ->> 'amount', i.options ->> 'decimal') * 10::numeric ^ app.minor_digits(coalesce(upper(g.v ->> 'currency'), o.currency)),
        app_private.csv_number(g.v ->> 'amount_minor', i.options ->> 'decimal')) as amount,
      coalesce(app_private.csv_number(g.v ->> 'tax', i.options ->> 'decimal') * 10::numeric ^ app.minor_digits(coalesce(upper(g.v ->> 'currency'), o.currency)),
        app_private.csv_number(g.v ->> 'tax_minor', i.options ->> 'decimal')) as tax,
      app_private.csv_number(g.v ->> 'exchange_rate', i.options ->> 'decimal') as rate,
      app_private.csv_date(g.v ->> 'booked_on', i.options ->> 'dates') as booked_on,
      app_private.csv_date(g.v ->> 'due_on', i.options ->> 'dates') as due_on,
      app_private.csv_uuid(g.v ->> 'show_id') as show_id,
      coalesce(g.v ->> 'source', i.options ->> 'source', 'import') as source
    from given g, app.organizations o where o.id = i.organization_id
  ),
  meant as materialized (
    select r.*, k.kind, c.id as category_id, s.has_show
    from read r
    -- Without a kind the sign decides, as in bank statements.
    cross join lateral (select coalesce(lower(r.v ->> 'kind'), case when r.amount < 0 then 'expense' else 'income' end) as kind) k
    left join app.finance_categories c on c.organization_id = i.organization_id and c.kind = k.kind
      and lower(c.name) = lower((r.v ->> 'category') collate app.people) and c.deleted_at is null
    -- LIMIT makes PostgreSQL look up each show by its key, instead of reading all shows for every batch.
    left join lateral (select true as has_show from app.shows s
      where s.organization_id = i.organization_id and s.id = r.show_id and s.deleted_at is null limit 1) s on true
  ),
  -- Once for each line, and not for every mention of it.
  judged as materialized (
    select m.*, to_jsonb(nullif(array_remove(array[
      app_private.bad('', m.v ? '', 'The line has more cells than the header has columns.'),
      -- When.
      app_private.missing('booked_on', m.v ->> 'booked_on', 'A date is required.'),
      app_private.bad_day('booked_on', m.v ->> 'booked_on', m.booked_on),
      app_private.bad('booked_on', exists (select from app.finance_periods f where f.organization_id = i.organization_id
        and f.month = date_trunc('month', m.booked_on)::date), 'The books of this month are closed.'),
      app_private.bad_day('due_on', m.v ->> 'due_on', m.due_on),
      -- Category.
      app_private.bad_choice('kind', m.kind, '{income,expense}', 'Must be income or expense.'),
      app_private.bad('category', m.kind in ('income', 'expense') and m.v ->> 'category' is null, 'A category is required.'),
      app_private.bad('category', m.kind in ('income', 'expense') and m.v ->> 'category' is not null and m.category_id is null,
        format('There is no %s category of this name.', m.kind)),
      app_private.bad('show_id', m.v ->> 'show_id' is not null and m.has_show is null, 'There is no such show.'),
      -- Amount.
      app_private.missing('amount', coalesce(m.v ->> 'amount', m.v ->> 'amount_minor'), 'An amount is required.'),
      app_private.bad('amount', m.amount is null and coalesce(m.v ->> 'amount', m.v ->> 'amount_minor') is not null,
        format('Not a number (decimal %s expected).', i.options ->> 'decimal')),
      app_private.bad('amount', m.amount <> trunc(m.amount), format('%s has %s decimal places.', m.currency, app.minor_digits(m.currency))),
      app_private.bad('amount', abs(m.amount) > 9007199254740991, 'The amount is too large.'),
      app_private.bad('amount', m.amount < 0 and m.v ->> 'kind' is not null, 'An amount must not be negative if the column kind gives the direction.'),
      app_private.bad('tax', coalesce(m.v ->> 'tax', m.v ->> 'tax_minor') is not null
        and (m.tax is null or m.tax <> trunc(m.tax) or abs(m.tax) > abs(m.amount)), 'Not an amount of money between 0 and the amount.'),
      -- Currency.
      app_private.bad('currency', not exists (select from app.currencies c where c.code = m.currency), 'There is no such currency.'),
      app_private.bad('exchange_rate', m.v ->> 'exchange_rate' is not null and coalesce(m.rate <= 0 or m.rate > 1000000000, true), 'Not a positive number.'),
      app_private.bad('exchange_rate', m.currency <> m.base and m.v ->> 'exchange_rate' is null,
        format('An amount in %s needs its exchange rate to %s.', m.currency, m.base)),
      app_private.bad('exchange_rate', m.currency = m.base and m.rate <> 1, 'The exchange rate of a currency to itself is 1.'),
      app_private.bad('exchange_rate', app.convert_minor(least(abs(m.amount), 9007199254740991)::bigint, m.rate, m.currency, m.base) > 9007199254740991,
        format('The amount is too large in %s.', m.base)),
      -- Status.
      app_private.bad_choice('status', lower(m.v ->> 'status'), '{planned,committed,actual,void}', 'Must be planned, committed, actual or void.'),
      app_private.bad_choice('payment_status', lower(m.v ->> 'payment_status'), '{unpaid,partly_paid,paid,refunded}',
        'Must be unpaid, partly_paid, paid or refunded.'),
      -- Counterparty and source.
      app_private.bad_line('counterparty', m.v ->> 'counterparty', 200),
      app_private.bad_text('note', m.v ->> 'note', 10000),
      app_private.bad_line('source', m.source, 100),
      app_private.bad_line('external_ref', m.v ->> 'external_ref', 200)
    ], null), '{}')) as problems
    from meant m
  )
  select m.line,
    case when m.problems is null then jsonb_build_object('kind', m.kind, 'category_id', m.category_id, 'show_id', m.show_id,
      'booked_on', m.booked_on, 'due_on', m.due_on, 'amount_minor', abs(m.amount)::bigint, 'tax_minor', coalesce(abs(m.tax)::bigint, 0),
      'currency', m.currency, 'exchange_rate', coalesce(m.rate, 1), 'base_currency', m.base,
      'status', coalesce(lower(m.v ->> 'status'), 'actual'), 'payment_status', coalesce(lower(m.v ->> 'payment_status'), 'unpaid'),
      'counterparty', m.v ->> 'counterparty', 'note', m.v ->> 'note',
      'source', case when m.v ->> 'external_ref' is not null then m.source end, 'external_ref', m.v ->> 'external_ref') end,
    m.problems
  from judged m;
end
$$;
comment on function app_private.check_finance_lines(app.imports, jsonb) is 'The data of lines [[line, {column: text}]] of finance records, or what is wrong with them.';
alter function app_private.check_finance_lines(app.imports, jsonb) owner to callboard_definer;

create or replace function app_private.check_show_lines(i app.imports, lines jsonb) returns table (line integer, record jsonb, problems jsonb)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  -- In plpgsql, which plans this once for all batches of a connection.
  return query
  with given as materialized (
    select (x.value ->> 0)::integer as line, x.value -> 1 as v,
      jsonb_build_array(x.value #> '{1,venue_id}', x.value #> '{1,venue}', x.value #> '{1,city}') as venue_key
    from jsonb_array_elements(lines) as x
  ),
  -- A file names few venues, many times. Each way to name one has its own index, and two of a name are as many as a thousand.
  named as materialized (
    select d.venue_key, n.id, n.found
    from (select distinct g.venue_key from given g) d
    cross join lateral (
      select (array_agg(w.id))[1] as id, count(*) as found from (
        (select w.id from app.venues w
          where w.organization_id = i.organization_id and w.id = app_private.csv_uuid(d.venue_key ->> 0) and w.deleted_at is null)
        union all
        (select w.id from app.venues w
          where d.venue_key ->> 0 is null and d.venue_key ->> 2 is null
            and w.organization_id = i.organization_id and lower(w.name) = lower((d.venue_key ->> 1) collate app.people) and w.deleted_at is null limit 2)
        union all
        (select w.id from app.venues w
          where d.venue_key ->> 0 is null and w.organization_id = i.organization_id and lower(w.name) = lower((d.venue_key ->> 1) collate app.people)
            and lower(w.city) = lower((d.venue_key ->> 2) collate app.people) and w.deleted_at is null limit 2)) as w) n
  ),
  read as materialized (
    select g.line, g.v,
      case when coalesce(g.v ->> 'fee', g.v ->> 'fee_minor') is not null then coalesce(upper(g.v ->> 'currency'), o.currency) end as currency,
      coalesce(app_private.csv_number(g.v ->> 'fee', i.options ->> 'decimal') * 10::numeric ^ app.minor_digits(coalesce(upper(g.v ->> 'currency'), o.currency)),
        app_private.csv_number(g.v ->> 'fee_minor', i.options ->> 'decimal')) as fee,
      app_private.csv_date(g.v ->> 'show_on', i.options ->> 'dates') as show_on,
      app_private.csv_time(g.v ->> 'doors_time') as doors_time, app_private.csv_time(g.v ->> 'start_time') as start_time,
      app_private.csv_time(g.v ->> 'curfew_time') as curfew_time,
      app_private.csv_number(g.v ->> 'capacity', i.options ->> 'decimal') as capacity,
      app_private.csv_number(g.v ->> 'tickets_sold', i.options ->> 'decimal') as tickets_sold,
      coalesce(g.v ->> 'source', i.options ->> 'source', 'import') as source,
      n.id as venue_id, n.found, w.may_write_fees
    from given g
    cross join (select app.has_permission('finance.write') as may_write_fees offset 0) w
    cross join app.organizations o
    join named n on n.venue_key = g.venue_key
    where o.id = i.organization_id
  ),
  -- Once for each line, and not for every mention of it.
  judged as materialized (
    select m.*, to_jsonb(nullif(array_remove(array[
      app_private.bad('', m.v ? '', 'The line has more cells than the header has columns.'),
      -- What.
      app_private.missing('title', m.v ->> 'title', 'A title is required.'),
      app_private.bad_line('title', m.v ->> 'title', 200),
      app_private.missing('artist', m.v ->> 'artist', 'An artist is required.'),
      app_private.bad_line('artist', m.v ->> 'artist', 200),
      app_private.bad_choice('status', lower(m.v ->> 'status'), '{inquiry,hold,offer,confirmed,played,settled,cancelled,postponed}',
        'Must be inquiry, hold, offer, confirmed, played, settled, cancelled or postponed.'),
      app_private.bad_text('notes', m.v ->> 'notes', 10000),
      -- Where.
      app_private.bad('venue', coalesce(m.v ->> 'venue_id', m.v ->> 'venue') is not null and m.found = 0, 'There is no such venue.'),
      app_private.bad('venue', m.found > 1, 'Several venues have this name: add the column city.'),
      -- When.
      app_private.missing('show_on', m.v ->> 'show_on', 'A date is required.'),
      app_private.bad_day('show_on', m.v ->> 'show_on', m.show_on),
      app_private.bad_time('doors_time', m.v ->> 'doors_time', m.doors_time),
      app_private.bad_time('start_time', m.v ->> 'start_time', m.start_time),
      app_private.bad_time('curfew_time', m.v ->> 'curfew_time', m.curfew_time),
      app_private.bad('doors_time', m.doors_time > m.start_time, 'Doors cannot open after the start.'),
      -- Capacity.
      app_private.bad_count('capacity', m.v ->> 'capacity', m.capacity, 1, 'Not a positive whole number.'),
      app_private.bad_count('tickets_sold', m.v ->> 'tickets_sold', m.tickets_sold, 0, 'Not a whole number.'),
      app_private.bad('tickets_sold', m.tickets_sold > m.capacity, 'More tickets are sold than there are places.'),
      -- Fee.
      app_private.bad('fee', coalesce(m.v ->> 'fee', m.v ->> 'fee_minor') is not null and not m.may_write_fees,
        'Entering a fee needs the permission finance.write: leave the column out, or have somebody import it who holds them.'),
      app_private.bad('fee', coalesce(m.v ->> 'fee', m.v ->> 'fee_minor') is not null and coalesce(m.fee not between 0 and 9007199254740991, true),
        format('Not a number of at least 0 (decimal %s expected).', i.options ->> 'decimal')),
      app_private.bad('fee', m.fee <> trunc(m.fee), format('%s has %s decimal places.', m.currency, app.minor_digits(m.currency))),
      app_private.bad('currency', m.currency !~ '^[A-Z]{3}$', 'Not an ISO 4217 code.'),
      -- Source.
      app_private.bad_line('source', m.source, 100),
      app_private.bad_line('external_ref', m.v ->> 'external_ref', 200)
    ], null), '{}')) as problems
    from read m
  )
  select m.line,
    case when m.problems is null then jsonb_build_object('title', m.v ->> 'title', 'artist', m.v ->> 'artist', 'venue_id', m.venue_id, 'show_on', m.show_on,
      'doors_time', m.doors_time, 'start_time', m.start_time, 'curfew_time', m.curfew_time, 'status', coalesce(lower(m.v ->> 'status'), 'inquiry'),
      'capacity', m.capacity::integer, 'tickets_sold', coalesce(m.tickets_sold, 0)::integer, 'fee_minor', m.fee::bigint, 'currency', m.currency, 'notes', m.v ->> 'notes',
      'source', case when m.v ->> 'external_ref' is not null then m.source end, 'external_ref', m.v ->> 'external_ref') end,
    m.problems
  from judged m;
end
$$;
comment on function app_private.check_show_lines(app.imports, jsonb) is 'The data of lines [[line, {column: text}]] of shows, or what is wrong with them.';
alter function app_private.check_show_lines(app.imports, jsonb) owner to callboard_definer;
--! EndIncluded imports/import_checking.sql
--! Included imports/import_running.sql
-- What the worker does with an import (src/imports/task.ts): it stages the lines of the file and, once the
-- member says so, enters them in one transaction. Each function first assumes the context of the member
-- who requested it, with their current permissions.

create or replace function app_private.enter_import(import uuid) returns app.imports
language plpgsql volatile
set search_path = ''
as $$
declare
  i app.imports;
  held text[];
begin
  select * into i from app.imports x where x.id = import;
  if not found then
    return null;
  end if;
  held := app.permissions_of(i.organization_id, i.created_by);
  perform app_private.set_context(i.created_by, i.session_id, i.organization_id, null, array_to_string(held, ' '));
  -- Waits for another worker on the same import, and then sees what it has done.
  select * into i from app.imports x where x.organization_id = i.organization_id and x.id = import for update;
  return i;
end
$$;
comment on function app_private.enter_import(uuid) is 'Opens this transaction for the member whose import it is, and locks the import; null if it does not exist.';
alter function app_private.enter_import(uuid) owner to callboard_definer;

create or replace function app_private.may_import(i app.imports) returns boolean
language sql stable
set search_path = ''
begin atomic
  select app.has_permission('imports.run') and app.has_permission(case i.resource when 'shows' then 'shows.write' else 'finance.write' end)
    and case when i.resource = 'shows' and not app.has_permission('finance.write') then
      not exists (select from app.import_lines l where l.organization_id = i.organization_id and l.import_id = i.id and l.record ->> 'fee_minor' is not null)
      else true end;
end;
comment on function app_private.may_import(app.imports) is 'Whether the member whose import it is may still run it: shows with fees only if they may write fees.';
alter function app_private.may_import(app.imports) owner to callboard_definer;

create or replace function app.begin_import(import uuid, step text) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
begin
  if i.id is null or not i.status = any (case step when 'check' then array['uploaded', 'checking'] else array['queued', 'running'] end) then
    return null;
  elsif not app_private.may_import(i) then
    perform app_private.end_import(i.id, 'failed', 'The member who requested it no longer has permission.');
    return null;
  end if;
  if step = 'check' then
    -- Lines staged by a worker that died.
    delete from app.import_lines l where l.organization_id = i.organization_id and l.import_id = i.id;
  end if;
  update app.import_progress p set lines_done = 0 where p.organization_id = i.organization_id and p.import_id = i.id;
  update app.imports x set status = case step when 'check' then 'checking' else 'running' end where x.organization_id = i.organization_id and x.id = i.id;
  return jsonb_build_object('resource', i.resource, 'options', i.options, 'lines', i.lines, 'chunks', (
    select count(*) from app.import_chunks c where c.organization_id = i.organization_id and c.import_id = i.id));
end
$$;
comment on function app.begin_import(uuid, text) is
  'Starts or restarts checking or running an import: returns its resource, options, lines and number of chunks. NULL if there is nothing (left) to do.';
alter function app.begin_import(uuid, text) owner to callboard_definer;
grant execute on function app.begin_import(uuid, text) to callboard_worker;

create or replace function app.import_chunk(import uuid, number integer) returns bytea
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select c.content from app.import_chunks c join app.imports i on i.organization_id = c.organization_id and i.id = c.import_id
  where i.id = import and c.n = number;
end;
comment on function app.import_chunk(uuid, integer) is 'A chunk of the file of an import, numbered from 0.';
alter function app.import_chunk(uuid, integer) owner to callboard_definer;
grant execute on function app.import_chunk(uuid, integer) to callboard_worker;

create or replace function app.stage_import(import uuid, found_options jsonb, lines jsonb) returns boolean
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
  staged integer;
begin
  if i.status is distinct from 'checking' then
    return false;
  end if;
  i.options := found_options;
  if i.resource = 'shows' then
    insert into app.import_lines (organization_id, import_id, line, record, problems)
    select i.organization_id, i.id, c.* from app_private.check_show_lines(i, lines) c;
  else
    insert into app.import_lines (organization_id, import_id, line, record, problems)
    select i.organization_id, i.id, c.* from app_private.check_finance_lines(i, lines) c;
  end if;
  get diagnostics staged = row_count;
  update app.import_progress p set lines_done = p.lines_done + staged where p.organization_id = i.organization_id and p.import_id = i.id;
  return true;
end
$$;
comment on function app.stage_import(uuid, jsonb, jsonb) is
  'Checks lines [[line, {column: text}]] of an import and stores the result. False if it was cancelled.';
alter function app.stage_import(uuid, jsonb, jsonb) owner to callboard_definer;
grant execute on function app.stage_import(uuid, jsonb, jsonb) to callboard_worker;

-- The planner does not know lines that were just staged and expects one of them, so it would compare each with all the
-- others. Without nested loops it reads every table once, whatever it expects; and it plans now, not when there were few.
create or replace function app.finish_check(import uuid, found_options jsonb, because text default null) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set enable_nestloop = off
set plan_cache_mode = 'force_custom_plan'
set jit = off
as $$
declare
  i app.imports := app_private.enter_import(import);
  present bigint;
begin
  if i.status is distinct from 'checking' then
    return;
  end if;
  if because is not null then
    update app.imports x set options = found_options where x.organization_id = i.organization_id and x.id = i.id;
    perform app_private.end_import(i.id, 'failed', because);
    return;
  end if;
  -- If a reference occurs more than once in the file, the first line keeps it.
  update app.import_lines l
  set record = null, problems = jsonb_build_array(jsonb_build_object('column', 'external_ref', 'reason', format('Line %s has the same one.', d.first_line)))
  from (
    select x.line, first_value(x.line) over (partition by x.record ->> 'source', x.record ->> 'external_ref' order by x.line) as first_line
    from app.import_lines x
    where x.organization_id = i.organization_id and x.import_id = i.id and x.record ->> 'external_ref' is not null) d
  where l.organization_id = i.organization_id and l.import_id = i.id and l.line = d.line and d.line <> d.first_line;
  -- Most files have no references: then nothing of the organization is read.
  if not exists (select from app.import_lines l
      where l.organization_id = i.organization_id and l.import_id = i.id and l.record ->> 'external_ref' is not null) then
    present := 0;
  elsif i.resource = 'shows' then
    select count(*) into present from app.import_lines l
    join app.shows s on s.organization_id = l.organization_id and s.deleted_at is null
      and s.source = l.record ->> 'source' and s.external_ref = l.record ->> 'external_ref'
    where l.organization_id = i.organization_id and l.import_id = i.id;
  else
    select count(*) into present from app.import_lines l
    join app.finance_records r on r.organization_id = l.organization_id and r.deleted_at is null
      and r.source = l.record ->> 'source' and r.external_ref = l.record ->> 'external_ref'
    where l.organization_id = i.organization_id and l.import_id = i.id;
  end if;
  update app.imports x
  set status = 'checked', options = found_options, existing = present,
    (lines, bad_lines) = (select count(*), count(l.problems) from app.import_lines l where l.organization_id = i.organization_id and l.import_id = i.id)
  where x.organization_id = i.organization_id and x.id = i.id;
  -- The staged lines contain everything needed from the file.
  delete from app.import_chunks c where c.organization_id = i.organization_id and c.import_id = i.id;
end
$$;
comment on function app.finish_check(uuid, jsonb, text) is 'Ends the check of an import: all its lines are staged or, with a reason, the file cannot be read.';
alter function app.finish_check(uuid, jsonb, text) owner to callboard_definer;
grant execute on function app.finish_check(uuid, jsonb, text) to callboard_worker;

create or replace function app.enter_lines(import uuid, after_line integer, how_many integer, out last_line integer, out entered integer, out there integer)
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
  good integer;
begin
  if not app_private.may_import(i) then
    perform app.refuse(403, 'permission_denied', 'The member who requested it no longer has permission.');
  elsif (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id) then
    perform app.refuse(409, 'import_ended', 'It was cancelled.');
  end if;
  select max(x.line), count(*) into last_line, good from (
    select l.line from app.import_lines l
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line
    order by l.line limit how_many) x;
  if i.resource = 'shows' then
    -- The ids are made here, because an INSERT does not say which line became which show.
    with good_lines as materialized (
      select app.uuid_v7() as id, r.*
      from app.import_lines l
      cross join lateral jsonb_to_record(l.record) as r (title text, artist text, venue_id uuid, show_on date, doors_time time, start_time time,
        curfew_time time, status text, capacity integer, tickets_sold integer, fee_minor bigint, currency text, notes text, source text, external_ref text)
      where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line and l.line <= last_line
      order by l.line
    ), new_shows as (
      insert into app.shows (organization_id, id, title, artist, venue_id, show_on, doors_time, start_time, curfew_time, status, capacity, tickets_sold,
        notes, source, external_ref, created_by)
      select i.organization_id, g.id, g.title, g.artist, g.venue_id, g.show_on, g.doors_time, g.start_time, g.curfew_time, g.status, g.capacity, g.tickets_sold,
        g.notes, g.source, g.external_ref, i.created_by
      from good_lines g
      on conflict (organization_id, source, external_ref) where deleted_at is null and external_ref is not null do nothing
      returning id
    ), new_fees as (
      insert into app.show_fees (organization_id, show_id, fee_minor, currency)
      select i.organization_id, n.id, g.fee_minor, g.currency from new_shows n join good_lines g on g.id = n.id where g.fee_minor is not null
    )
    select count(*) into entered from new_shows;
  else
    insert into app.finance_records (organization_id, kind, category_id, show_id, booked_on, due_on, amount_minor, tax_minor, currency, exchange_rate,
      base_currency, status, payment_status, counterparty, note, source, external_ref, created_by)
    select i.organization_id, r.*, i.created_by
    from app.import_lines l
    cross join lateral jsonb_to_record(l.record) as r (kind text, category_id uuid, show_id uuid, booked_on date, due_on date, amount_minor bigint,
      tax_minor bigint, currency text, exchange_rate numeric, base_currency text, status text, payment_status text, counterparty text, note text,
      source text, external_ref text)
    where l.organization_id = i.organization_id and l.import_id = i.id and l.problems is null and l.line > after_line and l.line <= last_line
    order by l.line
    on conflict (organization_id, source, external_ref) where deleted_at is null and external_ref is not null do nothing;
    get diagnostics entered = row_count;
  end if;
  there := good - entered;
end
$$;
comment on function app.enter_lines(uuid, integer, integer) is
  'Enters the next good lines of an import: returns the last of them (null: there were none), how many were entered, and how many existed already. PT403 and PT409 when it must stop, and any refusal of the table itself.';
alter function app.enter_lines(uuid, integer, integer) owner to callboard_definer;
grant execute on function app.enter_lines(uuid, integer, integer) to callboard_worker;

create or replace function app.note_import_progress(import uuid, lines integer) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports;
begin
  -- Runs in parallel with the transaction that holds the lock on the import, so it takes none.
  select * into i from app.imports x where x.id = import;
  perform app_private.set_context(i.created_by, i.session_id, i.organization_id);
  update app.import_progress p set lines_done = lines where p.organization_id = i.organization_id and p.import_id = i.id;
end
$$;
comment on function app.note_import_progress(uuid, integer) is 'Records how many lines of an import the worker has processed.';
alter function app.note_import_progress(uuid, integer) owner to callboard_definer;
grant execute on function app.note_import_progress(uuid, integer) to callboard_worker;

create or replace function app.finish_import(import uuid, entered integer, there integer, because text default null) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  i app.imports := app_private.enter_import(import);
  is_cancelled boolean := (select p.is_cancelled from app.import_progress p where p.organization_id = i.organization_id and p.import_id = i.id);
begin
  if i.status is distinct from 'running' then
    return;
  end if;
  perform app_private.end_import(i.id, case when because is null then 'done' when is_cancelled then 'cancelled' else 'failed' end,
    because, entered, there);
end
$$;
comment on function app.finish_import(uuid, integer, integer, text) is 'Ends a run of an import: how many lines were entered and how many existed already or, with a reason, that it failed.';
alter function app.finish_import(uuid, integer, integer, text) owner to callboard_definer;
grant execute on function app.finish_import(uuid, integer, integer, text) to callboard_worker;
--! EndIncluded imports/import_running.sql
-- Itineraries
--! Included itineraries/itineraries.sql
-- Itineraries: a tour with its days. These tables hold the planners' draft (itineraries.write);
-- everybody else reads the published versions, see itinerary_versions.sql.

create table if not exists app.itineraries (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text collate app.people not null constraint itineraries_name_length check (app.is_line(name, 200)),
  artist text collate app.people not null constraint itineraries_artist_length check (app.is_line(artist, 200)),
  starts_on date not null constraint itineraries_starts_on_range check (app.is_day(starts_on)),
  ends_on date not null constraint itineraries_ends_on_range check (app.is_day(ends_on)),
  notes text constraint itineraries_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint itineraries_start_before_end check (starts_on <= ends_on)
);
create index if not exists itineraries_organization_id_starts_on_idx on app.itineraries (organization_id, starts_on, id) where deleted_at is null;

select app_private.tenant_table('itineraries', noun => 'itinerary', permission => 'itineraries', reads => 'itineraries.write', path => '/api/itineraries', is_exported => true);
grant insert (name, artist, starts_on, ends_on, notes), update (name, artist, starts_on, ends_on, notes) on app.itineraries to callboard_api;

comment on table app.itineraries is 'Tours being planned.';
comment on column app.itineraries.starts_on is 'First day of the tour; other days, such as rehearsals, may come before it.';

create table if not exists app.itinerary_days (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  day_on date not null constraint itinerary_days_day_on_range check (app.is_day(day_on)),
  kind text not null default 'show' constraint itinerary_days_kind_known check (kind in ('show', 'travel', 'off', 'rehearsal', 'press')),
  -- The day stays when its show is deleted, and has it again when the show is restored.
  show_id uuid,
  city text collate app.people constraint itinerary_days_city_length check (app.is_line(city, 200)),
  time_zone text not null constraint itinerary_days_time_zone_exists check (app.is_time_zone(time_zone)),
  notes text constraint itinerary_days_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint itinerary_days_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade,
  constraint itinerary_days_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id)
);
create unique index if not exists itinerary_days_date_taken on app.itinerary_days (organization_id, itinerary_id, day_on) where deleted_at is null;
create index if not exists itinerary_days_show_id_idx on app.itinerary_days (organization_id, show_id) where show_id is not null;

create or replace view app.itinerary_day_rows with (security_invoker = true) as
  select d.organization_id, d.version, d.deleted_at, d.deleted_by, app.body(d.as_json) as body,
    d.id, d.itinerary_id, d.day_on, d.time_zone, d.kind, d.show_id, d.city, d.notes,
    d.created_by, d.created_at, d.updated_at
  from app.itinerary_days d;

select app_private.tenant_table('itinerary_days', noun => 'itinerary_day', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/itinerary-days');
grant insert (itinerary_id, day_on, kind, show_id, city, time_zone, notes), update (day_on, kind, show_id, city, time_zone, notes) on app.itinerary_days to callboard_api;

comment on table app.itinerary_days is 'The days of itineraries.';
comment on column app.itinerary_days.time_zone is 'The time zone of all local times of the day.';
--! EndIncluded itineraries/itineraries.sql
--! Included itineraries/itinerary_party.sql
-- The party of an itinerary: who travels, and the groups that decide who may see what.

create table if not exists app.party_groups (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  name text collate app.people not null constraint party_groups_name_length check (app.is_line(name, 100)),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint party_groups_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade
);
create unique index if not exists party_groups_name_taken on app.party_groups (organization_id, itinerary_id, lower(name)) where deleted_at is null;
alter index app.party_groups_name_taken alter column 3 set statistics 0;

create or replace view app.party_group_rows with (security_invoker = true) as
  select g.organization_id, g.version, g.deleted_at, g.deleted_by, app.body(g.as_json) as body,
    g.id, g.itinerary_id, g.name,
    g.created_by, g.created_at, g.updated_at
  from app.party_groups g;

select app_private.tenant_table('party_groups', noun => 'party_group', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/party-groups');
grant insert (itinerary_id, name), update (name) on app.party_groups to callboard_api;

comment on table app.party_groups is 'Parts of a party, such as band and crew. What is only for a deleted group is visible only to planners.';

-- Lists of ids have no foreign keys. Arguments: the list's column, and the table that it references.
-- Ids already in the list are allowed even if deleted since.
create or replace function app_private.tg__400_listed() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  present jsonb := to_jsonb(new);
  before jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) else '{}' end;
  unknown text;
begin
  for n in 0 .. tg_nargs / 2 - 1 loop
    execute format(
      'select string_agg(coalesce(x.id, ''null''), '', '') from (
         select jsonb_array_elements_text($1) as id except select jsonb_array_elements_text($2)) x
       where not exists (select from %s p where p.organization_id = $3 and p.id = x.id::uuid and p.itinerary_id = $4 and p.deleted_at is null)',
      tg_argv[2 * n + 1])
    into unknown
    using present -> tg_argv[2 * n], coalesce(before -> tg_argv[2 * n], '[]'), new.organization_id, (present ->> 'itinerary_id')::uuid;
    if unknown is not null then
      perform app.refuse(409, 'party_unknown', format('Not in the party of this itinerary: %s.', unknown));
    end if;
  end loop;
  return new;
end
$$;
comment on function app_private.tg__400_listed() is 'PT409 party_unknown for an id in a list that is neither a person nor a group of the itinerary''s party.';
alter function app_private.tg__400_listed() owner to callboard_definer;

create table if not exists app.party_members (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  name text collate app.people not null constraint party_members_name_length check (app.is_line(name, 200)),
  role text collate app.people constraint party_members_role_length check (app.is_line(role, 200)),
  -- Their account, if they have one: the groups decide what this member sees of the itinerary.
  user_id uuid,
  group_ids uuid[] not null default '{}',
  notes text constraint party_members_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint party_members_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade,
  constraint party_members_user_exists foreign key (organization_id, user_id)
    references app.memberships (organization_id, user_id) on delete set null (user_id)
);
create unique index if not exists party_members_user_taken on app.party_members (organization_id, itinerary_id, user_id) where deleted_at is null;
create index if not exists party_members_user_id_idx on app.party_members (organization_id, user_id) where user_id is not null;

create or replace view app.party_member_rows with (security_invoker = true) as
  select m.organization_id, m.version, m.deleted_at, m.deleted_by, app.body(m.as_json) as body,
    m.id, m.itinerary_id, m.name, m.role, m.user_id, m.group_ids, m.notes,
    m.created_by, m.created_at, m.updated_at
  from app.party_members m;

select app_private.tenant_table('party_members', noun => 'party_member', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/party-members');
grant insert (itinerary_id, name, role, user_id, group_ids, notes), update (name, role, user_id, group_ids, notes) on app.party_members to callboard_api;

comment on table app.party_members is 'The people who travel on an itinerary.';
create or replace trigger _400_listed before insert or update of group_ids on app.party_members
  for each row execute function app_private.tg__400_listed('group_ids', 'app.party_groups');

create or replace function app.own_groups() returns uuid[]
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select coalesce(array_agg(g.id), '{}')
  from app.party_members m
  join app.party_groups g on g.organization_id = m.organization_id and g.id = any (m.group_ids) and g.deleted_at is null
  where m.organization_id = app.current_org() and m.user_id = app.current_user_id() and m.deleted_at is null;
end;
comment on function app.own_groups() is 'The groups that the user of this transaction is in, across all itineraries of the organization. For policies, which evaluate it once per statement.';
alter function app.own_groups() owner to callboard_definer;
grant execute on function app.own_groups() to callboard_api;
--! EndIncluded itineraries/itinerary_party.sql
--! Included itineraries/schedule_items.sql
-- What happens on the days of an itinerary, hour by hour.

create table if not exists app.schedule_items (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  -- The day's, set by a trigger.
  itinerary_id uuid not null,
  day_id uuid not null,
  kind text not null default 'other' constraint schedule_items_kind_known check (
    kind in ('load_in', 'soundcheck', 'doors', 'performance', 'load_out', 'lobby_call', 'press', 'rehearsal', 'meal', 'meeting', 'other')),
  title text collate app.people not null constraint schedule_items_title_length check (app.is_line(title, 200)),
  certainty text not null default 'exact' constraint schedule_items_certainty_known check (
    certainty in ('exact', 'approximate', 'to_be_determined', 'hidden')),
  start_time time(0),
  starts_next_day boolean not null default false,
  end_time time(0),
  ends_next_day boolean not null default false,
  is_confirmed boolean not null default false,
  show_id uuid,
  location text collate app.people constraint schedule_items_location_length check (app.is_line(location, 200)),
  -- The groups it is for; everybody if empty.
  group_ids uuid[] not null default '{}',
  notes text constraint schedule_items_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint schedule_items_day_exists foreign key (organization_id, day_id)
    references app.itinerary_days (organization_id, id) on delete cascade,
  constraint schedule_items_show_exists foreign key (organization_id, show_id)
    references app.shows (organization_id, id) on delete set null (show_id),
  constraint schedule_items_time_as_certain check ((certainty = 'to_be_determined') = (start_time is null)),
  constraint schedule_items_next_day_with_time check ((start_time is not null or not starts_next_day) and (end_time is not null or not ends_next_day)),
  constraint schedule_items_start_before_end check (
    end_time is null or start_time is not null and (starts_next_day, start_time) <= (ends_next_day, end_time))
);
create index if not exists schedule_items_day_id_idx on app.schedule_items (organization_id, day_id, start_time, id) where deleted_at is null;
create index if not exists schedule_items_itinerary_id_idx on app.schedule_items (organization_id, itinerary_id, id) where deleted_at is null;
create index if not exists schedule_items_show_id_idx on app.schedule_items (organization_id, show_id) where show_id is not null;

create or replace view app.schedule_item_rows with (security_invoker = true) as
  select i.organization_id, i.version, i.deleted_at, i.deleted_by, app.body(i.as_json, row_to_json(j)) as body,
    -- Items without a time come first on their day.
    (d.day_on + i.starts_next_day::integer + coalesce(i.start_time, '00:00')) at time zone d.time_zone as sort_at,
    i.id, i.day_id, i.title, i.kind, i.certainty, to_char(i.start_time, 'HH24:MI') as start_time, i.starts_next_day, to_char(i.end_time, 'HH24:MI') as end_time, i.ends_next_day, i.is_confirmed, i.show_id, i.location, i.group_ids, i.notes,
    i.itinerary_id, i.created_by, i.created_at, i.updated_at, j.*
  from app.schedule_items i
  join app.itinerary_days d on d.organization_id = i.organization_id and d.id = i.day_id
  cross join lateral (
    select d.day_on, d.time_zone, (d.day_on + i.starts_next_day::integer + i.start_time) at time zone d.time_zone as starts_at,
      (d.day_on + i.ends_next_day::integer + i.end_time) at time zone d.time_zone as ends_at) j;

select app_private.tenant_table('schedule_items', noun => 'schedule_item', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/schedule-items');
grant insert (day_id, kind, title, certainty, start_time, starts_next_day, end_time, ends_next_day, is_confirmed, show_id, location, group_ids, notes), update (day_id, kind, title, certainty, start_time, starts_next_day, end_time, ends_next_day, is_confirmed, show_id, location, group_ids, notes) on app.schedule_items to callboard_api;

comment on table app.schedule_items is 'What happens on a day: load-in, soundcheck, lobby call …';
comment on column app.schedule_items.starts_next_day is 'It belongs to this day and starts after midnight, like a load-out at 01:00.';
comment on column app.schedule_items.certainty is 'exact, approximate, to_be_determined (no time yet), or hidden (there is one, but only planners see it).';

create or replace function app_private.tg_schedule_items__250_itinerary() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  itinerary uuid := (select d.itinerary_id from app.itinerary_days d where d.organization_id = new.organization_id and d.id = new.day_id);
begin
  if tg_op = 'UPDATE' and itinerary is distinct from old.itinerary_id then
    perform app.refuse(409, 'schedule_items_day_exists', 'The itinerary has no such day.');
  end if;
  new.itinerary_id := itinerary;
  return new;
end
$$;
comment on function app_private.tg_schedule_items__250_itinerary() is 'Sets an item''s itinerary. PT409 schedule_items_day_exists for a day of another itinerary.';
alter function app_private.tg_schedule_items__250_itinerary() owner to callboard_definer;

create or replace trigger _250_itinerary before insert or update of day_id on app.schedule_items
  for each row execute function app_private.tg_schedule_items__250_itinerary();
create or replace trigger _400_listed before insert or update of group_ids on app.schedule_items
  for each row execute function app_private.tg__400_listed('group_ids', 'app.party_groups');
--! EndIncluded itineraries/schedule_items.sql
--! Included itineraries/travel_and_lodging.sql
-- How a party travels and where it stays.

create table if not exists app.travel_segments (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  mode text not null constraint travel_segments_mode_known check (mode in ('air', 'rail', 'ground', 'sea')),
  carrier text collate app.people constraint travel_segments_carrier_length check (app.is_line(carrier, 200)),
  number text constraint travel_segments_number_length check (app.is_line(number, 200)),
  from_place text collate app.people not null constraint travel_segments_from_place_length check (app.is_line(from_place, 200)),
  departs_on date not null constraint travel_segments_departs_on_range check (app.is_day(departs_on)),
  departs_time time(0) not null,
  from_time_zone text not null constraint travel_segments_from_time_zone_exists check (app.is_time_zone(from_time_zone)),
  to_place text collate app.people not null constraint travel_segments_to_place_length check (app.is_line(to_place, 200)),
  arrives_on date not null constraint travel_segments_arrives_on_range check (app.is_day(arrives_on)),
  arrives_time time(0) not null,
  to_time_zone text not null constraint travel_segments_to_time_zone_exists check (app.is_time_zone(to_time_zone)),
  confirmation_number text constraint travel_segments_confirmation_number_length check (app.is_line(confirmation_number, 200)),
  is_confirmed boolean not null default false,
  passenger_ids uuid[] not null default '{}',
  group_ids uuid[] not null default '{}',
  notes text constraint travel_segments_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint travel_segments_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade
);
create index if not exists travel_segments_itinerary_id_idx on app.travel_segments (organization_id, itinerary_id, departs_on, id) where deleted_at is null;

create or replace view app.travel_segment_rows with (security_invoker = true) as
  select s.organization_id, s.version, s.deleted_at, s.deleted_by, app.body(s.as_json, row_to_json(j)) as body,
    s.id, s.itinerary_id, s.mode, s.from_place, s.departs_on, to_char(s.departs_time, 'HH24:MI') as departs_time, s.from_time_zone, s.to_place, s.arrives_on, to_char(s.arrives_time, 'HH24:MI') as arrives_time, s.to_time_zone, s.carrier, s.number, s.confirmation_number, s.is_confirmed, s.passenger_ids, s.group_ids, s.notes,
    s.created_by, s.created_at, s.updated_at, j.*
  from app.travel_segments s,
    lateral (select (s.departs_on + s.departs_time) at time zone s.from_time_zone as departs_at,
      (s.arrives_on + s.arrives_time) at time zone s.to_time_zone as arrives_at) t,
    lateral (select t.*, (extract(epoch from t.arrives_at - t.departs_at) / 60)::integer as duration_minutes) j;

select app_private.tenant_table('travel_segments', noun => 'travel_segment', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/travel-segments');
grant insert (itinerary_id, mode, carrier, number, from_place, departs_on, departs_time, from_time_zone, to_place, arrives_on, arrives_time, to_time_zone, confirmation_number, is_confirmed, passenger_ids, group_ids, notes), update (mode, carrier, number, from_place, departs_on, departs_time, from_time_zone, to_place, arrives_on, arrives_time, to_time_zone, confirmation_number, is_confirmed, passenger_ids, group_ids, notes) on app.travel_segments to callboard_api;

comment on table app.travel_segments is 'Flights, trains, drives and ships, with departure and arrival each in its own time zone.';

-- Not a check constraint, because the instant of a local time depends on the time zone database.
create or replace function app_private.tg_travel_segments__200_order() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.arrives_on + new.arrives_time) at time zone new.to_time_zone < (new.departs_on + new.departs_time) at time zone new.from_time_zone then
    perform app.refuse(422, 'travel_segments_departure_before_arrival', 'It would arrive before it departs.');
  end if;
  return new;
end
$$;
comment on function app_private.tg_travel_segments__200_order() is 'PT422 travel_segments_departure_before_arrival.';

create or replace trigger _200_order before insert or update of departs_on, departs_time, from_time_zone, arrives_on, arrives_time, to_time_zone on app.travel_segments
  for each row when (app.is_time_zone(new.from_time_zone) and app.is_time_zone(new.to_time_zone))
  execute function app_private.tg_travel_segments__200_order();
create or replace trigger _400_listed before insert or update of passenger_ids, group_ids on app.travel_segments
  for each row execute function app_private.tg__400_listed('passenger_ids', 'app.party_members', 'group_ids', 'app.party_groups');

create table if not exists app.lodgings (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  itinerary_id uuid not null,
  name text collate app.people not null constraint lodgings_name_length check (app.is_line(name, 200)),
  address text constraint lodgings_address_length check (length(address) <= 1000),
  check_in_on date not null constraint lodgings_check_in_on_range check (app.is_day(check_in_on)),
  check_out_on date not null constraint lodgings_check_out_on_range check (app.is_day(check_out_on)),
  confirmation_number text constraint lodgings_confirmation_number_length check (app.is_line(confirmation_number, 200)),
  group_ids uuid[] not null default '{}',
  notes text constraint lodgings_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint lodgings_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade,
  constraint lodgings_in_before_out check (check_in_on < check_out_on)
);
create index if not exists lodgings_itinerary_id_idx on app.lodgings (organization_id, itinerary_id, check_in_on, id) where deleted_at is null;

create or replace view app.lodging_rows with (security_invoker = true) as
  select l.organization_id, l.version, l.deleted_at, l.deleted_by, app.body(l.as_json) as body,
    l.id, l.itinerary_id, l.name, l.check_in_on, l.check_out_on, l.address, l.confirmation_number, l.group_ids, l.notes,
    l.created_by, l.created_at, l.updated_at
  from app.lodgings l;

select app_private.tenant_table('lodgings', noun => 'lodging', permission => 'itineraries', reads => 'itineraries.write', path => '/api/lodgings');
grant insert (itinerary_id, name, address, check_in_on, check_out_on, confirmation_number, group_ids, notes), update (name, address, check_in_on, check_out_on, confirmation_number, group_ids, notes) on app.lodgings to callboard_api;

comment on table app.lodgings is 'Where a party stays.';
create or replace trigger _400_listed before insert or update of group_ids on app.lodgings
  for each row execute function app_private.tg__400_listed('group_ids', 'app.party_groups');

create table if not exists app.lodging_rooms (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  -- The lodging's, set by a trigger.
  itinerary_id uuid not null,
  lodging_id uuid not null,
  name text collate app.people not null constraint lodging_rooms_name_length check (app.is_line(name, 200)),
  occupant_ids uuid[] not null default '{}',
  confirmation_number text constraint lodging_rooms_confirmation_number_length check (app.is_line(confirmation_number, 200)),
  notes text constraint lodging_rooms_notes_length check (length(notes) <= 10000),
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1,
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  as_json text not null,
  primary key (organization_id, id),
  constraint lodging_rooms_lodging_exists foreign key (organization_id, lodging_id)
    references app.lodgings (organization_id, id) on delete cascade
);
create index if not exists lodging_rooms_lodging_id_idx on app.lodging_rooms (organization_id, lodging_id, id) where deleted_at is null;

create or replace view app.lodging_room_rows with (security_invoker = true) as
  select r.organization_id, r.version, r.deleted_at, r.deleted_by, app.body(r.as_json) as body,
    r.id, r.lodging_id, r.name, r.occupant_ids, r.confirmation_number, r.notes, r.itinerary_id,
    r.created_by, r.created_at, r.updated_at
  from app.lodging_rooms r;

select app_private.tenant_table('lodging_rooms', noun => 'lodging_room', permission => 'itineraries', reads => 'itineraries.write',
  path => '/api/lodging-rooms');
grant insert (lodging_id, name, occupant_ids, confirmation_number, notes), update (name, occupant_ids, confirmation_number, notes) on app.lodging_rooms to callboard_api;

comment on table app.lodging_rooms is 'Rooms and their occupants, visible to everybody who may see the lodging.';

create or replace function app_private.tg_lodging_rooms__250_itinerary() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  new.itinerary_id := (select l.itinerary_id from app.lodgings l where l.organization_id = new.organization_id and l.id = new.lodging_id);
  return new;
end
$$;
comment on function app_private.tg_lodging_rooms__250_itinerary() is 'Sets a room''s itinerary.';
alter function app_private.tg_lodging_rooms__250_itinerary() owner to callboard_definer;

create or replace trigger _250_itinerary before insert on app.lodging_rooms
  for each row execute function app_private.tg_lodging_rooms__250_itinerary();
create or replace trigger _400_listed before insert or update of occupant_ids on app.lodging_rooms
  for each row execute function app_private.tg__400_listed('occupant_ids', 'app.party_members');
--! EndIncluded itineraries/travel_and_lodging.sql
--! Included itineraries/itinerary_versions.sql
-- Published versions of itineraries. Planners work on the tables; everybody else reads the part of the
-- latest version that is for them: a version is frozen, but group membership is not.

create table if not exists app.itinerary_versions (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  itinerary_id uuid not null,
  number integer not null constraint itinerary_versions_number_positive check (number > 0),
  name text collate app.people not null,
  artist text collate app.people not null,
  starts_on date not null,
  created_at timestamptz not null,
  -- The itinerary itself, as JSON and with its version; the rest is in app.itinerary_entries.
  body jsonb not null,
  version integer not null,
  note text constraint itinerary_versions_note_length check (length(note) <= 1000),
  published_by uuid default app.current_user_id() references app.users (id),
  published_at timestamptz not null default now(),
  deleted_at timestamptz,
  deleted_by uuid references app.users (id),
  deletion_id uuid,
  primary key (organization_id, itinerary_id, number),
  constraint itinerary_versions_itinerary_exists foreign key (organization_id, itinerary_id)
    references app.itineraries (organization_id, id) on delete cascade
);

create table if not exists app.itinerary_entries (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  itinerary_id uuid not null,
  number integer not null,
  id uuid not null,
  kind text not null constraint itinerary_entries_kind_known check (kind in ('day', 'item', 'segment', 'lodging')),
  day_on date,
  first_on date not null,
  last_on date not null,
  title text collate app.people not null,
  location text collate app.people,
  detail text,
  local_start timestamp(0),
  local_end timestamp(0),
  start_zone text,
  end_zone text,
  starts_at timestamptz,
  ends_at timestamptz,
  is_confirmed boolean not null,
  group_ids uuid[] not null,
  body jsonb not null,
  version integer not null,
  updated_at timestamptz not null,
  primary key (organization_id, itinerary_id, number, id),
  constraint itinerary_entries_version_exists foreign key (organization_id, itinerary_id, number)
    references app.itinerary_versions (organization_id, itinerary_id, number) on delete cascade
);
-- Without grants: only app.publish_itinerary publishes.
select app_private.tenant_policies('app.itinerary_versions', reads => 'itineraries.read', inserts => 'itineraries.write',
  definer => 'insert, update', is_exported => true);
-- An entry without groups is for everybody, one with groups is for their members, and planners see all.
-- Each of the three is evaluated once per statement.
select app_private.tenant_policies('app.itinerary_entries', reads => 'itineraries.read', inserts => 'itineraries.write', definer => 'insert',
  besides => $$(group_ids = '{}'::uuid[]) or (group_ids && (select app.own_groups())) or ((select app.org_if_reading('itineraries.write')) is not null)$$);

grant select on app.itinerary_versions, app.itinerary_entries to callboard_api, callboard_definer;
grant select on app.itinerary_versions to callboard_exporter;
grant insert (itinerary_id, number, name, artist, starts_on, created_at, body, version, note) on app.itinerary_versions to callboard_definer;
grant insert (itinerary_id, number, id, kind, day_on, first_on, last_on, title, location, detail, local_start, local_end, start_zone, end_zone, starts_at, ends_at, is_confirmed, group_ids, body, version, updated_at) on app.itinerary_entries to callboard_definer;

comment on table app.itinerary_versions is 'Itineraries as they were published, numbered from 1; never changed.';
comment on table app.itinerary_entries is 'The contents of published versions, as their readers see them; never changed.';
comment on column app.itinerary_entries.group_ids is 'The groups it is for; empty for everybody who may read itineraries.';
comment on column app.itinerary_entries.first_on is 'First day in local time; last_on is the last. Without local_start it is all day.';

-- Also applies to the owner. Rows are deleted only together with their itinerary, or from the bin.
create or replace function app_private.tg__050_frozen() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  marks constant text[] := array['deleted_at', 'deleted_by', 'deletion_id'];
begin
  if tg_op = 'UPDATE' and to_jsonb(new) - marks = to_jsonb(old) - marks then
    return new;
  elsif tg_op = 'DELETE' and not exists (
    select from app.itinerary_versions v
    join app.itineraries i on i.organization_id = v.organization_id and i.id = v.itinerary_id
    join app.organizations o on o.id = v.organization_id
    where v.organization_id = old.organization_id and v.itinerary_id = old.itinerary_id and v.number = old.number
      and v.deleted_at is null) then
    return old;
  end if;
  raise exception 'a published itinerary cannot be changed';
end
$$;
comment on function app_private.tg__050_frozen() is 'Allows only deletion marks, and the removal of rows that have them or of an entire itinerary.';
alter function app_private.tg__050_frozen() owner to callboard_definer;

create or replace trigger _050_frozen before update or delete on app.itinerary_versions
  for each row execute function app_private.tg__050_frozen();
create or replace trigger _050_frozen before update or delete on app.itinerary_entries
  for each row execute function app_private.tg__050_frozen();

select app_private.log_changes('app.itinerary_versions', 'itinerary', '{"create": "publish"}', 'itinerary_id');
--! EndIncluded itineraries/itinerary_versions.sql
--! Included itineraries/itinerary_publishing.sql
-- Itineraries as their readers see them: the draft, as it would be published now, and the published versions.

create or replace view app.itinerary_drafts with (security_invoker = true) as
  select d.organization_id, d.itinerary_id, d.id, 'day' as kind, d.day_on, d.day_on as first_on, d.day_on as last_on,
    coalesce(d.city, d.kind) as title, d.city as location, d.notes as detail,
    null::timestamp(0) as local_start, null::timestamp(0) as local_end, d.time_zone as start_zone, d.time_zone as end_zone,
    null::timestamptz as starts_at, null::timestamptz as ends_at, true as is_confirmed, '{}'::uuid[] as group_ids,
    jsonb_build_object('id', d.id, 'day_on', d.day_on, 'kind', d.kind, 'city', d.city, 'time_zone', d.time_zone,
      'show_id', d.show_id, 'notes', d.notes) as body, d.version, d.updated_at
  from app.itinerary_days d where d.deleted_at is null
  union all
  select i.organization_id, i.itinerary_id, i.id, 'item', d.day_on,
    d.day_on + coalesce(t.starts_next_day, false)::integer, d.day_on + greatest(t.starts_next_day, t.ends_next_day, false)::integer,
    i.title, i.location, i.notes,
    d.day_on + t.starts_next_day::integer + t.start_time, d.day_on + t.ends_next_day::integer + t.end_time, d.time_zone, d.time_zone,
    (d.day_on + t.starts_next_day::integer + t.start_time) at time zone d.time_zone,
    (d.day_on + t.ends_next_day::integer + t.end_time) at time zone d.time_zone, i.is_confirmed, i.group_ids,
    jsonb_build_object('id', i.id, 'day_id', i.day_id, 'day_on', d.day_on, 'kind', i.kind, 'title', i.title, 'certainty', i.certainty,
      'start_time', to_char(t.start_time, 'HH24:MI'), 'starts_next_day', coalesce(t.starts_next_day, false),
      'end_time', to_char(t.end_time, 'HH24:MI'), 'ends_next_day', coalesce(t.ends_next_day, false), 'time_zone', d.time_zone,
      'starts_at', (d.day_on + t.starts_next_day::integer + t.start_time) at time zone d.time_zone,
      'ends_at', (d.day_on + t.ends_next_day::integer + t.end_time) at time zone d.time_zone,
      'is_confirmed', i.is_confirmed, 'show_id', i.show_id, 'location', i.location, 'group_ids', i.group_ids, 'notes', i.notes),
    -- Moving a day moves its items.
    i.version + d.version - 1, greatest(i.updated_at, d.updated_at)
  from app.schedule_items i
  join app.itinerary_days d on d.organization_id = i.organization_id and d.id = i.day_id
  -- Readers never get a hidden time.
  left join lateral (select i.start_time, i.starts_next_day, i.end_time, i.ends_next_day where i.certainty <> 'hidden') t on true
  where i.deleted_at is null
  union all
  select s.organization_id, s.itinerary_id, s.id, 'segment', s.departs_on, s.departs_on, greatest(s.departs_on, s.arrives_on),
    s.from_place || ' → ' || s.to_place, s.from_place,
    nullif(concat_ws(E'\n', nullif(concat_ws(' ', s.carrier, s.number), ''), 'Confirmation ' || s.confirmation_number, s.notes), ''),
    s.departs_on + s.departs_time, s.arrives_on + s.arrives_time, s.from_time_zone, s.to_time_zone, t.departs_at, t.arrives_at,
    s.is_confirmed, s.group_ids,
    jsonb_build_object('id', s.id, 'mode', s.mode, 'carrier', s.carrier, 'number', s.number,
      'from_place', s.from_place, 'departs_on', s.departs_on, 'departs_time', to_char(s.departs_time, 'HH24:MI'),
      'from_time_zone', s.from_time_zone, 'departs_at', t.departs_at,
      'to_place', s.to_place, 'arrives_on', s.arrives_on, 'arrives_time', to_char(s.arrives_time, 'HH24:MI'),
      'to_time_zone', s.to_time_zone, 'arrives_at', t.arrives_at,
      'duration_minutes', (extract(epoch from t.arrives_at - t.departs_at) / 60)::integer,
      'confirmation_number', s.confirmation_number, 'is_confirmed', s.is_confirmed, 'group_ids', s.group_ids, 'notes', s.notes,
      'passengers', (select coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'name', m.name) order by m.name, m.id), '[]')
        from app.party_members m where m.organization_id = s.organization_id and m.id = any (s.passenger_ids) and m.deleted_at is null)),
    s.version, s.updated_at
  from app.travel_segments s,
    lateral (select (s.departs_on + s.departs_time) at time zone s.from_time_zone as departs_at,
      (s.arrives_on + s.arrives_time) at time zone s.to_time_zone as arrives_at) t
  where s.deleted_at is null
  union all
  select l.organization_id, l.itinerary_id, l.id, 'lodging', null, l.check_in_on, l.check_out_on - 1,
    l.name, l.address, nullif(concat_ws(E'\n', 'Confirmation ' || l.confirmation_number, l.notes), ''),
    null, null, null, null, null, null, true, l.group_ids,
    jsonb_build_object('id', l.id, 'name', l.name, 'address', l.address, 'check_in_on', l.check_in_on, 'check_out_on', l.check_out_on,
      'confirmation_number', l.confirmation_number, 'group_ids', l.group_ids, 'notes', l.notes,
      'rooms', (select coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'name', r.name, 'confirmation_number', r.confirmation_number, 'notes', r.notes,
          'occupants', (select coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'name', m.name) order by m.name, m.id), '[]')
            from app.party_members m where m.organization_id = r.organization_id and m.id = any (r.occupant_ids) and m.deleted_at is null))
          order by r.name, r.id), '[]')
        from app.lodging_rooms r where r.organization_id = l.organization_id and r.lodging_id = l.id and r.deleted_at is null)),
    l.version, l.updated_at
  from app.lodgings l where l.deleted_at is null;
comment on view app.itinerary_drafts is 'Days, items, segments and lodgings of the organization''s itineraries as they would be published now. For planners.';
grant select on app.itinerary_drafts to callboard_api, callboard_definer;

create or replace view app.published_itineraries with (security_invoker = true) as
  select distinct on (v.organization_id, v.itinerary_id) v.organization_id, v.itinerary_id, v.number, v.name, v.artist, v.starts_on,
    v.created_at, v.version, v.body, v.published_at, v.deleted_at, v.deleted_by
  from app.itinerary_versions v
  order by v.organization_id, v.itinerary_id, v.number desc;
comment on view app.published_itineraries is 'The latest published version of each itinerary, including those in the bin, which have deleted_at.';
grant select on app.published_itineraries to callboard_api, callboard_definer, callboard_exporter;

create or replace view app.itinerary_rows with (security_invoker = true) as
  select i.organization_id, i.version, i.deleted_at, i.deleted_by, app.body(i.as_json, row_to_json(j)) as body,
    i.id, i.name, i.artist, i.starts_on, i.ends_on, i.notes, i.created_by, i.created_at, i.updated_at, j.*
  from app.itineraries i
  left join lateral (
    select v.number, v.published_at from app.itinerary_versions v
    where v.organization_id = i.organization_id and v.itinerary_id = i.id order by v.number desc limit 1) p on true
  cross join lateral (select p.number as published_number, p.published_at) j
  union all
  select p.organization_id, p.version, p.deleted_at, p.deleted_by, row_to_json(j)::text, j.*
  from app.published_itineraries p
  cross join lateral (
    select p.itinerary_id as id, p.name, p.artist, p.starts_on, (p.body ->> 'ends_on')::date as ends_on, p.body ->> 'notes' as notes,
      (p.body ->> 'created_by')::uuid as created_by, p.created_at, (p.body ->> 'updated_at')::timestamptz as updated_at,
      p.number as published_number, p.published_at) j
  where (select app.org_if_reading('itineraries.write')) is null;
select app_private.publish_rows('app.itineraries');

create or replace view app.itinerary_plan with (security_invoker = true) as
  select organization_id, itinerary_id, id, kind, day_on, first_on, last_on, title, location, detail, local_start, local_end, start_zone, end_zone, starts_at, ends_at, is_confirmed, group_ids, body, version, updated_at
  from app.itinerary_drafts
  union all
  select e.organization_id, e.itinerary_id, e.id, e.kind, e.day_on, e.first_on, e.last_on, e.title, e.location, e.detail, e.local_start, e.local_end, e.start_zone, e.end_zone, e.starts_at, e.ends_at, e.is_confirmed, e.group_ids, e.body, e.version, e.updated_at
  from app.itinerary_entries e
  join app.published_itineraries p on p.organization_id = e.organization_id and p.itinerary_id = e.itinerary_id and p.number = e.number
  where p.deleted_at is null and (select app.org_if_reading('itineraries.write')) is null;
comment on view app.itinerary_plan is 'The days, items, segments and lodgings that the member sees: drafts if they are a planner, else those for them in the latest published version.';
grant select on app.itinerary_plan to callboard_api, callboard_definer;

create or replace function app.publish_itinerary(itinerary uuid, remark text default null, if_match text default null) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require('itineraries.write');
  present integer;
  next_number integer;
  answer app.answer;
begin
  -- Concurrent publications get different numbers.
  select i.version into present from app.itineraries i
  where i.organization_id = organization and i.id = itinerary and i.deleted_at is null for no key update;
  perform app.check_version(present, if_match);
  select coalesce(max(v.number), 0) + 1 into next_number from app.itinerary_versions v
  where v.organization_id = organization and v.itinerary_id = itinerary;
  insert into app.itinerary_versions (itinerary_id, number, name, artist, starts_on, created_at, body, version, note)
  select i.id, next_number, i.name, i.artist, i.starts_on, i.created_at,
    jsonb_build_object('id', i.id, 'name', i.name, 'artist', i.artist, 'starts_on', i.starts_on, 'ends_on', i.ends_on, 'notes', i.notes,
      'created_by', i.created_by, 'created_at', i.created_at, 'updated_at', i.updated_at), i.version, remark
  from app.itineraries i where i.organization_id = organization and i.id = itinerary;
  insert into app.itinerary_entries (itinerary_id, number, id, kind, day_on, first_on, last_on, title, location, detail, local_start, local_end, start_zone, end_zone, starts_at, ends_at, is_confirmed, group_ids, body, version, updated_at)
  select d.itinerary_id, next_number, d.id, d.kind, d.day_on, d.first_on, d.last_on, d.title, d.location, d.detail, d.local_start, d.local_end, d.start_zone, d.end_zone, d.starts_at, d.ends_at, d.is_confirmed, d.group_ids, d.body, d.version, d.updated_at
  from app.itinerary_drafts d where d.organization_id = organization and d.itinerary_id = itinerary;
  answer := app.read_itinerary_version(itinerary, next_number);
  answer.status := 201;
  answer.location := '/api/itineraries/' || itinerary || '/versions/' || next_number;
  return answer;
end
$$;
comment on function app.publish_itinerary(uuid, text, text) is
  'Publishes an itinerary in its current state as its next version. PT403, PT404, PT412 for another version of the itinerary itself.';
alter function app.publish_itinerary(uuid, text, text) owner to callboard_definer;
grant execute on function app.publish_itinerary(uuid, text, text) to callboard_api;

create or replace function app.list_itinerary_versions(itinerary uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
begin
  perform app.read_row('itineraries', itinerary);
  return (
    select (200, json_build_object('items', coalesce(json_agg(json_build_object('number', v.number, 'note', v.note,
      'published_by', v.published_by, 'published_at', v.published_at) order by v.number desc), '[]'), 'next_cursor', null), null, null)::app.answer
    from app.itinerary_versions v
    where v.organization_id = app.current_org() and v.itinerary_id = itinerary and v.deleted_at is null);
end
$$;
comment on function app.list_itinerary_versions(uuid) is 'The versions of an itinerary, newest first. PT403, PT404.';
grant execute on function app.list_itinerary_versions(uuid) to callboard_api;

create or replace function app.read_itinerary_version(itinerary uuid, wanted integer default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  v app.itinerary_versions;
begin
  perform app.require('itineraries.read');
  select * into v from app.itinerary_versions x
  where x.organization_id = app.current_org() and x.itinerary_id = itinerary and x.number = coalesce(wanted, x.number) and x.deleted_at is null
  order by x.number desc limit 1;
  if v.number is null then
    perform app.refuse(404, 'not_found');
  end if;
  return (
    select (200, json_build_object('number', v.number, 'note', v.note, 'published_by', v.published_by, 'published_at', v.published_at,
      'itinerary', v.body,
      'days', coalesce(json_agg(e.body order by e.day_on) filter (where e.kind = 'day'), '[]'),
      'items', coalesce(json_agg(e.body order by e.day_on, e.starts_at nulls first, e.title, e.id) filter (where e.kind = 'item'), '[]'),
      'segments', coalesce(json_agg(e.body order by e.starts_at, e.id) filter (where e.kind = 'segment'), '[]'),
      'lodgings', coalesce(json_agg(e.body order by e.first_on, e.title, e.id) filter (where e.kind = 'lodging'), '[]')), null, null)::app.answer
    from app.itinerary_entries e
    where e.organization_id = v.organization_id and e.itinerary_id = v.itinerary_id and e.number = v.number);
end
$$;
comment on function app.read_itinerary_version(uuid, integer) is
  'A published version (the latest by default) with everything in it that is for the member. PT403, PT404.';
grant execute on function app.read_itinerary_version(uuid, integer) to callboard_api, callboard_definer;

create or replace function app.read_day_sheet(itinerary uuid, sheet_on date) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  head app.answer := app.read_row('itineraries', itinerary);
  answer app.answer;
begin
  select 200, json_build_object(
    'itinerary', head.body,
    'day', (select d.body || jsonb_build_object('show', (
        select json_build_object('id', s.id, 'title', s.title, 'status', s.status, 'venue_name', v.name, 'venue_city', v.city,
          'doors_time', to_char(s.doors_time, 'HH24:MI'), 'start_time', to_char(s.start_time, 'HH24:MI'), 'curfew_time', to_char(s.curfew_time, 'HH24:MI'))
        from app.shows s left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
        where s.organization_id = d.organization_id and s.id = (d.body ->> 'show_id')::uuid and s.deleted_at is null))),
    'items', coalesce((select json_agg(e.body order by e.starts_at nulls first, e.title, e.id) from app.itinerary_plan e
      where e.organization_id = d.organization_id and e.itinerary_id = itinerary and e.kind = 'item' and e.day_on = sheet_on), '[]'),
    'segments', coalesce((select json_agg(e.body order by e.starts_at, e.id) from app.itinerary_plan e
      where e.organization_id = d.organization_id and e.itinerary_id = itinerary and e.kind = 'segment' and sheet_on between e.first_on and e.last_on), '[]'),
    'lodgings', coalesce((select json_agg(e.body order by e.title, e.id) from app.itinerary_plan e
      where e.organization_id = d.organization_id and e.itinerary_id = itinerary and e.kind = 'lodging' and sheet_on between e.first_on and e.last_on + 1), '[]')),
    null, null into answer
  from app.itinerary_plan d
  where d.organization_id = app.current_org() and d.itinerary_id = itinerary and d.kind = 'day' and d.day_on = sheet_on;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_day_sheet(uuid, date) is
  'Everything on one day that is for the member: from the draft if they are a planner, else from the latest published version. The show is always current. PT403, PT404.';
grant execute on function app.read_day_sheet(uuid, date) to callboard_api;
--! EndIncluded itineraries/itinerary_publishing.sql
-- Calendar
--! Included calendar/calendar.sql
-- The calendar: shows and itinerary entries, as far as the member may see each of them.

create or replace view app.calendar_entries with (security_invoker = true) as
  select s.organization_id, 'show' as kind, s.id, null::uuid as itinerary_id, s.title, nullif(concat_ws(', ', v.name, v.city), '') as location,
    s.artist as detail, s.show_on as first_on, s.show_on as last_on,
    case when v.id is not null then s.show_on + s.start_time end as local_start,
    -- A curfew at or before the start is on the next day.
    case when v.id is not null and s.start_time is not null then s.show_on + (s.curfew_time <= s.start_time)::integer + s.curfew_time end as local_end,
    v.time_zone as start_zone, v.time_zone as end_zone,
    (s.show_on + s.start_time) at time zone v.time_zone as starts_at,
    case when s.start_time is not null then (s.show_on + (s.curfew_time <= s.start_time)::integer + s.curfew_time) at time zone v.time_zone end as ends_at,
    case s.status when 'cancelled' then 'cancelled' when 'confirmed' then 'confirmed' when 'played' then 'confirmed'
      when 'settled' then 'confirmed' else 'tentative' end as status,
    s.version, s.updated_at
  from app.shows s
  left join app.venues v on v.organization_id = s.organization_id and v.id = s.venue_id
  where s.deleted_at is null
  union all
  select e.organization_id, e.kind, e.id, e.itinerary_id, e.title, e.location, e.detail, e.first_on, e.last_on, e.local_start, e.local_end,
    e.start_zone, e.end_zone, e.starts_at, e.ends_at, case when e.is_confirmed then 'confirmed' else 'tentative' end, e.version, e.updated_at
  from app.itinerary_plan e
  where e.kind <> 'day';
comment on view app.calendar_entries is 'Shows, and items, segments and lodgings of itineraries, as the member sees them; without local_start, all day from first_on to last_on.';
grant select on app.calendar_entries to callboard_api, callboard_definer;

create or replace function app.read_calendar(first_day date default null, last_day date default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := coalesce(app.org_if('itineraries.read'), app.require('shows.read'));
  most constant integer := 5000;
  from_on date := coalesce(first_day, last_day - 30, (now() at time zone 'UTC')::date);
  to_on date := coalesce(last_day, from_on + 30);
  items json;
begin
  if to_on < from_on or to_on - from_on > 366 then
    perform app.refuse(422, 'calendar_range', 'The range must have 1 to 367 days.');
  end if;
  select coalesce(json_agg(json_build_object(
      'kind', c.kind, 'id', c.id, 'itinerary_id', c.itinerary_id, 'title', c.title, 'location', c.location, 'status', c.status,
      'is_all_day', c.local_start is null, 'starts_on', c.first_on, 'start_time', to_char(c.local_start, 'HH24:MI'),
      'time_zone', c.start_zone, 'starts_at', c.starts_at,
      'ends_on', coalesce(c.local_end::date, c.last_on), 'end_time', to_char(c.local_end, 'HH24:MI'),
      'end_time_zone', c.end_zone, 'ends_at', c.ends_at)
    order by c.first_on, c.starts_at nulls first, c.title, c.id), '[]') into items
  from (
    select * from app.calendar_entries x
    where x.organization_id = organization and x.first_on <= to_on and x.last_on >= from_on
    limit most + 1) c;
  if json_array_length(items) > most then
    perform app.refuse(422, 'calendar_range', format('There are more than %s entries: ask for fewer days.', most));
  end if;
  return (200, json_build_object('items', items, 'next_cursor', null), null, null)::app.answer;
end
$$;
comment on function app.read_calendar(date, date) is
  'Everything that happens from one day (default: today) to another (default: 30 days later), inclusive, that the member may see. PT403 without both permissions, PT422 calendar_range.';
grant execute on function app.read_calendar(date, date) to callboard_api;
--! EndIncluded calendar/calendar.sql
--! Included calendar/calendar_feeds.sql
-- Feeds that calendar programs subscribe to. Anybody with the secret of a feed can read the calendar of
-- the member who created it, as that member sees it now, and nothing else.

create table if not exists app.calendar_feeds (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  user_id uuid not null default app.current_user_id() references app.users (id) on delete cascade,
  name text collate app.people not null constraint calendar_feeds_name_length check (app.is_line(name, 200)),
  secret_hash bytea not null,
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  primary key (organization_id, id)
);
-- Not unique: a hash of 256 random bits needs no such protection, and a unique index would reveal that it exists.
create index if not exists calendar_feeds_secret_hash_idx on app.calendar_feeds (secret_hash) where revoked_at is null;
create index if not exists calendar_feeds_user_id_idx on app.calendar_feeds (organization_id, user_id, id) where revoked_at is null;
select app_private.hide_statistics('app.calendar_feeds');

select app_private.force_rls('app.calendar_feeds');

drop policy if exists select_self on app.calendar_feeds;
create policy select_self on app.calendar_feeds for select to callboard_api
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
select app_private.set_policy('app.calendar_feeds', 'select_definer', 'callboard_definer', 'true');
drop policy if exists insert_definer on app.calendar_feeds;
create policy insert_definer on app.calendar_feeds for insert to callboard_definer
  with check (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
drop policy if exists update_definer on app.calendar_feeds;
create policy update_definer on app.calendar_feeds for update to callboard_definer
  using (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));

grant select (organization_id, id, user_id, name, created_at, revoked_at) on app.calendar_feeds to callboard_api;
grant select, insert (name, secret_hash), update (revoked_at) on app.calendar_feeds to callboard_definer;

comment on table app.calendar_feeds is 'Subscriptions of calendar programs; each member sees their own.';
comment on column app.calendar_feeds.secret_hash is 'SHA-256 of the secret in the feed''s address; granted to no login.';

select app_private.log_changes('app.calendar_feeds', 'calendar_feed', '{"revoked_at": "revoke"}');

create or replace view app.calendar_feed_list with (security_invoker = true) as
  select f.organization_id, f.id, f.user_id, f.created_at,
    json_build_object('id', f.id, 'name', f.name, 'created_at', f.created_at) as body
  from app.calendar_feeds f
  where f.revoked_at is null;
comment on view app.calendar_feed_list is 'The live feeds of the signed-in user in the organization.';
grant select on app.calendar_feed_list to callboard_api;

create or replace function app.list_calendar_feeds() returns app.answer
language sql stable
set search_path = ''
begin atomic
  select 200, json_build_object('items', coalesce(json_agg(f.body order by f.id), '[]'), 'next_cursor', null), null::text, null::text
  from app.calendar_feed_list f
  where f.organization_id = app.current_org() and f.user_id = app.current_user_id();
end;
comment on function app.list_calendar_feeds() is 'The caller''s own feeds in the organization.';
grant execute on function app.list_calendar_feeds() to callboard_api;

create or replace function app.create_calendar_feed(feed_name text, hash bytea) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  f app.calendar_feeds;
begin
  if app.current_org() is null then
    perform app.refuse(401, 'session_unknown');
  elsif app.org_if('itineraries.read') is null then
    perform app.require('shows.read');
  end if;
  -- A feed belongs to a member, and a superadmin is not one.
  if not exists (select from app.memberships m where m.organization_id = app.current_org() and m.user_id = app.current_user_id() and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Only members can have feeds.');
  end if;
  insert into app.calendar_feeds as x (name, secret_hash) values (feed_name, hash) returning x.* into f;
  -- made_with tells the server whether the secret it generated is in use, or the request was repeated.
  return (201, json_build_object('id', f.id, 'name', f.name, 'created_at', f.created_at, 'made_with', encode(sha256(f.secret_hash), 'hex')),
    null, '/api/calendar-feeds/' || f.id)::app.answer;
end
$$;
comment on function app.create_calendar_feed(text, bytea) is
  'Creates a feed of the member''s own calendar, for anybody with the secret whose SHA-256 this is. PT403 for members who may not see a calendar.';
alter function app.create_calendar_feed(text, bytea) owner to callboard_definer;
grant execute on function app.create_calendar_feed(text, bytea) to callboard_api;

create or replace function app.revoke_calendar_feed(feed uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  update app.calendar_feeds f set revoked_at = statement_timestamp()
  where f.organization_id = app.current_org() and f.user_id = app.current_user_id() and f.id = feed and f.revoked_at is null;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.revoke_calendar_feed(uuid) is 'Permanently revokes one of the caller''s own feeds. PT404.';
alter function app.revoke_calendar_feed(uuid) owner to callboard_definer;
grant execute on function app.revoke_calendar_feed(uuid) to callboard_api;

-- A second entry point besides app.enter, and a narrower one.
create or replace function app.enter_calendar_feed(secret text) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  f record;
begin
  if not current_setting('transaction_read_only')::boolean then
    raise exception 'a calendar feed must be read in a read-only transaction';
  end if;
  select x.id, x.user_id, x.organization_id, m.role into f
  from app.calendar_feeds x
  join app.memberships m on m.organization_id = x.organization_id and m.user_id = x.user_id and m.deleted_at is null
  join app.organizations o on o.id = x.organization_id and o.deleted_at is null
  where x.secret_hash = app_private.digest(secret) and x.revoked_at is null;
  if f.id is null then
    perform app.refuse(404, 'not_found', 'There is no such calendar feed, or it has been revoked.');
  end if;
  perform app_private.set_context(f.user_id, f.id, f.organization_id, f.role, app_private.for_reading(array(
    select p from unnest(app_private.effective_permissions(f.organization_id, f.user_id, f.role)) p
    where p in ('organization.read', 'shows.read', 'itineraries.read', 'itineraries.write'))));
end
$$;
comment on function app.enter_calendar_feed(text) is
  'Opens this read-only transaction for the member who created the feed with this secret, with only the permissions that the calendar and its name depend on. PT404 if the feed, the membership or the organization is gone.';
alter function app.enter_calendar_feed(text) owner to callboard_definer;
grant execute on function app.enter_calendar_feed(text) to callboard_api;

create or replace function app.read_calendar_feed(secret text) returns app.answer
language plpgsql volatile
set search_path = ''
as $$
declare
  most constant integer := 5000;
  today date := (now() at time zone 'UTC')::date;
  organization uuid;
  body json;
begin
  perform app.enter_calendar_feed(secret);
  organization := coalesce(app.org_if('itineraries.read'), app.require('shows.read'));
  select json_build_object(
    'name', (select o.name from app.organizations o where o.id = organization),
    'entries', coalesce(json_agg(json_build_object(
      'kind', c.kind, 'id', c.id, 'title', c.title, 'location', c.location, 'detail', c.detail, 'status', c.status,
      'first_on', c.first_on, 'last_on', c.last_on, 'local_start', c.local_start, 'local_end', c.local_end,
      'start_zone', c.start_zone, 'end_zone', c.end_zone, 'starts_at', c.starts_at, 'ends_at', c.ends_at,
      'version', c.version, 'updated_at', c.updated_at)
      order by c.first_on, c.starts_at nulls first, c.id), '[]')) into body
  from (
    select * from app.calendar_entries x
    where x.organization_id = organization and x.first_on <= today + 400 and x.last_on >= today - 100
    order by x.first_on, x.id
    limit most) c;
  -- Includes the organization for the API, which counts what it serves.
  return (200, json_build_object('organization_id', organization, 'calendar', body),
    '"' || ('x' || left(md5(body::text), 15))::bit(60)::bigint || '"', null)::app.answer;
end
$$;
comment on function app.read_calendar_feed(text) is
  'The calendar of the member who created the feed with this secret, from 100 days ago to 400 days from now and at most 5000 entries, with its organization and an ETag of its content. PT404, PT403 if the member may no longer see a calendar.';
grant execute on function app.read_calendar_feed(text) to callboard_api;
--! EndIncluded calendar/calendar_feeds.sql
-- Usage: what clients report, and what is counted
--! Included analytics/client_events.sql
-- What people do in a client of the API: pages they view and things they click, as reported by the
-- client (POST /api/events). What they change is in the event log and not repeated here.
--
-- One table instead of monthly partitions: it keeps 90 days, and an id that a client sends again is
-- found whatever its month.

create table if not exists app.client_events (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  user_id uuid not null references app.users (id) on delete cascade,
  -- Generated by the client. In the key after its member, so that it reveals to nobody else what exists.
  id uuid not null,
  kind text not null constraint client_events_kind_known check (kind in ('page_view', 'action')),
  name text not null constraint client_events_name_format check (name ~ '^[a-z0-9_]+([./-][a-z0-9_]+)*$' and length(name) <= 100),
  occurred_at timestamptz not null,
  received_at timestamptz not null default now(),
  properties jsonb not null default '{}',
  primary key (organization_id, user_id, id),
  constraint client_events_properties_flat check (
    jsonb_typeof(properties) = 'object' and not properties @? 'strict $.* ? (@.type() == "object" || @.type() == "array")'
    and length(properties::text) <= 10000)
);
create index if not exists client_events_organization_id_received_at_idx on app.client_events (organization_id, received_at);
select app_private.hide_statistics('app.client_events');

select app_private.force_rls('app.client_events');

-- Nobody reads individual events: analytics has the counts.
select app_private.set_policy('app.client_events', 'select_rollup', 'callboard_rollup', 'true');
drop policy if exists insert_definer on app.client_events;
create policy insert_definer on app.client_events for insert to callboard_definer
  with check (organization_id = (select app.current_org()) and user_id = (select app.current_user_id()));
-- The definer tells how fresh the counts are, and purges, which happens without a context and removes only old rows.
select app_private.set_policy('app.client_events', 'select_definer', 'callboard_definer', 'true');
drop policy if exists purge_definer on app.client_events;
create policy purge_definer on app.client_events for delete to callboard_definer
  using ((select app.current_org()) is null and received_at < now() - interval '90 days');

grant select on app.client_events to callboard_rollup;
grant select (organization_id, received_at), insert (organization_id, user_id, id, kind, name, occurred_at, properties), delete
  on app.client_events to callboard_definer;

comment on table app.client_events is 'Page views and actions that clients report about their users.';
comment on column app.client_events.name is 'The page or action, such as shows/detail or calendar.print.';
comment on column app.client_events.occurred_at is 'By the client''s clock, but never later than it was received.';

create or replace function app.record_client_events(events jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.current_org();
  me uuid := app.current_user_id();
  -- Given, of those in time, of those new.
  n bigint[];
begin
  if organization is null then
    perform app.refuse(401, 'session_unknown');
  elsif (app_private.context()).role = 'superadmin' then
    perform app.refuse(403, 'permission_denied', 'Only members can send client events.');
  elsif jsonb_array_length(events) > 100 then
    perform app.refuse(400, 'invalid_value', 'There are more than 100 events.');
  end if;
  with e as (
    select x.id, x.kind, x.name, coalesce(x.occurred_at, now()) as occurred_at, coalesce(x.properties, '{}') as properties
    from jsonb_to_recordset(events) as x (id uuid, kind text, name text, occurred_at timestamptz, properties jsonb)
  ), t as (
    -- A clock may be a little fast.
    select * from e where e.occurred_at between now() - interval '7 days' and now() + interval '5 minutes'
  ), i as (
    insert into app.client_events (organization_id, user_id, id, kind, name, occurred_at, properties)
    select organization, me, t.id, t.kind, t.name, least(t.occurred_at, now()), t.properties from t
    on conflict do nothing
    returning 1
  )
  select array[(select count(*) from e), (select count(*) from t), (select count(*) from i)] into n;
  return (202, json_build_object('accepted', n[3], 'repeated', n[2] - n[3], 'out_of_time', n[1] - n[2]), null, null)::app.answer;
end
$$;
comment on function app.record_client_events(jsonb) is
  'Stores up to 100 client events of the member: [{id, kind, name, occurred_at, properties}]. Returns how many were accepted, how many ids the member had sent before, and how many were older than 7 days or more than 5 minutes ahead, which are not stored. PT403 for superadmins.';
alter function app.record_client_events(jsonb) owner to callboard_definer;
grant execute on function app.record_client_events(jsonb) to callboard_api;
--! EndIncluded analytics/client_events.sql
--! Included analytics/use.sql
-- Usage of the API, and an organization's exchange with other systems through it, such as imports and
-- calendar feeds. Totals by UTC day, nothing about individual calls.
-- The API counts in memory and adds its counts every few seconds (src/analytics/use/use.ts); rare
-- operations are counted in their own transaction.
--
-- These are already sums, so analytics reads them directly: nothing has to be refreshed.

create table if not exists app.api_use (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  day date not null,
  operation text not null constraint api_use_operation_format check (operation ~ '^[A-Za-z][A-Za-z0-9]{0,99}$'),
  calls bigint not null,
  errors bigint not null,
  server_errors bigint not null,
  total_us bigint not null,
  slowest_us bigint not null,
  within_10_ms bigint not null,
  within_100_ms bigint not null,
  within_1_s bigint not null,
  bytes_in bigint not null,
  bytes_out bigint not null,
  primary key (organization_id, day, operation)
);
create table if not exists app.integration_use (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  day date not null,
  kind text not null constraint integration_use_kind_known check (kind in ('import', 'export', 'calendar_feed', 'bi', 'webhook')),
  name text collate app.people not null constraint integration_use_name_length check (length(name) between 1 and 200 and name !~ '[\u0001-\u001f\u007f-\u009f]'),
  calls bigint not null,
  errors bigint not null,
  rows bigint not null,
  bytes bigint not null,
  last_at timestamptz not null,
  primary key (organization_id, day, kind, name)
);
select app_private.hide_statistics('app.api_use'), app_private.hide_statistics('app.integration_use');

-- Which batches were added: a process that does not know whether its COMMIT succeeded sends the batch again.
create table if not exists app_private.use_batches (
  id uuid primary key,
  added_at timestamptz not null default now()
);

comment on table app.api_use is 'API calls by UTC day and operation; by organization, not by user.';
comment on column app.api_use.operation is 'operationId in the OpenAPI document.';
comment on column app.api_use.errors is 'Responses with status 400 or higher, including those with 500 or higher.';
comment on column app.api_use.total_us is 'Microseconds from the arrival of a request to the end of its response, summed over all calls.';
comment on column app.api_use.within_10_ms is 'Calls that took no longer than 10 ms.';
comment on column app.api_use.bytes_in is 'Size of requests on the wire, with their headers.';
comment on column app.api_use.bytes_out is 'Size of responses, with their headers.';
comment on table app.integration_use is 'Integrations, such as imports and calendar feeds, by UTC day.';
comment on column app.integration_use.name is 'Which one: the source of an import, or the imported resource; the exported resource.';
comment on column app.integration_use.rows is 'Rows imported or exported.';
comment on table app_private.use_batches is 'Batches of counts added in the last 7 days.';

-- Counts are added without a context, for many organizations at once.
select app_private.definer_table('app.api_use'), app_private.definer_table('app.integration_use'), app_private.definer_table('app_private.use_batches');
select app_private.set_policy('app.api_use', 'select_rollup', 'callboard_rollup', 'true');
select app_private.set_policy('app.integration_use', 'select_rollup', 'callboard_rollup', 'true');
grant select on app.api_use, app.integration_use to callboard_rollup;

-- The most that can be added at a time, so that a sum never overflows, however often something is added.
create or replace function app_private.countable(n numeric) returns bigint
language sql immutable parallel safe
return least(greatest(coalesce(n, 0), 0), 1000000000000)::bigint;
comment on function app_private.countable(numeric) is 'A number clamped to what may be added to a count: 0 to 10^12.';
alter function app_private.countable(numeric) owner to callboard_definer;

create or replace function app_private.countable_day(day date) returns date
language sql stable parallel safe
return least(greatest(day, (now() at time zone 'UTC')::date - 7), (now() at time zone 'UTC')::date + 1);
comment on function app_private.countable_day(date) is 'A day clamped to those for which counts may be added: 7 days ago to tomorrow.';
alter function app_private.countable_day(date) owner to callboard_definer;

create or replace function app_private.count_integration(
  organization uuid, of_kind text, of_name text, more_calls bigint default 1, more_errors bigint default 0, more_rows bigint default 0,
  more_bytes bigint default 0, on_day date default null
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  insert into app.integration_use as u (organization_id, day, kind, name, calls, errors, rows, bytes, last_at)
  values (organization, app_private.countable_day(coalesce(on_day, (now() at time zone 'UTC')::date)), of_kind, of_name,
    app_private.countable(more_calls), app_private.countable(more_errors), app_private.countable(more_rows), app_private.countable(more_bytes), now())
  on conflict (organization_id, day, kind, name) do update
  set calls = u.calls + excluded.calls, errors = u.errors + excluded.errors, rows = u.rows + excluded.rows, bytes = u.bytes + excluded.bytes,
    last_at = greatest(u.last_at, excluded.last_at);
end
$$;
comment on function app_private.count_integration(uuid, text, text, bigint, bigint, bigint, bigint, date) is
  'Counts the use of an integration: its organization, kind (import, export, calendar_feed, bi, webhook) and name; calls, errors, rows and bytes, today by default. For functions that do so in their own transaction.';
alter function app_private.count_integration(uuid, text, text, bigint, bigint, bigint, bigint, date) owner to callboard_definer;

create or replace function app.add_use(batch uuid, api jsonb, integrations jsonb) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- A repeated batch waits here for the first to end, and is then not added if the first was.
  insert into app_private.use_batches (id) values (batch) on conflict do nothing;
  if not found then
    return;
  end if;
  insert into app.api_use as u (organization_id, day, operation, calls, errors, server_errors, total_us, slowest_us, within_10_ms, within_100_ms,
    within_1_s, bytes_in, bytes_out)
  select o.id, app_private.countable_day(c.day), c.operation, app_private.countable(sum(c.calls)), app_private.countable(sum(c.errors)),
    app_private.countable(sum(c.server_errors)), app_private.countable(sum(c.total_us)), app_private.countable(max(c.slowest_us)),
    app_private.countable(sum(c.within_10_ms)), app_private.countable(sum(c.within_100_ms)), app_private.countable(sum(c.within_1_s)),
    app_private.countable(sum(c.bytes_in)), app_private.countable(sum(c.bytes_out))
  from jsonb_to_recordset(api) as c (organization_id uuid, day date, operation text, calls bigint, errors bigint, server_errors bigint, total_us bigint,
    slowest_us bigint, within_10_ms bigint, within_100_ms bigint, within_1_s bigint, bytes_in bigint, bytes_out bigint)
  -- Skips organizations purged in the meantime.
  join app.organizations o on o.id = c.organization_id
  group by 1, 2, 3
  -- Concurrent processes add in the same order, which avoids deadlocks.
  order by 1, 2, 3
  on conflict (organization_id, day, operation) do update
  set calls = u.calls + excluded.calls, errors = u.errors + excluded.errors, server_errors = u.server_errors + excluded.server_errors,
    total_us = u.total_us + excluded.total_us, slowest_us = greatest(u.slowest_us, excluded.slowest_us),
    within_10_ms = u.within_10_ms + excluded.within_10_ms, within_100_ms = u.within_100_ms + excluded.within_100_ms,
    within_1_s = u.within_1_s + excluded.within_1_s, bytes_in = u.bytes_in + excluded.bytes_in, bytes_out = u.bytes_out + excluded.bytes_out;
  perform app_private.count_integration(c.organization_id, c.kind, c.name, c.calls, c.errors, c.rows, c.bytes, c.day)
  from (
    select x.* from jsonb_to_recordset(integrations) as x (organization_id uuid, day date, kind text, name text, calls bigint, errors bigint,
      rows bigint, bytes bigint)
    join app.organizations o on o.id = x.organization_id
    order by x.organization_id, x.day, x.kind, x.name) c;
end
$$;
comment on function app.add_use(uuid, jsonb, jsonb) is
  'Adds a batch of counts for many organizations, unless already added. It only adds and returns nothing: SQL run as the API''s login can inflate the usage of any organization, by at most 10^12 per call and on days from 7 days ago to tomorrow, but can neither read nor lower anything.';
alter function app.add_use(uuid, jsonb, jsonb) owner to callboard_definer;
grant execute on function app.add_use(uuid, jsonb, jsonb) to callboard_api;
--! EndIncluded analytics/use.sql
-- Exports
--! Included exports/exports.sql
-- Exports: files of what a member may see. Small ones are streamed in the response and leave only an
-- event; large ones are rows here, produced by the worker acting as that member: see export_running.sql.
-- An export belongs to its creator, because other members may not be allowed to see everything in it.

create or replace function app_private.permissions_for_export(resource text, out required text[], out used text[])
language sql immutable parallel safe
set search_path = ''
begin atomic
  select r.required, r.used
  from (values
    ('shows', '{shows.read}'::text[], '{shows.delete,finance.read}'::text[]),
    ('guests', '{shows.read}', '{shows.delete}'),
    ('venues', '{shows.read}', '{shows.delete}'),
    ('finance_records', '{finance.read}', '{finance.delete,shows.read}'),
    -- Planners get the drafts.
    ('itineraries', '{itineraries.read}', '{itineraries.write,itineraries.delete}'),
    ('events', '{audit.read}', '{members.read}'),
    ('finance_figures', '{analytics.read,finance.read}', '{}'),
    ('category_figures', '{analytics.read,finance.read}', '{}'),
    ('show_profits', '{analytics.read,finance.read,shows.read}', '{}'),
    ('show_figures', '{analytics.read}', '{}'),
    ('activity', '{analytics.read}', '{members.read}'),
    ('integrations', '{analytics.read}', '{}'),
    ('dashboard', '{analytics.read}', '{finance.read}')) r (name, required, used)
  where r.name = resource;
end;
comment on function app_private.permissions_for_export(text) is
  'The permissions that an export of a resource requires besides exports.run, and those that it uses if held. NULLs if the resource cannot be exported.';
alter function app_private.permissions_for_export(text) owner to callboard_definer;

create table if not exists app.exports (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  resource text not null constraint exports_resource_known check (resource in ('shows', 'venues', 'guests', 'finance_records', 'itineraries', 'events',
    'finance_figures', 'category_figures', 'show_profits', 'show_figures', 'activity', 'integrations', 'dashboard')),
  format text not null constraint exports_format_known check (format in ('csv', 'ndjson', 'json')),
  bom boolean not null default false,
  filters jsonb not null default '{}' constraint exports_filters_size check (length(filters::text) <= 4000),
  status text not null default 'queued' constraint exports_status_known check (
    status in ('queued', 'running', 'ready', 'failed', 'cancelled', 'expired')),
  -- Each attempt writes its own file, so that only one of two workers can complete the export.
  attempt uuid,
  held text[] not null default '{}',
  bytes bigint,
  sha256 text constraint exports_sha256_format check (sha256 ~ '^[0-9a-f]{64}$'),
  failure text,
  session_id uuid not null default app.current_session_id(),
  created_by uuid not null default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  expires_at timestamptz,
  primary key (organization_id, id),
  constraint exports_ready_with_file check (status <> 'ready' or (attempt is not null and bytes is not null and sha256 is not null and expires_at is not null))
);
create index if not exists exports_created_by_idx on app.exports (organization_id, created_by, created_at, id);

-- A separate table, because it changes constantly and is not logged.
create table if not exists app.export_progress (
  organization_id uuid not null,
  export_id uuid not null,
  created_by uuid not null default app.current_user_id() references app.users (id),
  rows_done bigint not null default 0,
  primary key (organization_id, export_id),
  constraint export_progress_export_exists foreign key (organization_id, export_id) references app.exports (organization_id, id) on delete cascade
);

comment on table app.exports is 'Export files that members have requested, and their state.';
comment on column app.exports.filters is 'The filters and sort order, as in the list.';
comment on column app.exports.attempt is 'The last part of its file''s name, after the organization and the export.';
comment on column app.exports.held is 'The permissions that it uses, as its member held them when it began: nobody who has lost one gets the file.';
comment on column app.exports.expires_at is 'When the file is deleted.';
comment on table app.export_progress is 'How many rows of an export have been written.';

-- Without write grants, because writes go through functions. The definer sees everything: the worker must find out whose export it is about to run.
select app_private.tenant_policies('app.exports', reads => 'exports.run', inserts => 'exports.run', updates => 'exports.run',
  definer => 'insert, update', besides => 'created_by = (select app.current_user_id())');
select app_private.tenant_policies('app.export_progress', reads => 'exports.run', definer => 'insert, update',
  besides => 'created_by = (select app.current_user_id())');
drop policy if exists purge_definer on app.exports;
create policy purge_definer on app.exports for delete to callboard_definer
  using ((select app.current_org()) is null and created_at < now() - interval '30 days');

grant select (organization_id, id, resource, format, bom, filters, status, bytes, sha256, failure, created_by, created_at, finished_at, expires_at)
  on app.exports to callboard_api;
grant select on app.export_progress to callboard_api;
grant select, insert (resource, format, bom, filters), update (status, attempt, held, bytes, sha256, failure, finished_at, expires_at), delete
  on app.exports to callboard_definer;
grant select, insert, update (rows_done) on app.export_progress to callboard_definer;

-- Whoever may read all of a file but its amounts could find these from its digest.
select app_private.log_changes('app.exports', 'export', '{"status": "change_status"}', leave_out => '{sha256,held}');

create or replace function app.require_export(of_resource text) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  permission text;
  required text[] := (app_private.permissions_for_export(of_resource)).required;
begin
  if required is null then
    perform app.refuse(403, 'permission_denied');
  end if;
  foreach permission in array '{exports.run}' || required loop
    perform app.require_reading(permission);
  end loop;
  return app.current_org();
end
$$;
comment on function app.require_export(text) is
  'The organization of this transaction, if its member may export the resource. PT403 without exports.run or the permission to read it.';
alter function app.require_export(text) owner to callboard_definer;
grant execute on function app.require_export(text) to callboard_api;

create or replace function app.log_export(stream uuid, of_resource text, details jsonb, is_done boolean default false) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- A member who may no longer start one can still report its end.
  if not is_done then
    perform app.require_export(of_resource);
  end if;
  if app.current_org() is null or app.current_user_id() is null then
    perform app.refuse(403, 'permission_denied');
  elsif length(details::text) > 4000 then
    perform app.refuse(400, 'invalid_value', 'These filters are too long.');
  end if;
  perform app_private.log_event(app.current_org(), case when is_done then 'export.stream_end' else 'export.stream' end, 'export', stream,
    jsonb_build_object('new', jsonb_build_object('resource', of_resource) || jsonb_strip_nulls(details)));
  if is_done then
    perform app_private.count_integration(app.current_org(), 'export', of_resource,
      more_errors => (not coalesce((details ->> 'is_whole')::boolean, false))::integer, more_rows => coalesce((details ->> 'rows')::bigint, 0));
  end if;
end
$$;
comment on function app.log_export(uuid, text, jsonb, boolean) is
  'Logs that an export is streamed (export.stream, with format and filters), or has ended (export.stream_end, with its rows and whether it is complete). PT403 if the member may not export this.';
alter function app.log_export(uuid, text, jsonb, boolean) owner to callboard_definer;
grant execute on function app.log_export(uuid, text, jsonb, boolean) to callboard_api;

-- The cells of a CSV file, which COPY writes: null for an empty one, because COPY quotes an empty text. Without
-- settings of their own, so that PostgreSQL inlines them; called for every cell.

create or replace function app.csv_text(value text) returns text
language sql immutable parallel safe
return case
  -- Line feed, tab and carriage return, = + - @ and their full-width forms, which East Asian spreadsheets accept.
  when ascii(value) in (9, 10, 13, 43, 45, 61, 64, 65291, 65293, 65309, 65312) then '''' || value
  when value = '' then null
  else value
end;
comment on function app.csv_text(text) is
  'A text as a cell of CSV: with an apostrophe in front if a spreadsheet would otherwise evaluate it.';
grant execute on function app.csv_text(text) to callboard_api, callboard_exporter;

create or replace function app.csv_instant(value timestamptz) returns text
language sql stable parallel safe
return replace(value::text, ' ', 'T') || ':00';
comment on function app.csv_instant(timestamptz) is 'An instant as in JSON, on a connection that uses UTC.';
grant execute on function app.csv_instant(timestamptz) to callboard_api, callboard_exporter;
--! EndIncluded exports/exports.sql
--! Included exports/export_running.sql
-- How the worker runs an export (src/exports/task.ts): it reads as the member who created it, under the
-- same policies as the member's requests, and writes the rows to a file.
--
-- It reads as callboard_exporter. That role is named, next to callboard_api, in the SELECT policies of
-- everything that can be exported, and can do nothing else. The worker can become this role, but sees
-- nothing without app.enter_export, which creates the context of a running export.

create or replace function app_private.export_permissions(e app.exports) returns text[]
language sql stable
set search_path = ''
begin atomic
  select coalesce(array_agg(p.held order by p.held), '{}')
  from app_private.permissions_for_export(e.resource) x, unnest(app.permissions_of(e.organization_id, e.created_by)) p (held)
  where (p.held = any ('{exports.run}' || x.required || x.used)
      -- Changes are shown to those who may read what the event is about: see app.readable_events.
      or e.resource = 'events' and p.held in (select t.permission from app_private.table_permissions t where t.command = 'select'))
    -- permissions_of also counts members of deleted organizations.
    and exists (select from app.organizations o where o.id = e.organization_id and o.deleted_at is null);
end;
comment on function app_private.export_permissions(app.exports) is 'Which of the permissions that an export uses its member currently holds.';
alter function app_private.export_permissions(app.exports) owner to callboard_definer;

create or replace function app_private.may_export(e app.exports) returns boolean
language sql stable
set search_path = ''
return (
  select p.held @> ('{exports.run}' || x.required)
    -- The bin is only for members who may restore.
    and (e.filters ->> 'deleted' is distinct from 'only' or p.held && array['shows.delete', 'finance.delete', 'itineraries.delete'])
    -- A file shows what its member might see when it was made: fees, drafts, names.
    and (e.status <> 'ready' or p.held @> e.held)
  from (select app_private.export_permissions(e)) p (held), app_private.permissions_for_export(e.resource) x);
comment on function app_private.may_export(app.exports) is 'Whether the member who created an export may still have it.';
alter function app_private.may_export(app.exports) owner to callboard_definer;

create or replace function app_private.lock_export(organization uuid, export uuid, of_attempt uuid default null) returns app.exports
language plpgsql volatile
set search_path = ''
as $$
declare
  e app.exports;
begin
  select * into e from app.exports x where x.organization_id = organization and x.id = export;
  if not found then
    return null;
  end if;
  perform app_private.set_context(e.created_by, e.session_id, organization);
  select * into e from app.exports x where x.organization_id = organization and x.id = export for update;
  if of_attempt is not null and (e.status <> 'running' or e.attempt is distinct from of_attempt) then
    return null;
  end if;
  return e;
end
$$;
comment on function app_private.lock_export(uuid, uuid, uuid) is
  'Locks an export on behalf of its member; null if it does not exist or the given attempt is not the current one.';
alter function app_private.lock_export(uuid, uuid, uuid) owner to callboard_definer;

create or replace function app_private.end_export(e app.exports, because text) returns void
language sql volatile
set search_path = ''
begin atomic
  update app.exports x set status = 'failed', failure = because, finished_at = statement_timestamp()
  where x.organization_id = e.organization_id and x.id = e.id;
  select app_private.count_integration(e.organization_id, 'export', e.resource, more_errors => 1);
end;
comment on function app_private.end_export(app.exports, text) is 'Marks an export as failed, with the reason.';
alter function app_private.end_export(app.exports, text) owner to callboard_definer;

create or replace function app.begin_export(organization uuid, export uuid) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports := app_private.lock_export(organization, export);
begin
  if e.id is null or e.status not in ('queued', 'running') then
    return null;
  elsif not app_private.may_export(e) then
    perform app_private.end_export(e, 'The member who requested it no longer has permission.');
    return null;
  end if;
  update app.export_progress p set rows_done = 0 where p.organization_id = organization and p.export_id = export;
  update app.exports x set status = 'running', attempt = gen_random_uuid(), held = app_private.export_permissions(e) where x.organization_id = organization and x.id = export returning * into e;
  return jsonb_build_object('resource', e.resource, 'format', e.format, 'bom', e.bom, 'filters', e.filters, 'attempt', e.attempt,
    'key', concat_ws('/', e.organization_id, e.id, e.attempt));
end
$$;
comment on function app.begin_export(uuid, uuid) is
  'Starts or restarts an export: returns what to export and the name of the file, or NULL if there is nothing (left) to do.';
alter function app.begin_export(uuid, uuid) owner to callboard_definer;
grant execute on function app.begin_export(uuid, uuid) to callboard_worker;

create or replace function app.enter_export(organization uuid, export uuid, of_attempt uuid) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports;
begin
  if not current_setting('transaction_read_only')::boolean then
    raise exception 'an export must be read in a read-only transaction';
  end if;
  select * into e from app.exports x where x.organization_id = organization and x.id = export and x.attempt = of_attempt and x.status = 'running';
  if not found or not app_private.may_export(e) then
    perform app.refuse(403, 'permission_denied', 'The member who requested it no longer has permission.');
  end if;
  perform app_private.set_context(e.created_by, e.session_id, e.organization_id, null, app_private.for_reading(array(
    select unnest(app_private.export_permissions(e)) intersect select unnest(e.held))));
end
$$;
comment on function app.enter_export(uuid, uuid, uuid) is
  'Opens this read-only transaction for the member whose export is running, with only those of their permissions that reading it needs. PT403.';
alter function app.enter_export(uuid, uuid, uuid) owner to callboard_definer;
grant execute on function app.enter_export(uuid, uuid, uuid) to callboard_worker;

create or replace function app.note_export_progress(organization uuid, export uuid, of_attempt uuid, rows_written bigint) returns boolean
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports := app_private.lock_export(organization, export, of_attempt);
begin
  if e.id is null then
    return false;
  elsif not app_private.may_export(e) then
    perform app_private.end_export(e, 'The member who requested it no longer has permission.');
    return false;
  end if;
  update app.export_progress p set rows_done = rows_written where p.organization_id = organization and p.export_id = export;
  return true;
end
$$;
comment on function app.note_export_progress(uuid, uuid, uuid, bigint) is
  'Records how many rows of an export have been written. False if it must stop: it was cancelled, another worker has it, or its member may no longer have it.';
alter function app.note_export_progress(uuid, uuid, uuid, bigint) owner to callboard_definer;
grant execute on function app.note_export_progress(uuid, uuid, uuid, bigint) to callboard_worker;

create or replace function app.finish_export(organization uuid, export uuid, of_attempt uuid, rows_written bigint, file_bytes bigint, file_sha256 text)
returns boolean
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  if not app.note_export_progress(organization, export, of_attempt, rows_written) then
    return false;
  end if;
  update app.exports x
  set status = 'ready', bytes = file_bytes, sha256 = file_sha256, finished_at = statement_timestamp(), expires_at = statement_timestamp() + interval '7 days'
  where x.organization_id = organization and x.id = export;
  perform app_private.count_integration(organization, 'export', (select x.resource from app.exports x where x.organization_id = finish_export.organization and x.id = export),
    more_rows => rows_written, more_bytes => file_bytes);
  return true;
end
$$;
comment on function app.finish_export(uuid, uuid, uuid, bigint, bigint, text) is
  'Marks an export as ready; its file is kept for seven days. False if it was cancelled, its member may no longer have it, or another worker has taken over.';
alter function app.finish_export(uuid, uuid, uuid, bigint, bigint, text) owner to callboard_definer;
grant execute on function app.finish_export(uuid, uuid, uuid, bigint, bigint, text) to callboard_worker;

create or replace function app.fail_export(organization uuid, export uuid, of_attempt uuid, because text) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports := app_private.lock_export(organization, export, of_attempt);
begin
  if e.status in ('queued', 'running') then
    perform app_private.end_export(e, because);
  end if;
end
$$;
comment on function app.fail_export(uuid, uuid, uuid, text) is 'Marks an export, or this attempt, as failed, with the reason.';
alter function app.fail_export(uuid, uuid, uuid, text) owner to callboard_definer;
grant execute on function app.fail_export(uuid, uuid, uuid, text) to callboard_worker;

create or replace function app.expire_exports() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  e app.exports;
  ended bigint := 0;
begin
  for e in
    select * from app.exports x
    where x.status = 'ready' and x.expires_at <= now()
      -- Its job failed permanently or was lost without reporting.
      or x.status in ('queued', 'running') and not exists (
        select from graphile_worker._private_jobs j where j.key = 'export:' || x.id and (j.is_available or j.locked_at is not null))
  loop
    e := app_private.lock_export(e.organization_id, e.id);
    if e.status = 'ready' and e.expires_at <= now() then
      update app.exports x set status = 'expired' where x.organization_id = e.organization_id and x.id = e.id;
    elsif e.status in ('queued', 'running') then
      perform app_private.end_export(e, 'It was attempted several times, and the worker died each time.');
    end if;
    ended := ended + 1;
  end loop;
  perform app_private.set_context(null, null);
  perform app_private.add_job('sweep_exports', '{}', 'sweep_exports', 3);
  return ended;
end
$$;
comment on function app.expire_exports() is
  'Ends exports that have expired or lost their job, and has files deleted that nobody may download any longer. Returns how many ended.';
alter function app.expire_exports() owner to callboard_definer;
grant execute on function app.expire_exports() to callboard_worker;

create or replace function app.wanted_export_files(keys text[]) returns text[]
language sql stable security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select coalesce(array_agg(k.key), '{}')
  from unnest(keys) k (key)
  join app.exports e on e.organization_id = split_part(k.key, '/', 1)::uuid and e.id = split_part(k.key, '/', 2)::uuid
    and e.attempt = split_part(k.key, '/', 3)::uuid and e.status in ('running', 'ready');
end;
comment on function app.wanted_export_files(text[]) is 'Those of the given files that belong to a ready or running export.';
alter function app.wanted_export_files(text[]) owner to callboard_definer;
grant execute on function app.wanted_export_files(text[]) to callboard_worker;

grant usage on schema app to callboard_exporter;
grant execute on function app.require(text), app.require_reading(text), app.org_if(text), app.org_if_reading(text), app.has_permission(text),
  app.current_org(), app.current_user_id(), app.search_shows(text),
  app.in_bin(text, timestamptz, uuid) to callboard_exporter;
--! EndIncluded exports/export_running.sql
--! Included exports/export_commands.sql
-- Commands on a member's own exports: create one, follow its progress, cancel it, and download the file.

create or replace function app_private.export_link(organization uuid, export uuid, member uuid, session uuid, until bigint) returns text
language sql stable parallel restricted
set search_path = ''
return concat_ws('.', replace(organization::text, '-', ''), replace(session::text, '-', ''), until,
  encode(app_private.keyed_hash(convert_to(concat_ws(' ', 'export', organization, export, member, session, until), 'UTF8')), 'hex'));
comment on function app_private.export_link(uuid, uuid, uuid, uuid, bigint) is
  'The token of a link to the file of an export: member, session, expiry (in seconds since 1970), and signature.';
alter function app_private.export_link(uuid, uuid, uuid, uuid, bigint) owner to callboard_definer;

create or replace function app.export_link(export uuid) returns text
language sql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select format('/api/analytics/export/%s/file?token=%s', e.id,
    app_private.export_link(e.organization_id, e.id, e.created_by, app.current_session_id(), extract(epoch from now() + interval '1 hour')::bigint))
  from app.exports e
  where e.organization_id = app.org_if_reading('exports.run') and e.id = export and e.created_by = app.current_user_id() and e.status = 'ready'
    and e.expires_at > now();
end;
comment on function app.export_link(uuid) is
  'A new link to the file of one of the caller''s own exports, valid for at most an hour and only while the session lasts; NULL if there is no file.';
alter function app.export_link(uuid) owner to callboard_definer;
grant execute on function app.export_link(uuid) to callboard_api;

create or replace view app.export_list with (security_invoker = true) as
  select e.organization_id, e.id, e.created_by, e.resource, e.created_at,
    json_build_object('id', e.id, 'resource', e.resource, 'format', e.format, 'bom', e.bom, 'filters', e.filters,
      'status', e.status, 'rows_done', coalesce(p.rows_done, 0), 'bytes', e.bytes, 'sha256', e.sha256, 'failure', e.failure,
      'link', app.export_link(e.id), 'created_by', e.created_by, 'created_at', e.created_at, 'finished_at', e.finished_at,
      'expires_at', e.expires_at) as body
  from app.exports e
  left join app.export_progress p on p.organization_id = e.organization_id and p.export_id = e.id;
comment on view app.export_list is 'The member''s own exports, with their JSON.';
grant select on app.export_list to callboard_api;
grant select on app.export_list to callboard_definer;

create or replace function app.read_export(export uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  answer app.answer;
begin
  perform app.require_reading('exports.run');
  select 200, e.body, null::text, '/api/analytics/export/' || e.id into answer from app.export_list e
  -- Only the caller's own, even if a policy shows more.
  where e.organization_id = app.current_org() and e.id = export and e.created_by = app.current_user_id();
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_export(uuid) is 'One of the caller''s own exports, with a new link if it is ready. PT403, PT404.';
grant execute on function app.read_export(uuid) to callboard_api, callboard_definer;

create or replace function app.create_export(of_resource text, in_format text, with_bom boolean, by_filters jsonb) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  organization uuid := app.require_export(of_resource);
  export uuid;
  answer app.answer;
begin
  perform app.require('exports.run');
  -- The worker acts as the member, and a superadmin is not one.
  if not exists (select from app.memberships m where m.organization_id = organization and m.user_id = app.current_user_id() and m.deleted_at is null) then
    perform app.refuse(403, 'permission_denied', 'Only members can create exports.');
  elsif (select count(*) from app.exports e where e.organization_id = organization and e.created_by = app.current_user_id()
      and e.status in ('queued', 'running')) >= 5 then
    perform app.refuse(409, 'too_many_exports');
  end if;
  insert into app.exports (resource, format, bom, filters) values (of_resource, in_format, with_bom, jsonb_strip_nulls(by_filters)) returning id into export;
  insert into app.export_progress (organization_id, export_id) values (organization, export);
  -- Two queues: the exports of an organization run one after another and never occupy a whole worker.
  perform app_private.add_job('run_export', jsonb_build_object('organization', organization, 'export', export), 'export:' || export, 5,
    'exports ' || abs(hashtext(organization::text) % 2));
  answer := app.read_export(export);
  answer.status := 202;
  return answer;
end
$$;
comment on function app.create_export(text, text, boolean, jsonb) is
  'Has the worker export what the member may see to a file, once this transaction has committed. PT403 without exports.run or the permission to read it, PT409 too_many_exports.';
alter function app.create_export(text, text, boolean, jsonb) owner to callboard_definer;
grant execute on function app.create_export(text, text, boolean, jsonb) to callboard_api;

create or replace function app.cancel_export(export uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  present text;
begin
  perform app.require('exports.run');
  select e.status into present from app.exports e
  where e.organization_id = app.current_org() and e.id = export and e.created_by = app.current_user_id() for update;
  if not found then
    perform app.refuse(404, 'not_found');
  elsif present not in ('queued', 'running') then
    perform app.refuse(409, 'export_ended', format('It is already %s.', present));
  end if;
  -- The worker checks every few rows whether to continue.
  update app.exports e set status = 'cancelled', finished_at = statement_timestamp() where e.organization_id = app.current_org() and e.id = export;
  return app.read_export(export);
end
$$;
comment on function app.cancel_export(uuid) is 'Cancels one of the caller''s own exports. PT403, PT404, PT409 export_ended.';
alter function app.cancel_export(uuid) owner to callboard_definer;
grant execute on function app.cancel_export(uuid) to callboard_api;

-- Access with a link instead of a token. It opens a single file, and only while its creator may still see what is in it.
create or replace function app.open_export_link(export uuid, token text, is_event boolean, request_id text, ip inet) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  parts text[] := string_to_array(token, '.');
  e app.exports;
  session uuid;
begin
  if not token ~ '^[0-9a-f]{32}\.[0-9a-f]{32}\.[0-9]{1,12}\.[0-9a-f]{64}$' then
    perform app.refuse(400, 'invalid_token');
  end if;
  session := parts[2];
  select * into e from app.exports x where x.organization_id = parts[1]::uuid and x.id = export;
  if not found or token <> app_private.export_link(e.organization_id, e.id, e.created_by, session, parts[3]::bigint)
      or parts[3]::bigint <= extract(epoch from now()) then
    perform app.refuse(400, 'invalid_token');
  elsif not app_private.may_export(e) or not exists (
      select from app.sessions s where s.id = session and s.user_id = e.created_by and s.revoked_at is null and s.expires_at > now()) then
    perform app.refuse(403, 'permission_denied', 'The member this link belongs to no longer has permission, or has signed out.');
  elsif e.status <> 'ready' or e.expires_at <= now() then
    perform app.refuse(404, 'not_found', 'The file has expired.');
  end if;
  if is_event then
    perform app_private.set_context(e.created_by, session, e.organization_id, null, '', request_id, ip);
    perform app_private.log_event(e.organization_id, 'export.download', 'export', e.id);
    perform app_private.set_context(null, null);
  end if;
  return (200, json_build_object('key', concat_ws('/', e.organization_id, e.id, e.attempt), 'resource', e.resource, 'format', e.format,
    'bytes', e.bytes, 'sha256', e.sha256, 'day', e.created_at::date), null, null)::app.answer;
end
$$;
comment on function app.open_export_link(uuid, text, boolean, text, inet) is
  'The location of an export''s file, for the holder of a link; logged as an event on request. PT400 invalid_token, PT403 when its creator has lost membership, permission or session, PT404 when it has expired.';
alter function app.open_export_link(uuid, text, boolean, text, inet) owner to callboard_definer;
grant execute on function app.open_export_link(uuid, text, boolean, text, inet) to callboard_api;
--! EndIncluded exports/export_commands.sql
-- BI: logins for BI tools
--! Included bi/bi_credentials.sql
-- BI tools connect directly to PostgreSQL, each with its own login that belongs to one organization.
-- What it sees depends on the login (session_user), never on a setting. Members manage the credential;
-- the role itself is created and dropped in bi_commands.sql and db/database.sql. Credentials are never
-- deleted, so that the list shows who could once read what.

create table if not exists app.bi_credentials (
  organization_id uuid not null default app.current_org() references app.organizations (id) on delete cascade,
  id uuid not null default app.uuid_v7(),
  name text collate app.people not null constraint bi_credentials_name_length check (app.is_line(name, 200)),
  login text not null,
  connection_limit integer not null constraint bi_credentials_connection_limit_range check (connection_limit between 1 and 10),
  statement_timeout_seconds integer not null constraint bi_credentials_statement_timeout_range check (statement_timeout_seconds between 1 and 3600),
  expires_at timestamptz not null,
  -- NULL for a DBA.
  created_by uuid default app.current_user_id() references app.users (id),
  created_at timestamptz not null default now(),
  rotated_at timestamptz,
  revoked_by uuid references app.users (id),
  revoked_at timestamptz,
  primary key (organization_id, id),
  constraint bi_credentials_expiry_range check (expires_at - coalesce(rotated_at, created_at) between interval '0' and interval '731 days')
);

-- Without grants: the functions of bi_commands.sql write and check the permission.
select app_private.tenant_policies('app.bi_credentials', reads => 'bi.manage', inserts => 'bi.manage', updates => 'bi.manage',
  definer => 'insert, update');
grant select on app.bi_credentials to callboard_api, callboard_definer;
grant insert (id, name, login, connection_limit, statement_timeout_seconds, expires_at),
  update (expires_at, rotated_at, revoked_at, revoked_by) on app.bi_credentials to callboard_definer;

comment on table app.bi_credentials is 'Database logins of BI tools: each reads the views of `analytics` for its organization until it is revoked or expires.';
comment on column app.bi_credentials.login is 'The PostgreSQL role. Its password is stored nowhere; PostgreSQL stores only its verifier.';
comment on column app.bi_credentials.created_by is 'The member who created it; null for a DBA. The credential stays when they leave.';

select app_private.log_changes('app.bi_credentials', 'bi', '{"rotated_at": "rotate", "revoked_at": "revoke"}');

-- Which organization a login belongs to, looked up before there is a context. Without foreign keys, because
-- the role outlives a purged organization until it is dropped.
create table if not exists app_private.bi_logins (
  login text primary key,
  organization_id uuid not null,
  credential_id uuid not null,
  must_end boolean not null default false,
  last_seen_at timestamptz
);
select app_private.definer_table('app_private.bi_logins');
comment on table app_private.bi_logins is 'The organization that each BI login belongs to; a row is deleted when its role is dropped.';
comment on column app_private.bi_logins.must_end is 'The password has changed, and connections opened with the old one have yet to be ended.';
comment on column app_private.bi_logins.last_seen_at is 'When it was last connected, to within five minutes.';

create or replace view app_private.bi_states with (security_invoker = true) as
  select l.organization_id, l.credential_id, l.login, l.must_end, l.last_seen_at, c.statement_timeout_seconds,
    c.id is null or c.revoked_at is not null as is_gone,
    c.revoked_at is null and c.expires_at <= statement_timestamp() as has_expired,
    coalesce(c.revoked_at is null and c.expires_at > statement_timestamp() and o.deleted_at is null, false) as is_live
  from app_private.bi_logins l
  left join app.bi_credentials c on c.organization_id = l.organization_id and c.id = l.credential_id
  left join app.organizations o on o.id = l.organization_id;
comment on view app_private.bi_states is 'The desired state of each BI login.';
grant select on app_private.bi_states to callboard_definer;

create or replace function app.bi_last_seen(credential uuid) returns timestamptz
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (select max(l.last_seen_at) from app_private.bi_logins l
    where l.organization_id = app.org_if_reading('bi.manage') and l.credential_id = credential);
end
$$;
comment on function app.bi_last_seen(uuid) is 'When the login of a credential of the organization was last connected, to within five minutes; for members with bi.manage.';
alter function app.bi_last_seen(uuid) owner to callboard_definer;
grant execute on function app.bi_last_seen(uuid) to callboard_api, callboard_definer;

create or replace view app.bi_credential_list with (security_invoker = true) as
  select c.organization_id, c.id, c.created_at,
    json_build_object('id', c.id, 'name', c.name, 'login', c.login,
      'status', case when c.revoked_at is not null then 'revoked' when c.expires_at <= statement_timestamp() then 'expired' else 'active' end,
      'connection_limit', c.connection_limit, 'statement_timeout_seconds', c.statement_timeout_seconds,
      'created_by', c.created_by, 'created_at', c.created_at, 'expires_at', c.expires_at, 'rotated_at', c.rotated_at,
      'last_seen_at', app.bi_last_seen(c.id), 'revoked_by', c.revoked_by, 'revoked_at', c.revoked_at) as body
  from app.bi_credentials c;
comment on view app.bi_credential_list is 'The organization''s BI credentials, including ended ones, with their JSON.';
grant select on app.bi_credential_list to callboard_api, callboard_definer;

create or replace function app.read_bi_credential(credential uuid) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  organization uuid := app.require_reading('bi.manage');
  answer app.answer;
begin
  select 200, c.body into answer.status, answer.body
  from app.bi_credential_list c where c.organization_id = organization and c.id = credential;
  if not found then
    perform app.refuse(404, 'not_found');
  end if;
  return answer;
end
$$;
comment on function app.read_bi_credential(uuid) is 'A BI credential, whatever its state. PT403 without bi.manage, PT404.';
grant execute on function app.read_bi_credential(uuid) to callboard_api;
--! EndIncluded bi/bi_credentials.sql
--! Included bi/bi_commands.sql
-- Commands on BI credentials; the tables are in bi_credentials.sql, the functions that create and drop
-- roles in db/database.sql. The caller generates the password and sends only its SCRAM-SHA-256 verifier,
-- with which nobody can log in.

create or replace function app_private.make_room_for_bi(besides uuid default null) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  most constant integer := 10;
begin
  -- Serializes concurrent requests, so that each counts the others.
  perform from app.organizations o where o.id = app.current_org() for no key update;
  if (select count(*) from app.bi_credentials c
      where c.organization_id = app.current_org() and c.revoked_at is null and c.expires_at > now() and c.id is distinct from besides) >= most then
    perform app.refuse(409, 'bi_credential_limit', format('There are already %s BI credentials: revoke one first.', most));
  end if;
end
$$;
comment on function app_private.make_room_for_bi(uuid) is 'PT409 bi_credential_limit if the organization already has the maximum number of active credentials, not counting this one.';
alter function app_private.make_room_for_bi(uuid) owner to callboard_definer;

create or replace function app_private.add_bi_credential(body jsonb, verifier text) returns uuid
language plpgsql volatile
set search_path = ''
as $$
declare
  credential uuid := app.uuid_v7();
  connections integer := coalesce((body ->> 'connection_limit')::integer, 5);
  seconds integer := coalesce((body ->> 'statement_timeout_seconds')::integer, 300);
  until timestamptz := now() + make_interval(days => coalesce((body ->> 'expires_in_days')::integer, 90));
  role_name text;
begin
  perform app_private.make_room_for_bi();
  role_name := app_private.make_bi_role(credential, verifier, connections, seconds, until);
  insert into app.bi_credentials (id, name, login, connection_limit, statement_timeout_seconds, expires_at)
  values (credential, body ->> 'name', role_name, connections, seconds, until);
  insert into app_private.bi_logins (login, organization_id, credential_id) values (role_name, app.current_org(), credential);
  return credential;
end
$$;
comment on function app_private.add_bi_credential(jsonb, text) is
  'Creates a credential of the current organization and its role: name, expires_in_days (90), connection_limit (5), statement_timeout_seconds (300). PT409 bi_credential_limit.';
alter function app_private.add_bi_credential(jsonb, text) owner to callboard_definer;

create or replace function app_private.renew_bi_credential(credential uuid, body jsonb, verifier text) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app.bi_credentials;
  until timestamptz;
begin
  -- Keeps the worker away from the role until this is done.
  perform from app_private.bi_logins l where l.organization_id = app.current_org() and l.credential_id = credential for update;
  select * into c from app.bi_credentials x where x.organization_id = app.current_org() and x.id = credential for no key update;
  if c.id is null then
    perform app.refuse(404, 'not_found');
  elsif c.revoked_at is not null then
    perform app.refuse(409, 'bi_credential_revoked');
  end if;
  perform app_private.make_room_for_bi(credential);
  until := case when body ->> 'expires_in_days' is null and c.expires_at > now() then c.expires_at
    else now() + make_interval(days => coalesce((body ->> 'expires_in_days')::integer, 90)) end;
  perform app_private.make_bi_role(credential, verifier, c.connection_limit, c.statement_timeout_seconds, until);
  update app.bi_credentials x set rotated_at = now(), expires_at = until
  where x.organization_id = c.organization_id and x.id = credential;
  update app_private.bi_logins l set must_end = true where l.login = c.login;
end
$$;
comment on function app_private.renew_bi_credential(uuid, jsonb, text) is
  'Gives a credential of the current organization a new password, and a new expiry if expires_in_days is given or it has expired (then 90 by default); recreates its role if it is missing, for example after a restore. PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app_private.renew_bi_credential(uuid, jsonb, text) owner to callboard_definer;

create or replace function app_private.end_bi_credential(credential uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  c app.bi_credentials;
begin
  -- Keeps the worker away from the role until this is done.
  perform from app_private.bi_logins l where l.organization_id = app.current_org() and l.credential_id = credential for update;
  select * into c from app.bi_credentials x where x.organization_id = app.current_org() and x.id = credential for no key update;
  if c.id is null then
    perform app.refuse(404, 'not_found');
  elsif c.revoked_at is not null then
    perform app.refuse(409, 'bi_credential_revoked');
  end if;
  update app.bi_credentials x set revoked_at = now(), revoked_by = app.current_user_id()
  where x.organization_id = c.organization_id and x.id = credential;
  perform app_private.let_bi_role(credential, false);
end
$$;
comment on function app_private.end_bi_credential(uuid) is 'Revokes a credential of the current organization. PT404, PT409 bi_credential_revoked.';
alter function app_private.end_bi_credential(uuid) owner to callboard_definer;

create or replace function app_private.bi_answer(status integer, credential uuid, verifier text) returns app.answer
language sql volatile
set search_path = ''
begin atomic
  -- Volatile, so that it sees what the same statement created. made_with tells the server whether the password it generated is in use, or the request was repeated.
  select status, (c.body::jsonb || jsonb_build_object('made_with', encode(app_private.digest(verifier), 'hex')))::json,
    null::text, '/api/bi-credentials/' || c.id
  from app.bi_credential_list c where c.organization_id = app.current_org() and c.id = credential;
end;
comment on function app_private.bi_answer(integer, uuid, text) is 'The response for a credential that has just been given a password.';
alter function app_private.bi_answer(integer, uuid, text) owner to callboard_definer;

create or replace function app_private.require_member(permission text) returns void
language plpgsql stable parallel restricted
set search_path = ''
as $$
begin
  perform app.require(permission);
  if (app_private.context()).role = 'superadmin' then
    perform app.refuse(403, 'permission_denied', 'A login would outlive a superadmin''s grant: a member must create it.');
  end if;
end
$$;
comment on function app_private.require_member(text) is 'As app.require, but PT403 permission_denied for superadmins, whatever their grant.';
alter function app_private.require_member(text) owner to callboard_definer;

create or replace function app.create_bi_credential(body jsonb, verifier text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.require_member('bi.manage');
  return app_private.bi_answer(201, app_private.add_bi_credential(body, verifier), verifier);
end
$$;
comment on function app.create_bi_credential(jsonb, text) is
  'Creates a login for a BI tool; its password has this SCRAM-SHA-256 verifier. PT403 without bi.manage, PT409 bi_credential_limit.';
alter function app.create_bi_credential(jsonb, text) owner to callboard_definer;
grant execute on function app.create_bi_credential(jsonb, text) to callboard_api;

create or replace function app.rotate_bi_credential(credential uuid, body jsonb, verifier text) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app_private.require_member('bi.manage');
  perform app_private.renew_bi_credential(credential, body, verifier);
  return app_private.bi_answer(200, credential, verifier);
end
$$;
comment on function app.rotate_bi_credential(uuid, jsonb, text) is
  'Sets a new password, and a new expiry as expires_in_days says, or in 90 days if it has expired. Afterwards app.end_bi_connections ends the connections opened with the old one. PT403, PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app.rotate_bi_credential(uuid, jsonb, text) owner to callboard_definer;
grant execute on function app.rotate_bi_credential(uuid, jsonb, text) to callboard_api;

create or replace function app.revoke_bi_credential(credential uuid) returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('bi.manage');
  perform app_private.end_bi_credential(credential);
  return (204, null, null, null)::app.answer;
end
$$;
comment on function app.revoke_bi_credential(uuid) is
  'Revokes a credential permanently: it sees nothing from the next statement on. Afterwards app.end_bi_connections ends its connections. PT403, PT404, PT409 bi_credential_revoked.';
alter function app.revoke_bi_credential(uuid) owner to callboard_definer;
grant execute on function app.revoke_bi_credential(uuid) to callboard_api;

-- In a transaction of its own, after the revocation has committed: otherwise a tool that reconnects at
-- once would get in again. It ends only unauthorized connections, so anybody may call it.
create or replace function app.end_bi_connections() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  login record;
  ended bigint := 0;
begin
  for login in select * from app_private.bi_states s where s.must_end or not s.is_live loop
    ended := ended + app_private.end_bi_sessions(login.credential_id);
    update app_private.bi_logins l set must_end = false where l.login = login.login and l.must_end;
  end loop;
  return ended;
end
$$;
comment on function app.end_bi_connections() is
  'Ends the connections of BI logins that are revoked or have expired, whose organization is deleted, or that were made with an earlier password. Returns how many.';
alter function app.end_bi_connections() owner to callboard_definer;
grant execute on function app.end_bi_connections() to callboard_api, callboard_worker;
--! EndIncluded bi/bi_commands.sql
--! Included bi/bi_keeping.sql
-- Maintenance of BI logins: roles follow the state of their credentials, and no login can hold up others
-- with an endless transaction.

create or replace function app_private.reconcile_bi_login(s app_private.bi_states, can_log_in boolean, is_connected boolean) returns bigint
language plpgsql volatile
set search_path = ''
as $$
begin
  if s.is_gone and not is_connected then
    perform app_private.drop_bi_role(s.credential_id);
    delete from app_private.bi_logins l where l.login = s.login;
    return 1;
  elsif can_log_in is distinct from s.is_live and can_log_in is not null then
    perform app_private.let_bi_role(s.credential_id, s.is_live);
    if s.has_expired then
      perform app_private.log_event(s.organization_id, 'bi.expire', 'bi', s.credential_id);
    end if;
    return 1;
  end if;
  return 0;
exception when dependent_objects_still_exist then
  -- A DBA has granted it something. It cannot log in, and is dropped once the grant is revoked.
  return 0;
end
$$;
comment on function app_private.reconcile_bi_login(app_private.bi_states, boolean, boolean) is
  'Enables, disables or drops a role, depending on its credential. Returns 1 if that was necessary.';
alter function app_private.reconcile_bi_login(app_private.bi_states, boolean, boolean) owner to callboard_definer;

create or replace function app.reconcile_bi_logins() returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  found_one record;
  done bigint;
begin
  -- One worker at a time; usually there is nothing to do.
  perform from app_private.bi_logins l for update skip locked;
  if not found then
    return 0;
  end if;
  done := app.end_bi_connections();
  for found_one in
    select s, r.rolcanlogin,
      exists (select from pg_catalog.pg_stat_activity x where x.usename = s.login and x.datname = current_database()) as is_connected
    from app_private.bi_states s
    left join pg_catalog.pg_roles r on r.rolname = s.login
  loop
    done := done + app_private.reconcile_bi_login(found_one.s, found_one.rolcanlogin, found_one.is_connected);
    if found_one.is_connected then
      -- Twice the statement timeout: a login can change its own timeouts, and old transactions hold back VACUUM.
      done := done + app_private.end_bi_sessions((found_one.s).credential_id, make_interval(secs => 2 * (found_one.s).statement_timeout_seconds));
      update app_private.bi_logins l set last_seen_at = now()
      where l.login = (found_one.s).login and coalesce(l.last_seen_at < now() - interval '5 minutes', true);
    end if;
  end loop;
  return done;
end
$$;
comment on function app.reconcile_bi_logins() is
  'Ends connections as app.end_bi_connections does, and transactions that last more than twice the statement timeout; enables or disables roles depending on their credentials, drops revoked ones, and records which were connected. Runs every few seconds. Returns the number of changes.';
alter function app.reconcile_bi_logins() owner to callboard_definer;
grant execute on function app.reconcile_bi_logins() to callboard_worker;

-- The same as in bi_commands.sql for a DBA (npm run bi), in the context of the organization, which is reset afterwards.
create or replace function app_private.create_bi_credential(of_slug text, body jsonb, verifier text) returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
  organization uuid := app_private.slug_organization(of_slug);
  credential uuid;
begin
  if organization is null then
    perform app.refuse(404, 'not_found', format('There is no organization %s.', of_slug));
  end if;
  perform app_private.set_context(null, null, organization);
  credential := app_private.add_bi_credential(body, verifier);
  perform app_private.set_context(null, null);
  return credential;
end
$$;
comment on function app_private.create_bi_credential(text, jsonb, text) is 'Creates a login for a BI tool of an organization (by slug). Returns the credential''s id. PT404, PT409 bi_credential_limit.';
alter function app_private.create_bi_credential(text, jsonb, text) owner to callboard_definer;

create or replace function app_private.rotate_bi_credential(credential uuid, body jsonb, verifier text) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.set_context(null, null, (select c.organization_id from app.bi_credentials c where c.id = credential));
  perform app_private.renew_bi_credential(credential, body, verifier);
  perform app_private.set_context(null, null);
end
$$;
comment on function app_private.rotate_bi_credential(uuid, jsonb, text) is 'Gives a BI credential a new password, as app.rotate_bi_credential does, regardless of who created it. PT404, PT409 bi_credential_revoked, bi_credential_limit.';
alter function app_private.rotate_bi_credential(uuid, jsonb, text) owner to callboard_definer;

create or replace function app_private.revoke_bi_credential(credential uuid) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
  perform app_private.set_context(null, null, (select c.organization_id from app.bi_credentials c where c.id = credential));
  perform app_private.end_bi_credential(credential);
  perform app_private.set_context(null, null);
end
$$;
comment on function app_private.revoke_bi_credential(uuid) is 'Revokes a BI credential, regardless of who created it. PT404, PT409 bi_credential_revoked.';
alter function app_private.revoke_bi_credential(uuid) owner to callboard_definer;
--! EndIncluded bi/bi_keeping.sql
--! Included audit/access_review.sql
-- Who has access to an organization, for the review that auditors ask for: members with what they hold and from whom,
-- what else opens a door, and what happened last. For auditors, who read events and nothing else.

create or replace function app_private.reviewed_members(organization uuid) returns json
language sql stable
set search_path = ''
begin atomic
  select coalesce(json_agg(json_build_object(
    'user_id', m.user_id, 'name', u.display_name, 'email', u.email, 'role', m.role,
    'custom_roles', (
      select coalesce(json_agg(r.name order by r.name), '[]')
      from app.member_roles x join app.custom_roles r on r.organization_id = x.organization_id and r.id = x.role_id
      where x.organization_id = m.organization_id and x.user_id = m.user_id and r.deleted_at is null),
    'permissions', to_json(app.permissions_of(m.organization_id, m.user_id)),
    'grants', (
      select coalesce(json_agg(json_build_object('permission', p.permission, 'effect', p.effect, 'expires_at', p.expires_at,
        'granted_by', g.email, 'granted_at', p.updated_at) order by p.permission), '[]')
      from app.member_permissions p left join app.users g on g.id = p.granted_by
      where p.organization_id = m.organization_id and p.user_id = m.user_id and (p.expires_at is null or p.expires_at > now())),
    'member_since', m.created_at, 'email_verified', u.email_verified_at is not null,
    'open_sessions', s.open, 'last_seen_at', s.seen) order by u.display_name, m.user_id), '[]')
  from app.memberships m
  join app.users u on u.id = m.user_id,
    lateral (
      select count(*) filter (where x.revoked_at is null and x.expires_at > now()) as open, max(x.refreshed_at) as seen
      from app.sessions x where x.user_id = m.user_id and x.organization_id = m.organization_id) s
  where m.organization_id = organization and m.deleted_at is null;
end;
comment on function app_private.reviewed_members(uuid) is
  'The members of an organization as a JSON list: their roles, the permissions these and their own grants come to, and their sessions in this organization, the last of which was refreshed at last_seen_at.';
alter function app_private.reviewed_members(uuid) owner to callboard_definer;

create or replace function app_private.reviewed_doors(organization uuid) returns json
language sql stable
set search_path = ''
begin atomic
  select json_build_object(
    'invitations', (
      select coalesce(json_agg(json_build_object('email', i.email, 'role', i.role, 'invited_by', u.email, 'expires_at', i.expires_at) order by i.email), '[]')
      from app.invitations i join app.users u on u.id = i.invited_by
      where i.organization_id = organization and i.accepted_at is null and i.deleted_at is null and i.expires_at > now()),
    'bi_logins', (
      select coalesce(json_agg(json_build_object('name', c.name, 'login', c.login, 'created_by', u.email, 'created_at', c.created_at,
        'rotated_at', c.rotated_at, 'expires_at', c.expires_at, 'last_seen_at', l.last_seen_at) order by c.name, c.id), '[]')
      from app.bi_credentials c
      left join app_private.bi_logins l on l.organization_id = c.organization_id and l.credential_id = c.id
      left join app.users u on u.id = c.created_by
      where c.organization_id = organization and c.revoked_at is null and c.expires_at > now()),
    'calendar_feeds', (
      select coalesce(json_agg(json_build_object('name', f.name, 'of', u.email, 'created_at', f.created_at) order by u.email, f.id), '[]')
      from app.calendar_feeds f join app.users u on u.id = f.user_id
      where f.organization_id = organization and f.revoked_at is null),
    'superadmins', (
      select coalesce(json_agg(json_build_object('email', u.email, 'everywhere', g.organization_id is null, 'may_write', g.may_write,
        'reason', g.reason, 'granted_by', g.granted_by, 'created_at', g.created_at, 'expires_at', g.expires_at) order by g.created_at, g.id), '[]')
      from app_private.support_grants g join app.users u on u.id = g.user_id
      where (g.organization_id = organization or g.organization_id is null) and g.revoked_at is null and g.expires_at > now()));
end;
comment on function app_private.reviewed_doors(uuid) is
  'What opens an organization besides a membership, as JSON: open invitations, BI logins, calendar feeds, and superadmins with a grant for it or for all. Only what still works.';
alter function app_private.reviewed_doors(uuid) owner to callboard_definer;

create or replace function app.review_access(organization uuid) returns json
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (
    select json_build_object(
      'organization', json_build_object('id', o.id, 'name', o.name), 'at', now(),
      'members', app_private.reviewed_members(o.id), 'doors', app_private.reviewed_doors(o.id),
      'custom_roles', (
        select coalesce(json_agg(json_build_object('name', r.name, 'permissions', r.permissions) order by r.name), '[]')
        from app.custom_roles r where r.organization_id = o.id and r.deleted_at is null),
      'head', (
        select json_build_object('seq', s.seq, 'hash', encode(s.hash, 'hex'), 'occurred_at', s.occurred_at)
        from app.event_seals s where s.organization_id = o.id order by s.seq desc limit 1))
    from app.organizations o where o.id = organization and o.deleted_at is null);
end
$$;
comment on function app.review_access(uuid) is
  'For auditors: who has access to an organization and from whom, as JSON, with the head of its event log, in which every change of it is sealed. Null if there is no such organization.';
alter function app.review_access(uuid) owner to callboard_definer;
grant execute on function app.review_access(uuid) to callboard_auditor;
--! EndIncluded audit/access_review.sql
-- Retention: what ends, and ends again after a restore
--! Included retention/ended.sql
-- What ends, for a file outside the database (ENDED_FILE), which outlives it: after a restore, `npm run restored -- --ended`
-- ends the same in the copy (restored_ended.sql). Each worker reads it once a minute: src/jobs/ended.ts.
--
-- Only ids, instants, and the names of built-in roles and permissions: nothing that an organization has written, and no
-- secret. What has ended once and for all is taken from its event; what can be taken away and given back (a member's
-- access, a role's permissions, an organization) is written as it is now, whenever it has changed.

create or replace function app_private.log_reach() returns jsonb
language sql stable
set search_path = ''
set timezone = 'UTC'
begin atomic
  select jsonb_build_object('origin', o.facts || jsonb_build_object('since', o.since), 'until', s.sealed_until)
  from app_private.origin o, app_private.sealing s;
end;
comment on function app_private.log_reach() is
  'Which database this is, or was when it was copied, and the time up to which all its transactions had ended: a copy has all of them and may lack any later one.';
alter function app_private.log_reach() owner to callboard_definer;

create or replace function app_private.ended_in(of_organization uuid, since timestamptz) returns setof jsonb
language sql stable
set search_path = ''
begin atomic
  with e as materialized (
    select l.resource_id as id, l.occurred_at as at, l.action, l.resource_type as noun, l.changes,
      case
        when l.action in ('auth.sign_out', 'auth.session_revoked', 'auth.refresh_token_reused') then 'session'
        when l.action in ('auth.password_changed', 'auth.password_reset') then 'password'
        when l.action = 'auth.superadmin.revoked' then 'support_grant'
        -- Sending it again ends the earlier link.
        when l.action in ('invitation.revoke', 'invitation.accept', 'invitation.resend') then 'invitation'
        when l.action = 'calendar_feed.revoke' then 'calendar_feed'
        when l.action = 'bi.revoke' then 'bi_login'
        when l.action = 'bi.rotate' then 'bi_password'
        when l.action = 'audit.erase' then 'erasure'
        when l.action = 'audit.purge' then 'events'
        when l.action like '%.purge' then 'purge'
      end as what
    from app.event_log l
    where l.organization_id = of_organization and l.occurred_at >= since
  )
  select jsonb_strip_nulls(jsonb_build_object('what', e.what, 'organization', of_organization, 'id', e.id,
    'at', case when e.what = 'events' then (e.changes #>> '{new,before}')::timestamptz else e.at end,
    'noun', case when e.what = 'purge' then e.noun end))
  from e where e.what is not null
  union all
  select jsonb_build_object('what', 'member', 'organization', of_organization, 'id', c.id, 'at', statement_timestamp(), 'role', m.role,
    -- Members deleted together with their organization come back with it.
    'removed', m.user_id is null or m.deleted_at is not null and m.deletion_id is distinct from o.deletion_id,
    'roles', (select coalesce(jsonb_agg(r.role_id), '[]') from app.member_roles r where r.organization_id = of_organization and r.user_id = c.id),
    'permissions', (
      select coalesce(jsonb_agg(jsonb_build_object('permission', p.permission, 'effect', p.effect, 'expires_at', p.expires_at)), '[]')
      from app.member_permissions p where p.organization_id = of_organization and p.user_id = c.id))
  from (select distinct e.id from e where e.noun = 'member') c
  join app.organizations o on o.id = of_organization
  left join app.memberships m on m.organization_id = of_organization and m.user_id = c.id
  union all
  select jsonb_build_object('what', 'role', 'organization', of_organization, 'id', c.id, 'at', statement_timestamp(),
    'removed', r.deleted_at is not null and r.deletion_id is distinct from o.deletion_id, 'permissions', to_jsonb(r.permissions))
  from (select distinct e.id from e where e.noun = 'role') c
  join app.organizations o on o.id = of_organization
  join app.custom_roles r on r.organization_id = of_organization and r.id = c.id
  union all
  select jsonb_build_object('what', 'organization', 'organization', o.id, 'id', o.id, 'at', statement_timestamp(), 'removed', o.deleted_at is not null)
  from app.organizations o
  where o.id = of_organization and exists (select from e where e.action in ('organization.delete', 'organization.restore'));
end;
comment on function app_private.ended_in(uuid, timestamptz) is
  'What has ended in an organization since a time, and the present state of the members and roles that have changed.';
alter function app_private.ended_in(uuid, timestamptz) owner to callboard_definer;

create or replace function app.read_ended(behind jsonb default null) returns jsonb
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
set timezone = 'UTC'
set jit = off
as $$
declare
  reach constant jsonb := app_private.log_reach();
  present constant timestamptz := reach ->> 'until';
  previous constant timestamptz := coalesce(
    case when behind -> 'origin' = reach -> 'origin' then (behind ->> 'until')::timestamptz end,
    greatest((reach #>> '{origin,since}')::timestamptz, now() - interval '1 day'));
  -- An event can become visible late, if a clock was set back or a backend stalled.
  since constant timestamptz := previous - interval '1 minute';
  organization uuid;
  ended jsonb[] := '{}';
begin
  -- Until the sealer has run here.
  if present < previous then
    return null;
  end if;
  loop
    -- Also what is newer than it vouches for: the next line has it again.
    organization := app_private.next_logged(organization, since, 'infinity');
    exit when organization is null;
    ended := ended || array(select app_private.ended_in(organization, since));
  end loop;
  -- A refresh is no event. It spends a token, and a spent one that comes back was stolen.
  ended := ended || array(
    select jsonb_build_object('what', 'refresh', 'id', s.id, 'at', s.refreshed_at)
    from app.sessions s where s.refreshed_at >= since and s.refreshed_at > s.created_at and s.revoked_at is null);
  return jsonb_build_object('origin', reach -> 'origin', 'from', previous, 'until', present, 'ended', to_jsonb(ended));
end
$$;
comment on function app.read_ended(jsonb) is
  'A line for the file of what ends: which database, the times from and until which nothing that ended is missing, and what ended (sessions, members, grants, feeds, logins, passwords, what was purged and erased). behind is the line before; without one of this database, it begins a day ago. NULL if there is nothing to say yet.';
alter function app.read_ended(jsonb) owner to callboard_definer;
grant execute on function app.read_ended(jsonb) to callboard_worker;
--! EndIncluded retention/ended.sql
--! Included retention/restored_ended.sql
-- After a restore, with the file of what has ended since (ended.sql; `npm run restored -- --ended`): the same ends in the
-- copy. Each function takes all entries of the file, the newest of each, and does its part; what has ended already stays
-- as it is, so that repeating it changes nothing.
--
-- The file can only take away: whoever changes it cannot give anybody anything. The one exception is the owner of an
-- organization whose other owners have gone.
--
-- These run with the rights of the migrator, as restored.sql does.

create or replace function app_private.end_recorded(ended jsonb) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  done jsonb;
begin
  with e as materialized (
    select * from jsonb_to_recordset(ended) x (what text, id uuid, at timestamptz)),
  sessions as (
    update app.sessions s set revoked_at = now(), revoked_because = 'revoked'
    from e where e.what = 'session' and s.id = e.id and s.revoked_at is null and s.expires_at > now() returning 1),
  -- Its owner has the next token, which the copy does not know. Whoever sends this one has copied it, however recently.
  tokens as (
    update app_private.refresh_tokens t set used_at = least(e.at, now() - interval '1 minute') from e, app.sessions s
    where e.what = 'refresh' and s.id = e.id and s.refreshed_at < e.at and t.session_id = s.id and t.used_at is null returning 1),
  invitations as (
    update app.invitations i set deleted_at = now(), deletion_id = app.uuid_v7()
    from e where e.what = 'invitation' and i.id = e.id and i.accepted_at is null and i.deleted_at is null and i.expires_at > now() returning 1),
  feeds as (
    update app.calendar_feeds f set revoked_at = now() from e where e.what = 'calendar_feed' and f.id = e.id and f.revoked_at is null returning 1),
  logins as (
    update app.bi_credentials c set revoked_at = now() from e where e.what = 'bi_login' and c.id = e.id and c.revoked_at is null returning c.id),
  -- The copy has the old password, which somebody may know. Its owner may rotate it again.
  rotations as (
    update app.bi_credentials c set expires_at = now() from e
    where e.what = 'bi_password' and c.id = e.id and c.revoked_at is null and c.expires_at > now() and coalesce(c.rotated_at < e.at, true)
      and not exists (select from e r where r.what = 'bi_login' and r.id = e.id) returning 1),
  grants as (
    select app_private.revoke_support(g.id) from app_private.support_grants g, e
    where e.what = 'support_grant' and g.id = e.id and g.revoked_at is null),
  -- Of a random proof, which nobody has: a new password is chosen with a mailed link.
  passwords as (
    update app_private.credentials c set verifier = sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), changed_at = e.at
    from e where e.what = 'password' and c.user_id = e.id and c.changed_at < e.at returning 1)
  select jsonb_build_object('sessions', (select count(*) from sessions), 'refresh_tokens', (select count(*) from tokens),
    'passwords', (select count(*) from passwords), 'invitations', (select count(*) from invitations),
    'calendar_feeds', (select count(*) from feeds), 'bi_logins', (select count(*) from logins) + (select count(*) from rotations),
    'superadmin_grants', (select count(*) from grants))
  into done;
  return done;
end
$$;
comment on function app_private.end_recorded(jsonb) is
  'Ends the recorded sessions, spent refresh tokens, changed passwords, invitations, calendar feeds, BI logins and superadmins'' grants. Returns how many of each.';

create or replace function app_private.limit_member(the_organization uuid, member uuid, permissions jsonb, roles uuid[]) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  delete from app.member_roles r where r.organization_id = the_organization and r.user_id = member and r.role_id <> all (roles);
  delete from app.member_permissions p
  where p.organization_id = the_organization and p.user_id = member and p.effect = 'grant' and not exists (
    select from jsonb_to_recordset(permissions) g (permission text, effect text, expires_at timestamptz)
    where g.permission = p.permission and g.effect = 'grant' and coalesce(g.expires_at > now(), true));
  update app.member_permissions p set expires_at = g.expires_at
  from jsonb_to_recordset(permissions) g (permission text, effect text, expires_at timestamptz)
  where p.organization_id = the_organization and p.user_id = member and p.effect = 'grant' and p.permission = g.permission
    and g.expires_at < coalesce(p.expires_at, 'infinity');
  insert into app.member_permissions as p (user_id, permission, effect, expires_at)
  select member, g.permission, 'deny', g.expires_at
  from jsonb_to_recordset(permissions) g (permission text, effect text, expires_at timestamptz)
  join app.permissions k on k.name = g.permission
  where g.effect = 'deny' and coalesce(g.expires_at > now(), true) and not exists (
    select from app.memberships m where m.organization_id = the_organization and m.user_id = member and m.role = 'owner')
  on conflict (organization_id, user_id, permission) do update set effect = 'deny', expires_at = excluded.expires_at
    where p.effect = 'grant' or p.expires_at < coalesce(excluded.expires_at, 'infinity');
end
$$;
comment on function app_private.limit_member(uuid, uuid, jsonb, uuid[]) is
  'Takes from a member the custom roles and grants that are not among these, and denies what these deny, in the context of the organization.';

create or replace function app_private.lower_members(ended jsonb) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  x record;
  held text[];
  removed bigint := 0;
  lowered bigint := 0;
  owners jsonb := '[]';
begin
  for x in
    with e as materialized (
      select * from jsonb_to_recordset(ended) r (what text, organization uuid, id uuid, at timestamptz, removed boolean, role text, roles uuid[], permissions jsonb)
      where r.what = 'member')
    select e.*, m.role as present,
      -- Without another owner, the one who has gone could not go again.
      not e.removed and e.role = 'owner' and m.role is distinct from 'owner' and exists (
        select from e o join app.memberships p on p.organization_id = o.organization and p.user_id = o.id
        where o.organization = e.organization and p.role = 'owner' and p.deleted_at is null and (o.removed or o.role is distinct from 'owner')) as succeeds
    from e join app.memberships m on m.organization_id = e.organization and m.user_id = e.id
    where m.deleted_at is null and m.updated_at < e.at
    order by e.organization, (not e.removed and e.role = 'owner') desc nulls last, e.id
  loop
    perform app_private.set_context(null, null, x.organization);
    begin
      if x.removed then
        update app.memberships m set deleted_at = now(), deletion_id = app.uuid_v7() where m.organization_id = x.organization and m.user_id = x.id;
        delete from app.member_roles r where r.organization_id = x.organization and r.user_id = x.id;
        delete from app.member_permissions p where p.organization_id = x.organization and p.user_id = x.id;
        removed := removed + 1;
      else
        held := app.permissions_of(x.organization, x.id);
        if x.succeeds then
          perform app_private.set_role(x.id, 'owner');
        elsif x.role is distinct from x.present and not exists (
            select from app.role_permissions n where n.role = x.role and not exists (
              select from app.role_permissions w where w.role = x.present and w.permission = n.permission)) then
          perform app_private.set_role(x.id, x.role);
        end if;
        perform app_private.limit_member(x.organization, x.id, x.permissions, x.roles);
        if not app.permissions_of(x.organization, x.id) @> held then
          lowered := lowered + 1;
        end if;
      end if;
    exception when sqlstate 'PT409' then
      owners := owners || jsonb_build_object('organization', x.organization, 'id', x.id);
    end;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('members', removed, 'lowered_members', lowered, 'owners', owners);
end
$$;
comment on function app_private.lower_members(jsonb) is
  'Removes the members who have been removed, and takes from the others what they no longer hold. Returns how many, and the owners who stay because nobody else in the copy can own their organization.';

create or replace function app_private.lower_roles(ended jsonb) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  x record;
  roles bigint := 0;
  organizations bigint := 0;
begin
  for x in
    select e.*, coalesce(o.deleted_at, r.deleted_at) as gone, r.permissions as present
    from jsonb_to_recordset(ended) e (what text, organization uuid, id uuid, removed boolean, permissions text[])
    left join app.organizations o on e.what = 'organization' and o.id = e.id
    left join app.custom_roles r on e.what = 'role' and r.organization_id = e.organization and r.id = e.id
    where o.id is not null or r.id is not null
  loop
    perform app_private.set_context(null, null, x.organization);
    if x.what = 'organization' and x.removed and x.gone is null then
      perform app_private.soft_delete('app.organizations', 'id = $1', x.id);
      organizations := organizations + 1;
    elsif x.what = 'role' and (x.removed and x.gone is null or not x.permissions @> x.present) then
      update app.custom_roles r set permissions = array(select p from unnest(r.permissions) p where p = any (x.permissions))
      where r.organization_id = x.organization and r.id = x.id and not x.permissions @> r.permissions;
      if x.removed and x.gone is null then
        perform app_private.soft_delete('app.custom_roles', 'organization_id = app.current_org() and id = $1', x.id);
      end if;
      roles := roles + 1;
    end if;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('roles', roles, 'organizations', organizations);
end
$$;
comment on function app_private.lower_roles(jsonb) is
  'Takes from custom roles the permissions that they have lost, and deletes the roles and organizations that have been deleted. Returns how many.';
--! EndIncluded retention/restored_ended.sql
--! Included retention/restored_purges.sql
-- After a restore, with the file of what has ended since: what has been purged and erased goes again. As restored_ended.sql.

create or replace function app_private.mark_purged(the_organization uuid, deletion uuid, nouns text[], ids uuid[]) returns regclass[]
language plpgsql volatile
set search_path = ''
as $$
declare
  t record;
  has_rows boolean;
  marked regclass[] := '{}';
begin
  for t in
    select d.marked, array_agg(e.id) as ids,
      case when exists (select from pg_catalog.pg_attribute a where a.attrelid = d.marked and a.attname = 'id') then 'id' else 'user_id' end as id_column
    from unnest(nouns, ids) e (noun, id) join app_private.event_nouns n on n.noun = e.noun join app_private.deletion_tables d on d.marked = n.on_table
    group by d.marked
  loop
    -- As old as the policies of the purge demand.
    execute format('update %s x set deleted_at = now() - interval ''2 days'', deletion_id = $1 where x.%I = $2 and x.%I = any ($3)',
      t.marked, case when t.marked = 'app.organizations'::regclass then 'id' else 'organization_id' end, t.id_column)
    using deletion, the_organization, t.ids;
    if t.marked <> 'app.organizations'::regclass then
      perform app_private.spread_deletion(t.marked, deletion);
    end if;
  end loop;
  for t in select * from app_private.deletion_tables loop
    execute format('select exists (select from %s x where x.%I = $1 and x.deletion_id = $2)', t.marked, t.organization_column)
    into has_rows using the_organization, deletion;
    if has_rows then
      marked := marked || t.marked;
    end if;
  end loop;
  return marked;
end
$$;
comment on function app_private.mark_purged(uuid, uuid, text[], uuid[]) is
  'Marks the rows of an organization with these nouns and ids, and what belongs to them, as one deletion that is due. Returns the tables that have rows of it.';

create or replace function app_private.purge_recorded(ended jsonb) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  x record;
  deletion uuid;
  marked regclass[];
  purged bigint := 0;
  kept jsonb := '[]';
begin
  -- What one transaction purged together, in the same order.
  for x in
    select e.organization, e.at, array_agg(e.noun) as nouns, array_agg(e.id) as ids
    from jsonb_to_recordset(ended) e (what text, organization uuid, id uuid, at timestamptz, noun text)
    join app.organizations o on o.id = e.organization
    where e.what = 'purge'
    group by e.organization, e.at order by e.at, e.organization
  loop
    begin
      perform app_private.set_context(null, null, x.organization, 'purge');
      if app_private.is_held(x.organization) then
        perform app.refuse(409, 'legal_hold');
      end if;
      deletion := app.uuid_v7();
      marked := app_private.mark_purged(x.organization, deletion, x.nouns, x.ids);
      if marked <> '{}' then
        purged := purged + app_private.purge_deletion(x.organization, deletion, marked);
      end if;
    exception when others then
      kept := kept || jsonb_build_object('organization', x.organization, 'purged_at', x.at, 'because', sqlerrm);
    end;
  end loop;
  perform app_private.set_context(null, null);
  return jsonb_build_object('purged_rows', purged, 'kept', kept);
end
$$;
comment on function app_private.purge_recorded(jsonb) is
  'Purges what has been purged. Returns how many rows, and what could not be: for example under a legal hold.';

create or replace function app_private.erase_recorded(ended jsonb) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  x record;
  gone bigint;
  erased bigint := 0;
  purged bigint := 0;
  kept jsonb := '[]';
begin
  for x in select distinct e.id from jsonb_to_recordset(ended) e (what text, id uuid) where e.what = 'erasure' loop
    begin
      erased := erased + app_private.erase_events(x.id);
    exception when sqlstate 'PT409' then
      kept := kept || jsonb_build_object('erasure', x.id, 'because', sqlerrm);
    end;
  end loop;
  for x in
    select e.organization, max(e.at) as before from jsonb_to_recordset(ended) e (what text, organization uuid, at timestamptz)
    where e.what = 'events' and not app_private.is_held(e.organization)
    group by e.organization
  loop
    delete from app.event_log l
    where l.organization_id = x.organization and l.occurred_at < x.before
      and exists (select from app.event_seals s where s.organization_id = x.organization and s.event_id = l.id);
    get diagnostics gone = row_count;
    if gone > 0 then
      perform app_private.log_event(x.organization, 'audit.purge', 'organization', x.organization,
        jsonb_build_object('new', jsonb_build_object('before', x.before, 'events', gone)));
      purged := purged + gone;
    end if;
  end loop;
  return jsonb_build_object('erased_events', erased, 'purged_events', purged, 'not_erased', kept);
end
$$;
comment on function app_private.erase_recorded(jsonb) is
  'Erases the details of the events about whom they have been erased, and purges the events that have been purged. Returns how many, and what could not be.';
--! EndIncluded retention/restored_purges.sql
--! Included retention/restored.sql
-- After a restore (`npm run restored`, as the migrator): without a file that says what has ended since the copy was made
-- (restored_ended.sql), everything ends that is valid without a password: what docs/explain/isolation.md lists as
-- outliving a request.
--
-- These run with the rights of the migrator. The definer's policies change feeds, invitations and BI credentials only in
-- the context of their member, who would then be the one who did it in the event log.

select app_private.set_policy('app.calendar_feeds', 'update_owner', 'callboard_owner', 'true');
select app_private.set_policy('app.invitations', 'update_owner', 'callboard_owner', 'true');
select app_private.set_policy('app.bi_credentials', 'update_owner', 'callboard_owner', 'true');

create or replace function app_private.end_mailed() returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  ended jsonb;
begin
  with links as (
    delete from app_private.email_tokens e where e.used_at is null and e.expires_at > now() returning 1),
  -- Most have been sent since, and the links in them have ended.
  mails as (
    update app_private.mails m set failed_at = now(), last_error = 'The database was restored.'
    where m.sent_at is null and m.failed_at is null returning 1)
  select jsonb_build_object('links', (select count(*) from links), 'mails', (select count(*) from mails)) into ended;
  return ended;
end
$$;
comment on function app_private.end_mailed() is 'Ends the links in mails to users, and abandons waiting mails. Returns how many of each.';

create or replace function app_private.end_access() returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  ended jsonb;
begin
  -- Access tokens, refresh tokens and links to files end with their session.
  with sessions as (
    update app.sessions s set revoked_at = now(), revoked_because = 'revoked' where s.revoked_at is null and s.expires_at > now() returning 1),
  invitations as (
    update app.invitations i set deleted_at = now(), deletion_id = app.uuid_v7()
    where i.accepted_at is null and i.deleted_at is null and i.expires_at > now() returning 1),
  feeds as (
    update app.calendar_feeds f set revoked_at = now() where f.revoked_at is null returning 1),
  -- Expired, not revoked: its owner may rotate it. Its role is left to app.reconcile_bi_logins.
  logins as (
    update app.bi_credentials c set expires_at = now() where c.revoked_at is null and c.expires_at > now() returning 1),
  grants as (
    select app_private.revoke_support(g.id) from app_private.support_grants g where g.revoked_at is null and g.expires_at > now())
  select jsonb_build_object('sessions', (select count(*) from sessions),
    'invitations', (select count(*) from invitations), 'calendar_feeds', (select count(*) from feeds),
    'bi_logins', (select count(*) from logins), 'superadmin_grants', (select count(*) from grants))
  into ended;
  return ended || app_private.end_mailed();
end
$$;
comment on function app_private.end_access() is
  'Ends all sessions, mailed links, invitations, calendar feeds, BI logins and grants of superadmins, and abandons waiting mails. Returns how many of each.';

create or replace function app_private.settle_restore(has_lost boolean, recorded jsonb) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  until timestamptz;
  ended jsonb := '{}';
begin
  -- Where the copy is old, the log has no partition for today.
  perform app.maintain_event_partitions();
  until := (select max(e.occurred_at) from app.event_log e);
  if has_lost then
    -- Before anything else is logged: the last event before the gap is the one that precedes it.
    perform app_private.log_event(o.id, 'database.restore', 'database', null, jsonb_build_object('new', jsonb_build_object('restored_until', until)))
    from app.organizations o where o.deleted_at is null;
    if recorded is null then
      ended := app_private.end_access();
    else
      -- Members before their organization, which takes its members along and brings them back.
      ended := app_private.end_recorded(recorded) || app_private.end_mailed() || app_private.lower_members(recorded)
        || app_private.lower_roles(recorded) || app_private.purge_recorded(recorded) || app_private.erase_recorded(recorded);
    end if;
  end if;
  perform app_private.accept_origin();
  return ended || jsonb_build_object('until', until);
end
$$;
comment on function app_private.settle_restore(boolean, jsonb) is
  'Makes a copy of the past fit to be served. If it has lost anything, notes the gap in every organization''s event log and ends what is recorded as ended since or, without a record (NULL), all access. Returns what ended, and the time of the last event before.';
--! EndIncluded retention/restored.sql
-- Analytics: figures
--! Included analytics/visible_org.sql
-- Whose rows a caller sees in `analytics`. The materialized views behind it hold those of all
-- organizations and cannot have policies, so every view there compares organization_id with this.

create or replace function app.visible_org(permission text default null) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  -- A BI tool is identified by its login, whatever its settings say, and has no permissions of its own: creating
  -- the login granted it all of `analytics`. Any other login needs a member's context.
  if session_user like 'bi\_%' then
    return (select s.organization_id from app_private.bi_states s where s.login = session_user and s.is_live);
  end if;
  return case when permission is null or app.org_if(permission) is not null then app.org_if('analytics.read') end;
end
$$;
comment on function app.visible_org(text) is
  'The organization whose figures may be read: for a BI login its own, while the credential is neither revoked nor expired and the organization not deleted; otherwise that of the transaction''s member, if they hold analytics.read and the given permission. NULL if there is none.';
alter function app.visible_org(text) owner to callboard_definer;
-- callboard_bi has no USAGE on the schema `app`, so it can call this only through the views.
grant execute on function app.visible_org(text) to callboard_api, callboard_rollup, callboard_bi;
--! EndIncluded analytics/visible_org.sql
--! Included analytics/rollups.sql
-- Sums and counts of all organizations, each stated once: the view analytics_private.<name>_definition. Registering it
-- creates what answers from it quickly, all with its columns:
--
--   <name>              a materialized view, computed in full once a night, for all organizations
--   <name>_recent       a table with the rows of organizations that have changed something since
--   <name>_now          a view that takes an organization's rows from the one or the other, with their as_of
--   analytics.<name>    what members and BI tools read, if it is published: <name>_now, limited by app.visible_org
--
-- What has changed is noticed in rollup_looking.sql and computed in rollup_refreshing.sql; rollup_checking.sql
-- compares with the definition. Each figure has its own file, which registers it here.

create table if not exists analytics_private.rollups (
  name text primary key,
  -- The events of an organization (by resource_type) that may change its figures: '*' is any. client_event
  -- stands for client events, which are not in the log.
  resources text[] not null,
  -- Whether it depends on the current day in an organization's time zone and so changes tomorrow.
  has_today boolean not null default false,
  -- Whether there is a view analytics.<name>. Without, it only serves answers of the API.
  is_published boolean not null default false,
  -- Null until the materialized view has been filled.
  refreshed_at timestamptz,
  took interval,
  row_count bigint,
  checked_at timestamptz,
  failed_at timestamptz,
  failed_with text
);
select app_private.force_rls('analytics_private.rollups');
select app_private.set_policy('analytics_private.rollups', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('analytics_private.rollups', 'all_rollup', 'callboard_rollup', 'true');
select app_private.set_policy('analytics_private.rollups', 'all_owner', 'callboard_owner', 'true');
grant select on analytics_private.rollups to callboard_definer;
grant select, update on analytics_private.rollups to callboard_rollup;
comment on table analytics_private.rollups is 'The figures: what changes them, and when they were last computed for all organizations at once.';
comment on column analytics_private.rollups.refreshed_at is 'When the materialized view was last computed, which takes part of every check.';
comment on column analytics_private.rollups.checked_at is 'When all organizations'' figures were last compared with the definition.';
comment on column analytics_private.rollups.failed_with is 'Why the last attempt to compute the materialized view failed; null if it did not.';

create table if not exists analytics_private.rollup_states (
  organization_id uuid not null references app.organizations (id) on delete cascade,
  rollup text not null references analytics_private.rollups (name) on delete cascade,
  is_recent boolean not null default false,
  -- Set if a change is not included yet: since when, and when the latest was noticed.
  changed_at timestamptz,
  marked_at timestamptz,
  as_of timestamptz,
  computed_at timestamptz,
  -- When its rows are no longer those of the current day, if they depend on that.
  valid_until timestamptz,
  took interval,
  row_count bigint,
  failed_at timestamptz,
  failed_with text,
  differed_at timestamptz,
  differing_rows bigint,
  primary key (organization_id, rollup)
);
select app_private.force_rls('analytics_private.rollup_states'), app_private.hide_statistics('analytics_private.rollup_states');
select app_private.set_policy('analytics_private.rollup_states', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('analytics_private.rollup_states', 'all_rollup', 'callboard_rollup', 'true');
grant select on analytics_private.rollup_states to callboard_definer;
grant select, insert, update on analytics_private.rollup_states to callboard_rollup;
comment on table analytics_private.rollup_states is 'How fresh the figures of each organization are: see app.figure_states.';
comment on column analytics_private.rollup_states.is_recent is 'Whether its rows are in the table <rollup>_recent instead of the materialized view.';
comment on column analytics_private.rollup_states.as_of is 'While changed_at is set: up to when the figures are complete. Otherwise they are up to looking.looked_until.';
comment on column analytics_private.rollup_states.differed_at is 'When a check last found that they were not what the definition says although nothing had changed.';

-- One row, read by every request for figures: keep it small.
create table if not exists analytics_private.looking (
  id boolean primary key default true constraint looking_one_row check (id),
  looked_until timestamptz
);
select app_private.force_rls('analytics_private.looking');
select app_private.set_policy('analytics_private.looking', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('analytics_private.looking', 'all_rollup', 'callboard_rollup', 'true');
select app_private.set_policy('analytics_private.looking', 'insert_owner', 'callboard_owner', 'true');
grant select on analytics_private.looking to callboard_definer;
grant select, update on analytics_private.looking to callboard_rollup;
insert into analytics_private.looking default values on conflict do nothing;
comment on table analytics_private.looking is 'Up to when the worker knows of all changes that affect figures.';

-- Only the holder of a lock on its row does the work.
create table if not exists analytics_private.refreshing (
  lane text primary key,
  began_at timestamptz,
  counted jsonb
);
select app_private.force_rls('analytics_private.refreshing');
select app_private.set_policy('analytics_private.refreshing', 'all_rollup', 'callboard_rollup', 'true');
-- Locking a row requires the privilege to update it.
grant select, update on analytics_private.refreshing to callboard_rollup;
select app_private.set_policy('analytics_private.refreshing', 'all_owner', 'callboard_owner', 'true');
insert into analytics_private.refreshing (lane) values ('look'), ('small'), ('large'), ('whole') on conflict do nothing;
comment on table analytics_private.refreshing is
  'Locked while somebody looks for changes, computes the figures of an organization (small: in less than a second; large: in more), or of all of them (whole), so that there is one of each at a time.';
comment on column analytics_private.refreshing.began_at is 'When somebody last looked.';
comment on column analytics_private.refreshing.counted is 'The events after looked_until that the last look has seen: {organization: {resource: number}}.';

create or replace view analytics_private.rollup_ages as
  select s.organization_id, s.rollup, s.is_recent, s.computed_at, s.changed_at,
    case when s.changed_at is null then l.looked_until else s.as_of end as as_of
  from analytics_private.rollup_states s, analytics_private.looking l;
comment on view analytics_private.rollup_ages is 'Where the figures of an organization are, and up to when they are complete.';
alter view analytics_private.rollup_ages owner to callboard_rollup;
grant select on analytics_private.rollup_ages to callboard_definer;

create or replace function analytics_private.day_end(time_zone text) returns timestamptz
language sql stable parallel safe
return ((now() at time zone time_zone)::date + 1)::timestamp at time zone time_zone;
comment on function analytics_private.day_end(text) is 'When the day in which this transaction began ends there.';
alter function analytics_private.day_end(text) owner to callboard_rollup;

create or replace function analytics_private.register_rollup(name text, key text[], resources text[], has_today boolean default false) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  definition text := register_rollup.name || '_definition';
  recent text := register_rollup.name || '_recent';
  keys text := (select string_agg(quote_ident(k), ', ' order by n) from unnest(register_rollup.key) with ordinality x (k, n));
  known_to_one name;
begin
  perform app_private.set_owner(format('analytics_private.%I', definition), 'callboard_rollup');
  execute format('create materialized view if not exists analytics_private.%I as select * from analytics_private.%I', name, definition);
  if to_regclass(format('analytics_private.%I', name || '_key')) is null then
    execute format('create unique index %I on analytics_private.%I (%s)', name || '_key', register_rollup.name, keys);
  end if;
  if to_regclass(format('analytics_private.%I', recent)) is null then
    execute format('create table analytics_private.%I (like analytics_private.%I, primary key (%s),
      foreign key (organization_id) references app.organizations (id) on delete cascade)', recent, definition, keys);
  end if;
  perform app_private.force_rls(format('analytics_private.%I', recent));
  perform app_private.set_policy(format('analytics_private.%I', recent), 'all_rollup', 'callboard_rollup', 'true');
  -- EXPLAIN shows estimates from statistics, which cover all organizations.
  perform app_private.hide_statistics(format('analytics_private.%I', recent));
  for known_to_one in
    select a.attname from pg_catalog.pg_attribute a
    where a.attrelid = format('analytics_private.%I', register_rollup.name)::regclass and a.attnum > 0
      and a.atttypid not in ('uuid'::regtype, 'date'::regtype) and a.attname not in ('status', 'currency', 'base_currency')
  loop
    execute format('alter materialized view analytics_private.%I alter column %I set statistics 0', register_rollup.name, known_to_one);
  end loop;
  perform app_private.set_owner(format('analytics_private.%I', register_rollup.name), 'callboard_rollup'),
    app_private.set_owner(format('analytics_private.%I', recent), 'callboard_rollup');
  -- The state is one row and is read first, for its organization: PostgreSQL then opens only one of the two.
  perform app_private.set_view(format('analytics_private.%I', register_rollup.name || '_now'), format('
    select s.organization_id, %3$s, s.as_of from analytics_private.rollup_ages s cross join lateral (
      select * from analytics_private.%1$I w where not s.is_recent and w.organization_id = s.organization_id
      union all
      select * from analytics_private.%2$I r where s.is_recent and r.organization_id = s.organization_id) m
    where s.rollup = %1$L', register_rollup.name, recent, (
      select string_agg(format('m.%I', a.attname), ', ' order by a.attnum) from pg_catalog.pg_attribute a
      where a.attrelid = format('analytics_private.%I', register_rollup.name)::regclass and a.attnum > 1)));
  perform app_private.set_owner(format('analytics_private.%I', register_rollup.name || '_now'), 'callboard_rollup');
  execute format('comment on view analytics_private.%I is %L', definition, format('The figures of %s, computed from scratch.', register_rollup.name));
  execute format('comment on materialized view analytics_private.%I is %L', register_rollup.name,
    format('%s of all organizations, as of the last night.', register_rollup.name));
  execute format('comment on table analytics_private.%I is %L', recent,
    format('%s of the organizations that have changed something since the last night.', register_rollup.name));
  execute format('comment on view analytics_private.%I is %L', register_rollup.name || '_now',
    format('%s of all organizations, each from where its rows are newer.', register_rollup.name));
  insert into analytics_private.rollups as r (name, resources, has_today)
  values (register_rollup.name, register_rollup.resources, register_rollup.has_today)
  on conflict on constraint rollups_pkey do update
  set resources = excluded.resources, has_today = excluded.has_today,
    -- A redefined view is recomputed.
    refreshed_at = null;
end
$$;
comment on function analytics_private.register_rollup(text, text[], text[], boolean) is
  'Makes figures of the view analytics_private.<name>_definition, whose rows have the given key: creates what holds them, to be read from <name>_now, and has them computed anew for an organization in which an event about one of `resources` occurs or, with has_today, a new day begins.';

create or replace function analytics_private.publish(name text) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  perform app_private.set_owner(format('analytics.%I', name), 'callboard_rollup');
  execute format('grant select on analytics.%I to callboard_api, callboard_bi', name);
  update analytics_private.rollups r set is_published = true where r.name = publish.name and not r.is_published;
end
$$;
comment on function analytics_private.publish(text) is 'Lets members and BI tools read the view analytics.<name>, which must compare the organization of its rows with app.visible_org().';
--! EndIncluded analytics/rollups.sql
--! Included analytics/rollup_looking.sql
-- Noticing which figures of which organizations have changed, without writing anything on the tenants' path: every
-- change has an event, in its own transaction. A look counts the events since the last one, by organization.
--
-- Events are dated by the beginning of their transaction and appear at its end. So those after the horizon, the
-- beginning of the oldest transaction in progress, are counted again by the next look, which thereby notices those that
-- have appeared in between; what the last look had already counted is no change. A transaction that stays open, such
-- as a long export, holds back as_of, but nothing is computed later because of it.

create or replace function app_private.horizon() returns timestamptz
language sql volatile security definer
set search_path = ''
set client_min_messages = 'error'
begin atomic
  select app_private.seal_horizon();
end;
comment on function app_private.horizon() is 'app_private.seal_horizon for callboard_rollup, which itself may not see other sessions.';
alter function app_private.horizon() owner to callboard_definer;
grant execute on function app_private.horizon() to callboard_rollup;

create or replace function analytics_private.mark_changed(organization uuid, changed text[], complete_until timestamptz) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  insert into analytics_private.rollup_states as s (organization_id, rollup, changed_at, marked_at)
  select o.id, r.name, clock_timestamp(), clock_timestamp()
  from app.organizations o, analytics_private.rollups r
  where o.id = organization
    and (r.resources && changed or '*' = any (r.resources) and changed <> '{client_event}'
      -- A new organization has none yet.
      or not exists (select from analytics_private.rollup_states p where p.organization_id = o.id and p.rollup = r.name))
  -- Everybody who changes states does so in this order, which avoids deadlocks.
  order by 1, 2
  on conflict on constraint rollup_states_pkey do update
  set marked_at = excluded.marked_at, changed_at = coalesce(s.changed_at, excluded.changed_at),
    as_of = case when s.changed_at is null then complete_until else s.as_of end;
end
$$;
comment on function analytics_private.mark_changed(uuid, text[], timestamptz) is
  'Has the figures of an organization computed that events about the given resources may have changed; until then they are complete up to the given time.';
alter function analytics_private.mark_changed(uuid, text[], timestamptz) owner to callboard_rollup;
grant execute on function analytics_private.mark_changed(uuid, text[], timestamptz) to callboard_definer;

create or replace function analytics_private.look() returns integer
language plpgsql volatile
set search_path = ''
-- As app.freshness.
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  before jsonb;
  since timestamptz;
  horizon timestamptz;
  until timestamptz;
  seen jsonb;
  found_in record;
  organizations integer := 0;
  outdated integer;
begin
  select coalesce(r.counted, '{}') into before from analytics_private.refreshing r where r.lane = 'look' for update skip locked;
  if not found then
    return 0;
  end if;
  select l.looked_until into since from analytics_private.looking l;
  -- In this order: all events of a transaction that ended before the horizon are in the snapshot of the next statement.
  horizon := greatest(app_private.horizon(), since);
  since := coalesce(since, horizon);
  until := clock_timestamp();
  select coalesce(jsonb_object_agg(e.organization_id, e.resources), '{}') into seen
  from (
    select o.id as organization_id, jsonb_object_agg(x.resource_type, jsonb_build_array(x.events, x.later)) as resources
    from app.organizations o, lateral (
      select l.resource_type, count(*) as events, count(*) filter (where l.occurred_at >= horizon) as later
      from app.event_log l where l.organization_id = o.id and l.occurred_at >= since and l.occurred_at <= until group by 1
      union all
      select 'client_event', count(*), count(*) filter (where c.received_at >= horizon)
      from app.client_events c where c.organization_id = o.id and c.received_at >= since and c.received_at <= until having count(*) > 0) x
    group by 1) e;
  for found_in in
    select x.organization_id, array_agg(x.resource) as resources
    from (
      select e.key::uuid as organization_id, r.key as resource from jsonb_each(seen) e, jsonb_each(e.value) r
      where (r.value ->> 0)::bigint <> coalesce((before #>> array[e.key, r.key])::bigint, 0)) x
    group by 1 order by 1
  loop
    perform analytics_private.mark_changed(found_in.organization_id, found_in.resources, since);
    organizations := organizations + 1;
  end loop;
  -- What counts days is different tomorrow.
  with due as (
    select s.organization_id, s.rollup
    from analytics_private.rollup_states s
    join app.organizations o on o.id = s.organization_id
    where s.valid_until <= now() and s.changed_at is null and o.deleted_at is null
    order by 1, 2 for update of s
  )
  update analytics_private.rollup_states s
  set changed_at = clock_timestamp(), marked_at = clock_timestamp(), as_of = since
  from due where due.organization_id = s.organization_id and due.rollup = s.rollup;
  get diagnostics outdated = row_count;
  update analytics_private.refreshing r
  set began_at = until, counted = (
    select coalesce(jsonb_object_agg(x.organization, x.resources), '{}')
    from (
      select e.key as organization, jsonb_object_agg(r.key, r.value -> 1) as resources
      from jsonb_each(seen) e, jsonb_each(e.value) r where (r.value ->> 1)::bigint > 0 group by 1) x)
  where r.lane = 'look';
  update analytics_private.looking set looked_until = horizon where looked_until is distinct from horizon;
  return organizations + outdated;
end
$$;
comment on function analytics_private.look() is
  'Looks for events since the last look, marks the figures that they may have changed, and advances looking.looked_until; returns how many organizations have any. A concurrent call does nothing.';
alter function analytics_private.look() owner to callboard_rollup;
--! EndIncluded analytics/rollup_looking.sql
--! Included analytics/rollup_refreshing.sql
-- Computing the figures that rollup_looking.sql has marked, for one organization at a time and in one transaction, so
-- that all of them change together.
--
-- None waits for another for long: there are two lanes, and organizations whose figures take more than a second have
-- one to themselves. And none gets more than its share: after they were computed, its figures rest for twenty times as
-- long as that took, at most ten minutes, however much happens.

create or replace function analytics_private.compute_figure(rollup text, organization uuid, was_recent boolean, out is_recent boolean, out row_count bigint)
language plpgsql volatile
set search_path = ''
-- The planner cannot know how many rows differ: comparing each with each takes minutes in a large organization.
set enable_nestloop = off
as $$
declare
  recent text := rollup || '_recent';
  keys text;
  of_fresh text;
  others text;
  of_others text;
  changed text;
begin
  select string_agg(quote_ident(a.attname), ', ' order by a.attnum) filter (where i.is_key),
    string_agg('f.' || quote_ident(a.attname), ', ' order by a.attnum) filter (where i.is_key),
    string_agg('t.' || quote_ident(a.attname), ', ' order by a.attnum) filter (where not i.is_key),
    string_agg('f.' || quote_ident(a.attname), ', ' order by a.attnum) filter (where not i.is_key),
    string_agg(format('%I = f.%1$I', a.attname), ', ' order by a.attnum) filter (where not i.is_key)
  into keys, of_fresh, others, of_others, changed
  from pg_catalog.pg_attribute a
  cross join lateral (select exists (select from pg_catalog.pg_index x
    where x.indrelid = a.attrelid and x.indisprimary and a.attnum = any (x.indkey)) as is_key) i
  where a.attrelid = format('analytics_private.%I', recent)::regclass and a.attnum > 0 and not a.attisdropped;
  -- Only what differs is written, and nothing at all while the materialized view is still right.
  execute format('
    with f as materialized (select * from analytics_private.%1$I d where d.organization_id = $1),
    present as materialized (
      select $2 or exists ((table f except all select * from analytics_private.%2$I m where m.organization_id = $1)
        union all (select * from analytics_private.%2$I m where m.organization_id = $1 except all table f)) as is_recent),
    gone as (
      delete from analytics_private.%3$I t using present where present.is_recent and t.organization_id = $1
        and not exists (select from f where (%4$s) = (%5$s))),
    differing as (
      update analytics_private.%3$I t set %8$s from f where t.organization_id = $1 and (%4$s) = (%5$s) and (%6$s) is distinct from (%7$s)),
    added as (
      insert into analytics_private.%3$I select f.* from f, present where present.is_recent
        and not exists (select from analytics_private.%3$I t where t.organization_id = $1 and (%4$s) = (%5$s)))
    select present.is_recent, (select count(*) from f) from present',
    rollup || '_definition', rollup, recent,
    (select string_agg('t.' || k, ', ') from regexp_split_to_table(keys, ', ') k), of_fresh, others, of_others, changed)
  into is_recent, row_count using organization, was_recent;
end
$$;
comment on function analytics_private.compute_figure(text, uuid, boolean) is
  'Computes a figure for one organization and writes what differs into <rollup>_recent, unless its rows are in the materialized view and still right there. Returns where they are now, and how many.';
alter function analytics_private.compute_figure(text, uuid, boolean) owner to callboard_rollup;

create or replace function analytics_private.compute_figures(organization uuid) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  due record;
  began timestamptz;
  is_recent boolean;
  n bigint;
  because text;
  figures jsonb := '[]';
begin
  -- looked_until is read with the marks, before anything is computed: what is computed includes all changes that a look
  -- up to then has marked.
  for due in
    select s.rollup, s.is_recent, s.marked_at, l.looked_until from analytics_private.rollup_states s, analytics_private.looking l
    where s.organization_id = organization and s.changed_at is not null
      and coalesce(s.failed_at < clock_timestamp() - interval '1 minute', true)
    order by s.rollup
  loop
    began := clock_timestamp();
    begin
      because := null;
      select c.is_recent, c.row_count into is_recent, n from analytics_private.compute_figure(due.rollup, organization, due.is_recent) c;
    -- A statement that takes too long, too: it must not be repeated at once.
    exception when query_canceled or others then
      because := sqlerrm;
    end;
    figures := figures || jsonb_build_object('rollup', due.rollup, 'began', began, 'ms', round(extract(epoch from clock_timestamp() - began) * 1000, 1),
      'failed_with', because, 'is_recent', is_recent, 'rows', case when because is null then n end, 'marked_at', due.marked_at, 'until', due.looked_until);
  end loop;
  -- At the end, because a look waits for the locks.
  perform from analytics_private.rollup_states x where x.organization_id = organization order by x.rollup for update;
  update analytics_private.rollup_states x
  set failed_at = clock_timestamp(), failed_with = f.failed_with
  from jsonb_to_recordset(figures) as f (rollup text, failed_with text)
  where x.organization_id = organization and x.rollup = f.rollup and f.failed_with is not null;
  update analytics_private.rollup_states x
  set is_recent = f.is_recent, row_count = f.rows, took = f.ms * interval '1 millisecond', computed_at = f.began, as_of = f.until,
    failed_at = null, failed_with = null, valid_until = (
      select analytics_private.day_end(o.time_zone) from app.organizations o, analytics_private.rollups r
      where o.id = x.organization_id and r.name = x.rollup and r.has_today),
    -- A later mark means that there is a change that may not be included.
    changed_at = case when x.marked_at <> f.marked_at then x.changed_at end
  from jsonb_to_recordset(figures) as f (rollup text, is_recent boolean, rows bigint, ms float8, began timestamptz, until timestamptz, marked_at timestamptz, failed_with text)
  where x.organization_id = organization and x.rollup = f.rollup and f.failed_with is null;
  return (select jsonb_agg(f.value - '{is_recent,marked_at,began,until}'::text[]) from jsonb_array_elements(figures) f);
end
$$;
comment on function analytics_private.compute_figures(uuid) is
  'Computes the figures of an organization that are marked as changed. One that fails keeps neither the others nor those of other organizations from being computed, and is tried again after a minute.';
alter function analytics_private.compute_figures(uuid) owner to callboard_rollup;

create or replace view analytics_private.unpopulated as
  select c.relname::text as rollup from pg_catalog.pg_class c
  where c.relnamespace = 'analytics_private'::regnamespace and c.relkind = 'm' and not c.relispopulated;
comment on view analytics_private.unpopulated is
  'Materialized views that nobody can read, because pg_restore could not fill them: without --enable-row-security it may not.';
alter view analytics_private.unpopulated owner to callboard_rollup;

create or replace function analytics_private.compute_whole(name text) returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  looked timestamptz := (select l.looked_until from analytics_private.looking l);
  began timestamptz := clock_timestamp();
  n bigint;
begin
  execute format('refresh materialized view %s analytics_private.%I',
    case when exists (select from analytics_private.unpopulated u where u.rollup = compute_whole.name) then '' else 'concurrently' end, name);
  execute format('select count(*) from analytics_private.%I', name) into n;
  -- Nobody computes an organization's figures while it is decided where they are.
  perform from analytics_private.refreshing r where r.lane in ('small', 'large') order by r.lane for update;
  insert into analytics_private.rollup_states (organization_id, rollup)
  select o.id, compute_whole.name from app.organizations o order by 1 on conflict on constraint rollup_states_pkey do nothing;
  perform from analytics_private.rollup_states s where s.rollup = compute_whole.name order by s.organization_id for update;
  -- What was computed before is included. What has changed since has been or will be computed for its organization.
  execute format('delete from analytics_private.%I t using analytics_private.rollup_states s
    where s.organization_id = t.organization_id and s.rollup = $1 and s.computed_at < $2', name || '_recent') using name, began;
  update analytics_private.rollup_states s
  set is_recent = false, as_of = coalesce(s.as_of, looked), computed_at = began, valid_until = (
    select analytics_private.day_end(o.time_zone) from app.organizations o, analytics_private.rollups r
    where o.id = s.organization_id and r.name = compute_whole.name and r.has_today)
  where s.rollup = compute_whole.name and coalesce(s.computed_at < began, true);
  update analytics_private.rollups r
  set refreshed_at = began, took = clock_timestamp() - began, row_count = n, failed_at = null, failed_with = null
  where r.name = compute_whole.name;
  return n;
exception when query_canceled or others then
  -- Where it has never been computed, each organization's is, alone.
  update analytics_private.rollups r
  set refreshed_at = coalesce(r.refreshed_at, began), failed_at = clock_timestamp(), failed_with = sqlerrm
  where r.name = compute_whole.name;
  insert into analytics_private.rollup_states (organization_id, rollup, changed_at, marked_at)
  select o.id, compute_whole.name, clock_timestamp(), clock_timestamp() from app.organizations o order by 1
  on conflict on constraint rollup_states_pkey do nothing;
  return null;
end
$$;
comment on function analytics_private.compute_whole(text) is
  'Computes a figure for all organizations at once, without blocking readers (there are none of an unpopulated view); returns the number of rows, or null if it failed: then everything stays as it was, and rollups.failed_with says why.';
alter function analytics_private.compute_whole(text) owner to callboard_rollup;

create or replace function app.refresh_figures(lane text, behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set jit = off
set work_mem = '64MB'
as $$
declare
  next text := (
    select r.name from analytics_private.rollups r
    where r.refreshed_at is null or exists (select from analytics_private.unpopulated u where u.rollup = r.name)
      and coalesce(r.failed_at < clock_timestamp() - interval '1 minute', true)
    order by r.name limit 1);
  organization uuid;
  organizations integer;
  waiting bigint;
  done jsonb;
  began timestamptz := clock_timestamp();
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'every statement needs its own snapshot';
  end if;
  perform from analytics_private.refreshing r where r.lane = refresh_figures.lane for update skip locked;
  if not found then
    return jsonb_build_object('busy', true, 'failed', 0, 'next', null);
  end if;
  -- In a transaction of its own, which is short: it holds back the next horizon.
  if lane = 'small' and (behind is null or (select r.began_at < began - interval '1 second' from analytics_private.refreshing r where r.lane = 'look')) then
    organizations := analytics_private.look();
    return jsonb_build_object('changed', organizations, 'until', (select l.looked_until from analytics_private.looking l), 'failed', 0, 'next', 'looked');
  end if;
  if lane = 'small' and next is not null then
    perform from analytics_private.refreshing r where r.lane = 'whole' for update skip locked;
    if found then
      done := to_jsonb(analytics_private.compute_whole(next));
      return jsonb_build_object('refreshed', next, 'rows', done, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer,
        'failed', (done is null)::integer, 'next', 'refreshed');
    end if;
  end if;
  -- The one that has waited longest.
  select s.organization_id into organization
  from (
    select x.organization_id, min(x.changed_at) filter (where x.failed_at is null or x.failed_at < began - interval '1 minute') as changed_at,
      max(greatest(x.computed_at, x.failed_at)) + least(coalesce(sum(x.took), interval '0') * 20, interval '10 minutes') > began is true as is_resting,
      coalesce(sum(x.took), interval '0') >= interval '1 second' as is_large
    from analytics_private.rollup_states x group by 1) s
  where s.changed_at is not null and not s.is_resting and s.is_large = (refresh_figures.lane = 'large')
  order by s.changed_at limit 1;
  waiting := (select count(distinct x.organization_id) from analytics_private.rollup_states x where x.changed_at is not null);
  if organization is null then
    return jsonb_build_object('waiting', waiting, 'failed', 0, 'next', null);
  end if;
  done := analytics_private.compute_figures(organization);
  return jsonb_build_object('organization', organization, 'figures', done, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer,
    'waiting', waiting - 1, 'failed', (select count(f ->> 'failed_with') from jsonb_array_elements(done) f), 'next', 'computed');
end
$$;
comment on function app.refresh_figures(text, jsonb) is
  'Looks for changes (small lane), or computes the figures of the organization that has waited longest, among those of its lane: small or large. To continue, call it again with next, until that is null; a concurrent call of the same lane does nothing. Returns how many organizations still wait, and which figures failed, and why.';
alter function app.refresh_figures(text, jsonb) owner to callboard_rollup;
grant execute on function app.refresh_figures(text, jsonb) to callboard_worker;
--! EndIncluded analytics/rollup_refreshing.sql
--! Included analytics/rollup_checking.sql
-- Once a night, or when a DBA asks, all figures are compared with what their definition says, and computed in full.
--
-- A difference is a defect: somebody has changed rows without triggers, or a figure depends on something that
-- is missing from its `resources`. It is reported, and mended by computing.

create or replace function analytics_private.check_figure(name text) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  began timestamptz := clock_timestamp();
  since timestamptz := (select l.looked_until from analytics_private.looking l);
  columns text := (
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_catalog.pg_attribute a
    where a.attrelid = format('analytics_private.%I', name || '_definition')::regclass and a.attnum > 0);
  compared text := format('
    select coalesce(jsonb_object_agg(x.organization_id, x.rows), ''{}'')
    from (
      select d.organization_id, count(*) as rows
      from ((select %1$s from analytics_private.%2$I where $1 is null or organization_id = $1
          except all select %1$s from analytics_private.%3$I where $1 is null or organization_id = $1)
        union all (select %1$s from analytics_private.%3$I where $1 is null or organization_id = $1
          except all select %1$s from analytics_private.%2$I where $1 is null or organization_id = $1)) d
      group by 1) x', columns, name || '_definition', name || '_now');
  organization uuid;
  own jsonb;
  differing jsonb := '{}';
begin
  begin
    execute compared into differing using null::uuid;
  exception when query_canceled or others then
    -- A row that cannot be computed keeps only its own organization from being checked.
    for organization in select o.id from app.organizations o loop
      begin
        execute compared into own using organization;
        differing := differing || own;
      exception when query_canceled or others then
        continue;
      end;
    end loop;
  end;
  -- Not those that have changed something that is still to be computed, or have been computed meanwhile.
  with odd as (
    select s.organization_id, s.rollup, (differing ->> s.organization_id::text)::bigint as rows
    from analytics_private.rollup_states s
    join analytics_private.rollups r on r.name = s.rollup
    where s.rollup = check_figure.name and differing ? s.organization_id::text and s.changed_at is null and s.computed_at < began
      and coalesce(s.valid_until > now(), true)
      and not exists (select from app.event_log l where l.organization_id = s.organization_id and l.occurred_at >= since
        and (l.resource_type = any (r.resources) or '*' = any (r.resources)))
      and not ('client_event' = any (r.resources)
        and exists (select from app.client_events c where c.organization_id = s.organization_id and c.received_at >= since))
    order by s.organization_id for update of s
  )
  update analytics_private.rollup_states s
  set differed_at = clock_timestamp(), differing_rows = odd.rows, changed_at = clock_timestamp(), marked_at = clock_timestamp(), as_of = since
  from odd where odd.organization_id = s.organization_id and odd.rollup = s.rollup;
  update analytics_private.rollups r set checked_at = began where r.name = check_figure.name;
  return (
    select coalesce(jsonb_agg(jsonb_build_object('rollup', s.rollup, 'organization', s.organization_id, 'differing_rows', s.differing_rows)), '[]')
    from analytics_private.rollup_states s where s.rollup = check_figure.name and s.differed_at >= began);
end
$$;
comment on function analytics_private.check_figure(text) is
  'Compares what all organizations see of a figure with its definition, and has those computed that differ although nothing has changed; returns them.';
alter function analytics_private.check_figure(text) owner to callboard_rollup;

create or replace function app.check_figures(behind jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
set jit = off
set work_mem = '64MB'
as $$
declare
  checked text := behind ->> 'checked';
  next text := (select min(r.name) from analytics_private.rollups r where behind is null or r.name > behind #>> '{}');
  began timestamptz := clock_timestamp();
  differing jsonb;
  n bigint;
begin
  perform from analytics_private.refreshing r where r.lane = 'whole' for update skip locked;
  -- Before the first look there is nothing to compare.
  if not found or coalesce(checked, next) is null or (select l.looked_until is null from analytics_private.looking l) then
    return jsonb_build_object('failed', 0, 'next', null);
  end if;
  -- In a transaction of its own, because a look waits for its locks.
  if checked is null then
    differing := analytics_private.check_figure(next);
    return jsonb_build_object('checked', next, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer, 'differing', differing,
      'failed', jsonb_array_length(differing), 'next', jsonb_build_object('checked', next));
  end if;
  n := analytics_private.compute_whole(checked);
  return jsonb_build_object('refreshed', checked, 'rows', n, 'ms', (extract(epoch from clock_timestamp() - began) * 1000)::integer,
    'failed_with', (select r.failed_with from analytics_private.rollups r where r.name = checked), 'failed', (n is null)::integer, 'next', checked);
end
$$;
comment on function app.check_figures(jsonb) is
  'Compares the first figure after another (null: of all) with its definition, for all organizations, and computes it in full. To continue, call it again with next, until that is null; a concurrent call does nothing. Returns the organizations whose figures differed although nothing had changed, which must be none.';
alter function app.check_figures(jsonb) owner to callboard_rollup;
grant execute on function app.check_figures(jsonb) to callboard_worker;
--! EndIncluded analytics/rollup_checking.sql
--! Included analytics/freshness.sql
-- How fresh the figures of an organization are, for its members and BI tools, and for those who run the server.

-- A plan is made once in a session. It knows all months of the log and opens only those that are asked for: planning
-- anew for these costs five times as much. Settings are those of the callers, because each costs as much as a row.
create or replace function app_private.freshness(
  organization uuid, rollups text[], out as_of timestamptz, out is_current boolean, out recent text[]
)
language plpgsql stable
set search_path = ''
as $$
declare
  since timestamptz;
  until timestamptz := clock_timestamp();
  seen text[];
begin
  select case when count(a.as_of) = cardinality(rollups) then min(a.as_of) end, min(l.looked_until), array_agg(s.rollup) filter (where s.is_recent),
    bool_and(s.changed_at is null and coalesce(s.valid_until > now(), true))
  into as_of, since, recent, is_current
  from analytics_private.looking l, analytics_private.rollup_states s,
    lateral (select case when s.changed_at is null then l.looked_until else s.as_of end as as_of) a
  where s.organization_id = organization and s.rollup = any (rollups);
  -- The worker looks every few seconds: if it has not for a day, only reading all events since could tell.
  is_current := coalesce(is_current, false) and as_of is not null and since > now() - interval '1 day' and app.data_age() = 0;
  if not is_current then
    return;
  end if;
  -- However much there is, only so many events are read: after that many, they count as changed.
  seen := array(select l.resource_type from app.event_log l
    where l.organization_id = organization and l.occurred_at >= since and l.occurred_at <= until limit 20);
  -- The only one of these.
  if 'client_events_by_day' = any (rollups)
      and exists (select from app.client_events c where c.organization_id = organization and c.received_at >= since) then
    seen := array_append(seen, 'client_event');
  end if;
  if seen <> '{}' then
    is_current := cardinality(seen) < 20 and not exists (
      select from analytics_private.rollups r
      where r.name = any (rollups) and (r.resources && seen or '*' = any (r.resources) and seen <> '{client_event}'));
  end if;
end
$$;
comment on function app_private.freshness(uuid, text[]) is
  'What app.freshness says about these figures of an organization, and which of them are in <rollup>_recent (null: none) instead of the materialized view. For functions that set plan_cache_mode = force_generic_plan, enable_seqscan = off and enable_bitmapscan = off.';
alter function app_private.freshness(uuid, text[]) owner to callboard_definer;

create or replace function app.freshness(variadic rollups text[], out as_of timestamptz, out is_current boolean)
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
-- A scan that is off has a cost for which PostgreSQL, where it has LLVM, would compile the statement for seconds.
set jit = off
as $$
declare
  organization uuid := app.visible_org();
  fresh record;
begin
  if organization is not null then
    fresh := app_private.freshness(organization, rollups);
    as_of := fresh.as_of;
    is_current := fresh.is_current;
  end if;
end
$$;
comment on function app.freshness(text[]) is
  'Up to when these figures of the organization are complete, the oldest of them (null: never computed), and whether it has changed nothing since that would affect them. It costs the same however much has changed: of more than 20 events since the worker last looked, it does not read all, and says that something has. Nulls for callers who may see none (app.visible_org).';
alter function app.freshness(text[]) owner to callboard_definer;
grant execute on function app.freshness(text[]) to callboard_api;

-- For BI tools; API responses include it.
create or replace view analytics.freshness with (security_barrier = true) as
  select r.name as view_name, f.as_of, f.is_current
  -- The dashboard shows two figures.
  from analytics_private.rollups r,
    lateral app.freshness(variadic case r.name when 'dashboard' then '{dashboard,activity_totals}' else array[r.name] end) f
  where r.is_published and (select app.visible_org()) is not null;
comment on view analytics.freshness is 'How old the figures of each view are.';
comment on column analytics.freshness.view_name is 'The view in this schema.';
comment on column analytics.freshness.as_of is 'Its figures are complete up to this moment; null if there are none yet.';
comment on column analytics.freshness.is_current is 'Whether your organization has changed nothing since that would affect them.';
alter view analytics.freshness owner to callboard_rollup;
grant select on analytics.freshness to callboard_api, callboard_bi;
grant execute on function app.freshness(text[]) to callboard_rollup, callboard_bi;

create or replace function app.read_freshness() returns app.answer
language plpgsql stable
set search_path = ''
as $$
begin
  perform app.require('analytics.read');
  return (null, (select json_build_object('items', coalesce(json_agg(json_build_object(
      'name', f.view_name, 'as_of', f.as_of, 'is_current', f.is_current) order by f.view_name), '[]'), 'next_cursor', null)
    from analytics.freshness f), null, null)::app.answer;
end
$$;
comment on function app.read_freshness() is 'How old the figures are, by view. PT403 without analytics.read.';
grant execute on function app.read_freshness() to callboard_api, callboard_definer;

create or replace function app.ask_for_refresh() returns app.answer
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  perform app.require('analytics.refresh');
  -- However many requests there are, a waiting job is not duplicated.
  perform app_private.add_job('refresh_figures', '{}', 'refresh_figures', 4);
  return (202, json_build_object('status_url', '/api/analytics/refresh'), null, null)::app.answer;
end
$$;
comment on function app.ask_for_refresh() is 'Has a worker compute changed figures now, if none has done so within seconds anyway. PT403 without analytics.refresh.';
alter function app.ask_for_refresh() owner to callboard_definer;
grant execute on function app.ask_for_refresh() to callboard_api;

create or replace function app.figure_states(of_organization uuid default null)
returns table (organization_id uuid, figure text, as_of timestamptz, changed_at timestamptz, computed_at timestamptz, took interval, row_count bigint,
  is_recent boolean, failed_at timestamptz, failed_with text, differed_at timestamptz, differing_rows bigint)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return query
    select s.organization_id, s.rollup, a.as_of, s.changed_at, s.computed_at, s.took, s.row_count, s.is_recent, s.failed_at, s.failed_with,
      s.differed_at, s.differing_rows
    from analytics_private.rollup_states s
    join analytics_private.rollup_ages a on a.organization_id = s.organization_id and a.rollup = s.rollup
    where of_organization is null or s.organization_id = of_organization;
end
$$;
comment on function app.figure_states(uuid) is
  'For each organization (or one) and figure: up to when it is complete, since when a change waits to be computed, when it was last computed, how long that took and how many rows there are, why it failed last (null: it did not), and when a check last found rows that the definition does not have. No figures.';
alter function app.figure_states(uuid) owner to callboard_definer;
grant execute on function app.figure_states(uuid) to callboard_auditor, callboard_worker;

create or replace function app.figure_health()
returns table (figures_lag_seconds float8, figures_oldest_change_seconds float8, figures_failed bigint, figures_differing bigint)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return query
    select (select extract(epoch from now() - l.looked_until)::float8 from analytics_private.looking l),
      coalesce(extract(epoch from now() - min(s.changed_at)), 0)::float8,
      count(s.failed_at) + (select count(r.failed_at) from analytics_private.rollups r),
      count(*) filter (where s.differed_at >= r.checked_at)
    from analytics_private.rollup_states s join analytics_private.rollups r on r.name = s.rollup;
end
$$;
comment on function app.figure_health() is
  'How many seconds ago the worker last knew of all changes (null: never), how long the oldest has been waiting to be computed, how many figures could not be computed, and how many differed from their definition at the last check.';
alter function app.figure_health() owner to callboard_definer;
grant execute on function app.figure_health() to callboard_worker;
--! EndIncluded analytics/freshness.sql
--! Included analytics/finance_by_month.sql
-- Money by month. Void and deleted records do not count.
--
-- Sums are numeric: a bigint could overflow, and one organization's absurd amounts would then prevent
-- the figures of all others from being computed.

create or replace view analytics_private.finance_by_month_definition as
  select r.organization_id, date_trunc('month', r.booked_on::timestamp)::date as month, r.status, r.currency::text as currency, r.base_currency::text as base_currency,
    coalesce(sum(r.amount_minor) filter (where r.kind = 'income'), 0) as income_minor,
    coalesce(sum(r.amount_minor) filter (where r.kind = 'expense'), 0) as expense_minor,
    coalesce(sum(r.base_amount_minor) filter (where r.kind = 'income'), 0) as base_income_minor,
    coalesce(sum(r.base_amount_minor) filter (where r.kind = 'expense'), 0) as base_expense_minor,
    count(*) as records
  from app.finance_records r
  where r.deleted_at is null and r.status <> 'void'
  group by 1, 2, 3, 4, 5;
select analytics_private.register_rollup('finance_by_month', '{organization_id,month,status,currency,base_currency}', resources => '{finance_record}');

create or replace view analytics.finance_by_month with (security_barrier = true) as
  select m.month, m.status, m.currency, m.income_minor, m.expense_minor, m.income_minor - m.expense_minor as profit_minor,
    m.base_currency, m.base_income_minor, m.base_expense_minor, m.base_income_minor - m.base_expense_minor as base_profit_minor,
    m.records, m.as_of
  from analytics_private.finance_by_month_now m
  where m.organization_id = (select app.visible_org('finance.read'));
comment on view analytics.finance_by_month is 'Income and expenses by month of booking, by status and by currency. Void and deleted records do not count. Needs finance.read.';
comment on column analytics.finance_by_month.month is 'The first day of the month.';
comment on column analytics.finance_by_month.status is 'planned, committed or actual.';
comment on column analytics.finance_by_month.currency is 'The currency of the records, ISO 4217.';
comment on column analytics.finance_by_month.income_minor is 'Income with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_month.expense_minor is 'Expenses with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_month.profit_minor is 'Income less expenses.';
comment on column analytics.finance_by_month.base_currency is 'The currency in which the books were kept when the records were entered, ISO 4217.';
comment on column analytics.finance_by_month.base_income_minor is 'The income in the base currency, at the exchange rate of each record.';
comment on column analytics.finance_by_month.base_expense_minor is 'The expenses in the base currency, at the exchange rate of each record.';
comment on column analytics.finance_by_month.base_profit_minor is 'Income less expenses in the base currency.';
comment on column analytics.finance_by_month.records is 'Number of records.';
comment on column analytics.finance_by_month.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('finance_by_month');
--! EndIncluded analytics/finance_by_month.sql
--! Included analytics/finance_months.sql
-- Money by month as the API returns it: an item for each month and currency, ready as JSON, because a request would
-- otherwise sum and format dozens of rows. Computed from the definition of finance_by_month, so that the two agree.

create or replace function app.profit_and_loss(income numeric, expense numeric, records numeric) returns json
language sql stable parallel safe
return json_build_object('income_minor', coalesce(income, 0), 'expense_minor', coalesce(expense, 0),
  'profit_minor', coalesce(income, 0) - coalesce(expense, 0), 'records', coalesce(records, 0));
comment on function app.profit_and_loss(numeric, numeric, numeric) is 'Income, expenses and profit as JSON; null counts as 0.';
grant execute on function app.profit_and_loss(numeric, numeric, numeric) to callboard_api, callboard_rollup;

create or replace function app.finance_item(
  period_on date, currency text, planned_income numeric, planned_expense numeric, planned_records numeric, committed_income numeric,
  committed_expense numeric, committed_records numeric, actual_income numeric, actual_expense numeric, actual_records numeric
) returns json
language sql stable parallel safe
return json_build_object('period_on', period_on, 'currency', currency,
  'planned', app.profit_and_loss(planned_income, planned_expense, planned_records),
  'committed', app.profit_and_loss(committed_income, committed_expense, committed_records),
  'actual', app.profit_and_loss(actual_income, actual_expense, actual_records));
comment on function app.finance_item(date, text, numeric, numeric, numeric, numeric, numeric, numeric, numeric, numeric, numeric) is
  'Money of a period in a currency as JSON: income, expenses and number of records by status.';
grant execute on function app.finance_item(date, text, numeric, numeric, numeric, numeric, numeric, numeric, numeric, numeric, numeric)
  to callboard_api, callboard_rollup;

-- The item is a text because json has no equality, by which figures are compared with their definition.
create or replace view analytics_private.finance_months_definition as
  select m.organization_id, v.in_base, m.month, v.currency,
    app.finance_item(m.month, v.currency,
      sum(v.income) filter (where m.status = 'planned'), sum(v.expense) filter (where m.status = 'planned'), sum(m.records) filter (where m.status = 'planned'),
      sum(v.income) filter (where m.status = 'committed'), sum(v.expense) filter (where m.status = 'committed'), sum(m.records) filter (where m.status = 'committed'),
      sum(v.income) filter (where m.status = 'actual'), sum(v.expense) filter (where m.status = 'actual'), sum(m.records) filter (where m.status = 'actual'))::text as item
  from analytics_private.finance_by_month_definition m, lateral (values
    (true, m.base_currency, m.base_income_minor, m.base_expense_minor),
    (false, m.currency, m.income_minor, m.expense_minor)) v (in_base, currency, income, expense)
  group by 1, 2, 3, 4;
select analytics_private.register_rollup('finance_months', '{organization_id,in_base,month,currency}', resources => '{finance_record}');

-- Not through finance_months_now, which takes as long as all else here, because app_private.freshness already says
-- where the rows are.
grant select on analytics_private.finance_months, analytics_private.finance_months_recent to callboard_definer;
select app_private.set_policy('analytics_private.finance_months_recent', 'select_definer', 'callboard_definer', 'true');
create or replace function app.finance_months(since date, until date, in_currency text, out as_of timestamptz, out is_current boolean, out items text)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  -- As app.visible_org('finance.read'), which also knows BI logins.
  organization uuid := case when app.has_permission('finance.read') then app.org_if('analytics.read') end;
  fresh record;
begin
  if organization is null then
    return;
  end if;
  fresh := app_private.freshness(organization, '{finance_months}');
  as_of := fresh.as_of;
  is_current := fresh.is_current;
  if fresh.recent is not null then
    items := (select string_agg(m.item, ', ' order by m.month, m.currency) from analytics_private.finance_months_recent m
      where m.organization_id = organization and m.in_base = (in_currency is null) and m.month between since and until
        and (in_currency is null or m.currency = in_currency));
  else
    items := (select string_agg(m.item, ', ' order by m.month, m.currency) from analytics_private.finance_months m
      where m.organization_id = organization and m.in_base = (in_currency is null) and m.month between since and until
        and (in_currency is null or m.currency = in_currency));
  end if;
  items := '[' || items || ']';
end
$$;
comment on function app.finance_months(date, date, text) is
  'Money from one month to another, in one currency or, with null, all in the base currency, as the text of a JSON array, and how fresh it is (app.freshness); nulls if there is none, and for callers who may not see money.';
alter function app.finance_months(date, date, text) owner to callboard_definer;
grant execute on function app.finance_months(date, date, text) to callboard_api, callboard_exporter;
--! EndIncluded analytics/finance_months.sql
--! Included analytics/finance_by_category.sql
-- Money by category and month. Void and deleted records do not count. Names are looked up on reading:
-- a concurrent refresh compares old and new rows, which is faster with fewer and shorter columns.

create or replace view analytics_private.finance_by_category_definition as
  select r.organization_id, date_trunc('month', r.booked_on::timestamp)::date as month, r.category_id, r.status,
    r.currency::text as currency, r.base_currency::text as base_currency,
    sum(r.amount_minor) as amount_minor, sum(r.base_amount_minor) as base_amount_minor, count(*) as records
  from app.finance_records r
  where r.deleted_at is null and r.status <> 'void'
  group by 1, 2, 3, 4, 5, 6;
select analytics_private.register_rollup('finance_by_category', '{organization_id,month,category_id,status,currency,base_currency}', resources => '{finance_record}');

create or replace view analytics.finance_by_category with (security_barrier = true) as
  select m.month, m.category_id, c.name as category, c.kind, m.status, m.currency, m.amount_minor, m.base_currency, m.base_amount_minor,
    m.records, m.as_of
  from analytics_private.finance_by_category_now m
  join app.finance_categories c on c.organization_id = m.organization_id and c.id = m.category_id
  where m.organization_id = (select app.visible_org('finance.read'));
comment on view analytics.finance_by_category is 'Income and expenses by category and month of booking, by status and by currency. Void and deleted records do not count. Needs finance.read.';
comment on column analytics.finance_by_category.month is 'The first day of the month.';
comment on column analytics.finance_by_category.category_id is 'The id of the category.';
comment on column analytics.finance_by_category.category is 'The name of the category.';
comment on column analytics.finance_by_category.kind is 'income or expense.';
comment on column analytics.finance_by_category.status is 'planned, committed or actual.';
comment on column analytics.finance_by_category.currency is 'The currency of the records, ISO 4217.';
comment on column analytics.finance_by_category.amount_minor is 'The amount with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_category.base_currency is 'The currency in which the books were kept when the records were entered, ISO 4217.';
comment on column analytics.finance_by_category.base_amount_minor is 'The amount in the base currency, at the exchange rate of each record.';
comment on column analytics.finance_by_category.records is 'Number of records.';
comment on column analytics.finance_by_category.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('finance_by_category');
--! EndIncluded analytics/finance_by_category.sql
--! Included analytics/finance_by_show.sql
-- What shows earn and cost. Void and deleted records do not count, nor do those of deleted shows.
--
-- Statuses of money are columns, and names are looked up on reading: a concurrent refresh compares old
-- and new rows, which is faster with fewer and shorter ones.

create or replace view analytics_private.finance_by_show_definition as
  select r.organization_id, s.show_on, r.show_id, r.currency::text as currency, r.base_currency::text as base_currency,
    sum(r.amount_minor) filter (where r.status = 'planned' and r.kind = 'income') as planned_income_minor,
    sum(r.base_amount_minor) filter (where r.status = 'planned' and r.kind = 'income') as planned_base_income_minor,
    sum(r.amount_minor) filter (where r.status = 'planned' and r.kind = 'expense') as planned_expense_minor,
    sum(r.base_amount_minor) filter (where r.status = 'planned' and r.kind = 'expense') as planned_base_expense_minor,
    sum(r.amount_minor) filter (where r.status = 'committed' and r.kind = 'income') as committed_income_minor,
    sum(r.base_amount_minor) filter (where r.status = 'committed' and r.kind = 'income') as committed_base_income_minor,
    sum(r.amount_minor) filter (where r.status = 'committed' and r.kind = 'expense') as committed_expense_minor,
    sum(r.base_amount_minor) filter (where r.status = 'committed' and r.kind = 'expense') as committed_base_expense_minor,
    sum(r.amount_minor) filter (where r.status = 'actual' and r.kind = 'income') as actual_income_minor,
    sum(r.base_amount_minor) filter (where r.status = 'actual' and r.kind = 'income') as actual_base_income_minor,
    sum(r.amount_minor) filter (where r.status = 'actual' and r.kind = 'expense') as actual_expense_minor,
    sum(r.base_amount_minor) filter (where r.status = 'actual' and r.kind = 'expense') as actual_base_expense_minor,
    count(*) filter (where r.status = 'planned') as planned_records,
    count(*) filter (where r.status = 'committed') as committed_records,
    count(*) filter (where r.status = 'actual') as actual_records
  from app.finance_records r
  join app.shows s on s.organization_id = r.organization_id and s.id = r.show_id
  where r.deleted_at is null and r.status <> 'void' and s.deleted_at is null
  group by 1, 2, 3, 4, 5;
select analytics_private.register_rollup('finance_by_show', '{organization_id,show_on,show_id,currency,base_currency}', resources => '{finance_record,show}');

create or replace view analytics.finance_by_show with (security_barrier = true) as
  select m.show_id, m.show_on, s.title, s.artist, s.status as show_status, b.status,
    m.currency, coalesce(b.income, 0) as income_minor, coalesce(b.expense, 0) as expense_minor, coalesce(b.income, 0) - coalesce(b.expense, 0) as profit_minor,
    m.base_currency, coalesce(b.base_income, 0) as base_income_minor, coalesce(b.base_expense, 0) as base_expense_minor,
    coalesce(b.base_income, 0) - coalesce(b.base_expense, 0) as base_profit_minor,
    b.records, m.as_of
  from analytics_private.finance_by_show_now m
  join app.shows s on s.organization_id = m.organization_id and s.id = m.show_id,
  lateral (values
    ('planned', m.planned_records, m.planned_income_minor, m.planned_expense_minor, m.planned_base_income_minor, m.planned_base_expense_minor),
    ('committed', m.committed_records, m.committed_income_minor, m.committed_expense_minor, m.committed_base_income_minor, m.committed_base_expense_minor),
    ('actual', m.actual_records, m.actual_income_minor, m.actual_expense_minor, m.actual_base_income_minor, m.actual_base_expense_minor)) b (status, records, income, expense, base_income, base_expense)
  where m.organization_id = (select app.visible_org('finance.read')) and (select app.visible_org('shows.read')) is not null and b.records > 0;
comment on view analytics.finance_by_show is 'Profit and loss by show, by status and by currency. Void and deleted records do not count, nor do those of deleted shows. Needs finance.read and shows.read.';
comment on column analytics.finance_by_show.show_id is 'The id of the show.';
comment on column analytics.finance_by_show.show_on is 'The day of the show, regardless of when the money is booked.';
comment on column analytics.finance_by_show.title is 'The title of the show.';
comment on column analytics.finance_by_show.artist is 'The artist of the show.';
comment on column analytics.finance_by_show.show_status is 'The status of the show.';
comment on column analytics.finance_by_show.status is 'The status of the records: planned, committed or actual.';
comment on column analytics.finance_by_show.currency is 'The currency of the records, ISO 4217.';
comment on column analytics.finance_by_show.income_minor is 'Income with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_show.expense_minor is 'Expenses with tax, in the smallest unit of the currency.';
comment on column analytics.finance_by_show.profit_minor is 'Income less expenses.';
comment on column analytics.finance_by_show.base_currency is 'The currency in which the books were kept when the records were entered, ISO 4217.';
comment on column analytics.finance_by_show.base_income_minor is 'The income in the base currency, at the exchange rate of each record.';
comment on column analytics.finance_by_show.base_expense_minor is 'The expenses in the base currency, at the exchange rate of each record.';
comment on column analytics.finance_by_show.base_profit_minor is 'Income less expenses in the base currency.';
comment on column analytics.finance_by_show.records is 'Number of records.';
comment on column analytics.finance_by_show.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('finance_by_show');
--! EndIncluded analytics/finance_by_show.sql
--! Included analytics/shows_by_month.sql
-- Shows by the month in which they take place, and by the month in which they were entered. Deleted shows do not count.
--
-- Only a show's events tell whether it was ever on hold, as long as they are kept; without them a
-- show that is not on hold now counts as never having been.

create or replace view analytics_private.shows_by_month_definition as
  with steps as (
    select l.organization_id, l.resource_id, min(l.occurred_at) filter (where l.status = 'hold') as held_at,
      max(l.occurred_at) filter (where l.status = 'confirmed') as confirmed_at
    from (
      -- No offset 0, which would evaluate the JSON only once: the organization must reach the index through this.
      select e.organization_id, e.resource_id, e.occurred_at, e.changes #>> '{new,status}' as status from app.event_log e
      where e.resource_type = 'show' and e.changes #>> '{new,status}' in ('hold', 'confirmed')) l
    group by 1, 2
  )
  select s.organization_id, date_trunc('month', s.show_on::timestamp)::date as month, s.status, count(*) as shows,
    count(*) filter (where e.held_at is not null or s.status = 'hold') as held,
    count(*) filter (where e.confirmed_at > e.held_at) as confirmed_from_hold,
    coalesce(sum(s.capacity), 0)::bigint as capacity,
    coalesce(sum(s.tickets_sold) filter (where s.capacity is not null), 0)::bigint as tickets_sold
  from app.shows s
  left join steps e on e.organization_id = s.organization_id and e.resource_id = s.id
  where s.deleted_at is null
  group by 1, 2, 3;
-- Details of events can be erased, and old events are purged; both are events themselves.
select analytics_private.register_rollup('shows_by_month', '{organization_id,month,status}', resources => '{show,details,organization}');

create or replace view analytics.shows_by_month with (security_barrier = true) as
  select m.month, m.status, m.shows, m.held, m.confirmed_from_hold, m.capacity, m.tickets_sold,
    m.as_of
  from analytics_private.shows_by_month_now m
  where m.organization_id = (select app.visible_org());
comment on view analytics.shows_by_month is 'Shows by the month in which they take place, and by status. Deleted shows do not count.';
comment on column analytics.shows_by_month.month is 'The first day of the month.';
comment on column analytics.shows_by_month.status is 'The current status of the shows.';
comment on column analytics.shows_by_month.shows is 'Number of shows.';
comment on column analytics.shows_by_month.held is 'How many of them are or were on hold, as far back as events are kept.';
comment on column analytics.shows_by_month.confirmed_from_hold is 'How many of those were confirmed afterwards.';
comment on column analytics.shows_by_month.capacity is 'Total capacity of the shows whose capacity is known.';
comment on column analytics.shows_by_month.tickets_sold is 'Tickets sold for the shows whose capacity is known.';
comment on column analytics.shows_by_month.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('shows_by_month');

create or replace view analytics_private.shows_created_by_month_definition as
  select s.organization_id, date_trunc('month', s.created_at at time zone o.time_zone)::date as month, count(*) as created
  from app.shows s
  join app.organizations o on o.id = s.organization_id
  where s.deleted_at is null
  group by 1, 2;
select analytics_private.register_rollup('shows_created_by_month', '{organization_id,month}', resources => '{show,organization}');

create or replace view analytics.shows_created_by_month with (security_barrier = true) as
  select m.month, m.created, m.as_of
  from analytics_private.shows_created_by_month_now m
  where m.organization_id = (select app.visible_org());
comment on view analytics.shows_created_by_month is 'Shows by the month in which they were entered, in the time zone of the organization. Deleted shows do not count.';
comment on column analytics.shows_created_by_month.month is 'The first day of the month.';
comment on column analytics.shows_created_by_month.created is 'How many shows were entered.';
comment on column analytics.shows_created_by_month.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('shows_created_by_month');
--! EndIncluded analytics/shows_by_month.sql
--! Included analytics/activity_totals.sql
-- What members did in the last 30 days: one row per organization, for the dashboard. The same as the totals of
-- app.activity_figures, which cannot add them up from days: a member who was active on two days is one.

create or replace view analytics_private.activity_totals_definition as
  with days as not materialized (
    select o.id as organization_id, o.time_zone, (now() at time zone o.time_zone)::date as until from app.organizations o where o.deleted_at is null
  )
  select d.organization_id, d.until - 29 as since, d.until, count(e.id) as events, count(e.id) filter (where e.action = 'auth.sign_in') as sign_ins,
    count(distinct e.actor_id) filter (where e.actor_kind = 'user') as active_users
  from days d
  left join app.event_log e on e.organization_id = d.organization_id
    -- For the index and the months; a day may have 25 hours.
    and e.occurred_at >= now() - interval '31 days'
    and (e.occurred_at at time zone d.time_zone)::date between d.until - 29 and d.until
  group by 1, 2, 3;
select analytics_private.register_rollup('activity_totals', '{organization_id}', resources => '{*}', has_today => true);
--! EndIncluded analytics/activity_totals.sql
--! Included analytics/use_totals.sql
-- How much the API, imports and exports were used in the last 30 days, for the dashboard: summed when it is read, as in
-- app.use_figures, because calls of the API have no events that would have figures computed.

create or replace view analytics_private.use_totals as
  select o.id as organization_id, d.until - 29 as since, d.until, a.calls, a.errors, a.server_errors,
    i.imports, i.import_errors, i.import_rows, i.import_bytes, i.exports, i.export_errors, i.export_rows, i.export_bytes
  from app.organizations o,
    lateral (select (now() at time zone 'UTC')::date as until) d,
    lateral (
      select coalesce(sum(u.calls), 0) as calls, coalesce(sum(u.errors), 0) as errors, coalesce(sum(u.server_errors), 0) as server_errors
      from app.api_use u where u.organization_id = o.id and u.day between d.until - 29 and d.until) a,
    lateral (
      select coalesce(sum(u.calls) filter (where u.kind = 'import'), 0) as imports, coalesce(sum(u.errors) filter (where u.kind = 'import'), 0) as import_errors,
        coalesce(sum(u.rows) filter (where u.kind = 'import'), 0) as import_rows, coalesce(sum(u.bytes) filter (where u.kind = 'import'), 0) as import_bytes,
        coalesce(sum(u.calls) filter (where u.kind = 'export'), 0) as exports, coalesce(sum(u.errors) filter (where u.kind = 'export'), 0) as export_errors,
        coalesce(sum(u.rows) filter (where u.kind = 'export'), 0) as export_rows, coalesce(sum(u.bytes) filter (where u.kind = 'export'), 0) as export_bytes
      from app.integration_use u where u.organization_id = o.id and u.day between d.until - 29 and d.until) i;
comment on view analytics_private.use_totals is 'API calls, imports and exports of each organization from 29 UTC days ago to today.';
alter view analytics_private.use_totals owner to callboard_rollup;
--! EndIncluded analytics/use_totals.sql
--! Included analytics/dashboard.sql
-- What people see first in the morning: one row per organization.
--
-- Money is in the organization's current base currency; records entered while the books were kept in
-- another one are only counted. Void and deleted records do not count.

create or replace function app.profit(income numeric, expense numeric) returns json
language sql stable parallel safe
return json_build_object('income_minor', income, 'expense_minor', expense, 'profit_minor', income - expense);
comment on function app.profit(numeric, numeric) is 'Income, expenses and profit as JSON.';
grant execute on function app.profit(numeric, numeric) to callboard_rollup;

create or replace function app.share(part numeric, of_all numeric) returns numeric
language sql immutable parallel safe
return round(part / nullif(of_all, 0), 4);
comment on function app.share(numeric, numeric) is 'A part as a share of the whole, from 0 to 1; null if the whole is 0.';
grant execute on function app.share(numeric, numeric) to callboard_api, callboard_rollup;

create or replace view analytics_private.dashboard_definition as
  -- Not materialized: the organization must reach the index of each table through this.
  with days as not materialized (
    select o.id as organization_id, o.currency, o.time_zone, d.today, date_trunc('month', d.today::timestamp)::date as month_on, date_trunc('year', d.today::timestamp)::date as year_on
    from app.organizations o, lateral (select (now() at time zone o.time_zone)::date as today) d
    where o.deleted_at is null
  ), money as (
    select r.organization_id,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status = 'actual' and r.booked_on >= d.month_on and r.booked_on < d.month_on + interval '1 month') as month_income_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status = 'actual' and r.booked_on >= d.month_on and r.booked_on < d.month_on + interval '1 month') as month_expense_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status = 'actual' and r.booked_on >= d.year_on and r.booked_on < d.year_on + interval '1 year') as year_income_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status = 'actual' and r.booked_on >= d.year_on and r.booked_on < d.year_on + interval '1 year') as year_expense_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status <> 'actual' and r.booked_on >= d.year_on and r.booked_on < d.year_on + interval '1 year') as year_open_income_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status <> 'actual' and r.booked_on >= d.year_on and r.booked_on < d.year_on + interval '1 year') as year_open_expense_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status <> 'planned' and r.payment_status in ('unpaid', 'partly_paid')) as receivable_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'income' and r.status <> 'planned' and r.payment_status in ('unpaid', 'partly_paid') and r.due_on < d.today) as receivable_overdue_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status <> 'planned' and r.payment_status in ('unpaid', 'partly_paid')) as payable_minor,
      sum(r.base_amount_minor) filter (where r.kind = 'expense' and r.status <> 'planned' and r.payment_status in ('unpaid', 'partly_paid') and r.due_on < d.today) as payable_overdue_minor
    from app.finance_records r
    join days d on d.organization_id = r.organization_id and d.currency = r.base_currency
    where r.deleted_at is null and r.status <> 'void'
    group by 1
  ), others as (
    select r.organization_id, count(*) as records from app.finance_records r
    join days d on d.organization_id = r.organization_id and d.currency <> r.base_currency
    where r.deleted_at is null and r.status <> 'void'
    group by 1
  ), played as (
    select s.organization_id,
      count(*) filter (where s.show_on >= d.today and s.status not in ('cancelled', 'postponed')) as coming_shows,
      count(*) filter (where s.show_on >= d.today and s.status = 'confirmed') as coming_confirmed_shows,
      count(*) filter (where s.show_on >= d.today and s.status = 'hold') as coming_held_shows,
      count(*) filter (where s.show_on >= d.today and s.show_on < d.today + 30 and s.status not in ('cancelled', 'postponed')) as shows_in_30_days,
      min(s.show_on) filter (where s.show_on >= d.today and s.status = 'confirmed') as next_show_on,
      count(*) filter (where s.status = 'played') as shows_to_settle,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status in ('played', 'settled')) as month_played_shows,
      count(*) filter (where s.show_on >= d.year_on and s.show_on < d.year_on + interval '1 year' and s.status in ('played', 'settled')) as year_played_shows,
      count(*) filter (where date_trunc('month', s.created_at at time zone d.time_zone) = d.month_on) as month_created_shows,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month') as month_shows,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'inquiry') as month_shows_inquiry,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'hold') as month_shows_hold,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'offer') as month_shows_offer,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'confirmed') as month_shows_confirmed,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'played') as month_shows_played,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'settled') as month_shows_settled,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'cancelled') as month_shows_cancelled,
      count(*) filter (where s.show_on >= d.month_on and s.show_on < d.month_on + interval '1 month' and s.status = 'postponed') as month_shows_postponed
    from app.shows s
    join days d on d.organization_id = s.organization_id
    where s.deleted_at is null
    group by 1
  ), figures as (
    select d.organization_id, d.today, d.currency::text as currency,
      coalesce(m.month_income_minor, 0) as month_income_minor, coalesce(m.month_expense_minor, 0) as month_expense_minor,
      coalesce(m.year_income_minor, 0) as year_income_minor, coalesce(m.year_expense_minor, 0) as year_expense_minor,
      coalesce(m.year_open_income_minor, 0) as year_open_income_minor, coalesce(m.year_open_expense_minor, 0) as year_open_expense_minor,
      coalesce(m.receivable_minor, 0) as receivable_minor, coalesce(m.receivable_overdue_minor, 0) as receivable_overdue_minor,
      coalesce(m.payable_minor, 0) as payable_minor, coalesce(m.payable_overdue_minor, 0) as payable_overdue_minor,
      coalesce(x.records, 0) as records_in_other_base_currencies,
      coalesce(p.coming_shows, 0) as coming_shows, coalesce(p.coming_confirmed_shows, 0) as coming_confirmed_shows, coalesce(p.coming_held_shows, 0) as coming_held_shows,
      coalesce(p.shows_in_30_days, 0) as shows_in_30_days, p.next_show_on, coalesce(p.shows_to_settle, 0) as shows_to_settle,
      coalesce(p.month_played_shows, 0) as month_played_shows, coalesce(p.year_played_shows, 0) as year_played_shows,
      coalesce(p.month_created_shows, 0) as month_created_shows, coalesce(p.month_shows, 0) as month_shows,
      coalesce(p.month_shows_inquiry, 0) as month_shows_inquiry, coalesce(p.month_shows_hold, 0) as month_shows_hold, coalesce(p.month_shows_offer, 0) as month_shows_offer,
      coalesce(p.month_shows_confirmed, 0) as month_shows_confirmed, coalesce(p.month_shows_played, 0) as month_shows_played, coalesce(p.month_shows_settled, 0) as month_shows_settled,
      coalesce(p.month_shows_cancelled, 0) as month_shows_cancelled, coalesce(p.month_shows_postponed, 0) as month_shows_postponed,
      app.share(p.month_played_shows, p.month_played_shows + p.month_shows_cancelled) as month_completion_rate
    from days d
    left join money m using (organization_id)
    left join others x using (organization_id)
    left join played p using (organization_id)
  )
  -- As the API returns them: an answer then only puts texts together.
  select f.*,
    json_build_object('coming', f.coming_shows, 'coming_confirmed', f.coming_confirmed_shows, 'coming_held', f.coming_held_shows,
      'in_30_days', f.shows_in_30_days, 'next_on', f.next_show_on, 'to_settle', f.shows_to_settle,
      'played_this_month', f.month_played_shows, 'played_this_year', f.year_played_shows,
      'this_month', json_build_object('created', f.month_created_shows, 'shows', f.month_shows,
        'by_status', json_build_object('inquiry', f.month_shows_inquiry, 'hold', f.month_shows_hold, 'offer', f.month_shows_offer, 'confirmed', f.month_shows_confirmed,
          'played', f.month_shows_played, 'settled', f.month_shows_settled, 'cancelled', f.month_shows_cancelled, 'postponed', f.month_shows_postponed),
        'completed', f.month_played_shows,
        'completion_rate', f.month_completion_rate))::text as shows,
    json_build_object('currency', f.currency,
      'this_month', app.profit(f.month_income_minor, f.month_expense_minor), 'this_year', app.profit(f.year_income_minor, f.year_expense_minor),
      'open_this_year', app.profit(f.year_open_income_minor, f.year_open_expense_minor),
      'receivable_minor', f.receivable_minor, 'receivable_overdue_minor', f.receivable_overdue_minor,
      'payable_minor', f.payable_minor, 'payable_overdue_minor', f.payable_overdue_minor,
      'records_in_other_base_currencies', f.records_in_other_base_currencies)::text as money
  from figures f;
select analytics_private.register_rollup('dashboard', '{organization_id}', resources => '{finance_record,show,organization}', has_today => true);

create or replace view analytics.dashboard with (security_barrier = true) as
  select d.today, f.may_see_money,
    case when f.may_see_money then d.currency end as currency,
    case when f.may_see_money then d.month_income_minor end as month_income_minor,
    case when f.may_see_money then d.month_expense_minor end as month_expense_minor,
    case when f.may_see_money then d.year_income_minor end as year_income_minor,
    case when f.may_see_money then d.year_expense_minor end as year_expense_minor,
    case when f.may_see_money then d.year_open_income_minor end as year_open_income_minor,
    case when f.may_see_money then d.year_open_expense_minor end as year_open_expense_minor,
    case when f.may_see_money then d.receivable_minor end as receivable_minor,
    case when f.may_see_money then d.receivable_overdue_minor end as receivable_overdue_minor,
    case when f.may_see_money then d.payable_minor end as payable_minor,
    case when f.may_see_money then d.payable_overdue_minor end as payable_overdue_minor,
    case when f.may_see_money then d.records_in_other_base_currencies end as records_in_other_base_currencies,
    d.coming_shows, d.coming_confirmed_shows, d.coming_held_shows, d.shows_in_30_days, d.next_show_on, d.shows_to_settle, d.month_played_shows, d.year_played_shows,
    d.month_created_shows, d.month_shows, d.month_shows_inquiry, d.month_shows_hold, d.month_shows_offer, d.month_shows_confirmed, d.month_shows_played,
    d.month_shows_settled, d.month_shows_cancelled, d.month_shows_postponed,
    d.month_completion_rate,
    a.events as events_in_30_days, a.sign_ins as sign_ins_in_30_days, a.active_users as active_users_in_30_days,
    u.calls as api_calls_in_30_days, u.errors as api_errors_in_30_days, u.server_errors as api_server_errors_in_30_days,
    u.imports as imports_in_30_days, u.import_errors as import_errors_in_30_days, u.import_rows as import_rows_in_30_days, u.import_bytes as import_bytes_in_30_days,
    u.exports as exports_in_30_days, u.export_errors as export_errors_in_30_days, u.export_rows as export_rows_in_30_days, u.export_bytes as export_bytes_in_30_days,
    least(d.as_of, a.as_of) as as_of
  -- `offset 0`: otherwise PostgreSQL inlines the call wherever its result is used, and evaluates it fourteen times.
  from analytics_private.dashboard_now d, lateral (select (select app.visible_org('finance.read')) is not null as may_see_money offset 0) f
  left join analytics_private.activity_totals_now a on a.organization_id = (select app.visible_org())
  left join analytics_private.use_totals u on u.organization_id = (select app.visible_org())
  where d.organization_id = (select app.visible_org());
comment on view analytics.dashboard is 'The most important figures in one row: shows and money of this month and this year, activity and use of the last 30 days. Money is in the base currency of the organization, and null without finance.read.';
comment on column analytics.dashboard.today is 'The day on which it was computed, in the time zone of the organization.';
comment on column analytics.dashboard.may_see_money is 'Whether you hold finance.read, without which the amounts are null.';
comment on column analytics.dashboard.currency is 'The base currency, ISO 4217.';
comment on column analytics.dashboard.month_income_minor is 'Actual income booked in this month, in the smallest unit of the currency.';
comment on column analytics.dashboard.month_expense_minor is 'Actual expenses booked in this month.';
comment on column analytics.dashboard.year_income_minor is 'Actual income booked in this year.';
comment on column analytics.dashboard.year_expense_minor is 'Actual expenses booked in this year.';
comment on column analytics.dashboard.year_open_income_minor is 'Planned and committed income of this year.';
comment on column analytics.dashboard.year_open_expense_minor is 'Planned and committed expenses of this year.';
comment on column analytics.dashboard.receivable_minor is 'Committed and actual income that is unpaid or partly paid, in full.';
comment on column analytics.dashboard.receivable_overdue_minor is 'The part of it that was due before today.';
comment on column analytics.dashboard.payable_minor is 'Committed and actual expenses that are unpaid or partly paid, in full.';
comment on column analytics.dashboard.payable_overdue_minor is 'The part of it that was due before today.';
comment on column analytics.dashboard.records_in_other_base_currencies is 'Records that were entered while the books were kept in another currency; not included in these amounts.';
comment on column analytics.dashboard.coming_shows is 'Shows from today on that are not cancelled or postponed.';
comment on column analytics.dashboard.coming_confirmed_shows is 'Those that are confirmed.';
comment on column analytics.dashboard.coming_held_shows is 'Those that are on hold.';
comment on column analytics.dashboard.shows_in_30_days is 'Those of the next 30 days, including today.';
comment on column analytics.dashboard.next_show_on is 'The day of the next confirmed show.';
comment on column analytics.dashboard.shows_to_settle is 'Shows that were played but are not settled.';
comment on column analytics.dashboard.month_played_shows is 'Shows of this month that were played.';
comment on column analytics.dashboard.year_played_shows is 'Shows of this year that were played.';
comment on column analytics.dashboard.month_created_shows is 'Shows that were entered in this month, whatever their date.';
comment on column analytics.dashboard.month_shows is 'Shows of this month.';
comment on column analytics.dashboard.month_shows_inquiry is 'Those of this month that are an inquiry.';
comment on column analytics.dashboard.month_shows_hold is 'Those of this month that are on hold.';
comment on column analytics.dashboard.month_shows_offer is 'Those of this month that have an offer.';
comment on column analytics.dashboard.month_shows_confirmed is 'Those of this month that are confirmed.';
comment on column analytics.dashboard.month_shows_played is 'Those of this month that were played but are not settled.';
comment on column analytics.dashboard.month_shows_settled is 'Those of this month that are settled.';
comment on column analytics.dashboard.month_shows_cancelled is 'Those of this month that were cancelled.';
comment on column analytics.dashboard.month_shows_postponed is 'Those of this month that were postponed.';
comment on column analytics.dashboard.month_completion_rate is 'Share of the played and settled shows of this month among those and the cancelled; null if there are none.';
comment on column analytics.dashboard.events_in_30_days is 'Events of the event log in the last 30 days, including today.';
comment on column analytics.dashboard.sign_ins_in_30_days is 'Sign-ins among them.';
comment on column analytics.dashboard.active_users_in_30_days is 'Members who did something in these days.';
comment on column analytics.dashboard.api_calls_in_30_days is 'API calls in the last 30 UTC days, including today; counted with a delay of up to a minute.';
comment on column analytics.dashboard.api_errors_in_30_days is 'How many of them had a response status of 400 or higher.';
comment on column analytics.dashboard.api_server_errors_in_30_days is 'How many of them had a response status of 500 or higher.';
comment on column analytics.dashboard.imports_in_30_days is 'Imports in the last 30 UTC days, including today.';
comment on column analytics.dashboard.import_errors_in_30_days is 'How many of them failed.';
comment on column analytics.dashboard.import_rows_in_30_days is 'Rows imported in these days.';
comment on column analytics.dashboard.import_bytes_in_30_days is 'Bytes imported in these days.';
comment on column analytics.dashboard.exports_in_30_days is 'Exports in the last 30 UTC days, including today.';
comment on column analytics.dashboard.export_errors_in_30_days is 'How many of them failed.';
comment on column analytics.dashboard.export_rows_in_30_days is 'Rows exported in these days.';
comment on column analytics.dashboard.export_bytes_in_30_days is 'Bytes exported in these days.';
comment on column analytics.dashboard.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('dashboard');
--! EndIncluded analytics/dashboard.sql
--! Included analytics/dashboard_reading.sql
-- The dashboard as the API returns it: a few texts that are ready, put together.

-- Not through dashboard_now and activity_totals_now, which take as long as all else here: see finance_months.sql.
grant select on analytics_private.dashboard, analytics_private.dashboard_recent, analytics_private.activity_totals,
  analytics_private.activity_totals_recent, analytics_private.use_totals to callboard_definer;
select app_private.set_policy('analytics_private.dashboard_recent', 'select_definer', 'callboard_definer', 'true'),
  app_private.set_policy('analytics_private.activity_totals_recent', 'select_definer', 'callboard_definer', 'true');

create or replace function app.read_dashboard() returns app.answer
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  organization uuid := app.require('analytics.read');
  fresh record := app_private.freshness(organization, '{dashboard,activity_totals}');
  d record;
  a record;
  u record;
begin
  if 'dashboard' = any (fresh.recent) then
    select r.today, r.shows, r.money into d from analytics_private.dashboard_recent r where r.organization_id = organization;
  else
    select r.today, r.shows, r.money into d from analytics_private.dashboard r where r.organization_id = organization;
  end if;
  if 'activity_totals' = any (fresh.recent) then
    select r.since, r.until, r.events, r.sign_ins, r.active_users into a from analytics_private.activity_totals_recent r where r.organization_id = organization;
  else
    select r.since, r.until, r.events, r.sign_ins, r.active_users into a from analytics_private.activity_totals r where r.organization_id = organization;
  end if;
  select * into u from analytics_private.use_totals t where t.organization_id = organization;
  return (null, json_build_object('as_of', fresh.as_of, 'is_current', fresh.is_current, 'today', d.today, 'shows', d.shows::json,
    'money', case when app.has_permission('finance.read') then d.money::json end,
    'activity', case when a.until is not null then json_build_object('from', a.since, 'to', a.until, 'events', a.events, 'sign_ins', a.sign_ins,
      'active_users', a.active_users) end,
    'use', json_build_object('from', u.since, 'to', u.until,
      'api', json_build_object('calls', u.calls, 'errors', u.errors, 'server_errors', u.server_errors),
      'imports', json_build_object('calls', u.imports, 'errors', u.import_errors, 'rows', u.import_rows, 'bytes', u.import_bytes),
      'exports', json_build_object('calls', u.exports, 'errors', u.export_errors, 'rows', u.export_rows, 'bytes', u.export_bytes))), null, null)::app.answer;
end
$$;
comment on function app.read_dashboard() is
  'The dashboard: shows and money of this month and this year, activity and use of the last 30 days; without finance.read, it has no money. PT403 without analytics.read.';
alter function app.read_dashboard() owner to callboard_definer;
grant execute on function app.read_dashboard() to callboard_api, callboard_exporter;
--! EndIncluded analytics/dashboard_reading.sql
--! Included analytics/finance_figures.sql
-- Money by period, as the API returns it.

create or replace function app.today() returns date
language plpgsql stable parallel restricted security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (select (now() at time zone o.time_zone)::date from app.organizations o where o.id = (select app.current_org()));
end
$$;
comment on function app.today() is 'The current day in the time zone of this transaction''s organization.';
alter function app.today() owner to callboard_definer;
grant execute on function app.today() to callboard_api;

create or replace function app.figure_months(from_on date, to_on date, out since date, out until date)
language plpgsql stable
set search_path = ''
as $$
begin
  -- This year's by default.
  since := date_trunc('month', coalesce(from_on, date_trunc('year', coalesce(to_on, app.today())::timestamp)::date)::timestamp);
  until := date_trunc('month', coalesce(to_on, (date_trunc('year', since::timestamp) + interval '11 months')::date)::timestamp);
  if until < since or until >= since + interval '10 years' then
    perform app.refuse(422, 'analytics_range', 'The last month must not be before the first, and must be less than ten years after it.');
  end if;
end
$$;
comment on function app.figure_months(date, date) is
  'The first days of the months from that of one day (default: January) to that of another (default: December of the same year). PT422 analytics_range.';
grant execute on function app.figure_months(date, date) to callboard_api;

create or replace function app.figures_at(as_of timestamptz, is_current boolean, since date, until date, period text, items text) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  last_on date := until + interval '1 month' - interval '1 day';
  head json := case when period is null
    then json_build_object('as_of', as_of, 'is_current', is_current, 'from', since, 'to', last_on)
    else json_build_object('as_of', as_of, 'is_current', is_current, 'period', period, 'from', since, 'to', last_on) end;
begin
  -- As texts: json_build_object would copy the items character by character.
  return (null, (left(head::text, -1) || ', "items" : ' || coalesce(items, '[]') || '}')::json, null, null)::app.answer;
end
$$;
comment on function app.figures_at(timestamptz, boolean, date, date, text, text) is
  'A response with figures of a moment: which months they cover (with period: grouped by what), and the text of a JSON array of them.';
grant execute on function app.figures_at(timestamptz, boolean, date, date, text, text) to callboard_api;

create or replace function app.figures(rollups text[], since date, until date, period text, items json) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  fresh record := app.freshness(variadic rollups);
begin
  return app.figures_at(fresh.as_of, fresh.is_current, since, until, period, items::text);
end
$$;
comment on function app.figures(text[], date, date, text, json) is
  'A response with figures of these materialized views: when they date from, which months they cover (with period: grouped by what), and the figures.';
grant execute on function app.figures(text[], date, date, text, json) to callboard_api;

create or replace function app.finance_figures(period text, from_on date default null, to_on date default null, in_currency text default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  -- Assigned rather than performed: an expression costs a fraction of a statement.
  organization uuid := case when app.require('analytics.read') is not null then app.require('finance.read') end;
  months record := app.figure_months(from_on, to_on);
  ready record;
  items json;
begin
  if period = 'month' then
    ready := app.finance_months(months.since, months.until, in_currency);
    return app.figures_at(ready.as_of, ready.is_current, months.since, months.until, period, ready.items);
  end if;
  select json_agg(p.item order by p.period_on, p.currency) into items
  from (
    select m.period_on, m.currency, app.finance_item(m.period_on, m.currency,
      sum(m.income) filter (where m.status = 'planned'), sum(m.expense) filter (where m.status = 'planned'), sum(m.records) filter (where m.status = 'planned'),
      sum(m.income) filter (where m.status = 'committed'), sum(m.expense) filter (where m.status = 'committed'), sum(m.records) filter (where m.status = 'committed'),
      sum(m.income) filter (where m.status = 'actual'), sum(m.expense) filter (where m.status = 'actual'), sum(m.records) filter (where m.status = 'actual')) as item
    from (
      select date_trunc(period, f.month::timestamp)::date as period_on, f.status, f.records,
        case when in_currency is null then f.base_currency else f.currency end as currency,
        case when in_currency is null then f.base_income_minor else f.income_minor end as income,
        case when in_currency is null then f.base_expense_minor else f.expense_minor end as expense
      from analytics.finance_by_month f
      where f.month between months.since and months.until and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2) p;
  return app.figures('{finance_by_month}', months.since, months.until, period, items);
end
$$;
comment on function app.finance_figures(text, date, date, text) is
  'Income, expenses and profit by month, quarter or year, in one currency or, by default, all in the base currency; for whole months. PT403 without analytics.read and finance.read, PT422 analytics_range.';
grant execute on function app.finance_figures(text, date, date, text) to callboard_api;

create or replace function app.category_figures(from_on date default null, to_on date default null, in_currency text default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  items json;
begin
  perform app.require('analytics.read'), app.require('finance.read');
  months := app.figure_months(from_on, to_on);
  select json_agg(json_build_object('category_id', c.category_id, 'category', c.category, 'kind', c.kind, 'currency', c.currency,
    'planned_minor', coalesce(c.planned, 0), 'committed_minor', coalesce(c.committed, 0), 'actual_minor', coalesce(c.actual, 0), 'records', c.records)
    order by c.kind, c.category, c.category_id, c.currency) into items
  from (
    select m.category_id, m.category, m.kind, m.currency, sum(m.records) as records, sum(m.amount) filter (where m.status = 'planned') as planned,
      sum(m.amount) filter (where m.status = 'committed') as committed, sum(m.amount) filter (where m.status = 'actual') as actual
    from (
      select f.category_id, f.category, f.kind, f.status, f.records,
        case when in_currency is null then f.base_currency else f.currency end as currency,
        case when in_currency is null then f.base_amount_minor else f.amount_minor end as amount
      from analytics.finance_by_category f
      where f.month between months.since and months.until and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2, 3, 4) c;
  return app.figures('{finance_by_category}', months.since, months.until, null, items);
end
$$;
comment on function app.category_figures(date, date, text) is
  'Income and expenses by category, in one currency or, by default, all in the base currency; for whole months. PT403 without analytics.read and finance.read, PT422 analytics_range.';
grant execute on function app.category_figures(date, date, text) to callboard_api;

create or replace function app.show_profits(from_on date default null, to_on date default null, in_currency text default null, at_most integer default 50) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  items json;
begin
  perform app.require('analytics.read'), app.require('finance.read'), app.require('shows.read');
  months := app.figure_months(from_on, to_on);
  select json_agg(json_build_object('show_id', p.show_id, 'show_on', p.show_on, 'title', p.title, 'artist', p.artist, 'status', p.show_status,
    'currency', p.currency, 'planned', p.planned, 'committed', p.committed, 'actual', p.actual) order by p.show_on desc, p.show_id, p.currency) into items
  from (
    select m.show_on, m.show_id, m.title, m.artist, m.show_status, m.currency,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'planned'), sum(m.expense) filter (where m.status = 'planned'), sum(m.records) filter (where m.status = 'planned')) as planned,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'committed'), sum(m.expense) filter (where m.status = 'committed'), sum(m.records) filter (where m.status = 'committed')) as committed,
      app.profit_and_loss(sum(m.income) filter (where m.status = 'actual'), sum(m.expense) filter (where m.status = 'actual'), sum(m.records) filter (where m.status = 'actual')) as actual
    from (
      select f.show_on, f.show_id, f.title, f.artist, f.show_status, f.status, f.records,
        case when in_currency is null then f.base_currency else f.currency end as currency,
        case when in_currency is null then f.base_income_minor else f.income_minor end as income,
        case when in_currency is null then f.base_expense_minor else f.expense_minor end as expense
      from analytics.finance_by_show f
      where f.show_on between months.since and (months.until + interval '1 month' - interval '1 day')::date
        and (in_currency is null or f.currency = in_currency)) m
    group by 1, 2, 3, 4, 5, 6
    order by 1 desc, 2, 6 limit at_most) p;
  return app.figures('{finance_by_show}', months.since, months.until, null, items);
end
$$;
comment on function app.show_profits(date, date, text, integer) is
  'Profit and loss of shows, latest first, in one currency or, by default, all in the base currency; for shows in whole months. PT403 without analytics.read, finance.read and shows.read, PT422 analytics_range.';
grant execute on function app.show_profits(date, date, text, integer) to callboard_api;
--! EndIncluded analytics/finance_figures.sql
--! Included analytics/activity.sql
-- What people do, by day in their organization's time zone: from the event log, as long as that is kept, and
-- from what clients report. Both have a row per member, so that people can be counted over any period.

create or replace view analytics_private.activity_by_day_definition as
  select e.organization_id, (e.occurred_at at time zone o.time_zone)::date as day,
    -- A key must not have nulls.
    coalesce(e.actor_id, uuid '00000000-0000-0000-0000-000000000000') as user_id, e.actor_kind, e.action, count(*) as events
  from app.event_log e
  join app.organizations o on o.id = e.organization_id
  group by 1, 2, 3, 4, 5;
select analytics_private.register_rollup('activity_by_day', '{organization_id,day,user_id,actor_kind,action}', resources => '{*}');

create or replace view analytics.activity_by_day with (security_barrier = true) as
  select m.day, nullif(m.user_id, uuid '00000000-0000-0000-0000-000000000000') as user_id, m.actor_kind, m.action, m.events,
    m.as_of
  from analytics_private.activity_by_day_now m
  where m.organization_id = (select app.visible_org());
comment on view analytics.activity_by_day is 'What was done by day, and how often, according to the event log: creating, changing, deleting, restoring, signing in and so on.';
comment on column analytics.activity_by_day.day is 'In the time zone of the organization.';
comment on column analytics.activity_by_day.user_id is 'Who did it; null if unknown.';
comment on column analytics.activity_by_day.actor_kind is 'user, anonymous, system or support.';
comment on column analytics.activity_by_day.action is '<resource>.<verb>, such as show.create; auth.sign_in is a sign-in.';
comment on column analytics.activity_by_day.events is 'Number of events.';
comment on column analytics.activity_by_day.as_of is 'The figures are complete up to this moment.';

create or replace view analytics_private.client_events_by_day_definition as
  select c.organization_id, (c.occurred_at at time zone o.time_zone)::date as day, c.user_id, c.kind, c.name, count(*) as events
  from app.client_events c
  join app.organizations o on o.id = c.organization_id
  group by 1, 2, 3, 4, 5;
select analytics_private.register_rollup('client_events_by_day', '{organization_id,day,user_id,kind,name}', resources => '{client_event,organization}');

create or replace view analytics.client_events_by_day with (security_barrier = true) as
  select m.day, m.user_id, m.kind, m.name, m.events,
    m.as_of
  from analytics_private.client_events_by_day_now m
  where m.organization_id = (select app.visible_org());
comment on view analytics.client_events_by_day is 'What clients reported about their users by day, for 90 days.';
comment on column analytics.client_events_by_day.day is 'In the time zone of the organization.';
comment on column analytics.client_events_by_day.user_id is 'The user whose client reported it.';
comment on column analytics.client_events_by_day.kind is 'page_view or action.';
comment on column analytics.client_events_by_day.name is 'The page or action.';
comment on column analytics.client_events_by_day.events is 'Number of events.';
comment on column analytics.client_events_by_day.as_of is 'The figures are complete up to this moment.';

select analytics_private.publish('activity_by_day'),
  analytics_private.publish('client_events_by_day');

create or replace function app.activity_figures(from_on date default null, to_on date default null, of_user uuid default null, of_action text default null)
returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  until date := least(coalesce(to_on, from_on + 29, app.today()), '9999-12-31');
  since date := coalesce(from_on, greatest(until - 29, '0001-01-01'));
  fresh record;
  body jsonb;
begin
  perform app.require('analytics.read');
  if until < since or until > since + 366 then
    perform app.refuse(422, 'analytics_range', 'The range must have 1 to 367 days.');
  end if;
  select * into fresh from app.freshness('activity_by_day', 'client_events_by_day');
  with e as materialized (
    select a.day, case a.actor_kind when 'user' then a.user_id end as user_id, a.action, a.events, a.events * (a.action = 'auth.sign_in')::integer as sign_ins
    from analytics.activity_by_day a
    where a.day between since and until and (of_user is null or a.user_id = of_user) and (of_action is null or a.action = of_action)
  ), c as materialized (
    select x.day, x.user_id, x.kind, x.name, x.events from analytics.client_events_by_day x
    where x.day between since and until and (of_user is null or x.user_id = of_user)
  )
  select jsonb_build_object(
    'totals', (
      select jsonb_build_object('events', coalesce(sum(e.events), 0), 'sign_ins', coalesce(sum(e.sign_ins), 0), 'active_users', count(distinct e.user_id))
      from e),
    'by_day', (
      select coalesce(jsonb_agg(jsonb_build_object('day', d.day, 'events', d.events, 'sign_ins', d.sign_ins, 'active_users', d.users) order by d.day), '[]')
      from (select e.day, sum(e.events) as events, sum(e.sign_ins) as sign_ins, count(distinct e.user_id) as users from e group by 1) d),
    'by_week', (
      select coalesce(jsonb_agg(jsonb_build_object('week_on', w.week, 'events', w.events, 'sign_ins', w.sign_ins, 'active_users', w.users,
        'signed_in_users', w.signed_in) order by w.week), '[]')
      from (
        select date_trunc('week', e.day::timestamp)::date as week, sum(e.events) as events, sum(e.sign_ins) as sign_ins,
          count(distinct e.user_id) as users, count(distinct e.user_id) filter (where e.sign_ins > 0) as signed_in
        from e group by 1) w),
    'by_action', (
      select coalesce(jsonb_agg(jsonb_build_object('action', a.action, 'events', a.events) order by a.events desc, a.action), '[]')
      from (select e.action, sum(e.events) as events from e group by 1) a),
    'by_day_and_action', (
      select coalesce(jsonb_agg(jsonb_build_object('day', a.day, 'action', a.action, 'events', a.events) order by a.day, a.events desc, a.action), '[]')
      from (select e.day, e.action, sum(e.events) as events from e group by 1, 2) a),
    'by_user', (
      select coalesce(jsonb_agg(jsonb_build_object('user_id', p.user_id, 'display_name', u.display_name, 'events', p.events, 'sign_ins', p.sign_ins,
        'active_days', p.days, 'last_on', p.last_on) order by p.events desc, p.user_id), '[]')
      from (
        select e.user_id, sum(e.events) as events, sum(e.sign_ins) as sign_ins, count(distinct e.day) as days, max(e.day) as last_on
        from e where e.user_id is not null group by 1) p
      -- The name only while they are a colleague.
      left join app.users u on u.id = p.user_id),
    'client_events', jsonb_build_object(
      'by_day', (
        select coalesce(jsonb_agg(jsonb_build_object('day', d.day, 'page_views', d.page_views, 'actions', d.actions, 'users', d.users) order by d.day), '[]')
        from (
          select c.day, coalesce(sum(c.events) filter (where c.kind = 'page_view'), 0) as page_views,
            coalesce(sum(c.events) filter (where c.kind = 'action'), 0) as actions, count(distinct c.user_id) as users
          from c group by 1) d),
      'by_name', (
        select coalesce(jsonb_agg(jsonb_build_object('kind', n.kind, 'name', n.name, 'events', n.events, 'users', n.users)
          order by n.events desc, n.kind, n.name), '[]')
        from (
          select c.kind, c.name, sum(c.events) as events, count(distinct c.user_id) as users from c group by 1, 2
          order by 3 desc, 1, 2 limit 100) n))) into body;
  return (null, jsonb_build_object('as_of', fresh.as_of, 'is_current', fresh.is_current, 'from', since, 'to', until) || body, null, null)::app.answer;
end
$$;
comment on function app.activity_figures(date, date, uuid, text) is
  'What was done from one day to another (default: 30 days up to today; at most 367), by day, week, action, both day and action, and user, with sign-ins; and what clients reported, by day and by the 100 most frequent names. For one user and one action, if given. PT403 without analytics.read, PT422 analytics_range.';
grant execute on function app.activity_figures(date, date, uuid, text) to callboard_api;
--! EndIncluded analytics/activity.sql
--! Included analytics/use_figures.sql
-- Usage of the API and of integrations, read directly from the sums (use.sql), which need no
-- refreshing.

create or replace view analytics.api_use_by_day with (security_barrier = true) as
  select u.day, u.operation, u.calls, u.errors, u.server_errors, u.total_us, u.slowest_us, u.within_10_ms, u.within_100_ms, u.within_1_s,
    u.bytes_in, u.bytes_out, now() - interval '1 minute' as as_of
  from app.api_use u
  where u.organization_id = (select app.visible_org());
comment on view analytics.api_use_by_day is 'API calls by day and operation, by members with a token; including refused calls, but not those of superadmins.';
comment on column analytics.api_use_by_day.day is 'UTC.';
comment on column analytics.api_use_by_day.operation is 'operationId in the OpenAPI document.';
comment on column analytics.api_use_by_day.calls is 'Number of calls.';
comment on column analytics.api_use_by_day.errors is 'How many had a response status of 400 or higher.';
comment on column analytics.api_use_by_day.server_errors is 'How many had a response status of 500 or higher.';
comment on column analytics.api_use_by_day.total_us is 'Microseconds that all calls took in total.';
comment on column analytics.api_use_by_day.slowest_us is 'Microseconds that the slowest call took.';
comment on column analytics.api_use_by_day.within_10_ms is 'How many took no longer than 10 ms.';
comment on column analytics.api_use_by_day.within_100_ms is 'How many took no longer than 100 ms.';
comment on column analytics.api_use_by_day.within_1_s is 'How many took no longer than a second.';
comment on column analytics.api_use_by_day.bytes_in is 'Bytes of the requests, with their headers.';
comment on column analytics.api_use_by_day.bytes_out is 'Bytes of the responses, with their headers.';
comment on column analytics.api_use_by_day.as_of is 'Calls after this moment may still be missing.';

create or replace view analytics.integration_use_by_day with (security_barrier = true) as
  select u.day, u.kind, u.name, u.calls, u.errors, u.rows, u.bytes, u.last_at, now() - interval '1 minute' as as_of
  from app.integration_use u
  where u.organization_id = (select app.visible_org());
comment on view analytics.integration_use_by_day is 'Integrations, such as imports and calendar feeds, by day.';
comment on column analytics.integration_use_by_day.day is 'UTC.';
comment on column analytics.integration_use_by_day.kind is 'import, export, calendar_feed, bi or webhook.';
comment on column analytics.integration_use_by_day.name is 'Which one, such as the source of an import.';
comment on column analytics.integration_use_by_day.calls is 'How often it was used.';
comment on column analytics.integration_use_by_day.errors is 'How often that failed.';
comment on column analytics.integration_use_by_day.rows is 'Rows imported or exported.';
comment on column analytics.integration_use_by_day.bytes is 'Bytes imported or exported.';
comment on column analytics.integration_use_by_day.last_at is 'When it was last used on that day.';
comment on column analytics.integration_use_by_day.as_of is 'What happened after this moment may still be missing.';

do $$
declare
  shown text;
begin
  foreach shown in array array['api_use_by_day', 'integration_use_by_day'] loop
    perform app_private.set_owner(format('analytics.%I', shown), 'callboard_rollup');
    execute format('grant select on analytics.%I to callboard_api, callboard_bi', shown);
  end loop;
end
$$;

create or replace function app.calls_json(calls numeric, errors numeric, server_errors numeric, total_us numeric, slowest_us bigint, within_10_ms numeric,
  within_100_ms numeric, within_1_s numeric, bytes_in numeric, bytes_out numeric) returns jsonb
language sql stable parallel safe
return jsonb_build_object('calls', coalesce(calls, 0), 'errors', coalesce(errors, 0), 'server_errors', coalesce(server_errors, 0),
  'mean_us', round(total_us / nullif(calls, 0)), 'slowest_us', slowest_us, 'within_10_ms', coalesce(within_10_ms, 0),
  'within_100_ms', coalesce(within_100_ms, 0), 'within_1_s', coalesce(within_1_s, 0), 'bytes_in', coalesce(bytes_in, 0), 'bytes_out', coalesce(bytes_out, 0));
comment on function app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric) is
  'Sums of calls as JSON, with their mean duration; null counts as 0.';
grant execute on function app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric) to callboard_api;

create or replace function app.use_figures(from_on date, to_on date, delay_seconds double precision) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  -- Counts are written with a delay.
  as_of timestamptz := now() - make_interval(secs => 2 * delay_seconds + app.data_age());
  until date := least(coalesce(to_on, from_on + 29, (now() at time zone 'UTC')::date), '9999-12-31');
  since date := coalesce(from_on, greatest(until - 29, '0001-01-01'));
  body jsonb;
begin
  perform app.require('analytics.read');
  if until < since or until > since + 366 then
    perform app.refuse(422, 'analytics_range', 'The range must have 1 to 367 days.');
  end if;
  with a as materialized (
    select * from analytics.api_use_by_day u where u.day between since and until
  ), i as materialized (
    select * from analytics.integration_use_by_day u where u.day between since and until
  )
  select jsonb_build_object(
    'integrations', (
      select coalesce(jsonb_agg(jsonb_build_object('kind', x.kind, 'name', x.name, 'calls', x.calls, 'errors', x.errors, 'rows', x.rows,
        'bytes', x.bytes, 'last_at', x.last_at) order by x.kind, x.name), '[]')
      from (
        select i.kind, i.name, sum(i.calls) as calls, sum(i.errors) as errors, sum(i.rows) as rows, sum(i.bytes) as bytes, max(i.last_at) as last_at
        from i group by 1, 2) x),
    'integrations_by_day', (
      select coalesce(jsonb_agg(jsonb_build_object('day', x.day, 'kind', x.kind, 'calls', x.calls, 'errors', x.errors, 'rows', x.rows,
        'bytes', x.bytes) order by x.day, x.kind), '[]')
      from (
        select i.day, i.kind, sum(i.calls) as calls, sum(i.errors) as errors, sum(i.rows) as rows, sum(i.bytes) as bytes
        from i group by 1, 2) x),
    'api', jsonb_build_object(
      'totals', (
        select app.calls_json(sum(a.calls), sum(a.errors), sum(a.server_errors), sum(a.total_us), max(a.slowest_us), sum(a.within_10_ms),
          sum(a.within_100_ms), sum(a.within_1_s), sum(a.bytes_in), sum(a.bytes_out)) from a),
      'by_day', (
        select coalesce(jsonb_agg(jsonb_build_object('day', x.day) || x.use order by x.day), '[]')
        from (
          select a.day, app.calls_json(sum(a.calls), sum(a.errors), sum(a.server_errors), sum(a.total_us), max(a.slowest_us), sum(a.within_10_ms),
            sum(a.within_100_ms), sum(a.within_1_s), sum(a.bytes_in), sum(a.bytes_out)) as use
          from a group by 1) x),
      'by_operation', (
        select coalesce(jsonb_agg(jsonb_build_object('operation', x.operation) || x.use order by x.calls desc, x.operation), '[]')
        from (
          select a.operation, sum(a.calls) as calls, app.calls_json(sum(a.calls), sum(a.errors), sum(a.server_errors), sum(a.total_us),
            max(a.slowest_us), sum(a.within_10_ms), sum(a.within_100_ms), sum(a.within_1_s), sum(a.bytes_in), sum(a.bytes_out)) as use
          from a group by 1) x))) into body;
  -- Past days are complete.
  return (null, jsonb_build_object('as_of', as_of, 'is_current', until < (as_of at time zone 'UTC')::date, 'from', since, 'to', until) || body,
    null, null)::app.answer;
end
$$;
comment on function app.use_figures(date, date, double precision) is
  'Integrations and API calls from one UTC day to another (default: 30 days up to today; at most 367), given how many seconds late counts are written. PT403 without analytics.read, PT422 analytics_range.';
grant execute on function app.use_figures(date, date, double precision) to callboard_api;
--! EndIncluded analytics/use_figures.sql
--! Included analytics/show_figures.sql
-- Shows by period, as the API returns them.

create or replace function app.show_figures(period text, from_on date default null, to_on date default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  items json;
begin
  perform app.require('analytics.read');
  months := app.figure_months(from_on, to_on);
  select json_agg(json_build_object('period_on', p.period_on, 'created', p.created, 'shows', p.shows, 'by_status', p.by_status,
    'completed', p.completed, 'completion_rate', app.share(p.completed, p.completed + p.cancelled),
    'held', p.held, 'confirmed_from_hold', p.confirmed_from_hold, 'hold_conversion_rate', app.share(p.confirmed_from_hold, p.held),
    'capacity', p.capacity, 'tickets_sold', p.tickets_sold, 'sell_through', app.share(p.tickets_sold, p.capacity)) order by p.period_on) into items
  from (
    select m.period_on, sum(m.created) as created, sum(m.shows) as shows, sum(m.held) as held, sum(m.confirmed_from_hold) as confirmed_from_hold,
      coalesce(sum(m.shows) filter (where m.status in ('played', 'settled')), 0) as completed,
      coalesce(sum(m.shows) filter (where m.status = 'cancelled'), 0) as cancelled,
      coalesce(sum(m.capacity) filter (where m.status in ('confirmed', 'played', 'settled')), 0) as capacity,
      coalesce(sum(m.tickets_sold) filter (where m.status in ('confirmed', 'played', 'settled')), 0) as tickets_sold,
      (select json_object_agg(n.status, coalesce(n.shows, 0)) from (values
        ('inquiry', sum(m.shows) filter (where m.status = 'inquiry')), ('hold', sum(m.shows) filter (where m.status = 'hold')),
        ('offer', sum(m.shows) filter (where m.status = 'offer')), ('confirmed', sum(m.shows) filter (where m.status = 'confirmed')),
        ('played', sum(m.shows) filter (where m.status = 'played')), ('settled', sum(m.shows) filter (where m.status = 'settled')),
        ('cancelled', sum(m.shows) filter (where m.status = 'cancelled')), ('postponed', sum(m.shows) filter (where m.status = 'postponed'))) n (status, shows)) as by_status
    from (
      select date_trunc(period, f.month::timestamp)::date as period_on, f.status, 0 as created, f.shows, f.held, f.confirmed_from_hold, f.capacity, f.tickets_sold
      from analytics.shows_by_month f where f.month between months.since and months.until
      union all
      select date_trunc(period, f.month::timestamp)::date, null, f.created, 0, 0, 0, 0, 0
      from analytics.shows_created_by_month f where f.month between months.since and months.until) m
    group by 1) p;
  return app.figures(array['shows_by_month', 'shows_created_by_month'], months.since, months.until, period, items);
end
$$;
comment on function app.show_figures(text, date, date) is
  'Shows by month, quarter or year: entered, by status, completed, confirmed from hold, sold; for whole months. PT403 without analytics.read, PT422 analytics_range.';
grant execute on function app.show_figures(text, date, date) to callboard_api;
--! EndIncluded analytics/show_figures.sql
--! Included analytics/report.sql
-- What the report prints: the responses of the endpoints for figures, combined.

create or replace function app.report_amounts(items json) returns json
language sql immutable
set search_path = ''
return (
  select coalesce(json_agg(json_build_object('period_on', i ->> 'period_on', 'currency', i ->> 'currency',
    'minor_digits', app.minor_digits(i ->> 'currency'), 'income_minor', i #>> '{actual,income_minor}',
    'expense_minor', i #>> '{actual,expense_minor}', 'profit_minor', i #>> '{actual,profit_minor}',
    'committed_profit_minor', i #>> '{committed,profit_minor}', 'planned_profit_minor', i #>> '{planned,profit_minor}')), '[]')
  from json_array_elements(items) i);
comment on function app.report_amounts(json) is
  'Items of app.finance_figures with their amounts as texts, since a sum may have more digits than a JavaScript number, and with their number of decimals.';
grant execute on function app.report_amounts(json) to callboard_api;

create or replace function app.report(from_on date default null, to_on date default null) returns app.answer
language plpgsql stable
set search_path = ''
as $$
declare
  months record;
  last_day date;
  money json;
  money_by_year json;
  shows json;
  activity json;
begin
  perform app.require('analytics.read');
  months := app.figure_months(from_on, to_on);
  last_day := months.until + interval '1 month' - interval '1 day';
  if app.has_permission('finance.read') then
    select a.body into money from app.finance_figures('month', months.since, months.until) a;
    select a.body into money_by_year from app.finance_figures('year', months.since, months.until) a;
  end if;
  select a.body into shows from app.show_figures('year', months.since, months.until) a;
  -- At most the last year, the maximum for these figures, and nothing is done in the future.
  last_day := greatest(months.since, least(last_day, app.today()));
  select a.body into activity from app.activity_figures(greatest(months.since, last_day - 366), last_day) a;
  return (null, json_build_object('data_age', app.data_age(), 'from', months.since, 'to', shows -> 'to',
    'organization', (select o.name from app.organizations o where o.id = app.current_org()),
    'money', case when money is not null then json_build_object('as_of', money -> 'as_of', 'is_current', money -> 'is_current',
      'by_month', app.report_amounts(money -> 'items'), 'by_year', app.report_amounts(money_by_year -> 'items')) end,
    'shows', json_build_object('as_of', shows -> 'as_of', 'is_current', shows -> 'is_current', 'by_year', shows -> 'items',
      'by_status', (select coalesce(json_object_agg(s.status, s.shows), '{}') from (
        select b.key as status, sum(b.value::numeric) as shows
        from json_array_elements(shows -> 'items') i, json_each_text(i -> 'by_status') b group by 1) s)),
    'activity', json_build_object('as_of', activity -> 'as_of', 'is_current', activity -> 'is_current', 'from', activity -> 'from',
      'to', activity -> 'to', 'totals', activity -> 'totals', 'by_day', activity -> 'by_day')), null, null)::app.answer;
end
$$;
comment on function app.report(date, date) is
  'Money by month and year, shows by status and activity by day, for whole months, as returned by app.finance_figures, app.show_figures and app.activity_figures; without finance.read, it has no money. PT403 without analytics.read, PT422 analytics_range.';
grant execute on function app.report(date, date) to callboard_api;
--! EndIncluded analytics/report.sql
--! Included exports/exported_figures.sql
-- Figures as rows, for exports: src/analytics/exported-shapes.ts says which.

create or replace function app.figure_items(answer json, series text[], out n bigint, out series_name text, out item json) returns setof record
language sql immutable parallel safe
set search_path = ''
begin atomic
  select row_number() over (order by s.n, e.n), s.name, e.item
  from unnest(series) with ordinality s (name, n),
    lateral (select answer #> string_to_array(s.name, '.') as found) f,
    lateral json_array_elements(case json_typeof(f.found) when 'array' then f.found else json_build_array(f.found) end) with ordinality e (item, n);
end;
comment on function app.figure_items(json, text[]) is
  'The items at these paths of an answer, numbered in order: those of an array, or the object there. An empty path is the answer itself.';
grant execute on function app.figure_items(json, text[]) to callboard_api, callboard_exporter;

-- What the figures are read with. The views show the organization of the transaction, and only with its permissions.
grant usage on schema analytics to callboard_exporter;
grant select on analytics.finance_by_month, analytics.finance_by_category, analytics.finance_by_show, analytics.shows_by_month,
  analytics.shows_created_by_month, analytics.activity_by_day, analytics.client_events_by_day,
  analytics.api_use_by_day, analytics.integration_use_by_day to callboard_exporter;
grant execute on function app.finance_figures(text, date, date, text), app.category_figures(date, date, text), app.show_profits(date, date, text, integer),
  app.show_figures(text, date, date), app.activity_figures(date, date, uuid, text), app.use_figures(date, date, double precision),
  app.figures(text[], date, date, text, json), app.figures_at(timestamptz, boolean, date, date, text, text), app.figure_months(date, date), app.freshness(text[]), app.visible_org(text), app.today(), app.data_age(), app.share(numeric, numeric),
  app.profit_and_loss(numeric, numeric, numeric),
  app.finance_item(date, text, numeric, numeric, numeric, numeric, numeric, numeric, numeric, numeric, numeric),
  app.calls_json(numeric, numeric, numeric, numeric, bigint, numeric, numeric, numeric, numeric, numeric), app.refuse(integer, text, text) to callboard_exporter;
--! EndIncluded exports/exported_figures.sql
