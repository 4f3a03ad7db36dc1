import { t } from '../support/tap.ts'
import {
  aShow,
  join,
  type Person,
  register,
  startServer,
  superadmin,
  type TestServer,
  until,
} from '../support/helper.ts'
import { queue } from '../support/queue.ts'
import { outcome } from '../support/tokens.ts'

interface Hold {
  id: string
  reason: string
  placed_by: string | null
  placed_at: string
  released_by: string | null
  released_at: string | null
}
const place = async ({ call }: TestServer, { token }: Person, reason = 'A lawsuit') =>
  (await call<Hold>('POST /api/legal-holds', { token, body: { reason } })).body
const release = ({ call }: TestServer, { token }: Person, id: string) =>
  call<Hold>(`POST /api/legal-holds/${id}/release`, { token })
const slugOf = async ({ db }: TestServer, { organization }: Person) =>
  (await db.admin<[{ slug: string }]>`select slug from app.organizations where id = ${organization}`)[0].slug
const purge = async ({ db }: TestServer) =>
  (
    await db.as('callboard_worker')<[{ done: Record<string, unknown> }]>`select app.purge_deleted() as done`
  )[0].done
/** A show of the organization, deleted so many days ago. */
async function deletedShow({ call, db }: TestServer, { token }: Person, days = 31) {
  const { id } = (await call<{ id: string }>('POST /api/shows', { token, body: aShow })).body
  await call(`DELETE /api/shows/${id}`, { token })
  await db.admin`update app.shows set deleted_at = now() - ${days} * interval '1 day' where id = ${id}`
  return id
}
const shows = async ({ db }: TestServer, { organization }: Person) =>
  (await db.admin`select from app.shows where organization_id = ${organization}`).count

t.test('the retention of deleted rows', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const set = (deleted_days: number) => call('PUT /api/retention', { token, body: { deleted_days } })

  await t.test('is chosen by the owner, from a day to ten years', async t => {
    t.strictSame((await call('GET /api/retention', { token })).body, { deleted_days: 30, is_held: false })
    for (const days of [1, 3650, 7])
      t.strictSame((await set(days)).body, { deleted_days: days, is_held: false })
    t.equal(outcome(await set(3651)), '422 deletion_retentions_days_range')
    t.equal(outcome(await set(0)), '400 validation')
    t.strictSame((await call('GET /api/retention', { token })).body, { deleted_days: 7, is_held: false })
    const { body } = await call<{ items: object[] }>('GET /api/audit/events?action=retention.set', { token })
    t.match(body.items, [
      { changes: { old: { deleted_days: 3650 }, new: { deleted_days: 7 } } },
      { changes: { old: { deleted_days: 1 }, new: { deleted_days: 3650 } } },
      { actor_id: ana.id, resource_id: ana.organization, changes: { new: { deleted_days: 1 } } },
    ])
  })

  await t.test('applies to what is already in the bin, and to no other organization', async t => {
    const bob = await register(server, 'Bob')
    await deletedShow(server, ana, 8)
    await deletedShow(server, bob, 8)
    t.match(await purge(server), { deletions: 1 })
    t.strictSame([await shows(server, ana), await shows(server, bob)], [0, 1])
  })
})

