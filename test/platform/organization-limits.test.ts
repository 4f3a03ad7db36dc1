// The limit of an organization: the block and its end, values of its own, and what it is to others.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import {
  join,
  type Person,
  register,
  signIn,
  startServer,
  type TestServer,
  until,
} from '../support/helper.ts'
import { limitOf, spread } from '../support/limit.ts'
import { type Proxy, startProxy } from '../support/proxy.ts'

t.test('an organization that asks too often', async t => {
  const server = await startServer(t, { RATE_LIMIT: '4', RATE_LIMIT_WINDOW: '1', RATE_LIMIT_BLOCK: '2' })
  const { call } = server
  const ask = async (token: string) => limitOf(await call('GET /api/me', { token }))
  const use = async (token: string) => {
    for (const remaining of [3, 2, 1, 0]) t.match(await ask(token), { status: 200, limit: 4, remaining })
  }

  await t.test('gets its requests back after the window, if it was content with them', async t => {
    const { token } = await register(server, 'Ana')
    await ask(token)
    await sleep(1020)
    await use(token)
    await sleep(1020)
    t.match(await ask(token), { status: 200, remaining: 3, reset: 1 })
  })

  await t.test('is blocked for longer than the window, and not longer because it goes on asking', async t => {
    const { token } = await register(server, 'Ben')
    await use(token)
    const began = performance.now()
    t.match(await ask(token), { status: 429, limit: 4, remaining: 0, reset: 2, retryAfter: 2 })
    let told = 2
    await until(async () => {
      const { status, retryAfter = 0 } = await ask(token)
      if (status === 429) {
        t.ok(retryAfter > 0 && retryAfter <= told)
        told = retryAfter
      }
      return status === 200
    })
    const seconds = (performance.now() - began) / 1000
    t.comment(`released after ${seconds.toFixed(3)} s`)
    t.ok(seconds >= 1.98 && seconds < 6, 'released in time')
    t.match(await ask(token), { status: 200, remaining: 2 }, 'with all its requests')
  })

  await t.test('without a block waits for the end of the window', async t => {
    const other = await startServer(t, { RATE_LIMIT: '1', RATE_LIMIT_WINDOW: '2', RATE_LIMIT_BLOCK: '0' })
    const { token } = await register(other, 'Chiara')
    const one = async () => limitOf(await other.call('GET /api/me', { token }))
    t.match(await one(), { status: 200 })
    t.match(await one(), { status: 429, retryAfter: /^[12]$/ })
  })
})

t.test('who has no token is never blocked for longer than the window', async t => {
  const { call } = await startServer(t, { RATE_LIMIT: '2' })
  const statuses: number[] = []
  for (let n = 0; n < 3; n++) statuses.push((await call('GET /problems/not_found')).status)
  t.same(statuses, [200, 200, 429])
  const { retryAfter = 0 } = limitOf(await call('GET /problems/not_found'))
  t.ok(retryAfter > 50 && retryAfter <= 60)
})

t.test('values of its own', async t => {
  const server = await startServer(t, { RATE_LIMIT: '5', RATE_LIMIT_REFRESH: '0.1' })
  const { call, db } = server
  const [ana, ben] = [await register(server, 'Ana'), await register(server, 'Ben')]
  const ask = async ({ token }: { token: string }) => limitOf(await call('GET /api/me', { token }))
  const becomes = (limit: number, asked = ana) =>
    until(async () => {
      const answer = await ask(asked)
      return answer.status === 200 && answer.limit === limit
    })

  await t.test('reach an organization that is blocked at this moment', async t => {
    for (let n = 0; n < 5; n++) await ask(ana)
    t.match(await ask(ana), { status: 429, limit: 5, retryAfter: 300 })
    await db.admin`insert into app.rate_limits (organization_id, requests) values (${ana.organization}, 50)`
    await becomes(50)
  })

  await t.test('are no other organization’s', async t => {
    t.match(await ask(ben), { status: 200, limit: 5, remaining: 4 })
  })

  await t.test('are the default where there is none', async t => {
    await db.admin`update app.rate_limits set requests = null, window_seconds = 7, block_seconds = 9 where organization_id = ${ana.organization}`
    await becomes(5)
    t.match(await ask(ana), { reset: 7 })
    await until(async () => (await ask(ana)).status === 429)
    t.match(await ask(ana), { status: 429, limit: 5, retryAfter: 9 })
  })

  await t.test('can be taken back', async () => {
    await db.admin`delete from app.rate_limits where organization_id = ${ana.organization}`
    // The block of before, of 300 seconds, and no longer one of 9.
    await until(async () => ((await ask(ana)).retryAfter ?? 0) > 9)
  })

  await t.test('must make sense', async t => {
    for (const [column, value] of [
      ['requests', 0],
      ['window_seconds', 0],
      ['window_seconds', 86_401],
      ['block_seconds', -1],
      ['block_seconds', 86_401],
    ] as const)
      await t.rejects(
        db.admin`insert into app.rate_limits (organization_id, ${db.admin(column)}) values (${ben.organization}, ${value})`,
        { message: new RegExp(`rate_limits_${column.replace('_seconds', '')}_range`) },
      )
  })

  await t.test('hold from an organization’s first request on', async t => {
    const chiara = await register(server, 'Chiara')
    await db.admin`insert into app.rate_limits (organization_id, requests) values (${chiara.organization}, 1)`
    t.match(await Promise.all([ask(chiara), ask(chiara)]), [
      { status: 200, limit: 1 },
      { status: 429, limit: 1 },
    ])
  })

  await t.test('are not forgotten because somebody asks who may not know them', async t => {
    const dov = await register(server, 'Dov')
    await db.admin`insert into app.rate_limits (organization_id, requests) values (${dov.organization}, 500)`
    await becomes(500, dov)
    await call('POST /api/auth/sign-out', { token: dov.token })
    const again = await signIn(server, dov.email)
    for (let n = 0; n < 20; n++) {
      await ask(dov)
      t.match(await ask(again), { status: 200, limit: 500 })
      await sleep(20)
    }
  })
})

