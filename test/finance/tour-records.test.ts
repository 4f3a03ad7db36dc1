// Finance records of a tour: they name its itinerary, beside a show or without one.
import { t } from '../support/tap.ts'
import { aShow, joinAs, register, startServer } from '../support/helper.ts'
import { anItinerary } from '../support/itineraries.ts'
import { outcome } from '../support/tokens.ts'

interface Item extends Record<string, unknown> {
  id: string
}

const server = await startServer(t)
const { call, db } = server
const ana = await register(server, 'Ana')
const { token } = ana
const make = async (path: string, body: object, as = token) => {
  const answer = await call<Item>(`POST /api/${path}`, { token: as, body })
  if (answer.status !== 201) throw new Error(answer.text)
  return answer.body.id
}
const list = async (path: string) => (await call<{ items: Item[] }>(`GET /api/${path}`, { token })).body.items
const [category] = await list('finance-categories?kind=expense')
const aRecord = {
  kind: 'expense',
  category_id: category?.id,
  booked_on: '2027-03-14',
  amount_minor: 120_00,
}
const enter = (body: object) =>
  call<Item>('POST /api/finance-records', { token, body: { ...aRecord, ...body } })

t.test('a record names its tour, in everything that is said of it', async t => {
  const tour = await make('itineraries', anItinerary)
  const { status, body } = await enter({ itinerary_id: tour, status: 'actual' })
  t.equal(status, 201)
  t.match(body, { itinerary_id: tour, show_id: null })
  const path = `/api/finance-records/${body.id}` as const
  t.match((await call(`GET ${path}`, { token })).body, { itinerary_id: tour })
  t.same(
    (await list(`finance-records?itinerary_id=${tour}`)).map(({ id }) => id),
    [body.id],
    'the list can be filtered by it',
  )
  const csv = await call(`GET /api/exports/finance-records?itinerary_id=${tour}`, {
    token,
    headers: { accept: 'text/csv' },
  })
  t.match(csv.text, /itinerary_id/)
  t.match(csv.text, new RegExp(tour))

  const removed = await call(`PATCH ${path}`, { token, body: { itinerary_id: null } })
  t.match(removed, { status: 200, body: { itinerary_id: null } })
  const named = await call(`PATCH ${path}`, { token, body: { itinerary_id: tour } })
  t.match(named, { status: 200, body: { itinerary_id: tour } })
  const replaced = await call(`PUT ${path}`, { token, body: { ...aRecord, status: 'actual' } })
  t.match(replaced, { status: 200, body: { itinerary_id: null } }, 'PUT without it makes it empty')
  const events = await call<{ items: { changes: Record<string, unknown> }[] }>(
    `GET /api/audit/events?resource_id=${body.id}&limit=10`,
    { token },
  )
  t.match(JSON.stringify(events.body.items), new RegExp(`"itinerary_id": ?.*${tour}`))
})

t.test('the tour must exist, here, and not be deleted', async t => {
  const other = await register(server, 'Ben')
  const theirs = await make('itineraries', anItinerary, other.token)
  const gone = await make('itineraries', anItinerary)
  await call(`DELETE /api/itineraries/${gone}`, { token })
  const { body } = await enter({})
  for (const itinerary_id of [theirs, gone, '01980c5e-8c5e-7b4a-9d59-3f1de6a3c111']) {
    t.equal(outcome(await enter({ itinerary_id })), '409 finance_records_itinerary_exists')
    const changed = await call(`PATCH /api/finance-records/${body.id}`, { token, body: { itinerary_id } })
    t.equal(outcome(changed), '409 finance_records_itinerary_exists')
  }
})

t.test('a tour that is deleted', async t => {
  const tour = await make('itineraries', anItinerary)
  const show = await make('shows', aShow)
  const records = new Map<string, string>()
  for (const status of ['planned', 'committed', 'actual', 'void'])
    records.set(status, (await enter({ status, itinerary_id: tour, show_id: show })).body.id)
  const present = async () =>
    (await list(`finance-records?itinerary_id=${tour}`)).map(item => item['status']).sort()

  await t.test('takes planned records with it, and brings them back', async t => {
    t.equal((await call(`DELETE /api/itineraries/${tour}`, { token })).status, 204)
    t.strictSame(await present(), ['actual', 'void'])
    const alone = await call(`POST /api/finance-records/${records.get('planned') ?? ''}/restore`, { token })
    t.equal(outcome(alone), '409 parent_deleted', 'which does not bring back the tour')
    t.equal((await call(`GET /api/itineraries/${tour}`, { token })).status, 404)
    const note = await call(`PATCH /api/finance-records/${records.get('actual') ?? ''}`, {
      token,
      body: { note: 'paid' },
    })
    t.equal(note.status, 200, 'what stays can be changed')
    t.equal((await call(`POST /api/itineraries/${tour}/restore`, { token })).status, 200)
    t.strictSame(await present(), ['actual', 'committed', 'planned', 'void'])
  })

  await t.test('does not bring back what was deleted before it', async t => {
    const planned = records.get('planned') ?? ''
    await call(`DELETE /api/finance-records/${planned}`, { token })
    await call(`DELETE /api/itineraries/${tour}`, { token })
    const restored = await call(`POST /api/finance-records/${planned}/restore`, { token })
    t.equal(outcome(restored), '409 parent_deleted')
    await call(`POST /api/itineraries/${tour}/restore`, { token })
    t.strictSame(await present(), ['actual', 'committed', 'void'])
    t.equal((await call(`POST /api/finance-records/${planned}/restore`, { token })).status, 200)
  })

  await t.test('leaves its records when it is purged, even in a closed month', async t => {
    const other = await make('itineraries', anItinerary)
    const { body } = await enter({ status: 'actual', itinerary_id: other, booked_on: '2030-01-02' })
    await call('PUT /api/finance-periods/2030-01', { token })
    const moved = await call(`PATCH /api/finance-records/${body.id}`, {
      token,
      body: { itinerary_id: tour },
    })
    t.equal(outcome(moved), '409 period_closed', 'nobody else clears it there')
    await db.admin`delete from app.itineraries where id = ${other}`
    t.match((await call(`GET /api/finance-records/${body.id}`, { token })).body, { itinerary_id: null })
  })
})

