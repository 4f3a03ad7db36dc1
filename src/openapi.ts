import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { type TSchema, Type } from '@sinclair/typebox'
import type { FastifyInstance, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { problems } from './problem.ts'
import { ProblemDetails } from './schemas.ts'

declare module 'fastify' {
  interface FastifySchema {
    /** The permission that the operation needs in the organization; absent where being signed in is enough. */
    'x-permission'?: string
  }
}

const headers = {
  etag: { description: 'Version of the row, for If-Match', schema: { type: 'string', maxLength: 40 } },
  location: { description: 'Path of what was created', schema: { type: 'string', maxLength: 200 } },
  link: {
    description: 'The next page (rel="next"), where there is one',
    schema: { type: 'string', maxLength: 2000 },
  },
}

/** A successful answer: its JSON and which headers come with it. */
export function answer(description: string, schema?: TSchema, ...named: (keyof typeof headers)[]) {
  return {
    description,
    ...(schema && { content: { 'application/json': { schema } } }),
    headers: Object.fromEntries(named.map(name => [name, headers[name]])),
  }
}

/** Request headers of an operation that changes a row. */
export const IfMatch = Type.Object({
  'if-match': Type.Optional(
    Type.String({ maxLength: 400, description: 'ETag that the row must still have', examples: ['"3"'] }),
  ),
})

/** Request headers of an operation that creates something. */
export const IdempotencyKey = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      pattern: '^[!-~]+$',
      description: 'Repeating the request with the same key within 24 hours gives the first answer again',
    }),
  ),
})

/** Every error status that an operation can answer with, besides those it declares. */
function errorStatuses(route: RouteOptions): number[] {
  const { security, params, body, headers: h } = route.schema ?? {}
  const isPublic = Array.isArray(security) && security.length === 0
  const properties = (h as { properties?: object } | undefined)?.properties ?? {}
  return [
    400,
    ...(isPublic ? [] : [401, 403]),
    ...(params ? [404] : []),
    ...(body ? [409, 413, 415, 422] : []),
    ...('if-match' in properties ? [409, 412] : []),
    429,
    500,
    503,
  ]
}

/** The OpenAPI 3.1 document at /openapi.json, made from the routes' own schemas, and a page at /docs. */
export const openapi = fp(
  async (app: FastifyInstance, { url, version }: { url: string; version: string }) => {
    // Every route gets its error answers here, so that none can forget one.
    app.addHook('onRoute', route => {
      if (route.schema?.hide || !route.schema?.operationId) return
      const declared = (route.schema.response ?? {}) as Record<string, unknown>
      const errors = errorStatuses(route).map(status => [
        status,
        {
          description: Object.values(problems).find(p => p.status === status)?.title ?? 'Error',
          content: { 'application/problem+json': { schema: ProblemDetails } },
        },
      ])
      route.schema = { ...route.schema, response: { ...Object.fromEntries(errors), ...declared } }
    })
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Callboard',
          version,
          description:
            'Shows, people and organizations of companies that put on live shows. Every organization sees only its own: the database decides.',
          license: { name: 'MIT', identifier: 'MIT' },
          contact: { name: 'The developers of Callboard' },
        },
        servers: [{ url }],
        security: [{ token: [] }],
        components: { securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
      },
    })
    await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true })
    app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
  },
  { name: 'openapi' },
)
