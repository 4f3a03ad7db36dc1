import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from './config.ts'
import { mayRead } from './metrics/listener.ts'
import type { Metrics } from './metrics/registry.ts'
import { Problem, toProblem } from './problem.ts'
import { ofMemberships, ofSessions } from './problems.ts'

declare module 'fastify' {
  interface FastifyInstance {
    metrics: Metrics
  }
}

/** Problems that say that a token is good for nothing (any more). */
const ofTokens = new Set([...ofSessions, ...ofMemberships, 'invalid_refresh_token', 'refresh_token_reused'])
/** What @fastify/jwt says of an access token; everything else is invalid. */
const reasons: Record<string, string> = {
  FST_JWT_NO_AUTHORIZATION_IN_HEADER: 'missing',
  FST_JWT_BAD_REQUEST: 'malformed',
  FST_JWT_AUTHORIZATION_TOKEN_EXPIRED: 'expired',
}

function reasonOf(error: Error): string | undefined {
  const { problem } = toProblem(error)
  if (problem !== 'unauthorized') return ofTokens.has(problem) ? problem : undefined
  return reasons[(error.cause as { code?: string } | undefined)?.code ?? ''] ?? 'invalid'
}

/** Counts requests and refused tokens. What others count is in their own files. */
export const measuring = fp(
  async (app: FastifyInstance, { metrics }: { metrics: Metrics }) => {
    app.decorate('metrics', metrics)
    app.addHook('onResponse', async (request, reply) => {
      const { schema, url } = request.routeOptions
      // Never the path that was asked for: there is no end of those.
      const operation = (schema as { operationId?: string } | undefined)?.operationId ?? url ?? 'none'
      metrics.requests.observe(
        { operation, method: request.method, status: reply.statusCode },
        reply.elapsedTime / 1000,
      )
    })
    app.addHook('onError', async (_request, _reply, error) => {
      const reason = reasonOf(error)
      if (reason !== undefined) metrics.refusedTokens.inc({ reason })
    })
  },
  { name: 'measuring' },
)

/** /metrics on the API's own port, for whoever has METRICS_TOKEN; it is no part of the API. */
export async function metricsRoutes(app: FastifyInstance, { config }: { config: Config }) {
  if (config.METRICS_TOKEN === undefined || config.METRICS_PORT !== undefined) return
  app.get(
    '/metrics',
    { schema: { hide: true }, config: { rateLimit: false }, logLevel: 'warn' },
    async (request, reply) => {
      if (!mayRead(config.METRICS_TOKEN, request.headers.authorization))
        throw new Problem(401, 'unauthorized')
      return reply.type(app.metrics.contentType).send(await app.metrics.text())
    },
  )
}
