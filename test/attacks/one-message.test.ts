// READ ONLY is no permission. Whoever holds the secret of a calendar feed, runs an export or looks as a superadmin may
// only read, whatever statements one message of the simple protocol combines, and whatever mode a savepoint leaves.
import type postgres from 'postgres'
import { t } from '../support/tap.ts'
import { aShow, join, register, startServer, superadmin } from '../support/helper.ts'
import { openLogin, secretOf } from '../isolation/world.ts'

const settings = [
  'backtrace_functions',
  'app.current_org',
  'app.user_id',
  'app.session_id',
  'app.role',
  'app.permissions',
  'app.request_id',
  'app.ip',
  'app.signature',
]
const guarded = settings.slice(0, 1)

/** Keeps what a context sets in settings of one's own, and puts it back. */
const keep = `select ${settings.map((name, n) => `set_config('kept.s${n}', coalesce(current_setting('${name}', true), ''), false)`).join(', ')}`
const back = (names: string[]) =>
  `select ${names.map(name => `set_config('${name}', current_setting('kept.s${settings.indexOf(name)}'), true)`).join(', ')}`

/** Ways to write in a context that may only be entered READ ONLY: each is one message. */
const ways: Record<string, (enter: string, write: string) => string> = {
  'a second transaction with the settings of the first': (enter, write) =>
    `begin read only; ${enter}; ${keep}; commit; begin read write; ${back(settings.filter(name => !guarded.includes(name)))}; ${write}; commit`,
  'a second transaction with all that carries a context': (enter, write) =>
    `begin read only; ${enter}; ${keep}; commit; begin read write; ${back(settings)}; ${write}; commit`,
  'a second transaction chained to the first': (enter, write) =>
    `begin read only; ${enter}; ${keep}; commit and chain; set transaction read write; ${back(settings.filter(name => !guarded.includes(name)))}; ${write}; commit`,
  'a mode that is changed': (enter, write) =>
    `begin read only; ${enter}; set transaction read write; ${write}; commit`,
  'a savepoint that is released': (enter, write) =>
    `begin; savepoint a; set transaction read only; ${enter}; release a; ${write}; commit`,
  'a savepoint that is rolled back, and the settings put back': (enter, write) =>
    `begin; savepoint a; set transaction read only; ${enter}; ${keep}; rollback to a; ${back(settings.filter(name => !guarded.includes(name)))}; ${write}; commit`,
  'a savepoint within a savepoint': (enter, write) =>
    `begin; savepoint a; savepoint b; set transaction read only; ${enter}; release b; release a; ${write}; commit`,
  'a transaction that may write': (enter, write) => `begin; ${enter}; ${write}; commit`,
  'a block that has caught an error': (enter, write) =>
    `begin; set local transaction_read_only = on; do $$ begin perform 1 / 0; exception when others then ${enter.replace('select', 'perform')}; end $$; set local transaction_read_only = off; ${write}; commit`,
}

t.test('a context that may only read', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana', 'Ana Live')
  const mia = await join(server, ana, 'manager')
  const show = (await call<{ id: string }>('POST /api/shows', { token: ana.token, body: aShow })).body.id
  const feed = await call<{ id: string; path: string }>('POST /api/calendar-feeds', {
    token: mia.token,
    body: { name: 'Phone' },
  })
  const secret = feed.body.path.split('=')[1] ?? ''
  const exported = await call<{ id: string }>('POST /api/analytics/export', {
    token: mia.token,
    body: { resource: 'shows', format: 'csv' },
  })
  const worker = db.as('callboard_worker')
  const [begun] =
    await worker`select app.begin_export(${ana.organization}, ${exported.body.id}) ->> 'attempt' as attempt`
  const sam = await superadmin(server, await register(server, 'Sam'), ana.organization)

  /** As the login that enters so, what somebody would do there; the last of them are Mia's own, which need no permission. */
  const doors: Record<
    string,
    { role: string; enter: string; writes: string[]; before?: (sql: postgres.Sql) => Promise<unknown> }
  > = {
    'a calendar feed': {
      role: 'callboard_api',
      enter: `select app.enter_calendar_feed('${secret}')`,
      writes: [
        `update app.shows set title = 'x'`,
        `insert into app.venues (name, city, country, time_zone) values ('x', 'x', 'BE', 'UTC')`,
        `select app.create_row('itineraries', '{"name": "x", "first_on": "2027-01-01", "last_on": "2027-01-02"}')`,
        `select app.delete_row('shows', '${show}')`,
        `select app.create_calendar_feed('another', sha256('x'))`,
        `select app.end_session((select id from app.sessions limit 1))`,
        `select app.remove_member('${mia.id}')`,
        `select app.revoke_calendar_feed('${feed.body.id}')`,
      ],
    },
    'an export': {
      role: 'callboard_worker',
      enter: `select app.enter_export('${ana.organization}', '${exported.body.id}', '${String(begun?.['attempt'])}')`,
      writes: [`set local role callboard_exporter; update app.shows set title = 'x'`],
    },
    'a superadmin who may not write': {
      role: 'callboard_support',
      before: sql => sql`select app.use_support(${secretOf(sam)}, ${ana.organization}, 'a test', null, null)`,
      enter: `select app.enter_support('${secretOf(sam)}', '${ana.organization}', null, null)`,
      writes: [
        `update app.shows set title = 'x'`,
        `select app.delete_row('shows', '${show}')`,
        `select app.remove_member('${mia.id}')`,
      ],
    },
  }
  const state = async () =>
    JSON.stringify(
      await db.admin`
        select (select json_agg(s order by s.id) from app.shows s) as shows, (select count(*) from app.venues) as venues,
          (select count(*) from app.itineraries) as itineraries, (select json_agg(f order by f.id) from app.calendar_feeds f) as feeds,
          (select json_agg(m order by m.user_id) from app.memberships m) as members,
          (select json_agg(s order by s.id) from app.sessions s) as sessions,
          (select count(*) from app.event_log where action <> 'auth.superadmin.used') as events`,
    )
  for (const [door, { role, enter, writes, before }] of Object.entries(doors))
    await t.test(door, async t => {
      for (const [way, message] of Object.entries(ways))
        for (const write of writes) {
          const sql = openLogin(t, db.url(role))
          await before?.(sql)
          const was = await state()
          await sql.unsafe(message(enter, write)).catch(() => {})
          await sql`rollback`
          t.equal(await state(), was, `${way}: ${write}`)
          await sql.end()
        }
    })
})

t.test('what is only allowed on a snapshot that cannot write', async t => {
  const server = await startServer(t)
  const ana = await register(server, 'Ana')
  const sql = openLogin(t, server.db.url('callboard_api'))
  const sent = sql.unsafe(
    `begin isolation level repeatable read; savepoint a; set transaction read only; select app.enter('${secretOf(ana)}', '${ana.organization}'); release a; commit`,
  )
  await t.rejects(sent, { code: '25001' })
  await sql`rollback`
})
