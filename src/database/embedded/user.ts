import { statSync } from 'node:fs'
import { codeOf, EmbeddedError, type OsUser, run } from './run.ts'

/** The user to run PostgreSQL as: it refuses root, so root needs another account, which is created if missing. */
export async function osUser(name: string, notes: string[]): Promise<OsUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const found = await lookUp(name)
  if (found !== undefined) return found

  const useradd = ['--system', '--no-create-home', '--home-dir', '/nonexistent', '--shell', '/bin/false']
  const reasons: string[] = []
  for (const [command, ...args] of [
    ['useradd', ...useradd, '--user-group', name],
    ['useradd', ...useradd, '--gid', name, name], // the group already exists
    ['adduser', '-S', '-D', '-H', name], // BusyBox
  ] as const) {
    await run(command, args).catch((error: unknown) => reasons.push(String(error)))
    const created = await lookUp(name)
    if (created === undefined) continue
    notes.push(`Created the OS user ${name}, because PostgreSQL does not run as root`)
    return created
  }
  throw new EmbeddedError(
    `PostgreSQL does not run as root, and the OS user ${name} could not be created (${reasons[0]}); create it, start Callboard as another user, or set DATABASE_URL`,
  )
}

async function lookUp(name: string): Promise<OsUser | undefined> {
  try {
    return { name, uid: Number(await run('id', ['-u', name])), gid: Number(await run('id', ['-g', name])) }
  } catch {
    return undefined
  }
}

/** Data created by another user, before someone started as root, is run as that user. */
export function ownerOf(data: string, user: OsUser): OsUser {
  const { uid, gid } = statSync(data)
  return uid === 0 || uid === user.uid ? user : { name: `number ${uid}`, uid, gid }
}

/** Whether `user` may pass through a folder and its parents. */
export async function canEnter(folder: string, user: OsUser): Promise<boolean> {
  try {
    await run('test', ['-x', folder], { user })
    return true
  } catch (error) {
    if (codeOf(error) !== 'EPERM') return false
    throw new EmbeddedError(
      `PostgreSQL does not run as root, and this system does not let root become the OS user ${user.name}; start Callboard as another user, or set DATABASE_URL`,
      { cause: error },
    )
  }
}
