import type { PendingQuery, Row } from 'postgres'
import { isQuery, neverRepeat, processOf } from '../database/driver.ts'
import { Stale } from '../database/errors.ts'
import type { Client, Pool } from '../database/pool.ts'

export type Work<T> = (sql: Client) => PromiseLike<T>

export interface Transaction<T> {
  mayWrite: boolean
  /** Statements that set the context: the user and the organization. */
  enter: (sql: Client) => PendingQuery<Row[]>[]
  work: Work<T>
  /** A statement sent with the COMMIT. */
  leave?: string | undefined
  /** Told of each attempt when it has ended: when it began, by performance.now(), and the process of PostgreSQL that ran it. */
  ended?: ((began: number, pid: number | null) => void) | undefined
  /** Who causes it, where each has a share of the connections. */
  causer?: string | undefined
}

/** Codes after which the same transaction may succeed: stale plans, serialization, deadlock. */
const transient = new Set(['0A000', '26000', '40001', '40P01'])
const attempts = 3

/**
 * Runs a transaction on a connection of the pool, with retries where they may help. Also for work without a
 * request, with the context that `enter` sets.
 */
export async function run<T>(pool: Pick<Pool, 'use'>, transaction: Transaction<T>): Promise<T> {
  const { causer } = transaction
  return pool.use(
    async sql => {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await transact(sql, transaction)
        } catch (error) {
          if (attempt === attempts || !transient.has((error as { code?: string }).code ?? '')) throw error
        }
      }
    },
    { causer },
  )
}

/** Runs a transaction once. */
export async function transact<T>(sql: Client, transaction: Transaction<T>): Promise<T> {
  const began = performance.now()
  // Each message is answered by a packet of its own, so messages are combined where possible. The reset clears
  // what injected SQL may have left on this connection: a time zone, a setting that carries somebody's data. It
  // comes too late for the mode of its own transaction, which is why reads have a BEGIN, too.
  const begin = sql.unsafe(
    `reset all; begin isolation level read committed ${transaction.mayWrite ? 'read write' : 'read only'}`,
  )
  try {
    return await exchange(sql, begin, transaction)
  } finally {
    transaction.ended?.(began, processOf(begin))
  }
}

/**
 * Sends these messages without waiting in between, so that work of one statement costs one round trip:
 *
 *   1. reset all; begin …                  the settings of the login, whatever happened on this connection
 *   2. select app.enter(…)                 the context
 *   3. the work                            awaited only if it awaits something, since it then has more to send
 *   4. select app.confirm_…(…); commit     or ROLLBACK, if a failure is known by then
 *
 * The first failure is the error of the whole.
 */
async function exchange<T>(
  sql: Client,
  begin: ReturnType<Client['unsafe']>,
  { enter, work, leave }: Transaction<T>,
): Promise<T> {
  const context = enter(sql)
  const errors: unknown[] = []
  const send = <R>(query: PromiseLike<R>) => {
    if (isQuery(query)) neverRepeat(query)
    return query.then(undefined, (error: unknown) => void errors.push(error))
  }

  const entrance: PromiseLike<unknown>[] = [send(begin), ...context.map(send)]

  let done: PromiseLike<T | undefined> | undefined
  try {
    const result = work(sql)
    done = send(result)
    if (!isQuery(result)) await done
  } catch (error) {
    // BEGIN has already been sent: the transaction must end before anybody else gets the connection.
    await Promise.all(entrance)
    errors.push(error)
  }

  const end = errors.length > 0 ? 'rollback' : leave === undefined ? 'commit' : `${leave}; commit`
  const [value, ended] = await Promise.all([
    done,
    sql.unsafe(end).then(undefined, (error: unknown) => {
      // A failed transaction does not run what precedes the COMMIT: its own error says why.
      if ((error as { code?: string }).code !== '25P02') errors.push(error)
    }),
    ...entrance,
  ])

  // The message ends at the statement that failed, before its COMMIT.
  if (ended === undefined) await sql`rollback`.catch(() => {})
  if (errors.length > 0) throw errors[0]
  // COMMIT of a failed transaction succeeds, as a ROLLBACK.
  if (ended?.command !== 'COMMIT') throw new Stale()
  return value as T
}
