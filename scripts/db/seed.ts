// `npm run seed` loads the demo into the database of MIGRATOR_DATABASE_URL and DATABASE_URL.
import { readArguments } from '../../src/arguments.ts'
import { demoEmail, demoPassword, seedDemo } from '../../src/demo/demo.ts'

readArguments(
  'Usage: npm run seed\nLoads the demo into the database of MIGRATOR_DATABASE_URL and DATABASE_URL, once.',
  {},
)
const { MIGRATOR_DATABASE_URL: migratorUrl, DATABASE_URL: apiUrl, NODE_ENV } = process.env
if (NODE_ENV === 'production') {
  console.error('The demo is not loaded in production, because its password is public.')
  process.exit(1)
}
if (!migratorUrl || !apiUrl) {
  console.error(
    'Set MIGRATOR_DATABASE_URL and DATABASE_URL. (npm start loads the demo into the embedded database automatically.)',
  )
  process.exit(1)
}
const loaded = await seedDemo({ migratorUrl, apiUrl }).catch((error: unknown) => {
  console.error(`The demo could not be loaded: ${error instanceof Error ? error.message : String(error)}`)
  process.exit(1)
})
console.log(
  loaded ? `Loaded. Sign in as ${demoEmail} with "${demoPassword}".` : 'The demo is already loaded.',
)
