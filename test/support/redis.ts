// A real Redis for tests, on its own port, that can be stopped, started and made to hang.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Test } from 'tap'
import { freePort } from '../../src/database/embedded/port.ts'
import { until } from './helper.ts'

const isInstalled = spawnSync('redis-server', ['--version']).status === 0

/** Why tests that need Redis are skipped, for the options of t.test. Where they have to run, it throws. */
export function withoutRedis(): { skip?: string } {
  if (isInstalled) return {}
  const reason = 'redis-server is not installed (Debian: apt-get install redis-server)'
  if (process.env['REDIS_TESTS'] === 'required') throw new Error(reason)
  return { skip: reason }
}

export interface TestRedis {
  url: string
  start: () => Promise<void>
  /** It no longer listens; its counts are lost. */
  stop: () => Promise<void>
  /** It hangs: connections stay and are accepted, but nothing answers. */
  freeze: () => void
  thaw: () => void
}

export async function startRedis(t: Test): Promise<TestRedis> {
  const port = await freePort(0)
  let server: ChildProcess | undefined
  const isListening = () =>
    new Promise<boolean>(resolve => {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {
        resolve(false)
      })
      socket.on('connect', () => {
        socket.destroy()
        resolve(true)
      })
    })
  async function start() {
    const settings = { port: String(port), bind: '127.0.0.1', save: '', appendonly: 'no', dir: t.testdir({}) }
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
    server = spawn('redis-server', args, { stdio: 'ignore' })
    await until(isListening)
  }
  async function stop() {
    const ended = server && once(server, 'exit')
    server?.kill('SIGKILL')
    await ended
    server = undefined
  }
  await start()
  t.teardown(() => (server ? stop() : undefined))
  return {
    url: `redis://127.0.0.1:${port}`,
    start,
    stop,
    freeze: () => void server?.kill('SIGSTOP'),
    thaw: () => void server?.kill('SIGCONT'),
  }
}
