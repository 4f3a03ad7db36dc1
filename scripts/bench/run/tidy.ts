import postgres from 'postgres'

// Without triggers, because this must not be logged as an event.
const connect = (adminUrl: string) =>
  postgres(adminUrl, { max: 1, onnotice: () => {}, connection: { session_replication_role: 'replica' } })

/** Rows that go with others. */
const parts = [
  { part: 'app.show_fees', parent: 'show_id', of: 'app.shows' },
  ...['app.import_lines', 'app.import_chunks', 'app.import_progress'].map(part => ({
    part,
    parent: 'import_id',
    of: 'app.imports',
  })),
]

/** The database's current time, as text. */
export async function now(adminUrl: string): Promise<string> {
  const sql = connect(adminUrl)
  const [{ time }] = await sql<[{ time: string }]>`select clock_timestamp()::text as time`
  await sql.end()
  return time
}

/** Deletes what was inserted since then, so that the next measurement finds the same data. */
export async function tidy(adminUrl: string, since: string): Promise<void> {
  const sql = connect(adminUrl)
  const tables = [
    'app_private.refresh_tokens',
    'app.sessions',
    'app.shows',
    'app.finance_records',
    'app.imports',
    'app.event_log',
    'peers.shows',
    'peers.sessions',
    'peers.event_log',
  ]
  try {
    // The peers' are not always there, and not all of ours in an older checkout.
    const isThere = async (table: string) =>
      (await sql<[{ found: boolean }]>`select to_regclass(${table}) is not null as found`)[0].found
    for (const table of tables) {
      if (!(await isThere(table))) continue
      const time = table.endsWith('event_log') ? 'occurred_at' : 'created_at'
      const { count } = await sql`delete from ${sql(table)} where ${sql(time)} >= ${since}::text::timestamptz`
      if (count > 0) await sql`vacuum ${sql(table)}`
      // Without triggers nothing cascades. Requests that were cut off may still have been working meanwhile.
      for (const { part, parent, of } of count > 0 ? parts : []) {
        if (of !== table || !(await isThere(part))) continue
        await sql`delete from ${sql(part)} p where not exists (
          select from ${sql(of)} o where o.organization_id = p.organization_id and o.id = p.${sql(parent)})`
        await sql`vacuum ${sql(part)}`
      }
    }
  } finally {
    await sql.end()
  }
}
