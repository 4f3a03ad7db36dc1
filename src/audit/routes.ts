// Who did what: the event log and the proof that it is complete; and how long deleted rows are kept.
import type { App } from '../http/fastify.ts'
import { auditRoutes } from './audit.ts'
import { retentionRoutes } from './retention.ts'

export { problems } from './problems.ts'

export const tags = {
  audit: 'Who did what: the event log, and the proof that it is whole',
  retention: 'How long what was deleted is kept, and what keeps everything',
}

export async function routes(app: App) {
  await app.register(auditRoutes)
  await app.register(retentionRoutes)
}
