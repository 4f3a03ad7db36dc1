import type { Measure } from '../measure/load.ts'
import { number } from './markdown.ts'

export interface Result {
  work: string
  contender: string
  rounds: Measure[]
}

/** The medians of the rounds of a measurement, and their spreads. */
export interface Summary {
  work: string
  contender: string
  /** Microseconds of CPU per operation: of servers and PostgreSQL together, and of each. */
  cpu: number | undefined
  cpuSpread: number | undefined
  serverCpu: number | undefined
  workerCpu: number | undefined
  postgresCpu: number | undefined
  /** Operations per second. */
  rate: number
  /** From the lowest to the highest round, as a fraction of the median. */
  spread: number
  p50: number | undefined
  p99: number | undefined
  /** Megabytes. */
  grown: number | undefined
  failed: number
}

export function median(values: (number | undefined)[]): number | undefined {
  const known = values.filter(value => value !== undefined).sort((a, b) => a - b)
  const middle = known.length / 2
  return known.length % 2 === 1 ? known[middle - 0.5] : average(known[middle - 1], known[middle])
}
const average = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? undefined : (a + b) / 2

export const over = (a: number | undefined, b: number | undefined) =>
  a === undefined || !b ? undefined : a / b

/** The CPU of one operation, without the client's. */
export const cpuOf = ({ cpu: { server = 0, worker = 0, postgres } }: Measure) =>
  postgres === undefined ? undefined : server + worker + postgres

function spreadOf(values: (number | undefined)[]): number | undefined {
  const known = values.filter(value => value !== undefined)
  const middle = median(known)
  return middle === undefined ? undefined : (Math.max(...known) - Math.min(...known)) / middle
}

export function summarize({ work, contender, rounds }: Result): Summary {
  const of = (value: (round: Measure) => number | undefined) => median(rounds.map(value))
  return {
    work,
    contender,
    cpu: of(cpuOf),
    cpuSpread: spreadOf(rounds.map(cpuOf)),
    serverCpu: of(round => round.cpu.server),
    workerCpu: of(round => round.cpu.worker),
    postgresCpu: of(round => round.cpu.postgres),
    rate: of(round => round.rate) ?? 0,
    spread: spreadOf(rounds.map(({ rate }) => rate)) ?? 0,
    p50: of(round => round.p50),
    p99: of(round => round.p99),
    grown: of(round => round.grown),
    failed: rounds.reduce((sum, round) => sum + round.failed, 0),
  }
}

/** The contenders and works with failed requests. */
export const faultsOf = (summaries: Summary[]): string[] =>
  summaries.flatMap(({ work, contender, failed }) =>
    failed > 0 ? [`${contender} failed ${failed} times at ${work}`] : [],
  )

/** The memory of each server, in megabytes. */
export function memoryLine(servers: { title: string; megabytes: number | undefined }[]): string {
  const known = servers.filter(({ megabytes }) => megabytes !== undefined)
  if (known.length === 0) return ''
  return `In memory at the end: ${known.map(({ title, megabytes }) => `${title} ${number(megabytes)} MB`).join('; ')}.`
}
