// What can go wrong with the database itself. http/problem.ts decides what a client is told.

/** An error that our own code throws deliberately: the connection it passes through is still usable. */
export class Deliberate extends Error {}

/** Why there was no answer: no connection was free, time ran out, the connection was lost, the database is a copy that is not to be served, or the pool is closed. */
export type Reason = 'busy' | 'late' | 'lost' | 'restored' | 'closed'

const messages: Record<Reason, string> = {
  busy: 'All database connections are busy: try again shortly.',
  late: 'The database did not answer in time: try again shortly.',
  lost: 'The database cannot be reached: try again shortly.',
  restored: 'The database has been restored and is not served yet: try again later.',
  closed: 'The server is stopping.',
}

/** The database gave no answer. */
export class Unavailable extends Deliberate {
  override name = 'Unavailable'
  readonly reason: Reason
  constructor(reason: Reason, cause?: unknown) {
    super(messages[reason], { cause })
    this.reason = reason
  }
}

/** The schema changed during a transaction, which has been rolled back and may be run again. */
export class Stale extends Deliberate {
  override name = 'Stale'
  readonly code = '26000'
  constructor() {
    super('The database is being changed: try again shortly.')
  }
}
