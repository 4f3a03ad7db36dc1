// Row by row, the API, its CSV and the star say the same.
import { t } from '../support/tap.ts'
import type { Item } from '../support/pages.ts'
import { startStar } from '../support/star.ts'
import { of } from '../support/star-sums.ts'

t.test('row by row, the API, its CSV and BI say the same', async t => {
  const star = await startStar(t)
  const { ask } = star
  const api = await star.api()
  const same = async (
    view: string,
    key: string,
    items: Item[],
    csv: string | undefined,
    fields: Record<string, string>,
  ) => {
    const rows = await ask(`select * from ${view}`)
    const lines = csv === undefined ? undefined : await star.csv(csv)
    t.not(items.length, 0)
    t.strictSame(
      rows.map(row => row[key]).sort(),
      items.map(({ id }) => id).sort(),
      `${view} has the same rows`,
    )
    if (lines) t.strictSame(lines.map(({ id }) => id).sort(), items.map(({ id }) => id).sort())
    for (const item of items)
      for (const [column, field] of Object.entries(fields)) {
        const cell = rows.find(row => row[key] === item.id)?.[column] ?? ''
        const plain = (value: unknown) =>
          typeof value === 'string' && !/^-?\d+\.\d+$/.test(value)
            ? value
            : value === null || value === undefined || value === ''
              ? ''
              : String(Number(value))
        t.equal(plain(cell), plain(item[field]), `${view}.${column}`)
        if (lines)
          t.equal(plain(lines.find(({ id }) => id === item.id)?.[field]), plain(cell), `${field} in CSV`)
      }
    return rows
  }
  const named = (...names: string[]) => Object.fromEntries(names.map(name => [name, name]))
  const shows = await same(
    'fact_shows',
    'show_id',
    api.shows,
    'shows',
    named(
      'show_on',
      'venue_id',
      'artist',
      'title',
      'status',
      'capacity',
      'tickets_sold',
      'currency',
      'fee_minor',
      'source',
      'external_ref',
    ),
  )
  const records = await same(
    'fact_finance_records',
    'finance_record_id',
    api.records,
    'finance-records',
    named(
      'booked_on',
      'due_on',
      'kind',
      'category_id',
      'status',
      'payment_status',
      'show_id',
      'counterparty',
      'currency',
      'amount_minor',
      'tax_minor',
      'exchange_rate',
      'base_currency',
      'base_amount_minor',
      'settlement_id',
      'itinerary_id',
    ),
  )
  await same('dim_venues', 'venue_id', api.venues, 'venues', {
    venue: 'name',
    ...named('city', 'country', 'time_zone', 'capacity'),
  })
  const tiers = await same('fact_ticket_tiers', 'ticket_tier_id', api.tiers, undefined, {
    tier: 'name',
    ...named('show_id', 'price_minor', 'facility_fee_minor', 'allotment', 'sold', 'comps'),
  })
  await same('fact_guests', 'guest_id', api.guests, 'guests', {
    allotment: 'allotment_name',
    ...named('show_id', 'status', 'tickets', 'checked_in'),
  })
  await same('dim_finance_categories', 'category_id', api.categories, undefined, {
    category: 'name',
    kind: 'kind',
  })
  const settlements = await ask('select * from fact_settlements')
  for (const row of settlements) {
    const { result, inputs, deal_id, act } = api.settlements.find(
      ({ id }) => id === row['settlement_id'],
    ) as unknown as { result: Item; inputs: { enters_show: boolean }; deal_id: string; act: string | null }
    t.match(row, { deal_id, act })
    // Tickets and costs are those of one settlement of each show, and what is left is what each has entered.
    const shared = ['gross', 'facility_fees', 'tax', 'net_receipts', 'costs'].map(name => `${name}_minor`)
    for (const [name, value] of Object.entries(row).filter(([name]) => name.endsWith('_minor')))
      if (shared.includes(name) && !inputs.enters_show) t.equal(value, null, name)
      else t.equal(Number(value), of(result, name === 'promoter_minor' ? 'books_minor' : name), name)
  }
  t.ok(
    settlements.some(({ act }) => act !== null),
    'one is of another act',
  )

  // And what is in whole units is that, with the decimals of its currency.
  const lines = await ask('select * from fact_settlement_lines')
  const actOf = new Map(settlements.map(row => [row['settlement_id'], row['act']]))
  t.equal(new Set(lines.map(({ act }) => act)).size, 2, 'of the main act and of another one')
  for (const line of lines) t.equal(line['act'], actOf.get(line['settlement_id'] ?? null))
  let n = 0
  for (const row of [
    ...shows,
    ...records,
    ...tiers,
    ...settlements,
    ...lines,
    ...(await ask('select * from fact_pipeline')),
  ])
    for (const [name, value] of Object.entries(row)) {
      const digits =
        api.digits.get((name.startsWith('base_') ? row['base_currency'] : row['currency']) ?? '') ?? 0
      const whole = row[name.replace(/_minor$/, '')]
      if (!name.endsWith('_minor') || value === null) continue
      n += 1
      t.match(whole, digits === 0 ? /^-?\d+$/ : new RegExp(`^-?\\d+\\.\\d{${digits}}$`), name)
      t.equal(whole?.replace('.', '').replace(/^(-?)0+(?=\d)/, '$1'), value, name)
    }
  t.ok(n > 300)
  for (const row of lines.filter(line => line['finance_record_id'] !== null))
    t.match(
      records.find(r => r['finance_record_id'] === row['finance_record_id']),
      {
        amount_minor: row['amount_minor'],
        tax_minor: row['tax_minor'],
        kind: row['kind'],
        booked_on: row['booked_on'],
        category_id: row['category_id'],
        settlement_line: row['settlement_line'],
      },
    )
})
