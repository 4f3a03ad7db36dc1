import { isIP } from 'node:net'
import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'

/** The address of a request, if PostgreSQL's inet can hold it: a proxy may pass on anything. */
export function addressOf(request?: Pick<FastifyRequest, 'ip'>): string | null {
  if (request === undefined || isIP(request.ip) === 0 || request.ip.includes('%')) return null
  // On a socket for both versions, a client of IPv4 comes as ::ffff:a.b.c.d, which is in no network of IPv4.
  return request.ip.replace(/^::ffff:(?=\d+\.)/i, '')
}

/** Where a request comes from, to count by: a client with one IPv6 address usually has its whole /64. */
export const networkOf = (request: Pick<FastifyRequest, 'ip'>): string =>
  normalizeIP(addressOf(request) ?? request.ip)
