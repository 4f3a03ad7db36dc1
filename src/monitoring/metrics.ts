import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../config.ts'
import { mayRead } from './listener.ts'
import type { Metrics } from './registry.ts'
import { Problem, toProblem } from '../http/problem.ts'
import { ofMemberships, ofSessions } from '../http/problems.ts'
import { trafficOf } from '../analytics/use/use.ts'

declare module 'fastify' {
  interface FastifyInstance {
    metrics: Metrics
    /** Requests whose token turned out to be revoked: they do not count as their organization's usage. */
    unauthenticated: WeakSet<FastifyRequest>
  }
}

/** Problems that say that a token is not, or no longer, valid. */
const ofTokens = new Set([...ofSessions, ...ofMemberships, 'invalid_refresh_token', 'refresh_token_reused'])
/** What @fastify/jwt reports about an access token; everything else is invalid. */
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

/** Counts requests and refused tokens. Other metrics are counted where they occur. */
export const measuring = fp(
  async (app: FastifyInstance, { metrics }: { metrics: Metrics }) => {
    const unauthenticated = new WeakSet<FastifyRequest>()
    app.decorate('metrics', metrics)
    app.decorate('unauthenticated', unauthenticated)
    app.addHook('onResponse', async (request, reply) => {
      const { schema, url } = request.routeOptions
      // Never the requested path: the number of those is unbounded.
      const operation = (schema as { operationId?: string } | undefined)?.operationId ?? url ?? 'none'
      const { elapsedTime: milliseconds, statusCode: status } = reply
      metrics.requests.observe({ operation, method: request.method, status }, milliseconds / 1000)
      // For every request, because it measures what the connection has carried since the previous one.
      const { bytesIn, bytesOut } = trafficOf(request, reply)
      const user = request.user as FastifyRequest['user'] | undefined
      // What a superadmin does is the operator's usage, and is in the organization's event log.
      if (!user?.org || user.scope !== undefined || unauthenticated.has(request)) return
      metrics.answered(user.org, status, milliseconds)
      app.tally.call(user.org, operation, { status, milliseconds, bytesIn, bytesOut })
    })
    app.addHook('onError', async (request, _reply, error) => {
      const reason = reasonOf(error)
      if (reason === undefined) return
      // Only a token whose signature is right says whose it is.
      metrics.refusedToken(reason, (request.user as FastifyRequest['user'] | undefined)?.org)
      unauthenticated.add(request)
    })
  },
  { name: 'measuring' },
)

/** /metrics on the API's own port, for holders of METRICS_TOKEN; it is not part of the API. */
export async function metricsRoutes(app: FastifyInstance, { config }: { config: Config }) {
  if (config.METRICS_TOKEN === undefined || config.METRICS_PORT !== undefined) return
  app.get(
    '/metrics',
    { schema: { hide: true }, config: { limited: false }, logLevel: 'warn' },
    async (request, reply) => {
      if (!mayRead(config.METRICS_TOKEN, request.headers.authorization))
        throw new Problem(401, 'unauthorized')
      return reply.type(app.metrics.contentType).send(await app.metrics.text())
    },
  )
}
