import { Type } from '@sinclair/typebox'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey, IfMatch } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { page } from '../tenant/list.ts'
import {
  Email,
  Id,
  IdParams,
  ListQuery,
  Nullable,
  Page,
  Role,
  Secret,
  sortBy,
  Strict,
  Timestamp,
} from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { MyOrganization } from './organizations.ts'

const Invitation = Strict(
  {
    id: Id,
    email: Email,
    role: Role,
    invited_by: { ...Id, description: 'Who sent it last' },
    status: Type.String({
      enum: ['pending', 'accepted', 'expired', 'void'],
      description: 'Nobody can accept a void one: `void_because` says why; sending it again makes it yours',
    }),
    void_because: Nullable(Type.String({ enum: ['inviter_removed', 'inviter_lost_permission'] })),
    expires_at: Timestamp,
    accepted_at: Nullable(Timestamp),
    created_at: Timestamp,
    updated_at: Timestamp,
  },
  { title: 'Invitation' },
)
const sorts = {
  created_at: 'timestamptz',
  email: 'text',
} as const
const tags = ['invitations']

/** Accepting an invitation, which happens before joining the organization. */
export async function acceptInvitationRoutes(app: App) {
  app.post(
    '/api/invitations/accept',
    {
      schema: {
        tags,
        operationId: 'acceptInvitation',
        summary: 'Join the organization that invited you',
        description:
          'The invitation must be for your own address, and who sent it must still be able to give the role. Your token stays the same: switch to work there.',
        'x-problems': [
          'invalid_token',
          'invitation_for_another_address',
          'invitation_void',
          'already_member',
          'membership_revoked',
        ],
        headers: IdempotencyKey,
        body: Strict({ token: Secret('From the link') }, { title: 'MailedToken' }),
        response: { 200: answer('You are now a member', MyOrganization) },
      },
    },
    (request, reply) =>
      request
        .account(sql => sql<Answer[]>`select status, body from app.accept_invitation(${request.body.token})`)
        .then(reply.json),
  )
}

/** Invitations to the organization, for those who manage its members. */
export async function invitationRoutes(app: App) {
  app.get(
    '/api/invitations',
    {
      schema: {
        tags,
        operationId: 'listInvitations',
        summary: 'List invitations that have not been revoked',
        description:
          'Pending, accepted, expired, and void: those whose sender was removed or may no longer give the role.',
        'x-permission': 'members.manage',
        querystring: Strict({
          ...ListQuery,
          sort: Type.Optional(sortBy(sorts)),
        }),
        response: { 200: answer('Invitations', Page(Invitation), 'Link') },
      },
    },
    (request, reply) => {
      const { limit, cursor, sort = '-created_at' } = request.query
      return request
        .tenant(sql =>
          page(sql, {
            from: 'invitation_list',
            permission: 'members.manage',
            sorts,
            sort,
            limit,
            cursor,
            where: [],
          }),
        )
        .then(reply.json)
    },
  )

  app.post(
    '/api/invitations',
    {
      preHandler: app.mailLimit,
      schema: {
        tags,
        operationId: 'createInvitation',
        summary: 'Invite somebody by mail',
        description:
          'An address can have one open invitation; `resendInvitation` sends it again. When it is accepted, you must still be a member who can give the role.',
        'x-problems': [
          'already_member',
          'invitation_pending',
          'permission_not_held',
          ...constraintsOf('invitations'),
        ],
        'x-permission': 'members.manage',
        headers: IdempotencyKey,
        body: Strict({ email: Email, role: Role }, { title: 'NewInvitation' }),
        response: {
          201: answer('Invited; the link is valid for seven days', Invitation, 'ETag', 'Location'),
        },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body, etag, location from app.create_invitation(${request.body.email}, ${request.body.role})`,
        )
        .then(reply.json),
  )

  app.get(
    '/api/invitations/:id',
    {
      schema: {
        tags,
        operationId: 'readInvitation',
        summary: 'Read an invitation',
        description: 'The link is only in the mail.',
        'x-permission': 'members.manage',
        params: IdParams,
        response: { 200: answer('The invitation', Invitation, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`select status, body, etag from app.read_invitation(${request.params.id})`,
        )
        .then(reply.json),
  )

  app.post(
    '/api/invitations/:id/resend',
    {
      preHandler: app.mailLimit,
      schema: {
        tags,
        operationId: 'resendInvitation',
        summary: 'Mail a new link; the old one stops working',
        description:
          'Also for an expired or a void invitation: the new link is valid for seven days. It is yours from then on.',
        'x-problems': ['permission_not_held'],
        'x-permission': 'members.manage',
        params: IdParams,
        headers: IdempotencyKey,
        response: { 200: answer('Sent again', Invitation, 'ETag') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql => sql<Answer[]>`select status, body, etag from app.resend_invitation(${request.params.id})`,
        )
        .then(reply.json),
  )

  app.delete(
    '/api/invitations/:id',
    {
      schema: {
        tags,
        operationId: 'revokeInvitation',
        summary: 'Revoke an open invitation',
        description: 'Its link stops working. An accepted one answers 404: remove the member instead.',
        'x-permission': 'members.manage',
        params: IdParams,
        headers: IfMatch,
        response: { 204: answer('Revoked') },
      },
    },
    (request, reply) =>
      request
        .tenant(
          sql =>
            sql<
              Answer[]
            >`select status, body from app.revoke_invitation(${request.params.id}, ${request.headers['if-match'] ?? null})`,
        )
        .then(reply.json),
  )
}
