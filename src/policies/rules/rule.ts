import type { Carrier } from '../../database/context.ts'
import type { Class } from '../finding.ts'

/** What must be true of the catalogue, whatever tables and functions are added. */
export interface Rule {
  /** A short name, for exceptions and other tools. */
  id: string
  rule: string
  class: Class
  /** What a breach lets whom see or do. */
  lets: string
  /** Selects what breaks the rule; may use the names of `definitions`. */
  offenders: string
  /** A superuser's statement that breaks it: the tests prove with it that the rule would notice. */
  broken: string
  /** Only a superuser can look. */
  needs?: 'superuser'
  /** It holds only where contexts are carried in this way. */
  ifContextIs?: Carrier
  /** It holds only where a superuser has run db/database.sql: elsewhere the hardenings are missing, which is drift. */
  ifSuperuserSetUp?: true
}

// What creates, changes and drops the logins of BI tools, ends their connections, and looks at verifiers: db/database.sql.
export const biAdmins = `('app_private.make_bi_role(uuid,text,integer,integer,timestamp with time zone)', 'app_private.let_bi_role(uuid,boolean)',
  'app_private.drop_bi_role(uuid)', 'app_private.end_bi_sessions(uuid,interval)', 'app_private.end_bi_before(uuid,timestamp with time zone)', 'app_private.bi_role_has(uuid,text)', 'app_private.login_verifiers(bytea)')`

/** Definitions that every rule starts with. */
export const definitions = `
  with ours as (
    select oid, nspname from pg_namespace
    where nspname !~ '^pg_' and nspname not in ('information_schema', 'public', 'graphile_migrate', 'graphile_worker')
  ),
  -- Who has set up a server on which nobody is a superuser administers all our roles.
  administrators as (
    select r.oid, r.rolname from pg_roles r
    join pg_proc p on p.pronamespace = to_regnamespace('app_private') and p.proname = 'set_up_by' and p.prosrc = format('select %L::name', r.rolname)
  ),
  -- Every role that can connect, except the migrator, who has all the owner's privileges.
  logins as (
    select oid, rolname from pg_roles
    where rolname ~ '^callboard_'
      and rolname not in ('callboard_owner', 'callboard_definer', 'callboard_rollup', 'callboard_reader', 'callboard_bi_admin', 'callboard_migrator')
  ),
  -- What CREATE EXTENSION created: only functions of types, in a schema that no login may use.
  of_extensions as (select classid, objid from pg_depend where deptype = 'e'),
  tables as (
    select c.*, c.oid::regclass::text as name,
      (select attnum from pg_attribute a where a.attrelid = c.oid and a.attname = 'organization_id') as organization
    from pg_class c join ours on ours.oid = c.relnamespace where c.relkind in ('r', 'p')
  ),
  -- Belong to an organization. The exceptions only mention one: a session where its user works, a
  -- slug whose it is, a grant where a superadmin may look, a login of a BI tool what it reads; they are looked up before
  -- there is an organization.
  tenant_tables as (
    select * from tables where organization is not null and name not in ('app.sessions', 'app_private.slugs', 'app_private.support_grants', 'app_private.bi_logins')
  ),
  -- The same for everybody.
  reference_tables as (
    select * from tables
    where name in ('app.permissions', 'app.roles', 'app.role_permissions', 'app.show_status_transitions', 'app.currencies', 'app.countries',
      'app.finance_record_status_transitions')
  ),
  -- What the views of analytics are built on. A login reads it through them, and EXPLAIN reveals the rest.
  rollups as (
    select c.oid, c.oid::regclass::text as name from pg_class c
    where c.relkind in ('m', 'r', 'p')
      and (c.relnamespace = 'analytics_private'::regnamespace
        or exists (select from pg_rewrite w join pg_class v on v.oid = w.ev_class and v.relnamespace = 'analytics'::regnamespace
          join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass where d.refobjid = c.oid))
      and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'organization_id')
  ),
  functions as (
    select p.*, p.oid::regprocedure::text as name, n.nspname, pg_get_functiondef(p.oid) as definition
    from pg_proc p join ours n on n.oid = p.pronamespace
    where p.prokind in ('f', 'p') and ('pg_proc'::regclass, p.oid) not in (select * from of_extensions)
  ),
  policies as (
    select p.*, t.name as on_table, p.polname || ' on ' || t.name as name, t.oid as reloid,
      concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) as condition
    from pg_policy p join tables t on t.oid = p.polrelid
  )`

/** The commands of policies, with their letters in pg_policy. */
export const commands = `(values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('d', 'delete')) as c (letter, command)`
