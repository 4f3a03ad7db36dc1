// `npm run migration:commit -- "what it does"` turns db/migrations/current.sql into the next
// committed migration. It runs on an embedded PostgreSQL of its own, so you need no database.
// `npm run migration:baseline` replaces all migrations with one that creates the whole schema. This is
// only allowed before 0.2.0, because databases will have run the migrations released since.
import { cp, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { commit } from 'graphile-migrate'
import { startEmbedded } from '../../src/database/embedded.ts'
import { migrationSettings } from '../../src/database/migrate.ts'
import { createDatabase, createRoles, withUrl } from '../../src/database/provision.ts'
import { version } from '../../src/version.ts'

const isBaseline = process.argv[2] === '--baseline'
const message = isBaseline ? 'callboard' : process.argv[2]
if (message === undefined)
  throw new Error('Say what the migration does: npm run migration:commit -- "add tours"')
if (isBaseline) {
  if (!version.startsWith('0.1.'))
    throw new Error(
      `Committed migrations have been frozen since 0.2.0, and this is ${version}: write a migration.`,
    )
  const db = new URL('../../db/', import.meta.url)
  await rm(new URL('migrations/committed/', db), { recursive: true, force: true })
  await cp(new URL('schema.sql', db), new URL('migrations/current.sql', db))
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
  // graphile-migrate keeps a connection open for a moment and exits the process if that is cut.
  await setTimeout(400)
} finally {
  await embedded.stop()
  for (const folder of [root, dirname(dataDir)]) await rm(folder, { recursive: true, force: true })
}
