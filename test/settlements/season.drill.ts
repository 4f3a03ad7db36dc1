// A season of an organization: thirty shows with four deals each are entered, settled, and booked, and months closed, by a
// program that knows the API only from its document. Then every figure is computed again, from what was entered, and
// compared with what the API, its CSV and BI say.
import { connectBi, makeCredential } from '../support/bi.ts'
import { parseCsv } from '../support/csv.ts'
import { refresh } from '../support/figures.ts'
import { writeProgram } from '../support/generated-client.ts'
import { password, register, startServer } from '../support/helper.ts'
import { onPaper } from '../support/on-paper.ts'
import { type Item, walk } from '../support/pages.ts'
import { t } from '../support/tap.ts'

const program = `
import createClient from 'openapi-fetch'
import type { components, paths } from './api.ts'

type Schemas = components['schemas']

const [baseUrl = '', email = '', password = ''] = process.argv.slice(2)
const client = createClient<paths>({ baseUrl })

/** What an answer has; ends the program if it is a problem. */
async function got<T>(answer: Promise<{ data?: T; error?: { title: string; detail?: string } }>): Promise<T> {
  const { data, error } = await answer
  if (data === undefined) throw new Error(JSON.stringify(error))
  return data
}

const grant = await got(client.POST('/api/auth/sign-in', { body: { email, password } }))
client.use({
  onRequest: ({ request }) => {
    request.headers.set('authorization', 'Bearer ' + grant.access_token)
    return request
  },
})
const own = { params: { path: { id: grant.organization_id ?? '' } } }
await got(client.PATCH('/api/organizations/{id}', { ...own, body: { currency: 'EUR' } }))
const venue = await got(
  client.POST('/api/venues', {
    body: { name: 'Kanalhalle', city: 'Berlin', country: 'DE', time_zone: 'Europe/Berlin', capacity: 900 },
  }),
)

type Deal = Schemas['DealValues']
const currency = 'EUR'
const mains: Deal[] = [
  { kind: 'flat', currency, guarantee_minor: 300_000 },
  { kind: 'door', currency, percentage: 62.5, base: 'gross', tax_percentage: 7 },
  { kind: 'plus', currency, guarantee_minor: 150_000, percentage: 40, base: 'net', tax_percentage: 7 },
  { kind: 'versus', currency, guarantee_minor: 200_000, percentage: 85, base: 'net_receipts', tax_percentage: 8.875 },
  {
    kind: 'versus', currency, guarantee_minor: 250_000, percentage: 80, base: 'net_after_promoter_profit',
    tax_percentage: 19, promoter_profit_percentage: 15, withholding_percentage: 15.825, withholding_threshold_minor: 25_000,
  },
]
const acts: Deal[] = [
  { kind: 'flat', currency, guarantee_minor: 50_000, act: 'Paper Lanterns' },
  { kind: 'door', currency, percentage: 3.3, base: 'gross', act: 'Odd Socks', is_cost_of_main: false },
  { kind: 'versus', currency, guarantee_minor: 10_000, percentage: 2, base: 'net_receipts', tax_percentage: 7, act: 'DJ Ostkreuz' },
]

/** Records and finalizes the settlements of all deals of a show. */
async function settle(show: string, deals: string[], reason: string | null = null) {
  for (const deal_id of deals) {
    const of = { params: { path: { id: show } } }
    const { id } = await got(client.POST('/api/shows/{id}/settlements', { ...of, body: { reason, deal_id } }))
    const final = await got(client.POST('/api/settlements/{id}/finalize', { params: { path: { id } } }))
    if (final.not_booked_because !== null) throw new Error(final.not_booked_because)
  }
}

interface Night { show: string; show_on: string; deals: string[]; parts: [path: string, body: object][] }
const nights: Night[] = []
let month = ''
const late: Night[] = []
const close = (path: string) => got(client.PUT('/api/finance-periods/{month}', { params: { path: { month: path } } }))
for (let n = 0; n < 30; n++) {
  const show_on = new Date(Date.UTC(2026, 0, 3 + 9 * n)).toISOString().slice(0, 10)
  if (month !== '' && show_on.slice(0, 7) !== month) await close(month)
  month = show_on.slice(0, 7)
  const { id: show } = await got(
    client.POST('/api/shows', {
      body: { title: 'Night ' + (n + 1), artist: 'The Gaslights', show_on, venue_id: venue.id, status: 'played', start_time: '20:00' },
    }),
  )
  const of = { params: { path: { id: show } } }
  const parts: Night['parts'] = []
  const deals: string[] = []
  for (const body of [mains[n % mains.length], ...acts]) {
    if (!body) throw new Error('no deal')
    deals.push((await got(client.POST('/api/shows/{id}/deals', { ...of, body }))).id)
    parts.push(['deals', body])
  }
  const tiers: Schemas['TicketTierValues'][] = [
    { name: 'Standing', price_minor: 2500 + 10 * n, facility_fee_minor: 150, allotment: 500, sold: 211 + 7 * n, comps: 12 },
    { name: 'Balcony', price_minor: 4100, allotment: 120, sold: 37 + (n % 13) },
  ]
  for (const body of tiers) {
    await got(client.POST('/api/shows/{id}/ticket-tiers', { ...of, body }))
    parts.push(['ticket-tiers', body])
  }
  const costs: Schemas['ShowCostValues'][] = [
    { name: 'Production', kind: 'fixed', amount_minor: 120_000 + 1000 * n },
    { name: 'Ticketing', kind: 'per_ticket', amount_minor: 85 },
    { name: 'Card fees', kind: 'percent_of_gross', amount_minor: 0, percentage: 3.25 },
    { name: 'Insurance', kind: 'per_head', amount_minor: 65, is_internal: true },
  ]
  for (const body of costs) {
    await got(client.POST('/api/shows/{id}/costs', { ...of, body }))
    parts.push(['costs', body])
  }
  const deposit: Schemas['DepositValues'] = { paid_on: show_on, amount_minor: 40_000 }
  await got(client.POST('/api/shows/{id}/deposits', { ...of, body: deposit }))
  parts.push(['deposits', deposit])
  const night = { show, show_on, deals, parts }
  nights.push(night)
  // Every seventh is settled when all its books are closed.
  if (n % 7 === 3) late.push(night)
  else await settle(show, deals)
}
await close(month)
for (const { show, deals } of late) await settle(show, deals)

// One is corrected: the month of its records is closed, but not the one in which it was settled.
const { show = '', deals = [] } = late[0] ?? {}
const reason = 'Twelve more at the door'
await got(client.POST('/api/shows/{id}/settlement/reopen', { params: { path: { id: show } }, body: { reason, deal_id: deals[0] ?? '' } }))
await settle(show, deals.slice(0, 1), reason)
console.log(JSON.stringify(nights))
`

