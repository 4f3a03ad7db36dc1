// The facts that a database and its server should have, as db/policies/committed.txt lists them. They are committed,
// because the server of a live database may not allow a second one to compare it with; a test compares them with those
// of a database that is built from the migrations.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Sql, TransactionSql } from 'postgres'
import type { Carrier } from '../database/context.ts'
import { root } from '../root.ts'
import { describe, describeCluster } from './facts.ts'
import { normalise } from './normal.ts'

const file = new URL('db/policies/committed.txt', root)
const signed = new URL('db/schema/foundation/context/signed.sql', root)

/** What is said in full; of other long values, only a digest is committed. */
const spelledOut = /^policy |^publication | grants to /
const month = /\bevent_log_\d{4}_\d\d(?!\d)/g
const ofMonth = 'event_log_<month>'

export const subjectOf = (fact: string) => fact.slice(0, fact.indexOf(': '))
export const valueOf = (fact: string) => fact.slice(fact.indexOf(': ') + 2)

/** A fact as it is compared: normalised, and shortened if it is long. */
export function comparable(fact: string): string | undefined {
  const normal = normalise(fact)
  if (normal === undefined) return undefined
  const value = valueOf(normal)
  // A row of a table of reference has nothing but its value, by which it is recognized.
  if (value.length <= 200 || spelledOut.test(normal) || normal.startsWith('row of ')) return normal
  const digest = createHash('sha256').update(value).digest('hex').slice(0, 32)
  return `${subjectOf(normal)}: sha256 ${digest}`
}

const all = (facts: string[]) => facts.map(comparable).filter(fact => fact !== undefined)

/** Facts of this server, and of no other. */
const isElsewhere = (fact: string) => fact.startsWith('other database ')

/** The facts of one database, for the file: only once for all months of the event log, and for both ways to carry contexts. */
export async function committedText(admin: Sql): Promise<string> {
  const found = { guarded: new Set<string>(), signed: new Set<string>() }
  const look = async (sql: TransactionSql) =>
    all([...(await describe(sql)), ...(await describeCluster(sql))].filter(fact => !isElsewhere(fact))).map(
      fact => fact.replaceAll(month, ofMonth),
    )
  const done = new Error('looked')
  await admin
    .begin(async sql => {
      found.guarded = new Set(await look(sql))
      await sql.unsafe(`set local role callboard_owner; ${readFileSync(signed, 'utf8')}; reset role;
        revoke set on parameter backtrace_functions from callboard_definer`)
      found.signed = new Set(await look(sql))
      throw done
    })
    .catch((error: unknown) => {
      if (error !== done) throw error
    })
  const only = (one: Carrier, other: Carrier) =>
    [...found[one]].filter(fact => !found[other].has(fact)).map(fact => `[${one}] ${fact}`)
  const both = [...found.guarded].filter(fact => found.signed.has(fact))
  return `${[...both, ...only('guarded', 'signed'), ...only('signed', 'guarded')].sort().join('\n')}\n`
}

/** The committed facts for a database that carries contexts like this, for the months of events that it has. */
export function committedFacts(carrier: Carrier, months: string[]): string[] {
  return readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .flatMap(line => {
      const [, only, fact = ''] = /^(?:\[(\w+)\] )?(.*)$/.exec(line) ?? []
      if (only !== undefined && only !== carrier) return []
      if (!fact.includes(ofMonth)) return [fact]
      return months.map(name => fact.replaceAll(ofMonth, name))
    })
}

/** The partitions that the event log has. */
export const monthsOf = (facts: string[]) =>
  facts.flatMap(fact => /^table app\.(event_log_\d{4}_\d\d) persistence: /.exec(fact)?.[1] ?? [])
