// The file of what ends (ENDED_FILE): it outlives the database, so that what has ended since a copy was made can be
// ended in the copy, too. db/schema/retention/ended.sql says what is in it, src/jobs/ended-reading.ts reads it.
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Observe } from '../monitoring/jobs.ts'
import { type Line, lineOf } from './ended-reading.ts'

/** How often a line is appended, in milliseconds. */
const interval = 60_000
/** How much of the end of the file is searched for its last line, in bytes; doubled until it is found. */
const searched = 65_536

/** Runs a statement with values and returns the first column of its first row. */
type Ask = (sql: string, values?: unknown[]) => Promise<unknown>
type Behind = Pick<Line, 'origin' | 'until'>

/** The last line that is whole, if there is one. */
async function lastLine(file: FileHandle, size: number): Promise<Line | undefined> {
  for (let length = Math.min(searched, size); length > 0; length = Math.min(length * 2, size)) {
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length)
    // Where it does not begin at the start of the file, the first piece is a part of a line.
    const lines = buffer
      .toString()
      .split('\n')
      .slice(length < size ? 1 : 0)
    const found = lines.map(lineOf).findLast(line => line !== undefined)
    if (found || length === size) return found
  }
  return undefined
}

/**
 * Appends a line to the file with what has ended since the one behind or, without that, since the last in the file.
 * Returns what the next one follows. When it has returned, the line is on the disk.
 */
export async function appendEnded(path: string, ask: Ask, behind?: Behind): Promise<Behind | undefined> {
  const file = await open(path, 'a+', 0o600)
  try {
    const { size } = await file.stat()
    const follows = behind ?? (await lastLine(file, size))
    const line = (await ask('select app.read_ended($1)', [
      follows ? JSON.stringify({ origin: follows.origin, until: follows.until }) : null,
    ])) as Line | null
    if (!line) return behind
    const { buffer: last } = await file.read(Buffer.alloc(1), 0, 1, Math.max(size - 1, 0))
    // A line that was torn, because the process or the disk was at its end, must not spoil this one.
    const torn = size > 0 && last.toString() !== '\n' ? '\n' : ''
    await file.appendFile(`${torn}${JSON.stringify(line)}\n`)
    await file.sync()
    if (size === 0) await syncFolder(path)
    return { origin: line.origin, until: line.until }
  } finally {
    await file.close()
  }
}

/** Without this, a new file can be gone after a power failure. */
async function syncFolder(path: string) {
  const folder = await open(dirname(path))
  await folder.sync().finally(() => folder.close())
}

/**
 * Appends to the file now and every minute, until the returned function is called. Not as a job, which only one worker
 * would run: each keeps its own file. A failure is an error in the log each time, and the rest of the worker goes on.
 */
export function startRecording(
  path: string,
  ask: Ask,
  log: FastifyBaseLogger,
  observe?: Observe,
): () => void {
  const stopped = new AbortController()
  const { signal } = stopped
  async function record() {
    let behind: Behind | undefined
    while (!signal.aborted) {
      const began = performance.now()
      let outcome: 'done' | 'failed' = 'done'
      try {
        behind = await appendEnded(path, ask, behind)
      } catch (error) {
        if (signal.aborted) return
        outcome = 'failed'
        log.error({ task: 'record_ended', err: error }, 'what has ended cannot be written to ENDED_FILE')
      }
      observe?.('record_ended', outcome, performance.now() - began)
      await sleep(interval, undefined, { signal }).catch(() => {})
    }
  }
  void record()
  return () => {
    stopped.abort()
  }
}
