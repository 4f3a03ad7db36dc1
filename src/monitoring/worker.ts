import { collectDefaultMetrics, Registry } from 'prom-client'
import { jobMetrics } from './jobs.ts'
import { driftGauge } from './policies.ts'
import { type DatabaseGauge, databaseGauges, type Metrics } from './registry.ts'

/** The metrics of a process that has no API. */
export function createWorkerMetrics(
  gauges: () => Promise<readonly DatabaseGauge[]>,
): Pick<Metrics, 'job' | 'drift' | 'text' | 'contentType'> {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const readGauges = databaseGauges(registry, gauges)
  return {
    job: jobMetrics(registry),
    drift: driftGauge(registry),
    contentType: registry.contentType,
    text: async () => {
      await readGauges()
      return registry.metrics()
    },
  }
}
