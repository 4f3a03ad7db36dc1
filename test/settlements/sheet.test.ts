// What sheets say: a whole one to the cent, each kind of deal, and money without and with three decimals.
import { t } from '../support/tap.ts'
import { register, startServer } from '../support/helper.ts'
import { newYork } from '../support/new-york.ts'
import { type Amounts, settling } from '../support/settling.ts'

/** Amounts by their names in a result. */
const minor = (amounts: Amounts) =>
  Object.fromEntries(Object.entries(amounts).map(([name, value]) => [`${name}_minor`, value]))
type Parts = [path: string, body: object][]

t.test('a sheet', async t => {
  const server = await startServer(t)
  const { token } = await register(server, 'Ana')
  const { showWith, draft, linesOf } = settling(server, token)
  const resultOf = async (parts: Parts) => (await draft(await showWith(parts))).body.result

  await t.test('of a whole night in New York is right to the cent', async t => {
    // 860 x 30.00 + 150 x 27.00 + 60 x 85.00 = 34,950.00; fees 1,070 x 3.00 = 3,210.00; packages 60 x 50.00 = 3,000.00;
    // tax 28,740.00 x 8.875 / 108.875 = 2,342.7555 ...; net receipts 26,397.24.
    // Costs: 9,855.68 + 3.25 % of 34,950.00 = 1,135.875 + 0.8 % of 26,397.24 = 211.1779 ... + 1,112 x 0.65 = 722.80
    // + 10 % of 26,397.24 = 2,639.724, more than 1,500.00; together 14,565.26, of which 15 % are 2,184.789.
    // 85 % of 26,397.24 - 16,750.05 = 9,647.19 are 8,200.1115, more than 5,000.00. With the bonus 9,200.11, of which
    // 10 % are 920.011. 8,200.11 + 1,000.00 - 920.01 + 600.00 - 450.00 - 2,500.00 = 5,930.10.
    const show = await showWith(newYork)
    t.match(
      (await draft(show)).body.result,
      minor({
        gross: 3_495_000,
        facility_fees: 321_000,
        excluded: 300_000,
        tax: 234_276,
        net_receipts: 2_639_724,
        fixed_costs: 985_568,
        percent_of_gross_costs: 113_588,
        percent_of_net_receipts_costs: 21_118 + 263_972,
        per_head_costs: 72_280,
        costs: 1_456_526,
        promoter_profit: 218_479,
        split_point: 1_675_005,
        share_base: 964_719,
        due: 820_011,
        bonuses: 100_000,
        withholding: 92_001,
        adjustments: 15_000,
        deposits: 250_000,
        walk_out: 593_010,
        balance: 820_011 - 92_001 - 250_000,
        // 26,397.24 + 3,000.00 - 14,565.26 - 8,200.11 - 1,000.00 - 150.00
        promoter: 548_187,
      }),
    )
    const lines = await linesOf(show)
    const said = lines.map(({ section, name, formula, amount_minor }) => [
      section,
      name,
      formula,
      amount_minor,
    ])
    t.strictSame(said.slice(0, 8), [
      ['receipts', 'VIP', '60 × 85.00', 510_000],
      ['receipts', 'General admission', '860 × 30.00', 2_580_000],
      ['receipts', 'Advance', '150 × 27.00', 405_000],
      ['receipts', 'Gross', 'all tickets', 3_495_000],
      ['receipts', 'Facility fees', '60 × 3.00 + 860 × 3.00 + 150 × 3.00', -321_000],
      ['receipts', 'Not shared', '60 × 50.00', -300_000],
      ['receipts', 'Tax in the prices', '8.875 % in the rest of 28,740.00', -234_276],
      ['receipts', 'Net receipts', 'what is left', 2_639_724],
    ])
    for (const line of [
      ['costs', 'Card fees', '3.25 % of the gross of 34,950.00', 113_588],
      ['costs', 'Insurance', '(1070 + 42 complimentary) × 0.65', 72_280],
      ['costs', 'Rent', '10 % of the net receipts of 26,397.24, at least 1,500.00', 263_972],
    ])
      t.ok(
        said.some(other => JSON.stringify(other) === JSON.stringify(line)),
        line.join(' '),
      )
    t.strictSame(said.slice(-14), [
      ['costs', 'Costs', 'all of them', 1_456_526],
      ['split', 'Promoter profit', '15 % of 14,565.26', 218_479],
      ['split', 'Split point', '14,565.26 + 2,184.79', 1_675_005],
      ['split', 'Shared', '26,397.24 − 16,750.05', 964_719],
      ['split', 'Share of the artist', '85 % of 9,647.19', 820_011],
      ['split', 'Guarantee', 'as agreed', 500_000],
      ['split', 'Due to the artist', 'the larger of the guarantee and the share', 820_011],
      ['payment', 'Bonus', 'from 1000 tickets; 1070 sold', 100_000],
      ['payment', 'Withholding', '10 % of 9,200.11', -92_001],
      ['payment', 'Backline', 'deduction', -45_000],
      ['payment', 'Dinner buyout', 'buyout', 60_000],
      ['payment', 'Deposit', 'paid on 2027-01-10', -250_000],
      [
        'payment',
        'To be paid to the artist',
        '8,200.11 due + 1,000.00 − 920.01 + 150.00 − 2,500.00',
        593_010,
      ],
      ['promoter', 'Left for the promoter', 'after all costs, also internal ones', 548_187],
    ])
  })

  // 1,000 tickets at 20.00 with 25 % tax in it: 20,000.00 gross, 4,000.00 tax, 16,000.00 net receipts. Costs of 3,000.00.
  // On top of each deal a bonus of 500.00; 20 % of both are withheld, and 1,000.00 have been paid.
  const night: Parts = [
    ['ticket-tiers', { name: 'Standing', price_minor: 2000, allotment: 1200, sold: 1000 }],
    ['costs', { name: 'Production', kind: 'fixed', amount_minor: 300_000 }],
    ['bonuses', { kind: 'tickets', amount_minor: 50_000, threshold: 900 }],
    ['deposits', { paid_on: '2027-01-10', amount_minor: 100_000 }],
  ]
  const deals: [what: string, deal: object, result: Amounts][] = [
    [
      // 20 % of 4,500.00 are 900.00; 4,000.00 + 500.00 - 900.00 - 1,000.00. Left: 16,000.00 - 3,000.00 - 4,500.00.
      'flat',
      { kind: 'flat', guarantee_minor: 400_000 },
      { due: 400_000, withholding: 90_000, walk_out: 260_000, balance: 210_000, promoter: 850_000 },
    ],
    [
      // 60 % of 13,000.00 are 7,800.00; 20 % of 8,300.00 are 1,660.00. Left: 13,000.00 - 8,300.00.
      'door of net',
      { kind: 'door', percentage: 60, base: 'net' },
      { due: 780_000, withholding: 166_000, walk_out: 564_000, promoter: 470_000 },
    ],
    [
      // Costs 5,000.00 with the guarantee; 50 % of 11,000.00 are 5,500.00; due 7,500.00; 20 % of 8,000.00 are 1,600.00.
      'plus, with the guarantee as a cost',
      { kind: 'plus', guarantee_minor: 200_000, percentage: 50, base: 'net' },
      { costs: 500_000, due: 750_000, withholding: 160_000, walk_out: 540_000, promoter: 500_000 },
    ],
    [
      // Profit 300.00; 30 % of 12,700.00 are 3,810.00, less than 5,000.00; 20 % of 5,500.00 are 1,100.00.
      'versus, the guarantee',
      {
        kind: 'versus',
        guarantee_minor: 500_000,
        percentage: 30,
        base: 'net_after_promoter_profit',
        promoter_profit_percentage: 10,
      },
      { share: 381_000, due: 500_000, withholding: 110_000, walk_out: 340_000, promoter: 750_000 },
    ],
    [
      // 40 % of 20,000.00 are 8,000.00; 20 % of 8,500.00 are 1,700.00.
      'versus, the share of the gross',
      { kind: 'versus', guarantee_minor: 500_000, percentage: 40, base: 'gross' },
      { share: 800_000, due: 800_000, withholding: 170_000, walk_out: 580_000, promoter: 450_000 },
    ],
    [
      // 50 % of 16,000.00 are 8,000.00, with the costs left to the promoter; 20 % of 8,500.00 are 1,700.00.
      'door of net receipts',
      { kind: 'door', percentage: 50, base: 'net_receipts' },
      { split_point: 0, due: 800_000, withholding: 170_000, walk_out: 580_000, promoter: 450_000 },
    ],
  ]
  for (const [what, deal, result] of deals)
    await t.test(`of a deal that is ${what} is right`, async t => {
      const terms = { currency: 'EUR', tax_percentage: 25, withholding_percentage: 20, ...deal }
      t.match(
        await resultOf([['deals', terms], ...night]),
        minor({ gross: 2_000_000, tax: 400_000, ...result }),
      )
    })

  await t.test('in yen has whole yen', async t => {
    // 300 x 5,500 = 1,650,000, of which 150,000 tax. 320 x 150 = 48,000; 3.3 % of the gross are 54,450. 70 % of
    // 1,500,000 - 102,450 are 978,285, of which 10.21 % are 99,882.8985.
    const show = await showWith([
      [
        'deals',
        {
          kind: 'door',
          currency: 'JPY',
          percentage: 70,
          base: 'net',
          tax_percentage: 10,
          withholding_percentage: 10.21,
        },
      ],
      ['ticket-tiers', { name: 'Standing', price_minor: 5500, allotment: 400, sold: 300, comps: 20 }],
      ['costs', { name: 'Drinks', kind: 'per_head', amount_minor: 150 }],
      ['costs', { name: 'Agency', kind: 'percent_of_gross', percentage: 3.3, amount_minor: 0 }],
    ])
    t.match(
      (await draft(show)).body.result,
      minor({ tax: 150_000, costs: 102_450, due: 978_285, withholding: 99_883, walk_out: 878_402 }),
    )
    const lines = await linesOf(show)
    t.equal(lines[0]?.formula, '300 × 5,500')
    t.equal(lines.find(({ key }) => key === 'withholding')?.formula, '10.21 % of 978,285')
  })

  await t.test('in dinars has three decimals', async t => {
    // 120 x 15.500 = 1,860.000. 7.5 % are 139.500, but at least 150.000. 60 % of 1,710.000 are 1,026.000; 20 tickets above
    // 100 make 25.000; 1.2345 % of 1,051.000 are 12.974595.
    const show = await showWith([
      [
        'deals',
        {
          kind: 'versus',
          currency: 'KWD',
          guarantee_minor: 500_000,
          percentage: 60,
          base: 'net',
          withholding_percentage: 1.2345,
        },
      ],
      ['ticket-tiers', { name: 'Seated', price_minor: 15_500, allotment: 200, sold: 120 }],
      ['costs', { name: 'Hall', kind: 'percent_of_net_receipts', percentage: 7.5, amount_minor: 150_000 }],
      ['bonuses', { kind: 'per_ticket', amount_minor: 1250, threshold: 100 }],
    ])
    t.match(
      (await draft(show)).body.result,
      minor({ costs: 150_000, due: 1_026_000, bonuses: 25_000, withholding: 12_975, walk_out: 1_038_025 }),
    )
    const lines = await linesOf(show)
    t.equal(lines[0]?.formula, '120 × 15.500')
    t.equal(lines.find(({ name }) => name === 'Bonus')?.formula, '20 × 1.250, above 100 tickets')
  })
})
