import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { secret, startEmbedded } from '../../../src/database/embedded.ts'
import { migrate } from '../../../src/database/migrate.ts'
import {
  createDatabase,
  createRoles,
  databaseExists,
  dropDatabase,
  withUrl,
} from '../../../src/database/provision.ts'
import { fill } from './fill.ts'
import { fingerprint, nameOf, type Size } from './sizes.ts'

/** A PostgreSQL server to measure on. */
export interface Server {
  adminUrl: string
  /** Whether the server was started for the benchmark; the one of DATABASE_URL was not. */
  isOwn: boolean
  passwordOf: (role: string) => string
  stop: () => Promise<void>
}

/** A filled database of one size. */
export interface Filled {
  size: Size
  name: string
  /** The day from which everything is counted back. */
  day: string
  /** How long filling took; 0 for an existing database. */
  seconds: number
  url: (role: string) => string
  adminUrl: string
}

/** Databases are filled for this day, by UTC. */
export const today = () => new Date().toISOString().slice(0, 10)

export const say = (line: string) => process.stderr.write(`${line}\n`)

/** The folder of servers that the benchmark starts. */
export const dataFolder = process.env['DATA_DIR'] ?? fileURLToPath(new URL('../../../.data', import.meta.url))

/** The server of DATABASE_URL, which must be a superuser's login, or an embedded one in its own folder. */
export async function startServer(): Promise<Server> {
  const given = process.env['DATABASE_URL']
  if (given !== undefined && given !== '') {
    // Its callboard_* roles get new passwords, as in the tests.
    const password = randomBytes(16).toString('hex')
    return { adminUrl: given, isOwn: false, passwordOf: () => password, stop: async () => {} }
  }
  const root = join(dataFolder, 'bench')
  const embedded = await startEmbedded({ root, port: 0, settings })
  for (const note of embedded.notes) say(note)
  return {
    adminUrl: embedded.adminUrl,
    isOwn: true,
    passwordOf: role => secret(root, role),
    stop: () => embedded.stop(),
  }
}

// Typical settings for a server with this much data. Commits do not wait for the disk, which would level out the
// differences between contenders.
const settings = {
  shared_buffers: '2GB',
  maintenance_work_mem: '1GB',
  max_wal_size: '8GB',
  checkpoint_timeout: '30min',
  synchronous_commit: 'off',
  max_connections: '200',
}

export const roles = ['callboard_api', 'callboard_migrator', 'callboard_worker', 'callboard_support']

/** The database of a size: the existing one if it matches, otherwise a new one, filled. `wanted` is its day, if that matters. */
export async function prepare(server: Server, size: Size, keep: boolean, wanted?: string): Promise<Filled> {
  const name = nameOf(size)
  const adminUrl = withUrl(server.adminUrl, { database: name })
  const url = (role: string) => withUrl(adminUrl, { user: role, password: server.passwordOf(role) })
  await createRoles(server.adminUrl, Object.fromEntries(roles.map(role => [role, server.passwordOf(role)])))
  const mark = (await databaseExists(server.adminUrl, name)) ? await markOf(adminUrl) : undefined
  const isOfDay = wanted === undefined || mark?.day === wanted
  if (mark !== undefined && isOfDay && (keep || mark.fingerprint === fingerprint())) {
    if (mark.fingerprint !== fingerprint()) await migrate(url('callboard_migrator'))
    say(`Found ${name}, filled on ${mark.day}`)
    return { size, name, day: mark.day, seconds: 0, url, adminUrl }
  }
  const day = today()
  const begun = performance.now()
  await dropDatabase(server.adminUrl, name)
  await createDatabase(server.adminUrl, name)
  await migrate(url('callboard_migrator'))
  await fill(adminUrl, size, day, line => {
    say(`Filling ${name}: ${line}`)
  })
  await setMark(adminUrl, { day, fingerprint: fingerprint() })
  const seconds = (performance.now() - begun) / 1000
  say(`Filled ${name} in ${seconds.toFixed(0)} s`)
  return { size, name, day, seconds, url, adminUrl }
}

interface Mark {
  day: string
  fingerprint: string
}

/** The comment on the database, which is set once it has been filled. */
async function markOf(url: string): Promise<Mark | undefined> {
  const sql = postgres(url, { max: 1 })
  try {
    const [row] = await sql<[{ mark: string | null }]>`
      select shobj_description(oid, 'pg_database') as mark from pg_database where datname = current_database()`
    return row.mark === null ? undefined : (JSON.parse(row.mark) as Mark)
  } finally {
    await sql.end()
  }
}

async function setMark(url: string, mark: Mark): Promise<void> {
  const sql = postgres(url, { max: 1 })
  const [row] = await sql<[{ statement: string }]>`
    select format('comment on database %I is %L', current_database(), ${JSON.stringify(mark)}::text) as statement`
  await sql.unsafe(row.statement)
  await sql.end()
}
