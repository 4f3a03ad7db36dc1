// Describes a database as sorted lines of text, one fact per line, for `npm run db:check` to compare.
import { readFileSync } from 'node:fs'
import type { TransactionSql } from 'postgres'
import { carrierOf } from '../../src/database/context.ts'

/** Represents a line break within a fact. */
export const newline = ' ⏎ '

const facts = readFileSync(new URL('describe.sql', import.meta.url), 'utf8')

/** Changes two settings of the transaction; call it as a role that bypasses row-level security. */
export async function describe(sql: TransactionSql): Promise<string[]> {
  // With an empty search_path every name is printed with its schema.
  // With row_security off, reference rows hidden by a policy raise an error instead.
  await sql`select set_config('search_path', '', true), set_config('row_security', 'off', true)`
  const rows = await sql.unsafe<{ fact: string }[]>(facts)
  const context = await sql<{ fact: string }[]>`
    select 'context: ' || c.carrier as fact from (select ${carrierOf(sql)} as carrier) c where c.carrier is not null`
  return [...[...rows, ...context].map(row => oneLine(row.fact)), ...(await referenceRows(sql))].sort()
}

/** The rows of reference tables, which belong to the schema: no organization_id, and a comment "Reference: …". */
async function referenceRows(sql: TransactionSql) {
  const tables = await sql<{ schema: string; name: string }[]>`
    select n.nspname as schema, c.relname as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('app', 'app_private') and c.relkind in ('r', 'p') and not c.relispartition
      and obj_description(c.oid, 'pg_class') like 'Reference:%'
      and not exists (
        select from pg_attribute a
        where a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped)
    order by 1, 2`
  const lines: string[] = []
  for (const { schema, name } of tables) {
    const rows = await sql<
      { row: string }[]
    >`select to_jsonb(t)::text as row from ${sql(schema)}.${sql(name)} t`
    lines.push(...rows.map(({ row }) => `row of ${schema}.${name}: ${row}`))
  }
  return lines
}

// Ignores trailing whitespace and line endings, which depend on the editor.
function oneLine(fact: string) {
  return fact
    .trimEnd()
    .replace(/[ \t\r]+$/gm, '')
    .replaceAll('\n', newline)
}
