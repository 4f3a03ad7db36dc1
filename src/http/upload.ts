import { createHash, randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FastifyRequest } from 'fastify'
import type { App } from './fastify.ts'
import { Problem } from './problem.ts'

/** How much of a file is in memory at a time, and stored as one row. */
const pieceSize = 262_144

/** How many files somebody has here at a time, being received or not yet stored: the rest wait, unread. */
const most = { person: 4, organization: 8 }

/** Whose files are on the disk of this process. A sender who is slow on purpose keeps one there for hours. */
class Places {
  readonly #taken = new Map<string, number>()
  readonly #changes = new EventEmitter().setMaxListeners(0)

  /** Waits for a place of the person and one of the organization; returns what gives them back, once. */
  async take({ user, raw }: FastifyRequest): Promise<() => void> {
    const places = [
      [`person ${user.sub}`, most.person],
      [`organization ${user.org}`, most.organization],
    ] as const
    const left = new AbortController()
    const leave = () => {
      left.abort()
    }
    raw.once('close', leave)
    try {
      // In the order in which they came, because they listen in that order.
      while (places.some(([whose, limit]) => (this.#taken.get(whose) ?? 0) >= limit))
        await once(this.#changes, 'freed', { signal: left.signal })
    } catch {
      throw new Problem(408, 'request_timeout', 'The client left before the file was received.')
    } finally {
      raw.off('close', leave)
    }
    for (const [whose] of places) this.#add(whose, 1)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      for (const [whose] of places) this.#add(whose, -1)
      this.#changes.emit('freed')
    }
  }

  #add(whose: string, n: number): void {
    const count = (this.#taken.get(whose) ?? 0) + n
    if (count > 0) this.#taken.set(whose, count)
    else this.#taken.delete(whose)
  }
}
const places = new Places()

/** A completely received file. Its bytes are on disk, so that a slow client occupies no connection of the pool. */
export class Upload {
  bytes = 0
  sha256 = ''
  readonly #path = join(tmpdir(), `callboard-${randomUUID()}`)
  readonly #giveBack: () => void

  /** giveBack: called when it is no longer here. */
  constructor(giveBack: () => void = () => {}) {
    this.#giveBack = giveBack
  }

  async receive(from: Readable, limit: number): Promise<void> {
    const hash = createHash('sha256')
    await pipeline(
      from,
      async function* (this: Upload, source: AsyncIterable<Buffer>) {
        for await (const chunk of source) {
          this.bytes += chunk.length
          if (this.bytes > limit) throw new Problem(413, 'payload_too_large')
          hash.update(chunk)
          yield chunk
        }
      }.bind(this),
      createWriteStream(this.#path, { flags: 'wx', mode: 0o600 }),
    )
    this.sha256 = hash.digest('hex')
  }

  async *pieces(): AsyncGenerator<Buffer> {
    yield* createReadStream(this.#path, { highWaterMark: pieceSize }) as AsyncIterable<Buffer>
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true })
    this.#giveBack()
  }
}

/** Makes the routes in the same scope accept files of these types, as an Upload, and nothing else. */
export function takeFiles(app: App, limit: number, types: string | string[] = 'text/csv') {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(types, async (request: FastifyRequest, payload: Readable) => {
    const upload = new Upload(await places.take(request))
    try {
      await upload.receive(payload, limit)
    } catch (error) {
      await upload.remove()
      throw error
    }
    return upload
  })
  app.addHook('preParsing', app.receivePatiently)
  app.addHook('onResponse', async ({ body }) => {
    if (body instanceof Upload) await body.remove()
  })
}
