import { Type } from '@sinclair/typebox'
import type { App } from '../app.ts'
import { answer } from '../openapi.ts'
import { Problem, problems } from '../problem.ts'
import { Strict } from '../schemas.ts'

const Name = Type.String({ maxLength: 100, pattern: '^[a-z0-9_]+$', examples: ['last_owner'] })
const ProblemType = Strict({
  type: Type.String({ maxLength: 200 }),
  status: Type.Integer({ minimum: 400, maximum: 599, format: 'int32' }),
  title: Type.String({ maxLength: 200 }),
})

/** What the `type` of a problem leads to. */
export async function problemRoutes(app: App) {
  app.get(
    '/problems/:name',
    {
      schema: {
        tags: ['problems'],
        security: [],
        operationId: 'readProblemType',
        summary: 'What a type of problem is',
        params: Strict({ name: Name }),
        response: { 200: answer('The type', ProblemType) },
      },
    },
    request => {
      const known = problems[request.params.name]
      if (!known) throw new Problem(404, 'not_found', 'There is no such type of problem.')
      return { type: `/problems/${request.params.name}`, status: known.status, title: known.title }
    },
  )
}
