import { type Static, Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import {
  Currency,
  Id,
  IdParams,
  Line,
  Nullable,
  omittable,
  Patch,
  Role,
  ShortList,
  Slug,
  Strict,
  Timestamp,
  TimeZone,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { Member } from './member-shapes.ts'

const Month = Type.Integer({
  minimum: 1,
  maximum: 12,
  format: 'int32',
  description: 'The month in which the fiscal year begins',
  examples: [4],
})
const Organization = Strict(
  {
    id: Id,
    name: Line('Northlight Touring'),
    slug: Slug,
    currency: Currency,
    time_zone: TimeZone,
    fiscal_year_starts_in: Month,
    created_at: Timestamp,
    updated_at: Timestamp,
  },
  { title: 'Organization' },
)
export const MyOrganization = Strict(
  {
    id: Id,
    name: Line('Northlight Touring'),
    slug: Slug,
    role: Nullable(Role),
    deleted_at: Nullable(Timestamp),
  },
  { title: 'MyOrganization' },
)
const settings = { name: Line('Northlight Touring'), currency: Currency, time_zone: TimeZone }
const Settings = Strict(
  { ...settings, ...omittable({ fiscal_year_starts_in: Month }) },
  { title: 'OrganizationSettings' },
)
const NewOrganization = Strict(
  { name: settings.name, ...omittable({ currency: Currency, time_zone: TimeZone }) },
  { title: 'NewOrganization' },
)
const tags = ['organizations']

/** Organizations from the outside: listing one's own, creating and restoring one. */
export async function myOrganizationRoutes(app: App) {
  app.get(
    '/api/organizations',
    {
      schema: {
        tags,
        operationId: 'listOrganizations',
        summary: 'List the organizations you belong to, or with deleted=only those you may restore',
        description:
          'With your role in each. Your token is for one of them; `switchOrganization` returns one for another.',
        querystring: Strict({ deleted: Type.Optional(Type.Literal('only')) }),
        response: { 200: answer('Your organizations', ShortList(MyOrganization)) },
      },
    },
    (request, reply) =>
      request
        .account(
          sql =>
            sql<
              Answer[]
            >`select status, body from app.list_my_organizations(${request.query.deleted === 'only'})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/organizations',
    {
      schema: {
        tags,
        operationId: 'createOrganization',
        summary: 'Create an organization and own it',
        description:
          'The slug is derived from the name, with a number if that is taken. Your token stays the same: switch to work in the new one. A person can found 5 within a day.',
        'x-problems': [
          'slug_reserved',
          'too_many_foundings',
          'membership_revoked',
          ...constraintsOf('organizations'),
        ],
        headers: IdempotencyKey,
        body: NewOrganization,
        response: { 201: answer('Created', Organization, 'ETag', 'Location') },
      },
    },
    (request, reply) =>
      request
        .account(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag, location from app.create_organization(${sql.json(request.body)})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/organizations/:id/restore',
    {
      schema: {
        tags,
        operationId: 'restoreOrganization',
        summary: 'Restore a deleted organization and all that was deleted with it',
        description:
          'Its members return, too, in the roles they had. Your token may be for any organization.',
        'x-permission': 'organization.delete',
        params: IdParams,
        headers: IdempotencyKey,
        response: { 200: answer('Restored', Organization, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .account(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag, location from app.restore_organization(${request.params.id})`,
        )
        .then(reply.json),
  )
}

interface Change {
  tenant: FastifyRequest['tenant']
  params: { id: string }
  headers: { 'if-match'?: string }
  body: Partial<Static<typeof Settings>>
}
const write = (request: Change, reply: FastifyReply) =>
  request
    .tenant(
      sql => sql<Answer[]>`
      select status, body, etag from app.replace_organization(${request.params.id}, ${sql.json(request.body)}, ${request.headers['if-match'] ?? null})`,
    )
    .then(reply.json)

/** The organization of the token. */
export async function organizationRoutes(app: App) {
  const changes = ['slug_reserved', 'organization_has_books', ...constraintsOf('organizations')]
  app.get(
    '/api/organizations/:id',
    {
      schema: {
        tags,
        operationId: 'readOrganization',
        summary: "Read the token's organization, by id or by any slug it ever had",
        description: 'Every other id and slug answers 404, whether or not such an organization exists.',
        'x-permission': 'organization.read',
        params: Strict({
          id: Type.String({
            minLength: 1,
            maxLength: 80,
            pattern: '^[a-z0-9-]+$',
            description: 'Id or slug',
            examples: ['northlight-touring'],
          }),
        }),
        response: { 200: answer('The organization', Organization, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`select status, body, etag from app.read_organization(${request.params.id})`,
        )
        .then(reply.json),
  )

  app.put(
    '/api/organizations/:id',
    {
      schema: {
        tags,
        operationId: 'replaceOrganization',
        summary: "Replace the organization's name and settings; the slug follows the name",
        description:
          'All of them must be sent, except fiscal_year_starts_in, which otherwise stays. Earlier slugs keep working. The currency stays once there are finance records.',
        'x-problems': changes,
        'x-permission': 'organization.update',
        params: IdParams,
        headers: IfMatch,
        body: Settings,
        response: { 200: answer('The organization', Organization, 'ETag') },
      },
    },
    write,
  )

  app.patch(
    '/api/organizations/:id',
    {
      schema: {
        tags,
        operationId: 'updateOrganization',
        summary: "Change some of the organization's name and settings",
        description:
          'The slug follows the name, and earlier ones keep working. The currency stays once there are finance records.',
        'x-problems': changes,
        'x-permission': 'organization.update',
        params: IdParams,
        headers: IfMatch,
        body: Patch(Settings, 'OrganizationChange'),
        response: { 200: answer('The organization', Organization, 'ETag') },
      },
    },
    write,
  )

  app.delete(
    '/api/organizations/:id',
    {
      schema: {
        tags,
        operationId: 'deleteOrganization',
        summary: 'Delete the organization and all its data; it can be restored',
        description: 'Tokens for it are refused from now on. Those who could delete it can restore it.',
        'x-permission': 'organization.delete',
        params: IdParams,
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
            >`select status, body from app.delete_organization(${request.params.id}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/organizations/:id/transfer',
    {
      schema: {
        tags,
        operationId: 'transferOwnership',
        summary: 'Make another member the owner and yourself admin',
        description: 'Both happen at once, so the organization is never without an owner.',
        'x-problems': ['already_owner', 'last_owner'],
        'x-permission': 'organization.delete',
        params: IdParams,
        headers: IdempotencyKey,
        body: Strict({ user_id: Id }, { title: 'OwnershipTransfer' }),
        response: { 200: answer('The new owner', Member, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag from app.transfer_ownership(${request.params.id}, ${request.body.user_id})`,
        )
        .then(reply.json),
  )
}
