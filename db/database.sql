-- The privileges of one database. Run by a superuser, connected to that database, after
-- it is created or restored (privileges on a database do not travel with a template or a dump).
-- Running it again is harmless.

do $$
declare
  db text := current_database();
  routine regprocedure;
begin
  execute format('alter database %I owner to callboard_owner', db);
  execute format('revoke all on database %I from public', db);
  execute format(
    'grant connect on database %I to callboard_migrator, callboard_api, callboard_worker, callboard_support, callboard_auditor, callboard_bi',
    db);
  -- REFRESH MATERIALIZED VIEW CONCURRENTLY makes a temporary table, as the owner of the view.
  execute format('grant temporary on database %I to callboard_rollup', db);

  -- Every role may call these by default. Large objects are storage outside row-level security,
  -- advisory locks and signals let one tenant's injected SQL block another's requests, and messages in the
  -- write-ahead log fill the disk.
  for routine in
    select p.oid::regprocedure
    from pg_proc p
    where p.pronamespace = 'pg_catalog'::regnamespace
      and (p.proname ~ '^(lo_|lowrite|loread|pg_(try_)?advisory_|pg_cancel_backend|pg_terminate_backend|pg_logical_emit_message)')
  loop
    begin
      execute format('revoke execute on function %s from public', routine);
      if routine::text like '%advisory%' then
        execute format('grant execute on function %s to callboard_owner, callboard_migrator, callboard_worker', routine);
      end if;
    exception when insufficient_privilege then
      raise warning 'cannot revoke % from PUBLIC: run db/database.sql as a superuser', routine;
    end;
  end loop;
end
$$;

-- A driver's prepared statements outlive its transactions. Injected SQL that could read their names
-- could replace one with PREPARE, and the next tenant on that connection would run it.
revoke all on pg_catalog.pg_prepared_statements, pg_catalog.pg_cursors from public;
revoke execute on function pg_catalog.pg_prepared_statement(), pg_catalog.pg_cursor() from public;

-- PostgreSQL evaluates the cheapest conditions of a scan first, and a leakproof condition of the user's may
-- come before the policy's. That returns nothing, but EXPLAIN ANALYZE shows whether the policy was ever
-- reached and so reveals, query by query, every value of every organization. Policies compare a uuid:
-- this makes their comparison cheaper than any that a user can write.
do $$
begin
  alter function pg_catalog.uuid_eq(uuid, uuid) cost 0.0001;
exception when insufficient_privilege then
  raise warning 'cannot lower the cost of uuid_eq: run db/database.sql as a superuser';
end
$$;

-- BI logins belong to many organizations, so none may see who else is connected, from where, and with
-- which tools. The definer needs this to seal events.
revoke all on pg_catalog.pg_stat_activity from public;
revoke execute on function pg_catalog.pg_stat_get_activity(integer), pg_catalog.pg_stat_get_backend_idset(),
  pg_catalog.pg_stat_get_backend_pid(integer), pg_catalog.pg_stat_get_backend_userid(integer) from public;
grant execute on function pg_catalog.pg_stat_get_backend_idset(), pg_catalog.pg_stat_get_backend_pid(integer),
  pg_catalog.pg_stat_get_backend_userid(integer) to pg_monitor;
grant select on pg_catalog.pg_stat_activity to pg_monitor, callboard_definer, callboard_bi_admin;
grant execute on function pg_catalog.pg_stat_get_activity(integer) to pg_monitor, callboard_definer, callboard_bi_admin;
grant execute on function pg_catalog.pg_terminate_backend(integer, bigint) to callboard_bi_admin;

revoke all on schema public from public;

-- The logins of BI tools. On PostgreSQL 15 a role that may create roles may alter every role that is not a
-- superuser, so callboard_bi_admin does only what these functions allow: none takes the name of a role, which
-- is derived from the credential's id, and only callboard_definer may call them. A superuser creates them,
-- because a migrator that could would have all the rights of callboard_bi_admin. For the same reason they
-- call nothing in app_private, where the migrator could replace it.
create schema if not exists app_private authorization callboard_owner;

create or replace function app_private.make_bi_role(credential uuid, verifier text, connections integer, seconds integer, until timestamptz) returns text
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
declare
  login constant text := 'bi_' || left(encode(sha256(uuid_send(credential)), 'hex'), 24);
  setting record;
begin
  -- PostgreSQL takes anything else for a plain password, which would then appear in logs and statistics.
  if verifier !~ '^SCRAM-SHA-256\$[0-9]{4,6}:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$' then
    raise exception 'not a SCRAM-SHA-256 verifier';
  end if;
  if not exists (select from pg_catalog.pg_roles r where r.rolname = login) then
    execute format('create role %I', login);
    execute format('grant callboard_bi to %I %s', login,
      case when current_setting('server_version_num')::integer >= 160000 then 'with inherit true, set false' else '' end);
  end if;
  execute format('alter role %I with login inherit connection limit %s password %L valid until %L', login, connections, verifier, until);
  -- The login can change all of these for itself except temp_file_limit. They limit the damage of accidents.
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

create or replace function app_private.end_bi_sessions(credential uuid, only_pid integer default null) returns bigint
language plpgsql volatile security definer
set search_path = ''
set client_min_messages = 'error'
as $$
begin
  return (
    select count(pg_catalog.pg_terminate_backend(a.pid, 0))
    from pg_catalog.pg_stat_activity a
    where a.usename = 'bi_' || left(encode(sha256(uuid_send(credential)), 'hex'), 24) and a.datname = current_database()
      and (only_pid is null or a.pid = only_pid));
end
$$;
comment on function app_private.end_bi_sessions(uuid, integer) is 'Ends the connections of a credential''s login to this database, or only that of one backend. Returns how many.';

do $$
declare
  routine regprocedure;
begin
  for routine in
    select p.oid from pg_proc p
    where p.pronamespace = 'app_private'::regnamespace and p.proname in ('make_bi_role', 'let_bi_role', 'drop_bi_role', 'end_bi_sessions')
  loop
    execute format('alter function %s owner to callboard_bi_admin', routine);
    execute format('revoke all on function %s from public', routine);
    execute format('grant execute on function %s to callboard_definer', routine);
  end loop;
end
$$;
