import type { App } from '../http/fastify.ts'
import { answer, IdempotencyKey } from '../http/openapi/openapi.ts'
import { prove } from './password.ts'
import { Email, Secret, Strict } from '../http/schemas.ts'
import type { Answer } from '../tenant/answer.ts'
import { NewPassword, Password, recipeFor } from './auth.ts'

const tags = ['auth']

/** Mailed links: what works without an access token. */
export async function mailedLinkRoutes(app: App) {
  const schema = { tags, security: [] }

  app.post(
    '/api/auth/password/forgot',
    {
      preHandler: app.mailLimit,
      schema: {
        ...schema,
        operationId: 'forgotPassword',
        summary: 'Mail a link for a new password, if the address is known',
        description: 'The link works once, for an hour.',
        body: Strict({ email: Email }, { title: 'Address' }),
        response: { 202: answer('Accepted; the answer does not say whether the address is known') },
      },
    },
    (request, reply) =>
      request
        .anonymous(sql => sql<Answer[]>`select status, body from app.forget_password(${request.body.email})`)
        .then(reply.json),
  )

  app.post(
    '/api/auth/password/reset',
    {
      preHandler: app.signInLimit,
      schema: {
        ...schema,
        operationId: 'resetPassword',
        summary: 'Choose a new password with a mailed link; ends all sessions',
        description:
          'Signs you out everywhere and verifies the address, because having the link proves access to the mailbox.',
        'x-problems': ['invalid_token'],
        body: Strict({ token: Secret('From the link'), password: NewPassword }, { title: 'PasswordReset' }),
        response: { 204: answer('Changed') },
      },
    },
    async (request, reply) => {
      const recipe = await recipeFor(request)
      const proof = await prove(request.body.password, recipe)
      return request
        .anonymous(
          sql =>
            sql<
              Answer[]
            >`select status, body from app.reset_password(${request.body.token}, ${recipe}, ${proof})`,
        )
        .then(reply.json)
    },
  )

  app.post(
    '/api/auth/email/verify',
    {
      preHandler: app.signInLimit,
      schema: {
        ...schema,
        operationId: 'verifyEmail',
        summary: 'Verify an address with a mailed link',
        description:
          'Takes the token from the link that was mailed when you registered or requested a new one.',
        'x-problems': ['invalid_token'],
        body: Strict({ token: Secret('From the link') }, { title: 'MailedToken' }),
        response: { 204: answer('Verified') },
      },
    },
    (request, reply) =>
      request
        .anonymous(sql => sql<Answer[]>`select status, body from app.verify_email(${request.body.token})`)
        .then(reply.json),
  )
}

/** Changing the password and verifying the address while signed in. */
export async function passwordRoutes(app: App) {
  app.post(
    '/api/auth/password/change',
    {
      preHandler: app.signInLimit,
      schema: {
        tags,
        operationId: 'changePassword',
        summary: 'Change the password; ends all other sessions',
        description: 'This session continues; every other sign-in as you is ended.',
        'x-problems': ['wrong_password'],
        body: Strict({ current_password: Password, new_password: NewPassword }, { title: 'PasswordChange' }),
        response: { 204: answer('Changed') },
      },
    },
    async (request, reply) => {
      const [me] = await request.account(
        sql => sql<[{ email: string }]>`select email from app.users where id = app.current_user_id()`,
      )
      const current = await prove(request.body.current_password, await recipeFor(request, me.email))
      const recipe = await recipeFor(request)
      const proof = await prove(request.body.new_password, recipe)
      return request
        .account(
          sql => sql<Answer[]>`select status, body from app.change_password(${current}, ${recipe}, ${proof})`,
        )
        .then(reply.json)
    },
  )

  app.post(
    '/api/auth/email/request-verification',
    {
      preHandler: app.mailLimit,
      schema: {
        tags,
        operationId: 'requestVerification',
        summary: 'Mail a new link to verify the address',
        description: 'Only the newest link works.',
        headers: IdempotencyKey,
        response: { 202: answer('Accepted; nothing is mailed if the address is verified') },
      },
    },
    (request, reply) =>
      request
        .account(sql => sql<Answer[]>`select status, body from app.request_verification()`)
        .then(reply.json),
  )
}
