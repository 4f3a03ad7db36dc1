import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { endRest, refreshFigures } from '../data/figures.ts'
import type { Person } from '../data/people.ts'
import { type Measure, percentile } from '../measure/load.ts'
import { usage } from '../measure/usage.ts'
import type { Fixtures } from './contenders.ts'
import type { Program } from './programs.ts'
import type { Procedure } from './tasks.ts'

/** Sends requests of a person and returns the JSON of their responses. */
const asking =
  ({ url }: Program, { token }: Person) =>
  async <T>(path: string, change?: object): Promise<T> => {
    const answer = await fetch(url + path, {
      method: change === undefined ? 'GET' : 'PATCH',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(change !== undefined && { body: JSON.stringify(change) }),
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${path} was answered ${answer.status}: ${text}`)
    return JSON.parse(text) as T
  }

/**
 * One organization changes the amount of a finance record, and the worker's statements are run, in its place and at once,
 * until the API says that the figures are current. Each second change undoes the one before.
 */
async function run(fixtures: Fixtures, callboard: Program, isLarge: boolean): Promise<Measure> {
  const { checkout, filled, people, postmaster, load } = fixtures
  const person = people.find(someone => someone.isLarge === isLarge) as Person
  const ask = asking(callboard, person)
  const [admin, worker] = [filled.adminUrl, filled.url('callboard_worker')].map(url =>
    postgres(url, { max: 1, onnotice: () => {} }),
  ) as [postgres.Sql, postgres.Sql]
  const processes = { postgres: postmaster, client: process.pid }
  const [found] = (
    await ask<{ items: { id: string; amount_minor: number }[] }>('/api/finance-records?limit=1')
  ).items
  if (!found) throw new Error(`${person.email} has no finance records`)
  const isCurrent = async () => (await ask<{ is_current: boolean }>('/api/analytics/finance')).is_current
  const times: number[] = []
  let [ofWorker, ofPostgres] = [0, 0]
  try {
    for (const begun = performance.now(); ;) {
      const isOdd = times.length % 2 === 1
      if (!isOdd && times.length > 0 && performance.now() - begun > load.seconds * 1000) break
      await endRest(admin, person.organization)
      await ask(`/api/finance-records/${found.id}`, { amount_minor: found.amount_minor + (isOdd ? 0 : 1) })
      if (await isCurrent()) throw new Error('The figures are current although something has changed')
      let milliseconds = 0
      for (let pass = 0; pass === 0 || !(await isCurrent()); pass += 1) {
        if (pass === 100) throw new Error('The figures do not become current')
        // A transaction was still running that may have changed something.
        if (pass > 0) await sleep(20)
        const [before, own, began] = [usage(processes), process.cpuUsage(), performance.now()]
        await refreshFigures(worker, checkout.refreshing)
        milliseconds += performance.now() - began
        const { user, system } = process.cpuUsage(own)
        ofWorker += user + system
        ofPostgres += ((usage(processes).postgres ?? NaN) - (before.postgres ?? NaN)) * 1e6
      }
      times.push(milliseconds)
    }
  } finally {
    await Promise.all([admin.end(), worker.end()])
  }
  times.sort((a, b) => a - b)
  return {
    rate: (times.length / times.reduce((sum, one) => sum + one, 0)) * 1000,
    p50: percentile(times, 0.5),
    p99: percentile(times, 0.99),
    cpu: {
      server: undefined,
      worker: ofWorker / times.length,
      postgres: Number.isNaN(ofPostgres) ? undefined : ofPostgres / times.length,
      client: undefined,
    },
    done: times.length,
    failed: 0,
  }
}

const procedure = (name: string, whose: string, isLarge: boolean): Procedure => ({
  name,
  title: `figures after a change of ${whose} organization`,
  enters: true,
  run: (fixtures, callboard) => run(fixtures, callboard, isLarge),
})
export const refreshings = [
  procedure('refresh', 'a small', false),
  procedure('refresh-largest', 'the largest', true),
]
