import type { TObject, TSchema } from '@sinclair/typebox'
import fp from 'fastify-plugin'
import type { JSONValue, ParameterOrFragment } from 'postgres'
import type { Client } from '../database/pool.ts'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { addProblems, type Problems } from '../http/problems.ts'
import { IdParams, ListQuery, Page, Strict } from '../http/schemas.ts'
import { type List, listed } from './list.ts'
import type { Answer } from './answer.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Every resource whose routes have been registered. */
    resources: Resource[]
  }
}

/** The documentation of an operation. */
interface Documentation {
  summary: string
  description: string
  /** Problems of the operation besides the table's constraints. */
  problems?: string[]
  /** Only if it is not the verb and the title. */
  operationId?: string
}
interface Writing extends Documentation {
  body: TObject
}
type Verb = 'create' | 'read' | 'write' | 'delete' | 'restore'

/** Rows that are listed, created, read, replaced, updated, deleted and restored; undeclared operations do not exist. */
export interface Resource {
  /** The table in `app`, an argument of the commands on rows: see db/schema/foundation/rows.sql. */
  table: string
  /** The noun of its own functions, such as app.create_show, app.read_show and app.write_show, if it has them. */
  noun?: string
  /** As in operationIds: Guest. */
  title: string
  /** As in sentences: guest. */
  words: string
  tag: string
  path: string
  /** The path of its list and of creation, if that is under a parent: /api/shows/:id/guests. */
  under?: string
  /** The column of that parent. */
  parent?: string
  permissions: { read: string; write: string; delete: string }
  item: TObject
  list?: { rows: List; answers: string } & Documentation
  create?: Writing
  read?: Documentation
  replace?: Writing
  update?: Writing
  delete?: Documentation
  restore?: Documentation
  /** Its own problems: those named after its constraints, and others. */
  problems?: Problems
}

/** The permissions <area>.read, .write and .delete. */
export const of = (area: string) => ({
  read: `${area}.read`,
  write: `${area}.write`,
  delete: `${area}.delete`,
})

export const pluralOf = (word: string) => `${word.replace(/([^aeiou])y$/, '$1ie').replace(/s$/, 'se')}s`

/** The routes of a resource, as a plugin. */
export function resource(r: Resource) {
  addProblems(r.problems ?? {})
  return async (app: App) => {
    app.resources.push(r)
    addCollection(app, r)
    addItem(app, r)
  }
}

/** The list of the resources, for tests and tools. */
export const resources = fp(async app => void app.decorate('resources', []), { name: 'resources' })

/**
 * The statement of a command: `app.read_row('guests', …)`, or a function of its own. It is
 * assembled once, as a template, because postgres.js makes a promise for each fragment of a statement.
 */
function command(r: Resource, verb: Verb, columns: string, parameters: number) {
  const isOwn = r.noun !== undefined && verb !== 'delete' && verb !== 'restore'
  const [name, fixed] = isOwn ? [`${verb}_${r.noun}`, []] : [`${verb}_row`, [r.table]]
  const commas = Array.from({ length: fixed.length + parameters - 1 }, () => ', ')
  const texts = [`select ${columns} from app.${name}(`, ...commas, ')']
  const template = Object.assign(texts, { raw: texts })
  return (sql: Client, ...given: unknown[]) =>
    sql<Answer[]>(template, ...([...fixed, ...given] as ParameterOrFragment<never>[]))
}

const documentationOf = (
  r: Resource,
  verb: string,
  { summary, description, operationId, problems }: Documentation,
) => ({
  tags: [r.tag],
  operationId: operationId ?? `${verb}${verb === 'list' ? pluralOf(r.title) : r.title}`,
  summary,
  description,
  ...(problems && { 'x-problems': problems }),
})
const writing = (r: Resource, verb: string, { problems = [], ...rest }: Writing) => ({
  ...documentationOf(r, verb, {
    ...rest,
    problems: [
      ...constraintsOf(r.table),
      ...problems,
      ...(verb === 'update' && 'currency' in rest.body.properties ? ['currency_needs_amounts'] : []),
    ],
  }),
  'x-permission': r.permissions.write,
  body: rest.body as TSchema,
})

