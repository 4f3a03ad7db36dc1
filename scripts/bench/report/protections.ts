import { markdown, number, share } from './markdown.ts'
import { type Pair, pairs, range } from './pairs.ts'
import { over, type Result, type Summary } from './report.ts'
import type { Named } from './tables.ts'

/** What the protections cost, by work, in pairs of rounds. */
export interface Protection {
  work: string
  /** The same statements with row-level security, and with an explicit WHERE instead. */
  rls: Pair
  /** What PostgreSQL does for Callboard, and for the statements with an explicit WHERE. */
  whole: number | undefined
  /** The signature, as a fraction of a request's CPU; undefined where contexts are not signed. */
  signature: number | undefined
  p99: number | undefined
}

export function protections(results: Result[], summaries: Summary[]): Protection[] {
  const callboards = pairs(results, 'callboard', 'no-rls')
  return pairs(results, 'limit', 'no-rls').map(rls => {
    const find = (contender: string) =>
      summaries.find(summary => summary.work === rls.work && summary.contender === contender)
    const [limit, unsigned, callboard] = ['limit', 'unsigned', 'callboard'].map(find)
    const [signed, bare] = [limit?.cpu, unsigned?.cpu]
    return {
      work: rls.work,
      rls,
      whole: callboards.find(({ work }) => work === rls.work)?.postgres?.median,
      signature: signed === undefined || bare === undefined ? undefined : over(signed - bare, callboard?.cpu),
      p99: over(callboard?.p99, callboard?.p50),
    }
  })
}

/** The same as Markdown. */
export function protectionTable(works: Named[], found: Protection[]): string {
  if (found.length === 0) return ''
  const titleOf = (work: string) => works.find(({ name }) => name === work)?.title ?? work
  return markdown(
    [
      [
        'work',
        'RLS: CPU',
        'of the pairs',
        'Callboard’s PostgreSQL',
        'RLS: time',
        'signature, of a request',
        'p99 to p50',
      ],
      ...found.map(({ work, rls, whole, signature, p99 }) => [
        titleOf(work),
        share(rls.cpu?.median),
        range(rls.cpu),
        share(whole),
        share(rls.time?.median),
        signature === undefined ? '' : `${number(signature * 100, 1)} %`,
        share(p99),
      ]),
    ],
    1,
  )
}
