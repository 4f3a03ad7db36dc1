// Tours: days, schedules, travel, lodging and party, and their published versions.
import type { App } from '../http/fastify.ts'
import { itineraryRoutes } from './itineraries.ts'

export { problems } from './problems.ts'

export const tags = {
  itineraries: 'Tours with their days, schedules, travel, lodging and party, and their published versions',
}

export async function routes(app: App) {
  await app.register(itineraryRoutes)
}
