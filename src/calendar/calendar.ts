import { createHash } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import { type Entry, renderCalendar } from './icalendar.ts'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey } from '../http/openapi/openapi.ts'
import { constraintsOf, inOrganization } from '../http/openapi/refusals.ts'
import {
  DateOnly,
  Id,
  IdParams,
  Line,
  LocalTime,
  Nullable,
  Secret,
  ShortList,
  Strict,
  Timestamp,
  TimeZone,
} from '../http/schemas.ts'
import { type Answer, only } from '../tenant/answer.ts'
import { newSecret } from '../http/tokens.ts'

const time = Nullable(
  Type.String({ ...LocalTime, description: 'HH:MM in the time zone of this end; null if all day' }),
)
const zone = Nullable(TimeZone)
const instant = Nullable(Timestamp)
const CalendarEntry = Strict(
  {
    kind: Type.String({
      title: 'CalendarEntryKind',
      enum: ['show', 'item', 'segment', 'lodging'],
      description: 'What it is, and so which resource its `id` belongs to',
      examples: ['item'],
    }),
    id: Id,
    itinerary_id: Nullable(Id),
    title: Line('Soundcheck'),
    location: Nullable(Type.String({ maxLength: 1000, pattern: '^[^\\u0000]*$', examples: ['Stage B'] })),
    status: Type.String({
      title: 'CalendarEntryStatus',
      enum: ['confirmed', 'tentative', 'cancelled'],
      examples: ['confirmed'],
    }),
    is_all_day: Type.Boolean({ description: 'It has no time, or none that you may see', examples: [false] }),
    starts_on: DateOnly,
    start_time: time,
    time_zone: zone,
    starts_at: instant,
    ends_on: DateOnly,
    end_time: time,
    end_time_zone: zone,
    ends_at: instant,
  },
  { title: 'CalendarEntry' },
)
const feed = { id: Id, name: Line("Noa's phone"), created_at: Timestamp }
const Feed = Strict(feed, { title: 'CalendarFeed' })
const NewFeed = Strict(
  {
    ...feed,
    path: Nullable(
      Type.String({
        maxLength: 500,
        pattern: '^/api/calendar\\.ics\\?token=[A-Za-z0-9_-]+$',
        description: 'The path to subscribe to; shown once, so null if the request was repeated',
        examples: ['/api/calendar.ics?token=5f0c3b9e5f0c4b9e9f0c3b9e5f0c4b9e9f0c3b9e5f0'],
      }),
    ),
  },
  { title: 'MadeCalendarFeed' },
)
const tags = ['calendar']

