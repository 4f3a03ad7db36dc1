// Expenses that members have paid themselves: entered, submitted, and approved or rejected by somebody else.
import { createHash } from 'node:crypto'
import { t } from '../support/tap.ts'
import { join, joinAs, type Person, register, startServer } from '../support/helper.ts'
import { anItinerary } from '../support/itineraries.ts'
import { outcome } from '../support/tokens.ts'

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
/** On the road: sees their part of itineraries, and nothing of the books. */
const traveller = () => joinAs(server, ana, ['itineraries.read', 'organization.read'])
const dov = await traveller()
const max = await join(server, ana, 'manager')
const { body: categories } = await call<{ items: (Item & { name: string })[] }>(
  'GET /api/expense-categories',
  {
    token: dov.token,
  },
)
const category = (name: string) => categories.items.find(c => c.name === name)?.id ?? ''
const aTaxi = () => ({
  category_id: category('Travel'),
  spent_on: '2027-03-14',
  amount_minor: 23_50,
  purpose: 'Taxi from the airport',
})
const enter = (person: Person, body: object = {}) =>
  call<Item>('POST /api/expenses', { token: person.token, body: { ...aTaxi(), ...body } })
const send = (person: Person, request: string, body?: object) =>
  call<Item>(request as `${string} ${string}`, { token: person.token, ...(body && { body }) })
const submitted = async (person: Person, body: object = {}) => {
  const { body: made } = await enter(person, body)
  await send(person, `POST /api/expenses/${made.id}/submit`)
  return `/api/expenses/${made.id}`
}
const aDraft = async () =>
  (await call<Item>('POST /api/itineraries', { token: ana.token, body: anItinerary })).body.id
const aTour = async () => {
  const tour = await aDraft()
  await send(ana, `POST /api/itineraries/${tour}/publish`, { note: null })
  return tour
}
const listed = async (person: Person, query = '') =>
  (await call<{ items: Item[] }>(`GET /api/expenses?limit=200${query}`, { token: person.token })).body.items

t.test('an expense is entered, submitted and approved, and then in the books', async t => {
  const tour = await aTour()
  const { status, body } = await enter(dov, { itinerary_id: tour })
  t.equal(status, 201)
  t.match(body, {
    category_name: 'Travel',
    currency: 'EUR',
    status: 'draft',
    itinerary_id: tour,
    created_by: dov.id,
    finance_record_id: null,
    receipt: null,
  })
  const path = `/api/expenses/${body.id}`
  t.match(await send(dov, `PATCH ${path}`, { amount_minor: 25_00 }), {
    status: 200,
    body: { amount_minor: 2500 },
  })
  t.equal(outcome(await send(max, `POST ${path}/approve`, {})), '409 expense_not_submitted')
  t.match(await send(dov, `POST ${path}/submit`), { status: 200, body: { status: 'submitted' } })
  t.equal(outcome(await send(dov, `PATCH ${path}`, { amount_minor: 1 })), '409 expense_not_open')

  const approved = await send(max, `POST ${path}/approve`, {})
  t.match(approved, {
    status: 200,
    body: { status: 'approved', decided_by: max.id, is_self_approved: false, reason: null },
  })
  const record = String(approved.body['finance_record_id'])
  t.match((await send(max, `GET /api/finance-records/${record}`)).body, {
    kind: 'expense',
    expense_id: body.id,
    itinerary_id: tour,
    category_name: 'Travel',
    booked_on: '2027-03-14',
    amount_minor: 2500,
    status: 'actual',
    payment_status: 'unpaid',
    counterparty: body['person'],
    note: 'Taxi from the airport',
    created_by: max.id,
  })
  t.match((await send(dov, `GET ${path}`)).body, { status: 'approved', finance_record_id: record })
  t.equal(
    outcome(await send(max, `POST ${path}/approve`, {})),
    '409 expense_not_submitted',
    'and in them once',
  )
  t.equal(outcome(await send(dov, `DELETE ${path}`)), '409 expense_not_open')
  // What was approved stays; whether it is paid back, and its notes, may change.
  const of = `/api/finance-records/${record}`
  for (const change of [{ amount_minor: 999_900 }, { booked_on: '2027-03-15' }, { status: 'void' }])
    t.equal(outcome(await send(max, `PATCH ${of}`, change)), '409 finance_record_of_expense')
  t.equal(outcome(await send(ana, `DELETE ${of}`)), '409 finance_record_of_expense')
  t.equal((await send(max, `PATCH ${of}`, { payment_status: 'paid', note: 'Cash' })).status, 200)
  const money = await call(`GET /api/itineraries/${tour}/money`, { token: ana.token })
  t.match(money.body, { totals: { expense: { actual_minor: 2500 } } })
})

