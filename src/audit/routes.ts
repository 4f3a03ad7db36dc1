// Who did what: the event log and the proof that it is intact; and how long deleted rows are kept.
import type { App } from '../http/fastify.ts'
import { auditRoutes } from './audit.ts'
import { retentionRoutes } from './retention.ts'

export { problems } from './problems.ts'

export const tags = {
  audit: 'Who did what: the event log, and the proof that it is intact',
  retention: 'How long deleted items are kept, and legal holds',
}

export async function routes(app: App) {
  await app.register(auditRoutes)
  await app.register(retentionRoutes)
}
