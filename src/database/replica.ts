import type { PendingQuery, Row } from 'postgres'
import type { Config } from '../config.ts'
import { refuseCopy } from './origin.ts'
import { type Client, createPool, type Pool, shareOf } from './pool.ts'
import { checkDatabase } from './safety.ts'

/** A read replica. */
export interface Replica {
  pool: Pool
  /** Connections for exports only, which take long. */
  exportPool: Pool
  /** Checks its login like that of the API, and returns warnings. Throws UnsafeDatabase, or Unavailable if it is down. */
  check: () => Promise<string[]>
  /** Whether that has succeeded. */
  isChecked: () => boolean
  /** Opens a transaction there with a pass: see db/schema/foundation/replicas.sql. */
  enter: (sql: Client, pass: string) => PendingQuery<Row[]>
  close: () => Promise<void>
}

/** A pool of connections to DATABASE_REPLICA_URL, none of which is open yet. */
export function openReplica(config: Config, url: string): Replica {
  const options = {
    url,
    prepare: config.PREPARE_STATEMENTS,
    applicationName: 'callboard replica',
    admit: refuseCopy('standby'),
  }
  const pool = createPool({
    ...options,
    size: config.POOL_SIZE,
    share: shareOf(config.POOL_SIZE),
    deadline: config.DATABASE_DEADLINE * 1000,
  })
  const exportPool = createPool({
    ...options,
    size: config.EXPORT_STREAMS,
    deadline: config.EXPORT_DEADLINE * 1000,
    statementTimeout: config.EXPORT_DEADLINE * 1000,
  })
  let isChecked = false
  return {
    pool,
    exportPool,
    check: async () => {
      const warnings = await checkDatabase(url, config.NODE_ENV === 'production', true)
      isChecked = true
      return warnings
    },
    isChecked: () => isChecked,
    enter: (sql, pass) =>
      sql`select app.enter_by_pass(${pass}, ${`${config.DATABASE_REPLICA_MAX_LAG} seconds`}::text::interval) as age`,
    close: async () => {
      await Promise.all([pool.close(), exportPool.close()])
    },
  }
}
