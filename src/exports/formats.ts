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

/** Rows that are read at a time: each time costs a trip to the database, and memory. */
const batch = 250
/** Rows that are handled without a pause: a request that comes meanwhile waits for that. */
const slice = 25

let lastTurn = Promise.resolve()
/** One slice for each turn of the event loop, however many exports there are: between two of them others have theirs. */
function turn(): Promise<void> {
  return (lastTurn = lastTurn.then(
    () =>
      new Promise(resolve => {
        setImmediate(resolve)
      }),
  ))
}

/** What postgres.js has of a query that can be read with a cursor. */
interface Readable<Row> {
  cursor: (rows: number) => AsyncIterable<Row[]>
}

/** The rows of a query; the next batch is under way while one is handled, and no more than that. */
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
      // Who waits for it hears of its failure; if nobody does any more, nobody is to.
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
 * All that is asked for, as the text of a file, out of the transaction that the client is in; a cursor's
 * snapshot is that of its beginning, so the rows are those of one moment. `count` hears how many there are.
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
