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
    'grant connect on database %I to callboard_migrator, callboard_api, callboard_worker, callboard_support, callboard_auditor',
    db);
  -- REFRESH MATERIALIZED VIEW CONCURRENTLY makes a temporary table, as the owner of the view.
  execute format('grant temporary on database %I to callboard_rollup', db);

  -- Every role may call these by default. Large objects are storage outside row-level security,
  -- advisory locks and signals let one tenant's injected SQL stop another's requests.
  for routine in
    select p.oid::regprocedure
    from pg_proc p
    where p.pronamespace = 'pg_catalog'::regnamespace
      and (p.proname ~ '^(lo_|lowrite|loread|pg_(try_)?advisory_|pg_cancel_backend|pg_terminate_backend)')
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

-- A driver's prepared statements outlive its transactions. Whoever could read their names could
-- replace one by PREPARE, and the next tenant on that connection would run it.
revoke all on pg_catalog.pg_prepared_statements, pg_catalog.pg_cursors from public;
revoke execute on function pg_catalog.pg_prepared_statement(), pg_catalog.pg_cursor() from public;

-- PostgreSQL tests the cheapest conditions of a scan first, and a leakproof one of the user's may
-- come before the policy's. Nothing is returned by that, but EXPLAIN ANALYZE shows whether the
-- policy was ever reached, and so, question by question, every value of every organization.
-- Policies compare a uuid: this makes theirs cheaper than any comparison somebody can write.
do $$
begin
  alter function pg_catalog.uuid_eq(uuid, uuid) cost 0.0001;
exception when insufficient_privilege then
  raise warning 'cannot lower the cost of uuid_eq: run db/database.sql as a superuser';
end
$$;

revoke all on schema public from public;
