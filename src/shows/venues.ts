import { Patch } from '../http/schemas.ts'
import { of, resource } from '../tenant/resource.ts'
import { NewVenue, Venue, venues } from './shapes.ts'

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
