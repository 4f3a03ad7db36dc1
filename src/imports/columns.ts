/** The columns that a file can have, in the words of the API; of several in one group it needs one. */
export const columns: Record<string, { needed: string[][]; possible: string[] }> = {
  finance_records: {
    needed: [['booked_on'], ['category'], ['amount', 'amount_minor']],
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
      'counterparty',
      'note',
      'source',
      'external_ref',
    ],
  },
  shows: {
    needed: [['title'], ['artist'], ['show_on']],
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

/** The names in a header as columns: Booked On is booked_on. Throws with what is wrong, for people. */
export function readHeader(cells: string[], resource: string): string[] {
  const { needed, possible } = columns[resource] ?? { needed: [], possible: [] }
  const names = cells.map(cell =>
    cell
      .trim()
      .toLowerCase()
      .replace(/[\s-]+/g, '_'),
  )
  for (const [n, name] of names.entries()) {
    if (!possible.includes(name))
      throw new Unreadable(
        `The column “${cells[n] ?? ''}” is not known. Known columns: ${possible.join(', ')}.`,
      )
    if (names.indexOf(name) !== n) throw new Unreadable(`The column ${name} occurs twice.`)
  }
  for (const group of needed)
    if (!group.some(name => names.includes(name)))
      throw new Unreadable(`The column ${group.join(' or ')} is missing.`)
  return names
}

/** Why a file as a whole cannot be read, in a sentence for who has uploaded it. */
export class Unreadable extends Error {}