t.test('who has no business with an organization any more', async t => {
  const begin = async (t: Test) => {
    const server = await startServer(t, { RATE_LIMIT: '20', RATE_LIMIT_REFRESH: '0.1' })
    const ask = async ({ token }: Person, path = '/api/shows') =>
      limitOf(await server.call(`GET ${path}`, { token }))
    return { server, ask }
  }
  type Way = (server: TestServer, owner: Person, member: Person) => Promise<unknown>
  const ways: [string, Way, number][] = [
    ['was removed', ({ call }, { token }, { id }) => call(`DELETE /api/users/${id}`, { token }), 403],
    ['has signed out', ({ call }, _owner, { token }) => call('POST /api/auth/sign-out', { token }), 401],
  ]
  for (const [what, end, status] of ways) {
    await t.test(`because somebody ${what}, costs it nothing`, async t => {
      const { server, ask } = await begin(t)
      const { db, app } = server
      const owner = await register(server, 'Ana')
      await db.admin`insert into app.rate_limits (organization_id, requests) values (${owner.organization}, 60)`
      const member = await join(server, owner, 'viewer')
      await until(async () => (await ask(owner)).limit === 60)
      for (let n = 0; n < 4; n++) t.equal((await ask(member)).status, 200)
      await end(server, owner, member)
      const { remaining = 0 } = await ask(owner)
      const answered: number[] = []
      for (let n = 0; n < 25; n++) answered.push((await ask(member)).status)
      t.same([...new Set(answered.slice(0, 15))], [status])
      t.equal(answered.at(-1), 429, 'but the address has a limit for that')
      t.match(
        await app.metrics.text(),
        /^callboard_rate_limited_total\{limit="refused_token",organization=""\} \d/m,
      )
      const now = await ask(owner)
      t.match(now, { status: 200, limit: 60 })
      t.ok((now.remaining ?? 0) >= remaining - 1)
      if (status === 401) t.equal(now.remaining, remaining - 1, 'what was served still counts')
    })

    await t.test(`because somebody ${what}, does not block it with many requests at once`, async t => {
      const { server, ask } = await begin(t)
      const owner = await register(server, 'Ben')
      const member = await join(server, owner, 'viewer')
      await end(server, owner, member)
      await ask(owner)
      const burst = await Promise.all(Array.from({ length: 200 }, () => ask(member)))
      t.ok(burst.some(answer => answer.status === status))
      t.ok(
        burst.some(answer => answer.status === 429 && answer.retryAfter === 300),
        'it was too many',
      )
      const now = await ask(owner)
      t.match(now, { status: 200, limit: 20 })
      t.ok((now.reset ?? 300) <= 60, 'and the window is none of a block')
    })
  }

  await t.test(
    'because somebody was removed, does not block it with what asks for no membership',
    async t => {
      const { server, ask } = await begin(t)
      const owner = await register(server, 'Chiara')
      const member = await join(server, owner, 'viewer')
      await server.call(`DELETE /api/users/${member.id}`, { token: owner.token })
      const answers: number[] = []
      await until(async () => {
        answers.push((await ask(member, '/api/me')).status)
        return answers.at(-1) === 429
      })
      await until(async () => (await ask(owner)).status === 200)
      // From now on it is the address that asks.
      for (let n = 0; n < 60; n++) await ask(member, '/api/me')
      t.equal((await ask(owner)).status, 200)
    },
  )
})

t.test('a request that is refused for the limit', async t => {
  let proxy!: Proxy
  const server = await startServer(t, async db => {
    proxy = await startProxy(t, db.url('callboard_api'))
    return {
      RATE_LIMIT: '3',
      DATABASE_DEADLINE: '2',
      RATE_LIMIT_REFRESH: '0.05',
      DATABASE_URL: proxy.through(db.url('callboard_api')),
    }
  })
  const { call, pool } = server
  const { token } = await register(server, 'Ana')
  for (let n = 0; n < 4; n++) await call('GET /api/me', { token })
  // The first who is refused is looked at, too.
  await until(() => pool.stats().busy === 0)

  await t.test('waits for no database', async t => {
    proxy.freeze()
    const times: number[] = []
    const answered = new Set<number>()
    for (let n = 0; n < 50; n++) {
      const began = performance.now()
      answered.add((await call('GET /api/me', { token })).status)
      times.push(performance.now() - began)
      await sleep(5)
    }
    t.same([...answered], [429])
    proxy.thaw()
    t.ok(spread(times).median < 1000, `${spread(times).median} ms`)
    t.ok(pool.stats().busy <= 1, 'at most one looks after the limit, for all of them')
  })

  await t.test('is answered while the database is away', async t => {
    await proxy.stop()
    t.equal((await call('GET /api/me', { token })).status, 429)
    await proxy.start()
  })
})

t.test(
  'an organization that nobody has heard of is let in by the default when the database hangs',
  async t => {
    let proxy!: Proxy
    const server = await startServer(t, async db => {
      proxy = await startProxy(t, db.url('callboard_api'))
      return { DATABASE_DEADLINE: '2', DATABASE_URL: proxy.through(db.url('callboard_api')) }
    })
    const { token } = await register(server, 'Ana')
    proxy.freeze()
    const began = Date.now()
    t.match(limitOf(await server.call('GET /api/me', { token })), { status: 503, limit: 1_000_000 })
    t.ok(Date.now() - began < 20_000)
    proxy.thaw()
  },
)
