import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { createStorage } from '../../src/exports/open.ts'
import { exampleOf } from '../../src/http/openapi/examples.ts'
import type { Schema } from '../../src/http/openapi/types.ts'
import { pluralOf } from '../../src/tenant/resource.ts'
import {
  aShow,
  join,
  joinAs,
  mailedToken,
  password,
  type Person,
  register,
  signIn,
  superadmin,
  type TestServer,
} from '../support/helper.ts'
import { aLodging, anItem, anItinerary, aSegment, dayOne, dayTwo, makeTour } from '../support/itineraries.ts'

/** The callers: custom has only one of the organization's own roles, stranger owns another organization, superadmin may read all. */
export const actors = [
  'anonymous',
  'viewer',
  'manager',
  'admin',
  'owner',
  'custom',
  'stranger',
  'superadmin',
] as const
export type Actor = (typeof actors)[number]
export const roles = ['viewer', 'manager', 'admin', 'owner'] as const
/** Manages people, and otherwise sees only what a viewer does: with less, they could make nobody a viewer. */
export const customPermissions = [
  'analytics.read',
  'finance.read',
  'itineraries.read',
  'members.manage',
  'members.read',
  'organization.read',
  'shows.read',
]

export interface Target {
  path?: string
  body?: object | string
  headers?: Record<string, string>
}
export interface World extends Record<Exclude<Actor, 'anonymous'>, Person> {
  server: TestServer
}
/** Creates what the request is about, and says where it is; once per actor if it takes an actor. */
type Arrange = (world: World, actor: Person) => Promise<Target> | Target

let serial = 0
const anAddress = () => `person${serial++}@example.com`
const aVenue = { name: 'Vera', city: 'Groningen', country: 'NL', time_zone: 'Europe/Amsterdam' }

async function make({ server, owner }: World, path: string, body: object): Promise<string> {
  const answer = await server.call<{ id: string }>(`POST ${path}`, { token: owner.token, body })
  if (answer.status !== 201) throw new Error(`${path}: ${answer.text}`)
  return `${path}/${answer.body.id}`
}
async function deleted(world: World, path: string, body: object): Promise<string> {
  const made = await make(world, path, body)
  await world.server.call(`DELETE ${made}`, { token: world.owner.token })
  return `${made}/restore`
}
const aShowOf: Arrange = async world => ({ path: await make(world, '/api/shows', aShow) })
const aVenueOf: Arrange = async world => ({ path: await make(world, '/api/venues', aVenue) })
const aMemberOf: Arrange = async world => ({
  path: await make(world, '/api/users', { email: anAddress(), display_name: 'Mia', role: 'viewer' }),
})
const anInvitationOf: Arrange = async world => ({
  path: await make(world, '/api/invitations', { email: anAddress(), role: 'viewer' }),
})
const categoryOf = async ({ server, owner }: World, kind: string): Promise<string> => {
  const { body } = await server.call<{ items: { id: string }[] }>(
    `GET /api/finance-categories?kind=${kind}`,
    {
      token: owner.token,
    },
  )
  return body.items[0]?.id ?? ''
}
const aRecord = async (world: World) => ({
  kind: 'income',
  category_id: await categoryOf(world, 'income'),
  booked_on: '2027-03-14',
  amount_minor: 1250000,
})
const aRecordOf: Arrange = async world => ({
  path: await make(world, '/api/finance-records', await aRecord(world)),
})
const aCategory = () => ({ kind: 'expense', name: `Category ${serial++}` })
const aCategoryOf: Arrange = async world => ({
  path: await make(world, '/api/finance-categories', aCategory()),
})
/** A file that has been uploaded, and as it is after the worker has checked it. */
const anImportOf: Arrange = async ({ server, owner }) => {
  // An organization may have twenty at a time.
  await server.db.admin`update app.imports set status = 'cancelled'`
  const { body } = await server.call<{ id: string }>('POST /api/imports?resource=shows', {
    token: owner.token,
    body: 'title,artist,show_on\nSpring,The Gaslights,2027-05-01\n',
    headers: { 'content-type': 'text/csv' },
  })
  await server.db.admin`update app.imports set status = 'checked' where id = ${body.id}`
  return { path: `/api/imports/${body.id}` }
}
/** The caller's, if they belong to the organization and may have one, otherwise the owner's. */
const anExportOf: Arrange = async ({ server, owner, stranger }, actor) => {
  // A member may have five at a time.
  await server.db.admin`update app.exports set status = 'cancelled'`
  const ask = ({ token }: Person) =>
    server.call<{ id: string }>('POST /api/analytics/export', {
      token,
      body: { resource: 'shows', format: 'csv' },
    })
  let made = await ask(actor.id === stranger.id ? owner : actor)
  if (made.status !== 202) made = await ask(owner)
  return { path: `/api/analytics/export/${made.body.id}` }
}
/** The link to a file, as it is after the worker has made it. */
const aFileOf: Arrange = async world => {
  const { path = '' } = await anExportOf(world, world.owner)
  const { db, call, config } = world.server
  const [made] = await db.admin<[{ key: string }]>`
    update app.exports set status = 'ready', attempt = gen_random_uuid(), bytes = 4, sha256 = repeat('0', 64), expires_at = now() + interval '1 day'
    where id = ${path.replace(/.*\//, '')} returning concat_ws('/', organization_id, id, attempt) as key`
  await createStorage(config).put(
    made.key,
    Readable.from([Buffer.from('id\r\n')]),
    AbortSignal.timeout(10_000),
  )
  const { body } = await call<{ link: string }>(`GET ${path}`, { token: world.owner.token })
  return { path: body.link }
}
/** A waiting one of the caller's; the five that a member may have are cancelled first. */
const roomForExports: Arrange = async ({ server }) => {
  await server.db.admin`update app.exports set status = 'cancelled'`
  return { body: { resource: 'venues', format: 'csv' } }
}
const anItineraryOf: Arrange = async world => ({ path: await make(world, '/api/itineraries', anItinerary) })
/** One of the parts of a new itinerary. */
const partOf =
  (kind: string): Arrange =>
  async ({ server, owner }) => ({
    path: `/api/${kind}/${(await makeTour(server, owner))[kind] ?? ''}`,
  })
