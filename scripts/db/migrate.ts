// `npm run migrate` applies pending migrations to the database of MIGRATOR_DATABASE_URL.
import { misuse, readArguments } from '../../src/arguments.ts'
import { ConfigError, readConfig } from '../../src/config.ts'
import { type Committed, EditedMigration } from '../../src/database/committed.ts'
import { ForeignMigrations, migrate, pendingMigrations } from '../../src/database/migrate.ts'

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

const usage = `Usage: npm run migrate -- [--plan] [--wait <seconds>]
Applies pending migrations to the database of MIGRATOR_DATABASE_URL, beside traffic.

  --plan            only say which are pending and which locks they take
  --wait <seconds>  how long to try again if others hold a lock (600)`
const { values } = readArguments(usage, {
  plan: { type: 'boolean', default: false },
  wait: { type: 'string', default: '600' },
})
const wait = Number(values.wait)
if (!Number.isInteger(wait) || wait < 0 || values.wait.trim() === '')
  misuse(usage, `--wait takes a number of seconds, not '${values.wait}'`)

function fail(error: unknown): never {
  if (error instanceof ForeignMigrations || error instanceof EditedMigration) give(error.message)
  const { code = '', message } = error as NodeJS.ErrnoException
  if (code === '55P03')
    give(`Others have held a lock for ${wait} seconds (${message}); nothing of this migration was done.`)
  // An error in a migration is shown in full, a failed connection in one line.
  if (!/^(28|3D|57P|E[A-Z])/.test(code)) throw error
  // If a host name has several addresses, Node's error has a code but no message.
  give(`MIGRATOR_DATABASE_URL: cannot connect: ${message || code}`)
}

/** What a pending migration would do, from the comments that npm run migration:commit has written. */
function planOf({ file, text }: Committed): string {
  const locks = [...text.matchAll(/^-- Lock: (.*)$/gm)].map(([, lock]) => `  ${lock}`)
  if (/^--! no-transaction/m.test(text))
    locks.push('  outside a transaction; locks out neither readers nor writers')
  return [file, ...(locks.length > 0 ? locks : ['  locks nothing that others wait for'])].join('\n')
}

if (values.plan) {
  const pending = await pendingMigrations(migratorUrl()).catch(fail)
  console.log(pending.length === 0 ? 'No migration is pending.' : pending.map(planOf).join('\n'))
  process.exit()
}
const carrier = await migrate(
  migratorUrl(),
  line => {
    console.log(line)
  },
  { wait },
).catch(fail)
console.log(
  carrier === 'guarded'
    ? "The context of a request is guarded: only the database's own functions may set it."
    : 'The context of a request is signed. It is faster where db/roles.sql, run by a superuser, may grant callboard_definer the setting backtrace_functions.',
)
