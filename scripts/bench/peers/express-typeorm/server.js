// What a team would write with Express and TypeORM: the organization is in the token, and every query has
// `where organizationId`. DATABASE_URL, JWT_SECRET, PORT and POOL_SIZE come from the benchmark.
import { Buffer } from 'node:buffer'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import process from 'node:process'
import { verify } from '@node-rs/argon2'
import express from 'express'
import helmet from 'helmet'
import jwt from 'jsonwebtoken'
import { pinoHttp } from 'pino-http'
import { IsNull } from 'typeorm'
import { z } from 'zod'
import { database, Event, FinanceByMonth, Membership, Session, Show, User, Venue } from './entities.js'

const secret = process.env.JWT_SECRET
const issued = { algorithm: 'HS256', issuer: 'callboard', audience: 'callboard-api', expiresIn: 900 }
const accepted = { algorithms: ['HS256'], issuer: 'callboard', audience: 'callboard-api' }

const NewShow = z.strictObject({
  title: z.string().min(1).max(200),
  artist: z.string().min(1).max(200),
  venue_id: z.uuid().nullish(),
  show_on: z.iso.date(),
  doors_time: z.string().nullish(),
  start_time: z.string().nullish(),
  curfew_time: z.string().nullish(),
  status: z.enum(['inquiry', 'hold', 'offer', 'confirmed']).default('inquiry'),
  capacity: z.int().positive().nullish(),
  tickets_sold: z.int().nonnegative().default(0),
  fee_minor: z.int().nonnegative().nullish(),
  currency: z.string().length(3).nullish(),
  notes: z.string().max(10_000).nullish(),
})
const SignIn = z.strictObject({ email: z.email(), password: z.string().min(1).max(200) })
const Page = z.strictObject({ limit: z.coerce.number().int().min(1).max(200).default(50) })

const time = value => value?.slice(0, 5) ?? null
const showOf = show => ({
  id: show.id,
  title: show.title,
  artist: show.artist,
  venue_id: show.venueId,
  venue_name: show.venue?.name ?? null,
  venue_city: show.venue?.city ?? null,
  time_zone: show.venue?.timeZone ?? null,
  show_on: show.showOn,
  doors_time: time(show.doorsTime),
  start_time: time(show.startTime),
  curfew_time: time(show.curfewTime),
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
})

const app = express()
app.disable('x-powered-by')
app.use(helmet())
app.use(pinoHttp({ genReqId: () => randomUUID(), customSuccessMessage: () => 'answered' }))
app.use(express.json({ limit: '256kb' }))
app.get('/', (request, response) => response.json({ ok: true }))

app.post('/api/auth/sign-in', async (request, response) => {
  const { email, password } = SignIn.parse(request.body)
  const user = await database.getRepository(User).findOneBy({ email: email.toLowerCase() })
  if (!user || !(await verify(user.passwordHash, password)))
    return response.status(401).json({ error: 'invalid_credentials' })
  const membership = await database.getRepository(Membership).findOne({ where: { userId: user.id } })
  const refresh = randomBytes(32).toString('base64url')
  await database.transaction(async manager => {
    await manager.insert(Session, {
      userId: user.id,
      refreshHash: createHash('sha256').update(refresh).digest(),
    })
    await manager.insert(Event, {
      organizationId: membership.organizationId,
      actorId: user.id,
      action: 'auth.sign_in',
      resourceType: 'user',
      resourceId: user.id,
      requestId: request.id,
      ip: request.ip,
    })
  })
  const claims = { sub: user.id, org: membership.organizationId, role: membership.role, sid: refresh }
  return response.json({
    access_token: jwt.sign(claims, secret, issued),
    token_type: 'Bearer',
    expires_in: 900,
    refresh_token: refresh,
  })
})

app.use((request, response, next) => {
  const [, token] = /^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? []
  try {
    request.user = jwt.verify(token ?? '', secret, accepted)
  } catch {
    return response.status(401).json({ error: 'unauthorized' })
  }
  return next()
})

// With a relation and a limit, find() would make TypeORM send two queries.
const showsOf = (manager, organizationId) =>
  manager
    .createQueryBuilder(Show, 's')
    .leftJoinAndSelect('s.venue', 'v')
    .where('s.organizationId = :organizationId and s.deletedAt is null', { organizationId })
const findShow = (manager, organizationId, id) =>
  showsOf(manager, organizationId).andWhere('s.id = :id', { id }).getOne()

app.get('/api/shows', async (request, response) => {
  const { limit } = Page.parse(request.query)
  const shows = await showsOf(database.manager, request.user.org)
    .orderBy({ 's.showOn': 'ASC', 's.id': 'ASC' })
    .limit(limit + 1)
    .getMany()
  const page = shows.slice(0, limit)
  const last = page.at(-1)
  const cursor =
    shows.length > limit ? Buffer.from(JSON.stringify([last.showOn, last.id])).toString('base64url') : null
  return response.json({ items: page.map(showOf), next_cursor: cursor })
})

app.get('/api/shows/:id', async (request, response) => {
  const id = z.uuid().parse(request.params.id)
  const show = await findShow(database.manager, request.user.org, id)
  if (!show) return response.status(404).json({ error: 'not_found' })
  return response.set('etag', `"${show.version}"`).json(showOf(show))
})

app.post('/api/shows', async (request, response) => {
  const body = NewShow.parse(request.body)
  const { org: organizationId, sub: createdBy } = request.user
  const made = await database.transaction(async manager => {
    if (
      body.venue_id &&
      !(await manager.existsBy(Venue, { organizationId, id: body.venue_id, deletedAt: IsNull() }))
    )
      return null
    const show = await manager.save(Show, {
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
    await manager.insert(Event, {
      organizationId,
      actorId: createdBy,
      action: 'show.create',
      resourceType: 'show',
      resourceId: show.id,
      requestId: request.id,
      ip: request.ip,
      changes: { new: body },
    })
    return findShow(manager, organizationId, show.id)
  })
  if (!made) return response.status(409).json({ error: 'shows_venue_exists' })
  return response
    .status(201)
    .set({ etag: `"${made.version}"`, location: `/api/shows/${made.id}` })
    .json(showOf(made))
})

app.get('/api/analytics/finance', async (request, response) => {
  const year = new Date().getFullYear()
  const items = await database
    .getRepository(FinanceByMonth)
    .createQueryBuilder('f')
    .where('f.organizationId = :org and f.month between :from and :to', {
      org: request.user.org,
      from: `${year}-01-01`,
      to: `${year}-12-31`,
    })
    .orderBy({ 'f.month': 'ASC', 'f.status': 'ASC', 'f.currency': 'ASC' })
    .getMany()
  return response.json({ items })
})

// Express recognizes an error handler by its four parameters.
app.use((error, request, response, next) => {
  if (response.headersSent) return next(error)
  if (error instanceof z.ZodError)
    return response.status(400).json({ error: 'validation', issues: error.issues })
  request.log.error(error)
  return response.status(500).json({ error: 'internal' })
})

await database.initialize()
const server = app.listen(Number(process.env.PORT), '127.0.0.1')
process.on('SIGTERM', () => {
  server.close(() => process.exit(0))
  server.closeAllConnections()
})
