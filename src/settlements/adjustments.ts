import { Type } from '@sinclair/typebox'
import { Line, MinorUnits } from '../http/schemas.ts'
import { instant, text } from '../tenant/list.ts'
import { dealOfPart, showPart } from './show-part.ts'

/** The fields of an adjustment, which a settlement keeps as they were. */
export const adjustmentFields = {
  required: {
    name: Line('Catering buyout'),
    kind: Type.String({
      title: 'DealAdjustmentKind',
      enum: ['reimbursement', 'buyout', 'credit', 'deduction'],
      description: 'reimbursement, buyout, credit: added; deduction: taken off',
      examples: ['buyout'],
    }),
    amount_minor: Type.Integer({ ...MinorUnits, examples: [60_000] }),
    stage: Type.String({
      title: 'DealAdjustmentStage',
      enum: ['before_split', 'after_split'],
      description:
        'before_split: a cost (a deduction: less of one) before the percentage, and not paid with the settlement; after_split: a line of its own in what the artist leaves with',
      examples: ['after_split'],
    }),
  },
  optional: {},
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
    'What is added to or taken off a settlement before or after the split. The amount is in the currency of the deal.',
  problems: ['deal_of_other_show'],
})
