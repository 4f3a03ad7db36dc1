import { ofMemberships, ofSessions, problems } from '../problems.ts'
import type { Operation } from './types.ts'

const has = (operation: Operation, place: string, name?: string) =>
  (operation.parameters ?? []).some(p => p.in === place && (name === undefined || p.name === name))
const needsToken = ({ security }: Operation) => security === undefined || security.length > 0

/** The problems of operations in an organization; a route without a permission of its own names them itself. */
export const inOrganization = [
  'no_organization',
  ...ofMemberships,
  'permission_denied',
  'support_grant_needed',
]

/**
 * What can go wrong mostly follows from what an operation takes; a route names only its own
 * problems, as `x-problems`. Nothing else decides which errors the document declares.
 */
const rules: [(operation: Operation, method: string) => boolean, string[]][] = [
  [() => true, ['bad_request', 'internal']],
  // An operation that neither writes nor needs a token does not query the database.
  [(o, method) => needsToken(o) || method !== 'get', ['database_unavailable']],
  // Under /api even an operation without parameters refuses unknown ones: see validation.ts.
  [o => needsToken(o) || o.parameters !== undefined || o.requestBody !== undefined, ['validation']],
  [o => has(o, 'query') || o.requestBody !== undefined, ['invalid_value']],
  [o => has(o, 'query', 'cursor'), ['invalid_cursor']],
  [needsToken, ['unauthorized', ...ofSessions]],
  [o => o['x-permission'] !== undefined, inOrganization],
  [o => has(o, 'path'), ['not_found']],
  // A body is read whether or not the operation uses it.
  [(_, method) => method !== 'get', ['request_timeout', 'payload_too_large', 'unsupported_media_type']],
  [o => has(o, 'header', 'if-match'), ['version_mismatch']],
  [o => has(o, 'header', 'idempotency-key'), ['idempotency_key_reused']],
  [(o, method) => method === 'post' && !has(o, 'header', 'idempotency-key'), ['idempotency_key_refused']],
]

/** The names of all problems that an operation can answer with, by status. */
export function refusalsOf(operation: Operation, method: string): Map<string, string[]> {
  const names = new Set(rules.flatMap(([applies, given]) => (applies(operation, method) ? given : [])))
  for (const name of operation['x-problems'] ?? []) names.add(name)
  const byStatus = new Map<string, string[]>()
  for (const name of names) {
    const status = String(problemNamed(name).status)
    byStatus.set(status, [...(byStatus.get(status) ?? []), name])
  }
  return byStatus
}

/** The definition of a problem. */
export function problemNamed(name: string) {
  const known = problems[name]
  if (!known) throw new Error(`There is no problem ${name}`)
  return known
}

/** The problems named after constraints of a table. */
export function constraintsOf(table: string): string[] {
  return Object.keys(problems).filter(name => name.startsWith(`${table}_`))
}