t.test('one that is rejected says why, and may be changed and submitted again', async t => {
  const path = await submitted(dov)
  t.equal((await send(max, `POST ${path}/reject`, { reason: '' })).status, 400)
  // The last is a tag, of which patterns know nothing.
  for (const reason of [' ', ' \n\t', '\u200b\u2060', '\u{e0041}'])
    t.equal(outcome(await send(max, `POST ${path}/reject`, { reason })), '422 expenses_reason_length')
  t.match((await send(dov, `GET ${path}`)).body, { status: 'submitted', reason: null })
  t.match(await send(max, `POST ${path}/reject`, { reason: 'The receipt is missing' }), {
    status: 200,
    body: { status: 'rejected', reason: 'The receipt is missing', decided_by: max.id },
  })
  t.match((await send(dov, `GET ${path}`)).body, { status: 'rejected', reason: 'The receipt is missing' })
  t.equal((await send(dov, `PATCH ${path}`, { purpose: 'Taxi' })).status, 200)
  t.match((await send(dov, `POST ${path}/submit`)).body, {
    status: 'submitted',
    reason: null,
    decided_by: null,
  })
  t.equal((await send(max, `POST ${path}/approve`, {})).status, 200)
})

t.test('nobody approves their own, except who is alone', async t => {
  for (const person of [max, ana]) {
    const path = await submitted(person)
    t.equal(outcome(await send(person, `POST ${path}/approve`, {})), '403 expense_is_own')
    t.equal(outcome(await send(person, `POST ${path}/reject`, { reason: 'No' })), '403 expense_is_own')
  }
  const theirs = await submitted(dov)
  t.equal(outcome(await send(dov, `POST ${theirs}/approve`, {})), '403 permission_denied')

  const eva = await register(server, 'Eva')
  const { body } = await call<{ items: Item[] }>('GET /api/expense-categories', { token: eva.token })
  const path = await submitted(eva, { category_id: body.items[0]?.id })
  const pia = await join(server, eva, 'manager')
  t.equal(outcome(await send(eva, `POST ${path}/approve`, {})), '403 expense_is_own')
  await send(eva, `DELETE /api/users/${pia.id}`)
  await join(server, eva, 'viewer')
  t.match(await send(eva, `POST ${path}/approve`, {}), {
    status: 200,
    body: { status: 'approved', is_self_approved: true },
  })
})

