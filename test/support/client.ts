import postgres from 'postgres'

/**
 * A few connections, closed when idle. postgres.js forgets whoever reserves one while another is being closed, and never
 * answers: so each reservation is a client of its own. It also asks for the types of arrays when it connects, and nobody
 * catches it if that fails: a test whose server goes down meanwhile does without them.
 */
export function openClient(url: string, isStable = true): postgres.Sql {
  const options = { onnotice: () => {}, types: {}, fetch_types: isStable }
  const sql = postgres(url, { ...options, max: 4, idle_timeout: 1 })
  const own = new Set<postgres.Sql>()
  const end = sql.end.bind(sql)
  return Object.assign(sql, {
    reserve: async () => {
      const one = postgres(url, { ...options, max: 1 })
      own.add(one)
      const reserved = await one.reserve()
      const release = reserved.release.bind(reserved)
      return Object.assign(reserved, {
        release: () => {
          release()
          own.delete(one)
          void one.end({ timeout: 1 })
        },
      })
    },
    end: async (how?: { timeout?: number }) => {
      await Promise.all([end(how), ...[...own].map(one => one.end(how))])
    },
  })
}
