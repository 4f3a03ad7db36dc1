import type { App } from '../http/fastify.ts'
import { answer } from '../http/openapi/openapi.ts'
import { Strict } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { permission } from './activity.ts'
import { range } from './activity-shapes.ts'
import { Use } from './integration-shapes.ts'

/** Usage figures: see db/schema/analytics/use_figures.sql. `delay`: how late counts are written, in seconds. */
export async function integrationRoutes(app: App, { delay }: { delay: number }) {
  app.get(
    '/api/analytics/integrations',
    {
      schema: {
        tags: ['analytics'],
        operationId: 'readIntegrations',
        summary: 'Read how much the API, imports and calendar feeds are used',
        description:
          'By UTC day, at most 367 of them. Counts are written with a few seconds’ delay: `is_current` is true for days that are over.',
        ...permission,
        querystring: Strict(range),
        response: { 200: answer('Usage', Use) },
      },
    },
    (request, reply) => {
      const { from = null, to = null } = request.query
      return request
        .analytics(
          sql =>
            sql<
              Answer[]
            >`select status, body from app.use_figures(${from}::text::date, ${to}::text::date, ${delay})`,
        )
        .then(reply.json)
    },
  )
}
