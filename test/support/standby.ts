// A primary and its standby, two real PostgreSQL servers: the embedded one has no pg_basebackup.
import { existsSync } from 'node:fs'
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import type { Test } from 'tap'
import { freePort } from '../../src/database/embedded/port.ts'
import { run } from '../../src/database/embedded/run.ts'
import { osUser } from '../../src/database/embedded/user.ts'
import { migrate } from '../../src/database/migrate.ts'
import { createDatabase, createRoles, withUrl } from '../../src/database/provision.ts'
import { type Database, until } from './helper.ts'

const bin = '/usr/lib/postgresql/15/bin'
const password = 'of-all-logins-in-this-test'
const name = 'callboard'

/** Why tests that need a standby are skipped, for the options of t.test. Where they have to run, it throws. */
export function withoutStandby(): { skip?: string } {
  if (existsSync(`${bin}/pg_basebackup`)) return {}
  const reason = 'PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)'
  if (process.env['STANDBY_TESTS'] === 'required') throw new Error(reason)
  return { skip: reason }
}

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
}

export async function startStandby(t: Test): Promise<Standby> {
  const folder = await mkdtemp(join(tmpdir(), 'callboard-standby-'))
  await chmod(folder, 0o755)
  const user = await osUser('postgres', [])
  if (user) await chown(folder, user.uid, user.gid)
  const [primary, standby] = [join(folder, 'primary'), join(folder, 'standby')]
  const call = (program: string, ...args: string[]) => run(`${bin}/${program}`, args, { user })
  const launch = (data: string, port: number) => {
    const settings = [
      `port=${port}`,
      `unix_socket_directories=${folder}`,
      'listen_addresses=127.0.0.1',
      'fsync=off',
    ]
    const options = settings.map(setting => `-c ${setting}`).join(' ')
    return call('pg_ctl', 'start', '-w', '-D', data, '-l', `${data}.log`, '-o', options)
  }
  const halt = (data: string) => call('pg_ctl', 'stop', '-w', '-D', data, '-m', 'immediate')
  const open: postgres.Sql[] = []
  const connect = (url: string) => {
    const sql = postgres(url, { max: 4, onnotice: () => {}, types: {}, idle_timeout: 1 })
    open.push(sql)
    return sql
  }
  t.teardown(async () => {
    await Promise.all(open.map(sql => sql.end({ timeout: 1 })))
    for (const data of [standby, primary]) await halt(data).catch(() => {})
    await rm(folder, { recursive: true, force: true })
  })

  await writeFile(`${primary}.password`, password, { mode: 0o644 })
  const accounts = ['-U', 'postgres', `--pwfile=${primary}.password`, '-A', 'scram-sha-256']
  await call('initdb', '-D', primary, '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync', ...accounts)
  const [port, standbyPort] = [await freePort(0), await freePort(0)]
  await launch(primary, port)
  const at = (number: number) => `postgres://postgres:${password}@127.0.0.1:${number}/postgres`
  const roles = ['api', 'migrator', 'worker', 'support', 'auditor'].map(role => `callboard_${role}`)
  await createRoles(at(port), Object.fromEntries(roles.map(role => [role, password])))
  await createDatabase(at(port), name)
  const urlAt = (number: number) => (role: string) =>
    withUrl(at(number), { database: name, user: role, password })
  await migrate(urlAt(port)('callboard_migrator'))

  // With -R it follows the primary; --checkpoint=fast does not wait for the next one.
  const from = `host=127.0.0.1 port=${port} user=postgres password=${password}`
  await call(
    'pg_basebackup',
    '-d',
    from,
    '-D',
    standby,
    '-R',
    '-X',
    'stream',
    '--checkpoint=fast',
    '--no-sync',
  )
  await launch(standby, standbyPort)
  const url = urlAt(port)
  const db: Database = {
    name,
    admin: connect(url('postgres')),
    url,
    as: role => connect(url(role)),
  }
  const admin = connect(urlAt(standbyPort)('postgres'))
  return {
    db,
    admin,
    url: urlAt(standbyPort),
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
      await halt(standby)
    },
    start: async () => {
      await launch(standby, standbyPort)
    },
  }
}
