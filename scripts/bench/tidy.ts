import postgres from 'postgres'

/** Takes out again what a measurement has entered, so that the next one finds the same data. */
export async function tidy(adminUrl: string, day: string): Promise<void> {
  // Without triggers: this is no event.
  const sql = postgres(adminUrl, {
    max: 1,
    onnotice: () => {},
    connection: { session_replication_role: 'replica' },
  })
  try {
    if ((await sql`select to_regclass('peers.finance_by_month') as t`)[0]?.['t'] !== null) {
      await sql`delete from peers.shows where created_at >= ${day}::date`
      await sql`truncate peers.event_log, peers.sessions`
      await sql`vacuum peers.shows`
    }
    const made = await sql`delete from app.shows where created_at >= ${day}::date`
    await sql`delete from app.event_log where occurred_at >= ${day}::date`
    if (made.count === 0) return
    await sql`vacuum app.shows`
    await sql`vacuum app.event_log`
  } finally {
    await sql.end()
  }
}
