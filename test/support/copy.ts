// A copy of a test's database as of now, in the same server.
import { randomUUID } from 'node:crypto'
import type postgres from 'postgres'
import type { Test } from 'tap'
import { createDatabase, dropDatabase, withUrl } from '../../src/database/provision.ts'
import { RetryingPool } from '../../src/jobs/pool.ts'
import { appendEnded } from '../../src/jobs/ended.ts'
import { openClient } from './client.ts'
import { type Database, until } from './helper.ts'

const { ADMIN_DATABASE_URL: adminUrl = '', TEST_SET_UP_URL: setUpUrl = adminUrl } = process.env

/** Clones the database, ending its connections; nobody has said yet that the clone may be served. */
export async function copyOf(t: Test, { name, url }: Database): Promise<Database> {
  const copy = `${name.slice(0, 40)}_${randomUUID().slice(0, 8)}`
  const open: postgres.Sql[] = []
  const connect = (to: string) => {
    const sql = openClient(to)
    open.push(sql)
    return sql
  }
  const server = connect(adminUrl)
  t.teardown(async () => {
    await Promise.all(open.map(sql => sql.end({ timeout: 1 })))
    await dropDatabase(adminUrl, copy)
  })
  await until(async () => {
    await server`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`
    return createDatabase(adminUrl, copy, name, setUpUrl).then(
      () => true,
      (error: unknown) => {
        if (/being accessed by other users/.test(String(error))) return false
        throw error
      },
    )
  })
  const there = (role: string) => withUrl(url(role), { database: copy })
  return {
    name: copy,
    url: there,
    admin: connect(withUrl(adminUrl, { database: copy })),
    as: role => connect(there(role)),
  }
}

/** Appends to a file what has ended until now, as a worker does each minute, after the sealer. */
export function recorder(t: Test, db: Database): (file: string) => Promise<void> {
  const pool = new RetryingPool(db.url('callboard_worker'), { size: 1, applicationName: 'test' })
  t.teardown(() => pool.close())
  return async file => {
    const now = Date.now()
    await until(async () => {
      await pool.ask(`select app.seal_events('0 seconds')`)
      const line = await appendEnded(file, (sql, values) => pool.ask(sql, values))
      return line !== undefined && Date.parse(line.until) >= now
    })
  }
}
