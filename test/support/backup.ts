// The recipes of docs/operate/backup.md, and what a copy of a database is compared by.
import { execFile } from 'node:child_process'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { describe } from '../../src/policies/facts.ts'
import { run } from '../../src/database/embedded/run.ts'
import { bin, password } from './clusters.ts'
import { fences, read, root } from './documents.ts'
import type { Database, Person, TestServer } from './helper.ts'
import { programArgs } from './program.ts'

/** The commands of the document of which one begins so, as written there. */
export function recipe(command: string): string {
  const found = fences(read('docs/operate/backup.md')).find(
    ({ language, text }) => language === 'sh' && text.split('\n').some(line => line.startsWith(command)),
  )
  if (!found) throw new Error(`docs/operate/backup.md has no ${command}`)
  return found.text
}

/** Runs commands of the document at the server of a superuser's URL. */
export async function operate(t: Test): Promise<(adminUrl: string, commands: string) => Promise<string>> {
  const folder = t.testdir()
  await symlink(join(root, 'db'), join(folder, 'db'))
  return (adminUrl, commands) => {
    const url = new URL(adminUrl)
    const connection = `PGHOST=${url.hostname} PGPORT=${url.port} PGUSER=${url.username} PGPASSWORD=${url.password}`
    // psql would ask at the terminal.
    const script = commands.replaceAll(`'\\password backup'`, `"alter role backup password '${password}'"`)
    return run('/bin/sh', ['-ec', `cd '${folder}'; export ${connection} PATH=${bin}:$PATH; ${script}`])
  }
}

/** `npm run restored` at a database, with the migrator's login. */
export const restored = ({ url }: Pick<Database, 'url'>, ...args: string[]) =>
  new Promise<{ code: unknown; output: string }>(resolve => {
    const env = { PATH: process.env['PATH'], MIGRATOR_DATABASE_URL: url('callboard_migrator') }
    const given = [...programArgs('scripts/restored.ts'), ...args]
    execFile(process.execPath, given, { env }, (error, out, err) => {
      resolve({ code: error === null ? 0 : error.code, output: out + err })
    })
  })

/** Everything that somebody sees of the figures, by path. */
export async function figuresOf({ call }: TestServer, token: string) {
  const paths = ['activity', 'dashboard', 'finance', 'finance/categories', 'finance/shows', 'integrations']
  const answers = new Map<string, [status: number, text: string]>()
  for (const path of [...paths, 'refresh', 'report', 'shows', 'export']) {
    const { status, text } = await call(`GET /api/analytics/${path}`, { token })
    // How old they are, when the page was made, and until when a link works, differs.
    answers.set(path, [status, text.replaceAll(/"(as_of|link)" ?: ?"[^"]*"|\d\d:\d\d/g, '')])
  }
  return answers
}

/** What the database consists of; PostgreSQL prints a restored one with other parentheses and more names. */
export const factsOf = async ({ admin }: Database) =>
  (await admin.begin('read only', describe)).map(fact => fact.replaceAll(/[()]| AS \w+(?=[ ,])/g, ''))

/** What the auditor finds in the event log of somebody's organization. */
export async function verified(db: Database, { organization }: Person) {
  const [row] = await db.as('callboard_auditor')<[{ found: { ok: boolean; checked: number } }]>`
    select app.verify_events(${organization}) as found`
  return row.found
}
