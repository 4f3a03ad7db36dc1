import { randomUUID } from 'node:crypto'
import type postgres from 'postgres'
import { t } from '../support/tap.ts'
import { problems } from '../../src/http/problems.ts'
import { aShow, join, register, startServer } from '../support/helper.ts'
import { claimsOf, outcome } from '../support/tokens.ts'

interface Show extends Record<string, unknown> {
  id: string
}

t.test('shows', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const token = ana.token
  const aVenue = { name: 'Paradiso', city: 'Amsterdam', country: 'NL', time_zone: 'Europe/Amsterdam' }
  const venue = (await call<Show>('POST /api/venues', { token, body: aVenue })).body.id
  const full = {
    ...aShow,
    status: 'hold',
    venue_id: venue,
    doors_time: '19:00',
    start_time: '20:30',
    curfew_time: '23:00',
    capacity: 1500,
    tickets_sold: 820,
    fee_minor: 1250000,
    currency: 'EUR',
    notes: 'Load-in through the canal side.\nNo smoke machine — “really”. 🎪',
  }
  const empty = {
    status: 'inquiry',
    venue_id: null,
    venue_name: null,
    venue_city: null,
    time_zone: null,
    starts_at: null,
    doors_time: null,
    start_time: null,
    curfew_time: null,
    capacity: null,
    tickets_sold: 0,
    fee_minor: null,
    currency: null,
    notes: null,
    source: null,
    external_ref: null,
    fee_hidden: false,
  }
  const create = async (body: object = {}) => {
    const created = await call<Show>('POST /api/shows', { token, body: { ...aShow, ...body } })
    if (created.status !== 201) throw new Error(created.text)
    return created
  }

  await t.test('a show that was created can be read, with its version as ETag', async t => {
    const created = await create(full)
    t.equal(created.headers['etag'], '"1"')
    t.equal(created.headers['location'], `/api/shows/${created.body.id}`)
    t.match(created.body, { ...full, created_by: ana.id, venue_name: 'Paradiso', venue_city: 'Amsterdam' })
    const read = await call(`GET /api/shows/${created.body.id}`, { token })
    t.equal(read.status, 200)
    t.equal(read.headers['etag'], '"1"')
    t.equal(read.text, created.text)
  })

  await t.test('omitted fields of a new show are empty', async t => {
    const { id, created_at, updated_at, ...rest } = (await create()).body
    t.strictSame(rest, { ...aShow, ...empty, created_by: ana.id })
    t.equal(created_at, updated_at)
    t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/, 'the id is a UUID of version 7')
  })

  await t.test('PUT replaces: omitted fields become empty', async t => {
    const { id, created_at } = (await create(full)).body
    const kept = { title: 'Spring Tour', artist: 'Others', show_on: '2028-02-29', status: 'offer' }
    const put = await call<Show>(`PUT /api/shows/${id}`, { token, body: kept })
    t.equal(put.status, 200)
    t.equal(put.headers['etag'], '"2"')
    const { updated_at, ...rest } = put.body
    t.strictSame(rest, { ...empty, ...kept, id, created_at, created_by: ana.id })
    t.ok(String(updated_at) > String(created_at))
  })

  await t.test('PUT requires every field that cannot be empty', async t => {
    const { id } = (await create()).body
    const whole: Record<string, string> = { ...aShow, status: 'hold' }
    for (const missing of Object.keys(whole)) {
      const body = Object.fromEntries(Object.entries(whole).filter(([name]) => name !== missing))
      t.equal(outcome(await call(`PUT /api/shows/${id}`, { token, body })), '400 validation', missing)
    }
    t.equal((await call(`GET /api/shows/${id}`, { token })).headers['etag'], '"1"')
  })

  await t.test('PATCH changes the given fields, and null clears', async t => {
    const created = (await create(full)).body
    const changes = [
      { title: 'Autumn Tour' },
      { notes: null, curfew_time: null },
      { venue_id: null },
      { fee_minor: null, currency: null },
      { tickets_sold: 1500, capacity: null, show_on: '2027-02-04' },
    ]
    let expected: Record<string, unknown> = created
    for (const [n, body] of changes.entries()) {
      const patched = await call<Show>(`PATCH /api/shows/${created.id}`, { token, body })
      t.equal(patched.status, 200)
      t.equal(patched.headers['etag'], `"${n + 2}"`)
      const followsVenue =
        'venue_id' in body ? { venue_name: null, venue_city: null, time_zone: null, starts_at: null } : {}
      expected = { ...expected, ...body, ...followsVenue, updated_at: patched.body['updated_at'] }
      t.strictSame(patched.body, { ...expected, starts_at: patched.body['starts_at'] })
    }
    t.equal(outcome(await call(`PATCH /api/shows/${created.id}`, { token, body: {} })), '400 validation')
  })

  await t.test('a deleted show is gone until it is restored', async t => {
    const { id, ...before } = (await create(full)).body
    t.equal((await call(`DELETE /api/shows/${id}`, { token })).status, 204)
    const listed = await call<{ items: Show[] }>('GET /api/shows?limit=200', { token })
    t.notOk(listed.body.items.some(show => show.id === id))
    const whole = { ...aShow, status: 'hold' }
    for (const [method, body] of [['GET'], ['DELETE'], ['PUT', whole], ['PATCH', { title: 'X' }]] as const) {
      const refused = await call(`${method} /api/shows/${id}`, { token, ...(body && { body }) })
      t.equal(outcome(refused), '404 not_found', method)
    }
    const restored = await call<Show>(`POST /api/shows/${id}/restore`, { token })
    t.equal(restored.status, 200)
    t.strictSame(restored.body, { id, ...before, updated_at: restored.body['updated_at'] })
    t.not(restored.headers['etag'], '"1"', 'the version before the deletion is not the current one')
    t.equal((await call(`GET /api/shows/${id}`, { token })).text, restored.text)
  })

  await t.test('only deleted shows can be restored, and only to an existing venue', async t => {
    const { id } = (await create()).body
    t.equal(outcome(await call(`POST /api/shows/${id}/restore`, { token })), '404 not_found')
    const place = (await call<Show>('POST /api/venues', { token, body: aVenue })).body.id
    const there = (await create({ venue_id: place })).body.id
    await call(`DELETE /api/shows/${there}`, { token })
    await call(`DELETE /api/venues/${place}`, { token })
    t.equal(outcome(await call(`POST /api/shows/${there}/restore`, { token })), '409 parent_deleted')
    t.equal((await call(`GET /api/shows/${there}`, { token })).status, 404)
    await call(`POST /api/venues/${place}/restore`, { token })
    t.equal((await call(`POST /api/shows/${there}/restore`, { token })).status, 200)
  })

  await t.test('a viewer can read but not write, a manager cannot delete', async t => {
    const viewer = await join(server, ana, 'viewer')
    t.equal((await call('GET /api/shows', { token: viewer.token })).status, 200)
    t.equal((await call('POST /api/shows', { token: viewer.token, body: aShow })).status, 403)
    const manager = await join(server, ana, 'manager')
    const { id } = (await call<Show>('POST /api/shows', { token: manager.token, body: aShow })).body
    t.equal(outcome(await call(`DELETE /api/shows/${id}`, { token: manager.token })), '403 permission_denied')
    t.equal((await call(`GET /api/shows/${id}`, { token })).status, 200)
  })

  await t.test('money is exact up to 2^53 - 1 smallest units', async t => {
    for (const fee of [0, 1, 99, 2 ** 31, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER]) {
      const { text, body } = await create({ fee_minor: fee, currency: 'JPY' })
      t.match(text, new RegExp(`"fee_minor" ?: ?${fee},`))
      const read = await call<Show>(`PATCH /api/shows/${body.id}`, { token, body: { notes: 'same fee' } })
      t.equal(read.body['fee_minor'], fee)
    }
    for (const fee of ['9007199254740992', '-1', '0.5', '1e300', '1e400', '"1"', 'true']) {
      const body = `{"title":"a","artist":"b","show_on":"2027-01-01","currency":"EUR","fee_minor":${fee}}`
      t.equal(outcome(await call('POST /api/shows', { token, body })), '400 validation', fee)
    }
  })

  // Each of these requests has one thing wrong. What the request schema lets through, the
  // table refuses; what it does not is tried against the table below.
  const refusals: [problem: string, body: object][] = [
    ['409 shows_venue_exists', { venue_id: randomUUID() }],
    ['422 shows_title_length', { title: 'next line: \u0085' }],
    ['422 shows_artist_length', { artist: 'application program command: \u009f' }],
    ['422 shows_show_on_range', { show_on: '1899-12-31' }],
    ['422 shows_show_on_range', { show_on: '2200-01-01' }],
    ['400 invalid_value', { show_on: '0000-01-01' }],
    ['422 shows_doors_before_start', { doors_time: '20:01', start_time: '20:00' }],
    ['422 shows_tickets_within_capacity', { capacity: 100, tickets_sold: 101 }],
    ['422 shows_fee_with_currency', { fee_minor: 100 }],
    ['422 shows_fee_with_currency', { currency: 'EUR' }],
    ['422 shows_external_ref_with_source', { source: 'agency' }],
    ['422 shows_external_ref_with_source', { external_ref: 'A1' }],
    ['400 validation', { notes: 'nul: \u0000' }],
    ['400 invalid_value', { notes: 'half a character: \ud83c' }],
    ['400 validation', { show_on: '2027-02-30' }],
    ['400 validation', { show_on: '2027-2-3' }],
    ['400 validation', { start_time: '24:00' }],
    ['400 validation', { start_time: '20:00:00' }],
    ['400 validation', { start_time: '8:00' }],
    ['400 validation', { title: ' ' }],
    ['400 validation', { title: '\u00a0\u3000' }],
    ['400 validation', { status: 'HOLD' }],
    ['400 validation', { currency: 'eur' }],
    ['422 shows_currency_exists', { fee_minor: 1, currency: 'XXQ' }],
  ]

  await t.test('each rule refuses a new show, a replacement and a change', async t => {
    const { id } = (await create()).body
    for (const [expected, body] of refusals) {
      const whole = { ...aShow, status: 'inquiry', ...body }
      const what = `${expected} ${JSON.stringify(body)}`
      t.equal(outcome(await call('POST /api/shows', { token, body: whole })), expected, what)
      t.equal(outcome(await call(`PUT /api/shows/${id}`, { token, body: whole })), expected, what)
      t.equal(outcome(await call(`PATCH /api/shows/${id}`, { token, body })), expected, what)
    }
    t.equal((await call(`GET /api/shows/${id}`, { token })).headers['etag'], '"1"')
  })

  await t.test('the edge of each rule is allowed', async t => {
    for (const body of [
      { show_on: '1900-01-01' },
      { show_on: '2199-12-31' },
      { doors_time: '20:00', start_time: '20:00' },
      { doors_time: '19:00' },
      { start_time: '20:00', curfew_time: '01:30' },
      { capacity: 100, tickets_sold: 100 },
      { tickets_sold: 2_147_483_647 },
      { title: '🎪'.repeat(200), artist: 'x'.repeat(200), notes: '🎪'.repeat(10_000) },
      { notes: '' },
    ])
      t.match((await create(body)).body, body)
  })

  const behind: [constraint: string, body: object][] = [
    ['shows_status_known', { status: 'sold_out' }],
    ['shows_capacity_positive', { capacity: 0 }],
    ['shows_tickets_sold_positive', { tickets_sold: -1 }],
    ['shows_fee_range', { fee_minor: -1, currency: 'EUR' }],
    ['shows_fee_range', { fee_minor: 9007199254740992, currency: 'EUR' }],
    ['shows_currency_format', { fee_minor: 1, currency: 'eur' }],
    ['shows_title_length', { title: '\u200b' }],
    ['shows_artist_length', { artist: '\u3164\ufe0f' }],
    ['shows_notes_length', { notes: 'x'.repeat(10_001) }],
    ['shows_title_length', { title: 'x'.repeat(201) }],
    ['shows_title_length', { title: ' ' }],
    ['shows_artist_length', { artist: '' }],
    ['shows_source_length', { source: 'x'.repeat(101), external_ref: 'A1' }],
    ['shows_external_ref_length', { source: 'agency', external_ref: 'x'.repeat(201) }],
  ]

  await t.test('what the request schema refuses, the table refuses too', async t => {
    const api = db.as('callboard_api')
    const sid = String(claimsOf(token)['sid'])
    for (const [constraint, body] of behind) {
      t.equal(
        outcome(await call('POST /api/shows', { token, body: { ...aShow, ...body } })),
        '400 validation',
      )
      const insert = api.begin(sql => [
        sql`select app.enter(${sid}, ${ana.organization})`,
        sql`select app.create_show(${JSON.stringify({ ...aShow, ...body })}::text::jsonb)`,
      ])
      const refused = await insert.then(
        () => undefined,
        (error: unknown) => error as postgres.PostgresError,
      )
      t.equal(refused?.constraint_name, constraint)
    }
  })

  await t.test('every problem named for shows is one of these', async t => {
    const tried = [...refusals.map(([expected]) => expected.slice(4)), ...behind.map(([name]) => name)]
    t.strictSame(
      Object.keys(problems).filter(name => name.startsWith('shows_') && !tried.includes(name)),
      [],
    )
  })

  await t.test('the foreign key holds where the trigger does not check', async t => {
    const attempt = db.admin.begin(async sql => {
      await sql`alter table app.shows disable trigger _300_entered`
      await sql`insert into app.shows (organization_id, title, artist, show_on, venue_id)
        values (${ana.organization}, 'a', 'b', '2027-01-01', ${randomUUID()})`
    })
    await t.rejects(attempt, { code: '23503', constraint_name: 'shows_venue_exists' })
  })

  await t.test("another organization's venue, or a deleted one, does not exist", async t => {
    const ben = await register(server, 'Ben')
    const theirs = (await call<Show>('POST /api/venues', { token: ben.token, body: aVenue })).body.id
    const deleted = (await call<Show>('POST /api/venues', { token, body: aVenue })).body.id
    await call(`DELETE /api/venues/${deleted}`, { token })
    const details = new Set<unknown>()
    const { id } = (await create()).body
    for (const venue_id of [theirs, deleted, randomUUID()]) {
      for (const [request, body] of [
        ['POST /api/shows', aShow],
        [`PUT /api/shows/${id}`, { ...aShow, status: 'inquiry' }],
        [`PATCH /api/shows/${id}`, {}],
      ] as const) {
        const refused = await call(request, { token, body: { ...body, venue_id } })
        t.equal(outcome(refused), '409 shows_venue_exists', request)
        details.add(refused.body['detail'])
      }
    }
    t.equal(details.size, 1, 'and nothing reveals which of these it was')
  })
})
