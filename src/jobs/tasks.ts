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

/** What a statement returns that does its work in parts. */
interface Part {
  next: unknown
  failed: number
}

/** The tasks that run a statement and log what it returns. */
export function scheduledTasks(schedule: Scheduled[], log: FastifyBaseLogger): TaskList {
  const ask = async ({ task, sql }: Scheduled, helpers: JobHelpers, values?: unknown[]) => {
    const { rows } = await helpers.query<Record<string, unknown>>(sql, values)
    const done = Object.values(rows[0] ?? {})[0] ?? null
    // What comes every minute and finds nothing to do is not worth a line.
    log[done === '0' ? 'debug' : 'info']({ task, done }, 'job done')
    return done
  }
  const askForParts = async (scheduled: Scheduled, helpers: JobHelpers) => {
    let next: string | null = null
    let failed = 0
    do {
      // Tried again, it begins anew: what was done is not there any more.
      helpers.abortSignal?.throwIfAborted()
      const part = (await ask(scheduled, helpers, [next])) as Part
      next = part.next === null ? null : JSON.stringify(part.next)
      failed += part.failed
    } while (next !== null)
    if (failed > 0) throw new Error(`${failed} failed: the log lines of this job say which, and why`)
  }
  const run = async (scheduled: Scheduled, helpers: JobHelpers) => {
    await (scheduled.inParts === true ? askForParts(scheduled, helpers) : ask(scheduled, helpers))
  }
  return Object.fromEntries(
    schedule.map(scheduled => [scheduled.task, (_: unknown, helpers: JobHelpers) => run(scheduled, helpers)]),
  )
}
