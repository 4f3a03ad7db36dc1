import { Type } from '@sinclair/typebox'
import type { App } from '../app.ts'
import { answer, IfMatch } from '../openapi.ts'
import { Email, Id, IdParams, Line, Nullable, ShortList, Strict, Timestamp } from '../schemas.ts'
import { type Answer, only } from '../tenant.ts'
import { Grant } from './auth.ts'

const Me = Strict({
  id: Id,
  email: Email,
  display_name: Line('Ana Lima'),
  email_verified_at: Nullable(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
})
const Session = Strict({
  id: Id,
  is_current: Type.Boolean(),
  ip: Nullable(Type.String({ maxLength: 45 })),
  user_agent: Nullable(Type.String({ maxLength: 400 })),
  created_at: Timestamp,
  refreshed_at: Timestamp,
  expires_at: Timestamp,
})

/** The signed-in user: profile, sessions, and the token for another of their organizations. */
export async function meRoutes(app: App) {
  app.get(
    '/api/me',
    {
      schema: {
        tags: ['me'],
        operationId: 'readMe',
        summary: 'Read your profile',
        response: { 200: answer('Your profile', Me, 'etag') },
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
        headers: IfMatch,
        body: Strict({ display_name: Line('Ana Lima') }),
        response: { 200: answer('Your profile', Me, 'etag') },
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
        summary: 'List your live sessions',
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
        body: Strict({ organization_id: Id }),
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
