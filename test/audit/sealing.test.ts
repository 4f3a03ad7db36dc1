// When events are sealed: within seconds, by whichever worker comes first.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import type { Scheduled } from '../../src/jobs/schedule.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { aShow, register, startServer, type TestServer, until } from '../support/helper.ts'
import { sealParts } from '../support/sealing.ts'

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

t.test('sealing waits for nobody’s open transaction, and seals what it writes once it has ended', async t => {
  const server = await startServer(t)
  const { db } = server
  const ana = await register(server, 'Ana')
  start(t, server)
  const verify = async () => (await server.call<Found>('GET /api/audit/verify', { token: ana.token })).body
  const open = await db.admin.reserve()
  await open`begin`
  const [{ at }] = await open<[{ at: Date }]>`select now() as at, pg_current_xact_id()`
  await sleep(100)
  await server.call('POST /api/shows', { token: ana.token, body: aShow })
  const { checked, unsealed } = await verify()
  const began = Date.now()
  await until(async () => (await verify()).checked >= checked + unsealed)
  t.ok(Date.now() - began < 8000, `sealed after ${Date.now() - began} ms`)
  const [sealing] = await db.admin<[{ until: Date; lag: number }]>`
    select s.sealed_until as until, h.sealer_lag_seconds as lag from app_private.sealing s, app.job_health() h`
  t.ok(!(sealing.until > at), 'and nothing is said to be all there is')
  t.ok(sealing.lag < 8)
  await open`insert into app.event_log (organization_id, actor_kind, action, resource_type) values (${ana.organization}, 'system', 'late', 'late')`
  await open`commit`
  open.release()
  await db.as('callboard_worker')`select app.seal_part('1 hour')`
  const late = await db.admin`
    select from app.event_log l join app.event_seals s on s.organization_id = l.organization_id and s.event_id = l.id where l.action = 'late'`
  t.equal(late.count, 1)
  t.match(await verify(), { ok: true, problem: null })
})

t.test(
  'a transaction of our programs that only reads holds the horizon back for a minute, a DBA’s until it ends',
  async t => {
    const { db } = await startServer(t)
    const horizon = async () =>
      (
        await db.admin<[{ ago: number | null }]>`
      select extract(epoch from clock_timestamp() - app_private.seal_horizon())::float8 as ago`
      )[0].ago
    for (const [login, writes, ago] of [
      ['callboard_api', false, 120],
      ['callboard_worker', false, 120],
      ['callboard_api', true, null],
      ['postgres', false, null],
    ] as const) {
      const sql = await (login === 'postgres' ? db.admin : db.as(login)).reserve()
      await sql`begin`
      await (writes ? sql`select pg_current_xact_id()` : sql`select 1`)
      await db.admin`delete from app_private.horizon_looks`
      t.equal(await horizon(), null)
      await db.admin`update app_private.horizon_looks set at = at - interval '2 minutes'`
      const found = await horizon()
      const what = `${login} ${writes ? 'has written' : 'has only read'}: ${found}`
      if (ago === null) t.equal(found, null, what)
      else t.ok(found !== null && found >= ago && found < ago + 10, what)
      await sql`rollback`
      sql.release()
    }
  },
)

