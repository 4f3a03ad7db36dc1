// When events are sealed: within seconds, by whichever worker comes first.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import type { Scheduled } from '../../src/jobs/schedule.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { aShow, register, startServer, type TestServer, until } from '../support/helper.ts'

interface Found {
  ok: boolean
  checked: number
  unsealed: number
  problem: unknown
}

function start(t: Test, { app, config, db }: TestServer, recurring?: Scheduled[], log = app.log) {
  const worker = startWorker(
    config,
    db.url('callboard_worker'),
    () => 'https://callboard.example',
    log,
    recurring,
  )
  t.teardown(() => worker.stop())
  return worker
}

t.test('while workers run, what happens is sealed within seconds', async t => {
  const server = await startServer(t)
  const { call, db } = server
  start(t, server)
  start(t, server)
  const people = [
    await register(server, 'Ana'),
    await register(server, 'Ben'),
    await register(server, 'Chiara'),
  ]
  const verify = async (token: string) => (await call<Found>('GET /api/audit/verify', { token })).body
  for (let round = 0; round < 3; round++) {
    await Promise.all(
      people.map(async ({ token }) => {
        for (let n = 0; n < 5; n++)
          t.equal((await call('POST /api/shows', { token, body: aShow })).status, 201)
        const began = Date.now()
        // Verifying is an event too, and not sealed yet.
        const { checked, unsealed } = await verify(token)
        t.ok(unsealed > 0)
        await until(async () => {
          await sleep(200)
          return (await verify(token)).checked >= checked + unsealed
        }, 10)
        const ms = Date.now() - began
        t.ok(ms < 5000, `sealed after ${ms} ms`)
        t.match(await verify(token), { ok: true, problem: null })
      }),
    )
  }
  const [health] = await db.as('callboard_worker')<[{ lag: number }]>`
    select sealer_lag_seconds as lag from app.job_health()`
  t.ok(health.lag < 5, `up to ${health.lag} s ago`)
})

t.test('sealing waits for a long transaction', async t => {
  const server = await startServer(t)
  const { db } = server
  const ana = await register(server, 'Ana')
  const until0 = async () =>
    (await db.admin<[{ at: Date }]>`select sealed_until as at from app_private.sealing`)[0].at
  start(t, server)
  await until(async () => Number.isFinite(Number(await until0())))
  const open = await db.admin.reserve()
  await open`begin`
  const [{ at }] = await open<[{ at: Date }]>`select now() as at`
  await sleep(100)
  await server.call('POST /api/shows', { token: ana.token, body: aShow })
  await sleep(4500)
  t.ok((await until0()) <= at, 'nothing that began after it is sealed')
  await open`rollback`
  open.release()
  await until(async () => (await until0()) > at)
})

t.test(
  'the horizon follows transactions that overlap, and needs to see nothing of them but that they are open',
  async t => {
    const { db } = await startServer(t)
    const horizon = async () => {
      const [row] = await db.admin<[{ at: string | null; called: string }]>`
      select app_private.seal_horizon()::text as at, clock_timestamp()::text as called`
      return { at: row.at === null ? undefined : new Date(row.at), called: new Date(row.called) }
    }
    const open = async () => {
      const sql = await db.admin.reserve()
      await sql`begin`
      const [{ at }] = await sql<[{ at: Date }]>`select now() as at`
      // A Date has milliseconds only: what follows is to be later by them, too.
      await sleep(5)
      return {
        at,
        end: async () => {
          await sql`rollback`
          sql.release()
        },
      }
    }
    await db.admin`delete from app_private.horizon_looks`
    const first = await open()
    t.equal((await horizon()).at, undefined, 'nothing is known of what began before the first call')
    await first.end()
    const quiet = await horizon()
    t.ok(
      quiet.at !== undefined && quiet.called.getTime() - quiet.at.getTime() < 2000,
      'up to now if nothing is open',
    )

    const second = await open()
    const during = await horizon()
    t.same(during.at, quiet.at, 'the last call before the oldest one began')
    t.ok(during.at !== undefined && during.at <= second.at)
    const third = await open()
    await second.end()
    const later = await horizon()
    t.ok(
      later.at !== undefined && later.at > second.at && later.at <= third.at,
      'past one that has ended, not past one that is open',
    )
    await db.admin`
    insert into app_private.horizon_looks
    select now() - n * interval '20 seconds', '{x}' from generate_series(1, 5000) n`
    t.same((await horizon()).at, later.at)
    const [{ kept }] = await db.admin<[{ kept: number }]>`
    select count(*)::integer as kept from app_private.horizon_looks where at < ${later.at ?? null}::timestamptz`
    t.equal(kept, 0, 'what is older tells nothing more')
    await third.end()
  },
)

t.test('calls of the horizon are kept for a day, one a minute', async t => {
  const { db } = await startServer(t)
  const sql = await db.admin.reserve()
  await sql`begin`
  const [{ vxid }] = await sql<[{ vxid: string }]>`
    select virtualtransaction as vxid from pg_locks where pid = pg_backend_pid() and locktype = 'virtualxid'`
  await db.admin`delete from app_private.horizon_looks`
  await db.admin`
    insert into app_private.horizon_looks
    select now() - n * interval '20 seconds', array[${vxid}::text] from generate_series(1, 5000) n`
  await db.admin`select app_private.seal_horizon()`
  const [{ kept, oldest }] = await db.admin<[{ kept: number; oldest: number }]>`
    select count(*)::integer as kept, (extract(epoch from now() - min(at)) / 3600)::float8 as oldest from app_private.horizon_looks`
  t.ok(kept > 1400 && kept < 1600, `${kept} of 5001`)
  t.ok(oldest < 24.01)
  await sql`rollback`
  sql.release()
})

t.test('work done every few seconds', async t => {
  const server = await startServer(t)
  const { app, db } = server
  await db.admin`create table public.ticks (at timestamptz default clock_timestamp())`
  await db.admin`grant usage on schema public to callboard_worker`
  await db.admin`grant all on public.ticks to callboard_worker`

  await t.test('is done less often when it takes long', async t => {
    const sql = `with one as (insert into public.ticks default values returning at)
      select pg_sleep(0.1) from one`
    const ticks = async () => (await db.admin`select from public.ticks`).length
    const worker = start(t, server, [{ task: 'tick', seconds: 0.05, sql }])
    await until(async () => (await ticks()) === 3, 15)
    await worker.stop()
    const [{ least }] = await db.admin<[{ least: number }]>`
      select min(pause)::float8 as least
      from (select extract(epoch from at - lag(at) over (order by at)) as pause from public.ticks) x`
    t.ok(least >= 2, `after ${least} s`)
  })

  await t.test('reports once that it fails, and continues', async t => {
    const said: string[] = []
    const note = (level: string) => (about: { task?: string }, message: string) => {
      if (about.task === 'tick') said.push(`${level}: ${message}`)
    }
    const log = Object.assign(Object.create(app.log) as typeof app.log, {
      warn: note('warn'),
      debug: note('debug'),
      info: note('info'),
    })
    const sql = 'select 1 / count(*) from public.ticks'
    await db.admin`delete from public.ticks`
    const worker = start(t, server, [{ task: 'tick', seconds: 0.05, sql }], log)
    await until(() => said.length >= 3)
    t.same(said.slice(0, 3), [
      'warn: job failed, will be retried',
      'debug: job failed, will be retried',
      'debug: job failed, will be retried',
    ])
    await db.admin`insert into public.ticks default values`
    await until(() => said.includes('info: job done'))
    await worker.stop()
  })
})
