import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../../src/database/embedded/port.ts'
import type { Filled } from '../data/database.ts'
import type { Checkout } from './checkouts.ts'

/** A running server process. */
export interface Program {
  url: string
  pid: number
  /** From the start of the process to its first response. */
  secondsToAnswer: number
  stop: () => Promise<void>
}

export const root = fileURLToPath(new URL('../../..', import.meta.url))

/** Starts a server that listens on PORT, and waits until it answers. */
export async function startProgram(
  command: string[],
  {
    cwd = root,
    env,
    ready = '/',
  }: { cwd?: string; env: (port: number) => Record<string, string>; ready?: string },
): Promise<Program> {
  const port = await freePort(0)
  const begun = performance.now()
  const { child, complaint } = launch(command, cwd, env(port))
  const url = `http://127.0.0.1:${port}`
  while (!(await answers(url + ready))) {
    if (child.exitCode !== null) throw new Error(`${command.join(' ')} has exited:\n${complaint()}`)
    if (performance.now() - begun > 60_000)
      throw new Error(`${command.join(' ')} does not answer:\n${complaint()}`)
    await sleep(20)
  }
  return {
    url,
    pid: child.pid ?? 0,
    secondsToAnswer: (performance.now() - begun) / 1000,
    stop: () => stop(child),
  }
}

function launch([program = '', ...args]: string[], cwd: string, env: Record<string, string>) {
  const child = spawn(program, args, {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)))
  return { child, complaint: () => said }
}

async function answers(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url)
    await answer.arrayBuffer()
    return answer.status < 500
  } catch {
    return false
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000)
  await ended
  clearTimeout(timer)
}

/** The command of an npm script of a checkout, without npm, whose process would stand between. */
function commandOf({ folder }: Checkout, name: 'start' | 'worker'): string[] {
  const { scripts } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    scripts: Record<typeof name, string>
  }
  const [node, ...args] = scripts[name].split(' ')
  if (node !== 'node') throw new Error(`npm run ${name} in ${folder} does not start with node`)
  return [process.execPath, ...args]
}

/** Callboard as `npm start` starts it, with limits that nobody reaches. `through` is a proxy to the database that should see only requests. */
export function startCallboard(
  checkout: Checkout,
  filled: Filled,
  jwtSecret: string,
  pool: number,
  through?: string,
): Promise<Program> {
  return startProgram(commandOf(checkout, 'start'), {
    cwd: checkout.folder,
    ready: '/readyz',
    env: port => ({
      DATABASE_URL: through ?? filled.url('callboard_api'),
      JWT_SECRET: jwtSecret,
      PORT: String(port),
      POOL_SIZE: String(pool),
      RATE_LIMIT: '1000000000',
      RATE_LIMIT_PERSON: '100',
      SIGN_IN_LIMIT: '1000000000',
      SIGN_IN_LIMIT_ADDRESS: '1000000000',
      SIGN_IN_LIMIT_ACCOUNT: '1000000000',
      MAIL_LIMIT_ADDRESS: '1000000000',
      ACCESS_TOKEN_LIFETIME: '86400',
      ...(through !== undefined && { RATE_LIMIT_REFRESH: '86400', USE_FLUSH_INTERVAL: '86400' }),
    }),
  })
}

/** The worker as `npm run worker` starts it, which may take a moment before it works. */
export function startWorker(checkout: Checkout, filled: Filled): Pick<Program, 'pid' | 'stop'> {
  const { child } = launch(commandOf(checkout, 'worker'), checkout.folder, {
    WORKER_DATABASE_URL: filled.url('callboard_worker'),
  })
  return { pid: child.pid ?? 0, stop: () => stop(child) }
}
