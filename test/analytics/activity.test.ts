// What members did and used equals a recount of the event log and the raw tables.
import { randomInt, randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { check, refresh } from '../support/figures.ts'
import {
  aShow,
  join,
  joinAs,
  type Person,
  register,
  signIn,
  startServer,
  type TestServer,
} from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'

interface Done {
  occurred_at: string
  actor_kind: string
  actor_id: string | null
  actor_name: string | null
  action: string
}
interface Reported {
  occurred_at: string
  user_id: string
  kind: string
  name: string
}
interface Activity {
  as_of: string
  is_current: boolean
  from: string
  to: string
  totals: object
  by_day: object[]
  by_week: object[]
  by_action: object[]
  by_day_and_action: { day: string; action: string; events: number }[]
  by_user: { user_id: string; display_name: string | null }[]
  client_events: object
}

/** The day of a moment, in the organization's time zone. */
const dayOf = (moment: string, timeZone: string) =>
  new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short' }).format(new Date(moment))
const shifted = (day: string, by: number) =>
  new Date(Date.parse(day) + by * 86_400_000).toISOString().slice(0, 10)
const weekOf = (day: string) => shifted(day, -((new Date(day).getUTCDay() + 6) % 7))

function grouped<T>(items: T[], key: (item: T) => string): [string, T[]][] {
  const groups = new Map<string, T[]>()
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item])
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1))
}
const distinct = (values: (string | null)[]) => new Set(values.filter(value => value !== null)).size

/** The same figures, computed one by one from what happened. */
function recount(
  all: Done[],
  reported: Reported[],
  timeZone: string,
  { from, to }: { from: string; to: string },
) {
  const isIn = ({ occurred_at }: { occurred_at: string }) => {
    const day = dayOf(occurred_at, timeZone)
    return day >= from && day <= to
  }
  const events = all.filter(isIn).map(event => ({
    ...event,
    day: dayOf(event.occurred_at, timeZone),
    user: event.actor_kind === 'user' ? event.actor_id : null,
  }))
  const signIns = (some: Done[]) => some.filter(({ action }) => action === 'auth.sign_in')
  const sums = (some: typeof events) => ({
    events: some.length,
    sign_ins: signIns(some).length,
    active_users: distinct(some.map(({ user }) => user)),
  })
  const clients = reported.filter(isIn).map(event => ({ ...event, day: dayOf(event.occurred_at, timeZone) }))
  const often = <T extends { events: number }>(items: T[]) =>
    // The groups are in the order of their keys already, and sorting is stable.
    items.sort((a, b) => b.events - a.events)
  return {
    totals: sums(events),
    by_day: grouped(events, ({ day }) => day).map(([day, some]) => ({ day, ...sums(some) })),
    by_week: grouped(events, ({ day }) => weekOf(day)).map(([week_on, some]) => ({
      week_on,
      ...sums(some),
      signed_in_users: distinct(
        some.filter(({ action }) => action === 'auth.sign_in').map(({ user }) => user),
      ),
    })),
    by_action: often(
      grouped(events, ({ action }) => action).map(([action, some]) => ({ action, events: some.length })),
    ),
    by_day_and_action: grouped(events, ({ day }) => day).flatMap(([day, some]) =>
      often(
        grouped(some, ({ action }) => action).map(([action, these]) => ({
          day,
          action,
          events: these.length,
        })),
      ),
    ),
    by_user: often(
      grouped(
        events.filter(({ user }) => user !== null),
        ({ user }) => String(user),
      ).map(([user_id, some]) => ({
        user_id,
        display_name: some[0]?.actor_name ?? null,
        events: some.length,
        sign_ins: signIns(some).length,
        active_days: distinct(some.map(({ day }) => day)),
        last_on: some
          .map(({ day }) => day)
          .sort()
          .at(-1),
      })),
    ),
    client_events: {
      by_day: grouped(clients, ({ day }) => day).map(([day, some]) => ({
        day,
        page_views: some.filter(({ kind }) => kind === 'page_view').length,
        actions: some.filter(({ kind }) => kind === 'action').length,
        users: distinct(some.map(({ user_id }) => user_id)),
      })),
      by_name: often(
        grouped(clients, ({ kind, name }) => `${kind} ${name}`).map(([, some]) => ({
          kind: some[0]?.kind,
          name: some[0]?.name,
          events: some.length,
          users: distinct(some.map(({ user_id }) => user_id)),
        })),
      ),
    },
  }
}

