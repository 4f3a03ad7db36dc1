// Rates of deals in percent, and the basis points of up to 0.2.0 beside them; bases; and the currency of a show's money.
import { t } from '../support/tap.ts'
import { aShow, register, startServer } from '../support/helper.ts'
import { settling } from '../support/settling.ts'
import { outcome } from '../support/tokens.ts'

t.test('deals', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const { make, draft, record, finalize } = settling(server, token)
  const withDeal = async (deal: object, tier: object, cost?: number) => {
    const show = await make('shows', { ...aShow, status: 'played' })
    const id = await make(`shows/${show}/deals`, { currency: 'USD', ...deal })
    await make(`shows/${show}/ticket-tiers`, { name: 'Standing', allotment: 5000, ...tier })
    if (cost !== undefined)
      await make(`shows/${show}/costs`, { name: 'Production', kind: 'fixed', amount_minor: cost })
    return { show, id, of: `/api/deals/${id}` }
  }
  const rates = (body: Record<string, unknown>) => [body['percentage'], body['percentage_bp']]

  await t.test('take a tax of 8.875 % to the cent', async t => {
    // 100,000.00 with tax: x 8.875 / 108.875 = 8,151.55 (8,151.549 ...); 85 % of the other 91,848.45 is 78,071.1825.
    const { show } = await withDeal(
      { kind: 'door', percentage: 85, base: 'net', tax_percentage: 8.875 },
      { price_minor: 4000, sold: 2500 },
    )
    t.match((await draft(show)).body, {
      inputs: { deal: { tax_percentage: 8.875, tax_bp: null, percentage: 85, percentage_bp: 8500 } },
      result: { tax_minor: 815_155, net_receipts_minor: 9_184_845, due_minor: 7_807_118 },
    })
  })

  await t.test('take six decimals, also of a share and of a profit', async t => {
    // Net receipts 1,000,000.00; costs 300,000.00, of which 12.345678 % are 37,037.03 (37,037.034); the rest is 662,962.97,
    // of which 66.666667 % are 441,975.32 (441,975.3155...).
    const { show, of } = await withDeal(
      {
        kind: 'door',
        percentage: 66.666667,
        base: 'net_after_promoter_profit',
        promoter_profit_percentage: 12.345678,
      },
      { price_minor: 100_000, sold: 1000 },
      30_000_000,
    )
    t.match((await draft(show)).body.result, { promoter_profit_minor: 3_703_703, due_minor: 44_197_532 })
    t.match((await call(`GET ${of}`, { token })).text, /"percentage" : 66\.666667,/)
    t.equal(
      outcome(await call(`PATCH ${of}`, { token, body: { percentage: 66.6666667 } })),
      '422 deals_valid_rates',
    )
  })

  await t.test('share the net receipts, with the costs left to the promoter', async t => {
    // 800 x 22.00 less 800 x 2.00 is 16,000.00; / 1.1 = 14,545.45; 70 % of that is 10,181.815.
    const { show } = await withDeal(
      {
        kind: 'versus',
        guarantee_minor: 500_000,
        percentage: 70,
        base: 'net_receipts',
        tax_percentage: 10,
      },
      { price_minor: 2200, facility_fee_minor: 200, sold: 800 },
      600_000,
    )
    t.match((await draft(show)).body.result, {
      net_receipts_minor: 1_454_545,
      split_point_minor: 0,
      share_base_minor: 1_454_545,
      due_minor: 1_018_182,
      promoter_minor: 1_454_545 - 600_000 - 1_018_182,
    })
  })

  await t.test('accept both notations of a rate, the one that has changed', async t => {
    const { id, of } = await withDeal(
      { kind: 'versus', guarantee_minor: 1, percentage_bp: 8500, base: 'net', tax_bp: 700 },
      { price_minor: 1 },
    )
    t.match((await call(`GET ${of}`, { token })).body, { percentage: 85, tax_percentage: 7, tax_bp: 700 })
    const patch = async (body: object) => rates((await call(`PATCH ${of}`, { token, body })).body)
    t.same(await patch({ percentage_bp: 9000 }), [90, 9000])
    t.same(await patch({ percentage: 87.125 }), [87.125, null])
    t.same(await patch({ guarantee_minor: 2 }), [87.125, null])
    t.same(await patch({ percentage_bp: 8000 }), [80, 8000])
    t.same(await patch({ percentage: 75, percentage_bp: 7500 }), [75, 7500])
    const refused = await call(`PATCH ${of}`, { token, body: { percentage: 70, percentage_bp: 7100 } })
    t.equal(outcome(refused), '422 deals_rates_agree')
    const put = async (body: object) => {
      const whole = { kind: 'versus', currency: 'USD', guarantee_minor: 1, base: 'net', ...body }
      const answer = await call(`PUT ${of}`, { token, body: whole })
      t.equal(answer.status, 200, answer.text)
      return rates(answer.body)
    }
    t.same(await put({ percentage_bp: 7500 }), [75, 7500], 'the same in basis points')
    t.same(await put({ percentage: 75 }), [75, 7500], 'the same in percent')
    t.same(await put({ percentage: 60 }), [60, 6000])
    t.match((await call(`GET ${of}`, { token })).body, { tax_percentage: 0, tax_bp: 0 }, 'omitted is none')
    for (const none of [{ percentage: null }, { percentage_bp: null }]) {
      const flat = await call(`PATCH ${of}`, { token, body: { kind: 'flat', base: null, ...none } })
      t.same([flat.status, ...rates(flat.body)], [200, null, null])
      t.same(await patch({ kind: 'versus', base: 'net', percentage: 50 }), [50, 5000])
    }
    const told = { headers: { deprecation: /^@\d+$/ } }
    t.match(await call(`GET ${of}`, { token }), told, 'basis points are deprecated')
    t.match(await call(`PATCH ${of}`, { token, body: { base: 'gross' } }), told)
    t.notMatch(await call('GET /api/shows', { token }), told)
    t.notMatch(await call(`PATCH ${of}`, { token, body: { base: 'grosser' } }), told)
    // As the programs of before write.
    await db.admin`update app.deals set percentage_bp = 4000 where id = ${id}`
    t.same(rates((await call(`GET ${of}`, { token })).body), [40, 4000])
  })

  await t.test('of before get their percentages with their JSON, as no change of anybody', async t => {
    const { show, id, of } = await withDeal(
      { kind: 'versus', guarantee_minor: 1, percentage_bp: 8500, base: 'net', tax_bp: 700 },
      { price_minor: 3000, sold: 100 },
    )
    await db.admin.begin(async sql => {
      await sql`set local session_replication_role = replica`
      await sql`update app.deals set percentage = null, tax_percentage = null, promoter_profit_percentage = null where id = ${id}`
    })
    t.match((await draft(show)).body, { inputs: { deal: { percentage: 85, tax_percentage: 7 } } })
    const [{ version }] = await db.admin<
      [{ version: number }]
    >`select version from app.deals where id = ${id}`
    await db.admin`update app_private.resources set remade = null where name = 'deals'`
    let next: unknown = null
    do {
      ;[{ next } = { next: null }] = await db.admin<{ next: unknown }[]>`
        select app_private.remake_json(${next === null ? null : JSON.stringify(next)}::text::jsonb) as next`
    } while (next !== null)
    const after = await call(`GET ${of}`, { token })
    t.same(rates(after.body), [85, 8500])
    t.equal(after.headers['etag'], `"${version}"`)
    const { body } = await call<{ items: object[] }>(`GET /api/audit/events?resource_id=${id}`, { token })
    t.equal(body.items.length, 1, 'only that it was entered')
  })

  await t.test('recorded in basis points can still be finalized, and recomputed', async t => {
    const { show } = await withDeal(
      { kind: 'versus', guarantee_minor: 1, percentage_bp: 8500, base: 'net', tax_bp: 700 },
      { price_minor: 3000, sold: 100 },
    )
    const { id, result } = (await record(show)).body
    await db.admin.begin(async sql => {
      await sql`set local session_replication_role = replica`
      await sql`update app.settlements set inputs = inputs #- '{deal,percentage}' #- '{deal,tax_percentage}' #- '{deal,promoter_profit_percentage}' where id = ${id}`
    })
    const [{ again }] = await db.admin<[{ again: object }]>`
      select app.settle(inputs) as again from app.settlements where id = ${id}`
    t.same(again, result)
    const final = await finalize(id)
    t.match(final.body, { status: 'final', inputs: { deal: { percentage: 85, tax_percentage: 7 } } })
  })

  await t.test('keep their currency while amounts hang on it', async t => {
    const flat = { kind: 'flat', currency: 'EUR', guarantee_minor: 500_000 }
    const parts: [path: string, body: object][] = [
      ['ticket-tiers', { name: 'Stalls', price_minor: 3000, allotment: 10 }],
      ['costs', { name: 'PA', kind: 'fixed', amount_minor: 100 }],
      ['deposits', { paid_on: '2027-01-10', amount_minor: 50_000 }],
      ['bonuses', { kind: 'sell_out', amount_minor: 50_000 }],
      ['adjustments', { name: 'Backline', kind: 'deduction', amount_minor: 100, stage: 'before_split' }],
    ]
    for (const [path, body] of parts) {
      const show = await make('shows', aShow)
      const deal = await make(`shows/${show}/deals`, flat)
      const to = (currency: string) => call(`PATCH /api/deals/${deal}`, { token, body: { currency } })
      const said = async (currency: string) =>
        call(`PATCH /api/deals/${deal}`, { token, body: { currency, guarantee_minor: 500_000 } })
      t.equal((await said('USD')).status, 200, 'nothing hangs on it')
      t.equal((await said('EUR')).status, 200)
      const part = await make(`shows/${show}/${path}`, body)
      const refused = await to('JPY')
      t.equal(outcome(refused), '409 deals_currency_in_use', path)
      t.match(refused.body, { detail: /bonuses or adjustments of the show are in EUR/ })
      t.equal((await call(`PATCH /api/deals/${deal}`, { token, body: { guarantee_minor: 1 } })).status, 200)

      // Nor by another deal in the place of the first, or by an earlier one that is restored.
      t.equal((await call(`DELETE /api/deals/${deal}`, { token })).status, 204)
      const instead = { token, body: { ...flat, currency: 'JPY' } }
      t.equal(outcome(await call(`POST /api/shows/${show}/deals`, instead)), '409 deals_currency_in_use')
      t.equal((await call(`DELETE /api/${path}/${part}`, { token })).status, 204)
      const other = await call<{ id: string }>(`POST /api/shows/${show}/deals`, instead)
      t.equal(other.status, 201)
      await make(`shows/${show}/${path}`, body)
      t.equal((await call(`DELETE /api/deals/${other.body.id}`, { token })).status, 204)
      const restored = await call(`POST /api/deals/${deal}/restore`, { token })
      t.equal(outcome(restored), '409 deals_currency_in_use')
      t.equal((await call(`POST /api/deals/${other.body.id}/restore`, { token })).status, 200)
      t.equal((await call(`DELETE /api/shows/${show}`, { token })).status, 204)
      t.equal((await call(`POST /api/shows/${show}/restore`, { token })).status, 200)
    }
  })

  await t.test('and amounts that are entered meanwhile wait for each other', async t => {
    for (let round = 0; round < 5; round++) {
      const show = await make('shows', aShow)
      const deal = await make(`shows/${show}/deals`, { kind: 'flat', currency: 'EUR', guarantee_minor: 1 })
      const [changed, entered] = await Promise.all([
        call(`PATCH /api/deals/${deal}`, { token, body: { currency: 'JPY', guarantee_minor: 1 } }),
        call(`POST /api/shows/${show}/deposits`, {
          token,
          body: { paid_on: '2027-01-10', amount_minor: 50_000 },
        }),
      ])
      t.equal(entered.status, 201)
      t.match(outcome(changed), /^(200|409 deals_currency_in_use)$/)
    }
  })

  await t.test('and what was deleted in another one is not restored', async t => {
    const flat = { kind: 'flat', currency: 'EUR', guarantee_minor: 500_000 }
    const parts: [path: string, body: object][] = [
      ['ticket-tiers', { name: 'Stalls', price_minor: 3000, allotment: 10 }],
      ['costs', { name: 'PA', kind: 'fixed', amount_minor: 100 }],
      ['deposits', { paid_on: '2027-01-10', amount_minor: 50_000 }],
      ['bonuses', { kind: 'sell_out', amount_minor: 50_000 }],
      ['adjustments', { name: 'Backline', kind: 'deduction', amount_minor: 100, stage: 'before_split' }],
    ]
    for (const [path, body] of parts) {
      const show = await make('shows', aShow)
      const deal = await make(`shows/${show}/deals`, flat)
      const part = await make(`shows/${show}/${path}`, body)
      const remove = (what: string) => call(`DELETE /api/${what}`, { token })
      const restore = async () => outcome(await call(`POST /api/${path}/${part}/restore`, { token }))
      const into = async (currency: string) =>
        (await call(`PATCH /api/deals/${deal}`, { token, body: { currency, guarantee_minor: 1 } })).status
      t.equal((await remove(`${path}/${part}`)).status, 204)
      t.equal(await into('JPY'), 200)
      t.equal(await restore(), '409 deals_currency_in_use', path)
      t.equal(await into('EUR'), 200)
      t.equal(await restore(), '200', 'in the one that it was deleted in')
      // With its show, and under another deal in the place of the first.
      t.equal((await remove(`shows/${show}`)).status, 204)
      t.equal((await call(`POST /api/shows/${show}/restore`, { token })).status, 200)
      t.equal((await call(`GET /api/${path}/${part}`, { token })).status, 200)
      t.equal((await remove(`${path}/${part}`)).status, 204)
      t.equal((await remove(`deals/${deal}`)).status, 204)
      await make(`shows/${show}/deals`, { ...flat, currency: 'JPY' })
      t.equal(await restore(), '409 deals_currency_in_use', path)
    }
  })

  await t.test('and all that has a currency say their amounts in another one', async t => {
    const plain = await make('shows', { ...aShow, fee_minor: 500_000, currency: 'EUR' })
    const dealt = await make('shows', aShow)
    const flat = await make(`shows/${dealt}/deals`, {
      kind: 'flat',
      currency: 'EUR',
      guarantee_minor: 500_000,
      cancellation_minor: 250_000,
    })
    const category = async (kind: string) =>
      (await call<{ items: { id: string }[] }>(`GET /api/finance-categories?kind=${kind}`, { token })).body
        .items[0]?.id
    const record = await make('finance-records', {
      kind: 'income',
      category_id: await category('income'),
      booked_on: '2027-03-14',
      amount_minor: 11_900,
      tax_minor: 1900,
      currency: 'EUR',
      exchange_rate: 1.1,
    })
    const expense = await make('expenses', {
      category_id: await category('expense'),
      spent_on: '2027-03-14',
      amount_minor: 4200,
      currency: 'EUR',
      purpose: 'Taxi',
    })
    const template = await make('settlement-templates', {
      name: 'Club night',
      currency: 'EUR',
      costs: [{ name: 'PA', kind: 'fixed', amount_minor: 100_000 }],
      bonuses: [{ kind: 'tickets', amount_minor: 0, threshold: 5 }],
    })
    const cases: [path: string, amounts: object, left: string, besides?: object][] = [
      [`shows/${plain}`, { fee_minor: 800_000 }, 'fee_minor'],
      [`deals/${flat}`, { guarantee_minor: 1, cancellation_minor: 0 }, 'guarantee_minor, cancellation_minor'],
      [
        `finance-records/${record}`,
        { amount_minor: 20_000, tax_minor: 0 },
        'amount_minor, tax_minor',
        { exchange_rate: 0.01 },
      ],
      [`expenses/${expense}`, { amount_minor: 7000 }, 'amount_minor'],
      [
        `settlement-templates/${template}`,
        { costs: [{ name: 'PA', kind: 'fixed', amount_minor: 1 }] },
        'costs',
      ],
    ]
    for (const [path, amounts, left, besides = {}] of cases) {
      const patch = (body: object) => call(`PATCH /api/${path}`, { token, body })
      const before = (await call(`GET /api/${path}`, { token })).body
      const refused = await patch({ currency: 'JPY', ...besides })
      t.equal(outcome(refused), '422 currency_needs_amounts', path)
      t.match(refused.body, { detail: `Say what ${left} is in JPY; it is in EUR now.` })
      const one = Object.entries(amounts).slice(0, 1)
      if (left.includes(','))
        t.match(
          await patch({ currency: 'JPY', ...besides, ...Object.fromEntries(one) }),
          { status: 422, body: { detail: /^Say what (cancellation_minor|tax_minor) is/ } },
          `${path}: one of two`,
        )
      t.same((await call(`GET /api/${path}`, { token })).body, before)
      t.equal((await patch({ currency: 'EUR' })).status, 200, `${path}: the one it has`)
      t.match(await patch({ currency: 'JPY', ...besides, ...amounts }), {
        status: 200,
        body: { currency: 'JPY', ...amounts },
      })
    }
    // Nothing to be said: a door deal guarantees nothing, and nothing is nothing in every currency.
    const { of } = await withDeal(
      { kind: 'door', percentage: 85, base: 'gross' },
      { price_minor: 1, sold: 1 },
    )
    t.equal(
      outcome(await call(`PATCH ${of}`, { token, body: { currency: 'JPY' } })),
      '409 deals_currency_in_use',
    )
    const door = await make(`shows/${await make('shows', aShow)}/deals`, {
      kind: 'door',
      percentage: 85,
      base: 'gross',
      currency: 'USD',
    })
    t.equal((await call(`PATCH /api/deals/${door}`, { token, body: { currency: 'JPY' } })).status, 200)
  })
})
