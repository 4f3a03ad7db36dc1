// Where a show has a deal, its fee is what that guarantees.
import { t } from '../support/tap.ts'
import { aShow, join, register, startServer, until } from '../support/helper.ts'
import { settling } from '../support/settling.ts'
import { outcome } from '../support/tokens.ts'

t.test('the fee of a show with a deal', async t => {
  // So that one organization may hold ten.
  const server = await startServer(t, { POOL_SIZE: '20' })
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const { make } = settling(server, token)
  const read = async (show: string) => (await call(`GET /api/shows/${show}`, { token })).body
  const fee = async (show: string) => {
    const { fee_minor, currency } = await read(show)
    return [fee_minor, currency]
  }
  const flat = (guarantee_minor: number, currency = 'EUR') => ({ kind: 'flat', currency, guarantee_minor })
  const door = { kind: 'door', currency: 'EUR', percentage: 85, base: 'net', guarantee_minor: null }

  await t.test('is what that guarantees, through every change of it', async t => {
    const show = await make('shows', { ...aShow, fee_minor: 100, currency: 'USD' })
    t.same(await fee(show), [100, 'USD'])
    const version = async () => (await call(`GET /api/shows/${show}`, { token })).headers.etag
    const before = await version()
    const deal = await make(`shows/${show}/deals`, flat(500_000))
    t.same(await fee(show), [500_000, 'EUR'])
    t.not(await version(), before, 'which is another version of the show')
    const change = async (body: object) => {
      const { status, text } = await call(`PATCH /api/deals/${deal}`, { token, body })
      if (status !== 200) throw new Error(text)
    }
    await change({ guarantee_minor: 600_000 })
    t.same(await fee(show), [600_000, 'EUR'])
    await change({ currency: 'GBP', guarantee_minor: 600_000 })
    t.same(await fee(show), [600_000, 'GBP'])
    await change({ kind: 'versus', percentage: 85, base: 'gross' })
    t.same(await fee(show), [600_000, 'GBP'])
    await change({ kind: 'door', guarantee_minor: null })
    t.same(await fee(show), [null, null], 'a door deal guarantees nothing')
    await change({ kind: 'plus', guarantee_minor: 7 })
    t.same(await fee(show), [7, 'GBP'])
    await call(`DELETE /api/deals/${deal}`, { token })
    t.same(await fee(show), [7, 'GBP'])
    const body = { fee_minor: 8, currency: 'USD' }
    t.match((await call(`PATCH /api/shows/${show}`, { token, body })).body, body, 'without one it is entered')
    t.equal((await call(`POST /api/deals/${deal}/restore`, { token })).status, 200)
    t.same(await fee(show), [7, 'GBP'])
    await call(`DELETE /api/shows/${show}`, { token })
    await call(`POST /api/shows/${show}/restore`, { token })
    t.same(await fee(show), [7, 'GBP'])
    const none = await make('shows', aShow)
    await make(`shows/${none}/deals`, door)
    t.same(await fee(none), [null, null])
  })

  await t.test('cannot be entered beside it', async t => {
    const show = await make('shows', aShow)
    await make(`shows/${show}/deals`, flat(500_000))
    const refused = [{ fee_minor: 1 }, { currency: 'USD' }, { fee_minor: null, currency: null }]
    for (const body of refused)
      t.equal(outcome(await call(`PATCH /api/shows/${show}`, { token, body })), '409 show_fee_by_deal')
    const allowed = [{ title: 'Other' }, { fee_minor: 500_000, currency: 'EUR' }]
    for (const body of allowed) t.equal((await call(`PATCH /api/shows/${show}`, { token, body })).status, 200)
    t.equal(
      outcome(await call(`PUT /api/shows/${show}`, { token, body: { ...aShow, status: 'inquiry' } })),
      '200',
    )
    t.same(await fee(show), [500_000, 'EUR'], 'whoever replaces the show need not name it')
    const put = { ...aShow, status: 'inquiry', fee_minor: 3, currency: 'EUR' }
    t.equal(outcome(await call(`PUT /api/shows/${show}`, { token, body: put })), '409 show_fee_by_deal')
    const open = await make('shows', aShow)
    await make(`shows/${open}/deals`, door)
    const body = { fee_minor: 3, currency: 'EUR' }
    t.equal(outcome(await call(`PATCH /api/shows/${open}`, { token, body })), '409 show_fee_by_deal')
  })

  await t.test('is seen and given by nobody who sees no money', async t => {
    const show = await make('shows', aShow)
    const writer = await join(server, ana, 'manager')
    const rights = { token, body: { effect: 'deny' } }
    await call(`PUT /api/users/${writer.id}/permissions/finance.read`, rights)
    const entered = await call(`POST /api/shows/${show}/deals`, { token: writer.token, body: flat(500_000) })
    t.equal(entered.status, 403)
    t.same(await fee(show), [null, null])
    await make(`shows/${show}/deals`, flat(500_000))
    t.match((await call(`GET /api/shows/${show}`, { token: writer.token })).body, {
      fee_minor: null,
      fee_hidden: true,
    })
    const rightToDelete = { token, body: { effect: 'grant' } }
    await call(`PUT /api/users/${writer.id}/permissions/shows.delete`, rightToDelete)
    t.equal((await call(`DELETE /api/shows/${show}`, { token: writer.token })).status, 204)
    t.equal((await call(`POST /api/shows/${show}/restore`, { token: writer.token })).status, 200)
    t.same(await fee(show), [500_000, 'EUR'], 'and stays when they restore the show')
  })

  await t.test('is given by a deal that is restored, which takes who may write money', async t => {
    const show = await make('shows', aShow)
    const deal = await make(`shows/${show}/deals`, flat(10_000))
    await call(`DELETE /api/deals/${deal}`, { token })
    await call(`PATCH /api/shows/${show}`, { token, body: { fee_minor: 999_900, currency: 'USD' } })
    const dov = await join(server, ana, 'manager')
    for (const [permission, effect] of [
      ['finance.delete', 'grant'],
      ['finance.write', 'deny'],
    ])
      await call(`PUT /api/users/${dov.id}/permissions/${permission}`, { token, body: { effect } })
    const path = `POST /api/deals/${deal}/restore` as const
    t.equal(outcome(await call(path, { token: dov.token })), '403 permission_denied')
    t.same(await fee(show), [999_900, 'USD'])
    t.equal((await call(path, { token })).status, 200)
    t.same(await fee(show), [10_000, 'EUR'])
  })

  await t.test('and its tickets are there when parts of a show are restored at the same moment', async t => {
    const show = await make('shows', aShow)
    const parts = [`deals/${await make(`shows/${show}/deals`, flat(500_000))}`]
    for (let n = 0; n < 4; n++) {
      const tier = { name: `Tier ${n}`, price_minor: 100, allotment: 10, sold: 1 }
      parts.push(`ticket-tiers/${await make(`shows/${show}/ticket-tiers`, tier)}`)
    }
    for (const part of parts) await call(`DELETE /api/${part}`, { token })
    // Whoever waits in a circle is not let out of it before the end of a statement, and its request fails.
    await db.admin.unsafe(`alter database "${db.name}" set deadlock_timeout = '1min'`)
    await db.admin`
      select pg_terminate_backend(pid, 5000) from pg_stat_activity
      where datname = current_database() and usename = 'callboard_api'`
    await until(async () => (await call(`GET /api/shows/${show}`, { token })).status === 200)
    const answers = await Promise.all(parts.map(part => call(`POST /api/${part}/restore`, { token })))
    t.same(
      answers.map(({ status }) => status),
      parts.map(() => 200),
    )
    t.same([await fee(show), (await read(show))['tickets_sold']], [[500_000, 'EUR'], 4])
  })

  await t.test('is that of the deal also if both are entered at the same moment', async t => {
    for (let n = 0; n < 5; n++) {
      const show = await make('shows', aShow)
      const body = { fee_minor: 1, currency: 'USD' }
      await Promise.all([
        call(`POST /api/shows/${show}/deals`, { token, body: flat(500_000) }),
        call(`PATCH /api/shows/${show}`, { token, body }),
      ])
      t.same(await fee(show), [500_000, 'EUR'])
    }
  })

  await t.test('is made that of the deal by the worker, where an earlier release did not', async t => {
    const [show, open, bare] = [
      await make('shows', aShow),
      await make('shows', aShow),
      await make('shows', aShow),
    ]
    await make(`shows/${show}/deals`, flat(500_000))
    await make(`shows/${open}/deals`, door)
    await make(`shows/${bare}/deals`, door)
    await db.admin`delete from app.show_fees where show_id in ${db.admin([show, open, bare])}`
    await db.admin.begin(async sql => {
      await sql`set local session_replication_role = replica`
      await sql`insert into app.show_fees (organization_id, show_id, fee_minor, currency) values (${ana.organization}, ${open}, 1, 'USD')`
    })
    t.same(
      [await fee(show), await fee(open)],
      [
        [null, null],
        [1, 'USD'],
      ],
    )
    const reconcile = async () =>
      (await db.as('callboard_worker')`select app.reconcile_shows() as done`)[0]?.['done'] as unknown
    t.match(await reconcile(), { matched: 2, failed: 0, because: [] })
    t.same(
      [await fee(show), await fee(open)],
      [
        [500_000, 'EUR'],
        [null, null],
      ],
    )
    const refused = await call(`PATCH /api/shows/${bare}`, {
      token,
      body: { fee_minor: 1, currency: 'EUR' },
    })
    t.equal(outcome(refused), '409 show_fee_by_deal', 'a row is there, though there is no fee')
    t.match(await reconcile(), { matched: 0 })
  })
})
