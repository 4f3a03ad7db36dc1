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
import type { Observe } from '../monitoring/jobs.ts'
import { problems as ofShows } from '../shows/problems.ts'
import { startRecording } from './ended.ts'
import { watchClock } from './clock.ts'
import { jobLogger } from './logger.ts'
import { RetryingPool } from './pool.ts'
import { schedule, type Scheduled } from './schedule.ts'
import { fairShares, places, shares } from './shares.ts'
import { scheduledTasks, startTicking, ticksOf } from './tasks.ts'
import { within } from './within.ts'

// Jobs tell members why an export or import failed; imports write shows and finance records.
for (const problems of [ofExports, ofImports, ofShows, ofFinance]) addProblems(problems)

/** The heartbeat interval, and the timeout for its answer, in milliseconds; app.keep_jobs allows 20 seconds. */
const [heartbeat, timeout] = [5000, 5000]
/** How long it must have sent heartbeats, with pauses below the second value, before it may free the jobs of others. */
const [probation, longestPause] = [20_000, 12_000]

export interface Worker {
  /** Takes no more jobs, waits up to SHUTDOWN_TIMEOUT for running ones, and leaves the rest to the next worker. */
  stop: () => Promise<void>
  /** Makes `stop` wait no longer. */
  hurry: () => void
}

/**
 * Runs the jobs of the database as callboard_worker, and keeps doing so: graphile-worker ends, or loses
 * some of its workers, if the database goes away at the wrong moment, and is then restarted.
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
  const exports = exportTasks(config, url, shares.export)
  const taskList = { send_mail: task, ...importTasks, ...exports.tasks, ...scheduledTasks(recurring, log) }
  const logger = jobLogger(log, signal, observe)
  const stopRequested = new Promise<void>(resolve => {
    signal.addEventListener('abort', () => {
      resolve()
    })
  })
  const hurrying = new AbortController()
  let plain = false
  let pause = 0
  // Since when the database has received heartbeats of this process, and when last.
  let [heardSince, heardLast] = [0, -Infinity]
  let jobs: RetryingPool | undefined

  async function round() {
    const pool = (jobs = new RetryingPool(url, {
      size: places + 6,
      applicationName: 'callboard worker',
      plain,
    }))
    const clock = watchClock()
    const events = new EventEmitter() as WorkerEvents
    const workers: string[] = []
    events.on('worker:create', ({ worker }) => workers.push(worker.workerId))
    let failures = 0
    const crippled = new Promise<void>(resolve => {
      events.on('worker:fatalError', () => {
        resolve()
      })
      // It looks up the ids of the tasks only once, and if that fails, caches the failure forever.
      events.on('worker:getJob:error', () => {
        if (++failures >= places) resolve()
      })
      for (const success of ['worker:getJob:empty', 'job:start'] as const)
        events.on(success, () => (failures = 0))
    })
    let timer: NodeJS.Timeout | undefined
    let stopTicking: (() => void) | undefined
    let stopRecording: (() => void) | undefined
    try {
      await pool.ask('select from graphile_worker.migrations limit 1')
      pool.retryUntil(signal, error => {
        log.warn({ err: error }, 'the schedule cannot be read, will be retried')
      })
      const runner = await run({
        pgPool: pool,
        taskList,
        parsedCronItems: parseCronItems(ticksOf(recurring)),
        concurrency: places,
        forbiddenFlags: fairShares(events),
        noHandleSignals: true,
        events,
        logger,
      })
      const ended = runner.promise.catch(() => {})
      pause = 0
      // graphile-worker waits for the next minute by the clock, and hurries to make up for all that seem to have passed.
      let setClock = () => {}
      const clockSet = new Promise<void>(resolve => (setClock = resolve))
      const live = () => {
        void sendHeartbeat(pool, workers)
        const seconds = clock()
        if (seconds === 0) return
        log.error({ seconds }, 'the clock of this machine was set: the schedule begins anew')
        setClock()
      }
      live()
      timer = setInterval(live, heartbeat)
      const ask = (sql: string, values?: unknown[]) => pool.ask(sql, values)
      stopTicking = startTicking(recurring, ask, log, observe)
      if (config.ENDED_FILE !== undefined)
        stopRecording = startRecording(config.ENDED_FILE, ask, log, observe)
      await Promise.race([ended, crippled, clockSet, stopRequested])
      stopTicking()
      const finished = runner.stop().then(
        () => true,
        () => true,
      )
      const late = stopRequested
        .then(() => sleep(config.SHUTDOWN_TIMEOUT * 1000, undefined, { signal: hurrying.signal, ref: false }))
        .catch(() => {})
        .then(() => false)
      if (!(await Promise.race([finished, late])))
        log.warn('jobs did not finish in time: the next worker will run them')
      // Also those of a worker that could not report that it had finished.
      await within(1000, pool.ask('select graphile_worker.force_unlock_workers($1)', [workers]))
    } finally {
      clearInterval(timer)
      stopTicking?.()
      stopRecording?.()
      // Set when it finds a schema that is too new for it, or is notified of one, which any login can do.
      if (process.exitCode === 57) process.exitCode = undefined
      await pool.close()
    }
  }

  /**
   * Tells the database that these workers are alive. A network that drops this has dropped their
   * statements, too. If it was the database that was down, all workers were silent, and the first to
   * come back must not take the others for dead.
   */
  async function sendHeartbeat(pool: RetryingPool, workers: string[]) {
    const timer = setTimeout(() => {
      pool.cut()
    }, timeout)
    try {
      const now = performance.now()
      if (now - heardLast > longestPause) heardSince = now
      const mayFree = now - heardSince >= probation
      const released = await pool.ask('select app.keep_jobs($1, $2)', [workers, mayFree])
      if (released) log.warn({ released }, 'released the jobs of a dead worker')
      heardLast = performance.now()
    } catch (error) {
      if (!signal.aborted)
        log.warn({ err: error }, 'the heartbeat of this worker does not reach the database')
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
        log.warn({ err: error }, 'the job queue cannot be reached, will be retried')
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
