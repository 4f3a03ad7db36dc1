import { t } from '../support/tap.ts'
import { register, startServer } from '../support/helper.ts'
import { type PageBody } from '../support/pages.ts'
import { outcome } from '../support/tokens.ts'

t.test('finding shows', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const { token } = await register(server, 'Ana')
  const other = await register(server, 'Ben')
  const venue = async (name: string, city: string, as = token) =>
    (
      await call<{ id: string }>('POST /api/venues', {
        token: as,
        body: { name, city, country: 'NL', time_zone: 'Europe/Amsterdam' },
      })
    ).body.id
  const show = async (title: string, body: object = {}, as = token) => {
    const answer = await call<{ id: string }>('POST /api/shows', {
      token: as,
      body: { title, artist: 'Somebody', show_on: '2027-01-01', ...body },
    })
    if (answer.status !== 201) throw new Error(answer.text)
    return answer.body.id
  }
  const find = async (query: string, as = token) => {
    const answer = await call<PageBody>(`GET /api/shows?limit=200&${query}`, { token: as })
    if (answer.status !== 200) throw new Error(answer.text)
    return answer.body.items.map(({ title }) => String(title)).sort()
  }

  const paradiso = await venue('Paradiso', 'Amsterdam')
  const oude = await venue('Oude Kerk 100%', 'Den Haag')
  await show('100% Live', { artist: 'Percent' })
  await show('1000 Voices', { artist: 'Choir' })
  await show('a_b', { artist: 'Underscore' })
  await show('axb', { artist: 'Letter' })
  await show('back\\slash', { artist: "O'Brien" })
  await show('He said "no"', { artist: 'Quote; drop table app.shows; --' })
  await show('École des Été', { artist: 'ЖУК 東京' })
  await show('Night', { artist: 'The Gaslights', venue_id: paradiso })
  await show('Matinee', { venue_id: oude, show_on: '2027-02-01', status: 'confirmed' })
  await show('🎪 Circus', { show_on: '2027-02-02', status: 'hold' })

  const deleted = await show('Deleted Gaslights at Paradiso', { venue_id: paradiso })
  await call(`DELETE /api/shows/${deleted}`, { token })
  await show('Their Gaslights', { venue_id: await venue('Paradiso', 'Amsterdam', other.token) }, other.token)

  const searches: [q: string, titles: string[]][] = [
    ['gaslights', ['Night']],
    ['GASLIGHTS', ['Night']],
    ['e gas', ['Night']],
    ['night the', ['Night']],
    ['paradiso', ['Night']],
    ['AMSTERDAM', ['Night']],
    ['paradiso amster', ['Night']],
    ['Den Haag', ['Matinee']],
    ['100%', ['100% Live', 'Matinee']],
    ['%', ['100% Live', 'Matinee']],
    ['%%', []],
    ['_', ['a_b']],
    ['a_b', ['a_b']],
    ['a__', []],
    ['\\', ['back\\slash']],
    ['k\\s', ['back\\slash']],
    ['\\%', []],
    ["o'b", ['back\\slash']],
    ['"no"', ['He said "no"']],
    ["' or true --", []],
    ['drop table app.shows', ['He said "no"']],
    ['École', ['École des Été']],
    ['東京', ['École des Été']],
    ['🎪', ['🎪 Circus']],
    ['(', []],
    ['.*', []],
    ['*', []],
    ['deleted', []],
    ['their', []],
    ['x'.repeat(100), []],
  ]

  await t.test('text is found in title, artist, venue and city, and is taken literally', async t => {
    for (const [q, titles] of searches)
      t.strictSame(await find(`q=${encodeURIComponent(q)}`), titles.sort(), q)
    t.strictSame(await find('q=gaslights', other.token), ['Their Gaslights'])
    t.strictSame(await find('q=paradiso', other.token), ['Their Gaslights'])
    t.strictSame(await find('q=amsterdam', other.token), ['Their Gaslights'])
  })

  await t.test('case is ignored in any script for which the database knows it', async t => {
    const [{ knows } = { knows: false }] = await db.admin<
      [{ knows: boolean }]
    >`select lower('É') = 'é' as knows`
    for (const q of ['école', 'ÉTÉ', 'жук'])
      t.strictSame(await find(`q=${encodeURIComponent(q)}`), knows ? ['École des Été'] : [], q)
  })

  await t.test('a restored show is found again, and a renamed one by its new name', async t => {
    await call(`POST /api/shows/${deleted}/restore`, { token })
    t.strictSame(await find('q=paradiso'), ['Deleted Gaslights at Paradiso', 'Night'])
    await call(`PATCH /api/shows/${deleted}`, { token, body: { title: 'Found', venue_id: null } })
    t.strictSame(await find('q=paradiso'), ['Night'])
    t.strictSame(await find('q=found'), ['Found'])
    await call(`DELETE /api/shows/${deleted}`, { token })
  })

  const all = [
    '100% Live',
    '1000 Voices',
    'He said "no"',
    'Matinee',
    'Night',
    'a_b',
    'axb',
    'back\\slash',
    'École des Été',
    '🎪 Circus',
  ]
  const filters: [query: string, titles: string[]][] = [
    ['status=confirmed', ['Matinee']],
    ['status=settled', []],
    ['from=2027-02-01', ['Matinee', '🎪 Circus']],
    ['to=2027-02-01&from=2027-02-01', ['Matinee']],
    ['from=2027-02-03', []],
    ['to=2026-12-31', []],
    ['from=2027-02-02&to=2027-02-01', []],
    [`venue_id=${paradiso}`, ['Night']],
    [`venue_id=${paradiso.toUpperCase()}`, ['Night']],
    ['venue_id=01980c5e-8c5e-7b4a-9d59-3f1de6a3c111', []],
    [`venue_id=${oude}&status=confirmed&from=2027-01-31&to=2027-02-02&q=mat`, ['Matinee']],
    [`venue_id=${oude}&status=hold`, []],
  ]

  await t.test('filters narrow the list, each and together', async t => {
    t.strictSame(await find(''), all.sort(), 'none')
    for (const [query, titles] of filters) t.strictSame(await find(query), titles.sort(), query)
    t.equal((await find('to=2027-01-31')).length, all.length - 2)
  })

  await t.test('an invalid filter is refused', async t => {
    for (const query of [
      'status=sold',
      'status=',
      'status=hold&status=offer',
      'from=2027-02-30',
      'from=tomorrow',
      'to=2027-01-01T00:00:00Z',
      'venue_id=1',
      'q=',
      `q=${'x'.repeat(101)}`,
      'sort=fee_minor',
      'sort=--title',
      'sort=title;drop',
      'artist=Somebody',
      'from[]=2027-01-01',
      'q=%00',
    ])
      t.equal(outcome(await call(`GET /api/shows?${query}`, { token })), '400 validation', query)
    t.equal(outcome(await call('GET /api/shows?from=0000-01-01', { token })), '400 invalid_value')
  })
})
