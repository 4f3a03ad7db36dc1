// Shows and itineraries by time, and feeds of them for calendar apps.
import type { App } from '../http/fastify.ts'
import { calendarFeedRoutes, calendarRoutes } from './calendar.ts'

export { problems } from './problems.ts'

export const tags = {
  calendar: 'Shows and itineraries by time, also for calendar apps',
}

/** For clients without an access token. */
export async function openRoutes(app: App) {
  await app.register(calendarFeedRoutes)
}

/** For clients with an access token. */
export async function routes(app: App) {
  await app.register(calendarRoutes)
}
