import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyRequest, FastifyServerOptions } from 'fastify'
import fp from 'fastify-plugin'
import pino from 'pino'
import type { Config } from '../config.ts'

/** Where the log goes. */
export type LogOutput = ReturnType<typeof pino.destination>

const errorLevel = pino.levels.values['error'] ?? 0

/**
 * Standard output for the log, in batches of whole lines, because a write for each line takes 5 % of the CPU.
 * What waits is written after a second at the latest, with the next error, by `flush`, and when the process exits.
 * On a terminal somebody is watching, so every line is written at once.
 */
export function openLog(): LogOutput {
  const output = pino.destination({
    dest: 1,
    sync: true,
    minLength: process.stdout.isTTY ? 0 : 3500,
    // A pipe takes that much in one piece, so that programs that share one do not cut each other's lines.
    maxWrite: 4096,
    periodicFlush: 1000,
    // What is kept while it cannot be written, because the disk is full.
    maxLength: 1_000_000,
  })
  // A log that cannot be written must not stop the program. It is tried again with the next line.
  output.on('error', () => {})
  const flush = () => {
    output.flush()
  }
  // Pino calls it after a fatal error, and its own tries forever.
  output.flushSync = flush
  process.on('exit', flush)
  return output
}

/**
 * How the server logs: JSON lines, never with headers, bodies, query strings or SQL parameters. Without an output,
 * they go to standard output one by one.
 */
export function loggerOptions(
  config: Config,
  output?: LogOutput,
): NonNullable<FastifyServerOptions['logger']> {
  return {
    level: config.LOG_LEVEL,
    ...(output && {
      stream: output,
      hooks: {
        logMethod(args, method, level) {
          method.apply(this, args)
          if (level >= errorLevel) output.flush()
        },
      },
    }),
    serializers: {
      req: (request: FastifyRequest) => ({ method: request.method, path: request.url.split('?', 1)[0] }),
      // postgres.js puts the statement and its parameters, secrets included, on the error.
      err: (error: Error & { code?: string; constraint_name?: string }) => ({
        type: error.name,
        message: error.message,
        code: error.code,
        constraint: error.constraint_name,
        stack: String(error.stack),
        ...(error.cause instanceof Error && { cause: reasonOf(error.cause) }),
      }),
    },
  }
}

/** The text of a system error; for a host name with several addresses Node gives only a code. */
export const reasonOf = (error: NodeJS.ErrnoException) => error.message || String(error.code)

/** Whose request it is, once authenticated. */
export function asking(request: FastifyRequest): { organization_id?: string | null; user_id?: string } {
  const user = request.user as FastifyRequest['user'] | undefined
  return user ? { organization_id: user.org, user_id: user.sub } : {}
}

/** A client's own request id is kept if it is harmless, so its log can be correlated with ours. */
export function requestId(request: { headers: Record<string, string | string[] | undefined> }): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && /^[\w-]{8,100}$/.test(given) ? given : randomUUID()
}

/** One line for every answer, with the request's id and organization. */
export const logging = fp(
  async (app: FastifyInstance) => {
    app.addHook('onRequest', (request, reply, done) => {
      void reply.header('x-request-id', request.id)
      done()
    })
    app.addHook('onResponse', (request, reply, done) => {
      request.log.info(
        {
          method: request.method,
          route: request.routeOptions.url ?? null,
          status: reply.statusCode,
          ms: Math.round(reply.elapsedTime * 10) / 10,
          ...asking(request),
        },
        'answered',
      )
      done()
    })
  },
  { name: 'logging' },
)
