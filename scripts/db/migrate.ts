// `npm run migrate` brings the database of MIGRATOR_DATABASE_URL to the newest migration.
import { ConfigError, readConfig } from '../../src/config.ts'
import { ForeignMigrations, migrate } from '../../src/database/migrate.ts'

function give(advice: string): never {
  console.error(advice)
  process.exit(1)
}

function migratorUrl(): string {
  const { MIGRATOR_DATABASE_URL } = process.env
  try {
    const { MIGRATOR_DATABASE_URL: url } = readConfig({ MIGRATOR_DATABASE_URL })
    if (url !== undefined) return url
  } catch (error) {
    if (error instanceof ConfigError) give(error.message)
    throw error
  }
  give(
    'Set MIGRATOR_DATABASE_URL to the connection of callboard_migrator. (npm start migrates the embedded database by itself.)',
  )
}

await migrate(migratorUrl(), line => {
  console.log(line)
}).catch((error: unknown) => {
  if (error instanceof ForeignMigrations) give(error.message)
  const { code = '', message } = error as NodeJS.ErrnoException
  // Whatever a migration does wrong is shown in full; a server that does not let us in, in a line.
  if (!/^(28|3D|57P|E[A-Z])/.test(code)) throw error
  // Of a name with several addresses Node has only the code to tell.
  give(`MIGRATOR_DATABASE_URL: cannot connect: ${message || code}`)
})
