// What /metrics reports, to whom, and that nothing in it grows without bound.
import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { secretOf } from '../isolation/world.ts'
import { t } from '../support/tap.ts'
import { buildApp } from '../../src/app.ts'
import { connectGauges } from '../../src/monitoring/gauges.ts'
import { createMetrics } from '../../src/monitoring/registry.ts'
import type { Answer } from '../../src/tenant/answer.ts'
import { aShow, join, register, signIn, startServer, type TestServer, until } from '../support/helper.ts'
import { startProxy } from '../support/proxy.ts'
import { sum } from '../support/series.ts'
import { startServerProcess } from '../support/server-process.ts'

const token = 'a token only for Prometheus'

const read = async ({ app }: Pick<TestServer, 'app'>) => app.metrics.text()

t.test('who may read the metrics', async t => {
  await t.test('nobody, unless it is configured', async t => {
    const { app } = await startServer(t)
    t.equal((await app.inject('/metrics')).statusCode, 404)
  })

  await t.test('everybody who has the token', async t => {
    const { app } = await startServer(t, { METRICS_TOKEN: token, RATE_LIMIT: '2' })
    const ask = (authorization?: string) =>
      app.inject({ url: '/metrics', headers: authorization === undefined ? {} : { authorization } })
    for (const wrong of [undefined, '', token, `Bearer ${token}x`, `Bearer ${token.slice(1)}`, 'Bearer '])
      t.match(
        await ask(wrong),
        { statusCode: 401, headers: { 'www-authenticate': 'Bearer' } },
        wrong ?? 'none',
      )
    const answer = await ask(`Bearer ${token}`)
    t.equal(answer.statusCode, 200)
    t.match(answer.headers, { 'content-type': /^text\/plain; version=0\.0\.4/ })
    t.match(answer.body, /^process_cpu_seconds_total \d/m)
    t.notOk(JSON.stringify(app.swagger()).includes('/metrics'), 'it is not part of the API')
  })

  await t.test('everybody who can reach their own port, which serves nothing else', async t => {
    const { db } = await startServer(t)
    const server = startServerProcess(t, {
      NODE_ENV: 'test',
      PORT: '0',
      METRICS_PORT: '0',
      METRICS_TOKEN: token,
      DATABASE_URL: db.url('callboard_api'),
      WORKER_DATABASE_URL: db.url('callboard_worker'),
      JWT_SECRET: 'a secret that only the tests know, and of 32 letters',
      PUBLIC_URL: 'http://callboard.example',
    })
    const [, own = ''] = await server.says(/Metrics at (http:\/\/127\.0\.0\.1:\d+)/)
    const [, api = ''] = await server.says(/Server listening at (http:\/\/127\.0\.0\.1:\d+)/)
    t.equal((await fetch(`${api}/livez`)).status, 200)
    t.equal((await fetch(`${api}/metrics`)).status, 404)
    t.equal((await fetch(`${own}/livez`)).status, 404)
    t.equal((await fetch(`${own}/metrics`)).status, 401)
    const headers = { authorization: `Bearer ${token}` }
    t.equal((await fetch(`${own}/metrics`, { method: 'POST', headers })).status, 405)
    const text = await (await fetch(`${own}/metrics`, { headers })).text()
    t.equal(sum(text, 'callboard_http_request_duration_seconds_count', { operation: 'readLiveness' }), 1)
    t.equal(sum(text, 'callboard_database_gauges_up'), 1)

    const second = startServerProcess(t, {
      PORT: '0',
      METRICS_PORT: new URL(own).port,
      DATABASE_URL: db.url('callboard_api'),
      JWT_SECRET: 'a secret that only the tests know, and of 32 letters',
    })
    t.same(await second.ended, { code: 1, signal: null })
    t.match(second.complaint(), /^METRICS_PORT: cannot listen there: /)
    server.child.kill('SIGTERM')
    t.same(await server.ended, { code: 0, signal: null })
  })
})

