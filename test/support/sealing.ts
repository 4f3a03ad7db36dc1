import type postgres from 'postgres'

interface Part {
  sealed: number
  next: postgres.JSONValue
}

/** Seals what can be, in as many parts as it takes on a slow machine, as a login that may; returns how many events each had. */
export async function sealParts(sql: postgres.Sql, lookBack: string): Promise<number[]> {
  const parts: number[] = []
  let next: postgres.JSONValue = null
  do {
    const [{ part }]: [{ part: Part }] = await sql<[{ part: Part }]>`
      select app.seal_part(${lookBack}, ${next === null ? null : JSON.stringify(next)}::text::jsonb) as part`
    parts.push(part.sealed)
    next = part.next
  } while (next !== null)
  return parts
}

/** The same; returns how many events. */
export const sealEvents = async (sql: postgres.Sql, lookBack = '1 hour'): Promise<number> =>
  (await sealParts(sql, lookBack)).reduce((all, n) => all + n, 0)
