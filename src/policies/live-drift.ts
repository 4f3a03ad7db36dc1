// What the programs look at themselves: the drift that any login can see. The audit sees more.
import { createHash } from 'node:crypto'
import { type Client, createPool } from '../database/pool.ts'
import { carrierOf, type Carrier } from '../database/context.ts'
import { isOfThisRelease } from '../database/release.ts'
import { UnsafeDatabase } from '../database/safety.ts'
import { drift } from './drift.ts'
import { except, ownExceptions, readExceptions } from './exceptions.ts'
import { describeCatalogue, describeCluster } from './facts.ts'
import { type Finding, inOrder } from './finding.ts'

export interface LiveDriftOptions {
  url: string
  /** A file of exceptions besides those that come with Callboard. */
  exceptions: string | undefined
  applicationName: string
}

/** The differences from the committed facts; undefined if another release migrated the database. */
export async function liveDrift({
  url,
  exceptions,
  applicationName,
}: LiveDriftOptions): Promise<Finding[] | undefined> {
  const known = [...ownExceptions(), ...(exceptions === undefined ? [] : readExceptions(exceptions))]
  const pool = createPool({ url, size: 1, deadline: 60_000, prepare: false, applicationName })
  const read = await pool.use(look).finally(() => pool.close())
  if (read === undefined) return undefined
  return inOrder(except(drift(read.facts, read.carrier, { rows: false }), known).findings)
}

const look = (sql: Client) =>
  sql.begin('read only', async tx => {
    const [at] = await tx<[{ carrier: Carrier | null; isOfThisRelease: boolean }]>`
      select ${carrierOf(tx)} as carrier, ${isOfThisRelease(tx)} as "isOfThisRelease"`
    if (at.carrier === null || !at.isOfThisRelease) return undefined
    return { carrier: at.carrier, facts: [...(await describeCatalogue(tx)), ...(await describeCluster(tx))] }
  })

/** Tells the database what differs now; it logs what is new, and what is gone, as events. */
export async function noteDrift(
  { url, applicationName }: LiveDriftOptions,
  findings: Finding[],
): Promise<void> {
  const present = findings
    .filter(finding => finding.class !== 'safe')
    .map(({ subject, class: kind, expected = null, found = null }) => {
      const digest = createHash('sha256')
        .update(JSON.stringify([expected, found]))
        .digest('hex')
      return { subject, digest, class: kind }
    })
  const pool = createPool({ url, size: 1, deadline: 60_000, prepare: false, applicationName })
  await pool
    .use(sql =>
      sql.begin('read write', tx => tx`select app.note_drift(${JSON.stringify(present)}::text::jsonb)`),
    )
    .finally(() => pool.close())
}

/** Throws UnsafeDatabase if somebody could see or change what is not theirs, and says who and what. */
export async function refuseDangerousDrift(options: LiveDriftOptions): Promise<void> {
  const dangerous = ((await liveDrift(options)) ?? []).filter(finding => finding.class === 'dangerous')
  if (dangerous.length === 0) return
  const most = 10
  const lines = dangerous.slice(0, most).map(({ id, says }) => `- ${id}: ${says}`)
  if (dangerous.length > most) lines.push(`- and ${dangerous.length - most} more`)
  throw new UnsafeDatabase(
    `The database was changed so that somebody may see or change what is not theirs; see docs/operate/audit.md.\n${lines.join('\n')}`,
  )
}
