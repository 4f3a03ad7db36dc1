import type { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import type { TSchema } from '@sinclair/typebox'
import { copyOut } from '../database/driver.ts'
import type { Client } from '../database/pool.ts'
import type { Filters, Rows, RowSettings } from '../tenant/list.ts'
import { cellOf } from './csv.ts'

export const formats = {
  csv: 'text/csv',
  ndjson: 'application/x-ndjson',
  json: 'application/json',
} as const
export type Format = keyof typeof formats

/** What is to be exported, and as what. */
export interface Order {
  rows: Rows
  format: Format
  bom: boolean
  filters: Filters
  settings: RowSettings
}

/** What is put before, between and after the lines of a file, or there if it has none. JSON is as a list's only page. */
const frames = {
  csv: { begin: '', between: '\r\n', end: '\r\n', empty: '' },
  ndjson: { begin: '', between: '\n', end: '\n', empty: '' },
  json: {
    begin: '{"items":[\n',
    between: ',\n',
    end: '\n],"next_cursor":null}\n',
    empty: '{"items":[],"next_cursor":null}\n',
  },
}

/** The statement that makes the lines: CSV, or JSON in COPY's binary format, in which it is not searched for what to quote. */
const copy =
  ({ rows, format, filters, settings }: Order) =>
  (sql: Client) => {
    const selected = rows.select(sql, filters, settings)
    if (format !== 'csv')
      return sql`copy (select row_to_json(item) from (${selected}) item) to stdout (format binary)`
    const cells = rows.fields(filters).map(name => cellOf(name, rows.item.properties[name] as TSchema))
    return sql`copy (select ${sql.unsafe(cells.join(', '))} from (${selected}) item) to stdout (format csv, header)`
  }

/** Lines are sent on in pieces of at most this many bytes, if they fit. */
const size = 64 * 1024

/**
 * The ordered rows as the text of a file, read by one statement in the client's transaction, so they are consistent.
 * PostgreSQL writes the lines; only their ends are put here. `count` is called with the number of rows.
 * Nothing is yielded before a whole piece has been read, so a statement that fails at once leaves nothing behind.
 */
export async function* textOf(
  sql: Client,
  order: Order,
  count: (rows: number) => void,
): AsyncGenerator<Buffer> {
  const { begin, between, end, empty } = frames[order.format]
  const isCsv = order.format === 'csv'
  const copied = await copyOut(sql, copy(order))
  // The first line of CSV is the header.
  let header = isCsv ? 1 : 0
  let isEmpty = true
  for await (const { text, lines } of piecesOf(
    copied,
    !isCsv,
    isCsv && order.bom ? '\uFEFF' : begin,
    between,
  )) {
    count(lines - header)
    header = 0
    isEmpty = false
    yield text
  }
  yield Buffer.from(isEmpty ? empty : end)
}

/**
 * Joins the lines of a COPY, each of which arrives in a message of its own: in CSV with a line feed at its end, in
 * the binary format after the number of columns and its length; what precedes the first one has 19 bytes.
 */
async function* piecesOf(copied: Readable, isBinary: boolean, begin: string, between: string) {
  const ready: { text: Buffer; lines: number }[] = []
  let [text, used, lines] = [Buffer.allocUnsafe(size), 0, 0]
  let before = Buffer.from(begin)
  const gap = Buffer.from(between)
  let wake = () => {}
  const finish = () => {
    if (lines > 0) ready.push({ text: text.subarray(0, used), lines })
    used = lines = 0
  }
  let start = isBinary ? 25 : 0
  copied.on('data', (message: Buffer) => {
    const length = message.length - start - (isBinary ? 0 : 1)
    // The binary format has a last message without a line.
    if (length < 0) return
    const needed = before.length + length
    if (used + needed > text.length) {
      finish()
      text = Buffer.allocUnsafe(Math.max(size, needed))
      copied.pause()
      wake()
    }
    used += before.copy(text, used)
    used += message.copy(text, used, start, start + length)
    lines += 1
    before = gap
    if (isBinary) start = 6
  })
  copied.once('close', () => {
    wake()
  })
  while (!copied.closed) {
    const woken = new Promise<void>(resolve => (wake = resolve))
    copied.resume()
    await woken
    if (copied.errored) throw copied.errored
    // As long as PostgreSQL is faster, there is always more to read: whatever else waits comes before it.
    await turn()
    yield* ready.splice(0)
  }
  if (copied.errored) throw copied.errored
  finish()
  yield* ready
}
