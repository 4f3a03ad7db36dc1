import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Unavailable } from '../database/errors.ts'
import type { Replica } from '../database/replica.ts'
import { UnsafeDatabase } from '../database/safety.ts'
import { CircuitBreaker } from './circuit-breaker.ts'
import { confirm } from './doors.ts'
import { noteBreach, organizationOf } from './tenant.ts'
import { transact, type Work } from './transaction.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Reads on the standby, on behalf of a request. Undefined if the primary has to do it instead. */
    readOnStandby: <T>(
      request: FastifyRequest,
      work: Work<T>,
      sending?: Sending,
    ) => Promise<{ value: T } | undefined>
  }
  interface FastifyRequest {
    /**
     * Like `tenant`, for data that may be some seconds old: reads on the standby if there is a healthy one.
     * Writes, and reads by superadmins, go to the primary. The answer's Data-Age says how old it is at most.
     */
    analytics: <T>(work: Work<T>) => Promise<T>
    /** The maximum age of the data in seconds, if read by `analytics` or `readOnStandby`. */
    dataAge: number | undefined
  }
}

/** Work whose result is streamed: once something has been sent, the primary cannot take over. */
export interface Sending {
  /** Aborts when nobody waits for the result any more. */
  signal: AbortSignal
  hasBegun: () => boolean
}

/** How long a standby may take to admit a transaction, in milliseconds: a hanging one costs no more than that. */
const timeout = 2000
/** How long it is left alone after it was down or too far behind. */
const pause = 5000

/** Failures that do not mean that the standby is unhealthy, so others may still use it. */
const harmless = new Set(['conflict', 'failed'])

/** Why the primary has to take over from the standby; undefined if it must not, and the error counts. */
function reasonOf(error: unknown): string | undefined {
  const { code, message, detail, cause } = error as Record<string, string> & { cause?: { code?: string } }
  // Overload or a timeout: exactly what a standby is there to keep from the primary.
  if (code === '57014' || (error instanceof Unavailable && error.reason === 'busy')) return undefined
  if (message === 'replica_unusable') return detail
  if ([code, cause?.code].some(one => one === '40001' || one === '40P01')) return 'conflict'
  if (error instanceof Unavailable || error instanceof Hanging) return 'away'
  // Anything else, from a function whose migration is not replicated yet to a row that is too new.
  return 'failed'
}

class Hanging extends Error {
  override name = 'Hanging'
}

/** The door to the standby: request.analytics. Without a standby it leads to the primary. */
export const replicas = fp(
  async (app: FastifyInstance, { replica }: { replica?: Replica | undefined }) => {
    const breaker = new CircuitBreaker(pause)

    async function readOnStandby<T>(request: FastifyRequest, work: Work<T>, sending?: Sending) {
      const isReading = request.method === 'GET' || request.method === 'HEAD'
      const found =
        replica && isReading && request.user.scope !== 'superadmin'
          ? await ask(replica, request, work, sending)
          : undefined
      if (!found) request.dataAge = 0
      return found
    }

    async function ask<T>(standby: Replica, request: FastifyRequest, work: Work<T>, sending?: Sending) {
      if (!isReady(standby)) {
        app.metrics.replicaReads.inc({ outcome: 'resting' })
        return undefined
      }
      // The primary decides, in this request, who may read what: see db/schema/foundation/replicas.sql.
      const [row] = await request.tenant(sql => sql<[{ pass: string }]>`select app.issue_pass() as pass`)
      try {
        const value = await read(standby, row.pass, request, work, sending)
        app.metrics.replicaReads.inc({ outcome: 'served' })
        app.metrics.replicaAge.set(request.dataAge ?? 0)
        if (breaker.succeed()) app.log.info('the replica is used again')
        return { value }
      } catch (error) {
        if ((error as Error).message === 'isolation_breach') noteBreach(app, organizationOf(request), error)
        if (sending?.signal.aborted || sending?.hasBegun()) throw error
        const reason = reasonOf(error)
        if (reason === undefined) throw error
        app.metrics.replicaReads.inc({ outcome: reason })
        if (!harmless.has(reason) && breaker.fail())
          app.log.warn({ reason, err: error }, 'the replica is not used for now')
        return undefined
      }
    }

    function isReady(standby: Replica): boolean {
      if (breaker.state === 'open') return false
      // Its login has to be checked before any query, and no request waits for that.
      if (!standby.isChecked()) check(standby)
      return standby.isChecked()
    }
    function check(standby: Replica) {
      breaker.hold()
      standby.check().then(
        () => {
          breaker.release()
        },
        (error: unknown) => {
          if (error instanceof UnsafeDatabase) app.log.error(error.message)
        },
      )
    }

    /** One transaction, without retries: the primary is the fallback. */
    async function read<T>(
      standby: Replica,
      pass: string,
      request: FastifyRequest,
      work: Work<T>,
      sending?: Sending,
    ) {
      const pool = sending ? standby.exportPool : standby.pool
      const how = { causer: organizationOf(request), signal: sending?.signal }
      return pool.use(async sql => {
        const entrance = standby.enter(sql, pass)
        const done = transact(sql, {
          mayWrite: false,
          enter: () => [entrance],
          work,
          leave: confirm(organizationOf(request)),
        })
        let timer: NodeJS.Timeout | undefined
        const hanging = new Promise<never>((_, reject) => {
          timer = setTimeout(() => {
            reject(new Hanging('the replica does not admit transactions'))
          }, timeout)
        })
        const clear = () => {
          clearTimeout(timer)
        }
        // Not before the transaction has started: this would send it.
        entrance.then(([row]) => {
          clear()
          // Now, because the headers of a stream do not wait for its end.
          request.dataAge = Number(row?.['age'])
        }, clear)
        return Promise.race([done, hanging]).finally(clear)
      }, how)
    }

    app.decorate('readOnStandby', readOnStandby)
    app.decorateRequest('dataAge', undefined)
    app.decorateRequest('analytics', async function <T>(this: FastifyRequest, work: Work<T>) {
      const found = await readOnStandby(this, work)
      return found ? found.value : this.tenant(work)
    })
    app.addHook('onSend', (request, reply, payload, done) => {
      if (request.dataAge !== undefined && reply.statusCode < 300)
        void reply.header('data-age', String(request.dataAge))
      done(null, payload)
    })
  },
  { name: 'replicas', dependencies: ['tenant'] },
)
