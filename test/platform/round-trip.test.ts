import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { aShow, register, startServer } from '../support/helper.ts'
import { type Proxy, startProxy } from '../support/proxy.ts'

t.test('round trips between the API and PostgreSQL', async t => {
  let proxy: Proxy | undefined
  const { call, pool, db } = await startServer(t, async db => {
    proxy = await startProxy(t, db.url('callboard_api'))
    return {
      POOL_SIZE: '1',
      DATABASE_URL: proxy.through(db.url('callboard_api')),
      // A separate transaction, now and then.
      RATE_LIMIT_REFRESH: '3600',
    }
  })
  const ana = await register({ call }, 'Ana')
  const { token } = ana
  const show = await call<{ id: string }>('POST /api/shows', { token, body: aShow })
  const path = `/api/shows/${show.body.id}`
  const unknown = '/api/shows/00000000-0000-7000-8000-000000000000'

  /** How many messages each flight of a request has once its statements are prepared. */
  const flightsOf = async (t: Test, request: `${string} ${string}`, expected: number, options = {}) => {
    const once = async () => {
      t.equal((await call(request, { token, ...options })).status, expected, request)
    }
    await once()
    return proxy?.flights(once)
  }

  // RESET with BEGIN, app.enter, the handler's statement, the final check with COMMIT.
  for (const [request, status, options] of [
    [`GET ${path}`, 200],
    ['GET /api/shows?limit=10&status=inquiry&q=tour', 200],
    ['GET /api/analytics/finance', 200],
    ['GET /api/analytics/activity', 200],
    ['GET /api/analytics/integrations', 200],
    ['POST /api/shows', 201, { body: aShow }],
    [`PATCH ${path}`, 200, { body: { notes: 'one' } }],
    [`GET ${unknown}`, 404],
    [`PATCH ${path}`, 412, { body: { notes: 'two' }, headers: { 'if-match': '"999"' } }],
    [`PATCH ${path}`, 422, { body: { capacity: 1, tickets_sold: 2 } }],
  ] as const)
    // After an error the COMMIT is skipped, so a ROLLBACK follows.
    await t.test(
      `${request} (${status}) is one flight of four messages${status < 400 ? '' : ', and a ROLLBACK'}`,
      async t => {
        t.same(await flightsOf(t, request, status, options), status < 400 ? [4] : [4, 1])
      },
    )

  await t.test('a handler outside an organization enters, too', async t => {
    t.same(await flightsOf(t, 'GET /api/me', 200), [4])
  })

  await t.test('an unauthenticated handler does not enter', async t => {
    t.same(await flightsOf(t, 'GET /readyz', 200), [3])
  })

  await t.test('a handler with several statements pays for each', async t => {
    let key = 0
    const once = () =>
      call('POST /api/shows', {
        token,
        body: aShow,
        headers: { 'idempotency-key': `key ${(key += 1)}`.replace(' ', '-') },
      })
    await once()
    // BEGIN, app.enter and the claim of the key; then the show, the response to keep, the final check with COMMIT.
    t.same(await proxy?.flights(once), [3, 1, 1, 1])
  })

  await t.test('whatever the response, the connection is clean afterwards', async t => {
    for (const request of [
      `GET ${path}`,
      `GET ${unknown}`,
      'GET /api/shows?cursor=nonsense',
      'GET /api/organizations',
    ] as const) {
      await call(request, { token })
      t.same(
        await db.admin`select state from pg_stat_activity where usename = 'callboard_api' and datname = current_database()`,
        [{ state: 'idle' }],
        `${request} leaves no transaction open`,
      )
      t.same(
        await pool.use(
          sql => sql`select concat(current_setting('app.user_id', true), current_setting('app.current_org', true),
            current_setting('app.permissions', true), current_setting('app.signature', true)) as context`,
        ),
        [{ context: '' }],
        'and no context',
      )
      t.equal((await call('POST /api/shows', { token, body: aShow })).status, 201)
    }
    t.same(pool.stats(), { size: 1, open: 1, busy: 0, waiting: 0 })
    t.equal(proxy?.accepted(), 1, 'and it is always the same connection')
  })
})
