import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Outcome } from '../run/compare.ts'
import { root } from '../run/programs.ts'

/** Puts the last figures of a kind of run into docs/performance.md, between its two marks, and its picture beside it. */
export async function publish({ kind, text, picture, how }: Outcome): Promise<void> {
  const file = join(root, 'docs/performance.md')
  const [begin, end] = [`<!-- ${kind}: written by npm run bench -->`, `<!-- end of ${kind} -->`]
  const before = await readFile(file, 'utf8')
  const [head, rest] = before.split(begin)
  const tail = rest?.split(end)[1]
  if (head === undefined || tail === undefined)
    throw new Error(`docs/performance.md has no place for ${kind}`)
  const figures = `${head}${begin}\n\n${how}\n\n${text}\n\n${end}${tail}`
  await writeFile(file, figures)
  if (picture !== undefined) await writeFile(join(root, 'docs/performance.svg'), picture)
}
