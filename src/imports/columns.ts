/** What the cells of a column are: what their notation may be mistaken for depends on it. */
type Kind = 'text' | 'money' | 'whole' | 'day'

/** The columns that a file can have, named as in the API, and which it needs: one of each group. */
const columns: Record<string, { required: string[][]; possible: Record<string, Kind> }> = {
  finance_records: {
    required: [['booked_on'], ['category'], ['amount', 'amount_minor']],
    possible: {
      booked_on: 'day',
      kind: 'text',
      category: 'text',
      amount: 'money',
      amount_minor: 'whole',
      currency: 'text',
      exchange_rate: 'money',
      tax: 'money',
      tax_minor: 'whole',
      status: 'text',
      payment_status: 'text',
      due_on: 'day',
      show_id: 'text',
      itinerary_id: 'text',
      counterparty: 'text',
      note: 'text',
      source: 'text',
      external_ref: 'text',
    },
  },
  shows: {
    required: [['title'], ['artist'], ['show_on']],
    possible: {
      title: 'text',
      artist: 'text',
      show_on: 'day',
      venue: 'text',
      city: 'text',
      venue_id: 'text',
      doors_time: 'text',
      start_time: 'text',
      curfew_time: 'text',
      status: 'text',
      capacity: 'whole',
      tickets_sold: 'whole',
      fee: 'money',
      fee_minor: 'whole',
      currency: 'text',
      notes: 'text',
      source: 'text',
      external_ref: 'text',
    },
  },
}

/** How lists and exports name what a file names otherwise. */
const aliases: Record<string, string> = {
  category_name: 'category',
  venue_name: 'venue',
  venue_city: 'city',
}

/** The header of a file: the column of each cell, and the names of those that are left out. */
export interface Header {
  names: (string | undefined)[]
  ignored: string[]
}

/** What the cells of a column are. */
export const kindOf = (resource: string, column: string): Kind =>
  columns[resource]?.possible[column] ?? 'text'

/**
 * The names in a header as columns: Booked On is booked_on. Columns that are not known are ignored.
 * Throws a readable reason if one is missing, or there twice.
 */
export function readHeader(cells: string[], resource: string): Header {
  const { required = [], possible = {} } = columns[resource] ?? {}
  const written = cells.map(cell =>
    cell
      .trim()
      .toLowerCase()
      .replace(/[\s-]+/g, '_'),
  )
  const names = written.map(name => {
    const meant = aliases[name] ?? name
    // The name of the API itself comes first.
    return meant in possible && (meant === name || !written.includes(meant)) ? meant : undefined
  })
  for (const group of required)
    if (!group.some(name => names.includes(name)))
      throw new Unreadable(
        `The column ${group.join(' or ')} is missing. Known columns: ${Object.keys(possible).join(', ')}.`,
      )
  for (const [n, name] of names.entries())
    if (name !== undefined && names.indexOf(name) !== n)
      throw new Unreadable(`The column ${name} occurs twice.`)
  return {
    names,
    ignored: cells.map(cell => cell.trim()).filter((cell, n) => names[n] === undefined && cell !== ''),
  }
}

/** How many of the cells are names of columns. */
export function namesIn(cells: string[], resource: string): number {
  const possible = columns[resource]?.possible ?? {}
  return cells.filter(
    cell =>
      cell
        .trim()
        .toLowerCase()
        .replace(/[\s-]+/g, '_') in possible,
  ).length
}

/** Why a file as a whole cannot be read, in a sentence for the user who uploaded it. */
export class Unreadable extends Error {}
