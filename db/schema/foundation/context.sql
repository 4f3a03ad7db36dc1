-- The caller's context. Only this file knows how it is stored.
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
select app_private.force_rls('app_private.context_keys');
select app_private.set_policy('app_private.context_keys', 'select_definer', 'callboard_definer', 'true');
select app_private.set_policy('app_private.context_keys', 'insert_owner', 'callboard_owner', 'true');
grant select on app_private.context_keys to callboard_definer;
comment on table app_private.context_keys is 'The two random keys that sign a request''s context. Replacing the row only invalidates transactions in flight.';

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

-- A parallel worker is another backend, where no signature is valid. So functions that read the context are
-- PARALLEL RESTRICTED: the leader evaluates them once, and (select …) passes the value to the workers.
-- This runs several times in every transaction, so it is one function and one statement: each additional
-- one of either costs as much as the hashes do.
create or replace function app_private.context_signature() returns text
language plpgsql stable parallel restricted
set search_path = ''
as $$
begin
  -- An array's text form quotes its elements, so no value can pass for two.
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
comment on function app_private.context_signature() is 'The signature that the current settings would have in this transaction.';
alter function app_private.context_signature() owner to callboard_definer;

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
    -- A blank on both sides of every name, so that one search matches a whole name.
    set_config('app.permissions', ' ' || array_to_string(permissions, ' ') || ' ', true),
    set_config('app.request_id', coalesce(request_id, ''), true),
    set_config('app.ip', coalesce(host(ip), ''), true)];
begin
  done[1] := set_config('app.signature', app_private.context_signature(), true);
end
$$;
comment on function app_private.set_context(uuid, uuid, uuid, text, text[], text, inet) is
  'Sets and signs the context of this transaction. Only for definer functions that have authenticated the caller.';
alter function app_private.set_context(uuid, uuid, uuid, text, text[], text, inet) owner to callboard_definer;

create or replace function app_private.is_genuine() returns boolean
language sql stable parallel restricted
return current_setting('app.signature', true) is not distinct from app_private.context_signature();
comment on function app_private.is_genuine() is 'Whether the settings of this transaction are those that were signed.';
alter function app_private.is_genuine() owner to callboard_definer;

create or replace function app_private.change_context(
  user_id uuid, session_id uuid, organization_id uuid, role text default null, permissions text[] default '{}'
) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- The request id stays the same if the context was genuine.
  if app_private.is_genuine() then
    perform app_private.set_context(user_id, session_id, organization_id, role, permissions,
      current_setting('app.request_id'), nullif(current_setting('app.ip'), '')::inet);
  else
    perform app_private.set_context(user_id, session_id, organization_id, role, permissions);
  end if;
end
$$;
comment on function app_private.change_context(uuid, uuid, uuid, text, text[]) is
  'Like set_context, but in the middle of a request: its id and address stay. Only for definer functions that have authenticated the caller.';
alter function app_private.change_context(uuid, uuid, uuid, text, text[]) owner to callboard_definer;

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
  'Opens this transaction for an anonymous request: records only its id and its address.';
alter function app.introduce(text, inet) owner to callboard_definer;
grant execute on function app.introduce(text, inet) to callboard_api;

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
grant execute on function app.current_session_id() to callboard_api;

-- Does not check the signature: for callers that read the organization in the same statement.
create or replace function app_private.is_claimed(permission text) returns boolean
language sql stable parallel restricted
return coalesce(strpos(current_setting('app.permissions', true), ' ' || permission || ' ') > 0, false);
comment on function app_private.is_claimed(text) is 'Whether the settings name this permission; app.org_if and app.current_org check that they are genuine.';
alter function app_private.is_claimed(text) owner to callboard_definer;

create or replace function app.org_if(permission text) returns uuid
language plpgsql stable parallel restricted security definer
set search_path = ''
as $$
begin
  -- Same check as current_org, whose call would add a function to every statement.
  if app_private.is_claimed(permission)
    and app_private.context_signature() = current_setting('app.signature', true) then
    return nullif(current_setting('app.current_org', true), '');
  end if;
  return null;
end
$$;
comment on function app.org_if(text) is
  'The organization of this transaction if its member holds the permission, else NULL. Policies compare organization_id with it: permission and tenant in a single condition.';
alter function app.org_if(text) owner to callboard_definer;
grant execute on function app.org_if(text) to callboard_api;

create or replace function app.has_permission(permission text) returns boolean
language sql stable parallel restricted
return app.org_if(permission) is not null;
comment on function app.has_permission(text) is 'Whether the member of this transaction holds the permission.';
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
grant execute on function app.require(text) to callboard_api, callboard_definer;

-- Runs in every transaction, so it is kept cheap: it compares the settings without checking their signature.
-- Forged settings would not have shown anybody a row, but a change must be noticed anyway.
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
  'Raises isolation_breach if the transaction ends in a different organization than expected, which should never happen. The API calls it before each COMMIT.';
grant execute on function app.confirm_organization(text) to callboard_api;
