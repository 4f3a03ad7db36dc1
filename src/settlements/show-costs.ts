import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { Line, MinorUnits } from '../http/schemas.ts'
import { showPart } from './show-part.ts'

/** The fields of a cost, which a settlement shows as they were. */
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
        'The invoice is still to come: it counts, but a settlement with it cannot be final. false if not given',
      examples: [false],
    }),
  },
}

/** Costs: what the promoter pays for a show. */
export async function showCostRoutes(app: App) {
  showPart(app, {
    path: 'costs',
    table: 'show_costs',
    sqlName: 'show_cost',
    title: 'ShowCost',
    word: 'cost',
    ...showCostFields,
    sorts: {
      created_at: 'timestamptz',
      name: 'text',
    },
    description:
      'What the promoter pays for the show, but for the artist. The amount is in the currency of the deal.',
  })
}
