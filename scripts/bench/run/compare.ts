import { agree } from '../measure/agree.ts'
import { overHttp } from './contenders.ts'
import { limits } from './limits.ts'
import type { Server } from '../data/database.ts'
import { describe, machine } from '../measure/machine.ts'
import { howOf, type Options } from './options.ts'
import { startPeers } from '../peers/peers.ts'
import { picture } from '../report/picture.ts'
import { faultsOf, memoryLine, summarize } from '../report/report.ts'
import { protections, protectionTable } from '../report/protections.ts'
import { procedureTable, requestTable } from '../report/tables.ts'
import { measureAll } from './rounds.ts'
import { setUp, type Undo } from './fixtures.ts'
import { isRequest } from './tasks.ts'

export interface Outcome {
  kind: 'comparison' | 'soak' | 'organizations' | 'beside'
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
  const { fixtures, callboard, jwtSecret, tasks } = await setUp(server, options.size, options, undo)
  const { filled } = fixtures
  const own = overHttp(fixtures, 'callboard', 'Callboard', callboard)
  const peers = await startPeers(fixtures, jwtSecret, options.wants, undo)
  await agree(fixtures.people.length, [own, ...peers])
  const contenders = [...limits(fixtures), own, ...peers].filter(options.wants)
  const results = await measureAll(tasks, contenders, options.rounds)
  const summaries = results.map(summarize)
  const protection = protections(results, summaries)
  const named = (things: { name: string; title: string }[]) =>
    things.map(({ name, title }) => ({ name, title }))
  const on = await machine(filled.adminUrl)
  const used = contenders.map(({ name, title, memory }) => ({ name, title, megabytes: memory() }))
  return {
    kind: 'comparison',
    how: `${howOf(options)}, ${options.size.organizations} organizations and ${options.size.shows} shows. ${describe(on)}`,
    picture: picture(tasks.filter(isRequest), contenders, summaries),
    report: {
      machine: on,
      size: filled.size,
      secondsToFill: filled.seconds,
      secondsToFirstAnswer: callboard.secondsToAnswer,
      megabytes: Object.fromEntries(used.map(({ name, megabytes }) => [name, megabytes])),
      works: named(tasks),
      contenders: named(contenders),
      protections: protection,
      summaries,
      results,
    },
    text: [
      requestTable(tasks, contenders, summaries),
      procedureTable(tasks, contenders, summaries),
      protectionTable(tasks, protection),
      memoryLine(used),
    ]
      .filter(part => part !== '')
      .join('\n\n'),
    faults: faultsOf(summaries),
  }
}
