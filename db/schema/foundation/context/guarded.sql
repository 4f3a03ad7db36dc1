-- The caller's context, carried by a setting that only a superuser and callboard_definer may set, and that everybody
-- may read: nobody else can forge it, so nothing has to be verified, and it ends with its transaction.
--
-- Of the settings that only a superuser may set, backtrace_functions is the one that takes any text and has no effect:
-- PostgreSQL adds a backtrace to errors of the C functions that it names. It takes letters, digits, underscores,
-- commas and blanks, so names are written with 0 for their dot and 1 for ~, and texts in hexadecimal:
--
--   callboard_<organization>,<user>,<session>,<role>,<request id>,<address>, <permission> <permission> ,end
--
-- SQL functions of a single expression, so that PostgreSQL inlines them: a policy's condition becomes a constant for the
-- statement, also in parallel workers. Each mention of the setting copies it, and split_part is the cheapest way to look
-- into it: left, substr, strpos and regular expressions count characters.

create or replace function app_private.set_context(
  user_id uuid, session_id uuid, organization_id uuid default null, role text default null, permissions text default '',
  request_id text default null, ip inet default null
) returns boolean
language sql volatile
return set_config('backtrace_functions', concat('callboard_',
    replace(organization_id::text, '-', ''), ',', replace(user_id::text, '-', ''), ',', replace(session_id::text, '-', ''), ',', role, ',',
    encode(convert_to(request_id, 'UTF8'), 'hex'), ',', encode(convert_to(host(ip), 'UTF8'), 'hex'), ', ',
    replace(replace(permissions, '.', '0'), '~', '1'), ' ,end'), true) is not null
  -- For people and tools to read; nothing here trusts them.
  and set_config('app.current_org', coalesce(organization_id::text, ''), true) is not null
  and set_config('app.role', coalesce(role, ''), true) is not null;
comment on function app_private.set_context(uuid, uuid, uuid, text, text, text, inet) is
  'Sets the context of this transaction: permissions are names with a blank between them. Returns true. Only for definer functions that have authenticated the caller.';
alter function app_private.set_context(uuid, uuid, uuid, text, text, text, inet) owner to callboard_definer;

create or replace function app.current_org() returns uuid
language sql stable parallel safe
return nullif(split_part(split_part(current_setting('backtrace_functions'), 'callboard_', 2), ',', 1), '')::uuid;
comment on function app.current_org() is 'The organization of this transaction, or NULL without a genuine context.';
alter function app.current_org() owner to callboard_definer;

create or replace function app.current_user_id() returns uuid
language sql stable parallel safe
return nullif(split_part(split_part(current_setting('backtrace_functions'), 'callboard_', 2), ',', 2), '')::uuid;
comment on function app.current_user_id() is 'The user of this transaction, or NULL without a genuine context.';
alter function app.current_user_id() owner to callboard_definer;

create or replace function app.current_session_id() returns uuid
language sql stable parallel safe
return nullif(split_part(split_part(current_setting('backtrace_functions'), 'callboard_', 2), ',', 3), '')::uuid;
comment on function app.current_session_id() is 'The session of this transaction, or NULL without a genuine context.';
alter function app.current_session_id() owner to callboard_definer;

create or replace function app.org_if(permission text) returns uuid
language sql stable parallel safe
return case when split_part(current_setting('backtrace_functions'), ' ' || replace(permission, '.', '0') || ' ', 2) <> ''
  then nullif(split_part(split_part(current_setting('backtrace_functions'), 'callboard_', 2), ',', 1), '')::uuid end;
comment on function app.org_if(text) is
  'The organization of this transaction if its member holds the permission, else NULL. Policies compare organization_id with it: permission and tenant in a single condition.';
alter function app.org_if(text) owner to callboard_definer;

create or replace function app.org_if_reading(permission text) returns uuid
language sql stable parallel safe
return case when split_part(current_setting('backtrace_functions'), ' ' || replace(permission, '.', '0') || ' ', 2) <> ''
    or split_part(current_setting('backtrace_functions'), ' 1' || replace(permission, '.', '0') || ' ', 2) <> ''
  then nullif(split_part(split_part(current_setting('backtrace_functions'), 'callboard_', 2), ',', 1), '')::uuid end;
comment on function app.org_if_reading(text) is
  'Like app.org_if, also in a context that only reads: for what those see who hold a permission to write. See app_private.for_reading.';
alter function app.org_if_reading(text) owner to callboard_definer;

create or replace function app_private.context() returns app_private.context
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  p text[] := string_to_array(split_part(current_setting('backtrace_functions'), 'callboard_', 2), ',');
begin
  if p = '{}' then
    return null;
  end if;
  return row(nullif(p[1], '')::uuid, nullif(p[2], '')::uuid, nullif(p[3], '')::uuid, nullif(p[4], ''),
    replace(replace(split_part(split_part(current_setting('backtrace_functions'), ', ', 2), ' ,', 1), '0', '.'), '1', '~'),
    nullif(convert_from(decode(p[5], 'hex'), 'UTF8'), ''),
    nullif(convert_from(decode(p[6], 'hex'), 'UTF8'), '')::inet)::app_private.context;
end
$$;
comment on function app_private.context() is 'The whole context of this transaction; all fields are NULL without a genuine one.';
alter function app_private.context() owner to callboard_definer;

create or replace function app.context_carrier() returns text
language sql immutable parallel safe
return 'guarded';
comment on function app.context_carrier() is 'How a context is carried: guarded (in a setting that only the database''s own functions may set) or signed.';
alter function app.context_carrier() owner to callboard_definer;
