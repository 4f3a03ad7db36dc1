import { randomUUID } from 'node:crypto'
import type postgres from 'postgres'
import { t } from '../support/tap.ts'
import { problems } from '../../src/http/problems.ts'
import { aShow, register, startServer } from '../support/helper.ts'
import { type PageBody, walk } from '../support/pages.ts'
import { claimsOf, outcome } from '../support/tokens.ts'

interface Venue extends Record<string, unknown> {
  id: string
}
const aVenue = { name: 'Paradiso', city: 'Amsterdam', country: 'NL', time_zone: 'Europe/Amsterdam' }

t.test('venues', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const token = ana.token
  const create = async (body: object = {}, as = token) => {
    const created = await call<Venue>('POST /api/venues', { token: as, body: { ...aVenue, ...body } })
    if (created.status !== 201) throw new Error(created.text)
    return created
  }

  await t.test('a venue is entered, read, replaced and changed', async t => {
    const created = await create({ capacity: 1500 })
    const { id, created_at } = created.body
    t.equal(created.headers['location'], `/api/venues/${id}`)
    t.equal(created.headers['etag'], '"1"')
    t.match(created.body, { ...aVenue, capacity: 1500 })
    t.equal((await call(`GET /api/venues/${id}`, { token })).text, created.text)

    const other = { name: 'Vera', city: 'Groningen', country: 'NL', time_zone: 'UTC' }
    const put = await call<Venue>(`PUT /api/venues/${id}`, { token, body: other })
    t.equal(put.headers['etag'], '"2"')
    const { updated_at, ...rest } = put.body
    t.strictSame(rest, { ...other, capacity: null, id, created_at }, 'omitted fields become empty')
    t.ok(String(updated_at) > String(created_at))

    const patched = await call(`PATCH /api/venues/${id}`, { token, body: { capacity: 600 } })
    t.match(patched.body, { ...other, capacity: 600 })
    t.equal(patched.headers['etag'], '"3"')
    for (const missing of Object.keys(aVenue)) {
      const body = Object.fromEntries(Object.entries(aVenue).filter(([name]) => name !== missing))
      t.equal(outcome(await call('POST /api/venues', { token, body })), '400 validation', missing)
      t.equal(outcome(await call(`PUT /api/venues/${id}`, { token, body })), '400 validation', missing)
    }
  })

  await t.test('If-Match guards every write', async t => {
    const { id } = (await create()).body
    for (const [method, body] of [['PATCH', { name: 'X' }], ['PUT', aVenue], ['DELETE']] as const) {
      const stale = { token, ...(body && { body }), headers: { 'if-match': '"0"' } }
      t.equal(outcome(await call(`${method} /api/venues/${id}`, stale)), '412 version_mismatch', method)
    }
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        call(`PATCH /api/venues/${id}`, { token, body: { capacity: n + 1 }, headers: { 'if-match': '"1"' } }),
      ),
    )
    t.equal(answers.filter(({ status }) => status === 200).length, 1, 'one of ten changes wins')
    t.equal((await call(`GET /api/venues/${id}`, { token })).headers['etag'], '"2"')
  })

  await t.test('a venue in use cannot be deleted; another is gone until it is restored', async t => {
    const { id, ...before } = (await create()).body
    const show = (
      await call<Venue>('POST /api/shows', { token, body: { ...aShow, venue_id: id, start_time: '20:00' } })
    ).body.id
    t.equal(outcome(await call(`DELETE /api/venues/${id}`, { token })), '409 shows_venue_exists')
    t.equal((await call(`GET /api/venues/${id}`, { token })).headers['etag'], '"1"')
    await call(`DELETE /api/shows/${show}`, { token })
    t.equal((await call(`DELETE /api/venues/${id}`, { token })).status, 204)
    for (const [method, body] of [['GET'], ['DELETE'], ['PUT', aVenue], ['PATCH', { name: 'X' }]] as const) {
      const answer = await call(`${method} /api/venues/${id}`, { token, ...(body && { body }) })
      t.equal(outcome(answer), '404 not_found', method)
    }
    const restored = await call<Venue>(`POST /api/venues/${id}/restore`, { token })
    t.strictSame(restored.body, { id, ...before, updated_at: restored.body['updated_at'] })
    t.equal(outcome(await call(`POST /api/venues/${id}/restore`, { token })), '404 not_found')
    t.equal(
      (await call(`GET /api/shows/${show}`, { token })).status,
      404,
      'its show was deleted separately and stays deleted',
    )
  })

  await t.test('of a new show and the simultaneous deletion of its venue, one loses', async t => {
    for (let round = 0; round < 10; round++) {
      const venue_id = (await create()).body.id
      const [shown, deleted] = await Promise.all([
        call('POST /api/shows', { token, body: { ...aShow, venue_id } }),
        call(`DELETE /api/venues/${venue_id}`, { token }),
      ])
      const outcomes = `${outcome(shown)} and ${outcome(deleted)}`
      t.ok(['201 and 409 shows_venue_exists', '409 shows_venue_exists and 204'].includes(outcomes), outcomes)
    }
  })

  await t.test('a show cannot be restored past the deletion of its venue', async t => {
    const venue_id = (await create()).body.id
    const show = await call<Venue>('POST /api/shows', { token, body: { ...aShow, venue_id } })
    await call(`DELETE /api/shows/${show.body.id}`, { token })
    // A restore pauses before its COMMIT, after all its checks, until the gate opens.
    await db.admin.unsafe(`
      create function app_private.tg_gate() returns trigger language plpgsql security definer as
        $$ begin perform pg_advisory_xact_lock(1); return null; end $$;
      create constraint trigger gate after update on app.shows deferrable initially deferred
        for each row execute function app_private.tg_gate()`)
    const waiting = async (backends: number) => {
      const count = () => db.admin`
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      while ((await count()).length < backends);
    }
    const gate = await db.admin.reserve()
    await gate`select pg_advisory_lock(1)`
    const restored = call(`POST /api/shows/${show.body.id}/restore`, { token })
    await waiting(1)
    const deleted = call(`DELETE /api/venues/${venue_id}`, { token })
    await Promise.race([deleted, waiting(2)])
    await gate`select pg_advisory_unlock(1)`
    gate.release()
    t.strictSame([await restored, await deleted].map(outcome), ['200', '409 shows_venue_exists'])
    await db.admin`drop function app_private.tg_gate cascade`
  })

  const refusals: [problem: string, body: object][] = [
    ['422 venues_name_length', { name: 'next line: \u0085' }],
    ['422 venues_city_length', { city: 'next line: \u0085' }],
    ['422 venues_time_zone_exists', { time_zone: 'Europe/Atlantis' }],
    ['422 venues_time_zone_exists', { time_zone: 'CET-1CEST' }],
    ['422 venues_time_zone_exists', { time_zone: 'Any/Thing+3' }],
    ['422 venues_time_zone_exists', { time_zone: 'Any/Thing3' }],
    ['422 venues_time_zone_exists', { time_zone: 'Etc/GMT+15' }],
    ['422 venues_time_zone_exists', { time_zone: 'posix/Europe/Berlin' }],
    ['422 venues_time_zone_exists', { time_zone: 'EST' }],
    ['422 venues_time_zone_exists', { time_zone: '+01' }],
    ['422 venues_time_zone_exists', { time_zone: '/etc/passwd' }],
    ['400 validation', { time_zone: 'Europe/../UTC' }],
    ['400 validation', { country: 'nl' }],
    ['400 validation', { country: 'NLD' }],
    ['422 venues_country_exists', { country: 'XX' }],
    ['422 venues_country_exists', { country: 'UK' }],
    ['400 validation', { city: '\u200b' }],
    ['400 validation', { capacity: 0 }],
    ['400 validation', { name: '' }],
  ]
  const behind: [constraint: string, body: object][] = [
    ['venues_capacity_positive', { capacity: 0 }],
    ['venues_country_format', { country: 'nl' }],
    ['venues_country_exists', { country: 'XX' }],
    ['venues_name_length', { name: 'x'.repeat(201) }],
    ['venues_name_length', { name: ' ' }],
    ['venues_name_length', { name: '\u200b\u2060' }],
    ['venues_city_length', { city: '\u{e0041}' }],
    ['venues_city_length', { city: '' }],
  ]

  await t.test('each rule refuses a new venue, a replacement and a change', async t => {
    const { id } = (await create()).body
    for (const [expected, body] of refusals) {
      const whole = { ...aVenue, ...body }
      const what = `${expected} ${JSON.stringify(body)}`
      t.equal(outcome(await call('POST /api/venues', { token, body: whole })), expected, what)
      t.equal(outcome(await call(`PUT /api/venues/${id}`, { token, body: whole })), expected, what)
      t.equal(outcome(await call(`PATCH /api/venues/${id}`, { token, body })), expected, what)
    }
    t.equal((await call(`GET /api/venues/${id}`, { token })).headers['etag'], '"1"')
  })

  await t.test('time zones are names of the IANA database', async t => {
    for (const time_zone of [
      'UTC',
      'America/Port-au-Prince',
      'America/Argentina/Buenos_Aires',
      'Etc/GMT-14',
      'Etc/GMT+12',
      'Etc/GMT0',
    ])
      t.match((await create({ time_zone })).body, { time_zone })
    // Any zone that PostgreSQL knows with a place in its name is valid here.
    const missing = await db.admin`
      select name from pg_timezone_names
      where name like '%/%' and name !~ '^(posix|right)/' and not app.is_time_zone(name)`
    t.strictSame([...missing], [])
  })

  await t.test('what the request schema refuses, the table refuses too', async t => {
    const api = db.as('callboard_api')
    for (const [constraint, body] of behind) {
      const insert = api.begin(sql => [
        sql`select app.enter(${String(claimsOf(token)['sid'])}, ${ana.organization})`,
        sql`select app.create_row('venues', ${JSON.stringify({ ...aVenue, ...body })}::text::jsonb)`,
      ])
      const refused = await insert.then(
        () => undefined,
        (error: unknown) => error as postgres.PostgresError,
      )
      t.equal(refused?.constraint_name, constraint)
    }
    const tried = [...refusals.map(([expected]) => expected.slice(4)), ...behind.map(([name]) => name)]
    t.strictSame(
      Object.keys(problems).filter(name => name.startsWith('venues_') && !tried.includes(name)),
      [],
      'and with these every problem named for venues was tried',
    )
  })

  await t.test("another organization's venues do not exist", async t => {
    const ben = await register(server, 'Ben')
    const { id, ...theirs } = (await create({ name: 'Theirs' }, ben.token)).body
    for (const [request, body] of [
      [`GET /api/venues/${id}`],
      [`PUT /api/venues/${id}`, aVenue],
      [`PATCH /api/venues/${id}`, { name: 'Mine now' }],
      [`DELETE /api/venues/${id}`],
      [`POST /api/venues/${id}/restore`],
    ] as const) {
      t.equal(outcome(await call(request, { token, ...(body && { body }) })), '404 not_found', request)
    }
    t.strictSame((await call(`GET /api/venues/${id}`, { token: ben.token })).body, { id, ...theirs })
    const mine = await walk(server, token, '/api/venues?limit=200')
    t.notOk(mine.flat().some(({ name }) => name === 'Theirs'))
  })

  await t.test('the list is filtered by city and country, and paged by each sort', async t => {
    const cara = await register(server, 'Cara')
    const made: { id: string; name: string; created_at: string }[] = []
    for (let n = 0; n < 12; n++) {
      const name = ['aa', 'bb', 'cc'][n % 3] ?? ''
      const created_at = `2026-01-0${((n >> 1) % 3) + 1}T12:00:00Z`
      const place = n % 2 ? { city: 'Den Haag', country: 'NL' } : { city: 'Bonn', country: 'DE' }
      const { id } = (await create({ name, ...place }, cara.token)).body
      await db.admin`update app.venues set created_at = ${created_at}::text::timestamptz where id = ${id}`
      made.push({ id, name, created_at })
    }
    const list = async (query: string) =>
      (await call<PageBody>(`GET /api/venues?limit=200&${query}`, { token: cara.token })).body.items
    t.equal((await list('')).length, 12)
    t.equal((await list('city=Den%20Haag')).length, 6)
    t.equal((await list('country=DE')).length, 6)
    t.equal((await list('country=DE&city=Bonn')).length, 6)
    t.equal((await list('country=NL&city=Bonn')).length, 0)
    t.equal((await list('city=bonn')).length, 0, 'a filter is exact')
    for (const sort of ['name', '-name', 'created_at', '-created_at']) {
      const column = sort.replace('-', '') as 'name' | 'created_at'
      const ascending = [...made]
        .sort((a, b) => (`${a[column]} ${a.id}` < `${b[column]} ${b.id}` ? -1 : 1))
        .map(({ id }) => id)
      const expected = sort.startsWith('-') ? ascending.reverse() : ascending
      for (const by of ['cursor', 'link'] as const) {
        const pages = await walk(server, cara.token, `/api/venues?sort=${sort}&limit=5`, by)
        t.strictSame(
          pages.flat().map(({ id }) => id),
          expected,
          `${sort} by ${by}`,
        )
      }
    }
    for (const query of ['country=nl', 'sort=city', 'city=', `city=${'x'.repeat(201)}`, 'capacity=5'])
      t.equal(outcome(await call(`GET /api/venues?${query}`, { token })), '400 validation', query)
  })

  await t.test('a deleted venue is not listed', async t => {
    const { id } = (await create()).body
    await call(`DELETE /api/venues/${id}`, { token })
    const listed = await walk(server, token, '/api/venues?limit=200')
    t.notOk(listed.flat().some(venue => venue.id === id))
    t.equal(outcome(await call(`GET /api/venues/${randomUUID()}`, { token })), '404 not_found')
  })
})
