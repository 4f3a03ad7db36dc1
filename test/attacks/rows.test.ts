import type postgres from 'postgres'
import { t } from '../support/tap.ts'
import { makeWorld, secretOf } from '../isolation/world.ts'
import { startServer } from '../support/helper.ts'

const server = await startServer(t)
const { attacker, victim } = await makeWorld(server)
const api = server.db.as('callboard_api')

/** The outcome of a statement in the attacker's own organization, which they own: a code, or its rows. */
async function tried(statement: (sql: postgres.TransactionSql) => postgres.PendingQuery<postgres.Row[]>) {
  class Undo extends Error {}
  let rows: postgres.Row[] = []
  try {
    await api.begin(async sql => {
      await sql`select app.enter(${secretOf(attacker.owner)}, ${attacker.organization})`
      rows = await statement(sql)
      throw new Undo()
    })
  } catch (error) {
    if (!(error instanceof Undo)) return (error as postgres.PostgresError).code
  }
  return rows
}

/** Each row command, called with %L. */
const commands = {
  resource: `app.resource(%L, 'insert')`,
  require_parent: `app.require_parent(%L, 'show_id', '${attacker.show}')`,
  read_row: `app.read_row(%L, '${attacker.owner.id}')`,
  create_row: `app.create_row(%L, '{"name": "x"}')`,
  check_row: `app.check_row(%L, '${attacker.owner.id}', 'update', null)`,
  write_row: `app.write_row(%L, '${attacker.owner.id}', '{"role": "owner"}', false)`,
  mark_row: `app.mark_row(%L, '${attacker.owner.id}', null)`,
  delete_row: `app.delete_row(%L, '${attacker.owner.id}')`,
  restore_row: `app.restore_row(%L, '${attacker.owner.id}')`,
}
// Hundreds of names and nine commands: each is tried in a subtransaction, and the whole is one statement.
await server.db.admin`
  create function public.outcome(expression text) returns text language plpgsql as $$
  declare
    code text;
  begin
    execute 'select ' || expression;
    return 'done';
  exception when others then
    get stacked diagnostics code = returned_sqlstate;
    return code;
  end
  $$`
await server.db.admin`grant execute on function public.outcome(text) to callboard_api`
await server.db.admin`grant usage on schema public to callboard_api`

/** The outcome of each command with each name: those that are not refused as unknown. */
async function reached(names: string[]): Promise<string[]> {
  const found: string[] = []
  for (const [command, call] of Object.entries(commands)) {
    const rows = await tried(
      sql => sql`
      select n.name, public.outcome(format(${call}, n.name)) as outcome from unnest(${names}::text[]) n (name)`,
    )
    if (!Array.isArray(rows)) return [`${command}: ${rows}`]
    t.equal(rows.length, names.length)
    for (const { name, outcome } of rows)
      if (outcome !== 'PT404') found.push(`${command} of ${JSON.stringify(name)}: ${String(outcome)}`)
  }
  return found
}

t.test('the row commands reach no table that is not a resource', async t => {
  const others = await server.db.admin<{ name: string; is_private: boolean }[]>`
    select c.relname as name, n.nspname <> 'app' as is_private from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('app', 'app_private', 'analytics', 'analytics_private') and c.relkind in ('r', 'p', 'v', 'm', 'f')
      and not (n.nspname = 'app' and exists (select from app_private.resources r where r.name = c.relname))
    order by 1`
  const names = others.map(({ name }) => name)
  t.ok(
    ['memberships', 'member_permissions', 'settlements', 'sessions', 'show_rows'].every(n =>
      names.includes(n),
    ),
  )
  t.ok(
    names.some(name => name.startsWith('event_log_')),
    'partitions are among them',
  )
  t.strictSame(await reached([...names, 'pg_authid', 'pg_class']), [])
  t.ok((await reached(['venues'])).includes('resource of "venues": done'), 'a resource is reached')
})

t.test('another spelling of a table is no table', async t => {
  const spellings = [
    'app.shows',
    '"shows"',
    'Shows',
    'SHOWS',
    ' shows',
    'shows ',
    'shows; select 1',
    "shows'",
    'shows"',
    'shows, app.memberships',
    'public.shows',
    '../shows',
    '',
    'shows\n',
    'pg_catalog.pg_class',
    '(select 1)',
    'memberships where true --',
  ]
  t.strictSame(await reached(spellings), [])
})

