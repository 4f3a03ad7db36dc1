import type { Socket } from 'node:net'
import type { PendingQuery, Row } from 'postgres'
import { Stale } from './errors.ts'
import type { Place } from './socket.ts'

// Three behaviours of postgres.js (3.4) that a transaction cannot live with, and what is done about each.

/**
 * Whether a value is a query of postgres.js. It is sent once it is asked for its outcome, by `then`; any other
 * promise has more to do before it resolves.
 */
export const isQuery = (value: object): value is PendingQuery<Row[]> => 'execute' in value

/**
 * 1. It repeats a prepared statement that has become stale after DDL, on its own and after whatever was sent
 *    along. By then the transaction has failed or is over.
 *    Symptom: the repeated statement runs outside its transaction, without a context; and a second one that is
 *    repeated never gets an answer, so the request hangs until its deadline.
 *    It notes the error in `retried` before it sends a statement again: that is where the statement is taken
 *    back and rejected, so that the whole transaction is run again.
 */
export function neverRepeat(query: PendingQuery<Row[]>) {
  void Object.defineProperty(query, 'retried', takenBack)
}
// Shared, because every statement of every request gets it.
const takenBack = {
  set(this: PendingQuery<Row[]> & { cancelled: unknown; reject: (error: unknown) => void }) {
    this.cancelled = true
    this.reject(new Stale())
  },
}

/**
 * 2. It connects again whenever its connection is lost, in the middle of a transaction, too.
 *    Symptom: the rest of the transaction is sent on a new connection, without its beginning: no context, and
 *    nothing to roll back.
 *    So a client may open a single socket. `failed` is called when it has none, or asks for another.
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
 * 3. It closes the cursor of a query that has failed, when its reader stops.
 *    Symptom: writing to a connection that is gone throws where nobody can catch it, and the process ends.
 *    `active` is its mark of a query that is running, which its types leave out.
 */
export async function closeCursor(query: object, rows: AsyncIterator<unknown>) {
  if ((query as { active?: boolean }).active === true) await rows.return?.()
}
