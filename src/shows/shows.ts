import { Type } from '@sinclair/typebox'
import {
  Count,
  Currency,
  DateOnly,
  ExternalRef,
  ExternalSource,
  Id,
  leftOut,
  Line,
  LocalTime,
  MinorUnits,
  noControls,
  Nullable,
  Patch,
  rowOf,
  Strict,
  Text,
  Timestamp,
  TimeZone,
} from '../http/schemas.ts'
import { day, instant, list, text } from '../tenant/list.ts'
import { of, resource } from '../tenant/resource.ts'

const Status = Type.String({
  title: 'ShowStatus',
  enum: ['inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed'],
  description:
    'Which one may follow which is in app.show_status_transitions; another change is 409 show_status_transition',
  examples: ['hold'],
})
const required = { title: Line('Spring Tour'), artist: Line('The Gaslights'), show_on: DateOnly }
const optional = {
  venue_id: Nullable(Id),
  doors_time: Nullable(LocalTime),
  start_time: Nullable(LocalTime),
  curfew_time: Nullable(LocalTime),
  capacity: Nullable(Count(1, 1500)),
  tickets_sold: Count(0, 820),
  fee_minor: Nullable(MinorUnits),
  currency: Nullable(Currency),
  notes: Nullable(Text(10_000, 'Load-in through the canal side.')),
  source: ExternalSource,
  external_ref: ExternalRef,
}
const NewShow = Strict(
  { ...required, status: Type.Optional(Status), ...leftOut(optional) },
  { title: 'NewShow' },
)
const WholeShow = Strict({ ...required, status: Status, ...leftOut(optional) }, { title: 'ShowReplacement' })
export const Show = rowOf('Show', {
  ...required,
  status: Status,
  ...optional,
  venue_name: Nullable(Line('Paradiso')),
  venue_city: Nullable(Line('Amsterdam')),
  time_zone: Nullable(
    Type.String({ ...TimeZone, description: "The venue's", examples: ['Europe/Amsterdam'] }),
  ),
  starts_at: Nullable(
    Type.String({
      ...Timestamp,
      description: 'show_on and start_time as an instant',
      examples: ['2027-03-14T18:30:00+00:00'],
    }),
  ),
})
export const shows = list({
  from: 'show_rows',
  permission: 'shows.read',
  bin: 'shows.delete',
  item: Show,
  sorts: { show_on: day, created_at: instant, title: text },
  filters: {
    status: Status,
    from: Type.String({ ...DateOnly, description: 'Shows on this day and later' }),
    to: Type.String({ ...DateOnly, description: 'Shows on this day and earlier' }),
    venue_id: Id,
    q: Type.String({
      minLength: 1,
      maxLength: 100,
      pattern: noControls,
      description: 'Text in the title, artist, venue or city',
      examples: ['gaslights'],
    }),
  },
  where: {
    from: (sql, from) => sql`show_on >= ${from}::text::date`,
    to: (sql, to) => sql`show_on <= ${to}::text::date`,
    q: (sql, q) => sql`id in (select app.search_shows(${q}))`,
  },
})
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
