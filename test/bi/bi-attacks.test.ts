// A BI tool's login can send any SQL: here as one organization's login, while another organization's login
// and members are working on the same server.
import type postgres from 'postgres'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { type BiAttack, biAttacks, type BiKnowledge } from '../attacks/bi.ts'
import { type Reply, send, spellings, transcript } from '../attacks/run.ts'
import { connectBi, type Credential, makeCredential, makeProbe } from '../support/bi.ts'
import { startServer, type TestServer } from '../support/helper.ts'
import { readSettings } from '../isolation/contexts.ts'
import {
  changed,
  findTables,
  makeWorld,
  openLogin,
  secretOf,
  snapshot,
  type Tenant,
} from '../isolation/world.ts'

interface Side extends BiKnowledge {
  tenant: Tenant
  credential: Credential
  /** What only this side may know. */
  secrets: string[]
}

/**
 * An organization with figures, a connected BI tool, and its owner, both in the middle of a transaction
 * unless that would interfere.
 */
async function takeSide(t: Test, server: TestServer, tenant: Tenant, isAtWork = true): Promise<Side> {
  const credential = await makeCredential(server, tenant.owner, { connection_limit: 10 })
  const tool = connectBi(t, credential)
  await tool`begin`
  const [one] = await tool<{ pid: number; title: string }[]>`
    select pg_backend_pid() as pid, max(title) as title from analytics.probe`
  const api = openLogin(t, server.db.url('callboard_api'))
  await api`begin`
  await api`select app.enter(${secretOf(tenant.owner)}, ${tenant.organization})`
  const settings = await readSettings(api)
  const [other] = await api<{ pid: number }[]>`select pg_backend_pid() as pid`
  if (!isAtWork) for (const sql of [tool, api]) await sql`commit`
  const title = `Title ${tenant.marker}`
  if (one?.title !== title || !other) throw new Error('there are no figures')
  return {
    tenant,
    credential,
    login: credential.login,
    theirs: credential.login,
    organization: tenant.organization,
    user: tenant.owner.id,
    title,
    amount: 770_100,
    settings,
    pids: [one.pid, other.pid],
    secrets: [
      tenant.marker,
      secretOf(tenant.owner),
      settings['app.signature'] ?? '',
      credential.password,
    ].filter(secret => secret.length > 0),
  }
}

/** What is wrong with the outcome of an attack by one side on the other. */
async function assess(t: Test, attack: BiAttack, by: Side, on: Side, k: BiKnowledge): Promise<string[]> {
  const wrong: string[] = []
  const heard = new Set<string>()
  const { expects } = attack
  for (const guess of typeof expects === 'object' && 'guess' in expects ? expects.guess(k) : ['']) {
    const notices: postgres.Notice[] = []
    const sql = connectBi(t, by.credential, notice => notices.push(notice))
    const replies: Reply[] = []
    for (const step of attack.steps(k, guess)) replies.push(await send(sql, step))
    await sql.end({ timeout: 1 })
    wrong.push(...outcome(attack, replies, by))
    // What the attacker has sent reveals nothing.
    let news = transcript([replies.map(({ rows, count, error }) => ({ rows, count, error })), notices])
    for (const text of [guess, ...attack.steps(k, guess)])
      if (text !== '') news = news.replaceAll(transcript(text).slice(1, -1), '…')
    for (const own of spellings(guess.replaceAll("'", ''))) if (own !== '') news = news.replaceAll(own, '…')
    heard.add(news.replaceAll(/"(line|position)":"\d+"/g, ''))
    for (const secret of on.secrets)
      for (const spelling of spellings(secret))
        if (news.includes(spelling)) wrong.push(`it shows ${secret}: ${news.slice(0, 500)}`)
  }
  if (heard.size > 1) wrong.push(`it distinguishes the guesses: ${[...heard].join('\n')}`)
  return wrong
}

function outcome({ expects }: BiAttack, replies: Reply[], { tenant }: Side): string[] {
  if (expects === 'anything' || (typeof expects === 'object' && 'guess' in expects)) return []
  const last = replies.find(({ error }) => error) ?? replies.at(-1)
  const { error, rows = [], count = 0 } = last ?? {}
  const isExpected =
    typeof expects === 'object'
      ? error?.code === expects.error
      : error === undefined &&
        (expects === 'nothing'
          ? rows.length === 0 && count === 0
          : JSON.stringify(rows).includes(tenant.marker))
  return isExpected
    ? []
    : [`${last?.sql ?? ''} came to ${JSON.stringify({ error, rows: rows.slice(0, 3), count })}`]
}

