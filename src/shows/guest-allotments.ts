import { Type } from '@sinclair/typebox'
import { Count, Id, omittable, Line, Nullable, Patch, rowOf, Strict, Text } from '../http/schemas.ts'
import { instant, list, text } from '../tenant/list.ts'
import { of, resource } from '../tenant/resource.ts'

const required = {
  name: Line('The Gaslights'),
  tickets: Type.Integer({
    ...Count(0, 20),
    maximum: 10_000,
    description: 'How many places confirmed guests may take in total',
  }),
}
const optional = { note: Nullable(Text(1000, 'Names by noon on the day of the show')) }
const Values = Strict({ ...required, ...omittable(optional) }, { title: 'GuestAllotmentValues' })
const GuestAllotment = rowOf('GuestAllotment', { show_id: Id, ...required, ...optional })
const guestAllotments = list({
  from: 'guest_allotment_rows',
  permission: 'shows.read',
  bin: 'shows.delete',
  item: GuestAllotment,
  sorts: { name: text, created_at: instant },
})
const changed = ['guest_allotment_name_taken', 'guest_allotment_exceeded', 'guest_list_closed']

/** How many guest list places each party may give away. The database enforces the limit, also under concurrency. */
export const guestAllotmentRoutes = resource({
  table: 'guest_allotments',
  title: 'GuestAllotment',
  words: 'allotment',
  tag: 'shows',
  path: '/api/guest-allotments',
  under: '/api/shows/:id/guest-allotments',
  parent: 'show_id',
  permissions: of('shows'),
  item: GuestAllotment,
  list: {
    rows: guestAllotments,
    answers: 'The allotments',
    summary: 'List the allotments of a guest list',
    description:
      'By name, unless `sort` says otherwise. `GET /api/shows/{id}/guest-list` shows how far they are used.',
  },
  create: {
    summary: 'Allot places on a guest list',
    description: 'To a person or a group, such as the band, the promoter or a label.',
    problems: ['parent_deleted', 'guest_allotment_name_taken', 'guest_list_closed'],
    body: Values,
  },
  read: { summary: 'Read an allotment', description: 'With its version as `ETag`.' },
  replace: {
    summary: 'Replace an allotment',
    description: 'It cannot have fewer places than its confirmed guests take.',
    problems: changed,
    body: Values,
  },
  update: {
    summary: 'Change some fields of an allotment',
    description: 'It cannot have fewer places than its confirmed guests take.',
    problems: changed,
    body: Patch(Values, 'GuestAllotmentChange'),
  },
  delete: {
    summary: 'Delete an allotment that no guest uses',
    description: 'It can be restored.',
    problems: ['guests_allotment_exists', 'guest_list_closed'],
  },
  restore: {
    summary: 'Restore a deleted allotment',
    description: 'As it was. If the show has been deleted since, restore that first.',
    problems: ['parent_deleted', 'guest_allotment_name_taken', 'guest_list_closed'],
  },
})