t.test('requests are counted by operation, method and status, and never by what was requested', async t => {
  const server = await startServer(t)
  const { call, app } = server
  const ana = await register(server, 'Ana')
  const show = await call<{ id: string }>('POST /api/shows', { token: ana.token, body: aShow })
  const ids = [show.body.id, randomUUID(), randomUUID()]
  for (const id of ids) await call(`GET /api/shows/${id}`, { token: ana.token })
  for (const path of ['/nothing', '/nor-this', '/api/shows/a/b/c']) await app.inject(path)
  await app.inject({ method: 'DELETE', url: '/livez' })
  const text = await read(server)
  const count = (labels: Record<string, string>) =>
    sum(text, 'callboard_http_request_duration_seconds_count', labels)
  t.equal(count({ operation: 'readShow', method: 'GET', status: '200' }), 1)
  t.equal(count({ operation: 'readShow', method: 'GET', status: '404' }), 2)
  t.equal(count({ operation: 'createShow', method: 'POST', status: '201' }), 1)
  t.equal(count({ operation: 'none', status: '404' }), 3)
  t.equal(count({ operation: '/livez', status: '405' }), 1)
  t.equal(count({}), 9)
  for (const part of [...ids, 'nothing', ana.id, ana.email]) t.notMatch(text, part)
  t.equal(sum(text, 'callboard_pool_connections', { state: 'size' }), 4)
  t.ok(sum(text, 'callboard_pool_connections', { state: 'open' }) >= 1)
  t.match(text, /^callboard_pool_waiting 0$/m)
})

t.test('requests of members are counted by organization and class of status', async t => {
  const server = await startServer(t)
  const { call } = server
  const [ana, ben] = [await register(server, 'Ana'), await register(server, 'Ben')]
  await call('POST /api/shows', { token: ana.token, body: aShow })
  await call('GET /api/shows', { token: ana.token })
  await call(`GET /api/shows/${randomUUID()}`, { token: ana.token })
  await call('GET /api/shows', { token: ben.token })
  await call('GET /api/shows')
  const text = await read(server)
  const count = (labels: Record<string, string>) =>
    sum(text, 'callboard_organization_request_duration_seconds_count', labels)
  t.equal(count({ organization: ana.organization, status: '2xx' }), 2)
  t.equal(count({ organization: ana.organization, status: '4xx' }), 1)
  t.equal(count({ organization: ben.organization }), 1)
  t.equal(count({}), 4, 'and nobody else')
  t.ok(
    sum(text, 'callboard_organization_request_duration_seconds_sum', { organization: ana.organization }) > 0,
  )
})

