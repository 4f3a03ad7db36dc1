import { once } from 'node:events'
import type { TObject, TSchema } from '@sinclair/typebox'
import { format } from 'fast-csv'

interface Column {
  name: string
  /** A number stays one, also a negative one. */
  isNumber: boolean
  /** Finds a number that may have more digits than JavaScript's: its text is taken as it is. */
  decimal?: RegExp
}

const typesOf = (schema: TSchema): unknown[] =>
  (schema['anyOf'] as TSchema[] | undefined)?.flatMap(typesOf) ?? [schema['type']]

/** The columns of a CSV file are the fields of the JSON, in their order; those of the bin only where it is exported. */
export function columnsOf(item: TObject, isBin: boolean): Column[] {
  return Object.entries(item.properties)
    .filter(([name]) => isBin || !['deleted_at', 'deleted_by'].includes(name))
    .map(([name, schema]) => {
      const types = typesOf(schema)
      // PostgreSQL has written the JSON, and within a string a quote would have a backslash before it.
      if (types.includes('number')) return { name, isNumber: true, decimal: new RegExp(`"${name}" : (-?[0-9.]+)`) }
      return { name, isNumber: types.includes('integer') }
    })
}

// What a spreadsheet takes for the beginning of a formula, also written wide, as East Asian ones understand it.
const formula = /^[=+\-@\t\r\n＝＋－＠]/

/** A text as a spreadsheet is to show it: with an apostrophe where it would otherwise be computed. */
export const harmless = (text: string) => (formula.test(text) ? `'${text}` : text)

function cellOf(value: unknown, { isNumber }: Column): string {
  if (value === null || value === undefined) return ''
  if (isNumber && typeof value === 'number') return String(value)
  return harmless(typeof value === 'object' ? JSON.stringify(value) : String(value as string))
}

function cellsOf(body: string, columns: Column[]): string[] {
  const row = JSON.parse(body) as Record<string, unknown>
  return columns.map(column =>
    column.decimal ? (column.decimal.exec(body)?.[1] ?? '') : cellOf(row[column.name], column),
  )
}

/** Rows as CSV (RFC 4180), batch by batch. */
export async function* csvOf(
  batches: AsyncIterable<readonly { body: string }[]>,
  columns: Column[],
  bom: boolean,
): AsyncGenerator<Buffer> {
  const csv = format({
    headers: columns.map(({ name }) => harmless(name)),
    alwaysWriteHeaders: true,
    rowDelimiter: '\r\n',
    includeEndRowDelimiter: true,
  })
  // fast-csv would write it with the first row, so not into a file without one.
  const written: Buffer[] = bom ? [Buffer.from('\uFEFF')] : []
  csv.on('data', (piece: Buffer) => written.push(piece))
  for await (const rows of batches) {
    let last: Promise<void> | undefined
    for (const [n, { body }] of rows.entries()) {
      const cells = cellsOf(body, columns)
      if (n < rows.length - 1) csv.write(cells)
      else
        last = new Promise((resolve, reject) => {
          csv.write(cells, error => {
            if (error) reject(error)
            else resolve()
          })
        })
    }
    await last
    yield Buffer.concat(written.splice(0))
  }
  csv.end()
  await once(csv, 'end')
  yield Buffer.concat(written.splice(0))
}
