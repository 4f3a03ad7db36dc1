import { Type } from '@sinclair/typebox'
import { Line, MinorUnits } from '../http/schemas.ts'
import { instant, text } from '../tenant/list.ts'
import { showPart } from './show-part.ts'

/** The fields of a cost, which a settlement keeps as they were. */
export const showCostFields = {
  required: {
    name: Line('PA and lights'),
    kind: Type.String({
      title: 'ShowCostKind',
      enum: ['fixed', 'per_ticket'],
      description: 'fixed: the amount, once; per_ticket: the amount for each ticket sold',
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
