import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Outcome } from '../run/compare.ts'
import { root } from '../run/programs.ts'

/** Writes the figures of a run into docs/performance.md, between the markers of its kind, and the picture next to it. */
export async function publish({ kind, text, picture, how }: Outcome): Promise<void> {
  const file = join(root, 'docs/performance.md')
  const [begin, end] = [`<!-- ${kind}: written by npm run bench -->`, `<!-- end of ${kind} -->`]
  const before = await readFile(file, 'utf8')
  const [head, rest] = before.split(begin)
  const tail = rest?.split(end)[1]
  if (head === undefined || tail === undefined)
    throw new Error(`docs/performance.md has no markers for ${kind}`)
  const figures = `${head}${begin}\n\n${how}\n\n${text}\n\n${end}${tail}`
  await writeFile(file, figures)
  if (picture !== undefined) await writeFile(join(root, 'docs/performance.svg'), picture)
}
