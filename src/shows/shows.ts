import { Patch } from '../http/schemas.ts'
import { of, resource } from '../tenant/resource.ts'
import { NewShow, Show, shows, WholeShow } from './shapes.ts'

const changed = ['show_status_transition', 'show_external_ref_taken', 'settlement_not_final']

/** Shows, from the first inquiry to the settlement. */
export const showRoutes = resource({
  table: 'shows',
  noun: 'show',
  title: 'Show',
  words: 'show',
  tag: 'shows',
  path: '/api/shows',
  permissions: of('shows'),
  item: Show,
  list: {
    rows: shows,
    answers: 'Shows',
    summary: 'List shows',
    description: 'By date, unless `sort` says otherwise. Filters that are given together must all hold.',
  },
  create: {
    summary: 'Enter a show',
    description: 'Times are local to the venue, so without one there is no `starts_at`.',
    problems: ['show_external_ref_taken'],
    body: NewShow,
  },
  read: { summary: 'Read a show', description: 'With the name, city and time zone of its venue.' },
  replace: {
    summary: 'Replace a show',
    description: 'What is left out becomes empty, and `tickets_sold` 0.',
    problems: changed,
    body: WholeShow,
  },
  update: {
    summary: 'Change some fields of a show',
    description: 'What the body does not name stays as it is.',
    problems: changed,
    body: Patch(WholeShow, 'ShowChange'),
  },
  delete: {
    summary: 'Delete a show until it is restored',
    description:
      'It can be restored, and no list has it until then. What is planned or committed for it in the books goes with it; what is actual stays.',
    problems: ['period_closed'],
  },
  restore: {
    summary: 'Bring back a deleted show',
    description: 'As it was when it was deleted. If its venue has been deleted since, restore that first.',
    problems: [
      'parent_deleted',
      'period_closed',
      'show_external_ref_taken',
      'finance_record_external_ref_taken',
    ],
  },
})
