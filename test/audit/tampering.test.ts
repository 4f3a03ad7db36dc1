import { t } from '../support/tap.ts'
import {
  aShow,
  type Database,
  type Person,
  register,
  startServer,
  type TestServer,
} from '../support/helper.ts'
import { programArgs, run } from '../support/program.ts'
import { sealEvents } from '../support/sealing.ts'

interface Found {
  ok: boolean
  checked: number
  unsealed: number
  head: { seq: number; hash: string } | null
  purged_before: string | null
  next_after: number | null
  problem: { kind: string; seq: number; event_id: string | null; occurred_at: string | null } | null
}

const seal = ({ as }: Database, lookBack?: string) => sealEvents(as('callboard_worker'), lookBack)
const verify = async ({ as }: Database, organization: string, seq?: number, hash?: string) =>
  (
    await as('callboard_auditor')<[{ found: Found }]>`
      select app.verify_events(${organization}, ${seq ?? null}, ${hash ?? null}) as found`
  )[0].found
const script = (url: string, ...args: string[]) =>
  run(
    'env',
    `AUDITOR_DATABASE_URL=${url}`,
    process.execPath,
    ...programArgs('scripts/audit-verify.ts'),
    ...args,
  )

/** An organization with a sealed log. */
async function sealed(server: TestServer, name: string): Promise<Person> {
  const person = await register(server, name, `${name} and company`)
  for (let n = 0; n < 5; n += 1) await server.call('POST /api/shows', { token: person.token, body: aShow })
  // The categories that an organization starts with would only be more of the same.
  await server.db.admin`delete from app.event_log where action = 'finance_category.create'`
  await seal(server.db)
  return person
}

t.test('a log that nobody has tampered with', async t => {
  const server = await startServer(t)
  const { db, call } = server
  const ana = await sealed(server, 'Ana')
  const bob = await sealed(server, 'Bob')

  await t.test('is what was sealed, for its members and for an auditor', async t => {
    const { body } = await call<Record<keyof Found, unknown>>('GET /api/audit/verify', { token: ana.token })
    const found = await verify(db, ana.organization)
    // Registering is three events and signing in a fourth; then the shows.
    t.match(body, {
      ok: true,
      checked: 9,
      problem: null,
      next_after: null,
      head: { seq: 9, hash: found.head?.hash },
    })
    // Verifying is an event, which is not sealed yet.
    t.strictSame([body['unsealed'], found.unsealed], [1, 1])
    t.not(found.head?.hash, (await verify(db, bob.organization)).head?.hash)
  })

  await t.test('is sealed from where the last seal ended, once, in order of time', async t => {
    await call('POST /api/shows', { token: ana.token, body: aShow })
    // Each takes the other for a transaction in progress, and goes as far as the last look before it.
    await db.admin`select app_private.seal_horizon()`
    const both = await Promise.all([seal(db), seal(db)])
    t.equal(
      both.reduce((sum, n) => sum + n),
      2,
      'of two sealers, one does it',
    )
    t.equal(await seal(db), 0)
    const found = await verify(db, ana.organization)
    t.match(found, { ok: true, checked: 11, unsealed: 0 })
    const order = await db.admin<{ seq: string }[]>`
      select seq from app.event_seals where organization_id = ${ana.organization} order by occurred_at, event_id`
    t.strictSame(
      order.map(({ seq }) => Number(seq)),
      [...order.keys()].map(n => n + 1),
    )
  })

  await t.test('can be verified in parts', async t => {
    const part = async (query: string) =>
      (await call<Record<keyof Found, unknown>>(`GET /api/audit/verify?${query}`, { token: ana.token })).body
    t.match(await part('limit=4'), { ok: true, checked: 4, next_after: 4 })
    t.match(await part('limit=4&after=4'), { ok: true, checked: 4, next_after: 8 })
    t.match(await part('limit=4&after=8'), { ok: true, checked: 3, next_after: null })
    await db.admin`update app.event_log set action = 'show.update' where (organization_id, id) =
      (select organization_id, event_id from app.event_seals where organization_id = ${ana.organization} and seq = 6)`
    t.match(await part('limit=4'), { ok: true })
    t.match(await part('limit=4&after=4'), { ok: false, problem: { kind: 'changed', seq: 6 } })
    await db.admin`update app.event_log set action = 'show.create' where (organization_id, id) =
      (select organization_id, event_id from app.event_seals where organization_id = ${ana.organization} and seq = 6)`
  })

  await t.test('is complete even where a transaction ends late', async t => {
    const slow = db.as('callboard_api')
    await seal(db)
    const { sid } = JSON.parse(Buffer.from(bob.token.split('.')[1] ?? '', 'base64url').toString()) as {
      sid: string
    }
    await slow.begin(async sql => {
      await sql`set transaction read write`
      await sql`select app.enter(${sid}, ${bob.organization})`
      await sql`insert into app.shows (title, artist, show_on) values ('Late', 'x', '2027-01-01')`
      await call('POST /api/shows', { token: bob.token, body: { ...aShow, title: 'Early' } })
      t.equal(await seal(db), 0, 'what began later waits for it')
    })
    t.ok((await seal(db)) >= 2)
    const titles = await db.admin<{ title: string }[]>`
      select l.changes #>> '{new,title}' as title from app.event_seals s join app.event_log l on l.organization_id = s.organization_id and l.id = s.event_id
      where s.organization_id = ${bob.organization} order by s.seq desc limit 2`
    t.strictSame(
      titles.map(({ title }) => title),
      ['Early', 'Late'],
      'and comes after it',
    )
    t.match(await verify(db, bob.organization), { ok: true, unsealed: 0 })
  })

  await t.test('includes what a clock that was set back left behind', async t => {
    const at = (hours: number) => db.admin`
      insert into app.event_log (organization_id, actor_kind, action, resource_type, occurred_at, id)
      values (${bob.organization}, 'system', 'show.create', 'show', now() - ${hours} * interval '1 hour', gen_random_uuid())`
    await at(0.5)
    t.equal(await seal(db), 1)
    await at(30)
    t.equal(await seal(db), 0)
    t.equal(await seal(db, '10 years'), 1)
    t.match(await verify(db, bob.organization), { ok: true, unsealed: 0 })
  })
})

