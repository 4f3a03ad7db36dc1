import { randomUUID } from 'node:crypto'
import { type TObject, Type } from '@sinclair/typebox'
import { type Format, formats, textOf } from './formats.ts'
import { fileName } from './names.ts'
import { resources } from './resources.ts'
import type { App } from '../http/fastify.ts'
import type { Filters, Rows, RowSettings } from '../tenant/list.ts'
import { Problem } from '../http/problem.ts'
import { Strict } from '../http/schemas.ts'

export const Bom = Type.Boolean({
  description: 'CSV begins with a byte order mark, which some spreadsheets need',
  examples: [true],
})
const text = (pattern: string, example: string) =>
  Type.String({ maxLength: 1_000_000_000, pattern, examples: [example] })

/** A row of a file has the fields of an item of the list. */
const contentOf = (item: TObject) => ({
  [formats.json]: {
    schema: Strict(
      { items: Type.Array(item, { maxItems: 100_000_000 }), next_cursor: Type.Null() },
      { title: `${item.title}Export` },
    ),
  },
  [formats.csv]: { schema: text('^[^\\u0000]*$', `${Object.keys(item.properties).join()}\r\n`) },
  [formats.ndjson]: { schema: text('^[^\\u0000]*$', '{"id":"01980c5e-8c5e-7b4a-9d59-3f1de6a3c111"}\n') },
})

/** Lists without pages, and figures: all rows, streamed. */
export async function exportRoutes(app: App, settings: RowSettings) {
  for (const [resource, rows] of Object.entries<Rows>(resources)) {
    const path = resource.replaceAll('_', '-')
    app.get(
      `/api/exports/${path}`,
      {
        exposeHeadRoute: false,
        schema: {
          tags: ['exports'],
          operationId: `export${resource.replace(/(^|_)([a-z])/g, (_, __, letter: string) => letter.toUpperCase())}`,
          summary: `Export ${path.replace('-', ' ')}`,
          description: `${rows.about}, as CSV (\`Accept: text/csv\`), as NDJSON (\`application/x-ndjson\`) or as JSON. Requires ${rows.permissions.map(name => `\`${name}\``).join(' and ')} besides \`exports.run\`. The rows are a consistent snapshot; an answer whose connection breaks off is incomplete. Its start and end are events.`,
          // The one that fewer roles have.
          'x-permission': rows.permissions.includes('audit.read') ? 'audit.read' : 'exports.run',
          'x-problems': ['not_acceptable', 'exports_busy', ...rows.problems],
          querystring: Strict({ ...rows.filters, bom: Type.Optional(Bom) }),
          response: {
            200: { description: 'All rows', headers: { 'Data-Age': {} }, content: contentOf(rows.item) },
          },
        },
      },
      async (request, reply) => {
        void reply.header('vary', 'Accept')
        const [json, ...others] = [formats.json, formats.csv, formats.ndjson]
        const type = request.accepts().type([json, ...others])
        if (typeof type !== 'string')
          throw new Problem(406, 'not_acceptable', `Available media types: ${[json, ...others].join(', ')}.`)
        const format = (Object.keys(formats) as Format[]).find(name => formats[name] === type) ?? 'json'
        const { bom = false, ...filters } = request.query as Filters & { bom?: boolean }
        const id = randomUUID()
        let done = 0
        const out = await request.streamed({
          note: sql => sql`select app.log_export(${id}, ${resource}, ${sql.json({ format, filters })})`,
          check: sql => sql`select app.require_export(${resource})`,
          pieces: sql => textOf(sql, { rows, format, bom, filters, settings }, n => (done += n)),
          noteEnd: (sql, is_whole) =>
            sql`select app.log_export(${id}, ${resource}, ${sql.json({ format, rows: done, is_whole })}, true)`,
        })
        return reply
          .headers({
            'cache-control': 'no-store',
            'content-disposition': `attachment; filename="${fileName(path, format)}"`,
          })
          .type(`${type}; charset=utf-8`)
          .send(out as never)
      },
    )
  }
}
