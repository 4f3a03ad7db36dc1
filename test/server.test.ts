import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { createDatabase, dropDatabase, withUrl } from '../src/database/provision.ts'
import { aShow, startDatabase } from './helper.ts'

const theShow = { ...aShow, title: 'Unforgettable' }
const checkout = fileURLToPath(new URL('..', import.meta.url))

interface Started {
  child: ChildProcess
  output: () => string
  /** Waits for a text in what the server prints. */
  says: (pattern: RegExp) => Promise<RegExpExecArray>
  exit: Promise<number | null>
}

/** `npm start` without npm, whose own process would stand between the test and the server. */
function start(t: Test, settings: Record<string, string>): Started {
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.endsWith('DATABASE_URL')),
  )
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/server.ts'], {
    cwd: checkout,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...inherited, NODE_ENV: 'development', PORT: '0', ...settings },
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const exit = once(child, 'exit').then(([code]) => code as number | null)
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exit
  })
  const says = async (pattern: RegExp) => {
    for (;;) {
      const found = pattern.exec(text)
      if (found) return found
      if (child.exitCode !== null)
        throw new Error(`the server has stopped without ${String(pattern)}:\n${text}`)
      await Promise.race([once(child.stdout, 'data'), once(child.stderr, 'data'), exit])
    }
  }
  return { child, output: () => text, says, exit }
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return String(port)
}

async function folder(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'callboard-server-'))
  // As root the database runs as another user, who must be able to enter.
  await chmod(path, 0o755)
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

/** The processes of the PostgreSQL that has its data in the folder. */
function postgresIn(path: string): string[] {
  return execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
    .split('\n')
    .filter(line => line.includes(path) && line.includes('postgres'))
}

t.test('a fresh machine', async t => {
  const root = await folder(t)
  const settings = { DATA_DIR: join(root, 'data'), EMBEDDED_PORT: await freePort() }

  await t.test('gets a database with the demo, and is told how to sign in', async t => {
    const server = start(t, settings)
    const [, api] = await server.says(/API +(\S+)/)
    const [, docs] = await server.says(/Docs +(\S+)/)
    t.equal((await fetch(docs ?? '')).status, 200)
    const [, url, body] = await server.says(
      /curl -s (\S+) -H 'content-type: application\/json' \\\n +-d '(.*)'/,
    )
    const signedIn = await fetch(url ?? '', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: body ?? '',
    })
    t.equal(signedIn.status, 200)
    const { access_token: token } = (await signedIn.json()) as { access_token: string }
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const shows = (await (await fetch(`${api}/api/shows?limit=200`, { headers })).json()) as {
      items: unknown[]
    }
    t.ok(shows.items.length > 20, 'there is a season')
    t.equal(
      (await fetch(`${api}/api/shows`, { method: 'POST', headers, body: JSON.stringify(theShow) })).status,
      201,
    )

    t.ok(postgresIn(root).length > 0)
    server.child.kill('SIGTERM')
    t.equal(await server.exit, 0)
    t.same(postgresIn(root), [], 'its database has stopped with it')
  })

  await t.test('finds its data again, soon, also after kill -9', async t => {
    const killed = start(t, settings)
    await killed.says(/API/)
    killed.child.kill('SIGKILL')
    await killed.exit
    t.ok(postgresIn(root).length > 0, 'the database is left alone')

    const begin = performance.now()
    const server = start(t, settings)
    const [, api = ''] = await server.says(/API +(\S+)/)
    t.equal((await fetch(`${api}/readyz`)).status, 200)
    t.comment(`from the start to the first answer: ${((performance.now() - begin) / 1000).toFixed(1)} s`)
    t.notMatch(server.output(), /Loaded the demo/)
    const { access_token: token } = (await (
      await fetch(`${api}/api/auth/sign-in`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ email: 'ana@northlight.example', password: 'seven black umbrellas' }),
      })
    ).json()) as { access_token: string }
    const { items } = (await (
      await fetch(`${api}/api/shows?q=${theShow.title}`, {
        headers: { authorization: `Bearer ${token}` },
      })
    ).json()) as { items: unknown[] }
    t.equal(items.length, 1, 'the show of the first run is there')

    const second = start(t, { ...settings })
    t.equal(await second.exit, 1)
    t.match(second.output(), /already running/)
    t.equal((await fetch(`${api}/livez`)).status, 200, 'the first one goes on')

    server.child.kill('SIGINT')
    server.child.kill('SIGINT')
    t.equal(await server.exit, 0)
    t.same(postgresIn(root), [])
  })

  await t.test('says so when the port is taken, and leaves no database behind', async t => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    t.teardown(() => other.close())
    const { port } = other.address() as AddressInfo
    const server = start(t, { ...settings, PORT: String(port) })
    t.equal(await server.exit, 1)
    t.match(server.output(), `Port ${port} is taken by another program: stop it, or set PORT.`)
    t.notMatch(server.output(), /\n +at /, 'without a stack')
    t.same(postgresIn(root), [])
  })

  await t.test('is no place for production', async t => {
    const server = start(t, { ...settings, NODE_ENV: 'production' })
    t.equal(await server.exit, 1)
    for (const name of ['DATABASE_URL', 'JWT_SECRET', 'PUBLIC_URL'])
      t.match(server.output(), `${name}: must be set in production`)
  })
})

