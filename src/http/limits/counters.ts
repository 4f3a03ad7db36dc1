import type { FastifyRateLimitStore, FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import {
  type RateLimiterAbstract,
  RateLimiterMemory,
  RateLimiterRedis,
  RateLimiterRes,
} from 'rate-limiter-flexible'
import type { SharedMemory } from './redis.ts'
import { ruleIn } from './rules.ts'

/** The limiters of one rule: a limiter supports only one. */
interface Limiters {
  local: RateLimiterAbstract
  shared: RateLimiterAbstract | undefined
}

const consume = (limiter: RateLimiterAbstract, key: string): Promise<RateLimiterRes> =>
  limiter.consume(key).catch((refusal: unknown) => {
    // It also rejects with the count if that is too high.
    if (refusal instanceof RateLimiterRes) return refusal
    throw refusal
  })

/** Subtracts requests from a count, and lifts a block that they alone have caused. */
async function reduce(limiter: RateLimiterAbstract, key: string, requests: number): Promise<true> {
  const { requests: max, window } = ruleIn(key)
  const count = await limiter.get(key)
  if (!count) return true
  const left = Math.max(0, count.consumedPoints - requests)
  if (count.consumedPoints > max && left <= max) await limiter.set(key, left, window)
  else await limiter.reward(key, Math.min(requests, count.consumedPoints))
  return true
}

export interface Counters {
  store: FastifyRateLimitStoreCtor
  /** Subtracts requests from a count. */
  refund: (key: string, requests: number) => Promise<void>
}

/**
 * A store for @fastify/rate-limit that counts with rate-limiter-flexible, by the rule in the key: the
 * plugin's own stores cannot block, and drop counts when they are full. rate-limiter-flexible has an
 * insuranceLimiter for outages, but it hides them.
 */
export function countersIn(redis: SharedMemory | undefined): Counters {
  const limiters = new Map<string, Limiters>()

  function limitersFor(key: string): Limiters {
    const { requests, window, block } = ruleIn(key)
    const name = `${requests}/${window}/${block}`
    let found = limiters.get(name)
    if (!found) {
      const options = { points: requests, duration: window, blockDuration: block, keyPrefix: 'callboard' }
      found = {
        local: new RateLimiterMemory(options),
        shared:
          redis &&
          new RateLimiterRedis({ ...options, storeClient: redis.client, rejectIfRedisNotReady: true }),
      }
      limiters.set(name, found)
    }
    return found
  }

  async function count(key: string): Promise<RateLimiterRes> {
    const { local, shared } = limitersFor(key)
    return (shared && (await redis?.ask(() => consume(shared, key)))) ?? consume(local, key)
  }

  async function refund(key: string, requests: number) {
    const { local, shared } = limitersFor(key)
    const isDone = shared && (await redis?.ask(() => reduce(shared, key, requests)))
    if (!isDone) await reduce(local, key, requests)
  }

  class Store implements FastifyRateLimitStore {
    incr(...[key, callback]: Parameters<FastifyRateLimitStore['incr']>) {
      count(key).then(({ consumedPoints, msBeforeNext }) => {
        callback(null, { current: consumedPoints, ttl: Math.max(msBeforeNext, 1) })
      }, callback)
    }
    child() {
      return this
    }
  }
  return { store: Store, refund }
}
