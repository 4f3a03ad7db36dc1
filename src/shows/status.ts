import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey } from '../http/openapi/openapi.ts'
import { IdParams, Line, Strict } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { Show, Status } from './shapes.ts'

const Correction = Strict(
  {
    status: Status,
    reason: Type.String({ ...Line('Entered for the wrong show'), maxLength: 1000 }),
  },
  { title: 'ShowStatusCorrection' },
)

/** The way back from a status that was entered by mistake. */
export async function showStatusRoutes(app: App) {
  app.post(
    '/api/shows/:id/status',
    {
      schema: {
        tags: ['shows'],
        operationId: 'correctShowStatus',
        summary: 'Correct the status of a show',
        description:
          'To any status but `settled`, also where `PATCH` refuses it: a wrong click need not be deleted. Also needs `shows.write`. The event log keeps the reason (`show.correct_status`). A settled show is reopened instead.',
        'x-problems': ['show_status_transition', 'show_status_reason_visible'],
        'x-permission': 'shows.delete',
        params: IdParams,
        headers: IdempotencyKey,
        body: Correction,
        response: { 200: answer('The show', Show, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.correct_show_status(${request.params.id}, ${sql.json(request.body)})`,
        )
        .then(reply.json),
  )
}
