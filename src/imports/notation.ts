// How numbers and dates of a file are written. 1.250 is a thousand and a quarter thousand, or one and a quarter, and
// 5/6/2027 is in May or in June: other cells of the file say which, or the user does. Nothing is guessed.
import { kindOf, Unreadable } from './columns.ts'
import type { Dialect } from './dialect.ts'
import type { Line } from './reading.ts'

type Decimal = Dialect['decimal']
type Order = NonNullable<Dialect['dates']>
interface Seen {
  line: number
  column: string
  cell: string
}

const signs: Record<string, Decimal> = { '.': 'point', ',': 'comma' }
const other = (sign: string): Decimal => (sign === '.' ? 'comma' : 'point')

/** A number, with a currency or a sign on either side: the same as app_private.csv_number reads. */
const numeric = /^(?:kr\.|Fr\.|[^\d.,]){0,6}([\d.,'’\s]*\d)[^\d.,]{0,6}$/

/** Groups of three: 31.12.2027 in a column of amounts is no number, and says nothing. */
const grouped = /^\d{1,3}([.,]\d{3})+$/

/**
 * What the decimal sign of a number must be; 'either' where it could be both, undefined where the number has no sign.
 * Whole numbers have none, so that a single sign is one between thousands.
 */
export function decimalOf(cell: string, isWhole = false): Decimal | 'either' | undefined {
  const number = numeric.exec(cell)?.[1]?.replace(/[^\d.,]/g, '') ?? ''
  const found = number.replace(/\d/g, '').split('')
  const last = found.at(-1)
  if (last === undefined) return undefined
  const [before = '', after = ''] = number.split(last)
  if (found.length > 1) {
    // 1.234.567 has no decimals, 1.234.567,89 has.
    if (new Set(found).size === 1) return grouped.test(number) ? other(last) : undefined
    return found.indexOf(last) === found.length - 1 ? signs[last] : undefined
  }
  if (isWhole) return after.length === 3 ? other(last) : undefined
  const isGroup = after.length === 3 && /^[1-9]\d{0,2}$/.test(before)
  return isGroup ? 'either' : signs[last]
}

/** The order of day and month in a date such as 14/3/2027 or 14-3-2027; 'either' where both could be. */
export function orderOf(cell: string): Order | 'either' | undefined {
  const [, first, , second] = /^(\d{1,2})([/-])(\d{1,2})\2\d{4}\b/.exec(cell) ?? []
  if (first === undefined || second === undefined) return undefined
  if (Number(first) > 12) return 'dmy'
  return Number(second) > 12 ? 'mdy' : 'either'
}

/** What the cells of a file say about its notation. */
export class Notation {
  readonly #numbers = new Map<Decimal | 'either', Seen>()
  readonly #dates = new Map<Order | 'either', Seen>()
  readonly #resource: string
  readonly #given: Partial<Dialect>

  constructor(resource: string, given: Partial<Dialect>) {
    this.#resource = resource
    this.#given = given
  }

  /** Takes lines into account. */
  weigh(lines: Line[]): void {
    for (const [line, cells] of lines)
      for (const [column, cell] of Object.entries(cells)) {
        const kind = kindOf(this.#resource, column)
        if (kind === 'day') note(this.#dates, orderOf(cell), { line, column, cell })
        else if (kind !== 'text')
          note(this.#numbers, decimalOf(cell, kind === 'whole'), { line, column, cell })
      }
  }

  /** Whether more lines could change what is known. */
  get isOpen(): boolean {
    const isDecimalKnown = this.#given.decimal ?? (this.#numbers.has('point') || this.#numbers.has('comma'))
    const isOrderOpen = this.#dates.has('either') && !this.#dates.has('dmy') && !this.#dates.has('mdy')
    return !isDecimalKnown || (this.#given.dates === undefined && isOrderOpen)
  }

  /** The decimal sign. Throws Unreadable where cells contradict each other, or none says which it is. */
  get decimal(): Decimal {
    const [point, comma] = [this.#numbers.get('point'), this.#numbers.get('comma')]
    const unsure = this.#numbers.get('either')
    if (this.#given.decimal) return this.#given.decimal
    if (point && comma)
      throw new Unreadable(
        `${said(comma)} has a decimal comma, and ${said(point)} a decimal point: upload the file again with decimal=comma or decimal=point.`,
      )
    if (!point && !comma && unsure)
      throw new Unreadable(
        `${said(unsure)} may be ${unsure.cell.replace(/[.,]/, '')} or have decimals, and no other number says which: upload the file again with decimal=comma or decimal=point.`,
      )
    return comma ? 'comma' : 'point'
  }

  /** The order of dates, if one is known; without one, dates that could be both are bad. */
  get dates(): Order | undefined {
    const [dmy, mdy] = [this.#dates.has('dmy'), this.#dates.has('mdy')]
    return this.#given.dates ?? (dmy === mdy ? undefined : dmy ? 'dmy' : 'mdy')
  }
}

function note<T>(seen: Map<T, Seen>, found: T | undefined, where: Seen): void {
  if (found !== undefined && !seen.has(found)) seen.set(found, where)
}

const said = ({ line, column, cell }: Seen) => `“${cell.slice(0, 40)}” (line ${line}, ${column})`
