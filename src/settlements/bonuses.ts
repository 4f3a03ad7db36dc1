import { Type } from '@sinclair/typebox'
import { Count, MinorUnits, Nullable } from '../http/schemas.ts'
import { instant } from '../tenant/list.ts'
import { dealOfPart, showPart } from './show-part.ts'

/** The fields of a bonus, which a settlement keeps as they were. */
export const bonusFields = {
  required: {
    kind: Type.String({
      title: 'DealBonusKind',
      enum: ['tickets', 'sell_out', 'per_ticket'],
      description:
        'tickets: the amount, once, from `threshold` tickets sold; sell_out: once, if tickets sold and complimentary ones fill every allotment; per_ticket: the amount for each ticket sold above `threshold`',
      examples: ['tickets'],
    }),
    amount_minor: Type.Integer({ ...MinorUnits, examples: [100_000] }),
  },
  optional: {
    threshold: Nullable(
      Type.Integer({ ...Count(0, 1000), description: 'A number of tickets sold; null for sell_out' }),
    ),
  },
}

/** Bonuses: what the artist is paid on top of the deal, by how many tickets are sold. */
export const bonusRoutes = showPart({
  path: 'bonuses',
  table: 'deal_bonuses',
  rows: 'deal_bonus_rows',
  title: 'DealBonus',
  word: 'bonus',
  required: bonusFields.required,
  optional: { ...bonusFields.optional, deal_id: dealOfPart },
  sorts: { created_at: instant },
  description: 'What the artist is paid on top of the deal. The amount is in the currency of the deal.',
  problems: ['deal_of_other_show'],
})
