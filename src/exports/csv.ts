import { once } from 'node:events'
import type { TSchema } from '@sinclair/typebox'
import { format } from 'fast-csv'
import { fieldsOf, type List } from '../tenant/list.ts'

interface Column {
  name: string
  /** Converts PostgreSQL's text of a value to that of a cell. */
  cell: (text: string) => string
}
/** The values of a row, in PostgreSQL's text format. */
export type Values = readonly (string | null)[]

// What spreadsheets take for the start of a formula, including the full-width forms that East Asian ones accept.
const formula = /^[=+\-@\t\r\n＝＋－＠]/

/** Text safe for a spreadsheet: with an apostrophe if it would otherwise be evaluated. */
export const harmless = (text: string) => (formula.test(text) ? `'${text}` : text)

const unchanged = (text: string) => text
/** An instant as in JSON; our connections use UTC. */
const instant = (text: string) => `${text.replace(' ', 'T')}:00`

const kindsOf = (schema: TSchema): TSchema[] =>
  (schema['anyOf'] as TSchema[] | undefined)?.flatMap(kindsOf) ?? [schema]

/** Numbers stay numbers, even negative ones: the type of the column decides what needs escaping. */
function cellOf(schema: TSchema): Column['cell'] {
  const kinds = kindsOf(schema)
  if (kinds.some(({ type }) => type === 'integer' || type === 'number')) return unchanged
  return kinds.some(({ format: named }) => named === 'date-time') ? instant : harmless
}

/** The columns of a CSV file: the fields of the JSON, in order; those of the bin only if it is exported. */
export const columnsOf = (list: List, isBin: boolean): Column[] =>
  fieldsOf(list, isBin).map(name => ({ name, cell: cellOf(list.item.properties[name] as TSchema) }))

/** Rows as CSV (RFC 4180), batch by batch. */
export async function* csvOf(
  batches: AsyncIterable<readonly Values[]>,
  columns: Column[],
  bom: boolean,
): AsyncGenerator<Buffer> {
  const csv = format({
    headers: columns.map(({ name }) => harmless(name)),
    alwaysWriteHeaders: true,
    rowDelimiter: '\r\n',
    includeEndRowDelimiter: true,
  })
  // fast-csv would write the mark with the first row, so never into a file without rows.
  const written: Buffer[] = bom ? [Buffer.from('\uFEFF')] : []
  csv.on('data', (piece: Buffer) => written.push(piece))
  for await (const rows of batches) {
    let isWritten: Promise<unknown> | undefined
    for (const values of rows) {
      const cells = values.map((value, n) => (value === null ? '' : (columns[n]?.cell(value) ?? '')))
      if (!csv.write(cells)) isWritten ??= once(csv, 'drain')
    }
    await isWritten
    yield Buffer.concat(written.splice(0))
  }
  csv.end()
  await once(csv, 'end')
  yield Buffer.concat(written.splice(0))
}
