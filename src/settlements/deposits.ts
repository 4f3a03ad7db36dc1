import { Type } from '@sinclair/typebox'
import { DateOnly, MinorUnits, Nullable, Text } from '../http/schemas.ts'
import { day, instant } from '../tenant/list.ts'
import { showPart } from './show-part.ts'

/** The fields of a deposit, which a settlement keeps as they were. */
export const depositFields = {
  required: {
    paid_on: DateOnly,
    amount_minor: Type.Integer({ ...MinorUnits, minimum: 1, examples: [250_000] }),
  },
  optional: { note: Nullable(Text(1000, 'Half of the guarantee, by transfer')) },
}

/** Deposits: what the artist has been paid in advance of the settlement. */
export const depositRoutes = showPart({
  path: 'deposits',
  table: 'deposits',
  rows: 'deposit_rows',
  title: 'Deposit',
  word: 'deposit',
  ...depositFields,
  sorts: {
    paid_on: day,
    created_at: instant,
  },
  description: 'What the artist has already been paid. The amount is in the currency of the deal.',
})
