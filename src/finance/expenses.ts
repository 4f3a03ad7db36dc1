import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch, OnceIfMatch } from '../http/openapi/openapi.ts'
import { Id, IdParams, Line, ListQuery, Page, ShortList, Strict } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { listed } from '../tenant/list.ts'
import { entering, Expense, ExpenseChange, expenses, NewExpense, Reason } from './expense-shapes.ts'
import { ExchangeRate } from './shapes.ts'

const deciding = { tags: entering.tags, 'x-permission': 'finance.write' }
const entered = ['expenses_category_exists', 'expenses_itinerary_exists', 'expenses_spent_on_range']
const ranges = ['expenses_amount_range', 'expenses_currency_exists', 'expenses_purpose_length']
const one = { params: IdParams, response: { 200: answer('The expense', Expense, 'ETag') } }

/** Expenses that members have paid themselves. */
export async function expenseRoutes(app: App) {
  app.get(
    '/api/expense-categories',
    {
      schema: {
        ...entering,
        operationId: 'listExpenseCategories',
        summary: 'List the categories of expenses',
        description: 'By name, for those who enter expenses and do not see the books.',
        response: {
          200: answer(
            'Categories',
            ShortList(Strict({ id: Id, name: Line('Travel') }, { title: 'ExpenseCategory' })),
          ),
        },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.list_expense_categories()`)
        .then(reply.json),
  )

  app.get(
    '/api/expenses',
    {
      schema: {
        ...entering,
        operationId: 'listExpenses',
        summary: 'List expenses',
        description: 'Your own and, with `finance.read`, which is enough, those of everybody. By day.',
        querystring: Strict({ ...ListQuery, ...expenses.filters }),
        response: { 200: answer('Expenses', Page(Expense), 'Link') },
      },
    },
    (request, reply) => request.tenant(sql => listed(sql, expenses, request.query)).then(reply.json),
  )

  app.post(
    '/api/expenses',
    {
      schema: {
        ...entering,
        operationId: 'createExpense',
        summary: 'Enter an expense that you have paid',
        description: 'As a draft. Add its receipt, and submit it.',
        'x-problems': [...entered, ...ranges],
        headers: IdempotencyKey,
        body: NewExpense,
        response: { 201: answer('Created', Expense, 'ETag', 'Location') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag, location from app.create_expense(${sql.json(request.body)})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/expenses/:id',
    {
      schema: {
        ...entering,
        operationId: 'readExpense',
        summary: 'Read an expense',
        description: 'Your own or, with `finance.read`, anybody’s.',
        ...one,
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body, etag from app.read_expense(${request.params.id})`)
        .then(reply.json),
  )

  app.patch(
    '/api/expenses/:id',
    {
      schema: {
        ...entering,
        operationId: 'updateExpense',
        summary: 'Change some fields of an expense of your own',
        description: 'Omitted fields stay as they are. Only a draft, and what was rejected, can be changed.',
        'x-problems': [...entered, ...ranges, 'expense_not_open', 'currency_needs_amounts'],
        ...one,
        headers: IfMatch,
        body: ExpenseChange,
      },
    },
    (request, reply) => {
      const { params, body, headers } = request
      return request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag from app.write_expense(${params.id}, ${sql.json(body)}, ${headers['if-match'] ?? null})`,
        )
        .then(reply.json)
    },
  )

  app.delete(
    '/api/expenses/:id',
    {
      schema: {
        ...entering,
        operationId: 'deleteExpense',
        summary: 'Delete an expense of your own',
        description: 'Unless it is approved. It can be restored, with its receipt.',
        'x-problems': ['expense_not_open'],
        params: IdParams,
        headers: IfMatch,
        response: { 204: answer('Deleted') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body from app.delete_expense(${request.params.id}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/expenses/:id/restore',
    {
      schema: {
        ...entering,
        operationId: 'restoreExpense',
        summary: 'Restore a deleted expense of your own',
        description: 'As it was.',
        'x-problems': ['parent_deleted'],
        ...one,
        headers: IdempotencyKey,
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`select status, body, etag from app.restore_expense(${request.params.id})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/expenses/:id/submit',
    {
      schema: {
        ...entering,
        operationId: 'submitExpense',
        summary: 'Submit an expense of your own',
        description: 'From then on it cannot be changed, unless it is rejected.',
        'x-problems': ['expense_not_open'],
        ...one,
        headers: OnceIfMatch,
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag from app.submit_expense(${request.params.id}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/expenses/:id/approve',
    {
      schema: {
        ...deciding,
        operationId: 'approveExpense',
        summary: 'Approve an expense',
        description:
          'Enters it in the books as an actual, unpaid finance record: on its day or, if that month is closed, on the first day of the next open one. Nobody approves their own, an owner neither, while somebody else in the organization holds `finance.read` and `finance.write`; who does it alone is seen in `is_self_approved`.',
        'x-problems': [
          'expense_not_submitted',
          'expense_is_own',
          'expense_exchange_rate_needed',
          'finance_records_exchange_rate_of_base',
          'finance_records_category_exists',
          'finance_records_itinerary_exists',
          'finance_records_exchange_rate_range',
          'finance_records_base_amount_range',
        ],
        ...one,
        headers: OnceIfMatch,
        body: Strict({ exchange_rate: Type.Optional(ExchangeRate) }, { title: 'ExpenseApproval' }),
      },
    },
    (request, reply) => {
      const { params, body, headers } = request
      return request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag from app.approve_expense(${params.id}, ${body.exchange_rate ?? null}, ${headers['if-match'] ?? null})`,
        )
        .then(reply.json)
    },
  )

  app.post(
    '/api/expenses/:id/reject',
    {
      schema: {
        ...deciding,
        operationId: 'rejectExpense',
        summary: 'Reject an expense',
        description: 'Whose it is sees why, may change it and submit it again.',
        'x-problems': ['expense_not_submitted', 'expense_is_own', 'expenses_reason_length'],
        ...one,
        headers: OnceIfMatch,
        body: Strict({ reason: Reason }, { title: 'ExpenseRejection' }),
      },
    },
    (request, reply) => {
      const { params, body, headers } = request
      return request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag from app.reject_expense(${params.id}, ${body.reason}, ${headers['if-match'] ?? null})`,
        )
        .then(reply.json)
    },
  )
}
