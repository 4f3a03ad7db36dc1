import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import fp from 'fastify-plugin'
import helmet, { type HelmetOptions } from 'helmet'

/** Sets helmet's headers. They never change, so they are computed once instead of on each request. */
export const securityHeaders = fp(
  async (app, options: HelmetOptions) => {
    const request = new IncomingMessage(new Socket())
    const response = new ServerResponse(request)
    helmet(options)(request, response, () => {})
    const headers = response.getHeaders()
    app.addHook('onRequest', (_request, reply, done) => {
      void reply.headers(headers)
      done()
    })
  },
  { name: 'security-headers' },
)
