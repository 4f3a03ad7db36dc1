// How figures are kept up to date, and that each states its age.
import { setTimeout as sleep } from 'node:timers/promises'
import { t } from '../support/tap.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { refresh } from '../support/figures.ts'
import { openLogin, secretOf } from '../isolation/world.ts'
import {
  aShow,
  join,
  joinAs,
  type Person,
  register,
  startServer,
  type TestServer,
  until,
} from '../support/helper.ts'

interface Figures {
  as_of: string | null
  is_current: boolean
  items: { period_on: string; currency: string; actual: { income_minor: number; records: number } }[]
}
// Everything that members do is counted.
const ofRecords = [
  'activity_by_day',
  'dashboard',
  'finance_by_category',
  'finance_by_month',
  'finance_by_show',
]
const ofShows = [
  'activity_by_day',
  'dashboard',
  'finance_by_show',
  'shows_by_month',
  'shows_created_by_month',
]

async function scene(server: TestServer, name = 'Ana') {
  const { call } = server
  const owner = await register(server, name)
  const { token } = owner
  const { body } = await call<{ items: { id: string }[] }>('GET /api/finance-categories?kind=income', {
    token,
  })
  const record = {
    kind: 'income',
    category_id: body.items[0]?.id ?? '',
    booked_on: '2027-03-14',
    amount_minor: 1250,
    status: 'actual',
  }
  const figures = async (as: Person = owner) =>
    (await call<Figures>('GET /api/analytics/finance?from=2027-01-01', { token: as.token })).body
  return {
    owner,
    record,
    figures,
    enter: async () => {
      const { status, text } = await call('POST /api/finance-records', { token, body: record })
      if (status !== 201) throw new Error(text)
    },
    /** The income and whether it is current. */
    seen: async () => {
      const { items, is_current } = await figures()
      return [items[0]?.actual.income_minor ?? 0, is_current]
    },
  }
}

