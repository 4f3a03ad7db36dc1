import postgres from 'postgres'
import type { Filled, Server } from './database.ts'

/** The login for statements that bypass row-level security. */
export const unlimited = 'callboard_bench'

/** Logins that exist only for the benchmark. */
const logins: Record<string, string> = {
  [unlimited]: 'login bypassrls',
  callboard_bench_rls: 'login',
  callboard_bench_web: 'nologin',
  callboard_bench_rest: 'login noinherit',
}

/** Creates them and returns a function that drops them again, unless the server belongs to the benchmark. */
export async function makeLogins(
  { isOwn, passwordOf }: Server,
  { adminUrl }: Filled,
): Promise<() => Promise<void>> {
  const run = async (statements: string[]) => {
    const sql = postgres(adminUrl, { max: 1, onnotice: () => {} })
    for (const statement of statements) await sql.unsafe(statement).simple()
    await sql.end()
  }
  for (const [name, rights] of Object.entries(logins))
    await run([
      `do $$ begin if not exists (select from pg_roles where rolname = '${name}') then create role ${name}; end if; end $$`,
      `alter role ${name} ${rights} password '${passwordOf(name)}'`,
      `grant connect on database ${new URL(adminUrl).pathname.slice(1)} to ${name}`,
    ])
  await run([`grant callboard_api to ${unlimited}`, 'grant callboard_bench_web to callboard_bench_rest'])
  const names = Object.keys(logins)
  return async () => {
    if (!isOwn) await run(names.flatMap(name => [`drop owned by ${name}`, `drop role ${name}`]))
  }
}