const restoredPartOf =
  (kind: string): Arrange =>
  async (world, actor) => {
    const { path = '' } = await partOf(kind)(world, actor)
    await world.server.call(`DELETE ${path}`, { token: world.owner.token })
    return { path: `${path}/restore` }
  }
/** The parent of one: the stranger's is in their own organization. */
const partFor =
  (kind: string, parent: string, body: object): Arrange =>
  async ({ server, owner, stranger }, actor) => {
    const tour = await makeTour(server, actor.id === stranger.id ? stranger : owner)
    return {
      body: {
        ...body,
        [parent === 'itinerary-days' ? 'day_id' : parent === 'lodgings' ? 'lodging_id' : 'itinerary_id']:
          tour[parent],
      },
      path: `/api/${kind}`,
    }
  }
const aFeed = async ({ server }: World, { token }: Person) =>
  (
    await server.call<{ id: string; path: string }>('POST /api/calendar-feeds', {
      token,
      body: { name: 'Phone' },
    })
  ).body
const published: Arrange = async (world, actor) => {
  const { path = '' } = await partOf('itineraries')(world, actor)
  await world.server.call(`POST ${path}/publish`, { token: world.owner.token, body: { note: null } })
  return { path }
}
const aTemplate = () => ({ name: `Template ${serial++}`, currency: 'EUR' })
const aTemplateOf: Arrange = async world => ({
  path: await make(world, '/api/settlement-templates', aTemplate()),
})
const aBudgetLine = async (world: World) => ({
  category_id: await categoryOf(world, 'expense'),
  amount_minor: 300_000,
})
/** One of a tour that everybody who may read itineraries sees. */
const aBudgetLineOf: Arrange = async (world, actor) => {
  const { path = '' } = await published(world, actor)
  const made = await make(world, `${path}/budget-lines`, await aBudgetLine(world))
  return { path: made.replace(/.*(?=\/budget-lines)/, '/api') }
}
/** The caller's, if they belong to the organization and may have one, otherwise a viewer's. */
const anExpenseOf =
  (whose?: 'viewer', then: string[] = []): Arrange =>
  async (world, actor) => {
    const { server, owner, viewer, stranger, superadmin } = world
    const person = whose ? viewer : [stranger.id, superadmin.id].includes(actor.id) ? owner : actor
    const { token } = person
    const { body } = await server.call<{ id: string }>('POST /api/expenses', {
      token,
      body: await anExpense(world),
    })
    const path = `/api/expenses/${body.id}` as const
    await server.call(`PUT ${path}/receipt`, { token, ...aReceipt })
    for (const step of then)
      await server.call(step.replace(' ', ` ${path}`) as `${string} ${string}`, { token })
    return { path }
  }
const aPerDiem = async (world: World) => ({
  person: 'Dov Levi',
  category_id: await categoryOf(world, 'expense'),
  starts_on: '2027-03-14',
  ends_on: '2027-03-16',
  daily_minor: 4500,
})
/** One of a tour that everybody sees, entered by somebody else, so that the caller may approve it. */
const aPerDiemOf: Arrange = async (world, actor) => {
  const { path = '' } = await published(world, actor)
  const { owner, manager } = world
  const { body } = await world.server.call<{ id: string }>(`POST ${path}/per-diems`, {
    token: actor.id === owner.id ? manager.token : owner.token,
    body: await aPerDiem(world),
  })
  return { path: `/api/per-diems/${body.id}` }
}
const aReceipt = { body: '%PDF-1.7', headers: { 'content-type': 'application/pdf' } }
const anExpense = async (world: World) => ({
  category_id: await categoryOf(world, 'expense'),
  spent_on: '2027-03-14',
  amount_minor: 2350,
  purpose: 'Taxi from the airport',
})
const aRole = () => ({ name: `Role ${serial++}`, permissions: ['shows.read'] })
const aRoleOf: Arrange = async world => ({ path: await make(world, '/api/roles', aRole()) })
const aBiCredentialOf: Arrange = async world => {
  // There may be ten at a time.
  await world.server.db.admin`update app.bi_credentials set revoked_at = now() where revoked_at is null`
  return { path: await make(world, '/api/bi-credentials', { name: 'Metabase' }) }
}
const aHoldOf: Arrange = async world => ({
  path: await make(world, '/api/legal-holds', { reason: 'A lawsuit' }),
})
/** Something that belongs to what another arrangement makes. */
const under =
  (arrange: Arrange, path: string, body?: object): Arrange =>
  async (world, actor) => ({
    path: `${(await arrange(world, actor)).path ?? ''}${path}`,
    ...(body && { body }),
  })
