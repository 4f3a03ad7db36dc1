import type { Contender } from '../run/contenders.ts'
import { works } from '../run/works.ts'

interface Row {
  id: string
  title: string
  fee_minor: number | null
}

/** Checks that all servers return the same shows to the same people: one that does less work would be faster. */
export async function agree(people: number, contenders: Contender[]): Promise<void> {
  const list = works.find(({ name }) => name === 'list')
  for (let n = 0; n < Math.min(people, 5); n += 1) {
    let expected: string | undefined
    for (const { title, ask } of contenders) {
      if (!list || !ask) continue
      const answer = (await ask(list, n)) as Partial<{ items: Row[] }> | Row[]
      const rows = Array.isArray(answer) ? answer.slice(0, 50) : answer.items
      if (rows === undefined) throw new Error(`${title} returned ${JSON.stringify(answer)}`)
      const text = JSON.stringify(rows.map(row => [row.id, row.title, row.fee_minor]))
      expected ??= text
      if (text !== expected || rows.length === 0)
        throw new Error(`${title} returned different shows to person ${n + 1}`)
    }
  }
}