t.test('a body writes no column that is not granted', async t => {
  const { venue } = attacker
  const whole = { name: 'New', city: 'Oslo', country: 'NO', time_zone: 'Europe/Oslo' }
  const columns = {
    organization_id: victim.organization,
    id: victim.venue,
    version: 7,
    created_at: '2020-01-01T00:00:00Z',
    updated_at: '2020-01-01T00:00:00Z',
    deleted_at: '2020-01-01T00:00:00Z',
    deleted_by: victim.owner.id,
    deletion_id: victim.venue,
  }
  for (const [column, value] of Object.entries(columns)) {
    const body = { [column]: value }
    const entered = { ...whole, ...body }
    t.equal(
      await tried(sql => sql`select app.create_row('venues', ${sql.json(entered)})`),
      '42501',
      `creating with ${column}`,
    )
    t.equal(
      await tried(sql => sql`select app.write_row('venues', ${venue}, ${sql.json(body)}, false)`),
      '42501',
      `changing ${column}`,
    )
    t.equal(
      await tried(sql => sql`select app.write_row('venues', ${venue}, ${sql.json(entered)}, true)`),
      '42501',
      `replacing ${column}`,
    )
  }
  // What is not a column, even where it reads as SQL.
  for (const column of [
    'nothing',
    'name = name, city',
    'name" = \'x\', "city',
    'name)',
    'ctid',
    'tableoid',
    'NAME',
    '',
  ]) {
    const body = { [column]: 'x' }
    for (const code of [
      await tried(sql => sql`select app.create_row('venues', ${sql.json({ ...whole, ...body })})`),
      await tried(sql => sql`select app.write_row('venues', ${venue}, ${sql.json(body)}, false)`),
    ])
      t.match(code, /^(42703|42601|42P10|42701|0A000|42501)$/, `a column ${JSON.stringify(column)}`)
  }
  const titled = { title: 'x', artist: 'x', show_on: '2027-01-01', created_by: victim.owner.id }
  t.equal(
    await tried(sql => sql`select app.create_row('shows', ${sql.json(titled)})`),
    '42501',
    'whose it is',
  )
  const generated = { base_amount_minor: 1 }
  t.equal(
    await tried(sql => sql`select app.create_row('finance_records', ${sql.json(generated)})`),
    '428C9',
    'a generated column',
  )
  for (const body of ['{}', 'null', '[]', '"x"', '[{"name": "x"}]']) {
    t.type(
      await tried(sql => sql`select app.create_row('venues', ${body}::text::jsonb)`),
      'string',
      `a body ${body}`,
    )
    t.type(
      await tried(sql => sql`select app.write_row('venues', ${venue}, ${body}::text::jsonb, false)`),
      'string',
      `a change ${body}`,
    )
  }
})

t.test('a row of another organization is no row', async t => {
  const { venue, show } = victim
  const name = { name: 'x' }
  for (const [what, code] of Object.entries({
    reading: await tried(sql => sql`select app.read_row('venues', ${venue})`),
    changing: await tried(sql => sql`select app.write_row('venues', ${venue}, ${sql.json(name)}, false)`),
    deleting: await tried(sql => sql`select app.delete_row('venues', ${venue})`),
    marking: await tried(sql => sql`select app.mark_row('venues', ${venue}, null)`),
    restoring: await tried(sql => sql`select app.restore_row('venues', ${venue})`),
    'what it is the parent of': await tried(
      sql =>
        sql`select app.create_row('deposits', '{"paid_on": "2027-01-01", "amount_minor": 1}', 'show_id', ${show})`,
    ),
  }))
    t.equal(code, 'PT404', what)
})

t.test('the row commands cannot remove the inputs of a final settlement', async t => {
  const guarded = await server.db.admin<{ name: string; guard: string | null }[]>`
    select r.name, r.guard::text from app_private.resources r
    where exists (select from pg_trigger g where g.tgrelid = ('app.' || r.name)::regclass and g.tgname = '_200_unsettled') order by 1`
  t.strictSame(
    guarded.map(({ name, guard }) => [name, guard]),
    ['deal_adjustments', 'deal_bonuses', 'deals', 'deposits', 'show_costs', 'ticket_tiers'].map(name => [
      name,
      `app_private.require_${name === 'deals' ? 'deal' : 'part'}_unsettled(regclass,uuid)`,
    ]),
    'whatever a settlement locks against changes has a guard against deletion',
  )
})
