import type { Contender } from '../run/contenders.ts'
import type { Person } from '../data/people.ts'
import { works } from '../run/works.ts'

interface Row {
  id: string
  title: string
  fee_minor: number | null
}

/** Checks that all servers return the same shows: one that does less work would be faster. */
export async function agree(people: Person[], contenders: Contender[]): Promise<void> {
  const list = works.find(({ name }) => name === 'list')
  for (const person of people.slice(0, 5)) {
    let expected: string | undefined
    for (const { title, ask } of contenders) {
      if (!list || !ask) continue
      const answer = (await ask(list, person)) as Partial<{ items: Row[] }> | Row[]
      const rows = Array.isArray(answer) ? answer.slice(0, 50) : answer.items
      if (rows === undefined) throw new Error(`${title} returned ${JSON.stringify(answer)}`)
      const text = JSON.stringify(rows.map(row => [row.id, row.title, row.fee_minor]))
      expected ??= text
      if (text !== expected || rows.length === 0)
        throw new Error(`${title} returned different shows to ${person.email}`)
    }
  }
}
