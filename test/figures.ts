import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from './helper.ts'

interface Part {
  refreshed?: string
  waiting: number
  failed: number
  busy?: boolean
  because: unknown[]
  next: string | null
}

/** Brings all figures up to date, as the worker does; says which were computed. */
export async function refresh(db: Database): Promise<string[]> {
  const worker = db.as('callboard_worker')
  const refreshed: string[] = []
  let next: string | null = null
  for (;;) {
    const rows: { part: Part }[] = await worker`
      select app.refresh_rollups(${next === null ? null : JSON.stringify(next)}::text::jsonb) as part`
    const [{ part }] = rows as [{ part: Part }]
    if (part.failed > 0) throw new Error(JSON.stringify(part.because))
    if (part.refreshed !== undefined) refreshed.push(part.refreshed)
    next = part.next
    if (next !== null) continue
    if (part.waiting === 0 && part.busy !== true) return refreshed
    await sleep(50)
  }
}
