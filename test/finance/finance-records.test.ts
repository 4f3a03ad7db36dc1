import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { aShow, join, type Person, register, startServer } from '../support/helper.ts'
import { openLogin, secretOf } from '../isolation/world.ts'
import { outcome } from '../support/tokens.ts'

interface FinanceRecord extends Record<string, unknown> {
  id: string
  base_amount_minor: number
}

/** An owner with a company, its first income category, and shorthands for its records. */
async function books(t: Test, settings: object = {}) {
  const server = await startServer(t)
  const { call } = server
  const owner = await register(server, 'Ana')
  const { token } = owner
  await call(`PUT /api/organizations/${owner.organization}`, {
    token,
    body: { name: 'Northlight', currency: 'EUR', time_zone: 'Europe/Berlin', ...settings },
  })
  const list = await call<{ items: { id: string; name: string }[] }>('GET /api/finance-categories', { token })
  const category = (name: string) => list.body.items.find(item => item.name === name)?.id ?? ''
  const aRecord = {
    kind: 'income',
    category_id: category('Guarantee'),
    booked_on: '2027-03-14',
    amount_minor: 1_000_00,
  }
  const enter = (body: object = {}) =>
    call<FinanceRecord>('POST /api/finance-records', { token, body: { ...aRecord, ...body } })
  const change = (id: string, body: object) =>
    call<FinanceRecord>(`PATCH /api/finance-records/${id}`, { token, body })
  const items = async (query = '', as: Person = owner) =>
    (
      await call<{ items: FinanceRecord[] }>(`GET /api/finance-records?limit=200${query}`, {
        token: as.token,
      })
    ).body.items
  const show = async (body: object = {}) =>
    (await call<{ id: string }>('POST /api/shows', { token, body: { ...aShow, ...body } })).body.id
  return { server, call, owner, token, category, aRecord, enter, change, items, show, names: list.body.items }
}

t.test('a new organization starts with the usual categories, which are its own', async t => {
  const { server, call, token, names, category } = await books(t)
  t.ok(names.length >= 15)
  const other = await register(server, 'Ben')
  const theirs = await call<{ items: { id: string; name: string }[] }>('GET /api/finance-categories', {
    token: other.token,
  })
  t.strictSame(
    theirs.body.items.map(({ name }) => name),
    names.map(({ name }) => name),
  )
  const id = category('Insurance')
  t.match(await call(`PATCH /api/finance-categories/${id}`, { token, body: { name: 'Insurances' } }), {
    status: 200,
    body: { name: 'Insurances' },
  })
  t.equal(
    outcome(
      await call('POST /api/finance-categories', { token, body: { kind: 'expense', name: 'INSURANCES' } }),
    ),
    '409 finance_category_name_taken',
  )
  t.equal(
    (await call('POST /api/finance-categories', { token, body: { kind: 'income', name: 'Insurances' } }))
      .status,
    201,
    'the name is free for the other kind',
  )
  t.equal(
    outcome(await call(`DELETE /api/finance-categories/${id}`, { token, headers: { 'if-match': '"1"' } })),
    '412 version_mismatch',
  )
  t.equal((await call(`DELETE /api/finance-categories/${id}`, { token })).status, 204)
  t.equal(
    (await call('POST /api/finance-categories', { token, body: { kind: 'expense', name: 'Insurances' } }))
      .status,
    201,
    'a deleted one frees its name',
  )
  t.equal(
    outcome(await call(`POST /api/finance-categories/${id}/restore`, { token })),
    '409 finance_category_name_taken',
  )
})

