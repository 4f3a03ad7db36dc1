import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { PendingQuery, Row } from 'postgres'
import type { Client } from '../database/pool.ts'
import type { AccessToken } from '../http/tokens.ts'

/** A statement that logs what is read. */
export type Note = (sql: Client) => PendingQuery<Row[]>

/** Who comes in, and by which request; without one, on their behalf. */
export interface Visit {
  user?: Pick<AccessToken, 'sid'>
  organization: string | null
  request?: FastifyRequest
  note?: Note
}

// What a transaction begins with. Who only reads and has not signed in is not introduced: that is no event.
const byNothing: Enter = () => []
const introduce: Enter = (sql, { request }) => [
  sql`select app.introduce(${idOf(request)}, ${addressOf(request)})`,
]
const enter: Enter = (sql, { user, organization, request }) => [
  sql`select app.enter(${user?.sid ?? null}, ${organization}, ${idOf(request)}, ${addressOf(request)})`,
]
const enterAndNote: Enter = (sql, visit) => [...enter(sql, visit), ...(visit.note ? [visit.note(sql)] : [])]
const enterSupport: Enter = (sql, { user, organization, request }) => [
  sql`select app.enter_support(${user?.sid ?? null}, ${organization}, ${idOf(request)}, ${addressOf(request)})`,
]
// Whether it may write.
const never = () => false
const always = () => true
const unlessRead = ({ request }: Visit) => !isRead(request)
// What goes with its COMMIT. Unprepared and in the same message, so that nothing an injected DEALLOCATE does can
// delay it; a message like that has no parameters, and `authenticate` has made sure that the organization is a UUID.
export const confirm = (organization: string | null) =>
  `select app.confirm_organization(${organization === null ? 'null' : `'${organization}'`})`

/**
 * All ways into the database, but for the standby's: that one is entered by a pass, never writes, and is confirmed
 * (replica.ts). What is confirmed was still in the organization of its token when it ended.
 */
// prettier-ignore
export const doors: Record<Door, Passage> = {
  // door          login             enters by             may write             leaves by       a superadmin enters
  tenant:        { login: 'api',     enter,                mayWrite: unlessRead, leave: confirm, superadmin: 'by grant' },
  audited:       { login: 'api',     enter: enterAndNote,  mayWrite: always,     leave: confirm, superadmin: 'by grant' },
  event:         { login: 'api',     enter,                mayWrite: always,     leave: confirm },
  reading:       { login: 'api',     enter,                mayWrite: never,      leave: confirm },
  account:       { login: 'api',     enter,                mayWrite: unlessRead },
  anonymous:     { login: 'api',     enter: introduce,     mayWrite: always },
  passerby:      { login: 'api',     enter: byNothing,     mayWrite: never },
  beforeSupport: { login: 'support', enter: byNothing,     mayWrite: never },
  useOfSupport:  { login: 'support', enter: byNothing,     mayWrite: always },
  support:       { login: 'support', enter: enterSupport,  mayWrite: unlessRead },
}
export type Door =
  | 'tenant'
  | 'audited'
  | 'event'
  | 'reading'
  | 'account'
  | 'anonymous'
  | 'passerby'
  | 'beforeSupport'
  | 'useOfSupport'
  | 'support'
interface Passage {
  login: 'api' | 'support'
  enter: Enter
  mayWrite: (visit: Visit) => boolean
  leave?: (organization: string | null) => string
  superadmin?: 'by grant'
}
type Enter = (sql: Client, visit: Visit) => PendingQuery<Row[]>[]

export const isRead = (request?: FastifyRequest) => request?.method === 'GET' || request?.method === 'HEAD'

/** Where a request comes from, as far as PostgreSQL's inet can say it: a proxy may pass on anything. */
export const addressOf = (request?: Pick<FastifyRequest, 'ip'>) =>
  request && isIP(request.ip) > 0 && !request.ip.includes('%') ? request.ip : null
const idOf = (request?: FastifyRequest) => request?.id ?? null
