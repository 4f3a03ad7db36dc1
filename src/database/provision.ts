import { readFile } from 'node:fs/promises'
import postgres from 'postgres'
import { root } from '../root.ts'

const folder = new URL('db/', root)

/** Runs a few statements on a short-lived connection to `url`. */
async function asAdmin<T>(
  url: string,
  work: (sql: postgres.Sql) => Promise<T>,
  onnotice: (notice: postgres.Notice) => void = () => {},
): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice, connect_timeout: 10 })
  try {
    return await work(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** The same connection URL with another database, user or password. */
export function withUrl(
  url: string,
  change: { database?: string; user?: string; password?: string },
): string {
  const changed = new URL(url)
  if (change.database !== undefined) changed.pathname = `/${change.database}`
  if (change.user !== undefined) changed.username = change.user
  if (change.password !== undefined) changed.password = change.password
  return changed.href
}

/**
 * Runs db/roles.sql (harmless if the roles exist) and sets the given passwords. Needs a superuser, or CREATEROLE and
 * CREATEDB. Returns what could not be applied, and what that costs.
 */
export async function createRoles(
  adminUrl: string,
  passwords: Record<string, string> = {},
): Promise<string[]> {
  const missing = await runAsAdmin(adminUrl, 'roles.sql')
  await asAdmin(adminUrl, async sql => {
    for (const [role, password] of Object.entries(passwords)) {
      // Utility statements take no parameters; format() on the server quotes both.
      const [row] = await sql<
        [{ statement: string }]
      >`select format('alter role %I password %L', ${role}::text, ${password}::text) as statement`
      await sql.unsafe(row.statement)
    }
  })
  return missing
}

/**
 * Creates a database (from a template, if given) with the privileges of db/database.sql, which `setUpUrl` sets, if it is
 * another login. The roles must exist. Returns what could not be applied, and what that costs.
 */
export async function createDatabase(
  adminUrl: string,
  name: string,
  template = 'template0',
  setUpUrl = adminUrl,
): Promise<string[]> {
  await asAdmin(adminUrl, async sql => {
    await sql`create database ${sql(name)} template ${sql(template)} encoding 'UTF8'`
    if (setUpUrl !== adminUrl)
      await sql`alter database ${sql(name)} owner to ${sql(decodeURIComponent(new URL(setUpUrl).username))}`
  })
  return setDatabasePrivileges(withUrl(setUpUrl, { database: name }))
}

/** Runs db/database.sql in the database of the URL, as the login that ran db/roles.sql; returns what could not be applied. */
export function setDatabasePrivileges(adminUrl: string): Promise<string[]> {
  return runAsAdmin(adminUrl, 'database.sql')
}

async function runAsAdmin(url: string, file: string): Promise<string[]> {
  const statements = await readFile(new URL(file, folder), 'utf8')
  const missing: string[] = []
  await asAdmin(
    url,
    sql => sql.unsafe(statements),
    ({ severity, message }) => {
      if (severity === 'WARNING' && message !== undefined) missing.push(message)
    },
  )
  return missing
}

/** Whether the server of the URL has a database with this name. */
export async function databaseExists(adminUrl: string, name: string): Promise<boolean> {
  return asAdmin(adminUrl, async sql => {
    const [row] = await sql<
      [{ found: boolean }]
    >`select exists (select from pg_database where datname = ${name}) as found`
    return row.found
  })
}

/** Drops a database, ending its connections. */
export async function dropDatabase(adminUrl: string, name: string): Promise<void> {
  await asAdmin(adminUrl, sql => sql`drop database if exists ${sql(name)} with (force)`)
}
