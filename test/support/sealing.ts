import type postgres from 'postgres'

interface Part {
  sealed: number
  next: postgres.JSONValue
}

/** Seals what can be, in as many parts as it takes on a slow machine, as a login that may; returns how many events. */
export async function sealEvents(sql: postgres.Sql, lookBack = '1 hour'): Promise<number> {
  let sealed = 0
  let next: postgres.JSONValue = null
  do {
    const [{ part }]: [{ part: Part }] = await sql<[{ part: Part }]>`
      select app.seal_part(${lookBack}, ${next === null ? null : JSON.stringify(next)}::text::jsonb) as part`
    sealed += part.sealed
    next = part.next
  } while (next !== null)
  return sealed
}
