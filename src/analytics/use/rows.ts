/** Calls of one operation by one organization, as in app.api_use (db/schema/analytics/use.sql). */
export interface ApiUse {
  calls: number
  errors: number
  server_errors: number
  total_us: number
  slowest_us: number
  within_10_ms: number
  within_100_ms: number
  within_1_s: number
  bytes_in: number
  bytes_out: number
}
export const newApiUse = (): ApiUse => ({
  calls: 0,
  errors: 0,
  server_errors: 0,
  total_us: 0,
  slowest_us: 0,
  within_10_ms: 0,
  within_100_ms: 0,
  within_1_s: 0,
  bytes_in: 0,
  bytes_out: 0,
})

/** As in app.integration_use. */
export interface IntegrationUse {
  kind: string
  name: string
  calls: number
  errors: number
  rows: number
  bytes: number
}

/** Rows by organization and name: two lookups with existing strings cost less than concatenating them. */
export class Rows<Row extends object> {
  readonly #rows = new Map<string, Map<string, Row>>()
  size = 0

  /** The row; created if it is missing and there is room. */
  of(organization: string, name: string, make: () => Row, isFull: boolean): Row | undefined {
    let own = this.#rows.get(organization)
    const found = own?.get(name)
    if (found !== undefined || isFull) return found
    if (own === undefined) this.#rows.set(organization, (own = new Map<string, Row>()))
    const made = make()
    own.set(name, made)
    this.size += 1
    return made
  }

  all(): [organization: string, name: string, row: Row][] {
    return [...this.#rows].flatMap(([organization, own]) =>
      [...own].map(([name, row]): [string, string, Row] => [organization, name, row]),
    )
  }
}
