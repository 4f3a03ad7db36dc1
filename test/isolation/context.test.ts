// The context itself: what carries it, who can read it, and what a context that only reads can do.
import { readFile } from 'node:fs/promises'
import type postgres from 'postgres'
import { t } from '../support/tap.ts'
import { aShow, carrier, join, register, startServer, superadmin } from '../support/helper.ts'
import { openLogin, secretOf } from './world.ts'

const folder = new URL('../../db/schema/foundation/context/', import.meta.url)

t.test('the settings that people read', async t => {
  const server = await startServer(t)
  const ana = await register(server, 'Ana', 'Ana Live')
  const sql = openLogin(t, server.db.url('callboard_api'))
  const mirror = `select current_setting('app.current_org', true) as org, current_setting('app.role', true) as role`

  await t.test('name the organization and the role within a request, and nothing after it', async t => {
    await server.call('POST /api/shows', { token: ana.token, body: aShow })
    await server.db.admin.unsafe(`
      create table public.seen (org text, role text);
      grant insert on public.seen to callboard_definer; grant usage on schema public to callboard_definer;
      create function public.look() returns trigger language plpgsql security definer as
        $$ begin insert into public.seen ${mirror}; return null; end $$;
      alter function public.look() owner to callboard_definer;
      create trigger look after insert on app.venues for each statement execute function public.look()`)
    const venue = await server.call('POST /api/venues', {
      token: ana.token,
      body: { name: 'Hall', city: 'Ghent', country: 'BE', time_zone: 'Europe/Brussels' },
    })
    t.equal(venue.status, 201)
    t.strictSame(
      [...(await server.db.admin`select * from public.seen`)],
      [{ org: ana.organization, role: 'owner' }],
    )
    const after = await server.pool.use(client => client.unsafe<postgres.Row[]>(mirror))
    t.notMatch(after[0], { org: ana.organization })
  })

  await t.test('are forged in vain', async t => {
    const eve = await register(server, 'Eve', 'Eve Live')
    await sql`begin`
    await sql`select app.enter(${secretOf(eve)}, ${eve.organization}, 'request-1', '192.0.2.1')`
    await sql`select set_config('app.current_org', ${ana.organization}, true), set_config('app.role', 'superadmin', true),
      set_config('app.user_id', ${ana.id}, true), set_config('app.request_id', 'another', true), set_config('app.ip', '192.0.2.9', true)`
    const [seen] =
      await sql`select app.current_org() as org, (select count(*)::integer from app.shows) as shows`
    t.strictSame(seen, { org: carrier === 'guarded' ? eve.organization : null, shows: 0 })
    const made =
      await sql`insert into app.shows (title, artist, show_on) values ('Own', 'Eve', '2027-01-01') returning id`.catch(
        (error: unknown) => (error as { code: string }).code,
      )
    await sql`commit`
    const events = await server.db.admin`
      select organization_id, actor_id, request_id, host(ip) as ip from app.event_log where action = 'show.create' and actor_id <> ${ana.id}`
    if (carrier === 'signed') {
      t.equal(made, '42501', 'a signed context is lost')
      t.equal(events.length, 0)
    } else
      t.strictSame(
        [...events],
        [{ organization_id: eve.organization, actor_id: eve.id, request_id: 'request-1', ip: '192.0.2.1' }],
        'the log says what is true',
      )
  })
})

t.test('a context that only reads holds no permission to write, whatever its member holds', async t => {
  const server = await startServer(t)
  const { db, call } = server
  const ana = await register(server, 'Ana', 'Ana Live')
  const sam = await register(server, 'Sam', 'Sam Live')
  await superadmin(server, sam, ana.organization)
  const feed = await call<{ path: string }>('POST /api/calendar-feeds', {
    token: ana.token,
    body: { name: 'Phone' },
  })
  const secret = feed.body.path.split('=')[1] ?? ''
  const asked = await call<{ id: string }>('POST /api/analytics/export', {
    token: ana.token,
    body: { resource: 'shows', format: 'csv', filters: { deleted: 'only' } },
  })
  t.equal(asked.status, 202, asked.text)
  const attempt = await db.as('callboard_worker')`
    select app.begin_export(${ana.organization}, ${asked.body.id}) ->> 'attempt' as id`
  const doors: Record<string, [role: string, enter: string]> = {
    'a calendar feed': ['callboard_api', `select app.enter_calendar_feed('${secret}')`],
    'an export': [
      'callboard_worker',
      `select app.enter_export('${ana.organization}', '${asked.body.id}', '${String(attempt[0]?.['id'])}')`,
    ],
    'a superadmin without the right to write': [
      'callboard_support',
      `select app.enter_support('${secretOf(sam)}', '${ana.organization}', null, null)`,
    ],
  }
  for (const [door, [role, enter]] of Object.entries(doors))
    await t.test(door, async t => {
      const sql = openLogin(t, db.url(role))
      if (role === 'callboard_support')
        await sql`select app.use_support(${secretOf(sam)}, ${ana.organization}, 'a test', null, null)`
      await sql.unsafe('begin read only')
      await sql.unsafe(enter)
      // The worker's own role sees neither the context nor the permissions.
      const names = (await db.admin<{ name: string }[]>`select name from app.permissions`).map(p => p.name)
      if (role === 'callboard_worker') await sql.unsafe('set local role callboard_exporter')
      const held: string[] = []
      const seen: string[] = []
      for (const name of names) {
        const [row] = await sql<{ held: boolean; seen: boolean }[]>`
          select app.org_if(${name}) is not null as held, app.org_if_reading(${name}) is not null as seen`
        if (row?.held) held.push(name)
        if (row?.seen) seen.push(name)
      }
      await sql.unsafe('rollback')
      t.ok(held.length > 0, `it holds ${held.join(', ')}`)
      t.strictSame(
        held.filter(name => !name.endsWith('.read')),
        [],
      )
      t.ok(
        seen.some(name => !name.endsWith('.read')),
        `and sees what others write: ${seen.join(', ')}`,
      )
    })
  await t.test('and a member who may write does hold that', async t => {
    const mia = await join(server, ana, 'manager')
    const sql = openLogin(t, db.url('callboard_api'))
    const [row] = await sql.begin(async sql => {
      await sql`select app.enter(${secretOf(mia)}, ${ana.organization})`
      return sql`select app.org_if('shows.write') as write, app.org_if('shows.delete') as delete`
    })
    t.strictSame(row, { write: ana.organization, delete: null })
  })
})

