import ICAL from 'ical.js'
import ical from 'node-ical'
import { t } from '../support/tap.ts'
import {
  type Answer,
  aShow,
  join,
  joinAs,
  type Person,
  register,
  startServer,
  type TestServer,
} from '../support/helper.ts'
import { anItem, dayOne, dayThree, dayTwo, makeTour } from '../support/itineraries.ts'
import { openLogin } from '../isolation/world.ts'
import { outcome } from '../support/tokens.ts'

interface Entry {
  kind: string
  id: string
  title: string
  is_all_day: boolean
  starts_on: string
  start_time: string | null
  starts_at: string | null
  ends_on: string
  ends_at: string | null
  time_zone: string | null
  status: string
}
interface Event {
  uid: string
  summary: string
  description?: string
  location?: string
  status: string
  sequence: string
  start: Date & { tz?: string }
  end: Date
  datetype: string
  dtstamp: Date
}
interface Feed {
  id: string
  path: string | null
}

const calendarOf = async ({ call }: TestServer, { token }: Person, from: string, to: string) =>
  (await call<{ items: Entry[] }>(`GET /api/calendar?from=${from}&to=${to}`, { token })).body.items
const feedOf = async ({ call }: TestServer, { token }: Person) =>
  (await call<Feed>('POST /api/calendar-feeds', { token, body: { name: 'Phone' } })).body
const subscribe = ({ call }: TestServer, { path }: Feed, headers = {}) =>
  call(`GET ${path ?? ''}`, { headers })
/** The events of a calendar, as read by a third-party parser. */
const eventsIn = ({ text }: Answer) =>
  Object.values(ical.sync.parseICS(text)).filter(part => part?.type === 'VEVENT') as unknown as Event[]
const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)

t.test('the calendar', async t => {
  const server = await startServer(t)
  const { call } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const make = async (path: string, body: object) => {
    const answer = await call<{ id: string }>(`POST /api/${path}`, { token, body })
    if (answer.status !== 201) throw new Error(answer.text)
    return answer.body.id
  }
  const venue = await make('venues', {
    name: 'Kanalhalle',
    city: 'Berlin',
    country: 'DE',
    time_zone: 'Europe/Berlin',
  })

  await t.test('has shows and itinerary entries, by time', async t => {
    await make('shows', {
      ...aShow,
      title: 'Early',
      show_on: dayOne,
      start_time: '15:00',
      venue_id: venue,
    })
    await make('shows', {
      ...aShow,
      title: 'Late',
      show_on: dayOne,
      start_time: '23:00',
      curfew_time: '01:30',
      venue_id: venue,
      status: 'cancelled',
    })
    await make('shows', { ...aShow, title: 'Some time', show_on: dayOne })
    await make('shows', { ...aShow, title: 'Nowhere', show_on: dayOne, start_time: '20:00' })
    await makeTour(server, ana)
    const entries = await calendarOf(server, ana, dayOne, dayOne)
    t.strictSame(
      entries.map(({ title, starts_at }) => [title, starts_at?.slice(11, 16) ?? 'all day']),
      [
        ['Hotel Miramar', 'all day'],
        ['Some time', 'all day'],
        ['Berlin BER → Lisbon LIS', '08:15'],
        ['Early', '14:00'],
        ['Soundcheck', '16:30'],
        ['Nowhere', '20:00'],
        ['Late', '22:00'],
      ],
    )
    t.match(entries.at(-1), {
      kind: 'show',
      status: 'cancelled',
      time_zone: 'Europe/Berlin',
      start_time: '23:00',
      ends_on: dayTwo,
      ends_at: `${dayTwo}T00:30:00+00:00`,
      is_all_day: false,
    })
    t.match(entries[0], { kind: 'lodging', starts_on: dayOne, ends_on: dayTwo, is_all_day: true })
    t.strictSame(
      (await calendarOf(server, ana, dayTwo, dayTwo)).map(({ title }) => title),
      ['Hotel Miramar'],
      'what is still going on',
    )
    t.strictSame(await calendarOf(server, ana, dayThree, dayThree), [])
  })

  await t.test('shows each part only to those who may see it', async t => {
    const kinds = async (person: Person) => [
      ...new Set((await calendarOf(server, person, dayOne, dayOne)).map(({ kind }) => kind)),
    ]
    t.strictSame(await kinds(await joinAs(server, ana, ['shows.read'])), ['show'])
    t.strictSame((await kinds(await joinAs(server, ana, ['itineraries.read', 'itineraries.write']))).sort(), [
      'item',
      'lodging',
      'segment',
    ])
    const neither = await joinAs(server, ana, ['members.read'])
    const asks: `${string} ${string}`[] = ['GET /api/calendar', 'POST /api/calendar-feeds']
    for (const request of asks)
      t.equal(
        outcome(
          await call(request, {
            token: neither.token,
            ...(request.startsWith('POST') && { body: { name: 'Phone' } }),
          }),
        ),
        '403 permission_denied',
      )
  })

  await t.test('is bounded', async t => {
    for (const [query, expected] of [
      ['', '200'],
      ['?from=2027-01-01', '200'],
      ['?to=2027-01-01', '200'],
      ['?from=2027-01-01&to=2028-01-02', '200'],
      ['?from=2027-01-01&to=2028-01-03', '422 calendar_range'],
      ['?from=2027-01-02&to=2027-01-01', '422 calendar_range'],
      ['?from=2027-02-30', '400 validation'],
    ] as const)
      t.equal(outcome(await call(`GET /api/calendar${query}`, { token })), expected, query)
  })
})

