import { t } from '../support/tap.ts'
import { type Person, register, startServer, type TestServer } from '../support/helper.ts'
import { nextLink, type PageBody, walk } from '../support/pages.ts'
import { outcome } from '../support/tokens.ts'

async function create({ call }: TestServer, { token }: Person, body: object): Promise<string> {
  const answer = await call<{ id: string }>('POST /api/shows', {
    token,
    body: { title: 'Show', artist: 'Somebody', show_on: '2027-01-01', ...body },
  })
  if (answer.status !== 201) throw new Error(answer.text)
  return answer.body.id
}

t.test('pages of shows', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const ana = await register(server, 'Ana')
  const { token } = ana

  // Four days, four titles and four moments for 32 shows: every sort has equal values. Letters
  // of one case and length, so that no collation changes their order.
  const stable: { id: string; show_on: string; title: string; created_at: string }[] = []
  for (let n = 0; n < 32; n++) {
    const show_on = `2027-03-0${(n % 4) + 1}`
    const title = ['aa', 'bb', 'cc', 'dd'][(n >> 1) % 4] ?? ''
    const created_at = `2026-01-0${((n >> 2) % 4) + 1}T12:00:00.123456Z`
    const id = await create(server, ana, { show_on, title })
    await db.admin`update app.shows set created_at = ${created_at}::text::timestamptz where id = ${id}`
    stable.push({ id, show_on, title, created_at })
  }
  const other = await register(server, 'Ben')
  for (const show_on of ['2027-03-01', '2027-03-02']) await create(server, other, { show_on, title: 'bb' })

  const ordered = (sort: string) => {
    const column = sort.replace('-', '') as 'show_on' | 'title' | 'created_at'
    const ids = [...stable]
      .sort((a, b) => (`${a[column]} ${a.id}` < `${b[column]} ${b.id}` ? -1 : 1))
      .map(show => show.id)
    return sort.startsWith('-') ? ids.reverse() : ids
  }

  for (const sort of ['show_on', '-show_on', 'title', '-title', 'created_at', '-created_at']) {
    await t.test(`by ${sort}, every show comes once and in order, whatever the page size`, async t => {
      for (const limit of [1, 7, 31, 32, 33]) {
        const pages = await walk(
          server,
          token,
          `/api/shows?sort=${sort}&limit=${limit}`,
          limit === 7 ? 'link' : 'cursor',
        )
        t.strictSame(
          pages.flat().map(({ id }) => id),
          ordered(sort),
          `${limit} at a time`,
        )
        t.ok(pages.slice(0, -1).every(page => page.length === limit))
        t.equal(pages.length, Math.ceil(stable.length / limit), 'and no page is empty')
      }
    })

    await t.test(`by ${sort}, shows that come and go in between do not shift the others`, async t => {
      const passing: string[] = []
      const come = async () => {
        // Before, among and after the stable ones, whichever way the list goes.
        for (const [n, show_on] of ['2026-01-01', '2027-03-02', '2027-03-03', '2028-01-01'].entries())
          passing.push(await create(server, ana, { show_on, title: ['a', 'bb', 'cc', 'z'][n] }))
      }
      await come()
      const ids = new Set(stable.map(show => show.id))
      const pages = await walk(
        server,
        token,
        `/api/shows?sort=${sort}&limit=3`,
        'cursor',
        async (page, n) => {
          // The cursor's own row is deleted too, if it is one of those that may be.
          const last = page.filter(({ id }) => !ids.has(id)).at(-1)?.id ?? (n % 2 ? passing[0] : undefined)
          if (last !== undefined && passing.includes(last)) {
            passing.splice(passing.indexOf(last), 1)
            await call(`DELETE /api/shows/${last}`, { token })
          }
          if (n < 6) await come()
        },
      )
      const seen = pages.flat().map(({ id }) => id)
      t.equal(new Set(seen).size, seen.length, 'none comes twice')
      t.strictSame(
        seen.filter(id => ids.has(id)),
        ordered(sort),
        'and every stable one comes, in order',
      )
      for (const id of passing) await call(`DELETE /api/shows/${id}`, { token })
    })
  }

  await t.test('the next page keeps the filters, in the Link header too', async t => {
    const path = '/api/shows?from=2027-03-02&to=2027-03-03&q=%C3%A4%20%26%25&sort=-title&limit=2'
    const unmatched = await call<PageBody>(`GET ${path}`, { token })
    t.strictSame(unmatched.body, { items: [], next_cursor: null })
    t.notOk('link' in unmatched.headers)
    for (const title of ['ä &% 1', 'ä &% 2', 'ä &% 3', 'ä & 4'])
      await create(server, ana, { title, show_on: '2027-03-02' })
    const first = await call<PageBody>(`GET ${path}`, { token })
    const next = new URL(nextLink(first) ?? '', 'http://x')
    t.equal(next.pathname, '/api/shows')
    t.strictSame(
      [...next.searchParams],
      [...new URL(path, 'http://x').searchParams, ['cursor', first.body.next_cursor ?? '']],
    )
    const pages = await walk(server, token, path, 'link')
    t.match(pages, [[{ title: 'ä &% 3' }, { title: 'ä &% 2' }], [{ title: 'ä &% 1' }]])
  })

  await t.test('the longest title makes a working cursor', async t => {
    const cara = await register(server, 'Cara')
    for (let n = 0; n < 3; n++) await create(server, cara, { title: '🎪'.repeat(200) })
    for (let n = 0; n < 3; n++) await create(server, cara, { title: '\\"'.repeat(100) })
    t.equal((await walk(server, cara.token, '/api/shows?sort=title&limit=1')).length, 6)
  })

  await t.test('a page has 50 shows by default, and 200 at most', async t => {
    const dan = await register(server, 'Dan')
    await db.admin`
      insert into app.shows (organization_id, title, artist, show_on)
      select ${dan.organization}, 'Show ' || n, 'Many', '2027-01-01' from generate_series(1, 201) n`
    const count = async (query: string) => {
      const { body } = await call<PageBody>(`GET /api/shows${query}`, { token: dan.token })
      return [body.items.length, body.next_cursor !== null]
    }
    t.strictSame(await count(''), [50, true])
    t.strictSame(await count('?limit=1'), [1, true])
    t.strictSame(await count('?limit=200'), [200, true])
    for (const limit of ['0', '-1', '201', '1.5', 'ten', '', '%00', '1;2', '99999999999999999999']) {
      t.equal(outcome(await call(`GET /api/shows?limit=${limit}`, { token })), '400 validation', limit)
    }
  })

  await t.test('a cursor that is not of this list and sort is refused', async t => {
    const cursorOf = async (path: string) =>
      (await call<PageBody>(`GET ${path}`, { token })).body.next_cursor ?? ''
    const encode = (value: unknown) =>
      Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
    const genuine = await cursorOf('/api/shows?sort=show_on&limit=1')
    const [list, value, id] = JSON.parse(Buffer.from(genuine, 'base64url').toString()) as string[]
    for (const name of ['Hall', 'House'])
      await call('POST /api/venues', {
        token,
        body: { name, city: 'Town', country: 'DE', time_zone: 'Europe/Berlin' },
      })
    const bad: [why: string, expected: string, cursor: string][] = [
      ['of another direction', 'invalid_cursor', await cursorOf('/api/shows?sort=-show_on&limit=1')],
      ['of another sort', 'invalid_cursor', await cursorOf('/api/shows?sort=created_at&limit=1')],
      ['cut off', 'invalid_cursor', genuine.slice(0, -8)],
      ['not base64', 'validation', `${genuine}!`],
      ['padded', 'validation', `${genuine}==`],
      ['empty', 'validation', ''],
      ['too long', 'validation', 'a'.repeat(1501)],
      ['not JSON', 'invalid_cursor', encode('[')],
      ['not an array', 'invalid_cursor', encode({ 0: list, 1: value, 2: id })],
      ['null', 'invalid_cursor', encode(null)],
      ['of numbers', 'invalid_cursor', encode([list, 1, id])],
      ['without an id', 'invalid_cursor', encode([list, value])],
      ['with an invalid id', 'invalid_cursor', encode([list, value, "' or true --"])],
      ['with an almost valid id', 'invalid_value', encode([list, value, '-'.repeat(36)])],
      ['with an invalid date', 'invalid_value', encode([list, '2027-02-30', id])],
      ['with SQL for a date', 'invalid_value', encode([list, "2027-01-01') or true --", id])],
      ['with a nul', 'invalid_value', encode([list, '2027-01-01\0', id])],
    ]
    for (const [why, expected, cursor] of bad) {
      const answer = await call(`GET /api/shows?sort=show_on&limit=1&cursor=${cursor}`, { token })
      t.equal(outcome(answer), `400 ${expected}`, why)
    }
    const ofVenues = await cursorOf('/api/venues?sort=created_at&limit=1')
    t.equal(
      outcome(await call(`GET /api/shows?sort=created_at&cursor=${ofVenues}`, { token })),
      '400 invalid_cursor',
      'of another list',
    )
  })

  await t.test("another organization's cursor is only a position in one's own list", async t => {
    const theirs = (await call<PageBody>('GET /api/shows?limit=1', { token: other.token })).body
    const { body } = await call<PageBody>(`GET /api/shows?limit=200&cursor=${theirs.next_cursor ?? ''}`, {
      token,
    })
    const mine = new Set((await walk(server, token, '/api/shows?limit=200')).flat().map(({ id }) => id))
    t.ok(body.items.length > 0 && body.items.every(({ id }) => mine.has(id)))
  })
})
