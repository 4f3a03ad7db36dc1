import { Type } from '@sinclair/typebox'
import { renderDaySheet, sheetPolicy } from './day-sheet.ts'
import type { App } from '../http/fastify.ts'
import { answer, OnceIfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { DateOnly, Id, IdParams, ShortList, Strict } from '../http/schemas.ts'
import { type Answer, printable } from '../tenant/answer.ts'
import { partOf } from './itinerary-part.ts'
import { DaySheet, Remark, Version, VersionDetails } from './published.ts'
import {
  itineraries,
  itineraryDays,
  lodgingRooms,
  lodgings,
  partyGroups,
  partyMembers,
  scheduleItems,
  travelSegments,
} from './shapes.ts'

/** `1`, or the latest. */
const VersionNumber = Type.String({
  maxLength: 10,
  pattern: '^(latest|[1-9][0-9]{0,8})$',
  description: 'Number of a version, or `latest`',
  examples: ['latest'],
})
const tags = ['itineraries']

/** Itineraries: what is planned, what of it is published, and for whom. */
export async function itineraryRoutes(app: App) {
  for (const part of [
    itineraries,
    itineraryDays,
    scheduleItems,
    travelSegments,
    lodgings,
    lodgingRooms,
    partyMembers,
    partyGroups,
  ])
    await app.register(partOf(part))

  app.post(
    '/api/itineraries/:id/publish',
    {
      schema: {
        tags,
        operationId: 'publishItinerary',
        summary: 'Publish an itinerary as it is now',
        description:
          'As a numbered version that never changes. Members who do not plan see only their part of the latest version.',
        'x-permission': 'itineraries.write',
        'x-problems': constraintsOf('itinerary_versions'),
        params: IdParams,
        headers: OnceIfMatch,
        body: Strict({ note: Remark }, { title: 'Publication' }),
        response: { 201: answer('The version', VersionDetails, 'Location') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, location
          from app.publish_itinerary(${request.params.id}, ${request.body.note}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/itineraries/:id/versions',
    {
      schema: {
        tags,
        operationId: 'listItineraryVersions',
        summary: 'List the published versions of an itinerary',
        description: 'Newest first.',
        'x-permission': 'itineraries.read',
        params: IdParams,
        response: { 200: answer('Versions', ShortList(Version)) },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`select status, body from app.list_itinerary_versions(${request.params.id})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/itineraries/:id/versions/:number',
    {
      schema: {
        tags,
        operationId: 'readItineraryVersion',
        summary: 'Read a published version of an itinerary',
        description: 'Your part of it, as it was when it was published.',
        'x-permission': 'itineraries.read',
        params: Strict({ id: Id, number: VersionNumber }),
        response: { 200: answer('The version', VersionDetails) },
      },
    },
    (request, reply) => {
      const { id, number } = request.params
      const parsed = number === 'latest' ? null : Number(number)
      return request
        .tenant(sql => sql<Answer[]>`select status, body from app.read_itinerary_version(${id}, ${parsed})`)
        .then(reply.json)
    },
  )

  app.get(
    '/api/itineraries/:id/days/:date/sheet',
    {
      schema: {
        tags,
        operationId: 'readDaySheet',
        summary: 'Read the sheet of one day',
        description:
          'Your part of the day: from the draft if you plan, otherwise from the latest version. With `Accept: text/html` it is a printable page.',
        'x-permission': 'itineraries.read',
        params: Strict({ id: Id, date: DateOnly }),
        response: {
          200: {
            description: 'The sheet',
            headers: {},
            content: {
              'application/json': { schema: DaySheet },
              'text/html': {
                schema: Type.String({
                  maxLength: 10_000_000,
                  pattern: '^<!doctype html>[^\\u0000]*$',
                  description: 'A self-contained page without scripts',
                  examples: ['<!doctype html><title>The Gaslights, 2027-03-14</title>'],
                }),
              },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const { id, date } = request.params
      const rows = await request.tenant(
        sql => sql<Answer[]>`select status, body from app.read_day_sheet(${id}, ${date}::text::date)`,
      )
      return printable(reply, rows, sheetPolicy, renderDaySheet)
    },
  )
}
