import { createHash } from 'node:crypto'
import { t } from '../support/tap.ts'
import {
  type Answer,
  aShow,
  join,
  type Person,
  register,
  startServer,
  type TestServer,
} from '../support/helper.ts'
import {
  aDay,
  anItem,
  anItinerary,
  aSegment,
  dayOne,
  dayThree,
  dayTwo,
  makeTour,
} from '../support/itineraries.ts'
import { openLogin, secretOf } from '../isolation/world.ts'
import { walk } from '../support/pages.ts'
import { outcome } from '../support/tokens.ts'

interface Row extends Record<string, unknown> {
  id: string
}
interface Entry extends Row {
  title: string
}
interface Plan {
  itinerary: Row
  days: Row[]
  items: Entry[]
  segments: Row[]
  lodgings: Row[]
  number: number
}
interface List<T = Row> {
  items: T[]
}
const titles = (entries: Entry[]) => entries.map(({ title }) => title)

t.test('itineraries', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const make = async (path: string, body: object) => {
    const answer = await call<Row>(`POST /api/${path}`, { token, body })
    if (answer.status !== 201) throw new Error(answer.text)
    return answer.body
  }
  const refusedItem = async (day_id: string, body: object) =>
    outcome(await call('POST /api/schedule-items', { token, body: { ...anItem, day_id, ...body } }))

  await t.test('an item has its times, even after midnight', async t => {
    const tour = await makeTour(server, ana)
    const day_id = tour['itinerary-days']
    const late = await make('schedule-items', {
      day_id,
      title: 'Load-out',
      start_time: '01:00',
      starts_next_day: true,
      end_time: '03:30',
      ends_next_day: true,
    })
    t.match(late, {
      day_on: dayOne,
      start_time: '01:00',
      starts_at: `${dayTwo}T01:00:00+00:00`,
      ends_at: `${dayTwo}T03:30:00+00:00`,
    })
    const over = await make('schedule-items', {
      day_id,
      title: 'Show',
      start_time: '22:30',
      end_time: '00:45',
      ends_next_day: true,
    })
    t.match(over, { starts_at: `${dayOne}T22:30:00+00:00`, ends_at: `${dayTwo}T00:45:00+00:00` })
    const list = await call<List<Entry>>(`GET /api/schedule-items?day_id=${day_id}`, { token })
    t.strictSame(titles(list.body.items), ['Soundcheck', 'Show', 'Load-out'], 'in the order of the night')

    for (const [body, expected] of [
      [{ start_time: '01:00', end_time: '00:30' }, '422 schedule_items_start_before_end'],
      [
        { start_time: '01:00', starts_next_day: true, end_time: '02:00' },
        '422 schedule_items_start_before_end',
      ],
      [{ start_time: null, end_time: null }, '422 schedule_items_time_as_certain'],
      [{ start_time: null }, '422 schedule_items_start_before_end'],
      [{ certainty: 'to_be_determined' }, '422 schedule_items_time_as_certain'],
      [
        { certainty: 'to_be_determined', start_time: null, end_time: null, starts_next_day: true },
        '422 schedule_items_next_day_with_time',
      ],
      [{ certainty: 'to_be_determined', start_time: null }, '422 schedule_items_start_before_end'],
      [{ end_time: null, ends_next_day: true }, '422 schedule_items_next_day_with_time'],
      [{ start_time: '01:00', end_time: '01:00' }, '201'],
      [{ certainty: 'to_be_determined', start_time: null, end_time: null }, '201'],
    ] as const)
      t.equal(await refusedItem(day_id, body), expected, JSON.stringify(body))
  })

  await t.test('a date has only one day, until that is deleted', async t => {
    const tour = await makeTour(server, ana)
    const day = { ...aDay, itinerary_id: tour.itineraries }
    const again = () => call<Row>('POST /api/itinerary-days', { token, body: day })
    t.equal(outcome(await again()), '409 itinerary_days_date_taken')
    await call(`DELETE /api/itinerary-days/${tour['itinerary-days']}`, { token })
    const other = await again()
    t.equal(other.status, 201)
    const restore = `POST /api/itinerary-days/${tour['itinerary-days']}/restore` as const
    t.equal(outcome(await call(restore, { token })), '409 itinerary_days_date_taken')
    await call(`DELETE /api/itinerary-days/${other.body.id}`, { token })
    t.equal(outcome(await call(restore, { token })), '200')
    t.equal(
      outcome(await call('POST /api/itinerary-days', { token, body: { ...day, time_zone: 'Mars/Base' } })),
      '422 itinerary_days_time_zone_exists',
    )
  })

  await t.test('a segment has an instant at each end, across time zones and the date line', async t => {
    const tour = await makeTour(server, ana)
    const of = { ...aSegment, itinerary_id: tour.itineraries }
    t.match(await make('travel-segments', of), {
      departs_at: `${dayOne}T08:15:00+00:00`,
      arrives_at: `${dayOne}T12:05:00+00:00`,
      duration_minutes: 230,
    })
    const pacific = {
      ...of,
      from_place: 'Tokyo',
      departs_on: dayOne,
      departs_time: '17:00',
      from_time_zone: 'Asia/Tokyo',
      to_place: 'Honolulu',
      arrives_on: dayOne,
      arrives_time: '05:30',
      to_time_zone: 'Pacific/Honolulu',
    }
    t.match(await make('travel-segments', pacific), { duration_minutes: 450 }, 'it lands before it left')
    const backwards = { ...of, arrives_time: '07:00' }
    t.equal(
      outcome(await call('POST /api/travel-segments', { token, body: backwards })),
      '422 travel_segments_departure_before_arrival',
    )
    t.equal(
      outcome(await call('POST /api/travel-segments', { token, body: { ...of, to_time_zone: 'Mars/Base' } })),
      '422 travel_segments_to_time_zone_exists',
    )
  })

  await t.test('people and groups are those of the same party', async t => {
    const [tour, other] = [await makeTour(server, ana), await makeTour(server, ana)]
    const ben = await register(server, 'Ben')
    const theirs = await makeTour(server, ben)
    for (const [path, body] of [
      ['schedule-items', { ...anItem, day_id: tour['itinerary-days'], group_ids: ['party-groups'] }],
      ['travel-segments', { ...aSegment, itinerary_id: tour.itineraries, passenger_ids: ['party-members'] }],
      ['lodging-rooms', { lodging_id: tour.lodgings, name: 'Twin', occupant_ids: ['party-members'] }],
      ['party-members', { itinerary_id: tour.itineraries, name: 'Ola', group_ids: ['party-groups'] }],
    ] as const) {
      const from = (some: Record<string, string>) =>
        JSON.parse(
          JSON.stringify(body).replace(/\["([\w-]+)"\]/, (_, kind: string) => `["${some[kind] ?? ''}"]`),
        ) as object
      for (const foreign of [other, theirs])
        t.equal(
          outcome(await call(`POST /api/${path}`, { token, body: from(foreign) })),
          '409 party_unknown',
          path,
        )
      t.equal(outcome(await call(`POST /api/${path}`, { token, body: from(tour) })), '201', path)
    }
    const colleague = await join(server, ana, 'viewer')
    const member = (user_id: string) => ({ itinerary_id: tour.itineraries, name: 'Ola', user_id })
    const add = async (id: string) =>
      outcome(await call('POST /api/party-members', { token, body: member(id) }))
    t.equal(await add(ben.id), '409 party_members_user_exists', 'not somebody from another organization')
    t.equal(await add(colleague.id), '201')
    t.equal(await add(colleague.id), '409 party_members_user_taken', 'once')
    const leaver = await join(server, ana, 'viewer')
    await call(`DELETE /api/users/${leaver.id}`, { token })
    t.equal(await add(leaver.id), '409 party_members_user_exists', 'nor somebody who has left')
    t.equal(
      outcome(await call(`DELETE /api/users/${colleague.id}`, { token })),
      '204',
      'somebody who travels can be removed',
    )
  })

  await t.test('a part needs an existing parent, and cannot be moved to another tour', async t => {
    const [tour, other] = [await makeTour(server, ana), await makeTour(server, ana)]
    const item = `/api/schedule-items/${tour['schedule-items']}`
    const moved = (day_id: string) => call(`PATCH ${item}`, { token, body: { day_id } }).then(outcome)
    t.equal(await moved(other['itinerary-days']), '409 schedule_items_day_exists')
    const next = await make('itinerary-days', {
      ...aDay,
      itinerary_id: tour.itineraries,
      day_on: dayTwo,
    })
    t.equal(await moved(next.id), '200')
    t.match((await call(`GET ${item}`, { token })).body, { starts_at: `${dayTwo}T16:30:00+00:00` })
    await call(`DELETE /api/itinerary-days/${next.id}`, { token })
    t.equal(await refusedItem(next.id, {}), '409 schedule_items_day_exists', 'of a deleted day')
    t.equal(outcome(await call(`POST ${item}/restore`, { token })), '409 parent_deleted')
    await call(`DELETE /api/itineraries/${tour.itineraries}`, { token })
    for (const [path, body, problem] of [
      ['itinerary-days', { ...aDay, day_on: dayTwo }, 'itinerary_days_itinerary_exists'],
      ['party-groups', { name: 'New' }, 'party_groups_itinerary_exists'],
      ['travel-segments', aSegment, 'travel_segments_itinerary_exists'],
    ] as const)
      t.equal(
        outcome(
          await call(`POST /api/${path}`, { token, body: { ...body, itinerary_id: tour.itineraries } }),
        ),
        `409 ${problem}`,
      )
  })

  await t.test('lists come in pages and in order', async t => {
    const tour = await makeTour(server, ana)
    const day_id = tour['itinerary-days']
    for (const start_time of ['12:00', '09:00', '23:00', '12:00', '10:00'])
      await make('schedule-items', { day_id, title: start_time, start_time })
    await make('schedule-items', { day_id, title: 'TBD', certainty: 'to_be_determined' })
    for (const [sort, expected] of [
      ['sort_at', ['TBD', '09:00', '10:00', '12:00', '12:00', 'Soundcheck', '23:00']],
      ['-sort_at', ['23:00', 'Soundcheck', '12:00', '12:00', '10:00', '09:00', 'TBD']],
    ] as const) {
      const pages = await walk(
        server,
        token,
        `/api/schedule-items?day_id=${day_id}&sort=${sort}&limit=2`,
        'cursor',
      )
      t.strictSame(titles(pages.flat() as unknown as Entry[]), expected)
      t.equal(pages.length, 4)
    }
  })

  await t.test('a day stays when its show is deleted, and shows it again afterwards', async t => {
    const show = await make('shows', { ...aShow, doors_time: '19:00', start_time: '20:30' })
    const tour = await makeTour(server, ana, { 'itinerary-days': { show_id: show.id } })
    const sheet = async () =>
      (await call<{ day: Row }>(`GET /api/itineraries/${tour.itineraries}/days/${dayOne}/sheet`, { token }))
        .body.day
    t.match((await sheet())['show'], { id: show.id, title: aShow.title })
    const page = await call(`GET /api/itineraries/${tour.itineraries}/days/${dayOne}/sheet`, {
      token,
      headers: { accept: 'text/html' },
    })
    t.match(page.text, `<strong>${aShow.title}</strong>`)
    t.match(page.text, /doors 19:00.*start 20:30/s)
    t.equal(outcome(await call(`DELETE /api/shows/${show.id}`, { token })), '204')
    t.equal((await sheet())['show'], null)
    const day = { ...aDay, itinerary_id: tour.itineraries, day_on: dayTwo, show_id: show.id }
    t.equal(
      outcome(await call('POST /api/itinerary-days', { token, body: day })),
      '409 itinerary_days_show_exists',
      'a new day cannot have a deleted show',
    )
    await call(`POST /api/shows/${show.id}/restore`, { token })
    t.match((await sheet())['show'], { id: show.id })
  })

  await t.test('a change applies to the version that was read', async t => {
    const tour = await makeTour(server, ana)
    const path = `/api/schedule-items/${tour['schedule-items']}`
    const change = (version: string, title: string) =>
      call(`PATCH ${path}`, { token, body: { title }, headers: { 'if-match': version } })
    const first = await change('"1"', 'Line check')
    t.equal(first.headers['etag'], '"2"')
    t.equal(outcome(await change('"1"', 'Late')), '412 version_mismatch')
    const gone = (version: string) =>
      call(`DELETE ${path}`, { token, headers: { 'if-match': version } }).then(outcome)
    t.equal(await gone('"1"'), '412 version_mismatch')
    t.equal(await gone('"2"'), '204')
    const publish = (version: string) =>
      call(`POST /api/itineraries/${tour.itineraries}/publish`, {
        token,
        body: { note: null },
        headers: { 'if-match': version },
      }).then(outcome)
    t.equal(await publish('"9"'), '412 version_mismatch')
    t.equal(await publish('"1"'), '201')
  })
})

