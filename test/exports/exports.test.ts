import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { parseCsv } from '../support/csv.ts'
import { aShow, join, joinAs, register, startServer, type TestServer, until } from '../support/helper.ts'
import { outcome } from '../support/tokens.ts'

const csv = { accept: 'text/csv' }
const ndjson = { accept: 'application/x-ndjson' }

/** Text as it is in CSV: with an apostrophe if a spreadsheet would evaluate it. */
const harmless = (text: string) => (/^[=+\-@\t\r\n＝＋－＠]/.test(text) ? `'${text}` : text)

async function record({ call }: TestServer, token: string, more: object) {
  const { body } = await call<{ items: { id: string }[] }>('GET /api/finance-categories?kind=income', {
    token,
  })
  const { status, text } = await call('POST /api/finance-records', {
    token,
    body: {
      kind: 'income',
      category_id: body.items[0]?.id,
      booked_on: '2027-03-14',
      amount_minor: 500,
      ...more,
    },
  })
  if (status !== 201) throw new Error(text)
}

/** Rows inserted in SQL, because many are needed. */
async function fill(
  { db, call }: TestServer,
  { organization, token }: { organization: string; token: string },
  rows: number,
) {
  const { body } = await call<{ items: { id: string }[] }>('GET /api/finance-categories?kind=income', {
    token,
  })
  await db.admin`
    insert into app.finance_records (organization_id, kind, category_id, booked_on, amount_minor, currency, exchange_rate, base_currency, status, note)
    select ${organization}, 'income', ${body.items[0]?.id ?? ''}, date '2027-01-01' + n % 300, n, 'USD', 1, 'USD', 'actual', repeat('note ', 20)
    from generate_series(1, ${rows}::integer) n`
}

/** The server on a port, and a client that can stop reading. */
async function listening(t: Test, server: TestServer) {
  await server.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = server.app.server.address() as AddressInfo
  const busy = () => server.exportPool.stats().busy
  const open = (token: string, accept = csv.accept) =>
    new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
      const headers = { authorization: `Bearer ${token}`, accept }
      const asked = httpRequest(
        { port, host: '127.0.0.1', path: '/api/exports/finance-records', headers, agent: false },
        resolve,
      )
      asked.on('error', reject).end()
      t.teardown(() => asked.destroy())
    })
  return { open, busy, url: `http://127.0.0.1:${port}` }
}

