import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Pool } from '../database/pool.ts'
import { jobMetrics, type Observe } from './jobs.ts'
import { organizationMetrics, type OrganizationMetrics } from './organizations.ts'
import { driftGauge, type ShowDrift } from './policies.ts'

/** A gauge read from the database: see gauges.ts. */
export interface DatabaseGauge {
  name: string
  help: string
  value: number
}

/** All metrics; `text` is what Prometheus reads. */
export interface Metrics extends OrganizationMetrics {
  requests: Histogram<'operation' | 'method' | 'status'>
  replicaReads: Counter<'outcome'>
  replicaAge: Gauge
  job: Observe
  drift: ShowDrift
  text: () => Promise<string>
  contentType: string
}

/** The metrics of one process. `gauges` queries the database on each reading. */
export function createMetrics(
  pool: Pool,
  gauges?: () => Promise<readonly DatabaseGauge[]>,
  replicaPool?: Pool,
): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const requests = new Histogram({
    name: 'callboard_http_request_duration_seconds',
    help: 'Time from the arrival of a request to the end of its answer',
    labelNames: ['operation', 'method', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  })
  poolGauges(registers, 'callboard_pool', 'the database', pool)
  const ofReplica = replicaPool ? registers : []
  if (replicaPool) poolGauges(registers, 'callboard_replica_pool', 'the replica', replicaPool)
  const replicaReads = new Counter({
    name: 'callboard_replica_reads_total',
    help: 'Reads that the replica could serve, by outcome: served, or why the primary was used',
    labelNames: ['outcome'],
    registers: ofReplica,
  })
  const replicaAge = new Gauge({
    name: 'callboard_replica_data_age_seconds',
    help: 'How far behind the replica was at the last read that it served',
    registers: ofReplica,
  })

  const readGauges = gauges && databaseGauges(registry, gauges)

  return {
    requests,
    ...organizationMetrics(registry),
    replicaReads,
    replicaAge,
    job: jobMetrics(registry),
    drift: driftGauge(registry),
    contentType: registry.contentType,
    text: async () => {
      await readGauges?.()
      return registry.metrics()
    },
  }
}

function poolGauges(registers: Registry[], prefix: string, of: string, pool: Pool) {
  new Gauge({
    name: `${prefix}_connections`,
    help: `Connections to ${of} that may be open, are open, and are in use`,
    labelNames: ['state'],
    registers,
    collect() {
      const { size, open, busy } = pool.stats()
      for (const [state, count] of Object.entries({ size, open, busy })) this.set({ state }, count)
    },
  })
  new Gauge({
    name: `${prefix}_waiting`,
    help: `Transactions waiting for a connection to ${of}`,
    registers,
    collect() {
      this.set(pool.stats().waiting)
    },
  })
}

/** Adds the database's gauges to the registry; if it does not answer there are none, rather than stale ones. */
export function databaseGauges(registry: Registry, ask: () => Promise<readonly DatabaseGauge[]>) {
  const shown: string[] = []
  return async () => {
    const rows = await ask().catch(() => undefined)
    for (const name of shown.splice(0)) registry.removeSingleMetric(name)
    const up = {
      name: 'gauges_up',
      help: 'Whether the gauges could be read from the database',
      value: rows ? 1 : 0,
    }
    for (const { name: own, help, value } of [...(rows ?? []), up]) {
      const name = `callboard_database_${own}`
      new Gauge({ name, help, registers: [registry] }).set(value)
      shown.push(name)
    }
  }
}
