import { setTimeout as sleep } from 'node:timers/promises'
import autocannon from 'autocannon'
import type { Person } from '../data/people.ts'
import type { Request } from '../run/tasks.ts'
import { each, type Processes, usage, type Usage } from './usage.ts'

/** The result of one measurement. */
export interface Measure {
  /** Operations per second. */
  rate: number
  /** Milliseconds; pgbench does not report them. */
  p50?: number
  p99?: number
  /** Microseconds of CPU per operation. */
  cpu: Usage
  /** Megabytes that the server needed more than before, at its peak. */
  grown?: number
  done: number
  /** Responses other than the expected ones. */
  failed: number
}

export interface Load {
  connections: number
  seconds: number
  /** Seconds of warming up, which are not counted. */
  warmUp: number
}

/** Of values in ascending order; 0 if there are none. */
export const percentile = (values: number[], share: number) => values[Math.floor(values.length * share)] ?? 0

/** Sends requests for one work as fast as the server answers. */
export async function load(
  url: string,
  {
    statuses,
    people,
    request,
  }: { statuses: number[]; people: Person[]; request: (person: Person, n: number) => Request },
  { connections, seconds, warmUp }: Load,
  processes: Processes,
): Promise<Measure> {
  const requests = Array.from({ length: people.length * 10 }, (_, n) =>
    request(people[n % people.length] as Person, Math.floor(n / people.length)),
  )
  let begin = 0
  let ended = () => {}
  const isOver = new Promise<void>(resolve => (ended = resolve))
  const running = autocannon(
    {
      url,
      connections,
      duration: 86_400,
      // Each connection starts at a different point, so that they do not run in lockstep.
      setupClient: client => {
        const at = Math.floor((begin++ * requests.length) / connections)
        client.setRequests([...requests.slice(at), ...requests.slice(0, at)])
      },
    },
    () => {
      ended()
    },
  )
  let times: number[] = []
  let failed = 0
  running.on('response', (_client, code, _bytes, milliseconds) => {
    if (!statuses.includes(code)) failed += 1
    times.push(milliseconds)
  })
  let errors = 0
  running.on('reqError', () => (errors += 1))
  await sleep(warmUp * 1000)
  times = []
  failed = errors = 0
  const [before, begun] = [usage(processes), performance.now()]
  await sleep(seconds * 1000)
  const [done, took] = [times.length, (performance.now() - begun) / 1000]
  const cpu = each(before, usage(processes), done)
  // Responses go on arriving.
  const counted = times.slice(0, done).sort((a, b) => a - b)
  running.stop()
  await isOver
  return {
    rate: done / took,
    p50: percentile(counted, 0.5),
    p99: percentile(counted, 0.99),
    cpu,
    done,
    failed: failed + errors,
  }
}
