import { Counter, Histogram, type Registry } from 'prom-client'

// Each label value is a series of its own, kept for as long as the process lives.
const maxOrganizations = 100
const bounded = `organizations beyond the first ${maxOrganizations} are combined as other`

type Organization = string | null | undefined

/** What is counted by organization, in a bounded number of series. */
export interface OrganizationMetrics {
  /** A request of a member that has been answered. */
  answered: (organization: string, status: number, milliseconds: number) => void
  /** Refused with 429, by the name of the limit. */
  limited: (limit: string, organization?: Organization) => void
  refusedToken: (reason: string, organization: Organization) => void
  breach: (kind: string, organization: Organization) => void
}

/** Without an organization, such as before it is known, the label is empty. */
export function organizationMetrics(registry: Registry): OrganizationMetrics {
  const registers = [registry]
  const requests = new Histogram({
    name: 'callboard_organization_request_duration_seconds',
    help: `Requests of members and their duration, by class of status; ${bounded}`,
    labelNames: ['organization', 'status'],
    // Few, because each is a series for each organization.
    buckets: [0.1, 1],
    registers,
  })
  const limited = new Counter({
    name: 'callboard_rate_limited_total',
    help: `Requests refused with 429; ${bounded}`,
    labelNames: ['limit', 'organization'],
    registers,
  })
  const refusedTokens = new Counter({
    name: 'callboard_refused_tokens_total',
    help: `Access and refresh tokens that were refused, and why; ${bounded}`,
    labelNames: ['reason', 'organization'],
    registers,
  })
  const breaches = new Counter({
    name: 'callboard_isolation_breaches_total',
    help: `Transactions refused because they ended in a context other than the token’s organization; must be 0; ${bounded}`,
    labelNames: ['kind', 'organization'],
    registers,
  })
  // Present from the start: a dashboard without a series would not say that there was none.
  for (const kind of ['other_organization', 'no_context']) breaches.inc({ kind, organization: '' }, 0)

  const known = new Set<string>()
  function labelOf(organization: Organization): string {
    if (organization == null) return ''
    if (known.size < maxOrganizations) known.add(organization)
    return known.has(organization) ? organization : 'other'
  }
  return {
    answered: (organization, status, milliseconds) => {
      const labels = { organization: labelOf(organization), status: `${Math.floor(status / 100)}xx` }
      requests.observe(labels, milliseconds / 1000)
    },
    limited: (limit, organization) => {
      limited.inc({ limit, organization: labelOf(organization) })
    },
    refusedToken: (reason, organization) => {
      refusedTokens.inc({ reason, organization: labelOf(organization) })
    },
    breach: (kind, organization) => {
      breaches.inc({ kind, organization: labelOf(organization) })
    },
  }
}
