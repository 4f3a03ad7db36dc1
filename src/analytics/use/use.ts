import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../../config.ts'
import type { Pool } from '../../database/pool.ts'
import { type Counts, createCounts } from './counts.ts'
import { run } from '../../tenant/transaction.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts what organizations use: see db/schema/analytics/use.sql. */
    tally: Counts
  }
}

/** What had come and gone on a connection when its last request ended. */
const marks = new WeakMap<Socket, { read: number; written: number }>()

/** Bytes of a request and of its answer: what has come and gone on the connection since the last one. */
export function trafficOf(
  request: FastifyRequest,
  reply: FastifyReply,
): { bytesIn: number; bytesOut: number } {
  const { socket } = request.raw
  const { bytesRead: read, bytesWritten: written } = socket as { bytesRead?: number; bytesWritten?: number }
  if (typeof read !== 'number' || typeof written !== 'number')
    // Without a network, or after it: what the headers say of the bodies.
    return {
      bytesIn: Number(request.headers['content-length'] ?? 0),
      bytesOut: Number(reply.getHeader('content-length') ?? 0),
    }
  const mark = marks.get(socket)
  if (mark === undefined) {
    marks.set(socket, { read, written })
    return { bytesIn: read, bytesOut: written }
  }
  const traffic = { bytesIn: read - mark.read, bytesOut: written - mark.written }
  mark.read = read
  mark.written = written
  return traffic
}

/** Counts, and adds what it has counted to the database: every USE_FLUSH_INTERVAL seconds, and at a stop. */
export const tally = fp(
  async (app: FastifyInstance, { pool, config }: { pool: Pool; config: Config }) => {
    // Of no organization, because it is of many: app.add_use takes no other context than the login.
    const counts = createCounts(({ id, api, integrations }) =>
      run(pool, {
        mayWrite: true,
        enter: () => [],
        work: sql =>
          sql`select app.add_use(${id}, ${JSON.stringify(api)}::text::jsonb, ${JSON.stringify(integrations)}::text::jsonb)`,
      }),
    )
    app.decorate('tally', counts)

    const stopped = new AbortController()
    async function flushAgainAndAgain() {
      let hasFailed = false
      for (;;) {
        await sleep(config.USE_FLUSH_INTERVAL * 1000, undefined, { signal: stopped.signal, ref: false })
        try {
          await counts.flush()
          hasFailed = false
        } catch (error) {
          app.log[hasFailed ? 'debug' : 'warn']({ err: error }, 'what was counted waits for the database')
          hasFailed = true
        }
      }
    }
    app.addHook('onReady', () => void flushAgainAndAgain().catch(() => {}))
    // After the last answer, and before whoever has made the pool closes it.
    app.addHook('onClose', async () => {
      stopped.abort()
      const end = Date.now() + config.DATABASE_DEADLINE * 1000
      for (;;) {
        try {
          await counts.flush()
          return
        } catch (error) {
          if (Date.now() < end) await sleep(200)
          else {
            app.log.error({ err: error, ...counts.stats() }, 'what was counted last is lost')
            return
          }
        }
      }
    })
  },
  { name: 'tally', dependencies: ['tenant'] },
)
