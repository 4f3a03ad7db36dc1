-- Privileges in graphile_worker, the schema in which graphile-worker keeps its jobs.
-- `npm run migrate` runs this as callboard_owner after it has installed or updated that schema;
-- running it again is harmless.
--
-- The schema belongs to the owner, not to the worker's login: callboard_definer inserts jobs here, so
-- a role that could put a trigger on its tables or replace its functions could do what the definer can.

do $$
declare
  wanted record;
begin
  for wanted in
    select c.oid::regclass as queue, r.name as who
    from pg_class c, (values ('worker'), ('definer')) as r (name)
    where c.relnamespace = 'graphile_worker'::regnamespace and c.relkind = 'r' and c.relrowsecurity
  loop
    -- Not dropped and recreated: that would lock the running workers out of the queue.
    if not exists (select from pg_policy where polrelid = wanted.queue and polname = 'all_' || wanted.who) then
      execute format('create policy %I on %s for all to %I using (true)',
        'all_' || wanted.who, wanted.queue, 'callboard_' || wanted.who);
    end if;
    execute format('grant select, insert, update, delete on %s to %I', wanted.queue, 'callboard_' || wanted.who);
  end loop;
end
$$;

grant usage on schema graphile_worker to callboard_worker, callboard_definer;
-- At startup a worker checks that the schema matches its version.
grant select on graphile_worker.migrations to callboard_worker;

revoke execute on all functions in schema graphile_worker from public;
grant execute on all functions in schema graphile_worker to callboard_worker, callboard_definer;
