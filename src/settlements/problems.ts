import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  deals_one_per_show: { status: 409, title: 'The show already has a deal' },
  show_not_settled: { status: 409, title: 'The show is not settled' },
  settlement_final: {
    status: 409,
    title: 'The settlement is final',
    detail: 'The show is settled: the figures behind it cannot be changed unless the settlement is reopened.',
  },
  settlement_not_final: {
    status: 409,
    title: 'The show has no final settlement',
    detail: 'This show has a deal: it is settled by finalizing its settlement.',
  },
  settlement_needs_deal: {
    status: 409,
    title: 'The show has no deal',
    detail: 'Without a deal there is nothing to settle: enter one first.',
  },
  settlement_show_not_played: { status: 409, title: 'Only a show that was played can be settled' },
  settlement_outdated: {
    status: 409,
    title: 'The figures have changed since this revision',
    detail: 'Deal, tickets, costs or deposits have changed since this revision: record a new one.',
  },
  settlement_estimated: {
    status: 409,
    title: 'A cost is still an estimate',
    detail: 'A cost is still an estimate: enter the actual amount and record a new revision.',
  },
  deals_kind_known: { status: 422, title: 'Unknown kind of deal' },
  deals_currency_exists: { status: 422, title: 'Unknown currency' },
  deals_guarantee_range: { status: 422, title: 'The guarantee is negative or too large' },
  deals_percentage_range: { status: 422, title: 'The percentage is not between 0 and 10000 basis points' },
  deals_base_known: { status: 422, title: 'Unknown base of a percentage' },
  deals_tax_range: { status: 422, title: 'The tax is not between 0 and 10000 basis points' },
  deals_promoter_profit_range: {
    status: 422,
    title: 'The promoter profit is not between 0 and 10000 basis points',
  },
  deals_guarantee_by_kind: {
    status: 422,
    title: 'A door deal has no guarantee, and every other deal has one',
  },
  deals_percentage_by_kind: {
    status: 422,
    title: 'A flat deal has no percentage and no base, and every other deal has both',
  },
  deals_promoter_profit_by_base: {
    status: 422,
    title: 'A promoter profit needs the base net_after_promoter_profit',
  },
  deals_guarantee_is_cost_of_plus: {
    status: 422,
    title: 'Only a plus deal can have its guarantee as a cost',
  },
  ticket_tiers_name_length: { status: 422, title: 'The name is empty, too long or has control characters' },
  ticket_tiers_price_range: { status: 422, title: 'The price is negative or too large' },
  ticket_tiers_facility_fee_range: { status: 422, title: 'The facility fee is negative or too large' },
  ticket_tiers_allotment_positive: { status: 422, title: 'The allotment must be positive' },
  ticket_tiers_sold_positive: { status: 422, title: 'The number of tickets sold cannot be negative' },
  ticket_tiers_comps_positive: { status: 422, title: 'The number of comps cannot be negative' },
  ticket_tiers_fee_within_price: { status: 422, title: 'The facility fee is more than the price' },
  ticket_tiers_within_allotment: {
    status: 422,
    title: 'More tickets are sold or given away than the allotment has',
  },
  show_costs_name_length: { status: 422, title: 'The name is empty, too long or has control characters' },
  show_costs_kind_known: { status: 422, title: 'Unknown kind of cost' },
  show_costs_amount_range: { status: 422, title: 'The amount is negative or too large' },
  deposits_paid_on_range: { status: 422, title: 'The date is not between 1900 and 2199' },
  deposits_amount_range: { status: 422, title: 'The amount is not positive or too large' },
  deposits_note_length: { status: 422, title: 'The note is too long' },
  settlements_reason_length: { status: 422, title: 'The reason is too long' },
  settlements_reopen_reason_length: { status: 422, title: 'The reason is too long' },
  settlement_reason_needed: {
    status: 422,
    title: 'A revision after a final one needs a reason',
    detail: 'An earlier revision was final: give the reason for a new one.',
  },
  settlement_out_of_range: { status: 422, title: 'An amount of the settlement is too large' },
}
