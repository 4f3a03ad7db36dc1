import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { tls } from '../database/node-postgres.ts'

/** Longest that a statement of a job may take, in milliseconds. */
const longest = 600_000

/** For how long to keep trying, and whom to tell of each failure. */
interface Patience {
  signal: AbortSignal
  failed: (error: unknown) => void
}

type Connected = Parameters<pg.Pool['connect']>[0]

/**
 * The connections of graphile-worker, which wants a pool of node-postgres and expects more of it than it can
 * give. Each override below answers one behaviour of that library (0.16), named in its comment.
 */
export class PatientPool extends pg.Pool {
  readonly #clients = new Set<pg.PoolClient>()
  #patience: Patience | undefined

  constructor(
    url: string,
    { size, applicationName, plain = false }: { size: number; applicationName: string; plain?: boolean },
  ) {
    super({
      ...tls(url, plain),
      Client,
      max: size,
      application_name: applicationName,
      statement_timeout: longest,
      idle_in_transaction_session_timeout: 60_000,
      connectionTimeoutMillis: 10_000,
      // LISTEN waits forever: only the network can tell that the other end is gone.
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    })
    this.on('connect', client => {
      this.#clients.add(client)
      // A client that is cut before anybody listens to it would end the process; its user hears of it anyway.
      client.on('error', () => {})
    })
    this.on('remove', client => this.#clients.delete(client))
    // Without a listener, an error on an idle connection ends the process; the pool replaces it by itself.
    this.on('error', () => {})
  }

  /** From now on connecting and querying are retried until the signal aborts. Before, a failure is a failure. */
  retryUntil(signal: AbortSignal, failed: (error: unknown) => void) {
    this.#patience = { signal, failed }
  }

  /**
   * graphile-worker queries the pool itself only for its cron, and leaves a failure there unhandled, which
   * would end the process: the query is retried instead. After the signal nobody uses the answer.
   */
  override query(...args: unknown[]): never {
    const query = (): Promise<unknown> => super.query(...(args as [string]))
    const { signal, failed } = this.#patience ?? {}
    return (signal && failed ? retry(query, signal, failed).catch(() => ({ rows: [] })) : query()) as never
  }

  /**
   * Two behaviours. A job takes a connection to report how it ended, and one that cannot report is done again
   * by the next worker: connecting is retried. LISTEN takes one by callback, retries by itself, and sometimes
   * releases it twice, for which node-postgres throws: the second time does nothing.
   */
  override connect(callback?: Connected): never {
    if (callback) {
      super.connect((error, client, done) => {
        let release: typeof done | undefined = done
        callback(error, client, reason => {
          release?.(reason)
          release = undefined
        })
      })
      return undefined as never
    }
    const connect = () => super.connect()
    return (this.#patience ? retry(connect, this.#patience.signal, () => {}) : connect()) as never
  }

  /** Runs one statement, and rejects if it fails: for our own statements, which have better to do than to be retried. */
  async ask(text: string, values?: unknown[]): Promise<unknown> {
    const client = await super.connect()
    try {
      const { rows } = await client.query<Record<string, unknown>>(text, values)
      return Object.values(rows[0] ?? {})[0]
    } finally {
      client.release()
    }
  }

  /** Cuts all connections at once: what is under way on them is rejected, and the next use reconnects. */
  cut() {
    for (const client of this.#clients) (client as unknown as Wired).connection.stream.destroy()
  }

  /** Cuts all connections, for good. */
  async close() {
    const ended = this.ended ? undefined : this.end()
    this.cut()
    await ended
  }
}

class Client extends pg.Client {
  /**
   * graphile-worker stops all workers when it is notified that the schema has become too new for them, and any
   * login can send that notification: it is swallowed, and the schema itself is asked (in worker.ts).
   */
  override emit(name: string, ...args: unknown[]): boolean {
    const isSwallowed = name === 'notification' && (args[0] as pg.Notification).channel === 'worker:migrate'
    return !isSwallowed && super.emit(name, ...(args as []))
  }
}

/** What the types of node-postgres leave out. */
interface Wired {
  connection: { stream: { destroy: () => void } }
}

/** Retries with growing pauses until the signal aborts; then the next failure is final. */
async function retry<T>(work: () => Promise<T>, signal: AbortSignal, failed: (error: unknown) => void) {
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
