// The catalogue of a migrated database, as the pages of docs/reference/ need it.
import { readFileSync } from 'node:fs'
import type { Sql } from 'postgres'

export interface Column {
  name: string
  type: string
  isNullable: boolean
  default: string | null
  comment: string | null
}
export interface Constraint {
  name: string
  /** As in pg_constraint: primary key, unique, exclusion, foreign key or check. */
  type: 'p' | 'u' | 'x' | 'f' | 'c'
  definition: string
  columns: string[]
  /** The table that a foreign key refers to. */
  target: string | null
  comment: string | null
}
export interface Index {
  name: string
  isUnique: boolean
  definition: string
  comment: string | null
}
export interface Trigger {
  name: string
  event: string
  call: string
  comment: string | null
}
export interface Policy {
  name: string
  command: string
  roles: string[]
  using: string | null
  check: string | null
}
export interface Table {
  name: string
  comment: string | null
  partitionedBy: string | null
  columns: Column[]
  constraints: Constraint[]
  indexes: Index[]
  triggers: Trigger[]
  policies: Policy[]
}
export interface View {
  name: string
  comment: string | null
  grantees: string[]
}
export interface Routine {
  name: string
  signature: string
  result: string
  comment: string | null
}
export interface Catalogue {
  tables: Table[]
  views: View[]
  /** Those that callboard_api may execute. */
  functions: Routine[]
}
export interface Permissions {
  roles: { name: string; description: string }[]
  permissions: { name: string; description: string; roles: string[] }[]
}

const query = readFileSync(new URL('catalogue.sql', import.meta.url), 'utf8')

/** Reads the catalogue as a role that row-level security does not filter. */
export async function readCatalogue(sql: Sql): Promise<Catalogue> {
  return sql.begin('read only', async tx => {
    // With an empty search_path every name is printed with its schema.
    await tx`select set_config('search_path', '', true)`
    const [row] = await tx.unsafe<[{ catalogue: Catalogue }]>(query)
    return row.catalogue
  })
}

/** The roles, the most powerful first, and the permissions by name. */
export async function readPermissions(sql: Sql): Promise<Permissions> {
  const roles = await sql<Permissions['roles']>`
    select name, description from app.roles r
    order by (select count(*) from app.role_permissions p where p.role = r.name) desc, name`
  const permissions = await sql<Permissions['permissions']>`
    select p.name, p.description,
      array(select h.role from app.role_permissions h where h.permission = p.name order by h.role) as roles
    from app.permissions p order by p.name collate "C"`
  return { roles: [...roles], permissions: [...permissions] }
}
