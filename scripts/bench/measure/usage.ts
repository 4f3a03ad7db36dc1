import { readdirSync, readFileSync } from 'node:fs'

/** The processes that are measured: the server, the worker, PostgreSQL and the client. */
export interface Processes {
  server?: number | undefined
  worker?: number | undefined
  postgres?: number | undefined
  client: number
}
/** CPU seconds, user and system, since each process started; undefined without /proc. */
export type Usage = Record<keyof Processes, number | undefined>

interface Stat {
  parent: number
  own: number
  ofEnded: number
}
// The clock ticks per second of /proc, on every Linux that Node runs on.
const ticks = 100

function stat(pid: number | string): Stat | undefined {
  try {
    // The name, in parentheses, may contain anything.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    const at = (n: number) => Number(fields[n - 3])
    return { parent: at(4), own: (at(14) + at(15)) / ticks, ofEnded: (at(16) + at(17)) / ticks }
  } catch {
    return undefined
  }
}

/** A process with all its descendants. */
function family(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined
  const root = stat(pid)
  if (!root) return undefined
  let sum = root.own + root.ofEnded
  for (const name of readdirSync('/proc')) {
    const child = /^\d+$/.test(name) ? stat(name) : undefined
    if (child?.parent === pid) sum += child.own + child.ofEnded
  }
  return sum
}

/** The usage so far. Server and worker are children of the client, so their usage is subtracted from the client's. */
export function usage(processes: Processes): Usage {
  const { server, worker, postgres, client } = processes
  const [ofServer, ofWorker, all] = [server, worker, client].map(family)
  return {
    server: ofServer,
    worker: ofWorker,
    postgres: family(postgres),
    client: all === undefined ? undefined : all - (ofServer ?? 0) - (ofWorker ?? 0),
  }
}

/** Microseconds of CPU for each of the `count` operations in between. */
export function each(before: Usage, after: Usage, count: number): Usage {
  const of = (name: keyof Processes) => {
    const [from, to] = [before[name], after[name]]
    return from === undefined || to === undefined || count === 0 ? undefined : ((to - from) / count) * 1e6
  }
  return { server: of('server'), worker: of('worker'), postgres: of('postgres'), client: of('client') }
}

/** Megabytes of memory in use now. */
export function memory(pid: number): number | undefined {
  try {
    const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return kilobytes === undefined ? undefined : Number(kilobytes) / 1024
  } catch {
    return undefined
  }
}

/** The server process of a backend, if it runs on this machine. */
export function postmasterOf(backend: number): number | undefined {
  try {
    const isPostgres = readFileSync(`/proc/${backend}/comm`, 'utf8').startsWith('postgres')
    return isPostgres ? stat(backend)?.parent : undefined
  } catch {
    return undefined
  }
}
