// A copy of the checkout, in which a test edits and runs programs as a developer does.
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { root } from './program.ts'

export interface Checkout {
  folder: string
  /** Runs a program of scripts/db to its end, or kills it after some milliseconds. */
  run: (
    script: string,
    args?: string[],
    env?: NodeJS.ProcessEnv,
    killAfter?: number,
  ) => Promise<{ code: number | null; output: string }>
  /** Replaces a text in a file of db/. */
  edit: (file: string, from: string, to: string) => void
  /** Writes db/migrations/current.sql. */
  write: (text: string) => void
}

export function copyCheckout(t: Test): Checkout {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-checkout-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  for (const part of ['db', 'src', 'scripts', 'package.json', 'tsconfig.json', '.gmrc', '.squawk.toml'])
    cpSync(realpathSync(join(root, part)), join(folder, part), { recursive: true, verbatimSymlinks: true })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return {
    folder,
    run: (script, args = [], env = {}, killAfter) =>
      new Promise(resolve => {
        const child = spawn(process.execPath, ['--import', 'tsx', `scripts/db/${script}.ts`, ...args], {
          cwd: folder,
          env: { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '', ...env },
        })
        if (killAfter !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfter)
        let output = ''
        for (const stream of [child.stdout, child.stderr])
          stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
        child.on('close', code => {
          resolve({ code, output })
        })
      }),
    edit: (file, from, to) => {
      const path = join(folder, 'db', file)
      const text = readFileSync(path, 'utf8')
      if (!text.includes(from)) throw new Error(`${file} has no ${from}`)
      // Not as a pattern, in which $ has a meaning.
      writeFileSync(
        path,
        text.replace(from, () => to),
      )
    },
    write: text => {
      writeFileSync(join(folder, 'db/migrations/current.sql'), text)
    },
  }
}
