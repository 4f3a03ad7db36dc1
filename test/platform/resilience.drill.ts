import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { t } from '../support/tap.ts'
import { aShow, join, type Person, register, startServer, type TestServer } from '../support/helper.ts'

const requests = 2000
const inFlight = 24
const deadline = 1

interface Company {
  marker: string
  owner: Person
  manager: Person
  viewer: Person
  shows: string[]
  /** A show whose row another session has locked. */
  locked: string
}
interface Request {
  method: string
  path: string
  token: string
  body?: unknown
  key?: string
  ifMatch?: string
}
interface Kind {
  status: number
  make: (us: Company, them: Company, i: number) => Request
}

const title = ({ marker }: Company, i: number) => `${marker} number ${i}`
const pick = ({ shows }: Company, i: number) => `/api/shows/${shows[i % shows.length] ?? ''}`

const successes: Kind[] = [
  { status: 200, make: us => ({ method: 'GET', path: '/api/shows?limit=200', token: us.viewer.token }) },
  { status: 200, make: (us, _, i) => ({ method: 'GET', path: pick(us, i), token: us.viewer.token }) },
  {
    status: 201,
    make: (us, _, i) => ({
      method: 'POST',
      path: '/api/shows',
      token: us.manager.token,
      body: { ...aShow, title: title(us, i) },
    }),
  },
  {
    status: 200,
    make: (us, _, i) => ({
      method: 'PATCH',
      path: pick(us, i),
      token: us.manager.token,
      body: { notes: title(us, i) },
    }),
  },
  { status: 200, make: us => ({ method: 'GET', path: '/api/me', token: us.owner.token }) },
  {
    status: 201,
    make: (us, _, i) => ({
      method: 'POST',
      path: '/api/shows',
      token: us.owner.token,
      body: { ...aShow, title: title(us, i) },
      key: `key-${i}`,
    }),
  },
  {
    status: 200,
    make: us => ({
      method: 'GET',
      path: `/api/organizations/${us.owner.organization}`,
      token: us.viewer.token,
    }),
  },
]

const failures: Kind[] = [
  { status: 404, make: (us, them, i) => ({ method: 'GET', path: pick(them, i), token: us.owner.token }) },
  {
    status: 403,
    make: us => ({ method: 'POST', path: '/api/shows', token: us.viewer.token, body: aShow }),
  },
  {
    status: 409,
    make: (us, _, i) => ({
      method: 'PATCH',
      path: pick(us, i),
      token: us.manager.token,
      body: { status: 'settled' },
    }),
  },
  {
    status: 422,
    make: (us, _, i) => ({
      method: 'PATCH',
      path: pick(us, i),
      token: us.manager.token,
      body: { capacity: 1, tickets_sold: 2 },
    }),
  },
  {
    status: 412,
    make: (us, _, i) => ({
      method: 'PATCH',
      path: pick(us, i),
      token: us.manager.token,
      body: { notes: 'late' },
      ifMatch: '"0"',
    }),
  },
]
const late: Kind = {
  status: 503,
  make: us => ({
    method: 'PATCH',
    path: `/api/shows/${us.locked}`,
    token: us.manager.token,
    body: { notes: 'late' },
  }),
}

/** Nine in ten should succeed; a few of the others hit the deadline. */
function kindOf(i: number): Kind | undefined {
  if (i % 10 !== 9) return successes[(i * 5) % successes.length]
  return i % 200 === 199 ? late : failures[Math.floor(i / 10) % failures.length]
}

