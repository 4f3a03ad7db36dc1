import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { type List, listed } from '../tenant/list.ts'
import {
  Count,
  Deleted,
  Id,
  IdParams,
  inBin,
  Line,
  ListQuery,
  Nullable,
  Page,
  Patch,
  Strict,
  sortBy,
  Timestamp,
  TimeZone,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

const fields = {
  name: Line('Paradiso'),
  city: Line('Amsterdam'),
  country: Type.String({
    pattern: '^[A-Z]{2}$',
    maxLength: 2,
    description: 'ISO 3166-1 alpha-2',
    examples: ['NL'],
  }),
  time_zone: Type.String({ ...TimeZone, examples: ['Europe/Amsterdam'] }),
}
const capacity = Nullable(Count(1, 1500))
const NewVenue = Strict({ ...fields, capacity: Type.Optional(capacity) }, { title: 'NewVenue' })
const Venue = Strict(
  { id: Id, ...fields, capacity, created_at: Timestamp, updated_at: Timestamp, ...inBin },
  { title: 'Venue' },
)
const sorts = {
  name: { column: 'name', type: 'text' },
  created_at: { column: 'created_at', type: 'timestamptz' },
} as const
const filters = {
  city: Type.Optional(Line('Amsterdam')),
  country: Type.Optional(fields.country),
  sort: Type.Optional(sortBy(sorts)),
  deleted: Deleted,
}
export const venues: List = {
  from: 'venue_rows',
  permission: 'shows.read',
  bin: 'shows.delete',
  sorts,
  sort: 'name',
  filters,
  item: Venue,
  where: (sql, { city, country }) => [
    city === undefined ? undefined : sql`city = ${city}`,
    country === undefined ? undefined : sql`country = ${country}`,
  ],
}
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
        description: 'By name, unless `sort` says otherwise.',
        'x-permission': 'shows.read',
        querystring: Strict({ ...ListQuery, ...filters }),
        response: { 200: answer('Venues', Page(Venue), 'Link') },
      },
    },
    (request, reply) => request.tenant(sql => listed(sql, venues, request.query)).then(reply.json),
  )

  app.post(
    '/api/venues',
    {
      schema: {
        tags,
        operationId: 'createVenue',
        summary: 'Enter a venue',
        description: 'The time zone is that of all local times of its shows.',
        'x-problems': [...constraintsOf('venues')],
        'x-permission': 'shows.write',
        headers: IdempotencyKey,
        body: NewVenue,
        response: { 201: answer('Created', Venue, 'ETag', 'Location') },
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
        description: 'A deleted venue is 404.',
        'x-permission': 'shows.read',
        params: IdParams,
        response: { 200: answer('The venue', Venue, 'ETag') },
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
    response: { 200: answer('The venue', Venue, 'ETag') },
  }
  app.put(
    '/api/venues/:id',
    {
      schema: {
        ...write,
        operationId: 'replaceVenue',
        summary: 'Replace a venue',
        description: 'A capacity that is left out becomes null.',
        'x-problems': [...constraintsOf('venues')],
        body: NewVenue,
      },
    },
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
        description: 'What the body does not name stays as it is.',
        'x-problems': [...constraintsOf('venues')],
        body: Patch(NewVenue, 'VenueChange'),
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
        description: 'It can be restored. Deleted shows do not hold it.',
        'x-problems': ['shows_venue_exists'],
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
        description: 'As it was when it was deleted.',
        'x-problems': ['parent_deleted'],
        'x-permission': 'shows.delete',
        params: IdParams,
        headers: IdempotencyKey,
        response: { 200: answer('The venue', Venue, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body, etag from app.restore_venue(${request.params.id})`)
        .then(reply.json),
  )
}
