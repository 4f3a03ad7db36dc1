import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'

/** How much there is: three finance records and five events for each show; one organization has a tenth. */
export interface Size {
  organizations: number
  shows: number
}

export const sizes = {
  full: { organizations: 1000, shows: 1_000_000 },
  small: { organizations: 50, shows: 10_000 },
} satisfies Record<string, Size>

/** One name for one size. */
export const nameOf = ({ organizations, shows }: Size) => `callboard_bench_${organizations}_${shows}`

/** What a filled database depends on: when this is another one, it is filled anew. */
export function fingerprint(): string {
  const hash = createHash('sha256')
  for (const folder of ['../../../db/migrations/committed/', '../../../db/', './fill/', './'])
    for (const name of readdirSync(new URL(folder, import.meta.url)).sort())
      if (/\.sql$/.test(name) || name === 'fill.ts')
        hash.update(readFileSync(new URL(folder + name, import.meta.url)))
  return hash.digest('hex').slice(0, 16)
}