t.test('what a superuser has done to the log is found, and named', async t => {
  const server = await startServer(t)
  const { db } = server
  const { admin } = db
  const url = db.url('callboard_auditor')
  const cases: Record<
    string,
    { tamper: (organization: string, event: string) => Promise<unknown>; finds: object; says: RegExp }
  > = {
    'who did it changed': {
      tamper: (_, event) => admin`update app.event_log set actor_id = gen_random_uuid() where id = ${event}`,
      finds: { kind: 'changed', seq: 5 },
      says: /event 5 \(.*\) was changed after it was sealed/,
    },
    'what it changed changed': {
      tamper: (_, event) =>
        admin`update app.event_log set changes = '{"new": {"title": "x"}}' where id = ${event}`,
      finds: { kind: 'changed', seq: 5 },
      says: /event 5 .* was changed/,
    },
    'when it was changed': {
      tamper: (_, event) =>
        admin`update app.event_log set occurred_at = occurred_at - interval '1 second' where id = ${event}`,
      finds: { kind: 'changed', seq: 5 },
      says: /event 5 .* was changed/,
    },
    'the address changed': {
      tamper: (_, event) => admin`update app.event_log set ip = '192.0.2.1' where id = ${event}`,
      finds: { kind: 'changed', seq: 5 },
      says: /event 5 .* was changed/,
    },
    'an event deleted': {
      tamper: (_, event) => admin`delete from app.event_log where id = ${event}`,
      finds: { kind: 'missing', seq: 5 },
      says: /event 5 .* was removed from the log/,
    },
    'an event deleted, under a purge that cannot have happened': {
      tamper: async (organization, event) => {
        await admin`delete from app.event_log where id = ${event}`
        await admin`select app_private.log_event(${organization}, 'audit.purge', 'organization', ${organization},
          jsonb_build_object('new', jsonb_build_object('before', now())))`
      },
      finds: { kind: 'missing', seq: 5 },
      says: /event 5 .* was removed from the log/,
    },
    'an event deleted with its seal': {
      tamper: async (_, event) => {
        await admin`delete from app.event_log where id = ${event}`
        await admin`delete from app.event_seals where event_id = ${event}`
      },
      finds: { kind: 'seal_missing', seq: 5, event_id: null },
      says: /event 5 no longer has a seal/,
    },
    'an event changed with its seal': {
      tamper: async (_, event) => {
        await admin`update app.event_log set action = 'show.delete' where id = ${event}`
        await admin`update app.event_seals s set core_hash = app.event_core_hash(l) from app.event_log l where l.id = s.event_id and l.id = ${event}`
      },
      finds: { kind: 'seal_changed', seq: 5 },
      says: /event 5 .* has a seal that was changed/,
    },
    'details erased silently': {
      tamper: (_, event) =>
        admin`update app.event_log set changes = null, ip = null, request_id = null, salt = null, erased_at = now() where id = ${event}`,
      finds: { kind: 'erased', seq: 5 },
      says: /event 5 .* had its details erased/,
    },
    'the end cut off': {
      tamper: async organization => {
        await admin`delete from app.event_log l using app.event_seals s
          where s.organization_id = l.organization_id and s.event_id = l.id and s.organization_id = ${organization} and s.seq > 6`
        await admin`delete from app.event_seals where organization_id = ${organization} and seq > 6`
      },
      finds: { kind: 'cut_off', seq: 7, event_id: null },
      says: /event 7 and everything after it were cut off/,
    },
    'all of it cut off': {
      tamper: async organization => {
        await admin`delete from app.event_log where organization_id = ${organization}`
        await admin`delete from app.event_seals where organization_id = ${organization}`
      },
      finds: { kind: 'cut_off', seq: 1 },
      says: /event 1 and everything after it were cut off/,
    },
    'the chain rebuilt': {
      tamper: async (organization, event) => {
        await admin`update app.event_log set action = 'show.delete' where id = ${event}`
        await admin`delete from app.event_seals where organization_id = ${organization}`
        await seal(db, '10 years')
      },
      finds: { kind: 'rewritten', seq: 9 },
      says: /event 9 has a different hash than the one that was noted/,
    },
  }
  for (const [what, { tamper, finds, says }] of Object.entries(cases))
    await t.test(what, async t => {
      const { organization } = await sealed(server, `Company ${what.length}`)
      const before = await verify(db, organization)
      t.match(before, { ok: true, head: { seq: 9 } })
      const [{ event_id } = { event_id: '' }] = await admin<{ event_id: string }[]>`
        select event_id from app.event_seals where organization_id = ${organization} and seq = 5`
      await tamper(organization, event_id)
      const found = await verify(db, organization, before.head?.seq, before.head?.hash)
      t.match(found, {
        ok: false,
        problem: {
          event_id: ['seal_missing', 'cut_off', 'rewritten'].includes(found.problem?.kind ?? '')
            ? null
            : event_id,
          ...finds,
        },
      })
      const { code, output } = await script(
        url,
        '--org',
        organization,
        '--head',
        `${before.head?.seq ?? 0}:${before.head?.hash ?? ''}`,
      )
      t.equal(code, 1)
      t.match(output, says)
    })

  await t.test('of one organization, and of no other', async t => {
    const { organization } = await sealed(server, 'Honest')
    const [{ slug } = { slug: '' }] = await admin<
      { slug: string }[]
    >`select slug from app.organizations where id = ${organization}`
    t.match(await script(url, '--org', slug), {
      code: 0,
      output: new RegExp(
        `^${slug}: 9 events match their seals, head 9:[0-9a-f]{64}; 0 are not sealed yet\n$`,
      ),
    })
    const all = await script(url, '--all')
    t.equal(all.code, 1)
    t.match(all.output, new RegExp(`^${slug}: 9 events match`, 'm'))
    t.match(await script(url, '--org', 'no-such-company'), { code: 2, output: /There is no organization/ })
    t.match(await script(url), { code: 2, output: /Usage/ })
  })
})

