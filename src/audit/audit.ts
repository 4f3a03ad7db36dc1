import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { type Filters, listed } from '../tenant/list.ts'
import { Count, Id, IdParams, ListQuery, Nullable, Page, Strict, Timestamp } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { Event, events } from './shapes.ts'

const Seq = (description: string, example: number) =>
  Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    format: 'int64',
    description,
    examples: [example],
  })
const Verification = Strict(
  {
    ok: Type.Boolean(),
    checked: Seq('Number of seals checked', 1204),
    unsealed: Seq('Events not sealed yet', 2),
    head: Nullable(
      Strict({
        seq: Seq('Number of the newest seal', 1204),
        hash: Type.String({
          maxLength: 64,
          pattern: '^[0-9a-f]{64}$',
          description: 'Record it elsewhere: npm run audit:verify -- --head seq:hash then detects truncation',
          examples: ['5f0c3b9e5f0c4b9e9f0c3b9e5f0c4b9e9f0c3b9e5f0c4b9e9f0c3b9e5f0c4b9e'],
        }),
        sealed_at: Timestamp,
      }),
    ),
    purged_before: Nullable(Timestamp),
    next_after: Nullable(Seq('`after` for the rest of the log; null at its end', 100_000)),
    problem: Nullable(
      Strict({
        kind: Type.String({
          enum: ['changed', 'missing', 'erased', 'seal_changed', 'seal_missing', 'cut_off', 'rewritten'],
        }),
        seq: Seq('Position in the chain', 17),
        event_id: Nullable(Id),
        occurred_at: Nullable(Timestamp),
      }),
    ),
  },
  { title: 'Verification' },
)
const Retention = Strict({ days: Count(1, 365) }, { title: 'EventRetention' })

const VerifyQuery = Strict({
  after: Type.Optional(Seq('next_after of the previous answer', 100_000)),
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 100_000,
      format: 'int32',
      description: 'Maximum number of seals; 100000 by default',
      examples: [100_000],
    }),
  ),
})
const tags = ['audit']

/** The event log of the organization. Reading it is an event, too. */
export async function auditRoutes(app: App) {
  app.get(
    '/api/audit/events',
    {
      schema: {
        tags,
        operationId: 'listEvents',
        summary: 'List events, newest first',
        description: 'Multiple filters must all match. Reading the list is an event, too.',
        'x-permission': 'audit.read',
        querystring: Strict({ ...ListQuery, ...events.filters }),
        response: { 200: answer('Events', Page(Event), 'Link') },
      },
    },
    (request, reply) => {
      // The page is not a filter.
      const { actor_id, action, resource_type, resource_id, from, to } = request.query as Filters
      const given = { actor_id, action, resource_type, resource_id, from, to }
      return request
        .audited(
          sql => sql`select app.log_reading('audit.read', null, ${sql.json(given as never)})`,
          sql => listed(sql, events, request.query),
        )
        .then(reply.json)
    },
  )

  app.get(
    '/api/audit/events/:id',
    {
      schema: {
        tags,
        operationId: 'readEvent',
        summary: 'Read an event',
        description: 'As long as the organization keeps it.',
        'x-permission': 'audit.read',
        params: IdParams,
        response: { 200: answer('The event', Event) },
      },
    },
    (request, reply) =>
      request
        .audited(
          sql => sql`select app.log_reading('audit.read', ${request.params.id})`,
          sql => sql<Answer[]>`select status, body from app.read_event(${request.params.id})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/audit/verify',
    {
      schema: {
        tags,
        operationId: 'verifyEvents',
        summary: 'Check the event log against its seals',
        description:
          'Finds the first event that was changed or removed after it was sealed, which happens a minute after it occurred. A log of more than `limit` events is checked in parts: continue with `next_after`.',
        'x-permission': 'audit.read',
        querystring: VerifyQuery,
        response: { 200: answer('The result', Verification) },
      },
    },
    (request, reply) => {
      const { after = 0, limit = 100_000 } = request.query
      return request
        .audited(
          sql => sql`select app.log_reading('audit.verify')`,
          sql => sql<Answer[]>`select status, body from app.verify_own_events(${after}, ${limit})`,
        )
        .then(reply.json)
    },
  )

  app.get(
    '/api/audit/retention',
    {
      schema: {
        tags,
        operationId: 'readEventRetention',
        summary: 'Read for how many days events are kept',
        description: 'Days: 365, unless the organization has set another number.',
        'x-permission': 'audit.read',
        response: { 200: answer('The retention', Retention) },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.read_event_retention()`)
        .then(reply.json),
  )

  app.put(
    '/api/audit/retention',
    {
      schema: {
        tags,
        operationId: 'setEventRetention',
        summary: 'Set for how many days events are kept, 90 to 3650',
        description: 'Older events are deleted at the next cleanup, which is logged.',
        'x-problems': [...constraintsOf('event_retentions')],
        'x-permission': 'audit.manage',
        body: Retention,
        response: { 200: answer('The retention', Retention) },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.set_event_retention(${request.body.days})`)
        .then(reply.json),
  )
}
