// `npm run support -- --user <address> --org <slug or id>` reads an organization's data for somebody with a
// grant (npm run support:grant): an overview or, with --sql, the rows of a query; with --write, the query may change
// them, if the grant says so. It connects with SUPPORT_DATABASE_URL; the password comes from SUPPORT_PASSWORD or the first line of standard input.
import { hostname } from 'node:os'
import { createInterface } from 'node:readline'
import postgres from 'postgres'
import { prove } from '../../src/accounts/password.ts'
import { misuse, readArguments } from '../../src/arguments.ts'
import { newSecret } from '../../src/http/tokens.ts'

const usage = `Usage: npm run support -- --user <address> --org <slug or id> [--sql <query> [--write]]
Reads an organization's data with SUPPORT_DATABASE_URL, for somebody with a grant (npm run support:grant):
an overview, or the rows of a query, which may write with --write, if the grant allows it. --org-id is the same as --org. The password is SUPPORT_PASSWORD or the first line of standard input.`
const overview = `
  select o.name, o.slug, o.currency, o.time_zone, o.created_at::text, o.deleted_at::text,
    (select json_object_agg(coalesce(m.role, 'other roles'), m.n) from (
      select role, count(*) as n from app.memberships where deleted_at is null group by role) m) as members,
    (select json_object_agg(s.status, s.n) from (
      select status, count(*) as n from app.shows where deleted_at is null group by status) s) as shows,
    (select count(*) from app.venues where deleted_at is null) as venues,
    (select json_agg(json_build_object('at', e.occurred_at, 'action', e.action, 'by', e.actor_kind)) from (
      select occurred_at, action, actor_kind from app.event_log order by occurred_at desc limit 10) e) as last_events
  from app.organizations o`

async function main(): Promise<void> {
  const { values } = readArguments(usage, {
    user: { type: 'string' },
    org: { type: 'string' },
    'org-id': { type: 'string' },
    sql: { type: 'string', default: overview },
    write: { type: 'boolean', default: false },
  })
  const { user = '', 'org-id': orgId = '', org = orgId, sql: query, write } = values
  if (user === '' || org === '' || (write && query === overview)) misuse(usage)
  const url = process.env['SUPPORT_DATABASE_URL']
  if (!url) throw new Error('Set SUPPORT_DATABASE_URL to the connection of callboard_support.')
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  const password = process.env['SUPPORT_PASSWORD'] ?? (await firstLine())
  try {
    const [{ recipe }] = await sql<[{ recipe: string }]>`select app.password_recipe(${user}) as recipe`
    const session = newSecret()
    const [signedIn] = await sql<[{ status: number; session: string | null }]>`
      select status, body ->> 'user_id' as session
      from app.sign_in(${user}, ${await prove(password, recipe)}, ${session.hash}, ${newSecret().hash}, ${sql.json({ user_agent: `npm run support on ${hostname()}` })})`
    if (signedIn.status !== 200) throw new Error('The email address or the password is wrong.')
    try {
      const [{ id }] = await sql<
        [{ id: string | null }]
      >`select app.support_organization(${session.secret}, ${org}) as id`
      // Logged and committed before anything is read.
      const what = write ? 'npm run support -- --write' : 'npm run support'
      await sql`select app.use_support(${session.secret}, ${id}, ${what}, null, null)`
      const mode = write ? 'read write' : 'isolation level repeatable read read only'
      const rows = await sql.begin(mode, async tx => {
        await tx`select app.enter_support(${session.secret}, ${id}, null, null)`
        const [{ may }] = await tx<
          [{ may: boolean }]
        >`select app.has_permission('organization.update') as may`
        if (write && !may) throw new Error('This grant is for reading only: see npm run support:grant.')
        return tx.unsafe(query)
      })
      for (const row of rows) console.log(JSON.stringify(row, null, 2))
    } finally {
      await sql.begin(async tx => {
        await tx`select app.enter(${session.secret})`
        await tx`select app.end_session(app.current_session_id(), 'signed_out')`
      })
    }
  } finally {
    await sql.end({ timeout: 5 })
  }
}

async function firstLine(): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write('Password: ')
  for await (const line of createInterface({ input: process.stdin })) return line
  return ''
}

await main().catch((error: unknown) => {
  const { message } = error as Error
  console.error(
    message === 'support_grant_needed'
      ? 'This needs an active grant for the organization: see npm run support:grant.'
      : message,
  )
  process.exit(1)
})
