// Statements that a document shows, and what psql would print for them.
import postgres from 'postgres'

/** A connection that returns text, as psql does. */
export function connectAsPsql(url: string) {
  const parse = (text: string) => text
  return postgres(url, {
    max: 1,
    onnotice: () => {},
    fetch_types: false,
    types: { text: { to: 25, from: [16, 19, 20, 21, 23, 25, 1082, 1184, 2950], serialize: parse, parse } },
  })
}

/** The cells of psql's aligned output: first the column names, then the rows. */
export const cellsOf = (table: string) =>
  table
    .trimEnd()
    .split('\n')
    .filter(line => !/^-[-+]*$/.test(line))
    .map(line => line.split('|').map(cell => cell.trim()))

/** The column names and rows that the last statement returns. */
export async function answerOf(sql: postgres.Sql, statements: string): Promise<string[][]> {
  const answer: unknown = await sql.unsafe(statements).simple()
  const results = (Array.isArray((answer as unknown[])[0]) ? answer : [answer]) as postgres.RowList<
    Record<string, string | null>[]
  >[]
  const last = results.findLast(result => (result.columns as unknown[] | undefined)?.length)
  if (!last) return []
  const names = last.columns.map(({ name }) => name)
  return [names, ...last.map(row => names.map(name => row[name] ?? ''))]
}
