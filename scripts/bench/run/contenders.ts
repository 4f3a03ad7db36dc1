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

/** Somebody who does the work. */
export interface Contender {
  name: string
  title: string
  /** Undefined for what it does not do. */
  measure: (work: Work) => Promise<Measure> | undefined
  memory: () => number | undefined
  /** The JSON of one answer. */
  ask?: (work: Work, person: Person) => Promise<unknown>
  /** Takes out again what the measurement has entered. */
  tidy: () => Promise<void>
}

export interface Stage {
  server: Server
  filled: Filled
  people: Person[]
  /** When the measurements begin, by the database's clock. */
  since: string
  scripts: Map<Work, Script[]>
  postmaster: number | undefined
  load: Load
  pool: number
  /** What asks PostgreSQL alone. */
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

/** PostgreSQL alone, asked for what Callboard asks it, and how much less it would be without its two protections. */
export function limits(stage: Stage): Contender[] {
  const { filled, scripts, postmaster, pool } = stage
  const ask = stage.asker === 'pgbench' ? pgbench : loop
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
        ask(filled.url(login), change(found), loadOf(work, { ...stage.load, connections: pool }), {
          client,
          postgres: postmaster,
        }),
      )
    },
    memory: () => undefined,
    tidy: () => tidy(filled.adminUrl, stage.since),
  })
  return [
    contender('limit', 'PostgreSQL alone', 'callboard_api'),
    contender('no-rls', '… with an explicit WHERE and no RLS', unlimited, found => withExplicitWhere(found)),
    contender('unsigned', '… without signing the context', 'callboard_api', undefined, measure =>
      withoutSignature(filled.adminUrl, measure),
    ),
  ]
}

/** Runs with a signature that costs nothing, in the benchmark's own database. */
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

/** How much of a work is asked for, where all others are asked for so much. */
const loadOf = (work: Work, { connections, seconds, warmUp }: Load): Load => ({
  connections: Math.min(connections, work.connections ?? connections),
  seconds: Math.max(seconds, work.seconds ?? 0),
  warmUp,
})

/** Those who ask for a work. */
export const peopleFor = ({ isLarge }: Work, people: Person[]) =>
  isLarge === true ? people.filter(person => person.isLarge) : people

/** A server over HTTP. */
export function overHttp(
  stage: Stage,
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
        { statuses: [work.status], people: peopleFor(work, stage.people), request: asked },
        loadOf(work, stage.load),
        {
          server: program.pid,
          postgres: stage.postmaster,
          client,
        },
      )
    },
    ask: async (work, person) => {
      const { method, path, headers } = request(work)?.(person, 0) ?? work.request(person, 0)
      return (await fetch(program.url + path, { method, headers })).json()
    },
    memory: () => memory(program.pid),
    tidy: () => tidy(stage.filled.adminUrl, stage.since),
  }
}
