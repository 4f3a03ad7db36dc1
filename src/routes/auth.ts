import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import type { App } from '../app.ts'
import type { Client } from '../database/pool.ts'
import { answer } from '../openapi.ts'
import { prove } from '../password.ts'
import { Problem } from '../problem.ts'
import { Email, Id, Line, Nullable, Secret, Strict } from '../schemas.ts'
import { type Answer, only } from '../tenant.ts'
import { newSecret, splitRefreshToken } from '../tokens.ts'

export const NewPassword = Type.String({
  minLength: 10,
  maxLength: 200,
  format: 'password',
  examples: ['seven black umbrellas'],
})
const Password = Type.String({
  minLength: 1,
  maxLength: 200,
  format: 'password',
  examples: ['seven black umbrellas'],
})
export const Grant = Strict({
  access_token: Type.String({ maxLength: 4000, description: 'Send it as Authorization: Bearer …' }),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer({
    minimum: 1,
    maximum: 86_400,
    format: 'int32',
    description: 'Seconds until access_token expires',
  }),
  refresh_token: Type.Optional(
    Type.String({ maxLength: 400, description: 'Renews access_token once, at /api/auth/refresh' }),
  ),
  user_id: Id,
  organization_id: Nullable(Id),
  role: Nullable(Type.String({ maxLength: 60 })),
  permissions: Type.Array(Type.String({ maxLength: 100 }), { maxItems: 500 }),
})
const Registration = Strict({
  email: Email,
  password: NewPassword,
  display_name: Line('Ana Lima'),
  organization_name: Type.Optional(Line('Northlight Touring')),
  invitation_token: Type.Optional(Secret('From the link of an invitation; instead of organization_name')),
})
const SignIn = Strict({ email: Email, password: Password, organization_id: Type.Optional(Id) })
const Refresh = Strict({
  refresh_token: Secret('refresh_token of the last answer'),
  organization_id: Type.Optional(Id),
})

/** The recipe for a password's proof: that of an address, or a fresh one. */
export async function recipeFor(request: FastifyRequest, email: string | null = null): Promise<string> {
  const [row] = await request.anonymous(
    sql => sql<[{ recipe: string }]>`select app.password_recipe(${email}) as recipe`,
  )
  return row.recipe
}

/** Registering, signing in and renewing: what works without an access token. */
export async function authRoutes(app: App) {
  const schema = { tags: ['auth'], security: [] }

  async function signIn(
    request: FastifyRequest,
    email: string,
    proof: Buffer,
    organization: string | null,
    before?: (sql: Client) => PromiseLike<unknown>,
  ) {
    const session = newSecret()
    const refresh = newSecret()
    const client = { ip: request.ip, user_agent: request.headers['user-agent'] ?? null }
    const [row] = await request.anonymous(async sql => {
      await before?.(sql)
      return sql<[Answer]>`
        select body from app.sign_in(${email}, ${proof}, ${session.hash}, ${refresh.hash}, ${sql.json(client)}, ${organization})`
    })
    return app.issue(row.body, session.secret, refresh.secret)
  }

  app.post(
    '/api/auth/register',
    {
      preHandler: app.signInLimit,
      schema: {
        ...schema,
        operationId: 'register',
        summary: 'Create an account and its first organization, and sign in',
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
      } = request.body
      if ((organization_name === null) === (invitation_token === null)) {
        throw new Problem(400, 'validation', 'Send either organization_name or invitation_token.')
      }
      const recipe = await recipeFor(request)
      const proof = await prove(password, recipe)
      const grant = await signIn(
        request,
        email,
        proof,
        null,
        sql => sql`
        select app.register(${email}, ${display_name}, ${recipe}, ${proof}, ${organization_name}, ${invitation_token})`,
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
        summary: 'Sign in with address and password',
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
        summary: 'Renew the access token; the refresh token is spent and replaced',
        body: Refresh,
        response: { 200: answer('Renewed', Grant) },
      },
    },
    async (request, reply) => {
      const [session, spent] = splitRefreshToken(request.body.refresh_token)
      const next = newSecret()
      const rows = await request.anonymous(
        sql => sql<[Answer]>`
        select status, body from app.refresh_session(${session}, ${spent}, ${next.hash}, ${request.body.organization_id ?? null})`,
      )
      return reply.secret(app.issue(only(rows).body, session, next.secret))
    },
  )
}
