// `npm run openapi` prints the OpenAPI document; `npm run openapi -- some/openapi.json` writes it
// to a file. It needs no database: only the routes are asked.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readArguments } from '../src/arguments.ts'
import { readConfig } from '../src/config.ts'
import { createPool } from '../src/database/pool.ts'

/** The OpenAPI document as text. */
export async function openapi(): Promise<string> {
  // Not before it is needed: who asks how the program is called does not wait for all of the API.
  const { buildApp } = await import('../src/app.ts')
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
  return text
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const usage = 'Usage: npm run openapi -- [<file>]\nWrites the OpenAPI document to the file, or prints it.'
  const [file] = readArguments(usage, {}, 1).positionals
  const text = await openapi()
  if (file === undefined) {
    process.stdout.write(text)
  } else {
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
  }
}
