// What a show says in two places is the same in both, and it is found if it is not.
import { t } from '../support/tap.ts'
import { startDemo } from '../support/demo.ts'
import { type Database, register, startServer } from '../support/helper.ts'
import { settling } from '../support/settling.ts'

interface Found {
  organization_id: string
  show_id: string
  what: string
  said: string
  otherwise: string
}

async function contradictions(db: Database): Promise<Found[]> {
  const worker = db.as('callboard_worker')
  const found: Found[] = []
  let next: unknown = null
  do {
    const [{ part }] = await worker<[{ part: { failed: number; contradictions: Found[]; next: unknown } }]>`
      select app.find_contradictions(${next === null ? null : JSON.stringify(next)}::text::jsonb) as part`
    if (part.failed !== part.contradictions.length) throw new Error('its count is another')
    found.push(...part.contradictions)
    next = part.next
  } while (next !== null)
  return found
}

t.test('the demo does not contradict itself', async t => {
  const { db } = await startDemo(t)
  t.strictSame(await contradictions(db), [])
  const [{ n }] = await db.admin<[{ n: number }]>`
    select count(*)::integer as n from app.settlements where status = 'final' and reopened_at is null`
  t.ok(n > 0, 'and has settlements that could')
})

t.test('shows of every kind', async t => {
  const server = await startServer(t)
  const { db, call } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const { show500, record, finalize, reopen, make } = settling(server, token)
  const deals = [
    { kind: 'flat', guarantee_minor: 500_000 },
    { kind: 'door', percentage: 85, base: 'net' },
    { kind: 'plus', guarantee_minor: 100_000, percentage: 50, base: 'gross', guarantee_is_cost: true },
    { kind: 'versus', guarantee_minor: 500_000, percentage: 85, base: 'net_receipts', tax_percentage: 8.875 },
  ]
  const shows: string[] = []
  for (const deal of deals) {
    const show = await show500({ currency: 'USD', ...deal })
    await make(`shows/${show}/deposits`, { paid_on: '2027-01-02', amount_minor: 100_000 })
    const { body } = await record(show)
    if ((await finalize(body.id)).status !== 200) throw new Error('it is not final')
    shows.push(show)
  }
  const [first = '', second = '', third = '', fourth = ''] = shows

  await t.test(
    'agree with themselves: drafts, final ones, and reopened ones, in open and closed months',
    async t => {
      t.strictSame(await contradictions(db), [])
      await call('PUT /api/finance-periods/2027-02', { token })
      await reopen(third, 'A cost was forgotten')
      await reopen(fourth, 'A cost was forgotten')
      t.strictSame(await contradictions(db), [])
      const { body } = await record(fourth, 'With the cost')
      await finalize(body.id)
      t.strictSame(await contradictions(db), [])
    },
  )

  /** Changes rows as nobody can who uses Callboard, looks, and changes them back. */
  const after = async (statement: string) => {
    const seen = new Error('seen') as Error & { found: Found[] }
    return db.admin
      .begin(async sql => {
        await sql`set local session_replication_role = replica`
        await sql.unsafe(statement)
        const [{ part }] = await sql<
          [{ part: { contradictions: Found[] } }]
        >`select app.find_contradictions() as part`
        seen.found = part.contradictions
        throw seen
      })
      .catch((error: unknown) => {
        if (error !== seen) throw error
        return seen.found.map(({ show_id, what, said, otherwise }) => [show_id, what, said, otherwise])
      })
  }
  const ofFirst = `show_id = '${first}'`
  const cases: [name: string, statement: string, found: string[][]][] = [
    [
      'tickets',
      `update app.shows set tickets_sold = 7 where id = '${first}'`,
      [[first, 'tickets', '7 of 600', '500 of 600']],
    ],
    [
      'tickets of a tier',
      `update app.ticket_tiers set sold = 8 where ${ofFirst}`,
      [[first, 'tickets', '500 of 600', '8 of 600']],
    ],
    [
      'a fee',
      `update app.show_fees set fee_minor = 9 where ${ofFirst}`,
      [[first, 'fee', '9 USD', '500000 USD']],
    ],
    ['no fee', `delete from app.show_fees where ${ofFirst}`, [[first, 'fee', '', '500000 USD']]],
    [
      'a fee beside a door deal',
      `update app.show_fees set fee_minor = 5, currency = 'USD' where show_id = '${second}'`,
      [[second, 'fee', '5 USD', '']],
    ],
    [
      'a status without a settlement',
      `update app.shows set status = 'settled' where id = '${third}'`,
      [[third, 'status', 'settled', 'settlement in force: 0']],
    ],
    [
      'a settlement without its status',
      `update app.shows set status = 'played' where id = '${first}'`,
      [[first, 'status', 'played', 'settlement in force: 1']],
    ],
    [
      'a cancelled show that was settled as played',
      `update app.shows set status = 'cancelled' where id = '${first}'`,
      [[first, 'cancelled', 'cancelled', 'played or settled']],
    ],
    [
      'books that lack a line',
      `update app.finance_records set status = 'void' where ${ofFirst} and settlement_line = 'balance'`,
      [[first, 'books', '860000', '460000']],
    ],
    [
      'books of a reopened one',
      `update app.finance_records set status = 'void' where show_id = '${third}' and settlement_line = 'reversal of balance'`,
      [[third, 'books', '-750000', '0']],
    ],
  ]
  for (const [name, statement, expected] of cases)
    await t.test(`are found with ${name}`, async t => {
      t.strictSame(await after(statement), expected)
    })

  await t.test('are put right by reopening, also where the status says that nothing is in force', async t => {
    await db.admin.begin(async sql => {
      await sql`set local session_replication_role = replica`
      await sql`update app.shows set status = 'played' where id = ${first}`
    })
    t.match(
      (await contradictions(db)).map(({ what }) => what),
      ['status'],
    )
    t.equal((await reopen(first, 'Nobody knows who changed the status')).status, 200)
    t.strictSame(await contradictions(db), [])
    t.equal((await reopen(first, 'Again')).status, 409)
    const { body } = await record(first, 'As it was')
    await finalize(body.id)
    t.strictSame(await contradictions(db), [])
  })

  await t.test('are found with an approved expense that is not in the books as it says', async t => {
    const { body } = await call<{ items: { id: string; name: string }[] }>('GET /api/expense-categories', {
      token,
    })
    const [category, another] = body.items
    const expense = await make('expenses', {
      category_id: category?.id,
      spent_on: '2027-03-14',
      amount_minor: 2350,
      currency: 'USD',
      purpose: 'Taxi',
    })
    await call(`POST /api/expenses/${expense}/submit`, { token })
    const approved = await call(`POST /api/expenses/${expense}/approve`, {
      token,
      body: { exchange_rate: 1 },
    })
    t.equal(approved.status, 200)
    const record = String(approved.body['finance_record_id'])
    const ofRecord = `where id = '${record}'`
    const of = async (statement: string) =>
      (await after(statement)).filter(([, what]) => what === 'expense').map(([, , ...rest]) => rest)
    for (const [statement, otherwise] of [
      [`update app.finance_records set amount_minor = 9 ${ofRecord}`, '9 USD'],
      [`update app.finance_records set currency = 'EUR' ${ofRecord}`, '2350 EUR'],
      [`update app.finance_records set status = 'void' ${ofRecord}`, ''],
      [`update app.finance_records set deleted_at = now() ${ofRecord}`, ''],
      [`update app.finance_records set expense_id = null ${ofRecord}`, ''],
      [`update app.expenses set finance_record_id = null where id = '${expense}'`, ''],
      [`delete from app.finance_records ${ofRecord}`, ''],
    ] as const)
      t.strictSame(await of(statement), [['2350 USD', otherwise]], statement)
    const changed = await call(`PATCH /api/finance-records/${record}`, {
      token,
      body: { category_id: another?.id },
    })
    t.equal(changed.status, 200)
    t.strictSame(await contradictions(db), [], 'its category is corrected in the books')
  })

  await t.test('are found with an approved per diem that is not in the books as it says', async t => {
    const { body } = await call<{ items: { id: string }[] }>('GET /api/expense-categories', { token })
    const tour = await make('itineraries', {
      name: 'Tour',
      artist: 'Band',
      starts_on: '2027-03-14',
      ends_on: '2027-03-16',
    })
    const perDiem = await make(`itineraries/${tour}/per-diems`, {
      person: 'Dov Levi',
      category_id: body.items[0]?.id,
      starts_on: '2027-03-14',
      ends_on: '2027-03-16',
      daily_minor: 4500,
      currency: 'USD',
      exchange_rate: 1,
    })
    const approved = await call(`POST /api/per-diems/${perDiem}/approve`, { token, body: {} })
    t.equal(approved.status, 200)
    const record = String(approved.body['finance_record_id'])
    const ofRecord = `where id = '${record}'`
    const of = async (statement: string) =>
      (await after(statement)).filter(([, what]) => what === 'per_diem').map(([, , ...rest]) => rest)
    for (const [statement, said, otherwise] of [
      [`update app.finance_records set amount_minor = 9 ${ofRecord}`, '13500 USD', '9 USD'],
      [`update app.finance_records set currency = 'EUR' ${ofRecord}`, '13500 USD', '13500 EUR'],
      [`update app.finance_records set status = 'void' ${ofRecord}`, '13500 USD', ''],
      [`update app.finance_records set deleted_at = now() ${ofRecord}`, '13500 USD', ''],
      [`update app.per_diems set finance_record_id = null where id = '${perDiem}'`, '13500 USD', ''],
      [`update app.per_diems set ends_on = starts_on where id = '${perDiem}'`, '4500 USD', '13500 USD'],
    ] as const)
      t.strictSame(await of(statement), [[said, otherwise]], statement)
    t.strictSame(await contradictions(db), [])
  })

  await t.test('are found with another result', async t => {
    const found = await after(
      `update app.settlements set result = result || '{"due_minor": 1}' where ${ofFirst} and status = 'final'`,
    )
    t.match(
      found.map(([show, what]) => [show, what]),
      [[first, 'result']],
    )
  })
})
