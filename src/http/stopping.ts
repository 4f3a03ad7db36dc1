import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /** Once it has begun, GET /readyz is 503, and each connection ends with its answer. */
    stopping: { hasBegun: boolean }
  }
}

/** Tells clients that the server is to stop: the next request on a connection that they keep would meet a reset. */
export const stopping = fp(
  async app => {
    app.decorate('stopping', { hasBegun: false })
    app.addHook('onSend', (_request, reply, payload, done) => {
      if (app.stopping.hasBegun) void reply.header('connection', 'close')
      done(null, payload)
    })
  },
  { name: 'stopping' },
)
