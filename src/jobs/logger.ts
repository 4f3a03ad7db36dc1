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
 * What graphile-worker says, as lines of our log: of a job its task, id and attempt, and never the
 * payload, which it would add; and to /metrics. Only a job that is given up is an error; the rest mends itself. Of
 * what it stumbles over while it is being stopped it says nothing.
 */
export function jobLogger(log: FastifyBaseLogger, signal: AbortSignal, observe?: Observe): Logger {
  // The error that ends a worker goes there as well, with all that the driver has hung on it.
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
      else if (attempts < max_attempts) log.warn(about, 'job failed, will be tried again')
      else log.error(about, 'job given up')
    } else if (level === 'error' || level === 'warning') log.warn(err, message)
    else log.debug(message)
  })
}