/** A tour with an item for everybody, one for the crew, one for the band, and their members. */
async function scene(server: TestServer) {
  const { call } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const [crew, band, nobody] = [
    await join(server, ana, 'viewer'),
    await join(server, ana, 'viewer'),
    await join(server, ana, 'viewer'),
  ] as [Person, Person, Person]
  const tour = await makeTour(server, ana, {
    'party-members': { user_id: crew.id },
    'schedule-items': { title: 'For all' },
  })
  const of = { itinerary_id: tour.itineraries }
  const make = async (path: string, body: object) =>
    (await call<Row>(`POST /api/${path}`, { token, body })).body.id
  const group = await make('party-groups', { ...of, name: 'Band' })
  await make('party-members', { ...of, name: 'Lee', user_id: band.id, group_ids: [group] })
  const day_id = tour['itinerary-days']
  const forCrew = { group_ids: [tour['party-groups']] }
  await make('schedule-items', { ...anItem, ...forCrew, day_id, title: 'For crew', start_time: '10:00' })
  await make('schedule-items', {
    ...anItem,
    day_id,
    title: 'For band',
    start_time: '11:00',
    group_ids: [group],
  })
  await make('schedule-items', {
    ...anItem,
    day_id,
    title: 'Hidden',
    certainty: 'hidden',
    start_time: '12:34',
  })
  await make('travel-segments', { ...of, ...aSegment, ...forCrew, number: 'CREW 1' })
  await make('lodgings', {
    ...of,
    ...forCrew,
    name: 'Crew inn',
    check_in_on: dayOne,
    check_out_on: dayTwo,
  })
  return { ana, token, crew, band, nobody, tour, group }
}

