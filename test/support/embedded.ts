// Embedded PostgreSQL in a test's own folders, and the processes that hold it.
import { setTimeout as sleep } from 'node:timers/promises'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { realpathSync, rmSync, statSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import postgres from 'postgres'
import type { Test } from 'tap'
import { type Embedded, startEmbedded } from '../../src/database/embedded.ts'
import { startOf } from '../../src/database/embedded/processes.ts'
import { isCompiled, root } from './program.ts'

export const isRoot = process.getuid?.() === 0
export const onlyRoot = { skip: isRoot ? false : 'needs root' }
export const onlyLinux = { skip: process.platform === 'linux' ? false : 'reads /proc' }
export const checkout = resolve(root)
export const settings = { fsync: 'off' }

/** This test's own folder, which PostgreSQL's user may enter unless `mode` says otherwise. */
export function folder(t: Test, mode = 0o755): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'callboard-embedded-')))
  chmodSync(path, mode)
  t.teardown(() => {
    rmSync(path, { recursive: true, force: true, maxRetries: 10 })
  })
  return path
}

/** Where the data goes if other users may not enter `root`. */
export function elsewhere(t: Test, root: string): string {
  const path = join('/var/lib/callboard', createHash('sha256').update(root).digest('hex').slice(0, 12))
  t.teardown(() => {
    rmSync(path, { recursive: true, force: true, maxRetries: 10 })
  })
  return path
}

export async function start(t: Test, root: string): Promise<Embedded> {
  const db = await startEmbedded({ root, port: 0, settings })
  t.teardown(() => db.stop())
  return db
}

export async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise
  } catch (error) {
    if (error instanceof Error) return error
  }
  throw new Error('it did not fail')
}

export async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const sql = postgres(url, { max: 1 })
  try {
    return [...(await sql.unsafe(text))]
  } finally {
    await sql.end({ timeout: 1 })
  }
}

export function postmaster({ dataDir }: { dataDir: string }): number {
  return Number.parseInt(readFileSync(join(dataDir, 'postmaster.pid'), 'utf8'), 10)
}

export async function gone(pid: number): Promise<void> {
  for (let round = 0; round < 250 && startOf(pid) !== undefined; round++) await sleep(20)
}

export function knock(port: number, host: string): Promise<'open' | 'refused'> {
  return new Promise(resolve => {
    const socket = createConnection({ port, host, timeout: 1000 })
    const done = (answer: 'open' | 'refused') => () => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('connect', done('open')).on('error', done('refused')).on('timeout', done('refused'))
  })
}

export function listing(path: string): string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .map(name => `${name} ${statSync(join(path, name)).mtimeMs}`)
    .sort()
}

export const program = `
  import { startEmbedded } from 'EMBEDDED'
  BEFORE
  try {
    const db = await startEmbedded(JSON.parse(process.argv[1]))
    console.log(JSON.stringify({ ...db, pid: process.pid }))
    process.on('SIGTERM', () => db.stop().then(() => process.exit()))
    setInterval(() => {}, 1000)
  } catch (error) {
    console.log(JSON.stringify({ name: error.name, message: error.message }))
  }`

export interface NodeOptions {
  checkout?: string
  before?: string
  uid?: number
  ownGroup?: boolean
  through?: string[]
}

/** Another Node process. It is killed when the test ends. */
export function node(t: Test, code: string, args: string[], options: NodeOptions = {}): ChildProcess {
  const { through = [], uid, ownGroup = false } = options
  // A copy of the checkout is not compiled. One file compiled in two ways would spoil its coverage.
  const extension = isCompiled && options.checkout === undefined ? 'js' : 'ts'
  const file = `src/database/embedded.${extension}`
  const source = pathToFileURL(join(options.checkout ?? checkout, file)).href
  const text = code.replace('EMBEDDED', source).replace('BEFORE', options.before ?? '')
  const loader = extension === 'js' ? [] : ['--import', import.meta.resolve('tsx')]
  const evaluated = ['--input-type=module', '-e', text]
  const [command = '', ...rest] = [...through, process.execPath, ...loader, ...evaluated, ...args]
  const child = spawn(command, rest, {
    ...(uid !== undefined && { uid, gid: uid }),
    detached: ownGroup,
    cwd: checkout,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

export async function firstLine<T>(child: ChildProcess): Promise<T> {
  if (child.stdout === null) throw new Error('stdout is not piped')
  for await (const line of createInterface(child.stdout)) return JSON.parse(line) as T
  throw new Error('the process ended without a word')
}

/** A process that holds an embedded PostgreSQL, as `npm start` does. */
export async function callboard(t: Test, { root, ...options }: NodeOptions & { root: string }) {
  const child = node(t, program, [JSON.stringify({ root, port: 0, settings })], options)
  if (child.stdout === null) throw new Error('stdout is not piped')
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async () =>
    JSON.parse((await lines.next()).value as string) as Embedded & { pid: number; message?: string }
  const answer = await next()
  if (answer.message !== undefined) throw new Error(answer.message)
  const server = postmaster(answer)
  t.teardown(async () => {
    for (const pid of [answer.pid, server]) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // Already stopped by the test.
      }
    }
    await gone(server)
  })
  return { ...answer, child, next, postmaster: server }
}
