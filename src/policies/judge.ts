// What a difference means: its class, and in words what it lets whom see.
import type { Difference, Judge, Judgement } from './judgement.ts'
import { judgeCluster } from './judge-cluster.ts'
import { judgeCode } from './judge-code.ts'
import { judgePolicies } from './judge-policies.ts'
import { judgeTables } from './judge-tables.ts'
import type { LiveFacts } from './live.ts'

const judges: Judge[] = [...judgeCluster, ...judgePolicies, ...judgeTables, ...judgeCode]

/** A difference that nothing is known of has to be looked at. */
export function judge(difference: Difference, facts: LiveFacts): Judgement {
  for (const { subject, judge } of judges) {
    const match = subject.exec(difference.subject)
    const judgement = match && judge({ ...match.groups }, difference, facts)
    if (judgement) return judgement
  }
  return { class: 'to be reviewed', says: `${changeOf(difference, facts)}: look what it is for.` }
}

/** Missing, added or different. */
export function changeOf({ subject, expected, found }: Difference, { words }: LiveFacts): string {
  if (found === undefined) return `${subject} ${words.gone}`
  return `${subject} ${expected === undefined ? words.added : words.differs}`
}
