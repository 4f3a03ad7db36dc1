import { readdirSync, readFileSync } from 'node:fs'
import { anItinerary } from '../support/itineraries.ts'
import { t } from '../support/tap.ts'
import {
  aShow,
  type Answer,
  confirmed,
  join,
  mailedToken,
  password,
  type Person,
  register,
  signIn,
  startDatabase,
  startServer,
  type TestServer,
} from '../support/helper.ts'
import { notLogged } from './not-logged.ts'
import { outcome } from '../support/tokens.ts'
import { openLogin, secretOf } from '../isolation/world.ts'

interface Event extends Record<string, unknown> {
  id: string
  occurred_at: string
  actor_kind: string
  actor_id: string | null
  actor_name: string | null
  action: string
  resource_type: string
  resource_id: string | null
  changes: { old?: Record<string, unknown>; new?: Record<string, unknown> } | null
  request_id: string | null
  ip: string | null
  session_id: string | null
}
type Events = Answer<{ items: Event[]; next_cursor: string | null }>

const list = async ({ call }: TestServer, { token }: Person, query = '') =>
  (await call(`GET /api/audit/events?limit=200${query}`, { token })) as unknown as Events
/** What was logged since, oldest first, without reads. */
async function logged(server: TestServer, person: Person, work: () => Promise<unknown>): Promise<Event[]> {
  const before = new Set((await list(server, person)).body.items.map(({ id }) => id))
  await work()
  const { body } = await list(server, person)
  return body.items.filter(({ id, action }) => !before.has(id) && action !== 'audit.read').reverse()
}
const actions = (events: Event[]) => events.map(({ action }) => action)

/** What a table logs of its rows: new ones by statement, changes and deletions by row. */
const whole = ['INSERT STATEMENT', 'UPDATE ROW', 'DELETE ROW']
/** Their rows are never deleted by anybody, and each new one is an event with a name of its own. */
const ofAccounts = ['app.users', 'app.sessions', 'app_private.credentials']

t.test('every table is logged, or a reason is given', async t => {
  const { admin } = await startDatabase(t)
  const tables = await admin<{ name: string; logs: string[]; bytes: string[] }[]>`
    with triggers as (
      select g.tgrelid, g.tgtype, g.tgattr, g.tgqual, string_to_array(encode(g.tgargs, 'escape'), '\\000') as arguments
      from pg_trigger g where g.tgname in ('_900_event', '_900_events') and g.tgenabled = 'O')
    select c.oid::regclass::text as name,
      -- After it, of every column, and without a condition.
      array(select x.event || case when g.tgtype & 1 = 1 then ' ROW' else ' STATEMENT' end
        from (values (4, 'INSERT'), (16, 'UPDATE'), (8, 'DELETE')) as x (bit, event) join triggers g on g.tgtype & x.bit > 0
        where g.tgrelid = c.oid and g.tgtype & 66 = 0 and g.tgattr = '' and g.tgqual is null
        order by x.bit = 8, x.bit = 16) as logs,
      -- What the generic triggers would write of a secret.
      array(select a.attname::text from pg_attribute a join triggers g on g.tgrelid = a.attrelid
        where a.attrelid = c.oid and cardinality(g.arguments) > 5 and a.atttypid = 'bytea'::regtype
          and not a.attname = any (g.arguments[5]::text[])) as bytes
    from pg_class c where c.relkind in ('r', 'p') and not c.relispartition
      and c.relnamespace in ('app'::regnamespace, 'app_private'::regnamespace, 'analytics_private'::regnamespace) order by 1`
  for (const { name, logs, bytes } of tables) {
    const expected = name in notLogged ? [] : ofAccounts.includes(name) ? ['INSERT ROW', 'UPDATE ROW'] : whole
    t.strictSame(logs, expected, `${name}: ${notLogged[name] ?? 'logged'}`)
    t.strictSame(bytes, [], `${name} shows no hashes`)
  }
  for (const name of [...Object.keys(notLogged), ...ofAccounts])
    t.ok(
      tables.some(table => table.name === name),
      `${name} exists`,
    )
  await t.rejects(
    admin.unsafe(`
      create table app.pages (organization_id uuid, id uuid) partition by list (id);
      select app_private.log_changes('app.pages', 'page')`),
    /not an ordinary table/,
    'statement triggers would miss what is inserted into a partition',
  )
})