t.test('members see their own, and holders of finance.read all', async t => {
  const ida = await traveller()
  const { body } = await enter(ida)
  const path = `/api/expenses/${body.id}`
  t.same(
    (await listed(ida)).map(({ id }) => id),
    [body.id],
  )
  t.notOk((await listed(dov)).some(({ id }) => id === body.id))
  t.ok((await listed(max)).some(({ id }) => id === body.id))
  t.same(
    (await listed(max, `&created_by=${ida.id}&status=draft`)).map(({ id }) => id),
    [body.id],
  )
  for (const request of [
    `GET ${path}`,
    `DELETE ${path}`,
    `GET ${path}/receipt`,
    `POST ${path}/submit`,
    `POST ${path}/restore`,
  ])
    t.equal((await send(dov, request)).status, 404, request)
  t.equal((await send(max, `GET ${path}`)).status, 200)
  for (const request of [`DELETE ${path}`, `POST ${path}/submit`])
    t.equal(outcome(await send(max, request)), '403 permission_denied', request)
  t.equal((await send(dov, 'GET /api/finance-categories')).status, 403, 'the books stay closed to them')

  const bookkeeper = await joinAs(server, ana, ['finance.read', 'organization.read'])
  t.same(
    (await listed(bookkeeper)).map(({ id }) => id),
    (await listed(ana)).map(({ id }) => id),
    'who sees the books and no tours lists what they may read',
  )
  const guard = await joinAs(server, ana, ['organization.read', 'shows.read'])
  for (const query of ['', '?deleted=only'])
    t.equal(outcome(await send(guard, `GET /api/expenses${query}`)), '403 permission_denied')

  await send(ida, `DELETE ${path}`)
  t.ok((await listed(bookkeeper, '&deleted=only')).some(({ id }) => id === body.id))
  t.equal((await listed(ida)).length, 0)
  t.same(
    (await listed(ida, '&deleted=only')).map(({ id }) => id),
    [body.id],
  )
  t.notOk((await listed(dov, '&deleted=only')).some(({ id }) => id === body.id))
  t.equal((await send(ida, `POST ${path}/restore`)).status, 200)
  t.equal((await listed(ida)).length, 1)
})

t.test('what contradicts the books is refused', async t => {
  const { body } = await call<{ items: Item[] }>('GET /api/finance-categories?kind=income', {
    token: ana.token,
  })
  const other = await register(server, 'Ben')
  const theirs = (await call<Item>('POST /api/itineraries', { token: other.token, body: anItinerary })).body
    .id
  const refused: [body: object, outcome: string][] = [
    [{ category_id: body.items[0]?.id }, '409 expenses_category_exists'],
    [{ itinerary_id: theirs }, '409 expenses_itinerary_exists'],
    [{ currency: 'XXQ' }, '422 expenses_currency_exists'],
    [{ spent_on: '1800-01-01' }, '422 expenses_spent_on_range'],
    [{ amount_minor: -1 }, '400 validation'],
  ]
  for (const [body, expected] of refused) t.equal(outcome(await enter(dov, body)), expected)
  const food = (
    await call<Item>('POST /api/finance-categories', {
      token: ana.token,
      body: { kind: 'expense', name: 'Food' },
    })
  ).body.id
  const { body: meal } = await enter(dov, { category_id: food })
  t.equal(outcome(await send(ana, `DELETE /api/finance-categories/${food}`)), '409 expenses_category_exists')
  await send(dov, `DELETE /api/expenses/${meal.id}`)
  t.equal((await send(ana, `DELETE /api/finance-categories/${food}`)).status, 204)
  t.equal(outcome(await send(dov, `POST /api/expenses/${meal.id}/restore`)), '409 parent_deleted')
})

t.test('a draft that is hidden from a member is no different from a tour that does not exist', async t => {
  const [draft, tour, deleted] = [await aDraft(), await aTour(), await aTour()]
  await send(ana, `DELETE /api/itineraries/${deleted}`)
  const { body } = await enter(dov)
  const path = `/api/expenses/${body.id}`
  const tried = async (itinerary_id: string, more: object = {}) => {
    const answers = [
      await enter(dov, { itinerary_id, ...more }),
      await send(dov, `PATCH ${path}`, { itinerary_id, ...more }),
    ]
    return answers.map(answer => `${outcome(answer)}: ${String(answer.body['detail'])}`)
  }
  const nowhere = '01a00000-0000-7000-8000-000000000000'
  for (const more of [{}, { spent_on: '1800-01-01' }, { category_id: nowhere }]) {
    const none = await tried(nowhere, more)
    for (const outcome of none) t.match(outcome, /^4\d\d expenses_(itinerary|category)_exists|spent_on/)
    t.same(await tried(draft, more), none)
    t.same(await tried(deleted, more), none)
  }
  t.match(await tried(nowhere), [/^409 expenses_itinerary_exists/, /^409 expenses_itinerary_exists/])
  t.equal((await send(dov, `PATCH ${path}`, { itinerary_id: tour })).status, 200)
  t.equal((await enter(ana, { itinerary_id: draft })).status, 201, 'who plans it may name it')
  // Whoever decides need not see the tour.
  const bookkeeper = await joinAs(server, ana, ['finance.read', 'finance.write', 'organization.read'])
  await send(dov, `POST ${path}/submit`)
  t.equal((await send(bookkeeper, `POST ${path}/approve`, {})).status, 200)
})

