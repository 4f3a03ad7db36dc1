-- The privileges of one database. Run by the login that ran db/roles.sql, connected to that database, after it is created
-- or restored (privileges on a database do not travel with a template or a dump). What only a superuser may do is left
-- out for others, with a warning that says what that costs. Running it again is harmless.

-- Whoever is no superuser must be a member of the roles that own what is changed here. At the end, no longer.
do $$
declare
  owner name;
begin
  if (select rolsuper from pg_roles where rolname = current_user) then
    return;
  end if;
  foreach owner in array '{callboard_owner,callboard_bi_admin}'::name[] loop
    execute format('grant %I to current_user %s', owner,
      case when current_setting('server_version_num')::integer >= 160000 then 'with inherit true, set true' else '' end);
  end loop;
end
$$;

do $$
declare
  db text := current_database();
begin
  execute format('alter database %I owner to callboard_owner', db);
  execute format('revoke all on database %I from public', db);
  execute format(
    'grant connect on database %I to callboard_migrator, callboard_api, callboard_worker, callboard_support, callboard_auditor, callboard_bi',
    db);
  -- REFRESH MATERIALIZED VIEW CONCURRENTLY makes a temporary table, as the owner of the view.
  execute format('grant temporary on database %I to callboard_rollup', db);
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant connect on database %I to current_user', db);
  end if;
end
$$;
revoke all on schema public from public;

-- What PostgreSQL grants to everybody, and nobody should have who shares it with other organizations.
do $$
declare
  routine regprocedure;
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    return;
  end if;
  -- Every role may call these by default. Large objects are storage outside row-level security, advisory locks and
  -- signals let one tenant's injected SQL block another's requests, and messages in the write-ahead log fill the disk.
  for routine in
    select p.oid::regprocedure
    from pg_proc p
    where p.pronamespace = 'pg_catalog'::regnamespace
      and (p.proname ~ '^(lo_|lowrite|loread|pg_(try_)?advisory_|pg_cancel_backend|pg_terminate_backend|pg_logical_emit_message)')
  loop
    execute format('revoke execute on function %s from public', routine);
    if routine::text like '%advisory%' then
      execute format('grant execute on function %s to callboard_owner, callboard_migrator, callboard_worker', routine);
    end if;
  end loop;
  grant execute on function pg_catalog.pg_terminate_backend(integer, bigint) to callboard_bi_admin;

  -- A driver's prepared statements outlive its transactions. Injected SQL that could read their names
  -- could replace one with PREPARE, and the next tenant on that connection would run it.
  revoke all on pg_catalog.pg_prepared_statements, pg_catalog.pg_cursors from public;
  revoke execute on function pg_catalog.pg_prepared_statement(), pg_catalog.pg_cursor() from public;

  -- BI logins belong to many organizations, so none may see who else is connected, from where, and with
  -- which tools. The definer needs this to seal events.
  revoke all on pg_catalog.pg_stat_activity from public;
  revoke execute on function pg_catalog.pg_stat_get_activity(integer), pg_catalog.pg_stat_get_backend_idset(),
    pg_catalog.pg_stat_get_backend_pid(integer), pg_catalog.pg_stat_get_backend_userid(integer) from public;
  grant execute on function pg_catalog.pg_stat_get_backend_idset(), pg_catalog.pg_stat_get_backend_pid(integer),
    pg_catalog.pg_stat_get_backend_userid(integer) to pg_monitor;
  grant select on pg_catalog.pg_stat_activity to pg_monitor, callboard_definer, callboard_bi_admin;
  -- To see whether a role still has the password that it was given: every role may change its own.
  grant select (rolname, rolcanlogin, rolpassword) on pg_catalog.pg_authid to callboard_bi_admin;
  grant execute on function pg_catalog.pg_stat_get_activity(integer) to pg_monitor, callboard_definer, callboard_bi_admin;

  -- PostgreSQL evaluates the cheapest conditions of a scan first, and a leakproof condition of the user's may
  -- come before the policy's. That returns nothing, but EXPLAIN ANALYZE shows whether the policy was ever
  -- reached and so reveals, query by query, every value of every organization. Policies compare a uuid:
  -- this makes their comparison cheaper than any that a user can write.
  alter function pg_catalog.uuid_eq(uuid, uuid) cost 0.0001;
end
$$;

-- Names what is not applied. src/policies/judge-cluster.ts says the same of a database that has lost it.
do $$
declare
  lost record;
