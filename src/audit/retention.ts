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
    placed_by: Nullable(Type.String({ ...Id, description: 'Null for those who run the service' })),
    placed_at: Timestamp,
    released_by: Nullable(Id),
    released_at: Nullable(Timestamp),
  },
  { title: 'LegalHold' },
)
const sorts = { placed_at: 'timestamptz' } as const
const tags = ['retention']

/** How long what was deleted can be restored, and what keeps everything. */
export async function retentionRoutes(app: App) {
  app.get(
    '/api/retention',
    {
      schema: {
        tags,
        operationId: 'readRetention',
        summary: 'Read for how many days what was deleted is kept',
        description:
          'It is 30, unless the organization has decided otherwise. Until then it can be restored.',
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
        summary: 'Decide for how many days what was deleted is kept, 1 to 3650',
        description:
          'Counts for what is deleted already, too: what is older goes for good at the next clean-up, at night.',
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
        summary: 'List legal holds, released ones too',
        description: 'The newest first, if not sorted otherwise.',
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
        summary: 'Keep everything until further notice',
        description:
          'As long as there is a hold that is not released, nothing of the organization is deleted for good: neither what was deleted, nor old events, nor the organization itself after its deletion.',
        'x-problems': [...constraintsOf('legal_holds')],
        'x-permission': 'retention.manage',
        headers: IdempotencyKey,
        body: Strict({ reason: Reason }, { title: 'NewLegalHold' }),
        response: { 201: answer('Held', LegalHold, 'Location') },
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
        description: 'Holds stay as long as the organization does.',
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
          'Without another hold, what is older than its retention goes at the next clean-up. What those who run the service have placed, only they release.',
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
