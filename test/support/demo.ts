import type { Test } from 'tap'
import { seedDemo } from '../../src/demo/demo.ts'
import { type Database, startDatabase } from './helper.ts'

/** A database with the demo, as the documents assume it, and a superuser's URL for it. */
export async function startDemo(t: Test): Promise<{ db: Database; url: string }> {
  const db = await startDatabase(t)
  await seedDemo({ migratorUrl: db.url('callboard_migrator'), apiUrl: db.url('callboard_api') })
  const url = new URL(process.env['ADMIN_DATABASE_URL'] ?? '')
  url.pathname = `/${db.name}`
  return { db, url: url.href }
}
