import postgres from 'postgres'
import type { Filled, Server } from '../data/database.ts'
import { type Script, withExplicitWhere } from '../measure/limit.ts'
import { load, type Load, type Measure } from '../measure/load.ts'
import type { Person } from '../data/people.ts'
import { loop } from '../measure/loop.ts'
import { pgbench } from '../measure/pgbench.ts'
import type { Program } from './programs.ts'
import { unlimited } from '../data/roles.ts'
import { tidy } from './tidy.ts'
import { memory, postmasterOf } from '../measure/usage.ts'
import type { Work } from './works.ts'

/** A server, or PostgreSQL alone, that does the work. */
export interface Contender {
  name: string
  title: string
  /** Undefined for a work that it does not support. */
  measure: (work: Work) => Promise<Measure> | undefined
  memory: () => number | undefined
  /** The JSON of one response. */
  ask?: (work: Work, person: Person) => Promise<unknown>
  /** Deletes what the measurement has inserted. */
  tidy: () => Promise<void>
}

export interface Fixtures {
  server: Server
  filled: Filled
  people: Person[]
  /** When the measurements started, by the database's clock. */
  since: string
  scripts: Map<Work, Script[]>
  postmaster: number | undefined
  load: Load
  pool: number
  /** The client for PostgreSQL alone. */
  asker: 'pgbench' | 'loop'
}

export async function findPostmaster(adminUrl: string): Promise<number | undefined> {
  const sql = postgres(adminUrl, { max: 1 })
  const [{ pid }] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`
  const found = postmasterOf(pid)
  await sql.end()
  return found
}

const client = process.pid

/** PostgreSQL alone with Callboard's own statements, and the same without each of the two protections. */
export function limits(fixtures: Fixtures): Contender[] {
  const { filled, scripts, postmaster, pool } = fixtures
  const ask = fixtures.asker === 'pgbench' ? pgbench : loop
  const contender = (
    name: string,
    title: string,
    login: string,
    change: (scripts: Script[]) => Script[] = same => same,
    within: (measure: () => Promise<Measure>) => Promise<Measure> = measure => measure(),
  ): Contender => ({
    name,
    title,
    measure: work => {
      const found = scripts.get(work)
      if (!found) return undefined
      return within(() =>
        ask(filled.url(login), change(found), loadOf(work, { ...fixtures.load, connections: pool }), {
          client,
          postgres: postmaster,
        }),
      )
    },
    memory: () => undefined,
    tidy: () => tidy(filled.adminUrl, fixtures.since),
  })
  return [
    contender('limit', 'PostgreSQL alone', 'callboard_api'),
    contender('no-rls', '… with an explicit WHERE and no RLS', unlimited, found => withExplicitWhere(found)),
    contender('unsigned', '… without signing the context', 'callboard_api', undefined, measure =>
      withoutSignature(filled.adminUrl, measure),
    ),
  ]
}

/** Replaces the signature by one that costs nothing, in the benchmark's own database, for one measurement. */
async function withoutSignature<T>(adminUrl: string, work: () => Promise<T>): Promise<T> {
  const sql = postgres(adminUrl, { max: 1, onnotice: () => {} })
  const [{ definition }] = await sql<[{ definition: string }]>`
    select pg_get_functiondef('app_private.context_signature()'::regprocedure) as definition`
  try {
    await sql.unsafe(
      definition.replace(/\$function\$.*\$function\$/s, "$function$ begin return ''; end $function$"),
    )
    return await work()
  } finally {
    await sql.unsafe(definition)
    await sql.end()
  }
}

/** The load for a work, which may override the general one. */
const loadOf = (work: Work, { connections, seconds, warmUp }: Load): Load => ({
  connections: Math.min(connections, work.connections ?? connections),
  seconds: Math.max(seconds, work.seconds ?? 0),
  warmUp,
})

/** The people who send requests for a work. */
export const peopleFor = ({ isLarge }: Work, people: Person[]) =>
  isLarge === true ? people.filter(person => person.isLarge) : people

/** A server that is measured over HTTP. */
export function overHttp(
  fixtures: Fixtures,
  name: string,
  title: string,
  program: Program,
  request: (work: Work) => Work['request'] | undefined = work => work.request,
): Contender {
  return {
    name,
    title,
    measure: work => {
      const asked = request(work)
      if (!asked) return undefined
      return load(
        program.url,
        { statuses: [work.status], people: peopleFor(work, fixtures.people), request: asked },
        loadOf(work, fixtures.load),
        {
          server: program.pid,
          postgres: fixtures.postmaster,
          client,
        },
      )
    },
    ask: async (work, person) => {
      const { method, path, headers } = request(work)?.(person, 0) ?? work.request(person, 0)
      return (await fetch(program.url + path, { method, headers })).json()
    },
    memory: () => memory(program.pid),
    tidy: () => tidy(fixtures.filled.adminUrl, fixtures.since),
  }
}
