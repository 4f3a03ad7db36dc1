import { createHash } from 'node:crypto'
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest, preHandlerAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../../config.ts'
import { countersIn } from './counters.ts'
import { connectRedis } from './redis.ts'
import { chargedSessions } from './refused.ts'
import { keyFor, organizationRules, type OwnRule, ruleIn } from './rules.ts'
import { Problem, toProblem } from '../problem.ts'
import { ofMemberships, ofSessions } from '../problems.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** A stricter limit, per account and per address, for routes where a secret could be guessed. */
    signInLimit: preHandlerAsyncHookHandler
  }
}

/** The problems with which the database refuses a revoked token. */
const revocations = new Set([...ofSessions, ...ofMemberships])

const tooMany = (seconds: number) =>
  new Problem(429, 'rate_limited', `Too many requests: try again in ${seconds} seconds.`)

/** Rate limits per organization, or per IP address where there is none yet. */
export const limits = fp(
  async (app: FastifyInstance, { config }: { config: Config }) => {
    const redis = config.REDIS_URL === undefined ? undefined : await connectRedis(config.REDIS_URL, app.log)
    app.addHook('onClose', async () => redis?.close())

    const usual = {
      requests: config.RATE_LIMIT,
      window: config.RATE_LIMIT_WINDOW,
      block: config.RATE_LIMIT_BLOCK,
    }
    const ruleOf = organizationRules(usual, config.RATE_LIMIT_REFRESH * 1000, async member => {
      const [own] = await app.readAs(
        member,
        sql => sql<OwnRule[]>`select requests, window_seconds, block_seconds from app.rate_limits`,
      )
      return own
    })

    const counters = countersIn(redis)
    const sessions = chargedSessions(counters)
    // Which count is charged for a request with an organization's token.
    const payers = new WeakMap<FastifyRequest, 'organization' | 'address'>()

    async function keyOf(request: FastifyRequest): Promise<string> {
      const user = userOf(request)
      // Many clients may share an address: none of them can block the others for longer than the window.
      const byAddress = { ...usual, block: 0 }
      if (!user) return keyFor(`address:${addressOf(request)}`, byAddress)
      const { org } = user
      if (org === null) return keyFor(`user:${user.sub}`, usual)
      const key = keyFor(`organization:${org}`, await ruleOf({ ...user, org }))
      if (isExempt(request)) return key
      const isCharged = sessions.charge(user.sid, key)
      payers.set(request, isCharged ? 'organization' : 'address')
      return isCharged ? key : keyFor(`refused:${addressOf(request)}`, byAddress)
    }
    /** Stops charging the organization if the error means that the session is revoked. */
    async function refundIfRevoked(request: FastifyRequest, error: unknown) {
      const { problem } = toProblem(error)
      if (!revocations.has(problem)) return
      payers.delete(request)
      await sessions.revoke(request.user.sid, problem !== 'membership_revoked')
    }
    app.addHook('onError', async (request, _reply, error) => {
      if (payers.has(request)) await refundIfRevoked(request, error)
    })
    app.addHook('onResponse', async (request, { statusCode }) => {
      if (payers.get(request) === 'organization' && statusCode !== 429) sessions.served(request.user.sid)
    })
    /**
     * Asks the database whether the session of a rate-limited request is revoked. Routes that serve
     * sessions without an organization never find out.
     */
    let isVerifying = false
    async function verifyOnce(request: FastifyRequest) {
      // One at a time: many requests may be refused at once, nearly all of them from members.
      if (isVerifying || !sessions.verifyOnce(request.user.sid)) return
      isVerifying = true
      await app
        .readAs(request.user, sql => sql`select`)
        .catch((error: unknown) => refundIfRevoked(request, error))
        .catch((error: unknown) => {
          app.log.warn({ err: error }, 'a limit could not be corrected')
        })
      isVerifying = false
    }

    await app.register(rateLimit, {
      // On the route itself, it runs after the scope's authentication, so the organization is known,
      // and before the body is read, so requests whose body is refused count, too.
      hook: 'onRequest',
      store: counters.store,
      keyGenerator: keyOf,
      max: (_request, key) => ruleIn(key).requests,
      allowList: isExempt,
      enableDraftSpec: true,
      errorResponseBuilder: (request, { ttl }) => {
        const payer = payers.get(request)
        if (payer === 'organization') void verifyOnce(request)
        const user = payer === 'address' ? undefined : userOf(request)
        if (!user) app.unauthenticated.add(request)
        app.metrics.limited(user ? 'organization' : 'address', user?.org)
        return tooMany(Math.ceil(ttl / 1000))
      },
    })

    const guesses = { requests: config.SIGN_IN_LIMIT, window: 60, block: 0 }
    const [perAddress, perAccount] = [
      (request: FastifyRequest) => `sign-in-address:${addressOf(request)}`,
      (request: FastifyRequest) => `sign-in-account:${accountOf(request)}`,
    ].map(who =>
      app.createRateLimit({ max: guesses.requests, keyGenerator: r => keyFor(who(r), guesses) }),
    ) as [Limit, Limit]
    app.decorate('signInLimit', async (request, reply) => {
      let least = Infinity
      for (const limit of [perAddress, perAccount]) {
        const result = await limit(request)
        if (result.isAllowed) continue
        // The answer describes the limit that the client will reach first.
        if (result.remaining < least) {
          least = result.remaining
          void reply.header('ratelimit-limit', result.max)
          void reply.header('ratelimit-remaining', result.remaining)
          void reply.header('ratelimit-reset', result.ttlInSeconds)
        }
        if (!result.isExceeded) continue
        void reply.header('retry-after', result.ttlInSeconds)
        app.metrics.limited('sign_in')
        throw tooMany(result.ttlInSeconds)
      }
    })
  },
  { name: 'limits', dependencies: ['measuring', 'tenant'] },
)
type Limit = ReturnType<FastifyInstance['createRateLimit']>

// Undefined until a token has been verified, despite its type.
const userOf = (request: FastifyRequest) => request.user as FastifyRequest['user'] | undefined

const isExempt = (request: FastifyRequest) => userOf(request)?.scope === 'superadmin'

// A client with one IPv6 address usually has its whole /64.
const addressOf = (request: FastifyRequest) => normalizeIP(request.ip)

/** The account whose secret is being guessed; hashed, to keep email addresses and secrets out of Redis. */
function accountOf(request: FastifyRequest): string {
  const { email, token } = request.body as { email?: string; token?: string }
  const account = email?.toLowerCase() ?? token ?? userOf(request)?.sub
  return createHash('sha256').update(String(account)).digest('base64url')
}
