// Who gets the places of a worker. Jobs carry flags (db/schema/foundation/jobs.sql): their kind, such as `export`, and
// their kind and who has caused them, such as `export:<organization>`. A worker runs as many of a kind as it has places
// for that kind, and one for each causer: whoever queues a thousand jobs waits for their own, and nobody else does.
import type { Job, WorkerEvents } from 'graphile-worker'

/** How many jobs of each kind a worker runs at a time. Mails and exports wait for servers of others: half of all places. */
export const shares = { mail: 2, export: 2, import: 2 }

/** How many jobs a worker runs at a time: two places are left for jobs of no kind, the upkeep of the database. */
export const places = 8

/**
 * The flags of jobs that may not be begun now, for graphile-worker, which asks before it looks for a job. One place
 * looks at a time: two that did at once could both take the last place of a kind.
 */
export function fairShares(events: WorkerEvents): () => Promise<string[]> {
  const running = new Map<unknown, string[]>()
  let looking = Promise.resolve()
  let found = () => {}
  events.on('job:start', ({ worker, job }: { worker: unknown; job: Job }) => {
    running.set(worker, Object.keys(job.flags ?? {}))
    found()
  })
  for (const event of ['worker:getJob:empty', 'worker:getJob:error'] as const)
    events.on(event, () => {
      found()
    })
  for (const event of ['job:complete', 'worker:fatalError'] as const)
    events.on(event, ({ worker }: { worker: unknown }) => running.delete(worker))

  return async () => {
    const before = looking
    let done = () => {}
    looking = new Promise(resolve => (done = resolve))
    await before
    found = done
    const flags = [...running.values()].flat()
    return flags.filter(
      (flag, n) =>
        flag.includes(':') ||
        flags.slice(0, n + 1).filter(other => other === flag).length >=
          ((shares as Partial<Record<string, number>>)[flag] ?? 1),
    )
  }
}
