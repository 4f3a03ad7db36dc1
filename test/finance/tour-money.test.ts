// The budget of a tour beside its books: GET /api/itineraries/:id/money, and the budget lines.
import { t } from '../support/tap.ts'
import { aShow, join, joinAs, register, startServer } from '../support/helper.ts'
import { aDay, anItinerary, dayTwo } from '../support/itineraries.ts'
import { outcome } from '../support/tokens.ts'

interface Item extends Record<string, unknown> {
  id: string
}

const server = await startServer(t)
const { call } = server
const ana = await register(server, 'Ana')
const { token } = ana
await call(`PUT /api/organizations/${ana.organization}`, {
  token,
  body: { name: 'Northlight', currency: 'EUR', time_zone: 'Europe/Berlin' },
})
const make = async (path: string, body: object, as = token) => {
  const answer = await call<Item>(`POST /api/${path}`, { token: as, body })
  if (answer.status !== 201) throw new Error(`${path}: ${answer.text}`)
  return answer.body.id
}
const { items: categories } = (
  await call<{ items: (Item & { name: string })[] }>('GET /api/finance-categories', { token })
).body
const category = (name: string) => categories.find(c => c.name === name)?.id ?? ''
const [guarantee, travel, lodging] = [category('Guarantee'), category('Travel'), category('Accommodation')]
const record = (kind: string, category_id: string, amount_minor: number, status: string, more: object = {}) =>
  make('finance-records', { kind, category_id, amount_minor, status, booked_on: '2027-03-14', ...more })
const money = async (tour: string, as = token) =>
  (await call(`GET /api/itineraries/${tour}/money`, { token: as })).body

t.test('a tour adds up what names it and what its shows bring, each record once', async t => {
  const [tour, other] = [await make('itineraries', anItinerary), await make('itineraries', anItinerary)]
  const [evening, matinee, elsewhere] = [
    await make('shows', aShow),
    await make('shows', aShow),
    await make('shows', aShow),
  ]
  const day = await make('itinerary-days', { itinerary_id: tour, ...aDay, show_id: evening })
  await make('schedule-items', { day_id: day, title: 'Matinee', start_time: '14:00', show_id: matinee })
  // The evening is on the day, and twice more in what happens on it.
  await make('schedule-items', { day_id: day, title: 'Doors', start_time: '19:00', show_id: evening })
  await make('itinerary-days', { itinerary_id: tour, ...aDay, day_on: dayTwo, show_id: evening })

  await make(`itineraries/${tour}/budget-lines`, { category_id: guarantee, amount_minor: 2500_00 })
  await make(`itineraries/${tour}/budget-lines`, { category_id: travel, amount_minor: 1000_00 })
  await make(`itineraries/${tour}/budget-lines`, {
    category_id: travel,
    amount_minor: 100_00,
    currency: 'USD',
    exchange_rate: 0.9,
  })

  await record('income', guarantee, 2000_00, 'planned', { show_id: evening })
  await record('income', guarantee, 600_00, 'actual', { show_id: matinee })
  await record('expense', lodging, 800_00, 'committed', { itinerary_id: tour })
  await record('expense', travel, 500_00, 'actual', {
    itinerary_id: tour,
    currency: 'USD',
    exchange_rate: 0.9,
  })
  await record('expense', travel, 100_00, 'actual', { itinerary_id: tour, show_id: evening })
  // None of these: another tour's, void, deleted, of a show that is not on the tour, of nothing.
  await record('income', guarantee, 1, 'actual', { show_id: evening, itinerary_id: other })
  const voided = await record('expense', travel, 2, 'planned', { itinerary_id: tour })
  await call(`PATCH /api/finance-records/${voided}`, { token, body: { status: 'void' } })
  const deleted = await record('expense', travel, 4, 'actual', { show_id: evening })
  await call(`DELETE /api/finance-records/${deleted}`, { token })
  await record('expense', travel, 8, 'actual', { show_id: elsewhere })
  await record('expense', travel, 16, 'actual')

  // Income: planned 2000, actual 600, of 2500: 100 more.
  // Travel: budget 1000 + 100 × 0.9 = 1090; actual 500 × 0.9 + 100 = 550: 540 less.
  // Hotels: no budget, 800 committed. Expenses: 550 + 800 of 1090: 260 more.
  // Profit: planned 2500 - 1090 = 1410; expected 2000 - 800 = 1200; actual 600 - 550 = 50; 1250 is 160 less.
  const sums = (budget: number, expected: number, actual: number, difference: number) => ({
    budget_minor: budget * 100,
    expected_minor: expected * 100,
    actual_minor: actual * 100,
    difference_minor: difference * 100,
  })
  t.strictSame(await money(tour), {
    itinerary_id: tour,
    currency: 'EUR',
    categories: [
      { category_id: guarantee, category_name: 'Guarantee', kind: 'income', ...sums(2500, 2000, 600, 100) },
      { category_id: lodging, category_name: 'Accommodation', kind: 'expense', ...sums(0, 800, 0, 800) },
      { category_id: travel, category_name: 'Travel', kind: 'expense', ...sums(1090, 0, 550, -540) },
    ],
    totals: {
      income: sums(2500, 2000, 600, 100),
      expense: sums(1090, 800, 550, 260),
      profit: sums(1410, 1200, 50, -160),
    },
    records_in_other_base_currencies: 0,
  })
  t.match(await money(other), { totals: { income: { actual_minor: 1 }, expense: { actual_minor: 0 } } })

  await t.test('a show that leaves the tour takes its money along', async t => {
    await call(`DELETE /api/itinerary-days/${day}`, { token })
    t.match(
      await money(tour),
      { totals: { income: sums(2500, 2000, 0, -500) } },
      'the evening is still on a day',
    )
  })
})

