// A PostgreSQL whose disk can be full and whose clock can be wrong.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs'
import { chmod, chown, mkdir, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from '../../src/database/embedded/port.ts'
import { migrate } from '../../src/database/migrate.ts'
import { codeOf } from '../../src/database/embedded/run.ts'
import { createDatabase } from '../../src/database/provision.ts'
import { openClient } from './client.ts'
import { adminUrl, databaseAt, openClusters, setPasswords, withoutClusters } from './clusters.ts'
import { type Database, until } from './helper.ts'

const libraries = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib']
const library = libraries.map(folder => `${folder}/faketime/libfaketimeMT.so.1`).find(existsSync)

/** What gives a process a clock of its own, which goes by what is in the file, such as `+20d`; `+0` is right. */
export const ownClock = (file: string) => ({
  LD_PRELOAD: library ?? '',
  FAKETIME_TIMESTAMP_FILE: file,
  FAKETIME_CACHE_DURATION: '1',
  // With its monotonic clock a process and the kernel measure how long something takes.
  FAKETIME_DONT_FAKE_MONOTONIC: '1',
  FAKETIME_DONT_RESET: '1',
})

/** Why tests of a full disk and a wrong clock are skipped, for the options of t.test. Where they have to run, it throws. */
export function withoutFaults(): { skip?: string } {
  const lacking = withoutClusters()
  if (lacking.skip !== undefined) return lacking
  const reason =
    library === undefined ? 'faketime is not installed (Debian: apt-get install faketime)' : noMount()
  if (reason === undefined) return {}
  if (process.env['FAULT_TESTS'] === 'required') throw new Error(reason)
  return { skip: reason }
}

function noMount(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-mount-'))
  const { status } = spawnSync('mount', ['-t', 'tmpfs', 'none', folder])
  if (status === 0) spawnSync('umount', [folder])
  rmdirSync(folder)
  return status === 0 ? undefined : 'this user may not mount a small disk (run as root)'
}

export interface FaultyCluster {
  db: Database
  /** Leaves no byte free on the disk of its tables; the log of changes (WAL) is on another. */
  fill: () => Promise<void>
  makeRoom: () => Promise<void>
  /** Leaves no room for the log of changes, which PostgreSQL does not survive. */
  fillWal: () => Promise<void>
  /** Makes room for it, and starts PostgreSQL again. */
  makeWalRoom: () => Promise<void>
  /** Sets its clock, such as `+20d`; `+0` is right. */
  setClock: (offset: string) => Promise<void>
}

export async function startFaulty(t: Test): Promise<FaultyCluster> {
  const clusters = await openClusters(t)
  const clock = join(clusters.folder, 'clock')
  const data = await clusters.create('faulty')
  const port = await freePort(0)
  const disks: string[] = []
  // Before openClusters removes the folder, and after PostgreSQL has stopped.
  t.teardown(async () => {
    await clusters.halt(data).catch(() => {})
    for (const disk of disks) spawnSync('umount', ['-l', disk])
  })
  const { uid, gid } = await stat(clusters.folder)
  /** Moves a part of its data to a small disk of its own. */
  async function onDisk(part: string, megabytes: number) {
    const disk = join(clusters.folder, part)
    await mkdir(disk)
    const size = `size=${megabytes}m`
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', size, 'none', disk], { encoding: 'utf8' })
    if (mounted.status !== 0) throw new Error(mounted.stderr)
    disks.push(disk)
    await chown(disk, uid, gid)
    await chmod(disk, 0o700)
    await clusters.sh('mv "$DATA/$PART" "$DISK/$PART"; ln -s "$DISK/$PART" "$DATA/$PART"', {
      DATA: data,
      DISK: disk,
      PART: part,
    })
    return disk
  }
  const disk = await onDisk('base', 256)
  const walDisk = await onDisk('pg_wal', 192)
  await writeFile(clock, '+0\n', { mode: 0o644 })
  const start = () =>
    clusters.sh(
      'pg_ctl start -w -D "$DATA" -l "$DATA.log" -o "-c port=$PORT -c unix_socket_directories=$FOLDER -c listen_addresses=127.0.0.1 -c fsync=off -c min_wal_size=32MB -c max_wal_size=64MB"',
      { ...ownClock(clock), DATA: data, PORT: port, FOLDER: clusters.folder },
    )
  await start()
  await setPasswords(port)
  await createDatabase(adminUrl(port), 'callboard')
  const db = databaseAt(clusters, port)
  await migrate(db.url('callboard_migrator'))
  const fillerOf = (of: string) => join(of, 'filler')
  async function fill(of: string) {
    const { bavail, bsize } = await statfs(of)
    // PostgreSQL may take some of it meanwhile: then there is none left, which is what is wanted.
    await writeFile(fillerOf(of), Buffer.alloc(bavail * bsize)).catch((error: unknown) => {
      if (codeOf(error) !== 'ENOSPC') throw error
    })
  }
  const isUp = () => existsSync(join(data, 'postmaster.pid'))
  return {
    db,
    fill: () => fill(disk),
    makeRoom: () => rm(fillerOf(disk)),
    fillWal: async () => {
      await fill(walDisk)
      // A client of its own, each time: postgres.js answers the first query after a connection was lost in the middle of
      // another with the error of that one.
      const switched = async () => {
        const sql = openClient(db.url('postgres'), false)
        await sql`select pg_switch_wal() from pg_logical_emit_message(false, 'fill', repeat('x', 100000))`.catch(
          () => {},
        )
        await sql.end({ timeout: 0 })
      }
      // Segments of before are used up first.
      await until(async () => {
        await switched()
        return !isUp()
      })
    },
    makeWalRoom: async () => {
      await rm(fillerOf(walDisk))
      await start()
    },
    setClock: offset => writeFile(clock, `${offset}\n`),
  }
}
