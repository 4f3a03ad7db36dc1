import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Logger } from '@graphile/logger'
import { migrate as runMigrations, type Settings } from 'graphile-migrate'
import { Logger as WorkerLogger, makeWorkerUtils } from 'graphile-worker'
import pg from 'pg'
import type { Carrier } from './context.ts'
import { root } from '../root.ts'
import { tls } from './node-postgres.ts'

const db = new URL('db/', root)
const committed = new URL('migrations/committed/', db)

/** The database has run migrations that this version does not have; the message says what to do. */
export class ForeignMigrations extends Error {
  override name = 'ForeignMigrations'
}

/** Settings of graphile-migrate for a database, logged in as callboard_migrator. */
export function migrationSettings(migratorUrl: string, log: (line: string) => void = () => {}): Settings {
  return {
    connectionString: migratorUrl,
    migrationsFolder: fileURLToPath(new URL('migrations', db)),
    databaseOwner: 'callboard_owner',
    logger: new Logger(() => (level: string, message) => {
      if (level !== 'debug') log(message)
    }),
  }
}

/**
 * Throws ForeignMigrations for a database that has run a migration which is not among the committed ones: it is
 * from before they were replaced by one baseline, or from a later release. graphile-migrate itself compares only
 * file names, and would consider such a database up to date.
 */
async function checkHistory(pool: pg.Pool): Promise<void> {
  const { rows: found } = await pool.query<{ there: boolean }>(
    `select to_regclass('graphile_migrate.migrations') is not null as there`,
  )
  if (!found[0]?.there) return
  const { rows } = await pool.query<{ filename: string; hash: string }>(
    'select filename, hash from graphile_migrate.migrations order by filename',
  )
  const known = new Set<string>()
  for (const file of await readdir(committed)) {
    const text = await readFile(new URL(file, committed), 'utf8')
    known.add(/^--! Hash: (\S+)$/m.exec(text)?.[1] ?? '')
  }
  const foreign = rows.find(({ hash }) => !known.has(hash))
  if (foreign)
    throw new ForeignMigrations(
      `This database has run the migration ${foreign.filename}, which this version of Callboard does not have. ` +
        'Before 0.2.0 the migrations were replaced by one baseline, and an older database cannot be migrated. ' +
        'Export what you want to keep as CSV with the version that created it (GET /api/exports/…), then import it into a new database; ' +
        'or, if it is the embedded database of a demo, delete the folder .data and start again.',
    )
}

function migratorPool(migratorUrl: string): pg.Pool {
  const pool = new pg.Pool({
    ...tls(migratorUrl, false),
    max: 1,
    application_name: 'callboard migrate',
    connectionTimeoutMillis: 10_000,
    statement_timeout: 600_000,
  })
  // Without listeners the loss of a connection would end the process; pending queries reject anyway.
  pool.on('error', () => {})
  pool.on('connect', client => client.on('error', () => {}))
  return pool
}

/** Installs or upgrades graphile-worker's schema to the package's version, with the privileges of db/queue.sql. */
async function installQueue(migratorUrl: string): Promise<void> {
  const pool = migratorPool(migratorUrl)
  try {
    await checkHistory(pool)
    const utils = await makeWorkerUtils({ pgPool: pool, logger: new WorkerLogger(() => () => {}) })
    await utils.release()
    await pool.query(await readFile(new URL('queue.sql', db), 'utf8'))
  } finally {
    await pool.end()
  }
}

/**
 * Chooses how contexts are carried, and returns it: guarded if db/roles.sql could grant callboard_definer the
 * setting, else signed. Migrations contain the signed functions; this replaces them, unless they are as they should be.
 */
export async function chooseContext(migratorUrl: string): Promise<Carrier> {
  const pool = migratorPool(migratorUrl)
  try {
    const { rows } = await pool.query<{ may: boolean; present: string | null }>(
      `select has_parameter_privilege('callboard_definer', 'backtrace_functions', 'set') as may,
        obj_description('app_private.context()'::regprocedure, 'pg_proc') as present`,
    )
    const carrier = rows[0]?.may ? 'guarded' : 'signed'
    const text = await readFile(new URL(`schema/foundation/context/${carrier}.sql`, db), 'utf8')
    const mark = `${carrier} ${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
    if (!rows[0]?.present?.endsWith(mark))
      // One message is one transaction.
      await pool.query(`set local lock_timeout = '5s'; ${text};
        comment on function app_private.context() is 'The whole context of this transaction; all fields are NULL without a genuine one: ${mark}'`)
    return carrier
  } finally {
    await pool.end()
  }
}

/**
 * Runs all committed migrations; a failed one changes nothing. Then chooses how contexts are carried, and returns it.
 * Throws ForeignMigrations.
 */
export async function migrate(migratorUrl: string, log?: (line: string) => void): Promise<Carrier> {
  // First, because a migration may queue a job.
  await installQueue(migratorUrl)
  await runMigrations(migrationSettings(migratorUrl, log))
  return chooseContext(migratorUrl)
}
