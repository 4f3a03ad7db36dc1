// `npm run bench -- --beside` runs this in another checkout, with that checkout's packages: its own code starts a
// server, and fills a database for today with the rows that all checkouts generate. It tells its parent how to reach
// them, and stops the server when the parent disconnects.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Size } from './sizes.ts'

/** What the parent wants, as JSON in the first argument. */
export interface Wanted {
  size: Size
  keep: boolean
  day: string
}
/** What it gets. */
export interface Hosted {
  name: string
  day: string
  seconds: number
  adminUrl: string
  /** The URL of each role. */
  urls: Record<string, string>
  schedule: { task: string; sql: string }[]
}

const { size, keep, day } = JSON.parse(process.argv[2] ?? '') as Wanted
// Ctrl-C reaches this process, too; the parent says when it is time.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})

/** Loads a module of this checkout from the first of these paths that exists: older ones have fewer folders. */
async function load(...paths: string[]): Promise<unknown> {
  const found = paths.find(path => existsSync(join(process.cwd(), path)))
  if (found === undefined) throw new Error(`${process.cwd()} has no ${paths[0] ?? ''}`)
  return import(pathToFileURL(join(process.cwd(), found)).href)
}
const { startServer, prepare, roles } = (await load(
  'scripts/bench/data/database.ts',
  'scripts/bench/database.ts',
)) as typeof import('./database.ts')
const { dropDatabase } = (await load(
  'src/database/provision.ts',
)) as typeof import('../../../src/database/provision.ts')
const { schedule } = (await load('src/jobs/schedule.ts')) as typeof import('../../../src/jobs/schedule.ts')

const server = await startServer()
process.on('disconnect', () => void server.stop().then(() => process.exit()))
let filled = await prepare(server, size, keep)
if (filled.day !== day) {
  await dropDatabase(server.adminUrl, filled.name)
  filled = await prepare(server, size, keep)
}
const { name, seconds, adminUrl, url } = filled
process.send?.({
  name,
  day: filled.day,
  seconds,
  adminUrl,
  urls: Object.fromEntries(roles.map(role => [role, url(role)])),
  schedule: schedule.map(({ task, sql }) => ({ task, sql })),
} satisfies Hosted)
