import { chownSync, closeSync, existsSync, mkdtempSync, openSync, readdirSync } from 'node:fs'
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Place } from './place.ts'
import { freePort, portTaken } from './port.ts'
import { recordedServer, serversOf } from './processes.ts'
import { codeOf, EmbeddedError, run } from './run.ts'

/** Creates the data folder if there is none, and refuses one that these binaries cannot run. */
export async function prepare(place: Place, password: string, sync: boolean): Promise<void> {
  const { data, folder, major, user } = place
  removeDrafts(folder)
  const found = existsSync(data) && readdirSync(data).length > 0 ? readMajor(data) : undefined
  if (found === major) return
  if (found !== undefined) {
    throw new EmbeddedError(
      `the data in ${data} is from PostgreSQL ${found} but the embedded server is PostgreSQL ${major}; move that folder away to start with an empty database, or run it with a PostgreSQL ${found} server and set DATABASE_URL`,
    )
  }

  // A partial data folder would fail on every start, so it gets its name once it is complete.
  const draft = mkdtempSync(join(folder, 'initdb-'))
  try {
    const pwfile = join(draft, 'password')
    writeFileSync(pwfile, password + '\n', { mode: 0o600 })
    if (user) for (const path of [draft, pwfile]) chownSync(path, user.uid, user.gid)
    const args = ['-D', join(draft, 'postgres'), '-U', 'postgres', `--pwfile=${pwfile}`]
    args.push('--auth-host=scram-sha-256', '--auth-local=scram-sha-256', '--encoding=UTF8', '--no-locale')
    if (Number(major) >= 17) args.push('--locale-provider=builtin', '--builtin-locale=C.UTF-8')
    if (!sync) args.push('--no-sync')
    await run(place.programs.initdb, args, { user })
    renameSync(join(draft, 'postgres'), data)
  } finally {
    // Again for earlier drafts, too: an initdb whose Node was killed may have kept writing for a while.
    removeDrafts(folder)
  }
}

/** Removes what an initdb has left unfinished. */
function removeDrafts(folder: string): void {
  for (const name of readdirSync(folder))
    if (name.startsWith('initdb-'))
      rmSync(join(folder, name), { recursive: true, force: true, maxRetries: 5 })
}

/** Starts PostgreSQL on the loopback address and returns its port. */
export async function launch(
  place: Place,
  requested: number,
  settings: Record<string, string>,
): Promise<number> {
  const { data, log, programs, user } = place
  for (let attempt = 1; ; attempt++) {
    const port = await freePort(requested)
    dropStaleLock(data)
    const logged = openLog(place)
    // Ours come last, and the last one wins: no setting passed in can open the server to the network.
    const all = {
      ...settings,
      listen_addresses: '127.0.0.1',
      port: String(port),
      unix_socket_directories: '',
    }
    const options = Object.entries(all).map(([name, value]) => `-c ${quote(`${name}=${value}`)}`)
    try {
      // pg_ctl gives the server a session of its own, so Ctrl-C in the terminal only reaches Node.
      const args = ['start', '-D', data, '-l', log, '-w', '-t', '60', '-o', options.join(' ')]
      await run(programs.pg_ctl, args, { user, seconds: 65 })
      return port
    } catch (error) {
      const text = readFileSync(log).subarray(logged).toString()
      const isTaken = text.includes('Address already in use')
      // The port was free a moment ago, or a killed server's processes are not quite gone.
      if (attempt < 10 && ((isTaken && requested === 0) || text.includes('is still in use'))) {
        await halt(place)
        await sleep(200)
        continue
      }
      if (isTaken) throw portTaken(port)
      const end = text.trim().split('\n').slice(-15).join('\n')
      throw new EmbeddedError(
        `PostgreSQL did not start from ${data}; fix what the end of its log (${log}) says, or set DATABASE_URL\n${end || String(error)}`,
        { cause: error },
      )
    }
  }
}

/** Stops any PostgreSQL running in the data folder: gracefully, then immediately, then by force. Never hangs. */
export async function halt({ data, programs, user }: Place): Promise<void> {
  for (const [mode, seconds] of [
    ['fast', 8],
    ['immediate', 4],
  ] as const) {
    const pid = recordedServer(data)
    // pg_ctl signals any process with that pid.
    if (pid === undefined || !serversOf(data).includes(pid)) break
    const args = ['stop', '-D', data, '-m', mode, '-t', String(seconds)]
    await run(programs.pg_ctl, args, { user, seconds: seconds + 1 }).catch(() => undefined)
  }
  for (let round = 0; round < 20 && serversOf(data).length > 0; round++) {
    await sleep(50)
    for (const pid of serversOf(data)) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It has already exited.
      }
    }
  }
}

/** Sets the superuser's password without knowing the old one. The server must be stopped. */
export async function resetPassword({ data, programs, user }: Place, password: string): Promise<void> {
  const input = `alter role postgres password '${password}'\n`
  await run(programs.postgres, ['--single', '-D', data, 'postgres'], { user, input })
}

function readMajor(data: string): string {
  try {
    return readFileSync(join(data, 'PG_VERSION'), 'utf8').trim()
  } catch (error) {
    throw new EmbeddedError(
      `${data} is not a PostgreSQL data folder (PG_VERSION: ${codeOf(error)}); move it away, or set DATA_DIR to another folder`,
      { cause: error },
    )
  }
}

function dropStaleLock(data: string): void {
  // PostgreSQL clears the lock of a dead process itself, but mistakes a zombie, or another program with the same
  // pid, for a server. Surviving backends still keep it from starting: it checks their shared memory, too.
  const pid = recordedServer(data)
  if (pid !== undefined && !serversOf(data).includes(pid))
    rmSync(join(data, 'postmaster.pid'), { force: true })
}

// Returns the current length of the log, so that an error shows only what this start wrote.
function openLog({ log, user }: Place): number {
  const size = statSync(log, { throwIfNoEntry: false })?.size ?? 0
  if (size > 10_000_000) renameSync(log, `${log}.old`)
  closeSync(openSync(log, 'a', 0o600))
  if (user) chownSync(log, user.uid, user.gid)
  return size > 10_000_000 ? 0 : size
}

function quote(text: string): string {
  return process.platform === 'win32' ? `"${text}"` : `'${text.replaceAll("'", String.raw`'\''`)}'`
}
