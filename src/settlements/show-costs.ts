import { Type } from '@sinclair/typebox'
import { Line, MinorUnits, Nullable } from '../http/schemas.ts'
import { instant, text } from '../tenant/list.ts'
import { rate } from './rate.ts'
import { showPart } from './show-part.ts'

/** The fields of a cost, which a settlement keeps as they were. */
export const showCostFields = {
  required: {
    name: Line('PA and lights'),
    kind: Type.String({
      title: 'ShowCostKind',
      enum: ['fixed', 'per_ticket', 'per_head', 'percent_of_gross', 'percent_of_net_receipts'],
      description:
        'fixed: the amount, once; per_ticket: for each ticket sold; per_head: for each ticket sold and each complimentary one; percent_of_gross, percent_of_net_receipts: the percentage of them, at least the amount',
      examples: ['fixed'],
    }),
    amount_minor: Type.Integer({ ...MinorUnits, examples: [400_000] }),
  },
  optional: {
    is_estimate: Type.Boolean({
      description:
        'The invoice is still to come: the cost counts, but a settlement with it cannot be final. false by default',
      examples: [false],
    }),
    percentage: {
      ...Nullable(rate('Only for percent_of_gross and percent_of_net_receipts', 10)),
      examples: [null],
    },
    cap_minor: Nullable(
      Type.Integer({ ...MinorUnits, description: 'The most that it costs', examples: [450_000] }),
    ),
    budget_minor: Nullable(
      Type.Integer({
        ...MinorUnits,
        description: 'What it was expected to cost: shown beside what it costs, and in no computation',
        examples: [380_000],
      }),
    ),
    is_internal: Type.Boolean({
      description:
        'Your own: not on the sheet and not in the split, but in the books and in what remains for you. false by default',
      examples: [false],
    }),
  },
}

/** Costs: what the promoter pays for a show. */
export const showCostRoutes = showPart({
  path: 'costs',
  table: 'show_costs',
  rows: 'show_cost_rows',
  title: 'ShowCost',
  word: 'cost',
  ...showCostFields,
  sorts: {
    created_at: instant,
    name: text,
  },
  description:
    'What the promoter pays for the show, apart from the artist. The amount is in the currency of the deal.',
})
