import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest, preHandlerAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../../config.ts'
import { networkOf } from '../address.ts'
import { Problem, toProblem } from '../problem.ts'
import { ofMemberships, ofSessions } from '../problems.ts'
import { attempts } from './attempts.ts'
import { type Charge, charge, chargeTo, type Count, type Bill, billOf, tell } from './charges.ts'
import { countersIn, most, notModified, whole } from './counters.ts'
import { connectRedis } from './redis.ts'
import { chargedSessions, type Payers } from './refused.ts'
import { organizationRules, type OwnRule, shares } from './rules.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Refuses a request without a valid access token, and counts it by its address; for `onRequest`. */
    admit: (request: FastifyRequest, reply: FastifyReply) => Promise<void>
    /** Limits failures where a secret could be guessed. */
    signInLimit: preHandlerAsyncHookHandler
    /** Limits how often a route sends a mail to somebody. */
    mailLimit: preHandlerAsyncHookHandler
  }
  interface FastifyRequest {
    /** What it is charged to, from the first limit on that asks. */
    bill: Bill | null
  }
  interface FastifyContextConfig {
    /** Not limited; or charged, like every request of a superadmin, to the person alone. */
    limited?: false | 'support'
  }
}

/** The problems with which the database refuses a revoked token. */
const revocations = new Set([...ofSessions, ...ofMemberships])

/** Rate limits per organization and person, or per IP address where there is none yet. */
export const limits = fp(
  async (app: FastifyInstance, { config }: { config: Config }) => {
    const redis = config.REDIS_URL === undefined ? undefined : await connectRedis(config.REDIS_URL, app.log)
    app.addHook('onClose', async () => redis?.close())

    const usual = {
      requests: config.RATE_LIMIT,
      window: config.RATE_LIMIT_WINDOW,
      block: config.RATE_LIMIT_BLOCK,
    }
    // Many clients may share an address: none of them can block the others for longer than the window.
    const unblocked = { ...usual, block: 0 }
    const ofPerson = shares(config.RATE_LIMIT_PERSON)
    const ruleOf = organizationRules(usual, config.RATE_LIMIT_REFRESH * 1000, async member => {
      const [own] = await app.readAs(
        member,
        sql => sql<OwnRule[]>`select requests, window_seconds, block_seconds from app.rate_limits`,
      )
      return own
    })

    const counters = countersIn(redis)
    app.decorateRequest('bill', null)
    // It knows one key per request, so each count of a request is asked for by itself.
    await app.register(rateLimit, {
      global: false,
      store: counters.store,
      keyGenerator: request => billOf(request).key,
      max: (_request, key) => most(key),
    })
    const limiter = app.createRateLimit()
    async function count(request: FastifyRequest, key: string): Promise<Count> {
      billOf(request).key = key
      const result = await limiter(request)
      if (result.isAllowed) throw new Error('There is no list of those who are always allowed')
      return {
        remaining: Math.floor(result.remaining),
        isExceeded: result.isExceeded,
        seconds: result.ttlInSeconds,
      }
    }
    const sessions = chargedSessions(counters)

    async function demand(request: FastifyRequest, reply: FastifyReply, charges: Charge[]) {
      const bill = billOf(request)
      const standings = await charge(key => count(request, key), counters.refund, charges)
      bill.standings.push(...standings)
      tell(reply, bill.standings)
      const last = standings.at(-1)
      if (bill.isPaying) {
        for (const { key } of last?.isExceeded ? [last] : standings)
          await sessions.charged(request.user.sid, key)
      }
      if (!last?.isExceeded) return
      if (bill.isPaying) void verifyOnce(request)
      else if (!isSupport(request)) app.unauthenticated.add(request)
      const isOfOrganization = last.policy === 'person' || last.policy === 'organization'
      app.metrics.limited(last.policy, isOfOrganization ? userOf(request)?.org : undefined)
      void reply.header('retry-after', last.seconds)
      throw new Problem(429, 'rate_limited', `Too many requests: try again in ${last.seconds} seconds.`)
    }

    const refusedToken = (request: FastifyRequest) => [
      chargeTo('refused_token', networkOf(request), unblocked),
    ]
    async function chargesOf(request: FastifyRequest): Promise<Charge[]> {
      const user = userOf(request)
      if (!user) return [chargeTo('address', networkOf(request), unblocked)]
      const { sub, sid, org } = user
      if (isSupport(request)) return [chargeTo('support', sub, unblocked)]
      const rule = org === null ? usual : await ruleOf({ ...user, org })
      const person = chargeTo('person', sub, ofPerson(rule))
      const organization = org === null ? undefined : chargeTo('organization', org, rule)
      const payers: Payers = { person: person.key, ...(organization && { organization: organization.key }) }
      if (!sessions.mayCharge(sid, payers)) return refusedToken(request)
      billOf(request).isPaying = true
      return organization ? [person, organization] : [person]
    }
    async function limit(request: FastifyRequest, reply: FastifyReply) {
      const charges = await chargesOf(request)
      await demand(request, reply, charges)
      billOf(request).charges = charges
    }
    // On the route itself, it runs after the scope's authentication, so the organization is known, and before the
    // body is read, so requests whose body is refused count, too.
    app.addHook('onRoute', route => {
      const before = [route.onRequest ?? []].flat()
      // The HEAD of a GET has the hooks of the GET.
      if (route.config?.limited !== false && !before.includes(limit)) route.onRequest = [...before, limit]
    })
    app.decorate('admit', async (request, reply) => {
      try {
        await app.authenticate(request)
      } catch (error) {
        await demand(request, reply, refusedToken(request))
        throw error
      }
    })

    /** Stops charging the payers if the error means that the session is revoked. */
    async function refundIfRevoked(request: FastifyRequest, error: unknown) {
      const { problem } = toProblem(error)
      if (!revocations.has(problem)) return
      billOf(request).isPaying = false
      await sessions.revoke(request.user.sid, problem !== 'membership_revoked')
    }
    app.addHook('onError', async (request, _reply, error) => {
      if (request.bill?.isPaying) await refundIfRevoked(request, error)
    })
    app.addHook('onResponse', async (request, { statusCode }) => {
      const { bill } = request
      if (bill?.isPaying && statusCode !== 429) sessions.served(request.user.sid)
      if (statusCode !== 304 || !bill) return
      for (const { key } of bill.charges) await counters.refund(key, whole - notModified)
    })
    /**
     * Asks the database whether the session of a rate-limited request is revoked. Some routes that serve sessions
     * without an organization never find out.
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

    attempts(app, config, counters, demand)
  },
  { name: 'limits', dependencies: ['measuring', 'tenant'] },
)

// Undefined until a token has been verified, despite its type.
const userOf = (request: FastifyRequest) => request.user as FastifyRequest['user'] | undefined

/** A superadmin's requests, so that an organization that has used up its limit cannot shut them out of any. */
const isSupport = (request: FastifyRequest) =>
  userOf(request)?.scope === 'superadmin' || request.routeOptions.config.limited === 'support'
