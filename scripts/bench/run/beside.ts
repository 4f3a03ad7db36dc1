import { agree } from '../measure/agree.ts'
import { describe, machine } from '../measure/machine.ts'
import { pairs } from '../report/pairs.ts'
import { faultsOf, memoryLine, summarize } from '../report/report.ts'
import { comparison, procedureTable, requestTable } from '../report/tables.ts'
import { say, type Server, today } from '../data/database.ts'
import { host } from './checkouts.ts'
import type { Outcome } from './compare.ts'
import { type Contender, overHttp } from './contenders.ts'
import { type Set, setUp, start, type Undo } from './fixtures.ts'
import { howOf, type Options } from './options.ts'
import { measureAll } from './rounds.ts'
import { withoutLimits } from './soak.ts'

/**
 * Compares this checkout with others, each with its own server, schema and packages, on the same generated data. Each
 * round measures all of them in turns; what counts is how much this one takes of another's in the same round.
 */
export async function beside(server: Server, given: Options, undo: Undo): Promise<Outcome> {
  const options = { ...given, wants: withoutLimits(given) }
  const { size, keep } = options
  const day = today()
  const mine = await setUp(server, size, options, undo, day)
  const others: Set[] = []
  for (const folder of options.beside ?? []) {
    const { checkout, filled } = await host(folder, { size, keep, day }, undo)
    others.push(await start(checkout, filled, options, undo))
  }
  const contenders = [mine, ...others].map(contenderOf)
  await agree(mine.fixtures.people.length, contenders)
  const { tasks } = mine
  for (const { fixtures, tasks: known } of others)
    for (const { name, title } of tasks)
      if (!known.some(task => task.name === name)) say(`${fixtures.checkout.title} does not support ${title}`)
  const results = await measureAll(tasks, contenders, options.rounds)
  const summaries = results.map(summarize)
  const compared = contenders
    .slice(1)
    .flatMap(({ name, title }) =>
      pairs(results, 'callboard', name).map(pair => ({ name, other: title, pair })),
    )
  const on = await machine(server.adminUrl)
  const used = contenders.map(({ name, title, memory }) => ({ name, title, megabytes: memory() }))
  return {
    kind: 'beside',
    how: `${howOf(options)}, ${size.organizations} organizations and ${size.shows} shows. ${describe(on)}`,
    report: {
      machine: on,
      size,
      works: tasks.map(({ name, title }) => ({ name, title })),
      contenders: used.map((contender, n) => ({
        ...contender,
        secondsToFirstAnswer: [mine, ...others][n]?.callboard.secondsToAnswer,
      })),
      pairs: compared,
      summaries,
      results,
    },
    text: [
      comparison('of what it takes', tasks, compared),
      requestTable(tasks, contenders, summaries),
      procedureTable(tasks, contenders, summaries),
      memoryLine(used),
    ]
      .filter(part => part !== '')
      .join('\n\n'),
    faults: faultsOf(summaries),
  }
}

/** The nth checkout; this one is `callboard`, the others are `beside-1`, `beside-2`, … */
function contenderOf({ fixtures, callboard, tasks }: Set, n: number): Contender {
  const contender = overHttp(
    fixtures,
    n === 0 ? 'callboard' : `beside-${n}`,
    fixtures.checkout.title,
    callboard,
  )
  return { ...contender, measure: task => (tasks.includes(task) ? contender.measure(task) : undefined) }
}
