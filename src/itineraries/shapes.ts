import { Type } from '@sinclair/typebox'
import {
  DateOnly,
  Id,
  Line,
  LocalTime,
  Nullable,
  Strict,
  Text,
  Timestamp,
  TimeZone,
} from '../http/schemas.ts'
import type { Part } from './itinerary-part.ts'

const choice = (title: string, description: string, values: string[], example: string) =>
  Type.String({ title, enum: values, description, examples: [example] })
const instant = (description: string, example: string) =>
  Type.String({ ...Timestamp, description, examples: [example] })
const time = (description: string, example: string) =>
  Type.String({ ...LocalTime, description, examples: [example] })
const day = (description: string) => Type.String({ ...DateOnly, description })
const listOf = (description: string) => Type.Array(Id, { maxItems: 500, uniqueItems: true, description })
const yes = (description: string) => Type.Boolean({ description, examples: [false] })

const zone = Type.String({ ...TimeZone, examples: ['Europe/Berlin'] })
const groups = listOf('The groups it is for; everybody if empty')
const notes = Nullable(Text(10_000, 'Runners meet at the rear gate.'))
const confirmation = Nullable(Line('X7K2QP'))
const created_at = 'timestamptz' as const
const name = 'text' as const

export const DayKind = choice(
  'DayKind',
  'What the day is for',
  ['show', 'travel', 'off', 'rehearsal', 'press'],
  'show',
)
export const ItemKind = choice(
  'ScheduleItemKind',
  'What happens',
  [
    'load_in',
    'soundcheck',
    'doors',
    'performance',
    'load_out',
    'lobby_call',
    'press',
    'rehearsal',
    'meal',
    'meeting',
    'other',
  ],
  'soundcheck',
)
export const Certainty = choice(
  'Certainty',
  'How certain the time is: `to_be_determined` has none yet, and a `hidden` time is seen only by those who plan',
  ['exact', 'approximate', 'to_be_determined', 'hidden'],
  'exact',
)
export const TravelMode = choice('TravelMode', 'Means of travel', ['air', 'rail', 'ground', 'sea'], 'air')

/** The time columns of a schedule item. */
export const itemTimes = {
  start_time: Nullable(time("HH:MM in the day's time zone", '16:30')),
  starts_next_day: yes('It starts after midnight, on the calendar day after its day'),
  end_time: Nullable(time("HH:MM in the day's time zone", '17:30')),
  ends_next_day: yes('It ends on the calendar day after its day'),
}
export const itemInstants = {
  starts_at: Nullable(instant('The start as an instant', '2027-03-14T15:30:00+00:00')),
  ends_at: Nullable(instant('The end as an instant', '2027-03-14T16:30:00+00:00')),
}
/** The place and time columns of a travel segment. */
export const segmentEnds = {
  from_place: Line('Berlin BER'),
  departs_on: day('Local date at the place of departure'),
  departs_time: time('HH:MM at the place of departure', '09:15'),
  from_time_zone: zone,
  to_place: Line('Lisbon LIS'),
  arrives_on: day('Local date at the place of arrival'),
  arrives_time: time('HH:MM at the place of arrival', '12:05'),
  to_time_zone: Type.String({ ...TimeZone, examples: ['Europe/Lisbon'] }),
}
export const segmentInstants = {
  departs_at: instant('The departure as an instant', '2027-03-14T08:15:00+00:00'),
  arrives_at: instant('The arrival as an instant', '2027-03-14T12:05:00+00:00'),
  duration_minutes: Type.Integer({ minimum: 0, maximum: 2_147_483_647, format: 'int32', examples: [230] }),
}
const segmentAbout = {
  carrier: Nullable(Line('TAP Air Portugal')),
  number: Nullable(Line('TP 535')),
  confirmation_number: confirmation,
  is_confirmed: yes('It is booked'),
}

