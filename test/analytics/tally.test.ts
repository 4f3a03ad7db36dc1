// Organizations' use is counted: every call once, whatever happens to the database or the process.
import { randomUUID } from 'node:crypto'
import { Agent, request as send } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { text as textOf } from 'node:stream/consumers'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { type Batch, createCounts } from '../../src/analytics/use/counts.ts'
import {
  aShow,
  type Database,
  join,
  type Person,
  register,
  startServer,
  superadmin,
  type TestServer,
  until,
} from '../support/helper.ts'
import { startProxy } from '../support/proxy.ts'
import { startServerProcess } from '../support/server-process.ts'

const secret = 'a secret that only the tests know, and of 32 letters'
const numbers = [
  'calls',
  'errors',
  'server_errors',
  'within_1_s',
  'total_us',
  'slowest_us',
  'bytes_in',
  'bytes_out',
] as const
type Use = Record<(typeof numbers)[number], number> & { operation: string; day: string }

/** An organization's use in the database, by operation. */
async function useOf({ admin }: Database, { organization }: Person): Promise<Record<string, Use>> {
  const rows = await admin<Use[]>`
    select operation, day::text, ${admin.unsafe(numbers.map(name => `${name}::float8 as ${name}`).join(', '))}
    from app.api_use where organization_id = ${organization}`
  return Object.fromEntries(rows.map(row => [row.operation, row]))
}
const callsOf = async (db: Database, person: Person) =>
  Object.fromEntries(Object.entries(await useOf(db, person)).map(([name, { calls }]) => [name, calls]))
const integrationsOf = ({ admin }: Database, { organization }: Person) =>
  admin`
    select kind, name, calls::int, errors::int, rows::int, bytes::int, day = (now() at time zone 'UTC')::date as today
    from app.integration_use where organization_id = ${organization} order by kind, name`
const today = () => new Date().toISOString().slice(0, 10)

t.test('calls are counted by organization, operation and day', async t => {
  const server = await startServer(t)
  const { call, db, app } = server
  const [ana, ben] = [await register(server, 'Ana'), await register(server, 'Ben')]
  const left = await join(server, ana, 'viewer')
  await app.tally.flush()
  await db.admin`truncate app.api_use`

  const { body: show } = await call<{ id: string }>('POST /api/shows', { token: ana.token, body: aShow })
  for (const id of [show.id, show.id, randomUUID()]) await call(`GET /api/shows/${id}`, { token: ana.token })
  await call('POST /api/shows', { token: ana.token, body: {} })
  await call('GET /api/shows', { token: ben.token })
  t.strictSame(await callsOf(db, ana), {}, 'in memory, until they are written')
  await app.tally.flush()

  const use = await useOf(db, ana)
  t.match(use, {
    createShow: { calls: 2, errors: 1, server_errors: 0, within_1_s: 2, day: today() },
    readShow: { calls: 3, errors: 1 },
  })
  for (const { total_us, slowest_us, calls } of Object.values(use)) {
    t.ok(slowest_us > 0 && slowest_us <= total_us && total_us <= slowest_us * calls)
    t.ok(slowest_us < 5_000_000)
  }
  t.strictSame(await callsOf(db, ben), { listShows: 1 })

  await t.test('once, and added to the existing counts', async t => {
    await app.tally.flush()
    await call('GET /api/shows', { token: ben.token })
    await app.tally.flush()
    t.strictSame(await callsOf(db, ben), { listShows: 2 })
    t.strictSame(await callsOf(db, ana), { createShow: 2, readShow: 3 })
  })

  await t.test('except those of outsiders, of unauthenticated callers, and of superadmins', async t => {
    await call(`DELETE /api/users/${left.id}`, { token: ana.token })
    t.equal((await call('GET /api/shows', { token: left.token })).status, 403)
    await call('GET /api/shows')
    await call('GET /livez')
    const helper = await superadmin(server, ben, ana.organization)
    t.equal((await call('GET /api/shows', { token: helper.token })).status, 200)
    await app.tally.flush()
    t.strictSame(await callsOf(db, ana), { createShow: 2, readShow: 3, removeUser: 1 })
  })
})

