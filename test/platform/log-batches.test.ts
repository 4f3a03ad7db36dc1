// The log is written in batches, and no line is lost when a program stops. What a batch must not wait for is
// tested with a clock that never ends the second.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, openSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { freePort } from '../../src/database/embedded/port.ts'
import { startDatabase, until } from '../support/helper.ts'
import { programArgs, root } from '../support/program.ts'
import { onUsr2, planted, type ServerProcess, startServerProcess } from '../support/server-process.ts'
import { t } from '../support/tap.ts'

/** What is planted: the clock, and a count of what is written to standard output. */
const withoutClock = `
  import fs from 'node:fs'
  const { setInterval } = globalThis
  globalThis.setInterval = (work, ms, ...more) => setInterval(work, ms === 1000 ? 2 ** 31 - 1 : ms, ...more)
  const { writeSync } = fs
  const writes = []
  fs.writeSync = (fd, text, ...more) => {
    if (fd === 1 && text.length > 0) writes.push(String(text))
    return writeSync(fd, text, ...more)
  }
  process.on('SIGUSR2', () => process.stderr.write(JSON.stringify(writes) + '\\n'))`

type Line = Record<string, unknown> & { msg: string; reqId?: string; level: number }

/** The log so far. Throws if a line is not whole. */
const linesOf = (server: ServerProcess) => server.said.map(text => JSON.parse(text) as Line)
const answered = (server: ServerProcess) =>
  linesOf(server).flatMap(({ msg, reqId = '' }) => (msg === 'answered' ? [reqId] : []))

/** Requests with ids that the log can be searched for. */
function requests(url: string) {
  const ids: string[] = []
  const ask = async (path: string, headers: Record<string, string> = {}) => {
    const id = `request-${ids.length}-of-this-test`
    ids.push(id)
    const response = await fetch(url + path, { headers: { ...headers, 'x-request-id': id } })
    await response.arrayBuffer()
    return { id, status: response.status }
  }
  const many = async (count: number) => {
    for (let done = 0; done < count; done += 20)
      await Promise.all(Array.from({ length: 20 }, () => ask('/problems/not_found')))
  }
  return { ids, ask, many }
}

const listening = async (server: ServerProcess) =>
  (await server.says(/Server listening at (http:[^"]+)/))[1] ?? ''

async function ends(t: Test, server: ServerProcess, code = 0) {
  t.same(await server.ended, { code, signal: null })
}

t.test('the log', async t => {
  const db = await startDatabase(t)
  const settings = {
    NODE_ENV: 'development',
    DATABASE_URL: db.url('callboard_api'),
    JWT_SECRET: 'a key of thirty-two characters or more',
    PORT: '0',
  }
  const start = (t: Test, more: Record<string, string>) => startServerProcess(t, { ...settings, ...more })

  await t.test('of a server that nobody waits for is written in batches of whole lines', async t => {
    const server = start(t, planted(withoutClock))
    const url = await listening(server)
    t.pass('but where it listens is said at once')
    const { ids, ask, many } = requests(url)

    for (let n = 0; n < 5; n += 1) await ask('/problems/not_found')
    t.same(answered(server), [], 'a few lines wait')

    await t.test('an error does not wait, and what came before it comes first', async t => {
      await db.admin`alter function app.forget_password(text) rename to forget_password_elsewhere`
      const failed = await fetch(`${url}/api/auth/password/forgot`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-request-id': 'the-one-that-fails' },
        body: JSON.stringify({ email: 'nobody@example.com' }),
      })
      t.equal(failed.status, 500)
      await server.says(/request failed/)
      const lines = linesOf(server)
      const error = lines.findIndex(({ msg }) => msg === 'request failed')
      t.match(lines[error], { level: 50, reqId: 'the-one-that-fails' })
      t.same(
        lines.slice(0, error).flatMap(({ msg, reqId }) => (msg === 'answered' ? [reqId] : [])),
        ids.slice(0, 5),
      )
    })

    await t.test('many lines take few writes', async t => {
      const before = answered(server).length
      await many(400)
      server.child.kill('SIGUSR2')
      await until(() => server.complaint().endsWith('\n'))
      const writes = JSON.parse(server.complaint()) as string[]
      const batches = writes.slice(writes.findIndex(text => text.includes('request failed')) + 1)
      t.ok(batches.length > 1 && batches.length < 60, `${batches.length} writes`)
      for (const text of batches) t.ok(text.endsWith('\n') && text.length <= 4096, 'whole lines')
      await until(() => answered(server).length > before + 300)
    })

    await t.test('a stop loses none', async t => {
      await many(40)
      server.child.kill('SIGTERM')
      await server.says(/"stopping"/)
      await ends(t, server)
      t.same(
        answered(server)
          .filter(id => id !== 'the-one-that-fails')
          .sort(),
        [...ids].sort(),
      )
      const times = linesOf(server).map(({ time }) => Number(time))
      t.same(times, [...times].sort(), 'in order')
    })
  })

  await t.test('of a request is there after about a second', async t => {
    const server = start(t, onUsr2(`throw new Error('planted')`))
    const { ids, ask, many } = requests(await listening(server))
    const { id } = await ask('/problems/not_found')
    const began = performance.now()
    await server.says(new RegExp(`${id}.*answered`))
    t.ok(performance.now() - began < 3000)

    await t.test('and whole when the program ends because of a bug', async t => {
      await many(40)
      server.child.kill('SIGUSR2')
      await ends(t, server, 1)
      t.same(answered(server).sort(), [...ids].sort())
      t.same(
        linesOf(server)
          .slice(-2)
          .map(({ msg }) => msg),
        ['a bug', 'stopping'],
      )
    })
  })

  await t.test('of a start that fails is complete', async t => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    t.teardown(() => other.close())
    const { port } = other.address() as AddressInfo
    const server = start(t, { PORT: String(port), ...planted(withoutClock) })
    await ends(t, server, 1)
    t.ok(linesOf(server).some(({ msg }) => msg.includes('jobs wait for npm run worker')))
  })

  await t.test('of the worker says at once that it works, and that it stops', async t => {
    const url = { WORKER_DATABASE_URL: db.url('callboard_worker') }
    const worker = startServerProcess(t, { ...url, ...planted(withoutClock) }, 'src/worker.ts')
    await worker.says(/"working"/)
    worker.child.kill('SIGTERM')
    await worker.says(/"stopping"/)
    await ends(t, worker)
  })

  const skip = existsSync('/dev/full') ? false : 'this system has no /dev/full'
  await t.test('on a disk that is full does not stop the server', { skip }, async t => {
    const port = await freePort(0)
    const child = spawn(process.execPath, programArgs('src/server.ts'), {
      cwd: root,
      env: { PATH: process.env['PATH'], ...settings, PORT: String(port), LOG_LEVEL: 'trace' },
      stdio: ['ignore', openSync('/dev/full', 'w'), 'inherit'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    const status = (path: string) =>
      fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5000) }).then(
        answer => answer.status,
        () => 0,
      )
    await until(async () => (await status('/problems/not_found')) === 200)
    t.equal(await status('/api/shows'), 401)
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    t.same(await ended, [0, null])
  })
})
