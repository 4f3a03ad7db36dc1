import fastCheck from 'fast-check'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { type Answer, join, joinAs, register, startServer, until } from '../support/helper.ts'
import { type BadLine, type Import, office } from '../support/importing.ts'
import { anItinerary } from '../support/itineraries.ts'
import { startServerProcess } from '../support/server-process.ts'
import { outcome } from '../support/tokens.ts'

t.test('a file', async t => {
  const { server, owner, check, enter, records, list, problemsOf, call, token, run, settled, upload } =
    await office(t)

  await t.test('of finance records is checked, and entered when it is run', async t => {
    const found = await check(
      'Booked On,Kind,Category,Amount,Currency,Exchange Rate,Tax,Status,Payment Status,Counterparty,Note\r\n' +
        '2027-03-14,income,Guarantee,"1,250.50",EUR,,100.00,actual,paid,"Paradiso, Amsterdam","Two\nlines"\r\n' +
        '2027-03-15,expense,TRAVEL,12345,JPY,0.0062,,planned,,,\r\n',
    )
    t.match(found, {
      status: 'checked',
      lines: 2,
      bad_lines: 0,
      existing: 0,
      delimiter: ',',
      decimal: 'point',
      encoding: 'utf-8',
    })
    t.equal((await records()).length, 0, 'nothing has been entered yet')
    t.match((await run(found.id)).body, { status: 'queued' })
    t.match(await settled(found.id, 'done'), { created: 2, existing: 0, lines_done: 2, failure: null })
    t.match(await records(), [
      {
        booked_on: '2027-03-14',
        kind: 'income',
        category_name: 'Guarantee',
        amount_minor: 125050,
        tax_minor: 10000,
        currency: 'EUR',
        base_amount_minor: 125050,
        status: 'actual',
        payment_status: 'paid',
        counterparty: 'Paradiso, Amsterdam',
        note: 'Two\nlines',
        external_ref: null,
      },
      { currency: 'JPY', amount_minor: 12345, base_amount_minor: 7654, status: 'planned' },
    ])
  })

  await t.test('of finance records may name their tours', async t => {
    const { body } = await call<{ id: string }>('POST /api/itineraries', { token, body: anItinerary })
    const done = await enter(
      `booked_on,category,amount,itinerary_id\n2026-03-14,Guarantee,12,${body.id}\n2026-03-15,Guarantee,13,\n`,
    )
    t.match(done, { status: 'done', created: 2 })
    t.match(await list(`/api/finance-records`), [
      { booked_on: '2026-03-14', itinerary_id: body.id },
      { booked_on: '2026-03-15', itinerary_id: null },
    ])
  })

  await t.test('of finance records names no tours that its member does not see', async t => {
    const clerk = await joinAs(server, owner, [
      ...['imports.run', 'finance.read', 'finance.write', 'itineraries.read', 'organization.read'],
    ])
    const [draft, tour] = await Promise.all(
      [1, 2].map(async () => {
        const { body } = await call<{ id: string }>('POST /api/itineraries', { token, body: anItinerary })
        return body.id
      }),
    )
    await call(`POST /api/itineraries/${tour ?? ''}/publish`, { token, body: { note: null } })
    const uploaded = await upload(
      'booked_on,category,amount,itinerary_id\n' +
        [draft, '01a00000-0000-7000-8000-000000000000', tour]
          .map(id => `2026-03-14,Guarantee,12,${id ?? ''}\n`)
          .join(''),
      'resource=finance_records',
      clerk,
    )
    t.match(await settled(uploaded.body.id, 'checked', 'failed'), { lines: 3, bad_lines: 2 })
    const problems = [{ column: 'itinerary_id', reason: 'There is no such itinerary.' }]
    t.match(await problemsOf(uploaded.body.id), [
      { line: 2, problems },
      { line: 3, problems },
    ])
  })

  await t.test('from a German spreadsheet is understood without any options', async t => {
    const text =
      'booked_on;category;amount;counterparty\n14.3.2028;Künstler;1.234,50;Café Größe\n1.4.2028;Künstler;-99,9;\n'
    await call('POST /api/finance-categories', { token, body: { kind: 'income', name: 'Künstler' } })
    await call('POST /api/finance-categories', { token, body: { kind: 'expense', name: 'Künstler' } })
    const done = await enter(Buffer.from(text, 'latin1'))
    t.match(done, { status: 'done', created: 2, delimiter: ';', decimal: 'comma', encoding: 'windows-1252' })
    const entered = (await records()).filter(record => String(record['booked_on']).startsWith('2028'))
    t.match(entered, [
      { booked_on: '2028-03-14', kind: 'income', amount_minor: 123450, counterparty: 'Café Größe' },
      { booked_on: '2028-04-01', kind: 'expense', amount_minor: 9990, counterparty: null },
    ])
  })

  const encodings: [name: string, encode: (text: string) => Buffer][] = [
    ['utf-8', text => Buffer.from(`\uFEFF${text}`)],
    ['utf-16le', text => Buffer.from(`\uFEFF${text}`, 'utf16le')],
    ['utf-16be', text => Buffer.from(`\uFEFF${text}`, 'utf16le').swap16()],
  ]
  for (const [encoding, encode] of encodings)
    await t.test(`with the byte order mark of ${encoding} is read as such`, async t => {
      const found = await check(encode('booked_on\tcategory\tamount\n2027-01-02\tGuarantee\t1\n'))
      t.match(found, { status: 'checked', encoding, delimiter: '\t', lines: 1, bad_lines: 0 })
    })

  await t.test('of shows finds venues by name', async t => {
    const venue = { name: 'Vera', city: 'Groningen', country: 'NL', time_zone: 'Europe/Amsterdam' }
    await call('POST /api/venues', { token, body: venue })
    await call('POST /api/venues', { token, body: { ...venue, name: 'Odeon' } })
    await call('POST /api/venues', { token, body: { ...venue, name: 'Odeon', city: 'Zwolle' } })
    const text =
      'title,artist,show_on,venue,city,start_time,doors_time,status,capacity,tickets_sold,fee,notes,external_ref\n' +
      'Spring,The Gaslights,2027-05-01,vera,,20:30,19:00,confirmed,500,120,2500.00,Load-in,A1\n' +
      'Spring,The Gaslights,2027-05-02,Odeon,Zwolle,,,,,,,,A2\n' +
      'Spring,The Gaslights,2027-05-03,Odeon,,,,,,,,,A3\n' +
      'Spring,The Gaslights,2027-05-04,Nowhere,,,,,,,,,A4\n'
    const found = await check(text, 'resource=shows&source=agency')
    t.match(await problemsOf(found.id), [
      { line: 4, problems: [{ column: 'venue', reason: /several/i }] },
      { line: 5, problems: [{ column: 'venue', reason: /no such venue/ }] },
    ])
    await run(found.id, 'skip')
    t.match(await settled(found.id, 'done', 'failed'), { created: 2 })
    t.match(await list('/api/shows'), [
      {
        title: 'Spring',
        venue_name: 'Vera',
        fee_minor: 250000,
        currency: 'EUR',
        source: 'agency',
        external_ref: 'A1',
        start_time: '20:30',
      },
      { venue_city: 'Zwolle', status: 'inquiry' },
    ])
  })

  type Bad = [cells: string, column: string, reason: RegExp]
  /** A file of bad lines, for each of which one column and what is wrong with it must be named. */
  const checkBad = async (t: Test, resource: string, header: string, bad: Bad[]) => {
    const text = [header, ...bad.map(([cells]) => cells), ''].join('\n')
    const found = await check(text, `resource=${resource}&decimal=point`)
    t.match(found, { lines: bad.length, bad_lines: bad.length })
    const lines = await problemsOf(found.id)
    for (const [n, [cells, column, reason]] of bad.entries())
      t.match(lines[n], { line: n + 2, problems: [{ column, reason }] }, cells)
    return found
  }

  const bad: Bad[] = [
    [',Guarantee,1,,,,,,', 'booked_on', /date is required/],
    ['2027-02-29,Guarantee,1,,,,,,', 'booked_on', /not a date between 1900 and 2199/i],
    ['04/03/2027,Guarantee,1,,,,,,', 'booked_on', /dates=dmy or dates=mdy/],
    ['1899-01-01,Guarantee,1,,,,,,', 'booked_on', /not a date between 1900 and 2199/i],
    ['2030-05-05,Guarantee,1,,,,,,', 'booked_on', /closed/],
    ['2027-03-14,,1,,,,,,', 'category', /category is required/],
    ['2027-03-14,Nothing,1,,,,,,', 'category', /no income category of this name/],
    ['2027-03-14,Guarantee,,,,,,,', 'amount', /amount is required/],
    ['2027-03-14,Guarantee,a lot,,,,,,', 'amount', /not a number/i],
    ['2027-03-14,Guarantee,"1,5",,,,,,', 'amount', /not a number \(decimal point expected\)/i],
    ['2027-03-14,Guarantee,1.005,,,,,,', 'amount', /EUR has 2 decimal places/],
    ['2027-03-14,Guarantee,99999999999999999,,,,,,', 'amount', /too large/],
    ['2027-03-14,Guarantee,-1,income,,,,,', 'amount', /negative/],
    ['2027-03-14,Guarantee,1,gift,,,,,', 'kind', /income or expense/],
    ['2027-03-14,Guarantee,1,,ABC,2,,,', 'currency', /no such currency/],
    ['2027-03-14,Guarantee,1,,USD,,,,', 'exchange_rate', /needs its exchange rate to EUR/],
    ['2027-03-14,Guarantee,1,,EUR,2,,,', 'exchange_rate', /itself is 1/],
    ['2027-03-14,Guarantee,1,,USD,0,,,', 'exchange_rate', /not a positive number/i],
    ['2027-03-14,Guarantee,1,,,,2,,', 'tax', /between 0 and the amount/],
    ['2027-03-14,Guarantee,1,,,,,maybe,', 'status', /planned, committed/],
    ['2027-03-14,Guarantee,1,,,,,,01980c5e-8c5e-7b4a-9d59-3f1de6a3c111', 'show_id', /no such show/],
    [
      '2027-03-14,Guarantee,1,,,,,,,01980c5e-8c5e-7b4a-9d59-3f1de6a3c111',
      'itinerary_id',
      /no such itinerary/,
    ],
    ['2027-03-14,Guarantee,1,,,,,,,,,more', '', /more cells/],
  ]
  await t.test('says for every bad line what is wrong in which column', async t => {
    await call('PUT /api/finance-periods/2030-05', { token })
    const header = 'booked_on,category,amount,kind,currency,exchange_rate,tax,status,show_id,itinerary_id'
    const found = await checkBad(t, 'finance_records', header, bad)
    const [first] = (
      await call<{ items: BadLine[]; next_cursor: string }>(`GET /api/imports/${found.id}/problems?limit=1`, {
        token,
      })
    ).body.items
    t.equal(first?.line, 2)
    const { body } = await call<{ items: BadLine[]; next_cursor: string | null }>(
      `GET /api/imports/${found.id}/problems?limit=200&cursor=2`,
      { token },
    )
    t.equal(body.items.length, bad.length - 1)
    t.equal(body.next_cursor, null)
    t.equal(outcome(await run(found.id, 'abort')), '409 import_has_bad_lines')
  })

  const badShows: Bad[] = [
    [',The Gaslights,2027-05-01,,,,,,,', 'title', /title is required/],
    [`${'x'.repeat(201)},The Gaslights,2027-05-01,,,,,,,`, 'title', /longer than 200/i],
    ['Spring,,2027-05-01,,,,,,,', 'artist', /artist is required/],
    ['Spring,The\u0007 Gaslights,2027-05-01,,,,,,,', 'artist', /control characters/],
    ['Spring,The Gaslights,,,,,,,,', 'show_on', /date is required/],
    ['Spring,The Gaslights,2200-01-01,,,,,,,', 'show_on', /not a date between 1900 and 2199/i],
    ['Spring,The Gaslights,2027-05-01,half past,,,,,,', 'doors_time', /not a time/i],
    ['Spring,The Gaslights,2027-05-01,,25:00,,,,,', 'start_time', /not a time/i],
    ['Spring,The Gaslights,2027-05-01,20:00,19:00,,,,,', 'doors_time', /after the start/],
    ['Spring,The Gaslights,2027-05-01,,,maybe,,,,', 'status', /inquiry, hold, offer/],
    ['Spring,The Gaslights,2027-05-01,,,,0,,,', 'capacity', /positive whole number/],
    ['Spring,The Gaslights,2027-05-01,,,,1.5,,,', 'capacity', /positive whole number/],
    ['Spring,The Gaslights,2027-05-01,,,,,-1,,', 'tickets_sold', /whole number/],
    ['Spring,The Gaslights,2027-05-01,,,,10,11,,', 'tickets_sold', /than there are places/],
    ['Spring,The Gaslights,2027-05-01,,,,,,a lot,', 'fee', /decimal point expected/],
    ['Spring,The Gaslights,2027-05-01,,,,,,1.005,', 'fee', /EUR has 2 decimal places/],
    ['Spring,The Gaslights,2027-05-01,,,,,,1,XXQ', 'currency', /There is no such currency/],
    ['\u200b,The Gaslights,2027-05-01,,,,,,,', 'title', /./],
    ['Spring,The Gaslights,2027-05-01,,,,,,1,euros', 'currency', /no such currency/],
  ]
  await t.test('does the same for bad lines of shows', async t => {
    const header = 'title,artist,show_on,doors_time,start_time,status,capacity,tickets_sold,fee,currency'
    await checkBad(t, 'shows', header, badShows)
  })

  await t.test(
    'of shows with fees needs the permissions for money, when it is checked and when it runs',
    async t => {
      const text =
        'title,artist,show_on,fee\nPaid,The Gaslights,2031-06-01,100\nUnpaid,The Gaslights,2031-06-02,\n'
      const mia = await joinAs(server, owner, [
        'imports.run',
        'organization.read',
        'shows.read',
        'shows.write',
      ])
      const { id } = (await upload(text, 'resource=shows', mia)).body
      t.match(await settled(id, 'checked', 'failed'), { lines: 2, bad_lines: 1 })
      t.match(await problemsOf(id), [
        {
          line: 2,
          problems: [{ column: 'fee', reason: /needs the permission finance\.write/ }],
        },
      ])
      t.equal(outcome(await run(id, 'abort', mia)), '409 import_has_bad_lines')
      await run(id, 'skip', mia)
      t.match(await settled(id, 'done', 'failed'), { status: 'done', created: 1 })

      const ben = await join(server, owner, 'manager')
      const set = (effect: string) =>
        call(`PUT /api/users/${ben.id}/permissions/finance.write`, { token, body: { effect } })
      const both = (await upload(text, 'resource=shows', ben)).body.id
      t.match(await settled(both, 'checked', 'failed'), { bad_lines: 0 })
      await set('deny')
      await run(both, 'abort', ben)
      t.match(await settled(both, 'done', 'failed'), {
        status: 'failed',
        failure: /no longer has permission/,
      })
      await set('grant')
      const again = (await upload(text, 'resource=shows', ben)).body.id
      await settled(again, 'checked', 'failed')
      await run(again, 'abort', ben)
      t.match(await settled(again, 'done', 'failed'), { status: 'done', created: 2 })
      const made = (await list('/api/shows')).filter(show => String(show['show_on']).startsWith('2031-06'))
      t.match(made.map(show => [show['title'], show['fee_minor'], show['currency']]).sort(), [
        ['Paid', 10000, 'EUR'],
        ['Unpaid', null, null],
        ['Unpaid', null, null],
      ])
    },
  )

  const unreadable: [text: string, why: RegExp][] = [
    ['\n\n', /empty/],
    ['booked_on,category\n2027-01-01,Guarantee\n', /amount or amount_minor is missing/],
    ['booked_on,category,colour\n', /amount or amount_minor is missing. Known columns: booked_on, kind/],
    ['booked_on,category,amount,amount\n', /amount occurs twice/],
    ['booked_on,category,amount\n2027-01-01,"Guarantee,1\n', /Invalid CSV from line 2/],
    // Not read to its end: that would take minutes for the largest file.
    [
      `booked_on,category,amount\n2027-01-01,"${'Guarantee\n'.repeat(80_000)}`,
      /from line 2: a quotation mark is missing, or a line is longer than 262144 characters/,
    ],
  ]
  for (const [text, why] of unreadable)
    await t.test(`that cannot be read fails with a reason: ${why}`, async t => {
      t.match(await check(text), { status: 'failed', failure: why })
    })

  await t.test(
    'imported again leaves existing rows alone, and enters duplicates within the file once',
    async t => {
      const text =
        'booked_on,category,amount,external_ref\n2027-06-01,Guarantee,1,R1\n2027-06-02,Guarantee,2,R2\n2027-06-03,Guarantee,3,R1\n'
      const first = await check(text, 'resource=finance_records&source=bank')
      t.match(first, { lines: 3, bad_lines: 1, existing: 0 })
      t.match(await problemsOf(first.id), [
        { line: 4, problems: [{ column: 'external_ref', reason: 'Line 2 has the same one.' }] },
      ])
      await run(first.id, 'skip')
      t.match(await settled(first.id, 'done', 'failed'), { created: 2 })
      const before = (await records()).length
      const again = await check(`${text}2027-06-04,Guarantee,4,R4\n`, 'resource=finance_records&source=bank')
      t.match(again, { existing: 2 })
      await run(again.id, 'skip')
      t.match(await settled(again.id, 'done', 'failed'), { created: 1, existing: 2 })
      t.equal((await records()).length, before + 1)
    },
  )
})

