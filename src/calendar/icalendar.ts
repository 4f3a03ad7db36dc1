import ICAL from 'ical.js'
import { tzlib_get_ical_block, tzlib_get_timezones } from 'timezones-ical-library'

// In bytes; a continuation line begins with a space, which the library does not count.
ICAL.foldLength = 74

/** An entry of a calendar, as app.read_calendar_feed returns it. */
export interface Entry {
  kind: 'show' | 'item' | 'segment' | 'lodging'
  id: string
  title: string
  location: string | null
  detail: string | null
  status: 'confirmed' | 'tentative' | 'cancelled'
  first_on: string
  last_on: string
  /** Without it the entry is all day, from first_on to last_on. */
  local_start: string | null
  local_end: string | null
  start_zone: string | null
  end_zone: string | null
  starts_at: string | null
  ends_at: string | null
  version: number
  updated_at: string
}

/** As in jCal (RFC 7265): name, parameters, type, value. */
type Property = [name: string, parameters: Record<string, string>, type: string, value: string | number]
type Component = [name: string, properties: Property[], components: Component[]]

const known = new Set(tzlib_get_timezones())
const zones = new Map<string, { id: string; definition: Component } | undefined>()

/** The definition of a time zone in a calendar, and its name: an alias has that of the zone itself. */
function zoneOf(name: string) {
  if (!zones.has(name)) {
    const [block = ''] = known.has(name) ? tzlib_get_ical_block(name) : []
    const definition = block === '' ? undefined : (ICAL.parse(block) as Component)
    const id = definition?.[1].find(([property]) => property === 'tzid')?.[3]
    zones.set(name, definition && { id: String(id), definition })
  }
  return zones.get(name)
}

const text = (name: string, value: string): Property => [
  name,
  {},
  'text',
  // The only control characters allowed in a calendar are tabs and line feeds.
  // eslint-disable-next-line no-control-regex
  value.replace(/\r\n?/g, '\n').replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, ''),
]
// The library does not escape properties it does not know, and writes out their type.
const escaped = (value: string) =>
  String(text('', value)[3])
    .replace(/[\\;,]/g, '\\$&')
    .replaceAll('\n', '\\n')
const utc = (instant: string) => `${new Date(instant).toISOString().slice(0, 19)}Z`
const dayAfter = (day: string) => {
  const date = new Date(`${day}T00:00:00Z`)
  date.setUTCDate(date.getUTCDate() + 1)
  return date.toISOString().slice(0, 10)
}

const clocks = new Map<string, Intl.DateTimeFormat>()

/** What clocks in a zone show at an instant, as 2027-03-14T19:30. */
function shown(zone: string, instant: number): string {
  let clock = clocks.get(zone)
  if (!clock) {
    clock = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'short' })
    clocks.set(zone, clock)
  }
  return clock.format(instant).replace(' ', 'T')
}

/** Whether clocks show a local time twice, or never: then readers of calendars disagree on the instant. */
function isUnsure(local: string, zone: string, instant: string): boolean {
  const hour = Number(local.slice(11, 13))
  // As in app.instant: by day it is there once.
  if (hour >= 4 && hour < 22) return false
  const [at, wanted] = [Date.parse(instant), local.slice(0, 16)]
  return (
    shown(zone, at) !== wanted ||
    [30, 60].some(minutes => [-1, 1].some(sign => shown(zone, at + sign * minutes * 60_000) === wanted))
  )
}

function moment(name: string, local: string | null, zone: string | null, instant: string | null): Property[] {
  if (local === null || zone === null || instant === null) return []
  const tzid = zoneOf(zone)?.id
  // A zone without a calendar definition is given as an instant, which is the same moment.
  if (tzid === undefined || isUnsure(local, zone, instant)) return [[name, {}, 'date-time', utc(instant)]]
  return [[name, { tzid }, 'date-time', local]]
}

function event(e: Entry): Component {
  const times: Property[] =
    e.local_start === null
      ? [
          ['dtstart', {}, 'date', e.first_on],
          // The day after the last one.
          ['dtend', {}, 'date', dayAfter(e.last_on)],
          text('transp', 'TRANSPARENT'),
        ]
      : [
          ...moment('dtstart', e.local_start, e.start_zone, e.starts_at),
          ...moment('dtend', e.local_end, e.end_zone, e.ends_at),
        ]
  return [
    'vevent',
    [
      text('uid', `${e.kind}-${e.id}@callboard`),
      ['dtstamp', {}, 'date-time', utc(e.updated_at)],
      ['last-modified', {}, 'date-time', utc(e.updated_at)],
      ['sequence', {}, 'integer', e.version - 1],
      ...times,
      text('summary', e.title),
      ...(e.location === null ? [] : [text('location', e.location)]),
      ...(e.detail === null ? [] : [text('description', e.detail)]),
      text('status', e.status.toUpperCase()),
    ],
    [],
  ]
}

/** The entries as an iCalendar object (RFC 5545), with the definition of every time zone in it. */
export function renderCalendar({ name, entries }: { name: string | null; entries: Entry[] }): string {
  const timed = entries.filter(({ local_start }) => local_start !== null)
  const used = timed
    .flatMap(({ start_zone, end_zone }) => [start_zone, end_zone])
    .map(zone => zoneOf(zone ?? ''))
  const definitions = new Map(used.filter(zone => zone !== undefined).map(zone => [zone.id, zone.definition]))
  const calendar: Component = [
    'vcalendar',
    [
      text('version', '2.0'),
      text('prodid', '-//Callboard//Calendar//EN'),
      text('calscale', 'GREGORIAN'),
      text('method', 'PUBLISH'),
      ['x-wr-calname', {}, 'unknown', escaped(name ?? 'Callboard')],
      ['refresh-interval', {}, 'duration', 'PT1H'],
    ],
    [
      ...[...definitions].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, definition]) => definition),
      ...entries.map(event),
    ],
  ]
  return ICAL.stringify(calendar)
}
