// What an organization that is refused costs another one: times are compared, so nothing else may run meanwhile.
import { setTimeout as sleep } from 'node:timers/promises'
import { t } from '../support/tap.ts'
import { aShow, register, startServer } from '../support/helper.ts'
import { spread } from '../support/limit.ts'

t.test('an organization that hammers on its limit does not slow down another', async t => {
  const server = await startServer(t, async () => ({ RATE_LIMIT: '20' }))
  const { call, app, db } = server
  const [loud, quiet] = [await register(server, 'Loud'), await register(server, 'Quiet')]
  await db.admin`insert into app.rate_limits (organization_id, requests) values (${quiet.organization}, 100000)`
  const made = await call<{ id: string }>('POST /api/shows', { token: quiet.token, body: aShow })
  const url = `/api/shows/${made.body.id}`
  const one = (token: string, path: string) =>
    app.inject({ method: 'GET', url: path, headers: { authorization: `Bearer ${token}` } })
  const answered = new Set<number>()
  const measure = async () => {
    const times: number[] = []
    for (let n = 0; n < 40; n++) {
      const began = performance.now()
      answered.add((await one(quiet.token, url)).statusCode)
      times.push(performance.now() - began)
    }
    return times
  }
  for (let n = 0; n < 21; n++) await one(loud.token, '/api/shows')
  let isLoud = false
  let isOver = false
  const refused: number[] = []
  const hammer = async () => {
    while (!isOver) {
      if (isLoud) refused.push((await one(loud.token, '/api/shows')).statusCode)
      await sleep(2)
    }
  }
  const hammers = Array.from({ length: 4 }, hammer)
  await measure()
  // In turns, so that what else the machine does falls on both alike.
  const [before, during]: [number[], number[]] = [[], []]
  for (let turn = 0; turn < 20; turn++) {
    isLoud = turn % 2 === 1
    ;(isLoud ? during : before).push(...(await measure()))
  }
  isOver = true
  await Promise.all(hammers)
  t.same([...answered], [200])
  t.same([...new Set(refused)], [429])
  const text = (what: { median: number; p99: number }) =>
    `median ${what.median.toFixed(2)} ms, p99 ${what.p99.toFixed(2)} ms`
  const [still, loudly] = [spread(before), spread(during)]
  t.comment(`quiet: ${text(still)}; while ${refused.length} requests are refused: ${text(loudly)}`)
  t.ok(loudly.median < still.median * 2 + 5)
})
