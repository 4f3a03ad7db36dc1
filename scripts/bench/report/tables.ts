import { isRequest, type Task } from '../run/tasks.ts'
import { markdown, number, percent, share } from './markdown.ts'
import { type Pair, pairTable } from './pairs.ts'
import { over, type Summary } from './report.ts'

export interface Named {
  name: string
  title: string
}
const digitsOf = (rate: number) => (rate < 10 ? 2 : rate < 100 ? 1 : 0)

/** One row for each work and contender that has been measured. */
const rowsOf = (works: Named[], contenders: Named[], summaries: Summary[]) =>
  works.flatMap(work =>
    contenders.flatMap(({ name, title }) => {
      const find = (contender: string) =>
        summaries.find(summary => summary.work === work.name && summary.contender === contender)
      const found = find(name)
      return found ? [{ work, title, found, limit: find('limit'), callboard: find('callboard') }] : []
    }),
  )

/** The requests as a Markdown table: what they cost, then how long they take. */
export function requestTable(tasks: Task[], contenders: Named[], summaries: Summary[]): string {
  const rows = rowsOf(tasks.filter(isRequest), contenders, summaries).map(
    ({ work, title, found, limit, callboard }) => {
      const isOther = callboard !== undefined && found !== callboard
      return [
        work.title,
        title,
        number(found.cpu),
        percent(found.cpuSpread),
        number(found.serverCpu),
        number(found.postgresCpu),
        number(over(limit?.cpu, found.cpu), 2),
        isOther ? share(over(found.cpu, callboard.cpu)) : '',
        number(found.rate, digitsOf(found.rate)),
        percent(found.spread),
        number(limit && over(found.rate, limit.rate), 2),
        isOther ? share(over(callboard.rate, found.rate)) : '',
        number(found.p50, 1),
        number(found.p99, 1),
      ]
    },
  )
  const head = [
    'work',
    'by',
    'CPU µs',
    'spread',
    'server',
    'PostgreSQL',
    'of the limit, by CPU',
    'Callboard has, by CPU',
    'a second',
    'spread',
    'of the limit',
    'Callboard has',
    'p50 ms',
    'p99 ms',
  ]
  return rows.length === 0 ? '' : markdown([head, ...rows], 2)
}

/** What is no request, as a Markdown table. */
export function procedureTable(tasks: Task[], contenders: Named[], summaries: Summary[]): string {
  const procedures = tasks.filter(task => 'run' in task)
  const milliseconds = (microseconds: number | undefined) =>
    microseconds === undefined ? '' : number(microseconds / 1000, 1)
  const rows = rowsOf(procedures, contenders, summaries).map(({ work, title, found }) => {
    const { rows } = procedures.find(({ name }) => name === work.name) ?? {}
    return [
      work.title,
      title,
      milliseconds(found.cpu),
      percent(found.cpuSpread),
      milliseconds(found.serverCpu),
      milliseconds(found.workerCpu),
      milliseconds(found.postgresCpu),
      number(1000 / found.rate, 1),
      percent(found.spread),
      rows === undefined ? '' : number(found.rate * rows),
      number(found.grown, 1),
    ]
  })
  const head = [
    'work',
    'by',
    'CPU ms',
    'spread',
    'API',
    'worker',
    'PostgreSQL',
    'time ms',
    'spread',
    'rows a second',
    'API grows by MB',
  ]
  return rows.length === 0 ? '' : markdown([head, ...rows], 2)
}

/** What one takes of another, by work. `head` says what the others are. */
export const comparison = (head: string, works: Named[], found: { other: string; pair: Pair }[]) =>
  pairTable(
    ['work', head],
    works.flatMap(({ name, title }) =>
      found
        .filter(({ pair }) => pair.work === name)
        .map(({ other, pair }) => ({ cells: [title, other], pair })),
    ),
  )
