import { randomBytes } from 'node:crypto'
import { startCapture } from '../measure/capture.ts'
import { findPostmaster, peopleFor, type Fixtures } from './contenders.ts'
import { type Filled, prepare, say, type Server } from '../data/database.ts'
import { refresh } from '../data/fill.ts'
import { record, type Script } from '../measure/limit.ts'
import type { Options } from './options.ts'
import { type Person, signIn } from '../data/people.ts'
import { type Program, startCallboard } from './programs.ts'
import { makeLogins } from '../data/roles.ts'
import type { Size } from '../data/sizes.ts'
import { now, tidy } from './tidy.ts'
import { type Work, works } from './works.ts'

export interface Set {
  fixtures: Fixtures
  callboard: Program
  jwtSecret: string
  /** The works to measure. */
  works: Work[]
}
export type Undo = (() => Promise<unknown>)[]

/** Prepares everything for one size except the peers: the data, Callboard, signed-in users and the recorded statements. */
export async function setUp(server: Server, size: Size, options: Options, undo: Undo): Promise<Set> {
  const filled = await prepare(server, size, options.keep)
  await tidy(filled.adminUrl, filled.day)
  await refresh(filled.adminUrl)
  undo.push(await makeLogins(server, filled))
  const jwtSecret = randomBytes(32).toString('hex')
  const callboard = await startCallboard(filled, jwtSecret, options.pool)
  undo.push(() => callboard.stop())
  const people = await signIn(filled, callboard, options.people)
  const since = await now(filled.adminUrl)
  say(`${people.length} people have signed in`)
  const wanted = await available(works.filter(options.wants), people, callboard.url)
  const scripts = ['limit', 'no-rls', 'unsigned'].some(name => options.wants({ name }))
    ? await recordAll(wanted, people, filled, jwtSecret)
    : new Map<Work, Script[]>()
  await tidy(filled.adminUrl, since)
  const postmaster = await findPostmaster(filled.adminUrl)
  const { pool, asker } = options
  return {
    fixtures: { server, filled, people, since, scripts, postmaster, load: options, pool, asker },
    callboard,
    jwtSecret,
    works: wanted,
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
  const callboard = await startCallboard(filled, jwtSecret, 1, capture.url)
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