t.test('a budget line', async t => {
  const tour = await make('itineraries', anItinerary)
  const path = `itineraries/${tour}/budget-lines`
  const enter = (body: object, as = token) =>
    call<Item>(`POST /api/${path}`, {
      token: as,
      body: { category_id: travel, amount_minor: 10_00, ...body },
    })
  const { body } = await enter({ note: 'Two vans' })
  t.match(body, {
    itinerary_id: tour,
    kind: 'expense',
    category_name: 'Travel',
    currency: 'EUR',
    exchange_rate: 1,
    base_amount_minor: 1000,
    base_currency: 'EUR',
    note: 'Two vans',
  })
  const line = `/api/budget-lines/${body.id}` as const

  await t.test('is changed, found by its category, deleted and restored', async t => {
    const { body: dollars } = await enter({ currency: 'USD', exchange_rate: 0.5, category_id: guarantee })
    t.match(dollars, { kind: 'income', base_amount_minor: 500 })
    t.match(await call(`PATCH /api/budget-lines/${dollars.id}`, { token, body: { exchange_rate: 0.25 } }), {
      status: 200,
      body: { base_amount_minor: 250 },
    })
    t.match(await call(`PATCH ${line}`, { token, body: { category_id: lodging, amount_minor: 12_00 } }), {
      status: 200,
      body: { category_name: 'Accommodation', amount_minor: 1200, base_amount_minor: 1200 },
    })
    const found = await call<{ items: Item[] }>(`GET /api/${path}?kind=income`, { token })
    t.same(
      found.body.items.map(({ id }) => id),
      [dollars.id],
    )
    t.equal((await call(`DELETE ${line}`, { token })).status, 204)
    t.match(await money(tour), { totals: { expense: { budget_minor: 0 } } })
    t.equal((await call(`POST ${line}/restore`, { token })).status, 200)
    t.match(await money(tour), { totals: { expense: { budget_minor: 1200 } } })
  })

  await t.test('is refused when it contradicts itself', async t => {
    const refused: [body: object, outcome: string][] = [
      [{ currency: 'USD' }, '422 budget_lines_exchange_rate_needed'],
      [{ exchange_rate: 2 }, '422 budget_lines_exchange_rate_of_base'],
      [{ currency: 'XXQ', exchange_rate: 2 }, '422 budget_lines_currency_exists'],
      [{ category_id: tour }, '409 budget_lines_category_exists'],
      [{ amount_minor: -1 }, '400 validation'],
    ]
    for (const [body, expected] of refused) t.equal(outcome(await enter(body)), expected)
  })

  await t.test('keeps its category, and goes and comes with its tour', async t => {
    const insurance = category('Insurance')
    await call(`PATCH ${line}`, { token, body: { category_id: insurance } })
    t.equal(
      outcome(await call(`DELETE /api/finance-categories/${insurance}`, { token })),
      '409 budget_lines_category_exists',
    )
    await call(`DELETE /api/itineraries/${tour}`, { token })
    t.equal((await call(`GET ${line}`, { token })).status, 404)
    t.equal(outcome(await call(`POST ${line}/restore`, { token })), '409 parent_deleted')
    t.equal((await call(`GET /api/itineraries/${tour}/money`, { token })).status, 404)
    await call(`POST /api/itineraries/${tour}/restore`, { token })
    t.equal((await call(`GET ${line}`, { token })).status, 200)
  })

  await t.test('is for those who may see money, of tours that they see', async t => {
    const viewer = await join(server, ana, 'viewer')
    const planner = await joinAs(server, ana, ['itineraries.read', 'itineraries.write', 'organization.read'])
    const ask = async (what: string, as: string) =>
      (await call(`GET /api/itineraries/${tour}/${what}`, { token: as })).status
    for (const what of ['money', 'budget-lines']) {
      t.equal(await ask(what, viewer.token), 404, 'a draft is hidden from those who do not plan')
      t.equal(await ask(what, planner.token), 403, 'and money from those who do')
    }
    const { id } = (await enter({})).body
    const gone = (await enter({})).body.id
    await call(`DELETE /api/budget-lines/${gone}`, { token })
    const finance = ['finance.read', 'finance.write', 'finance.delete', 'organization.read']
    const bookkeepers = {
      'reads tours': await joinAs(server, ana, [...finance, 'itineraries.read']),
      'sees no tours': await joinAs(server, ana, finance),
    }
    const each = async (as: string) => {
      const statuses: Record<string, number> = {}
      for (const [request, body] of [
        [`GET /api/budget-lines/${id}`],
        [`PATCH /api/budget-lines/${id}`, { amount_minor: 11_00 }],
        [`DELETE /api/budget-lines/${id}`],
        [`POST /api/budget-lines/${gone}/restore`],
        [`POST /api/${path}`, { category_id: travel, amount_minor: 1 }],
      ] as [`${string} ${string}`, object?][])
        statuses[request] = (await call(request, { token: as, ...(body && { body }) })).status
      return Object.values(statuses)
    }
    for (const [who, { token: as }] of Object.entries(bookkeepers))
      t.same(await each(as), [404, 404, 404, 404, 404], `the lines of a draft, for who ${who}`)
    t.equal((await call(`GET /api/budget-lines/${id}`, { token })).status, 200)

    await call(`POST /api/itineraries/${tour}/publish`, { token, body: { note: null } })
    for (const what of ['money', 'budget-lines']) t.equal(await ask(what, viewer.token), 200, what)
    t.equal(outcome(await enter({}, viewer.token)), '403 permission_denied')
    t.same(await each(bookkeepers['sees no tours'].token), [404, 404, 404, 404, 404])
    t.same(await each(bookkeepers['reads tours'].token), [200, 200, 204, 200, 201])
  })
})

t.test('a company with a budget keeps its currency', async t => {
  const ben = await register(server, 'Ben')
  const tour = await make('itineraries', anItinerary, ben.token)
  const { body } = await call<{ items: Item[] }>('GET /api/finance-categories', { token: ben.token })
  await make(
    `itineraries/${tour}/budget-lines`,
    { category_id: body.items[0]?.id, amount_minor: 1 },
    ben.token,
  )
  const changed = await call(`PATCH /api/organizations/${ben.organization}`, {
    token: ben.token,
    body: { currency: 'JPY' },
  })
  t.equal(outcome(changed), '409 organization_has_books')
})
