// Figures about shows, money and usage: as JSON, as a printable report, and what clients report for them.
import type { App } from '../http/fastify.ts'
import { activityRoutes } from './activity.ts'
import { analyticsRoutes } from './analytics.ts'
import { clientEventRoutes } from './client-events.ts'
import { integrationRoutes } from './integrations.ts'
import { reportRoutes } from './reports.ts'

export { problems } from './problems.ts'

export const tags = {
  analytics: 'Sums and counts, as of a moment that each answer states',
}

export async function routes(app: App, { delay }: { delay: number }) {
  await app.register(clientEventRoutes)
  await app.register(activityRoutes)
  await app.register(integrationRoutes, { delay })
  await app.register(analyticsRoutes)
  await app.register(reportRoutes)
}