t.test('an import', async t => {
  const { server, owner, upload, check, run, settled, call, token, records, read, stop, start } =
    await office(t)
  const { db } = server
  const text = 'booked_on,category,amount\n2027-03-14,Guarantee,1\n2027-03-15,Guarantee,2\n'

  await t.test('is all or nothing when the table still refuses a line', async t => {
    const { id } = await check(text)
    await call('PUT /api/finance-periods/2027-03', { token })
    await run(id)
    t.match(await settled(id, 'done', 'failed'), {
      status: 'failed',
      created: 0,
      failure: 'The books of 2027-03 are closed.',
    })
    t.equal((await records()).length, 0)
    await call('DELETE /api/finance-periods/2027-03', { token })
    t.equal(outcome(await run(id)), '409 import_not_checked', 'a failed one must be uploaded again')
  })

  await t.test('needs the permission to write what is imported, at each step', async t => {
    const viewer = await join(server, owner, 'viewer')
    t.equal(outcome(await upload(text, undefined, viewer)), '403 permission_denied')
    const clerk = await joinAs(server, owner, ['imports.run', 'finance.read', 'organization.read'])
    t.equal(
      outcome(await upload(text, undefined, clerk)),
      '403 permission_denied',
      'imports.run alone is not enough',
    )
    const manager = await join(server, owner, 'manager')
    const { body } = await upload(text, undefined, manager)
    await settled(body.id, 'checked')
    await stop()
    t.equal((await run(body.id, 'abort', manager)).status, 200)
    await call(`PATCH /api/users/${manager.id}`, { token, body: { role: 'viewer' } })
    start()
    t.match(await settled(body.id, 'failed', 'done'), {
      status: 'failed',
      failure: /no longer has permission/,
    })
    t.equal((await records()).length, 0)
  })

  await t.test('can be abandoned, and then enters nothing', async t => {
    const { id } = await check(text)
    t.match((await call(`POST /api/imports/${id}/cancel`, { token })).body, { status: 'cancelled' })
    t.equal(outcome(await call(`POST /api/imports/${id}/cancel`, { token })), '409 import_ended')
    t.equal(outcome(await run(id)), '409 import_not_checked')
    t.equal((await db.admin`select from app.import_lines where import_id = ${id}`).count, 0)
    t.equal((await records()).length, 0)
  })

  await t.test('cannot be one of any number, nor of any size', async t => {
    const pretend = (n: number, { status = 'uploaded', bytes = 1, bad = 0 }) =>
      db.admin.begin(async tx => {
        // More than there may be.
        await tx`set local session_replication_role = replica`
        await tx`
          insert into app.imports (organization_id, resource, bytes, sha256, status, bad_lines, created_by, session_id, file_name)
          select ${owner.organization}, 'shows', ${bytes}, repeat('0', 64), ${status}, ${bad}, ${owner.id}, ${owner.id}, 'pretended'
          from generate_series(1, ${n}::integer)`
      })
    const forget = () => db.admin`delete from app.imports where organization_id = ${owner.organization}`
    await forget()
    await pretend(20, {})
    t.equal(outcome(await upload(text)), '409 too_many_imports')
    await db.admin`update app.imports set status = 'cancelled' where file_name = 'pretended'`
    t.equal((await upload(text)).status, 201)
    await pretend(1, { bytes: 524_288_000 })
    t.equal(outcome(await upload(text)), '409 import_storage_full')
    await forget()
    await pretend(1, { status: 'failed', bad: 1_800_000 })
    t.equal(outcome(await upload(text)), '409 import_storage_full', 'bad lines are kept')
    await forget()
    // Ten at once, of which each finds room for itself as long as it does not see the others.
    await pretend(18, {})
    const outcomes = await Promise.all(Array.from({ length: 10 }, async () => outcome(await upload(text))))
    t.strictSame(outcomes.sort(), [
      ...Array<string>(2).fill('201'),
      ...Array<string>(8).fill('409 too_many_imports'),
    ])
    await forget()
    await pretend(1, { bytes: 524_287_900 - Buffer.byteLength(text) })
    const sizes = await Promise.all(Array.from({ length: 10 }, async () => outcome(await upload(text))))
    t.ok(sizes.includes('409 import_storage_full'), sizes.join())
    const [{ bytes }] = await db.admin<[{ bytes: number }]>`
      select sum(bytes)::float8 as bytes from app.imports where organization_id = ${owner.organization}`
    t.ok(bytes <= 524_288_000, `${bytes}`)
    await forget()
  })

  await t.test('ends when it is cancelled while the worker has it, before anything else happens', async t => {
    const { id } = await check(text)
    const worker = db.as('callboard_worker')
    const lock = await db.admin.reserve()
    const status = async () =>
      (await db.admin<[{ status: string }]>`select status from app.imports where id = ${id}`)[0].status
    // While it is checked: its row is locked for as long as that takes.
    await db.admin`update app.imports set status = 'checking' where id = ${id}`
    await lock`begin`
    await lock`select from app.imports where id = ${id} for update`
    t.equal((await call(`POST /api/imports/${id}/cancel`, { token })).status, 200, 'nobody waits')
    await lock`rollback`
    await worker`select app.finish_check(${id}, '{}')`
    t.equal(await status(), 'cancelled')
    // While its last lines are entered.
    const other = await check(text)
    await db.admin`update app.imports set status = 'running' where id = ${other.id}`
    t.equal((await call(`POST /api/imports/${other.id}/cancel`, { token })).status, 200)
    t.match(await worker`select app.finish_import(${other.id}, 1, 0)`.catch((error: unknown) => error), {
      code: 'PT409',
    })
    lock.release()
    await db.admin`update app.imports set status = 'cancelled' where id = ${other.id}`
  })

  await t.test('is invisible to another organization', async t => {
    const { id } = await check(text)
    const ben = await register(server, 'Ben')
    for (const request of [
      `GET /api/imports/${id}`,
      `GET /api/imports/${id}/problems`,
      `POST /api/imports/${id}/cancel`,
    ] as const)
      t.equal(outcome(await call(request, { token: ben.token })), '404 not_found', request)
    t.equal(outcome(await run(id, 'abort', ben)), '404 not_found')
  })

  await t.test('requires a file, of limited size', async t => {
    const post = (body: string | undefined, headers: Record<string, string>) =>
      call('POST /api/imports?resource=shows', { token, ...(body !== undefined && { body }), headers })
    t.equal(outcome(await post(undefined, {})), '400 bad_request')
    t.equal(outcome(await post('', { 'content-type': 'text/csv' })), '400 bad_request')
    t.equal(outcome(await post('{}', { 'content-type': 'application/json' })), '415 unsupported_media_type')
    const small = await startServer(t, { IMPORT_LIMIT: '1024' })
    const cleo = await register(small, 'Cleo')
    const big = (size: number) =>
      small.call('POST /api/imports?resource=shows', {
        token: cleo.token,
        body: 'x'.repeat(size),
        headers: { 'content-type': 'text/csv' },
      })
    t.equal((await big(1024)).status, 201)
    t.equal(outcome(await big(1025)), '413 payload_too_large')
  })

  await t.test('is made once with an Idempotency-Key', async t => {
    const post = (body: string): Promise<Answer<Import>> =>
      call('POST /api/imports?resource=finance_records', {
        token,
        body,
        headers: { 'content-type': 'text/csv', 'idempotency-key': 'march' },
      })
    const [one, two] = [await post(text), await post(text)]
    t.equal(one.body.id, two.body.id)
    t.equal(outcome(await post(`${text}\n`)), '409 idempotency_key_reused')
    t.ok(await read(one.body.id))
  })

  await t.test('leaves an event for every record, attributed to whoever ran it', async t => {
    const { id } = await check(text)
    await run(id)
    await settled(id, 'done')
    const events = await call<{ items: { actor_id: string; action: string }[] }>(
      'GET /api/audit/events?action=finance_record.create&limit=10',
      { token },
    )
    t.equal(events.body.items.length, 2)
    t.ok(events.body.items.every(({ actor_id }) => actor_id === owner.id))
  })
})

