// `npm run restored` makes a restored database fit to be served: the API and the worker refuse it before. It is for
// DBAs and connects with MIGRATOR_DATABASE_URL; db/schema/retention/restored.sql has what it does, and why.
import { readFile } from 'node:fs/promises'
import postgres from 'postgres'
import { misuse, readArguments } from '../src/arguments.ts'
import { type Copy, type Ended, endedSince, Incomplete } from '../src/jobs/ended-reading.ts'

const usage = `Usage: npm run restored -- [--ended <file> ... [--until <time>] | --nothing-lost] [--anyway]
Run it after a restore, a recovery to a point in time or a promotion, before the API and the worker start.
It ends all sessions, links in mails, invitations, calendar feeds, BI logins and superadmins' grants, because some
of them had ended since the copy was made; fills figures that are empty; and notes the gap in the event log.
  --ended <file>  ends only what has ended since, and purges and erases again what was, as the files of ENDED_FILE
                  say; if they leave out a moment, it says which and changes nothing
  --until <time>  when the original was last served, if that is not now: 2026-11-29T18:30:00Z
  --nothing-lost  nothing is missing, as after an upgrade with everything stopped: ends nothing
  --anyway        even if this database does not look restored, for example after an old snapshot of a disk`

/** What was not lost has been repeated: how much of everything, and what could not be. */
interface Done {
  until: string | null
  owners?: { organization: string; id: string }[]
  kept?: object[]
  not_erased?: object[]
  [what: string]: unknown
}

async function main(): Promise<void> {
  const { values } = readArguments(usage, {
    ended: { type: 'string', multiple: true, default: [] },
    until: { type: 'string' },
    'nothing-lost': { type: 'boolean', default: false },
    anyway: { type: 'boolean', default: false },
  })
  const { 'nothing-lost': isComplete, anyway, ended: files } = values
  const served = new Date(values.until ?? Date.now())
  if (isComplete && (anyway || files.length > 0)) misuse(usage)
  if (values.until !== undefined && files.length === 0) misuse(usage, '--until belongs to --ended.')
  if (Number.isNaN(served.getTime())) misuse(usage, `'${values.until}' is not a time.`)
  // Before anything else: a file that is not there is noticed while there is nothing to undo.
  const texts = await Promise.all(files.map(file => readFile(file, 'utf8')))
  const url = process.env['MIGRATOR_DATABASE_URL']
  if (!url) throw new Error('Set MIGRATOR_DATABASE_URL to the connection of callboard_migrator.')
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    await requirePrivileges(sql)
    const [{ is_restored }] = await sql<[{ is_restored: boolean }]>`select app.is_restored() as is_restored`
    if (!is_restored && !anyway) {
      console.log('This database has not been restored, as far as it can tell: nothing to do.')
      return
    }
    const recorded = files.length > 0 ? await readRecord(sql, texts, served) : null
    const [{ done }] = await sql<[{ done: Done }]>`
      select app_private.settle_restore(${!isComplete}, ${recorded === null ? null : JSON.stringify(recorded)}::text::jsonb) as done`
    if (!isComplete) report(done, recorded !== null)
    // In a transaction of its own, so that a BI tool that reconnects at once finds its login expired.
    await sql`select app.reconcile_bi_logins()`
    await fill(sql)
    console.log('The API and the worker may start.')
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** What the files say has ended since the copy was made. Rejects if they do not say everything. */
async function readRecord(sql: postgres.Sql, texts: string[], served: Date): Promise<Ended[]> {
  const [{ copy }] = await sql<[{ copy: Copy }]>`select app_private.log_reach() as copy`
  try {
    const { ended, until } = endedSince(texts, copy, served)
    console.log(`The files say what ended from ${copy.until} until ${until}.`)
    return ended
  } catch (error) {
    if (!(error instanceof Incomplete)) throw error
    throw new Error(
      `The file of --ended does not tell everything that has ended since this copy was made.
${error.message}
Nothing has been changed. Find the rest of it, or run this without --ended: it then ends all access.`,
      { cause: error },
    )
  }
}

/** What must be done first. Neither privileges nor the hardening of the catalogue travel in a dump. */
async function requirePrivileges(sql: postgres.Sql): Promise<void> {
  const [{ is_open, is_recovering }] = await sql<[{ is_open: boolean; is_recovering: boolean }]>`
    select pg_is_in_recovery() as is_recovering, has_database_privilege('public', current_database(), 'connect')
      -- Only a superuser can take this from PUBLIC: see db/database.sql.
      or has_function_privilege('public', 'pg_catalog.pg_cancel_backend(integer)', 'execute')
        and to_regprocedure('app_private.set_up_by()') is null as is_open`
  if (is_recovering) throw new Error('The server is still in recovery: wait, or promote it.')
  if (is_open)
    throw new Error('Run db/database.sql in this database first, with the login that ran db/roles.sql.')
}

/** Computes the figures that pg_restore could not fill. */
async function fill(sql: postgres.Sql): Promise<void> {
  const empty = await sql<
    { name: string }[]
  >`select rollup as name from analytics_private.unpopulated order by name`
  for (const { name } of empty) {
    const [{ rows }] = await sql<[{ rows: string | null }]>`
      select analytics_private.compute_whole(${name}) as rows`
    console.log(rows === null ? `${name} could not be computed: the worker will try` : `Computed ${name}.`)
  }
}

function report({ until, owners, kept, not_erased, ...done }: Done, isRecorded: boolean): void {
  const counts = Object.entries(done).map(
    ([what, count]) => `  ${String(count)} ${what.replaceAll('_', ' ')}`,
  )
  console.log(`Ended:\n${counts.join('\n')}`)
  for (const owner of owners ?? [])
    console.error(
      `Organization ${owner.organization} keeps ${owner.id} as its owner, who had gone: this copy has nobody else.`,
    )
  for (const one of [...(kept ?? []), ...(not_erased ?? [])])
    console.error(`Not purged or erased again: ${JSON.stringify(one)}`)
  console.log(
    `The last event of this copy is of ${until ?? 'an empty log'}. What happened later is missing${
      isRecorded
        ? '.'
        : `: members
removed and roles lowered since are back as they were, so are passwords, and what was purged or erased.`
    }`,
  )
}

await main().catch((error: unknown) => {
  const { message, detail } = error as { message: string; detail?: string }
  console.error(detail || message)
  process.exit(1)
})
