import postgres from 'postgres'
import { type Script, withExplicitWhere } from '../measure/limit.ts'
import type { Measure } from '../measure/load.ts'
import { loop } from '../measure/loop.ts'
import { pgbench } from '../measure/pgbench.ts'
import { unlimited } from '../data/roles.ts'
import { type Contender, type Fixtures, loadOf } from './contenders.ts'
import { isRequest } from './tasks.ts'
import { tidy } from './tidy.ts'

/** PostgreSQL alone with Callboard's own statements, and the same without each of the two protections. */
export function limits(fixtures: Fixtures): Contender[] {
  const { filled, people, scripts, postmaster, pool } = fixtures
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
      const found = isRequest(work) ? scripts.get(work) : undefined
      if (!isRequest(work) || !found) return undefined
      return within(async () => {
        await work.before?.(filled, people)
        const load = loadOf(work, { ...fixtures.load, connections: pool })
        return ask(filled.url(login), change(found), load, { client: process.pid, postgres: postmaster })
      })
    },
    memory: () => undefined,
    tidy: () => tidy(filled.adminUrl, fixtures.since),
  })
  return [
    contender('limit', 'PostgreSQL alone', 'callboard_api'),
    contender('no-rls', '… with an explicit WHERE and no RLS', unlimited, found => withExplicitWhere(found)),
    ...(fixtures.isSigned
      ? [
          contender('unsigned', '… without signing the context', 'callboard_api', undefined, measure =>
            withoutSignature(filled.adminUrl, measure),
          ),
        ]
      : []),
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
