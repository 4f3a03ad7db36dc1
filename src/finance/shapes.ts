// The schemas of finance records, and their list.
import { Type } from '@sinclair/typebox'
import {
  Currency,
  DateOnly,
  ExternalRef,
  ExternalSource,
  FinanceKind,
  Id,
  omittable,
  Line,
  MinorUnits,
  Nullable,
  rowOf,
  Strict,
  Text,
} from '../http/schemas.ts'
import { day, list } from '../tenant/list.ts'

const Status = Type.String({
  title: 'FinanceStatus',
  enum: ['planned', 'committed', 'actual', 'void'],
  description:
    'Allowed changes are in app.finance_record_status_transitions; any other is 409 finance_record_status_transition',
  examples: ['actual'],
})
const PaymentStatus = Type.String({
  title: 'PaymentStatus',
  enum: ['unpaid', 'partly_paid', 'paid', 'refunded'],
  description: 'How far it has been paid',
  examples: ['paid'],
})
export const ExchangeRate = Type.Number({
  exclusiveMinimum: 0,
  maximum: 1_000_000_000,
  description:
    'Units of the base currency per unit of the currency; required unless the two are the same, and then 1',
  examples: [1.0865],
})
const required = { kind: FinanceKind, category_id: Id, booked_on: DateOnly, amount_minor: MinorUnits }
const optional = {
  show_id: Nullable(Id),
  itinerary_id: Nullable(
    Type.String({
      ...Id,
      description: 'The tour it is for; without one, it counts for those its show is on',
    }),
  ),
  due_on: Nullable(DateOnly),
  tax_minor: Type.Integer({
    ...MinorUnits,
    description: 'Tax included in the amount, in its smallest unit',
    examples: [92593],
  }),
  currency: Type.String({ ...Currency, description: 'ISO 4217; the organization’s own by default' }),
  exchange_rate: ExchangeRate,
  payment_status: PaymentStatus,
  counterparty: Nullable(Line('Paradiso Amsterdam BV')),
  note: Nullable(Text(10_000, 'Second half of the guarantee.')),
  source: ExternalSource,
  external_ref: ExternalRef,
}
export const NewRecord = Strict(
  { ...required, status: Type.Optional(Status), ...omittable(optional) },
  { title: 'NewFinanceRecord' },
)
export const WholeRecord = Strict(
  { ...required, status: Status, ...omittable(optional) },
  { title: 'FinanceRecordReplacement' },
)
export const FinanceRecord = rowOf('FinanceRecord', {
  ...required,
  status: Status,
  ...optional,
  category_name: Line('Guarantee'),
  show_title: Nullable(Type.String({ ...Line('Spring Tour'), description: 'Also of a show deleted since' })),
  base_amount_minor: Type.Integer({
    ...MinorUnits,
    description: 'The amount in the base currency, in its smallest unit',
    examples: [1358125],
  }),
  settlement_id: Nullable(
    Type.String({
      ...Id,
      description:
        'The final settlement that has entered it: its amount, day and status are changed by reopening that one',
    }),
  ),
  expense_id: Nullable(
    Type.String({ ...Id, description: 'The expense of a member that approving has entered' }),
  ),
  base_currency: Type.String({
    ...Currency,
    description: 'The currency of the organization’s books when the record was entered',
    examples: ['USD'],
  }),
})
export const financeRecords = list({
  from: 'finance_record_rows',
  permission: 'finance.read',
  bin: 'finance.delete',
  item: FinanceRecord,
  sorts: { booked_on: day },
  filters: {
    kind: FinanceKind,
    status: Status,
    payment_status: PaymentStatus,
    category_id: Id,
    show_id: Id,
    itinerary_id: Id,
    currency: Currency,
    from: Type.String({ ...DateOnly, description: 'Booked on or after this day' }),
    to: Type.String({ ...DateOnly, description: 'Booked on or before this day' }),
    source: Line('bank'),
    external_ref: Line('INV-2027-0313'),
  },
  where: {
    from: (sql, from) => sql`booked_on >= ${from}::text::date`,
    to: (sql, to) => sql`booked_on <= ${to}::text::date`,
  },
})
