import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readlinkSync, realpathSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { locked, replace, textOf } from './files.ts'
import { codeOf, EmbeddedError } from './run.ts'

/**
 * Records this process in `<root>/callboard.pid`, or throws if another running Callboard is recorded there.
 * Returns a function that removes it again.
 */
export function claim(root: string): () => void {
  const file = join(root, 'callboard.pid')
  const mine = JSON.stringify({ pid: process.pid, started: startOf(process.pid) })
  locked(file, () => {
    const owner = parse(textOf(file) ?? '')
    if (owner !== undefined && startOf(owner.pid) === owner.started) {
      throw new EmbeddedError(
        `another Callboard (pid ${owner.pid}) is already running from ${root}; stop it, or set DATA_DIR to run a second one`,
      )
    }
    replace(file, mine)
  })
  return () => {
    if (textOf(file) === mine) rmSync(file, { force: true })
  }
}

/** The pid in postmaster.pid, whose process may be long gone or, by now, another program. */
export function recordedServer(dataDir: string): number | undefined {
  const pid = Number.parseInt(textOf(join(dataDir, 'postmaster.pid')) ?? '', 10)
  return pid > 0 ? pid : undefined
}

/** The PostgreSQL processes running in this data folder, including those a killed postmaster left behind. */
export function serversOf(dataDir: string): number[] {
  if (process.platform !== 'linux') {
    const pid = recordedServer(dataDir)
    if (pid === undefined || startOf(pid) === undefined) return []
    return (ps(pid, 'command=') ?? 'postgres').includes('postgres') ? [pid] : []
  }
  // Their working directory is the data folder, and a shell that someone left there is not called postgres.
  // One whose folder was removed keeps running for a while, and holds the port.
  const folder = existsSync(dataDir) ? realpathSync(dataDir) : dataDir
  const folders = [folder, `${folder} (deleted)`]
  const isServer = (pid: string) =>
    textOf(`/proc/${pid}/comm`) === 'postgres\n' && folders.includes(folderOf(pid) ?? '')
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && isServer(name))
    .map(Number)
}

/** When a process started, in a comparable form: a pid alone may have been reused by another program. */
export function startOf(pid: number): string | undefined {
  if (process.platform === 'linux') {
    // The name in parentheses may contain anything; after it come the state and, 19 fields later, the start.
    const fields = textOf(`/proc/${pid}/stat`)
      ?.replace(/^.*\) /s, '')
      .split(' ')
    if (fields === undefined || fields[0] === 'Z' || fields[0] === 'X') return undefined
    return `${textOf('/proc/sys/kernel/random/boot_id')?.trim()} ${fields[19]}`
  }
  const line = ps(pid, 'stat=,lstart=')
  if (line !== undefined) return line === '' || line.startsWith('Z') ? undefined : line.replace(/^\S+\s+/, '')
  return isAlive(pid) ? 'alive' : undefined
}

function parse(text: string): { pid: number; started: string } | undefined {
  try {
    return JSON.parse(text) as { pid: number; started: string }
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // Being denied permission to signal a process proves that it exists.
    return codeOf(error) === 'EPERM'
  }
}

// Undefined if there is no ps (Windows), empty if there is no such process.
function ps(pid: number, columns: string): string | undefined {
  try {
    return execFileSync('ps', ['-o', columns, '-p', String(pid)], { encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? undefined : ''
  }
}

function folderOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return undefined
  }
}
