// A sheet computed in another way: with fractions of whole numbers, as on paper.

type Body = Record<string, unknown>
const of = (value: unknown) => BigInt(Number(value ?? 0))
/** A rate of up to six decimals in millionths of a percent. */
const rate = (value: unknown) => BigInt(Math.round(Number(value ?? 0) * 1_000_000))
const whole = 100_000_000n
/** Half away from zero, for what is not negative. */
const round = (numerator: bigint, denominator: bigint) => (2n * numerator + denominator) / (2n * denominator)
const larger = (...values: bigint[]) => values.reduce((a, b) => (a > b ? a : b))
const smaller = (a: bigint, b: bigint) => (a < b ? a : b)
const sum = (bodies: Body[], amount: (body: Body) => bigint) =>
  bodies.reduce((all, body) => all + amount(body), 0n)

/** What an adjustment adds to what the artist is paid, and what the promoter takes in with it. */
export function adjusting(a: Body): { paid: bigint; earned: bigint } {
  const amount = of(a['amount_minor'])
  if (a['kind'] !== 'merchandise') return { paid: a['kind'] === 'deduction' ? -amount : amount, earned: 0n }
  const tax = rate(a['tax_percentage'])
  const net = amount - round(amount * tax, whole + tax)
  const hall = round(net * rate(a['percentage']), whole)
  return a['sold_by'] === 'hall' ? { paid: net - hall, earned: net } : { paid: -hall, earned: 0n }
}

/** What the artist leaves with, and what the promoter is left with. */
export function onPaper(parts: [path: string, body: object][], isCancelled = false) {
  const all = (path: string) => parts.filter(([other]) => other === path).map(([, body]) => body as Body)
  const [deal = {}] = all('deals')
  // What was sold is given back.
  const tiers = isCancelled ? [] : all('ticket-tiers')
  const times = (name: string) => sum(tiers, tier => of(tier[name]) * of(tier['sold']))
  const [sold, comps] = [sum(tiers, tier => of(tier['sold'])), sum(tiers, tier => of(tier['comps']))]
  const [gross, excluded] = [times('price_minor'), times('excluded_minor')]
  const taxed = gross - times('facility_fee_minor') - excluded
  const receipts = taxed - round(taxed * rate(deal['tax_percentage']), whole + rate(deal['tax_percentage']))

  const costOf = (cost: Body) => {
    const amount = of(cost['amount_minor'])
    const percent = (base: bigint) => larger(amount, round(base * rate(cost['percentage']), whole))
    const full = {
      fixed: amount,
      per_ticket: amount * sold,
      per_head: amount * (sold + comps),
      percent_of_gross: percent(gross),
      percent_of_net_receipts: percent(receipts),
    }[String(cost['kind'])]
    return typeof cost['cap_minor'] === 'number' ? smaller(full ?? 0n, of(cost['cap_minor'])) : (full ?? 0n)
  }
  const adjustments = all('adjustments').map(a => ({ stage: a['stage'], ...adjusting(a) }))
  const adjusted = (stage: string) =>
    adjustments.filter(a => a.stage === stage).reduce((total, { paid }) => total + paid, 0n)
  const guarantee = of(deal['guarantee_minor'])
  const reported = sum(
    all('costs').filter(cost => cost['is_internal'] !== true),
    costOf,
  )
  // A plus deal has its guarantee as a cost, unless it says otherwise.
  const costs =
    reported + adjusted('before_split') + (deal['kind'] === 'plus' && !isCancelled ? guarantee : 0n)
  const profit = round(larger(costs, 0n) * rate(deal['promoter_profit_percentage']), whole)
  const base =
    {
      gross: gross - excluded,
      net_receipts: receipts,
      net: receipts - costs,
      net_after_promoter_profit: receipts - costs - profit,
    }[String(deal['base'])] ?? 0n
  const share = round(larger(base, 0n) * rate(deal['percentage']), whole)
  const agreed =
    { flat: guarantee, door: share, plus: guarantee + share }[String(deal['kind'])] ??
    larger(guarantee, share)
  const due = isCancelled ? of(deal['cancellation_minor']) : agreed

  const isFull = tiers.length > 0 && tiers.every(t => of(t['sold']) + of(t['comps']) === of(t['allotment']))
  const bonuses = sum(isCancelled ? [] : all('bonuses'), ({ kind, amount_minor, threshold }) => {
    if (kind === 'per_ticket') return of(amount_minor) * larger(sold - of(threshold), 0n)
    return (kind === 'sell_out' ? isFull : sold >= of(threshold)) ? of(amount_minor) : 0n
  })
  const owed = due + bonuses
  const withheld =
    owed > of(deal['withholding_threshold_minor'])
      ? round(owed * rate(deal['withholding_percentage']), whole)
      : 0n
  const paid = sum(
    all('deposits').filter(d => 'paid_on' in d),
    d => of(d['amount_minor']),
  )
  const earned = adjustments.reduce((total, a) => total + a.earned, 0n)
  const everything = sum(all('costs'), costOf) + adjusted('before_split') + adjusted('after_split') - earned
  return {
    walk_out_minor: Number(owed - withheld + adjusted('after_split') - paid),
    promoter_minor: Number(receipts + excluded - everything - owed),
  }
}
