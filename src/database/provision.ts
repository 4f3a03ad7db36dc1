import { readFile } from 'node:fs/promises'
import postgres from 'postgres'
import { root } from '../root.ts'

const folder = new URL('db/', root)

/** Runs a few statements on a short-lived connection to `url`. */
async function asAdmin<T>(url: string, work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice: () => {}, connect_timeout: 10 })
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

/** Runs db/roles.sql (harmless if the roles exist) and sets the given passwords. Needs a superuser. */
export async function createRoles(adminUrl: string, passwords: Record<string, string> = {}): Promise<void> {
  const roles = await readFile(new URL('roles.sql', folder), 'utf8')
  await asAdmin(adminUrl, async sql => {
    await sql.unsafe(roles)
    for (const [role, password] of Object.entries(passwords)) {
      // Utility statements take no parameters; format() on the server quotes both.
      const [row] = await sql<
        [{ statement: string }]
      >`select format('alter role %I password %L', ${role}::text, ${password}::text) as statement`
      await sql.unsafe(row.statement)
    }
  })
}

/** Creates a database (from a template, if given) with the privileges of db/database.sql. The roles must exist. */
export async function createDatabase(adminUrl: string, name: string, template = 'template0'): Promise<void> {
  await asAdmin(
    adminUrl,
    sql => sql`create database ${sql(name)} owner callboard_owner template ${sql(template)} encoding 'UTF8'`,
  )
  await setDatabasePrivileges(withUrl(adminUrl, { database: name }))
}

/** Runs db/database.sql in the database of the URL. Needs a superuser. */
export async function setDatabasePrivileges(adminUrl: string): Promise<void> {
  const privileges = await readFile(new URL('database.sql', folder), 'utf8')
  await asAdmin(adminUrl, sql => sql.unsafe(privileges))
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
