import { type CronItem, type JobHelpers, type TaskList, type TaskSpec } from 'graphile-worker'
import type { FastifyBaseLogger } from 'fastify'
import type { Scheduled } from './schedule.ts'

/** Ticks of a day that no worker was there for are made up for; those that wait together are one run. */
const backfillPeriod = 86_400_000

/** One at a time, and given up within a minute: the next tick begins anew. */
const specOf = ({ task }: Scheduled) =>
  ({ jobKey: task, jobKeyMode: 'preserve_run_at', queueName: task, maxAttempts: 4 }) satisfies TaskSpec

/** The ticks of graphile-worker's cron. */
export const ticksOf = (schedule: Scheduled[]): CronItem[] =>
  schedule.map(scheduled => ({
    task: scheduled.task,
    identifier: scheduled.task,
    match: scheduled.cron,
    // What comes every minute has its next tick soon enough.
    options: { ...specOf(scheduled), backfillPeriod: scheduled.cron.startsWith('*') ? 0 : backfillPeriod },
  }))

/** The tasks that run a statement and log what it returns. */
export function scheduledTasks(schedule: Scheduled[], log: FastifyBaseLogger): TaskList {
  const run = async ({ task, sql }: Scheduled, helpers: JobHelpers) => {
    const { rows } = await helpers.query<Record<string, unknown>>(sql)
    const done = Object.values(rows[0] ?? {})[0] ?? null
    // What comes every minute and finds nothing to do is not worth a line.
    log[done === '0' ? 'debug' : 'info']({ task, done }, 'job done')
  }
  return Object.fromEntries(
    schedule.map(scheduled => [scheduled.task, (_: unknown, helpers: JobHelpers) => run(scheduled, helpers)]),
  )
}