t.test('money', async t => {
  const { server, enter, change, call, token, owner } = await books(t)

  // amount, currency, rate -> amount in EUR, which has two decimals
  const conversions: [amount: number, currency: string, rate: number | undefined, base: number][] = [
    [100_00, 'EUR', undefined, 100_00],
    [100_00, 'EUR', 1, 100_00],
    [100_00, 'USD', 0.9215, 92_15],
    [1, 'USD', 0.5, 1],
    [3, 'USD', 0.5, 2],
    [1, 'USD', 0.4999, 0],
    // No decimals, and three.
    [12_345, 'JPY', 0.0062, 76_54],
    [12_345, 'KWD', 2.98, 36_79],
    [1, 'KWD', 5, 1],
    [0, 'USD', 3, 0],
    [9_007_199_254_740_991, 'EUR', undefined, 9_007_199_254_740_991],
  ]
  for (const [amount_minor, currency, exchange_rate, base] of conversions)
    await t.test(`${amount_minor} ${currency} at ${exchange_rate ?? 'no rate'} is ${base} EUR`, async t => {
      const { status, body } = await enter({
        amount_minor,
        currency,
        ...(exchange_rate !== undefined && { exchange_rate }),
      })
      t.equal(status, 201)
      t.match(body, { amount_minor, currency, base_amount_minor: base, base_currency: 'EUR' })
      t.equal(body['exchange_rate'], exchange_rate ?? 1)
    })

  const refused: [what: object, outcome: string][] = [
    [{ currency: 'USD' }, '422 finance_records_exchange_rate_needed'],
    [{ currency: 'EUR', exchange_rate: 2 }, '422 finance_records_exchange_rate_of_base'],
    [{ currency: 'ABC', exchange_rate: 2 }, '422 finance_records_currency_exists'],
    [{ currency: 'USD', exchange_rate: 0.00000000001 }, '422 finance_records_exchange_rate_range'],
    [
      { amount_minor: Number.MAX_SAFE_INTEGER, currency: 'USD', exchange_rate: 1_000_000_000 },
      '422 finance_records_base_amount_range',
    ],
    [{ tax_minor: 1_000_01 }, '422 finance_records_tax_within_amount'],
    [{ source: 'bank' }, '422 finance_records_external_ref_with_source'],
    [{ external_ref: '1' }, '422 finance_records_external_ref_with_source'],
    [{ booked_on: '1899-12-31' }, '422 finance_records_booked_on_range'],
    [{ due_on: '2200-01-01' }, '422 finance_records_due_on_range'],
    [{ kind: 'expense' }, '409 finance_records_category_exists'],
    [{ exchange_rate: 0 }, '400 validation'],
    [{ amount_minor: -1 }, '400 validation'],
    [{ amount_minor: 1.5 }, '400 validation'],
    [{ amount_minor: '1' }, '400 validation'],
    [{ base_amount_minor: 1 }, '400 validation'],
    [{ base_currency: 'USD' }, '400 validation'],
  ]
  for (const [what, expected] of refused)
    await t.test(`${JSON.stringify(what)} is refused`, async t => {
      t.equal(outcome(await enter(what)), expected)
    })

  await t.test('a record keeps the base currency and rate that it was entered with', async t => {
    const { body } = await enter({ currency: 'USD', exchange_rate: 0.9 })
    const inDollars = await call(`PATCH /api/organizations/${owner.organization}`, {
      token,
      body: { currency: 'USD' },
    })
    t.equal(outcome(inDollars), '409 organization_has_books')
    t.match(inDollars.body, {
      detail: 'The books are kept in EUR: finance records, budgets or per diems have been entered.',
    })
    await server.db.admin.begin(async sql => {
      // As releases up to 0.2.0 did.
      await sql`set local session_replication_role = replica`
      await sql`update app.organizations set currency = 'USD' where id = ${owner.organization}`
    })
    t.match((await change(body.id, { amount_minor: 200_00 })).body, {
      base_amount_minor: 180_00,
      base_currency: 'EUR',
      exchange_rate: 0.9,
    })
    t.match((await enter({ currency: 'EUR', exchange_rate: 1.1 })).body, {
      base_amount_minor: 1100_00,
      base_currency: 'USD',
    })
  })

  await t.test('another currency needs its own rate', async t => {
    const { body } = await enter({ currency: 'EUR', exchange_rate: 1.1 })
    t.equal(
      outcome(await change(body.id, { currency: 'GBP', amount_minor: 1000_00 })),
      '422 finance_records_exchange_rate_needed',
      'the old rate is not for pounds',
    )
    t.match((await change(body.id, { currency: 'GBP', exchange_rate: 1.25, amount_minor: 1000_00 })).body, {
      base_amount_minor: 1250_00,
    })
    t.match((await change(body.id, { note: 'paid in cash' })).body, { exchange_rate: 1.25 })
    t.match((await change(body.id, { currency: 'USD', amount_minor: 1000_00 })).body, {
      base_amount_minor: 1000_00,
      exchange_rate: 1,
    })
  })
})

