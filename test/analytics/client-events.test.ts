import { randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { join, register, startServer, superadmin } from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'

t.test('client events', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const [ana, ben] = [await register(server, 'Ana'), await register(server, 'Ben')]
  const vic = await join(server, ana, 'viewer')
  const event = (more: object = {}) => ({
    id: randomUUID(),
    kind: 'page_view',
    name: 'shows/detail',
    ...more,
  })
  const post = (token: string | undefined, events: unknown, headers = {}) =>
    call('POST /api/events', { token, body: { events }, headers })
  const kept = async (organization = ana.organization) =>
    (
      await db.admin`
        select user_id, id, kind, name, occurred_at, received_at, properties from app.client_events
        where organization_id = ${organization} order by received_at, id`
    ).map(row => ({ ...row }))
  const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString()
  const day = 86_400
  t.afterEach(() => db.admin`delete from app.client_events`)

  await t.test('are stored with their sender, who may be a viewer', async t => {
    const at = ago(3600)
    const first = event({
      kind: 'action',
      name: 'calendar.print',
      occurred_at: at,
      properties: { view: 'week', n: 2, all: false, none: null },
    })
    const answer = await post(vic.token, [first, event()])
    t.match(answer, { status: 202, body: { accepted: 2, repeated: 0, out_of_time: 0 } })
    const rows = await kept()
    t.match(
      rows.find(row => row['id'] === first.id),
      {
        user_id: vic.id,
        kind: 'action',
        name: 'calendar.print',
        occurred_at: new Date(at),
        properties: { view: 'week', n: 2, all: false, none: null },
      },
    )
    t.equal(rows.length, 2)
    t.strictSame(await kept(ben.organization), [])
  })

  await t.test(
    'are stored once, however often they are sent, and even if others use the same ids',
    async t => {
      const events = [event(), event()]
      t.match((await post(ana.token, events)).body, { accepted: 2, repeated: 0 })
      t.match((await post(ana.token, [...events, event()])).body, { accepted: 1, repeated: 2 })
      const twice = event()
      t.match((await post(ana.token, [twice, twice])).body, { accepted: 1, repeated: 1 })
      for (const { token } of [ben, vic])
        t.match((await post(token, events)).body, { accepted: 2, repeated: 0 }, 'which is not revealed')
      t.equal((await kept()).length, 6)
      const all = await Promise.all(Array.from({ length: 8 }, () => post(ben.token, [twice])))
      t.equal(all.filter(({ body }) => body['accepted'] === 1).length, 1)
    },
  )

  await t.test('must be from the last seven days, by a clock that may be slightly fast', async t => {
    const events = [
      event({ occurred_at: ago(7 * day - 60) }),
      event({ occurred_at: ago(7 * day + 60) }),
      event({ occurred_at: ago(-240) }),
      event({ occurred_at: ago(-360) }),
      event({ occurred_at: '0001-01-01T00:00:00Z' }),
      event({ occurred_at: '9999-12-31T23:59:59Z' }),
    ]
    t.match(await post(ana.token, events), {
      status: 202,
      body: { accepted: 2, repeated: 0, out_of_time: 4 },
    })
    const rows = await kept()
    t.strictSame(rows.map(row => String(row['id'])).sort(), [events[0]?.id, events[2]?.id].sort())
    t.ok(
      rows.every(row => Number(row['occurred_at']) <= Number(row['received_at'])),
      'and none is in the future',
    )
  })

  await t.test('of an unexpected form are refused, together with the whole request', async t => {
    const wrong: [string, unknown][] = [
      ['none', []],
      ['more than 100', Array.from({ length: 101 }, () => event())],
      ['not a list', event()],
      ['null', null],
      ['no id', [{ ...event(), id: undefined }]],
      ['a bad id', [event({ id: 'seven' })]],
      ['another kind', [event({ kind: 'purchase' })]],
      ['another field', [event({ user_id: ana.id })]],
      ['a bad time', [event({ occurred_at: 'yesterday' })]],
      ...['', 'Shows', 'a b', '/shows', 'shows/', 'a..b', 'ü', 'a\u0000', 'a'.repeat(101)].map(
        (name): [string, unknown] => [`the name ${name}`, [event({ name })]],
      ),
      ...[
        null,
        [],
        'x',
        { deep: {} },
        { list: [] },
        { Upper: 1 },
        { '': 1 },
        { ['k'.repeat(41)]: 1 },
        { text: 'x'.repeat(201) },
        { text: 'a\u0000b' },
        { text: 'a\nb' },
        Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`k${n}`, n])),
      ].map((properties): [string, unknown] => [
        `the properties ${JSON.stringify(properties).slice(0, 60)}`,
        [event(), event({ properties })],
      ]),
    ]
    for (const [what, events] of wrong)
      t.equal(outcome(await post(ana.token, events)), '400 validation', what)
    t.strictSame(await kept(), [])
    const most = Object.fromEntries(
      Array.from({ length: 20 }, (_, n) => [`${'k'.repeat(38)}${n + 10}`, n % 2 ? '"\\'.repeat(100) : 1e308]),
    )
    const full = await post(ana.token, [event({ properties: most })])
    t.match(full.body, { accepted: 1 }, 'whatever the schema allows can be stored')
    t.match(
      (
        await post(
          ana.token,
          Array.from({ length: 100 }, () => event()),
        )
      ).body,
      { accepted: 100 },
    )
    const big = Array.from({ length: 100 }, () => event({ properties: most }))
    t.equal(outcome(await post(ana.token, big)), '413 payload_too_large')
  })

  await t.test('are for members', async t => {
    t.equal(outcome(await post(undefined, [event()])), '401 unauthorized')
    const helper = await superadmin(server, ben, ana.organization, { mayWrite: true })
    t.equal(outcome(await post(helper.token, [event()])), '403 permission_denied')
    const gone = await join(server, ana, 'owner')
    await call(`DELETE /api/users/${gone.id}`, { token: ana.token })
    t.equal(outcome(await post(gone.token, [event()])), '403 membership_revoked')
    t.strictSame(await kept(), [])
  })

  await t.test('are not in the event log, and cannot be read one by one', async t => {
    const count = async () =>
      (await db.admin`select from app.event_log where organization_id = ${ana.organization}`).count
    const before = await count()
    await post(ana.token, [event()])
    t.equal(await count(), before)
    for (const role of ['callboard_api', 'callboard_worker', 'callboard_auditor', 'callboard_support'])
      await t.rejects(db.as(role)`select * from app.client_events`, { message: /permission denied/ }, role)
  })

  await t.test('can be sent again with the same Idempotency-Key', async t => {
    const [key, events] = [{ 'idempotency-key': randomUUID() }, [event()]]
    const answers = [await post(ana.token, events, key), await post(ana.token, events, key)]
    t.strictSame(
      answers.map(({ body }) => body['accepted']),
      [1, 1],
      'and get the same response',
    )
    t.equal((await kept()).length, 1)
  })

  await t.test('are purged after 90 days, unless a legal hold keeps them', async t => {
    for (const { token } of [ana, ben]) await post(token, [event(), event(), event()])
    await db.admin`
      update app.client_events e set received_at = now() - make_interval(days => 88 + x.n, hours => -1)
      from (select ctid, row_number() over (partition by organization_id order by id)::int as n from app.client_events) x
      where x.ctid = e.ctid`
    await call('POST /api/legal-holds', { token: ben.token, body: { reason: 'A lawsuit' } })
    const [{ gone }] = await db.as('callboard_worker')<[{ gone: string }]>`
      select app.purge_expired() ->> 'client_events' as gone`
    t.equal(gone, '1')
    t.equal((await kept()).length, 2)
    t.equal((await kept(ben.organization)).length, 3)
  })
})

t.test('client events count towards the rate limit', async t => {
  const server = await startServer(t, { RATE_LIMIT: '3' })
  const { token } = await register(server, 'Ana')
  const post = () =>
    server.call('POST /api/events', {
      token,
      body: { events: [{ id: randomUUID(), kind: 'action', name: 'a' }] },
    })
  for (let n = 0; n < 3; n++) t.equal((await post()).status, 202)
  t.equal((await post()).status, 429)
})
