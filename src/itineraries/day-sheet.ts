import { type Html, html, pageOf, policyOf } from '../http/html.ts'
import type { DaySheet } from './published.ts'

const style = `
:root { color-scheme: light; font: 11pt/1.4 system-ui, sans-serif }
body { max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff }
h1 { font-size: 1.5rem; margin: 0 }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; border-bottom: 2px solid #111 }
p { margin: .2rem 0 }
table { width: 100%; border-collapse: collapse }
td { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #bbb; vertical-align: top }
td:first-child { width: 9rem; white-space: nowrap; font-variant-numeric: tabular-nums }
.off { border: 2px solid #111; padding: 0 .4rem; text-transform: uppercase }
.note { white-space: pre-wrap; color: #444 }
@page { margin: 15mm }
@media print { body { margin: 0; max-width: none } tr, h2 { break-inside: avoid } h2 { break-after: avoid } }
`
/** The content security policy of the page. */
export const sheetPolicy = policyOf(style)

const words = (...parts: (string | null | undefined | false)[]) => parts.filter(Boolean).join(' · ')
const note = (text: string | null | undefined) => text && html`<p class="note">${text}</p>`
const titled = (title: string, rows: Html[]) =>
  rows.length > 0 &&
  html`<h2>${title}</h2>
    <table>
      ${rows}
    </table>`

type Item = DaySheet['items'][number]

function timeOf({ certainty, start_time, starts_next_day, end_time, ends_next_day }: Item): string {
  if (start_time === null) return certainty === 'to_be_determined' ? 'TBD' : ''
  const about = certainty === 'approximate' ? 'about ' : ''
  const end = end_time === null ? '' : `–${end_time}${ends_next_day && !starts_next_day ? ' +1' : ''}`
  return `${about}${start_time}${starts_next_day ? ' +1' : ''}${end}`
}

/** Days from one to another, as in a time table: +1 for the next day, −1 across the date line. */
function daysBetween(from: string, to: string): string {
  const days = (Date.parse(to) - Date.parse(from)) / 86_400_000
  return days === 0 ? '' : days > 0 ? ` +${days}` : ` −${-days}`
}

const itemRow = (item: Item) =>
  html`<tr>
    <td>${timeOf(item)}</td>
    <td>
      <strong>${item.title}</strong> ${words(item.location, !item.is_confirmed && 'to be confirmed')}
      ${note(item.notes)}
    </td>
  </tr>`

const segmentRow = (s: DaySheet['segments'][number]) =>
  html`<tr>
    <td>${s.departs_time}–${s.arrives_time}${daysBetween(s.departs_on, s.arrives_on)}</td>
    <td>
      <strong>${s.from_place} → ${s.to_place}</strong>
      ${words(s.carrier, s.number, s.confirmation_number && `confirmation ${s.confirmation_number}`)}
      <p>
        ${words(
          `${s.departs_on} ${s.from_time_zone}`,
          `${s.arrives_on} ${s.to_time_zone}`,
          `${Math.floor(s.duration_minutes / 60)} h ${s.duration_minutes % 60} min`,
        )}
      </p>
      <p>${s.passengers.map(({ name }) => name).join(', ')}</p>
      ${note(s.notes)}
    </td>
  </tr>`

const lodgingRow = (l: DaySheet['lodgings'][number]) =>
  html`<tr>
    <td>${l.check_in_on}</td>
    <td>
      <strong>${l.name}</strong>
      ${words(`until ${l.check_out_on}`, l.confirmation_number && `confirmation ${l.confirmation_number}`)}
      ${note(l.address)}
      ${l.rooms.map(
        room => html`<p>${words(room.name, room.occupants.map(({ name }) => name).join(', '))}</p>`,
      )}
      ${note(l.notes)}
    </td>
  </tr>`

/** The statuses of shows that do not take place on their day. */
const off = new Set(['cancelled', 'postponed'])

/** The sheet of a day as a printable page. */
export function renderDaySheet({ itinerary, day, items, segments, lodgings }: DaySheet): string {
  const { show } = day
  return pageOf(
    `${itinerary.artist}, ${day.day_on}`,
    style,
    html`
      <h1>${day.day_on} ${day.city}</h1>
      <p>${words(itinerary.artist, itinerary.name, day.kind, day.time_zone)}</p>
      ${
        show &&
        html`<p>
          ${off.has(show.status) && html`<strong class="off">${show.status}</strong> `}
          <strong>${show.title}</strong>
          ${words(
            !off.has(show.status) && show.status,
            show.show_on !== day.day_on && `moved to ${show.show_on}`,
            show.venue_name,
            show.venue_city,
            show.doors_time && `doors ${show.doors_time}`,
            show.start_time && `start ${show.start_time}`,
            show.curfew_time && `curfew ${show.curfew_time}`,
          )}
        </p>`
      }
      ${note(day.notes)} ${titled('Schedule', items.map(itemRow))}
      ${titled('Travel', segments.map(segmentRow))} ${titled('Lodging', lodgings.map(lodgingRow))}
    `,
  )
}
