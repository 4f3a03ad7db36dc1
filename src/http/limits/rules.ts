import type { AccessToken } from '../tokens.ts'

/** A rate limit: requests per window, the window in seconds, and for how many seconds exceeding it blocks. */
export interface Rule {
  requests: number
  window: number
  block: number
}

/** What is counted, and by which rule: a new rule starts a new count, and so lifts a block. */
export const keyFor = (who: string, { requests, window, block }: Rule) =>
  `${who}:${requests}/${window}/${block}`

const parsed = new Map<string, Rule>()

/** The rule at the end of a key, always the same object for the same rule: each request asks several times. */
export function ruleIn(key: string): Rule {
  const text = key.slice(key.lastIndexOf(':') + 1)
  const known = parsed.get(text)
  if (known) return known
  const [requests = 0, window = 0, block = 0] = text.split('/').map(Number)
  const rule = { requests, window, block }
  parsed.set(text, rule)
  return rule
}

/**
 * What one person may use of it. Where the limit of an organization was agreed, its people's is in proportion; a
 * person has one count for all organizations with the same limit, so that founding more of them gives nobody more.
 */
export function shares(percent: number): (rule: Rule) => Rule {
  const known = new WeakMap<Rule, Rule>()
  return rule => {
    let share = known.get(rule)
    if (!share) {
      share = { ...rule, requests: Math.ceil((rule.requests * percent) / 100) }
      known.set(rule, share)
    }
    return share
  }
}

/** An organization's own values; null means the default. */
export interface OwnRule {
  requests: number | null
  window_seconds: number | null
  block_seconds: number | null
}

type Member = AccessToken & { org: string }
interface Known {
  rule: Rule
  /** When to look again. */
  until: number
  isNew: boolean
  looking?: Promise<void>
}

const timeout = 1000
const retryAfter = 1000
const maxOrganizations = 10_000

/**
 * The rules of organizations, kept for `lifetime` milliseconds. Only the first request of an organization
 * waits for the lookup; later ones use the old rule while one of them refreshes it, so a blocked
 * organization costs no more than that, and a change still reaches it.
 */
export function organizationRules(
  defaults: Rule,
  lifetime: number,
  look: (member: Member) => Promise<OwnRule | undefined>,
): (member: Member) => Promise<Rule> {
  const known = new Map<string, Known>()

  async function refresh(entry: Known, member: Member) {
    try {
      const own = await look(member)
      entry.rule = {
        requests: own?.requests ?? defaults.requests,
        window: own?.window_seconds ?? defaults.window,
        block: own?.block_seconds ?? defaults.block,
      }
      entry.until = performance.now() + lifetime
    } catch {
      // The user is no longer a member, or the database is down; the request itself will find out. The rest
      // of the organization keeps the rule it had.
      entry.until = performance.now() + Math.min(lifetime, retryAfter)
    }
    entry.isNew = false
    delete entry.looking
  }

  return async member => {
    let entry = known.get(member.org)
    if (!entry) {
      entry = { rule: defaults, until: -Infinity, isNew: true }
      for (const oldest of known.keys()) {
        if (known.size < maxOrganizations) break
        known.delete(oldest)
      }
      known.set(member.org, entry)
    }
    if (performance.now() >= entry.until) entry.looking ??= refresh(entry, member)
    if (entry.isNew && entry.looking) await within(timeout, entry.looking)
    return entry.rule
  }
}

async function within(milliseconds: number, work: Promise<void>) {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>(resolve => {
    timer = setTimeout(resolve, milliseconds)
  })
  await Promise.race([work, late])
  clearTimeout(timer)
}
