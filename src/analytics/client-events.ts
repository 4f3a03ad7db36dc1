import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey } from '../http/openapi/openapi.ts'
import { inOrganization } from '../http/openapi/refusals.ts'
import { Count, Id, noControls, Strict, Timestamp } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

export const ClientEventKind = Type.String({
  title: 'ClientEventKind',
  enum: ['page_view', 'action'],
  examples: ['page_view'],
})
export const ClientEventName = Type.String({
  maxLength: 100,
  pattern: '^[a-z0-9_]+([./-][a-z0-9_]+)*$',
  description: 'Name of the page or action, and not an address with ids in it',
  examples: ['shows/detail'],
})
const Properties = Type.Object(
  {},
  {
    title: 'ClientEventProperties',
    propertyNames: { type: 'string', pattern: '^[a-z][a-z0-9_]*$', maxLength: 40 },
    additionalProperties: Type.Union([
      Type.String({ maxLength: 200, pattern: noControls }),
      Type.Number(),
      Type.Boolean(),
      Type.Null(),
    ]),
    maxProperties: 20,
    description: 'What else is worth knowing, such as how it was sorted; nothing personal',
    examples: [{ view: 'week', filters: 2 }],
  },
)
const ClientEvent = Strict(
  {
    id: Type.String({ ...Id, description: 'Made by the client, and the same when the event is sent again' }),
    kind: ClientEventKind,
    name: ClientEventName,
    occurred_at: Type.Optional(
      Type.String({ ...Timestamp, description: 'Within the last 7 days; now if not given' }),
    ),
    properties: Type.Optional(Properties),
  },
  { title: 'ClientEvent' },
)
const Taken = Strict(
  {
    accepted: Count(0, 1),
    repeated: Type.Integer({ ...Count(0, 0), description: 'Whose id you had sent before' }),
    out_of_time: Type.Integer({
      ...Count(0, 0),
      description: 'Older than 7 days, or ahead by more than 5 minutes: not kept',
    }),
  },
  { title: 'TakenClientEvents' },
)

/** What programs tell of their users: page views and actions, for analytics. */
export async function clientEventRoutes(app: App) {
  app.post(
    '/api/events',
    {
      schema: {
        tags: ['analytics'],
        operationId: 'recordClientEvents',
        summary: 'Tell what you look at and click',
        description:
          'Page views and actions in a program that uses the API, up to 100 at a time, counted in `GET /api/analytics/activity` and kept for 90 days. What you change through the API is known already.',
        'x-problems': inOrganization,
        headers: IdempotencyKey,
        body: Strict(
          { events: Type.Array(ClientEvent, { minItems: 1, maxItems: 100 }) },
          { title: 'ClientEvents' },
        ),
        response: { 202: answer('How many of them were taken', Taken) },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body from app.record_client_events(${sql.json(request.body.events as never)})`,
        )
        .then(reply.json),
  )
}
