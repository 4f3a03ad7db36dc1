/** Something that is done again and again, by a function of the database. */
export interface Scheduled {
  /** The name of the task in logs and in the queue. */
  task: string
  /** When, as in a crontab, in UTC. */
  cron: string
  /** One statement, whose first column is logged. */
  sql: string
  /**
   * Done in parts, so that no transaction lasts long: the statement takes as $1 the `next` of what it has
   * returned before, and is run until that is null. What it says to have `failed` fails the job at its end.
   */
  inParts?: boolean
}

/** All that is done without being asked for. A line here and a grant to callboard_worker add to it. */
export const schedule: Scheduled[] = [
  { task: 'seal_events', cron: '* * * * *', sql: 'select app.seal_events()' },
  { task: 'purge_expired', cron: '17 * * * *', sql: 'select app.purge_expired()' },
  // In this order: only what is sealed is purged, and only a month that is empty is dropped.
  { task: 'seal_missed_events', cron: '5 3 * * *', sql: `select app.seal_events('10 years')` },
  { task: 'purge_events', cron: '25 3 * * *', sql: 'select app.purge_events()' },
  {
    task: 'maintain_event_partitions',
    cron: '45 3 * * *',
    sql: 'select jsonb_object_agg(partition, done) from app.maintain_event_partitions()',
  },
  { task: 'purge_deleted', cron: '5 4 * * *', sql: 'select app.purge_deleted($1)', inParts: true },
]
