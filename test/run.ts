// `npm test` makes a PostgreSQL with the schema in a template database, which every test file
// clones, and runs tap on it. With DATABASE_URL, the login of a superuser, that server is used:
// its callboard_* roles get new passwords, so take one that nobody works with.
// When no file is named it is the whole suite, and .c8rc.json says how much of src it must cover.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startEmbedded } from '../src/database/embedded.ts'
import { migrate } from '../src/database/migrate.ts'
import { createDatabase, createRoles, dropDatabase, withUrl } from '../src/database/provision.ts'

const given = process.env['DATABASE_URL']
const checkout = fileURLToPath(new URL('..', import.meta.url))
const root = join(checkout, `.data/test-${process.pid}`)
const isWhole = process.argv.slice(2).every(argument => argument.startsWith('-'))
// V8 writes there what every process has run, also those that a test starts, and as another user.
const coverage = isWhole ? join(checkout, `.data/coverage-${process.pid}`) : undefined
// Tests lose nothing in a power cut, and the disk is most of what they would wait for.
const settings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '300' }
const embedded = given === undefined ? await startEmbedded({ root, port: 0, settings }) : undefined
const adminUrl = given ?? embedded?.adminUrl ?? ''
const template = `callboard_template_${process.pid}`
const password = randomBytes(16).toString('hex')
let code: number
try {
  if (coverage !== undefined) {
    await mkdir(coverage, { recursive: true })
    await chmod(coverage, 0o777)
  }
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
  code = await run('tap/dist/esm/run.mjs', process.argv.slice(2), {
    ...inherited,
    ADMIN_DATABASE_URL: adminUrl,
    TEST_TEMPLATE: template,
    TEST_PASSWORD: password,
    ...(coverage !== undefined && { NODE_V8_COVERAGE: coverage }),
  })
  if (coverage !== undefined) {
    const covered = await run('c8/bin/c8.js', ['report', '--temp-directory', coverage], process.env)
    code = code === 0 ? covered : code
  }
} finally {
  if (coverage !== undefined) await rm(coverage, { recursive: true, force: true })
  await dropDatabase(adminUrl, template).catch(() => {})
  if (embedded) {
    await embedded.stop()
    for (const folder of [root, dirname(embedded.dataDir)]) await rm(folder, { recursive: true, force: true })
  }
}
process.exit(code)

/** Runs a program of node_modules to its end, and returns its exit code. */
async function run(program: string, args: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(process.execPath, [join(checkout, 'node_modules', program), ...args], {
    stdio: 'inherit',
    cwd: checkout,
    env,
  })
  const pass = (signal: NodeJS.Signals) => child.kill(signal)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, pass)
  const code = await new Promise<number>(resolve =>
    child.on('exit', status => {
      resolve(status ?? 1)
    }),
  )
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, pass)
  return code
}
