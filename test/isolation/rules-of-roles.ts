import type { Rule } from './rules.ts'

// Called for every statement under a policy, and about nothing but the caller's own context.
const contextFunctions = [
  'enter(text,uuid,text,inet)',
  'org_if(text)',
  'org_if_reading(text)',
  'current_org()',
  'current_user_id()',
  'current_session_id()',
]

// What creates, changes and drops the logins of BI tools, and ends their connections: db/database.sql.
const bi_admins = `('app_private.make_bi_role(uuid,text,integer,integer,timestamp with time zone)', 'app_private.let_bi_role(uuid,boolean)',
  'app_private.drop_bi_role(uuid)', 'app_private.end_bi_sessions(uuid,integer)')`

/** What must be true of functions, views, roles and their rights. */
export const rulesOfRoles: Rule[] = [
  {
    rule: 'a SECURITY DEFINER function belongs to callboard_definer, except those that create tables, compute figures and create roles',
    offenders: `
      select name from functions where prosecdef and proowner <> 'callboard_definer'::regrole
        and not (name = 'app.maintain_event_partitions()' and proowner = 'callboard_owner'::regrole)
        and not (name in ('app.refresh_figures(text,jsonb)', 'app.check_figures(jsonb)', 'analytics_private.mark_changed(uuid,text[],timestamp with time zone)')
          and proowner = 'callboard_rollup'::regrole)
        and not (name in ${bi_admins} and proowner = 'callboard_bi_admin'::regrole)`,
    broken: `alter function app.search_shows(text) owner to callboard_owner`,
  },
  {
    rule: 'a function sets its search_path, or was parsed when it was created',
    offenders: `
      select name from functions
      where prosqlbody is null and not coalesce('search_path=""' = any (proconfig), false)`,
    broken: `alter function app.search_shows(text) reset search_path`,
  },
  {
    rule: 'a SECURITY DEFINER function that a login may call sends no messages, which would reveal its values',
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
    rule: 'PUBLIC has no privilege on a table, a column or a schema',
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
    rule: 'PUBLIC can neither connect to the database nor create anything in it',
    offenders: `
      select privilege as name from unnest(array['connect', 'temporary', 'create']) as privilege
      where has_database_privilege('public', current_database(), privilege)`,
    // The database has a different name in every run.
    broken: `do $$ begin execute format('grant temporary on database %I to public', current_database()); end $$`,
  },
  {
    rule: 'no login can create anything, so nothing of ours can be shadowed',
    offenders: `
      select format('%s in %s', rolname, nspname) as name from logins, pg_namespace n
      where has_schema_privilege(logins.oid, n.oid, 'create')
      union all
      select rolname from logins where has_database_privilege(oid, current_database(), 'create, temporary')`,
    broken: `grant create on schema app to callboard_api`,
  },
  {
    rule: 'no login may use a private schema or a tool’s own',
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
    rule: 'only the worker can access the job queue, besides the definer, who fills it',
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
    rule: 'no login owns any part of the queue, or could put a trigger on what the definer fills',
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
      where rolname ~ '^(callboard_|bi_[0-9a-f]{24}$)'
        and (rolsuper or rolbypassrls or rolcreaterole and rolname <> 'callboard_bi_admin' or rolcreatedb or rolreplication)`,
    broken: `alter role callboard_auditor bypassrls`,
  },
  {
    rule: 'the role that may create roles does so in four functions that only the definer may call, cannot log in, and has no members',
    offenders: `
      select rolname as name from pg_roles
      where rolname = 'callboard_bi_admin' and rolcanlogin
        or rolname <> 'callboard_bi_admin' and not rolsuper and rolname !~ '^pg_' and pg_has_role(oid, 'callboard_bi_admin', 'member')
      union all
      select name from functions where proowner = 'callboard_bi_admin'::regrole and name not in ${bi_admins}
      union all
      select format('%s for %s', name, rolname) from functions, pg_roles r
      where proowner = 'callboard_bi_admin'::regrole and not r.rolsuper and has_function_privilege(r.oid, functions.oid, 'execute')
        and r.rolname not in ('callboard_definer', 'callboard_bi_admin', 'callboard_owner', 'callboard_migrator')
      union all
      -- In its own schema the migrator could replace what they call.
      select name from functions
      where proowner = 'callboard_bi_admin'::regrole and prosrc ~ '\\m(app|app_private|analytics)\\.'`,
    broken: `grant callboard_bi_admin to callboard_owner`,
  },
  {
    rule: 'BI logins read the views of analytics, call what these need to know whose rows they show and how old they are, and have no other privilege',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join ours on ours.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'v', 'm', 'f') and not (nspname = 'analytics' and c.relkind = 'v') and has_any_column_privilege('callboard_bi', c.oid, 'select')
      union all
      select format('%s %s', command, c.oid::regclass) from pg_class c join ours on ours.oid = c.relnamespace,
        unnest(array['insert', 'update', 'references']) command
      where c.relkind in ('r', 'p', 'v', 'm', 'f') and has_any_column_privilege('callboard_bi', c.oid, command)
      union all
      select nspname from ours where nspname <> 'analytics' and has_schema_privilege('callboard_bi', oid, 'usage')
      union all
      select name from functions where name not in ('app.visible_org(text)', 'app.freshness(text[])') and has_function_privilege('callboard_bi', oid, 'execute')
      union all
      select r.rolname from pg_roles r where r.rolname <> 'callboard_bi' and pg_has_role('callboard_bi', r.oid, 'member')
      union all
      -- And of the system's no more than everybody.
      select p.oid::regprocedure::text from pg_proc p
      where p.pronamespace = 'pg_catalog'::regnamespace and has_function_privilege('callboard_bi', p.oid, 'execute') and not has_function_privilege('public', p.oid, 'execute')`,
    broken: `grant execute on function app.current_org() to callboard_bi`,
  },
  {
    rule: 'everything in analytics can be read by BI logins',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join ours on ours.oid = c.relnamespace
      where ours.nspname = 'analytics' and c.relkind = 'v' and not has_table_privilege('callboard_bi', c.oid, 'select')`,
    broken: `revoke select on analytics.freshness from callboard_bi`,
  },
  {
    rule: 'a BI login is a member of its group and nothing else, and has a limit and an expiry',
    offenders: `
      select rolname as name from pg_roles
      where rolname ~ '^bi_[0-9a-f]{24}$' and rolcanlogin
        and (rolconnlimit not between 1 and 10 or coalesce(rolvaliduntil = 'infinity', true)
          or array(select roleid::regrole::text from pg_auth_members where member = pg_roles.oid) <> '{callboard_bi}')`,
    broken: `create role bi_0123456789abcdef01234567 login connection limit 5 valid until '2030-01-01'; grant callboard_bi, callboard_api to bi_0123456789abcdef01234567`,
  },
  {
    rule: 'who else is connected is visible only to the definer, the administrator of BI logins, and those who monitor the server',
    offenders: `
      select format('pg_stat_activity by %s', rolname) as name from logins where has_any_column_privilege(oid, 'pg_stat_activity', 'select')
      union all
      select format('%s by %s', f, rolname) from logins, unnest(array['pg_stat_get_activity(integer)', 'pg_stat_get_backend_idset()',
        'pg_stat_get_backend_pid(integer)', 'pg_stat_get_backend_userid(integer)']) f where has_function_privilege(oid, f, 'execute')`,
    broken: `grant select on pg_stat_activity to public`,
  },
  {
    rule: 'no login is a member of another role, except the migrator, the superadmins’ login, which has the API’s privileges, and the worker, which must first become the exporter',
    offenders: `
      select format('%s of %s', l.rolname, r.rolname) as name from logins l, pg_roles r
      where l.oid <> r.oid and pg_has_role(l.oid, r.oid, 'member')
        and not (r.rolname = 'callboard_bi' or l.rolname = 'callboard_support' and r.rolname = 'callboard_api'
          or l.rolname = 'callboard_worker' and r.rolname = 'callboard_exporter' and not pg_has_role(l.oid, r.oid, 'usage'))`,
    broken: `grant callboard_definer to callboard_worker`,
  },
  {
    rule: 'everything belongs to a role that cannot log in',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join ours on ours.oid = c.relnamespace
      where c.relowner not in (select oid from pg_roles where rolname in ('callboard_owner', 'callboard_definer', 'callboard_rollup', 'callboard_reader'))
      union all
      select name from functions where proowner not in (select oid from pg_roles where rolname in ('callboard_owner', 'callboard_definer', 'callboard_rollup', 'callboard_bi_admin'))
      union all
      select n.nspname from pg_namespace n join ours using (oid) where n.nspowner <> 'callboard_owner'::regrole`,
    broken: `alter view app.show_rows owner to callboard_worker`,
  },
  {
    rule: 'a view obeys its reader’s policies, is a security barrier of analytics, or belongs to the reader',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join ours on ours.oid = c.relnamespace
      where c.relkind = 'v' and exists (select from logins where has_any_column_privilege(logins.oid, c.oid, 'select'))
        and not coalesce(c.reloptions && '{security_invoker=true,security_invoker=on}', false)
        and not (ours.nspname = 'analytics' and coalesce('security_barrier=true' = any (c.reloptions), false) and c.relowner = 'callboard_rollup'::regrole)
        and not (c.relowner = 'callboard_reader'::regrole and c.oid = 'app.readable_events'::regclass)`,
    broken: `alter view app.show_rows set (security_invoker = false)`,
  },
  {
    rule: 'the reader has the policies of members and no others, and is a member of nothing',
    offenders: `
      select p.name from policies p
      where exists (select from unnest(p.polroles) x where pg_has_role('callboard_reader', x, 'member')) and not p.polroles @> array['callboard_api'::regrole::oid]
      union all
      select rolname from pg_roles r where r.rolname <> 'callboard_reader' and pg_has_role('callboard_reader', r.oid, 'member')
      union all
      select format('%s of %s', t.name, command) from tables t, unnest(array['insert', 'update']) command
      where has_any_column_privilege('callboard_reader', t.oid, command)`,
    broken: `grant callboard_definer to callboard_reader`,
  },
  {
    rule: 'a view of figures compares the organization of its rows with the reader’s, or has no rows of organizations',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join ours on ours.oid = c.relnamespace
      where ours.nspname = 'analytics' and c.relkind = 'v' and c.oid <> 'analytics.freshness'::regclass
        and pg_get_viewdef(c.oid) !~ 'WHERE \\(+(\\w+\\.)?organization_id = \\( SELECT app\\.visible_org\\('`,
    broken: `create or replace view analytics.finance_by_month with (security_barrier = true) as
      select m.month, m.status, m.currency, m.income_minor, m.expense_minor, m.income_minor - m.expense_minor as profit_minor,
        m.base_currency, m.base_income_minor, m.base_expense_minor, m.base_income_minor - m.base_expense_minor as base_profit_minor,
        m.records, m.as_of from analytics_private.finance_by_month_now m where m.organization_id <> (select app.visible_org())`,
  },
  {
    rule: 'the planner keeps no statistics of figures either',
    offenders: `
      select format('%s.%s', c.oid::regclass, a.attname) as name from pg_class c join ours on ours.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where c.relkind = 'm' and coalesce(a.attstattarget, -1) <> 0 and a.atttypid not in ('uuid'::regtype, 'date'::regtype)
        and a.attname not in ('status', 'currency', 'base_currency')`,
    broken: `alter materialized view analytics_private.finance_by_month alter column records set statistics 100`,
  },
  {
    rule: 'each view of figures and each of its columns has a comment, which BI tools show',
    offenders: `
      select format('%s.%s', c.oid::regclass, a.attname) as name from pg_class c join ours on ours.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where ours.nspname = 'analytics' and c.relkind = 'v' and col_description(c.oid, a.attnum) is null`,
    broken: `comment on column analytics.finance_by_month.month is null`,
  },
  {
    rule: 'no login reads a materialized view, which has no policies',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join ours on ours.oid = c.relnamespace, logins
      where c.relkind in ('m', 'f') and has_any_column_privilege(logins.oid, c.oid, 'select')`,
    broken: `create materialized view app.numbers as select count(*) from app.shows; grant select on app.numbers to callboard_api`,
  },
  {
    rule: 'everything has a comment',
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
    rule: 'no login can read names of prepared statements, keep locks and objects beyond a transaction, or stop others',
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
