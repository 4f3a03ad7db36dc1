// `npm run migration:commit -- "what it does"` turns db/migrations/current.sql into the next
// committed migration. It runs on an embedded PostgreSQL of its own, so you need no database.
// `npm run migration:baseline` replaces all migrations with one that creates the whole schema. This is
// only allowed before 0.2.0, because databases will have run the migrations released since.
import { cpSync, readFileSync, rmSync } from 'node:fs'
import { cp, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { commit } from 'graphile-migrate'
import { misuse, readArguments } from '../../src/arguments.ts'
import { startEmbedded } from '../../src/database/embedded.ts'
import { migrationSettings } from '../../src/database/migrate.ts'
import { createDatabase, createRoles, dropDatabase, withUrl } from '../../src/database/provision.ts'
import { version } from '../../src/version.ts'

const usage = `Usage: npm run migration:commit -- "<what it does>"
       npm run migration:baseline
The first commits db/migrations/current.sql; the second replaces all migrations with one that creates the whole schema.`

let isDone = false
const {
  values: { baseline: isBaseline },
  positionals: [given],
} = readArguments(usage, { baseline: { type: 'boolean', default: false } }, 1)
const message = isBaseline ? 'callboard' : given
if (message === undefined)
  misuse(usage, 'Say what the migration does: npm run migration:commit -- "add tours"')
if (isBaseline) {
  if (!version.startsWith('0.1.'))
    misuse(
      usage,
      `Committed migrations have been frozen since 0.2.0, and this is ${version}: write a migration.`,
    )
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
  await rm(new URL('committed/', migrations), { recursive: true, force: true })
  await cp(new URL('schema.sql', db), new URL('current.sql', migrations))
} else {
  const current = readFileSync(new URL('../../db/migrations/current.sql', import.meta.url), 'utf8')
  // Lines that begin with --! are graphile-migrate's.
  if (current.split('\n').every(line => /^\s*(--(?!!).*)?$/.test(line)))
    misuse(usage, 'db/migrations/current.sql is empty: write the migration there first.')
}

const root = fileURLToPath(new URL('../../.data/commit', import.meta.url))
const embedded = await startEmbedded({ root, port: 0, settings: { fsync: 'off' } })
const { adminUrl, dataDir } = embedded
try {
  await createRoles(adminUrl, { callboard_migrator: 'only on this machine, for a moment' })
  const as = (database: string) =>
    withUrl(adminUrl, {
      database,
      user: 'callboard_migrator',
      password: 'only on this machine, for a moment',
    })
  // What an attempt that failed has left.
  for (const database of ['current', 'shadow']) await dropDatabase(adminUrl, database)
  await createDatabase(adminUrl, 'current')
  await commit(
    {
      ...migrationSettings(as('current'), line => {
        console.log(line)
      }),
      shadowConnectionString: as('shadow'),
      rootConnectionString: adminUrl,
    },
    message,
  )
  isDone = true
  // graphile-migrate keeps a connection open for a moment and exits the process if that is cut.
  await setTimeout(400)
} finally {
  await embedded.stop()
  for (const folder of [root, dirname(dataDir)]) await rm(folder, { recursive: true, force: true })
}
