import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import {
  Deleted,
  IdParams,
  inBin,
  Line,
  noControls,
  Nullable,
  Patch,
  Permission,
  RoleId,
  ShortList,
  Strict,
  Timestamp,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'

const Permissions = Type.Array(Permission, { maxItems: 500, uniqueItems: true })
const Description = Type.String({
  maxLength: 1000,
  pattern: noControls,
  examples: ['Sees the shows and enters ticket sales'],
})
const name = Type.String({ ...Line('Box office'), maxLength: 100 })
const NewRole = Strict(
  { name, description: Type.Optional(Description), permissions: Permissions },
  { title: 'NewRole' },
)
const RoleChange = Patch(
  Type.Object({ name, description: Description, permissions: Permissions }),
  'RolePatch',
)
const RoleDetails = Strict(
  {
    id: RoleId,
    name,
    description: Description,
    is_built_in: Type.Boolean({ description: 'The built-in roles are the same in every organization' }),
    permissions: Permissions,
    created_at: Nullable(Timestamp),
    updated_at: Nullable(Timestamp),
    ...inBin,
  },
  { title: 'RoleDetails' },
)
const PermissionDetails = Strict(
  { name: Permission, description: Line('See shows and venues') },
  { title: 'Permission' },
)
const RoleParams = Strict({ id: RoleId })
const problems = ['permission_not_held', 'custom_role_name_taken', 'permission_unknown']
const tags = ['roles']

/** The roles that members can have, and the permissions that they consist of. */
export async function roleRoutes(app: App) {
  app.get(
    '/api/permissions',
    {
      schema: {
        tags,
        operationId: 'listPermissions',
        summary: 'List all permissions',
        description: 'Roles consist of them.',
        'x-permission': 'members.read',
        response: { 200: answer('Permissions', ShortList(PermissionDetails)) },
      },
    },
    (request, reply) =>
      request.tenant(sql => sql<Answer[]>`select status, body from app.list_permissions()`).then(reply.json),
  )

  app.get(
    '/api/roles',
    {
      schema: {
        tags,
        operationId: 'listRoles',
        summary: "List the roles: the built-in ones and the organization's own",
        description:
          'Each with its permissions. A member has one built-in role or none, and any number of the others.',
        'x-permission': 'members.read',
        querystring: Strict({ deleted: Deleted }),
        response: { 200: answer('Roles', ShortList(RoleDetails)) },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`select status, body from app.list_roles(${request.query.deleted === 'only'})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/roles',
    {
      schema: {
        tags,
        operationId: 'createRole',
        summary: 'Create a role for the organization',
        description: 'With permissions that you hold yourself.',
        'x-permission': 'members.manage',
        'x-problems': [...problems, ...constraintsOf('custom_roles')],
        headers: IdempotencyKey,
        body: NewRole,
        response: { 201: answer('Created', RoleDetails, 'ETag', 'Location') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag, location from app.create_role(${sql.json(request.body)})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/roles/:id',
    {
      schema: {
        tags,
        operationId: 'readRole',
        summary: 'Read a role',
        description: 'A built-in one by its name, or one of the organization’s own by its id.',
        'x-permission': 'members.read',
        params: RoleParams,
        response: { 200: answer('The role', RoleDetails, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body, etag from app.read_role(${request.params.id})`)
        .then(reply.json),
  )

  app.patch(
    '/api/roles/:id',
    {
      schema: {
        tags,
        operationId: 'updateRole',
        summary: 'Change a role of the organization’s own',
        description:
          'Its members hold its permissions from their next request on. You must hold them all, before and after.',
        'x-permission': 'members.manage',
        'x-problems': [...problems, 'role_built_in', ...constraintsOf('custom_roles')],
        params: RoleParams,
        headers: IfMatch,
        body: RoleChange,
        response: { 200: answer('The role', RoleDetails, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`
          select status, body, etag from app.update_role(${request.params.id}, ${sql.json(request.body)}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.delete(
    '/api/roles/:id',
    {
      schema: {
        tags,
        operationId: 'deleteRole',
        summary: 'Delete a role of the organization’s own',
        description: 'Its members lose its permissions with their next request, until it is restored.',
        'x-permission': 'members.manage',
        'x-problems': ['permission_not_held', 'role_built_in'],
        params: RoleParams,
        headers: IfMatch,
        response: { 204: answer('Deleted') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body from app.delete_role(${request.params.id}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/roles/:id/restore',
    {
      schema: {
        tags,
        operationId: 'restoreRole',
        summary: 'Restore a deleted role for those who had it',
        description: 'They hold its permissions from their next request on. You must hold them all.',
        'x-permission': 'members.manage',
        'x-problems': ['permission_not_held', 'custom_role_name_taken', 'parent_deleted'],
        params: IdParams,
        headers: IdempotencyKey,
        response: { 200: answer('The role', RoleDetails, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body, etag from app.restore_role(${request.params.id})`)
        .then(reply.json),
  )
}
