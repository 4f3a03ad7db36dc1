import { Unavailable } from './errors.ts'
import type { Client } from './pool.ts'

/** What to do about a database of which app.is_restored() is true. */
export const restoredAdvice =
  'The database is a copy of the past, restored, recovered or cloned: sessions, BI logins and the like that have ended since are back. Run npm run restored before it is served (docs/operate/backup.md).'

/**
 * The statements by which a program asks on each new connection, because a database can be replaced while it runs. As
 * long as a server is in recovery, its timeline is that of the original.
 */
export const askWhetherCopy = {
  primary: 'select app.is_restored() or pg_is_in_recovery() as is_copy',
  standby: 'select app.is_restored() as is_copy',
}

/** Rejects if the database is a copy of the past that nobody has dealt with; for PoolOptions. */
export const refuseCopy =
  (of: keyof typeof askWhetherCopy) =>
  async (client: Client): Promise<void> => {
    const [row] = await client.unsafe<[{ is_copy: boolean }]>(askWhetherCopy[of])
    if (row.is_copy) throw new Unavailable('restored', new Error(restoredAdvice))
  }
