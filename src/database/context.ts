import type { ISql, PendingQuery, Row } from 'postgres'

/** How a database carries the context of a request: see db/schema/foundation/context. */
export type Carrier = 'guarded' | 'signed'

/**
 * A fragment: the carrier of the database, or null before it is migrated. Asks the catalogue, because a statement
 * that calls app.context_carrier() fails there: only the signed functions are SECURITY DEFINER.
 */
export const carrierOf = (sql: ISql): PendingQuery<Row[]> => sql`(
  select case when p.prosecdef then 'signed' else 'guarded' end
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where n.nspname = 'app' and p.proname = 'current_org')`