t.test('an export', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const ben = await register(server, 'Ben')
  const { token } = ana
  const venue = { name: 'Vera', city: 'Groningen', country: 'NL', time_zone: 'Europe/Amsterdam' }
  const { body: made } = await call<{ id: string }>('POST /api/venues', { token, body: venue })
  const show = { ...aShow, venue_id: made.id, start_time: '20:30', fee_minor: 250_000, currency: 'EUR' }
  await call('POST /api/shows', { token, body: { ...show, title: 'Größe, "so"', notes: 'One\r\nTwo' } })
  await call('POST /api/shows', { token, body: { ...show, title: '=1+1', artist: '＠all', notes: '-5' } })
  await call('POST /api/shows', { token, body: { ...aShow, status: 'hold' } })
  const hostile = String.raw`O'Neil\'; rollback; -- "$1" \\`
  await call('POST /api/shows', { token, body: { ...aShow, title: hostile } })
  await call('POST /api/shows', { token: ben.token, body: { ...aShow, title: 'Not Ana’s' } })
  await record(server, token, { currency: 'EUR', exchange_rate: 123_456_789.123_456_78, note: '@SUM(A1)' })
  await record(server, token, { counterparty: '+1 555', tax_minor: 5 })
  const { body: gone } = await call<{ id: string }>('POST /api/venues', {
    token,
    body: { ...venue, name: 'Gone' },
  })
  await call(`DELETE /api/venues/${gone.id}`, { token })

  await t.test('has the rows, names and values of the list, in each format', async t => {
    for (const path of [
      'shows',
      'venues',
      'finance-records',
      'venues?deleted=only',
      'shows?status=hold&sort=-title',
      'shows?q=so',
      `shows?q=${encodeURIComponent(hostile)}`,
      `shows?q=${encodeURIComponent("l\\'; r")}`,
      'finance-records?from=2027-03-15',
      `finance-records?source=${encodeURIComponent(hostile)}`,
    ]) {
      const { body } = await call<{ items: Record<string, unknown>[] }>(`GET /api/${path}`, { token })
      const json = await call<{ items: object[]; next_cursor: null }>(`GET /api/exports/${path}`, { token })
      t.strictSame(json.body, { items: body.items, next_cursor: null }, path)
      const lines = (await call(`GET /api/exports/${path}`, { token, headers: ndjson })).text
        .split('\n')
        .filter(Boolean)
      t.strictSame(
        lines.map(line => JSON.parse(line) as object),
        body.items,
        `${path} as lines`,
      )
      const { text } = await call(`GET /api/exports/${path}`, { token, headers: csv })
      const cells = (value: unknown) =>
        value === null ? '' : typeof value === 'string' ? harmless(value) : JSON.stringify(value)
      const expected = body.items.map(item =>
        Object.fromEntries(Object.entries(item).map(([name, value]) => [name, cells(value)])),
      )
      const found = parseCsv(text)
      t.strictSame(found.map(sorted), expected.map(sorted), `${path} as CSV`)
      t.match(text, /^[a-z_,]+\r\n/)
      t.ok(text.endsWith('\r\n') && !text.endsWith('\r\n\r\n'), 'each line ends once')
    }
  })

  await t.test('of events has their changes as JSON', async t => {
    const { text } = await call('GET /api/exports/events?action=show.create', { token, headers: csv })
    const [event] = parseCsv(text)
    t.match(JSON.parse(event?.['changes'] ?? ''), { new: { artist: 'The Gaslights' } })
    t.equal(event?.['actor_name'], 'Ana')
  })

  await t.test('computes nothing in a spreadsheet, and leaves numbers alone', async t => {
    const texts = [
      '=1',
      '+1',
      '-1',
      '@a',
      '\t=1',
      '\r1',
      '\n1',
      '＝1',
      '＋1',
      '－1',
      '＠1',
      'a=1',
      '\u000b=1',
      '|',
      '\\.',
      '',
    ]
    for (const notes of texts)
      await call('POST /api/shows', { token, body: { ...aShow, title: 'Notes', notes } })
    const { text } = await call('GET /api/exports/shows?q=Notes&sort=created_at', { token, headers: csv })
    t.strictSame(
      parseCsv(text).map(({ notes }) => notes),
      texts.map(harmless),
    )
    const [first, second] = parseCsv(
      (await call('GET /api/exports/shows?q=%3D1', { token, headers: csv })).text,
    )
    t.match(first, { title: "'=1+1", artist: "'＠all", notes: "'-5", fee_minor: '250000' })
    t.equal(second, undefined)
  })

  await t.test(
    'begins with a byte order mark on request, even an empty one, which has its header',
    async t => {
      for (const path of ['shows', 'shows?from=2150-01-01']) {
        const marked = (
          await call(`GET /api/exports/${path}${path.includes('?') ? '&' : '?'}bom=true`, {
            token,
            headers: csv,
          })
        ).text
        const plain = (await call(`GET /api/exports/${path}`, { token, headers: csv })).text
        t.equal(marked, `\uFEFF${plain}`)
      }
      const empty = async (headers: Record<string, string>) =>
        (await call('GET /api/exports/shows?from=2150-01-01', { token, headers })).text
      t.match(await empty(csv), /^id,title,[a-z_,]+\r\n$/)
      t.equal(await empty(ndjson), '')
      t.equal(await empty({}), '{"items":[],"next_cursor":null}\n')
    },
  )

  await t.test('is chosen by Accept, and refused in any other format or method', async t => {
    const type = async (accept?: string) =>
      (await call('GET /api/exports/shows', { token, headers: accept === undefined ? {} : { accept } }))
        .headers['content-type']
    t.equal(await type(), 'application/json; charset=utf-8')
    t.equal(await type('*/*'), 'application/json; charset=utf-8')
    t.equal(await type('text/*'), 'text/csv; charset=utf-8')
    t.equal(await type('text/csv;q=0.5, application/x-ndjson'), 'application/x-ndjson; charset=utf-8')
    t.equal(
      outcome(await call('GET /api/exports/shows', { token, headers: { accept: 'text/html' } })),
      '406 not_acceptable',
    )
    t.equal(outcome(await call('GET /api/exports/shows?status=unheard', { token })), '400 validation')
    t.equal(
      outcome(await call('GET /api/exports/shows?limit=5', { token })),
      '400 validation',
      'it has no pages',
    )
    t.equal(outcome(await call('GET /api/exports/shows?from=2027-02-30', { token })), '400 validation')
    const { headers } = await call('GET /api/exports/finance-records', { token, headers: csv })
    t.match(headers['content-disposition'], /^attachment; filename="finance-records-\d{4}-\d\d-\d\d\.csv"$/)
    t.match(headers, { 'cache-control': 'no-store', vary: /Accept/, 'x-content-type-options': 'nosniff' })
  })

  await t.test('requires exports.run and the permission to read', async t => {
    const viewer = await join(server, ana, 'viewer')
    t.equal(outcome(await call('GET /api/exports/shows', { token: viewer.token })), '403 permission_denied')
    const clerk = await joinAs(server, ana, ['exports.run', 'shows.read'])
    t.equal((await call('GET /api/exports/shows', { token: clerk.token })).status, 200)
    for (const path of ['finance-records', 'events', 'shows?deleted=only'])
      t.equal(
        outcome(await call(`GET /api/exports/${path}`, { token: clerk.token })),
        '403 permission_denied',
        path,
      )
  })

  await t.test('is an event when it starts and when it ends', async t => {
    await call('GET /api/exports/shows?status=hold', { token, headers: csv })
    const events = await db.admin<
      { action: string; actor_id: string; changes: { new: object }; resource_id: string }[]
    >`
      select action, actor_id, changes, resource_id from app.event_log
      where resource_id = (
        select resource_id from app.event_log where action = 'export.stream' and changes -> 'new' -> 'filters' ->> 'status' = 'hold' and changes -> 'new' ->> 'format' = 'csv'
        order by occurred_at desc limit 1)
      order by occurred_at`
    const [begin, end] = events
    t.match(begin, {
      action: 'export.stream',
      actor_id: ana.id,
      changes: { new: { resource: 'shows', format: 'csv', filters: { status: 'hold' } } },
    })
    t.match(end, {
      action: 'export.stream_end',
      resource_id: begin?.resource_id,
      changes: { new: { rows: 1, is_whole: true } },
    })
  })

  await t.test('counts as use of an integration', async t => {
    const used = async () => {
      const { body } = await call<{ integrations: { kind: string; name: string }[] }>(
        'GET /api/analytics/integrations',
        { token },
      )
      return body.integrations.find(({ kind, name }) => kind === 'export' && name === 'shows') as
        { calls: number; rows: number; errors: number } | undefined
    }
    const before = await used()
    await call('GET /api/exports/shows?status=hold', { token, headers: csv })
    t.match(await used(), {
      calls: (before?.calls ?? 0) + 1,
      rows: (before?.rows ?? 0) + 1,
      errors: before?.errors ?? 0,
    })
  })
})

