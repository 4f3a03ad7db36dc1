import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IfMatch, OnceIfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import {
  Currency,
  DateOnly,
  Id,
  IdParams,
  Line,
  MinorUnits,
  Nullable,
  omittable,
  Patch,
  rowOf,
  Strict,
  Text,
  Timestamp,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { day, list } from '../tenant/list.ts'
import { of, resource } from '../tenant/resource.ts'
import { ExchangeRate } from './shapes.ts'

const required = {
  person: Type.String({ ...Line('Dov Levi'), description: 'Who is paid' }),
  category_id: Id,
  starts_on: DateOnly,
  ends_on: Type.String({
    ...DateOnly,
    description: 'The last day, included: at most 366 days',
    examples: ['2027-03-16'],
  }),
  daily_minor: Type.Integer({
    ...MinorUnits,
    minimum: 1,
    description: 'For each day, in the smallest unit of the currency',
    examples: [4500],
  }),
}
const optional = {
  party_member_id: Nullable(Type.String({ ...Id, description: 'Who it is in the party of the tour' })),
  exchange_rate: ExchangeRate,
  note: Nullable(Text(1000, 'Handed out on the bus.')),
}
const currency = Type.String({ ...Currency, description: 'ISO 4217; the organization’s own by default' })
const Status = Type.String({
  title: 'PerDiemStatus',
  enum: ['planned', 'approved'],
  description: 'Only a planned one can be changed',
  examples: ['planned'],
})
const PerDiem = rowOf('PerDiem', {
  itinerary_id: Nullable(
    Type.String({ ...Id, description: 'Its tour; null once that has been removed for good' }),
  ),
  ...required,
  ...optional,
  currency,
  category_name: Line('Travel'),
  days: Type.Integer({ minimum: 1, maximum: 366, format: 'int32', examples: [3] }),
  amount_minor: Type.Integer({
    ...MinorUnits,
    description: 'All days together, in the smallest unit of the currency',
    examples: [13500],
  }),
  base_amount_minor: Type.Integer({
    ...MinorUnits,
    description: 'That in the base currency, in its smallest unit',
    examples: [13500],
  }),
  base_currency: Currency,
  amount_by: Nullable(
    Type.String({ ...Id, description: 'Who has entered it, or last changed who is paid how much' }),
  ),
  status: Status,
  decided_by: Nullable(Id),
  decided_at: Nullable(Timestamp),
  is_self_approved: Type.Boolean({
    description: 'Approved by who has entered or changed it, because nobody else held finance.write',
    examples: [false],
  }),
  finance_record_id: Nullable(
    Type.String({ ...Id, description: 'The record that approving it has entered' }),
  ),
})
const permissions = of('finance')
const own = { tags: ['finance'], 'x-permission': permissions.write }
const one = { params: IdParams, response: { 200: answer('The per diem', PerDiem, 'ETag') } }

const generic = resource({
  table: 'per_diems',
  title: 'PerDiem',
  words: 'per diem',
  tag: 'finance',
  path: '/api/per-diems',
  under: '/api/itineraries/:id/per-diems',
  parent: 'itinerary_id',
  permissions,
  item: PerDiem,
  list: {
    rows: list({
      from: 'per_diem_rows',
      permission: permissions.read,
      bin: permissions.delete,
      item: PerDiem,
      sorts: { starts_on: day },
      filters: { status: Status, category_id: Id, party_member_id: Id },
    }),
    answers: 'Per diems',
    summary: 'List the per diems of a tour',
    description: 'By their first day.',
  },
  create: {
    summary: 'Enter a per diem',
    description:
      'What a tour pays to somebody for each day from the first to the last, both included. Nobody has two on the same day of the same tour: the same one of its party or, where either names none, of the same name.',
    problems: ['per_diem_days_taken'],
    body: Strict({ ...required, ...omittable({ ...optional, currency }) }, { title: 'NewPerDiem' }),
  },
  read: { summary: 'Read a per diem', description: 'With what it comes to.' },
  delete: {
    summary: 'Delete a planned per diem',
    description: 'It can be restored. An approved one stays.',
    problems: ['per_diem_not_planned'],
  },
  restore: {
    summary: 'Restore a deleted per diem',
    description: 'If its itinerary or its category is deleted, restore that first.',
    problems: ['parent_deleted', 'per_diem_days_taken'],
  },
})

/** What tours pay to those who travel, day by day. Approving a per diem enters it in the books. */
export async function perDiemRoutes(app: App) {
  await app.register(generic)

  app.patch(
    '/api/per-diems/:id',
    {
      schema: {
        ...own,
        operationId: 'updatePerDiem',
        summary: 'Change some fields of a planned per diem',
        description: 'Omitted fields stay as they are. For another currency, enter another per diem.',
        'x-problems': [...constraintsOf('per_diems'), 'per_diem_not_planned', 'per_diem_days_taken'],
        ...one,
        headers: IfMatch,
        body: Patch(Type.Object({ ...required, ...optional }), 'PerDiemChange'),
      },
    },
    (request, reply) => {
      const { params, body, headers } = request
      return request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag from app.write_per_diem(${params.id}, ${sql.json(body)}, ${headers['if-match'] ?? null})`,
        )
        .then(reply.json)
    },
  )

  app.post(
    '/api/per-diems/:id/approve',
    {
      schema: {
        ...own,
        operationId: 'approvePerDiem',
        summary: 'Approve a per diem',
        description:
          'Enters it in the books as an actual, unpaid finance record: on its last day or, if that month is closed, on the first day of the next open one; at its own exchange rate, unless another is given. Nobody approves what they have entered, or of which they have last changed who is paid how much, while somebody else in the organization holds `finance.read` and `finance.write`; who does it alone is seen in `is_self_approved`.',
        'x-problems': [
          'per_diem_not_planned',
          'per_diem_is_own',
          'finance_records_exchange_rate_of_base',
          'finance_records_category_exists',
          'finance_records_exchange_rate_range',
          'finance_records_base_amount_range',
        ],
        ...one,
        headers: OnceIfMatch,
        body: Strict({ exchange_rate: Type.Optional(ExchangeRate) }, { title: 'PerDiemApproval' }),
      },
    },
    (request, reply) => {
      const { params, body, headers } = request
      return request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag from app.approve_per_diem(${params.id}, ${body.exchange_rate ?? null}, ${headers['if-match'] ?? null})`,
        )
        .then(reply.json)
    },
  )
}
