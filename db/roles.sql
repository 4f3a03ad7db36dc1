-- The roles of the cluster. Run once per cluster, by a superuser or, where nobody is one, by a role with CREATEROLE and
-- CREATEDB; what only a superuser may do is then left out, with a warning that says what that costs. Running it again,
-- as the same login, is harmless.
-- Passwords are not here: set them when you create the cluster (`alter role callboard_api password '…'`).

do $$
declare
  wanted record;
  changes text;
begin
  for wanted in
    select * from (values
      -- owns every table, view and schema; never logs in
      ('callboard_owner',    false),
      -- owns the SECURITY DEFINER functions; sees what its explicit policies say
      ('callboard_definer',  false),
      -- owns materialized views, which would refresh to nothing under a FORCE RLS owner
      ('callboard_rollup',   false),
      -- owns the view that shows members columns they are not granted, under their own policies
      ('callboard_reader',   false),
      ('callboard_migrator', true),
      ('callboard_api',      true),
      ('callboard_worker',   true),
      ('callboard_support',  true),
      ('callboard_auditor',  true),
      -- the group that all BI logins belong to
      ('callboard_bi',       false),
      -- owns the functions in database.sql that create and drop those logins; has no members
      ('callboard_bi_admin', false),
      -- the role in which the worker reads the data of an export
      ('callboard_exporter', false)
    ) as r (name, can_login)
  loop
    if not exists (select from pg_roles where rolname = wanted.name) then
      execute format('create role %I', wanted.name);
    end if;
    -- Only what differs: some of these only a superuser may even mention.
    select string_agg(case when a.wanted then a.name else 'no' || a.name end, ' ') into changes
    from pg_roles r, lateral (values
      ('superuser', r.rolsuper, false), ('bypassrls', r.rolbypassrls, false), ('replication', r.rolreplication, false),
      ('createdb', r.rolcreatedb, false), ('createrole', r.rolcreaterole, r.rolname = 'callboard_bi_admin'),
      -- The worker becomes the exporter only by SET ROLE, for the transaction in which it reads the data of an export;
      -- in its own role it sees no table. Since PostgreSQL 16, NOINHERIT counts only at the time of the GRANT below.
      ('inherit', r.rolinherit, r.rolname <> 'callboard_worker'),
      ('login', r.rolcanlogin, wanted.can_login)) as a (name, is_on, wanted)
    where r.rolname = wanted.name and a.is_on <> a.wanted;
    if changes is not null then
      execute format('alter role %I with %s', wanted.name, changes);
    end if;
  end loop;
end
$$;

-- The owner alters and replaces what the definer, the rollup role and the reader own.
grant callboard_definer, callboard_rollup, callboard_reader to callboard_owner;

-- Superadmins may do what the API may, under the same policies, but enter another way: schema/support/support.sql.
grant callboard_api to callboard_support;

grant callboard_exporter to callboard_worker;

-- Roles belong to the server: what db/database.sql takes from them in one database, another would give them (large
-- objects, advisory locks, temporary tables, who else is connected). PostgreSQL lets everybody connect to these two.
do $$
declare
  other record;
begin
  for other in
    select datname, datdba from pg_database
    where datname in ('postgres', 'template1') and has_database_privilege('public', oid, 'connect, temporary')
  loop
    if pg_has_role(other.datdba, 'usage') then
      execute format('revoke connect, temporary on database %I from public', other.datname);
    else
      raise warning 'Not applied: connections to the database % refused to PUBLIC. Whoever logs in to Callboard may connect to it, too.', other.datname;
    end if;
  end loop;
end
$$;

-- The context of a request is in this setting, which nobody but callboard_definer's functions may change. Where the
-- right to it cannot be granted, contexts are signed instead: `npm run migrate` chooses, at each run.
do $$
begin
  grant set on parameter backtrace_functions to callboard_definer;
exception when insufficient_privilege then
  raise warning 'Not applied: backtrace_functions granted to callboard_definer. Contexts will be signed, which is slower.';
end
$$;

-- For the metrics about transactions, size and standbys.
do $$
begin
  grant pg_read_all_stats to callboard_definer;
exception when insufficient_privilege then
  raise warning 'Not applied: pg_read_all_stats granted to callboard_definer. Metrics do not say how old transactions are, how large the database is, and how far standbys are behind.';
end
$$;

-- The rights to create BI logins, and to limit the disk space of their queries.
do $$
begin
  grant set on parameter temp_file_limit to callboard_bi_admin;
exception when insufficient_privilege then
  raise warning 'Not applied: temp_file_limit granted to callboard_bi_admin. A query of a BI tool may fill the disk with temporary files.';
end
$$;
do $$
declare
  login name;
begin
  -- Earlier releases needed it.
  if (select rolsuper from pg_roles where rolname = current_user) and pg_has_role('callboard_bi_admin', 'pg_signal_backend', 'member') then
    revoke pg_signal_backend from callboard_bi_admin;
  end if;
  if current_setting('server_version_num')::integer < 160000 then
    grant callboard_bi to callboard_bi_admin with admin option;
  else
    -- Dynamic SQL, because 15 cannot parse these options.
    execute 'grant callboard_bi to callboard_bi_admin with admin true, inherit false, set false';
  end if;
  -- Since 16 it can only alter roles that it administers, which excludes those it created under 15. It has their
  -- privileges, too, so that it may end their connections. No superuser, no upgrade: then it has created them itself.
  for login in
    select r.rolname from pg_roles r
    where r.rolname ~ '^bi_[0-9a-f]{24}$' and pg_has_role(r.oid, 'callboard_bi', 'member')
      and (select s.rolsuper from pg_roles s where s.rolname = current_user)
  loop
    execute format('grant %I to callboard_bi_admin %s', login,
      case when current_setting('server_version_num')::integer >= 160000 then 'with admin true, inherit true, set false' else '' end);
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
