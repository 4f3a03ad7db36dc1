import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from './compare.ts'
import { say, type Server } from '../data/database.ts'
import { load } from '../measure/load.ts'
import { describe, machine } from '../measure/machine.ts'
import type { Options } from './options.ts'
import { median } from '../report/report.ts'
import { setUp, type Undo } from './fixtures.ts'
import { tidy } from './tidy.ts'
import { isRequest } from './tasks.ts'
import { memory } from '../measure/usage.ts'

/** Checks that Callboard's memory stays constant under full load: mostly reads; every tenth request creates a show. */
export async function soak(server: Server, options: Options, undo: Undo): Promise<Outcome> {
  const { fixtures, callboard, tasks } = await setUp(
    server,
    options.size,
    { ...options, wants: withoutLimits(options) },
    undo,
  )
  const works = tasks.filter(isRequest)
  const [list, one, create] = ['list', 'one', 'create'].map(name => works.find(work => work.name === name))
  if (!list || !one || !create) throw new Error('Callboard lacks a work that the soak needs')
  const seconds = (options.soak ?? 10) * 60
  const samples: { second: number; megabytes: number }[] = []
  let isOver = false
  const watch = async () => {
    for (let begun = performance.now(), said = 0; !isOver;) {
      await sleep(1000)
      const second = (performance.now() - begun) / 1000
      const megabytes = memory(callboard.pid)
      if (megabytes === undefined) throw new Error('/proc does not report the memory of the server')
      samples.push({ second, megabytes })
      if (second < said) continue
      said += 30
      say(`After ${second.toFixed(0)} s of ${seconds}: ${megabytes.toFixed(0)} MB`)
    }
  }
  const watching = watch()
  const measure = await load(
    callboard.url,
    {
      statuses: [200, 201],
      people: fixtures.people,
      request: (person, n) => (n % 10 === 9 ? create : n % 3 === 0 ? list : one).request(person, n),
    },
    { ...options, seconds },
    { server: callboard.pid, postgres: fixtures.postmaster, client: process.pid },
  )
  isOver = true
  await watching
  await tidy(fixtures.filled.adminUrl, fixtures.since)
  const part = (from: number, to: number) =>
    median(
      samples
        .filter(({ second }) => second >= seconds * from && second < seconds * to)
        .map(({ megabytes }) => megabytes),
    ) ?? 0
  const [third, last] = [part(0.5, 0.75), part(0.75, 1)]
  const growth = last / third - 1
  const on = await machine(fixtures.filled.adminUrl)
  return {
    kind: 'soak',
    how: `${options.soak} minutes, ${options.connections} requests at a time, ${options.size.organizations} organizations and ${options.size.shows} shows. ${describe(on)}`,
    report: {
      machine: on,
      size: options.size,
      seconds,
      measure,
      growth,
      samples,
    },
    text: [
      `- ${measure.done} requests, ${measure.rate.toFixed(0)} a second, p50 ${measure.p50?.toFixed(1)} ms, p99 ${measure.p99?.toFixed(1)} ms, ${measure.failed} failed`,
      `- Memory: ${third.toFixed(0)} MB in the third quarter, ${last.toFixed(0)} MB in the last: ${(growth * 100).toFixed(1)} %`,
    ].join('\n'),
    faults: measure.failed > 0 ? [`${measure.failed} requests failed`] : [],
  }
}

/** For runs that do not measure PostgreSQL alone. */
export const withoutLimits =
  ({ wants }: Options) =>
  (thing: { name: string }) =>
    !['limit', 'no-rls', 'unsigned'].includes(thing.name) && wants(thing)
