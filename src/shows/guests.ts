import { Patch } from '../http/schemas.ts'
import { of, resource } from '../tenant/resource.ts'
import { Guest, guests, GuestValues } from './guest-shapes.ts'

const changed = ['guest_allotment_exceeded', 'guest_list_closed']

/** The guest list of a show: who gets in without a ticket. */
export const guestRoutes = resource({
  table: 'guests',
  title: 'Guest',
  words: 'guest',
  tag: 'shows',
  path: '/api/guests',
  under: '/api/shows/:id/guests',
  parent: 'show_id',
  permissions: of('shows'),
  item: Guest,
  list: {
    rows: guests,
    answers: 'The guests',
    summary: 'List the guests of a show',
    description: 'In the order of the door list, unless `sort` says otherwise.',
  },
  create: {
    summary: 'Put a guest on the list',
    description: 'Confirmed, and for one person, unless the body says otherwise.',
    problems: ['parent_deleted', ...changed],
    body: GuestValues,
  },
  read: { summary: 'Read a guest', description: 'With its version as `ETag`.' },
  replace: {
    summary: 'Replace a guest',
    description: 'Omitted fields get their defaults.',
    problems: changed,
    body: GuestValues,
  },
  update: {
    summary: 'Change some fields of a guest',
    description: 'Omitted fields stay as they are.',
    problems: changed,
    body: Patch(GuestValues, 'GuestChange'),
  },
  delete: {
    summary: 'Take a guest off the list',
    description: 'It can be restored.',
    problems: ['guest_list_closed'],
  },
  restore: {
    summary: 'Put a deleted guest back on the list',
    description: 'As it was. If the show has been deleted since, restore that first.',
    problems: ['parent_deleted', ...changed],
  },
})
