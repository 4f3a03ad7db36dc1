// From PostgreSQL 15 to the version that the tests run on, or to the server of UPGRADE_TO, a superuser's login: by a
// dump, with the commands of docs/operate/backup.md.
import { randomUUID } from 'node:crypto'
import { checkDatabase, checkWorkerDatabase } from '../../src/database/safety.ts'
import { createDatabase, createRoles, dropDatabase, withUrl } from '../../src/database/provision.ts'
import { migrate } from '../../src/database/migrate.ts'
import { factsOf, figuresOf, operate, recipe, restored, verified } from '../support/backup.ts'
import {
  adminUrl,
  logins,
  openClusters,
  password,
  startCluster,
  withoutClusters,
} from '../support/clusters.ts'
import { refresh } from '../support/figures.ts'
import { aShow, type Database, register, startServer } from '../support/helper.ts'
import { t } from '../support/tap.ts'
import { sealEvents } from '../support/sealing.ts'

const { ADMIN_DATABASE_URL = '', TEST_PASSWORD = '', UPGRADE_TO } = process.env

t.test('a database of PostgreSQL 15 on a newer one', withoutClusters(), async t => {
  const clusters = await openClusters(t)
  const source = await startCluster(clusters, 'source')
  const here = await startServer(t, {}, source.db)
  const ana = await register(here, 'Ana')
  const { token } = ana
  await here.call('POST /api/shows', { token, body: { ...aShow, status: 'confirmed' } })
  await sealEvents(source.db.as('callboard_worker'), '0 seconds')
  await refresh(source.db)
  const figures = await figuresOf(here, token)
  const sealed = await verified(source.db, ana)
  const at = await operate(t)
  await at(adminUrl(source.port), recipe('pg_dump'))

  const target = UPGRADE_TO ?? ADMIN_DATABASE_URL
  const secret = UPGRADE_TO === undefined ? TEST_PASSWORD : password
  const databaseOf = (name: string): Database => {
    const url = (role: string) => withUrl(target, { database: name, user: role, password: secret })
    const admin = clusters.connect(withUrl(target, { database: name }))
    return { name, url, admin, as: role => clusters.connect(url(role)) }
  }
  const name = `callboard_upgraded_${randomUUID().slice(0, 8)}`
  t.teardown(() => dropDatabase(target, name))
  const [, ...rest] = recipe('pg_restore').split('\n')
  // The same commands for a database of another name: the server may be shared.
  const named = rest
    .join('\n')
    .replaceAll(/ callboard$|=callboard |-d callboard /gm, found => found.replace('callboard', name))
  await createRoles(target, Object.fromEntries(logins.map(role => [role, secret])))
  await at(target, named)
  const db = databaseOf(name)
  const [{ version }] = await db.admin<
    [{ version: string }]
  >`select current_setting('server_version') as version`
  t.not(version.split('.')[0], '15', `now on ${version}`)

  await t.rejects(checkDatabase(db.url('callboard_api'), false), { message: /Run npm run restored/ })
  t.match(await restored(db, '--nothing-lost'), { code: 0, output: /may start/ })
  await checkDatabase(db.url('callboard_api'), false)
  await checkWorkerDatabase(db.url('callboard_worker'))
  const there = await startServer(t, {}, db)
  t.same(await figuresOf(there, token), figures, 'tokens and figures stay')
  t.same(await verified(db, ana), sealed)
  t.match(await there.call('POST /api/shows', { token, body: aShow }), { status: 201 })
  await sealEvents(db.as('callboard_worker'), '0 seconds')
  t.match(await verified(db, ana), { ok: true })
  t.match(await restored(db), { code: 0, output: /has not been restored/ })
  t.match(await restored(db, '--anyway'), { code: 0, output: /^Ended:[^]*may start/ })
  t.match(await there.call('GET /api/shows', { token }), { status: 401 }, 'ended all the same')

  const fresh = `callboard_fresh_${randomUUID().slice(0, 8)}`
  t.teardown(() => dropDatabase(target, fresh))
  await createDatabase(target, fresh)
  await migrate(databaseOf(fresh).url('callboard_migrator'))
  t.same(await factsOf(db), await factsOf(databaseOf(fresh)), 'as if it had been created there')
})
