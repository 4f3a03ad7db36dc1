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
  pool.on('connect', client => {
    open.add(client)
    // One that is cut before anybody listens to it would end the process; its user hears of it anyway.
    client.on('error', () => {})
    // Any login can say that the schema is too new for this worker, and stop all of them: it is the schema that is asked.
    const emit = client.emit.bind(client) as (name: string, ...args: unknown[]) => boolean
    client.emit = ((name: string, ...args: unknown[]) =>
      !(name === 'notification' && (args[0] as pg.Notification).channel === 'worker:migrate') &&
      emit(name, ...args)) as typeof client.emit
  })
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
 * Gives graphile-worker the patience with the database that it lacks. Its cron, which is all that uses
 * `query` of the pool, leaves a failure unhandled, which would be the end of the process, and so
 * does its LISTEN when it lets go of a connection twice; and a job that cannot report would be done again.
 */
export function withPatience({ pool }: JobPool, signal: AbortSignal, failed: (error: unknown) => void) {
  const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<unknown>
  const connect = pool.connect.bind(pool)
  const patientQuery = (...args: unknown[]) =>
    // Told to stop, nobody uses the answer.
    patiently(() => query(...args), signal, failed).catch(() => ({ rows: [] }))
  function patientConnect(callback?: Parameters<typeof connect>[0]) {
    if (!callback)
      return patiently(
        () => connect(),
        signal,
        () => {},
      )
    // For LISTEN, which has a patience of its own, or for `query`.
    connect((error, client, done) => {
      let release: typeof done | undefined = done
      callback(error, client, reason => {
        release?.(reason)
        release = undefined
      })
    })
    return undefined
  }
  pool.query = patientQuery as typeof pool.query
  pool.connect = patientConnect as typeof pool.connect
}
