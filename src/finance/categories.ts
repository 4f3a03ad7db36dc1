import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { page } from '../tenant/list.ts'
import {
  Deleted,
  FinanceKind,
  Id,
  IdParams,
  inBin,
  Line,
  ListQuery,
  Page,
  sortBy,
  Strict,
  Timestamp,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

const fields = { kind: FinanceKind, name: Line('Lighting') }
const NewCategory = Strict(fields, { title: 'NewFinanceCategory' })
const Category = Strict(
  { id: Id, ...fields, created_at: Timestamp, updated_at: Timestamp, ...inBin },
  { title: 'FinanceCategory' },
)
const sorts = { name: 'text' } as const
const tags = ['finance']
const problems = [...constraintsOf('finance_categories'), 'finance_category_name_taken']

/** What income and expenses are for. */
export async function financeCategoryRoutes(app: App) {
  app.get(
    '/api/finance-categories',
    {
      schema: {
        tags,
        operationId: 'listFinanceCategories',
        summary: 'List categories',
        description: 'By name. An organization begins with the usual ones.',
        'x-permission': 'finance.read',
        querystring: Strict({
          ...ListQuery,
          kind: Type.Optional(FinanceKind),
          sort: Type.Optional(sortBy(sorts)),
          deleted: Deleted,
        }),
        response: { 200: answer('Categories', Page(Category), 'Link') },
      },
    },
    (request, reply) => {
      const { limit, cursor, kind, deleted, sort = 'name' } = request.query
      return request
        .tenant(sql => {
          const where = [kind === undefined ? undefined : sql`kind = ${kind}`]
          const from = 'finance_category_list'
          const bin = { deleted, permission: 'finance.delete' }
          return page(sql, { from, permission: 'finance.read', bin, sorts, sort, limit, cursor, where })
        })
        .then(reply.json)
    },
  )

  app.post(
    '/api/finance-categories',
    {
      schema: {
        tags,
        operationId: 'createFinanceCategory',
        summary: 'Add a category',
        description: 'Names are unique among those of a kind.',
        'x-problems': problems,
        'x-permission': 'finance.write',
        headers: IdempotencyKey,
        body: NewCategory,
        response: { 201: answer('Created', Category, 'ETag', 'Location') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag, location from app.create_finance_category(${sql.json(request.body)})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/finance-categories/:id',
    {
      schema: {
        tags,
        operationId: 'readFinanceCategory',
        summary: 'Read a category',
        description: 'With its version as ETag.',
        'x-permission': 'finance.read',
        params: IdParams,
        response: { 200: answer('The category', Category, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<Answer[]>`select status, body, etag from app.read_finance_category(${request.params.id})`,
        )
        .then(reply.json),
  )

  app.patch(
    '/api/finance-categories/:id',
    {
      schema: {
        tags,
        operationId: 'renameFinanceCategory',
        summary: 'Rename a category',
        description: 'In all records that have it.',
        'x-problems': problems,
        'x-permission': 'finance.write',
        params: IdParams,
        headers: IfMatch,
        body: Strict({ name: fields.name }, { title: 'FinanceCategoryName' }),
        response: { 200: answer('The category', Category, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.rename_finance_category(${request.params.id}, ${request.body.name}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.delete(
    '/api/finance-categories/:id',
    {
      schema: {
        tags,
        operationId: 'deleteFinanceCategory',
        summary: 'Delete a category until it is restored',
        description: 'One that no record has.',
        'x-problems': ['finance_records_category_exists'],
        'x-permission': 'finance.delete',
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
            >`select status, body from app.delete_finance_category(${request.params.id}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/finance-categories/:id/restore',
    {
      schema: {
        tags,
        operationId: 'restoreFinanceCategory',
        summary: 'Bring back a deleted category',
        description: 'Unless another one has taken its name.',
        'x-problems': ['finance_category_name_taken'],
        'x-permission': 'finance.delete',
        params: IdParams,
        headers: IdempotencyKey,
        response: { 200: answer('The category', Category, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<Answer[]>`select status, body, etag from app.restore_finance_category(${request.params.id})`,
        )
        .then(reply.json),
  )
}
