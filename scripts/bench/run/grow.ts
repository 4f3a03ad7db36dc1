import type { Outcome } from './compare.ts'
import { type Contender, limits, overHttp } from './contenders.ts'
import type { Server } from '../data/database.ts'
import { describe, machine } from '../measure/machine.ts'
import { howOf, type Options } from './options.ts'
import { faultsOf, growth, summarize, table } from '../report/report.ts'
import { measureAll } from './rounds.ts'
import { setUp, type Undo } from './fixtures.ts'
import type { Work } from './works.ts'

/** Measures whether requests become slower as the number of equally large organizations grows. */
export async function grow(server: Server, options: Options, undo: Undo): Promise<Outcome> {
  const contenders: Contender[] = []
  let works: Work[] = []
  for (const organizations of options.organizations ?? []) {
    const set = await setUp(server, { organizations, shows: organizations * 100 }, options, undo)
    // Each set has its own list of the same works; the first one is used.
    works = works.length > 0 ? works : set.works
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
  works = works.filter(({ name }) => ['list', 'one', 'create'].includes(name))
  const summaries = (await measureAll(works, contenders, options.rounds)).map(summarize)
  const [from = 0, to = 0] = options.organizations ?? []
  const grown = growth(summaries, `callboard-${from}`, `callboard-${to}`)
  const on = await machine(server.adminUrl)
  return {
    kind: 'organizations',
    how: `${howOf(options)}, 100 shows for each organization, and as many again for one. ${describe(on)}`,
    report: { machine: on, growth: grown, summaries },
    text: [
      table(works, contenders, summaries),
      '',
      ...grown.map(
        ({ work, time, cpu }) =>
          `- ${work}: with ${to} organizations instead of ${from} a request takes ${time.toFixed(2)} times as long, and ${cpu?.toFixed(2) ?? '?'} times the CPU`,
      ),
    ].join('\n'),
    faults: faultsOf(summaries),
  }
}
