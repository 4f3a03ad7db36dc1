import { once } from 'node:events'
import { PassThrough, type Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { PendingQuery, Row } from 'postgres'
import type { Client, Pool } from '../database/pool.ts'
import { asking } from '../http/logging.ts'
import { Problem } from '../http/problem.ts'
import type { Visit } from './doors.ts'
import { organizationOf } from './tenant.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Like `tenant`, for an answer of any length: starts sending it, and resolves with the stream. */
    streamed: (parts: Parts) => Promise<Readable>
  }
}

/** The parts of a long answer. */
export interface Parts {
  /** Logs its start; committed before anything is read, so that nothing is read without a trace. */
  note: (sql: Client) => PendingQuery<Row[]>
  /** Refuses a member who no longer has permission. */
  check: (sql: Client) => PendingQuery<Row[]>
  /** Reads it, in one read-only transaction. */
  pieces: (sql: Client) => AsyncIterable<Buffer>
  /** Logs how it ended. */
  noteEnd: (sql: Client, isWhole: boolean) => PendingQuery<Row[]>
}

/** How many answers are being sent, by organization: at most half of all, so that none starves the others. */
const running = new Map<string, number>()
/** How often the reader's permission is checked, in milliseconds. */
const checkEvery = 5000

/** The door for exports: request.streamed. */
export const streaming = fp(
  async (app: FastifyInstance, { exportPool }: { exportPool: Pool }) => {
    app.decorateRequest('streamed', async function (this: FastifyRequest, parts: Parts) {
      const organization = organizationOf(this)
      if (this.user.scope === 'superadmin')
        return this.tenant(() => {
          throw new Problem(403, 'permission_denied', 'Only members can create exports.')
        })
      return new LongAnswer(this, organization, exportPool, parts).start()
    })
  },
  { name: 'streaming', dependencies: ['tenant', 'replicas'] },
)

/**
 * An answer that is sent while it is read. It passes through these states, in order:
 *
 *   waiting   for a connection; refused with 503 exports_busy if there are too many
 *   noted     the event of its start is committed, so its end will be logged, too
 *   sending   the first piece is out: from here on an error cuts the stream, so that it does not look complete
 *
 * Losing the permission, or the client, ends it in any of them and frees the connection at once.
 */
class LongAnswer {
  #state: 'waiting' | 'noted' | 'sending' = 'waiting'
  readonly #request: FastifyRequest
  readonly #organization: string
  readonly #pool: Pool
  readonly #parts: Parts
  readonly #visit: Visit
  readonly #out = new PassThrough()
  /** Aborts when nobody is waiting for the answer any more, or allowed to have it. */
  readonly #gone = new AbortController()
  readonly #clientLeft = () => {
    this.#gone.abort(new Error('the client disconnected'))
  }
  #checking: NodeJS.Timeout | undefined
  #resolve: (out: Readable) => void = () => {}

  constructor(request: FastifyRequest, organization: string, pool: Pool, parts: Parts) {
    this.#request = request
    this.#organization = organization
    this.#pool = pool
    this.#parts = parts
    this.#visit = { user: request.user, organization, request }
  }

  /** Resolves with the stream once it has a first piece. Before that it rejects with the error of the database. */
  async start(): Promise<Readable> {
    this.#admit()
    this.#out.on('error', () => {})
    this.#out.once('close', this.#clientLeft)
    // Also while the client waits for the first piece.
    this.#request.raw.socket.once('close', this.#clientLeft)
    this.#checking = setInterval(() => {
      this.#check()
    }, checkEvery)
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#send().then(
        async () => {
          await this.#end(true)
          resolve(this.#out)
          this.#out.end()
        },
        async (thrown: unknown) => {
          const error = thrown instanceof Error ? thrown : new Error(String(thrown))
          reject(error)
          this.#out.destroy(error)
          if (this.#state !== 'waiting' && !this.#gone.signal.aborted)
            this.#warn(error, 'an export broke off')
          await this.#end(false)
        },
      )
    })
  }

  #admit() {
    const { busy, size } = this.#pool.stats()
    const own = running.get(this.#organization) ?? 0
    if (busy >= size || own >= Math.ceil(size / 2)) throw new Problem(503, 'exports_busy')
    running.set(this.#organization, own + 1)
  }

  /** Logs its start, and reads: on the standby, or on the connection that logged it. */
  async #send() {
    const { server } = this.#request
    const { signal } = this.#gone
    await this.#pool.use(
      async sql => {
        const on = { use: <T>(work: (sql: Client) => PromiseLike<T>) => Promise.resolve(work(sql)) }
        await server.through('event', this.#visit, this.#parts.note, on)
        this.#state = 'noted'
        const pour = (client: Client) => this.#pour(client)
        const hasBegun = () => this.#state === 'sending'
        const found = await server.readOnStandby(this.#request, pour, { signal, hasBegun })
        if (!found) await server.through('reading', this.#visit, pour, on)
      },
      { signal },
    )
  }

  /** Writes the pieces as fast as they are consumed. A failure after the first is not retried. */
  async #pour(sql: Client) {
    try {
      for await (const piece of this.#parts.pieces(sql)) {
        if (piece.length === 0) continue
        const isFull = !this.#out.write(piece)
        this.#state = 'sending'
        this.#resolve(this.#out)
        if (isFull) await once(this.#out, 'drain', { signal: this.#gone.signal })
      }
    } catch (cause) {
      throw this.#state === 'sending' ? new Error('it broke off after its first piece', { cause }) : cause
    }
  }

  #check() {
    this.#request.server.through('reading', this.#visit, this.#parts.check).catch((error: unknown) => {
      // Only a refusal counts: any other error may just mean that the database is busy.
      if (/^PT4/.test(String((error as { code?: unknown }).code))) this.#gone.abort(error)
    })
  }

  async #end(isWhole: boolean) {
    clearInterval(this.#checking)
    const left = (running.get(this.#organization) ?? 1) - 1
    if (left > 0) running.set(this.#organization, left)
    else running.delete(this.#organization)
    this.#request.raw.socket.off('close', this.#clientLeft)
    if (this.#state === 'waiting') return
    await this.#request.server
      .through('event', this.#visit, sql => this.#parts.noteEnd(sql, isWhole))
      .catch((error: unknown) => {
        this.#warn(error, 'the end of an export could not be logged')
      })
  }

  #warn(err: unknown, what: string) {
    this.#request.log.warn({ err, ...asking(this.#request) }, what)
  }
}
