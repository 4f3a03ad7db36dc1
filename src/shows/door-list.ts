import { type Static, Type } from '@sinclair/typebox'
import { type Html, html, pageOf, policyOf } from '../http/html.ts'
import { Count, DateOnly, Id, Line, LocalTime, Nullable, Strict, Text } from '../http/schemas.ts'

const Guest = Strict(
  {
    id: Id,
    door_name: Line('Veld, Marta'),
    name: Line('Marta Veld'),
    tickets: Count(1, 2),
    checked_in: Count(0, 0),
    invited_by: Nullable(Line('The Gaslights')),
    allotment_name: Nullable(Line('The Gaslights')),
    note: Nullable(Text(1000, 'Pass at the stage door')),
  },
  { title: 'GuestAtTheDoor' },
)
const Show = Strict(
  {
    id: Id,
    title: Line('Winter Tour'),
    artist: Line('The Gaslights'),
    status: Type.String({ maxLength: 20, pattern: '^[a-z]+$', examples: ['confirmed'] }),
    show_on: DateOnly,
    doors_time: Nullable(LocalTime),
    start_time: Nullable(LocalTime),
    venue_name: Nullable(Line('Teatro Miramar')),
    venue_city: Nullable(Line('Lisbon')),
  },
  { title: 'ShowOfDoorList' },
)
export const DoorList = Strict(
  {
    show: Show,
    is_closed: Type.Boolean({ description: 'Whether the list is closed', examples: [true] }),
    places: Type.Integer({ ...Count(0, 38), description: 'Places that these guests take in total' }),
    guests: Type.Array(Guest, { maxItems: 100_000 }),
  },
  { title: 'DoorList' },
)
export type DoorList = Static<typeof DoorList>

const style = `
:root { color-scheme: light; font: 11pt/1.35 system-ui, sans-serif }
body { max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff }
h1 { font-size: 1.5rem; margin: 0 }
h2 { font-size: 1.1rem; margin: 1rem 0 .2rem; border-bottom: 2px solid #111 }
p { margin: .2rem 0 }
.off { font-weight: bold; color: #b00020; text-transform: uppercase }
table { width: 100%; border-collapse: collapse; table-layout: fixed }
td { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #bbb; vertical-align: top; overflow-wrap: anywhere }
td:first-child { width: 3.5rem; white-space: nowrap; font-variant-numeric: tabular-nums }
td:nth-child(2) { width: 45% }
.in td { color: #666 }
.note { white-space: pre-wrap; color: #444 }
@page { margin: 15mm }
@media print { body { margin: 0; max-width: none } tr, h2 { break-inside: avoid } h2 { break-after: avoid } }
`
/** The content security policy of the page. */
export const doorPolicy = policyOf(style)

const words = (...parts: (string | null | false)[]) => parts.filter(Boolean).join(' · ')
type Guest = DoorList['guests'][number]

/** The letter a name is listed under: Ä under A, as the list is sorted; # if it does not begin with one. */
const letterOf = ({ door_name }: Guest) =>
  /^\p{L}/u.exec(door_name.normalize('NFD').replace(/^[^\p{L}\p{N}]+/u, ''))?.[0].toLocaleUpperCase('en') ??
  '#'

const guestRow = (guest: Guest) =>
  html`<tr class="${guest.checked_in > 0 && 'in'}">
    <td>
      ${'☐'.repeat(Math.min(guest.tickets - guest.checked_in, 5))}${'☑'.repeat(Math.min(guest.checked_in, 5))}
    </td>
    <td><strong>${guest.door_name}</strong>${guest.tickets > 1 && ` +${guest.tickets - 1}`}</td>
    <td>
      ${words(guest.allotment_name, guest.invited_by !== guest.allotment_name && guest.invited_by)}
      ${guest.checked_in > 0 && html`<p>${guest.checked_in} of ${guest.tickets} in</p>`}
      ${guest.note !== null && html`<p class="note">${guest.note}</p>`}
    </td>
  </tr>`

function letters(guests: Guest[]): Html[] {
  const groups: { letter: string; guests: Guest[] }[] = []
  for (const guest of guests) {
    const letter = letterOf(guest)
    if (groups.at(-1)?.letter === letter) groups.at(-1)?.guests.push(guest)
    else groups.push({ letter, guests: [guest] })
  }
  return groups.map(
    group =>
      html`<h2>${group.letter}</h2>
        <table>
          ${group.guests.map(guestRow)}
        </table>`,
  )
}

/** The door list as a printable page. The database has sorted it. */
export function renderDoorList({ show, is_closed, places, guests }: DoorList): string {
  const isOff = show.status === 'cancelled' || show.status === 'postponed'
  return pageOf(
    `Guests of ${show.artist}, ${show.show_on}`,
    style,
    html`
      <h1>${show.artist}</h1>
      ${isOff && html`<p class="off">${show.status}</p>`}
      <p>${words(show.title, show.show_on, show.venue_name, show.venue_city)}</p>
      <p>
        ${words(
          show.doors_time !== null && `doors ${show.doors_time}`,
          show.start_time !== null && `start ${show.start_time}`,
          `${guests.length} names, ${places} places`,
          is_closed ? 'closed' : 'still open',
        )}
      </p>
      ${letters(guests)}
    `,
  )
}