t.test('a stop', async t => {
  const db = await startDatabase(t)
  const settings = {
    DATABASE_URL: db.url('callboard_api'),
    WORKER_DATABASE_URL: db.url('callboard_worker'),
    JWT_SECRET: 'a secret of the tests, and of 32 letters',
  }

  await t.test('waits for requests that are under way', async t => {
    const server = start(t, settings)
    const [, url = ''] = await server.says(/listening at (http:[^"]+)/)
    await db.admin.begin(async lock => {
      // Signing up needs this table.
      await lock`lock table app.users in access exclusive mode`
      const body = JSON.stringify({
        email: 'ana@example.com',
        password: 'a long enough one',
        display_name: 'Ana',
        organization_name: 'Northlight',
      })
      const answer = fetch(`${url}/api/auth/register`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      })
      while (true) {
        const [waiting] =
          await db.admin`select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`
        if (waiting) break
      }
      server.child.kill('SIGTERM')
      await server.says(/"stopping"/)
      await lock`commit and chain`
      t.equal((await answer).status, 201)
    })
    t.equal(await server.exit, 0)
    const [user] = await db.admin`select from app.users where email = 'ana@example.com'`
    t.ok(user, 'what it answered is so')
  })
})

t.test('a database that is not fit to be served from', async t => {
  const db = await startDatabase(t)
  const jwt = { JWT_SECRET: 'a secret of the tests, and of 32 letters' }
  const adminUrl = withUrl(process.env['ADMIN_DATABASE_URL'] ?? '', { database: db.name })
  const closedPort = await freePort()
  const cases: [name: string, settings: Record<string, string>, says: RegExp | string][] = [
    [
      'a superuser',
      { ...jwt, DATABASE_URL: adminUrl },
      /logs in as .*, which is a superuser.* and so sees every organization: use callboard_api/,
    ],
    [
      'an owner',
      { ...jwt, DATABASE_URL: db.url('callboard_migrator') },
      /logs in as .*, which owns tables, or may become their owner/,
    ],
    [
      'no server',
      { ...jwt, DATABASE_URL: `postgres://callboard_api:x@127.0.0.1:${closedPort}/x` },
      /DATABASE_URL: cannot connect/,
    ],
    [
      'a wrong password',
      { ...jwt, DATABASE_URL: db.url('callboard_api').replace(/:[^:@]+@/, ':MARKED@') },
      /DATABASE_URL: cannot connect/,
    ],
    [
      'no key for the tokens',
      { DATABASE_URL: db.url('callboard_api') },
      'JWT_SECRET: must be set together with DATABASE_URL',
    ],
    ['a setting of the wrong kind', { PORT: 'MARKED' }, /PORT: /],
  ]
  for (const [name, settings, says] of cases) {
    await t.test(`${name} is refused with a sentence that says what to do`, async t => {
      const server = start(t, settings)
      t.equal(await server.exit, 1)
      t.match(server.output(), says)
      t.notMatch(server.output(), /\n +at |MARKED/, 'without a stack and without a value')
    })
  }

  await t.test('an old server is a warning in development and a refusal in production', async t => {
    const [{ version }] = await db.admin<
      [{ version: number }]
    >`select current_setting('server_version_num')::int as version`
    const isFixed = version % 10_000 >= ({ 15: 20, 16: 16, 17: 12, 18: 7 }[Math.floor(version / 10_000)] ?? 0)
    const settings = {
      ...jwt,
      DATABASE_URL: db.url('callboard_api'),
      WORKER_DATABASE_URL: db.url('callboard_worker'),
      PUBLIC_URL: 'https://callboard.example',
    }
    const development = start(t, settings)
    await development.says(/listening at/)
    t.equal(/CVE-2026-120154/.test(development.output()), !isFixed)
    development.child.kill('SIGTERM')
    t.equal(await development.exit, 0)
    const production = start(t, { ...settings, NODE_ENV: 'production' })
    if (isFixed) {
      await production.says(/listening at/)
      production.child.kill('SIGTERM')
      t.equal(await production.exit, 0)
    } else {
      t.equal(await production.exit, 1)
      t.match(production.output(), /lets row-level security be bypassed .*: update it to/)
    }
  })
})

t.test('the scripts of package.json', async t => {
  const adminUrl = process.env['ADMIN_DATABASE_URL'] ?? ''
  const name = `callboard_test_scripts_${process.pid}`
  await createDatabase(adminUrl, name)
  t.teardown(() => dropDatabase(adminUrl, name))
  const as = (user: string) =>
    withUrl(adminUrl, { database: name, user, password: process.env['TEST_PASSWORD'] ?? '' })
  const urls = { MIGRATOR_DATABASE_URL: as('callboard_migrator'), DATABASE_URL: as('callboard_api') }
  const script = async (file: string, settings: Record<string, string>) => {
    const inherited = Object.fromEntries(
      Object.entries(process.env).filter(([key]) => !key.endsWith('DATABASE_URL')),
    )
    const child = spawn(process.execPath, ['--import', 'tsx', `scripts/${file}.ts`], {
      cwd: checkout,
      env: { ...inherited, ...settings },
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const [code] = (await once(child, 'close')) as [number]
    return { code, output }
  }

  await t.test('a database without the schema is refused, and migrated', async t => {
    const server = start(t, { ...urls, JWT_SECRET: 'a secret of the tests, and of 32 letters' })
    t.equal(await server.exit, 1)
    t.match(server.output(), 'run npm run migrate first')
    t.match(await script('migrate', urls), {
      code: 0,
      output: /1 committed migrations executed|Up to date|migration/,
    })
    t.match(await script('migrate', urls), { code: 0 }, 'again does no harm')
    t.match(await script('migrate', {}), { code: 1, output: /Set MIGRATOR_DATABASE_URL/ })
  })

  await t.test('the demo is loaded once, and never in production', async t => {
    t.match(await script('seed', { ...urls, NODE_ENV: 'production' }), {
      code: 1,
      output: /not loaded in production/,
    })
    t.match(await script('seed', urls), { code: 0, output: /Sign in as ana@northlight.example/ })
    t.match(await script('seed', urls), { code: 0, output: /loaded already/ })
    t.match(await script('seed', {}), { code: 1, output: /Set MIGRATOR_DATABASE_URL and DATABASE_URL/ })
  })
})
