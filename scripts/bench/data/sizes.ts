import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'

/** The amount of data: three finance records and five events per show; one organization has a tenth of everything. */
export interface Size {
  organizations: number
  shows: number
}

export const sizes = {
  full: { organizations: 1000, shows: 1_000_000 },
  small: { organizations: 50, shows: 10_000 },
} satisfies Record<string, Size>

/** The database name for a size. */
export const nameOf = ({ organizations, shows }: Size) => `callboard_bench_${organizations}_${shows}`

/** A fingerprint of what the data depends on: if it changes, the database is filled again. */
export function fingerprint(): string {
  const hash = createHash('sha256')
  for (const folder of ['../../../db/migrations/committed/', '../../../db/', './fill/', './'])
    for (const name of readdirSync(new URL(folder, import.meta.url)).sort())
      if (/\.sql$/.test(name) || name === 'fill.ts')
        hash.update(readFileSync(new URL(folder + name, import.meta.url)))
  return hash.digest('hex').slice(0, 16)
}
