// A PostgreSQL for as long as a script runs.
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startEmbedded } from '../../src/database/embedded.ts'

/** Runs `work` on the server of ADMIN_DATABASE_URL, or on an embedded one in `.data/<folder>` that is removed afterwards. */
export async function onServer<T>(folder: string, work: (adminUrl: string) => Promise<T>): Promise<T> {
  const given = process.env.ADMIN_DATABASE_URL
  return given === undefined ? onEmbedded(folder, work) : work(given)
}

/** Runs `work` on an embedded server in `.data/<folder>` that is removed afterwards. */
export async function onEmbedded<T>(folder: string, work: (adminUrl: string) => Promise<T>): Promise<T> {
  // Always the same folder: if this process is killed, the next run cleans up after it.
  const root = fileURLToPath(new URL(`../../.data/${folder}`, import.meta.url))
  const embedded = await startEmbedded({ root, port: 0, settings: { fsync: 'off' } })
  try {
    return await work(embedded.adminUrl)
  } finally {
    await embedded.stop()
    // When started as root, the data may lie outside the folder.
    for (const path of [root, dirname(embedded.dataDir)]) await rm(path, { recursive: true, force: true })
  }
}
