import { Type } from '@sinclair/typebox'
import {
  CategoryFigures,
  currencyQuery,
  FinanceFigures,
  Freshness,
  monthsQuery,
  periodsQuery,
  ShowFigures,
  ShowProfits,
} from './shapes.ts'
import { Dashboard } from './dashboard-shapes.ts'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey } from '../http/openapi/openapi.ts'
import { ListQuery, ShortList, Strict } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

const tags = ['analytics']
const money = {
  tags,
  'x-permission': 'finance.read',
  'x-problems': ['analytics_range'],
}
const rules =
  'Void and deleted records do not count. Without `currency` all amounts are in the base currency, each at its own rate; those entered while the books were kept in another currency stay in that, as separate items. Also requires `analytics.read`.'

/** Sums and counts, computed by the worker: see db/schema/analytics/rollups.sql. */
export async function analyticsRoutes(app: App) {
  app.get(
    '/api/analytics/finance',
    {
      schema: {
        ...money,
        operationId: 'readFinanceFigures',
        summary: 'Read income, expenses and profit by period',
        description: `By booking date, in whole months. ${rules}`,
        querystring: Strict({ ...periodsQuery, ...currencyQuery }),
        response: { 200: answer('Money by period', FinanceFigures) },
      },
    },
    (request, reply) => {
      const { period = 'month', from = null, to = null, currency = null } = request.query
      return request
        .analytics(
          sql =>
            sql<Answer[]>`
            select status, body from app.finance_figures(${period}, ${from}::text::date, ${to}::text::date, ${currency})`,
        )
        .then(reply.json)
    },
  )

  app.get(
    '/api/analytics/finance/categories',
    {
      schema: {
        ...money,
        operationId: 'readCategoryFigures',
        summary: 'Read totals by category',
        description: `By booking date, in whole months. ${rules}`,
        querystring: Strict({ ...monthsQuery, ...currencyQuery }),
        response: { 200: answer('Money by category', CategoryFigures) },
      },
    },
    (request, reply) => {
      const { from = null, to = null, currency = null } = request.query
      return request
        .analytics(
          sql =>
            sql<Answer[]>`
            select status, body from app.category_figures(${from}::text::date, ${to}::text::date, ${currency})`,
        )
        .then(reply.json)
    },
  )

  app.get(
    '/api/analytics/finance/shows',
    {
      schema: {
        ...money,
        operationId: 'readShowProfits',
        summary: 'Read profit and loss by show',
        description: `By date of the show, latest first, at most \`limit\` items; for earlier ones use an earlier \`to\`. Records of deleted shows do not count here. Also requires \`shows.read\`. ${rules}`,
        querystring: Strict({ ...monthsQuery, ...currencyQuery, limit: ListQuery.limit }),
        response: { 200: answer('Money by show', ShowProfits) },
      },
    },
    (request, reply) => {
      const { from = null, to = null, currency = null, limit = 50 } = request.query
      return request
        .analytics(
          sql =>
            sql<Answer[]>`
            select status, body from app.show_profits(${from}::text::date, ${to}::text::date, ${currency}, ${limit})`,
        )
        .then(reply.json)
    },
  )

  app.get(
    '/api/analytics/shows',
    {
      schema: {
        tags,
        operationId: 'readShowFigures',
        summary: 'Read the number of shows, and what becomes of them',
        description: 'By date of the show, in whole months. Deleted shows do not count.',
        'x-permission': 'analytics.read',
        'x-problems': ['analytics_range'],
        querystring: Strict(periodsQuery),
        response: { 200: answer('Shows by period', ShowFigures) },
      },
    },
    (request, reply) => {
      const { period = 'month', from = null, to = null } = request.query
      return request
        .analytics(
          sql =>
            sql<
              Answer[]
            >`select status, body from app.show_figures(${period}, ${from}::text::date, ${to}::text::date)`,
        )
        .then(reply.json)
    },
  )

  app.get(
    '/api/analytics/dashboard',
    {
      schema: {
        tags,
        operationId: 'readDashboard',
        summary: 'Read the key figures',
        description:
          'Money and shows of this month and this year, what is unpaid, and upcoming shows, as of the day given; activity, API calls, imports and exports of the last 30 days. The numbers are those of `/api/analytics/finance`, `/shows`, `/activity` and `/integrations` for the same days. Money is null without `finance.read`.',
        'x-permission': 'analytics.read',
        response: { 200: answer('The dashboard; its parts are null until first computed', Dashboard) },
      },
    },
    (request, reply) =>
      request.analytics(sql => sql<Answer[]>`select status, body from app.read_dashboard()`).then(reply.json),
  )

  app.get(
    '/api/analytics/refresh',
    {
      schema: {
        tags,
        operationId: 'readFreshness',
        summary: 'Read how old the figures are',
        description: 'For each view, the moment it represents, and whether you have changed anything since.',
        'x-permission': 'analytics.read',
        response: { 200: answer('By view', ShortList(Freshness)) },
      },
    },
    (request, reply) =>
      request.analytics(sql => sql<Answer[]>`select status, body from app.read_freshness()`).then(reply.json),
  )

  app.post(
    '/api/analytics/refresh',
    {
      schema: {
        tags,
        operationId: 'refreshFigures',
        summary: 'Request a refresh of the figures',
        description:
          'Changes are computed within seconds anyway. `GET` shows the progress. After they were computed, an organization’s figures pause for twenty times as long as that took, at most ten minutes.',
        'x-permission': 'analytics.refresh',
        headers: IdempotencyKey,
        response: { 202: answer('Accepted', RefreshAsked) },
      },
    },
    (request, reply) =>
      request.tenant(sql => sql<Answer[]>`select status, body from app.ask_for_refresh()`).then(reply.json),
  )
}

const RefreshAsked = Strict(
  {
    status_url: Type.Literal('/api/analytics/refresh', {
      description: 'Where to see the progress',
      examples: ['/api/analytics/refresh'],
    }),
  },
  { title: 'RefreshAsked' },
)
