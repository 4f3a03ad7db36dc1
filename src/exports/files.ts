import { Type } from '@sinclair/typebox'
import { type Format, formats } from './formats.ts'
import { fileName } from './names.ts'
import type { Storage } from './storage.ts'
import type { App } from '../http/fastify.ts'
import { Problem } from '../http/problem.ts'
import { IdParams, Secret, Strict } from '../http/schemas.ts'
import { type Answer, only } from '../tenant/answer.ts'
import { addressOf } from '../http/address.ts'

interface File {
  key: string
  resource: string
  format: Format
  bytes: number
  sha256: string
  day: string
}
const text = (example: string) =>
  Type.String({ maxLength: 1_000_000_000, pattern: '^[^\\u0000]*$', examples: [example] })
const content = {
  [formats.json]: {
    schema: Type.Object(
      {},
      { additionalProperties: true, maxProperties: 2, examples: [{ items: [], next_cursor: null }] },
    ),
  },
  [formats.csv]: { schema: text('id\r\n') },
  [formats.ndjson]: { schema: text('{}\n') },
}

/** The first and last byte requested by a header with one range; undefined for any other header. */
function rangeOf(header: string | undefined, bytes: number): [number, number] | undefined {
  const [, from = '', to = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? []
  if (from === '' && to === '') return undefined
  const first = from === '' ? Math.max(0, bytes - Number(to)) : Number(from)
  const last = from === '' || to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1)
  if (first <= last) return [first, last]
  throw new Problem(416, 'range_not_satisfiable', `The file has ${bytes} bytes.`)
}

/** The files of exports, for anyone who has a link. */
export async function exportFileRoutes(app: App, { storage }: { storage: Storage }) {
  app.get(
    '/api/analytics/export/:id/file',
    {
      exposeHeadRoute: false,
      schema: {
        tags: ['exports'],
        security: [],
        operationId: 'downloadExport',
        summary: 'Download the file of an export',
        description:
          'With the `link` of a ready export. It works as long as the member who requested the export may see its contents. `Repr-Digest` (RFC 9530) has the SHA-256 of the whole file; a `Range` can be requested. Each download is an event.',
        'x-problems': ['invalid_token', 'permission_denied', 'range_not_satisfiable', 'database_unavailable'],
        params: IdParams,
        querystring: Strict({ token: Secret('From the link') }),
        headers: Type.Object({
          range: Type.Optional(
            Type.String({
              maxLength: 100,
              pattern: '^[ -~]*$',
              description: 'A part of the file',
              examples: ['bytes=0-99'],
            }),
          ),
        }),
        response: {
          200: { description: 'The file', headers: {}, content },
          206: { description: 'A part of it', headers: {}, content },
        },
      },
    },
    async (request, reply) => {
      const { body } = only(
        await request.anonymous(
          sql => sql<Answer[]>`
            select status, body from app.open_export_link(${request.params.id}, ${request.query.token}, true, ${request.id}, ${addressOf(request)})`,
          true,
        ),
      )
      const { key, resource, format, bytes, sha256, day } = JSON.parse(body ?? '{}') as File
      const range = rangeOf(request.headers.range, bytes)
      const [first, last] = range ?? [0, bytes - 1]
      const file = await storage.get(key, range)
      if (range) void reply.code(206).header('content-range', `bytes ${first}-${last}/${bytes}`)
      return reply
        .headers({
          'accept-ranges': 'bytes',
          'cache-control': 'private, no-store',
          'content-disposition': `attachment; filename="${fileName(resource, format, day)}"`,
          'content-length': last - first + 1,
          'repr-digest': `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`,
        })
        .type(`${formats[format]}; charset=utf-8`)
        .send(file)
    },
  )
}
