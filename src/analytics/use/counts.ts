import { randomUUID } from 'node:crypto'
import { type ApiUse, type IntegrationUse, newApiUse, Rows } from './rows.ts'

/** A request that has been answered. */
export interface Call {
  status: number
  milliseconds: number
  bytesIn: number
  bytesOut: number
}

/** Counts that are added to the database atomically: the input of app.add_use. */
export interface Batch {
  id: string
  api: object[]
  integrations: object[]
}

export interface Counts {
  /** Counts a request by a member of an organization. */
  call: (organization: string, operation: string, call: Call) => void
  /** Counts the use of an integration, once. */
  integration: (
    organization: string,
    kind: 'export' | 'calendar_feed' | 'bi' | 'webhook',
    name: string,
    more?: { errors?: number; rows?: number; bytes?: number },
  ) => void
  /** Adds everything counted so far to the database. Rejects if it cannot, without losing anything. */
  flush: () => Promise<void>
  /** How many rows are waiting for that, and how many calls were not counted because too many rows were waiting. */
  stats: () => { waiting: number; lost: number }
}

/** Organizations times operations, while the database is down: about 20 MB. */
const maxRows = 100_000
/** Rows per statement, so that each takes a fraction of a second. */
const batchSize = 2000

interface Day {
  number: number
  api: Rows<ApiUse>
  integrations: Rows<IntegrationUse>
}
const millisecondsOfDay = 86_400_000
const presentDay = () => Math.floor(Date.now() / millisecondsOfDay)

function* batchesOf({ number, api, integrations }: Day): Generator<Batch> {
  const day = new Date(number * millisecondsOfDay).toISOString().slice(0, 10)
  const calls = api
    .all()
    .map(([organization_id, operation, row]) => ({ organization_id, day, operation, ...row }))
  const uses = integrations.all().map(([organization_id, , row]) => ({ organization_id, day, ...row }))
  for (let at = 0; at < calls.length || at < uses.length; at += batchSize) {
    const part = <T>(rows: T[]) => rows.slice(at, at + batchSize)
    yield { id: randomUUID(), api: part(calls), integrations: part(uses) }
  }
}

/**
 * Counts in memory. `write` adds a batch to the database. A batch never changes and keeps its id, so if it is
 * unknown whether its COMMIT succeeded, it is sent again, and counts once.
 */
export function createCounts(write: (batch: Batch) => Promise<unknown>, today = presentDay): Counts {
  const newDay = (): Day => ({ number: today(), api: new Rows(), integrations: new Rows() })
  let day = newDay()
  const waiting: Batch[] = []
  let waitingRows = 0
  let lost = 0
  let flushed: Promise<void> = Promise.resolve()

  const rowsOf = ({ api, integrations }: Day) => api.size + integrations.size
  function close() {
    waitingRows += rowsOf(day)
    waiting.push(...batchesOf(day))
    day = newDay()
  }
  function present(): Day {
    if (today() !== day.number) close()
    return day
  }
  const isFull = () => waitingRows + rowsOf(day) >= maxRows
  async function writeWaiting() {
    for (let first = waiting[0]; first; first = waiting[0]) {
      await write(first)
      waiting.shift()
      waitingRows -= first.api.length + first.integrations.length
    }
  }
  async function writeAll() {
    // First what could not be written before, and only then what has come since: while the database is
    // down, the latter keeps counting in the existing rows.
    await writeWaiting()
    close()
    await writeWaiting()
  }

  return {
    call(organization, operation, { status, milliseconds, bytesIn, bytesOut }) {
      const row = present().api.of(organization, operation, newApiUse, isFull())
      if (row === undefined) {
        lost += 1
        return
      }
      const microseconds = Math.round(milliseconds * 1000)
      row.calls += 1
      if (status >= 400) row.errors += 1
      if (status >= 500) row.server_errors += 1
      row.total_us += microseconds
      if (microseconds > row.slowest_us) row.slowest_us = microseconds
      if (milliseconds <= 10) row.within_10_ms += 1
      if (milliseconds <= 100) row.within_100_ms += 1
      if (milliseconds <= 1000) row.within_1_s += 1
      row.bytes_in += bytesIn
      row.bytes_out += bytesOut
    },
    integration(organization, kind, name, { errors = 0, rows = 0, bytes = 0 } = {}) {
      const make = () => ({ kind, name, calls: 0, errors: 0, rows: 0, bytes: 0 })
      const row = present().integrations.of(organization, `${kind} ${name}`, make, isFull())
      if (row === undefined) {
        lost += 1
        return
      }
      row.calls += 1
      row.errors += errors
      row.rows += rows
      row.bytes += bytes
    },
    flush() {
      // One at a time. What is counted during another flush is in this one.
      flushed = flushed.catch(() => {}).then(writeAll)
      return flushed
    },
    stats: () => ({ waiting: waitingRows + rowsOf(day), lost }),
  }
}
