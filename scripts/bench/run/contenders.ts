import postgres from 'postgres'
import type { Filled } from '../data/database.ts'
import type { Script } from '../measure/limit.ts'
import { load, type Load, type Measure } from '../measure/load.ts'
import type { Person } from '../data/people.ts'
import type { Checkout } from './checkouts.ts'
import type { Program } from './programs.ts'
import { tidy } from './tidy.ts'
import { memory, postmasterOf } from '../measure/usage.ts'
import { isRequest, type Task, type Work } from './tasks.ts'

/** A server, or PostgreSQL alone, that does the work. */
export interface Contender {
  name: string
  title: string
  /** Undefined for a work that it does not support. */
  measure: (task: Task) => Promise<Measure> | undefined
  memory: () => number | undefined
  /** The JSON of the response to the nth person. */
  ask?: (work: Work, n: number) => Promise<unknown>
  /** Deletes what the measurement has inserted. */
  tidy: () => Promise<void>
}

export interface Fixtures {
  checkout: Checkout
  filled: Filled
  people: Person[]
  /** When the measurements started, by the database's clock. */
  since: string
  scripts: Map<Work, Script[]>
  postmaster: number | undefined
  /** Whether the database signs contexts, which it does where it cannot guard them. */
  isSigned: boolean
  load: Load
  /** How many lines a file to import has. */
  lines: number
  pool: number
  /** The client for PostgreSQL alone. */
  asker: 'pgbench' | 'loop'
}

/** The server process, if it runs on this machine, and whether contexts are signed; before there was a choice, they were. */
export async function inspect(adminUrl: string): Promise<Pick<Fixtures, 'postmaster' | 'isSigned'>> {
  const sql = postgres(adminUrl, { max: 1 })
  const [{ pid, chooses }] = await sql<[{ pid: number; chooses: boolean }]>`
    select pg_backend_pid() as pid, to_regprocedure('app.context_carrier()') is not null as chooses`
  const postmaster = postmasterOf(pid)
  const [found] = chooses ? await sql<[{ carrier: string }]>`select app.context_carrier() as carrier` : []
  await sql.end()
  return { postmaster, isSigned: found?.carrier !== 'guarded' }
}

const client = process.pid

/** The load for a work, which may override the general one. */
export const loadOf = (work: Work, { connections, seconds, warmUp }: Load): Load => ({
  connections: Math.min(connections, work.connections ?? connections),
  seconds: Math.max(seconds, work.seconds ?? 0),
  warmUp,
})

/** The people who send requests for a work. */
export const peopleFor = ({ isLarge }: Work, people: Person[]) =>
  isLarge === true ? people.filter(person => person.isLarge) : people

/** A server that is measured over HTTP. Only a Callboard does what is no single request. */
export function overHttp(
  fixtures: Fixtures,
  name: string,
  title: string,
  program: Program,
  request: (work: Work) => Work['request'] | undefined = work => work.request,
  isCallboard = true,
): Contender {
  return {
    name,
    title,
    measure: work => {
      if (!isRequest(work)) return isCallboard ? work.run(fixtures, program) : undefined
      const asked = request(work)
      if (!asked) return undefined
      const { people, filled, postmaster } = fixtures
      const measure = async () => {
        await work.before?.(filled, people)
        return load(
          program.url,
          { statuses: [work.status], people: peopleFor(work, people), request: asked },
          loadOf(work, fixtures.load),
          { server: program.pid, postgres: postmaster, client },
        )
      }
      return measure()
    },
    ask: async (work, n) => {
      const person = fixtures.people[n] as Person
      const { method, path, headers } = request(work)?.(person, 0) ?? work.request(person, 0)
      return (await fetch(program.url + path, { method, headers })).json()
    },
    memory: () => memory(program.pid),
    tidy: () => tidy(fixtures.filled.adminUrl, fixtures.since),
  }
}
