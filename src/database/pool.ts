import { type Client, type Connection, type ConnectionOptions, openConnection } from './connection.ts'
import { Deliberate, Unavailable } from './errors.ts'

export type { Client } from './connection.ts'

/** The deadline covers the wait for a free connection plus the work on it. */
export interface PoolOptions extends ConnectionOptions {
  size: number
  /** How many of them one causer may hold at a time; without it, all. */
  share?: number
  /** Rejects if a new connection must not be used. */
  admit?: (client: Client) => PromiseLike<void>
}

/** Who causes the work, such as an organization, and what ends it early. */
export interface Use {
  causer?: string | undefined
  signal?: AbortSignal | undefined
}

/** What one causer may hold of a pool for requests: half, so that however many it sends, others find a free one. */
export const shareOf = (size: number) => Math.ceil(size / 2)

export interface Pool {
  /**
   * Runs `work` exclusively on a connection. Rejects with Unavailable when the deadline passes, and
   * immediately when the signal says that nobody is waiting any more: its connection is then closed.
   */
  use: <T>(work: (client: Client) => PromiseLike<T>, how?: Use) => Promise<T>
  /** How many connections are open, and how many callers are waiting for one. */
  stats: () => { size: number; open: number; busy: number; waiting: number }
  close: () => Promise<void>
}

/**
 * A pool of exclusive connections.
 * postgres.js shares its connections between callers and its reserve() does not survive a killed
 * backend, so each slot here is a client of its own with one connection, and a client whose
 * connection has failed, or is late, is discarded and replaced on the next use.
 */
export function createPool(options: PoolOptions): Pool {
  const idle: Connection[] = []
  const waiting: { causer: string | undefined; take: (connection: Connection) => void }[] = []
  const held = new Map<string, number>()
  const unknown = new WeakSet<Connection>()
  let open = 0
  let closed = false

  function connect(): Connection {
    const connection = openConnection(options, () => {
      const place = idle.indexOf(connection)
      // A busy one is returned by its user.
      if (place < 0) return
      idle.splice(place, 1)
      open -= 1
    })
    if (options.admit) unknown.add(connection)
    return connection
  }

  const heldBy = (causer: string | undefined) => (causer === undefined ? 0 : (held.get(causer) ?? 0))
  const mayHold = (causer: string | undefined) => heldBy(causer) < (options.share ?? options.size)
  function count(causer: string | undefined, change: 1 | -1) {
    if (causer === undefined) return
    const now = heldBy(causer) + change
    if (now > 0) held.set(causer, now)
    else held.delete(causer)
  }

  async function checkout(deadline: number, causer: string | undefined): Promise<Connection> {
    if (mayHold(causer)) {
      const free = idle.pop()
      if (free || open < options.size) {
        count(causer, 1)
        if (free) return free
        open += 1
        return connect()
      }
    }
    return new Promise((resolve, reject) => {
      const waiter = {
        causer,
        take: (connection: Connection) => {
          clearTimeout(timer)
          resolve(connection)
        },
      }
      const timer = setTimeout(
        () => {
          waiting.splice(waiting.indexOf(waiter), 1)
          reject(new Unavailable('busy'))
        },
        // Leaves some time for the work: a statement that is cut off costs its connection, and under
        // sustained load every one of them would be.
        (deadline - performance.now()) * 0.75,
      )
      waiting.push(waiter)
    })
  }

  /** Who gets a free connection: of those who hold the fewest, the first to have come. */
  function nextWaiting() {
    let [place, fewest] = [-1, options.share ?? options.size]
    for (const [n, { causer }] of waiting.entries()) {
      const has = heldBy(causer)
      if (has < fewest) [place, fewest] = [n, has]
      if (has === 0) break
    }
    if (place < 0) return undefined
    const [next] = waiting.splice(place, 1)
    count(next?.causer, 1)
    return next?.take
  }

  /** Runs work on a connection that has not been used yet. */
  async function first<T>(connection: Connection, work: (client: Client) => PromiseLike<T>): Promise<T> {
    await options.admit?.(connection.client)
    unknown.delete(connection)
    return work(connection.client)
  }

  function giveBack(connection: Connection, causer: string | undefined) {
    count(causer, -1)
    if (closed) connection.destroy()
    if (!connection.isClosed()) {
      const take = nextWaiting()
      if (take) take(connection)
      else idle.push(connection)
      return
    }
    const take = closed ? undefined : nextWaiting()
    if (take) take(connect())
    else open -= 1
  }

  async function use<T>(work: (client: Client) => PromiseLike<T>, { causer, signal }: Use = {}): Promise<T> {
    if (closed) throw new Unavailable('closed')
    const deadline = performance.now() + options.deadline
    const connection = await checkout(deadline, causer)
    let interrupt: (reason: Error) => void = () => {}
    const interrupted = new Promise<never>((_, reject) => {
      interrupt = reason => {
        connection.destroy()
        reject(reason)
      }
    })
    const timer = setTimeout(() => {
      interrupt(new Unavailable('late'))
    }, deadline - performance.now())
    const cut = () => {
      interrupt(signal?.reason as Error)
    }
    if (signal?.aborted) cut()
    else signal?.addEventListener('abort', cut)
    try {
      const working = unknown.has(connection) ? first(connection, work) : work(connection.client)
      return await Promise.race([working, interrupted])
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      if (!connection.isLost(error)) {
        // Neither the server's error nor ours: the driver failed, and its state is unknown.
        if (!(error instanceof Deliberate) && !('severity' in (error as object))) connection.destroy()
        throw error
      }
      connection.destroy()
      throw new Unavailable('lost', error)
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', cut)
      giveBack(connection, causer)
    }
  }

  return {
    use,
    stats: () => ({ size: options.size, open, busy: open - idle.length, waiting: waiting.length }),
    close: async () => {
      closed = true
      open -= idle.length
      await Promise.all(idle.splice(0).map(connection => connection.end()))
    },
  }
}
