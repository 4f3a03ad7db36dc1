// The schemas of venues and shows, and their lists.
import { Type } from '@sinclair/typebox'
import {
  Count,
  Id,
  inBin,
  omittable,
  Line,
  Nullable,
  Strict,
  Timestamp,
  TimeZone,
  Currency,
  DateOnly,
  ExternalRef,
  ExternalSource,
  LocalTime,
  MinorUnits,
  noControls,
  rowOf,
  Text,
} from '../http/schemas.ts'
import { instant, list, text, day } from '../tenant/list.ts'

const venueFields = {
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
const venueOptional = { capacity: Nullable(Count(1, 1500)) }
export const NewVenue = Strict({ ...venueFields, ...omittable(venueOptional) }, { title: 'NewVenue' })
export const Venue = Strict(
  { id: Id, ...venueFields, ...venueOptional, created_at: Timestamp, updated_at: Timestamp, ...inBin },
  { title: 'Venue' },
)
export const venues = list({
  from: 'venue_rows',
  permission: 'shows.read',
  bin: 'shows.delete',
  item: Venue,
  sorts: { name: text, created_at: instant },
  filters: { city: Line('Amsterdam'), country: venueFields.country },
})

export const Status = Type.String({
  title: 'ShowStatus',
  enum: ['inquiry', 'hold', 'offer', 'confirmed', 'played', 'settled', 'cancelled', 'postponed'],
  description:
    'Allowed changes are in app.show_status_transitions; any other is 409 show_status_transition and needs a correction',
  examples: ['hold'],
})
const FeeHidden = Type.Boolean({
  description:
    'Whether the fee is hidden from you, because you lack finance.read: fee_minor and currency are null then',
  examples: [false],
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
export const NewShow = Strict(
  { ...required, status: Type.Optional(Status), ...omittable(optional) },
  { title: 'NewShow' },
)
export const WholeShow = Strict(
  { ...required, status: Status, ...omittable(optional) },
  { title: 'ShowReplacement' },
)
export const Show = rowOf('Show', {
  ...required,
  status: Status,
  ...optional,
  fee_hidden: FeeHidden,
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
    from: Type.String({ ...DateOnly, description: 'Shows on or after this day' }),
    to: Type.String({ ...DateOnly, description: 'Shows on or before this day' }),
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
