import { Type } from '@sinclair/typebox'
import type { App } from '../app.ts'
import { answer, IdempotencyKey } from '../openapi.ts'
import { page } from '../page.ts'
import {
  Email,
  Id,
  IdParams,
  ListQuery,
  Nullable,
  Page,
  Role,
  Secret,
  Strict,
  Timestamp,
} from '../schemas.ts'
import type { Answer } from '../tenant.ts'
import { MyOrganization } from './organizations.ts'

const Invitation = Strict({
  id: Id,
  email: Email,
  role: Role,
  invited_by: Id,
  status: Type.String({ enum: ['pending', 'accepted', 'expired'] }),
  expires_at: Timestamp,
  accepted_at: Nullable(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
})
const sorts = {
  created_at: { column: 'created_at', type: 'timestamptz' },
  email: { column: 'email', type: 'text' },
} as const
const tags = ['invitations']

/** Accepting an invitation happens before one belongs to the organization. */
export async function acceptInvitationRoutes(app: App) {
  app.post(
    '/api/invitations/accept',
    {
      schema: {
        tags,
        operationId: 'acceptInvitation',
        summary: 'Join the organization that invited you',
        body: Strict({ token: Secret('From the link') }),
        response: { 200: answer('You belong to it now', MyOrganization) },
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
        summary: 'List invitations that were not revoked',
        'x-permission': 'members.manage',
        querystring: Strict({
          ...ListQuery,
          sort: Type.Optional(Type.String({ enum: ['created_at', '-created_at', 'email', '-email'] })),
        }),
        response: { 200: answer('Invitations', Page(Invitation), 'link') },
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
      schema: {
        tags,
        operationId: 'createInvitation',
        summary: 'Invite somebody by mail',
        'x-permission': 'members.manage',
        headers: IdempotencyKey,
        body: Strict({ email: Email, role: Role }),
        response: {
          201: answer('Invited; the link is valid for seven days', Invitation, 'etag', 'location'),
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

  app.post(
    '/api/invitations/:id/resend',
    {
      schema: {
        tags,
        operationId: 'resendInvitation',
        summary: 'Mail a new link; the old one stops working',
        'x-permission': 'members.manage',
        params: IdParams,
        headers: IdempotencyKey,
        response: { 200: answer('Sent again', Invitation, 'etag') },
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
        'x-permission': 'members.manage',
        params: IdParams,
        response: { 204: answer('Revoked') },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.revoke_invitation(${request.params.id})`)
        .then(reply.json),
  )
}
