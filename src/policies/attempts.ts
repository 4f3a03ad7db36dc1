// The statements that a proof attempts: for each role every command on every table and view.
import type { TransactionSql } from 'postgres'
import { whose } from './whose.ts'

export const commands = ['select', 'insert', 'update', 'delete'] as const
export type Command = (typeof commands)[number]

/** A table or view, and what one role is granted on its columns. */
export interface Granted {
  role: string
  table: string
  isTable: boolean
  reads: string[]
  inserts: string[]
  updates: string[]
  /** Columns that can be written, of whatever they are granted. */
  columns: string[]
  hasOrganization: boolean
}
export interface Attempt {
  role: string
  table: string
  command: Command
  /** count: of A and of others. write: rows touched, of others only if `isOthers`. plan: only EXPLAIN. */
  kind: 'count' | 'write' | 'plan'
  sql: string
  /** Whether the rows it counts or touches can only be others'; otherwise whose they are is not said. */
  isOthers: boolean
}

/** More are not counted: whether there are any is what matters. */
export const most = 1000

export const grantedTo = (sql: TransactionSql, roles: string[]) => sql<Granted[]>`
  select r.rolname as role, c.oid::regclass::text as table, c.relkind in ('r', 'p', 'f') as "isTable",
    coalesce(array_agg(quote_ident(a.attname) order by a.attnum) filter (where has_column_privilege(r.oid, c.oid, a.attnum, 'select')), '{}') as reads,
    coalesce(array_agg(quote_ident(a.attname) order by a.attnum) filter (where a.attgenerated = '' and a.attidentity <> 'a' and has_column_privilege(r.oid, c.oid, a.attnum, 'insert')), '{}') as inserts,
    coalesce(array_agg(quote_ident(a.attname) order by a.attnum) filter (where a.attgenerated = '' and a.attidentity <> 'a' and has_column_privilege(r.oid, c.oid, a.attnum, 'update')), '{}') as updates,
    array_agg(quote_ident(a.attname) order by a.attnum) filter (where a.attgenerated = '' and a.attidentity <> 'a') as columns,
    bool_or(a.attname = 'organization_id') as "hasOrganization"
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join pg_roles r on r.rolname = any(${roles})
  where c.relkind in ('r', 'p', 'v', 'm', 'f')
    and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'graphile_migrate')
    -- Of an extension: a rule says what logins may do with it.
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
  group by 1, 2, 3 order by 1, 2`

export interface Organizations {
  own: string
  other: string
  /** Who belongs to the first. */
  people: string[]
}

const literal = (values: string[]) => `array[${values.map(value => `'${value}'`).join(', ')}]::uuid[]`

/** The condition on the rows of A that a role can state with the columns that it reads, if there is one. */
function ownRows(
  { table, reads, hasOrganization }: Granted,
  { own, people }: Organizations,
): string | undefined {
  const by: Record<string, [column: string, values: string[]]> = {
    'app.organizations': ['id', [own]],
    'app.users': ['id', people],
    'app.sessions': ['user_id', people],
  }
  const [column = '', values = []] =
    by[table] ?? (hasOrganization && !(table in whose) ? ['organization_id', [own]] : [])
  if (!reads.includes(column)) return undefined
  return values.length === 1 ? `${column} = '${values[0] ?? ''}'` : `${column} = any(${literal(values)})`
}

/**
 * The attempts of one role on one table. `row` is a row of another organization, as JSON, if there is one.
 */
export function attemptsOn(
  granted: Granted,
  organizations: Organizations,
  row: string | undefined,
  isReadOnly: boolean,
): Attempt[] {
  const { role, table, isTable, inserts, updates, columns, reads } = granted
  const own = ownRows(granted, organizations)
  const counted = (condition: string) =>
    `(select count(*) from (select 1 from ${table} where ${condition} limit ${most}) t)`
  const attempts: Attempt[] = [
    own === undefined
      ? {
          role,
          table,
          command: 'select',
          kind: 'count',
          isOthers: false,
          sql: `select null, count(*) from (select ${reads[0] ?? '1'} from ${table} limit ${most}) t`,
        }
      : {
          role,
          table,
          command: 'select',
          kind: 'count',
          isOthers: true,
          sql: `select ${counted(own)}, ${counted(`not (${own})`)}`,
        },
  ]
  if (!isTable) return attempts
  // What is not granted is attempted, too: that it is refused is what is to be proved.
  const into = inserts.length > 0 ? inserts : columns
  const set = updates[0] ?? columns[0] ?? ''
  const theirs = own === undefined ? 'true' : `not (${own})`
  // Nobody can say whose rows a statement without a condition touches.
  const isOthers = own !== undefined
  const kind = isReadOnly ? 'plan' : 'write'
  const explain = isReadOnly ? 'explain ' : ''
  const write = (command: Command, sql: string, of = isOthers): Attempt => ({
    role,
    table,
    command,
    kind,
    isOthers: of,
    sql: explain + sql,
  })
  return [
    ...attempts,
    write(
      'insert',
      `insert into ${table} (${into.join(', ')}) select ${into.join(', ')} from jsonb_populate_record(null::${table}, '${(row ?? '{}').replaceAll("'", "''")}'::jsonb)`,
      // Otherwise a default says whose it is.
      into.includes('organization_id'),
    ),
    write('update', `update ${table} set ${set} = ${set} where ${theirs}`),
    write('delete', `delete from ${table} where ${theirs}`),
  ]
}
