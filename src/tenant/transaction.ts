import type { PendingQuery, Row } from 'postgres'
import { Stale } from '../database/errors.ts'
import type { Client, Pool } from '../database/pool.ts'

export type Work<T> = (sql: Client) => PromiseLike<T>

/** Codes after which the same transaction may succeed: stale plans, serialization, deadlock. */
const transient = new Set(['0A000', '26000', '40001', '40P01'])
const attempts = 3

/**
 * postgres.js repeats a prepared statement that has become stale: alone, and behind what was sent along. There
 * the transaction has failed or is over, and a second one that is repeated waits for ever. It sets `retried`
 * first, so that is where this takes the statement back.
 */
const unrepeated = {
  set(this: PendingQuery<Row[]> & { cancelled: unknown; reject: (error: unknown) => void }) {
    this.cancelled = true
    this.reject(new Stale())
  },
}

/**
 * Sends the begin, the entrance, the work and the end without waiting in between, so that work of one
 * statement costs one round trip. The first of them to fail is the error of the whole.
 */
export async function transact<T>(
  sql: Client,
  readOnly: boolean,
  enter: PendingQuery<Row[]>[],
  work: Work<T>,
  leave?: string,
): Promise<T> {
  const errors: unknown[] = []
  // postgres.js sends a query when it is asked for its outcome.
  const send = (query: PromiseLike<unknown>) => {
    if ('execute' in query) Object.defineProperty(query, 'retried', unrepeated)
    return query.then<unknown, undefined>(
      undefined,
      (error: unknown) => void errors.push(error),
    ) as PromiseLike<T | undefined>
  }
  // What injected SQL may have left on this connection (a time zone, a setting that carries
  // somebody's data) ends here: every transaction starts from the settings of its login. As one
  // message, because PostgreSQL answers each message with a packet of its own.
  const begin = `reset all; begin isolation level read committed ${readOnly ? 'read only' : 'read write'}`
  const before = [send(sql.unsafe(begin)), ...enter.map(send)]
  let result: PromiseLike<T> | undefined
  try {
    result = work(sql)
  } catch (error) {
    // BEGIN is on its way already: the transaction must end before anybody else gets the connection.
    await Promise.all(before)
    errors.push(error)
  }
  const pending = result && send(result)
  // Work that awaits has more statements to send: only then COMMIT waits for it.
  if (result && !('execute' in result)) await pending
  const end = errors.length > 0 ? 'rollback' : leave === undefined ? 'commit' : `${leave}; commit`
  const [value, ended] = await Promise.all([
    pending,
    sql.unsafe(end).then(undefined, (error: unknown) => {
      // A transaction that has failed does not answer what stands before the COMMIT: its own error says why.
      if ((error as { code?: string }).code !== '25P02') errors.push(error)
    }),
    ...before,
  ])
  // A transaction that has failed skips the COMMIT behind the question of where it was.
  if (ended === undefined) await sql`rollback`.catch(() => {})
  if (errors.length > 0) throw errors[0]
  // COMMIT of a transaction that failed succeeds, as a ROLLBACK.
  if (ended?.command !== 'COMMIT') throw new Stale()
  return value as T
}

/** A transaction on a connection of the pool, begun anew when that may help. For what no request does, too: with whatever context `enter` makes. */
export async function run<T>(
  pool: Pick<Pool, 'use'>,
  readOnly: boolean,
  enter: (sql: Client) => PendingQuery<Row[]>[],
  work: Work<T>,
  leave?: string,
): Promise<T> {
  return pool.use(async sql => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await transact(sql, readOnly, enter(sql), work, leave)
      } catch (error) {
        if (attempt === attempts || !transient.has((error as { code?: string }).code ?? '')) throw error
      }
    }
  })
}
