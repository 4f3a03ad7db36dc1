import type { FastifyInstance, onSendHookHandler } from 'fastify'
import fp from 'fastify-plugin'

/** Since when fields that are marked `deprecated` are so: rates in basis points, since there are percentages. */
const since = new Date('2026-11-30T00:00:00Z')
const deprecation = `@${since.getTime() / 1000}`

/**
 * Answers that have a field which is deprecated say so with the header Deprecation (RFC 9745). Which field it is, and
 * what to use instead, is in the document of the API.
 */
export const deprecations = fp(
  async (app: FastifyInstance) => {
    const tell: onSendHookHandler = (_request, reply, payload, done) => {
      if (reply.statusCode < 300) void reply.header('deprecation', deprecation)
      done(null, payload)
    }
    app.addHook('onRoute', route => {
      const { response = {} } = (route.schema ?? {}) as { response?: Record<string, Success> }
      const deprecated = Object.entries(response).filter(([, answer]) => hasDeprecated(answer))
      if (deprecated.length === 0) return
      for (const [, answer] of deprecated) answer.headers = { ...answer.headers, Deprecation: {} }
      route.onSend = [...[route.onSend ?? []].flat(), tell]
    })
  },
  { name: 'deprecations' },
)

interface Success {
  headers?: Record<string, object>
}

function hasDeprecated(schema: unknown): boolean {
  if (typeof schema !== 'object' || schema === null) return false
  return (schema as { deprecated?: unknown }).deprecated === true || Object.values(schema).some(hasDeprecated)
}
