import { cpus, totalmem } from 'node:os'
import postgres from 'postgres'

/** What the figures depend on. */
export async function machine(adminUrl: string) {
  const sql = postgres(adminUrl, { max: 1 })
  try {
    const settings = await sql<{ name: string; value: string }[]>`
      select name, current_setting(name) as value from unnest(array['server_version', 'shared_buffers', 'synchronous_commit', 'fsync', 'jit']) name`
    return {
      cpus: cpus().length,
      model: cpus()[0]?.model ?? 'unknown',
      gigabytes: Math.round(totalmem() / 2 ** 30),
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
      postgres: Object.fromEntries(settings.map(({ name, value }) => [name, value])),
    }
  } finally {
    await sql.end()
  }
}
