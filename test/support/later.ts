import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Test } from 'tap'
import { asCommitted, committedMigrations } from '../../src/database/committed.ts'
import { root } from './program.ts'

/** The migrations that are committed. */
export const committed = await committedMigrations()

/** The name of the n-th migration after those that are committed. */
export const later = (n: number, name: string): string =>
  `${String(committed.length + n).padStart(6, '0')}-${name}.sql`

/** The hash that the first of them has as its predecessor's. */
export const latestHash = committed.at(-1)?.hash

/** A copy of the folder of migrations, with what is to be committed after them. */
export function withLater(t: Test, migrations: Record<string, string>): URL {
  const folder = t.testdir()
  const copy = join(folder, 'committed')
  mkdirSync(copy)
  cpSync(join(root, 'db/migrations/committed'), copy, { recursive: true, dereference: true })
  let previous = latestHash
  for (const [file, text] of Object.entries(migrations)) {
    const migration = asCommitted(text, previous)
    writeFileSync(join(copy, file), migration)
    previous = /^--! Hash: (.*)$/m.exec(migration)?.[1]
  }
  return pathToFileURL(`${folder}/`)
}
