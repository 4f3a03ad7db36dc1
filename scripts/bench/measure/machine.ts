import { cpus, totalmem } from 'node:os'
import postgres from 'postgres'

/** The machine and the versions that the figures depend on. */
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

export type Machine = Awaited<ReturnType<typeof machine>>

/** The same as a sentence. */
export function describe({ cpus, model, gigabytes, node, postgres }: Machine): string {
  const settings = ['shared_buffers', 'synchronous_commit', 'fsync'].map(
    name => `\`${name} = ${postgres[name]}\``,
  )
  return `${cpus} CPUs (${model}), ${gigabytes} GB, Node ${node}, PostgreSQL ${postgres['server_version']} with ${settings.join(', ')}; everything on this machine.`
}
