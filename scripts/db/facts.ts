// `npm run describe` prints what the database of ADMIN_DATABASE_URL, a superuser's login, consists of: tables,
// policies, functions, grants, reference rows and how contexts are carried, one fact per line, sorted, for
// comparing two databases.
import postgres from 'postgres'
import { readArguments } from '../../src/arguments.ts'
import { describe } from './describe.ts'

readArguments(
  "Usage: npm run describe\nPrints what the database of ADMIN_DATABASE_URL, a superuser's login, consists of, one fact per line.",
  {},
)
const { ADMIN_DATABASE_URL: url } = process.env
if (url === undefined) {
  console.error("Set ADMIN_DATABASE_URL to a superuser's connection to the database.")
  process.exit(1)
}
const sql = postgres(url, { max: 1, onnotice: () => {} })
try {
  console.log((await sql.begin('read only', describe)).join('\n'))
} finally {
  await sql.end()
}