t.test('a flood of requests from a removed member is not the organization’s use', async t => {
  const server = await startServer(t, { RATE_LIMIT: '20' })
  const { call, db, app } = server
  const ana = await register(server, 'Ana')
  const left = await join(server, ana, 'viewer')
  await call(`DELETE /api/users/${left.id}`, { token: ana.token })
  await app.tally.flush()
  await db.admin`truncate app.api_use`
  for (let n = 0; n < 60; n++) await call('GET /api/shows', { token: left.token })
  t.equal((await call('GET /api/shows', { token: left.token })).status, 429)
  await app.tally.flush()
  t.strictSame(await callsOf(db, ana), {})
  for (let n = 0; n < 30; n++) await call('GET /api/me', { token: ana.token })
  await app.tally.flush()
  t.match(
    await useOf(db, ana),
    { readMe: { calls: 30 } },
    'its own requests are, even those beyond the limit',
  )
})

/** One request over a persistent connection. */
async function ask(agent: Agent, url: string, token: string, body?: object): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = send(
      url,
      {
        agent,
        method: body ? 'POST' : 'GET',
        headers: {
          authorization: `Bearer ${token}`,
          ...(body && { 'content-type': 'application/json' }),
        },
      },
      response => {
        void textOf(response).then(() => {
          resolve(response.statusCode ?? 0)
        }, reject)
      },
    )
    sent.on('error', reject)
    sent.end(body && JSON.stringify(body))
  })
}

t.test('bytes are those sent over the wire', async t => {
  const server = await startServer(t)
  const { app, db } = server
  const ana = await register(server, 'Ana')
  await app.listen({ host: '127.0.0.1', port: 0 })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  await app.tally.flush()
  await db.admin`truncate app.api_use`
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => {
    agent.destroy()
  })
  const sockets = new Set<Socket>()
  agent.on('free', (socket: Socket) => sockets.add(socket))
  const wire = () => {
    const [socket] = sockets
    return { read: socket?.bytesRead ?? 0, written: socket?.bytesWritten ?? 0 }
  }

  t.equal(await ask(agent, `${url}/api/shows`, ana.token), 200)
  const first = wire()
  t.equal(await ask(agent, `${url}/livez`, 'nobody'), 200, 'which is counted for nobody')
  const before = wire()
  for (const title of ['A', 'A longer title'.repeat(10)])
    t.equal(await ask(agent, `${url}/api/shows`, ana.token, { ...aShow, title }), 201)
  const after = wire()
  t.equal(sockets.size, 1)
  await app.tally.flush()
  t.match(await useOf(db, ana), {
    listShows: { bytes_in: first.written, bytes_out: first.read },
    createShow: { bytes_in: after.written - before.written, bytes_out: after.read - before.read },
  })
})

const away = { name: 'Unavailable' }

t.test('while the database is unavailable', async t => {
  let proxy!: Awaited<ReturnType<typeof startProxy>>
  const server = await startServer(t, async db => {
    proxy = await startProxy(t, db.url('callboard_api'))
    return { DATABASE_DEADLINE: '1', POOL_SIZE: '2', DATABASE_URL: proxy.through(db.url('callboard_api')) }
  })
  const { call, app, db } = server
  const ana = await register(server, 'Ana')
  const calls = async (n: number) => {
    for (let i = 0; i < n; i++) await call('GET /api/me', { token: ana.token })
  }
  const counted = async () => (await callsOf(db, ana))['readMe'] ?? 0

  await t.test('counting goes on, and nothing is lost', async t => {
    await calls(3)
    await proxy.stop()
    await t.rejects(app.tally.flush(), away)
    await calls(2)
    await t.rejects(app.tally.flush(), away)
    t.equal(await counted(), 0)
    await proxy.start()
    await app.tally.flush()
    t.equal(await counted(), 5)
    t.match(await useOf(db, ana), { readMe: { errors: 2, server_errors: 2 } })
  })

  await t.test('because the response is too slow, nothing is counted twice', async t => {
    await calls(4)
    proxy.delay(1500)
    await t.rejects(app.tally.flush(), away, 'its outcome is unknown')
    await until(async () => (await counted()) === 9)
    proxy.delay(0)
    await until(() =>
      app.tally.flush().then(
        () => true,
        () => false,
      ),
    )
    t.equal(await counted(), 9)
    await calls(1)
    await app.tally.flush()
    t.equal(await counted(), 10)
  })

  await t.test('because it hangs halfway, nothing is lost', async t => {
    await calls(4)
    void proxy.hangAt('"readMe"')
    await t.rejects(app.tally.flush(), away)
    t.equal(await counted(), 10)
    await until(() =>
      app.tally.flush().then(
        () => true,
        () => false,
      ),
    )
    t.equal(await counted(), 14)
  })
})

