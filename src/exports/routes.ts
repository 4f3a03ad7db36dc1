// The rows that a member may see, as a file: streamed, or written by the worker and then downloaded.
import type { App } from '../http/fastify.ts'
import { exportFileRoutes } from './files.ts'
import { exportJobRoutes } from './jobs.ts'
import { exportRoutes } from './streams.ts'
import type { Storage } from './storage.ts'
import type { RowSettings } from '../tenant/list.ts'

export { problems } from './problems.ts'

export const tags = {
  exports: 'Files of what you may see: streamed, or written by the worker and then downloaded',
}

/** For clients without an access token. */
export async function openRoutes(app: App, { storage }: { storage: Storage }) {
  await app.register(exportFileRoutes, { storage })
}

/** For clients with an access token. */
export async function routes(app: App, settings: RowSettings) {
  await app.register(exportRoutes, settings)
  await app.register(exportJobRoutes)
}