/** Listing and creating. */
function addCollection(app: App, r: Resource) {
  const { path, under = path, parent, list, create, item, permissions } = r
  const ofParent = under === path ? {} : { params: IdParams }
  const parentOf = ({ params }: { params: unknown }) => (params as IdParams).id
  if (list) {
    const { rows, answers } = list
    app.get(
      under,
      {
        schema: {
          ...documentationOf(r, 'list', list),
          'x-permission': permissions.read,
          ...ofParent,
          querystring: Strict({ ...ListQuery, ...rows.filters }),
          response: { 200: answer(answers, Page(item), 'Link') },
        },
      },
      (request, reply) => {
        const query = request.query as Parameters<typeof listed>[2]
        return request
          .tenant(sql => {
            if (parent === undefined) return listed(sql, rows, query)
            const id = parentOf(request)
            return listed(sql, rows, query, {
              column: parent,
              id,
              of: sql`app.require_parent(${r.table}, ${parent}, ${id})`,
            })
          })
          .then(reply.json)
      },
    )
  }
  if (create) {
    const run = command(r, 'create', 'status, body, etag, location', parent === undefined ? 1 : 3)
    app.post(
      under,
      {
        schema: {
          ...writing(r, 'create', create),
          ...ofParent,
          headers: IdempotencyKey,
          response: { 201: answer('Created', item, 'ETag', 'Location') },
        },
      },
      (request, reply) =>
        request
          .tenant(sql => {
            const body = sql.json(request.body as JSONValue)
            return parent === undefined ? run(sql, body) : run(sql, body, parent, parentOf(request))
          })
          .then(reply.json),
    )
  }
}

/** Reading, replacing, updating, deleting and restoring one of them. */
function addItem(app: App, r: Resource) {
  const { item, words, permissions } = r
  const url = `${r.path}/:id` as const
  const one = { params: IdParams, response: { 200: answer(`The ${words}`, item, 'ETag') } }

  const read = command(r, 'read', 'status, body, etag', 1)
  const write = command(r, 'write', 'status, body, etag', 4)
  const remove = command(r, 'delete', 'status, body', 2)
  const restore = command(r, 'restore', 'status, body, etag', 1)

  if (r.read)
    app.get(
      url,
      { schema: { ...documentationOf(r, 'read', r.read), 'x-permission': permissions.read, ...one } },
      (request, reply) => request.tenant(sql => read(sql, request.params.id)).then(reply.json),
    )
  for (const [method, verb, operation] of [
    ['PUT', 'replace', r.replace],
    ['PATCH', 'update', r.update],
  ] as const)
    if (operation)
      app.route({
        method,
        url,
        schema: { ...writing(r, verb, operation), ...one, headers: IfMatch },
        handler: (request, reply) => {
          const { params, body, headers } = request
          return request
            .tenant(sql =>
              write(
                sql,
                params.id,
                sql.json(body as JSONValue),
                method === 'PUT',
                headers['if-match'] ?? null,
              ),
            )
            .then(reply.json)
        },
      })
  if (r.delete)
    app.delete(
      url,
      {
        schema: {
          ...documentationOf(r, 'delete', r.delete),
          'x-permission': permissions.delete,
          params: IdParams,
          headers: IfMatch,
          response: { 204: answer('Deleted') },
        },
      },
      (request, reply) =>
        request
          .tenant(sql => remove(sql, request.params.id, request.headers['if-match'] ?? null))
          .then(reply.json),
    )
  if (r.restore)
    app.post(
      `${url}/restore`,
      {
        schema: {
          ...documentationOf(r, 'restore', r.restore),
          'x-permission': permissions.delete,
          ...one,
          headers: IdempotencyKey,
        },
      },
      (request, reply) => request.tenant(sql => restore(sql, request.params.id)).then(reply.json),
    )
}
