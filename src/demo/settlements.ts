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
  percentage_bp: 8500,
  base: 'net_after_promoter_profit',
  tax_bp: 700,
  promoter_profit_bp: 1500,
}
const kinds = [{ kind: 'versus' }, { kind: 'plus' }, { kind: 'door', guarantee_minor: null }]

/** Enters the figures for a settlement, as the organization would; every third show is settled. */
export async function seedSettlement(sql: postgres.Sql | postgres.TransactionSql, show: Played, n: number) {
  const { id, capacity, tickets_sold: sold, currency = 'EUR', fee_minor = 0 } = show
  const seats = Math.floor(capacity / 4)
  const seated = Math.min(seats, Math.floor(sold / 4))
  const paid = new Date(Date.parse(show.show_on) - 30 * 86_400_000).toISOString().slice(0, 10)
  const parts: [table: string, body: postgres.JSONValue][] = [
    ['deals', { currency, guarantee_minor: fee_minor, ...split, ...kinds[n % kinds.length] }],
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
      { name: 'Balcony', price_minor: 4500, facility_fee_minor: 200, allotment: seats, sold: seated },
    ],
    ['show_costs', { name: 'PA and lights', kind: 'fixed', amount_minor: 240_000 }],
    ['show_costs', { name: 'Crew and security', kind: 'fixed', amount_minor: 185_000 }],
    ['show_costs', { name: 'Ticketing', kind: 'per_ticket', amount_minor: 80 }],
    ['deposits', { paid_on: paid, amount_minor: Math.round(fee_minor / 2), note: 'Half of the guarantee' }],
  ]
  for (const [table, body] of parts)
    await sql`select from app.create_row(${table}, ${sql.json(body)}, 'show_id', ${id})`
  if (n % kinds.length > 0) return
  await sql`
    select app.finalize_settlement((body ->> 'id')::uuid) from app.record_settlement(${id}, ${sql.json({ reason: null })})`
}
