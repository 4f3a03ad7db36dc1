import type { Sql, TransactionSql } from 'postgres'

/** What is seen after statements that are then rolled back. */
export async function undone<T>(
  admin: Sql,
  statements: string,
  look: (sql: TransactionSql) => Promise<T>,
): Promise<T> {
  const looked = new Error('looked') as Error & { seen: T }
  return admin
    .begin(async (sql): Promise<T> => {
      await sql.unsafe(statements)
      looked.seen = await look(sql)
      throw looked
    })
    .catch((error: unknown) => {
      if (error === looked) return looked.seen
      throw error
    }) as Promise<T>
}
