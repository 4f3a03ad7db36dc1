// The people behind the names of roles.
import type { LiveFacts } from './live.ts'

const people: Record<string, string> = {
  public: 'every login of the server, those of BI tools included',
  callboard_api: 'every request of the API',
  callboard_worker: 'the worker',
  callboard_support: 'requests of superadmins',
  callboard_auditor: 'auditors',
  callboard_exporter: 'exports',
  callboard_bi: 'every BI login',
  callboard_definer: 'the functions that requests call',
  callboard_rollup: 'what computes figures',
  callboard_reader: 'app.readable_events, which members read',
  callboard_owner: 'migrations, and functions of the owner',
  callboard_migrator: 'migrations',
  callboard_bi_admin: 'what creates BI logins',
}

/** `callboard_api (every request of the API)` */
export const whom = (role: string) => (role in people ? `${role} (${people[role] ?? ''})` : role)
export const whomAll = (roles: string[]) => (roles.length === 0 ? 'nobody' : roles.map(whom).join(', '))

/** Roles that somebody outside the database acts as. */
const inner = ['owner', 'definer', 'rollup', 'reader', 'migrator', 'bi_admin'].map(
  name => `callboard_${name}`,
)
export const isOuter = (role: string) => !inner.includes(role) && role !== 'its owner'

/** Words for what limits a role's command on a table. */
export function limitOf(facts: LiveFacts, table: string, role: string, command: string): string {
  if (command === 'truncate') return 'all rows of all organizations: no policy limits TRUNCATE'
  const above = facts.rolesOf(role).find(name => facts.bypassing.has(name))
  if (above !== undefined) return `all rows of all organizations: no policy applies to ${above}`
  if (!facts.tables.has(table)) return 'what the view shows'
  if (facts.unprotected.has(table)) return 'all rows of all organizations: row-level security is off'
  const policies = facts.policiesFor(table, role, command).filter(policy => policy.permissive)
  if (policies.length === 0) return 'no rows: there is no policy for that'
  const names = policies.map(({ name, using, check }) => `${name} (${using ?? check ?? ''})`)
  return `the rows that these policies allow: ${names.join(', ')}`
}

export const listed = (names: string[], most = 6) =>
  names.length <= most
    ? names.join(', ')
    : `${names.slice(0, most).join(', ')} and ${names.length - most} more`
