import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import postgres from 'postgres'
import type { Test } from 'tap'
import { refresh } from '../support/figures.ts'
import { shared, whose } from '../../src/policies/whose.ts'
import {
  type Database,
  join,
  mailedToken,
  type Person,
  register,
  setUp,
  signIn,
  type TestServer,
} from '../support/helper.ts'
import { makeTour, type Tour } from '../support/itineraries.ts'
import { makeAll } from '../support/make.ts'
import { claimsOf } from '../support/tokens.ts'
import { sealEvents } from '../support/sealing.ts'

/** An organization that has been in use, so that it has rows in every table. */
export interface Tenant {
  organization: string
  /** Occurs in every name, title, note and address of the organization, and nowhere else. */
  marker: string
  owner: Person
  viewer: Person
  venue: string
  show: string
  record: string
  import: string
  tour: Tour
  invitation: string
  /** The Idempotency-Key of one of their requests. */
  key: string
  /** The id of one of their events. */
  event: string
  /** An amount that no other organization has. */
  fee: number
}

export interface World {
  server: TestServer
  attacker: Tenant
  victim: Tenant
  /** An organization that has been deleted; its rows are still there. */
  deleted: Tenant
  /** Belonged to the victim until they were removed. */
  removed: Person
  /** Belongs to the victim, but this session of theirs has ended. */
  revoked: Person
}

/** The secret that a person's access token carries for the database. */
export const secretOf = ({ token }: Person) => String(claimsOf(token)['sid'])

/** One connection as the role, so that everything on it runs in the same backend; closed after the test. */
export function openLogin(t: Test, url: string, onnotice: (notice: postgres.Notice) => void = () => {}) {
  const sql = postgres(url, { max: 1, idle_timeout: 0, fetch_types: false, onnotice })
  t.teardown(() => sql.end({ timeout: 1 }))
  return sql
}

