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
import { adminUrl, databaseAt, openClusters, setPasswords, withoutClusters } from './clusters.ts'
import type { Database } from './helper.ts'

const libraries = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib']
const library = libraries.map(folder => `${folder}/faketime/libfaketimeMT.so.1`).find(existsSync)

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
  /** Sets its clock, such as `+20d`; `+0` is right. */
  setClock: (offset: string) => Promise<void>
}

export async function startFaulty(t: Test): Promise<FaultyCluster> {
  const clusters = await openClusters(t)
  const disk = join(clusters.folder, 'disk')
  const clock = join(clusters.folder, 'clock')
  await mkdir(disk)
  const { uid, gid } = await stat(clusters.folder)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256m', 'none', disk], { encoding: 'utf8' })
  if (mounted.status !== 0) throw new Error(mounted.stderr)
  const data = await clusters.create('faulty')
  const port = await freePort(0)
  // Before openClusters removes the folder, and after PostgreSQL has stopped.
  t.teardown(async () => {
    await clusters.halt(data).catch(() => {})
    spawnSync('umount', ['-l', disk])
  })
  await chown(disk, uid, gid)
  await chmod(disk, 0o700)
  await clusters.sh('mv "$DATA/base" "$DISK/base"; ln -s "$DISK/base" "$DATA/base"', {
    DATA: data,
    DISK: disk,
  })
  await writeFile(clock, '+0\n', { mode: 0o644 })
  await clusters.sh(
    // With its monotonic clock PostgreSQL and the kernel measure how long something takes.
    'export LD_PRELOAD="$LIBRARY" FAKETIME_TIMESTAMP_FILE="$CLOCK" FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_RESET=1\n' +
      'pg_ctl start -w -D "$DATA" -l "$DATA.log" -o "-c port=$PORT -c unix_socket_directories=$FOLDER -c listen_addresses=127.0.0.1 -c fsync=off"',
    { LIBRARY: library ?? '', CLOCK: clock, DATA: data, PORT: port, FOLDER: clusters.folder },
  )
  await setPasswords(port)
  await createDatabase(adminUrl(port), 'callboard')
  const db = databaseAt(clusters, port)
  await migrate(db.url('callboard_migrator'))
  const filler = join(disk, 'filler')
  return {
    db,
    fill: async () => {
      const { bavail, bsize } = await statfs(disk)
      // PostgreSQL may take some of it meanwhile: then there is none left, which is what is wanted.
      await writeFile(filler, Buffer.alloc(bavail * bsize)).catch((error: unknown) => {
        if (codeOf(error) !== 'ENOSPC') throw error
      })
    },
    makeRoom: () => rm(filler),
    setClock: offset => writeFile(clock, `${offset}\n`),
  }
}
