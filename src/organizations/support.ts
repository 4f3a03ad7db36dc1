import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import {
  Count,
  Id,
  IdParams,
  Line,
  ListQuery,
  noControls,
  Nullable,
  Page,
  Slug,
  Strict,
  Timestamp,
} from '../http/schemas.ts'
import { type Answer, only } from '../tenant/answer.ts'
import { Grant } from '../accounts/shapes.ts'

const AnyOrganization = Strict(
  {
    id: Id,
    name: Line('Northlight Touring'),
    slug: Slug,
    members: Count(0, 12),
    created_at: Timestamp,
    deleted_at: Nullable(Timestamp),
  },
  { title: 'AnyOrganization' },
)
const RateLimit = Strict(
  {
    requests: Nullable(Type.Integer({ ...Count(1, 1000), maximum: 1_000_000_000 })),
    window_seconds: Nullable(Type.Integer({ ...Count(1, 60), maximum: 86_400 })),
    block_seconds: Nullable(Type.Integer({ ...Count(0, 300), maximum: 86_400 })),
  },
  { title: 'RateLimit' },
)
const SupportQuery = Strict({
  ...ListQuery,
  q: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 100,
      pattern: noControls,
      description: 'Text in the name',
      examples: ['north'],
    }),
  ),
})
const tags = ['support']

/** Superadmins. The database decides on every request whether a user is one. */
export async function supportRoutes(app: App) {
  const config = { limited: 'support' } as const

  app.post(
    '/api/support/token',
    {
      config,
      schema: {
        tags,
        operationId: 'createSupportToken',
        summary: 'Get a token to look into an organization as a superadmin',
        description:
          'For users to whom a DBA has given a grant. With the token, requests work as for a member who may read everything, and write if the grant allows it; each is an event in the organization’s log. Without an organization, the token is for listing all of them.',
        'x-problems': ['support_grant_needed'],
        body: Strict({ organization_id: Nullable(Id) }, { title: 'SupportTokenRequest' }),
        response: { 200: answer('The token', Grant) },
      },
    },
    async (request, reply) => {
      const { sid } = request.user
      const rows = await request.beforeSupport(
        sql =>
          sql<Answer[]>`select status, body from app.support_token(${sid}, ${request.body.organization_id})`,
      )
      return reply.secret(app.issue(only(rows).body, sid, { scope: 'superadmin' }))
    },
  )

  app.put(
    '/api/support/organizations/:id/rate-limit',
    {
      config,
      schema: {
        tags,
        operationId: 'setRateLimit',
        summary: 'Set the rate limit of an organization, as a superadmin',
        description:
          'Requires a grant for writing. null means the server’s setting. Takes effect within seconds, even for a blocked organization.',
        'x-problems': ['support_grant_needed', 'permission_denied', ...constraintsOf('rate_limits')],
        params: IdParams,
        body: RateLimit,
        response: { 200: answer('The limit', RateLimit) },
      },
    },
    (request, reply) =>
      request
        .support(
          request.params.id,
          sql => sql<Answer[]>`select status, body from app.set_rate_limit(${sql.json(request.body)})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/support/organizations',
    {
      config,
      schema: {
        tags,
        operationId: 'listAllOrganizations',
        summary: 'List all organizations, as a superadmin',
        description: 'By name, including deleted ones. Requires a grant for all organizations.',
        'x-problems': ['support_grant_needed'],
        querystring: SupportQuery,
        response: { 200: answer('Organizations', Page(AnyOrganization)) },
      },
    },
    (request, reply) => {
      const { q = null, cursor = null, limit = 50 } = request.query
      return request
        .support(
          null,
          sql =>
            sql<Answer[]>`select status, body from app.list_all_organizations(${q}, ${cursor}, ${limit})`,
        )
        .then(reply.json)
    },
  )
}
