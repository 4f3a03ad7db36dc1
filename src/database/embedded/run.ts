import { execFile } from 'node:child_process'

/** The embedded database cannot run; the message says why, and what to do. */
export class EmbeddedError extends Error {
  override name = 'EmbeddedError'
}

/** The operating system account that PostgreSQL runs as. */
export interface OsUser {
  name: string
  uid: number
  gid: number
}

/** Runs a program to completion, as `user` if given. Rejects with what it wrote to stderr. */
export function run(
  file: string,
  args: string[],
  { user, seconds = 120, input = '' }: { user?: OsUser | undefined; seconds?: number; input?: string } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const identity = user && { uid: user.uid, gid: user.gid }
    // The user may have no access to the current folder, and PostgreSQL needs one it can read.
    const options = { ...identity, cwd: '/', env: environment(), timeout: seconds * 1000 }
    const child = execFile(file, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(Object.assign(new Error(stderr.trim() || error.message), { code: error.code }))
    })
    // It is not an error of ours if a program exits before reading its input.
    child.stdin?.on('error', () => undefined).end(input)
  })
}

/** The value of `code` of a system error. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

// glibc returns free memory above 128 KB to the kernel until a process has once had a large block, so a
// backend building a list of 50 requests it again for each: 67 page faults, a quarter of its time.
const memory = { MALLOC_TRIM_THRESHOLD_: '8388608', MALLOC_MMAP_THRESHOLD_: '4194304' }

// PGDATA, PGPORT and the like are meant for other servers, and the log is searched for English messages.
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(PG|LC_|LANG)/.test(name))
  return { ...memory, ...Object.fromEntries(kept), LC_ALL: 'C' }
}
