import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Unavailable } from '../database/errors.ts'
import type { Pool } from '../database/pool.ts'
import type { Replica } from '../database/replica.ts'
import { UnsafeDatabase } from '../database/safety.ts'
import type { UnderWay } from './streaming.ts'
import { leave, noteBreach, organizationOf } from './tenant.ts'
import { transact, type Work } from './transaction.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * As `request.analytics`, for what is sent while it is read, which the primary does by `onPrimary`. Once
     * something has been sent there is no second try.
     */
    readBehind: <T>(
      request: FastifyRequest,
      work: Work<T>,
      onPrimary: () => Promise<T>,
      underWay: UnderWay,
    ) => Promise<T>
  }
  interface FastifyRequest {
    /**
     * As `tenant`, for what may be some seconds old: reads on the standby if there is one that is well.
     * A change, and what a superadmin reads, is the primary's. The answer says by Data-Age how old it is at most.
     */
    analytics: <T>(work: Work<T>) => Promise<T>
    /** How many seconds what `analytics` has read was behind at most. */
    dataAge: number | undefined
  }
}

/** How long a standby may take to let a transaction in, in milliseconds: one that hangs costs no more than that. */
const patience = 2000
/** How long it is left alone after it was away, or too old. */
const pause = 5000

/** Why the standby's word does not count; undefined if it does, and the primary is not asked again. */
function reasonOf(error: unknown): string | undefined {
  const { code, message, detail, cause } = error as Record<string, string> & { cause?: { code?: string } }
  // Too much work, or too long: to have the primary do it as well is what a standby is there to prevent.
  if (code === '57014' || (error instanceof Unavailable && error.reason === 'busy')) return undefined
  if (message === 'replica_unusable') return detail
  if ([code, cause?.code].some(one => one === '40001' || one === '40P01')) return 'conflict'
  if (error instanceof Unavailable || error instanceof Hanging) return 'away'
  // Whatever it is, from a function that a migration has yet to bring there to a row that is too new.
  return 'failed'
}

class Hanging extends Error {
  override name = 'Hanging'
}

/** The door to the standby: request.analytics. Without one it is the primary's. */
export const replicas = fp(
  async (app: FastifyInstance, { replica }: { replica?: Replica | undefined }) => {
    let isUsed = true
    let restsUntil = 0

    function look(from: Replica) {
      restsUntil = Date.now() + pause
      from.check().then(
        () => {
          restsUntil = 0
        },
        (error: unknown) => {
          if (error instanceof UnsafeDatabase) app.log.error(error.message)
        },
      )
    }
    function isReady(from: Replica): boolean {
      if (Date.now() < restsUntil) return false
      // Its login has to be known before it is asked anything, and no request waits for that.
      if (!from.isChecked()) look(from)
      return from.isChecked()
    }
    function note(reason: string, error?: unknown) {
      app.metrics.replicaReads.inc({ outcome: reason })
      const isGone = !['served', 'conflict', 'failed', 'resting'].includes(reason)
      if (isGone) restsUntil = Date.now() + pause
      if (isGone && isUsed) app.log.warn({ reason, err: error }, 'the replica is not used for now')
      if (reason === 'served' && !isUsed) app.log.info('the replica is used again')
      if (isGone || reason === 'served') isUsed = !isGone
    }

    /** The pool of the standby, what to do there, and of a stream how far that is. */
    interface Reading<T> {
      from: Replica
      pool: Pool
      work: Work<T>
      underWay?: UnderWay
    }

    function read<T>(request: FastifyRequest, pass: string, { from, pool, work, underWay }: Reading<T>) {
      return pool.use(async sql => {
        const entrance = from.enter(sql, pass)
        const done = transact(sql, {
          mayWrite: false,
          enter: () => [entrance],
          work,
          leave: leave(organizationOf(request)),
        })
        let timer: NodeJS.Timeout | undefined
        const hanging = new Promise<never>((_, reject) => {
          timer = setTimeout(() => {
            reject(new Hanging('the replica lets nobody in'))
          }, patience)
        })
        const clear = () => {
          clearTimeout(timer)
        }
        // Not before the transaction is under way: this would send it.
        entrance.then(([row]) => {
          clear()
          // Now, because the head of a stream does not wait for its end.
          request.dataAge = Number(row?.['age'])
        }, clear)
        return { value: await Promise.race([done, hanging]).finally(clear) }
      }, underWay?.signal)
    }

    async function readThere<T>(request: FastifyRequest, reading: Reading<T>) {
      // Who may read what is said by the primary, in this request: see db/schema/foundation/replicas.sql.
      const [row] = await request.tenant(sql => sql<[{ pass: string }]>`select app.issue_pass() as pass`)
      try {
        const found = await read(request, row.pass, reading)
        note('served')
        app.metrics.replicaAge.set(request.dataAge ?? 0)
        return found
      } catch (error) {
        if ((error as Error).message === 'isolation_breach') noteBreach(app, organizationOf(request), error)
        const { underWay } = reading
        if (underWay?.signal.aborted || underWay?.hasBegun()) throw error
        const reason = reasonOf(error)
        if (reason === undefined) throw error
        note(reason, error)
        return undefined
      }
    }

    async function prefer<T>(
      request: FastifyRequest,
      reading: Reading<T> | undefined,
      onPrimary: () => Promise<T>,
    ): Promise<T> {
      const isReading = request.method === 'GET' || request.method === 'HEAD'
      if (reading && isReading && request.user.scope !== 'superadmin') {
        const isUp = isReady(reading.from)
        if (!isUp) note('resting')
        const found = isUp ? await readThere(request, reading) : undefined
        if (found) return found.value
      }
      request.dataAge = 0
      return onPrimary()
    }

    app.decorateRequest('dataAge', undefined)
    app.decorateRequest('analytics', function <T>(this: FastifyRequest, work: Work<T>) {
      const reading = replica && { from: replica, pool: replica.pool, work }
      return prefer(this, reading, () => this.tenant(work))
    })
    app.decorate('readBehind', (request, work, onPrimary, underWay) => {
      const reading = replica && { from: replica, pool: replica.exportPool, work, underWay }
      return prefer(request, reading, onPrimary)
    })
    app.addHook('onSend', async (request, reply) => {
      if (request.dataAge !== undefined && reply.statusCode < 300)
        void reply.header('data-age', String(request.dataAge))
    })
  },
  { name: 'replicas', dependencies: ['tenant'] },
)
