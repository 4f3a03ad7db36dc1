import { once } from 'node:events'
import type { TSchema } from '@sinclair/typebox'
import { format } from 'fast-csv'
import { fieldsOf, type List } from '../tenant/list.ts'

interface Column {
  name: string
  /** How the text that PostgreSQL has for a value becomes that of a cell. */
  cell: (text: string) => string
}
/** The values of a row, as PostgreSQL writes them. */
export type Values = readonly (string | null)[]

// What a spreadsheet takes for the beginning of a formula, also written wide, as East Asian ones understand it.
const formula = /^[=+\-@\t\r\n＝＋－＠]/

/** A text as a spreadsheet is to show it: with an apostrophe where it would otherwise be computed. */
export const harmless = (text: string) => (formula.test(text) ? `'${text}` : text)

const asItIs = (text: string) => text
/** An instant as JSON has it; connections of ours are in UTC. */
const instant = (text: string) => `${text.replace(' ', 'T')}:00`

const kindsOf = (schema: TSchema): TSchema[] =>
  (schema['anyOf'] as TSchema[] | undefined)?.flatMap(kindsOf) ?? [schema]

/** A number stays one, also a negative one: what is a formula is decided by the type of the column. */
function cellOf(schema: TSchema): Column['cell'] {
  const kinds = kindsOf(schema)
  if (kinds.some(({ type }) => type === 'integer' || type === 'number')) return asItIs
  return kinds.some(({ format: named }) => named === 'date-time') ? instant : harmless
}

/** The columns of a CSV file are the fields of the JSON, in their order; those of the bin only where it is exported. */
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
  // fast-csv would write the mark with the first row, so not into a file without one.
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
