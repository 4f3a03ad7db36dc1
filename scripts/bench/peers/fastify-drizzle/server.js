// What a team would write with Fastify and Drizzle, with row-level security: each request is a transaction that
// begins by setting the organization of the token. DATABASE_URL, JWT_SECRET, PORT and POOL_SIZE come from the benchmark.
import { Buffer } from 'node:buffer'
import { createHash, randomBytes } from 'node:crypto'
import process from 'node:process'
import helmet from '@fastify/helmet'
import fastifyJwt from '@fastify/jwt'
import { verify } from '@node-rs/argon2'
import { and, asc, between, eq, isNull, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import Fastify from 'fastify'
import postgres from 'postgres'
import {
  event,
  financeByMonth,
  membership,
  NewShow,
  Page,
  session,
  show,
  Show,
  user,
  venue,
} from './schema.js'

const client = postgres(process.env.DATABASE_URL, { max: Number(process.env.POOL_SIZE) })
const db = drizzle(client)
const app = Fastify({ logger: true, disableRequestLogging: true })
app.addHook('onResponse', async (request, reply) => {
  request.log.info(
    { method: request.method, route: request.routeOptions.url, status: reply.statusCode },
    'answered',
  )
})
await app.register(helmet)
await app.register(fastifyJwt, {
  secret: process.env.JWT_SECRET,
  sign: { algorithm: 'HS256', iss: 'callboard', aud: 'callboard-api', expiresIn: 900 },
  verify: { algorithms: ['HS256'], allowedIss: 'callboard', allowedAud: 'callboard-api', cache: true },
})

/** The transaction of a request, in which the policies admit the organization's rows. */
const inOrganization = (request, work) =>
  db.transaction(async tx => {
    await tx.execute(sql`select set_config('peers.organization_id', ${request.user.org}, true)`)
    return work(tx)
  })

const clock = column => sql`to_char(${column}, 'HH24:MI')`
const columns = {
  id: show.id,
  title: show.title,
  artist: show.artist,
  venue_id: show.venueId,
  venue_name: venue.name,
  venue_city: venue.city,
  time_zone: venue.timeZone,
  show_on: show.showOn,
  doors_time: clock(show.doorsTime),
  start_time: clock(show.startTime),
  curfew_time: clock(show.curfewTime),
  starts_at: sql`(${show.showOn} + ${show.startTime}) at time zone ${venue.timeZone}`,
  status: show.status,
  capacity: show.capacity,
  tickets_sold: show.ticketsSold,
  fee_minor: show.feeMinor,
  currency: show.currency,
  notes: show.notes,
  source: show.source,
  external_ref: show.externalRef,
  created_by: show.createdBy,
  created_at: show.createdAt,
  updated_at: show.updatedAt,
}
const shows = (tx, more = {}) =>
  tx
    .select({ ...columns, ...more })
    .from(show)
    .leftJoin(venue, and(eq(venue.organizationId, show.organizationId), eq(venue.id, show.venueId)))

app.get('/', async () => ({ ok: true }))

app.post('/api/auth/sign-in', async (request, reply) => {
  const { email, password } = request.body
  const [found] = await db.select().from(user).where(eq(user.email, email.toLowerCase()))
  if (!found || !(await verify(found.passwordHash, password)))
    return reply.code(401).send({ error: 'invalid_credentials' })
  const [member] = await db.select().from(membership).where(eq(membership.userId, found.id)).limit(1)
  const refresh = randomBytes(32).toString('base64url')
  request.user = { org: member.organizationId }
  await inOrganization(request, async tx => {
    await tx
      .insert(session)
      .values({ userId: found.id, refreshHash: createHash('sha256').update(refresh).digest() })
    await tx.insert(event).values({
      organizationId: member.organizationId,
      actorId: found.id,
      action: 'auth.sign_in',
      resourceType: 'user',
      resourceId: found.id,
      requestId: request.id,
      ip: request.ip,
    })
  })
  const token = app.jwt.sign({ sub: found.id, org: member.organizationId, role: member.role, sid: refresh })
  return { access_token: token, token_type: 'Bearer', expires_in: 900, refresh_token: refresh }
})

await app.register(async signedIn => {
  signedIn.addHook('onRequest', request => request.jwtVerify())

  const page = { items: { type: 'array', items: Show }, next_cursor: { type: ['string', 'null'] } }
  signedIn.get(
    '/api/shows',
    { schema: { querystring: Page, response: { 200: { type: 'object', properties: page } } } },
    async request => {
      const { limit } = request.query
      const found = await inOrganization(request, tx =>
        shows(tx)
          .where(isNull(show.deletedAt))
          .orderBy(asc(show.showOn), asc(show.id))
          .limit(limit + 1),
      )
      const items = found.slice(0, limit)
      const last = items.at(-1)
      return {
        items,
        next_cursor:
          found.length > limit
            ? Buffer.from(JSON.stringify([last.show_on, last.id])).toString('base64url')
            : null,
      }
    },
  )

  signedIn.get('/api/shows/:id', { schema: { response: { 200: Show } } }, async (request, reply) => {
    const [found] = await inOrganization(request, tx =>
      shows(tx, { version: show.version }).where(and(eq(show.id, request.params.id), isNull(show.deletedAt))),
    )
    if (!found) return reply.code(404).send({ error: 'not_found' })
    return reply.header('etag', `"${found.version}"`).send(found)
  })

  signedIn.post(
    '/api/shows',
    { schema: { body: NewShow, response: { 201: Show } } },
    async (request, reply) => {
      const { org: organizationId, sub: createdBy } = request.user
      const { body } = request
      const [made] = await inOrganization(request, async tx => {
        const [{ id }] = await tx
          .insert(show)
          .values({
            organizationId,
            createdBy,
            title: body.title,
            artist: body.artist,
            venueId: body.venue_id,
            showOn: body.show_on,
            doorsTime: body.doors_time,
            startTime: body.start_time,
            curfewTime: body.curfew_time,
            status: body.status,
            capacity: body.capacity,
            ticketsSold: body.tickets_sold,
            feeMinor: body.fee_minor,
            currency: body.currency,
            notes: body.notes,
          })
          .returning({ id: show.id })
        await tx.insert(event).values({
          organizationId,
          actorId: createdBy,
          action: 'show.create',
          resourceType: 'show',
          resourceId: id,
          requestId: request.id,
          ip: request.ip,
          changes: { new: body },
        })
        return shows(tx, { version: show.version }).where(eq(show.id, id))
      })
      return reply
        .code(201)
        .headers({ etag: `"${made.version}"`, location: `/api/shows/${made.id}` })
        .send(made)
    },
  )

  signedIn.get('/api/analytics/finance', async request => {
    const year = new Date().getFullYear()
    const items = await inOrganization(request, tx =>
      tx
        .select({
          month: financeByMonth.month,
          status: financeByMonth.status,
          currency: financeByMonth.currency,
          income_minor: financeByMonth.incomeMinor,
          expense_minor: financeByMonth.expenseMinor,
          base_income_minor: financeByMonth.baseIncomeMinor,
          base_expense_minor: financeByMonth.baseExpenseMinor,
          records: financeByMonth.records,
        })
        .from(financeByMonth)
        .where(between(financeByMonth.month, `${year}-01-01`, `${year}-12-31`))
        .orderBy(asc(financeByMonth.month), asc(financeByMonth.status), asc(financeByMonth.currency)),
    )
    return { items }
  })
})

await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
process.on('SIGTERM', () => {
  app.server.closeAllConnections()
  void app
    .close()
    .then(() => client.end({ timeout: 1 }))
    .then(() => process.exit(0))
})
