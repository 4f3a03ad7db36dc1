// Templates of settlements: made of a show or by hand, copied to shows, and refused for what a show would be refused for.
import { t } from '../support/tap.ts'
import { joinAs, register, startServer } from '../support/helper.ts'
import { settling } from '../support/settling.ts'

type Part = Record<string, unknown>
interface Template {
  id: string
  deal: Part | null
  ticket_tiers: Part[]
  costs: Part[]
  bonuses: Part[]
  adjustments: Part[]
}
interface Problem {
  type: string
  detail?: string
}
const deal = { kind: 'versus', guarantee_minor: 500_000, percentage: 85, base: 'net', tax_percentage: 8.875 }
const whole = {
  name: 'Club night',
  note: 'Our own hall',
  currency: 'EUR',
  deal,
  ticket_tiers: [
    { name: 'Standing', price_minor: 3000, facility_fee_minor: 200, allotment: 600 },
    { name: 'Balcony', price_minor: 4500, allotment: 80 },
  ],
  costs: [
    { name: 'Production', kind: 'fixed', amount_minor: 400_000 },
    { name: 'Cards', kind: 'percent_of_gross', amount_minor: 0, percentage: 2.5, cap_minor: 90_000 },
  ],
  bonuses: [{ kind: 'sell_out', amount_minor: 100_000 }],
  adjustments: [
    {
      name: 'Shirts',
      kind: 'merchandise',
      amount_minor: 0,
      stage: 'after_split',
      percentage: 20,
      sold_by: 'artist',
    },
  ],
}

