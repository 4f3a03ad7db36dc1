import postgres from 'postgres'

/** Recurring work as far as it is needed here: see src/jobs/schedule.ts. */
interface Scheduled {
  task: string
  sql: string
}
interface Part {
  next: unknown
  failed: number
}

/** The statements with which a worker with this schedule refreshes figures. */
export const refreshing = (schedule: Scheduled[]): string[] =>
  schedule.flatMap(({ task, sql }) => (task.startsWith('refresh_') ? [sql] : []))

/** Runs them as the worker does, all parts of each, until there is nothing left to do. */
export async function refreshFigures(sql: postgres.Sql, statements: string[]): Promise<void> {
  for (const statement of statements) {
    let next: unknown = null
    do {
      const [row] = await sql.unsafe<Record<string, Part>[]>(statement, [next as null])
      const [part] = Object.values(row ?? {})
      if (part === undefined || part.failed > 0)
        throw new Error(`${statement} returned ${JSON.stringify(part)}`)
      next = part.next
    } while (next !== null)
  }
}

/** Computes the figures that the worker would have computed by now. */
export async function refresh(url: string, statements: string[]): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    await refreshFigures(sql, statements)
  } finally {
    await sql.end()
  }
}

/**
 * Makes figures due at once: those that were computed rest for twenty times as long as that took. Before that was each
 * organization's own, everybody's rested together.
 */
export async function endRest(sql: postgres.Sql, organization: string): Promise<void> {
  const [{ own }] = await sql<[{ own: boolean }]>`
    select to_regclass('analytics_private.rollup_states') is not null as own`
  if (own)
    await sql`update analytics_private.rollup_states set computed_at = computed_at - interval '11 minutes'
      where organization_id = ${organization}`
  else await sql`update analytics_private.rollups set refreshed_at = refreshed_at - interval '11 minutes'`
}
