import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { type List, listed } from '../tenant/list.ts'
import {
  Currency,
  DateOnly,
  Deleted,
  ExternalRef,
  ExternalSource,
  FinanceKind,
  Id,
  IdParams,
  inBin,
  Line,
  ListQuery,
  MinorUnits,
  Nullable,
  Page,
  Patch,
  sortBy,
  Strict,
  Text,
  Timestamp,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

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
const mayBeLeftOut = Type.Partial(Type.Object(optional)).properties
const NewRecord = Strict(
  { ...required, status: Type.Optional(Status), ...mayBeLeftOut },
  { title: 'NewFinanceRecord' },
)
const WholeRecord = Strict(
  { ...required, status: Status, ...mayBeLeftOut },
  { title: 'FinanceRecordReplacement' },
)
const FinanceRecord = Strict(
  {
    id: Id,
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
    created_by: Nullable(Id),
    created_at: Timestamp,
    updated_at: Timestamp,
    ...inBin,
  },
  { title: 'FinanceRecord' },
)
const sorts = { booked_on: { column: 'booked_on', type: 'date' } } as const
const filters = {
  kind: Type.Optional(FinanceKind),
  status: Type.Optional(Status),
  payment_status: Type.Optional(PaymentStatus),
  category_id: Type.Optional(Id),
  show_id: Type.Optional(Id),
  currency: Type.Optional(Currency),
  from: Type.Optional(Type.String({ ...DateOnly, description: 'Booked on this day and later' })),
  to: Type.Optional(Type.String({ ...DateOnly, description: 'Booked on this day and earlier' })),
  source: Type.Optional(Line('bank')),
  external_ref: Type.Optional(Line('INV-2027-0313')),
  sort: Type.Optional(sortBy(sorts)),
  deleted: Deleted,
}
export const financeRecords: List = {
  from: 'finance_record_rows',
  permission: 'finance.read',
  bin: 'finance.delete',
  sorts,
  sort: 'booked_on',
  filters,
  item: FinanceRecord,
  where: (sql, { from, to, ...equal }) => [
    ...Object.entries(equal).map(([column, value]) => sql`${sql(column)} = ${String(value)}`),
    from === undefined ? undefined : sql`booked_on >= ${from}::text::date`,
    to === undefined ? undefined : sql`booked_on <= ${to}::text::date`,
  ],
}
const tags = ['finance']
const problems = [...constraintsOf('finance_records'), 'finance_record_external_ref_taken', 'period_closed']

/** Income and expenses, planned and real. */
export async function financeRecordRoutes(app: App) {
  app.get(
    '/api/finance-records',
    {
      schema: {
        tags,
        operationId: 'listFinanceRecords',
        summary: 'List finance records',
        description:
          'By the day they are booked on. Filters that are given together must all hold. `source` with `external_ref` finds one by its name elsewhere.',
        'x-permission': 'finance.read',
        querystring: Strict({ ...ListQuery, ...filters }),
        response: { 200: answer('Finance records', Page(FinanceRecord), 'Link') },
      },
    },
    (request, reply) => request.tenant(sql => listed(sql, financeRecords, request.query)).then(reply.json),
  )

  app.post(
    '/api/finance-records',
    {
      schema: {
        tags,
        operationId: 'createFinanceRecord',
        summary: 'Enter income or an expense',
        description:
          'The amount in the organization’s currency is fixed now, by `exchange_rate`. A closed month takes none.',
        'x-problems': problems,
        'x-permission': 'finance.write',
        headers: IdempotencyKey,
        body: NewRecord,
        response: { 201: answer('Created', FinanceRecord, 'ETag', 'Location') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag, location from app.create_finance_record(${sql.json(request.body)})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/finance-records/:id',
    {
      schema: {
        tags,
        operationId: 'readFinanceRecord',
        summary: 'Read a finance record',
        description: 'With the names of its category and show.',
        'x-permission': 'finance.read',
        params: IdParams,
        response: { 200: answer('The finance record', FinanceRecord, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`select status, body, etag from app.read_finance_record(${request.params.id})`,
        )
        .then(reply.json),
  )

  const write = {
    tags,
    'x-permission': 'finance.write',
    'x-problems': [...problems, 'finance_record_status_transition'],
    params: IdParams,
    headers: IfMatch,
    response: { 200: answer('The finance record', FinanceRecord, 'ETag') },
  }
  app.put(
    '/api/finance-records/:id',
    {
      schema: {
        ...write,
        operationId: 'replaceFinanceRecord',
        summary: 'Replace a finance record',
        description: 'What is left out becomes empty; the base currency stays that of the first booking.',
        body: WholeRecord,
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.write_finance_record(${request.params.id}, ${sql.json(request.body)}, true, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )
  app.patch(
    '/api/finance-records/:id',
    {
      schema: {
        ...write,
        operationId: 'updateFinanceRecord',
        summary: 'Change some fields of a finance record',
        description: 'What the body does not name stays as it is. Another currency needs its exchange rate.',
        body: Patch(WholeRecord, 'FinanceRecordChange'),
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.write_finance_record(${request.params.id}, ${sql.json(request.body)}, false, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.delete(
    '/api/finance-records/:id',
    {
      schema: {
        tags,
        operationId: 'deleteFinanceRecord',
        summary: 'Delete a finance record until it is restored',
        description: 'Of an open month. To keep it in sight instead, make it void.',
        'x-problems': ['period_closed'],
        'x-permission': 'finance.delete',
        params: IdParams,
        headers: IfMatch,
        response: { 204: answer('Deleted') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body from app.delete_finance_record(${request.params.id}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/finance-records/:id/restore',
    {
      schema: {
        tags,
        operationId: 'restoreFinanceRecord',
        summary: 'Bring back a deleted finance record',
        description:
          'As it was. If its category, or the show that it is planned for, is deleted, restore that first.',
        'x-problems': ['parent_deleted', 'period_closed', 'finance_record_external_ref_taken'],
        'x-permission': 'finance.delete',
        params: IdParams,
        headers: IdempotencyKey,
        response: { 200: answer('The finance record', FinanceRecord, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<Answer[]>`select status, body, etag from app.restore_finance_record(${request.params.id})`,
        )
        .then(reply.json),
  )
}
