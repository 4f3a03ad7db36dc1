import type { FastifyRequest } from 'fastify'
import type { PendingQuery, Row } from 'postgres'
import type { Client } from '../database/pool.ts'
import { addressOf } from '../http/address.ts'
import type { AccessToken } from '../http/tokens.ts'

/** A statement that logs what is read. */
export type Note = (sql: Client) => PendingQuery<Row[]>

/** Who enters, and with which request; without one, on their behalf. */
export interface Visit {
  user?: Pick<AccessToken, 'sid' | 'sub'>
  organization: string | null
  request?: FastifyRequest
  note?: Note
}

// How a transaction begins. Anonymous reads are not introduced: they are not events.
const noContext: Enter = () => []
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
// Sent with the COMMIT. Unprepared and in the same message, so that an injected DEALLOCATE cannot delay it;
// such a message has no parameters, and `authenticate` has made sure that the organization is a UUID.
export const confirm = (organization: string | null) =>
  `select app.confirm_organization(${organization === null ? 'null' : `'${organization}'`})`

/**
 * All ways into the database, except for the standby: that one is entered with a pass, never writes, and is
 * confirmed (replica.ts). A confirmed transaction was still in the organization of its token when it ended.
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
  passerby:      { login: 'api',     enter: noContext,     mayWrite: never },
  beforeSupport: { login: 'support', enter: noContext,     mayWrite: never },
  useOfSupport:  { login: 'support', enter: noContext,     mayWrite: always },
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

const idOf = (request?: FastifyRequest) => request?.id ?? null
