import type postgres from 'postgres'
import { t } from '../support/tap.ts'
import { carrier, startServer } from '../support/helper.ts'
import { makeWorld, openLogin, secretOf } from './world.ts'

// The context is signed for one backend, and a parallel worker is a different one.

const serial = 'set local max_parallel_workers_per_gather = 0'
const parallel = `
  set local max_parallel_workers_per_gather = 2; set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0;
  set local min_parallel_table_scan_size = 0; set local min_parallel_index_scan_size = 0;
  set local parallel_leader_participation = off`

t.test('a member sees the same rows in a parallel plan as in any other', async t => {
  const server = await startServer(t)
  const { admin, url } = server.db
  const { attacker, victim } = await makeWorld(server)
  const sql = openLogin(t, url('callboard_api'))
  const [version] = await admin<[{ n: number }]>`select current_setting('server_version_num')::integer as n`
  const forced = `${parallel}; set local ${version.n >= 160_000 ? 'debug_parallel_query' : 'force_parallel_mode'} = on`

  /** What a statement returns in an owner's transaction with these settings. */
  async function ask(statement: string, settings: string, { owner, organization } = victim) {
    await sql`begin`
    try {
      await sql`select app.enter(${secretOf(owner)}, ${organization})`
      await sql.unsafe(settings)
      return [...(await sql.unsafe(statement))] as postgres.Row[]
    } finally {
      await sql`rollback`
    }
  }
  const plan = async (statement: string, settings: string) =>
    JSON.stringify(await ask(`explain (analyze, costs off, timing off, summary off) ${statement}`, settings))

  for (const tenant of [attacker, victim]) {
    await sql`begin`
    await sql`select app.enter(${secretOf(tenant.owner)}, ${tenant.organization})`
    await sql`
      insert into app.shows (title, artist, show_on)
      select 'Night ' || i, 'x', date '2027-01-01' + i % 900 from generate_series(1, 20000) as i`
    await sql`commit`
  }
  await admin`analyze`

  await t.test('from every table and view', async t => {
    const relations = await admin<{ name: string; columns: string }[]>`
      select c.oid::regclass::text as name, string_agg(quote_ident(a.attname), ', ') as columns
      from pg_class c join pg_attribute a on a.attrelid = c.oid
      where c.relnamespace = 'app'::regnamespace and c.relkind in ('r', 'p', 'v') and a.attnum > 0 and not a.attisdropped
        and has_column_privilege('callboard_api', c.oid, a.attnum, 'select')
      group by c.oid order by 1`
    t.ok(relations.length >= 15)
    for (const { name, columns } of relations) {
      const statement = `select count(*), md5(string_agg(r, '' order by r)) from (select concat_ws('|', ${columns}) as r from ${name}) as t`
      const usual = await ask(statement, serial)
      t.not(usual[0]?.['count'], '0', `${name} shows rows`)
      for (const settings of [parallel, forced])
        t.strictSame(await ask(statement, settings), usual, `${name} shows the same`)
    }
  })

  const night = `from app.shows where title like 'Night %'`
  const statements = {
    'the context itself': `select app.current_org(), app.current_user_id(), app.current_session_id(), app.org_if('shows.read')`,
    'permissions in the select list': `select app.has_permission('shows.write'), app.require('shows.read') ${night} limit 3`,
    'a large table': `select count(*), min(show_on), max(id::text) ${night}`,
    'a large table, compared with the context for each row': `select count(*) ${night} and organization_id = app.current_org()`,
    'a large table, with a condition on the user': `select count(*) from app.show_rows where app.current_user_id() is not null`,
    'a list as a route asks for it': `select count(*) from app.show_rows where organization_id = (select app.require('shows.read'))`,
    'a join of large tables': `select count(*) from app.shows s join app.show_rows l using (organization_id, id) join app.users u on u.id = s.created_by`,
    'one’s own profile': 'select body::text, etag from app.read_me()',
    'one’s own session': `select count(*) from app.session_list where (body ->> 'is_current')::boolean`,
    'a search': `select count(*) from app.search_shows('night 1')`,
    'one’s own organizations': 'select body::text from app.list_my_organizations()',
  }
  for (const [name, statement] of Object.entries(statements))
    await t.test(`in ${name}`, async t => {
      const usual = await ask(statement, serial)
      t.notMatch(JSON.stringify(usual), /":null|:"0"/)
      t.strictSame(await ask(statement, parallel), usual)
      t.strictSame(await ask(statement, forced), usual)
    })

  await t.test('and large tables are indeed read in parallel', async t => {
    for (const name of [
      'a large table',
      'a list as a route asks for it',
      'a join of large tables',
    ] as const) {
      t.match(
        await plan(statements[name], parallel),
        /Workers Launched: [12].*Parallel (Seq|Index|Bitmap)/,
        name,
      )
      t.notMatch(await plan(statements[name], serial), /Workers/)
    }
  })

  const onlySigned = { skip: carrier === 'guarded' && 'a guarded context reaches parallel workers, too' }
  await t.test('which would fail if a worker were asked for a signed context', onlySigned, async t => {
    await admin`alter function app.current_org() parallel safe`
    const name = 'a large table, compared with the context for each row'
    t.notSame(await ask(statements[name], forced), await ask(statements[name], serial))
  })
})
