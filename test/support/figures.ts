import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from './helper.ts'

export interface Figure {
  rollup: string
  failed_with: string | null
  rows: number | null
}
export interface Part {
  /** How many organizations have changed something. */
  changed?: number
  until?: string
  refreshed?: string
  organization?: string
  figures?: Figure[]
  waiting?: number
  failed: number
  busy?: boolean
  next: string | null
}

/** Ends the rest of all organizations, however long their figures took before. */
export const wake = ({ admin }: Database) =>
  admin`update analytics_private.rollup_states set took = '0' where took <> '0'`

/** Has one lane of the worker do all that is due, and returns what it did. */
export async function work(db: Database, lane: 'small' | 'large'): Promise<Part[]> {
  const worker = db.as('callboard_worker')
  const parts: Part[] = []
  let next: string | null = null
  do {
    const rows: { part: Part }[] = await worker`
      select app.refresh_figures(${lane}, ${next === null ? null : JSON.stringify(next)}::text::jsonb) as part`
    const [{ part }] = rows as [{ part: Part }]
    parts.push(part)
    next = part.next
  } while (next !== null)
  return parts
}

/**
 * Brings all figures up to date, as the worker does, and returns which were computed, for whom. Up to now, unless a
 * transaction that began before is `openEnded`.
 */
export async function refresh(db: Database, openEnded = false): Promise<string[]> {
  const now = Date.now()
  const refreshed: string[] = []
  for (;;) {
    await wake(db)
    const parts = [...(await work(db, 'small')), ...(await work(db, 'large'))]
    const failed = parts.filter(part => part.failed > 0)
    if (failed.length > 0) throw new Error(JSON.stringify(failed))
    for (const { refreshed: whole, figures = [] } of parts)
      refreshed.push(...(whole === undefined ? figures.map(({ rollup }) => rollup) : [whole]))
    // An earlier vacuum may hold back the horizon of a look.
    const isStale = !openEnded && !parts.some(({ until }) => Date.parse(until ?? '') > now)
    if (!isStale && !parts.some(({ busy, waiting = 0 }) => busy || waiting > 0)) return refreshed
    if (Date.now() - now > 60_000)
      throw new Error(`the figures do not become current: ${JSON.stringify(parts)}`)
    await sleep(50)
  }
}

export interface Difference {
  rollup: string
  organization: string
  differing_rows: number
}

/** Compares all figures with their definitions and computes them in full, as the worker does at night. */
export async function check(db: Database) {
  const worker = db.as('callboard_worker')
  const [differing, failed]: [Difference[], string[]] = [[], []]
  let next: string | null = null
  do {
    const rows: {
      part: { differing?: Difference[]; refreshed?: string; failed_with?: string | null; next: unknown }
    }[] = await worker`select app.check_figures(${next}::text::jsonb) as part`
    const [{ part }] = rows as [(typeof rows)[number]]
    differing.push(...(part.differing ?? []))
    if (typeof part.failed_with === 'string') failed.push(`${part.refreshed}: ${part.failed_with}`)
    next = part.next === null ? null : JSON.stringify(part.next)
  } while (next !== null)
  return { differing, failed }
}
