import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyRequest } from 'fastify'

/** How long a request waits for the role to follow its credential, in milliseconds; the worker goes on. */
const patience = 3000

/**
 * Takes the steps of db/schema/bi/bi_settling.sql, each in a transaction of its own, after the command has committed.
 * Whoever has the old password may be in the way, but sees nothing meanwhile. Returns whether none is left.
 */
export async function settleBiLogin(request: FastifyRequest, id: string): Promise<boolean> {
  const until = performance.now() + patience
  while (performance.now() < until) {
    const [row] = await request.anonymous(
      sql => sql<[{ settled: boolean }]>`select app.settle_bi_login(${id}) as settled`,
    )
    if (row.settled) return true
    await sleep(5)
  }
  return false
}
