// Rows keep their JSON: what they keep must be what their columns say, whoever writes them, and how.
import { t } from '../support/tap.ts'
import { makeTenant } from '../isolation/world.ts'
import { migrate } from '../../src/database/migrate.ts'
import { aShow, startServer } from '../support/helper.ts'

const server = await startServer(t)
const { db, call } = server
const { admin } = db
const tenant = await makeTenant(server, 'mine')
const { token } = tenant.owner

interface Checked {
  resource: string
  row_count: string
  differing: string
}
const check = () => db.as('callboard_auditor')<Checked[]>`select * from app.check_rows()`
const differing = async () =>
  Object.fromEntries(
    (await check()).filter(row => row.differing !== '0').map(row => [row.resource, Number(row.differing)]),
  )
const bodyOf = async (show: string) => (await call(`GET /api/shows/${show}`, { token })).body

t.test('every resource has rows here, and each row keeps what its columns say', async t => {
  const rows = await check()
  const resources = await admin<{ name: string }[]>`select name from app_private.resources order by name`
  t.same(
    rows.map(row => row.resource),
    resources.map(row => row.name),
  )
  t.ok(rows.length >= 18)
  for (const { resource, row_count, differing } of rows) {
    t.not(row_count, '0', `${resource} has rows`)
    t.equal(differing, '0', `${resource} keeps what its columns say`)
  }
})

t.test('the trigger of every resource runs after all others before a row is written, and always', async t => {
  const tables = await admin`
    select r.name, t.tgenabled as enabled, t.tgtype as type, t.tgattr::text as columns,
      (select max(l.tgname) from pg_trigger l where l.tgrelid = t.tgrelid and not l.tgisinternal and l.tgtype & 3 = 3) as last
    from app_private.resources r
    left join pg_trigger t on t.tgrelid = to_regclass('app.' || quote_ident(r.name)) and t.tgname = '_990_json'
    order by 1`
  t.ok(tables.length >= 18)
  for (const { name, ...found } of tables)
    // 23: BEFORE INSERT OR UPDATE FOR EACH ROW, of all columns.
    t.same(found, { enabled: 'A', type: 23, columns: '', last: '_990_json' }, name as string)
})

t.test(
  'it is the same whatever the settings of the session that writes, and without other triggers',
  async t => {
    const notes = 'A "quoted" line\nwith a \\ and a tab\t, ÄÖ \u{1F3B8} and \u0001'
    const before = await bodyOf(tenant.show)
    for (const settings of [
      `set local timezone = 'Pacific/Apia'`,
      `set local datestyle = 'SQL, DMY'; set local intervalstyle = 'iso_8601'; set local extra_float_digits = 0`,
      `set local session_replication_role = replica`,
      `set local bytea_output = 'escape'; set local quote_all_identifiers = on`,
    ]) {
      await admin.begin(async sql => {
        await sql.unsafe(settings)
        await sql`update app.shows set notes = ${notes}, doors_time = '18:05', updated_at = '2026-03-29 00:59:59.1205+00'
        where id = ${tenant.show}`
        await sql`update app.finance_records set exchange_rate = exchange_rate, note = ${settings}`
      })
      t.same(await differing(), {}, settings)
    }
    const { notes: shown, doors_time, title } = await bodyOf(tenant.show)
    t.same({ shown, doors_time, title }, { shown: notes, doors_time: '18:05', title: before['title'] })
  },
)

t.test('what belongs to another row is that row’s: a venue’s new name is in its shows at once', async t => {
  const { venue_id } = await bodyOf(tenant.show)
  const { status } = await call(`PATCH /api/venues/${venue_id as string}`, {
    token,
    body: { name: 'The New Name', time_zone: 'Asia/Tokyo' },
  })
  t.equal(status, 200)
  t.match(await bodyOf(tenant.show), { venue_name: 'The New Name', time_zone: 'Asia/Tokyo' })
  const { body } = await call<{ items: Record<string, unknown>[] }>('GET /api/shows', { token })
  t.match(
    body.items.find(item => item['id'] === tenant.show),
    await bodyOf(tenant.show),
  )
  t.same(await differing(), {})
})