export const itineraries = {
  table: 'itineraries',
  rows: 'itinerary_rows',
  noun: 'Itinerary',
  words: 'an itinerary',
  tag: 'itineraries',
  reading: 'itineraries.read',
  required: {
    name: Line('Winter Tour'),
    artist: Line('The Gaslights'),
    starts_on: day('First day of the tour'),
    ends_on: Type.String({ ...DateOnly, description: 'Last day of the tour', examples: ['2027-04-02'] }),
  },
  optional: { notes },
  derived: {
    published_number: Nullable(
      Type.Integer({
        minimum: 1,
        maximum: 2_147_483_647,
        format: 'int32',
        description: 'The latest published version; null for a draft that nobody else has seen',
        examples: [1],
      }),
    ),
    published_at: Nullable(Timestamp),
  },
  filters: {},
  sorts: { starts_on: 'date', name, created_at },
  listed:
    'Those who plan (`itineraries.write`) get the drafts, others the latest published versions: nothing of what has never been published.',
  created: 'Until it is published it is a draft, which only those who plan can see.',
} satisfies Part

export const itineraryDays = {
  table: 'itinerary_days',
  rows: 'itinerary_day_rows',
  noun: 'ItineraryDay',
  words: 'an itinerary day',
  tag: 'itineraries',
  parent: { itinerary_id: Id },
  required: { day_on: day('An itinerary has one day per date'), time_zone: zone },
  optional: { kind: DayKind, show_id: Nullable(Id), city: Nullable(Line('Lisbon')), notes },
  filters: { itinerary_id: Id },
  sorts: { day_on: 'date', created_at },
  listed: 'By date, unless `sort` says otherwise.',
  created:
    'If its show is deleted the day stays, and gets the show back when it is restored. All local times of a day are in its time zone.',
  taken: ['itinerary_days_date_taken'],
} satisfies Part

export const scheduleItems = {
  table: 'schedule_items',
  rows: 'schedule_item_rows',
  noun: 'ScheduleItem',
  words: 'a schedule item',
  tag: 'itineraries',
  parent: { day_id: Id },
  required: { title: Line('Soundcheck') },
  optional: {
    kind: ItemKind,
    certainty: Certainty,
    ...itemTimes,
    is_confirmed: yes('It is agreed'),
    show_id: Nullable(Id),
    location: Nullable(Line('Stage B')),
    group_ids: groups,
    notes,
  },
  derived: { itinerary_id: Id, day_on: DateOnly, time_zone: zone, ...itemInstants },
  filters: { itinerary_id: Id, day_id: Id },
  sorts: { sort_at: 'timestamptz', created_at },
  listed: 'By time, unless `sort` says otherwise; those without a time come first on their day.',
  created:
    'It needs a `start_time` unless it is `to_be_determined`. A load-out at 01:00 belongs to the day of the show, with `starts_next_day`.',
  problems: ['party_unknown'],
} satisfies Part

export const travelSegments = {
  table: 'travel_segments',
  rows: 'travel_segment_rows',
  noun: 'TravelSegment',
  words: 'a travel segment',
  tag: 'itineraries',
  parent: { itinerary_id: Id },
  required: { mode: TravelMode, ...segmentEnds },
  optional: {
    ...segmentAbout,
    passenger_ids: listOf('Members of the party who travel'),
    group_ids: groups,
    notes,
  },
  derived: segmentInstants,
  filters: { itinerary_id: Id },
  sorts: { departs_at: 'timestamptz', created_at },
  listed: 'By departure, unless `sort` says otherwise.',
  created: 'Each end has its own date, time and time zone; the instants and the duration follow.',
  problems: ['party_unknown', 'travel_segments_departure_before_arrival'],
} satisfies Part

export const lodgings = {
  table: 'lodgings',
  rows: 'lodging_rows',
  noun: 'Lodging',
  words: 'a lodging',
  tag: 'itineraries',
  parent: { itinerary_id: Id },
  required: {
    name: Line('Hotel Miramar'),
    check_in_on: day('First night'),
    check_out_on: Type.String({ ...DateOnly, description: 'Day of departure', examples: ['2027-03-16'] }),
  },
  optional: {
    address: Nullable(Text(1000, 'Rua do Porto 7, Lisbon')),
    confirmation_number: confirmation,
    group_ids: groups,
    notes,
  },
  filters: { itinerary_id: Id },
  sorts: { check_in_on: 'date', created_at },
  listed: 'By the first night, unless `sort` says otherwise.',
  created: 'Rooms are entered one by one; those who see the lodging see them.',
  problems: ['party_unknown'],
} satisfies Part

