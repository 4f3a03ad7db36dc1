import { type Static, Type } from '@sinclair/typebox'
import type { App } from '../app.ts'
import { answer, IdempotencyKey, IfMatch } from '../openapi.ts'
import { page } from '../page.ts'
import { Email, Id, IdParams, Line, ListQuery, Page, Role, Strict, Timestamp } from '../schemas.ts'
import type { Answer } from '../tenant.ts'

export const Member = Strict({
  id: Id,
  email: Email,
  display_name: Line('Ana Lima'),
  role: Role,
  joined_at: Timestamp,
  updated_at: Timestamp,
})
export type Member = Static<typeof Member>

const sorts = {
  display_name: { column: 'display_name', type: 'text' },
  joined_at: { column: 'joined_at', type: 'timestamptz' },
} as const
const MemberQuery = Strict({
  ...ListQuery,
  role: Type.Optional(Role),
  sort: Type.Optional(Type.String({ enum: ['display_name', '-display_name', 'joined_at', '-joined_at'] })),
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
        'x-permission': 'members.read',
        querystring: MemberQuery,
        response: { 200: answer('Members', Page(Member), 'link') },
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
        'x-permission': 'members.manage',
        headers: IdempotencyKey,
        body: Strict({ email: Email, display_name: Line('Ben Okafor'), role: Role }),
        response: { 201: answer('Added', Member, 'etag', 'location') },
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
        'x-permission': 'members.read',
        params: IdParams,
        response: { 200: answer('The member', Member, 'etag') },
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
        summary: "Change a member's role",
        'x-permission': 'members.manage',
        params: IdParams,
        headers: IfMatch,
        body: Strict({ role: Role }),
        response: { 200: answer('The member', Member, 'etag') },
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
        'x-permission': 'members.manage',
        params: IdParams,
        response: { 204: answer('Removed') },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.remove_member(${request.params.id})`)
        .then(reply.json),
  )
}
