// Which tables a function of the database touches, itself or through those that it calls, and who may call it.
import type { LiveFacts, Routine } from './live.ts'

export interface Touch {
  table: string
  command: 'select' | 'insert' | 'update' | 'delete'
}

const patterns: [Touch['command'], RegExp][] = [
  ['insert', /\binsert\s+into\s+([a-z_]+\.[a-z_]\w*)/gi],
  ['update', /\bupdate\s+(?:only\s+)?([a-z_]+\.[a-z_]\w*)/gi],
  ['delete', /\bdelete\s+from\s+(?:only\s+)?([a-z_]+\.[a-z_]\w*)/gi],
]

/** The tables that a function's own text names, each with the strongest that it does to it, and the functions that it calls. */
function named(text: string, facts: LiveFacts) {
  const touches = new Map<string, Touch>()
  const add = (table: string, command: Touch['command']) => {
    if (facts.tables.has(table)) touches.set(`${command} ${table}`, { table, command })
  }
  for (const [command, pattern] of patterns)
    for (const [, table = ''] of text.matchAll(pattern)) add(table, command)
  for (const [, name = ''] of text.matchAll(
    /\b((?:app|app_private|analytics|analytics_private)\.[a-z_]\w*)(?!\s*\()\b/g,
  ))
    if (!patterns.some(([command]) => touches.has(`${command} ${name}`))) add(name, 'select')
  const calls = [...text.matchAll(/\b((?:app|app_private|analytics|analytics_private)\.[a-z_]\w*)\s*\(/g)]
  return { touches: [...touches.values()], calls: new Set(calls.map(([, name = '']) => name)) }
}

/** What all functions of a database touch, with what they call. Dynamic SQL is not seen: its tables come at run time. */
export class Reach {
  readonly #facts: LiveFacts
  readonly #byName = new Map<string, Routine[]>()
  readonly #known = new Map<Routine, Touch[]>()

  constructor(facts: LiveFacts) {
    this.#facts = facts
    for (const routine of facts.routines.values()) {
      const name = routine.name.slice(0, routine.name.indexOf('('))
      this.#byName.set(name, [...(this.#byName.get(name) ?? []), routine])
    }
  }

  /** The tables that a function touches with the rights of its owner, or of a function that it calls. */
  of(routine: Routine): Touch[] {
    const known = this.#known.get(routine)
    if (known) return known
    const found = new Map<string, Touch>()
    const seen = new Set([routine])
    for (const one of seen) {
      const { touches, calls } = named(one.text, this.#facts)
      for (const touch of touches) found.set(`${touch.command} ${touch.table}`, touch)
      for (const call of calls) for (const other of this.#byName.get(call) ?? []) seen.add(other)
    }
    const touches = [...found.values()].sort((a, b) => (a.table < b.table ? -1 : a.table > b.table ? 1 : 0))
    this.#known.set(routine, touches)
    return touches
  }

  /** The SECURITY DEFINER functions through which a role does this to a table: role → function → owner. */
  through(role: string, table: string, command: Touch['command']): string[] {
    const roles = this.#facts.rolesOf(role)
    return [...this.#facts.routines.values()]
      .filter(
        routine =>
          routine.isDefiner &&
          routine.grantees.some(name => roles.includes(name)) &&
          this.of(routine).some(touch => touch.table === table && touch.command === command),
      )
      .map(routine => `${role} → ${routine.name} → ${routine.owner} → ${table}: ${command}`)
      .sort()
  }
}
