import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { tls } from '../database/node-postgres.ts'
import { askWhetherCopy, restoredAdvice } from '../database/origin.ts'

/** How long a statement of a job may take, in milliseconds. */
const statementTimeout = 600_000

/** Until when to retry, and what to call on each failure. */
interface Retries {
  signal: AbortSignal
  failed: (error: unknown) => void
}

type Connected = Parameters<pg.Pool['connect']>[0]

/**
 * The connections of graphile-worker, which requires a pool of node-postgres but expects more than that
 * provides. Each override below handles one behavior of that library (0.16), named in its comment.
 */
export class RetryingPool extends pg.Pool {
  readonly #clients = new Set<pg.PoolClient>()
  #retries: Retries | undefined

  constructor(
    url: string,
    { size, applicationName, plain = false }: { size: number; applicationName: string; plain?: boolean },
  ) {
    super({
      ...tls(url, plain),
      Client,
      max: size,
      application_name: applicationName,
      statement_timeout: statementTimeout,
      idle_in_transaction_session_timeout: 60_000,
      connectionTimeoutMillis: 10_000,
      // LISTEN waits forever: only keepalives reveal that the other end is gone.
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      verify: (client, done) => {
        client.query<{ is_copy: boolean }>(askWhetherCopy.primary).then(
          ({ rows: [row] }) => {
            done(row?.is_copy === true ? new Error(restoredAdvice) : undefined)
          },
          (error: unknown) => {
            done(error as Error)
          },
        )
      },
    })
    this.on('connect', client => {
      this.#clients.add(client)
      // Without a listener, a client closed early would end the process; its user gets the error anyway.
      client.on('error', () => {})
    })
    this.on('remove', client => this.#clients.delete(client))
    // Without a listener, an error on an idle connection would end the process; the pool replaces it by itself.
    this.on('error', () => {})
  }

  /** From now on connecting and querying are retried until the signal aborts. Before that, failures are final. */
  retryUntil(signal: AbortSignal, failed: (error: unknown) => void) {
    this.#retries = { signal, failed }
  }

  /**
   * graphile-worker queries the pool directly only for its cron, and leaves a failure there unhandled, which
   * would end the process: the query is retried instead. After the signal nobody uses the answer.
   */
  override query(...args: unknown[]): never {
    const query = (): Promise<unknown> => super.query(...(args as [string]))
    const { signal, failed } = this.#retries ?? {}
    return (signal && failed ? retry(query, signal, failed).catch(() => ({ rows: [] })) : query()) as never
  }

  /**
   * Two behaviors. A job takes a connection to report how it ended, and if it cannot report, the next worker
   * runs it again: connecting is retried. LISTEN takes one by callback, retries by itself, and sometimes
   * releases it twice, which makes node-postgres throw: the second release does nothing.
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
    return (this.#retries ? retry(connect, this.#retries.signal, () => {}) : connect()) as never
  }

  /** Runs one statement, and rejects if it fails: for our own statements, which must not be retried. */
  async ask(text: string, values?: unknown[]): Promise<unknown> {
    const client = await super.connect()
    try {
      const { rows } = await client.query<Record<string, unknown>>(text, values)
      return Object.values(rows[0] ?? {})[0]
    } finally {
      client.release()
    }
  }

  /** Closes all connections at once: pending work on them is rejected, and the next use reconnects. */
  cut() {
    for (const client of this.#clients) (client as unknown as Wired).connection.stream.destroy()
  }

  /** Closes all connections permanently. */
  async close() {
    const ended = this.ended ? undefined : this.end()
    this.cut()
    await ended
  }
}

class Client extends pg.Client {
  /**
   * graphile-worker stops all workers when it is notified that the schema has become too new for them, and any
   * login can send that notification: it is swallowed, and the schema itself is checked (in worker.ts).
   */
  override emit(name: string, ...args: unknown[]): boolean {
    const isSwallowed = name === 'notification' && (args[0] as pg.Notification).channel === 'worker:migrate'
    return !isSwallowed && super.emit(name, ...(args as []))
  }
}

/** What the types of node-postgres omit. */
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