t.test(
  'a backlog is sealed in parts, whatever the age of the events, also what a wrong clock has dated later',
  async t => {
    const { db } = await startServer(t)
    const organization = randomUUID()
    await db.admin`select app.seal_part('1 hour')`
    const add = (n: number, at: string) => db.admin`
    insert into app.event_log (organization_id, actor_kind, action, resource_type, occurred_at, id)
    select ${organization}, 'system', 'x', 'x', now() + ${at}::interval + n * interval '1 ms', gen_random_uuid() from generate_series(1, ${n}::integer) n`
    const pass = (lookBack: string) => sealParts(db.as('callboard_worker'), lookBack)
    const sum = (parts: number[]) => parts.reduce((all, n) => all + n, 0)
    await add(32_000, '-70 seconds')
    // Of the present, so that there is a beginning.
    await db.admin`update app_private.sealing set sealed_until = now() - interval '2 minutes', reached = now() - interval '2 minutes'`
    const parts = await pass('10 seconds')
    t.equal(sum(parts), 32_000)
    t.ok(Math.max(...parts) <= 15_000, parts.join())
    // Of one transaction, as those of an import: all have the same time.
    const [backlog, other] = ['00000000-0000-7000-8000-000000000001', randomUUID()]
    await db.admin`insert into app.event_log (organization_id, actor_kind, action, resource_type, occurred_at, id)
    select ${backlog}, 'system', 'x', 'x', now() - interval '5 seconds', gen_random_uuid() from generate_series(1, 20000)`
    await db.admin`insert into app.event_log (organization_id, actor_kind, action, resource_type, occurred_at, id)
    values (${other}, 'system', 'x', 'x', now() - interval '4 seconds', gen_random_uuid())`
    const before: number[] = []
    let behind: unknown = null
    do {
      const [{ part }]: [{ part: { sealed: number; next: unknown } }] = await db.as('callboard_worker')`
      select app.seal_part('10 seconds', ${behind === null ? null : JSON.stringify(behind)}::text::jsonb) as part`
      before.push(part.sealed)
      behind = part.next
    } while ((await db.admin`select from app.event_seals where organization_id = ${other}`).count === 0)
    t.ok(sum(before) < 20_000, `the backlog of another is not sealed first: ${before.join()}`)
    t.equal(sum(before) + sum(await pass('10 seconds')), 20_001)
    await add(3, '-20 years')
    await add(2, '40 days')
    t.equal(sum(await pass('1 hour')), 2, 'what is dated later')
    t.equal(sum(await pass('1000 years')), 3, 'what is older than anything')
    t.equal(sum(await pass('1000 years')), 0)
    const [found] = await db.admin`select app.verify_events(${organization}) as found`
    t.match(found?.['found'], { ok: true, checked: 32_005, unsealed: 0 })
  },
)

t.test(
  'whoever has a long backlog waits for others in between, and nobody waits for those who wait',
  async t => {
    const { db } = await startServer(t)
    const [large, ...small] = Array.from({ length: 9 }, (_, n) => `00000000-0000-7000-8000-00000000000${n}`)
    await db.admin`select app.seal_part('1 hour')`
    await db.admin`update app_private.sealing set sealed_until = now() - interval '1 minute', reached = now() - interval '1 minute'`
    const add = (organization: string | undefined, n: number) => db.admin`
    insert into app.event_log (organization_id, actor_kind, action, resource_type, occurred_at, id)
    select ${organization ?? ''}, 'system', 'x', 'x', now() - interval '4 seconds', gen_random_uuid() from generate_series(1, ${n}::integer)`
    const part = async (behind: unknown) => {
      const [{ done }] = await db.as('callboard_worker')<[{ done: { sealed: number; next: unknown } }]>`
      select app.seal_part('10 seconds', ${behind === null ? null : JSON.stringify(behind)}::text::jsonb) as done`
      return done
    }
    const sealed = async () =>
      (
        await db.admin<{ organization: string; n: number }[]>`
        select organization_id as organization, count(*)::integer as n from app.event_seals where organization_id = any(${small}) group by 1 order by 1`
      ).map(({ organization, n }) => [organization, n] as const)

    await add(large, 25_000)
    await add(small[0], 1)
    const first = await part(null)
    t.not(first.next, null)
    t.strictSame(await sealed(), [[small[0], 1]], 'all get a batch before anybody gets two')
    for (const organization of small.slice(1)) await add(organization, 1)
    const second = await part(first.next)
    t.strictSame(
      await sealed(),
      small.map(organization => [organization, 1]),
      'and again, before the backlog is continued',
    )
    let next = second.next
    const counts = [first.sealed, second.sealed]
    while (next !== null) {
      const done = await part(next)
      counts.push(done.sealed)
      next = done.next
    }
    t.equal(
      counts.reduce((all, n) => all + n, 0),
      25_008,
    )
    t.ok(
      counts.every(n => n > 0),
      `it is continued where it was left: ${counts.join()}`,
    )
    const state = async () =>
      (await db.admin`select reached from app_private.sealing`)[0]?.['reached'] as Date
    const before = await state()
    await part(null)
    t.ok((await state()) > before, 'only a pass from the beginning says how far all is sealed')

    for (const organization of small) await add(organization, 1)
    const holder = await db.admin.reserve()
    await holder`begin`
    await holder`select from app_private.sealing for update`
    const waiting = part(null)
    await sleep(1500)
    await holder`rollback`
    holder.release()
    t.match(await waiting, { sealed: 8, next: null }, 'what it waits is not of its own time')
  },
)

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
