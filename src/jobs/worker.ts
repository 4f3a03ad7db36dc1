import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { parseCronItems, run, type WorkerEvents } from 'graphile-worker'
import type { Config } from '../config.ts'
import { isOptional } from '../database/node-postgres.ts'
import { problems as ofExports } from '../exports/problems.ts'
import { exportTasks } from '../exports/task.ts'
import { problems as ofFinance } from '../finance/problems.ts'
import { addProblems } from '../http/problems.ts'
import { problems as ofImports } from '../imports/problems.ts'
import { importTasks } from '../imports/task.ts'
import { mailTask } from '../accounts/mail.ts'
import { within } from '../accounts/mail-transport.ts'
import type { Observe } from '../monitoring/jobs.ts'
import { problems as ofShows } from '../shows/problems.ts'
import { jobLogger } from './logger.ts'
import { PatientPool } from './pool.ts'
import { schedule, type Scheduled } from './schedule.ts'
import { scheduledTasks, startTicking, ticksOf } from './tasks.ts'

// Jobs tell members why an export or import failed, and imports write shows and finance records.
for (const problems of [ofExports, ofImports, ofShows, ofFinance]) addProblems(problems)

/** How many jobs a process does at a time. */
const concurrency = 4
/** How often it says that it is alive, and how long it waits for an answer, in milliseconds; app.keep_jobs gives it 20 seconds. */
const [beat, timeout] = [5000, 5000]
/** How long it must have been heard itself, with pauses shorter than the second, to free the jobs of others. */
const [probation, longestPause] = [20_000, 12_000]

export interface Worker {
  /** Takes no more jobs, waits for those that run until SHUTDOWN_TIMEOUT, and leaves the others to the next worker. */
  stop: () => Promise<void>
  /** Lets `stop` wait no longer. */
  hurry: () => void
}

/**
 * Does the jobs of the database as callboard_worker, and goes on doing so: graphile-worker ends, or
 * loses some of its workers, when the database goes away at the wrong moment, and is then begun anew.
 */
export function startWorker(
  config: Config,
  url: string,
  publicUrl: () => string,
  log: FastifyBaseLogger,
  recurring: Scheduled[] = schedule,
  observe?: Observe,
): Worker {
  const stopping = new AbortController()
  const { signal } = stopping
  const { task, close } = mailTask(config, publicUrl)
  const exports = exportTasks(config, url)
  const taskList = { send_mail: task, ...importTasks, ...exports.tasks, ...scheduledTasks(recurring, log) }
  const logger = jobLogger(log, signal, observe)
  const asked = new Promise<void>(resolve => {
    signal.addEventListener('abort', () => {
      resolve()
    })
  })
  const hurrying = new AbortController()
  let plain = false
  let pause = 0
  // Since when the database has heard of this process, and when last.
  let [heardSince, heardLast] = [0, 0]
  let jobs: PatientPool | undefined

  async function round() {
    const pool = (jobs = new PatientPool(url, {
      size: concurrency + 4,
      applicationName: 'callboard worker',
      plain,
    }))
    const events = new EventEmitter() as WorkerEvents
    const workers: string[] = []
    events.on('worker:create', ({ worker }) => workers.push(worker.workerId))
    let failures = 0
    const crippled = new Promise<void>(resolve => {
      events.on('worker:fatalError', () => {
        resolve()
      })
      // It looks up the tasks' numbers once, and if that fails, keeps the failure for ever.
      events.on('worker:getJob:error', () => {
        if (++failures >= concurrency) resolve()
      })
      for (const success of ['worker:getJob:empty', 'job:start'] as const)
        events.on(success, () => (failures = 0))
    })
    let timer: NodeJS.Timeout | undefined
    let stopTicking: (() => void) | undefined
    try {
      await pool.ask('select from graphile_worker.migrations limit 1')
      pool.retryUntil(signal, error => {
        log.warn({ err: error }, 'the schedule cannot be read, will be tried again')
      })
      const runner = await run({
        pgPool: pool,
        taskList,
        parsedCronItems: parseCronItems(ticksOf(recurring)),
        concurrency,
        noHandleSignals: true,
        events,
        logger,
      })
      const ended = runner.promise.catch(() => {})
      pause = 0
      const live = () => void keep(pool, workers)
      live()
      timer = setInterval(live, beat)
      stopTicking = startTicking(recurring, sql => pool.ask(sql), log, observe)
      await Promise.race([ended, crippled, asked])
      stopTicking()
      const finished = runner.stop().then(
        () => true,
        () => true,
      )
      const late = asked
        .then(() => sleep(config.SHUTDOWN_TIMEOUT * 1000, undefined, { signal: hurrying.signal, ref: false }))
        .catch(() => {})
        .then(() => false)
      if (!(await Promise.race([finished, late])))
        log.warn('jobs did not finish in time: the next worker does them')
      // Also those of a worker that could not say that it had finished.
      await within(1000, pool.ask('select graphile_worker.force_unlock_workers($1)', [workers]))
    } finally {
      clearInterval(timer)
      stopTicking?.()
      // What it sets when it finds a schema that is too new for it, or is notified of one, which anybody can do.
      if (process.exitCode === 57) process.exitCode = undefined
      await pool.close()
    }
  }

  /**
   * Tells the database that these workers live. A network that swallows this has swallowed their
   * statements, too. When it is the database that was away, all workers were silent, and the first to
   * come back must not take the others for dead.
   */
  async function keep(pool: PatientPool, workers: string[]) {
    const timer = setTimeout(() => {
      pool.cut()
    }, timeout)
    try {
      const now = Date.now()
      if (now - heardLast > longestPause) heardSince = now
      const mayFree = now - heardSince >= probation
      const released = await pool.ask('select app.keep_jobs($1, $2)', [workers, mayFree])
      if (released) log.warn({ released }, 'jobs of a worker that is gone are free again')
      heardLast = Date.now()
    } catch (error) {
      if (!signal.aborted) log.warn({ err: error }, 'the database does not hear that this worker is alive')
    } finally {
      clearTimeout(timer)
    }
  }

  async function work() {
    while (!signal.aborted) {
      try {
        await round()
      } catch (error) {
        if (signal.aborted) return
        if (isOptional(url) && /does not support SSL/.test(String(error))) plain = true
        log.warn({ err: error }, 'the jobs cannot be reached, will be tried again')
      }
      pause = Math.min(5000, pause * 2 || 250)
      await sleep(pause, undefined, { signal }).catch(() => {})
    }
  }
  const working = work()

  return {
    hurry: () => {
      hurrying.abort()
    },
    stop: async () => {
      stopping.abort()
      close()
      await within((config.SHUTDOWN_TIMEOUT + 2) * 1000, working).catch(() => jobs?.cut())
      await exports.close()
    },
  }
}
