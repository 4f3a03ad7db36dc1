import { Type } from '@sinclair/typebox'
import { BasisPoints, Currency, MinorUnits, Nullable } from '../http/schemas.ts'
import { instant } from '../tenant/list.ts'
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
  enum: ['gross', 'net', 'net_after_promoter_profit'],
  description:
    'What the percentage is taken from. gross: ticket sales as paid; net: after facility fees, tax and costs; net_after_promoter_profit: also after the promoter profit',
  examples: ['net_after_promoter_profit'],
})
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
    percentage_bp: Nullable(
      Type.Integer({ ...BasisPoints, description: 'In basis points; null for flat', examples: [8500] }),
    ),
    base: Nullable(Base),
    tax_bp: Type.Integer({
      ...BasisPoints,
      description: 'The tax included in the ticket prices, in basis points',
      examples: [800],
    }),
    promoter_profit_bp: Type.Integer({
      ...BasisPoints,
      description:
        'What the promoter earns before the percentage applies, in basis points of the costs; only with the base net_after_promoter_profit',
      examples: [1500],
    }),
    guarantee_is_cost: Type.Boolean({
      description:
        'Only for plus, where it is true by default: the settlement adds the guarantee to the fixed costs, so do not enter it as a cost as well',
      examples: [false],
    }),
  },
}

/** Deals: what the artist of a show is paid, and from what. */
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
    'A show has one. Its currency is also that of the prices, costs and deposits of the show. A percentage needs a base.',
  problems: ['deals_one_per_show'],
})
