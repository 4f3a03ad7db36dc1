// PostgreSQL logins for BI tools, which read the schema `analytics` directly.
import type { App } from '../http/fastify.ts'
import { biCredentialRoutes } from './credentials.ts'

export { problems } from './problems.ts'

export const tags = {
  bi: 'Logins of BI tools, which read `analytics` directly in the database',
}

export async function routes(app: App, { url }: { url: string }) {
  await app.register(biCredentialRoutes, { url })
}
