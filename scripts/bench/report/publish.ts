import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Outcome } from '../run/compare.ts'
import { root } from '../run/programs.ts'

/** The page with the last figures, and the picture beside it. */
export const page = 'docs/explain/performance.md'
const pictureFile = page.replace(/md$/, 'svg')

/** The two markers on the page between which the figures of a kind of run stand. */
export const marks = (kind: Outcome['kind']) =>
  [`<!-- ${kind}: written by npm run bench -->`, `<!-- end of ${kind} -->`] as const

/** Puts the last figures of a kind of run into the page, between their markers, and draws the picture. */
export async function publish({ kind, text, picture, how }: Outcome): Promise<void> {
  const file = join(root, page)
  const [begin, end] = marks(kind)
  const before = await readFile(file, 'utf8')
  const [head, rest] = before.split(begin)
  const tail = rest?.split(end)[1]
  if (head === undefined || tail === undefined) throw new Error(`${page} has no markers for ${kind}`)
  const figures = `${head}${begin}\n\n${how}\n\n${text}\n\n${end}${tail}`
  await writeFile(file, figures)
  if (picture !== undefined) await writeFile(join(root, pictureFile), picture)
}