t.test('the currencies of ISO 4217 are listed with their decimals', async t => {
  const { call, token } = await books(t)
  const { body } = await call<{ items: { code: string; minor_digits: number }[] }>('GET /api/currencies', {
    token,
  })
  const digits = Object.fromEntries(body.items.map(item => [item.code, item.minor_digits]))
  t.match(digits, { EUR: 2, USD: 2, JPY: 0, KRW: 0, KWD: 3, TND: 3, CLF: 4 })
  t.ok(body.items.length > 150)
})

t.test('statuses', async t => {
  const { enter, change } = await books(t)
  const allowed: Record<string, string[]> = {
    planned: ['committed', 'actual', 'void'],
    committed: ['planned', 'actual', 'void'],
    actual: ['committed', 'void'],
    void: [],
  }
  for (const [from, to] of Object.entries(allowed))
    for (const status of Object.keys(allowed))
      await t.test(`from ${from} to ${status}`, async t => {
        const { body } = await enter({ status: from })
        const may = status === from || to.includes(status)
        t.equal(
          outcome(await change(body.id, { status })),
          may ? '200' : '409 finance_record_status_transition',
        )
      })
})

t.test('a reference to another system is unique', async t => {
  const { server, call, token, enter, items } = await books(t)
  const reference = { source: 'bank', external_ref: 'INV-1' }
  const { body } = await enter(reference)
  t.equal(outcome(await enter(reference)), '409 finance_record_external_ref_taken')
  t.equal((await enter({ ...reference, source: 'shop' })).status, 201)
  t.strictSame(
    (await items('&source=bank&external_ref=INV-1')).map(({ id }) => id),
    [body.id],
  )
  // Another organization has its own.
  const ben = await register(server, 'Ben')
  const theirs = await call<{ items: { id: string; kind: string }[] }>(
    'GET /api/finance-categories?kind=income',
    { token: ben.token },
  )
  const record = {
    kind: 'income',
    category_id: theirs.body.items[0]?.id,
    booked_on: '2027-01-01',
    amount_minor: 1,
  }
  t.equal(
    (await call('POST /api/finance-records', { token: ben.token, body: { ...record, ...reference } })).status,
    201,
  )
  await call(`DELETE /api/finance-records/${body.id}`, { token })
  t.equal((await enter(reference)).status, 201, 'a deleted one does not count')
  t.equal(
    outcome(await call(`POST /api/finance-records/${body.id}/restore`, { token })),
    '409 finance_record_external_ref_taken',
  )
})

t.test('lists', async t => {
  const { call, token, enter, items, category, show } = await books(t)
  const binned = await enter({ booked_on: '2027-02-14' })
  await call(`DELETE /api/finance-records/${binned.body.id}`, { token })
  const showId = await show()
  const artists = category('Artist fees')
  await enter({ booked_on: '2027-01-31', status: 'actual', payment_status: 'paid' })
  await enter({ booked_on: '2027-02-01', kind: 'expense', category_id: artists, show_id: showId })
  await enter({ booked_on: '2027-02-28', currency: 'USD', exchange_rate: 0.9 })
  const filters: [query: string, days: string[]][] = [
    ['', ['2027-01-31', '2027-02-01', '2027-02-28']],
    ['&sort=-booked_on', ['2027-02-28', '2027-02-01', '2027-01-31']],
    ['&from=2027-02-01', ['2027-02-01', '2027-02-28']],
    ['&from=2027-02-01&to=2027-02-01', ['2027-02-01']],
    ['&kind=expense', ['2027-02-01']],
    ['&status=actual', ['2027-01-31']],
    ['&payment_status=unpaid', ['2027-02-01', '2027-02-28']],
    ['&currency=USD', ['2027-02-28']],
    [`&show_id=${showId}`, ['2027-02-01']],
    [`&category_id=${artists}`, ['2027-02-01']],
    ['&kind=income&currency=USD&from=2027-03-01', []],
    ['&deleted=only', ['2027-02-14']],
    ['&deleted=only&kind=expense', []],
  ]
  for (const [query, days] of filters)
    await t.test(`filtered by ${query}`, async t => {
      t.strictSame(
        (await items(query)).map(item => item['booked_on']),
        days,
      )
    })
})

