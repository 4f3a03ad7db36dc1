import { once } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'

/** A Redis that may be away; nobody waits long to find out. */
export interface SharedMemory {
  client: Redis
  /** Runs `work` on it; undefined if it cannot answer now. */
  ask: <T>(work: () => Promise<T>) => Promise<T | undefined>
  close: () => void
}

/** Longest that a request waits for an answer, in milliseconds. */
const timeout = 250
/** How long a Redis that has failed is left alone, in milliseconds. */
const pause = 1000

/** Connects, and keeps trying; an outage is one warning, however many requests it affects. */
export async function connectRedis(url: string, log: FastifyBaseLogger): Promise<SharedMemory> {
  // Most processes count for themselves, and loading this takes a tenth of a start.
  const { Redis } = await import('ioredis')
  const client = new Redis(url, {
    commandTimeout: timeout,
    // A hanging connection is cut: until Redis is ready again, it is not even asked.
    socketTimeout: timeout,
    connectTimeout: pause,
    retryStrategy: () => pause / 2,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
  })
  let isAway = false
  let askAgain = 0

  function failed(error: unknown) {
    askAgain = Date.now() + pause
    if (isAway) return
    isAway = true
    log.warn({ err: error }, 'Redis does not answer: this process counts requests for itself')
  }
  client.on('error', failed)

  async function ask<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (isAway) {
      if (Date.now() < askAgain) return undefined
      // One request tries on behalf of all.
      askAgain = Date.now() + pause
    }
    try {
      const answer = await work()
      if (isAway) log.info('Redis answers again: requests are counted there')
      isAway = false
      return answer
    } catch (error) {
      failed(error)
      return undefined
    }
  }

  // So that a server that has just started does not begin with a count of its own.
  await once(client, 'ready', { signal: AbortSignal.timeout(pause) }).catch(() => {})
  return {
    client,
    ask,
    close: () => {
      client.disconnect()
    },
  }
}
