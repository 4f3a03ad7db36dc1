// A final settlement is in the books and in the figures, each line once.
import { t } from '../support/tap.ts'
import { aShow, join, register, startServer, until } from '../support/helper.ts'
import { type Recorded, settling } from '../support/settling.ts'
import { outcome } from '../support/tokens.ts'
import { startWorker } from '../../src/jobs/worker.ts'

interface Entry {
  id: string
  kind: 'income' | 'expense'
  category_name: string
  amount_minor: number
  tax_minor: number
  booked_on: string
  status: string
  payment_status: string
  note: string | null
  settlement_id: string | null
}
type Final = Recorded & {
  booked_at: string | null
  not_booked_because: string | null
  bookings: { finance_record_id: string; line: string; status: string }[]
}
const deal = {
  kind: 'versus',
  currency: 'EUR',
  guarantee_minor: 500_000,
  percentage: 85,
  base: 'net_after_promoter_profit',
  tax_percentage: 8,
  promoter_profit_percentage: 15,
}

t.test('a final settlement', async t => {
  const server = await startServer(t)
  const { call, db, app, config } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  await call(`PATCH /api/organizations/${ana.organization}`, { token, body: { currency: 'EUR' } })
  const { make, show500, draft, record, finalize, reopen, statusOf } = settling(server, token)
  const entries = async (show: string) => {
    const { body } = await call<{ items: Entry[] }>(`GET /api/finance-records?show_id=${show}&limit=100`, {
      token,
    })
    return body.items
  }
  const profit = (items: Entry[]) =>
    items
      .filter(({ status }) => status === 'actual')
      .reduce((sum, e) => sum + (e.kind === 'income' ? e.amount_minor : -e.amount_minor), 0)
  const categories = async () =>
    (
      await call<{ items: { id: string; kind: string; name: string }[] }>(
        'GET /api/finance-categories?limit=100',
        { token },
      )
    ).body.items
  const category = async (name: string) => (await categories()).find(c => c.name === name)?.id ?? ''
  const byHand = async (show: string, name: string, amount_minor: number, more: object = {}) => {
    const found = (await categories()).find(c => c.name === name)
    const body = {
      kind: found?.kind,
      category_id: found?.id,
      show_id: show,
      booked_on: '2027-02-03',
      amount_minor,
      status: 'actual',
      ...more,
    }
    return make('finance-records', body)
  }

  await t.test(
    'is in the books line by line, linked both ways, and what remains is the promoter’s',
    async t => {
      const show = await show500(deal)
      await make(`shows/${show}/ticket-tiers`, {
        name: 'Balcony',
        price_minor: 4550,
        allotment: 50,
        sold: 31,
      })
      await make(`shows/${show}/costs`, { name: 'catering', kind: 'fixed', amount_minor: 12_345 })
      await make(`shows/${show}/deposits`, { paid_on: '2027-01-10', amount_minor: 250_000, note: 'Half' })
      t.same(await entries(show), [])
      const { id } = (await record(show)).body
      const finalized = await finalize(id)
      t.equal(finalized.status, 200, finalized.text)
      const final = finalized.body as Final
      const { result } = final
      const items = await entries(show)
      t.match(
        items
          .map(e => [e.category_name, e.kind, e.amount_minor, e.booked_on, e.payment_status, e.note])
          .sort(),
        [
          ['Artist fees', 'expense', 250_000, '2027-01-10', 'paid', 'Half'],
          [
            'Artist fees',
            'expense',
            result['balance_minor'],
            '2027-02-03',
            'unpaid',
            'Balance of the settlement',
          ],
          ['Catering', 'expense', 12_345, '2027-02-03', 'unpaid', 'catering'],
          ['Other expenses', 'expense', 42_480, '2027-02-03', 'unpaid', 'Ticketing'],
          ['Production', 'expense', 400_000, '2027-02-03', 'unpaid', 'Production'],
          [
            'Taxes and licences',
            'expense',
            result['tax_minor'],
            '2027-02-03',
            'unpaid',
            'Tax in the ticket prices',
          ],
          ['Ticket sales', 'income', 141_050, '2027-02-03', 'unpaid', '31 × Balcony'],
          ['Ticket sales', 'income', 1_500_000, '2027-02-03', 'unpaid', '500 × Standing'],
          ['Venue hire', 'expense', 100_000, '2027-02-03', 'unpaid', 'Facility fees'],
        ],
      )
      const sales = items.filter(e => e.category_name === 'Ticket sales')
      t.equal(
        sales.reduce((sum, e) => sum + e.tax_minor, 0),
        result['tax_minor'],
        'the tax is divided among the tiers',
      )
      t.equal(profit(items), result['promoter_minor'])
      t.same(new Set(items.map(e => e.settlement_id)), new Set([id]))
      t.same(
        new Set(final.bookings.map(b => b.finance_record_id)),
        new Set(items.map(e => e.id)),
        'each of the two names the other',
      )
      t.ok(final.booked_at)

      await call('POST /api/analytics/refresh', { token })
      const worker = startWorker(config, db.url('callboard_worker'), () => '', app.log)
      t.teardown(() => worker.stop())
      await until(async () => {
        const { body } = await call<{ items: { show_id: string }[] }>(
          'GET /api/analytics/finance/shows?from=2027-01-01&to=2027-12-31',
          { token },
        )
        return JSON.stringify(body.items.find(x => x.show_id === show) ?? '').includes(
          String(result['promoter_minor']),
        )
      })
      t.pass('and in the figures')
    },
  )

  await t.test('of a door deal that was paid too much books the repayment', async t => {
    const show = await show500({ kind: 'door', currency: 'EUR', percentage: 10, base: 'net_receipts' })
    await make(`shows/${show}/deposits`, { paid_on: '2027-01-10', amount_minor: 900_000 })
    const { result } = (await finalize((await record(show)).body.id)).body
    const items = await entries(show)
    t.match(
      items.find(e => e.category_name === 'Other income'),
      { amount_minor: -(result['balance_minor'] ?? 0) },
    )
    t.equal(profit(items), result['promoter_minor'])
  })

  await t.test(
    'leaves the books when it is reopened, and is in them once when it is final again',
    async t => {
      const show = await show500(deal)
      const first = (await record(show)).body
      await finalize(first.id)
      const before = profit(await entries(show))
      t.equal((await reopen(show, 'Once more')).status, 200)
      t.equal(profit(await entries(show)), 0)
      t.same(new Set((await entries(show)).map(e => e.status)), new Set(['void']))
      const second = (await record(show, 'The same again')).body
      t.same(second.result, first.result)
      t.equal((await finalize(second.id)).status, 200)
      t.equal(profit(await entries(show)), before)
      t.equal((await entries(show)).filter(e => e.status === 'actual').length, 6)
    },
  )

  await t.test('is booked in the next open month, which it says, and reversed there', async t => {
    const close = (month: string) => call(`PUT /api/finance-periods/${month}`, { token })
    const show = await show500(deal)
    await make(`shows/${show}/deposits`, { paid_on: '2027-01-10', amount_minor: 1000 })
    for (const month of ['2027-01', '2027-02', '2027-03']) t.equal((await close(month)).status, 200)
    const { id, result } = (await record(show)).body
    t.equal((await finalize(id)).status, 200)
    const items = await entries(show)
    t.same(new Set(items.map(e => e.booked_on)), new Set(['2027-04-01']))
    t.match(
      items.find(e => e.category_name === 'Taxes and licences')?.note,
      /of 2027-02-03, whose month is closed/,
    )
    t.equal((await close('2027-04')).status, 200)
    t.equal((await reopen(show, 'A ticket was found')).status, 200)
    const after = await entries(show)
    t.equal(after.length, items.length * 2)
    t.equal(profit(after), 0, 'the reversals are the same amounts')
    const paid = (all: Entry[]) => profit(all.filter(e => e.payment_status === 'paid'))
    t.equal(paid(items), -1000)
    t.equal(paid(after), 0, 'and paid as these were')
    t.same(
      new Set(after.filter(e => /^Reversal: /.test(e.note ?? '')).map(e => e.booked_on)),
      new Set(['2027-05-01']),
    )
    t.equal((await finalize((await record(show, 'Found')).body.id)).status, 200)
    t.equal(profit(await entries(show)), result['promoter_minor'])
    t.equal(paid(await entries(show)), -1000, 'the deposit was paid once')
    for (const month of ['2027-01', '2027-02', '2027-03', '2027-04'])
      t.equal((await call(`DELETE /api/finance-periods/${month}`, { token })).status, 204)
  })

  await t.test('asks what becomes of money that somebody has entered already', async t => {
    const show = await show500(deal)
    const sold = await byHand(show, 'Ticket sales', 1_400_000)
    const other = await byHand(show, 'Sponsorship', 5000)
    const planned = await byHand(show, 'Artist fees', 1, { status: 'planned' })
    const { id, result } = (await record(show)).body
    t.equal(outcome(await call(`POST /api/settlements/${id}/book`, { token })), '409 settlement_not_in_force')
    t.match((await finalize(id)).body, {
      not_booked_because: 'booked_by_hand',
      booked_at: null,
      bookings: [],
    })
    t.equal(await statusOf(show), 'settled')
    const book = (query = '') => call<Final>(`POST /api/settlements/${id}/book${query}`, { token })
    const refused = await book()
    t.equal(outcome(refused), '409 settlement_booked_by_hand')
    t.match(refused.body, { detail: /categories: 1\./ })
    const done = await book('?existing=void')
    t.match(done.body, { not_booked_because: null, booked_at: /./ })
    t.same((await book('?existing=void')).body.bookings, done.body.bookings, 'nothing is entered again')
    const items = await entries(show)
    t.equal(items.find(e => e.id === sold)?.status, 'void')
    t.equal(items.find(e => e.id === planned)?.status, 'planned')
    t.equal(items.find(e => e.id === other)?.status, 'actual')
    t.equal(profit(items), (result['promoter_minor'] ?? 0) + 5000)

    const kept = await show500(deal)
    await byHand(kept, 'Ticket sales', 7)
    const revision = (await record(kept)).body.id
    t.equal((await call(`POST /api/settlements/${revision}/finalize?existing=keep`, { token })).status, 200)
    t.equal(profit(await entries(kept)), (result['promoter_minor'] ?? 0) + 7)
  })

  await t.test('in another currency than the books needs an exchange rate', async t => {
    const show = await show500({ ...deal, currency: 'USD' })
    const { id, result } = (await record(show)).body
    t.match((await finalize(id)).body, { not_booked_because: 'exchange_rate_needed', bookings: [] })
    const refused = await call(`POST /api/settlements/${id}/book`, { token })
    t.equal(outcome(refused), '422 settlement_exchange_rate_needed')
    t.match(refused.body, { detail: 'The books are kept in EUR, and the deal is in USD.' })
    t.equal((await call(`POST /api/settlements/${id}/book?exchange_rate=0.92`, { token })).status, 200)
    const [entry] = (await entries(show)).filter(e => e.category_name === 'Ticket sales')
    t.match(entry, { currency: 'USD', exchange_rate: 0.92, base_amount_minor: 1_380_000 })
    t.equal(profit(await entries(show)), result['promoter_minor'])
  })

  await t.test('in the currency of the books has no other exchange rate than 1', async t => {
    const show = await show500(deal)
    const { id } = (await record(show)).body
    const refused = '422 finance_records_exchange_rate_of_base'
    const path = `/api/settlements/${id}` as const
    t.equal(outcome(await call(`POST ${path}/finalize?exchange_rate=0.92`, { token })), refused)
    t.match((await call(`GET ${path}`, { token })).body, { status: 'draft', bookings: [] })
    await byHand(show, 'Ticket sales', 7)
    t.equal(outcome(await call(`POST ${path}/finalize?exchange_rate=0.92`, { token })), refused)
    t.match((await call(`POST ${path}/finalize?exchange_rate=1`, { token })).body, {
      status: 'final',
      not_booked_because: 'booked_by_hand',
    })
    t.equal(outcome(await call(`POST ${path}/book?existing=void&exchange_rate=0.92`, { token })), refused)
    t.match((await call(`GET ${path}`, { token })).body, { booked_at: null, bookings: [] })
    t.match((await call(`POST ${path}/book?existing=void&exchange_rate=1`, { token })).body, {
      booked_at: /./,
    })
  })

  await t.test('keeps its records from being changed, but for category, payment and notes', async t => {
    const show = await show500(deal)
    await finalize((await record(show)).body.id)
    const { id } = (await entries(show))[0] as Entry
    const of = `/api/finance-records/${id}`
    for (const body of [
      { amount_minor: 1 },
      { booked_on: '2027-02-04' },
      { show_id: null },
      { status: 'void' },
      { exchange_rate: 1, currency: 'USD' },
      { tax_minor: 0, amount_minor: 5 },
    ])
      t.equal(outcome(await call(`PATCH ${of}`, { token, body })), '409 finance_record_of_settlement')
    t.equal(outcome(await call(`DELETE ${of}`, { token })), '409 finance_record_of_settlement')
    const kind = (await entries(show))[0]?.kind
    const free = {
      payment_status: 'paid',
      note: 'By transfer',
      due_on: '2027-02-20',
      category_id: await category(kind === 'income' ? 'Other income' : 'Other expenses'),
    }
    t.equal((await call(`PATCH ${of}`, { token, body: free })).status, 200)
    await t.rejects(
      db.admin`update app.finance_records set amount_minor = 1 where id = ${id}`,
      { code: 'PT409', message: 'finance_record_of_settlement' },
      'not even by a superuser',
    )
    t.equal((await call(`DELETE /api/shows/${show}`, { token })).status, 204)
    t.equal((await entries(show)).length > 0, true, 'what was booked stays')
  })

  await t.test('cannot be booked twice, by twenty at once', async t => {
    const show = await show500(deal)
    const { id, result } = (await record(show)).body
    const answers = await Promise.all(Array.from({ length: 20 }, () => finalize(id)))
    t.equal(answers.filter(({ status }) => status === 200).length, 1)
    t.equal(profit(await entries(show)), result['promoter_minor'])
  })

  await t.test('of before is booked by the worker, unless somebody has entered the money', async t => {
    const [plain, entered, foreign, mended] = [
      await show500(deal),
      await show500(deal),
      await show500({ ...deal, currency: 'USD' }),
      await make('shows', aShow),
    ]
    await byHand(entered, 'Ticket sales', 7)
    await make(`shows/${mended}/ticket-tiers`, { name: 'Stalls', price_minor: 3000, allotment: 70, sold: 50 })
    const revisions: string[] = []
    for (const show of [plain, entered, foreign]) revisions.push((await record(show)).body.id)
    await db.admin.begin(async sql => {
      await sql`set local session_replication_role = replica`
      await sql`update app.settlements set status = 'final', finalized_at = now() where id = any (${revisions})`
      await sql`update app.shows set status = 'settled' where id = any (${[plain, entered, foreign]})`
      await sql`update app.shows set tickets_sold = 3, capacity = null where id = ${mended}`
    })
    const again = async () => {
      const parts: Record<string, number>[] = []
      let next: unknown = null
      do {
        const [{ part }]: [{ part: Record<string, number> & { next: unknown } }] = await db.as(
          'callboard_worker',
        )`select app.reconcile_shows(${next === null ? null : JSON.stringify(next)}::text::jsonb) as part`
        parts.push(part)
        next = part.next
      } while (next !== null)
      const sum = (name: string) => parts.reduce((all, part) => all + (part[name] ?? 0), 0)
      return ['matched', 'booked', 'left_alone', 'failed'].map(sum)
    }
    t.same(await again(), [1, 1, 2, 0])
    t.same(await again(), [0, 0, 0, 0])
    // One that cannot be booked stops nothing, and it is said why.
    await db.admin.begin(async sql => {
      await sql`set local session_replication_role = replica`
      await sql`update app.settlements set not_booked_because = null, inputs = inputs - 'currency' where id = ${revisions[2] ?? ''}`
    })
    const [{ part }] = await db.as('callboard_worker')<[{ part: object }]>`
      select app.reconcile_shows() as part`
    t.match(part, { failed: 1, because: [{ settlement_id: revisions[2], failed_with: /null value/ }] })
    await db.admin.begin(async sql => {
      await sql`set local session_replication_role = replica`
      await sql`update app.settlements set not_booked_because = 'exchange_rate_needed', inputs = inputs || '{"currency": "USD"}' where id = ${revisions[2] ?? ''}`
    })
    t.equal(profit(await entries(plain)), (await draft(plain)).body.result['promoter_minor'])
    const because = async (id: string | undefined) =>
      (await call<Final>(`GET /api/settlements/${id ?? ''}`, { token })).body.not_booked_because
    t.same(
      [await because(revisions[0]), await because(revisions[1]), await because(revisions[2])],
      [null, 'booked_by_hand', 'exchange_rate_needed'],
    )
    t.match((await call(`GET /api/shows/${mended}`, { token })).body, { tickets_sold: 50, capacity: 70 })
  })

  await t.test('and its bookings need the permission to close', async t => {
    const show = await show500(deal)
    const { id } = (await record(show)).body
    const manager = await join(server, ana, 'manager')
    t.equal(
      outcome(await call(`POST /api/settlements/${id}/finalize`, { token: manager.token })),
      '403 permission_denied',
    )
    t.equal((await entries(show)).length, 0)
  })
})
