import postgres from 'postgres'
import { statementsOf } from './statements.ts'

interface Lock {
  relation: string
  mode: string
  rewritten: boolean
}

const short = (text: string) => text.replace(/\s+/g, ' ').slice(0, 100)

/**
 * The locks stronger than those of readers and writers that a migration takes on tables and views that exist before it,
 * a line each with the first statement that takes it; and which of these tables it writes anew. It is run in a
 * transaction that is rolled back, on a database of the migrations before, as the owner of its URL.
 */
export async function locksOf(migration: string, ownerUrl: string): Promise<string[]> {
  const sql = postgres(ownerUrl, { max: 1, onnotice: () => undefined })
  const found = new Map<string, string>()
  try {
    await sql
      .begin(async tx => {
        await tx`create temporary table present on commit drop as
          select oid, relfilenode from pg_class where relkind in ('r', 'p', 'v', 'm') and relnamespace::regnamespace::text !~ '^pg_'`
        for (const { bare, file } of await statementsOf(migration)) {
          await tx.unsafe(bare).catch((error: unknown) => {
            const { message, hint = '' } = error as { message: string; hint?: string }
            throw new Error(`${file ?? 'current.sql'}: ${message}. ${hint}\n${bare}`, { cause: error })
          })
          const locks = await tx<Lock[]>`
            select c.oid::regclass::text as relation, l.mode, c.relfilenode <> p.relfilenode as rewritten
            from pg_locks l join present p on p.oid = l.relation join pg_class c on c.oid = p.oid
            where l.pid = pg_backend_pid() and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
            order by 1, 2`
          for (const { relation, mode, rewritten } of locks)
            for (const what of [
              `${words(mode)} on ${relation}`,
              ...(rewritten ? [`rewrites ${relation}`] : []),
            ])
              if (!found.has(what)) found.set(what, `${what}: ${short(bare)}`)
        }
        throw new RolledBack()
      })
      .catch((error: unknown) => {
        if (!(error instanceof RolledBack)) throw error
      })
  } finally {
    await sql.end()
  }
  return [...found.values()]
}

class RolledBack extends Error {}

/** AccessExclusiveLock: access exclusive. */
const words = (mode: string) =>
  mode
    .replace(/Lock$/, '')
    .replace(/(?<=[a-z])(?=[A-Z])/g, ' ')
    .toLowerCase()
