import { Type } from '@sinclair/typebox'
import { type Carrier, carrierOf } from '../database/context.ts'
import type { App } from '../http/fastify.ts'
import { answer } from '../http/openapi/openapi.ts'
import { Nullable, Strict } from '../http/schemas.ts'

const Part = Type.String({ enum: ['ok', 'failing'] })
const Readiness = Strict(
  {
    status: Type.String({ enum: ['ok', 'degraded', 'failing'] }),
    parts: Strict({
      database: Part,
      migrations: Part,
      writes: Type.String({
        ...Part,
        description: 'Whether the last request that tried could write; if not, the status is degraded',
      }),
      server: Part,
    }),
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
  const config = { limited: false } as const

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
          'Checks that the database is reachable and migrated, that it can be written, and that the server is not about to stop; 503 says which part is not ready. If only writing fails, reading is served: 200 with the status degraded.',
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
      const needed = { ...found, server: app.stopping.hasBegun ? 'failing' : 'ok' }
      const isReady = !Object.values(needed).includes('failing')
      const writes = app.writes.isFailing() ? 'failing' : 'ok'
      if (!isReady) void reply.header('retry-after', '1')
      return reply.code(isReady ? 200 : 503).send({
        status: !isReady ? 'failing' : writes === 'ok' ? 'ok' : 'degraded',
        parts: { ...needed, writes },
        context,
      })
    },
  )
}
