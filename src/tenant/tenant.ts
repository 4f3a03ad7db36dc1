import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import type { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { PendingQuery, RawRowList, Row } from 'postgres'
import type { Client, Pool } from '../database/pool.ts'
import { Problem } from '../http/problem.ts'
import { type Doors, type Parts, stream } from './streaming.ts'
import type { AccessToken } from '../http/tokens.ts'

/** What SQL answers to a request: see app.answer in db/schema/foundation/helpers.sql. `body` is JSON text. */
export interface Answer {
  status?: number | null
  body: string | null
  etag?: string | null
  location?: string | null
  /** Of a list: where the next page begins. */
  next_cursor?: string | null
}
export type Work<T> = (sql: Client) => PromiseLike<T>
/** Answers as postgres.js gives them with `raw()`. */
export type Bytes = RawRowList<Answer[]>

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

/** The transaction met a change of the schema, and has been rolled back. */
class Stale extends Problem {
  readonly code = '26000'
  constructor() {
    super(503, 'database_unavailable', 'The database is being changed: try again shortly.')
  }
}

/** Codes after which the same transaction may succeed: stale plans, serialization, deadlock. */
const transient = new Set(['0A000', '26000', '40001', '40P01'])
const attempts = 3

/**
 * postgres.js repeats a prepared statement that has become stale: alone, and behind what was sent along. There
 * the transaction has failed or is over, and a second one that is repeated waits for ever. It sets `retried`
 * first, so that is where this takes the statement back.
 */
const unrepeated = {
  set(this: PendingQuery<Row[]> & { cancelled: unknown; reject: (error: unknown) => void }) {
    this.cancelled = true
    this.reject(new Stale())
  },
}

/**
 * Sends the begin, the entrance, the work and the end without waiting in between, so that work of one
 * statement costs one round trip. The first of them to fail is the error of the whole.
 */
export async function transact<T>(
  sql: Client,
  readOnly: boolean,
  enter: PendingQuery<Row[]>[],
  work: Work<T>,
  leave?: string,
): Promise<T> {
  const errors: unknown[] = []
  // postgres.js sends a query when it is asked for its outcome.
  const send = (query: PromiseLike<unknown>) => {
    if ('execute' in query) Object.defineProperty(query, 'retried', unrepeated)
    return query.then<unknown, undefined>(
      undefined,
      (error: unknown) => void errors.push(error),
    ) as PromiseLike<T | undefined>
  }
  // What injected SQL may have left on this connection (a time zone, a setting that carries
  // somebody's data) ends here: every transaction starts from the settings of its login. As one
  // message, because PostgreSQL answers each message with a packet of its own.
  const begin = `reset all; begin isolation level read committed ${readOnly ? 'read only' : 'read write'}`
  const before = [send(sql.unsafe(begin)), ...enter.map(send)]
  let result: PromiseLike<T> | undefined
  try {
    result = work(sql)
  } catch (error) {
    // BEGIN is on its way already: the transaction must end before anybody else gets the connection.
    await Promise.all(before)
    errors.push(error)
  }
  const pending = result && send(result)
  // Work that awaits has more statements to send: only then COMMIT waits for it.
  if (result && !('execute' in result)) await pending
  const end = errors.length > 0 ? 'rollback' : leave === undefined ? 'commit' : `${leave}; commit`
  const [value, ended] = await Promise.all([
    pending,
    sql.unsafe(end).then(undefined, (error: unknown) => {
      // A transaction that has failed does not answer what stands before the COMMIT: its own error says why.
      if ((error as { code?: string }).code !== '25P02') errors.push(error)
    }),
    ...before,
  ])
  // A transaction that has failed skips the COMMIT behind the question of where it was.
  if (ended === undefined) await sql`rollback`.catch(() => {})
  if (errors.length > 0) throw errors[0]
  // COMMIT of a transaction that failed succeeds, as a ROLLBACK.
  if (ended?.command !== 'COMMIT') throw new Stale()
  return value as T
}

/** A transaction on a connection of the pool, begun anew when that may help. For what no request does, too: with whatever context `enter` makes. */
export async function run<T>(
  pool: Pick<Pool, 'use'>,
  readOnly: boolean,
  enter: (sql: Client) => PendingQuery<Row[]>[],
  work: Work<T>,
  leave?: string,
): Promise<T> {
  return pool.use(async sql => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await transact(sql, readOnly, enter(sql), work, leave)
      } catch (error) {
        if (attempt === attempts || !transient.has((error as { code?: string }).code ?? '')) throw error
      }
    }
  })
}

