import type { Answer, TestServer } from './helper.ts'

export interface Item extends Record<string, unknown> {
  id: string
}
export interface PageBody {
  items: Item[]
  next_cursor: string | null
}

/** The next page's path, from a Link header. */
export function nextLink({ headers }: Answer<PageBody>): string | undefined {
  return /^<([^>]+)>; rel="next"$/.exec(String(headers['link'] ?? ''))?.[1]
}

/**
 * Reads a list from its first page to its last, by cursor or by Link header, and returns what
 * each page has. `between` is called with every page but the last, before the next one is read.
 */
export async function walk(
  { call }: TestServer,
  token: string,
  path: string,
  by: 'cursor' | 'link' = 'cursor',
  between: (page: Item[], n: number) => Promise<unknown> = async () => {},
): Promise<Item[][]> {
  const pages: Item[][] = []
  let next: string | undefined = path
  while (next !== undefined) {
    const answer: Answer<PageBody> = await call<PageBody>(`GET ${next}`, { token })
    if (answer.status !== 200) throw new Error(`${next}: ${answer.text}`)
    const { items, next_cursor: cursor } = answer.body
    if ((cursor === null) !== (nextLink(answer) === undefined))
      throw new Error(`${next}: cursor and Link disagree`)
    pages.push(items)
    if (cursor === null) return pages
    next = by === 'link' ? nextLink(answer) : `${path}${path.includes('?') ? '&' : '?'}cursor=${cursor}`
    await between(items, pages.length)
    if (pages.length > 1000) throw new Error(`${path} does not end`)
  }
  return pages
}
