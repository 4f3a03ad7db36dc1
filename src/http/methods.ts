import type { FastifyInstance, HTTPMethods } from 'fastify'
import fp from 'fastify-plugin'
import { Problem } from './problem.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Answers 405 with Allow to every other method of existing paths. Call it after the routes. */
    refuseOtherMethods: () => void
  }
}

const all: HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']

export const methods = fp(
  async (app: FastifyInstance) => {
    const paths = new Map<string, Set<HTTPMethods>>()
    app.addHook('onRoute', ({ url, method }) => {
      // A path with a parameter of another name is the same path.
      const path = url.replace(/:\w+/g, ':id')
      const known = paths.get(path) ?? new Set()
      for (const name of [method].flat()) known.add(name)
      paths.set(path, known)
    })
    app.decorate('refuseOtherMethods', () => {
      for (const [url, known] of [...paths]) {
        const allow = [...known].sort().join(', ')
        const missing = all.filter(name => !known.has(name))
        if (missing.length === 0 || url.startsWith('/docs') || url.includes('*')) continue
        app.route({
          method: missing,
          url,
          schema: { hide: true },
          // Before a body is read or parsed, which would be pointless.
          onRequest: async (request, reply) => {
            void reply.header('allow', allow)
            throw new Problem(
              405,
              'method_not_allowed',
              `${request.method} is not allowed here; allowed: ${allow}.`,
            )
          },
          handler: async () => undefined,
        })
      }
    })
  },
  { name: 'methods' },
)
