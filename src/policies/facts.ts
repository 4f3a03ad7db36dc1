// What a database, and the server that it is on, consist of, one fact per line of text, sorted, for comparing two.
import { readFileSync } from 'node:fs'
import type { TransactionSql } from 'postgres'
import { carrierOf } from '../database/context.ts'
import { root } from '../root.ts'

/** Represents a line break within a fact. */
export const newline = ' ⏎ '

const folder = new URL('db/policies/', root)
const statement = (name: string) => readFileSync(new URL(`${name}.sql`, folder), 'utf8')

// With an empty search_path every name is printed with its schema; the rest would depend on who asks.
const spell = (sql: TransactionSql) =>
  sql`select set_config('search_path', '', true), set_config('TimeZone', 'UTC', true),
    set_config('DateStyle', 'ISO', true), set_config('IntervalStyle', 'postgres', true), set_config('quote_all_identifiers', 'off', true)`

/**
 * What schema files and migrations define. Changes settings of the transaction; call it as a role that bypasses
 * row-level security.
 */
export async function describe(sql: TransactionSql): Promise<string[]> {
  // With row_security off, reference rows hidden by a policy raise an error instead.
  await sql`select set_config('row_security', 'off', true)`
  const catalogue = await describeCatalogue(sql)
  const context = await sql<{ fact: string }[]>`
    select 'context: ' || c.carrier as fact from (select ${carrierOf(sql)} as carrier) c where c.carrier is not null`
  return [...catalogue, ...context.map(row => row.fact), ...(await referenceRows(sql))].sort()
}

/** The same without rows, so that any login can read it. */
export async function describeCatalogue(sql: TransactionSql): Promise<string[]> {
  await spell(sql)
  const rows = await sql.unsafe<{ fact: string }[]>(statement('database'))
  return rows.map(row => oneLine(row.fact)).sort()
}

/** What db/roles.sql and db/database.sql make, and what has been added to it: roles, memberships, settings, databases. */
export async function describeCluster(sql: TransactionSql): Promise<string[]> {
  await spell(sql)
  const rows = await sql.unsafe<{ fact: string }[]>(statement('cluster'))
  return rows.map(row => oneLine(row.fact)).sort()
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
