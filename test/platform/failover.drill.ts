// "Fail over" of docs/operate/runbooks.md, with its own statements: a planned change of servers, and a primary that is
// gone before its standby has everything.
import { join as path } from 'node:path'
import { checkDatabase } from '../../src/database/safety.ts'
import { makeAccess } from '../support/access.ts'
import { restored, verified } from '../support/backup.ts'
import { withoutClusters } from '../support/clusters.ts'
import { recorder } from '../support/copy.ts'
import { fences, read } from '../support/documents.ts'
import { register, signIn, startServer, until } from '../support/helper.ts'
import { startStandby, type Standby } from '../support/standby.ts'
import { t } from '../support/tap.ts'
import { sealEvents } from '../support/sealing.ts'

/** The statement of the runbook in which something occurs. */
function statement(of: string): string {
  const found = fences(read('docs/operate/runbooks.md')).find(
    ({ language, text }) => language === 'sql' && text.includes(of),
  )
  if (!found) throw new Error(`docs/operate/runbooks.md has no ${of}`)
  return found.text
}

/** Looks at the standby and promotes it, as the runbook says. */
async function promote({ admin }: Standby): Promise<void> {
  const [isStandby] = await admin.unsafe(statement('as is_standby'))
  if (isStandby?.['is_standby'] !== true) throw new Error('not a standby')
  const [age] = await admin.unsafe(statement('newest_transaction_is_from'))
  if (age?.['newest_transaction_is_from'] === null) throw new Error('nothing has been replayed')
  const [row] = await admin.unsafe(statement('pg_promote'))
  if (row?.['pg_promote'] !== true) throw new Error('not promoted')
  await until(async () => {
    const [now] = await admin.unsafe(statement('as is_standby'))
    return now?.['is_standby'] === false
  })
}

t.test('a planned change of servers ends nothing', withoutClusters(), async t => {
  const standby = await startStandby(t)
  const { db, promoted } = standby
  const before = await startServer(t, {}, db)
  const ana = await register(before, 'Ana')
  const access = await makeAccess(t, before, ana)
  const works = await access.tried(before)
  for (const [what, status] of Object.entries(works)) t.equal(status, 200, `${what} works`)
  await sealEvents(db.as('callboard_worker'), '0 seconds')

  await standby.stopPrimary('fast')
  await promote(standby)
  await t.rejects(checkDatabase(promoted.url('callboard_api'), false), { message: /Run npm run restored/ })
  t.match(await restored(promoted, '--nothing-lost'), { code: 0, output: /may start\.\n$/ })
  await checkDatabase(promoted.url('callboard_api'), false)
  const after = await startServer(t, {}, promoted)
  t.same(await access.tried(after), works, 'everything goes on')
  await sealEvents(promoted.as('callboard_worker'), '0 seconds')
  t.match(await verified(promoted, ana), { ok: true })
})

t.test('a primary that is gone takes nothing with it that had ended', withoutClusters(), async t => {
  const standby = await startStandby(t)
  const { db, promoted } = standby
  const before = await startServer(t, {}, db)
  const ana = await register(before, 'Ana')
  const access = await makeAccess(t, before, ana)
  const stays = await signIn(before, ana.email)
  const record = recorder(t, db)
  const file = path(t.testdir(), 'ended.jsonl')
  await record(file)
  await standby.catchUp()
  // The last transactions do not arrive.
  await standby.stop()
  await access.end()
  await record(file)
  await standby.stopPrimary('immediate')
  await standby.start()
  await promote(standby)

  const after = await startServer(t, {}, promoted)
  for (const [what, status] of Object.entries(await access.tried(after)))
    t.equal(status, 200, `${what} would work again`)
  await t.rejects(checkDatabase(promoted.url('callboard_api'), false), { message: /Run npm run restored/ })
  t.match(await restored(promoted, '--ended', file), {
    code: 0,
    output: /\n {2}1 members\n[^]*may start\.\n/,
  })
  await checkDatabase(promoted.url('callboard_api'), false)
  // A removed member's session goes on, without that organization.
  const { 'the invitation': invitation } = await access.triedOnce(after)
  const ended = { ...(await access.tried(after)), 'the invitation': invitation ?? 0 }
  for (const [what, status] of Object.entries(ended)) t.ok(status >= 400, `${what} has ended: ${status}`)
  t.match(await after.call('GET /api/shows', stays), { status: 200 }, 'what had not ended goes on')
  await sealEvents(promoted.as('callboard_worker'), '0 seconds')
  t.match(await verified(promoted, ana), { ok: true })
})
