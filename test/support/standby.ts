// A primary and its standby, two real PostgreSQL servers.
import { join } from 'node:path'
import type postgres from 'postgres'
import type { Test } from 'tap'
import { freePort } from '../../src/database/embedded/port.ts'
import { databaseAt, openClusters, password, startCluster } from './clusters.ts'
import { type Database, until } from './helper.ts'

export interface Standby {
  /** The primary's. */
  db: Database
  /** The URL of a role's own login on the standby. */
  url: (role: string) => string
  /** Superuser of the standby. */
  admin: postgres.Sql
  /** Waits until it has everything that the primary has now. */
  catchUp: () => Promise<void>
  /** Pauses replay, so that its data becomes stale. */
  pause: () => Promise<void>
  resume: () => Promise<void>
  stop: () => Promise<void>
  start: () => Promise<void>
  /** Stops the primary: in order (fast), or as if its power had failed (immediate). */
  stopPrimary: (mode: 'fast' | 'immediate') => Promise<unknown>
  /** The standby's database, for when it has been promoted. */
  promoted: Database
}

export async function startStandby(t: Test): Promise<Standby> {
  const clusters = await openClusters(t)
  const { data: primary, port, db } = await startCluster(clusters, 'primary')
  const data = join(clusters.folder, 'standby')
  const standbyPort = await freePort(0)
  // With -R it follows the primary; --checkpoint=fast does not wait for the next one.
  const from = `host=127.0.0.1 port=${port} user=postgres password=${password}`
  const options = ['-R', '-X', 'stream', '--checkpoint=fast', '--no-sync']
  await clusters.call('pg_basebackup', '-d', from, '-D', data, ...options)
  await clusters.launch(data, standbyPort)
  const promoted = databaseAt(clusters, standbyPort)
  const { admin, url } = promoted
  return {
    db,
    admin,
    url,
    promoted,
    stopPrimary: mode => clusters.call('pg_ctl', 'stop', '-w', '-D', primary, '-m', mode),
    catchUp: async () => {
      const [{ lsn }] = await db.admin<[{ lsn: string }]>`select pg_current_wal_flush_lsn()::text as lsn`
      await until(async () => {
        const [row] = await admin<[{ isThere: boolean }]>`
          select pg_last_wal_replay_lsn() >= ${lsn}::pg_lsn as "isThere"`
        return row.isThere
      }, 20)
    },
    pause: async () => {
      await admin`select pg_wal_replay_pause()`
      await until(async () => {
        const [row] = await admin<[{ state: string }]>`select pg_get_wal_replay_pause_state() as state`
        return row.state === 'paused'
      })
    },
    resume: async () => {
      await admin`select pg_wal_replay_resume()`
    },
    stop: async () => {
      await clusters.halt(data)
    },
    start: async () => {
      await clusters.launch(data, standbyPort)
    },
  }
}
