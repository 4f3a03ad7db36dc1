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
  const { code = '', message } = error as NodeJS.ErrnoException
  // Whatever a migration does wrong is shown in full; a server that does not let us in, in a line.
  if (!/^(28|3D|57P|E[A-Z])/.test(code)) throw error
  console.error(`MIGRATOR_DATABASE_URL: cannot connect: ${message}`)
  process.exit(1)
})
