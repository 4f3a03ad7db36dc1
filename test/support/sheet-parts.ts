// Arbitrary parts of a show, for what must hold whatever is on a sheet.
import fc from 'fast-check'

const amount = (max: number) => fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max }))
const percentage = fc.integer({ min: 0, max: 100_000_000 }).map(millionths => millionths / 1_000_000)
const name = fc.constantFrom('Rent', 'Crew', 'Backline', 'Catering', 'Ticket sales', 'Artist fees')
export const listOf = <T>(path: string, body: fc.Arbitrary<T>, maxLength = 4) =>
  fc.array(
    body.map((value): [string, T] => [path, value]),
    { maxLength },
  )
const orNull = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null })

export const tier = fc
  .record({
    name,
    price_minor: amount(9000),
    sold: amount(900),
    comps: amount(50),
    more: amount(3),
    fee: fc.double({ min: 0, max: 1, noNaN: true }),
    rest: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ fee, rest, more, ...tier }) => {
    const facility_fee_minor = Math.floor(tier.price_minor * fee)
    const excluded_minor = Math.floor((tier.price_minor - facility_fee_minor) * rest)
    return {
      ...tier,
      facility_fee_minor,
      excluded_minor,
      allotment: Math.max(tier.sold + tier.comps + more, 1),
    }
  })
export const cost = fc
  .record({
    name,
    kind: fc.constantFrom('fixed', 'per_ticket', 'per_head', 'percent_of_gross', 'percent_of_net_receipts'),
    amount_minor: amount(9000),
    percentage,
    cap: orNull(amount(500_000)),
    budget_minor: orNull(amount(9000)),
    is_internal: fc.boolean(),
  })
  .map(({ percentage, cap, ...cost }) => ({
    ...cost,
    percentage: cost.kind.startsWith('percent') ? percentage : null,
    cap_minor: cap === null ? null : cap + cost.amount_minor,
  }))
export const bonus = fc
  .record({
    kind: fc.constantFrom('tickets', 'sell_out', 'per_ticket'),
    amount_minor: amount(3000),
    threshold: amount(900),
  })
  .map(bonus => ({ ...bonus, threshold: bonus.kind === 'sell_out' ? null : bonus.threshold }))
const plainAdjustment = fc.record({
  name,
  kind: fc.constantFrom('reimbursement', 'buyout', 'credit', 'deduction'),
  amount_minor: amount(90_000),
  stage: fc.constantFrom('before_split', 'after_split'),
})
export const adjustment = fc.oneof(
  { weight: 3, arbitrary: plainAdjustment },
  {
    weight: 1,
    arbitrary: fc.record({
      name,
      kind: fc.constant('merchandise'),
      amount_minor: amount(900_000),
      stage: fc.constant('after_split'),
      percentage,
      tax_percentage: orNull(percentage),
      sold_by: fc.constantFrom('artist', 'hall'),
    }),
  },
)
export const deposit = fc
  .record({ amount_minor: amount(90_000), isPaid: fc.boolean(), day: fc.integer({ min: 10, max: 28 }) })
  .map(({ amount_minor, isPaid, day }) => ({
    amount_minor: amount_minor + 1,
    [isPaid ? 'paid_on' : 'due_on']: `2027-01-${day}`,
  }))
export const deal = fc
  .record({
    kind: fc.constantFrom('flat', 'door', 'plus', 'versus'),
    guarantee_minor: amount(900_000),
    cancellation_minor: amount(900_000),
    percentage,
    base: fc.constantFrom('gross', 'net_receipts', 'net', 'net_after_promoter_profit'),
    tax_percentage: percentage,
    promoter_profit_percentage: percentage,
    withholding_percentage: orNull(percentage),
    threshold: amount(900_000),
    due_on: orNull(fc.constant('2027-05-10')),
  })
  .map(({ threshold, due_on, promoter_profit_percentage, ...deal }) => ({
    ...deal,
    currency: 'EUR',
    ...(deal.kind === 'door' && { guarantee_minor: null }),
    ...(deal.kind === 'flat' && { percentage: null, base: null }),
    ...(deal.kind !== 'flat' && deal.base === 'net_after_promoter_profit' && { promoter_profit_percentage }),
    ...(deal.withholding_percentage !== null && {
      withholding_threshold_minor: threshold,
      withholding_due_on: due_on,
    }),
  }))