t.test('another currency takes a rate, and a closed month the next open one', async t => {
  const dollars = await submitted(dov, { currency: 'USD', amount_minor: 10_00, spent_on: '2028-01-31' })
  t.equal(outcome(await send(max, `POST ${dollars}/approve`, {})), '422 expense_exchange_rate_needed')
  for (const month of ['2028-01', '2028-02']) await send(ana, `PUT /api/finance-periods/${month}`)
  const { body } = await send(max, `POST ${dollars}/approve`, { exchange_rate: 0.92 })
  // 10.00 × 0.92 = 9.20. January and February are closed.
  t.match((await send(max, `GET /api/finance-records/${String(body['finance_record_id'])}`)).body, {
    currency: 'USD',
    base_amount_minor: 920,
    booked_on: '2028-03-01',
    note: 'Taxi from the airport (of 2028-01-31, whose month is closed)',
  })
})

t.test('a rate where the books are kept in the same currency is 1', async t => {
  const path = await submitted(dov)
  const before = (await send(max, `GET ${path}`)).headers.etag
  t.equal(
    outcome(await send(max, `POST ${path}/approve`, { exchange_rate: 0.92 })),
    '422 finance_records_exchange_rate_of_base',
  )
  const unchanged = await send(max, `GET ${path}`)
  t.match(unchanged, { headers: { etag: before }, body: { status: 'submitted', finance_record_id: null } })
  t.equal((await send(max, `POST ${path}/approve`, { exchange_rate: 1 })).status, 200)
})

t.test('the tour of an expense may be deleted before it is approved', async t => {
  const tour = await aTour()
  const path = await submitted(dov, { itinerary_id: tour })
  await send(ana, `DELETE /api/itineraries/${tour}`)
  const { status, body } = await send(max, `POST ${path}/approve`, {})
  t.equal(status, 200)
  t.match((await send(max, `GET /api/finance-records/${String(body['finance_record_id'])}`)).body, {
    itinerary_id: null,
  })
})

t.test('the events of an expense are those of its person and of who decides', async t => {
  const path = await submitted(dov)
  await send(max, `POST ${path}/reject`, { reason: 'Twice' })
  const { body } = await call<{ items: { action: string; actor_id: string }[] }>(
    `GET /api/audit/events?resource_id=${path.replace('/api/expenses/', '')}`,
    { token: ana.token },
  )
  t.same(
    body.items.map(({ action, actor_id }) => `${action} ${actor_id}`).sort(),
    [`expense.change_status ${dov.id}`, `expense.change_status ${max.id}`, `expense.create ${dov.id}`].sort(),
  )
})

