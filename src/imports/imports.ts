import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { takeFiles, Upload } from '../http/upload.ts'
import { answer, IdempotencyKey } from '../http/openapi/openapi.ts'
import { page } from '../tenant/list.ts'
import {
  Count,
  Id,
  IdParams,
  Line,
  ListQuery,
  Nullable,
  Page,
  sortBy,
  Strict,
  Timestamp,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

const word = (values: string[], description: string) =>
  Type.String({ enum: values, description, examples: values.slice(0, 1) })
const Resource = word(['finance_records', 'shows'], 'What the rows of the file are')
const Delimiter = word([',', ';', '\t', '|'], 'The cell separator; detected by default')
const Decimal = word(
  ['point', 'comma'],
  'The decimal separator of numbers; by default what the numbers of the file say, and if 1.250 could be both, the import fails and asks',
)
const Encoding = word(['utf-8', 'utf-16le', 'utf-16be', 'windows-1252'], 'Detected by default')
const Dates = word(
  ['dmy', 'mdy'],
  'The order of day and month in dates with slashes or dashes such as 14/3/2027; by default what other dates of the file say',
)
const Source = Type.String({
  ...Line('bank'),
  maxLength: 100,
  description: 'The source of references in lines without one',
})
const OnError = word(['abort', 'skip'], 'If there are bad lines: refuse all, or enter the good ones')
const FileName = Line('march.csv')
const Import = Strict(
  {
    id: Id,
    resource: Resource,
    file_name: Nullable(FileName),
    bytes: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, format: 'int64', examples: [5120] }),
    sha256: Nullable(
      Type.String({
        pattern: '^[0-9a-f]{64}$',
        maxLength: 64,
        examples: ['0'.repeat(64)],
        description: 'Of the file; null for others than who uploaded it',
      }),
    ),
    delimiter: Nullable(Delimiter),
    decimal: Nullable(Decimal),
    encoding: Nullable(Encoding),
    dates: Nullable(Dates),
    source: Nullable(Source),
    ignored_columns: Type.Array(Line('colour'), {
      maxItems: 100,
      description: 'Columns of the file that are not known, and left out',
    }),
    status: word(
      ['uploaded', 'checking', 'checked', 'queued', 'running', 'done', 'failed', 'cancelled'],
      'How far it is; only a checked import can be run',
    ),
    on_error: Nullable(OnError),
    lines: Type.Integer({ ...Count(0, 120), description: 'Lines with data' }),
    bad_lines: Type.Integer({ ...Count(0, 2), description: 'Lines with a problem' }),
    existing: Type.Integer({
      ...Count(0, 10),
      description: 'Lines whose reference already exists; they are skipped',
    }),
    created: Type.Integer({ ...Count(0, 108), description: 'Lines that have been entered' }),
    lines_done: Type.Integer({ ...Count(0, 118), description: 'Lines checked or entered so far' }),
    failure: Nullable(
      Type.String({
        maxLength: 2000,
        pattern: '^[^\\u0000]*$',
        description: 'Why it failed',
        examples: ['The column amount or amount_minor is missing.'],
      }),
    ),
    created_by: Id,
    created_at: Timestamp,
    finished_at: Nullable(Timestamp),
  },
  { title: 'Import' },
)
const BadLine = Strict(
  {
    line: Count(1, 17),
    problems: Type.Array(
      Strict({
        column: Type.String({
          maxLength: 100,
          pattern: '^[a-z_]*$',
          description: 'Empty for a cell beyond the header',
          examples: ['amount'],
        }),
        reason: Type.String({
          maxLength: 500,
          pattern: '^[^\\u0000]*$',
          examples: ['An amount is required.'],
        }),
      }),
      { maxItems: 100 },
    ),
  },
  { title: 'BadLine' },
)
const sorts = { created_at: 'timestamptz' } as const
const tags = ['imports']
const permission = { 'x-permission': 'imports.run' }