t.test('templates of settlements', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  await call(`PATCH /api/organizations/${ana.organization}`, { token, body: { currency: 'EUR' } })
  const { make, draft, record, finalize } = settling(server, token)
  const emptyShow = () => make('shows', { title: 'Night', artist: 'The Gaslights', show_on: '2027-02-03' })
  const copy = (show: string, template_id: string, act?: string) =>
    call<Part & Problem>(`POST /api/shows/${show}/copy-template`, {
      token,
      body: { template_id, ...(act !== undefined && { act }) },
    })
  const partsOf = async (show: string) =>
    Object.fromEntries(
      await Promise.all(
        ['deals', 'ticket-tiers', 'costs', 'bonuses', 'adjustments'].map(async kind => {
          const { body } = await call<{ items: Part[] }>(`GET /api/shows/${show}/${kind}?limit=100`, {
            token,
          })
          return [kind, body.items] as const
        }),
      ),
    )
  const problem = ({ status, body }: { status: number; body: Problem }) =>
    `${status} ${body.type.replace('/problems/', '')}`

  await t.test('are copied to a show as they are, each part with its own rules and events', async t => {
    const template = await make('settlement-templates', whole)
    const show = await emptyShow()
    const copied = await copy(show, template)
    t.equal(copied.status, 201)
    const parts = await partsOf(show)
    t.match(copied.body, {
      deal_id: parts['deals']?.[0]?.['id'],
      ticket_tiers: 2,
      costs: 2,
      bonuses: 1,
      adjustments: 1,
    })
    t.equal(copied.headers.location, `/api/deals/${String(copied.body['deal_id'])}`)
    t.match(parts, {
      deals: [{ ...deal, currency: 'EUR', act: null, guarantee_is_cost: false }],
      'ticket-tiers': whole.ticket_tiers.map(tier => ({ ...tier, sold: 0, comps: 0 })),
      costs: whole.costs,
      bonuses: whole.bonuses,
      adjustments: whole.adjustments,
    })
    const { body } = await call<Part>(`GET /api/shows/${show}`, { token })
    t.match(body, { fee_minor: 500_000, currency: 'EUR', capacity: 680 })
    const events = await db.admin<{ action: string }[]>`
      select action from app.event_log where organization_id = ${ana.organization} and resource_type in ('deal', 'ticket_tier', 'show_cost', 'deal_bonus', 'deal_adjustment')`
    t.equal(events.length, 7)

    await t.test('and later changes of it change no show', async t => {
      await call(`PATCH /api/settlement-templates/${template}`, { token, body: { costs: [], deal: null } })
      t.strictSame(await partsOf(show), parts)
      t.equal((await call(`DELETE /api/settlement-templates/${template}`, { token })).status, 204)
      t.strictSame(await partsOf(show), parts)
      t.equal(problem(await copy(await emptyShow(), template)), '409 settlement_template_unknown')
      await call(`POST /api/settlement-templates/${template}/restore`, { token })
    })
  })

  await t.test(
    'are made of a deal, and copying one gives the same sheet before anything is sold',
    async t => {
      const show = await make('shows', {
        title: 'Night',
        artist: 'A',
        show_on: '2027-02-03',
        status: 'played',
      })
      await make(`shows/${show}/deals`, {
        ...deal,
        currency: 'EUR',
        withholding_percentage: 10,
        withholding_due_on: '2027-03-01',
      })
      await make(`shows/${show}/ticket-tiers`, { ...whole.ticket_tiers[0], sold: 450, comps: 12 })
      await make(`shows/${show}/costs`, { ...whole.costs[1], budget_minor: 70_000 })
      await make(`shows/${show}/bonuses`, whole.bonuses[0] ?? {})
      await make(`shows/${show}/adjustments`, { ...whole.adjustments[0], amount_minor: 123_456 })
      const support = await make(`shows/${show}/deals`, {
        kind: 'flat',
        currency: 'EUR',
        guarantee_minor: 40_000,
        act: 'Lanterns',
      })
      await make(`shows/${show}/bonuses`, {
        kind: 'per_ticket',
        amount_minor: 10,
        threshold: 100,
        deal_id: support,
      })
      const [main] = (await partsOf(show))['deals'] ?? []
      const made = await call<Template>(`POST /api/deals/${String(main?.['id'])}/template`, {
        token,
        body: { name: 'As on the 3rd' },
      })
      t.equal(made.status, 201)
      t.equal(made.headers.location, `/api/settlement-templates/${made.body.id}`)
      t.match(made.body, {
        currency: 'EUR',
        note: null,
        ticket_tiers: [{ name: 'Standing', price_minor: 3000, allotment: 600 }],
        costs: [{ name: 'Cards', percentage: 2.5, budget_minor: 70_000, is_estimate: true }],
        bonuses: [{ kind: 'sell_out' }],
        adjustments: [{ name: 'Shirts', amount_minor: 0 }],
      })
      t.strictSame(made.body.bonuses.length, 1, 'the bonus of the support is not in it')
      for (const name of ['sold', 'comps', 'act', 'withholding_due_on', 'currency', 'id', 'show_id'])
        t.notOk(name in { ...made.body.deal, ...made.body.ticket_tiers[0] }, `it has no ${name}`)
      const other = await emptyShow()
      t.equal((await copy(other, made.body.id)).status, 201)
      const again = await call<Template>(
        `POST /api/deals/${String((await partsOf(other))['deals']?.[0]?.['id'])}/template`,
        {
          token,
          body: { name: 'The copy of a copy' },
        },
      )
      const { deal: d, ticket_tiers, costs, bonuses, adjustments } = made.body
      t.strictSame({ ...again.body, ...{ deal: d, ticket_tiers, costs, bonuses, adjustments } }, again.body)

      const ofSupport = await call<Template>(`POST /api/deals/${support}/template`, {
        token,
        body: { name: 'Support' },
      })
      t.match(ofSupport.body, {
        ticket_tiers: [],
        costs: [],
        bonuses: [{ kind: 'per_ticket' }],
        adjustments: [],
      })
      t.equal((await copy(other, ofSupport.body.id, 'Others')).status, 201)
      const { deals = [], bonuses: all = [] } = await partsOf(other)
      const act = deals.find(x => x['act'] === 'Others')
      t.match(act, { guarantee_minor: 40_000, is_cost_of_main: true })
      t.strictSame(all.map(x => x['deal_id']).sort(), [null, act?.['id']].sort())
      t.equal(problem(await copy(other, ofSupport.body.id, 'OTHERS')), '409 deals_one_per_act')
      t.match((await copy(other, made.body.id, 'A third')).body, { ticket_tiers: 0, costs: 0, bonuses: 1 })
      t.match(
        (await call(`GET /api/shows/${other}`, { token })).body,
        { capacity: 600 },
        'tickets are of the show',
      )
    },
  )

  await t.test('copy all of it or nothing', async t => {
    const template = await make('settlement-templates', { ...whole, name: 'All' })
    const show = await emptyShow()
    await copy(show, template)
    const before = await partsOf(show)
    t.equal(problem(await copy(show, template)), '409 deals_one_per_show')
    t.strictSame(await partsOf(show), before)
    const settled = await make('shows', { title: 'N', artist: 'A', show_on: '2027-02-03', status: 'played' })
    await make(`shows/${settled}/deals`, { ...deal, currency: 'EUR' })
    await finalize((await record(settled)).body.id)
    t.equal(problem(await copy(settled, template, 'Late act')), '409 settlement_final')
  })

  await t.test('without a deal are for shows that have one, in its currency', async t => {
    const house = { ...whole, deal: null }
    const template = await make('settlement-templates', { ...house, name: 'House' })
    const show = await emptyShow()
    t.equal(problem(await copy(show, template)), '409 settlement_needs_deal')
    await make(`shows/${show}/deals`, { ...deal, currency: 'EUR' })
    t.equal((await copy(show, template)).status, 201)
    t.equal((await draft(show)).body.inputs.costs.length, 2)
    const dollars = await make('settlement-templates', { ...house, name: 'Dollars', currency: 'USD' })
    const refused = await copy(show, dollars)
    t.equal(problem(refused), '409 deals_same_currency')
    t.equal((await draft(show)).body.inputs.costs.length, 2)
    const withDeal = await make('settlement-templates', { ...whole, name: 'Dollars too', currency: 'USD' })
    t.equal(problem(await copy(show, withDeal, 'Lanterns')), '409 deals_same_currency')
  })

  await t.test('are refused for what a show would be refused for, and say where', async t => {
    const enter = (values: object) =>
      call<Problem>('POST /api/settlement-templates', {
        token,
        body: { ...whole, name: `N ${Math.random()}`, ...values },
      })
    const [tier] = whole.ticket_tiers
    const [, cards] = whole.costs
    const [shirts] = whole.adjustments
    for (const [values, place, rule] of [
      [{ deal: { kind: 'flat', percentage: 10, guarantee_minor: 1 } }, 'deal', 'deals_percentage_by_kind'],
      [{ deal: { ...deal, kind: 'door' } }, 'deal', 'deals_guarantee_by_kind'],
      [{ deal: { ...deal, promoter_profit_percentage: 5 } }, 'deal', 'deals_promoter_profit_by_base'],
      [{ deal: { ...deal, withholding_threshold_minor: 5 } }, 'deal', 'deals_withholding_has_rate'],
      [
        { ticket_tiers: [tier, { ...tier, facility_fee_minor: 3001 }] },
        'ticket_tiers[1]',
        'ticket_tiers_fee_within_price',
      ],
      [{ costs: [{ ...cards, percentage: null }] }, 'costs[0]', 'show_costs_percentage_by_kind'],
      [{ costs: [{ ...cards, cap_minor: 1, amount_minor: 2 }] }, 'costs[0]', 'show_costs_cap_above_least'],
      [{ costs: [{ ...cards, percentage: 1.1234567 }] }, 'costs[0]', 'show_costs_valid_percentage'],
      [{ bonuses: [{ kind: 'tickets', amount_minor: 1 }] }, 'bonuses[0]', 'deal_bonuses_threshold_by_kind'],
      [
        { adjustments: [{ ...shirts, stage: 'before_split' }] },
        'adjustments[0]',
        'deal_adjustments_merchandise_after_split',
      ],
    ] as const) {
      const answer = await enter(values)
      t.equal(problem(answer), '422 settlement_templates_parts_valid')
      t.equal(answer.body.detail, `${place}: see /problems/${rule}.`)
      t.equal((await call(`GET /problems/${rule}`)).status, 200)
    }
    t.equal(problem(await enter({ currency: 'XYZ' })), '422 settlement_templates_currency_exists')
    t.equal(problem(await enter({ name: whole.name.toUpperCase() })), '409 settlement_template_name_taken')
    t.equal((await enter({ costs: Array(101).fill(whole.costs[0]) })).status, 400)
    t.equal(
      (await enter({ ticket_tiers: [{ ...tier, sold: 3 }] })).status,
      400,
      'nothing of a template is sold',
    )
  })

  await t.test('obey the same rules where the request does not check them', async t => {
    const write = async (values: Record<string, unknown>) => {
      const full = { name: `Direct ${Math.random()}`, currency: 'EUR', ...values }
      return db.admin
        .begin(async tx => {
          await tx`select app_private.set_context(${ana.id}, gen_random_uuid(), ${ana.organization}, 'owner', 'finance.read finance.write')`
          await tx`set local role callboard_api`
          await tx`select app.create_row('settlement_templates', ${tx.json(full)})`
        })
        .then(
          () => 'stored',
          (error: unknown) =>
            (error as Error & { constraint_name?: string }).constraint_name ?? (error as Error).message,
        )
    }
    for (const [values, expected] of [
      [{}, 'stored'],
      [{ costs: [{ ...whole.costs[0], show_id: ana.organization }] }, 'settlement_templates_fields_known'],
      [{ costs: [{ ...whole.costs[0], created_by: null }] }, 'settlement_templates_fields_known'],
      [{ costs: [{ name: 'No kind', amount_minor: 1 }] }, 'settlement_templates_fields_known'],
      [{ costs: [{ ...whole.costs[0], name: null }] }, 'settlement_templates_fields_known'],
      [{ costs: ['Production'] }, 'settlement_templates_fields_known'],
      [{ costs: [null] }, 'settlement_templates_fields_known'],
      [{ deal: [] }, 'settlement_templates_fields_known'],
      [{ deal: { ...deal, act: 'Somebody' } }, 'settlement_templates_fields_known'],
      [{ costs: {} }, 'settlement_templates_parts_count'],
      [{ costs: Array(101).fill(whole.costs[0]) }, 'settlement_templates_parts_count'],
      [{ ticket_tiers: [{ ...whole.ticket_tiers[0], allotment: 0 }] }, 'settlement_templates_parts_valid'],
      [{ note: 'x'.repeat(1001) }, 'settlement_templates_note_length'],
    ] as const)
      t.equal(await write(values), expected)
  })

  await t.test('keep what an empty list and a PUT say', async t => {
    const template = await make('settlement-templates', { ...whole, name: 'Put' })
    const { body } = await call<Template>(`PUT /api/settlement-templates/${template}`, {
      token,
      body: { name: 'Put', currency: 'EUR' },
    })
    t.match(body, { deal: null, ticket_tiers: [], costs: [], bonuses: [], adjustments: [], note: null })
  })

  await t.test('are money: for those who see it, and copied by those who may write it', async t => {
    const template = await make('settlement-templates', { ...whole, name: 'Money' })
    const reader = await joinAs(server, ana, ['shows.read', 'shows.write', 'finance.read'])
    const without = await joinAs(server, ana, ['shows.read', 'shows.write', 'finance.write'])
    const unseen = await joinAs(server, ana, ['finance.read', 'finance.write'])
    const show = await emptyShow()
    const body = { template_id: template }
    const tried = async (token: string) => [
      (await call(`GET /api/settlement-templates/${template}`, { token })).status,
      (await call(`POST /api/shows/${show}/copy-template`, { token, body })).status,
    ]
    t.strictSame(await tried(reader.token), [200, 403])
    t.strictSame(await tried(without.token), [404, 409], 'who sees no money cannot tell it from none')
    t.strictSame(await tried(unseen.token), [200, 404], 'nor a show, who sees none')
    t.strictSame(Object.values(await partsOf(show)).flat(), [])
  })
})
