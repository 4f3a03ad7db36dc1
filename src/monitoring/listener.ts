import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type Config, ConfigError } from '../config.ts'
import type { Metrics } from './registry.ts'

const digest = (text: string) => createHash('sha256').update(text).digest()

/** Whether a request with this Authorization header may read the metrics. Runs in constant time. */
export function mayRead(token: string | undefined, authorization: string | undefined): boolean {
  return token === undefined || timingSafeEqual(digest(`Bearer ${token}`), digest(authorization ?? ''))
}

/** Serves GET /metrics, and nothing else, on a port of its own. */
export async function listenForMetrics(
  { METRICS_HOST, METRICS_PORT, METRICS_TOKEN }: Config,
  metrics: Pick<Metrics, 'text' | 'contentType'>,
): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer((request, response) => {
    const answer = (status: number, text: string, headers: Record<string, string> = {}) =>
      response.writeHead(status, { 'content-type': 'text/plain', ...headers }).end(text)
    if (request.url !== '/metrics') answer(404, 'Only /metrics is served here.\n')
    else if (request.method !== 'GET') answer(405, 'Use GET.\n', { allow: 'GET' })
    else if (!mayRead(METRICS_TOKEN, request.headers.authorization))
      answer(401, 'METRICS_TOKEN is required.\n', { 'www-authenticate': 'Bearer' })
    else
      metrics.text().then(
        text => answer(200, text, { 'content-type': metrics.contentType }),
        () => answer(500, 'The metrics cannot be read.\n'),
      )
  })
  server.listen(METRICS_PORT, METRICS_HOST)
  await once(server, 'listening').catch((error: unknown) => {
    throw new ConfigError(`METRICS_PORT: cannot listen there: ${(error as Error).message}`)
  })
  return {
    port: (server.address() as { port: number }).port,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
