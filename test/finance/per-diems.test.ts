// Per diems of tours: planned, approved by somebody else, and then in the books. GET /api/itineraries/:id/per-diems.
import { t } from '../support/tap.ts'
import { join, joinAs, type Person, register, startServer, until } from '../support/helper.ts'
import { anItinerary } from '../support/itineraries.ts'
import { claimsOf, outcome } from '../support/tokens.ts'

interface Item extends Record<string, unknown> {
  id: string
}

const server = await startServer(t)
const { call, db } = server
const ana = await register(server, 'Ana')
await call(`PUT /api/organizations/${ana.organization}`, {
  token: ana.token,
  body: { name: 'Northlight', currency: 'EUR', time_zone: 'Europe/Berlin' },
})
const max = await join(server, ana, 'manager')
const send = (person: Person, request: string, body?: object) =>
  call<Item>(request as `${string} ${string}`, { token: person.token, ...(body && { body }) })
const make = async (path: string, body: object, as = ana) => {
  const answer = await send(as, `POST /api/${path}`, body)
  if (answer.status !== 201) throw new Error(`${path}: ${answer.text}`)
  return answer.body.id
}
const categoriesOf = async (person: Person) =>
  (
    await call<{ items: (Item & { name: string })[] }>('GET /api/finance-categories', {
      token: person.token,
    })
  ).body.items
const categories = await categoriesOf(ana)
const category = (name: string) => categories.find(c => c.name === name)?.id ?? ''
const [travel, guarantee] = [category('Travel'), category('Guarantee')]
/** Three days of 45.00, of somebody. */
const threeDays = {
  person: 'Dov Levi',
  category_id: travel,
  starts_on: '2027-03-14',
  ends_on: '2027-03-16',
  daily_minor: 45_00,
}
const aTour = (as = ana) => make('itineraries', anItinerary, as)
const enter = (tour: string, body: object = {}, as = ana) =>
  send(as, `POST /api/itineraries/${tour}/per-diems`, { ...threeDays, ...body })