t.test('a closed month', async t => {
  const { server, call, owner, token, enter, change, show, items } = await books(t)
  const { body: march } = await enter({ booked_on: '2027-03-31' })
  const { body: april } = await enter({ booked_on: '2027-04-01' })
  const { body: binned } = await enter({ booked_on: '2027-03-15' })
  const showId = await show()
  const { body: forShow } = await enter({ booked_on: '2027-03-20', show_id: showId })
  await call(`DELETE /api/finance-records/${binned.id}`, { token })
  const close = (as: Person) => call('PUT /api/finance-periods/2027-03', { token: as.token })
  const manager = await join(server, owner, 'manager')
  t.equal(outcome(await close(manager)), '403 permission_denied')
  t.match(await close(owner), { status: 200, body: { month: '2027-03', closed_by: owner.id } })
  t.equal((await close(owner)).status, 200, 'closing twice is not an error')

  const writes: [what: string, request: () => ReturnType<typeof call>][] = [
    ['entering', () => enter({ booked_on: '2027-03-01' })],
    ['changing', () => change(march.id, { note: 'x' })],
    ['moving out of it', () => change(march.id, { booked_on: '2027-04-02' })],
    ['moving into it', () => change(april.id, { booked_on: '2027-03-02' })],
    ['deleting', () => call(`DELETE /api/finance-records/${march.id}`, { token })],
    ['restoring', () => call(`POST /api/finance-records/${binned.id}/restore`, { token })],
    ['deleting the show of something planned', () => call(`DELETE /api/shows/${showId}`, { token })],
  ]
  for (const [what, request] of writes)
    await t.test(`refuses ${what}`, async t => {
      const answer = await request()
      t.equal(outcome(answer), '409 period_closed')
      t.match(answer.text, /2027-03/)
    })
  await t.test('can be read, and leaves its neighbours alone', async t => {
    t.equal((await items('&from=2027-03-01&to=2027-03-31')).length, 2)
    t.equal((await enter({ booked_on: '2027-02-28' })).status, 201)
    t.equal((await change(april.id, { note: 'x' })).status, 200)
    t.strictSame((await call('GET /api/finance-periods', { token })).body['items'], [
      { month: '2027-03', closed_at: (await close(owner)).body['closed_at'], closed_by: owner.id },
    ])
  })
  await t.test('is deleted with the organization and restored with it', async t => {
    const path = `/api/organizations/${owner.organization}`
    t.equal((await call(`DELETE ${path}`, { token })).status, 204)
    t.equal((await call(`POST ${path}/restore`, { token })).status, 200)
    t.equal((await items()).length, 4)
    t.equal(outcome(await change(march.id, { note: 'x' })), '409 period_closed')
  })
  await t.test('is reopened by those who may close it, and the log has both', async t => {
    const path = 'DELETE /api/finance-periods/2027-03' as const
    t.equal(outcome(await call(path, { token: manager.token })), '403 permission_denied')
    t.equal((await call(path, { token })).status, 204)
    t.equal(outcome(await call(path, { token })), '404 not_found')
    t.equal((await change(march.id, { note: 'x' })).status, 200)
    t.equal((await call(`DELETE /api/shows/${showId}`, { token })).status, 204)
    t.equal((await call(`GET /api/finance-records/${forShow.id}`, { token })).status, 404)
    const events = await call<{ items: { action: string }[] }>(
      'GET /api/audit/events?action=finance_period.reopen',
      { token },
    )
    t.equal(events.body.items.length, 1)
  })
})

t.test('closing a month waits for writes in progress', async t => {
  const { server, owner, token, aRecord } = await books(t)
  const { call, db } = server
  const sql = openLogin(t, db.url('callboard_api'))
  let closed: Promise<{ status: number }> | undefined
  let isClosed = false
  await sql.begin('read write', async tx => {
    await tx`select app.enter(${secretOf(owner)}, ${owner.organization})`
    await tx`select from app.create_finance_record(${tx.json({ ...aRecord, booked_on: '2029-05-05' })})`
    closed = call('PUT /api/finance-periods/2029-05', { token })
    void closed.then(() => (isClosed = true))
    await new Promise(resolve => setTimeout(resolve, 300))
    t.equal(isClosed, false)
  })
  t.equal((await closed)?.status, 200)
  t.equal(
    outcome(
      await call('POST /api/finance-records', { token, body: { ...aRecord, booked_on: '2029-05-06' } }),
    ),
    '409 period_closed',
  )
})

