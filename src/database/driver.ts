import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { Fragment, PendingQuery, Row, Sql } from 'postgres'
import { Stale } from './errors.ts'
import { inlined } from './inline.ts'
import type { Place } from './socket.ts'

// Three behaviors of postgres.js (3.4) that break transactions, and the remedy for each.

/**
 * Whether a value is a query of postgres.js. Such a query is sent once it is awaited, by `then`; any other
 * promise has more to do before it resolves.
 */
export const isQuery = (value: object): value is PendingQuery<Row[]> => 'execute' in value

/**
 * 1. It repeats a prepared statement that has become stale after DDL, on its own and after everything pipelined
 *    with it. By then the transaction has failed or is over.
 *    Symptom: the repeated statement runs outside its transaction, without a context; and a second repeated one
 *    never gets an answer, so the request hangs until its deadline.
 *    It stores the error in `retried` before it sends a statement again: at that point the statement is
 *    withdrawn and rejected, so that the whole transaction is run again.
 */
export function neverRepeat(query: PendingQuery<Row[]>) {
  void Object.defineProperty(query, 'retried', withdrawn)
}
// Shared, because every statement of every request gets it.
const withdrawn = {
  set(this: PendingQuery<Row[]> & { cancelled: unknown; reject: (error: unknown) => void }) {
    this.cancelled = true
    this.reject(new Stale())
  },
}

/** The process of PostgreSQL that a query was sent to: the driver knows it since it has connected. */
export const processOf = (query: object) =>
  (query as { state?: { pid?: number | null } | null }).state?.pid ?? null

/**
 * 2. It reconnects whenever its connection is lost, even in the middle of a transaction.
 *    Symptom: the rest of the transaction is sent on a new connection, without its beginning: no context, and
 *    nothing to roll back.
 *    So a client may open only one socket. `failed` is called if that fails, or it asks for another.
 */
export function connectOnce(open: (place: Place) => Promise<Socket>, failed: () => void) {
  let isUsed = false
  return async (place: Place): Promise<Socket> => {
    try {
      if (isUsed) throw new Error('the server closed the connection')
      isUsed = true
      return await open(place)
    } catch (error) {
      failed()
      throw error
    }
  }
}

/**
 * 3. It hands out the stream of a COPY after the fact, and reports a failure of the COPY as an error of the stream.
 *    Symptom: a COPY that fails at once, such as one that is refused, does so before anybody listens to its stream,
 *    and the process exits. So the stream gets a listener as it is made; reading it reports the error all the same.
 *    It also stops reading its socket when the stream is full, and never resumes if the COPY has ended by then.
 *    Symptom: the next statement hangs. So the end of the stream resumes it.
 */
export async function copyOut(sql: Sql, write: (sql: Sql) => Fragment): Promise<Readable> {
  const query = sql.unsafe(inlined(write)) as unknown as PendingQuery<Row[]> & {
    resolve: (out: Readable) => void
  }
  const { resolve } = query
  query.resolve = out => {
    // It is called again when the COPY is over.
    query.resolve = resolve
    out.on('error', () => {})
    out.once('end', () => {
      try {
        out._read(0)
      } catch {
        // The connection is lost, which the next statement reports.
      }
    })
    resolve(out)
  }
  return query.readable()
}
