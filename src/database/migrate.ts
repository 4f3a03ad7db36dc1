import { fileURLToPath } from 'node:url'
import { Logger } from '@graphile/logger'
import { migrate as runMigrations, type Settings } from 'graphile-migrate'

/** Settings of graphile-migrate for one database, logged in as callboard_migrator. */
export function migrationSettings(migratorUrl: string, log: (line: string) => void = () => {}): Settings {
  return {
    connectionString: migratorUrl,
    migrationsFolder: fileURLToPath(new URL('../../db/migrations', import.meta.url)),
    databaseOwner: 'callboard_owner',
    logger: new Logger(() => (level: string, message) => {
      if (level !== 'debug') log(message)
    }),
  }
}

/** Brings the database to the newest committed migration; a migration that fails leaves it as it was. */
export async function migrate(migratorUrl: string, log?: (line: string) => void): Promise<void> {
  await runMigrations(migrationSettings(migratorUrl, log))
}
