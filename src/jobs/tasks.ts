import { setTimeout as sleep } from 'node:timers/promises'
import type { CronItem, JobHelpers, TaskList, TaskSpec } from 'graphile-worker'
import type { FastifyBaseLogger } from 'fastify'
import type { Observe } from '../monitoring/jobs.ts'
import type { Scheduled } from './schedule.ts'

/** Ticks of the past day that no worker ran are made up for; those pending together become one run. */
const backfillPeriod = 86_400_000

/** One at a time, and given up within a minute: the next tick starts afresh. */
const specOf = (task: string) =>
  ({ jobKey: task, jobKeyMode: 'preserve_run_at', queueName: task, maxAttempts: 4 }) satisfies TaskSpec

/** The ticks of graphile-worker's cron. */
export const ticksOf = (schedule: Scheduled[]): CronItem[] =>
  schedule.flatMap(scheduled => {
    if (!('cron' in scheduled)) return []
    const { task, cron } = scheduled
    // A task that runs every minute has its next tick soon enough.
    const options = { ...specOf(task), backfillPeriod: cron.startsWith('*') ? 0 : backfillPeriod }
    return [{ task, identifier: task, match: cron, options }]
  })

function note(log: FastifyBaseLogger, task: string, done: unknown) {
  // A frequent task that found nothing to do is not worth a line.
  log[done === '0' ? 'debug' : 'info']({ task, done }, 'job done')
}

/** The result of a statement that works in parts. */
interface Part {
  next: unknown
  failed: number
}

/** The tasks that run a statement and log what it returns. */
export function scheduledTasks(schedule: Scheduled[], log: FastifyBaseLogger): TaskList {
  const ask = async ({ task, sql }: Scheduled, helpers: JobHelpers, values?: unknown[]) => {
    const { rows } = await helpers.query<Record<string, unknown>>(sql, values)
    const done = Object.values(rows[0] ?? {})[0] ?? null
    note(log, task, done)
    return done
  }
  const askForParts = async (scheduled: Scheduled, helpers: JobHelpers) => {
    let next: string | null = null
    let failed = 0
    do {
      // A retry starts from the beginning: what was done is no longer there.
      helpers.abortSignal?.throwIfAborted()
      const part = (await ask(scheduled, helpers, [next])) as Part
      next = part.next === null ? null : JSON.stringify(part.next)
      failed += part.failed
    } while (next !== null)
    if (failed > 0) throw new Error(`${failed} failed: the log lines of this job say which and why`)
  }
  const run = async (scheduled: Scheduled, helpers: JobHelpers) => {
    await ('inParts' in scheduled && scheduled.inParts
      ? askForParts(scheduled, helpers)
      : ask(scheduled, helpers))
  }
  return Object.fromEntries(
    schedule.flatMap(scheduled =>
      'cron' in scheduled
        ? [[scheduled.task, (_: unknown, helpers: JobHelpers) => run(scheduled, helpers)]]
        : [],
    ),
  )
}

/** A statement that runs every few seconds may take one part in this many of the time. */
const share = 20

/**
 * Runs what is due every few seconds, or less often if it takes long, until the returned function is called.
 * Not as jobs: those would write to the queue all the time, whether or not there is something to do.
 */
export function startTicking(
  schedule: Scheduled[],
  ask: (sql: string) => Promise<unknown>,
  log: FastifyBaseLogger,
  observe?: Observe,
): () => void {
  const stopped = new AbortController()
  async function tick({ task, sql, seconds }: Extract<Scheduled, { seconds: number }>) {
    let hasFailed = false
    let took = 0
    for (;;) {
      await sleep(Math.max(seconds * 1000, took * share), undefined, { signal: stopped.signal })
      const began = performance.now()
      try {
        note(log, task, await ask(sql))
        hasFailed = false
      } catch (error) {
        if (stopped.signal.aborted) return
        log[hasFailed ? 'debug' : 'warn']({ task, err: error }, 'job failed, will be retried')
        hasFailed = true
      }
      took = performance.now() - began
      observe?.(task, hasFailed ? 'failed' : 'done', took)
    }
  }
  for (const scheduled of schedule) if ('seconds' in scheduled) void tick(scheduled).catch(() => {})
  return () => {
    stopped.abort()
  }
}
