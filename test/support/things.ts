import type { Person, TestServer } from './helper.ts'
import { makeTour } from './itineraries.ts'
import { make, makeAll } from './make.ts'
import type { Operation } from './operations.ts'

/** The id of the session of a person's token. */
export async function sessionOf({ call }: TestServer, { token }: Person): Promise<string> {
  const { body } = await call<{ items: { id: string; is_current: boolean }[] }>('GET /api/sessions', {
    token,
  })
  return body.items.find(session => session.is_current)?.id ?? ''
}

/** The id of one thing of each kind that a person has, by the first part of its path. */
export async function thingsOf(server: TestServer, person: Person): Promise<Record<string, string>> {
  const show = await make(server, person, 'shows', { values: { shows: { status: 'played' } } })
  const things = await makeAll(server, person, {
    among: { ...(await makeTour(server, person)), shows: show },
  })
  return {
    ...things,
    organizations: person.organization,
    users: person.id,
    sessions: await sessionOf(server, person),
    'finance-periods': await closedMonthOf(server, person),
    imports: await importOf(server, person),
    analytics: await exportOf(server, person),
    audit: await eventOf(server, person),
  }
}

/** A month whose books are closed. */
async function closedMonthOf({ call }: TestServer, { token }: Person): Promise<string> {
  await call('PUT /api/finance-periods/1999-12', { token })
  return '1999-12'
}

/** The id of an uploaded file that the worker has checked and that can be run. */
async function importOf({ call, db }: TestServer, { token }: Person): Promise<string> {
  const { body } = await call<{ id: string }>('POST /api/imports?resource=shows', {
    token,
    body: 'title,artist,show_on\n',
    headers: { 'content-type': 'text/csv' },
  })
  await db.admin`update app.imports set status = 'checked' where id = ${body.id}`
  return body.id
}

/** The id of a waiting export. */
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

/** What an operation is about: the first part of its path, or a superadmin's target. */
export const kindOf = ({ path }: Operation) => path.replace('/support/', '/').split('/')[2] ?? ''
