// A whole sheet in the books, and settlements that were recorded before sheets could say all of it.
import { t } from '../support/tap.ts'
import { register, startServer } from '../support/helper.ts'
import { newYork } from '../support/new-york.ts'
import { type Recorded, settling } from '../support/settling.ts'

interface Entry {
  kind: string
  category_name: string
  amount_minor: number
  tax_minor: number
  booked_on: string
  status: string
  payment_status: string
  note: string
}

t.test('a sheet', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const { make, showWith, record, finalize } = settling(server, token)
  const entriesOf = async (show: string) =>
    (await call<{ items: Entry[] }>(`GET /api/finance-records?show_id=${show}&limit=100`, { token })).body
      .items

  await t.test('is in the books with each of its lines, and what is withheld on its own day', async t => {
    await make('finance-categories', { kind: 'expense', name: 'dinner BUYOUT' })
    const [[, deal], ...others] = newYork as [[string, object], ...[string, object][]]
    const show = await showWith([
      ['deals', { ...deal, withholding_due_on: '2027-05-10' }],
      ...others,
      ['adjustments', { name: 'Shuttle', kind: 'credit', amount_minor: 1100, stage: 'before_split' }],
      ['costs', { name: 'Office', kind: 'fixed', amount_minor: 70_000, is_internal: true }],
      ['deposits', { due_on: '2027-01-20', amount_minor: 9900 }],
    ])
    const { id, result } = (await record(show)).body
    const final = (await finalize(id)).body as Recorded & { bookings: { line: string }[] }
    const entries = await entriesOf(show)
    const said = entries.map(
      e => `${e.kind} ${e.category_name} ${e.note}: ${e.amount_minor} on ${e.booked_on}`,
    )
    // 11.00 more costs: 12.65 less to share, of which 85 % are 10.7525; 10 % of 9,189.36 are 918.936.
    for (const line of [
      'income Ticket sales 860 × General admission: 2580000 on 2027-02-03',
      'expense Venue hire Facility fees: 321000 on 2027-02-03',
      'expense Taxes and licences Tax in the ticket prices: 234276 on 2027-02-03',
      'expense Insurance Insurance: 72280 on 2027-02-03',
      'expense Other expenses Rent: 263972 on 2027-02-03',
      'expense Other expenses Office: 70000 on 2027-02-03',
      'expense Other expenses Credit: Shuttle: 1100 on 2027-02-03',
      'expense dinner BUYOUT Buyout: Dinner buyout: 60000 on 2027-02-03',
      'income Other income Deduction: Backline: 45000 on 2027-02-03',
      'expense Artist fees Bonus: 100000 on 2027-02-03',
      'expense Taxes and licences Withheld from the artist: 91894 on 2027-05-10',
      'expense Artist fees Deposit: 250000 on 2027-01-10',
      `expense Artist fees Balance of the settlement: ${818_936 - 91_894 - 250_000} on 2027-02-03`,
    ])
      t.ok(said.includes(line), line)
    t.notOk(
      said.some(line => line.includes('9900')),
      'an open deposit is not',
    )
    t.equal(result['balance_minor'], 818_936 - 91_894 - 250_000)
    t.equal(
      entries.reduce((sum, e) => sum + (e.kind === 'income' ? e.amount_minor : -e.amount_minor), 0),
      result['promoter_minor'],
    )
    t.equal(
      entries.filter(e => e.category_name === 'Ticket sales').reduce((sum, e) => sum + e.tax_minor, 0),
      234_276,
    )
    // Of the taxed parts: 23,220.00 of 28,740.00 have 1,892.79 of the tax, 3,600.00 have 293.46, 1,920.00 have 156.51.
    t.match(
      entries.find(e => e.note === '60 × VIP'),
      { tax_minor: 15_651 },
      'what is not shared is not taxed',
    )
    t.match(
      entries.find(e => e.note === 'Deposit'),
      { payment_status: 'paid' },
    )
    t.equal(new Set(final.bookings.map(({ line }) => line)).size, entries.length)
  })

  await t.test('that was recorded before has every field, is as it was, and can be finalized', async t => {
    const show = await showWith([
      [
        'deals',
        {
          kind: 'versus',
          currency: 'USD',
          guarantee_minor: 500_000,
          percentage: 85,
          base: 'net',
          tax_percentage: 8,
        },
      ],
      [
        'ticket-tiers',
        { name: 'Standing', price_minor: 3000, facility_fee_minor: 200, allotment: 600, sold: 500 },
      ],
      ['costs', { name: 'Production', kind: 'fixed', amount_minor: 400_000 }],
      ['deposits', { paid_on: '2027-01-10', amount_minor: 250_000 }],
    ])
    const now = (await record(show)).body
    // As 0.2.0 recorded them.
    await db.admin.begin(async sql => {
      await sql`set local session_replication_role = replica`
      await sql`
        update app.settlements set
          inputs = inputs - 'bonuses' - 'adjustments' - 'acts' - 'enters_show' - 'is_cancelled' #- '{deal,cancellation_minor}' #- '{deal,act}' #- '{deal,is_cost_of_main}'
            #- '{deal,withholding_percentage}' #- '{deal,withholding_threshold_minor}' #- '{deal,withholding_due_on}'
            #- '{deal,percentage}' #- '{deal,tax_percentage}' #- '{deal,promoter_profit_percentage}'
            #- '{ticket_tiers,0,excluded_minor}' #- '{deposits,0,due_on}'
            #- '{costs,0,percentage}' #- '{costs,0,cap_minor}' #- '{costs,0,budget_minor}' #- '{costs,0,is_internal}',
          result = result - array['lines', 'tickets_allotted', 'excluded_minor', 'per_head_costs_minor', 'percent_of_gross_costs_minor',
            'percent_of_net_receipts_costs_minor', 'adjustment_costs_minor', 'internal_costs_minor', 'budget_minor', 'over_budget_minor',
            'bonuses_minor', 'withholding_minor', 'adjustments_minor', 'open_deposits_minor', 'walk_out_minor', 'acts_minor', 'books_minor',
            'merchandise_minor', 'hall_share_minor']
        where id = ${now.id}`
    })
    const read = await call<Recorded>(`GET /api/settlements/${now.id}`, { token })
    t.same([read.body.inputs, read.body.result], [now.inputs, now.result])
    const [kept] = await db.admin<[{ is_the_same: boolean; fields: number }]>`
      select app.settle(inputs) @> result as is_the_same, (select count(*)::int from jsonb_object_keys(result)) as fields
      from app.settlements where id = ${now.id}`
    t.same(kept, { is_the_same: true, fields: 20 })
    t.equal((await call(`GET /api/settlements/${now.id}/sheet`, { token })).status, 200)
    t.match((await finalize(now.id)).body, { status: 'final', booked_at: /./ })
  })
})
