// A recovery to a point in time, with the commands of docs/operate/backup.md: it brings back roles, too.
import { mkdir, chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkDatabase } from '../../src/database/safety.ts'
import { makeAccess } from '../support/access.ts'
import { recipe, restored, verified } from '../support/backup.ts'
import { openClusters, password, startCluster, withoutClusters } from '../support/clusters.ts'
import { aShow, register, signIn, startServer, until } from '../support/helper.ts'
import { t } from '../support/tap.ts'
import { sealEvents } from '../support/sealing.ts'

t.test('a database recovered to a point in time', withoutClusters(), async t => {
  const clusters = await openClusters(t)
  const { data, port, db } = await startCluster(clusters, 'source')
  const folder = (name: string) => join(clusters.folder, name)
  await mkdir(folder('archive'))
  await chmod(folder('archive'), 0o777)
  const at = (script: string, more: Record<string, string> = {}) =>
    clusters.sh(script, {
      PGHOST: '127.0.0.1',
      PGPORT: port,
      PGUSER: 'postgres',
      PGPASSWORD: password,
      PGDATA: data,
      ARCHIVE: folder('archive'),
      BASE: folder('base'),
      RESTORED: folder('restored'),
      ...more,
    })
  await at(recipe('pg_basebackup'))

  const before = await startServer(t, {}, db)
  const ana = await register(before, 'Ana')
  const access = await makeAccess(t, before, ana)
  const works = await access.tried(before)
  for (const [what, status] of Object.entries(works)) t.equal(status, 200, `${what} works`)
  await sealEvents(db.as('callboard_worker'), '0 seconds')
  const [{ moment }] = await db.admin<[{ moment: string }]>`select clock_timestamp()::text as moment`
  await sleep(100)
  const { token } = await signIn(before, ana.email)
  const lost = await before.call<{ id: string }>('POST /api/shows', { token, body: aShow })
  t.equal(lost.status, 201)
  await access.end()
  for (const [what, status] of Object.entries(await access.tried(before)))
    t.ok(status >= 400, `${what} has ended: ${status}`)
  await sealEvents(db.as('callboard_worker'), '0 seconds')
  const { checked } = await verified(db, ana)
  await db.admin`select pg_switch_wal()`
  await at('pg_ctl stop -w -D "$PGDATA" -m fast')

  // On the same port, as where a server is recovered in place.
  await at(recipe('pg_ctl start'), { UNTIL: moment })
  t.teardown(() => clusters.halt(folder('restored')))
  await until(async () => {
    const [row] = await db.admin<[{ isDone: boolean }]>`select not pg_is_in_recovery() as "isDone"`
    return row.isDone
  })
  await t.test('obeys the past until somebody has dealt with it', async t => {
    t.same(await access.tried(before), works, 'what has ended works in it')
    await t.rejects(checkDatabase(db.url('callboard_api'), false), { message: /Run npm run restored/ })
    const { code, output } = await restored(db)
    t.equal(code, 0, output)
    t.match(output, /\n[^]* 1 bi logins\n[^]*The last event of this copy is of 20[^]*may start\.\n$/)
    await checkDatabase(db.url('callboard_api'), false)
    for (const [what, status] of [
      ...Object.entries(await access.tried(before)),
      ...Object.entries(await access.triedOnce(before)),
    ])
      t.ok(status >= 400, `${what} has ended: ${status}`)
  })

  await t.test('has a log that goes on from there', async t => {
    const again = await signIn(before, ana.email)
    t.match(await before.call(`GET /api/shows/${lost.body.id}`, again), { status: 404 })
    await sealEvents(db.as('callboard_worker'), '0 seconds')
    const found = await verified(db, ana)
    t.equal(found.ok, true)
    t.not(found.checked, checked)
  })
})
