import type { Rule } from './rule.ts'

/** What must be true of keys, references, grants on them, and of what EXPLAIN could reveal. */
export const rulesOfKeys: Rule[] = [
  {
    id: 'key-begins-with-organization',
    rule: 'keys of an organization begin with it, so that they reveal to nobody else what exists',
    class: 'dangerous',
    lets: 'An error for a duplicate tells one organization what another has.',
    offenders: `
      select c.conname as name from tenant_tables t join pg_constraint c on c.conrelid = t.oid
      where c.contype in ('p', 'u', 'x') and c.conkey[1] <> t.organization
      union all
      select i.indexrelid::regclass::text from tenant_tables t join pg_index i on i.indrelid = t.oid
      where i.indisunique and i.indkey[0] <> t.organization`,
    broken: `create unique index on app.venues (name)`,
  },
  {
    id: 'reference-includes-organization',
    rule: 'a reference between tables of an organization includes the organization',
    class: 'dangerous',
    lets: 'A row may refer to a row of another organization, and learn that it exists.',
    offenders: `
      select c.conname as name from tenant_tables t join pg_constraint c on c.conrelid = t.oid
      join tables parent on parent.oid = c.confrelid
      where c.contype = 'f'
        and (parent.oid in (select oid from tenant_tables) and (c.conkey[1] <> t.organization or c.confkey[1] <> parent.organization)
          or parent.name = 'app.organizations' and c.conkey <> array[t.organization])`,
    broken: `create unique index ids on app.venues (id); alter table app.shows add foreign key (venue_id) references app.venues (id)`,
  },
  {
    id: 'organization-chosen',
    rule: 'no login chooses the organization of a row',
    class: 'dangerous',
    lets: 'A login writes rows into other organizations, as far as policies let it.',
    offenders: `
      select format('%s of %s by %s', command, t.name, rolname) as name from tables t, logins, unnest(array['insert', 'update']) as command
      where t.organization is not null and has_column_privilege(logins.oid, t.oid, t.organization, command)`,
    broken: `grant insert (organization_id) on app.shows to callboard_api`,
  },
  {
    id: 'truncate-references-trigger',
    rule: 'no login may truncate a table, refer to it, or put triggers on it',
    class: 'dangerous',
    lets: 'No policy limits these: TRUNCATE takes the rows of all organizations, a trigger runs as whoever writes.',
    offenders: `
      select format('%s of %s by %s', command, t.name, rolname) as name from tables t, logins, unnest(array['truncate', 'references', 'trigger']) as command
      where has_table_privilege(logins.oid, t.oid, command)`,
    broken: `grant truncate on app.shows to callboard_api`,
  },
  // EXPLAIN ANALYZE counts the rows that an index found and the policy then refused.
  {
    id: 'index-guessable',
    rule: 'no index on what a login may read begins with something guessable: text, numbers, times',
    class: 'dangerous',
    lets: 'EXPLAIN ANALYZE counts the rows of all organizations that the index found.',
    offenders: `
      select i.indexrelid::regclass::text as name
      from pg_index i join tables t on t.oid = i.indrelid join pg_attribute a on a.attrelid = t.oid and a.attnum = i.indkey[0]
      where a.atttypid <> 'uuid'::regtype and t.oid not in (select oid from reference_tables)
        and exists (select from logins where has_column_privilege(logins.oid, t.oid, a.attnum, 'select'))`,
    broken: `create index on app.users (email)`,
  },
  {
    id: 'index-guessable-figures',
    rule: 'nor does one on what the views of analytics are built on',
    class: 'dangerous',
    lets: 'EXPLAIN ANALYZE counts the rows of all organizations that the index found.',
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
    id: 'statistics-reveal',
    rule: 'the planner keeps no statistics of text and numbers that only one organization knows, because EXPLAIN would reveal them',
    class: 'dangerous',
    lets: 'EXPLAIN reveals values that only one organization knows.',
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
    id: 'statistics-reveal-figures',
    rule: 'nor of those that the views of analytics are built on',
    class: 'dangerous',
    lets: 'EXPLAIN reveals values that only one organization knows.',
    // Comparing numerics is not leakproof, so estimates know nothing of them.
    offenders: `
      select format('%s.%s', r.name, a.attname) as name from rollups r join pg_attribute a on a.attrelid = r.oid
      where a.attnum > 0 and not a.attisdropped and coalesce(a.attstattarget, -1) <> 0
        and a.atttypid not in ('uuid'::regtype, 'boolean'::regtype, 'date'::regtype, 'time'::regtype, 'timestamptz'::regtype, 'numeric'::regtype)
        and a.attname not in ('status', 'role', 'country', 'currency', 'time_zone', 'version', 'kind', 'payment_status', 'base_currency')`,
    broken: `create materialized view analytics_private.loot as select id as organization_id, name from app.organizations`,
  },
]
