import type { Outcome } from './compare.ts'
import { type Contender, overHttp } from './contenders.ts'
import { limits } from './limits.ts'
import type { Server } from '../data/database.ts'
import { describe, machine } from '../measure/machine.ts'
import { pairs } from '../report/pairs.ts'
import { howOf, type Options } from './options.ts'
import { faultsOf, summarize } from '../report/report.ts'
import { comparison, requestTable } from '../report/tables.ts'
import { measureAll } from './rounds.ts'
import { setUp, type Undo } from './fixtures.ts'
import { procedures, works } from './works.ts'
import { type Task } from './tasks.ts'

/** Works whose response is as large in each database. */
const comparable = ['list', 'one', 'create', 'finance', 'dashboard']

/** Measures whether requests become slower as the number of equally large organizations grows. */
export async function grow(server: Server, given: Options, undo: Undo): Promise<Outcome> {
  const isOther = (name: string) =>
    [...works, ...procedures].some(task => task.name === name) && !comparable.includes(name)
  const options = { ...given, wants: (thing: { name: string }) => !isOther(thing.name) && given.wants(thing) }
  const contenders: Contender[] = []
  let tasks: Task[] = []
  const sizes = options.organizations ?? []
  for (const organizations of sizes) {
    const set = await setUp(server, { organizations, shows: organizations * 100 }, options, undo)
    // Those that all sizes have.
    tasks = contenders.length === 0 ? set.tasks : tasks.filter(task => set.tasks.includes(task))
    const at = (contender: Contender): Contender => ({
      ...contender,
      name: `${contender.name}-${organizations}`,
      title: `${contender.title}, ${organizations} organizations`,
    })
    contenders.push(
      ...[...limits(set.fixtures), overHttp(set.fixtures, 'callboard', 'Callboard', set.callboard)]
        .filter(options.wants)
        .map(at),
    )
  }
  const results = await measureAll(tasks, contenders, options.rounds)
  const summaries = results.map(summarize)
  const [from = 0, ...more] = sizes
  const grown = more.flatMap(to =>
    pairs(results, `callboard-${to}`, `callboard-${from}`).map(pair => ({
      other: `${to} organizations instead of ${from}`,
      pair,
    })),
  )
  const on = await machine(server.adminUrl)
  return {
    kind: 'organizations',
    how: `${howOf(options)}, 100 shows for each organization, and as many again for one. ${describe(on)}`,
    report: { machine: on, growth: grown, summaries },
    text: [comparison('with', tasks, grown), requestTable(tasks, contenders, summaries)].join('\n\n'),
    faults: faultsOf(summaries),
  }
}
