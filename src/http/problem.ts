import { type OutgoingMessage, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Deliberate, Stale, Unavailable } from '../database/errors.ts'
import { asking } from './logging.ts'
import { problems } from './problems.ts'

export interface FieldError {
  path: string
  message: string
}

/** An error with an HTTP status and a name from `problems`. */
export class Problem extends Deliberate {
  readonly status: number
  readonly problem: string
  readonly errors: FieldError[] | undefined
  constructor(status: number, problem: string, detail?: string, errors?: FieldError[]) {
    const known = problems[problem]
    // SQL sends an empty detail if there is none.
    super(detail || (known?.detail ?? `${known?.title ?? problem}.`))
    this.status = status
    this.problem = problem
    this.errors = errors
  }
}

/** A PostgreSQL error, as postgres.js reports it. */
interface SqlError {
  code: string
  message: string
  detail?: string
  constraint_name?: string
  severity_local?: string
  routine?: string
}

/** The server's own trouble, which may soon be over. */
const unavailable = (why: string) => new Problem(503, 'database_unavailable', `${why}: try again shortly.`)

function fromSql({
  code,
  message,
  detail,
  constraint_name: constraint,
  routine,
}: SqlError): Problem | undefined {
  const named = (fallback: string, text: string) => {
    const name = constraint !== undefined && constraint in problems ? constraint : fallback
    const known = problems[name]
    return known && new Problem(known.status, name, `${text}: ${known.title}.`)
  }
  // A code that starts with PT is ours: three digits of status, and the message is the problem's name.
  if (/^PT[45]\d\d$/.test(code)) return new Problem(Number(code.slice(2)), message, detail)
  switch (code) {
    case '42501':
      // Only a policy's refusal counts; a missing GRANT is our own mistake and stays a 500.
      if (routine !== 'ExecWithCheckOptions') return undefined
      return new Problem(403, 'permission_denied', 'Your role does not allow this.')
    case '23505':
    case '23503':
    case '23P01':
      return named('conflict', 'The request conflicts with stored data')
    case '23514':
    case '23502':
      return named('unprocessable', 'The values violate a rule')
    case '57014':
    case '55P03':
      return unavailable('The database did not answer in time')
    // It only reads: it has become a standby, or somebody has locked it.
    case '25006':
      return unavailable('Nothing can be written at the moment')
    case '40001':
    case '40P01':
      return unavailable('Other requests are changing the same rows')
  }
  // Class 53: no memory, no connection, or a full disk.
  if (code.startsWith('53')) return unavailable('The database lacks memory, connections or space')
  // Class 22: a value of the right JSON type that the column cannot hold, such as February 30.
  if (code.startsWith('22'))
    return new Problem(
      400,
      'invalid_value',
      'A value in the request cannot be stored: check dates, times and characters.',
    )
  return undefined
}

const byStatus: Record<number, string> = {
  400: 'bad_request',
  401: 'unauthorized',
  404: 'not_found',
  408: 'request_timeout',
  413: 'payload_too_large',
  415: 'unsupported_media_type',
  429: 'rate_limited',
}

function fromFastify(error: FastifyError): Problem | undefined {
  if (error.validation) {
    // The client controls the number of errors, so the answer needs a maximum size.
    const first = error.validation.slice(0, 100)
    // That an object is not null either says nothing where something in it is wrong.
    const isSaid = ({ instancePath, keyword }: (typeof first)[number]) =>
      ['anyOf', 'type'].includes(keyword) &&
      first.some(other => other.instancePath.startsWith(`${instancePath}/`))
    const errors = first
      .filter(one => !isSaid(one))
      .map(({ instancePath, message, params }) => ({
        path: `/${error.validationContext}${instancePath}`,
        message:
          'additionalProperty' in params
            ? `${message}: ${String(params['additionalProperty'])
                .slice(0, 200)
                .replace(/\p{Cc}/gu, ' ')}`
            : String(message),
      }))
    return new Problem(400, 'validation', 'See errors for what is wrong, and where.', errors)
  }
  const status = error.statusCode
  if (status === undefined || status >= 500) return undefined
  return new Problem(status, byStatus[status] ?? 'bad_request', error.message)
}

/** Any error as a Problem; an unexpected one becomes 500 `internal` and reveals nothing. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof Unavailable || error instanceof Stale)
    return new Problem(503, 'database_unavailable', error.message)
  const { code } = error as { code?: unknown }
  const known =
    typeof code === 'string' && 'severity_local' in (error as object)
      ? fromSql(error as SqlError)
      : fromFastify(error as FastifyError)
  return known ?? new Problem(500, 'internal', 'The request failed and has been logged under its instance.')
}

const body = (problem: Problem, instance: string) => ({
  type: `/problems/${problem.problem}`,
  title: problems[problem.problem]?.title ?? STATUS_CODES[problem.status],
  status: problem.status,
  // It may quote the request, which may be long.
  detail: problem.message.slice(0, 500),
  instance,
  ...(problem.errors && { errors: problem.errors }),
})

/** Shapes every error as RFC 9457 application/problem+json. */
export const problemDetails = fp(
  async (app: FastifyInstance) => {
    app.setErrorHandler((error, request, reply) => {
      const problem = toProblem(error)
      const about = { problem: problem.problem, status: problem.status, ...asking(request) }
      if (problem.status >= 500) request.log.error({ err: error, ...about }, 'request failed')
      else request.log.info(about, 'request refused')
      if (problem.status === 401) void reply.header('www-authenticate', 'Bearer')
      if (problem.status === 503) void reply.header('retry-after', '1')
      return reply.code(problem.status).type('application/problem+json').send(body(problem, request.id))
    })
    app.setNotFoundHandler(request => {
      throw new Problem(404, 'not_found', `No such route: ${request.method} ${request.url.split('?', 1)[0]}.`)
    })
  },
  { name: 'problem' },
)

/** Fastify's options for failures before there is a request: a URL or HTTP that cannot be parsed. */
export const malformed = {
  frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
    void reply
      .code(400)
      // No hook runs, so nothing else limits how long the body may take.
      .header('connection', 'close')
      .type('application/problem+json')
      .send(body(new Problem(400, 'bad_request', error.message), request.id))
  },
  clientErrorHandler: (
    error: Error & { code?: string },
    socket: Socket & { _httpMessage?: OutgoingMessage },
  ) => {
    // Once an answer has begun, another one would be taken for the rest of it.
    if (error.code === 'ECONNRESET' || !socket.writable || socket._httpMessage?.headersSent) {
      socket.destroy()
      return
    }
    const problem = unreadable[error.code ?? ''] ?? new Problem(400, 'bad_request', 'This is not HTTP/1.1.')
    const text = JSON.stringify(body(problem, ''))
    socket.end(
      `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
    )
    // A client that keeps sending is cut off.
    setTimeout(() => socket.destroy(), 1000).unref()
  },
}

const unreadable: Record<string, Problem> = {
  ERR_HTTP_REQUEST_TIMEOUT: new Problem(408, 'request_timeout', 'Send the whole request in less time.'),
  HPE_HEADER_OVERFLOW: new Problem(431, 'headers_too_large', 'Send fewer or shorter headers.'),
}
