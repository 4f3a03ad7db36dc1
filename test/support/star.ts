// For the tests of the star: the demo with what it lacks, all of it as the API and its CSV return it, and a BI login.
import type { Test } from 'tap'
import { demoEmail, demoPassword, seedDemo } from '../../src/demo/demo.ts'
import { makeCredential } from './bi.ts'
import { parseCsv } from './csv.ts'
import { refresh } from './figures.ts'
import { type Call, type Person, startServer, type TestServer } from './helper.ts'
import { type Item, walk } from './pages.ts'
import { connectAsPsql } from './sql-answers.ts'

/** Everything that the API says of an organization's business. */
export interface Api {
  shows: Item[]
  venues: Item[]
  categories: Item[]
  records: Item[]
  tiers: Item[]
  deals: Item[]
  guests: Item[]
  /** Those in force. */
  settlements: Item[]
  digits: Map<string, number>
}
export interface Star {
  server: TestServer
  ana: Person
  /** Creates something, and returns it. */
  make: (path: string, body: object) => Promise<Item>
  api: () => Promise<Api>
  csv: (path: string) => Promise<Record<string, string>[]>
  /** What a BI tool gets for a statement: names, then rows. */
  ask: (text: string) => Promise<Record<string, string | null>[]>
  /** As if a year had passed since the last snapshots of the pipeline. */
  passYear: () => Promise<unknown>
}

export const dayFrom = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)

export async function startStar(t: Test): Promise<Star> {
  const server = await startServer(t, async db => {
    await seedDemo({ migratorUrl: db.url('callboard_migrator'), apiUrl: db.url('callboard_api') })
    return {}
  })
  const { call, db } = server
  const { body: grant } = await call('POST /api/auth/sign-in', {
    body: { email: demoEmail, password: demoPassword },
  })
  const ana = {
    token: grant['access_token'],
    id: grant['user_id'],
    organization: grant['organization_id'],
  } as Person
  const { token } = ana
  const send = async (request: `${string} ${string}`, options: Call = {}) => {
    const answer = await call<Item>(request, { token, ...options })
    if (answer.status >= 300) throw new Error(`${request}: ${answer.text}`)
    return answer.body
  }
  const make = (path: string, body: object) => send(`POST /api/${path}`, { body })
  const list = async (path: string) =>
    (await walk(server, token, `/api/${path}${path.includes('?') ? '&' : '?'}limit=200`)).flat()

  await enrich(ana.organization, make, send, list)
  await refresh(db)
  await db.as('callboard_worker')`select app.take_pipeline_snapshots()`
  const { connect } = await makeCredential(server, ana)
  const sql = connectAsPsql(connect.uri.replace('sslmode=prefer', 'sslmode=disable'))
  t.teardown(() => sql.end({ timeout: 1 }))
  return {
    server,
    ana,
    make,
    ask: async text => [...(await sql.unsafe<Record<string, string | null>[]>(text))],
    csv: async path =>
      parseCsv((await call(`GET /api/exports/${path}`, { token, headers: { accept: 'text/csv' } })).text),
    passYear: () => db.admin`
      update app.pipeline_snapshots set taken_on = (taken_on - interval '1 year')::date, month = (month - interval '1 year')::date`,
    api: async () => {
      const shows = await list('shows')
      // One after the other: all at once, some would wait too long for a connection on a slow machine.
      const of = async (part: string) => {
        const all: Item[] = []
        for (const { id } of shows) all.push(...(await list(`shows/${id}/${part}`)))
        return all
      }
      const { items } = await send('GET /api/currencies')
      return {
        shows,
        venues: await list('venues'),
        categories: await list('finance-categories'),
        records: await list('finance-records'),
        tiers: await of('ticket-tiers'),
        deals: await of('deals'),
        guests: await of('guests'),
        settlements: (await of('settlements')).filter(
          x => x['status'] === 'final' && x['reopened_at'] === null,
        ),
        digits: new Map(
          (items as { code: string; minor_digits: number }[]).map(c => [c.code, c.minor_digits]),
        ),
      }
    },
  }
}