t.test('many rows of one statement', async t => {
  const server = await startServer(t)
  const ana = await register(server, 'Ana')
  const ben = await register(server, 'Ben')
  const { admin, url } = server.db
  const sql = openLogin(t, url('callboard_api'))
  /** What is logged of the venues that a statement inserts, in order. */
  const logged = async (city: string) =>
    (await admin`
      select e.organization_id, actor_kind, actor_id, session_id is not null as has_session, action, resource_type, request_id, host(ip) as ip,
        changes #>> '{new,name}' as name, changes, e.resource_id = v.id as is_its_own
      from app.event_log e join app.venues v on v.id = e.resource_id where v.city = ${city} order by e.occurred_at, e.id`) as unknown as Event[]
  const named = (from: string) => `
    insert into app.venues (name, city, country, time_zone)
    select 'Venue ' || n, '${from}', 'NL', 'Europe/Amsterdam' from generate_series(1, 3000) as n`

  await t.test('are logged as single ones are, in their order', async t => {
    await sql.begin('read write', async tx => {
      await tx`select app.enter(${secretOf(ana)}, ${ana.organization}, 'many', '192.0.2.7')`
      await tx.unsafe(named('Utrecht'))
    })
    const events = await logged('Utrecht')
    t.strictSame(
      events.map(({ name }) => name),
      Array.from({ length: 3000 }, (_, n) => `Venue ${n + 1}`),
    )
    const [first] = events
    t.strictSame(first, {
      ...{ organization_id: ana.organization, actor_kind: 'user', actor_id: ana.id, has_session: true },
      ...{ action: 'venue.create', resource_type: 'venue', request_id: 'many', ip: '192.0.2.7' },
      name: 'Venue 1',
      changes: {
        new: { name: 'Venue 1', city: 'Utrecht', country: 'NL', time_zone: 'Europe/Amsterdam' },
      },
      is_its_own: true,
    })
    for (const { name, ...event } of events)
      t.strictSame({ ...event, name: '', changes: null }, { ...first, name: '', changes: null }, String(name))
  })

  await t.test(
    'of several organizations are each logged in their own, and only for those who may',
    async t => {
      const both = (name: string) => `
      insert into app.venues (organization_id, name, city, country, time_zone)
      select o, 'Venue', '${name}', 'NL', 'Europe/Amsterdam' from unnest(array['${ana.organization}', '${ben.organization}']::uuid[]) as o`
      await admin.unsafe(both('Breda'))
      await admin.begin(async tx => {
        await tx`select app.enter(${secretOf(ana)}, ${ana.organization})`
        await tx.unsafe(both('Zwolle'))
      })
      const who = async (city: string) =>
        (await logged(city)).map(({ organization_id, actor_kind, actor_id }) => [
          organization_id,
          actor_kind,
          actor_id,
        ])
      t.strictSame(
        await who('Breda'),
        [ana, ben].map(({ organization }) => [organization, 'system', null]).sort(),
        'by a DBA',
      )
      t.strictSame(
        (await who('Zwolle')).sort(),
        [ana, ben].map(({ organization }) => [organization, 'user', ana.id]).sort(),
        'by a DBA with the context of a member',
      )
    },
  )

  await t.test('that turn out to be none are no event, and need no context', async t => {
    const before = await admin`select count(*) from app.event_log`
    await sql.begin('read write', async tx => {
      await tx.unsafe(`${named('Nowhere')} where n > 3000`)
    })
    t.strictSame(await admin`select count(*) from app.event_log`, before)
  })
})

