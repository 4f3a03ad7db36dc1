// Shows, from the first inquiry to the settlement, their guest lists, and the venues where they happen.
import type { App } from '../http/fastify.ts'
import { guestAllotmentRoutes } from './guest-allotments.ts'
import { guestListRoutes } from './guest-list.ts'
import { guestRoutes } from './guests.ts'
import { showRoutes } from './shows.ts'
import { showStatusRoutes } from './status.ts'
import { venueRoutes } from './venues.ts'

export { problems } from './problems.ts'

export const tags = {
  venues: 'The places where shows happen',
  shows: 'Performances, from the first inquiry to the settlement',
}

export async function routes(app: App) {
  await app.register(venueRoutes)
  await app.register(showRoutes)
  await app.register(showStatusRoutes)
  await app.register(guestRoutes)
  await app.register(guestAllotmentRoutes)
  await app.register(guestListRoutes)
}
