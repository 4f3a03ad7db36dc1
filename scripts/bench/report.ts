import type { Measure } from './load.ts'

export interface Result {
  work: string
  contender: string
  rounds: Measure[]
}

/** The median of what a measurement says, and how far the rounds lie apart. */
export interface Summary {
  work: string
  contender: string
  rate: number
  /** From the lowest to the highest round, in parts of the median. */
  spread: number
  p50: number | undefined
  p99: number | undefined
  /** Microseconds for each thing done. */
  serverCpu: number | undefined
  postgresCpu: number | undefined
  failed: number
}

export function median(values: (number | undefined)[]): number | undefined {
  const known = values.filter(value => value !== undefined).sort((a, b) => a - b)
  const middle = known.length / 2
  return known.length % 2 === 1 ? known[middle - 0.5] : average(known[middle - 1], known[middle])
}
const average = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? undefined : (a + b) / 2

export function summarize({ work, contender, rounds }: Result): Summary {
  const rates = rounds.map(({ rate }) => rate)
  const rate = median(rates) ?? 0
  return {
    work,
    contender,
    rate,
    spread: (Math.max(...rates) - Math.min(...rates)) / rate,
    p50: median(rounds.map(round => round.p50)),
    p99: median(rounds.map(round => round.p99)),
    serverCpu: median(rounds.map(round => round.cpu.server)),
    postgresCpu: median(rounds.map(round => round.cpu.postgres)),
    failed: rounds.reduce((sum, round) => sum + round.failed, 0),
  }
}

/** What was not answered as it should have been. */
export const faultsOf = (summaries: Summary[]): string[] =>
  summaries.flatMap(({ work, contender, failed }) =>
    failed > 0 ? [`${contender} failed ${failed} times at ${work}`] : [],
  )

const number = (value: number | undefined, digits = 0) =>
  value === undefined
    ? ''
    : value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
const digitsOf = (rate: number) => (rate < 10 ? 2 : rate < 100 ? 1 : 0)

/** The table as Markdown, its columns as wide as they need to be. */
export function table(
  works: { name: string; title: string }[],
  contenders: { name: string; title: string }[],
  results: Summary[],
): string {
  const rows = [
    [
      'work',
      'by',
      'a second',
      'spread',
      'of the limit',
      'Callboard has',
      'p50 ms',
      'p99 ms',
      'CPU µs: server',
      'PostgreSQL',
    ],
  ]
  for (const work of works) {
    const find = (contender: string) => results.find(r => r.work === work.name && r.contender === contender)
    const [limit, callboard] = [find('limit'), find('callboard')]
    for (const { name, title } of contenders) {
      const found = find(name)
      if (!found) continue
      rows.push([
        work.title,
        title,
        number(found.rate, digitsOf(found.rate)),
        `${number(found.spread * 100)} %`,
        limit ? number(found.rate / limit.rate, 2) : '',
        callboard && found !== callboard ? `${number(callboard.rate / found.rate, 2)} ×` : '',
        number(found.p50, 1),
        number(found.p99, 1),
        number(found.serverCpu),
        number(found.postgresCpu),
      ])
    }
  }
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => (row[column] ?? '').length)))
  const line = (row: string[]) =>
    `| ${row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`
  const rule = widths.map((width, i) => (i < 2 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(rows[0] ?? []), line(rule), ...rows.slice(1).map(line)].join('\n')
}

/** How much more each work costs one contender than another. */
export function growth(summaries: Summary[], from: string, to: string) {
  const cpuOf = ({ serverCpu, postgresCpu }: Summary) =>
    serverCpu === undefined || postgresCpu === undefined ? undefined : serverCpu + postgresCpu
  return summaries.flatMap(before => {
    const after = summaries.find(({ work, contender }) => work === before.work && contender === to)
    if (before.contender !== from || !after) return []
    const [was, is] = [cpuOf(before), cpuOf(after)]
    return [
      {
        work: before.work,
        time: before.rate / after.rate,
        cpu: was === undefined || is === undefined ? undefined : is / was,
      },
    ]
  })
}
