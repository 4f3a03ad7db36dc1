/** By name: a problem's status, its title and, unless each case supplies its own, its detail. */
export type Problems = Record<string, { status: number; title: string; detail?: string }>

/**
 * Every problem. Those that belong to no subject are here; each subject adds its own at startup from its
 * problems.ts, so that lower layers need not know higher ones. SQL raises these names, too.
 */
export const problems: Problems = {
  bad_request: { status: 400, title: 'The request is malformed' },
  validation: { status: 400, title: 'The request does not match its schema' },
  invalid_value: { status: 400, title: 'A value cannot be stored' },
  invalid_cursor: { status: 400, title: 'The cursor does not belong to this list' },
  invalid_token: {
    status: 400,
    title: 'The link is no longer valid',
    detail: 'This link has been used, has expired or never existed: request a new one.',
  },
  unauthorized: {
    status: 401,
    title: 'A valid access token is required',
    detail: 'Send a valid access token as Authorization: Bearer …',
  },
  session_unknown: {
    status: 401,
    title: 'The session does not exist',
    detail: 'This session does not exist: sign in again.',
  },
  session_revoked: {
    status: 401,
    title: 'The session has ended',
    detail: 'This session has ended: sign in again.',
  },
  session_expired: {
    status: 401,
    title: 'The session has expired',
    detail: 'This session was unused for too long: sign in again.',
  },
  not_acceptable: { status: 406, title: 'None of the accepted media types is available' },
  permission_denied: { status: 403, title: 'You do not have the required permission' },
  support_grant_needed: {
    status: 403,
    title: 'Superadmins need a grant for this',
    detail: 'Superadmins need a grant for this organization that has not ended.',
  },
  membership_revoked: {
    status: 403,
    title: 'You are not a member of this organization',
    detail: 'You are not, or no longer, a member of this organization: refresh your token for another one.',
  },
  organization_deleted: {
    status: 403,
    title: 'The organization has been deleted',
    detail: 'This organization has been deleted: refresh your token for another one.',
  },
  no_organization: { status: 403, title: 'The token is for no organization' },
  currency_needs_amounts: { status: 422, title: 'Another currency needs its amounts, too' },
  not_found: {
    status: 404,
    title: 'The resource does not exist',
    detail: 'The resource does not exist, or you are not allowed to see it.',
  },
  method_not_allowed: { status: 405, title: 'The resource does not support this method' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  idempotency_key_refused: {
    status: 400,
    title: 'The operation does not accept an Idempotency-Key',
    detail: 'Repeating this request would not return the first answer: send it without an Idempotency-Key.',
  },
  idempotency_key_reused: { status: 409, title: 'The Idempotency-Key was used for another request' },
  parent_deleted: { status: 409, title: 'The parent resource is deleted' },
  conflict: { status: 409, title: 'The request conflicts with stored data' },
  version_mismatch: {
    status: 412,
    title: 'The resource has changed since it was read',
    detail: 'The resource has changed since it was read: read it again and repeat the change.',
  },
  payload_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The body is not JSON' },
  unprocessable: { status: 422, title: 'The values violate a rule' },
  rate_limited: { status: 429, title: 'Too many requests' },
  headers_too_large: { status: 431, title: 'The headers are too large' },
  internal: { status: 500, title: 'Something went wrong on our side' },
  database_unavailable: { status: 503, title: 'The database is not available' },
}

/** How the database refuses a session that is not, or no longer, valid. */
export const ofSessions = ['session_unknown', 'session_revoked', 'session_expired']
/** How it refuses a valid session that is not, or no longer, entitled to its organization. */
export const ofMemberships = ['membership_revoked', 'organization_deleted']

/** Adds the problems of a subject or a resource. */
export function addProblems(own: Problems): void {
  for (const [name, problem] of Object.entries(own)) {
    if ((problems[name] ??= problem) !== problem) throw new Error(`Two problems are named ${name}`)
  }
}
