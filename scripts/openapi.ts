// `npm run openapi` prints the OpenAPI document; `npm run openapi -- some/openapi.json` writes it
// to a file. It needs no database: the routes are all that it asks.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { buildApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { createPool } from '../src/database/pool.ts'

const config = readConfig({ LOG_LEVEL: 'silent', PUBLIC_URL: process.env['PUBLIC_URL'] })
// A pool connects when it is used, and nothing uses this one.
const pool = createPool({ url: '', size: 1, deadline: 1, prepare: false, applicationName: 'openapi' })
const app = await buildApp({
  config,
  pool,
  exportPool: pool,
  jwtSecret: 'signs nothing, because nobody asks for it',
})
await app.ready()
const text = `${JSON.stringify(app.swagger(), null, 2)}\n`
await app.close()

const file = process.argv[2]
if (file === undefined) {
  process.stdout.write(text)
} else {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text)
}
