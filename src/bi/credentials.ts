import { Type } from '@sinclair/typebox'
import { connectionsOf, madeWith, newDatabasePassword } from './connections.ts'
import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { page } from '../tenant/list.ts'
import { Problem } from '../http/problem.ts'
import { IdParams, ListQuery, Page, sortBy, Strict } from '../http/schemas.ts'
import { type Answer, only } from '../tenant/answer.ts'
import { settleBiLogin } from '../tenant/settle-bi-login.ts'
import { BiCredential, NewBiCredential, Rotation, WithPassword } from './shapes.ts'

const sorts = { created_at: 'timestamptz' } as const
const shared = { tags: ['bi'], 'x-permission': 'bi.manage' }

/** Logins of BI tools, which read `analytics` directly in the database; `url` is where tools reach it. */
export async function biCredentialRoutes(app: App, { url }: { url: string }) {
  /** Adds what is shown only once. For a repeated request the first answer is stored, but no password. */
  function shown(made: Answer, { password, verifier }: { password: string; verifier: string }): Answer {
    const { made_with, ...body } = JSON.parse(made.body ?? '{}') as { made_with: string; login: string }
    const isNew = made_with === madeWith(verifier)
    const connect = isNew ? connectionsOf(url, body.login, password) : null
    return { ...made, body: JSON.stringify({ ...body, password: isNew ? password : null, connect }) }
  }

  app.get(
    '/api/bi-credentials',
    {
      schema: {
        ...shared,
        operationId: 'listBiCredentials',
        summary: 'List BI credentials, including those that have ended',
        description: 'Newest first, unless `sort` says otherwise.',
        querystring: Strict({ ...ListQuery, sort: Type.Optional(sortBy(sorts)) }),
        response: { 200: answer('BI credentials', Page(BiCredential), 'Link') },
      },
    },
    (request, reply) => {
      const { limit, cursor, sort = '-created_at' } = request.query
      const options = {
        from: 'bi_credential_list',
        permission: 'bi.manage',
        sorts,
        sort,
        limit,
        cursor,
        where: [],
      }
      return request.tenant(sql => page(sql, options)).then(reply.json)
    },
  )

  app.post(
    '/api/bi-credentials',
    {
      schema: {
        ...shared,
        operationId: 'createBiCredential',
        summary: 'Create a login for a BI tool',
        description:
          'A PostgreSQL login that reads the views of `analytics`, including money, of this organization and nothing else, until it expires or is revoked. It is suspended when you leave or lose the permission, until another member rotates it. The password and connection strings are shown once. At most 10 at a time.',
        'x-problems': [...constraintsOf('bi_credentials'), 'bi_credential_limit'],
        headers: IdempotencyKey,
        body: NewBiCredential,
        response: { 201: answer('Created', WithPassword, 'Location') },
      },
    },
    async (request, reply) => {
      const secrets = await newDatabasePassword()
      const made = await request.tenant(
        sql => sql<Answer[]>`
        select status, body, location from app.create_bi_credential(${sql.json(request.body)}, ${secrets.verifier})`,
      )
      return reply.header('cache-control', 'no-store').json([shown(only(made), secrets)])
    },
  )

  app.get(
    '/api/bi-credentials/:id',
    {
      schema: {
        ...shared,
        operationId: 'readBiCredential',
        summary: 'Read a BI credential',
        description: 'It stays listed after it has ended.',
        params: IdParams,
        response: { 200: answer('The credential', BiCredential) },
      },
    },
    (request, reply) =>
      request
        .tenant(sql => sql<Answer[]>`select status, body from app.read_bi_credential(${request.params.id})`)
        .then(reply.json),
  )

  app.post(
    '/api/bi-credentials/:id/rotate',
    {
      schema: {
        ...shared,
        operationId: 'rotateBiCredential',
        summary: 'Give a BI credential a new password, and take it over',
        description:
          'Its end stays, unless it has expired or `expires_in_days` is given, which counts from now. Connections with the old password are closed. From then on it is yours: a suspended one is active again, until you leave or lose the permission.',
        'x-problems': ['bi_credential_revoked', 'bi_credential_limit', 'bi_credentials_expiry_range'],
        params: IdParams,
        headers: IdempotencyKey,
        body: Rotation,
        response: { 200: answer('Rotated', WithPassword) },
      },
    },
    async (request, reply) => {
      const secrets = await newDatabasePassword()
      const made = await request.tenant(
        sql => sql<Answer[]>`
        select status, body from app.rotate_bi_credential(${request.params.id}, ${sql.json(request.body)}, ${secrets.verifier})`,
      )
      const rotated = shown(only(made), secrets)
      if (!(await settleBiLogin(request, request.params.id)))
        throw new Problem(
          503,
          'database_unavailable',
          'The login has no new password yet, and is shut out: rotate it again.',
        )
      return reply.header('cache-control', 'no-store').json([rotated])
    },
  )

  app.delete(
    '/api/bi-credentials/:id',
    {
      schema: {
        ...shared,
        operationId: 'revokeBiCredential',
        summary: 'Permanently revoke a BI credential',
        description: 'Its connections are closed, and new ones are refused.',
        'x-problems': ['bi_credential_revoked'],
        params: IdParams,
        response: { 204: answer('Revoked') },
      },
    },
    async (request, reply) => {
      const revoked = await request.tenant(
        sql => sql<Answer[]>`select status, body from app.revoke_bi_credential(${request.params.id})`,
      )
      await settleBiLogin(request, request.params.id)
      return reply.json(revoked)
    },
  )
}
