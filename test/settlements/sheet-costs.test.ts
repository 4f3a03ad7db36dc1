// What each kind of cost comes to, what is not shared, and what a budget does: nothing.
import { t } from '../support/tap.ts'
import { register, startServer } from '../support/helper.ts'
import { settling } from '../support/settling.ts'

type Parts = [path: string, body: object][]

t.test('a sheet counts', async t => {
  const server = await startServer(t)
  const { token } = await register(server, 'Ana')
  const { showWith, draft, linesOf } = settling(server, token)
  // 500 tickets at 30.00, 2.00 of it a fee, and 12 complimentary: 15,000.00 gross, 1,000.00 fees, 1,037.04 tax (8 %),
  // 12,962.96 net receipts.
  const tier = {
    name: 'Standing',
    price_minor: 3000,
    facility_fee_minor: 200,
    allotment: 600,
    sold: 500,
    comps: 12,
  }
  const deal = { kind: 'door', currency: 'EUR', percentage: 50, base: 'net', tax_percentage: 8 }
  const withParts = (parts: Parts, terms: object = {}, tickets: object = {}) =>
    showWith([['deals', { ...deal, ...terms }], ['ticket-tiers', { ...tier, ...tickets }], ...parts])
  const resultOf = async (...args: Parameters<typeof withParts>) =>
    (await draft(await withParts(...args))).body.result

  const gross = 'percent_of_gross'
  const receipts = 'percent_of_net_receipts'
  const costs: [what: string, cost: object, amount: number][] = [
    ['a fixed amount, once', { kind: 'fixed', amount_minor: 40_000 }, 40_000],
    ['and at most its cap', { kind: 'fixed', amount_minor: 40_000, cap_minor: 30_000 }, 30_000],
    ['each ticket sold: 500 x 0.80', { kind: 'per_ticket', amount_minor: 80 }, 40_000],
    ['and at most its cap', { kind: 'per_ticket', amount_minor: 80, cap_minor: 39_999 }, 39_999],
    ['each head: 512 x 0.65', { kind: 'per_head', amount_minor: 65 }, 33_280],
    ['and at most its cap', { kind: 'per_head', amount_minor: 65, cap_minor: 33_279 }, 33_279],
    ['3.25 % of the gross', { kind: gross, percentage: 3.25, amount_minor: 0 }, 48_750],
    ['and at least its amount', { kind: gross, percentage: 3.25, amount_minor: 50_000 }, 50_000],
    ['and at most its cap', { kind: gross, percentage: 3.25, amount_minor: 0, cap_minor: 45_000 }, 45_000],
    ['half a unit as a whole: 1.5', { kind: gross, percentage: 0.0001, amount_minor: 0 }, 2],
    ['0.8 % of the net receipts, 103.70368', { kind: receipts, percentage: 0.8, amount_minor: 0 }, 10_370],
    ['and at least its amount', { kind: receipts, percentage: 0.8, amount_minor: 15_000 }, 15_000],
    [
      'and at most its cap',
      { kind: receipts, percentage: 0.8, amount_minor: 10_000, cap_minor: 10_000 },
      10_000,
    ],
  ]
  for (const [what, cost, amount] of costs)
    await t.test(`of a cost ${JSON.stringify(cost)} ${what}`, async t => {
      t.match(await resultOf([['costs', { name: 'Cost', ...cost }]]), {
        costs_minor: amount,
        net_minor: 1_296_296 - amount,
        [`${(cost as { kind: string }).kind}_costs_minor`]: amount,
      })
    })

  await t.test('an internal cost not in the split, but in what is left', async t => {
    const pa = { name: 'PA', kind: 'fixed', amount_minor: 100_000 }
    const own: Parts = [
      ['costs', { ...pa, name: 'Office', amount_minor: 70_000, is_internal: true, budget_minor: 1 }],
    ]
    const [without, result] = [await resultOf([['costs', pa]]), await resultOf([['costs', pa], ...own])]
    t.match(result, { costs_minor: 100_000, internal_costs_minor: 70_000, due_minor: without['due_minor'] })
    t.equal(result['promoter_minor'], (without['promoter_minor'] ?? 0) - 70_000)
    t.match(result, { budget_minor: null }, 'nor is its budget on the sheet')
    const lines = await linesOf(await withParts(own))
    t.match(
      lines.find(({ name }) => name === 'Office'),
      { section: 'promoter', amount_minor: 70_000, over_budget_minor: 69_999 },
    )
  })

  await t.test('budgets in nothing, and shows them beside what it cost', async t => {
    const pa = { name: 'PA', kind: 'fixed', amount_minor: 100_000 }
    const ads = { name: 'Ads', kind: 'per_ticket', amount_minor: 80 }
    const taxi = { name: 'Taxi', kind: 'fixed', amount_minor: 4000 }
    const plain = await resultOf([
      ['costs', taxi],
      ['costs', pa],
      ['costs', ads],
    ])
    t.match(plain, { budget_minor: null, over_budget_minor: null })
    const show = await withParts([
      ['costs', taxi],
      ['costs', { ...pa, budget_minor: 90_000 }],
      ['costs', { ...ads, budget_minor: 50_000 }],
    ])
    t.match((await draft(show)).body.result, {
      ...plain,
      budget_minor: 140_000,
      over_budget_minor: 0,
      lines: Array,
    })
    t.same(
      (await linesOf(show))
        .filter(({ section }) => section === 'costs')
        .map(({ name, budget_minor, over_budget_minor }) => [name, budget_minor, over_budget_minor]),
      [
        ['Ads', 50_000, -10_000],
        ['PA', 90_000, 10_000],
        ['Taxi', null, null],
        ['Costs', 140_000, 0],
      ],
    )
  })

  await t.test('what is not shared as the promoter’s, also of the gross', async t => {
    // 500 x 10.00 off the top: tax 9,000.00 x 8 / 108 = 666.67; net receipts 8,333.33; the promoter has 5,000.00 besides.
    t.match(await resultOf([], {}, { excluded_minor: 1000 }), {
      excluded_minor: 500_000,
      tax_minor: 66_667,
      net_receipts_minor: 833_333,
      due_minor: 416_667,
      promoter_minor: 833_333 + 500_000 - 416_667,
    })
    t.match(await resultOf([], { base: 'gross' }, { excluded_minor: 1000 }), { due_minor: 500_000 })
  })
})
