// Twelve faults, set by hand in a live database on a server of its own: npm run audit:policies names each, with what it
// lets whom see. And nothing on a database that is clean, or was dumped and restored.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import postgres from 'postgres'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { freePort } from '../../src/database/embedded/port.ts'
import { run as runAs } from '../../src/database/embedded/run.ts'
import { osUser } from '../../src/database/embedded/user.ts'
import { migrate } from '../../src/database/migrate.ts'
import {
  createDatabase,
  createRoles,
  dropDatabase,
  setDatabasePrivileges,
  withUrl,
} from '../../src/database/provision.ts'
import { seedDemo } from '../../src/demo/demo.ts'
import { folder, start } from '../support/embedded.ts'
import { programArgs, root } from '../support/program.ts'

const password = 'of-all-logins-in-this-drill'
const roles = ['api', 'migrator', 'worker', 'support', 'auditor'].map(role => `callboard_${role}`)

/** A database with the demo on a server, and a superuser's URL for it. */
async function install(adminUrl: string, database: string): Promise<string> {
  await createRoles(adminUrl, Object.fromEntries(roles.map(role => [role, password])))
  await createDatabase(adminUrl, database)
  const as = (user: string) => withUrl(adminUrl, { database, user, password })
  await migrate(as('callboard_migrator'))
  await seedDemo({ migratorUrl: as('callboard_migrator'), apiUrl: as('callboard_api') })
  return withUrl(adminUrl, { database })
}

