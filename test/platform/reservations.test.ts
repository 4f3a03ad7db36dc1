import { setTimeout as sleep } from 'node:timers/promises'
import { t } from '../support/tap.ts'
import { openClient } from '../support/client.ts'
import { startDatabase } from '../support/helper.ts'

t.test('a test gets a reserved connection also while an idle one is being closed', async t => {
  const db = await startDatabase(t)
  const tries = Array.from({ length: 12 }, async (_, n) => {
    const sql = openClient(db.url('callboard_api'))
    await sql`select 1`
    // Idle connections are closed after a second.
    await sleep(1000 + n)
    const late = new AbortController()
    const reserved = await Promise.race([
      sql.reserve(),
      sleep(10_000, undefined, { signal: late.signal }).catch(() => undefined),
    ])
    late.abort()
    if (reserved) {
      await reserved`select 1`
      reserved.release()
    }
    await sql.end({ timeout: 1 })
    return reserved !== undefined
  })
  for (const got of await Promise.all(tries)) t.ok(got)
})