t.test(`${requests} interleaved requests, some of which fail and some lose their connection`, async t => {
  const unhandled: unknown[] = []
  const note = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))

  const server = await startServer(t, { POOL_SIZE: '4', DATABASE_DEADLINE: String(deadline) })
  const { db, pool, app } = server
  const companies = [await found(server, 'Ana'), await found(server, 'Bob')] as const
  const base = await app.listen({ host: '127.0.0.1', port: 0 })

  const send = async ({ method, path, token, body, key, ifMatch }: Request) => {
    const began = Date.now()
    const response = await fetch(base + path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(key !== undefined && { 'idempotency-key': key }),
        ...(ifMatch !== undefined && { 'if-match': ifMatch }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, ms: Date.now() - began }
  }
  type Answer = Awaited<ReturnType<typeof send>>

  // Another session holds these rows for the whole time.
  const holder = await db.admin.reserve()
  await holder`begin`
  await holder`select from app.shows where id in ${db.admin(companies.map(c => c.locked))} for update`

  const answers: { i: number; us: Company; them: Company; kind: Kind; request: Request; answer: Answer }[] =
    []
  let next = 0
  let kills = 0
  const began = Date.now()
  const client = async () => {
    for (let i = next++; i < requests; i = next++) {
      const [us, them] = i % 2 === 0 ? companies : ([companies[1], companies[0]] as const)
      const kind = kindOf(i)
      if (!kind) throw new Error('no such kind')
      const request = kind.make(us, them, i)
      answers.push({ i, us, them, kind, request, answer: await send(request) })
    }
  }
  const storm = Promise.all(Array.from({ length: inFlight }, client))
  let isOver = false
  const killing = (async () => {
    while (!isOver) {
      const [killed] = await db.admin<{ done: boolean }[]>`
        select pg_terminate_backend(pid) as done from pg_stat_activity
        where usename = 'callboard_api' and datname = ${db.name} order by random() limit 1`
      if (killed?.done === true) kills += 1
      await sleep(100)
    }
  })()
  await storm.finally(() => (isOver = true))
  await killing
  const seconds = (Date.now() - began) / 1000

  await t.test('every request gets a response in time: the expected one or a 503', async t => {
    t.equal(answers.length, requests)
    const wrong = answers.filter(({ kind, answer }) => ![kind.status, 503].includes(answer.status))
    t.same(
      wrong.map(({ i, request, answer }) => ({ i, request, answer })),
      [],
    )
    const slow = answers.filter(({ answer }) => answer.ms > (deadline + 1) * 1000)
    t.same(
      slow.map(({ request, answer }) => [request.path, answer.ms]),
      [],
    )
    const refused = answers.filter(({ kind, answer }) => answer.status === 503 && kind !== late)
    for (const { answer } of [...refused, ...answers.filter(({ kind }) => kind === late)]) {
      if (
        answer.headers.get('retry-after') === null ||
        !answer.text.includes('/problems/database_unavailable')
      )
        t.fail('a 503 without Retry-After or problem', { text: answer.text })
    }
    t.comment(`${seconds} s, ${kills} backends killed, ${refused.length} requests had to be repeated`)
    t.ok(kills > 10, 'backends were killed')
    t.ok(seconds < 120)
    t.ok(
      refused.length <= kills * 2 + requests / 50,
      'a killed backend fails what it was doing, and little else',
    )
  })

  await t.test('no response has anything of the other organization, and no list is empty', async t => {
    for (const { us, them, request, answer } of answers) {
      if (answer.text.includes(them.marker) || answer.text.includes(them.owner.organization))
        t.fail('a response has a row of the other organization', { request, text: answer.text })
      if (answer.status !== 200) continue
      if (request.path === '/api/shows?limit=200') {
        const { items } = JSON.parse(answer.text) as { items: { title: string }[] }
        if (items.length < us.shows.length || !items.every(item => item.title.startsWith(us.marker)))
          t.fail('a list is incomplete', { length: items.length })
      } else if (request.path.startsWith('/api/shows/')) {
        const { id } = JSON.parse(answer.text) as { id: string }
        if (!request.path.endsWith(id)) t.fail('the response to another request', { request, id })
      } else if (request.path === '/api/me') {
        const { id } = JSON.parse(answer.text) as { id: string }
        if (id !== us.owner.id) t.fail('another person', { request, id })
      }
    }
    t.pass('none')
  })

  await t.test('the pool is intact', async t => {
    await holder`rollback`
    holder.release()
    t.match(pool.stats(), { busy: 0, waiting: 0 })
    const backends = await db.admin`
      select state from pg_stat_activity where usename = 'callboard_api' and datname = ${db.name}`
    t.equal(backends.length, pool.stats().open)
    t.ok(backends.every(({ state }) => state === 'idle'))
    const [us, them] = companies
    for (let i = 0; i < 40; i += 1)
      t.equal((await send((successes[1] as Kind).make(us, them, i))).status, 200)
    t.same(unhandled, [], 'no unhandled rejection')
  })

  await t.test(
    'whatever got a 201 is stored, and whatever did not is stored completely or not at all',
    async t => {
      for (const us of companies) {
        const sent = answers.filter(a => a.us === us && a.request.method === 'POST' && a.kind.status === 201)
        const counted = await db.admin<{ title: string; n: number }[]>`
        select title, count(*)::integer as n from app.shows
        where organization_id = ${us.owner.organization} group by title`
        const stored = new Map(counted.map(row => [row.title, row.n]))
        for (const { i, request, answer } of sent) {
          const n = stored.get(title(us, i)) ?? 0
          if (answer.status === 201 ? n !== 1 : n > 1)
            t.fail('lost or duplicated', { i, n, status: answer.status })
          if (request.key === undefined) continue
          const again = await send(request)
          const [row] = await db.admin<[{ n: number; kept: number }]>`
          select count(*)::integer as n,
            (select count(*)::integer from app.idempotency_keys k where k.key = ${request.key} and (k.answer).status = 201) as kept
          from app.shows where title = ${title(us, i)}`
          if (again.status !== 201 || row.n !== 1 || row.kept !== 1)
            t.fail('the repetition with the same key differs', {
              i,
              before: answer.status,
              after: again.status,
              row,
            })
        }
        t.ok(sent.length > 200)
      }
    },
  )
})

/** A company with people and shows, whose texts all have a mark. */
async function found(server: TestServer, name: string): Promise<Company> {
  const marker = `${name}-${randomUUID()}`
  const owner = await register(server, name, `${marker} company`)
  const manager = await join(server, owner, 'manager')
  const viewer = await join(server, owner, 'viewer')
  const ids: string[] = []
  for (let i = 0; i < 21; i += 1) {
    const { body } = await server.call<{ id: string }>('POST /api/shows', {
      token: owner.token,
      body: { ...aShow, title: `${marker} ${i}`, notes: marker },
    })
    ids.push(body.id)
  }
  const [locked = '', ...shows] = ids
  return { marker, owner, manager, viewer, shows, locked }
}
