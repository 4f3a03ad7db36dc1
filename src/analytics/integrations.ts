import { Type } from '@sinclair/typebox'
import { fresh } from './shapes.ts'
import type { App } from '../http/fastify.ts'
import { answer } from '../http/openapi/openapi.ts'
import { Line, Nullable, Strict, Timestamp } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { Day, days, List, permission, range, Tally } from './activity.ts'

const used = {
  calls: Tally('How often it was used', 12),
  errors: Tally('How often it failed', 1),
  rows: Tally('Rows imported or exported', 340),
  bytes: Tally('Bytes imported or exported', 51_200),
}
const IntegrationKind = Type.String({
  title: 'IntegrationKind',
  enum: ['import', 'export', 'calendar_feed', 'bi', 'webhook'],
  examples: ['import'],
})
const calls = {
  calls: Tally('Number of calls', 840),
  errors: Tally('Answered with a status of 400 or above', 12),
  server_errors: Tally('Of these, 500 or above', 0),
  mean_us: Nullable(Tally('Average duration in microseconds', 4200)),
  slowest_us: Nullable(Tally('Longest duration in microseconds', 61_000)),
  within_10_ms: Tally('Calls that took at most 10 ms', 800),
  within_100_ms: Tally('Calls that took at most 100 ms', 840),
  within_1_s: Tally('Calls that took at most a second', 840),
  bytes_in: Tally('Bytes of the requests, including headers', 410_000),
  bytes_out: Tally('Bytes of the answers, including headers', 2_900_000),
}
const Use = Strict(
  {
    ...fresh,
    ...days,
    integrations: List(
      Strict(
        {
          kind: IntegrationKind,
          name: Type.String({ ...Line('bank'), description: 'Which one, such as the source of an import' }),
          ...used,
          last_at: Timestamp,
        },
        { title: 'IntegrationUse' },
      ),
      'By kind and name',
    ),
    integrations_by_day: List(
      Strict({ day: Day('UTC'), kind: IntegrationKind, ...used }, { title: 'IntegrationUseOfDay' }),
      'Days without any are omitted',
    ),
    api: Strict(
      {
        totals: Strict(calls, { title: 'ApiUse' }),
        by_day: List(
          Strict({ day: Day('UTC'), ...calls }, { title: 'ApiUseOfDay' }),
          'Days without any are omitted',
        ),
        by_operation: List(
          Strict(
            {
              operation: Type.String({
                maxLength: 100,
                pattern: '^[A-Za-z][A-Za-z0-9]*$',
                description: 'operationId in this document',
                examples: ['listShows'],
              }),
              ...calls,
            },
            { title: 'ApiUseOfOperation' },
          ),
          'Most frequent first',
        ),
      },
      { title: 'ApiUseFigures', description: 'Calls by members with a token, not by superadmins' },
    ),
  },
  { title: 'Integrations' },
)
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
