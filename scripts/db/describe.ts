// A database as sorted lines of text, one fact a line: what `npm run db:check` compares.
import { readFileSync } from 'node:fs'
import type { TransactionSql } from 'postgres'

/** Stands for a line's end within a fact. */
export const newline = ' ⏎ '

const facts = readFileSync(new URL('describe.sql', import.meta.url), 'utf8')

/** Changes two settings of the transaction; ask as a role that row-level security does not filter. */
export async function describe(sql: TransactionSql): Promise<string[]> {
  // With an empty search_path every name is printed with its schema.
  // With row_security off, reference rows that a policy would hide are an error instead.
  await sql`select set_config('search_path', '', true), set_config('row_security', 'off', true)`
  const rows = await sql.unsafe<{ fact: string }[]>(facts)
  return [...rows.map(row => oneLine(row.fact)), ...(await referenceRows(sql))].sort()
}

/** Tables whose rows belong to the schema: no organization's, and commented as "Reference: …". */
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

// Line ends and blanks before them are the editor's business; the rest of a function's text is not.
function oneLine(fact: string) {
  return fact
    .trimEnd()
    .replace(/[ \t\r]+$/gm, '')
    .replaceAll('\n', newline)
}