interface Night {
  show: string
  show_on: string
  deals: string[]
  parts: [path: string, body: Record<string, unknown>][]
}
interface Entry extends Item {
  show_id: string
  settlement_id: string
  kind: 'income' | 'expense'
  category_id: string
  booked_on: string
  amount_minor: number
  status: string
}

/** What each deal of a night leaves the artist with, and what the night leaves the promoter with. */
function recount({ parts }: Night) {
  const shared = parts.filter(([path]) => ['ticket-tiers'].includes(path))
  const [main, ...others] = parts.filter(([path]) => path === 'deals')
  if (!main) throw new Error('no main deal')
  const acts = others.map(deal => ({ deal: deal[1], due: onPaper([deal, ...shared]).walk_out_minor }))
  const asCosts = acts
    .filter(({ deal }) => deal['is_cost_of_main'] !== false)
    .map(({ due }): [string, object] => ['costs', { kind: 'fixed', amount_minor: due }])
  const { walk_out_minor, promoter_minor } = onPaper([
    main,
    ...parts.filter(([path]) => path !== 'deals'),
    ...asCosts,
  ])
  const apart = acts.filter(({ deal }) => deal['is_cost_of_main'] === false)
  return {
    walkOuts: [walk_out_minor, ...acts.map(({ due }) => due)],
    promoter_minor: apart.reduce((left, { due }) => left - due, promoter_minor),
  }
}

