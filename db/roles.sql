-- The roles of the cluster. Run by a superuser, once per cluster; running it again is harmless.
-- Passwords are not here: set them when you create the cluster (`alter role callboard_api password '…'`).

do $$
declare
  wanted record;
begin
  for wanted in
    select * from (values
      -- owns every table, view and schema; never logs in
      ('callboard_owner',    'nologin'),
      -- owns the SECURITY DEFINER functions; sees what its explicit policies say
      ('callboard_definer',  'nologin'),
      -- owns materialized views, which would refresh to nothing under a FORCE RLS owner
      ('callboard_rollup',   'nologin'),
      -- owns the view that shows members columns they are not granted, under their own policies
      ('callboard_reader',   'nologin'),
      ('callboard_migrator', 'login'),
      ('callboard_api',      'login'),
      ('callboard_worker',   'login'),
      ('callboard_support',  'login'),
      ('callboard_auditor',  'login'),
      -- the group that all BI logins belong to
      ('callboard_bi',       'nologin'),
      -- owns the functions in database.sql that create and drop those logins; has no members
      ('callboard_bi_admin', 'nologin'),
      -- the role in which the worker reads the data of an export
      ('callboard_exporter', 'nologin')
    ) as r (name, can_login)
  loop
    if not exists (select from pg_roles where rolname = wanted.name) then
      execute format('create role %I', wanted.name);
    end if;
    execute format(
      'alter role %I with %s nosuperuser nobypassrls nocreatedb %s noreplication inherit',
      wanted.name, wanted.can_login, case wanted.name when 'callboard_bi_admin' then 'createrole' else 'nocreaterole' end);
  end loop;
end
$$;

-- The owner alters and replaces what the definer, the rollup role and the reader own.
grant callboard_definer, callboard_rollup, callboard_reader to callboard_owner;

-- Superadmins may do what the API may, under the same policies, but enter another way: schema/support/support.sql.
grant callboard_api to callboard_support;

-- The worker becomes the exporter only by SET ROLE, for the transaction in which it reads the data of an
-- export; in its own role it sees no table. Since PostgreSQL 16, NOINHERIT counts only at the time of the GRANT.
alter role callboard_worker noinherit;
grant callboard_exporter to callboard_worker;

-- Roles belong to the server: what db/database.sql takes from them in one database, another would give them (large
-- objects, advisory locks, temporary tables, who else is connected). PostgreSQL lets everybody connect to these two.
do $$
declare
  other name;
begin
  for other in
    select datname from pg_database
    where datname in ('postgres', 'template1') and has_database_privilege('public', oid, 'connect, temporary')
  loop
    begin
      execute format('revoke connect, temporary on database %I from public', other);
    exception when insufficient_privilege then
      raise warning 'cannot revoke CONNECT on database % from PUBLIC: whoever logs in to Callboard may connect to it, too', other;
    end;
  end loop;
end
$$;

-- The context of a request is in this setting, which nobody but callboard_definer's functions may change. Where the
-- right to it cannot be granted, contexts are signed instead: `npm run migrate` chooses, at each run.
do $$
begin
  grant set on parameter backtrace_functions to callboard_definer;
exception when insufficient_privilege then
  raise warning 'cannot grant backtrace_functions to callboard_definer: contexts will be signed, which is slower';
end
$$;

-- The event sealer waits for older transactions, so it must see when they began.
grant pg_read_all_stats to callboard_definer;

-- The rights to create BI logins, limit the disk space of their queries, and end their connections.
grant pg_signal_backend to callboard_bi_admin;
grant set on parameter temp_file_limit to callboard_bi_admin;
do $$
declare
  login name;
begin
  if current_setting('server_version_num')::integer < 160000 then
    grant callboard_bi to callboard_bi_admin with admin option;
    return;
  end if;
  -- Dynamic SQL, because 15 cannot parse these options.
  execute 'grant callboard_bi to callboard_bi_admin with admin true, inherit false, set false';
  -- Since 16 it can only alter roles that it administers, which excludes those it created under 15.
  for login in select rolname from pg_roles where rolname ~ '^bi_[0-9a-f]{24}$' and pg_has_role(oid, 'callboard_bi', 'member') loop
    execute format('grant %I to callboard_bi_admin with admin true, inherit false, set false', login);
  end loop;
end
$$;

-- A migration runs as the owner from its first statement, so that nothing it creates
-- belongs to the login. Otherwise every migration would need its own SET ROLE.
grant callboard_owner to callboard_migrator;
alter role callboard_migrator set role to 'callboard_owner';

-- One generic plan per statement: PostgreSQL would otherwise replan a list on each call, because of its LIMIT,
-- and planning takes longer than running many of them. A custom plan could not know the organization anyway.
alter role callboard_api set plan_cache_mode to 'force_generic_plan';
alter role callboard_support set plan_cache_mode to 'force_generic_plan';

-- Functions turn scans off that would read whole tables. PostgreSQL then expects costs for which, where it has LLVM, it
-- compiles a statement of a millisecond for seconds.
alter role callboard_api set jit to 'off';
alter role callboard_support set jit to 'off';
