import type postgres from 'postgres'

/** The fields of a demo show that its money depends on. */
export interface Played {
  id: string
  show_on: string
  capacity: number
  tickets_sold: number
  fee_minor?: number
  currency?: string
}

const split = {
  percentage: 85,
  base: 'net_after_promoter_profit',
  tax_percentage: 7,
  promoter_profit_percentage: 15,
}
/** What only the first settlement has: everything else that a sheet can say. */
const whole = (show_on: string, sold: number): [table: string, body: postgres.JSONValue][] => [
  [
    'show_costs',
    { name: 'Hall', kind: 'percent_of_gross', percentage: 10, amount_minor: 150_000, cap_minor: 400_000 },
  ],
  [
    'show_costs',
    { name: 'Performing rights', kind: 'percent_of_net_receipts', percentage: 5.75, amount_minor: 15_000 },
  ],
  ['show_costs', { name: 'Insurance', kind: 'per_head', amount_minor: 40, budget_minor: 25_000 }],
  ['show_costs', { name: 'Our office', kind: 'fixed', amount_minor: 60_000, is_internal: true }],
  ['deal_bonuses', { kind: 'tickets', amount_minor: 50_000, threshold: Math.floor(sold * 0.9) }],
  ['deal_bonuses', { kind: 'sell_out', amount_minor: 100_000 }],
  ['deal_adjustments', { name: 'Dinner', kind: 'buyout', amount_minor: 42_000, stage: 'after_split' }],
  ['deal_adjustments', { name: 'Backline', kind: 'deduction', amount_minor: 30_000, stage: 'after_split' }],
  ['deposits', { due_on: show_on, amount_minor: 25_000, note: 'For the flights' }],
]
const withholding = (show_on: string) => ({
  withholding_percentage: 15.825,
  withholding_threshold_minor: 25_000,
  withholding_due_on: dayFrom(show_on, 40),
})
const dayFrom = (day: string, days: number) =>
  new Date(Date.parse(day) + days * 86_400_000).toISOString().slice(0, 10)

/** The support of the first show: its own deal, which is a cost of the headliner's. */
const support = { act: 'Nora Finch', kind: 'flat', guarantee_minor: 40_000 }

const kinds = [{ kind: 'versus' }, { kind: 'plus' }, { kind: 'door', guarantee_minor: null }]

/** Enters the figures for a settlement, as the organization would; every third show is settled. */
export async function seedSettlement(sql: postgres.Sql | postgres.TransactionSql, show: Played, n: number) {
  const { id, capacity, tickets_sold: sold, currency = 'EUR', fee_minor = 0 } = show
  const seats = Math.floor(capacity / 4)
  const seated = Math.min(seats, Math.floor(sold / 4))
  const paid = dayFrom(show.show_on, -30)
  const parts: [table: string, body: postgres.JSONValue][] = [
    [
      'deals',
      {
        currency,
        guarantee_minor: fee_minor,
        ...split,
        ...kinds[n % kinds.length],
        ...(n === 0 && withholding(show.show_on)),
      },
    ],
    [
      'ticket_tiers',
      {
        name: 'Standing',
        price_minor: 3200,
        facility_fee_minor: 200,
        allotment: capacity - seats,
        sold: sold - seated,
      },
    ],
    [
      'ticket_tiers',
      {
        name: 'Balcony',
        price_minor: 4500,
        facility_fee_minor: 200,
        excluded_minor: n === 0 ? 500 : 0,
        allotment: seats,
        sold: seated,
      },
    ],
    ['show_costs', { name: 'PA and lights', kind: 'fixed', amount_minor: 240_000, budget_minor: 225_000 }],
    ['show_costs', { name: 'Crew and security', kind: 'fixed', amount_minor: 185_000 }],
    ['show_costs', { name: 'Ticketing', kind: 'per_ticket', amount_minor: 80 }],
    ['deposits', { paid_on: paid, amount_minor: Math.round(fee_minor / 2), note: 'Half of the guarantee' }],
    ...(n === 0 ? whole(show.show_on, sold) : []),
  ]
  for (const [table, body] of parts)
    await sql`select from app.create_row(${table}, ${sql.json(body)}, 'show_id', ${id})`
  if (n === 0) {
    const [deal] = await sql<[{ id: string }]>`
      select body ->> 'id' as id from app.create_row('deals', ${sql.json({ ...support, currency })}, 'show_id', ${id})`
    const deposit = { deal_id: deal.id, paid_on: paid, amount_minor: 10_000, note: 'In advance' }
    await sql`select from app.create_row('deposits', ${sql.json(deposit)}, 'show_id', ${id})`
  }
  if (n % kinds.length > 0) {
    // Until then, what it will enter in the books is expected.
    await sql`
      select app.create_finance_record(jsonb_build_object('kind', l.kind, 'category_id', c.id, 'show_id', ${id}::text,
        'booked_on', coalesce(l.booked_on, ${show.show_on}::text::date), 'amount_minor', l.amount_minor, 'tax_minor', l.tax_minor,
        'status', 'committed', 'note', l.note))
      from (select x.body -> 'inputs' as inputs, x.body -> 'result' as result from app.draft_settlement(${id}) x) d,
        app.settlement_lines(d.inputs::jsonb, d.result::jsonb) l, app.finance_categories c
      where c.kind = l.kind and lower(c.name) = lower(case when exists (
        select from app.finance_categories e where e.kind = l.kind and lower(e.name) = lower(l.category)) then l.category else l.otherwise end)`
    return
  }
  for (const { deal_id } of await sql<{ deal_id: string }[]>`
    select d.id as deal_id from app.deals d where d.show_id = ${id} order by d.id`)
    await sql`
      select app.finalize_settlement((body ->> 'id')::uuid)
      from app.record_settlement(${id}, ${sql.json({ reason: null, deal_id })})`
}
