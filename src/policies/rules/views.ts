import type { Rule } from './rule.ts'

/** What must be true of views, figures and owners. */
export const rulesOfViews: Rule[] = [
  {
    id: 'owners',
    rule: 'everything belongs to a role that cannot log in',
    class: 'dangerous',
    lets: 'Whoever logs in as the owner can drop what protects it.',
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
    id: 'view-rights',
    rule: 'a view obeys its reader’s policies, is a security barrier of analytics, or belongs to the reader',
    class: 'dangerous',
    lets: 'The view reads with its owner’s rights, for whoever may read it.',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join ours on ours.oid = c.relnamespace
      where c.relkind = 'v' and exists (select from logins where has_any_column_privilege(logins.oid, c.oid, 'select'))
        and not coalesce(c.reloptions && '{security_invoker=true,security_invoker=on}', false)
        and not (ours.nspname = 'analytics' and coalesce('security_barrier=true' = any (c.reloptions), false) and c.relowner = 'callboard_rollup'::regrole)
        and not (c.relowner = 'callboard_reader'::regrole and c.oid = 'app.readable_events'::regclass)`,
    broken: `alter view app.show_rows set (security_invoker = false)`,
  },
  {
    id: 'reader-policies',
    rule: 'the reader has the policies of members and no others, and is a member of nothing',
    class: 'dangerous',
    lets: 'app.readable_events shows members more than their own policies do.',
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
    id: 'view-filters',
    rule: 'a view of figures compares the organization of its rows with the reader’s, or has no rows of organizations',
    class: 'dangerous',
    lets: 'The view shows the figures of other organizations.',
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
    id: 'statistics-of-figures',
    rule: 'the planner keeps no statistics of figures either',
    class: 'dangerous',
    lets: 'EXPLAIN reveals values that only one organization knows.',
    offenders: `
      select format('%s.%s', c.oid::regclass, a.attname) as name from pg_class c join ours on ours.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where c.relkind = 'm' and coalesce(a.attstattarget, -1) <> 0 and a.atttypid not in ('uuid'::regtype, 'date'::regtype)
        and a.attname not in ('status', 'currency', 'base_currency')`,
    broken: `alter materialized view analytics_private.finance_by_month alter column records set statistics 100`,
  },
  {
    id: 'comments-of-views',
    rule: 'each view of figures and each of its columns has a comment, which BI tools show',
    class: 'to be reviewed',
    lets: 'BI tools cannot say what the column is.',
    offenders: `
      select format('%s.%s', c.oid::regclass, a.attname) as name from pg_class c join ours on ours.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where ours.nspname = 'analytics' and c.relkind = 'v' and col_description(c.oid, a.attnum) is null`,
    broken: `comment on column analytics.finance_by_month.month is null`,
  },
  {
    id: 'materialized-view-read',
    rule: 'no login reads a materialized view, which has no policies',
    class: 'dangerous',
    lets: 'It has no policies: who reads it sees the rows of all organizations.',
    offenders: `
      select c.oid::regclass::text as name from pg_class c join ours on ours.oid = c.relnamespace, logins
      where c.relkind in ('m', 'f') and has_any_column_privilege(logins.oid, c.oid, 'select')`,
    broken: `create materialized view app.numbers as select count(*) from app.shows; grant select on app.numbers to callboard_api`,
  },
  {
    id: 'comments',
    rule: 'everything has a comment',
    class: 'to be reviewed',
    lets: 'Nobody knows what it is for.',
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
]
