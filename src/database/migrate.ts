import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Logger } from '@graphile/logger'
import { migrate as runCommitted, type Settings } from 'graphile-migrate'
import { clearAllPools } from 'graphile-migrate/dist/pgReal.js'
import { Logger as WorkerLogger, makeWorkerUtils } from 'graphile-worker'
import type pg from 'pg'
import {
  asMigrator,
  dropInvalidIndexes,
  endBiInWay,
  isConcurrent,
  pauseRefreshes,
  remakeRows,
  runConcurrently,
  withLockTimeout,
} from './beside-traffic.ts'
import { type Committed, committedMigrations } from './committed.ts'
import type { Carrier } from './context.ts'
import { root } from '../root.ts'
import { version } from '../version.ts'
import { releaseMark } from './release.ts'

const db = new URL('db/', root)
const ours = new URL('migrations/', db)

/** The database has run migrations that this version does not have; the message says what to do. */
export class ForeignMigrations extends Error {
  override name = 'ForeignMigrations'
}

/** Settings of graphile-migrate for a database, logged in as callboard_migrator. */
export function migrationSettings(
  migratorUrl: string,
  log: (line: string) => void = () => {},
  folder = ours,
): Settings {
  return {
    connectionString: withLockTimeout(migratorUrl),
    migrationsFolder: fileURLToPath(folder),
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
async function checkHistory(pool: pg.Pool, migrations: Committed[]): Promise<void> {
  const rows = await historyOf(pool)
  const known = new Set(migrations.map(({ hash }) => hash))
  const foreign = rows.find(({ hash }) => !known.has(hash))
  if (foreign)
    throw new ForeignMigrations(
      `This database has run the migration ${foreign.filename}, which this version of Callboard does not have. ` +
        'Before 0.2.0 the migrations were replaced by one baseline, and an older database cannot be migrated. ' +
        'Export what you want to keep as CSV with the version that created it (GET /api/exports/…), then import it into a new database; ' +
        'or, if it is the embedded database of a demo, delete the folder .data and start again.',
    )
}

/** The migrations that a database has run. */
async function historyOf(pool: pg.Pool): Promise<{ filename: string; hash: string }[]> {
  const { rows: found } = await pool.query<{ there: boolean }>(
    `select to_regclass('graphile_migrate.migrations') is not null as there`,
  )
  if (!found[0]?.there) return []
  const { rows } = await pool.query<{ filename: string; hash: string }>(
    'select filename, hash from graphile_migrate.migrations order by filename',
  )
  return rows
}

/** Installs or upgrades graphile-worker's schema to the package's version, with the privileges of db/queue.sql. */
async function installQueue(migratorUrl: string): Promise<void> {
  await asMigrator(migratorUrl, async pool => {
    const utils = await makeWorkerUtils({ pgPool: pool, logger: new WorkerLogger(() => () => {}) })
    await utils.release()
    await pool.query(await readFile(new URL('queue.sql', db), 'utf8'))
  })
}

/**
 * Chooses how contexts are carried, and returns it: guarded if db/roles.sql could grant callboard_definer the
 * setting, else signed. Migrations contain the signed functions; this replaces them, unless they are as they should be.
 */
export async function chooseContext(migratorUrl: string): Promise<Carrier> {
  return asMigrator(migratorUrl, async pool => {
    const { rows } = await pool.query<{ may: boolean; present: string | null }>(
      `select has_parameter_privilege('callboard_definer', 'backtrace_functions', 'set') as may,
        obj_description('app_private.context()'::regprocedure, 'pg_proc') as present`,
    )
    const carrier = rows[0]?.may ? 'guarded' : 'signed'
    const text = await readFile(new URL(`schema/foundation/context/${carrier}.sql`, db), 'utf8')
    const mark = `${carrier} ${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
    if (!rows[0]?.present?.endsWith(mark))
      // One message is one transaction.
      await pool.query(`${text};
        comment on function app_private.context() is 'The whole context of this transaction; all fields are NULL without a genuine one: ${mark}'`)
    return carrier
  })
}

/**
 * Closes graphile-migrate's connection when it has done its work. By itself it keeps one for 200 ms, and ends the
 * whole process if that is lost meanwhile, as when the server restarts or the database is dropped.
 */
export function closingConnection<T>(work: Promise<T>): Promise<T> {
  return work.finally(clearAllPools)
}

/** Settings of `migrate`. */
export interface MigrateOptions {
  /** For how many seconds it tries again if others hold a lock. */
  wait?: number
  /** For how many seconds transactions of BI tools may be in its way. */
  waitForBi?: number
  /** The migrations, instead of db/migrations/. */
  folder?: URL
}

/**
 * Runs all committed migrations, and logs those that it has run as an event, even if one of them fails. See
 * `runPending`.
 */
export async function migrate(
  migratorUrl: string,
  log: (line: string) => void = () => {},
  options: MigrateOptions = {},
): Promise<Carrier> {
  const before = await pendingMigrations(migratorUrl, options.folder)
  const stopEnding = endBiInWay(migratorUrl, options.waitForBi ?? 30, log)
  try {
    return await runPending(migratorUrl, before, log, options)
  } finally {
    await stopEnding()
    if (before.length > 0) await logRun(migratorUrl, before, log, options.folder)
  }
}

/** Writes an event of the migrations that were pending and are not any more. That it cannot is no reason to fail. */
async function logRun(
  migratorUrl: string,
  before: Committed[],
  log: (line: string) => void,
  folder?: URL,
): Promise<void> {
  try {
    const left = new Set((await pendingMigrations(migratorUrl, folder)).map(({ hash }) => hash))
    const run = before.filter(({ hash }) => !left.has(hash)).map(({ file }) => file)
    if (run.length === 0) return
    await asMigrator(migratorUrl, async pool => {
      await pool.query('select app_private.log_migrations($1, $2)', [version, run])
    })
  } catch (error) {
    log(`The event log does not have which migrations were run: ${(error as Error).message}`)
  }
}

/**
 * Runs the pending migrations; a failed one changes nothing. Then chooses how contexts are carried, and returns it.
 * Where others hold a lock, it gives up after a moment, so that nobody waits behind it, and tries again. Throws
 * ForeignMigrations, EditedMigration.
 */
async function runPending(
  migratorUrl: string,
  pending: Committed[],
  log: (line: string) => void,
  { wait = 600, folder = ours }: MigrateOptions,
): Promise<Carrier> {
  const until = performance.now() + wait * 1000
  let next = pending[0]
  for (let attempt = 1; ; attempt += 1) {
    const resume = next ? await pauseRefreshes(migratorUrl, attempt) : () => Promise.resolve()
    try {
      const left = () => Math.ceil(Math.max(1, (until - performance.now()) / 1000))
      if (next) await dropInvalidIndexes(migratorUrl, left())
      // graphile-migrate then finds it done: IF NOT EXISTS. One that is not the next gives up after a moment, and is then.
      if (next && isConcurrent(next.text)) {
        log(`Running ${next.file} beside whatever is in progress`)
        await runConcurrently(migratorUrl, next.text, left())
      }
      // First, because a migration may queue a job.
      await installQueue(migratorUrl)
      await closingConnection(runCommitted(migrationSettings(migratorUrl, log, folder)))
      const carrier = await chooseContext(migratorUrl)
      await remakeRows(migratorUrl, log)
      await noteRelease(migratorUrl)
      return carrier
    } catch (error) {
      const { code = '', message } = error as NodeJS.ErrnoException
      // A lock that was not to be had in time, or a deadlock.
      if (!['55P03', '40P01'].includes(code) || performance.now() > until) throw error
      log(`Others hold a lock (${message}); trying again, attempt ${attempt + 1}`)
    } finally {
      await resume()
    }
    await setTimeout(300 + Math.random() * 700)
    next = (await pendingMigrations(migratorUrl, folder))[0]
  }
}

/** The committed migrations that a database has not run yet. Throws ForeignMigrations, EditedMigration. */
export async function pendingMigrations(migratorUrl: string, folder = ours): Promise<Committed[]> {
  const migrations = await committedMigrations(new URL('committed/', folder))
  return asMigrator(migratorUrl, async pool => {
    await checkHistory(pool, migrations)
    const run = new Set((await historyOf(pool)).map(({ hash }) => hash))
    return migrations.filter(({ hash }) => !run.has(hash))
  })
}

/** Notes with which release the database was migrated, for audits. */
async function noteRelease(migratorUrl: string): Promise<void> {
  await asMigrator(migratorUrl, async pool => {
    await pool.query(`comment on schema graphile_migrate is '${releaseMark()}'`)
  })
}
