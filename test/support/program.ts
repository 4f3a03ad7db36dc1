import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** Whether this runs in the compiled mirror of the checkout. */
export const isCompiled = import.meta.url.endsWith('.js')

/** What Node should run for a program such as src/server.ts: compiled, if test/run.ts has compiled it. */
export const programArgs = (program: string): string[] =>
  isCompiled
    ? [join(root, program.replace(/ts$/, 'js'))]
    : ['--import', import.meta.resolve('tsx'), join(root, program)]

/** Runs a program in the checkout, and returns what it printed. */
export async function run(
  command: string,
  ...args: string[]
): Promise<{ code: number | null; output: string }> {
  // Its own coverage must not count for the tests.
  const env = { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' }
  const child = spawn(command, args, { cwd: root, env })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const code = await new Promise<number | null>(resolve => child.on('close', resolve))
  return { code, output }
}
