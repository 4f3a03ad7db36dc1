// How figures are kept up to date, and that each states its age.
import { t } from '../support/tap.ts'
import { startWorker } from '../../src/jobs/worker.ts'
import { check, refresh, wake, work } from '../support/figures.ts'
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
  'activity_totals',
  'dashboard',
  'finance_by_category',
  'finance_by_month',
  'finance_by_show',
  'finance_months',
]
const ofShows = [
  'activity_by_day',
  'activity_totals',
  'dashboard',
  'finance_by_show',
  'shows_by_month',
  'shows_created_by_month',
]

/** A show that is still to come, also for somebody who reads this years from now. */
const comingShow = { ...aShow, show_on: `${new Date().getUTCFullYear() + 1}-02-03` }

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

  await t.test('have no as_of before they were computed', async t => {
    t.match(await ana.figures(), { as_of: null, is_current: false, items: [] })
    const { body } = await call('GET /api/analytics/dashboard', { token: viewer.token })
    t.match(body, { as_of: null, is_current: false, shows: null, money: null })
  })

  await t.test('reflect what was entered once they are computed, and a viewer can read them', async t => {
    await ana.enter()
    t.strictSame(
      unique(await refresh(db)),
      unique([...ofRecords, ...ofShows, 'client_events_by_day', 'fact_settlement_lines']),
    )
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

  await t.test('are only computed if their data has changed, for those who have changed it', async t => {
    const { as_of } = await ana.figures()
    t.strictSame(await refresh(db), [])
    await call('POST /api/auth/sign-in', { body: { email: ana.owner.email, password: 'wrong' } })
    await call('POST /api/venues', {
      token: ana.owner.token,
      body: { name: 'Hall', city: 'Ghent', country: 'BE', time_zone: 'Europe/Brussels' },
    })
    t.strictSame(await refresh(db), ['activity_by_day', 'activity_totals'])
    const later = await ana.figures()
    t.equal(later.is_current, true)
    t.ok((later.as_of ?? '') > (as_of ?? ''), 'as_of advances anyway')
    await call('POST /api/shows', { token: ana.owner.token, body: comingShow })
    t.strictSame(unique(await refresh(db)), ofShows)
    await ana.enter()
    await wake(db)
    const parts = await work(db, 'small')
    t.strictSame(
      parts.filter(({ organization }) => organization).map(({ organization }) => organization),
      [ana.owner.organization],
    )
    t.strictSame(await ana.seen(), [3750, true])
  })

  await t.test('keep their as_of while a change is waiting, each organization its own', async t => {
    await refresh(db)
    const before = await ben.figures()
    await ana.enter()
    // A look and nothing else.
    await db.as('callboard_worker')`select app.refresh_figures('small')`
    const [waiting, other] = [await ana.figures(), await ben.figures()]
    t.equal(waiting.is_current, false)
    t.ok((waiting.as_of ?? '') >= (before.as_of ?? ''))
    await db.as('callboard_worker')`select app.refresh_figures('small')`
    t.equal((await ana.figures()).as_of, waiting.as_of)
    t.equal(other.is_current, true)
    t.ok(((await ben.figures()).as_of ?? '') > (other.as_of ?? ''), 'the other’s advances')
    await refresh(db)
    t.strictSame(await ana.seen(), [5000, true])
  })

  await t.test('are written only where they differ', async t => {
    await refresh(db)
    const rows = () => db.admin`
      select xmin, ctid, month, status from analytics_private.finance_by_month_recent where organization_id = ${ana.owner.organization} order by month, status`
    const enter = async (booked_on: string) => {
      const body = { ...ana.record, booked_on, status: 'planned' }
      t.equal((await call('POST /api/finance-records', { token: ana.owner.token, body })).status, 201)
      await refresh(db)
    }
    await enter('2027-04-01')
    const before = await rows()
    t.equal(before.length, 2)
    await enter('2027-04-02')
    const after = await rows()
    t.same(after[0], before[0], 'March is as it was')
    t.notSame(after[1], before[1])
    await enter('2027-05-01')
    t.same((await rows()).slice(0, 2), after)
  })

  await t.test(
    'of changes without events differ from their definition, which the check finds, reports and mends',
    async t => {
      await refresh(db)
      t.strictSame(await check(db), { differing: [], failed: [] })
      const [income] = await ana.seen()
      await db.admin.begin(async sql => {
        await sql`set local session_replication_role = replica`
        await sql`update app.finance_records set amount_minor = amount_minor + 1 where organization_id = ${ana.owner.organization} and status = 'actual'`
      })
      t.strictSame(await refresh(db), [], 'nobody could know')
      const { differing } = await check(db)
      t.strictSame(
        differing.map(({ rollup, organization }) => [rollup, organization]),
        ['dashboard', 'finance_by_category', 'finance_by_month', 'finance_months'].map(name => [
          name,
          ana.owner.organization,
        ]),
      )
      t.ok((await ana.seen())[0] !== income, 'it is mended')
      const [health] = await db.as('callboard_worker')`select figures_differing::int from app.figure_health()`
      t.equal(health?.['figures_differing'], 4)
      t.strictSame(
        [
          ...(await db.as(
            'callboard_auditor',
          )`select figure from app.figure_states(${ana.owner.organization}) where differed_at is not null order by 1`),
        ],
        [
          { figure: 'dashboard' },
          { figure: 'finance_by_category' },
          { figure: 'finance_by_month' },
          { figure: 'finance_months' },
        ],
      )
      await refresh(db)
      t.strictSame(await check(db), { differing: [], failed: [] })
      // A change that is still to be computed is no difference.
      await ana.enter()
      t.strictSame(await check(db), { differing: [], failed: [] })
      await refresh(db)
      await db.admin`update app.finance_records set amount_minor = 1250 where organization_id = ${ana.owner.organization} and status = 'actual'`
      await refresh(db)
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
    await refresh(db)
    const [income] = await ana.seen()
    await ana.enter()
    await one`select app.refresh_figures('small')`
    const holder = await db.admin.reserve()
    await holder`begin`
    await holder`lock table app.finance_records in access exclusive mode`
    await wake(db)
    const computing = one`select app.refresh_figures('small', '"looked"')`.then(
      () => 'done',
      () => 'killed',
    )
    const waiting = () => db.admin<{ pid: number }[]>`
      select pid from pg_stat_activity where datname = current_database() and usename = 'callboard_worker' and wait_event_type = 'Lock'`
    await until(async () => (await waiting()).length === 1)
    t.match(await two`select app.refresh_figures('small') as part`, [{ part: { busy: true, next: null } }])
    // The other lane is free.
    t.match(await two`select app.refresh_figures('large') as part`, [{ part: { waiting: 1, next: null } }])
    await db.admin`select pg_terminate_backend(${(await waiting())[0]?.pid ?? 0}, 5000)`
    t.equal(await computing, 'killed')
    await holder`rollback`
    holder.release()
    t.strictSame(await ana.seen(), [income, false])
    await refresh(db)
    t.strictSame(await ana.seen(), [Number(income) + 1250, true])
  })

  await t.test('of an organization change together, once the last of them is computed', async t => {
    await refresh(db)
    const events = async () => {
      const { body } = await call<{ totals: { events: number } }>('GET /api/analytics/activity', {
        token: ana.owner.token,
      })
      return body.totals.events
    }
    const [[income], done] = [await ana.seen(), await events()]
    await ana.enter()
    await wake(db)
    const worker = openLogin(t, db.url('callboard_worker'))
    await worker`select app.refresh_figures('small')`
    const holder = await db.admin.reserve()
    await holder`begin`
    await holder`lock table app.shows in access exclusive mode`
    const computing = worker`select app.refresh_figures('small', '"looked"')`.execute()
    await until(
      async () =>
        (
          await db.admin`
            select from pg_stat_activity where datname = current_database() and usename = 'callboard_worker' and wait_event_type = 'Lock'`
        ).count === 1,
    )
    t.strictSame(
      [await ana.seen(), await events()],
      [[income, false], done],
      'some are computed, none is seen',
    )
    await holder`rollback`
    holder.release()
    await computing
    t.strictSame(
      [(await ana.seen())[0], await events()],
      [Number(income) + 1250, done + 1],
      'then all are seen',
    )
    await refresh(db)
  })

  await t.test(
    'rest for twenty times as long as they took, and large ones have a lane of their own',
    async t => {
      await refresh(db)
      const takes = (took: string) =>
        db.admin`update analytics_private.rollup_states set took = ${took}::interval, computed_at = clock_timestamp()
        where organization_id = ${ana.owner.organization} and rollup = 'finance_by_show'`
      const computed = async (lane: 'small' | 'large') =>
        (await work(db, lane)).flatMap(({ organization }) => organization ?? [])
      await takes('2 seconds')
      await ana.enter()
      await ben.enter()
      t.strictSame(
        await computed('small'),
        [ben.owner.organization],
        'the small one does not wait for the large one',
      )
      t.strictSame(await computed('large'), [], 'which is resting')
      await db.admin`update analytics_private.rollup_states set computed_at = computed_at - interval '41 seconds' where organization_id = ${ana.owner.organization}`
      t.strictSame(await computed('large'), [ana.owner.organization])
      await refresh(db)
    },
  )

  await t.test(
    'that cannot be computed hold up neither the others nor anybody else’s, and are reported',
    async t => {
      const eve = await scene(server, 'Eve')
      await refresh(db)
      await db.admin`alter table app.finance_records drop constraint finance_records_booked_on_range`
      await eve.enter()
      // Too late for a timestamp, and so for any month.
      await db.admin`update app.finance_records set booked_on = '5874897-12-31' where organization_id = ${eve.owner.organization}`
      await ana.enter()
      const [income] = await ana.seen()
      const parts = await work(db, 'small')
      await wake(db)
      parts.push(...(await work(db, 'small')))
      const failed = parts.filter(part => part.failed > 0)
      t.strictSame(
        failed.map(({ organization }) => organization),
        [eve.owner.organization],
      )
      t.strictSame(
        (failed[0]?.figures ?? []).map(({ rollup, failed_with }) => [rollup, failed_with]),
        [
          ['activity_by_day', null],
          ['activity_totals', null],
          ['dashboard', null],
          ['finance_by_category', 'date out of range for timestamp'],
          ['finance_by_month', 'date out of range for timestamp'],
          ['finance_by_show', null],
          ['finance_months', 'date out of range for timestamp'],
        ],
      )
      t.strictSame(await ana.seen(), [Number(income) + 1250, true])
      t.strictSame((await eve.seen())[1], false)
      t.match(
        await db.as(
          'callboard_auditor',
        )`select figure, failed_with, changed_at from app.figure_states(${eve.owner.organization}) where failed_at is not null order by 1`,
        [
          { figure: 'finance_by_category', failed_with: 'date out of range for timestamp', changed_at: Date },
          { figure: 'finance_by_month' },
          { figure: 'finance_months' },
        ],
      )
      t.strictSame((await check(db)).failed, [
        'finance_by_category: date out of range for timestamp',
        'finance_by_month: date out of range for timestamp',
        'finance_months: date out of range for timestamp',
      ])
      await ana.enter()
      await wake(db)
      await work(db, 'small')
      t.strictSame(await ana.seen(), [Number(income) + 2500, true], 'the others’ go on')
      const [health] = await db.as('callboard_worker')`select figures_failed::int from app.figure_health()`
      t.equal(health?.['figures_failed'], 6)
      await db.admin`update app.finance_records set booked_on = '2027-03-14' where organization_id = ${eve.owner.organization}`
      await db.admin`update analytics_private.rollup_states set failed_at = failed_at - interval '1 minute'`
      await refresh(db)
      t.strictSame(await eve.seen(), [1250, true])
      t.strictSame(await check(db), { differing: [], failed: [] })
      t.match(await db.as('callboard_worker')`select figures_failed::int from app.figure_health()`, [
        { figures_failed: 0 },
      ])
    },
  )

  await t.test('forget that a show was on hold when its events are erased', async t => {
    const { token } = ana.owner
    const show = await call<{ id: string }>('POST /api/shows', {
      token,
      body: { ...comingShow, status: 'hold' },
    })
    await call(`PATCH /api/shows/${show.body.id}`, { token, body: { status: 'confirmed' } })
    const held = async () => {
      await refresh(db)
      const { body } = await call<{ items: { held: number; confirmed_from_hold: number }[] }>(
        `GET /api/analytics/shows?period=year&from=${comingShow.show_on}`,
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
        ...(await db.admin`select task_identifier as task from graphile_worker.jobs where key = 'refresh_figures'`),
      ],
      [{ task: 'refresh_figures' }],
    )
    const fresh = async () =>
      (
        await call<{ items: { name: string; is_current: boolean }[] }>('GET /api/analytics/refresh', {
          token: viewer.token,
        })
      ).body.items
    t.match(
      (await fresh()).filter(({ is_current }) => !is_current),
      // Only of those that have a view.
      ofRecords.filter(name => !['activity_totals', 'finance_months'].includes(name)).map(name => ({ name })),
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
      const pam = await scene(server, 'Pam')
      await refresh(db)
      const most = Number.MAX_SAFE_INTEGER
      await db.admin.begin(async sql => {
        await sql`set local session_replication_role = replica`
        await sql`
        insert into app.finance_records (organization_id, kind, category_id, booked_on, amount_minor, currency, exchange_rate, base_currency, status)
        select ${pam.owner.organization}, 'income', ${pam.record.category_id}, '2027-03-14', ${most}, 'USD', 1, 'USD', 'actual' from generate_series(1, 1100)`
      })
      // No event tells.
      await check(db)
      await refresh(db)
      const { text } = await call('GET /api/analytics/finance?from=2027-01-01', { token: pam.owner.token })
      t.match(text, `"income_minor" : ${BigInt(most) * 1100n},`)
    },
  )
})
