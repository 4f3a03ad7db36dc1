// What lets a migration run while others work on the database.
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { tls } from './node-postgres.ts'

/** How long a statement waits for a lock, in milliseconds. Meanwhile requests queue behind it. */
const lockTimeout = 400

/** The same connection, on which no statement waits longer for a lock. */
export function withLockTimeout(url: string): string {
  const changed = new URL(url)
  const options = changed.searchParams.get('options')
  changed.searchParams.set('options', [options, `-c lock_timeout=${lockTimeout}`].filter(Boolean).join(' '))
  return changed.href
}

function migratorPool(migratorUrl: string): pg.Pool {
  const pool = new pg.Pool({
    ...tls(withLockTimeout(migratorUrl), false),
    max: 1,
    application_name: 'callboard migrate',
    connectionTimeoutMillis: 10_000,
    statement_timeout: 600_000,
  })
  // Without listeners the loss of a connection would end the process; pending queries reject anyway.
  pool.on('error', () => {})
  pool.on('connect', client => client.on('error', () => {}))
  return pool
}

/** Lends the migrator's connection: what is done on it is done one after another. */
export async function asMigrator<T>(migratorUrl: string, work: (pool: pg.Pool) => Promise<T>): Promise<T> {
  const pool = migratorPool(migratorUrl)
  return work(pool).finally(() => pool.end())
}

/**
 * Has workers compute no figures until the returned function is called, because that can hold locks for minutes: it
 * takes the places for which they wait for nobody. Every other attempt does without, in case it is in its own way.
 */
export async function pauseRefreshes(migratorUrl: string, attempt: number): Promise<() => Promise<void>> {
  if (attempt % 2 === 0) return async () => {}
  const pool = migratorPool(migratorUrl)
  try {
    const client = await pool.connect()
    const { rows } = await client.query<{ there: boolean }>(
      `select to_regclass('analytics_private.refreshing') is not null as there`,
    )
    if (rows[0]?.there) {
      await client.query(`begin; set local role callboard_rollup; set local lock_timeout = '15s'`)
      await client.query('select from analytics_private.refreshing for update').catch(() => {})
    }
    return async () => {
      await client.query('rollback').catch(() => {})
      client.release()
      await pool.end()
    }
  } catch (error) {
    await pool.end()
    throw error
  }
}

/**
 * From so many seconds on, ends transactions of BI tools for which the migrator waits, until the returned function is
 * called: a tool asks again, and whoever keeps a transaction open for as long as they may would otherwise hold up
 * everything. Requests, jobs and people are waited for.
 */
export function endBiInWay(
  migratorUrl: string,
  seconds: number,
  log: (line: string) => void,
): () => Promise<void> {
  const stopped = new AbortController()
  const { signal } = stopped
  async function watch() {
    await sleep(seconds * 1000, undefined, { signal })
    await asMigrator(migratorUrl, async pool => {
      const { rows } = await pool.query<{ there: boolean }>(
        `select to_regprocedure('app_private.end_bi_in_way()') is not null as there`,
      )
      // What the migrator waits for a lock is over in a moment, so this looks often.
      while (rows[0]?.there && !signal.aborted) {
        const found = await pool.query<{ ended: string }>('select app_private.end_bi_in_way() as ended')
        const ended = Number(found.rows[0]?.ended)
        if (ended > 0) log(`Ended ${ended} transactions of BI tools that were in the way`)
        await sleep(50, undefined, { signal })
      }
    })
  }
  async function keepWatching() {
    while (!signal.aborted)
      await watch().catch((error: unknown) => {
        if (!signal.aborted) log(`Transactions of BI tools cannot be ended: ${(error as Error).message}`)
      })
  }
  const watching = keepWatching()
  return () => {
    stopped.abort()
    return watching
  }
}

/**
 * Whether a migration is one statement that locks out neither readers nor writers and can be run twice, such as CREATE
 * INDEX CONCURRENTLY IF NOT EXISTS.
 */
export const isConcurrent = (text: string) =>
  /^--! no-transaction/m.test(text) && /^(?!\s*--).*\bconcurrently if (not )?exists\b/im.test(text)

/**
 * Runs such a migration. It waits until every transaction has ended that was open when it began, for at most so many
 * seconds; nobody waits behind it, so giving up after a moment would only have it begin again.
 */
export async function runConcurrently(migratorUrl: string, text: string, wait: number): Promise<void> {
  await asMigrator(migratorUrl, async pool => {
    await waitFor(pool, wait)
    await pool.query(text)
  })
}

/** Lets the statements of a pool with one connection wait for a lock, for at most so many seconds. */
async function waitFor(pool: pg.Pool, seconds: number): Promise<void> {
  await pool.query(`set lock_timeout = '${seconds}s'; set statement_timeout = 0`)
}

/**
 * Drops the indexes that an interrupted CREATE INDEX CONCURRENTLY has left: they are used for nothing, and its IF NOT
 * EXISTS would take them for what it is to make. Like that, it waits for the transactions that are open.
 */
export async function dropInvalidIndexes(migratorUrl: string, wait: number): Promise<void> {
  await asMigrator(migratorUrl, async pool => {
    await waitFor(pool, wait)
    const { rows } = await pool.query<{ name: string }>(
      `select c.oid::regclass::text as name from pg_index i join pg_class c on c.oid = i.indexrelid
       where not i.indisvalid and c.relkind = 'i' and c.relnamespace::regnamespace::text in ('app', 'app_private', 'analytics_private')`,
    )
    for (const { name } of rows) await pool.query(`drop index concurrently if exists ${name}`)
  })
}

/** What app_private.remake_json has done last. */
interface Remade {
  table?: string
}

/** Makes the JSON of rows again whose fields a migration has changed, in small transactions: see app_private.remake_json. */
export async function remakeRows(migratorUrl: string, log: (line: string) => void = () => {}): Promise<void> {
  await asMigrator(migratorUrl, async pool => {
    let last: Remade | null = {}
    let table: string | undefined
    while (last !== null) {
      const { rows }: pg.QueryResult<{ last: Remade | null }> = await pool.query(
        'select app_private.remake_json($1) as last',
        [last],
      )
      last = rows[0]?.last ?? null
      if (last?.table !== undefined && last.table !== table) log(`Making the JSON of ${last.table} again`)
      table = last?.table
    }
  })
}
