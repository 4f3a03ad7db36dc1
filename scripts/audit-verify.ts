// `npm run audit:verify -- --org <slug or id> [--head <seq>:<hash>]` or `-- --all` checks the event log
// against its seals. It connects with AUDITOR_DATABASE_URL, as callboard_auditor, which reads the events
// of all organizations and can write nothing. The exit code is 1 if the log does not match.
import postgres from 'postgres'
import { misuse, readArguments } from '../src/arguments.ts'

interface Verification {
  ok: boolean
  checked: number
  unsealed: number
  head: { seq: number; hash: string } | null
  purged_before: string | null
  problem: { kind: string; seq: number; event_id: string | null; occurred_at: string | null } | null
}

const usage = `Usage: npm run audit:verify -- --org <slug or id> [--head <seq>:<hash>]
       npm run audit:verify -- --all
Checks the event log of one organization or of all against its seals, with AUDITOR_DATABASE_URL.
Exits with 1 if it does not match. --head is a head that was noted earlier.`
const meanings: Record<string, string> = {
  changed: 'was changed after it was sealed',
  missing: 'was removed from the log, and not by a purge',
  erased: 'had its details erased, and no event records that',
  seal_changed: 'has a seal that was changed',
  seal_missing: 'no longer has a seal',
  cut_off: 'and everything after it were cut off',
  rewritten: 'has a different hash than the one that was noted: the log was rewritten',
}

async function main(): Promise<number> {
  const { values } = readArguments(usage, {
    org: { type: 'string' },
    head: { type: 'string' },
    all: { type: 'boolean', default: false },
  })
  const [, seq, hash] = /^(\d+):([0-9a-f]{64})$/i.exec(values.head ?? '') ?? []
  const url = process.env['AUDITOR_DATABASE_URL']
  if (
    (values.org === undefined) !== values.all ||
    (values.head !== undefined && (values.all || hash === undefined))
  )
    misuse(usage)
  if (url === undefined) throw new Error('Set AUDITOR_DATABASE_URL to the connection of callboard_auditor.')
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    const isId = /^[0-9a-f-]{36}$/.test(values.org ?? '')
    const organizations = isId
      ? [{ id: values.org ?? '', slug: null }]
      : await sql<
          { id: string; slug: string | null }[]
        >`select id, slug from app.audited_organizations(${values.org ?? null})`
    if (organizations.length === 0) throw new Error(`There is no organization ${values.org ?? ''}.`)
    let code = 0
    for (const { id, slug } of organizations) {
      const [row] = await sql<[{ found: Verification }]>`
        select app.verify_events(${id}, ${seq ?? null}, ${hash ?? null}) as found`
      console.log(`${slug ?? id}: ${sentence(row.found)}`)
      if (!row.found.ok) code = 1
    }
    return code
  } finally {
    await sql.end({ timeout: 5 })
  }
}

function sentence({ checked, unsealed, head, purged_before, problem }: Verification): string {
  if (problem) {
    const event = problem.event_id === null ? '' : ` (${problem.event_id} of ${problem.occurred_at ?? ''})`
    return `MISMATCH: event ${problem.seq}${event} ${meanings[problem.kind] ?? problem.kind}`
  }
  const end = head ? `, head ${head.seq}:${head.hash}` : ''
  const purged = purged_before === null ? '' : `, purged before ${purged_before}`
  return `${checked} events match their seals${end}${purged}; ${unsealed} are not sealed yet`
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  return 2
})
