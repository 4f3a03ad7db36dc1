import { type TSchema, Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IfMatch } from '../http/openapi/openapi.ts'
import { IdParams } from '../http/schemas.ts'
import { takeFiles, Upload } from '../http/upload.ts'
import type { Answer } from '../tenant/answer.ts'
import { entering, Expense, fileTypes } from './expense-shapes.ts'

const limit = 5_242_880
const schema = Type.String({
  maxLength: limit,
  format: 'binary',
  description: 'A PDF, a JPEG or a PNG of at most 5 MiB',
  examples: ['%PDF-1.7'],
})
const content: Record<string, { schema: TSchema }> = Object.fromEntries(
  fileTypes.map(type => [type, { schema }]),
)
const extensions: Record<string, string> = {
  'application/pdf': 'pdf',
  'image/jpeg': 'jpg',
  'image/png': 'png',
}

/** The receipts of expenses: a file each. */
export async function receiptRoutes(app: App) {
  await app.register(async (files: App) => {
    takeFiles(files, limit, fileTypes)
    files.put(
      '/api/expenses/:id/receipt',
      {
        schema: {
          ...entering,
          operationId: 'putReceipt',
          summary: 'Upload the receipt of an expense of your own',
          description:
            'In place of the one before, while the expense can be changed. What it is, its first bytes say. Receipts count with imports in what an organization may store.',
          'x-problems': [
            'expense_not_open',
            'receipt_storage_full',
            'expense_receipt_held',
            'expense_receipts_type_known',
            'expense_receipts_size',
          ],
          params: IdParams,
          headers: IfMatch,
          body: { content },
          response: { 200: answer('The expense', Expense, 'ETag') },
        },
      },
      async (request, reply) => {
        // Without a body there is no upload; the database says so, to those who may know.
        const upload = (request.body as Upload | null | undefined) ?? undefined
        const pieces: Buffer[] = []
        for await (const piece of upload?.pieces() ?? []) pieces.push(piece)
        return request
          .tenant(
            sql =>
              sql<
                Answer[]
              >`select status, body, etag from app.put_receipt(${request.params.id}, ${Buffer.concat(pieces)}, ${request.headers['if-match'] ?? null})`,
          )
          .then(reply.json)
      },
    )
  })

  app.get(
    '/api/expenses/:id/receipt',
    {
      schema: {
        ...entering,
        operationId: 'downloadReceipt',
        summary: 'Download the receipt of an expense',
        description: 'For those who see the expense.',
        params: IdParams,
        response: { 200: { description: 'The file', headers: {}, content } },
      },
    },
    async (request, reply) => {
      const [file] = await request.tenant(
        sql => sql<{ content_type: string; content: Buffer }[]>`
          select content_type, content from app.read_receipt(${request.params.id})`,
      )
      const { content_type = '', content: bytes } = file ?? {}
      return reply
        .headers({
          'cache-control': 'private, no-store',
          'content-disposition': `attachment; filename="receipt-${request.params.id}.${extensions[content_type] ?? 'bin'}"`,
          'x-content-type-options': 'nosniff',
        })
        .type(content_type)
        .send(bytes ?? Buffer.alloc(0))
    },
  )

  app.delete(
    '/api/expenses/:id/receipt',
    {
      schema: {
        ...entering,
        operationId: 'deleteReceipt',
        summary: 'Remove the receipt of an expense of your own',
        description: 'For good, while the expense can be changed.',
        'x-problems': ['expense_not_open', 'expense_receipt_held'],
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
            >`select status, body from app.delete_receipt(${request.params.id}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )
}
