import { Type } from '@sinclair/typebox'
import { formats } from './formats.ts'
import { type Resource, resources } from './resources.ts'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey } from '../http/openapi/openapi.ts'
import { page } from '../tenant/list.ts'
import { Problem } from '../http/problem.ts'
import { Id, IdParams, ListQuery, Nullable, Page, sortBy, Strict, Timestamp } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { Bom } from './streams.ts'

const word = (title: string, values: string[], description: string) =>
  Type.String({ title, enum: values, description, examples: values.slice(0, 1) })
const ExportResource = word('ExportResource', Object.keys(resources), 'What is exported')
const ExportFormat = word('ExportFormat', Object.keys(formats), 'What the file is')
const ExportFilters = Type.Record(
  Type.String({ pattern: '^[a-z_]{1,50}$' }),
  Type.String({ maxLength: 200, pattern: '^[^\\u0000]*$' }),
  {
    title: 'ExportFilters',
    additionalProperties: false,
    maxProperties: 20,
    description: 'Those of its list, and `sort`',
    examples: [{ from: '2027-01-01' }],
  },
)
const size = (example: number) =>
  Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, format: 'int64', examples: [example] })
const Export = Strict(
  {
    id: Id,
    resource: ExportResource,
    format: ExportFormat,
    bom: Bom,
    filters: ExportFilters,
    status: word(
      'ExportStatus',
      ['queued', 'running', 'ready', 'failed', 'cancelled', 'expired'],
      'How far it is; only a ready export has a file',
    ),
    rows_done: Type.Integer({ ...size(1200), description: 'Rows written so far' }),
    bytes: Nullable(size(512_000)),
    sha256: Nullable(Type.String({ pattern: '^[0-9a-f]{64}$', maxLength: 64, examples: ['0'.repeat(64)] })),
    failure: Nullable(
      Type.String({
        maxLength: 2000,
        pattern: '^[^\\u0000]*$',
        description: 'Why it failed',
        examples: ['The member who requested it no longer has permission.'],
      }),
    ),
    link: Nullable(
      Type.String({
        maxLength: 500,
        pattern: '^/api/analytics/export/[0-9a-f-]{36}/file\\?token=[0-9a-f.]+$',
        description: 'Link to the file, valid for an hour without an access token; each answer has a new one',
        examples: [`/api/analytics/export/01980c5e-8c5e-7b4a-9d59-3f1de6a3c111/file?token=${'0'.repeat(32)}`],
      }),
    ),
    created_by: Id,
    created_at: Timestamp,
    finished_at: Nullable(Timestamp),
    expires_at: Nullable(Type.String({ ...Timestamp, description: 'When the file is deleted' })),
  },
  { title: 'Export' },
)
const NewExport = Strict(
  {
    resource: ExportResource,
    format: ExportFormat,
    bom: Type.Optional(Bom),
    filters: Type.Optional(ExportFilters),
  },
  { title: 'NewExport' },
)
const sorts = { created_at: 'timestamptz' } as const
const tags = ['exports']
const permission = { 'x-permission': 'exports.run' }
/** The filters that the lists accept in their query strings. */
const filtersOf = Object.fromEntries(
  Object.entries(resources).map(([name, { filters }]) => [name, Strict(filters)]),
)

/** Exports made by the worker. Members see only their own. */
export async function exportJobRoutes(app: App) {
  app.post(
    '/api/analytics/export',
    {
      schema: {
        tags,
        operationId: 'createExport',
        summary: 'Request an export file',
        description:
          'The worker writes what you may see at that time: poll the export until it is `ready`, and download the file with its `link`. It is kept for seven days. Requires the permission to read the resource besides `exports.run`; if you lose either, the export fails.',
        ...permission,
        'x-problems': ['too_many_exports', 'too_many_exports_of_all', 'export_storage_full'],
        headers: IdempotencyKey,
        body: NewExport,
        response: { 202: answer('Queued', Export, 'Location') },
      },
    },
    async (request, reply) => {
      const { resource, format, bom = false, filters = {} } = request.body
      const check = request.compileValidationSchema(filtersOf[resource as Resource] ?? {}, 'querystring')
      if (!check({ ...filters }))
        throw new Problem(
          400,
          'validation',
          'See errors for what is wrong, and where.',
          check.errors?.map(({ instancePath, message }) => ({
            path: `/body/filters${instancePath}`,
            message: String(message),
          })),
        )
      const rows = await request.tenant(
        sql => sql<Answer[]>`
          select status, body, location from app.create_export(${resource}, ${format}, ${bom}, ${sql.json(filters)})`,
      )
      void reply.header('location', rows[0]?.location ?? '')
      return reply.json(rows)
    },
  )

  app.get(
    '/api/analytics/export',
    {
      schema: {
        tags,
        operationId: 'listExports',
        summary: 'List your exports',
        description: 'Oldest first, unless `sort` says otherwise. They are listed for 30 days.',
        ...permission,
        querystring: Strict({
          ...ListQuery,
          resource: Type.Optional(ExportResource),
          sort: Type.Optional(sortBy(sorts)),
        }),
        response: { 200: answer('Exports', Page(Export), 'Link') },
      },
    },
    (request, reply) => {
      const { limit, cursor, resource, sort = 'created_at' } = request.query
      return request
        .tenant(sql => {
          const where = [resource === undefined ? undefined : sql`resource = ${resource}`]
          return page(sql, {
            from: 'export_list',
            permission: 'exports.run',
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

  app.get(
    '/api/analytics/export/:id',
    {
      schema: {
        tags,
        operationId: 'readExport',
        summary: 'Read the progress of an export',
        description:
          'While it is running, `rows_done` grows. Each answer for a ready export has a new `link`.',
        ...permission,
        params: IdParams,
        response: { 200: answer('The export', Export) },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.read_export(${request.params.id})`)
        .then(reply.json),
  )

  app.post(
    '/api/analytics/export/:id/cancel',
    {
      schema: {
        tags,
        operationId: 'cancelExport',
        summary: 'Cancel an export',
        description: 'A running export stops soon, without a file.',
        'x-problems': ['export_ended'],
        ...permission,
        params: IdParams,
        headers: IdempotencyKey,
        response: { 200: answer('The export', Export) },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.cancel_export(${request.params.id})`)
        .then(reply.json),
  )
}
