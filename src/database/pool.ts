import postgres from 'postgres'
import { Problem } from '../problem.ts'

/** One connection, used by one transaction at a time. */
export type Client = postgres.Sql

export interface PoolOptions {
  url: string
  size: number
  /** Longest wait for a free connection plus the work on it, in milliseconds. */
  deadline: number
  prepare: boolean
  applicationName: string
}

export interface Pool {
  /** Runs `work` alone on a connection. Rejects with a 503 Problem when the deadline passes. */
  use: <T>(work: (client: Client) => Promise<T>) => Promise<T>
  /** How many connections are open, and how many callers wait for one. */
  stats: () => { size: number; open: number; busy: number; waiting: number }
  close: () => Promise<void>
}

/** Errors after which a connection cannot be trusted: the socket, the server's shutdown, our own deadline. */
function isFatal(error: unknown): boolean {
  const { code, severity } = error as { code?: string; severity?: string }
  return (
    severity === 'FATAL' ||
    /^(CONNECTION_|CONNECT_TIMEOUT|ECONN|ENOTFOUND|EPIPE|ETIMEDOUT|EHOSTUNREACH|EAI_AGAIN|ENOENT|08)/.test(
      code ?? '',
    )
  )
}

const unavailable = (detail: string) => new Problem(503, 'database_unavailable', detail)

/**
 * A pool of exclusive connections.
 * postgres.js shares its connections between callers and its reserve() does not survive a killed
 * backend, so each slot here is a client of its own with one connection, and a client whose
 * connection has failed, or is late, is thrown away and replaced on the next use.
 */
export function createPool(options: PoolOptions): Pool {
  const idle: Client[] = []
  const waiting: ((client: Client) => void)[] = []
  let open = 0
  let closed = false

  const connect = () =>
    postgres(options.url, {
      max: 1,
      prepare: options.prepare,
      connect_timeout: Math.max(1, options.deadline / 1000),
      // The caller hears of a failed connection at once; waiting is not our business.
      backoff: false,
      idle_timeout: 0,
      max_lifetime: null,
      fetch_types: false,
      onnotice: () => {},
      // PostgreSQL has made the JSON: it goes out as it came.
      types: {
        json: { to: 114, from: [114], serialize: JSON.stringify, parse: (text: string) => text },
        jsonb: {
          to: 3802,
          from: [3802],
          serialize: JSON.stringify,
          parse: (text: string) => JSON.parse(text) as unknown,
        },
      },
      connection: {
        application_name: options.applicationName,
        TimeZone: 'UTC',
        // The server gives up when we do, so that a late query does not go on for nobody.
        statement_timeout: options.deadline,
        idle_in_transaction_session_timeout: options.deadline,
      },
    })

  function release(client: Client) {
    const next = waiting.shift()
    if (next) next(client)
    else idle.push(client)
  }

  function discard(client: Client) {
    open -= 1
    void client.end({ timeout: 0 }).catch(() => {})
    if (waiting.length > 0 && !closed) {
      open += 1
      waiting.shift()?.(connect())
    }
  }

  async function checkout(deadline: number): Promise<Client> {
    const free = idle.pop()
    if (free) return free
    if (open < options.size) {
      open += 1
      return connect()
    }
    return new Promise((resolve, reject) => {
      const take = (client: Client) => {
        clearTimeout(timer)
        resolve(client)
      }
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(take), 1)
        reject(unavailable('All database connections are busy: try again shortly.'))
      }, deadline - Date.now())
      waiting.push(take)
    })
  }

  async function use<T>(work: (client: Client) => Promise<T>): Promise<T> {
    if (closed) throw unavailable('The server is stopping.')
    const deadline = Date.now() + options.deadline
    const client = await checkout(deadline)
    let timer: NodeJS.Timeout | undefined
    let isLate = false
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        isLate = true
        reject(unavailable('The database did not answer in time: try again shortly.'))
      }, deadline - Date.now())
    })
    const running = work(client)
    try {
      const result = await Promise.race([running, late])
      release(client)
      return result
    } catch (error) {
      // Its rejection comes when the connection is torn down, and has been reported already.
      if (isLate) running.catch(() => {})
      if (isLate || isFatal(error)) discard(client)
      else release(client)
      throw isFatal(error) ? unavailable('The database cannot be reached: try again shortly.') : error
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    use,
    stats: () => ({ size: options.size, open, busy: open - idle.length, waiting: waiting.length }),
    close: async () => {
      closed = true
      await Promise.all(idle.splice(0).map(client => client.end({ timeout: 1 })))
    },
  }
}
