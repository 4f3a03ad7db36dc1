// `npm test` creates a PostgreSQL with the schema in a template database, which every test file
// clones, and runs tap on it. The whole suite must cover most of src (.c8rc.json, and 90 % of the branches).
// On a terminal, tap's reporter shows the results.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdir, readdir, rm, statfs } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { misuse, readArguments } from '../src/arguments.ts'
import { startEmbedded } from '../src/database/embedded.ts'
import { migrate } from '../src/database/migrate.ts'
import { createDatabase, createRoles, dropDatabase, withUrl } from '../src/database/provision.ts'
import { attribute, build } from './support/build.ts'

// What takes longest starts first, so that no single file runs alone at the end.
const longest = [
  'policies/audit',
  'policies/migration',
  'platform/server',
  'attacks/attacks',
  'platform/embedded',
  'authorization/authorization',
  'isolation/isolation',
  'platform/start',
  'platform/unreadable',
  'platform/usage',
  'exports/export-jobs',
  'policies/watch',
  'policies/drift',
  'platform/restore',
  'platform/jobs',
  'platform/openapi-examples',
  'isolation/unseen',
  'platform/openapi',
  'platform/refusals',
  'platform/document-commands',
  'platform/log-batches',
  'platform/metrics',
  'retention/purge',
  'platform/operations',
  'organizations/support',
].map(name => `test/${name}.`)

const usage = `Usage: npm test -- [--signed | --hosted] [--jobs <n>] [--timeout <n>] [<file or folder> …]
       npm run test:drills -- [<file or folder> …]
Runs the whole suite, or the named tests, --jobs at a time with --timeout seconds each; with --signed, contexts are
signed rather than guarded; with --hosted, the databases are set up by a role with CREATEROLE and CREATEDB, as where
nobody is a superuser, which needs a server without Callboard's roles. With DATABASE_URL, a superuser's login, it uses that server, and gives its callboard_*
roles new passwords: choose one that nobody else uses.`
const given = process.env['DATABASE_URL']
const checkout = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')
const root = join(await memory(), `callboard-test-${process.pid}`)
const mirror = join(checkout, `.data/build-${process.pid}`)
const {
  values: { drills: isDrill, signed: isSigned, hosted: isHosted, jobs, timeout },
  positionals: named,
} = readArguments(
  usage,
  {
    drills: { type: 'boolean', default: false },
    signed: { type: 'boolean', default: false },
    hosted: { type: 'boolean', default: false },
    // Tests mostly wait, so run twice as many as a small machine has cores. Drills are timing-sensitive, and so
    // have the machine to themselves.
    jobs: { type: 'string' },
    timeout: { type: 'string', default: '600' },
  },
  Infinity,
)
const files = await chosen(named)
const isWhole = named.length === 0 && !isDrill
// Where .ci/run collects the coverage of the suite and the drills; it checks both together.
const collected = process.env['CALLBOARD_COVERAGE']
// V8 writes coverage there for every process, even those that a test starts, and as another user.
const coverage = collected ?? (isWhole ? join(checkout, `.data/coverage-${process.pid}`) : undefined)
// Tests lose nothing in a power failure, and would mostly wait for the disk.
const settings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '300' }
const embedded = given === undefined ? await startEmbedded({ root, port: 0, settings }) : undefined
const adminUrl = given ?? embedded?.adminUrl ?? ''
const template = `callboard_template_${process.pid}`
const password = randomBytes(16).toString('hex')
let code: number
let building: Promise<void> | undefined
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
  const contract = join(mirror, 'openapi.json')
  const built = build(checkout, mirror).then(async () => {
    const failed = await run(mirror, ['scripts/openapi.js', contract], process.env)
    if (failed !== 0) throw new Error('The OpenAPI document cannot be made')
  })
  building = built
  const setUpUrl = isHosted ? await hostedAdmin(adminUrl) : adminUrl
  const missing = [
    ...(await createRoles(setUpUrl, Object.fromEntries(roles.map(role => [role, password])))),
    ...(await createDatabase(adminUrl, template, undefined, setUpUrl)),
  ]
  for (const line of missing) process.stderr.write(`${line}\n`)
  if (isSigned) await onServer(adminUrl, 'revoke set on parameter backtrace_functions from callboard_definer')
  const carrier = await migrate(
    withUrl(adminUrl, { database: template, user: 'callboard_migrator', password }),
  )
  await built
  // The tests choose the server's environment themselves.
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.endsWith('DATABASE_URL')),
  )
  const suite = ['test/support/suite.js', `--jobs=${jobs ?? (isDrill ? 1 : 4)}`, `--timeout=${timeout}`]
  if (isDrill) suite.push('--fresh')
  code = await run(
    mirror,
    [...suite, ...files],
    {
      ...inherited,
      ADMIN_DATABASE_URL: adminUrl,
      TEST_SET_UP_URL: setUpUrl,
      TEST_TEMPLATE: template,
      TEST_PASSWORD: password,
      TEST_CONTRACT: contract,
      TEST_CONTEXT: carrier,
      ...(coverage !== undefined && { NODE_V8_COVERAGE: coverage }),
    },
    true,
  )
  if (coverage !== undefined) await attribute(coverage, checkout, mirror)
  if (coverage !== undefined && collected === undefined) {
    const report = [join(checkout, 'node_modules/c8/bin/c8.js'), 'report', '--temp-directory', coverage]
    // The rest of the branches is for the drills, and for what needs a package of the system.
    const covered = await run(checkout, [...report, '--branches', '90'], process.env)
    code = code === 0 ? covered : code
  }
} finally {
  // What else failed is to be heard of, not that the folder was still being filled.
  await building?.catch(() => {})
  for (const folder of [mirror, collected === undefined ? coverage : undefined])
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  await dropDatabase(adminUrl, template).catch(() => {})
  if (embedded) {
    await embedded.stop()
    for (const folder of [root, dirname(embedded.dataDir)]) await rm(folder, { recursive: true, force: true })
  }
}
process.exit(code)

