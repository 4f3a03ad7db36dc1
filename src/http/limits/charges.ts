import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Counters, whole } from './counters.ts'
import { keyFor, type Rule, ruleIn } from './rules.ts'

/** Which limits there are, as the header RateLimit-Policy names them: see docs/reference/limits.md. */
export type Policy =
  | 'person'
  | 'organization'
  | 'address'
  | 'refused_token'
  | 'support'
  | 'sign_in'
  | 'sign_in_address'
  | 'sign_in_account'
  | 'mail'
  | 'mail_address'

/** A count that a request is charged to. */
export interface Charge {
  policy: Policy
  key: string
}
export const chargeTo = (policy: Policy, whom: string, rule: Rule): Charge => ({
  policy,
  key: keyFor(`${policy}:${whom}`, rule),
})

/** What is left of a limit after a request has been counted. */
export interface Count {
  remaining: number
  /** Whether this request was too many. */
  isExceeded: boolean
  /** Until the full limit is available again. */
  seconds: number
}

/** How a limit stands after a request has been charged to it. */
export interface Standing extends Charge, Count {}

/**
 * Charges a request to several counts, in turn. If one is used up, it refuses, and those before it get theirs
 * back: a request that one limit refuses must not use up another, which others may depend on.
 */
export async function charge(
  count: (key: string) => Promise<Count>,
  refund: Counters['refund'],
  charges: Charge[],
): Promise<Standing[]> {
  const standings: Standing[] = []
  for (const { policy, key } of charges) {
    const { remaining, isExceeded, seconds } = await count(key)
    const standing = { policy, key, remaining, isExceeded, seconds }
    if (standing.isExceeded) for (const { key } of standings) await refund(key, whole)
    standings.push(standing)
    if (standing.isExceeded) break
  }
  return standings
}

/** What the limits know of a request. */
export interface Bill {
  /** What is being counted. */
  key: string
  /** How all limits stand that it has been charged to. */
  standings: Standing[]
  /** What it was charged to, if it need not have been. */
  charges: Charge[]
  /** Whether its session is charged, which may turn out to be revoked. */
  isPaying: boolean
}
export const billOf = (request: FastifyRequest): Bill =>
  (request.bill ??= { key: '', standings: [], charges: [], isPaying: false })

/**
 * Says how all limits stand that a request has been charged to: RateLimit and RateLimit-Policy
 * (draft-ietf-httpapi-ratelimit-headers-10) name each, the older headers describe the one that is reached first.
 */
export function tell(reply: FastifyReply, standings: Standing[]): void {
  let policies = ''
  let left = ''
  let first: Standing | undefined
  for (const standing of standings) {
    const { policy, key, remaining, seconds, isExceeded } = standing
    const { requests, window } = ruleIn(key)
    const comma = first ? ', ' : ''
    policies += `${comma}"${policy}";q=${requests};w=${window}`
    left += `${comma}"${policy}";r=${remaining};t=${seconds}`
    if (!first || isExceeded || remaining < first.remaining) first = standing
  }
  if (!first) return
  void reply.header('ratelimit-policy', policies)
  void reply.header('ratelimit', left)
  void reply.header('ratelimit-limit', ruleIn(first.key).requests)
  void reply.header('ratelimit-remaining', first.remaining)
  void reply.header('ratelimit-reset', first.seconds)
}
