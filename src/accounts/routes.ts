// People's accounts: how they sign up, sign in and out, reset passwords and change their own profile.
import type { App } from '../http/fastify.ts'
import { authRoutes } from './auth.ts'
import { meRoutes } from './me.ts'
import { mailedLinkRoutes, passwordRoutes } from './passwords.ts'

export { problems } from './problems.ts'

export const tags = {
  auth: 'Registering, signing in and out, passwords and addresses',
  me: 'Your own profile',
  sessions: 'Where you are signed in',
}

/** For clients without an access token. */
export async function openRoutes(app: App) {
  await app.register(authRoutes)
  await app.register(mailedLinkRoutes)
}

/** For clients with an access token. */
export async function routes(app: App) {
  await app.register(meRoutes)
  await app.register(passwordRoutes)
}
