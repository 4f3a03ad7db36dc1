import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { schedule, type Scheduled } from '../../src/jobs/schedule.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { aShow, type Database, register, startDatabase, startServer, until } from '../support/helper.ts'
import { startServerProcess } from '../support/server-process.ts'

/** A task that only `queue` queues. */
const never = '0 0 30 2 *'
const queue = ({ admin }: Database, task: string) =>
  admin`select app_private.add_job(${task}, '{}', max_attempts => 2)`
const jobs = async ({ admin }: Database, task: string) => [
  ...(await admin<{ attempts: number; last_error: string | null; is_taken: boolean; pause: number }[]>`
    select attempts, last_error, locked_by is not null as is_taken, extract(epoch from run_at - now())::float8 as pause
    from graphile_worker.jobs where task_identifier = ${task}`),
]
const isWaitingFor = async ({ admin }: Database, seconds: number) => {
  const [{ n }] = await admin<[{ n: number }]>`
    select count(*)::int as n from pg_stat_activity
    where datname = current_database() and state = 'active' and query = ${sleep(seconds)}`
  return n > 0
}
const sleep = (seconds: number) => `select pg_sleep(${seconds})`
const health = async ({ as }: Database) =>
  (
    await as('callboard_worker')<[Record<string, number | null>]>`
    select waiting::int, failed::int, oldest_waiting_seconds, sealer_lag_seconds from app.job_health()`
  )[0]

t.test('the worker', async t => {
  const server = await startServer(t, { SHUTDOWN_TIMEOUT: '2' })
  const { db, app, config } = server
  const start = (t: Test, recurring?: Scheduled[]) => {
    const worker = startWorker(
      config,
      db.url('callboard_worker'),
      () => 'https://callboard.example',
      app.log,
      recurring,
    )
    t.teardown(() => worker.stop())
    return worker
  }

  await t.test('retries a failed job after a delay, and gives it up visibly', async t => {
    const worker = start(t, [{ task: 'fail', cron: never, sql: 'select 1 / 0' }])
    await queue(db, 'fail')
    await until(async () => (await jobs(db, 'fail'))[0]?.last_error !== null)
    const [first] = await jobs(db, 'fail')
    t.match(first, { attempts: 1, last_error: /division by zero/ })
    t.ok(first && first.pause > 0 && first.pause < 3, `again in ${first?.pause} s`)
    t.match(await health(db), { failed: 0, waiting: 1 })
    await until(async () => (await health(db)).failed === 1, 20)
    t.match(await jobs(db, 'fail'), [{ attempts: 2, last_error: /division by zero/, is_taken: false }])
    t.match(await health(db), { waiting: 0, oldest_waiting_seconds: 0 })
    await worker.stop()
  })

  await t.test('lets a running job finish when it is told to stop', async t => {
    const worker = start(t, [{ task: 'short', cron: never, sql: sleep(1) }])
    await queue(db, 'short')
    await until(() => isWaitingFor(db, 1))
    await worker.stop()
    t.same(await jobs(db, 'short'), [], 'it is done')
  })

  await t.test('leaves a job that takes too long to the next worker', async t => {
    const worker = start(t, [{ task: 'long', cron: never, sql: sleep(500) }])
    await queue(db, 'long')
    await until(() => isWaitingFor(db, 500))
    const began = Date.now()
    await worker.stop()
    t.ok(Date.now() - began < 60_000, `in ${Date.now() - began} ms`)
    t.match(await jobs(db, 'long'), [{ is_taken: false, attempts: 1 }])
  })

  await t.test('continues a job in parts, and fails it at the end if a part failed', async t => {
    // Four parts, one of which fails.
    await db.admin.unsafe(`
      create function app.count_parts(behind jsonb) returns jsonb language sql as
        $$ select jsonb_build_object('part', n, 'failed', (n = 2)::int, 'next', case when n < 4 then jsonb_build_array(n) end)
           from (select coalesce((behind ->> 0)::int, 0) + 1 as n) x $$;
      grant execute on function app.count_parts(jsonb) to callboard_worker`)
    t.teardown(() => db.admin`drop function app.count_parts`)
    const parts: unknown[] = []
    const note = ({ done }: { done?: { part: number } }) => parts.push(done?.part)
    const log = Object.assign(Object.create(app.log) as typeof app.log, { info: note, error: note })
    const worker = startWorker(config, db.url('callboard_worker'), () => '', log, [
      { task: 'count', cron: never, sql: 'select app.count_parts($1)', inParts: true },
    ])
    t.teardown(() => worker.stop())
    await queue(db, 'count')
    await until(async () => (await jobs(db, 'count'))[0]?.last_error !== null)
    t.strictSame(parts, [1, 2, 3, 4])
    t.match(await jobs(db, 'count'), [{ attempts: 1, last_error: /1 failed/ }])
    await worker.stop()
    await db.admin`delete from graphile_worker._private_jobs`
  })

  await t.test('reports how long a job has waited when no worker runs', async t => {
    await queue(db, 'nobody')
    await db.admin`update graphile_worker._private_jobs set run_at = now() - interval '1 minute' where task_id =
      (select id from graphile_worker._private_tasks where identifier = 'nobody')`
    const { oldest_waiting_seconds: oldest } = await health(db)
    t.ok(Number(oldest) >= 60 && Number(oldest) < 90, `${oldest} s`)
  })
})

