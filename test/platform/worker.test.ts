// What the worker survives: a database that goes away at a bad moment, and notifications.
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import type { Scheduled } from '../../src/jobs/schedule.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { startServer, until } from '../support/helper.ts'
import { startProxy } from '../support/proxy.ts'
import { startServerProcess } from '../support/server-process.ts'

const never = '0 0 30 2 *'
const publicUrl = () => 'https://callboard.example'

t.test('a worker', async t => {
  const { db, app, config } = await startServer(t, { SHUTDOWN_TIMEOUT: '2' })
  const { admin } = db
  const url = db.url('callboard_worker')
  const proxy = await startProxy(t, url)
  const warnings: string[] = []
  const warn = (_about: object, message: string) => warnings.push(message)
  const log = Object.assign(Object.create(app.log) as typeof app.log, { warn })
  const start = (t: Test) => {
    const recurring: Scheduled[] = [{ task: 'note', cron: never, sql: 'select 1' }]
    const worker = startWorker(config, proxy.through(url), publicUrl, log, recurring)
    t.teardown(() => worker.stop())
    return worker
  }
  /** The worker's backends whose current or last statement matches. */
  const backends = async (statement: string) => {
    const rows = await admin<{ pid: number }[]>`
      select pid from pg_stat_activity
      where datname = current_database() and usename = 'callboard_worker' and query like ${`${statement}%`}`
    return rows.map(({ pid }) => pid)
  }
  const terminate = (pid: number | undefined) => admin`select pg_terminate_backend(${pid ?? 0}, 5000)`
  const listener = async () => (await backends('LISTEN'))[0]
  /** Holds a table until the function that it resolves to is called. */
  const lock = async (t: Test, table: string) => {
    const holder = await admin.reserve()
    await holder`begin`
    await holder.unsafe(`lock table ${table}`)
    let isHeld = true
    const release = async () => {
      if (isHeld) await holder`rollback`
      isHeld = false
      holder.release()
    }
    t.teardown(() => (isHeld ? release() : undefined))
    return release
  }
  const does = async (t: Test, what: string, seconds = 10) => {
    await admin`select app_private.add_job('note', '{}')`
    await until(async () => {
      const [{ n }] = await admin<[{ n: number }]>`select count(*)::int as n from graphile_worker.jobs`
      return n === 0
    }, seconds)
    t.pass(what)
  }

  await t.test('listens again when the connection on which it listens is killed', async t => {
    const worker = start(t)
    await until(async () => (await listener()) !== undefined)
    const first = await listener()
    await terminate(first)
    await until(async () => ![undefined, first].includes(await listener()))
    await does(t, 'and does jobs')
    await worker.stop()
  })

  await t.test('ends cleanly when it is stopped while it starts to listen and gets no answer', async t => {
    const hangs = proxy.hangAt('LISTEN "jobs:insert"')
    const worker = start(t)
    await hangs
    await worker.stop()
    const next = start(t)
    await does(t, 'its successor does jobs')
    await next.stop()
  })

  await t.test('survives the loss of its first connection', async t => {
    const release = await lock(t, 'graphile_worker.migrations')
    const worker = start(t)
    await until(async () => (await backends('select from graphile_worker.migrations')).length === 1)
    await proxy.stop()
    await release()
    await proxy.start()
    await does(t, 'and does jobs')
    await worker.stop()
  })

  await t.test('recovers from failing to look up its tasks', async t => {
    const release = await lock(t, 'graphile_worker._private_tasks')
    const worker = start(t)
    const looking = () => backends('insert into "graphile_worker"._private_tasks')
    await until(async () => (await looking()).length === 1)
    await terminate((await looking())[0])
    await release()
    await does(t, 'and does jobs', 20)
    await worker.stop()
  })

  await t.test('continues when it is notified of a schema that is too new', async t => {
    const worker = start(t)
    await does(t, 'it works')
    // Which it may do before it listens.
    await until(async () => (await listener()) !== undefined)
    const before = await listener()
    // Any login can send that, even the API's.
    await db.as('callboard_api')`
      select pg_notify('worker:migrate', '{"migrationNumber": 999999, "breaking": true}')`
    await does(t, 'and does jobs')
    t.equal(await listener(), before, 'on the same connection: nobody can stop it this way')
    t.equal(process.exitCode, undefined, 'the process does not end with a failure status')
    await worker.stop()
  })

  await t.test('waits for a schema that fits', async t => {
    await admin`insert into graphile_worker.migrations (id, breaking) values (999999, true)`
    warnings.length = 0
    const worker = start(t)
    await until(() => warnings.includes('the job queue cannot be reached, will be retried'))
    t.equal(await listener(), undefined)
    t.equal(process.exitCode, undefined)
    await admin`delete from graphile_worker.migrations where id = 999999`
    await does(t, 'and then does jobs', 20)
    t.equal(process.exitCode, undefined)
    await worker.stop()
  })
})

t.test('a worker’s process outlives all of its connections, whatever they do', async t => {
  const { db } = await startServer(t)
  const worker = startServerProcess(t, { WORKER_DATABASE_URL: db.url('callboard_worker') }, 'src/worker.ts')
  await worker.says(/"working"/)
  for (let round = 0; round < 30; round++) {
    await db.admin`
      select pg_terminate_backend(pid, 1000) from pg_stat_activity
      where datname = current_database() and usename = 'callboard_worker'`
    await db.admin`select pg_sleep(0.05)`
  }
  await db.admin`select app_private.add_job('seal_events', '{}')`
  await until(async () => (await db.admin`select from graphile_worker.jobs`).length === 0, 20)
  worker.child.kill('SIGTERM')
  t.same(await worker.ended, { code: 0, signal: null })
})
