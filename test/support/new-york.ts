// A whole sheet: a club in New York, with everything that an ordinary settlement has.

/** 16 costs of 9,855.68 in all. */
const fixed: [name: string, amount_minor: number][] = [
  ['Sound and lights', 185_000],
  ['Stagehands', 124_050],
  ['Security', 116_400],
  ['Box office', 42_500],
  ['Ushers', 38_875],
  ['House manager', 30_000],
  ['Cleaning', 27_500],
  ['Catering', 81_243],
  ['Hospitality', 65_000],
  ['Runner', 20_000],
  ['Piano tuning', 17_500],
  ['Support act', 50_000],
  ['Advertising', 142_500],
  ['Posters', 18_000],
  ['Medical', 22_000],
  ['Permits', 5_000],
]
const costs: object[] = [
  ...fixed.map(([name, amount_minor]) => ({ name, kind: 'fixed', amount_minor })),
  { name: 'Card fees', kind: 'percent_of_gross', percentage: 3.25, amount_minor: 0 },
  { name: 'Performing rights', kind: 'percent_of_net_receipts', percentage: 0.8, amount_minor: 0 },
  { name: 'Insurance', kind: 'per_head', amount_minor: 65 },
  { name: 'Rent', kind: 'percent_of_net_receipts', percentage: 10, amount_minor: 150_000 },
]
const fee = { facility_fee_minor: 300 }
/** What is entered, as the path under the show and the body. */
export const newYork: [path: string, body: object][] = [
  [
    'deals',
    {
      kind: 'versus',
      currency: 'USD',
      guarantee_minor: 500_000,
      percentage: 85,
      base: 'net_after_promoter_profit',
      tax_percentage: 8.875,
      promoter_profit_percentage: 15,
      withholding_percentage: 10,
    },
  ],
  [
    'ticket-tiers',
    { name: 'General admission', price_minor: 3000, ...fee, allotment: 980, sold: 860, comps: 42 },
  ],
  ['ticket-tiers', { name: 'Advance', price_minor: 2700, ...fee, allotment: 150, sold: 150 }],
  ['ticket-tiers', { name: 'VIP', price_minor: 8500, ...fee, excluded_minor: 5000, allotment: 70, sold: 60 }],
  ...costs.map((cost): [string, object] => ['costs', cost]),
  ['bonuses', { kind: 'tickets', amount_minor: 100_000, threshold: 1000 }],
  ['adjustments', { name: 'Dinner buyout', kind: 'buyout', amount_minor: 60_000, stage: 'after_split' }],
  ['adjustments', { name: 'Backline', kind: 'deduction', amount_minor: 45_000, stage: 'after_split' }],
  ['deposits', { paid_on: '2027-01-10', amount_minor: 250_000 }],
]
