import type { Rule } from './rule.ts'

/** What must be true of what PUBLIC and logins are granted. */
export const rulesOfPrivileges: Rule[] = [
  {
    id: 'public-privileges',
    rule: 'PUBLIC has no privilege on a table, a column or a schema',
    class: 'dangerous',
    lets: 'Every login of the server has it, those of BI tools included.',
    offenders: `
      select t.oid::regclass::text as name from pg_class t join ours on ours.oid = t.relnamespace, aclexplode(t.relacl) where grantee = 0
      union all
      select t.name from tables t join pg_attribute a on a.attrelid = t.oid, aclexplode(a.attacl) where grantee = 0
      union all
      select n.nspname from pg_namespace n, aclexplode(n.nspacl)
      where grantee = 0 and n.nspname not in ('pg_catalog', 'information_schema')`,
    broken: `grant select on app.roles to public`,
  },
  {
    id: 'public-database',
    rule: 'PUBLIC can neither connect to the database nor create anything in it',
    class: 'dangerous',
    lets: 'Every login of the server may connect, or create what shadows ours.',
    offenders: `
      select privilege as name from unnest(array['connect', 'temporary', 'create']) as privilege
      where has_database_privilege('public', current_database(), privilege)`,
    // The database has a different name in every run.
    broken: `do $$ begin execute format('grant temporary on database %I to public', current_database()); end $$`,
  },
  {
    id: 'login-creates',
    rule: 'no login can create anything, so nothing of ours can be shadowed',
    class: 'dangerous',
    lets: 'A login can create what others then call or read instead of ours.',
    offenders: `
      select format('%s in %s', rolname, nspname) as name from logins, pg_namespace n
      where has_schema_privilege(logins.oid, n.oid, 'create')
      union all
      select rolname from logins where has_database_privilege(oid, current_database(), 'create, temporary')`,
    broken: `grant create on schema app to callboard_api`,
  },
  {
    id: 'private-schema',
    rule: 'no login may use a private schema or a tool’s own',
    class: 'dangerous',
    lets: 'A login gets to where keys, hashes and all organizations’ figures are.',
    offenders: `
      select format('%s in %s', rolname, nspname) as name from logins, pg_namespace n
      where n.nspname ~ '_private$|^graphile_|^public$' and has_schema_privilege(logins.oid, n.oid, 'usage')
        and (rolname, nspname) <> ('callboard_worker', 'graphile_worker')`,
    broken: `grant usage on schema app_private to callboard_api`,
  },
  {
    id: 'private-grant',
    rule: 'no login is granted anything in them either',
    class: 'dangerous',
    lets: 'A login reads keys, hashes, or the figures of all organizations.',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace, logins
      where n.nspname ~ '_private$|^graphile_|^public$' and c.relkind in ('r', 'p', 'v', 'm')
        and has_any_column_privilege(logins.oid, c.oid, 'select, insert, update')
        and (rolname, nspname) <> ('callboard_worker', 'graphile_worker')`,
    broken: `grant select on app_private.mails to callboard_api`,
  },
  {
    id: 'queue-access',
    rule: 'only the worker can access the job queue, besides the definer, who fills it',
    class: 'dangerous',
    lets: 'A login sees or adds jobs of all organizations.',
    offenders: `
      with outsiders as (
        select oid, rolname from pg_roles
        where rolname in (select rolname from logins union all select 'callboard_rollup') and rolname <> 'callboard_worker')
      select format('%s in graphile_worker', rolname) as name from outsiders
      where has_schema_privilege(oid, 'graphile_worker', 'usage, create')
      union all
      select p.oid::regprocedure::text from pg_proc p, outsiders
      where p.pronamespace = 'graphile_worker'::regnamespace and has_function_privilege(outsiders.oid, p.oid, 'execute')
      union all
      select c.oid::regclass::text from pg_class c
      where c.relnamespace = 'graphile_worker'::regnamespace and c.relkind = 'r' and c.relname like '\\_private%' and not c.relrowsecurity`,
    broken: `grant execute on function graphile_worker.force_unlock_workers(text[]) to callboard_api`,
  },
  {
    id: 'queue-owner',
    rule: 'no login owns any part of the queue, or could put a trigger on what the definer fills',
    class: 'dangerous',
    lets: 'A login could replace what others run.',
    offenders: `
      select c.oid::regclass::text as name from pg_class c
      where c.relnamespace = 'graphile_worker'::regnamespace and c.relkind in ('r', 'v') and c.relowner <> 'callboard_owner'::regrole
      union all
      select p.oid::regprocedure::text from pg_proc p
      where p.pronamespace = 'graphile_worker'::regnamespace and p.proowner <> 'callboard_owner'::regrole
      union all
      select nspname from pg_namespace where nspname = 'graphile_worker' and nspowner <> 'callboard_owner'::regrole
      union all
      select format('%s by %s', c.oid::regclass, rolname) from pg_class c, logins
      where c.relnamespace = 'graphile_worker'::regnamespace and c.relkind = 'r' and has_table_privilege(logins.oid, c.oid, 'trigger, truncate, references')`,
    broken: `alter table graphile_worker._private_jobs owner to callboard_worker`,
  },
  {
    id: 'who-is-connected',
    ifSuperuserSetUp: true,
    rule: 'who else is connected is visible only to the definer, the administrator of BI logins, and those who monitor the server',
    class: 'dangerous',
    lets: 'Logins see who else is connected, from where, with which tool.',
    offenders: `
      select format('pg_stat_activity by %s', rolname) as name from logins where has_any_column_privilege(oid, 'pg_stat_activity', 'select')
      union all
      select format('%s by %s', f, rolname) from logins, unnest(array['pg_stat_get_activity(integer)', 'pg_stat_get_backend_idset()',
        'pg_stat_get_backend_pid(integer)', 'pg_stat_get_backend_userid(integer)']) f where has_function_privilege(oid, f, 'execute')`,
    broken: `grant select on pg_stat_activity to public`,
  },
  {
    id: 'stop-others',
    ifSuperuserSetUp: true,
    rule: 'no login can read names of prepared statements, keep locks and objects beyond a transaction, or stop others',
    class: 'dangerous',
    lets: 'Injected SQL can read names, keep locks and objects, or stop others.',
    offenders: `
      select format('%s by %s', p.oid::regprocedure, rolname) as name from pg_proc p, logins
      where p.pronamespace = 'pg_catalog'::regnamespace and p.proname ~ '^(lo_|lowrite|loread|pg_cancel_backend|pg_terminate_backend|pg_logical_emit_message|pg_prepared_statement|pg_cursor)'
        and has_function_privilege(logins.oid, p.oid, 'execute')
      union all
      -- The worker takes one so that only one runs at a time.
      select format('%s by %s', p.oid::regprocedure, rolname) from pg_proc p, logins
      where p.proname ~ '^pg_(try_)?advisory_' and has_function_privilege(logins.oid, p.oid, 'execute') and rolname <> 'callboard_worker'
      union all
      select format('%s by %s', c.oid::regclass, rolname) from pg_class c, logins
      where c.relname in ('pg_prepared_statements', 'pg_cursors', 'pg_largeobject') and has_any_column_privilege(logins.oid, c.oid, 'select')`,
    broken: `grant execute on function pg_terminate_backend(integer, bigint) to callboard_api`,
  },
]