async function startProcess(t: Test, { db }: TestServer, settings: Record<string, string>) {
  const server = startServerProcess(t, {
    PORT: '0',
    DATABASE_URL: db.url('callboard_api'),
    JWT_SECRET: secret,
    RATE_LIMIT: '1000000',
    ...settings,
  })
  const [, url = ''] = await server.says(/Server listening at (http:[^"]+)/)
  const get = (token: string) => fetch(`${url}/api/me`, { headers: { authorization: `Bearer ${token}` } })
  return { ...server, get }
}

t.test('a server that is told to stop writes what it has counted', async t => {
  const here = await startServer(t)
  const ana = await register(here, 'Ana')
  const { child, ended, get } = await startProcess(t, here, { USE_FLUSH_INTERVAL: '86400' })
  for (let n = 0; n < 20; n++) await get(ana.token)
  t.strictSame((await callsOf(here.db, ana))['readMe'], undefined)
  // Some are in progress when it is told to, and some come too late.
  const underway = Array.from({ length: 30 }, () =>
    get(ana.token).then(
      r => r.status,
      () => 0,
    ),
  )
  await underway[0]
  child.kill('SIGTERM')
  const answered = (await Promise.all(underway)).filter(status => status === 200).length
  t.strictSame(await ended, { code: 0, signal: null })
  t.comment(`${answered} of 30 were answered`)
  t.equal((await callsOf(here.db, ana))['readMe'], 20 + answered)
})

t.test('a server that is killed loses no more than the time between two writes', async t => {
  const here = await startServer(t)
  const ana = await register(here, 'Ana')
  const { child, ended, get } = await startProcess(t, here, { USE_FLUSH_INTERVAL: '0.3' })
  for (let n = 0; n < 15; n++) await get(ana.token)
  await until(async () => (await callsOf(here.db, ana))['readMe'] === 15)
  for (let n = 0; n < 5; n++) await get(ana.token)
  child.kill('SIGKILL')
  await ended
  const counted = (await callsOf(here.db, ana))['readMe'] ?? 0
  t.ok(counted >= 15 && counted <= 20, `${counted} of 20`)
})

t.test('imports and calendar feeds are counted as integrations', async t => {
  const server = await startServer(t)
  const { call, db, app } = server
  const ana = await register(server, 'Ana')
  const file = 'title,artist,show_on\nSpring,The Gaslights,2027-05-01\n'
  const upload = async (query = '') =>
    (
      await call<{ id: string }>(`POST /api/imports?resource=shows${query}`, {
        token: ana.token,
        body: file,
        headers: { 'content-type': 'text/csv' },
      })
    ).body.id
  const [done, failed, cancelled] = [
    await upload('&source=bank'),
    await upload('&source=bank'),
    await upload(),
  ]
  t.strictSame([...(await integrationsOf(db, ana))], [], 'not before they end')
  const worker = db.as('callboard_worker')
  await worker`select app.begin_import(${failed}, 'check')`
  await worker`select app.finish_check(${failed}, '{"source": "bank"}', 'It is no CSV.')`
  await call(`POST /api/imports/${cancelled}/cancel`, { token: ana.token })
  await db.admin`update app.imports set status = 'running' where id = ${done}`
  for (let again = 0; again < 2; again++) await worker`select app.finish_import(${done}, 7, 1)`

  const { body: feed } = await call<{ path: string }>('POST /api/calendar-feeds', {
    token: ana.token,
    body: { name: 'Phone' },
  })
  await call('POST /api/shows', { token: ana.token, body: { ...aShow, show_on: today() } })
  const read = await call(`GET ${feed.path}`)
  await call(`GET ${feed.path}`, { headers: { 'if-none-match': String(read.headers['etag']) } })
  await call('GET /api/calendar.ics?token=nobodys')
  await app.tally.flush()
  t.strictSame(
    [...(await integrationsOf(db, ana))],
    [
      {
        kind: 'calendar_feed',
        name: 'ics',
        calls: 2,
        errors: 0,
        rows: 1,
        bytes: read.text.length,
        today: true,
      },
      { kind: 'import', name: 'bank', calls: 2, errors: 1, rows: 7, bytes: 2 * file.length, today: true },
      { kind: 'import', name: 'shows', calls: 1, errors: 0, rows: 0, bytes: file.length, today: true },
    ],
  )
})

t.test('SQL run as the API’s login', async t => {
  const server = await startServer(t)
  const { db, app, call } = server
  const ana = await register(server, 'Ana')
  await call('GET /api/me', { token: ana.token })
  await app.tally.flush()
  const sql = db.as('callboard_api')
  const add = (rows: object[], batch = randomUUID()) =>
    sql`select app.add_use(${batch}, ${JSON.stringify(rows)}::text::jsonb, '[]') as said`
  const row = { organization_id: ana.organization, day: today(), operation: 'readMe', calls: 1 }

  await t.test('reads no counts', async t => {
    for (const table of [
      'app.api_use',
      'app.integration_use',
      'app_private.use_batches',
      'app.client_events',
    ])
      await t.rejects(sql.unsafe(`select * from ${table}`), { message: /permission denied/ }, table)
    for (const command of ['insert into app.api_use default values', 'update app.api_use set calls = 0'])
      await t.rejects(sql.unsafe(command), { message: /permission denied/ }, command)
  })

  await t.test('lowers none, and makes none too high to add to', async t => {
    await add([{ ...row, calls: -5, bytes_in: -1 }])
    t.equal((await callsOf(db, ana))['readMe'], 1)
    for (let n = 0; n < 20; n++)
      await add(Array.from({ length: 10 }, () => ({ ...row, calls: Number.MAX_SAFE_INTEGER })))
    t.equal((await callsOf(db, ana))['readMe'], 1 + 20 * 1e12)
    await call('GET /api/me', { token: ana.token })
    await app.tally.flush()
    t.equal((await callsOf(db, ana))['readMe'], 2 + 20 * 1e12)
  })

  await t.test('learns nothing about an organization that does not exist', async t => {
    const answers = [await add([row]), await add([{ ...row, organization_id: randomUUID() }])]
    t.strictSame([...(answers[0] ?? [])], [...(answers[1] ?? [])])
  })

  await t.test('changes no day that is long over', async t => {
    await add([{ ...row, operation: 'a', day: '2001-01-01' }])
    await add([{ ...row, operation: 'b', day: '2101-01-01' }])
    const days = await db.admin<{ day: number }[]>`
      select day - (now() at time zone 'UTC')::date as day from app.api_use where operation in ('a', 'b') order by 1`
    t.strictSame([...days], [{ day: -7 }, { day: 1 }])
  })

  await t.test('adds a batch once', async t => {
    const batch = randomUUID()
    const before = (await callsOf(db, ana))['listShows'] ?? 0
    await Promise.all(Array.from({ length: 8 }, () => add([{ ...row, operation: 'listShows' }], batch)))
    t.equal((await callsOf(db, ana))['listShows'], before + 1)
  })

  await t.test('and does not block others who add at the same time', async t => {
    const ben = await register(server, 'Ben')
    const rows = [ana, ben].flatMap(({ organization: organization_id }) =>
      Array.from({ length: 50 }, (_, n) => ({ ...row, organization_id, operation: `op${n}` })),
    )
    await Promise.all(Array.from({ length: 40 }, (_, n) => add(n % 2 === 0 ? rows : [...rows].reverse())))
    t.equal((await callsOf(db, ana))['op0'], 40)
    t.equal((await callsOf(db, ben))['op49'], 40)
  })
})

t.test('what waits in memory', async t => {
  const written: Batch[] = []
  let isAway = true
  let day = 20_000
  const counts = createCounts(
    batch => {
      written.push(batch)
      return isAway ? Promise.reject(new Error('away')) : Promise.resolve()
    },
    () => day,
  )
  const call = { status: 200, milliseconds: 3, bytesIn: 1, bytesOut: 2 }

  await t.test('belongs to the day on which it was counted', async t => {
    counts.call('org', 'readMe', call)
    day += 1
    counts.call('org', 'readMe', call)
    isAway = false
    await counts.flush()
    t.match(written, [{ api: [{ day: '2024-10-04', calls: 1 }] }, { api: [{ day: '2024-10-05', calls: 1 }] }])
  })

  await t.test('is bounded, keeps the ids of its batches, and reports what it dropped', async t => {
    isAway = true
    written.length = 0
    for (let n = 0; n < 60_000; n++) counts.call(`org ${n}`, 'readMe', call)
    await t.rejects(counts.flush(), { message: 'away' })
    const [first] = written
    for (let n = 0; n < 60_000; n++) counts.call(`org ${n}`, 'listShows', call)
    t.strictSame(counts.stats(), { waiting: 100_000, lost: 20_000 })
    counts.call('org 0', 'listShows', call)
    t.strictSame(
      counts.stats(),
      { waiting: 100_000, lost: 20_000 },
      'what already has a row is still counted',
    )
    isAway = false
    await counts.flush()
    t.equal(written[1], first)
    t.equal(new Set(written.map(({ id }) => id)).size, written.length - 1)
    t.ok(written.every(({ api }) => api.length <= 2000))
    t.strictSame(counts.stats(), { waiting: 0, lost: 20_000 })
  })
})
