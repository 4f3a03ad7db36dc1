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
  /** What it means if it reports any `failed`, for the log. */
  alarm?: string
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
  {
    task: 'take_back_times',
    seconds: 10,
    sql: 'select app.take_back_times($1)',
    inParts: true,
    alarm: 'stored times were later than now and have been taken back: the clock of the database was wrong',
  },
  {
    task: 'check_passwords',
    seconds: 20,
    sql: 'select app.check_passwords($1)',
    inParts: true,
    alarm: 'the password of a login was changed, and nobody has accepted that: see docs/operate/rotate.md',
  },
  { task: 'reconcile_bi_logins', seconds: 5, sql: 'select app.reconcile_bi_logins()' },
  {
    task: 'seal_new_events',
    seconds: 1,
    share: 1,
    sql: `select app.seal_part('10 seconds', $1)`,
    inParts: true,
  },
  // Events that became visible later than that.
  { task: 'seal_events', cron: '* * * * *', sql: `select app.seal_part('1 hour', $1)`, inParts: true },
  // Also queues the job that sweeps the files.
  {
    task: 'expire_exports',
    cron: '7,27,47 * * * *',
    sql: 'select app.expire_exports($1)',
    inParts: true,
  },
  { task: 'purge_expired', cron: '17 * * * *', sql: 'select app.purge_expired($1)', inParts: true },
  // In this order: only sealed events are purged, and only empty months are dropped.
  {
    task: 'seal_missed_events',
    cron: '5 3 * * *',
    sql: `select app.seal_part('1000 years', $1)`,
    inParts: true,
  },
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
  { task: 'reconcile_shows', cron: '22 * * * *', sql: 'select app.reconcile_shows($1)', inParts: true },
  // Each hour, because the day begins at another time in each time zone; only those whose day has begun have something to do.
  {
    task: 'take_pipeline_snapshots',
    cron: '2 * * * *',
    sql: 'select app.take_pipeline_snapshots($1)',
    inParts: true,
  },
  { task: 'check_figures', cron: '35 2 * * *', sql: 'select app.check_figures($1)', inParts: true },
  {
    task: 'find_contradictions',
    cron: '15 5 * * *',
    sql: 'select app.find_contradictions($1)',
    inParts: true,
    alarm: 'shows contradict their tiers, deals, settlements or books: see docs/operate/trouble.md',
  },
  { task: 'purge_deleted', cron: '5 4 * * *', sql: 'select app.purge_deleted($1)', inParts: true },
]