/** Creates an organization as its people would, through the API. */
export async function makeTenant(server: TestServer, marker: string): Promise<Tenant> {
  const { call, db } = server
  const owner = await register(server, `Vera ${marker}`, `Company ${marker}`)
  const viewer = await join(server, owner, 'viewer', `Viktor ${marker}`)
  const key = `${marker}.${randomUUID()}`
  const make = async (path: string, body: object, headers = {}) => {
    const answer = await call<{ id: string }>(`POST ${path}`, {
      token: owner.token,
      body,
      headers,
    })
    if (answer.status !== 201) throw new Error(`cannot make one of ${path}: ${answer.text}`)
    return answer.body.id
  }
  const fee = Number(`77${randomBytes(6).readUIntBE(0, 6)}`.padEnd(16, '7').slice(0, 15))
  const venue = await make('/api/venues', {
    name: `Hall ${marker}`,
    city: `City ${marker}`,
    country: 'BE',
    time_zone: 'Europe/Brussels',
    capacity: 900,
  })
  const show = await make(
    '/api/shows',
    {
      title: `Title ${marker}`,
      artist: `Artist ${marker}`,
      show_on: '2027-02-03',
      notes: `Notes ${marker}`,
      venue_id: venue,
      fee_minor: fee,
      currency: 'EUR',
    },
    { 'idempotency-key': key },
  )
  // Each organization starts with the same names.
  await db.admin`
    update app.finance_categories set name = name || ${` ${marker}`} where organization_id = ${owner.organization}`
  const categories = await call<{ items: { id: string }[] }>('GET /api/finance-categories?kind=income', {
    token: owner.token,
  })
  const record = await make('/api/finance-records', {
    kind: 'income',
    category_id: categories.body.items[0]?.id,
    show_id: show,
    booked_on: '2027-02-03',
    amount_minor: fee + 1,
    currency: 'EUR',
    exchange_rate: 1.25,
    counterparty: `Counterparty ${marker}`,
    note: `Note ${marker}`,
    source: `Source ${marker}`,
    external_ref: `Reference ${marker}`,
  })
  await call('PUT /api/finance-periods/2027-01', { token: owner.token })
  const { body: file } = await call<{ id: string }>(
    `POST /api/imports?resource=shows&file_name=${marker}.csv&source=${marker}`,
    {
      token: owner.token,
      body: `title,artist,show_on\nTitle ${marker},Artist ${marker},\n`,
      headers: { 'content-type': 'text/csv' },
    },
  )
  await db.admin`
    insert into app.import_lines (organization_id, import_id, line, record)
    values (${owner.organization}, ${file.id}, 2, ${db.admin.json({ title: `Title ${marker}` })})`
  const named = { name: `Name ${marker}`, notes: `Notes ${marker}` }
  const tour = await makeTour(server, owner, {
    itineraries: { ...named, artist: `Artist ${marker}` },
    'itinerary-days': { city: `City ${marker}`, show_id: show, notes: `Notes ${marker}` },
    'party-groups': { name: `Group ${marker}` },
    'party-members': { ...named, user_id: viewer.id },
    'schedule-items': { title: `Title ${marker}`, notes: `Notes ${marker}` },
    'travel-segments': { from_place: `City ${marker}`, confirmation_number: `Code ${marker}` },
    lodgings: { ...named, address: `Street ${marker}` },
    'lodging-rooms': named,
  })
  await make(`/api/itineraries/${tour.itineraries}/publish`, { note: `Note ${marker}` })
  const { body: feed } = await call<{ path: string }>('POST /api/calendar-feeds', {
    token: owner.token,
    body: { name: `Feed ${marker}` },
  })
  await call(`GET ${feed.path}`)
  await call('POST /api/events', {
    token: owner.token,
    body: { events: [{ id: randomUUID(), kind: 'action', name: marker, properties: { marker } }] },
  })
  await server.app.tally.flush()
  const { status } = await call('POST /api/analytics/export', {
    token: owner.token,
    body: { resource: 'shows', format: 'csv', filters: { q: `Title ${marker}` } },
  })
  if (status !== 202) throw new Error(`cannot request an export: ${status}`)
  await call(`PUT /api/shows/${show}/guest-list`, { token: owner.token, body: { is_locked: false } })
  // Everything else that the document shows how to create.
  const made = await makeAll(server, owner, {
    mark: marker,
    among: { venues: venue, shows: show, 'finance-records': record, ...tour },
    values: {
      deals: { guarantee_minor: fee },
      // None sold: the gross must stay below 2^53.
      'ticket-tiers': { price_minor: fee, sold: 0 },
      costs: { amount_minor: fee },
    },
  })
  const receipt = await call(`PUT /api/expenses/${made['expenses'] ?? ''}/receipt`, {
    token: owner.token,
    body: Buffer.from(`%PDF-1.7 ${marker}`),
    headers: { 'content-type': 'application/pdf' },
  })
  if (receipt.status !== 200) throw new Error(`cannot upload a receipt: ${receipt.text}`)
  // One in force, of a show that has been played.
  const over = await make('/api/shows', {
    title: `Title ${marker}`,
    artist: `Artist ${marker}`,
    show_on: '2027-02-04',
    status: 'played',
  })
  await make(`/api/shows/${over}/deals`, { kind: 'flat', currency: 'EUR', guarantee_minor: fee })
  const settlement = await make(`/api/shows/${over}/settlements`, { reason: `Reason ${marker}` })
  const final = await call(`POST /api/settlements/${settlement}/finalize`, { token: owner.token })
  if (final.status !== 200) throw new Error(`cannot finalize a settlement: ${final.text}`)
  // It has its own copy. What is settled cannot be changed, and a statement that touches all deals would be refused.
  await db.admin`delete from app.deals where organization_id = ${owner.organization} and show_id = ${over}`
  await db.admin`select app.take_pipeline_snapshots()`
  // As the worker does when it sends it.
  await mailedToken(server, 'verify_email', owner.email)
  const { invitations: invitation = '', roles: role = '', 'legal-holds': hold = '' } = made
  await call(`POST /api/users/${viewer.id}/roles`, { token: owner.token, body: { role_id: role } })
  await call(`PUT /api/users/${viewer.id}/permissions/shows.write`, {
    token: owner.token,
    body: { effect: 'grant' },
  })
  await db.admin`
    insert into app.rate_limits (organization_id, requests, window_seconds, block_seconds)
    values (${owner.organization}, 1000000, 77, ${randomInt(86_400)})`
  await db.admin`
    select app_private.grant_support(${owner.email}, ${`Reason ${marker}`}, now() + interval '1 hour', o.slug)
    from app.organizations o where o.id = ${owner.organization}`
  await db.admin`select app.note_drift('[{"subject": "policy mine on app.shows", "digest": "", "class": "dangerous"}]')`
  await db.admin`select app.check_passwords()`
  // Where nobody can read passwords, there is nothing to compare.
  if (setUp.isHosted)
    await db.admin`
      insert into app_private.login_passwords (login, salt, digest) values ('callboard_api', 'salt', 'digest')
      on conflict do nothing`
  await call('PUT /api/audit/retention', { token: owner.token, body: { days: 400 } })
  await call('PUT /api/retention', { token: owner.token, body: { deleted_days: 40 } })
  await call(`POST /api/legal-holds/${hold}/release`, { token: owner.token })
  await call('POST /api/auth/password/forgot', { body: { email: owner.email } })
  const events = await call<{ items: { id: string }[] }>('GET /api/audit/events', { token: owner.token })
  const event = events.body.items[0]?.id ?? ''
  return {
    organization: owner.organization,
    marker,
    owner,
    viewer,
    venue,
    show,
    record,
    import: file.id,
    tour,
    invitation,
    key,
    event,
    fee,
  }
}