t.test('what a venue and a fee keep for their shows is what their columns say', async t => {
  const name = 'The "Old" \\ Barn \u{1F3B8}'
  const { id: venue_id } = (
    await call<{ id: string }>('POST /api/venues', {
      token,
      body: { name, city: 'Çorum', country: 'TR', time_zone: 'Europe/Istanbul', capacity: 80 },
    })
  ).body
  const enter = async (body: object) =>
    (await call<{ id: string }>('POST /api/shows', { token, body: { ...aShow, ...body } })).body.id
  const shows = [
    await enter({ venue_id, start_time: '20:30', fee_minor: 9_007_199_254_740_991, currency: 'JPY' }),
    await enter({ venue_id, fee_minor: 0, currency: 'EUR' }),
    await enter({ start_time: '20:30' }),
  ]
  await call(`PATCH /api/shows/${String(shows[1])}`, { token, body: { fee_minor: null, currency: null } })
  // The definer, as which app.check_rows looks, sees no fees here; a superuser sees all.
  const found = await admin.begin(async sql => {
    await sql`set local timezone = 'UTC'`
    return sql<{ id: string; body: object; fields: object }[]>`
    select r.id, r.body::jsonb as body, to_jsonb(r) - '{organization_id,version,deleted_at,deleted_by,body}'::text[] as fields
    from app.show_rows r order by r.id`
  })
  t.same(
    shows.filter(id => !found.some(row => row.id === id)),
    [],
  )
  for (const { id, body, fields } of found) t.same(body, fields, id)
  const shown = (id: string | undefined) => found.find(row => row.id === id)?.body
  t.match(shown(shows[0]), { venue_name: name, fee_minor: 9_007_199_254_740_991, currency: 'JPY' })
  t.match(shown(shows[1]), { venue_city: 'Çorum', starts_at: null, fee_minor: null, currency: null })
  t.match(shown(shows[2]), { venue_name: null, time_zone: null, starts_at: null, fee_minor: null })
  t.same(await differing(), {})
  const events = await admin`select from app.event_log where changes::text like '%show_json%'`
  t.equal(events.length, 0, 'events do not contain it')
})

t.test('nobody writes it: a member’s own value is refused, and the owner’s is replaced', async t => {
  const { status } = await call(`PATCH /api/shows/${tenant.show}`, { token, body: { as_json: '{"id":"x"' } })
  t.equal(status, 400)
  await admin`update app.shows set as_json = '{"id":"forged"' where id = ${tenant.show}`
  t.same(await differing(), {})
  const privileges = await admin`
    select r.name, u.role, p.privilege from app_private.resources r,
      unnest(array['callboard_api', 'callboard_definer', 'callboard_worker', 'callboard_support']) u (role), unnest(array['insert', 'update']) p (privilege)
    where not (u.role = 'callboard_definer' and p.privilege = 'update') and has_column_privilege(u.role, to_regclass('app.' || quote_ident(r.name)), 'as_json', p.privilege)`
  t.same(privileges, [])
})

t.test('the check notices a row that was changed without the trigger, and its remedy mends it', async t => {
  await admin`alter table app.venues disable trigger _990_json`
  await admin`update app.venues set city = 'Elsewhere' where name = 'The New Name'`
  await admin`alter table app.venues enable always trigger _990_json`
  t.match(await differing(), { venues: 1 })
  await admin`update app.venues set version = version`
  t.same(await differing(), {})
})

t.test(
  'after a migration that changes the fields, the rows of all organizations are made again, and are the same',
  async t => {
    const other = await makeTenant(server, 'other')
    const states = () => admin`select organization_id, id, version, updated_at from app.venues order by 1, 2`
    const [before, events] = [await states(), await admin`select count(*) from app.event_log`]
    await admin`alter table app.venues disable trigger _990_json`
    await admin.begin(async sql => {
      await sql`set local session_replication_role = replica`
      await sql`update app.venues set as_json = '{"old":1'`
    })
    await admin`alter table app.venues enable always trigger _990_json`
    t.equal((await differing())['venues'], before.length)
    await admin`update app_private.resources set remade = 'before' where name = 'venues'`
    const said: string[] = []
    await migrate(db.url('callboard_migrator'), line => said.push(line))
    t.match(said.join('\n'), 'Making the JSON of venues again')
    t.same(await differing(), {})
    t.same(await states(), before, 'versions and times are as they were')
    t.same(await admin`select count(*) from app.event_log`, events, 'and nothing is in the log')
    t.ok(before.some(row => row['organization_id'] === other.organization))
    const [left] = await admin`select app_private.remake_json() as left`
    t.same(left, { left: null }, 'once')
  },
)

t.test('events do not contain it', async t => {
  const [{ count } = { count: -1 }] = await admin<{ count: number }[]>`
    select count(*)::integer as count from app.event_log where changes::text like '%as_json%'`
  t.equal(count, 0)
})