t.test('an import whose last attempt fails for technical reasons says so', async t => {
  const { server, call, token, upload, settled, stop, start } = await office(t)
  const { admin } = server.db
  await stop()
  /** A worker with a single attempt meets a database without the function. */
  const without = async (name: string, id: string) => {
    await admin`update graphile_worker._private_jobs set max_attempts = 1`
    await admin.unsafe(`alter function app.${name} rename to gone`)
    start()
    t.match(await settled(id, 'failed'), { status: 'failed', failure: /for technical reasons/ })
    await stop()
    await admin.unsafe(`alter function app.gone rename to ${name}`)
  }
  const file = 'booked_on,category,amount\n2027-03-14,Guarantee,1\n'
  await without('import_chunk', (await upload(file)).body.id)
  const { id } = (await upload(file.replace('14', '15'))).body
  start()
  await settled(id, 'checked')
  await stop()
  t.equal(outcome(await call(`POST /api/imports/${id}/run`, { token, body: { on_error: 'abort' } })), '200')
  await without('enter_lines', id)
})

t.test('a worker that is killed halfway leaves nothing, and the next one enters everything', async t => {
  const { server, owner, token, upload, settled, run, read, call, stop, start } = await office(t)
  const { db } = server
  await stop()
  const killed = startServerProcess(
    t,
    { NODE_ENV: 'test', WORKER_DATABASE_URL: db.url('callboard_worker') },
    'src/worker.ts',
  )
  const lines = 8000
  const text = Array.from({ length: lines }, (_, n) => `2027-01-01,Guarantee,${n}\n`).join('')
  const { id } = (await upload(`booked_on,category,amount\n${text}`)).body
  await settled(id, 'checked')
  await run(id)
  await until(async () => {
    const { status, lines_done } = await read(id)
    return status === 'running' && Number(lines_done) >= 1000
  }, 30)
  killed.child.kill('SIGKILL')
  await killed.ended
  const count = async () =>
    (await db.admin`select from app.finance_records where organization_id = ${owner.organization}`).count
  await until(
    async () =>
      (
        await db.admin`select from pg_stat_activity where application_name = 'callboard worker' and datname = current_database()`
      ).count === 0,
  )
  t.match(await read(id), { status: 'running', created: 0 })
  t.equal(await count(), 0, 'nothing is partially imported')
  // What a live worker does once this one has been silent for long enough.
  await db.admin`update graphile_worker._private_jobs set locked_at = null, locked_by = null`
  start()
  t.match(await settled(id, 'done', 'failed'), { status: 'done', created: lines, lines_done: lines })
  t.equal(await count(), lines)
  t.equal((await call(`GET /api/imports/${id}`, { token })).status, 200)
})

