import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { type Filters, instant, list, listed } from '../tenant/list.ts'
import { Count, Id, IdParams, Line, ListQuery, Nullable, Page, Strict, Timestamp } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

const Values = (description: string, example: object) =>
  Type.Object({}, { additionalProperties: true, maxProperties: 200, description, examples: [example] })
export const Action = Type.String({
  maxLength: 100,
  pattern: '^[a-z_]+(\\.[a-z_]+)+$',
  description: '`<resource>.<verb>`',
  examples: ['show.update'],
})
const ResourceType = Type.String({ maxLength: 100, pattern: '^[a-z_]+$', examples: ['show'] })
const Event = Strict(
  {
    id: Id,
    occurred_at: Timestamp,
    actor_kind: Type.String({ enum: ['user', 'anonymous', 'system', 'support'] }),
    actor_id: Nullable(Id),
    actor_name: Nullable(Line('Ana Lima')),
    action: Action,
    resource_type: ResourceType,
    resource_id: Nullable(Id),
    changes: Nullable(
      Strict({
        old: Type.Optional(Values('The columns that have changed, as they were', { status: 'inquiry' })),
        new: Type.Optional(Values('The same as they are now', { status: 'hold' })),
      }),
    ),
    request_id: Nullable(
      Type.String({
        maxLength: 100,
        pattern: '^[\\w-]+$',
        examples: ['1c7dd2d5-5c7b-4c0f-9d0c-3e2f4b6f7a10'],
      }),
    ),
    ip: Nullable(Type.String({ maxLength: 45, pattern: '^[0-9a-fA-F.:]+$', examples: ['192.0.2.7'] })),
    session_id: Nullable(Id),
    erased_at: Nullable(Timestamp),
  },
  { title: 'Event' },
)
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
    checked: Seq('How many seals were checked', 1204),
    unsealed: Seq('Events that are not sealed yet', 2),
    head: Nullable(
      Strict({
        seq: Seq('Number of the newest seal', 1204),
        hash: Type.String({
          maxLength: 64,
          pattern: '^[0-9a-f]{64}$',
          description:
            'Note it elsewhere: npm run audit:verify -- --head seq:hash then shows what was cut off',
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
        seq: Seq('Where in the chain', 17),
        event_id: Nullable(Id),
        occurred_at: Nullable(Timestamp),
      }),
    ),
  },
  { title: 'Verification' },
)
const Retention = Strict({ days: Count(1, 365) }, { title: 'EventRetention' })

export const events = list({
  from: 'event_rows',
  permission: 'audit.read',
  item: Event,
  sorts: { occurred_at: instant },
  sort: '-occurred_at',
  filters: {
    actor_id: Id,
    action: Action,
    resource_type: ResourceType,
    resource_id: Id,
    from: Type.String({ ...Timestamp, description: 'Events at this moment and later' }),
    to: Type.String({ ...Timestamp, description: 'Events before this moment' }),
  },
  where: {
    from: (sql, from) => sql`occurred_at >= ${from}::text::timestamptz`,
    to: (sql, to) => sql`occurred_at < ${to}::text::timestamptz`,
  },
})
const VerifyQuery = Strict({
  after: Type.Optional(Seq('next_after of the answer before', 100_000)),
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 100_000,
      format: 'int32',
      description: 'How many seals at most; 100000 if not given',
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
        summary: 'List what happened, the newest first',
        description: 'Filters that are given together must all hold. The list will show that it was read.',
        'x-permission': 'audit.read',
        querystring: Strict({ ...ListQuery, ...events.filters }),
        response: { 200: answer('Events', Page(Event), 'Link') },
      },
    },
    (request, reply) => {
      // Which page of it is no filter.
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
          'Finds the first event that was changed or taken out since it was sealed, which happens a minute after it occurred. A log of more than `limit` events is checked part by part: go on with `next_after`.',
        'x-permission': 'audit.read',
        querystring: VerifyQuery,
        response: { 200: answer('What was found', Verification) },
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
        description: 'It is 365, unless the organization has decided otherwise.',
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
        summary: 'Decide for how many days events are kept, 90 to 3650',
        description: 'Older events are deleted at the next clean-up; that they were is logged.',
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
