// The schemas of settlements.
import { Type } from '@sinclair/typebox'
import {
  Currency,
  DateOnly,
  FinanceKind,
  Id,
  Line,
  MinorUnits,
  Nullable,
  Strict,
  Text,
  Timestamp,
} from '../http/schemas.ts'
import type { ShowPart } from './show-part.ts'
import { adjustmentFields } from './adjustments.ts'
import { bonusFields } from './bonuses.ts'
import { dealTerms } from './deals.ts'
import { depositFields } from './deposits.ts'
import { showCostFields } from './show-costs.ts'
import { ticketTierFields } from './ticket-tiers.ts'

/** A line of a settlement, in minor units of the currency of the deal. */
const amount = (description: string, example: number) =>
  Type.Integer({ ...MinorUnits, description, examples: [example] })
const balance = (description: string, example: number) =>
  Type.Integer({ ...amount(description, example), minimum: -Number.MAX_SAFE_INTEGER })
const lines = ({ required, optional }: Pick<ShowPart, 'required' | 'optional'>, title: string) =>
  Strict({ id: Id, ...required, ...optional }, { title })
const many = (item: ReturnType<typeof lines>) => Type.Array(item, { maxItems: 100_000 })

const { kind } = dealTerms.required
const {
  guarantee_minor,
  percentage,
  base,
  tax_percentage,
  promoter_profit_percentage,
  guarantee_is_cost,
  cancellation_minor,
} = dealTerms.optional
const SettledAct = Strict(
  {
    id: Type.String({ ...Id, description: 'The deal' }),
    act: Line('Paper Lanterns'),
    kind,
    guarantee_minor,
    percentage,
    base,
    tax_percentage,
    promoter_profit_percentage,
    guarantee_is_cost,
    cancellation_minor,
    bonuses: many(lines(bonusFields, 'SettledBonus')),
    adjustments: many(lines(adjustmentFields, 'SettledAdjustment')),
  },
  { title: 'SettledAct', description: 'What another act is due depends on' },
)
export const Inputs = Strict(
  {
    currency: Currency,
    deal: lines(dealTerms, 'SettledDeal'),
    ticket_tiers: many(lines(ticketTierFields, 'SettledTicketTier')),
    costs: many(lines(showCostFields, 'SettledCost')),
    deposits: many(lines(depositFields, 'SettledDeposit')),
    bonuses: many(lines(bonusFields, 'SettledBonus')),
    adjustments: many(lines(adjustmentFields, 'SettledAdjustment')),
    acts: Type.Array(SettledAct, {
      maxItems: 100_000,
      description: 'The deals of other acts, as far as what they are paid is a cost of this one',
    }),
    enters_show: Type.Boolean({
      description:
        'Whether it enters the tickets and costs of the show in the books: of all deals of a show, one does',
      examples: [true],
    }),
    is_cancelled: Type.Boolean({
      description:
        'Whether the show was cancelled: then no ticket counts as sold, and the deal says what is due',
      examples: [false],
    }),
  },
  { title: 'SettlementInputs', description: 'The figures it was calculated from, as they were' },
)
export const SheetLine = Strict(
  {
    key: Type.String({
      ...Line('net_receipts'),
      maxLength: 100,
      description: 'As in `bookings` what the books have, such as `cost <id>`; otherwise the name of a total',
    }),
    section: Type.String({
      enum: ['receipts', 'costs', 'split', 'payment', 'open', 'promoter'],
      description: 'open: deposits that are due and not counted; promoter: not for the artist to see',
      examples: ['receipts'],
    }),
    name: Type.String({ ...Line('Net receipts') }),
    formula: Type.String({ ...Text(2_000_000, '500 × 30.00'), description: 'In words and numbers' }),
    amount_minor: balance('With the sign with which it enters the total of its section', 1_296_296),
    is_total: Type.Boolean({ examples: [false] }),
    budget_minor: Nullable(amount('What a cost was expected to be', 380_000)),
    over_budget_minor: Nullable(balance('What it is more than that', 20_000)),
  },
  { title: 'SettlementLine' },
)
export const Result = Strict(
  {
    tickets_sold: amount('Tickets sold, of all tiers', 500),
    tickets_comped: amount('Tickets given away', 12),
    tickets_allotted: amount('Tickets there are', 600),
    gross_minor: amount('Price times tickets sold, of all tiers', 1_500_000),
    facility_fees_minor: amount('The share of the venue', 100_000),
    excluded_minor: amount('What is not shared; it stays with the promoter', 0),
    tax_minor: amount('The tax included in the rest', 103_704),
    net_receipts_minor: amount('The gross less facility fees, what is not shared, and tax', 1_296_296),
    fixed_costs_minor: amount('Costs entered as fixed', 400_000),
    per_ticket_costs_minor: amount('Costs per ticket, times tickets sold', 40_000),
    guarantee_cost_minor: amount('The guarantee, if the deal counts it as a cost', 0),
    per_head_costs_minor: amount('Costs per head, times tickets sold and given away', 0),
    percent_of_gross_costs_minor: amount('Costs that are a percentage of the gross', 0),
    percent_of_net_receipts_costs_minor: amount('Costs that are a percentage of the net receipts', 0),
    adjustment_costs_minor: balance('Adjustments before the split', 0),
    acts_minor: amount('What other acts are paid, due and bonuses, where it is a cost of this deal', 0),
    costs_minor: balance('All these costs together', 440_000),
    internal_costs_minor: amount("The promoter's own costs, which do not count in the split", 0),
    budget_minor: Nullable(
      amount(
        'What the costs were expected to be, without internal ones; null if no cost has a budget',
        420_000,
      ),
    ),
    over_budget_minor: Nullable(balance('What the costs that have a budget are more than that', 20_000)),
    net_minor: balance('Net receipts less costs', 856_296),
    promoter_profit_minor: amount('The share of the costs that the promoter earns first', 66_000),
    split_point_minor: balance('The net receipts above which the percentage applies', 506_000),
    share_base_minor: amount('What the percentage is taken from; never below 0', 790_296),
    share_minor: amount('The percentage of it', 671_752),
    guarantee_minor: amount('The guarantee; 0 if there is none', 500_000),
    due_minor: amount('What the artist is paid, by the kind of deal', 671_752),
    bonuses_minor: amount('What the artist is paid on top', 0),
    withholding_minor: amount('What is withheld of both, for an authority', 0),
    adjustments_minor: balance('Adjustments after the split, merchandise included', 0),
    merchandise_minor: amount('Merchandise sold, without tax', 0),
    hall_share_minor: amount('What the hall keeps of it', 0),
    deposits_minor: amount('What the artist has already been paid', 250_000),
    open_deposits_minor: amount('Deposits that are due and not counted', 0),
    balance_minor: balance(
      'What is left of the due after withholding and deposits, as in the books; below 0 the artist has been overpaid',
      421_752,
    ),
    walk_out_minor: balance(
      'What is to be paid to the artist: due and bonuses, less withholding, with adjustments, less deposits; below 0 the artist has been overpaid',
      421_752,
    ),
    promoter_minor: balance(
      'What remains for the promoter, including the promoter profit, after this and the acts that are its costs',
      184_544,
    ),
    books_minor: balance(
      'What it enters in the books, income less expenses: without what other acts are paid, and without tickets and costs, if another settlement of the show enters them',
      184_544,
    ),
    lines: Type.Array(SheetLine, {
      maxItems: 100_000,
      description: 'The lines of the sheet, in order: by what they say, not by when they were entered',
    }),
  },
  { title: 'SettlementResult', description: 'Every line, in minor units of the currency' },
)
/** Which deal of a show a settlement is of. */
export const settled = {
  deal_id: Type.String({ ...Id, description: 'The deal' }),
  act: Nullable(
    Type.String({ ...Line('Paper Lanterns'), description: 'The artist it is with; null: that of the show' }),
  ),
}
const WantedDeal = Type.String({
  ...Id,
  description: 'A deal of the show; by default the main deal, or the only one',
})
const dealOrMain = Type.Union([Id, Type.Null()], {
  description: 'A deal of the show; null, or left out: the main deal, or the only one',
  examples: [null],
})
export const DealQuery = Strict({ deal_id: Type.Optional(WantedDeal) })
export const Draft = Strict(
  { show_id: Id, ...settled, inputs: Inputs, result: Result },
  { title: 'SettlementDraft' },
)
const Booking = Strict(
  {
    finance_record_id: Id,
    line: Type.String({
      ...Line('balance'),
      maxLength: 100,
      description:
        'tier <id>, facility_fees, tax, cost <id>, adjustment <id>, sales <id> and sales_tax <id> of merchandise that the hall has sold, bonus <id>, withholding, deposit <id>, balance or repayment; or the reversal of one',
    }),
    kind: FinanceKind,
    category_id: Id,
    amount_minor: amount('In minor units of the currency', 421_752),
    currency: Currency,
    booked_on: Type.String({
      ...DateOnly,
      description: 'The day of the show or of the deposit, or the first one of the next month that is open',
    }),
    status: Type.String({ enum: ['actual', 'void'], examples: ['actual'] }),
  },
  { title: 'SettlementBooking' },
)
export const BookQuery = Strict({
  exchange_rate: Type.Optional(
    Type.Number({
      exclusiveMinimum: 0,
      maximum: 1_000_000_000,
      description:
        "Units of the currency of the organization's books for one unit of the deal's; required if they differ, and 1 if they do not",
      examples: [1.0865],
    }),
  ),
  existing: Type.Optional(
    Type.String({
      enum: ['keep', 'void'],
      description:
        'What becomes of actual finance records of the show in the same categories, which may be the same money',
      examples: ['void'],
    }),
  ),
})
export const SettlementStatus = Type.String({
  title: 'SettlementStatus',
  enum: ['draft', 'final'],
  examples: ['draft'],
})
export const Settlement = Strict(
  {
    id: Id,
    show_id: Id,
    ...settled,
    number: Type.Integer({
      minimum: 1,
      maximum: 2_147_483_647,
      format: 'int32',
      description: 'Number of the revision: 1, 2 … for each deal',
      examples: [1],
    }),
    status: SettlementStatus,
    reason: Nullable(Text(1000, 'The invoice of the PA came in.')),
    inputs: Inputs,
    result: Result,
    finalized_at: Nullable(Timestamp),
    finalized_by: Nullable(Id),
    reopened_at: Nullable(
      Type.String({
        ...Timestamp,
        description: 'When it was reopened and ceased to be valid, although it was final',
      }),
    ),
    reopened_by: Nullable(Id),
    reopen_reason: Nullable(Text(1000, 'Twelve more tickets were sold at the door.')),
    booked_at: Nullable(
      Type.String({ ...Timestamp, description: 'When its lines were entered in the books' }),
    ),
    not_booked_because: Nullable(
      Type.String({
        enum: ['booked_by_hand', 'exchange_rate_needed'],
        description: 'Why the lines of a final one are not in the books: tell `/book` what it takes',
        examples: ['booked_by_hand'],
      }),
    ),
    bookings: Type.Array(Booking, {
      maxItems: 100_000,
      description: 'The finance records of its lines; void, or with their reversals, once it was reopened',
    }),
    created_by: Nullable(Id),
    created_at: Timestamp,
    updated_at: Timestamp,
  },
  { title: 'Settlement' },
)
export const NewSettlement = Strict(
  {
    reason: Nullable(
      Type.String({
        ...Text(1000, 'The invoice of the PA came in.'),
        description: 'Why there is a new revision; required once one was final',
      }),
    ),
    deal_id: Type.Optional(dealOrMain),
  },
  { title: 'NewSettlement' },
)
export const Reopening = Strict(
  {
    reason: Type.String({ ...Line('Twelve more tickets were sold at the door.'), maxLength: 1000 }),
    deal_id: Type.Optional(dealOrMain),
  },
  { title: 'SettlementReopening' },
)
