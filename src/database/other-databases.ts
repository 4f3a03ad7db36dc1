import type { Client } from './pool.ts'

interface Open {
  /** As SQL names it. */
  database: string
  /** Through whom Callboard's logins may connect: PUBLIC, or roles. */
  grantees: string
}

// Another Callboard's belongs to callboard_owner and is closed to PUBLIC, as db/database.sql leaves it. What an owner may
// do cannot be taken from it.
const open = (sql: Client) => sql<Open[]>`
  select quote_ident(d.datname) as database, string_agg(g.name, ', ' order by g.name) as grantees
  from pg_catalog.pg_database d,
    lateral (select coalesce(d.datacl, acldefault('d', d.datdba)) as acl) p,
    lateral (
      select distinct coalesce(quote_ident(r.rolname), 'PUBLIC') as name, r.oid
      from aclexplode(p.acl) a left join pg_catalog.pg_roles r on r.oid = a.grantee
      where a.privilege_type = 'CONNECT' and a.grantee <> d.datdba) g
  where d.datallowconn and d.datname <> current_database()
    and (g.oid is null or exists (
      select from pg_catalog.pg_roles ours
      where ours.rolname ~ '^(callboard_|bi_[0-9a-f]{24}$)' and pg_has_role(ours.oid, g.oid, 'member')))
    and not (pg_get_userbyid(d.datdba) = 'callboard_owner'
      and not exists (select from aclexplode(p.acl) a where a.grantee = 0 and a.privilege_type = 'CONNECT'))
  group by d.datname order by 1`

/** The statement that keeps these grantees out of a database; both as SQL names them. */
export const closing = (database: string, grantees: string) =>
  `revoke connect on database ${database} from ${grantees}`

/**
 * Warnings about other databases of the server that Callboard's logins may connect to. What db/database.sql takes from
 * them in their own, they have there: large objects, temporary tables, advisory locks, who else is connected.
 */
export async function otherDatabases(sql: Client): Promise<string[]> {
  return (await open(sql)).map(
    ({ database, grantees }) =>
      `Logins of Callboard may connect to the database ${database} of this server through ${grantees}; nothing keeps organizations apart there. Close it with: ${closing(database, grantees)}; (other programs that use it may need a grant of their own first).`,
  )
}
