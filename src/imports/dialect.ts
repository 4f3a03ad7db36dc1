import { headerWithin, namesIn, Unreadable } from './columns.ts'

/** How to read a file; what the user has not specified is detected. */
export interface Dialect {
  encoding: 'utf-8' | 'utf-16le' | 'utf-16be' | 'windows-1252'
  delimiter: ',' | ';' | '\t' | '|'
  decimal: 'point' | 'comma'
  dates?: 'dmy' | 'mdy'
  source?: string
  /** Names of columns that are not known, and left out. */
  ignored_columns?: string[]
}
export type Given = Partial<Dialect>

const delimiters = [',', ';', '\t', '|'] as const

const marks: [encoding: Dialect['encoding'], bytes: number[]][] = [
  ['utf-8', [0xef, 0xbb, 0xbf]],
  ['utf-16le', [0xff, 0xfe]],
  ['utf-16be', [0xfe, 0xff]],
]

/**
 * Text that is not UTF-8 comes from an older Windows; a byte-order mark is conclusive, and so is a zero in every second
 * byte. Throws Unreadable for what is no text.
 */
export async function detectEncoding(pieces: AsyncIterable<Buffer>): Promise<Dialect['encoding']> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let isFirst = true
  let isUtf8 = true
  for await (const piece of pieces) {
    const marked = isFirst && marks.find(([, bytes]) => bytes.every((byte, n) => piece[n] === byte))
    if (marked) return marked[0]
    if (isFirst && piece.includes(0)) return wideEncodingOf(piece)
    isFirst = false
    if (piece.includes(0)) throw new Unreadable('The file is not text: it has bytes that are zero.')
    try {
      if (isUtf8) decoder.decode(piece, { stream: true })
    } catch {
      isUtf8 = false
    }
  }
  try {
    if (isUtf8) decoder.decode()
  } catch {
    isUtf8 = false
  }
  return isUtf8 ? 'utf-8' : 'windows-1252'
}

/** Of text in two bytes a character, either the first or the second is zero, nearly always. */
function wideEncodingOf(piece: Buffer): Dialect['encoding'] {
  let [even, odd] = [0, 0]
  for (const [n, byte] of piece.entries())
    if (byte === 0) {
      if (n % 2 === 0) even += 1
      else odd += 1
    }
  // A stray zero or two are no encoding.
  const many = piece.length / 20
  if (odd > 4 * even && odd > many) return 'utf-16le'
  if (even > 4 * odd && even > many) return 'utf-16be'
  throw new Unreadable(
    'The file is not text: it has bytes that are zero. A spreadsheet must be saved as CSV.',
  )
}

/**
 * What a first line sep=; says, which spreadsheets write; else the candidate between most names of columns, as in the
 * header, and where there are none the one that a line has most often, outside quotes.
 */
export function detectDelimiter(text: string, resource: string): Dialect['delimiter'] {
  const said = /^\uFEFF?sep=(.)[\r\n]/i.exec(text)?.[1]
  const known = delimiters.find(sign => sign === said)
  if (known) return known
  // Names stay, and other quoted text may have any sign.
  const bare = text.replace(/"((?:[^"]|"")*)"/g, (_all, inner: string) =>
    /^[\w\s-]*$/.test(inner) ? inner : '',
  )
  // A title above the header has few, and a note below it may have many.
  const rows = bare
    .split(/\r\n|\r|\n/)
    .filter(row => row.trim() !== '')
    .slice(0, headerWithin)
  const most = (sign: string) => {
    const split = rows.map(row => row.split(sign))
    const [names, cells] = [split.map(row => namesIn(row, resource)), split.map(row => row.length)]
    return Math.max(...names) * text.length + Math.max(...cells)
  }
  return delimiters.reduce((best, sign) => (most(sign) > most(best) ? sign : best))
}
