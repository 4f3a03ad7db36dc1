import { randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { aShow, register, startServer } from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'

const whole = { ...aShow, status: 'inquiry' }

t.test('versions of a show', async t => {
  const server = await startServer(t)
  const { call } = server
  const { token } = await register(server, 'Ana')
  const atVersion3 = async () => {
    const { id } = (await call<{ id: string }>('POST /api/shows', { token, body: aShow })).body
    for (const notes of ['second', 'third']) await call(`PATCH /api/shows/${id}`, { token, body: { notes } })
    return id
  }
  const read = (id: string) =>
    call<Record<string, unknown> & { tickets_sold: number }>(`GET /api/shows/${id}`, { token })

  const writes: [method: string, body?: object][] = [
    ['PATCH', { title: 'Changed' }],
    ['PUT', { ...whole, title: 'Changed' }],
    ['DELETE'],
  ]
  // The version is the row's, so what proxies make of its ETag when they compress a response is the same (unlike the
  // strong comparison of RFC 9110, 13.1.1, which is about representations).
  const ifMatch: [header: string | undefined, allowed: boolean, refusal?: string][] = [
    [undefined, true],
    ['*', true],
    ['"3"', true],
    ['"1", "3"', true],
    ['"3","1"', true],
    ['W/"9" , "3"', true],
    ['"2"', false],
    ['"1", "2"', false],
    ['"4"', false],
    ['W/"3"', true],
    ['W/"1",W/"3"', true],
    ['"3-gzip"', true],
    ['W/"3-br"', true],
    ['"3--gzip"', false],
    ['"13"', false],
    ['"3-3"', false],
    ['W/"2"', false],
    ['3', false, '400 validation'],
    ['w/"3"', false, '400 validation'],
    ['W/3', false, '400 validation'],
    ['"03"', false],
    ['"3', false, '400 validation'],
    ['"3" "4"', false, '400 validation'],
    ['*, "3"', false, '400 validation'],
    ['""', false],
    ['"*"', false],
    [',', false, '400 validation'],
    ["' or true --", false, '400 validation'],
  ]

  for (const [method, body] of writes) {
    await t.test(`${method} succeeds if If-Match has the current version, and only then`, async t => {
      const success = method === 'DELETE' ? '204' : '200'
      let id = await atVersion3()
      for (const [header, allowed, refusal = '412 version_mismatch'] of ifMatch) {
        const before = await read(id)
        const answer = await call(`${method} /api/shows/${id}`, {
          token,
          ...(body && { body }),
          ...(header !== undefined && { headers: { 'if-match': header } }),
        })
        t.equal(outcome(answer), allowed ? success : refusal, String(header))
        if (allowed) id = await atVersion3()
        else t.equal((await read(id)).text, before.text, 'nothing has changed')
      }
    })

    await t.test(`${method} of an unknown show is 404, whatever If-Match says`, async t => {
      for (const header of ['*', '"1"']) {
        const answer = await call(`${method} /api/shows/${randomUUID()}`, {
          token,
          ...(body && { body }),
          headers: { 'if-match': header },
        })
        t.equal(outcome(answer), '404 not_found')
      }
    })
  }

  await t.test('of parallel changes with one version, exactly one wins', async t => {
    for (let round = 0; round < 5; round++) {
      const id = await atVersion3()
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          call(`PATCH /api/shows/${id}`, {
            token,
            body: { tickets_sold: n + 1 },
            headers: { 'if-match': '"3"' },
          }),
        ),
      )
      const outcomes = answers.map(outcome).sort()
      t.strictSame(outcomes, ['200', ...Array<string>(9).fill('412 version_mismatch')])
      const now = await read(id)
      t.equal(now.headers['etag'], '"4"')
      t.equal(now.body.tickets_sold, answers.findIndex(answer => answer.status === 200) + 1)
    }
  })

  await t.test('of a deletion and changes with one version, exactly one wins', async t => {
    for (let round = 0; round < 5; round++) {
      const id = await atVersion3()
      const answers = await Promise.all(
        ['PATCH', 'DELETE', 'PATCH', 'DELETE'].map(method =>
          call(`${method} /api/shows/${id}`, {
            token,
            ...(method === 'PATCH' && { body: { notes: 'late' } }),
            headers: { 'if-match': '"3"' },
          }),
        ),
      )
      t.equal(answers.filter(({ status }) => status < 300).length, 1, answers.map(outcome).join(', '))
    }
  })

  await t.test('parallel changes of different fields without a version are all kept', async t => {
    const id = await atVersion3()
    const changes = [
      { title: 'A' },
      { artist: 'B' },
      { capacity: 5 },
      { notes: 'C' },
      { start_time: '20:00' },
    ]
    await Promise.all(changes.map(body => call(`PATCH /api/shows/${id}`, { token, body })))
    const now = await read(id)
    t.match(now.body, Object.assign({}, ...changes) as object)
    t.equal(now.headers['etag'], '"8"')
  })
})
