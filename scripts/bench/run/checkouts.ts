import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { realpathSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { schedule } from '../../../src/jobs/schedule.ts'
import { dataFolder, type Filled, say } from '../data/database.ts'
import { refreshing } from '../data/figures.ts'
import type { Hosted, Wanted } from '../data/host.ts'
import type { Size } from '../data/sizes.ts'
import { root } from './programs.ts'
import type { Undo } from './fixtures.ts'

/** A checkout of Callboard. */
export interface Checkout {
  folder: string
  title: string
  /** The statements with which its worker refreshes figures. */
  refreshing: string[]
}

export const own: Checkout = { folder: root, title: 'Callboard', refreshing: refreshing(schedule) }

/** Has another checkout start its own server and fill its own database, and returns both. */
export async function host(
  folder: string,
  wanted: Wanted,
  undo: Undo,
): Promise<{ checkout: Checkout; filled: Filled }> {
  const size: Size = wanted.size
  const title = titleOf(folder)
  say(`${title}: its own server and data`)
  const hash = createHash('sha256').update(realpathSync(folder)).digest('hex').slice(0, 8)
  const program = fileURLToPath(new URL('../data/host.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', program, JSON.stringify(wanted)], {
    cwd: folder,
    env: {
      ...process.env,
      DATA_DIR: join(dataFolder, 'beside', `${basename(realpathSync(folder))}-${hash}`),
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit')
  undo.push(async () => {
    if (child.connected) child.disconnect()
    await ended
  })
  const hosted = await Promise.race([
    once(child, 'message').then(([message]) => message as Hosted),
    ended.then(() => undefined),
  ])
  if (hosted === undefined) throw new Error(`${folder} cannot start a server and fill its database`)
  const { urls, schedule, ...filled } = hosted
  if (filled.day !== wanted.day) throw new Error('The day changed while databases were filled: run it again')
  return {
    checkout: { folder, title, refreshing: refreshing(schedule) },
    filled: { ...filled, size, url: role => urls[role] ?? '' },
  }
}

/** The same checkout measures the noise; another is named by its folder and commit. */
function titleOf(folder: string): string {
  if (realpathSync(folder) === realpathSync(root)) return 'itself'
  const { status, stdout } = spawnSync('git', ['-C', folder, 'rev-parse', '--short', 'HEAD'])
  return basename(realpathSync(folder)) + (status === 0 ? ` (${stdout.toString().trim()})` : '')
}
