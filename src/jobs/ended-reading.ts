// Reads files of what has ended (src/jobs/ended.ts), and whether they tell everything that has ended since a copy.

/** Something that has ended: what it was, its id and when, and more, depending on what it was. */
export interface Ended {
  what: string
  id: string
  at: string
  organization?: string
}

/** A line: what ended in a database between two times. Nothing that did is missing. */
export interface Line {
  origin: Record<string, string>
  from: string
  until: string
  ended: Ended[]
}

/** A copy: of which database it is, and until when it has everything. */
export interface Copy {
  origin: Record<string, string>
  until: string
}

/** Why a file cannot be used; the message is for the operator. */
export class Incomplete extends Error {
  override name = 'Incomplete'
}

/** How much may be missing at the end: a worker writes each minute, and the disaster comes between. */
const tail = 300_000

/** A line of a file, unless it is torn or something else. */
export function lineOf(text: string): Line | undefined {
  try {
    const line = JSON.parse(text) as Partial<Line> | null
    const isWhole = line?.origin && line.from && line.until && Array.isArray(line.ended)
    return isWhole ? (line as Line) : undefined
  } catch {
    return undefined
  }
}

const isSame = (a: Record<string, string>, b: Record<string, string>) =>
  Object.keys({ ...a, ...b }).every(key => a[key] === b[key])

/**
 * What the files say has ended since the copy was made, the newest of everything, and until when they say it. Throws
 * Incomplete unless they tell of every moment from the copy's last to the end of its original.
 */
export function endedSince(texts: string[], copy: Copy, served: Date): { ended: Ended[]; until: string } {
  const lines = texts
    .flatMap(text => text.split('\n'))
    .map(lineOf)
    .filter(line => line !== undefined)
  if (lines.length === 0) throw new Incomplete('It has no line of what has ended.')
  const own = lines.filter(line => isSame(line.origin, copy.origin))
  if (own.length === 0) throw new Incomplete('It is of another database.')
  // A database that was itself restored, or is new, has nothing to tell from before.
  const since = [copy.until, copy.origin['since'] ?? ''].sort(inTime).at(-1) ?? ''
  const needed = own
    .filter(({ until }) => inTime(until, since) >= 0)
    .sort((a, b) => inTime(a.from, b.from) || inTime(a.until, b.until))
  if (needed.length === 0)
    throw new Incomplete(
      `It ends at ${own
        .map(({ until }) => until)
        .sort(inTime)
        .at(-1)}, before the copy was made.`,
    )
  let until = since
  for (const line of needed) {
    if (inTime(line.from, until) > 0)
      throw new Incomplete(`It does not say what ended between ${until} and ${line.from}.`)
    if (inTime(line.until, until) > 0) until = line.until
  }
  if (served.getTime() - Date.parse(until) > tail)
    throw new Incomplete(
      `It ends at ${until}, and the original may have been served until ${served.toISOString()}. If it was not, say with --until until when it was.`,
    )
  return { ended: newest(needed), until }
}

/** Compares times as the database writes them, to the microsecond, which a Date does not have. */
function inTime(a: string, b: string): number {
  const difference = when(a) - when(b)
  return difference === 0 && a !== b ? (a < b ? -1 : 1) : difference
}

/** Nothing has been said about a database whose worker never ran: '-infinity'. */
function when(text: string): number {
  const time = Date.parse(text)
  return Number.isNaN(time) ? Number.NEGATIVE_INFINITY : time
}

function newest(lines: Line[]): Ended[] {
  const found = new Map<string, Ended>()
  for (const entry of lines.flatMap(({ ended }) => ended)) {
    const key = `${entry.what} ${entry.organization ?? ''} ${entry.id}`
    const known = found.get(key)
    if (!known || inTime(entry.at, known.at) >= 0) found.set(key, entry)
  }
  return [...found.values()]
}