/** Calls the program as an operator does. */
function call(url: string, ...args: string[]): { code: number; output: string } {
  try {
    const output = execFileSync(
      process.execPath,
      [...programArgs('scripts/policies/audit-policies.ts'), ...args],
      {
        cwd: root,
        env: { PATH: process.env['PATH'], ADMIN_DATABASE_URL: url },
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    return { code: 0, output }
  } catch (error) {
    const { status, stdout, stderr } = error as { status: number; stdout: string; stderr: string }
    return { code: status, output: stdout + stderr }
  }
}

function isClean(t: Test, url: string, what: string) {
  const { code, output } = call(url)
  t.equal(code, 0, `${what}: ${output}`)
  t.match(output, /Found: 0 dangerous, 0 to be reviewed, 0 breaking, 0 safe/)
}

const ownRows = `organization_id = (select app.org_if('shows.read'))`
const faults: [what: string, set: string, undo: string, id: string, says: RegExp][] = [
  [
    'a policy widened',
    `alter policy select_member on app.shows using (true)`,
    `alter policy select_member on app.shows using (${ownRows})`,
    'proof:callboard_api: select app.shows',
    /sees in app\.shows: \d+ rows of other organizations/,
  ],
  [
    'a policy dropped',
    `drop policy select_member on app.venues`,
    `create policy select_member on app.venues for select to callboard_api, callboard_exporter using (${ownRows})`,
    'drift:policy select_member on app.venues',
    /callboard_api .* may no longer see rows of app\.venues/,
  ],
  [
    'a restriction made permissive',
    `create policy withhold on app.venues as permissive for select to callboard_api using (city <> 'Ghent')`,
    `drop policy withhold on app.venues`,
    'proof:callboard_api: select app.venues',
    /sees in app\.venues: \d+ rows of other organizations/,
  ],
  [
    'row-level security off',
    `alter table app.guests disable row level security`,
    `alter table app.guests enable row level security`,
    'drift:table app.guests row security',
    /all rows of all organizations are open to callboard_api/,
  ],
  [
    'row-level security not forced',
    `alter table app.shows no force row level security`,
    `alter table app.shows force row level security`,
    'drift:table app.shows row security',
    /No policy of app\.shows applies to its owner/,
  ],
  [
    'a grant by column',
    `grant select (mail_id) on app.invitations to callboard_exporter`,
    `revoke select (mail_id) on app.invitations from callboard_exporter`,
    'drift:column app.invitations.mail_id grants to callboard_exporter',
    /callboard_exporter \(exports\) may select mail_id of app\.invitations/,
  ],
  [
    'a grant by table',
    `grant delete on app.shows to callboard_api`,
    `revoke delete on app.shows from callboard_api`,
    'drift:table app.shows grants to callboard_api',
    /callboard_api \(every request of the API\) may delete app\.shows/,
  ],
  [
    'a function of the definer for PUBLIC',
    `grant execute on function app.audited_organizations(text) to public`,
    `revoke execute on function app.audited_organizations(text) from public`,
    'drift:function app.audited_organizations(text) grants to public',
    /every login of the server, .* may call app\.audited_organizations\(text\), which runs with the rights of callboard_definer/,
  ],
  [
    'an attribute of a role',
    `alter role callboard_api bypassrls`,
    `alter role callboard_api nobypassrls`,
    'drift:role callboard_api attribute bypassrls',
    /sees and changes the rows of all organizations/,
  ],
  [
    'a membership',
    `grant callboard_rollup to callboard_api`,
    `revoke callboard_rollup from callboard_api`,
    'drift:role callboard_api member of callboard_rollup',
    /callboard_api .* has the rights of callboard_rollup/,
  ],
  [
    'a setting of a role',
    `alter role callboard_api set role = 'callboard_api'`,
    `alter role callboard_api reset role`,
    'drift:role callboard_api setting role',
    /starts every connection with role = callboard_api/,
  ],
  [
    'a privilege on the database',
    `grant connect, create on database callboard to public`,
    `revoke connect, create on database callboard from public`,
    'drift:this database grants to public',
    /every login of the server, .* may connect, create schemas and publications in this database/,
  ],
  [
    'a function of an extension',
    `create extension dblink schema analytics`,
    `drop extension dblink`,
    'drift:extension dblink',
    /connects elsewhere/,
  ],
]

t.test('each fault is named, with what it lets whom see', async t => {
  const embedded = await start(t, folder(t))
  const url = await install(embedded.adminUrl, 'callboard')
  isClean(t, url, 'before any fault')
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  t.teardown(() => sql.end())
  t.ok(faults.length >= 12)
  for (const [what, set, undo, id, says] of faults)
    await t.test(what, async t => {
      await sql.unsafe(set)
      try {
        const { code, output } = call(url, '--read-only')
        t.equal(code, 1, output)
        const said = output.split('\n\n').find(block => block.includes(`  ${id}\n`)) ?? output
        t.match(said, says)
      } finally {
        await sql.unsafe(undo)
      }
    })
  isClean(t, url, 'after they were undone')
})

const bin = '/usr/lib/postgresql/15/bin'
const skip = existsSync(`${bin}/pg_restore`)
  ? false
  : 'PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)'
t.test('a database that was dumped and restored is clean', { skip }, async t => {
  const place = folder(t, 0o777)
  const user = await osUser('postgres', [])
  const port = await freePort(0)
  const data = join(place, 'data')
  const secret = join(place, 'password')
  execFileSync('sh', ['-c', `printf %s '${password}' > '${secret}' && chmod 644 '${secret}'`])
  const server = (program: string, ...args: string[]) => runAs(`${bin}/${program}`, args, { user })
  await server(
    'initdb',
    '-D',
    data,
    '-E',
    'UTF8',
    '--locale=C.UTF-8',
    '--no-sync',
    '-U',
    'postgres',
    `--pwfile=${secret}`,
    '-A',
    'scram-sha-256',
  )
  await server(
    'pg_ctl',
    'start',
    '-w',
    '-D',
    data,
    '-l',
    join(place, 'log'),
    '-o',
    `-c port=${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=${place} -c fsync=off`,
  )
  t.teardown(() => server('pg_ctl', 'stop', '-w', '-D', data, '-m', 'immediate'))
  const adminUrl = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`
  const url = await install(adminUrl, 'callboard')
  isClean(t, url, 'the original, on PostgreSQL 15')

  const dump = join(place, 'callboard.dump')
  execFileSync(`${bin}/pg_dump`, ['--format=custom', `--file=${dump}`, url])
  await dropDatabase(adminUrl, 'callboard')
  const sql = postgres(adminUrl, { max: 1 })
  await sql`create database callboard template template0 encoding 'UTF8'`.finally(() => sql.end())
  execFileSync(`${bin}/pg_restore`, ['--exit-on-error', '--enable-row-security', `--dbname=${url}`, dump])

  // What a dump does not hold, and is easily forgotten.
  const forgotten = call(url, '--parts', 'drift,rules')
  t.equal(forgotten.code, 1)
  t.match(
    forgotten.output,
    /hardening uuids compared before other conditions\n {2}What db\/database\.sql sets is lost .*Run it again/,
  )
  await setDatabasePrivileges(url)
  isClean(t, url, 'what was restored')
})