t.test('what records keep as JSON is as before, so that none had to be written again', async t => {
  t.equal((await db.admin`select from app.finance_records where as_json like '%itinerary_id%'`).length, 0)
  const [checked] = await db.admin`select * from app.check_rows() where resource = 'finance_records'`
  t.not(checked?.['row_count'], '0')
  t.equal(checked?.['differing'], '0')
})

t.test('the reversal of what a settlement booked is for the same tour', async t => {
  const tour = await make('itineraries', anItinerary)
  const show = await make('shows', { ...aShow, status: 'played' })
  await make(`shows/${show}/deals`, { kind: 'flat', currency: 'USD', guarantee_minor: 900_00 })
  const settlement = await make(`shows/${show}/settlements`, { reason: null })
  t.equal((await call(`POST /api/settlements/${settlement}/finalize`, { token })).status, 200)
  const [booked] = await list(`finance-records?show_id=${show}`)
  const changed = await call(`PATCH /api/finance-records/${booked?.id ?? ''}`, {
    token,
    body: { itinerary_id: tour },
  })
  t.equal(changed.status, 200, 'its tour can be named')
  await call(`PUT /api/finance-periods/${aShow.show_on.slice(0, 7)}`, { token })
  const reopened = await call(`POST /api/shows/${show}/settlement/reopen`, { token, body: { reason: 'x' } })
  t.equal(reopened.status, 200)
  t.equal((await list(`finance-records?itinerary_id=${tour}`)).length, 2)
})

t.test('a draft that is hidden from a member is no different from none to them', async t => {
  const [draft, published, deleted] = [
    await make('itineraries', anItinerary),
    await make('itineraries', anItinerary),
    await make('itineraries', anItinerary),
  ]
  for (const tour of [published, deleted])
    await call(`POST /api/itineraries/${tour}/publish`, { token, body: { note: null } })
  await call(`DELETE /api/itineraries/${deleted}`, { token })
  const finance = ['finance.read', 'finance.write', 'finance.close', 'organization.read', 'imports.run']
  const reader = await joinAs(server, ana, [...finance, 'itineraries.read'])
  const bookkeeper = await joinAs(server, ana, finance)
  await call('PUT /api/finance-periods/2026-12', { token })
  const named = (await enter({ itinerary_id: draft })).body
  const unnamed = (await enter({})).body

  for (const { token: as } of [reader, bookkeeper]) {
    const tried = async (itinerary_id: string) => {
      const answers = [
        await call('POST /api/finance-records', { token: as, body: { ...aRecord, itinerary_id } }),
        // Whatever else is wrong with it.
        await call('POST /api/finance-records', {
          token: as,
          body: { ...aRecord, itinerary_id, booked_on: '2026-12-01' },
        }),
        await call('POST /api/finance-records', {
          token: as,
          body: { ...aRecord, itinerary_id, tax_minor: 999_999 },
        }),
        await call(`PATCH /api/finance-records/${unnamed.id}`, { token: as, body: { itinerary_id } }),
        await call(`PUT /api/finance-records/${unnamed.id}`, {
          token: as,
          body: { ...aRecord, itinerary_id },
        }),
      ]
      return answers.map(answer => `${outcome(answer)}: ${(answer.body as { detail?: string }).detail ?? ''}`)
    }
    const none = await tried('01a00000-0000-7000-8000-000000000000')
    t.match(none[0], /^409 finance_records_itinerary_exists/)
    t.match(none[3], /^409 finance_records_itinerary_exists/)
    t.same(await tried(draft), none, 'a draft')
    t.same(await tried(deleted), none, 'a deleted one')
    if (as === bookkeeper.token)
      t.same(await tried(published), none, 'a published one, without itineraries.read')
    const kept = await call(`PATCH /api/finance-records/${named.id}`, {
      token: as,
      body: { amount_minor: 1 },
    })
    t.match(kept, { status: 200, body: { itinerary_id: draft } }, 'one that names it already can be changed')
  }
  const seen = await call(`PATCH /api/finance-records/${unnamed.id}`, {
    token: reader.token,
    body: { itinerary_id: published },
  })
  t.equal(seen.status, 200)
})
