import { Type } from '@sinclair/typebox'
import { BasisPoints, Currency, DateOnly, Line, MinorUnits, Nullable } from '../http/schemas.ts'
import { instant } from '../tenant/list.ts'
import { rate } from './rate.ts'
import { showPart } from './show-part.ts'

const Kind = Type.String({
  title: 'DealKind',
  enum: ['versus', 'plus', 'door', 'flat'],
  description:
    'What the artist is paid. flat: the guarantee; door: the percentage; plus: both; versus: the larger of the two',
  examples: ['versus'],
})
const Base = Type.String({
  title: 'DealBase',
  enum: ['gross', 'net_receipts', 'net', 'net_after_promoter_profit'],
  description:
    'What the percentage is taken from. gross: ticket sales as paid; net_receipts: after facility fees and tax; net: after costs as well; net_after_promoter_profit: also after the promoter profit',
  examples: ['net_after_promoter_profit'],
})
const basisPoints = (of: string, example: number) =>
  Nullable(
    Type.Integer({
      ...BasisPoints,
      deprecated: true,
      description: `\`${of}\` in basis points, until the release after 0.3.0; null if that is no whole number. Send one of the two`,
      examples: [example],
    }),
  )
/** The fields of a deal except its currency, which is that of the whole settlement. */
export const dealTerms = {
  required: { kind: Kind },
  optional: {
    guarantee_minor: Nullable(
      Type.Integer({
        ...MinorUnits,
        description: 'In the smallest unit of the currency; null for door',
        examples: [500_000],
      }),
    ),
    percentage: Nullable(rate('The share of the artist, null for flat', 85)),
    percentage_bp: basisPoints('percentage', 8500),
    base: Nullable(Base),
    tax_percentage: rate('The tax included in the ticket prices', 8),
    tax_bp: basisPoints('tax_percentage', 800),
    promoter_profit_percentage: rate(
      'What the promoter earns before the percentage applies, of the costs; only with the base net_after_promoter_profit',
      15,
    ),
    promoter_profit_bp: basisPoints('promoter_profit_percentage', 1500),
    guarantee_is_cost: Type.Boolean({
      description:
        'Only for plus, where it is true by default: the settlement adds the guarantee to the fixed costs, so do not enter it as a cost as well',
      examples: [false],
    }),
    withholding_percentage: Nullable(
      rate('What you withhold of what is due and the bonuses, and owe to an authority; null if nothing', 10),
    ),
    withholding_threshold_minor: Nullable(
      Type.Integer({
        ...MinorUnits,
        description: 'Nothing is withheld unless what it is taken from is more',
        examples: [25_000],
      }),
    ),
    withholding_due_on: Nullable(
      Type.String({
        ...DateOnly,
        description: 'When it is owed to the authority; null: on the day of the show',
      }),
    ),
    act: Type.Union([Line('Paper Lanterns'), Type.Null()], {
      description:
        "The artist it is with, such as the support; null: the show's own artist, with whom the main deal is",
      examples: [null],
    }),
    is_cost_of_main: Type.Boolean({
      description:
        'Whether what another act is paid is a cost on the sheet of the main deal, true by default; of no meaning for the main deal',
      examples: [true],
    }),
    cancellation_minor: Nullable(
      Type.Integer({
        ...MinorUnits,
        description:
          'What the act is paid if the show is cancelled: the whole fee, a part of it (kill fee), or 0; null: not agreed yet, and then a cancelled show cannot be settled',
        examples: [250_000],
      }),
    ),
  },
}

/** Deals: what the acts of a show are paid, and from what. */
export const dealRoutes = showPart({
  path: 'deals',
  table: 'deals',
  rows: 'deal_rows',
  title: 'Deal',
  word: 'deal',
  required: { ...dealTerms.required, currency: Currency },
  optional: dealTerms.optional,
  sorts: { created_at: instant },
  description:
    'A show has at most one for each act: the main deal, without `act`, and those of other acts. All are in one currency, which is also that of the prices and all other amounts of the show. A percentage needs a base.',
  problems: [
    'deals_one_per_show',
    'deals_one_per_act',
    'deals_same_currency',
    'deals_act_settled',
    'deals_currency_in_use',
    'deals_rates_agree',
    'shows_fee_range',
  ],
})
