import type { FastifyRateLimitStore, FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import {
  type RateLimiterAbstract,
  RateLimiterMemory,
  RateLimiterRedis,
  RateLimiterRes,
} from 'rate-limiter-flexible'
import type { SharedMemory } from './redis.ts'
import { type Rule, ruleIn } from './rules.ts'

/** What a request counts, in the unit of the counters; one that turned out to be cheap counts less. */
export const whole = 10
/** What one that is answered with 304 counts. */
export const notModified = 1

/** What cheap ones have cost never takes a whole request away from the limit. */
const pointsOf = (requests: number) => requests * whole + whole - 1

/** The limiters of one rule: a limiter supports only one. */
interface Limiters {
  local: RateLimiterAbstract
  shared: RateLimiterAbstract | undefined
}

const consume = (limiter: RateLimiterAbstract, key: string): Promise<RateLimiterRes> =>
  limiter.consume(key, whole).catch((refusal: unknown) => {
    // It also rejects with the count if that is too high.
    if (refusal instanceof RateLimiterRes) return refusal
    throw refusal
  })

/** Subtracts from a count, and lifts a block that what is subtracted alone has caused. */
async function reduce(limiter: RateLimiterAbstract, key: string, points: number): Promise<true> {
  const { requests, window, block } = ruleIn(key)
  const count = await limiter.get(key)
  if (!count) return true
  const max = pointsOf(requests)
  const left = Math.max(0, count.consumedPoints - points)
  if (block > 0 && count.consumedPoints > max && left <= max) await limiter.set(key, left, window)
  else await limiter.reward(key, Math.min(points, count.consumedPoints))
  return true
}

/** The most that a count may be, in requests. */
export const most = (key: string) => pointsOf(ruleIn(key).requests) / whole

export interface Counters {
  store: FastifyRateLimitStoreCtor
  /** Subtracts from a count: `whole` for each request that is not to count. */
  refund: (key: string, points: number) => Promise<void>
}

/**
 * A store for @fastify/rate-limit that counts with rate-limiter-flexible by the rule in the key, in Redis if there
 * is one that answers: the plugin's own stores cannot block, and drop counts when they are full.
 * rate-limiter-flexible has an insuranceLimiter for outages, but it hides them.
 */
export function countersIn(redis: SharedMemory | undefined): Counters {
  const limiters = new Map<Rule, Limiters>()

  function limitersFor(key: string): Limiters {
    const rule = ruleIn(key)
    let found = limiters.get(rule)
    if (!found) {
      const { requests, window, block } = rule
      const options = {
        points: pointsOf(requests),
        duration: window,
        blockDuration: block,
        // Releases that counted in another unit must not read these.
        keyPrefix: 'callboard:tenths',
      }
      found = {
        local: new RateLimiterMemory(options),
        shared:
          redis &&
          new RateLimiterRedis({ ...options, storeClient: redis.client, rejectIfRedisNotReady: true }),
      }
      limiters.set(rule, found)
    }
    return found
  }

  async function count(key: string): Promise<RateLimiterRes> {
    const { local, shared } = limitersFor(key)
    return (shared && (await redis?.ask(() => consume(shared, key)))) ?? consume(local, key)
  }

  async function refund(key: string, points: number) {
    const { local, shared } = limitersFor(key)
    const isDone = shared && (await redis?.ask(() => reduce(shared, key, points)))
    if (!isDone) await reduce(local, key, points)
  }
  class Store implements FastifyRateLimitStore {
    incr(...[key, callback]: Parameters<FastifyRateLimitStore['incr']>) {
      const { window, block } = ruleIn(key)
      // It ends after so long even if a clock that was ahead is set right meanwhile, and it seems to be longer.
      const longest = Math.max(window, block) * 1000
      count(key).then(({ consumedPoints, msBeforeNext }) => {
        callback(null, {
          current: consumedPoints / whole,
          ttl: Math.min(Math.max(msBeforeNext, 1), longest),
        })
      }, callback)
    }
    child() {
      return this
    }
  }
  return { store: Store, refund }
}