/** Currencies without and with three decimals, guests, what is deleted, void, planned, overdue, and not booked. */
async function enrich(
  organization: string,
  make: Star['make'],
  send: (request: `${string} ${string}`, options?: Call) => Promise<Item>,
  list: (path: string) => Promise<Item[]>,
) {
  await send(`PATCH /api/organizations/${organization}`, { body: { fiscal_year_starts_in: 4 } })
  const hall = { name: 'Ōsaka Hall', city: 'Ōsaka', country: 'JP', time_zone: 'Asia/Tokyo', capacity: 800 }
  const { id: venue_id } = await make('venues', hall)
  const show = (more: object) =>
    make('shows', { title: 'Night', artist: 'Paper Lanterns', venue_id, ...more })
  for (const [currency, exchange_rate] of [
    ['JPY', '0.0061'],
    ['KWD', undefined],
  ] as const) {
    const played = await show({ show_on: dayFrom(-5), status: 'played', fee_minor: 1_000_001, currency })
    await make(`shows/${played.id}/deals`, {
      kind: 'versus',
      currency,
      guarantee_minor: 1_000_001,
      percentage: 80,
      base: 'net',
      tax_percentage: 10,
    })
    const tier = {
      name: 'Standing',
      price_minor: 8123,
      facility_fee_minor: 300,
      allotment: 500,
      sold: 321,
      comps: 7,
    }
    await make(`shows/${played.id}/ticket-tiers`, tier)
    await make(`shows/${played.id}/costs`, { name: 'Production', kind: 'fixed', amount_minor: 123_457 })
    const { id } = await make(`shows/${played.id}/settlements`, { reason: null })
    await send(`POST /api/settlements/${id}/finalize`)
    if (exchange_rate) await send(`POST /api/settlements/${id}/book?exchange_rate=${exchange_rate}`)
  }
  const coming = await show({ show_on: dayFrom(60), status: 'confirmed', capacity: 700, tickets_sold: 70 })
  const { id: allotment_id } = await make(`shows/${coming.id}/guest-allotments`, {
    name: 'Label',
    tickets: 20,
  })
  const { id: guest } = await make(`shows/${coming.id}/guests`, {
    name: 'Mia Roth',
    tickets: 3,
    allotment_id,
  })
  await send(`POST /api/guests/${guest}/check-in`, { body: { checked_in: 2 } })
  await make(`shows/${coming.id}/guests`, { name: 'Jo Ende', tickets: 2, status: 'requested' })
  const gone = await make(`shows/${coming.id}/guests`, { name: 'Not She', tickets: 5 })
  await send(`DELETE /api/guests/${gone.id}`)
  const lost = await show({ show_on: dayFrom(61), status: 'confirmed', capacity: 999, tickets_sold: 999 })
  await send(`DELETE /api/shows/${lost.id}`)
  await show({ show_on: dayFrom(62), status: 'cancelled', capacity: 500, tickets_sold: 55 })
  const categories = await list('finance-categories')
  const record = (kind: string, more: object) =>
    make('finance-records', {
      kind,
      category_id: categories.find(c => c['kind'] === kind)?.id,
      booked_on: dayFrom(-40),
      amount_minor: 100_019,
      tax_minor: 1999,
      ...more,
    })
  await record('income', { status: 'planned', currency: 'KWD', exchange_rate: 2.97, show_id: coming.id })
  await record('income', { status: 'actual', currency: 'KWD', exchange_rate: 2.97, payment_status: 'paid' })
  await record('expense', {
    status: 'committed',
    due_on: dayFrom(-3),
    payment_status: 'partly_paid',
    counterparty: 'PA Ltd',
  })
  await record('expense', { status: 'actual', booked_on: dayFrom(-130), payment_status: 'paid' })
  await record('income', {
    status: 'actual',
    booked_on: dayFrom(30),
    payment_status: 'unpaid',
    due_on: dayFrom(45),
  })
  // For a tour, with and without a show.
  const [tour] = await list('itineraries')
  await record('expense', { status: 'actual', itinerary_id: tour?.id, booked_on: dayFrom(-41) })
  await record('income', {
    status: 'actual',
    itinerary_id: tour?.id,
    show_id: coming.id,
    currency: 'KWD',
    exchange_rate: 2.97,
  })
  const { id } = await record('expense', { status: 'actual' })
  await send(`PATCH /api/finance-records/${id}`, { body: { status: 'void' } })
  const deleted = await record('expense', { status: 'planned' })
  await send(`DELETE /api/finance-records/${deleted.id}`)
}