/** The one row that every statement for a route returns. Throws where it is a refusal that had to be committed. */
export function only(rows: readonly Answer[]): Answer {
  const [answer] = rows
  if (!answer) throw new Error('The statement returned no row')
  if ((answer.status ?? 200) >= 400) {
    // See app.refusal.
    const { problem, detail } = JSON.parse(answer.body ?? '{}') as { problem: string; detail: string }
    throw new Problem(answer.status ?? 500, problem, detail)
  }
  return answer
}

/** With its body as it came, so that a long one is not made a string and then bytes again. */
function unpacked(rows: Bytes): Omit<Answer, 'body'> & { body: Buffer } {
  const values = rows.columns.map(({ name }, i) => {
    const value = rows[0]?.[i] ?? null
    return [name, name === 'body' ? value : (value?.toString() ?? null)]
  })
  return Object.fromEntries(values) as ReturnType<typeof unpacked>
}

const isBytes = (rows: readonly Answer[] | Bytes): rows is Bytes => Array.isArray(rows[0])

function json(reply: FastifyReply, rows: readonly Answer[] | Bytes): FastifyReply {
  const answer = isBytes(rows) ? unpacked(rows) : only(rows)
  const status = answer.status ?? 200
  if (answer.etag != null) void reply.header('etag', answer.etag)
  if (answer.location != null && status === 201) void reply.header('location', answer.location)
  if (answer.next_cursor != null) {
    const url = new URL(reply.request.url, 'http://localhost')
    url.searchParams.set('cursor', answer.next_cursor)
    void reply.header('link', `<${url.pathname}${url.search}>; rel="next"`)
  }
  if (answer.body == null) return reply.code(status).send()
  return reply.code(status).type('application/json; charset=utf-8').send(answer.body)
}

/** Same key, same request: replays the kept answer; new key: keeps the answer in the same transaction. */
function once(request: FastifyRequest, key: string, work: Work<Answer[]>): Work<Answer[]> {
  const hash = createHash('sha256')
    .update(JSON.stringify([request.method, request.url, request.body ?? null]))
    .digest()
  return async sql => {
    const kept = await sql<Answer[]>`select status, body, etag, location from app.claim_key(${key}, ${hash})`
    if (kept.length > 0) return kept
    const rows = await work(sql)
    const [a] = rows
    if (a)
      await sql`select app.keep_answer(${key}, ${a.status ?? 200}, ${a.body}::text::json, ${a.etag ?? null}, ${a.location ?? null})`
    return rows
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
      return run(on, isReadOnly, entrance, work, leave(org)).catch((error: unknown) =>
        noteBreach(app, org, error),
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
      return run(supportPool ?? noSupport(), true, () => [], work)
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
      await run(
        from,
        false,
        () => [],
        sql => sql`select app.use_support(${sid}, ${organization}, ${what}, ${this.id}, ${addressOf(this)})`,
      )
      return run(
        from,
        readOnly(this),
        sql => [sql`select app.enter_support(${sid}, ${organization}, ${this.id}, ${addressOf(this)})`],
        work,
      )
    })
    app.decorateRequest('account', function <T>(this: FastifyRequest, work: Work<T>) {
      return run(pool, readOnly(this), sql => [enter(sql, this, null)], work)
    })
    app.decorateRequest('anonymous', function <T>(this: FastifyRequest, work: Work<T>, isEvent = false) {
      const isReading = readOnly(this) && !isEvent
      return run(
        pool,
        isReading,
        // What only reads is no event, and says not who asks.
        sql => (isReading ? [] : [sql`select app.introduce(${this.id}, ${addressOf(this)})`]),
        work,
      )
    })
    app.decorateReply('json', {
      getter(this: FastifyReply) {
        return (rows: readonly Answer[] | Bytes) => json(this, rows)
      },
    })
  },
  { name: 'tenant', dependencies: ['measuring', 'tokens'] },
)
