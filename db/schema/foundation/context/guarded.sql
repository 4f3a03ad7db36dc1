-- The caller's context, carried by a setting that only a superuser and callboard_definer may set, and that everybody
-- may read: nobody else can forge it, so nothing has to be verified, and it ends with its transaction.
--
-- Of the settings that only a superuser may set, backtrace_functions is the one that takes any text and has no effect:
-- PostgreSQL adds a backtrace to errors of the C functions that it names. It takes letters, digits, underscores,
-- commas and blanks, so names are written with 0 for their dot, and texts in hexadecimal:
--
--   callboard_<organization><user><session> <permission> <permission> ROLE_<role> R<request id> I<address>
--
-- The ids have 32 digits each, all 0 for none. SQL functions of a single expression, so that PostgreSQL inlines them:
-- a policy's condition becomes a constant for the statement, also in parallel workers.

create or replace function app_private.set_context(
  user_id uuid, session_id uuid, organization_id uuid default null, role text default null, permissions text default '',
  request_id text default null, ip inet default null
) returns boolean
language sql volatile
return set_config('backtrace_functions', 'callboard_'
    || coalesce(translate(organization_id::text, '-', ''), '00000000000000000000000000000000')
    || coalesce(translate(user_id::text, '-', ''), '00000000000000000000000000000000')
    || coalesce(translate(session_id::text, '-', ''), '00000000000000000000000000000000')
    || ' ' || translate(permissions, '.~', '01') || ' ROLE_' || coalesce(role, '')
    || ' R' || coalesce(encode(convert_to(request_id, 'UTF8'), 'hex'), '')
    || ' I' || coalesce(encode(convert_to(host(ip), 'UTF8'), 'hex'), '') || ' ', true) is not null
  -- For people and tools to read; nothing here trusts them.
  and set_config('app.current_org', coalesce(organization_id::text, ''), true) is not null
  and set_config('app.role', coalesce(role, ''), true) is not null;
comment on function app_private.set_context(uuid, uuid, uuid, text, text, text, inet) is
  'Sets the context of this transaction: permissions are names with a blank between them. Returns true. Only for definer functions that have authenticated the caller.';
alter function app_private.set_context(uuid, uuid, uuid, text, text, text, inet) owner to callboard_definer;

create or replace function app.current_org() returns uuid
language sql stable parallel safe
return case when left(current_setting('backtrace_functions'), 10) = 'callboard_'
  then nullif(substr(current_setting('backtrace_functions'), 11, 32), '00000000000000000000000000000000')::uuid end;
comment on function app.current_org() is 'The organization of this transaction, or NULL without a genuine context.';
alter function app.current_org() owner to callboard_definer;

create or replace function app.current_user_id() returns uuid
language sql stable parallel safe
return case when left(current_setting('backtrace_functions'), 10) = 'callboard_'
  then nullif(substr(current_setting('backtrace_functions'), 43, 32), '00000000000000000000000000000000')::uuid end;
comment on function app.current_user_id() is 'The user of this transaction, or NULL without a genuine context.';
alter function app.current_user_id() owner to callboard_definer;

create or replace function app.current_session_id() returns uuid
language sql stable parallel safe
return case when left(current_setting('backtrace_functions'), 10) = 'callboard_'
  then nullif(substr(current_setting('backtrace_functions'), 75, 32), '00000000000000000000000000000000')::uuid end;
comment on function app.current_session_id() is 'The session of this transaction, or NULL without a genuine context.';
alter function app.current_session_id() owner to callboard_definer;

create or replace function app.org_if(permission text) returns uuid
language sql stable parallel safe
return case when left(current_setting('backtrace_functions'), 10) = 'callboard_'
    and strpos(current_setting('backtrace_functions'), ' ' || translate(permission, '.', '0') || ' ') > 0
  then nullif(substr(current_setting('backtrace_functions'), 11, 32), '00000000000000000000000000000000')::uuid end;
comment on function app.org_if(text) is
  'The organization of this transaction if its member holds the permission, else NULL. Policies compare organization_id with it: permission and tenant in a single condition.';
alter function app.org_if(text) owner to callboard_definer;

create or replace function app.org_if_reading(permission text) returns uuid
language sql stable parallel safe
return case when left(current_setting('backtrace_functions'), 10) = 'callboard_'
    and strpos(translate(current_setting('backtrace_functions'), '1', ' '), ' ' || translate(permission, '.', '0') || ' ') > 0
  then nullif(substr(current_setting('backtrace_functions'), 11, 32), '00000000000000000000000000000000')::uuid end;
comment on function app.org_if_reading(text) is
  'Like app.org_if, also in a context that only reads: for what those see who hold a permission to write. See app_private.for_reading.';
alter function app.org_if_reading(text) owner to callboard_definer;

create or replace function app_private.context() returns app_private.context
language sql stable parallel safe
return case when left(current_setting('backtrace_functions'), 10) = 'callboard_' then row(
  app.current_org(), app.current_user_id(), app.current_session_id(),
  substring(current_setting('backtrace_functions') from ' ROLE_([^ ]+) '),
  btrim(translate(substring(current_setting('backtrace_functions') from '^[^ ]* (.*) ROLE_'), '01', '.~')),
  convert_from(decode(substring(current_setting('backtrace_functions') from ' R([0-9a-f]+) '), 'hex'), 'UTF8'),
  convert_from(decode(substring(current_setting('backtrace_functions') from ' I([0-9a-f]+) '), 'hex'), 'UTF8')::inet)::app_private.context end;
comment on function app_private.context() is 'The whole context of this transaction; all fields are NULL without a genuine one.';
alter function app_private.context() owner to callboard_definer;

create or replace function app.context_carrier() returns text
language sql immutable parallel safe
return 'guarded';
comment on function app.context_carrier() is 'How a context is carried: guarded (in a setting that only the database''s own functions may set) or signed.';
alter function app.context_carrier() owner to callboard_definer;
