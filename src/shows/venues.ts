import { Type } from '@sinclair/typebox'
import {
  Count,
  Id,
  inBin,
  leftOut,
  Line,
  Nullable,
  Patch,
  Strict,
  Timestamp,
  TimeZone,
} from '../http/schemas.ts'
import { instant, list, text } from '../tenant/list.ts'
import { of, resource } from '../tenant/resource.ts'

const fields = {
  name: Line('Paradiso'),
  city: Line('Amsterdam'),
  country: Type.String({
    pattern: '^[A-Z]{2}$',
    maxLength: 2,
    description: 'ISO 3166-1 alpha-2',
    examples: ['NL'],
  }),
  time_zone: Type.String({ ...TimeZone, examples: ['Europe/Amsterdam'] }),
}
const optional = { capacity: Nullable(Count(1, 1500)) }
const NewVenue = Strict({ ...fields, ...leftOut(optional) }, { title: 'NewVenue' })
const Venue = Strict(
  { id: Id, ...fields, ...optional, created_at: Timestamp, updated_at: Timestamp, ...inBin },
  { title: 'Venue' },
)
export const venues = list({
  from: 'venue_rows',
  permission: 'shows.read',
  bin: 'shows.delete',
  item: Venue,
  sorts: { name: text, created_at: instant },
  filters: { city: Line('Amsterdam'), country: fields.country },
})

/** The places where shows happen. */
export const venueRoutes = resource({
  table: 'venues',
  title: 'Venue',
  words: 'venue',
  tag: 'venues',
  path: '/api/venues',
  permissions: of('shows'),
  item: Venue,
  list: {
    rows: venues,
    answers: 'Venues',
    summary: 'List venues',
    description: 'By name, unless `sort` says otherwise.',
  },
  create: {
    summary: 'Enter a venue',
    description: 'The time zone is that of all local times of its shows.',
    body: NewVenue,
  },
  read: { summary: 'Read a venue', description: 'A deleted venue is 404.' },
  replace: {
    summary: 'Replace a venue',
    description: 'A capacity that is left out becomes null.',
    body: NewVenue,
  },
  update: {
    summary: 'Change some fields of a venue',
    description: 'What the body does not name stays as it is.',
    body: Patch(NewVenue, 'VenueChange'),
  },
  delete: {
    summary: 'Delete a venue that no show uses',
    description: 'It can be restored. Deleted shows do not hold it.',
    problems: ['shows_venue_exists'],
  },
  restore: {
    summary: 'Bring back a deleted venue',
    description: 'As it was when it was deleted.',
    problems: ['parent_deleted'],
  },
})
