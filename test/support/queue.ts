import type { PendingQuery, Row, TransactionSql } from 'postgres'
import type { Database } from './helper.ts'

/**
 * Holds what `lock` locks until all requests wait for it, then releases it: each has read the state
 * before the others, and they get the lock in the given order.
 */
export async function queue<T>(
  { admin }: Database,
  lock: (sql: TransactionSql) => PendingQuery<Row[]>,
  ...sends: (() => Promise<T>)[]
): Promise<T[]> {
  const sent: Promise<T>[] = []
  await admin.begin(async sql => {
    await lock(sql)
    for (const send of sends) {
      sent.push(send())
      let waiting = 0
      while (waiting < sent.length) {
        const rows = await admin`
          select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
        waiting = rows.length
      }
    }
  })
  return Promise.all(sent)
}
