import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from './helper.ts'

interface Part {
  refreshed?: string
  waiting: number
  failed: number
  busy?: boolean
  because: unknown[]
  until: string
  next: string | null
}

/**
 * Brings all figures up to date, as the worker does; returns which were computed. Up to now, unless a
 * transaction that began before is `openEnded`.
 */
export async function refresh(db: Database, openEnded = false): Promise<string[]> {
  const worker = db.as('callboard_worker')
  const now = Date.now()
  const refreshed: string[] = []
  let next: string | null = null
  let waiting = 0
  // An earlier vacuum may hold back one of the parts, but not the last.
  let isStale = false
  for (;;) {
    const rows: { part: Part }[] = await worker`
      select app.refresh_rollups(${next === null ? null : JSON.stringify(next)}::text::jsonb) as part`
    const [{ part }] = rows as [{ part: Part }]
    if (part.failed > 0) throw new Error(JSON.stringify(part.because))
    if (part.refreshed !== undefined) refreshed.push(part.refreshed)
    waiting += part.waiting
    isStale ||= !openEnded && !(Date.parse(part.until) > now)
    next = part.next
    if (next !== null) continue
    if (waiting === 0 && part.busy !== true && !isStale) return refreshed
    waiting = 0
    isStale = false
    await sleep(50)
  }
}
