import { ProblemDetails } from '../schemas.ts'
import { referAll, shareErrors, shareSchemas } from './components.ts'
import { exampleOf } from './examples.ts'
import { commonHeaders, headers } from './headers.ts'
import { problemNamed, refusalsOf } from './refusals.ts'
import type { Document, Operation, Response, Schema } from './types.ts'

/**
 * Completes the document generated from the routes' schemas with the error answers, headers and examples
 * of every operation. What is used in many places becomes a component.
 */
export function complete(document: Document): Document {
  const used = new Set<string>()
  for (const operations of Object.values(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const refusals = refusalsOf(operation, method)
      for (const name of [...refusals.values()].flat()) used.add(name)
      completeOperation(operation, method, refusals)
    }
  }
  const schemas: Record<string, Schema> = {}
  const paths = shareSchemas(document.paths, schemas) as Document['paths']
  const responses = shareErrors(paths)
  const examples = Object.fromEntries(Array.from(used, name => [name, problemExample(name)]))
  return { ...document, paths, components: { ...document.components, schemas, responses, headers, examples } }
}

function completeOperation(operation: Operation, method: string, refusals: Map<string, string[]>) {
  const { operationId, tags = [], parameters = [], requestBody } = operation
  // What a route declares has no references yet.
  const responses = operation.responses as Record<string, Response>
  for (const { content = {} } of [requestBody ?? {}, ...Object.values(responses)]) {
    for (const media of Object.values(content)) media.example ??= exampleOf(media.schema, operationId)
  }
  for (const parameter of parameters) {
    parameter.example ??= exampleOf(parameter.schema, `${operationId} ${parameter.name}`)
    // @fastify/swagger has moved description and example out of the schema: it is no longer the shared one.
    delete parameter.schema.title
  }
  for (const [status, names] of refusals) responses[status] = refusal(names, responses[status])
  for (const [status, response] of Object.entries(responses)) {
    const own = Object.keys(response.headers ?? {})
    // A replica may serve these: see replica.ts.
    if (method === 'get' && status === '200' && tags.includes('analytics')) own.push('Data-Age')
    response.headers = referAll('headers', [...own, ...commonHeaders(status, refusals.has('429'))])
  }
  // The answers name them now.
  delete operation['x-problems']
}

function refusal(names: string[], own?: Response): Response {
  const titles = names.map(name => `\`${name}\`: ${problemNamed(name).title}`)
  const media = { schema: ProblemDetails, examples: referAll('examples', names) }
  return {
    description: [...(own ? [own.description] : []), ...titles].join('; '),
    content: { ...own?.content, 'application/problem+json': media },
  }
}

function problemExample(name: string) {
  const { status, title } = problemNamed(name)
  const value = {
    type: `/problems/${name}`,
    title,
    status,
    detail: `${title}.`,
    instance: headers['X-Request-Id'].example,
    ...(name === 'validation' && { errors: [{ path: '/body/title', message: 'must be string' }] }),
  }
  return { summary: title, value }
}