t.test('recurring work', async t => {
  const server = await startServer(t)
  const { db, app, config } = server
  const { token } = await register(server, 'Ana')
  const show = await server.call<{ id: string }>('POST /api/shows', { token, body: aShow })
  await server.call(`DELETE /api/shows/${show.body.id}`, { token })
  await db.admin`update app.shows set deleted_at = now() - interval '31 days'`
  t.equal((await health(db)).sealer_lag_seconds, null, 'nothing was sealed yet')
  // What was due while no worker ran is made up for: these ticks are known, and a day was missed.
  await db.admin`
    insert into graphile_worker._private_known_crontabs (identifier, known_since, last_execution)
    select x, now() - interval '2 days', now() - interval '25 hours' from unnest(${schedule.map(({ task }) => task)}::text[]) x`
  await db.admin`
    insert into app_private.mails (kind, to_address, data, created_at, sent_at)
    values ('added', 'old@example.com', '{}', now() - interval '100 days', now() - interval '100 days'),
      ('added', 'new@example.com', '{}', now() - interval '80 days', now() - interval '80 days')`
  await db.admin`
    insert into app_private.mails (kind, to_address, data) values ('added', 'lost@example.com', '{}')`
  await db.admin`
    insert into app.sessions (user_id, secret_hash, expires_at)
    select id, sha256('old'), now() - interval '91 days' from app.users limit 1`
  await db.admin`drop table app.event_log_${db.admin.unsafe(nextMonth())}`

  const done: Record<string, unknown> = {}
  const note = (about: { task?: string; done?: unknown }) => {
    // The first run of each: the following ones find nothing left to do.
    if (about.task !== undefined && 'done' in about) done[about.task] ??= about.done
  }
  const log = Object.assign(Object.create(app.log) as typeof app.log, { info: note, debug: note })
  const worker = startWorker(config, db.url('callboard_worker'), () => 'https://callboard.example', log)
  t.teardown(() => worker.stop())
  // Ticks of every minute are not made up for: this queues one of each.
  const often = schedule.flatMap(one => ('cron' in one && one.cron.startsWith('*') ? [one.task] : []))
  t.strictSame(often, ['seal_events'])
  for (const task of often) await db.admin`select app_private.add_job(${task}, '{}', ${task})`
  await until(() => schedule.every(({ task }) => task in done), 30)
  await worker.stop()

  const sealed = ['seal_new_events', 'seal_events', 'seal_missed_events'].map(
    task => (done[task] as { sealed: number }).sealed,
  )
  t.ok(Math.max(...sealed) > 0, 'events are sealed')
  const lag = Number((await health(db)).sealer_lag_seconds)
  t.ok(lag >= 0 && lag < 60, `up to ${lag} s ago`)
  t.match(done['purge_expired'], { sessions: 1, mails: 1, mails_given_up: 1 })
  t.match(
    await db.admin`select to_address, failed_at from app_private.mails where kind = 'added' order by 1`,
    [{ to_address: 'lost@example.com', failed_at: Date }, { to_address: 'new@example.com' }],
  )
  t.equal(done['purge_events'], '0')
  t.match(done['purge_deleted'], { deletions: 1, rows: 1, failed: 0, next: null })
  const [partition] =
    await db.admin`select to_regclass(${`app.event_log_${nextMonth()}`}) is not null as is_there`
  t.same(partition, { is_there: true }, 'next month has its partition again')
  t.equal((await health(db)).failed, 0)
})

