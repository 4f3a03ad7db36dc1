import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Script } from './limit.ts'
import type { Load, Measure } from './load.ts'
import { each, type Processes, usage, type Usage } from './usage.ts'

export const hasPgbench = () => spawnSync('pgbench', ['--version']).status === 0

/** PostgreSQL alone, measured with pgbench, which sends every transaction as a whole. */
export async function pgbench(
  url: string,
  scripts: Script[],
  { connections, seconds, warmUp }: Load,
  processes: Processes,
): Promise<Measure> {
  const folder = await mkdtemp(join(tmpdir(), 'callboard-bench-'))
  try {
    const files: string[] = []
    for (const [i, { statements, variants }] of scripts.entries()) {
      const file = join(folder, `${i}.sql`)
      const body = statements.map(text => `${text.trim()};`).join('\n')
      await writeFile(file, `\\set k random(1, ${variants})\n\\startpipeline\n${body}\n\\endpipeline\n`)
      files.push('-f', file)
    }
    // One second longer, because a report may be late.
    const whole = Math.ceil(warmUp) + Math.ceil(seconds)
    const child = spawn(
      'pgbench',
      [
        '-n',
        '-M',
        'prepared',
        '-c',
        String(connections),
        '-j',
        '2',
        '-P',
        '1',
        '-T',
        String(whole + 1),
        ...files,
        url,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, PGTZ: 'UTC' } },
    )
    const lines: string[] = []
    const rates: number[] = []
    let before: Usage = usage(processes)
    let after = before
    for await (const line of createInterface({ input: child.stderr })) {
      lines.push(line)
      const [, at, rate] = /^progress: ([\d.]+) s, ([\d.]+) tps/.exec(line) ?? []
      if (at === undefined) continue
      const second = Math.round(Number(at))
      if (second === Math.ceil(warmUp)) before = usage(processes)
      if (second > Math.ceil(warmUp) && second <= whole) rates.push(Number(rate))
      if (second === whole) after = usage(processes)
    }
    if (child.exitCode === null) await once(child, 'exit')
    if (child.exitCode !== 0 || rates.length === 0)
      throw new Error(`pgbench failed:\n${lines.slice(-20).join('\n')}`)
    const rate = rates.reduce((sum, one) => sum + one, 0) / rates.length
    const done = Math.round(rate * rates.length)
    return {
      rate,
      cpu: each(before, after, done),
      done,
      failed: lines.filter(line => /error|abort/i.test(line)).length,
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
