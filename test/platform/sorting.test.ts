// Text that people read sorted has the collation app.people, and so the same order everywhere.
import { t } from '../support/tap.ts'
import { connectBi, makeCredential } from '../support/bi.ts'
import { refresh } from '../support/figures.ts'
import { type Database, register, startDatabase, startServer } from '../support/helper.ts'
import { operationsOf } from '../support/operations.ts'
import { walk } from '../support/pages.ts'

/** Compared by machines, or fixed: byte order, or the server's locale, will do. */
const codes = `
  settlement_line not_booked_because
  kind stage status payment_status show_status from_status to_status mode certainty effect format on_error purpose
  currency deleted_in base_currency base country code doors_time start_time curfew_time end_time departs_time arrives_time command
  time_zone start_zone end_zone from_time_zone to_time_zone
  slug email to_address login key ip sha256 recipe request_id external_ref confirmation_number number
  resource resource_type action actor_kind operation permission view_name revoked_because user_agent granted_by
  rollup lane noun content_type sold_by`
/** Read one at a time, never sorted. */
const prose = 'notes note description detail reason reopen_reason failure failed_with last_error address'
/** JSON as text, sent as it is. */
const json = 'as_json body item money show_json shows'
/** Codes, although their column's name is used elsewhere for people's text. */
const exceptions = [
  'analytics.client_events_by_day.name',
  ...['', '_definition', '_recent', '_now'].map(of => `analytics_private.client_events_by_day${of}.name`),
  'analytics_private.rollups.name',
  'analytics.dim_members.role',
  'analytics_private.members.role',
  'app.client_events.name',
  'app.invitations.role',
  'app.invitations.void_because',
  'app.member_list.role',
  'app.memberships.role',
  'app.permissions.name',
  'app.role_list.id',
  'app.role_permissions.role',
  'app.roles.held',
  'app.roles.name',
  'app_private.bi_logins.verifier',
  'app_private.resources.fields',
  'app_private.resources.name',
  'app_private.resources.path',
  'app_private.resources.remade',
  'app_private.deletion_edges.name',
  'app_private.event_nouns.besides',
  'app_private.deletion_edges.condition',
  'app_private.deletion_references.name',
  'app_private.deletion_references.condition',
  'app_private.deletion_tables.organization_column',
  ...['subject', 'digest', 'class'].map(name => `app_private.noted_drift.${name}`),
]

const listed = new Set(`${codes} ${prose} ${json}`.trim().split(/\s+/))

/** Every text column of a table or view, as schema.table.column, with its collation. */
const columnsOf = async ({ admin }: Database) =>
  new Map(
    (
      await admin<{ name: string; collation: string }[]>`
        select format('%s.%s.%s', c.relnamespace::regnamespace, c.relname, a.attname) as name, a.attcollation::regcollation::text as collation
        from pg_attribute a join pg_class c on c.oid = a.attrelid
        where c.relnamespace::regnamespace::text in ('app', 'app_private', 'analytics', 'analytics_private')
          and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition and a.attnum > 0 and not a.attisdropped
          and a.attcollation <> 0 and a.atttypid <> 'text[]'::regtype`
    ).map(({ name, collation }) => [name, collation]),
  )
const last = (name: string) => name.split('.').at(-1) ?? ''

/** Columns without the collation that are neither codes nor prose. */
const unsorted = async (db: Database) =>
  [...(await columnsOf(db))]
    .filter(([, collation]) => collation !== 'app.people')
    .map(([name]) => name)
    .filter(name => !listed.has(last(name)) && !exceptions.includes(name))
    .sort()

t.test('every text column is a code, prose, or sorted as people sort', async t => {
  const db = await startDatabase(t)
  t.same(await unsorted(db), [])
  await t.test('and a new one that is not is noticed, even in a view', async t => {
    await db.admin.unsafe(`
      alter table app.venues add column nickname text;
      create view app.nickname_list as select title collate "default" as title from app.shows`)
    t.same(await unsorted(db), ['app.nickname_list.title', 'app.venues.nickname'])
  })
})

t.test('the collation distinguishes all texts, and its comparisons can use an index under RLS', async t => {
  const { admin } = await startDatabase(t)
  t.same(
    await admin`select collprovider, collisdeterministic from pg_collation where oid = 'app.people'::regcollation`,
    [{ collprovider: 'i', collisdeterministic: true }],
  )
  t.same(
    await admin`
      select p.proname from pg_amop o join pg_operator op on op.oid = o.amopopr join pg_proc p on p.oid = op.oprcode
      join pg_opfamily f on f.oid = o.amopfamily
      where f.opfname = 'text_ops' and f.opfmethod = (select oid from pg_am where amname = 'btree')
        and o.amoplefttype = 'text'::regtype and o.amoprighttype = 'text'::regtype and not p.proleakproof`,
    [],
  )
})

