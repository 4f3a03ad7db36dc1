import type { Person } from '../data/people.ts'
import { logEvents } from './events.ts'
import { importing } from './importing.ts'
import { refreshings } from './refreshing.ts'
import type { Procedure, Work } from './tasks.ts'

const json = { 'content-type': 'application/json' }
const as = (person: Person) => ({ authorization: `Bearer ${person.token}` })
const get = (path: string) => (person: Person) => ({ method: 'GET' as const, path, headers: as(person) })

export function newShow({ venues }: Person, n: number) {
  return {
    title: `Bench Tour ${n}`,
    artist: 'The Gaslights',
    venue_id: venues[n % venues.length],
    show_on: `2100-01-${10 + (n % 20)}`,
    doors_time: '19:00',
    start_time: '20:00',
    status: 'hold',
    capacity: 900,
    fee_minor: 450_000,
    currency: 'EUR',
    notes: 'Load-in from 14:00 at the rear gate.',
  }
}

const columns =
  'id,title,artist,venue_id,show_on,doors_time,start_time,curfew_time,status,capacity,tickets_sold,fee_minor,currency,notes,source,external_ref,created_by,created_at,updated_at,venue:venues(name,city,time_zone)'
const oneRow = { accept: 'application/vnd.pgrst.object+json' }

/** Each entry is a row of the table. A work that Callboard answers with 404 is skipped with a message. */
export const works: Work[] = [
  {
    name: 'list',
    title: 'list of 50 shows',
    status: 200,
    request: get('/api/shows?limit=50'),
    postgrest: get(`/shows?select=${columns}&deleted_at=is.null&order=show_on,id&limit=51`),
  },
  {
    name: 'one',
    title: 'one show',
    status: 200,
    request: (person, n) => get(`/api/shows/${person.shows[n % person.shows.length]}`)(person),
    postgrest: (person, n) => {
      const { headers, ...rest } = get(
        `/shows?select=${columns}&deleted_at=is.null&id=eq.${person.shows[n % person.shows.length]}`,
      )(person)
      return { ...rest, headers: { ...headers, ...oneRow } }
    },
  },
  {
    name: 'create',
    title: 'create a show with its event',
    status: 201,
    enters: true,
    request: (person, n) => ({
      method: 'POST',
      path: '/api/shows',
      headers: { ...as(person), ...json },
      body: JSON.stringify(newShow(person, n)),
    }),
    postgrest: (person, n) => ({
      method: 'POST',
      path: `/shows?select=${columns}`,
      headers: { ...as(person), ...json, ...oneRow, prefer: 'return=representation' },
      body: JSON.stringify(newShow(person, n)),
    }),
  },
  {
    name: 'finance',
    title: 'finance by month',
    status: 200,
    request: get('/api/analytics/finance'),
    postgrest: person =>
      get(
        `/finance_by_month?month=gte.${new Date().getFullYear()}-01-01&month=lte.${new Date().getFullYear()}-12-31&order=month,status,currency`,
      )(person),
  },
  {
    name: 'dashboard',
    title: 'dashboard',
    status: 200,
    isOwn: true,
    request: get('/api/analytics/dashboard'),
  },
  {
    name: 'fresh',
    title: 'finance, no events since',
    status: 200,
    isOwn: true,
    isLarge: true,
    request: get('/api/analytics/finance'),
  },
  {
    name: 'behind',
    title: 'finance, 20,000 events since',
    status: 200,
    isOwn: true,
    isLarge: true,
    enters: true,
    before: logEvents(20_000),
    request: get('/api/analytics/finance'),
  },
  {
    name: 'export',
    title: 'a tenth of all shows as CSV',
    status: 200,
    isOwn: true,
    isLarge: true,
    enters: true,
    connections: 1,
    seconds: 10,
    request: person => ({
      method: 'GET',
      path: '/api/exports/shows',
      headers: { ...as(person), accept: 'text/csv' },
    }),
  },
  {
    name: 'sign-in',
    title: 'sign-in',
    status: 200,
    enters: true,
    hasNoLimit: true,
    request: ({ email, password }) => ({
      method: 'POST',
      path: '/api/auth/sign-in',
      headers: json,
      body: JSON.stringify({ email, password }),
    }),
  },
]

export const procedures: Procedure[] = [importing, ...refreshings]