/** All events before a moment, as read by a member who may read the log. */
async function eventsBefore({ call }: TestServer, { token }: Person, moment: string): Promise<Done[]> {
  const events: Done[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const page: { body: { items: Done[]; next_cursor: string | null } } = await call(
      `GET /api/audit/events?limit=200&to=${encodeURIComponent(moment)}${cursor && `&cursor=${cursor}`}`,
      { token },
    )
    events.push(...page.body.items)
    cursor = page.body.next_cursor
  }
  return events
}
const reportedTo = async ({ db }: TestServer, { organization }: Person): Promise<Reported[]> =>
  (
    await db.admin<(Omit<Reported, 'occurred_at'> & { occurred_at: Date })[]>`
      select occurred_at, user_id, kind, name from app.client_events where organization_id = ${organization}`
  ).map(row => ({ ...row, occurred_at: row.occurred_at.toISOString() }))

/** Several people's work over days: shows created, changed, deleted and restored, sign-ins, and what their programs report. */
async function work({ call, db }: TestServer, people: Person[], steps: number) {
  for (let step = 0; step < steps; step++) {
    const { token, email, organization } = people[randomInt(people.length)] as Person
    const { body: show } = await call<{ id?: string }>('POST /api/shows', { token, body: aShow })
    const path = `/api/shows/${show.id ?? randomUUID()}`
    await call(`PATCH ${path}`, { token, body: { notes: `Step ${step}` } })
    if (step % 3 === 0) await call(`DELETE ${path}`, { token })
    if (step % 6 === 0) await call(`POST ${path}/restore`, { token })
    if (step % 4 === 0) await signIn({ call } as TestServer, email, organization)
    if (step % 7 === 0) await call('POST /api/auth/sign-in', { body: { email, password: 'wrong' } })
    const events = Array.from({ length: 1 + randomInt(4) }, () => ({
      id: randomUUID(),
      kind: randomInt(3) > 0 ? 'page_view' : 'action',
      name: ['shows/list', 'shows/detail', 'calendar'][randomInt(3)],
      occurred_at: new Date(Date.now() - randomInt(6 * 86_400) * 1000).toISOString(),
    }))
    await call('POST /api/events', { token, body: { events } })
  }
  // Spread over the preceding weeks.
  await db.admin`
    update app.event_log set occurred_at = occurred_at - make_interval(secs => floor(random() * 40 * 86400))
    where occurred_at > now() - interval '1 hour'`
}

