// CSV files of shows and finance records: uploaded, checked, then entered by the worker.
import type { App } from '../http/fastify.ts'
import { importRoutes } from './imports.ts'

export { problems } from './problems.ts'

export const tags = {
  imports: 'Files of shows and finance records',
}

export async function routes(app: App, { limit }: { limit: number }) {
  await app.register(importRoutes, { limit })
}
