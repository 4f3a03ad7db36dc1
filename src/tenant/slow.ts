import type { FastifyRequest } from 'fastify'

/** Logs a transaction that took long in a way that PostgreSQL's log can be joined with: by its process and by time. */
export const noteSlow =
  (request: FastifyRequest, organization: string | null, limit: number) =>
  (began: number, pid: number | null): void => {
    const ms = Math.round(performance.now() - began)
    if (ms < limit) return
    request.log.warn(
      {
        organization_id: organization,
        method: request.method,
        route: request.routeOptions.url ?? null,
        backend_pid: pid,
        began: new Date(Date.now() - ms).toISOString(),
        ms,
      },
      'slow transaction',
    )
  }
