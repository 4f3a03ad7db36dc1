import { Type } from '@sinclair/typebox'
import type { App } from '../app.ts'
import { answer, IdempotencyKey, IfMatch } from '../openapi.ts'
import { page } from '../page.ts'
import {
  Count,
  Id,
  IdParams,
  Line,
  ListQuery,
  Nullable,
  Page,
  Patch,
  Strict,
  Timestamp,
  TimeZone,
} from '../schemas.ts'
import type { Answer } from '../tenant.ts'

const fields = {
  name: Line('Paradiso'),
  city: Line('Amsterdam'),
  country: Type.String({
    pattern: '^[A-Z]{2}$',
    maxLength: 2,
    description: 'ISO 3166-1 alpha-2',
    examples: ['NL'],
  }),
  time_zone: TimeZone,
}
const capacity = Nullable(Count(1, 1500))
const NewVenue = Strict({ ...fields, capacity: Type.Optional(capacity) })
const Venue = Strict({ id: Id, ...fields, capacity, created_at: Timestamp, updated_at: Timestamp })
const sorts = {
  name: { column: 'name', type: 'text' },
  created_at: { column: 'created_at', type: 'timestamptz' },
} as const
const tags = ['venues']

/** The places where shows happen. */
export async function venueRoutes(app: App) {
  app.get(
    '/api/venues',
    {
      schema: {
        tags,
        operationId: 'listVenues',
        summary: 'List venues',
        'x-permission': 'shows.read',
        querystring: Strict({
          ...ListQuery,
          city: Type.Optional(Line('Amsterdam')),
          country: Type.Optional(fields.country),
          sort: Type.Optional(Type.String({ enum: ['name', '-name', 'created_at', '-created_at'] })),
        }),
        response: { 200: answer('Venues', Page(Venue), 'link') },
      },
    },
    (request, reply) => {
      const { limit, cursor, city, country, sort = 'name' } = request.query
      return request
        .tenant(sql => {
          const where = [
            city === undefined ? undefined : sql`city = ${city}`,
            country === undefined ? undefined : sql`country = ${country}`,
          ]
          return page(sql, {
            from: 'venue_list',
            permission: 'shows.read',
            sorts,
            sort,
            limit,
            cursor,
            where,
          })
        })
        .then(reply.json)
    },
  )

  app.post(
    '/api/venues',
    {
      schema: {
        tags,
        operationId: 'createVenue',
        summary: 'Enter a venue',
        'x-permission': 'shows.write',
        headers: IdempotencyKey,
        body: NewVenue,
        response: { 201: answer('Created', Venue, 'etag', 'location') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag, location from app.create_venue(${sql.json(request.body)})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/venues/:id',
    {
      schema: {
        tags,
        operationId: 'readVenue',
        summary: 'Read a venue',
        'x-permission': 'shows.read',
        params: IdParams,
        response: { 200: answer('The venue', Venue, 'etag') },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body, etag from app.read_venue(${request.params.id})`)
        .then(reply.json),
  )

  const write = {
    tags,
    'x-permission': 'shows.write',
    params: IdParams,
    headers: IfMatch,
    response: { 200: answer('The venue', Venue, 'etag') },
  }
  app.put(
    '/api/venues/:id',
    { schema: { ...write, operationId: 'replaceVenue', summary: 'Replace a venue', body: NewVenue } },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.write_venue(${request.params.id}, ${sql.json(request.body)}, true, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )
  app.patch(
    '/api/venues/:id',
    {
      schema: {
        ...write,
        operationId: 'updateVenue',
        summary: 'Change some fields of a venue',
        body: Patch(NewVenue),
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.write_venue(${request.params.id}, ${sql.json(request.body)}, false, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.delete(
    '/api/venues/:id',
    {
      schema: {
        tags,
        operationId: 'deleteVenue',
        summary: 'Delete a venue that no show uses',
        'x-permission': 'shows.delete',
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
            >`select status, body from app.delete_venue(${request.params.id}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/venues/:id/restore',
    {
      schema: {
        tags,
        operationId: 'restoreVenue',
        summary: 'Bring back a deleted venue',
        'x-permission': 'shows.delete',
        params: IdParams,
        response: { 200: answer('The venue', Venue, 'etag') },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body, etag from app.restore_venue(${request.params.id})`)
        .then(reply.json),
  )
}
