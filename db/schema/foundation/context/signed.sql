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
