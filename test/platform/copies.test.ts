// By what a copy of the past is known, and that programs which run while a database is replaced by one stop serving it.
import { randomUUID } from 'node:crypto'
import { checkDatabase, checkWorkerDatabase, UnsafeDatabase } from '../../src/database/safety.ts'
import { createDatabase, dropDatabase, withUrl } from '../../src/database/provision.ts'
import { type Database, register, startDatabase, startServer, until } from '../support/helper.ts'
import { startServerProcess } from '../support/server-process.ts'
import { t } from '../support/tap.ts'

const adminUrl = process.env['ADMIN_DATABASE_URL'] ?? ''
const secret = 'a secret that only this test knows, and of 32 letters'

/** As in a copy: where the database was is not where it is. */
const becomeCopy = ({ admin }: Database, of: string) =>
  admin`update app_private.origin set facts = facts || jsonb_build_object(${of}::text, '7')`
const accept = ({ admin }: Database) => admin`select app_private.accept_origin()`
const isServed = (db: Pick<Database, 'url'>) =>
  Promise.all([
    checkDatabase(db.url('callboard_api'), false),
    checkWorkerDatabase(db.url('callboard_worker')),
  ]).then(
    () => true,
    (error: unknown) => {
      if (error instanceof UnsafeDatabase && /Run npm run restored/.test(error.message)) return false
      throw error
    },
  )

t.test('a copy is known by its server, its timeline and two oids', async t => {
  const db = await startDatabase(t)
  t.equal(await isServed(db), true)
  const [{ facts }] = await db.admin<
    [{ facts: Record<string, string> }]
  >`select app_private.present_origin() as facts`
  t.same(Object.keys(facts).sort(), ['database', 'server', 'table', 'timeline'])
  for (const of of Object.keys(facts)) {
    await becomeCopy(db, of)
    t.equal(await isServed(db), false, of)
    await accept(db)
    t.equal(await isServed(db), true, of)
  }
  await db.admin`update app_private.origin set facts = facts - 'server'`
  t.equal(await isServed(db), true, 'what a hosted server does not tell is not compared')
  await db.admin`delete from app_private.origin`
  t.equal(await isServed(db), false, 'a database that does not know where it was')
})

t.test('a clone is a copy', async t => {
  const { name, url } = await startDatabase(t)
  const clone = `${name.slice(0, 40)}_${randomUUID().slice(0, 8)}`
  await createDatabase(adminUrl, clone, name)
  t.teardown(() => dropDatabase(adminUrl, clone))
  t.equal(await isServed({ url: role => withUrl(url(role), { database: clone }) }), false)
})

t.test('programs that are running do not serve a copy that takes the place of their database', async t => {
  const db = await startDatabase(t)
  const ana = await register(await startServer(t, { JWT_SECRET: secret }, db), 'Ana')
  const server = startServerProcess(t, {
    PORT: '0',
    JWT_SECRET: secret,
    DATABASE_URL: db.url('callboard_api'),
    WORKER_DATABASE_URL: db.url('callboard_worker'),
    EXPORT_DIR: t.testdir(),
  })
  const [, url = ''] = await server.says(/Server listening at (http:[^"]+)/)
  const ask = async (method: string, path: string, body?: object) => {
    const headers = {
      authorization: `Bearer ${ana.token}`,
      ...(body && { 'content-type': 'application/json' }),
    }
    const response = await fetch(url + path, { method, headers, ...(body && { body: JSON.stringify(body) }) })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }
  t.match(await ask('GET', '/api/shows'), { status: 200 })

  await becomeCopy(db, 'timeline')
  // As a server that stops does.
  await db.admin`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and usename in ('callboard_api', 'callboard_worker')`
  // The first request may find its connection lost.
  let answer = await ask('GET', '/api/shows')
  await until(async () => {
    answer = await ask('GET', '/api/shows')
    return /restored/.test(String(answer.body['detail']))
  })
  t.match(answer, { status: 503, body: { type: '/problems/database_unavailable' } })
  t.match(await ask('GET', '/readyz'), { status: 503, body: { parts: { database: 'failing' } } })
  await until(() => server.said.some(line => /Run npm run restored.*not ready/.test(line)))
  const isWaiting = async () => {
    const { count } =
      await db.admin`select from graphile_worker.jobs where task_identifier = 'refresh_figures'`
    return count > 0
  }
  await db.admin`select app_private.add_job('refresh_figures', '{}')`
  // What each worker does every few seconds, or, if it has lost all its connections, before anything else.
  await until(() => server.said.some(line => /Run npm run restored.*(?:heartbeat|job queue)/.test(line)))
  t.equal(await isWaiting(), true)

  await accept(db)
  t.match(await ask('GET', '/api/shows'), { status: 200 }, 'until somebody has dealt with it')
  await until(async () => !(await isWaiting()))
})
