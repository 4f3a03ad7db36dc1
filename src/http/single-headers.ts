import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Problem } from './problem.ts'

/** Of these, Node silently uses the first, and a proxy before it may have used the last (RFC 9110, section 5.3). */
const single = new Set(['host', 'authorization', 'content-type'])

/** Refuses a request that has a header twice of which there can be only one. */
export const singleHeaders = fp(
  async (app: FastifyInstance) => {
    app.addHook('onRequest', ({ raw: { headers, rawHeaders } }, _reply, done) => {
      // Nearly all requests have each header once.
      const isTwice = Object.keys(headers).length * 2 !== rawHeaders.length
      const name = isTwice ? firstTwice(rawHeaders) : undefined
      if (name === undefined) done()
      else done(new Problem(400, 'bad_request', `There is more than one ${name} header.`))
    })
  },
  { name: 'single-headers' },
)

/** Of names and values in turn, the first name of those that may be there once and is there again. */
function firstTwice(rawHeaders: readonly string[]): string | undefined {
  const names = rawHeaders.filter((_, i) => i % 2 === 0).map(name => name.toLowerCase())
  return names.find((name, i) => single.has(name) && names.indexOf(name) < i)
}
