// The proof: each role attempts each command on each table and view in each context, and what is seen, touched or
// refused is what the database says, not what its catalogue promises. Everything is rolled back.
import { readFileSync } from 'node:fs'
import type { TransactionSql } from 'postgres'
import { root } from '../root.ts'
import { type Attempt, attemptsOn, type Command, grantedTo, most } from './attempts.ts'
import { type Context, contextsOf, findOrganizations, type Stage } from './stage.ts'
import { shared, sharedViews, whose } from './whose.ts'

const attempts = readFileSync(new URL('db/policies/attempts.sql', root), 'utf8')

/** What came of one attempt. */
export interface Cell {
  role: string
  table: string
  command: Command
  context: string
  /** Rows of A that were seen, or of whoever if nobody can tell. */
  own?: number
  /** Rows of others that were seen or touched. */
  others?: number
  /** The code of the error with which it was refused, and its message. */
  refused?: string
  message?: string
  /** Planned, but not run: the login may try it. */
  isPlanned?: boolean
  /** There are no rows of others, so that it proves nothing. */
  onNothing?: boolean
  /** Whether `others` are certainly of other organizations. */
  isCertain: boolean
}
export interface Proof {
  cells: Cell[]
  /** The organizations, by their names in the contexts. */
  a: string
  b: string
  /** Tables without rows of others, or of A. */
  empty: string[]
  /** Contexts that could not be attempted, with the reason. */
  unproved: string[]
}

export interface ProofOptions {
  isReadOnly?: boolean
  /** Slugs of A and of B; otherwise two are chosen. */
  a?: string
  b?: string
  /** The time for what one role attempts in one context. */
  timeout?: string
}

const roles = ['api', 'support', 'worker', 'exporter', 'auditor', 'bi'].map(name => `callboard_${name}`)

/** Attempts everything, in a transaction of a superuser that is rolled back. */
export async function prove(sql: TransactionSql, options: ProofOptions = {}): Promise<Proof> {
  const { isReadOnly = false, timeout = '30s' } = options
  await sql`select set_config('search_path', '', true), set_config('lock_timeout', '1s', true), set_config('statement_timeout', ${timeout}, true)`
  const stage = await findOrganizations(sql, options)
  const granted = await grantedTo(sql, roles)
  const rows = await rowsOfOthers(sql, [...new Set(granted.map(({ table }) => table))], stage)
  const cells: Cell[] = []
  const unproved: string[] = []
  for (const role of roles) {
    const all = granted
      .filter(one => one.role === role)
      .flatMap(one => attemptsOn(one, stage, rows.get(one.table)?.row, isReadOnly))
    for (const context of contextsOf(role, stage)) {
      try {
        const outcomes = await sql.savepoint(tx => attempt(tx, context, all))
        cells.push(...all.map((one, n) => cellOf(one, context.name, outcomes[n], rows.get(one.table))))
      } catch (error) {
        unproved.push(`${role}, ${context.name}: ${(error as Error).message}`)
      }
    }
  }
  const empty = [...rows].filter(([, { own, others }]) => own === 0 || others === 0).map(([table]) => table)
  return { cells, a: stage.a, b: stage.b, empty, unproved }
}

type Outcome = [own: number | string | null, others: number | string | null]

async function attempt(sql: TransactionSql, context: Context, all: Attempt[]): Promise<Outcome[]> {
  const statements = JSON.stringify(all.map(one => ({ kind: one.kind, sql: one.sql })))
  await sql`select set_config('audit.enter', ${context.enter}, true), set_config('audit.attempts', ${statements}, true)`
  await sql.unsafe(attempts)
  const [row] = await sql<[{ results: string }]>`select current_setting('audit.results') as results`
  return (JSON.parse(row.results) as string[]).map(text => JSON.parse(text) as Outcome)
}

interface Rows {
  own: number
  others: number
  row?: string
  /** It shows a superuser something else than a member, so that it is not known how many rows A has. */
  isView?: boolean
}

function cellOf(
  { role, table, command, kind, isOthers }: Attempt,
  context: string,
  outcome: Outcome | undefined,
  rows: Rows | undefined,
): Cell {
  const cell: Cell = { role, table, command, context, isCertain: isOthers }
  const [first, second] = outcome ?? ['', 'not attempted']
  if (typeof first === 'string') return { ...cell, refused: first, message: String(second) }
  if (kind === 'plan') return { ...cell, isPlanned: true }
  const others = Number(second)
  const onNothing = others === 0 && rows?.others === 0
  // Without a condition, what is more than A's own rows is of others.
  if (!isOthers && command === 'select') {
    const more =
      rows === undefined || [...shared, ...sharedViews].includes(table) || rows.isView
        ? 0
        : Math.max(0, others - rows.own)
    return {
      ...cell,
      own: others - more,
      others: more,
      isCertain: more > 0 && rows?.own !== most,
      ...(onNothing && { onNothing }),
    }
  }
  return { ...cell, ...(first !== null && { own: first }), others, ...(onNothing && { onNothing }) }
}

/** How many rows A and others have, up to a limit, and one of another organization, as a superuser sees them. */
async function rowsOfOthers(
  sql: TransactionSql,
  tables: string[],
  { own, hasOrganization }: Stage,
): Promise<Map<string, Rows>> {
  const found = new Map<string, Rows>()
  for (const table of tables) {
    const condition =
      whose[table]?.replaceAll('$1', `'${own}'`) ??
      (hasOrganization.has(table) ? `organization_id = '${own}'` : undefined)
    const of = (where: string) =>
      `(select count(*)::integer from (select 1 from ${table} where ${where} limit ${most}) t)`
    const [row] = await sql.unsafe<Rows[]>(
      condition === undefined
        ? `select ${of('true')} as own, ${of('true')} as others, (select to_jsonb(t)::text from ${table} t limit 1) as row`
        : `select ${of(condition)} as own, ${of(`not (${condition})`)} as others,
            (select to_jsonb(t)::text from ${table} t where not (${condition}) limit 1) as row`,
    )
    if (row) found.set(table, { ...row, isView: condition === undefined && !shared.includes(table) })
  }
  return found
}
