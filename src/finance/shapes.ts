// What finance records look like, and their list.
import { Type } from '@sinclair/typebox'
import {
  Currency,
  DateOnly,
  ExternalRef,
  ExternalSource,
  FinanceKind,
  Id,
  leftOut,
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
    'Which one may follow which is in app.finance_record_status_transitions; another change is 409 finance_record_status_transition',
  examples: ['actual'],
})
const PaymentStatus = Type.String({
  title: 'PaymentStatus',
  enum: ['unpaid', 'partly_paid', 'paid', 'refunded'],
  description: 'How far it has been paid',
  examples: ['paid'],
})
const ExchangeRate = Type.Number({
  exclusiveMinimum: 0,
  maximum: 1_000_000_000,
  description:
    'Units of the base currency for one unit of the currency; needed unless the two are the same, and then 1',
  examples: [1.0865],
})
const required = { kind: FinanceKind, category_id: Id, booked_on: DateOnly, amount_minor: MinorUnits }
const optional = {
  show_id: Nullable(Id),
  due_on: Nullable(DateOnly),
  tax_minor: Type.Integer({
    ...MinorUnits,
    description: 'Tax that the amount includes, in its smallest unit',
    examples: [92593],
  }),
  currency: Type.String({ ...Currency, description: 'ISO 4217; the organization’s own if not given' }),
  exchange_rate: ExchangeRate,
  payment_status: PaymentStatus,
  counterparty: Nullable(Line('Paradiso Amsterdam BV')),
  note: Nullable(Text(10_000, 'Second half of the guarantee.')),
  source: ExternalSource,
  external_ref: ExternalRef,
}
export const NewRecord = Strict(
  { ...required, status: Type.Optional(Status), ...leftOut(optional) },
  { title: 'NewFinanceRecord' },
)
export const WholeRecord = Strict(
  { ...required, status: Status, ...leftOut(optional) },
  { title: 'FinanceRecordReplacement' },
)
export const FinanceRecord = rowOf('FinanceRecord', {
  ...required,
  status: Status,
  ...optional,
  category_name: Line('Guarantee'),
  show_title: Nullable(
    Type.String({ ...Line('Spring Tour'), description: 'Also of a show that has been deleted since' }),
  ),
  base_amount_minor: Type.Integer({
    ...MinorUnits,
    description: 'The amount in the base currency, in its smallest unit',
    examples: [1358125],
  }),
  base_currency: Type.String({
    ...Currency,
    description: 'In which the organization kept its books when it was entered',
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
    currency: Currency,
    from: Type.String({ ...DateOnly, description: 'Booked on this day and later' }),
    to: Type.String({ ...DateOnly, description: 'Booked on this day and earlier' }),
    source: Line('bank'),
    external_ref: Line('INV-2027-0313'),
  },
  where: {
    from: (sql, from) => sql`booked_on >= ${from}::text::date`,
    to: (sql, to) => sql`booked_on <= ${to}::text::date`,
  },
})
