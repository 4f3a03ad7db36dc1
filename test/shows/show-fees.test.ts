import { randomUUID } from 'node:crypto'
import { t } from '../support/tap.ts'
import { aShow, join, joinAs, type Person, register, startServer, until } from '../support/helper.ts'
import { openLogin, secretOf } from '../isolation/world.ts'
import { outcome } from '../support/tokens.ts'
import { startWorker } from '../../src/jobs/worker.ts'

interface Show extends Record<string, unknown> {
  id: string
}
interface List {
  items: Record<string, unknown>[]
}
/** Everything about shows, and nothing about money. */
const withoutMoney = [
  'audit.read',
  'exports.run',
  'imports.run',
  'itineraries.read',
  'members.read',
  'organization.read',
  'shows.delete',
  'shows.read',
  'shows.write',
]
const fee = { fee_minor: 7_123_456_789, currency: 'EUR' }
const digits = String(fee.fee_minor)
const hidden = { fee_minor: null, currency: null, fee_hidden: true }

t.test('fees are money', async t => {
  const server = await startServer(t)
  const { call, db, config, app } = server
  const ana = await register(server, 'Ana')
  const { token } = ana
  const mia = await joinAs(server, ana, withoutMoney)
  const enter = async (body: object = fee, as: Person = ana) => {
    const made = await call<Show>('POST /api/shows', { token: as.token, body: { ...aShow, ...body } })
    if (made.status !== 201) throw new Error(made.text)
    return made.body.id
  }
  const read = async (id: string, as: Person = ana) =>
    (await call<Show>(`GET /api/shows/${id}`, { token: as.token })).body
  const write = (method: string, id: string, body: object, as: Person = mia, headers = {}) =>
    call<Show>(`${method} /api/shows/${id}`, { token: as.token, body, headers })
  const whole = { ...aShow, status: 'inquiry' }
  const set = (person: Person, permission: string, effect: 'grant' | 'deny') =>
    call(`PUT /api/users/${person.id}/permissions/${permission}`, { token, body: { effect } })

  await t.test('without finance.read, whichever way a show is read, its fee is hidden', async t => {
    const id = await enter()
    t.match(await read(id), { ...fee, fee_hidden: false })
    t.match(await read(id, mia), { ...hidden, title: aShow.title })
    const day = `from=${aShow.show_on}&to=${aShow.show_on}`
    for (const request of [
      `GET /api/shows/${id}`,
      'GET /api/shows',
      `GET /api/shows?q=${encodeURIComponent(aShow.artist)}`,
      'GET /api/exports/shows',
      `GET /api/calendar?${day}`,
      `GET /api/shows/${id}/door-list`,
      `GET /api/shows/${id}/guest-list`,
      'GET /api/audit/events?resource_type=show',
      'GET /api/audit/events?resource_type=show_fee',
      'GET /api/exports/events',
    ] as const)
      for (const accept of ['application/json', 'text/csv', 'application/x-ndjson']) {
        const shown = await call(request, { token: mia.token, headers: { accept } })
        t.equal(shown.status, 200, request)
        t.notMatch(shown.text, digits, `${request} as ${accept}`)
      }
    const list = await call<List>('GET /api/shows', { token: mia.token })
    t.ok(
      list.body.items.every(item => item['fee_hidden'] === true),
      'each says so',
    )
    const feed = await call<{ path: string }>('POST /api/calendar-feeds', {
      token: mia.token,
      body: { name: 'Phone' },
    })
    t.notMatch((await call(`GET ${feed.body.path}`)).text, digits)
  })

  await t.test('nor does it show when a show is deleted, listed in the bin and restored', async t => {
    const id = await enter()
    const deleted = await call(`DELETE /api/shows/${id}`, { token: mia.token })
    t.equal(deleted.status, 204)
    const bin = await call<List>('GET /api/shows?deleted=only', { token: mia.token })
    t.match(bin.body.items, [hidden])
    t.match((await call<List>('GET /api/shows?deleted=only', { token })).body.items, [fee])
    const restored = await call<Show>(`POST /api/shows/${id}/restore`, { token: mia.token })
    t.match(restored.body, hidden, 'by a function of the definer')
    t.match(await read(id), fee, 'and it is as it was')
  })

  await t.test(
    'an export file has no fee of a member without finance.read, and goes when they lose it',
    async t => {
      const worker = startWorker(config, db.url('callboard_worker'), () => '', app.log, [])
      t.teardown(() => worker.stop())
      const ben = await join(server, ana, 'manager')
      const fileOf = async ({ token }: Person, resource: string) => {
        const { body } = await call<Show>('POST /api/analytics/export', {
          token,
          body: { resource, format: 'ndjson' },
        })
        let made = body
        await until(async () => {
          made = (await call<Show>(`GET /api/analytics/export/${body.id}`, { token })).body
          return ['ready', 'failed'].includes(String(made['status']))
        }, 60)
        return String(made['link'])
      }
      const open = async (link: string) => call(`GET ${link}`)
      t.notMatch((await open(await fileOf(mia, 'shows'))).text, digits)
      t.notMatch((await open(await fileOf(mia, 'events'))).text, digits)
      t.match((await open(await fileOf(ana, 'events'))).text, digits)
      const link = await fileOf(ben, 'shows')
      t.match((await open(link)).text, digits)
      await set(ben, 'finance.read', 'deny')
      t.equal(outcome(await open(link)), '403 permission_denied', 'what he could see when it was made')
      t.notMatch((await open(await fileOf(ben, 'shows'))).text, digits, 'but he may have a new one')
    },
  )

  await t.test('entering one needs finance.write', async t => {
    for (const body of [fee, { fee_minor: 1 }, { currency: 'EUR' }])
      t.match(
        await call('POST /api/shows', { token: mia.token, body: { ...aShow, ...body } }),
        { status: 403, body: { detail: /finance\.write/ } },
        JSON.stringify(body),
      )
    const id = await enter({ fee_minor: null, currency: null }, mia)
    t.match(await read(id), { fee_minor: null, fee_hidden: false })
  })

  await t.test('PUT of what a member was shown leaves the fee; one that names a fee is refused', async t => {
    const id = await enter()
    t.match((await write('PUT', id, { ...whole, title: 'Put' })).body, { title: 'Put', ...hidden })
    t.match(await read(id), { title: 'Put', ...fee })
    await write('PUT', id, { ...whole, fee_minor: null, currency: null })
    t.match(await read(id), fee)
    for (const body of [fee, { fee_minor: 1, currency: 'SEK' }, { currency: 'EUR' }])
      t.equal(outcome(await write('PUT', id, { ...whole, ...body })), '403 permission_denied')
    t.match(await read(id), fee)
  })

  await t.test('PATCH that names it at all is refused, others are not', async t => {
    const id = await enter()
    for (const body of [fee, { fee_minor: 1 }, { currency: 'EUR' }, { fee_minor: null, currency: null }])
      t.equal(outcome(await write('PATCH', id, { title: 'Not this', ...body })), '403 permission_denied')
    t.match(await read(id), { title: aShow.title, ...fee })
    t.equal((await write('PATCH', id, { title: 'This' })).status, 200)
    t.match(await read(id), { title: 'This', ...fee })
  })

  await t.test('who may write fees but not read them does not overwrite what they cannot see', async t => {
    const ola = await joinAs(server, ana, [...withoutMoney, 'finance.write'])
    const id = await enter()
    t.equal((await write('PUT', id, whole, ola)).status, 200)
    t.match(await read(id), fee)
    t.match(await write('PATCH', id, { fee_minor: 1 }, ola), {
      status: 403,
      body: { detail: /finance\.read/ },
    })
    const sql = openLogin(t, db.url('callboard_api'))
    await sql`begin`
    await sql`select app.enter(${secretOf(ola)}, ${ola.organization})`
    t.equal((await sql`update app.show_fees set fee_minor = 12`).count, 0, 'nor by SQL')
    await sql`rollback`
  })

  await t.test('a change of the fee changes the version of the show', async t => {
    const id = await enter({})
    const change = async (body: object, version: number, method = 'PATCH') =>
      write(method, id, body, ana, { 'if-match': `"${version}"` })
    t.equal((await change(fee, 1)).headers['etag'], '"2"')
    t.equal(outcome(await change({ fee_minor: 5 }, 1)), '412 version_mismatch')
    t.match(await change({ fee_minor: 5 }, 2), {
      body: { fee_minor: 5, currency: 'EUR' },
      headers: { etag: '"3"' },
    })
    t.equal(outcome(await change({ fee_minor: null }, 3)), '422 shows_fee_with_currency')
    t.match((await change(whole, 3, 'PUT')).body, { fee_minor: null, currency: null, fee_hidden: false })
    t.match(await change({ fee_minor: 6, currency: 'SEK' }, 4), {
      body: { fee_minor: 6 },
      headers: { etag: '"5"' },
    })
  })

  await t.test('it has events of its own, about the show, whose changes finance.read shows', async t => {
    const id = await enter()
    await write('PATCH', id, { title: 'Same fee' }, ana)
    await write('PATCH', id, { fee_minor: 1 }, ana)
    await write('PUT', id, whole, ana)
    const events = async ({ token }: Person) =>
      (await call<List>(`GET /api/audit/events?resource_id=${id}`, { token })).body.items.reverse()
    const fees = (items: List['items']) => items.filter(item => item['resource_type'] === 'show_fee')
    t.match(fees(await events(ana)), [
      { action: 'show_fee.create', changes: { new: fee }, changes_hidden: false },
      { action: 'show_fee.update', changes: { old: { fee_minor: fee.fee_minor }, new: { fee_minor: 1 } } },
      {
        action: 'show_fee.update',
        changes: { old: { fee_minor: 1 }, new: { fee_minor: null, currency: null } },
      },
    ])
    t.strictSame(
      fees(await events(mia)).map(item => [item['changes'], item['changes_hidden']]),
      Array<unknown>(3).fill([null, true]),
    )
    t.match((await events(mia))[0], { action: 'show.create', changes: { new: aShow }, changes_hidden: false })
    const [first] = fees(await events(ana))
    const one = await call<Show>(`GET /api/audit/events/${String(first?.['id'])}`, { token: mia.token })
    t.match(one.body, { changes: null, changes_hidden: true })
    t.equal((await call<{ ok: boolean }>('GET /api/audit/verify', { token: mia.token })).body.ok, true)
  })

  await t.test('it is purged with its show, and nothing of it stays in the log', async t => {
    const id = await enter()
    await call(`DELETE /api/shows/${id}`, { token })
    await db.admin`
      update app.shows set deleted_at = now() - interval '31 days' where id = ${id}`
    await db.as('callboard_worker')`select app.purge_deleted()`
    t.equal((await db.admin`select from app.show_fees where show_id = ${id}`).count, 0)
    const [purged] = await db.admin<{ changes: unknown }[]>`
      select changes from app.event_log where resource_id = ${id} and action = 'show_fee.purge'`
    t.strictSame(purged?.changes, null)
  })

  await t.test('a response is not repeated to somebody who has lost finance.read since', async t => {
    const ben = await join(server, ana, 'manager')
    const key = randomUUID()
    const post = () =>
      call('POST /api/shows', {
        token: ben.token,
        body: { ...aShow, ...fee },
        headers: { 'idempotency-key': key },
      })
    const first = await post()
    t.equal((await post()).text, first.text)
    await set(ben, 'finance.read', 'deny')
    const refused = await post()
    t.equal(outcome(refused), '403 permission_denied')
    t.notMatch(refused.text, digits)
    await set(ben, 'finance.read', 'grant')
    t.equal((await post()).text, first.text, 'and with it is again')
  })
})
