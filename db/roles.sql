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
      ('callboard_bi',       'nologin'),
      -- what the worker reads as while it makes an export
      ('callboard_exporter', 'nologin')
    ) as r (name, can_login)
  loop
    if not exists (select from pg_roles where rolname = wanted.name) then
      execute format('create role %I', wanted.name);
    end if;
    execute format(
      'alter role %I with %s nosuperuser nobypassrls nocreatedb nocreaterole noreplication inherit',
      wanted.name, wanted.can_login);
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

-- A migration is run as the owner from its first statement, so that nothing it makes
-- belongs to the login. SET ROLE would need a line in every migration.
grant callboard_owner to callboard_migrator;
alter role callboard_migrator set role to 'callboard_owner';
