// How a live database differs from the committed facts, and what each difference lets whom see.
import type { Carrier } from '../database/context.ts'
import { committedFacts, comparable, monthsOf, subjectOf, valueOf } from './committed.ts'
import type { Finding } from './finding.ts'
import { judge } from './judge.ts'
import type { Difference, Judgement } from './judgement.ts'
import { LiveFacts } from './live.ts'

/** The differences between what should be and what is, by subject. */
export function differences(committed: string[], live: string[]): Difference[] {
  const [should, is] = [new Set(committed), new Set(live)]
  const missing = bySubject(committed.filter(fact => !is.has(fact)))
  const extra = bySubject(live.filter(fact => !should.has(fact)))
  return [...new Set([...missing.keys(), ...extra.keys()])].sort().flatMap(subject => {
    const [expected = [], found = []] = [missing.get(subject), extra.get(subject)]
    const [one, other] = [expected[0], found[0]]
    // Several facts have one subject where there is a set of them: options, rows.
    if (one !== undefined && other !== undefined && expected.length === 1 && found.length === 1)
      return [{ subject, expected: one, found: other }]
    return [
      ...expected.map(value => ({ subject, expected: value })),
      ...found.map(value => ({ subject, found: value })),
    ]
  })
}

function bySubject(facts: string[]): Map<string, string[]> {
  const values = new Map<string, string[]>()
  for (const fact of facts) {
    const subject = subjectOf(fact)
    values.set(subject, [...(values.get(subject) ?? []), valueOf(fact)])
  }
  return values
}

/** The object that a fact is about, if it is one that can be missing as a whole. */
const objectOf = (subject: string) =>
  /^((?:table|view|materialized view|sequence|type|domain) \S+|(?:function|procedure|aggregate) .+?\)(?= (?:owner|definition|grants|comment|option)))/.exec(
    subject,
  )?.[1]

/**
 * Compares the facts of a live database, as src/policies/facts.ts reads them, with the committed ones. Of facts that
 * were read without rows, only those of the catalogue are compared.
 */
export function drift(live: string[], carrier: Carrier, { rows = true } = {}): Finding[] {
  const facts = new LiveFacts(live)
  // What is committed as a digest is judged and shown in full.
  const inFull = new Map<string, string>()
  const here = live.flatMap(fact => {
    const one = comparable(fact)
    if (one === undefined) return []
    if (valueOf(one).startsWith('sha256 ')) inFull.set(one, valueOf(fact))
    return [one]
  })
  const should = committedFacts(carrier, monthsOf(live)).filter(fact => rows || !fact.startsWith('row of '))
  const found = differences(should, here).map(d => {
    const full = d.found === undefined ? undefined : inFull.get(`${d.subject}: ${d.found}`)
    return full === undefined ? d : { ...d, found: full }
  })
  return asFindings(found, 'drift', d => judge(d, facts))
}

/** Findings of differences: one for what is missing or added as a whole, not one for each of its parts. */
export function asFindings(
  found: Difference[],
  part: 'drift' | 'migration',
  judgementOf: (difference: Difference) => Judgement,
): Finding[] {
  const whole = new Set(
    found
      .filter(d => d.subject.endsWith(' owner') && (d.expected === undefined || d.found === undefined))
      .map(d => objectOf(d.subject)),
  )
  const several = (subject: string) => found.filter(d => d.subject === subject).length > 1
  return found
    .filter(d => {
      const objects = [objectOf(d.subject), ...partOf(d.subject)].filter(object => object !== undefined)
      return (
        !objects.some(object => whole.has(object)) || objects.some(object => d.subject === `${object} owner`)
      )
    })
    .map(d => {
      const isOfMany = several(d.subject) || /^row of | option$/.test(d.subject)
      const id = isOfMany ? `${part}:${d.subject}: ${d.found ?? d.expected ?? ''}` : `${part}:${d.subject}`
      return { id, part, subject: d.subject, ...judgementOf(d), ...values(d) }
    })
}

/** The table or view that a column, a constraint, a policy and so on belongs to. */
function partOf(subject: string): string[] {
  const column = /^column (\S+\.\S+)\.[^.]+?(?: grants to .*)?$/.exec(subject)?.[1]
  const on = column ?? /^(?:policy|constraint|trigger|rule) .* on (\S+)$/.exec(subject)?.[1]
  return on === undefined ? [] : ['table', 'view', 'materialized view'].map(kind => `${kind} ${on}`)
}

const values = ({ expected, found }: Difference) => ({
  ...(expected !== undefined && { expected }),
  ...(found !== undefined && { found }),
})
