// Who gets the places of a worker: what one organization queues keeps nobody else's jobs from starting.
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import type { Config } from '../../src/config.ts'
import type { Scheduled } from '../../src/jobs/schedule.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { aShow, password, register, startServer, type TestServer, until } from '../support/helper.ts'
import { startSilent } from '../support/silent.ts'

/** A task that only `queue` queues. */
const never = '0 0 30 2 *'
/** What a job does that does not end. */
const hang = 'select pg_sleep(500) /* hangs */'
const tasks: Scheduled[] = [
  { task: 'hang', cron: never, sql: hang },
  { task: 'upkeep', cron: never, sql: 'select 1' },
]
const kinds = ['mail', 'export', 'import']

function start(t: Test, { app, config, db }: TestServer, settings: Partial<Config> = {}) {
  const worker = startWorker(
    { ...config, SHUTDOWN_TIMEOUT: 0.1, ...settings },
    db.url('callboard_worker'),
    () => 'https://callboard.example',
    app.log,
    tasks,
  )
  t.teardown(() => worker.stop())
}

t.test('the places of a worker', async t => {
  const server = await startServer(t)
  const { db } = server
  const queue = (causer: string, jobs: number) => db.admin`
    select app_private.add_job('hang', '{}', max_attempts => 1, kind => k, causer => ${causer})
    from unnest(${kinds}::text[]) k, generate_series(1, ${jobs}::integer)`
  /** Whose jobs are running, of which kind. */
  const running = async () =>
    (
      await db.admin<{ flag: string }[]>`
        select f.flag from graphile_worker._private_jobs j, jsonb_object_keys(j.flags) f (flag)
        where j.locked_at is not null and f.flag like '%:%' order by 1`
    ).map(({ flag }) => flag)
  await queue('loud', 20)
  start(t, server)
  await until(async () => (await running()).length === 3)

  await t.test('are not for one organization alone, whatever it has queued', async t => {
    t.strictSame(await running(), ['export:loud', 'import:loud', 'mail:loud'])
    const began = Date.now()
    await queue('quiet', 1)
    await until(async () => (await running()).length === 6)
    t.ok(Date.now() - began < 2000, `another one's jobs start after ${Date.now() - began} ms`)
  })

  await t.test('are not all for work of organizations, however many of them have some', async t => {
    for (const causer of ['third', 'fourth', 'fifth']) await queue(causer, 5)
    for (let n = 0; n < 10; n++) {
      const began = Date.now()
      await db.admin`select app_private.add_job('upkeep', '{}', job_key => 'upkeep')`
      await until(
        async () =>
          (await db.admin`select from graphile_worker._private_jobs where key = 'upkeep'`).count === 0,
      )
      t.ok(Date.now() - began < 2000, `upkeep is done after ${Date.now() - began} ms`)
    }
    t.equal((await running()).length, 6, 'two of each kind')
  })
})

