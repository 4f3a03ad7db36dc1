import type { Contender } from './contenders.ts'
import { say } from '../data/database.ts'
import type { Result } from '../report/report.ts'
import type { Task } from './tasks.ts'

/** Runs every contender on every work, taking turns for several rounds, so that disturbances affect all of them. */
export async function measureAll(works: Task[], contenders: Contender[], rounds: number): Promise<Result[]> {
  const results = new Map<string, Result>()
  const total = rounds * works.length * contenders.length
  let n = 0
  for (let round = 1; round <= rounds; round += 1) {
    for (const work of works) {
      // A different one starts each round, because the first may find different caches.
      for (let i = 0; i < contenders.length; i += 1) {
        n += 1
        const contender = contenders[(i + round) % contenders.length] as Contender
        const measured = contender.measure(work)
        if (!measured) continue
        say(
          `Round ${round} of ${rounds}, ${Math.round((n / total) * 100)} %: ${work.title}, ${contender.title}`,
        )
        const measure = await measured
        if (work.enters === true) await contender.tidy()
        const result = results.get(`${work.name} ${contender.name}`) ?? {
          work: work.name,
          contender: contender.name,
          rounds: [],
        }
        result.rounds.push(measure)
        results.set(`${work.name} ${contender.name}`, result)
      }
    }
  }
  // In the order of the table, regardless of the order of execution.
  return works.flatMap(work => contenders.flatMap(({ name }) => results.get(`${work.name} ${name}`) ?? []))
}
