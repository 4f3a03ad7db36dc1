import { Type } from '@sinclair/typebox'
import {
  CategoryFigures,
  currencyQuery,
  Dashboard,
  FinanceFigures,
  Freshness,
  monthsQuery,
  periodsQuery,
  ShowFigures,
  ShowProfits,
} from './shapes.ts'
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
const whatCounts =
  'What is void or deleted does not count. Without `currency` all amounts are in the base currency, each by its own rate; those that were entered while the books were kept in another one stay in that, as items of their own. It needs `analytics.read`, too.'

/** Sums and counts, read from materialized views: see db/schema/analytics/rollups.sql. */
export async function analyticsRoutes(app: App) {
  app.get(
    '/api/analytics/finance',
    {
      schema: {
        ...money,
        operationId: 'readFinanceFigures',
        summary: 'Read income, expenses and profit by period',
        description: `By the day of booking, of whole months. ${whatCounts}`,
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
        summary: 'Read what was booked by category',
        description: `By the day of booking, of whole months. ${whatCounts}`,
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
        description: `By the day of the show, the latest first; there are as many items as asked for at most, and earlier ones with an earlier \`to\`. What is booked for a deleted show does not count here. It takes \`shows.read\`, too. ${whatCounts}`,
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
        summary: 'Read how many shows there are, and what becomes of them',
        description: 'By the day of the show, of whole months. What is deleted does not count.',
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
        summary: 'Read the most important figures',
        description:
          'This month and this year, what is open, and the shows to come, of the day that it says. Money is null without `finance.read`.',
        'x-permission': 'analytics.read',
        response: { 200: answer('The dashboard; before it was ever computed its parts are null', Dashboard) },
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
        summary: 'See how old the figures are',
        description: 'Of each view, of what moment it is, and whether you have changed anything since.',
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
        summary: 'Have the figures brought up to date',
        description:
          'What has changed is computed anew within a minute anyway; this does not wait for that. How far it is, `GET` tells. Figures that take long to compute rest afterwards: twenty times as long, and ten minutes at most.',
        'x-permission': 'analytics.refresh',
        headers: IdempotencyKey,
        response: { 202: answer('It will be done', RefreshAsked) },
      },
    },
    (request, reply) =>
      request.tenant(sql => sql<Answer[]>`select status, body from app.ask_for_refresh()`).then(reply.json),
  )
}

const RefreshAsked = Strict(
  {
    status_url: Type.Literal('/api/analytics/refresh', {
      description: 'Where to see how far it is',
      examples: ['/api/analytics/refresh'],
    }),
  },
  { title: 'RefreshAsked' },
)
