import type { Counters } from './counters.ts'
import { ruleIn } from './rules.ts'

/** What a session has cost its organization in one window. */
interface Account {
  /** The organization's count that is charged. */
  key: string
  since: number
  /** How many of its requests are in that count, and how many of these have not been served. */
  charged: number
  unserved: number
  isRevoked: boolean
  isVerified: boolean
}

const maxSessions = 10_000

/**
 * The rule: a revoked token must not eat its organization's budget.
 *
 * A member who was removed, or whose session has ended, holds a valid token until it expires; that it is revoked
 * is known only once the database has refused a request made with it. Until then each request is charged to the
 * organization. From then on, for the rest of the window, the session's requests count against the caller's IP
 * address instead, and the organization is refunded what the session has cost it.
 */
export function chargedSessions({ refund }: Pick<Counters, 'refund'>) {
  const sessions = new Map<string, Account>()

  function accountOf(session: string, key: string): Account {
    const now = Date.now()
    const known = sessions.get(session)
    if (known?.key === key && now - known.since <= ruleIn(key).window * 1000) return known
    for (const oldest of sessions.keys()) {
      if (sessions.size < maxSessions) break
      sessions.delete(oldest)
    }
    const account = { key, since: now, charged: 0, unserved: 0, isRevoked: false, isVerified: false }
    sessions.set(session, account)
    return account
  }

  return {
    /** Charges a request to the organization; false if its session is known to be revoked, and the address pays. */
    charge(session: string, key: string): boolean {
      const account = accountOf(session, key)
      if (account.isRevoked) return false
      account.charged += 1
      account.unserved += 1
      return true
    },
    /** Notes that a request that was charged has been answered. */
    served(session: string) {
      const account = sessions.get(session)
      if (account && account.unserved > 0) account.unserved -= 1
    },
    /**
     * Whether the database should be asked if a session is revoked, once a window: where the limit refuses all
     * of its requests, no route asks.
     */
    verifyOnce(session: string): boolean {
      const account = sessions.get(session)
      if (!account || account.isRevoked || account.isVerified) return false
      return (account.isVerified = true)
    },
    /**
     * Notes that a session is revoked, and refunds its organization. For a session that has ended, only what was
     * not served: otherwise a member could use it up, end it and begin another. For a member who was removed,
     * everything: some routes still serve them.
     */
    async revoke(session: string, isStillMember: boolean): Promise<void> {
      const account = sessions.get(session)
      if (!account || account.isRevoked) return
      account.isRevoked = true
      const requests = isStillMember ? account.unserved : account.charged
      if (requests > 0) await refund(account.key, requests)
    },
  }
}
