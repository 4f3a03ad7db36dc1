import postgres from 'postgres'
import t from 'tap'
import { createDatabase, dropDatabase, withUrl } from '../src/database/provision.ts'
import { demoEmail, demoPassword } from '../src/demo.ts'
import { startDatabase, startServer } from './helper.ts'
import { run } from './program.ts'

/** Runs one of the scripts with settings and nothing else. */
const script = (name: string, settings: Record<string, string>) =>
  run(
    'env',
    '-i',
    `PATH=${process.env['PATH'] ?? ''}`,
    ...Object.entries(settings).map(pair => pair.join('=')),
    process.execPath,
    '--import',
    'tsx',
    `scripts/${name}.ts`,
  )

t.test('an empty database becomes a Callboard', async t => {
  const { url, name } = await startDatabase(t)
  const adminUrl = process.env['ADMIN_DATABASE_URL'] ?? ''
  const empty = `callboard_new_${name.slice(-12)}`
  await createDatabase(adminUrl, empty)
  t.teardown(() => dropDatabase(adminUrl, empty))
  const as = (role: string) => withUrl(url(role), { database: empty })
  const urls = { MIGRATOR_DATABASE_URL: as('callboard_migrator'), DATABASE_URL: as('callboard_api') }

  await t.test('by npm run migrate, which may be run again', async t => {
    const first = await script('migrate', { MIGRATOR_DATABASE_URL: urls.MIGRATOR_DATABASE_URL })
    t.equal(first.code, 0, first.output)
    t.match(first.output, /000001-the-foundation\.sql/)
    const second = await script('migrate', { MIGRATOR_DATABASE_URL: urls.MIGRATOR_DATABASE_URL })
    t.equal(second.code, 0)
    t.match(second.output, /up to date/i)
  })

  await t.test('and npm run seed loads the demo, once', async t => {
    const first = await script('seed', urls)
    t.same(first, { code: 0, output: `Loaded. Sign in as ${demoEmail} with "${demoPassword}".\n` })
    const second = await script('seed', urls)
    t.same(second, { code: 0, output: 'The demo is loaded already.\n' })
  })

  await t.test('in which two companies work, and each sees its own', async t => {
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

  await t.test('whose people have every role, and no session that was left open', async t => {
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

t.test('what the scripts refuse, they refuse with a sentence', async t => {
  const nowhere = 'postgres://callboard_migrator:hidden-password@127.0.0.1:1/callboard'
  for (const [name, settings, complaint] of [
    ['migrate', {}, /^Set MIGRATOR_DATABASE_URL to/],
    ['migrate', { MIGRATOR_DATABASE_URL: 'hidden-password' }, /MIGRATOR_DATABASE_URL: must be the URL/],
    ['migrate', { MIGRATOR_DATABASE_URL: nowhere }, /^MIGRATOR_DATABASE_URL: cannot .*ECONNREFUSED/],
    ['seed', {}, /^Set MIGRATOR_DATABASE_URL and DATABASE_URL/],
    [
      'seed',
      { MIGRATOR_DATABASE_URL: nowhere, DATABASE_URL: nowhere },
      /^The demo cannot be loaded: .*ECONNREFUSED/,
    ],
    [
      'seed',
      { NODE_ENV: 'production', MIGRATOR_DATABASE_URL: nowhere, DATABASE_URL: nowhere },
      /^The demo's password is public: it is not loaded in production\.$/,
    ],
  ] as const) {
    const { code, output } = await script(name, settings)
    t.equal(code, 1)
    t.match(output.trim(), complaint, name)
    t.notMatch(output, /hidden-password|\n +at /)
  }
})
