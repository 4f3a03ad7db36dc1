/**
 * Keeps requests away from a server that has failed them.
 *
 *   closed      requests go there
 *   open        none do, for `pause` milliseconds after each failure
 *   half-open   the pause is over: requests go there again, and the first to succeed closes it, as the first to
 *               fail opens it again
 */
export class CircuitBreaker {
  readonly #pause: number
  #hasFailed = false
  #openUntil = 0

  constructor(pause: number) {
    this.#pause = pause
  }

  get state(): 'closed' | 'open' | 'half-open' {
    if (Date.now() < this.#openUntil) return 'open'
    return this.#hasFailed ? 'half-open' : 'closed'
  }

  /** Notes a success; whether it is the first since a failure. */
  succeed(): boolean {
    const isNews = this.#hasFailed
    this.#hasFailed = false
    return isNews
  }

  /** Notes a failure; whether it is the first since a success. */
  fail(): boolean {
    const isNews = !this.#hasFailed
    this.#hasFailed = true
    this.hold()
    return isNews
  }

  /** Lets nobody through for a pause, without a failure. */
  hold() {
    this.#openUntil = Date.now() + this.#pause
  }

  /** Ends a pause. */
  release() {
    this.#openUntil = 0
  }
}
