import type { Job, JobHelpers, TaskList } from 'graphile-worker'
import { detectDelimiter, detectEncoding, type Dialect, type Given } from './dialect.ts'
import { Unreadable } from './columns.ts'
import { Notation } from './notation.ts'
import { type Line, linesOf, textOf } from './reading.ts'
import { problems } from '../http/problems.ts'

interface Begun {
  resource: string
  options: Given
  lines: number
  chunks: number
}
type Query = JobHelpers['query']

/** Lines per statement: enough to make round trips negligible, few enough that each is quick. */
const batch = 1000
/** How much of a file is read to detect its dialect. */
const sampleSize = 65_536

async function begin(query: Query, id: string, step: 'check' | 'run'): Promise<Begun | null> {
  const { rows } = await query<{ begun: Begun | null }>('select app.begin_import($1, $2) as begun', [
    id,
    step,
  ])
  return rows[0]?.begun ?? null
}

async function* piecesOf(query: Query, id: string, chunks: number): AsyncGenerator<Buffer> {
  for (let n = 0; n < chunks; n += 1) {
    const { rows } = await query<{ piece: Buffer }>('select app.import_chunk($1, $2) as piece', [id, n])
    if (rows[0]) yield rows[0].piece
  }
}

/** How to read the file. What is found before it is known that it cannot be read is in `found`. */
async function dialectOf(begun: Begun, pieces: () => AsyncIterable<Buffer>, found: Given): Promise<Dialect> {
  const { options, resource } = begun
  const encoding = (found.encoding = options.encoding ?? (await detectEncoding(pieces())))
  let sample = ''
  for await (const text of textOf(pieces(), encoding)) {
    sample = (sample + text).slice(0, sampleSize)
    if (sample.length === sampleSize) break
  }
  const delimiter = (found.delimiter = options.delimiter ?? detectDelimiter(sample, resource))
  const notation = new Notation(resource, options)
  const onHeader = ({ ignored }: { ignored: string[] }) => {
    if (ignored.length > 0) found.ignored_columns = ignored.slice(0, 100).map(name => name.slice(0, 100))
  }
  // To the end only where nothing says what numbers or dates mean.
  for await (const lines of linesOf(textOf(pieces(), encoding), { delimiter }, resource, batch, onHeader)) {
    notation.weigh(lines)
    if (!notation.isOpen) break
  }
  const { dates } = notation
  return { ...options, ...found, encoding, delimiter, decimal: notation.decimal, ...(dates && { dates }) }
}

/** Stages the lines of an uploaded file; a retry starts over. */
async function check(id: string, helpers: JobHelpers): Promise<void> {
  const query: Query = (text, values) => helpers.query(text, values)
  const begun = await begin(query, id, 'check')
  if (!begun) return
  const pieces = () => piecesOf(query, id, begun.chunks)
  let dialect: Given = { ...begun.options }
  const stage = async (lines: Line[]) => {
    const { rows } = await query<{ goes_on: boolean }>('select app.stage_import($1, $2, $3) as goes_on', [
      id,
      dialect,
      JSON.stringify(lines),
    ])
    return rows[0]?.goes_on === true
  }
  let failure: string | null = null
  // While the database checks a batch, the next one is read.
  let staged = Promise.resolve(true)
  try {
    const found = await dialectOf(begun, pieces, dialect)
    dialect = found
    const text = textOf(pieces(), found.encoding)
    for await (const lines of linesOf(text, found, begun.resource, batch)) {
      if (!(await staged)) return
      staged = stage(lines)
      // It is thrown where it is awaited.
      staged.catch(() => {})
    }
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    failure = error.message
  }
  if (!(await staged)) return
  await query('select app.finish_check($1, $2, $3)', [id, dialect, failure])
}

/** Enters the good lines, all in one transaction. */
async function run(id: string, helpers: JobHelpers): Promise<void> {
  const query: Query = (text, values) => helpers.query(text, values)
  if (!(await begin(query, id, 'run'))) return
  try {
    await helpers.withPgClient(async client => {
      await client.query('begin')
      try {
        let [after, done, created, existing] = [0, 0, 0, 0]
        let noted: Promise<unknown> = Promise.resolve()
        for (;;) {
          const { rows } = await client.query<{ last_line: number | null; entered: number; there: number }>(
            'select last_line, entered, there from app.enter_lines($1, $2, $3)',
            [id, after, batch],
          )
          const [entered] = rows
          if (entered?.last_line == null) break
          after = entered.last_line
          created += entered.entered
          existing += entered.there
          done += entered.entered + entered.there
          await noted
          // On another connection, while the next lines are entered.
          noted = query('select app.note_import_progress($1, $2)', [id, done])
          noted.catch(() => {})
        }
        await noted
        await client.query('select app.finish_import($1, $2, $3)', [id, created, existing])
        await client.query('commit')
      } catch (error) {
        await client.query('rollback').catch(() => {})
        throw error
      }
    })
  } catch (error) {
    const because = refusalOf(error)
    if (because === undefined) throw error
    await query('select app.finish_import($1, 0, null, $2)', [id, because])
  }
}

/** Why the database refuses the lines, in plain words; undefined if a retry may help. */
function refusalOf(error: unknown): string | undefined {
  const { code = '', constraint, detail, message } = error as Record<string, string | undefined> & Error
  if (/^PT4/.test(code)) return detail || problems[message]?.title || message
  if (/^2[23]/.test(code))
    return problems[constraint ?? '']?.title ?? 'A line conflicts with data stored since.'
  return undefined
}

/** Gives up visibly: an import whose job is not retried any more is marked as failed. */
const lastTry =
  (work: (id: string, helpers: JobHelpers) => Promise<void>, step: 'check' | 'run') =>
  async (payload: unknown, helpers: JobHelpers) => {
    const { import: id } = payload as { import: string }
    try {
      await work(id, helpers)
    } catch (error) {
      const { attempts, max_attempts }: Job = helpers.job
      const because = 'The import failed for technical reasons unrelated to the file. Try again.'
      if (attempts >= max_attempts)
        await helpers.query(
          step === 'check'
            ? `select app.finish_check($1, '{}', $2)`
            : 'select app.finish_import($1, 0, null, $2)',
          [id, because],
        )
      throw error
    }
  }

/** The tasks behind imports: see db/schema/imports/import_running.sql. */
export const importTasks: TaskList = {
  check_import: lastTry(check, 'check'),
  run_import: lastTry(run, 'run'),
}
