import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { Id, IdParams, Line, Nullable, Permission, RoleId, Strict, Timestamp } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { Member } from './users.ts'

const ExpiresAt = Type.String({
  ...Timestamp,
  description: 'When it ends; null for never',
  examples: ['2999-12-31T00:00:00Z'],
})
const MemberPermissions = Strict(
  {
    user_id: Id,
    items: Type.Array(
      Strict({
        permission: Permission,
        description: Line('See shows and venues'),
        is_held: Type.Boolean({ description: 'What the sources come to: a denial outweighs all others' }),
        sources: Type.Array(
          Strict({
            source: Type.String({ enum: ['role', 'grant', 'deny'] }),
            role_id: Nullable(RoleId),
            role_name: Nullable(Line('viewer')),
            expires_at: Nullable(ExpiresAt),
            granted_by: Nullable(Id),
          }),
          { maxItems: 10_000 },
        ),
      }),
      { maxItems: 500 },
    ),
    next_cursor: Type.Null(),
  },
  { title: 'MemberPermissions' },
)
const Exception = Strict(
  {
    effect: Type.String({
      enum: ['grant', 'deny'],
      description: 'grant adds to the roles, deny takes from them and from grants',
    }),
    expires_at: Type.Optional(Nullable(ExpiresAt)),
  },
  { title: 'PermissionException' },
)
const RoleParams = Strict({ id: Id, roleId: RoleId })
const PermissionParams = Strict({ id: Id, permission: Permission })
const tags = ['permissions']

/** What a single member may do: their roles, and what they are granted or denied beside them. */
export async function permissionRoutes(app: App) {
  app.post(
    '/api/users/:id/roles',
    {
      schema: {
        tags,
        operationId: 'assignRole',
        summary: 'Give a member a role',
        description:
          'A built-in role takes the place of the one they have; the organization’s own roles stand beside each other. You must hold all that the role gives, and all that the member holds.',
        'x-permission': 'members.manage',
        'x-problems': ['permission_not_held', 'last_owner', 'role_unknown'],
        params: IdParams,
        headers: IdempotencyKey,
        body: Strict({ role_id: RoleId }, { title: 'RoleAssignment' }),
        response: { 200: answer('The member', Member, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag from app.assign_role(${request.params.id}, ${request.body.role_id})`,
        )
        .then(reply.json),
  )

  app.delete(
    '/api/users/:id/roles/:roleId',
    {
      schema: {
        tags,
        operationId: 'unassignRole',
        summary: 'Take a role from a member',
        description: 'What it gave is gone with their next request. The last owner stays owner.',
        'x-permission': 'members.manage',
        'x-problems': ['permission_not_held', 'last_owner'],
        params: RoleParams,
        headers: IfMatch,
        response: { 204: answer('Taken') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body from app.unassign_role(${request.params.id}, ${request.params.roleId}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/users/:id/permissions',
    {
      schema: {
        tags,
        operationId: 'listUserPermissions',
        summary: 'What a member holds, and where it comes from',
        description: 'Every permission that there is, with all that gives it to the member or takes it.',
        'x-permission': 'members.read',
        params: IdParams,
        response: { 200: answer('Permissions', MemberPermissions, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<Answer[]>`select status, body, etag from app.member_permissions_of(${request.params.id})`,
        )
        .then(reply.json),
  )

  app.put(
    '/api/users/:id/permissions/:permission',
    {
      schema: {
        tags,
        operationId: 'setUserPermission',
        summary: 'Grant or deny a member a permission, for good or for a while',
        description:
          'It holds from their next request on. You must hold it yourself, and not only for a while. Nothing is denied to an owner.',
        'x-permission': 'members.manage',
        'x-problems': [
          'permission_not_held',
          'owner_keeps_permissions',
          ...constraintsOf('member_permissions'),
        ],
        params: PermissionParams,
        headers: IfMatch,
        body: Exception,
        response: { 200: answer('What the member holds now', MemberPermissions, 'ETag') },
      },
    },
    (request, reply) => {
      const { id, permission } = request.params
      return request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.set_member_permission(${id}, ${permission}, ${sql.json(request.body)}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json)
    },
  )

  app.delete(
    '/api/users/:id/permissions/:permission',
    {
      schema: {
        tags,
        operationId: 'clearUserPermission',
        summary: "Take back a member's grant or denial, so that their roles alone decide",
        description: 'To lift a denial you must hold the permission yourself.',
        'x-permission': 'members.manage',
        'x-problems': ['permission_not_held'],
        params: PermissionParams,
        headers: IfMatch,
        response: { 204: answer('Taken back') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body from app.clear_member_permission(${request.params.id}, ${request.params.permission}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )
}
