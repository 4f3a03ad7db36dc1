import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IfMatch, OnceIfMatch } from '../http/openapi/openapi.ts'
import { Count, Id, IdParams, omittable, Line, Nullable, Strict, Timestamp } from '../http/schemas.ts'
import { type Answer, printable } from '../tenant/answer.ts'
import { DoorList, doorPolicy, renderDoorList } from './door-list.ts'
import { Guest } from './guest-shapes.ts'

const places = (description: string, example: number) =>
  Type.Integer({ ...Count(0, example), description: `Places that ${description}` })
const closing = {
  closes_at: Nullable(
    Type.String({
      ...Timestamp,
      description: 'The cut-off: from then on only members with guests.lock can change the list',
    }),
  ),
  is_locked: Type.Boolean({ description: 'Closed manually, regardless of the time', examples: [false] }),
}
const GuestList = Strict(
  {
    show_id: Id,
    ...closing,
    is_closed: Type.Boolean({ description: 'Locked, or past its cut-off', examples: [false] }),
    requested: places('are requested and undecided', 4),
    confirmed: places('are confirmed', 38),
    checked_in: places('are taken by guests who are in', 0),
    allotments: Type.Array(
      Strict(
        {
          id: Id,
          name: Line('The Gaslights'),
          tickets: places('confirmed guests may take in total', 20),
          requested: places('are requested and undecided', 2),
          confirmed: places('are confirmed', 18),
        },
        { title: 'UsedAllotment' },
      ),
      { maxItems: 10_000 },
    ),
  },
  { title: 'GuestList' },
)
const CheckIn = Strict(
  omittable({
    checked_in: Type.Integer({
      ...Count(0, 2),
      maximum: 100,
      description: 'How many of them are in by now; all if omitted, 0 to undo',
    }),
  }),
  { title: 'CheckIn' },
)
const tags = ['shows']
const list = { params: IdParams, response: { 200: answer('The guest list', GuestList, 'ETag') } }

/** What belongs to a guest list as a whole: when it closes, how it is used, and the door. */
export async function guestListRoutes(app: App) {
  app.get(
    '/api/shows/:id/guest-list',
    {
      schema: {
        tags,
        operationId: 'readGuestList',
        summary: 'Read how a guest list is used, and when it closes',
        description: 'In places: a guest may come with others. The guests are `GET /api/shows/{id}/guests`.',
        'x-permission': 'shows.read',
        ...list,
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`select status, body, etag from app.read_guest_list(${request.params.id})`,
        )
        .then(reply.json),
  )

  app.put(
    '/api/shows/:id/guest-list',
    {
      schema: {
        tags,
        operationId: 'replaceGuestList',
        summary: 'Set when a guest list closes, or close it',
        description:
          'Once it is closed, only members with `guests.lock` can change guests and allotments. Guests can still be checked in.',
        'x-permission': 'guests.lock',
        ...list,
        headers: IfMatch,
        body: Strict(omittable(closing), { title: 'GuestListClosing' }),
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag
          from app.write_guest_list(${request.params.id}, ${sql.json(request.body)}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/guests/:id/check-in',
    {
      schema: {
        tags,
        operationId: 'checkInGuest',
        summary: 'Check a guest in at the door',
        description: 'Even after the list is closed.',
        'x-permission': 'shows.write',
        'x-problems': ['guest_not_confirmed', 'guests_checked_in_within_tickets'],
        params: IdParams,
        headers: OnceIfMatch,
        body: CheckIn,
        response: { 200: answer('The guest', Guest, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag
          from app.check_in_guest(${request.params.id}, ${request.body.checked_in ?? null}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/shows/:id/door-list',
    {
      schema: {
        tags,
        operationId: 'readDoorList',
        summary: 'Read the door list of a show',
        description:
          'Its confirmed guests by last name, as the door looks them up. With `Accept: text/html` it is a printable page.',
        'x-permission': 'shows.read',
        params: IdParams,
        response: {
          200: {
            description: 'The door list',
            headers: {},
            content: {
              'application/json': { schema: DoorList },
              'text/html': {
                schema: Type.String({
                  maxLength: 10_000_000,
                  pattern: '^<!doctype html>[^\\u0000]*$',
                  description: 'A self-contained page without scripts',
                  examples: ['<!doctype html><title>Guests of The Gaslights, 2027-03-14</title>'],
                }),
              },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const rows = await request.tenant(
        sql => sql<Answer[]>`select status, body from app.read_door_list(${request.params.id})`,
      )
      return printable(reply, rows, doorPolicy, renderDoorList)
    },
  )
}
