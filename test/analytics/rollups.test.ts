// What figures cost: an organization's own follow from its own rows, and asking whether they are current costs the
// same however much has happened.
import { setTimeout as sleep } from 'node:timers/promises'
import type postgres from 'postgres'
import { t } from '../support/tap.ts'
import { check, refresh, work } from '../support/figures.ts'
import { openLogin, secretOf } from '../isolation/world.ts'
import { aShow, type Person, register, startServer } from '../support/helper.ts'

interface Node {
  'Node Type': string
  'Relation Name'?: string
  'Index Cond'?: string
  'Recheck Cond'?: string
  'Actual Loops'?: number
  'Shared Hit Blocks'?: number
  'Shared Read Blocks'?: number
  Plans?: Node[]
}
const walk = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(walk)]
const planOf = (rows: readonly postgres.Row[]): Node => {
  const [{ Plan } = { Plan: undefined }] = (rows[0] as { 'QUERY PLAN': { Plan?: Node }[] })['QUERY PLAN']
  if (!Plan) throw new Error('no plan')
  return Plan
}
const blocks = (node: Node) => (node['Shared Hit Blocks'] ?? 0) + (node['Shared Read Blocks'] ?? 0)

t.test('figures of one organization', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const figures = (
    await db.admin<{ name: string }[]>`select name from analytics_private.rollups order by name`
  ).map(({ name }) => name)

  /** The tables that the definition of a figure reads beyond an index on the organization. */
  const readsAll = async (sql: postgres.TransactionSql | postgres.Sql, name: string) => {
    const plan = await sql.unsafe(
      `explain (format json) select * from analytics_private.${name}_definition where organization_id = '${ana.organization}'`,
    )
    return walk(planOf(plan))
      .filter(node => node['Relation Name'] !== undefined)
      .filter(node => !`${node['Index Cond']} ${node['Recheck Cond']}`.includes(ana.organization))
      .map(node => `${node['Node Type']} on ${node['Relation Name']}`)
  }

  await t.test('are computed from its rows alone, found by an index', async t => {
    await db.admin.begin(async sql => {
      await sql`set local enable_seqscan = off`
      for (const name of figures) t.strictSame(await readsAll(sql, name), [], name)
      await sql`
        create or replace view analytics_private.shows_created_by_month_definition as
          select s.organization_id, date_trunc('month', s.created_at at time zone o.time_zone)::date as month, count(*) as created
          from (select * from app.shows offset 0) s join app.organizations o on o.id = s.organization_id group by 1, 2`
      t.not((await readsAll(sql, 'shows_created_by_month')).length, 0, 'another is noticed')
      await sql`rollback and chain`
    })
  })

  await t.test('are read from where they are, and from nowhere else', async t => {
    await refresh(db)
    const touched = async () => {
      const plan = await db.admin`
        explain (analyze, format json) select * from analytics_private.shows_by_month_now where organization_id = ${ana.organization}`
      return walk(planOf(plan))
        .filter(
          node => /^shows_by_month/.test(node['Relation Name'] ?? '') && (node['Actual Loops'] ?? 0) > 0,
        )
        .map(node => node['Relation Name'])
    }
    t.strictSame(await touched(), ['shows_by_month'])
    await call('POST /api/shows', { token: ana.token, body: aShow })
    await refresh(db)
    t.strictSame(await touched(), ['shows_by_month_recent'])
    await check(db)
    t.strictSame(await touched(), ['shows_by_month'])
    t.equal((await db.admin`select from analytics_private.shows_by_month_recent`).count, 0)
    const show = await call<{ items: { id: string }[] }>('GET /api/shows', { token: ana.token })
    await call(`PATCH /api/shows/${show.body.items[0]?.id}`, {
      token: ana.token,
      body: { notes: 'Load-in 14:00' },
    })
    t.ok((await refresh(db)).includes('shows_by_month'))
    t.strictSame(await touched(), ['shows_by_month'], 'a change that makes no difference is not written')
  })
})