export const lodgingRooms = {
  table: 'lodging_rooms',
  rows: 'lodging_room_rows',
  noun: 'LodgingRoom',
  words: 'a lodging room',
  tag: 'itineraries',
  parent: { lodging_id: Id },
  required: { name: Line('Double 412') },
  optional: {
    occupant_ids: listOf('Members of the party who sleep there'),
    confirmation_number: confirmation,
    notes,
  },
  derived: { itinerary_id: Id },
  filters: { itinerary_id: Id, lodging_id: Id },
  sorts: { name, created_at },
  listed: 'By name, unless `sort` says otherwise.',
  created: 'In a lodging, for members of the party.',
  problems: ['party_unknown'],
} satisfies Part

export const partyGroups = {
  table: 'party_groups',
  rows: 'party_group_rows',
  noun: 'PartyGroup',
  words: 'a party group',
  tag: 'itineraries',
  parent: { itinerary_id: Id },
  required: { name: Type.String({ ...Line('Crew'), maxLength: 100 }) },
  optional: {},
  filters: { itinerary_id: Id },
  sorts: { name, created_at },
  listed: 'By name, unless `sort` says otherwise.',
  created: 'What is for a group is seen by its members who have accounts, and by those who plan.',
  taken: ['party_groups_name_taken'],
} satisfies Part

export const partyMembers = {
  table: 'party_members',
  rows: 'party_member_rows',
  noun: 'PartyMember',
  words: 'a party member',
  tag: 'itineraries',
  parent: { itinerary_id: Id },
  required: { name: Line('Noa Berg') },
  optional: {
    role: Nullable(Line('Monitor engineer')),
    user_id: Nullable(Id),
    group_ids: listOf('Their groups in the party'),
    notes,
  },
  filters: { itinerary_id: Id },
  sorts: { name, created_at },
  listed: 'By name, unless `sort` says otherwise.',
  created:
    'With `user_id`, a member of the organization, their groups decide what they see of what is published.',
  problems: ['party_unknown'],
  taken: ['party_members_user_taken'],
} satisfies Part

const person = Strict({ id: Id, name: Line('Noa Berg') }, { title: 'Traveller' })
const people = Type.Array(person, { maxItems: 500 })

/** A day, as published. */
export const DayEntry = Strict(
  {
    id: Id,
    day_on: DateOnly,
    kind: DayKind,
    city: Nullable(Line('Lisbon')),
    time_zone: zone,
    show_id: Nullable(Id),
    notes,
  },
  { title: 'DayEntry' },
)
/** An item, as published: without a hidden time. */
export const ItemEntry = Strict(
  {
    id: Id,
    day_id: Id,
    day_on: DateOnly,
    kind: ItemKind,
    title: Line('Soundcheck'),
    certainty: Certainty,
    ...itemTimes,
    time_zone: zone,
    ...itemInstants,
    is_confirmed: yes('It is agreed'),
    show_id: Nullable(Id),
    location: Nullable(Line('Stage B')),
    group_ids: groups,
    notes,
  },
  { title: 'ItemEntry' },
)
export const SegmentEntry = Strict(
  {
    id: Id,
    mode: TravelMode,
    ...segmentEnds,
    ...segmentAbout,
    ...segmentInstants,
    passengers: people,
    group_ids: groups,
    notes,
  },
  { title: 'SegmentEntry' },
)
export const LodgingEntry = Strict(
  {
    id: Id,
    ...lodgings.required,
    address: Nullable(Text(1000, 'Rua do Porto 7, Lisbon')),
    confirmation_number: confirmation,
    rooms: Type.Array(
      Strict(
        {
          id: Id,
          name: Line('Double 412'),
          confirmation_number: confirmation,
          notes,
          occupants: people,
        },
        { title: 'RoomEntry' },
      ),
      { maxItems: 1000 },
    ),
    group_ids: groups,
    notes,
  },
  { title: 'LodgingEntry' },
)
