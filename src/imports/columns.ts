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

/** How others name the currency. Left out, amounts would be in that of the books. */
const currencies =
  /^(.*_)?(currency|currencies|curr\.?|ccy|währung|waehrung|devise|valuta|valuutta|divisa|moneda|moeda|waluta)(_.*)?$/

/** Within how many lines with text the header is looked for: titles of reports may be above it. */
export const headerWithin = 20

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
  const written = cells.map(nameOf)
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
  const money = ['amount', 'amount_minor', 'fee', 'fee_minor']
  const meant = written.findIndex(name => currencies.test(name))
  if (meant >= 0 && !names.includes('currency') && money.some(name => names.includes(name)))
    throw new Unreadable(
      `The column ${String(cells[meant]).trim().slice(0, 100)} may have the currency: name it currency, or leave it out.`,
    )
  return {
    names,
    ignored: cells.map(cell => cell.trim()).filter((cell, n) => names[n] === undefined && cell !== ''),
  }
}

/** How many of the cells are names of columns. */
export function namesIn(cells: string[], resource: string): number {
  const possible = columns[resource]?.possible ?? {}
  return cells.filter(cell => nameOf(cell) in possible).length
}

/** Whether the cells of a line above the header are a line of data, and no title. */
export function isData(cells: Record<string, string>, resource: string): boolean {
  const { required = [], possible = {} } = columns[resource] ?? {}
  return (
    required.every(group => group.some(name => name in cells)) &&
    Object.entries(cells).every(([name, cell]) => {
      if (possible[name] === 'day')
        return /^\d+[/.-] ?\d+[/.-] ?\d+|^\d{8}$|^(\d|[a-z]{3,9}\.? ).* \d{4}\b/i.test(cell)
      return (possible[name] ?? 'text') === 'text' || /\d/.test(cell)
    })
  )
}

const nameOf = (cell: string) =>
  cell
    .normalize()
    .trim()
    .toLowerCase()
    .replace(/[\s-]+/g, '_')

/** Why a file as a whole cannot be read, in a sentence for the user who uploaded it. */
export class Unreadable extends Error {}
