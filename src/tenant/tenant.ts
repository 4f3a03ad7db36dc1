import { isIP } from 'node:net'
import type { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { PendingQuery, Row } from 'postgres'
import type { Client, Pool } from '../database/pool.ts'
import { Problem } from '../http/problem.ts'
import type { AccessToken } from '../http/tokens.ts'
import { type Answer, type Bytes, json, once } from './answer.ts'
import { type Doors, type Parts, stream } from './streaming.ts'
import { run, type Work } from './transaction.ts'

declare module 'fastify' {
  interface FastifyInstance {
    pool: Pool
    /** Reads as the user of a verified token, in its organization; apart from any request's own transaction. */
    readAs: <T>(user: AccessToken, work: Work<T>) => Promise<T>
  }
  interface FastifyRequest {
    /** Runs SQL as the token's user in the token's organization. GET and HEAD cannot write. */
    tenant: <T>(work: Work<T>) => Promise<T>
    /** As `tenant`, for reading that is itself an event: `note` logs it, in the same transaction, also of a GET. */
    audited: <T>(note: (sql: Client) => PendingQuery<Row[]>, work: Work<T>) => Promise<T>
    /** As `tenant`, for an answer as long as it may get: see streaming.ts. */
    streamed: (parts: Parts) => Promise<Readable>
    /** Runs SQL as the token's user, in no organization. */
    account: <T>(work: Work<T>) => Promise<T>
    /** Runs SQL as a superadmin, in an organization or, with null, in none: see db/schema/support/support.sql. */
    support: <T>(organization: string | null, work: Work<T>) => Promise<T>
    /** Runs SQL with the login of superadmins, before it has been asked for a grant. */
    beforeSupport: <T>(work: Work<T>) => Promise<T>
    /** Runs SQL for somebody who has not signed in. GET and HEAD cannot write, unless they are an event. */
    anonymous: <T>(work: Work<T>, isEvent?: boolean) => Promise<T>
  }
  interface FastifyReply {
    /** Sends the first row of a result as the answer; to be passed to `.then`. */
    json: (rows: readonly Answer[] | Bytes) => FastifyReply
  }
}

/** The token's organization. */
export function organizationOf({ user: { org } }: FastifyRequest): string {
  if (org !== null) return org
  throw new Problem(
    403,
    'no_organization',
    'You belong to no organization yet: create one or accept an invitation, then refresh your token.',
  )
}

/** Where a request comes from, as far as PostgreSQL's inet can say it: a proxy may pass on anything. */
export const addressOf = ({ ip }: FastifyRequest) => (isIP(ip) > 0 && !ip.includes('%') ? ip : null)

const enter = (sql: Client, request: FastifyRequest, organization: string | null) =>
  sql`select app.enter(${request.user.sid}, ${organization}, ${request.id}, ${addressOf(request)})`

// Goes unprepared and with the COMMIT, so that nothing an injected DEALLOCATE does can delay it; then it has
// no parameters, and authenticate has seen to it that the organization is a UUID.
export const leave = (org: string | null) =>
  `select app.confirm_organization(${org === null ? 'null' : `'${org}'`})`

/** Counts a transaction that the database says was in another organization at its end; throws in any case. */
export function noteBreach(app: FastifyInstance, org: string | null, error: unknown): never {
  const { message, detail = '' } = error as { message?: string; detail?: string }
  if (message !== 'isolation_breach') throw error
  app.metrics.breaches.inc({ kind: detail })
  // Here, because a look-up beside a request has nobody to tell.
  app.log.error({ organization_id: org, kind: detail }, 'isolation breach: the transaction is undone')
  throw new Error('the transaction ended in another context than that of the token', { cause: error })
}

interface Pools {
  pool: Pool
  supportPool?: Pool | undefined
  exportPool: Pool
}

/** The only door to the database. The token must have been verified: see tokens.ts. */
export const tenant = fp(
  async (app: FastifyInstance, { pool, supportPool, exportPool }: Pools) => {
    app.decorate('pool', pool)
    /** Runs work in an organization, and counts it if the database says at the end that it was in another. */
    function inOrganization<T>(
      org: string | null,
      isReadOnly: boolean,
      entrance: (sql: Client) => PendingQuery<Row[]>[],
      work: Work<T>,
      on: Pick<Pool, 'use'> = pool,
    ): Promise<T> {
      return run(on, { mayWrite: !isReadOnly, enter: entrance, work, leave: leave(org) }).catch(
        (error: unknown) => noteBreach(app, org, error),
      )
    }
    const readOnly = (request: FastifyRequest) => request.method === 'GET' || request.method === 'HEAD'
    app.decorate('readAs', ({ sid, org }, work) =>
      inOrganization(org, true, sql => [sql`select app.enter(${sid}, ${org})`], work),
    )
    app.decorateRequest('tenant', function <T>(this: FastifyRequest, work: Work<T>) {
      const org = organizationOf(this)
      const key = this.headers['idempotency-key']
      const guarded =
        this.method === 'POST' && typeof key === 'string'
          ? (once(this, key, work as unknown as Work<Answer[]>) as unknown as Work<T>)
          : work
      if (this.user.scope === 'superadmin') return this.support(org, guarded)
      return inOrganization(org, readOnly(this), sql => [enter(sql, this, org)], guarded)
    })
    app.decorateRequest('audited', function <
      T,
    >(this: FastifyRequest, note: (sql: Client) => PendingQuery<Row[]>, work: Work<T>) {
      const org = organizationOf(this)
      // That they look is an event already.
      if (this.user.scope === 'superadmin') return this.support(org, work)
      return inOrganization(org, false, sql => [enter(sql, this, org), note(sql)], work)
    })
    app.decorateRequest('streamed', async function (this: FastifyRequest, parts) {
      const org = organizationOf(this)
      if (this.user.scope === 'superadmin')
        return this.support(org, () => {
          throw new Problem(403, 'permission_denied', 'Exports are for members.')
        })
      const inside: Doors['inside'] = (isReadOnly, work, on) =>
        inOrganization(org, isReadOnly, sql => [enter(sql, this, org)], work, on)
      const reading: Doors['reading'] = (work, on, underWay) =>
        app.readBehind(this, work, () => inside(true, work, on), underWay)
      return stream(exportPool, this, { inside, reading }, parts)
    })
    const noSupport = () => {
      throw new Problem(403, 'support_grant_needed', 'This server lets no superadmins in.')
    }
    app.decorateRequest('beforeSupport', function <T>(this: FastifyRequest, work: Work<T>) {
      return run(supportPool ?? noSupport(), { mayWrite: false, enter: () => [], work })
    })
    app.decorateRequest('support', async function <
      T,
    >(this: FastifyRequest, organization: string | null, work: Work<T>) {
      const { sid, scope } = this.user
      // The session is asked first, as everywhere.
      if (scope !== 'superadmin') {
        return this.account(() => {
          throw new Problem(403, 'support_grant_needed')
        })
      }
      const from = supportPool ?? noSupport()
      const what = `${this.method} ${this.url.split('?', 1)[0] ?? ''}`
      // Committed before anything is read, so that nothing makes it undone.
      await run(from, {
        mayWrite: true,
        enter: () => [],
        work: sql =>
          sql`select app.use_support(${sid}, ${organization}, ${what}, ${this.id}, ${addressOf(this)})`,
      })
      return run(from, {
        mayWrite: !readOnly(this),
        enter: sql => [
          sql`select app.enter_support(${sid}, ${organization}, ${this.id}, ${addressOf(this)})`,
        ],
        work,
      })
    })
    app.decorateRequest('account', function <T>(this: FastifyRequest, work: Work<T>) {
      return run(pool, { mayWrite: !readOnly(this), enter: sql => [enter(sql, this, null)], work })
    })
    app.decorateRequest('anonymous', function <T>(this: FastifyRequest, work: Work<T>, isEvent = false) {
      const isReading = readOnly(this) && !isEvent
      return run(pool, {
        mayWrite: !isReading,
        // What only reads is no event, and does not say who asks.
        enter: sql => (isReading ? [] : [sql`select app.introduce(${this.id}, ${addressOf(this)})`]),
        work,
      })
    })
    app.decorateReply('json', {
      getter(this: FastifyReply) {
        return (rows: readonly Answer[] | Bytes) => json(this, rows)
      },
    })
  },
  { name: 'tenant', dependencies: ['measuring', 'tokens'] },
)
