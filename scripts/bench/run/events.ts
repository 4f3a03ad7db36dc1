import postgres from 'postgres'
import type { Filled } from '../data/database.ts'
import type { Person } from '../data/people.ts'

/**
 * Logs so many events of the largest organization that the worker has not seen yet. They do not affect what it earned,
 * so that looking for one that does never ends early.
 */
export const logEvents =
  (count: number) =>
  async ({ adminUrl }: Filled, people: Person[]): Promise<void> => {
    const organization = people.find(({ isLarge }) => isLarge)?.organization ?? ''
    // Without triggers, which would refuse an event that nobody has caused.
    const sql = postgres(adminUrl, { max: 1, connection: { session_replication_role: 'replica' } })
    await sql`
      insert into app.event_log (organization_id, actor_kind, action, resource_type, occurred_at)
      select ${organization}, 'system', 'show.update', 'show', clock_timestamp()
      from generate_series(1, ${count}::integer)`
    await sql.end()
  }
