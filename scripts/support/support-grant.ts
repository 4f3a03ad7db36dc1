// `npm run support:grant` grants somebody superadmin access to one organization or all. It is for DBAs
// and connects with MIGRATOR_DATABASE_URL; every grant is an event in the organization's log.
import postgres from 'postgres'
import { misuse, readArguments } from '../../src/arguments.ts'

const usage = `Usage: npm run support:grant -- --user <address> --reason <why> --hours <n> [--org <slug or id>] [--write]
       npm run support:grant -- --revoke <id>
       npm run support:grant -- --list
Without --org (or --org-id, the same) the grant covers all organizations; without --write it is read-only.`

async function main(): Promise<void> {
  const { values } = readArguments(usage, {
    user: { type: 'string' },
    reason: { type: 'string' },
    hours: { type: 'string' },
    org: { type: 'string' },
    'org-id': { type: 'string' },
    write: { type: 'boolean', default: false },
    revoke: { type: 'string' },
    list: { type: 'boolean', default: false },
  })
  const { user, reason, hours, 'org-id': orgId, org = orgId ?? null, write, revoke, list } = values
  const asked = [list, revoke !== undefined, user !== undefined].filter(Boolean)
  if (asked.length !== 1) misuse(usage)
  if (user !== undefined && (reason === undefined || !(Number(hours) > 0))) misuse(usage)
  const url = process.env['MIGRATOR_DATABASE_URL']
  if (!url) throw new Error('Set MIGRATOR_DATABASE_URL to the connection of callboard_migrator.')
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    if (list) console.table(await listGrants(sql))
    else if (revoke !== undefined) {
      await sql`select app_private.revoke_support(${revoke})`
      console.log('Revoked.')
    } else {
      const [row] = await sql<[{ id: string }]>`
        select app_private.grant_support(${user ?? ''}, ${reason ?? ''}, now() + make_interval(mins => ${Math.round(Number(hours) * 60)}), ${org}, ${write}) as id`
      console.log(`Granted for ${hours ?? ''} hours: ${row.id}`)
    }
  } finally {
    await sql.end({ timeout: 5 })
  }
}

const listGrants = async (sql: postgres.Sql) =>
  Array.from(
    await sql`
      select g.id, u.email as user, coalesce(o.slug, 'all organizations') as organization, g.reason,
        case when g.may_write then 'write' else 'read' end as may, g.granted_by, g.expires_at::text,
        case when g.revoked_at is not null then 'revoked' when g.expires_at <= now() then 'expired' else 'live' end as state
      from app_private.support_grants g
      join app.users u on u.id = g.user_id left join app.organizations o on o.id = g.organization_id
      order by g.id`,
  )

await main().catch((error: unknown) => {
  // Our own errors explain themselves in their detail.
  const { message, detail } = error as { message: string; detail?: string }
  console.error(detail || message)
  process.exit(1)
})
