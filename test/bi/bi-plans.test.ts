// How the star is read: by the organization's index, whatever the tool asks, and without a trace of others.
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { t } from '../support/tap.ts'
import { connectBi, makeCredential } from '../support/bi.ts'
import { join, register, startServer } from '../support/helper.ts'
import { nodesOf, type Plan, type PlanNode } from '../platform/plans/wiretap.ts'

t.test('the plans of the star, as a BI login, in one organization among many', async t => {
  const server = await startServer(t)
  const { admin } = server.db
  const ana = await register(server, 'Ana')
  const small = await register(server, 'Ben')
  const company = await readFile(new URL('../platform/plans/company.sql', import.meta.url), 'utf8')
  await admin.begin(async sql => {
    await sql`select set_config('plans.organization', ${ana.organization}, true)`
    await sql.unsafe(company)
    // What the plans of the API need no more of.
    await sql`
      insert into app.ticket_tiers (organization_id, show_id, name, price_minor, allotment, as_json)
      select s.organization_id, s.id, 'Standing', 100, 10, '' from app.shows s`
    await sql`
      insert into app.guests (organization_id, show_id, name, as_json)
      select s.organization_id, s.id, 'Guest', '' from app.shows s`
    await sql`
      insert into app.deals (organization_id, show_id, kind, currency, guarantee_minor, guarantee_is_cost, as_json)
      select s.organization_id, s.id, 'flat', 'EUR', 100, false, '' from app.shows s where s.status = 'settled'`
    await sql`
      insert into app.pipeline_snapshots
      select o.id, date '2026-01-01' + n, '2026-05-01', 'hold', 'EUR', 1, 1, 1, 0, 0, 0, 0, 0 from app.organizations o, generate_series(1, 10) n
      where o.id <> ${small.organization}`
  })
  await admin`vacuum analyze`
  const large = new Set(
    (
      await admin<{ name: string }[]>`
        select relname as name from pg_class where relnamespace = 'app'::regnamespace and relkind in ('r', 'p') and reltuples > 2000`
    ).map(({ name }) => name),
  )
  for (const name of [
    'shows',
    'finance_records',
    'ticket_tiers',
    'guests',
    'settlements',
    'deals',
    'pipeline_snapshots',
  ])
    t.ok(large.has(name), name)
  const views = (
    await admin<{ name: string }[]>`
      select relname as name from pg_class where relnamespace = 'analytics'::regnamespace and relkind = 'v' and relname ~ '^(fact|dim)_' order by 1`
  ).map(({ name }) => name)

  for (const [who, most] of [
    [small, 0],
    [ana, 1_000_000],
  ] as const) {
    const sql = connectBi(t, await makeCredential(server, who))
    const plan = async (statement: string) => {
      const [found] = await sql.unsafe<{ 'QUERY PLAN': Plan[] }[]>(
        `explain (analyze, verbose, format json) ${statement}`,
      )
      return [...nodesOf((found?.['QUERY PLAN'][0] as Plan).Plan)]
    }
    const faults = (nodes: PlanNode[]) =>
      nodes.flatMap(node => {
        const { 'Node Type': type, 'Relation Name': relation = '', 'Actual Loops': loops } = node
        if (!large.has(relation) || relation === 'users' || relation === 'organizations') return []
        const gone = loops * (node['Rows Removed by Filter'] ?? 0)
        const rows = loops * node['Actual Rows'] + gone
        return [
          ...(type === 'Seq Scan' ? [`reads all of ${relation}`] : []),
          ...(/organization_id = /.test(node['Index Cond'] ?? '') ||
          type === 'Bitmap Heap Scan' ||
          loops === 0
            ? []
            : [`${type} on ${relation} by ${node['Index Cond'] ?? 'nothing'}`]),
          ...(rows > most ? [`${rows} rows of ${relation}`] : []),
        ]
      })
    for (const view of views)
      await t.test(`${view}, of ${who === ana ? 'a large' : 'an empty'} organization`, async t => {
        const columns = await admin<{ name: string; type: string }[]>`
          select attname as name, atttypid::regtype::text as type from pg_attribute where attrelid = ${`analytics.${view}`}::regclass and attnum > 0`
        t.strictSame(faults(await plan(`select * from ${view}`)), [], 'all of it')
        t.strictSame(faults(await plan(`select count(*) from ${view}`)), [], 'counted')
        for (const { name, type } of columns) {
          const value = { uuid: `'${randomUUID()}'`, date: `'2026-06-01'`, text: `'hold'` }[type]
          if (value !== undefined)
            t.strictSame(faults(await plan(`select * from ${view} where ${name} = ${value}`)), [], name)
        }
      })
    if (who === ana)
      await t.test('and a view that reads all of a table is noticed', async t => {
        await admin`
          create or replace view analytics.dim_artists with (security_barrier = true) as
            select s.artist, count(*) as shows, min(s.show_on) as first_on, max(s.show_on) as last_on from (select * from app.shows offset 0) s
            where s.organization_id = (select app.visible_org('shows.read')) and s.deleted_at is null group by s.artist`
        t.not(faults(await plan('select * from dim_artists')).length, 0)
      })
  }
})

t.test('whether somebody is a member elsewhere does not show', async t => {
  const server = await startServer(t)
  const [ana, ben] = [await register(server, 'Ana'), await register(server, 'Ben')]
  const colleague = await join(server, ben, 'viewer')
  const sql = connectBi(t, await makeCredential(server, ana))
  await server.db.admin`analyze`
  const statements = [
    (id: string) => `select * from dim_members where user_id = '${id}'`,
    (id: string) => `select * from (values ('${id}'::uuid)) v (id) join dim_members m on m.user_id = v.id`,
    (id: string) => `select * from dim_members where user_id = any (array['${id}'::uuid])`,
  ]
  /** For each statement, whether its plans differ for members of another organization and for nobody. */
  const differ = () =>
    Promise.all(
      statements.map(async statement => {
        const heard = new Set<string>()
        for (const id of [colleague.id, ben.id, randomUUID()]) {
          const plan = await sql.unsafe(
            `explain (analyze, timing off, summary off, buffers off) ${statement(id)}`,
          )
          heard.add(JSON.stringify(plan).replaceAll(id, '…'))
        }
        return heard.size > 1
      }),
    )
  const indexes = 'set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off'
  for (const settings of ['reset all', indexes]) {
    await sql.unsafe(settings)
    t.strictSame(await differ(), [false, false, false], settings)
  }
  // Without its fence the view asks the index of all memberships.
  const [{ definition }] = await server.db.admin<[{ definition: string }]>`
    select pg_get_viewdef('analytics_private.members'::regclass) as definition`
  await server.db.admin.unsafe(
    `create or replace view analytics_private.members as ${definition.replace(/OFFSET 0/, '')}`,
  )
  t.ok((await differ()).includes(true), 'otherwise it does')
})
