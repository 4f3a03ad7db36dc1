// How workers report that they are alive, and who may free the jobs of one that does not.
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import type { Scheduled } from '../../src/jobs/schedule.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { startServer, until } from '../support/helper.ts'
import { startProxy } from '../support/proxy.ts'

const never = '0 0 30 2 *'
const publicUrl = () => 'https://callboard.example'

t.test('the heartbeat', async t => {
  const { db, app, config } = await startServer(t, { SHUTDOWN_TIMEOUT: '2' })
  const { admin } = db
  const url = db.url('callboard_worker')
  const proxy = await startProxy(t, url)
  /** A job and its queue, taken by a worker last heard from so many seconds ago. */
  const taken = async (worker: string, seconds: number) => {
    await admin`delete from graphile_worker._private_jobs`
    await admin`select graphile_worker.add_job('some_task', queue_name => 'some_queue')`
    const at = admin`now() - make_interval(secs => ${seconds})`
    await admin`update graphile_worker._private_jobs set locked_by = ${worker}, locked_at = ${at}`
    await admin`update graphile_worker._private_job_queues set locked_by = ${worker}, locked_at = ${at}`
  }
  const locks = async () => {
    const [lock] = await admin<[{ job: number | null; queue: number | null }]>`
      select extract(epoch from now() - j.locked_at)::float8 as job, extract(epoch from now() - q.locked_at)::float8 as queue
      from graphile_worker._private_jobs j, graphile_worker._private_job_queues q
      where q.id = j.job_queue_id or j.job_queue_id is null`
    return lock
  }
  const free = { job: null, queue: null }
  const isTaken = async () => (await locks()).job !== null
  const start = (t: Test, recurring: Scheduled[] = []) => {
    const worker = startWorker(config, proxy.through(url), publicUrl, app.log, recurring)
    t.teardown(() => worker.stop())
    return worker
  }

  await t.test('is recorded by the database, which frees a silent worker’s jobs', async t => {
    const worker = db.as('callboard_worker')
    const keep = async (workers: string[], ...mayFree: boolean[]) => {
      const [row] = await (mayFree.length
        ? worker<[{ n: number }]>`select app.keep_jobs(${workers}, ${mayFree[0] ?? true}) as n`
        : worker<[{ n: number }]>`select app.keep_jobs(${workers}) as n`)
      return row.n
    }
    await taken('other', 19)
    t.equal(await keep(['mine']), 0)
    t.match(await locks(), { job: /^19\./, queue: /^19\./ })
    await taken('other', 21)
    t.equal(await keep(['mine'], false), 0)
    t.match(await locks(), { job: /^21\./, queue: /^21\./ }, 'not by a worker that was silent itself')
    t.equal(await keep(['mine']), 1)
    t.same(await locks(), free)
    await taken('mine', 3600)
    t.equal(await keep(['mine']), 0)
    t.match(await locks(), { job: /^0\./, queue: /^0\./ })
  })

  await t.test('is sent for as long as a job takes', async t => {
    await admin`delete from graphile_worker._private_jobs`
    const worker = start(t, [{ task: 'long', cron: never, sql: 'select pg_sleep(100)' }])
    await admin`select app_private.add_job('long', '{}')`
    await until(isTaken)
    let last = 0
    let signs = 0
    await until(async () => {
      const { job } = await locks()
      if (Number(job) < last) signs += 1
      last = Number(job)
      return signs === 2
    }, 15)
    t.ok(last < 1, 'twice in about ten seconds')
    await worker.stop()
  })

  await t.test('comes first: no worker frees jobs before it has been heard for long enough', async t => {
    /** Waits for that many more heartbeats of the worker. */
    const heard = async (times: number) => {
      let last: number | null = null
      let signs = -1
      await until(async () => {
        const [row] = await admin<[{ at: number | null }]>`
          select max(extract(epoch from query_start))::float8 as at from pg_stat_activity
          where datname = current_database() and query like 'select app.keep_jobs%' and usename = 'callboard_worker'`
        if (row.at !== null && row.at !== last) signs += 1
        last = row.at ?? last
        return signs === times
      }, 30)
    }
    await taken('silent', 3600)
    const began = Date.now()
    const worker = start(t)
    await heard(2)
    t.ok(await isTaken(), 'it has only just begun')
    await until(async () => !(await isTaken()), 30)
    t.ok(Date.now() - began > 19_000, 'after a while longer')

    await taken('silent', 10)
    await proxy.stop()
    await admin`select pg_sleep(15)`
    await proxy.start()
    await heard(2)
    t.ok(await isTaken(), 'it was the database that was unavailable')
    await until(async () => !(await isTaken()), 30)
    await worker.stop()
  })
})
