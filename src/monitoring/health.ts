import { Type } from '@sinclair/typebox'
import { type Carrier, carrierOf } from '../database/context.ts'
import type { App } from '../http/fastify.ts'
import { answer } from '../http/openapi/openapi.ts'
import { Nullable, Strict } from '../http/schemas.ts'

const Part = Type.String({ enum: ['ok', 'failing'] })
const Readiness = Strict(
  {
    status: Part,
    parts: Strict({ database: Part, migrations: Part, server: Part }),
    context: Nullable(
      Type.String({
        enum: ['guarded', 'signed'],
        description: 'How the database carries the context of a request; null if it is unavailable',
      }),
    ),
  },
  { title: 'Readiness' },
)

export const tags = { health: 'For probes and load balancers' }

/** Liveness and readiness. */
export async function healthRoutes(app: App) {
  const schema = { tags: ['health'], security: [] }
  const config = { rateLimit: false } as const

  app.get(
    '/livez',
    {
      config,
      logLevel: 'warn',
      schema: {
        ...schema,
        operationId: 'readLiveness',
        summary: 'Whether the process is alive',
        description: 'Answers as long as the process can, regardless of the database.',
        response: { 200: answer('It is', Strict({ status: Type.Literal('ok') }, { title: 'Liveness' })) },
      },
    },
    () => ({ status: 'ok' as const }),
  )

  app.get(
    '/readyz',
    {
      config,
      logLevel: 'warn',
      schema: {
        ...schema,
        operationId: 'readReadiness',
        summary: 'Whether requests can be served, part by part',
        description:
          'Checks that the database is reachable and migrated, and that the server is not about to stop; 503 says which part is not ready.',
        response: {
          200: answer('Ready', Readiness),
          503: answer('Not ready', Readiness),
        },
      },
    },
    async (request, reply) => {
      const { context, ...found } = await request
        .anonymous(
          sql =>
            sql<[{ migrated: boolean; context: Carrier | null }]>`
              select to_regprocedure('app.enter(text,uuid,text,inet)') is not null as migrated,
                ${carrierOf(sql)} as context`,
        )
        .then(([{ migrated, context }]) => ({
          database: 'ok',
          migrations: migrated ? 'ok' : 'failing',
          context,
        }))
        .catch((error: unknown) => {
          request.log.warn({ err: error }, 'not ready')
          return { database: 'failing', migrations: 'failing', context: null }
        })
      const parts = { ...found, server: app.stopping.hasBegun ? 'failing' : 'ok' }
      const status = Object.values(parts).includes('failing') ? 'failing' : 'ok'
      if (status !== 'ok') void reply.header('retry-after', '1')
      return reply.code(status === 'ok' ? 200 : 503).send({ status, parts, context })
    },
  )
}