t.test('the chain outlives', async t => {
  const server = await startServer(t)
  const { db, call } = server
  const ana = await sealed(server, 'Ana')

  await t.test("the erasure of somebody's details, which is an event itself", async t => {
    const find = () => db.admin<{ text: string }[]>`
      select l::text as text from app.event_log l where organization_id = ${ana.organization} and l::text ~ ${ana.email}`
    t.ok((await find()).length > 0)
    const [{ erased } = { erased: '' }] = await db.admin<
      { erased: string }[]
    >`select app_private.erase_events(${ana.id}) as erased`
    t.ok(Number(erased) >= 9)
    t.strictSame([...(await find())], [])
    t.match(await verify(db, ana.organization), { ok: true, checked: 9 })
    await seal(db)
    t.match(await verify(db, ana.organization), { ok: true, unsealed: 0 })
    const { body } = await call<{ items: { erased_at: string; ip: null; changes: object }[] }>(
      'GET /api/audit/events?action=audit.erase',
      { token: ana.token },
    )
    t.match(body.items, [{ changes: { new: { events: Number(erased) } } }])

    await db.admin`delete from app.event_log where action = 'audit.erase'`
    t.match(
      (await verify(db, ana.organization)).problem,
      { kind: 'erased', seq: 1 },
      'without it the erasure is reported',
    )
  })

  await t.test('the deletion of the organization', async t => {
    const bob = await sealed(server, 'Bob')
    const { head } = await verify(db, bob.organization)
    await call(`DELETE /api/organizations/${bob.organization}`, { token: bob.token })
    await seal(db)
    t.match(await verify(db, bob.organization, head?.seq, head?.hash), { ok: true, unsealed: 0 })
    await db.admin`delete from app.memberships where organization_id = ${bob.organization}`
    await db.admin`update app.sessions set organization_id = null where user_id = ${bob.id}`
    await db.admin`delete from app.organizations where id = ${bob.organization}`
    await seal(db)
    const gone = await verify(db, bob.organization, head?.seq, head?.hash)
    t.match(gone, { ok: true, unsealed: 0 })
    t.ok((gone.head?.seq ?? 0) > 9 + 7)
    t.match(
      (await script(db.url('callboard_auditor'), '--all')).output,
      new RegExp(`^${bob.organization}: \\d+ events match their seals`, 'm'),
    )
  })
})

