import { parseString } from 'fast-csv'

/** How to read a file; what the user has not specified is detected. */
export interface Dialect {
  encoding: 'utf-8' | 'utf-16le' | 'utf-16be' | 'windows-1252'
  delimiter: ',' | ';' | '\t' | '|'
  decimal: 'point' | 'comma'
  dates?: 'dmy' | 'mdy'
  source?: string
}
export type Given = Partial<Dialect>

const marks: [encoding: Dialect['encoding'], bytes: number[]][] = [
  ['utf-8', [0xef, 0xbb, 0xbf]],
  ['utf-16le', [0xff, 0xfe]],
  ['utf-16be', [0xfe, 0xff]],
]

/** Text that is not UTF-8 comes from an older Windows; a byte-order mark is conclusive. */
export async function detectEncoding(pieces: AsyncIterable<Buffer>): Promise<Dialect['encoding']> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let isFirst = true
  try {
    for await (const piece of pieces) {
      const marked = isFirst && marks.find(([, bytes]) => bytes.every((byte, n) => piece[n] === byte))
      if (marked) return marked[0]
      isFirst = false
      decoder.decode(piece, { stream: true })
    }
    decoder.decode()
    return 'utf-8'
  } catch {
    return 'windows-1252'
  }
}

/** The candidate that is most frequent in the first line, outside quotes. */
export function detectDelimiter(text: string): Dialect['delimiter'] {
  const head = /^(?:"(?:[^"]|"")*"|[^\r\n"])*/.exec(text)?.[0] ?? ''
  const bare = head.replace(/"(?:[^"]|"")*"/g, '')
  const count = (sign: string) => bare.split(sign).length
  return ([';', '\t', '|'] as const).reduce<Dialect['delimiter']>(
    (best, sign) => (count(sign) > count(best) ? sign : best),
    ',',
  )
}

/** What numbers in the first lines have before their last one or two digits. */
export async function detectDecimal(text: string, delimiter: string): Promise<Dialect['decimal']> {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1) || text
  let commas = 0
  let points = 0
  try {
    for await (const row of parseString(whole, { delimiter }) as AsyncIterable<string[]>)
      for (const cell of row) {
        if (/^[+-]?[\d.]*\d,\d{1,2}$/.test(cell.trim())) commas += 1
        else if (/^[+-]?[\d,]*\d\.\d{1,2}$/.test(cell.trim())) points += 1
      }
  } catch {
    // A sample may end within quotes.
  }
  return commas > points ? 'comma' : 'point'
}
