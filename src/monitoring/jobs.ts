import { Histogram, type Registry } from 'prom-client'

/** Records an attempt at a task and its duration. */
export type Observe = (task: string, outcome: 'done' | 'failed' | 'given_up', milliseconds: number) => void

/** Attempts at jobs, and how long they took. The tasks are those of src/jobs, so their number is bounded. */
export function jobMetrics(registry: Registry): Observe {
  const durations = new Histogram({
    name: 'callboard_job_duration_seconds',
    help: 'Duration of an attempt at a job, by task and outcome: done, failed and to be retried, or given up',
    labelNames: ['task', 'outcome'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers: [registry],
  })
  return (task, outcome, milliseconds) => {
    durations.observe({ task, outcome }, milliseconds / 1000)
  }
}
