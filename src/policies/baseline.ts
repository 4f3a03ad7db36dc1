// The difference of two audits: what is new, what is gone, and who may do what they could not.
import type { Report } from './audit.ts'
import type { Finding } from './finding.ts'
import type { Cell } from './proof.ts'

/** What came of an attempt, without numbers, which vary with the rows. */
export type Outcome = 'refused' | 'planned' | 'nothing' | 'own rows' | 'rows of others'

export function outcomeOf({ refused, isPlanned, own = 0, others = 0, isCertain }: Cell): Outcome {
  if (refused !== undefined) return 'refused'
  if (isPlanned) return 'planned'
  if (others > 0 && isCertain) return 'rows of others'
  return own + others > 0 ? 'own rows' : 'nothing'
}

export interface Change {
  role: string
  table: string
  command: string
  context: string
  before: Outcome
  now: Outcome
}
export interface Comparison {
  /** When the other audit was. */
  since: string
  gone: Finding[]
  changes: Change[]
}

const keyOf = ({ role, table, command, context }: Cell) => `${role} ${command} ${table} ${context}`
const asOne = ({ id, found }: Finding) => `${id} ${found ?? ''}`

/** A report with only what an earlier one does not have, and the comparison. */
export function since(now: Report, before: Report): Report & { comparison: Comparison } {
  const known = new Set(before.findings.map(asOne))
  const present = new Set(now.findings.map(asOne))
  const outcomes = new Map((before.proof?.cells ?? []).map(cell => [keyOf(cell), outcomeOf(cell)]))
  const changes = (now.proof?.cells ?? []).flatMap(cell => {
    const [was, is] = [outcomes.get(keyOf(cell)), outcomeOf(cell)]
    // Whether there are rows of one's own changes by the day; EXPLAIN and trying cannot be compared.
    const isSame =
      was === undefined || was === is || (isHarmless(was) && isHarmless(is)) || [was, is].includes('planned')
    const { role, table, command, context } = cell
    return isSame ? [] : [{ role, table, command, context, before: was, now: is }]
  })
  return {
    ...now,
    findings: now.findings.filter(finding => !known.has(asOne(finding))),
    comparison: {
      since: before.at,
      gone: before.findings.filter(finding => !present.has(asOne(finding))),
      changes,
    },
  }
}

const isHarmless = (outcome: Outcome) => outcome === 'nothing' || outcome === 'own rows'
