// `npm run bi` creates, lists, rotates and revokes the logins of BI tools, as the owner of an organization
// does through the API. It is for DBAs, connects with MIGRATOR_DATABASE_URL and logs every action as an event.
import postgres from 'postgres'
import { misuse, readArguments } from '../src/arguments.ts'
import { connectionsOf, type DatabasePassword, newDatabasePassword } from '../src/bi/connections.ts'

const usage = `Usage: npm run bi -- create --org <slug> --name <what for> [--days <n>] [--connections <n>] [--seconds <n>]
       npm run bi -- list [--org <slug>]
       npm run bi -- rotate <id> [--days <n>]
       npm run bi -- revoke <id>
Without --days, a new one is for 90 and rotating keeps the end (90 if it has expired); without --connections for 5 at a time; --seconds is how long a statement may take (300).`

const { values, positionals } = readArguments(
  usage,
  {
    org: { type: 'string' },
    name: { type: 'string' },
    days: { type: 'string' },
    connections: { type: 'string' },
    seconds: { type: 'string' },
  },
  2,
)
const [command = '', id = ''] = positionals
const whole = (text: string | undefined) => (text === undefined ? undefined : Number(text))
const settings = {
  name: values.name,
  expires_in_days: whole(values.days),
  connection_limit: whole(values.connections),
  statement_timeout_seconds: whole(values.seconds),
}

async function main(): Promise<void> {
  const isComplete =
    {
      create: id === '' && values.org !== undefined && values.name !== undefined,
      list: id === '',
      rotate: id !== '',
      revoke: id !== '',
    }[command] ?? false
  const numbers = [settings.expires_in_days, settings.connection_limit, settings.statement_timeout_seconds]
  if (!isComplete || !numbers.every(n => n === undefined || (Number.isInteger(n) && n > 0))) misuse(usage)
  const url = process.env['MIGRATOR_DATABASE_URL']
  if (!url) throw new Error('Set MIGRATOR_DATABASE_URL to the connection of callboard_migrator.')
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    if (command === 'list') {
      console.table(await listLogins(sql, values.org ?? null))
      return
    }
    const made = await newDatabasePassword()
    let credential = id
    if (command === 'create') credential = await create(sql, made)
    else if (command === 'rotate')
      await sql`select app_private.rotate_bi_credential(${id}, ${sql.json(settings)}, ${made.verifier})`
    else await sql`select app_private.revoke_bi_credential(${id})`
    const isSettled = await settle(sql, credential)
    if (command === 'revoke') {
      console.log(`Revoked; ${isSettled ? 'its connections have ended' : 'the worker ends its connections'}`)
      return
    }
    if (!isSettled) throw new Error('The login has no new password yet, and is shut out: rotate it again.')
    await show(sql, credential, made, process.env['BI_DATABASE_URL'] ?? url)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** Has the role follow its credential, in steps that commit: see db/schema/bi/bi_settling.sql. */
async function settle(sql: postgres.Sql, credential: string): Promise<boolean> {
  for (let step = 0; step < 100; step += 1) {
    const [{ settled }] = await sql<
      [{ settled: boolean }]
    >`select app.settle_bi_login(${credential}) as settled`
    if (settled) return true
  }
  return false
}

async function create(sql: postgres.Sql, { verifier }: DatabasePassword): Promise<string> {
  const [row] = await sql<[{ id: string }]>`
    select app_private.create_bi_credential(${values.org ?? ''}, ${sql.json(settings)}, ${verifier}) as id`
  return row.id
}

async function show(sql: postgres.Sql, credential: string, { password }: DatabasePassword, url: string) {
  const [row] = await sql<[{ login: string; expires_at: string }]>`
    select login, expires_at::text from app.bi_credentials where id = ${credential}`
  console.log(`${credential}: ${row.login} until ${row.expires_at}. This is shown once:`)
  console.log(JSON.stringify({ password, ...connectionsOf(url, row.login, password) }, undefined, 2))
}

const listLogins = async (sql: postgres.Sql, org: string | null) =>
  Array.from(
    await sql`
      select c.id, o.slug as organization, c.name, c.login, c.expires_at::text, l.last_seen_at::text,
        case when c.revoked_at is not null then 'revoked' when c.expires_at <= now() then 'expired'
          when o.deleted_at is not null then 'deleted' when not app_private.is_bi_held(c) then 'suspended' when r.oid is null then 'no role' else 'active' end as state
      from app.bi_credentials c
      join app.organizations o on o.id = c.organization_id
      left join app_private.bi_logins l on l.login = c.login
      left join pg_roles r on r.rolname = c.login
      where ${org}::text is null or o.slug = ${org}
      order by c.id`,
  )

await main().catch((error: unknown) => {
  // Our own errors explain themselves in their detail, or are names that src/http/problems.ts explains.
  const { message, detail } = error as { message: string; detail?: string }
  console.error(detail || message)
  process.exit(1)
})
