// What the tests of the star compute with, without SQL.
import type { Item } from './pages.ts'

export type Cell = string | number | null | undefined
export type Row = Record<string, Cell>

export const of = (item: Item | undefined, field: string) => Number(item?.[field] ?? 0)
export const text = (item: Item | undefined, field: string) => (item?.[field] ?? null) as string | null
export const total = (items: Item[], field: string) => items.reduce((sum, item) => sum + of(item, field), 0)
export const where = (items: Item[], fields: Record<string, unknown>) =>
  items.filter(item => Object.entries(fields).every(([name, value]) => item[name] === value))
export function group(items: Item[], key: (item: Item) => Cell[]): [Cell[], Item[]][] {
  const found = new Map<string, [Cell[], Item[]]>()
  for (const item of items) {
    const cells = key(item)
    found.set(JSON.stringify(cells), [cells, [...(found.get(JSON.stringify(cells))?.[1] ?? []), item]])
  }
  return [...found.values()]
}
export const signed = (items: Item[], field: string) =>
  items.reduce((sum, item) => sum + (item['kind'] === 'income' ? 1 : -1) * of(item, field), 0)
export const percent = (part: number, all: number) => Math.round((1000 * part) / all) / 10
export const month = (day: string | null) => `${String(day).slice(0, 7)}-01`
export const laterBy = (years: number, day: string) => `${Number(day.slice(0, 4)) + years}${day.slice(4)}`
export function quarter(day: string | null, starts: number): [number, number] {
  const [year = 0, its = 0] = String(day).split('-').map(Number)
  return [year - Number(its < starts), Math.floor(((its - starts + 12) % 12) / 3) + 1]
}
