import type { CronItem, JobHelpers, TaskList, TaskSpec } from 'graphile-worker'
import type { FastifyBaseLogger } from 'fastify'
import type { Scheduled } from './schedule.ts'

/** Ticks of a day that no worker was there for are made up for; those that wait together are one run. */
const backfillPeriod = 86_400_000

/** One at a time, and given up within a minute: the next tick begins anew. */
const specOf = (task: string) =>
  ({ jobKey: task, jobKeyMode: 'preserve_run_at', queueName: task, maxAttempts: 4 }) satisfies TaskSpec

/** The ticks of graphile-worker's cron. */
export const ticksOf = (schedule: Scheduled[]): CronItem[] =>
  schedule.flatMap(scheduled => {
    if (!('cron' in scheduled)) return []
    const { task, cron } = scheduled
    // What comes every minute has its next tick soon enough.
    const options = { ...specOf(task), backfillPeriod: cron.startsWith('*') ? 0 : backfillPeriod }
    return [{ task, identifier: task, match: cron, options }]
  })

function note(log: FastifyBaseLogger, task: string, done: unknown) {
  // What comes every minute and finds nothing to do is not worth a line.
  log[done === '0' ? 'debug' : 'info']({ task, done }, 'job done')
}

/** The tasks that run a statement and log what it returns. */
export function scheduledTasks(schedule: Scheduled[], log: FastifyBaseLogger): TaskList {
  const run = async ({ task, sql }: Scheduled, helpers: JobHelpers) => {
    const { rows } = await helpers.query<Record<string, unknown>>(sql)
    note(log, task, Object.values(rows[0] ?? {})[0] ?? null)
  }
  return Object.fromEntries(
    schedule.flatMap(scheduled =>
      'cron' in scheduled
        ? [[scheduled.task, (_: unknown, helpers: JobHelpers) => run(scheduled, helpers)]]
        : [],
    ),
  )
}

/**
 * Does what comes every few seconds, each one never twice at once, until what it returns is called. No
 * jobs: those would write to the queue all the time, whether there is something to do or not.
 */
export function startTicking(
  schedule: Scheduled[],
  ask: (sql: string) => Promise<unknown>,
  log: FastifyBaseLogger,
): () => void {
  const timers = schedule.flatMap(scheduled => {
    if (!('seconds' in scheduled)) return []
    const { task, sql, seconds } = scheduled
    let isRunning = false
    let hasFailed = false
    const run = async () => {
      if (isRunning) return
      isRunning = true
      try {
        note(log, task, await ask(sql))
        hasFailed = false
      } catch (error) {
        log[hasFailed ? 'debug' : 'warn']({ task, err: error }, 'job failed, will be tried again')
        hasFailed = true
      }
      isRunning = false
    }
    return [setInterval(() => void run(), seconds * 1000)]
  })
  return () => {
    timers.forEach(clearInterval)
  }
}
