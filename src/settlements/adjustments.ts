import { Type } from '@sinclair/typebox'
import { Line, MinorUnits, Nullable } from '../http/schemas.ts'
import { instant, text } from '../tenant/list.ts'
import { rate } from './rate.ts'
import { dealOfPart, showPart } from './show-part.ts'

/** The fields of an adjustment, which a settlement keeps as they were. */
export const adjustmentFields = {
  required: {
    name: Line('Catering buyout'),
    kind: Type.String({
      title: 'DealAdjustmentKind',
      enum: ['reimbursement', 'buyout', 'credit', 'deduction', 'merchandise'],
      description:
        'reimbursement, buyout, credit: added; deduction: taken off; merchandise: the share of the hall is taken off if the artist has sold it, and the rest is added if the hall has',
      examples: ['buyout'],
    }),
    amount_minor: Type.Integer({
      ...MinorUnits,
      description: 'Of merchandise: what was taken in, with tax',
      examples: [60_000],
    }),
    stage: Type.String({
      title: 'DealAdjustmentStage',
      enum: ['before_split', 'after_split'],
      description:
        'before_split: a cost (a deduction: less of one) before the percentage, and not paid with the settlement; after_split: a line of its own in what the artist leaves with, as merchandise always is',
      examples: ['after_split'],
    }),
  },
  optional: {
    percentage: {
      ...Nullable(rate('Of merchandise: what the hall keeps of the sales without tax', 20)),
      examples: [null],
    },
    tax_percentage: {
      ...Nullable(rate('Of merchandise: the tax that is in the sales', 8)),
      examples: [null],
    },
    sold_by: {
      ...Nullable(
        Type.String({
          enum: ['artist', 'hall'],
          description: 'Of merchandise: who has sold it, has the money, and pays the tax',
        }),
      ),
      examples: [null],
    },
  },
}

/** Adjustments: what is added to or taken off a settlement before or after the split. */
export const adjustmentRoutes = showPart({
  path: 'adjustments',
  table: 'deal_adjustments',
  rows: 'deal_adjustment_rows',
  title: 'DealAdjustment',
  word: 'adjustment',
  required: adjustmentFields.required,
  optional: { ...adjustmentFields.optional, deal_id: dealOfPart },
  sorts: { created_at: instant, name: text },
  description:
    'What is added to or taken off a settlement before or after the split, merchandise included. The amount is in the currency of the deal.',
  problems: ['deal_of_other_show'],
})
