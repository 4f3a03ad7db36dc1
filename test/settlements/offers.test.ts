// An offer: what a deal comes to before the show, from the same arithmetic as its settlement.
import fc from 'fast-check'
import { t } from '../support/tap.ts'
import { register, startServer } from '../support/helper.ts'
import { newYork } from '../support/new-york.ts'
import { type Draft, settling } from '../support/settling.ts'
import { outcome } from '../support/tokens.ts'

interface Offer {
  tickets_for_sale: number
  break_even_tickets: number | null
  is_break_even_known: boolean
  at_full_house: Draft['result']
}

t.test('an offer', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const [{ token }, ben] = [await register(server, 'Ana'), await register(server, 'Ben')]
  const { showWith, draft } = settling(server, token)
  const offer = (show: string, as = token) => call<Offer>(`GET /api/shows/${show}/offer`, { token: as })

  await t.test('is what the settlement is once every ticket is sold', async t => {
    const show = await showWith(newYork, 'offer')
    const { body } = await offer(show)
    t.equal(body.tickets_for_sale, 938 + 150 + 70)
    const { items } = (
      await call<{ items: { id: string; allotment: number; comps: number }[] }>(
        `GET /api/shows/${show}/ticket-tiers`,
        { token },
      )
    ).body
    for (const { id, allotment, comps } of items)
      await call(`PATCH /api/ticket-tiers/${id}`, { token, body: { sold: allotment - comps } })
    t.same(body.at_full_house, (await draft(show)).body.result)
    t.same((await offer(show)).body.break_even_tickets, body.break_even_tickets, 'whatever has been sold')
  })

  await t.test('breaks even with the smallest number of tickets, the cheapest first', async t => {
    // 4,000.00 and 1,000.00. 190 x (20.00 - 1.00) = 3,610.00; the other 1,390.00 / 49.00 are 28.4: 29 more.
    const parts: [string, object][] = [
      ['deals', { kind: 'flat', currency: 'EUR', guarantee_minor: 400_000 }],
      ['ticket-tiers', { name: 'Seated', price_minor: 5000, allotment: 100 }],
      ['ticket-tiers', { name: 'Standing', price_minor: 2000, allotment: 200, comps: 10, sold: 3 }],
      ['costs', { name: 'PA', kind: 'fixed', amount_minor: 60_000 }],
      ['costs', { name: 'Office', kind: 'fixed', amount_minor: 40_000, is_internal: true }],
      ['costs', { name: 'Ticketing', kind: 'per_ticket', amount_minor: 100 }],
    ]
    t.match((await offer(await showWith(parts, 'hold'))).body, {
      tickets_for_sale: 290,
      break_even_tickets: 219,
    })
    const dear: [string, object] = ['costs', { name: 'Fireworks', kind: 'fixed', amount_minor: 10_000_000 }]
    t.match((await offer(await showWith([...parts, dear]))).body, { break_even_tickets: null })
    t.match(
      (await offer(await showWith([['deals', { kind: 'flat', currency: 'EUR', guarantee_minor: 0 }]]))).body,
      { tickets_for_sale: 0, break_even_tickets: 0 },
    )
  })

  await t.test('breaks even in the middle, where later tickets lose money', async t => {
    // 10 tickets of 20.00 are not shared: 5 of them make good for costs of 100.00. Of the other 10 at 30.00, half is tax,
    // and all of the gross is the artist's: each loses 15.00, and a full house 50.00.
    const show = await showWith([
      ['deals', { kind: 'door', currency: 'EUR', percentage: 100, base: 'gross', tax_percentage: 100 }],
      ['ticket-tiers', { name: 'Package', price_minor: 2000, excluded_minor: 2000, allotment: 10 }],
      ['ticket-tiers', { name: 'Seated', price_minor: 3000, allotment: 10 }],
      ['costs', { name: 'PA', kind: 'fixed', amount_minor: 10_000 }],
    ])
    t.match((await offer(show)).body, {
      break_even_tickets: 5,
      at_full_house: { promoter_minor: -5000 },
    })
  })

  await t.test('is found in a large hall without trying every number', async t => {
    // 85 % above 1,000,000.00 of costs: 50,000 x 20.00, whatever the share after it.
    const show = await showWith([
      ['deals', { kind: 'door', currency: 'EUR', percentage: 85, base: 'net' }],
      ['ticket-tiers', { name: 'Standing', price_minor: 2000, allotment: 2_000_000 }],
      ['costs', { name: 'Everything', kind: 'fixed', amount_minor: 100_000_000 }],
    ])
    t.match((await offer(show)).body, { break_even_tickets: 50_000 })
  })

  await t.test('says so if the number is not found in time, and answers all the same', async t => {
    // Never more than nothing, and nowhere much less.
    const show = await showWith([
      ['deals', { kind: 'door', currency: 'EUR', percentage: 100, base: 'gross' }],
      ['ticket-tiers', { name: 'Standing', price_minor: 2000, allotment: 2_000_000 }],
      ['costs', { name: 'Stamp', kind: 'fixed', amount_minor: 1, is_internal: true }],
    ])
    const { status, body } = await offer(show)
    t.equal(status, 200)
    t.match(body, { break_even_tickets: null, is_break_even_known: false })
    t.match((await offer(await showWith(newYork))).body, { is_break_even_known: true })
  })

  await t.test('needs a deal, and is nobody else’s', async t => {
    t.equal(outcome(await offer(await showWith([]))), '409 settlement_needs_deal')
    t.equal(outcome(await offer(await showWith(newYork), ben.token)), '404 not_found')
  })

  await t.test('leaves out no number of tickets with which nothing is lost', async t => {
    const money = (max: number) => fc.integer({ min: 0, max })
    const rate = fc.oneof(fc.constantFrom(0, 50, 100), fc.integer({ min: 0, max: 100 }))
    const inputs = fc.record({
      deal: fc.record({
        kind: fc.constantFrom('flat', 'door', 'plus', 'versus'),
        base: fc.constantFrom('gross', 'net_receipts', 'net', 'net_after_promoter_profit'),
        guarantee_minor: money(900),
        percentage: rate,
        tax_percentage: rate,
        promoter_profit_percentage: rate,
        guarantee_is_cost: fc.boolean(),
      }),
      ticket_tiers: fc.array(
        fc.record({
          price_minor: money(60),
          facility_fee_minor: money(5),
          excluded_minor: money(5),
          allotment: fc.integer({ min: 5, max: 25 }),
          comps: money(5),
        }),
        { maxLength: 3 },
      ),
      costs: fc.array(
        fc.record({
          kind: fc.constantFrom(
            'fixed',
            'per_ticket',
            'per_head',
            'percent_of_gross',
            'percent_of_net_receipts',
          ),
          amount_minor: money(30),
          percentage: rate,
          is_internal: fc.boolean(),
        }),
        { maxLength: 4 },
      ),
      deposits: fc.constant([]),
      bonuses: fc.array(
        fc.record({
          kind: fc.constantFrom('tickets', 'sell_out', 'per_ticket'),
          amount_minor: money(40),
          threshold: money(40),
        }),
        { maxLength: 2 },
      ),
    })
    const api = db.as('callboard_api')
    const all = fc.sample(inputs, { numRuns: 400, seed: 20_270_203 }).map(given => {
      for (const tier of given.ticket_tiers) tier.price_minor += tier.facility_fee_minor + tier.excluded_minor
      if (given.deal.kind === 'flat') Object.assign(given.deal, { base: null, percentage: null })
      return given
    })
    const wrong = await api`
      select x.given, f.found, f.tried
      from jsonb_array_elements(${api.json(all)}::jsonb) as x (given),
        lateral (select coalesce(sum((t ->> 'allotment')::bigint - (t ->> 'comps')::bigint), 0)::bigint as most
          from jsonb_array_elements(x.given -> 'ticket_tiers') t) m,
        lateral (select app.break_even(x.given, m.most) as found, (
          select min(n) from generate_series(0, m.most) n
          where (app.settlement_figures(app.inputs_at(x.given, n)) ->> 'promoter_minor')::numeric >= 0) as tried) f
      where f.found is distinct from f.tried`
    t.same(wrong, [])

    // And with another act, whose pay is a cost of the main deal or not.
    const several = all.slice(1).map((main, n) => {
      const { deal, bonuses } = all[n] ?? main
      const shared = { ticket_tiers: main.ticket_tiers, costs: main.costs, deposits: [], adjustments: [] }
      const act = { id: 'other', act: 'Other', ...deal, bonuses, adjustments: [] }
      return [
        {
          ...shared,
          deal: main.deal,
          bonuses: main.bonuses,
          acts: n % 3 === 0 ? [] : [act],
          enters_show: true,
        },
        { ...shared, deal, bonuses, acts: [], enters_show: false },
      ]
    })
    const wrongTogether = await api`
      select x.given, f.found, f.tried
      from jsonb_array_elements(${api.json(several)}::jsonb) as x (given),
        lateral (select coalesce(sum((t ->> 'allotment')::bigint - (t ->> 'comps')::bigint), 0)::bigint as most
          from jsonb_array_elements(x.given #> '{0,ticket_tiers}') t) m,
        lateral (select app.break_even(x.given, m.most) as found, (
          select min(n) from generate_series(0, m.most) n
          where (select sum((app.settlement_figures(app.inputs_at(s, n)) ->> 'books_minor')::numeric)
            from jsonb_array_elements(x.given) s) >= 0) as tried) f
      where f.found is distinct from f.tried`
    t.same(wrongTogether, [])
    const [{ bounded }] = await api<[{ bounded: number }]>`
      select count(*)::integer as bounded from jsonb_array_elements(${api.json(several)}::jsonb) as x (given)
      where app.most_left(x.given, 0, 4) < 0`
    t.ok(bounded > 20, 'and whole ranges are left out')
  })

  await t.test('is for all acts of a show', async t => {
    // 30.00 - 2.00 for each of up to 600 tickets; 4,000 of costs, 5,000 and 500 for two acts: 340 tickets pay for them.
    const flat = { kind: 'flat', currency: 'EUR' }
    const show = await showWith([
      ['deals', { ...flat, guarantee_minor: 500_000 }],
      ['deals', { ...flat, guarantee_minor: 50_000, act: 'Paper Lanterns', is_cost_of_main: false }],
      ['ticket-tiers', { name: 'Standing', price_minor: 3000, facility_fee_minor: 200, allotment: 600 }],
      ['costs', { name: 'Production', kind: 'fixed', amount_minor: 400_000 }],
    ])
    const { body } = await offer(show)
    t.match(body, { break_even_tickets: 340, at_full_house: { due_minor: 500_000, promoter_minor: 780_000 } })
    const { items } = (
      await call<{ items: { id: string; act: string | null }[] }>(`GET /api/shows/${show}/deals`, { token })
    ).body
    const other = items.find(({ act }) => act !== null)?.id ?? ''
    t.match((await call(`GET /api/shows/${show}/offer?deal_id=${other}`, { token })).body, {
      act: 'Paper Lanterns',
      break_even_tickets: 340,
      at_full_house: { due_minor: 50_000 },
    })
  })
})