t.test('figures', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await scene(server)
  const ben = await scene(server, 'Ben')
  const viewer = await join(server, ana.owner, 'viewer')
  const unique = (names: string[]) => [...new Set(names)].sort()
  /** PostgreSQL counts a backend's work after it has been idle for ten seconds, at the latest. */
  const settle = async () => {
    await refresh(db)
    await sleep(11_000)
    await refresh(db)
  }

  await t.test('have no as_of before they were computed', async t => {
    t.match(await ana.figures(), { as_of: null, is_current: false, items: [] })
    const { body } = await call('GET /api/analytics/dashboard', { token: viewer.token })
    t.match(body, { as_of: null, is_current: false, shows: null, money: null })
  })

  await t.test('reflect what was entered once they are computed, and a viewer can read them', async t => {
    await ana.enter()
    t.strictSame(unique(await refresh(db)), unique([...ofRecords, ...ofShows, 'client_events_by_day']))
    t.match(await ana.figures(viewer), {
      is_current: true,
      items: [{ period_on: '2027-03-01', currency: 'USD', actual: { income_minor: 1250, records: 1 } }],
    })
  })

  await t.test('are not current after a change in the organization, and are after the refresh', async t => {
    await ben.enter()
    t.strictSame(await ana.seen(), [1250, true])
    await ana.enter()
    t.strictSame(await ana.seen(), [1250, false])
    await refresh(db)
    t.strictSame(await ana.seen(), [2500, true])
  })

  await t.test('are only computed if their data has changed', async t => {
    await settle()
    const { as_of } = await ana.figures()
    t.strictSame(await refresh(db), [])
    await call('POST /api/auth/sign-in', { body: { email: ana.owner.email, password: 'wrong' } })
    await call('POST /api/venues', {
      token: ana.owner.token,
      body: { name: 'Hall', city: 'Ghent', country: 'BE', time_zone: 'Europe/Brussels' },
    })
    t.strictSame(await refresh(db), ['activity_by_day'])
    const later = await ana.figures()
    t.equal(later.is_current, true)
    t.ok((later.as_of ?? '') > (as_of ?? ''), 'as_of advances anyway')
    await call('POST /api/shows', { token: ana.owner.token, body: aShow })
    t.strictSame(unique(await refresh(db)), ofShows)
    await settle()
    await ana.enter()
    t.strictSame(unique(await refresh(db)), ofRecords)
    t.strictSame(await ana.seen(), [3750, true])
  })

  await t.test(
    'notice what no event reports: a change without triggers, a reset of the statistics',
    async t => {
      await sleep(1500)
      await refresh(db)
      await db.admin.begin(async sql => {
        await sql`set local session_replication_role = replica`
        await sql`update app.finance_records set amount_minor = 1 where organization_id = ${ana.owner.organization}`
      })
      await until(async () => (await refresh(db)).includes('finance_by_month'), 20)
      t.strictSame(await ana.seen(), [3, true])
      await sleep(1500)
      await refresh(db)
      await db.admin`select pg_stat_reset()`
      await until(async () => (await refresh(db)).includes('finance_by_month'), 20)
    },
  )

  await t.test('do not include a transaction in progress, and are not current once it has ended', async t => {
    const sql = openLogin(t, db.url('callboard_api'))
    await refresh(db)
    const [income] = await ana.seen()
    await sql`begin`
    await sql`select app.enter(${secretOf(ana.owner)}, ${ana.owner.organization})`
    await sql`
      insert into app.finance_records (kind, category_id, booked_on, amount_minor, currency, exchange_rate, status)
      values ('income', ${ana.record.category_id}, '2027-03-14', 1000, 'USD', 1, 'actual')`
    // Others continue meanwhile.
    await ben.enter()
    await refresh(db, true)
    t.strictSame(await ana.seen(), [income, true])
    t.equal((await ben.seen())[1], false, 'there may be more to come')
    await sql`commit`
    t.strictSame(await ana.seen(), [income, false])
    await refresh(db)
    t.strictSame(await ana.seen(), [Number(income) + 1000, true])
    t.strictSame(await ben.seen(), [2500, true])
  })

  await t.test('are computed by one worker at a time, which may die doing so', async t => {
    const [one, two] = [openLogin(t, db.url('callboard_worker')), openLogin(t, db.url('callboard_worker'))]
    const [income] = await ana.seen()
    await ana.enter()
    // None of them is resting, however long it took before.
    await db.admin`update analytics_private.rollups set refreshed_at = refreshed_at - interval '1 hour'`
    const holder = await db.admin.reserve()
    await holder`begin`
    await holder`lock table app.finance_records in access exclusive mode`
    // The next is one that reads that table.
    const computing = one`select app.refresh_rollups('"client_events_by_day"')`.then(
      () => 'done',
      () => 'killed',
    )
    const waiting = () => db.admin<{ pid: number }[]>`
      select pid from pg_stat_activity where datname = current_database() and usename = 'callboard_worker' and wait_event_type = 'Lock'`
    await until(async () => (await waiting()).length === 1)
    t.match(await two`select app.refresh_rollups() as part`, [{ part: { busy: true, next: null } }])
    await db.admin`select pg_terminate_backend(${(await waiting())[0]?.pid ?? 0}, 5000)`
    t.equal(await computing, 'killed')
    await holder`rollback`
    holder.release()
    t.strictSame(await ana.seen(), [income, false])
    await refresh(db)
    t.strictSame(await ana.seen(), [Number(income) + 1250, true])
  })

  await t.test('that cannot be computed do not hold up the others, and are reported', async t => {
    await ana.enter()
    await db.admin`revoke select on app.shows from callboard_rollup`
    await db.admin`update analytics_private.rollups set refreshed_at = refreshed_at - interval '1 hour'`
    const worker = db.as('callboard_worker')
    const seen: unknown[] = []
    for (let next: string | null = null; ;) {
      const rows: { part: { next: string | null; refreshed?: string; because: unknown } }[] =
        await worker`select app.refresh_rollups(${next === null ? null : JSON.stringify(next)}::text::jsonb) as part`
      const part = rows[0]?.part
      seen.push(part?.refreshed ?? 'the end', part?.because)
      next = part?.next ?? null
      if (next === null) break
    }
    const failed = (rollup: string) => ({ rollup, failed_with: 'permission denied for table shows' })
    t.strictSame(seen, [
      'activity_by_day',
      [],
      'finance_by_category',
      [failed('dashboard')],
      'finance_by_month',
      [],
      'the end',
      [failed('finance_by_show')],
    ])
    await db.admin`grant select on app.shows to callboard_rollup`
    t.strictSame((await ana.seen())[1], true)
    await refresh(db)
  })

  await t.test('forget that a show was on hold when its events are erased', async t => {
    const { token } = ana.owner
    const show = await call<{ id: string }>('POST /api/shows', { token, body: { ...aShow, status: 'hold' } })
    await call(`PATCH /api/shows/${show.body.id}`, { token, body: { status: 'confirmed' } })
    const held = async () => {
      await refresh(db)
      const { body } = await call<{ items: { held: number; confirmed_from_hold: number }[] }>(
        'GET /api/analytics/shows?period=year&from=2027-01-01',
        { token },
      )
      return [body.items[0]?.held, body.items[0]?.confirmed_from_hold]
    }
    t.strictSame(await held(), [1, 1])
    await db.admin`select app_private.erase_events(${show.body.id})`
    t.strictSame(await held(), [0, 0])
  })

  await t.test('are computed by one job, however many request them at once', async t => {
    await refresh(db)
    await ana.enter()
    const asked = await Promise.all(
      [1, 2, 3].map(() => call('POST /api/analytics/refresh', { token: ana.owner.token })),
    )
    t.match(asked, [
      { status: 202, body: { status_url: '/api/analytics/refresh' } },
      { status: 202 },
      { status: 202 },
    ])
    t.strictSame(
      [
        ...(await db.admin`select task_identifier as task from graphile_worker.jobs where key = 'refresh_rollups'`),
      ],
      [{ task: 'refresh_rollups' }],
    )
    const fresh = async () =>
      (
        await call<{ items: { name: string; is_current: boolean }[] }>('GET /api/analytics/refresh', {
          token: viewer.token,
        })
      ).body.items
    t.match(
      (await fresh()).filter(({ is_current }) => !is_current),
      ofRecords.map(name => ({ name })),
    )
    const worker = startWorker(server.config, db.url('callboard_worker'), () => '', server.app.log)
    t.teardown(() => worker.stop())
    await until(async () => (await fresh()).every(({ is_current }) => is_current), 90)
  })

  await t.test('of money are hidden from those who may not see money', async t => {
    const guard = await joinAs(server, ana.owner, ['analytics.read', 'shows.read'])
    await refresh(db)
    for (const path of ['finance', 'finance/categories', 'finance/shows'])
      t.equal((await call(`GET /api/analytics/${path}`, { token: guard.token })).status, 403, path)
    const { body } = await call('GET /api/analytics/dashboard', { token: guard.token })
    t.match(body, { money: null, shows: { coming: 2 } })
    const sql = openLogin(t, db.url('callboard_api'))
    await sql`begin`
    await sql`select app.enter(${secretOf(guard)}, ${guard.organization})`
    for (const view of ['finance_by_month', 'finance_by_category', 'finance_by_show'])
      t.equal((await sql`select from ${sql(`analytics.${view}`)}`).count, 0, view)
    t.match(await sql`select * from analytics.dashboard`, [
      {
        may_see_money: false,
        currency: null,
        year_income_minor: null,
        payable_minor: null,
        coming_shows: '2',
      },
    ])
    await sql`rollback`
    const clerk = await joinAs(server, ana.owner, ['analytics.read', 'finance.read'])
    t.equal((await call('GET /api/analytics/finance', { token: clerk.token })).status, 200)
    t.equal(
      (await call('GET /api/analytics/finance/shows', { token: clerk.token })).status,
      403,
      'titles of shows',
    )
    const cook = await joinAs(server, ana.owner, ['shows.read', 'finance.read'])
    for (const path of ['finance', 'shows', 'dashboard', 'refresh'])
      t.equal((await call(`GET /api/analytics/${path}`, { token: cook.token })).status, 403, path)
  })

  await t.test('cover whole months, this year by default, and ten years at most', async t => {
    const range = async (query: string) => {
      const { body } = await call(`GET /api/analytics/finance?${query}`, { token: viewer.token })
      return [body['from'], body['to'], body['type']].filter(Boolean)
    }
    const year = new Date().getUTCFullYear()
    t.strictSame(await range(''), [`${year}-01-01`, `${year}-12-31`])
    t.strictSame(await range('from=2028-02-10'), ['2028-02-01', '2028-12-31'])
    t.strictSame(await range('to=2028-02-10'), ['2028-01-01', '2028-02-29'])
    t.strictSame(await range('from=2028-02-10&to=2028-02-01'), ['2028-02-01', '2028-02-29'])
    for (const query of ['from=2028-03-01&to=2028-02-28', 'from=2018-01-01&to=2028-01-01'])
      t.strictSame(await range(query), ['/problems/analytics_range'], query)
    t.strictSame(await range('from=2018-02-01&to=2028-01-01'), ['2018-02-01', '2028-01-31'])
  })

  await t.test(
    'of absurd amounts are as large as those are, and keep nobody else’s from being computed',
    async t => {
      const eve = await scene(server, 'Eve')
      const most = Number.MAX_SAFE_INTEGER
      await db.admin.begin(async sql => {
        await sql`set local session_replication_role = replica`
        await sql`
        insert into app.finance_records (organization_id, kind, category_id, booked_on, amount_minor, currency, exchange_rate, base_currency, status)
        select ${eve.owner.organization}, 'income', ${eve.record.category_id}, '2027-03-14', ${most}, 'USD', 1, 'USD', 'actual' from generate_series(1, 1100)`
      })
      await until(async () => (await refresh(db)).includes('finance_by_month'), 20)
      const { text } = await call('GET /api/analytics/finance?from=2027-01-01', { token: eve.owner.token })
      t.match(text, `"income_minor" : ${BigInt(most) * 1100n},`)
    },
  )
})
