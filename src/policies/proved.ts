// What is wrong with what was proved, and why the database allows it.
import type { Finding } from './finding.ts'
import type { LiveFacts } from './live.ts'
import type { Cell, Proof } from './proof.ts'
import type { Reach } from './reach.ts'
import { shared, sharedViews } from './whose.ts'
import { limitOf, whom } from './words.ts'

/** What a role does to rows that are not its own by design. */
const byDesign: { role: string; command: string; table: RegExp }[] = [
  { role: 'callboard_auditor', command: 'select', table: /^app\.event_(?:log(?:_\d{4}_\d\d)?|seals)$/ },
  { role: 'callboard_worker', command: '', table: /^graphile_worker\./ },
]

const isGenuine = (context: string) => / of A\b/.test(context) && !context.startsWith('settings')
const verbs = { select: 'sees', insert: 'enters', update: 'changes', delete: 'deletes' }

/** What a cell shows that must not be, in words; undefined if it is right. */
export function wrongOf({
  role,
  table,
  command,
  context,
  own = 0,
  others = 0,
  isCertain,
}: Cell): string | undefined {
  if (byDesign.some(one => one.role === role && ['', command].includes(one.command) && one.table.test(table)))
    return undefined
  const isShared = shared.includes(table) || sharedViews.includes(table)
  if (isShared) return command !== 'select' && others > 0 ? `${others} rows that are everybody's` : undefined
  if (others > 0 && isCertain) return `${others} rows of other organizations`
  if (isGenuine(context)) return undefined
  const touched = own + others
  return touched > 0 ? `${touched} rows, although it is nobody` : undefined
}

/** How it comes to that: the grants, the policies, and the functions that would do the same. */
export function whyOf({ role, table, command }: Cell, facts: LiveFacts, reach: Reach): string[] {
  const grants = facts.grantsFor(table, role, command)
  const through = reach.through(role, table, command)
  const limit = grants.length > 0 ? [`${role} may ${command} ${limitOf(facts, table, role, command)}`] : []
  return [...grants, ...limit, ...through]
}

/** The findings of a proof, one for each role, table and command, with the contexts in which it is so. */
export function findingsOf({ cells }: Proof, facts: LiveFacts, reach: Reach): Finding[] {
  const found = new Map<string, { cell: Cell; contexts: Map<string, string[]> }>()
  for (const cell of cells) {
    const wrong = wrongOf(cell)
    if (wrong === undefined) continue
    const id = `proof:${cell.role}: ${cell.command} ${cell.table}`
    const one = found.get(id) ?? { cell, contexts: new Map<string, string[]>() }
    one.contexts.set(wrong, [...(one.contexts.get(wrong) ?? []), cell.context])
    found.set(id, one)
  }
  return [...found].map(([id, { cell, contexts }]) => ({
    id,
    part: 'proof',
    class: 'dangerous',
    subject: `${cell.command} on ${cell.table} by ${cell.role}`,
    says: `${whom(cell.role)} ${verbs[cell.command]} in ${cell.table}: ${[...contexts].map(([wrong, names]) => `${wrong} (${names.join(', ')})`).join('; ')}.`,
    why: whyOf(cell, facts, reach),
  }))
}