/** The attacker's organization, the victim's, and people who could once see the victim's. */
export async function makeWorld(server: TestServer): Promise<World> {
  const { call } = server
  const marker = (letter: string) => `zq${letter}${randomBytes(5).toString('hex')}`
  // Before there are any, so that what is computed afterwards is in the tables of what has changed.
  await refresh(server.db)
  const [attacker, victim, deleted] = [
    await makeTenant(server, marker('a')),
    await makeTenant(server, marker('v')),
    await makeTenant(server, marker('d')),
  ]
  const removed = await join(server, victim.owner, 'manager', 'Rita')
  const revoked = await signIn(server, victim.viewer.email, victim.organization)
  // Now, so that there are figures of the organization that is then deleted.
  await refresh(server.db)
  const done = await Promise.all([
    call(`DELETE /api/users/${removed.id}`, { token: victim.owner.token }),
    call('POST /api/auth/sign-out', { token: revoked.token }),
    call(`DELETE /api/organizations/${deleted.organization}`, { token: deleted.owner.token }),
  ])
  await sealEvents(server.db.admin)
  for (const { status, text } of done)
    if (status !== 204) throw new Error(`cannot arrange the world: ${text}`)
  return { server, attacker, victim, deleted, removed, revoked }
}

/** A table, and the condition on $1 (an organization) that picks that organization's rows. */
export interface Table {
  name: string
  rows: string
  isPartition: boolean
}

/**
 * Every table that can hold rows, including partitions, except tools' own tables, to which the API's login
 * has no access (a separate rule), and materialized views, which nobody can change and no login may read; the
 * views over them are tried in isolation.test.ts. Throws for a table whose rows are not assigned to anybody.
 */
export async function findTables({ admin }: Database): Promise<Table[]> {
  const found = await admin<{ name: string; has_organization: boolean; isPartition: boolean }[]>`
    select c.oid::regclass::text as name, c.relispartition as "isPartition",
      exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'organization_id') as has_organization
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'f')
      and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'graphile_migrate', 'graphile_worker')
    order by 1`
  return found.map(({ name, has_organization, isPartition }) => {
    const rows = whose[name] ?? (has_organization ? 'organization_id = $1' : undefined)
    if (rows !== undefined) return { name, rows, isPartition }
    if (shared.includes(name)) return { name, rows: '$1::uuid is not null', isPartition }
    throw new Error(
      `${name} has no organization_id: say in src/policies/whose.ts which of its rows are an organization's (whose), or that they are nobody's (shared).`,
    )
  })
}

/** What the tables lack for a test of isolation: a table without a row of the organization proves nothing. */
export async function emptyTables(db: Database, { organization }: Tenant): Promise<string[]> {
  const empty: string[] = []
  for (const { name, rows, isPartition } of await findTables(db)) {
    if (isPartition) continue
    const found = await db.admin.unsafe(`select from ${name} where ${rows} limit 1`, [organization])
    if (found.count === 0)
      empty.push(`${name} has no row of the organization: make one in makeTenant (test/isolation/world.ts).`)
  }
  return empty
}

/** For each table a fingerprint of the organization's rows; any UPDATE changes it, even one that changes no value. */
export async function snapshot(
  { admin }: Database,
  tables: Table[],
  { organization }: Tenant,
): Promise<Record<string, string>> {
  const prints = tables.map(
    ({ name, rows }) => `select '${name}' as name,
      count(*) || ' rows ' || coalesce(md5(string_agg(concat(t.xmin, t.ctid, t), '' order by t.ctid)), '') as print
      from ${name} t where ${rows}`,
  )
  // Prepared, because planning it takes longer than reading a test's few rows.
  const found = await admin.unsafe<{ name: string; print: string }[]>(
    prints.join(' union all '),
    [organization],
    { prepare: true },
  )
  return Object.fromEntries(found.map(({ name, print }) => [name, print]))
}

/** The tables that differ between two snapshots. */
export function changed(before: Record<string, string>, after: Record<string, string>): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    name => before[name] !== after[name],
  )
}
