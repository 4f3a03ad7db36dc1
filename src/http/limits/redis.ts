import { once } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'

/** A Redis that may be down; no request waits long to find out. */
export interface SharedMemory {
  client: Redis
  /** Runs `work` on it; undefined while it does not answer. */
  ask: <T>(work: () => Promise<T>) => Promise<T | undefined>
  close: () => void
}

/** How long a request waits for an answer, in milliseconds. */
const timeout = 250
/** How long Redis is left alone after a failure, in milliseconds. */
const pause = 1000

/** Connects, and keeps reconnecting; an outage is logged once, however many requests it affects. */
export async function connectRedis(url: string, log: FastifyBaseLogger): Promise<SharedMemory> {
  // Most processes count for themselves, and loading this takes a tenth of a start.
  const { Redis } = await import('ioredis')
  const client = new Redis(url, {
    commandTimeout: timeout,
    // A hanging connection is closed: until Redis is ready again, it is not even asked.
    socketTimeout: timeout,
    connectTimeout: pause,
    retryStrategy: () => pause / 2,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
  })
  let isDown = false
  let askAgain = -Infinity

  function failed(error: unknown) {
    askAgain = performance.now() + pause
    if (isDown) return
    isDown = true
    log.warn({ err: error }, 'Redis does not answer: this process counts requests on its own')
  }
  client.on('error', failed)

  async function ask<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (isDown) {
      if (performance.now() < askAgain) return undefined
      // One request tries on behalf of all.
      askAgain = performance.now() + pause
    }
    try {
      const answer = await work()
      if (isDown) log.info('Redis answers again: requests are counted there')
      isDown = false
      return answer
    } catch (error) {
      failed(error)
      return undefined
    }
  }

  // A server that has just started should not begin with counts of its own.
  await once(client, 'ready', { signal: AbortSignal.timeout(pause) }).catch(() => {})
  return {
    client,
    ask,
    close: () => {
      client.disconnect()
    },
  }
}
