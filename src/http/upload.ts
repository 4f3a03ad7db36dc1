import { createHash, randomUUID } from 'node:crypto'
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

/** A completely received file. Its bytes are on disk, so that a slow client occupies no connection of the pool. */
export class Upload {
  bytes = 0
  sha256 = ''
  readonly #path = join(tmpdir(), `callboard-${randomUUID()}`)

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

  remove(): Promise<void> {
    return rm(this.#path, { force: true })
  }
}

/** Makes the routes in the same scope accept files of these types, as an Upload, and nothing else. */
export function takeFiles(app: App, limit: number, types: string | string[] = 'text/csv') {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(types, async (_request: FastifyRequest, payload: Readable) => {
    const upload = new Upload()
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
