// How node-postgres connects: graphile-worker requires it, everything else uses pool.ts.
import type { PoolConfig } from 'pg'

/** Whether a server without TLS is acceptable. */
export const isOptional = (url: string) =>
  ['prefer', 'allow'].includes(new URL(url).searchParams.get('sslmode') ?? '')

/** The modes of socket.ts, which are libpq's; node-postgres gives the same names other meanings. */
export function tls(url: string, plain: boolean): PoolConfig {
  const bare = new URL(url)
  const mode = bare.searchParams.get('sslmode') ?? 'disable'
  bare.searchParams.delete('sslmode')
  const checked = !['prefer', 'allow', 'require'].includes(mode)
  return {
    connectionString: bare.href,
    ssl: mode === 'disable' || plain ? false : { rejectUnauthorized: checked },
  }
}
