// What happens to requests when the Redis that counts them is unavailable, or slow. Timings are checked, so
// nothing else may run meanwhile.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { register, startServer, type TestServer, until } from '../support/helper.ts'
import { limitOf, spread } from '../support/limit.ts'
import { startProxy } from '../support/proxy.ts'
import { startRedis, withoutRedis } from '../support/redis.ts'

t.test('while Redis is unavailable', withoutRedis(), async t => {
  const redis = await startRedis(t)
  const server = await startServer(t, { RATE_LIMIT: '1000', REDIS_URL: redis.url })
  const said = listen(server)
  const { token } = await register(server, 'Ana')
  const ask = async () => limitOf(await server.call('GET /api/me', { token }))
  const warnings = () => said.filter(({ level, msg }) => level === 'warn' && msg.includes('Redis'))

  await answers(t, 'when it is available')
  const counted = (await ask()).remaining ?? 0

  /** Makes Redis unavailable, then available again; requests continue meanwhile. */
  async function outage(t: Test, away: () => unknown, back: () => unknown) {
    said.length = 0
    await away()
    const before = performance.now()
    const burst = await Promise.all(Array.from({ length: 20 }, ask))
    t.same([...new Set(burst.map(({ status }) => status))], [200])
    t.ok(performance.now() - before < 1000, 'the first ones notice it soon')
    await answers(t, 'meanwhile')
    t.equal(warnings().length, 1, 'one warning for all requests')
    await sleep(1200)
    await answers(t, 'a second later')
    t.equal(warnings().length, 1)
    await back()
    await until(async () => {
      await ask()
      return said.some(({ msg }) => /Redis answers again/.test(msg))
    })
    t.equal(warnings().length, 1)
    await answers(t, 'when it is back')
  }
  async function answers(t: Test, when: string) {
    const times: number[] = []
    const statuses = new Set<number>()
    for (let n = 0; n < 20; n++) {
      const began = performance.now()
      statuses.add((await ask()).status)
      times.push(performance.now() - began)
    }
    t.same([...statuses], [200], when)
    t.comment(`${when}: median ${spread(times).median.toFixed(1)} ms`)
    t.ok(spread(times).median < 100, when)
  }

  await t.test('because it hangs', async t => {
    await outage(t, redis.freeze, redis.thaw)
    const { remaining = 0 } = await ask()
    t.ok(remaining < counted && remaining > 900, 'it has kept its counts')
  })
  await t.test('because nothing listens', async t => {
    await outage(t, redis.stop, redis.start)
  })
  await t.test('requests are still counted, by each process for itself', async t => {
    const strict = await startServer(t, { RATE_LIMIT: '3', REDIS_URL: redis.url })
    const ben = await register(strict, 'Ben')
    await redis.stop()
    const statuses: number[] = []
    for (let n = 0; n < 5; n++) statuses.push((await strict.call('GET /api/me', { token: ben.token })).status)
    t.same(statuses, [200, 200, 200, 429, 429])
  })
  await t.test('a server starts nonetheless', async t => {
    const began = Date.now()
    const late = await startServer(t, { REDIS_URL: redis.url })
    t.equal((await late.call('GET /livez')).status, 200)
    t.equal((await late.call('GET /problems/not_found')).status, 200)
    t.ok(Date.now() - began < 5000)
  })
})

t.test('while Redis is slow', withoutRedis(), async t => {
  const redis = await startRedis(t)
  const proxy = await startProxy(t, redis.url)
  const settings = { RATE_LIMIT: '100', RATE_LIMIT_BLOCK: '1', REDIS_URL: proxy.through(redis.url) }
  const server = await startServer(t, settings)
  const said = listen(server)
  const warnings = () => said.filter(({ level, msg }) => level === 'warn' && msg.includes('Redis'))
  const { token } = await register(server, 'Ana')
  const ask = async () => {
    const began = performance.now()
    const answer = limitOf(await server.call('GET /api/me', { token }))
    return { ...answer, ms: performance.now() - began }
  }

  await t.test('but not too slow, it still counts', async t => {
    const { remaining = 0 } = await ask()
    proxy.delay(120)
    const slow = [await ask(), await ask(), await ask()]
    t.match(
      slow.map(({ remaining }) => remaining),
      [remaining - 1, remaining - 2, remaining - 3],
    )
    t.ok(slow.every(({ ms }) => ms >= 100))
    t.same(warnings(), [])
  })

  await t.test('requests wait no longer than a quarter of a second, and are counted locally', async t => {
    proxy.delay(0)
    const { remaining = 0 } = await ask()
    proxy.delay(700)
    const began = Date.now()
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask()))
    while (Date.now() - began < 4000) {
      answers.push(await ask())
      await sleep(100)
    }
    t.same([...new Set(answers.map(({ status }) => status))], [200])
    const times = answers.map(({ ms }) => ms)
    t.ok(Math.max(...times) < 500, `at most ${Math.max(...times).toFixed(0)} ms`)
    t.ok(
      spread(times.slice(10)).median < 100,
      `the median is ${spread(times.slice(10)).median.toFixed(1)} ms`,
    )
    t.equal(warnings().length, 1)
    const left = answers.map(answer => answer.remaining ?? 0)
    t.ok(Math.max(...left) > remaining, 'with its own count')
    t.ok((left.at(-1) ?? 0) < Math.max(...left) - 20, 'that continues')
    let refused = 0
    for (let n = 0; n < 100; n++) if ((await ask()).status === 429) refused += 1
    t.ok(refused > 0, 'and has the same limit')
  })

  await t.test('it is used again when it is fast again', async t => {
    proxy.delay(0)
    await until(async () => {
      await ask()
      return said.some(({ msg }) => /Redis answers again/.test(msg))
    })
    t.equal((await ask()).status, 200)
  })
})

interface Line {
  level: 'warn' | 'info'
  msg: string
}
/** What the server logs from now on. */
function listen({ app }: TestServer): Line[] {
  const lines: Line[] = []
  for (const level of ['warn', 'info'] as const)
    app.log[level] = (...all: unknown[]) => void lines.push({ level, msg: String(all.at(-1)) })
  return lines
}
