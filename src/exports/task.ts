import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Job, JobHelpers, TaskList } from 'graphile-worker'
import type { Config } from '../config.ts'
import { refuseCopy } from '../database/origin.ts'
import { createPool, type Client, type Pool } from '../database/pool.ts'
import type { Filters, RowSettings } from '../tenant/list.ts'
import { problems } from '../http/problems.ts'
import { type Format, textOf } from './formats.ts'
import { createStorage } from './open.ts'
import { type Resource, resources } from './resources.ts'
import { type Storage, StorageFailure } from './storage.ts'

interface Payload {
  organization: string
  export: string
}
interface Begun {
  resource: Resource
  format: Format
  bom: boolean
  filters: Filters
  attempt: string
  key: string
}

/** How often progress is reported to the database, and whether to continue is checked, in milliseconds. */
const interval = 500
/** How long a file that nobody wants may take to be removed, in milliseconds; otherwise it is swept later. */
const removal = 1000
/** How long a transaction of the worker may take to read an export, in milliseconds. */
const timeout = 4 * 3_600_000

/** The export is no longer wanted or permitted: the database knows why. */
class Stopped extends Error {}

async function ask<T>(helpers: JobHelpers, text: string, values: unknown[]): Promise<T> {
  const { rows } = await helpers.query<Record<string, T>>(text, values)
  return Object.values(rows[0] ?? {})[0] as T
}

/** Runs `work` as the member who requested the export, under the policies of their requests, read-only. */
async function asMember<T>(
  pool: Pool,
  { organization, export: id }: Payload,
  attempt: string,
  work: (sql: Client) => Promise<T>,
  signal: AbortSignal,
) {
  return pool.use(
    async sql => {
      await sql`begin isolation level repeatable read read only`
      try {
        await sql`select app.enter_export(${organization}, ${id}, ${attempt})`
        await sql`set local role callboard_exporter`
        const result = await work(sql)
        await sql`commit`
        return result
      } catch (error) {
        // After any other error the pool closes the connection, as also if it is still sending rows and cannot roll back.
        if ('severity' in (error as object))
          await sql`rollback`.catch(() => {
            throw new Error('the export broke off', { cause: error })
          })
        throw error
      }
    },
    { signal },
  )
}

/**
 * Reports the progress and asks whether to continue, whether or not there is any, until the returned function is called.
 * Aborts when the export is no longer wanted, or the worker stops.
 */
function watch(aborter: AbortController, stopping: AbortSignal | undefined, note: () => Promise<boolean>) {
  let isAsking = false
  const look = async () => {
    if (isAsking || aborter.signal.aborted) return
    isAsking = true
    try {
      if (!(await note())) aborter.abort(new Stopped())
    } catch (error) {
      aborter.abort(error)
    }
    isAsking = false
  }
  const timer = setInterval(() => void look(), interval)
  const stop = () => {
    aborter.abort(stopping?.reason)
  }
  stopping?.addEventListener('abort', stop)
  return () => {
    clearInterval(timer)
    stopping?.removeEventListener('abort', stop)
  }
}

async function run(
  payload: Payload,
  helpers: JobHelpers,
  { pool, storage, settings }: { pool: Pool; storage: Storage; settings: RowSettings },
): Promise<void> {
  const ids = [payload.organization, payload.export]
  const begun = await ask<Begun | null>(helpers, 'select app.begin_export($1, $2)', ids)
  if (!begun) return
  const { resource, attempt, key, ...order } = begun
  const hash = createHash('sha256')
  let [rows, bytes] = [0, 0]
  async function* measured(pieces: AsyncIterable<Buffer>) {
    for await (const piece of pieces) {
      hash.update(piece)
      bytes += piece.length
      yield piece
    }
  }
  const aborter = new AbortController()
  const { signal } = aborter
  const unwatch = watch(aborter, helpers.abortSignal, () =>
    ask(helpers, 'select app.note_export_progress($1, $2, $3, $4)', [...ids, attempt, rows]),
  )
  let isKept = false
  try {
    const store = (sql: Client) => {
      const pieces = textOf(sql, { ...order, rows: resources[resource], settings }, n => (rows += n))
      return storage.put(key, Readable.from(measured(pieces), { objectMode: false }), signal)
    }
    await asMember(pool, payload, attempt, store, signal).finally(unwatch)
    // From here on only the database knows whether the file is wanted; others are swept.
    isKept = true
    isKept = await ask(helpers, 'select app.finish_export($1, $2, $3, $4, $5, $6)', [
      ...ids,
      attempt,
      rows,
      bytes,
      hash.digest('hex'),
    ])
  } catch (error) {
    const because = reasonOf(error)
    if (because === undefined) throw error
    if (because !== '')
      await ask(helpers, 'select app.fail_export($1, $2, $3, $4)', [...ids, attempt, because])
  } finally {
    // Nobody will download it.
    if (!isKept) await Promise.race([storage.remove(key).catch(() => {}), sleep(removal)])
  }
}

/** The reason for users, '' if the database knows it; undefined if a retry may help. */
function reasonOf(error: unknown): string | undefined {
  if (error instanceof Stopped) return ''
  if (error instanceof StorageFailure) return error.message
  const { code, message, detail } = error as Error & { code?: unknown; detail?: string }
  // The code of an aborted read is a number.
  if (typeof code === 'string' && code.startsWith('PT4')) return detail || problems[message]?.title || message
  return undefined
}

/** Removes files of no current export: expired, cancelled, or left by a worker that died. */
async function sweep(helpers: JobHelpers, storage: Storage): Promise<void> {
  let swept = 0
  for await (const keys of storage.keys()) {
    const wanted = new Set(await ask<string[]>(helpers, 'select app.wanted_export_files($1)', [keys]))
    for (const key of keys.filter(name => !wanted.has(name))) {
      await storage.remove(key)
      swept += 1
    }
  }
  helpers.logger.debug(`export files swept: ${swept}`)
}

/** The tasks behind exports, and a function that closes their connections: see db/schema/exports/export_running.sql. */
export function exportTasks(
  config: Config,
  url: string,
  size: number,
): { tasks: TaskList; close: () => Promise<unknown> } {
  const storage = createStorage(config)
  const pool = createPool({
    url,
    size,
    deadline: timeout,
    statementTimeout: timeout,
    prepare: false,
    applicationName: 'callboard worker export',
    admit: refuseCopy('primary'),
  })
  const run_export = async (given: unknown, helpers: JobHelpers) => {
    const payload = given as Payload
    try {
      await run(payload, helpers, { pool, storage, settings: { delay: config.USE_FLUSH_INTERVAL } })
    } catch (error) {
      const { attempts, max_attempts }: Job = helpers.job
      if (attempts >= max_attempts)
        await ask(helpers, 'select app.fail_export($1, $2, null, $3)', [
          payload.organization,
          payload.export,
          'The export failed for technical reasons. Try again.',
        ])
      throw error
    }
  }
  return {
    tasks: { run_export, sweep_exports: (_, helpers) => sweep(helpers, storage) },
    close: () => Promise.all([pool.close(), storage.close()]),
  }
}