/** The calendar, and feeds of it for calendar apps. */
export async function calendarRoutes(app: App) {
  app.get(
    '/api/calendar',
    {
      schema: {
        tags,
        operationId: 'readCalendar',
        summary: 'Read the calendar from one day to another',
        description:
          'Shows (with `shows.read`), and your items, segments and lodgings of itineraries (with `itineraries.read`); by time. At most 367 days.',
        'x-problems': [...inOrganization, 'calendar_range'],
        querystring: Strict({
          from: Type.Optional(Type.String({ ...DateOnly, description: 'First day; today (UTC) by default' })),
          to: Type.Optional(
            Type.String({
              ...DateOnly,
              description: 'Last day; 30 days later by default',
              examples: ['2027-04-02'],
            }),
          ),
        }),
        response: { 200: answer('The entries', ShortList(CalendarEntry)) },
      },
    },
    (request, reply) => {
      const { from = null, to = null } = request.query
      return request
        .tenant(
          sql =>
            sql<Answer[]>`select status, body from app.read_calendar(${from}::text::date, ${to}::text::date)`,
        )
        .then(reply.json)
    },
  )

  app.get(
    '/api/calendar-feeds',
    {
      schema: {
        tags,
        operationId: 'listCalendarFeeds',
        summary: 'List your calendar feeds',
        description: 'Those you have created in the organization and not revoked.',
        'x-problems': inOrganization,
        response: { 200: answer('Feeds', ShortList(Feed)) },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.list_calendar_feeds()`)
        .then(reply.json),
  )

  app.post(
    '/api/calendar-feeds',
    {
      schema: {
        tags,
        operationId: 'createCalendarFeed',
        summary: 'Create a calendar feed',
        description:
          'A URL that a calendar app can subscribe to. Anyone who has it sees what you see in the calendar, as long as you do; it is shown once.',
        'x-problems': [...inOrganization, ...constraintsOf('calendar_feeds')],
        headers: IdempotencyKey,
        body: Strict({ name: feed.name }, { title: 'NewCalendarFeed' }),
        response: { 201: answer('Created', NewFeed, 'Location') },
      },
    },
    async (request, reply) => {
      const { secret, hash } = newSecret()
      const made = only(
        await request.tenant(
          sql => sql<Answer[]>`
          select status, body, location from app.create_calendar_feed(${request.body.name}, ${hash})`,
        ),
      )
      const { made_with, ...body } = JSON.parse(made.body ?? '{}') as { made_with: string }
      // For a repeated request the first answer is stored, but no secret.
      const path =
        made_with === createHash('sha256').update(hash).digest('hex')
          ? `/api/calendar.ics?token=${secret}`
          : null
      return reply
        .header('cache-control', 'no-store')
        .json([{ ...made, body: JSON.stringify({ ...body, path }) }])
    },
  )

  app.delete(
    '/api/calendar-feeds/:id',
    {
      schema: {
        tags,
        operationId: 'revokeCalendarFeed',
        summary: 'Permanently revoke a calendar feed',
        description: 'Its URL stops working with the next request.',
        'x-problems': inOrganization,
        params: IdParams,
        response: { 204: answer('Revoked') },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.revoke_calendar_feed(${request.params.id})`)
        .then(reply.json),
  )
}

/** What calendar apps request: they have no access token, only the URL itself. */
export async function calendarFeedRoutes(app: App) {
  app.get(
    '/api/calendar.ics',
    {
      schema: {
        tags,
        security: [],
        operationId: 'readCalendarFeed',
        summary: 'Read a calendar feed',
        description:
          'For calendar apps (RFC 5545): 100 days back and 400 ahead of what the member who created the feed may currently see.',
        'x-problems': ['not_found', 'permission_denied', 'database_unavailable'],
        querystring: Strict({ token: Secret('From the path of the feed') }),
        headers: Type.Object({
          'if-none-match': Type.Optional(
            Type.String({
              maxLength: 400,
              pattern: '^[ -~]+$',
              description: 'ETag that the app has',
              examples: ['"7"'],
            }),
          ),
        }),
        response: {
          200: {
            description: 'The calendar',
            headers: { ETag: {} },
            content: {
              'text/calendar': {
                schema: Type.String({
                  maxLength: 100_000_000,
                  pattern: '^BEGIN:VCALENDAR\\r\\n[^\\u0000]*$',
                  examples: ['BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n'],
                }),
              },
            },
          },
          304: answer('Not modified', undefined, 'ETag'),
        },
      },
    },
    async (request, reply) => {
      const { body, etag } = only(
        await request.anonymous(
          sql => sql<Answer[]>`select status, body, etag from app.read_calendar_feed(${request.query.token})`,
        ),
      )
      const { organization_id, calendar } = JSON.parse(body ?? '{}') as {
        organization_id: string
        calendar: { name: string | null; entries: Entry[] }
      }
      // An app may cache it, for one person, but asks each time whether it may still see it.
      void reply.headers({ etag: etag ?? '', 'cache-control': 'private, no-cache' })
      const have = request.headers['if-none-match']?.split(',').map(tag => tag.trim().replace(/^W\//, ''))
      const text = have?.includes(etag ?? '') ? '' : renderCalendar(calendar)
      app.tally.integration(organization_id, 'calendar_feed', 'ics', {
        rows: text === '' ? 0 : calendar.entries.length,
        bytes: Buffer.byteLength(text),
      })
      if (text === '') return reply.code(304).send()
      return reply.type('text/calendar; charset=utf-8').send(text)
    },
  )
}
