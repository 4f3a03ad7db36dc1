// `npm test` makes a PostgreSQL with the schema in a template database, which every test file
// clones, and runs tap on it. With DATABASE_URL, the login of a superuser, that server is used:
// its callboard_* roles get new passwords, so take one that nobody works with.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startEmbedded } from '../src/database/embedded.ts'
import { migrate } from '../src/database/migrate.ts'
import { createDatabase, createRoles, dropDatabase, withUrl } from '../src/database/provision.ts'

const given = process.env['DATABASE_URL']
const root = fileURLToPath(new URL(`../.data/test-${process.pid}`, import.meta.url))
// Tests lose nothing in a power cut, and the disk is most of what they would wait for.
const settings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '300' }
const embedded = given === undefined ? await startEmbedded({ root, port: 0, settings }) : undefined
const adminUrl = given ?? embedded?.adminUrl ?? ''
const template = `callboard_template_${process.pid}`
const password = randomBytes(16).toString('hex')
let code: number
try {
  const roles = [
    'callboard_api',
    'callboard_migrator',
    'callboard_worker',
    'callboard_support',
    'callboard_auditor',
  ]
  await createRoles(adminUrl, Object.fromEntries(roles.map(role => [role, password])))
  await createDatabase(adminUrl, template)
  await migrate(withUrl(adminUrl, { database: template, user: 'callboard_migrator', password }))
  // graphile-migrate lets go of its connection only then, and a template must have none.
  await setTimeout(500)
  // The tests decide for themselves what the server's environment is.
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.endsWith('DATABASE_URL')),
  )
  const tap = spawn(
    process.execPath,
    [
      fileURLToPath(new URL('../node_modules/tap/dist/esm/run.mjs', import.meta.url)),
      ...process.argv.slice(2),
    ],
    {
      stdio: 'inherit',
      env: { ...inherited, ADMIN_DATABASE_URL: adminUrl, TEST_TEMPLATE: template, TEST_PASSWORD: password },
    },
  )
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => tap.kill(signal))
  code = await new Promise<number>(resolve =>
    tap.on('exit', status => {
      resolve(status ?? 1)
    }),
  )
} finally {
  await dropDatabase(adminUrl, template).catch(() => {})
  if (embedded) {
    await embedded.stop()
    for (const folder of [root, dirname(embedded.dataDir)]) await rm(folder, { recursive: true, force: true })
  }
}
process.exit(code)
