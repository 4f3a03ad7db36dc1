// `npm run restored` makes a restored database fit to be served: the API and the worker refuse it before. It is for
// DBAs and connects with MIGRATOR_DATABASE_URL; db/schema/retention/restored.sql has what it does, and why.
import postgres from 'postgres'
import { misuse, readArguments } from '../src/arguments.ts'

const usage = `Usage: npm run restored -- [--nothing-lost | --anyway]
Run it after a restore, a recovery to a point in time or a promotion, before the API and the worker start.
It ends all sessions, links in mails, invitations, calendar feeds, BI logins and superadmins' grants, because some
of them had ended since the copy was made; fills figures that are empty; and notes the gap in the event log.
  --nothing-lost  nothing is missing, as after an upgrade with everything stopped: ends nothing
  --anyway        even if this database does not look restored, for example after an old snapshot of a disk`

interface Ended {
  until: string | null
  sessions?: number
  links?: number
  invitations?: number
  calendar_feeds?: number
  bi_logins?: number
  superadmin_grants?: number
  mails?: number
}

async function main(): Promise<void> {
  const { values } = readArguments(usage, {
    'nothing-lost': { type: 'boolean', default: false },
    anyway: { type: 'boolean', default: false },
  })
  const { 'nothing-lost': isComplete, anyway } = values
  if (isComplete && anyway) misuse(usage)
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
    const [{ ended }] = await sql<[{ ended: Ended }]>`
      select app_private.settle_restore(${!isComplete}) as ended`
    if (!isComplete) report(ended)
    // In a transaction of its own, so that a BI tool that reconnects at once finds its login expired.
    await sql`select app.reconcile_bi_logins()`
    await fill(sql)
    console.log('The API and the worker may start.')
  } finally {
    await sql.end({ timeout: 5 })
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

function report({ until, ...ended }: Ended): void {
  const counts = Object.entries(ended).map(([what, count]) => `  ${count} ${what.replace('_', ' ')}`)
  console.log(`Ended:\n${counts.join('\n')}`)
  console.log(`The last event of this copy is of ${until ?? 'an empty log'}. What happened later is missing: members
removed and roles lowered since are back as they were, so are passwords, and what was purged or erased.`)
}

await main().catch((error: unknown) => {
  const { message, detail } = error as { message: string; detail?: string }
  console.error(detail || message)
  process.exit(1)
})
