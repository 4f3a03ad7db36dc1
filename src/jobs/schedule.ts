/** Recurring work, done by a function in the database. */
export type Scheduled = {
  /** The name of the task in logs, in the queue and in metrics. */
  task: string
  /** A single statement, whose first column is logged. */
  sql: string
  /**
   * In parts, so that no transaction lasts long: the statement gets as $1 the `next` that it returned
   * before, and is run until that is null. If it reports any `failed`, the job fails at the end.
   */
  inParts?: boolean
} & (
  | {
      /** When, in crontab syntax, UTC. */
      cron: string
    }
  | {
      /** How often; a failure simply waits for the next run. It is a job only if something queues one of its name. */
      seconds: number
      /** It may take one part in this many of the time: 20, unless given. */
      share?: number
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
  // Half of the time at most, because it is each organization that has a share: see rollup_refreshing.sql.
  {
    task: 'refresh_figures',
    seconds: 2,
    share: 1,
    sql: `select app.refresh_figures('small', $1)`,
    inParts: true,
  },
  {
    task: 'refresh_large_figures',
    seconds: 2,
    share: 1,
    sql: `select app.refresh_figures('large', $1)`,
    inParts: true,
  },
  { task: 'check_figures', cron: '35 2 * * *', sql: 'select app.check_figures($1)', inParts: true },
  { task: 'purge_deleted', cron: '5 4 * * *', sql: 'select app.purge_deleted($1)', inParts: true },
]
