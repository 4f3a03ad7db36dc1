// The schemas of expenses that members have paid themselves, and their list.
import { Type } from '@sinclair/typebox'
import {
  Currency,
  DateOnly,
  Id,
  inBin,
  Line,
  MinorUnits,
  Nullable,
  omittable,
  Patch,
  Strict,
  Text,
  Timestamp,
} from '../http/schemas.ts'
import { day, list } from '../tenant/list.ts'

const Status = Type.String({
  title: 'ExpenseStatus',
  enum: ['draft', 'submitted', 'approved', 'rejected'],
  description: 'Only a draft, and what was rejected, can be changed',
  examples: ['draft'],
})
export const fileTypes = ['application/pdf', 'image/jpeg', 'image/png']
const required = {
  category_id: Id,
  spent_on: DateOnly,
  amount_minor: MinorUnits,
  purpose: Line('Taxi from the airport'),
}
const itinerary_id = Nullable(Type.String({ ...Id, description: 'The tour it was for' }))
const currency = Type.String({ ...Currency, description: 'ISO 4217; the organization’s own by default' })
const optional = { itinerary_id, currency }
export const NewExpense = Strict({ ...required, ...omittable(optional) }, { title: 'NewExpense' })
export const ExpenseChange = Patch(Type.Object({ ...required, ...optional }), 'ExpenseChange')
export const Reason = Type.String({
  ...Text(1000, 'The receipt is missing.'),
  minLength: 1,
  description: 'Why it is rejected',
})
const Receipt = Strict(
  {
    content_type: Type.String({
      enum: fileTypes,
      description: 'By its first bytes',
      examples: ['image/png'],
    }),
    bytes: Type.Integer({ minimum: 1, maximum: 5_242_880, format: 'int32', examples: [51200] }),
    sha256: Type.String({ pattern: '^[0-9a-f]{64}$', maxLength: 64, examples: ['0'.repeat(64)] }),
  },
  { title: 'ExpenseReceipt' },
)
export const Expense = Strict(
  {
    id: Id,
    person: Type.String({ ...Line('Dov Levi'), description: 'Who paid, by the name of that day' }),
    ...required,
    category_name: Line('Travel'),
    ...optional,
    status: Status,
    submitted_at: Nullable(Timestamp),
    decided_by: Nullable(Id),
    decided_at: Nullable(Timestamp),
    is_self_approved: Type.Boolean({
      description: 'Approved by whose it is, because nobody else held finance.write',
      examples: [false],
    }),
    reason: Nullable(Reason),
    finance_record_id: Nullable(
      Type.String({ ...Id, description: 'The record that approving it has entered' }),
    ),
    receipt: Nullable(Receipt),
    created_by: Id,
    created_at: Timestamp,
    updated_at: Timestamp,
    ...inBin,
  },
  { title: 'Expense' },
)
export const expenses = list({
  from: 'expense_rows',
  permission: 'itineraries.read',
  or: 'finance.read',
  bin: 'itineraries.read',
  item: Expense,
  sorts: { spent_on: day },
  filters: {
    status: Status,
    category_id: Id,
    itinerary_id: Id,
    created_by: Id,
    from: Type.String({ ...DateOnly, description: 'Spent on or after this day' }),
    to: Type.String({ ...DateOnly, description: 'Spent on or before this day' }),
  },
  where: {
    from: (sql, from) => sql`spent_on >= ${from}::text::date`,
    to: (sql, to) => sql`spent_on <= ${to}::text::date`,
  },
})

/** Who may enter expenses: everybody on the road holds it, and nothing of the books comes with it. */
export const entering = { tags: ['finance'], 'x-permission': 'itineraries.read' }
