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
    description: 'All local times of its shows are in its time zone.',
    body: NewVenue,
  },
  read: { summary: 'Read a venue', description: 'A deleted venue answers 404.' },
  replace: {
    summary: 'Replace a venue',
    description: 'An omitted capacity becomes null.',
    body: NewVenue,
  },
  update: {
    summary: 'Change some fields of a venue',
    description: 'Omitted fields stay as they are.',
    body: Patch(NewVenue, 'VenueChange'),
  },
  delete: {
    summary: 'Delete a venue that no show uses',
    description: 'It can be restored. Deleted shows do not count.',
    problems: ['shows_venue_exists'],
  },
  restore: {
    summary: 'Restore a deleted venue',
    description: 'As it was when it was deleted.',
    problems: ['parent_deleted'],
  },
})
