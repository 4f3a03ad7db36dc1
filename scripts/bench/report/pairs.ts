import type { Measure } from '../measure/load.ts'
import { markdown, number, share } from './markdown.ts'
import { cpuOf, median, type Result } from './report.ts'

/** How much something was of something else, in each of several pairs that were measured in turns. */
export interface Share {
  median: number
  lowest: number
  highest: number
}
export interface Pair {
  work: string
  /** The CPU of the servers and PostgreSQL, and two parts of it; undefined where that is not known. */
  cpu: Share | undefined
  server: Share | undefined
  postgres: Share | undefined
  time: Share | undefined
}

/** What one contender's operations take of another's, by work, from the rounds that both have. */
export function pairs(results: Result[], one: string, other: string): Pair[] {
  return results.flatMap(({ work, contender, rounds }) => {
    const others = results.find(result => result.work === work && result.contender === other)?.rounds
    if (contender !== one || !others) return []
    const shareBy = (value: (measure: Measure) => number | undefined): Share | undefined => {
      const shares = rounds.flatMap((round, n) => {
        const [a, b] = [round, others[n]].map(measure => measure && value(measure))
        return a === undefined || !b ? [] : [a / b]
      })
      const middle = median(shares)
      return middle === undefined
        ? undefined
        : { median: middle, lowest: Math.min(...shares), highest: Math.max(...shares) }
    }
    return [
      {
        work,
        cpu: shareBy(cpuOf),
        server: shareBy(({ cpu: { server, worker } }) =>
          server === undefined && worker === undefined ? undefined : (server ?? 0) + (worker ?? 0),
        ),
        postgres: shareBy(({ cpu }) => cpu.postgres),
        time: shareBy(({ rate }) => 1 / rate),
      },
    ]
  })
}

/** From the lowest to the highest. */
export const range = (found: Share | undefined) =>
  found === undefined ? '' : `${number(found.lowest, 2)}–${number(found.highest, 2)}`

/** Pairs as Markdown, the CPU first: `heads` are the columns before them, and `rows` has the cells for each. */
export function pairTable(heads: string[], rows: { cells: string[]; pair: Pair }[]): string {
  return markdown(
    [
      [...heads, 'CPU', 'of the pairs', 'server', 'PostgreSQL', 'time', 'of the pairs'],
      ...rows.map(({ cells, pair: { cpu, server, postgres, time } }) => [
        ...cells,
        share(cpu?.median),
        range(cpu),
        share(server?.median),
        share(postgres?.median),
        share(time?.median),
        range(time),
      ]),
    ],
    heads.length,
  )
}
