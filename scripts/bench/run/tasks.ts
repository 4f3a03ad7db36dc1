import type { Filled } from '../data/database.ts'
import type { Person } from '../data/people.ts'
import type { Measure } from '../measure/load.ts'
import type { Fixtures } from './contenders.ts'
import type { Program } from './programs.ts'

export interface Request {
  method: 'GET' | 'POST'
  path: string
  headers: Record<string, string>
  body?: string
}

/** An operation that is measured, and how it is requested from each contender. */
export interface Work {
  name: string
  title: string
  /** The expected status. */
  status: number
  /** The request of a person; `n` counts up, so that requests vary. */
  request: (person: Person, n: number) => Request
  /** What must be there before each measurement, and is deleted after it. */
  before?: (filled: Filled, people: Person[]) => Promise<void>
  /** It inserts rows, which are deleted after each measurement. */
  enters?: true
  /** Its statements cannot be replayed, so there is no limit to compare with. */
  hasNoLimit?: true
  /** The peers do not support it. */
  isOwn?: true
  /** Only people of the largest organization request it. */
  isLarge?: true
  /** The number of concurrent requests, if it differs from the general one. */
  connections?: number
  /** The minimum length of a measurement, for requests that take seconds. */
  seconds?: number
  /** The request to PostgREST. */
  postgrest?: (person: Person, n: number) => Request
}

/** Work that is no single request: only a Callboard does it, from beginning to end. */
export interface Procedure {
  name: string
  title: string
  enters?: true
  /** The number of rows that it is about. */
  rows?: number
  run: (fixtures: Fixtures, callboard: Program) => Promise<Measure>
}
export type Task = Work | Procedure

export const isRequest = (task: Task): task is Work => !('run' in task)
