import { biAdmins, type Rule } from './rule.ts'

/** What must be true of roles, their attributes and memberships. */
export const rulesOfRoles: Rule[] = [
  {
    id: 'role-attributes',
    rule: 'no role of ours can do what a superuser can',
    class: 'dangerous',
    lets: 'No policy applies to it, or it can make roles for which none does.',
    offenders: `
      select rolname as name from pg_roles
      where rolname ~ '^(callboard_|bi_[0-9a-f]{24}$)'
        and (rolsuper or rolbypassrls or rolcreaterole and rolname <> 'callboard_bi_admin' or rolcreatedb or rolreplication)`,
    broken: `alter role callboard_auditor bypassrls`,
  },
  {
    id: 'role-admin',
    rule: 'the role that may create roles does so in functions of db/database.sql that only the definer may call, cannot log in, and has no members',
    class: 'dangerous',
    lets: 'It can change every role that is not a superuser, and so become any of them.',
    offenders: `
      select rolname as name from pg_roles
      where rolname = 'callboard_bi_admin' and rolcanlogin
        or rolname <> 'callboard_bi_admin' and not rolsuper and rolname !~ '^pg_' and pg_has_role(oid, 'callboard_bi_admin', 'member')
          and oid not in (select oid from administrators)
      union all
      select name from functions where proowner = 'callboard_bi_admin'::regrole and name not in ${biAdmins}
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
    id: 'bi-privileges',
    rule: 'BI logins read the views of analytics, call what these need to know whose rows they show and how old they are, and have no other privilege',
    class: 'dangerous',
    lets: 'A BI tool sees or does more than its organization’s figures.',
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
    id: 'bi-reads-analytics',
    rule: 'everything in analytics can be read by BI logins',
    class: 'to be reviewed',
    lets: 'BI tools miss figures.',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join ours on ours.oid = c.relnamespace
      where ours.nspname = 'analytics' and c.relkind = 'v' and not has_table_privilege('callboard_bi', c.oid, 'select')`,
    broken: `revoke select on analytics.freshness from callboard_bi`,
  },
  {
    id: 'bi-login',
    rule: 'a BI login is a member of its group and nothing else, and has a limit and an expiry',
    class: 'dangerous',
    lets: 'The login of a BI tool has more than its group, no limit or no end.',
    offenders: `
      select rolname as name from pg_roles
      where rolname ~ '^bi_[0-9a-f]{24}$' and rolcanlogin
        and (rolconnlimit not between 1 and 10 or coalesce(rolvaliduntil = 'infinity', true)
          or array(select roleid::regrole::text from pg_auth_members where member = pg_roles.oid) <> '{callboard_bi}')`,
    broken: `create role bi_0123456789abcdef01234567 login connection limit 5 valid until '2030-01-01'; grant callboard_bi, callboard_api to bi_0123456789abcdef01234567`,
  },
  {
    id: 'memberships',
    rule: 'no login is a member of another role, except the migrator, the superadmins’ login, which has the API’s privileges, and the worker, which must first become the exporter',
    class: 'dangerous',
    lets: 'A login has the rights of another role, and sees what that may see.',
    offenders: `
      select format('%s of %s', l.rolname, r.rolname) as name from logins l, pg_roles r
      where l.oid <> r.oid and pg_has_role(l.oid, r.oid, 'member')
        and not (r.rolname = 'callboard_bi' or l.rolname = 'callboard_support' and r.rolname = 'callboard_api'
          or l.rolname = 'callboard_worker' and r.rolname = 'callboard_exporter' and not pg_has_role(l.oid, r.oid, 'usage'))`,
    broken: `grant callboard_definer to callboard_worker`,
  },
]