t.test('what is published', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const { ana, token, crew, band, nobody, tour, group } = await scene(server)
  const path = `/api/itineraries/${tour.itineraries}`
  const publish = (note?: string) =>
    call<Plan>(`POST ${path}/publish`, { token, body: { note: note ?? null } })
  const latest = (person: Person) => call<Plan>(`GET ${path}/versions/latest`, { token: person.token })

  await t.test('is nothing at first, and only planners see anything', async t => {
    for (const person of [crew, nobody]) {
      t.equal(outcome(await call(`GET ${path}`, { token: person.token })), '404 not_found')
      t.equal(outcome(await latest(person)), '404 not_found')
      t.equal(
        outcome(await call(`GET ${path}/days/${dayOne}/sheet`, { token: person.token })),
        '404 not_found',
      )
      const list = await call<List>('GET /api/itineraries', { token: person.token })
      t.strictSame(list.body.items, [])
      t.equal(
        outcome(await call('GET /api/schedule-items', { token: person.token })),
        '403 permission_denied',
      )
    }
    t.equal(outcome(await call(`GET ${path}/days/${dayOne}/sheet`, { token })), '200')
    t.match((await call(`GET ${path}`, { token })).body, { published_number: null, published_at: null })
  })

  await t.test('has a number, and never changes, whatever becomes of the draft', async t => {
    const first = await publish('First')
    t.equal(first.headers['location'], `${path}/versions/1`)
    t.match(first.body, {
      number: 1,
      note: 'First',
      published_by: ana.id,
      itinerary: { name: anItinerary.name },
    })
    t.equal(first.body.items.length, 4)
    await call(`PATCH ${path}`, { token, body: { name: 'Renamed' } })
    await call(`DELETE /api/schedule-items/${tour['schedule-items']}`, { token })
    t.strictSame((await call(`GET ${path}/versions/1`, { token })).body, first.body)
    t.match((await call(`GET ${path}`, { token: nobody.token })).body, {
      name: anItinerary.name,
      published_number: 1,
    })
    await call(`POST /api/schedule-items/${tour['schedule-items']}/restore`, { token })
    t.equal((await publish()).body.number, 2)
    t.match((await call(`GET ${path}`, { token: nobody.token })).body, {
      name: 'Renamed',
      published_number: 2,
    })
    const versions = await call<List<{ number: number }>>(`GET ${path}/versions`, { token: nobody.token })
    t.strictSame(
      versions.body.items.map(({ number }) => number),
      [2, 1],
    )
    t.equal(outcome(await call(`GET ${path}/versions/3`, { token })), '404 not_found')
  })

  const seen: [who: string, person: Person, items: string[], segments: number, lodgings: number][] = [
    ['planners', ana, ['For all', 'For band', 'For crew', 'Hidden'], 2, 2],
    ['the crew', crew, ['For all', 'For crew', 'Hidden'], 2, 2],
    ['the band', band, ['For all', 'For band', 'Hidden'], 1, 1],
    ['those in no group', nobody, ['For all', 'Hidden'], 1, 1],
  ]
  for (const [who, person, items, segments, lodgings] of seen) {
    await t.test(`is for ${who} what concerns them: version, sheet, page, calendar, feed, SQL`, async t => {
      const others = seen[0]?.[2].filter(title => !items.includes(title)) ?? []
      const sheet = await call<Plan>(`GET ${path}/days/${dayOne}/sheet`, { token: person.token })
      for (const { body } of [
        await latest(person),
        await call<Plan>(`GET ${path}/versions/1`, { token: person.token }),
        sheet,
      ]) {
        t.strictSame(titles(body.items).sort(), items)
        t.equal(body.segments.length, segments)
        t.equal(body.lodgings.length, lodgings)
      }
      const page = await call(`GET ${path}/days/${dayOne}/sheet`, {
        token: person.token,
        headers: { accept: 'text/html' },
      })
      const calendar = await call<List<Entry & { kind: string }>>(
        `GET /api/calendar?from=${dayOne}&to=${dayOne}`,
        {
          token: person.token,
        },
      )
      t.strictSame(titles(calendar.body.items.filter(({ kind }) => kind === 'item')).sort(), items)
      t.equal(calendar.body.items.length, items.length + segments + lodgings)
      const feed = await call<{ path: string }>('POST /api/calendar-feeds', {
        token: person.token,
        body: { name: 'Phone' },
      })
      const subscription = await call(`GET ${feed.body.path}`)
      for (const title of items) {
        t.match(page.text, title)
        t.match(subscription.text, `SUMMARY:${title}`)
      }
      for (const title of [...others, ...(segments === 1 ? ['CREW 1', 'Crew inn'] : [])]) {
        t.notMatch(page.text, title)
        t.notMatch(subscription.text, title)
      }
      const sql = openLogin(t, db.url('callboard_api'))
      const rows = await sql.begin(async tx => {
        await tx`select app.enter(${secretOf(person)}, ${ana.organization})`
        return tx<
          { title: string }[]
        >`select distinct title from app.itinerary_entries where kind = 'item' order by 1`
      })
      t.strictSame(
        rows.map(({ title }) => title),
        items,
        'however it is requested',
      )
    })
  }

  await t.test('follows the current members of a group', async t => {
    const members = await call<List<Row & { user_id: string }>>('GET /api/party-members', { token })
    const lee = members.body.items.find(({ user_id }) => user_id === band.id)?.id ?? ''
    await call(`PATCH /api/party-members/${lee}`, { token, body: { group_ids: [tour['party-groups']] } })
    t.strictSame(titles((await latest(band)).body.items).sort(), ['For all', 'For crew', 'Hidden'])
    await call(`PATCH /api/party-members/${lee}`, { token, body: { group_ids: [group] } })
    await call(`DELETE /api/party-groups/${group}`, { token })
    t.strictSame(
      titles((await latest(band)).body.items).sort(),
      ['For all', 'Hidden'],
      'a deleted group has no members',
    )
    await call(`POST /api/party-groups/${group}/restore`, { token })
    await call(`DELETE /api/party-members/${lee}`, { token })
    t.strictSame(titles((await latest(band)).body.items).sort(), ['For all', 'Hidden'])
    await call(`POST /api/party-members/${lee}/restore`, { token })
    t.strictSame(titles((await latest(band)).body.items).sort(), ['For all', 'For band', 'Hidden'])
  })

  await t.test('never has a hidden time, which planners see on the item', async t => {
    for (const answer of [
      await latest(ana),
      await call(`GET ${path}/days/${dayOne}/sheet`, { token }),
      await call(`GET /api/calendar?from=${dayOne}&to=${dayOne}`, { token }),
    ] as Answer[])
      t.notMatch(answer.text, '12:34')
    const list = await call('GET /api/schedule-items', { token })
    t.match(list.text, '12:34')
    const rows = await db.admin`select from app.itinerary_entries e where e::text like '%12:34%'`
    t.equal(rows.length, 0, 'it is not even stored')
  })

  await t.test('is deleted with the itinerary, and restored with it', async t => {
    await call(`DELETE ${path}`, { token })
    for (const person of [ana, crew]) {
      t.equal(outcome(await latest(person)), '404 not_found')
      t.equal(outcome(await call(`GET ${path}/versions`, { token: person.token })), '404 not_found')
      const calendar = await call<List>(`GET /api/calendar?from=${dayOne}&to=${dayOne}`, {
        token: person.token,
      })
      t.strictSame(calendar.body.items, [])
    }
    await db.admin
      .begin(async tx => {
        const gone = await tx`delete from app.itinerary_versions where itinerary_id = ${tour.itineraries}`
        t.equal(gone.count, 2, 'from the bin it can be purged')
        t.equal((await tx`select from app.itinerary_entries`).length, 0)
        throw new Error('undo')
      })
      .catch(() => {})
    await call(`POST ${path}/restore`, { token })
    t.equal((await latest(crew)).body.number, 2)
  })

  await t.test('cannot be changed, not even by the tables’ owner', async t => {
    const sql = openLogin(t, db.url('callboard_migrator'))
    for (const statement of [
      `update app.itinerary_versions set name = 'Forged'`,
      `update app.itinerary_entries set title = 'Forged'`,
      `delete from app.itinerary_entries`,
      `delete from app.itinerary_versions`,
    ])
      await t.rejects(
        sql.begin(async tx => {
          for (const table of ['itinerary_versions', 'itinerary_entries'])
            await tx.unsafe(`alter table app.${table} no force row level security`)
          await tx.unsafe(statement)
        }),
        { message: /cannot be changed/ },
        statement,
      )
    await db.admin
      .begin(async tx => {
        await tx`delete from app.itineraries where id = ${tour.itineraries}`
        t.equal(
          (await tx`select from app.itinerary_entries`).length,
          0,
          'but it is deleted with its itinerary',
        )
        throw new Error('undo')
      })
      .catch(() => {})
  })

  await t.test('by two at once gets two numbers', async t => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => publish()))
    t.strictSame(answers.map(({ body }) => body.number).sort(), [3, 4, 5, 6, 7, 8])
  })
})

