import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import type { App } from '../http/fastify.ts'
import type { Client } from '../database/pool.ts'
import { answer } from '../http/openapi/openapi.ts'
import { constraintsOf } from '../http/openapi/refusals.ts'
import { prove } from './password.ts'
import { Problem } from '../http/problem.ts'
import { Currency, Email, Id, Line, Secret, Strict, TimeZone } from '../http/schemas.ts'
import { type Answer, only } from '../tenant/answer.ts'
import { addressOf } from '../http/address.ts'
import { newSecret, splitRefreshToken } from '../http/tokens.ts'
import { Grant, RefreshToken } from './shapes.ts'

export const NewPassword = Type.String({
  minLength: 10,
  maxLength: 200,
  format: 'password',
  examples: ['seven black umbrellas'],
})
export const Password = Type.String({
  minLength: 1,
  maxLength: 200,
  format: 'password',
  examples: ['seven black umbrellas'],
})
const Registration = Strict(
  {
    email: Email,
    password: NewPassword,
    display_name: Line('Ana Lima'),
    organization_name: Type.Optional(Line('Northlight Touring')),
    currency: Type.Optional({
      ...Currency,
      description: 'ISO 4217, of the new organization’s books; USD by default',
    }),
    time_zone: Type.Optional({ ...TimeZone, description: 'Of the new organization; UTC by default' }),
    invitation_token: Type.Optional(Secret('From the invitation link; instead of organization_name')),
  },
  {
    title: 'Registration',
    examples: [
      {
        email: 'ana@northlight.example',
        password: 'seven black umbrellas',
        display_name: 'Ana Lima',
        organization_name: 'Northlight Touring',
        currency: 'EUR',
        time_zone: 'Europe/Berlin',
      },
    ],
  },
)
const SignIn = Strict(
  { email: Email, password: Password, organization_id: Type.Optional(Id) },
  { title: 'SignIn' },
)
const Refresh = Strict(
  {
    refresh_token: Type.String({
      ...Secret('refresh_token from the last answer'),
      examples: RefreshToken.examples,
    }),
    organization_id: Type.Optional(Id),
  },
  { title: 'Refresh' },
)

/** The recipe for a password's proof: an account's, by its email address, or a fresh one. */
export async function recipeFor(request: FastifyRequest, email: string | null = null): Promise<string> {
  const [row] = await request.anonymous(
    sql => sql<[{ recipe: string }]>`select app.password_recipe(${email}) as recipe`,
  )
  return row.recipe
}

/** Registering, signing in and refreshing: what works without an access token. */
export async function authRoutes(app: App) {
  const schema = { tags: ['auth'], security: [] }

  async function signIn(
    request: FastifyRequest,
    email: string,
    proof: Buffer,
    organization: string | null,
    before?: (sql: Client) => PromiseLike<Answer[]>,
  ) {
    const session = newSecret()
    const refresh = newSecret()
    const client = { ip: addressOf(request), user_agent: request.headers['user-agent'] ?? null }
    const rows = await request.anonymous(async sql => {
      const done = await before?.(sql)
      if ((done?.[0]?.status ?? 0) >= 400) return done ?? []
      return sql<Answer[]>`
        select status, body from app.sign_in(${email}, ${proof}, ${session.hash}, ${refresh.hash}, ${sql.json(client)}, ${organization})`
    })
    return app.issue(only(rows).body, session.secret, { refreshSecret: refresh.secret })
  }

  app.post(
    '/api/auth/register',
    {
      preHandler: [app.signInLimit, app.mailLimit],
      schema: {
        ...schema,
        operationId: 'register',
        summary: 'Create an account and its first organization, and sign in',
        description:
          'Send either `organization_name` to own a new organization, or `invitation_token` to join the one that invited you. Without an invitation, a link to verify the email address is mailed.',
        'x-problems': [
          'invalid_token',
          'invitation_for_another_address',
          'invitation_void',
          'email_taken',
          'already_member',
          'slug_reserved',
          ...constraintsOf('users'),
          ...constraintsOf('organizations'),
        ],
        body: Registration,
        response: { 201: answer('Signed in', Grant) },
      },
    },
    async (request, reply) => {
      const {
        email,
        password,
        display_name,
        organization_name = null,
        invitation_token = null,
        ...settings
      } = request.body
      if ((organization_name === null) === (invitation_token === null)) {
        throw new Problem(400, 'validation', 'Send either organization_name or invitation_token.')
      }
      if (invitation_token !== null && Object.keys(settings).length > 0) {
        throw new Problem(400, 'validation', 'Send currency and time_zone only with organization_name.')
      }
      const recipe = await recipeFor(request)
      const proof = await prove(password, recipe)
      const grant = await signIn(
        request,
        email,
        proof,
        null,
        sql => sql<Answer[]>`
        select status, body from app.sign_up(${email}, ${display_name}, ${recipe}, ${proof}, ${organization_name}, ${invitation_token}, ${sql.json(settings)})`,
      )
      return reply.code(201).secret(grant)
    },
  )

  app.post(
    '/api/auth/sign-in',
    {
      preHandler: app.signInLimit,
      schema: {
        ...schema,
        operationId: 'signIn',
        summary: 'Sign in with email address and password',
        description:
          'Without `organization_id` the token is for the organization that you last worked in. An unknown address gets the same answer as a wrong password, in the same time.',
        'x-problems': ['invalid_credentials', 'membership_revoked'],
        body: SignIn,
        response: { 200: answer('Signed in', Grant) },
      },
    },
    async (request, reply) => {
      const { email, password, organization_id = null } = request.body
      const proof = await prove(password, await recipeFor(request, email))
      return reply.secret(await signIn(request, email, proof, organization_id))
    },
  )

  app.post(
    '/api/auth/refresh',
    {
      schema: {
        ...schema,
        operationId: 'refresh',
        summary: 'Renew the access token; the refresh token is replaced',
        description:
          'Without `organization_id` the new token is for the same organization. If the answer is lost, send the same refresh token again: you get the same next one. Once that has been used, the earlier one ends the session ten seconds later: two parties hold it, and one of them has stolen it.',
        'x-problems': [
          'invalid_refresh_token',
          'refresh_token_reused',
          'session_revoked',
          'session_expired',
          'membership_revoked',
        ],
        body: Refresh,
        response: { 200: answer('Renewed', Grant) },
      },
    },
    async (request, reply) => {
      const [session, refresh] = splitRefreshToken(request.body.refresh_token)
      const rows = await request.anonymous(
        sql => sql<[Answer]>`
        select status, body from app.refresh_session(${session}, ${refresh}, null, ${request.body.organization_id ?? null})`,
      )
      return reply.secret(app.issue(only(rows).body, session))
    },
  )
}