t.test('the show of a record', async t => {
  const { server, call, token, enter, change, show, items } = await books(t)
  const id = await show({ title: 'Spring Tour' })
  const statuses = ['planned', 'committed', 'actual', 'void']
  const records = new Map<string, string>()
  for (const status of statuses) records.set(status, (await enter({ status, show_id: id })).body.id)
  const present = async () => (await items(`&show_id=${id}`)).map(item => item['status']).sort()

  await t.test('takes planned records with it when it is deleted, and brings them back', async t => {
    t.equal((await call(`DELETE /api/shows/${id}`, { token })).status, 204)
    t.strictSame(await present(), ['actual', 'void'])
    const [actual] = await items(`&show_id=${id}&status=actual`)
    t.match(actual, { show_id: id, show_title: 'Spring Tour' })
    t.equal(outcome(await enter({ show_id: id })), '409 finance_records_show_exists')
    t.equal(
      outcome(await change((await enter()).body.id, { show_id: id })),
      '409 finance_records_show_exists',
    )
    t.equal((await change(String(actual?.id), { note: 'paid' })).status, 200, 'what stays can be changed')
    t.equal((await call(`POST /api/shows/${id}/restore`, { token })).status, 200)
    t.strictSame(await present(), ['actual', 'committed', 'planned', 'void'])
  })

  await t.test('does not bring back what was deleted before it', async t => {
    const planned = records.get('planned') ?? ''
    await call(`DELETE /api/finance-records/${planned}`, { token })
    await call(`DELETE /api/shows/${id}`, { token })
    t.equal(
      outcome(await call(`POST /api/finance-records/${planned}/restore`, { token })),
      '409 parent_deleted',
    )
    await call(`POST /api/shows/${id}/restore`, { token })
    t.strictSame(await present(), ['actual', 'committed', 'void'])
    t.equal((await call(`POST /api/finance-records/${planned}/restore`, { token })).status, 200)
  })

  await t.test('leaves its records when it is purged, even in a closed month', async t => {
    const other = await show()
    const { body } = await enter({ status: 'actual', show_id: other, booked_on: '2030-01-02' })
    await call('PUT /api/finance-periods/2030-01', { token })
    await server.db.admin`delete from app.shows where id = ${other}`
    t.match((await call(`GET /api/finance-records/${body.id}`, { token })).body, {
      show_id: null,
      show_title: null,
    })
  })
})

t.test('a category in use cannot be deleted, and a deleted one cannot be used', async t => {
  const { call, token, enter, change, category } = await books(t)
  const { body } = await enter()
  t.equal(
    outcome(await call(`DELETE /api/finance-categories/${category('Guarantee')}`, { token })),
    '409 finance_records_category_exists',
  )
  await call(`DELETE /api/finance-records/${body.id}`, { token })
  t.equal(
    (await call(`DELETE /api/finance-categories/${category('Guarantee')}`, { token })).status,
    204,
    'a deleted record does not count',
  )
  t.equal(
    outcome(await call(`POST /api/finance-records/${body.id}/restore`, { token })),
    '409 parent_deleted',
  )
  t.equal(outcome(await enter()), '409 finance_records_category_exists')
  const other = await enter({ category_id: category('Merchandise') })
  t.equal(
    outcome(await change(other.body.id, { category_id: category('Guarantee') })),
    '409 finance_records_category_exists',
  )
})

t.test('a record is returned with its version, and written only at the version that was read', async t => {
  const { call, token, enter, aRecord } = await books(t)
  const { body, headers } = await enter()
  t.equal(headers['etag'], '"1"')
  const path = `/api/finance-records/${body.id}`
  const put = (etag: string) =>
    call(`PUT ${path}`, {
      token,
      body: { ...aRecord, status: 'actual', note: 'x' },
      headers: { 'if-match': etag },
    })
  t.equal((await put('"1"')).headers['etag'], '"2"')
  t.equal(outcome(await put('"1"')), '412 version_mismatch')
  t.match((await call(`PATCH ${path}`, { token, body: { counterparty: 'Paradiso' } })).body, {
    note: 'x',
    counterparty: 'Paradiso',
  })
  t.match((await call(`PUT ${path}`, { token, body: { ...aRecord, status: 'actual' } })).body, {
    note: null,
    counterparty: null,
    tax_minor: 0,
  })
})
