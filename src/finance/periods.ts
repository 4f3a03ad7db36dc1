import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer } from '../http/openapi/openapi.ts'
import { page } from '../tenant/list.ts'
import {
  Currency,
  Id,
  Line,
  ListQuery,
  Nullable,
  Page,
  ShortList,
  sortBy,
  Strict,
  Timestamp,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

const Month = Type.String({
  pattern: '^(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])$',
  maxLength: 7,
  description: 'YYYY-MM',
  examples: ['2027-03'],
})
const MonthParams = Strict({ month: Month })
const Period = Strict(
  { month: Month, closed_at: Timestamp, closed_by: Nullable(Id) },
  { title: 'FinancePeriod' },
)
const KnownCurrency = Strict(
  {
    code: Type.String({ ...Currency, examples: ['JPY'] }),
    name: Line('Yen'),
    minor_digits: Type.Integer({
      minimum: 0,
      maximum: 4,
      format: 'int32',
      description: 'Decimals of an amount: `amount_minor` is the amount without its decimal point',
      examples: [0],
    }),
  },
  { title: 'Currency' },
)
const sorts = { month: 'date' } as const
const tags = ['finance']

/** Months whose books are closed, and the currencies. */
export async function financePeriodRoutes(app: App) {
  app.get(
    '/api/finance-periods',
    {
      schema: {
        tags,
        operationId: 'listFinancePeriods',
        summary: 'List closed months',
        description: 'A month that is not in the list is open.',
        'x-permission': 'finance.read',
        querystring: Strict({ ...ListQuery, sort: Type.Optional(sortBy(sorts)) }),
        response: { 200: answer('Closed months', Page(Period), 'Link') },
      },
    },
    (request, reply) => {
      const { limit, cursor, sort = 'month' } = request.query
      return request
        .tenant(sql =>
          page(sql, {
            from: 'finance_period_list',
            permission: 'finance.read',
            sorts,
            sort,
            limit,
            cursor,
            where: [],
          }),
        )
        .then(reply.json)
    },
  )

  app.put(
    '/api/finance-periods/:month',
    {
      schema: {
        tags,
        operationId: 'closeFinancePeriod',
        summary: 'Close the books of a month',
        description:
          'From then on its records cannot be entered, changed, deleted or restored: 409 `period_closed`.',
        'x-permission': 'finance.close',
        params: MonthParams,
        response: { 200: answer('The closed month', Period) },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<Answer[]>`select status, body from app.close_period(app.month_of(${request.params.month}))`,
        )
        .then(reply.json),
  )

  app.delete(
    '/api/finance-periods/:month',
    {
      schema: {
        tags,
        operationId: 'reopenFinancePeriod',
        summary: 'Reopen the books of a month',
        description: 'The event log keeps who closed it and who reopened it.',
        'x-permission': 'finance.close',
        params: MonthParams,
        response: { 204: answer('Reopened') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<Answer[]>`select status, body from app.reopen_period(app.month_of(${request.params.month}))`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/currencies',
    {
      schema: {
        tags,
        operationId: 'listCurrencies',
        summary: 'List currencies',
        description: 'All ISO 4217 currencies that money is kept in, with their decimals.',
        'x-permission': 'finance.read',
        response: { 200: answer('Currencies', ShortList(KnownCurrency)) },
      },
    },
    (request, reply) =>
      request.tenant(sql => sql<Answer[]>`select status, body from app.list_currencies()`).then(reply.json),
  )
}
