import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Gives the body of a request as long as it keeps coming: it may not be silent for REQUEST_TIMEOUT, and has that
     * long plus a second for every 8 KiB. For `preParsing` of routes that take large files.
     */
    receivePatiently: (request: FastifyRequest) => Promise<void>
  }
}

/** The slowest line on which a large file can be sent, in bytes per second. */
const slowest = 8192

interface Body {
  began: number
  timer: NodeJS.Timeout
  /** Refuses the request: it has not arrived in time. */
  late: () => void
}

/**
 * How long a client may take to send a body. Node has a deadline for the headers, which it checks by itself, and one
 * for the whole request, which cannot differ by route.
 */
export const receiving = fp(
  async (app: FastifyInstance, { timeout }: { timeout: number }) => {
    const bodies = new WeakMap<IncomingMessage, Body>()

    app.addHook('onRequest', ({ raw }, reply, done) => {
      const { 'content-length': length, 'transfer-encoding': encoding } = raw.headers
      const hasBody = encoding !== undefined || (length !== undefined && length !== '0')
      // Without a network, all of it is there.
      if (hasBody && raw.socket instanceof Socket) {
        const late = () => {
          const error = Object.assign(new Error('Request timeout'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' })
          // What was refused before its body was read.
          if (reply.raw.headersSent) raw.socket.destroy()
          else app.server.emit('clientError', error, raw.socket)
        }
        const body = { began: performance.now(), late, timer: setTimeout(late, timeout) }
        bodies.set(raw, body)
        const received = () => {
          clearTimeout(body.timer)
        }
        raw.once('end', received).once('close', received)
      }
      done()
    })

    app.decorate('receivePatiently', async ({ raw }) => {
      const body = bodies.get(raw)
      if (!body || raw.complete) return
      clearTimeout(body.timer)
      const { socket } = raw
      const start = socket.bytesRead
      let heard = { bytes: start, at: performance.now() }
      body.timer = setInterval(
        () => {
          const now = performance.now()
          if (socket.bytesRead > heard.bytes) heard = { bytes: socket.bytesRead, at: now }
          const deadline = body.began + timeout + ((heard.bytes - start) / slowest) * 1000
          if (now - heard.at <= timeout && now <= deadline) return
          clearTimeout(body.timer)
          body.late()
        },
        Math.min(timeout / 4, 1000),
      )
    })
  },
  { name: 'receiving' },
)
