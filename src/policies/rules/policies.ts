import { commands, type Rule } from './rule.ts'

/** What must be true of tables, policies and rows. */
export const rulesOfPolicies: Rule[] = [
  {
    id: 'rls-forced',
    rule: 'row-level security is enabled and forced on every table',
    class: 'dangerous',
    lets: 'Whoever is granted it, or owns it, sees and changes the rows of all organizations.',
    offenders: `select name from tables where not relrowsecurity or not relforcerowsecurity`,
    broken: `alter table app.shows no force row level security`,
  },
  {
    id: 'grant-without-policy',
    rule: 'whatever a role is granted on a table is limited by a policy for that role and command',
    class: 'to be reviewed',
    lets: 'A grant that no policy limits shows nothing now, and everything as soon as row-level security is off.',
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
    id: 'policy-for-everybody',
    rule: 'no policy is for everybody, and none of a login’s is for all rows, except on reference tables',
    class: 'dangerous',
    lets: 'The policy shows its roles rows without asking whose they are.',
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
    id: 'permission-recorded',
    rule: 'a policy’s permission is recorded in app_private.table_permissions, and none is recorded without a policy',
    class: 'to be reviewed',
    lets: 'A function that checks what a policy asks for would check something else.',
    offenders: `
      select format('%s on %s: %s, noted %s', coalesce(p.command, n.command), coalesce(p.reloid, n.on_table)::regclass, p.permission, n.permission) as name
      from (select reloid, split_part(polname, '_', 1) as command, c.command as for_command, substring(condition from 'app\\.org_if(?:_reading)?\\(''([^'']*)''') as permission
        from policies join ${commands} on c.letter::"char" = polcmd where condition ~ 'app\\.org_if(_reading)?\\(' and on_table <> 'app.users') p
      full join app_private.table_permissions n on n.on_table = p.reloid and n.command = p.command
      where (p.permission, p.for_command) is distinct from (n.permission, n.command)`,
    broken: `alter policy delete_member on app.shows using (organization_id = (select app.org_if('shows.write')))`,
  },
  {
    id: 'changes-of-events',
    rule: 'the changes of a table’s events are seen with the permission to read the table',
    class: 'dangerous',
    lets: 'Who reads the event log sees the changes of rows that they may not read.',
    offenders: `
      select t.name from tables t
      join pg_trigger g on g.tgrelid = t.oid and g.tgname = '_900_events'
      left join app_private.event_nouns n on n.on_table = t.oid
      left join app_private.table_permissions p on p.on_table = t.oid and p.command = 'select'
      where n.on_table is null or n.permission is distinct from coalesce(p.permission, 'members.manage')`,
    broken: `update app_private.event_nouns set permission = 'shows.read' where noun = 'show_fee'`,
  },
  {
    id: 'parents-locked',
    rule: 'a row that is deleted with another cannot be entered under a deleted one',
    class: 'to be reviewed',
    lets: 'A row survives its deleted parent, where nobody sees or purges it.',
    offenders: `
      select format('%s of %s', c.conname, c.conrelid::regclass) as name
      from pg_constraint c
      join tables t on t.oid = c.conrelid
      join tables p on p.oid = c.confrelid
      where c.contype = 'f' and c.confdeltype = 'c' and c.confrelid <> 'app.organizations'::regclass
        -- Written only by commands that lock the itinerary, or the show.
        and c.conname not in ('itinerary_versions_itinerary_exists', 'settlements_organization_id_show_id_fkey', 'settlements_deal_exists')
        and (select count(*) = 2 from pg_attribute a where a.attrelid in (t.oid, p.oid) and a.attname = 'deletion_id' and not a.attisdropped)
        and not exists (select from pg_trigger g where g.tgrelid = t.oid and g.tgname = '_300_parents' and g.tgenabled = 'O'
          and position(convert_to(c.conname, 'UTF8') in g.tgargs) > 0)
        -- Parts of a show lock it in app_private.require_unsettled, which is called by this trigger.
        and not exists (select from pg_trigger g where g.tgrelid = t.oid and g.tgname = '_200_unsettled' and g.tgenabled = 'O')`,
    broken: `drop trigger _300_parents on app.guest_lists`,
  },
  {
    id: 'resource-writable',
    rule: 'on a table that the row commands accept, the API itself may write what they write',
    class: 'to be reviewed',
    lets: 'The row commands write on behalf of callers who could not do so themselves.',
    offenders: `
      select name from app_private.resources r
      where not has_any_column_privilege('callboard_api', 'app.' || quote_ident(name), 'insert')
        or not has_any_column_privilege('callboard_api', 'app.' || quote_ident(name), 'update')
        or not exists (select from app_private.table_permissions n where n.on_table = ('app.' || quote_ident(name))::regclass and n.command = 'delete')`,
    broken: `insert into app_private.resources (name, noun, fields, path) values ('memberships', 'member', 'member_rows', '/api/users')`,
  },
  {
    id: 'policy-reads-setting',
    rule: 'no policy reads a setting itself',
    class: 'dangerous',
    lets: 'Anybody can set a setting, and so choose whose rows they see.',
    offenders: `select name from policies where condition ~ 'current_setting'`,
    broken: `create policy select_setting on app.shows for select to callboard_api using (organization_id::text = current_setting('app.current_org'))`,
  },
  {
    id: 'policy-mentions-deletion',
    rule: 'no policy that limits reading mentions deleted_at of its own table',
    class: 'to be reviewed',
    lets: 'What deletes a row fails, since the row would disappear from its own policy.',
    offenders: `
      select p.name from policies p
      join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid and d.refclassid = 'pg_class'::regclass and d.refobjid = p.reloid
      join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
      where a.attname = 'deleted_at' and p.polcmd in ('r', '*')`,
    broken: `create policy select_living on app.shows for select to callboard_api
      using (organization_id = (select app.org_if('shows.read')) and deleted_at is null)`,
  },
  {
    id: 'policy-calls-by-row',
    rule: 'a function in a policy is wrapped in (select …), so that it is called once and not for each row',
    class: 'to be reviewed',
    lets: 'Reading is 10 to 1000 times slower.',
    offenders: `
      select name from policies
      where regexp_count(condition, '\\mapp(_private)?\\.\\w+\\(') <> regexp_count(condition, '\\( SELECT app(_private)?\\.\\w+\\(')`,
    broken: `create policy select_slowly on app.shows for select to callboard_api using (organization_id = app.org_if('shows.read'))`,
  },
  {
    id: 'policy-function-stable',
    rule: 'a function in a policy is stable, and does not forbid a parallel plan',
    class: 'to be reviewed',
    lets: 'Reading is slower, and an index is not used.',
    offenders: `
      select distinct f.name from functions f
      join pg_depend d on d.refclassid = 'pg_proc'::regclass and d.refobjid = f.oid and d.classid = 'pg_policy'::regclass
      where f.provolatile <> 's' or f.proparallel = 'u'`,
    broken: `alter function app.org_if(text) volatile`,
  },
  {
    id: 'signed-in-parallel',
    rule: 'what reads a signed context never runs in a parallel worker, which is not the backend that signed it',
    class: 'to be reviewed',
    lets: 'Queries with a parallel plan show nothing.',
    ifContextIs: 'signed',
    offenders: `
      select name from functions
      where proparallel = 's' and definition ~ '(context_signature|pg_backend_pid|app\\.(current_\\w+|org_if|org_if_reading|has_permission|require|require_reading)|app_private\\.context)\\('`,
    broken: `alter function app.current_user_id() parallel safe`,
  },
  {
    id: 'policy-cheapest',
    ifSuperuserSetUp: true,
    rule: 'the condition of a policy is the cheapest there is, so that it is evaluated first',
    class: 'dangerous',
    lets: 'EXPLAIN ANALYZE shows a login, query by query, what rows of other organizations contain.',
    offenders: `select oid::regprocedure::text as name from pg_proc where proname = 'uuid_eq' and procost > 0.001`,
    broken: `alter function pg_catalog.uuid_eq(uuid, uuid) cost 1`,
  },
]
