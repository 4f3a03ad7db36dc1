// What a difference is, and what is said of it.
import type { Class } from './finding.ts'
import type { LiveFacts } from './live.ts'

/** A fact that is missing, that should not be, or that has another value. */
export interface Difference {
  subject: string
  expected?: string
  found?: string
}

export interface Judgement {
  class: Class
  says: string
  why?: string[]
}

/** Judges the differences whose subject matches; undefined leaves them to the next. */
export interface Judge {
  subject: RegExp
  judge: (groups: Record<string, string>, difference: Difference, facts: LiveFacts) => Judgement | undefined
}