t.test('activity', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const [ana, ben] = [await register(server, 'Ana'), await register(server, 'Ben')]
  const moved = await call(`PUT /api/organizations/${ana.organization}`, {
    token: ana.token,
    body: { name: "Ana's company", currency: 'EUR', time_zone: 'America/Los_Angeles' },
  })
  t.equal(moved.status, 200, moved.text)
  const people: Person[] = [ana]
  for (const role of ['admin', 'manager', 'viewer']) people.push(await join(server, ana, role))
  const [, admin, , viewer] = people as [Person, Person, Person, Person]
  const colleague = await join(server, ben, 'admin')
  const read = async ({ token }: Person, query = '') =>
    (await call<Activity>(`GET /api/analytics/activity${query}`, { token })).body
  const today = new Date().toISOString().slice(0, 10)
  const wide = `?from=${shifted(today, -200)}&to=${shifted(today, 1)}`

  for (const round of ['at first', 'after more was done'])
    await t.test(`equals, ${round}, a recount of the event log`, async t => {
      await work(server, people, 30)
      await work(server, [ben, colleague], 12)
      await refresh(db)
      // Events of the past, which nobody could see coming.
      await check(db)
      await refresh(db)
      for (const [who, reader, timeZone] of [
        [viewer, admin, 'America/Los_Angeles'],
        [ben, ben, 'UTC'],
      ] as const) {
        const seen = await read(who, wide)
        t.equal(seen.is_current, true)
        const narrow = `?from=${shifted(today, -25)}&to=${shifted(today, -4)}`
        const [some, month] = [await read(who, narrow), await read(who)]
        const ofOne = await read(who, `${wide}&user_id=${reader.id}`)
        const ofAction = await read(who, `${wide}&action=show.delete`)
        const [all, reported] = [
          await eventsBefore(server, reader, seen.as_of),
          await reportedTo(server, who),
        ]
        t.ok(all.length > 40, `${all.length} events`)
        for (const figures of [seen, some, month])
          t.match(figures, recount(all, reported, timeZone, figures), `${figures.from} to ${figures.to}`)
        t.strictSame(
          [month.from, month.to],
          [shifted(month.to, -29), dayOf(new Date().toISOString(), timeZone)],
        )
        t.match(
          ofOne,
          recount(
            all.filter(({ actor_id }) => actor_id === reader.id),
            reported.filter(({ user_id }) => user_id === reader.id),
            timeZone,
            ofOne,
          ),
          'of one member',
        )
        t.match(
          ofAction,
          recount(
            all.filter(({ action }) => action === 'show.delete'),
            reported,
            timeZone,
            ofAction,
          ),
          'of one action',
        )
      }
    })

  await t.test('is visible to no other organization', async t => {
    const mine = new Set((await read(ana, wide)).by_user.map(({ user_id }) => user_id))
    for (const { user_id } of (await read(ben, wide)).by_user) t.notOk(mine.has(user_id))
    t.strictSame((await read(ben, `${wide}&user_id=${ana.id}`)).by_user, [])
  })

  await t.test('has names for those who may see their colleagues', async t => {
    const alone = await joinAs(server, ana, ['analytics.read'])
    const { by_user } = await read(alone, wide)
    t.ok(by_user.length > 3)
    t.ok(by_user.every(({ user_id, display_name }) => (display_name !== null) === (user_id === alone.id)))
  })

  await t.test('says when it is no longer current, and when it is again', async t => {
    await refresh(db)
    t.equal((await read(ana)).is_current, true)
    for (const [what, act] of [
      ['a sign-in', () => signIn(server, viewer.email, ana.organization)],
      [
        'a client event',
        () =>
          call('POST /api/events', {
            token: viewer.token,
            body: { events: [{ id: randomUUID(), kind: 'action', name: 'print' }] },
          }),
      ],
    ] as const) {
      await act()
      t.equal((await read(ana)).is_current, false, what)
      t.equal((await read(ben)).is_current, true, 'but not for the others')
      const before = (await read(ana)).as_of
      await refresh(db)
      const after = await read(ana)
      t.equal(after.is_current, true)
      t.ok(after.as_of >= before)
    }
    const names = ((await read(ana)).client_events as { by_name: { name: string }[] }).by_name
    t.ok(
      names.some(({ name }) => name === 'print'),
      'once it is current, what was reported is in it',
    )
  })

  await t.test('follows the log when events are purged', async t => {
    await db.admin`delete from app.event_log where organization_id = ${ben.organization} and actor_id = ${ben.id}`
    // As app.purge_events does.
    await db.admin`select app_private.log_event(${ben.organization}, 'audit.purge', 'organization', ${ben.organization}, '{}')`
    await refresh(db)
    const { by_user } = await read(colleague, wide)
    t.strictSame(
      by_user.map(({ user_id }) => user_id),
      [colleague.id],
    )
  })

  await t.test('covers a year at most', async t => {
    for (const path of ['activity', 'integrations'])
      for (const [query, expected] of [
        ['?from=2026-01-01&to=2027-01-02', 200],
        ['?from=2026-01-01&to=2027-01-03', '422 analytics_range'],
        ['?from=2026-01-02&to=2026-01-01', '422 analytics_range'],
        ['?from=9999-12-31', 200],
        ['?to=0001-01-01', 200],
        ['?from=2026-02-30', '400 validation'],
        ['?from=yesterday', '400 validation'],
        ['?until=2026-01-01', '400 validation'],
      ] as const) {
        const answer = await call(`GET /api/analytics/${path}${query}`, { token: ana.token })
        t.equal(expected === 200 ? answer.status : outcome(answer), expected, `${path}${query}`)
      }
  })
})

