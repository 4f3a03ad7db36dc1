import { carrierOf } from './context.ts'
import { Unavailable } from './errors.ts'
import { otherDatabases } from './other-databases.ts'
import { refuseCopy, restoredAdvice } from './origin.ts'
import { type Client, createPool, type Pool } from './pool.ts'

/** The database is not safe to serve from; the message says what to do. */
export class UnsafeDatabase extends Error {
  override name = 'UnsafeDatabase'
}

/** The first minor release of each major version in which CVE-2026-120154, -16237, -116311 and -14666 are fixed. */
const fixedIn: Record<number, number> = { 15: 20, 16: 16, 17: 12, 18: 7 }

/** What is wrong with a server version, in PostgreSQL's notation (180004 is 18.4), or undefined. */
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
  files: boolean
  sets: boolean
  stuck: boolean
  enters: boolean
  version: number
  migrated: boolean
  /** The figures that cannot be read until the worker has filled them. */
  unpopulated: string | null
  /** The versions of the ICU library that built the indexes and that sorts now, if they differ. */
  sorted: string | null
}

// Every role counts that the login could assume by SET ROLE: injected SQL would assume it.
const look = (sql: Client, door: string) => sql<[Login]>`
  with role as (
    select r.oid, r.rolname, r.rolsuper, r.rolbypassrls from pg_roles r where pg_has_role(session_user, r.oid, 'member')
  ), door as (
    select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'app' and p.proname = ${door}
  )
  select session_user as name, bool_or(rolsuper) as superuser, bool_or(rolbypassrls) as bypassrls,
    bool_or(rolname in ('callboard_definer', 'callboard_rollup', 'callboard_reader') or exists (
      select from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname in ('app', 'app_private', 'analytics', 'analytics_private') and c.relowner = role.oid)) as owns,
    bool_or(rolname in ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')) as files,
    bool_or(not rolsuper and has_parameter_privilege(role.oid, 'backtrace_functions', 'set')) as sets,
    coalesce(${carrierOf(sql)} = 'guarded', false)
      and not has_parameter_privilege('callboard_definer', 'backtrace_functions', 'set') as stuck,
    exists (select from door where has_function_privilege(door.oid, 'execute')) as enters,
    current_setting('server_version_num')::integer as version,
    exists (select from door) as migrated,
    (select string_agg(c.relname, ', ' order by c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'analytics_private' and c.relkind = 'm' and not c.relispopulated) as unpopulated,
    (select c.collversion || ', now ' || pg_collation_actual_version(c.oid) from pg_collation c join pg_namespace n on n.oid = c.collnamespace
      where n.nspname = 'app' and c.collname = 'people' and c.collversion <> pg_collation_actual_version(c.oid)) as sorted
  from role`

const faults: [keyof Login, string][] = [
  ['superuser', 'is a superuser, or may become one,'],
  ['bypassrls', 'has BYPASSRLS, or may become a role that has it,'],
  ['owns', 'owns tables, or may become their owner,'],
  ['files', "may read and write the server's files"],
  ['sets', 'may set backtrace_functions, which holds the context of a request,'],
]

/** The login a URL needs: one that may call this function of `app`, and that row-level security applies to. */
interface Part {
  url: 'DATABASE_URL' | 'WORKER_DATABASE_URL' | 'DATABASE_REPLICA_URL'
  role: string
  door: string
}
const api: Part = { url: 'DATABASE_URL', role: 'callboard_api', door: 'enter' }
const replica: Part = { ...api, url: 'DATABASE_REPLICA_URL' }
const worker: Part = { url: 'WORKER_DATABASE_URL', role: 'callboard_worker', door: 'keep_jobs' }

async function check(url: string, part: Part): Promise<{ login: Login; elsewhere: string[] }> {
  const pool = createPool({
    url,
    size: 1,
    deadline: 10_000,
    prepare: false,
    applicationName: 'callboard start',
  })
  try {
    return { login: await checkLogin(pool, part), elsewhere: await pool.use(otherDatabases) }
  } finally {
    await pool.close()
  }
}

async function checkLogin(pool: Pool, { url: setting, role, door }: Part): Promise<Login> {
  const [login] = await pool.use(sql => look(sql, door))
  const [, fault] = faults.find(([name]) => login[name] === true) ?? []
  if (fault !== undefined)
    throw new UnsafeDatabase(
      `${setting} logs in as ${login.name}, which ${fault} and so sees every organization: use ${role} (see db/README.md).`,
    )
  if (login.stuck)
    throw new UnsafeDatabase(
      'The database guards the context of requests with backtrace_functions, but callboard_definer may not set it on this server: run db/roles.sql as a superuser, or npm run migrate to have contexts signed.',
    )
  if (!login.migrated)
    throw new UnsafeDatabase('The database has no Callboard schema: run npm run migrate first.')
  if (!login.enters)
    throw new UnsafeDatabase(
      `${setting} logs in as ${login.name}, which may not call app.${door} and so sees nothing: use ${role} (see db/README.md).`,
    )
  await pool
    .use(refuseCopy(setting === 'DATABASE_REPLICA_URL' ? 'standby' : 'primary'))
    .catch((error: unknown) => {
      throw error instanceof Unavailable && error.reason === 'restored'
        ? new UnsafeDatabase(restoredAdvice)
        : error
    })
  return login
}

/**
 * Checks the API's login before the first request. Throws UnsafeDatabase if the login could bypass
 * row-level security, if the schema is missing, if the database was restored and not dealt with, or, in production, if the server is known to be
 * vulnerable; in development that is returned as a warning, and so are, always, figures that are empty,
 * an ICU library other than the one that built the indexes, and other databases that logins may connect to.
 */
export async function checkDatabase(url: string, production: boolean, isReplica = false): Promise<string[]> {
  const { login, elsewhere } = await check(url, isReplica ? replica : api)
  const { version, sorted, unpopulated } = login
  const problem = versionProblem(version)
  if (problem !== undefined && production) throw new UnsafeDatabase(problem)
  return [
    ...(problem === undefined ? [] : [problem]),
    ...(unpopulated === null
      ? []
      : [
          `These figures are empty, as pg_restore leaves them without --enable-row-security: ${unpopulated}. They cannot be read until a worker has computed them.`,
        ]),
    ...(sorted === null
      ? []
      : [
          `The indexes were built with another version of the ICU library (${sorted}), so lists may miss rows: reindex (see "Versions of PostgreSQL" in db/README.md).`,
        ]),
    // Its primary has said so.
    ...(isReplica ? [] : elsewhere),
  ]
}

/** Checks the worker's login before its first job. Throws UnsafeDatabase as above, and warns of other databases. */
export async function checkWorkerDatabase(url: string): Promise<string[]> {
  return (await check(url, worker)).elsewhere
}