t.test('a calendar feed', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const feed = await feedOf(server, ana)
  const make = async (path: string, body: object) => {
    const answer = await call<{ id: string }>(`POST /api/${path}`, { token, body })
    if (answer.status !== 201) throw new Error(answer.text)
    return answer.body.id
  }
  const day = (itinerary_id: string, days: number, time_zone: string) =>
    make('itinerary-days', { itinerary_id, day_on: inDays(days), time_zone })
  const item = (day_id: string, body: object) => make('schedule-items', { ...anItem, day_id, ...body })

  await t.test('has the right instants all year round, in two time zones', async t => {
    for (const zone of ['Europe/Berlin', 'America/New_York']) {
      const tour = await make('itineraries', {
        name: zone,
        artist: 'A',
        starts_on: inDays(0),
        ends_on: inDays(390),
      })
      for (let days = 10; days <= 390; days += 20)
        await item(await day(tour, days, zone), {
          title: `${zone} ${inDays(days)}`,
          start_time: '03:30',
          end_time: '04:15',
        })
    }
    const expected = new Map<string, Entry>()
    for (const [from, to] of [
      [0, 200],
      [201, 400],
    ] as const)
      for (const entry of await calendarOf(server, ana, inDays(from), inDays(to)))
        expected.set(entry.title, entry)
    const answer = await subscribe(server, feed)
    t.match(answer.headers['content-type'], /^text\/calendar/)
    const events = eventsIn(answer)
    t.equal(events.length, 40)
    const offsets = new Set<string>()
    for (const { summary, start, end } of events) {
      const is = expected.get(summary)
      t.equal(start.getTime(), new Date(is?.starts_at ?? '').getTime(), summary)
      t.equal(end.getTime(), new Date(is?.ends_at ?? '').getTime(), summary)
      offsets.add(`${summary.split(' ')[0] ?? ''} ${start.getUTCHours()}`)
    }
    t.strictSame([...offsets].sort(), [
      'America/New_York 7',
      'America/New_York 8',
      'Europe/Berlin 1',
      'Europe/Berlin 2',
    ])

    // The included definitions say the same to a program that knows no time zones.
    const calendar = new ICAL.Component(ICAL.parse(answer.text) as never)
    t.equal(calendar.getAllSubcomponents('vtimezone').length, 2)
    for (const component of calendar.getAllSubcomponents('vevent')) {
      const property = component.getFirstProperty('dtstart')
      const tzid = String(property?.getParameter('tzid'))
      const zone = calendar
        .getAllSubcomponents('vtimezone')
        .find(one => one.getFirstPropertyValue('tzid') === tzid)
      const time = property?.getFirstValue() as ICAL.Time
      time.zone = new ICAL.Timezone({ component: zone as ICAL.Component, tzid })
      const title = String(component.getFirstPropertyValue('summary'))
      t.equal(time.toJSDate().getTime(), new Date(expected.get(title)?.starts_at ?? '').getTime(), title)
    }
  })

  await t.test('takes the first of an hour that is there twice, as the API does', async t => {
    const folds: [zone: string, city: string, country: string, month: number, hour: string][] = [
      ['America/New_York', 'New York', 'US', 11, '01:30'],
      ['Europe/Berlin', 'Berlin', 'DE', 10, '02:30'],
      // By half an hour, and in the southern autumn.
      ['Australia/Lord_Howe', 'Lord Howe', 'AU', 4, '01:45'],
      // Before midnight.
      ['Atlantic/Azores', 'Ponta Delgada', 'PT', 10, '00:15'],
    ]
    for (const [zone, city, country, month, start_time] of folds) {
      const venue_id = await make('venues', { name: city, city, country, time_zone: zone })
      const year = new Date(Date.parse(inDays(0)) + 86_400_000 * 30).getUTCFullYear()
      // The night of the change, this year or the next.
      const nights = [year, year + 1].flatMap(y =>
        Array.from({ length: 31 }, (_, n) =>
          new Date(Date.UTC(y, month - 1, n + 1)).toISOString().slice(0, 10),
        ),
      )
      const local = (at: number) =>
        new Date(at).toLocaleString('sv', { timeZone: zone, hour12: false }).slice(0, 16)
      const twice = (day: string) => {
        const wanted = `${day} ${start_time}`
        const middle = Date.parse(`${day}T${start_time}:00Z`)
        const found: number[] = []
        for (let at = middle - 15 * 3_600_000; at <= middle + 15 * 3_600_000; at += 900_000)
          if (local(at) === wanted) found.push(at)
        return found
      }
      const [night] = nights.filter(day => day > inDays(1) && day < inDays(395) && twice(day).length === 2)
      t.ok(night, `${zone} has a night with an hour twice`)
      if (night === undefined) continue
      const [first = 0] = twice(night)
      const title = `Twice in ${city}`
      const show = await make('shows', { ...aShow, title, show_on: night, start_time, venue_id })
      const { body } = await call<{ starts_at: string }>(`GET /api/shows/${show}`, { token })
      t.equal(Date.parse(body.starts_at), first, zone)
      const entry = (await calendarOf(server, ana, night, night)).find(one => one.title === title)
      t.equal(Date.parse(entry?.starts_at ?? ''), first)
      const { text } = await subscribe(server, feed)
      const ofShow = ({ summary }: { summary: string }) => summary === title
      t.equal(
        eventsIn({ text } as Answer)
          .find(ofShow)
          ?.start.getTime(),
        first,
      )
      // Readers disagree on which of the two a local time is: ical.js takes the second, node-ical either.
      const start = new ICAL.Component(ICAL.parse(text) as never)
        .getAllSubcomponents('vevent')
        .find(one => one.getFirstPropertyValue('summary') === title)
        ?.getFirstProperty('dtstart')
      t.equal((start?.getFirstValue() as ICAL.Time).toJSDate().getTime(), first, 'and another reader')
      t.equal(start?.getParameter('tzid'), undefined, 'as an instant')
    }
    const tour = await make('itineraries', {
      ...{ name: 'Night', artist: 'A' },
      starts_on: '2026-10-30',
      ends_on: '2026-11-02',
    })
    const night = await make('itinerary-days', {
      itinerary_id: tour,
      day_on: '2026-11-01',
      time_zone: 'America/New_York',
    })
    const late = await item(night, { title: 'Load-out', start_time: '01:30', end_time: '02:10' })
    t.match((await call(`GET /api/schedule-items/${late}`, { token })).body, {
      starts_at: '2026-11-01T05:30:00+00:00',
      ends_at: '2026-11-01T07:10:00+00:00',
    })
    // One that is left out is as if clocks had not been put forward, as before.
    const spring = await make('itineraries', {
      ...{ name: 'Spring', artist: 'A' },
      starts_on: '2026-03-07',
      ends_on: '2026-03-09',
    })
    const gap = await make('itinerary-days', {
      itinerary_id: spring,
      day_on: '2026-03-08',
      time_zone: 'America/New_York',
    })
    t.match(
      (
        await call(`GET /api/schedule-items/${await item(gap, { start_time: '02:30', end_time: '05:00' })}`, {
          token,
        })
      ).body,
      {
        starts_at: '2026-03-08T07:30:00+00:00',
      },
    )
  })

  await t.test('describes each event as calendar apps expect', async t => {
    const tour = await makeTour(server, ana, {
      'itinerary-days': { day_on: inDays(5) },
      'travel-segments': {
        departs_on: inDays(5),
        arrives_on: inDays(5),
        carrier: 'TAP',
        number: 'TP 535',
        confirmation_number: 'X7K2QP',
        is_confirmed: true,
      },
      lodgings: { check_in_on: inDays(5), check_out_on: inDays(7) },
    })
    const id = tour['schedule-items']
    const find = async (kind: string, of: string) =>
      eventsIn(await subscribe(server, feed)).find(({ uid }) => uid === `${kind}-${of}@callboard`)
    t.match(await find('item', id), {
      summary: 'Soundcheck',
      status: 'TENTATIVE',
      sequence: '0',
      datetype: 'date-time',
    })
    await call(`PATCH /api/schedule-items/${id}`, {
      token,
      body: { title: 'Line check', is_confirmed: true },
    })
    t.match(
      await find('item', id),
      { summary: 'Line check', status: 'CONFIRMED', sequence: '1' },
      'the same event, changed',
    )
    t.match(await find('segment', tour['travel-segments']), {
      summary: 'Berlin BER → Lisbon LIS',
      description: 'TAP TP 535\nConfirmation X7K2QP',
      status: 'CONFIRMED',
    })
    const lodging = await find('lodging', tour.lodgings)
    t.equal(lodging?.datetype, 'date')
    const night = (date?: Date) =>
      date && new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 10)
    t.strictSame([night(lodging?.start), night(lodging?.end)], [inDays(5), inDays(7)])
    for (const [body, type] of [
      [{ certainty: 'to_be_determined', start_time: null, end_time: null }, 'date'],
      [{ certainty: 'hidden', start_time: '12:34', end_time: null }, 'date'],
      [{ certainty: 'approximate', start_time: '12:34', end_time: null }, 'date-time'],
    ] as const) {
      await call(`PATCH /api/schedule-items/${id}`, { token, body })
      t.equal((await find('item', id))?.datetype, type, body.certainty)
    }
    await call(`DELETE /api/itineraries/${tour.itineraries}`, { token })
    t.equal(await find('item', id), undefined)
    const show = await make('shows', { ...aShow, show_on: inDays(3) })
    await call(`PATCH /api/shows/${show}`, { token, body: { status: 'cancelled' } })
    t.match(await find('show', show), { status: 'CANCELLED', datetype: 'date' })
  })

  await t.test('carries any text, in lines of at most 75 bytes', async t => {
    const tour = await make('itineraries', {
      name: 'Text',
      artist: 'A',
      starts_on: inDays(0),
      ends_on: inDays(9),
    })
    const day_id = await day(tour, 8, 'Asia/Kolkata')
    const texts = [
      'Comma, semicolon; backslash \\ colon: "quotes"',
      '😀'.repeat(100),
      'é'.repeat(199),
      'x'.repeat(200),
      `${'x'.repeat(66)}😀${'x'.repeat(70)}😀`,
      'END:VEVENT',
      'BEGIN:VALARM',
    ]
    const notes = 'first line\nsecond, line;\r\nthird\\line\n\nATTENDEE:mailto:x@example.com\u0007'
    for (const title of texts) await item(day_id, { title, location: title, notes })
    const answer = await subscribe(server, feed)
    for (const line of answer.text.split('\r\n')) {
      t.ok(Buffer.byteLength(line) <= 75, line)
      t.notOk(['\n', '\r', '\u0007'].some(control => line.includes(control)))
    }
    const events = eventsIn(answer)
    for (const title of texts) {
      const found = events.find(({ summary }) => summary === title)
      t.equal(found?.location, title)
      t.equal(found?.description, 'first line\nsecond, line;\nthird\\line\n\nATTENDEE:mailto:x@example.com')
    }
    // Spelled out, because the parser takes an n after a backslash for a line break.
    await item(day_id, { title: 'C:\\new, or; not' })
    const { text } = await subscribe(server, feed)
    t.ok(text.replaceAll('\r\n ', '').includes('\r\nSUMMARY:C:\\\\new\\, or\\; not\r\n'))
    t.match(answer.text, /TZID:Asia\/(Kolkata|Calcutta)/)
  })

  await t.test('is not sent again while unchanged, and cached by no proxy', async t => {
    const first = await subscribe(server, feed)
    const etag = String(first.headers['etag'])
    t.equal(first.headers['cache-control'], 'private, no-cache')
    for (const tags of [etag, `W/${etag}`, `"1", ${etag}`]) {
      const again = await subscribe(server, feed, { 'if-none-match': tags })
      t.strictSame([again.status, again.text, again.headers['etag']], [304, '', etag])
    }
    t.equal((await subscribe(server, feed, { 'if-none-match': '"1"' })).status, 200)
    await make('shows', { ...aShow, show_on: inDays(2) })
    t.equal((await subscribe(server, feed, { 'if-none-match': etag })).status, 200)
  })

  await t.test('has a secret that is shown once', async t => {
    const request = { token, body: { name: 'Tablet' }, headers: { 'idempotency-key': 'tablet' } }
    const made = await call<Feed>('POST /api/calendar-feeds', request)
    t.equal(made.headers['cache-control'], 'no-store')
    t.match(made.body.path, /token=[\w-]{43}$/, '256 bits')
    const again = await call<Feed>('POST /api/calendar-feeds', request)
    t.strictSame([again.body.id, again.body.path], [made.body.id, null])
    const secret = made.body.path?.split('=')[1] ?? ''
    t.notMatch((await call('GET /api/calendar-feeds', { token })).text, secret)
    t.notMatch((await call('GET /api/audit/events?limit=200', { token })).text, secret)
    for (const table of ['app.calendar_feeds', 'app.idempotency_keys', 'app.event_log'])
      t.equal(
        (await db.admin.unsafe(`select from ${table} t where t::text like '%${secret}%'`)).length,
        0,
        table,
      )
  })

  await t.test('belongs to its member, and ends when it is revoked', async t => {
    const colleague = await join(server, ana, 'owner')
    const theirs = await feedOf(server, colleague)
    const list = await call<{ items: Feed[] }>('GET /api/calendar-feeds', { token })
    t.notOk(list.body.items.some(({ id }) => id === theirs.id))
    t.equal(outcome(await call(`DELETE /api/calendar-feeds/${theirs.id}`, { token })), '404 not_found')
    t.equal((await subscribe(server, theirs)).status, 200)
    t.equal(outcome(await call(`DELETE /api/calendar-feeds/${theirs.id}`, { token: colleague.token })), '204')
    t.equal(outcome(await subscribe(server, theirs)), '404 not_found')
    t.equal(
      outcome(await call(`DELETE /api/calendar-feeds/${theirs.id}`, { token: colleague.token })),
      '404 not_found',
    )
  })

  await t.test('shows what its member may see now, and ends with the membership', async t => {
    const member = await join(server, ana, 'viewer')
    const theirs = await feedOf(server, member)
    const kinds = async () => [
      ...new Set(eventsIn(await subscribe(server, theirs)).map(({ uid }) => uid.split('-')[0])),
    ]
    t.strictSame(await kinds(), ['show'], 'nothing is published')
    await call(`PATCH /api/users/${member.id}`, { token, body: { role: 'manager' } })
    t.strictSame((await kinds()).sort(), ['item', 'show'])
    const deny = (permission: string) =>
      call(`PUT /api/users/${member.id}/permissions/${permission}`, { token, body: { effect: 'deny' } })
    await deny('shows.read')
    t.strictSame(await kinds(), ['item'])
    await deny('itineraries.read')
    t.equal(outcome(await subscribe(server, theirs)), '403 permission_denied')
    await call(`DELETE /api/users/${member.id}`, { token })
    t.equal(outcome(await subscribe(server, theirs)), '404 not_found')
    const eve = await register(server, 'Eve')
    const gone = await feedOf(server, eve)
    await call(`DELETE /api/organizations/${eve.organization}`, { token: eve.token })
    t.equal(outcome(await subscribe(server, gone)), '404 not_found')
    // Somebody who is added during the deletion may escape its mark.
    const marks = await db.admin<{ deleted_at: string; deletion_id: string }[]>`
      select deleted_at, deletion_id from app.memberships where organization_id = ${eve.organization}`
    await db.admin`
      update app.memberships set deleted_at = null, deletion_id = null where organization_id = ${eve.organization}`
    t.equal(outcome(await subscribe(server, gone)), '404 not_found')
    await db.admin`
      update app.memberships set deleted_at = ${marks[0]?.deleted_at ?? null}, deletion_id = ${marks[0]?.deletion_id ?? null}
      where organization_id = ${eve.organization}`
    await call(`POST /api/organizations/${eve.organization}/restore`, { token: eve.token })
    t.equal((await subscribe(server, gone)).status, 200)
    for (const secret of ['x', 'A'.repeat(43)])
      t.equal(
        outcome(await subscribe(server, { id: '', path: `/api/calendar.ics?token=${secret}` })),
        '404 not_found',
      )
    t.equal(outcome(await call('GET /api/calendar.ics')), '400 validation')
  })

  await t.test('allows no changes, and shows little else', async t => {
    const sql = openLogin(t, db.url('callboard_api'))
    const secret = feed.path?.split('=')[1] ?? ''
    await t.rejects(
      sql.begin(tx => tx`select app.enter_calendar_feed(${secret})`),
      { message: /read-only transaction/ },
    )
    const attempt = (statement: string) =>
      sql.begin('read only', async tx => {
        await tx`select app.enter_calendar_feed(${secret})`
        return tx.unsafe(statement)
      })
    t.equal((await attempt('select from app.shows')).count > 0, true)
    for (const statement of [
      `insert into app.shows (title, artist, show_on) values ('x', 'x', '2027-01-01')`,
      `set transaction read write`,
      `select app.create_calendar_feed('x', sha256('x'))`,
    ])
      await t.rejects(attempt(statement), { message: /read-only|read-write mode/ }, statement)
    for (const table of ['memberships', 'invitations', 'event_log', 'custom_roles'])
      t.equal((await attempt(`select from app.${table}`)).count, 0, table)
  })
})
