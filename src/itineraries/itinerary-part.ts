import { type TObject, type TProperties, Type } from '@sinclair/typebox'
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

/** One of the tables that an itinerary consists of, and what its routes are like. */
export interface Part {
  /** The table in `app`; its view and path follow from it, see app.itinerary_part. */
  table: string
  /** As in operationIds: ScheduleItem. */
  noun: string
  /** As in sentences: a schedule item. */
  words: string
  tag: string
  /** Permission to read it. */
  reading?: string
  /** What it belongs to; said once. */
  parent?: TProperties
  /** Fields that must be given. */
  required: TProperties
  /** Fields that may be left out, as they are in an answer. */
  optional: TProperties
  /** Fields that only an answer has. */
  derived?: TProperties
  /** Filters of the list, besides the bin. */
  filters: Record<string, typeof Id>
  sorts: Record<string, SortType>
  /** What the list and the making of one are about, each a sentence. */
  listed: string
  created: string
  /** Problems that are not constraints of the table. */
  problems?: string[]
  /** Constraints that a restoration may meet. */
  taken?: string[]
}

const pluralOf = (word: string) => `${word.replace(/([^aeiou])y$/, '$1ie')}s`
const allOptional = (properties: TProperties) => Type.Partial(Type.Object(properties)).properties

/** What a row looks like in answers. */
export function detailsOf({ noun, parent, required, optional, derived }: Part): TObject {
  return Strict(
    {
      id: Id,
      ...parent,
      ...required,
      ...optional,
      ...derived,
      created_by: Nullable(Id),
      created_at: Timestamp,
      updated_at: Timestamp,
      ...inBin,
    },
    { title: noun },
  )
}

/** The routes that every part has: list, make, read, change, delete, restore. */
export function partRoutes(app: App, part: Part) {
  const { table, noun, words, required, optional, parent, filters, sorts } = part
  const { reading = 'itineraries.write' } = part
  const path = `/api/${table.replaceAll('_', '-')}` as const
  const plural = pluralOf(noun)
  const noArticle = words.replace(/^an? /, '')
  const details = detailsOf(part)
  const tags = [part.tag]
  const [usual = ''] = Object.keys(sorts)
  const filterNames = Object.keys(filters)
  const constraints = [...constraintsOf(table), ...(part.problems ?? [])]
  const one = { tags, params: IdParams, response: { 200: answer(`The ${noArticle}`, details, 'ETag') } }

  app.get(
    path,
    {
      schema: {
        tags,
        operationId: `list${plural}`,
        summary: `List ${pluralOf(noArticle)}`,
        description: part.listed,
        'x-permission': reading,
        querystring: Strict({
          ...ListQuery,
          ...allOptional(filters),
          sort: Type.Optional(sortBy(sorts)),
          deleted: Deleted,
        }),
        response: { 200: answer('The list', Page(details), 'Link') },
      },
    },
    (request, reply) => {
      const query = request.query as Record<string, string | undefined> & { limit?: number; deleted?: 'only' }
      return request
        .tenant(sql =>
          page(sql, {
            from: table === 'itineraries' ? 'itinerary_list' : `${table.slice(0, -1)}_list`,
            permission: reading,
            bin: { deleted: query.deleted, permission: 'itineraries.delete' },
            sorts,
            sort: query['sort'] ?? usual,
            limit: query.limit,
            cursor: query['cursor'],
            where: filterNames
              .filter(name => query[name] !== undefined)
              .map(name => sql`${sql(name)} = ${query[name] ?? null}`),
          }),
        )
        .then(reply.json)
    },
  )

  app.post(
    path,
    {
      schema: {
        tags,
        operationId: `create${noun}`,
        summary: `Enter ${words}`,
        description: part.created,
        'x-permission': 'itineraries.write',
        'x-problems': constraints,
        headers: IdempotencyKey,
        body: Strict({ ...parent, ...required, ...allOptional(optional) }, { title: `New${noun}` }),
        response: { 201: answer('Created', details, 'ETag', 'Location') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag, location from app.create_itinerary_part(${table}, ${sql.json(request.body as JSONValue)})`,
        )
        .then(reply.json),
  )

  app.get(
    `${path}/:id`,
    {
      schema: {
        ...one,
        operationId: `read${noun}`,
        summary: `Read ${words}`,
        description: 'As it was last changed.',
        'x-permission': reading,
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag from app.read_itinerary_part(${table}, ${request.params.id})`,
        )
        .then(reply.json),
  )

  app.patch(
    `${path}/:id`,
    {
      schema: {
        ...one,
        operationId: `update${noun}`,
        summary: `Change some fields of ${words}`,
        description: 'What the body does not name stays as it is.',
        'x-permission': 'itineraries.write',
        'x-problems': constraints,
        headers: IfMatch,
        body: Patch(
          Type.Object({ ...(table === 'schedule_items' && parent), ...required, ...optional }),
          `${noun}Change`,
        ),
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.write_itinerary_part(${table}, ${request.params.id}, ${sql.json(request.body as JSONValue)}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.delete(
    `${path}/:id`,
    {
      schema: {
        tags,
        operationId: `delete${noun}`,
        summary: `Delete ${words} until it is restored`,
        description: 'With everything that belongs to it. Nothing shows it until then but the bin.',
        'x-permission': 'itineraries.delete',
        params: IdParams,
        headers: IfMatch,
        response: { 204: answer('Deleted') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body from app.delete_itinerary_part(${table}, ${request.params.id}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.post(
    `${path}/:id/restore`,
    {
      schema: {
        ...one,
        operationId: `restore${noun}`,
        summary: `Bring back ${words} that was deleted`,
        description: 'With exactly what was deleted together with it.',
        'x-permission': 'itineraries.delete',
        'x-problems': [...(parent ? ['parent_deleted'] : []), ...(part.taken ?? [])],
        headers: IdempotencyKey,
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag from app.restore_itinerary_part(${table}, ${request.params.id})`,
        )
        .then(reply.json),
  )
}
