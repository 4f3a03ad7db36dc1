// What each part of a sheet does by itself: bonuses, withholding, adjustments, deposits. Costs are in sheet-costs.test.ts.
import { t } from '../support/tap.ts'
import { register, startServer } from '../support/helper.ts'
import { settling } from '../support/settling.ts'

type Parts = [path: string, body: object][]

t.test('a sheet counts', async t => {
  const server = await startServer(t)
  const { call } = server
  const { token } = await register(server, 'Ana')
  const { make, showWith, draft, linesOf } = settling(server, token)
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

  const bonuses: [bonus: object, tickets: object, amount: number][] = [
    [{ kind: 'tickets', threshold: 500 }, {}, 7000],
    [{ kind: 'tickets', threshold: 501 }, {}, 0],
    [{ kind: 'per_ticket', threshold: 490 }, {}, 70_000],
    [{ kind: 'per_ticket', threshold: 500 }, {}, 0],
    [{ kind: 'sell_out' }, {}, 0],
    [{ kind: 'sell_out' }, { allotment: 512 }, 7000],
    [{ kind: 'sell_out' }, { allotment: 513 }, 0],
  ]
  await t.test('bonuses by tickets sold', async t => {
    for (const [bonus, tickets, amount] of bonuses)
      t.match(
        await resultOf([['bonuses', { ...bonus, amount_minor: 7000 }]], {}, tickets),
        { bonuses_minor: amount, due_minor: 648_148, walk_out_minor: 648_148 + amount },
        JSON.stringify([bonus, tickets]),
      )
    const show = await withParts(
      [['bonuses', { kind: 'sell_out', amount_minor: 7000 }]],
      {},
      { allotment: 512 },
    )
    await make(`shows/${show}/ticket-tiers`, { name: 'Balcony', price_minor: 0, allotment: 1 })
    t.match((await draft(show)).body.result, { bonuses_minor: 0 }, 'every allotment is to be full')
    t.match(
      (
        await draft(
          await showWith([
            ['deals', deal],
            ['bonuses', { kind: 'sell_out', amount_minor: 1 }],
          ]),
        )
      ).body.result,
      { bonuses_minor: 0 },
      'no tickets are not sold out',
    )
  })

  await t.test('a withholding of due and bonuses, of all if they are more than its threshold', async t => {
    // 6,481.48 due and 70.00: 10 % of 6,551.48.
    const bonus: Parts = [['bonuses', { kind: 'tickets', threshold: 1, amount_minor: 7000 }]]
    const after: Parts = [
      ['adjustments', { name: 'Bus', kind: 'credit', amount_minor: 5, stage: 'after_split' }],
    ]
    for (const [threshold, amount] of [
      [null, 65_515],
      [655_147, 65_515],
      [655_148, 0],
    ] as const)
      t.match(
        await resultOf([...bonus, ...after], {
          withholding_percentage: 10,
          withholding_threshold_minor: threshold,
        }),
        { withholding_minor: amount, walk_out_minor: 655_148 - amount + 5, balance_minor: 648_148 - amount },
        String(threshold),
      )
  })

  await t.test('adjustments before the split as costs, and after it as lines below', async t => {
    const adjust = (kind: string, stage: string) =>
      resultOf([['adjustments', { name: 'Backline', kind, amount_minor: 10_000, stage }]])
    // 50 % of 12,962.96 are 6,481.48; with 100.00 more of costs 6,431.48, with 100.00 less 6,531.48.
    for (const kind of ['reimbursement', 'buyout', 'credit']) {
      t.match(await adjust(kind, 'before_split'), {
        adjustment_costs_minor: 10_000,
        costs_minor: 10_000,
        due_minor: 643_148,
        walk_out_minor: 643_148,
        promoter_minor: 643_148,
      })
      t.match(await adjust(kind, 'after_split'), {
        costs_minor: 0,
        due_minor: 648_148,
        adjustments_minor: 10_000,
        walk_out_minor: 658_148,
        promoter_minor: 638_148,
      })
    }
    t.match(await adjust('deduction', 'before_split'), { costs_minor: -10_000, due_minor: 653_148 })
    t.match(await adjust('deduction', 'after_split'), {
      adjustments_minor: -10_000,
      walk_out_minor: 638_148,
      promoter_minor: 658_148,
    })
  })

  await t.test('a deposit once it is paid, and lists it before', async t => {
    const show = await withParts([
      ['deposits', { due_on: '2027-01-20', amount_minor: 250_000, note: 'Half' }],
    ])
    t.match((await draft(show)).body.result, {
      deposits_minor: 0,
      open_deposits_minor: 250_000,
      walk_out_minor: 648_148,
    })
    const lineOf = async () => (await linesOf(show)).find(({ name }) => name === 'Deposit')
    t.match(await lineOf(), {
      section: 'open',
      formula: 'due on 2027-01-20, not paid, Half',
      amount_minor: 250_000,
    })
    const { items } = (await call<{ items: { id: string }[] }>(`GET /api/shows/${show}/deposits`, { token }))
      .body
    const paid = { token, body: { paid_on: '2027-01-22' } }
    t.match((await call(`PATCH /api/deposits/${items[0]?.id ?? ''}`, paid)).body, {
      paid_on: '2027-01-22',
      due_on: '2027-01-20',
    })
    t.match((await draft(show)).body.result, {
      deposits_minor: 250_000,
      open_deposits_minor: 0,
      walk_out_minor: 398_148,
      balance_minor: 398_148,
    })
    t.match(await lineOf(), {
      section: 'payment',
      formula: 'paid on 2027-01-22, Half',
      amount_minor: -250_000,
    })
  })
})