t.test('the sheet of a day as a page', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  const evil = `<script>alert("1")</script>&'`
  const tour = await makeTour(server, ana, {
    itineraries: { name: evil, artist: evil },
    'itinerary-days': { city: evil, notes: evil },
    'party-members': { name: evil },
    'schedule-items': { title: evil, location: evil, notes: evil, certainty: 'approximate' },
    'travel-segments': {
      carrier: evil,
      number: evil,
      from_place: evil,
      to_place: evil,
      notes: evil,
      confirmation_number: evil,
    },
    lodgings: { name: evil, address: evil, notes: evil, confirmation_number: evil },
    'lodging-rooms': { name: evil },
  })
  const path = `/api/itineraries/${tour.itineraries}/days/${dayOne}/sheet` as const
  const get = (accept?: string) =>
    call(`GET ${path}`, { token: ana.token, headers: accept === undefined ? {} : { accept } })

  await t.test('is served to those who ask for HTML, and JSON to everybody else', async t => {
    for (const accept of ['text/html', 'text/html,application/xhtml+xml,*/*;q=0.8'])
      t.match((await get(accept)).headers, { 'content-type': 'text/html; charset=utf-8', vary: /Accept/ })
    for (const accept of ['text/*', 'TEXT/HTML', 'application/json;q=0.5, text/html'])
      t.match((await get(accept)).headers, { 'content-type': /^text\/html/ }, accept)
    for (const accept of [
      undefined,
      '*/*',
      'application/json',
      'text/html;q=0',
      '*/*, text/html;q=0',
      'application/json, text/html;q=0.5',
      // Neither of the two: a program gets what it can read.
      'text/csv',
    ])
      t.match((await get(accept)).headers, { 'content-type': /^application\/json/, vary: /Accept/ })
    t.equal(outcome(await call(`GET ${path.replace('14/', '13/')}`, { token: ana.token })), '404 not_found')
  })

  await t.test('escapes everything that people have entered', async t => {
    const { text } = await get('text/html')
    t.notMatch(text, /<script/)
    t.notMatch(text, /alert\("1"\)/)
    const escaped = '&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;'
    t.ok(text.split(escaped).length > 15, 'and still shows it')
    t.match(text, 'about 16:30–17:30')
  })

  await t.test('says which times are open, and what ends or arrives the next day', async t => {
    const add = async (kind: string, body: object) =>
      t.equal(outcome(await call(`POST /api/${kind}`, { token: ana.token, body })), '201')
    const item = { kind: 'other', day_id: tour['itinerary-days'] }
    await add('schedule-items', { ...item, title: 'Press', certainty: 'to_be_determined' })
    await add('schedule-items', {
      ...item,
      title: 'Party',
      start_time: '23:00',
      end_time: '02:00',
      ends_next_day: true,
    })
    await add('schedule-items', { ...item, title: 'Bus call', start_time: '03:00', starts_next_day: true })
    await add('travel-segments', {
      ...aSegment,
      itinerary_id: tour.itineraries,
      departs_time: '23:30',
      arrives_on: dayTwo,
      arrives_time: '02:20',
    })
    const { text } = await get('text/html')
    t.match(text, /TBD[\s\S]*Press/)
    t.match(text, '23:00–02:00 +1')
    t.match(text, /03:00 \+1[\s\S]*Bus call/)
    t.match(text, '23:30–02:20 +1')
    const la = { ...aSegment, itinerary_id: tour.itineraries, departs_time: '22:30' }
    await add('travel-segments', {
      ...la,
      ...{ from_place: 'LAX', from_time_zone: 'America/Los_Angeles', to_place: 'SYD' },
      ...{ to_time_zone: 'Australia/Sydney', arrives_on: dayThree, arrives_time: '08:30' },
    })
    await add('travel-segments', {
      ...la,
      ...{ from_place: 'SYD', from_time_zone: 'Australia/Sydney', departs_on: dayOne, departs_time: '00:10' },
      ...{
        to_place: 'HNL',
        to_time_zone: 'Pacific/Honolulu',
        arrives_on: dayOne.replace('14', '13'),
        arrives_time: '13:05',
      },
    })
    const flights = (await get('text/html')).text
    t.match(flights, '22:30–08:30 +2')
    t.match(flights, '00:10–13:05 −1')
  })

  await t.test('says that its show is off, or on another day', async t => {
    const { body } = await call<{ id: string }>('POST /api/shows', {
      token: ana.token,
      body: { title: 'Big Night', artist: 'A', show_on: dayOne, status: 'confirmed' },
    })
    const of = `/api/itinerary-days/${tour['itinerary-days']}`
    t.equal((await call(`PATCH ${of}`, { token: ana.token, body: { show_id: body.id } })).status, 200)
    const change = async (change: object) => {
      const url = `PATCH /api/shows/${body.id}` as const
      t.equal((await call(url, { token: ana.token, body: change })).status, 200)
      return (await get('text/html')).text
    }
    t.match(await change({ notes: null }), /<strong>Big Night<\/strong>\s+confirmed/)
    t.match(await change({ show_on: dayTwo }), `moved to ${dayTwo}`)
    t.match(await change({ show_on: dayOne, status: 'postponed' }), '<strong class="off">postponed</strong>')
    t.notMatch(await change({ status: 'cancelled' }), /moved to/)
    t.match((await get('text/html')).text, '<strong class="off">cancelled</strong>')
    t.match((await get()).body, { day: { show: { status: 'cancelled', show_on: dayOne } } })
  })

  await t.test('has no scripts, loads nothing, and a browser would show its style', async t => {
    const { text, headers } = await get('text/html')
    t.notMatch(text, /\s(src|href|style|on\w+)=/)
    const [, style = ''] = /<style>(.*?)<\/style>/s.exec(text) ?? []
    const hash = createHash('sha256').update(style).digest('base64')
    t.ok(style.includes('@media print'))
    const policy = String(headers['content-security-policy'])
    t.ok(policy.includes(`style-src 'sha256-${hash}'`), policy)
    t.match(policy, /^default-src 'none'/)
    t.notMatch(policy, /unsafe|script-src/)
  })
})