t.test('what is done', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  const { token } = ana

  await t.test('to a row is logged, with who, from where, and what has changed', async t => {
    const requestId = 'the-id-of-this-request'
    let id = ''
    const events = await logged(server, ana, async () => {
      const made = await call<{ id: string }>('POST /api/shows', {
        token,
        body: aShow,
        headers: { 'x-request-id': requestId },
      })
      id = made.body.id
      await call(`PATCH /api/shows/${id}`, { token, body: { status: 'hold', notes: 'Load-in at 14:00' } })
      await call(`PATCH /api/shows/${id}`, { token, body: { status: 'hold' } })
      await call(`DELETE /api/shows/${id}`, { token })
      await call(`POST /api/shows/${id}/restore`, { token })
    })
    t.strictSame(actions(events), ['show.create', 'show.update', 'show.delete', 'show.restore'])
    const [created, updated, deleted] = events
    t.match(created, {
      actor_kind: 'user',
      actor_id: ana.id,
      actor_name: 'Ana',
      resource_type: 'show',
      resource_id: id,
      request_id: requestId,
      ip: '127.0.0.1',
      session_id: /^[0-9a-f-]{36}$/,
    })
    t.strictSame(created?.changes, { new: { ...aShow, status: 'inquiry', tickets_sold: 0 } })
    t.strictSame(updated?.changes, {
      old: { status: 'inquiry', notes: null },
      new: { status: 'hold', notes: 'Load-in at 14:00' },
    })
    t.strictSame(Object.keys(deleted?.changes?.new ?? {}).sort(), ['deleted_at', 'deletion_id'])
    t.strictSame(
      (await call(`GET /api/audit/events/${created?.id ?? ''}`, { token })).body,
      { ...created },
      'and can be read by its id',
    )
  })

  await t.test('but refused is not logged, because it was not done', async t => {
    const viewer = await join(server, ana, 'viewer')
    const events = await logged(server, ana, async () => {
      t.equal((await call('POST /api/shows', { token: viewer.token, body: aShow })).status, 403)
      t.equal(
        (await call('POST /api/shows', { token, body: { ...aShow, show_on: '2027-02-30' } })).status,
        400,
      )
    })
    t.strictSame(events, [])
  })

  await t.test('to what belongs to a row is logged with the same deletion', async t => {
    const bob = await register(server, 'Bob')
    await call('POST /api/shows', { token: bob.token, body: aShow })
    await call(`DELETE /api/organizations/${bob.organization}`, { token: bob.token })
    await call(`POST /api/organizations/${bob.organization}/restore`, { token: ana.token })
    const again = await call(`POST /api/organizations/${bob.organization}/restore`, { token: bob.token })
    t.equal(again.status, 200)
    const { body } = await list(server, bob)
    const byAction = Object.fromEntries(body.items.map(event => [event.action, event]))
    const deletion = byAction['organization.delete']?.changes?.new?.['deletion_id']
    t.ok(deletion)
    for (const action of ['show.delete', 'member.remove'])
      t.equal(byAction[action]?.changes?.new?.['deletion_id'], deletion, action)
    for (const action of ['organization.restore', 'show.restore', 'member.add'])
      t.equal(byAction[action]?.actor_id, bob.id, action)
  })

  await t.test('to members and invitations is logged', async t => {
    const mia = await confirmed(server, await register(server, 'Mia'))
    const nia = await confirmed(server, await register(server, 'Nia'))
    const invite = async (email: string) =>
      (await call<{ id: string }>('POST /api/invitations', { token, body: { email, role: 'viewer' } })).body
        .id
    const events = await logged(server, ana, async () => {
      await call('POST /api/users', {
        token,
        body: { email: mia.email, display_name: 'Mia', role: 'viewer' },
      })
      await call(`PATCH /api/users/${mia.id}`, { token, body: { role: 'admin' } })
      await call(`DELETE /api/users/${mia.id}`, { token })
      await call('POST /api/users', {
        token,
        body: { email: 'new@example.com', display_name: 'New', role: 'viewer' },
      })
      await call(`POST /api/invitations/${await invite(nia.email)}/resend`, { token })
      await call(`DELETE /api/invitations/${await invite('gone@example.com')}`, { token })
      const link = await mailedToken(server, 'invitation', nia.email)
      t.equal(
        (await call('POST /api/invitations/accept', { token: nia.token, body: { token: link } })).status,
        200,
      )
      await call(`POST /api/organizations/${ana.organization}/transfer`, { token, body: { user_id: nia.id } })
      await call(`PATCH /api/users/${ana.id}`, {
        token: (await signIn(server, nia.email, ana.organization)).token,
        body: { role: 'owner' },
      })
    })
    t.strictSame(actions(events), [
      'member.add',
      'member.change_role',
      'member.remove',
      'user.create',
      'member.add',
      'invitation.create',
      'invitation.resend',
      'invitation.create',
      'invitation.revoke',
      'invitation.accept',
      'member.add',
      'member.change_role',
      'member.change_role',
      'auth.sign_in',
      'member.change_role',
    ])
    t.match(events[1]?.changes, { old: { role: 'viewer' }, new: { role: 'admin' } })
    t.match(
      events[9],
      { actor_id: nia.id, changes: { new: { accepted_by: nia.id } } },
      'she accepted herself',
    )
  })

  await t.test('to the organization and its settings is logged', async t => {
    const events = await logged(server, ana, async () => {
      await call(`PATCH /api/organizations/${ana.organization}`, { token, body: { name: 'Renamed' } })
      t.equal((await call('PUT /api/audit/retention', { token, body: { days: 90 } })).status, 200)
      await call('PUT /api/audit/retention', { token, body: { days: 200 } })
      t.equal(
        outcome(await call('PUT /api/audit/retention', { token, body: { days: 89 } })),
        '422 event_retentions_days_range',
      )
      t.strictSame((await call('GET /api/audit/retention', { token })).body, { days: 200 })
    })
    t.strictSame(actions(events), ['organization.update', 'audit.set_retention', 'audit.set_retention'])
    t.match(events[0]?.changes, { new: { name: 'Renamed', slug: 'renamed' } })
    t.strictSame(events[2]?.changes, { old: { days: 90 }, new: { days: 200 } })
  })

  await t.test('to an account is logged where its user works', async t => {
    const wrong = { email: ana.email, password: 'not my password' }
    const events = await logged(server, ana, async () => {
      t.equal(outcome(await call('POST /api/auth/sign-in', { body: wrong })), '401 invalid_credentials')
      const elsewhere = { ...wrong, password, organization_id: '01980c5e-8c5e-7b4a-9d59-3f1de6a3c111' }
      t.equal(outcome(await call('POST /api/auth/sign-in', { body: elsewhere })), '403 membership_revoked')
      const second = await signIn(server, ana.email)
      await call('PATCH /api/me', { token, body: { display_name: 'Ana Lima' } })
      await call('POST /api/auth/email/verify', {
        body: { token: await mailedToken(server, 'verify_email', ana.email) },
      })
      await call('POST /api/auth/password/change', {
        token,
        body: { current_password: password, new_password: password },
      })
      t.equal((await call('GET /api/me', { token: second.token })).status, 401)
      const third = await signIn(server, ana.email)
      await call('POST /api/auth/sign-out', { token: third.token })
      await call('POST /api/auth/password/forgot', { body: { email: ana.email } })
    })
    const kinds = events.map(({ action, actor_kind, actor_id }) => [action, actor_kind, actor_id === ana.id])
    t.strictSame(kinds, [
      ['auth.sign_in_failed', 'anonymous', false],
      ['auth.sign_in_failed', 'anonymous', false],
      ['auth.sign_in', 'user', true],
      ['user.update', 'user', true],
      ['auth.email_verified', 'anonymous', false],
      ['auth.password_changed', 'user', true],
      ['auth.session_revoked', 'user', true],
      ['auth.sign_in', 'user', true],
      ['auth.sign_out', 'user', true],
    ])
    t.match(events[0], {
      ip: '127.0.0.1',
      request_id: /./,
      resource_id: ana.id,
      changes: { new: { problem: 'invalid_credentials' } },
    })
    t.strictSame(events[3]?.changes, { old: { display_name: 'Ana' }, new: { display_name: 'Ana Lima' } })
  })

  await t.test('by a thief of a refresh token is logged, without a name', async t => {
    const kim = await register(server, 'Kim')
    const refresh = () =>
      call<{ refresh_token: string }>('POST /api/auth/refresh', { body: { refresh_token: kim.refreshToken } })
    const { body: next } = await refresh()
    await call('POST /api/auth/refresh', { body: { refresh_token: next.refresh_token } })
    await server.db.admin`update app_private.refresh_tokens set used_at = used_at - interval '11 seconds'`
    t.equal(outcome(await refresh()), '401 refresh_token_reused')
    const { body } = await list(server, await signIn(server, kim.email))
    t.match(
      body.items.find(({ action }) => action === 'auth.refresh_token_reused'),
      {
        actor_kind: 'anonymous',
        actor_id: null,
      },
    )
  })

  await t.test('by a new password from a mailed link, and a move to another organization, too', async t => {
    const lea = await register(server, 'Lea')
    const other = await call<{ id: string }>('POST /api/organizations', {
      token: lea.token,
      body: { name: 'Other' },
    })
    await call('POST /api/auth/password/forgot', { body: { email: lea.email } })
    await call('POST /api/auth/password/reset', {
      body: { token: await mailedToken(server, 'reset_password', lea.email), password },
    })
    const back = await signIn(server, lea.email)
    await call('POST /api/auth/switch', { token: back.token, body: { organization_id: other.body.id } })
    const first = actions((await list(server, await signIn(server, lea.email, lea.organization))).body.items)
    for (const action of [
      'auth.register',
      'organization.create',
      'member.add',
      'auth.password_reset',
      'auth.session_revoked',
    ])
      t.ok(first.includes(action), action)
    const second = (await list(server, await signIn(server, lea.email, other.body.id))).body.items
    const moved = second.find(({ action }) => action === 'auth.switch_organization')
    t.match(moved, { actor_id: lea.id, changes: null })
    t.notOk(JSON.stringify(second).includes(lea.organization), 'which learns of no other organization')
  })

  await t.test('with an unknown address keeps only a hash of it, in no organization', async t => {
    const typed = 'my-secret-password@example.com'
    t.equal(
      outcome(await call('POST /api/auth/sign-in', { body: { email: typed, password } })),
      '401 invalid_credentials',
    )
    const found = await server.db.admin<{ row: string; organization_id: string; ip: string }[]>`
      select e::text as row, organization_id, host(ip) as ip from app.event_log e
      where action = 'auth.sign_in_failed' and resource_id is null`
    t.match(found, [{ organization_id: '00000000-0000-0000-0000-000000000000', ip: '127.0.0.1' }])
    t.match(found[0]?.row, /address_hash.*[0-9a-f]{64}/)
    t.notMatch(found[0]?.row, /my-secret-password/)
  })

  await t.test("by a DBA, in no request, is the system's", async t => {
    await server.db.admin`update app.venues set capacity = 12 where organization_id = ${ana.organization}`
    const made = await call<{ id: string }>('POST /api/venues', {
      token,
      body: { name: 'Vera', city: 'Groningen', country: 'NL', time_zone: 'Europe/Amsterdam' },
    })
    await server.db.admin`update app.venues set capacity = 12 where id = ${made.body.id}`
    await server.db.admin`delete from app.venues where id = ${made.body.id}`
    const { body } = await list(server, ana, `&resource_id=${made.body.id}`)
    t.match(
      body.items.map(({ action, actor_kind, request_id }) => [action, actor_kind, request_id === null]),
      [
        ['venue.delete', 'system', true],
        ['venue.update', 'system', true],
        ['venue.create', 'user', false],
      ],
    )
    t.equal(body.items[0]?.changes, null, 'what is purged leaves no copy')
    await server.db
      .admin`update app.sessions set revoked_at = now(), revoked_because = 'revoked' where user_id = ${ana.id} and revoked_at is null`
    t.match(
      (await list(server, await signIn(server, ana.email), '&action=auth.session_revoked')).body.items[0],
      {
        actor_kind: 'system',
        actor_id: null,
      },
    )
  })
})

