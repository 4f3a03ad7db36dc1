import { t } from '../support/tap.ts'
import { aShow, type Database, register, startServer } from '../support/helper.ts'
import { sealEvents } from '../support/sealing.ts'

const asWorker = async <T>({ as }: Database, statement: string) =>
  [...(await as('callboard_worker').unsafe(statement))] as unknown as T[]
const partitions = async ({ admin }: Database) =>
  (
    await admin<{ name: string }[]>`
      select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'app.event_log'::regclass order by 1`
  ).map(({ name }) => name)
const verify = async ({ as }: Database, organization: string) =>
  (
    await as('callboard_auditor')<[{ found: Record<string, unknown> }]>`
      select app.verify_events(${organization}) as found`
  )[0].found
/** An event from so many days ago. */
const past = (db: Database, organization: string, days: number) => db.admin`
  insert into app.event_log (organization_id, actor_kind, action, resource_type, occurred_at, id)
  values (${organization}, 'system', 'show.create', 'show', now() - ${days} * interval '1 day', gen_random_uuid())`
const monthsAgo = (n: number) => {
  const date = new Date()
  date.setUTCDate(1)
  date.setUTCMonth(date.getUTCMonth() - n)
  return `event_log_${date.toISOString().slice(0, 7).replace('-', '_')}`
}

t.test('events are kept for as long as their organization wants', async t => {
  const server = await startServer(t)
  const { db, call } = server
  const ana = await register(server, 'Ana')
  const bob = await register(server, 'Bob')
  await call('PUT /api/audit/retention', { token: ana.token, body: { days: 100 } })
  for (const { organization } of [ana, bob])
    for (const days of [95, 110, 400]) await past(db, organization, days)
  const old = async (organization: string) =>
    (
      await db.admin<{ days: number }[]>`
        select extract(day from now() - occurred_at)::int as days from app.event_log
        where organization_id = ${organization} and occurred_at < now() - interval '1 day' order by 1`
    ).map(({ days }) => days)
  const purge = async () =>
    Number((await asWorker<{ n: string }>(db, 'select app.purge_events() as n'))[0]?.n)

  t.equal(await purge(), 0, 'what is not sealed stays')
  await sealEvents(db.as('callboard_worker'), '10 years')
  t.equal(await purge(), 3)
  t.strictSame([await old(ana.organization), await old(bob.organization)], [[95], [95, 110]])
  t.equal(await purge(), 0)

  await sealEvents(db.as('callboard_worker'))
  for (const { organization } of [ana, bob]) {
    const found = await verify(db, organization)
    t.match(
      found,
      { ok: true, unsealed: 0, purged_before: String },
      'what was purged does not count as missing',
    )
  }
  const { body } = await call<{ items: object[] }>('GET /api/audit/events?action=audit.purge', {
    token: ana.token,
  })
  t.match(body.items, [
    { actor_kind: 'system', resource_id: ana.organization, changes: { new: { events: 2 } } },
  ])
  await db.admin`delete from app.event_log where organization_id = ${bob.organization} and occurred_at < now() - interval '100 days'`
  t.match(
    await verify(db, bob.organization),
    { ok: false, problem: { kind: 'missing' } },
    'but what was not purged is',
  )
})

t.test('the months of the log', async t => {
  const server = await startServer(t)
  const { db, call } = server
  const { admin } = db
  const ana = await register(server, 'Ana')
  const maintain = () =>
    asWorker<{ partition: string; done: string }>(
      db,
      'select partition, done from app.maintain_event_partitions()',
    )
  const count = async () =>
    (
      await admin<
        [{ n: number }]
      >`select count(*)::int as n from app.event_log where organization_id = ${ana.organization}`
    )[0].n
  const thisMonth = monthsAgo(0)

  await t.test('are created three ahead', async t => {
    // The database may have been made in the month before.
    await maintain()
    t.strictSame(
      (await partitions(db)).filter(name => name >= thisMonth),
      [thisMonth, monthsAgo(-1), monthsAgo(-2), monthsAgo(-3), 'event_log_default'].sort(),
    )
    t.strictSame(await maintain(), [])
    await admin.unsafe(`drop table app.${monthsAgo(-3)}`)
    t.strictSame(await maintain(), [{ partition: monthsAgo(-3), done: 'made' }])
  })

  await t.test('are not needed for a change, whose event waits elsewhere for its own month', async t => {
    const before = await count()
    await admin.unsafe(`
      create table app.kept as select * from app.${thisMonth}; drop table app.${thisMonth};
      insert into app.event_log select * from app.kept; drop table app.kept`)
    t.equal((await call('POST /api/shows', { token: ana.token, body: aShow })).status, 201)
    await past(db, ana.organization, 40)
    t.equal(await count(), before + 2)
    const [{ n } = { n: 0 }] = await admin<
      { n: number }[]
    >`select count(*)::int as n from app.event_log_default`
    t.ok(n >= before + 2, 'all of it in the default partition')
    const made = await maintain()
    t.ok(made.some(({ partition }) => partition === thisMonth))
    t.equal(made.length, 2)
    t.equal(await count(), before + 2)
    t.equal((await admin`select from app.event_log_default`).count, 0)
    t.equal((await call('POST /api/shows', { token: ana.token, body: aShow })).status, 201)
    const forced =
      await admin`select relname from pg_class where relname ~ '^event_log' and relkind in ('r', 'p') and not (relrowsecurity and relforcerowsecurity)`
    t.equal(forced.count, 0, 'and each is under row-level security')
  })

  await t.test('are dropped when they ended 90 days ago and are empty, and not before', async t => {
    await past(db, ana.organization, 200)
    const [made] = await maintain()
    t.match(made, { done: 'made' })
    t.strictSame(await maintain(), [], 'it has an event')
    await sealEvents(db.as('callboard_worker'), '10 years')
    await call('PUT /api/audit/retention', { token: ana.token, body: { days: 90 } })
    await asWorker(db, 'select app.purge_events()')
    t.strictSame(await maintain(), [{ partition: made?.partition, done: 'dropped' }])
    await sealEvents(db.as('callboard_worker'))
    t.match(await verify(db, ana.organization), { ok: true, unsealed: 0 })
  })
})
