import { Patch } from '../http/schemas.ts'
import { of, resource } from '../tenant/resource.ts'
import { NewShow, Show, shows, WholeShow } from './shapes.ts'

const changed = [
  'show_status_transition',
  'show_external_ref_taken',
  'settlement_not_final',
  'show_tickets_by_tier',
  'show_fee_by_deal',
]

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
    description: 'By date, unless `sort` says otherwise. Multiple filters must all match.',
  },
  create: {
    summary: 'Enter a show',
    description:
      'Times are local to the venue, so without a venue there is no `starts_at`. A fee also needs `finance.write`.',
    problems: ['show_external_ref_taken'],
    body: NewShow,
  },
  read: {
    summary: 'Read a show',
    description:
      'With the name, city and time zone of its venue, and its fee for those who hold `finance.read`: see `fee_hidden`.',
  },
  replace: {
    summary: 'Replace a show',
    description:
      'Omitted fields become empty, and `tickets_sold` 0; those of its ticket tiers stay. Without `finance.read` and `finance.write` the fee stays as it is, and naming one is refused.',
    problems: changed,
    body: WholeShow,
  },
  update: {
    summary: 'Change some fields of a show',
    description:
      'Omitted fields stay as they are. `fee_minor` and `currency` also need `finance.read` and `finance.write`.',
    problems: changed,
    body: Patch(WholeShow, 'ShowChange'),
  },
  delete: {
    summary: 'Delete a show',
    description:
      'It can be restored; until then no list contains it. Its planned and committed finance records are deleted with it; actual ones stay.',
    problems: ['period_closed'],
  },
  restore: {
    summary: 'Restore a deleted show',
    description: 'As it was when it was deleted. If its venue has been deleted since, restore that first.',
    problems: [
      'parent_deleted',
      'period_closed',
      'show_external_ref_taken',
      'finance_record_external_ref_taken',
    ],
  },
})