function nextMonth(): string {
  const date = new Date()
  date.setUTCDate(1)
  date.setUTCMonth(date.getUTCMonth() + 1)
  return date.toISOString().slice(0, 7).replace('-', '_')
}

t.test('npm run worker', async t => {
  const db = await startDatabase(t)
  const start = (t: Test, settings: Record<string, string> = {}) =>
    startServerProcess(
      t,
      { WORKER_DATABASE_URL: db.url('callboard_worker'), SHUTDOWN_TIMEOUT: '2', ...settings },
      'src/worker.ts',
    )

  await t.test('killed in the middle of a job, is replaced by another within seconds', async t => {
    // The sealer waits for the row, and so stays in the middle of its job for as long as the test wants.
    const lock = await db.admin.reserve()
    t.teardown(() => {
      lock.release()
    })
    await lock`begin`
    await lock`lock table app_private.sealing`
    const waits = async () => {
      const [{ pids }] = await db.admin<[{ pids: number[] }]>`
        select coalesce(array_agg(pid), '{}') as pids from pg_stat_activity
        where datname = current_database() and query = 'select app.seal_part(''1 hour'', $1)' and wait_event_type = 'Lock'`
      return pids
    }
    await db.admin`select app_private.add_job('seal_events', '{}', 'a_key_of_its_own')`
    const first = start(t)
    await until(async () => (await waits()).length === 1, 30)
    first.child.kill('SIGKILL')
    const killed = Date.now()
    await first.ended
    // PostgreSQL notices only at the end of the statement.
    const gone = await waits()
    t.match(await jobs(db, 'seal_events'), [{ is_taken: true }], 'the dead one still has it')

    const second = start(t)
    await until(async () => (await waits()).some(pid => !gone.includes(pid)), 60)
    const took = Date.now() - killed
    t.ok(took < 40_000, `after ${took} ms`)
    await lock`rollback`
    await until(async () => (await jobs(db, 'seal_events')).length === 0, 20)
    second.child.kill('SIGTERM')
    t.same(await second.ended, { code: 0, signal: null })
    t.match(second.said.join('\n'), /released the jobs of a dead worker/)
  })

  await t.test('refuses a login other than its own, and refuses to start without one', async t => {
    const wrong = start(t, { WORKER_DATABASE_URL: db.url('callboard_api') })
    t.match(await wrong.ended, { code: 1 })
    t.match(wrong.complaint(), /WORKER_DATABASE_URL logs in as callboard_api.*use callboard_worker/)
    const none = start(t, { WORKER_DATABASE_URL: '' })
    t.match(await none.ended, { code: 1 })
    t.match(none.complaint(), /WORKER_DATABASE_URL: must be set/)
  })
})

t.test('the API’s login cannot read, add, take or free a job', async t => {
  const db = await startDatabase(t)
  const api = db.as('callboard_api')
  for (const attempt of [
    api`select * from graphile_worker.jobs`,
    api`select * from graphile_worker._private_jobs`,
    api`select graphile_worker.add_job('send_mail')`,
    api`insert into graphile_worker._private_jobs (task_id) values (1)`,
    api`select app_private.add_job('send_mail', '{}')`,
    api`select app.keep_jobs('{}')`,
    api`select app.job_health()`,
    api`select app.purge_expired()`,
    api`select app.purge_deleted()`,
  ])
    await t.rejects(attempt, { code: '42501' })
})
