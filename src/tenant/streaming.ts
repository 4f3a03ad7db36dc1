import { once } from 'node:events'
import { PassThrough, type Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import type { PendingQuery, Row } from 'postgres'
import type { Client, Pool } from '../database/pool.ts'
import { asking } from '../http/logging.ts'
import { Problem } from '../http/problem.ts'

/** What a long answer is made of. */
export interface Parts {
  /** Logs that it begins; committed before anything is read, so that nothing is taken without a trace. */
  note: (sql: Client) => PendingQuery<Row[]>
  /** Refuses whoever may not have it any more. */
  check: (sql: Client) => PendingQuery<Row[]>
  /** Reads it, in one transaction that can only read. */
  pieces: (sql: Client) => AsyncIterable<string | Buffer>
  /** Logs how it ended. */
  noteEnd: (sql: Client, isWhole: boolean) => PendingQuery<Row[]>
}
/** Runs work as the member who asks, on a connection out of that pool, or out of the usual one. */
type Inside = <T>(
  isReadOnly: boolean,
  work: (sql: Client) => PromiseLike<T>,
  on?: Pick<Pool, 'use'>,
) => Promise<T>
/** Work whose result is sent while it is read: whether it was given up, and whether it can still be begun anew. */
export interface UnderWay {
  signal: AbortSignal
  hasBegun: () => boolean
}
/** How a long answer gets to the database. */
export interface Doors {
  inside: Inside
  /** As `inside`, for the reading, which a standby may do instead of that connection. */
  reading: (
    work: (sql: Client) => PromiseLike<void>,
    on: Pick<Pool, 'use'>,
    underWay: UnderWay,
  ) => Promise<void>
}

/** How many an organization has of those that run: at most half of all, so that none keeps the others from theirs. */
const running = new Map<string | null, number>()
/** How often it is asked whether the one who reads may go on, in milliseconds. */
const checkEvery = 5000

/**
 * Begins to send, and resolves with the stream once it has a first piece. Before that it rejects with what the
 * database says, or with 503 exports_busy. An error behind the first piece cuts the stream, so that it does not
 * look like an answer, and so does losing the permission; a client that goes away gives the connection back at once.
 */
export async function stream(
  pool: Pool,
  request: FastifyRequest,
  { inside, reading }: Doors,
  parts: Parts,
): Promise<Readable> {
  const { busy, size } = pool.stats()
  const { org } = request.user
  const own = running.get(org) ?? 0
  if (busy >= size || own >= Math.ceil(size / 2)) throw new Problem(503, 'exports_busy')
  running.set(org, own + 1)
  const out = new PassThrough()
  out.on('error', () => {})
  const gone = new AbortController()
  const leave = () => {
    gone.abort(new Error('the client went away'))
  }
  // Also the one who still waits for the first piece.
  const { socket } = request.raw
  socket.once('close', leave)
  out.once('close', leave)
  let isNoted = false
  const warn = (err: unknown, what: string) => {
    request.log.warn({ err, ...asking(request) }, what)
  }
  async function read(hasBegun: () => void) {
    await pool.use(async sql => {
      const on = { use: <T>(work: (sql: Client) => PromiseLike<T>) => Promise.resolve(work(sql)) }
      await inside(false, parts.note, on)
      isNoted = true
      let isBegun = false
      const begin = () => {
        isBegun = true
        hasBegun()
      }
      await reading(client => pour(parts.pieces(client), out, begin, gone.signal), on, {
        signal: gone.signal,
        hasBegun: () => isBegun,
      })
    }, gone.signal)
  }
  const checking = setInterval(() => {
    inside(true, parts.check).catch((error: unknown) => {
      // Without an answer there is none: the database may be busy.
      if (/^PT4/.test(String((error as { code?: unknown }).code))) gone.abort(error)
    })
  }, checkEvery)
  const end = async (isWhole: boolean) => {
    clearInterval(checking)
    const left = (running.get(org) ?? 1) - 1
    if (left > 0) running.set(org, left)
    else running.delete(org)
    socket.off('close', leave)
    if (isNoted)
      await inside(false, sql => parts.noteEnd(sql, isWhole)).catch((error: unknown) => {
        warn(error, 'the end of an export could not be logged')
      })
  }
  return new Promise((resolve, reject) => {
    const hasBegun = () => {
      resolve(out)
    }
    read(hasBegun).then(
      async () => {
        await end(true)
        hasBegun()
        out.end()
      },
      async (thrown: unknown) => {
        const error = thrown instanceof Error ? thrown : new Error(String(thrown))
        reject(error)
        out.destroy(error)
        if (isNoted && !gone.signal.aborted) warn(error, 'an export broke off')
        await end(false)
      },
    )
  })
}

/** Writes the pieces as fast as they are taken. What breaks off behind the first is not tried again. */
async function pour(
  pieces: AsyncIterable<string | Buffer>,
  out: PassThrough,
  hasBegun: () => void,
  signal: AbortSignal,
): Promise<void> {
  let isFirst = true
  try {
    for await (const piece of pieces) {
      if (piece.length === 0) continue
      const isFull = !out.write(piece)
      hasBegun()
      isFirst = false
      if (isFull) await once(out, 'drain', { signal })
    }
  } catch (cause) {
    throw isFirst ? cause : new Error('it broke off behind its first piece', { cause })
  }
}
