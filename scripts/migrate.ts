// `npm run migrate` brings the database of MIGRATOR_DATABASE_URL to the newest migration.
import { readConfig } from '../src/config.ts'
import { migrate } from '../src/database/migrate.ts'

const { MIGRATOR_DATABASE_URL: url } = readConfig({
  MIGRATOR_DATABASE_URL: process.env['MIGRATOR_DATABASE_URL'],
})
if (url === undefined) {
  console.error(
    'Set MIGRATOR_DATABASE_URL to the connection of callboard_migrator. (npm start migrates the embedded database by itself.)',
  )
  process.exit(1)
}
await migrate(url, line => {
  console.log(line)
}).catch((error: unknown) => {
  // A migration that fails has been reported in detail; what is left is a connection that fails.
  console.error(`MIGRATOR_DATABASE_URL: ${error instanceof Error ? error.message : String(error)}`)
  process.exit(1)
})
