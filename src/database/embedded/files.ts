import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { codeOf } from './run.ts'

/** The text of a file that may disappear at any time. */
export function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/** Runs `change` while no other process changes the same file. */
export function locked<T>(file: string, change: () => T): T {
  const lock = `${file}.lock`
  while (!take(lock)) {
    // The lock is held for a millisecond; an old one belongs to a process that was killed. It is removed under a
    // lock of its own: otherwise a second process that found it old could remove the lock the first one then took.
    if (isOld(lock)) {
      locked(lock, () => {
        if (isOld(lock)) rmSync(lock, { force: true })
      })
    } else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
  }
  try {
    return change()
  } finally {
    rmSync(lock, { force: true })
  }
}

/** Writes a file atomically, readable only by this user. */
export function replace(file: string, text: string): void {
  const draft = `${file}.new`
  rmSync(draft, { force: true })
  writeFileSync(draft, text, { mode: 0o600, flag: 'wx', flush: true })
  renameSync(draft, file)
}

function take(lock: string): boolean {
  try {
    closeSync(openSync(lock, 'wx'))
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

function isOld(lock: string): boolean {
  const made = statSync(lock, { throwIfNoEntry: false })?.mtimeMs
  return made !== undefined && Math.abs(Date.now() - made) > 5000
}
