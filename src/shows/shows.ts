import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { type List, listed } from '../tenant/list.ts'
import {
  Count,
  Currency,
  DateOnly,
  ExternalRef,
  ExternalSource,
  Deleted,
  Id,
  IdParams,
  inBin,
  Line,
  ListQuery,
  LocalTime,
  MinorUnits,
  noControls,
  Nullable,
  Page,
  Patch,
  sortBy,
  Strict,
  Text,
  Timestamp,
  TimeZone,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

const Status = Type.String({
  title: 'ShowStatus',
  enum: ['inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed'],
  description:
    'Which one may follow which is in app.show_status_transitions; another change is 409 show_status_transition',
  examples: ['hold'],
})
const required = { title: Line('Spring Tour'), artist: Line('The Gaslights'), show_on: DateOnly }
const optional = {
  venue_id: Nullable(Id),
  doors_time: Nullable(LocalTime),
  start_time: Nullable(LocalTime),
  curfew_time: Nullable(LocalTime),
  capacity: Nullable(Count(1, 1500)),
  tickets_sold: Count(0, 820),
  fee_minor: Nullable(MinorUnits),
  currency: Nullable(Currency),
  notes: Nullable(Text(10_000, 'Load-in through the canal side.')),
  source: ExternalSource,
  external_ref: ExternalRef,
}
const mayBeLeftOut = Type.Partial(Type.Object(optional)).properties
const NewShow = Strict({ ...required, status: Type.Optional(Status), ...mayBeLeftOut }, { title: 'NewShow' })
const WholeShow = Strict({ ...required, status: Status, ...mayBeLeftOut }, { title: 'ShowReplacement' })
export const Show = Strict(
  {
    id: Id,
    ...required,
    status: Status,
    ...optional,
    venue_name: Nullable(Line('Paradiso')),
    venue_city: Nullable(Line('Amsterdam')),
    time_zone: Nullable(
      Type.String({ ...TimeZone, description: "The venue's", examples: ['Europe/Amsterdam'] }),
    ),
    starts_at: Nullable(
      Type.String({
        ...Timestamp,
        description: 'show_on and start_time as an instant',
        examples: ['2027-03-14T18:30:00+00:00'],
      }),
    ),
    created_by: Nullable(Id),
    created_at: Timestamp,
    updated_at: Timestamp,
    ...inBin,
  },
  { title: 'Show' },
)
const sorts = {
  show_on: { column: 'show_on', type: 'date' },
  created_at: { column: 'created_at', type: 'timestamptz' },
  title: { column: 'title', type: 'text' },
} as const
const filters = {
  status: Type.Optional(Status),
  from: Type.Optional(Type.String({ ...DateOnly, description: 'Shows on this day and later' })),
  to: Type.Optional(Type.String({ ...DateOnly, description: 'Shows on this day and earlier' })),
  venue_id: Type.Optional(Id),
  q: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 100,
      pattern: noControls,
      description: 'Text in the title, artist, venue or city',
      examples: ['gaslights'],
    }),
  ),
  sort: Type.Optional(sortBy(sorts)),
  deleted: Deleted,
}
export const shows: List = {
  from: 'show_rows',
  permission: 'shows.read',
  bin: 'shows.delete',
  sorts,
  sort: 'show_on',
  filters,
  item: Show,
  where: (sql, { status, from, to, venue_id, q }) => [
    status === undefined ? undefined : sql`status = ${status}`,
    from === undefined ? undefined : sql`show_on >= ${from}::text::date`,
    to === undefined ? undefined : sql`show_on <= ${to}::text::date`,
    venue_id === undefined ? undefined : sql`venue_id = ${venue_id}`,
    q === undefined ? undefined : sql`id in (select app.search_shows(${q}))`,
  ],
}
const tags = ['shows']

/** Shows, from the first inquiry to the settlement. */
export async function showRoutes(app: App) {
  app.get(
    '/api/shows',
    {
      schema: {
        tags,
        operationId: 'listShows',
        summary: 'List shows',
        description: 'By date, unless `sort` says otherwise. Filters that are given together must all hold.',
        'x-permission': 'shows.read',
        querystring: Strict({ ...ListQuery, ...filters }),
        response: { 200: answer('Shows', Page(Show), 'Link') },
      },
    },
    (request, reply) => request.tenant(sql => listed(sql, shows, request.query)).then(reply.json),
  )

  app.post(
    '/api/shows',
    {
      schema: {
        tags,
        operationId: 'createShow',
        summary: 'Enter a show',
        description: 'Times are local to the venue, so without one there is no `starts_at`.',
        'x-problems': [...constraintsOf('shows'), 'show_external_ref_taken'],
        'x-permission': 'shows.write',
        headers: IdempotencyKey,
        body: NewShow,
        response: { 201: answer('Created', Show, 'ETag', 'Location') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag, location from app.create_show(${sql.json(request.body)})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/shows/:id',
    {
      schema: {
        tags,
        operationId: 'readShow',
        summary: 'Read a show',
        description: 'With the name, city and time zone of its venue.',
        'x-permission': 'shows.read',
        params: IdParams,
        response: { 200: answer('The show', Show, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body, etag from app.read_show(${request.params.id})`)
        .then(reply.json),
  )

  const write = {
    tags,
    'x-permission': 'shows.write',
    params: IdParams,
    headers: IfMatch,
    response: { 200: answer('The show', Show, 'ETag') },
  }
  app.put(
    '/api/shows/:id',
    {
      schema: {
        ...write,
        operationId: 'replaceShow',
        summary: 'Replace a show',
        description: 'What is left out becomes empty, and `tickets_sold` 0.',
        'x-problems': [
          ...constraintsOf('shows'),
          'show_status_transition',
          'show_external_ref_taken',
          'settlement_not_final',
        ],
        body: WholeShow,
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.write_show(${request.params.id}, ${sql.json(request.body)}, true, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )
  app.patch(
    '/api/shows/:id',
    {
      schema: {
        ...write,
        operationId: 'updateShow',
        summary: 'Change some fields of a show',
        description: 'What the body does not name stays as it is.',
        'x-problems': [
          ...constraintsOf('shows'),
          'show_status_transition',
          'show_external_ref_taken',
          'settlement_not_final',
        ],
        body: Patch(WholeShow, 'ShowChange'),
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.write_show(${request.params.id}, ${sql.json(request.body)}, false, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.delete(
    '/api/shows/:id',
    {
      schema: {
        tags,
        operationId: 'deleteShow',
        summary: 'Delete a show until it is restored',
        description:
          'It can be restored, and no list has it until then. What is planned or committed for it in the books goes with it; what is actual stays.',
        'x-problems': ['period_closed'],
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
            >`select status, body from app.delete_show(${request.params.id}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/shows/:id/restore',
    {
      schema: {
        tags,
        operationId: 'restoreShow',
        summary: 'Bring back a deleted show',
        description:
          'As it was when it was deleted. If its venue has been deleted since, restore that first.',
        'x-problems': [
          'parent_deleted',
          'period_closed',
          'show_external_ref_taken',
          'finance_record_external_ref_taken',
        ],
        'x-permission': 'shows.delete',
        params: IdParams,
        headers: IdempotencyKey,
        response: { 200: answer('The show', Show, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body, etag from app.restore_show(${request.params.id})`)
        .then(reply.json),
  )
}