t.test('no login can change events or seals', async t => {
  const { db } = await startServer(t)
  for (const role of [
    'callboard_api',
    'callboard_worker',
    'callboard_auditor',
    'callboard_support',
    'callboard_bi',
  ])
    for (const table of ['app.event_log', 'app.event_log_default', 'app.event_seals', 'app_private.sealing'])
      for (const command of ['insert', 'update', 'delete', 'truncate'])
        t.strictSame(
          await db.admin
            .unsafe(
              `select has_table_privilege('${role}', '${table}', '${command}') or '${command}' in ('insert', 'update') and has_any_column_privilege('${role}', '${table}', '${command}') as may`,
            )
            .then(rows => rows[0]),
          { may: false },
          `${role} ${command} ${table}`,
        )
  const auditor = db.as('callboard_auditor')
  await t.rejects(auditor`update app.event_log set changes = null`, { code: '42501' })
  await t.rejects(auditor`select title from app.shows`, { code: '42501' })
  await t.rejects(auditor`select email from app.users`, { code: '42501' })

  await t.test('and the functions’ owner does what erasing and purging need', async t => {
    const { admin } = db
    const as = (statement: string) =>
      admin.begin(async sql => {
        await sql`set local role callboard_definer`
        return (await sql.unsafe(statement)).count
      })
    await admin`select app_private.log_event(null, 'show.create', 'show', null, '{}')`
    for (const [statement, code] of [
      [`update app.event_log set actor_id = null`, '42501'],
      [`update app.event_log set action = 'x'`, '42501'],
      [`update app.event_log set changes = '{"new": {}}'`, '42501'],
      [`update app.event_log set changes = null, erased_at = now()`, '42501'],
      [`truncate app.event_log`, '42501'],
      [`update app.event_seals set hash = ''`, '42501'],
      [`delete from app.event_seals`, '42501'],
      [
        `insert into app.event_log (organization_id, occurred_at, actor_kind, action, resource_type) values (gen_random_uuid(), now(), 'user', 'x', 'x')`,
        '42501',
      ],
    ] as const)
      await t.rejects(as(statement), { code }, statement)
    t.equal(await as('delete from app.event_log'), 0, 'nothing younger than 90 days is deleted')
  })
})
