import type { FastifyBaseLogger } from 'fastify'
import { type Job, Logger } from 'graphile-worker'
import type { Observe } from '../monitoring/jobs.ts'

interface Meta {
  job?: Job
  error?: unknown
  failure?: boolean
  success?: boolean
  duration?: number
}

/**
 * Sends graphile-worker's messages to our log and to /metrics: for a job its task, id and attempt, never the
 * payload, which it would add. Only a job that is given up is an error; everything else recovers by itself.
 * Failures during shutdown are not logged.
 */
export function jobLogger(log: FastifyBaseLogger, signal: AbortSignal, observe?: Observe): Logger {
  // The error that ends a worker goes there as well, with everything the driver has attached to it.
  console.trace = () => {}
  return new Logger(() => (level: string, message, meta) => {
    const { job, error, failure, success, duration = 0 } = (meta ?? {}) as Meta
    if (job && (failure || success)) {
      const isLast = job.attempts >= job.max_attempts
      observe?.(job.task_identifier, success ? 'done' : isLast ? 'given_up' : 'failed', duration)
    }
    if (signal.aborted) return
    const err = error instanceof Error ? { err: error } : {}
    if (job && (failure || success)) {
      const { id, task_identifier: task, attempts, max_attempts } = job
      const about = { task, job_id: id, attempts, ms: Math.round(duration), ...err }
      if (success) log.debug(about, 'job done')
      else if (attempts < max_attempts) log.warn(about, 'job failed, will be retried')
      else log.error(about, 'job given up')
    } else if (level === 'error' || level === 'warning') log.warn(err, message)
    else log.debug(message)
  })
}