t.test('a receipt', async t => {
  const pdf = Buffer.from('%PDF-1.7\nA taxi')
  const jpeg = Buffer.from([0xff, 0xd8, 0xff, 0xe0, 1, 2, 3])
  const png = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 9])
  const put = (person: Person, path: string, file: Buffer, type = 'application/pdf') =>
    call<Item>(`PUT ${path}/receipt`, { token: person.token, body: file, headers: { 'content-type': type } })
  const { body } = await enter(dov)
  const path = `/api/expenses/${body.id}`

  await t.test('is what its first bytes say, whatever it is called', async t => {
    const cases: [file: Buffer, named: string, type: string, extension: string][] = [
      [pdf, 'application/pdf', 'application/pdf', 'pdf'],
      [jpeg, 'image/png', 'image/jpeg', 'jpg'],
      [png, 'application/pdf', 'image/png', 'png'],
    ]
    for (const [file, named, type, extension] of cases) {
      const { status, body } = await put(dov, path, file, named)
      t.equal(status, 200)
      t.same(body['receipt'], {
        content_type: type,
        bytes: file.length,
        sha256: createHash('sha256').update(file).digest('hex'),
      })
      for (const person of [dov, max]) {
        const { headers, text } = await call(`GET ${path}/receipt`, { token: person.token })
        t.equal(headers['content-type'], type)
        t.equal(headers['content-disposition'], `attachment; filename="receipt-${body.id}.${extension}"`)
        t.equal(headers['x-content-type-options'], 'nosniff')
        t.equal(Number(headers['content-length']), file.length)
        if (type === 'application/pdf') t.equal(text, file.toString())
      }
    }
    const script = Buffer.from('<script>alert(1)</script>')
    t.equal(outcome(await put(dov, path, script, 'image/png')), '422 expense_receipts_type_known')
    t.equal(outcome(await put(dov, path, script, 'text/html')), '415 unsupported_media_type')
    t.equal(outcome(await put(dov, path, Buffer.alloc(0))), '422 expense_receipts_type_known')
  })

  await t.test('has at most 5 MiB', async t => {
    const large = (bytes: number) => Buffer.concat([pdf, Buffer.alloc(bytes - pdf.length)])
    t.equal((await put(dov, path, large(5_242_880))).status, 200)
    t.equal(outcome(await put(dov, path, large(5_242_881))), '413 payload_too_large')
  })

  await t.test('is uploaded by whose expense it is, and is another version of it', async t => {
    const ida = await traveller()
    t.equal((await put(ida, path, pdf)).status, 404)
    t.equal((await send(ida, `GET ${path}/receipt`)).status, 404)
    t.equal(outcome(await put(max, path, pdf)), '403 permission_denied')
    const before = (await send(dov, `GET ${path}`)).headers.etag
    await put(dov, path, pdf)
    t.not((await send(dov, `GET ${path}`)).headers.etag, before)
  })

  await t.test('goes and comes with its expense, and stays once that is submitted', async t => {
    await send(dov, `DELETE ${path}`)
    t.equal((await send(dov, `GET ${path}/receipt`)).status, 404)
    await send(dov, `POST ${path}/restore`)
    t.equal((await send(dov, `GET ${path}/receipt`)).status, 200)
    await send(dov, `POST ${path}/submit`)
    t.equal(outcome(await put(dov, path, png)), '409 expense_not_open')
    await send(max, `POST ${path}/approve`, {})
    t.equal(outcome(await put(dov, path, png)), '409 expense_not_open')
    t.equal(outcome(await send(dov, `DELETE ${path}/receipt`)), '409 expense_not_open')
    t.equal((await send(dov, `GET ${path}/receipt`)).status, 200)
    const { body: draft } = await enter(dov)
    await put(dov, `/api/expenses/${draft.id}`, pdf)
    t.equal((await send(dov, `DELETE /api/expenses/${draft.id}/receipt`)).status, 204)
    t.equal((await send(dov, `DELETE /api/expenses/${draft.id}/receipt`)).status, 404)
  })

  await t.test('has events that say what it is, and nothing of what is in it', async t => {
    const { body: draft } = await enter(dov)
    const at = `/api/expenses/${draft.id}`
    await put(dov, at, pdf)
    await put(dov, at, png, 'image/png')
    await put(dov, at, png, 'image/png')
    await send(dov, `DELETE ${at}/receipt`)
    const { body } = await call<{ items: { action: string; actor_id: string; changes: object }[] }>(
      `GET /api/audit/events?resource_id=${draft.id}&resource_type=expense_receipt`,
      { token: ana.token },
    )
    const [first, second] = [
      { bytes: pdf.length, content_type: 'application/pdf' },
      { bytes: png.length, content_type: 'image/png' },
    ]
    t.strictSame(body.items.map(({ action, actor_id, changes }) => [action, actor_id, changes]).reverse(), [
      ['expense_receipt.create', dov.id, { new: first }],
      ['expense_receipt.update', dov.id, { old: first, new: second }],
      ['expense_receipt.delete', dov.id, { old: second }],
    ])
  })

  await t.test('is kept during a legal hold', async t => {
    const { body: draft } = await enter(dov)
    const at = `/api/expenses/${draft.id}`
    const held = await call<Item>('POST /api/legal-holds', {
      token: ana.token,
      body: { reason: 'A tax audit.' },
    })
    t.equal((await put(dov, at, pdf)).status, 200, 'a first one removes nothing')
    t.equal(outcome(await put(dov, at, png)), '409 expense_receipt_held')
    t.equal(outcome(await send(dov, `DELETE ${at}/receipt`)), '409 expense_receipt_held')
    await send(ana, `POST /api/legal-holds/${held.body.id}/release`)
    t.equal((await send(dov, `DELETE ${at}/receipt`)).status, 204)
  })

  await t.test(
    'takes with others of one person half of the room, unless they hold finance.write',
    async t => {
      const most = 262_144_000
      /** As if those receipts of somebody that there are came to so much, but for the bytes given. */
      const allBut = (person: Person, rest: number) => db.admin`
      with r as (select expense_id, sum(bytes) over () - bytes as others from app.expense_receipts where created_by = ${person.id} limit 1)
      update app.expense_receipts e set bytes = ${most - rest}::int - r.others from r where e.expense_id = r.expense_id`
      for (const person of [dov, max]) {
        const { body: one } = await enter(person)
        const { body: other } = await enter(person)
        t.equal((await put(person, `/api/expenses/${one.id}`, pdf)).status, 200)
        await db.admin`alter table app.expense_receipts drop constraint expense_receipts_size`
        await allBut(person, pdf.length)
        t.equal((await put(person, `/api/expenses/${other.id}`, pdf)).status, 200, 'exactly half')
        t.equal(
          outcome(await put(person, `/api/expenses/${other.id}`, Buffer.concat([pdf, pdf]))),
          person === dov ? '409 receipt_storage_full' : '200',
        )
        for (const { id } of [one, other])
          t.equal((await send(person, `DELETE /api/expenses/${id}/receipt`)).status, 204)
        await db.admin`alter table app.expense_receipts add constraint expense_receipts_size check (bytes between 1 and 5242880) not valid`
      }
    },
  )

  await t.test('counts with imports in what the company may store, 500 MiB', async t => {
    const { body: draft } = await enter(dov)
    const at = `/api/expenses/${draft.id}`
    // What is there is smaller than that: a file to import takes the rest.
    await db.admin.begin(async sql => {
      await sql`set local session_replication_role = replica`
      await sql`insert into app.imports (organization_id, resource, bytes, sha256, status, session_id, created_by)
        select ${ana.organization}, 'shows', 524288000 - sum(r.bytes) - ${pdf.length}, repeat('0', 64), 'checked', gen_random_uuid(), ${ana.id}
        from app.expense_receipts r where r.organization_id = ${ana.organization}`
    })
    t.equal((await put(dov, at, pdf)).status, 200, 'exactly what is left')
    t.equal(outcome(await put(dov, at, Buffer.concat([pdf, pdf]))), '409 receipt_storage_full')
    const file = await call('POST /api/imports?resource=shows', {
      token: ana.token,
      body: 'title,artist,show_on\n',
      headers: { 'content-type': 'text/csv' },
    })
    t.equal(outcome(file), '409 import_storage_full')
  })
})