t.test('a legal hold', async t => {
  const server = await startServer(t)
  const { call, db } = server

  await t.test('is placed with a reason, read, released once, and remains readable', async t => {
    const ana = await register(server, 'Ana')
    const { token } = ana
    const made = await call<Hold>('POST /api/legal-holds', { token, body: { reason: 'Lawsuit 12 O 345/26' } })
    t.equal(outcome(made), '201')
    t.equal(made.headers.location, `/api/legal-holds/${made.body.id}`)
    t.match(made.body, {
      reason: 'Lawsuit 12 O 345/26',
      placed_by: ana.id,
      released_by: null,
      released_at: null,
    })
    t.match((await call('GET /api/retention', { token })).body, { is_held: true })
    const second = await place(server, ana, 'Tax audit')
    const released = await release(server, ana, made.body.id)
    t.match(released.body, { released_by: ana.id, released_at: String })
    t.equal(outcome(await release(server, ana, made.body.id)), '409 legal_hold_released')
    t.match((await call('GET /api/retention', { token })).body, { is_held: true }, 'there is another one')
    const { body } = await call<{ items: Hold[] }>('GET /api/legal-holds', { token })
    t.strictSame(body.items, [second, released.body], 'the newest first')
    t.strictSame((await call(`GET /api/legal-holds/${made.body.id}`, { token })).body, released.body)
    await release(server, ana, second.id)
    t.match((await call('GET /api/retention', { token })).body, { is_held: false })
    const page = await call<{ items: Hold[]; next_cursor: string }>(
      'GET /api/legal-holds?sort=placed_at&limit=1',
      { token },
    )
    t.match(page.body.items, [{ id: made.body.id }])
    const events = await call<{ items: object[] }>('GET /api/audit/events?resource_type=legal_hold', {
      token,
    })
    t.match(events.body.items, [
      { action: 'legal_hold.release', resource_id: second.id, actor_id: ana.id },
      { action: 'legal_hold.release', resource_id: made.body.id },
      { action: 'legal_hold.place', resource_id: second.id },
      { action: 'legal_hold.place', changes: { new: { reason: 'Lawsuit 12 O 345/26' } } },
    ])
    for (const reason of ['  ', 'x'.repeat(501)])
      t.match(
        outcome(await call('POST /api/legal-holds', { token, body: { reason } })),
        /^(422 legal_holds_reason_given|400 validation)$/,
      )
    for (const reason of [' ', '\u200b\u00a0', '\u{e0041}'])
      t.equal(
        outcome(await call('POST /api/legal-holds', { token, body: { reason } })),
        '422 legal_holds_reason_given',
      )
  })

  await t.test('cannot be seen or released from outside the organization', async t => {
    const [ana, bob] = [await register(server, 'Ana'), await register(server, 'Bob')]
    const hold = await place(server, ana)
    t.equal(outcome(await call(`GET /api/legal-holds/${hold.id}`, { token: bob.token })), '404 not_found')
    t.equal(outcome(await release(server, bob, hold.id)), '404 not_found')
    t.strictSame((await call('GET /api/legal-holds', { token: bob.token })).body['items'], [])
    t.match((await call('GET /api/retention', { token: bob.token })).body, { is_held: false })
    const admin = await join(server, ana, 'admin')
    t.equal(outcome(await release(server, admin, hold.id)), '403 permission_denied')
    const support = await superadmin(server, await register(server, 'Support'), ana.organization)
    t.equal(outcome(await release(server, support, hold.id)), '403 permission_denied')
    t.match((await call('GET /api/retention', { token: support.token })).body, { is_held: true })
  })

  await t.test('keeps what was deleted until it is released', async t => {
    const [ana, bob] = [await register(server, 'Ana'), await register(server, 'Bob')]
    const kept = await deletedShow(server, ana)
    await deletedShow(server, bob)
    const [hold, other] = [await place(server, ana), await place(server, ana)]
    t.match(await purge(server), { deletions: 1, kept: 0, failed: 0 })
    t.strictSame([await shows(server, ana), await shows(server, bob)], [1, 0])
    await release(server, ana, hold.id)
    await purge(server)
    t.equal(await shows(server, ana), 1, 'one of two holds is enough')
    t.equal(
      outcome(await call(`POST /api/shows/${kept}/restore`, { token: ana.token })),
      '200',
      'and what it keeps can still be restored',
    )
    await call(`DELETE /api/shows/${kept}`, { token: ana.token })
    await db.admin`update app.shows set deleted_at = now() - interval '31 days' where id = ${kept}`
    await release(server, ana, other.id)
    t.match(await purge(server), { deletions: 1 })
    t.equal(await shows(server, ana), 0)
  })

  await t.test('keeps an organization that was deleted, until a DBA releases it', async t => {
    const ana = await register(server, 'Ana')
    const hold = await place(server, ana)
    await call(`DELETE /api/organizations/${ana.organization}`, { token: ana.token })
    const [deleted] = await db.admin<[{ id: string }]>`
      select deletion_id as id from app.organizations where id = ${ana.organization}`
    for (const { name } of await db.admin<
      { name: string }[]
    >`select marked::text as name from app_private.deletion_tables`)
      await db.admin`
        update ${db.admin.unsafe(name)} set deleted_at = now() - interval '31 days' where deletion_id = ${deleted.id}`
    t.match(await purge(server), { organizations: 0 })
    await db.admin`select app_private.release_legal_hold(${hold.id})`
    t.match(await purge(server), { organizations: 1 })
  })

  await t.test('keeps old events', async t => {
    const [ana, bob] = [await register(server, 'Ana'), await register(server, 'Bob')]
    const old = async ({ organization }: Person) =>
      (
        await db.admin`select from app.event_log where organization_id = ${organization} and action = 'show.create'
          and occurred_at < now() - interval '1 year'`
      ).count
    for (const { organization } of [ana, bob])
      await db.admin`
        insert into app.event_log (organization_id, actor_kind, action, resource_type, occurred_at, id)
        values (${organization}, 'system', 'show.create', 'show', now() - interval '400 days', gen_random_uuid())`
    const hold = await place(server, ana)
    // On a busy machine one part may not get to all of them.
    const purged = (of: Person) =>
      until(async () => {
        await db.admin`select app.seal_events('10 years')`
        await db.as('callboard_worker')`select app.purge_events()`
        return (await old(of)) === 0
      })
    await purged(bob)
    t.equal(await old(ana), 1)
    await release(server, ana, hold.id)
    await purged(ana)
  })

  await t.test('keeps the details of events, wherever else somebody works', async t => {
    const [ana, bob] = [await register(server, 'Ana'), await register(server, 'Bob')]
    const member = await join(server, ana, 'viewer', 'Mia')
    const hold = await place(server, ana)
    const erased = async (id: string) =>
      (
        await db.admin`select from app.event_log where (actor_id = ${id} or resource_id = ${id}) and erased_at is not null`
      ).count
    await t.rejects(db.admin`select app_private.erase_events(${member.id})`, {
      code: 'PT409',
      message: 'legal_hold',
    })
    t.equal(await erased(member.id), 0, 'nothing, in any organization')
    await db.admin`select app_private.erase_events(${bob.id})`
    t.ok((await erased(bob.id)) > 0, 'others can be forgotten')
    await release(server, ana, hold.id)
    await db.admin`select app_private.erase_events(${member.id})`
    t.ok((await erased(member.id)) > 0)
  })

  await t.test('by a DBA is visible to the organization, and can be released only by a DBA', async t => {
    const ana = await register(server, 'Ana')
    const [{ id }] = await db.admin<[{ id: string }]>`
      select app_private.place_legal_hold(${await slugOf(server, ana)}, 'Order of the court') as id`
    const read = () => call<Hold>(`GET /api/legal-holds/${id}`, { token: ana.token })
    t.match((await read()).body, { reason: 'Order of the court', placed_by: null })
    t.equal(outcome(await release(server, ana, id)), '409 legal_hold_not_yours')
    await deletedShow(server, ana)
    await purge(server)
    t.equal(await shows(server, ana), 1)
    await db.admin`select app_private.release_legal_hold(${id})`
    t.match((await read()).body, { released_by: null, released_at: String })
    await t.rejects(db.admin`select app_private.release_legal_hold(${id})`, { code: 'PT404' })
    await t.rejects(db.admin`select app_private.place_legal_hold('no-such-company', 'x')`, { code: 'PT404' })
    const { body } = await call<{ items: object[] }>(`GET /api/audit/events?resource_id=${id}`, {
      token: ana.token,
    })
    t.match(body.items, [
      { action: 'legal_hold.release', actor_kind: 'system', actor_id: null },
      { action: 'legal_hold.place', actor_kind: 'system', actor_id: null },
    ])
    await purge(server)
    t.equal(await shows(server, ana), 0)
    for (const role of ['callboard_api', 'callboard_worker', 'callboard_support'])
      await t.rejects(db.as(role)`select app_private.release_legal_hold(${id})`, { code: '42501' }, role)
  })

  await t.test('that was confirmed is respected by a purge in progress', async t => {
    const ana = await register(server, 'Ana')
    await deletedShow(server, ana)
    await deletedShow(server, ana)
    // The purge ends before the hold begins …
    const [placed] = await queue(
      db,
      sql => sql`
        select from (select set_config('role', 'callboard_worker', true)) x,
          app.purge_deleted(null, 1) p`,
      () => call<Hold>('POST /api/legal-holds', { token: ana.token, body: { reason: 'A lawsuit' } }),
    )
    t.equal(placed?.status, 201)
    t.equal(await shows(server, ana), 1)
    // … and one that found its work before the hold checks again.
    t.match(await purge(server), { deletions: 0 })
    t.equal(await shows(server, ana), 1)
    await release(server, ana, placed?.body.id ?? '')
    await db.admin.unsafe(`
      create function app_private.tg_hold() returns trigger language plpgsql as $$
      begin
        insert into app.legal_holds (reason) values ('In the middle');
        return old;
      end $$;
      create trigger hold before delete on app.shows for each row execute function app_private.tg_hold()`)
    await deletedShow(server, ana)
    t.match(await purge(server), { deletions: 1, kept: 0, failed: 0 })
    t.equal(await shows(server, ana), 1, 'the second of two is kept')
  })
})