/** The document's example body for a new resource, by the first part of its path. */
function exampleFor({ server }: World, kind: string): object {
  const { create } = server.app.resources.find(({ path }) => path === `/api/${kind}`) ?? {}
  return exampleOf(create?.body as Schema, kind) as object
}
/** A part, or a settlement, of a show that was played and has a deal. */
const ofAShow =
  (path: string, body?: object): Arrange =>
  async world => {
    const show = await make(world, '/api/shows', { ...aShow, status: 'played' })
    const deal = path === 'deals' ? '' : await make(world, `${show}/deals`, exampleFor(world, 'deals'))
    const made =
      path === 'shows' ? deal : await make(world, `${show}/${path}`, body ?? exampleFor(world, path))
    return { path: path === 'shows' ? show : made.replace(/.*(?=\/[\w-]+\/[\w-]+$)/, '/api') }
  }
const aPlayedShowOf = ofAShow('shows')
const aSettlementOf = ofAShow('settlements', { reason: null })
const aSettledShowOf: Arrange = async world => ({
  path: await make(world, '/api/shows', { ...aShow, status: 'settled' }),
})
const deletedPartOf =
  (kind: string): Arrange =>
  async (world, actor) => {
    const { path = '' } = await ofAShow(kind)(world, actor)
    await world.server.call(`DELETE ${path}`, { token: world.owner.token })
    return { path: `${path}/restore` }
  }
const anEventOf: Arrange = async ({ server, owner }) => {
  const { body } = await server.call<{ items: { id: string }[] }>('GET /api/audit/events?limit=1', {
    token: owner.token,
  })
  return { path: `/api/audit/events/${body.items[0]?.id ?? ''}` }
}
const theOrganization: Arrange = ({ owner }) => ({ path: `/api/organizations/${owner.organization}` })
const withBody =
  (arrange: Arrange, body: object): Arrange =>
  async (world, actor) => ({ ...(await arrange(world, actor)), body })
const only =
  (body: () => object): Arrange =>
  () => ({ body: body() })