t.test('the log', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const manager = await join(server, ana, 'manager')
  const ids: string[] = []
  for (let n = 0; n < 5; n += 1)
    ids.push(
      (await call<{ id: string }>('POST /api/shows', { token: n % 2 ? manager.token : token, body: aShow }))
        .body.id,
    )

  await t.test('is filtered by who, what, which and when', async t => {
    const find = async (query: string) => (await list(server, ana, query)).body.items
    t.equal((await find('&action=show.create')).length, 5)
    t.equal((await find(`&action=show.create&actor_id=${manager.id}`)).length, 2)
    t.equal((await find(`&resource_id=${ids[0] ?? ''}`)).length, 1)
    t.equal((await find('&resource_type=show')).length, 5)
    const [, , middle] = await find('&action=show.create')
    const at = encodeURIComponent(middle?.occurred_at ?? '')
    t.equal((await find(`&action=show.create&from=${at}`)).length, 3)
    t.equal((await find(`&action=show.create&to=${at}`)).length, 2)
  })

  await t.test('comes in pages, from either end', async t => {
    for (const sort of ['occurred_at', '-occurred_at']) {
      const seen: string[] = []
      let cursor: string | null = ''
      while (cursor !== null) {
        const at: string = cursor === '' ? '' : `&cursor=${cursor}`
        const { body } = (await call(`GET /api/audit/events?limit=2&action=show.create&sort=${sort}${at}`, {
          token,
        })) as unknown as Events
        seen.push(...body.items.map(({ resource_id }) => resource_id ?? ''))
        cursor = body.next_cursor
      }
      t.strictSame(seen, sort === 'occurred_at' ? ids : [...ids].reverse(), sort)
    }
  })

  await t.test('records that it was read, and what was searched for', async t => {
    await call(`GET /api/audit/events?actor_id=${manager.id}&action=show.create`, { token })
    await call('GET /api/audit/verify', { token })
    const [, verified, read] = (await list(server, ana)).body.items
    t.match(verified, { action: 'audit.verify', actor_id: ana.id })
    t.match(read, {
      action: 'audit.read',
      actor_id: ana.id,
      changes: { new: { actor_id: manager.id, action: 'show.create' } },
    })
    const count = async () =>
      (
        await db.admin<
          [{ n: number }]
        >`select count(*)::int as n from app.event_log where action = 'audit.read'`
      )[0].n
    const before = await count()
    t.equal((await call('GET /api/audit/events', { token: manager.token })).status, 403)
    t.equal((await call('GET /api/audit/events?cursor=nonsense', { token })).status, 400)
    t.equal(await count(), before, 'not where nothing was read')
  })

  await t.test('is the only thing that a GET writes', async t => {
    const before = await db.admin`select max(xmin::text::bigint) as newest from app.event_log`
    for (const path of ['shows', 'users', 'venues', 'invitations', 'audit/retention'])
      t.equal((await call(`GET /api/${path}`, { token })).status, 200)
    t.strictSame(await db.admin`select max(xmin::text::bigint) as newest from app.event_log`, before)
    const folder = new URL('../../src/', import.meta.url)
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(file =>
      file.endsWith('.ts'),
    )
    t.strictSame(
      files.filter(file => readFileSync(new URL(file, folder), 'utf8').includes('.audited(')),
      ['audit/audit.ts'],
    )
  })
})

