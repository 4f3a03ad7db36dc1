import { carrier } from '../support/helper.ts'

/** What must be true of the catalogue, whatever tables and functions are added. */
export interface Rule {
  rule: string
  /** Selects what breaks the rule; may use `ours` and `logins`, see below. */
  offenders: string
  /** A superuser's statement that breaks it, to prove that the rule would notice. */
  broken: string
  /** It holds only where contexts are carried in this way. */
  ifContextIs?: typeof carrier
}

/** Whether a rule holds for the database of the tests. */
export const applies = ({ ifContextIs = carrier }: Rule) => ifContextIs === carrier

/** Definitions that every rule starts with. */
export const definitions = `
  with ours as (
    select oid, nspname from pg_namespace
    where nspname !~ '^pg_' and nspname not in ('information_schema', 'public', 'graphile_migrate', 'graphile_worker')
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
    where name in ('app.permissions', 'app.roles', 'app.role_permissions', 'app.show_status_transitions', 'app.currencies',
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

const commands = `(values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('d', 'delete')) as c (letter, command)`

export const rules: Rule[] = [
  {
    rule: 'row-level security is enabled and forced on every table',
    offenders: `select name from tables where not relrowsecurity or not relforcerowsecurity`,
    broken: `alter table app.shows no force row level security`,
  },
  {
    rule: 'whatever a role is granted on a table is limited by a policy for that role and command',
    offenders: `
      select format('%s for %s of %s', t.name, c.command, r.rolname) as name
      from tables t, ${commands}, pg_roles r
      where (r.oid in (select oid from logins) or r.rolname in ('callboard_definer', 'callboard_rollup', 'callboard_reader'))
        and case when c.letter = 'd' then has_table_privilege(r.oid, t.oid, c.command) else has_any_column_privilege(r.oid, t.oid, c.command) end
        and not exists (select from policies p
          where p.reloid = t.oid and p.polpermissive and exists (select from unnest(p.polroles) x where pg_has_role(r.oid, x, 'member')) and p.polcmd in ('*', c.letter::"char"))`,
    broken: `drop policy update_member on app.venues`,
  },
  {
    rule: 'no policy is for everybody, and none of a login’s is for all rows, except on reference tables',
    offenders: `
      select name from policies p
      where 0 = any (polroles)
        or polroles && (select array_agg(oid) from logins) and condition !~ 'app\\.(org_if|org_if_reading|current_user_id|current_org)\\('
          and reloid not in (select oid from reference_tables)
          -- An auditor reads all events, and nothing else.
          and not (polroles = array['callboard_auditor'::regrole::oid] and polcmd = 'r' and on_table in ('app.event_log', 'app.event_seals'))`,
    broken: `create policy select_everybody on app.shows for select to callboard_api using (status = 'confirmed')`,
  },
  {
    rule: 'a policy’s permission is recorded in app_private.table_permissions, and none is recorded without a policy',
    offenders: `
      select format('%s on %s: %s, noted %s', coalesce(p.command, n.command), coalesce(p.reloid, n.on_table)::regclass, p.permission, n.permission) as name
      from (select reloid, split_part(polname, '_', 1) as command, c.command as for_command, substring(condition from 'app\\.org_if(?:_reading)?\\(''([^'']*)''') as permission
        from policies join ${commands} on c.letter::"char" = polcmd where condition ~ 'app\\.org_if(_reading)?\\(' and on_table <> 'app.users') p
      full join app_private.table_permissions n on n.on_table = p.reloid and n.command = p.command
      where (p.permission, p.for_command) is distinct from (n.permission, n.command)`,
    broken: `alter policy delete_member on app.shows using (organization_id = (select app.org_if('shows.write')))`,
  },
  {
    rule: 'the changes of a table’s events are seen with the permission to read the table',
    offenders: `
      select t.name from tables t
      join pg_trigger g on g.tgrelid = t.oid and g.tgname = '_900_events'
      left join app_private.event_nouns n on n.on_table = t.oid
      left join app_private.table_permissions p on p.on_table = t.oid and p.command = 'select'
      where n.on_table is null or n.permission is distinct from coalesce(p.permission, 'members.manage')`,
    broken: `update app_private.event_nouns set permission = 'shows.read' where noun = 'show_fee'`,
  },
  {
    rule: 'a row that is deleted with another cannot be entered under a deleted one',
    offenders: `
      select format('%s of %s', c.conname, c.conrelid::regclass) as name
      from pg_constraint c
      join tables t on t.oid = c.conrelid
      join tables p on p.oid = c.confrelid
      where c.contype = 'f' and c.confdeltype = 'c' and c.confrelid <> 'app.organizations'::regclass
        -- Written only by commands that lock the itinerary, or the show.
        and c.conname not in ('itinerary_versions_itinerary_exists', 'settlements_organization_id_show_id_fkey')
        and (select count(*) = 2 from pg_attribute a where a.attrelid in (t.oid, p.oid) and a.attname = 'deletion_id' and not a.attisdropped)
        and not exists (select from pg_trigger g where g.tgrelid = t.oid and g.tgname = '_300_parents' and g.tgenabled = 'O'
          and position(convert_to(c.conname, 'UTF8') in g.tgargs) > 0)
        -- Parts of a show lock it in app_private.require_unsettled, which is called by this trigger.
        and not exists (select from pg_trigger g where g.tgrelid = t.oid and g.tgname = '_200_unsettled' and g.tgenabled = 'O')`,
    broken: `drop trigger _300_parents on app.guest_lists`,
  },
  {
    rule: 'on a table that the row commands accept, the API itself may write what they write',
    offenders: `
      select name from app_private.resources r
      where not has_any_column_privilege('callboard_api', 'app.' || quote_ident(name), 'insert')
        or not has_any_column_privilege('callboard_api', 'app.' || quote_ident(name), 'update')
        or not exists (select from app_private.table_permissions n where n.on_table = ('app.' || quote_ident(name))::regclass and n.command = 'delete')`,
    broken: `insert into app_private.resources (name, noun, fields, path) values ('memberships', 'member', 'member_rows', '/api/users')`,
  },
  {
    rule: 'no policy reads a setting itself',
    offenders: `select name from policies where condition ~ 'current_setting'`,
    broken: `create policy select_setting on app.shows for select to callboard_api using (organization_id::text = current_setting('app.current_org'))`,
  },
  {
    rule: 'no policy that limits reading mentions deleted_at of its own table',
    offenders: `
      select p.name from policies p
      join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid and d.refclassid = 'pg_class'::regclass and d.refobjid = p.reloid
      join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
      where a.attname = 'deleted_at' and p.polcmd in ('r', '*')`,
    broken: `create policy select_living on app.shows for select to callboard_api
      using (organization_id = (select app.org_if('shows.read')) and deleted_at is null)`,
  },
  {
    rule: 'a function in a policy is wrapped in (select …), so that it is called once and not for each row',
    offenders: `
      select name from policies
      where regexp_count(condition, '\\mapp(_private)?\\.\\w+\\(') <> regexp_count(condition, '\\( SELECT app(_private)?\\.\\w+\\(')`,
    broken: `create policy select_slowly on app.shows for select to callboard_api using (organization_id = app.org_if('shows.read'))`,
  },
  {
    rule: 'a function in a policy is stable, and does not forbid a parallel plan',
    offenders: `
      select distinct f.name from functions f
      join pg_depend d on d.refclassid = 'pg_proc'::regclass and d.refobjid = f.oid and d.classid = 'pg_policy'::regclass
      where f.provolatile <> 's' or f.proparallel = 'u'`,
    broken: `alter function app.org_if(text) volatile`,
  },
  {
    rule: 'what reads a signed context never runs in a parallel worker, which is not the backend that signed it',
    ifContextIs: 'signed',
    offenders: `
      select name from functions
      where proparallel = 's' and definition ~ '(context_signature|pg_backend_pid|app\\.(current_\\w+|org_if|org_if_reading|has_permission|require|require_reading)|app_private\\.context)\\('`,
    broken: `alter function app.current_user_id() parallel safe`,
  },
  {
    rule: 'the condition of a policy is the cheapest there is, so that it is evaluated first',
    offenders: `select oid::regprocedure::text as name from pg_proc where proname = 'uuid_eq' and procost > 0.001`,
    broken: `alter function pg_catalog.uuid_eq(uuid, uuid) cost 1`,
  },
  {
    rule: 'keys of an organization begin with it, so that they reveal to nobody else what exists',
    offenders: `
      select c.conname as name from tenant_tables t join pg_constraint c on c.conrelid = t.oid
      where c.contype in ('p', 'u', 'x') and c.conkey[1] <> t.organization
      union all
      select i.indexrelid::regclass::text from tenant_tables t join pg_index i on i.indrelid = t.oid
      where i.indisunique and i.indkey[0] <> t.organization
        -- The hash of 244 random bits: nobody can guess one that exists.
        and i.indexrelid <> 'app.invitations_token_hash_idx'::regclass`,
    broken: `create unique index on app.venues (name)`,
  },
  {
    rule: 'a reference between tables of an organization includes the organization',
    offenders: `
      select c.conname as name from tenant_tables t join pg_constraint c on c.conrelid = t.oid
      join tables parent on parent.oid = c.confrelid
      where c.contype = 'f'
        and (parent.oid in (select oid from tenant_tables) and (c.conkey[1] <> t.organization or c.confkey[1] <> parent.organization)
          or parent.name = 'app.organizations' and c.conkey <> array[t.organization])`,
    broken: `create unique index ids on app.venues (id); alter table app.shows add foreign key (venue_id) references app.venues (id)`,
  },
  {
    rule: 'no login chooses the organization of a row',
    offenders: `
      select format('%s of %s by %s', command, t.name, rolname) as name from tables t, logins, unnest(array['insert', 'update']) as command
      where t.organization is not null and has_column_privilege(logins.oid, t.oid, t.organization, command)`,
    broken: `grant insert (organization_id) on app.shows to callboard_api`,
  },
  {
    rule: 'no login may truncate a table, refer to it, or put triggers on it',
    offenders: `
      select format('%s of %s by %s', command, t.name, rolname) as name from tables t, logins, unnest(array['truncate', 'references', 'trigger']) as command
      where has_table_privilege(logins.oid, t.oid, command)`,
    broken: `grant truncate on app.shows to callboard_api`,
  },
  // EXPLAIN ANALYZE counts the rows that an index found and the policy then refused.
  {
    rule: 'no index on what a login may read begins with something guessable: text, numbers, times',
    offenders: `
      select i.indexrelid::regclass::text as name
      from pg_index i join tables t on t.oid = i.indrelid join pg_attribute a on a.attrelid = t.oid and a.attnum = i.indkey[0]
      where a.atttypid <> 'uuid'::regtype and t.oid not in (select oid from reference_tables)
        and exists (select from logins where has_column_privilege(logins.oid, t.oid, a.attnum, 'select'))`,
    broken: `create index on app.users (email)`,
  },
  {
    rule: 'nor does one on what the views of analytics are built on',
    offenders: `
      select i.indexrelid::regclass::text as name
      from pg_index i join rollups r on r.oid = i.indrelid join pg_attribute a on a.attrelid = r.oid and a.attnum = i.indkey[0]
      where a.attname <> 'organization_id'
      union all
      select i.indexrelid::regclass::text from pg_index i join rollups r on r.oid = i.indrelid where i.indkey[0] = 0`,
    broken: `create materialized view analytics_private.loot as select id as organization_id, name from app.organizations;
      create index on analytics_private.loot (name)`,
  },
  {
    rule: 'the planner keeps no statistics of text and numbers that only one organization knows, because EXPLAIN would reveal them',
    offenders: `
      select format('%s.%s', t.name, a.attname) as name from tables t join pg_attribute a on a.attrelid = t.oid
      where a.attnum > 0 and not a.attisdropped and coalesce(a.attstattarget, -1) <> 0 and t.oid not in (select oid from reference_tables)
        and a.atttypid not in ('uuid'::regtype, 'boolean'::regtype, 'date'::regtype, 'time'::regtype, 'timestamptz'::regtype)
        and exists (select from logins where has_column_privilege(logins.oid, t.oid, a.attnum, 'select'))
        -- One of a few well-known values.
        and a.attname not in ('status', 'role', 'country', 'currency', 'time_zone', 'revoked_because', 'version', 'kind', 'payment_status', 'base_currency')
      union all
      select format('column %s of %s', a.attnum, i.indexrelid::regclass) from tables t join pg_index i on i.indrelid = t.oid
      join pg_attribute a on a.attrelid = i.indexrelid and coalesce(a.attstattarget, -1) <> 0
      where i.indkey[a.attnum - 1] = 0 and has_any_column_privilege('callboard_api', t.oid, 'select')`,
    broken: `alter table app.shows alter column notes set statistics 100`,
  },
  {
    rule: 'nor of those that the views of analytics are built on',
    // Comparing numerics is not leakproof, so estimates know nothing of them.
    offenders: `
      select format('%s.%s', r.name, a.attname) as name from rollups r join pg_attribute a on a.attrelid = r.oid
      where a.attnum > 0 and not a.attisdropped and coalesce(a.attstattarget, -1) <> 0
        and a.atttypid not in ('uuid'::regtype, 'boolean'::regtype, 'date'::regtype, 'time'::regtype, 'timestamptz'::regtype, 'numeric'::regtype)
        and a.attname not in ('status', 'role', 'country', 'currency', 'time_zone', 'version', 'kind', 'payment_status', 'base_currency')`,
    broken: `create materialized view analytics_private.loot as select id as organization_id, name from app.organizations`,
  },
]