t.test('whoever sends requests that wait leaves half of the connections to others', async t => {
  const server = await startServer(t, { POOL_SIZE: '4' })
  const { app, call, db, pool } = server
  const blocked = async () =>
    (
      await db.admin`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    ).count
  const [loud, quiet] = [await register(server, 'Loud'), await register(server, 'Quiet')]
  const send = (url: string, payload: object, token?: string) =>
    app.inject({
      method: 'POST',
      url,
      payload,
      remoteAddress: '192.0.2.1',
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    })
  const person = (n: number) => ({
    email: `n${n}@example.com`,
    password,
    display_name: 'N',
    organization_name: `N ${n}`,
  })
  const everybody: Record<string, (n: number) => ReturnType<typeof send>> = {
    'an organization': () => send('/api/shows', aShow, loud.token),
    'a person, outside the organization': n =>
      send('/api/organizations', { name: `Of them ${n}` }, loud.token),
    'an address, before signing in': n => send('/api/auth/register', person(n)),
  }
  for (const [who, ask] of Object.entries(everybody))
    await t.test(who, async t => {
      const holding = await db.admin.reserve()
      t.teardown(() => {
        holding.release()
      })
      await holding`begin`
      await holding`lock table app.shows, app.organizations in share mode`
      const asked = Array.from({ length: 4 }, (_, n) => ask(n))
      await until(async () => pool.stats().waiting > 0 && (await blocked()) === 2)
      t.match(await call('GET /api/shows', { token: quiet.token }), { status: 200 })
      t.equal(await blocked(), 2)
      await holding`rollback`
      t.same([...new Set((await Promise.all(asked)).map(({ statusCode }) => statusCode))], [201])
    })
})

t.test('each job of an organization, or of an address before signing in, counts as its own', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const [ana, ben] = [await register(server, 'Ana'), await register(server, 'Ben')]
  await db.admin`delete from graphile_worker._private_jobs`
  await call('POST /api/auth/password/forgot', { body: { email: ana.email } })
  await call('POST /api/auth/password/forgot', { body: { email: ben.email } })
  await call('POST /api/invitations', { token: ana.token, body: { email: 'x@example.com', role: 'viewer' } })
  await call('POST /api/analytics/export', { token: ana.token, body: { resource: 'shows', format: 'csv' } })
  await call('POST /api/imports?resource=shows', {
    token: ana.token,
    body: 'title,artist,show_on\r\na,b,2027-01-01\r\n',
    headers: { 'content-type': 'text/csv' },
  })
  const found = await db.admin<{ task: string; flags: string[] }[]>`
    select t.identifier as task, array(select jsonb_object_keys(j.flags) order by 1) as flags
    from graphile_worker._private_jobs j join graphile_worker._private_tasks t on t.id = j.task_id order by j.id`
  const [first, second, ...others] = found.map(({ task, flags }) => [task, ...flags])
  t.match(first, ['send_mail', 'mail', /^mail:[0-9a-f]{32}$/])
  t.strictSame(second, first, 'two accounts, one address')
  t.strictSame(others, [
    ['send_mail', 'mail', `mail:${ana.organization}`],
    ['run_export', 'export', `export:${ana.organization}`],
    ['check_import', 'import', `import:${ana.organization}`],
  ])
})

t.test(
  'an export that is cancelled gives its place back at once, though the storage does not answer',
  async t => {
    const server = await startServer(t)
    const { call, db } = server
    const { token } = await register(server, 'Ana')
    const silent = await startSilent(t)
    start(t, server, {
      EXPORT_S3_BUCKET: 'callboard',
      EXPORT_S3_ENDPOINT: `http://${silent.address}`,
      EXPORT_S3_ACCESS_KEY_ID: 'key',
      EXPORT_S3_SECRET_ACCESS_KEY: 'secret',
    })
    const ask = async () =>
      (
        await call<{ id: string }>('POST /api/analytics/export', {
          token,
          body: { resource: 'shows', format: 'csv' },
        })
      ).body.id
    const status = async (id: string) =>
      (await call<{ status: string }>(`GET /api/analytics/export/${id}`, { token })).body.status
    const [first, second] = [await ask(), await ask()]
    await until(async () => (await status(first)) === 'running')
    // It is in the middle of storing.
    await until(
      async () =>
        (
          await db.admin`select from pg_stat_activity where datname = current_database()
        and application_name = 'callboard worker export' and state = 'idle in transaction'`
        ).count > 0,
    )
    t.equal(await status(second), 'queued', 'one at a time')
    const began = Date.now()
    t.match(await call(`POST /api/analytics/export/${first}/cancel`, { token }), {
      status: 200,
      body: { status: 'cancelled' },
    })
    await until(async () => (await status(second)) === 'running')
    t.ok(Date.now() - began < 5000, `the next one runs after ${Date.now() - began} ms`)
    t.equal(await status(first), 'cancelled')
  },
)
