// `npm run migrate` applies pending migrations to the database of MIGRATOR_DATABASE_URL.
import { readArguments } from '../../src/arguments.ts'
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
    'Set MIGRATOR_DATABASE_URL to the connection of callboard_migrator. (npm start migrates the embedded database automatically.)',
  )
}

readArguments(
  'Usage: npm run migrate\nApplies pending migrations to the database of MIGRATOR_DATABASE_URL.',
  {},
)
const carrier = await migrate(migratorUrl(), line => {
  console.log(line)
}).catch((error: unknown) => {
  if (error instanceof ForeignMigrations) give(error.message)
  const { code = '', message } = error as NodeJS.ErrnoException
  // An error in a migration is shown in full, a failed connection in one line.
  if (!/^(28|3D|57P|E[A-Z])/.test(code)) throw error
  // If a host name has several addresses, Node's error has a code but no message.
  give(`MIGRATOR_DATABASE_URL: cannot connect: ${message || code}`)
})
console.log(
  carrier === 'guarded'
    ? "The context of a request is guarded: only the database's own functions may set it."
    : 'The context of a request is signed. It is faster where db/roles.sql, run by a superuser, may grant callboard_definer the setting backtrace_functions.',
)
