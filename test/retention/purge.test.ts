import { randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { refresh } from '../support/figures.ts'
import { emptyTables, findTables, makeTenant, openLogin, snapshot, type Tenant } from '../isolation/world.ts'
import {
  aShow,
  type Database,
  type Person,
  register,
  startServer,
  type TestServer,
  until,
} from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'
import { sealEvents } from '../support/sealing.ts'

interface Purged {
  deletions: number
  rows: number
  organizations: number
  busy: number
  kept: number
  failed: number
  because: { organization_id: string; deletion_id: string; kept_by?: string; failed_with?: string }[]
  next: unknown[] | null
}
const nothing = {
  deletions: 0,
  rows: 0,
  organizations: 0,
  busy: 0,
  kept: 0,
  failed: 0,
  because: [],
  next: null,
}
const aVenue = { name: 'Hall', city: 'Ghent', country: 'BE', time_zone: 'Europe/Brussels' }

const purge = async ({ as }: Database) =>
  (await as('callboard_worker')<[{ done: Purged }]>`select app.purge_deleted() as done`)[0].done
const make = async ({ call }: TestServer, { token }: Person, path: string, body: object) =>
  (await call<{ id: string }>(`POST /api/${path}`, { token, body })).body.id
/** Creates one, deletes it, and backdates the deletion. */
async function deleted(
  server: TestServer,
  owner: Person,
  days: number,
  path = 'shows',
  body: object = aShow,
) {
  const id = await make(server, owner, path, body)
  const { status, text } = await server.call(`DELETE /api/${path}/${id}`, { token: owner.token })
  if (status !== 204) throw new Error(`cannot delete: ${text}`)
  await age(server.db, owner.organization, days)
  return id
}
const softTables = async ({ admin }: Database) =>
  admin<{ name: string; organization: string }[]>`
    select marked::text as name, organization_column as organization from app_private.deletion_tables`
/** Backdates what an organization has deleted today by so many days; nothing else notices. */
async function age(db: Database, organization: string, days: number) {
  await db.admin.begin(async sql => {
    await sql`set local session_replication_role = replica`
    for (const { name, organization: column } of await softTables(db))
      await sql.unsafe(
        `update ${name} set deleted_at = now() - $2 * interval '1 day' where ${column} = $1 and deleted_at > now() - interval '1 hour'`,
        [organization, days],
      )
  })
}
const exists = async ({ admin }: Database, table: string, id: string) =>
  (await admin`select from ${admin(`app.${table}`)} where id = ${id}`).count === 1
const verify = async ({ as, admin }: Database, organization: string) => {
  await sealEvents(admin)
  return (await as('callboard_auditor')<[{ v: object }]>`select app.verify_events(${organization}) as v`)[0].v
}
/** All rows of an organization, except what purging adds to the log. */
const print = async (db: Database, tenant: Tenant) => {
  const tables = await findTables(db)
  return snapshot(
    db,
    tables.filter(({ name }) => !/event_log|event_seals/.test(name)),
    tenant,
  )
}

t.test('what was deleted', async t => {
  const server = await startServer(t)
  const { db, call } = server

  await t.test('is purged a second after its retention is over, and not a second before', async t => {
    const ana = await register(server, 'Ana')
    const bob = await register(server, 'Bob')
    await call('PUT /api/retention', { token: bob.token, body: { deleted_days: 2 } })
    for (const [who, days] of [
      [ana, 30],
      [bob, 2],
    ] as const) {
      const [due, early] = [await deleted(server, who, days), await deleted(server, who, days)]
      // A transaction has one now().
      await db.admin.begin(async sql => {
        const move = (id: string, seconds: number) => sql`
          update app.shows set deleted_at = now() - ${days} * interval '1 day' + ${seconds} * interval '1 second' where id = ${id}`
        await move(due, -1)
        await move(early, 1)
        await sql`select app.purge_deleted()`
      })
      t.strictSame(
        [await exists(db, 'shows', due), await exists(db, 'shows', early)],
        [false, true],
        `${days} days`,
      )
      await db.admin`update app.shows set deleted_at = now() where id = ${early}`
    }
  })

  await t.test('can be restored until then, and is not found afterwards', async t => {
    const ana = await register(server, 'Ana')
    const [old, young] = [await deleted(server, ana, 31), await deleted(server, ana, 29)]
    t.match(await purge(db), { deletions: 1, rows: 1, failed: 0, next: null })
    const restore = (id: string) => call(`POST /api/shows/${id}/restore`, { token: ana.token }).then(outcome)
    t.equal(await restore(old), '404 not_found')
    t.equal(await restore(young), '200')
    t.strictSame(await purge(db), nothing)
  })

  await t.test('is purged with everything deleted with it, and nothing else', async t => {
    const ana = await register(server, 'Ana')
    const others = await makeTenant(server, `zqo${randomUUID().slice(0, 8)}`)
    const before = await print(db, others)
    const [a, b, c] = [
      await deleted(server, ana, 31),
      await deleted(server, ana, 31, 'venues', aVenue),
      await deleted(server, ana, 31),
    ]
    const kept = await make(server, ana, 'shows', aShow)
    // As with a table that belongs to another.
    const together = randomUUID()
    for (const [table, id] of [
      ['shows', a],
      ['venues', b],
    ] as const)
      await db.admin`update ${db.admin(`app.${table}`)} set deletion_id = ${together} where id = ${id}`
    // The newer row holds back the whole deletion.
    await db.admin`update app.venues set deleted_at = now() - interval '29 days' where id = ${b}`
    t.match(await purge(db), { deletions: 1, rows: 1 })
    t.strictSame(
      [await exists(db, 'shows', a), await exists(db, 'venues', b), await exists(db, 'shows', c)],
      [true, true, false],
    )
    await db.admin`update app.venues set deleted_at = now() - interval '31 days' where id = ${b}`
    t.match(await purge(db), { deletions: 1, rows: 2 })
    t.strictSame(
      [await exists(db, 'shows', a), await exists(db, 'venues', b), await exists(db, 'shows', kept)],
      [false, false, true],
    )
    t.strictSame(await print(db, others), before, 'other organizations are unchanged')
    const { body } = await call<{ items: Record<string, unknown>[] }>(
      'GET /api/audit/events?action=show.purge',
      { token: ana.token },
    )
    t.match(
      body.items,
      [
        { actor_kind: 'system', actor_id: null, resource_id: a, changes: null },
        { actor_kind: 'system', actor_id: null, resource_id: c, changes: null },
      ],
      'its purge is logged, but none of its contents',
    )
    t.match(await verify(db, ana.organization), { ok: true, unsealed: 0 })
  })

  await t.test('is kept as long as something else refers to it, which is reported', async t => {
    const ana = await register(server, 'Ana')
    const hall = await make(server, ana, 'venues', aVenue)
    const show = await make(server, ana, 'shows', { ...aShow, venue_id: hall })
    // No command allows this.
    const deletion = randomUUID()
    await db.admin`update app.venues set deleted_at = now() - interval '31 days', deletion_id = ${deletion} where id = ${hall}`
    const other = await deleted(server, ana, 31)
    const report = {
      deletions: 1,
      kept: 1,
      failed: 0,
      because: [{ organization_id: ana.organization, deletion_id: deletion, kept_by: 'shows_venue_exists' }],
    }
    t.match(await purge(db), report)
    t.strictSame([await exists(db, 'venues', hall), await exists(db, 'shows', other)], [true, false])
    t.match(await call(`GET /api/shows/${show}`, { token: ana.token }), { body: { venue_id: hall } })
    await call(`PATCH /api/shows/${show}`, { token: ana.token, body: { venue_id: null } })
    t.match(await purge(db), { deletions: 1, kept: 0 })
  })

  await t.test('does not purge parts that were not deleted with it', async t => {
    const ana = await register(server, 'Ana')
    const show = await deleted(server, ana, 31)
    await db.admin.unsafe(`
      create table app.parts (organization_id uuid not null, id uuid not null default gen_random_uuid(), show_id uuid not null,
        deleted_at timestamptz, deleted_by uuid, deletion_id uuid, primary key (organization_id, id),
        constraint parts_show_exists foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete cascade);
      grant select, delete on app.parts to callboard_definer; grant update (deleted_at) on app.parts to callboard_definer;
      create table app.notes (organization_id uuid not null, id uuid not null default gen_random_uuid(), show_id uuid, primary key (organization_id, id),
        deleted_at timestamptz, deleted_by uuid, deletion_id uuid,
        foreign key (organization_id, show_id) references app.shows (organization_id, id) on delete set null (show_id));
      grant select on app.notes to callboard_definer`)
    t.teardown(() => db.admin`drop table app.parts, app.notes`)
    await db.admin`insert into app.parts (organization_id, show_id) values (${ana.organization}, ${show})`
    await db.admin`insert into app.notes (organization_id, show_id) values (${ana.organization}, ${show})`
    t.match(await purge(db), {
      deletions: 0,
      failed: 0,
      busy: 0,
      kept: 1,
      because: [{ kept_by: 'parts_show_exists' }],
    })
    t.ok(await exists(db, 'shows', show))
    // One being written when the purge looks: it must neither find its show gone nor be purged with it.
    await db.admin`delete from app.parts`
    let purging = Promise.resolve<Partial<Purged>>({})
    await db.admin.begin(async sql => {
      await sql`insert into app.parts (organization_id, show_id) values (${ana.organization}, ${show})`
      purging = purge(db)
      const waits = until(async () => {
        const { count } = await db.admin`
          select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
        return count > 0
      })
      await Promise.race([purging, waits.catch(() => {})])
    })
    t.match(await purging, { deletions: 0, busy: 1 })
    t.equal((await db.admin`select from app.parts`).count, 1)
    await db.admin`
      update app.parts p set deleted_at = s.deleted_at, deletion_id = s.deletion_id from app.shows s where s.id = p.show_id`
    t.match(await purge(db), { deletions: 1, rows: 2, kept: 0 })
    t.strictSame(
      [...(await db.admin`select show_id from app.notes`)],
      [{ show_id: null }],
      'a reference that is set null is cleared',
    )
  })

  await t.test('that cannot be purged in one organization does not stop the others', async t => {
    const [ana, bob] = [await register(server, 'Ana'), await register(server, 'Bob')]
    const [bad, good] = [await deleted(server, ana, 31), await deleted(server, bob, 31)]
    await db.admin.unsafe(`
      create function app_private.tg_fail() returns trigger language plpgsql as
        $$ begin if old.organization_id = '${ana.organization}' then raise 'the disk is full'; end if; return old; end $$;
      create trigger fail before delete on app.shows for each row execute function app_private.tg_fail()`)
    t.match(await purge(db), {
      deletions: 1,
      failed: 1,
      because: [{ organization_id: ana.organization, failed_with: 'the disk is full' }],
    })
    t.strictSame([await exists(db, 'shows', bad), await exists(db, 'shows', good)], [true, false])
    await db.admin`drop function app_private.tg_fail() cascade`
    t.match(await purge(db), { deletions: 1, failed: 0 })
  })

  await t.test('is purged in parts, each continuing after the previous one', async t => {
    const ana = await register(server, 'Ana')
    const bob = await register(server, 'Bob')
    for (const who of [ana, bob, ana, bob, ana]) await deleted(server, who, 40)
    // What is kept is not retried again and again.
    await db.admin`insert into app.legal_holds (organization_id, reason, placed_by) values (${bob.organization}, 'x', null)`
    const parts: Purged[] = []
    for (let behind: unknown = null, n = 0; n < 10; n += 1) {
      const [{ done }] = await db.as('callboard_worker')<[{ done: Purged }]>`
        select app.purge_deleted(${behind === null ? null : db.admin.json(behind as string[])}, 2) as done`
      parts.push(done)
      behind = done.next
      if (behind === null) break
    }
    t.match(
      parts.map(({ deletions, next }) => [deletions, next === null]),
      [
        [2, false],
        [1, true],
      ],
    )
    await db.admin`update app.legal_holds set released_at = now() where organization_id = ${bob.organization}`
    t.match(await purge(db), { deletions: 2, next: null })
  })

  await t.test('is left alone while somebody restores it', async t => {
    const ana = await register(server, 'Ana')
    const show = await deleted(server, ana, 31)
    await db.admin.begin(async sql => {
      await sql`select from app.shows where id = ${show} for no key update`
      t.match(await purge(db), { deletions: 0, busy: 1, failed: 0, kept: 0 })
    })
    t.match(await purge(db), { deletions: 1, busy: 0 })
  })

  await t.test('is there completely or not at all when the purge is killed', async t => {
    const ana = await register(server, 'Ana')
    const pairs: string[][] = []
    for (let n = 0; n < 6; n += 1) {
      const pair = [await deleted(server, ana, 40 - n), await deleted(server, ana, 40 - n, 'venues', aVenue)]
      const together = randomUUID()
      await db.admin`update app.shows set deletion_id = ${together} where id = ${pair[0] ?? ''}`
      await db.admin`update app.venues set deletion_id = ${together} where id = ${pair[1] ?? ''}`
      pairs.push(pair)
    }
    await db.admin.unsafe(`
      create function app_private.tg_wait() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return old; end $$;
      create trigger wait before delete on app.shows for each row when (old.id = '${pairs[4]?.[0] ?? ''}') execute function app_private.tg_wait()`)
    const here = openLogin(t, db.url('callboard_worker'))
    const part = async (behind: unknown[] | null) => {
      const [row] = await here<[{ done: Purged }]>`
        select app.purge_deleted(${behind === null ? null : db.admin.json(behind as string[])}, 2) as done`
      return row.done
    }
    const left = async () => {
      const found: string[] = []
      for (const [show = '', venue = ''] of pairs) {
        const both = [await exists(db, 'shows', show), await exists(db, 'venues', venue)]
        found.push(both.every(Boolean) ? 'whole' : both.some(Boolean) ? 'half' : 'gone')
      }
      return found
    }
    const first = await part(null)
    const second = await part(first.next)
    t.match([first, second], [{ deletions: 2 }, { deletions: 2 }])
    const killed = t.rejects(part(second.next))
    await until(async () => {
      const { count } = await db.admin`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and usename = 'callboard_worker' and wait_event = 'PgSleep'`
      return count > 0
    })
    await killed
    t.strictSame(await left(), ['gone', 'gone', 'gone', 'gone', 'whole', 'whole'])
    await db.admin`drop function app_private.tg_wait() cascade`
    t.match(await purge(db), { deletions: 2 })
    t.strictSame(new Set(await left()), new Set(['gone']))
  })

  await t.test('is purged by the worker, and by nobody else', async t => {
    for (const role of ['callboard_api', 'callboard_support', 'callboard_auditor'])
      await t.rejects(db.as(role)`select app.purge_deleted()`, { code: '42501' }, role)
    for (const role of ['callboard_api', 'callboard_worker', 'callboard_support', 'callboard_auditor'])
      for (const { name } of await softTables(db))
        t.match(
          await db.admin`select has_table_privilege(${role}, ${name}, 'delete') as may`,
          [{ may: false }],
          `${role} on ${name}`,
        )
    const ana = await register(server, 'Ana')
    const show = await deleted(server, ana, 31)
    const asDefiner = (organization: string, days: number) =>
      db.admin.begin(async sql => {
        await sql`set local session_replication_role = replica`
        await sql`update app.shows set deleted_at = now() - ${days} * interval '1 day' where id = ${show}`
        await sql`set local session_replication_role = origin`
        await sql`select app_private.set_context(null, null, ${organization}, 'purge')`
        await sql`set local role callboard_definer`
        const { count } = await sql`delete from app.shows where id = ${show}`
        await sql`rollback and chain`
        return count
      })
    const bob = await register(server, 'Bob')
    t.equal(await asDefiner(ana.organization, 31), 1)
    t.equal(await asDefiner(bob.organization, 31), 0, 'not in the context of another organization')
    t.equal(await asDefiner(ana.organization, 0.9), 0, 'nothing newer than a day, whatever a function says')
  })
})

t.test('every table with soft delete', async t => {
  const server = await startServer(t)
  const { db, call } = server
  const tables = (await softTables(db)).filter(({ name }) => name !== 'app.organizations')
  t.ok(tables.length >= 5)
  const other = await makeTenant(server, `zqk${randomUUID().slice(0, 8)}`)

  await t.test('loses its rows when they are deleted themselves', async t => {
    const tenant = await makeTenant(server, `zqt${randomUUID().slice(0, 8)}`)
    const before = await print(db, other)
    const deletion = randomUUID()
    const count = async () => {
      const counted: Record<string, number> = {}
      for (const { name } of tables)
        counted[name] = (
          await db.admin.unsafe(`select from ${name} where organization_id = $1`, [tenant.organization])
        ).count
      return counted
    }
    const had = await count()
    for (const { name } of tables) t.ok(Number(had[name]) > 0, `${name} has rows`)
    await db.admin.begin(async sql => {
      await sql`set local session_replication_role = replica`
      for (const { name } of tables)
        await sql.unsafe(
          `update ${name} set deleted_at = now() - interval '41 days', deletion_id = $2 where organization_id = $1`,
          [tenant.organization, deletion],
        )
    })
    t.match(await purge(db), {
      deletions: 1,
      rows: Object.values(had).reduce((sum, n) => sum + n, 0),
      because: [],
    })
    for (const [name, n] of Object.entries(await count())) t.equal(n, 0, name)
    t.strictSame(await print(db, other), before)
  })

  await t.test('and every other one loses its rows with the organization', async t => {
    // Before and after, so that the figures of this organization are apart from those of all.
    await refresh(db)
    const tenant = await makeTenant(server, `zqg${randomUUID().slice(0, 8)}`)
    await refresh(db)
    await sealEvents(db.admin)
    t.strictSame(await emptyTables(db, tenant), [])
    const before = await print(db, other)
    const { organization, owner, marker } = tenant
    const [slug] = await db.admin<
      { slug: string }[]
    >`select slug from app.organizations where id = ${organization}`
    t.equal(outcome(await call(`DELETE /api/organizations/${organization}`, { token: owner.token })), '204')
    await age(db, organization, 41)
    t.match(await purge(db), { organizations: 1, because: [], next: null })
    // The worker drops the logins of its BI tools once nobody is connected through them.
    await db.as('callboard_worker')`select app.reconcile_bi_logins()`

    // What the log needs, and what keeps an old link from leading to another organization.
    const outlives = /^app\.(event_log\w*|event_seals|event_retentions)$|^app_private\.slugs$/
    const withOrganization = await db.admin<{ name: string }[]>`
      select c.oid::regclass::text as name from pg_class c join pg_attribute a on a.attrelid = c.oid
      where c.relkind in ('r', 'p') and a.attname = 'organization_id' and c.relnamespace in ('app'::regnamespace, 'app_private'::regnamespace, 'analytics_private'::regnamespace)`
    t.ok(withOrganization.length > tables.length)
    for (const { name } of withOrganization) {
      const { count } = await db.admin.unsafe(`select from ${name} where organization_id = $1 limit 1`, [
        organization,
      ])
      if (!outlives.test(name)) t.equal(count, 0, `${name} has nothing of it`)
    }
    t.notOk(await exists(db, 'organizations', organization))
    t.strictSame(await print(db, other), before, 'other organizations are unchanged')
    t.match(await verify(db, organization), { ok: true, unsealed: 0 }, 'the chain of its events is intact')
    const written = await db.admin<{ action: string; text: string }[]>`
      select action, l::text as text from app.event_log l where organization_id = ${organization} and actor_kind = 'system'
        and action like '%.purge'`
    for (const resource of ['organization', 'show', 'venue', 'member', 'invitation', 'role', 'legal_hold'])
      t.ok(
        written.some(({ action }) => action === `${resource}.purge`),
        `${resource}.purge`,
      )
    t.notOk(
      written.some(({ text }) => text.includes(marker)),
      'what is logged of the purge reveals nothing of what there was',
    )
    t.match(
      await db.admin`select action from app.event_log where organization_id = ${organization}
        and occurred_at = (select max(occurred_at) from app.event_log where organization_id = ${organization}) and action not like '%.purge'`,
      [],
      'and nothing else is logged of it',
    )

    await t.test('but its people, its address and its log', async t => {
      const restored = await call(`POST /api/organizations/${organization}/restore`, { token: owner.token })
      t.equal(outcome(restored), '404 not_found')
      t.equal(outcome(await call('GET /api/me', { token: owner.token })), '200', 'the account is there')
      t.equal(outcome(await call('GET /api/shows', { token: owner.token })), '403 membership_revoked')
      const next = await register(server, 'Newcomer', `Company ${marker}`)
      const [again] = await db.admin<{ slug: string }[]>`
        select slug from app.organizations where id = ${next.organization}`
      t.equal(again?.slug, `${slug?.slug ?? ''}-2`, 'its slug leads to no other organization')
      t.equal(
        outcome(await call(`GET /api/organizations/${slug?.slug ?? ''}`, { token: next.token })),
        '404 not_found',
      )
      t.match(
        await db.as('callboard_auditor')`select id from app.audited_organizations(${slug?.slug ?? ''})`,
        [{ id: organization }],
        'except an auditor, to the log',
      )
    })
  })
})
