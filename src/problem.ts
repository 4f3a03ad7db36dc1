import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

/**
 * Every problem that has a name: the status it comes with, its title and, where there is no more
 * to say in the single case, its detail. SQL raises these names too.
 */
export const problems: Record<string, { status: number; title: string; detail?: string }> = {
  bad_request: { status: 400, title: 'The request is malformed' },
  validation: { status: 400, title: 'The request does not have the expected form' },
  invalid_value: { status: 400, title: 'A value cannot be stored' },
  invalid_cursor: { status: 400, title: 'The cursor is not one of this list' },
  invalid_token: {
    status: 400,
    title: 'The link is no longer valid',
    detail: 'This link has been used, has expired or never was: ask for a new one.',
  },
  unauthorized: {
    status: 401,
    title: 'A valid access token is needed',
    detail: 'Send a valid access token as Authorization: Bearer …',
  },
  invalid_credentials: { status: 401, title: 'The address or the password is wrong' },
  invalid_refresh_token: { status: 401, title: 'The refresh token is not valid' },
  refresh_token_reused: { status: 401, title: 'The refresh token was used before' },
  session_unknown: {
    status: 401,
    title: 'There is no such session',
    detail: 'There is no such session: sign in again.',
  },
  session_revoked: {
    status: 401,
    title: 'The session has ended',
    detail: 'This session has ended: sign in again.',
  },
  session_expired: {
    status: 401,
    title: 'The session has expired',
    detail: 'This session was not used for too long: sign in again.',
  },
  permission_denied: { status: 403, title: 'You do not have the permission' },
  membership_revoked: {
    status: 403,
    title: 'You do not belong to this organization',
    detail: 'You do not belong to this organization (any more): refresh your token for another one.',
  },
  organization_deleted: {
    status: 403,
    title: 'The organization has been deleted',
    detail: 'This organization has been deleted: refresh your token for another one.',
  },
  no_organization: { status: 403, title: 'You belong to no organization' },
  wrong_password: { status: 403, title: 'The current password is wrong' },
  invitation_for_another_address: { status: 403, title: 'The invitation is for another address' },
  not_found: {
    status: 404,
    title: 'There is no such resource',
    detail: 'There is no such resource, or it is not yours to see.',
  },
  method_not_allowed: { status: 405, title: 'The resource does not have this method' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  email_taken: { status: 409, title: 'There is an account with this address' },
  already_member: {
    status: 409,
    title: 'The person belongs to the organization already',
    detail: 'This person belongs to the organization already.',
  },
  already_owner: { status: 409, title: 'You are the owner already' },
  invitation_pending: { status: 409, title: 'The address has an open invitation' },
  last_owner: { status: 409, title: 'An organization needs an owner' },
  slug_reserved: { status: 409, title: 'The name gives a reserved address' },
  idempotency_key_reused: { status: 409, title: 'The Idempotency-Key was used for another request' },
  parent_deleted: { status: 409, title: 'What it belongs to is deleted' },
  show_status_transition: { status: 409, title: 'The show cannot take this status now' },
  shows_venue_exists: { status: 409, title: 'The show and the venue do not go together' },
  conflict: { status: 409, title: 'The request contradicts what is stored' },
  version_mismatch: {
    status: 412,
    title: 'The resource has changed since it was read',
    detail: 'The resource has changed since it was read: read it again and repeat the change.',
  },
  payload_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The body is not JSON' },
  unprocessable: { status: 422, title: 'The values contradict a rule' },
  users_email_format: { status: 422, title: 'The e-mail address is malformed' },
  users_display_name_length: { status: 422, title: 'The name is empty, too long or has control characters' },
  organizations_name_length: { status: 422, title: 'The name is empty, too long or has control characters' },
  organizations_currency_format: { status: 422, title: 'The currency is not an ISO 4217 code' },
  organizations_time_zone_exists: { status: 422, title: 'There is no such time zone' },
  memberships_role_exists: { status: 422, title: 'There is no such role' },
  invitations_role_exists: { status: 422, title: 'There is no such role' },
  invitations_email_format: { status: 422, title: 'The e-mail address is malformed' },
  venues_name_length: { status: 422, title: 'The name is empty, too long or has control characters' },
  venues_city_length: { status: 422, title: 'The city is empty, too long or has control characters' },
  venues_country_format: { status: 422, title: 'The country is not an ISO 3166-1 code' },
  venues_time_zone_exists: { status: 422, title: 'There is no such time zone' },
  venues_capacity_positive: { status: 422, title: 'The capacity must be positive' },
  shows_title_length: { status: 422, title: 'The title is empty, too long or has control characters' },
  shows_artist_length: { status: 422, title: 'The artist is empty, too long or has control characters' },
  shows_show_on_range: { status: 422, title: 'The date is not between 1900 and 2199' },
  shows_status_known: { status: 422, title: 'There is no such status' },
  shows_capacity_positive: { status: 422, title: 'The capacity must be positive' },
  shows_tickets_sold_positive: { status: 422, title: 'The number of tickets sold cannot be negative' },
  shows_fee_range: { status: 422, title: 'The fee is negative or too large' },
  shows_currency_format: { status: 422, title: 'The currency is not an ISO 4217 code' },
  shows_notes_length: { status: 422, title: 'The notes are too long' },
  shows_doors_before_start: { status: 422, title: 'Doors cannot open after the start' },
  shows_tickets_within_capacity: { status: 422, title: 'More tickets are sold than there are places' },
  shows_fee_with_currency: { status: 422, title: 'A fee needs a currency, and a currency a fee' },
  rate_limited: { status: 429, title: 'Too many requests' },
  internal: { status: 500, title: 'Something went wrong on our side' },
  database_unavailable: { status: 503, title: 'The database is not available' },
}

export interface FieldError {
  path: string
  message: string
}

/** An error with an HTTP status and a name from `problems`. */
export class Problem extends Error {
  readonly status: number
  readonly problem: string
  readonly errors: FieldError[] | undefined
  constructor(status: number, problem: string, detail?: string, errors?: FieldError[]) {
    const known = problems[problem]
    // SQL sends an empty detail for none.
    super(detail || (known?.detail ?? `${known?.title ?? problem}.`))
    this.status = status
    this.problem = problem
    this.errors = errors
  }
}

/** What PostgreSQL says of an error, as postgres.js passes it on. */
interface SqlError {
  code: string
  message: string
  detail?: string
  constraint_name?: string
  severity_local?: string
  routine?: string
}

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
      // Refused by a policy, that is; a missing GRANT is our own mistake and stays a 500.
      if (routine !== 'ExecWithCheckOptions') return undefined
      return new Problem(403, 'permission_denied', 'Your role does not allow this.')
    case '23505':
    case '23503':
    case '23P01':
      return named('conflict', 'The request contradicts what is stored')
    case '23514':
    case '23502':
      return named('unprocessable', 'The values contradict a rule')
    case '57014':
      return new Problem(
        503,
        'database_unavailable',
        'The database did not answer in time: try again shortly.',
      )
    case '40001':
    case '40P01':
      return new Problem(
        503,
        'database_unavailable',
        'Other requests are changing the same rows: try again shortly.',
      )
  }
  // Class 22: a value of the right JSON type that is none of the column's, such as February 30.
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
    // What is wrong is the client's to choose, so the answer's size is not.
    const errors = error.validation.slice(0, 100).map(({ instancePath, message, params }) => ({
      path: `/${error.validationContext ?? 'body'}${instancePath}`,
      message:
        'additionalProperty' in params
          ? `${message ?? ''}: ${String(params['additionalProperty']).slice(0, 200).replace(/\p{Cc}/gu, ' ')}`
          : (message ?? ''),
    }))
    return new Problem(400, 'validation', 'See errors for what is wrong where.', errors)
  }
  const status = error.statusCode
  if (status === undefined || status >= 500) return undefined
  return new Problem(status, byStatus[status] ?? 'bad_request', error.message)
}

