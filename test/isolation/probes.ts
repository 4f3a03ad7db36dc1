import type postgres from 'postgres'
import type { Database } from '../support/helper.ts'
import type { Context } from './contexts.ts'
import { shared } from '../../src/policies/whose.ts'
import { changed, findTables, snapshot, type Table, type World } from './world.ts'

interface Column {
  name: string
  select: boolean
  insert: boolean
  update: boolean
}

/** A statement against a table, and whether it must always be refused. */
interface Probe {
  command: string
  sql: string
  parameters?: string[]
  mustFail?: boolean
}

/** The outcome of an attempt: the rows it returned or touched, or how it was refused. */
interface Attempt {
  rows: string[]
  count: number
  refused?: string
  /** Whether its transaction has an id, without which it cannot have changed any row. */
  isWriter: boolean
}

const columnsOf = ({ admin }: Database, { name }: Table) =>
  admin<Column[]>`
    select quote_ident(attname) as name, has_column_privilege('callboard_api', attrelid, attnum, 'select') as select,
      has_column_privilege('callboard_api', attrelid, attnum, 'insert') as insert,
      has_column_privilege('callboard_api', attrelid, attnum, 'update') as update
    from pg_attribute where attrelid = ${name}::regclass and attnum > 0 and not attisdropped
      -- A statement that writes a generated column fails before any policy is checked.
      and attgenerated = '' order by attnum`

const names = (columns: Column[]) => columns.map(({ name }) => name).join(', ')
const asText = (columns: Column[]) => `concat_ws(' | ', ${names(columns)})`

/** The statements that a table is tried with; `row` is one of the rows that must stay out of reach. */
function probes({ name }: Table, columns: Column[], row: string): Probe[] {
  const insertable = columns.filter(({ insert }) => insert)
  const updatable = columns.filter(({ update }) => update)
  const copy = (some: Column[]) =>
    `insert into ${name} (${names(some)}) select ${names(some)} from jsonb_populate_record(null::${name}, $1::text::jsonb)`
  const touch = (some: Column[]) => `update ${name} set ${some.map(c => `${c.name} = ${c.name}`).join(', ')}`
  const all: (Probe | false)[] = [
    { command: 'select', sql: `select to_jsonb(t) from ${name} t`, mustFail: !columns.every(c => c.select) },
    { command: 'insert', sql: copy(columns), parameters: [row], mustFail: true },
    insertable.length > 0 && { command: 'insert', sql: copy(insertable), parameters: [row] },
    { command: 'update', sql: touch(columns), mustFail: true },
    updatable.length > 0 && { command: 'update', sql: touch(updatable) },
    { command: 'delete', sql: `delete from ${name}` },
    { command: 'truncate', sql: `truncate ${name} cascade`, mustFail: true },
  ]
  return all.filter(probe => probe !== false)
}

async function attempt(sql: postgres.Sql, probe: Probe): Promise<Attempt> {
  try {
    const result = await sql.unsafe(probe.sql, probe.parameters ?? [])
    const [transaction] = await sql<{ isWriter: boolean }[]>`
      select pg_current_xact_id_if_assigned() is not null as "isWriter"`
    return {
      rows: result.map(row => Object.values(row as object).join()),
      count: result.count,
      isWriter: transaction?.isWriter ?? true,
    }
  } catch (error) {
    return {
      rows: [],
      count: 0,
      refused: (error as { code?: string }).code ?? String(error),
      isWriter: false,
    }
  } finally {
    // Not rolled back: what was changed must be found.
    await sql`commit`
    await sql`reset all`
  }
}

// For lack of a privilege, by a policy, by a trigger of ours that checks the caller, or by a foreign key,
// which includes the organization: see references.test.ts.
const isRefusal = (code: string) => code === '42501' || code === '23503' || /^PT4\d\d$/.test(code)

/** Tries every command on every table in a context, and reports what was seen or changed that must not be. */
export async function tryEverything(
  world: World,
  context: Context,
  here: postgres.Sql,
  elsewhere: postgres.Sql,
): Promise<string[]> {
  const { db } = world.server
  const target = world[context.target]
  const found: string[] = []
  const tables = await findTables(db)
  let before = await snapshot(db, tables, target)
  for (const table of tables) {
    const columns = await columnsOf(db, table)
    const readable = columns.filter(c => c.select)
    const isShared = shared.includes(table.name)
    const rows = (await db.admin.unsafe(
      `select to_jsonb(t)::text as whole, ${asText(readable.length > 0 ? readable : columns)} as text from ${table.name} t where ${table.rows}`,
      [target.organization],
    )) as unknown as { whole: string; text: string }[]
    const secret = new Set(isShared ? [] : rows.map(({ text }) => text))
    const reading: Probe[] =
      readable.length > 0 ? [{ command: 'select', sql: `select ${asText(readable)} from ${table.name}` }] : []
    for (const probe of [...reading, ...probes(table, columns, rows[0]?.whole ?? '{}')]) {
      const report = (what: string) =>
        found.push(`${context.name}: ${probe.command} on ${table.name} ${what} (${probe.sql})`)
      await here`begin`
      await context.open(here, world, elsewhere)
      const result = await attempt(here, probe)
      if (result.refused === undefined && probe.mustFail === true) report('is allowed')
      if (result.refused !== undefined && !isRefusal(result.refused))
        report(`fails by chance, with ${result.refused}`)
      if (result.rows.some(row => secret.has(row))) report('shows rows')
      if (!result.isWriter) continue
      const after = await snapshot(db, tables, target)
      for (const name of changed(before, after)) report(`changes rows of ${name}`)
      before = after
    }
  }
  for (const name of changed(before, await snapshot(db, tables, target)))
    found.push(`${context.name}: rows of ${name} have changed, but no known statement wrote them`)
  return found
}