/**
 * The folder for the databases: in memory, if there is room. ext4 passes over the inodes of what was just deleted,
 * which makes a clone four times as expensive after hundreds of others were dropped.
 */
async function memory(): Promise<string> {
  const shared = '/dev/shm'
  const found = await statfs(shared).catch(() => undefined)
  return found !== undefined && found.bavail * found.bsize > 4e9 ? shared : join(checkout, '.data')
}

/** The requested compiled test files, by name or by folder; drills only on request. */
async function chosen(named: string[]): Promise<string[]> {
  const all = (await readdir(join(checkout, 'test'), { recursive: true }))
    .map(name => `test/${name}`)
    .filter(name => /\.(test|drill)\.ts$/.test(name))
  const ofKind = all.filter(name => name.endsWith('.drill.ts') === isDrill)
  const unknown: string[] = []
  const found = named.flatMap(argument => {
    const path = relative(checkout, join(process.cwd(), argument))
    const below = all.includes(path) ? [path] : ofKind.filter(name => name.startsWith(`${path}/`))
    if (below.length === 0) unknown.push(argument)
    return below
  })
  if (unknown.length > 0) {
    misuse(usage, `There is no test ${unknown.join(', ')}`)
  }
  const rank = (name: string) => longest.findIndex(start => name.startsWith(start)) + 1 || longest.length + 1
  return [...new Set(named.length === 0 ? ofKind : found)]
    .sort((one, other) => rank(one) - rank(other) || one.localeCompare(other))
    .map(name => name.replace(/ts$/, 'js'))
}

/** The URL of a login like those of hosted servers; they may grant more, but not everywhere. */
async function hostedAdmin(url: string): Promise<string> {
  await onServer(url, `create role hosted_admin login createrole createdb password '${password}'`)
  return withUrl(url, { user: 'hosted_admin', password })
}

async function onServer(url: string, statement: string): Promise<void> {
  const sql = postgres(url, { max: 1 })
  await sql.unsafe(statement).finally(() => sql.end())
}

/** Runs a program to completion and returns its exit code; on a terminal, tap reports its TAP. */
async function run(cwd: string, args: string[], env: NodeJS.ProcessEnv, isTap = false): Promise<number> {
  const isReported = isTap && process.stdout.isTTY
  const child = spawn(process.execPath, args, {
    stdio: ['inherit', isReported ? 'pipe' : 'inherit', 'inherit'],
    cwd,
    env,
  })
  let reported: Promise<unknown> | undefined
  if (isReported) {
    const reporter = [join(checkout, 'node_modules/tap/dist/esm/run.mjs'), 'run', '--timeout=0', '-']
    const report = spawn(process.execPath, reporter, { stdio: ['pipe', 'inherit', 'inherit'], cwd })
    child.stdout?.pipe(report.stdin)
    reported = once(report, 'close')
  }
  const pass = (signal: NodeJS.Signals) => child.kill(signal)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, pass)
  const code = await new Promise<number>(resolve =>
    child.on('exit', status => {
      resolve(status ?? 1)
    }),
  )
  await reported
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, pass)
  return code
}
