// `npm run audit:policies -- --migration`: a database of its own is migrated up to the migration, then with it, and both
// are described and checked. It is never the server of ADMIN_DATABASE_URL, because that is the one of the live database.
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import postgres from 'postgres'
import { asCommitted, type Committed, committedMigrations } from '../../src/database/committed.ts'
import { migrate } from '../../src/database/migrate.ts'
import { createDatabase, createRoles, withUrl } from '../../src/database/provision.ts'
import { root } from '../../src/root.ts'
import type { Report } from '../../src/policies/audit.ts'
import { type Exception, except } from '../../src/policies/exceptions.ts'
import { describe, describeCluster } from '../../src/policies/facts.ts'
import { type Finding, inOrder } from '../../src/policies/finding.ts'
import { migrationFindings } from '../../src/policies/judge-migration.ts'
import { checkRules } from '../../src/policies/rules/rules.ts'
import { asOwner } from '../db/db-check.ts'
import { nextMigration } from '../db/next-migration.ts'
import { onEmbedded } from '../db/server.ts'

/** There is no such migration. */
export class NoSuchMigration extends Error {
  override name = 'NoSuchMigration'
}

/** A migration, and those before it. */
interface Chosen {
  before: Committed[]
  /** undefined: there is nothing that a next one would do. */
  one: { file: string; text: string } | undefined
}

async function choose(name: string): Promise<Chosen> {
  const committed = await committedMigrations()
  if (name === 'next') {
    const text = await nextMigration()
    const file = `${String(committed.length + 1).padStart(6, '0')}-next.sql`
    const one = text === undefined ? undefined : { file, text: asCommitted(text, committed.at(-1)?.hash) }
    return { before: committed, one }
  }
  const at = name === 'latest' ? committed.length - 1 : committed.findIndex(({ file }) => file === name)
  const one = committed[at]
  if (one === undefined)
    throw new NoSuchMigration(
      `--migration: there is no migration "${name}"; say next, latest, or the name of a file in db/migrations/committed/`,
    )
  return { before: committed.slice(0, at), one }
}

interface Described {
  server: string
  facts: string[]
  broken: Finding[]
  unchecked: string[]
}

const look = (url: string): Promise<Described> => {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  return sql
    .begin('read only', async tx => {
      const [{ server }] = await tx<[{ server: string }]>`select current_setting('server_version') as server`
      const facts = [...(await describe(tx)), ...(await describeCluster(tx))]
      // Before the first migration there is nothing to check.
      const isEmpty = !facts.some(fact => fact.startsWith('schema app owner'))
      const { findings: broken, unchecked } = isEmpty
        ? { findings: [], unchecked: [] }
        : await checkRules(tx, { carrier: 'guarded', isHosted: false })
      return { server, facts, broken, unchecked }
    })
    .finally(() => sql.end())
}

/** Says what a migration of the checkout changes: `next`, `latest`, or a file. Throws NoSuchMigration. */
export async function auditMigration(name: string, exceptions: Exception[]): Promise<Report> {
  const { before, one } = await choose(name)
  const folder = await mkdtemp(join(tmpdir(), 'callboard-migrations-'))
  try {
    await mkdir(join(folder, 'committed'))
    const write = ({ file, text }: { file: string; text: string }) =>
      writeFile(join(folder, 'committed', file), text)
    await cp(new URL('db/migrations/fixtures', root), join(folder, 'fixtures'), { recursive: true })
    await Promise.all(before.map(write))
    const [was, is] = await onEmbedded('audit-migration', async adminUrl => {
      await createRoles(adminUrl)
      await createDatabase(adminUrl, 'callboard_migration')
      const url = withUrl(adminUrl, { database: 'callboard_migration' })
      const run = () => migrate(asOwner(url), undefined, { folder: pathToFileURL(`${folder}/`) })
      if (before.length > 0) await run()
      const earlier = await look(url)
      if (one === undefined) return [earlier, earlier]
      await write(one)
      await run()
      return [earlier, await look(url)]
    })
    const known = new Set(was.broken.map(({ id }) => id))
    const found = [...migrationFindings(was.facts, is.facts), ...is.broken.filter(({ id }) => !known.has(id))]
    const { findings, excepted } = except(found, exceptions)
    return {
      at: new Date().toISOString(),
      database: one === undefined ? 'No migration is pending' : `The migration ${one.file}`,
      server: is.server,
      carrier: 'guarded',
      parts: ['drift', 'rules'],
      isReadOnly: false,
      facts: is.facts.length,
      findings: inOrder(findings),
      excepted,
      unused: [],
      blind: is.unchecked.map(reason => `rule: ${reason}`),
      outside: [],
      why: {},
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
