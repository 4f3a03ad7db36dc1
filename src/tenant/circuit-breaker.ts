/**
 * Keeps requests away from a server that has failed them.
 *
 *   closed      requests go there
 *   open        none do, for `pause` milliseconds after each failure
 *   half-open   the pause is over: requests go there again; the first to succeed closes it, the first to
 *               fail reopens it
 */
export class CircuitBreaker {
  readonly #pause: number
  #hasFailed = false
  #openUntil = 0

  constructor(pause: number) {
    this.#pause = pause
  }

  get state(): 'closed' | 'open' | 'half-open' {
    if (performance.now() < this.#openUntil) return 'open'
    return this.#hasFailed ? 'half-open' : 'closed'
  }

  /** Records a success; returns whether it is the first since a failure. */
  succeed(): boolean {
    const isFirst = this.#hasFailed
    this.#hasFailed = false
    return isFirst
  }

  /** Records a failure; returns whether it is the first since a success. */
  fail(): boolean {
    const isFirst = !this.#hasFailed
    this.#hasFailed = true
    this.hold()
    return isFirst
  }

  /** Lets nothing through for a pause, without a failure. */
  hold() {
    this.#openUntil = performance.now() + this.#pause
  }

  /** Ends a pause. */
  release() {
    this.#openUntil = 0
  }
}
