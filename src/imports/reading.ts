import { parse } from 'fast-csv'
import { type Header, headerWithin, isData, namesIn, readHeader, Unreadable } from './columns.ts'
import type { Dialect } from './dialect.ts'

/** The number of a line in a file, and its cells, without the empty ones. */
export type Line = [line: number, cells: Record<string, string>]

/**
 * How long a line can be, in characters. The parser begins again at the start of an unfinished line with every piece
 * of the file, so a missing quotation mark in a large one would keep the worker busy for minutes.
 */
const longest = 262_144

/** Decodes a file piece by piece. */
export async function* textOf(pieces: AsyncIterable<Buffer>, encoding: string): AsyncGenerator<string> {
  const decoder = new TextDecoder(encoding)
  for await (const piece of pieces) yield decoder.decode(piece, { stream: true })
  yield decoder.decode()
}

/** The lines of a CSV file (RFC 4180), in batches, and its header before these. Throws Unreadable if it is not one. */
export async function* linesOf(
  text: AsyncIterable<string>,
  { delimiter }: Pick<Dialect, 'delimiter'>,
  resource: string,
  batch: number,
  onHeader: (header: Header) => void = () => {},
): AsyncGenerator<Line[]> {
  const rows = parse({ delimiter, ignoreEmpty: false })
  let line = 1
  // One piece at a time: the parser's own buffer takes sixteen, whatever their size.
  const feed = async () => {
    for await (const piece of text) {
      await new Promise<void>((resolve, reject) => {
        rows.write(piece, error => {
          if (error) reject(error)
          else resolve()
        })
      })
      // What the parser keeps of an unfinished line; its types omit it.
      if ((rows as unknown as { lines: string }).lines.length > longest)
        throw new Unreadable(
          `Invalid CSV from line ${line}: a quotation mark is missing, or a line is longer than ${longest} characters.`,
        )
    }
    rows.end()
  }
  // The loop below throws it.
  feed().catch((error: unknown) => rows.destroy(error as Error))
  const search = new HeaderSearch(resource)
  let header: Header | undefined
  let lines: Line[] = []
  try {
    for await (const row of rows as AsyncIterable<string[]>) {
      const at = line
      // A quoted cell may span several lines.
      line += 1 + row.reduce((breaks, cell) => breaks + (cell.match(/\r\n|\r|\n/g)?.length ?? 0), 0)
      if (row.every(cell => cell.trim() === '')) continue
      if (header !== undefined) lines.push([at, cellsOf(row, header)])
      else if ((header = search.look(at, row)) !== undefined) onHeader(header)
      if (lines.length >= batch) {
        yield lines
        lines = []
      }
    }
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('Parse Error'))
      throw new Unreadable(
        `Invalid CSV from line ${line}: a quotation mark is missing, or there is one too many.`,
      )
    throw error
  }
  if (header === undefined) throw search.failure
  if (lines.length > 0) yield lines
}

/** Finds the header among the first lines. */
class HeaderSearch {
  /** Why the line that is most like a header is none. */
  failure: Error = new Unreadable('The file is empty.')
  readonly #resource: string
  readonly #above: [line: number, row: string[]][] = []
  #best = -1

  constructor(resource: string) {
    this.#resource = resource
  }

  look(line: number, row: string[]): Header | undefined {
    let header: Header
    try {
      header = readHeader(row, this.#resource)
    } catch (error) {
      const names = namesIn(row, this.#resource)
      if (names > this.#best) {
        this.#best = names
        this.failure = error as Error
      }
      this.#above.push([line, row])
      if (this.#above.length >= headerWithin) throw this.failure
      return undefined
    }
    // A sorted sheet has its header anywhere.
    const lost = this.#above.find(([, cells]) => isData(cellsOf(cells, header), this.#resource))
    if (lost)
      throw new Unreadable(`Line ${lost[0]} has data, but is above the header, which is in line ${line}.`)
    return header
  }
}

/** What exports put before text that a spreadsheet would evaluate: see app.csv_text. With it, a reference is another. */
const guard = /^'(?=[\t\n\r=+\-@＋－＝＠])/

function cellsOf(row: string[], { names }: Header): Record<string, string> {
  const cells: Record<string, string> = {}
  for (const [n, cell] of row.entries()) {
    // PostgreSQL's text has no NUL.
    const value = cell.trim().replace(guard, '').replaceAll('\0', '\uFFFD')
    if (value === '') continue
    const name = names[n]
    if (name !== undefined) cells[name] = value
    // Cells beyond the header get an empty name, which the check reports.
    else if (n >= names.length) cells[''] = value
  }
  return cells
}
