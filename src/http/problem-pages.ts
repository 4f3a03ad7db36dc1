import { Type } from '@sinclair/typebox'
import type { App } from './fastify.ts'
import { answer } from './openapi/openapi.ts'
import { Problem } from './problem.ts'
import { problems } from './problems.ts'
import { Strict } from './schemas.ts'

const Name = Type.String({ maxLength: 100, pattern: '^[a-z0-9_]+$', examples: ['last_owner'] })
const ProblemType = Strict(
  {
    type: Type.String({
      maxLength: 200,
      pattern: '^/problems/[a-z0-9_]+$',
      examples: ['/problems/last_owner'],
    }),
    status: Type.Integer({ minimum: 400, maximum: 599, format: 'int32', examples: [409] }),
    title: Type.String({ maxLength: 200, pattern: '^[ -~]+$', examples: ['An organization needs an owner'] }),
  },
  { title: 'ProblemType' },
)

export const tags = { problems: 'What the `type` of an error refers to' }

/** What the `type` of a problem refers to. */
export async function problemRoutes(app: App) {
  app.get(
    '/problems/:name',
    {
      schema: {
        tags: ['problems'],
        security: [],
        operationId: 'readProblemType',
        summary: 'Describe a problem type',
        description: 'The `type` of every error answer is a path of this operation.',
        params: Strict({ name: Name }),
        response: { 200: answer('The type', ProblemType) },
      },
    },
    request => {
      const { name } = request.params
      const known = Object.hasOwn(problems, name) ? problems[name] : undefined
      if (!known) throw new Problem(404, 'not_found', 'Unknown problem type.')
      return { type: `/problems/${name}`, status: known.status, title: known.title }
    },
  )
}
