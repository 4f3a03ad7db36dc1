import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { page } from '../tenant/list.ts'
import {
  Count,
  Id,
  IdParams,
  ListQuery,
  noControls,
  Nullable,
  Page,
  sortBy,
  Strict,
  Timestamp,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

const deletedDays = { deleted_days: Count(1, 30) }
const Retention = Strict(
  {
    ...deletedDays,
    is_held: Type.Boolean({ description: 'A legal hold keeps everything until it is released' }),
  },
  { title: 'Retention' },
)
const Reason = Type.String({
  minLength: 1,
  maxLength: 500,
  pattern: noControls,
  examples: ['Lawsuit 12 O 345/26: all contracts of 2026'],
})
const LegalHold = Strict(
  {
    id: Id,
    reason: Reason,
    placed_by: Nullable(Type.String({ ...Id, description: 'Null if the operator placed it' })),
    placed_at: Timestamp,
    released_by: Nullable(Id),
    released_at: Nullable(Timestamp),
  },
  { title: 'LegalHold' },
)
const sorts = { placed_at: 'timestamptz' } as const
const tags = ['retention']

/** How long deleted items can be restored, and legal holds. */
export async function retentionRoutes(app: App) {
  app.get(
    '/api/retention',
    {
      schema: {
        tags,
        operationId: 'readRetention',
        summary: 'Read for how many days deleted items are kept',
        description:
          'Days: 30, unless the organization has set another number. Until then they can be restored.',
        'x-permission': 'audit.read',
        response: { 200: answer('The retention', Retention) },
      },
    },
    (request, reply) =>
      request.tenant(sql => sql<Answer[]>`select status, body from app.read_retention()`).then(reply.json),
  )

  app.put(
    '/api/retention',
    {
      schema: {
        tags,
        operationId: 'setRetention',
        summary: 'Set for how many days deleted items are kept, 1 to 3650',
        description:
          'Also applies to items already deleted: older ones are permanently removed at the next cleanup, at night.',
        'x-problems': [...constraintsOf('deletion_retentions')],
        'x-permission': 'retention.manage',
        body: Strict(deletedDays, { title: 'NewRetention' }),
        response: { 200: answer('The retention', Retention) },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`select status, body from app.set_retention(${request.body.deleted_days})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/legal-holds',
    {
      schema: {
        tags,
        operationId: 'listLegalHolds',
        summary: 'List legal holds, including released ones',
        description: 'Newest first, unless `sort` says otherwise.',
        'x-permission': 'audit.read',
        querystring: Strict({ ...ListQuery, sort: Type.Optional(sortBy(sorts)) }),
        response: { 200: answer('Legal holds', Page(LegalHold), 'Link') },
      },
    },
    (request, reply) => {
      const { limit, cursor, sort = '-placed_at' } = request.query
      const options = {
        from: 'legal_hold_list',
        permission: 'audit.read',
        sorts,
        sort,
        limit,
        cursor,
        where: [],
      }
      return request.tenant(sql => page(sql, options)).then(reply.json)
    },
  )

  app.post(
    '/api/legal-holds',
    {
      schema: {
        tags,
        operationId: 'placeLegalHold',
        summary: 'Place a legal hold, which keeps everything',
        description:
          'While any hold is unreleased, nothing of the organization is permanently removed: neither deleted items, nor old events, nor the organization itself after its deletion.',
        'x-problems': [...constraintsOf('legal_holds')],
        'x-permission': 'retention.manage',
        headers: IdempotencyKey,
        body: Strict({ reason: Reason }, { title: 'NewLegalHold' }),
        response: { 201: answer('Placed', LegalHold, 'Location') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<Answer[]>`select status, body, location from app.place_legal_hold(${request.body.reason})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/legal-holds/:id',
    {
      schema: {
        tags,
        operationId: 'readLegalHold',
        summary: 'Read a legal hold',
        description: 'Holds are kept as long as the organization.',
        'x-permission': 'audit.read',
        params: IdParams,
        response: { 200: answer('The hold', LegalHold) },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.read_legal_hold(${request.params.id})`)
        .then(reply.json),
  )

  app.post(
    '/api/legal-holds/:id/release',
    {
      schema: {
        tags,
        operationId: 'releaseLegalHold',
        summary: 'Release a legal hold',
        description:
          'Without another hold, whatever is past its retention is removed at the next cleanup. Only the operator can release the operator’s holds.',
        'x-problems': ['legal_hold_released', 'legal_hold_not_yours'],
        'x-permission': 'retention.manage',
        params: IdParams,
        headers: IdempotencyKey,
        response: { 200: answer('Released', LegalHold) },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.release_legal_hold(${request.params.id})`)
        .then(reply.json),
  )
}
