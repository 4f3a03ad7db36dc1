import { spawn } from 'node:child_process'
import { once } from 'node:events'
import postgres from 'postgres'
import { t } from '../support/tap.ts'
import { createDatabase, dropDatabase, withUrl } from '../../src/database/provision.ts'
import { demoEmail, demoPassword } from '../../src/demo/demo.ts'
import { startDatabase, startServer, until } from '../support/helper.ts'
import { programArgs, root, run } from '../support/program.ts'

/** Runs one of the scripts with settings and nothing else. */
const script = (name: string, settings: Record<string, string>) =>
  run(
    'env',
    '-i',
    `PATH=${process.env['PATH'] ?? ''}`,
    ...Object.entries(settings).map(pair => pair.join('=')),
    process.execPath,
    ...programArgs(`scripts/db/${name}.ts`),
  )

t.test('an empty database becomes a Callboard', async t => {
  const { url, name } = await startDatabase(t)
  const adminUrl = process.env['ADMIN_DATABASE_URL'] ?? ''
  const empty = `callboard_new_${name.slice(-12)}`
  await createDatabase(adminUrl, empty)
  t.teardown(() => dropDatabase(adminUrl, empty))
  const as = (role: string) => withUrl(url(role), { database: empty })
  const urls = { MIGRATOR_DATABASE_URL: as('callboard_migrator'), DATABASE_URL: as('callboard_api') }

  await t.test('by npm run migrate, which can be run again', async t => {
    const first = await script('migrate', { MIGRATOR_DATABASE_URL: urls.MIGRATOR_DATABASE_URL })
    t.equal(first.code, 0, first.output)
    t.match(first.output, /000001-callboard\.sql/)
    const second = await script('migrate', { MIGRATOR_DATABASE_URL: urls.MIGRATOR_DATABASE_URL })
    t.equal(second.code, 0)
    t.match(second.output, /up to date/i)
  })

  await t.test('and npm run seed loads the demo, once', async t => {
    const first = await script('seed', urls)
    t.same(first, { code: 0, output: `Loaded. Sign in as ${demoEmail} with "${demoPassword}".\n` })
    const second = await script('seed', urls)
    t.same(second, { code: 0, output: 'The demo is already loaded.\n' })
  })

  await t.test('in which two companies work, each seeing its own data', async t => {
    const server = await startServer(t, { DATABASE_URL: urls.DATABASE_URL })
    const titles: Set<string>[] = []
    for (const email of [demoEmail, 'erin@harbourstage.example']) {
      const { status, body } = await server.call<{ access_token: string }>('POST /api/auth/sign-in', {
        body: { email, password: demoPassword },
      })
      t.equal(status, 200)
      const shows = await server.call<{ items: { title: string }[] }>('GET /api/shows?limit=200', {
        token: body.access_token,
      })
      t.equal(shows.body.items.length, 28)
      titles.push(new Set(shows.body.items.map(show => show.title)))
    }
    t.equal([...(titles[0] ?? [])].filter(title => titles[1]?.has(title)).length, 0)
  })

  await t.test('whose people have every role, and no open session', async t => {
    const admin = postgres(withUrl(adminUrl, { database: empty }), { max: 1 })
    t.teardown(() => admin.end({ timeout: 1 }))
    t.same(
      (await admin`select distinct role from app.memberships order by role`).map(
        row => row['role'] as string,
      ),
      ['admin', 'manager', 'owner', 'viewer'],
    )
    const open = await admin`select from app.sessions where revoked_at is null and user_agent is null`
    t.same(open.length, 0)
  })
})

t.test('a demo cut off by kill -9 is completed by the next run', async t => {
  const db = await startDatabase(t)
  const settings = {
    MIGRATOR_DATABASE_URL: db.url('callboard_migrator'),
    DATABASE_URL: db.url('callboard_api'),
  }
  const counts = async () => {
    const [row] = await db.admin`
      select (select count(*)::int from app.users) as users, (select count(*)::int from app.memberships) as members,
        (select count(*)::int from app.venues) as venues,
        array(select count(*)::int from app.shows group by organization_id) as shows`
    return row
  }
  /** Loads the demo until it waits for this test's lock, and kills it there. */
  async function cutOff(lock: (sql: postgres.TransactionSql) => Promise<unknown>) {
    await db.admin.begin(async sql => {
      await lock(sql)
      const child = spawn(process.execPath, programArgs('scripts/db/seed.ts'), {
        cwd: root,
        env: { PATH: process.env['PATH'], ...settings },
        stdio: 'ignore',
      })
      t.teardown(() => child.kill('SIGKILL'))
      const waiting = () => db.admin`
        select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = ${db.name}`
      await until(async () => (await waiting()).length > 0, 30)
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      t.same(await ended, [null, 'SIGKILL'])
    })
    // A backend that waited for the lock notices only now that its client is gone.
    await until(async () => {
      const left = await db.admin`
        select from pg_stat_activity where datname = ${db.name} and usename in ('callboard_api', 'callboard_migrator')`
      return left.length === 0
    })
  }

  await cutOff(sql => sql`lock table app.venues in share mode`)
  t.same(await counts(), { users: 8, members: 9, venues: 0, shows: [] }, 'before the first season')
  await cutOff(sql => sql`select from app.organizations where name = 'Harbour Stage' for update`)
  t.same(await counts(), { users: 8, members: 9, venues: 4, shows: [28] }, 'between the seasons')

  t.same(await script('seed', settings), {
    code: 0,
    output: `Loaded. Sign in as ${demoEmail} with "${demoPassword}".\n`,
  })
  const complete = { users: 8, members: 9, venues: 7, shows: [28, 28] }
  t.same(await counts(), complete)
  t.match((await script('seed', settings)).output, /already loaded/)
  t.same(await counts(), complete)
  t.same(await db.admin`select from app.users where email_verified_at is null`, [])
})

t.test('the scripts refuse with a clear sentence', async t => {
  const nowhere = 'postgres://callboard_migrator:hidden-password@127.0.0.1:1/callboard'
  for (const [name, settings, complaint] of [
    ['migrate', {}, /^Set MIGRATOR_DATABASE_URL to/],
    ['migrate', { MIGRATOR_DATABASE_URL: 'hidden-password' }, /MIGRATOR_DATABASE_URL: must be the URL/],
    ['migrate', { MIGRATOR_DATABASE_URL: nowhere }, /^MIGRATOR_DATABASE_URL: cannot .*ECONNREFUSED/],
    ['seed', {}, /^Set MIGRATOR_DATABASE_URL and DATABASE_URL/],
    [
      'seed',
      { MIGRATOR_DATABASE_URL: nowhere, DATABASE_URL: nowhere },
      /^The demo could not be loaded: .*ECONNREFUSED/,
    ],
    [
      'seed',
      { NODE_ENV: 'production', MIGRATOR_DATABASE_URL: nowhere, DATABASE_URL: nowhere },
      /^The demo is not loaded in production, because its password is public\.$/,
    ],
  ] as const) {
    const { code, output } = await script(name, settings)
    t.equal(code, 1)
    t.match(output.trim(), complaint, name)
    t.notMatch(output, /hidden-password|\n +at /)
  }
})
