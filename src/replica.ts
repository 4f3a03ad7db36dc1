import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Unavailable } from './database/pool.ts'
import type { Replica } from './database/replica.ts'
import { UnsafeDatabase } from './database/safety.ts'
import { leave, noteBreach, organizationOf, transact, type Work } from './tenant.ts'

declare module 'fastify' {
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

    function read<T>(from: Replica, pass: string, org: string, work: Work<T>) {
      return from.pool.use(async sql => {
        const entrance = from.enter(sql, pass)
        const done = transact(sql, true, [entrance], work, leave(org))
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
        entrance.then(clear, clear)
        const value = await Promise.race([done, hanging]).finally(clear)
        const [row] = await entrance
        return { value, age: Number(row?.['age']) }
      })
    }

    async function readBehind<T>(request: FastifyRequest, from: Replica, work: Work<T>) {
      const org = organizationOf(request)
      // Who may read what is said by the primary, in this request: see db/schema/replicas.sql.
      const [row] = await request.tenant(sql => sql<[{ pass: string }]>`select app.issue_pass() as pass`)
      try {
        const found = await read(from, row.pass, org, work)
        note('served')
        app.metrics.replicaAge.set(found.age)
        return found
      } catch (error) {
        if ((error as Error).message === 'isolation_breach') noteBreach(app, org, error)
        const reason = reasonOf(error)
        if (reason === undefined) throw error
        note(reason, error)
        return undefined
      }
    }

    app.decorateRequest('dataAge', undefined)
    app.decorateRequest('analytics', async function <T>(this: FastifyRequest, work: Work<T>) {
      const isReading = this.method === 'GET' || this.method === 'HEAD'
      if (replica && isReading && this.user.scope !== 'superadmin') {
        const isUp = isReady(replica)
        if (!isUp) note('resting')
        const found = isUp ? await readBehind(this, replica, work) : undefined
        if (found) {
          this.dataAge = found.age
          return found.value
        }
      }
      const value = await this.tenant(work)
      this.dataAge = 0
      return value
    })
    app.addHook('onSend', async (request, reply) => {
      if (request.dataAge !== undefined && reply.statusCode < 300)
        void reply.header('data-age', String(request.dataAge))
    })
  },
  { name: 'replicas', dependencies: ['tenant'] },
)
