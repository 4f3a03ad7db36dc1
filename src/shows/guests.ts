import { Type } from '@sinclair/typebox'
import { Count, Id, leftOut, Line, Nullable, Patch, rowOf, Strict, Text } from '../http/schemas.ts'
import { instant, list, text } from '../tenant/list.ts'
import { of, resource } from '../tenant/resource.ts'

const Status = Type.String({
  title: 'GuestStatus',
  enum: ['requested', 'confirmed', 'declined'],
  description: 'Whether the guest gets in: asked for and not decided, yes, or no',
  examples: ['confirmed'],
})
const required = { name: Line('Marta Veld') }
const optional = {
  tickets: Type.Integer({
    ...Count(1, 2),
    maximum: 100,
    description: 'How many get in under this name, the guest included',
  }),
  invited_by: Nullable(Line('The Gaslights')),
  note: Nullable(Text(1000, 'Pass at the stage door')),
  status: Status,
  sort_name: Nullable(
    Type.String({
      ...Line('Veld, Marta'),
      description: 'Where the door list has the guest, if not under the last word of the name',
    }),
  ),
}
const Values = Strict({ ...required, ...leftOut(optional) }, { title: 'GuestValues' })
const Guest = rowOf('Guest', {
  show_id: Id,
  ...required,
  door_name: Type.String({
    ...Line('Veld, Marta'),
    description: 'What the door list is sorted by',
  }),
  ...optional,
})
const guests = list({
  from: 'guest_rows',
  permission: 'shows.read',
  bin: 'shows.delete',
  item: Guest,
  sorts: { door_name: text, name: text, created_at: instant },
  filters: { status: Status },
})

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
    description: 'For one person, and confirmed, unless the body says otherwise.',
    problems: ['parent_deleted'],
    body: Values,
  },
  read: { summary: 'Read a guest', description: 'With its version as `ETag`.' },
  replace: {
    summary: 'Replace a guest',
    description: 'A field that is left out gets its default.',
    body: Values,
  },
  update: {
    summary: 'Change some fields of a guest',
    description: 'A field that the body does not name stays as it is.',
    body: Patch(Values, 'GuestChange'),
  },
  delete: {
    summary: 'Take a guest off the list until it is restored',
    description: 'It can be restored.',
  },
  restore: {
    summary: 'Put a deleted guest back on the list',
    description: 'As it was. If the show has been deleted since, restore that first.',
    problems: ['parent_deleted'],
  },
  problems: {
    guests_show_exists: { status: 409, title: 'There is no such show' },
    guests_name_length: { status: 422, title: 'The name is empty, too long or has control characters' },
    guests_sort_name_length: { status: 422, title: 'The name is empty, too long or has control characters' },
    guests_invited_by_length: { status: 422, title: 'The name is empty, too long or has control characters' },
    guests_tickets_range: { status: 422, title: 'A guest has 1 to 100 places' },
    guests_note_length: { status: 422, title: 'The note is too long' },
    guests_status_known: { status: 422, title: 'There is no such status' },
  },
})
