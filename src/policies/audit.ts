// The audit of a live database: drift from the committed facts, rules, and the proof by trying.
import type { Sql, TransactionSql } from 'postgres'
import { type Carrier, carrierOf } from '../database/context.ts'
import { isOfThisRelease } from '../database/release.ts'
import { biMemory } from './bi-memory.ts'
import { drift } from './drift.ts'
import { type Exception, except } from './exceptions.ts'
import { describe, describeCatalogue, describeCluster } from './facts.ts'
import { type Finding, inOrder } from './finding.ts'
import { LiveFacts } from './live.ts'
import { type Proof, type ProofOptions, prove } from './proof.ts'
import { findingsOf, whyOf } from './proved.ts'
import { Reach } from './reach.ts'
import { checkRules } from './rules/rules.ts'

export const parts = ['drift', 'rules', 'proof'] as const
export type Part = (typeof parts)[number]

export interface AuditOptions extends ProofOptions {
  parts: readonly Part[]
  exceptions: Exception[]
}

export interface Report {
  at: string
  database: string
  /** In PostgreSQL's notation. */
  server: string
  carrier: Carrier
  parts: readonly Part[]
  isReadOnly: boolean
  facts: number
  findings: Finding[]
  excepted: (Finding & { reason: string })[]
  /** Exceptions that match nothing any more. */
  unused: Exception[]
  /** What could not be looked at, with the reason. */
  blind: string[]
  /** Roles that are not ours and that no policy applies to. */
  outside: string[]
  proof?: Proof
  /** Why the database lets it: for each role, table and command that is not refused. */
  why: Record<string, string[]>
}

interface Looked {
  database: string
  server: string
  carrier: Carrier
  facts: string[]
  hasRows: boolean
  isOfThisRelease: boolean
  outside: string[]
}

const message = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** Looks at the database of a superuser's connection; nothing in it changes. Throws if there is no Callboard in it. */
export async function audit(admin: Sql, options: AuditOptions): Promise<Report> {
  const blind: string[] = []
  const found: Finding[] = []
  const looked = await admin.begin('read only', look)
  const { carrier, facts, hasRows } = looked
  if (!hasRows)
    blind.push(
      'rows of tables of reference, such as permissions: this login does not bypass row-level security',
    )
  if (!looked.isOfThisRelease)
    blind.push(
      'this database was last migrated by another release: audit it with that one, or run npm run migrate',
    )
  if (options.parts.includes('drift')) found.push(...drift(facts, carrier, { rows: hasRows }))
  const live = new LiveFacts(facts)
  if (options.parts.includes('rules')) {
    const setUp = { carrier, isHosted: live.setUpBy !== undefined }
    const { findings, unchecked } = await admin.begin('read only', sql => checkRules(sql, setUp))
    found.push(...findings)
    blind.push(...unchecked.map(reason => `rule: ${reason}`))
    const note = await admin.begin('read only', biMemory)
    if (note) found.push(note)
  }
  const reach = new Reach(live)
  let proof: Proof | undefined
  if (options.parts.includes('proof')) {
    proof = await rolledBack(admin, options).catch((error: unknown) => {
      blind.push(`proof: ${message(error)}`)
      return undefined
    })
    blind.push(...(proof?.unproved ?? []).map(reason => `proof: ${reason}`))
    if (proof) found.push(...findingsOf(proof, live, reach))
  }
  const { findings, excepted, unused } = except(found, options.exceptions)
  return {
    at: new Date().toISOString(),
    database: looked.database,
    server: looked.server,
    carrier,
    parts: options.parts,
    isReadOnly: options.isReadOnly ?? false,
    facts: facts.length,
    findings: inOrder(findings),
    excepted,
    // Only a complete audit can tell.
    unused: options.parts.length === parts.length && blind.length === 0 ? unused : [],
    blind,
    outside: looked.outside,
    ...(proof && { proof }),
    why: proof ? reasons(proof, live, reach) : {},
  }
}

async function look(sql: TransactionSql): Promise<Looked> {
  const [at] = await sql<
    [{ database: string; server: string; carrier: Carrier | null; isOfThisRelease: boolean }]
  >`
    select current_database() as database, current_setting('server_version') as server, ${carrierOf(sql)} as carrier,
      ${isOfThisRelease(sql)} as "isOfThisRelease"`
  if (at.carrier === null) throw new Error(`the database ${at.database} has no Callboard schema`)
  const withRows = await sql.savepoint(describe).catch((error: unknown) => {
    if ((error as { code?: string }).code === '42501') return undefined
    throw error
  })
  const facts = [...(withRows ?? (await describeCatalogue(sql))), ...(await describeCluster(sql))]
  const outside = await sql<{ name: string }[]>`
    select rolname || case when rolsuper then ' (superuser)' else ' (BYPASSRLS)' end as name from pg_roles
    where (rolsuper or rolbypassrls) and rolname !~ '^(callboard|pg)_' order by 1`
  return {
    ...at,
    carrier: at.carrier,
    facts,
    hasRows: withRows !== undefined,
    outside: outside.map(({ name }) => name),
  }
}

/** Proves in a transaction that ends in a rollback, whatever happens. */
async function rolledBack(admin: Sql, options: ProofOptions): Promise<Proof> {
  const proved = new Error('proved') as Error & { proof: Proof }
  return admin
    .begin(options.isReadOnly ? 'read only' : 'read write', async (sql): Promise<Proof> => {
      proved.proof = await prove(sql, options)
      throw proved
    })
    .catch((error: unknown) => {
      if (error === proved) return proved.proof
      throw error
    })
}

function reasons({ cells }: Proof, live: LiveFacts, reach: Reach): Record<string, string[]> {
  const why: Record<string, string[]> = {}
  for (const cell of cells) {
    if (cell.refused !== undefined) continue
    why[`${cell.role} ${cell.command} ${cell.table}`] ??= whyOf(cell, live, reach)
  }
  return why
}
