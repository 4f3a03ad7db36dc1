// Which release a database was migrated with, so that it is compared only with the facts of that one.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { ISql, PendingQuery, Row } from 'postgres'
import { root } from '../root.ts'

/** What `npm run migrate` notes: a digest of the facts that a database of this release has. */
export function releaseMark(): string {
  const facts = readFileSync(new URL('db/policies/committed.txt', root))
  return `Migrated by a release with the facts ${createHash('sha256').update(facts).digest('hex').slice(0, 16)}`
}

/** A fragment: whether a database was migrated with this release. Any login can ask. */
export const isOfThisRelease = (sql: ISql): PendingQuery<Row[]> => sql`(
  select coalesce(obj_description(to_regnamespace('graphile_migrate')::oid, 'pg_namespace') = ${releaseMark()}, false))`