t.test('numbers survive in either notation', async t => {
  const { enter, records } = await office(t)
  const amounts = fastCheck.sample(fastCheck.bigInt({ min: 0n, max: 9_007_199_254_740_991n }), {
    numRuns: 100,
    seed: 7,
  })
  const written = (amount: bigint, thousands: string, decimal: string) => {
    const whole = (amount / 100n).toString().replace(/\B(?=(\d{3})+$)/g, thousands)
    return `"${whole}${decimal}${(amount % 100n).toString().padStart(2, '0')}"`
  }
  const file = (year: number, thousands: string, decimal: string) =>
    `booked_on;category;amount;external_ref\n${amounts
      .map((amount, n) => `${year}-01-01;Guarantee;${written(amount, thousands, decimal)};${year}-${n}\n`)
      .join('')}`
  t.match(await enter(file(2027, '.', ',')), { status: 'done', created: 100, decimal: 'comma' })
  t.match(await enter(file(2028, ',', '.')), { status: 'done', created: 100, decimal: 'point' })
  const found = await records()
  for (const year of ['2027', '2028'])
    for (const [n, amount] of amounts.entries()) {
      const record = found.find(item => item['external_ref'] === `${year}-${n}`)
      if (record) t.equal(record['amount_minor'], Number(amount))
    }
})
