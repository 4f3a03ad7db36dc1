import { Type } from '@sinclair/typebox'
import { Activity, range } from './activity-shapes.ts'
import type { App } from '../http/fastify.ts'
import { answer } from '../http/openapi/openapi.ts'
import { Id, Strict } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { Action } from '../audit/shapes.ts'

const tags = ['analytics']
/** What reading them requires. */
export const permission = { 'x-permission': 'analytics.read', 'x-problems': ['analytics_range'] }

/** What members do: see db/schema/analytics/activity.sql. */
export async function activityRoutes(app: App) {
  app.get(
    '/api/analytics/activity',
    {
      schema: {
        tags,
        operationId: 'readActivity',
        summary: 'Read activity by day, week, action, day and action, and member',
        description:
          'Counts of the event log, as far back as that is kept, and what clients reported. At most 367 days. `user_id` and `action` filter; actions are those of the event log, so `action` does not filter `client_events`.',
        ...permission,
        querystring: Strict({ ...range, user_id: Type.Optional(Id), action: Type.Optional(Action) }),
        response: { 200: answer('Activity', Activity) },
      },
    },
    (request, reply) => {
      const { from = null, to = null, user_id = null, action = null } = request.query
      return request
        .analytics(
          sql => sql<Answer[]>`
            select status, body from app.activity_figures(${from}::text::date, ${to}::text::date, ${user_id}, ${action})`,
        )
        .then(reply.json)
    },
  )
}