t.test('whether figures are current', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const sql = openLogin(t, db.url('callboard_api'))
  /** What app.freshness says to the member, and how many blocks it reads. */
  const ask = async (person: Person, ...names: string[]) => {
    await sql`begin`
    await sql`select app.enter(${secretOf(person)}, ${person.organization})`
    const look = `select * from app.freshness(${names.map(name => `'${name}'`).join()})`
    // The first call in a session reads catalogues.
    const [{ is_current } = { is_current: null }] = await sql.unsafe<{ is_current: boolean | null }[]>(look)
    const plan = await sql.unsafe(`explain (analyze, buffers, format json) ${look}`)
    await sql`rollback`
    return { is_current, read: blocks(planOf(plan)) }
  }
  const happen = (n: number, type: string) => db.admin`
    insert into app.event_log (organization_id, id, actor_kind, action, resource_type)
    select ${ana.organization}, gen_random_uuid(), 'system', ${`${type}.update`}, ${type} from generate_series(1, ${n}::int)`
  await refresh(db)
  await ask(ana, 'finance_by_month')
  const calm = await ask(ana, 'finance_by_month')

  await t.test('costs the same after 20,000 events as after none', async t => {
    t.equal(calm.is_current, true)
    await happen(20_000, 'venue')
    const busy = await ask(ana, 'finance_by_month')
    t.comment(`${calm.read} blocks, and ${busy.read} after 20,000 events`)
    t.ok(busy.read <= calm.read + 25, `${calm.read} and ${busy.read} blocks`)
    t.equal(busy.is_current, false, 'there are more than are read')
    await refresh(db)
    const after = await ask(ana, 'finance_by_month')
    t.equal(after.is_current, true)
    t.ok(after.read <= calm.read + 5, `${calm.read} and ${after.read} blocks`)
  })

  await t.test('depends on what happened, if that is little', async t => {
    await happen(10, 'venue')
    t.equal((await ask(ana, 'finance_by_month')).is_current, true)
    t.equal((await ask(ana, 'activity_by_day')).is_current, false)
    t.equal((await ask(ana, 'activity_by_day', 'finance_by_month')).is_current, false)
    await happen(1, 'finance_record')
    t.equal((await ask(ana, 'finance_by_month')).is_current, false)
    t.equal((await ask(ana, 'shows_by_month')).is_current, true)
    await refresh(db)
    t.equal((await ask(ana, 'activity_by_day', 'finance_by_month')).is_current, true)
  })

  await t.test('follows client events, also those that are purged', async t => {
    const report = () =>
      call('POST /api/events', {
        token: ana.token,
        body: { events: [{ id: crypto.randomUUID(), kind: 'page_view', name: 'shows' }] },
      })
    t.equal((await report()).status, 202)
    t.equal((await ask(ana, 'client_events_by_day')).is_current, false)
    t.strictSame(await refresh(db), ['client_events_by_day'])
    t.equal((await ask(ana, 'client_events_by_day')).is_current, true)
    await db.admin`update app.client_events set received_at = now() - interval '91 days'`
    await db.as('callboard_worker')`select app.purge_expired()`
    t.equal((await ask(ana, 'client_events_by_day')).is_current, false)
    t.strictSame(await refresh(db), ['client_events_by_day'])
    t.strictSame((await check(db)).differing, [])
  })

  await t.test(
    'and up to when they are complete does not depend on who keeps a transaction open',
    async t => {
      const asOf = async () =>
        Date.parse(
          (await call<{ as_of: string }>('GET /api/analytics/finance', { token: ana.token })).body.as_of,
        )
      const open = [db.admin, db.as('callboard_api'), db.as('callboard_worker')]
      const sessions = await Promise.all(open.map(login => login.reserve()))
      for (const session of sessions) await session`begin`
      // One of them has an id, as if it had written.
      const [writer = await db.admin.reserve()] = sessions
      await writer`select pg_current_xact_id()`
      const began = Date.now()
      await sleep(3100)
      await work(db, 'small')
      t.ok((await asOf()) >= began - 100, 'nobody waits for it')
      await writer`insert into app.event_log (organization_id, id, actor_kind, action, resource_type)
      values (${ana.organization}, gen_random_uuid(), 'system', 'finance_record.update', 'finance_record')`
      await writer`commit`
      const [look] = await work(db, 'small')
      t.equal(look?.changed, 1, 'what it has written is noticed, however long ago it began')
      for (const session of sessions.slice(1)) await session`rollback`
      for (const session of sessions) session.release()
      await refresh(db)
    },
  )

  await t.test('ends with the day for what counts days', async t => {
    await refresh(db)
    t.equal((await ask(ana, 'dashboard')).is_current, true)
    await db.admin`update analytics_private.rollup_states set valid_until = valid_until - interval '1 day' where rollup = 'dashboard'`
    t.equal((await ask(ana, 'dashboard')).is_current, false)
    t.strictSame(await refresh(db), ['dashboard'])
    t.equal((await ask(ana, 'dashboard')).is_current, true)
  })

  await t.test('is not known once the worker has not looked for a day', async t => {
    await db.admin`update analytics_private.looking set looked_until = looked_until - interval '25 hours'`
    t.equal((await ask(ana, 'finance_by_month')).is_current, false)
    await refresh(db)
    t.equal((await ask(ana, 'finance_by_month')).is_current, true)
  })

  await t.test(
    'is for those who run the server to see in full, without the figures, and for nobody else',
    async t => {
      const [state] = await db.as('callboard_auditor')`
      select * from app.figure_states(${ana.organization}) where figure = 'dashboard'`
      t.match(state, {
        as_of: Date,
        computed_at: Date,
        row_count: '1',
        is_recent: Boolean,
        failed_with: null,
        changed_at: null,
      })
      t.equal((await db.as('callboard_worker')`select from app.figure_states()`).count, 11)
      for (const role of ['callboard_api', 'callboard_support'])
        await t.rejects(db.as(role)`select * from app.figure_states()`, { code: '42501' }, role)
    },
  )
})
