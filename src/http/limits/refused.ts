import type { Counters } from './counters.ts'
import { ruleIn } from './rules.ts'

/** What a session has asked in one window. */
interface Asking {
  key: string
  since: number
  /** How many of its requests are in the organization's count, and how many of them were not served. */
  charged: number
  unserved: number
  isRefused: boolean
  isDoubted: boolean
}

const mostKnown = 10_000

/**
 * Who was removed, or has lost a session, holds a token of the organization until it expires. That it is
 * good for nothing is known only when the database has refused it: for the rest of the window the
 * organization is not charged for this session, and it gets back what it was charged.
 */
export function refusedSessions({ giveBack }: Pick<Counters, 'giveBack'>) {
  const sessions = new Map<string, Asking>()

  return {
    /** Notes that a session asks; whether its organization is charged for that. */
    ask(session: string, key: string): boolean {
      const now = Date.now()
      let found = sessions.get(session)
      if (!found || found.key !== key || now - found.since > ruleIn(key).window * 1000) {
        for (const oldest of sessions.keys()) {
          if (sessions.size < mostKnown) break
          sessions.delete(oldest)
        }
        found = { key, since: now, charged: 0, unserved: 0, isRefused: false, isDoubted: false }
        sessions.set(session, found)
      }
      if (found.isRefused) return false
      found.charged += 1
      found.unserved += 1
      return true
    },
    served(session: string) {
      const found = sessions.get(session)
      if (found && found.unserved > 0) found.unserved -= 1
    },
    /** Whether somebody should find out what a session is worth: once in a window. */
    doubt(session: string): boolean {
      const found = sessions.get(session)
      if (!found || found.isRefused || found.isDoubted) return false
      return (found.isDoubted = true)
    },
    /**
     * A session that has ended gives back what was not served: else one could use it up, end it and begin
     * with another. A member who was removed gives back all, as there are routes that serve them still.
     */
    async refused(session: string, isMember: boolean): Promise<void> {
      const found = sessions.get(session)
      if (!found || found.isRefused) return
      found.isRefused = true
      const requests = isMember ? found.unserved : found.charged
      if (requests > 0) await giveBack(found.key, requests)
    },
  }
}
