import type { Config } from '../config.ts'
import { type Embedded, secret, startEmbedded } from './embedded.ts'
import { asMigrator } from './beside-traffic.ts'
import { migrate } from './migrate.ts'
import { createDatabase, createRoles, databaseExists, setDatabasePrivileges, withUrl } from './provision.ts'

export interface LocalDatabase {
  apiUrl: string
  migratorUrl: string
  workerUrl: string
  supportUrl: string
  jwtSecret: string
  embedded: Embedded
}

const database = 'callboard'

/**
 * The whole database of a fresh machine: an embedded server with roles and schema. `say` announces the steps that take
 * time; `check` rejects if the rest of the program could not start, so that nothing is filled in vain.
 */
export async function startLocalDatabase(
  config: Config,
  say: (line: string) => void,
  check: () => Promise<void>,
): Promise<LocalDatabase> {
  const root = config.DATA_DIR
  const embedded = await startEmbedded({ root, port: config.EMBEDDED_PORT })
  try {
    for (const note of embedded.notes) say(note)
    await check()
    const roles = ['callboard_api', 'callboard_migrator', 'callboard_worker', 'callboard_support']
    const as = (user: string) => withUrl(embedded.adminUrl, { database, user, password: secret(root, user) })
    const urls = {
      apiUrl: as('callboard_api'),
      migratorUrl: as('callboard_migrator'),
      workerUrl: as('callboard_worker'),
      supportUrl: as('callboard_support'),
    }
    await createRoles(embedded.adminUrl, Object.fromEntries(roles.map(role => [role, secret(root, role)])))
    if (!(await databaseExists(embedded.adminUrl, database))) {
      say('Creating the database …')
      await createDatabase(embedded.adminUrl, database)
    }
    // Also for an existing database: the process that created it may have been killed before this step.
    await setDatabasePrivileges(withUrl(embedded.adminUrl, { database }))
    await migrate(urls.migratorUrl)
    await asMigrator(urls.migratorUrl, pool => pool.query('select app_private.accept_passwords()'))
    return { ...urls, jwtSecret: secret(root, 'jwt'), embedded }
  } catch (error) {
    await embedded.stop()
    throw error
  }
}
