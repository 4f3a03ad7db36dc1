import { randomUUID } from 'node:crypto'
import { aShow, type Person, type TestServer } from './helper.ts'
import { makeTour } from './itineraries.ts'
import type { Operation } from './operations.ts'

/** The id of the session that a person's token is of. */
export async function sessionOf({ call }: TestServer, { token }: Person): Promise<string> {
  const { body } = await call<{ items: { id: string; is_current: boolean }[] }>('GET /api/sessions', {
    token,
  })
  return body.items.find(session => session.is_current)?.id ?? ''
}

/** The id of one thing of each kind that a person has, by the first part of its path. */
export async function thingsOf(server: TestServer, person: Person): Promise<Record<string, string>> {
  const make = async (path: string, body: object) => {
    const answer = await server.call<{ id: string }>(`POST ${path}`, { token: person.token, body })
    if (answer.status !== 201) throw new Error(answer.text)
    return answer.body.id
  }
  const settled = await make('/api/shows', { ...aShow, status: 'played' })
  const part = (path: string, body: object) => make(`/api/shows/${settled}/${path}`, body)
  const venue = { name: 'Vera', city: 'Groningen', country: 'NL', time_zone: 'Europe/Amsterdam' }
  const category = await make('/api/finance-categories', { kind: 'income', name: `Category ${randomUUID()}` })
  return {
    organizations: person.organization,
    users: person.id,
    sessions: await sessionOf(server, person),
    invitations: await make('/api/invitations', { email: `${randomUUID()}@example.com`, role: 'viewer' }),
    roles: await make('/api/roles', { name: `Role ${randomUUID()}`, permissions: ['shows.read'] }),
    venues: await make('/api/venues', venue),
    shows: await make('/api/shows', aShow),
    deals: await part('deals', { kind: 'flat', currency: 'EUR', guarantee_minor: 500_000 }),
    'ticket-tiers': await part('ticket-tiers', { name: 'Stalls', price_minor: 3000, allotment: 600 }),
    costs: await part('costs', { name: 'PA', kind: 'fixed', amount_minor: 400_000 }),
    deposits: await part('deposits', { paid_on: '2027-01-10', amount_minor: 250_000 }),
    settlements: await part('settlements', { reason: null }),
    'finance-categories': category,
    'finance-records': await make('/api/finance-records', {
      kind: 'income',
      category_id: category,
      booked_on: '2027-03-14',
      amount_minor: 100,
    }),
    'finance-periods': await closedMonthOf(server, person),
    imports: await importOf(server, person),
    analytics: await exportOf(server, person),
    'legal-holds': await make('/api/legal-holds', { reason: 'A lawsuit' }),
    'bi-credentials': await make('/api/bi-credentials', { name: 'Metabase' }),
    'calendar-feeds': await make('/api/calendar-feeds', { name: 'Phone' }),
    ...(await makeTour(server, person)),
    audit: await eventOf(server, person),
  }
}

/** A month whose books are closed. */
async function closedMonthOf({ call }: TestServer, { token }: Person): Promise<string> {
  await call('PUT /api/finance-periods/1999-12', { token })
  return '1999-12'
}

/** The id of a file that has been uploaded, and of which the worker has said that it can be run. */
async function importOf({ call, db }: TestServer, { token }: Person): Promise<string> {
  const { body } = await call<{ id: string }>('POST /api/imports?resource=shows', {
    token,
    body: 'title,artist,show_on\n',
    headers: { 'content-type': 'text/csv' },
  })
  await db.admin`update app.imports set status = 'checked' where id = ${body.id}`
  return body.id
}

/** The id of an export that waits. */
async function exportOf({ call }: TestServer, { token }: Person): Promise<string> {
  const { body } = await call<{ id: string }>('POST /api/analytics/export', {
    token,
    body: { resource: 'shows', format: 'csv' },
  })
  return body.id
}

/** The id of the newest event of a person's organization. */
async function eventOf({ call }: TestServer, { token }: Person): Promise<string> {
  const { body } = await call<{ items: { id: string }[] }>('GET /api/audit/events?limit=1', { token })
  return body.items[0]?.id ?? ''
}

/** What an operation is about: the first part of its path, or what a superadmin does it to. */
export const kindOf = ({ path }: Operation) => path.replace('/support/', '/').split('/')[2] ?? ''
