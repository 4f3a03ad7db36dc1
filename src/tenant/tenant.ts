import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Pool } from '../database/pool.ts'
import { addressOf, networkOf } from '../http/address.ts'
import { Problem } from '../http/problem.ts'
import type { AccessToken } from '../http/tokens.ts'
import { type Answer, type Bytes, json } from './answer.ts'
import { type Door, doors, isRead, type Note, type Visit } from './doors.ts'
import { once, refuseKeys } from './idempotency.ts'
import { noteSlow } from './slow.ts'
import { run, type Work } from './transaction.ts'
import { watchWrites } from './writes.ts'

declare module 'fastify' {
  interface FastifyInstance {
    pool: Pool
    /** Whether the database can be written. */
    writes: ReturnType<typeof watchWrites>
    /** Runs SQL through one of the doors of doors.ts: for what has no decorator of its own. */
    through: <T>(door: Door, visit: Visit, work: Work<T>, on?: Pick<Pool, 'use'>) => Promise<T>
    /** Reads as the user of a verified token, in its organization; apart from any request's own transaction. */
    readAs: <T>(user: AccessToken, work: Work<T>) => Promise<T>
  }
  interface FastifyRequest {
    /** Runs SQL as the token's user in the token's organization. GET and HEAD cannot write. */
    tenant: <T>(work: Work<T>) => Promise<T>
    /** Like `tenant`, for reads that are themselves events: `note` logs them in the same transaction, even for a GET. */
    audited: <T>(note: Note, work: Work<T>) => Promise<T>
    /** Runs SQL as the token's user, outside any organization. */
    account: <T>(work: Work<T>) => Promise<T>
    /** Runs SQL as a superadmin, in an organization or, with null, in none: see db/schema/support/support.sql. */
    support: <T>(organization: string | null, work: Work<T>) => Promise<T>
    /** Runs SQL with the login of superadmins, before a grant is checked. */
    beforeSupport: <T>(work: Work<T>) => Promise<T>
    /** Runs SQL without a signed-in user. GET and HEAD cannot write, unless they are an event. */
    anonymous: <T>(work: Work<T>, isEvent?: boolean) => Promise<T>
  }
  interface FastifyReply {
    /** Sends the first row of a result as the answer; to be passed to `.then`. */
    json: (rows: readonly Answer[] | Bytes) => FastifyReply
  }
}

/** The token's organization. */
export function organizationOf({ user: { org, scope } }: FastifyRequest): string {
  if (org !== null) return org
  if (scope === 'superadmin')
    throw new Problem(
      403,
      'no_organization',
      'This token of a superadmin is for no organization: name one, as organization_id, at POST /api/support/token.',
    )
  throw new Problem(
    403,
    'no_organization',
    'You do not belong to any organization yet: create one or accept an invitation, then refresh your token.',
  )
}

/** Counts a transaction that, according to the database, ended in another organization; always throws. */
export function noteBreach(app: FastifyInstance, org: string | null, error: unknown): never {
  const { message, detail = '' } = error as { message?: string; detail?: string }
  if (message !== 'isolation_breach') throw error
  app.metrics.breach(detail, org)
  // Logged here, because a lookup apart from a request has nobody to report to.
  app.log.error({ organization_id: org, kind: detail }, 'isolation breach: the transaction is rolled back')
  throw new Error('the transaction ended in a context other than that of the token', { cause: error })
}

/** Whose share of the connections a visit takes: its organization's, or its person's, or its address's. */
const causerOf = ({ organization, user, request }: Visit): string | undefined =>
  organization ?? user?.sub ?? (request && networkOf(request))

interface Pools {
  pool: Pool
  supportPool?: Pool | undefined
  /** From which duration a transaction is logged, in milliseconds. */
  slow: number
}

/** The only doors to the database. The token must have been verified: see tokens.ts. */
export const tenant = fp(
  async (app: FastifyInstance, { pool, supportPool, slow }: Pools) => {
    function poolOf(login: 'api' | 'support'): Pool {
      if (login === 'api') return pool
      if (supportPool) return supportPool
      throw new Problem(403, 'support_grant_needed', 'This server does not admit superadmins.')
    }
    const writes = watchWrites()
    /** Applies the table of doors. A superadmin enters an organization by a grant, and in no other way. */
    function through<T>(door: Door, visit: Visit, work: Work<T>, on?: Pick<Pool, 'use'>): Promise<T> {
      const { login, enter, mayWrite, leave, superadmin } = doors[door]
      const { organization, request } = visit
      if (superadmin === 'by grant' && request?.user.scope === 'superadmin')
        return request.support(organization, work)
      const isWrite = mayWrite(visit)
      const done = run(on ?? poolOf(login), {
        mayWrite: isWrite,
        enter: sql => enter(sql, visit),
        work,
        causer: causerOf(visit),
        leave: leave?.(organization),
        ended: request && noteSlow(request, organization, slow),
      })
      if (isWrite) void done.then(writes.succeeded, writes.failed)
      return leave ? done.catch((error: unknown) => noteBreach(app, organization, error)) : done
    }
    const visitOf = (request: FastifyRequest, organization: string | null): Visit => ({
      user: request.user,
      organization,
      request,
    })

    app.addHook('onRoute', refuseKeys)
    app.decorate('pool', pool)
    app.decorate('writes', writes)
    app.decorate('through', through)
    app.decorate('readAs', (user, work) => through('reading', { user, organization: user.org }, work))
    app.decorateRequest('tenant', function <T>(this: FastifyRequest, work: Work<T>) {
      return through('tenant', visitOf(this, organizationOf(this)), once(this, work))
    })
    app.decorateRequest('audited', function <T>(this: FastifyRequest, note: Note, work: Work<T>) {
      return through('audited', { ...visitOf(this, organizationOf(this)), note }, work)
    })
    app.decorateRequest('account', function <T>(this: FastifyRequest, work: Work<T>) {
      return through('account', visitOf(this, null), once(this, work))
    })
    app.decorateRequest('anonymous', function <T>(this: FastifyRequest, work: Work<T>, isEvent = false) {
      const door = isRead(this) && !isEvent ? 'passerby' : 'anonymous'
      return through(door, { organization: null, request: this }, work)
    })
    app.decorateRequest('beforeSupport', function <T>(this: FastifyRequest, work: Work<T>) {
      return through('beforeSupport', { organization: null, request: this }, work)
    })
    app.decorateRequest('support', async function <
      T,
    >(this: FastifyRequest, organization: string | null, work: Work<T>) {
      const visit = visitOf(this, organization)
      // The session is checked first, as everywhere.
      if (this.user.scope !== 'superadmin') {
        return this.account(() => {
          throw new Problem(403, 'support_grant_needed')
        })
      }
      const what = `${this.method} ${this.url.split('?', 1)[0] ?? ''}`
      // Committed before anything is read, so that nothing can undo it.
      await through(
        'useOfSupport',
        visit,
        sql =>
          sql`select app.use_support(${this.user.sid}, ${organization}, ${what}, ${this.id}, ${addressOf(this)})`,
      )
      return through('support', visit, work)
    })
    app.decorateReply('json', {
      getter(this: FastifyReply) {
        return (rows: readonly Answer[] | Bytes) => json(this, rows)
      },
    })
  },
  { name: 'tenant', dependencies: ['measuring', 'tokens'] },
)
