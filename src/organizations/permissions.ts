import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { Id, IdParams, Line, Nullable, Permission, RoleId, Strict, Timestamp } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { Member } from './member-shapes.ts'

const ExpiresAt = Type.String({
  ...Timestamp,
  description: 'When it expires; null for never',
  examples: ['2999-12-31T00:00:00Z'],
})
const MemberPermissions = Strict(
  {
    user_id: Id,
    items: Type.Array(
      Strict({
        permission: Permission,
        description: Line('See shows and venues'),
        is_held: Type.Boolean({ description: 'The result of the sources: a denial outweighs all others' }),
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
      description: 'grant adds to the roles, deny takes away from roles and grants',
    }),
    expires_at: Type.Optional(Nullable(ExpiresAt)),
  },
  { title: 'PermissionException' },
)
const RoleParams = Strict({ id: Id, roleId: RoleId })
const PermissionParams = Strict({ id: Id, permission: Permission })
const tags = ['permissions']

/** What a single member may do: their roles, and what they are granted or denied individually. */
export async function permissionRoutes(app: App) {
  app.post(
    '/api/users/:id/roles',
    {
      schema: {
        tags,
        operationId: 'assignRole',
        summary: 'Give a member a role',
        description:
          'A built-in role replaces the member’s current one; the organization’s own roles add up. You must hold every permission of the role and of the member.',
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
        summary: 'Remove a role from a member',
        description: 'Its permissions are gone with their next request. The last owner stays owner.',
        'x-permission': 'members.manage',
        'x-problems': ['permission_not_held', 'last_owner'],
        params: RoleParams,
        headers: IfMatch,
        response: { 204: answer('Removed') },
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
        summary: 'List what a member may do, and why',
        description: 'Every permission there is, with everything that grants it to the member or denies it.',
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
        summary: 'Grant or deny a member a permission, permanently or for a time',
        description:
          'Takes effect with their next request. You must hold the permission yourself, without an expiry. Owners cannot be denied anything.',
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
        summary: "Remove a member's grant or denial, so that their roles alone decide",
        description: 'To lift a denial you must hold the permission yourself.',
        'x-permission': 'members.manage',
        'x-problems': ['permission_not_held'],
        params: PermissionParams,
        headers: IfMatch,
        response: { 204: answer('Removed') },
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
