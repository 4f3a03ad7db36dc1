/** The columns that a file can have, named as in the API; it needs one of each group. */
export const columns: Record<string, { required: string[][]; possible: string[] }> = {
  finance_records: {
    required: [['booked_on'], ['category'], ['amount', 'amount_minor']],
    possible: [
      'booked_on',
      'kind',
      'category',
      'amount',
      'amount_minor',
      'currency',
      'exchange_rate',
      'tax',
      'tax_minor',
      'status',
      'payment_status',
      'due_on',
      'show_id',
      'itinerary_id',
      'counterparty',
      'note',
      'source',
      'external_ref',
    ],
  },
  shows: {
    required: [['title'], ['artist'], ['show_on']],
    possible: [
      'title',
      'artist',
      'show_on',
      'venue',
      'city',
      'venue_id',
      'doors_time',
      'start_time',
      'curfew_time',
      'status',
      'capacity',
      'tickets_sold',
      'fee',
      'fee_minor',
      'currency',
      'notes',
      'source',
      'external_ref',
    ],
  },
}

/** The names in a header as columns: Booked On is booked_on. Throws a readable reason if they are wrong. */
export function readHeader(cells: string[], resource: string): string[] {
  const { required, possible } = columns[resource] ?? { required: [], possible: [] }
  const names = cells.map(cell =>
    cell
      .trim()
      .toLowerCase()
      .replace(/[\s-]+/g, '_'),
  )
  for (const [n, name] of names.entries()) {
    if (!possible.includes(name))
      throw new Unreadable(`Unknown column “${cells[n] ?? ''}”. Known columns: ${possible.join(', ')}.`)
    if (names.indexOf(name) !== n) throw new Unreadable(`The column ${name} occurs twice.`)
  }
  for (const group of required)
    if (!group.some(name => names.includes(name)))
      throw new Unreadable(`The column ${group.join(' or ')} is missing.`)
  return names
}

/** Why a file as a whole cannot be read, in a sentence for the user who uploaded it. */
export class Unreadable extends Error {}
