import { Type } from '@sinclair/typebox'
import { DateOnly, MinorUnits, Nullable, Text } from '../http/schemas.ts'
import { day, instant } from '../tenant/list.ts'
import { dealOfPart, showPart } from './show-part.ts'

/** The fields of a deposit, which a settlement keeps as they were. */
export const depositFields = {
  required: {
    amount_minor: Type.Integer({ ...MinorUnits, minimum: 1, examples: [250_000] }),
  },
  optional: {
    paid_on: Nullable(
      Type.String({
        ...DateOnly,
        description: 'null while it is open: no settlement counts it then, and `due_on` is required',
      }),
    ),
    due_on: Nullable(Type.String({ ...DateOnly, description: 'When it is to be paid' })),
    note: Nullable(Text(1000, 'Half of the guarantee, by transfer')),
  },
}

/** Deposits: what the artist has been paid in advance of the settlement, or is to be. */
export const depositRoutes = showPart({
  path: 'deposits',
  table: 'deposits',
  rows: 'deposit_rows',
  title: 'Deposit',
  word: 'deposit',
  required: depositFields.required,
  optional: { ...depositFields.optional, deal_id: dealOfPart },
  sorts: {
    paid_on: day,
    created_at: instant,
  },
  by: { paid_on: 'day_on' },
  description:
    'What the artist has already been paid, or is to be. The amount is in the currency of the deal. By `paid_on`, an open one is sorted by `due_on`.',
  problems: ['deal_of_other_show'],
})
