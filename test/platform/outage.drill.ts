import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { aShow, type Answer, register, startServer, until } from '../support/helper.ts'
import { type Proxy, startProxy } from '../support/proxy.ts'

const deadline = 2

t.test('while the database is unavailable', async t => {
  let proxy!: Proxy
  const server = await startServer(t, async db => {
    proxy = await startProxy(t, db.url('callboard_api'))
    return {
      POOL_SIZE: '4',
      DATABASE_DEADLINE: String(deadline),
      DATABASE_URL: proxy.through(db.url('callboard_api')),
    }
  })
  const { call, pool, db } = server
  const { token } = await register(server, 'Ana')
  const { body: show } = await call<{ id: string }>('POST /api/shows', { token, body: aShow })

  const asked = [
    ['GET /api/shows', { token }],
    [`GET /api/shows/${show.id}`, { token }],
    ['POST /api/shows', { token, body: aShow }],
    [`PATCH /api/shows/${show.id}`, { token, body: { notes: 'x' } }],
    ['GET /api/me', { token }],
    ['POST /api/auth/sign-in', { body: { email: 'a@example.com', password: 'x' } }],
    ['POST /api/auth/password/forgot', { body: { email: 'a@example.com' } }],
  ] as const

  const isRefused = (t: Test, request: string, answer: Answer, ms: number) => {
    t.equal(answer.status, 503, request)
    t.match(answer.body, { type: '/problems/database_unavailable', status: 503 })
    t.match(answer.headers, { 'retry-after': /^\d+$/, 'content-type': /^application\/problem\+json/ })
    t.ok(ms < (deadline + 1) * 1000, `${request} in ${ms} ms`)
  }

  /** Everything is refused, and the process reports that it is alive, and what is missing. */
  const isAway = async (t: Test) => {
    await Promise.all(
      asked.map(async ([request, options]) => {
        const began = Date.now()
        isRefused(t, request, await call(request, options), Date.now() - began)
      }),
    )
    const began = Date.now()
    t.equal((await call('GET /livez')).status, 200)
    t.ok(Date.now() - began < 500)
    const ready = await call('GET /readyz')
    t.equal(ready.status, 503)
    t.match(ready.body, { status: 'failing', parts: { database: 'failing' } })
  }

  const isBack = async (t: Test, what: string) => {
    const began = Date.now()
    while ((await call('GET /readyz')).status !== 200) await sleep(10)
    const ms = Date.now() - began
    t.ok(ms < 2000, `${what}: ready again after ${ms} ms`)
    t.comment(`${what}: ready again after ${ms} ms`)
    const answers = await Promise.all(Array.from({ length: 40 }, () => call('GET /api/shows', { token })))
    t.ok(answers.every(({ status }) => status === 200))
    t.match(pool.stats(), { busy: 0, waiting: 0 })
  }

  await t.test('nothing listens', async t => {
    await proxy.stop()
    await isAway(t)
    await isAway(t)
    await proxy.start()
    await isBack(t, 'refused connections')
  })

  await t.test('it hangs between requests', async t => {
    proxy.freeze()
    await isAway(t)
    proxy.thaw()
    await isBack(t, 'frozen between requests')
  })

  await t.test('it hangs in the middle of a statement', async t => {
    const holder = await db.admin.reserve()
    await holder`begin`
    await holder`select from app.shows where id = ${show.id} for update`
    const began = Date.now()
    const stuck = call(`PATCH /api/shows/${show.id}`, { token, body: { notes: 'stuck' } })
    await until(async () => {
      const [row] =
        await db.admin`select from pg_stat_activity where wait_event_type = 'Lock' and datname = ${db.name}`
      return row !== undefined
    })
    proxy.freeze()
    isRefused(t, 'PATCH', await stuck, Date.now() - began)
    await isAway(t)
    await holder`rollback`
    holder.release()
    proxy.thaw()
    await isBack(t, 'frozen in a statement')
  })

  await t.test('it comes back while requests wait', async t => {
    proxy.freeze()
    const waiting = Array.from({ length: 40 }, () => call('GET /api/shows', { token }))
    await sleep(300)
    proxy.thaw()
    for (const answer of await Promise.all(waiting)) t.equal(answer.status, 200)
    await isBack(t, 'thawed under load')
  })

  await t.test('it goes down while requests are in progress', async t => {
    const underWay = Array.from({ length: 100 }, () => call('GET /api/shows', { token }))
    await sleep(5)
    await proxy.stop()
    const answers = await Promise.all(underWay)
    t.same(
      answers.filter(({ status }) => status !== 200 && status !== 503),
      [],
    )
    await proxy.start()
    await isBack(t, 'cut off under load')
  })

  await t.test('all its connections are taken', async t => {
    const holder = await db.admin.reserve()
    await holder`begin`
    // One organization may hold half of them.
    const ben = await register(server, 'Ben')
    const { body: other } = await call<{ id: string }>('POST /api/shows', { token: ben.token, body: aShow })
    await holder`select from app.shows where id = any(${[show.id, other.id]}) for update`
    const takers = [
      { id: show.id, token },
      { id: other.id, token: ben.token },
    ].flatMap(({ id, token }) =>
      Array.from({ length: 2 }, () => call(`PATCH /api/shows/${id}`, { token, body: { notes: 'taker' } })),
    )
    await until(() => pool.stats().busy === 4)
    const began = Date.now()
    const others = Array.from({ length: 50 }, () => call('GET /api/shows', { token }))
    t.equal((await call('GET /livez')).status, 200)
    for (const answer of await Promise.all(others)) isRefused(t, 'GET', answer, Date.now() - began)
    for (const taker of await Promise.all(takers)) t.equal(taker.status, 503)
    await holder`rollback`
    holder.release()
    await isBack(t, 'connections taken')
  })

  await t.test('the server is full', async t => {
    const limit = (n: number) => db.admin.unsafe(`alter database ${db.name} connection limit ${n}`)
    await limit(0)
    await db.admin`
      select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'callboard_api' and datname = ${db.name}`
    await until(() => pool.stats().open === 0)
    await isAway(t)
    await limit(-1)
    await isBack(t, 'too many connections')
  })
})
