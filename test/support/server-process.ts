import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { programArgs, root } from './program.ts'

export interface ServerProcess {
  child: ChildProcess
  /** Its standard output so far, line by line. */
  said: string[]
  /** Its standard error so far. */
  complaint: () => string
  /** The first matching line, past or future. Rejects when the process ends without one. */
  says: (pattern: RegExp) => Promise<RegExpExecArray>
  /** How it ended. */
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

/** The Node options that package.json sets for a program. */
function flagsOf(program: string): string[] {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  const script = Object.values(scripts).find(text => text.endsWith(`--import tsx ${program}`)) ?? ''
  return script.match(/--(?:max|heap)-\S+/g) ?? []
}

/** Starts src/server.ts as `npm start` does, or another program, with these settings and no others. Killed when the test ends. */
export const startServerProcess = (
  t: Test,
  settings: Record<string, string>,
  program = 'src/server.ts',
): ServerProcess => startNode(t, [...flagsOf(program), ...programArgs(program)], settings)

/** Starts Node with these arguments in a folder. */
export function startNode(
  t: Test,
  args: string[],
  settings: Record<string, string>,
  cwd = root,
): ServerProcess {
  const inherited = Object.fromEntries(
    // What the test runner sets for tests is no setting of the server, except where coverage goes.
    ['PATH', 'HOME', 'NODE_V8_COVERAGE'].map(name => [name, process.env[name] ?? '']),
  )
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...inherited, ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const said: string[] = []
  const listeners = new Set<() => void>()
  const notify = () => {
    for (const listener of [...listeners]) listener()
  }
  createInterface({ input: child.stdout }).on('line', line => {
    said.push(line)
    notify()
  })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  let isOver = false
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(resolve => {
    child.once('close', (code, signal) => {
      isOver = true
      notify()
      resolve({ code, signal })
    })
  })
  const says = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = () => {
        for (const line of said) {
          const found = pattern.exec(line)
          if (!found) continue
          listeners.delete(look)
          resolve(found)
          return
        }
        if (!isOver) return
        listeners.delete(look)
        reject(new Error(`it ended without printing ${pattern.source}:\n${said.join('\n')}\n${complaint}`))
      }
      listeners.add(look)
      look()
    })
  return { child, said, complaint: () => complaint, says, ended }
}

/** Settings that run code in the process before the program. */
export const planted = (code: string) => ({
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}`,
})

/** Settings that plant a fault in the process, triggered by the signal SIGUSR2. */
export const onUsr2 = (fault: string) =>
  planted(`import net from 'node:net'; process.on('SIGUSR2', () => { ${fault} })`)