/** Sums of amounts by a key, without those that are 0. */
function sums<T>(items: readonly T[], key: (item: T) => string, amount: (item: T) => number) {
  const all = new Map<string, number>()
  for (const item of items) all.set(key(item), (all.get(key(item)) ?? 0) + amount(item))
  return Object.fromEntries([...all].filter(([, sum]) => sum !== 0).sort(([a], [b]) => (a < b ? -1 : 1)))
}
const signed = ({ kind, amount_minor }: Entry) => (kind === 'income' ? amount_minor : -amount_minor)

t.setTimeout(300_000)

t.test('a season that a client enters, settles and closes', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const url = await server.app.listen({ host: '127.0.0.1', port: 0 })
  const ana = await register(server, 'Ana')
  const { token } = ana
  const client = await writeProgram(t, url, program)
  t.match(await client.generate(), { code: 0 })
  t.same(await client.compile(), { code: 0, output: '' })
  const { code, output } = await client.run(ana.email, password)
  t.equal(code, 0, output)
  const nights = JSON.parse(output) as Night[]
  t.equal(nights.length, 30)

  const read = async (path: string) => (await call(`GET /api/${path}`, { token })).body
  const all = async (path: string) => (await walk(server, token, `/api/${path}?limit=200`)).flat()
  const shows = await all('shows')
  const records = (await all('finance-records')) as Entry[]
  const actual = records.filter(({ status }) => status === 'actual')

  await t.test('is settled to the cent, by each deal', async t => {
    t.ok(shows.every(({ status }) => status === 'settled'))
    for (const night of nights) {
      const settlements = (await all(`shows/${night.show}/settlements`)).filter(
        s => s['status'] === 'final' && s['reopened_at'] === null,
      )
      const walkOut = (deal: string) =>
        (settlements.find(s => s['deal_id'] === deal)?.['result'] as Record<string, number> | undefined)?.[
          'walk_out_minor'
        ]
      t.strictSame(night.deals.map(walkOut), recount(night).walkOuts, night.show_on)
    }
  })

  await t.test('is in the books, each amount once', async t => {
    const expected = Object.fromEntries(nights.map(night => [night.show, recount(night).promoter_minor]))
    t.strictSame(
      sums(actual, r => r.show_id, signed),
      sums(
        Object.entries(expected),
        ([show]) => show,
        ([, amount]) => amount,
      ),
    )
    const [{ part }] = await db.as('callboard_worker')<[{ part: { contradictions: unknown[] } }]>`
      select app.find_contradictions() as part`
    t.strictSame(part.contradictions, [])
  })

  await t.test('has no entry in a month that was closed before it', async t => {
    const months = [...new Set(nights.map(({ show_on }) => show_on.slice(0, 7)))]
    const closed = ((await read('finance-periods?limit=200'))['items'] as { month: string }[]).map(
      ({ month }) => month.slice(0, 7),
    )
    t.strictSame(closed.sort(), months)
    for (const [n, { show, show_on }] of nights.entries()) {
      const where = new Set(actual.filter(r => r.show_id === show).map(r => r.booked_on.slice(0, 7)))
      t.strictSame([...where], [n % 7 === 3 ? '2026-10' : show_on.slice(0, 7)], show_on)
    }
    const { category_id } = actual[0] as Entry
    const body = { kind: 'income', category_id, booked_on: '2026-03-05', amount_minor: 1, status: 'actual' }
    const other = (await all('finance-categories')).find(c => c['kind'] === 'income')
    t.match(await call('POST /api/finance-records', { token, body: { ...body, category_id: other?.id } }), {
      status: 409,
      body: { type: '/problems/period_closed' },
    })
  })

  await t.test('has the same figures everywhere', async t => {
    await refresh(db)
    const csv = async (resource: string) =>
      parseCsv((await call(`GET /api/exports/${resource}`, { token, headers: { accept: 'text/csv' } })).text)
    const bi = connectBi(t, await makeCredential(server, ana))
    const byMonth = sums(
      actual,
      r => `${r.booked_on.slice(0, 7)} ${r.kind}`,
      r => r.amount_minor,
    )

    const { items } = (await read('analytics/finance?from=2026-01-01&to=2026-12-31')) as {
      items: { period_on: string; actual: { income_minor: number; expense_minor: number } }[]
    }
    const figures = items.flatMap(({ period_on, actual: { income_minor, expense_minor } }) => [
      { key: `${period_on.slice(0, 7)} income`, amount: income_minor },
      { key: `${period_on.slice(0, 7)} expense`, amount: expense_minor },
    ])
    t.strictSame(
      sums(
        figures,
        x => x.key,
        x => x.amount,
      ),
      byMonth,
      'figures by month',
    )
    const lines = (await csv('finance-records')).filter(line => line['status'] === 'actual')
    t.strictSame(
      sums(
        lines,
        x => `${x['booked_on']?.slice(0, 7) ?? ''} ${x['kind'] ?? ''}`,
        x => Number(x['amount_minor']),
      ),
      byMonth,
      'CSV',
    )
    const facts = await bi<{ key: string; amount: string }[]>`
      select to_char(booked_on, 'YYYY-MM') || ' ' || kind as key, sum(amount_minor)::text as amount
      from fact_finance_records where status = 'actual' group by 1`
    t.strictSame(
      sums(
        facts,
        x => x.key,
        x => Number(x.amount),
      ),
      byMonth,
      'BI',
    )

    const profits = (await read('analytics/finance/shows?from=2026-01-01&to=2026-12-31&limit=200')) as {
      items: { show_id: string; actual: { profit_minor: number } }[]
    }
    t.strictSame(
      sums(
        profits.items,
        x => x.show_id,
        x => x.actual.profit_minor,
      ),
      sums(actual, r => r.show_id, signed),
      'profit by show',
    )

    const sold = nights.map(
      ({ show, parts }) =>
        [
          show,
          parts
            .filter(([path]) => path === 'ticket-tiers')
            .reduce((sum, [, x]) => sum + Number(x['sold']), 0),
        ] as const,
    )
    const expected = sums(
      sold,
      ([show]) => show,
      ([, tickets]) => tickets,
    )
    t.strictSame(
      sums(
        shows,
        x => x.id,
        x => Number(x['tickets_sold']),
      ),
      expected,
      'tickets by show',
    )
    t.strictSame(
      sums(
        await csv('shows'),
        x => x['id'] ?? '',
        x => Number(x['tickets_sold']),
      ),
      expected,
      'in CSV',
    )
    const soldFacts = await bi<{ key: string; n: number }[]>`
      select show_id::text as key, sum(sold)::integer as n from fact_ticket_tiers group by 1`
    t.strictSame(
      sums(
        soldFacts,
        x => x.key,
        x => x.n,
      ),
      expected,
      'in BI, by tier',
    )
    const showFacts = await bi<{ key: string; n: number }[]>`
      select show_id::text as key, tickets_sold as n from fact_shows`
    t.strictSame(
      sums(
        showFacts,
        x => x.key,
        x => x.n,
      ),
      expected,
      'in BI, by show',
    )
    const settled = await bi<{ due: string; n: number }[]>`
      select sum(walk_out_minor)::text as due, count(*)::integer as n from fact_settlements`
    const walkOuts = nights.flatMap(night => recount(night).walkOuts)
    t.match(
      settled.map(({ due, n }) => [Number(due), n]),
      [[walkOuts.reduce((a, b) => a + b, 0), 120]],
      'what artists leave with',
    )
  })
})
