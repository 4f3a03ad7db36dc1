import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { t } from '../support/tap.ts'
import { aShow, join, joinAs, register, startServer } from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'

interface Row extends Record<string, unknown> {
  id: string
}
interface GuestList extends Record<string, unknown> {
  confirmed: number
  requested: number
  checked_in: number
  is_closed: boolean
  allotments: Record<string, unknown>[]
}

t.test('a guest list', async t => {
  const server = await startServer(t, { POOL_SIZE: '10' })
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const manager = await join(server, ana, 'manager')
  const token = ana.token
  const newShow = async (body = {}) =>
    (await call<Row>('POST /api/shows', { token, body: { ...aShow, ...body } })).body.id
  const put = (show: string, body: object, as = token) =>
    call<Row>(`POST /api/shows/${show}/guests`, { token: as, body })
  const allot = async (show: string, name: string, tickets: number) => {
    const made = await call<Row>(`POST /api/shows/${show}/guest-allotments`, {
      token,
      body: { name, tickets },
    })
    if (made.status !== 201) throw new Error(made.text)
    return made.body.id
  }
  const change = (path: string, body: object, as = token) =>
    call<Row>(`PATCH /api/${path}`, { token: as, body })
  const listOf = async (show: string) =>
    (await call<GuestList>(`GET /api/shows/${show}/guest-list`, { token })).body

  await t.test('an allotment’s limit holds, however its places are taken', async t => {
    const show = await newShow()
    const band = await allot(show, 'Band', 5)
    const guest = (name: string, tickets: number, more = {}) =>
      put(show, { name, tickets, allotment_id: band, ...more })
    const first = await guest('Ada One', 3)
    t.match(first.body, { allotment_id: band, allotment_name: 'Band' })
    t.equal(outcome(await guest('Bo Two', 3)), '409 guest_allotment_exceeded', 'entering')
    const second = await guest('Bo Two', 2)
    t.equal(second.status, 201, 'what is left')
    t.equal(
      outcome(await change(`guests/${first.body.id}`, { tickets: 4 })),
      '409 guest_allotment_exceeded',
      'more of them',
    )
    t.equal(
      outcome(await change(`guest-allotments/${band}`, { tickets: 4 })),
      '409 guest_allotment_exceeded',
      'a smaller allotment',
    )
    const asked = await guest('Cy Three', 9, { status: 'requested' })
    t.equal(asked.status, 201, 'a requested guest takes no place')
    t.equal(
      outcome(await change(`guests/${asked.body.id}`, { status: 'confirmed' })),
      '409 guest_allotment_exceeded',
      'confirming',
    )
    const free = await put(show, { name: 'Dee Four', tickets: 2 })
    t.equal(
      outcome(await change(`guests/${free.body.id}`, { allotment_id: band })),
      '409 guest_allotment_exceeded',
      'moving',
    )
    t.equal((await call(`DELETE /api/guests/${second.body.id}`, { token })).status, 204)
    t.equal((await change(`guests/${free.body.id}`, { allotment_id: band })).status, 200)
    t.equal(
      outcome(await call(`POST /api/guests/${second.body.id}/restore`, { token })),
      '409 guest_allotment_exceeded',
      'restoring',
    )
    t.match(await listOf(show), {
      confirmed: 5,
      requested: 9,
      allotments: [{ name: 'Band', tickets: 5, confirmed: 5, requested: 9 }],
    })
    t.equal(
      outcome(await call(`DELETE /api/guest-allotments/${band}`, { token })),
      '409 guests_allotment_exists',
    )
  })

  await t.test('of twenty who take the last places at the same moment, one gets them', async t => {
    const show = await newShow()
    const label = await allot(show, 'Label', 3)
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        put(show, { name: `Guest ${n}`, tickets: 2, allotment_id: label }),
      ),
    )
    t.same(answers.map(outcome).sort(), [
      '201',
      ...Array.from({ length: 19 }, () => '409 guest_allotment_exceeded'),
    ])
    const others = await Promise.all([
      ...Array.from({ length: 19 }, (_, n) => put(show, { name: `Other ${n}`, allotment_id: label })),
      change(`guest-allotments/${label}`, { tickets: 2 }),
    ])
    const taken = (await listOf(show)).confirmed
    const { tickets } = (await call<Row>(`GET /api/guest-allotments/${label}`, { token })).body
    t.ok(taken <= Number(tickets), `${taken} of ${String(tickets)}`)
    t.equal(
      others.filter(({ status }) => status < 300).length,
      1,
      'a place or the smaller allotment, not both',
    )
  })

  await t.test('an allotment belongs to one show, and one organization', async t => {
    const [show, other] = [await newShow(), await newShow()]
    const there = await allot(other, 'Band', 5)
    t.equal(outcome(await put(show, { name: 'Eve', allotment_id: there })), '409 guests_allotment_exists')
    const stranger = await register(server, 'Stefan')
    const theirs = (await call<Row>('POST /api/shows', { token: stranger.token, body: aShow })).body.id
    t.equal(
      outcome(await put(theirs, { name: 'Eve', allotment_id: there }, stranger.token)),
      '409 guests_allotment_exists',
    )
  })

  await t.test('once it is closed, only those who may lock it can change it', async t => {
    const show = await newShow()
    const band = await allot(show, 'Band', 5)
    const { id } = (await put(show, { name: 'Ada One', tickets: 2 })).body
    const gone = (await put(show, { name: 'Bo Two' })).body.id
    await call(`DELETE /api/guests/${gone}`, { token })
    const admin = await join(server, ana, 'admin')
    const deleter = await joinAs(server, ana, ['shows.read', 'shows.write', 'shows.delete'])
    const close = (body: object, as = token) =>
      call<GuestList>(`PUT /api/shows/${show}/guest-list`, { token: as, body })
    t.equal(outcome(await close({ is_locked: true }, manager.token)), '403 permission_denied')
    t.equal((await put(show, { name: 'In Time' }, manager.token)).status, 201)

    const soon = new Date(Date.now() + 1500).toISOString()
    t.match((await close({ closes_at: soon }, admin.token)).body, { is_locked: false, is_closed: false })
    t.equal((await put(show, { name: 'Just So' }, manager.token)).status, 201, 'before the cut-off')
    await sleep(1600)
    t.equal((await listOf(show)).is_closed, true)
    for (const closed of ['past its cut-off', 'locked']) {
      if (closed === 'locked') t.equal((await close({ is_locked: true })).body['closes_at'], null)
      for (const [request, body] of [
        [`POST /api/shows/${show}/guests`, { name: 'Too Late' }],
        [`PATCH /api/guests/${id}`, { tickets: 1 }],
        [`PUT /api/guests/${id}`, { name: 'Ada One' }],
        [`DELETE /api/guests/${id}`, undefined],
        [`POST /api/guests/${gone}/restore`, undefined],
        [`POST /api/shows/${show}/guest-allotments`, { name: 'More', tickets: 5 }],
        [`PATCH /api/guest-allotments/${band}`, { tickets: 50 }],
        [`DELETE /api/guest-allotments/${band}`, undefined],
      ] as const)
        t.equal(
          outcome(await call(request, { token: deleter.token, body })),
          '409 guest_list_closed',
          `${closed}: ${request}`,
        )
    }
    t.equal((await put(show, { name: 'The Mayor' }, admin.token)).status, 201, 'those who may lock it can')
    t.match(
      (await call(`POST /api/guests/${id}/check-in`, { token: manager.token, body: {} })).body,
      { checked_in: 2 },
      'the door',
    )
    t.equal(
      (await call(`DELETE /api/shows/${show}`, { token: deleter.token })).status,
      204,
      'it is deleted with its show',
    )
    t.equal(
      (await call(`POST /api/shows/${show}/restore`, { token: deleter.token })).status,
      200,
      'and restored with it',
    )
    t.match(await listOf(show), { is_locked: true, checked_in: 2 })
  })

  await t.test('a change during its closing waits, and is refused', async t => {
    const show = await newShow()
    const { id } = (await put(show, { name: 'Ada One' })).body
    const { change: late } = await db.admin.begin(async sql => {
      await sql`select from app.shows where id = ${show} for no key update`
      await sql`insert into app.guest_lists (organization_id, show_id, is_locked) values (${ana.organization}, ${show}, true)`
      const waiting = change(`guests/${id}`, { tickets: 2 }, manager.token)
      t.equal(await Promise.race([waiting.then(outcome), sleep(500, 'waits')]), 'waits')
      return { change: waiting.then(outcome) }
    })
    t.equal(await late, '409 guest_list_closed')
  })

  await t.test('closing it waits for a change in progress', async t => {
    const show = await newShow()
    const closing = await db.admin.begin(async sql => {
      await sql`select from app.shows where id = ${show} for share`
      const waiting = call(`PUT /api/shows/${show}/guest-list`, { token, body: { is_locked: true } })
      t.equal(await Promise.race([waiting.then(outcome), sleep(500, 'waits')]), 'waits')
      return { outcome: waiting.then(outcome) }
    })
    t.equal(await closing.outcome, '200')
  })

  await t.test('its closing has a version', async t => {
    const show = await newShow()
    const path = `/api/shows/${show}/guest-list`
    const { headers } = await call(`GET ${path}`, { token })
    t.equal(headers['etag'], '"0"', 'for one that was never closed')
    const write = (tag: string) =>
      call(`PUT ${path}`, { token, body: { is_locked: true }, headers: { 'if-match': tag } })
    t.equal(outcome(await write('"1"')), '412 version_mismatch')
    t.equal((await write('"0"')).headers['etag'], '"1"')
    t.equal(outcome(await write('"0"')), '412 version_mismatch')
  })

  await t.test('the door counts who has been checked in', async t => {
    const show = await newShow()
    const { id } = (await put(show, { name: 'Ada One', tickets: 3 })).body
    const enter = (body: object, as = manager.token) =>
      call<Row>(`POST /api/guests/${id}/check-in`, { token: as, body })
    const viewer = await join(server, ana, 'viewer')
    t.equal(outcome(await enter({}, viewer.token)), '403 permission_denied')
    t.match((await enter({ checked_in: 1 })).body, { checked_in: 1, checked_in_at: /^\d{4}-/ })
    t.match((await enter({})).body, { checked_in: 3 })
    t.equal(outcome(await enter({ checked_in: 4 })), '422 guests_checked_in_within_tickets')
    t.equal(outcome(await change(`guests/${id}`, { tickets: 2 })), '422 guests_checked_in_within_tickets')
    t.equal(outcome(await change(`guests/${id}`, { status: 'declined' })), '422 guests_checked_in_confirmed')
    t.match((await enter({ checked_in: 0 })).body, { checked_in: 0, checked_in_at: null })
    t.equal((await change(`guests/${id}`, { status: 'declined' })).status, 200)
    t.equal(outcome(await enter({})), '409 guest_not_confirmed')
    const replaced = await call(`PUT /api/guests/${id}`, { token, body: { name: 'Ada One' } })
    t.match(replaced.body, { checked_in: 0, status: 'confirmed' })
  })

  await t.test('its door list is a printable page', async t => {
    const show = await newShow({ artist: 'Guests & <Friends>' })
    const band = await allot(show, 'Band', 50)
    const evil = `<script>alert("1")</script>&'`
    for (const body of [
      { name: 'Zoë Äther', tickets: 2, allotment_id: band, invited_by: 'Marta' },
      { name: 'Al Apple', note: 'Wheelchair' },
      { name: 'bo banana' },
      { name: evil, invited_by: evil, note: evil },
      { name: 'Not Yet', status: 'requested' },
      { name: 'Not Ever', status: 'declined' },
    ])
      t.equal((await put(show, body)).status, 201)
    const path = `GET /api/shows/${show}/door-list` as const
    const { body } = await call<{ places: number; guests: Row[] }>(path, { token })
    t.equal(body.places, 5)
    t.same(
      body.guests.map(guest => guest['door_name']).filter(name => name !== evil),
      ['Apple, Al', 'Äther, Zoë', 'banana, bo'],
      'confirmed ones, by last name',
    )
    const { text, headers } = await call(path, { token, headers: { accept: 'text/html' } })
    t.match(headers, { 'content-type': 'text/html; charset=utf-8', vary: /Accept/ })
    t.notMatch(text, /<script|alert\("1"\)|Not Yet|Not Ever/)
    t.match(text, /<h2>A<\/h2>[\s\S]*Apple, Al[\s\S]*Äther, Zoë<\/strong> \+1[\s\S]*<h2>B<\/h2>/, 'Ä under A')
    t.notMatch(text, /\s(src|href|style|on\w+)=/)
    const [, style = ''] = /<style>(.*?)<\/style>/s.exec(text) ?? []
    t.ok(
      String(headers['content-security-policy']).includes(
        createHash('sha256').update(style).digest('base64'),
      ),
    )
    const refused = await call(path, { token, headers: { accept: 'text/html;q=0' } })
    t.match(refused.headers, { 'content-type': /^application\/json/ })
    const page = async () => (await call(path, { token, headers: { accept: 'text/html' } })).text
    const banana = body.guests.find(guest => guest['door_name'] === 'banana, bo')
    t.equal((await change(`guests/${String(banana?.['id'])}`, { tickets: 3 })).status, 200)
    t.equal(
      (await call(`POST /api/guests/${String(banana?.['id'])}/check-in`, { token, body: { checked_in: 1 } }))
        .status,
      200,
    )
    t.equal((await put(show, { name: '3 Doors' })).status, 201)
    await call(`PATCH /api/shows/${show}`, { token, body: { doors_time: '19:00', start_time: '20:30' } })
    const before = await page()
    t.match(
      before,
      /class="in">\s*<td>\s*☐☐☑[\s\S]*banana, bo[\s\S]*1 of 3 in/,
      'who is in, and who is not yet',
    )
    t.match(before, /doors 19:00 · start 20:30 · .* · still open/)
    await call(`PUT /api/shows/${show}/guest-list`, { token, body: { is_locked: true } })
    t.match(await page(), /closed/)
    await call(`PATCH /api/shows/${show}`, { token, body: { status: 'cancelled' } })
    t.match((await call(path, { token, headers: { accept: 'text/html' } })).text, /class="off">cancelled/)
  })

  await t.test('is exported as CSV, in the order of the door', async t => {
    const show = await newShow()
    for (const name of ['Ann Zebra', 'Zoë Äther', '=1+1']) t.equal((await put(show, { name })).status, 201)
    const { text, status } = await call(`GET /api/exports/guests?show_id=${show}`, {
      token,
      headers: { accept: 'text/csv' },
    })
    t.equal(status, 200, text)
    const [header = '', ...lines] = text.trim().split('\r\n')
    t.match(header, /^id,show_id,name,door_name,/)
    t.same(
      lines.map(line => line.split(',')[2]),
      ["'=1+1", 'Zoë Äther', 'Ann Zebra'],
    )
    t.equal(
      outcome(await call(`GET /api/exports/guests`, { token: (await join(server, ana, 'viewer')).token })),
      '403 permission_denied',
    )
  })

  await t.test('everything that happens to it is an event', async t => {
    const { body } = await call<{ items: { action: string }[] }>('GET /api/audit/events?limit=200', { token })
    const actions = new Set(body.items.map(({ action }) => action))
    for (const action of ['guest.create', 'guest_list.create', 'guest_allotment.create'])
      t.ok(actions.has(action), action)
    t.equal((await db.admin`select from app.event_log where action = 'guest.update'`).count > 0, true)
  })
})
