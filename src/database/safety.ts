import postgres from 'postgres'

/** The database is not fit to be served from; the message says what to do. */
export class UnsafeDatabase extends Error {
  override name = 'UnsafeDatabase'
}

/** The first minor release of each major version in which CVE-2026-120154, -16237, -116311 and -14666 are fixed. */
const fixedIn: Record<number, number> = { 15: 20, 16: 16, 17: 12, 18: 7 }

/** What is wrong with a server version, as PostgreSQL counts it (180004 is 18.4), or undefined. */
export function versionProblem(version: number): string | undefined {
  const major = Math.floor(version / 10_000)
  const minor = version % 10_000
  if (major < 15) return `PostgreSQL ${major} is not supported: use 15 to 18.`
  const fixed = fixedIn[major]
  if (fixed === undefined || minor >= fixed) return undefined
  return `PostgreSQL ${major}.${minor} lets row-level security be bypassed (CVE-2026-120154, -16237, -116311, -14666): update it to ${major}.${fixed} or later.`
}

interface Login {
  name: string
  superuser: boolean
  bypassrls: boolean
  owns: boolean
  version: number
  migrated: boolean
}

/**
 * Looks at the API's login before the first request. Throws UnsafeDatabase if its login could see
 * through row-level security, if the schema is missing, or, in production, if the server is known
 * to be vulnerable; in development that is returned as a warning.
 */
export async function checkDatabase(url: string, production: boolean): Promise<string[]> {
  const sql = postgres(url, { max: 1, connect_timeout: 10, onnotice: () => {} })
  try {
    const [login] = await sql<[Login]>`
      select current_user as name, r.rolsuper as superuser, r.rolbypassrls as bypassrls,
        exists (
          select from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname in ('app', 'app_private') and pg_has_role(current_user, c.relowner, 'member')
        ) or pg_has_role(current_user, 'callboard_definer', 'member') as owns,
        current_setting('server_version_num')::integer as version,
        to_regprocedure('app.enter(text,uuid)') is not null as migrated
      from pg_roles r where r.rolname = current_user`
    if (login.superuser || login.bypassrls || login.owns) {
      const why = login.superuser
        ? 'is a superuser'
        : login.bypassrls
          ? 'has BYPASSRLS'
          : 'owns tables, or may become their owner'
      throw new UnsafeDatabase(
        `DATABASE_URL logs in as ${login.name}, which ${why} and so sees every organization: use callboard_api (see db/README.md).`,
      )
    }
    if (!login.migrated)
      throw new UnsafeDatabase('The database has no Callboard schema: run npm run migrate first.')
    const problem = versionProblem(login.version)
    if (problem !== undefined && production) throw new UnsafeDatabase(problem)
    return problem === undefined ? [] : [problem]
  } finally {
    await sql.end({ timeout: 2 })
  }
}
