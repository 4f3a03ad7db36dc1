import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Logger } from '@graphile/logger'
import { migrate as runMigrations, type Settings } from 'graphile-migrate'
import { Logger as WorkerLogger, makeWorkerUtils } from 'graphile-worker'
import { createJobPool } from '../jobs/pool.ts'

const db = new URL('../../db/', import.meta.url)

/** Settings of graphile-migrate for one database, logged in as callboard_migrator. */
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

/** Installs the schema of graphile-worker, or brings it to the version of the package, with the rights of db/queue.sql. */
async function installQueue(migratorUrl: string): Promise<void> {
  const { pool, end } = createJobPool(migratorUrl, { size: 1, applicationName: 'callboard migrate' })
  try {
    const utils = await makeWorkerUtils({ pgPool: pool, logger: new WorkerLogger(() => () => {}) })
    await utils.release()
    await pool.query(await readFile(new URL('queue.sql', db), 'utf8'))
  } finally {
    await end()
  }
}

/** Brings the database to the newest committed migration; a migration that fails leaves it as it was. */
export async function migrate(migratorUrl: string, log?: (line: string) => void): Promise<void> {
  // First, because a migration may queue a job.
  await installQueue(migratorUrl)
  await runMigrations(migrationSettings(migratorUrl, log))
}
