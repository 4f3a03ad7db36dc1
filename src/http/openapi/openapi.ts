// The OpenAPI document: what you must declare, and what follows from it.
//
// A route declares in its schema what only it can know: `tags`, `operationId`, `summary` and `description`,
// the TypeBox schemas of what it takes (params, querystring, headers, body), its successful answers (`response`, by
// `answer()` with the headers of a success), the permission it needs (`x-permission`), `security: []` if it needs
// no token, and by name the problems that are its own (`x-problems`). A schema with a `title` becomes a component
// of that name, which must be unique; every field needs an example, or examples in its parts.
// All the rest follows: the errors of an operation from what it takes (refusals.ts: a GET has no body that could be
// too large), their texts from problems.ts, the headers that every answer has (headers.ts), an example of each body
// (examples.ts), and components for what several operations share (components.ts). document.ts puts it together,
// once the server has all its routes. The tests validate every answer they get against the result, so anything
// undeclared fails there.

import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { type TSchema, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { complete } from './document.ts'
import type { HeaderName } from './headers.ts'
import type { Document } from './types.ts'

declare module 'fastify' {
  interface FastifySchema {
    /** The permission that the operation needs in the organization; absent if signing in is enough. */
    'x-permission'?: string
    /** Names of the problems that are this operation's own: see openapi/refusals.ts. */
    'x-problems'?: string[]
  }
}

/** A successful answer: its JSON and its headers. */
export function answer(description: string, schema?: TSchema, ...headers: HeaderName[]) {
  return {
    description,
    // Without a schema there is no body, and this is how @fastify/swagger is told so.
    ...(schema ? { content: { 'application/json': { schema } } } : { type: 'null' }),
    headers: Object.fromEntries(headers.map(name => [name, {}])),
  }
}

/** Request headers of an operation that changes a row. */
export const IfMatch = Type.Object({
  'if-match': Type.Optional(
    Type.String({
      maxLength: 400,
      // RFC 9110, with the characters that ours have.
      pattern: '^(\\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$',
      description:
        'ETag that the row must still have; weak, and with the suffix of a compressing proxy, it is the same',
      examples: ['"3"'],
    }),
  ),
})

/** Request headers of an operation that creates something. */
export const IdempotencyKey = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      pattern: '^[!-~]+$',
      description: 'Repeating the request with the same key within 24 hours returns the first answer',
      examples: ['6f1c2a34-create-winter-tour'],
    }),
  ),
})

/** Request headers of an operation that changes a row and must not be repeated. */
export const OnceIfMatch = Type.Object({ ...IfMatch.properties, ...IdempotencyKey.properties })

interface Options {
  /** Where the API is served. */
  url: string
  version: string
  /** What each tag is about, in the order in which they are shown. */
  tags: Record<string, string>
}

/** The OpenAPI 3.1 document at /openapi.json, made from the routes' own schemas, and a page at /docs. */
export const openapi = fp(
  async (app: FastifyInstance, { url, version, tags }: Options) => {
    const server = {
      url,
      description: 'Where this document is from: production, staging or local',
      'x-internal': false,
    }
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Callboard',
          version,
          description:
            'Shows, tours, money and people of companies that put on live shows. Every organization sees only its own data: the database enforces it.',
          license: { name: 'MIT', identifier: 'MIT' },
          contact: { name: 'The developers of Callboard' },
        },
        servers: [server],
        tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
        security: [{ token: [] }],
        components: {
          securitySchemes: {
            token: {
              type: 'http',
              scheme: 'bearer',
              bearerFormat: 'JWT',
              description:
                'access_token from the answer to a sign-in. Signed and verified as RFC8725 recommends: one algorithm, issuer, audience and expiry; its session is looked up on every request.',
            },
          },
        },
      },
      transform: ({ schema, url, route }) => {
        const limited =
          (route.config as { limited?: false } | undefined)?.limited === false ? [] : ['rate_limited']
        return { url, schema: { ...schema, 'x-problems': [...(schema['x-problems'] ?? []), ...limited] } }
      },
      transformObject: document =>
        complete((document as { openapiObject: unknown }).openapiObject as Document) as object,
    })
    await app.register(swaggerUi, {
      routePrefix: '/docs',
      // Unlike helmet's, without upgrade-insecure-requests, which leaves the page blank without TLS.
      staticCSP:
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      theme: { title: 'Callboard API' },
      // By default, the page sends its address to a validator on the internet.
      uiConfig: { validatorUrl: null },
    })
    app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
  },
  { name: 'openapi' },
)
