import { chmodSync, mkdtempSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { secret, startEmbedded } from '../../src/database/embedded.ts'
import { serversOf } from '../../src/database/embedded/processes.ts'
import { demoEmail, demoPassword } from '../../src/demo/demo.ts'
import { aShow, until } from '../support/helper.ts'
import { onUsr2, type ServerProcess, startServerProcess } from '../support/server-process.ts'

// With its own database in its own folder, as on a machine that has nothing else.
t.test('npm start on a fresh machine', async t => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'callboard-start-')))
  chmodSync(folder, 0o755)
  const data = join(folder, '.data')
  t.teardown(async () => {
    await until(() => postgresOf(data).length === 0)
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  })
  const settings = { DATA_DIR: data, PORT: '0', EMBEDDED_PORT: '0', LOG_LEVEL: 'info' }
  const start = (t: Test, more = {}) => startServerProcess(t, { ...settings, ...more })
  let show = ''

  await t.test('refuses a port that is taken before it fills a database', async t => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    t.teardown(() => other.close())
    const { port } = other.address() as AddressInfo
    const server = start(t, { PORT: String(port) })
    t.same(await server.ended, { code: 1, signal: null })
    t.equal(server.complaint(), `Port ${port} is used by another program: stop it, or set PORT.\n`)
    t.notMatch(server.said.join('\n'), /Creating|Loaded/)
    t.same(postgresOf(data), [])
  })

  await t.test('creates a database and says where to find it', async t => {
    const server = start(t)
    const { url, token } = await signInAsTold(t, server)
    t.match(server.said.join('\n'), /Creating the database.*\n(.*\n)*.*Loaded the demo/)
    t.equal((await server.says(/Docs +(\S+)/))[1], `${url}/docs`)
    t.equal((await fetch(`${url}/docs`)).status, 200)
    const shows = await ask(url, token, 'GET', '/api/shows?limit=200')
    t.equal(shows.status, 200)
    t.ok((shows.body['items'] as unknown[]).length > 20, 'the season of the demo')
    const made = await ask(url, token, 'POST', '/api/shows', { ...aShow, title: 'Kept' })
    t.equal(made.status, 201)
    show = String(made.body['id'])
    await ends(t, server, 'SIGTERM', 0)
    t.same(postgresOf(data), [], 'PostgreSQL has stopped with it')
  })

  await t.test('finds its data again, and starts at once', async t => {
    const began = performance.now()
    const server = start(t)
    const { url, token } = await signInAsTold(t, server)
    const ms = Math.round(performance.now() - began)
    t.comment(`from start to first response, a sign-in: ${ms} ms`)
    t.notMatch(server.said.join('\n'), /Creating|Loaded/)
    t.match(await ask(url, token, 'GET', `/api/shows/${show}`), { status: 200, body: { title: 'Kept' } })

    await t.test('a second one on the same data is refused', async t => {
      const second = start(t)
      t.same(await second.ended, { code: 1, signal: null })
      t.match(second.complaint(), /^another Callboard \(pid \d+\) is already running from .*\n$/)
      t.equal((await fetch(`${url}/livez`)).status, 200)
    })
    await ends(t, server, 'SIGINT', 0)
    t.same(postgresOf(data), [])
  })

  await t.test('starts PostgreSQL again when that is killed, or ends with a sentence', async t => {
    const server = start(t)
    const { url, token } = await signInAsTold(t, server)
    const killPostgres = () => {
      process.kill(
        Number.parseInt(readFileSync(join(data, 'postgres/postmaster.pid'), 'utf8'), 10),
        'SIGKILL',
      )
    }
    killPostgres()
    await server.says(/the embedded PostgreSQL has died: it is started again/)
    // Not by asking for the show until it comes: each answer counts for the limit of a person.
    await until(async () => (await ask(url, '', 'GET', '/readyz')).status === 200)
    t.equal((await ask(url, token, 'GET', `/api/shows/${show}`)).status, 200)

    const settingsFile = join(data, 'postgres/postgresql.conf')
    renameSync(settingsFile, `${settingsFile}.away`)
    t.teardown(() => {
      renameSync(`${settingsFile}.away`, settingsFile)
    })
    killPostgres()
    await server.says(/"level":60.*PostgreSQL did not start from .*fix what the end of its log/)
    t.same(await server.ended, { code: 1, signal: null })
  })

  await t.test('killed, it leaves PostgreSQL behind, and the next one takes over from there', async t => {
    const killed = start(t)
    const { url, token } = await signInAsTold(t, killed)
    t.equal((await ask(url, token, 'PATCH', `/api/shows/${show}`, { notes: 'before the kill' })).status, 200)
    killed.child.kill('SIGKILL')
    await killed.ended
    t.ok(postgresOf(data).length > 0)

    const server = start(t)
    const again = await signInAsTold(t, server)
    t.match(server.said.join('\n'), /Stopped a PostgreSQL server that a Callboard left behind/)
    t.match(await ask(again.url, again.token, 'GET', `/api/shows/${show}`), {
      body: { notes: 'before the kill' },
    })
    await ends(t, server, 'SIGTERM', 0)
    t.same(postgresOf(data), [])
  })

  await t.test('asked to stop, it answers the requests in progress, and then stops the database', async t => {
    const server = start(t)
    const { url, token } = await signInAsTold(t, server)
    const { free, isWaiting } = await hold(t, data, show)
    const slow = ask(url, token, 'PATCH', `/api/shows/${show}`, { notes: 'slow' })
    await until(isWaiting)
    server.child.kill('SIGTERM')
    await until(() =>
      fetch(`${url}/livez`).then(
        answer => answer.status === 503,
        () => true,
      ),
    )
    t.ok(postgresOf(data).length > 0, 'the database runs as long as it is needed')
    await free()
    t.match(await slow, { status: 200, body: { notes: 'slow' } })
    const answered = Date.now()
    t.same(await server.ended, { code: 0, signal: null })
    // The client would have kept its connection, and SHUTDOWN_TIMEOUT is ten seconds.
    t.ok(Date.now() - answered < 5000, `${Date.now() - answered} ms`)
    t.same(postgresOf(data), [])
  })

  await t.test(
    'asked to stop, it first says so to a proxy, and each connection ends with its answer',
    async t => {
      const server = start(t, { SHUTDOWN_DELAY: '2' })
      const { url, token } = await signInAsTold(t, server)
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      t.teardown(() => {
        agent.destroy()
      })
      const connectionAfter = (path: string) =>
        new Promise<string>((resolve, reject) => {
          const asked = get(url + path, { agent, headers: { authorization: `Bearer ${token}` } }, answer => {
            answer.resume().on('end', () => {
              resolve(`${answer.statusCode} ${answer.headers.connection}`)
            })
          })
          asked.on('error', reject)
        })
      t.equal(await connectionAfter('/api/shows'), '200 keep-alive')
      server.child.kill('SIGTERM')
      await server.says(/stopping/)
      t.equal(await connectionAfter('/readyz'), '503 close')
      t.equal(await connectionAfter('/api/shows'), '200 close', 'it still serves')
      t.same(await server.ended, { code: 0, signal: null })
    },
  )

  await t.test('asked twice, it does not wait', async t => {
    const server = start(t, { DATABASE_DEADLINE: '60', SHUTDOWN_TIMEOUT: '60' })
    const { url, token } = await signInAsTold(t, server)
    const { isWaiting } = await hold(t, data, show)
    const slow = ask(url, token, 'PATCH', `/api/shows/${show}`, { notes: 'slow' }).catch(() => 'cut off')
    await until(isWaiting)
    server.child.kill('SIGINT')
    await server.says(/stopping/)
    const began = Date.now()
    server.child.kill('SIGINT')
    t.equal(await slow, 'cut off')
    t.same(await server.ended, { code: 0, signal: null })
    t.ok(Date.now() - began < 15_000)
    t.same(postgresOf(data), [])
  })

  await t.test('a request that does not end is waited for, but not forever', async t => {
    const server = start(t, { DATABASE_DEADLINE: '60', SHUTDOWN_TIMEOUT: '0.5' })
    const { url, token } = await signInAsTold(t, server)
    const { isWaiting } = await hold(t, data, show)
    const slow = ask(url, token, 'PATCH', `/api/shows/${show}`, { notes: 'slow' }).catch(() => 'cut off')
    await until(isWaiting)
    await ends(t, server, 'SIGTERM', 0)
    t.equal(await slow, 'cut off')
    t.match(server.said.join('\n'), /closing their connections/)
    t.same(postgresOf(data), [])
  })

  await t.test(
    'a part that cannot be stopped is reported, and does not keep the database running',
    async t => {
      const server = start(t, {
        METRICS_PORT: '0',
        // The API's own listener is closed first, the metrics listener second.
        ...onUsr2(`
        const { close } = net.Server.prototype
        let calls = 0
        net.Server.prototype.close = function (...args) {
          if (calls++ > 0) throw new Error('planted')
          return close.apply(this, args)
        }
        console.log('broken')`),
      })
      await server.says(/Callboard is running/)
      server.child.kill('SIGUSR2')
      await server.says(/broken/)
      await ends(t, server, 'SIGTERM', 1)
      t.match((await server.says(/shutdown failed/)).input, /"level":60.*planted/)
      t.same(postgresOf(data), [])
    },
  )

  const hasIpv6 = Object.values(networkInterfaces()).some(list => list?.some(a => a.address === '::1'))
  for (const [host, printed] of [['0.0.0.0', 'localhost'], ...(hasIpv6 ? [['::1', '[::1]']] : [])] as const)
    await t.test(`listening at ${host}, it prints an address that can be opened`, async t => {
      const server = start(t, { HOST: host })
      const { url } = await signInAsTold(t, server)
      t.ok(url.startsWith(`http://${printed}:`), url)
      await ends(t, server, 'SIGTERM', 0)
    })

  await t.test('stopped during startup, it stops what it has started', async t => {
    const server = start(t)
    await until(() => postgresOf(data).length > 0)
    server.child.kill('SIGTERM')
    t.same(await server.ended, { code: 0, signal: null })
    t.same(postgresOf(data), [])
  })

  await t.test('mails become files, with links to where the server is', async t => {
    const server = start(t, { PUBLIC_URL: 'https://callboard.example/' })
    await server.says(/Callboard is running/)
    const [, url = ''] = await server.says(/Server listening at (http:[^"]+)/)
    await ask(url, '', 'POST', '/api/auth/password/forgot', { email: demoEmail })
    const mails = () =>
      readdirSync(data).includes('mail')
        ? readdirSync(join(data, 'mail')).filter(name => name.endsWith('.eml'))
        : []
    await until(() => mails().length > 0)
    const path = join(data, 'mail', mails()[0] ?? '')
    t.match(
      readFileSync(path, 'utf8').replaceAll('=\r\n', ''),
      'https://callboard.example/#reset-password?token',
    )
    await ends(t, server, 'SIGTERM', 0)
  })

  await t.test('a database that cannot be migrated aborts the start, and stops PostgreSQL', async t => {
    const server = await startEmbedded({ root: data, port: 0 })
    const sql = postgres(server.adminUrl, { max: 1 })
    await sql`alter database callboard allow_connections false`
    await sql.end()
    await server.stop()
    const refused = start(t)
    t.same(await refused.ended, { code: 1, signal: null })
    t.match(refused.complaint(), /not currently accepting connections/)
    t.same(postgresOf(data), [])
  })
})

interface Answer {
  status: number
  body: Record<string, unknown>
}

async function ask(
  url: string,
  token: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer> {
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(token !== '' && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) }
}

/** Sends the request that the server printed for pasting into a shell. */
async function signInAsTold(t: Test, server: ServerProcess): Promise<{ url: string; token: string }> {
  const [, url = ''] = await server.says(/API +(\S+)/)
  const [, target = '', header = ''] = await server.says(/curl -s (\S+) -H '([^']+)' \\$/)
  const [, data = ''] = await server.says(/-d '([^']+)'/)
  const [name = '', value = ''] = header.split(': ')
  const response = await fetch(target, { method: 'POST', headers: { [name]: value }, body: data })
  t.equal(response.status, 200)
  t.same(JSON.parse(data), { email: demoEmail, password: demoPassword })
  const { access_token: token } = (await response.json()) as { access_token: string }
  return { url, token }
}

async function ends(t: Test, server: ServerProcess, signal: NodeJS.Signals, code: number) {
  server.child.kill(signal)
  t.same(await server.ended, { code, signal: null })
}

/** The PostgreSQL processes running in a folder, wherever the start placed it. */
function postgresOf(data: string): number[] {
  try {
    return serversOf(join(data, 'postgres'))
  } catch {
    return [] // there is no database yet
  }
}

/** Locks a row in the embedded database, like a request that never ends. */
async function hold(t: Test, data: string, show: string) {
  const [, , , port] = readFileSync(join(data, 'postgres/postmaster.pid'), 'utf8').split('\n')
  const url = `postgres://postgres:${secret(data, 'postgres')}@127.0.0.1:${port}/callboard`
  const sql = postgres(url, { max: 2, onnotice: () => {} })
  t.teardown(() => sql.end({ timeout: 0 }).catch(() => {}))
  const holder = await sql.reserve()
  await holder`begin`
  await holder`select from app.shows where id = ${show} for update`
  return {
    free: () => holder`commit`,
    isWaiting: async () => {
      const [row] =
        await sql`select from pg_stat_activity where wait_event_type = 'Lock' and datname = 'callboard'`
      return row !== undefined
    },
  }
}