t.test('rate-limited requests are counted by organization, for a limited number of these', async t => {
  const server = await startServer(t, { RATE_LIMIT: '2', SIGN_IN_LIMIT: '1', TRUST_PROXY: '127.0.0.1' })
  const { call } = server
  const ana = await register(server, 'Ana')
  for (let n = 0; n < 5; n++) await call('GET /api/me', { token: ana.token })
  const guess = () =>
    call('POST /api/auth/sign-in', {
      body: { email: ana.email, password: 'guessed' },
      headers: { 'x-forwarded-for': '192.0.2.1' },
    })
  await guess()
  t.equal((await guess()).status, 429)
  for (let n = 0; n < 2; n++) await call('GET /problems/not_found')
  const text = await read(server)
  const limited = (labels: Record<string, string>) => sum(text, 'callboard_rate_limited_total', labels)
  t.equal(limited({ limit: 'person', organization: ana.organization }), 3)
  t.equal(limited({ limit: 'sign_in', organization: '' }), 1)
  t.equal(limited({ limit: 'address', organization: '' }), 1)

  const metrics = createMetrics(server.pool)
  for (let n = 0; n < 150; n++) metrics.limited('organization', `organization-${n}`)
  metrics.limited('organization', 'organization-7')
  const many = await metrics.text()
  t.equal(sum(many, 'callboard_rate_limited_total', { organization: 'organization-7' }), 2)
  t.equal(sum(many, 'callboard_rate_limited_total', { organization: 'other' }), 50)
  t.equal([...many.matchAll(/^callboard_rate_limited_total\{/gm)].length, 101)

  for (let n = 0; n < 150; n++) {
    metrics.answered(`organization-${n}`, 200, 5)
    metrics.refusedToken('session_revoked', `organization-${n}`)
    metrics.breach('no_context', `organization-${n}`)
  }
  const all = await metrics.text()
  t.equal(sum(all, 'callboard_organization_request_duration_seconds_count', { organization: 'other' }), 50)
  t.equal(sum(all, 'callboard_refused_tokens_total', { organization: 'other' }), 50)
  t.equal(sum(all, 'callboard_isolation_breaches_total', { organization: 'other' }), 50)
  t.equal(
    new Set([...all.matchAll(/organization="(organization-\d+|other)"/g)].map(([, of]) => of)).size,
    101,
  )
})

t.test('refused tokens are counted by reason', async t => {
  const server = await startServer(t)
  const { call, app } = server
  const owner = await register(server, 'Ana')
  const left = await join(server, owner, 'viewer')
  const out = await signIn(server, owner.email)
  const refused = async (reason: string, organization = '') =>
    sum(await read(server), 'callboard_refused_tokens_total', { reason, organization })

  await call('GET /api/me')
  await app.inject({ url: '/api/me', headers: { authorization: 'Bearer to many parts' } })
  await call('GET /api/me', { token: `${owner.token.slice(0, -4)}AAAA` })
  await call('GET /api/me', { token: app.jwt.sign({ sub: owner.id } as never) })
  const { sub, org, sid } = app.jwt.decode<{ sub: string; org: string; sid: string }>(owner.token) ?? {}
  await call('GET /api/me', {
    token: app.jwt.sign({ sub, org, sid } as never, { expiresIn: -1 } as never),
  })
  await call('GET /api/me', { token: app.jwt.sign({ sub, org, sid: 'unheard of' } as never) })
  await call('POST /api/auth/sign-out', { token: out.token })
  await call('GET /api/shows', { token: out.token })
  await call(`DELETE /api/users/${left.id}`, { token: owner.token })
  await call('GET /api/shows', { token: left.token })
  await call('POST /api/auth/refresh', { body: { refresh_token: 'no.such' } })
  await call('POST /api/auth/sign-in', { body: { email: owner.email, password: 'wrong' } })
  await call('GET /api/shows/nonsense', { token: owner.token })

  for (const [reason, count] of Object.entries({
    missing: 1,
    malformed: 1,
    invalid: 2,
    expired: 1,
    invalid_refresh_token: 1,
  }))
    t.equal(await refused(reason), count, reason)
  for (const reason of ['session_unknown', 'session_revoked', 'membership_revoked'])
    t.equal(await refused(reason, owner.organization), 1, `${reason}, of whose organization`)
  t.equal(sum(await read(server), 'callboard_refused_tokens_total'), 9)
})

t.test('a transaction that ends in a context other than its token’s', async t => {
  // Looking up the limit is a transaction, too: here it comes first, and once.
  const server = await startServer(t, { RATE_LIMIT_REFRESH: '3600' })
  const { db, call } = server
  const [ana, ben] = [await register(server, 'Ana'), await register(server, 'Ben')]
  await call('GET /api/shows', { token: ana.token })
  const breaches = async (kind: string, from: Pick<TestServer, 'app'> = server) =>
    sum(await read(from), 'callboard_isolation_breaches_total', { kind })
  const showsOf = async (organization: string) =>
    (await db.admin`select from app.shows where organization_id = ${organization}`).count
  t.match(
    await read(server),
    /^callboard_isolation_breaches_total\{kind="other_organization",organization=""\} 0$/m,
  )

  await t.test(
    'because entering led to another organization is refused, rolled back and counted',
    async t => {
      await call('POST /api/shows', { token: ben.token, body: aShow })
      await db.admin.unsafe(`
      alter function app.enter(text, uuid, text, inet) rename to enter_as_it_should_be;
      create function app.enter(session_secret text, organization uuid default null, request_id text default null, ip inet default null) returns void
        language plpgsql volatile security definer set search_path = '' as
        $$ begin perform app_private.set_context('${ben.id}', gen_random_uuid(), '${ben.organization}', 'owner',
          (select held from app.roles where name = 'owner')); end $$;
      alter function app.enter(text, uuid, text, inet) owner to callboard_definer;
      grant execute on function app.enter(text, uuid, text, inet) to callboard_api`)
      for (const request of ['GET /api/shows', 'POST /api/shows'] as const) {
        const answer = await call(request, {
          token: ana.token,
          ...(request.startsWith('POST') && { body: aShow }),
        })
        t.match(answer, { status: 500, body: { type: '/problems/internal' } })
        t.notMatch(answer.text, /breach|Winter Tour/)
      }
      t.equal(await breaches('other_organization'), 2)
      t.equal(
        sum(await read(server), 'callboard_isolation_breaches_total', { organization: ana.organization }),
        2,
        'by the organization of the token',
      )
      t.equal(await showsOf(ben.organization), 1, 'nothing was written')
      t.equal(
        (await call('GET /api/shows', { token: ben.token })).status,
        200,
        'for a member of that organization it is no breach',
      )
      await db.admin.unsafe(`
      drop function app.enter(text, uuid, text, inet);
      alter function app.enter_as_it_should_be(text, uuid, text, inet) rename to enter`)
      t.equal((await call('GET /api/shows', { token: ana.token })).status, 200)
      t.equal(await breaches('other_organization'), 2)
    },
  )

  await t.test('because a statement tampered with it is refused and counted', async t => {
    const { app, inject } = await withRoute(t, server, ana.token, secretOf(ben))
    t.match(await inject('harmless'), { statusCode: 200 })
    t.match(await inject(ben.organization), { statusCode: 500 })
    t.equal(await breaches('other_organization', { app }), 1)
    t.match(await inject('nowhere'), { statusCode: 500 })
    t.equal(await breaches('no_context', { app }), 1)
  })
})

/** The server with a route that changes the context as injected SQL could that knows somebody else's secret. */
async function withRoute(t: Test, server: TestServer, asWhom: string, secret: string) {
  const app = await buildApp({ ...server, jwtSecret: server.config.JWT_SECRET ?? '' })
  t.teardown(() => app.close())
  app.get('/tamper/:what', { schema: { hide: true }, onRequest: app.authenticate }, (request, reply) => {
    const { what } = request.params as { what: string }
    return request
      .tenant(sql => {
        if (what === 'harmless')
          return sql<Answer[]>`select json_build_object('set', set_config('app.nothing', '', true)) as body`
        return what === 'nowhere'
          ? sql<Answer[]>`select to_json(app.introduce('a request', null)::text) as body`
          : sql<Answer[]>`select to_json(app.enter(${secret}, ${what})::text) as body`
      })
      .then(reply.json)
  })
  const inject = (what: string) =>
    app.inject({ url: `/tamper/${encodeURIComponent(what)}`, headers: { authorization: `Bearer ${asWhom}` } })
  return { app, inject }
}

t.test('the database’s gauges', async t => {
  const server = await startServer(t)
  const { db } = server
  const proxy = await startProxy(t, db.url('callboard_worker'))
  const gauges = connectGauges(server.config, proxy.through(db.url('callboard_worker')))
  t.teardown(() => gauges.close())
  const metrics = createMetrics(server.pool, gauges.read)
  await register(server, 'Ana')
  // A job that was given up.
  await db.admin`select app_private.add_job('no_such_task', '{}', max_attempts => 1)`
  await db.admin`update graphile_worker._private_jobs set attempts = max_attempts where key is null`

  await t.test('are read each time', async t => {
    t.equal(sum(await metrics.text(), 'callboard_database_jobs_waiting'), 1)
    await register(server, 'Ben')
    const text = await metrics.text()
    t.equal(sum(text, 'callboard_database_jobs_waiting'), 2)
    t.equal(sum(text, 'callboard_database_jobs_failed'), 1)
    t.ok(sum(text, 'callboard_database_jobs_oldest_waiting_seconds') > 0)
    t.match(text, /^callboard_database_gauges_up 1$/m)
  })

  await t.test('are omitted while it does not answer', async t => {
    await proxy.stop()
    const text = await metrics.text()
    t.match(text, /^callboard_database_gauges_up 0$/m)
    t.notMatch(text, /callboard_database_jobs/)
    t.match(text, /^callboard_pool_waiting 0$/m)
    await proxy.start()
    await until(async () => /^callboard_database_gauges_up 1$/m.test(await metrics.text()))
    t.equal(sum(await metrics.text(), 'callboard_database_jobs_waiting'), 2)
  })

  await t.test('are not readable by the login that requests run as', async t => {
    for (const health of ['job_health', 'server_health'])
      await t.rejects(db.as('callboard_api').unsafe(`select * from app.${health}()`), {
        message: /permission denied/,
      })
  })
})
