// The dashboard is a summary of all figures: each number is what its own endpoint says for the same days.
import { t } from '../support/tap.ts'
import { openLogin, secretOf } from '../isolation/world.ts'
import { dashboardAndSummary } from '../support/dashboard.ts'
import { refresh } from '../support/figures.ts'
import { aShow, joinAs, register, signIn, startServer } from '../support/helper.ts'

t.test('the dashboard', async t => {
  const server = await startServer(t)
  const { call, db, app } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  await refresh(db)
  const today = new Date().toISOString().slice(0, 10)
  const summary = async (who = ana) => {
    await app.tally.flush()
    return dashboardAndSummary(server, who)
  }

  await t.test('of an organization that has done little is all zeros', async t => {
    const { dashboard, seen, summary: said } = await summary()
    t.strictSame(seen, said)
    t.match(dashboard.shows.this_month, { created: 0, shows: 0, completed: 0, completion_rate: null })
    t.match(dashboard.use, { imports: { calls: 0 }, exports: { calls: 0 } })
  })

  await t.test('is what the endpoints of its parts say', async t => {
    const { body: categories } = await call<{ items: { id: string; kind: string }[] }>(
      'GET /api/finance-categories',
      { token },
    )
    for (const status of ['hold', 'played', 'played', 'cancelled'])
      await call('POST /api/shows', { token, body: { ...aShow, show_on: today, status } })
    await call('POST /api/shows', { token, body: { ...aShow, show_on: '2099-01-01' } })
    for (const [kind, status, booked_on] of [
      ['income', 'actual', today],
      ['expense', 'actual', `${today.slice(0, 4)}-01-15`],
      ['expense', 'planned', `${today.slice(0, 4)}-12-15`],
      ['income', 'committed', '2099-01-01'],
    ] as const)
      await call('POST /api/finance-records', {
        token,
        body: {
          kind,
          status,
          booked_on,
          category_id: categories.items.find(category => category.kind === kind)?.id,
          amount_minor: 12_345,
        },
      })
    await signIn(server, ana.email, ana.organization)
    await call('GET /api/shows?limit=none', { token })
    await call('GET /api/exports/shows', { token })
    for (const [kind, errors, rows] of [
      ['import', 0, 40],
      ['import', 1, 0],
      ['export', 1, 7],
    ] as const)
      await db.admin`
        select app_private.count_integration(${ana.organization}, ${kind}, 'x', more_errors => ${errors}, more_rows => ${rows}, more_bytes => 100)`
    // What is older does not count: 31 days are more than 30 in every time zone.
    await db.admin`
      insert into app.api_use select organization_id, day - 31, operation, 1000, 1000, 1000, 1, 1, 1, 1, 1, 1, 1 from app.api_use`
    await db.admin`
      insert into app.event_log (organization_id, occurred_at, actor_kind, actor_id, action, resource_type)
      select ${ana.organization}, now() - make_interval(days => n), 'user', gen_random_uuid(), 'auth.sign_in', 'session' from generate_series(28, 33) n`
    await refresh(db)
    const { dashboard, seen, summary: said } = await summary()
    t.equal(dashboard.is_current, true)
    t.strictSame(seen, said)
    t.match(dashboard.shows.this_month, {
      created: 5,
      shows: 4,
      by_status: { hold: 1, played: 2, cancelled: 1, settled: 0 },
      completed: 2,
      completion_rate: 0.6667,
    })
    t.match(dashboard.money, { this_month: { income_minor: 12_345 } })
    t.match(dashboard.use, {
      api: { errors: 1 },
      imports: { calls: 2, errors: 1, rows: 40, bytes: 200 },
      exports: { calls: 2, errors: 1, rows: 12 },
    })
    t.ok((dashboard.activity as { active_users: number }).active_users >= 2, 'who did something 28 days ago')
  })

  await t.test('is the same for a BI tool and as rows', async t => {
    const { dashboard } = await summary()
    // Its activity is of events of any kind.
    await call('POST /api/venues', {
      token,
      body: { name: 'Hall', city: 'Ghent', country: 'BE', time_zone: 'Europe/Brussels' },
    })
    const { body: views } = await call<{ items: { name: string; is_current: boolean }[] }>(
      'GET /api/analytics/refresh',
      { token },
    )
    t.match(
      views.items.filter(({ is_current }) => !is_current),
      [{ name: 'activity_by_day' }, { name: 'dashboard' }],
    )
    const sql = openLogin(t, db.url('callboard_api'))
    const [row] = await sql.begin('read only', async tx => {
      await tx`select app.enter(${secretOf(ana)}, ${ana.organization})`
      return tx`
        select month_created_shows::int, month_shows::int, month_shows_hold::int, month_shows_played::int, month_shows_cancelled::int,
          month_completion_rate::float8, events_in_30_days::int, sign_ins_in_30_days::int, active_users_in_30_days::int, api_calls_in_30_days::int,
          api_errors_in_30_days::int, imports_in_30_days::int, import_rows_in_30_days::int, exports_in_30_days::int, export_bytes_in_30_days::int
        from analytics.dashboard`
    })
    const { shows, activity, use } = dashboard as unknown as {
      shows: { this_month: { by_status: Record<string, number> } & Record<string, number> }
      activity: Record<string, number>
      use: Record<'api' | 'imports' | 'exports', Record<string, number>>
    }
    const { this_month: month } = shows
    t.strictSame(
      { ...row },
      {
        month_created_shows: month['created'],
        month_shows: month['shows'],
        month_shows_hold: month.by_status['hold'],
        month_shows_played: month.by_status['played'],
        month_shows_cancelled: month.by_status['cancelled'],
        month_completion_rate: month['completion_rate'],
        events_in_30_days: activity['events'],
        sign_ins_in_30_days: activity['sign_ins'],
        active_users_in_30_days: activity['active_users'],
        api_calls_in_30_days: use.api['calls'],
        api_errors_in_30_days: use.api['errors'],
        imports_in_30_days: use.imports['calls'],
        import_rows_in_30_days: use.imports['rows'],
        exports_in_30_days: use.exports['calls'],
        export_bytes_in_30_days: use.exports['bytes'],
      },
    )
  })

  await t.test('shows money only to those who may see it, and nothing without analytics.read', async t => {
    const guard = await joinAs(server, ana, ['analytics.read'])
    await refresh(db)
    const { dashboard, seen, summary: said } = await summary(guard)
    t.equal(dashboard.money, null)
    t.strictSame(seen, said)
    const clerk = await joinAs(server, ana, ['finance.read', 'shows.read'])
    t.equal((await call('GET /api/analytics/dashboard', { token: clerk.token })).status, 403)
  })

  await t.test('has nothing of another organization', async t => {
    const ben = await register(server, 'Ben')
    await refresh(db)
    const { dashboard, seen, summary: said } = await summary(ben)
    t.strictSame(seen, said)
    t.match(dashboard, { use: { imports: { calls: 0 } }, shows: { this_month: { created: 0 } } })
  })
})
