// The published parts of an itinerary: its versions, and the sheet of a day.
import { type Static, Type } from '@sinclair/typebox'
import { DateOnly, Id, Line, LocalTime, Nullable, Strict, Text, Timestamp } from '../http/schemas.ts'
import { detailsOf } from './itinerary-part.ts'
import { DayEntry, ItemEntry, itineraries, LodgingEntry, SegmentEntry } from './shapes.ts'

const many = { maxItems: 10_000 }
const number = Type.Integer({ minimum: 1, maximum: 2_147_483_647, format: 'int32', examples: [1] })
export const Remark = Nullable(Text(1000, 'New lobby call in Lisbon'))
const version = { number, note: Remark, published_by: Nullable(Id), published_at: Timestamp }
export const Version = Strict(version, { title: 'ItineraryVersion' })
const plan = {
  items: Type.Array(ItemEntry, many),
  segments: Type.Array(SegmentEntry, many),
  lodgings: Type.Array(LodgingEntry, many),
}
const Head = Strict(
  {
    id: Id,
    ...itineraries.required,
    ...itineraries.optional,
    created_by: Nullable(Id),
    created_at: Timestamp,
    updated_at: Timestamp,
  },
  { title: 'PublishedItinerary' },
)
export const VersionDetails = Strict(
  { ...version, itinerary: Head, days: Type.Array(DayEntry, many), ...plan },
  { title: 'ItineraryVersionDetails' },
)
const ShowOfDay = Strict(
  {
    id: Id,
    title: Line('Winter Tour'),
    status: Type.String({ maxLength: 20, pattern: '^[a-z]+$', examples: ['confirmed'] }),
    show_on: DateOnly,
    venue_name: Nullable(Line('Teatro Miramar')),
    venue_city: Nullable(Line('Lisbon')),
    doors_time: Nullable(LocalTime),
    start_time: Nullable(LocalTime),
    curfew_time: Nullable(LocalTime),
  },
  { title: 'ShowOfDay' },
)
export const DaySheet = Strict(
  {
    itinerary: detailsOf(itineraries),
    day: Strict({ ...DayEntry.properties, show: Nullable(ShowOfDay) }, { title: 'DayOfSheet' }),
    ...plan,
  },
  { title: 'DaySheet' },
)
export type DaySheet = Static<typeof DaySheet> & { itinerary: { name: string; artist: string } }
