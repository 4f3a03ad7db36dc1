// `npm run migration:commit -- "what it does"` commits the next migration: db/migrations/current.sql and, after it, what
// has changed in db/schema/. It runs on an embedded PostgreSQL of its own, so you need no database.
import { cpSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { commit } from 'graphile-migrate'
import { misuse, readArguments } from '../../src/arguments.ts'
import { closingConnection, migrate, migrationSettings } from '../../src/database/migrate.ts'
import { createDatabase, createRoles, dropDatabase, withUrl } from '../../src/database/provision.ts'
import { onEmbedded } from './server.ts'
import { lintNext, nextMigration, writeCurrent } from './next-migration.ts'

const usage = `Usage: npm run migration:commit -- "<what it does>"
Commits db/migrations/current.sql and, after it, what has changed in db/schema/.`

let isDone = false
const {
  positionals: [message],
} = readArguments(usage, {}, 1)
if (message === undefined)
  misuse(usage, 'Say what the migration does: npm run migration:commit -- "add tours"')
const db = new URL('../../db/', import.meta.url)
const migrations = new URL('migrations/', db)
const before = new URL('../../.data/migrations-before/', import.meta.url)
const copy = (from: URL, to: URL) => {
  for (const name of ['committed', 'current.sql'])
    cpSync(fileURLToPath(new URL(name, from)), fileURLToPath(new URL(name, to)), { recursive: true })
}
copy(migrations, before)
// graphile-migrate ends the process at an error in the schema, and then nothing is to have changed.
process.on('exit', () => {
  if (!isDone) copy(before, migrations)
  rmSync(before, { recursive: true, force: true })
})
const next = await nextMigration()
if (next === undefined)
  misuse(
    usage,
    'There is nothing to commit: db/migrations/current.sql is empty, and no statement of db/schema/ has changed.',
  )

await onEmbedded('commit', async adminUrl => {
  await createRoles(adminUrl, { callboard_migrator: 'only on this machine, for a moment' })
  const as = (database: string) =>
    withUrl(adminUrl, {
      database,
      user: 'callboard_migrator',
      password: 'only on this machine, for a moment',
    })
  // What an attempt that failed has left.
  for (const database of ['current', 'shadow', 'before']) await dropDatabase(adminUrl, database)
  await createDatabase(adminUrl, 'current')
  await createDatabase(adminUrl, 'before')
  await migrate(as('before'))
  await writeCurrent(next, as('before'))
  if (!(await lintNext(next))) throw new Error('squawk has found what would block traffic: see .squawk.toml')
  await closingConnection(
    commit(
      {
        ...migrationSettings(as('current'), line => {
          console.log(line)
        }),
        shadowConnectionString: as('shadow'),
        rootConnectionString: adminUrl,
      },
      message,
    ),
  )
  isDone = true
}).catch((error: unknown) => {
  console.error((error as Error).message)
  process.exitCode = 1
})
