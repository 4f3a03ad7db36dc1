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
    /** Counts the usage of organizations: see db/schema/analytics/use.sql. */
    tally: Counts
  }
}

/** Bytes read and written on a connection when its last request ended. */
const marks = new WeakMap<Socket, { read: number; written: number }>()

/** Bytes of a request and its answer: those read and written on the connection since the last one. */
export function trafficOf(
  request: FastifyRequest,
  reply: FastifyReply,
): { bytesIn: number; bytesOut: number } {
  const { socket } = request.raw
  const { bytesRead: read, bytesWritten: written } = socket as { bytesRead?: number; bytesWritten?: number }
  if (typeof read !== 'number' || typeof written !== 'number')
    // Without a network connection, or after it closed: the lengths of the bodies, from the headers.
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

/** Counts, and adds the counts to the database every USE_FLUSH_INTERVAL seconds, and on shutdown. */
export const tally = fp(
  async (app: FastifyInstance, { pool, config }: { pool: Pool; config: Config }) => {
    // Without an organization, because it covers many: app.add_use needs no context but the login.
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
    async function flushRepeatedly() {
      let hasFailed = false
      for (;;) {
        await sleep(config.USE_FLUSH_INTERVAL * 1000, undefined, { signal: stopped.signal, ref: false })
        try {
          await counts.flush()
          hasFailed = false
        } catch (error) {
          app.log[hasFailed ? 'debug' : 'warn']({ err: error }, 'usage counts are waiting for the database')
          hasFailed = true
        }
      }
    }
    app.addHook('onReady', () => void flushRepeatedly().catch(() => {}))
    // After the last answer, and before the owner of the pool closes it.
    app.addHook('onClose', async () => {
      stopped.abort()
      const end = performance.now() + config.DATABASE_DEADLINE * 1000
      for (;;) {
        try {
          await counts.flush()
          return
        } catch (error) {
          if (performance.now() < end) await sleep(200)
          else {
            app.log.error({ err: error, ...counts.stats() }, 'the latest usage counts are lost')
            return
          }
        }
      }
    })
  },
  { name: 'tally', dependencies: ['tenant'] },
)
