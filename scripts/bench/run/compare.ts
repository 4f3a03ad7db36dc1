import { agree } from '../measure/agree.ts'
import { limits, overHttp } from './contenders.ts'
import type { Server } from '../data/database.ts'
import { describe, machine } from '../measure/machine.ts'
import { howOf, type Options } from './options.ts'
import { startPeers } from '../peers/peers.ts'
import { picture } from '../report/picture.ts'
import { faultsOf, memoryLine, protections, protectionTable, summarize, table } from '../report/report.ts'
import { measureAll } from './rounds.ts'
import { setUp, type Undo } from './fixtures.ts'

export interface Outcome {
  kind: 'comparison' | 'soak' | 'organizations'
  /** How it was measured, in a sentence. */
  how: string
  picture?: string
  /** For the file. */
  report: object
  /** For the terminal. */
  text: string
  /** What went wrong without stopping anything. */
  faults: string[]
}

/** Compares Callboard with the limit and the peers. */
export async function compare(server: Server, options: Options, undo: Undo): Promise<Outcome> {
  const { fixtures, callboard, jwtSecret, works } = await setUp(server, options.size, options, undo)
  const { filled } = fixtures
  const own = overHttp(fixtures, 'callboard', 'Callboard', callboard)
  const peers = await startPeers(fixtures, jwtSecret, options.wants, undo)
  await agree(fixtures.people, [own, ...peers])
  const contenders = [...limits(fixtures), own, ...peers].filter(options.wants)
  const results = await measureAll(works, contenders, options.rounds)
  const summaries = results.map(summarize)
  const named = (things: { name: string; title: string }[]) =>
    things.map(({ name, title }) => ({ name, title }))
  const on = await machine(filled.adminUrl)
  const used = contenders.map(({ name, title, memory }) => ({ name, title, megabytes: memory() }))
  return {
    kind: 'comparison',
    how: `${howOf(options)}, ${options.size.organizations} organizations and ${options.size.shows} shows. ${describe(on)}`,
    picture: picture(works, contenders, summaries),
    report: {
      machine: on,
      size: filled.size,
      secondsToFill: filled.seconds,
      secondsToFirstAnswer: callboard.secondsToAnswer,
      megabytes: Object.fromEntries(used.map(({ name, megabytes }) => [name, megabytes])),
      works: named(works),
      contenders: named(contenders),
      protections: protections(works, summaries),
      summaries,
      results,
    },
    text: [table(works, contenders, summaries), protectionTable(works, summaries), memoryLine(used)]
      .filter(part => part !== '')
      .join('\n\n'),
    faults: faultsOf(summaries),
  }
}
