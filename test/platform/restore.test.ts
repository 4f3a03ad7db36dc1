// The recipe of docs/operate/backup.md, with its own commands: a dump, and its restore on another server.
import { randomBytes } from 'node:crypto'
import { verifierOf } from '../../src/bi/connections.ts'
import { freePort } from '../../src/database/embedded/port.ts'
import { refuseCopy } from '../../src/database/origin.ts'
import { createPool } from '../../src/database/pool.ts'
import { checkDatabase, checkWorkerDatabase } from '../../src/database/safety.ts'
import { makeAccess } from '../support/access.ts'
import { factsOf, figuresOf, operate, recipe, restored, verified } from '../support/backup.ts'
import {
  adminUrl,
  databaseAt,
  openClusters,
  setPasswords,
  startCluster,
  withoutClusters,
} from '../support/clusters.ts'
import { refresh } from '../support/figures.ts'
import { aShow, register, signIn, startServer } from '../support/helper.ts'
import { t } from '../support/tap.ts'
import { sealEvents } from '../support/sealing.ts'

t.test('a dump restored as documented', withoutClusters(), async t => {
  const clusters = await openClusters(t)
  const source = await startCluster(clusters, 'source')
  const here = await startServer(t, {}, source.db)
  const ana = await register(here, 'Ana')
  for (const status of ['hold', 'confirmed'])
    await here.call('POST /api/shows', { token: ana.token, body: { ...aShow, status } })
  // A session of its own, which the test does not end.
  const { token } = await signIn(here, ana.email)
  const access = await makeAccess(t, here, ana)
  const works = await access.tried(here)
  await sealEvents(source.db.as('callboard_worker'), '0 seconds')
  await refresh(source.db)
  const sealed = await verified(source.db, ana)
  const figures = await figuresOf(here, token)

  const at = await operate(t)
  await at(adminUrl(source.port), recipe('pg_dump'))
  await access.end()
  const ended = await access.tried(here)
  t.same(Object.keys(ended), Object.keys(works))
  for (const [what, status] of Object.entries(works)) t.equal(status, 200, `${what} works`)
  for (const [what, status] of Object.entries(ended)) t.ok(status >= 400, `${what} has ended: ${status}`)

  const port = await freePort(0)
  await clusters.launch(await clusters.create('target'), port)
  const script = recipe('pg_restore').split('\n')
  const indexOfPrivileges = script.findIndex(line => line.includes('db/database.sql'))
  await at(adminUrl(port), script.slice(0, indexOfPrivileges).join('\n'))
  await setPasswords(port)
  const db = databaseAt(clusters, port)
  const there = await startServer(t, {}, db)

  await t.test('needs the privileges of the database, too', async t => {
    t.match(await restored(db), { code: 1, output: /^Run db\/database.sql in this database first/ })
    await at(adminUrl(port), script.slice(indexOfPrivileges).join('\n'))
  })

  await t.test('is the same database', async t => {
    t.same(await factsOf(db), await factsOf(source.db))
    t.same(await figuresOf(there, token), figures)
    for (const [path, [status]] of figures) t.equal(status, 200, path)
    t.same(await verified(db, ana), sealed)
    t.equal(sealed.ok, true)
  })

  await t.test('is not served before somebody has said that it is a copy', async t => {
    // The test's server does not ask; the role of a BI login is not in a dump.
    const made = await verifierOf(access.credential.password, randomBytes(16))
    await db.admin`select app_private.make_bi_role(${access.credential.id}, ${made}, 5, 300, 'infinity')`
    t.same(await access.tried(there), works, 'what has ended works in it')

    await t.rejects(checkDatabase(db.url('callboard_api'), false), { message: /Run npm run restored/ })
    await t.rejects(checkWorkerDatabase(db.url('callboard_worker')), { message: /Run npm run restored/ })
    const options = { url: db.url('callboard_api'), size: 1, deadline: 5000, prepare: true }
    const pool = createPool({ ...options, applicationName: 'test', admit: refuseCopy('primary') })
    t.teardown(() => pool.close())
    const used = () => pool.use(sql => sql`select 1`).then(() => 'yes')
    for (const round of [1, 2])
      await t.rejects(used(), { message: /is not served yet/ }, `a server, try ${round}`)

    const { code, output } = await restored(db)
    t.equal(code, 0, output)
    t.match(output, /^Ended:[^]* 1 bi logins\n[^]* 1 invitations\n[^]* 1 calendar feeds\n[^]*may start\.\n$/)
    t.equal(await used(), 'yes', 'the same server goes on')
    await checkWorkerDatabase(db.url('callboard_worker'))
    for (const [what, status] of [
      ...Object.entries(await access.tried(there)),
      ...Object.entries(await access.triedOnce(there)),
    ])
      t.ok(status >= 400, `${what} has ended: ${status}`)
    t.match(await there.call('GET /api/shows', { token }), { status: 401 }, 'and everything else')

    const again = await signIn(there, ana.email)
    const { body } = await there.call<{ items: { changes: { new: { restored_until: string } } }[] }>(
      'GET /api/audit/events?action=database.restore',
      again,
    )
    t.match(body.items, [{ actor_kind: 'system', changes: { new: { restored_until: /^20/ } } }])
    await sealEvents(db.as('callboard_worker'), '0 seconds')
    t.match(await verified(db, ana), { ok: true })
    t.match(await restored(db), { code: 0, output: /has not been restored/ })
  })

  await t.test('stops without what the document says, or is made good', async t => {
    const [, create = '', load = ''] = recipe('pg_restore')
      .replaceAll(/callboard(?=$| callboard.dump)/gm, 'other')
      .split('\n')
    await at(adminUrl(port), create)
    await t.rejects(at(adminUrl(port), load.replace('--enable-row-security', '')), {
      message: /query would be affected by row-level security/,
    })
    await at(
      adminUrl(port),
      `dropdb other; ${create}; ${load.replace(/--e\S+ --e\S+/, '')} || true; ${script.at(-2) ?? ''}`.replaceAll(
        '-d callboard',
        '-d other',
      ),
    )
    const other = databaseAt(clusters, port, 'other')
    t.match(await restored(other, '--nothing-lost'), {
      code: 0,
      output: /^Computed activity_by_day\.\n[^]*may start\.\n$/,
    })
    const server = await startServer(t, {}, other)
    t.match(await server.call('GET /api/shows', { token }), { status: 200 }, 'nothing has ended')
    t.same(await figuresOf(server, token), figures)
  })
})
