// `npm run bench`: how fast Callboard is, beside PostgreSQL alone and beside what a team would write instead.
// It makes its own database and servers; docs/performance.md says what it measures and has the last figures.
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { startCapture } from './capture.ts'
import { type Contender, findPostmaster, limits, overHttp, type Stage } from './contenders.ts'
import { type Filled, prepare, say, startServer } from './database.ts'
import { record, type Script } from './limit.ts'
import { machine } from './machine.ts'
import { readOptions } from './options.ts'
import { startPeers } from './peers.ts'
import { signIn } from './people.ts'
import { startCallboard } from './programs.ts'
import { type Result, summarize, table } from './report.ts'
import { makeLogins } from './roles.ts'
import { tidy } from './tidy.ts'
import { type Work, works } from './works.ts'

const options = readOptions(process.argv.slice(2))
const undo: (() => Promise<unknown>)[] = []
const isWanted = ({ name }: { name: string }, of: { name: string }[]) =>
  !options.without.includes(name) &&
  (options.only === undefined ||
    !of.some(other => options.only?.includes(other.name)) ||
    options.only.includes(name))

async function main() {
  const server = await startServer()
  undo.push(() => server.stop())
  const filled = await prepare(server, options.size, options.keep)
  await tidy(filled.adminUrl, filled.day)
  undo.push(await makeLogins(server, filled))
  const jwtSecret = randomBytes(32).toString('hex')
  const callboard = await startCallboard(filled, jwtSecret, options.pool)
  undo.push(() => callboard.stop())
  const people = await signIn(filled, callboard, options.people)
  say(`${people.length} people have signed in`)
  const wanted = await available(
    works.filter(work => isWanted(work, works)),
    people,
    callboard.url,
  )
  const stage: Stage = {
    server,
    filled,
    people,
    scripts: await recordAll(wanted, people, filled, jwtSecret),
    postmaster: await findPostmaster(filled.adminUrl),
    load: options,
    pool: options.pool,
  }
  const all = [
    ...limits(stage),
    overHttp(stage, 'callboard', 'Callboard', callboard),
    ...(await startPeers(stage, jwtSecret, isWanted, undo)),
  ]
  const contenders = all.filter(contender => isWanted(contender, all))
  const results = await measureAll(wanted, contenders, filled)
  const summaries = results.map(summarize)
  const report = {
    made: new Date().toISOString(),
    machine: await machine(filled.adminUrl),
    size: filled.size,
    secondsToFill: filled.seconds,
    secondsToFirstAnswer: callboard.secondsToAnswer,
    options,
    memory: Object.fromEntries(contenders.map(({ name, memory }) => [name, memory()])),
    works: wanted.map(({ name, title }) => ({ name, title })),
    contenders: contenders.map(({ name, title }) => ({ name, title })),
    summaries,
    results,
  }
  await mkdir(dirname(options.json), { recursive: true })
  await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`)
  console.log(table(report.works, report.contenders, summaries))
  const failed = summaries.filter(summary => summary.failed > 0)
  for (const { work, contender, failed: count } of failed)
    say(`${contender} failed ${count} times at ${work}`)
  if (failed.length > 0) process.exitCode = 1
}

/** Those that Callboard has; the others are coming, and cannot be compared with yet. */
async function available(wanted: Work[], people: Stage['people'], url: string): Promise<Work[]> {
  const found: Work[] = []
  for (const work of wanted) {
    const [person] = people
    if (!person) throw new Error('nobody has signed in')
    const { method, path, headers, body } = work.request(person, 0)
    const answer = await fetch(url + path, { method, headers, ...(body !== undefined && { body }) })
    await answer.arrayBuffer()
    if (answer.status === 404)
      say(`Left out: ${work.title}, because Callboard answers ${method} ${path} with 404`)
    else found.push(work)
  }
  return found
}

/** What Callboard asks PostgreSQL for each work, heard from between the two. */
async function recordAll(
  wanted: Work[],
  people: Stage['people'],
  filled: Filled,
  jwtSecret: string,
): Promise<Map<Work, Script[]>> {
  const capture = await startCapture(filled.url('callboard_api'))
  const callboard = await startCallboard(filled, jwtSecret, 1, capture.url)
  try {
    const scripts = new Map<Work, Script[]>()
    for (const work of wanted)
      if (work.hasNoLimit !== true)
        scripts.set(
          work,
          await record(callboard.url, filled.adminUrl, people, { ...work, variants: 16 }, capture.take),
        )
    return scripts
  } finally {
    await callboard.stop()
    capture.close()
  }
}

async function measureAll(wanted: Work[], contenders: Contender[], filled: Filled): Promise<Result[]> {
  const results = new Map<string, Result>()
  const total = options.rounds * wanted.length * contenders.length
  let n = 0
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const work of wanted) {
      // Each begins once, because what comes first may find other caches.
      const turn = contenders.map((_, i) => contenders[(i + round) % contenders.length] as Contender)
      for (const contender of turn) {
        n += 1
        const measured = contender.measure(work)
        if (!measured) continue
        say(
          `Round ${round} of ${options.rounds}, ${Math.round((n / total) * 100)} %: ${work.title}, ${contender.title}`,
        )
        const measure = await measured
        const key = `${work.name} ${contender.name}`
        const result = results.get(key) ?? { work: work.name, contender: contender.name, rounds: [] }
        result.rounds.push(measure)
        results.set(key, result)
        if (work.status === 201) await tidy(filled.adminUrl, filled.day)
      }
    }
  }
  return [...results.values()]
}

try {
  await main()
} finally {
  for (const step of undo.reverse()) await step()
}
