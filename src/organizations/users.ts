import { type Static, Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { page } from '../tenant/list.ts'
import {
  Email,
  Id,
  IdParams,
  Line,
  ListQuery,
  Nullable,
  Page,
  Role,
  sortBy,
  Strict,
  Timestamp,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

export const Member = Strict(
  {
    id: Id,
    email: Email,
    display_name: Line('Ana Lima'),
    role: Nullable(Role),
    custom_roles: Type.Array(Strict({ id: Id, name: Line('Box office') }), { maxItems: 10_000 }),
    joined_at: Timestamp,
    updated_at: Timestamp,
  },
  { title: 'Member' },
)
export type Member = Static<typeof Member>

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
        description: 'Takes effect with their next request. The last owner stays owner.',
        'x-problems': ['last_owner', 'permission_not_held', ...constraintsOf('memberships')],
        'x-permission': 'members.manage',
        params: IdParams,
        headers: IfMatch,
        body: Strict({ role: Role }, { title: 'RoleChange' }),
        response: { 200: answer('The member', Member, 'ETag') },
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
        description: 'Their next request is refused. The last owner cannot be removed.',
        'x-problems': ['last_owner', 'permission_not_held'],
        'x-permission': 'members.manage',
        params: IdParams,
        headers: IfMatch,
        response: { 204: answer('Removed') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body from app.remove_member(${request.params.id}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )
}
