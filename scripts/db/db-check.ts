// `npm run db:check` checks that the schema files and the committed migrations produce the same database.
// It builds one from each and prints the differences.
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { readArguments } from '../../src/arguments.ts'
import { remakeRows } from '../../src/database/beside-traffic.ts'
import { chooseContext, migrate } from '../../src/database/migrate.ts'
import { createDatabase, createRoles, dropDatabase, withUrl } from '../../src/database/provision.ts'
import { describe, newline } from '../../src/policies/facts.ts'
import { onServer } from './server.ts'

const include = /^--![ \t]*include[ \t]+(.*\.sql)[ \t]*$/
// graphile-migrate silently treats these as comments.
const almostInclude = /^\s*--\s*!\s*include\b|--\s*!\s*include\s+\S*\.sql\b/i

/** The text of a schema file with its includes resolved where graphile-migrate resolves them. */
export function readSchema(file: string, fixtures = join(dirname(file), 'migrations/fixtures')): string {
  return expand(file, fixtures, [])
}

function expand(file: string, fixtures: string, within: string[]): string {
  const path = realpathSync(file)
  const lines = readFileSync(path, 'utf8').trim().split(/\r?\n/)
  const expanded = lines.map((line, index) => {
    const where = `${file}:${index + 1}`
    const name = include.exec(line)?.[1]
    if (name === undefined) {
      if (!almostInclude.test(line)) return line
      throw new Error(
        `${where}: an include must start its line and end it with the file name: ${line.trim()}`,
      )
    }
    const target = join(fixtures, name)
    if (!existsSync(target)) throw new Error(`${where}: file not found: ${target}`)
    if ([...within, path].includes(realpathSync(target))) throw new Error(`${where}: ${name} includes itself`)
    return [
      `--! Included ${name}`,
      expand(target, fixtures, [...within, path]),
      `--! EndIncluded ${name}`,
    ].join('\n')
  })
  return expanded.join('\n')
}

/** The differences between two descriptions, with both versions of a fact next to each other. */
export function compare(schema: string[], migrations: string[]): string[] {
  const left = missing(schema, migrations)
  const right = missing(migrations, schema)
  return [
    ...left.map(fact => ({ fact, line: `only in schema files: ${shorten(fact, right)}` })),
    ...right.map(fact => ({ fact, line: `only in migrations: ${shorten(fact, left)}` })),
  ]
    .sort((a, b) => (subject(a.fact) < subject(b.fact) ? -1 : subject(a.fact) > subject(b.fact) ? 1 : 0))
    .map(({ line }) => line)
}

function missing(from: string[], others: string[]) {
  const known = new Set(others)
  return from.filter(fact => !known.has(fact))
}

function subject(fact: string) {
  return fact.slice(0, fact.indexOf(': '))
}

/** The differing lines of a fact that spans several lines, such as a function. */
function shorten(fact: string, others: string[]) {
  const counterpart = others.find(other => subject(other) === subject(fact))
  const lines = fact.split(newline)
  if (counterpart === undefined || lines.length === 1) return fact
  const theirs = counterpart.split(newline)
  const least = Math.min(lines.length, theirs.length)
  let first = 0
  while (first < least && lines[first] === theirs[first]) first++
  let same = 0
  while (same < least - first && lines.at(-1 - same) === theirs.at(-1 - same)) same++
  const differing = lines.slice(first, lines.length - same)
  if (first === 0) return differing.join(newline)
  return `${subject(fact)}, line ${first + 1}: ${differing.join(newline).trim() || '(no such line)'}`
}

/** Creates both databases on the server of a superuser's URL, compares them and drops them. */
export async function checkDatabases({ adminUrl, schemaFile }: { adminUrl: string; schemaFile: string }) {
  const text = readSchema(schemaFile)
  const fromSchema = await built('schema', async url => {
    await run(text, url)
    await chooseContext(url)
    await remakeRows(url)
  })
  const fromMigrations = await built('migrations', async url => {
    await migrate(url)
  })
  return { facts: fromSchema.length, differences: compare(fromSchema, fromMigrations) }

  async function built(source: string, build: (url: string) => Promise<void>) {
    const database = `callboard_check_${source}_${process.pid}`
    await createDatabase(adminUrl, database)
    try {
      await build(asOwner(withUrl(adminUrl, { database })))
      const sql = postgres(withUrl(adminUrl, { database }), { max: 1 })
      return await sql.begin('read only', describe).finally(() => sql.end())
    } finally {
      await dropDatabase(adminUrl, database)
    }
  }
}

/** The owner cannot log in: the migrator becomes the owner when it connects, and so does this superuser. */
export function asOwner(url: string) {
  const changed = new URL(url)
  changed.searchParams.set('options', '-c role=callboard_owner')
  return changed.href
}

// File by file, because most SQL errors do not say where they occurred.
async function run(text: string, url: string) {
  const sql = postgres(url, { max: 1, onnotice: () => undefined })
  const files = ['the schema file']
  try {
    await sql.begin(async tx => {
      for (const part of text.split(/^(?=--! (?:End)?Included )/m)) {
        const [, end, name] = /^--! (End)?Included (.*)/.exec(part) ?? []
        if (end !== undefined) files.pop()
        else if (name !== undefined) files.push(name)
        await tx.unsafe(part)
      }
    })
  } catch (error) {
    throw new Error(`${files.at(-1)}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  } finally {
    await sql.end()
  }
}

const usage = `Usage: npm run db:check
Builds one database from db/schema/ and one from the migrations, on the server of ADMIN_DATABASE_URL or an embedded
one, and prints every difference. Exits with 1 if there is any.`

async function main() {
  readArguments(usage, {})
  const schemaFile = fileURLToPath(new URL('../../db/schema.sql', import.meta.url))
  const { facts, differences } = await onServer('check', async adminUrl => {
    await createRoles(adminUrl)
    return checkDatabases({ adminUrl, schemaFile })
  })
  if (differences.length === 0) {
    console.log(`the schema files and the migrations agree: ${facts} facts`)
    return
  }
  console.error(differences.join('\n'))
  console.error(`the schema files and the migrations differ in ${differences.length} facts`)
  process.exitCode = 1
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  })
}