const entered = async (tour: string, body: object = {}, as = ana) => {
  const answer = await enter(tour, body, as)
  if (answer.status !== 201) throw new Error(answer.text)
  return `/api/per-diems/${answer.body.id}`
}
/** Starts requests that need the row of a tour while it is locked, each once the one before it waits, and lets them go. */
async function atOnce(tour: string, requests: (() => ReturnType<typeof send>)[]) {
  const started: ReturnType<typeof send>[] = []
  await db.admin.begin(async sql => {
    await sql`select from app.itineraries where id = ${tour} for update`
    for (const start of requests) {
      started.push(start())
      await until(async () => {
        const { length } = await db.admin`
          select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
        return length === started.length
      })
    }
  })
  return Promise.all(started)
}
const money = async (tour: string) =>
  (await call<{ totals: { expense: object } }>(`GET /api/itineraries/${tour}/money`, { token: ana.token }))
    .body.totals.expense

t.test('a per diem is entered, changed, listed, deleted and restored', async t => {
  const tour = await aTour()
  const { status, headers, body } = await enter(tour, { note: 'On the bus' })
  t.equal(status, 201)
  t.equal(headers.location, `/api/per-diems/${body.id}`)
  t.match(body, {
    itinerary_id: tour,
    ...threeDays,
    party_member_id: null,
    category_name: 'Travel',
    currency: 'EUR',
    exchange_rate: 1,
    base_currency: 'EUR',
    days: 3,
    amount_minor: 135_00,
    base_amount_minor: 135_00,
    note: 'On the bus',
    status: 'planned',
    amount_by: ana.id,
    decided_by: null,
    decided_at: null,
    is_self_approved: false,
    finance_record_id: null,
  })
  const path = `/api/per-diems/${body.id}`
  t.match(await send(ana, `PATCH ${path}`, { ends_on: '2027-03-14', note: null }), {
    status: 200,
    body: { days: 1, amount_minor: 45_00, note: null, person: 'Dov Levi' },
  })
  const stale = await call(`PATCH ${path as '/'}`, {
    token: ana.token,
    body: { note: 'x' },
    headers: { 'if-match': headers.etag ?? '' },
  })
  t.equal(outcome(stale), '412 version_mismatch')
  const dollars = await entered(tour, {
    person: 'Kim Field',
    starts_on: '2027-03-01',
    currency: 'USD',
    exchange_rate: 0.5,
  })
  t.match((await send(ana, `GET ${dollars}`)).body, {
    days: 16,
    amount_minor: 720_00,
    base_amount_minor: 360_00,
  })
  const listed = async (query = '') =>
    (
      await call<{ items: Item[] }>(`GET /api/itineraries/${tour}/per-diems${query}`, { token: ana.token })
    ).body.items.map(item => item['person'])
  t.same(await listed(), ['Kim Field', 'Dov Levi'], 'by their first day')
  t.same(await listed('?status=approved'), [])
  t.equal((await send(ana, `DELETE ${path}`)).status, 204)
  t.same(await listed(), ['Kim Field'])
  t.same(await listed('?deleted=only'), ['Dov Levi'])
  t.equal((await send(ana, `POST ${path}/restore`)).status, 200)
  t.same(await listed('?status=planned'), ['Kim Field', 'Dov Levi'])

  const { body: events } = await call<{ items: { action: string }[] }>(
    `GET /api/audit/events?resource_id=${body.id}`,
    { token: ana.token },
  )
  t.same(events.items.map(({ action }) => action).reverse(), [
    'per_diem.create',
    'per_diem.update',
    'per_diem.delete',
    'per_diem.restore',
  ])
})

t.test('what contradicts itself is refused', async t => {
  const [tour, other] = [await aTour(), await aTour()]
  const stranger = await make('party-members', { itinerary_id: other, name: 'Ida' })
  const path = await entered(tour, { person: 'Kim Field' })
  const max53 = Number.MAX_SAFE_INTEGER
  const refused: [body: object, outcome: string][] = [
    [{ ends_on: '2027-03-13' }, '422 per_diems_days_range'],
    [{ ends_on: '2028-03-14' }, '422 per_diems_days_range'],
    [{ starts_on: '1899-12-31', ends_on: '1900-01-01' }, '422 per_diems_starts_on_range'],
    [{ starts_on: '2199-12-31', ends_on: '2200-01-01' }, '422 per_diems_ends_on_range'],
    [{ person: '\u{e0041}' }, '422 per_diems_person_length'],
    [{ person: '' }, '400 validation'],
    [{ daily_minor: 0 }, '400 validation'],
    [{ daily_minor: max53 }, '422 per_diems_amount_range'],
    [{ daily_minor: max53, ends_on: '2999-12-31' }, '422 per_diems_days_range'],
    [{ exchange_rate: 2 }, '422 per_diems_exchange_rate_of_base'],
    [{ category_id: guarantee }, '409 per_diems_category_exists'],
    [{ category_id: tour }, '409 per_diems_category_exists'],
    [{ party_member_id: tour }, '409 per_diems_party_member_exists'],
    [{ party_member_id: stranger }, '409 per_diems_party_member_exists'],
  ]
  for (const [body, expected] of refused) {
    const answers = [await enter(tour, body), await send(ana, `PATCH ${path}`, body)]
    for (const answer of answers) t.equal(outcome(answer), expected, JSON.stringify(body))
  }
  for (const [body, expected] of [
    [{ currency: 'USD' }, '422 per_diems_exchange_rate_needed'],
    [{ currency: 'XXQ', exchange_rate: 2 }, '422 per_diems_currency_exists'],
    [
      { currency: 'USD', exchange_rate: 1_000_000_000, daily_minor: max53, ends_on: '2027-03-14' },
      '422 per_diems_base_amount_range',
    ],
  ] as const)
    t.equal(outcome(await enter(tour, body)), expected)
  t.equal(
    (await enter(tour, { starts_on: '2027-01-01', ends_on: '2028-01-01' })).status,
    201,
    'a year and a day are 366 days',
  )
})

t.test('nobody has two on a day of a tour', async t => {
  const [tour, other] = [await aTour(), await aTour()]
  const [dov, sam] = [
    await make('party-members', { itinerary_id: tour, name: 'Dov Levi' }),
    await make('party-members', { itinerary_id: tour, name: 'Dov Levi' }),
  ]
  const first = await entered(tour, { party_member_id: dov })
  const taken = '409 per_diem_days_taken'
  const cases: [body: object, outcome: string, why: string][] = [
    [{ party_member_id: dov, person: 'Dov', starts_on: '2027-03-16' }, taken, 'the same one of the party'],
    [{ starts_on: '2027-03-01', ends_on: '2027-03-14' }, taken, 'the same name, of whom the party knows'],
    [{ person: 'DOV LEVI', starts_on: '2027-01-01', ends_on: '2027-06-01' }, taken, 'in another case'],
    [{ party_member_id: sam }, '201', 'another one of the party with the same name'],
    [{ party_member_id: dov, starts_on: '2027-03-17', ends_on: '2027-03-17' }, '201', 'the day after'],
    [{ party_member_id: dov, starts_on: '2027-03-13', ends_on: '2027-03-13' }, '201', 'the day before'],
    [{ person: 'Dov Levin' }, '201', 'another name'],
  ]
  for (const [body, expected, why] of cases) t.equal(outcome(await enter(tour, body)), expected, why)
  t.equal(outcome(await enter(other)), '201', 'nor is it about another tour')
  t.match((await enter(tour, { party_member_id: dov })).body, {
    detail: /^Dov Levi has one from 2027-03-1\d to 2027-03-1\d\.$/,
  })
  const blind = await joinAs(server, ana, ['itineraries.read', 'finance.write', 'organization.read'])
  await send(ana, `POST /api/itineraries/${tour}/publish`, { note: null })
  t.equal(
    outcome(await enter(tour, { person: 'DOV LEVI' }, blind)),
    '403 permission_denied',
    'which is no answer',
  )

  await t.test('also when one is changed or restored', async t => {
    const path = await entered(tour, { person: 'Dov Levi 2' })
    for (const change of [{ person: 'dov levi' }, { party_member_id: dov }])
      t.equal(outcome(await send(ana, `PATCH ${path}`, change)), taken)
    t.equal((await send(ana, `PATCH ${path}`, { starts_on: '2027-03-15' })).status, 200, 'not with itself')
    await send(ana, `DELETE ${first}`)
    const second = await entered(tour, { party_member_id: dov })
    t.equal(outcome(await send(ana, `POST ${first}/restore`)), taken)
    await send(ana, `DELETE ${second}`)
    t.equal((await send(ana, `POST ${first}/restore`)).status, 200)
  })

  await t.test('also when they are entered, changed and restored at the same time', async t => {
    const binned = await entered(tour, { person: 'Kim' })
    await send(ana, `DELETE ${binned}`)
    const elsewhere = await entered(tour, { person: 'Kim Field' })
    const kim = () => enter(tour, { person: 'kim' })
    for (const other of [
      () => enter(tour, { person: 'KIM' }, max),
      () => send(max, `PATCH ${elsewhere}`, { person: 'KIM' }),
      () => send(ana, `POST ${binned}/restore`),
    ]) {
      // Both have begun, and wait for the tour: neither is there yet for the other to see.
      const [first, second] = await atOnce(tour, [kim, other])
      const outcomes = [first, second].map(answer => answer && outcome(answer))
      t.equal(outcomes.filter(one => one === taken).length, 1, String(outcomes))
      t.equal(outcomes.filter(one => one?.startsWith('2')).length, 1, String(outcomes))
      await send(ana, `DELETE /api/per-diems/${first?.body.id ?? ''}`)
    }
  })

  await t.test('who leaves the party keeps theirs, by name once they are gone for good', async t => {
    const [a, b] = [
      await make('party-members', { itinerary_id: other, name: 'Jo' }),
      await make('party-members', { itinerary_id: other, name: 'Jo' }),
    ]
    const path = await entered(other, { person: 'Jo', party_member_id: a })
    await entered(other, { person: 'Jo', party_member_id: b })
    await send(ana, `DELETE /api/party-members/${a}`)
    t.match((await send(ana, `GET ${path}`)).body, { party_member_id: a })
    t.equal((await send(ana, `PATCH ${path}`, { note: 'x' })).status, 200, 'and can be changed')
    t.equal(
      outcome(await enter(other, { party_member_id: a, starts_on: '2027-05-01', ends_on: '2027-05-01' })),
      '409 per_diems_party_member_exists',
    )
    await db.admin`update app.party_members set deleted_at = now() - interval '60 days' where id = ${a}`
    const [{ done }] = await db.as('callboard_worker')<
      [{ done: { failed: number; kept: number } }]
    >`select app.purge_deleted() as done`
    t.match(done, { failed: 0, kept: 0 })
    t.match((await send(ana, `GET ${path}`)).body, { person: 'Jo', party_member_id: null, amount_by: ana.id })
    t.equal(outcome(await enter(other, { person: 'JO' })), taken)
    t.equal((await send(ana, `PATCH ${path}`, { note: 'y' })).status, 200, 'who has changed no day')
    t.equal((await send(ana, `DELETE /api/itineraries/${other}`)).status, 204)
    t.equal(
      (await send(ana, `POST /api/itineraries/${other}/restore`)).status,
      200,
      'they come with their tour',
    )
    t.match((await send(ana, `GET ${path}`)).body, { person: 'Jo', party_member_id: null })
  })
})

t.test('an organization is restored with what was approved for tours that are gone', async t => {
  const eva = await register(server, 'Eva')
  const theirs = (await categoriesOf(eva)).find(c => c['kind'] === 'expense')?.id
  const tours = [await aTour(eva), await aTour(eva)]
  const paths: string[] = []
  for (const tour of tours) {
    const path = await entered(tour, { category_id: theirs, currency: 'USD' }, eva)
    t.equal((await send(eva, `POST ${path}/approve`, {})).status, 200)
    t.equal((await send(eva, `DELETE /api/itineraries/${tour}`)).status, 204)
    paths.push(path)
  }
  await db.admin`update app.itineraries set deleted_at = now() - interval '60 days' where id = ${tours[0] ?? ''}`
  await db.as('callboard_worker')`select app.purge_deleted()`
  t.equal((await send(eva, `DELETE /api/organizations/${eva.organization}`)).status, 204)
  t.equal((await send(eva, `POST /api/organizations/${eva.organization}/restore`)).status, 200)
  for (const path of paths) t.match((await send(eva, `GET ${path}`)).body, { status: 'approved' })
})

t.test(
  'what is of a hidden draft is not told by events, by a person of its party or by who could approve it',
  async t => {
    const eva = await register(server, 'Eva')
    const ben = await joinAs(server, eva, ['itineraries.read', 'finance.read', 'finance.write', 'audit.read'])
    const theirs = (await categoriesOf(eva)).find(c => c['kind'] === 'expense')?.id
    const [draft, published] = [await aTour(eva), await aTour(eva)]
    await send(eva, `POST /api/itineraries/${published}/publish`, { note: null })
    const body = { category_id: theirs, currency: 'USD' }
    const path = await entered(draft, body, eva)
    const line = await make(
      `itineraries/${draft}/budget-lines`,
      { category_id: theirs, amount_minor: 5 },
      eva,
    )
    for (const id of [path.slice(-36), line]) {
      const seenBy = async (person: Person) =>
        (await call<{ items: Item[] }>(`GET /api/audit/events?resource_id=${id}`, { token: person.token }))
          .body.items
      t.match(await seenBy(ben), [{ changes: null, changes_hidden: true }])
      t.match(await seenBy(eva), [{ changes: { new: { itinerary_id: draft } } }])
    }
    const hidden = await make('party-members', { itinerary_id: draft, name: 'Jo' }, eva)
    const [one, none] = await Promise.all(
      [hidden, eva.id].map(party_member_id => enter(published, { ...body, party_member_id }, ben)),
    )
    t.equal(one?.body['detail'], none?.body['detail'])
    t.same([one?.status, none?.status], [409, 409])
    t.match(await send(eva, `POST ${path}/approve`, {}), { status: 200, body: { is_self_approved: true } })
  },
)

t.test('approving one enters it in the books, once', async t => {
  const tour = await aTour()
  const path = await entered(tour, { note: 'On the bus' })
  await entered(tour, { person: 'Kim Field', daily_minor: 1 })
  t.match(await money(tour), { expected_minor: 135_03, actual_minor: 0 })
  const answers = await Promise.all(Array.from({ length: 4 }, () => send(max, `POST ${path}/approve`, {})))
  t.same(answers.map(answer => outcome(answer)).sort(), [
    '200',
    ...['1', '2', '3'].map(() => '409 per_diem_not_planned'),
  ])
  const { body } = await send(ana, `GET ${path}`)
  t.match(body, { status: 'approved', decided_by: max.id, is_self_approved: false, amount_by: ana.id })
  t.ok(body['decided_at'])
  const record = `/api/finance-records/${String(body['finance_record_id'])}`
  t.match((await send(max, `GET ${record}`)).body, {
    kind: 'expense',
    itinerary_id: tour,
    category_id: travel,
    booked_on: '2027-03-16',
    amount_minor: 135_00,
    tax_minor: 0,
    status: 'actual',
    payment_status: 'unpaid',
    counterparty: 'Dov Levi',
    note: 'Per diem, 2027-03-14 to 2027-03-16: On the bus',
    created_by: max.id,
  })
  t.match(await money(tour), { expected_minor: 3, actual_minor: 135_00 }, 'and counts once')
  const { body: found } = await call<{ items: Item[] }>(`GET /api/finance-records?itinerary_id=${tour}`, {
    token: ana.token,
  })
  t.equal(found.items.length, 1)

  await t.test('where it stays as it is', async t => {
    for (const request of [`PATCH ${path}`, `DELETE ${path}`, `POST ${path}/approve`])
      t.equal(
        outcome(await send(ana, request, request.startsWith('PATCH') ? { note: 'x' } : undefined)),
        request.startsWith('POST') ? '400 validation' : '409 per_diem_not_planned',
        request,
      )
    for (const change of [
      { amount_minor: 1 },
      { booked_on: '2027-03-15' },
      { status: 'void' },
      { tax_minor: 1 },
      { currency: 'USD', exchange_rate: 1 },
    ])
      t.equal(outcome(await send(max, `PATCH ${record}`, change)), '409 finance_record_of_per_diem')
    t.equal(outcome(await send(ana, `DELETE ${record}`)), '409 finance_record_of_per_diem')
    t.equal((await send(max, `PATCH ${record}`, { payment_status: 'paid', note: 'Cash' })).status, 200)
    // What the API's own login may do in the name of a member.
    const written = db
      .as('callboard_api')
      .begin(sql => [
        sql`select app.enter(${String(claimsOf(ana.token)['sid'])}, ${ana.organization})`,
        sql`update app.per_diems set note = 'x' where id = ${body.id}`,
      ])
    await t.rejects(written, { message: 'per_diem_not_planned' })
  })

  await t.test('and says so in its events', async t => {
    const { body: events } = await call<{ items: { action: string; actor_id: string }[] }>(
      `GET /api/audit/events?resource_id=${body.id}`,
      { token: ana.token },
    )
    t.same(
      events.items.map(({ action, actor_id }) => `${action} ${actor_id}`),
      [`per_diem.change_status ${max.id}`, `per_diem.create ${ana.id}`],
    )
  })
})

t.test('nobody approves what they have entered or changed, unless nobody else could', async t => {
  const tour = await aTour()
  const own = '403 per_diem_is_own'
  for (const person of [max, ana]) {
    const path = await entered(tour, { person: `Of ${person.id}` }, person)
    t.equal(outcome(await send(person, `POST ${path}/approve`, {})), own)
  }
  const pia = await join(server, ana, 'manager')
  for (const change of [
    { daily_minor: 90_00 },
    { ends_on: '2027-03-17' },
    { starts_on: '2027-03-13' },
    { person: 'Max' },
  ]) {
    const path = await entered(tour)
    t.equal((await send(max, `PATCH ${path}`, change)).body['amount_by'], max.id)
    for (const person of [max, ana]) t.equal(outcome(await send(person, `POST ${path}/approve`, {})), own)
    t.equal((await send(pia, `POST ${path}/approve`, {})).status, 200)
    await db.admin`delete from app.per_diems where id = ${path.slice(-36)}`
  }
  const path = await entered(tour)
  t.equal((await send(max, `PATCH ${path}`, { note: 'x', category_id: travel })).body['amount_by'], ana.id)
  t.equal((await send(max, `POST ${path}/approve`, {})).status, 200, 'a note is not what is paid')

  await t.test('and of two, it is who has not changed it last', async t => {
    const eva = await register(server, 'Eva')
    const bob = await join(server, eva, 'manager')
    await join(server, eva, 'viewer')
    const theirs = await aTour(eva)
    const theirCategory = (await categoriesOf(eva)).find(c => c['kind'] === 'expense')?.id
    const dollars = { category_id: theirCategory, currency: 'USD' }
    const path = await entered(theirs, dollars, eva)
    await send(bob, `PATCH ${path}`, { daily_minor: 1 })
    t.equal(outcome(await send(bob, `POST ${path}/approve`, {})), own)
    t.match(await send(eva, `POST ${path}/approve`, {}), { status: 200, body: { is_self_approved: true } })
    const second = await entered(theirs, { ...dollars, person: 'Kim' }, eva)
    t.equal(outcome(await send(eva, `POST ${second}/approve`, {})), own)
    await send(eva, `DELETE /api/users/${bob.id}`)
    t.match(await send(eva, `POST ${second}/approve`, {}), {
      status: 200,
      body: { is_self_approved: true, decided_by: eva.id },
    })
  })
})

t.test(
  'another currency is booked at its rate or another, and a closed month in the next open one',
  async t => {
    const tour = await aTour()
    const dollars = { currency: 'USD', exchange_rate: 0.92 }
    const late = { starts_on: '2028-01-30', ends_on: '2028-02-02' }
    const [planned, other, closed, euros] = [
      await entered(tour, dollars),
      await entered(tour, { ...dollars, person: 'Kim' }),
      await entered(tour, late),
      await entered(tour, { person: 'Lou' }),
    ]
    for (const month of ['2028-02', '2028-03']) await send(ana, `PUT /api/finance-periods/${month}`)
    t.match(await money(tour), { expected_minor: 2 * 124_20 + 180_00 + 135_00 })
    const approved = async (path: string, body: object = {}) => {
      const { status, body: answer } = await send(max, `POST ${path}/approve`, body)
      t.equal(status, 200)
      const record = await send(max, `GET /api/finance-records/${String(answer['finance_record_id'])}`)
      t.equal(record.body['base_amount_minor'], answer['base_amount_minor'])
      return record.body
    }
    // 135.00 × 0.92 = 124.20; 135.00 × 0.8 = 108.00.
    t.match(await approved(planned), { currency: 'USD', exchange_rate: 0.92, base_amount_minor: 124_20 })
    t.match(await approved(other, { exchange_rate: 0.8 }), { exchange_rate: 0.8, base_amount_minor: 108_00 })
    t.match((await send(ana, `GET ${other}`)).body, { exchange_rate: 0.8, is_self_approved: false })
    t.match(await approved(closed), {
      booked_on: '2028-04-01',
      note: 'Per diem, 2028-01-30 to 2028-02-02 (until 2028-02-02, whose month is closed)',
    })
    t.equal(
      outcome(await send(max, `POST ${euros}/approve`, { exchange_rate: 2 })),
      '422 finance_records_exchange_rate_of_base',
    )
    t.match((await send(ana, `GET ${euros}`)).body, { status: 'planned', finance_record_id: null })
    t.match(await money(tour), { expected_minor: 135_00, actual_minor: 124_20 + 108_00 + 180_00 })
  },
)

t.test('planned ones go and come with their tour, and approved ones stay', async t => {
  const tour = await aTour()
  const [planned, binned, approved] = [
    await entered(tour),
    await entered(tour, { person: 'Bin' }),
    await entered(tour, { person: 'Kim' }),
  ]
  const { body } = await send(max, `POST ${approved}/approve`, {})
  const record = `/api/finance-records/${String(body['finance_record_id'])}`
  await send(ana, `DELETE ${binned}`)
  await send(ana, `DELETE /api/itineraries/${tour}`)
  const status = async (path: string) => (await send(ana, `GET ${path}`)).status
  t.same([await status(planned), await status(approved), await status(record)], [404, 200, 200])
  t.equal((await enter(tour, { person: 'Late' })).status, 404)
  for (const path of [planned, binned])
    t.equal(outcome(await send(ana, `POST ${path}/restore`)), '409 parent_deleted')
  for (const request of ['PATCH', 'DELETE'])
    t.equal(
      outcome(await send(ana, `${request} ${approved}`, request === 'PATCH' ? { note: 'x' } : undefined)),
      '409 per_diem_not_planned',
    )
  t.equal(await status(`/api/itineraries/${tour}`), 404, 'and nothing has brought it back')
  t.equal((await send(ana, `POST /api/itineraries/${tour}/restore`)).status, 200)
  t.same([await status(planned), await status(binned)], [200, 404])

  await t.test('also when it is purged, with the record as it was', async t => {
    await send(ana, `DELETE /api/itineraries/${tour}`)
    await db.admin`update app.itineraries set deleted_at = now() - interval '60 days' where id = ${tour}`
    for (const path of [planned, binned])
      await db.admin`update app.per_diems set deleted_at = now() - interval '60 days' where id = ${path.slice(-36)}`
    const [{ done }] = await db.as('callboard_worker')<
      [{ done: { failed: number; kept: number } }]
    >`select app.purge_deleted() as done`
    t.match(done, { failed: 0, kept: 0 })
    t.equal((await db.admin`select from app.itineraries where id = ${tour}`).length, 0)
    t.match((await send(ana, `GET ${approved}`)).body, { itinerary_id: null, status: 'approved' })
    t.equal(
      outcome(await send(max, `PATCH ${record}`, { amount_minor: 1 })),
      '409 finance_record_of_per_diem',
    )
    t.equal(outcome(await send(ana, `PATCH ${approved}`, { note: 'x' })), '409 per_diem_not_planned')
  })
})

t.test('a tour is deleted while one is entered, changed, approved or restored', async t => {
  // Whoever waited for the row of the tour while holding that of a per diem would wait in a circle, and not be let out of it
  // before the end of a statement.
  await db.admin.unsafe(`alter database "${db.name}" set deadlock_timeout = '1min'`)
  await db.admin`
    select pg_terminate_backend(pid, 5000) from pg_stat_activity
    where datname = current_database() and usename = 'callboard_api'`
  await until(async () => (await send(ana, 'GET /api/itineraries')).status === 200)
  const cases: [what: string, isInBin: boolean, first: string, second: string][] = [
    ['entered', false, '201', '409 per_diems_itinerary_exists'],
    ['changed', false, '200', '404 not_found'],
    ['approved', false, '200', '404 not_found'],
    ['restored', true, '200', '409 parent_deleted'],
  ]
  for (const [what, isInBin, first, second] of cases)
    for (const isDeletedFirst of [true, false]) {
      const tour = await aTour()
      const path = await entered(tour)
      if (isInBin) await send(ana, `DELETE ${path}`)
      const act = () =>
        what === 'entered'
          ? enter(tour, { person: 'Kim' }, max)
          : what === 'changed'
            ? send(max, `PATCH ${path}`, { daily_minor: 1 })
            : what === 'approved'
              ? send(max, `POST ${path}/approve`, {})
              : send(ana, `POST ${path}/restore`)
      const remove = () => send(ana, `DELETE /api/itineraries/${tour}`)
      const answers = await atOnce(tour, isDeletedFirst ? [remove, act] : [act, remove])
      const outcomes = answers.map(answer => outcome(answer))
      const says = `${what}, ${isDeletedFirst ? 'after' : 'before'} the tour is deleted`
      t.same(outcomes, isDeletedFirst ? ['204', second] : [first, '204'], says)
      const left = await db.admin`
        select status from app.per_diems where itinerary_id = ${tour} and deleted_at is null`
      t.same(left, what === 'approved' && !isDeletedFirst ? [{ status: 'approved' }] : [], says)
    }
})

t.test('per diems are for those who may see money, of tours that they see', async t => {
  const tour = await aTour()
  const path = await entered(tour)
  const gone = await entered(tour, { person: 'Gone' })
  await send(ana, `DELETE ${gone}`)
  const viewer = await join(server, ana, 'viewer')
  const planner = await joinAs(server, ana, ['itineraries.read', 'itineraries.write', 'organization.read'])
  const finance = ['finance.read', 'finance.write', 'finance.delete', 'organization.read']
  const [readsTours, seesNone] = [
    await joinAs(server, ana, [...finance, 'itineraries.read']),
    await joinAs(server, ana, finance),
  ]
  const stranger = await register(server, 'Ben')
  const list = `GET /api/itineraries/${tour}/per-diems`
  t.equal((await send(viewer, list)).status, 404, 'a draft is hidden from those who do not plan')
  t.equal((await send(planner, list)).status, 403, 'and money from those who do')
  const each = async (as: Person) => {
    const statuses: number[] = []
    for (const [request, body] of [
      [`GET ${path}`],
      [list],
      [`POST /api/itineraries/${tour}/per-diems`, { ...threeDays, person: 'New' }],
      [`PATCH ${path}`, { note: 'x' }],
      [`POST ${path}/approve`, {}],
      [`DELETE ${path}`],
      [`POST ${gone}/restore`],
    ] as [string, object?][])
      statuses.push((await send(as, request, body)).status)
    return statuses
  }
  const hidden = [404, 404, 404, 404, 404, 404, 404]
  for (const person of [readsTours, seesNone, viewer, stranger]) t.same(await each(person), hidden)
  t.same(await each(planner), [404, 403, 403, 404, 404, 404, 404])
  t.match((await send(ana, `GET ${path}`)).body, { status: 'planned', note: null })

  await send(ana, `POST /api/itineraries/${tour}/publish`, { note: null })
  t.same(await each(viewer), [200, 200, 403, 403, 403, 403, 403])
  t.same(await each(seesNone), hidden)
  t.same(await each(stranger), hidden)
  t.same(await each(readsTours), [200, 200, 201, 200, 200, 409, 200])
})

t.test('a company with per diems keeps its currency, and they keep their category', async t => {
  const ben = await register(server, 'Ben')
  const food = await make('finance-categories', { kind: 'expense', name: 'Food' }, ben)
  const path = await entered(await aTour(ben), { category_id: food }, ben)
  const changed = await send(ben, `PATCH /api/organizations/${ben.organization}`, { currency: 'JPY' })
  t.equal(outcome(changed), '409 organization_has_books')
  t.equal(outcome(await send(ben, `DELETE /api/finance-categories/${food}`)), '409 per_diems_category_exists')
  await send(ben, `DELETE ${path}`)
  t.equal((await send(ben, `DELETE /api/finance-categories/${food}`)).status, 204)
  t.equal(outcome(await send(ben, `POST ${path}/restore`)), '409 parent_deleted')
})
