import { Type } from '@sinclair/typebox'
import { monthsQuery } from './shapes.ts'
import type { App } from '../http/fastify.ts'
import { type Report, renderReport, reportPolicy } from './report/report.ts'
import { Strict } from '../http/schemas.ts'
import { type Answer, only } from '../tenant/answer.ts'

/** The figures as a printable page: see db/schema/analytics/report.sql. */
export async function reportRoutes(app: App) {
  app.get(
    '/api/analytics/report',
    {
      schema: {
        tags: ['analytics'],
        operationId: 'readReport',
        summary: 'Read the report as a printable page',
        description:
          'Money by month, shows by status and activity by day, as in `/api/analytics/finance`, `/shows` and `/activity`, with plots. Whole months; activity for at most the last 367 days. Without `finance.read` it has no money.',
        'x-permission': 'analytics.read',
        'x-problems': ['analytics_range'],
        querystring: Strict(monthsQuery),
        response: {
          200: {
            description: 'The report',
            headers: {},
            content: {
              'text/html': {
                schema: Type.String({
                  maxLength: 10_000_000,
                  pattern: '^<!doctype html>[^\\u0000]*$',
                  description: 'A self-contained page without scripts',
                  examples: ['<!doctype html><title>Northlight Touring, 2027-01-01 to 2027-12-31</title>'],
                }),
              },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const { from = null, to = null } = request.query
      const rows = await request.analytics(
        sql => sql<Answer[]>`select status, body from app.report(${from}::text::date, ${to}::text::date)`,
      )
      const page = await renderReport(JSON.parse(only(rows).body ?? '{}') as Report)
      return reply.header('content-security-policy', reportPolicy).type('text/html; charset=utf-8').send(page)
    },
  )
}
