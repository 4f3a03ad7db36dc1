import { randomBytes } from 'node:crypto'
import { startCapture } from '../measure/capture.ts'
import { type Checkout, own } from './checkouts.ts'
import { inspect, peopleFor, type Fixtures } from './contenders.ts'
import { type Filled, prepare, say, type Server } from '../data/database.ts'
import { refresh } from '../data/figures.ts'
import { record, type Script } from '../measure/limit.ts'
import type { Options } from './options.ts'
import { type Person, signIn } from '../data/people.ts'
import { type Program, startCallboard } from './programs.ts'
import { makeLogins } from '../data/roles.ts'
import type { Size } from '../data/sizes.ts'
import { now, tidy } from './tidy.ts'
import { procedures, works } from './works.ts'
import { type Task, type Work } from './tasks.ts'

export interface Set {
  fixtures: Fixtures
  callboard: Program
  jwtSecret: string
  /** The works to measure. */
  tasks: Task[]
}
export type Undo = (() => Promise<unknown>)[]

/** Prepares everything for one size except the peers: the data, Callboard, signed-in users and the recorded statements. */
export async function setUp(
  server: Server,
  size: Size,
  options: Options,
  undo: Undo,
  day?: string,
): Promise<Set> {
  const filled = await prepare(server, size, options.keep, day)
  undo.push(await makeLogins(server, filled))
  return start(own, filled, options, undo)
}

/** The same for a database that has been filled, by any checkout. */
export async function start(checkout: Checkout, filled: Filled, options: Options, undo: Undo): Promise<Set> {
  await tidy(filled.adminUrl, filled.day)
  await refresh(filled.adminUrl, checkout.refreshing)
  const jwtSecret = randomBytes(32).toString('hex')
  const callboard = await startCallboard(checkout, filled, jwtSecret, options.pool)
  undo.push(() => callboard.stop())
  const people = await signIn(filled, callboard, options.people)
  const since = await now(filled.adminUrl)
  say(`${people.length} people have signed in`)
  const wanted = await available(works.filter(options.wants), people, callboard.url)
  const scripts = ['limit', 'no-rls', 'unsigned'].some(name => options.wants({ name }))
    ? await recordAll(wanted, people, filled, jwtSecret)
    : new Map<Work, Script[]>()
  await tidy(filled.adminUrl, since)
  const { pool, asker, lines } = options
  return {
    fixtures: {
      checkout,
      filled,
      people,
      since,
      scripts,
      load: options,
      lines,
      pool,
      asker,
      ...(await inspect(filled.adminUrl)),
    },
    callboard,
    jwtSecret,
    tasks: [...wanted, ...procedures.filter(options.wants)],
  }
}

/** The works that Callboard supports; the others are planned and cannot be measured yet. */
async function available(wanted: Work[], people: Person[], url: string): Promise<Work[]> {
  const found: Work[] = []
  for (const work of wanted) {
    const { method, path, headers, body } = work.request(peopleFor(work, people)[0] as Person, 0)
    const answer = await fetch(url + path, { method, headers, ...(body !== undefined && { body }) })
    await answer.arrayBuffer()
    if (answer.status === 404)
      say(`Skipped ${work.title}, because Callboard answers ${method} ${path} with 404`)
    else found.push(work)
  }
  return found
}

/** Records what Callboard sends to PostgreSQL for each work, with a proxy between the two. */
async function recordAll(
  wanted: Work[],
  people: Person[],
  filled: Filled,
  jwtSecret: string,
): Promise<Map<Work, Script[]>> {
  say('Recording what Callboard sends to PostgreSQL')
  const capture = await startCapture(filled.url('callboard_api'))
  const callboard = await startCallboard(own, filled, jwtSecret, 1, capture.url)
  try {
    const scripts = new Map<Work, Script[]>()
    for (const work of wanted)
      if (work.hasNoLimit !== true)
        scripts.set(
          work,
          await record(
            callboard.url,
            filled.adminUrl,
            peopleFor(work, people),
            { ...work, variants: work.isLarge === true ? 1 : 8 },
            capture.take,
          ),
        )
    return scripts
  } finally {
    await callboard.stop()
    capture.close()
  }
}
