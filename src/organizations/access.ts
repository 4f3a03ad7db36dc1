import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey } from '../http/openapi/openapi.ts'
import { Id, noControls, Strict } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

const Question = Strict(
  {
    user_id: Type.Optional(Type.String({ ...Id, description: 'Whose access; your own by default' })),
    table: Type.String({ maxLength: 60, pattern: '^[a-z_]+$', examples: ['shows'] }),
    id: Type.Optional(
      Type.String({ ...Id, description: 'The row; without it, any row of the organization' }),
    ),
    command: Type.String({ enum: ['select', 'insert', 'update', 'delete'], examples: ['update'] }),
    changes: Type.Optional(
      Strict(
        { status: Type.String({ maxLength: 40, pattern: '^[a-z_]+$', examples: ['confirmed'] }) },
        { description: 'What an update would set' },
      ),
    ),
  },
  { title: 'AccessQuestion' },
)
const Sentence = Type.String({
  maxLength: 2000,
  pattern: noControls,
  examples: ['They do not hold shows.write. These roles do: admin, manager, owner.'],
})
const Explanation = Strict(
  {
    is_allowed: Type.Boolean({ description: 'Whether every step passes' }),
    reason: Type.String({ ...Sentence, description: 'The first step that does not pass' }),
    steps: Type.Array(
      Strict({
        step: Type.String({
          maxLength: 40,
          pattern: '^[a-z]+$',
          description:
            'account, session, organization, membership, permission, row, period, settlement, status, references',
          examples: ['permission'],
        }),
        passes: Type.Boolean(),
        detail: Sentence,
      }),
      { maxItems: 100 },
    ),
  },
  { title: 'AccessExplanation' },
)

/** Why can I not see this row? */
export async function accessRoutes(app: App) {
  app.post(
    '/api/access/explain',
    {
      schema: {
        tags: ['permissions'],
        operationId: 'explainAccess',
        summary: 'Explain why somebody may or may not see, create, change or delete something',
        description:
          'Step by step, for yourself or, with members.manage, for any member. What belongs to another organization does not exist for you.',
        'x-problems': [
          'no_organization',
          'membership_revoked',
          'organization_deleted',
          'permission_denied',
          'not_found',
          'explain_table_unknown',
          'explain_row_unnamed',
        ],
        headers: IdempotencyKey,
        body: Question,
        response: { 200: answer('The explanation', Explanation) },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.explain_access(${sql.json(request.body)})`)
        .then(reply.json),
  )
}