t.test('an address of IPv4 is the same on a socket for both versions', async t => {
  const server = await startServer(t, { TRUST_PROXY: '127.0.0.1' })
  const { token } = await register(server, 'Ana')
  for (const from of ['192.0.2.7', '::ffff:192.0.2.7', '::FFFF:192.0.2.7', '2001:db8::ffff:1', '::1'])
    await server.call('POST /api/venues', {
      token,
      body: { name: from, city: 'Riga', country: 'LV', time_zone: 'Europe/Riga' },
      headers: { 'x-forwarded-for': from },
    })
  const { body } = await server.call<{ items: { ip: string }[] }>(
    'GET /api/audit/events?action=venue.create&limit=5',
    { token },
  )
  t.strictSame(body.items.map(({ ip }) => ip).reverse(), [
    '192.0.2.7',
    '192.0.2.7',
    '192.0.2.7',
    '2001:db8::ffff:1',
    '::1',
  ])
})

t.test('a published itinerary is deleted and restored with its versions, each with an event', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const { token } = await register(server, 'Ana')
  const made = await call<{ id: string }>('POST /api/itineraries', { token, body: anItinerary })
  const of = `/api/itineraries/${made.body.id}`
  t.match(await call(`POST ${of}/publish`, { token, body: { note: null } }), { status: 201 })
  await call(`DELETE ${of}`, { token })
  await call(`POST ${of}/restore`, { token })
  const logged = await db.admin`
    select action, count(*)::integer as events from app.event_log
    where resource_id = ${made.body.id} and action in ('itinerary.delete', 'itinerary.restore') group by action order by action`
  t.same(logged, [
    { action: 'itinerary.delete', events: 2 },
    { action: 'itinerary.restore', events: 2 },
  ])
})