t.test('a value that the doors did not write shows nothing', async t => {
  const server = await startServer(t)
  const ana = await register(server, 'Ana', 'Ana Live')
  await server.call('POST /api/shows', { token: ana.token, body: aShow })
  // As a superuser who looks for the source of an error might set it.
  const values = ['pg_read_file', `${ana.organization.replaceAll('-', '')} shows0read `, '']
  for (const value of values) {
    const [row] = await server.db.admin.begin(async sql => {
      await sql`select set_config('backtrace_functions', ${value}, true)`
      await sql`set local role callboard_api`
      return sql`select app.current_org() as org, app.current_user_id() as who, app.org_if('shows.read') as reads,
        (select count(*)::integer from app.shows) as shows`
    })
    t.strictSame(row, { org: null, who: null, reads: null, shows: 0 }, `'${value}'`)
  }
})

t.test('both ways to carry a context define the same functions for the same roles', async t => {
  const { db } = await startServer(t)
  const of = async (name: string) => {
    const text = await readFile(new URL(name, folder), 'utf8')
    await db.admin.unsafe(`set role callboard_owner; ${text}; reset role`)
    const made = [...text.matchAll(/^create or replace function ([a-z_.]+)/gm)]
      .map(([, made = '']) => made)
      .filter(made => made !== 'app_private.context_signature')
    return [
      ...(await db.admin`
        select p.oid::regprocedure::text as name, pg_get_function_arguments(p.oid) as arguments, pg_get_function_result(p.oid) as result,
          p.provolatile, p.proowner::regrole::text as owner, p.proacl::text as rights, obj_description(p.oid) as comment
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where array[format('%s.%s', n.nspname, p.proname)] <@ ${db.admin.array(made)} order by 1`),
    ]
  }
  const signed = await of('signed.sql')
  t.equal(signed.length, 8)
  t.strictSame(await of('guarded.sql'), signed)
  t.strictSame(await of('signed.sql'), signed, 'and one can replace the other at any time')
})

t.test('what a built-in role holds is ready, and cannot go stale', async t => {
  const { db } = await startServer(t)
  const stale = () =>
    db.admin`
      select r.name from app.roles r where r.held <> (select string_agg(p.permission, ' ' order by p.permission)
        from app.role_permissions p where p.role = r.name)`
  t.strictSame([...(await stale())], [])
  await db.admin`delete from app.role_permissions where role = 'viewer' and permission = 'shows.read'`
  t.strictSame([...(await stale())], [])
  await db.admin`insert into app.role_permissions (role, permission) values ('viewer', 'exports.run')`
  t.strictSame([...(await stale())], [])
  t.notMatch((await db.admin`select held from app.roles where name = 'viewer'`)[0]?.['held'], /shows\.read/)
})

t.test('no context opens a transaction that may write what it decides on an old snapshot', async t => {
  const server = await startServer(t)
  const ana = await register(server, 'Ana')
  const sql = openLogin(t, server.db.url('callboard_api'))
  for (const [mode, code] of [
    ['isolation level repeatable read', '25000'],
    ['isolation level repeatable read read only', undefined],
    ['isolation level serializable', undefined],
    ['isolation level read committed', undefined],
  ] as const) {
    await sql.unsafe(`begin ${mode}`)
    const refused = await sql`select app.enter(${secretOf(ana)}, ${ana.organization})`.then(
      () => undefined,
      (error: unknown) => (error as { code: string }).code,
    )
    t.equal(refused, code, mode)
    // What it could be changed to later: neither another level nor, when reading, another mode.
    const later = mode.includes('read only')
      ? 'set transaction read write'
      : 'set transaction isolation level repeatable read'
    if (refused === undefined) await t.rejects(sql.unsafe(later), { code: '25001' }, `${mode}, ${later}`)
    await sql`rollback`
  }
})
