import { type Counters, whole } from './counters.ts'
import { ruleIn } from './rules.ts'

/** Which counts the requests of a session are charged to; without an organization, only the person's. */
export interface Payers {
  person: string
  organization?: string
}

/** How many requests of a session are in a count, and how many of these have not been served. */
interface Cost {
  key: string | undefined
  charged: number
  unserved: number
}

/** What a session has cost its payers in one window. */
interface Account {
  person: Cost
  organization: Cost
  since: number
  isRevoked: boolean
  isVerified: boolean
}

const costOf = (key: string | undefined): Cost => ({ key, charged: 0, unserved: 0 })

const maxSessions = 10_000

/**
 * The rule: a revoked token must not eat the budget of its organization, or of its person.
 *
 * A member who was removed, or whose session has ended, holds a valid token until it expires; that it is revoked
 * is known only once the database has refused a request made with it. Until then each request is charged to the
 * payers. From then on, for the rest of the window, the session's requests count against the caller's IP address
 * instead, and the payers are refunded what the session has cost them.
 */
export function chargedSessions({ refund }: Pick<Counters, 'refund'>) {
  const sessions = new Map<string, Account>()

  function accountOf(session: string, { person, organization }: Payers): Account {
    const now = performance.now()
    const known = sessions.get(session)
    const isSame = known?.person.key === person && known.organization.key === organization
    if (isSame && now - known.since <= ruleIn(person).window * 1000) return known
    for (const oldest of sessions.keys()) {
      if (sessions.size < maxSessions) break
      sessions.delete(oldest)
    }
    const account = {
      person: costOf(person),
      organization: costOf(organization),
      since: now,
      isRevoked: false,
      isVerified: false,
    }
    sessions.set(session, account)
    return account
  }
  const costsOf = ({ person, organization }: Account) => [person, organization]

  async function giveBack({ key }: Cost, requests: number) {
    if (key !== undefined && requests > 0) await refund(key, requests * whole)
  }

  return {
    /** Whether the payers are to be charged for a request. If its session is known to be revoked, the address pays. */
    mayCharge: (session: string, payers: Payers): boolean => !accountOf(session, payers).isRevoked,
    /** Notes that a request is in a count. */
    async charged(session: string, key: string): Promise<void> {
      const account = sessions.get(session)
      const cost = account && costsOf(account).find(each => each.key === key)
      if (!cost) return
      // It has turned out meanwhile.
      if (account.isRevoked) return giveBack(cost, 1)
      cost.charged += 1
      cost.unserved += 1
    },
    /** Notes that a request that was charged has been answered. */
    served(session: string) {
      const account = sessions.get(session)
      if (account) for (const cost of costsOf(account)) cost.unserved = Math.max(0, cost.unserved - 1)
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
     * Notes that a session is revoked, and refunds its payers. For a session that has ended, only what was not
     * served: otherwise a member could use it up, end it and begin another. For a member who was removed, the
     * organization everything: some routes still serve them.
     */
    async revoke(session: string, isStillMember: boolean): Promise<void> {
      const account = sessions.get(session)
      if (!account || account.isRevoked) return
      account.isRevoked = true
      const { person, organization } = account
      await giveBack(person, person.unserved)
      await giveBack(organization, isStillMember ? organization.unserved : organization.charged)
    },
  }
}