/** In order. Composed and decomposed, é is the same to people, but two texts to a cursor. */
const names = [
  '-',
  '…',
  "'Round Midnight",
  '“Quoted”',
  '(Late Show)',
  '#1',
  '🎸',
  '2 Many',
  '10 Many',
  'a',
  'A',
  'Ægir',
  'apple',
  'Apple',
  'Äther',
  'Banana',
  'e\u0301clair',
  'éclair',
  'Éclair',
  'Hall 2',
  'hall 10',
  'Hall 10',
  'Hall 10\u200b',
  'Öl',
  'Strasse',
  'Straße',
  'Zebra',
  'Żubr',
  'Ωmega',
  'Ярмарка',
  '東京',
]

t.test('the order of names', async t => {
  const server = await startServer(t, { BI_DATABASE_URL: '' })
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token, organization } = ana
  const category = (
    await call<{ items: { id: string }[] }>('GET /api/finance-categories?kind=income', { token })
  ).body.items[0]
  // Neither in order nor reversed, so that their ids, which are in order, do not help.
  const shuffled = names.map((_, n) => names[(n * 13 + 5) % names.length] ?? '')
  t.equal(new Set(shuffled).size, names.length)
  for (const name of shuffled) {
    await call('POST /api/venues', {
      token,
      body: { name, city: 'Lisbon', country: 'PT', time_zone: 'Europe/Lisbon' },
    })
    const show = { title: name, artist: name, show_on: '2027-02-03' }
    const { body, text } = await call('POST /api/shows', { token, body: show })
    if (body['id'] === undefined) throw new Error(text)
    const booked = await call('POST /api/finance-records', {
      token,
      body: {
        ...{ kind: 'income', category_id: category?.id, show_id: body['id'], booked_on: '2027-02-03' },
        ...{ amount_minor: 100, currency: 'USD', counterparty: name },
      },
    })
    if (booked.status !== 201) throw new Error(booked.text)
  }

  for (const [path, field] of [
    ['/api/venues?sort=', 'name'],
    ['/api/shows?sort=', 'title'],
  ] as const)
    await t.test(`${path}${field} has it in both directions, page by page`, async t => {
      const read = async (sort: string) =>
        (await walk(server, token, `${path}${sort}&limit=1`)).flat().map(item => item[field])
      t.same(await read(field), names)
      t.same(await read(`-${field}`), [...names].reverse())
    })

  await t.test('an export has it', async t => {
    const { text } = await call('GET /api/exports/venues?sort=name', {
      token,
      headers: { accept: 'application/x-ndjson' },
    })
    const lines = text.trim().split('\n')
    t.same(
      lines.map(line => (JSON.parse(line) as { name: string }).name),
      names,
    )
    const csv = await call('GET /api/exports/venues?sort=name', { token, headers: { accept: 'text/csv' } })
    const ids = csv.text
      .trim()
      .split('\r\n')
      .slice(1)
      .map(line => line.slice(0, 36))
    t.same(
      ids,
      lines.map(line => (JSON.parse(line) as { id: string }).id),
    )
  })

  await t.test('the calendar has it', async t => {
    const { body } = await call<{ items: { title: string }[] }>(
      'GET /api/calendar?from=2027-02-03&to=2027-02-03',
      { token },
    )
    t.same(
      body.items.map(({ title }) => title),
      names,
    )
  })

  await t.test('SQL and BI have it', async t => {
    const here =
      await db.admin`select name from app.venues where organization_id = ${organization} order by name`
    t.same(
      here.map(row => row['name'] as string),
      names,
    )
    await refresh(db)
    const bi = connectBi(t, await makeCredential(server, ana))
    const there = await bi`select title from analytics.finance_by_show order by title`
    t.same(
      there.map(row => row['title'] as string),
      names,
    )
  })

  await t.test('equality still compares bytes, and uniqueness letters', async t => {
    const name = async (given: string) =>
      (await call('POST /api/finance-categories', { token, body: { kind: 'income', name: given } })).status
    t.equal(await name('Größe'), 201)
    t.equal(await name('GRÖßE'), 409)
    t.equal(await name('Grösse'), 201)
    t.equal(await name('Grosse'), 201)
  })

  await t.test('every text field that a list can be sorted by has it', async t => {
    const sorts = operationsOf(server.app).flatMap(({ path, parameters }) =>
      parameters
        .filter(({ name }) => name === 'sort')
        .flatMap(({ schema }) => schema.enum ?? [])
        .filter(sort => !/^-|_(at|on)$|^month$/.test(String(sort)))
        .map(sort => [path, String(sort)]),
    )
    t.ok(sorts.length >= 8, JSON.stringify(sorts))
    const columns = [...(await columnsOf(db))].filter(([name]) => !exceptions.includes(name))
    for (const [path, sort] of sorts) {
      // Addresses are in lower case.
      if (sort === 'email') continue
      const found = columns.filter(([name]) => last(name) === sort)
      t.ok(found.length > 0, `${path}: ${sort}`)
      t.same(
        found.filter(([, collation]) => collation !== 'app.people'),
        [],
        `${path}: ${sort}`,
      )
    }
  })
})
