import { biAdmins, type Rule } from './rule.ts'

// Called for every statement under a policy, and about nothing but the caller's own context.
const contextFunctions = [
  'enter(text,uuid,text,inet)',
  'org_if(text)',
  'org_if_reading(text)',
  'current_org()',
  'current_user_id()',
  'current_session_id()',
]

/** What must be true of functions. */
export const rulesOfFunctions: Rule[] = [
  {
    id: 'definer-owner',
    rule: 'a SECURITY DEFINER function belongs to callboard_definer, except those that create tables, compute figures and create roles',
    class: 'dangerous',
    lets: 'Whoever may call it has the rights of its owner, which are more than those of callboard_definer.',
    offenders: `
      select name from functions where prosecdef and proowner <> 'callboard_definer'::regrole
        and not (name = 'app.maintain_event_partitions()' and proowner = 'callboard_owner'::regrole)
        and not (name in ('app.refresh_figures(text,jsonb)', 'app.check_figures(jsonb)', 'app.take_pipeline_snapshots(jsonb)', 'analytics_private.mark_changed(uuid,text[],timestamp with time zone)',
            'analytics_private.take_back_times()')
          and proowner = 'callboard_rollup'::regrole)
        and not (name in ${biAdmins} and proowner = 'callboard_bi_admin'::regrole)`,
    broken: `alter function app.search_shows(text) owner to callboard_owner`,
  },
  {
    id: 'search-path',
    rule: 'a function sets its search_path, or was parsed when it was created',
    class: 'dangerous',
    lets: 'Whoever calls it can put own functions and tables in place of those that it means.',
    offenders: `
      select name from functions
      where prosqlbody is null and not coalesce('search_path=""' = any (proconfig), false)`,
    broken: `alter function app.search_shows(text) reset search_path`,
  },
  {
    id: 'definer-silent',
    rule: 'a SECURITY DEFINER function that a login may call sends no messages, which would reveal its values',
    class: 'dangerous',
    lets: 'Its messages show the caller values that it sees and the caller does not.',
    offenders: `
      select name from functions
      where prosecdef and not coalesce('client_min_messages=error' = any (proconfig), false)
        and name not in (${contextFunctions.map(name => `'app.${name}'`).join(', ')})
        and exists (select from logins where has_function_privilege(logins.oid, functions.oid, 'execute') and has_schema_privilege(logins.oid, pronamespace, 'usage'))`,
    broken: `alter function app.forget_password(text) reset client_min_messages`,
  },
  {
    id: 'public-executes',
    rule: 'PUBLIC may execute no function',
    class: 'dangerous',
    lets: 'Every login of the server may call it, those of BI tools included.',
    offenders: `select name from functions where has_function_privilege('public', oid, 'execute')`,
    broken: `grant execute on function app.uuid_v7() to public`,
  },
  {
    id: 'public-will-execute',
    rule: 'and will not be able to execute new ones',
    class: 'dangerous',
    lets: 'Every login of the server may call what is created next.',
    offenders: `
      select r.rolname as name from pg_roles r
      where r.rolname in ('callboard_owner', 'callboard_definer', 'callboard_rollup')
        and not exists (select from pg_default_acl d where d.defaclrole = r.oid and d.defaclnamespace = 0 and d.defaclobjtype = 'f'
          and not exists (select from aclexplode(d.defaclacl) where grantee = 0))`,
    broken: `alter default privileges for role callboard_definer grant execute on functions to public`,
  },
]
