import { type TSchema, Type } from '@sinclair/typebox'
import type { JSONValue } from 'postgres'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { page, type SortType } from '../tenant/list.ts'
import {
  Deleted,
  Id,
  IdParams,
  inBin,
  ListQuery,
  Nullable,
  Page,
  Patch,
  sortBy,
  Strict,
  Timestamp,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

/** What belongs to a show and counts in its settlement: see db/schema/settlements/show_parts.sql. */
export interface ShowPart {
  /** The last step of the path under a show, and the first of its own. */
  path: string
  table: string
  /** In the names of its view and its functions: app.deal_list, app.create_deal. */
  sqlName: string
  /** In the names of schemas and operations: Deal, createDeal, listDeals. */
  title: string
  /** In sentences: deal, deals. */
  word: string
  required: Record<string, TSchema>
  optional: Record<string, TSchema>
  /** The first one is the order of a list that is asked for without. */
  sorts: Record<string, SortType>
  /** What there is to know when one is entered. */
  description: string
  problems?: string[]
}

const tags = ['settlements']
const permissions = { read: 'finance.read', write: 'finance.write', delete: 'finance.delete' }

/** Lists, enters, reads, replaces, changes, deletes and restores one kind of part: the same seven operations for each. */
export function showPart(app: App, part: ShowPart) {
  const { path, table, sqlName, title, word, required, optional, sorts, problems = [] } = part
  const mayBeLeftOut = Type.Partial(Type.Object(optional)).properties
  const Values = Strict({ ...required, ...mayBeLeftOut }, { title: `${title}Values` })
  const Whole = Strict(
    {
      id: Id,
      show_id: Id,
      ...required,
      ...optional,
      created_by: Nullable(Id),
      created_at: Timestamp,
      updated_at: Timestamp,
      ...inBin,
    },
    { title },
  )
  const one = `/api/${path}/:id`
  const all = `/api/shows/:id/${path}`
  const refusals = [...constraintsOf(table), ...problems, 'settlement_final']
  const found = { 200: answer(`The ${word}`, Whole, 'ETag') }

  const ListOf = Strict({ ...ListQuery, sort: Type.Optional(sortBy(sorts)), deleted: Deleted })
  app.get(
    all,
    {
      schema: {
        tags,
        operationId: `list${title}s`,
        summary: `List the ${word}s of a show`,
        description: `By \`${Object.keys(sorts)[0] ?? ''}\`, unless \`sort\` says otherwise.`,
        'x-permission': permissions.read,
        params: IdParams,
        querystring: ListOf,
        response: { 200: answer(`The ${word}s`, Page(Whole), 'Link') },
      },
    },
    (request, reply) => {
      const { limit, cursor, deleted, sort = Object.keys(sorts)[0] ?? '' } = request.query
      const { id } = request.params
      return request
        .tenant(sql => {
          const where = [sql`show_id = ${id}`]
          const of = sql`app.require_show(${id})`
          const list = { from: `${sqlName}_list`, permission: permissions.read, sorts, sort, limit, cursor }
          return page(sql, { ...list, bin: { deleted, permission: permissions.delete }, where, of })
        })
        .then(reply.json)
    },
  )

  app.post(
    all,
    {
      schema: {
        tags,
        operationId: `create${title}`,
        summary: `Enter a ${word}`,
        description: part.description,
        'x-problems': [...refusals, 'parent_deleted'],
        'x-permission': permissions.write,
        params: IdParams,
        headers: IdempotencyKey,
        body: Values,
        response: { 201: answer('Created', Whole, 'ETag', 'Location') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag, location from app.${sql(`create_${sqlName}`)}(${request.params.id}, ${sql.json(request.body as JSONValue)})`,
        )
        .then(reply.json),
  )

  app.get(
    one,
    {
      schema: {
        tags,
        operationId: `read${title}`,
        summary: `Read a ${word}`,
        description: 'With its version as `ETag`.',
        'x-permission': permissions.read,
        params: IdParams,
        response: found,
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<Answer[]>`select status, body, etag from app.${sql(`read_${sqlName}`)}(${request.params.id})`,
        )
        .then(reply.json),
  )

  for (const [method, name, body, description] of [
    ['PUT', 'replace', Values, 'What is left out gets its default.'],
    ['PATCH', 'update', Patch(Values, `${title}Change`), 'What the body does not name stays as it is.'],
  ] as const)
    app.route({
      method,
      url: one,
      schema: {
        tags,
        operationId: `${name}${title}`,
        summary: method === 'PUT' ? `Replace a ${word}` : `Change some fields of a ${word}`,
        description,
        'x-problems': refusals,
        'x-permission': permissions.write,
        params: IdParams,
        headers: IfMatch,
        body,
        response: found,
      },
      handler: (request, reply) =>
        request
          .tenant(
            sql => sql<Answer[]>`
            select status, body, etag from app.${sql(`write_${sqlName}`)}(
              ${request.params.id}, ${sql.json(request.body as JSONValue)}, ${method === 'PUT'}, ${request.headers['if-match'] ?? null})`,
          )
          .then(reply.json),
    })

  app.delete(
    one,
    {
      schema: {
        tags,
        operationId: `delete${title}`,
        summary: `Delete a ${word} until it is restored`,
        description: 'It can be restored, and no list and no settlement has it until then.',
        'x-problems': ['settlement_final'],
        'x-permission': permissions.delete,
        params: IdParams,
        headers: IfMatch,
        response: { 204: answer('Deleted') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body from app.${sql(`delete_${sqlName}`)}(${request.params.id}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.post(
    `${one}/restore`,
    {
      schema: {
        tags,
        operationId: `restore${title}`,
        summary: `Bring back a deleted ${word}`,
        description: 'As it was when it was deleted. If its show has been deleted since, restore that first.',
        'x-problems': ['parent_deleted', 'settlement_final', ...problems],
        'x-permission': permissions.delete,
        params: IdParams,
        headers: IdempotencyKey,
        response: found,
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag from app.${sql(`restore_${sqlName}`)}(${request.params.id})`,
        )
        .then(reply.json),
  )
}
