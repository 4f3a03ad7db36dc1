import { type Statement, statementsOf } from './statements.ts'

/** The statements that the last migration with any of them ran, by schema file and object. */
type History = Map<string, string[]>

/** Statements of a file that name no object, such as calls of app_private.tenant_table, are kept under this name. */
const calls = 'calls'
const keyOf = (file: string, object: string) => `${object} in ${file}`
const objectsOf = ({ objects }: Statement) => (objects.length === 0 ? [calls] : objects)

/** An index that a migration made concurrently is that of the schema file, whichever it is in. */
const anyFile = '*'
const isConcurrent = ({ bare }: Statement) => /^create (unique )?index concurrently\b/i.test(bare)
const plain = (bare: string) => bare.replace(/\bindex concurrently\b/i, 'index').replaceAll(/\s+/g, ' ')

/** Statements of schema files by file and object. */
function grouped(statements: Statement[]): History {
  const groups: History = new Map()
  for (const statement of statements) {
    const { file, bare } = statement
    if (file === undefined) continue
    for (const object of objectsOf(statement)) {
      const key = keyOf(file, object)
      groups.set(key, [...(groups.get(key) ?? []), bare])
    }
  }
  return groups
}

/** What was written into a migration by hand may change or drop an object: its statements are no longer as they ran. */
function forget({ objects, cascades }: Statement, history: History) {
  for (const key of [...history.keys()])
    if (
      cascades ||
      objects.some(object => key.startsWith(`${object} in `) || key.includes(` of ${object} in `))
    )
      history.delete(key)
}

/** What migrations have run, oldest first. */
async function historyOf(migrations: string[]): Promise<History> {
  const history: History = new Map()
  for (const migration of migrations) {
    const statements = await statementsOf(migration)
    const last = statements.map(({ file }) => file !== undefined).lastIndexOf(true)
    for (const [index, statement] of statements.entries())
      if (statement.file === undefined && index < last) forget(statement, history)
    for (const [key, group] of grouped(statements))
      history.set(key, key.startsWith(calls) ? [...(history.get(key) ?? []), ...group] : group)
    for (const statement of statements.slice(last + 1)) {
      forget(statement, history)
      if (isConcurrent(statement))
        for (const object of statement.objects) history.set(keyOf(anyFile, object), [plain(statement.bare)])
    }
  }
  return history
}

/** The names of functions that are among these objects, and of all that call them, directly or not. */
function callers(changed: Statement[], all: Statement[]): Set<string> {
  const nameOf = ({ objects: [object = ''] }: Statement) => /^function (.*)\(/.exec(object)?.[1]
  const found = new Set(changed.map(nameOf).filter(name => name !== undefined))
  for (let before = -1; before < found.size;) {
    before = found.size
    for (const statement of all) {
      const name = nameOf(statement)
      if (name !== undefined && !found.has(name) && isCalling(statement, found)) found.add(name)
    }
  }
  return found
}
const isCalling = ({ bare }: Statement, names: Set<string>) =>
  [...names].some(name => bare.includes(`${name}(`))

/**
 * A migration, its includes expanded, without the statements of schema files that the migrations before it, oldest
 * first, have run as they are: CREATE OR REPLACE locks a view or a table against everybody even if nothing changes.
 * Calls of functions run again with anything else in their file, and if a function that they call has changed.
 */
export async function withoutUnchanged(migration: string, before: string[]): Promise<string> {
  const history = await historyOf(before)
  const statements = await statementsOf(migration)
  for (const statement of statements) if (statement.file === undefined) forget(statement, history)
  const groups = grouped(statements)
  const isAsItRan = (file: string, object: string) => {
    const group = groups.get(keyOf(file, object)) ?? []
    const ran = history.get(keyOf(file, object))
    if (ran !== undefined) return JSON.stringify(ran) === JSON.stringify(group)
    return JSON.stringify(history.get(keyOf(anyFile, object))) === JSON.stringify(group.map(plain))
  }
  const changed = statements.filter(
    ({ file, objects }) => file !== undefined && objects.some(object => !isAsItRan(file, object)),
  )
  const files = new Set(changed.map(({ file }) => file))
  const functions = callers(changed, statements)
  const kept = statements.filter(statement => {
    const { file, objects, bare } = statement
    if (file === undefined || changed.includes(statement)) return true
    if (objects.length > 0) return false
    return (
      files.has(file) || !history.get(keyOf(file, calls))?.includes(bare) || isCalling(statement, functions)
    )
  })
  return written(kept)
}

/** Statements as the text of a migration, with marks of their files: graphile-migrate keeps `--!` for its own. */
function written(statements: Statement[]): string {
  const lines: string[] = []
  let within: string | undefined
  for (const { file, text } of [...statements, { file: undefined, text: '' }]) {
    if (file !== within) {
      if (within !== undefined) lines.push(`-- EndIncluded ${within}`)
      if (file !== undefined) lines.push(`-- Included ${file}`)
      within = file
    }
    lines.push(text)
  }
  return lines.join('\n').trim() + '\n'
}
