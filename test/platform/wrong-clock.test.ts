// A clock that was ahead for a while, and was set right: what was stored meanwhile must not keep anything from going on.
import { t } from '../support/tap.ts'
import { schedule } from '../../src/jobs/schedule.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { refresh, work } from '../support/figures.ts'
import { aShow, register, startServer, until } from '../support/helper.ts'
import { limitOf } from '../support/limit.ts'
import { startRedis, withoutRedis } from '../support/redis.ts'

const day = 86_400_000

/** Runs something while the clock of this process is ahead by so many milliseconds. */
async function ahead<T>(by: number, work: () => Promise<T>): Promise<T> {
  const real = Date.now
  Date.now = () => real() + by
  return work().finally(() => (Date.now = real))
}

t.test('times that are later than now are taken back, and everything goes on', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  await db.as('callboard_worker')`select app.seal_part('1 hour')`
  await refresh(db)
  const takeBack = async () => {
    const [{ done }] = await db.as('callboard_worker')<[{ done: { failed: number } }]>`
      select app.take_back_times() as done`
    return done
  }
  t.match(await takeBack(), { failed: 0, is_idle: true })
  await call('POST /api/auth/password/forgot', { body: { email: ana.email } })

  // As everything was when the clock was 40 days ahead.
  const ahead = db.admin`now() + interval '40 days'`
  await db.admin`update app_private.sealing set sealed_until = ${ahead}, reached = ${ahead}`
  await db.admin`insert into app_private.horizon_looks values (${ahead}, '{}')`
  await db.admin`update analytics_private.looking set looked_until = ${ahead}`
  await db.admin`update analytics_private.refreshing set began_at = ${ahead}, since = ${ahead} where lane = 'look'`
  await db.admin`update analytics_private.rollup_states set computed_at = ${ahead}, failed_at = ${ahead}, as_of = ${ahead}, valid_until = ${ahead}, took = '1 second'`
  await db.admin`insert into graphile_worker._private_known_crontabs (identifier, known_since, last_execution) values ('seal_events', now(), ${ahead})
    on conflict (identifier) do update set last_execution = excluded.last_execution`
  await db.admin`update graphile_worker._private_jobs set run_at = ${ahead}`
  await db.admin`update app.sessions set created_at = ${ahead}, refreshed_at = ${ahead}, expires_at = ${ahead} + interval '30 days'`
  await db.admin`update app_private.email_tokens set expires_at = ${ahead}`

  await call('POST /api/shows', { token: ana.token, body: aShow })
  t.ok((await takeBack()).failed > 5)
  t.match(await takeBack(), { failed: 0, is_idle: true }, 'once')

  await until(async () => {
    await db.as('callboard_worker')`select app.seal_part('10 seconds')`
    const { body } = await call<{ unsealed: number }>('GET /api/audit/verify', { token: ana.token })
    // What asking has logged itself.
    return body.unsealed <= 1
  })
  t.pass('events are sealed')
  await work(db, 'small')
  await refresh(db)
  const [left] = await db.admin`
    select (select count(*)::int from analytics_private.rollup_states s where s.changed_at is not null or s.computed_at > now() or s.as_of > now()
        or s.valid_until > now() + interval '2 days') as figures,
      (select count(*)::int from graphile_worker._private_jobs where run_at > now()) as jobs,
      (select count(*)::int from graphile_worker._private_known_crontabs where last_execution > now()) as crontabs,
      (select count(*)::int from app.sessions where expires_at > now() + interval '31 days') as sessions,
      (select count(*)::int from app_private.email_tokens where expires_at > now() + interval '4 days') as links`
  t.match(left, { figures: 0, jobs: 0, crontabs: 0, sessions: 0, links: 0 })
  t.equal((await call('GET /api/me', { token: ana.token })).status, 200)
})

t.test('a worker takes them back by itself, says so, and begins its schedule anew', async t => {
  const { db, app, config } = await startServer(t)
  await db.admin`update app_private.sealing set sealed_until = now() + interval '40 days', reached = now() + interval '40 days'`
  const said: string[] = []
  const note = (about: { task?: string }, message: string) => said.push(`${about.task ?? ''} ${message}`)
  const log = Object.assign(Object.create(app.log) as typeof app.log, { error: note })
  const outcomes: string[] = []
  const worker = startWorker(
    config,
    db.url('callboard_worker'),
    () => '',
    log,
    schedule,
    (task, outcome) => outcomes.push(`${task} ${outcome}`),
  )
  const real = Date.now
  t.teardown(async () => {
    Date.now = real
    await worker.stop()
  })
  await until(() => said.some(line => /^take_back_times .*the clock of the database was wrong/.test(line)))
  await until(() => outcomes.includes('take_back_times failed'))
  const anew = () => said.filter(line => /the clock of this machine was set/.test(line)).length
  t.equal(anew(), 0)
  Date.now = () => real() + 40 * day
  await until(() => anew() === 1)
  // It has begun anew.
  const ticks = outcomes.length
  await until(() => outcomes.slice(ticks).filter(line => line === 'seal_new_events done').length > 1)
  Date.now = real
  await until(() => anew() === 2)
  await db.admin`select app_private.add_job('seal_events', '{}', 'still_works')`
  await until(
    async () =>
      (await db.admin`select from graphile_worker._private_jobs where key = 'still_works'`).count === 0,
  )
})

t.test('a process of the API whose own clock was ahead, and is set right', async t => {
  const settings = { RATE_LIMIT: '10', RATE_LIMIT_PERSON: '100', RATE_LIMIT_REFRESH: '0.05' }
  const server = await startServer(t, settings)
  const { call, db } = server
  const me = (token: string) => call('GET /api/me', { token })

  await t.test('takes none of the tokens of then, and their sessions go on', async t => {
    const ana = await ahead(40 * day, () => register(server, 'Ana'))
    t.match(await me(ana.token), { status: 401, body: { type: '/problems/unauthorized' } })
    const { status, body } = await call<{ access_token: string }>('POST /api/auth/refresh', {
      body: { refresh_token: ana.refreshToken },
    })
    t.equal(status, 200)
    t.equal((await me(body.access_token)).status, 200)
  })

  // So that tokens are valid all the time.
  const minutes = 10 * 60_000

  await t.test('shuts nobody out for longer than they would have been', async t => {
    const { token } = await register(server, 'Ben')
    await ahead(minutes, async () => {
      for (let n = 0; n < 11; n += 1) await me(token)
    })
    const { status, retryAfter = 0 } = limitOf(await me(token))
    t.equal(status, 429)
    t.ok(retryAfter <= 300, `${retryAfter} seconds`)
  })

  await t.test('learns of limits that are changed', async t => {
    const { token, organization } = await register(server, 'Chiara')
    await ahead(minutes, () => me(token))
    await db.admin`insert into app.rate_limits (organization_id, requests) values (${organization}, 50)`
    await until(async () => limitOf(await me(token)).limit === 50)
    t.pass()
  })

  await t.test('returns to a Redis that was away then', withoutRedis(), async t => {
    const redis = await startRedis(t)
    const { app, call } = await startServer(t, { REDIS_URL: redis.url }, db)
    const said: string[] = []
    for (const level of ['warn', 'info'] as const)
      app.log[level] = (...about: unknown[]) => said.push(String(about.at(-1)))
    await ahead(minutes, async () => {
      await redis.stop()
      await until(async () => {
        await call('GET /api/me')
        return said.some(line => /Redis does not answer/.test(line))
      })
    })
    await redis.start()
    await until(async () => {
      await call('GET /api/me')
      return said.some(line => /Redis answers again/.test(line))
    })
    t.pass()
  })
})
