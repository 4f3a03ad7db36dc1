// What an audit says of the memory of BI logins. PostgreSQL bounds that of no statement, so it is no rule that could be
// kept: it depends on the machine, and whoever runs it decides.
import type { TransactionSql } from 'postgres'
import type { Finding } from './finding.ts'

/** A line of pg_hba.conf, as pg_hba_file_rules has it. */
export interface HbaLine {
  type: string
  database: string[]
  user_name: string[]
  address: string | null
  auth_method: string
}

/** What there is to say it from; null is what this login cannot see. */
export interface Seen {
  logins: number
  isStandby: boolean
  isRefused: boolean | null
  /** The memory that a cgroup leaves PostgreSQL, in bytes; 0 if none does. */
  cgroup: number | null
  /** Whether the kernel refuses memory that it does not have (vm.overcommit_memory=2). */
  isStrict: boolean | null
}

/** Whether pg_hba.conf refuses every BI login from the network: the first line that is about one decides. */
export function refusesBi(lines: HbaLine[], database: string): boolean {
  for (const { type, database: databases, user_name: users, address, auth_method: method } of lines) {
    const isAbout =
      type.startsWith('host') &&
      databases.some(name => name === 'all' || name === database) &&
      users.some(name => name === 'all' || name === '+callboard_bi' || name.startsWith('bi_'))
    if (!isAbout) continue
    if (method !== 'reject') return false
    const isWhole = type === 'host' && address === 'all' && !users.every(name => name.startsWith('bi_'))
    if (isWhole) return true
  }
  return true
}

const gib = (bytes: number) => `${Math.round((bytes / 2 ** 30) * 10) / 10} GiB`

/** The note; undefined if there are no BI logins. */
export function noteOf({ logins, isStandby, isRefused, cgroup, isStrict }: Seen): Finding | undefined {
  if (logins === 0) return undefined
  const where = isStandby
    ? 'reach this server, a standby'
    : isRefused === null
      ? 'may connect to this server, a primary, unless its pg_hba.conf, which cannot be seen from here, refuses them'
      : isRefused
        ? 'are refused on this server, a primary, by its pg_hba.conf'
        : 'may connect to this server, a primary'
  const contained = [
    ...(cgroup
      ? [`a cgroup leaves PostgreSQL ${gib(cgroup)} together, and ends a process that wants more`]
      : []),
    ...(isStrict ? ['vm.overcommit_memory=2 lets the statement fail'] : []),
  ]
  const what =
    contained.length > 0
      ? contained.join('; ')
      : cgroup === null
        ? 'what does cannot be seen from here'
        : 'nothing here does, so that the server may run out of memory'
  return {
    id: 'rules:bi-memory',
    part: 'rules',
    class: 'safe',
    subject: 'the memory of BI logins',
    says: `BI logins (${logins}) ${where}. PostgreSQL does not bound the memory of a statement: ${what}. See "Keep the memory of BI tools apart" in docs/how-to/connect-bi.md.`,
  }
}

/** What a login may not look at is null. */
async function allowed<T>(sql: TransactionSql, look: (tx: TransactionSql) => Promise<T>): Promise<T | null> {
  return sql.savepoint(look).catch((error: unknown) => {
    if ((error as { code?: string }).code === '42501') return null
    throw error
  }) as Promise<T | null>
}

/** Looks at the logins of this database, and at the server as its own process sees it. */
export async function biMemory(sql: TransactionSql): Promise<Finding | undefined> {
  const count = async (tx: TransactionSql, of: string) => {
    const [row] = await tx.unsafe<[{ logins: number }]>(
      `select count(*)::integer as logins from pg_catalog.pg_roles r where r.rolcanlogin and ${of}`,
    )
    return row.logins
  }
  const own = await allowed(sql, tx =>
    count(tx, 'r.rolname in (select l.login from app_private.bi_logins l)'),
  )
  // Those of all databases of the server, where this one's cannot be told.
  const logins = own ?? (await count(sql, `r.rolname ~ '^bi_[0-9a-f]{24}$'`))
  const [server] = await sql<[{ isStandby: boolean; database: string }]>`
    select pg_is_in_recovery() as "isStandby", current_database() as database`
  const lines = await allowed(
    sql,
    tx => tx<HbaLine[]>`
      select type, database, user_name, address, auth_method from pg_catalog.pg_hba_file_rules where error is null order by line_number`,
  )
  return noteOf({
    logins,
    isStandby: server.isStandby,
    isRefused: lines && refusesBi(lines, server.database),
    cgroup: await allowed(sql, limitOfCgroup),
    isStrict: await allowed(
      sql,
      async tx => (await contents(tx, '/proc/sys/vm/overcommit_memory')).trim() === '2',
    ),
  })
}

/** A small file of the server's machine; empty if there is none, as on other systems than Linux. */
async function contents(sql: TransactionSql, file: string): Promise<string> {
  const [row] = await sql<[{ text: string | null }]>`select pg_read_file(${file}, 0, 10000, true) as text`
  return row.text ?? ''
}

/** The smallest limit of the cgroup of PostgreSQL's processes and those above it. */
async function limitOfCgroup(sql: TransactionSql): Promise<number> {
  const [, path = ''] = /^0::(\/.*)$/m.exec(await contents(sql, '/proc/self/cgroup')) ?? []
  const parts = path.split('/').filter(part => part !== '')
  let least = 0
  for (let n = parts.length; n >= 0; n -= 1) {
    const folder = ['/sys/fs/cgroup', ...parts.slice(0, n)].join('/')
    const limit = Number((await contents(sql, `${folder}/memory.max`)).trim())
    if (limit > 0 && (least === 0 || limit < least)) least = limit
  }
  return least
}
