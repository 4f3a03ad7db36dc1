-- The roles of the cluster. Run by a superuser, once per cluster; running it again is harmless.
-- Passwords are not here: whoever creates the cluster sets them (`alter role callboard_api password '…'`).

do $$
declare
  wanted record;
begin
  for wanted in
    select * from (values
      -- owns every table, view and schema; nobody logs in as it
      ('callboard_owner',    'nologin'),
      -- owns the SECURITY DEFINER functions; sees what its explicit policies say
      ('callboard_definer',  'nologin'),
      -- owns materialized views, which would refresh to nothing under a FORCE RLS owner
      ('callboard_rollup',   'nologin'),
      ('callboard_migrator', 'login'),
      ('callboard_api',      'login'),
      ('callboard_worker',   'login'),
      ('callboard_support',  'login'),
      ('callboard_auditor',  'login'),
      -- the group of the logins of BI tools
      ('callboard_bi',       'nologin'),
      -- owns the functions of database.sql that make and drop these logins; nobody is a member of it
      ('callboard_bi_admin', 'nologin'),
      -- what the worker reads as while it makes an export
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

-- The owner changes and replaces what the definer and the rollup role own.
grant callboard_definer, callboard_rollup to callboard_owner;

-- Superadmins may what the API may, under the same policies, and come in by another door: schema/support.sql.
grant callboard_api to callboard_support;

-- The worker becomes the exporter for the transaction in which it reads for an export, and only by SET
-- ROLE: by itself it still sees no table. From PostgreSQL 16 on it is the moment of the GRANT that counts.
alter role callboard_worker noinherit;
grant callboard_exporter to callboard_worker;

-- The sealer of events waits for transactions that have begun before: it must see when.
grant pg_read_all_stats to callboard_definer;

-- What it takes to make the login of a BI tool, to limit the disk that its queries use, and to end its connections.
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
  -- As text, because 15 does not know these options.
  execute 'grant callboard_bi to callboard_bi_admin with admin true, inherit false, set false';
  -- From 16 on it changes only the roles that it administers: those that it made on a 15 are not among them.
  for login in select rolname from pg_roles where rolname ~ '^bi_[0-9a-f]{24}$' and pg_has_role(oid, 'callboard_bi', 'member') loop
    execute format('grant %I to callboard_bi_admin with admin true, inherit false, set false', login);
  end loop;
end
$$;

-- A migration is run as the owner from its first statement, so that nothing it makes
-- belongs to the login. SET ROLE would need a line in every migration.
grant callboard_owner to callboard_migrator;
alter role callboard_migrator set role to 'callboard_owner';

-- One plan for a statement, whoever asks: PostgreSQL would otherwise plan a list anew for each call, because of
-- its LIMIT, which takes longer than many of them. The organization is no value that a plan could know anyway.
alter role callboard_api set plan_cache_mode to 'force_generic_plan';
alter role callboard_support set plan_cache_mode to 'force_generic_plan';
