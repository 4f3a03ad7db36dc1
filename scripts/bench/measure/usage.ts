import { readdirSync, readFileSync } from 'node:fs'

/** Whose work is counted: the server's that answers, PostgreSQL's, and that of the program which asks. */
export interface Processes {
  server?: number | undefined
  postgres?: number | undefined
  client: number
}
/** Seconds of CPU, user and system, since each began; undefined where /proc does not say. */
export type Usage = Record<keyof Processes, number | undefined>

interface Stat {
  parent: number
  own: number
  ofEnded: number
}
// What /proc counts in, on every Linux that Node runs on.
const ticks = 100

function stat(pid: number | string): Stat | undefined {
  try {
    // The name, in parentheses, may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    const at = (n: number) => Number(fields[n - 3])
    return { parent: at(4), own: (at(14) + at(15)) / ticks, ofEnded: (at(16) + at(17)) / ticks }
  } catch {
    return undefined
  }
}

/** A process with all that it has started. */
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

/** What has been used up to now. Whoever asks has started the server, too, whose work is not its own. */
export function usage(processes: Processes): Usage {
  const [server, all] = [family(processes.server), family(processes.client)]
  return {
    server,
    postgres: family(processes.postgres),
    client: all === undefined ? undefined : all - (server ?? 0),
  }
}

/** Microseconds of CPU for each of `count` things that were done in between. */
export function each(before: Usage, after: Usage, count: number): Usage {
  const of = (name: keyof Processes) => {
    const [from, to] = [before[name], after[name]]
    return from === undefined || to === undefined || count === 0 ? undefined : ((to - from) / count) * 1e6
  }
  return { server: of('server'), postgres: of('postgres'), client: of('client') }
}

/** Megabytes in memory now. */
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