t.test('any SQL as a BI tool’s login', async t => {
  const server = await startServer(t)
  const { db } = server
  const { attacker: a, victim: v } = await makeWorld(server)
  await makeProbe(server, {
    [a.organization]: `Title ${a.marker}`,
    [v.organization]: `Title ${v.marker}`,
  })
  const [one, other] = [await takeSide(t, server, a), await takeSide(t, server, v)]
  const tables = await findTables(db)
  const before = await Promise.all([a, v].map(tenant => snapshot(db, tables, tenant)))

  for (const [kind, attacks] of Object.entries(biAttacks))
    await t.test(kind, async t => {
      t.equal(new Set(attacks.map(({ name }) => name)).size, attacks.length, 'no two have the same name')
      for (const attack of attacks)
        await t.test(attack.name, async t => {
          // Both at once: each is the other's victim.
          const found = await Promise.all([
            assess(t, attack, one, other, { ...other, login: one.login }),
            assess(t, attack, other, one, { ...one, login: other.login }),
          ])
          t.strictSame(found.flat(), [], 'gets nowhere')
        })
    })

  await t.test('has changed nothing', async t => {
    const after = await Promise.all([a, v].map(tenant => snapshot(db, tables, tenant)))
    for (const [n] of before.entries()) t.strictSame(changed(before[n] ?? {}, after[n] ?? {}), [])
  })

  await t.test('no table and no materialized view can be read', async t => {
    const sql = connectBi(t, one.credential)
    for (const { name } of tables)
      await t.rejects(sql.unsafe(`select * from ${name}`), { code: '42501' }, name)
  })

  await t.test('no function of ours can be called', async t => {
    const sql = connectBi(t, one.credential)
    const functions = await db.admin<{ call: string }[]>`
      select format('select %s(%s)', p.oid::regproc, (select string_agg(format('null::%s', format_type(x, null)), ', ') from unnest(p.proargtypes) x)) as call
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname in ('app', 'app_private', 'analytics', 'analytics_private', 'graphile_worker')
        and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
        and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')`
    t.ok(functions.length > 100)
    for (const { call } of functions) await t.rejects(sql.unsafe(call), { code: '42501' }, call)
  })

  await t.test('a connection beyond the limit is refused, but another login’s is not', async t => {
    const two = await makeCredential(server, a.owner, { connection_limit: 2 })
    const open = [connectBi(t, two), connectBi(t, two)]
    for (const sql of open) await sql`select 1`
    await t.rejects(connectBi(t, two)`select 1`, { code: '53300' })
    t.equal((await connectBi(t, one.credential)`select 1`).count, 1)
    await open[0]?.end()
    t.equal((await connectBi(t, two)`select 1`).count, 1, 'ending one makes room')
  })

  await t.test('every connection starts with the expected settings', async t => {
    const settings = await connectBi(t, one.credential)<{ name: string; setting: string }[]>`
      select name, current_setting(name) as setting from unnest(array['search_path', 'default_transaction_read_only',
        'statement_timeout', 'idle_in_transaction_session_timeout', 'lock_timeout', 'work_mem', 'temp_file_limit']) name`
    t.strictSame(Object.fromEntries(settings.map(({ name, setting }) => [name, setting])), {
      search_path: 'analytics',
      default_transaction_read_only: 'on',
      statement_timeout: '5min',
      idle_in_transaction_session_timeout: '1min',
      lock_timeout: '10s',
      work_mem: '16MB',
      temp_file_limit: '1GB',
    })
  })

  await t.test('a query that uses more disk than its limit is ended', async t => {
    // A gigabyte, the usual limit, takes ten seconds to write.
    await db.admin.unsafe(`alter role "${one.login}" set temp_file_limit = '20MB'`)
    await t.rejects(connectBi(t, one.credential)`select count(*) from generate_series(1, 3000000)`, {
      code: '53400',
    })
  })
})

t.test('without a guard', async t => {
  const server = await startServer(t)
  const { db } = server
  const { attacker: a, victim: v } = await makeWorld(server)
  await makeProbe(server, { [a.organization]: `Title ${a.marker}`, [v.organization]: `Title ${v.marker}` })
  const [one, other] = [await takeSide(t, server, a, false), await takeSide(t, server, v, false)]
  const all = Object.values(biAttacks).flat()
  const guards: [without: string, again: string, through: string[]][] = [
    [
      'grant select on analytics_private.probe to callboard_bi; grant usage on schema analytics_private to callboard_bi',
      'revoke select on analytics_private.probe from callboard_bi; revoke usage on schema analytics_private from callboard_bi',
      ['the materialized view behind a view'],
    ],
    [
      'alter function pg_catalog.uuid_eq(uuid, uuid) cost 1',
      'alter function pg_catalog.uuid_eq(uuid, uuid) cost 0.0001',
      ['what is executed for a title'],
    ],
    [
      'grant select on pg_stat_activity to public; grant execute on function pg_stat_get_activity(integer) to public',
      'revoke select on pg_stat_activity from public; revoke execute on function pg_stat_get_activity(integer) from public',
      ['who else is connected', 'who else is connected, by the function'],
    ],
    [
      'alter materialized view analytics_private.probe alter column title set statistics 100; analyze analytics_private.probe',
      'alter materialized view analytics_private.probe alter column title set statistics 0; delete from pg_statistic where starelid = $$analytics_private.probe$$::regclass',
      ['the estimate for a title'],
    ],
    [
      'drop index analytics_private.probe_organization_id_title_idx; create index loot on analytics_private.probe (title)',
      'drop index analytics_private.loot; create index on analytics_private.probe (organization_id, title)',
      ['what an index finds for a title'],
    ],
    [
      `do $$ begin execute format('grant temporary on database %I to callboard_bi', current_database()); end $$`,
      `do $$ begin execute format('revoke temporary on database %I from callboard_bi', current_database()); end $$`,
      ['a temporary table'],
    ],
  ]
  for (const [without, again, through] of guards)
    await t.test(without, async t => {
      await db.admin.unsafe(without)
      for (const name of through) {
        const attack = all.find(one => one.name === name)
        if (!attack) throw new Error(`no such attack: ${name}`)
        const found = await assess(t, attack, one, other, { ...other, login: one.login })
        t.not(found.length, 0, `${name} gets through, and is noticed`)
      }
      await db.admin.unsafe(again)
    })
})
