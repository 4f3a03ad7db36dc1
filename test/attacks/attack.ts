import type { Settings } from '../isolation/contexts.ts'
import type { Tenant } from '../isolation/world.ts'

/** What an attacker knows: all of their own organization, and of the other one more than they should. */
export interface Knowledge {
  a: Tenant
  b: Tenant
  /** The secret of the attacker's own session. */
  secret: string
  /** The id of a session of the victim's owner. */
  session: string
  slug: string
  /** The settings, signature included, of a transaction of the victim that ended on this very backend … */
  earlier: Settings
  /** … and of one that is under way on another backend, whose number this is. */
  elsewhere: Settings
  pid: number
}

export type Step = string | { sql: string; fails: string }

/** What comes of an attack. Whatever it is, no text of the victim shows anywhere and no row of theirs changes. */
export type Expected =
  /** The first statement that fails does so with one of these codes. */
  | { error: string }
  /** The last statement returns, or touches, no row. */
  | 'nothing'
  /** The last statement returns rows, and they are the attacker's own. */
  | 'own'
  /** The last statement returns one row of one column. */
  | { value: unknown }
  /** No matter what, as long as it tells nothing. */
  | 'anything'
  /** The very same for a guess that is right as for one that is wrong. */
  | { guess: (k: Knowledge) => { right: string; wrong: string } }

export interface Attack {
  name: string
  /**
   * Sent one after the other, each in one message that may hold several statements, in a transaction of
   * the attacker's own session. A step that is to fail says how, and the attack goes on.
   */
  steps: (k: Knowledge, guess: string) => Step[]
  expects: Expected
  /** What the attacker sends on the same connection after the victim's next request. */
  afterwards?: string[]
  /** Tables (their months, too) whose rows of the victim the attack changes, as anybody on the internet can: by asking for a mail. */
  mayChange?: string[]
}

/** A literal. */
export const q = (text: string | number) => `'${String(text).replaceAll("'", "''")}'`

/** A statement that sets settings, and does not say to what. */
export const set = (settings: Settings, isLocal = true) =>
  `select count(*) from (values ${Object.entries(settings)
    .map(([name, value]) => `(set_config(${q(name)}, ${q(value)}, ${isLocal}))`)
    .join(', ')}) as v`

/** The same attack with different statements: `[name, steps]` each. */
export const each = (
  expects: Expected,
  attacks: [name: string, ...sql: (string | ((k: Knowledge) => string))[]][],
): Attack[] =>
  attacks.map(([name, ...sql]) => ({
    name,
    steps: k => sql.map(step => (typeof step === 'string' ? step : step(k))),
    expects,
  }))
