// Counts that processes share through Redis; for Redis outages see redis-outage.drill.ts.
import { Redis } from 'ioredis'
import { t } from '../support/tap.ts'
import { startDatabase, until } from '../support/helper.ts'
import { limitOf } from '../support/limit.ts'
import { startRedis, withoutRedis } from '../support/redis.ts'
import { type ServerProcess, startServerProcess } from '../support/server-process.ts'

const jwtSecret = 'a secret that only the tests know, and of 32 letters'

t.test('two processes', withoutRedis(), async t => {
  const redis = await startRedis(t)
  const db = await startDatabase(t)
  const settings = {
    NODE_ENV: 'test',
    PORT: '0',
    LOG_LEVEL: 'info',
    DATABASE_URL: db.url('callboard_api'),
    JWT_SECRET: jwtSecret,
    PUBLIC_URL: 'http://callboard.example',
    REDIS_URL: redis.url,
    RATE_LIMIT: '10',
    RATE_LIMIT_PERSON: '100',
    RATE_LIMIT_BLOCK: '3',
    SIGN_IN_LIMIT: '6',
    SIGN_IN_LIMIT_ADDRESS: '6',
    SIGN_IN_LIMIT_ACCOUNT: '6',
    TRUST_PROXY: '127.0.0.1',
  }
  const listening = async (server: ServerProcess) =>
    (await server.says(/Server listening at (http:\/\/127\.0\.0\.1:\d+)/))[1] ?? ''
  const [one, two] = await Promise.all(
    [startServerProcess(t, settings), startServerProcess(t, settings)].map(listening),
  )
  const urls = [one ?? '', two ?? '']
  const ask = async (n: number, path: string, init: RequestInit = {}) => {
    const answer = await fetch(`${urls[n % 2] ?? ''}${path}`, init)
    const body = (await answer.json()) as Record<string, string>
    return { ...limitOf({ status: answer.status, headers: Object.fromEntries(answer.headers) }), body }
  }
  const post = (body: object, from: string) => ({
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', 'x-forwarded-for': from },
  })
  const { body: grant } = await ask(
    0,
    '/api/auth/register',
    post(
      {
        email: 'ana@northlight.example',
        password: 'seven black umbrellas',
        display_name: 'Ana',
        organization_name: 'Northlight',
      },
      '192.0.2.1',
    ),
  )
  const me = (n: number) =>
    ask(n, '/api/me', { headers: { authorization: `Bearer ${grant['access_token'] ?? ''}` } })

  await t.test('share one budget for an organization, one block and one release', async t => {
    for (let n = 0; n < 10; n++) t.match(await me(n), { status: 200, limit: 10, remaining: 9 - n })
    const began = performance.now()
    t.match(await me(0), { status: 429, retryAfter: 3 })
    t.match(await me(1), { status: 429, retryAfter: 3 })
    await until(async () => (await me(1)).status === 200)
    const seconds = (performance.now() - began) / 1000
    t.comment(`released after ${seconds.toFixed(3)} s`)
    t.ok(seconds >= 2.9 && seconds < 8)
    t.match(await me(0), { status: 200, remaining: 8 })
  })

  await t.test('admit no request twice when asked at the same moment', async t => {
    await until(async () => (await me(0)).status === 429)
    await until(async () => (await me(0)).status === 200)
    const statuses = (await Promise.all(Array.from({ length: 30 }, (_, n) => me(n)))).map(a => a.status)
    t.equal(statuses.filter(status => status === 200).length, 9)
  })

  await t.test('share one budget for guessing, per account and per address', async t => {
    const guess = (n: number, email: string, from: string) =>
      ask(n, '/api/auth/sign-in', post({ email, password: 'guessed' }, from))
    for (let n = 0; n < 6; n++)
      t.match(await guess(n, 'ben@northlight.example', `192.0.2.${n + 10}`), { status: 401 })
    for (const n of [0, 1])
      t.match(await guess(n, 'ben@northlight.example', '192.0.2.20'), { status: 429 }, 'the account')
    for (let n = 0; n < 6; n++)
      t.match(await guess(n, `c${n}@northlight.example`, '2001:db8::1'), { status: 401 })
    for (const n of [0, 1])
      t.match(await guess(n, `d${n}@northlight.example`, '2001:db8::2'), { status: 429 }, 'the address')
  })

  await t.test('send Redis nothing that reveals a secret or an address', async t => {
    const client = new Redis(redis.url)
    const keys = await client.keys('*')
    client.disconnect()
    t.ok(keys.length > 5)
    t.ok(keys.every(key => key.startsWith('callboard:')))
    t.notMatch(keys.join('\n'), /northlight|umbrellas/)
  })
})
