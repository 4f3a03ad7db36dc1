import type { Measure } from '../measure/load.ts'

export interface Result {
  work: string
  contender: string
  rounds: Measure[]
}

/** The medians of the rounds of a measurement, and their spread. */
export interface Summary {
  work: string
  contender: string
  rate: number
  /** From the lowest to the highest round, as a fraction of the median. */
  spread: number
  p50: number | undefined
  p99: number | undefined
  /** Microseconds per operation. */
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

/** The contenders and works with failed requests. */
export const faultsOf = (summaries: Summary[]): string[] =>
  summaries.flatMap(({ work, contender, failed }) =>
    failed > 0 ? [`${contender} failed ${failed} times at ${work}`] : [],
  )

const number = (value: number | undefined, digits = 0) =>
  value === undefined
    ? ''
    : value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
const times = (value: number | undefined) => (value === undefined ? '' : `${number(value, 2)} ×`)
/** The CPU time of a request, without the client's. */
const cpuOf = ({ serverCpu = 0, postgresCpu }: Summary) =>
  postgresCpu === undefined ? undefined : serverCpu + postgresCpu
const over = (a: number | undefined, b: number | undefined) => (a === undefined || !b ? undefined : a / b)
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
      'of the limit, by CPU',
      'Callboard has, by CPU',
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
        callboard && found !== callboard ? times(callboard.rate / found.rate) : '',
        number(found.p50, 1),
        number(found.p99, 1),
        number(found.serverCpu),
        number(found.postgresCpu),
        limit ? number(over(cpuOf(limit), cpuOf(found)), 2) : '',
        callboard && found !== callboard ? times(over(cpuOf(found), cpuOf(callboard))) : '',
      ])
    }
  }
  return markdown(rows, 2)
}

/** The memory of each server, in megabytes. */
export function memoryLine(servers: { title: string; megabytes: number | undefined }[]): string {
  const known = servers.filter(({ megabytes }) => megabytes !== undefined)
  if (known.length === 0) return ''
  return `In memory at the end: ${known.map(({ title, megabytes }) => `${title} ${number(megabytes)} MB`).join('; ')}.`
}

/** How much more each work costs one contender than another. */
export function growth(summaries: Summary[], from: string, to: string) {
  return summaries.flatMap(before => {
    const after = summaries.find(({ work, contender }) => work === before.work && contender === to)
    if (before.contender !== from || !after) return []
    return [{ work: before.work, time: before.rate / after.rate, cpu: over(cpuOf(after), cpuOf(before)) }]
  })
}

/** The cost of row-level security and of the signature as fractions of the whole; by CPU time, where known. */
export function protections(works: { name: string }[], summaries: Summary[]) {
  return works.flatMap(({ name }) => {
    const find = (contender: string) => summaries.find(s => s.work === name && s.contender === contender)
    const [limit, open, unsigned, callboard] = ['limit', 'no-rls', 'unsigned', 'callboard'].map(find)
    if (!limit || !open || !unsigned || !callboard) return []
    const [signed, bare] = [cpuOf(limit), cpuOf(unsigned)]
    return [
      {
        work: name,
        rlsTime: open.rate / limit.rate,
        rlsCpu: over(cpuOf(limit), cpuOf(open)),
        signature:
          signed === undefined || bare === undefined ? undefined : over(signed - bare, cpuOf(callboard)),
        p99: over(callboard.p99, callboard.p50),
      },
    ]
  })
}

/** The same as Markdown. */
export function protectionTable(works: { name: string; title: string }[], summaries: Summary[]): string {
  const rows = protections(works, summaries).map(({ work, rlsTime, rlsCpu, signature, p99 }) => [
    works.find(({ name }) => name === work)?.title ?? work,
    times(rlsTime),
    times(rlsCpu),
    signature === undefined ? '' : `${number(signature * 100, 1)} %`,
    times(p99),
  ])
  const head = ['work', 'RLS: time', 'RLS: CPU', 'signature, of a request', 'p99 to p50']
  return rows.length === 0 ? '' : markdown([head, ...rows], 1)
}

/** Rows as a Markdown table whose columns are as wide as they need to be; the first few are words, the others figures. */
function markdown(rows: string[][], words: number): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => (row[column] ?? '').length)))
  const line = (row: string[]) =>
    `| ${row.map((cell, i) => (i < words ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`
  const rule = widths.map((width, i) => (i < words ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(rows[0] ?? []), line(rule), ...rows.slice(1).map(line)].join('\n')
}
