import type postgres from 'postgres'
import type { Played } from './settlements.ts'

/** Enters the income and costs of shows that were settled without a deal: those of the others come from their settlements. */
export async function seedBooks(
  sql: postgres.TransactionSql,
  { id, show_on, status, tickets_sold, fee_minor = 0, currency }: Played & { status: string | undefined },
): Promise<void> {
  if (currency === undefined || status !== 'settled') return
  const entries = [
    ['income', 'Ticket sales', tickets_sold * 3500],
    ['expense', 'Artist fees', fee_minor],
    ['expense', 'Venue hire', 180_000],
  ] as const
  for (const [kind, category, amount_minor] of entries)
    await sql`
      select from app.finance_categories c, app.create_finance_record(jsonb_build_object(
        'kind', c.kind, 'category_id', c.id, 'show_id', ${id}::text, 'booked_on', ${show_on}::text, 'amount_minor', ${amount_minor}::int8,
        'status', 'actual', 'payment_status', 'paid'))
      where c.kind = ${kind} and c.name = ${category}`
}
