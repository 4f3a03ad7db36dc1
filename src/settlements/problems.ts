import type { Problems } from '../http/problems.ts'

export const problems: Problems = {
  deals_one_per_show: { status: 409, title: 'The show already has a deal' },
  deals_one_per_act: { status: 409, title: 'The show already has a deal with this act' },
  deals_same_currency: {
    status: 409,
    title: 'The deals of a show have one currency',
  },
  deals_act_settled: {
    status: 409,
    title: 'Whether it is the main deal can no longer change',
    detail: 'A settlement of the deal has been recorded.',
  },
  deals_act_length: { status: 422, title: 'The act is empty, too long or has control characters' },
  deal_of_other_show: {
    status: 409,
    title: 'The deal is not one of the show',
    detail: 'It does not exist, or belongs to another show.',
  },
  deals_currency_in_use: {
    status: 409,
    title: 'The deal cannot have another currency',
    detail:
      'Prices, costs, deposits, bonuses or adjustments of the show are in the currency of its deal: delete them first.',
  },
  deals_rates_agree: {
    status: 422,
    title: 'A rate in percent and its basis points differ',
  },
  deals_valid_rates: {
    status: 422,
    title: 'A rate is not between 0 and 100 percent, or has more than six decimals',
  },
  show_not_settled: { status: 409, title: 'The show is not settled' },
  settlement_final: {
    status: 409,
    title: 'The settlement is final',
    detail:
      'The figures behind a final settlement cannot be changed, nor another revision recorded, unless it is reopened.',
  },
  settlement_not_final: {
    status: 409,
    title: 'The show has no final settlement',
    detail: 'This show has a deal: it is settled by finalizing the settlement of each of its deals.',
  },
  settlement_needs_deal: {
    status: 409,
    title: 'The show has no deal',
    detail: 'Without a deal there is nothing to settle: enter one first.',
  },
  settlement_template_name_taken: { status: 409, title: 'There is already a template of this name' },
  settlement_template_unknown: {
    status: 409,
    title: 'There is no such template',
    detail: 'It does not exist, or has been deleted.',
  },
  settlement_templates_name_length: {
    status: 422,
    title: 'The name is empty, too long or has control characters',
  },
  settlement_templates_note_length: { status: 422, title: 'The note is longer than 1,000 characters' },
  settlement_templates_currency_exists: { status: 422, title: 'There is no such currency' },
  settlement_templates_parts_count: { status: 422, title: 'A list of a template has more than 100 items' },
  settlement_templates_parts_valid: {
    status: 422,
    title: 'A part of a template could not be entered in a show',
  },
  settlement_templates_fields_known: {
    status: 422,
    title: 'A part of a template has other fields than those of a show',
  },
  settlement_of_which_deal: {
    status: 409,
    title: 'The show has several deals',
    detail: 'None of them is with the artist of the show: name one as `deal_id`.',
  },
  settlement_show_not_played: {
    status: 409,
    title: 'Only a show that was played or cancelled can be settled',
  },
  settlement_needs_cancellation: {
    status: 409,
    title: 'The deal does not say what is paid for a cancelled show',
  },
  settlement_outdated: {
    status: 409,
    title: 'The figures have changed since this revision',
    detail:
      'Deal, tickets, costs, the show or other figures have changed since this revision: record a new one.',
  },
  settlement_estimated: {
    status: 409,
    title: 'A cost is still an estimate',
    detail: 'A cost is still an estimate: enter the actual amount and record a new revision.',
  },
  deals_kind_known: { status: 422, title: 'Unknown kind of deal' },
  deals_currency_exists: { status: 422, title: 'Unknown currency' },
  deals_cancellation_range: {
    status: 422,
    title: 'The amount for a cancelled show is negative or too large',
  },
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
  ticket_tiers_fee_within_price: {
    status: 422,
    title: 'Facility fee and what is not shared are more than the price',
  },
  ticket_tiers_excluded_range: { status: 422, title: 'What is not shared is negative or too large' },
  ticket_tiers_within_allotment: {
    status: 422,
    title: 'More tickets are sold or given away than the allotment has',
  },
  show_costs_name_length: { status: 422, title: 'The name is empty, too long or has control characters' },
  show_costs_kind_known: { status: 422, title: 'Unknown kind of cost' },
  show_costs_amount_range: { status: 422, title: 'The amount is negative or too large' },
  deposits_paid_on_range: { status: 422, title: 'The date is not between 1900 and 2199' },
  show_costs_valid_percentage: {
    status: 422,
    title: 'The percentage is not between 0 and 100, or has more than six decimals',
  },
  show_costs_percentage_by_kind: {
    status: 422,
    title: 'A cost of a percentage has one, and no other cost has',
  },
  show_costs_cap_range: { status: 422, title: 'The cap is negative or too large' },
  show_costs_cap_above_least: {
    status: 422,
    title: 'The cap is less than the least that the cost amounts to',
  },
  show_costs_budget_range: { status: 422, title: 'The budget is negative or too large' },
  deals_withholding_valid: {
    status: 422,
    title: 'The withholding is not between 0 and 100 percent, or has more than six decimals',
  },
  deals_withholding_threshold_range: {
    status: 422,
    title: 'The threshold of the withholding is negative or too large',
  },
  deals_withholding_due_on_range: { status: 422, title: 'The date is not between 1900 and 2199' },
  deals_withholding_has_rate: {
    status: 422,
    title: 'A threshold or a date of a withholding needs its percentage',
  },
  deal_bonuses_kind_known: { status: 422, title: 'Unknown kind of bonus' },
  deal_bonuses_amount_range: { status: 422, title: 'The amount is negative or too large' },
  deal_bonuses_threshold_positive: { status: 422, title: 'The threshold cannot be negative' },
  deal_bonuses_threshold_by_kind: {
    status: 422,
    title: 'A bonus for selling out has no threshold, and every other bonus has one',
  },
  deal_adjustments_name_length: {
    status: 422,
    title: 'The name is empty, too long or has control characters',
  },
  deal_adjustments_kind_known: { status: 422, title: 'Unknown kind of adjustment' },
  deal_adjustments_amount_range: { status: 422, title: 'The amount is negative or too large' },
  deal_adjustments_stage_known: { status: 422, title: 'Unknown stage of an adjustment' },
  deal_adjustments_sold_by_known: { status: 422, title: 'Merchandise is sold by the artist or by the hall' },
  deal_adjustments_valid_percentages: {
    status: 422,
    title: 'A percentage is not between 0 and 100, or has more than six decimals',
  },
  deal_adjustments_percentage_by_kind: {
    status: 422,
    title:
      'Merchandise has a percentage and says who has sold it; other adjustments have neither, and no tax',
  },
  deal_adjustments_merchandise_after_split: {
    status: 422,
    title: 'Merchandise is settled after the split',
  },
  deposits_due_on_range: { status: 422, title: 'The date is not between 1900 and 2199' },
  deposits_paid_or_due: { status: 422, title: 'A deposit was paid on a day, or is due on one' },
  deposits_amount_range: { status: 422, title: 'The amount is not positive or too large' },
  deposits_note_length: { status: 422, title: 'The note is too long' },
  settlements_reason_length: { status: 422, title: 'The reason is too long' },
  settlements_reopen_reason_length: { status: 422, title: 'The reason is empty or too long' },
  settlement_not_in_force: {
    status: 409,
    title: 'The settlement is not in force',
    detail: 'Only a final settlement that was not reopened is in the books.',
  },
  settlement_booked_by_hand: {
    status: 409,
    title: 'The books may have the same money already',
  },
  settlement_exchange_rate_needed: {
    status: 422,
    title: 'The settlement needs an exchange rate',
  },
  settlement_reason_needed: {
    status: 422,
    title: 'A revision after a final one needs a reason',
    detail: 'An earlier revision was final: give the reason for a new one.',
  },
  settlement_out_of_range: { status: 422, title: 'An amount of the settlement is too large' },
}
