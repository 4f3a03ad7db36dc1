import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest, preHandlerAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from './config.ts'
import { Problem } from './problem.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** A stricter limit, per account and per address, for routes where a secret can be guessed. */
    signInLimit: preHandlerAsyncHookHandler
  }
}

const tooMany = (seconds: number) =>
  new Problem(429, 'rate_limited', `Too many requests: try again in ${seconds} seconds.`)

// Beyond so many keys the oldest is forgotten, and begins anew.
const window = { timeWindow: 60_000, cache: 100_000 }

/** Limits per organization, or per address where there is none yet. */
export const limits = fp(
  async (app: FastifyInstance, { config }: { config: Config }) => {
    await app.register(rateLimit, {
      // A route's own hook: it runs after the scope's authentication, so the organization is known,
      // and before a body is read, so a refused one is counted too.
      hook: 'onRequest',
      max: config.RATE_LIMIT,
      ...window,
      enableDraftSpec: true,
      keyGenerator: request => keyOf(request),
      errorResponseBuilder: (_request, context) => tooMany(Math.ceil(context.ttl / 1000)),
    })

    const perAddress = app.createRateLimit({
      max: config.SIGN_IN_LIMIT,
      ...window,
      keyGenerator: r => `address ${normalizeIP(r.ip)}`,
    })
    const perAccount = app.createRateLimit({
      max: config.SIGN_IN_LIMIT,
      ...window,
      keyGenerator: r => `account ${accountOf(r)}`,
    })
    app.decorate('signInLimit', async (request, reply) => {
      let least = Infinity
      for (const limit of [perAddress, perAccount]) {
        const result = await limit(request)
        if (result.isAllowed) continue
        // The answer tells of the limit that the client will run into first.
        if (result.remaining < least) {
          least = result.remaining
          void reply.header('ratelimit-limit', result.max)
          void reply.header('ratelimit-remaining', result.remaining)
          void reply.header('ratelimit-reset', result.ttlInSeconds)
        }
        if (!result.isExceeded) continue
        void reply.header('retry-after', result.ttlInSeconds)
        throw tooMany(result.ttlInSeconds)
      }
    })
  },
  { name: 'limits' },
)

// Undefined until a token was verified, whatever its type says.
const userOf = (request: FastifyRequest) => request.user as FastifyRequest['user'] | undefined

function keyOf(request: FastifyRequest): string {
  const user = userOf(request)
  // Whoever has one IPv6 address has all of its network.
  return user ? (user.org ?? user.sub) : normalizeIP(request.ip)
}

function accountOf(request: FastifyRequest): string {
  const { email, token } = (request.body ?? {}) as { email?: string; token?: string }
  return email?.toLowerCase() ?? token ?? userOf(request)?.sub ?? ''
}