begin
  for lost in
    select h.name, h.cost
    from (values
      ('large objects closed to public', '^(lo_|lowrite|loread)',
        'Every login may keep and read large objects, which no policy applies to.'),
      ('advisory locks closed to public', '^pg_(try_)?advisory_',
        'Every login may take advisory locks, and so make others wait.'),
      ('signals to backends closed to public', '^pg_(cancel|terminate)_backend$',
        'Every login may cancel statements of its own role, which tenants share.'),
      ('messages in the write-ahead log closed to public', '^pg_logical_emit_message$',
        'Every login may fill the disk with messages in the write-ahead log.'),
      ('names of prepared statements and cursors closed to public', '^pg_(prepared_statement|cursor)$',
        'Injected SQL may read the names of prepared statements, and replace one that the next organization runs.'),
      ('who is connected closed to public', '^pg_stat_get_(activity|backend_idset|backend_pid|backend_userid)$',
        'Every login, those of BI tools included, sees who else is connected, from where, with which tool.')) as h (name, functions, cost)
    where exists (
      select from pg_proc p
      where p.pronamespace = 'pg_catalog'::regnamespace and p.proname ~ h.functions and has_function_privilege('public', p.oid, 'execute'))
    union all
    select 'uuids compared before other conditions',
      'EXPLAIN ANALYZE may show a login, query by query, what rows of other organizations contain.'
    from pg_proc p where p.oid = 'pg_catalog.uuid_eq(uuid,uuid)'::regprocedure and p.procost > 0.001
    union all
    select 'passwords of logins watched',
      'Nobody is told when a login changes its own password, be it one of the programs or of a BI tool.'
    where not has_column_privilege('callboard_bi_admin', 'pg_catalog.pg_authid', 'rolpassword', 'select')
  loop
    raise warning 'Not applied: %. %', lost.name, lost.cost;
  end loop;
end
$$;

-- The logins of BI tools. On PostgreSQL 15 a role that may create roles may alter every role that is not a
-- superuser, so callboard_bi_admin does only what these functions allow: none takes the name of a role, which
-- is derived from the credential's id, and only callboard_definer may call them. A superuser creates them,
-- because a migrator that could would have all the rights of callboard_bi_admin. For the same reason they
-- call nothing in app_private, where the migrator could replace it.
create schema if not exists app_private authorization callboard_owner;
-- To give it the functions; taken back below.
grant create, usage on schema app_private to callboard_bi_admin;

