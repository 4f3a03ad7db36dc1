import { Type } from '@sinclair/typebox'
import type { App } from '../fastify.ts'
import { answer } from '../openapi.ts'
import { Count, Currency, DateOnly, MinorUnits, Nullable, ShortList, Strict, Timestamp } from '../schemas.ts'
import type { Answer } from '../tenant.ts'

/** What every answer of figures begins with. */
export const fresh = {
  as_of: Nullable(
    Type.String({
      ...Timestamp,
      description: 'The figures are complete up to this moment; null: there are none yet',
    }),
  ),
  is_current: Type.Boolean({
    description: 'Whether the organization has changed nothing since that they would show',
    examples: [true],
  }),
}
export const Period = Type.String({
  enum: ['month', 'quarter', 'year'],
  description: 'What is added up',
  examples: ['quarter'],
})
/** The months that figures are asked for. */
export const monthsQuery = {
  period: Type.Optional(Type.String({ ...Period, description: 'What is added up; month if not given' })),
  from: Type.Optional(
    Type.String({
      ...DateOnly,
      description:
        'A day of the first month; January of the year that `to` is in, or of this one, if not given',
      examples: ['2027-01-01'],
    }),
  ),
  to: Type.Optional(
    Type.String({
      ...DateOnly,
      description: 'A day of the last month; December of the year that `from` is in if not given',
      examples: ['2027-12-31'],
    }),
  ),
}
/** The months that figures are of. */
export const months = {
  period: Period,
  from: Type.String({ ...DateOnly, description: 'First day of the first month', examples: ['2027-01-01'] }),
  to: Type.String({ ...DateOnly, description: 'Last day of the last month', examples: ['2027-12-31'] }),
}
/** A sum of amounts, which may be larger than any of them. */
export const Sum = (description: string, example: number) =>
  Type.Integer({ description, examples: [example] })
const ProfitAndLoss = Strict(
  {
    income_minor: Sum('Income with tax, in the smallest unit of the currency', 4200000),
    expense_minor: Sum('Expenses with tax, in the smallest unit of the currency', 3100000),
    profit_minor: Sum('Income less expenses', 1100000),
    records: Count(0, 12),
  },
  { title: 'ProfitAndLoss' },
)
const FinanceFigures = Strict(
  {
    ...fresh,
    ...months,
    items: Type.Array(
      Strict({
        period_on: Type.String({
          ...DateOnly,
          description: 'First day of the period',
          examples: ['2027-01-01'],
        }),
        currency: Type.String(Currency),
        planned: ProfitAndLoss,
        committed: ProfitAndLoss,
        actual: ProfitAndLoss,
      }),
      {
        maxItems: 10_000,
        description: 'By period and currency; a period in which nothing is booked is left out',
      },
    ),
  },
  { title: 'FinanceFigures' },
)
const Freshness = Strict(
  {
    name: Type.String({ pattern: '^[a-z_]+$', maxLength: 63, examples: ['finance_by_month'] }),
    ...fresh,
  },
  { title: 'Freshness' },
)
const tags = ['analytics']

/** Sums and counts, read from materialized views: see db/schema/rollups.sql. */
export async function analyticsRoutes(app: App) {
  app.get(
    '/api/analytics/finance',
    {
      schema: {
        tags,
        operationId: 'readFinanceFigures',
        summary: 'Read income, expenses and profit by period',
        description:
          'By the day of booking. What is void or deleted does not count. Without `currency` all amounts are converted into the base currency, each by its own rate; those that were entered while the books were kept in another one stay in that, and are items of their own.',
        'x-permission': 'finance.read',
        'x-problems': ['analytics_range'],
        querystring: Strict({
          ...monthsQuery,
          currency: Type.Optional(
            Type.String({ ...Currency, description: 'Only what was entered in it, unconverted' }),
          ),
        }),
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
    '/api/analytics/refresh',
    {
      schema: {
        tags,
        operationId: 'readFreshness',
        summary: 'See how old the figures are',
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
          'What has changed is computed anew within a minute anyway; this does not wait for that. How far it is, `GET` tells. What takes long to compute is not computed more often than twenty times as long lets it.',
        'x-permission': 'analytics.refresh',
        response: {
          202: answer(
            'It will be done',
            Strict(
              {
                look_at: Type.Literal('/api/analytics/refresh', {
                  description: 'Where to see how far it is',
                  examples: ['/api/analytics/refresh'],
                }),
              },
              { title: 'RefreshAsked' },
            ),
          ),
        },
      },
    },
    (request, reply) =>
      request.tenant(sql => sql<Answer[]>`select status, body from app.ask_for_refresh()`).then(reply.json),
  )
}
