import { closeCursor } from '../database/driver.ts'
import type { Client } from '../database/pool.ts'
import { type Filters, type List, rowsOf } from '../tenant/list.ts'
import { columnsOf, csvOf, type Values } from './csv.ts'

export const formats = {
  csv: 'text/csv',
  ndjson: 'application/x-ndjson',
  json: 'application/json',
} as const
export type Format = keyof typeof formats

/** What is to be exported, and as what. */
export interface Order {
  list: List
  format: Format
  bom: boolean
  filters: Filters
}

/** Rows read at a time: each batch costs a round trip to the database, and memory. */
const batch = 250
/** Rows handled without a pause, which any other request has to wait for. */
const slice = 25

let lastTurn = Promise.resolve()
/** One slice per turn of the event loop, however many exports there are, so that other work runs in between. */
function turn(): Promise<void> {
  return (lastTurn = lastTurn.then(
    () =>
      new Promise(resolve => {
        setImmediate(resolve)
      }),
  ))
}

/** The part of a postgres.js query that reads it with a cursor. */
interface Readable<Row> {
  cursor: (rows: number) => AsyncIterable<Row[]>
}

/** The rows of a query; while a batch is handled the next one is fetched, and no more than that. */
async function* batchesOf<Row>(query: Readable<Row>, count: (rows: number) => void): AsyncGenerator<Row[]> {
  const rows = query.cursor(batch)[Symbol.asyncIterator]()
  // At the end postgres.js returns no promise.
  const ask = async () => rows.next()
  let next = ask()
  try {
    for (;;) {
      const found = await next
      if (found.done === true) return
      const { value } = found
      next = ask()
      // A failure is reported by awaiting it; if nobody does any more, it must not go unhandled.
      next.catch(() => {})
      for (let n = 0; n < value.length; n += slice) {
        await turn()
        count(Math.min(slice, value.length - n))
        yield value.slice(n, n + slice)
      }
    }
  } finally {
    await closeCursor(query, rows)
  }
}

async function* jsonOf(batches: AsyncIterable<readonly { body: string }[]>): AsyncGenerator<string> {
  // As a list's only page.
  let before = '{"items":[\n'
  for await (const rows of batches) {
    yield before + rows.map(({ body }) => body).join(',\n')
    before = ',\n'
  }
  yield before.startsWith(',') ? '\n],"next_cursor":null}\n' : '{"items":[],"next_cursor":null}\n'
}

async function* ndjsonOf(batches: AsyncIterable<readonly { body: string }[]>): AsyncGenerator<string> {
  for await (const rows of batches) yield rows.map(({ body }) => `${body}\n`).join('')
}

/**
 * The ordered rows as the text of a file, read in the client's transaction; a cursor keeps the snapshot of
 * its start, so the rows are consistent. `count` is called with the number of rows.
 */
export function textOf(
  sql: Client,
  { list, format, bom, filters }: Order,
  count: (rows: number) => void,
): AsyncIterable<string | Buffer> {
  if (format === 'csv') {
    const rows = rowsOf(sql, list, filters, 'texts').values() as unknown as Readable<Values>
    return csvOf(batchesOf(rows, count), columnsOf(list, filters.deleted === 'only'), bom)
  }
  const batches = batchesOf<{ body: string }>(rowsOf(sql, list, filters, 'json'), count)
  return format === 'json' ? jsonOf(batches) : ndjsonOf(batches)
}