-- Whether the hardenings above could not be set here, or were lost: the audit and the start ask.
drop function if exists app_private.set_up_by();
do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('create function app_private.set_up_by() returns name language sql immutable set search_path = '''' as %L',
      format('select %L::name', current_user));
    revoke all on function app_private.set_up_by() from public;
    alter function app_private.set_up_by() owner to callboard_owner;
    comment on function app_private.set_up_by() is 'The login, no superuser, that ran db/database.sql. After a superuser there is no such function.';
  end if;
end
$$;

create or replace function app_private.make_bi_role(credential uuid, verifier text, connections integer, seconds integer, until timestamptz) returns text
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  login constant text := 'bi_' || left(encode(sha256(uuid_send(credential)), 'hex'), 24);
  options constant text := case when current_setting('server_version_num')::integer >= 160000 then 'with inherit true, set false' else '' end;
  setting record;
begin
  -- PostgreSQL takes anything else for a plain password, which would then appear in logs and statistics.
  if verifier !~ '^SCRAM-SHA-256\$[0-9]{4,6}:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$' then
    raise exception 'not a SCRAM-SHA-256 verifier';
  end if;
  if not exists (select from pg_catalog.pg_roles r where r.rolname = login) then
    execute format('create role %I', login);
    execute format('grant callboard_bi to %I %s', login, options);
    -- Whoever has a role's privileges may end its connections, and see since when its transactions last.
    execute format('grant %I to callboard_bi_admin %s', login, options);
  end if;
  execute format('alter role %I with login inherit connection limit %s password %L valid until %L', login, connections, verifier, until);
  -- The login can change all of these for itself except temp_file_limit. They limit the damage of accidents.
  for setting in
    select d.datname from pg_catalog.pg_db_role_setting s join pg_catalog.pg_roles r on r.oid = s.setrole and r.rolname = login
      join pg_catalog.pg_database d on d.oid = s.setdatabase
  loop
    execute format('alter role %I in database %I reset all', login, setting.datname);
  end loop;
  execute format('alter role %I reset all', login);
  for setting in
    select * from (values
      ('search_path', 'analytics'),
      ('default_transaction_read_only', 'on'),
      ('statement_timeout', seconds || 's'),
      ('idle_in_transaction_session_timeout', '60s'),
      ('lock_timeout', '10s'),
      ('work_mem', '16MB'),
      ('temp_file_limit', '1GB')) as s (name, value)
    -- db/roles.sql cannot grant this on every server.
    where s.name <> 'temp_file_limit' or has_parameter_privilege(s.name, 'set')
  loop
    execute format('alter role %I set %I = %L', login, setting.name, setting.value);
  end loop;
  return login;
end
$$;
comment on function app_private.make_bi_role(uuid, text, integer, integer, timestamptz) is
  'Creates the login of a credential, or gives it a new password (as a SCRAM-SHA-256 verifier), connection limit, statement timeout and expiry. Returns its name.';

create or replace function app_private.let_bi_role(credential uuid, may_log_in boolean) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  login constant text := 'bi_' || left(encode(sha256(uuid_send(credential)), 'hex'), 24);
begin
  if exists (select from pg_catalog.pg_roles r where r.rolname = login) then
    execute format('alter role %I with %s', login, case when may_log_in then 'login' else 'nologin' end);
  end if;
end
$$;
comment on function app_private.let_bi_role(uuid, boolean) is 'Allows or forbids the login of a credential to connect; open connections stay open.';

create or replace function app_private.drop_bi_role(credential uuid) returns void
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  execute format('drop role if exists %I', 'bi_' || left(encode(sha256(uuid_send(credential)), 'hex'), 24));
end
$$;
comment on function app_private.drop_bi_role(uuid) is 'Drops the login of a credential, if it exists. Fails if a DBA has granted it something.';

drop function if exists app_private.end_bi_sessions(uuid, integer);
create or replace function app_private.end_bi_sessions(credential uuid, older_than interval default null) returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (
    select count(pg_catalog.pg_terminate_backend(a.pid, 0))
    from pg_catalog.pg_stat_activity a
    where a.usename = 'bi_' || left(encode(sha256(uuid_send(credential)), 'hex'), 24)
      and (older_than is null or a.datname = current_database() and a.xact_start < clock_timestamp() - older_than));
end
$$;
comment on function app_private.end_bi_sessions(uuid, interval) is
  'Ends the connections of a credential''s login, or only those to this database whose transaction is older. Returns how many.';

create or replace function app_private.end_bi_before(credential uuid, moment timestamptz) returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (
    select count(pg_catalog.pg_terminate_backend(a.pid, 0))
    from pg_catalog.pg_stat_activity a
    where a.usename = 'bi_' || left(encode(sha256(uuid_send(credential)), 'hex'), 24) and a.backend_start < moment);
end
$$;
comment on function app_private.end_bi_before(uuid, timestamptz) is
  'Ends the connections of a credential''s login that began before a moment. Returns how many.';

create or replace function app_private.bi_role_has(credential uuid, verifier text) returns boolean
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  if not has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'select') then
    return null;
  end if;
  return coalesce((
    select r.rolpassword = verifier from pg_catalog.pg_authid r
    where r.rolname = 'bi_' || left(encode(sha256(uuid_send(credential)), 'hex'), 24)), false);
end
$$;
comment on function app_private.bi_role_has(uuid, text) is
  'Whether the login of a credential has this SCRAM-SHA-256 verifier; null where only a superuser could look, and none has run this file.';

-- Here, because nobody else may read the verifiers, and only their digests leave it.
create or replace function app_private.login_verifiers(salt bytea) returns table (login text, digest bytea)
language plpgsql stable security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  if has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'select') then
    return query select r.rolname::text, sha256(salt || convert_to(coalesce(r.rolpassword, ''), 'UTF8'))
      from pg_catalog.pg_authid r where r.rolname ~ '^callboard_' and r.rolcanlogin;
  end if;
end
$$;
comment on function app_private.login_verifiers(bytea) is
  'Each login of the programs with the salted SHA-256 of the verifier of its password; none where only a superuser could look, and none has run this file.';

do $$
declare
  routine regprocedure;
begin
  for routine in
    select p.oid from pg_proc p
    where p.pronamespace = 'app_private'::regnamespace and p.proname in ('make_bi_role', 'let_bi_role', 'drop_bi_role', 'end_bi_sessions', 'end_bi_before', 'bi_role_has', 'login_verifiers')
  loop
    execute format('alter function %s owner to callboard_bi_admin', routine);
    execute format('revoke all on function %s from public', routine);
    execute format('grant execute on function %s to callboard_definer', routine);
  end loop;
end
$$;
revoke create, usage on schema app_private from callboard_bi_admin;

do $$
declare
  owner name;
begin
  if (select rolsuper from pg_roles where rolname = current_user) then
    return;
  end if;
  foreach owner in array '{callboard_owner,callboard_bi_admin}'::name[] loop
    execute format('revoke %I from current_user', owner);
  end loop;
end
$$;
