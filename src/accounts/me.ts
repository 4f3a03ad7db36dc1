import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { Email, Id, IdParams, Line, Nullable, ShortList, Strict, Timestamp } from '../http/schemas.ts'
import { type Answer, only } from '../tenant/answer.ts'
import { Grant } from './shapes.ts'

const Me = Strict(
  {
    id: Id,
    email: Email,
    display_name: Line('Ana Lima'),
    email_verified_at: Nullable(Timestamp),
    created_at: Timestamp,
    updated_at: Timestamp,
  },
  { title: 'Profile' },
)
const Session = Strict(
  {
    id: Id,
    is_current: Type.Boolean(),
    ip: Nullable(Type.String({ maxLength: 45, pattern: '^[0-9a-fA-F.:]+$', examples: ['192.0.2.7'] })),
    user_agent: Nullable(
      Type.String({ maxLength: 400, pattern: '^[\\t -~\\u0080-\\u00ff]*$', examples: ['curl/8.15.0'] }),
    ),
    created_at: Timestamp,
    refreshed_at: Timestamp,
    expires_at: Timestamp,
  },
  { title: 'Session' },
)

/** The signed-in user: profile, sessions, and tokens for their other organizations. */
export async function meRoutes(app: App) {
  app.get(
    '/api/me',
    {
      schema: {
        tags: ['me'],
        operationId: 'readMe',
        summary: 'Read your profile',
        description: 'What your colleagues see of you, and whether your address is verified.',
        response: { 200: answer('Your profile', Me, 'ETag') },
      },
    },
    (request, reply) =>
      request.account(sql => sql<Answer[]>`select status, body, etag from app.read_me()`).then(reply.json),
  )

  app.patch(
    '/api/me',
    {
      schema: {
        tags: ['me'],
        operationId: 'updateMe',
        summary: 'Change your profile',
        description: 'The email address is what you sign in with, and cannot be changed.',
        'x-problems': [...constraintsOf('users')],
        headers: IfMatch,
        body: Strict({ display_name: Line('Ana Lima') }, { title: 'ProfileChange' }),
        response: { 200: answer('Your profile', Me, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .account(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag from app.update_me(${sql.json(request.body)}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/sessions',
    {
      schema: {
        tags: ['sessions'],
        operationId: 'listSessions',
        summary: 'List your active sessions',
        description: 'Each is one sign-in; `is_current` marks the session of this request.',
        response: { 200: answer('Your sessions, newest first', ShortList(Session)) },
      },
    },
    (request, reply) =>
      request
        .account(
          sql => sql<Answer[]>`
          select json_build_object('items', coalesce(json_agg(body order by id desc), '[]'), 'next_cursor', null) as body from app.session_list`,
        )
        .then(reply.json),
  )

  app.delete(
    '/api/sessions/:id',
    {
      schema: {
        tags: ['sessions'],
        operationId: 'revokeSession',
        summary: 'End one of your sessions',
        description: 'Its next request is refused, even if its access token has not expired.',
        params: IdParams,
        response: { 204: answer('Ended') },
      },
    },
    (request, reply) =>
      request
        .account(sql => sql<Answer[]>`select status, body from app.end_session(${request.params.id})`)
        .then(reply.json),
  )

  app.post(
    '/api/auth/sign-out',
    {
      schema: {
        tags: ['auth'],
        operationId: 'signOut',
        summary: 'End this session',
        description: 'Both tokens of the session stop working at once.',
        response: { 204: answer('Signed out') },
      },
    },
    (request, reply) =>
      request
        .account(
          sql =>
            sql<Answer[]>`select status, body from app.end_session(app.current_session_id(), 'signed_out')`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/auth/switch',
    {
      schema: {
        tags: ['auth'],
        operationId: 'switchOrganization',
        summary: 'Get an access token for another of your organizations',
        description: 'The session and its refresh token stay the same, so the answer has no `refresh_token`.',
        'x-problems': ['not_found'],
        body: Strict({ organization_id: Id }, { title: 'OrganizationChoice' }),
        response: { 200: answer('A token for that organization', Grant) },
      },
    },
    async (request, reply) => {
      const rows = await request.account(
        sql =>
          sql<Answer[]>`select status, body from app.switch_organization(${request.body.organization_id})`,
      )
      return reply.secret(app.issue(only(rows).body, request.user.sid))
    },
  )
}
