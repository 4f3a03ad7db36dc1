// Reading on a standby: what was revoked stays revoked, however far behind it is, a response states its age, and
// without the standby the primary answers.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { buildApp } from '../../src/app.ts'
import type { Config } from '../../src/config.ts'
import { openReplica } from '../../src/database/replica.ts'
import type { App } from '../../src/http/fastify.ts'
import type { Answer } from '../../src/tenant/answer.ts'
import { refresh } from '../support/figures.ts'
import { openLogin, secretOf } from '../isolation/world.ts'
import {
  aShow,
  join,
  joinAs,
  type Person,
  register,
  startServer,
  superadmin,
  type TestServer,
  until,
} from '../support/helper.ts'
import { startProxy } from '../support/proxy.ts'
import { sum } from '../support/series.ts'
import { startServerProcess } from '../support/server-process.ts'
import { withoutClusters } from '../support/clusters.ts'
import { startStandby } from '../support/standby.ts'

interface Figures {
  as_of: string
  is_current: boolean
  items: { actual: { income_minor: number } }[]
}
interface Told {
  status: number
  age: number | undefined
  body: { problem?: string; type?: string; n?: number; is_standby?: boolean; [name: string]: unknown }
}

t.test('a standby that serves what may be a few seconds old', withoutClusters(), async t => {
  const standby = await startStandby(t)
  const { db } = standby
  const settings = (url: string, lag = '60') => ({ DATABASE_REPLICA_URL: url, DATABASE_REPLICA_MAX_LAG: lag })
  const server = await startServer(t, settings(standby.url('callboard_api')), db)
  const { call, app } = server
  const ana = await register(server, 'Ana')
  const { body: categories } = await call<{ items: { id: string }[] }>(
    'GET /api/finance-categories?kind=income',
    { token: ana.token },
  )
  const record = {
    kind: 'income',
    category_id: categories.items[0]?.id,
    amount_minor: 1250,
    status: 'actual',
  }
  const enter = () =>
    call('POST /api/finance-records', { token: ana.token, body: { ...record, booked_on: '2027-03-14' } })
  const figures = ({ token }: Person, on: TestServer = server) =>
    on.call<Figures>('GET /api/analytics/finance?from=2027-01-01', { token })
  const outcomes = async (outcome: string, on: App = app) =>
    sum(await on.metrics.text(), 'callboard_replica_reads_total', { outcome })
  /** Runs work while the standby replays nothing. */
  const behind = async (work: () => Promise<unknown>) => {
    await standby.catchUp()
    await standby.pause()
    await work().finally(standby.resume)
    await standby.catchUp()
  }
  /** The server with this test's routes. */
  const withRoutes = async (t: Test, url: string, add: (app: App) => void, more: Partial<Config> = {}) => {
    const config = { ...server.config, ...settings(url), DATABASE_REPLICA_MAX_LAG: 60, ...more }
    const replica = openReplica(config, url)
    await replica.check()
    const made = await buildApp({ ...server, config, replica, jwtSecret: config.JWT_SECRET ?? '' })
    add(made)
    t.teardown(async () => {
      await made.close()
      await replica.close()
    })
    const ask = async (path: string, { token } = ana, method: 'GET' | 'POST' = 'GET'): Promise<Told> => {
      const authorization = `Bearer ${token}`
      const { statusCode, body, headers } = await made.inject({
        method,
        url: path,
        headers: { authorization },
      })
      const age = headers['data-age'] === undefined ? undefined : Number(headers['data-age'])
      return { status: statusCode, age, body: JSON.parse(body) as Told['body'] }
    }
    return { app: made, ask }
  }
  const hidden = (app: App) => ({ schema: { hide: true }, onRequest: app.authenticate })
  const shows = (app: App) =>
    app.route({
      ...hidden(app),
      method: ['GET', 'POST'],
      url: '/shows',
      handler: (request, reply) =>
        request
          .analytics(
            sql => sql<Answer[]>`
              select json_build_object('n', count(*), 'is_standby', pg_is_in_recovery()) as body from app.shows`,
          )
          .then(reply.json),
    })

  await enter()
  await refresh(db)
  await standby.catchUp()

  await t.test('serves figures, which are those of the primary', async t => {
    const { status, body, headers } = await figures(ana)
    t.equal(status, 200)
    t.equal(headers['data-age'], '0')
    t.match(body, { is_current: true, items: [{ actual: { income_minor: 1250 } }] })
    t.equal(await outcomes('served'), 1)
    t.equal((await standby.admin`select from pg_stat_activity where usename = 'callboard_api'`).length, 1)
    t.match(await app.metrics.text(), /^callboard_replica_pool_connections\{state="open"\} 1$/m)
    const own = await startServer(t, {}, db)
    const { token } = ana
    const alone = await own.call<Figures>('GET /api/analytics/finance?from=2027-01-01', { token })
    t.same(alone.body, body)
    t.equal(alone.headers['data-age'], '0')
    t.notMatch(await own.app.metrics.text(), /replica/)
  })

  await t.test('does not let in anybody whose access was revoked', async t => {
    const { ask, app } = await withRoutes(t, standby.url('callboard_api'), shows)
    for (const [what, taken, expected] of [
      [
        'the membership',
        (member: Person) => call(`DELETE /api/users/${member.id}`, { token: ana.token }),
        { status: 403, body: { type: '/problems/membership_revoked' } },
      ],
      [
        'the session',
        (member: Person) => call('POST /api/auth/sign-out', { token: member.token }),
        { status: 401, body: { type: '/problems/session_revoked' } },
      ],
      [
        'a permission, in what may be seen',
        (member: Person) =>
          call(`PUT /api/users/${member.id}/permissions/shows.read`, {
            token: ana.token,
            body: { effect: 'deny' },
          }),
        { status: 200, body: { n: 0, is_standby: true } },
      ],
    ] as const) {
      const member = await join(server, ana, 'viewer')
      await call('POST /api/shows', { token: ana.token, body: aShow })
      await standby.catchUp()
      t.match(await ask('/shows', member), { status: 200, age: 0, body: { is_standby: true } })
      await behind(async () => {
        t.match(await taken(member), { status: /20[04]/ }, what)
        t.match(await ask('/shows', member), expected, what)
        // It would have let them in: only the primary prevents it.
        const [left] = await standby.admin<[{ n: string }]>`
          select count(*) as n from app.memberships m join app.sessions s using (user_id)
          where user_id = ${member.id} and m.deleted_at is null and s.revoked_at is null
            and 'shows.read' = any (app.permissions_of(m.organization_id, m.user_id))
            and m.organization_id = ${ana.organization}`
        t.ok(Number(left.n) > 0, 'the standby does not know yet')
      })
    }
    t.equal(await outcomes('failed', app), 0)
  })

  await t.test('refuses figures to a member whose permission was revoked', async t => {
    const member = await joinAs(server, ana, ['analytics.read', 'finance.read'])
    await behind(async () => {
      t.equal((await figures(member)).status, 200)
      const body = { effect: 'deny' }
      await call(`PUT /api/users/${member.id}/permissions/finance.read`, { token: ana.token, body })
      t.match(await figures(member), { status: 403, body: { type: '/problems/permission_denied' } })
    })
  })

  await t.test('lets in somebody it does not know yet, and states the age of its data', async t => {
    await behind(async () => {
      const bob = await register(server, 'Bob')
      await enter()
      const began = Date.now()
      await sleep(300)
      await enter()
      const { status, headers } = await figures(bob)
      t.equal(status, 200)
      t.ok(Number(headers['data-age']) >= 0.3)
      t.ok(Number(headers['data-age']) < (Date.now() - began) / 1000 + 5)
      const { body, headers: stale } = await figures(ana)
      t.ok(Number(stale['data-age']) >= 0.3)
      t.match(body, { is_current: false, items: [{ actual: { income_minor: 1250 } }] })
      t.match(await app.metrics.text(), /^callboard_replica_data_age_seconds 0\.[3-9]|[1-9]/m)
    })
    t.match(await figures(ana), { headers: { 'data-age': '0' }, body: { is_current: false } })
  })

  await t.test('does not become stale while nothing changes', async t => {
    await standby.catchUp()
    const strict = await startServer(t, settings(standby.url('callboard_api'), '0.5'), db)
    await sleep(1000)
    const [replayed] = await standby.admin<[{ age: number }]>`
      select extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8 as age`
    t.ok(replayed.age > 0.5, 'its last transaction is older than what is served')
    t.match(await figures(ana, strict), { headers: { 'data-age': '0' } })
    t.equal(await outcomes('served', strict.app), 1)
  })

  await t.test('is not used beyond the maximum lag, and is used again when it has caught up', async t => {
    const strict = await startServer(t, settings(standby.url('callboard_api'), '0.5'), db)
    await behind(async () => {
      await enter()
      await sleep(600)
      await enter()
      await refresh(db)
      const { body, headers } = await figures(ana, strict)
      t.equal(headers['data-age'], '0')
      t.match(body, { is_current: true, items: [{ actual: { income_minor: 1250 * 5 } }] })
      t.equal(await outcomes('too_old', strict.app), 1)
      await figures(ana, strict)
      t.equal(await outcomes('resting', strict.app), 1, 'it is left alone for a moment')
    })
    await until(async () => {
      await figures(ana, strict)
      return (await outcomes('served', strict.app)) > 0
    }, 10)
  })

  await t.test('also streams exports to those who may have them, and states their age', async t => {
    const read = async ({ token }: Person) => {
      const { status, text, headers } = await call('GET /api/exports/finance-records', {
        token,
        headers: { accept: 'text/csv' },
      })
      return { status, lines: text.split('\r\n').length, age: Number(headers['data-age']) }
    }
    await standby.catchUp()
    const before = await read(ana)
    t.match(before, { status: 200, age: 0 })
    const manager = await join(server, ana, 'manager')
    await behind(async () => {
      await enter()
      const { lines, age } = await read(ana)
      t.equal(lines, before.lines, 'the standby has no more')
      t.ok(age > 0)
      await call(`DELETE /api/users/${manager.id}`, { token: ana.token })
      t.match(await read(manager), { status: 403 })
    })
    t.match(await read(ana), { lines: before.lines + 1, age: 0 })
  })

  await t.test('is replaced by the primary until something has been sent', async t => {
    const { ask } = await withRoutes(t, standby.url('callboard_api'), app => {
      for (const begun of [true, false])
        app.get(`/${begun}`, hidden(app), async (request, reply) => {
          const found = await app.readOnStandby<Answer[]>(request, sql => sql`select no_such_column`, {
            signal: new AbortController().signal,
            hasBegun: () => begun,
          })
          return reply.json(found?.value ?? [{ body: '{"n": 1}' }])
        })
    })
    t.match(await ask('/false'), { status: 200, age: 0, body: { n: 1 } })
    t.match(await ask('/true'), { status: 500 })
  })

  await t.test('serves no superadmin and no change', async t => {
    const support = await superadmin(server, await register(server, 'Sue'), ana.organization)
    t.match(await figures(support), { status: 200, headers: { 'data-age': '0' } })
    const { ask, app } = await withRoutes(t, standby.url('callboard_api'), shows)
    t.match(await ask('/shows', ana, 'POST'), { status: 200, age: 0, body: { is_standby: false } })
    t.equal(await outcomes('served', app), 0)
  })

  await t.test('that cancels a read, because replay must go on, is replaced by the primary', async t => {
    await standby.admin`alter system set max_standby_streaming_delay = 0`
    await standby.admin`select pg_reload_conf()`
    const { ask, app } = await withRoutes(t, standby.url('callboard_api'), app => {
      app.get('/slow', hidden(app), (request, reply) =>
        request
          .analytics(
            sql => sql<Answer[]>`
              select json_build_object('n', count(*), 'is_standby', pg_is_in_recovery()) as body
              from app.shows, (select case when pg_is_in_recovery() then pg_sleep(20) end) as slow`,
          )
          .then(reply.json),
      )
    })
    const answer = ask('/slow')
    await until(async () => {
      const asked =
        await standby.admin`select from pg_stat_activity where query like '%as slow%' and wait_event = 'PgSleep'`
      return asked.length > 0
    })
    await db.admin`create table public.emptied as select generate_series(1, 1000) as n`
    await db.admin`delete from public.emptied`
    await db.admin`vacuum public.emptied`
    t.match(await answer, { status: 200, age: 0, body: { is_standby: false } })
    t.equal(await outcomes('conflict', app), 1)
    await standby.admin`alter system reset max_standby_streaming_delay`
    await standby.admin`select pg_reload_conf()`
  })

  await t.test('whose statement times out is not replaced, since the primary would take as long', async t => {
    let asked = 0
    const { ask, app } = await withRoutes(
      t,
      standby.url('callboard_api'),
      app => {
        shows(app)
        app.get('/slow', hidden(app), (request, reply) =>
          request
            .analytics(sql => {
              asked += 1
              return sql<Answer[]>`select '{}'::json as body from pg_sleep(20)`
            })
            .then(reply.json),
        )
      },
      { DATABASE_DEADLINE: 3 },
    )
    // Connected, so that only the statement takes time.
    await until(async () => (await ask('/shows')).body.is_standby === true, 20)
    t.match(await ask('/slow'), { status: 503 })
    t.equal(asked, 1)
    t.equal(await outcomes('failed', app), 0)
  })

  await t.test('that lacks something leaves the answer to the primary', async t => {
    const { ask, app } = await withRoutes(t, standby.url('callboard_api'), app => {
      app.get('/new', hidden(app), (request, reply) =>
        request
          .analytics(sql => sql<Answer[]>`select json_build_object('n', n) as body from app.brand_new`)
          .then(reply.json),
      )
    })
    await behind(async () => {
      await db.admin`create table app.brand_new as select 7 as n`
      await db.admin`grant select on app.brand_new to callboard_api`
      t.match(await ask('/new'), { status: 200, age: 0, body: { n: 7 } })
    })
    t.equal(await outcomes('failed', app), 1)
    t.match(await ask('/new'), { status: 200, body: { n: 7 } })
    t.equal(await outcomes('served', app), 1)
  })

  await t.test('is checked for the organization at the end, too', async t => {
    const { ask, app } = await withRoutes(t, standby.url('callboard_api'), app => {
      app.get('/breach', hidden(app), (request, reply) =>
        request
          .analytics(sql => sql<Answer[]>`select to_json(app.introduce('a request', null)::text) as body`)
          .then(reply.json),
      )
    })
    t.match(await ask('/breach'), { status: 500 })
    t.equal(sum(await app.metrics.text(), 'callboard_isolation_breaches_total'), 1)
    t.equal(await outcomes('failed', app), 0)
  })

  await t.test('that hangs is waited for once, and one that is down is replaced', async t => {
    const proxy = await startProxy(t, standby.url('callboard_api'))
    const { ask, app } = await withRoutes(t, proxy.through(standby.url('callboard_api')), shows)
    t.match(await ask('/shows'), { status: 200, body: { is_standby: true } })
    proxy.freeze()
    t.match(await ask('/shows'), { status: 200, age: 0, body: { is_standby: false } })
    t.equal(await outcomes('away', app), 1)
    t.match(await ask('/shows'), { status: 200, body: { is_standby: false } })
    t.equal(await outcomes('resting', app), 1)
    proxy.thaw()
    await until(async () => (await ask('/shows')).body.is_standby === true, 10)
    await standby.stop()
    t.match(await ask('/shows'), { status: 200, age: 0, body: { is_standby: false } })
    t.equal(await outcomes('away', app), 2)
    await standby.start()
    await until(async () => (await ask('/shows')).body.is_standby === true, 15)
  })

  await t.test('opens only for a pass of the primary, and only as it says', async t => {
    const secret = secretOf(ana)
    const api = db.as('callboard_api')
    const pass = await api.begin(async sql => {
      await sql`select app.enter(${secret}, ${ana.organization})`
      const [row] = await sql<[{ pass: string }]>`select app.issue_pass() as pass`
      return row.pass
    })
    const [none] = await api<[{ pass: string | null }]>`select app.issue_pass() as pass`
    t.equal(none.pass, null, 'there is none without a context')
    const replica = openLogin(t, standby.url('callboard_api'))
    await standby.catchUp()
    const open = (text: string | null, lag = '60 seconds') =>
      replica.begin('read only', async sql => {
        await sql`select app.enter_by_pass(${text}, ${lag}::text::interval)`
        return (await sql<[{ id: string }]>`select app.current_org() as id`)[0].id
      })
    t.equal(await open(pass), ana.organization)
    const bob = await register(server, 'Bob')
    await standby.catchUp()
    for (const forged of [
      null,
      '',
      pass.slice(0, 64),
      pass.slice(64),
      pass.replace(ana.organization, bob.organization),
      pass.replace('shows.read', 'shows.read members.manage'),
      `${'0'.repeat(64)}${pass.slice(64)}`,
    ])
      await t.rejects(open(forged), { message: 'replica_unusable', detail: 'pass_unknown' }, String(forged))
    await t.rejects(
      api.begin(sql => sql`select app.enter_by_pass(${pass}, '60 seconds')`),
      { message: 'replica_unusable', detail: 'not_a_standby' },
      'on the primary it is useless',
    )
  })

  await t.test('accepts a pass for a minute', async t => {
    const replica = openLogin(t, standby.url('callboard_api'))
    const [old] = await db.admin<[{ pass: string }]>`
      select encode(app_private.keyed_hash(convert_to('pass' || p, 'UTF8')), 'hex') || p as pass
      from (select array[${ana.organization}, ${ana.id}, ${ana.id}, 'owner', ' shows.read ', '', '',
        (extract(epoch from now()) - 61)::text, '0/0']::text as p) x`
    await t.rejects(
      replica.begin('read only', sql => sql`select app.enter_by_pass(${old.pass}, '60 seconds')`),
      { message: 'replica_unusable', detail: 'pass_expired' },
    )
  })

  await t.test('is checked before the server starts', async t => {
    const start = (url: string) =>
      startServerProcess(t, {
        PORT: '0',
        NODE_ENV: 'development',
        JWT_SECRET: 'a secret that only the tests know, and of 32 letters',
        DATABASE_URL: db.url('callboard_api'),
        DATABASE_REPLICA_URL: url,
        RATE_LIMIT: '1000000',
      })
    const unsafe = start(standby.url('postgres'))
    t.same(await unsafe.ended, { code: 1, signal: null })
    t.match(unsafe.complaint(), /^DATABASE_REPLICA_URL logs in as postgres, which is a superuser/)

    const proxy = await startProxy(t, standby.url('callboard_api'))
    await proxy.stop()
    const lonely = start(proxy.through(standby.url('callboard_api')))
    await lonely.says(/DATABASE_REPLICA_URL: cannot connect: .*ECONNREFUSED.*: DATABASE_URL takes over/)
    const [, url = ''] = await lonely.says(/Server listening at (http:[^"]+)/)
    const get = () =>
      fetch(`${url}/api/analytics/finance`, { headers: { authorization: `Bearer ${ana.token}` } })
    t.equal((await get()).headers.get('data-age'), '0')
    await proxy.start()
    await until(async () => {
      await get()
      return proxy.connections() > 0
    }, 10)
    lonely.child.kill('SIGTERM')
    t.same(await lonely.ended, { code: 0, signal: null })
  })

  await t.test('that is the primary itself is not used', async t => {
    const { ask, app } = await withRoutes(t, db.url('callboard_api'), shows)
    t.match(await ask('/shows'), { status: 200, body: { is_standby: false } })
    t.equal(await outcomes('not_a_standby', app), 1)
  })
})
