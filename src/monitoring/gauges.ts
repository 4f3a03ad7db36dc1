import type { Config } from '../config.ts'
import { createPool } from '../database/pool.ts'
import type { DatabaseGauge } from './registry.ts'

/** What app.job_health, app.figure_health and app.server_health report (db/schema), by its name in /metrics. */
const helps: Record<string, string> = {
  jobs_waiting: 'Jobs to run, now or later, including retries',
  jobs_failed: 'Jobs that were given up',
  jobs_oldest_waiting_seconds: 'How long the oldest job has been due',
  sealer_lag_seconds: 'How far the sealing of events lags behind; absent before the first seal',
  figures_lag_seconds:
    'How long ago the worker knew of all changes that affect figures; absent before its first look',
  figures_oldest_change_seconds: 'How long the oldest change has been waiting to be in the figures',
  figures_failed: 'Figures of organizations that could not be computed',
  figures_differing:
    'Figures of organizations that differed from their definition at the last check; must be 0',
  oldest_transaction_seconds:
    'How long the oldest transaction has been open; it holds back VACUUM and what is written to ENDED_FILE',
  event_partitions_ahead: 'Monthly partitions of the event log beyond this month: 3',
  size_bytes: 'Size of the database',
  slots_kept_bytes: 'Write-ahead log that the replication slot furthest behind keeps on the disk',
  standbys: 'Standbys that are connected',
  replication_lag_bytes: 'Write-ahead log that the slowest standby has not replayed; absent without one',
  replication_lag_seconds: 'How far the slowest standby is behind; absent without one',
  bi_next_end_days: 'Days until the next BI login ends; absent without one',
}

/** Queries as callboard_worker: the API's own login must not see across organizations. */
export function connectGauges(config: Config, workerUrl: string) {
  const pool = createPool({
    url: workerUrl,
    size: 1,
    // A reading that takes longer would be too late for Prometheus.
    deadline: Math.min(config.DATABASE_DEADLINE, 2) * 1000,
    prepare: false,
    applicationName: 'callboard metrics',
  })
  return {
    read: async (): Promise<readonly DatabaseGauge[]> => {
      const [health = {}] = await pool.use(
        sql => sql<Record<string, number | null>[]>`
          select waiting::float8 as jobs_waiting, failed::float8 as jobs_failed,
            oldest_waiting_seconds as jobs_oldest_waiting_seconds, sealer_lag_seconds,
            figures_lag_seconds, figures_oldest_change_seconds, figures_failed::float8, figures_differing::float8,
            oldest_transaction_seconds, event_partitions_ahead::float8, size_bytes, slots_kept_bytes,
            standbys::float8, replication_lag_bytes, replication_lag_seconds, bi_next_end_days
          from app.job_health(), app.figure_health(), app.server_health()`,
      )
      return Object.entries(health).flatMap(([name, value]) =>
        value === null ? [] : [{ name, help: helps[name] ?? '', value }],
      )
    },
    close: () => pool.close(),
  }
}
