import type { Settings } from '../isolation/contexts.ts'
import type { Tenant } from '../isolation/world.ts'

/** What an attacker knows: everything about their own organization, and more than they should about the other one. */
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
  /** … and of one in progress on another backend, whose process id this is. */
  elsewhere: Settings
  /** The setting of the latter in which a guarded context is. */
  guarded: string
  pid: number
}

export type Step = string | { sql: string; fails: string }

/** The outcome of an attack. Whatever it is, none of the victim's text shows anywhere and none of their rows change. */
export type Expected =
  /** The first statement that fails does so with one of these codes. */
  | { error: string }
  /** The last statement returns, or touches, no row. */
  | 'nothing'
  /** The last statement returns rows, and they are the attacker's own. */
  | 'own'
  /** The attack disturbs the context. A guarded one cannot be disturbed: own rows; a signed one is lost: none. */
  | 'undisturbed'
  /** The last statement returns one row of one column. */
  | { value: unknown }
  /** Anything, as long as it reveals nothing. */
  | 'anything'
  /** Exactly the same for a right guess as for a wrong one. */
  | { guess: (k: Knowledge) => { right: string; wrong: string } }

export interface Attack {
  name: string
  /**
   * Sent one after the other, each in one message that may contain several statements, in a transaction of
   * the attacker's own session. A step that must fail says how, and the attack continues.
   */
  steps: (k: Knowledge, guess: string) => Step[]
  expects: Expected
  /** What the attacker sends on the same connection after the victim's next request. */
  afterwards?: string[]
  /** Tables (and their monthly partitions) in which the attack changes rows of the victim, as anybody on the internet can: by requesting a mail. */
  mayChange?: string[]
}

/** A literal. */
export const q = (text: string | number) => `'${String(text).replaceAll("'", "''")}'`

/** A statement that sets settings without revealing the values. */
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
