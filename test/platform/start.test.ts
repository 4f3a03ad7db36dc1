import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { createDatabase, dropDatabase, withUrl } from '../../src/database/provision.ts'
import { versionProblem } from '../../src/database/safety.ts'
import { startDatabase, until } from '../support/helper.ts'
import { startProxy } from '../support/proxy.ts'
import { onUsr2, startServerProcess } from '../support/server-process.ts'

const secret = 'planted-secret-that-nobody-may-print'
const jwt = { JWT_SECRET: `${secret}-of-the-tokens` }

t.test('npm start with a given database', async t => {
  const db = await startDatabase(t)
  const api = db.url('callboard_api')
  const worker = db.url('callboard_worker')
  const start = (t: Test, settings: Record<string, string>) =>
    startServerProcess(t, { PORT: '0', NODE_ENV: 'development', ...jwt, ...settings })
  const [{ version }] = await db.admin<[{ version: number }]>`
    select current_setting('server_version_num')::integer as version`
  const problem = versionProblem(version)

  await t.test('uses it, starts none of its own, and leaves no connection behind', async t => {
    const server = start(t, { DATABASE_URL: api, WORKER_DATABASE_URL: worker })
    const [, url = ''] = await server.says(/Server listening at (http:[^"]+)/)
    t.equal((await fetch(`${url}/readyz`)).status, 200)
    t.notMatch(server.said.join('\n'), /Callboard is running|Creating/)
    const warnings = server.said.filter(line => line.includes('"level":40'))
    if (problem === undefined) t.same(warnings, [])
    else t.match(warnings, [problem.slice(0, 40)], 'a vulnerable server is a warning in development')
    server.child.kill('SIGTERM')
    t.same(await server.ended, { code: 0, signal: null })
    await until(async () => {
      const left = await db.admin`
        select from pg_stat_activity where datname = ${db.name} and usename in ('callboard_api', 'callboard_worker')`
      return left.length === 0
    })
  })

  await t.test('without the worker’s URL it serves, and says what it does not do', async t => {
    const server = start(t, { DATABASE_URL: api })
    await server.says(/WORKER_DATABASE_URL is not set: jobs wait for npm run worker/)
    await server.says(/Server listening/)
    server.child.kill('SIGINT')
    t.same(await server.ended, { code: 0, signal: null })
  })

  const empty = `callboard_empty_${db.name.slice(-12)}`
  const adminUrl = process.env['ADMIN_DATABASE_URL'] ?? ''
  await createDatabase(adminUrl, empty)
  t.teardown(() => dropDatabase(adminUrl, empty))
  const nobody = await startProxy(t, api)
  await nobody.stop()
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo

  const production = { NODE_ENV: 'production', PUBLIC_URL: 'https://callboard.example' }
  for (const [what, settings, complaint] of [
    [
      'a superuser',
      { DATABASE_URL: withUrl(adminUrl, { database: db.name }) },
      /^DATABASE_URL logs in as \w+, which is a superuser.*: use callboard_api/,
    ],
    [
      'the migrator',
      { DATABASE_URL: db.url('callboard_migrator') },
      /^DATABASE_URL logs in as callboard_migrator, which owns tables.*: use callboard_api/,
    ],
    [
      'the worker',
      { DATABASE_URL: worker },
      /^DATABASE_URL logs in as callboard_worker, which may not call app\.enter.*: use callboard_api/,
    ],
    [
      'a database without the schema',
      { DATABASE_URL: withUrl(api, { database: empty }) },
      /^The database has no Callboard schema: run npm run migrate first\.$/,
    ],
    [
      'a database that is down',
      { DATABASE_URL: nobody.through(api) },
      /^DATABASE_URL: cannot connect: .*ECONNREFUSED/,
    ],
    [
      'a host that does not exist',
      { DATABASE_URL: api.replace('127.0.0.1', 'nowhere.invalid') },
      /^DATABASE_URL: cannot connect: .*(ENOTFOUND|EAI_AGAIN)/,
    ],
    [
      'a wrong password',
      { DATABASE_URL: withUrl(api, { password: secret }) },
      /^DATABASE_URL: cannot connect: password authentication failed for user "callboard_api"$/,
    ],
    [
      'a database that does not exist',
      { DATABASE_URL: withUrl(api, { database: 'nowhere' }) },
      /^DATABASE_URL: cannot connect: database "nowhere" does not exist$/,
    ],
    [
      'a port that is taken',
      { DATABASE_URL: api, WORKER_DATABASE_URL: worker, PORT: String(port) },
      new RegExp(`^Port ${port} is used by another program: stop it, or set PORT\\.$`),
    ],
    [
      'an address of another machine',
      { DATABASE_URL: api, HOST: '192.0.2.1' },
      /^This machine does not have the address 192\.0\.2\.1: set HOST\.$/,
    ],
    [
      'an invalid address',
      { DATABASE_URL: api, HOST: 'nowhere.invalid' },
      /^This machine does not have the address nowhere\.invalid: set HOST\.$/,
    ],
    [
      'a setting of another type',
      { DATABASE_URL: api, POOL_SIZE: secret },
      /^Invalid configuration\.\n {2}POOL_SIZE: /,
    ],
    [
      'an invalid URL',
      { DATABASE_URL: secret },
      /^Invalid configuration\.\n {2}DATABASE_URL: must be the URL/,
    ],
    [
      'a secret that is too short',
      { DATABASE_URL: api, JWT_SECRET: secret.slice(0, 20) },
      /^Invalid configuration\.\n {2}JWT_SECRET: /,
    ],
    [
      'production without a database',
      production,
      /^Invalid configuration\.\n {2}DATABASE_URL: must be set in production$/,
    ],
  ] as const)
    await t.test(`${what} ends it, with a sentence that says what to do`, async t => {
      const server = start(t, settings)
      t.same(await server.ended, { code: 1, signal: null })
      t.match(server.complaint().trim(), complaint)
      t.notMatch(server.complaint(), /\n +at |node_modules/, 'no stack trace')
      t.notOk(
        (server.complaint() + server.said.join()).includes(secret.slice(0, 20)),
        'and repeats no secret',
      )
    })

  await t.test('it does not wait forever for a database that does not answer', async t => {
    const hangs = await startProxy(t, api)
    hangs.freeze()
    const server = start(t, { DATABASE_URL: hangs.through(api) })
    t.same(await server.ended, { code: 1, signal: null })
    t.match(server.complaint(), /^DATABASE_URL: cannot connect: .*in time.*\n$/)
  })

  await t.test('an uncaught error stops it gracefully, with a failure status', async t => {
    const server = start(t, { DATABASE_URL: api, ...onUsr2(`throw new Error('planted')`) })
    await server.says(/Server listening/)
    server.child.kill('SIGUSR2')
    t.same(await server.ended, { code: 1, signal: null })
    t.match((await server.says(/a bug/)).input, /"level":60.*planted/)
    await server.says(/"reason":"uncaughtException".*stopping/)
  })

  await t.test('a bug during startup ends it at once', async t => {
    const hangs = await startProxy(t, api)
    hangs.freeze()
    const server = start(t, { DATABASE_URL: hangs.through(api), ...onUsr2(`throw 'planted'`) })
    await until(() => hangs.connections() > 0)
    server.child.kill('SIGUSR2')
    t.same(await server.ended, { code: 1, signal: null })
    t.equal(server.complaint(), 'planted\n')
  })

  await t.test('a vulnerable server is refused in production', async t => {
    const server = start(t, { ...production, DATABASE_URL: api })
    if (problem === undefined) {
      await server.says(/Server listening/)
      return
    }
    t.same(await server.ended, { code: 1, signal: null })
    t.equal(server.complaint(), `${problem}\n`)
  })
})
