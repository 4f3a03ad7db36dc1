// Servers of PostgreSQL 15 from the system's packages: the embedded one has neither pg_dump nor pg_basebackup.
import { existsSync } from 'node:fs'
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type postgres from 'postgres'
import type { Test } from 'tap'
import { freePort } from '../../src/database/embedded/port.ts'
import { run } from '../../src/database/embedded/run.ts'
import { osUser } from '../../src/database/embedded/user.ts'
import { migrate } from '../../src/database/migrate.ts'
import { createDatabase, createRoles, withUrl } from '../../src/database/provision.ts'
import { openClient } from './client.ts'
import type { Database } from './helper.ts'

export const bin = '/usr/lib/postgresql/15/bin'
/** Of all logins. */
export const password = 'of-all-logins-in-this-test'
const database = 'callboard'
export const logins = ['api', 'migrator', 'worker', 'support', 'auditor'].map(role => `callboard_${role}`)

/** Why tests that need such servers are skipped, for the options of t.test. Where they have to run, it throws. */
export function withoutClusters(): { skip?: string } {
  if (existsSync(`${bin}/pg_basebackup`)) return {}
  const reason = 'PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)'
  if (process.env['STANDBY_TESTS'] === 'required') throw new Error(reason)
  return { skip: reason }
}

export interface Clusters {
  /** Belongs to the user that PostgreSQL runs as. */
  folder: string
  /** Runs one of PostgreSQL's programs as that user. */
  call: (program: string, ...args: string[]) => Promise<string>
  /** Creates a server in a folder of this name, and returns the folder. */
  /** Runs a script as that user, with PostgreSQL's programs and these variables. */
  sh: (script: string, variables: Record<string, string | number>) => Promise<string>
  create: (name: string) => Promise<string>
  launch: (data: string, port: number) => Promise<unknown>
  halt: (data: string) => Promise<unknown>
  /** A connection that is closed after the test. */
  connect: (url: string) => postgres.Sql
}

/** A place for servers, which are stopped and removed after the test. */
export async function openClusters(t: Test): Promise<Clusters> {
  const folder = await mkdtemp(join(tmpdir(), 'callboard-clusters-'))
  await chmod(folder, 0o755)
  const user = await osUser('postgres', [])
  if (user) await chown(folder, user.uid, user.gid)
  const call = (program: string, ...args: string[]) => run(`${bin}/${program}`, args, { user })
  const launched = new Set<string>()
  const open: postgres.Sql[] = []
  const halt = (data: string) => call('pg_ctl', 'stop', '-w', '-D', data, '-m', 'immediate')
  t.teardown(async () => {
    await Promise.all(open.map(sql => sql.end({ timeout: 1 })))
    for (const data of [...launched].reverse()) await halt(data).catch(() => {})
    await rm(folder, { recursive: true, force: true })
  })
  return {
    folder,
    call,
    halt,
    sh: (script, variables) => {
      const set = Object.entries(variables).map(([name, value]) => `${name}='${value}'`)
      return run('/bin/sh', ['-ec', `export ${set.join(' ')} PATH=${bin}:$PATH; ${script}`], { user })
    },
    create: async name => {
      const data = join(folder, name)
      await writeFile(`${data}.password`, password, { mode: 0o644 })
      const accounts = ['-U', 'postgres', `--pwfile=${data}.password`, '-A', 'scram-sha-256']
      await call('initdb', '-D', data, '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync', ...accounts)
      return data
    },
    launch: async (data, port) => {
      launched.add(data)
      const settings = [
        `port=${port}`,
        `unix_socket_directories=${folder}`,
        'listen_addresses=127.0.0.1',
        'fsync=off',
      ]
      const options = settings.map(setting => `-c ${setting}`).join(' ')
      await call('pg_ctl', 'start', '-w', '-D', data, '-l', `${data}.log`, '-o', options)
    },
    connect: url => {
      const sql = openClient(url, false)
      open.push(sql)
      return sql
    },
  }
}

/** The superuser's URL of a server's own database. */
export const adminUrl = (port: number) => `postgres://postgres:${password}@127.0.0.1:${port}/postgres`

/** A server's database as the tests use it. */
export function databaseAt(clusters: Clusters, port: number, name = database): Database {
  const url = (role: string) => withUrl(adminUrl(port), { database: name, user: role, password })
  return { name, url, admin: clusters.connect(url('postgres')), as: role => clusters.connect(url(role)) }
}

/** Sets the passwords of the logins, with the roles if they are not there. */
export const setPasswords = (port: number) =>
  createRoles(adminUrl(port), Object.fromEntries(logins.map(role => [role, password])))

/** A running server with a migrated database. */
export async function startCluster(
  clusters: Clusters,
  of: string,
): Promise<{ data: string; port: number; db: Database }> {
  const data = await clusters.create(of)
  const port = await freePort(0)
  await clusters.launch(data, port)
  await setPasswords(port)
  await createDatabase(adminUrl(port), database)
  const db = databaseAt(clusters, port)
  await migrate(db.url('callboard_migrator'))
  return { data, port, db }
}