// Columns: anonymous, viewer, manager, admin, owner, custom, stranger, superadmin. Where the stranger gets more than
// a 404, it is about the stranger's own organization or person.
const everybody = [200, 200, 200, 200, 200, 200, 200, 200]
const readers = [401, 200, 200, 200, 200, 200, 404, 200]
type Line = [statuses: number[], arrange?: Arrange | undefined, needs?: 'fresh world']
/** The seven lines of a resource under a show, which all read, managers write and admins delete. */
function linesOf(kind: string, one: string): Record<string, Line> {
  const shown =
    (arrange: Arrange): Arrange =>
    async (world, actor) => ({ ...(await arrange(world, actor)), body: exampleFor(world, kind) })
  return {
    [`list${pluralOf(one)}`]: [readers, under(aShowOf, `/${kind}`)],
    [`create${one}`]: [[401, 403, 201, 201, 201, 403, 404, 403], shown(under(aShowOf, `/${kind}`))],
    [`read${one}`]: [readers, ofAShow(kind)],
    [`replace${one}`]: [[401, 403, 200, 200, 200, 403, 404, 403], shown(ofAShow(kind))],
    [`update${one}`]: [[401, 403, 200, 200, 200, 403, 404, 403], shown(ofAShow(kind))],
    [`delete${one}`]: [[401, 403, 403, 204, 204, 403, 404, 403], ofAShow(kind)],
    [`restore${one}`]: [[401, 403, 403, 200, 200, 403, 404, 403], deletedPartOf(kind)],
  }
}
export const table: Record<string, Line> = {
  readLiveness: [everybody],
  readReadiness: [everybody],
  readProblemType: [everybody, () => ({ path: '/problems/not_found' })],

  register: [
    [201, 201, 201, 201, 201, 201, 201, 201],
    only(() => ({ email: anAddress(), password, display_name: 'New', organization_name: 'Company' })),
  ],
  signIn: [everybody, ({ owner }) => ({ body: { email: owner.email, password } })],
  refresh: [
    everybody,
    async ({ server, owner }) => ({
      body: { refresh_token: (await signIn(server, owner.email)).refreshToken },
    }),
  ],
  forgotPassword: [[202, 202, 202, 202, 202, 202, 202, 202], only(() => ({ email: anAddress() }))],
  resetPassword: [
    [204, 204, 204, 204, 204, 204, 204, 204],
    async ({ server }) => {
      const { email } = await register(server, 'Forgetful')
      await server.call('POST /api/auth/password/forgot', { body: { email } })
      return { body: { token: await mailedToken(server, 'reset_password', email), password } }
    },
  ],
  verifyEmail: [
    [204, 204, 204, 204, 204, 204, 204, 204],
    async ({ server }) => {
      const { email } = await register(server, 'Verified')
      return { body: { token: await mailedToken(server, 'verify_email', email) } }
    },
  ],

  readMe: [[401, 200, 200, 200, 200, 200, 200, 200]],
  updateMe: [[401, 200, 200, 200, 200, 200, 200, 200], only(() => ({ display_name: 'Renamed' }))],
  listSessions: [[401, 200, 200, 200, 200, 200, 200, 200]],
  revokeSession: [
    [401, 204, 204, 204, 204, 204, 204, 204],
    async ({ server }, { email, token }) => {
      await signIn(server, email)
      const { body } = await server.call<{ items: { id: string; is_current: boolean }[] }>(
        'GET /api/sessions',
        { token },
      )
      return { path: `/api/sessions/${body.items.find(session => !session.is_current)?.id ?? ''}` }
    },
  ],
  signOut: [[401, 204, 204, 204, 204, 204, 204, 204], undefined, 'fresh world'],
  switchOrganization: [
    [401, 200, 200, 200, 200, 200, 200, 200],
    (_, { organization }) => ({ body: { organization_id: organization } }),
  ],
  changePassword: [
    [401, 204, 204, 204, 204, 204, 204, 204],
    only(() => ({ current_password: password, new_password: 'another horse and battery' })),
    'fresh world',
  ],
  requestVerification: [[401, 202, 202, 202, 202, 202, 202, 202]],

  listOrganizations: [[401, 200, 200, 200, 200, 200, 200, 200]],
  createOrganization: [[401, 201, 201, 201, 201, 201, 201, 201], only(() => ({ name: 'Another' }))],
  acceptInvitation: [
    [401, 200, 200, 200, 200, 200, 200, 200],
    async ({ server }, { email }) => {
      const host = await register(server, 'Host')
      await server.call('POST /api/invitations', { token: host.token, body: { email, role: 'viewer' } })
      return { body: { token: await mailedToken(server, 'invitation', email) } }
    },
  ],
  readOrganization: [readers, theOrganization],
  replaceOrganization: [
    [401, 403, 403, 200, 200, 403, 404, 403],
    withBody(theOrganization, { name: 'Renamed', currency: 'EUR', time_zone: 'Europe/Berlin' }),
  ],
  updateOrganization: [
    [401, 403, 403, 200, 200, 403, 404, 403],
    withBody(theOrganization, { name: 'Renamed' }),
  ],
  deleteOrganization: [[401, 403, 403, 403, 204, 403, 404, 403], theOrganization, 'fresh world'],
  // Whoever is not deleted with it, such as a superadmin, has nothing to restore.
  restoreOrganization: [
    [401, 403, 403, 403, 200, 403, 404, 404],
    async ({ server, owner }) => {
      const path = `/api/organizations/${owner.organization}`
      await server.call(`DELETE ${path}`, { token: owner.token })
      return { path: `${path}/restore` }
    },
    'fresh world',
  ],
  transferOwnership: [
    [401, 403, 403, 403, 200, 403, 404, 403],
    ({ owner, admin }) => ({
      path: `/api/organizations/${owner.organization}/transfer`,
      body: { user_id: admin.id },
    }),
    'fresh world',
  ],

  listUsers: [[401, 200, 200, 200, 200, 200, 200, 200]],
  addUser: [
    [401, 403, 403, 403, 201, 201, 201, 403],
    only(() => ({ email: anAddress(), display_name: 'Added', role: 'viewer' })),
  ],
  readUser: [readers, aMemberOf],
  changeUserRole: [[401, 403, 403, 403, 200, 403, 404, 403], withBody(aMemberOf, { role: 'manager' })],
  removeUser: [[401, 403, 403, 403, 204, 204, 404, 403], aMemberOf],

  createSupportToken: [
    [401, 403, 403, 403, 403, 403, 403, 200],
    ({ owner }) => ({ body: { organization_id: owner.organization } }),
  ],
  setRateLimit: [
    [401, 403, 403, 403, 403, 403, 403, 403],
    ({ owner }) => ({
      path: `/api/support/organizations/${owner.organization}/rate-limit`,
      body: { requests: 5, window_seconds: null, block_seconds: null },
    }),
  ],
  listAllOrganizations: [[401, 403, 403, 403, 403, 403, 403, 200]],

  listPermissions: [[401, 200, 200, 200, 200, 200, 200, 200]],
  listRoles: [[401, 200, 200, 200, 200, 200, 200, 200]],
  createRole: [[401, 403, 403, 403, 201, 201, 201, 403], only(aRole)],
  readRole: [readers, aRoleOf],
  updateRole: [
    [401, 403, 403, 403, 200, 200, 404, 403],
    withBody(aRoleOf, { permissions: ['members.read'] }),
  ],
  deleteRole: [[401, 403, 403, 403, 204, 204, 404, 403], aRoleOf],
  restoreRole: [
    [401, 403, 403, 403, 200, 200, 404, 403],
    async world => ({ path: await deleted(world, '/api/roles', aRole()) }),
  ],
  assignRole: [[401, 403, 403, 403, 200, 200, 404, 403], under(aMemberOf, '/roles', { role_id: 'viewer' })],
  unassignRole: [[401, 403, 403, 403, 204, 204, 404, 403], under(aMemberOf, '/roles/viewer')],
  listUserPermissions: [readers, under(aMemberOf, '/permissions')],
  setUserPermission: [
    [401, 403, 403, 403, 200, 200, 404, 403],
    under(aMemberOf, '/permissions/shows.read', { effect: 'deny' }),
  ],
  clearUserPermission: [
    [401, 403, 403, 403, 204, 204, 404, 403],
    async (world, actor) => {
      const { path = '' } = await under(aMemberOf, '/permissions/shows.read')(world, actor)
      await world.server.call(`PUT ${path}`, { token: world.owner.token, body: { effect: 'deny' } })
      return { path }
    },
  ],
  explainAccess: [
    [401, 200, 200, 200, 200, 200, 200, 200],
    only(() => ({ table: 'shows', command: 'select' })),
  ],

  listInvitations: [[401, 403, 403, 403, 200, 200, 200, 200]],
  createInvitation: [
    [401, 403, 403, 403, 201, 201, 201, 403],
    only(() => ({ email: anAddress(), role: 'viewer' })),
  ],
  readInvitation: [[401, 403, 403, 403, 200, 200, 404, 200], anInvitationOf],
  resendInvitation: [
    [401, 403, 403, 403, 200, 200, 404, 403],
    async (world, actor) => ({ path: `${(await anInvitationOf(world, actor)).path ?? ''}/resend` }),
  ],
  revokeInvitation: [[401, 403, 403, 403, 204, 204, 404, 403], anInvitationOf],

  listVenues: [[401, 200, 200, 200, 200, 200, 200, 200]],
  createVenue: [[401, 403, 201, 201, 201, 403, 201, 403], only(() => aVenue)],
  readVenue: [readers, aVenueOf],
  replaceVenue: [[401, 403, 200, 200, 200, 403, 404, 403], withBody(aVenueOf, aVenue)],
  updateVenue: [[401, 403, 200, 200, 200, 403, 404, 403], withBody(aVenueOf, { name: 'Renamed' })],
  deleteVenue: [[401, 403, 403, 204, 204, 403, 404, 403], aVenueOf],
  restoreVenue: [
    [401, 403, 403, 200, 200, 403, 404, 403],
    async world => ({ path: await deleted(world, '/api/venues', aVenue) }),
  ],

  listShows: [[401, 200, 200, 200, 200, 200, 200, 200]],
  createShow: [[401, 403, 201, 201, 201, 403, 201, 403], only(() => aShow)],
  readShow: [readers, aShowOf],
  replaceShow: [[401, 403, 200, 200, 200, 403, 404, 403], withBody(aShowOf, { ...aShow, status: 'hold' })],
  updateShow: [[401, 403, 200, 200, 200, 403, 404, 403], withBody(aShowOf, { title: 'Renamed' })],
  correctShowStatus: [
    [401, 403, 403, 200, 200, 403, 404, 403],
    under(aShowOf, '/status', { status: 'played', reason: 'It was on' }),
  ],
  deleteShow: [[401, 403, 403, 204, 204, 403, 404, 403], aShowOf],
  restoreShow: [
    [401, 403, 403, 200, 200, 403, 404, 403],
    async world => ({ path: await deleted(world, '/api/shows', aShow) }),
  ],

  ...linesOf('deals', 'Deal'),
  ...linesOf('ticket-tiers', 'TicketTier'),
  ...linesOf('costs', 'ShowCost'),
  ...linesOf('deposits', 'Deposit'),
  ...linesOf('bonuses', 'DealBonus'),
  ...linesOf('adjustments', 'DealAdjustment'),
  listSettlementTemplates: [[401, 200, 200, 200, 200, 200, 200, 200]],
  createSettlementTemplate: [[401, 403, 201, 201, 201, 403, 201, 403], only(aTemplate)],
  readSettlementTemplate: [readers, aTemplateOf],
  replaceSettlementTemplate: [
    [401, 403, 200, 200, 200, 403, 404, 403],
    async world => ({ ...(await aTemplateOf(world, world.owner)), body: aTemplate() }),
  ],
  updateSettlementTemplate: [
    [401, 403, 200, 200, 200, 403, 404, 403],
    withBody(aTemplateOf, { note: 'Our own hall' }),
  ],
  deleteSettlementTemplate: [[401, 403, 403, 204, 204, 403, 404, 403], aTemplateOf],
  restoreSettlementTemplate: [
    [401, 403, 403, 200, 200, 403, 404, 403],
    async world => ({ path: await deleted(world, '/api/settlement-templates', aTemplate()) }),
  ],
  makeSettlementTemplate: [
    [401, 403, 201, 201, 201, 403, 404, 403],
    async (world, actor) => ({
      ...(await under(ofAShow('deals'), '/template')(world, actor)),
      body: { name: `Template ${serial++}` },
    }),
  ],
  copySettlementTemplate: [
    [401, 403, 201, 201, 201, 403, 404, 403],
    async (world, actor) => {
      const { path = '' } = await aTemplateOf(world, actor)
      return under(aPlayedShowOf, '/copy-template', { template_id: path.replace(/.*\//, '') })(world, actor)
    },
  ],
  ...linesOf('guests', 'Guest'),
  ...linesOf('guest-allotments', 'GuestAllotment'),
  readGuestList: [readers, under(aShowOf, '/guest-list')],
  replaceGuestList: [
    [401, 403, 403, 200, 200, 403, 404, 403],
    under(aShowOf, '/guest-list', { is_locked: false }),
  ],
  readDoorList: [readers, under(aShowOf, '/door-list')],
  checkInGuest: [[401, 403, 200, 200, 200, 403, 404, 403], under(ofAShow('guests'), '/check-in', {})],
  draftSettlement: [readers, under(aPlayedShowOf, '/settlement')],
  listSettlements: [readers, under(aPlayedShowOf, '/settlements')],
  createSettlement: [
    [401, 403, 201, 201, 201, 403, 404, 403],
    under(aPlayedShowOf, '/settlements', { reason: null }),
  ],
  readSettlement: [readers, aSettlementOf],
  readSettlementSheet: [readers, under(aSettlementOf, '/sheet')],
  readOffer: [readers, under(aPlayedShowOf, '/offer')],
  finalizeSettlement: [[401, 403, 403, 200, 200, 403, 404, 403], under(aSettlementOf, '/finalize')],
  bookSettlement: [
    [401, 403, 403, 200, 200, 403, 404, 403],
    under(async (world, actor) => {
      const made = await aSettlementOf(world, actor)
      await world.server.call(`POST ${made.path ?? ''}/finalize`, { token: world.owner.token })
      return made
    }, '/book?exchange_rate=1.1'),
  ],
  reopenSettlement: [
    [401, 403, 403, 200, 200, 403, 404, 403],
    under(aSettledShowOf, '/settlement/reopen', { reason: 'Twelve more tickets' }),
  ],

  listCurrencies: [[401, 200, 200, 200, 200, 200, 200, 200]],
  listFinanceCategories: [[401, 200, 200, 200, 200, 200, 200, 200]],
  createFinanceCategory: [[401, 403, 201, 201, 201, 403, 201, 403], only(aCategory)],
  readFinanceCategory: [readers, aCategoryOf],
  renameFinanceCategory: [
    [401, 403, 200, 200, 200, 403, 404, 403],
    async world => ({ ...(await aCategoryOf(world, world.owner)), body: { name: `Renamed ${serial++}` } }),
  ],
  deleteFinanceCategory: [[401, 403, 403, 204, 204, 403, 404, 403], aCategoryOf],
  restoreFinanceCategory: [
    [401, 403, 403, 200, 200, 403, 404, 403],
    async world => ({ path: await deleted(world, '/api/finance-categories', aCategory()) }),
  ],
  listFinanceRecords: [[401, 200, 200, 200, 200, 200, 200, 200]],
  createFinanceRecord: [
    [401, 403, 201, 201, 201, 403, 409, 403],
    async world => ({ body: await aRecord(world) }),
  ],
  readFinanceRecord: [readers, aRecordOf],
  replaceFinanceRecord: [
    [401, 403, 200, 200, 200, 403, 404, 403],
    async (world, actor) => ({
      ...(await aRecordOf(world, actor)),
      body: { ...(await aRecord(world)), status: 'actual' },
    }),
  ],
  updateFinanceRecord: [
    [401, 403, 200, 200, 200, 403, 404, 403],
    withBody(aRecordOf, { payment_status: 'paid' }),
  ],
  deleteFinanceRecord: [[401, 403, 403, 204, 204, 403, 404, 403], aRecordOf],
  restoreFinanceRecord: [
    [401, 403, 403, 200, 200, 403, 404, 403],
    async world => ({ path: await deleted(world, '/api/finance-records', await aRecord(world)) }),
  ],
  readTourMoney: [readers, under(published, '/money')],
  listBudgetLines: [readers, under(published, '/budget-lines')],
  createBudgetLine: [
    [401, 403, 201, 201, 201, 403, 404, 403],
    async (world, actor) => ({
      path: `${(await published(world, actor)).path ?? ''}/budget-lines`,
      body: await aBudgetLine(world),
    }),
  ],
  readBudgetLine: [readers, aBudgetLineOf],
  updateBudgetLine: [
    [401, 403, 200, 200, 200, 403, 404, 403],
    withBody(aBudgetLineOf, { amount_minor: 350_000 }),
  ],
  deleteBudgetLine: [[401, 403, 403, 204, 204, 403, 404, 403], aBudgetLineOf],
  restoreBudgetLine: [
    [401, 403, 403, 200, 200, 403, 404, 403],
    async (world, actor) => {
      const { path = '' } = await aBudgetLineOf(world, actor)
      await world.server.call(`DELETE ${path}`, { token: world.owner.token })
      return { path: `${path}/restore` }
    },
  ],
  listPerDiems: [readers, under(published, '/per-diems')],
  createPerDiem: [
    [401, 403, 201, 201, 201, 403, 404, 403],
    async (world, actor) => ({
      path: `${(await published(world, actor)).path ?? ''}/per-diems`,
      body: await aPerDiem(world),
    }),
  ],
  readPerDiem: [readers, aPerDiemOf],
  updatePerDiem: [[401, 403, 200, 200, 200, 403, 404, 403], withBody(aPerDiemOf, { daily_minor: 5000 })],
  deletePerDiem: [[401, 403, 403, 204, 204, 403, 404, 403], aPerDiemOf],
  restorePerDiem: [
    [401, 403, 403, 200, 200, 403, 404, 403],
    async (world, actor) => {
      const { path = '' } = await aPerDiemOf(world, actor)
      await world.server.call(`DELETE ${path}`, { token: world.owner.token })
      return { path: `${path}/restore` }
    },
  ],
  approvePerDiem: [[401, 403, 200, 200, 200, 403, 404, 403], under(aPerDiemOf, '/approve', {})],
  listExpenseCategories: [[401, 200, 200, 200, 200, 200, 200, 200]],
  // One's own; a superadmin is no member, and has none. All these see those of others, because they see the books.
  listExpenses: [[401, 200, 200, 200, 200, 200, 200, 200]],
  createExpense: [
    [401, 201, 201, 201, 201, 201, 409, 403],
    async world => ({ body: await anExpense(world) }),
  ],
  readExpense: [readers, anExpenseOf('viewer')],
  updateExpense: [[401, 200, 200, 200, 200, 200, 404, 403], withBody(anExpenseOf(), { amount_minor: 2400 })],
  deleteExpense: [[401, 204, 204, 204, 204, 204, 404, 403], anExpenseOf()],
  restoreExpense: [
    [401, 200, 200, 200, 200, 200, 404, 404],
    under(anExpenseOf(undefined, ['DELETE ']), '/restore'),
  ],
  submitExpense: [[401, 200, 200, 200, 200, 200, 404, 403], under(anExpenseOf(), '/submit')],
  approveExpense: [
    [401, 403, 200, 200, 200, 403, 404, 403],
    under(anExpenseOf('viewer', ['POST /submit']), '/approve', {}),
  ],
  rejectExpense: [
    [401, 403, 200, 200, 200, 403, 404, 403],
    under(anExpenseOf('viewer', ['POST /submit']), '/reject', { reason: 'The receipt is missing' }),
  ],
  putReceipt: [
    [401, 200, 200, 200, 200, 200, 404, 403],
    async (world, actor) => ({
      path: `${(await anExpenseOf()(world, actor)).path ?? ''}/receipt`,
      ...aReceipt,
    }),
  ],
  downloadReceipt: [readers, under(anExpenseOf('viewer'), '/receipt')],
  deleteReceipt: [[401, 204, 204, 204, 204, 204, 404, 403], under(anExpenseOf(), '/receipt')],
  listFinancePeriods: [[401, 200, 200, 200, 200, 200, 200, 200]],
  closeFinancePeriod: [
    [401, 403, 403, 200, 200, 403, 200, 403],
    () => ({ path: `/api/finance-periods/${1900 + (serial++ % 299)}-01` }),
  ],
  reopenFinancePeriod: [
    [401, 403, 403, 204, 204, 403, 404, 403],
    async ({ server, owner }) => {
      const path = `/api/finance-periods/${1900 + (serial++ % 299)}-02`
      await server.call(`PUT ${path}`, { token: owner.token })
      return { path }
    },
  ],

  readFinanceFigures: [[401, 200, 200, 200, 200, 200, 200, 200]],
  readCategoryFigures: [[401, 200, 200, 200, 200, 200, 200, 200]],
  readShowProfits: [[401, 200, 200, 200, 200, 200, 200, 200]],
  readShowFigures: [[401, 200, 200, 200, 200, 200, 200, 200]],
  readDashboard: [[401, 200, 200, 200, 200, 200, 200, 200]],
  readFreshness: [[401, 200, 200, 200, 200, 200, 200, 200]],
  readReport: [[401, 200, 200, 200, 200, 200, 200, 200]],
  readActivity: [[401, 200, 200, 200, 200, 200, 200, 200]],
  readIntegrations: [[401, 200, 200, 200, 200, 200, 200, 200]],
  refreshFigures: [[401, 403, 202, 202, 202, 403, 202, 403]],

  // A file without a header is still a file; without a file the request is refused before authorization.
  createImport: [
    [401, 403, 201, 201, 201, 403, 201, 403],
    () => ({
      path: '/api/imports?resource=shows',
      body: 'title\n',
      headers: { 'content-type': 'text/csv' },
    }),
  ],
  listImports: [[401, 403, 200, 200, 200, 403, 200, 200]],
  readImport: [[401, 403, 200, 200, 200, 403, 404, 200], anImportOf],
  listImportProblems: [
    [401, 403, 200, 200, 200, 403, 404, 200],
    async (world, actor) => ({ path: `${(await anImportOf(world, actor)).path ?? ''}/problems` }),
  ],
  runImport: [[401, 403, 200, 200, 200, 403, 404, 403], under(anImportOf, '/run', { on_error: 'abort' })],
  cancelImport: [[401, 403, 200, 200, 200, 403, 404, 403], under(anImportOf, '/cancel')],
  exportShows: [[401, 403, 200, 200, 200, 403, 200, 403]],
  exportVenues: [[401, 403, 200, 200, 200, 403, 200, 403]],
  exportGuests: [[401, 403, 200, 200, 200, 403, 200, 403]],
  exportFinanceRecords: [[401, 403, 200, 200, 200, 403, 200, 403]],
  exportEvents: [[401, 403, 403, 200, 200, 403, 200, 403]],
  exportItineraries: [[401, 403, 200, 200, 200, 403, 200, 403]],
  exportFinanceFigures: [[401, 403, 200, 200, 200, 403, 200, 403]],
  exportCategoryFigures: [[401, 403, 200, 200, 200, 403, 200, 403]],
  exportShowProfits: [[401, 403, 200, 200, 200, 403, 200, 403]],
  exportShowFigures: [[401, 403, 200, 200, 200, 403, 200, 403]],
  exportActivity: [[401, 403, 200, 200, 200, 403, 200, 403]],
  exportIntegrations: [[401, 403, 200, 200, 200, 403, 200, 403]],
  exportDashboard: [[401, 403, 200, 200, 200, 403, 200, 403]],
  createExport: [[401, 403, 202, 202, 202, 403, 202, 403], roomForExports],
  listExports: [[401, 403, 200, 200, 200, 403, 200, 200]],
  // Only one's own, whoever may export.
  readExport: [[401, 403, 200, 200, 200, 403, 404, 404], anExportOf],
  cancelExport: [[401, 403, 200, 200, 200, 403, 404, 403], under(anExportOf, '/cancel')],
  downloadExport: [everybody, aFileOf],
  listItineraries: [[401, 200, 200, 200, 200, 200, 200, 200]],
  createItinerary: [[401, 403, 201, 201, 201, 403, 201, 403], only(() => anItinerary)],
  // Only planners see a draft; for others it does not exist. A superadmin sees it, and may not write it.
  readItinerary: [readers, published],
  updateItinerary: [[401, 404, 200, 200, 200, 404, 404, 403], withBody(anItineraryOf, { name: 'Renamed' })],
  deleteItinerary: [[401, 404, 403, 204, 204, 404, 404, 403], anItineraryOf],
  restoreItinerary: [[401, 404, 403, 200, 200, 404, 404, 404], restoredPartOf('itineraries')],
  publishItinerary: [
    [401, 403, 201, 201, 201, 403, 404, 403],
    under(anItineraryOf, '/publish', { note: null }),
  ],
  listItineraryVersions: [readers, under(published, '/versions')],
  readItineraryVersion: [readers, under(published, '/versions/1')],
  readDaySheet: [readers, under(published, `/days/${dayOne}/sheet`)],
  ...Object.fromEntries(
    (
      [
        [
          'ItineraryDay',
          'ItineraryDays',
          'itinerary-days',
          'itineraries',
          { day_on: dayTwo, time_zone: 'Europe/Lisbon' },
        ],
        ['ScheduleItem', 'ScheduleItems', 'schedule-items', 'itinerary-days', anItem],
        ['TravelSegment', 'TravelSegments', 'travel-segments', 'itineraries', aSegment],
        ['Lodging', 'Lodgings', 'lodgings', 'itineraries', aLodging],
        ['LodgingRoom', 'LodgingRooms', 'lodging-rooms', 'lodgings', { name: 'Single' }],
        ['PartyMember', 'PartyMembers', 'party-members', 'itineraries', { name: 'Ola' }],
        ['PartyGroup', 'PartyGroups', 'party-groups', 'itineraries', { name: 'Band' }],
      ] as const
    ).flatMap(([noun, plural, kind, parent, body]): [string, [number[], Arrange?]][] => [
      [`list${plural}`, [[401, 403, 200, 200, 200, 403, 200, 200]]],
      [`create${noun}`, [[401, 403, 201, 201, 201, 403, 201, 403], partFor(kind, parent, body)]],
      [`read${noun}`, [[401, 404, 200, 200, 200, 404, 404, 200], partOf(kind)]],
      [
        `update${noun}`,
        [
          [401, 404, 200, 200, 200, 404, 404, 403],
          withBody(partOf(kind), kind === 'party-groups' ? { name: 'New' } : { notes: 'New' }),
        ],
      ],
      [`delete${noun}`, [[401, 404, 403, 204, 204, 404, 404, 403], partOf(kind)]],
      [`restore${noun}`, [[401, 404, 403, 200, 200, 404, 404, 404], restoredPartOf(kind)]],
    ]),
  ),

  readCalendar: [
    [401, 200, 200, 200, 200, 200, 200, 200],
    () => ({ path: '/api/calendar?from=2027-03-01&to=2027-03-31' }),
  ],
  listCalendarFeeds: [[401, 200, 200, 200, 200, 200, 200, 200]],
  // One's own; a superadmin is no member, and can have none.
  createCalendarFeed: [[401, 201, 201, 201, 201, 201, 201, 403], only(() => ({ name: 'Phone' }))],
  revokeCalendarFeed: [
    [401, 204, 204, 204, 204, 204, 204, 404],
    async (world, actor) => ({
      path: `/api/calendar-feeds/${(await aFeed(world, actor === world.superadmin ? world.owner : actor)).id}`,
    }),
  ],
  readCalendarFeed: [everybody, async world => ({ path: (await aFeed(world, world.owner)).path })],

  // A superadmin is no member.
  recordClientEvents: [
    [401, 202, 202, 202, 202, 202, 202, 403],
    only(() => ({ events: [{ id: randomUUID(), kind: 'page_view', name: 'shows/detail' }] })),
  ],

  listEvents: [[401, 403, 403, 200, 200, 403, 200, 200]],
  readEvent: [[401, 403, 403, 200, 200, 403, 404, 200], anEventOf],
  verifyEvents: [[401, 403, 403, 200, 200, 403, 200, 200]],
  readEventRetention: [[401, 403, 403, 200, 200, 403, 200, 200]],
  setEventRetention: [[401, 403, 403, 403, 200, 403, 200, 403], only(() => ({ days: 90 }))],

  readRetention: [[401, 403, 403, 200, 200, 403, 200, 200]],
  setRetention: [[401, 403, 403, 403, 200, 403, 200, 403], only(() => ({ deleted_days: 60 }))],
  listLegalHolds: [[401, 403, 403, 200, 200, 403, 200, 200]],
  listBiCredentials: [[401, 403, 403, 403, 200, 403, 200, 200]],
  createBiCredential: [[401, 403, 403, 403, 201, 403, 201, 403], only(() => ({ name: 'Metabase' }))],
  readBiCredential: [[401, 403, 403, 403, 200, 403, 404, 200], aBiCredentialOf],
  rotateBiCredential: [[401, 403, 403, 403, 200, 403, 404, 403], under(aBiCredentialOf, '/rotate', {})],
  revokeBiCredential: [[401, 403, 403, 403, 204, 403, 404, 403], aBiCredentialOf],
  placeLegalHold: [[401, 403, 403, 403, 201, 403, 201, 403], only(() => ({ reason: 'A lawsuit' }))],
  readLegalHold: [[401, 403, 403, 200, 200, 403, 404, 200], aHoldOf],
  releaseLegalHold: [[401, 403, 403, 403, 200, 403, 404, 403], under(aHoldOf, '/release')],
}

/** Somebody with a grant to read all organizations, and a token for that of the owner. */
async function superadminOf(server: TestServer, { organization }: Person): Promise<Person> {
  const person = await register(server, 'Support')
  await superadmin(server, person, null)
  return superadmin(server, person, organization)
}

/** An organization with one member in each role, another one's owner, and a superadmin. */
export async function newWorld(server: TestServer): Promise<World> {
  const owner = await register(server, 'Owner')
  return {
    server,
    owner,
    viewer: await join(server, owner, 'viewer'),
    manager: await join(server, owner, 'manager'),
    admin: await join(server, owner, 'admin'),
    custom: await joinAs(server, owner, customPermissions),
    stranger: await register(server, 'Stranger'),
    superadmin: await superadminOf(server, owner),
  }
}
