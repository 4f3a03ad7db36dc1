/** By name: the status that a problem comes with, its title and, where each case has no more to say, its detail. */
export type Problems = Record<string, { status: number; title: string; detail?: string }>

/**
 * Every problem. Those that belong to no subject stand here; the others are added at start from the
 * problems.ts of each subject, so that what is below need not know what is above. SQL raises these names too.
 */
export const problems: Problems = {
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
  not_acceptable: { status: 406, title: 'There is no such form of it' },
  permission_denied: { status: 403, title: 'You do not have the permission' },
  support_grant_needed: {
    status: 403,
    title: 'You have no grant for this as a superadmin',
    detail: 'This needs a grant for superadmins that is for this organization and has not ended.',
  },
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
  not_found: {
    status: 404,
    title: 'There is no such resource',
    detail: 'There is no such resource, or it is not yours to see.',
  },
  method_not_allowed: { status: 405, title: 'The resource does not have this method' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  idempotency_key_reused: { status: 409, title: 'The Idempotency-Key was used for another request' },
  parent_deleted: { status: 409, title: 'What it belongs to is deleted' },
  conflict: { status: 409, title: 'The request contradicts what is stored' },
  version_mismatch: {
    status: 412,
    title: 'The resource has changed since it was read',
    detail: 'The resource has changed since it was read: read it again and repeat the change.',
  },
  payload_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The body is not JSON' },
  unprocessable: { status: 422, title: 'The values contradict a rule' },
  rate_limited: { status: 429, title: 'Too many requests' },
  headers_too_large: { status: 431, title: 'The headers are too large' },
  internal: { status: 500, title: 'Something went wrong on our side' },
  database_unavailable: { status: 503, title: 'The database is not available' },
}

/** What the database says to a session that is good for nothing (any more). */
export const ofSessions = ['session_unknown', 'session_revoked', 'session_expired']
/** What it says to one that is good, but not for this organization (any more). */
export const ofMemberships = ['membership_revoked', 'organization_deleted']

/** Adds the problems of a subject or a resource. */
export function addProblems(own: Problems): void {
  for (const [name, problem] of Object.entries(own)) {
    if ((problems[name] ??= problem) !== problem) throw new Error(`Two problems are named ${name}`)
  }
}
