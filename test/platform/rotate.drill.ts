// docs/operate/rotate.md under load: keys and passwords are replaced, and no request fails.
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { withUrl } from '../../src/database/provision.ts'
import { fences, read } from '../support/documents.ts'
import { password, register, startDatabase, startServer, superadmin, until } from '../support/helper.ts'
import { type ServerProcess, startServerProcess } from '../support/server-process.ts'
import { t } from '../support/tap.ts'

const { ADMIN_DATABASE_URL = '', TEST_PASSWORD = '' } = process.env
const [old, next] = [
  'the key before the rotation, of 32 letters',
  'the key after the rotation, of 32 letters',
]
/** How long an access token lives, in seconds. */
const lifetime = 10
const other = 'another-password'

interface Live {
  process: ServerProcess
  url: string
  /** Requests that it has not answered yet. */
  busy: number
}

t.test('keys and passwords are replaced without a failed request', async t => {
  const db = await startDatabase(t)
  const admin = postgres(ADMIN_DATABASE_URL, { max: 1, onnotice: () => {} })
  const secondLogin = fences(read('docs/operate/rotate.md')).find(({ text }) =>
    text.startsWith('create role'),
  )
  // The roles belong to the server, which other tests use afterwards.
  t.teardown(async () => {
    for (const role of ['api', 'worker', 'support', 'migrator', 'auditor'].map(name => `callboard_${name}`))
      await admin.unsafe(`alter role ${role} password '${TEST_PASSWORD}'`)
    await admin.unsafe('drop role if exists callboard_api_2')
    await admin.end()
  })
  /** Sets a password as the document says, in the database of Callboard. */
  const change = (role: string, secret: string | null) =>
    db.admin.begin(async sql => {
      await sql.unsafe(`alter role ${role} password ${secret === null ? 'null' : `'${secret}'`}`)
      await sql`select app_private.accept_passwords()`
    })
  const look = async () => {
    const [row] = await db.admin<[{ done: { failed: number } }]>`select app.check_passwords() as done`
    return row.done.failed
  }
  t.equal(await look(), 0)
  const ana = await register(await startServer(t, { JWT_SECRET: old }, db), 'Ana')

  let settings: Record<string, string> = {
    PORT: '0',
    LOG_LEVEL: 'info',
    DATABASE_URL: db.url('callboard_api'),
    JWT_SECRET: old,
    ACCESS_TOKEN_LIFETIME: String(lifetime),
    RATE_LIMIT: '1000000',
    SIGN_IN_LIMIT: '1000000',
    SIGN_IN_LIMIT_ADDRESS: '1000000',
    SIGN_IN_LIMIT_ACCOUNT: '1000000',
    MAIL_LIMIT: '1000000',
    MAIL_LIMIT_ADDRESS: '1000000',
    POOL_SIZE: '4',
    EXPORT_DIR: t.testdir(),
  }
  async function start(): Promise<Live> {
    const process = startServerProcess(t, settings)
    const [, url = ''] = await process.says(/Server listening at (http:[^"]+)/)
    return { process, url, busy: 0 }
  }
  const live = [await start(), await start()]
  /** As a load balancer does: the new one takes the traffic, the old one finishes and ends. */
  async function restartAll(change: Record<string, string>) {
    settings = { ...settings, ...change }
    for (const [place, before] of live.entries()) {
      live[place] = await start()
      await until(() => before.busy === 0)
      before.process.child.kill('SIGTERM')
      t.same(await before.process.ended, { code: 0, signal: null })
    }
  }

  const failures: string[] = []
  let [answered, isOver] = [0, false]
  /** A request to any process, as its load balancer chooses. */
  async function ask<T>(method: string, path: string, { token, body }: { token?: string; body?: object }) {
    const chosen = live[Math.floor(Math.random() * live.length)] as Live
    chosen.busy += 1
    try {
      const response = await fetch(chosen.url + path, {
        method,
        headers: {
          ...(body && { 'content-type': 'application/json' }),
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
        },
        ...(body && { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      if (response.ok) answered += 1
      else failures.push(`${method} ${path}: ${response.status} ${text}`)
      return JSON.parse(text) as T
    } catch (error) {
      failures.push(`${method} ${path}: ${String(error)}`)
      return {} as T
    } finally {
      chosen.busy -= 1
    }
  }
  async function work() {
    while (!isOver) {
      const { access_token: token } = await ask<{ access_token: string }>('POST', '/api/auth/sign-in', {
        body: { email: ana.email, password },
      })
      for (const end = Date.now() + lifetime * 500; !isOver && Date.now() < end;) {
        await ask('GET', '/api/shows', { token })
        await ask('POST', '/api/shows', {
          token,
          body: { title: 'Tour', artist: 'The Gaslights', show_on: '2027-02-03' },
        })
        await sleep(20)
      }
    }
  }
  const workers = Array.from({ length: 6 }, work)
  const step = async (name: string, change: () => Promise<unknown>) => {
    const before = answered
    await change()
    // Some requests with everything new, too.
    await sleep(1000)
    t.same(failures, [], name)
    t.equal(await look(), 0, 'and no password that was not accepted')
    t.ok(answered - before > 50, `${answered - before} requests meanwhile`)
  }

  await step('the password of the support login, while no superadmin is at work', async () => {
    const server = await startServer(t, { JWT_SECRET: old }, db)
    const sue = await superadmin(server, await register(server, 'Sue'), ana.organization)
    const look = async () => {
      t.equal(
        (await ask<{ items?: object[] }>('GET', '/api/shows', { token: sue.token })).items !== undefined,
        true,
      )
    }
    const as = (secret: string) => ({
      SUPPORT_DATABASE_URL: withUrl(db.url('callboard_support'), { password: secret }),
    })
    await restartAll(as(TEST_PASSWORD))
    await look()
    await change('callboard_support', other)
    await restartAll(as(other))
    await look()
  })
  await step('the password of the API', async () => {
    await admin.unsafe(secondLogin?.text ?? '')
    await change('callboard_api_2', other)
    await restartAll({
      DATABASE_URL: withUrl(db.url('callboard_api'), { user: 'callboard_api_2', password: other }),
    })
    await change('callboard_api', null)
  })
  await step('JWT_SECRET, 1', () => restartAll({ JWT_SECRET_PREVIOUS: next }))
  await step('JWT_SECRET, 2', () => restartAll({ JWT_SECRET: next, JWT_SECRET_PREVIOUS: old }))
  await step('JWT_SECRET, 3', async () => {
    await sleep(lifetime * 1000)
    await restartAll({ JWT_SECRET_PREVIOUS: '' })
  })
  await step('the password of the worker', async () => {
    const run = (secret: string) =>
      startServerProcess(
        t,
        {
          LOG_LEVEL: 'info',
          WORKER_DATABASE_URL: withUrl(db.url('callboard_worker'), { password: secret }),
          EXPORT_DIR: settings['EXPORT_DIR'] ?? '',
        },
        'src/worker.ts',
      )
    const before = run(TEST_PASSWORD)
    await before.says(/working/)
    await change('callboard_worker', other)
    const after = run(other)
    await after.says(/working/)
    before.child.kill('SIGTERM')
    t.same(await before.ended, { code: 0, signal: null })
    const token = (
      await ask<{ access_token: string }>('POST', '/api/auth/sign-in', {
        body: { email: ana.email, password },
      })
    ).access_token
    const { id } = await ask<{ id: string }>('POST', '/api/analytics/export', {
      token,
      body: { resource: 'venues', format: 'csv' },
    })
    await until(async () => {
      const { status } = await ask<{ status: string }>('GET', `/api/analytics/export/${id}`, { token })
      return status === 'ready'
    })
    after.child.kill('SIGTERM')
    t.same(await after.ended, { code: 0, signal: null })
  })
  await step('the passwords of the migrator and the auditor, which no running program uses', async () => {
    for (const role of ['callboard_migrator', 'callboard_auditor']) {
      await change(role, other)
      for (const secret of [TEST_PASSWORD, other]) {
        const sql = postgres(withUrl(db.url(role), { password: secret }), { max: 1 })
        const said = await sql`select 1`.then(
          () => 'in',
          (error: unknown) => (error as { code: string }).code,
        )
        t.equal(
          said,
          secret === other ? 'in' : '28P01',
          `${role} with the ${secret === other ? 'new' : 'old'} one`,
        )
        await sql.end()
      }
    }
  })
  await step('the key of the signature', async () => {
    const statement = fences(read('db/README.md')).find(({ text }) =>
      text.startsWith('update app_private.context_keys'),
    )
    t.same((await db.admin.unsafe(statement?.text ?? '')).length, 1)
  })
  isOver = true
  await Promise.all(workers)
  t.same(failures, [])
})