t.test('integrations and the use of the API', async t => {
  const server = await startServer(t)
  const { app, db } = server
  const [ana, ben] = [await register(server, 'Ana'), await register(server, 'Ben')]
  const viewer = await join(server, ana, 'viewer')
  await app.tally.flush()
  await db.admin`truncate app.api_use, app.integration_use`
  const expected = new Map<string, { calls: number; errors: number }>()
  const call: TestServer['call'] = async (request, options) => {
    const answer = await server.call(request, options)
    return answer as never
  }
  const ask = async (operation: string, request: `${string} ${string}`, person: Person, body?: object) => {
    const { status } = await call(request, { token: person.token, ...(body && { body }) })
    if (person === ben) return
    const row = expected.get(operation) ?? { calls: 0, errors: 0 }
    expected.set(operation, { calls: row.calls + 1, errors: row.errors + (status >= 400 ? 1 : 0) })
  }
  for (let n = 0; n < 12; n++) {
    await ask('createShow', 'POST /api/shows', n % 3 === 0 ? viewer : ana, aShow)
    await ask('listShows', 'GET /api/shows', n % 2 === 0 ? ben : viewer)
  }
  await app.tally.flush()
  // Yesterday's, and an integration's.
  await db.admin`
    insert into app.api_use select organization_id, day - 1, operation, calls * 2, errors, 0, total_us * 5, slowest_us * 4,
      within_10_ms, within_100_ms, within_1_s, bytes_in * 3, bytes_out * 7 from app.api_use`
  for (const [kind, name, n] of [
    ['import', 'bank', 3],
    ['import', 'box office', 2],
    ['export', 'finance_records', 5],
  ] as const)
    for (let i = 0; i < n; i++)
      await db.admin`
        select app_private.count_integration(o, ${kind}, ${name}, more_errors => ${i === 0 ? 1 : 0}, more_rows => ${n * 10}, more_bytes => 100,
          on_day => (now() at time zone 'UTC')::date - ${i}::int)
        from unnest(${[ana.organization, ben.organization]}::uuid[]) o where o = ${ana.organization} or ${n} = 2`

  interface Use {
    is_current: boolean
    as_of: string
    integrations: { kind: string; name: string; calls: number; errors: number; rows: number; bytes: number }[]
    integrations_by_day: { day: string; kind: string; calls: number }[]
    api: {
      totals: Record<string, number>
      by_day: { day: string; calls: number; errors: number }[]
      by_operation: ({ operation: string } & Record<string, number>)[]
    }
  }
  const today = new Date().toISOString().slice(0, 10)
  const read = async (person: Person, query = '') =>
    (await server.call<Use>(`GET /api/analytics/integrations${query}`, { token: person.token })).body

  await t.test('are what was requested', async t => {
    const { api } = await read(viewer, `?from=${today}&to=${today}`)
    t.match(
      Object.fromEntries(
        api.by_operation.map(({ operation, calls, errors }) => [operation, { calls, errors }]),
      ),
      Object.fromEntries(expected),
    )
    t.equal(api.by_operation.length, 2)
    t.match(api.totals, { calls: 18, errors: 4 })
  })

  await t.test('equal a recount of the raw tables', async t => {
    for (const { organization, ...person } of [ana, ben]) {
      const seen = await read({ organization, ...person })
      const raw = await db.admin<(Record<string, number> & { operation: string; day: string })[]>`
        select day::text, operation, calls::float8, errors::float8, server_errors::float8, total_us::float8, slowest_us::float8,
          within_10_ms::float8, within_100_ms::float8, within_1_s::float8, bytes_in::float8, bytes_out::float8
        from app.api_use where organization_id = ${organization}`
      const sum = (rows: typeof raw | Record<string, number>[], name: string) =>
        rows.reduce((total, row) => total + Number(row[name]), 0)
      const summed = (rows: Record<string, number>[]) => ({
        ...Object.fromEntries(
          [
            'calls',
            'errors',
            'server_errors',
            'within_10_ms',
            'within_100_ms',
            'within_1_s',
            'bytes_in',
            'bytes_out',
          ].map(name => [name, sum(rows, name)]),
        ),
        mean_us: Math.round(sum(rows, 'total_us') / sum(rows, 'calls')),
        slowest_us: Math.max(...rows.map(row => Number(row['slowest_us']))),
      })
      t.match(seen.api.totals, summed([...raw]))
      for (const [key, rows] of [
        ['day', seen.api.by_day],
        ['operation', seen.api.by_operation],
      ] as const) {
        t.equal(rows.length, new Set(raw.map(row => row[key])).size)
        for (const row of rows)
          t.match(row, summed(raw.filter(one => one[key] === (row as Record<string, unknown>)[key])))
      }
      const uses = await db.admin<
        {
          kind: string
          name: string
          day: string
          calls: number
          rows: number
          bytes: number
          errors: number
        }[]
      >`
        select kind, name, day::text, calls::float8, rows::float8, bytes::float8, errors::float8 from app.integration_use
        where organization_id = ${organization}`
      const added = (some: typeof uses | (typeof uses)[number][]) => ({
        calls: sum(some as never, 'calls'),
        errors: sum(some as never, 'errors'),
        rows: sum(some as never, 'rows'),
        bytes: sum(some as never, 'bytes'),
      })
      t.match(
        seen.integrations,
        grouped([...uses], ({ kind, name }) => `${kind} ${name}`).map(([, some]) => ({
          kind: some[0]?.kind,
          name: some[0]?.name,
          ...added(some),
        })),
      )
      t.match(
        seen.integrations_by_day,
        grouped([...uses], ({ day, kind }) => `${day} ${kind}`).map(([, some]) => ({
          day: some[0]?.day,
          kind: some[0]?.kind,
          ...added(some),
        })),
      )
    }
  })

  await t.test('are complete for days that are over', async t => {
    const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)
    t.equal((await read(ana, `?from=${yesterday}&to=${today}`)).is_current, false)
    t.ok((await read(ana)).as_of <= new Date().toISOString())
    t.equal((await read(ana, '?from=2026-01-01&to=2026-01-31')).is_current, true)
  })
})
