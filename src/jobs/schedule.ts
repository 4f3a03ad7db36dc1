/** Something that is done again and again, by a function of the database. */
export type Scheduled = {
  /** The name of the task in logs, in the queue and in metrics. */
  task: string
  /** One statement, whose first column is logged. */
  sql: string
} & (
  | {
      /** When, as in a crontab, in UTC. */
      cron: string
      /**
       * Done in parts, so that no transaction lasts long: the statement takes as $1 the `next` of what it has
       * returned before, and is run until that is null. What it says to have `failed` fails the job at its end.
       */
      inParts?: boolean
    }
  | {
      /** How often; that is no job, and a failure just waits for the next time. */
      seconds: number
    }
)

/** All that is done without being asked for. A line here and a grant to callboard_worker add to it. */
export const schedule: Scheduled[] = [
  { task: 'reconcile_bi_logins', seconds: 5, sql: 'select app.reconcile_bi_logins()' },
  { task: 'seal_new_events', seconds: 2, sql: `select app.seal_events('10 seconds')` },
  // What turned up later than that.
  { task: 'seal_events', cron: '* * * * *', sql: 'select app.seal_events()' },
  // Which also has the files swept, by a job of its own.
  { task: 'expire_exports', cron: '7,27,47 * * * *', sql: 'select app.expire_exports()' },
  { task: 'purge_expired', cron: '17 * * * *', sql: 'select app.purge_expired()' },
  // In this order: only what is sealed is purged, and only a month that is empty is dropped.
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
