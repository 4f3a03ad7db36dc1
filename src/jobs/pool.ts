import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

/** Longest that a statement of a job may take, in milliseconds. */
const longest = 600_000

export interface JobPool {
  pool: pg.Pool
  /** Runs one statement, and rejects if it fails. */
  ask: (text: string, values?: unknown[]) => Promise<unknown>
  /** Cuts all connections at once: what is under way on them is rejected, and the next use connects anew. */
  cut: () => void
  /** Cuts all connections, for good. */
  end: () => Promise<void>
}

/** The connections of graphile-worker, which wants a pool of node-postgres. */
export function createJobPool(
  url: string,
  { size, applicationName, plain = false }: { size: number; applicationName: string; plain?: boolean },
): JobPool {
  const pool = new pg.Pool({
    ...tls(url, plain),
    max: size,
    application_name: applicationName,
    statement_timeout: longest,
    idle_in_transaction_session_timeout: 60_000,
    connectionTimeoutMillis: 10_000,
    // LISTEN waits for ever: only the network can tell that the other end is gone.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  })
  const open = new Set<pg.PoolClient>()
  pool.on('connect', client => open.add(client))
  pool.on('remove', client => open.delete(client))
  // Without a listener an error of an idle connection ends the process; the pool replaces it by itself.
  pool.on('error', () => {})
  const cut = () => {
    for (const client of open) (client as unknown as Wired).connection.stream.destroy()
  }
  const connect = pool.connect.bind(pool)
  return {
    pool,
    ask: async (text, values) => {
      const client = await connect()
      try {
        const { rows } = await client.query<Record<string, unknown>>(text, values)
        return Object.values(rows[0] ?? {})[0]
      } finally {
        client.release()
      }
    },
    cut,
    end: async () => {
      const ended = pool.ended ? undefined : pool.end()
      cut()
      await ended
    },
  }
}

/** What the types of node-postgres do not have. */
interface Wired {
  connection: { stream: { destroy: () => void } }
}

/** Whether a server without TLS will do. */
export const isOptional = (url: string) =>
  ['prefer', 'allow'].includes(new URL(url).searchParams.get('sslmode') ?? '')

/** The modes of src/database/socket.ts, which are libpq's; node-postgres understands others by the same names. */
function tls(url: string, plain: boolean): pg.PoolConfig {
  const bare = new URL(url)
  const mode = bare.searchParams.get('sslmode') ?? 'disable'
  bare.searchParams.delete('sslmode')
  const checked = !['prefer', 'allow', 'require'].includes(mode)
  return {
    connectionString: bare.href,
    ssl: mode === 'disable' || plain ? false : { rejectUnauthorized: checked },
  }
}

/** Tries again and again, and once told to stop only once. */
async function patiently<T>(work: () => Promise<T>, signal: AbortSignal, failed: (error: unknown) => void) {
  for (let pause = 500; ; pause = Math.min(pause * 2, 15_000)) {
    try {
      return await work()
    } catch (error) {
      if (signal.aborted) throw error
      failed(error)
      await sleep(pause, undefined, { signal }).catch(() => {})
    }
  }
}

/**
 * Lets graphile-worker's cron wait for the database. It is all that uses `query` of the pool, and
 * leaves a failure of it unhandled, which would be the end of the process.
 */
export function withPatientCron({ pool }: JobPool, signal: AbortSignal, failed: (error: unknown) => void) {
  const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<unknown>
  const patient = (...args: unknown[]) =>
    // Told to stop, nobody uses the answer.
    patiently(() => query(...args), signal, failed).catch(() => ({ rows: [] }))
  pool.query = patient as typeof pool.query
}

/** Lets jobs wait for the database, so that one that has done its work while it was away is not done again. */
export function withPatientJobs({ pool }: JobPool, signal: AbortSignal) {
  const connect = pool.connect.bind(pool) as (...args: unknown[]) => Promise<pg.PoolClient>
  const patient = (...args: unknown[]) =>
    // With a callback it is LISTEN, which has a patience of its own.
    args.length > 0
      ? connect(...args)
      : patiently(
          () => connect(),
          signal,
          () => {},
        )
  pool.connect = patient as typeof pool.connect
}
