import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Problem } from './problem.ts'

/** Of these, Node silently uses the first, and a proxy before it may have used the last (RFC 9110, section 5.3). */
const single = new Set(['host', 'authorization', 'content-type'])

/** Refuses a request that has a header twice of which there can be only one. */
export const singleHeaders = fp(
  async (app: FastifyInstance) => {
    app.addHook('onRequest', async ({ raw: { rawHeaders } }) => {
      const seen = new Set<string>()
      for (let i = 0; i < rawHeaders.length; i += 2) {
        const name = rawHeaders[i]?.toLowerCase() ?? ''
        if (!single.has(name)) continue
        if (seen.has(name)) throw new Problem(400, 'bad_request', `There is more than one ${name} header.`)
        seen.add(name)
      }
    })
  },
  { name: 'single-headers' },
)