const sorted = (row: object) => Object.fromEntries(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)))

t.test('a long export', async t => {
  const server = await startServer(t, { EXPORT_STREAMS: '4' })
  const { db } = server
  const ana = await register(server, 'Ana')
  await fill(server, ana, 30_000)
  const { open, busy, url } = await listening(t, server)
  const ended = async (isWhole: boolean) => {
    const found = async () =>
      (
        await db.admin`select from app.event_log where action = 'export.stream_end' and changes -> 'new' -> 'is_whole' = ${db.admin.json(isWhole)}`
      ).count
    await until(async () => (await found()) > 0)
  }

  await t.test(
    'holds a connection while it is read, and releases it when the client disconnects',
    async t => {
      const answer = await open(ana.token)
      t.equal(answer.statusCode, 200)
      t.equal(busy(), 1)
      answer.destroy()
      await until(() => busy() === 0)
      await ended(false)
      await until(
        async () =>
          (
            await db.admin`select from pg_stat_activity where application_name = 'callboard test export' and state <> 'idle'`
          ).count === 0,
      )
    },
  )

  await t.test('is sent in small pieces, between which everybody else has their turn', async t => {
    let [most, turns] = [0, 0]
    server.app.server.once('connection', socket => {
      let before = 0
      const turn = () => {
        most = Math.max(most, socket.bytesWritten - before)
        turns += 1
        before = socket.bytesWritten
        if (!socket.destroyed) setImmediate(turn)
      }
      turn()
    })
    const answer = await open(ana.token)
    let bytes = 0
    for await (const piece of answer as AsyncIterable<Buffer>) bytes += piece.length
    answer.destroy()
    t.ok(bytes > 5_000_000 && turns > 10, `${bytes} bytes in ${turns} turns of the event loop`)
    t.ok(most < 300_000, `${most} bytes in one turn`)
  })

  await t.test('ends when its reader may no longer read', async t => {
    const manager = await join(server, ana, 'manager')
    const answer = await open(manager.token)
    await server.call(`DELETE /api/users/${manager.id}`, { token: ana.token })
    await until(() => busy() === 0, 15)
    await t.rejects(async () => {
      for await (const piece of answer as AsyncIterable<Buffer>) t.ok(piece.length > 0)
    })
  })

  await t.test('leaves its connection ready for the next one, however many rows it has', async t => {
    // A day has a hundred. What hung was a statement after a COPY that had ended before anybody read its rows.
    for (let n = 0; n < 12; n += 1) {
      const { body } = await server.call<{ items: object[] }>(
        `GET /api/exports/finance-records?from=2027-01-02&to=2027-01-0${2 + (n % 4)}`,
        { token: ana.token },
      )
      t.equal(body.items.length, 100 * (1 + (n % 4)))
    }
  })

  await t.test('is limited in number, and leaves other requests their connections', async t => {
    const [first, second] = [await open(ana.token), await open(ana.token, ndjson.accept)]
    const third = await open(ana.token)
    t.equal(third.statusCode, 503)
    t.match(third.headers, { 'retry-after': /^\d+$/ })
    const other = await open((await register(server, 'Ben')).token)
    t.equal(other.statusCode, 200, 'one organization gets half of them')
    other.destroy()
    const shows = await fetch(`${url}/api/shows`, { headers: { authorization: `Bearer ${ana.token}` } })
    t.equal(shows.status, 200)
    let lines = 0
    for await (const piece of first as AsyncIterable<Buffer>) lines += piece.toString().split('\n').length - 1
    t.equal(lines, 30_001)
    second.destroy()
    await until(() => busy() === 0)
    await ended(true)
  })

  await t.test('that breaks off does not look complete', async t => {
    const answer = await open(ana.token)
    const read = async () => {
      for await (const piece of answer as AsyncIterable<Buffer>)
        if (piece.length > 0)
          await db.admin`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'callboard test export' and state <> 'idle'`
    }
    await t.rejects(read(), { code: 'ECONNRESET' })
    t.notOk(answer.complete)
    await until(() => busy() === 0)
  })

  await t.test('whose connection breaks while the reader pauses ends when the reader resumes', async t => {
    for (const accept of [csv.accept, ndjson.accept]) {
      const answer = await open(ana.token, accept)
      answer.pause()
      // Until the buffers are full.
      await setTimeout(200)
      await db.admin`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'callboard test export' and state <> 'idle'`
      await setTimeout(50)
      await t.rejects(async () => {
        for await (const piece of answer as AsyncIterable<Buffer>) t.ok(piece.length > 0)
      })
      await until(() => busy() === 0)
    }
  })

  await t.test('is cut off when it takes longer than it may', async t => {
    const hasty = await startServer(t, { EXPORT_DEADLINE: '1' })
    const ben = await register(hasty, 'Ben')
    await fill(hasty, ben, 30_000)
    const slow = await listening(t, hasty)
    const answer = await slow.open(ben.token)
    await until(() => slow.busy() === 0)
    await t.rejects(async () => {
      for await (const piece of answer as AsyncIterable<Buffer>) t.ok(piece.length > 0)
    })
  })
})
