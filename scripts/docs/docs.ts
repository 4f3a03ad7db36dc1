// `npm run docs` writes the pages of docs/reference/ that are made from the database, the
// OpenAPI document and the problems, and the facts that a live database is compared with. It needs no database of yours: it migrates one on an embedded server.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { readArguments } from '../../src/arguments.ts'
import { createDatabase, createRoles, dropDatabase, withUrl } from '../../src/database/provision.ts'
import { committedText } from '../../src/policies/committed.ts'
import { migrate } from '../../src/database/migrate.ts'
import { asOwner } from '../db/db-check.ts'
import { onServer } from '../db/server.ts'
import { openapi } from '../openapi.ts'
import { readCatalogue, readPermissions } from './catalogue.ts'
import { type Document, permissionsPage } from './permissions-page.ts'
import { problemsPage } from './problems-page.ts'
import { schemaPage } from './schema-page.ts'
import { readSubjects } from './subjects.ts'

const root = new URL('../../', import.meta.url)

/** The pages by file, made from a migrated database that a superuser has opened. */
export async function pages(sql: postgres.Sql): Promise<Map<string, string>> {
  // They come with all subjects of the API, which --help does not need.
  const { problems } = await import('../../src/http/problems.ts')
  const subjects = readSubjects(fileURLToPath(new URL('db', root)))
  const document = JSON.parse(await openapi()) as Document
  return new Map([
    ['docs/reference/permissions.md', permissionsPage(await readPermissions(sql), document)],
    ['docs/reference/problems.md', problemsPage(problems)],
    ['docs/reference/schema.md', schemaPage(await readCatalogue(sql), subjects, problems)],
  ])
}

async function main() {
  readArguments(
    'Usage: npm run docs\nWrites the pages of docs/reference/ that are made from the schema, the OpenAPI document and the problems.',
    {},
  )
  const made = await onServer('docs', async adminUrl => {
    const database = `callboard_docs_${process.pid}`
    await createRoles(adminUrl)
    await createDatabase(adminUrl, database)
    const sql = postgres(withUrl(adminUrl, { database }), { max: 1 })
    try {
      await migrate(asOwner(withUrl(adminUrl, { database })))
      return new Map([...(await pages(sql)), ['db/policies/committed.txt', await committedText(sql)]])
    } finally {
      await sql.end()
      await dropDatabase(adminUrl, database)
    }
  })
  for (const [file, text] of made) {
    const path = fileURLToPath(new URL(file, root))
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
    console.log(file)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
