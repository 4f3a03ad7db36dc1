// A BI login may keep a transaction open by short statements. It cannot hold anybody up with that: neither for longer than
// a statement may last, nor a migration.
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { migrate } from '../../src/database/migrate.ts'
import { makeCredential } from '../support/bi.ts'
import { register, startServer, until } from '../support/helper.ts'
import { committed, later, withLater } from '../support/later.ts'

const server = await startServer(t, { BI_DATABASE_URL: '' })
const { db } = server
const ana = await register(server, 'Ana', 'Northlight')

/** A login that keeps transactions open, and opens another whenever one is ended. */
async function greedy(t: Test, { seconds, connections = 1 }: { seconds: number; connections?: number }) {
  const made = await makeCredential(server, ana, { statement_timeout_seconds: seconds })
  let [isOver, ended] = [false, 0]
  async function hold() {
    while (!isOver) {
      const client = new pg.Client(made.connect.uri.replace('sslmode=prefer', 'sslmode=disable'))
      client.on('error', () => {})
      try {
        await client.connect()
        await client.query('begin isolation level repeatable read')
        // Against what it is given.
        await client.query(
          'set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0',
        )
        await client.query('select count(*) from finance_by_month')
        while (!isOver) {
          await client.query('select 1')
          await sleep(20)
        }
      } catch {
        ended += 1
      } finally {
        await client.end().catch(() => {})
      }
    }
  }
  const holding = Array.from({ length: connections }, hold)
  const held = async () =>
    (await db.admin`select from pg_stat_activity where usename = ${made.login} and backend_xmin is not null`)
      .count
  await until(async () => (await held()) === connections)
  const stop = async () => {
    isOver = true
    await Promise.all(holding)
  }
  t.teardown(stop)
  return { made, ended: () => ended, stop }
}

t.test('a transaction of short statements ends when a statement would have had to', async t => {
  const began = Date.now()
  const { ended, stop } = await greedy(t, { seconds: 1 })
  const worker = db.as('callboard_worker')
  while (ended() === 0 && Date.now() - began < 30_000) {
    await worker`select app.reconcile_bi_logins()`
    await sleep(200)
  }
  const took = Date.now() - began
  t.ok(took > 1000 && took < 10_000, `after ${took} ms`)
  await stop()
})

const migrations: Record<string, string> = {
  'a lock': `lock table analytics_private.finance_by_month_recent in access exclusive mode;\n`,
  'old snapshots':
    '--! no-transaction\ncreate index concurrently if not exists venues_by_capacity on app.venues (organization_id, capacity);\n',
}
for (const [what, text] of Object.entries(migrations))
  t.test(`a migration that waits for ${what} gets through beside five of them`, async t => {
    const { made, ended, stop } = await greedy(t, { seconds: 3600, connections: 5 })
    const said: string[] = []
    const folder = withLater(t, { [later(1, 'in-the-way')]: text })
    const began = Date.now()
    await migrate(db.url('callboard_migrator'), line => said.push(line), { wait: 60, waitForBi: 2, folder })
    const took = Date.now() - began
    t.ok(took > 2000, `not before they had their time: ${took} ms`)
    t.ok(ended() > 0, `${ended()} transactions were ended`)
    t.ok(said.some(line => /^Ended \d+ transactions of BI tools/.test(line)))
    await stop()
    await db.admin`delete from graphile_migrate.migrations where filename like ${`${String(committed.length + 1).padStart(6, '0')}%`}`
    await server.call(`DELETE /api/bi-credentials/${made.id}`, { token: ana.token })
  })

t.test('who waits for nobody ends nobody', async t => {
  const { ended, stop } = await greedy(t, { seconds: 3600 })
  const migrator = db.as('callboard_migrator')
  t.same(await migrator`select app_private.end_bi_in_way() as ended`, [{ ended: '0' }])
  t.equal(ended(), 0)
  await stop()
})
