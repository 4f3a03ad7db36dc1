import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { root } from '../root.ts'

const ours = new URL('db/migrations/committed/', root)

/** A committed migration. */
export interface Committed {
  file: string
  hash: string
  text: string
}

/** A committed migration is not what was committed. */
export class EditedMigration extends Error {
  override name = 'EditedMigration'
}

/** The committed migrations, oldest first. Throws EditedMigration: what has been run cannot be changed any more. */
export async function committedMigrations(folder = ours): Promise<Committed[]> {
  const files = (await readdir(folder)).filter(file => file.endsWith('.sql')).sort()
  const migrations: Committed[] = []
  for (const file of files) {
    const text = await readFile(new URL(file, folder), 'utf8')
    const { Hash: hash = '', Previous: previous = '-' } = headersOf(text)
    const isFirst = previous === '-'
    if (previous !== (migrations.at(-1)?.hash ?? '-') || hash !== hashOf(text, isFirst ? '' : previous))
      throw new EditedMigration(
        `${file} is not what was committed: it was edited, or one before it is missing. Databases have run it as it was; restore the file, and write another migration.`,
      )
    migrations.push({ file, hash, text })
  }
  return migrations
}

const header = /^--! ([A-Za-z]+):(.*)$/

/** The lines at the beginning that graphile-migrate writes. */
function headersOf(text: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const [, name, value] = header.exec(line) ?? []
    if (name === undefined || value === undefined) break
    found[name] = value.trim()
  }
  return found
}

/** A text as the migration after the one with this hash. */
export const asCommitted = (text: string, previous?: string): string =>
  `--! Previous: ${previous ?? '-'}\n--! Hash: ${hashOf(`\n${text}`, previous ?? '')}\n\n${text}`

/** As graphile-migrate computes it: of the previous hash and what follows the headers. */
function hashOf(text: string, previous: string): string {
  const lines = text.split('\n')
  const body = lines.slice(lines.findIndex(line => !header.test(line))).join('\n')
  return `sha1:${createHash('sha1')
    .update(`${`${previous}\n${body.trim()}`.trim()}\n`)
    .digest('hex')}`
}
