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

/** The result of a statement that works in parts. */
interface Part {
  next: unknown
  failed: number
  /** There was nothing to do. */
  is_idle?: boolean
}

function note(log: FastifyBaseLogger, scheduled: Scheduled, done: unknown) {
  const { task, inParts, alarm = 'job done, but not all of it' } = scheduled
  // A frequent task that found nothing to do is not worth a line: work in parts says how long a part took.
  const isIdle =
    done === '0' ||
    (inParts && (('seconds' in scheduled && !('ms' in (done as Part))) || (done as Part).is_idle === true))
  const level = inParts && (done as Part).failed > 0 ? 'error' : isIdle ? 'debug' : 'info'
  log[level]({ task, done }, level === 'error' ? alarm : 'job done')
}

/** Runs a statement with values and returns the first column of its first row. */
type Ask = (sql: string, values?: unknown[]) => Promise<unknown>

/** Runs the statement of a task, all parts of it, and logs what it returns. */
async function perform(scheduled: Scheduled, ask: Ask, log: FastifyBaseLogger, signal?: AbortSignal) {
  const { sql, inParts, alarm } = scheduled
  let next: string | null = null
  let failed = 0
  do {
    // A retry starts from the beginning: what was done is no longer there.
    signal?.throwIfAborted()
    const done = await ask(sql, inParts ? [next] : undefined)
    note(log, scheduled, done)
    if (!inParts) return
    const part = done as Part
    next = part.next === null ? null : JSON.stringify(part.next)
    failed += part.failed
  } while (next !== null)
  if (failed > 0) throw new Error(alarm ?? `${failed} failed: the log lines of this job say which and why`)
}

/** The tasks that run a statement. */
export const scheduledTasks = (schedule: Scheduled[], log: FastifyBaseLogger): TaskList =>
  Object.fromEntries(
    schedule.map(scheduled => [
      scheduled.task,
      async (_: unknown, helpers: JobHelpers) => {
        const ask: Ask = async (sql, values) => {
          const { rows } = await helpers.query<Record<string, unknown>>(sql, values)
          return Object.values(rows[0] ?? {})[0] ?? null
        }
        await perform(scheduled, ask, log, helpers.abortSignal)
      },
    ]),
  )

/** Unless a task has its own share, it may take one part in this many of the time. */
const usualShare = 20

/**
 * Runs what is due every few seconds, or less often if it takes long, until the returned function is called.
 * Not as jobs: those would write to the queue all the time, whether or not there is something to do.
 */
export function startTicking(
  schedule: Scheduled[],
  ask: Ask,
  log: FastifyBaseLogger,
  observe?: Observe,
): () => void {
  const stopped = new AbortController()
  async function tick(scheduled: Extract<Scheduled, { seconds: number }>) {
    const { task, seconds, share = usualShare } = scheduled
    let hasFailed = false
    let took = 0
    for (;;) {
      await sleep(Math.max(seconds * 1000, took * share), undefined, { signal: stopped.signal })
      const began = performance.now()
      try {
        await perform(scheduled, ask, log, stopped.signal)
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
