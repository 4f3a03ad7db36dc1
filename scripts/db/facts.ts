// `npm run describe` prints what the database of ADMIN_DATABASE_URL, a superuser's login, consists of: tables,
// policies, functions, grants, reference rows, how contexts are carried, and what it needs of its server (roles,
// memberships, settings, privileges on databases), one fact per line, sorted, for comparing two databases.
import postgres from 'postgres'
import { readArguments } from '../../src/arguments.ts'
import { describe, describeCluster } from '../../src/policies/facts.ts'

readArguments(
  "Usage: npm run describe\nPrints what the database of ADMIN_DATABASE_URL, a superuser's login, and its server consist of, one fact per line.",
  {},
)
const { ADMIN_DATABASE_URL: url } = process.env
if (url === undefined) {
  console.error("Set ADMIN_DATABASE_URL to a superuser's connection to the database.")
  process.exit(1)
}
const sql = postgres(url, { max: 1, onnotice: () => {} })
try {
  const facts = await sql.begin('read only', async tx => [
    ...(await describe(tx)),
    ...(await describeCluster(tx)),
  ])
  console.log(facts.sort().join('\n'))
} finally {
  await sql.end()
}
