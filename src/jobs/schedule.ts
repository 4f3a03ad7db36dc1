/** Recurring work, done by a function in the database. */
export type Scheduled = {
  /** The name of the task in logs, in the queue and in metrics. */
  task: string
  /** A single statement, whose first column is logged. */
  sql: string
} & (
  | {
      /** When, in crontab syntax, UTC. */
      cron: string
      /**
       * In parts, so that no transaction lasts long: the statement gets as $1 the `next` that it returned
       * before, and is run until that is null. If it reports any `failed`, the job fails at the end.
       */
      inParts?: boolean
    }
  | {
      /** How often; this is not a job, and a failure simply waits for the next run. */
      seconds: number
    }
)

/** All scheduled work. To add to it, add a line here and a grant to callboard_worker. */
export const schedule: Scheduled[] = [
  { task: 'reconcile_bi_logins', seconds: 5, sql: 'select app.reconcile_bi_logins()' },
  { task: 'seal_new_events', seconds: 2, sql: `select app.seal_events('10 seconds')` },
  // Events that became visible later than that.
  { task: 'seal_events', cron: '* * * * *', sql: 'select app.seal_events()' },
  // Also queues the job that sweeps the files.
  { task: 'expire_exports', cron: '7,27,47 * * * *', sql: 'select app.expire_exports()' },
  { task: 'purge_expired', cron: '17 * * * *', sql: 'select app.purge_expired()' },
  // In this order: only sealed events are purged, and only empty months are dropped.
  { task: 'seal_missed_events', cron: '5 3 * * *', sql: `select app.seal_events('10 years')` },
  { task: 'purge_events', cron: '25 3 * * *', sql: 'select app.purge_events()' },
  {
    task: 'maintain_event_partitions',
    cron: '45 3 * * *',
    sql: 'select jsonb_object_agg(partition, done) from app.maintain_event_partitions()',
  },
  { task: 'refresh_rollups', cron: '* * * * *', sql: 'select app.refresh_rollups($1)', inParts: true },
  { task: 'purge_deleted', cron: '5 4 * * *', sql: 'select app.purge_deleted($1)', inParts: true },
]