/** Any error as a Problem; what is not expected becomes 500 `internal` and says nothing. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  const { code } = error as { code?: unknown }
  const known =
    typeof code === 'string' && 'severity_local' in (error as object)
      ? fromSql(error as SqlError)
      : fromFastify(error as FastifyError)
  return known ?? new Problem(500, 'internal', 'The request failed and has been logged under its instance.')
}

const body = (problem: Problem, instance: string) => ({
  type: `/problems/${problem.problem}`,
  title: problems[problem.problem]?.title ?? STATUS_CODES[problem.status] ?? 'Error',
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
      if (problem.status >= 500) request.log.error({ err: error, problem: problem.problem }, 'request failed')
      else request.log.info({ problem: problem.problem, status: problem.status }, 'request refused')
      if (problem.status === 401) void reply.header('www-authenticate', 'Bearer')
      if (problem.status === 503) void reply.header('retry-after', '1')
      return reply.code(problem.status).type('application/problem+json').send(body(problem, request.id))
    })
    app.setNotFoundHandler(request => {
      throw new Problem(
        404,
        'not_found',
        `There is nothing at ${request.method} ${request.url.split('?', 1)[0] ?? ''}.`,
      )
    })
  },
  { name: 'problem' },
)

/** Options of Fastify for what fails before there is a request: a URL or HTTP that cannot be read. */
export const malformed = {
  frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
    void reply
      .code(400)
      .type('application/problem+json')
      .send(body(new Problem(400, 'bad_request', error.message), request.id))
  },
  clientErrorHandler: (error: Error & { code?: string }, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return
    const late = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
    const problem = late
      ? new Problem(408, 'request_timeout', 'Send the whole request in less time.')
      : new Problem(400, 'bad_request', 'This is not HTTP/1.1.')
    const text = JSON.stringify(body(problem, ''))
    socket.end(
      `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
    )
  },
}
