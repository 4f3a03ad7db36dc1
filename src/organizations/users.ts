import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { page } from '../tenant/list.ts'
import { Email, IdParams, Line, ListQuery, Page, Role, sortBy, Strict } from '../http/schemas.ts'
import { ChangedMember, LeftBehind, Member } from './member-shapes.ts'
import { settleBiLogin } from '../tenant/settle-bi-login.ts'
import { type Answer, only } from '../tenant/answer.ts'

const sorts = {
  display_name: 'text',
  joined_at: 'timestamptz',
} as const
const MemberQuery = Strict({
  ...ListQuery,
  role: Type.Optional(Role),
  sort: Type.Optional(sortBy(sorts)),
})
const tags = ['users']

/** The members of the organization. */
export async function userRoutes(app: App) {
  app.get(
    '/api/users',
    {
      schema: {
        tags,
        operationId: 'listUsers',
        summary: 'List the members',
        description: 'Former members are not included.',
        'x-permission': 'members.read',
        querystring: MemberQuery,
        response: { 200: answer('Members', Page(Member), 'Link') },
      },
    },
    (request, reply) => {
      const { limit, cursor, role, sort = 'display_name' } = request.query
      return request
        .tenant(sql =>
          page(sql, {
            from: 'member_list',
            permission: 'members.read',
            sorts,
            sort,
            limit,
            cursor,
            where: [role === undefined ? undefined : sql`role = ${role}`],
          }),
        )
        .then(reply.json)
    },
  )

  app.post(
    '/api/users',
    {
      preHandler: app.mailLimit,
      schema: {
        tags,
        operationId: 'addUser',
        summary: 'Add somebody at once; an unknown address gets an account and a mail to choose a password',
        description: 'Somebody who was a member before gets their membership back, in the new role.',
        'x-problems': [
          'already_member',
          'address_unverified',
          'permission_not_held',
          ...constraintsOf('users'),
          ...constraintsOf('memberships'),
        ],
        'x-permission': 'members.manage',
        headers: IdempotencyKey,
        body: Strict({ email: Email, display_name: Line('Ben Okafor'), role: Role }, { title: 'NewMember' }),
        response: { 201: answer('Added', Member, 'ETag', 'Location') },
      },
    },
    (request, reply) => {
      const { email, display_name, role } = request.body
      return request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag, location from app.add_member(${email}, ${display_name}, ${role})`,
        )
        .then(reply.json)
    },
  )

  app.get(
    '/api/users/:id',
    {
      schema: {
        tags,
        operationId: 'readUser',
        summary: 'Read a member',
        description: 'By the id of the user, which is the same in all organizations.',
        'x-permission': 'members.read',
        params: IdParams,
        response: { 200: answer('The member', Member, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body, etag from app.read_member(${request.params.id})`)
        .then(reply.json),
  )

  app.patch(
    '/api/users/:id',
    {
      schema: {
        tags,
        operationId: 'changeUserRole',
        summary: "Change a member's built-in role",
        description:
          'Takes effect with their next request. The last owner stays owner. `left_behind` is what they have made and may no longer make.',
        'x-problems': ['last_owner', 'permission_not_held', ...constraintsOf('memberships')],
        'x-permission': 'members.manage',
        params: IdParams,
        headers: IfMatch,
        body: Strict({ role: Role }, { title: 'RoleChange' }),
        response: { 200: answer('The member', ChangedMember, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.change_member_role(${request.params.id}, ${request.body.role}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.delete(
    '/api/users/:id',
    {
      schema: {
        tags,
        operationId: 'removeUser',
        summary: 'Remove a member, or leave yourself (which needs no permission)',
        description:
          'Their next request is refused, and their calendar feeds and exports end for good, even if they come back. Their BI logins are suspended and their open invitations void: if there are any, the answer is 200 and names them. `?bi_credentials=revoke` revokes these logins, with the permission `bi.manage`. The last owner cannot be removed.',
        'x-problems': ['last_owner', 'permission_not_held'],
        'x-permission': 'members.manage',
        params: IdParams,
        querystring: Strict({
          bi_credentials: Type.Optional(
            Type.Literal('revoke', { description: 'Revoke the BI logins for which they answer' }),
          ),
        }),
        headers: IfMatch,
        response: {
          200: answer('Removed; this is what they leave behind', LeftBehind),
          204: answer('Removed; they leave nothing behind'),
        },
      },
    },
    async (request, reply) => {
      const revokes = request.query.bi_credentials === 'revoke'
      const removed = await request.tenant(
        sql => sql<Answer[]>`
          select status, body from app.remove_member(${request.params.id}, ${request.headers['if-match'] ?? null}, ${revokes})`,
      )
      const { bi_credentials } = JSON.parse(only(removed).body ?? '{"bi_credentials":[]}') as LeftBehind
      if (revokes) for (const { id } of bi_credentials) await settleBiLogin(request, id)
      return reply.json(removed)
    },
  )
}
