import type { Rule } from './rules.ts'

// Called for every statement under a policy, and of nothing but the caller's own context.
const contextFunctions = [
  'enter(text,uuid,text,inet)',
  'org_if(text)',
  'current_org()',
  'current_user_id()',
  'current_session_id()',
]

/** What must be true of functions, views, roles and their rights. */
export const rulesOfRoles: Rule[] = [
  {
    rule: 'a SECURITY DEFINER function belongs to callboard_definer, except the one that makes tables',
    offenders: `
      select name from functions where prosecdef and proowner <> 'callboard_definer'::regrole
        and not (name = 'app.maintain_event_partitions()' and proowner = 'callboard_owner'::regrole)`,
    broken: `alter function app.search_shows(text) owner to callboard_owner`,
  },
  {
    rule: 'a function says where its names are looked up, or was parsed when it was made',
    offenders: `
      select name from functions
      where prosqlbody is null and not coalesce('search_path=""' = any (proconfig), false)`,
    broken: `alter function app.search_shows(text) reset search_path`,
  },
  {
    rule: 'a SECURITY DEFINER function that a login may call sends no messages, which would show its values',
    offenders: `
      select name from functions
      where prosecdef and not coalesce('client_min_messages=error' = any (proconfig), false)
        and name not in (${contextFunctions.map(name => `'app.${name}'`).join(', ')})
        and exists (select from logins where has_function_privilege(logins.oid, functions.oid, 'execute') and has_schema_privilege(logins.oid, pronamespace, 'usage'))`,
    broken: `alter function app.forget_password(text) reset client_min_messages`,
  },
  {
    rule: 'PUBLIC may execute no function',
    offenders: `select name from functions where has_function_privilege('public', oid, 'execute')`,
    broken: `grant execute on function app.uuid_v7() to public`,
  },
  {
    rule: 'and will not be able to execute new ones',
    offenders: `
      select r.rolname as name from pg_roles r
      where r.rolname in ('callboard_owner', 'callboard_definer', 'callboard_rollup')
        and not exists (select from pg_default_acl d where d.defaclrole = r.oid and d.defaclnamespace = 0 and d.defaclobjtype = 'f'
          and not exists (select from aclexplode(d.defaclacl) where grantee = 0))`,
    broken: `alter default privileges for role callboard_definer grant execute on functions to public`,
  },
  {
    rule: 'PUBLIC has no right to a table, a column or a schema',
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
    rule: 'PUBLIC can neither connect to the database nor make anything in it',
    offenders: `
      select privilege as name from unnest(array['connect', 'temporary', 'create']) as privilege
      where has_database_privilege('public', current_database(), privilege)`,
    // The name of the database is another one in every run.
    broken: `do $$ begin execute format('grant temporary on database %I to public', current_database()); end $$`,
  },
  {
    rule: 'no login can make anything, so nothing of ours can be shadowed',
    offenders: `
      select format('%s in %s', rolname, nspname) as name from logins, pg_namespace n
      where has_schema_privilege(logins.oid, n.oid, 'create')
      union all
      select rolname from logins where has_database_privilege(oid, current_database(), 'create, temporary')`,
    broken: `grant create on schema app to callboard_api`,
  },
  {
    rule: 'no login may use a private schema, nor those that tools keep for themselves',
    offenders: `
      select format('%s in %s', rolname, nspname) as name from logins, pg_namespace n
      where n.nspname ~ '_private$|^graphile_|^public$' and has_schema_privilege(logins.oid, n.oid, 'usage')
        and (rolname, nspname) <> ('callboard_worker', 'graphile_worker')`,
    broken: `grant usage on schema app_private to callboard_api`,
  },
  {
    rule: 'no login is granted anything in them either',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace, logins
      where n.nspname ~ '_private$|^graphile_|^public$' and c.relkind in ('r', 'p', 'v', 'm')
        and has_any_column_privilege(logins.oid, c.oid, 'select, insert, update')
        and (rolname, nspname) <> ('callboard_worker', 'graphile_worker')`,
    broken: `grant select on app_private.mails to callboard_api`,
  },
  {
    rule: 'into the queue of jobs only the worker has a way, besides the definer who fills it',
    offenders: `
      with strangers as (
        select oid, rolname from pg_roles
        where rolname in (select rolname from logins union all select 'callboard_rollup') and rolname <> 'callboard_worker')
      select format('%s in graphile_worker', rolname) as name from strangers
      where has_schema_privilege(oid, 'graphile_worker', 'usage, create')
      union all
      select p.oid::regprocedure::text from pg_proc p, strangers
      where p.pronamespace = 'graphile_worker'::regnamespace and has_function_privilege(strangers.oid, p.oid, 'execute')
      union all
      select c.oid::regclass::text from pg_class c
      where c.relnamespace = 'graphile_worker'::regnamespace and c.relkind = 'r' and c.relname like '\\_private%' and not c.relrowsecurity`,
    broken: `grant execute on function graphile_worker.force_unlock_workers(text[]) to callboard_api`,
  },
  {
    rule: 'nobody who logs in owns anything of the queue, or could hang a trigger on what the definer fills',
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
    rule: 'no role of ours can do what a superuser can',
    offenders: `
      select rolname as name from pg_roles
      where rolname ~ '^callboard_' and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication)`,
    broken: `alter role callboard_auditor bypassrls`,
  },
  {
    rule: 'no login is a member of another role, except the one who migrates, that of superadmins, who may what the API may, and the worker, who has to become the exporter first',
    offenders: `
      select format('%s of %s', l.rolname, r.rolname) as name from logins l, pg_roles r
      where l.oid <> r.oid and pg_has_role(l.oid, r.oid, 'member')
        and not (r.rolname = 'callboard_bi' or l.rolname = 'callboard_support' and r.rolname = 'callboard_api'
          or l.rolname = 'callboard_worker' and r.rolname = 'callboard_exporter' and not pg_has_role(l.oid, r.oid, 'usage'))`,
    broken: `grant callboard_definer to callboard_worker`,
  },
  {
    rule: 'everything belongs to a role that nobody logs in as',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join ours on ours.oid = c.relnamespace
      where c.relowner not in (select oid from pg_roles where rolname in ('callboard_owner', 'callboard_definer', 'callboard_rollup'))
      union all
      select name from functions where proowner not in (select oid from pg_roles where rolname in ('callboard_owner', 'callboard_definer', 'callboard_rollup'))
      union all
      select n.nspname from pg_namespace n join ours using (oid) where n.nspowner <> 'callboard_owner'::regrole`,
    broken: `alter view app.show_list owner to callboard_worker`,
  },
  {
    rule: 'a view asks the policies of whoever reads it, or hides what its conditions have not let through',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join ours on ours.oid = c.relnamespace
      where c.relkind = 'v' and exists (select from logins where has_any_column_privilege(logins.oid, c.oid, 'select'))
        and not coalesce(c.reloptions && '{security_invoker=true,security_invoker=on}', false)
        and not (ours.nspname = 'analytics' and coalesce('security_barrier=true' = any (c.reloptions), false) and c.relowner = 'callboard_rollup'::regrole)`,
    broken: `alter view app.show_list set (security_invoker = false)`,
  },
  {
    rule: 'no login reads a materialized view, which has no policies',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join ours on ours.oid = c.relnamespace, logins
      where c.relkind in ('m', 'f') and has_any_column_privilege(logins.oid, c.oid, 'select')`,
    broken: `create materialized view app.numbers as select count(*) from app.shows; grant select on app.numbers to callboard_api`,
  },
  {
    rule: 'everything says what it is, in a comment',
    offenders: `
      select nspname as name from ours where obj_description(oid, 'pg_namespace') is null
      union all
      select c.oid::regclass::text from pg_class c join ours on ours.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition and obj_description(c.oid, 'pg_class') is null
      union all
      select name from functions where obj_description(oid, 'pg_proc') is null
      union all
      select y.oid::regtype::text from pg_type y join ours on ours.oid = y.typnamespace left join pg_class c on c.oid = y.typrelid
      where (y.typtype in ('d', 'e') or c.relkind = 'c') and ('pg_type'::regclass, y.oid) not in (select * from of_extensions)
        and obj_description(y.oid, 'pg_type') is null`,
    broken: `comment on table app.shows is null`,
  },
  {
    rule: 'no login can read names of prepared statements, keep locks and objects outside of transactions, or stop others',
    offenders: `
      select format('%s by %s', p.oid::regprocedure, rolname) as name from pg_proc p, logins
      where p.pronamespace = 'pg_catalog'::regnamespace and p.proname ~ '^(lo_|lowrite|loread|pg_cancel_backend|pg_terminate_backend|pg_prepared_statement|pg_cursor)'
        and has_function_privilege(logins.oid, p.oid, 'execute')
      union all
      -- The worker takes one so that there is only one of it.
      select format('%s by %s', p.oid::regprocedure, rolname) from pg_proc p, logins
      where p.proname ~ '^pg_(try_)?advisory_' and has_function_privilege(logins.oid, p.oid, 'execute') and rolname <> 'callboard_worker'
      union all
      select format('%s by %s', c.oid::regclass, rolname) from pg_class c, logins
      where c.relname in ('pg_prepared_statements', 'pg_cursors', 'pg_largeobject') and has_any_column_privilege(logins.oid, c.oid, 'select')`,
    broken: `grant execute on function pg_terminate_backend(integer, bigint) to callboard_api`,
  },
]
