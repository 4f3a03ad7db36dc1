import { t } from '../support/tap.ts'
import { aShow, join, register, startServer } from '../support/helper.ts'
import { walk } from '../support/pages.ts'
import { outcome } from '../support/tokens.ts'

interface Row extends Record<string, unknown> {
  id: string
}

t.test('the guests of a show', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  const token = ana.token
  const newShow = async () => (await call<Row>('POST /api/shows', { token, body: aShow })).body.id
  const show = await newShow()
  const put = (body: object, on = show) => call<Row>(`POST /api/shows/${on}/guests`, { token, body })

  await t.test('a guest is added, read, replaced, changed, deleted and restored', async t => {
    const created = await put({ name: 'Marta Veld', invited_by: 'The Gaslights' })
    t.equal(created.status, 201, created.text)
    const { id } = created.body
    t.equal(created.headers['location'], `/api/guests/${id}`)
    t.match(created.body, {
      show_id: show,
      tickets: 1,
      status: 'confirmed',
      note: null,
      door_name: 'Veld, Marta',
    })
    t.equal((await call(`GET /api/guests/${id}`, { token })).text, created.text)

    const changed = await call(`PATCH /api/guests/${id}`, { token, body: { tickets: 3, note: 'Stage door' } })
    t.match(changed.body, { tickets: 3, note: 'Stage door', invited_by: 'The Gaslights' })
    t.equal(changed.headers['etag'], '"2"')
    const replaced = await call(`PUT /api/guests/${id}`, { token, body: { name: 'M. Veld' } })
    t.match(replaced.body, { name: 'M. Veld', tickets: 1, note: null, invited_by: null, status: 'confirmed' })

    t.equal((await call(`DELETE /api/guests/${id}`, { token })).status, 204)
    t.equal(outcome(await call(`GET /api/guests/${id}`, { token })), '404 not_found')
    t.match((await call(`POST /api/guests/${id}/restore`, { token })).body, { name: 'M. Veld' })
  })

  await t.test('nonsensical values are refused by name', async t => {
    for (const [body, expected] of [
      [{}, '400 validation'],
      [{ name: ' ' }, '400 validation'],
      [{ name: 'Ada', tickets: 0 }, '400 validation'],
      [{ name: 'Ada', tickets: 101 }, '400 validation'],
      [{ name: 'Ada', status: 'maybe' }, '400 validation'],
      [{ name: 'Ada', door_name: 'Z' }, '400 validation'],
      [{ name: 'Ada', checked_in: 1 }, '400 validation'],
    ] as const)
      t.equal(outcome(await put(body)), expected, JSON.stringify(body))
  })

  await t.test('they are listed as needed at the door: by last name, as people sort', async t => {
    const on = await newShow()
    for (const name of [
      'Zoë Äther',
      'Ann Zebra',
      'bo banana',
      'Prince',
      'Al van Apple',
      'Cy Étoile',
      'Dee 10cc',
    ])
      t.equal((await put({ name }, on)).status, 201)
    t.equal((await put({ name: 'The Mayor', sort_name: 'Bürgermeister' }, on)).status, 201)
    const names = (await walk(server, token, `/api/shows/${on}/guests?limit=2`))
      .flat()
      .map(item => item['door_name'])
    t.same(names, [
      '10cc, Dee',
      'Apple, Al van',
      'Äther, Zoë',
      'banana, bo',
      'Bürgermeister',
      'Étoile, Cy',
      'Prince',
      'Zebra, Ann',
    ])
    const turned = (await walk(server, token, `/api/shows/${on}/guests?limit=3&sort=-door_name`))
      .flat()
      .map(item => item['door_name'])
    t.same(turned, names.toReversed())
    const declined = await put({ name: 'Eve Late', status: 'declined' }, on)
    t.same(
      (await walk(server, token, `/api/shows/${on}/guests?status=declined`)).flat().map(({ id }) => id),
      [declined.body.id],
    )
  })

  await t.test('they are deleted with their show, and restored with it', async t => {
    const on = await newShow()
    const { id } = (await put({ name: 'Gil Gone' }, on)).body
    t.equal((await call(`DELETE /api/shows/${on}`, { token })).status, 204)
    t.equal(outcome(await call(`GET /api/guests/${id}`, { token })), '404 not_found')
    t.equal(outcome(await call(`POST /api/guests/${id}/restore`, { token })), '409 parent_deleted')
    t.equal(outcome(await put({ name: 'Too Late' }, on)), '404 not_found')
    t.equal((await call(`POST /api/shows/${on}/restore`, { token })).status, 200)
    t.equal((await call(`GET /api/guests/${id}`, { token })).status, 200)
  })

  await t.test('a reader sees them but cannot change them; another organization sees none', async t => {
    const viewer = await join(server, ana, 'viewer')
    const stranger = await register(server, 'Stefan')
    const { id } = (await put({ name: 'Kim Kept' })).body
    t.equal((await call(`GET /api/guests/${id}`, { token: viewer.token })).status, 200)
    for (const [request, body] of [
      [`PATCH /api/guests/${id}`, { tickets: 2 }],
      [`DELETE /api/guests/${id}`, undefined],
      [`POST /api/shows/${show}/guests`, { name: 'Eve' }],
    ] as const) {
      t.equal(outcome(await call(request, { token: viewer.token, body })), '403 permission_denied', request)
      t.equal(outcome(await call(request, { token: stranger.token, body })), '404 not_found', request)
    }
    t.equal(outcome(await call(`GET /api/shows/${show}/guests`, { token: stranger.token })), '404 not_found')
  })
})
