import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../../src/database/embedded/port.ts'
import type { Filled } from '../data/database.ts'

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
  const [program = '', ...args] = command
  const begun = performance.now()
  const child = spawn(program, args, {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', ...env(port) },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-4000)))
  const url = `http://127.0.0.1:${port}`
  while (!(await answers(url + ready))) {
    if (child.exitCode !== null) throw new Error(`${command.join(' ')} has exited:\n${complaint}`)
    if (performance.now() - begun > 60_000)
      throw new Error(`${command.join(' ')} does not answer:\n${complaint}`)
    await sleep(20)
  }
  return {
    url,
    pid: child.pid ?? 0,
    secondsToAnswer: (performance.now() - begun) / 1000,
    stop: () => stop(child),
  }
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

/** Callboard as `npm start` starts it, with limits that nobody reaches. `through` is a proxy to the database that should see only requests. */
export function startCallboard(
  filled: Filled,
  jwtSecret: string,
  pool: number,
  through?: string,
): Promise<Program> {
  const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as {
    scripts: { start: string }
  }
  return startProgram([process.execPath, ...scripts.start.split(' ').slice(1)], {
    ready: '/readyz',
    env: port => ({
      DATABASE_URL: through ?? filled.url('callboard_api'),
      JWT_SECRET: jwtSecret,
      PORT: String(port),
      POOL_SIZE: String(pool),
      RATE_LIMIT: '1000000000',
      SIGN_IN_LIMIT: '1000000000',
      ACCESS_TOKEN_LIFETIME: '86400',
      ...(through !== undefined && { RATE_LIMIT_REFRESH: '86400', USE_FLUSH_INTERVAL: '86400' }),
    }),
  })
}