/** Files of shows and finance records: uploaded, checked, and then entered by the worker. */
export async function importRoutes(app: App, { limit }: { limit: number }) {
  await app.register(async (files: App) => {
    takeFiles(files, limit)
    files.post(
      '/api/imports',
      {
        schema: {
          tags,
          operationId: 'createImport',
          summary: 'Upload a file to import',
          description:
            'CSV (RFC 4180) whose header names columns as in the API; columns that are not known are left out (`ignored_columns`); `amount`, `tax` and `fee` are in whole units of the currency, `category` and `venue` are names. Lines with a `fee` are bad lines unless you hold `finance.write`. The file is checked, and nothing is entered yet: poll the import until it is `checked`, look at its problems, then run it.',
          ...permission,
          'x-problems': ['too_many_imports', 'import_storage_full'],
          headers: IdempotencyKey,
          querystring: Strict({
            resource: Resource,
            file_name: Type.Optional(FileName),
            delimiter: Type.Optional(Delimiter),
            decimal: Type.Optional(Decimal),
            encoding: Type.Optional(Encoding),
            dates: Type.Optional(Dates),
            source: Type.Optional(Source),
          }),
          body: {
            content: {
              'text/csv': {
                schema: Type.String({
                  maxLength: limit,
                  pattern: '^[^\\u0000]*$',
                  examples: ['booked_on,category,amount\r\n2027-03-14,Guarantee,5000.00\r\n'],
                }),
              },
            },
          },
          response: { 201: answer('Uploaded', Import, 'Location') },
        },
      },
      (request, reply) => {
        const { resource, file_name = null, ...options } = request.query
        // Without a body there is no upload; the database says so, to those who may know.
        const upload = (request.body as Upload | null | undefined) ?? new Upload()
        return request
          .tenant(async sql => {
            const made = await sql<Answer[]>`
              select status, body, location from app.create_import(${resource}, ${file_name}, ${upload.bytes}, ${upload.sha256}, ${sql.json(options)})`
            const { id } = JSON.parse(made[0]?.body ?? '{}') as { id: string }
            let n = 0
            for await (const piece of upload.pieces())
              await sql`select app.add_import_chunk(${id}, ${n++}, ${piece})`
            return made
          })
          .then(reply.json)
      },
    )
  })

  app.get(
    '/api/imports',
    {
      schema: {
        tags,
        operationId: 'listImports',
        summary: 'List imports',
        description: 'Oldest first, unless `sort` says otherwise. They are kept for 30 days.',
        ...permission,
        querystring: Strict({
          ...ListQuery,
          resource: Type.Optional(Resource),
          sort: Type.Optional(sortBy(sorts)),
        }),
        response: { 200: answer('Imports', Page(Import), 'Link') },
      },
    },
    (request, reply) => {
      const { limit, cursor, resource, sort = 'created_at' } = request.query
      return request
        .tenant(sql => {
          const where = [resource === undefined ? undefined : sql`resource = ${resource}`]
          return page(sql, {
            from: 'import_list',
            permission: 'imports.run',
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
    '/api/imports/:id',
    {
      schema: {
        tags,
        operationId: 'readImport',
        summary: 'Read the progress of an import',
        description: 'While it is checking or running, `lines_done` grows.',
        ...permission,
        params: IdParams,
        response: { 200: answer('The import', Import) },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.read_import(${request.params.id})`)
        .then(reply.json),
  )

  app.get(
    '/api/imports/:id/problems',
    {
      schema: {
        tags,
        operationId: 'listImportProblems',
        summary: 'List the bad lines of an import',
        description: 'Each with every invalid column, and why.',
        ...permission,
        params: IdParams,
        querystring: Strict({
          limit: ListQuery.limit,
          cursor: Type.Optional(
            Type.String({
              pattern: '^[0-9]{1,9}$',
              maxLength: 9,
              description: 'next_cursor of the previous page',
              examples: ['17'],
            }),
          ),
        }),
        response: { 200: answer('Bad lines', Page(BadLine), 'Link') },
      },
    },
    (request, reply) => {
      const { limit = 50, cursor = '0' } = request.query
      return request
        .tenant(
          sql => sql<Answer[]>`
            select body, body ->> 'next_cursor' as next_cursor from app.list_import_problems(${request.params.id}, ${Number(cursor)}, ${limit})`,
        )
        .then(reply.json)
    },
  )

  app.post(
    '/api/imports/:id/run',
    {
      schema: {
        tags,
        operationId: 'runImport',
        summary: 'Enter the lines of a checked import',
        description:
          'In one transaction, as you and with your permissions at that time: all lines or, with `on_error` skip, all but the bad ones. Lines whose reference already exists are skipped.',
        'x-problems': ['import_not_checked', 'import_has_bad_lines'],
        ...permission,
        params: IdParams,
        headers: IdempotencyKey,
        body: Strict({ on_error: OnError }, { title: 'ImportRun' }),
        response: { 200: answer('Queued', Import) },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body from app.run_import(${request.params.id}, ${request.body.on_error})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/imports/:id/cancel',
    {
      schema: {
        tags,
        operationId: 'cancelImport',
        summary: 'Cancel an import',
        description: 'A running import stops soon, and nothing of it is entered.',
        'x-problems': ['import_ended'],
        ...permission,
        params: IdParams,
        headers: IdempotencyKey,
        response: { 200: answer('The import', Import) },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.cancel_import(${request.params.id})`)
        .then(reply.json),
  )
}
