import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { readSchema } from './db-check.ts'
import { locksOf } from './locks.ts'
import { type Statement, statementsOf } from './statements.ts'
import { withoutUnchanged } from './unchanged.ts'

const db = new URL('../../db/', import.meta.url)
const committed = new URL('migrations/committed/', db)
const current = new URL('migrations/current.sql', db)
const root = fileURLToPath(new URL('../..', import.meta.url))
const squawk = fileURLToPath(new URL('../../node_modules/.bin/squawk', import.meta.url))

const committedTexts = () =>
  readdirSync(committed)
    .sort()
    .map(file => readFileSync(new URL(file, committed), 'utf8'))

/** Whether a text consists of comments. Lines that begin with --! are graphile-migrate's. */
const isEmpty = (text: string) => text.split('\n').every(line => /^\s*(--(?!!).*)?$/.test(line))

/**
 * The next migration: db/migrations/current.sql and, after it, the statements of db/schema/ that no migration has run as
 * they are. One that cannot run in a transaction is a single statement and stays as it is. Undefined: there is nothing.
 */
export async function nextMigration(): Promise<string | undefined> {
  const own = readSchema(fileURLToPath(current))
  if (/^--! no-transaction/m.test(own)) return own
  const included = [...own.matchAll(/^--! Included (.*)$/gm)].map(([, name]) => name)
  const rest = readSchema(fileURLToPath(new URL('schema.sql', db)))
    .split(/^(?=--! Included )/m)
    .filter(part => !included.includes(/^--! Included (.*)\n/.exec(part)?.[1]))
  const text = await withoutUnchanged([own, ...rest].join('\n'), committedTexts())
  return isEmpty(text) ? undefined : text
}

/** Puts a migration into current.sql, with the locks that it takes on a database of the migrations before. */
export async function writeCurrent(text: string, ownerUrl: string): Promise<void> {
  const locks = /^--! no-transaction/m.test(text) ? [] : await locksOf(text, ownerUrl)
  writeFileSync(current, [text.trim(), ...locks.map(lock => `-- Lock: ${lock}`)].join('\n') + '\n')
}

/**
 * Whether squawk finds nothing in the next migration that would block traffic (.squawk.toml); it prints what it finds.
 * Without the tables that exist: it would take them for new ones, which nobody uses yet.
 */
export async function lintNext(text: string): Promise<boolean> {
  const tables = new Set(
    (await Promise.all(committedTexts().map(statementsOf))).flat().filter(isTable).map(objectOf),
  )
  const kept = (await statementsOf(text)).filter(
    statement => !isTable(statement) || !tables.has(objectOf(statement)),
  )
  const input = kept.map(statement => statement.text).join('\n')
  const stdio = ['pipe', 'inherit', 'inherit'] as const
  return (
    spawnSync(squawk, ['--stdin-filepath', 'the next migration'], { input, stdio: [...stdio], cwd: root })
      .status === 0
  )
}
const isTable = ({ bare }: Statement) => /^create table /i.test(bare)
const objectOf = ({ objects }: Statement) => objects.join()
